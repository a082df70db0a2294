"""The faults of a simulated day: which there are, when they come, and what each does.

A day follows from its script: a seed for what clients want and how long everything takes, and a
list of faults with their times.  A script that breaks a promise can be made shorter.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Coroutine, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

from simulated_broker import DELAY_S, SimulatedBroker, SimulatedLink
from simulated_client import Device
from simulated_journal import FAST_S, SimulatedServer
from simulated_process import ExchangeProcess
from virtual_time import VirtualClock

FIRST_FAULT_S, LAST_FAULT_S = 2.0, 110.0
HEALED_S = 125.0  # from here on no fault has an effect, but for clocks that stay wrong
KINDS = {
    "kill": 2.0,
    "stop": 2.0,
    "clock_jump": 1.5,
    "cut_exchange": 2.0,
    "exchange_without_broker": 1.0,
    "exchange_without_journal": 1.0,
    "cut_client": 2.0,
    "client_away": 2.0,
    "restart_device": 1.0,
    "restart_broker": 0.5,
    "slow_links": 1.0,
    "deliver_again": 1.0,
    "lose_answer": 1.0,
    "server_away": 1.0,
    "slow_disk": 0.5,
    "disk_full": 1.0,
}
_REAL_NETWORKS = 0.1  # share of the days


@dataclass(frozen=True)
class Fault:
    """``value`` says how long it lasts, or whom it meets, as a part of what is usual."""

    at_s: float
    kind: str
    value: float


@dataclass(frozen=True)
class Script:
    """A day: what is drawn at random follows from the seed, faults are listed.

    ``network`` says whether a network with AC power flow stands for the rows.
    """

    seed: int
    faults: tuple[Fault, ...]
    network: bool = False

    @classmethod
    def drawn(cls, seed: int, most: int = 14, kinds: Sequence[str] = tuple(KINDS)) -> Script:
        """Return the day of a seed, with at most so many faults of these kinds."""
        rng = random.Random(f"faults {seed}")
        network = rng.random() < _REAL_NETWORKS
        drawn = rng.choices(kinds, [KINDS[kind] for kind in kinds], k=rng.randint(1, most))
        faults = [
            Fault(round(rng.uniform(FIRST_FAULT_S, LAST_FAULT_S), 3), kind, rng.random())
            for kind in drawn
        ]
        return cls(seed, tuple(sorted(faults, key=lambda each: each.at_s)), network)


def shortened(script: Script, fails: Callable[[Script], bool]) -> Script:
    """Return a script that still fails, without the faults that it does not need."""
    for fault in script.faults:
        shorter = replace(script, faults=tuple(f for f in script.faults if f is not fault))
        if fails(shorter):
            script = shorter
    return script


class Injector:
    """Brings the faults of a script over a day."""

    def __init__(
        self,
        clock: VirtualClock,
        broker: SimulatedBroker,
        server: SimulatedServer,
        processes: list[ExchangeProcess],
        devices: list[Device],
    ) -> None:
        self._clock, self._broker, self._server = clock, broker, server
        self._processes, self._devices = processes, devices
        self.broker_forgot = False
        """Whether messages may be lost: a broker without persistence was restarted."""
        self._full = self._away = 0

    async def run(self, faults: tuple[Fault, ...]) -> None:
        """Bring each fault at its time; return when all of them are over."""
        async with asyncio.TaskGroup() as group:
            for fault in faults:
                await asyncio.sleep(max(fault.at_s - self._clock.now, 0))
                group.create_task(self._inject(fault))
        await asyncio.sleep(max(HEALED_S - self._clock.now, 0))

    def _inject(self, fault: Fault) -> Coroutine[Any, Any, None]:
        inject: Callable[[float], Coroutine[Any, Any, None]] = getattr(self, f"_{fault.kind}")
        return inject(fault.value)

    async def _last(self, seconds: float) -> None:
        await asyncio.sleep(max(min(seconds, HEALED_S - self._clock.now), 0))

    def _exchange(self, value: float) -> tuple[ExchangeProcess, float]:
        """Return a process, mostly the one that serves, and what is left of the value."""
        serving = [each for each in self._processes if each.serving] or self._processes
        if value < 0.75:
            return serving[-1], value / 0.75
        others = [each for each in self._processes if each is not serving[-1]]
        return others[0], (value - 0.75) / 0.25

    # -- the exchange ---------------------------------------------------------------------------

    async def _kill(self, value: float) -> None:
        process, _ = self._exchange(value)
        process.kill()

    async def _stop(self, value: float) -> None:
        """SIGSTOP, and SIGCONT later."""
        process, share = self._exchange(value)
        process.stop()
        await self._last(1 + 14 * share)
        process.go_on()

    async def _clock_jump(self, value: float) -> None:
        """The wall clock jumps by up to two hours, for up to 50 seconds or for good."""
        process, share = self._exchange(value)
        draw = random.Random(share)
        jump_s = draw.choice([-1, 1]) * draw.uniform(2, 7_200)
        process.jump(jump_s)
        if draw.random() < 0.6:
            await self._last(draw.uniform(1, 50))
            process.jump(-jump_s)

    async def _cut_exchange(self, value: float) -> None:
        for link in list(self._broker.links):
            if link.client_id == "exchange":
                link.cut()

    async def _exchange_without_broker(self, value: float) -> None:
        process, share = self._exchange(value)
        if process.link is not None:
            with _blocked(process.link):
                await self._last(15 * share)

    async def _exchange_without_journal(self, value: float) -> None:
        process, share = self._exchange(value)
        if process.journal is not None:
            with _blocked(process.journal):
                await self._last(15 * share)

    # -- clients and devices --------------------------------------------------------------------

    async def _cut_client(self, value: float) -> None:
        others = self._clients()
        if others:
            others[int(value * len(others))].cut()

    async def _client_away(self, value: float) -> None:
        """A client or device has no broker, for longer than envelopes hold or shorter."""
        others = self._clients()
        if others:
            share = value * len(others)
            with _blocked(others[int(share)]):
                await self._last(75 * (share % 1))

    def _clients(self) -> list[SimulatedLink]:
        return [link for link in self._broker.links if link.client_id != "exchange"]

    async def _restart_device(self, value: float) -> None:
        """A device forgets everything that it has heard."""
        device = self._devices[int(value * len(self._devices))]
        self._broker.sessions.pop(device.link.client_id, None)
        device.link.cut()
        device.forget()

    # -- servers --------------------------------------------------------------------------------

    async def _restart_broker(self, value: float) -> None:
        persistent = value > 0.5
        self.broker_forgot |= not persistent
        await self._broker.restart(5 * value, persistent=persistent)

    async def _slow_links(self, value: float) -> None:
        self._broker.delay_s = value
        await self._last(10)
        self._broker.delay_s = DELAY_S

    async def _deliver_again(self, value: float) -> None:
        for link in list(self._broker.links):
            link.repeat()

    async def _lose_answer(self, value: float) -> None:
        self._server.losing_answers += 1

    async def _server_away(self, value: float) -> None:
        self._away += 1
        self._server.up = False
        await self._last(10 * value)
        self._away -= 1
        self._server.up = not self._away

    async def _slow_disk(self, value: float) -> None:
        self._server.slow_s = value
        await self._last(10)
        self._server.slow_s = FAST_S

    async def _disk_full(self, value: float) -> None:
        self._full += 1
        self._server.full = True
        await self._last(15 * value)
        self._full -= 1
        self._server.full = self._full > 0


@contextmanager
def _blocked(end: Any) -> Iterator[None]:
    """Keep a link from the broker, or a journal from its server."""
    end.blocked += 1
    if isinstance(end, SimulatedLink):
        end.cut()
    try:
        yield
    finally:
        end.blocked -= 1
