"""The radial configuration and tap positions under which the smallest envelope is largest.

Whole allocations are compared lexicographically: first the smallest limit, then the next smallest,
and so on (all intervals together, whole watts).  Of equal allocations the one with fewer operations
is better, and then the first in order.  A limit at its capacity cannot be larger in any
configuration, so the figure reported is the smallest *uncapped* limit, which is below its capacity;
a better allocation never has a smaller one.

A local search comes first.  If all configurations can be enumerated, every one that is not refuted
at the smallest limit of its result is evaluated, too, and the search is exact.  Equal limits are
not refuted, so allocations decide ties.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Protocol

import numpy as np

from doe_allocation.reconfiguration.choices import Choices, Configuration
from security_check.arrays import BoolArray, IntArray
from security_check.errors import InsecureError, NetworkFaults, PowerFlowError

_CHUNK = 256  # configurations that are refuted together before the best one may change
_FARTHEST = 20_000  # most configurations two steps away that are examined from one

INSECURE = "the fallback envelopes are not secure"
NO_SOLUTION = "the power flow has no solution"
NO_NETWORK = "pandapower cannot model it"


Evaluate = Callable[[Configuration], IntArray]
"""The limits that a configuration gives, in whole watts, all intervals after one another, always in
the same order.  Raises :class:`~security_check.errors.GridError` where it has no secure ones."""


class Refuter(Protocol):
    """Proves without a power flow that configurations cannot reach a limit."""

    def refuted(
        self, closed: BoolArray, taps: Sequence[int], smallest_uncapped_w: float
    ) -> BoolArray:
        """Return which radial configurations, shape (T, S), certainly cannot reach it."""


@dataclass(frozen=True, slots=True)
class Assessment:
    """The allocation in one configuration.

    Parameters
    ----------
    configuration
        The configuration.
    limits_w
        As :data:`Evaluate` returns them.
    smallest_uncapped_w
        The smallest limit below its capacity; the largest capacity if no limit is below its own.
    operations
        Number of operations from the present configuration.
    """

    configuration: Configuration
    limits_w: IntArray
    smallest_uncapped_w: int
    operations: int

    @property
    def _rank(self) -> tuple[list[int], int]:
        return np.sort(self.limits_w).tolist(), -self.operations

    def better_than(self, other: Assessment | None) -> bool:
        """Return whether this one is to be chosen."""
        if other is None:
            return True
        if self._rank != other._rank:
            return self._rank > other._rank
        return self.configuration < other.configuration


@dataclass(frozen=True, slots=True)
class SearchOutcome:
    """The result of a search.

    Parameters
    ----------
    best
        The best configuration found; ``None`` if none has secure envelopes.
    present
        The present configuration, radial or not; ``None`` if it is not secure.
    present_fault
        Why the present configuration is not secure.
    exact
        Whether all configurations were evaluated or proved to be worse.
    bound_w
        No configuration has a larger smallest uncapped limit.
    configurations
        Number of configurations; without the limit of operations if they were not enumerated.
    evaluated, refuted
        How many were allocated, and how many were proved to be worse without an allocation.
    rejected
        How many of those evaluated have no secure envelopes, by reason.
    """

    best: Assessment | None
    present: Assessment | None
    present_fault: str
    exact: bool
    bound_w: int
    configurations: float
    evaluated: int
    refuted: int
    rejected: dict[str, int]

    @property
    def gap_w(self) -> int:
        """The most by which the smallest uncapped limit could be larger."""
        return self.bound_w - (self.best.smallest_uncapped_w if self.best else 0)


@dataclass
class _Search:
    """The state of a search; no configuration is evaluated twice."""

    choices: Choices
    evaluate: Evaluate
    refuter: Refuter | None
    capacity_w: IntArray
    step: Callable[[int], None]
    evaluations: int
    known: dict[Configuration, Assessment | None] = field(default_factory=dict)
    reasons: Counter[str] = field(default_factory=Counter)
    best: Assessment | None = None

    def assess(self, configuration: Configuration) -> tuple[Assessment | None, str]:
        """Evaluate a configuration; return the reason if it has no secure envelopes."""
        try:
            limits_w = self.evaluate(configuration)
        except InsecureError as error:
            return None, f"{INSECURE}: {error}"
        except PowerFlowError as error:
            return None, f"{NO_SOLUTION}: {error}"
        except NetworkFaults as error:
            return None, f"{NO_NETWORK}: {error}"
        below = limits_w[limits_w < self.capacity_w]
        smallest_uncapped_w = (
            int(below.min()) if len(below) else int(self.capacity_w.max(initial=0))
        )
        operations = configuration.operations_from(self.choices.present)
        return Assessment(configuration, limits_w, smallest_uncapped_w, operations), ""

    def evaluate_once(self, configuration: Configuration) -> Assessment | None:
        """Evaluate a radial configuration, and remember it if it is the best so far."""
        if configuration not in self.known:
            found, why_not = self.assess(configuration)
            if found is None:
                self.reasons[why_not.partition(":")[0]] += 1
            elif found.better_than(self.best):
                self.best = found
            self.known[configuration] = found
            self.step(len(self.known))
        return self.known[configuration]

    def not_refuted(self, candidates: Sequence[Configuration]) -> list[Configuration]:
        """Return the candidates that are not proved to be worse than the best one."""
        best = self.best
        if best is None or not candidates:
            return list(candidates)
        if (best.limits_w >= self.capacity_w).all():
            present = self.choices.present
            left = [c for c in candidates if c.operations_from(present) <= best.operations]
            return [
                c
                for c in left
                if c.operations_from(present) < best.operations or c < best.configuration
            ]
        if self.refuter is None:
            return list(candidates)
        kept: list[Configuration] = []
        by_taps: dict[tuple[int, ...], list[Configuration]] = {}
        for each in candidates:
            by_taps.setdefault(each.taps, []).append(each)
        for taps, group in by_taps.items():
            closed = np.array([each.closed for each in group], dtype=bool)
            closed = closed.reshape(len(group), -1)
            worse = self.refuter.refuted(closed, taps, float(best.smallest_uncapped_w))
            kept += [each for each, is_worse in zip(group, worse, strict=True) if not is_worse]
        return kept

    @property
    def evaluations_left(self) -> int:
        """How many more may be evaluated."""
        return max(0, self.evaluations - len(self.known))

    def improve_from_each(self, starts: Sequence[Configuration]) -> None:
        """Improve each start that is radial and allowed, as long as evaluations are left."""
        graph = self.choices.graph
        radial = (each for each in starts if not graph.why_not_radial(each.closed))
        for start in [each for each in dict.fromkeys(radial) if self.choices.allowed(each)]:
            if self.evaluations_left:
                self.improve(start)

    def improve(self, start: Configuration) -> None:
        """Move to better configurations one or two steps away, until there are none."""
        at = self.evaluate_once(start)
        while self.evaluations_left:
            near = [c for c in self.choices.neighbours(start) if self.choices.allowed(c)]
            better = self._best_of(near, at)
            if better is None and self.refuter is not None:
                better = self._first_beyond(near, at)
            if better is None:
                return
            at, start = better, better.configuration

    def _best_of(
        self, candidates: Sequence[Configuration], than: Assessment | None
    ) -> Assessment | None:
        """Return the best candidate that is better than another, if there is one."""
        not_refuted = self.not_refuted([each for each in candidates if each not in self.known])
        best = None
        for each in not_refuted[: self.evaluations_left]:
            found = self.evaluate_once(each)
            if found is not None and found.better_than(than) and found.better_than(best):
                best = found
        return best

    def _first_beyond(
        self, near: Sequence[Configuration], than: Assessment | None
    ) -> Assessment | None:
        """Return a better configuration one step beyond those near; most are refuted."""
        beyond = (c for each in near for c in self.choices.neighbours(each))
        allowed = islice(filter(self.choices.allowed, beyond), _FARTHEST)
        candidates = list(dict.fromkeys(allowed))
        for k in range(0, len(candidates), _CHUNK):
            better = self._best_of(candidates[k : k + _CHUNK], than)
            if better is not None:
                return better
        return None


def best_configuration(
    choices: Choices,
    evaluate: Evaluate,
    capacity_w: IntArray,
    *,
    refuter: Refuter | None = None,
    relax: Callable[[], tuple[float, Configuration | None]] | None = None,
    exact_limit: int = 100_000,
    evaluations: int = 5_000,
    step: Callable[[int], None] = lambda _: None,
) -> SearchOutcome:
    """Return the best radial configuration and tap positions.

    Parameters
    ----------
    choices
        The configurations to choose from.
    evaluate
        Allocates on a configuration.
    capacity_w
        The upper bounds of the limits, in their order.
    refuter
        Saves evaluations where it can.
    relax
        Returns an upper bound on every smallest uncapped limit, and a configuration to start from.
    exact_limit
        Most configurations that are all examined.  More are searched by exchanges of branches and
        changes of taps, one or, with a refuter, two at a time, until none is better.
    evaluations
        Most allocations.
    step
        Called with the number of allocations so far.
    """
    search = _Search(choices, evaluate, refuter, capacity_w, step, evaluations)
    present, fault = search.assess(choices.present)
    few, listed = _enumerated(choices, exact_limit)
    count = float(len(few)) if listed else choices.count()
    highest_w, guess = int(capacity_w.max(initial=0)), None
    if not listed and count and relax is not None:
        proved_w, guess = relax()
        highest_w = int(min(highest_w, np.floor(proved_w)))
    search.improve_from_each([choices.present, *([guess] if guess else []), *few[:1]])
    exact = listed and _evaluate_all(search, few)
    evaluated = len(search.known)
    smallest_w = search.best.smallest_uncapped_w if search.best else 0
    if listed and not exact and relax is not None:
        highest_w = int(min(highest_w, np.floor(relax()[0])))
    return SearchOutcome(
        best=search.best,
        present=present,
        present_fault=fault,
        exact=exact,
        bound_w=smallest_w if exact else max(smallest_w, highest_w),
        configurations=count,
        evaluated=evaluated,
        refuted=len(few) - evaluated if exact else 0,
        rejected=dict(search.reasons),
    )


def _enumerated(choices: Choices, most: int) -> tuple[list[Configuration], bool]:
    """Return ``most + 1`` configurations or fewer, and whether these are all."""
    if choices.most_operations is None and choices.count() > most:
        return [], False
    few = list(islice(choices.all(), most + 1))
    return few, len(few) <= most


def _evaluate_all(search: _Search, few: list[Configuration]) -> bool:
    """Evaluate all that are not refuted; return whether the evaluations allowed were enough."""
    for k in range(0, len(few), _CHUNK):
        chunk = [each for each in few[k : k + _CHUNK] if each not in search.known]
        for each in search.not_refuted(chunk):
            if not search.evaluations_left:
                return False
            search.evaluate_once(each)
    return True
