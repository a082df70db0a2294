"""How many examples a property is tried on: fewer of them in ``make test-fast``."""

from __future__ import annotations

import os

FAST = "DOE_FAST_TESTS"
"""Set in the environment where slow tests are left out; ``conftest.py`` does it."""

_PART = 4
_LEAST = 5


def examples(count: int) -> int:
    """Return how many examples to draw of a property that takes long.

    A quarter of them, but five at least, where slow tests are left out.
    """
    return max(count // _PART, min(count, _LEAST)) if os.environ.get(FAST) else count
