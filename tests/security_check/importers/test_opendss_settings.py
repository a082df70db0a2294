"""A circuit is the same whatever its file solved last, and whatever was read before it."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import opendssdirect as dss
import pytest
from opendss_oracle import circuit_voltages, solve_circuit
from presence import there
from random_circuits import Circuit, random_circuit
from sampling import examples

from doe_exchange import Area
from security_check.errors import NetworkFaults
from security_check.importers.opendss import network_from_opendss
from security_check.importers.opendss_circuit.settings import _SNAPSHOT
from security_check.model.network import Network
from security_check.power_flow.implicit_zbus import PowerFlow

# Settings of one solution.  Mode MF is not here: OpenDSS itself never ends it without a fault.
MODES = (
    "snap", "daily", "yearly", "dutycycle", "direct", "time", "peakday", "dynamics", "faultstudy",
    "harmonics", "harmonicT", "M1", "M2", "M3", "LD1", "LD2", "AutoAdd",
)  # fmt: skip
CHOICES: dict[str, tuple[str, ...]] = {
    "mode": MODES,
    "frequency": ("16.7", "50", "60", "300", "1e3"),
    "loadmult": ("0", "0.3", "3"), "genmult": ("0", "2"), "loadmodel": ("powerflow", "admittance"),
    "algorithm": ("normal", "newton"), "controlmode": ("off", "static", "event", "time"),
    "number": ("1", "2", "5"), "hour": ("0", "8", "4000"), "sec": ("0", "1800"),
    "stepsize": ("1", "15m", "1h"), "year": ("0", "9"), "random": ("none", "uniform", "gaussian"),
    "tolerance": ("1e-8", "0.5"), "maxiterations": ("1", "2", "100"), "miniterations": ("1", "9"),
    "maxcontroliter": ("1", "50"), "harmonics": ("all", "[5]", "[1 7]"), "%mean": ("10", "90"),
    "%growth": ("9",), "earthmodel": ("carson", "fullcarson", "deri"), "trapezoidal": ("yes",),
    "zonelock": ("yes",), "neglectloady": ("yes",), "normvminpu": ("0.5", "0.93"),
    "genkw": ("500",),
    "emergvmaxpu": ("2",), "cfactors": ("3",), "allocationfactors": ("0.2",),
    "addtype": ("generator",), "pricesignal": ("99",),
    "allowduplicates": ("yes",), "loadshapeclass": ("daily", "none"),
}  # fmt: skip
REFUSED = {
    "set basefrequency=50": "basefrequency",
    "set defaultbasefrequency=50": "basefrequency",
    "set cktmodel=positive": "cktmodel",
    "makeposseq": "cktmodel",
    "set seasonrating=yes": "seasonrating",
    "set mode=autoadd addtype=capacitor\nsolve": "autoadd",
    "set frequency=300\nset allowduplicates=yes\nnew load.twin bus1=b0 kv=12.47\n"
    "new load.twin bus1=b0 kv=12.47": "allowduplicates",
    "set mode=snap\nset frequency=180\nsolve\ncalcvoltagebases": "calcvoltagebases",
    "vsource.source.frequency=55": "base frequency",
    "newactor": "newactor",
    "clear": "clear",
}


def random_tail(rng: np.random.Generator) -> str:
    """Return random settings and solutions, which may end with either."""
    lines = []
    for _ in range(int(rng.integers(1, 7))):
        option = str(rng.choice(list(CHOICES)))
        option = "mode" if rng.random() < 0.3 else option
        option = "frequency" if rng.random() < 0.15 else option
        lines.append(f"set {option}={rng.choice(CHOICES[option])}")
        if rng.random() < 0.5:
            lines.append("solve")
    return "\n".join(lines)


def tail_that_runs(rng: np.random.Generator, master: Path) -> str:
    """Return a tail that OpenDSS itself accepts; the others are refused with OpenDSS's words."""
    tried = master.with_name("tried.dss")
    while True:
        tail, engine = random_tail(rng), dss.NewContext()
        engine.Basic.AllowChangeDir(False)
        tried.write_text(f"{master.read_text()}\n{tail}\nset mode=snap\nsolve\n")
        try:
            engine.Text.Command(f'compile "{tried}"')
        except dss.DSSException as error:
            number = str(error).partition(")")[0]
            with pytest.raises(NetworkFaults) as caught:
                network_from_opendss(tried, taps="as-given")
            assert f"OpenDSS: {number})" in str(caught.value)
        else:
            return tail


def read(folder: Path, circuit: tuple[str, Circuit], tail: str = "solve") -> tuple[Path, Network]:
    text, known = circuit
    master = folder / "tail.dss"
    master.write_text(f"{text}\n{tail}\n")
    return master, network_from_opendss(master, power_factor=0.95, taps=known.taps)


def assert_same(found: Network, wanted: Network) -> None:
    assert found.nodes == wanted.nodes
    assert found.connection_points == wanted.connection_points
    assert found.terminals.elements == wanted.terminals.elements
    for mine, theirs in (
        (found.admittance, wanted.admittance),
        (found.terminals.admittance, wanted.terminals.admittance),
    ):
        assert abs(mine - theirs).max() <= 1e-9 * abs(theirs).max()
    np.testing.assert_allclose(found.terminals.rating_pu, wanted.terminals.rating_pu, rtol=1e-12)
    nominal_v = there(found.voltages.nominal_v)
    np.testing.assert_allclose(nominal_v, there(wanted.voltages.nominal_v), rtol=1e-12)
    np.testing.assert_allclose(found.interface.phasors, wanted.interface.phasors, rtol=1e-12)


@pytest.mark.parametrize("seed", range(examples(30)))
def test_no_setting_of_a_solution_changes_the_network(tmp_path: Path, seed: int) -> None:
    rng = np.random.default_rng(7000 + seed)
    circuit = random_circuit(seed)
    plain, wanted = read(tmp_path, circuit)
    plain = plain.rename(tmp_path / "plain.dss")
    tail = tail_that_runs(rng, plain)
    _, found = read(tmp_path, circuit, tail)
    assert_same(found, wanted)
    # The oracle: OpenDSS itself, in the file without the tail.
    power_w = rng.uniform(-15e3, 15e3, circuit[1].customers)
    flow = PowerFlow(found)
    points = flow.solve(
        found.point_ports @ (power_w / found.base_power_w)[:, None],
        np.full((found.held, 1), 1.01),
    )
    ours = dict(zip(found.nodes, flow.node_voltages(points)[:, 0], strict=True))
    solve_circuit(plain, found, power_w, *circuit[1].commands, source_pu=1.01)
    for name, value in circuit_voltages().items():
        assert abs(ours[name] - value) < 1e-6, (name, tail)


@pytest.mark.parametrize("tail", REFUSED)
def test_what_changes_the_circuit_is_refused_by_its_name(tmp_path: Path, tail: str) -> None:
    rng = np.random.default_rng(len(tail))
    plain = tmp_path / "plain.dss"
    plain.write_text(random_circuit(3)[0])
    for before in ("", tail_that_runs(rng, plain)):
        after = "" if tail == "clear" else "solve"
        with pytest.raises(NetworkFaults, match=f"(?i){REFUSED[tail]}"):
            read(tmp_path, random_circuit(3), f"{before}\n{tail}\n{after}")


def test_a_circuit_leaves_nothing_to_the_next(tmp_path: Path) -> None:
    """OpenDSS keeps, for example, the default base frequency when a circuit is cleared."""
    circuit = random_circuit(5)
    _, wanted = read(tmp_path, circuit)
    for tail in REFUSED:
        with pytest.raises(NetworkFaults):
            read(tmp_path, circuit, f"{tail}\nset longlinecorrection=yes")
        assert_same(read(tmp_path, circuit)[1], wanted)


def test_an_element_may_be_stated_at_a_frequency_of_its_own(tmp_path: Path) -> None:
    """OpenDSS converts it, so does the reader; a 50 Hz circuit is one throughout."""
    text = """clear
set defaultbasefrequency=50
new circuit.fifty basekv=20 bus1=src
new linecode.sixty nphases=3 basefreq=60 r1=0.2 x1=0.6 r0=0.6 x0=1.8 c1=10 c0=4 units=km
new line.a bus1=src bus2=b linecode=sixty length=3 units=km normamps=300
new load.l bus1=b kv=20 kw=100
set voltagebases=[20]
calcvoltagebases
"""
    master = tmp_path / "fifty.dss"
    master.write_text(text + "solve mode=harmonics\n")
    network = network_from_opendss(master)
    master.write_text(text)
    power_w = np.array([-4e5])
    points = PowerFlow(network).solve(
        network.point_ports @ (power_w / network.base_power_w)[:, None],
        np.full((network.held, 1), 1.0),
    )
    mine = dict(zip(network.nodes, PowerFlow(network).node_voltages(points)[:, 0], strict=True))
    solve_circuit(master, network, power_w)
    dss.Text.Command("get frequency")
    assert dss.Text.Result() == "50"
    for name, value in circuit_voltages().items():
        assert abs(mine[name] - value) < 1e-6
    dss.Text.Command("set defaultbasefrequency=60")


def test_every_setting_of_a_snapshot_is_known_to_opendss() -> None:
    count = dss.Executive.NumOptions()
    known = {str(dss.Executive.Option(k)).lower() for k in range(1, count + 1)}
    assert set(_SNAPSHOT) <= known
    assert set(CHOICES) <= known


FEEDER = """clear
new circuit.c basekv=20 pu=1.0 phases=3 bus1=src MVAsc3=200 MVAsc1=200
new transformer.t phases=3 windings=2 buses=(src b1) conns=(delta wye) kvs=(20 0.4) kvas=(250 250) \
xhl=4 %loadloss=1
new linecode.lc nphases=3 r1=0.2 x1=0.1 r0=0.6 x0=0.3 c1=9 c0=4 units=km normamps=300
new line.l1 bus1=b1 bus2=b2 linecode=lc length=0.3 units=km
new load.a bus1=b2 phases=3 kv=0.4 kw=10 pf=1
new load.b bus1=b2.1 phases=1 kv=0.23 kw=3 pf=1
new load.d bus1=b2.1.2 phases=1 conn=delta kv=0.4 kw=3 pf=1
set voltagebases=[20 0.4]
calcvoltagebases
"""


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(examples(6)))
def test_published_boxes_hold_at_base_frequency(tmp_path: Path, seed: int) -> None:
    """OpenDSS's voltages at all vertices of the box of a file with a tail, without the tail."""
    rng = np.random.default_rng(seed)
    plain, tailed = tmp_path / "plain.dss", tmp_path / "tailed.dss"
    plain.write_text(FEEDER)
    tailed.write_text(f"{FEEDER}\n{tail_that_runs(rng, plain)}\nset frequency=300\nsolve\n")
    area = Area.from_opendss(tailed, capacity_w=200_000, interface=(0.99, 1.01))
    limits = area.allocate().to_frame().set_index("connection_point")
    network = network_from_opendss(plain)
    reach = (0.9, 1.1)
    worst = [1.0, 1.0]
    for source_pu in (0.99, 1.01):
        for ends in itertools.product((0, 1), repeat=len(network.connection_points)):
            power_w = np.array(
                [
                    limits.injection_limit_w[each] if up else -limits.withdrawal_limit_w[each]
                    for each, up in zip(network.connection_points, ends, strict=True)
                ],
                dtype=float,
            )
            solve_circuit(plain, network, power_w, source_pu=source_pu)
            size = [abs(value) for name, value in circuit_voltages().items() if "src" not in name]
            worst = [min(worst[0], *size), max(worst[1], *size)]
    assert reach[0] - 1e-6 < worst[0]
    assert worst[1] < reach[1] + 1e-6
    assert worst[0] < reach[0] + 0.01 or worst[1] > reach[1] - 0.01  # the box is tight
