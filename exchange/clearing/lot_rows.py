"""Lot rows: the network rows in lots, scaled so that a solver's tolerances mean lots."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from exchange.clearing.problem import ROW_TOLERANCE, NetworkRows
from security_check.arrays import FloatArray, IntArray
from security_check.checking.linear_rows import PartRows

_FEW = 8  # where less than an eighth of the limits changes, their columns alone are multiplied


@dataclass(frozen=True, slots=True)
class LotPart:
    """The rows of one part of the network, in lots.

    Every row is divided by its largest coefficient.  Bounds of limits come last, rows with one
    coefficient of 1 (rise) or -1 (fall).

    Parameters
    ----------
    known_as
        The coefficients that ``a`` was made from.
    limits
        Shape (n,), the limits that load these rows.
    a
        Shape (m, n).
    live
        Shape (r,), the network row of each of the first r rows; rows that can never bind are left
        out.
    scale
        Shape (r,), the divisors of these rows.
    bounds
        Shape (m - r,), lots by which limits may rise or fall.
    """

    known_as: FloatArray
    limits: IntArray
    a: FloatArray
    live: IntArray
    scale: FloatArray
    bounds: FloatArray

    @classmethod
    def of(cls, rows: PartRows, whole: NetworkRows, lot_w: int) -> LotPart:
        """Return the rows of a part of a network, and the bounds of its limits.

        Raises
        ------
        ValueError
            When shapes differ, or a coefficient is negative or not finite.
        """
        A = rows.A
        if A.ndim != 2 or rows.headroom.shape != A.shape[:1]:
            raise ValueError(f"rows of shape {A.shape} with {rows.headroom.shape} headrooms")
        if not np.isfinite(A).all():
            raise ValueError("a coefficient is not finite")
        if A.size and A.min() < 0:
            raise ValueError(f"a coefficient is {A.min()}, it must be >= 0")
        per_lot = A * (lot_w / whole.base_power_w)
        scale = per_lot.max(axis=1, initial=0.0)
        live = np.flatnonzero(scale > 0.0)
        scale = scale[live]
        a, bounds = [per_lot[live] / scale[:, None]], [np.zeros(0)]
        for sign, room_w in ((1.0, whole.rise_w), (-1.0, whole.fall_w)):
            if room_w is not None:
                own_w = room_w[rows.limits]
                bounded = np.flatnonzero(own_w >= 0)
                a.append(sign * np.eye(len(own_w))[bounded])
                bounds.append((own_w[bounded] // lot_w).astype(np.float64))
        return cls(A, rows.limits, np.concatenate(a), live, scale, np.concatenate(bounds))

    def is_of(self, rows: PartRows) -> bool:
        """Return whether these rows, without bounds, were made from the same array of a part."""
        return self.known_as is rows.A and not len(self.bounds) and _same(self.limits, rows.limits)

    def headroom(self, rows: PartRows) -> FloatArray:
        """Return how many lots of each row's most sensitive limit fit, shape (m,), >= 0.

        Raises
        ------
        ValueError
            When a headroom is not finite.
        """
        if not np.isfinite(rows.headroom).all():
            raise ValueError("a headroom is not finite")
        room: FloatArray = np.maximum(rows.headroom[self.live], 0.0) / self.scale
        return np.concatenate([room, self.bounds]) if len(self.bounds) else room


@dataclass(frozen=True, slots=True)
class LotRows:
    """Rows ``a z <= h`` for changes z of the stacked limits, in lots.

    Every row is divided by its largest coefficient, so h is how many lots of the row's most
    sensitive limit fit, and a tolerance of 1e-9 is a billionth of a lot.  Rows of separate parts
    stand one after the other, each with the coefficients of its own limits only.

    Parameters
    ----------
    parts
        The rows of each part.
    starts
        Shape (parts + 1,), the first row of each part, and m.
    part_of, place_in_part
        Shape (n,), the part that each limit belongs to, and its column there; -1 where it loads
        no row.
    h
        Shape (m,), >= 0.
    source
        Shape (m,), index of the network row behind each, -1 for bounds.
    price_scale
        Shape (m,), the factor from the dual of a lot row (ticks) to that of its network row
        (tick-watts per per unit).
    count
        The number of network rows, including those that can never bind.
    """

    parts: tuple[LotPart, ...]
    starts: list[int]
    part_of: IntArray
    place_in_part: IntArray
    h: FloatArray
    source: IntArray
    price_scale: FloatArray
    count: int

    @classmethod
    def scaled(cls, rows: NetworkRows, lot_w: int, before: LotRows | None = None) -> LotRows:
        """Return network rows in lots.

        Parameters
        ----------
        rows
            The network rows.
        lot_w
            Watts of a lot.
        before
            Earlier lot rows; parts made from the same arrays are not scaled again.

        Raises
        ------
        ValueError
            When coefficients or headrooms are not finite, or coefficients negative.
        """
        if not 0 < rows.base_power_w < np.inf:
            raise ValueError(f"base_power_w is {rows.base_power_w}, it must be positive")
        bounded = rows.rise_w is not None or rows.fall_w is not None
        known = () if before is None or bounded else before.parts
        parts, same = [], before is not None and len(known) == len(rows.parts)
        for k, own in enumerate(rows.parts):
            if k < len(known) and known[k].is_of(own):
                parts.append(known[k])
            else:
                parts.append(LotPart.of(own, rows, lot_w))
                same = False
        h = np.concatenate(
            [part.headroom(own) for part, own in zip(parts, rows.parts, strict=True)]
        )
        if before is not None and same:
            return replace(before, h=h)
        starts = np.cumsum([0, *(len(part.a) for part in parts)]).tolist()
        first = np.cumsum([0, *(len(own.headroom) for own in rows.parts)]).tolist()
        if before is not None and _same_limits(parts, known):
            part_of, place_in_part = before.part_of, before.place_in_part
        else:
            part_of, place_in_part = _parts_of(parts, rows.limits)
        return cls(
            parts=tuple(parts),
            starts=starts,
            part_of=part_of,
            place_in_part=place_in_part,
            h=h,
            source=np.concatenate(
                [
                    np.append(begin + part.live, np.full(len(part.bounds), -1))
                    for begin, part in zip(first, parts, strict=False)
                ]
            ),
            price_scale=np.concatenate(
                [np.append(lot_w / part.scale, 0.0 * part.bounds) for part in parts]
            ),
            count=first[-1],
        )

    def _own(self, k: int) -> slice:
        return slice(self.starts[k], self.starts[k + 1])

    @property
    def _is_one(self) -> bool:
        """Whether one part has all limits."""
        return len(self.parts) == 1 and len(self.parts[0].limits) == len(self.part_of)

    def has_coefficients_of(self, other: LotRows) -> bool:
        """Return whether other rows differ from these in their headrooms only."""
        return self.parts is other.parts or (
            len(self.parts) == len(other.parts) and all(map(_are_equal, self.parts, other.parts))
        )

    def carried_over(self, eta: FloatArray, before: LotRows) -> FloatArray:
        """Return the prices of rows, shape (m,), from those of rows before, shape (rows before,).

        A row gets the price of the row with the same number in the same part, if there was one.
        """
        carried = np.zeros(len(self.h))
        for k in range(min(len(self.parts), len(before.parts))):
            own, old = self._own(k), eta[before._own(k)]
            kept = min(len(old), own.stop - own.start)
            carried[own.start : own.start + kept] = old[:kept]
        return carried

    # -- rows and limits ------------------------------------------------------------------------

    def loads(self, change: FloatArray) -> FloatArray:
        """Return the load of each row, shape (m,), by a change of limits in lots, shape (n,).

        O(limits that change, times rows), or less.
        """
        moved = np.flatnonzero(change)
        loads: FloatArray = np.zeros(len(self.h))
        if not len(moved):
            return loads
        if self._is_one and _FEW * len(moved) < len(change):
            return self.of_limits(moved) @ change[moved]
        for k in sorted(set(self.part_of[moved].tolist())):
            if k >= 0:
                part = self.parts[k]
                loads[self._own(k)] = part.a @ change[part.limits]
        return loads

    def of_limits(self, limits: IntArray) -> FloatArray:
        """Return the coefficients of some limits, shape (m, len(limits))."""
        if self._is_one:
            return self._of_limits_in_one(limits)
        part_of, place = self.part_of[limits], self.place_in_part[limits]
        found = np.zeros((len(self.h), len(limits)))
        for k in sorted(set(part_of.tolist())):
            if k >= 0:
                mine = np.flatnonzero(part_of == k)
                found[self._own(k), mine] = self.parts[k].a[:, place[mine]]
        return found

    def _of_limits_in_one(self, limits: IntArray) -> FloatArray:
        columns: FloatArray = self.parts[0].a[:, self.place_in_part[limits]]
        return columns

    def of_rows(self, rows: IntArray) -> FloatArray:
        """Return the coefficients of some rows over all limits, shape (len(rows), n)."""
        found = np.zeros((len(rows), len(self.part_of)))
        part_of = np.searchsorted(self.starts, rows, side="right") - 1
        for i, (k, row) in enumerate(zip(part_of.tolist(), rows.tolist(), strict=True)):
            part = self.parts[k]
            found[i, part.limits] = part.a[row - self.starts[k]]
        return found

    def prices(self, eta: FloatArray) -> FloatArray:
        """Return the sum of row prices at each limit, shape (n,), from prices of shape (m,)."""
        prices = np.zeros(len(self.part_of))
        priced = np.flatnonzero(eta)
        if not len(priced):
            return prices
        for k, part in enumerate(self.parts):
            first, last = np.searchsorted(priced, (self.starts[k], self.starts[k + 1]))
            if last > first:
                own = priced[first:last]
                prices[part.limits] = eta[own] @ part.a[own - self.starts[k]]
        return prices

    def hold(self, change: FloatArray, h: FloatArray) -> bool:
        """Return whether all rows with headrooms h hold after a change in lots, shape (n,)."""
        return bool(np.all(self.loads(change) <= h + self.tolerance(h)))

    def left(self, change: FloatArray) -> FloatArray:
        """Return the headrooms after a change in lots, shape (m,), >= 0."""
        left: FloatArray = np.maximum(self.h - self.loads(change), 0.0)
        return left

    @staticmethod
    def tolerance(h: FloatArray) -> FloatArray:
        """Return the lots by which each row may look overfull, shape (m,).

        The second term covers the rounding of sums in double precision.
        """
        allowed: FloatArray = ROW_TOLERANCE + 1e-14 * h
        return allowed

    def network_prices(self, eta: FloatArray) -> FloatArray:
        """Return the duals of the network rows, shape (count,), from those of the lot rows."""
        prices = np.zeros(self.count)
        own = self.source >= 0
        prices[self.source[own]] = eta[own] * self.price_scale[own]
        return prices


def _same(limits: IntArray, others: IntArray) -> bool:
    return limits is others or np.array_equal(limits, others)


def _are_equal(part: LotPart, other: LotPart) -> bool:
    return part is other or (_same(part.limits, other.limits) and np.array_equal(part.a, other.a))


def _same_limits(parts: list[LotPart], known: tuple[LotPart, ...]) -> bool:
    return len(parts) == len(known) and all(
        _same(part.limits, old.limits) for part, old in zip(parts, known, strict=True)
    )


def _parts_of(parts: list[LotPart], limits: int) -> tuple[IntArray, IntArray]:
    """Return the part that each limit belongs to, and its column there, shape (limits,) each."""
    part_of, place_in_part = np.full((2, limits), -1)
    for k, part in enumerate(parts):
        part_of[part.limits] = k
        place_in_part[part.limits] = np.arange(len(part.limits))
    return part_of, place_in_part
