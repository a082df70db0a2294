"""Robust constraints as packing rows ``A u <= b``, each at its own worst point.

With u = (injection limits, withdrawal limits) stacked, in per unit, a monitored quantity f takes
its largest value over the box of envelopes where each customer is at its injection limit if f
grows with its power there, at its withdrawal limit if f falls.  So

    max f  ~  f(worst point of u0) + A (u - u0),     A >= 0

exact at u0, by the AC power flow and its exact gradient (security.md section 3).  Each row also
has its own worst interface voltage.  Only rows that can bind are worked on: all others are ruled
out by a rigorous bound (:meth:`~security_check.monitors.Monitors.bounds`) or by their own AC
power flow.
"""

from __future__ import annotations

from functools import cached_property

import numpy as np

from security_check.ascent import REFINED, RISE, Ascent, Climb
from security_check.conditions import Conditions, Slopes
from security_check.monitors import Kind, Monitors, RowLimits
from security_check.network import FloatArray, IndexArray
from security_check.packing import PackingRows
from security_check.power_flow import OperatingPoints
from security_check.worst_points import BoolArray, WorstPoints, halves

SECURE = 1e-9
"""Largest violation, in parts of a row's scale, that counts as rounding."""

_CHANGES = 6
_TRIED = 2  # points of each row, the worst, from which changes are tried
_KEPT = 4  # points of each row, the worst, that a search brings back
_GROUPS = 3
_CLOSE = 1e-2  # rows closer to their limits than this are searched thoroughly


class RobustRows:
    """Builds and verifies robust rows of one network under one interval's limits.

    Parameters
    ----------
    monitors
        What is monitored; R rows, c connection points.
    limits
        The limits of all rows.
    conditions
        What the interval lets happen.
    """

    def __init__(self, monitors: Monitors, limits: RowLimits, conditions: Conditions) -> None:
        self.monitors = monitors
        self.limits = limits
        self.conditions = conditions
        self.ascent = Ascent(monitors, limits, conditions)
        self.points = len(monitors.power_flow.network.connection_points)
        self.limited: IndexArray = np.flatnonzero(np.isfinite(limits.limit))

    # -- where rows stand ---------------------------------------------------------------------

    def element(self, row: int) -> str:
        """Return the name of a row's element."""
        return self.monitors.elements[row]

    def violation(self, rows: IndexArray, values: FloatArray) -> FloatArray:
        """Return by how much values exceed their limits, in parts of the row's scale.

        At most 0 is secure; ``1 + violation`` is how full the row is.
        """
        excess: FloatArray = (values - self.limits.limit[rows]) / self.limits.scale[rows]
        return excess

    def values(self, packing: PackingRows, u: FloatArray) -> FloatArray:
        """Return f as the linear rows have it, shape (r,); exact where they were taken."""
        linear: FloatArray = self.limits.limit[packing.rows] - packing.b + packing.A @ u
        return linear

    def excess(self, packing: PackingRows, u: FloatArray) -> FloatArray:
        """Return the violations that the linear rows have at u, shape (r,)."""
        return self.violation(packing.rows, self.values(packing, u))

    def no_rows(self) -> PackingRows:
        """Return no linear rows, to begin a collection."""
        return PackingRows.none(self.points, self.conditions.free)

    def cannot_bind(self, u: FloatArray) -> BoolArray:
        """Return, for all monitored rows, whether the rigorous bound rules them out at u."""
        bounds = self.monitors.bounds(self.conditions, u, self.limits)
        ruled_out: BoolArray = bounds <= self.limits.limit
        return ruled_out

    def evaluate(
        self, rows: IndexArray, points: WorstPoints, u: FloatArray
    ) -> tuple[FloatArray, OperatingPoints]:
        """Run the AC power flow of each row at its own point of u.

        See :meth:`security_check.ascent.Ascent.evaluate`.
        """
        return self.ascent.evaluate(rows, points, u)

    # -- where rows are watched from ------------------------------------------------------------

    @cached_property
    def lookouts(self) -> tuple[IndexArray, WorstPoints]:
        """Return where rows far from their limits are watched: rows and points.

        Every limited row is watched at the vertex that the no-load sensitivities point to; a
        current or the interface's power, whose worst interface voltage shows only under load,
        at both ends of the band.
        """
        once = self.start_points(self.limited)
        again = self.monitors.kind[self.limited] > Kind.VOLTAGE_MIN
        rows = np.concatenate([self.limited, self.limited[again]])
        return rows, WorstPoints.joined([once, self._other_end(once.take(again))])

    def _other_end(self, points: WorstPoints) -> WorstPoints:
        """Return the points with the held voltages at the other end of the contracted band."""
        conditions = self.conditions
        low, high = (conditions.with_source(points, corner) for corner in conditions.ends)
        held = slice(0, conditions.held)
        is_low = points.free[:, held].sum(axis=1) < conditions.source_corners.sum(axis=1).mean()
        return WorstPoints(points.share, np.where(is_low[:, None], high.free, low.free))

    def start_points(self, rows: IndexArray) -> WorstPoints:
        """Return the vertices that the no-load sensitivities point to."""
        slopes = self._no_load_slopes.take(rows)
        return self.conditions.begin((slopes.by_power > 0).astype(np.float64), slopes)

    @cached_property
    def _no_load_slopes(self) -> Slopes:
        return self.conditions.slopes(*self.monitors.no_load_gradients)

    def _beside(self, rows: IndexArray, share: FloatArray) -> WorstPoints:
        """Return points of given shares, all else as the no-load sensitivities point."""
        return self.conditions.begin(share, self._no_load_slopes.take(rows))

    # -- worst points and linear rows -----------------------------------------------------------

    def worst(
        self, rows: IndexArray, start: WorstPoints, u: FloatArray
    ) -> tuple[PackingRows, FloatArray]:
        """Move each row from its start to a worst point of the box u, and linearise it there.

        At the point found every gradient component agrees in sign with the side taken, or is
        zero inside the box (the first-order condition of a worst point), or else taking the
        other side was tried and did not raise f.  Steps are kept only where they raise f.

        Parameters
        ----------
        rows
            Shape (r,), indices into the monitors' rows.
        start
            r points.
        u
            Shape (2 c,), per unit.

        Returns
        -------
        PackingRows
            Exact at u.
        values
            Shape (r,), f by the AC power flow at the points found.

        Raises
        ------
        PowerFlowError
            When the power flow at a point does not converge.

        """
        at = self.ascent.climb(rows, start, u)
        return self._packing(rows, at, u), at.values

    def idle_rows(self, lower: FloatArray) -> tuple[PackingRows, FloatArray]:
        """Return all limited rows with their coefficients without load, and f at ``lower``.

        Exact at ``lower`` in value, but not in slope: a first guess of which rows matter.
        """
        rows, points = self.limited, self.start_points(self.limited)
        by_power = self._no_load_slopes.by_power[rows]
        A = np.hstack([np.maximum(by_power, 0.0), np.maximum(-by_power, 0.0)])
        values = self.evaluate(rows, points, lower)[0]
        other = self._other_end(points)
        others = self.evaluate(rows, other, lower)[0]
        worse = np.flatnonzero(others > values)
        points = points.placed(worse, other.take(worse))
        values[worse] = others[worse]
        return PackingRows(rows, points, A, self.limits.limit[rows] - values + A @ lower), values

    def exact(self, rows: IndexArray, points: WorstPoints, u: FloatArray) -> PackingRows:
        """Linearise rows at the points given, without looking for worse ones."""
        return self._packing(rows, self.ascent.at(rows, points, u), u)

    def _packing(self, rows: IndexArray, at: Climb, u: FloatArray) -> PackingRows:
        """Return the packing rows of points found.

        The little that f could still gain at the end of an ascent is added, so that the row
        stays an upper bound where f is concave.
        """
        A = self.conditions.coefficients(at.points, at.slopes)
        gain = self.ascent.gain(at, self.ascent.turned(at, u), u)
        left = np.where(gain <= REFINED * self.limits.scale[rows], gain, 0.0)
        return PackingRows(rows, at.points, A, self.limits.limit[rows] - at.values - left + A @ u)

    # -- looking for what was missed ------------------------------------------------------------

    def challenge(self, known: PackingRows, u: FloatArray, near: float = 0.1) -> PackingRows:
        """Return the rows nearest their limits, at points that are not among those known.

        A function with several local maxima over the box (currents; voltages where reactances
        and losses count) needs several points.  So every row that the rigorous bound does not
        rule out is tried from the vertex of its no-load sensitivities, from all-inject, from
        all-withdraw and, near its limit, from single changes (:meth:`try_changes`).

        Parameters
        ----------
        known
            Rows already worked on: at worst points to first order, and exact at u.
        u
            Shape (2 c,), per unit.
        near
            Rows closer to the limit than this part of their scale are returned.
        """
        rows = self.limited[~self.cannot_bind(u)[self.limited]]
        starts = self._starts(rows)
        found = self._climbed_from(np.tile(rows, len(starts)), np.concatenate(starts), u, near)
        pairs = PackingRows.joined([known, found])
        pairs = pairs.take(pairs.distinct(u))
        close = pairs.take(self.excess(pairs, u) > -_CLOSE)
        if self._turning(close, u).any():
            grouped = self._best_of_groups(np.unique(close.rows), u)
            pairs = PackingRows.joined([pairs, grouped])
        changed = pairs
        for _ in range(_CHANGES):
            changed = self.try_changes(changed, u)
            if not len(changed.rows):
                break
            pairs = PackingRows.joined([pairs, changed])
        pairs = PackingRows.joined([known, pairs])
        chosen = pairs.distinct(u)
        fresh = pairs.take(chosen[chosen >= len(known.rows)])
        excess = self.excess(fresh, u)
        kept = fresh.fullest(excess, _KEPT)
        return fresh.take(kept[excess[kept] > -near])

    def _best_of_groups(self, rows: IndexArray, u: FloatArray) -> PackingRows:
        """Climb each row from the best corner at which groups of customers take one side.

        The groups are those who act strongly on one and the same branch or bus: feeders, parts
        of feeders, and what is left of them.
        """
        every = np.arange(len(self.monitors))
        groups = np.unique(self.monitors.acts_strongly(every), axis=0) * 1.0
        share = np.concatenate([groups, 1.0 - groups])
        pool = self.conditions.at_ends(share)
        solved = self.monitors.power_flow.solve(*self.conditions.ports(pool, u))
        values = self.monitors.all_values(solved)[rows]
        best = np.argsort(-values, axis=1)[:, :_GROUPS].ravel()
        return self.worst(np.repeat(rows, _GROUPS), pool.take(best), u)[0]

    def _starts(self, rows: IndexArray) -> list[FloatArray]:
        """Return the shares to climb from; r rows each.

        Those who act on a quantity strongly take the side of their no-load sensitivity.  The
        others act through voltages and losses, which may be worst with all of them injecting or
        with all of them withdrawing.
        """
        pointed = self.start_points(rows).share
        strong = self.monitors.acts_strongly(rows)
        every = np.ones((len(rows), self.points))
        mixed = [np.where(strong, pointed, rest) for rest in (1.0, 0.0)]
        return [pointed, *mixed, every, 0.0 * every]

    def _climbed_from(
        self, rows: IndexArray, share: FloatArray, u: FloatArray, near: float
    ) -> PackingRows:
        """Return the rows near their limits, climbed from the worse end of the voltage band.

        A voltage rises with the interface's, so its worse end is known.
        """
        points = self._beside(rows, share)
        values = self.evaluate(rows, points, u)[0]
        again = np.flatnonzero(self.monitors.kind[rows] > Kind.VOLTAGE_MIN)
        other = self._other_end(points.take(again))
        others = self.evaluate(rows[again], other, u)[0]
        worse = others > values[again]
        points = points.placed(again[worse], other.take(worse))
        values[again] = np.maximum(values[again], others)
        close = self.violation(rows, values) > -near
        return self.worst(rows[close], points.take(close), u)[0]

    def _turning(self, pairs: PackingRows, u: FloatArray) -> BoolArray:
        """Return whose influence turns sign between each point and its opposite, (r, c).

        Opposite is where everyone who does not act strongly on the row has changed sides; those
        who do stay, since without them the row is nowhere near its limit.
        """
        strong = self.monitors.acts_strongly(pairs.rows)
        share = np.where(strong, pairs.points.share, 1.0 - pairs.points.share)
        opposite = WorstPoints(share, pairs.points.free)
        there = self.ascent.at(pairs.rows, opposite, u).slopes.by_power
        agrees = ~strong & ((there > 0) == (share > 0.5))
        turning: BoolArray = agrees & (np.abs(there) * np.add(*halves(u)) > RISE)
        return turning

    def try_changes(self, pairs: PackingRows, u: FloatArray) -> PackingRows:
        """Change customers' sides in the rows nearest their limits, and climb from there.

        Each row is climbed anew from its best single change, and from all single changes that
        raise it, together.  Only customers whose influence turns sign between a point and its
        opposite are tried: for all others the gradient at the point already says that changing
        does not pay.

        Returns
        -------
        PackingRows
            Those found that are worse than where they started; often none.
        """
        close = pairs.take(self.excess(pairs, u) > -_CLOSE)
        close = close.take(close.fullest(self.excess(close, u), _TRIED))
        turning = self._turning(close, u)
        if not turning.any():
            return close.take(np.zeros(0, dtype=np.int64))
        pair, point = np.nonzero(turning)
        opposite = 1.0 - close.points.share
        single = close.points.take(pair)
        single.share[np.arange(len(pair)), point] = opposite[pair, point]
        now = self.values(close, u)
        rise = self.evaluate(close.rows[pair], single, u)[0] - now[pair]
        rises = np.zeros((len(close.rows), self.points))
        rises[pair, point] = np.maximum(rise, 0.0)
        promising = np.flatnonzero(rises.max(axis=1) > RISE)
        starts = close.points.take(promising)
        best, together = starts.share.copy(), starts.share.copy()
        customer = rises[promising].argmax(axis=1)
        each = np.arange(len(promising))
        best[each, customer] = opposite[promising][each, customer]
        rising = rises[promising] > RISE
        together[rising] = opposite[promising][rising]
        twice = np.concatenate([promising, promising])
        free = np.concatenate([starts.free, starts.free])
        start = WorstPoints(np.concatenate([best, together]), free)
        found, values = self.worst(close.rows[twice], start, u)
        found = found.take(values > now[twice] + RISE)
        return found.take(found.distinct(u))
