"""Multi-conductor networks: against pandapower's three-phase run and against OpenDSS."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import numpy as np
import opendssdirect as dss
import pandapower as pp
import pytest
from brute_force import solve
from european_feeder import SOURCE_PU, european_circuit, european_net
from others_warnings import others_warnings_ignored
from sampling import some

from doe_allocation.allocation.network_grid import NetworkGrid
from doe_allocation.capacity import Capacity
from security_check.checking.check import SecurityCheck
from security_check.errors import NetworkFaults
from security_check.importers.opendss import network_from_opendss
from security_check.importers.pandapower_phases import phases_from_pandapower
from security_check.model.limits import InterfaceLimits, VoltageLimits
from security_check.model.network import Network
from security_check.power_flow.implicit_zbus import PowerFlow
from security_check.verification.adversary import attack

CONTRACT = InterfaceLimits(0.98, 1.04)


@pytest.fixture(scope="module")
def network() -> Network:
    return phases_from_pandapower(european_net())


@pytest.fixture(scope="module")
def grid(network: Network) -> NetworkGrid:
    capacity = Capacity.same(network.connection_points, 30_000, 30_000)
    return NetworkGrid(network, VoltageLimits(), capacity)


@pytest.fixture(scope="module")
def allocated(grid: NetworkGrid) -> SecurityCheck:
    return grid.allocate(CONTRACT)


def random_powers(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).uniform(-6e3, 6e3, 55)


def solved(network: Network, power_w: np.ndarray) -> np.ndarray:
    flow = PowerFlow(network)
    points = solve(flow, (power_w / network.base_power_w)[:, None], np.array([SOURCE_PU]))
    return flow.node_voltages(points)[:, 0]


def run_three_phase(net: Any, power_w: np.ndarray) -> None:
    """Give each customer a power, injection positive, and run pandapower."""
    table = net.asymmetric_load
    for k, index in enumerate(table.index):
        for phase in "abc":
            connected = table.at[index, f"p_{phase}_mw"] > 0
            table.at[index, f"p_{phase}_mw"] = -power_w[k] / 1e6 if connected else 0.0
            table.at[index, f"q_{phase}_mvar"] = 0.0
    with others_warnings_ignored():
        pp.runpp_3ph(net, numba=False)
        for _ in range(3):  # it stops early; starting from its own result makes it go on
            pp.runpp_3ph(net, numba=False, init="results")


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_voltages_and_currents_equal_pandapowers_three_phase_run(
    network: Network, seed: int
) -> None:
    net, power_w = european_net(), random_powers(seed)
    run_three_phase(net, power_w)
    voltage = solved(network, power_w)
    at = {node: k for k, node in enumerate(network.nodes)}
    inside = [bus for bus in net.bus.index if bus != net.ext_grid.bus.iloc[0]]
    for phase in "abc":
        ours = np.abs(voltage[[at[f"bus:{bus}.{phase}"] for bus in inside]])
        theirs = net.res_bus_3ph.loc[inside, f"vm_{phase}_pu"].to_numpy()
        assert np.abs(ours - theirs).max() < 1e-6
    terminals = network.terminals
    current = np.abs(terminals.admittance @ voltage) * terminals.base_current_a
    for k, (element, side) in enumerate(zip(terminals.elements, terminals.sides, strict=True)):
        if element.startswith("line:"):
            index, phase = element.removeprefix("line:").split(".")
            theirs_ka = net.res_line_3ph.at[int(index), f"i_{phase}_{side}_ka"]
            assert current[k] == pytest.approx(1e3 * theirs_ka, abs=5e-3)


def test_voltages_equal_opendss_within_half_a_millivolt(tmp_path: Path) -> None:
    master = european_circuit(tmp_path)
    network, power_w = network_from_opendss(master), random_powers(4)
    voltage = np.abs(solved(network, power_w))
    dss.Text.Command(f'compile "{master}"')
    for k, point in enumerate(network.connection_points):
        dss.Text.Command(f"load.{point.removeprefix('load:')}.kw={-power_w[k] / 1e3}")
        dss.Text.Command(f"load.{point.removeprefix('load:')}.kvar=0")
    for command in ("set tolerance=1e-9", "set maxiterations=100", "solve"):
        dss.Text.Command(command)
    assert dss.Solution.Converged()
    at = {node: k for k, node in enumerate(network.nodes)}
    names = [f"bus:{name.lower()}" for name in dss.Circuit.AllNodeNames()]
    theirs = np.array(dss.Circuit.AllBusMagPu())
    apart_v = 230.0 * np.abs(voltage[[at[name] for name in names]] - theirs)
    assert apart_v.max() < 0.5e-3


def test_both_sources_describe_the_same_feeder(network: Network, tmp_path: Path) -> None:
    other = network_from_opendss(european_circuit(tmp_path))
    power_w = random_powers(5)
    one, two = np.abs(solved(network, power_w)), np.abs(solved(other, power_w))
    for number, phase in ((1, "a"), (2, "b"), (3, "c")):
        for bus in (34, 400, 906):
            ours = one[network.nodes.index(f"bus:{bus}.{phase}")]
            theirs = two[other.nodes.index(f"bus:b{bus}.{number}")]
            # The two differ in the transformer's zero-sequence impedance.
            assert ours == pytest.approx(theirs, abs=2e-3)


@pytest.mark.slow
def test_envelopes_of_single_phase_customers_withstand_the_adversary(
    allocated: SecurityCheck,
) -> None:
    assert allocated.verdict.loading > 0.999
    finding = attack(
        allocated.robust_rows, allocated.limits_w, np.random.default_rng(0), samples=64, climbs=4
    )
    assert finding.violation <= 1e-4, f"{finding.element} reaches {finding.value} {finding.unit}"


def test_the_worst_point_is_some_phases_against_the_others(
    network: Network, allocated: SecurityCheck
) -> None:
    excess = allocated.robust_rows.excess(allocated.rows, allocated.limits_w / network.base_power_w)
    injecting = int((allocated.rows.points.share[excess.argmax()] > 0.5).sum())
    assert 0 < injecting < len(network.connection_points)


@pytest.mark.slow
def test_corners_alone_are_broken_by_the_adversary(grid: NetworkGrid) -> None:
    """Envelopes that hold when all inject, and when all withdraw, are not secure."""
    robust = grid.robust_rows(CONTRACT)
    level_w = 0
    for step_w in (1000, 100, 10):
        while corners_hold(robust, level_w + step_w, grid.network):
            level_w += step_w
    finding = attack(robust, np.full(110, level_w), np.random.default_rng(0), samples=32, climbs=2)
    assert finding.violation > 1e-2


def corners_hold(robust: Any, level_w: int, network: Network) -> bool:
    flow, rows = robust.monitors.power_flow, robust.limited
    corners = np.repeat([[level_w, -level_w]], 55, axis=0) / network.base_power_w
    for end in robust.conditions.band:
        values = robust.monitors.all_values(solve(flow, corners, np.full(2, end)))
        if (robust.violation(rows[:, None], values[rows]) > 0).any():
            return False
    return True


UNBALANCED = InterfaceLimits(0.98, 1.04, unbalance_pu=0.01)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("held", "contract", "limits"),
    some(
        [
            ("source", CONTRACT, VoltageLimits(unbalance=0.02)),
            ("phases", UNBALANCED, VoltageLimits(unbalance=0.02)),
            # Wider voltages, so that the unbalance is what binds.
            ("phases", UNBALANCED, VoltageLimits(0.8, 1.2, unbalance=0.02)),
            ("source", CONTRACT, VoltageLimits(0.8, 1.2, unbalance=0.02)),
        ],
        2,
    ),
)
def test_envelopes_under_an_unbalance_limit_withstand_the_adversary(
    held: Literal["source", "phases"], contract: InterfaceLimits, limits: VoltageLimits
) -> None:
    network = phases_from_pandapower(european_net(), held=held)
    assert len(network.voltages.triples) == 906
    capacity = Capacity.same(network.connection_points, 30_000, 30_000)
    check = NetworkGrid(network, limits, capacity).allocate(contract)
    assert check.verdict.loading > 0.999
    robust = check.robust_rows
    if limits.maximum_pu > 1.1:
        assert check.verdict.unit == "% unbalance"
    finding = attack(robust, check.limits_w, np.random.default_rng(0), samples=64, climbs=6)
    assert finding.violation <= 1e-4, f"{finding.element} reaches {finding.value} {finding.unit}"
    values = against_the_others(check)
    assert (robust.violation(robust.limited[:, None], values) <= 1e-4).all()


def against_the_others(check: SecurityCheck) -> np.ndarray:
    """Return all limited rows where one phase injects and the others withdraw, and reverse.

    At every corner of the held voltages.
    """
    robust = check.robust_rows
    flow, network = robust.monitors.power_flow, robust.monitors.power_flow.network
    injection, withdrawal = np.split(check.limits_w / network.base_power_w, 2)
    phase = network.port_shares.argmax(axis=0)
    letter = np.array([network.ports.names[k][-1] for k in np.asarray(phase).ravel()])
    sides = np.array([letter == one for one in "abc"] + [letter != one for one in "abc"])
    power = np.where(sides, injection, -withdrawal).T
    parts = [
        robust.monitors.all_values(
            flow.solve(network.port_shares @ power + 0j, np.repeat(corner[:, None], 6, axis=1))
        )[robust.limited]
        for corner in robust.conditions.source_corners
    ]
    return np.concatenate(parts, axis=1)


def test_missing_zero_sequence_data_names_every_element() -> None:
    net = european_net()
    net.line.loc[[3, 7], "r0_ohm_per_km"] = np.nan
    net.asymmetric_load.loc[5, ["p_a_mw", "p_b_mw", "p_c_mw"]] = 0.0
    with pytest.raises(NetworkFaults) as caught:
        phases_from_pandapower(net)
    elements = {fault.element for fault in caught.value.faults}
    assert elements == {"line:3", "line:7", "asymmetric_load:5"}
    net.trafo = net.trafo.drop(columns="vk0_percent")
    with pytest.raises(NetworkFaults) as caught:
        phases_from_pandapower(net)
    assert "trafo:0" in {fault.element for fault in caught.value.faults}


def test_a_circuit_that_opendss_cannot_read_is_a_fault(tmp_path: Path) -> None:
    master = tmp_path / "broken.dss"
    master.write_text("clear\nnew circuit.x basekv=11 bus1=a\nnew line.l bus1=a bus2=b lincode=?\n")
    with pytest.raises(NetworkFaults, match=r"broken\.dss"):
        network_from_opendss(master)
