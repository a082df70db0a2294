"""Messages for those who wait for them, one after the other."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from typing import Generic, Self, TypeVar
from weakref import WeakSet

from gateway.errors import GatewayError

_Item = TypeVar("_Item")
MOST_WAITING = 10_000
"""Messages that may wait in a feed."""


class FeedOverflowError(GatewayError):
    """More messages came than were read, so some are lost."""


class Feed(AsyncIterator[_Item], Generic[_Item]):
    """An asynchronous iterator over everything that comes from its making on.

    It ends with its client.  Who reads too slowly gets a :class:`FeedOverflowError` instead of a
    gap.
    """

    def __init__(self) -> None:
        self._waiting: deque[_Item] = deque()
        self._arrived = asyncio.Event()
        self._overflown = self._closed = False

    def __aiter__(self) -> Self:
        """Return the feed itself."""
        return self

    async def __anext__(self) -> _Item:
        """Wait for the next message."""
        while not self._waiting:
            if self._closed:
                raise StopAsyncIteration
            if self._overflown:
                self._overflown = False
                raise FeedOverflowError(f"more than {MOST_WAITING:,} messages waited to be read")
            self._arrived.clear()
            await self._arrived.wait()
        return self._waiting.popleft()

    def put(self, item: _Item) -> None:
        """Add a message."""
        if len(self._waiting) >= MOST_WAITING:
            self._waiting.clear()
            self._overflown = True
        if not self._overflown:
            self._waiting.append(item)
        self._arrived.set()

    def close(self) -> None:
        """Let the feed end after what waits."""
        self._closed = True
        self._arrived.set()


class Feeds(Generic[_Item]):
    """All feeds of one kind; one that its caller holds no more is forgotten."""

    def __init__(self) -> None:
        self._feeds: WeakSet[Feed[_Item]] = WeakSet()

    def new(self) -> Feed[_Item]:
        """Return a feed of what comes from now on."""
        feed: Feed[_Item] = Feed()
        self._feeds.add(feed)
        return feed

    def put(self, item: _Item) -> None:
        """Give a message to all feeds."""
        for feed in tuple(self._feeds):
            feed.put(item)

    def close(self) -> None:
        """Let all feeds end."""
        for feed in tuple(self._feeds):
            feed.close()
