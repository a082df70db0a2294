"""A standby takes over from an exchange that is killed or stands still: real servers, signals."""

from __future__ import annotations

import asyncio
import json
import signal
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
from gateway_market import OPENING, market, order
from gateway_servers import Mosquitto, RedisServer
from installation import BEGIN, Program, write_scenarios
from listening import until
from memory_ports import MemoryJournal, MemoryTransport

from gateway.errors import CorruptJournalError
from gateway.journal.redis_journal import RedisJournal
from gateway.messages.topics import Topics
from gateway.ports import JournalEntry
from gateway.service.core import JournaledExchange, recover
from gateway.service.service import Service
from gateway.service.settings import ServiceSettings
from gateway.service.standby import Standby
from gateway.transport.mqtt_client import MqttSettings
from gateway.transport.participant_client import ParticipantClient

MADE = market("area")


async def entries(count: int) -> MemoryJournal:
    """Return a journal with an open session and some orders."""
    journal, transport = MemoryJournal(), MemoryTransport()
    service = Service(MADE, transport, journal, settings=ServiceSettings(stop_within_s=0.1))
    running = asyncio.create_task(service.run())
    await service.ready.wait()
    await service.request(OPENING)
    topic = MADE.topics.order("p0")
    messages = [order(f"a{k}", 0, "sell", 10, "0.0450") for k in range(count)]
    transport.deliver(*((topic, json.dumps(each).encode()) for each in messages))
    await until(lambda: len(transport.acknowledged) == count)
    service.stop()
    await running
    return journal


class Growing:
    """A journal that shows one entry more at each look, and forgets old ones when told."""

    def __init__(self, journal: MemoryJournal) -> None:
        self.journal = journal
        self.shown = 0
        self.first = 1

    async def read(self, after: int) -> Any:
        self.shown += 1
        async for entry in self.journal.read(after):
            if entry.sequence > self.shown:
                return
            if entry.sequence == after + 1 and after + 1 < self.first:
                raise CorruptJournalError(f"entry {after + 1} is missing")
            yield entry

    async def read_snapshot(self) -> Any:
        snapshot = self.journal.snapshot
        return snapshot if snapshot is not None and snapshot.sequence <= self.shown else None


async def test_a_standby_has_the_state_and_the_messages_of_the_journal() -> None:
    journal = await entries(12)
    journal.snapshot = None
    growing, standby = Growing(journal), Standby(MADE)
    for _ in range(journal.last_sequence):
        core = await standby.catch_up(growing, 0)
    recovered, messages = await recover(MADE, _unpublished(journal))
    assert core.exchange.digest() == recovered.exchange.digest()
    assert core.publisher.state() == recovered.publisher.state()
    assert standby.unpublished() == messages


def _unpublished(journal: MemoryJournal) -> MemoryJournal:
    copy = MemoryJournal()
    copy.lines = journal.lines
    return copy


async def test_a_standby_forgets_messages_that_are_published() -> None:
    journal = await entries(6)
    journal.snapshot = None
    standby = Standby(MADE)
    await standby.catch_up(journal, journal.last_sequence - 1)
    core = JournaledExchange(MADE)
    last: list[Any] = []
    async for entry in journal.read():
        assert isinstance(entry, JournalEntry)
        last = core.apply(entry)
    assert standby.unpublished() == last


async def test_a_standby_begins_anew_where_old_entries_are_in_the_archive() -> None:
    journal = await entries(6)
    growing, standby = Growing(journal), Standby(MADE)
    growing.shown = 2
    await standby.catch_up(growing, 0)
    growing.shown, growing.first = journal.last_sequence, journal.last_sequence + 1
    core = await standby.catch_up(growing, 0)
    assert core.sequence == journal.last_sequence
    assert core.exchange.digest() == (await recover(MADE, journal))[0].exchange.digest()


def wait_for(program: Program, name: str, within_s: float = 60.0) -> None:
    deadline = time.monotonic() + within_s
    while not program.areas(name):
        assert time.monotonic() < deadline, f"{name} is never true: {program.health()}"
        time.sleep(0.02)


@contextmanager
def programs(tmp_path: Path) -> Iterator[tuple[Program, Program, Mosquitto, RedisServer]]:
    scenarios = write_scenarios(tmp_path, ["north"])
    with Mosquitto(tmp_path) as broker, RedisServer(tmp_path) as redis, ExitStack() as stack:
        environment = {
            "DOE_MQTT_URL": f"mqtt://127.0.0.1:{broker.port}",
            "DOE_REDIS_URL": redis.url,
        }
        first = Program(scenarios, tmp_path / "one", environment)
        stack.callback(first.end)
        wait_for(first, "serves")
        second = Program(scenarios, tmp_path / "two", environment)
        stack.callback(second.end)
        wait_for(second, "standby_at_entry")
        yield first, second, broker, redis


def sell(number: int) -> dict[str, Any]:
    return order(f"a{number}", 0, "sell", 10, "0.0100", interval=str(BEGIN))


@pytest.mark.slow
async def test_a_standby_takes_over_after_a_kill_and_after_a_stop(tmp_path: Path) -> None:
    with programs(tmp_path) as (first, second, broker, redis):
        settings = MqttSettings("127.0.0.1", broker.port, "bakery")
        async with ParticipantClient(settings, Topics("north"), "bakery") as bakery:
            numbers = []
            for k in range(10):
                answer = await bakery.ask(sell(k), again_after_s=0.3)
                numbers.append(answer["order_id"])
            before = bakery.missed  # reports of the time before it listened
            first.process.send_signal(signal.SIGSTOP)
            for k in range(10, 20):
                answer = await bakery.ask(sell(k), again_after_s=0.3)
                numbers.append(answer["order_id"])
            assert second.health()["serves"]
            first.process.send_signal(signal.SIGCONT)
            await asyncio.to_thread(wait_for, first, "standby_at_entry")
            for k in range(20, 30):
                answer = await bakery.ask(sell(k), again_after_s=0.3)
                numbers.append(answer["order_id"])
            assert second.health()["serves"], "the one that was stopped is fenced"
            second.process.kill()
            for k in range(30, 40):
                answer = await bakery.ask(sell(k), again_after_s=0.3)
                numbers.append(answer["order_id"])
            assert first.health()["serves"]
            assert numbers == list(range(1, 41)), "none lost, none twice"
            assert bakery.missed == before, "no report is lost"
        first.process.send_signal(signal.SIGTERM)
        assert first.process.wait(20) == 0
        async with RedisJournal(redis.url, "north", read_only=True) as journal:
            count = len([each async for each in journal.read()])
    assert count > 40
