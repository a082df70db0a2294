"""The worst point in a file is the worst point: a power flow there has the reported value."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandapower as pp
import pytest
from command_line import run
from phase_networks import phase_net
from scenario_files import GOOD, small_net

from doe_allocation.allocation.network_grid import NetworkGrid
from gateway.formats.envelope_file import BindingRecord, EnvelopeFile
from gateway.runs.verdict_file import IntervalVerdict, VerdictFile
from gateway.scenario.loading import load_scenario
from gateway.scenario.scenario import Scenario
from security_check.model.element import Element
from security_check.operating_range.conditions import OperatingConditions
from security_check.power_flow.implicit_zbus import PowerFlow

LARGE = GOOD.replace("30000", "200000").replace("20000\n", "200000\n")
PHASES = LARGE.replace('"net.json"', '"net.json"\nconnection_points = "asymmetric_load"')
SCENARIOS = {
    "balanced": LARGE,
    "low voltage limits": LARGE + "power_factor = 0.9\n[limits]\nvoltage_max_pu = 1.045\n",
    "cones": LARGE + "cone_power_factor = 0.9\n",
    "a range": LARGE + "power_factor = 0.95\nreactive_min_var = -3000\nreactive_max_var = 1000\n",
    "uncertain": LARGE.replace('"net.json"', '"net.json"\npassive = "as-given"')
    + "[uncertainty]\nrelative = 0.4\nabsolute_w = 500\nimpedance = 0.05\n",
    "inverters": LARGE + '[inverters]\nresponse = "as4777-australia-a"\nrating_va = 10000\n',
    "phases": PHASES,
    "unbalanced": PHASES.replace("[capacity]", "unbalance_pu = 0.01\n[capacity]")
    + "[limits]\nunbalance = 0.02\n",
}


@pytest.fixture(params=SCENARIOS)
def scenario(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    text = SCENARIOS[request.param]
    net = phase_net(4, 1) if "asymmetric_load" in text else small_net()
    if "uncertain" in request.param:
        pp.create_sgen(net, 3, 0.02, 0.005)
        pp.create_sgen(net, 4, 0.01)
    pp.to_json(net, str(tmp_path / "net.json"))
    path = tmp_path / "village.toml"
    path.write_text(text)
    return path


def grid_of(loaded: Scenario) -> NetworkGrid:
    grid = loaded.grid()
    assert isinstance(grid, NetworkGrid)
    return grid


def reached(
    loaded: Scenario, conditions: OperatingConditions, reported: BindingRecord | IntervalVerdict
) -> Any:
    """Return the voltages, currents and power at the interface at the reported point."""
    network = loaded.ac_network
    power = (
        np.array([p.power_w + 1j * p.reactive_var for p in reported.vertex]) / network.base_power_w
    )
    ports = network.port_shares @ power + conditions.passive_power_pu
    deviation = np.array([each.deviation for each in reported.deviations])
    ports = ports + np.asarray(conditions.deviations.power_pu @ deviation)
    flow = PowerFlow(network)
    points = flow.solve(ports[:, None], np.array(reported.interface_voltage_pu)[:, None])
    grid = grid_of(loaded)
    values = grid.monitors.all_values(points)[:, 0]
    limits = grid.robust_rows(loaded.interface_limits).limits
    rows = [k for k, name in enumerate(grid.monitors.elements) if name == reported.element]
    shown = [grid.monitors.describe(k, float(values[k]), limits) for k in rows]
    return [
        value for value, limit, unit in shown if (limit, unit) == (reported.limit, reported.unit)
    ]


def check(loaded: Scenario, reported: BindingRecord | IntervalVerdict) -> None:
    conditions = grid_of(loaded).robust_rows(loaded.interface_limits).conditions
    assert reported.value is not None
    assert reported.limit is not None
    found = np.array(reached(loaded, conditions, reported))
    assert np.abs(found - reported.value).min() < 2e-4 * abs(reported.limit)
    assert [each.element for each in reported.deviations] == list(conditions.deviations.elements)
    assert reported.phase == Element.parse(reported.element).phase
    percent = "%" in reported.detail.split(" with ")[0].replace("% unbalance", "")
    assert percent == (reported.unit in ("A", "W"))


def test_every_reported_vertex_has_its_value(scenario: Path, tmp_path: Path) -> None:
    file, out = tmp_path / "envelopes.json", tmp_path / "verdict.json"
    assert run("allocate", scenario, "-o", file).exit_code == 0
    loaded = load_scenario(scenario)
    (interval,) = EnvelopeFile.model_validate_json(file.read_bytes()).intervals
    assert interval.binding
    for reported in interval.binding:
        check(loaded, reported)
        assert reported.loading == pytest.approx(1.0, abs=3e-3)

    result = run("verify", scenario, file, "-o", out)
    assert result.exit_code == 0, result.stdout
    (verified,) = VerdictFile.model_validate_json(out.read_bytes()).intervals
    check(loaded, verified)
    full = {reported.element for reported in verified.binding}
    assert full == {reported.element for reported in interval.binding}
    for limit in verified.envelopes:
        for name in (limit.injection_bottleneck, limit.withdrawal_bottleneck):
            assert name in full | {""}
    assert interval.proof is not None
    assert verified.proof == interval.proof.model_copy(update={"points_tried": 0})
    assert (interval.proof.points_tried > 0) == (not interval.proof.secure)

    larger = json.loads(file.read_text())
    for envelope in larger["intervals"][0]["envelopes"]:
        for key in ("injection_limit_w", "withdrawal_limit_w"):
            envelope[key] = int(1.1 * envelope[key])
    file.write_text(json.dumps(larger))
    assert run("verify", scenario, file, "-o", out).exit_code == 1
    broken = VerdictFile.model_validate_json(out.read_bytes())
    assert broken.detail.startswith("not secure: ")
    (verdict,) = broken.intervals
    assert (verdict.envelopes, verdict.proof) == ([], None)
    check(loaded, verdict)
    for reported in verdict.binding:
        check(loaded, reported)
    assert verdict.binding[0].element == verdict.element
    assert verdict.binding[0].loading > 1.0


@pytest.mark.parametrize(
    ("element", "phase"),
    [
        ("bus:4.a", "a"),
        ("line:12.c without line:3", "c"),
        ("bus:684.2", "2"),
        ("trafo:0", ""),
        ("interface", ""),
        ("line:3 without line:4", ""),
    ],
)
def test_the_phase_is_the_one_in_the_name(element: str, phase: str) -> None:
    assert Element.parse(element).phase == phase
