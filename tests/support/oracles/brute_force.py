"""Every vertex of a box of envelopes at voltages all over the contracted band, one by one.

Nothing here knows of rows, worst points or bounds: only the power flow, which is compared with
pandapower elsewhere.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from security_check.model.limits import InterfaceLimits, VoltageLimits
from security_check.model.network import Network
from security_check.monitoring.protocol import Monitored
from security_check.monitoring.row_kinds import RowKind
from security_check.power_flow.implicit_zbus import PowerFlow
from security_check.power_flow.operating_points import OperatingPoints

INSIDE = 500  # points inside, where reactive power is chosen
BETWEEN = 16


@dataclass(frozen=True)
class Limits:
    """What must hold; currents in per unit, at both ends of every rated branch."""

    voltage: VoltageLimits
    interface: InterfaceLimits

    @property
    def band(self) -> tuple[float, float]:
        return self.interface.voltage_min_pu, self.interface.voltage_max_pu

    @property
    def held_pu(self) -> np.ndarray:
        """The voltages of the band that are tried: both ends, and so many between.

        What is worst inside is then missed by at most a part ``BETWEEN ** -2`` of what it has
        over the ends.
        """
        return np.unique(np.linspace(*self.band, BETWEEN + 1))


def vertices(limits_w: np.ndarray, base_w: float) -> np.ndarray:
    """Return all 2^c corners of the box, shape (c, 2^c), per unit."""
    injection, withdrawal = np.split(np.asarray(limits_w) / base_w, 2)
    count = len(injection)
    sides = (np.arange(2**count)[:, None] >> np.arange(count)) & 1
    return np.where(sides.astype(bool), injection, -withdrawal).T


def inside(
    network: Network, limits_w: np.ndarray, count: int, rng: np.random.Generator
) -> np.ndarray:
    """Return random points of what customers may do, shape (c, count), complex, per unit.

    A half of the active powers is at an end of its range, a half of the reactive ones too.
    """
    injection, withdrawal = np.split(np.asarray(limits_w) / network.base_power_w, 2)
    shape = len(injection), count

    def places() -> np.ndarray:
        ends = rng.integers(2, size=shape) * 2.0 - 1.0
        return np.where(rng.random(shape) < 0.5, ends, rng.uniform(-1.0, 1.0, shape))

    middle, half = (injection - withdrawal) / 2, (injection + withdrawal) / 2
    power = middle[:, None] + half[:, None] * places()
    reactive = network.reactive_ratio[:, None] * power
    freedom = network.reactive_freedom
    if freedom is not None:
        reach = freedom.half[:, None] + freedom.cone[:, None] * np.abs(power)
        reactive += freedom.middle[:, None] + reach * places()
    return power + 1j * reactive


def complex_vertices(network: Network, limits_w: np.ndarray) -> np.ndarray:
    """Return all combinations of what each customer may do, shape (c, B), complex, per unit.

    Active power at both ends and, where reactive power grows with it, at none; reactive power at
    both ends of what it may then be.
    """
    freedom = network.reactive_freedom
    injection, withdrawal = np.split(np.asarray(limits_w) / network.base_power_w, 2)
    choices = []
    for i, (up, down) in enumerate(zip(injection, withdrawal, strict=True)):
        cone, middle, half = 0.0, 0.0, 0.0
        if freedom is not None:
            cone, middle, half = freedom.cone[i], freedom.middle[i], freedom.half[i]
        powers = [up, -down] + ([0.0] if cone else [])
        ends = (-1.0, 1.0) if cone or half else (0.0,)
        choices.append(
            [
                p + 1j * (network.reactive_ratio[i] * p + middle + end * (half + cone * abs(p)))
                for p in powers
                for end in ends
            ]
        )
    grids = np.meshgrid(*choices, indexing="ij")
    return np.stack([grid.ravel() for grid in grids])


def interface_node(network: Network) -> int:
    """Return the one node at which a balanced network's voltage is held."""
    (node,) = network.interface.nodes
    return int(node)


def point_nodes(network: Network) -> np.ndarray:
    """Return the node of each connection point of a balanced network, shape (c,)."""
    entering = (network.ports.incidence @ network.port_shares).toarray()
    assert (np.count_nonzero(entering, axis=0) == 1).all()
    return entering.argmax(axis=0)


def passive_at_nodes(network: Network) -> np.ndarray:
    """Return the complex power of what does not trade, at each node of a balanced network."""
    return np.asarray(network.ports.incidence @ network.ports.passive_power_pu)


def customers_at(
    network: Network, power_pu: np.ndarray, interface_pu: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return port powers (J, B) and held voltages (h, B) for (c, B) powers of customers.

    Active powers at their fixed power factors, or complex ones.
    """
    if not np.iscomplexobj(power_pu):
        power_pu = (1 + 1j * network.reactive_ratio)[:, None] * power_pu
    powers: np.ndarray = network.port_shares @ power_pu + network.ports.passive_power_pu[:, None]
    return powers, np.repeat(np.atleast_2d(interface_pu), network.held, axis=0)


def only_flow(monitors: Monitored) -> PowerFlow:
    """Return the power flow of a network that has no states beside its intact one."""
    flow = monitors.power_flow
    assert isinstance(flow, PowerFlow)
    return flow


def solve(
    flow: PowerFlow,
    power_pu: np.ndarray,
    interface_pu: np.ndarray,
    more_pu: np.ndarray | float = 0.0,
) -> OperatingPoints:
    """Run the power flow for (c, B) active powers of customers and (B,) interface voltages.

    ``more_pu`` is what ports inject besides, shape (J, B).
    """
    powers, held = customers_at(flow.network, power_pu, interface_pu)
    every_pu: np.ndarray = powers + more_pu
    return flow.solve(every_pu, held)


Values = dict[str, np.ndarray]


def measured(
    flow: PowerFlow,
    power_pu: np.ndarray,
    interface_pu: np.ndarray,
    more_pu: np.ndarray | float = 0.0,
) -> Values:
    """Return everything that has a limit, at every operating point (last axis)."""
    network = flow.network
    points = solve(flow, power_pu, interface_pu, more_pu)
    voltage = flow.node_voltages(points)
    at = interface_node(network)
    drawn = (voltage[at] * np.asarray(network.admittance @ voltage)[at].conj()).real
    drawn = drawn - power_pu[point_nodes(network) == at].real.sum(axis=0)
    return {
        "voltage": np.abs(np.asarray(network.voltages.incidence @ voltage)),
        "current": np.abs(np.asarray(network.terminals.admittance @ voltage)),
        "drawn": drawn - passive_at_nodes(network)[at].real,
    }


def worst_values(
    flow: PowerFlow, limits: Limits, limits_w: np.ndarray, more_pu: np.ndarray | None = None
) -> Values:
    """Return the extreme values over all vertices and the voltages tried of the band.

    ``more_pu``, shape (J, E): what ports may inject besides, each of them with every vertex.
    """
    power = complex_vertices(flow.network, limits_w)
    if flow.network.reactive_freedom is not None:
        # Nothing says that the worst reactive power is at an end: some of what is inside, too.
        drawn = inside(flow.network, limits_w, INSIDE, np.random.default_rng(0))
        power = np.hstack([power, drawn])
    if more_pu is None:
        more_pu = np.zeros((len(flow.network.ports.names), 1))
    count, others = power.shape[1], more_pu.shape[1]
    power, more_pu = np.tile(power, others), np.repeat(more_pu, count, axis=1)
    parts = [measured(flow, power, np.full(count * others, end), more_pu) for end in limits.held_pu]
    return extremes({name: np.concatenate([p[name] for p in parts], axis=-1) for name in parts[0]})


def extremes(every: Values) -> Values:
    """Return the extreme values among those measured."""
    return {
        "highest": every["voltage"].max(axis=1),
        "lowest": every["voltage"].min(axis=1),
        "current": every["current"].max(axis=1),
        "injected": -every["drawn"].min(),
        "withdrawn": every["drawn"].max(),
    }


def violation(
    flow: PowerFlow, limits: Limits, limits_w: np.ndarray, more_pu: np.ndarray | None = None
) -> float:
    """Return the largest violation anywhere, in parts of what the robust rows measure with."""
    worst = worst_values(flow, limits, limits_w, more_pu)
    low, high = limits.voltage.minimum_pu, limits.voltage.maximum_pu
    found = [
        ((worst["highest"] - high) / (high - 1)).max(),
        ((low - worst["lowest"]) / (1 - low)).max(),
        (worst["current"] / flow.network.terminals.rating_pu - 1).max(),
    ]
    base = flow.network.base_power_w
    for name, limit_w in (
        ("injected", limits.interface.injection_limit_w),
        ("withdrawn", limits.interface.withdrawal_limit_w),
    ):
        if limit_w is not None:
            found.append((worst[name] * base - limit_w) / max(limit_w, 1_000))
    return float(max(found))


def of_rows(monitors: Monitored, worst: Values) -> list[tuple[np.ndarray, Any]]:
    """Return pairs of (rows, largest value): any of the rows may be the one that reaches it.

    A current has two rows, of which one sees its magnitude.
    """
    kind = monitors.kind
    highest, lowest, export, imported, up, down = (
        np.flatnonzero(kind == k) for k in sorted(RowKind)[:6]
    )
    pairs = [(np.array([row]), value) for row, value in zip(highest, worst["highest"], strict=True)]
    pairs += [(np.array([row]), -value) for row, value in zip(lowest, worst["lowest"], strict=True)]
    pairs += [
        (np.array(rows), value)
        for *rows, value in zip(export, imported, worst["current"], strict=True)
    ]
    return [*pairs, (up, worst["injected"]), (down, worst["withdrawn"])]
