"""aiomqtt's client with manual acknowledgements.

aiomqtt keeps the connection inside asyncio.  It acknowledges a message before the application
has seen it, ignores refusals in acknowledgements, ignores the broker's receive maximum and, when
used again after a broken connection, does not wait until the new connection is accepted.
:class:`ManualAckClient` changes these four.  Only this module uses internals of aiomqtt 2.5 and
paho 2.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import ssl
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Self
from urllib.parse import unquote

import aiomqtt
import paho.mqtt.client as mqtt
from aiomqtt.types import PahoSocket
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from gateway.formats.urls import split_url
from gateway.ports import Outgoing
from gateway.transport.library_hooks import check_attributes, check_hooks

_LOG = logging.getLogger(__name__)
_NO_DELAY = (socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

# Methods of aiomqtt's client that ours replaces, and what else it uses of its private names.
_HOOKS = (
    "__aenter__",
    "_on_socket_register_write",
    "_on_connect",
    "_on_message",
    "_on_publish",
)
_USED = ("_client", "_connected", "_disconnected", "_loop")


@dataclass(frozen=True, slots=True)
class MqttSettings:
    """The address of a broker, the account, and limits of unconfirmed messages.

    Parameters
    ----------
    host, port, username, password, tls
        The broker and the account.
    client_id
        Name of the persistent session: two connections must not share it.
    version
        5, 4 (which is 3.1.1), or ``None``: ask for 5 and fall back to 3.1.1.
    inflight_in, inflight_out
        Largest number of messages received, or published, without acknowledgement.
    session_expiry_s
        Time for which the broker keeps the session without a connection (MQTT 5; with 3.1.1 the
        broker decides).
    connect_within_s, answer_within_s
        Time for the first connection, all attempts together (later ones are tried without end),
        and for the broker's answer to each attempt.
    """

    host: str
    port: int
    client_id: str
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    tls: bool = False
    version: int | None = None
    inflight_in: int = 2000
    inflight_out: int = 500
    session_expiry_s: int = 86_400
    keepalive_s: int = 30
    connect_within_s: float = 20.0
    answer_within_s: float = 5.0
    longest_backoff_s: float = 10.0

    @classmethod
    def from_url(cls, url: str, client_id: str) -> MqttSettings:
        """Read ``mqtt://user:password@host:port`` or ``mqtts://...``.

        Raises
        ------
        ValueError
            When it is not such a URL; the message does not repeat the password.
        """
        form = "mqtt[s]://user:password@host:port"
        parts = split_url("broker's URL", url, ("mqtt", "mqtts"), form)
        if not parts.hostname or parts.path.strip("/"):
            raise ValueError(f"the broker's URL must look like {form}")
        tls = parts.scheme == "mqtts"
        return cls(
            host=parts.hostname,
            port=parts.port or (8883 if tls else 1883),
            client_id=client_id,
            username=unquote(parts.username) if parts.username else None,
            password=unquote(parts.password) if parts.password else None,
            tls=tls,
        )


@dataclass(frozen=True, slots=True)
class Handlers:
    """Callbacks of the client, called in the event loop's thread.

    ``accepted`` gets the broker's receive maximum, ``confirmed`` a message's number and the
    broker's reason code.
    """

    accepted: Callable[[int], None]
    message: Callable[[mqtt.MQTTMessage], None]
    confirmed: Callable[[int, ReasonCode], None]


class ManualAckClient(aiomqtt.Client):
    """aiomqtt's client with manual acknowledgement; the caller counts unconfirmed publications."""

    def __init__(
        self, settings: MqttSettings, version: int, will: Outgoing | None, handlers: Handlers
    ) -> None:
        check_hooks(ManualAckClient, _HOOKS, "aiomqtt")
        version5 = version == 5
        connect_properties = None
        if version5:
            connect_properties = properties(PacketTypes.CONNECT)
            connect_properties.SessionExpiryInterval = settings.session_expiry_s
            connect_properties.ReceiveMaximum = settings.inflight_in
        super().__init__(
            settings.host,
            settings.port,
            username=settings.username,
            password=settings.password,
            identifier=settings.client_id,
            logger=_LOG.getChild("paho"),
            protocol=aiomqtt.ProtocolVersion.V5 if version5 else aiomqtt.ProtocolVersion.V311,
            will=aiomqtt.Will(will.topic, will.payload, 1, will.retain) if will else None,
            clean_session=None if version5 else False,
            clean_start=False if version5 else mqtt.MQTT_CLEAN_START_FIRST_ONLY,
            properties=connect_properties,
            timeout=settings.answer_within_s,
            keepalive=settings.keepalive_s,
            socket_options=[_NO_DELAY],
            tls_context=ssl.create_default_context() if settings.tls else None,
        )
        check_attributes(self, _USED, "aiomqtt")
        self._handlers = handlers
        self.paho.manual_ack_set(True)
        # The transport keeps its own window: paho's would be searched from its start for
        # each confirmation, and does not know the broker's receive maximum.
        self.paho.max_inflight_messages_set(0)
        self.paho.max_queued_messages_set(0)

    @property
    def paho(self) -> mqtt.Client:
        """The client underneath, for acknowledging and publishing."""
        return self._client

    @property
    def is_up(self) -> bool:
        """Whether the broker has accepted the connection and it is not broken."""
        return self._connected.done() and not self._disconnected.done()

    async def __aenter__(self) -> Self:
        """Connect and wait until the broker accepts the connection."""
        # After a broken connection aiomqtt leaves this future done, and would not wait for
        # the next connection to be accepted.
        if self._connected.done():
            self._connected = asyncio.get_running_loop().create_future()
        return await super().__aenter__()

    async def until_disconnected(self) -> None:
        """Wait for the end of the connection; raises what ended it as ``MqttError``."""
        try:
            await asyncio.shield(self._disconnected)
        except aiomqtt.MqttError:
            raise
        except Exception as error:
            raise aiomqtt.MqttError(f"connection lost: {error}") from error
        raise aiomqtt.MqttError("the broker closed the connection")

    def cut(self) -> None:
        """Close the socket without a DISCONNECT to the broker."""
        wire = self.paho.socket()
        if isinstance(wire, socket.socket):  # TLS too
            with contextlib.suppress(OSError):
                wire.shutdown(socket.SHUT_RDWR)

    def _on_socket_register_write(
        self, client: mqtt.Client, userdata: Any, sock: PahoSocket
    ) -> None:
        """Watch a socket until it can be written to, unless it is closed by then.

        aiomqtt asks the loop to do this later and does not check again, so that it may watch a
        closed file, or the socket of the next connection.
        """

        def write() -> None:
            try:
                client.loop_write()
            except Exception as error:  # after any error the connection is over
                if not self._disconnected.done():
                    self._disconnected.set_exception(error)

        def watch() -> None:
            current = client.socket()
            if current is not None and current is sock and client.want_write():
                self._loop.add_writer(current.fileno(), write)

        self._loop.call_soon_threadsafe(watch)

    def _on_connect(
        self,
        client: mqtt.Client,
        userdata: Any,
        flags: mqtt.ConnectFlags,
        reason_code: ReasonCode,
        properties: Properties | None = None,
    ) -> None:
        if not reason_code.is_failure:
            self._handlers.accepted(getattr(properties, "ReceiveMaximum", 65_535))
        super()._on_connect(client, userdata, flags, reason_code, properties)

    def _on_message(self, client: mqtt.Client, userdata: Any, message: mqtt.MQTTMessage) -> None:
        self._handlers.message(message)

    def _on_publish(
        self,
        client: mqtt.Client,
        userdata: Any,
        mid: int,
        reason_code: ReasonCode,
        properties: Properties,
    ) -> None:
        self._handlers.confirmed(mid, reason_code)


def number(code: object) -> int:
    """Return a reason code of either version as the number it is on the wire."""
    return int(code.value) if isinstance(code, ReasonCode) else int(str(code or 0))


class PackedProperties(Properties):
    """MQTT 5 properties that never change, encoded once instead of for each message."""

    def __init__(self, source: Properties) -> None:
        super().__init__(source.packetType)  # type: ignore[no-untyped-call]  # paho's has no types
        packed: bytes = source.pack()  # type: ignore[no-untyped-call]  # paho's has no types
        self.__dict__["_packed"] = packed  # __setattr__ accepts MQTT's names only

    def pack(self) -> bytes:
        """Return what :meth:`Properties.pack` returned for the source."""
        packed: bytes = self.__dict__["_packed"]
        return packed


def properties(packet_type: int) -> Properties:
    """Return an empty set of MQTT 5 properties for a type of packet."""
    return Properties(packet_type)  # type: ignore[no-untyped-call]  # paho's has no types
