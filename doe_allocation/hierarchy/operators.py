"""The operational graph: network operators, their networks and where these meet.

The graph is a tree.  An operator has one parent, with its interface at one of the parent's
connection points, and children at connection points of its own network; all other connection
points are customers.  The graph holds all networks, but each calculation
(:mod:`doe_allocation.hierarchy.operator_level`) is given one of them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from doe_allocation.capacity import Capacity
from security_check.arrays import FloatArray
from security_check.errors import Fault
from security_check.model.element_ids import without_phase
from security_check.model.limits import VoltageLimits
from security_check.model.network import Network
from security_check.model.network_state import NetworkState
from security_check.uncertainty.forecast import Forecast


@dataclass(frozen=True, slots=True)
class Child:
    """A downstream operator, at a connection point of its parent.

    Parameters
    ----------
    operator
        The operator of the network below.
    band
        The voltage band at its interface, per unit, that the parent promises.
    reactive_var
        Smallest and largest reactive power out of its network, var; computed from that network
        where not given (:mod:`doe_allocation.hierarchy.interface_statement`).
    """

    operator: Operator
    band: tuple[float, float]
    reactive_var: tuple[int, int] | None = None


@dataclass(frozen=True, slots=True)
class Operator:
    """A network operator and its own network.

    Parameters
    ----------
    name
        Unique in the graph.
    network
        Its network; c connection points, which are customers or children's interfaces.
    voltage_limits
        Limits at every bus but the interface.
    capacity
        Of all connection points; of a child's interface the most that it may carry.  The fallback
        of a child is the least power that it states; the value given here is not used.
    children
        By connection point.
    states
        Further states in which envelopes must be secure, too: outages (N-1).
    weights
        Shape (2 c,), injection first, of customers; all 1 where not given.  The weight of a child
        is that of all customers below it together.
    forecast
        The powers that do not trade; where not given, those of the network, taken as certain.
    """

    name: str
    network: Network
    voltage_limits: VoltageLimits
    capacity: Capacity
    children: Mapping[str, Child] = field(default_factory=dict)
    states: tuple[NetworkState, ...] = ()
    weights: FloatArray | None = None
    forecast: Forecast | None = None


@dataclass(frozen=True, slots=True)
class Placement:
    """An operator in the graph, with its parent and its connection point there.

    Parent and connection point are empty for the root, whose parent is not in the graph.
    """

    operator: Operator
    parent: str = ""
    point: str = ""

    @property
    def ends(self) -> str:
        """Both ends of the boundary, as messages name them."""
        return f"{self.parent or 'upstream'} / {self.operator.name}"


def placements(root: Operator) -> Iterator[Placement]:
    """Yield every operator, parents first; raises nothing and does not follow cycles."""
    yield from _below(Placement(root), ())


def _below(placement: Placement, above: tuple[str, ...]) -> Iterator[Placement]:
    yield placement
    own = placement.operator
    if own.name in above:
        return
    for point, child in own.children.items():
        yield from _below(Placement(child.operator, own.name, point), (*above, own.name))


def graph_faults(root: Operator) -> list[Fault]:
    """Return all faults of a graph; each names both ends of a boundary."""
    seen: dict[str, Placement] = {}
    faults = []
    for placement in placements(root):
        name = placement.operator.name
        if name in seen:
            same = seen[name].operator is placement.operator
            what = (
                "its network would be below itself or below two parents"
                if same
                else ("two operators have this name")
            )
            faults.append(Fault(placement.ends, f"{name} is also at {seen[name].ends}: {what}"))
            continue
        seen[name] = placement
        faults += _own_faults(placement.operator)
    return faults


def _own_faults(operator: Operator) -> list[Fault]:
    points = operator.network.connection_points
    faults = []
    if operator.capacity.connection_points != points:
        detail = "its capacities are not those of its network's connection points"
        faults.append(Fault(operator.name, detail))
    for point, child in operator.children.items():
        ends = Placement(child.operator, operator.name, point).ends
        if point not in points:
            detail = (
                f"the interface of {child.operator.name} is to be at {point}, but "
                f"{operator.name} has no such connection point"
            )
            faults.append(Fault(ends, detail))
        low, high = child.band
        if not 0.0 < low <= high < 2.0:
            detail = (
                f"the band {low} to {high} p.u. that {operator.name} promises at {point} "
                f"needs 0 < minimum <= maximum < 2 p.u."
            )
            faults.append(Fault(ends, detail))
        if child.reactive_var is not None and child.reactive_var[0] > child.reactive_var[1]:
            least, most = child.reactive_var
            faults.append(Fault(ends, f"reactive power from {least} to {most} var is not a range"))
        faults += _base_faults(operator, point, child.operator, ends)
        faults += _interface_faults(operator, child.operator, ends)
    return faults


def _interface_faults(parent: Operator, child: Operator, ends: str) -> list[Fault]:
    """Return a child's faults if it holds more than one voltage, or balances power itself."""
    network, faults = child.network, []
    # The phases of one bus are nodes of their own, but one bus.
    held = dict.fromkeys(without_phase(network.nodes[i]) for i in network.interface.nodes)
    if len(held) > 1:
        detail = (
            f"the voltage of {child.name} is held at {len(held)} buses ({', '.join(held)}); it "
            f"meets {parent.name} at one bus, so it must have one interface"
        )
        faults.append(Fault(ends, detail))
    if network.generators is not None and network.generators.shares_imbalance:
        detail = (
            f"generators of {child.name} share its imbalance, but {parent.name} is above it and "
            "takes what it does not balance"
        )
        faults.append(Fault(ends, detail))
    return faults


def _base_faults(parent: Operator, point: str, child: Operator, ends: str) -> list[Fault]:
    """Return a fault if the nominal voltages of the two sides differ."""
    above = nominal_at(parent.network, point)
    below = child.network.interface.nominal_v
    if above is None or below is None or abs(above - below) <= 1e-6 * max(above, below):
        return []
    return [
        Fault(
            ends,
            f"nominal voltages differ: {above:,.0f} V at {point} of {parent.name}, {below:,.0f} V "
            f"at the interface of {child.name}",
        )
    ]


def nominal_at(network: Network, point: str) -> float | None:
    """Return the nominal voltage at a connection point, V; ``None`` where it is not known."""
    names = voltages_at(network, point)
    known = [network.nominal_v[name] for name in names if name in network.nominal_v]
    if names:
        return known[0] if known else None
    return network.interface.nominal_v


def voltages_at(network: Network, point: str) -> tuple[str, ...]:
    """Return the names of the limited voltages at a connection point.

    Empty if it is at the network's own interface, or does not exist.
    """
    if point not in network.connection_points:
        return ()
    place = network.connection_points.index(point)
    shares = network.port_shares[:, [place]]
    nodes = abs(network.ports.incidence) @ abs(shares)
    reached = (abs(network.voltages.incidence) @ nodes).toarray().ravel()
    return tuple(
        name for name, reach in zip(network.voltages.elements, reached, strict=True) if reach > 0.0
    )
