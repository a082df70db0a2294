"""The client of a participant or a role: it sends requests and waits for their reports.

The client library (:mod:`gateway.client`), the demo's agents, tests and benchmarks use it.  The
exchange's report is the only acknowledgement, so a client without a report sends the request again
under the same id, which has the effect of sending it once.  A report that answers a request has
its id in ``request_id``; nothing else is needed to match the two.
"""

from __future__ import annotations

import asyncio
import json
import logging
import secrets
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Self

from exchange.vocabulary.rules import METERING, OPERATOR, TSO
from gateway.errors import RequestRefusedError, TransportError
from gateway.formats.strict_json import MAX_REQUEST_BYTES, id_of
from gateway.messages.requests import id_key
from gateway.messages.topics import Topics
from gateway.ports import Incoming, Outgoing
from gateway.transport.mqtt import MqttTransport
from gateway.transport.mqtt_client import MqttSettings

ReportContent = dict[str, Any]
"""A report, an answer or another message of the exchange, as its JSON says it."""

_LOG = logging.getLogger(__name__)
_OUTSTANDING = 200  # requests without an answer; a sender's burst may be five times as large


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
    queries
        Whether the client may ask the exchange for its state, and reads the answers.
    will
        Makes the message that the broker publishes when a connection breaks.
    on_connected
        Called with each connection; what it returns is sent first.
    """

    def __init__(
        self,
        settings: MqttSettings,
        topics: Topics,
        name: str,
        subscriptions: tuple[str, ...] = (),
        on_message: Callable[[str, Any], None] | None = None,
        *,
        queries: bool = False,
        will: Callable[[], Outgoing] | None = None,
        on_connected: Callable[[], Sequence[Outgoing]] = tuple,
    ) -> None:
        self._name = name
        self._reports_topic = topics.report(name)
        self._queries_topic, self._answers_topic = topics.query(name), topics.answer(name)
        special = {TSO: topics.interface_limits, OPERATOR: topics.control}
        self._orders_topic = special.get(name) or topics.order(name)
        self._meter_topic = topics.meter if name == METERING else None
        own = (self._reports_topic, self._answers_topic) if queries else (self._reports_topic,)
        self._transport = MqttTransport(
            settings, (*own, *subscriptions), will, on_connected=on_connected
        )
        self._on_message = on_message
        self._waiting: dict[str, asyncio.Future[ReportContent]] = {}
        self._asked: dict[str, asyncio.Future[ReportContent]] = {}
        self._slots = asyncio.Semaphore(_OUTSTANDING)
        # Of this run: a client that starts anew must not use the ids of its former run.
        self._run = secrets.token_hex(6)
        self._ids = 0
        self._listener: asyncio.Task[None] | None = None
        self.last_sequence = 0
        """Of the newest report seen."""
        self.missed = 0
        """Number of reports that were lost so far."""

    @property
    def connected(self) -> bool:
        """Whether there is a connection to the broker right now."""
        return self._transport.connected

    async def __aenter__(self) -> Self:
        """Connect and listen; raises :class:`gateway.errors.TransportError`."""
        await self._transport.__aenter__()
        self._listener = asyncio.create_task(self._listen(), name="client-listen")
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        """Disconnect; who still waits for an answer gets a :class:`TransportError`."""
        if self._listener is not None:
            self._listener.cancel()
            await asyncio.wait({self._listener})
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
        PublishRefusedError
            When the broker refuses the message: the account may not write to this topic.
        TransportError
            When the client was closed meanwhile.
        """
        message = self.with_id(message)
        key = self._checked_id(message)
        async with self._slots:
            return await self._answered(
                self._waiting, key, lambda: self.send(message), again_after_s
            )

    async def query(
        self, about: str, again_after_s: float = 2.0, **entries: Any
    ) -> list[ReportContent]:
        """Ask the exchange for its state; return all pages of the answer, the first one first.

        Parameters
        ----------
        about
            What to tell: one of those in ``docs/formats/messages.md``.
        again_after_s
            Seconds after which a question is put again.
        entries
            What the question needs beside that.

        Raises
        ------
        RequestRefusedError
            When the exchange refuses to answer.
        PublishRefusedError, TransportError
            As :meth:`ask`.
        """
        pages: list[ReportContent] = []
        asked = {"type": "query", "about": about} | entries
        while True:
            key = self._new_id()
            question = Outgoing(self._queries_topic, json.dumps(asked | {"query_id": key}).encode())
            ask = partial(self._transport.publish, [question])
            page = await self._answered(self._asked, key, ask, again_after_s)
            if "refused" in page:
                raise RequestRefusedError(key, str(page["refused"]), str(page.get("detail")))
            pages.append(page)
            if page.get("next") is None:
                return pages
            asked["from"] = page["next"]

    async def _answered(
        self,
        waiting: dict[str, asyncio.Future[ReportContent]],
        key: str,
        send: Callable[[], asyncio.Future[None]],
        again_after_s: float,
    ) -> ReportContent:
        """Send until there is an answer under the key; two who wait for one get the same."""
        answer = waiting.get(key)
        if answer is None:
            answer = waiting[key] = asyncio.get_running_loop().create_future()
        try:
            while True:
                sent = send()
                sent.add_done_callback(_look_at_refusal)
                await self._wait_for(answer, sent, again_after_s)
                if sent.done() and not answer.done():
                    sent.result()  # the broker has it, which is no answer; or it has refused it
                    await self._wait_for(answer, None, again_after_s)
                if answer.done():
                    return answer.result()
        finally:
            if waiting.get(key) is answer:
                del waiting[key]

    async def _wait_for(
        self,
        answer: asyncio.Future[ReportContent],
        sent: asyncio.Future[None] | None,
        at_most_s: float,
    ) -> None:
        """Wait until one of them is done, or the time is over; fail where the client is closed."""
        listener = self._listener
        if listener is not None:
            either: set[asyncio.Future[Any]] = {answer, listener}
            if sent is not None:
                either.add(sent)
            await asyncio.wait(either, timeout=at_most_s, return_when=asyncio.FIRST_COMPLETED)
        if not answer.done() and (listener is None or listener.done()):
            raise TransportError("the client is closed")

    def with_id(self, message: dict[str, Any]) -> dict[str, Any]:
        """Return a message with an id of its own, that which it has or one never used before."""
        name = id_key(self._name, message.get("type"))
        if message.get(name) is not None:
            return message
        return {**message, name: self._new_id()}

    def _new_id(self) -> str:
        self._ids += 1
        return f"{self._run}-{self._ids}"

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

    async def subscribe(self, topics: Sequence[str]) -> None:
        """Hear further topics; raises :class:`gateway.errors.BrokerRefusedError`."""
        await self._transport.subscribe(topics)

    async def _listen(self) -> None:
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
        topic, content = message.topic, None
        own = topic in (self._reports_topic, self._answers_topic)
        if message.payload or own:  # elsewhere an empty payload removes a retained message
            content = _read(message)
            if content is None:
                return
        if topic == self._answers_topic and content is not None:
            self._settle(self._asked, content.get("query_id"), content)
            return
        if topic == self._reports_topic and content is not None:
            number = content.get("sequence")
            if type(number) is not int or number < 1:
                _LOG.warning("a report has the sequence %r", number)
                return
            if not self._take_report(content):
                return
        if self._on_message is not None:
            self._on_message(topic, content)

    def _take_report(self, report: ReportContent) -> bool:
        """Take a report; return whether it is a new one."""
        if report["sequence"] <= self.last_sequence:
            return False  # a repetition
        self.missed += report["sequence"] - self.last_sequence - 1
        self.last_sequence = report["sequence"]
        self._answer(report)
        return True

    def _answer(self, report: ReportContent) -> None:
        self._settle(self._waiting, report.get("request_id"), report)

    def _settle(
        self, waiting: dict[str, asyncio.Future[ReportContent]], key: Any, content: ReportContent
    ) -> None:
        answer = waiting.get(key) if isinstance(key, str) else None
        if answer is not None and not answer.done():
            answer.set_result(content)


def _read(message: Incoming) -> ReportContent | None:
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


def _look_at_refusal(sent: asyncio.Future[None]) -> None:
    """Mark an exception as seen: whoever waits for the answer may have it already."""
    if not sent.cancelled():
        sent.exception()
