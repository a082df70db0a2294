"""The client of a participant or a role: it sends requests and waits for their reports.

The client library (:mod:`gateway.client`), the demo's agents, tests and benchmarks use it.  The
exchange's report is the only acknowledgement, so a client without a report sends the request again
under the same id, which has the effect of sending it once.  A report that answers a request has
its id in ``request_id``; nothing else is needed to match the two.
"""

from __future__ import annotations

import asyncio
import contextlib
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
from gateway.ports import Outgoing
from gateway.transport.json_listener import Content, JsonListener, OnMessage
from gateway.transport.mqtt_settings import MqttSettings
from gateway.transport.session_guard import SessionGuard

ReportContent = Content
"""A report, or a page of an answer, as its JSON says it."""

_LOG = logging.getLogger(__name__)
_OUTSTANDING = 200  # requests without an answer; a sender's burst may be five times as large
_Waiting = dict[str, asyncio.Future[ReportContent]]


class ParticipantClient(JsonListener):
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
        Whether it reads the answers to queries.
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
        on_message: OnMessage | None = None,
        *,
        queries: bool = False,
        safeguard: dict[str, Any] | None = None,
    ) -> None:
        self._name = name
        self._reports_topic = topics.report(name)
        self._queries_topic, self._answers_topic = topics.query(name), topics.answer(name)
        special = {TSO: topics.interface_limits, OPERATOR: topics.control}
        self._orders_topic = special.get(name) or topics.order(name)
        self._meter_topic = topics.meter if name == METERING else None
        own = (self._reports_topic, self._answers_topic) if queries else (self._reports_topic,)
        self._guard: SessionGuard | None = None
        if safeguard is not None:
            topic = topics.order(name)
            self._guard = SessionGuard(self, topic, settings.client_id, safeguard)
        super().__init__(
            settings,
            (*own, *subscriptions),
            on_message,
            will=None if self._guard is None else self._guard.new_will,
            on_connected=self._on_connected,
        )
        self._waiting: _Waiting = {}
        self._asked: _Waiting = {}
        self._slots = asyncio.Semaphore(_OUTSTANDING)
        # Of this run: a client that starts anew must not use the ids of its former run.
        self._run = secrets.token_hex(6)
        self._ids = 0
        self.last_sequence = 0
        """Of the newest report seen."""
        self.missed = 0
        """Number of reports that were lost so far."""

    @property
    def session(self) -> str:
        """Name of the newest connection, where there is a safeguard."""
        return "" if self._guard is None else self._guard.session

    async def __aenter__(self) -> Self:
        """Connect and listen; raises :class:`gateway.errors.TransportError`."""
        await super().__aenter__()
        if self._guard is not None:
            self._guard.start()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        """Disconnect; a safeguard stays in force, unless its orders were cancelled before."""
        if self._guard is not None:
            await self._guard.stop()
        await super().__aexit__(*exc_info)

    async def guarded(self) -> None:
        """Wait until the safeguard of the present connection is in force, where one is wanted.

        Raises
        ------
        RequestRefusedError
            When the exchange refuses it: then nothing would cancel an order.
        TransportError
            When the client is closed.
        """
        if self._guard is not None:
            await self._guard.in_force()

    async def say_farewell(self, within_s: float = 2.0) -> None:
        """Say that this session ends: where its loss cancels orders, that does, too."""
        if self._guard is None or not self._guard.cancels_on_disconnect or not self.connected:
            return
        with contextlib.suppress(TransportError, TimeoutError):
            async with asyncio.timeout(within_s):
                await self.publish(self._guard.farewell())

    def _on_connected(self) -> Sequence[Outgoing]:
        """Return what a new connection says first."""
        return () if self._guard is None else self._guard.first_messages()

    async def ask(
        self, message: dict[str, Any], again_after_s: float = 2.0, *, is_sent: bool = False
    ) -> ReportContent:
        """Send a message and return the report that answers it; repeat it until there is one.

        Parameters
        ----------
        message
            Any request of the participant or role; where it has no id, it gets one.
        again_after_s
            Seconds after which it is sent again, under the same id.
        is_sent
            Whether it was sent just before.

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
            When the client is closed.
        """
        message = self.with_id(message)
        key = self._checked_id(message)
        async with self._slots:
            send = partial(self.send, message)
            return await self._answered(self._waiting, key, send, again_after_s, is_sent=is_sent)

    async def query(
        self, about: str, again_after_s: float = 2.0, **entries: Any
    ) -> list[ReportContent]:
        """Ask the exchange for its state; return all pages of the answer, the first one first.

        Parameters
        ----------
        about
            What it is to tell, as ``docs/formats/messages.md`` says.
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
            payload = json.dumps(asked | {"query_id": key}).encode()
            send = partial(self.publish, Outgoing(self._queries_topic, payload))
            page = await self._answered(self._asked, key, send, again_after_s)
            if "refused" in page:
                raise RequestRefusedError(key, str(page["refused"]), str(page.get("detail")))
            pages.append(page)
            if page.get("next") is None:
                return pages
            asked["from"] = page["next"]

    async def _answered(
        self,
        waiting: _Waiting,
        key: str,
        send: Callable[[], asyncio.Future[None]],
        again_after_s: float,
        *,
        is_sent: bool = False,
    ) -> ReportContent:
        """Send until there is an answer under the key; two who wait for one get the same."""
        answer = waiting.get(key)
        if answer is None:
            answer = waiting[key] = asyncio.get_running_loop().create_future()
        try:
            while True:
                if not is_sent:
                    sent = send()
                    sent.add_done_callback(_look_at_refusal)
                    # Until the broker has it the transport takes care of it: a second one would
                    # only wait behind the first.
                    await self.wait_while_listening({answer, sent}, None)
                    if sent.cancelled():
                        raise TransportError("the client is closed")
                    if not answer.done():
                        sent.result()  # the broker has it, which is no answer; or refuses it
                if not answer.done():
                    await self.wait_while_listening({answer}, again_after_s)
                if answer.done():
                    return answer.result()
                is_sent = False
        finally:
            if waiting.get(key) is answer:
                del waiting[key]

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
        return self.publish(Outgoing(topic, payload))

    def send_bytes(self, payload: bytes) -> asyncio.Future[None]:
        """Send anything at all."""
        return self.publish(Outgoing(self._orders_topic, payload))

    def _take(self, topic: str, content: Content | None) -> None:
        if topic == self._answers_topic:
            _settle(self._asked, (content or {}).get("query_id"), content)
        elif topic != self._reports_topic:
            super()._take(topic, content)
        elif content is not None:
            number = content.get("sequence")
            if type(number) is not int or number < 1:
                _LOG.warning("a report has the sequence %r", number)
            else:
                self._take_report(content)

    def _take_report(self, report: ReportContent) -> None:
        if report["sequence"] <= self.last_sequence:
            return  # a repetition
        self.missed += report["sequence"] - self.last_sequence - 1
        self.last_sequence = report["sequence"]
        self._answer(report)
        super()._take(self._reports_topic, report)

    def _answer(self, report: ReportContent) -> None:
        """Give a report to the request that it answers, if it answers one."""
        _settle(self._waiting, report.get("request_id"), report)


def _settle(waiting: _Waiting, key: Any, content: ReportContent | None) -> None:
    answer = waiting.get(key) if isinstance(key, str) else None
    if answer is not None and content is not None and not answer.done():
        answer.set_result(content)


def _look_at_refusal(sent: asyncio.Future[None]) -> None:
    """Mark an exception as seen: a caller that waits for the answer may have it already."""
    if not sent.cancelled():
        sent.exception()
