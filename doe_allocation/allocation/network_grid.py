"""The grid of one network: allocates, reallocates, checks, proves and attacks its envelopes."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Self

import numpy as np

from doe_allocation.allocation.ac_allocation import AcAllocation
from doe_allocation.allocation.ac_climbing import fill_fairly
from doe_allocation.allocation.curtailment import PRO_RATA, Curtailment
from doe_allocation.allocation.separate_sources import SeparateSources, with_shared_rows
from doe_allocation.capacity import Capacity
from doe_allocation.fairness.principles import MAX_MIN
from doe_allocation.fairness.rule import CAPACITY, FillingRule, OnTop, Principle
from security_check.arrays import FloatArray, IntArray
from security_check.checking.check import SecurityCheck
from security_check.checking.linear_rows import LinearRows
from security_check.checking.verdict import quantity
from security_check.errors import InsecureError
from security_check.model.envelope import EnvelopeSet
from security_check.model.limits import InterfaceLimits, VoltageLimits
from security_check.model.network import Network
from security_check.model.network_state import NetworkState
from security_check.monitoring.case_monitors import monitors_of
from security_check.operating_range.conditions import OperatingConditions
from security_check.uncertainty.deviation_sets import source_vertices
from security_check.uncertainty.forecast import Forecast
from security_check.verification.adversary import Finding, attack
from security_check.verification.certificate import Prover, SecurityCertificate
from security_check.worst_case.robust_rows import SECURE, RobustRows
from security_check.worst_case.row_problem import RowProblem
from security_check.worst_case.search import Starts, WorstPointSearch

# Watts: a limit this close below a whole watt is rounded up to it, so that rounding costs no watt.
_WHOLE_W = 1e-6
# How often an adversary may refute envelopes that are not proved, and its effort each time.
_REFUTATIONS = 4
_SAMPLES, _CLIMBS = 128, 8


class NetworkGrid:
    """Allocates, reallocates and resumes envelopes on one network.

    The network is factorised once.  Each interval has its own interface limits and, by
    :meth:`with_forecast`, its own forecast of the powers that do not trade.

    Parameters
    ----------
    network
        The network; c connection points.
    voltage_limits
        Limits at every bus but the interface.
    capacity
        Capacities and fallbacks of the connection points, in the network's order.
    weights
        Shape (2 c,), > 0, injection first: a limit of weight 2 rises twice as fast.  All 1 where
        not given.
    states
        Further states in which envelopes must be secure, too: outages (N-1), taps at other
        positions.
    forecast
        The powers that do not trade; where not given, those of the network, taken as certain.
    fairness
        The principle that divides: one of :mod:`doe_allocation.fairness.principles`, or any other
        (:mod:`doe_allocation.fairness.rule`).

    Raises
    ------
    ValueError
        When capacities, weights or forecast do not fit the network.
    PowerFlowError
        When the network has no solution without customers.
    """

    def __init__(
        self,
        network: Network,
        voltage_limits: VoltageLimits,
        capacity: Capacity,
        weights: FloatArray | None = None,
        states: Sequence[NetworkState] = (),
        forecast: Forecast | None = None,
        fairness: Principle = MAX_MIN,
    ) -> None:
        if capacity.connection_points != network.connection_points:
            raise ValueError("the capacities are not those of the network's connection points")
        self.network = network
        self.weights = self._checked_weights(weights)
        self.fairness = fairness
        self.voltage_limits = voltage_limits
        self.capacity = capacity
        self.monitors = monitors_of(network, states)
        self._apart = SeparateSources(network, states)
        self._prover = Prover()
        self._starts: Starts | None = None
        # By whether the interface's parts are held on their own: points have other coordinates.
        self._last: Mapping[bool, AcAllocation] = {}
        self._rows_attacked: dict[InterfaceLimits, RobustRows] = {}
        self.forecast = self._checked_forecast(
            Forecast.as_given(network) if forecast is None else forecast
        )

    def _checked_forecast(self, forecast: Forecast) -> Forecast:
        ports = len(self.network.ports.names)
        shapes = (forecast.power_pu.shape, forecast.deviations.power_pu.shape[0])
        if shapes != ((ports,), ports):
            raise ValueError(f"the forecast is not one of the network's {ports} ports")
        return forecast

    def _checked_weights(self, weights: FloatArray | None) -> FloatArray:
        count = 2 * len(self.network.connection_points)
        if weights is None:
            return np.ones(count)
        weights = np.asarray(weights, dtype=float)
        if weights.shape != (count,) or not (np.isfinite(weights) & (weights > 0)).all():
            raise ValueError(f"weights must be {count} numbers above 0")
        return weights

    def with_fairness(self, fairness: Principle, weights: FloatArray | None = None) -> Self:
        """Return the same grid that divides by another principle; nothing is factorised anew.

        Raises
        ------
        ValueError
            When the weights do not fit the network.
        """
        other = copy.copy(self)
        other.fairness, other.weights = fairness, self._checked_weights(weights)
        return other

    def with_forecast(self, forecast: Forecast) -> Self:
        """Return the same grid in an interval of another forecast; nothing is factorised anew.

        Raises
        ------
        ValueError
            When the forecast does not fit the network.
        """
        other = copy.copy(self)
        other.forecast = self._checked_forecast(forecast)
        other._rows_attacked = {}
        if other.forecast.deviations.set != self.forecast.deviations.set:
            other._starts, other._last = None, {}  # points of one set do not apply to another
        return other

    def with_capacity(self, capacity: Capacity) -> Self:
        """Return the same grid in an interval of other capacities and fallbacks.

        Raises
        ------
        ValueError
            When the capacities are not those of the network's connection points.
        """
        if capacity.connection_points != self.network.connection_points:
            raise ValueError("the capacities are not those of the network's connection points")
        other = copy.copy(self)
        other.capacity = capacity
        return other

    @property
    def connection_points(self) -> tuple[str, ...]:
        """Ids, in the network's order."""
        return self.network.connection_points

    def search(self, limits: InterfaceLimits) -> WorstPointSearch:
        """Return the search for worst points under a contract at the interface."""
        search = WorstPointSearch(self.robust_rows(limits), self._starts)
        self._starts = search.starts
        return search

    def robust_rows(self, limits: InterfaceLimits) -> RobustRows:
        """Return the robust rows that envelopes must keep under a contract at the interface.

        Separate parts of the network each have a voltage of their own in the contracted band.
        Only a limit of the power that all of them exchange sees more than one of these voltages.

        Raises
        ------
        InsecureError
            When separate parts with generators share a limit of power.
        """
        corners = source_vertices(limits, self.network.held)
        network, monitors = self.network, self.monitors
        if self._apart.matter(limits):
            network, monitors = self._apart.network, self._apart.monitors
        forecast = self.forecast
        conditions = OperatingConditions(network, corners, forecast.power_pu, forecast.deviations)
        rows = monitors.row_limits(self.voltage_limits, limits)
        return RobustRows(RowProblem(monitors, rows, conditions))

    def allocate(self, limits: InterfaceLimits) -> SecurityCheck:
        """Return the fair envelopes under every robust row, by the grid's principle.

        The rows near their limits in the interval allocated before are taken first.

        Raises
        ------
        InsecureError
            When the fallback envelopes are not secure; names the element.
        PowerFlowError
            When a power flow does not converge.
        """
        lower, upper = self.capacity.lower_w(), self.capacity.upper_w()
        base = self.network.base_power_w
        filling = self.fairness(lower / base, upper / base, self.weights)
        search = self.search(limits)
        apart = self._apart.matter(limits)
        fill = fill_fairly(search, filling, self._last.get(apart))
        self._last = {**self._last, apart: fill}
        return self._in_whole_watts(search, fill)

    def reallocate(
        self,
        limits: InterfaceLimits,
        held: EnvelopeSet,
        curtailment: Curtailment = PRO_RATA,
    ) -> SecurityCheck:
        """Return the envelopes after a change of the interface limits, from those held.

        First curtailment, if they are no longer secure: the policy cuts the limits that take part
        in a row over its limit, down to their fallbacks at most.  Then new headroom is shared by
        the grid's principle on top of the limits left.  The part of a limit above its capacity is
        lost in any case, with no row as the reason.  Raises as :meth:`allocate`.
        """
        search, base = self.search(limits), self.network.base_power_w
        lower, upper = self.capacity.lower_w(), self.capacity.upper_w()
        have = np.minimum(np.concatenate([held.injection_w, held.withdrawal_w]), upper)
        curtailment = curtailment.at_most(upper)
        try:
            curtailed = SecurityCheck(search, have)
        except InsecureError:
            cut = curtailment.rule(lower, have, self.weights, base)
            curtailed = self._filled(search, cut)
        left = curtailed.limits_w
        new = self.fairness(np.zeros(len(left)), (upper - left) / base, self.weights)
        shared = self._filled(search, OnTop(new, left / base))
        return self._with_reasons(shared, curtailed, have)

    def rows_under(self, limits: InterfaceLimits, held: EnvelopeSet) -> LinearRows:
        """Return the linear rows of envelopes that may not be secure.

        Raises as :meth:`allocate`.
        """
        search = self.search(limits)
        u = np.concatenate([held.injection_w, held.withdrawal_w]) / self.network.base_power_w
        rows = search.find_new_worst_points(search.robust.no_rows(), u)
        return LinearRows.of_one(
            rows.A,
            rows.b - rows.A @ u,
            self.network.base_power_w,
            lambda k: search.robust.element(int(rows.rows[k])),
        )

    def resume(self, limits: InterfaceLimits, held: EnvelopeSet) -> SecurityCheck:
        """Return the state for envelopes already in force; raises as :meth:`allocate`."""
        have = np.concatenate([held.injection_w, held.withdrawal_w])
        return SecurityCheck(self.search(limits), have)

    def prove(
        self,
        limits: InterfaceLimits,
        held: EnvelopeSet | None = None,
        rng: np.random.Generator | None = None,
    ) -> tuple[EnvelopeSet, SecurityCertificate]:
        """Return envelopes and their security certificate; raises as :meth:`allocate`.

        Parameters
        ----------
        limits
            The contract at the interface.
        held
            Envelopes to prove; the fair ones where none are given.
        rng
            The source of an adversary's random points.  It attacks fair envelopes of which not
            every row is proved.  What refutes them becomes a start of the search for worst points,
            and the allocation is repeated.

        Raises
        ------
        InsecureError
            Also when the adversary refutes every allocation; names the element.
        """
        if held is not None:
            check = self.resume(limits, held)
            return check.envelopes(), self._certificate(limits, check)
        for _ in range(_REFUTATIONS):
            check = self.allocate(limits)
            proof = self._certificate(limits, check)
            if proof.secure or rng is None:
                return check.envelopes(), proof
            found = self.attack(limits, check.limits_w, rng, samples=_SAMPLES, climbs=_CLIMBS)
            if found.violation <= SECURE:
                return check.envelopes(), replace(proof, points_tried=found.points_tried)
            starts = self.search(limits).starts
            self._starts, self._last = starts.with_points(np.array([found.row]), found.point), {}
        raise InsecureError(
            found.element,
            f"not secured: after {_REFUTATIONS} allocations an adversary still finds "
            f"{quantity(found.value, found.unit)} (limit {quantity(found.limit, found.unit)}), "
            f"{found.operating_point}",
            found.violation,
        )

    def _certificate(self, limits: InterfaceLimits, check: SecurityCheck) -> SecurityCertificate:
        if not self._apart.matter(limits):
            return self._prover.prove(check)
        alone = SecurityCheck(self.search(limits.without_power()), check.limits_w)
        return with_shared_rows(self._prover.prove(alone), check)

    def attack(
        self,
        limits: InterfaceLimits,
        limits_w: IntArray,
        rng: np.random.Generator,
        *,
        samples: int = 512,
        climbs: int = 12,
    ) -> Finding:
        """Return the worst point of envelopes under a contract that the adversary finds.

        See :func:`security_check.verification.adversary.attack`.
        """
        if limits not in self._rows_attacked:
            self._rows_attacked = {limits: self.robust_rows(limits)}
        robust = self._rows_attacked[limits]
        return attack(robust, limits_w, rng, samples=samples, climbs=climbs)

    def _filled(self, search: WorstPointSearch, filling: FillingRule) -> SecurityCheck:
        return self._in_whole_watts(search, fill_fairly(search, filling))

    def _in_whole_watts(self, search: WorstPointSearch, fill: AcAllocation) -> SecurityCheck:
        """Round every limit down to whole watts, and put them into force."""
        limits_w = np.floor(fill.u * self.network.base_power_w + _WHOLE_W).astype(np.int64)
        names = _names(search.robust, fill)
        return SecurityCheck(search, limits_w, fill.rows, names, fill.gap)

    def _with_reasons(
        self, shared: SecurityCheck, curtailed: SecurityCheck, had: IntArray
    ) -> SecurityCheck:
        """Give each limit that was curtailed the element that curtailed it as bottleneck."""
        before = curtailed.envelopes()
        cut = before.injection_bottlenecks + before.withdrawal_bottlenecks
        now = shared.envelopes()
        stop = now.injection_bottlenecks + now.withdrawal_bottlenecks
        lowered = curtailed.limits_w < had
        names = tuple(c if low else s for c, s, low in zip(cut, stop, lowered, strict=True))
        return shared.with_bottlenecks(names)


def _names(robust: RobustRows, fill: AcAllocation) -> tuple[str, ...]:
    rows = fill.bottleneck.tolist()
    named = {row: "capacity" if row == CAPACITY else robust.element(row) for row in set(rows)}
    return tuple(named[row] for row in rows)
