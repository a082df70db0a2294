"""A scenario: a network, its limits, its customers, and the intervals that they trade.

:mod:`gateway.scenario.loading` reads it from a file.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta

from doe_allocation.allocation.grid import Grid
from doe_allocation.allocation.islands_grid import IslandsGrid
from doe_allocation.allocation.network_grid import NetworkGrid
from doe_allocation.capacity import Capacity
from exchange.vocabulary.rules import ConnectionTerms, MarketRules
from gateway.formats.faults import InputFaults
from gateway.scenario.actions import Actions
from gateway.scenario.fairness import FairnessTerms
from gateway.scenario.forecasts import ForecastSeries
from gateway.scenario.intervals import DeliveryInterval
from gateway.scenario.linear.area import LinearArea, LinearSeries
from gateway.scenario.perimeters import Perimeters
from gateway.scenario.profiles.capacities import CapacityProfile
from security_check.errors import Fault
from security_check.model.islands import Island
from security_check.model.limits import InterfaceLimits, VoltageLimits
from security_check.model.network import Network
from security_check.model.network_state import NetworkState
from security_check.uncertainty.forecast import Forecast


@dataclass(frozen=True, slots=True)
class Scenario:
    """A network, its limits, its customers, and the intervals that they trade.

    Parameters
    ----------
    source
        The scenario file.
    area
        Name of the area; it is a part of all topics and of the journal's keys.
    network, states, voltage_limits, capacity
        Inputs of the envelopes, which hold in every further state (outages, taps), too.  A linear
        network has no states and no voltages.
    fairness
        The fairness principle and weights.
    forecast_series, capacities
        The forecasts of the intervals, ``None`` with a linear network, which has its own set
        points; the capacities, if they change over time.
    interface_limits
        The contract with the TSO, for intervals without one of their own.
    intervals
        The delivery intervals in order; at least one.
    anonymous
        Whether the scenario names no interval.  It then has exactly one, and an orders file may
        give its start.
    owners
        Participant of each connection point; for points that ``[participants]`` does not name,
        the name of the point.
    has_participants
        Whether the file has a section ``[participants]``.
    rules
        Price step, quantity step, compensation, metering.
    actions
        Switching and tap actions of the operator; ``None`` if the file has no ``[actions]``.
    gate_closure, opening
        Times before an interval's start at which its gate closes and at which trading opens
        (``serve`` only: a simulation opens all intervals before the first order).
    perimeters
        The sets of connection points about which operators coordinate.
    resources
        By connection point, the watts by which its resource may change its power upward and
        downward in the flexibility market; none without ``[flexibility]``.
    places
        Coordinates of the buses by name, for pictures; empty if the network has none.
    """

    source: str
    area: str
    network: Network | LinearArea
    states: tuple[NetworkState, ...]
    voltage_limits: VoltageLimits
    interface_limits: InterfaceLimits
    capacity: Capacity
    fairness: FairnessTerms
    forecast_series: ForecastSeries | None
    capacities: CapacityProfile | None
    intervals: tuple[DeliveryInterval, ...]
    anonymous: bool
    owners: Mapping[str, str]
    has_participants: bool
    rules: MarketRules
    gate_closure: timedelta
    opening: timedelta
    perimeters: Perimeters
    places: Mapping[str, tuple[float, float]]
    resources: Mapping[str, tuple[int, int]]
    actions: Actions | None = None

    @property
    def ac_network(self) -> Network:
        """The network, for what needs an AC power flow.

        Raises
        ------
        InputFaults
            When it is linear.
        """
        if isinstance(self.network, LinearArea):
            detail = (
                'it is "linear", and this needs a network with AC power flow; allocate, verify, '
                "simulate, report, fairness, serve and outputs do not"
            )
            raise InputFaults(self.source, [Fault("network.kind", detail)])
        return self.network

    def forecast_in(self, interval: int) -> Forecast:
        """Return the forecast of the passive elements; raises as :attr:`ac_network`."""
        assert self.ac_network is not None
        assert self.forecast_series is not None
        return self.forecast_series.forecast(interval)

    @property
    def forecast(self) -> Forecast:
        """The forecast of the passive elements in the first interval."""
        return self.forecast_in(0)

    @property
    def changes(self) -> bool:
        """Whether forecasts, limits of branches or capacities differ between intervals."""
        own = self.network if isinstance(self.network, LinearArea) else self.forecast_series
        return self.capacities is not None or (own is not None and own.changes)

    def grid(self) -> Grid:
        """Return the grid that allocates and checks envelopes in every interval.

        Raises
        ------
        InputFaults
            When intervals have forecasts or capacities of their own.
        """
        self.refuse_changes()
        return self._usual_grid()

    def networks(self) -> Grid | LinearSeries:
        """Return the grid for a market: of all intervals, or of each where linear ones differ.

        Raises
        ------
        InputFaults
            When intervals have forecasts or capacities of their own.
        """
        area = self.network
        if not isinstance(area, LinearArea) or not area.changes or self.capacities is not None:
            return self.grid()
        numbers = {interval.start: k for k, interval in enumerate(self.intervals)}
        return LinearSeries(area, numbers, self.capacity, self.fairness)

    def refuse_changes(self) -> None:
        """Raise :class:`InputFaults` when intervals have forecasts or capacities of their own."""
        if self.changes:
            detail = (
                "powers, bands, limits or capacities change from interval to interval; this "
                "command supports one forecast only (allocate, verify, outputs and plot support "
                "many)"
            )
            raise InputFaults(self.source, [Fault("profiles", detail)])

    def capacity_in(self, interval: int) -> Capacity:
        """Return the capacities in the interval with this index."""
        return self.capacity if self.capacities is None else self.capacities.at(interval)

    def grid_in(self, interval: int, before: Grid | None = None) -> Grid:
        """Return the grid that allocates and checks envelopes in an interval.

        Parameters
        ----------
        interval
            Index of the interval.
        before
            The grid of the previous interval.  Its factorisations are reused, and the constraints
            that were binding there are checked first.
        """
        if isinstance(self.network, LinearArea):
            return self.network.grid(interval, self.capacity_in(interval), self.fairness)
        grid = before if isinstance(before, NetworkGrid | IslandsGrid) else self._ac_grid()
        if self.changes:
            grid = grid.with_forecast(self.forecast_in(interval))
            grid = grid.with_capacity(self.capacity_in(interval))
        return grid

    def _usual_grid(self) -> Grid:
        return self._ac_grid() if self.forecast_series is not None else self.grid_in(0)

    def _ac_grid(self) -> NetworkGrid | IslandsGrid:
        # A set of deviations, a state, a forecast or a common level can couple separate parts.
        coupled = self.changes or self.forecast.deviations.set.count or self.states
        if coupled or self.fairness.principle.is_common:
            return NetworkGrid(
                self.ac_network,
                self.voltage_limits,
                self.capacity,
                self.fairness.weights,
                states=self.states,
                forecast=self.forecast,
                fairness=self.fairness.principle,
            )
        joint = IslandsGrid(self.ac_network, self._grid_of)
        return joint if len(joint.parts) > 1 else joint.parts[0]

    def _grid_of(self, part: Island) -> NetworkGrid:
        weights = self.fairness.weights.reshape(2, -1)[:, part.points].ravel()
        capacity = self.capacity.take(part.points)
        principle = self.fairness.principle
        return NetworkGrid(part.network, self.voltage_limits, capacity, weights, fairness=principle)

    def terms(self, owners: Mapping[str, str] | None = None) -> tuple[ConnectionTerms, ...]:
        """Return the terms of every connection point; ``owners`` replaces the scenario's own."""
        owner_of = self.owners if owners is None else owners
        flexible_w = [self.resources.get(each, (0, 0)) for each in self.network.connection_points]
        return tuple(
            ConnectionTerms(
                connection_point=point,
                participant=owner_of[point],
                injection_capacity_w=int(self.capacity.injection_w[i]),
                withdrawal_capacity_w=int(self.capacity.withdrawal_w[i]),
                fallback_injection_w=int(self.capacity.fallback_injection_w[i]),
                fallback_withdrawal_w=int(self.capacity.fallback_withdrawal_w[i]),
                flexible_up_w=flexible_w[i][0],
                flexible_down_w=flexible_w[i][1],
            )
            for i, point in enumerate(self.network.connection_points)
        )
