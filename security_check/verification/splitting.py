"""Rows that the first enclosure does not prove: proved by covering and splitting the box.

The proof by signs (:mod:`.monotonicity`) takes one enclosure of the whole box by the plain
fixed-point map.  Where it does not close, or leaves rows within a gap, the box is covered
(:mod:`.solution_cover`) and the rows are bounded on its parts (:mod:`.branch_and_bound`).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from security_check.arrays import FloatArray, IndexArray
from security_check.errors import PowerFlowError
from security_check.monitoring.row_limits import RowLimits
from security_check.operating_range.conditions import OperatingConditions
from security_check.verification.branch_and_bound import RowBounds, Targets, bound_rows
from security_check.verification.enclosure import PortModel
from security_check.verification.gradient_signs import RowKinds
from security_check.verification.monotonicity import (
    UNBALANCE,
    MonotonicityProof,
    ProofStatus,
    row_kinds,
)
from security_check.verification.row_curvature import Quantities
from security_check.verification.solution_boxes import ProofModel
from security_check.verification.solution_cover import Cover, cover_box

_WORK = 5e6  # numbers computed at most: 5,000 boxes of a small network, a few of a large one
_BOXES = (4, 5_000)
ROUNDING = 1e-9
"""Part of a limit by which a bound may exceed it."""

_SAME = 1e-7  # parts of a scale: a bound this close to a value found is reached


@dataclass(frozen=True, slots=True)
class SplitProof:
    """What covering and splitting proved.

    Parameters
    ----------
    model
        The variables.
    rows
        Shape (q,), the monitors' rows, one for each quantity; of a current the first one.
    quantities, targets, cover
        What was sought, and where.
    bounds
        What was found; none where the box has no cover.
    """

    model: ProofModel
    rows: IndexArray
    quantities: Quantities
    targets: Targets
    cover: Cover
    bounds: RowBounds | None


def not_split(conditions: OperatingConditions) -> str:
    """Return a condition that splitting does not cover, as a reason; empty where it covers all."""
    corners, network = conditions.source_corners, conditions.network
    if corners.shape[1] != network.held:
        return "proofs do not cover a limit of power that separate parts share"
    if (corners != corners[:, :1]).any():
        return "proofs do not cover phases of the interface whose voltages move apart"
    if network.inverters is not None:
        return "proofs do not cover inverters that respond to their voltage"
    if network.ports.compensation is not None:
        return "proofs do not cover tolerances of impedances"
    if conditions.has_cones:
        return "proofs do not cover reactive power chosen freely up to a power factor"
    return ""


def split_rows(
    model: PortModel,
    conditions: OperatingConditions,
    u: FloatArray,
    limits: RowLimits,
    rows: IndexArray,
    more: float = 1.0,
    *,
    curved: bool = False,
) -> SplitProof:
    """Bound rows over the box of envelopes by covering and splitting it.

    Parameters
    ----------
    model, conditions, u
        As of :func:`~security_check.verification.monotonicity.prove_monotone`; the conditions must
        be covered (:func:`not_split`).
    limits
        Of all R rows.
    rows
        Rows with a limit, none of unbalance.
    more
        Times the usual effort.
    curved
        As of :class:`~security_check.verification.branch_and_bound.Targets`.

    Raises
    ------
    PowerFlowError
        When the power flow is singular at a point of the box.
    """
    kinds = row_kinds(model).take(rows)
    kept = _one_each(kinds)
    rows, kinds = rows[kept], kinds.take(kept)
    quantities = Quantities(kinds.phasor, kinds.sense, kinds.power, kinds.carried)
    targets = Targets(limits.limit[rows], limits.scale[rows], ROUNDING, curved=curved)
    proof = ProofModel.of(model, conditions, u)
    effort = _effort(proof, len(rows), more)
    bounds = None
    try:
        cover = cover_box(proof, effort)
        if not cover.reason:
            bounds = bound_rows(proof, cover.root.leaves(), quantities, targets, effort)
    except np.linalg.LinAlgError:
        raise PowerFlowError(
            f"{model.network.name}: the power flow is singular at a point of the envelopes"
        ) from None
    return SplitProof(proof, rows, quantities, targets, cover, bounds)


def _effort(model: ProofModel, rows: int, more: float) -> int:
    ports, variables = model.power.shape
    cost = (ports + rows) * variables**2 + ports * (ports + rows)
    return int(more * np.clip(_WORK / cost, *_BOXES))


def _one_each(kinds: RowKinds) -> IndexArray:
    """Return one row of each terminal's current, and all others."""
    phasor = np.where(kinds.current, kinds.phasor, -1 - np.arange(len(kinds.kind)))
    kept: IndexArray = np.unique(phasor, return_index=True)[1]
    return np.sort(kept)


def by_splitting(
    found: MonotonicityProof,
    model: PortModel,
    conditions: OperatingConditions,
    u: FloatArray,
    limits: RowLimits,
) -> tuple[MonotonicityProof, SplitProof | None]:
    """Return a proof in which rows that were not proved secure are bounded by splitting.

    Raises
    ------
    PowerFlowError
        When the power flow is singular at a point of the box.
    """
    count = len(row_kinds(model).kind)
    unbalanced = np.isfinite(limits.limit[count:]).any()
    limited = np.isfinite(limits.limit[:count])
    left = np.flatnonzero(limited & ~found.secure[:count])
    reason = not_split(conditions)
    if reason or not len(left):
        return found, None
    split = split_rows(model, conditions, u, limits, left)
    if split.bounds is None:
        standing = np.array(found.standing)
        reason = split.cover.reason if (standing == ProofStatus.CHECKED).any() else ""
        return _with(found, found.bound, found.value, found.sides, limits, reason), split
    bound, value, sides = found.bound.copy(), found.value.copy(), found.sides.copy()
    kinds = row_kinds(model)
    width = split.model.high - split.model.low
    place = (split.bounds.point - split.model.low) / np.where(width > 0.0, width, 1.0)
    shown = np.append(np.arange(len(u) // 2), len(width) - 1)
    for k, row in enumerate(split.rows):
        same = np.array([row])
        if kinds.current[row]:
            same = left[kinds.current[left] & (kinds.phasor[left] == kinds.phasor[row])]
        bound[same] = np.minimum(bound[same], split.bounds.bound[k])
        value[same], sides[same] = split.bounds.value[k], place[k, shown]
    return _with(found, bound, value, sides, limits, UNBALANCE if unbalanced else ""), split


def _with(
    found: MonotonicityProof,
    bound: FloatArray,
    value: FloatArray,
    sides: FloatArray,
    limits: RowLimits,
    reason: str,
) -> MonotonicityProof:
    limit = limits.limit + ROUNDING * np.where(np.isfinite(limits.limit), np.abs(limits.limit), 0)
    secure = bound <= limit
    reached = secure & (bound - value <= _SAME * limits.scale)
    kept = np.array([status is ProofStatus.PROVED for status in found.standing])
    chosen = np.select([kept | reached, secure, np.isfinite(bound)], [0, 1, 2], 3)
    standing = tuple(tuple(ProofStatus)[k] for k in chosen)
    open_ = ProofStatus.CHECKED in standing
    return MonotonicityProof(standing, value, bound, sides, secure, reason if open_ else "")


def largest_breach(split: SplitProof) -> tuple[int, float, FloatArray] | None:
    """Return row, value and point of the largest breach found; none where there is none."""
    bounds = split.bounds
    if bounds is None or not bounds.breached.any():
        return None
    excess = (bounds.value - split.targets.limit) / split.targets.scale
    k = int(np.where(bounds.breached, excess, -np.inf).argmax())
    return int(split.rows[k]), float(bounds.value[k]), bounds.point[k]
