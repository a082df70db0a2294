"""A linear network of a scenario, with the limits and set points of its intervals."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime

from doe_allocation.allocation.linear.grid import LinearGrid
from doe_allocation.allocation.linear.operation import LinearOperation
from doe_allocation.capacity import Capacity
from exchange.vocabulary.formatting import format_time
from gateway.scenario.fairness import FairnessTerms
from security_check.arrays import FloatArray, IndexArray
from security_check.errors import GridError
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


@dataclass(frozen=True, slots=True)
class LinearSeries:
    """The grids of a linear network whose limits or set points differ between intervals.

    Parameters
    ----------
    area
        The network in every interval.
    numbers
        Index of each interval by its start.
    capacity, fairness
        The same in every interval.
    """

    area: LinearArea
    numbers: Mapping[datetime, int]
    capacity: Capacity
    fairness: FairnessTerms

    @property
    def connection_points(self) -> tuple[str, ...]:
        """Ids, in the network's order."""
        return self.area.connection_points

    def network_in(self, interval: datetime) -> LinearGrid:
        """Return the grid of the interval that starts then.

        Raises
        ------
        GridError
            When the scenario has no such interval.
        """
        if interval not in self.numbers:
            when = format_time(interval)
            raise GridError(f"the scenario has no interval that starts at {when}")
        return self.area.grid(self.numbers[interval], self.capacity, self.fairness)
