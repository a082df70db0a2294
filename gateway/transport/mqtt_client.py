"""One connection to an MQTT broker, inside the event loop: from CONNECT to its end.

:class:`MqttConnection` is an asyncio protocol on the packets of
:mod:`gateway.transport.mqtt_packets` and :mod:`gateway.transport.mqtt_reader`.  It runs on uvloop
and on asyncio's own loops.  It is used once; :mod:`gateway.transport.mqtt` makes another one.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import cast

from gateway.errors import BrokerRefusedError, MalformedPacketError, TransportError
from gateway.ports import Outgoing
from gateway.transport.mqtt_packets import (
    FIRST_FAILURE,
    MAXIMUM_PACKET_SIZE,
    PINGREQ,
    PUBCOMP,
    RECEIVE_MAXIMUM,
    SERVER_KEEPALIVE,
    SESSION_EXPIRY,
    SUBSCRIBE_ID,
    connect_packet,
    disconnect_packet,
    reason_text,
    reply_packet,
    subscribe_packet,
)
from gateway.transport.mqtt_reader import (
    ConnAck,
    Disconnect,
    Packet,
    PacketReader,
    PingResp,
    PubAck,
    Publish,
    PubRel,
    SubAck,
)
from gateway.transport.mqtt_settings import MqttSettings

__all__ = [
    "ConnectionRefusedByBrokerError",
    "Handlers",
    "MqttConnection",
    "MqttSettings",
    "UnansweredError",
]

_BUFFERED_BYTES = 262_144  # of the write buffer, from which on nothing more is published
_FAREWELL_S = 1.0  # what is in the write buffer has this long to leave before a connection ends
_LONGEST_KEEPALIVE_S = 65_535


class UnansweredError(TransportError):
    """The broker was reached, and did not answer a CONNECT; it may not speak its version."""


class ConnectionRefusedByBrokerError(BrokerRefusedError):
    """The broker refused a CONNECT; ``code`` says why."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(f"the MQTT broker refused the connection: {text}")
        self.code = code


@dataclass(frozen=True, slots=True)
class Handlers:
    """What a connection calls when something has come, or can be written again.

    ``accepted`` is called first, before what the broker sent together with its answer.
    """

    accepted: Callable[[ConnAck], None]
    received: Callable[[list[Publish]], None]
    confirmed: Callable[[list[PubAck]], None]
    writable: Callable[[], None]


class MqttConnection(asyncio.Protocol):
    """A connection to a broker, from :meth:`open` to its end.

    Parameters
    ----------
    settings
        Broker, account and limits.
    version
        5, or 4 for 3.1.1.
    tls
        Context of a connection with TLS.
    handlers
        Called in the event loop.
    """

    def __init__(
        self,
        settings: MqttSettings,
        version: int,
        tls: ssl.SSLContext | None,
        handlers: Handlers,
    ) -> None:
        self._settings = settings
        self._version = version
        self._tls = tls
        self._handlers = handlers
        self._loop = asyncio.get_running_loop()
        self._reader = PacketReader(version, settings.largest_packet)
        self._transport: asyncio.Transport | None = None
        self._answer: asyncio.Future[ConnAck | SubAck] = self._loop.create_future()
        self._closed: asyncio.Future[None] = self._loop.create_future()
        self._timer: asyncio.TimerHandle | None = None
        self._pinged = False
        self._accepted = False
        self.writable = True
        """Whether the write buffer has room for messages."""
        self.ended: asyncio.Future[str] = self._loop.create_future()
        """Done when the connection is over, with the reason."""

    @property
    def is_up(self) -> bool:
        """Whether the broker has accepted the connection and it is not over."""
        return self._accepted and not self.ended.done()

    @property
    def has_room(self) -> bool:
        """Whether less is buffered than is written at a time; uvloop pauses only later."""
        assert self._transport is not None
        return self._transport.get_write_buffer_size() < _BUFFERED_BYTES

    async def open(self, will: Outgoing | None) -> ConnAck:
        """Connect, and return the broker's answer, all within the time of the settings.

        Raises
        ------
        TransportError
            When the broker cannot be reached, does not answer, or refuses.
        """
        settings = self._settings
        where = f"{settings.host}:{settings.port}"
        answer: ConnAck | SubAck | None = None
        try:
            async with asyncio.timeout(settings.answer_within_s):
                await self._loop.create_connection(
                    lambda: self, settings.host, settings.port, ssl=self._tls
                )
                self.write(self._connect_packet(will))
                answer = await self._answer
        except TimeoutError:
            within = f"within {settings.answer_within_s:g} s"
            if self._transport is None:
                raise TransportError(f"no connection to {where} {within}") from None
            raise UnansweredError(f"no answer from {where} {within}") from None
        except (OSError, ValueError) as error:  # a name with no address is a ValueError
            raise TransportError(f"no connection to {where}: {error}") from error
        finally:
            if answer is None:
                self.end("given up")
        assert isinstance(answer, ConnAck)
        keepalive_s = answer.properties.get(SERVER_KEEPALIVE) or settings.keepalive_s
        assert isinstance(keepalive_s, int)
        if keepalive_s and self.is_up:
            self._timer = self._loop.call_later(keepalive_s / 2, self._ping, keepalive_s / 2)
        return answer

    def _connect_packet(self, will: Outgoing | None) -> bytes:
        settings = self._settings
        # No topic alias maximum: then a broker sends no aliases.
        properties = (
            (SESSION_EXPIRY, settings.session_expiry_s),
            (RECEIVE_MAXIMUM, settings.inflight_in),
            (MAXIMUM_PACKET_SIZE, settings.largest_packet),
        )
        return connect_packet(
            self._version,
            settings.client_id,
            min(settings.keepalive_s, _LONGEST_KEEPALIVE_S),
            (settings.username, settings.password),
            will,
            properties,
            clean=settings.session_expiry_s == 0,
        )

    async def subscribe(self, filters: Sequence[str], *, retained: bool) -> None:
        """Subscribe at quality of service 1, and check the broker's answer.

        Raises
        ------
        BrokerRefusedError
            When it refuses a filter.
        TransportError
            When it does not answer in time, or the connection ends.
        """
        self._answer = self._loop.create_future()
        self.write(subscribe_packet(self._version, SUBSCRIBE_ID, filters, retained=retained))
        try:
            async with asyncio.timeout(self._settings.answer_within_s):
                answer = await self._answer
        except TimeoutError:
            raise TransportError("the broker did not answer a subscription in time") from None
        assert isinstance(answer, SubAck)
        if len(answer.codes) != len(filters):
            raise TransportError(
                f"the broker answered {len(answer.codes)} of {len(filters)} subscriptions"
            )
        for topic, code in zip(filters, answer.codes, strict=True):
            if code >= FIRST_FAILURE:
                raise BrokerRefusedError(
                    f"the MQTT broker refused the subscription to {topic}: {reason_text(code)}"
                )

    def write(self, packets: bytes) -> None:
        """Send packets, unless the connection is over."""
        if self._transport is not None and not self.ended.done():
            self._transport.write(packets)

    async def close(self) -> None:
        """Say good-bye and close, within a second; the broker then forgets the last will."""
        self.end("closed", disconnect_packet(self._version))
        if self._transport is not None:
            await asyncio.wait({self._closed}, timeout=2 * _FAREWELL_S)

    def end(self, reason: str, farewell: bytes = b"") -> None:
        """End the connection: at once, or after a DISCONNECT has left."""
        if self.ended.done():
            return
        if self._timer is not None:
            self._timer.cancel()
        if not self._answer.done():
            kind = TransportError if self._accepted else UnansweredError
            self._answer.set_exception(kind(reason))
            self._answer.exception()  # whether or not open or subscribe waits for it
        transport = self._transport
        if transport is not None and farewell:
            transport.write(farewell)
            transport.close()
            self._timer = self._loop.call_later(_FAREWELL_S, transport.abort)
        elif transport is not None:
            transport.abort()
        self.ended.set_result(reason)

    def _ping(self, every_s: float, *, last: bool = False) -> None:
        if not self._pinged:
            self._pinged = True
            self.write(PINGREQ)
            self._timer = self._loop.call_later(every_s, self._ping, every_s)
        elif last:
            self.end(f"the broker did not answer a ping within {every_s:g} s")
        else:
            # After a long step of this program uvloop runs timers before it reads: look again.
            again_s = min(every_s, _FAREWELL_S)
            look = partial(self._ping, every_s, last=True)
            self._timer = self._loop.call_later(again_s, look)

    # ---- called by the event loop ----

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport, or close it where the connection was given up meanwhile."""
        wire_side = cast(asyncio.Transport, transport)  # of uvloop it is no such class
        if self.ended.done():
            wire_side.abort()
            return
        self._transport = wire_side
        wire_side.set_write_buffer_limits(high=_BUFFERED_BYTES)
        wire = transport.get_extra_info("socket")
        with contextlib.suppress(OSError):  # the broker may have closed it already
            wire.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def data_received(self, data: bytes) -> None:
        """Take packets; what they confirm and bring is handed over together."""
        if self.ended.done():
            return
        received: list[Publish] = []
        confirmed: list[PubAck] = []
        try:
            for packet in self._reader.feed(data):
                if not self._accepted:
                    self._take_answer(packet)
                elif type(packet) is Publish:
                    received.append(packet)
                elif type(packet) is PubAck:
                    confirmed.append(packet)
                else:
                    self._take(packet)
                if self.ended.done():
                    break
        except MalformedPacketError as error:
            self.end(str(error), disconnect_packet(self._version, error.code))
        if confirmed:
            self._handlers.confirmed(confirmed)
        if received and not self.ended.done():
            self._handlers.received(received)

    def _take_answer(self, packet: Packet) -> None:
        if not isinstance(packet, ConnAck):
            raise MalformedPacketError(f"a {type(packet).__name__} before CONNACK", 0x82)
        if self._answer.done():  # it comes too late
            self.end("given up")
        elif packet.reason:
            refusal = ConnectionRefusedByBrokerError(packet.reason, reason_text(packet.reason))
            self._answer.set_exception(refusal)
            self.end(str(refusal))
        else:
            self._accepted = True
            self._answer.set_result(packet)
            self._handlers.accepted(packet)

    def _take(self, packet: Packet) -> None:
        match packet:
            case PingResp():
                self._pinged = False
            case PubRel():
                self.write(reply_packet(PUBCOMP, packet.packet_id))
            case SubAck() if packet.packet_id == SUBSCRIBE_ID and not self._answer.done():
                self._answer.set_result(packet)
            case Disconnect():
                why = reason_text(packet.reason, packet.text)
                self.end(f"the broker ended the connection: {why}")
            case _:
                raise MalformedPacketError(f"a {type(packet).__name__} that answers nothing", 0x82)

    def pause_writing(self) -> None:
        """Publish nothing more until the write buffer has become shorter."""
        self.writable = False

    def resume_writing(self) -> None:
        """Go on publishing."""
        self.writable = True
        if self.is_up:
            self._handlers.writable()

    def connection_lost(self, exc: Exception | None) -> None:
        """Note that the connection is over, whatever ended it."""
        self.end(f"connection lost: {exc}" if exc else "the broker closed the connection")
        if self._timer is not None:
            self._timer.cancel()
        if not self._closed.done():
            self._closed.set_result(None)
