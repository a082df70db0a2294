"""The auction of all orders against scipy's solver, on a network whose rows are exactly linear."""

from __future__ import annotations

import random
from datetime import timedelta

import numpy as np
import pytest
from linear_grid import LinearGrid
from market import BAND, GATE, OPENING, QUARTER, START
from presence import there
from scipy.optimize import linprog

from exchange.engine import Exchange
from exchange.state.effects import apply
from exchange.state.state import State
from exchange.vocabulary.commands import (
    AmendOrder,
    CancelOrder,
    Command,
    OpenSession,
    SubmitJoint,
    SubmitOrder,
)
from exchange.vocabulary.events import Event, OrderAccepted, SessionOpened, Traded
from exchange.vocabulary.orders import Leg, Order, OrderTerms
from exchange.vocabulary.rules import ConnectionTerms, ExchangeRate, MarketRules
from gateway.runs.clairvoyant import Clairvoyant
from gateway.runs.submitted_orders import SubmittedOrders
from orderbook.order import Side, TimeInForce
from security_check.model.envelope import Direction

POINTS = 5
CAPACITY_W = 1_000
FALLBACK_W = 50
RESERVE_TICKS = 40


class Recorded:
    """An exchange that keeps what happened and what was asked for."""

    def __init__(self, grid: LinearGrid, rules: MarketRules, intervals: int = 1) -> None:
        terms = [
            ConnectionTerms(p, f"p{i}", CAPACITY_W, CAPACITY_W, FALLBACK_W, FALLBACK_W)
            for i, p in enumerate(grid.connection_points)
        ]
        self.grid, self.rules = grid, rules
        self.exchange = Exchange(grid, rules, terms)
        self.events: list[Event] = []
        self.now = OPENING
        for k in range(intervals):
            start = START + k * QUARTER
            self.do(OpenSession(start, start + QUARTER, GATE, BAND))

    def do(self, command: Command) -> list[Event]:
        self.now += timedelta(seconds=1)
        events = self.exchange.handle(command, self.now)
        self.events += events
        return events

    def asked(self) -> list[list[Order]]:
        """Let wishes follow all events, each applied to a state of their own."""
        state, wishes = State(self.rules, self.exchange.state.terms), SubmittedOrders()
        for event in self.events:
            apply(state, event)
            wishes.follow(event, state)
        return wishes.legs()

    def gained(self) -> int:
        fills = [fill for e in self.events if isinstance(e, Traded) for fill in e.fills]
        reserve = self.rules.reserve_price_ticks
        return sum(fill.gain - reserve * fill.change_w for fill in fills)

    def clairvoyant(self) -> tuple[int, int]:
        opened = [e for e in self.events if isinstance(e, SessionOpened)]
        judge = Clairvoyant(self.grid, self.rules, self.exchange.state.terms)
        auction = judge.auction(opened, self.asked())
        return sum(auction.gain.values()), auction.rent


def order(number: int, point: int, side: Side, price: int, watts: int = 100) -> SubmitOrder:
    return SubmitOrder(
        f"p{point}",
        f"c{number}",
        OrderTerms(f"load:{point}", Direction.INJECTION, START, side, watts, price),
    )


def test_it_waits_for_the_better_buyer() -> None:
    market = Recorded(LinearGrid([CAPACITY_W] * POINTS, [([1] * 10, 3_000, 3_000)]), MarketRules())
    for each in (
        order(1, 0, Side.SELL, 10),
        order(2, 1, Side.BUY, 20),
        order(3, 2, Side.BUY, 90),
    ):
        market.do(each)
    market.do(CancelOrder("p2", "r1", "c3"))
    assert market.gained() == 10 * 100
    assert market.clairvoyant() == (80 * 100, 0)


def test_what_was_amended_counts_at_the_price_it_had() -> None:
    market = Recorded(LinearGrid([CAPACITY_W] * POINTS, [([1] * 10, 3_000, 3_000)]), MarketRules())
    market.do(order(1, 0, Side.BUY, 50, 200))
    market.do(order(2, 1, Side.SELL, 30, 80))
    market.do(AmendOrder("p0", "r2", "c1", None, 70))
    market.do(order(3, 2, Side.BUY, 60, 90))
    market.do(AmendOrder("p2", "r3", "c3", 40, None))
    found = [(o.limit_price_ticks, o.remaining_w) for legs in market.asked() for o in legs]
    assert found == [(50, 80), (30, 80), (70, 120), (60, 40)]
    assert market.clairvoyant()[0] == 80 * (70 - 30)


def random_market(seed: int, rate: ExchangeRate, intervals: int = 1) -> Recorded:
    draw = random.Random(seed)
    rows = []
    for _ in range(3):
        row = [draw.randrange(4) for _ in range(2 * POINTS)]
        full = sum(row) * CAPACITY_W // 2
        rows.append((row, full, full - draw.randrange(200)))
    rules = MarketRules(exchange_rate=rate, reserve_price_ticks=RESERVE_TICKS)
    market = Recorded(LinearGrid([CAPACITY_W] * POINTS, rows), rules, intervals)
    for number in range(60):
        point = draw.randrange(POINTS)
        if number and draw.random() < 0.2:
            victim = draw.randrange(number)
            market.do(CancelOrder(f"p{victim % POINTS}", f"r{number}", f"c{victim}"))
        side = draw.choice(list(Side))
        market.do(
            SubmitOrder(
                f"p{point}",
                f"c{number}",
                OrderTerms(
                    f"load:{point}",
                    draw.choice(list(Direction)),
                    START + draw.randrange(intervals) * QUARTER,
                    side,
                    draw.randrange(1, 300),
                    draw.randrange(100),
                    draw.choice([TimeInForce.GOOD_TILL_CANCEL, TimeInForce.IMMEDIATE_OR_CANCEL]),
                ),
            )
        )
    return market


def greatest_gain(market: Recorded) -> float:
    """The relaxed program of one interval, whole: no engine, no lots, scipy's solver."""
    (opened,) = [e for e in market.events if isinstance(e, SessionOpened)]
    accepted = [e.terms for e in market.events if isinstance(e, OrderAccepted)]
    start = np.array(
        [e.injection_limit_w for e in opened.envelopes]
        + [e.withdrawal_limit_w for e in opened.envelopes]
    )
    columns = [
        int(e.connection_point[5:]) + POINTS * (e.direction is Direction.WITHDRAWAL)
        for e in accepted
    ]
    sign = np.array([1 if e.side is Side.BUY else -1 for e in accepted])
    balanced = market.rules.exchange_rate is ExchangeRate.ONE_TO_ONE
    reserve = 0 if balanced else RESERVE_TICKS
    value = sign * (np.array([e.limit_price_ticks for e in accepted]) - reserve)
    change = np.zeros((2 * POINTS, len(accepted)))
    change[columns, range(len(accepted))] = sign
    A = np.array([row for row, _, _ in market.grid.rows], dtype=float)
    true = np.array([min(b, b_ac) for _, b, b_ac in market.grid.rows], dtype=float)
    halves = np.repeat(np.eye(2), POINTS, axis=1) @ change
    found = linprog(
        -value,
        A_ub=np.vstack([A @ change, change, -change]),
        b_ub=np.concatenate([true - A @ start, CAPACITY_W - start, start - FALLBACK_W]),
        A_eq=halves if balanced else None,
        b_eq=np.zeros(2) if balanced else None,
        bounds=[(0, e.quantity_w) for e in accepted],
    )
    assert found.status == 0, found.message
    return -float(there(found.fun))


@pytest.mark.parametrize("rate", list(ExchangeRate))
@pytest.mark.parametrize("seed", range(6))
def test_it_finds_the_optimum_up_to_whole_lots(seed: int, rate: ExchangeRate) -> None:
    market = random_market(seed, rate)
    gain, rent = market.clairvoyant()
    most = greatest_gain(market)
    # A lot is worth at most a hundred ticks; each row and direction may cost some.
    assert most - 2_000 <= gain <= most + 1e-6
    assert gain >= market.gained()
    assert 0 <= rent <= gain


def test_joint_orders_connect_intervals() -> None:
    market = Recorded(
        LinearGrid([CAPACITY_W] * POINTS, [([1] * 10, 3_000, 3_000)]), MarketRules(), 2
    )
    legs = tuple(
        Leg("load:0", Direction.INJECTION, START + k * QUARTER, Side.BUY, 100, 50) for k in (0, 1)
    )
    market.do(SubmitJoint("p0", "block", legs))
    for k, price in ((0, 20), (1, 45)):
        market.do(
            SubmitOrder(
                "p1",
                f"s{k}",
                OrderTerms(
                    "load:1", Direction.INJECTION, START + k * QUARTER, Side.SELL, 100, price
                ),
            )
        )
    assert market.clairvoyant()[0] == (50 - 20 + 50 - 45) * 100 == market.gained()
