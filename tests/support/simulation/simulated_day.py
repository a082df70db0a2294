"""A market day with faults, in virtual time: exchange, standby, broker, journal, clients, devices.

Everything follows from a script: a seed for what the clients want and how long everything takes,
and a list of faults with their times.  What must hold is checked while the day runs and at its
end; a script that breaks it can be made shorter.
"""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Callable, Coroutine, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
from linear_grid import LinearGrid
from listening import until
from market import interface
from market_days import CAPACITY_W, FALLBACK_W, POINTS, random_rows
from simulated_broker import KilledError, SimulatedBroker, SimulatedLink
from simulated_client import Client, Device, without_clock
from simulated_journal import SimulatedJournal, SimulatedServer
from virtual_time import VirtualClock, run_in_virtual_time

from exchange.vocabulary.commands import OpenSession
from exchange.vocabulary.events import OrderAccepted
from exchange.vocabulary.rules import ConnectionTerms, MarketRules
from gateway.errors import GatewayError
from gateway.journal.codec import decode_entry
from gateway.messages.topics import Topics
from gateway.ports import Outgoing
from gateway.publishing.publisher import last_will
from gateway.service.core import ExchangeSetup, JournaledExchange
from gateway.service.service import Service
from gateway.service.settings import ServiceSettings

BEGIN = datetime(2030, 6, 1, tzinfo=UTC)
GATES_S = (50.0, 75.0, 100.0)
TRADING_S = 105.0
LAST_FAULT_S = 110.0
HEALED_S = 125.0  # from here on no fault has an effect
LONGEST_S = 300.0  # by then every request has its answer
SETTLED_S = 20.0
SETTINGS = ServiceSettings(messages_per_second=1e6, burst=10**6, snapshot_entries=40, tick_s=0.2)
KINDS = {
    "kill": 2.0,
    "cut_exchange": 3.0,
    "cut_client": 3.0,
    "restart_broker": 0.5,
    "lose_answer": 1.0,
    "server_away": 1.0,
    "slow_disk": 1.0,
}


class BrokenPromiseError(Exception):
    """Something that must always hold does not."""


@dataclass(frozen=True)
class Fault:
    """``value`` says how long it lasts, or whom it meets, as a part of what is usual."""

    at_s: float
    kind: str
    value: float


@dataclass(frozen=True)
class Script:
    """A day: what is drawn at random follows from the seed, faults are listed."""

    seed: int
    faults: tuple[Fault, ...]

    @classmethod
    def drawn(cls, seed: int, most: int = 12) -> Script:
        rng = random.Random(f"faults {seed}")
        kinds = rng.choices(list(KINDS), list(KINDS.values()), k=rng.randint(1, most))
        faults = [
            Fault(round(rng.uniform(2, LAST_FAULT_S), 3), kind, rng.random()) for kind in kinds
        ]
        return cls(seed, tuple(sorted(faults, key=lambda each: each.at_s)))


def shortened(script: Script, fails: Callable[[Script], bool]) -> Script:
    """Return a script that still fails, without the faults that it does not need."""
    for fault in script.faults:
        shorter = replace(script, faults=tuple(f for f in script.faults if f is not fault))
        if fails(shorter):
            script = shorter
    return script


class SimulatedDay:
    """Runs a script; :meth:`run` raises where a promise is broken."""

    def __init__(self, script: Script) -> None:
        self.script = script
        self.clock = VirtualClock()
        self.rng = random.Random(f"day {script.seed}")
        self.broker = SimulatedBroker(random.Random(f"links {script.seed}"))
        self.server = SimulatedServer(random.Random(f"server {script.seed}"))
        self.topics = Topics("sim")
        rows = random_rows(np.random.default_rng(script.seed))
        self.rows = rows
        terms = [
            ConnectionTerms(f"load:{k}", f"p{k}", CAPACITY_W, CAPACITY_W, FALLBACK_W, FALLBACK_W)
            for k in range(POINTS)
        ]
        grid = LinearGrid([CAPACITY_W] * POINTS, rows)
        rules = MarketRules(lot_w=int(self.rng.choice([1, 5])))
        self.setup = ExchangeSetup(self.topics, grid, rules, terms)
        self.serving: Service | None = None
        self.killed = asyncio.Event()
        self.broker_forgot = False
        self.entries = 0
        self.told_early: list[str] = []
        self.broker.heard.append(self._check_durable)

    def run(self) -> None:
        """Run the day to its end."""
        run_in_virtual_time(self._day(), self.clock)

    def now(self) -> datetime:
        return BEGIN + timedelta(seconds=self.clock.now)

    # -- the day --------------------------------------------------------------------------------

    async def _day(self) -> None:
        self.clients = [Client(self.broker, self.topics, f"p{k}", self.rng) for k in range(POINTS)]
        self.clients.append(Client(self.broker, self.topics, "tso", self.rng))
        self.devices = [Device(self.broker, self.topics, f"load:{k}") for k in range(POINTS)]
        listeners: list[Client | Device] = [*self.clients, *self.devices]
        async with asyncio.TaskGroup() as group:
            others = [group.create_task(each.listen()) for each in listeners]
            # Nothing is kept for a client before it has a session.
            await until(lambda: all(each.link.connected for each in listeners), LONGEST_S)
            exchanges = [group.create_task(self._exchange()) for _ in range(2)]
            others.append(group.create_task(self._watch()))
            faults = group.create_task(self._faults())
            asking = [
                group.create_task(each.trade(TRADING_S, self._starts())) for each in self.clients
            ]
            async with asyncio.timeout(LONGEST_S):
                await asyncio.wait({*asking, faults})
            await asyncio.sleep(SETTLED_S)
            self._check_end()
            for task in (*others, *exchanges):
                task.cancel()

    def _starts(self) -> list[datetime]:
        return [BEGIN + timedelta(seconds=gate + 60) for gate in GATES_S]

    def _openings(self) -> Iterator[OpenSession]:
        limits, minute = interface(POINTS * 100, POINTS * 100), timedelta(seconds=60)
        for start in self._starts():
            yield OpenSession(start, start + minute, start - minute, limits)

    async def _exchange(self) -> None:
        """Be a process that serves or stands by, and is started anew when it ends."""
        while True:
            with suppress(GatewayError, KilledError):
                await self._serve()
            await asyncio.sleep(0.5)

    async def _serve(self) -> None:
        journal = SimulatedJournal(self.server)
        async with journal:
            link = SimulatedLink(
                self.broker, "exchange", self.topics.incoming, will=last_will(self.topics)
            )
            async with link:
                service = Service(
                    self.setup, link, journal, clock=self._living_clock(journal), settings=SETTINGS
                )
                running = asyncio.create_task(service.run())
                self.killed.clear()
                killed = asyncio.create_task(self.killed.wait())
                opening = asyncio.create_task(self._open(service))
                try:
                    await asyncio.wait({running, killed}, return_when=asyncio.FIRST_COMPLETED)
                    if killed.done():
                        journal.killed = True
                        link.kill()
                    await asyncio.wait({running})
                finally:
                    if self.serving is service:
                        self.serving = None
                    for task in (opening, killed, running):
                        task.cancel()
                    await asyncio.wait({opening, killed, running})
                running.result()

    def _living_clock(self, journal: SimulatedJournal) -> Callable[[], datetime]:
        def now() -> datetime:
            if journal.killed:
                raise KilledError
            return self.now()

        return now

    async def _open(self, service: Service) -> None:
        await service.ready.wait()
        self.serving = service
        for opening in self._openings():
            known = service.core.exchange.state.sessions
            if opening.start not in known and opening.gate_closes_at > self.now():
                with suppress(GatewayError):
                    await service.request(opening)

    # -- faults ---------------------------------------------------------------------------------

    async def _faults(self) -> None:
        async with asyncio.TaskGroup() as group:
            for fault in self.script.faults:
                await asyncio.sleep(max(fault.at_s - self.clock.now, 0))
                group.create_task(self._inject(fault))
        await asyncio.sleep(max(HEALED_S - self.clock.now, 0))

    def _inject(self, fault: Fault) -> Coroutine[Any, Any, None]:
        inject: Callable[[float], Coroutine[Any, Any, None]] = getattr(self, f"_{fault.kind}")
        return inject(fault.value)

    async def _kill(self, value: float) -> None:
        self.killed.set()

    async def _cut_exchange(self, value: float) -> None:
        for link in list(self.broker.links):
            if link.client_id == "exchange":
                link.cut()

    async def _cut_client(self, value: float) -> None:
        others = [link for link in self.broker.links if link.client_id != "exchange"]
        if others:
            others[int(value * len(others))].cut()

    async def _restart_broker(self, value: float) -> None:
        persistent = value > 0.5
        self.broker_forgot |= not persistent
        await self.broker.restart(5 * value, persistent=persistent)

    async def _lose_answer(self, value: float) -> None:
        self.server.losing_answers += 1

    async def _server_away(self, value: float) -> None:
        self.server.up = False
        await asyncio.sleep(10 * value)
        self.server.up = True

    async def _slow_disk(self, value: float) -> None:
        self.server.slow_s = value
        await asyncio.sleep(10)
        self.server.slow_s = 0.002

    # -- what must hold -------------------------------------------------------------------------

    def _check_durable(self, message: Outgoing) -> None:
        """Nothing is published before it is durable."""
        if not message.payload or "/order/" in message.topic or "/interface/" in message.topic:
            return
        event = json.loads(message.payload).get("event") or 0
        if event > self.server.last_event:
            self.told_early.append(f"{message.topic} tells event {event}, which is not durable")

    async def _watch(self) -> None:
        """Look at the exchange every second."""
        while True:
            await asyncio.sleep(1)
            if self.told_early:
                raise BrokenPromiseError(self.told_early[0])
            if self.serving is None:
                continue
            exchange = self.serving.core.exchange
            exchange.check_invariants()
            for start in exchange.state.sessions:
                held = exchange.envelopes(start)
                u = [each.injection_limit_w for each in held]
                u += [each.withdrawal_limit_w for each in held]
                for row, bound, found in self.rows:
                    if np.dot(row, u) > min(bound, found):
                        raise BrokenPromiseError(f"{start}: a row has {np.dot(row, u)} of {found}")

    def _check_end(self) -> None:
        for client in self.clients:
            client.check(complete=not self.broker_forgot)
        for device in self.devices:
            device.check(complete=not self.broker_forgot)
        entries = [decode_entry(line) for line in self.server.lines]
        accepted: set[tuple[str, str]] = set()
        for event in (event for entry in entries for event in entry.events):
            if isinstance(event, OrderAccepted) and event.client_order_id is not None:
                key = event.participant, event.client_order_id
                if key in accepted:
                    raise BrokenPromiseError(f"order {key} was accepted twice")
                accepted.add(key)
        said = {(c.name, key) for c in self.clients for key in c.placed}
        if not said <= accepted:
            raise BrokenPromiseError(f"orders are lost: {said - accepted}")
        again = JournaledExchange(self.setup)
        for entry in entries:
            again.apply(entry)
        self.entries = len(entries)
        if self.serving is None:
            raise BrokenPromiseError("the exchange does not serve, and all faults are over")
        if again.exchange.digest() != self.serving.core.exchange.digest():
            raise BrokenPromiseError("the journal leads to another state")
        ledger = again.exchange.state.ledger
        if sum(ledger.balance(each) for each in ledger._balances):
            raise BrokenPromiseError("money is made or lost")
        self._check_devices(self.serving.core)

    def _check_devices(self, core: JournaledExchange) -> None:
        """Check that devices and broker have the envelopes in force."""
        messages = list(core.publisher.envelopes.retained(self.now))
        wanted = {m.topic: without_clock(json.loads(m.payload)) for m in messages if m.payload}
        followed = {
            topic: each for device in self.devices for topic, each in device.follows.items()
        }
        if followed | wanted != followed:
            raise BrokenPromiseError(f"devices follow other envelopes: {followed}, not {wanted}")
        kept = {
            topic: without_clock(json.loads(payload))
            for topic, payload in self.broker.retained.items()
            if "/envelope/" in topic
        }
        if kept != wanted:
            raise BrokenPromiseError(f"other envelopes are retained: {kept}, not {wanted}")


def broken(day: SimulatedDay) -> str | None:
    """Run a day; return which promise it breaks, ``None`` where it keeps all of them."""
    try:
        day.run()
    except ExceptionGroup as group:
        return f"{group.exceptions[0]}"
    return None
