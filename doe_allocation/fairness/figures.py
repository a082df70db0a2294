"""Figures by which principles of fairness are compared: minimum, sum, Jain's index, price."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from security_check.arrays import FloatArray


@dataclass(frozen=True, slots=True)
class FairnessFigures:
    """Figures of one allocation.

    Parameters
    ----------
    minimum, total
        The least limit and the sum of all, in the unit of the limits.
    jain
        Jain's index, see :func:`jain_index`.
    price
        The price of fairness, see :func:`price_of_fairness`.
    """

    minimum: float
    total: float
    jain: float
    price: float

    @classmethod
    def of(cls, limits: FloatArray, largest_total: float) -> FairnessFigures:
        """Return the figures of the limits that have a capacity.

        Parameters
        ----------
        limits
            Shape (k,), >= 0.
        largest_total
            The sum of limits under the maximum-sum rule.
        """
        total = float(limits.sum())
        return cls(
            float(limits.min(initial=np.inf)) if len(limits) else 0.0,
            total,
            jain_index(limits),
            price_of_fairness(total, largest_total),
        )


def jain_index(shares: FloatArray) -> float:
    """Return ``(sum x)^2 / (n sum x^2)``: 1 for equal shares, 1/n where one share is all.

    Shares that are all zero are equal.  Jain, Chiu and Hawe (1984), DEC-TR-301.
    """
    squares = float(shares @ shares) * len(shares)
    return float(shares.sum()) ** 2 / squares if squares > 0.0 else 1.0


def price_of_fairness(total: float, largest_total: float) -> float:
    """Return the part of the largest sum that a fair allocation gives up.

    ``(SYSTEM - FAIR) / SYSTEM``, Bertsimas, Farias and Trichakis (2011), The Price of Fairness,
    Operations Research 59(1), eq. (3).  It is 0 where the largest sum is 0.
    """
    return 1.0 - total / largest_total if largest_total > 0.0 else 0.0
