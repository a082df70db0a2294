"""The client of a participant or the TSO: it sends requests and waits for their reports.

The demo's agents, tests and benchmarks use it, and it shows how a client should behave: the
exchange's report is the only acknowledgement, so a client without a report sends the request again
under the same id, which has the effect of sending it once.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any, Self

from exchange.vocabulary.rules import METERING, OPERATOR, TSO
from gateway.messages.topics import Topics
from gateway.ports import Incoming, Outgoing
from gateway.transport.mqtt import MqttTransport
from gateway.transport.mqtt_client import MqttSettings

ReportContent = dict[str, Any]
_ANSWERS = {
    "submit": ("accepted", "refused"),
    "amend": ("amended", "cancelled", "refused"),
    "cancel": ("cancelled", "refused"),
    "limits": ("limits_updated", "refused"),
    "metering": ("reading", "refused"),
}


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
    """

    def __init__(
        self,
        settings: MqttSettings,
        topics: Topics,
        name: str,
        subscriptions: tuple[str, ...] = (),
        on_message: Callable[[str, Any], None] | None = None,
    ) -> None:
        self._reports_topic = topics.report(name)
        special = {TSO: topics.interface_limits, OPERATOR: topics.control}
        self._orders_topic = special.get(name) or topics.order(name)
        self._meter_topic = topics.meter if name == METERING else None
        self._transport = MqttTransport(settings, (self._reports_topic, *subscriptions))
        self._on_message = on_message
        self._waiting: dict[tuple[str, str], asyncio.Future[ReportContent]] = {}
        self._listener: asyncio.Task[None] | None = None
        self.last_sequence = 0
        """Of the newest report seen."""
        self.missed = 0
        """Number of reports that were lost so far."""

    async def __aenter__(self) -> Self:
        """Connect and listen."""
        await self._transport.__aenter__()
        self._listener = asyncio.create_task(self._listen(), name="client-listen")
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        """Disconnect."""
        if self._listener is not None:
            self._listener.cancel()
            await asyncio.wait({self._listener})
        await self._transport.__aexit__(*exc_info)

    async def ask(self, message: dict[str, Any], again_after_s: float = 2.0) -> ReportContent:
        """Send a message and return the report that answers it; repeat it until there is one.

        ``message`` is an order message and needs a ``client_order_id``; the TSO's
        has no ``type`` and an ``update_id``, the meter operator's a ``reading_id``.
        """
        kind = "limits" if self._meter_topic is None else "metering"
        key = (message.get("type", kind), _key(message))
        answer = self._waiting.get(key)
        if answer is None:
            answer = asyncio.get_running_loop().create_future()
            self._waiting[key] = answer
        try:
            while True:
                self.send(message)
                done, _ = await asyncio.wait({answer}, timeout=again_after_s)
                if done:
                    return answer.result()
        finally:
            self._waiting.pop(key, None)

    def send(self, message: dict[str, Any]) -> asyncio.Future[None]:
        """Send a message; the future is done when the broker has it, which is not an answer."""
        payload = json.dumps(message).encode()
        if self._meter_topic is None:
            return self.send_bytes(payload)
        topic = self._meter_topic(message["connection_point"])
        return self._transport.publish([Outgoing(topic, payload)])

    def send_bytes(self, payload: bytes) -> asyncio.Future[None]:
        """Send anything at all."""
        return self._transport.publish([Outgoing(self._orders_topic, payload)])

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
        client_id = _key(report)
        for request, kinds in _ANSWERS.items():
            # A message that could not be read is refused as "message".
            is_about = report.get("request", request) in (request, "message")
            answer = self._waiting.get((request, client_id))
            if report["type"] in kinds and is_about and answer is not None and not answer.done():
                answer.set_result(report)
                return


def _key(content: ReportContent) -> str:
    """Return the sender's own id, which a message and its answer have in common."""
    names = ("client_order_id", "update_id", "reading_id")
    return str(next((content[name] for name in names if name in content), None))
