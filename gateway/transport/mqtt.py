"""The Transport port over MQTT: a connection that is made anew after interruptions.

Messages are acknowledged when the service asks for it, published in order within the window that
the broker allows, and never passed to a connection that the broker has not accepted.  What is not
confirmed when a connection ends goes out first on the next, in the same order.
"""

from __future__ import annotations

import asyncio
import logging
import math
import ssl
import time
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Self

from gateway.errors import BrokerRefusedError, GatewayError, TransportError
from gateway.ports import Incoming, Outgoing
from gateway.transport.mqtt_client import (
    ConnectionRefusedByBrokerError,
    Handlers,
    MqttConnection,
    MqttSettings,
    UnansweredError,
)
from gateway.transport.mqtt_packets import (
    PUBREC,
    disconnect_packet,
    puback_packets,
    reply_packet,
)
from gateway.transport.mqtt_publications import Publications
from gateway.transport.mqtt_reader import ConnAck, PubAck, Publish

__all__ = ["MqttSettings", "MqttTransport"]

_LOG = logging.getLogger(__name__)
_UNSUPPORTED_PROTOCOL = (1, 0x84)  # return codes of MQTT 3.1.1 and of MQTT 5
_FIRST_WAIT_S = 0.05  # before the second attempt; doubles from attempt to attempt
_LONGEST_WAIT_S = 1.0  # where the broker answers, but connections end soon
_LASTING_S = 1.0  # a connection that lasted so long was a good one
_BETWEEN_NOTES_S = 10.0  # in the log about messages that were dropped
_LATE_ANSWER_S = 0.3  # to a subscription of a session that was resumed


class MqttTransport:
    """The Transport port on an MQTT broker.

    Parameters
    ----------
    settings
        The broker, and limits of unconfirmed messages.
    subscriptions
        Topic filters to receive; the session is persistent, so unacknowledged messages are
        delivered again.
    will
        Message that the broker publishes when the connection breaks, or what makes one for each
        connection.
    ignore_retained
        Take no retained messages.  An order that was published as retained would otherwise reach
        the exchange again with every connection.
    payload_at_most
        Bytes of a payload that are kept; the rest of a longer one is cut off.
    on_connected
        Called whenever a broker has accepted a connection; the messages that it returns go out
        first, before those that wait.
    may_publish
        Awaited before each connection, and again when the broker has accepted it, before anything
        is published on it.  Raises a :class:`gateway.errors.GatewayError` where another process may
        have taken this one's place: then the connection is not made, or ends at once.
    """

    def __init__(
        self,
        settings: MqttSettings,
        subscriptions: Sequence[str] = (),
        will: Outgoing | Callable[[], Outgoing] | None = None,
        *,
        ignore_retained: bool = False,
        payload_at_most: int | None = None,
        on_connected: Callable[[], Sequence[Outgoing]] = tuple,
        may_publish: Callable[[], Awaitable[object]] | None = None,
    ) -> None:
        self._settings = settings
        self._subscriptions = tuple(subscriptions)
        self._will = will
        self._ignore_retained = ignore_retained
        self._payload_at_most = payload_at_most
        self._on_connected = on_connected
        self._may_publish = may_publish
        self._publishing: MqttConnection | None = None  # the connection on which it may
        self._subscribing = asyncio.Lock()
        self._tls = ssl.create_default_context() if settings.tls else None
        self._handlers = Handlers(
            self._on_accepted, self._on_received, self._on_confirmed, self._pump
        )
        self._version = settings.version or 5
        self._link: MqttConnection | None = None
        self._keeper: asyncio.Task[None] | None = None
        self._received: deque[Incoming] = deque()
        self._unacknowledged: dict[int, Incoming] = {}
        self._dropped = 0
        self._drops_noted_from = -math.inf
        self._arrived = asyncio.Event()
        self._connection = 0
        self._excess_in = 0  # The connection in which the broker sent more than it may.
        self._publications = Publications(settings.inflight_out)
        self._last_failure = ""

    @property
    def connected(self) -> bool:
        """Whether there is a connection right now."""
        return self._link is not None and self._link.is_up

    @property
    def connections(self) -> int:
        """Number of connections that a broker has accepted so far."""
        return self._connection

    async def __aenter__(self) -> Self:
        """Connect and subscribe; raises :class:`gateway.errors.TransportError`."""
        loop = asyncio.get_running_loop()
        first = asyncio.Event()
        keeper = loop.create_task(self._keep_connected(first), name="mqtt-connection")
        keeper.add_done_callback(lambda _: self._arrived.set())
        self._keeper = keeper
        up = loop.create_task(first.wait())
        try:
            await asyncio.wait(
                {up, keeper},
                timeout=self._settings.connect_within_s,
                return_when=asyncio.FIRST_COMPLETED,
            )
            if keeper.done():
                keeper.result()
            if not up.done():
                raise TransportError(
                    f"no connection to the MQTT broker at {self._settings.host}:"
                    f"{self._settings.port} within {self._settings.connect_within_s:g} s"
                    f"{self._last_failure}"
                )
        except BaseException:
            await self._stop_keeper()
            raise
        finally:
            up.cancel()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        """Disconnect; futures of unconfirmed messages are cancelled."""
        await self._stop_keeper()
        self._publications.cancel()

    async def receive(self, at_most: int) -> list[Incoming]:
        """Wait for messages; return at least one and at most ``at_most``, oldest first."""
        while not self._received:
            if self._keeper is None:
                raise TransportError("the MQTT transport is closed")
            if self._keeper.done():
                self._keeper.result()
            self._arrived.clear()
            await self._arrived.wait()
        count = min(at_most, len(self._received))
        messages = [self._received.popleft() for _ in range(count)]
        if self._dropped and not self._received and time.monotonic() >= self._drops_noted_from:
            self._drops_noted_from = time.monotonic() + _BETWEEN_NOTES_S
            _LOG.warning("%d messages at quality of service 0 were dropped", self._dropped)
            self._dropped = 0
        return messages

    def acknowledge(self, messages: Sequence[Incoming]) -> None:
        """Acknowledge messages to the broker, which then forgets them.

        One at quality of service 0 has nothing to acknowledge.
        """
        if self._link is None or not self._link.is_up:
            return
        known = self._unacknowledged
        # The broker numbers messages anew in each connection, and again after an acknowledgement:
        # an old number would acknowledge another message.
        own = [each for each in messages if known.get(each.message_id) is each]
        for each in own:
            del known[each.message_id]
        packets = puback_packets([each.message_id for each in own if each.qos == 1])
        for each in own:
            if each.qos == 2:
                packets += reply_packet(PUBREC, each.message_id)
        if packets:
            self._link.write(packets)

    def publish(self, messages: Sequence[Outgoing]) -> asyncio.Future[None]:
        """Hand over messages in order; the future is done when all are confirmed."""
        confirmed = self._publications.add(messages)
        self._pump()
        return confirmed

    async def subscribe(self, filters: Sequence[str]) -> None:
        """Receive further topics, on this connection and all later ones.

        Returns when the broker has agreed, or a later connection will ask it.

        Raises
        ------
        BrokerRefusedError
            When the broker refuses a filter; then none of them is received.
        """
        new = tuple(each for each in filters if each not in self._subscriptions)
        before, self._subscriptions = self._subscriptions, (*self._subscriptions, *new)
        async with self._subscribing:
            link = self._link
            if not new or link is None or not link.is_up:
                return
            try:
                await link.subscribe(new, retained=not self._ignore_retained)
            except BrokerRefusedError:
                self._subscriptions = before
                raise
            except TransportError as error:
                link.end(str(error))

    def reconnect(self) -> None:
        """Break the connection; it and its subscriptions are made anew."""
        if self._link is not None:
            self._link.end("broken on purpose")

    def _pump(self) -> None:
        """Write messages, as many as the broker and the write buffer take."""
        link = self._publishing
        if link is None or link is not self._link or not link.is_up:
            return
        while link.writable and (packets := self._publications.next_packets()):
            link.write(packets)
            if not link.has_room:
                # uvloop writes, or pauses the writing, at the end of this round.
                asyncio.get_running_loop().call_soon(self._pump)
                return

    def _on_received(self, messages: list[Publish]) -> None:
        ignored: list[Incoming] = []
        at_most = self._payload_at_most
        for topic, payload, qos, packet_id, retain in messages:
            message = Incoming(topic, payload[:at_most], packet_id, self._connection, qos)
            if qos:
                self._unacknowledged[packet_id] = message
            elif len(self._received) >= self._settings.inflight_in:
                self._dropped += 1
                continue
            if retain and self._ignore_retained:
                ignored.append(message)
            else:
                self._received.append(message)
        self.acknowledge(ignored)
        if self._version == 5 and len(self._unacknowledged) > self._settings.inflight_in:
            self._note_excess()
        self._arrived.set()

    def _note_excess(self) -> None:
        """Log, once for each connection, that the broker sends more than it may.

        mosquitto 2.0 does when it resumes a session with a long queue.  To end the connection would
        not help: the next one would get the same messages.  Packet ids bound their number.
        """
        if self._excess_in != self._connection:
            self._excess_in = self._connection
            _LOG.warning(
                "the broker sends more than the %d messages that may be unacknowledged",
                self._settings.inflight_in,
            )

    def _on_confirmed(self, confirmations: list[PubAck]) -> None:
        self._publications.confirm(confirmations)
        self._pump()

    def _on_accepted(self, answer: ConnAck) -> None:
        self._connection += 1
        self._publications.begin(self._version, answer)
        # Messages came over a connection that has ended.  They are delivered again, but for those
        # at quality of service 0.
        self._unacknowledged.clear()
        self._received = deque(each for each in self._received if not each.qos)
        self._publications.put_first(self._on_connected())

    async def _keep_connected(self, first: asyncio.Event) -> None:
        """Connect, subscribe, wait until the connection breaks, and begin again.

        Errors are raised only before ``first`` is set: a refusal at the start is a wrong
        configuration, a later one may be temporary.
        """
        loop = asyncio.get_running_loop()
        wait_s = _FIRST_WAIT_S
        while True:
            began, connections, version = loop.time(), self._connection, self._version
            link = self._link = MqttConnection(
                self._settings, self._version, self._tls, self._handlers
            )
            why = await self._serve_one(link, first)
            link.end(why, disconnect_packet(self._version))
            self._publications.interrupt()
            if loop.time() - began > _LASTING_S and self._connection > connections:
                wait_s = _FIRST_WAIT_S
            level = logging.WARNING if version == self._version else logging.INFO
            _LOG.log(level, "MQTT connection: %s; trying again in %.2f s", why, wait_s)
            self._last_failure = f"; the last attempt: {why}"
            await asyncio.sleep(wait_s)
            longest_s = self._settings.longest_backoff_s
            if self._connection > connections:
                longest_s = min(longest_s, _LONGEST_WAIT_S)
            wait_s = min(2 * wait_s, longest_s)

    async def _serve_one(self, link: MqttConnection, first: asyncio.Event) -> str:
        """Keep one connection until it is over; return why it is."""
        try:
            will = self._will() if callable(self._will) else self._will
            if self._may_publish is not None:
                await self._may_publish()
            answer = await link.open(will)
            if self._may_publish is not None:
                # Who takes this one's place connects after that, and so ends this connection.
                await self._may_publish()
            self._publishing = link
            await self._subscribe(link, first if answer.session_present else asyncio.Event())
            first.set()
            self._pump()
            return await asyncio.shield(link.ended)  # a cancellation is not its end
        except ConnectionRefusedByBrokerError as refusal:
            speaks_5 = refusal.code not in _UNSUPPORTED_PROTOCOL
            if speaks_5 or self._settings.version is not None or self._version != 5:
                if not first.is_set():
                    raise
            else:
                self._version = 4
            return str(refusal)
        except BrokerRefusedError as refusal:
            if not first.is_set():
                raise
            return str(refusal)
        except UnansweredError as error:
            # Some brokers of 3.1.1 do not refuse MQTT 5, but wait for the rest of a packet that
            # they misread, or close: the versions 5 and 4 (3.1.1) take turns.
            if not first.is_set() and self._settings.version is None:
                self._version = 4 if self._version == 5 else 5
            return str(error)
        except TransportError as error:
            return str(error)
        except GatewayError as replaced:
            if not first.is_set():
                raise
            return str(replaced)
        except Exception as bug:
            if not first.is_set():
                raise TransportError(f"no connection to the MQTT broker: {bug!r}") from bug
            _LOG.exception("the MQTT connection ended with an internal error")
            return repr(bug)

    async def _subscribe(self, link: MqttConnection, resumed: asyncio.Event) -> None:
        """Subscribe; set ``resumed`` where the answer takes long.

        A session that was resumed has its subscriptions, and the broker may send again what was
        not acknowledged, and wait for that before it answers (amqtt does): then the application
        must listen meanwhile.
        """
        if not self._subscriptions:
            return
        late = asyncio.get_running_loop().call_later(_LATE_ANSWER_S, resumed.set)
        try:
            async with self._subscribing:
                await link.subscribe(self._subscriptions, retained=not self._ignore_retained)
        finally:
            late.cancel()

    async def _stop_keeper(self) -> None:
        if self._keeper is not None:
            self._keeper.cancel()
            await asyncio.wait({self._keeper})
            self._keeper = None
            self._arrived.set()
        if self._link is not None:
            await self._link.close()
