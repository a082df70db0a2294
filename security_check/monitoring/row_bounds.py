"""Bounds of monitored rows, and the customers that act strongly on them, without a power flow.

Both follow from the magnitudes of the phasors' responses to port currents.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from security_check.arrays import BoolArray, ComplexArray, FloatArray, IndexArray
from security_check.monitoring.row_kinds import OF_INTERFACE, RowKind
from security_check.monitoring.row_limits import RowLimits
from security_check.operating_range.conditions import OperatingConditions
from security_check.operating_range.points import halves
from security_check.power_flow.compensating_currents import ports_of_power
from security_check.power_flow.implicit_zbus import PowerFlow
from security_check.uncertainty.deviations import Deviations

_TERMS = 4  # of the series of `drift` that are summed; the others are bounded by its tail
_CONTRACTS = 0.7  # ratio of its terms: closer to voltage collapse the tail is not worth summing


@dataclass(frozen=True)
class RowReach:
    """The effect of c customers and other powers on R rows over Q phasors.

    Parameters
    ----------
    power_flow
        The network's power flow; J ports, h held magnitudes.
    kind, phasor
        Shape (R,), kind and phasor of each row.
    response, fixed
        Shapes (Q, J) and (Q, h): phasors are ``response @ i_J + fixed @ m``.
    interface
        The phasors of the interface.
    """

    power_flow: PowerFlow
    kind: IndexArray
    phasor: IndexArray
    response: ComplexArray
    fixed: ComplexArray
    interface: slice

    @cached_property
    def _of_interface(self) -> BoolArray:
        own: BoolArray = np.isin(self.kind, OF_INTERFACE)
        return own

    @cached_property
    def _of_sequences(self) -> BoolArray:
        own: BoolArray = self.kind == RowKind.UNBALANCE
        return own

    def acts_strongly(self, rows: IndexArray) -> BoolArray:
        """Return the customers that act strongly on each row, shape (r, c).

        Those with at least half the effect of the strongest, per unit of power.
        """
        size = self._reach[self.phasor[rows]]
        acts: BoolArray = size >= 0.5 * size.max(axis=1, keepdims=True, initial=0.0)
        return acts

    def acting(self, rows: IndexArray, deviations: Deviations) -> tuple[BoolArray, BoolArray]:
        """Return the customers and deviations that act strongly on each row, (r, c) and (r, d).

        Those with at least half the effect of the strongest, per unit of power.
        """
        if not deviations.set.count:
            return self.acts_strongly(rows), np.zeros((len(rows), 0), dtype=bool)
        which, powers = self.phasor[rows], deviations.set.count - deviations.impedances
        power = abs(deviations.power_pu)[:, :powers]
        by_customer = self._reach[which]
        by_deviation = (self._size[which] @ power) / np.maximum(power.sum(axis=0), 1e-300)
        both = np.hstack([by_customer, by_deviation])
        acts = both >= 0.5 * both.max(axis=1, keepdims=True, initial=0.0)
        count = by_customer.shape[1]
        impedances = np.zeros((len(rows), deviations.impedances), dtype=bool)
        return acts[:, :count], np.hstack([acts[:, count:], impedances])

    @cached_property
    def _size(self) -> FloatArray:
        """The magnitudes of the responses, shape (Q, J)."""
        size: FloatArray = np.abs(self.response)
        return size

    @cached_property
    def _reach(self) -> FloatArray:
        """Bounds of the effect of one unit of each customer's power on each phasor, (Q, c)."""
        reach: FloatArray = self._size @ self.power_flow.network.port_shares
        return reach

    def bounds(
        self, conditions: OperatingConditions, u: FloatArray, limits: RowLimits
    ) -> FloatArray:
        """Return an upper bound of every row's f over a whole box of envelopes, shape (R,).

        By the triangle inequality: no node's current exceeds its largest power over the lowest
        voltage allowed.  Rigorous wherever the lowest-voltage rows hold, and cheap; a row whose
        bound is below its limit needs no power flow.  Interface rows are not bounded (``inf``).
        """
        largest = conditions.largest_ports(u)
        powers = ports_of_power(self.power_flow.network)
        largest[powers] /= limits.voltage_min_pu
        if self.power_flow.compensating is not None:
            largest = self.power_flow.compensating.bounded(largest, conditions.band[1])
        reach = self._size @ largest
        least, most = self._held_range(conditions)
        by_phasor = np.stack([most + reach, reach - least])
        bounds = by_phasor[(self.kind == RowKind.VOLTAGE_MIN).astype(np.int64), self.phasor]
        unbalance = np.flatnonzero(self._of_sequences)
        positive = self.phasor[unbalance] - 1
        bounds[unbalance] /= np.maximum(-by_phasor[1, positive], 1e-12)
        return np.where(self._of_interface, np.inf, bounds)

    def drift(
        self,
        conditions: OperatingConditions,
        before: FloatArray,
        after: FloatArray,
        limits: RowLimits,
    ) -> FloatArray:
        """Return a bound of the change of each row's f when the box changes, shape (R,).

        Port currents obey ``di = conj(ds) / conj(v) - i conj(Z di) / conj(v)``, so that their
        changes are at most ``y = a + B y`` with ``a = |ds| / v_min`` and ``B = |s| / v_min^2
        |Z|``.  Rigorous, as :meth:`bounds` are, for both boxes and all between; ``inf`` where
        the series does not converge, for unbalance, and where inverters respond to voltages.

        Parameters
        ----------
        before, after
            Shape (2 c,), boxes of envelopes, per unit.
        """
        responding = self.power_flow.network.inverters is not None
        if responding or self.power_flow.compensating is not None:  # no such simple bound holds
            return np.full(len(self.kind), np.inf)
        low = limits.voltage_min_pu
        moved = np.maximum(*halves(np.abs(after - before)))
        change = conditions.largest_change(moved) / low
        weight = conditions.largest_ports(np.maximum(before, after)) / low**2
        distance = self.power_flow.port_distance
        total = change
        for _ in range(_TERMS):
            change = weight * (distance @ change)
            total = total + change
        shrinks = float((weight * distance.sum(axis=1)).max(initial=0.0))
        if shrinks >= _CONTRACTS:
            return np.full(len(self.kind), np.inf)
        total = total + float(change.max(initial=0.0)) * shrinks / (1.0 - shrinks)
        moves = self._size @ total
        held = moves[self.interface].sum() * conditions.band[1]
        moves = moves[self.phasor]
        moves[self._of_interface] = held
        moves[self._of_sequences] = np.inf
        return moves

    def _held_range(self, conditions: OperatingConditions) -> tuple[FloatArray, FloatArray]:
        """Return bounds of each phasor's magnitude without port currents, shape (Q,) each."""
        corners = conditions.source_corners
        parts = conditions.held // corners.shape[1]
        by_part = self.fixed.reshape(-1, parts, corners.shape[1])
        at_corners = by_part @ corners.T  # (Q, parts, V): the parts' voltages add up
        middle = at_corners.mean(axis=2).sum(axis=1)[:, None, None]
        along = (at_corners * middle.conj()).real / np.maximum(np.abs(middle), 1e-300)
        least: FloatArray = along.min(axis=2).sum(axis=1)
        most: FloatArray = np.abs(at_corners).max(axis=2).sum(axis=1)
        return least, most
