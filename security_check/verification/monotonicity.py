"""Proofs that no point of a box of envelopes is worse than a row's vertex.

The adversary searches for worse points and may miss one; a proof cannot.  Over a box of powers and
the contracted voltage band, :mod:`security_check.verification.gradient_signs` finds the customers
with whose power a row's quantity f rises, or falls, *everywhere*.  Such a customer is at one end of
its range wherever f is largest, so the box shrinks to a face on which f has the same maximum.  On
the face voltages vary less, so that the signs of more customers are certain, and so on (the
monotonicity test of interval optimisation: Hansen and Walster 2004, "Global optimization using
interval analysis", chapter 12).  For radial balanced networks
:mod:`security_check.verification.radial_condition` adds a condition after Gan, Li, Topcu and Low
(2015) for all voltages at once.

==========================  ======================================================================
status                      proof
==========================  ======================================================================
``PROVED``                  all signs: f is largest at the vertex ``sides``, gap 0
``BELOW``                   f stays below its limit by a bound over the box; no vertex was needed
``WITHIN``                  f exceeds its value at ``sides`` nowhere by more than ``gap``
``CHECKED``                 nothing; ``reason`` says why
==========================  ======================================================================

The largest f of a current is over all rows of its terminal together, as for all rows of
:mod:`security_check.monitoring.monitors`.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from security_check.arrays import BoolArray, ComplexArray, FloatArray, IndexArray, first_of_equal
from security_check.monitoring.directions import AROUND, BESIDE, crossed
from security_check.monitoring.row_kinds import RowKind, rows_of
from security_check.operating_range.conditions import OperatingConditions
from security_check.operating_range.points import halves
from security_check.power_flow.compensating_currents import ports_of_power
from security_check.verification.enclosure import (
    Enclosure,
    PortModel,
    directions,
    enclose,
    phasors,
)
from security_check.verification.gradient_signs import (
    GradientSigns,
    RowKinds,
    simple_bounds,
    slopes,
)
from security_check.verification.radial_condition import RadialTree, rising_voltages

_ROUNDS = 12  # of faces at most; three to six are usual
_SAME = 1e-9  # part of a limit, or per unit: a smaller difference is rounding

UNBALANCE = "rows of voltage unbalance are not bounded"
OPEN = "voltages over the whole box cannot be enclosed: it reaches too close to voltage collapse"


class ProofStatus(StrEnum):
    """The status of a row's proof; see the table of this module."""

    PROVED = "proved"
    BELOW = "proved below its limit"
    WITHIN = "proved within a gap"
    CHECKED = "only checked"


@dataclass(frozen=True, slots=True)
class MonotonicityProof:
    """The proof of all R monitored rows, in the order of the monitors.

    Parameters
    ----------
    standing
        Shape (R,), of :class:`ProofStatus`.
    value
        Shape (R,), f at the vertex ``sides``, per unit; nan for rows proved below their limits
        before a vertex was found.
    bound
        Shape (R,), upper bound of f; ``inf`` where nothing is proved.
    sides
        Shape (R, c + 1): of each row's vertex, 0 for withdrawal and 1 for injection, and the
        end of the voltage band last; nan where ``value`` is.
    secure
        Shape (R,), whether the bound is at most the row's limit; false without limits.
    reason
        Why rows are only checked; empty where none is.
    """

    standing: tuple[ProofStatus, ...]
    value: FloatArray
    bound: FloatArray
    sides: FloatArray
    secure: BoolArray
    reason: str

    @property
    def gap(self) -> FloatArray:
        """Return the bound of the excess of f over ``value``, shape (R,), per unit."""
        gap: FloatArray = self.bound - self.value
        return gap

    def count(self) -> dict[ProofStatus, int]:
        """Return the number of rows by status."""
        counted = Counter(self.standing)
        return {standing: counted[standing] for standing in ProofStatus}


@dataclass(frozen=True, slots=True)
class _Faces:
    """The faces on which rows are largest; r rows, changed in place as the faces shrink.

    Parameters
    ----------
    low, high
        Shape (r, c + 1).
    bound, gain
        Shape (r,), bounds of f, and of the excess of f over its value at ``vertex``.
    vertex
        Shape (r, c + 1).
    """

    low: FloatArray
    high: FloatArray
    bound: FloatArray
    gain: FloatArray
    vertex: FloatArray

    @classmethod
    def of_box(cls, low: FloatArray, high: FloatArray, bound: FloatArray) -> _Faces:
        """Return the whole box for each row."""
        size = (len(bound), len(low))
        lower, upper = np.broadcast_to(low, size).copy(), np.broadcast_to(high, size).copy()
        return cls(lower, upper, bound, np.full(len(bound), np.inf), upper.copy())

    def come_down(self, rows: IndexArray, found: GradientSigns) -> BoolArray:
        """Shrink the faces by certain signs; return for which rows they shrank."""
        self.bound[rows] = np.minimum(self.bound[rows], found.bound)
        self.gain[rows] = found.gain
        low, high = self.low[rows], self.high[rows]
        self.vertex[rows] = np.where(found.by_variable > 0.0, high, low)
        self.low[rows] = np.where(found.rising, high, low)
        self.high[rows] = np.where(found.falling, low, high)
        return np.asarray((found.rising | found.falling).any(axis=1))

    @property
    def points(self) -> BoolArray:
        """Return which faces are single points, shape (r,)."""
        return np.asarray((self.low == self.high).all(axis=1))


def row_kinds(model: PortModel) -> RowKinds:
    """Return all monitored rows, in the order of ``Monitors``.

    The direction of a current is that of the strongest response to an injection without load.
    """
    network = model.network
    ends = slice(len(network.voltages.elements), len(model.response) - 1)
    powers = ports_of_power(network)
    response = model.response[ends][:, powers]
    table = rows_of(network, crossed(response, model.profile[powers]))
    covered = table.kind != RowKind.UNBALANCE
    kind, phasor = table.kind[covered], table.phasor[covered]
    profile = np.where(model.profile == 0.0, 1.0, model.profile)
    added = np.asarray(network.ports_point @ (model.response / profile.conj()).T).T
    strongest = added[np.arange(len(added)), np.abs(added).argmax(axis=1)]
    outwards = directions(strongest)
    axis: ComplexArray = np.where(kind == RowKind.CURRENT_IMPORT, -1.0, 1.0) * outwards[phasor]
    further = slice(len(kind) - len(table.further), None)
    axis[further] = outwards[phasor[further]] * np.resize(BESIDE, len(table.further))
    return RowKinds(kind, phasor, axis)


def prove_monotone(
    model: PortModel,
    conditions: OperatingConditions,
    u: FloatArray,
    limit: FloatArray | None = None,
    tree: RadialTree | None = None,
) -> MonotonicityProof:
    """Prove every monitored row over a box of envelopes, as far as possible.

    Parameters
    ----------
    model
        The network's port model; c connection points, R monitored rows.
    conditions
        The interval's conditions.  Held voltages that differ from each other, freely chosen
        reactive power and deviations of passive power are not covered: then nothing is proved.
    u
        Shape (2 c,): injection and withdrawal limits, per unit.
    limit
        Shape (R,), as ``RowLimits.limit``.  Where given, rows that a cheap bound proves below
        their limits are left at that.
    tree
        The network as a tree, from ``radial_tree``, where it is one: adds the condition for
        radial networks to the proof of voltages.

    Notes
    -----
    The cost is a dense product of the ports' matrix with one column per row and round; three to
    six rounds are usual.
    """
    injection, withdrawal = halves(u)
    low = np.append(-withdrawal, conditions.band[0])
    high = np.append(injection, conditions.band[1])
    every = row_kinds(model)
    count, unbalance = len(every.kind), len(AROUND) * len(model.network.voltages.triples)
    found = _ProofProgress.nothing(count + unbalance, len(low))
    limits = np.full(count + unbalance, -np.inf) if limit is None else limit
    limits = limits + _SAME * np.where(np.isfinite(limits), np.abs(limits), 0.0)
    whole = enclose(model, conditions.passive_power_pu, low[:, None], high[:, None])
    reason = not_covered(conditions) or ("" if whole.closed[0] else OPEN)
    if reason:
        return found.proof(limits, reason)
    found.bound[:count] = simple_bounds(model, whole, every, np.zeros(count, dtype=np.int64))
    chosen = np.flatnonzero(found.bound[:count] > limits[:count])
    faces = _Faces.of_box(low, high, found.bound[chosen])
    _prove(model, tree, every.take(chosen), faces, limits[chosen], whole)
    value = _at_vertices(model, every.take(chosen), faces.vertex, whole)
    faces.gain[faces.points] = 0.0
    found.value[chosen] = value
    found.bound[chosen] = np.fmin(faces.bound, np.fmax(value + faces.gain, value))
    found.sides[chosen] = (faces.vertex - low) / np.where(high > low, high - low, 1.0)
    found.proved[chosen] = faces.points & np.isfinite(value)
    return found.proof(limits, UNBALANCE if unbalance else "")


def not_covered(conditions: OperatingConditions) -> str:
    """Return a condition that proofs do not cover, as a reason; empty where they cover all."""
    corners = conditions.source_corners
    if (corners != corners[:, :1]).any():
        return "proofs do not cover phases of the interface whose voltages move apart"
    if conditions.network.inverters is not None:
        return "proofs do not cover inverters that respond to their voltage"
    if conditions.network.reactive_freedom is not None:
        return "proofs do not cover reactive power that customers choose freely"
    if conditions.deviations.set.count:
        return "proofs do not cover deviations of passive powers"
    return ""


@dataclass(frozen=True, slots=True)
class _ProofProgress:
    """Results for all R rows, filled in place; see :class:`MonotonicityProof`."""

    proved: BoolArray
    value: FloatArray
    bound: FloatArray
    sides: FloatArray

    @classmethod
    def nothing(cls, rows: int, variables: int) -> _ProofProgress:
        unknown = np.full((rows, variables), np.nan)
        none = np.zeros(rows, dtype=bool)
        return cls(none, np.full(rows, np.nan), np.full(rows, np.inf), unknown)

    def proof(self, limits: FloatArray, reason: str) -> MonotonicityProof:
        secure = self.bound <= limits
        finite = np.isfinite(self.bound)
        chosen = np.select([self.proved, secure, finite], [0, 1, 2], 3)
        names = tuple(ProofStatus)
        return MonotonicityProof(
            standing=tuple(names[k] for k in chosen),
            value=self.value,
            bound=self.bound,
            sides=self.sides,
            secure=secure,
            reason=reason if (chosen == 3).any() else "",
        )


def _prove(
    model: PortModel,
    tree: RadialTree | None,
    rows: RowKinds,
    faces: _Faces,
    limits: FloatArray,
    whole: Enclosure,
) -> None:
    """Shrink the faces of rows by both methods."""
    _come_down(model, rows, faces, limits, np.arange(len(limits)), whole)
    if tree is not None:
        active = np.flatnonzero(~faces.points & (faces.bound > limits))
        active = _come_down_together(model, tree, rows.kind, faces, active, whole)
        _come_down(model, rows, faces, limits, active, whole)


def _at_vertices(
    model: PortModel, rows: RowKinds, vertex: FloatArray, whole: Enclosure
) -> FloatArray:
    """Return f of each row at its own vertex, shape (r,); nan without a power flow."""
    if not len(vertex):
        return np.zeros(0)
    first, box = first_of_equal(vertex)
    powers = vertex[first].T
    solved = enclose(model, whole.passive_power_pu, powers, powers)
    x, _ = phasors(model, solved, rows.phasor, box)
    return np.where(solved.closed[box], rows.values(x, vertex[:, -1]), np.nan)


def _come_down(
    model: PortModel,
    rows: RowKinds,
    faces: _Faces,
    limits: FloatArray,
    active: IndexArray,
    whole: Enclosure,
) -> None:
    """Shrink the faces of rows, until their bounds are below their limits or no sign is new."""
    for _ in range(_ROUNDS):
        if not len(active):
            return
        first, box = first_of_equal(np.hstack([faces.low[active], faces.high[active]]))
        boxes = active[first]
        low, high = faces.low[boxes].T, faces.high[boxes].T
        enclosure = enclose(model, whole.passive_power_pu, low, high)
        closed = enclosure.closed[box]
        active, box = active[closed], box[closed]
        moved = faces.come_down(active, slopes(model, enclosure, rows.take(active), box))
        active = active[moved & ~faces.points[active] & (faces.bound[active] > limits[active])]


def _come_down_together(
    model: PortModel,
    tree: RadialTree,
    kind: IndexArray,
    faces: _Faces,
    active: IndexArray,
    whole: Enclosure,
) -> IndexArray:
    """Shrink the faces of voltages by the condition for trees.

    All highest, or all lowest, voltages share one face, on which the condition is tested again.
    A sign that holds on a box holds on all of its faces.

    Returns
    -------
    IndexArray
        The active rows whose faces shrank, but not to a single point.
    """
    moved = np.zeros(len(kind), dtype=bool)
    for wanted in (RowKind.VOLTAGE_MAX, RowKind.VOLTAGE_MIN):
        mine = active[kind[active] == wanted]
        enclosure, known = whole, np.zeros(faces.low.shape[1], dtype=bool)
        while len(mine) and enclosure.closed[0]:
            rising = rising_voltages(tree, enclosure) & ~known
            if not rising.any():
                break
            known |= rising
            side = 1.0 if wanted is RowKind.VOLTAGE_MAX else -1.0
            half = np.where(known, 0.0, whole.half[:, 0])
            middle = whole.middle[:, 0] + side * np.where(known, whole.half[:, 0], 0.0)
            low, high = (middle - half)[:, None], (middle + half)[:, None]
            enclosure = enclose(model, whole.passive_power_pu, low, high)
        low, high = faces.low[mine], faces.high[mine]
        moved[mine] = (known & (low < high)).any(axis=1)
        if wanted is RowKind.VOLTAGE_MAX:
            faces.low[mine] = np.where(known, high, low)
        else:
            faces.high[mine] = np.where(known, low, high)
        faces.vertex[mine] = np.where(known, faces.low[mine], faces.vertex[mine])
    faces.gain[moved] = np.inf  # it was counted from another vertex
    return np.flatnonzero(moved & ~faces.points)
