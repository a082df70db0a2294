"""The step of one operator in the recursion: its own network, and its children's statements.

No code here has access to two networks.  Upwards, a level makes the statement about its interface;
downwards, it divides its own contract and so grants an envelope to each child.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from doe_allocation.allocation.network_grid import NetworkGrid
from doe_allocation.capacity import Capacity
from doe_allocation.fairness.principles import MAX_MIN
from doe_allocation.fairness.rule import Principle
from doe_allocation.hierarchy.customer_classes import (
    CustomerClass,
    NestedPrinciple,
    classes_of,
    divide_at_common_share,
)
from doe_allocation.hierarchy.interface_statement import (
    InterfaceExtremes,
    InterfaceStatement,
    interface_extremes,
    limit_covering_w,
    reactive_range_around,
    states_with_reactive_ranges,
    with_reactive_ranges,
)
from security_check.arrays import FloatArray, IntArray
from security_check.checking.check import SecurityCheck
from security_check.errors import Fault, GridError, InsecureError, PowerFlowError
from security_check.model.element import POWER_FLOW, Element
from security_check.model.envelope import EnvelopeSet
from security_check.model.limits import BusBand, InterfaceLimits, VoltageLimits
from security_check.model.network import Network
from security_check.model.network_state import NetworkState
from security_check.uncertainty.forecast import Forecast


@dataclass(frozen=True, slots=True)
class OperatorArea:
    """One operator's own network; see :class:`~doe_allocation.hierarchy.operators.Operator`.

    Parameters
    ----------
    buses
        Names of the limited voltages at each connection point that is a child's; empty for one at
        the operator's own interface.
    """

    network: Network
    voltage_limits: VoltageLimits
    capacity: Capacity
    states: tuple[NetworkState, ...]
    weights: FloatArray | None
    forecast: Forecast | None
    buses: Mapping[str, tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class Division:
    """The division of one operator's contract.

    Parameters
    ----------
    contract
        The contract in force at its interface.
    grid
        The grid on which the envelopes were computed, and can be checked and attacked.
    envelopes
        Of customers and of children's interfaces; the fallbacks where there is no check.
    check
        The security check of the envelopes; ``None`` where no envelopes above the fallbacks are
        secure under the contract.
    refusal
        Why there is no check: element and numbers; ``None`` where there is one.
    fallback_secure
        Whether there is no check, but the AC check confirms the fallbacks under the contract.
    broken
        The children whose band this operator cannot promise, by connection point, and why; their
        envelopes are the least powers that they stated.
    """

    contract: InterfaceLimits
    grid: NetworkGrid
    envelopes: EnvelopeSet
    check: SecurityCheck | None
    refusal: Fault | None
    fallback_secure: bool
    broken: Mapping[str, Fault]


class OperatorLevel:
    """One operator's own network with the statements of its children.

    Parameters
    ----------
    area
        The operator's own network.
    below
        The children's statements, by connection point.
    principle
        Of fairness among customers, including those below children.

    Raises
    ------
    NetworkFaults
        When a child's reactive range does not fit its connection point.
    """

    def __init__(
        self,
        area: OperatorArea,
        below: Mapping[str, InterfaceStatement],
        principle: Principle = MAX_MIN,
    ) -> None:
        self._area = area
        self._principle = principle
        self._below = dict(below)
        ranges = {p: (s.reactive_min_var, s.reactive_max_var) for p, s in below.items()}
        own = area.network
        self._network = with_reactive_ranges(own, ranges) if ranges else own
        self._states = states_with_reactive_ranges(area.states, ranges)
        self._grids: dict[tuple[str, ...], NetworkGrid] = {}

    # -- upwards --------------------------------------------------------------------------------

    def state(
        self, band: tuple[float, float], reactive_var: tuple[int, int] | None = None
    ) -> InterfaceStatement:
        """Return the statement about this operator's interface, for voltages in a band.

        Parameters
        ----------
        band
            The voltage band promised at its interface.
        reactive_var
            The reactive range to keep, var; computed where not given.
        """
        low, high = (None, None) if reactive_var is None else reactive_var
        alone = InterfaceLimits(*band, reactive_min_var=low, reactive_max_var=high)
        division = self.divide(alone)
        grid, fallback_w = division.grid, division.grid.capacity.lower_w()
        refusal = division.refusal
        most_w = fallback_w if division.check is None else division.check.limits_w
        try:
            least, most = self._extremes(grid, alone, fallback_w), None
            most = least if refusal is not None else self._extremes(grid, alone, most_w)
            idle = least if not fallback_w.any() else self._extremes(grid, alone, 0 * fallback_w)
        except PowerFlowError as error:
            nothing = InterfaceExtremes(0.0, 0.0, 0.0, 0.0)
            least = most = idle = nothing
            refusal = refusal or Fault(POWER_FLOW, str(error))
        members = self._customers_and_classes(most_w)
        # A child that cannot keep its range states the range that it needs.
        kept = reactive_var if refusal is None else None
        reactive = reactive_range_around(most) if kept is None else kept
        least_power = limit_covering_w(least.injection_w), limit_covering_w(least.withdrawal_w)
        most_power = (
            max(limit_covering_w(most.injection_w), least_power[0]),
            max(limit_covering_w(most.withdrawal_w), least_power[1]),
        )
        return InterfaceStatement(
            band,
            *least_power,
            *most_power,
            *reactive,
            idle.injection_w,
            idle.withdrawal_w,
            classes_of(members[0], most_power[0] - idle.injection_w),
            classes_of(members[1], most_power[1] - idle.withdrawal_w),
            refusal,
        )

    def _extremes(
        self, grid: NetworkGrid, contract: InterfaceLimits, limits_w: IntArray
    ) -> InterfaceExtremes:
        return interface_extremes(grid.robust_rows(contract), limits_w)

    def _customers_and_classes(
        self, granted_w: IntArray
    ) -> tuple[list[CustomerClass], list[CustomerClass]]:
        """Return customers and children's classes, for each direction, with the power granted."""
        weights, idle = self._weights(), self._idle_w()
        count = len(weights) // 2
        found: tuple[list[CustomerClass], list[CustomerClass]] = ([], [])
        for k, (classes, weight) in enumerate(zip(self._classes(), weights, strict=True)):
            own = found[k // count]
            if not classes:
                own.append(CustomerClass(float(weight), float(granted_w[k])))
                continue
            largest = np.array([each.largest_w for each in classes])
            heavy = np.array([each.weight for each in classes])
            used = divide_at_common_share(
                float(granted_w[k]) - idle[k], 0.0 * largest, largest, heavy
            )
            own += [
                CustomerClass(each.weight, float(w)) for each, w in zip(classes, used, strict=True)
            ]
        return found

    # -- downwards ------------------------------------------------------------------------------

    def divide(self, contract: InterfaceLimits) -> Division:
        """Return fair envelopes under a contract, for customers and for children's interfaces.

        If a child's band cannot be promised even with all limits at the fallback, the child gets
        the least powers that it stated, its band is dropped, and the division is repeated.
        """
        broken = self._bands_broken_by_contract(contract)
        while True:
            grid = self._grid(broken)
            try:
                check = grid.allocate(contract)
            except InsecureError as error:
                fault = Fault(error.element, error.detail)
                child = self._child_at(error.element, broken)
                if child is None:
                    return self._at_fallback(contract, grid, fault, broken)
                broken = {**broken, child: fault}
            except PowerFlowError as error:
                return self._at_fallback(contract, grid, Fault(POWER_FLOW, str(error)), broken)
            else:
                return Division(contract, grid, check.envelopes(), check, None, False, broken)

    def _bands_broken_by_contract(self, contract: InterfaceLimits) -> dict[str, Fault]:
        """Return the children at the operator's own interface whose band its contract breaks."""
        low, high = contract.voltage_min_pu, contract.voltage_max_pu
        found = {}
        for point, statement in self._below.items():
            inside = statement.band[0] <= low and high <= statement.band[1]
            if not self._area.buses[point] and not inside:
                detail = (
                    f"the voltage there is anywhere from {low:g} to {high:g} p.u. by contract, "
                    f"which is not inside {statement.band[0]:g} to {statement.band[1]:g} p.u."
                )
                found[point] = Fault("interface", detail)
        return found

    def _child_at(self, element: str, broken: Mapping[str, Fault]) -> str | None:
        """Return the child whose band is kept so far and whose bus is an insecure element."""
        bus = Element.parse(element).name
        for point in self._below:
            if point not in broken and bus in self._area.buses[point]:
                return point
        return None

    def divide_at_fallback(self, contract: InterfaceLimits, why: Fault) -> Division:
        """Return all limits at the fallback, because one side does not keep the contract."""
        broken = self._bands_broken_by_contract(contract)
        return self._at_fallback(contract, self._grid(broken), why, broken)

    def _at_fallback(
        self,
        contract: InterfaceLimits,
        grid: NetworkGrid,
        refusal: Fault,
        broken: Mapping[str, Fault],
    ) -> Division:
        floor = grid.capacity
        envelopes = EnvelopeSet(
            floor.connection_points, floor.fallback_injection_w, floor.fallback_withdrawal_w
        )
        try:
            grid.resume(contract, envelopes)
        except GridError:
            secure = False
        else:
            secure = True
        return Division(contract, grid, envelopes, None, refusal, secure, broken)

    # -- the grid -------------------------------------------------------------------------------

    def _grid(self, broken: Mapping[str, Fault]) -> NetworkGrid:
        """Return the grid that keeps all promised bands but the broken ones; each made once."""
        key = tuple(sorted(broken))
        if key not in self._grids:
            own = self._area
            bands = tuple(
                BusBand(bus, *statement.band)
                for point, statement in self._below.items()
                if point not in broken
                for bus in own.buses[point]
            )
            self._grids[key] = NetworkGrid(
                self._network,
                replace(own.voltage_limits, buses=(*own.voltage_limits.buses, *bands)),
                self._capacity(broken),
                self._weights(),
                self._states,
                own.forecast,
                NestedPrinciple(
                    self._principle,
                    self._classes(),
                    self._idle_w(),
                    self._network.base_power_w,
                )
                if self._below
                else self._principle,
            )
        return self._grids[key]

    def _capacity(self, broken: Mapping[str, Fault]) -> Capacity:
        """Return the capacities: of a child the most it can use, within its interface's capacity.

        The least power of a child counts even if it exceeds that capacity; see
        :meth:`beyond_capacity`.
        """
        own = self._area.capacity
        columns = [
            own.injection_w.copy(),
            own.withdrawal_w.copy(),
            own.fallback_injection_w.copy(),
            own.fallback_withdrawal_w.copy(),
        ]
        injection, withdrawal, least_injection, least_withdrawal = columns
        for point, statement in self._below.items():
            k = own.connection_points.index(point)
            least = statement.least_injection_w, statement.least_withdrawal_w
            stays = point in broken or statement.refusal is not None
            most = least if stays else (statement.most_injection_w, statement.most_withdrawal_w)
            least_injection[k], least_withdrawal[k] = least
            injection[k] = max(min(injection[k], most[0]), least[0])
            withdrawal[k] = max(min(withdrawal[k], most[1]), least[1])
        return Capacity(own.connection_points, *columns)

    def beyond_capacity(self) -> dict[str, Fault]:
        """Return the children whose least power exceeds the capacity of their interface."""
        own, found = self._area.capacity, {}
        for point, statement in self._below.items():
            k = own.connection_points.index(point)
            least = statement.least_injection_w, statement.least_withdrawal_w
            most = int(own.injection_w[k]), int(own.withdrawal_w[k])
            for what, needed, carried in zip(("inject", "withdraw"), least, most, strict=True):
                if needed > carried:
                    detail = f"it must {what} {needed:,} W at least, its capacity is {carried:,} W"
                    found[point] = Fault(point, detail)
        return found

    def _weights(self) -> FloatArray:
        count = len(self._network.connection_points)
        given = self._area.weights
        weights = np.ones(2 * count) if given is None else np.array(given, dtype=float)
        for point, statement in self._below.items():
            k = self._network.connection_points.index(point)
            weights[[k, k + count]] = statement.weights
        return weights

    def _classes(self) -> tuple[tuple[CustomerClass, ...], ...]:
        points = self._network.connection_points
        of_points = [self._below.get(point) for point in points]
        injection = [() if each is None else each.injection for each in of_points]
        withdrawal = [() if each is None else each.withdrawal for each in of_points]
        return (*injection, *withdrawal)

    def _idle_w(self) -> FloatArray:
        count = len(self._network.connection_points)
        idle = np.zeros(2 * count)
        for point, statement in self._below.items():
            k = self._network.connection_points.index(point)
            idle[[k, k + count]] = statement.idle_injection_w, statement.idle_withdrawal_w
        return idle
