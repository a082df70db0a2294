"""Tests on asyncio's own event loop and on uvloop."""

from __future__ import annotations

import asyncio
import functools
import inspect
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
import uvloop

LOOPS = {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}


def on_each_loop(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    """Run a test once on each loop; its asynchronous fixtures would be on another one."""

    @functools.wraps(test)
    def run(loop: str, **given: Any) -> None:
        with asyncio.Runner(loop_factory=LOOPS[loop]) as runner:
            runner.run(test(**given))

    signature = inspect.signature(test)
    first = inspect.Parameter("loop", inspect.Parameter.POSITIONAL_OR_KEYWORD)
    made: Any = run
    made.__signature__ = signature.replace(parameters=[first, *signature.parameters.values()])
    del made.__wrapped__
    return pytest.mark.parametrize("loop", LOOPS)(run)
