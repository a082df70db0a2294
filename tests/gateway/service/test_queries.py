"""Queries in the loop: answered from what is durable, never journaled, within a rate."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sys
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import gateway_market
import pytest
from gateway_market import GATE, OPENING, client, market, order, serving
from gateway_servers import MakeSettings, Mosquitto, RedisServer
from listening import Ear, until
from memory_ports import MemoryJournal, MemoryTransport
from queried_mirror import ORDER_KEYS, Mirror

from exchange.vocabulary.formatting import format_time
from gateway.errors import GatewayError, JournalUnavailableError
from gateway.journal.redis_journal import RedisJournal
from gateway.messages.topics import Topics
from gateway.ports import Incoming, Outgoing
from gateway.publishing import answers
from gateway.service.core import JournaledExchange, recover
from gateway.service.periodic import PeriodicMessages
from gateway.service.service import Service
from gateway.service.settings import ServiceSettings
from gateway.transport.mqtt import MqttTransport

MADE = market("area")
HOUR = timedelta(hours=1)
ROOT = Path(__file__).parents[3]
QUIET = ServiceSettings(
    stop_within_s=0.05, tick_s=0.01, batch_s=60.0, depth_s=1e6, heartbeat_s=1e6, probe_s=1e6
)


def query(
    sender: str, about: str = "orders", query_id: str = "q", **more: Any
) -> tuple[str, bytes]:
    content = {"type": "query", "query_id": query_id, "about": about, **more}
    return MADE.topics.query(sender), json.dumps(content).encode()


def sale(client_id: str, point: int = 0, **more: Any) -> tuple[str, bytes]:
    terms = order(client_id, point, "sell", 1000, "0.0450", **more)
    return MADE.topics.order(f"p{point}"), json.dumps(terms).encode()


@contextlib.asynccontextmanager
async def running(
    journal: MemoryJournal,
    transport: MemoryTransport,
    settings: ServiceSettings = QUIET,
    **more: Any,
) -> AsyncIterator[Service]:
    service = Service(MADE, transport, journal, settings=settings, **more)
    task = asyncio.create_task(service.run())
    await service.ready.wait()
    if not service.core.exchange.state.sessions:
        await service.request(OPENING)
    try:
        yield service
    finally:
        service.stop()
        await task


async def handled(transport: MemoryTransport, received: list[Incoming]) -> None:
    """Wait until messages are acknowledged, and no others."""
    await until(lambda: len(transport.acknowledged) == len(received))


def answered(transport: MemoryTransport, sender: str) -> list[Any]:
    return [json.loads(each) for each in transport.payloads(MADE.topics.answer(sender))]


def kinds(transport: MemoryTransport, sender: str) -> list[str]:
    reports = (json.loads(each) for each in transport.payloads(MADE.topics.report(sender)))
    return [each["type"] for each in reports if each["type"] != "position"]


async def test_an_answer_shows_only_what_is_durable(monkeypatch: pytest.MonkeyPatch) -> None:
    """An order and a query about it come in one batch: the answer waits for the write."""
    journal, transport = MemoryJournal(), MemoryTransport()
    append, writing, go_on = journal.append, asyncio.Event(), asyncio.Event()

    async def slow(entries: Any, published: int) -> None:
        writing.set()
        await go_on.wait()
        await append(entries, published)

    async with running(journal, transport) as service:
        monkeypatch.setattr(journal, "append", slow)
        received = transport.deliver(sale("a"), query("p0"), sale("b"), query("p1", "session"))
        await writing.wait()
        await asyncio.sleep(0.05)
        too_early = answered(transport, "p0") + answered(transport, "p1") + transport.acknowledged
        go_on.set()
        assert too_early == []
        await handled(transport, received)
        (mine,) = answered(transport, "p0")
        # Senders take turns, and the messages of one are handled as they came.
        assert [each["client_order_id"] for each in mine["entries"]] == ["a"]
        assert mine["event"] <= service.core.exchange.state.sequence
        place = [each.topic for each in transport.published]
        assert place.index(MADE.topics.report("p0")) < place.index(MADE.topics.answer("p0"))
        newest = [json.loads(m) for m in transport.payloads(MADE.topics.report("p0"))]
        before = [each for each in newest if each["sequence"] <= mine["report_sequence"]]
        assert before[-1]["client_order_id"] == "a"
        assert len(answered(transport, "p1")) == 1


async def test_what_could_not_be_written_is_never_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    journal, transport = MemoryJournal(), MemoryTransport()

    async def broken(entries: Any, published: int) -> None:
        raise JournalUnavailableError("gone")

    with contextlib.suppress(GatewayError):
        async with running(journal, transport):
            monkeypatch.setattr(journal, "append", broken)
            transport.deliver(sale("a"), query("p0"))
            await asyncio.sleep(0.1)
    assert answered(transport, "p0") == []
    assert transport.acknowledged == []


async def test_queries_are_not_journaled_and_change_nothing() -> None:
    with_, without = (MemoryJournal(), MemoryTransport()), (MemoryJournal(), MemoryTransport())
    digests = []
    for (journal, transport), asks in ((with_, True), (without, False)):
        async with running(journal, transport, clock=lambda: GATE - HOUR) as service:
            for k in range(4):
                sent = [sale(f"a{k}", k)]
                if asks:
                    every = ("orders", "positions", "reports", "statement", "session", "controls")
                    sent += [query(f"p{k}", about) for about in every]
                    sent += [query("operator", "controls"), query("mallory"), query("p0", "?")]
                transport.acknowledged.clear()
                await handled(transport, transport.deliver(*sent))
            digests.append(service.core.exchange.digest())
            assert journal.batches == [1] * 5
    assert digests[0] == digests[1]
    assert [json.loads(line)["command"] for line in with_[0].lines] == [
        json.loads(line)["command"] for line in without[0].lines
    ]
    assert len(answered(with_[1], "operator")) == 4
    assert {each["refused"] for each in answered(with_[1], "mallory")} == {"unauthorised"}


async def test_a_flood_of_queries_gets_its_senders_rate() -> None:
    """Queries and orders share one rate; what is beyond it is refused unread, with one report."""
    journal, transport = MemoryJournal(), MemoryTransport()
    settings = replace(QUIET, messages_per_second=1e-6, burst=3)
    async with running(journal, transport, settings):
        flood = [query("p0", query_id=f"q{k}") for k in range(20)]
        received = transport.deliver(sale("a"), *flood, query("p1"), sale("b", 1))
        await handled(transport, received)
        await until(lambda: "refused" in kinds(transport, "p0"))
    assert [each["query_id"] for each in answered(transport, "p0")] == ["q0", "q1"]
    assert sorted(kinds(transport, "p0")) == ["accepted", "refused"]
    reports = [json.loads(each) for each in transport.payloads(MADE.topics.report("p0"))]
    (refusal,) = (each for each in reports if each["type"] == "refused")
    assert (refusal["reason"], refusal["request_id"]) == ("too_frequent", None)
    assert "18 messages came too fast" in refusal["detail"]
    assert len(answered(transport, "p1")) == 1
    assert kinds(transport, "p1") == ["accepted"]


async def test_large_answers_cost_more_and_end_a_batch() -> None:
    """A query of 60 bytes has up to 64 kB of answer: its sender pays, and memory is bounded."""
    journal, transport = MemoryJournal(), MemoryTransport()
    settings = replace(QUIET, messages_per_second=1e-6, burst=400, batch_messages=1000)
    async with running(journal, transport, settings):
        received = transport.deliver(*(sale(f"{'a' * 58}{k}") for k in range(180)))
        await handled(transport, received)
        transport.acknowledged.clear()
        transport.confirming = False
        written = len(transport.waiting)
        received = transport.deliver(*(query("p0", query_id=f"q{k}") for k in range(150)))
        await handled(transport, received)
        batches = len(transport.waiting) - written
        transport.confirm()
        sizes = [len(each) for each in transport.payloads(MADE.topics.answer("p0"))]
        assert sum(sizes) > 150 * 60_000
        assert batches >= sum(sizes) // 1_100_000
        # 180 + 150 messages, and seven more for each answer: the bucket is empty.
        transport.deliver(query("p0"), query("p1"))
        await until(lambda: len(answered(transport, "p1")) == 1)
        await until(lambda: "refused" in kinds(transport, "p0"))
        assert len(answered(transport, "p0")) == 150


async def test_a_bug_in_an_answer_stops_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    journal, transport = MemoryJournal(), MemoryTransport()
    async with running(journal, transport):
        monkeypatch.setattr(answers, "_joined", lambda *_: 1 / 0)
        received = transport.deliver(sale("a"), query("p0"), sale("b"))
        await handled(transport, received)
    assert kinds(transport, "p0") == ["accepted", "accepted"]
    assert [each["about"] for each in answered(transport, "p0")] == [None]


async def test_a_restart_answers_from_the_journal() -> None:
    """Reports are kept from the newest snapshot on, and the answer says so."""
    journal, first = MemoryJournal(), MemoryTransport()
    async with running(journal, first):
        first.deliver(sale("a"), sale("b"))
        await until(lambda: len(first.acknowledged) == 2)
    assert journal.snapshot is not None, "a clean end makes one"
    again = MemoryTransport()
    async with running(journal, again):
        again.deliver(query("p0"), query("p0", "reports"), sale("c"), query("p0", "reports"))
        await until(lambda: len(again.acknowledged) == 4)
    orders, none, one = answered(again, "p0")
    assert [each["client_order_id"] for each in orders["entries"]] == ["a", "b"]
    assert (none["entries"], none["oldest"]) == ([], none["report_sequence"] + 1)
    assert [each["client_order_id"] for each in one["entries"]] == ["c"]
    assert one["oldest"] == one["report_sequence"] == none["report_sequence"] + 1


def test_queries_do_not_show_that_orders_arrive() -> None:
    """They have a subscription of their own, which may work where that of orders does not."""
    topics = MADE.topics
    periodic = PeriodicMessages(topics, ServiceSettings(silent_after_s=1.0), lambda _: b"")
    periodic.heard([topics.probe])
    core = JournaledExchange(MADE)
    periodic.due(core, 100.0, GATE - HOUR, connected=True)
    assert periodic.lost_reception(150.0, connected=True)
    for name in ("p0", "tso", "operator", "mallory"):
        periodic.heard([topics.query(name)])
        assert periodic.silent
    periodic.heard([topics.query("p0"), topics.order("p0")])
    assert not periodic.silent


class Asker:
    """A client over MQTT that keeps a mirror, and makes it anew by queries."""

    def __init__(self, settings: Any, area: str, name: str) -> None:
        self.topics, self.name = Topics(area), name
        self.mirror = Mirror()
        topics = (self.topics.report(name), self.topics.answer(name))
        self.transport = MqttTransport(replace(settings, session_expiry_s=0), topics)
        self.pages = 0

    async def recover(self) -> None:
        """Ask until all pages are there; what is not answered is asked again."""
        self.mirror.lose()
        for about in ("orders", "positions"):
            place: dict[str, str] = {}
            while place is not None:
                page = await self._page(about, place)
                place = {"from": page["next"]} if "next" in page else None  # type: ignore[assignment]

    async def _page(self, about: str, place: dict[str, str]) -> Any:
        self.pages += 1
        content = {"type": "query", "query_id": f"q{self.pages}", "about": about, **place}
        message = Outgoing(self.topics.query(self.name), json.dumps(content).encode())
        while True:
            self.transport.publish([message])
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(2.0):
                    return await self._answer(content["query_id"])

    async def _answer(self, query_id: str) -> Any:
        while True:
            for each in await self.hear():
                page = json.loads(each.payload)
                if each.topic == self.topics.answer(self.name) and page["query_id"] == query_id:
                    while not self.mirror.can_take(page):
                        await self.hear()
                    self.mirror.take(page)
                    return page

    async def hear(self) -> list[Incoming]:
        messages = await self.transport.receive(1)
        self.transport.acknowledge(messages)
        for each in messages:
            if each.topic == self.topics.report(self.name):
                self.mirror.hear(json.loads(each.payload))
        return messages


def truth(core: JournaledExchange, name: str) -> dict[str, Any]:
    found: dict[str, Any] = {}
    rules = core.exchange.state.rules
    for each in core.exchange.state.orders.values():
        if each.participant == name:
            price = f"{rules.price_in_eur_per_kw(each.limit_price_ticks):f}"
            named = {key: getattr(each, key, None) for key in ORDER_KEYS}
            named |= {"price": price, "interval": format_time(each.interval)}
            leg = {each.order_id: named | {"remaining_w": each.remaining_w}}
            found.setdefault(each.client_order_id, {}).update(leg)
    return found


async def test_whole_pages_pass_every_broker(
    broker: MakeSettings, redis_server: RedisServer, area: str
) -> None:
    asker = Asker(broker("asker"), area, "p0")
    async with (
        asyncio.timeout(30),
        serving(area, broker("exchange"), redis_server.url) as service,
        client(broker("p0"), area, "p0") as trader,
        asker.transport,
    ):
        for k in range(200):
            trader.send(order(f"{'a' * 58}{k}", 0, "sell", 10 + k, f"{0.01 + k / 1000:.4f}"))
        await trader.ask(order("last", 0, "sell", 10, "0.9000"))
        await asker.recover()
        assert asker.pages == 3, "two of orders, one of positions"
        assert len(asker.mirror.orders) == 201
        assert asker.mirror.orders == truth(service.core, "p0")


@pytest.mark.slow
async def test_after_a_kill_a_client_that_asks_has_the_same_mirror(
    mosquitto: Mosquitto, redis_server: RedisServer, area: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SIGKILL with a batch under way; a client without a session recovers by queries alone."""
    place = f"mqtt://127.0.0.1:{mosquitto.port}"

    async def start() -> asyncio.subprocess.Process:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, gateway_market.__file__, area, place, redis_server.url),
            stdout=asyncio.subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )
        assert process.stdout is not None
        assert await process.stdout.readline() == b"ready\n"
        return process

    trader = client(mosquitto.settings(f"{area}-p0"), area, "p0", on_message=Ear())
    buyer = client(mosquitto.settings(f"{area}-p1"), area, "p1")
    asker = Asker(mosquitto.settings(f"{area}-asker"), area, "p0")
    process = await start()
    try:
        async with asyncio.timeout(60), trader, buyer, asker.transport:
            await asker.recover()
            for k in range(300):
                trader.send(order(f"{'a' * 50}{k}", 0, "sell", 100 + k, f"{0.01 + k / 1000:.4f}"))
            await trader.ask(order("last", 0, "sell", 100, "0.9000"))
            flood = [trader.send(order(f"b{k}", 0, "sell", 10, "0.8000")) for k in range(100)]
            flood += [buyer.send(order(f"c{k}", 1, "buy", 30, "0.0300")) for k in range(20)]
            process.kill()
            await process.wait()
            process = await start()
            new = Asker(mosquitto.settings(f"{area}-new"), area, "p0")
            async with new.transport:
                recovering = asyncio.create_task(new.recover())
                await asyncio.gather(*flood)
                answer = await trader.ask({"type": "cancel", "client_order_id": "last"})
                await buyer.ask(order("end", 1, "buy", 500, "0.0400"))
                await recovering
                assert new.pages >= 4, "the answer has several pages"
                while new.mirror.sequence < max(answer["sequence"], trader.last_sequence):
                    await new.hear()
                while asker.mirror.sequence < new.mirror.sequence:
                    await asker.hear()
                process.kill()
                await process.wait()
                async with RedisJournal(redis_server.url, area, read_only=True) as journal:
                    core, _ = await recover(market(area), journal)
                newest = core.publisher.report_sequence("p0")
                while new.mirror.sequence < newest:
                    await new.hear()
                while asker.mirror.sequence < newest:
                    await asker.hear()
        expected = truth(core, "p0")
        assert len(expected) > 300
        assert new.mirror.orders == expected
        assert asker.mirror.orders == expected, "it was there all the while, and asked once"
        limits = {
            (each.connection_point, format_time(start)): (
                each.injection_limit_w,
                each.withdrawal_limit_w,
            )
            for start in core.exchange.open_intervals()
            for each in core.exchange.envelopes(start)
            if each.connection_point == "load:0"
        }
        assert new.mirror.limits == asker.mirror.limits == limits
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
