"""A client that gets reports: in order, each once, and those that were lost, too.

A missing number is noticed by the next report, by a new connection, or within a minute.  Then the
exchange is asked for the reports from that number on.  Where it keeps them no more, the state that
follows from reports is asked for instead.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from gateway.client.mirrors.report_stream import ReportStream
from gateway.messages.topics import Topics
from gateway.ports import Outgoing
from gateway.transport.json_listener import OnMessage
from gateway.transport.mqtt_settings import MqttSettings
from gateway.transport.participant_client import ParticipantClient, ReportContent

_LOG = logging.getLogger(__name__)
_LOOK_AGAIN_S = 60.0
_AFTER_FAILURE_S = 1.0


class ReportingClient(ParticipantClient):
    """A participant's client that recovers reports.

    Parameters
    ----------
    settings, topics, name, subscriptions, on_message, safeguard
        As of :class:`gateway.transport.participant_client.ParticipantClient`.
    on_report
        Called with each report once, in the order of their numbers, before the request that it
        answers goes on.
    rebuild
        Asks the exchange for the state, takes it over, and returns the number of the report after
        which reports are to be applied again.
    again_after_s
        Seconds after which what has no answer is sent again.
    """

    def __init__(
        self,
        settings: MqttSettings,
        topics: Topics,
        name: str,
        subscriptions: tuple[str, ...],
        on_message: OnMessage,
        *,
        on_report: Callable[[ReportContent], None],
        rebuild: Callable[[], Awaitable[int]],
        again_after_s: float,
        safeguard: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(
            settings,
            topics,
            name,
            subscriptions,
            on_message,
            queries=True,
            safeguard=safeguard,
        )
        self._on_report = on_report
        self._rebuild = rebuild
        self._again_after_s = again_after_s
        self._stream = ReportStream(self._apply)
        self._doubtful = asyncio.Event()
        self._recovery: asyncio.Task[None] | None = None
        self._passed_over = False  # Whether the state lacks what a report says.
        self._began_anew = False  # Whether the numbers of reports did.
        self.given_up = 0
        """Number of reports that could not be recovered; what followed from them is known."""

    @property
    def newest(self) -> int | None:
        """Number of the newest report that was applied, ``None`` before the state is known."""
        return self._stream.last

    async def begin(self) -> None:
        """Ask for the state, and apply reports from then on."""
        self._doubtful.clear()
        self._begin_after(await self._rebuild())
        if self._stream.has_gap:
            self._doubtful.set()
        self._recovery = asyncio.create_task(self._keep_complete(), name="client-recovery")

    def note_new_beginning(self) -> None:
        """Note that the exchange has lost its past: the state is to be asked for anew."""
        self._began_anew = True
        self._doubtful.set()

    async def __aexit__(self, *exc_info: object) -> None:
        """Disconnect."""
        if self._recovery is not None:
            self._recovery.cancel()
            await asyncio.wait({self._recovery})
        await super().__aexit__(*exc_info)

    def _on_connected(self) -> Sequence[Outgoing]:
        self._doubtful.set()  # reports may have been lost with the former connection
        return super()._on_connected()

    def _take_report(self, report: ReportContent) -> None:
        self._stream.take(report)
        if self._stream.has_gap:
            self._doubtful.set()

    def _apply(self, report: ReportContent) -> None:
        try:
            self._on_report(report)
        except Exception:
            _LOG.exception("report %s was passed over", report["sequence"])
            self._passed_over = True
            self._doubtful.set()
        self._answer(report)

    async def _keep_complete(self) -> None:
        while True:
            try:
                async with asyncio.timeout(_LOOK_AGAIN_S):
                    await self._doubtful.wait()
            except TimeoutError:
                pass
            self._doubtful.clear()
            try:
                await self.catch_up()
            except Exception as error:
                _LOG.warning("lost reports cannot be recovered yet: %r", error)
                self._doubtful.set()
                await asyncio.sleep(_AFTER_FAILURE_S)

    async def catch_up(self) -> None:
        """Ask for all reports that are missing, the newest ones included.

        Raises
        ------
        GatewayError
            When the exchange refuses the query, or the client is closed.
        """
        before = self._last()
        pages = await self.query("reports", self._again_after_s, from_sequence=before + 1)
        newest = int(pages[-1]["report_sequence"])
        for page in pages:
            for report in page["entries"]:
                self._take_report(report)
        began_anew = self._began_anew or newest < before
        if began_anew or self._passed_over or self._last() < newest:
            await self._rebuild_after(self._last(), began_anew=began_anew)
        if self._stream.has_gap:
            self._doubtful.set()

    async def _rebuild_after(self, last: int, *, began_anew: bool) -> None:
        """Take the state over, where reports after the last one are no longer kept, for example."""
        self._stream.hold()
        try:
            after = await self._rebuild()
        except BaseException:
            self._stream.begin(last)
            raise
        self._passed_over = self._began_anew = False
        self.given_up += max(after - last, 0)
        self._begin_after(after, began_anew=began_anew)

    def _begin_after(self, after: int, *, began_anew: bool = False) -> None:
        """Apply reports from a number on; those before may answer a request all the same."""
        for report in self._stream.begin(after, forget=began_anew):
            self._answer(report)

    def _last(self) -> int:
        assert self._stream.last is not None, "begin comes first"
        return self._stream.last
