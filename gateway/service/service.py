"""The loop: receive, handle, commit, answer.

All messages waiting are handled as one batch and appended to the journal in one write (group
commit).  Only when that is durable are their reports published and the messages acknowledged.
Whatever fails before leaves them unacknowledged, and they come again.

Run it inside its transport and journal::

    async with RedisJournal(url, area) as journal, MqttTransport(
        settings, topics.incoming, will=last_will(topics), ignore_retained=True
    ) as transport:
        service = Service(market, transport, journal)
        await service.run()
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Protocol

from exchange.vocabulary.commands import AdvanceTime, Command, RejectMessage, SubmitReading
from exchange.vocabulary.events import Event
from exchange.vocabulary.reasons import RefusalReason
from gateway.errors import GatewayError, PublishRefusedError
from gateway.messages.requests import Reader, rejection
from gateway.messages.topics import METERING, OPERATOR, TSO
from gateway.ports import Incoming, Journal, JournalEntry, Outgoing, Transport
from gateway.publishing.publisher import last_will
from gateway.service.core import ExchangeSetup, JournaledExchange, recover
from gateway.service.rate_limiter import RateLimiter
from gateway.service.reception_watch import ReceptionWatch
from gateway.service.settings import ServiceSettings

_LOG = logging.getLogger(__name__)


class ServiceTransport(Transport, Protocol):
    """What the service needs of its transport beside the port."""

    def reconnect(self) -> None:
        """Break the connection, so that it and its subscriptions are made anew."""


@dataclass(slots=True)
class _Request:
    """A command from inside the program, and who waits for its events."""

    command: Command
    answer: asyncio.Future[tuple[Event, ...]]


@dataclass(slots=True)
class _CommittedRound:
    """What one round has done and nobody has been told yet."""

    entries: list[JournalEntry] = field(default_factory=list)
    messages: list[Outgoing] = field(default_factory=list)
    received: list[Incoming] = field(default_factory=list)
    answers: list[tuple[_Request, tuple[Event, ...]]] = field(default_factory=list)


def _utc_now() -> datetime:
    return datetime.now(UTC)


class Service:
    """Runs the exchange of one area.

    Parameters
    ----------
    market
        What the exchange is made of.
    transport, journal
        The ports, entered already.
    clock
        Tells the time of the market; the demo's runs fast.
    settings
        How the loop behaves.
    """

    def __init__(
        self,
        market: ExchangeSetup,
        transport: ServiceTransport,
        journal: Journal,
        *,
        clock: Callable[[], datetime] = _utc_now,
        settings: ServiceSettings | None = None,
    ) -> None:
        self._market = market
        self._transport = transport
        self._journal = journal
        self._clock = clock
        self._settings = settings or ServiceSettings()
        self._inbox: deque[Incoming | _Request] = deque()
        self._wake = asyncio.Event()
        self._stopping = False
        self._unconfirmed: deque[tuple[int, asyncio.Future[None]]] = deque()
        self._published = journal.published_sequence
        self._snapshot_at = 0
        self._next_depth = self._next_heartbeat = self._next_probe = 0.0
        self._reception = ReceptionWatch(self._settings.silent_after_s)
        self._limiter = RateLimiter(
            self._settings.messages_per_second, self._settings.burst, time.monotonic
        )
        self._reader = Reader(
            market.rules.tick,
            frozenset(each.participant for each in market.terms),
            self._open_intervals,
        )
        self._core: JournaledExchange | None = None
        self.ready = asyncio.Event()
        """Set once the state is rebuilt and the loop runs."""

    @property
    def core(self) -> JournaledExchange:
        """Exchange and reports; there once the service is :attr:`ready`."""
        if self._core is None:
            raise RuntimeError("the service has not recovered its state yet")
        return self._core

    async def run(self) -> None:
        """Recover, then serve until :meth:`stop` or cancellation; both stop gracefully.

        Raises
        ------
        gateway.errors.JournalError
            When the journal fails for good: nothing was answered that it does not hold.
        """
        self._core, unpublished = await recover(self._market, self._journal)
        self._snapshot_at = self.core.sequence
        # A broker that lost its memory gets everything retained anew; who knows it already
        # sees the same version or sequence and passes it over.
        self._publish(self.core.sequence, [*unpublished, *self.core.reports.retained()])
        work = asyncio.create_task(self._work(), name="exchange-work")
        others = [
            asyncio.create_task(self._listen(), name="exchange-listen"),
            asyncio.create_task(self._renew(), name="exchange-renew"),
        ]
        self.ready.set()
        try:
            await asyncio.wait({work, *others}, return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError:
            self.stop()
            await asyncio.wait({work})
            raise
        finally:
            for task in (work, *others):
                task.cancel()
            await asyncio.wait({work, *others})
            self._abandon_requests()
        for task in (work, *others):
            if not task.cancelled():
                task.result()

    def stop(self) -> None:
        """Finish the batch under way, publish it, and end :meth:`run`; safe in a signal handler."""
        self._stopping = True
        self._wake.set()

    async def request(self, command: Command) -> tuple[Event, ...]:
        """Have a command handled, journaled and reported like a message; return its events.

        Raises
        ------
        GatewayError
            When the service ends before the command's outcome is durable.
        """
        answer: asyncio.Future[tuple[Event, ...]] = asyncio.get_running_loop().create_future()
        self._inbox.append(_Request(command, answer))
        self._wake.set()
        return await answer

    async def _listen(self) -> None:
        while True:
            messages = await self._transport.receive(self._settings.batch_messages)
            senders = (self._market.topics.sender(each.topic) for each in messages)
            if any(sender not in (TSO, METERING) for sender in senders):
                self._hears()
            self._inbox.extend(messages)
            self._wake.set()

    def _hears(self) -> None:
        """Take note that orders, or a probe among them, reach the exchange."""
        if self._reception.heard():
            self._next_heartbeat = 0.0
            _LOG.warning("messages reach the exchange again")

    def _check_hearing(self, moment: float) -> None:
        """Say so and connect anew where probes go out and nothing comes in."""
        waited_s = self._reception.lost(moment, connected=self._transport.connected)
        if waited_s is None:
            return
        _LOG.error(
            "for %.3g s no message has reached the exchange, not even its own on %s: it may "
            "have lost its subscriptions, or the right to that topic; connecting anew",
            *(waited_s, self._market.topics.probe),
        )
        self._next_heartbeat = moment + self._settings.heartbeat_s
        self._publish(self.core.sequence, [last_will(self._market.topics)])
        self._transport.reconnect()

    async def _renew(self) -> None:
        while True:
            await asyncio.sleep(self._settings.renew_s)
            await self._journal.renew(self._published)

    async def _work(self) -> None:
        """Handle batch after batch; whatever is raised here ends the service."""
        while not self._stopping:
            if not self._inbox:
                self._wake.clear()
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(self._settings.tick_s):
                        await self._wake.wait()
            await self._round()
        await self._drain(self._settings.stop_within_s)
        await self._journal.renew(self._published)
        await self._write_snapshot()

    async def _round(self) -> None:
        batch = _CommittedRound()
        now = self._clock()
        due = self.core.next_due
        if due is not None and due <= now:
            # A failure here would repeat at each tick, so it is not caught: fail closed.
            self._do(batch, AdvanceTime(), now)
        deadline = time.monotonic() + self._settings.batch_s
        for _ in range(min(len(self._inbox), self._settings.batch_messages)):
            item = self._inbox.popleft()
            await self._take(batch, item, now)
            if time.monotonic() > deadline:
                break
        try:
            await self._commit(batch)
        except BaseException as error:
            for request in (request for request, _ in batch.answers if not request.answer.done()):
                request.answer.set_exception(GatewayError(f"not known to be durable: {error}"))
            raise
        self._publish_by_the_clock(now)
        is_due = self.core.sequence - self._snapshot_at >= self._settings.snapshot_entries
        if is_due and await self._drain(self._settings.stop_within_s):
            await self._write_snapshot()

    async def _take(self, batch: _CommittedRound, item: Incoming | _Request, now: datetime) -> None:
        """Handle one message or request; a bug that it finds costs nobody else anything."""
        command = item.command if isinstance(item, _Request) else self._command(item)
        if isinstance(item, Incoming):
            batch.received.append(item)
        if command is None:
            return
        try:
            events = self._do(batch, command, now)
        except Exception as bug:
            _LOG.critical("handling %s failed; nothing of it was done", command, exc_info=bug)
            # The exchange may be half way through the command: begin again from what is known.
            self._core, _ = await recover(self._market, self._journal)
            for entry in batch.entries:
                self._core.apply(entry)
            if isinstance(item, _Request):
                item.answer.set_exception(bug)
            else:
                self._do(batch, _apology(command), now)
            return
        if isinstance(item, _Request):
            batch.answers.append((item, events))

    def _command(self, message: Incoming) -> Command | None:
        if message.topic == self._market.topics.probe:
            return None
        sender = self._market.topics.sender(message.topic)
        if sender is None:
            _LOG.warning("a message came on %r, which is nobody's topic", message.topic[:200])
            return None
        if sender not in (TSO, OPERATOR, METERING) and not self._limiter.allows(sender):
            return rejection(
                sender,
                message.payload,
                RefusalReason.TOO_FREQUENT,
                f"more than {self._settings.messages_per_second:g} messages per second",
            )
        point = self._market.topics.metered_point(message.topic)
        return self._reader.read(sender, message.payload, point)

    def _do(self, batch: _CommittedRound, command: Command, now: datetime) -> tuple[Event, ...]:
        entry, messages = self.core.handle(command, now)
        if entry is None:
            return ()
        batch.entries.append(entry)
        batch.messages += messages
        return entry.events

    async def _commit(self, batch: _CommittedRound) -> None:
        """Make a batch durable, then publish, then acknowledge; never in another order."""
        if batch.entries:
            await self._journal.append(batch.entries, self._published)
            if len(self._unconfirmed) >= self._settings.unconfirmed_batches:
                await asyncio.wait({self._unconfirmed[0][1]})
            self._publish(batch.entries[-1].sequence, batch.messages)
        self._transport.acknowledge(batch.received)
        for request, events in batch.answers:
            if not request.answer.done():  # who asked may have gone away meanwhile
                request.answer.set_result(events)

    def _publish(self, sequence: int, messages: list[Outgoing]) -> None:
        """Hand over messages of entries up to ``sequence``; moves the mark when confirmed."""
        confirmed = self._transport.publish(messages)
        self._unconfirmed.append((sequence, confirmed))
        confirmed.add_done_callback(self._confirmed)

    def _confirmed(self, future: asyncio.Future[None]) -> None:
        if not future.cancelled() and isinstance(future.exception(), PublishRefusedError):
            _LOG.error("%s", future.exception())
        while self._unconfirmed and self._unconfirmed[0][1].done():
            sequence, first = self._unconfirmed.popleft()
            if not first.cancelled():
                self._published = max(self._published, sequence)

    def _publish_by_the_clock(self, now: datetime) -> None:
        moment = time.monotonic()
        messages: list[Outgoing] = []
        if moment >= self._next_depth:
            self._next_depth = moment + self._settings.depth_s
            messages += self.core.market_data()
        if moment >= self._next_heartbeat:
            self._next_heartbeat = moment + self._settings.heartbeat_s
            offline = last_will(self._market.topics)
            messages.append(offline if self._reception.silent else self.core.reports.session(now))
        if moment >= self._next_probe and self._transport.connected:
            self._next_probe = moment + self._settings.probe_s
            messages.append(Outgoing(self._market.topics.probe, b"", expires_after_s=10))
            self._reception.probed(moment)
        if messages:
            self._publish(self.core.sequence, messages)
        self._check_hearing(moment)

    async def _drain(self, within_s: float) -> bool:
        """Wait until the broker has confirmed everything; tells whether it has."""
        waiting = {future for _, future in self._unconfirmed}
        if waiting:
            await asyncio.wait(waiting, timeout=within_s)
        return not self._unconfirmed

    async def _write_snapshot(self) -> None:
        """Write a snapshot, unless reports before it would then be beyond recovery."""
        if self._published < self.core.sequence or self.core.sequence == self._snapshot_at:
            return
        await self._journal.write_snapshot(self.core.snapshot())
        self._snapshot_at = self.core.sequence

    def _open_intervals(self) -> list[datetime]:
        return self.core.exchange.open_intervals()

    def _abandon_requests(self) -> None:
        for item in self._inbox:
            if isinstance(item, _Request) and not item.answer.done():
                item.answer.set_exception(GatewayError("the service has ended"))
        self._inbox.clear()


def _apology(command: Command) -> RejectMessage:
    """Return the answer to a message on which the exchange itself failed."""
    asker: str = getattr(command, "participant", TSO)
    key: str | None = getattr(command, "client_order_id", getattr(command, "update_id", None))
    if isinstance(command, SubmitReading):
        asker, key = METERING, command.reading_id
    return RejectMessage(
        asker,
        key,
        RefusalReason.MALFORMED.value,
        "the exchange could not process this message and has done nothing; "
        "its operator has been told",
    )
