"""When an append returns, the server has said that the entries are on its disk."""

from __future__ import annotations

from typing import Any

import pytest

from exchange.vocabulary.commands import AdvanceTime
from gateway.errors import JournalUnavailableError, NotDurableError
from gateway.journal.redis_journal import RedisJournal
from gateway.ports import JournalEntry

ENTRIES = [JournalEntry(1, AdvanceTime(), ())]


class FakeRedis:
    """The part of the client that a journal uses; records calls in their order.

    ``synced`` is the server's answers to ``WAITAOF``: how many of its own files are synced.
    """

    def __init__(self, version: str, sync: str = "no", synced: list[int] | None = None) -> None:
        self.version, self.sync, self.synced = version, sync, synced or [1] * 100
        self.calls: list[str] = []

    def register_script(self, text: str) -> Any:
        name = "append" if "XADD" in text else "acquire" if "HINCRBY" in text else "other"

        async def run(keys: Any, args: Any) -> Any:
            self.calls.append(name)
            return [1, 0, 0]

        return run

    async def info(self, section: str) -> dict[str, Any]:
        sections: dict[str, dict[str, Any]] = {
            "persistence": {"aof_enabled": 1},
            "server": {"redis_version": self.version},
        }
        return sections[section]

    async def config_get(self, name: str) -> dict[str, str]:
        return {name: self.sync}

    async def execute_command(self, *words: Any) -> list[int]:
        self.calls.append(" ".join(str(word) for word in words))
        return [self.synced.pop(0), 0]

    async def hget(self, key: str, field: str) -> int:
        return 1

    async def aclose(self) -> None:
        self.calls.append("close")


def journal_on(redis: FakeRedis, monkeypatch: pytest.MonkeyPatch) -> RedisJournal:
    monkeypatch.setattr("gateway.journal.redis_journal.Redis.from_url", lambda *args, **more: redis)
    return RedisJournal("redis://nowhere", "area", retry_for_s=0.2)


@pytest.mark.parametrize("version", ["7.2.0", "7.2.11", "8.0.1", "10.0.0"])
async def test_newer_servers_are_asked_after_each_append(
    version: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    redis = FakeRedis(version)
    async with journal_on(redis, monkeypatch) as journal:
        await journal.append(ENTRIES, 0)
        assert redis.calls == ["acquire", "append", "WAITAOF 1 0 10000"]


async def test_an_append_is_repeated_until_it_is_on_the_disk(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    redis = FakeRedis("7.2.0", synced=[0, 1])
    async with journal_on(redis, monkeypatch) as journal:
        await journal.append(ENTRIES, 0)
        assert redis.calls[1:] == ["append", "WAITAOF 1 0 10000"] * 2
        assert journal.last_sequence == 1


async def test_what_stays_off_the_disk_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    redis = FakeRedis("7.2.0", synced=[0] * 1000)
    async with journal_on(redis, monkeypatch) as journal:
        with pytest.raises(JournalUnavailableError, match="was not synced"):
            await journal.append(ENTRIES, 0)
        assert journal.last_sequence == 0


async def test_older_servers_sync_before_they_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    redis = FakeRedis("7.0.15", sync="always")
    async with journal_on(redis, monkeypatch) as journal:
        await journal.append(ENTRIES, 0)
        assert redis.calls == ["acquire", "append"]


@pytest.mark.parametrize("sync", ["everysec", "no"])
async def test_older_servers_that_do_not_are_refused(
    sync: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(NotDurableError, match=f"'{sync}'"):
        async with journal_on(FakeRedis("7.0.15", sync=sync), monkeypatch):
            pass
