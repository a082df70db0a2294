"""The loop on ports in memory: what is journaled, published and acknowledged, and in what order."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import Any
from unittest.mock import AsyncMock

import pytest
from gateway_market import OPENING, START, break_poisonous_orders, market, order
from listening import until
from memory_ports import MemoryJournal, MemoryTransport
from structure import differences

from exchange.vocabulary.commands import CloseGate
from gateway.errors import (
    GatewayError,
    JournalError,
    JournalUnavailableError,
    NotDurableError,
    StaleWriterError,
)
from gateway.messages.topics import interval_level as level
from gateway.ports import Incoming
from gateway.publishing.envelopes import HOLDS
from gateway.service.core import ExchangeSetup, recover
from gateway.service.service import Service
from gateway.service.settings import ServiceSettings
from security_check.model.envelope import Direction

QUARTER = timedelta(minutes=15)
LATER = START + QUARTER
MADE = market("area")
EVERY = re.compile("")
NOTHING = re.compile(r"(?!)")
QUIET = ServiceSettings(
    stop_within_s=0.05,
    tick_s=0.01,
    batch_s=60.0,
    depth_changes_s=1e6,
    depth_s=1e6,
    heartbeat_s=1e6,
    probe_s=1e6,
)


def message(client_id: str, point: int, side: str = "sell", **more: Any) -> tuple[str, bytes]:
    terms = order(client_id, point, side, 1000, "0.0450", **more)
    return MADE.topics.order(f"p{point}"), json.dumps(terms).encode()


@contextlib.asynccontextmanager
async def running(
    journal: MemoryJournal,
    transport: MemoryTransport,
    settings: ServiceSettings = QUIET,
    made: ExchangeSetup = MADE,
    **more: Any,
) -> AsyncIterator[Service]:
    service = Service(made, transport, journal, settings=settings, **more)
    task = asyncio.create_task(service.run())
    await service.ready.wait()
    if not service.core.exchange.state.sessions:
        await service.request(OPENING)
    try:
        yield service
    finally:
        service.stop()
        await task


def reports(transport: MemoryTransport, participant: str) -> list[Any]:
    """Return the answers to a participant, without the positions of a new session."""
    every = [json.loads(each) for each in transport.payloads(MADE.topics.report(participant))]
    return [each for each in every if each["type"] != "position"]


def numbers(messages: list[Incoming]) -> list[int]:
    return [each.message_id for each in messages]


@pytest.mark.parametrize("place", range(4))
async def test_after_a_bug_memory_is_what_the_journal_says(
    place: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Orders decided before a bug in the same batch stay in force, and so do those after it."""
    journal, transport = MemoryJournal(), MemoryTransport()
    break_poisonous_orders(monkeypatch)
    async with running(journal, transport) as service:
        batch = [message("a", 0), message("b", 1), message("c", 2, "buy")]
        batch.insert(place, message("poison", 3))
        received = transport.deliver(*batch)
        await until(lambda: len(transport.acknowledged) == len(received))
        assert journal.batches[-1] == len(batch), "one batch, one write"
        state = service.core.exchange.state
        replayed, _ = await recover(MADE, journal)
        found = differences(state, replayed.exchange.state, EVERY, re.compile("_last_order_id"))
        assert found == []
        assert sorted(o.client_order_id for o in state.orders.values()) in (["b"], ["a"])
        assert service.core.sequence == replayed.sequence == journal.last_sequence
        assert service.core.publisher.state() == replayed.publisher.state()
        (said,) = reports(transport, "p3")
        assert (said["type"], said["reason"]) == ("refused", "malformed")
        service.core.exchange.check_invariants()


async def test_no_snapshot_while_reports_are_unconfirmed() -> None:
    """A snapshot then would say that the reports before it are out, and they would be lost."""
    journal, transport = MemoryJournal(), MemoryTransport()
    settings = ServiceSettings(stop_within_s=0.02, tick_s=0.01, snapshot_entries=1)
    async with running(journal, transport, settings):
        await until(lambda: journal.snapshot is not None)
    before = journal.snapshot
    assert before is not None
    assert before.sequence == 1
    deaf = MemoryTransport(confirming=False)
    async with running(journal, deaf, settings):
        deaf.deliver(message("a", 0))
        await until(lambda: len(deaf.acknowledged) == 1)
        await asyncio.sleep(0.1)
        assert journal.snapshot == before
    assert journal.snapshot == before, "a graceful stop does not write it either"
    assert journal.published_sequence < journal.last_sequence
    after = MemoryTransport()
    async with running(journal, after, settings):
        assert [each["type"] for each in reports(after, "p0")] == ["accepted"]
        await until(lambda: journal.snapshot != before)
    assert journal.snapshot is not None
    assert journal.snapshot.sequence == journal.last_sequence


async def test_snapshots_are_written_once_reports_are_confirmed() -> None:
    journal, transport = MemoryJournal(), MemoryTransport(confirming=False)
    settings = ServiceSettings(stop_within_s=0.02, tick_s=0.01, snapshot_entries=1)
    async with running(journal, transport, settings):
        transport.deliver(message("a", 0))
        await until(lambda: len(transport.acknowledged) == 1)
        assert journal.snapshot is None
        transport.confirm()
        await until(lambda: journal.snapshot is not None)


async def test_too_many_unconfirmed_batches_stop_the_loop() -> None:
    """What the broker does not take piles up nowhere: messages stay with it unacknowledged."""
    journal, transport = MemoryJournal(), MemoryTransport()
    settings = ServiceSettings(
        stop_within_s=0.02,
        tick_s=0.01,
        unconfirmed_batches=3,
        depth_changes_s=1e6,
        depth_s=1e6,
        heartbeat_s=1e6,
    )
    async with running(journal, transport, settings):
        await until(lambda: not transport.waiting)
        transport.confirming = False
        for k in range(10):
            transport.deliver(message(f"a{k}", 0))
            await asyncio.sleep(0.02)
        await asyncio.sleep(0.2)
        assert len(transport.waiting) <= 3
        assert len(transport.acknowledged) <= 3
        transport.confirm()
        await until(lambda: len(transport.acknowledged) == 10)


async def test_nothing_is_published_or_acknowledged_before_it_is_durable(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    journal, transport = MemoryJournal(), MemoryTransport()
    seen: list[tuple[int, int]] = []
    append = journal.append

    async def slow(entries: Any, published: int) -> None:
        await asyncio.sleep(0.05)
        seen.append((len(reports(transport, "p0")), len(transport.acknowledged)))
        await append(entries, published)

    def acknowledged(count: int) -> bool:
        return len(transport.acknowledged) == count

    monkeypatch.setattr(journal, "append", slow)
    async with running(journal, transport):
        for k in range(3):
            transport.deliver(message(f"a{k}", 0))
            await until(partial(acknowledged, k + 1))
            assert len(reports(transport, "p0")) == k + 1
    assert seen[1:4] == [(0, 0), (1, 1), (2, 2)]


async def test_a_restart_publishes_everything_retained_again() -> None:
    """A broker may have lost its memory meanwhile."""
    journal, first, second = MemoryJournal(), MemoryTransport(), MemoryTransport()
    async with running(journal, first):
        first.deliver(message("a", 0), message("b", 1, "buy"))
        await until(lambda: len(first.acknowledged) == 2)
        await asyncio.sleep(0.05)
    kept = {each.topic: each.payload for each in first.published if each.retain}
    async with running(journal, second):
        again = {each.topic: each.payload for each in second.published if each.retain}
    assert again.keys() >= kept.keys()
    envelopes = [topic for topic in kept if "/envelope/" in topic]
    assert len(envelopes) == 6
    for topic in envelopes:
        assert without_clock(again[topic]) == without_clock(kept[topic]), topic


def without_clock(payload: bytes) -> Any:
    """Return a message without what it says about the moment of its publication."""
    content = json.loads(payload) if payload else {}
    names = ("confirmed_at", "holds_until", "time", "event")
    return {name: value for name, value in content.items() if name not in names}


async def test_each_new_connection_gets_everything_retained() -> None:
    """A broker that was started anew has nothing, or what was retained some time ago."""
    journal, transport = MemoryJournal(), MemoryTransport()
    every = replace(QUIET, depth_s=0.01)
    async with running(journal, transport, every) as service:
        transport.deliver(message("a", 0), message("b", 1, "buy"))
        await until(lambda: any("/price/" in each.topic for each in transport.published))
        await service.request(CloseGate(START))
        await service.request(replace(OPENING, start=LATER, end=LATER + QUARTER))
        transport.deliver(message("c", 2, interval=LATER.isoformat()))
        await until(lambda: any(f"/price/{level(LATER)}" in m.topic for m in transport.published))
        await asyncio.sleep(0.05)
        kept = {m.topic: m.payload for m in transport.published if m.retain}
        assert {t for t, payload in kept.items() if not payload} >= {
            MADE.topics.book(Direction.INJECTION, START),
            MADE.topics.price(START),
        }
        transport.published.clear()
        transport.connections += 1
        await until(lambda: len(transport.published) >= len(kept))
        again = {m.topic: m.payload for m in transport.published if m.retain}
    assert again.keys() == kept.keys()
    for topic in kept:
        assert without_clock(again[topic]) == without_clock(kept[topic]), topic


async def test_envelopes_that_are_needed_soon_are_confirmed_in_turn() -> None:
    """A device sees how old its envelope is, and until when it may rely on it."""
    journal, transport = MemoryJournal(), MemoryTransport()
    now = [OPENING.gate_closes_at - timedelta(hours=3)]
    settings = replace(QUIET, confirm_s=0.3)

    def published() -> list[str]:
        return [each.topic for each in transport.published if "/envelope/" in each.topic]

    async with running(journal, transport, settings, clock=lambda: now[0]) as service:
        later = replace(OPENING, start=LATER, end=LATER + QUARTER, gate_closes_at=LATER)
        await service.request(later)
        now[0] = START - HOLDS - timedelta(seconds=1)
        topic = MADE.topics.envelope("load:5", START)
        await until(lambda: said(transport, topic)[-1]["final"])
        transport.published.clear()
        await asyncio.sleep(0.5)
        assert published() == []
        now[0] = START - HOLDS
        await until(lambda: len(published()) >= 18)
        found = published()
    assert len(set(found)) == 6
    assert found == [found[k % 6] for k in range(len(found))], "all of them in turn"
    for topic in set(found):
        for each in said(transport, topic):
            assert each["start"] == "2096-06-01T12:00:00Z"
            assert each["version"] == 3, "opened, the later interval too, and final"
            assert each["issued_at"] == "2096-06-01T11:54:59Z"
            assert each["confirmed_at"] == "2096-06-01T11:55:00Z"
            assert each["holds_until"] == "2096-06-01T12:00:00Z"


async def test_an_interval_that_is_over_is_removed_and_not_confirmed() -> None:
    """Its retained messages go with the first entry after its end, and at each new connection."""
    journal, transport = MemoryJournal(), MemoryTransport()
    now = [OPENING.gate_closes_at - timedelta(hours=3)]
    settings = replace(QUIET, confirm_s=0.1)
    async with running(journal, transport, settings, clock=lambda: now[0]) as service:
        await asyncio.sleep(0.05)
        await service.request(CloseGate(START))
        now[0] = OPENING.end
        transport.published.clear()
        await asyncio.sleep(0.3)
        topics = {MADE.topics.envelope(f"load:{k}", START) for k in range(6)}
        assert not topics & {each.topic for each in transport.published}
        await service.request(
            replace(OPENING, start=LATER, end=LATER + QUARTER, gate_closes_at=LATER + QUARTER)
        )
        await until(lambda: all(transport.payloads(topic) == [b""] for topic in topics))
        transport.connections += 1
        await until(lambda: all(transport.payloads(topic) == [b"", b""] for topic in topics))


async def test_everything_retained_goes_out_in_parts() -> None:
    """What runs first, the next part once the broker has the one before, each as it is then."""
    made = market("area", 300)
    journal, transport = MemoryJournal(), MemoryTransport()
    async with running(journal, transport, made=made) as service:
        starts = [START + k * QUARTER for k in range(8)]
        for start in reversed(starts[1:]):
            await service.request(replace(OPENING, start=start, end=start + QUARTER))
        await until(lambda: len(service._outbox) == 0)
        transport.published.clear()
        transport.confirming = False
        transport.connections += 1
        await until(lambda: made.topics.session in {m.topic for m in transport.published})
        await asyncio.sleep(0.1)
        first = [each.topic for each in transport.published if "/envelope/" in each.topic]
        assert first == [
            made.topics.envelope(f"load:{k % 300}", starts[k // 300]) for k in range(1000)
        ]
        late = made.topics.envelope("load:0", starts[-1])
        last = starts[-1].isoformat()
        transport.deliver(message("a", 0, interval=last), message("b", 1, "buy", interval=last))
        await until(lambda: len(transport.payloads(late)) == 1)
        transport.confirm()
        await until(lambda: len(transport.payloads(late)) == 2)
        versions = [json.loads(each)["version"] for each in transport.payloads(late)]
        assert versions == [9, 9], "published again as it is now"
        topics = [each.topic for each in transport.published if "/envelope/" in each.topic]
        assert len(set(topics)) == 8 * 300


def said(transport: MemoryTransport, topic: str) -> list[Any]:
    return [json.loads(payload) for payload in transport.payloads(topic)]


async def test_the_exchange_is_offline_at_every_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """After a clean end there is no last will, and a reader would take the market for open."""

    async def ended_by(error: Exception | None) -> list[str]:
        journal, transport = MemoryJournal(), MemoryTransport()
        with contextlib.suppress(GatewayError):
            async with running(journal, transport) as service:
                if error is not None:
                    fails = AsyncMock(side_effect=error)
                    monkeypatch.setattr(journal, "append", fails)
                    with contextlib.suppress(GatewayError):
                        await service.request(CloseGate(START))
        return [each["status"] for each in said(transport, MADE.topics.session)]

    statuses = await ended_by(None)
    assert (set(statuses[:-1]), statuses[-1]) == ({"online"}, "offline")
    for error in (
        JournalUnavailableError("gone"),
        JournalError("OOM command not allowed"),
        NotDurableError("appendonly is off"),
    ):
        assert (await ended_by(error))[-1] == "offline"
    # The writer that has taken over has said already that the exchange is online.
    assert (await ended_by(StaleWriterError("another writer")))[-1] == "online"


async def test_a_cancelled_service_is_offline_too() -> None:
    journal, transport = MemoryJournal(), MemoryTransport()
    service = Service(MADE, transport, journal, settings=QUIET)
    task = asyncio.create_task(service.run())
    await service.ready.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert said(transport, MADE.topics.session)[-1]["status"] == "offline"


async def test_batches_end_at_their_largest_number_of_messages() -> None:
    journal, transport = MemoryJournal(), MemoryTransport()
    settings = ServiceSettings(stop_within_s=0.05, tick_s=0.01, batch_messages=4, batch_s=60.0)
    async with running(journal, transport, settings):
        opened = len(journal.batches)
        transport.deliver(*(message(f"a{k}", 0) for k in range(10)))
        await until(lambda: len(transport.acknowledged) == 10)
    assert journal.batches[opened:] == [4, 4, 2]
    assert numbers(transport.acknowledged) == list(range(1, 11))


async def test_each_sender_has_a_rate_of_its_own() -> None:
    """A flood of one participant costs no other one its messages."""
    journal, transport = MemoryJournal(), MemoryTransport()
    settings = ServiceSettings(stop_within_s=0.05, tick_s=0.01, messages_per_second=1e-6, burst=2)
    async with running(journal, transport, settings):
        transport.deliver(*(message(f"a{k}", 0) for k in range(5)), message("b", 1, "sell"))
        await until(lambda: len(transport.acknowledged) == 6)
        await until(lambda: len(reports(transport, "p0")) == 3)
    answers = [each["type"] for each in reports(transport, "p0")]
    assert sorted(answers) == ["accepted", "accepted", "refused"]
    assert [each["type"] for each in reports(transport, "p1")] == ["accepted"]
