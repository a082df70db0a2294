"""Processes announce themselves in Redis, and each sees the others and all areas at one look."""

from __future__ import annotations

from contextlib import AsyncExitStack

import pytest
from gateway_servers import RedisServer
from journal_entries import entries, stand_still
from redis.asyncio import Redis

from gateway.errors import JournalError, JournalUnavailableError
from gateway.journal.members import AreaSeen, InstallationSeen, MemberBoard
from gateway.journal.redis_journal import RedisJournal

FREE = AreaSeen(None, 0, 0)


async def test_a_look_shows_who_lives_and_every_area(redis_server: RedisServer, area: str) -> None:
    areas = [f"{area}-b", f"{area}-a"]
    url = redis_server.url
    async with (
        MemberBoard(url, "one", areas, 60.0) as one,
        MemberBoard(url, "two", areas[::-1], 60.0) as two,
        MemberBoard(url, "stranger", areas[:1], 60.0) as stranger,
    ):
        assert await one.look() == InstallationSeen({}, dict.fromkeys(areas, FREE))
        for each, word in ((one, "22"), (two, "0 2"), (stranger, "2")):
            await each.announce(word)
        assert (await two.look()).members == {"one": "22", "two": "0 2"}, "of the same list"
        async with RedisJournal(url, areas[0], owner="one") as journal:
            await journal.append(entries(1, 3), 0)
            await journal.renew(2)
            seen = await two.look()
            assert seen.areas == {areas[0]: AreaSeen("one", 3, 2), areas[1]: FREE}
        assert (await two.look()).areas[areas[0]] == AreaSeen(None, 3, 2)
        await one.leave()
        assert (await two.look()).members == {"two": "0 2"}


async def test_who_says_nothing_any_more_is_forgotten_before_its_leases_end(
    redis_server: RedisServer, area: str
) -> None:
    url = redis_server.url
    async with AsyncExitStack() as stack:
        dead = await stack.enter_async_context(MemberBoard(url, "dead", [area], 1.0))
        alive = await stack.enter_async_context(MemberBoard(url, "alive", [area], 60.0))
        journal = await stack.enter_async_context(
            RedisJournal(url, area, owner="dead", lease_s=1.0)
        )
        await alive.announce("2")
        stand_still(journal)
        await dead.announce("2")
        await journal.renew(0)
        was_owned = []
        redis = await stack.enter_async_context(Redis.from_url(url))
        (key,) = await redis.keys(f"*{area}*members*")
        while "dead" in (seen := await alive.look()).members:
            was_owned.append(seen.areas[area].owner == "dead")
        assert all(was_owned)
        assert set(await redis.hkeys(key)) == {b"dead", b"alive"}
        await alive.announce("2")
        assert await redis.hkeys(key) == [b"alive"], "nothing of it is kept"
        assert 0 < await redis.ttl(key) <= 60, "nor of an installation that has ended"


async def test_errors_are_those_of_a_journal(redis_server: RedisServer, area: str) -> None:
    async with MemberBoard("redis://127.0.0.1:1", "one", [area], 1.0) as board:
        for asked in (board.look, board.leave, lambda: board.announce("2")):
            with pytest.raises(JournalUnavailableError):
                await asked()
    async with (
        Redis.from_url(redis_server.url) as redis,
        MemberBoard(redis_server.url, "one", [area], 1.0) as board,
    ):
        await board.announce("2")
        (key,) = await redis.keys(f"*{area}*members*")
        await redis.delete(key)
        await redis.set(key, "of another kind")
        with pytest.raises(JournalError, match="refused"):
            await board.look()


async def test_a_lease_that_is_held_is_not_waited_for(redis_server: RedisServer, area: str) -> None:
    async with RedisJournal(redis_server.url, area, owner="one", lease_s=60.0):
        with pytest.raises(JournalError, match="another writer holds the lease"):
            async with RedisJournal(redis_server.url, area, lease_wait_s=0.0):
                pass
