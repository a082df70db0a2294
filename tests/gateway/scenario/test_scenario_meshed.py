"""Meshed networks with generators and outages, from a scenario file to envelopes and verdicts."""

from __future__ import annotations

import copy
import json
from pathlib import Path

import numpy as np
import pandapower as pp
import pytest
from command_line import run
from meshed_networks import MeshedArea, ring, worst_of
from network_days import MESHED_RING
from scenario_files import GOOD, faults_of, load, small_net

from doe_allocation.allocation.network_grid import NetworkGrid
from gateway.formats.envelope_file import EnvelopeFile
from gateway.runs.verdict_file import VerdictFile
from security_check.importers.pandapower_meshed import meshed_network_from_pandapower
from security_check.model.limits import InterfaceLimits, VoltageLimits

OUTAGES = ("line:1", "line:4", "gen:0")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    pp.to_json(ring(4, 0), str(tmp_path / "net.json"))
    return tmp_path


def area_of(folder: Path, text: str) -> MeshedArea:
    from brute_force import Limits

    scenario = load(folder, text)
    limits = Limits(VoltageLimits(0.92, 1.08), InterfaceLimits(1.0, 1.04))
    grid = scenario.grid()
    assert isinstance(grid, NetworkGrid)
    return MeshedArea(grid, scenario.states, limits)


def test_no_vertex_breaks_anything_in_any_state(folder: Path) -> None:
    area = area_of(folder, MESHED_RING)
    worst = worst_of(area, area.allocate().limits_w)
    assert list(worst) == ["", *(f"without {each}" for each in OUTAGES)]
    assert -1e-6 < max(worst.values()) < 1e-9
    alone = area_of(folder, MESHED_RING.replace(str(list(OUTAGES)).replace("'", '"'), "[]"))
    assert max(worst_of(area, alone.allocate().limits_w).values()) > 1e-3


def test_no_vertex_breaks_anything_at_any_tap_with_generators(tmp_path: Path) -> None:
    """A regulating transformer in the ring moves while an element is out of service."""
    net = ring(4, 0, q_mvar=90.0)
    pp.create_transformer_from_parameters(
        net, 4, 13, sn_mva=150.0, vn_hv_kv=110.0, vn_lv_kv=110.0, vkr_percent=0.3, vk_percent=12.0,
        pfe_kw=0.0, i0_percent=0.0, tap_side="hv", tap_neutral=0, tap_min=-9, tap_max=9,
        tap_step_percent=1.0, tap_step_degree=0.0, tap_pos=1, tap_changer_type="Ratio",
    )  # fmt: skip
    pp.to_json(net, str(tmp_path / "net.json"))
    taps = 'taps = {"trafo:0" = [-1, 1]}\noutages'
    area = area_of(
        tmp_path, MESHED_RING.replace("outages", taps, 1).replace('"gen:0"', '"trafo:0"')
    )
    worst = worst_of(area, area.allocate().limits_w)
    moved = ["", "with trafo:0 at -1", "with trafo:0 at 0"]
    after = ["", " without line:1", " without line:4"]
    expected = {f"{tap}{outage}".strip() for tap in moved for outage in after}
    assert set(worst) == expected | {"without trafo:0"}
    assert -1e-6 < max(worst.values()) < 1e-9
    alone = area_of(tmp_path, MESHED_RING.replace(str(list(OUTAGES)).replace("'", '"'), "[]"))
    assert max(worst_of(area, alone.allocate().limits_w).values()) > 1e-3
    for name, flow in area.flows:  # the states are what pandapower has with these taps
        if name.startswith("with trafo:0 at ") and " without " not in name:
            stated = copy.deepcopy(net)
            stated.trafo["tap_pos"] = int(name.rpartition(" ")[2])
            own = meshed_network_from_pandapower(stated, passive="as-given", distributed_slack=True)
            assert abs(flow.network.admittance - own.admittance).max() < 1e-12


def test_power_factors_and_free_reactive_power_hold_in_every_state(folder: Path) -> None:
    text = MESHED_RING + 'power_factor = 0.95\ncone_power_factor = {"load:0" = 0.9}\n'
    scenario = load(folder, text)
    states = [scenario.ac_network, *(each.network for each in scenario.states)]
    assert len(states) == 4
    for network in states:
        np.testing.assert_allclose(network.reactive_ratio, np.tan(np.arccos(0.95)))
        assert network.reactive_freedom is not None
        assert (network.reactive_freedom.cone > 0).tolist() == [True, False, False, False]
    assert scenario.ac_network.name == "village"


def test_a_feeder_without_generators_may_be_meshed_too(tmp_path: Path) -> None:
    net = small_net()
    pp.create_line(net, 3, 4, 0.15, "NAYY 4x50 SE")
    pp.to_json(net, str(tmp_path / "net.json"))
    text = GOOD.replace('source = "net.json"', 'source = "net.json"\nmodel = "meshed"')
    plain = load(tmp_path, GOOD)
    meshed = load(tmp_path, text)
    secured = load(tmp_path, text.replace("[interface]", 'outages = ["line:0"]\n[interface]'))
    limits = [
        scenario.grid().allocate(scenario.interface_limits).limits_w
        for scenario in (plain, meshed, secured)
    ]
    np.testing.assert_array_equal(limits[0], limits[1])
    assert limits[2].min() < limits[0].min()


def test_what_allocate_and_verify_say(folder: Path, tmp_path: Path) -> None:
    path, file = folder / "ring.toml", tmp_path / "envelopes.json"
    path.write_text(MESHED_RING)
    result = run("allocate", path, "-o", file)
    assert result.exit_code == 0, result.stderr
    content = EnvelopeFile.model_validate_json(file.read_bytes())
    (interval,) = content.intervals
    named = {each.injection_bottleneck for each in interval.envelopes}
    assert any(" without " in name for name in named)
    assert named <= {each.element for each in interval.binding}
    assert f"{sorted(named)[0]} reaches" in result.stdout
    assert "networks with generators are not covered by the proof" in result.stdout

    verified = run("verify", path, file, "-o", tmp_path / "verdict.json")
    assert verified.exit_code == 0
    verdict = VerdictFile.model_validate_json((tmp_path / "verdict.json").read_bytes())
    assert verdict.secure
    assert verdict.detail in verified.stdout
    for found in verdict.intervals[0].binding:
        assert f"{found.detail}; {found.proof}" in verified.stdout

    larger = json.loads(file.read_text())
    for envelope in larger["intervals"][0]["envelopes"]:
        envelope["injection_limit_w"] = int(1.2 * envelope["injection_limit_w"])
    file.write_text(json.dumps(larger))
    broken = run("verify", path, file)
    assert broken.exit_code == 1
    assert "not secure: " in broken.stdout
    assert "The point that violates the limit" in broken.stdout


@pytest.mark.parametrize(
    ("old", "new", "element", "why"),
    [
        ('"gen:0"]', '"gen:0", "line:99"]', "line:99", "there is no such element that could fail"),
        ('"gen:0"]', '"load:0"]', "load:0", "there is no such element that could fail"),
        ('"gen:0"]', '"ext_grid:0"]', "ext_grid:0", "its outage cuts off bus:1, bus:4"),
        ('"gen:0"]', '"line:1"]', "network.outages", "it names line:1 2 times"),
        ('model = "meshed"', 'model = "radial"', "network.model", "'feeder' or 'meshed'"),
        (
            "[limits]",
            'connection_points = "asymmetric_load"\n[limits]',
            "network.model",
            "balanced",
        ),
        ("net.json", "feeder.dss", "network.model", "an OpenDSS circuit has no such model"),
        (
            "[limits]",
            '[inverters]\nresponse = "ieee1547-a"\nrating_va = 9\n[limits]',
            "network",
            "it has voltage-controlled generators",
        ),
        (
            "[limits]",
            "[uncertainty]\nrelative = 0.1\n[limits]",
            "uncertainty",
            "do not list their passive elements",
        ),
    ],
)
def test_faults_name_the_element(folder: Path, old: str, new: str, element: str, why: str) -> None:
    assert old in MESHED_RING
    found = faults_of(folder, MESHED_RING.replace(old, new))
    assert any(why in detail for detail in found[element]), found


def test_a_feeder_has_neither_outages_nor_generators(folder: Path) -> None:
    found = faults_of(folder, MESHED_RING.replace('model = "meshed"', ""))
    assert set(found) == {"network.distributed_slack", "network.outages", "gen:0", "gen:1"}
    assert "for models of meshed networks only" in found["gen:0"][0]


def test_faults_of_net_and_outages_are_reported_together(folder: Path) -> None:
    net = ring(4, 0)
    net.line.loc[2, "max_i_ka"] = 0.0
    net.gen.loc[1, "vm_pu"] = -1.0
    pp.to_json(net, str(folder / "net.json"))
    found = faults_of(folder, MESHED_RING.replace('"line:4"', '"line:44"'))
    assert set(found) == {"line:2", "gen:1", "line:44"}


def test_the_power_flow_of_generators_may_be_missing(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.formats.optional_packages.find_spec", lambda name: None)
    (detail,) = faults_of(folder, MESHED_RING)["network.model"]
    assert "lightsim2grid, which is not installed" in detail
