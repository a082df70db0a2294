"""Messages that are to be published: in order, within the broker's limits, until confirmed.

What is not confirmed when a connection ends goes out first on the next, in the same order and
under the same packet ids.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Iterable, Sequence

from gateway.errors import PublishRefusedError, TransportError
from gateway.ports import Outgoing
from gateway.transport.mqtt_packets import (
    FIRST_FAILURE,
    MAXIMUM_PACKET_SIZE,
    MAXIMUM_QOS,
    RECEIVE_MAXIMUM,
    RETAIN_AVAILABLE,
    SUBSCRIBE_ID,
    publish_packet,
    reason_text,
)
from gateway.transport.mqtt_reader import ConnAck, PubAck

_LOG = logging.getLogger(__name__)
_LARGEST_WINDOW = 60_000  # fewer than there are packet ids
_LARGEST_PACKET = 2**32  # bytes, where the broker names no limit
_JOINED_BYTES = 65_536  # from which on no further packet is joined to a write


class Publications:
    """Messages that wait or are under way, on one connection after the other.

    Parameters
    ----------
    window
        Largest number of messages without a confirmation; a broker may allow fewer.
    """

    def __init__(self, window: int) -> None:
        self._most = min(window, _LARGEST_WINDOW)
        self._waiting: deque[_Publication] = deque()
        self._last_id = 0
        self.under_way: dict[int, _Publication] = {}
        """What was sent and is not confirmed, by packet id, oldest first."""

    def begin(self, version: int, answer: ConnAck) -> None:
        """Take the limits of a new connection from the broker's answer; 3.1.1 has none."""

        def limit(name: int, default: int) -> int:
            value = answer.properties.get(name, default)
            assert isinstance(value, int)
            return value

        self._version = version
        self._window = min(self._most, limit(RECEIVE_MAXIMUM, _LARGEST_WINDOW))
        self._largest = limit(MAXIMUM_PACKET_SIZE, _LARGEST_PACKET)
        self._confirms = limit(MAXIMUM_QOS, 1) > 0
        self._retains = limit(RETAIN_AVAILABLE, 1) > 0
        self._session_present = answer.session_present
        if not self._retains:
            _LOG.error("the MQTT broker keeps no retained messages: later readers will miss them")

    def add(self, messages: Sequence[Outgoing]) -> asyncio.Future[None]:
        """Take messages over; the future is done when all of them are confirmed or refused."""
        batch = _PublishBatch(len(messages), asyncio.get_running_loop().create_future())
        self._waiting.extend([_Publication(message, batch) for message in messages])
        return batch.confirmed

    def put_first(self, messages: Sequence[Outgoing]) -> None:
        """Take messages over that go out before all that wait."""
        loop = asyncio.get_running_loop()
        for message in reversed(messages):
            batch = _PublishBatch(1, loop.create_future())
            batch.confirmed.add_done_callback(_refusal_told)
            self._waiting.appendleft(_Publication(message, batch))

    def next_packets(self) -> bytes:
        """Return packets for one write, and count their messages as under way; may be empty."""
        packets: list[bytes] = []
        size = 0
        while self._waiting and size < _JOINED_BYTES and len(self.under_way) < self._window:
            each = self._waiting.popleft()
            try:
                packet = self._packet(each)
            except TransportError as refusal:
                each.batch.refuse_one(PublishRefusedError(str(refusal)))
                continue
            packets.append(packet)
            size += len(packet)
            if each.packet_id:
                self.under_way[each.packet_id] = each
            else:
                each.batch.confirm_one()  # there will be no confirmation
        return packets[0] if len(packets) == 1 else b"".join(packets)

    def _packet(self, publication: _Publication) -> bytes:
        message, again = publication.message, publication.packet_id != 0
        if not self._confirms:
            publication.packet_id = 0
        elif not again:
            publication.packet_id = self._free_id()
        packet = publish_packet(
            self._version,
            message,
            publication.packet_id,
            retain=message.retain and self._retains,
            again=again and self._session_present,
        )
        if len(packet) > self._largest:
            raise TransportError(
                f"the message to {message.topic[:200]} makes a packet of {len(packet):,} bytes,"
                f" and the broker takes at most {self._largest:,}"
            )
        return packet

    def _free_id(self) -> int:
        """Return a packet id under which nothing is under way; the window leaves some free."""
        number = self._last_id
        while True:
            number = number % (SUBSCRIBE_ID - 1) + 1
            if number not in self.under_way:
                self._last_id = number
                return number

    def confirm(self, confirmations: Iterable[PubAck]) -> None:
        """Take the broker's answers; one to an unknown packet id means nothing."""
        for packet_id, reason, text in confirmations:
            each = self.under_way.pop(packet_id, None)
            if each is None:
                continue
            if reason < FIRST_FAILURE:
                each.batch.confirm_one()
                continue
            why = reason_text(reason, text)
            each.batch.refuse_one(
                PublishRefusedError(f"the broker refused a message to {each.message.topic}: {why}")
            )

    def interrupt(self) -> None:
        """Put what is under way in front of what waits: the connection is over."""
        self._waiting.extendleft(reversed(self.under_way.values()))
        self.under_way.clear()

    def cancel(self) -> None:
        """Cancel the futures of everything that is not confirmed."""
        for each in (*self.under_way.values(), *self._waiting):
            each.batch.confirmed.cancel()


def _refusal_told(confirmed: asyncio.Future[None]) -> None:
    """Log that a message was refused for which no caller waits."""
    if not confirmed.cancelled() and (refusal := confirmed.exception()) is not None:
        _LOG.warning("%s", refusal)


class _PublishBatch:
    """Messages handed over together, and the future that is done when all are confirmed."""

    __slots__ = ("_open", "_refusal", "confirmed")

    def __init__(self, count: int, confirmed: asyncio.Future[None]) -> None:
        self._open = count
        self._refusal: PublishRefusedError | None = None
        self.confirmed = confirmed
        if count == 0:
            confirmed.set_result(None)

    def refuse_one(self, refusal: PublishRefusedError) -> None:
        """Count a message that the broker does not take; the first such refusal is told."""
        self._refusal = self._refusal or refusal
        self.confirm_one()

    def confirm_one(self) -> None:
        """Count a message that is done with."""
        self._open -= 1
        if self._open or self.confirmed.done():
            return
        if self._refusal is None:
            self.confirmed.set_result(None)
        else:
            self.confirmed.set_exception(self._refusal)


class _Publication:
    """A message on its way; its packet id is 0 until it is sent for the first time."""

    __slots__ = ("batch", "message", "packet_id")

    def __init__(self, message: Outgoing, batch: _PublishBatch) -> None:
        self.message = message
        self.batch = batch
        self.packet_id = 0
