"""A linear network of a scenario, with the limits and set points of its intervals."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from doe_allocation.allocation.linear.grid import LinearGrid
from doe_allocation.allocation.linear.operation import LinearOperation
from doe_allocation.capacity import Capacity
from gateway.scenario.fairness import FairnessTerms
from security_check.arrays import FloatArray, IndexArray
from security_check.model.linear_network import LinearNetwork


@dataclass(frozen=True, slots=True)
class LinearArea:
    """A linear network in T intervals, or in one that stands for all: T is then 1.

    Parameters
    ----------
    network
        The network, with the limits of the first interval; n buses, l branches.
    slack_bus
        Its interface.
    connection_points
        Ids; c of them.
    bus_of_point
        Shape (c,), index of the bus of each.
    lower_w, upper_w
        Shape (T, l), limits of the flows.
    setpoint_w
        Shape (T, n), what does not trade injects, watts.
    """

    network: LinearNetwork
    slack_bus: str
    connection_points: tuple[str, ...]
    bus_of_point: IndexArray
    lower_w: FloatArray
    upper_w: FloatArray
    setpoint_w: FloatArray
    nominal_v: Mapping[str, float] = field(default_factory=dict)
    """Nominal voltages: a linear network has none."""

    @property
    def nodes(self) -> tuple[str, ...]:
        """The buses."""
        return self.network.buses

    @property
    def node_of_point(self) -> tuple[str, ...]:
        """The bus of each connection point."""
        return tuple(self.network.buses[k] for k in self.bus_of_point)

    @property
    def changes(self) -> bool:
        """Whether limits or set points differ between intervals."""
        return len(self.lower_w) > 1 or len(self.setpoint_w) > 1

    def grid(self, interval: int, capacity: Capacity, fairness: FairnessTerms) -> LinearGrid:
        """Return the grid of the interval with this index."""
        limits, rest = interval % len(self.lower_w), interval % len(self.setpoint_w)
        network = replace(self.network, lower_w=self.lower_w[limits], upper_w=self.upper_w[limits])
        operation = LinearOperation(
            network, self.connection_points, self.bus_of_point, self.setpoint_w[rest]
        )
        return LinearGrid(operation, capacity, fairness.weights, fairness.principle)
