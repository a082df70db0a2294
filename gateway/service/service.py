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
import gc
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from exchange.state.request_answers import RequestAnswer
from exchange.vocabulary.commands import AdvanceTime, Command
from exchange.vocabulary.events import Event
from exchange.vocabulary.rules import participants_of
from gateway.errors import GatewayError, StaleWriterError
from gateway.formats.strict_json import MAX_REQUEST_BYTES
from gateway.messages.requests import Reader, internal_error
from gateway.messages.safeguard_requests import SignOfLife
from gateway.ports import Incoming, Journal, JournalEntry, Outgoing, Transport
from gateway.publishing.publisher import last_will
from gateway.service.core import ExchangeSetup, JournaledExchange, recover
from gateway.service.health import Health
from gateway.service.inbox import Inbox
from gateway.service.inner_requests import InnerRequest, InnerRequests, fail_all
from gateway.service.measures import Measures
from gateway.service.outbox import Outbox, Republication
from gateway.service.periodic import PeriodicMessages
from gateway.service.plausible_clock import PlausibleClock
from gateway.service.settings import ServiceSettings
from gateway.service.silence_watch import SilenceWatch
from gateway.service.snapshot_keeper import SnapshotKeeper
from gateway.service.standby import Standby

_QUERIED_BYTES = 1_000_000  # of answers, after which a batch ends: few batches wait unconfirmed
_LOG = logging.getLogger(__name__)


class ServiceTransport(Transport, Protocol):
    """The port, and a way to make its connection anew."""

    def reconnect(self) -> None:
        """Break the connection; it and its subscriptions are made anew."""


@dataclass(slots=True)
class _RoundOutcome:
    """Outcome of one round of the loop, to be journaled, published and acknowledged together.

    ``messages`` are reports of the entries, and answers to queries from the state among them.
    """

    entries: list[JournalEntry] = field(default_factory=list)
    messages: list[Outgoing] = field(default_factory=list)
    received: list[Incoming] = field(default_factory=list)
    answers: list[tuple[InnerRequest, tuple[Event, ...]]] = field(default_factory=list)
    queried_bytes: int = 0


class Service:
    """Runs the exchange of one area.

    Parameters
    ----------
    market
        Network, rules and terms.
    transport, journal
        The ports, entered already.
    clock
        Returns the time of the market, by default the guarded time of day; that of the demo runs
        fast.
    settings
        How the loop behaves.
    measures
        Counts and times what it does.
    standby
        What followed the journal until now, if anything: then recovering it takes no time.
    """

    def __init__(
        self,
        market: ExchangeSetup,
        transport: ServiceTransport,
        journal: Journal,
        *,
        clock: Callable[[], datetime] | None = None,
        settings: ServiceSettings | None = None,
        measures: Measures | None = None,
        standby: Standby | None = None,
    ) -> None:
        self._market = market
        self._transport = transport
        self._journal = journal
        self._clock = clock or PlausibleClock()
        self._settings = settings or ServiceSettings()
        self._standby = standby
        self._measures = measures or Measures(market.topics.area)
        self._wake = asyncio.Event()
        self._requests = InnerRequests(self._wake)
        self._stopping = False
        self._keeps_state = True
        self._ended = False
        self._outbox = Outbox(transport, journal.published_sequence)
        self._silence = SilenceWatch(market.topics, self._settings, lambda: self.core)
        self._periodic = PeriodicMessages(market.topics, self._settings, self._silence.probe)
        self._snapshots = SnapshotKeeper(journal, self._outbox, self._settings.snapshot_entries)
        self._republication = Republication(transport, self._outbox, self._clock)
        participants = participants_of(market.rules, market.terms)
        self._inbox = Inbox(market.topics, participants, self._settings)
        parts = (transport, self._inbox, self._outbox, self._periodic)
        self._health = Health(self._measures, *parts)
        self._reader = Reader(
            market.rules.tick, participants, self._open_intervals, self._known_answer
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

    def now(self) -> datetime:
        """Return the time of the market."""
        return self._clock()

    async def run(self) -> None:
        """Recover, then serve until :meth:`stop` or cancellation; both stop gracefully.

        Raises
        ------
        gateway.errors.JournalError
            When the journal fails for good; everything that was answered is in it.
        """
        self._core, unpublished = await self._begin()
        self._snapshots.recovered(self.core)
        self._outbox.publish(self.core.sequence, unpublished)
        self._republication.look(self.core)
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
            self._stopping = self._ended = True
            for task in (work, *others):
                task.cancel()
            await asyncio.wait({work, *others})
            self._health.end()
            await self._snapshots.cancel()
            self._requests.abandon()
            await self._say_offline([work, *others])
        errors = [error for task in (work, *others) if (error := _error_of(task)) is not None]
        if errors:
            raise errors[0]

    async def _begin(self) -> tuple[JournaledExchange, list[Outgoing]]:
        """Return the exchange as the journal has it, and the messages the broker may not have."""
        if self._standby is None:
            return await recover(self._market, self._journal)
        published = self._journal.published_sequence
        core = await self._standby.catch_up(self._journal, published)
        return core, self._standby.unpublished()

    async def _say_offline(self, ended: Sequence[asyncio.Task[None]]) -> None:
        """Publish that the exchange is offline: a connection that ends well has no last will.

        Where another writer has taken over, that one's word stands.
        """
        if any(isinstance(_error_of(task), StaleWriterError) for task in ended):
            return
        self._outbox.publish(self.core.sequence, [last_will(self._market.topics)])
        await self._outbox.drain(self._settings.stop_within_s)

    def stop(self, *, snapshot: bool = True) -> None:
        """Finish the batch under way, publish it, and end :meth:`run`; safe in a signal handler.

        ``snapshot`` is whether the state is kept for the next start; where another process
        follows the journal, that would only keep it waiting.
        """
        self._keeps_state = snapshot
        self._stopping = True
        self._wake.set()

    async def request(self, command: Command) -> tuple[Event, ...]:
        """Have a command handled, journaled and reported like a message; return its events.

        Raises
        ------
        GatewayError
            When the service ends before the command's outcome is durable.
        """
        return await self._requests.ask(command)

    async def _listen(self) -> None:
        while True:
            messages = await self._transport.receive(self._settings.batch_messages)
            self._periodic.heard(each.topic for each in messages)
            done = self._inbox.put(messages)
            self._silence.unread(done, time.monotonic())
            self._transport.acknowledge(done)
            if self._inbox:
                self._wake.set()

    async def _renew(self) -> None:
        # Until the last snapshot is written: the end of this task would end everything else.  A
        # cancellation can be lost inside the Redis client, so the flag ends the loop, too.
        while not self._ended:
            await asyncio.sleep(self._settings.renew_s)
            await self._journal.renew(self._outbox.published)

    async def _work(self) -> None:
        """Handle batch after batch; an error raised here ends the service."""
        while not self._stopping:
            if not (self._inbox or self._requests):
                self._wake.clear()
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(self._settings.tick_s):
                        await self._wake.wait()
            await self._round()
        await self._outbox.drain(self._settings.stop_within_s)
        await self._journal.renew(self._outbox.published)
        if self._keeps_state:
            await self._snapshots.finish(self.core)

    async def _round(self) -> None:
        batch = _RoundOutcome()
        began, now = time.monotonic(), self._clock()
        due = self.core.next_due
        if due is not None and due <= now:
            # A failure here would repeat at each tick, so the service fails closed.
            self._do(batch, AdvanceTime(), now)
        for refusal in self._inbox.refusals():
            self._do(batch, refusal, now)
        for lost in self._silence.lost(began, self._transport, self._inbox):
            await self._take(batch, lost, now)
        deadline = began + self._settings.batch_s
        for _ in range(self._settings.batch_messages):
            item = self._requests.take() or self._inbox.take()
            if item is None:
                break
            await self._take(batch, item, now)
            if time.monotonic() > deadline or batch.queried_bytes > _QUERIED_BYTES:
                break
        decided = time.monotonic()
        try:
            await self._commit(batch)
        except BaseException as error:
            asked = (request for request, _ in batch.answers)
            fail_all(asked, GatewayError(f"not known to be durable: {error}"))
            raise
        if batch.entries or batch.received:
            commit_s = time.monotonic() - decided if batch.entries else None
            self._measures.batch(len(batch.received), decided - began, commit_s)
        self._publish_by_the_clock(now)
        await self._snapshots.look(self.core)

    async def _take(
        self,
        batch: _RoundOutcome,
        item: tuple[str, Incoming] | InnerRequest | Command,
        now: datetime,
    ) -> None:
        """Handle a message and its sender, or a command; an internal error affects no other."""
        if isinstance(item, InnerRequest):
            command = item.command
        elif not isinstance(item, tuple):
            command = item
        else:
            sender, message = item
            batch.received.append(message)
            if self._market.topics.asks(message.topic):
                self._silence.read(sender, None, time.monotonic())
                self._answer(batch, sender, message.payload, now)
                return
            point = self._market.topics.metered_point(message.topic)
            read = self._reader.read(sender, message.payload, point)
            self._silence.read(sender, read, time.monotonic())
            if isinstance(read, SignOfLife):
                return
            command = read
        try:
            events = self._do(batch, command, now)
        except Exception as bug:
            _LOG.critical(
                "command %s failed with an internal error and was not applied",
                command,
                exc_info=bug,
            )
            # The exchange may have applied a part of the command: rebuild its state.
            self._measures.failures.inc()
            self._core, _ = await recover(self._market, self._journal)
            gc.unfreeze()  # the former state, which has cycles as a whole, is garbage now
            for entry in batch.entries:
                self._core.apply(entry)
            if isinstance(item, InnerRequest):
                item.fail(bug)
            else:
                self._do(batch, internal_error(command), now)
            return
        if isinstance(item, InnerRequest):
            batch.answers.append((item, events))

    def _answer(self, batch: _RoundOutcome, sender: str, query: bytes, now: datetime) -> None:
        """Answer a query from the state with all entries of the batch: they are durable first."""
        answered = self.core.answer(sender, query, now)
        batch.messages.append(answered.message)
        size = len(answered.message.payload)
        batch.queried_bytes += size
        self._inbox.charge(sender, size // MAX_REQUEST_BYTES)
        self._measures.queries(answered.about)

    def _do(self, batch: _RoundOutcome, command: Command, now: datetime) -> tuple[Event, ...]:
        entry, messages = self.core.handle(command, now)
        if entry is None:
            return ()
        batch.entries.append(entry)
        batch.messages += messages
        self._measures.events(entry.events)
        return entry.events

    async def _commit(self, batch: _RoundOutcome) -> None:
        """Make a batch durable, then publish, then acknowledge; never in another order."""
        if batch.entries:
            await self._journal.append(batch.entries, self._outbox.published)
        if batch.entries or batch.messages:
            await self._outbox.wait_for_room(self._settings.unconfirmed_batches)
            self._outbox.publish(self.core.sequence, batch.messages)
        self._transport.acknowledge(batch.received)
        for request, events in batch.answers:
            request.settle(events)

    def _publish_by_the_clock(self, now: datetime) -> None:
        """Publish what is due, and connect anew where nothing comes in any more."""
        self._republication.look(self.core)
        self._health.look(self.core)
        moment, sequence = time.monotonic(), self.core.sequence
        connected = self._transport.connected
        messages = self._periodic.due(self.core, moment, now, connected=connected)
        if messages:
            self._outbox.publish(sequence, messages)
        if self._periodic.lost_reception(moment, connected=self._transport.connected):
            self._outbox.publish(sequence, [last_will(self._market.topics)])
            self._transport.reconnect()

    def serves(self) -> bool:
        """Return whether it serves: its loop moves, it is connected, and messages reach it."""
        return self._health.serves()

    def _open_intervals(self) -> list[datetime]:
        return self.core.exchange.open_intervals()

    def _known_answer(self, sender: str, request_id: str) -> RequestAnswer | None:
        return self.core.exchange.state.answers.find(sender, request_id)


def _error_of(task: asyncio.Task[None]) -> BaseException | None:
    return None if task.cancelled() else task.exception()
