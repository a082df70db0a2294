"""A client that hears everything."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

LONG_S = 10.0


async def until(
    condition: Callable[[], bool], within_s: float | None = LONG_S, every_s: float = 0.01
) -> None:
    """Wait for what another program or task does; within ``None`` for as long as it takes."""
    async with asyncio.timeout(within_s):
        while not condition():  # noqa: ASYNC110  # there is no event that it would set
            await asyncio.sleep(every_s)


class Ear:
    """Keeps every message a client hears."""

    def __init__(self) -> None:
        self.heard: list[tuple[str, Any]] = []

    def __call__(self, topic: str, content: Any) -> None:
        self.heard.append((topic, content))

    def on(self, ending: str) -> list[Any]:
        return [content for topic, content in self.heard if topic.endswith(ending)]

    async def until(self, ending: str, count: int) -> list[Any]:
        await until(lambda: len(self.on(ending)) >= count)
        return self.on(ending)
