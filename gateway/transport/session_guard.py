"""The guard of a client's connections: orders are cancelled when one is lost.

Each connection is a session under a new name, and asks for its safeguard before anything else.  The
broker's last will names the session, so a will that comes late concerns no later one.
"""

from __future__ import annotations

import asyncio
import json
import logging
import re
import secrets
from collections.abc import Sequence
from typing import Any, Protocol

from gateway.errors import RequestRefusedError, TransportError
from gateway.messages.safeguard_requests import last_will_of
from gateway.ports import Outgoing

_LOG = logging.getLogger(__name__)
_SIGNS_OF_LIFE = 3  # in the time after which silence counts


class _Client(Protocol):
    """What the guard needs of the client that it guards."""

    @property
    def connected(self) -> bool: ...

    def publish(self, message: Outgoing) -> asyncio.Future[None]: ...

    async def ask(
        self, message: dict[str, Any], again_after_s: float = 2.0, *, is_sent: bool = False
    ) -> dict[str, Any]: ...


class SessionGuard:
    """Asks for the safeguard of each connection, and shows that the client lives.

    Parameters
    ----------
    client
        The client.
    topic
        Of the participant's orders.
    client_id
        Of the device; a new safeguard takes the place of an older one of its device.
    asked
        Entries of the ``safeguard`` message: ``on_disconnect`` and ``silent_s``.
    """

    def __init__(self, client: _Client, topic: str, client_id: str, asked: dict[str, Any]) -> None:
        self._client = client
        self._topic = topic
        device = re.sub(r"[^A-Za-z0-9._:-]", "-", client_id.rpartition("/")[2])[:64]
        self._asked = {"device": device, "on_disconnect": "keep", "silent_s": None} | asked
        self._confirmation: asyncio.Task[None] | None = None
        self._alive: asyncio.Task[None] | None = None
        self.session = ""
        """Name of the newest connection."""

    @property
    def cancels_on_disconnect(self) -> bool:
        """Whether the end of a connection cancels orders."""
        return bool(self._asked["on_disconnect"] == "cancel")

    def start(self) -> None:
        """Show that the client lives, from now on."""
        if self._asked["silent_s"] is not None:
            self._alive = asyncio.create_task(self._show_life(), name="client-alive")

    async def stop(self) -> None:
        """Show it no more."""
        tasks = {each for each in (self._alive, self._confirmation) if each is not None}
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    def new_will(self) -> Outgoing:
        """Return the last will of a connection that is to be made, under a new session."""
        self.session = secrets.token_hex(8)
        return self.farewell()

    def farewell(self) -> Outgoing:
        """Return the message that the present session is over."""
        return Outgoing(self._topic, last_will_of(self.session))

    def first_messages(self) -> Sequence[Outgoing]:
        """Return what a new connection says first, and wait for the answer meanwhile."""
        request = {
            "type": "safeguard",
            "request_id": f"guard-{self.session}",
            "session": self.session,
        }
        request |= self._asked
        if self._confirmation is not None:
            self._confirmation.cancel()
        self._confirmation = asyncio.create_task(self._confirm(request), name="client-safeguard")
        return (Outgoing(self._topic, json.dumps(request).encode()),)

    async def _confirm(self, request: dict[str, Any]) -> None:
        answer = await self._client.ask(request, is_sent=True)
        if answer["type"] == "refused":
            _LOG.error("the safeguard was refused, %s: %s", answer["reason"], answer["detail"])
            raise RequestRefusedError(answer["request_id"], answer["reason"], answer["detail"])

    async def in_force(self) -> None:
        """Wait until the safeguard of the present connection is in force.

        Raises
        ------
        RequestRefusedError
            When the exchange refuses it: then nothing would cancel an order.
        TransportError
            When the client is closed.
        """
        while (confirmation := self._confirmation) is not None:
            await asyncio.wait({confirmation})
            if confirmation is not self._confirmation:
                continue  # of a former connection
            if confirmation.cancelled():
                break
            confirmation.result()
            return
        raise TransportError("the client is closed")

    async def _show_life(self) -> None:
        silent_s = self._asked["silent_s"]
        while True:
            await asyncio.sleep(silent_s / _SIGNS_OF_LIFE)
            if self._client.connected:  # a sign of life that comes late is none
                sign = json.dumps({"type": "alive", "session": self.session}).encode()
                sent = self._client.publish(Outgoing(self._topic, sign, False, silent_s))
                sent.add_done_callback(_look_at)


def _look_at(sent: asyncio.Future[None]) -> None:
    if not sent.cancelled() and (refusal := sent.exception()) is not None:
        _LOG.warning("no sign of life: %s", refusal)
