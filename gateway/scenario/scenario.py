"""What a scenario is: a network, its limits, who is connected, and what is traded when.

:mod:`gateway.scenario.loading` reads it from a file.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta

from doe_allocation.allocation.islands_grid import IslandsGrid
from doe_allocation.allocation.network_grid import NetworkGrid
from doe_allocation.capacity import Capacity
from exchange.vocabulary.rules import ConnectionTerms, MarketRules
from gateway.formats.faults import InputFaults
from gateway.scenario.actions import Actions
from gateway.scenario.fairness import FairnessTerms
from gateway.scenario.forecasts import ForecastSeries
from gateway.scenario.intervals import DeliveryInterval
from gateway.scenario.perimeters import Perimeters
from gateway.scenario.profile_files import CapacityProfile
from security_check.errors import Fault
from security_check.model.islands import Part
from security_check.model.limits import InterfaceLimits, VoltageLimits
from security_check.model.network import Network
from security_check.model.outage import Outage
from security_check.uncertainty.forecast import Forecast


@dataclass(frozen=True, slots=True)
class Scenario:
    """A network, its limits, who is connected, and what is traded when.

    Parameters
    ----------
    source
        The file it was read from.
    area
        Name of the area; topics and the journal are named after it.
    network, outages, voltage_limits, capacity
        What the envelopes are computed from; they hold after each outage, too.
    fairness
        By what they are divided.
    forecast_series, capacities
        The forecasts of the intervals, and capacities where they change.
    interface_limits
        The contract with the TSO where an interval has no other.
    intervals
        The delivery intervals in order; at least one.
    anonymous
        Whether the scenario names no interval: then there is exactly one, whose start an
        orders file may give.
    owners
        Participant of each connection point; named by ``[participants]`` or, where that says
        nothing, the connection point itself.
    has_participants
        Whether the file has a section ``[participants]``.
    rules
        Price step, quantity step, compensation, metering.
    actions
        What the operator may switch and tap, if anything.
    gate_closure, opening
        How long before its start an interval's gate closes, and how long before that start it
        opens (``serve`` only: a simulation opens everything before the first order).
    perimeters
        The sets of connection points that operators coordinate about.
    places
        Where buses are drawn, by their names; empty where the network has no coordinates.
    """

    source: str
    area: str
    network: Network
    outages: tuple[Outage, ...]
    voltage_limits: VoltageLimits
    interface_limits: InterfaceLimits
    capacity: Capacity
    fairness: FairnessTerms
    forecast_series: ForecastSeries
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
    actions: Actions | None = None

    @property
    def forecast(self) -> Forecast:
        """What is expected of those who do not trade, in the first interval."""
        return self.forecast_series.forecast(0)

    @property
    def changes(self) -> bool:
        """Whether intervals differ in more than the contract with the TSO."""
        return self.forecast_series.changes or self.capacities is not None

    def grid(self) -> NetworkGrid | IslandsGrid:
        """Return the grid that allocates and checks envelopes in every interval.

        Raises
        ------
        InputFaults
            When intervals have forecasts or capacities of their own.
        """
        self.refuse_changes()
        return self._usual_grid()

    def refuse_changes(self) -> None:
        """Raise :class:`InputFaults` when intervals have forecasts or capacities of their own."""
        if self.changes:
            detail = (
                "powers, bands or capacities change from interval to interval; that is for the "
                "commands allocate, verify, outputs and plot, all others have one forecast"
            )
            raise InputFaults(self.source, [Fault("profiles", detail)])

    def capacity_in(self, interval: int) -> Capacity:
        """Return the capacities in an interval, named by its number."""
        return self.capacity if self.capacities is None else self.capacities.at(interval)

    def grid_in(
        self, interval: int, before: NetworkGrid | IslandsGrid | None = None
    ) -> NetworkGrid | IslandsGrid:
        """Return the grid that allocates and checks envelopes in an interval.

        Parameters
        ----------
        interval
            Its number.
        before
            The grid of the interval before: nothing is factorised anew, and what mattered there
            is looked at first.
        """
        grid = self._usual_grid() if before is None else before
        if isinstance(grid, NetworkGrid) and self.changes:
            grid = grid.with_forecast(self.forecast_series.forecast(interval))
            grid = grid.with_capacity(self.capacity_in(interval))
        return grid

    def _usual_grid(self) -> NetworkGrid | IslandsGrid:
        # A set of deviations, an outage, a forecast or a level common to all may reach across
        # parts.
        reaches = self.changes or self.forecast.deviations.set.count or self.outages
        if reaches or self.fairness.principle.is_common:
            return NetworkGrid(
                self.network,
                self.voltage_limits,
                self.capacity,
                self.fairness.weights,
                outages=self.outages,
                forecast=self.forecast,
                fairness=self.fairness.principle,
            )
        joint = IslandsGrid(self.network, self._grid_of)
        return joint if len(joint.parts) > 1 else joint.parts[0]

    def _grid_of(self, part: Part) -> NetworkGrid:
        weights = self.fairness.weights.reshape(2, -1)[:, part.points].ravel()
        capacity = self.capacity.take(part.points)
        principle = self.fairness.principle
        return NetworkGrid(part.network, self.voltage_limits, capacity, weights, fairness=principle)

    def terms(self, owners: Mapping[str, str] | None = None) -> tuple[ConnectionTerms, ...]:
        """Return the terms of every connection point; ``owners`` replaces the scenario's own."""
        owner_of = self.owners if owners is None else owners
        return tuple(
            ConnectionTerms(
                connection_point=point,
                participant=owner_of[point],
                injection_capacity_w=int(self.capacity.injection_w[i]),
                withdrawal_capacity_w=int(self.capacity.withdrawal_w[i]),
                fallback_injection_w=int(self.capacity.fallback_injection_w[i]),
                fallback_withdrawal_w=int(self.capacity.fallback_withdrawal_w[i]),
            )
            for i, point in enumerate(self.network.connection_points)
        )
