"""A market day with faults, in virtual time: exchange, standby, broker, journal, clients, devices.

Everything follows from a script (``simulated_faults.py``).  What must hold is checked at each
step of the broker, the journal and the devices, every second, and at the day's end
(``simulated_promises.py``).
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterator
from datetime import datetime, timedelta
from unittest import mock

from listening import until
from market import interface
from market_days import FALLBACK_W, POINTS
from simulated_broker import SimulatedBroker
from simulated_client import Client, Device
from simulated_faults import Injector, Script
from simulated_journal import SimulatedServer
from simulated_market import FeederMarket, RowsMarket, SimulatedMarket, setup_of
from simulated_process import ExchangeProcess
from simulated_promises import Promises
from virtual_time import BEGIN, VirtualClock, run_in_virtual_time

from exchange.vocabulary.commands import OpenSession
from gateway.messages.topics import Topics
from gateway.publishing import envelopes

GATES_S = (50.0, 75.0, 100.0)
BEFORE_S = 5.0  # gates close so long before their interval
ENDS_S = (80.0, 105.0, 300.0)
TRADING_S = 105.0
LONGEST_S = 300.0  # by then every request has its answer
SETTLED_S = 25.0
HOLDS = timedelta(seconds=20)  # a part of the usual, as the period in which all are confirmed


class SimulatedDay:
    """Runs a script; :meth:`run` raises where a promise is broken."""

    def __init__(self, script: Script) -> None:
        self.script = script
        self.clock = VirtualClock()
        self.rng = random.Random(f"day {script.seed}")
        self.broker = SimulatedBroker(random.Random(f"links {script.seed}"))
        self.server = SimulatedServer(random.Random(f"server {script.seed}"))
        self.topics = Topics("sim")
        self.market: SimulatedMarket = (
            FeederMarket(script.seed) if script.network else RowsMarket(script.seed)
        )
        self.setup = setup_of(self.market, self.topics, int(self.rng.choice([1, 5])))

    @property
    def entries(self) -> int:
        """Length of the journal."""
        return len(self.server.lines)

    def run(self) -> None:
        """Run the day to its end."""
        with mock.patch.object(envelopes, "HOLDS", HOLDS):
            run_in_virtual_time(self._day(), self.clock)

    async def _day(self) -> None:
        unit_w, names = self.market.unit_w, [*(f"p{k}" for k in range(POINTS)), "tso"]
        clients = [Client(self.broker, self.topics, name, self.rng, unit_w) for name in names]
        devices: list[Device] = []
        processes = [
            ExchangeProcess(self.setup, self._openings, self.broker, self.server, self.clock)
            for _ in range(2)
        ]
        promises = Promises(self, clients, devices, processes)
        devices += (
            Device(
                *(self.broker, self.topics, point, FALLBACK_W * unit_w, self.clock),
                promises.device_changed,
            )
            for point in self.market.grid.connection_points
        )
        injector = Injector(self.clock, self.broker, self.server, processes, devices)
        listeners: list[Client | Device] = [*clients, *devices]
        async with asyncio.TaskGroup() as group:
            others = [group.create_task(each.listen()) for each in listeners]
            # Nothing is kept for a client before it has a session.
            await until(lambda: all(each.link.connected for each in listeners), LONGEST_S)
            exchanges = [group.create_task(each.run()) for each in processes]
            others.append(group.create_task(promises.watch()))
            faults = group.create_task(injector.run(self.script.faults))
            asking = [group.create_task(each.trade(TRADING_S, starts())) for each in clients]
            async with asyncio.timeout(LONGEST_S):
                await asyncio.wait({*asking, faults})
            await asyncio.sleep(SETTLED_S)
            promises.check_end(complete=not injector.broker_forgot)
            for task in (*others, *exchanges):
                task.cancel()

    def _openings(self) -> Iterator[OpenSession]:
        most_w = POINTS * 100 * self.market.unit_w
        for start, gate_s, end_s in zip(starts(), GATES_S, ENDS_S, strict=True):
            gate, end = (BEGIN + timedelta(seconds=each) for each in (gate_s, end_s))
            yield OpenSession(start, end, gate, interface(most_w, most_w))


def starts() -> list[datetime]:
    return [BEGIN + timedelta(seconds=gate + BEFORE_S) for gate in GATES_S]


def broken(day: SimulatedDay) -> str | None:
    """Run a day; return which promise it breaks, ``None`` where it keeps all of them."""
    try:
        day.run()
    except ExceptionGroup as group:
        return f"{group.exceptions[0]}"
    return None
