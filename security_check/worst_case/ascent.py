"""The ascent of monitored quantities to their worst points in a box of envelopes.

Most quantities are worst at a vertex, and one or two steps to the vertex that the exact gradient
points to find it.  Where a quantity bends down on the way, the worst point lies between; where the
gradient is nearly zero for many customers, only second derivatives find it
(docs/adr/0001-worst-points.md).
"""

from __future__ import annotations

import numpy as np

from security_check.arrays import BoolArray, FloatArray, IndexArray
from security_check.operating_range.points import WorstPoints, halves
from security_check.operating_range.slopes import (
    flat,
)
from security_check.worst_case import band
from security_check.worst_case.coordinates import coordinates, kinks, placed, slopes_along
from security_check.worst_case.quadratic_model import (
    climb_quadratic,
    climb_within,
    joint_second_derivatives,
    second_derivatives,
)
from security_check.worst_case.row_problem import RISE, Climb, RowProblem

WORTH = 1e-8
"""Part of a row's scale: a step with less gain, to first order, is not taken.

Ten times what the tolerance of power flows leaves of a voltage, whose scale is about 0.1.
"""

REFINED = 1e-6
"""Part of a row's scale: a smaller first-order gain at the end is added to the row's value."""

_ASCENTS = 12  # steps of one ascent at most; one or two are usual
_HALVINGS = 40  # steps that close a bracket: two of three halve it, so 1e-8 of it is left
_BISECTIONS = 40  # in the balance of a joint effect: 1e-12 of it is left
_REFINEMENTS = 6  # climbs along a quadratic model at most
# Parts of a row's scale: rows farther from their limits are not refined, and do not try all corners
# of the held voltages.  They do not bind in this box, and either costs many power flows.
_FAR = 1e-2
_CORNERED = 5e-2


class Ascent:
    """Climbs rows of one network under one interval's limits to their worst points.

    Parameters
    ----------
    problem
        The rows, their limits and the interval's conditions; c connection points.
    """

    def __init__(self, problem: RowProblem) -> None:
        self.problem = problem
        self.limits = problem.limits
        self.conditions = problem.conditions
        # Second derivatives change little with the envelopes, and only direct the ascent; exact
        # gradients decide where it ends.  So they are kept.
        self._second: dict[int, FloatArray] = {}

    def climb(self, rows: IndexArray, start: WorstPoints, u: FloatArray) -> Climb:
        """Move each row from its start to a worst point of the box u.

        Parameters
        ----------
        rows
            Shape (r,), indices into the monitors' rows.
        start
            r points.
        u
            Shape (2 c,), per unit.

        Raises
        ------
        PowerFlowError
            When the power flow at a point does not converge.

        Notes
        -----
        Each step goes to the vertex that the gradient points to or, where f bends down before
        it, to the point at which customers' joint effect on the gradient is in balance with it
        (:meth:`_balanced`), at the held voltages at which f peaks on the way.  Steps are kept only
        where they raise f.  Rows that this leaves with something to gain climb on along a
        quadratic model.
        """
        at = self.problem.at(rows, start, u)
        self._ascend(rows, at, np.arange(len(rows)), u)
        if len(self.conditions.corners) > 2:
            self._ascend(rows, at, self._try_corners(rows, at, u), u)
        self._refine(rows, at, u)
        # The quadratic model does not include held voltages, whose peak has shifted with the rest.
        self._ascend(rows, at, np.flatnonzero(band.inside(self.conditions, at.points)), u)
        if self.conditions.has_cones:
            self._to_nearer_ends(rows, at, u)
        return at

    def _leant(self, here: Climb, u: FloatArray) -> Climb:
        """Return rows whose customers without power lean to the reactive power that raises f.

        At zero power a cone allows no reactive power, so f is the same on either side; but the
        way on leads along the side that a point leans to.
        """
        conditions = self.conditions
        if conditions.has_cones:
            reach = conditions.reactive_reach(here.points.power(u))
            by_reactive = conditions.parts(here.slopes.by_free)[1]
            share = here.points.free[:, conditions.choosing]
            turning = (reach == 0.0) & (by_reactive != 0.0)
            here.points.free[:, conditions.choosing] = np.where(
                turning, np.sign(by_reactive), share
            )
        return here

    def _to_nearer_ends(self, rows: IndexArray, at: Climb, u: FloatArray) -> None:
        """Move customers that stopped inside their ranges to the nearer end, in place.

        A power-factor cone allows most reactive power at the ends of a range.  Where the slope
        points to the far end, which is no better, the ascent has not tried the near one.
        """
        nearer = np.round(at.points.share)
        inside = np.flatnonzero((nearer != at.points.share).any(axis=1))
        if not len(inside):
            return
        there = WorstPoints(nearer[inside], at.points.free[inside])
        found = self.problem.at(rows[inside], there, u)
        better = found.values > at.values[inside] + RISE
        at.put(inside[better], found.take(better))

    def _ascend(self, rows: IndexArray, at: Climb, climbing: IndexArray, u: FloatArray) -> None:
        """Take steps with the rows at ``climbing``, in place, while they raise f."""
        for _ in range(_ASCENTS):
            here = self._leant(at.take(climbing), u)
            turned = self._turned_in_turn(rows[climbing], here, u)
            on = self.problem.gain(here, turned, u) > WORTH * self.limits.scale[rows[climbing]]
            climbing = climbing[on]
            if not len(climbing):
                break
            here, turned = here.take(on), turned.take(on)
            best = self._step(rows[climbing], here, turned, u)
            self._peak(rows[climbing], here, turned, best, u)
            better = best.values > at.values[climbing] + RISE
            at.put(climbing[better], best.take(better))
            climbing = climbing[better]

    def _try_corners(self, rows: IndexArray, at: Climb, u: FloatArray) -> IndexArray:
        """Move rows near their limits, in place, to the worst corner of the held voltages.

        Where f bends down between a low and a high voltage, the corner that the gradient points
        to is beyond the bend, and a corner that differs in unbalance only would not be tried.

        Returns
        -------
        IndexArray
            The rows that moved.
        """
        watched = self.limits.limit[rows] - _CORNERED * self.limits.scale[rows]
        near = np.flatnonzero(at.values > watched)
        corners = self.conditions.corners
        pool = at.points.take(np.repeat(near, len(corners)))
        pool.free[:, : self.conditions.held] = np.tile(corners, (len(near), 1))
        values = self.problem.evaluate(np.repeat(rows[near], len(corners)), pool, u)[0]
        each = values.reshape(len(near), len(corners))
        better = np.flatnonzero(each.max(axis=1, initial=-np.inf) > at.values[near] + RISE)
        worst = better * len(corners) + each[better].argmax(axis=1)
        at.put(near[better], self.problem.at(rows[near[better]], pool.take(worst), u))
        return near[better]

    def _turned_in_turn(self, rows: IndexArray, here: Climb, u: FloatArray) -> WorstPoints:
        """Return the vertices that the gradients point to; voltages inside the band move last.

        These are at a peak already, and would leave it for an end of the band while other
        coordinates still gain.
        """
        turned = self.problem.vertex_along_gradient(here, u)
        inside = np.flatnonzero(band.leaves_inside(self.conditions, here.points, turned))
        if len(inside):
            still = band.held_still(self.conditions, here.points, turned, inside)
            gain = self.problem.gain(here.take(inside), still.take(inside), u)
            first = inside[gain > WORTH * self.limits.scale[rows[inside]]]
            turned = turned.placed(first, still.take(first))
        return turned

    def _step(self, rows: IndexArray, here: Climb, turned: WorstPoints, u: FloatArray) -> Climb:
        """Return the vertex or, where f bends down before it and is larger there, the bend."""
        there = self.problem.at(rows, turned, u)
        slope_there = -self.problem.gain(there, here.points, u)
        bends = np.flatnonzero(slope_there < 0)
        if len(bends):
            ends = here.take(bends), there.take(bends)
            between = self._balanced(*ends, u)
            between = band.at_peak(
                self.conditions,
                (ends[0].points, ends[1].points),
                (ends[0].slopes, ends[1].slopes),
                between,
            )
            middle = self.problem.at(rows[bends], between, u)
            better = middle.values > there.values[bends]
            there.put(bends[better], middle.take(better))
        return there

    def _peak(
        self, rows: IndexArray, here: Climb, turned: WorstPoints, best: Climb, u: FloatArray
    ) -> None:
        """Move held voltages to the peak of f, in place in ``best``, for rows that they bend.

        Those are rows whose held voltages were to move, but stopped before a corner or gained
        nothing; the latter continue from their last point.  Where inverters respond, f has kinks,
        which a step between two slopes overshoots; a bracket closes in on them.
        """
        stuck = best.values <= here.values + RISE
        moving = band.moves(self.conditions, here.points, turned)
        at = np.flatnonzero(moving & (stuck | band.inside(self.conditions, best.points)))
        if not len(at):
            return
        low = best.take(at)
        low.put(np.flatnonzero(stuck[at]), here.take(at[stuck[at]]))
        along = self.problem.vertex_along_gradient(low, u)
        to = band.held_still(self.conditions, along, low.points, np.arange(len(at)))
        high = self.problem.at(rows[at], to, u)
        peak = low.take(np.arange(len(at)))
        ahead = np.flatnonzero(high.values > peak.values)
        peak.put(ahead, high.take(ahead))
        open_ = np.arange(len(at))
        for turn in range(_HALVINGS):
            ends, slopes = (low.points, high.points), (low.slopes, high.slopes)
            rise, fall = band.slopes_between(self.conditions, ends, slopes)
            enough = WORTH * self.limits.scale[rows[at]]
            open_ = open_[((rise > enough) & (fall < -enough))[open_]]
            if not len(open_):
                break
            part = (
                rise / np.maximum(rise - fall, 1e-300) if turn % 3 == 0 else np.full(len(at), 0.5)
            )
            between = band.between(self.conditions, low.points, high.points, part).take(open_)
            found = self.problem.at(rows[at[open_]], between, u)
            higher = found.values > peak.values[open_]
            peak.put(open_[higher], found.take(higher))
            rest = (found.points, high.points.take(open_)), (found.slopes, found.slopes)
            up = band.slopes_between(self.conditions, *rest)[0] > 0.0
            low.put(open_[up], found.take(up))
            high.put(open_[~up], found.take(~up))
        gained = peak.values > best.values[at]
        best.put(at[gained], peak.take(gained))

    def _balanced(self, here: Climb, there: Climb, u: FloatArray) -> WorstPoints:
        """Return the points between two ends at which the gradient is in balance with the sides.

        Losses make f concave in a joint effect of many customers (the sum of their powers through
        a common reactance): the gradient goes from S0 to S1 as all of them change sides.  A
        customer changes sides if its component of ``S0 + t (S1 - S0)`` asks for it, where t is the
        part of the joint effect that those customers have; the customer at the margin stays in
        between.  This is exact where the curvature has rank one, and solved by bisection in t.  A
        customer with zero slope at both ends (its inverter curtails all additional power) stays.
        """
        position, lowest, highest = coordinates(self.conditions, here.points, u)
        begin = slopes_along(self.conditions, here.points, here.slopes, u)
        change = slopes_along(self.conditions, there.points, there.slopes, u) - begin
        still = flat(begin) & flat(begin + change)

        def sides(t: FloatArray) -> FloatArray:
            return np.where(
                still, position, np.where(begin + t[:, None] * change > 0, highest, lowest)
            )

        def part(at: FloatArray) -> FloatArray:
            total: FloatArray = (change * (at - position)).sum(axis=1)
            return total

        whole = part(sides(np.zeros(len(begin))))
        whole[whole == 0.0] = 1.0  # no customer changes sides, only free coordinates move
        low, high = np.zeros(len(begin)), np.ones(len(begin))
        for _ in range(_BISECTIONS):
            middle = 0.5 * (low + high)
            more = part(sides(middle)) / whole > middle
            low, high = np.where(more, middle, low), np.where(more, high, middle)
        before, after = part(sides(low)) / whole, part(sides(high)) / whole
        mix = np.clip((before - low) / np.maximum(before - after, 1e-12), 0.0, 1.0)[:, None]
        at = (1.0 - mix) * sides(low) + mix * sides(high)
        return placed(self.conditions, there.points, here.points, at, u)

    def _refine(self, rows: IndexArray, at: Climb, u: FloatArray) -> None:
        """Climb rows near their limits along a quadratic model, in place, while they can gain.

        A row that gains hardly anything tries once more with second derivatives of its own point,
        and then leaves: every further step would be the same.
        """
        scale = self.limits.scale[rows]
        watched = self.limits.limit[rows] - _FAR * scale
        open_, anew = np.arange(len(rows)), np.zeros(len(rows), dtype=bool)
        for _ in range(_REFINEMENTS):
            here = self._leant(at.take(open_), u)
            left = self.problem.gain(here, self.problem.vertex_along_gradient(here, u), u)
            on = (left > REFINED * scale[open_]) & (here.values + left > watched[open_])
            open_, anew, here = open_[on], anew[on], here.take(on)
            if not len(open_):
                return
            enough = 0.1 * REFINED * scale[open_]
            second, own = self._second_derivatives(rows[open_], here, u, anew)
            there = self._at_peak(rows[open_], here, u, second, enough)
            better = there.values > here.values
            at.put(open_[better], there.take(better))
            if self.conditions.deviations.set.count:
                self._settle(rows, at, open_, u)
            gained = at.values[open_] > here.values + enough
            kept = gained | ~(own | anew)
            open_, anew = open_[kept], ~gained[kept]

    def _at_peak(
        self, rows: IndexArray, here: Climb, u: FloatArray, second: FloatArray, enough: FloatArray
    ) -> Climb:
        """Return rows at the peaks of their quadratic models, but for gains less than enough."""
        position, low, high = coordinates(self.conditions, here.points, u)
        slope = slopes_along(self.conditions, here.points, here.slopes, u)
        kink = kinks(self.conditions, here.slopes)
        step = climb_quadratic(slope, second, (low - position, high - position), kink, enough)
        peak = placed(self.conditions, here.points, here.points, position + step, u)
        return self.problem.at(rows, peak, u)

    def _settle(self, rows: IndexArray, at: Climb, on: IndexArray, u: FloatArray) -> None:
        """Move customers and deviations together, in place, to the peak of a quadratic model."""
        conditions = self.conditions
        here, own = at.take(on), conditions.deviating
        slopes, share, free = here.slopes, here.points.share, here.points.free.copy()
        gradient = np.hstack([slopes.by_power * np.add(*halves(u)), slopes.by_free[:, own]])
        second = joint_second_derivatives(self.problem, rows[on], here.points, u)
        peak = climb_within(
            gradient, second, np.hstack([share, free[:, own]]), conditions.deviations.set
        )
        count = share.shape[1]
        free[:, own] = peak[:, count:]
        there = self.problem.at(rows[on], WorstPoints(peak[:, :count], free), u)
        better = there.values > here.values
        at.put(on[better], there.take(better))

    def _second_derivatives(
        self, rows: IndexArray, at: Climb, u: FloatArray, anew: BoolArray
    ) -> tuple[FloatArray, BoolArray]:
        """Return second derivatives, shape (r, c, c), and whether they are those at a row's point.

        They are taken once for each row, and again where ``anew``, shape (r,), asks for it.
        """
        order = np.argsort(~anew, kind="stable")
        every, first, group = np.unique(rows[order], return_index=True, return_inverse=True)
        first = order[first]
        known = np.array([int(row) in self._second for row in every], dtype=bool)
        take = first[~known | anew[first]]
        if len(take):
            points = at.points.take(take)
            found = second_derivatives(self.problem, rows[take], points, u)
            self._second.update(zip(rows[take].tolist(), found, strict=True))
        own = np.zeros(len(rows), dtype=bool)
        own[take] = True
        each = np.empty(len(rows), dtype=np.int64)
        each[order] = group
        return np.stack([self._second[int(row)] for row in every])[each], own
