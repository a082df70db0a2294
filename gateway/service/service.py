"""The loop: receive, handle, commit, answer.

All waiting messages are handled as one batch and appended to the journal in one write (group
commit).  Only when that write is durable are their reports published and the messages
acknowledged.  After a failure before that, the broker delivers the messages again.

Run it inside its transport and journal::

    async with RedisJournal(url, area) as journal, MqttTransport(
        settings,
        topics.incoming,
        will=last_will(topics),
        ignore_retained=True,
        payload_at_most=KEPT_REQUEST_BYTES,
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

from exchange.vocabulary.commands import AdvanceTime, Command, RejectMessage
from exchange.vocabulary.events import Event
from exchange.vocabulary.reasons import RefusalReason
from exchange.vocabulary.rules import METERING, OPERATOR, TSO
from gateway.errors import GatewayError
from gateway.messages.requests import Reader, rejection, sender_of
from gateway.ports import Incoming, Journal, JournalEntry, Outgoing, Transport
from gateway.publishing.publisher import last_will
from gateway.service.core import ExchangeSetup, JournaledExchange, recover
from gateway.service.outbox import Outbox
from gateway.service.periodic import PeriodicMessages
from gateway.service.rate_limiter import RateLimiter
from gateway.service.settings import ServiceSettings

_LOG = logging.getLogger(__name__)


class ServiceTransport(Transport, Protocol):
    """The port, and a way to make its connection anew."""

    def reconnect(self) -> None:
        """Break the connection; it and its subscriptions are made anew."""


@dataclass(slots=True)
class _Request:
    """A command from inside the program, and the future of its events."""

    command: Command
    answer: asyncio.Future[tuple[Event, ...]]


@dataclass(slots=True)
class _RoundOutcome:
    """Outcome of one round of the loop, to be journaled, published and acknowledged together."""

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
        Network, rules and terms.
    transport, journal
        The ports, entered already.
    clock
        Returns the time of the market; that of the demo runs fast.
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
        self._outbox = Outbox(transport, journal.published_sequence)
        self._periodic = PeriodicMessages(market.topics, self._settings)
        self._snapshot_at = 0
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
        """Exchange and publisher; available once the service is :attr:`ready`."""
        if self._core is None:
            raise RuntimeError("the service has not recovered its state yet")
        return self._core

    async def run(self) -> None:
        """Recover, then serve until :meth:`stop` or cancellation; both stop gracefully.

        Raises
        ------
        gateway.errors.JournalError
            When the journal fails for good; everything that was answered is in it.
        """
        self._core, unpublished = await recover(self._market, self._journal)
        self._snapshot_at = self.core.snapshot_sequence
        # A broker that lost its memory gets everything retained anew.  Subscribers that know it
        # see the same version or sequence and ignore it.
        self._outbox.publish(self.core.sequence, [*unpublished, *self.core.publisher.retained()])
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
            self._stopping = True
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
            self._periodic.heard(each.topic for each in messages)
            self._inbox.extend(messages)
            self._wake.set()

    async def _renew(self) -> None:
        # A cancellation can be lost inside the Redis client, so the flag ends the loop, too.
        while not self._stopping:
            await asyncio.sleep(self._settings.renew_s)
            await self._journal.renew(self._outbox.published)

    async def _work(self) -> None:
        """Handle batch after batch; an error raised here ends the service."""
        while not self._stopping:
            if not self._inbox:
                self._wake.clear()
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(self._settings.tick_s):
                        await self._wake.wait()
            await self._round()
        await self._outbox.drain(self._settings.stop_within_s)
        await self._journal.renew(self._outbox.published)
        await self._write_snapshot()

    async def _round(self) -> None:
        batch = _RoundOutcome()
        now = self._clock()
        due = self.core.next_due
        if due is not None and due <= now:
            # A failure here would repeat at each tick, so the service fails closed.
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
        if is_due and await self._outbox.drain(self._settings.stop_within_s):
            await self._write_snapshot()

    async def _take(self, batch: _RoundOutcome, item: Incoming | _Request, now: datetime) -> None:
        """Handle one message or request; an internal error affects this one only."""
        command = item.command if isinstance(item, _Request) else self._command(item)
        if isinstance(item, Incoming):
            batch.received.append(item)
        if command is None:
            return
        try:
            events = self._do(batch, command, now)
        except Exception as bug:
            _LOG.critical(
                "command %s failed with an internal error and was not applied",
                command,
                exc_info=bug,
            )
            # The exchange may have applied a part of the command: rebuild its state.
            self._core, _ = await recover(self._market, self._journal)
            for entry in batch.entries:
                self._core.apply(entry)
            if isinstance(item, _Request):
                item.answer.set_exception(bug)
            else:
                self._do(batch, _internal_error(command), now)
            return
        if isinstance(item, _Request):
            batch.answers.append((item, events))

    def _command(self, message: Incoming) -> Command | None:
        if message.topic == self._market.topics.probe:
            return None
        sender = self._market.topics.sender(message.topic)
        if sender is None:
            _LOG.warning("ignored message on unknown topic %r", message.topic[:200])
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

    def _do(self, batch: _RoundOutcome, command: Command, now: datetime) -> tuple[Event, ...]:
        entry, messages = self.core.handle(command, now)
        if entry is None:
            return ()
        batch.entries.append(entry)
        batch.messages += messages
        return entry.events

    async def _commit(self, batch: _RoundOutcome) -> None:
        """Make a batch durable, then publish, then acknowledge; never in another order."""
        if batch.entries:
            await self._journal.append(batch.entries, self._outbox.published)
            await self._outbox.wait_for_room(self._settings.unconfirmed_batches)
            self._outbox.publish(batch.entries[-1].sequence, batch.messages)
        self._transport.acknowledge(batch.received)
        for request, events in batch.answers:
            if not request.answer.done():  # the caller may have been cancelled meanwhile
                request.answer.set_result(events)

    def _publish_by_the_clock(self, now: datetime) -> None:
        """Publish what is due, and connect anew where nothing comes in any more."""
        moment, sequence = time.monotonic(), self.core.sequence
        connected = self._transport.connected
        messages = self._periodic.due(self.core, moment, now, connected=connected)
        if messages:
            self._outbox.publish(sequence, messages)
        if self._periodic.lost_reception(moment, connected=self._transport.connected):
            self._outbox.publish(sequence, [last_will(self._market.topics)])
            self._transport.reconnect()

    async def _write_snapshot(self) -> None:
        """Write a snapshot, unless messages before it are unconfirmed and would be lost."""
        if self._outbox.published < self.core.sequence or self.core.sequence == self._snapshot_at:
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


def _internal_error(command: Command) -> RejectMessage:
    """Return the answer to a message whose command failed with an internal error."""
    return RejectMessage(
        *sender_of(command),
        RefusalReason.MALFORMED.value,
        "the exchange failed with an internal error and did not apply this message; "
        "the error is in its log",
    )
