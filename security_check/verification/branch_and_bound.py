"""Branch and bound on quantities over a covered box: every point is bounded, or a breach is found.

In each box a quantity's largest value is bounded by its enclosed derivatives
(:mod:`.row_curvature`).  Where the bound exceeds the target, the box is replaced by parts of it on
which the quantity has the same maximum:

=========  ========================================================================================
fixed      to the end to which F rises, for each variable whose derivative has one sign
ends       to both ends of a variable in which F is convex
peak       F is concave in all variables that are left: it stays below its tangent at any point
split      into halves, of the variable whose derivative is the least certain
=========  ========================================================================================

Quantities whose next step is the same share the parts.  Every centre is an AC power flow; where a
quantity exceeds its limit there, the envelopes are not secure.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from security_check.arrays import BoolArray, ComplexArray, FloatArray, IndexArray
from security_check.verification.box_steps import (
    BoundNode,
    Step,
    is_concave,
    newton_within,
    parts_of,
    tangent_rise,
)
from security_check.verification.row_curvature import (
    Curvature,
    Quantities,
    Values,
    curvature_over,
    values_over,
)
from security_check.verification.solution_boxes import ProofModel, SolutionBoxes, enclose_boxes
from security_check.verification.solution_cover import CoverNode

_AT_ONCE = 4e6  # numbers in the largest array of one batch
_PEAK_STEPS = 8
_FOUND = 1e-12  # of F: a rise above this is a better point


@dataclass(slots=True)
class _Task:
    node: BoundNode
    home: CoverNode
    rows: IndexArray
    start: ComplexArray
    bound: FloatArray


@dataclass(frozen=True, slots=True)
class Targets:
    """What is to be proved of q quantities, in terms of f; shapes (q,).

    Parameters
    ----------
    limit, scale
        The limit, and the unit of excesses.
    rounding
        Excess over the limit, in parts of it, that counts as rounding.
    breach
        Excess, in parts of the scale, from which a point is a breach; one below is bounded only.
    curved
        Whether bounds are to be the few that a checker repeats.
    """

    limit: FloatArray
    scale: FloatArray
    rounding: float = 1e-9
    breach: float = 1e-6
    curved: bool = False


@dataclass(frozen=True, slots=True)
class RowBounds:
    """What was found of q quantities.

    Parameters
    ----------
    bound
        Shape (q,), of f over the box; ``inf`` where there is none.
    value, point
        Shapes (q,) and (q, n): the largest f found by a power flow, and where.
    breached
        Shape (q,): whether that is beyond the limit; the bound is then none.
    roots
        The proof, one for each leaf of the cover.
    used
        Number of boxes.
    finished
        Shape (q,): whether every box was settled.
    """

    bound: FloatArray
    value: FloatArray
    point: FloatArray
    breached: BoolArray
    roots: list[BoundNode]
    used: int
    finished: BoolArray


def bound_rows(
    model: ProofModel, leaves: list[CoverNode], rows: Quantities, targets: Targets, effort: int
) -> RowBounds:
    """Bound quantities over the closed boxes of a cover, with at most so many more boxes."""
    search = _BoundSearch(model, rows, targets)
    roots = [BoundNode(leaf.low, leaf.high) for leaf in leaves]
    every = np.arange(len(rows.phasor))
    waiting = []
    for root, leaf in zip(roots, leaves, strict=True):
        assert leaf.boxes is not None
        start = leaf.boxes.voltage[leaf.place]
        waiting.append(_Task(root, leaf, every, start, np.full(len(every), np.inf)))
    while waiting and search.used < effort:
        size = min(search.at_once, effort - search.used)
        batch, waiting = waiting[:size], waiting[size:]
        waiting += search.settle(batch)
    finished = ~search.breached
    for task in waiting:
        search.settled[task.rows] = np.maximum(search.settled[task.rows], task.bound)
        finished[task.rows] = False
    search.settled[search.breached] = np.inf
    return RowBounds(
        bound=rows.value(search.settled),
        value=rows.value(search.best),
        point=search.point,
        breached=search.breached,
        roots=roots,
        used=search.used,
        finished=finished,
    )


class _BoundSearch:
    """The state of one search; F of q quantities."""

    def __init__(self, model: ProofModel, rows: Quantities, targets: Targets) -> None:
        self.model, self.rows, self.targets = model, rows, targets
        ports, variables = model.power.shape
        count = max(len(rows.phasor), 1)
        largest = ports * (ports + count + variables**2) + count * variables**2
        self.at_once = int(np.clip(_AT_ONCE / largest, 1, 128))
        self.rows_at_once = int(max(_AT_ONCE / variables**2, 1))
        limit = targets.limit
        self.target = rows.level(limit + targets.rounding * np.abs(limit))
        self.settled = np.full(len(limit), -np.inf)
        self.best = np.full(len(limit), -np.inf)
        self.point = np.full((len(limit), variables), np.nan)
        self.breached = np.zeros(len(limit), dtype=bool)
        self.used = 0

    def settle(self, batch: list[_Task]) -> list[_Task]:
        """Enclose boxes; return the tasks that are left of them."""
        batch = [task for task in batch if not self.breached[task.rows].all()]
        if not batch:
            return []
        self.used += len(batch)
        boxes = enclose_boxes(
            self.model,
            np.array([task.node.low for task in batch]),
            np.array([task.node.high for task in batch]),
            np.array([task.start for task in batch]),
        )
        active = np.zeros((len(batch), len(self.target)), dtype=bool)
        usable = boxes.closed.copy()
        for k, task in enumerate(batch):
            active[k, task.rows] = True
            usable[k] &= task.home.near(boxes.voltage[k])
        left: list[_Task] = []
        for k in np.flatnonzero(~usable).tolist():
            # An enclosure of a part of a closed box that does not close: smaller ones will.
            moved = np.abs(boxes.sensitivity[k]).max(axis=0) * boxes.half[k]
            bound = np.full(len(self.target), np.inf)
            bound[batch[k].rows] = batch[k].bound
            step = Step(batch[k].rows.tolist(), "split", (int(moved.argmax()),))
            left += self._parts(batch[k], step, boxes, k, bound)
        active[~usable] = False
        chosen = np.flatnonzero(active.any(axis=0))
        for begin in range(0, len(chosen), self.rows_at_once):
            part = chosen[begin : begin + self.rows_at_once]
            left += self._settle_rows(batch, boxes, part, active[:, part])
        return left

    def _settle_rows(
        self, batch: list[_Task], boxes: SolutionBoxes, rows: IndexArray, active: BoolArray
    ) -> list[_Task]:
        quantities = self.rows.take(rows)
        at = self._values(boxes, quantities)
        points: BoolArray = np.asarray(~(boxes.half > 0.0).any(axis=1))
        bound = np.where(points[:, None], at.centre, at.bound)
        self._remember(rows, np.where(active, at.centre, -np.inf), boxes.centre)
        open_ = self._open(rows, active, bound, points)
        if not open_.any():
            return []
        some, columns = np.flatnonzero(open_.any(axis=1)), np.flatnonzero(open_.any(axis=0))
        fewer = _boxes_taken(boxes, some)
        narrowed = quantities.take(columns)
        found = curvature_over(self.model, fewer, narrowed, self._values(fewer, narrowed))
        still = open_[np.ix_(some, columns)]
        still = self._open(rows[columns], still, found.bound, np.zeros(len(some), dtype=bool))
        left: list[_Task] = []
        for k in np.flatnonzero(still.any(axis=1)).tolist():
            full = np.full(len(self.target), np.inf)
            full[rows[columns]] = found.bound[k]
            for step in self._steps(fewer, found, k, rows[columns], np.flatnonzero(still[k])):
                left += self._parts(batch[some[k]], step, fewer, k, full)
        return left

    def _values(self, boxes: SolutionBoxes, rows: Quantities) -> Values:
        at = values_over(self.model, boxes, rows)
        return replace(at, bound=at.plain_bound(boxes, rows)) if self.targets.curved else at

    def _open(
        self, rows: IndexArray, active: BoolArray, bound: FloatArray, points: BoolArray
    ) -> BoolArray:
        """Return which pairs of box and quantity are not settled, and note those that are."""
        open_: BoolArray = active & (bound > self.target[rows]) & ~points[:, None]
        settled = np.where(active & ~open_, bound, -np.inf).max(axis=0, initial=-np.inf)
        self.settled[rows] = np.maximum(self.settled[rows], settled)
        return open_ & ~self.breached[rows]

    def _remember(self, rows: IndexArray, level: FloatArray, points: FloatArray) -> None:
        """Keep the largest F found, and raise the target where it is above, by rounding."""
        at = level.argmax(axis=0)
        top = level[at, np.arange(len(rows))]
        better = top > self.best[rows] + _FOUND * np.abs(top)
        self.best[rows[better]] = top[better]
        self.point[rows[better]] = points[at[better]]
        above = rows[better & (top > self.target[rows])]
        if not len(above):
            return
        f = self.rows.value(self.best)[above]
        limit, scale = self.targets.limit[above], self.targets.scale[above]
        self.breached[above] = f - limit > self.targets.breach * scale
        raised = self.rows.take(above).level(f + 0.1 * self.targets.breach * scale)
        self.target[above] = np.maximum(self.target[above], raised)

    def _steps(
        self,
        boxes: SolutionBoxes,
        found: Curvature,
        k: int,
        rows: IndexArray,
        columns: IndexArray,
    ) -> Iterator[Step]:
        """Yield what replaces a box, for groups of quantities with the same step."""
        grouped: dict[tuple[str, tuple[int, ...], tuple[int, ...]], list[int]] = {}
        free = boxes.half[k] > 0.0
        for column in columns.tolist():
            slope, radius = found.gradient[k, column], found.gradient_radius[k, column]
            certain = np.flatnonzero(free & (np.abs(slope) > radius))
            row = int(rows[column])
            if len(certain):
                sides = tuple((slope[certain] > 0.0).astype(int).tolist())
                grouped.setdefault(("fixed", tuple(certain.tolist()), sides), []).append(row)
                continue
            second, spread = found.second[k, column], found.second_radius[k, column]
            doubt = radius * boxes.half[k]
            convex = free & (np.diagonal(second) >= np.diagonal(spread))
            if convex.any():
                worst = int(np.where(convex, doubt, -1.0).argmax())
                grouped.setdefault(("ends", (worst,), ()), []).append(row)
            elif is_concave(second, spread, boxes.half[k]):
                yield self._peak(boxes, k, row)
            else:
                worst = int(np.where(free, doubt, -1.0).argmax())
                grouped.setdefault(("split", (worst,), ()), []).append(row)
        for (kind, variables, sides), members in grouped.items():
            yield Step(members, kind, variables, sides)

    def _parts(
        self, task: _Task, step: Step, boxes: SolutionBoxes, k: int, bound: FloatArray
    ) -> list[_Task]:
        """Add a step to a box; return the tasks of its parts."""
        node = task.node
        node.steps.append(step)
        if step.kind == "peak":
            return []
        step.parts = [BoundNode(low, high) for low, high in parts_of(node.low, node.high, step)]
        rows = np.array(step.rows)
        tasks = []
        for part in step.parts:
            change = 0.5 * (part.low + part.high) - boxes.centre[k]
            start = boxes.voltage[k] + boxes.sensitivity[k] @ change
            tasks.append(_Task(part, task.home, rows, start, bound[rows]))
        return tasks

    def _peak(self, boxes: SolutionBoxes, k: int, row: int) -> Step:
        """Settle a concave quantity by its tangent near the largest value."""
        which = np.array([row])
        quantity = self.rows.take(which)
        low, high = boxes.centre[k] - boxes.half[k], boxes.centre[k] + boxes.half[k]
        x, start, bound = boxes.centre[k], boxes.voltage[k], np.inf
        best, reached = x, -np.inf
        for _ in range(_PEAK_STEPS):
            point = enclose_boxes(self.model, x[None, :], x[None, :], start[None, :])
            at = values_over(self.model, point, quantity)
            found = curvature_over(self.model, point, quantity, at)
            slope, second = found.gradient[0, 0], found.second[0, 0]
            tangent = float(at.centre[0, 0] + tangent_rise(slope, x, low, high))
            self.used += 1
            if tangent < bound:
                best, bound, reached = x, tangent, float(at.centre[0, 0])
            following = newton_within(slope, second, x, low, high)
            start = point.voltage[0] + point.sensitivity[0] @ (following - x)
            x = following
        self._remember(which, np.array([[reached]]), best[None, :])
        self.settled[row] = max(self.settled[row], bound)
        return Step([row], "peak", peak=best)


def _boxes_taken(boxes: SolutionBoxes, chosen: IndexArray) -> SolutionBoxes:
    return SolutionBoxes(*(getattr(boxes, name)[chosen] for name in boxes.__dataclass_fields__))
