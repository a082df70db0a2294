"""The principles of fairness by name, each of which makes a rule between bounds.

``docs/fairness.md`` has the mathematics.  Any callable with the signature of
:class:`doe_allocation.fairness.rule.Principle` can take the place of these.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from doe_allocation.fairness.alpha import AlphaFairness
from doe_allocation.fairness.linear_rules import MaximumSum, WidthFilling
from doe_allocation.fairness.progressive_filling import Filling
from doe_allocation.fairness.rule import FillingRule
from security_check.arrays import FloatArray, IndexArray


class Rule(StrEnum):
    """The names of the principles."""

    MAX_MIN = "max_min"
    EQUAL = "equal"
    PROPORTIONAL_TO_CAPACITY = "proportional_to_capacity"
    PROPORTIONAL = "proportional"
    ALPHA = "alpha"
    MAXIMUM_SUM = "maximum_sum"


class ComparedShare(StrEnum):
    """What max-min makes fair: single limits, or the widths of envelopes."""

    LIMITS = "limits"
    WIDTH = "width"


class LevelScope(StrEnum):
    """Which limits share a common level: those of one direction, or all."""

    DIRECTION = "direction"
    ALL = "all"


TAKE_NO_WEIGHTS = frozenset({Rule.EQUAL, Rule.PROPORTIONAL_TO_CAPACITY, Rule.MAXIMUM_SUM})
"""Rules without weights (the maximum sum uses them only to choose among several optima)."""


@dataclass(frozen=True, slots=True)
class Fairness:
    """A principle of fairness with its parameters.

    Parameters
    ----------
    rule
        Its name.
    alpha
        >= 0, for ``ALPHA`` only: 0 is the maximum sum, 1 proportional fairness, infinity max-min.
    over
        For ``MAX_MIN`` only.
    common
        For ``EQUAL`` and ``PROPORTIONAL_TO_CAPACITY``: whether each direction has its own level,
        which stops at the first full row in which a limit of that direction takes part, or both
        directions have one, which stops at the first full row.

    Raises
    ------
    ValueError
        When a parameter is missing, or given that the rule does not have.
    """

    rule: Rule = Rule.MAX_MIN
    alpha: float | None = None
    over: ComparedShare = ComparedShare.LIMITS
    common: LevelScope = LevelScope.DIRECTION

    def __post_init__(self) -> None:
        if (self.alpha is not None) != (self.rule is Rule.ALPHA):
            raise ValueError(
                f'alpha is for the rule "alpha", which needs it; this is "{self.rule}"'
            )
        if self.alpha is not None and not self.alpha >= 0.0:
            raise ValueError(f"alpha must be at least 0, not {self.alpha:g}")
        if self.over is not ComparedShare.LIMITS and self.rule is not Rule.MAX_MIN:
            raise ValueError(f'over "width" is for the rule "max_min"; this is "{self.rule}"')
        if self.common is not LevelScope.DIRECTION and not self.is_common:
            raise ValueError(f'common "all" is for rules with a common level, not "{self.rule}"')

    @property
    def is_common(self) -> bool:
        """Whether all limits share a level, so that separate parts cannot be divided alone."""
        return self.rule in (Rule.EQUAL, Rule.PROPORTIONAL_TO_CAPACITY)

    @property
    def title(self) -> str:
        """The rule and its parameters as readable text."""
        chosen = {
            f"alpha = {self.alpha:g}" if self.alpha is not None else "",
            "over widths" if self.over is ComparedShare.WIDTH else "",
            "one level for all" if self.common is LevelScope.ALL else "",
        } - {""}
        name = str(self.rule).replace("_", " ")
        return f"{name} ({', '.join(chosen)})" if chosen else name

    def __call__(self, lower: FloatArray, upper: FloatArray, weight: FloatArray) -> FillingRule:
        """Return the rule between bounds; shapes (2 c,), injection first, weights > 0."""
        zero, one = np.zeros(len(lower)), np.ones(len(lower))
        match self.rule:
            case Rule.MAX_MIN if self.over is ComparedShare.WIDTH:
                return WidthFilling(lower, upper, weight.reshape(2, -1).mean(axis=0))
            case Rule.MAX_MIN:
                return Filling(lower, upper, weight, zero)
            case Rule.EQUAL:
                return Filling(lower, upper, one, zero, self._groups(len(lower)))
            case Rule.PROPORTIONAL_TO_CAPACITY:
                share = np.where(upper > 0.0, upper, 1.0)
                return Filling(lower, upper, share, zero, self._groups(len(lower)))
            case Rule.MAXIMUM_SUM:
                return MaximumSum(lower, upper, one)
            case Rule.PROPORTIONAL:
                return AlphaFairness(lower, upper, weight, 1.0)
            case Rule.ALPHA:
                assert self.alpha is not None
                return AlphaFairness(lower, upper, weight, self.alpha)

    def _groups(self, limits: int) -> IndexArray:
        groups: IndexArray = np.repeat(np.arange(2), limits // 2)
        return groups if self.common is LevelScope.DIRECTION else np.zeros_like(groups)


MAX_MIN = Fairness()
"""The default."""
