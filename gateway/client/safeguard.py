"""The safeguard of a trading client: its orders are cancelled when its connection is lost.

Each connection is a session under a new name, and asks for its safeguard before anything else.  The
broker's last will names the session, so a will that comes late concerns no later one.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import re
import secrets
from collections.abc import Sequence
from typing import Any

from gateway.errors import GatewayError, RequestRefusedError, TransportError
from gateway.ports import Outgoing
from gateway.transport.participant_client import ParticipantClient

_LOG = logging.getLogger(__name__)
_SIGNS_OF_LIFE = 3  # in the time after which silence counts
_FAREWELL_S = 2.0


class Safeguard:
    """Asks for the safeguard of each connection, and shows that the client lives.

    Parameters
    ----------
    topic
        Of the participant's orders.
    device
        Client id of the device; a new safeguard takes the place of an older one of its device.
    cancel_on_disconnect
        Whether the end of a connection cancels all orders of the participant.
    silent_s
        Seconds without a message after which they are cancelled, 5 to 3600; ``None`` for never.
    """

    def __init__(
        self, topic: str, device: str, *, cancel_on_disconnect: bool, silent_s: int | None
    ) -> None:
        self._topic = topic
        self._device = re.sub(r"[^A-Za-z0-9._:-]", "-", device.rpartition("/")[2])[:64]
        self._cancels = cancel_on_disconnect
        self._silent_s = silent_s
        self._session = ""
        self._client: ParticipantClient | None = None
        self._confirmation: asyncio.Task[None] | None = None
        self._alive: asyncio.Task[None] | None = None

    def start(self, client: ParticipantClient) -> None:
        """Take the client that is about to connect."""
        self._client = client
        if self._silent_s is not None:
            self._alive = asyncio.create_task(
                self._show_life(self._silent_s / _SIGNS_OF_LIFE), name="client-alive"
            )

    def new_will(self) -> Outgoing:
        """Return the last will of a new connection."""
        self._session = secrets.token_hex(8)
        return self._of_session("disconnected")

    def first_messages(self) -> Sequence[Outgoing]:
        """Return what a new connection says first, and wait for the answer meanwhile."""
        request = {
            "type": "safeguard",
            "request_id": f"safeguard-{self._session}",
            "session": self._session,
            "device": self._device,
            "on_disconnect": "cancel" if self._cancels else "keep",
            "silent_s": self._silent_s,
        }
        if self._confirmation is not None:
            self._confirmation.cancel()
        self._confirmation = asyncio.create_task(self._confirm(request), name="client-safeguard")
        return (self._message(request),)

    async def _confirm(self, request: dict[str, Any]) -> None:
        assert self._client is not None
        answer = await self._client.ask(request, is_sent=True)
        if answer["type"] == "refused":
            refusal = RequestRefusedError(answer["request_id"], answer["reason"], answer["detail"])
            _LOG.error("the safeguard was refused: %s", refusal)
            raise refusal

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

    async def _show_life(self, every_s: float) -> None:
        while True:
            await asyncio.sleep(every_s)
            if self._client is not None and self._client.connected:
                self._client.publish(self._of_session("alive")).add_done_callback(_look_at)

    async def end(self) -> None:
        """Say that the connection ends, which cancels the orders as its loss would."""
        tasks = {each for each in (self._alive, self._confirmation) if each is not None}
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
        client = self._client
        if client is None or not self._cancels or not client.connected:
            return
        with contextlib.suppress(GatewayError, TimeoutError):
            async with asyncio.timeout(_FAREWELL_S):
                await client.publish(self._of_session("disconnected"))

    def _of_session(self, kind: str) -> Outgoing:
        return self._message({"type": kind, "session": self._session})

    def _message(self, content: dict[str, Any]) -> Outgoing:
        return Outgoing(self._topic, json.dumps(content).encode())


def _look_at(sent: asyncio.Future[None]) -> None:
    if not sent.cancelled() and (refusal := sent.exception()) is not None:
        _LOG.warning("no sign of life: %s", refusal)
