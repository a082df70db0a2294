"""A connection that hears JSON: every message is read, and what is none ends nothing."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable, Sequence
from typing import Any, Self

from gateway.errors import TransportError
from gateway.ports import Incoming, Outgoing
from gateway.transport.mqtt import MqttTransport
from gateway.transport.mqtt_settings import MqttSettings

Content = dict[str, Any]
"""A message of the exchange, as its JSON says it."""

OnMessage = Callable[[str, Content | None], None]
"""Called with topic and content; ``None`` where a retained message was removed."""

_LOG = logging.getLogger(__name__)


class JsonListener:
    """A connection that hands over what it hears.

    Parameters
    ----------
    settings
        The broker and the account.
    subscriptions
        What it hears.
    on_message
        Called with each message.  What it raises is logged, and the next message is handed over.
    will
        Makes the message that the broker publishes when a connection breaks.
    on_connected
        Called with each connection; what it returns is sent first.
    """

    def __init__(
        self,
        settings: MqttSettings,
        subscriptions: Sequence[str],
        on_message: OnMessage | None = None,
        *,
        will: Callable[[], Outgoing] | None = None,
        on_connected: Callable[[], Sequence[Outgoing]] = tuple,
    ) -> None:
        self._transport = MqttTransport(settings, subscriptions, will, on_connected=on_connected)
        self._on_message = on_message
        self._listener: asyncio.Task[None] | None = None

    @property
    def connected(self) -> bool:
        """Whether there is a connection to the broker right now."""
        return self._transport.connected

    async def __aenter__(self) -> Self:
        """Connect and listen; raises :class:`gateway.errors.TransportError`."""
        # It is there before the connection is, so that a caller that waits knows when it ends.
        up = asyncio.Event()
        self._listener = asyncio.create_task(self._listen(up), name="client-listen")
        try:
            await self._transport.__aenter__()
        except BaseException:
            self._listener.cancel()
            raise
        up.set()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        """Disconnect."""
        if self._listener is not None:
            self._listener.cancel()
            await asyncio.wait({self._listener})
        await self._transport.__aexit__(*exc_info)

    def publish(self, message: Outgoing) -> asyncio.Future[None]:
        """Publish a message; the future is done when the broker has it, which is no answer."""
        return self._transport.publish([message])

    async def subscribe(self, topics: Sequence[str]) -> None:
        """Hear further topics; raises :class:`gateway.errors.BrokerRefusedError`."""
        await self._transport.subscribe(topics)

    async def wait_while_listening(
        self, futures: set[asyncio.Future[Any]], at_most_s: float | None
    ) -> None:
        """Wait until a future is done, or the time is over.

        Raises
        ------
        TransportError
            When the client is closed, and none is done.
        """
        listener = self._listener
        if listener is not None:
            either: set[asyncio.Future[Any]] = {*futures, listener}
            await asyncio.wait(either, timeout=at_most_s, return_when=asyncio.FIRST_COMPLETED)
        if (listener is None or listener.done()) and not any(each.done() for each in futures):
            raise TransportError("the client is closed")

    async def _listen(self, up: asyncio.Event) -> None:
        await up.wait()
        while True:
            messages = await self._transport.receive(256)
            for message in messages:
                try:
                    self._look_at(message)
                except Exception:
                    # What one message leads to must not end the hearing of all later ones.
                    _LOG.exception("a message on %s was passed over", message.topic[:200])
            self._transport.acknowledge(messages)

    def _look_at(self, message: Incoming) -> None:
        content = _read(message) if message.payload else None
        if content is not None or not message.payload:
            self._take(message.topic, content)

    def _take(self, topic: str, content: Content | None) -> None:
        """Take a message that could be read; empty, it removes a retained one."""
        if self._on_message is not None:
            self._on_message(topic, content)


def _read(message: Incoming) -> Content | None:
    """Return the object that a message says; log what is none, and return ``None``."""
    try:
        content = json.loads(message.payload)
    except (ValueError, RecursionError) as error:
        _LOG.warning("a message on %s is not JSON: %s", message.topic[:200], error)
        return None
    if not isinstance(content, dict):
        _LOG.warning("a message on %s is no JSON object", message.topic[:200])
        return None
    return content
