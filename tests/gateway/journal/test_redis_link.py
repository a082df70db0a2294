"""Attempts that get no answer are repeated: at first soon, never more than a second apart."""

from __future__ import annotations

import asyncio

import pytest
from redis.exceptions import BusyLoadingError, ResponseError

from gateway.errors import JournalError, JournalUnavailableError
from gateway.journal.redis_link import retrying


class Clock:
    """The time of a loop in which only pauses take time."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.pauses: list[float] = []
        loop = asyncio.get_running_loop()
        monkeypatch.setattr(loop, "time", lambda: sum(self.pauses))
        monkeypatch.setattr("gateway.journal.redis_link.asyncio.sleep", self._sleep)

    async def _sleep(self, pause: float) -> None:
        self.pauses.append(pause)


async def test_pauses_double_up_to_a_second(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, attempts = Clock(monkeypatch), 0

    async def attempt() -> str:
        nonlocal attempts
        attempts += 1
        if attempts < 9:
            raise BusyLoadingError("it reads its files")
        return "an answer"

    assert await retrying("redis://one", attempt, 30.0) == "an answer"
    assert clock.pauses == [0.05, 0.1, 0.2, 0.4, 0.8, 1.0, 1.0, 1.0]


async def test_attempts_end_when_the_time_is_up(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch)

    async def attempt() -> None:
        raise ConnectionRefusedError("refused")

    with pytest.raises(JournalUnavailableError, match=r"redis://one has not answered for 2.5 s"):
        await retrying("redis://one", attempt, 2.5)
    assert sum(clock.pauses) == pytest.approx(1.55)  # another second would be too late


async def test_a_refusal_is_not_repeated(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch)

    async def attempt() -> None:
        raise ResponseError("unknown command")

    with pytest.raises(JournalError, match="refused: unknown command"):
        await retrying("redis://one", attempt, 30.0)
    assert clock.pauses == []
