"""An MQTT broker inside the program, for the demo and for tests.

amqtt speaks MQTT 3.1.1 only and keeps everything in memory: fit for one machine and one
process, not for production.  Nagle's algorithm would cost 40 ms per round trip; asyncio sets
TCP_NODELAY on every connection it accepts, so the broker's side needs nothing more (a test
looks at the sockets).
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from hmac import compare_digest
from typing import Any, Self

from amqtt.broker import Broker
from amqtt.contexts import Action, BaseContext
from amqtt.plugins.base import BaseAuthPlugin, BaseTopicPlugin
from amqtt.session import Session

from gateway.mqtt import MqttSettings
from gateway.topics import Rights, covers


@dataclass(frozen=True, slots=True)
class Account:
    """A user of the embedded broker; ``None`` rights mean everything."""

    password: str
    rights: Rights | None = None


class AccessPlugin(BaseAuthPlugin, BaseTopicPlugin):  # type: ignore[misc]  # amqtt has no types
    """Lets in who has an account, and lets each use the topics it has a right to.

    amqtt loads it by its dotted path and hands it the ``Config``.
    """

    @dataclass
    class Config:
        """Accounts by user name; ``None`` lets everybody in."""

        accounts: Any = field(default=None)

    def __init__(self, context: BaseContext) -> None:
        super().__init__(context)
        self._accounts: Mapping[str, Account] | None = context.config.accounts

    async def authenticate(self, *, session: Session) -> bool:
        """Compare the password; never marks a session anonymous, so that it may persist."""
        if self._accounts is None:
            return True
        account = self._accounts.get(session.username or "")
        return account is not None and compare_digest(
            account.password.encode(), (session.password or "").encode()
        )

    async def topic_filtering(
        self,
        *,
        session: Session | None = None,
        topic: str | None = None,
        action: Action | None = None,
    ) -> bool:
        """Tell whether the session's user may publish to, subscribe to or receive a topic."""
        if self._accounts is None:
            return True
        account = self._accounts.get(session.username or "") if session else None
        if account is None or topic is None:
            return False
        if account.rights is None:
            return True
        publishing = action is Action.PUBLISH
        rights = account.rights.publish if publishing else account.rights.subscribe
        return any(covers(right, topic) for right in rights)


class _Broker(Broker):  # type: ignore[misc]  # amqtt has no types
    """amqtt's broker, which forgets connections that fail before they have a session."""

    def __init__(self, config: dict[str, Any]) -> None:
        super().__init__(config)
        self._connections: dict[asyncio.Task[None], asyncio.StreamWriter] = {}

    async def stream_connected(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, listener_name: str
    ) -> None:
        """Serve one connection, and close it whatever happens."""
        task = asyncio.current_task()
        assert task is not None
        self._connections[task] = writer
        try:
            await super().stream_connected(reader, writer, listener_name)
        except asyncio.CancelledError:
            pass  # only drop_connections cancels, and nobody waits for the outcome
        finally:
            del self._connections[task]
            writer.close()

    async def drop_connections(self) -> None:
        """Close the connections that a shutdown has left."""
        tasks = list(self._connections)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.sleep(0)  # the transports close in the loop's next round


class EmbeddedBroker:
    """Runs an amqtt broker on a free loopback port, in the running event loop.

    Parameters
    ----------
    accounts
        User names with their passwords and rights; ``None`` lets everybody do everything.

    Examples
    --------
    ::

        async with EmbeddedBroker() as broker:
            async with MqttTransport(broker.settings("exchange"), topics.incoming) as transport:
                ...
    """

    def __init__(self, accounts: Mapping[str, Account] | None = None) -> None:
        self._accounts = accounts
        self._broker: _Broker | None = None
        self.host = "127.0.0.1"
        self.port = 0

    @property
    def url(self) -> str:
        """Where clients find it; without user and password."""
        return f"mqtt://{self.host}:{self.port}"

    def settings(self, client_id: str, user: str | None = None) -> MqttSettings:
        """Return how a client reaches it: as ``user``, whose password the broker knows."""
        password = self._accounts[user].password if self._accounts and user else None
        return MqttSettings(
            self.host, self.port, client_id, username=user, password=password, version=4
        )

    async def __aenter__(self) -> Self:
        """Start listening."""
        self._broker = _Broker(
            {
                "listeners": {"default": {"type": "tcp", "bind": f"{self.host}:0"}},
                "plugins": {
                    f"{AccessPlugin.__module__}.{AccessPlugin.__qualname__}": {
                        "accounts": self._accounts
                    }
                },
            }
        )
        await self._broker.start()
        self.port = self._broker._servers["default"].instance.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        """Stop listening and drop all connections."""
        if self._broker is not None:
            await self._broker.shutdown()
            await self._broker.drop_connections()
            self._broker = None
