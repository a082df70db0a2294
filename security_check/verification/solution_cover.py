"""Covers of a box by smaller ones over each of which the power flow is enclosed.

The box is split, where the enclosure does not close, along the variable that moves voltages most.
In each closed box the solution is unique and smooth (:mod:`.solution_boxes`).  At the middle of
each cut, a solution lies in a closed box on either side.  Where it is the same one, the solutions
of both sides agree on the whole cut: where they agree is closed in the cut, and open, since they
are isolated.  So one solution over the whole box moves without jumps, and is the one that the
first point has; the way from no load to that point is covered in the same manner.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from security_check.arrays import ComplexArray, FloatArray
from security_check.verification.solution_boxes import (
    ProofModel,
    SolutionBoxes,
    enclose_boxes,
    solve,
)

_AT_ONCE = 2.0**22  # numbers in the largest array of one batch

APART = "the power flow solutions of two parts of the box are not connected"
COLLAPSE = "no power flow solution was found at a point of the box"
EFFORT = "the voltages over the whole box could not be enclosed with {boxes} boxes"


@dataclass(slots=True)
class CoverNode:
    """A box of the cover: closed, or cut in two.

    Parameters
    ----------
    low, high
        Shape (n,).
    start
        Shape (J,), voltages near those at its centre.
    boxes, place
        The enclosure of a closed box, and its place in the batch.
    variable
        The variable that is cut in the middle; -1 where the box is closed.
    parts
        Both halves, the lower one first.
    """

    low: FloatArray
    high: FloatArray
    start: ComplexArray
    boxes: SolutionBoxes | None = None
    place: int = 0
    variable: int = -1
    parts: tuple[CoverNode, ...] = ()

    def leaf(self, x: FloatArray) -> CoverNode:
        """Return a box without parts that holds the point; the lower one on a cut."""
        node = self
        while node.parts:
            node = node.parts[int(x[node.variable] > node.parts[0].high[node.variable])]
        return node

    def near(self, voltage: ComplexArray) -> bool:
        """Return whether voltages lie in the discs of a closed box: only one solution does."""
        if self.boxes is None:
            return False
        distance = np.abs(voltage - self.boxes.voltage[self.place])
        return bool((distance <= self.boxes.radius[self.place] + 1e-12).all())

    def leaves(self) -> list[CoverNode]:
        """Return all boxes without parts."""
        if not self.parts:
            return [self]
        return [leaf for part in self.parts for leaf in part.leaves()]

    def cuts(self) -> list[CoverNode]:
        """Return all boxes that are cut."""
        return [self, *(cut for part in self.parts for cut in part.cuts())] if self.parts else []


@dataclass(frozen=True, slots=True)
class Cover:
    """A cover of a box.

    Parameters
    ----------
    root
        The whole box.
    way
        The cover of the way from no load to the box's first point, in parts of the way.
    used
        Number of boxes enclosed.
    reason
        Why the cover is none; empty where every box is closed and all are connected.
    """

    root: CoverNode
    way: CoverNode
    used: int
    reason: str


def first_point(model: ProofModel) -> FloatArray:
    """Return the box's point that is reached from no load: nearest to no power."""
    point: FloatArray = np.clip(np.zeros(len(model.low)), model.low, model.high)
    return point


def batch_size(model: ProofModel, phasors: int) -> int:
    """Return how many boxes are enclosed at once, which bounds the memory."""
    ports, variables = model.power.shape
    largest = ports * (ports + variables + phasors)
    return int(np.clip(_AT_ONCE / 4.0 / max(largest, 1), 1, 256))


def cover_box(model: ProofModel, effort: int) -> Cover:
    """Cover the box of a model with at most so many enclosures."""
    origin = first_point(model)
    loading = model.loading(origin)
    way, used, reason = _cover(loading, loading.profile[:, 1], loading.low, effort)
    begin = model.start(origin)
    root, more, other = _cover(model, begin, origin, effort - used)
    used += more
    reason = reason or other
    if not reason and not _connected(model, root, origin, begin):
        reason = APART
    if not reason:
        unloaded = loading.profile[:, 1]
        ends = ((loading.low, unloaded), (loading.high, begin))
        if not all(_connected(loading, way, x, voltage) for x, voltage in ends):
            reason = APART
    return Cover(root, way, used, reason)


def _cover(
    model: ProofModel, begin: ComplexArray, origin: FloatArray, effort: int
) -> tuple[CoverNode, int, str]:
    """Split the box until every part is closed; the voltages at the origin are given."""
    middle = 0.5 * (model.low + model.high)
    root = CoverNode(model.low, model.high, _walk(model, begin, origin, middle))
    waiting, used = [root], 0
    size = batch_size(model, 0)
    while waiting:
        batch, waiting = waiting[:size], waiting[size:]
        used += len(batch)
        if used > effort:
            return root, used, EFFORT.format(boxes=effort)
        boxes = enclose_boxes(
            model,
            np.array([node.low for node in batch]),
            np.array([node.high for node in batch]),
            np.array([node.start for node in batch]),
        )
        moved = (np.abs(boxes.sensitivity) / np.abs(boxes.voltage)[..., None]).max(axis=1)
        widest = (moved * boxes.half).argmax(axis=1)
        for k, node in enumerate(batch):
            if boxes.closed[k]:
                node.boxes, node.place = boxes, k
                continue
            if not boxes.solved[k]:
                return root, used, COLLAPSE
            node.variable = int(widest[k])
            shift = 0.5 * boxes.half[k, node.variable]
            if shift <= 1e-9:
                return root, used, EFFORT.format(boxes=effort)
            middle_, change = boxes.centre[k, node.variable], boxes.sensitivity[k, :, widest[k]]
            lower, upper = node.high.copy(), node.low.copy()
            lower[node.variable] = upper[node.variable] = middle_
            node.parts = (
                CoverNode(node.low, lower, boxes.voltage[k] - shift * change),
                CoverNode(upper, node.high, boxes.voltage[k] + shift * change),
            )
            waiting += node.parts
    return root, used, ""


def _walk(
    model: ProofModel, begin: ComplexArray, origin: FloatArray, target: FloatArray
) -> ComplexArray:
    """Return the voltages at the target, reached in small steps from those at the origin."""
    voltage = begin[None, :]
    for part in np.linspace(0.0, 1.0, 5)[1:]:
        found, residual = solve(model, (origin + part * (target - origin))[None, :], voltage)
        voltage = found if np.isfinite(residual).all() else voltage
    reached: ComplexArray = voltage[0]
    return reached


def _connected(model: ProofModel, root: CoverNode, origin: FloatArray, begin: ComplexArray) -> bool:
    """Return whether the solutions of all boxes are one, that of the origin's voltages."""
    leaf = root.leaf(origin)
    if not _holds(leaf, origin, begin):
        return False
    cuts = root.cuts()
    if not cuts:
        return True
    middles = np.array([0.5 * (cut.low + cut.high) for cut in cuts])
    pairs = [
        (cut.parts[0].leaf(x), cut.parts[1].leaf(x)) for cut, x in zip(cuts, middles, strict=True)
    ]
    starts = np.array([_predicted(pair[0], x) for pair, x in zip(pairs, middles, strict=True)])
    voltage, residual = solve(model, middles, starts)
    if not (residual < 1e-9).all():
        return False
    return all(
        _holds(side, x, each)
        for pair, x, each in zip(pairs, middles, voltage, strict=True)
        for side in pair
    )


def _predicted(leaf: CoverNode, x: FloatArray) -> ComplexArray:
    boxes, k = leaf.boxes, leaf.place
    assert boxes is not None
    voltage: ComplexArray = boxes.voltage[k] + boxes.sensitivity[k] @ (x - boxes.centre[k])
    return voltage


def _holds(leaf: CoverNode, x: FloatArray, voltage: ComplexArray) -> bool:
    if leaf.boxes is None:
        return False
    place = np.array([leaf.place])
    return bool(leaf.boxes.holds(place, x[None, :], voltage[None, :])[0])
