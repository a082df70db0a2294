"""What the clients of participants and roles have in common: requests, and their reports."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, Self

from gateway.client.area_view import AreaView
from gateway.client.feeds import Feed, Feeds
from gateway.client.mirrors.reading import read_report
from gateway.client.reporting import ReportingClient
from gateway.errors import RequestRefusedError, TransportError
from gateway.messages.participant_reports import Report
from gateway.transport.json_listener import Content
from gateway.transport.mqtt_settings import MqttSettings


class RequestingClient(AreaView):
    """A client that sends requests under a name, and gets its reports.

    An asynchronous context manager.

    Parameters
    ----------
    settings
        The broker and the account.
    area
        The area.
    name
        The participant, ``"tso"``, ``"operator"`` or ``"metering"``.
    filters
        What it hears of what is public.
    again_after_s
        Seconds after which what has no answer is sent again.
    safeguard
        Entries of the message that has orders cancelled when the connection is lost.
    """

    def __init__(
        self,
        settings: MqttSettings,
        area: str,
        name: str,
        filters: Sequence[str],
        again_after_s: float,
        safeguard: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(area)
        self._again_after_s = again_after_s
        self._within_s = settings.connect_within_s
        self._newest_event = 0  # of the exchange, as its session says
        self._report_feeds: Feeds[Report] = Feeds()
        self._client = ReportingClient(
            settings,
            self._topics,
            name,
            tuple(filters),
            self._hear,
            on_report=self._take_report,
            rebuild=self._rebuild,
            again_after_s=again_after_s,
            safeguard=safeguard,
        )

    @property
    def connected(self) -> bool:
        """Whether there is a connection to the broker right now."""
        return self._client.connected

    @property
    def reports_given_up(self) -> int:
        """Number of reports that were lost and are kept nowhere; what followed is known."""
        return self._client.given_up

    def reports(self) -> Feed[Report]:
        """Return a feed of all reports that come from now on, in order and without gaps."""
        return self._report_feeds.new()

    async def __aenter__(self) -> Self:
        """Connect and ask for the state.

        Raises
        ------
        TransportError
            When there is no broker, or no exchange answers within its time to connect.
        RequestRefusedError
            When the exchange knows no such participant, or refuses the safeguard.
        """
        try:
            async with asyncio.timeout(self._within_s):
                await self._client.__aenter__()
                await self._client.begin()
                await self.wait_until(lambda: self.session is not None)
                await self._client.guarded()
        except BaseException as error:
            await self.__aexit__()
            if isinstance(error, TimeoutError):
                raise TransportError(
                    f"no exchange of the area {self.area} answered within {self._within_s:g} s"
                ) from None
            raise
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        """Disconnect; all feeds end.  A safeguard cancels the orders now, as a lost link would."""
        await self._client.say_farewell()
        await self._client.__aexit__(*exc_info)
        self._report_feeds.close()
        self._close()

    async def request(self, message: dict[str, Any]) -> Content:
        """Send a request until the exchange has answered it; return the report that does.

        Parameters
        ----------
        message
            As ``docs/formats`` says; without an id it gets one.

        Raises
        ------
        RequestRefusedError
            When the exchange refuses it.
        ValueError
            When it has an id that is none, or is too large.
        TransportError
            When the broker refuses it, or the client is closed.
        """
        await self._client.guarded()
        answer = await self._client.ask(message, self._again_after_s)
        if answer["type"] == "refused":
            raise RequestRefusedError(answer["request_id"], answer["reason"], answer["detail"])
        return answer

    async def _pages(self, about: str, **asked: Any) -> list[Content]:
        """Return the pages of the answer to a query."""
        return await self._client.query(about, self._again_after_s, **asked)

    async def _entries(self, about: str, **asked: Any) -> list[Content]:
        """Return the entries of the answer to a query."""
        return [entry for page in await self._pages(about, **asked) for entry in page["entries"]]

    async def _rebuild(self) -> int:
        """Take over the state that follows from reports; return after which report to go on."""
        return int((await self._pages("session"))[-1]["report_sequence"])

    def _hear(self, topic: str, content: Content | None) -> None:
        super()._hear(topic, content)
        now = self.session if topic == self._topics.session else None
        if now is None or now.status != "online":
            return
        if now.event < self._newest_event:  # it lost its past: reports begin anew, too
            self._client.note_new_beginning()
        self._newest_event = now.event

    def _take_report(self, content: Content) -> None:
        report = read_report(content)
        if report is not None:
            self._apply(report)
            self._report_feeds.put(report)
            self._note_change()

    def _apply(self, report: Report) -> None:
        """Take a report into the state."""
