"""Robust rows and bounds of limits in lots, scaled so that a solver's tolerances mean lots."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from exchange.program import ROW_TOLERANCE, FloatArray, IntArray, NetworkRows

BoolArray = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class LotRows:
    """Rows ``a z <= h`` for changes z of the stacked limits, in lots.

    Every row is divided by its largest coefficient, so h is how many lots of the row's most
    sensitive limit fit, and a tolerance of 1e-9 is a billionth of a lot.  Bounds of limits are
    rows with one coefficient of 1 (rise) or -1 (fall).

    Parameters
    ----------
    a
        Shape (m, n).
    h
        Shape (m,), >= 0.
    source
        Shape (m,), index of the network row behind each, -1 for bounds.
    price_scale
        Shape (m,), what turns the dual of a row here (ticks) into that of its network row
        (tick-watts per per unit).
    count
        Network rows, those that can never bind included.
    """

    a: FloatArray
    h: FloatArray
    source: IntArray
    price_scale: FloatArray
    count: int

    @classmethod
    def scaled(
        cls,
        rows: NetworkRows,
        lot_w: int,
        rise_w: IntArray | None = None,
        fall_w: IntArray | None = None,
    ) -> LotRows:
        """Return network rows in lots, and the bounds of limits after them.

        Parameters
        ----------
        rows
            The network's.
        lot_w
            Watts of a lot.
        rise_w, fall_w
            Shape (n,), how far each limit may still rise (its capacity) and fall (its fallback),
            in watts; negative means without bound.
        """
        per_lot = rows.A * (lot_w / rows.base_power_w)
        scale = per_lot.max(axis=1, initial=0.0)
        live = np.flatnonzero(scale > 0.0)
        a = [per_lot[live] / scale[live, None]]
        h = [np.maximum(rows.headroom[live], 0.0) / scale[live]]
        for sign, room_w in ((1.0, rise_w), (-1.0, fall_w)):
            if room_w is not None:
                bounded = np.flatnonzero(room_w >= 0)
                a.append(sign * np.eye(rows.A.shape[1])[bounded])
                h.append((room_w[bounded] // lot_w).astype(np.float64))
        bounds = sum(len(part) for part in h[1:])
        return cls(
            a=np.ascontiguousarray(np.concatenate(a)),
            h=np.concatenate(h),
            source=np.concatenate([live, np.full(bounds, -1)]).astype(np.int64),
            price_scale=np.concatenate([lot_w / scale[live], np.zeros(bounds)]),
            count=len(rows.headroom),
        )

    def hold(self, change: FloatArray, h: FloatArray) -> bool:
        """Return whether all rows with headrooms h hold after a change in lots, shape (n,)."""
        return bool(np.all(self.a @ change <= h + self.tolerance(h)))

    def left(self, change: FloatArray) -> FloatArray:
        """Return the headrooms after a change in lots, shape (m,), >= 0."""
        left: FloatArray = np.maximum(self.h - self.a @ change, 0.0)
        return left

    @staticmethod
    def tolerance(h: FloatArray) -> FloatArray:
        """Return what each row may look overfull by, shape (m,)."""
        allowed: FloatArray = ROW_TOLERANCE + 1e-14 * h
        return allowed

    def network_prices(self, eta: FloatArray) -> FloatArray:
        """Return the duals of the network's rows, from those here, shape (count,)."""
        prices = np.zeros(self.count)
        own = self.source >= 0
        prices[self.source[own]] = eta[own] * self.price_scale[own]
        return prices
