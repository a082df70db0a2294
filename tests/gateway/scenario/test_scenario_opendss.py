"""OpenDSS circuits as the network of a scenario: what must be stated about them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandapower as pp
import pytest
from command_line import run
from opendss_oracle import circuit_current, circuit_voltages, element_of, solve_circuit
from scenario_files import GOOD, faults_of, load, small_net

from gateway.formats.envelope_file import EnvelopeFile
from gateway.formats.input_files import bundled
from security_check.importers.opendss import network_from_opendss

CIRCUIT = """clear
new circuit.village basekv=12.47 pu=1 phases=3 bus1=up
new transformer.reg phases=3 buses=(up b1) kvs=(12.47 12.47) kvas=(5000 5000) xhl=1
new regcontrol.ctl transformer=reg winding=2 vreg=120 ptratio=60 band=2
new capacitor.cap bus1=b1 phases=3 kv=12.47 kvar=300
new capcontrol.switch capacitor=cap element=transformer.reg terminal=1 type=voltage ptratio=60
new line.l bus1=b1 bus2=b2 phases=3 r1=0.6 x1=0.3 length=1
new load.a phases=1 bus1=b2.1 kv=7.2 kw=1
new load.b phases=3 bus1=b2 kv=12.47 kw=1
set voltagebases=[12.47]
calcvoltagebases
"""
STATED = "taps = {reg = 4}\ncapacitors = {cap = 0}\ndefault_rating_a = 120\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "village.dss").write_text(CIRCUIT)
    return tmp_path


def text(stated: str = "", source: str = "village.dss") -> str:
    return GOOD.replace('source = "net.json"\n', f'source = "{source}"\n{stated}')


def test_what_is_not_stated_is_named(folder: Path) -> None:
    assert set(faults_of(folder, text())) == {"regcontrol:ctl", "capcontrol:switch", "line:l"}


def test_what_is_stated_is_the_network(folder: Path) -> None:
    scenario = load(folder, text(STATED))
    expected = network_from_opendss(
        folder / "village.dss", taps={"ctl": 4}, capacitors={"cap": [0]}, default_rating_a=120.0
    )
    assert abs(scenario.ac_network.admittance - expected.admittance).max() == 0.0
    other = load(folder, text(STATED.replace("reg = 4", "reg = 5"))).ac_network
    assert abs(scenario.ac_network.admittance - other.admittance).max() > 1e-3
    rated = expected.terminals.rating_pu * expected.terminals.base_current_a
    lines = [name.startswith("line:") for name in expected.terminals.elements]
    np.testing.assert_allclose(rated[lines], 120.0)
    assert scenario.grid().allocate(scenario.interface_limits).verdict.secure


@pytest.mark.parametrize(
    ("old", "new", "element", "why"),
    [
        ("{reg = 4}", '"fixed"', "network.taps", '"as-given", "neutral" or a table'),
        ("{reg = 4}", "{reg = 4.5}", "network.taps.reg", "a whole number of -16 to 16"),
        ("{reg = 4}", "{reg = true}", "network.taps", "a table of numbers"),
        ("{reg = 4}", "{reg = 40}", "network.taps.reg", "-16 to 16"),
        ("{reg = 4}", "{reg = 4, far = 4}", "network.taps.far", "the regulators are ctl"),
        ("{reg = 4}", "{}", "regcontrol:ctl", "no position"),
        ("{cap = 0}", '"neutral"', "network.capacitors", '"as-given" or a table'),
        ("{cap = 0}", "{cap = [0, 1]}", "network.capacitors.cap", "it has 1 steps"),
        ("= 120", "= 0", "network.default_rating_a", "greater than 0"),
        ("= 120", "= 9999", "network.default_rating_a", "less than 9999"),
        ("taps", 'passive = "as-given"\ntaps', "network.passive", "taken out of service"),
        ("taps", 'connection_points = "sgen"\ntaps', "network.connection_points", "sgen"),
    ],
)
def test_wrong_statements(folder: Path, old: str, new: str, element: str, why: str) -> None:
    found = faults_of(folder, text(STATED.replace(old, new, 1)))
    assert list(found) == [element], found
    assert why in found[element][0]


@pytest.mark.parametrize("key", ["capacitors", "default_rating_a"])
def test_they_are_not_for_pandapower_nets(tmp_path: Path, key: str) -> None:
    pp.to_json(small_net(), str(tmp_path / "net.json"))
    value = "5" if key == "default_rating_a" else '"as-given"'
    found = faults_of(tmp_path, text(f"{key} = {value}\n", "net.json"))
    assert list(found) == [f"network.{key}"]
    assert "OpenDSS" in found[f"network.{key}"][0]


def test_bundled_circuits(folder: Path) -> None:
    source = text('taps = "neutral"\n', "bundled:ieee13")
    scenario = load(folder, source)
    expected = network_from_opendss(bundled("ieee13.dss"), taps="neutral")
    assert scenario.network.nodes == expected.nodes
    assert abs(scenario.ac_network.admittance - expected.admittance).max() == 0.0
    assert {"regcontrol:rega", "regcontrol:regb", "regcontrol:regc"} == set(
        faults_of(folder, text("", "bundled:ieee13"))
    )
    unknown = faults_of(folder, text("", "bundled:ieee14"))["network.source"][0]
    assert "ieee13" in unknown
    assert "semiurb4" in unknown
    with_actions = source + "\n[actions]\ntaps = ['trafo:0']\n"
    assert "an OpenDSS circuit" in faults_of(folder, with_actions)["actions"][0]


def test_envelopes_of_a_test_feeder(folder: Path) -> None:
    path, out = folder / "feeder.toml", folder / "envelopes.json"
    bounds = "[limits]\nvoltage_min_pu = 0.9\nvoltage_max_pu = 1.1\n"
    path.write_text(text('taps = "neutral"\n', "bundled:ieee13").replace("0.98", "0.99") + bounds)
    assert run("allocate", str(path), "--output", str(out)).exit_code == 0
    assert len(EnvelopeFile.model_validate_json(out.read_text()).intervals[0].envelopes) == 15
    assert run("verify", str(path), str(out)).exit_code == 0


@pytest.mark.slow
@pytest.mark.parametrize("feeder", ["ieee13", "ieee34", "ieee37", "ieee123"])
def test_opendss_finds_no_limit_exceeded_within_the_envelopes(folder: Path, feeder: str) -> None:
    """At random vertices, phases against each other, and all together; at both ends of the band."""
    bounds = "[limits]\nvoltage_min_pu = 0.9\nvoltage_max_pu = 1.1\n"
    given = text('taps = "neutral"\n', f"bundled:{feeder}").replace("0.98", "0.99")
    given = given.replace("30000", "500000").replace("20000", "500000")
    scenario = load(folder, given.replace("1.04", "1.01") + bounds)
    check = scenario.grid().allocate(scenario.interface_limits)
    assert check.verdict.loading > 0.99, "nothing is near its limit, so nothing is tried"
    injection_w, withdrawal_w = np.split(check.limits_w, 2)
    network, rng = scenario.ac_network, np.random.default_rng(0)
    phases = np.array([int(name.rsplit(".", 1)[1]) for name in network.ports.names])
    of_point = phases[np.asarray(network.port_shares.argmax(axis=0)).ravel()]
    patterns = [np.full(len(of_point), up) for up in (True, False)]
    patterns += [(of_point == phase) == up for phase in (1, 2, 3) for up in (True, False)]
    patterns += [rng.random(len(of_point)) < 0.5 for _ in range(20)]
    neutral = [f"regcontrol.{name}.tapnum=0" for name in CONTROLS[feeder]]
    for injects in patterns:
        for source_pu in (0.99, 1.01):
            power_w = np.where(injects, injection_w, -withdrawal_w)
            path = bundled(f"{feeder}.dss")
            solve_circuit(path, network, power_w, *neutral, source_pu=source_pu)
            volts = np.abs(list(circuit_voltages().values()))
            assert volts.min() > 0.9 - 1e-6
            assert volts.max() < 1.1 + 1e-6
            terminals = network.terminals
            rated_a = terminals.rating_pu * terminals.base_current_a
            for k, (name, side) in enumerate(zip(terminals.elements, terminals.sides, strict=True)):
                element, node = element_of(name)
                assert circuit_current(element, side, node) < rated_a[k] * (1 + 1e-6), name


CONTROLS = {
    "ieee13": ("rega", "regb", "regc"),
    "ieee34": ("reg1a", "reg1b", "reg1c", "reg2a", "reg2b", "reg2c"),
    "ieee37": ("rega", "regc"),
    "ieee123": ("reg1", "reg2a", "reg3a", "reg3c", "reg4a", "reg4b", "reg4c"),
}
