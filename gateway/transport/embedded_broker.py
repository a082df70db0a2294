"""An MQTT broker inside the program, for the demo and for tests.

amqtt speaks MQTT 3.1.1 only and keeps everything in memory: it is for one machine and one process,
not for production.  By itself it would let any account publish to any topic through a last will,
take over the session of another account through its client id, and read retained messages without
a right to them; :class:`_Broker` prevents these three.

Nagle's algorithm would cost 40 ms per round trip; asyncio sets TCP_NODELAY on every connection
it accepts, so the broker's side needs nothing more (a test looks at the sockets).
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from hmac import compare_digest
from typing import Any, Self

from amqtt.adapters import ReaderAdapter, WriterAdapter
from amqtt.broker import Broker, RetainedApplicationMessage, Server
from amqtt.contexts import Action
from amqtt.errors import BrokerError, MQTTError
from amqtt.mqtt.connack import (
    IDENTIFIER_REJECTED,
    NOT_AUTHORIZED,
    UNACCEPTABLE_PROTOCOL_VERSION,
    ConnackPacket,
)
from amqtt.mqtt.protocol.broker_handler import BrokerProtocolHandler
from amqtt.session import Session

from gateway.errors import TransportError
from gateway.messages.topics import Rights, covers
from gateway.transport.broker_log import nothing_logged
from gateway.transport.broker_streams import FirstPacket, NewerProtocolError, OpenWriter
from gateway.transport.library_hooks import check_attributes, check_hooks
from gateway.transport.mqtt_client import MqttSettings

_REFUSED_SUBSCRIPTION = 0x80  # return code of SUBACK
_SHUTDOWN_S = 5.0  # amqtt's shutdown has this long
_CANCELLATIONS = 3  # amqtt may lose one
_FAREWELL_S = 1.0  # a replaced connection has this long to end before it is cancelled

# Methods of amqtt's broker that ours replaces, and what else it uses of amqtt's private names.
_HOOKS = (
    "stream_connected",
    "_initialize_client_session",
    "_authenticate",
    "_topic_filtering",
    "_handle_client_session",
    "_handle_subscription",
    "_publish_retained_messages_for_subscription",
    "_publish_session_retained_messages",
)
_USED = (
    "_delete_session",
    "_get_handler",
    "_matches",
    "_retained_messages",
    "_servers",
    "_sessions",
    "_stop_handler",
    "_tasks_queue",
)


@dataclass(frozen=True, slots=True)
class BrokerAccount:
    """A user of the embedded broker; ``None`` rights mean everything."""

    password: str = field(repr=False)
    rights: Rights | None = None


class _Broker(Broker):  # type: ignore[misc]  # amqtt has no types
    """amqtt's broker, restricted to the rights of each account.

    It also closes connections that fail before they have a session, and ends a connection before
    another one takes over its session.
    """

    def __init__(
        self, config: dict[str, Any], accounts: Mapping[str, BrokerAccount] | None
    ) -> None:
        check_hooks(_Broker, _HOOKS, "amqtt")
        super().__init__(config)
        check_attributes(self, _USED, "amqtt")
        self._accounts = accounts
        self._connections: dict[asyncio.Task[None], asyncio.StreamWriter] = {}
        self._serving: dict[str, asyncio.Task[None]] = {}
        self._ending = False

    async def stream_connected(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, listener_name: str
    ) -> None:
        """Serve one connection, and close it in any case."""
        task = asyncio.current_task()
        assert task is not None
        self._connections[task] = writer
        try:
            if not self._ending:
                await super().stream_connected(reader, OpenWriter(writer), listener_name)
        except (asyncio.CancelledError, ConnectionError):
            pass  # only the end of the broker cancels, and it ignores the outcome
        finally:
            del self._connections[task]
            writer.close()

    async def end(self) -> None:
        """Stop listening and drop all connections.

        amqtt's own shutdown cancels the reading of each connection and waits for it; where bytes
        come in the same moment, the cancellation is lost and the wait has no end.  A connection
        that is cut ends by itself.
        """
        self._ending = True
        for server in self._servers.values():
            server.instance.close()  # or clients would come back meanwhile
        for writer in self._connections.values():
            writer.transport.abort()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_SHUTDOWN_S):
                await self.shutdown()
        for _ in range(_CANCELLATIONS):
            if not self._connections:
                break
            for task in self._connections:
                task.cancel()
            await asyncio.wait(self._connections, timeout=_FAREWELL_S)
        await asyncio.sleep(0)  # the transports close in the loop's next round

    async def _initialize_client_session(
        self, reader: ReaderAdapter, writer: WriterAdapter, remote_address: str, remote_port: int
    ) -> tuple[BrokerProtocolHandler, Session]:
        """Check a CONNECT before amqtt touches the session that it names."""
        packet = FirstPacket(reader)
        try:
            _, asking = await BrokerProtocolHandler.init_from_connect(
                packet, writer, self.plugins_manager
            )
        except NewerProtocolError:
            await ConnackPacket.build(0, UNACCEPTABLE_PROTOCOL_VERSION).to_stream(writer)
            raise
        refusal = self._refusal(asking)
        if refusal is not None:
            code, why = refusal
            await ConnackPacket.build(0, code).to_stream(writer)
            raise MQTTError(f"connection of {asking.username!r} refused: {why}")
        await self._end_previous(asking.client_id)
        handler, session = await super()._initialize_client_session(
            packet.again(), writer, remote_address, remote_port
        )
        session.will_retain = asking.will_retain  # amqtt keeps the previous connection's
        return handler, session

    def _refusal(self, asking: Session) -> tuple[int, str] | None:
        """Return code and reason where a connection must be refused."""
        if not self._known(asking):
            return NOT_AUTHORIZED, "no such account, or another password"
        if asking.will_flag:
            # amqtt publishes a last will without a check of rights.
            topic = asking.will_topic or ""
            if not topic or topic.startswith("$") or any(each in topic for each in "+#\0"):
                return NOT_AUTHORIZED, f"a last will cannot be published to {topic!r}"
            if not self._may(asking, topic, Action.PUBLISH):
                return NOT_AUTHORIZED, f"no right to the topic of its last will, {topic!r}"
        if not self._may_be_called(asking):
            return (
                IDENTIFIER_REJECTED,
                f"the client id {asking.client_id!r} belongs to another account",
            )
        return None

    def _known(self, session: Session) -> bool:
        if self._accounts is None:
            return True
        account = self._accounts.get(session.username or "")
        return account is not None and compare_digest(
            account.password.encode(), (session.password or "").encode()
        )

    def _may_be_called(self, asking: Session) -> bool:
        """Return whether an account may use a client id.

        ``name`` and ``name/...`` belong to the account of that name, unless a longer name fits,
        and every session belongs to the account that began it.
        """
        if self._accounts is None:
            return True
        levels = asking.client_id.split("/")
        names = ("/".join(levels[:count]) for count in range(len(levels), 0, -1))
        owner = next((name for name in names if name in self._accounts), asking.username)
        if owner != asking.username:
            return False
        session, _ = self._sessions.get(asking.client_id, (None, None))
        return session is None or session.username == asking.username

    def _may(self, session: Session, topic: str, action: Action) -> bool:
        if self._accounts is None:
            return True
        account = self._accounts.get(session.username or "")
        if account is None:
            return False
        if account.rights is None:
            return True
        publishing = action is Action.PUBLISH
        rights = account.rights.publish if publishing else account.rights.subscribe
        return any(covers(right, topic) for right in rights)

    async def _authenticate(self, session: Session, listener: object) -> bool:
        """Return whether the account is known; no session is anonymous, so all may persist."""
        return self._known(session)

    async def _topic_filtering(self, session: Session, topic: str, action: Action) -> bool:
        """Return whether the session's user may publish to, subscribe to or receive a topic."""
        return self._may(session, topic, action)

    async def _end_previous(self, client_id: str) -> None:
        """End the connection that uses a client id, before the next one takes over its session.

        amqtt would let both use one session: the end of the old connection then marks the session
        as disconnected while the new one uses it, and the new one receives nothing more.
        """
        session, handler = self._sessions.get(client_id, (None, None))
        task = self._serving.get(client_id)
        if task is not None and handler is not None:
            await handler.handle_connection_closed()
            await asyncio.wait({task}, timeout=_FAREWELL_S)
            if not task.done():
                task.cancel()
                await asyncio.wait({task})
        if session is not None and session.clean_session:
            await self._delete_session(client_id)

    async def _handle_client_session(
        self,
        reader: ReaderAdapter,
        writer: WriterAdapter,
        client_session: Session,
        handler: BrokerProtocolHandler,
        server: Server,
        listener_name: str,
    ) -> None:
        """Serve an accepted connection; its session is disconnected afterwards."""
        task = asyncio.current_task()
        assert task is not None
        self._serving[client_session.client_id] = task
        try:
            await super()._handle_client_session(
                reader, writer, client_session, handler, server, listener_name
            )
        finally:
            if self._serving.get(client_session.client_id) is task:
                del self._serving[client_session.client_id]
                # amqtt leaves it connected where the connection ended with an error.
                if client_session.transitions.is_connected():
                    client_session.transitions.disconnect()
                    await self._stop_handler(handler)

    async def _handle_subscription(
        self,
        client_session: Session,
        handler: BrokerProtocolHandler,
        subscribe_waiter: asyncio.Future[Any],
    ) -> None:
        """Grant or refuse subscriptions, and send what is retained for those granted."""
        asked = subscribe_waiter.result()
        codes = [await self.add_subscription(each, client_session) for each in asked.topics]
        await handler.mqtt_acknowledge_subscription(asked.packet_id, codes)
        for (topic_filter, _), code in zip(asked.topics, codes, strict=True):
            if code != _REFUSED_SUBSCRIPTION:
                self._send_retained(topic_filter, code, client_session, handler)

    def _send_retained(
        self, topic_filter: str, qos: int, session: Session, handler: BrokerProtocolHandler
    ) -> None:
        for topic, kept in self._retained_messages.items():
            if self._matches(topic, topic_filter):
                self._send(kept, min(qos, kept.qos or qos), session, handler, retain=True)

    def _send(
        self,
        message: RetainedApplicationMessage,
        qos: int,
        session: Session,
        handler: BrokerProtocolHandler,
        *,
        retain: bool,
    ) -> None:
        """Send a kept message if the session has the right to it.

        amqtt itself would wait for the client's acknowledgements here and meanwhile not even
        answer its SUBSCRIBE.
        """
        if self._may(session, message.topic, Action.RECEIVE):
            sending = handler.mqtt_publish(message.topic, message.data, qos, retain=retain)
            self._tasks_queue.append(asyncio.ensure_future(sending))

    async def _publish_retained_messages_for_subscription(
        self, subscription: tuple[str, int], session: Session
    ) -> None:
        """Do nothing: amqtt calls this for all clients' subscriptions whenever one connects.

        Retained messages go out with a subscription, as MQTT specifies.
        """

    async def _publish_session_retained_messages(self, session: Session) -> None:
        """Send the messages of the time without a connection, as far as the client has rights."""
        handler = self._get_handler(session)
        while handler is not None and not session.retained_messages.empty():
            message = session.retained_messages.get_nowait()
            self._send(message, message.qos, session, handler, retain=False)


class EmbeddedBroker:
    """Runs an amqtt broker on a loopback port, in the running event loop.

    Parameters
    ----------
    accounts
        User names with their passwords and rights; ``None`` gives every client all rights.
        The client ids ``name`` and ``name/...`` are for the account of that name only.
    port
        The port; 0 is a free one.

    Examples
    --------
    ::

        async with EmbeddedBroker() as broker:
            async with MqttTransport(broker.settings("exchange"), topics.incoming) as transport:
                ...
    """

    def __init__(self, accounts: Mapping[str, BrokerAccount] | None = None, port: int = 0) -> None:
        self._accounts = accounts
        self._broker: _Broker | None = None
        self.host = "127.0.0.1"
        self.port = port

    @property
    def url(self) -> str:
        """Its address, without user and password."""
        return f"mqtt://{self.host}:{self.port}"

    def settings(self, client_id: str, user: str | None = None) -> MqttSettings:
        """Return the settings of a client that connects as ``user``."""
        password = self._accounts[user].password if self._accounts and user else None
        return MqttSettings(
            self.host, self.port, client_id, username=user, password=password, version=4
        )

    async def __aenter__(self) -> Self:
        """Start listening."""
        self._broker = _Broker(
            {
                "listeners": {"default": {"type": "tcp", "bind": f"{self.host}:{self.port}"}},
                "plugins": {},
            },
            self._accounts,
        )
        try:
            await self._broker.start()
        except (BrokerError, OSError) as error:
            raise TransportError(
                f"the embedded broker cannot listen on {self.host}:{self.port}: {error}"
            ) from None
        self.port = self._broker._servers["default"].instance.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        """Stop listening and drop all connections."""
        if self._broker is not None:
            with nothing_logged():
                await self._broker.end()
            self._broker = None
