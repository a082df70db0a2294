"""Random markets on real feeders: whatever is asked, everything holds after every event.

Orders, cancels, amendments and the TSO's updates are drawn at random.  After each command, with
nothing taken on trust from the exchange where it can be worked out again:

- books are uncrossed, or the network blocks every crossing pair,
- holdings and money are conserved to the last unit, as an account of the events alone shows,
- the headroom carried along equals one computed from nothing,
- the adversary finds nothing that the envelopes in force would break.

In the end a replay of the events leads to the same digest.
"""

from __future__ import annotations

import json
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import ClassVar

import numpy as np
import pytest
from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test
from networks import simbench_network
from sampling import examples, much, some

from doe_allocation.allocation.network_grid import NetworkGrid
from doe_allocation.capacity import Capacity
from exchange.engine import Exchange
from exchange.vocabulary.commands import (
    AdvanceTime,
    AmendOrder,
    CancelOrder,
    Command,
    MassCancel,
    OpenSession,
    SubmitOrder,
    UpdateInterfaceLimits,
)
from exchange.vocabulary.events import (
    AlarmRaised,
    GateClosed,
    HoldingCurtailed,
    HoldingRaised,
    InterfaceLimitsUpdated,
    MatchBlocked,
    SessionOpened,
    Traded,
)
from exchange.vocabulary.orders import OrderTerms
from exchange.vocabulary.reasons import AlarmKind
from exchange.vocabulary.rules import DSO_CONGESTION_RENT, ConnectionTerms, MarketRules
from exchange.vocabulary.settlement_events import StatementIssued
from orderbook.order import Side, TimeInForce
from security_check.model.envelope import Direction
from security_check.model.limits import InterfaceLimits, VoltageLimits
from security_check.verification.adversary import attack

OPENING = datetime(2030, 6, 1, 8, tzinfo=UTC)
QUARTER = timedelta(minutes=15)
STARTS = [OPENING + timedelta(hours=4), OPENING + timedelta(hours=4) + QUARTER]
CAPACITY_W, FALLBACK_W = 30_000, 500
LOT_W = 100
OWNERS = 7  # participants own several connection points each

SECURE = 1e-8  # parts of a limit; the check itself takes 1e-9 for rounding

TIMES_IN_FORCE = [TimeInForce(name) for name in ("GTC", "GTC", "GTC", "GTD", "IOC", "FOK")]


class Account:
    """What the events alone say about holdings and money."""

    def __init__(self) -> None:
        self.held_w: dict[tuple[datetime, Direction, str], int] = {}
        self.balance: Counter[tuple[datetime, str]] = Counter()
        self.limits: dict[datetime, InterfaceLimits] = {}
        self.closed: set[datetime] = set()

    def add(self, event) -> None:
        match event:
            case SessionOpened():
                self.limits[event.start] = event.interface_limits
                for envelope in event.envelopes:
                    point = envelope.connection_point
                    self.held_w[event.start, Direction.INJECTION, point] = (
                        envelope.injection_limit_w
                    )
                    self.held_w[event.start, Direction.WITHDRAWAL, point] = (
                        envelope.withdrawal_limit_w
                    )
            case Traded():
                for fill in event.fills:
                    sign = 1 if fill.side is Side.BUY else -1
                    key = fill.interval, fill.direction, fill.connection_point
                    self.held_w[key] += sign * fill.quantity_w
                    self.balance[fill.interval, fill.participant] -= fill.amount
                    self.balance[fill.interval, DSO_CONGESTION_RENT] += fill.amount
            case HoldingCurtailed() | HoldingRaised():
                key = event.interval, event.direction, event.connection_point
                assert self.held_w[key] == event.from_w
                assert (event.to_w < event.from_w) is isinstance(event, HoldingCurtailed)
                assert event.element
                self.held_w[key] = event.to_w
            case InterfaceLimitsUpdated():
                self.limits[event.interval] = event.interface_limits
            case GateClosed():
                self.closed.add(event.interval)
                points = tuple(envelope.connection_point for envelope in event.envelopes)
                final_w = [e.injection_limit_w for e in event.envelopes]
                final_w += [e.withdrawal_limit_w for e in event.envelopes]
                np.testing.assert_array_equal(self.limits_w(event.interval, points), final_w)
            case StatementIssued():
                owed = self.balance.pop((event.interval, event.participant), 0)
                assert event.balance == event.received - event.paid == owed

    def limits_w(self, interval: datetime, points: tuple[str, ...]) -> np.ndarray:
        return np.array([self.held_w[interval, d, p] for d in Direction for p in points])


class MarketOnAFeeder(RuleBasedStateMachine):
    """One exchange on one feeder with two intervals."""

    grid: NetworkGrid
    tally: ClassVar[Counter[str]]

    @initialize(
        limits=st.sampled_from(
            [InterfaceLimits(0.98, 1.04), InterfaceLimits(0.97, 1.05, 150_000, 120_000)]
        ),
        seed=st.integers(0, 2**32 - 1),
    )
    def open(self, limits, seed):
        points = self.grid.connection_points
        self.owner = {point: f"p{i % OWNERS}" for i, point in enumerate(points)}
        self.terms = [
            ConnectionTerms(
                point, self.owner[point], CAPACITY_W, CAPACITY_W, FALLBACK_W, FALLBACK_W
            )
            for point in points
        ]
        self.market_rules = MarketRules(lot_w=LOT_W)
        self.exchange = Exchange(self.grid, self.market_rules, self.terms)
        self.account = Account()
        self.events = []
        self.now = OPENING
        self.ids = 0
        self.rng = np.random.default_rng(0)
        self.checked_w = {}
        for start in STARTS:
            self.do(OpenSession(start, start + QUARTER, start - timedelta(hours=1), limits))
        self.submit(seed, 40)  # else short runs would see an empty market

    def do(self, command: Command, after: timedelta = timedelta(seconds=1)):
        self.now += after
        events = self.exchange.handle(command, self.now)
        for event in events:
            self.events.append(event)
            self.account.add(event)
            self.tally[type(event).__name__] += 1
            if isinstance(event, AlarmRaised):
                assert event.kind is not AlarmKind.CLEARING_FAILED, event.detail
        self.check()
        return events

    def new_id(self) -> str:
        self.ids += 1
        return f"r{self.ids}"

    # What can happen.

    # A seed, because hypothesis likes small numbers, and a market of small numbers trades little.
    @rule(seed=st.integers(0, 2**32 - 1), count=st.integers(3, 12))
    def submit_some(self, seed, count):
        self.submit(seed, count)

    def submit(self, seed, count):
        rng = np.random.default_rng([seed, count])
        for _ in range(count):
            self.do(self.random_order(rng))

    def random_order(self, rng: np.random.Generator) -> SubmitOrder:
        """Return an order that its owner can mostly place, at a price that often crosses."""
        point = self.grid.connection_points[rng.integers(len(self.owner))]
        interval = STARTS[int(rng.random() < 0.3)]
        direction = list(Direction)[rng.integers(2)]
        side = list(Side)[rng.integers(2)]
        held_w = self.account.held_w[interval, direction, point]
        free_w = held_w - FALLBACK_W if side is Side.SELL else CAPACITY_W - held_w
        lots = max(int(free_w * rng.choice([0.05, 0.3, 0.3, 1.1])) // LOT_W, 1)
        time_in_force = TIMES_IN_FORCE[rng.integers(len(TIMES_IN_FORCE))]
        dated = time_in_force is TimeInForce.GOOD_TILL_DATE
        self.ids += 1
        return SubmitOrder(
            participant=self.owner[point],
            client_order_id=f"c{self.ids}",
            terms=OrderTerms(
                connection_point=point,
                direction=direction,
                interval=interval,
                side=side,
                quantity_w=lots * LOT_W,
                limit_price_ticks=100 + int(rng.integers(-4, 8)) * (1 if side is Side.BUY else -1),
                time_in_force=time_in_force,
                expires_at=self.now + timedelta(seconds=10) if dated else None,
            ),
        )

    @rule(which=st.integers(0, 10**6))
    def cancel(self, which):
        order = self.an_order(which)
        if order is not None:
            self.do(CancelOrder(order.participant, self.new_id(), order.client_order_id))

    @rule(
        which=st.integers(0, 10**6), lots=st.none() | st.integers(1, 80), price=st.integers(90, 110)
    )
    def amend(self, which, lots, price):
        order = self.an_order(which)
        if order is not None:
            quantity_w = None if lots is None else lots * LOT_W
            self.do(
                AmendOrder(
                    order.participant, self.new_id(), order.client_order_id, quantity_w, price
                )
            )

    @rule(owner=st.integers(0, OWNERS - 1))
    def mass_cancel(self, owner):
        self.do(MassCancel(f"p{owner}", self.new_id()))

    @rule(
        interval=st.sampled_from(STARTS),
        injection_kw=st.none() | st.integers(25, 300),
        withdrawal_kw=st.none() | st.integers(25, 300),
        lowest=st.sampled_from([0.97, 0.98, 1.0]),
        highest=st.sampled_from([1.02, 1.04, 1.05]),
    )
    def update_limits(self, interval, injection_kw, withdrawal_kw, lowest, highest):
        self.ids += 1
        limits = InterfaceLimits(
            lowest,
            highest,
            None if injection_kw is None else injection_kw * 1_000,
            None if withdrawal_kw is None else withdrawal_kw * 1_000,
        )
        self.do(UpdateInterfaceLimits(f"u{self.ids}", interval, limits))

    @rule(interval=st.sampled_from(STARTS), seed=st.integers(0, 2**32 - 1))
    def update_to_less_than_the_fallbacks(self, interval, seed):
        """Nothing may trade in the interval until the TSO's limits can be kept again."""
        if interval in self.account.closed:
            return
        before = self.exchange.envelopes(interval)
        too_little_w = FALLBACK_W * len(self.owner) // 2  # losses help those who inject
        for limits in (
            InterfaceLimits(0.98, 1.04, too_little_w, None),
            InterfaceLimits(0.98, 1.04, None, too_little_w),
        ):
            self.ids += 1
            events = self.do(UpdateInterfaceLimits(f"u{self.ids}", interval, limits))
            assert any(isinstance(event, AlarmRaised) and event.halts_trading for event in events)
        assert self.exchange.envelopes(interval) == before
        trades = self.trades_in(interval)
        self.submit(seed, 10)
        assert self.trades_in(interval) == trades
        self.update_limits(interval, None, None, 0.98, 1.04)

    def trades_in(self, interval):
        return sum(isinstance(e, Traded) and e.fills[0].interval == interval for e in self.events)

    @rule()
    def restart(self):
        data = json.loads(json.dumps(self.exchange.snapshot()))
        restored = Exchange.restore(data, self.grid, self.market_rules, self.terms)
        assert restored.digest() == self.exchange.digest()
        self.exchange = restored

    def an_order(self, which):
        orders = self.exchange.state.orders
        return orders[sorted(orders)[which % len(orders)]] if orders else None

    # What must hold.

    def check(self):
        self.exchange.check_invariants()
        points = self.grid.connection_points
        for interval in self.account.limits:
            if interval not in self.exchange.state.sessions:
                continue
            envelopes = self.exchange.envelopes(interval)
            held_w = np.array(
                [e.injection_limit_w for e in envelopes] + [e.withdrawal_limit_w for e in envelopes]
            )
            np.testing.assert_array_equal(held_w, self.account.limits_w(interval, points))
            assert ((held_w >= FALLBACK_W) & (held_w <= CAPACITY_W)).all()
            for name, account in self.exchange.state.ledger.accounts(interval).items():
                assert account.balance == self.account.balance[interval, name]
            state = held_w.tobytes(), self.account.limits[interval]
            if self.checked_w.get(interval) != state:
                self.checked_w[interval] = state
                self.check_security(interval, held_w)
        assert sum(self.account.balance.values()) == 0

    def check_security(self, interval: datetime, held_w: np.ndarray) -> None:
        """Compare the headroom with one computed from nothing, and attack the envelopes."""
        limits = self.account.limits[interval]
        robust = self.grid.robust_rows(limits)
        found = attack(robust, held_w, self.rng, samples=16, climbs=2)
        assert found.violation <= SECURE, found
        self.tally["attacks"] += 1
        # The state of the network is private: there is no public way to it.
        network = self.exchange._markets._open.networks.get(interval)
        if network is None:
            return
        fresh = self.grid.resume(limits, network.envelopes())
        scale = robust.limits.scale
        carried, anew = (headroom_by_row(check, scale) for check in (network, fresh))
        for row in carried.keys() | anew.keys():
            here, there = carried.get(row, np.inf), anew.get(row, np.inf)
            if min(here, there) < 0.02:
                assert abs(here - there) < 1e-6, (robust.element(row), here, there)
        self.tally["headroom compared"] += 1

    def check_trade(self, event: Traded) -> None:
        """Lots, balance, limit prices, congestion rent: all that a clearing must keep."""
        assert sum(fill.amount for fill in event.fills) == event.rent >= 0
        assert event.rent == 0 or event.taker_order_id is None
        assert event.loading <= 1 + SECURE
        orders = [fill.order_id for fill in event.fills]
        assert sorted(set(orders)) == orders
        assert len({fill.participant for fill in event.fills}) > 1
        for direction in Direction:
            fills = [fill for fill in event.fills if fill.direction is direction]
            signs = [1 if fill.side is Side.BUY else -1 for fill in fills]
            assert sum(s * fill.quantity_w for s, fill in zip(signs, fills, strict=True)) == 0
        for fill in event.fills:
            assert fill.quantity_w % LOT_W == 0 < fill.quantity_w
            sign = 1 if fill.side is Side.BUY else -1
            at_limit = sign * fill.limit_price_ticks * fill.quantity_w
            assert fill.amount <= at_limit
            if event.taker_order_id not in (None, fill.order_id):
                assert fill.amount == at_limit

    def teardown(self):
        if not hasattr(self, "exchange"):
            return
        self.do(AdvanceTime(), after=STARTS[-1] - self.now)
        assert self.account.closed == set(STARTS)
        assert not any(self.account.balance.values()), "not everything was settled"
        statements = [event for event in self.events if isinstance(event, StatementIssued)]
        assert sum(statement.balance for statement in statements) == 0
        assert [e.sequence for e in self.events] == list(range(1, len(self.events) + 1))
        for event in self.events:
            if isinstance(event, Traded):
                self.check_trade(event)
        replayed = Exchange(self.grid, self.market_rules, self.terms)
        replayed.replay(self.events)
        assert replayed.digest() == self.exchange.digest()


def headroom_by_row(check, scale: np.ndarray) -> dict[int, float]:
    """Return the smallest headroom of each row, in parts of its scale."""
    smallest: dict[int, float] = {}
    for row, headroom in zip(check.rows.rows.tolist(), check.headroom, strict=True):
        smallest[row] = min(smallest.get(row, np.inf), float(headroom / scale[row]))
    return smallest


def run(code: str, examples: int, steps: int) -> None:
    """Draw random markets on one feeder, and see that they were worth drawing."""
    network = simbench_network(code)
    capacity = Capacity.same(
        network.connection_points, CAPACITY_W, CAPACITY_W, FALLBACK_W, FALLBACK_W
    )

    class Machine(MarketOnAFeeder):
        grid = NetworkGrid(network, VoltageLimits(0.90, 1.10), capacity)
        tally: ClassVar[Counter[str]] = Counter()

    run_state_machine_as_test(
        Machine,
        settings=settings(
            max_examples=examples,
            stateful_step_count=steps,
            deadline=None,
            derandomize=True,
            phases=[Phase.generate],  # a market is long: making it shorter takes minutes
        ),
    )
    for name in (MatchBlocked, HoldingCurtailed, HoldingRaised, AlarmRaised):
        assert Machine.tally[name.__name__] >= 3, Machine.tally
    assert Machine.tally["Traded"] >= 5 * examples, Machine.tally
    assert Machine.tally["attacks"] >= 10 * examples, Machine.tally
    assert Machine.tally["headroom compared"] >= 5 * examples, Machine.tally
    print(code, dict(Machine.tally))


@pytest.mark.slow
def test_random_markets_on_the_feeder_of_the_demo():
    run("1-LV-semiurb4--0-sw", examples=examples(14), steps=25)


@pytest.mark.slow
@pytest.mark.parametrize("code", some(["1-LV-rural1--0-sw", "1-LV-semiurb4--0-sw"], 2))
def test_many_random_markets(code):
    run(code, examples=much(40, 3), steps=40)
