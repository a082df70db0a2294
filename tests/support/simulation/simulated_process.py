"""A process of the exchange: it stands by or serves, and can be killed, or stand still."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from contextlib import suppress
from datetime import datetime

from simulated_broker import KilledError, SimulatedBroker, SimulatedLink
from simulated_journal import SimulatedJournal, SimulatedServer
from virtual_time import BEGIN, RUNNING, Standing, VirtualClock

from exchange.vocabulary.commands import OpenSession
from gateway.errors import GatewayError
from gateway.publishing.publisher import last_will
from gateway.service.core import ExchangeSetup
from gateway.service.plausible_clock import PlausibleClock
from gateway.service.service import Service
from gateway.service.settings import ServiceSettings
from gateway.service.standby import Standby

SETTLED_S = 59.0  # a wall clock that was wrong for longer is followed
_FOLLOW_EVERY_S = 0.2
# Envelopes are confirmed more often than usual, and hold for less long: a day has them expire.
SETTINGS = ServiceSettings(
    messages_per_second=1e6, burst=10**6, snapshot_entries=80, tick_s=0.2, confirm_s=4.0
)


class ExchangeProcess(Standing):
    """What ``serve --standby`` does, on the ports' twins.

    Attributes
    ----------
    service
        What runs now, serving or not ready yet.
    serving
        Whether it serves.
    clock_wrong
        Whether its clock may show another time than the true one: it was started while the wall
        clock was wrong, or that has lasted.
    """

    def __init__(
        self,
        setup: ExchangeSetup,
        openings: Callable[[], Iterable[OpenSession]],
        broker: SimulatedBroker,
        server: SimulatedServer,
        clock: VirtualClock,
    ) -> None:
        super().__init__()
        self._setup, self._openings = setup, openings
        self._broker, self._server, self._true = broker, server, clock
        self._killed = asyncio.Event()
        self._wall_s, self._wrong_since = 0.0, 0.0
        self._was_wrong = False
        self.journal: SimulatedJournal | None = None
        self.link: SimulatedLink | None = None
        self.service: Service | None = None
        self.serving = False

    async def run(self) -> None:
        """Be a process, and be started anew whenever it has ended."""
        RUNNING.set(self)
        while True:
            clock = self._start()
            while not self._killed.is_set():
                with suppress(GatewayError, KilledError):
                    await self._once(clock)
                await asyncio.sleep(0.5)

    def _start(self) -> PlausibleClock:
        self._killed.clear()
        self._was_wrong |= self._wall_s != 0.0
        return PlausibleClock(
            wall_s=lambda: BEGIN.timestamp() + self._true.now + self._wall_s,
            elapsed_s=lambda: self._true.now,
        )

    # -- faults ---------------------------------------------------------------------------------

    def kill(self) -> None:
        """Let it end at once: none of its calls is carried out any more."""
        self._killed.set()
        if self.journal is not None:
            self.journal.killed = True
        if self.link is not None:
            self.link.kill()
        if self.stopped:
            self.go_on()

    def jump(self, seconds: float) -> None:
        """Let the wall clock of its machine jump."""
        self._note_wrong()
        self._wall_s += seconds
        self._wall_s = 0.0 if abs(self._wall_s) < 1e-6 else self._wall_s
        self._wrong_since = self._true.now

    def _note_wrong(self) -> None:
        if self._wall_s and self._true.now - self._wrong_since > SETTLED_S:
            self._was_wrong = True

    @property
    def clock_wrong(self) -> bool:
        self._note_wrong()
        return self._was_wrong

    # -- what it does ---------------------------------------------------------------------------

    async def _once(self, clock: PlausibleClock) -> None:
        standby = await self._stand_by()
        journal = self.journal = SimulatedJournal(self._server)
        async with journal:
            link = self.link = SimulatedLink(
                self._broker,
                "exchange",
                self._setup.topics.incoming,
                will=last_will(self._setup.topics),
                may_publish=lambda: journal.renew(0),
            )
            link.epoch = journal.epoch
            async with link:
                await self._serve(journal, link, clock, standby)

    async def _stand_by(self) -> Standby:
        """Follow the journal while another one holds its lease."""
        standby = Standby(self._setup)
        reading = SimulatedJournal(self._server)
        self.journal, self.link = reading, None
        while True:
            if self._killed.is_set():
                raise KilledError
            if self._server.up and not reading.blocked:
                await standby.catch_up(reading, reading.published_sequence)
                if not self._server.led:
                    return standby
            await asyncio.sleep(_FOLLOW_EVERY_S)

    async def _serve(
        self,
        journal: SimulatedJournal,
        link: SimulatedLink,
        clock: PlausibleClock,
        standby: Standby,
    ) -> None:
        def now() -> datetime:
            if journal.killed:
                raise KilledError
            return clock()

        service = self.service = Service(
            self._setup, link, journal, clock=now, settings=SETTINGS, standby=standby
        )
        running = asyncio.create_task(service.run())
        killed = asyncio.create_task(self._killed.wait())
        opening = asyncio.create_task(self._open(service))
        try:
            await asyncio.wait({running, killed}, return_when=asyncio.FIRST_COMPLETED)
            await asyncio.wait({running})
        finally:
            self.serving = False
            for task in (opening, killed, running):
                task.cancel()
            await asyncio.wait({opening, killed, running})
        running.result()

    async def _open(self, service: Service) -> None:
        await service.ready.wait()
        self.serving = True
        for opening in self._openings():
            known = service.core.exchange.state.sessions
            if opening.start not in known and opening.gate_closes_at > service.now():
                with suppress(GatewayError):
                    await service.request(opening)
