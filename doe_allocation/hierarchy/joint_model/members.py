"""The operators of a hierarchy with their pandapower nets, and the boundaries between them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from doe_allocation.capacity import Capacity
from doe_allocation.fairness.principles import Fairness
from doe_allocation.hierarchy.allocation import HierarchyAllocation, allocate_hierarchy
from doe_allocation.hierarchy.operators import Child, Operator
from security_check.arrays import FloatArray
from security_check.importers import Net
from security_check.importers.pandapower_tables import in_service
from security_check.model.element_ids import table_row
from security_check.model.limits import InterfaceLimits, VoltageLimits
from security_check.model.network import Network
from security_check.model.network_state import NetworkState


@dataclass(frozen=True)
class Member:
    """One operator with its net.

    Parameters
    ----------
    name
        Its name.
    net
        Its pandapower net.
    customer_table
        The table of the net whose rows are connection points, for example ``"load"``.
    models_passive, models_generators
        Whether its network includes the passive powers of its net (those that do not trade), and
        its voltage-controlled generators.
    distributed_slack
        Whether its generators share the imbalance.
    network, states, voltage_limits, capacity
        Its network for allocation, also after outages, with limits and capacities.
    weights
        Shape (2 c,), > 0, injection first; ``None`` if all weights are 1.
    children
        The boundary at each connection point that is a child's interface.
    """

    name: str
    net: Net
    customer_table: str
    models_passive: bool
    models_generators: bool
    distributed_slack: bool
    network: Network
    states: tuple[NetworkState, ...]
    voltage_limits: VoltageLimits
    capacity: Capacity
    weights: FloatArray | None
    children: Mapping[str, Boundary]

    @property
    def interface_bus(self) -> int:
        """The bus of its external grid, the first where there are several."""
        return int(in_service(self.net, "ext_grid").bus.iloc[0])

    def bus_of(self, connection_point: str) -> int:
        """Return the bus of one of its connection points."""
        table, index = table_row(connection_point)
        return int(self.net[table].bus.at[index])


@dataclass(frozen=True)
class Hierarchy:
    """The operators, parents before their children, and the contract at the top.

    Parameters
    ----------
    source
        The file that it was read from.
    contract
        In force at the interface of the operator at the top.
    principle
        The principle of fairness of all operators.
    members
        The operators, the one at the top first, parents before children.
    """

    source: str
    contract: InterfaceLimits
    principle: Fairness
    members: tuple[Member, ...]

    @property
    def boundaries(self) -> tuple[Boundary, ...]:
        """All boundaries, parents before their children."""
        return tuple(b for member in self.members for b in member.children.values())

    def member(self, name: str) -> Member:
        """Return the operator of that name."""
        return self._by_name[name]

    def parent_of(self, name: str) -> Boundary | None:
        """Return the boundary above an operator; ``None`` at the top."""
        return next((b for b in self.boundaries if b.child == name), None)

    @cached_property
    def _by_name(self) -> dict[str, Member]:
        return {member.name: member for member in self.members}

    def allocate(self) -> HierarchyAllocation:
        """Return the envelopes of all operators, from the top down."""
        return allocate_hierarchy(self.root(), self.contract, self.principle)

    def root(self) -> Operator:
        """Return the operational graph."""
        return self.operator(self.members[0].name)

    def operator(self, name: str) -> Operator:
        """Return an operator with all operators below it."""
        member = self.member(name)
        return Operator(
            name=member.name,
            network=member.network,
            voltage_limits=member.voltage_limits,
            capacity=member.capacity,
            children={
                point: Child(self.operator(b.child), b.band, b.reactive_var)
                for point, b in member.children.items()
            },
            states=member.states,
            weights=member.weights,
        )


@dataclass(frozen=True, slots=True)
class Boundary:
    """Where a child's network begins in its parent's.

    Parameters
    ----------
    parent, connection_point
        The parent, and the connection point of its network at which the child's begins.
    child
        The child.
    band
        The voltage band that the parent promises there, per unit.
    reactive_var
        Range of the child's reactive power, var, injection positive; ``None`` where it is computed
        from the child's network.
    """

    parent: str
    connection_point: str
    child: str
    band: tuple[float, float]
    reactive_var: tuple[int, int] | None

    @property
    def name(self) -> str:
        """Both ends: ``"parent / child"``."""
        return f"{self.parent} / {self.child}"
