"""The search for worst points that were missed.

A quantity with several local maxima over the box (currents; voltages where reactances and losses
matter) needs several points.  So rows are climbed from many starts, from corners at which groups
of customers take one side, and, near their limits, after changes of single customers.
"""

from __future__ import annotations

import copy

import numpy as np

from security_check.arrays import BoolArray, FloatArray, IndexArray, first_of_equal
from security_check.monitoring.row_kinds import RowKind
from security_check.operating_range.points import WorstPoints, halves
from security_check.operating_range.slopes import rising, slopes_of, vertex_along_gradient
from security_check.worst_case.coordinates import at_sides, sides_of
from security_check.worst_case.corners import Corners, turning
from security_check.worst_case.packing_rows import PackingRows, fullest_of_each
from security_check.worst_case.robust_rows import RobustRows
from security_check.worst_case.row_problem import RISE
from security_check.worst_case.starting_points import other_end, reactive_ends
from security_check.worst_case.watched_rows import WatchedRows

# Effort of a search, in numbers that bound its power flows.  The tests compare what it finds with
# all vertices of small networks, and with random attacks on larger ones.
_CHANGES = 6  # rounds of changes of single customers at most
_TRIED = 2  # worst points of each row from which changes are tried
_KEPT = 4  # worst points of each row that a search returns
_CORNERS = 4  # worst corners from which each row is climbed
_AT_ONCE = 512  # corners solved at once, which bounds the memory
_SWAPPED = 6  # customers of either side, of which two change together
_LEANING = 6  # worst directions of each current from which it is climbed
# Parts of a row's scale.
_COMPETING = 1e-3  # deviations compete if an exchange costs less, to first order
_CLOSE = 1e-2  # rows closer to their limits than this are searched thoroughly
# Directions within a quarter turn of a current's own, in steps of 22.5 degrees.
_TURNS = np.exp(1j * np.pi / 8 * np.array([-4, -3, -2, -1, 1, 2, 3, 4]))
_SCAN_PU = 1e-7  # tolerance of power flows that only choose starting points


class Starts:
    """The points at which rows are watched and climbs begin; the same in all intervals.

    Every limited row has the vertex that its no-load sensitivities point to.  Customers that act
    on a quantity strongly take the side of their no-load sensitivity; the others act through
    voltages and losses, which may be worst with all of them injecting or with all of them
    withdrawing.  So there are vertices for both, besides all-inject and all-withdraw.  Currents
    and the interface's power are watched at both ends of the contracted band, since their worst
    interface voltage depends on the load.

    Parameters
    ----------
    robust
        The rows of any interval; R of them, c connection points.
    """

    def __init__(self, robust: RobustRows) -> None:
        self.conditions = robust.conditions
        self.limited = robust.limited
        rows = robust.limited
        strong, deviating = robust.monitors.acting(rows, robust.conditions.deviations)
        pointed = robust.start_points(rows)
        every, none = np.ones(strong.shape), np.zeros(deviating.shape, dtype=bool)
        once = []
        for side in (1.0, 0.0):
            mixed = np.where(strong, pointed.share, side)
            once.append(robust.leant_points(rows, mixed, side, deviating))
            once.append(robust.leant_points(rows, side * every, side, none))
        again = np.flatnonzero(robust.monitors.kind[rows] > RowKind.VOLTAGE_MIN)
        points = [pointed, *once]
        points += [other_end(robust.conditions, part.take(again)) for part in points]
        repeated = [rows] * (1 + len(once)) + [rows[again]] * (1 + len(once))
        # Losses and currents grow with reactive power either way, at either voltage.
        either = [part.take(again) for part in (pointed, *once)] + points[1 + len(once) :]
        reactive = [reactive_ends(robust.conditions, part) for part in either]
        points += [part for ends in reactive for part in ends]
        repeated += [rows[again]] * (len(points) - len(repeated))
        self.watch = WatchedRows(np.concatenate(repeated), WorstPoints.joined(points))
        # The first of each row, at either end of the band, is where it is watched from afar.
        lookouts = np.zeros(len(self.watch.rows), dtype=bool)
        lookouts[: len(rows)] = True
        lookouts[(1 + len(once)) * len(rows) :][: len(again)] = True
        self.lookouts: IndexArray = np.flatnonzero(lookouts)

    def with_points(self, rows: IndexArray, points: WorstPoints) -> Starts:
        """Return these starts and further ones, for example points that refuted envelopes."""
        other = copy.copy(self)
        rows = np.concatenate([self.watch.rows, rows])
        other.watch = WatchedRows(
            rows, WorstPoints.joined([self.watch.points.take(self.watch.column), points])
        )
        return other

    def serve(self, robust: RobustRows) -> bool:
        """Return whether these are starts of another interval's rows, too."""
        return robust.conditions.alike(self.conditions) and np.array_equal(
            robust.limited, self.limited
        )


class WorstPointSearch:
    """Looks for worst points of one network under one interval's limits.

    Parameters
    ----------
    robust
        The rows; c connection points.
    starts
        The starting points; made anew where those given do not serve.
    """

    def __init__(self, robust: RobustRows, starts: Starts | None = None) -> None:
        self.robust = robust
        self.starts = starts if starts is not None and starts.serve(robust) else Starts(robust)
        self._corners = Corners(robust)

    @property
    def tries_every_corner(self) -> bool:
        """Whether customers are so few that every corner of the box is tried."""
        return self._corners.every

    def find_new_worst_points(
        self, known: PackingRows, u: FloatArray, near: float = 0.1
    ) -> PackingRows:
        """Return the rows nearest their limits, at points that are not among those known.

        Every row that the rigorous bound does not rule out is tried.

        Parameters
        ----------
        known
            Rows at worst points to first order, and exact at u.
        u
            Shape (2 c,), per unit.
        near
            Rows closer to the limit than this part of their scale are returned.
        """
        robust = self.robust
        pairs = PackingRows.joined([known, self._climbed(known, u, near)])
        pairs = pairs.take(pairs.distinct(u))
        close = pairs.take(robust.excess(pairs, u) > -_CLOSE)
        if self._corners.every or self._turning(close, u).any():
            pairs = PackingRows.joined([pairs, self._from_corners(pairs, u, near)])
            changed = pairs
            for _ in range(_CHANGES):
                changed = self.try_changes(changed, u)
                if robust.conditions.has_cones and not len(changed.rows):
                    changed = self._swapped(pairs, u)
                if not len(changed.rows):
                    break
                pairs = PackingRows.joined([pairs, changed])
        pairs = PackingRows.joined([known, pairs, self._exchanged(pairs, u)])
        if len(robust.conditions.choosers):
            pairs = PackingRows.joined([pairs, self._shared(pairs, u, near)])
        chosen = pairs.distinct(u)
        fresh = pairs.take(chosen[chosen >= len(known.rows)])
        excess = robust.excess(fresh, u)
        kept = fresh.fullest(excess, _KEPT)
        return fresh.take(kept[excess[kept] > -near])

    def _shared(self, pairs: PackingRows, u: FloatArray, near: float) -> PackingRows:
        """Climb rows from the worst points of other rows, where they are worse than at their own.

        The two ends of a branch carry nearly the same current, but where reactive power is chosen
        the start of one may lead elsewhere than that of the other.
        """
        robust, conditions = self.robust, self.robust.conditions
        close = pairs.take(robust.excess(pairs, u) > -_CLOSE)
        pool = close.points.take(close.points.distinct(u)[0])
        rows = robust.limited
        solved = robust.monitors.power_flow.solve(*conditions.ports(pool, u))
        values = robust.monitors.all_values(solved, rows)
        known = np.full(len(robust.monitors), -np.inf)
        np.maximum.at(known, pairs.rows, robust.values(pairs, u))
        best = values.argmax(axis=1) if len(pool.share) else np.zeros(len(rows), dtype=np.int64)
        reached = values.max(axis=1, initial=-np.inf)
        worse = (robust.violation(rows, reached) > -near) & (
            reached > known[rows] + RISE * robust.limits.scale[rows]
        )
        return robust.worst(rows[worse], pool.take(best[worse]), u)[0]

    def _exchanged(self, pairs: PackingRows, u: FloatArray) -> PackingRows:
        """Exchange competing deviations in the rows nearest their limits.

        To first order an exchange lowers f, but where it costs little the second order decides.
        Often no row is returned.
        """
        robust, problem = self.robust, self.robust.problem
        own, within = robust.conditions.deviating, robust.conditions.deviations.set
        close = pairs.take(robust.excess(pairs, u) > -_CLOSE)
        close = close.take(close.fullest(robust.excess(close, u), _TRIED))
        others = [within.exchanges(xi) for xi in close.points.free[:, own]]
        pair = np.repeat(np.arange(len(others)), [len(found) for found in others])
        if not len(pair):
            return close.take(pair)
        points = close.points.take(pair)
        points.free[:, own] = np.concatenate(others)
        here = problem.at(close.rows, close.points, u)
        less = -problem.gain(here.take(pair), points, u)
        competing = np.flatnonzero(less < _COMPETING * robust.limits.scale[close.rows[pair]])
        pair, points = pair[competing], points.take(competing)
        rise = robust.problem.evaluate(close.rows[pair], points, u)[0] - here.values[pair]
        order = np.argsort(-rise, kind="stable")
        best = order[np.unique(pair[order], return_index=True)[1]]
        best = best[rise[best] > RISE]
        return robust.worst(close.rows[pair[best]], points.take(best), u)[0]

    def _climbed(self, known: PackingRows, u: FloatArray, near: float) -> PackingRows:
        """Return the rows near their limits, climbed from each of their starts not yet known."""
        robust, watch = self.robust, self.starts.watch
        open_ = np.flatnonzero(~robust.cannot_bind(u)[watch.rows])
        seen = watch.evaluate(robust.problem, u, open_, _SCAN_PU)
        close = np.flatnonzero(robust.violation(seen.rows, seen.values) > -near)
        rows, points = seen.rows[close], seen.points.take(seen.column[close])
        if robust.conditions.has_cones:
            leaning, start = self._leaning(u, near)
            rows = np.concatenate([rows, leaning])
            points = WorstPoints.joined([points, start])
        mine = np.column_stack([rows, points.keys(u)])
        others = np.column_stack([known.rows, known.points.keys(u)])
        first, _ = first_of_equal(np.concatenate([others, mine]))
        fresh = first[first >= len(others)] - len(others)
        if not len(fresh):
            return robust.no_rows()
        return robust.worst(rows[fresh], points.take(fresh), u)[0]

    def _leaning(self, u: FloatArray, near: float) -> tuple[IndexArray, WorstPoints]:
        """Return rows and points of u to climb from where reactive power grows with active power.

        A customer that chooses much reactive power may raise a current from either side,
        depending on the direction of the current.  So each current is taken in several
        directions, with all customers at their worst sides for that direction, and at both ends
        of the band.  Those nearest their limits are returned.
        """
        robust, conditions = self.robust, self.robust.conditions
        rows = robust.limited[~robust.cannot_bind(u)[robust.limited]]
        kind = robust.monitors.kind[rows]
        currents = rows[(kind == RowKind.CURRENT_EXPORT) | (kind == RowKind.CURRENT_IMPORT)]
        by_port, by_source = robust.monitors.no_load_gradients
        tried, parts = [rows], [robust.leaning_points(rows, u)]
        for turn in _TURNS:
            slopes = slopes_of(conditions, turn * by_port[:, currents], by_source[:, currents])
            tried.append(currents)
            parts.append(
                vertex_along_gradient(conditions, robust.start_points(currents), slopes, u)
            )
        parts += [other_end(conditions, part) for part in parts]
        which, points = np.concatenate(tried + tried), WorstPoints.joined(parts)
        first, _ = first_of_equal(np.column_stack([which, points.keys(u)]))
        which, points = which[first], points.take(first)
        excess = robust.violation(which, robust.problem.evaluate(which, points, u)[0])
        chosen = fullest_of_each(which, excess, _LEANING)
        chosen = chosen[excess[chosen] > -near]
        return which[chosen], points.take(chosen)

    def _from_corners(self, pairs: PackingRows, u: FloatArray, near: float) -> PackingRows:
        """Climb rows from the corners of the box at which they are nearest their limits.

        The corners are those of :class:`Corners`.  Every row that the rigorous bound does not rule
        out takes part: its other local maxima may be far from the one that is known.
        """
        robust = self.robust
        rows = robust.limited[~robust.cannot_bind(u)[robust.limited]]
        pool = self._corners.points(u)
        best, values = self._largest_of(rows, pool, u)
        known = np.full(len(robust.monitors), -np.inf)
        np.maximum.at(known, pairs.rows, robust.values(pairs, u))
        excess = robust.violation(np.repeat(rows, values.shape[1]), values.ravel())
        # A row may climb from a corner by as much as the rows close to their limits can gain.
        worth = (excess > -near).reshape(values.shape)
        worth &= values > known[rows][:, None] - _CLOSE * robust.limits.scale[rows][:, None]
        if not self._corners.every:  # corners are missing: the best may be far from their summits
            worth |= (robust.violation(rows, known[rows]) > -near)[:, None]
        row, which = np.nonzero(worth)
        return robust.worst(rows[row], pool.take(best[row, which]), u)[0]

    def _largest_of(
        self, rows: IndexArray, pool: WorstPoints, u: FloatArray
    ) -> tuple[IndexArray, FloatArray]:
        """Return the points of a pool at which rows are largest, and f there, shape (r, k).

        k is ``_CORNERS``, or the number of points if there are fewer.
        """
        monitors, conditions = self.robust.monitors, self.robust.conditions
        best = np.zeros((len(rows), 0), dtype=np.int64)
        values = np.zeros((len(rows), 0))
        for begin in range(0, len(pool.share), _AT_ONCE):
            these = np.arange(begin, min(begin + _AT_ONCE, len(pool.share)))
            solved = monitors.power_flow.solve(*conditions.ports(pool.take(these), u))
            values = np.hstack([values, monitors.all_values(solved, rows)])
            best = np.hstack([best, np.broadcast_to(these, (len(rows), len(these)))])
            kept = np.argsort(-values, axis=1, kind="stable")[:, :_CORNERS]
            values = np.take_along_axis(values, kept, axis=1)
            best = np.take_along_axis(best, kept, axis=1)
        return best, values

    def _turning(self, pairs: PackingRows, u: FloatArray) -> BoolArray:
        """Return the sides whose influence may change sign somewhere in the box, (r, c + f)."""
        conditions, robust = self.robust.conditions, self.robust
        if conditions.network.inverters is not None or conditions.has_cones:
            # All changes are tried: gradients change sign at the corners of an inverter's curve,
            # anywhere; with cones both sides of a customer allow reactive power that loads a
            # branch, and the gradient gives only the effect of a small step to the other side.
            return np.ones(sides_of(conditions, pairs.points).shape, dtype=bool)
        return turning(robust.problem, pairs.rows, pairs.points, u)

    def try_changes(self, pairs: PackingRows, u: FloatArray) -> PackingRows:
        """Change customers' sides in the rows nearest their limits, and climb from there.

        Each row is climbed anew from its best single change, and from all single changes that
        raise it, together.  Only customers whose influence changes sign between a point and its
        opposite are tried: for all others the gradient already rules out a gain.

        Returns
        -------
        PackingRows
            The rows found that are worse than at their start; often none.
        """
        close = pairs.take(self.robust.excess(pairs, u) > -_CLOSE)
        close = close.take(close.fullest(self.robust.excess(close, u), _TRIED))
        changing = self._turning(close, u)
        if not changing.any():
            return close.take(np.zeros(0, dtype=np.int64))
        pair, point = np.nonzero(changing)
        conditions = self.robust.conditions
        sides = sides_of(conditions, close.points)
        single = sides[pair]
        single[np.arange(len(pair)), point] = 1.0 - single[np.arange(len(pair)), point]
        changed = at_sides(conditions, close.points.take(pair), single)
        now = self.robust.values(close, u)
        rise = self.robust.problem.evaluate(close.rows[pair], changed, u)[0] - now[pair]
        rises = np.zeros(sides.shape)
        rises[pair, point] = np.maximum(rise, 0.0)
        promising = np.flatnonzero(rises.max(axis=1) > RISE)
        rises, starts = rises[promising], sides[promising]
        best, together = starts.copy(), starts.copy()
        each, which = np.arange(len(promising)), rises.argmax(axis=1)
        best[each, which] = 1.0 - starts[each, which]
        together[rises > RISE] = 1.0 - starts[rises > RISE]
        twice = np.concatenate([promising, promising])
        start = at_sides(conditions, close.points.take(twice), np.concatenate([best, together]))
        found, values = self.robust.worst(close.rows[twice], start, u)
        found = found.take(values > now[twice] + RISE)
        return found.take(found.distinct(u))

    def _swapped(self, pairs: PackingRows, u: FloatArray) -> PackingRows:
        """Change two customers on different sides, in the rows nearest their limits.

        With power-factor cones a row may be worst with much active power of each customer and
        little in sum (losses in reactances): one change moves the sum, two keep it.  Of either
        side the customers with the cheapest change, to first order, are tried.

        Returns
        -------
        PackingRows
            The rows found that are worse than at their start; often none.
        """
        robust, conditions = self.robust, self.robust.conditions
        close = pairs.take(robust.excess(pairs, u) > -_CLOSE)
        close = close.take(close.fullest(robust.excess(close, u), _TRIED))
        slopes = self.robust.problem.at(close.rows, close.points, u).slopes
        cost = np.abs(rising(conditions, slopes, u)) * np.add(*halves(u))
        pair, first, second = [], [], []
        for k, share in enumerate(close.points.share):
            cheap = np.argsort(cost[k], kind="stable")
            up, down = cheap[share[cheap] == 1.0][:_SWAPPED], cheap[share[cheap] == 0.0][:_SWAPPED]
            pair.append(np.full(len(up) * len(down), k))
            first.append(np.repeat(up, len(down)))
            second.append(np.tile(down, len(up)))
        each = np.concatenate(pair) if pair else np.zeros(0, dtype=np.int64)
        if not len(each):
            return close.take(each)
        points, line = close.points.take(each), np.arange(len(each))
        points.share[line, np.concatenate(first)] = 0.0
        points.share[line, np.concatenate(second)] = 1.0
        now = robust.values(close, u)
        rise = robust.problem.evaluate(close.rows[each], points, u)[0] - now[each]
        order = np.argsort(-rise, kind="stable")
        best = order[np.unique(each[order], return_index=True)[1]]
        best = best[rise[best] > RISE]
        found, values = robust.worst(close.rows[each[best]], points.take(best), u)
        found = found.take(values > now[each[best]] + RISE)
        return found.take(found.distinct(u))
