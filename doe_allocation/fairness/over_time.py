"""Fairness over time: limits that were cut more than others get more weight from then on.

A limit of which ``a`` was requested and ``g`` granted was cut by ``1 - g / a``.  Its deficit is the
forgetting mean of how much more than the average of its direction it was cut,

    d' = f d + (1 - f) (cut - mean cut),      0 <= f < 1,  d = 0 at first,

and its weight in the next interval is ``weight exp(gain d)``.  A deficit is between -1 and 1, so a
weight changes by at most a factor ``exp(gain)``; a deficit halves in ``log 2 / log(1 / f)``
intervals in which all are cut alike.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from security_check.arrays import FloatArray


@dataclass(frozen=True, slots=True)
class TimeCoupling:
    """The conversion of past cuts into weights.

    Parameters
    ----------
    forgetting
        ``f`` in [0, 1): 0 remembers only the last interval.
    gain
        > 0: the logarithm of the factor by which a deficit of 1 multiplies a weight.

    Raises
    ------
    ValueError
        When a parameter is out of range.
    """

    forgetting: float = 0.9
    gain: float = 3.0

    def __post_init__(self) -> None:
        if not 0.0 <= self.forgetting < 1.0:
            raise ValueError(f"forgetting must be at least 0 and below 1, not {self.forgetting:g}")
        if not 0.0 < self.gain <= 20.0:
            raise ValueError(f"gain must be above 0 and at most 20, not {self.gain:g}")

    def after(self, deficit: FloatArray, granted: FloatArray, requested: FloatArray) -> FloatArray:
        """Return the deficits after one more interval.

        Parameters
        ----------
        deficit
            Shape (2 c,), before the interval, injection first; zeros in the beginning.
        granted, requested
            Shape (2 c,), >= 0; a limit of which nothing was requested was not cut: its deficit
            fades.
        """
        wants = requested > 0
        cut = np.where(
            wants, 1.0 - np.minimum(granted, requested) / np.where(wants, requested, 1.0), 0.0
        )
        wanting, cuts = wants.reshape(2, -1), cut.reshape(2, -1)
        mean = cuts.sum(axis=1) / np.maximum(wanting.sum(axis=1), 1)
        more = np.where(wanting, cuts - mean[:, None], 0.0).ravel()
        changed: FloatArray = self.forgetting * deficit + (1.0 - self.forgetting) * more
        return changed

    def weights(self, weight: FloatArray, deficit: FloatArray) -> FloatArray:
        """Return the weights of the next interval, shape (2 c,)."""
        weights: FloatArray = weight * np.exp(self.gain * deficit)
        return weights

    def over(
        self, weight: FloatArray, history: Sequence[tuple[FloatArray, FloatArray]]
    ) -> FloatArray:
        """Return the weights after a history of (granted, requested), the oldest first."""
        deficit = np.zeros(len(weight))
        for granted, requested in history:
            deficit = self.after(deficit, granted, requested)
        return self.weights(weight, deficit)
