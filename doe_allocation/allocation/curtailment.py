"""Curtailment: which envelopes are reduced when those held are no longer secure.

Each policy is a filling rule between the fallback limits and the limits held: limits rise from the
fallback until rows stop them.  So no limit loses more than the network requires, and only limits
that take part in a row over its limit lose anything.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum

import numpy as np

from doe_allocation.fairness.progressive_filling import Filling, progressive_filling
from doe_allocation.fairness.rule import CAPACITY, Filled, FillingRule
from security_check.arrays import FloatArray, IntArray


class CurtailmentPolicy(StrEnum):
    """In which proportions holdings are cut.

    ``PRO_RATA``: each limit keeps the same part of its holding above the fallback.
    ``MAX_MIN``: the largest limits are cut first, down to a common level.
    ``LAST_IN_FIRST_OUT``: power bought last is cut first, allocated power last and pro rata.
    """

    PRO_RATA = "pro_rata"
    MAX_MIN = "max_min"
    LAST_IN_FIRST_OUT = "last_in_first_out"


@dataclass(frozen=True, slots=True)
class Curtailment:
    """A policy with the data that it needs.

    Parameters
    ----------
    policy
        The policy.
    acquired_w
        Shape (k, 2 c), watts of each limit in the order in which they were acquired: first the
        allocation, then each trade.  Adds up to the limits held.  Needed for last in, first out.
    """

    policy: CurtailmentPolicy = CurtailmentPolicy.PRO_RATA
    acquired_w: IntArray | None = None

    def of(self, columns: IntArray) -> Curtailment:
        """Return the same for some of the limits only."""
        if self.acquired_w is None:
            return self
        return replace(self, acquired_w=self.acquired_w[:, columns])

    def at_most(self, limit_w: IntArray) -> Curtailment:
        """Return the same for holdings cut to ``limit_w``, shape (2 c,).

        Power acquired last is lost first.
        """
        if self.acquired_w is None:
            return self
        before = np.cumsum(self.acquired_w, axis=0) - self.acquired_w
        return replace(self, acquired_w=np.clip(limit_w - before, 0, self.acquired_w))

    def rule(
        self, fallback_w: IntArray, held_w: IntArray, weight: FloatArray, base_power_w: float
    ) -> FillingRule:
        """Return the rule that curtails.

        Parameters
        ----------
        fallback_w, held_w
            Shape (2 c,), between which limits are cut.
        weight
            Shape (2 c,), of the fair filling.
        base_power_w
            Watts of one per unit of power.

        Raises
        ------
        ValueError
            When last in, first out has no ``acquired_w``, or one that does not add up.
        """
        lower, upper = fallback_w / base_power_w, held_w / base_power_w
        match self.policy:
            case CurtailmentPolicy.PRO_RATA:
                above = np.maximum(held_w - fallback_w, 1) / base_power_w
                return Filling(lower, upper, above, lower)
            case CurtailmentPolicy.MAX_MIN:
                return Filling(lower, upper, weight, np.zeros(len(lower)))
            case CurtailmentPolicy.LAST_IN_FIRST_OUT:
                if self.acquired_w is None or not np.array_equal(self.acquired_w.sum(0), held_w):
                    raise ValueError(
                        "last in, first out needs to know what was acquired when, and that it "
                        "adds up to the limits held"
                    )
                layers = self.acquired_w / base_power_w
                return LayeredFilling(np.zeros(len(lower)), layers).above(lower)


PRO_RATA = Curtailment()
"""The default."""


@dataclass(frozen=True, slots=True)
class LayeredFilling:
    """Limits that rise layer after layer; within a layer all reach its end together.

    Parameters
    ----------
    lower
        Shape (m,), the limits before the first layer.
    layers
        Shape (k, m), >= 0, the increase by each layer; a limit that a row stops in one layer does
        not rise in later ones.
    """

    lower: FloatArray
    layers: FloatArray

    @property
    def upper(self) -> FloatArray:
        """Shape (m,), the limits with all layers full."""
        top: FloatArray = self.lower + self.layers.sum(axis=0)
        return top

    def filled(self, A: FloatArray, b: FloatArray) -> Filled:
        """Return the limits under rows ``A u <= b``: a filling of as many limits as parts."""
        layer, owner = np.nonzero(self.layers)
        size = self.layers[layer, owner]
        parts = Filling(np.zeros(len(size)), size, size, -size * layer)
        rose = progressive_filling(A[:, owner], b - A @ self.lower, parts)
        u = self.lower.copy()
        np.add.at(u, owner, rose.u)
        bottleneck = np.full(len(u), CAPACITY, dtype=np.int64)
        # From the last layer to the first, so that the first one that was stopped is recorded.
        for part in np.flatnonzero(rose.bottleneck != CAPACITY)[::-1]:
            bottleneck[owner[part]] = rose.bottleneck[part]
        return Filled(u, bottleneck)

    def above(self, lower: FloatArray) -> LayeredFilling:
        """Return the same filling from higher lower bounds, which use up the first layers."""
        reached = np.cumsum(self.layers, axis=0) + self.lower
        left = np.clip(reached - lower, 0.0, self.layers)
        return replace(self, lower=lower, layers=left)
