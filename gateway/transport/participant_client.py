"""The client of a participant or a role: it sends requests and waits for their reports.

The demo's agents, tests and benchmarks use it, and it shows how a client should behave: the
exchange's report is the only acknowledgement, so a client without a report sends the request again
under the same id, which has the effect of sending it once.  A report that answers a request has
its id in ``request_id``; nothing else is needed to match the two.
"""

from __future__ import annotations

import asyncio
import json
import secrets
from collections.abc import Callable
from typing import Any, Self

from exchange.vocabulary.rules import METERING, OPERATOR, TSO
from gateway.formats.strict_json import MAX_REQUEST_BYTES, id_of
from gateway.messages.requests import id_key
from gateway.messages.safeguard_requests import last_will_of
from gateway.messages.topics import Topics
from gateway.ports import Incoming, Outgoing
from gateway.transport.mqtt import MqttTransport
from gateway.transport.mqtt_client import MqttSettings

ReportContent = dict[str, Any]


class ParticipantClient:
    """A connection of one participant.

    Parameters
    ----------
    settings
        The broker and the account; the client id names the session.
    topics
        The area's topics.
    name
        The participant, ``"tso"``, ``"operator"`` or ``"metering"``.
    subscriptions
        Further topics, beside the participant's own reports.
    on_message
        Called with topic and content of each message, after a report has been handled.
    safeguard
        Entries of a participant's ``safeguard`` message, for example
        ``{"on_disconnect": "cancel", "silent_s": 30}``.  Each connection then has a last will and a
        session of its own, and sets this safeguard; signs of life are sent as long as this runs.
    """

    def __init__(
        self,
        settings: MqttSettings,
        topics: Topics,
        name: str,
        subscriptions: tuple[str, ...] = (),
        on_message: Callable[[str, Any], None] | None = None,
        safeguard: dict[str, Any] | None = None,
    ) -> None:
        self._name = name
        self._reports_topic = topics.report(name)
        special = {TSO: topics.interface_limits, OPERATOR: topics.control}
        self._orders_topic = special.get(name) or topics.order(name)
        self._meter_topic = topics.meter if name == METERING else None
        self._safeguard = safeguard
        self._transport = MqttTransport(
            settings,
            (self._reports_topic, *subscriptions),
            None if safeguard is None else self._last_will,
            on_accepted=self._guard,
        )
        self._on_message = on_message
        self._waiting: dict[str, asyncio.Future[ReportContent]] = {}
        # Of this run: a client that starts anew must not use the ids of its former run.
        self._run = secrets.token_hex(6)
        self._ids = 0
        self._tasks: list[asyncio.Task[None]] = []
        self.session = ""
        """Of the newest connection, where there is a safeguard."""
        self.last_sequence = 0
        """Of the newest report seen."""
        self.missed = 0
        """Number of reports that were lost so far."""

    async def __aenter__(self) -> Self:
        """Connect and listen."""
        await self._transport.__aenter__()
        self._tasks = [asyncio.create_task(self._listen(), name="client-listen")]
        if (self._safeguard or {}).get("silent_s") is not None:
            self._tasks.append(asyncio.create_task(self._say_alive(), name="client-alive"))
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        """Disconnect."""
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)
        await self._transport.__aexit__(*exc_info)

    async def ask(self, message: dict[str, Any], again_after_s: float = 2.0) -> ReportContent:
        """Send a message and return the report that answers it; repeat it until there is one.

        Parameters
        ----------
        message
            Any request of the participant or role; where it has no id, it gets one.
        again_after_s
            Seconds after which it is sent again, under the same id.

        Returns
        -------
        The first report about the request that is its answer: it was carried out, or ``refused``.
        A message that comes too fast is not read and has no answer of its own; it is sent again.

        Raises
        ------
        ValueError
            When the exchange could not tell whom to answer: an id that is none, or a message that
            is too large to be read.
        """
        message = self.with_id(message)
        key = self._checked_id(message)
        answer = self._waiting.get(key)
        if answer is None:
            answer = self._waiting[key] = asyncio.get_running_loop().create_future()
        try:
            while True:
                self.send(message)
                done, _ = await asyncio.wait({answer}, timeout=again_after_s)
                if done:
                    return answer.result()
        finally:
            if self._waiting.get(key) is answer:
                del self._waiting[key]

    def with_id(self, message: dict[str, Any]) -> dict[str, Any]:
        """Return a message with an id of its own, that which it has or one never used before."""
        name = id_key(self._name, message.get("type"))
        if message.get(name) is not None:
            return message
        self._ids += 1
        return {**message, name: f"{self._run}-{self._ids}"}

    def _checked_id(self, message: dict[str, Any]) -> str:
        """Return the id of a message, under which its answer will come."""
        name = id_key(self._name, message.get("type"))
        request_id = id_of(message, name)
        if request_id is None:
            raise ValueError(f"{name} is {message[name]!r}, which is not an id")
        size = len(json.dumps(message).encode())
        if size > MAX_REQUEST_BYTES:
            raise ValueError(
                f"request {request_id} has {size:,} bytes, at most {MAX_REQUEST_BYTES:,} are read"
            )
        return request_id

    def send(self, message: dict[str, Any]) -> asyncio.Future[None]:
        """Send a message; the future is done when the broker has it, which is not an answer.

        Where the message has no id, it gets one.
        """
        message = self.with_id(message)
        payload = json.dumps(message).encode()
        if self._meter_topic is None:
            return self.send_bytes(payload)
        topic = self._meter_topic(message["connection_point"])
        return self._transport.publish([Outgoing(topic, payload)])

    def send_bytes(self, payload: bytes) -> asyncio.Future[None]:
        """Send anything at all."""
        return self._transport.publish([Outgoing(self._orders_topic, payload)])

    def _last_will(self) -> Outgoing:
        """Return the last will of a connection that is to be made, under a new session."""
        self.session = f"{self._run}-s{secrets.token_hex(4)}"
        return Outgoing(self._orders_topic, last_will_of(self.session))

    def _guard(self) -> None:
        """Set the safeguard of a connection that was made."""
        if self._safeguard is not None:
            self.send({"type": "safeguard", "session": self.session, **self._safeguard})

    async def _say_alive(self) -> None:
        assert self._safeguard is not None
        silent_s = self._safeguard["silent_s"]
        while True:
            await asyncio.sleep(silent_s / 3)
            if self._transport.connected:  # A sign of life that comes late is none.
                sign = json.dumps({"type": "alive", "session": self.session}).encode()
                self._transport.publish([Outgoing(self._orders_topic, sign, False, silent_s)])

    async def _listen(self) -> None:
        while True:
            messages = await self._transport.receive(256)
            for message in messages:
                self._look_at(message)
            self._transport.acknowledge(messages)

    def _look_at(self, message: Incoming) -> None:
        # An empty payload removes a retained message.
        content: Any = json.loads(message.payload) if message.payload else None
        if message.topic == self._reports_topic:
            if content["sequence"] <= self.last_sequence:
                return  # a repetition
            self.missed += content["sequence"] - self.last_sequence - 1
            self.last_sequence = content["sequence"]
            self._answer(content)
        if self._on_message is not None:
            self._on_message(message.topic, content)

    def _answer(self, report: ReportContent) -> None:
        answer = self._waiting.get(report.get("request_id") or "")
        if answer is not None and not answer.done():
            answer.set_result(report)
