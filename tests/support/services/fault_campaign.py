"""Random faults against real servers while ten clients trade: what is lost, doubled or insecure.

mosquitto, Redis that syncs each write, an exchange and its standby are processes.  Ten clients
trade with the client library and keep their own books of what they were told.  Intervals of a
minute run meanwhile, and what the ten devices keep to is attacked whenever it changes.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandapower as pp
from gateway_servers import Mosquitto, RedisServer, cut, steal
from killed_exchange import journaled
from listening import until
from networks import feeder
from redis.asyncio import Redis
from served_programs import Program

from doe_exchange.client import OwnOrder, RequestRefusedError, TradingClient
from exchange.vocabulary.events import OrderAccepted, Traded
from gateway.journal.redis_journal import RedisJournal
from gateway.messages.participant_reports import TradedReport
from gateway.messages.topics import Topics
from gateway.ports import JournalEntry
from gateway.scenario.loading import load_scenario
from gateway.scenario.scenario import Scenario
from gateway.service.core import ExchangeSetup, JournaledExchange, restored

AREA, CUSTOMERS = "faults", 10
SCENARIO = """
area = "faults"
[network]
source = "net.json"
[interface]
voltage_min_pu = 0.98
voltage_max_pu = 1.04
[capacity]
injection_w = 15000
withdrawal_w = 15000
fallback_injection_w = 500
fallback_withdrawal_w = 500
[intervals]
minutes = 1
[market]
opening_minutes = 4
gate_closure_minutes = 1
"""
KINDS = {
    "kill the exchange": 2.0,
    "stop the exchange": 2.0,
    "cut the exchange from the broker": 2.0,
    "cut a client": 2.0,
    "kill the broker": 0.5,
    "restart the broker": 0.5,
    "kill Redis": 1.0,
    "pause Redis": 1.0,
    "drop all connections of Redis": 1.0,
    "let Redis be full": 1.0,
}
PERSISTENT = "persistence true\npersistence_location {place}/\nautosave_interval 3600\nuser root\n"
_AT_ONCE = 3  # requests that a client has unanswered
_OVERLAPPING = 0.3  # share of the faults that do not wait until the one before is over


@dataclass
class Outcome:
    """What a campaign has found; ``broken`` is empty where every promise was kept."""

    faults: Counter[str] = field(default_factory=Counter)
    silences_s: dict[str, list[float]] = field(default_factory=dict)
    """For each kind, seconds from a fault to the next answer that any client gets."""
    starts: int = 0
    """Of exchanges that were killed, or ended by themselves before they stood by once."""
    orders: int = 0
    refused: int = 0
    fills: int = 0
    entries: int = 0
    attacked: int = 0
    seconds: float = 0.0
    broken: list[str] = field(default_factory=list)


class Trader:
    """A client that trades at one connection point, and its own books."""

    def __init__(self, broker: Mosquitto, number: int, chance: random.Random) -> None:
        self.name, self.point = f"p{number}", f"load:{number}"
        self.client = TradingClient(broker.settings(f"faults-{self.name}"), AREA, self.name)
        self._chance = chance
        self._number = 0
        self.orders: dict[str, int] = {}
        """The number that each accepted order was told to have."""
        self.fills: Counter[tuple[int, int, int]] = Counter()
        self.sequences: list[int] = []
        self.refused = 0
        self.answered_at = 0.0

    async def hear(self) -> None:
        """Book every report."""
        async for report in self.client.reports():
            self.sequences.append(report.sequence)
            if isinstance(report, TradedReport):
                self.fills[report.trade_id, report.order_id, report.quantity_w] += 1

    async def trade(self, stopped: asyncio.Event) -> None:
        while not stopped.is_set():
            await asyncio.sleep(self._chance.expovariate(5.0))
            with contextlib.suppress(IndexError):  # no interval is open
                await self._order()

    async def _order(self) -> None:
        draw, side = self._chance, self._chance.choice(["buy", "sell"])
        self._number += 1
        key = f"{self.name}-{self._number}"
        interval = draw.choice(list(self.client.open_intervals))
        place = self.client.buy if side == "buy" else self.client.sell
        try:
            order: OwnOrder = await place(
                self.point,
                draw.choice(["injection", "withdrawal"]),
                draw.randint(1, 8) * 100,
                f"{draw.randint(300, 600) / 1e4:.4f}",
                interval=interval,
                client_order_id=key,
            )
        except RequestRefusedError:
            self.refused += 1
        else:
            self.orders[key] = order.legs[0].order_id
        self.answered_at = time.monotonic()

    def limits_w(self, now: datetime) -> tuple[int, int]:
        limits = self.client.limits_now(self.point, now)
        return limits.injection_limit_w, limits.withdrawal_limit_w


class Campaign:
    """Servers, exchanges and clients, and the faults that are brought over them.

    Parameters
    ----------
    folder
        Where everything is written.
    seed
        Of the faults and of what clients want.
    """

    def __init__(self, folder: Path, seed: int) -> None:
        self._folder, self._chance = folder, random.Random(seed)
        self.outcome = Outcome()
        pp.to_json(feeder(CUSTOMERS, 1, max_i_ka=0.06), str(folder / "net.json"))
        owners = "".join(f'p{k} = ["load:{k}"]\n' for k in range(CUSTOMERS))
        self._path = folder / "faults.toml"
        self._path.write_text(f"{SCENARIO}[participants]\n{owners}")
        self.scenario: Scenario = load_scenario(self._path)
        self._seen: set[bytes] = set()
        self._late: list[asyncio.Task[None]] = []
        # Faults of one server follow each other; those of different ones may overlap.
        self._one_at_broker, self._one_at_redis = asyncio.Lock(), asyncio.Lock()

    async def run(self, faults: int, within_s: float | None = None) -> Outcome:
        """Bring faults over everything, at most for so long; return what was found."""
        began = time.monotonic()
        with self._servers():
            await self._trade(faults, within_s)
            for program in self._programs:
                program.finish()
            await self._compare()
        self.outcome.seconds = time.monotonic() - began
        return self.outcome

    @contextlib.contextmanager
    def _servers(self) -> Iterator[None]:
        place = self._folder / "broker"
        place.mkdir()
        with ExitStack() as stack:
            extra = PERSISTENT.format(place=place)
            self._broker = stack.enter_context(Mosquitto(self._folder, extra))
            self._redis = stack.enter_context(RedisServer(self._folder))
            environment = {
                "DOE_MQTT_URL": f"mqtt://127.0.0.1:{self._broker.port}",
                "DOE_REDIS_URL": self._redis.url,
                "DOE_WITNESS": str(self._folder / "witness"),
                "DOE_LOOP__SNAPSHOT_ENTRIES": "50",  # the last one is compared with a replay
            }
            self._programs: list[Program] = []
            for name in ("one", "two"):
                self._programs.append(Program([self._path], self._path.parent / name, environment))
                stack.callback(self._programs[-1].end)
            for program in self._programs:
                program.wait_until_there()
            yield

    async def _trade(self, faults: int, within_s: float | None) -> None:
        self._traders = [
            Trader(self._broker, k, random.Random(self._chance.random())) for k in range(CUSTOMERS)
        ]
        stopped = asyncio.Event()
        async with contextlib.AsyncExitStack() as stack, asyncio.TaskGroup() as group:
            for trader in self._traders:
                await stack.enter_async_context(trader.client)
            hearing = [group.create_task(trader.hear()) for trader in self._traders]
            watching = [group.create_task(self._watch()), group.create_task(self._supervise())]
            trading = [
                group.create_task(trader.trade(stopped))
                for trader in self._traders
                for _ in range(_AT_ONCE)
            ]
            await asyncio.sleep(2)
            begun = time.monotonic()
            for _ in range(faults):
                if within_s is not None and time.monotonic() - begun > within_s:
                    break
                await self._one_fault()
            await asyncio.gather(*self._late)
            stopped.set()
            async with asyncio.timeout(60):
                await asyncio.gather(*trading)
                await self._settled()
            for task in (*watching, *hearing):
                task.cancel()

    async def _settled(self) -> None:
        """Wait until every client has all reports, those of the last trades included."""
        await asyncio.sleep(1)
        for trader in self._traders:
            await trader.client._client.catch_up()
        await asyncio.sleep(0.5)
        self._attack_published()

    def _attack_published(self) -> None:
        """Attack the envelopes that devices have of every interval, all news having come."""
        known = [trader.client.envelopes[trader.point].intervals for trader in self._traders]
        by_start = [{each.start: each for each in intervals} for intervals in known]
        for start in set.intersection(*(set(each) for each in by_start)):
            limits_w = [
                (each[start].injection_limit_w, each[start].withdrawal_limit_w) for each in by_start
            ]
            self._attack(np.array(limits_w).T.reshape(-1), f"published for {start}")

    # -- faults ---------------------------------------------------------------------------------

    async def _one_fault(self) -> None:
        draw = self._chance
        (kind,) = draw.choices(list(KINDS), list(KINDS.values()))
        self.outcome.faults[kind] += 1
        begun = time.monotonic()
        bring = getattr(self, "_" + kind.replace(" ", "_").lower())
        task = asyncio.create_task(bring(draw.random()))
        silence = asyncio.create_task(self._silence(kind, begun))
        self._late = [each for each in self._late if not each.done()] + [task, silence]
        if draw.random() >= _OVERLAPPING:
            await asyncio.gather(*self._late)
        await asyncio.sleep(draw.uniform(0.05, 0.5))

    async def _silence(self, kind: str, begun: float) -> None:
        """Note how long it takes until a client is answered again."""
        answered = begun + 0.05  # what was on its way had come by then
        await until(lambda: max(each.answered_at for each in self._traders) > answered, None)
        self.outcome.silences_s.setdefault(kind, []).append(time.monotonic() - begun)

    async def _serving(self) -> Program:
        for _ in range(200):
            for program in self._programs:
                if await program.serves():
                    return program
            await asyncio.sleep(0.02)
        return self._programs[0]

    async def _kill_the_exchange(self, share: float) -> None:
        program = await self._serving()
        await asyncio.to_thread(program.end)
        # Beside two exchanges that start nothing can be learnt: the other one must be there.
        while not await asyncio.to_thread(program.is_there):  # noqa: ASYNC110  # a process
            await asyncio.sleep(0.1)

    async def _stop_the_exchange(self, share: float) -> None:
        program = await self._serving()
        program.pause()
        await asyncio.sleep(0.2 + 3 * share)
        program.go_on()

    async def _cut_the_exchange_from_the_broker(self, share: float) -> None:
        await steal(self._broker.settings(f"doe-exchange-{AREA}"), clean=False)

    async def _cut_a_client(self, share: float) -> None:
        cut_off = self._traders[int(share * CUSTOMERS)].client._client
        if cut_off.connected:
            cut(cut_off._transport)

    async def _kill_the_broker(self, share: float) -> None:
        async with self._one_at_broker:
            self._broker.kill()
            await asyncio.sleep(share)
            await asyncio.to_thread(self._broker.start)

    async def _restart_the_broker(self, share: float) -> None:
        async with self._one_at_broker:
            await asyncio.to_thread(self._broker.__exit__)
            await asyncio.sleep(share)
            await asyncio.to_thread(self._broker.start)

    async def _kill_redis(self, share: float) -> None:
        async with self._one_at_redis:
            self._redis.kill()
            await asyncio.sleep(share)
            await asyncio.to_thread(self._redis.start)

    async def _pause_redis(self, share: float) -> None:
        async with self._one_at_redis:
            self._redis.pause()
            await asyncio.sleep(3 * share)
            self._redis.go_on()

    async def _drop_all_connections_of_redis(self, share: float) -> None:
        await self._tell_redis("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")

    async def _let_redis_be_full(self, share: float) -> None:
        async with self._one_at_redis:
            await self._tell_redis("CONFIG", "SET", "maxmemory", "1mb")
            await asyncio.sleep(3 * share)
            await self._tell_redis("CONFIG", "SET", "maxmemory", "0")

    async def _tell_redis(self, *words: str) -> None:
        """Send a command; another fault may have taken the server away for the moment."""
        for _ in range(100):
            async with Redis.from_url(self._redis.url, socket_timeout=2.0) as redis:
                with contextlib.suppress(Exception):
                    await redis.execute_command(*words)
                    return
            await asyncio.sleep(0.1)
        raise AssertionError("Redis does not answer")

    async def _supervise(self) -> None:
        """Start what has ended, as the service manager does."""
        while True:
            await asyncio.sleep(0.2)
            for program in self._programs:
                if program.process.poll() is not None:
                    self.outcome.starts += 1
                    program.start()

    # -- what must hold -------------------------------------------------------------------------

    async def _watch(self) -> None:
        """Attack what the devices keep to, whenever it changes."""
        while True:
            await asyncio.sleep(0.1)
            now = datetime.now(UTC)
            with contextlib.suppress(LookupError):
                limits_w = np.array([each.limits_w(now) for each in self._traders]).T.reshape(-1)
                if limits_w.tobytes() not in self._seen:
                    self._seen.add(limits_w.tobytes())
                    await asyncio.to_thread(self._attack, limits_w, f"at the devices at {now}")

    def _attack(self, limits_w: Any, where: str) -> None:
        (interval,) = self.scenario.intervals
        found = self.scenario.grid().attack(
            interval.interface_limits, limits_w, np.random.default_rng(0), samples=64, climbs=4
        )
        self.outcome.attacked += 1
        if found.violation > 1e-6:
            self.outcome.broken.append(f"{where}: {found.element} has {found.value:.6g}")

    async def _compare(self) -> None:
        """Compare the books of the clients, and the exchange's last state, with the journal."""
        outcome, entries = self.outcome, await journaled(self._redis.url, AREA)
        self._compare_books(entries)
        setup = ExchangeSetup(
            Topics(AREA), self.scenario.grid(), self.scenario.rules, self.scenario.terms()
        )
        async with RedisJournal(self._redis.url, AREA, read_only=True) as journal:
            last = restored(setup, await journal.read_snapshot())
        if not last.sequence:
            outcome.broken.append(f"no snapshot was made of {len(entries)} entries")
        again = JournaledExchange(setup)
        for entry in entries:
            if entry.sequence == last.sequence + 1:
                self._compare_states(last, again)
            again.apply(entry)
        if last.sequence == len(entries):
            self._compare_states(last, again)
        again.exchange.check_invariants()
        ledger = again.exchange.state.ledger
        if sum(ledger.balance(each) for each in ledger._balances):
            outcome.broken.append("money is made or lost")
        outcome.entries = len(entries)

    def _compare_states(self, own: JournaledExchange, again: JournaledExchange) -> None:
        """Compare the exchange's own last state, its snapshot, with a replay up to there."""
        if own.exchange.digest() != again.exchange.digest():
            self.outcome.broken.append(
                f"the journal leads to another state than the exchange's own after entry "
                f"{own.sequence}"
            )

    def _compare_books(self, entries: list[JournalEntry]) -> None:
        outcome = self.outcome
        placed: Counter[tuple[str, str | None, int]] = Counter()
        filled: dict[str, Counter[tuple[int, int, int]]] = {}
        for event in (event for entry in entries for event in entry.events):
            if isinstance(event, OrderAccepted):
                placed[event.participant, event.client_order_id, event.order_id] += 1
            elif isinstance(event, Traded):
                for fill in event.fills:
                    book = filled.setdefault(fill.participant, Counter())
                    book[event.trade_id, fill.order_id, fill.quantity_w] += 1
        keys = Counter((participant, key) for participant, key, _ in placed.elements())
        outcome.broken += [f"order {key} is in the journal twice" for key in keys if keys[key] > 1]
        for trader in self._traders:
            told = {(trader.name, key, number) for key, number in trader.orders.items()}
            outcome.broken += [f"{each} is not in the journal" for each in told - placed.keys()]
            if trader.fills != filled.get(trader.name, Counter()):
                outcome.broken.append(f"{trader.name} has booked other fills than the journal has")
            expected = range(trader.sequences[0], trader.sequences[0] + len(trader.sequences))
            if trader.sequences != list(expected) or trader.client.reports_given_up:
                outcome.broken.append(f"{trader.name} misses reports")
            outcome.orders += len(trader.orders)
            outcome.refused += trader.refused
            outcome.fills += trader.fills.total()
