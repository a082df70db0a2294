"""Small networks with customers on single phases, and every vertex of theirs, one by one.

Nothing of the brute force knows of rows, worst points or bounds: only of the power flow, which is
compared with pandapower and OpenDSS elsewhere, and of voltages by their nodes' names.
"""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any, Literal

import numpy as np
import opendssdirect as dss
import pandapower as pp
from brute_force import Values, vertices
from others_warnings import others_warnings_ignored

from security_check.importers.opendss import network_from_opendss
from security_check.importers.pandapower_phases import phases_from_pandapower
from security_check.model.limits import InterfaceLimits, VoltageLimits
from security_check.model.network import Network
from security_check.monitoring.monitors import Monitors
from security_check.monitoring.row_kinds import RowKind
from security_check.power_flow.implicit_zbus import PowerFlow

Net = Any

TURN = np.exp(2j * np.pi / 3)
POSITIVE = np.array([1, TURN, TURN**2]) / 3
NEGATIVE = np.array([1, TURN**2, TURN]) / 3
ZERO = np.ones(3) / 3


def phase_net(customers: int = 4, seed: int = 0, *, max_i_ka: float = 0.14) -> Net:
    """Return a low-voltage net with customers on one, two or three phases."""
    rng = np.random.default_rng(seed)
    net = pp.create_empty_network(sn_mva=0.1)
    upper, head = pp.create_bus(net, 20.0), pp.create_bus(net, 0.4)
    pp.create_ext_grid(net, upper, s_sc_max_mva=40.0, rx_max=0.1, r0x0_max=0.1, x0x_max=1.0)
    pp.create_transformer_from_parameters(
        net, upper, head, sn_mva=0.1, vn_hv_kv=20.0, vn_lv_kv=0.4, vkr_percent=1.7,
        vk_percent=4.0, pfe_kw=0.3, i0_percent=0.3, shift_degree=150, vector_group="Dyn",
        vk0_percent=4.0, vkr0_percent=1.7, mag0_percent=100.0, mag0_rx=0.0, si0_hv_partial=0.9,
    )  # fmt: skip
    ends = [head] * int(rng.integers(1, 3))
    for _ in range(customers):
        bus = pp.create_bus(net, 0.4)
        branch = int(rng.integers(len(ends)))
        pp.create_line_from_parameters(
            net, ends[branch], bus, length_km=float(rng.uniform(0.05, 0.2)), r_ohm_per_km=0.32,
            x_ohm_per_km=0.08, c_nf_per_km=200.0, max_i_ka=max_i_ka, r0_ohm_per_km=1.2,
            x0_ohm_per_km=0.3, c0_nf_per_km=100.0,
        )  # fmt: skip
        ends[branch] = bus
        on = rng.permutation(3)[: 3 if rng.random() < 0.25 else 1]
        power = {f"p_{'abc'[k]}_mw": 0.002 for k in on}
        pp.create_asymmetric_load(net, bus, **power)
    return net


def run_phases(net: Net, network: Network, power_w: np.ndarray, source_pu: float) -> None:
    """Give the customers powers, injection positive, and run pandapower until it settles."""
    shares = net.asymmetric_load[["p_a_mw", "p_b_mw", "p_c_mw"]].to_numpy()
    shares = shares / shares.sum(axis=1, keepdims=True)
    for k, phase in enumerate("abc"):
        active = -power_w * shares[:, k] / 1e6
        net.asymmetric_load[f"p_{phase}_mw"] = active
        net.asymmetric_load[f"q_{phase}_mvar"] = active * network.reactive_ratio
    net.ext_grid["vm_pu"] = source_pu
    with others_warnings_ignored():
        pp.runpp_3ph(net, numba=False)
        for _ in range(4):  # it stops early; starting from its own result makes it go on
            pp.runpp_3ph(net, numba=False, init="results")


FOUR_WIRES = """clear
new circuit.four basekv=20 pu=1 phases=3 bus1=up mvasc3=40 mvasc1=40 x1r1=10 x0r0=10
new transformer.t phases=3 windings=2 buses=(up head.1.2.3.4) conns=(delta wye) kvs=(20 0.4) \
kvas=(100 100) xhl=3.6 %rs=(0.85 0.85)
new reactor.earth phases=1 bus1=head.4 bus2=head.0 r=0.5 x=0.001
new linecode.four nphases=4 units=km rmatrix=(0.37|0.05 0.37|0.05 0.05 0.37|0.05 0.05 0.05 0.6) \
xmatrix=(0.75|0.67 0.75|0.65 0.67 0.75|0.66 0.68 0.66 0.75) normamps={amps}
new linecode.two nphases=2 units=km rmatrix=(0.6|0.05 0.6) xmatrix=(0.75|0.66 0.75) normamps={amps}
new line.one bus1=head.1.2.3.4 bus2=a.1.2.3.4 linecode=four length=0.12
new line.two bus1=a.1.2.3.4 bus2=b.1.2.3.4 linecode=four length=0.1
new line.spur bus1=a.2.4 bus2=c.2.4 linecode=two length=0.08
new load.house phases=1 bus1=b.1.4 kv=0.231 kw=1 pf=1 vminpu=0.3 vmaxpu=1.9
new load.spur phases=1 bus1=c.2.4 kv=0.231 kw=1 pf=1 vminpu=0.3 vmaxpu=1.9
new load.shop phases=3 bus1=b.1.2.3.4 kv=0.4 kw=1 pf=1 vminpu=0.3 vmaxpu=1.9
new load.weld phases=1 conn=delta bus1=a.3.1 kv=0.4 kw=1 pf=1 vminpu=0.3 vmaxpu=1.9
new load.barn phases=1 bus1=a.3.4 kv=0.231 kw=1 pf=1 vminpu=0.3 vmaxpu=1.9
set voltagebases=[20 0.4]
calcvoltagebases
"""


def four_wires(folder: Path, amps: float = 160.0) -> Path:
    """Write an OpenDSS circuit with a neutral of its own, and return its master file."""
    master = folder / "four.dss"
    master.write_text(FOUR_WIRES.format(amps=amps))
    return master


def run_circuit(master: Path, network: Network, power_w: np.ndarray, *commands: str) -> None:
    """Give the customers powers, injection positive, and let OpenDSS solve."""
    dss.Text.Command(f'compile "{master}"')
    for k, point in enumerate(network.connection_points):
        kw = -power_w[k] / 1e3
        load = point.removeprefix("load:")
        dss.Text.Command(f"load.{load}.kw={kw}")
        dss.Text.Command(f"load.{load}.kvar={kw * network.reactive_ratio[k]}")
    for command in (*commands, "set tolerance=1e-11", "set maxiterations=200", "solve"):
        dss.Text.Command(command)
    assert dss.Solution.Converged()


@functools.cache
def phase_network(name: str) -> Network:
    """Return one of the small networks that are tried at every vertex."""
    kind, number = name.split()
    if kind == "neutral":
        import tempfile

        with tempfile.TemporaryDirectory() as folder:
            return network_from_opendss(four_wires(Path(folder)), power_factor=0.97)
    held: Literal["source", "phases"] = "source" if kind == "source" else "phases"
    net = phase_net(3 + int(number) % 3, int(number))
    return phases_from_pandapower(net, held=held, power_factor=1.0 - 0.05 * (int(number) % 2))


# -- every vertex -------------------------------------------------------------------------------


def at_phases(network: Network, power_pu: np.ndarray) -> np.ndarray:
    """Return port powers (J, B) for (c, B) active powers of customers."""
    return network.port_shares.toarray() * (1 + 1j * network.reactive_ratio) @ power_pu


def three_phase_buses(network: Network) -> dict[str, np.ndarray]:
    """Return the nodes of the phases of each bus but the interface that has all three."""
    index = {node: k for k, node in enumerate(network.nodes)}
    held = set(network.interface.nodes.tolist())
    found = {}
    for bus in dict.fromkeys(n.rsplit(".", 1)[0] for n in network.nodes if n.startswith("bus:")):
        for names in ("abc", "123"):
            nodes = [index.get(f"{bus}.{name}", -1) for name in names]
            if min(nodes) >= 0 and not held & set(nodes):
                found[bus] = np.array(nodes)
    return found


def measured(flow: PowerFlow, power_pu: np.ndarray, source_pu: np.ndarray) -> Values:
    """Return everything that has a limit, for (c, B) powers and (h, B) held voltages."""
    network = flow.network
    points = flow.solve(at_phases(network, power_pu), source_pu)
    voltage = flow.node_voltages(points)
    held = network.interface.nodes
    drawn = (voltage[held] * np.asarray(network.admittance @ voltage)[held].conj()).real.sum(axis=0)
    phases = np.array(list(three_phase_buses(network).values()))
    unbalance = np.abs(np.einsum("k,bkp->bp", NEGATIVE, voltage[phases])) / np.abs(
        np.einsum("k,bkp->bp", POSITIVE, voltage[phases])
    )
    return {
        "voltage": np.abs(np.asarray(network.voltages.incidence @ voltage)),
        "current": np.abs(np.asarray(network.terminals.admittance @ voltage)),
        "drawn": drawn,
        "unbalance": unbalance,
    }


def worst_values(flow: PowerFlow, limits_w: np.ndarray, corners: np.ndarray) -> Values:
    """Return the extremes over all vertices of the box and all corners of the interface."""
    power = vertices(limits_w, flow.network.base_power_w)
    parts = [
        measured(flow, power, np.repeat(corner[:, None], power.shape[1], axis=1))
        for corner in corners
    ]
    every = {name: np.concatenate([p[name] for p in parts], axis=-1) for name in parts[0]}
    return {
        "highest": every["voltage"].max(axis=1),
        "lowest": every["voltage"].min(axis=1),
        "current": every["current"].max(axis=1),
        "injected": -every["drawn"].min(),
        "withdrawn": every["drawn"].max(),
        "unbalance": every["unbalance"].max(axis=1),
    }


def is_current(monitors: Monitors) -> np.ndarray:
    """Return which rows are of currents, shape (R,)."""
    return np.isin(monitors.kind, (RowKind.CURRENT_EXPORT, RowKind.CURRENT_IMPORT))


def of_phase_rows(monitors: Monitors, worst: Values) -> list[tuple[np.ndarray, Any]]:
    """Return pairs of (rows, largest value): any of the rows may be the one that reaches it."""
    kind, named = monitors.kind, np.array(monitors.elements)
    highest, lowest, up, down = (
        np.flatnonzero(kind == k)
        for k in (
            RowKind.VOLTAGE_MAX,
            RowKind.VOLTAGE_MIN,
            RowKind.INTERFACE_INJECTION,
            RowKind.INTERFACE_WITHDRAWAL,
        )
    )
    pairs: list[tuple[np.ndarray, Any]] = [
        *zip(highest[:, None], worst["highest"], strict=True),
        *zip(lowest[:, None], -worst["lowest"], strict=True),
        (up, worst["injected"]),
        (down, worst["withdrawn"]),
    ]
    terminals = monitors.power_flow.network.terminals
    sides, current = np.array(monitors.sides), is_current(monitors)
    for element, side, value in zip(
        terminals.elements, terminals.sides, worst["current"], strict=True
    ):
        rows = np.flatnonzero(current & (named == element) & (sides == side))
        assert len(rows) in (2, 12)
        pairs.append((rows, value))
    of_unbalance = np.flatnonzero(monitors.kind == RowKind.UNBALANCE)
    names = named[of_unbalance]
    for bus, value in zip(
        three_phase_buses(monitors.power_flow.network), worst["unbalance"], strict=True
    ):
        rows = of_unbalance[names == bus]
        assert len(rows) == 12
        pairs.append((rows, value))
    return pairs


def violation(
    flow: PowerFlow,
    voltage: VoltageLimits,
    contract: InterfaceLimits,
    limits_w: np.ndarray,
    corners: np.ndarray,
) -> float:
    """Return the largest violation at any vertex, in parts of each limit or way to it."""
    worst = worst_values(flow, limits_w, corners)
    found = [
        ((worst["highest"] - voltage.maximum_pu) / (voltage.maximum_pu - 1)).max(),
        ((voltage.minimum_pu - worst["lowest"]) / (1 - voltage.minimum_pu)).max(),
        (worst["current"] / flow.network.terminals.rating_pu - 1).max(),
    ]
    if voltage.unbalance is not None:
        found.append(worst["unbalance"].max() / voltage.unbalance - 1)
    base_w = flow.network.base_power_w
    for name, limit_w in (
        ("injected", contract.injection_limit_w),
        ("withdrawn", contract.withdrawal_limit_w),
    ):
        if limit_w is not None:
            found.append((worst[name] * base_w - limit_w) / max(limit_w, 1_000))
    return float(max(found))
