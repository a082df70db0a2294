"""Cyclic garbage is collected among new objects only, so no pause grows with the market.

Python's collector looks at every object from time to time: with 20,000 resting orders that takes
some 0.3 s, in which the exchange answers no message.  The exchange's state has no cycles
(``tests/exchange/whole/test_no_cycles.py``), so what has once survived is left alone: reference
counts free it.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
from collections.abc import AsyncIterator

PART = 20_000
"""New objects after which they are looked at: that takes some milliseconds."""
_LOOK_EVERY_S = 0.05


@contextlib.asynccontextmanager
async def collected_in_parts() -> AsyncIterator[None]:
    """Collect garbage among new objects only while the body runs, in all of this process."""
    gc.disable()
    _collect()
    looking = asyncio.create_task(_look(), name="collect-garbage")
    try:
        yield
    finally:
        looking.cancel()
        gc.unfreeze()
        gc.enable()


async def _look() -> None:
    while True:
        await asyncio.sleep(_LOOK_EVERY_S)
        if gc.get_count()[0] > PART:
            _collect()


def _collect() -> None:
    gc.collect()
    gc.freeze()
