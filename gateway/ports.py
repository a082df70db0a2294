"""The two ports of the gateway: transport of messages, and journal of outcomes.

Each has one real adapter (:mod:`gateway.transport.mqtt`, :mod:`gateway.journal.redis_journal`)
and one suite of contract tests that every adapter passes.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, Self

from exchange.vocabulary.commands import Command
from exchange.vocabulary.events import Event


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A message to publish, at quality of service 1.

    Parameters
    ----------
    topic, payload
        Topic and content.
    retain
        Whether the broker keeps it for later subscribers.
    expires_after_s
        Seconds after which the broker may drop it undelivered (MQTT 5 only).
    """

    topic: str
    payload: bytes
    retain: bool = False
    expires_after_s: int | None = None


@dataclass(frozen=True, slots=True)
class Incoming:
    """A message received and not acknowledged yet.

    ``message_id`` and ``connection`` belong to the transport, which acknowledges by them.  ``qos``
    is the quality of service: at 0 there is nothing to acknowledge, and the message comes once.
    """

    topic: str
    payload: bytes
    message_id: int = 0
    connection: int = 0
    qos: int = 1


class Transport(Protocol):
    """A connection to a message broker that is made anew after interruptions.

    An asynchronous context manager: entering connects and subscribes, leaving disconnects.
    """

    async def __aenter__(self) -> Self:
        """Connect and subscribe; raises :class:`TransportError` when the broker refuses."""

    async def __aexit__(self, *exc_info: object) -> None:
        """Disconnect."""

    @property
    def connected(self) -> bool:
        """Whether there is a connection right now."""

    @property
    def connections(self) -> int:
        """Number of connections that a broker has accepted so far.

        After each, the broker may have lost what it retained, or have an older form of it.
        """

    async def receive(self, at_most: int) -> list[Incoming]:
        """Wait for messages; return at least one and at most ``at_most``, oldest first."""

    def acknowledge(self, messages: Sequence[Incoming]) -> None:
        """Acknowledge messages to the broker, which then forgets them.

        The broker delivers unacknowledged messages again after the connection, or the process,
        was lost.  A message of an earlier connection is ignored: it is delivered again.  One at
        quality of service 0 is ignored, too: the broker knows it no longer.
        """

    def publish(self, messages: Sequence[Outgoing]) -> asyncio.Future[None]:
        """Hand over messages in order; the future is done when the broker confirmed them all.

        The messages are handed over at once, awaited or not.  Without a connection they wait,
        and go out in the same order when it is back.  Awaiting the future may raise
        :class:`PublishRefusedError`: a message was refused, and the others are confirmed.
        """


@dataclass(frozen=True, slots=True)
class JournalEntry:
    """A command and its events; ``sequence`` counts entries from 1 without gaps."""

    sequence: int
    command: Command
    events: tuple[Event, ...]


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The state after entry ``sequence``, as bytes that the journal does not interpret."""

    sequence: int
    state: bytes


class Journal(Protocol):
    """The durable record of one area: entries, a snapshot, and the mark of published entries.

    An asynchronous context manager: entering takes the lease with a fencing token, which every
    write checks; leaving gives the lease back.
    """

    async def __aenter__(self) -> Self:
        """Take the lease; raises :class:`LeaseHeldError` or :class:`NotDurableError`."""

    async def __aexit__(self, *exc_info: object) -> None:
        """Give the lease back."""

    @property
    def last_sequence(self) -> int:
        """Sequence of the newest entry, 0 for an empty journal."""

    @property
    def published_sequence(self) -> int:
        """Sequence of the last entry whose messages the broker is known to have."""

    async def append(self, entries: Sequence[JournalEntry], published: int) -> None:
        """Write entries, all or none, and return when they are durable.

        ``published`` moves the mark of :attr:`published_sequence` forward in the same write.
        Raises :class:`StaleWriterError`, :class:`SequenceGapError` or
        :class:`JournalUnavailableError`.
        """

    async def renew(self, published: int) -> None:
        """Prolong the lease and move the mark; raises :class:`StaleWriterError`."""

    def read(self, after: int = 0) -> AsyncIterator[JournalEntry]:
        """Yield the entries after sequence ``after``, in order."""

    def begin_snapshot(self, make: Callable[[], bytes]) -> asyncio.Future[bytes]:
        """Begin to write a snapshot of the state after the newest entry, as it is at this call.

        ``make`` returns the state and may be called in a copy of this process, while this one goes
        on.  The future is done when the snapshot is written beside the one in force; it may raise
        :class:`JournalError`, and cancelling it ends the writing.  One is begun at a time.
        """

    async def adopt_snapshot(self, published: int) -> None:
        """Put the snapshot that was begun last, and is written, into force.

        ``published`` moves the mark as :meth:`append` does: messages of entries up to the snapshot
        must be out, because after it they can no longer be made.  Raises
        :class:`StaleWriterError`.
        """

    async def archive_entries(self) -> None:
        """Move entries that no start needs, those before the snapshot, to the archive.

        Does nothing without an archive.  Raises :class:`JournalError`; nothing is lost then.
        """

    async def read_snapshot(self) -> Snapshot | None:
        """Return the newest snapshot, if there is one."""
