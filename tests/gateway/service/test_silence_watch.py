"""The dead man's switch in virtual time: a device that talks is never lost, a silent one is."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, cast

import pytest
from gateway_market import market
from hypothesis import given, settings
from hypothesis import strategies as st
from listening import until
from memory_ports import MemoryJournal, MemoryTransport
from sampling import examples

from exchange.state.safeguards import Safeguard, Safeguards
from exchange.vocabulary.commands import CancelOrder, Command, LoseSession, SetSafeguard
from exchange.vocabulary.reasons import CancelReason, OnDisconnect
from gateway.messages.safeguard_requests import SignOfLife
from gateway.messages.topics import Topics
from gateway.ports import Incoming, Outgoing
from gateway.service.core import recover
from gateway.service.service import Service
from gateway.service.settings import ServiceSettings
from gateway.service.silence_watch import SilenceWatch

TOPICS = Topics("north")
MADE = market("area")
SETTINGS = ServiceSettings()
TICK_S = 0.1
SILENT_S = 5


@dataclass
class Desk:
    """A watch, its safeguards, and a connection to a broker."""

    safeguards: Safeguards = field(default_factory=lambda: Safeguards(10))
    connected: bool = True
    connections: int = 1
    waiting: set[str] = field(default_factory=set)
    watch: SilenceWatch = field(init=False)

    def __post_init__(self) -> None:
        state = SimpleNamespace(safeguards=self.safeguards)
        core: Any = SimpleNamespace(exchange=SimpleNamespace(state=state))
        self.watch = SilenceWatch(TOPICS, SETTINGS, lambda: core)

    def guard(self, participant: str, session: str, device: str = "d") -> None:
        guard = Safeguard(session, device, OnDisconnect.KEEP, SILENT_S)
        self.safeguards.set(participant, guard)

    def lost(self, moment: float) -> list[str]:
        inbox = SimpleNamespace(waits=self.waiting.__contains__)
        found = self.watch.lost(moment, cast(Any, self), cast(Any, inbox))
        assert all(each.reason is CancelReason.SILENT for each in found)
        return [f"{each.participant} {each.session}" for each in found]

    def prove(self, moment: float) -> list[str]:
        """Let a probe go out and come back; return whose session is lost then."""
        self.lost(moment)
        payload = self.watch.probe(moment)
        self.watch.unread([Incoming(TOPICS.probe, payload)], moment + 0.01)
        return self.lost(moment + 0.02)

    def calm(self, begin: float, end: float) -> list[str]:
        found: list[str] = []
        while begin <= end and not found:
            found = self.prove(begin)
            begin += 1.0
        return found


@pytest.fixture
def desk() -> Desk:
    desk = Desk()
    desk.guard("p0", "s1")
    assert desk.prove(100.0) == []
    return desk


def test_a_session_without_a_message_is_lost_after_its_seconds(desk: Desk) -> None:
    assert desk.calm(101.0, 104.9) == []
    assert desk.prove(105.1) == ["p0 s1"]


def test_a_probe_proves_nothing_after_it_was_published(desk: Desk) -> None:
    assert desk.calm(101.0, 103.0) == []
    payload = desk.watch.probe(104.0)
    for tenth in range(1, 18):
        assert desk.lost(104.0 + tenth / 10) == []
    desk.watch.unread([Incoming(TOPICS.probe, payload)], 105.8)
    assert desk.lost(105.9) == []
    assert desk.prove(106.0) == ["p0 s1"]


def order(participant: str) -> Command:
    return CancelOrder(participant, "r", "a")


def set_safeguard(participant: str, session: str) -> Command:
    return SetSafeguard(participant, "r", session, None, OnDisconnect.KEEP, SILENT_S)


DISCONNECTED = LoseSession("p0", "s1", CancelReason.DISCONNECTED)


@pytest.mark.parametrize(
    ("read", "counts"),
    [
        (SignOfLife("p0", "s1"), True),
        (SignOfLife("p0", "s2"), False),
        (order("p0"), True),
        (set_safeguard("p0", "s1"), True),
        (set_safeguard("p0", "s2"), False),
        (DISCONNECTED, False),
    ],
)
def test_what_counts_as_a_sign_of_life(desk: Desk, read: Any, counts: bool) -> None:
    assert desk.calm(101.0, 104.0) == []
    desk.watch.read("p0", read, 104.5)
    assert desk.prove(105.5) == ([] if counts else ["p0 s1"])
    if counts:
        assert desk.calm(106.0, 109.4) == []
        assert desk.prove(109.6) == ["p0 s1"]


def test_a_message_of_another_participant_does_not_count(desk: Desk) -> None:
    assert desk.calm(101.0, 104.0) == []
    desk.watch.read("p1", order("p1"), 104.5)
    desk.watch.unread([Incoming(TOPICS.order("p1"), b"")], 104.5)
    assert desk.prove(105.5) == ["p0 s1"]


def test_a_message_that_came_too_fast_to_be_read_counts(desk: Desk) -> None:
    """A device that floods is not silent, and its sign of life may be among what is refused."""
    assert desk.calm(101.0, 104.0) == []
    desk.watch.unread([Incoming(TOPICS.order("p0"), b"")], 104.5)
    assert desk.calm(105.0, 109.4) == []
    assert desk.prove(109.6) == ["p0 s1"]


def test_nobody_is_lost_while_its_messages_wait_to_be_read(desk: Desk) -> None:
    assert desk.calm(101.0, 104.0) == []
    desk.waiting.add("p0")
    assert desk.calm(105.0, 120.0) == []
    desk.waiting.clear()
    assert desk.prove(121.0) == ["p0 s1"]


def test_nobody_is_lost_without_a_proof_that_messages_arrive(desk: Desk) -> None:
    found = [desk.lost(100.0 + number) for number in range(100)]
    assert not any(found)


@pytest.mark.parametrize("payload", [b"", b"former-1", None])
def test_only_the_last_probe_of_this_process_proves_anything(
    desk: Desk, payload: bytes | None
) -> None:
    assert desk.calm(101.0, 103.0) == []
    old = desk.watch.probe(104.0)
    desk.watch.unread([Incoming(TOPICS.probe, old)], 104.01)
    assert desk.calm(104.1, 104.9) == []
    desk.watch.probe(106.0)
    desk.lost(106.0)
    desk.watch.unread([Incoming(TOPICS.probe, old if payload is None else payload)], 106.1)
    assert desk.lost(106.2) == []


def test_an_outage_of_the_exchange_is_no_silence_of_a_device(desk: Desk) -> None:
    def paused(moment: float) -> None:
        pass  # it looks again after more than probe_s

    def cut(moment: float) -> None:
        desk.connected = False
        assert desk.lost(moment) == []
        desk.connected = True

    def connected_anew(moment: float) -> None:
        desk.connections += 1

    def late(moment: float) -> None:
        desk.watch.probe(moment - 2.0)

    begin = 100.0
    for outage in (paused, cut, connected_anew, late):
        end = begin + (8.0 if outage is paused else 4.0)
        if outage is not paused:
            assert desk.calm(begin, end) == []
        outage(end + 0.5)
        begin = end + 1.0
        assert desk.calm(begin, begin + 4.8) == [], outage.__name__
        begin += 4.8
        desk.watch.read("p0", SignOfLife("p0", "s1"), begin)


# -- a broker, an exchange and two devices, any of which may stand still ---------------------------


class World:
    """What each has written and the next has not read yet, tick by tick."""

    def __init__(self, every: int, silent_from: int) -> None:
        self.desk = Desk()
        for participant, session in (("p0", "talks"), ("p1", "stops")):
            self.desk.guard(participant, session)
        self.every, self.silent_from = every, silent_from
        self.ticks = 0
        self.stalls = {"broker": 0, "exchange": 0, "link": 0, "reader": 0}
        self.to_broker: dict[str, deque[Incoming]] = {
            each: deque() for each in ("exchange", "p0", "p1")
        }
        self.to_exchange: deque[Incoming] = deque()
        self.inbox: deque[Incoming] = deque()
        self.next_probe = 0.0
        self.lost: list[str] = []

    @property
    def now(self) -> float:
        return 1000.0 + self.ticks * TICK_S

    @property
    def held_up(self) -> int:
        """Messages under way."""
        return sum(len(queue) for queue in (self.to_exchange, *self.to_broker.values()))

    def tick(self) -> None:
        self.ticks += 1
        if self.ticks % self.every == 0:
            for name in ("p0", "p1") if self.ticks < self.silent_from else ("p0",):
                self.to_broker[name].append(Incoming(TOPICS.order(name), b"alive"))
        if not self.stalls["broker"]:
            for queue in self.to_broker.values():  # the exchange's own messages first
                self.to_exchange += queue
                queue.clear()
        if not self.stalls["exchange"]:
            self._exchange()
        self.stalls = {name: max(0, left - 1) for name, left in self.stalls.items()}

    def _exchange(self) -> None:
        desk, was = self.desk, self.desk.connected
        desk.connected = not self.stalls["link"]
        desk.connections += desk.connected and not was
        if desk.connected:
            batch = [self.to_exchange.popleft() for _ in range(min(3, len(self.to_exchange)))]
            self.inbox += [each for each in batch if each.topic != TOPICS.probe]
            desk.watch.unread([each for each in batch if each.topic == TOPICS.probe], self.now)
        desk.waiting = {TOPICS.sender(each.topic) or "" for each in self.inbox}
        for each in desk.lost(self.now):
            self.lost.append(each)
            desk.safeguards.lose(*each.split(), broke=False)
        while self.inbox and not self.stalls["reader"]:
            sender = TOPICS.sender(self.inbox.popleft().topic) or ""
            session = "talks" if sender == "p0" else "stops"
            desk.watch.read(sender, SignOfLife(sender, session), self.now)
        if desk.connected and self.now >= self.next_probe:
            self.next_probe = self.now + SETTINGS.probe_s
            probe = Incoming(TOPICS.probe, desk.watch.probe(self.now))
            self.to_broker["exchange"].append(probe)


STALLS = st.lists(
    st.tuples(
        st.integers(0, 40),
        st.sampled_from(["broker", "exchange", "link", "reader"]),
        st.integers(1, 120),
    ),
    max_size=8,
)


@settings(max_examples=examples(100), deadline=None)
@given(every=st.integers(1, 25), silent_from=st.integers(0, 300), stalls=STALLS)
def test_a_device_that_talks_is_never_lost_and_a_silent_one_soon(every, silent_from, stalls):
    """Whatever stands still, for however long, and whoever goes on first."""
    world = World(every, silent_from)
    for pause, name, length in stalls:
        for _ in range(pause):
            world.tick()
        world.stalls[name] = length
    while any(world.stalls.values()) or world.ticks < silent_from or world.held_up > 3:
        world.tick()
    # From here on all is well, and everything that was held up has come.
    for _ in range(int((SILENT_S + 4 * SETTINGS.probe_s) / TICK_S)):
        world.tick()
    assert world.lost == ["p1 stops"]


# -- the service around it -------------------------------------------------------------------------


class EchoTransport(MemoryTransport):
    """Brings probes back at once, as a broker does."""

    def publish(self, messages: Sequence[Outgoing]) -> asyncio.Future[None]:
        for each in messages:
            if each.topic == MADE.topics.probe:
                self.deliver((each.topic, each.payload))
        return super().publish(messages)


@contextlib.asynccontextmanager
async def serving(journal: MemoryJournal) -> AsyncIterator[Service]:
    quick = ServiceSettings(tick_s=0.01, probe_s=0.1, stop_within_s=0.05)
    service = Service(MADE, EchoTransport(), journal, settings=quick)
    task = asyncio.create_task(service.run())
    await service.ready.wait()
    try:
        yield service
    finally:
        service.stop()
        await task


async def test_after_a_restart_silence_is_counted_anew() -> None:
    journal = MemoryJournal()
    async with serving(journal) as service:
        await service.request(SetSafeguard("p1", "g1", "s1", None, OnDisconnect.KEEP, 1))
        before = journal.last_sequence
        await asyncio.sleep(0.7)
    async with serving(journal) as service:
        await asyncio.sleep(0.7)
        assert journal.last_sequence == before
        assert service.core.exchange.state.safeguards.find("p1", "s1") is not None
        await until(lambda: journal.last_sequence == before + 1)
        assert service.core.exchange.state.safeguards.find("p1", "s1") is None
    entries = [entry async for entry in journal.read(before)]
    assert [each.command for each in entries] == [LoseSession("p1", "s1", CancelReason.SILENT)]
    replayed, _ = await recover(MADE, journal)
    assert replayed.exchange.digest() == service.core.exchange.digest()
