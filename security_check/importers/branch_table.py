"""A balanced network from tables of buses, pi branches and resources.

For networks that a study prints as tables: one voltage level, impedances in ohms.  Buses, branches
and resources become ``bus:4``, ``branch:2-3`` and ``pod:6``.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp

from security_check.arrays import ComplexArray, IndexArray
from security_check.errors import Fault, NetworkFaults
from security_check.model.element_ids import element_id, element_ids
from security_check.model.network import Network
from security_check.model.network_elements import (
    UNRATED,
    Interface,
    PassiveElements,
    Ports,
    Terminals,
    Voltages,
)


@dataclass(frozen=True, slots=True)
class Branch:
    """A line or transformer as a pi circuit.

    Parameters
    ----------
    name
        For its id, ``branch:NAME``.
    start, end
        Names of the buses.
    r_ohm, x_ohm
        Series impedance.
    b_s
        Susceptance in siemens, half of it at each end.
    rating_a
        Largest current; ``None`` where there is none.
    """

    name: str
    start: str
    end: str
    r_ohm: float
    x_ohm: float
    b_s: float = 0.0
    rating_a: float | None = None


@dataclass(frozen=True, slots=True)
class Resource:
    """A connection point with its expected power, withdrawal positive as studies print it.

    Parameters
    ----------
    name
        For its id, ``pod:NAME``.
    bus
        Name of its bus.
    p_w, q_var
        Expected withdrawal.
    reactive_ratio
        Reactive over active power of what it activates: the tangent of its power factor angle.
    """

    name: str
    bus: str
    p_w: float
    q_var: float
    reactive_ratio: float


@dataclass(frozen=True, slots=True)
class BranchTable:
    """The tables of one network.

    Parameters
    ----------
    name
        For messages.
    nominal_v
        Nominal voltage, line to line.
    source
        The bus whose voltage is held.
    branches, resources
        The branches, and the connection points.
    largest_w
        Power of all resources together that the unit of power is for; ``None`` for what they have
        here.  Tables of several intervals have one unit with the same number.
    """

    name: str
    nominal_v: float
    source: str
    branches: Sequence[Branch]
    resources: Sequence[Resource]
    largest_w: float | None = None

    @property
    def base_power_w(self) -> float:
        """Watts per unit of power: the power of ten nearest to all resources together."""
        total_w = self.largest_w
        if total_w is None:
            total_w = sum(abs(complex(each.p_w, each.q_var)) for each in self.resources)
        return 10.0 ** round(math.log10(max(total_w, 1.0)))

    @property
    def buses(self) -> tuple[str, ...]:
        """The names of all buses, the source first."""
        ends = (bus for branch in self.branches for bus in (branch.start, branch.end))
        return tuple(dict.fromkeys((self.source, *ends)))


def network_of_table(table: BranchTable) -> Network:
    """Return the network; both ends of every branch are monitored, the from ends first.

    Connection points and passive elements are the same resources: what is expected of a resource
    is passive, what it activates on top is a connection point's power.  Branches without a rating
    have ``UNRATED`` amperes.

    Raises
    ------
    NetworkFaults
        With every fault of the tables.
    """
    faults = [*_branch_faults(table), *_loop_faults(table), *_resource_faults(table)]
    if faults:
        raise NetworkFaults(faults)
    buses = table.buses
    place = {bus: k for k, bus in enumerate(buses)}
    start: IndexArray = np.array([place[each.start] for each in table.branches])
    end: IndexArray = np.array([place[each.end] for each in table.branches])
    base_ohm = table.nominal_v**2 / table.base_power_w
    impedances = [complex(each.r_ohm, each.x_ohm) for each in table.branches]
    series: ComplexArray = np.array([base_ohm / each for each in impedances])
    shunt: ComplexArray = np.array([0.5j * base_ohm * each.b_s for each in table.branches])
    at_start = _ends(start, end, series, shunt, len(buses))
    at_end = _ends(end, start, series, shunt, len(buses))
    enters = [
        sp.csr_array((np.ones(len(k)), (k, np.arange(len(k)))), shape=(len(buses), len(k)))
        for k in (start, end)
    ]
    ids = element_ids("branch", (each.name for each in table.branches))
    voltages = np.arange(1, len(buses))
    ports, passive = _ports(table, place)
    return Network(
        name=table.name,
        nodes=element_ids("bus", buses),
        admittance=sp.csr_array(enters[0] @ at_start + enters[1] @ at_end),
        interface=Interface(np.array([0]), np.ones((1, 1), dtype=np.complex128), table.nominal_v),
        voltages=Voltages(
            element_ids("bus", buses[1:]),
            sp.csr_array(
                (np.ones(len(voltages)), (voltages - 1, voltages)),
                shape=(len(voltages), len(buses)),
            ),
            nominal_v=np.full(len(voltages), table.nominal_v),
        ),
        terminals=_terminals(table, ids, sp.csr_array(sp.vstack([at_start, at_end]))),
        ports=ports,
        connection_points=passive.elements,
        port_shares=passive.port_shares,
        reactive_ratio=np.array([each.reactive_ratio for each in table.resources]),
        base_power_w=table.base_power_w,
        passive=passive,
    )


def _ends(
    here: IndexArray, there: IndexArray, series: ComplexArray, shunt: ComplexArray, buses: int
) -> sp.csr_array:
    """Return the currents into all branches at one end, shape (branches, buses)."""
    rows = np.arange(len(here))
    values = np.concatenate([series + shunt, -series])
    places = (np.concatenate([rows, rows]), np.concatenate([here, there]))
    return sp.csr_array((values, places), shape=(len(here), buses))


def _terminals(table: BranchTable, ids: tuple[str, ...], admittance: sp.csr_array) -> Terminals:
    base_a = table.base_power_w / (math.sqrt(3.0) * table.nominal_v)
    ratings = [UNRATED if each.rating_a is None else each.rating_a for each in table.branches]
    return Terminals(
        elements=ids * 2,
        sides=("from",) * len(ids) + ("to",) * len(ids),
        admittance=admittance,
        rating_pu=np.tile(ratings, 2) / base_a,
        base_current_a=np.full(2 * len(ids), base_a),
    )


def _ports(table: BranchTable, place: dict[str, int]) -> tuple[Ports, PassiveElements]:
    """Return a port for each bus with resources, and what is expected of these."""
    served = list(dict.fromkeys(each.bus for each in table.resources))
    port = {bus: k for k, bus in enumerate(served)}
    nodes = [place[bus] for bus in served]
    count = len(table.resources)
    own = [port[each.bus] for each in table.resources]
    shares = sp.csr_array((np.ones(count), (own, np.arange(count))), shape=(len(served), count))
    power: ComplexArray = np.array(
        [-complex(each.p_w, each.q_var) / table.base_power_w for each in table.resources],
        dtype=np.complex128,
    )
    ports = Ports(
        names=element_ids("bus", served),
        incidence=sp.csr_array(
            (np.ones(len(served)), (nodes, np.arange(len(served)))),
            shape=(len(place), len(served)),
        ),
        passive_power_pu=np.asarray(shares @ power),
    )
    ids = element_ids("pod", (each.name for each in table.resources))
    return ports, PassiveElements(ids, shares, power)


def _branch_faults(table: BranchTable) -> Iterator[Fault]:
    seen: set[str] = set()
    for each in table.branches:
        own = element_id("branch", each.name)
        if each.name in seen:
            yield Fault(own, "this id is used more than once")
        seen.add(each.name)
        if each.start == each.end:
            yield Fault(own, f"both its ends are at {element_id('bus', each.start)}")
        if each.r_ohm < 0.0 or each.r_ohm == each.x_ohm == 0.0:
            detail = f"its impedance is {each.r_ohm:g} + j {each.x_ohm:g} ohm"
            yield Fault(own, f"{detail}; the resistance must be at least 0, and not both 0")


def _loop_faults(table: BranchTable) -> Iterator[Fault]:
    """Yield each branch that closes a loop, and each bus that no branch connects to the source."""
    tree = {bus: bus for bus in table.buses}

    def root(bus: str) -> str:
        while tree[bus] != bus:
            tree[bus] = bus = tree[tree[bus]]
        return bus

    for each in table.branches:
        first, second = root(each.start), root(each.end)
        if first != second:
            tree[first] = second
        elif each.start != each.end:
            buses = f"{element_id('bus', each.start)} and {element_id('bus', each.end)}"
            detail = f"it closes a loop: other branches already connect {buses}"
            yield Fault(element_id("branch", each.name), f"{detail}; the network must be radial")
    if all(table.source not in (each.start, each.end) for each in table.branches):
        yield Fault(element_id("bus", table.source), "it is the source, and no branch ends there")
        return
    for bus in table.buses:
        if root(bus) != root(table.source):
            yield Fault(
                element_id("bus", bus),
                f"no branch connects it to the source, {element_id('bus', table.source)}",
            )


def _resource_faults(table: BranchTable) -> Iterator[Fault]:
    seen: set[str] = set()
    for each in table.resources:
        own = element_id("pod", each.name)
        if each.name in seen:
            yield Fault(own, "this resource is there more than once: two resources overlap")
        seen.add(each.name)
        if each.bus not in table.buses:
            bus = element_id("bus", each.bus)
            yield Fault(own, f"it is at {bus}, but no branch ends at such a bus")
