"""Scenarios whose taps may be anywhere in a range, in every kind of network."""

from __future__ import annotations

import json
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pandapower as pp
import pytest
from command_line import run
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from opendss_oracle import circuit_current, circuit_voltages, element_of, solve_circuit
from phase_networks import phase_net, run_phases
from scenario_files import GOOD, faults_of, load, small_net

from gateway.formats.envelope_file import EnvelopeFile
from gateway.formats.envelope_rows import read_table
from gateway.plots.network_loading import worst_loadings
from gateway.scenario.loading import load_scenario
from gateway.scenario.scenario import Scenario
from security_check.checking.check import SecurityCheck
from security_check.model.element import Element
from tools import check_certificate

Net = Any
SECURE = 1e-6
LARGE = GOOD.replace("30000", "300000").replace("20000", "300000")


def tapped(transformers: int = 1) -> Net:
    """Return the small net with equal transformers side by side, each with a tap of its own."""
    net = small_net()
    for _ in range(transformers - 1):
        pp.create_transformer(net, 0, 1, "0.25 MVA 20/0.4 kV")
    net.trafo = net.trafo.astype({"tap_changer_type": object, "tap_side": object})
    net.trafo["tap_side"], net.trafo["tap_changer_type"] = "hv", "Ratio"
    net.trafo["tap_neutral"], net.trafo["tap_pos"] = 0.0, 1.0
    net.trafo["tap_min"], net.trafo["tap_max"] = -8.0, 8.0
    net.trafo["tap_step_percent"], net.trafo["tap_step_degree"] = 0.6, 0.0
    return net


def stated(taps: str, more: str = "", text: str = GOOD) -> str:
    return text.replace("[network]\n", f"[network]\ntaps = {taps}\n{more}")


def allocated(scenario: Scenario) -> SecurityCheck:
    check = scenario.grid().allocate(scenario.interface_limits)
    assert isinstance(check, SecurityCheck)
    return check


def corners(check: SecurityCheck, scenario: Scenario) -> list[tuple[np.ndarray, float]]:
    """Return the powers at every vertex of the envelopes, at both ends of the band."""
    injection_w, withdrawal_w = np.split(check.limits_w, 2)
    limits = scenario.interface_limits
    band = sorted({limits.voltage_min_pu, limits.voltage_max_pu})
    return [
        (np.where(up, injection_w, -withdrawal_w).astype(float), source_pu)
        for up in product((True, False), repeat=len(injection_w))
        for source_pu in band
    ]


def beyond(scenario: Scenario, volts: Any, loading: Any) -> float:
    limits = scenario.voltage_limits
    return max(
        np.max(volts) - limits.maximum_pu, limits.minimum_pu - np.min(volts), np.max(loading) - 1.0
    )


def assert_tight(scenario: Scenario, check: SecurityCheck, worst: dict[str, float]) -> None:
    """Check that no limit is broken in any state, and that one is reached in some state."""
    assert max(worst.values()) <= SECURE, worst
    assert max(worst.values()) > -1e-4, worst
    assert (check.limits_w < scenario.capacity.injection_w.max()).any()
    reached = {str(Element.parse(each.verdict.element).state) for each in check.explanations()}
    fullest = max(worst, key=worst.__getitem__)
    assert fullest in reached, (fullest, reached)


def test_of_two_transformers_side_by_side(tmp_path: Path) -> None:
    """Currents circulate where the taps differ; and one of the two may be out of service."""
    net = tapped(2)
    pp.to_json(net, str(tmp_path / "net.json"))
    more = 'model = "meshed"\noutages = ["trafo:0"]\n'
    text = LARGE.replace("0.98", "1.04")
    scenario = load(tmp_path, stated('{"trafo:0" = [0, 2], "trafo:1" = [1, 2]}', more, text))
    # A transformer out of service has no position: 2 states after the outage, not 6.
    assert len(scenario.states) == 5 + 2
    check = allocated(scenario)
    worst: dict[str, float] = {}
    for first, second, outage in product((0, 1, 2), (1, 2), ("", "trafo:0")):
        moved = [f"trafo:0 at {first}"] * (first != 1 and not outage)
        moved += [f"trafo:1 at {second}"] * (second != 1)
        state = f"with {' and '.join(moved)}" if moved else ""
        state = f"{state} without {outage}".strip() if outage else state
        if state in worst:
            continue
        net.trafo["tap_pos"] = [float(first), float(second)]
        net.trafo.loc[0, "in_service"] = not outage
        for power_w, source_pu in corners(check, scenario):
            net.load["p_mw"], net.ext_grid["vm_pu"] = -power_w / 1e6, source_pu
            pp.runpp(net, tolerance_mva=1e-10, numba=False)
            loading = [*net.res_line.loading_percent, *net.res_trafo.loading_percent.fillna(0.0)]
            found = beyond(scenario, net.res_bus.vm_pu[1:], np.array(loading) / 100.0)
            worst[state] = max(found, worst.get(state, -np.inf))
    assert {str(each.state) for each in scenario.states} | {""} == set(worst)
    assert_tight(scenario, check, worst)


def test_of_phases(tmp_path: Path) -> None:
    net = phase_net(2, 1)
    net.trafo = net.trafo.astype({"tap_changer_type": object, "tap_side": object})
    net.trafo["tap_side"], net.trafo["tap_changer_type"] = "hv", "Ratio"
    net.trafo["tap_neutral"], net.trafo["tap_pos"] = 0.0, 0.0
    net.trafo["tap_min"], net.trafo["tap_max"] = -2.0, 2.0
    net.trafo["tap_step_percent"], net.trafo["tap_step_degree"] = 1.5, 0.0
    pp.to_json(net, str(tmp_path / "net.json"))
    more = 'connection_points = "asymmetric_load"\n'
    text = GOOD.replace("0.98", "1.02").replace("1.04", "1.02")
    scenario = load(tmp_path, stated('{"trafo:0" = [-1, 0]}', more, text))
    check = allocated(scenario)
    alone = load(tmp_path, stated('{"trafo:0" = 0}', more, text))
    assert (allocated(alone).limits_w.min() > check.limits_w.min() + 100).all()
    worst: dict[str, float] = {}
    terminals = scenario.ac_network.terminals
    for at, state in ((0, ""), (-1, "with trafo:0 at -1")):
        for power_w, source_pu in corners(check, scenario):
            solved = phase_net(2, 1)
            solved.trafo = net.trafo.copy()
            solved.trafo["tap_pos"] = float(at)
            run_phases(solved, scenario.ac_network, power_w, source_pu)
            volts = solved.res_bus_3ph.loc[1:, ["vm_a_pu", "vm_b_pu", "vm_c_pu"]].to_numpy()
            ends = [f"i_{phase}_{end}_ka" for phase in "abc" for end in ("from", "to")]
            lines = solved.res_line_3ph[ends].max(axis=1) / net.line.max_i_ka
            trafo = solved.res_trafo_3ph.loading_percent / 100.0
            found = beyond(scenario, volts, [*lines, *trafo])
            worst[state] = max(found, worst.get(state, -np.inf))
    assert len(terminals.elements) == 6 * (len(net.line) + len(net.trafo))
    assert_tight(scenario, check, worst)


REGULATED = """clear
new circuit.village basekv=12.47 pu=1 phases=3 bus1=up
{transformers}
new line.l bus1=mid bus2=end phases=3 r1=1.2 x1=0.9 c1=0 c0=0 length=1 normamps=200
new load.a phases=1 bus1=end.1 kv=7.2 kw=1
new load.b phases=1 bus1=end.2 kv=7.2 kw=1
new load.c phases=3 bus1=end kv=12.47 kw=1
set voltagebases=[12.47]
calcvoltagebases
"""
REGULATOR = """new transformer.reg{0} phases=1 buses=(up.{1} mid.{1}) kvs=(7.2 7.2) \
kvas=(2000 2000) xhl=1 taps=(1 {2})
new regcontrol.ctl{0} transformer=reg{0} winding=2 vreg=120 ptratio=60 band=2"""


def test_of_opendss_regulators(tmp_path: Path) -> None:
    """Two regulators in ranges, one by its transformer's name; the third outside of its range."""
    ratios = {"a": 1 + 2 / 160, "b": 1.0, "c": 1 + 9 / 160}
    master = tmp_path / "village.dss"
    regulators = [REGULATOR.format(p, k, ratios[p]) for k, p in enumerate(ratios, start=1)]
    master.write_text(REGULATED.format(transformers="\n".join(regulators)))
    text = GOOD.replace("net.json", "village.dss").replace("30000", "3000000")
    text = text.replace("20000", "3000000").replace("0.98", "1.0").replace("1.04", "1.02")
    scenario = load(tmp_path, stated("{ctla = [2, 4], regb = [-2, -1], ctlc = [7, 8]}", "", text))
    assert len(scenario.states) == 11
    check = allocated(scenario)
    network = scenario.ac_network
    rated_a = network.terminals.rating_pu * network.terminals.base_current_a
    worst: dict[str, float] = {}
    # Where the files put them, or the nearest end: 2, -1 and 8.
    for a, b, c in product((2, 3, 4), (-2, -1), (7, 8)):
        moved = [f"ctla at {a}"] * (a != 2) + [f"regb at {b}"] * (b != -1)
        moved += [f"ctlc at {c}"] * (c != 8)
        state = f"with {' and '.join(moved)}" if moved else ""
        taps = [f"regcontrol.ctl{p}.tapnum={at}" for p, at in (("a", a), ("b", b), ("c", c))]
        for power_w, source_pu in corners(check, scenario):
            solve_circuit(master, network, power_w, *taps, source_pu=source_pu)
            volts = np.abs(list(circuit_voltages().values()))
            ends = zip(network.terminals.elements, network.terminals.sides, strict=True)
            loading = [
                circuit_current(element, side, node) / limit_a
                for (element, node), side, limit_a in (
                    (element_of(name), side, limit_a)
                    for (name, side), limit_a in zip(ends, rated_a, strict=True)
                )
            ]
            found = beyond(scenario, volts, loading)
            worst[state] = max(found, worst.get(state, -np.inf))
    assert {str(each.state) for each in scenario.states} | {""} == set(worst)
    assert_tight(scenario, check, worst)


def test_what_the_commands_write(tmp_path: Path) -> None:
    """``allocate``, ``verify``, ``plot`` and the certificate cover every position."""
    pp.to_json(tapped(), str(tmp_path / "net.json"))
    path, out, proof = (tmp_path / name for name in ("village.toml", "out.json", "proof.json"))
    path.write_text(stated('{"trafo:0" = [-6, -3]}'))
    result = run("allocate", path, "-o", out, "--certificate", proof)
    assert result.exit_code == 0, result.stderr
    content = EnvelopeFile.model_validate_json(out.read_bytes())
    (interval,) = content.intervals
    assert interval.proof is not None
    assert interval.proof.secure
    named = {each.injection_bottleneck for each in interval.envelopes}
    assert any(" with trafo:0 at -6" in name for name in named), named
    assert any("with trafo:0 at" in each.element for each in interval.binding)
    parts = json.loads(proof.read_text())["content"]["intervals"][0]["parts"]
    assert len(parts) == 4
    assert {part.get("state", "") for part in parts} == {""} | {
        f"with trafo:0 at {at}" for at in (-6, -5, -4)
    }
    assert check_certificate.main(str(proof)) == 0
    assert run("verify", path, out).exit_code == 0
    path.write_text(stated('{"trafo:0" = [-8, -3]}'))
    assert run("verify", path, out).exit_code == 1
    path.write_text(stated('{"trafo:0" = [-6, -3]}'))
    loadings = worst_loadings(load_scenario(path), read_table(out), 0)
    assert max(loadings.values()) == pytest.approx(1.0, abs=1e-3)
    assert set(loadings) >= {f"bus:{k}" for k in range(1, 5)} | {"trafo:0", "line:0"}
    draw = ("plot", out, "-o", tmp_path / "picture.png", "--kind", "network")
    assert run(*draw, "--scenario", path).exit_code == 0


def test_impedance_tolerances_are_those_of_every_state(tmp_path: Path) -> None:
    pp.to_json(tapped(), str(tmp_path / "net.json"))
    tolerant = "\n[uncertainty]\nimpedance = 0.1\n"
    found = [
        allocated(load(tmp_path, stated(taps, "", LARGE) + more)).limits_w.min()
        for taps in ('{"trafo:0" = 1}', '{"trafo:0" = [0, 1]}')
        for more in ("", tolerant)
    ]
    exact, uncertain, exact_ranged, uncertain_ranged = found
    assert exact_ranged <= exact + 1
    assert uncertain_ranged <= uncertain + 1
    assert uncertain < exact
    assert uncertain_ranged < exact_ranged
    scenario = load(tmp_path, stated('{"trafo:0" = [0, 1]}') + tolerant)
    for each in scenario.states:
        assert each.network.ports.names == scenario.ac_network.ports.names


# -- refusals -------------------------------------------------------------------------------------

NAMES = st.sampled_from(["trafo:0", "trafo:1", "trafo:7", "load:0"])
ENDS = st.sampled_from([-40, -9, -8, -1, 0, 0.5, 1, 2, 8, 9])
RANGES = st.lists(ENDS, min_size=0, max_size=3)


def expected_faults(taps: dict[str, list[float]]) -> set[str]:
    """Return the elements at fault, by the rules of docs/networks.md."""
    found = set()
    states = 1
    for name, ends in taps.items():
        fits = len(ends) == 2 and all(float(each).is_integer() for each in ends)
        sound = fits and ends[0] <= ends[1]
        if sound:
            states *= int(ends[1] - ends[0]) + 1
        # The second transformer has no tap changer.
        if not sound or name != "trafo:0" or min(ends) < -8 or max(ends) > 8:
            found.add(name)
    return found | ({"network.taps"} if states > 64 else set())


@settings(
    max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.dictionaries(NAMES, RANGES, min_size=1, max_size=3))
def test_ranges_that_are_none_are_named(tmp_path: Path, taps: dict[str, list[float]]) -> None:
    net = tapped(2)
    net.trafo.loc[1, "tap_step_percent"] = np.nan
    net.trafo.loc[1, "tap_pos"] = 0.0
    net.trafo.loc[1, "tap_changer_type"] = None
    pp.to_json(net, str(tmp_path / "net.json"))
    text = stated(toml_value(taps))
    expected = expected_faults(taps)
    if not expected:
        load(tmp_path, text)
        return
    found = faults_of(tmp_path, text)
    assert set(found) == expected, (taps, found)
    for name, details in found.items():
        ends = taps.get(name, [])
        if ends and name in ("trafo:0", "trafo:1") and "no tap changer" not in details[0]:
            assert any(f"{each:g}" in detail for each in ends for detail in details)


def toml_value(taps: dict[str, list[float]]) -> str:
    return "{" + ", ".join(f'"{name}" = {ends}' for name, ends in taps.items()) + "}"


@pytest.mark.parametrize(
    ("taps", "element", "why"),
    [
        ('{"trafo:0" = [-8, 8], "trafo:1" = [-8, 8]}', "network.taps", "are 289 states"),
        ('{"trafo:0" = [2, -2]}', "trafo:0", "[2, -2]; its lowest position is above its highest"),
        ('{"trafo:0" = [-9, 2]}', "trafo:0", "-9 is not within -8 to 8"),
        ('{"trafo:0" = [0.5, 2]}', "trafo:0", "[0.5, 2]; it must be two whole numbers"),
        ('{"trafo:0" = []}', "trafo:0", "[]; it must be two whole numbers"),
        ('{"trafo:0" = [1, nan]}', "network.taps", "a table of numbers or pairs of them"),
        ('{"trafo:0" = [true, 2]}', "network.taps", "a table of numbers or pairs of them"),
    ],
)
@pytest.mark.parametrize("model", ["feeder", "meshed"])
def test_refusals_in_words(tmp_path: Path, taps: str, element: str, why: str, model: str) -> None:
    pp.to_json(tapped(2), str(tmp_path / "net.json"))
    found = faults_of(tmp_path, stated(taps, f'model = "{model}"\n'))
    assert why in found[element][0], found


def test_too_many_states_with_outages_are_counted(tmp_path: Path) -> None:
    pp.to_json(tapped(2), str(tmp_path / "net.json"))
    more = 'model = "meshed"\noutages = ["trafo:0", "trafo:1"]\n'
    (detail,) = faults_of(tmp_path, stated('{"trafo:0" = [-8, 8], "trafo:1" = [0, 1]}', more))[
        "network.taps"
    ]
    assert "trafo:0 with 17 positions (-8 to 8) and trafo:1 with 2 positions (0 to 1)" in detail
    assert "each also after 2 outages, are 102 states" in detail
    assert "at most 64" in detail


@pytest.mark.parametrize(
    ("actions", "element", "why"),
    [
        ('taps = {"trafo:0" = [-1, 1]}', "trafo:0", "network.taps has it anywhere in [-2, 2]"),
        ('taps = ["trafo:0"]', "trafo:0", "actions.taps moves its tap"),
        ('switchable = ["line:0"]', "actions", "trafo:0 anywhere in [-2, 2]"),
    ],
)
def test_actions_need_positions(tmp_path: Path, actions: str, element: str, why: str) -> None:
    pp.to_json(tapped(), str(tmp_path / "net.json"))
    found = faults_of(tmp_path, stated('{"trafo:0" = [-2, 2]}') + f"\n[actions]\n{actions}\n")
    assert list(found) == [element]
    assert why in found[element][0]


def test_opendss_refusals_name_the_key(tmp_path: Path) -> None:
    regulators = [REGULATOR.format(p, k, 1.0) for k, p in enumerate("abc", start=1)]
    (tmp_path / "village.dss").write_text(REGULATED.format(transformers="\n".join(regulators)))
    text = GOOD.replace("net.json", "village.dss")
    taps = "{ctla = [15, 17], regb = [3, 1], far = [0, 1]}"
    found = faults_of(tmp_path, stated(taps, "", text))
    assert set(found) == {
        "network.taps.ctla", "network.taps.regb", "network.taps.far", "regcontrol:ctlc"
    }  # fmt: skip
    assert (
        "its position is 17; it must be a whole number of -16 to 16"
        in found["network.taps.ctla"][0]
    )
    assert "[3, 1]; its lowest position" in found["network.taps.regb"][0]
    assert "the regulators are ctla, ctlb, ctlc" in found["network.taps.far"][0]
