"""The Transport port over MQTT: a connection that is made anew after interruptions.

Messages are acknowledged when the service asks for it, published in order within the window that
the broker allows, and never passed to a connection that the broker has not accepted.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Sequence
from typing import Self

import aiomqtt
import paho.mqtt.client as mqtt
from aiomqtt.exceptions import MqttConnectError
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode
from paho.mqtt.subscribeoptions import SubscribeOptions

from gateway.errors import BrokerRefusedError, PublishRefusedError, TransportError
from gateway.ports import Incoming, Outgoing
from gateway.transport.mqtt_client import (
    Handlers,
    ManualAckClient,
    MqttSettings,
    PackedProperties,
    number,
    properties,
)

__all__ = ["MqttSettings", "MqttTransport"]

_LOG = logging.getLogger(__name__)
_UNSUPPORTED_PROTOCOL = (1, 132)  # return codes of MQTT 3.1.1 and of MQTT 5
_FIRST_FAILURE = 0x80  # return codes from here on are failures, in both versions
_CONTENT_TYPE = "application/json"


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
        Message that the broker publishes, retained, when the connection breaks.
    ignore_retained
        Receive no retained messages (MQTT 5 only).  An order that was published as retained would
        otherwise reach the exchange again with every connection.
    """

    def __init__(
        self,
        settings: MqttSettings,
        subscriptions: Sequence[str] = (),
        will: Outgoing | None = None,
        *,
        ignore_retained: bool = False,
    ) -> None:
        self._settings = settings
        self._subscriptions = tuple(subscriptions)
        self._will = will
        self._retain_handling = (
            SubscribeOptions.RETAIN_DO_NOT_SEND
            if ignore_retained
            else SubscribeOptions.RETAIN_SEND_ON_SUBSCRIBE
        )
        self._handlers = Handlers(self._on_accepted, self._on_message, self._on_confirmed)
        self._version = settings.version or 5
        self._client: ManualAckClient | None = None
        self._keeper: asyncio.Task[None] | None = None
        self._received: deque[Incoming] = deque()
        self._arrived = asyncio.Event()
        self._connection = 0
        self._outgoing: deque[tuple[Outgoing, _PublishBatch]] = deque()
        self._under_way: dict[int, tuple[str, _PublishBatch]] = {}
        self._window = settings.inflight_out
        self._properties: dict[int | None, Properties] = {}

    @property
    def connected(self) -> bool:
        """Whether there is a connection right now."""
        return self._client is not None and self._client.is_up

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
        for _, batch in (*self._outgoing, *self._under_way.values()):
            batch.confirmed.cancel()

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
        return [self._received.popleft() for _ in range(count)]

    def acknowledge(self, messages: Sequence[Incoming]) -> None:
        """Acknowledge messages to the broker, which then forgets them."""
        if self._client is None:
            return
        for message in messages:
            # The broker numbers messages anew in each connection: an old number would acknowledge
            # another message.
            if message.connection == self._connection and self._client.is_up:
                self._client.paho.ack(message.message_id, 1)

    def publish(self, messages: Sequence[Outgoing]) -> asyncio.Future[None]:
        """Hand over messages in order; the future is done when all are confirmed."""
        batch = _PublishBatch(len(messages), asyncio.get_running_loop().create_future())
        self._outgoing.extend((message, batch) for message in messages)
        self._pump()
        return batch.confirmed

    def reconnect(self) -> None:
        """Break the connection; it and its subscriptions are made anew."""
        if self._client is not None and self._client.is_up:
            self._client.cut()

    def _pump(self) -> None:
        """Pass messages to paho, as many as the broker allows unconfirmed at a time."""
        client = self._client
        if client is None or not client.is_up:
            # While another thread connects, paho would send a message before its CONNECT.
            return
        while self._outgoing and len(self._under_way) < self._window:
            message, batch = self._outgoing.popleft()
            # paho keeps the message until it is confirmed and sends it again after a
            # reconnection.
            info = client.paho.publish(
                message.topic, message.payload, 1, message.retain, self._publish_properties(message)
            )
            self._under_way[info.mid] = (message.topic, batch)

    def _publish_properties(self, message: Outgoing) -> Properties | None:
        if self._version != 5:
            return None
        expiry = message.expires_after_s
        if expiry not in self._properties:
            fresh = properties(PacketTypes.PUBLISH)
            fresh.ContentType = _CONTENT_TYPE
            if expiry is not None:
                fresh.MessageExpiryInterval = expiry
            self._properties[expiry] = PackedProperties(fresh)
        return self._properties[expiry]

    def _on_message(self, message: mqtt.MQTTMessage) -> None:
        try:
            topic = message.topic
        except UnicodeDecodeError:
            topic = ""  # an unknown topic: the service ignores the message and acknowledges it
        self._received.append(
            Incoming(topic, bytes(message.payload), message.mid, self._connection)
        )
        self._arrived.set()

    def _on_confirmed(self, mid: int, reason: ReasonCode) -> None:
        topic, batch = self._under_way.pop(mid, ("", None))
        if batch is None:
            return
        if reason.is_failure:
            batch.fail(PublishRefusedError(f"the broker refused a message to {topic}: {reason}"))
        batch.confirm_one()
        if self._outgoing:
            # Not within paho's callback, which holds paho's locks.
            asyncio.get_running_loop().call_soon(self._pump)

    def _on_accepted(self, receive_maximum: int) -> None:
        self._connection += 1
        self._window = min(self._settings.inflight_out, receive_maximum)
        # Queued messages came over a connection that has ended; they are delivered again.
        self._received.clear()

    async def _keep_connected(self, first: asyncio.Event) -> None:
        """Connect, subscribe, wait until the connection breaks, and begin again.

        Errors are raised only before ``first`` is set: a refusal at the start is a wrong
        configuration, a later one may be temporary.
        """
        backoff = 0.05
        while True:
            try:
                if self._client is None:
                    self._client = ManualAckClient(
                        self._settings, self._version, self._will, self._handlers
                    )
                async with self._client as client:
                    if self._subscriptions:
                        await self._subscribe(client)
                    backoff = 0.05
                    first.set()
                    self._pump()
                    await client.until_disconnected()
            except MqttConnectError as refusal:
                if not self._downgraded(refusal) and not first.is_set():
                    raise BrokerRefusedError(
                        f"the MQTT broker refused the connection: {refusal}"
                    ) from None
            except aiomqtt.MqttError as error:
                if not first.is_set() and self._settings.version is None:
                    # Some brokers of 3.1.1 do not refuse MQTT 5, but wait for the rest of a
                    # packet they misread: the versions 5 and 4 (3.1.1) take turns.
                    self._version, self._client = 4 if self._version == 5 else 5, None
                _LOG.warning("MQTT connection: %s; trying again in %.2f s", error, backoff)
            except BrokerRefusedError as refusal:
                if not first.is_set():
                    raise
                _LOG.error("%s; trying again in %.2f s", refusal, backoff)
            await asyncio.sleep(backoff)
            backoff = min(2 * backoff, self._settings.longest_backoff_s)

    def _downgraded(self, refusal: MqttConnectError) -> bool:
        """Change to MQTT 3.1.1 where the broker does not speak MQTT 5; return whether it did."""
        may_fall_back = self._settings.version is None and self._version == 5
        if not (may_fall_back and number(refusal.rc) in _UNSUPPORTED_PROTOCOL):
            return False
        self._version, self._client = 4, None
        return True

    async def _subscribe(self, client: ManualAckClient) -> None:
        """Subscribe, also where the broker has kept the session, and check its answer."""
        if self._version == 5:
            options = SubscribeOptions(qos=1, retainHandling=self._retain_handling)
            codes = await client.subscribe([(each, options) for each in self._subscriptions])
        else:
            codes = await client.subscribe([(each, 1) for each in self._subscriptions])
        for topic, code in zip(self._subscriptions, codes, strict=True):
            if number(code) >= _FIRST_FAILURE:
                raise BrokerRefusedError(f"the MQTT broker refused the subscription to {topic}")

    async def _stop_keeper(self) -> None:
        if self._keeper is not None:
            self._keeper.cancel()
            await asyncio.wait({self._keeper})
            self._keeper = None
            self._arrived.set()


class _PublishBatch:
    """Messages handed over together, and the future that is done when all are confirmed."""

    __slots__ = ("_open", "_refusal", "confirmed")

    def __init__(self, count: int, confirmed: asyncio.Future[None]) -> None:
        self._open = count
        self._refusal: PublishRefusedError | None = None
        self.confirmed = confirmed
        if count == 0:
            confirmed.set_result(None)

    def fail(self, refusal: PublishRefusedError) -> None:
        self._refusal = refusal

    def confirm_one(self) -> None:
        self._open -= 1
        if self._open or self.confirmed.done():
            return
        if self._refusal is None:
            self.confirmed.set_result(None)
        else:
            self.confirmed.set_exception(self._refusal)
