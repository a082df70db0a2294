"""A client that hears everything."""

from __future__ import annotations

import asyncio
from typing import Any

LONG_S = 10.0


class Ear:
    """Keeps every message a client hears."""

    def __init__(self) -> None:
        self.heard: list[tuple[str, Any]] = []

    def __call__(self, topic: str, content: Any) -> None:
        self.heard.append((topic, content))

    def on(self, ending: str) -> list[Any]:
        return [content for topic, content in self.heard if topic.endswith(ending)]

    async def until(self, ending: str, count: int) -> list[Any]:
        async with asyncio.timeout(LONG_S):
            while len(self.on(ending)) < count:  # noqa: ASYNC110  # there is no event for it
                await asyncio.sleep(0.01)
        return self.on(ending)
