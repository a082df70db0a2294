"""A whole market day with embedded servers: broker, journal, exchange, agents, adversary.

In each quarter-hour the exchange allocates and opens the interval and publishes the envelopes;
agents place orders; in some quarter-hours the TSO changes its limits during trading; agents raise
their bids to their true values; the gate closes.  The market's clock jumps from step to step.  The
rest is as in production: orders travel over MQTT, and no answer precedes the journal.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta

from exchange.vocabulary.commands import AdvanceTime, OpenSession
from exchange.vocabulary.events import Refused
from exchange.vocabulary.formatting import format_time
from exchange.vocabulary.rules import TSO
from gateway.demo.adversary_process import AdversaryProcess
from gateway.demo.clients import AgentClient
from gateway.demo.customers import Customer, draw_customers, read_profiles
from gateway.demo.observer import DayObserver
from gateway.demo.report import DemoReport
from gateway.demo.summary import Summary, adversary_count
from gateway.demo.trading_agent import Agent, WantedOrder
from gateway.errors import GatewayError
from gateway.formats.input_files import bundled
from gateway.formats.strict_json import KEPT_REQUEST_BYTES
from gateway.journal.embedded_redis import EmbeddedRedis
from gateway.journal.redis_journal import RedisJournal
from gateway.journal.replay import replay_journal
from gateway.messages.topics import Topics
from gateway.ports import JournalEntry
from gateway.publishing.publisher import last_will
from gateway.scenario.intervals import DeliveryInterval
from gateway.scenario.loading import load_scenario
from gateway.scenario.scenario import Scenario
from gateway.service.core import ExchangeSetup
from gateway.service.service import Service
from gateway.transport.embedded_broker import BrokerAccount, EmbeddedBroker
from gateway.transport.mqtt import MqttTransport
from gateway.transport.participant_client import ParticipantClient
from security_check.model.envelope import Direction
from security_check.model.limits import InterfaceLimits

_EXCHANGE = "exchange"
_NETWORK = "1-LV-semiurb4--0-sw"
_LEAD = timedelta(minutes=15)  # from the opening of an interval to its start
_SHOWN_CHANGES = 6  # rows of a table


@dataclass(frozen=True, slots=True)
class _TsoPlan:
    """A change of the TSO's limits during trading, in intervals between two hours of the day."""

    first: float
    last: float
    change_injection_w: int
    change_withdrawal_w: int


_TSO_PLANS = (
    # A line of the transmission network trips at noon; at night a neighbour needs less.
    _TsoPlan(12.0, 13.0, -50_000, 0),
    _TsoPlan(19.0, 20.0, 0, +30_000),
)


class MarketClock:
    """The market's time, which the demo sets."""

    def __init__(self, start: datetime) -> None:
        self.now = start

    def __call__(self) -> datetime:
        """Return the time."""
        return self.now


class WatchedJournal(RedisJournal):
    """A journal that passes durable entries to an observer."""

    watch: DayObserver

    async def append(self, entries: Sequence[JournalEntry], published: int) -> None:
        """Write entries, then pass their events to the observer."""
        await super().append(entries, published)
        for entry in entries:
            self.watch.take(entry.events)


@dataclass(slots=True)
class DayProgress:
    """Progress of the day, for the live view."""

    watch: DayObserver
    adversary: AdversaryProcess
    interval: DeliveryInterval
    done: int
    total: int
    messages: int


Show = Callable[[DayProgress], None]


async def run_demo(seed: int, intervals: int | None, show: Show) -> DemoReport:
    """Run the day and return its figures.

    Parameters
    ----------
    seed
        Of the customers, the random choices of their agents, and the adversary's points.
    intervals
        Number of quarter-hours from midnight on; ``None`` for all.
    show
        Called after every quarter-hour.
    """
    began = time.monotonic()
    path = bundled("demo.toml")
    scenario = load_scenario(path)
    points = scenario.network.connection_points
    customers = draw_customers(points, read_profiles(bundled("day.csv")), seed)
    async with AsyncExitStack() as stack:
        adversary = stack.enter_context(AdversaryProcess(path, seed))
        day = _Day(scenario, customers, seed, DayObserver(adversary.submit), adversary)
        await day.start(stack)
        for quarter, interval in enumerate(scenario.intervals[:intervals]):
            await day.trade(quarter, interval)
            show(day.progress(quarter, interval, intervals or len(scenario.intervals)))
        digests = await day.digests()
        await asyncio.to_thread(adversary.results)
        return _demo_report(day, time.monotonic() - began, digests)


class _Day:
    """All participants, and the steps of a quarter-hour."""

    def __init__(
        self,
        scenario: Scenario,
        customers: Sequence[Customer],
        seed: int,
        watch: DayObserver,
        adversary: AdversaryProcess,
    ) -> None:
        self.scenario = scenario
        self.customers = customers
        self.seed = seed
        self.watch = watch
        self.adversary = adversary
        self.messages = 0
        self.clock = MarketClock(scenario.intervals[0].start - 2 * _LEAD)
        self.topics = Topics(scenario.area)
        self.clients: list[AgentClient] = []
        self.late: list[tuple[AgentClient, list[WantedOrder], datetime]] = []

    async def start(self, stack: AsyncExitStack) -> None:
        """Start servers, exchange and clients; ``stack`` stops them."""
        broker = await stack.enter_async_context(EmbeddedBroker(self._accounts()))
        redis = await stack.enter_async_context(EmbeddedRedis())
        self.journal = WatchedJournal(redis.url, self.scenario.area)
        self.journal.watch = self.watch
        self.redis_url = redis.url
        await stack.enter_async_context(self.journal)
        transport = await stack.enter_async_context(
            MqttTransport(
                broker.settings(_EXCHANGE, _EXCHANGE),
                self.topics.incoming,
                will=last_will(self.topics),
                ignore_retained=True,
                payload_at_most=KEPT_REQUEST_BYTES,
            )
        )
        terms = self.scenario.terms({c.connection_point: c.participant for c in self.customers})
        market = ExchangeSetup(self.topics, self.scenario.grid(), self.scenario.rules, terms)
        self.service = Service(market, transport, self.journal, clock=self.clock)
        self._running = await stack.enter_async_context(_Running())
        self._running.start(self.service.run())
        await self.service.ready.wait()
        for customer in self.customers:
            settings = broker.settings(customer.participant, customer.participant)
            client = AgentClient(self._agent(customer), settings, self.topics)
            self.clients.append(await stack.enter_async_context(client))
        self.tso = ParticipantClient(broker.settings(TSO, TSO), self.topics, TSO)
        await stack.enter_async_context(self.tso)

    def _accounts(self) -> dict[str, BrokerAccount]:
        """Return an account for each participant, with rights to its own topics only."""
        rights = {
            c.participant: self.topics.participant_rights(c.participant) for c in self.customers
        }
        rights |= {TSO: self.topics.tso_rights(), _EXCHANGE: self.topics.exchange_rights()}
        return {name: BrokerAccount(secrets.token_hex(16), right) for name, right in rights.items()}

    def _agent(self, customer: Customer) -> Agent:
        row = self.scenario.network.connection_points.index(customer.connection_point)
        capacity = self.scenario.capacity
        return Agent(
            customer,
            tick=self.scenario.rules.tick,
            lot_w=self.scenario.rules.lot_w,
            fallback_w={
                Direction.INJECTION: int(capacity.fallback_injection_w[row]),
                Direction.WITHDRAWAL: int(capacity.fallback_withdrawal_w[row]),
            },
            capacity_w={
                Direction.INJECTION: int(capacity.injection_w[row]),
                Direction.WITHDRAWAL: int(capacity.withdrawal_w[row]),
            },
            seed=self.seed,
        )

    async def trade(self, quarter: int, interval: DeliveryInterval) -> None:
        """Open, trade and close one quarter-hour."""
        await self._running.watching(self._trade(quarter, interval))

    async def _trade(self, quarter: int, interval: DeliveryInterval) -> None:
        self.clock.now = interval.start - _LEAD
        gate = interval.start - self.scenario.gate_closure
        opened = await self.service.request(
            OpenSession(interval.start, interval.end, gate, interval.interface_limits)
        )
        refused = [event.detail for event in opened if isinstance(event, Refused)]
        if refused:
            raise GatewayError(f"{interval.start:%H:%M} cannot be opened: {refused[0]}")
        await self._send_late()
        # All agents decide on the opening envelopes; the second half of them sends its orders
        # after the TSO's change.
        limits_w = [await client.limits_w(interval.start) for client in self.clients]
        for position, client in enumerate(self.clients):
            if position == len(self.clients) // 2:
                await self._tso(interval)
            wanted = [client.agent.look(d, quarter, limits_w[position][d]) for d in Direction]
            found = [order for order in wanted if order is not None]
            if client.agent.oversleeps():
                self.late.append((client, found, interval.start))
            else:
                self.messages += await client.place(found, interval.start)
        await self._answered()
        for client in self.clients:
            self.messages += await client.try_again(quarter, interval.start)
        await self._answered()
        for client in self.clients:
            self.messages += await client.raise_bids(interval.start)
        await self._answered()
        self.clock.now = gate
        await self.service.request(AdvanceTime())

    async def _send_late(self) -> None:
        """Send the orders of agents that missed the gate of the last interval."""
        for client, orders, interval in self.late:
            self.messages += await client.place(orders, interval)
        self.late.clear()

    async def _answered(self) -> None:
        for client in self.clients:
            await client.answered()

    async def _tso(self, interval: DeliveryInterval) -> None:
        hour = interval.start.hour + interval.start.minute / 60
        for plan in _TSO_PLANS:
            if plan.first <= hour < plan.last:
                self.messages += 1
                limits = asdict(_changed(interval, plan))
                about = {
                    "update_id": f"{interval.start:%H%M}",
                    "interval": format_time(interval.start),
                }
                await self.tso.ask(about | limits)

    def progress(self, quarter: int, interval: DeliveryInterval, total: int) -> DayProgress:
        """Return the progress of the day."""
        return DayProgress(self.watch, self.adversary, interval, quarter + 1, total, self.messages)

    async def digests(self) -> tuple[int, str, str]:
        """Return the number of journal entries, the state's digest, and that of a replay."""
        live = self.service.core.exchange.digest()
        replayed = await replay_journal(self.redis_url, self.scenario.area)
        return replayed.entries, live, replayed.digest


def _changed(interval: DeliveryInterval, plan: _TsoPlan) -> InterfaceLimits:
    usual = interval.interface_limits
    injection_w, withdrawal_w = usual.injection_limit_w, usual.withdrawal_limit_w
    assert injection_w is not None, "the demo's scenario names both limits"
    assert withdrawal_w is not None, "the demo's scenario names both limits"
    return replace(
        usual,
        injection_limit_w=injection_w + plan.change_injection_w,
        withdrawal_limit_w=withdrawal_w + plan.change_withdrawal_w,
    )


class _Running:
    """Background tasks; when one ends, the work that watches them fails."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> _Running:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def start(self, work: Awaitable[None]) -> None:
        """Run a task until the end of the day."""
        self._tasks.add(asyncio.ensure_future(work))

    async def watching(self, work: Awaitable[None]) -> None:
        """Await work; raise where a background task ends first."""
        main = asyncio.ensure_future(work)
        await asyncio.wait({main, *self._tasks}, return_when=asyncio.FIRST_COMPLETED)
        if not main.done():
            main.cancel()
            await asyncio.gather(main, return_exceptions=True)
            for task in self._tasks:
                if task.done():
                    task.result()
            raise GatewayError("a part of the demo ended before the day did")
        main.result()


def _demo_report(day: _Day, seconds: float, digests: tuple[int, str, str]) -> DemoReport:
    watch = day.watch
    summary = Summary(watch, day.customers, day.scenario.rules)
    changes = summary.binding_changes()
    largest = sorted(changes, key=lambda change: -change.quantity_w)[:_SHOWN_CHANGES]
    entries, digest, replayed_digest = digests
    return DemoReport(
        network=_NETWORK,
        seed=day.seed,
        seconds=seconds,
        customers=len(day.customers),
        intervals=len(watch.sessions),
        groups=summary.groups(),
        messages=day.messages,
        orders=watch.orders,
        amendments=watch.amendments,
        trades=len(watch.trades),
        traded_w=watch.traded_w,
        spreads=summary.spreads(),
        unmet=summary.unmet(),
        busiest=summary.busiest(),
        elements=summary.elements(),
        binding_changes=sorted(largest, key=lambda change: change.trade_id),
        binding_changes_in_all=len(changes),
        updates=summary.updates(),
        blocked=len(watch.blocked),
        largest_blocked=summary.largest_blocked(),
        flows=summary.flows(),
        accounts=summary.accounts(),
        refusals=summary.refusals(),
        alarms=[f"{alarm.kind}: {alarm.detail}" for alarm in watch.alarms],
        welfare=summary.eur(watch.welfare),
        paid=summary.eur(sum(statement.paid for statement in watch.statements)),
        received=summary.eur(sum(statement.received for statement in watch.statements)),
        difference=summary.eur(sum(statement.balance for statement in watch.statements)),
        adversary=adversary_count(day.adversary.results()),
        journal_entries=entries,
        digest=digest,
        replayed_digest=replayed_digest,
    )
