"""How many examples a property is tried on: fewer in ``make test-fast``, all in ``test-many``."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TypeVar

T = TypeVar("T")

FAST = "DOE_FAST_TESTS"
"""Set in the environment where slow tests are left out; ``conftest.py`` does it."""

MANY = "DOE_MANY_TESTS"
"""Set in the environment by ``make test-many``."""

SEED = "DOE_SEED"
"""Set in the environment from ``--hypothesis-seed``, which ``make test`` takes from the commit."""

_PART = 4
_LEAST = 5


def examples(count: int) -> int:
    """Return how many examples to draw of a property that takes long.

    A quarter of them, but five at least, where slow tests are left out.
    """
    return max(count // _PART, min(count, _LEAST)) if os.environ.get(FAST) else count


def some(every: Sequence[T], step: int = 5) -> list[T]:
    """Return every ``step``-th of a long list of cases; all of them in ``make test-many``.

    Which of a range of seeds are taken follows from the commit, so that runs differ; of other
    cases, whose times differ much, always the same.
    """
    if os.environ.get(MANY):
        return list(every)
    first = int(os.environ.get(SEED, "0")) if isinstance(every, range) else 0
    return list(every[first % step :: step])


def much(count: int, step: int = 5) -> int:
    """Return a part of a large number of examples; all of them in ``make test-many``."""
    return count if os.environ.get(MANY) else max(count // step, 1)
