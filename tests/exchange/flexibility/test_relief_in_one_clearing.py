"""A need of the DSO is met by buying back limits or by flexibility, whichever is cheaper."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from flexible_market import (
    BAND,
    DOWNWARD,
    START,
    UPWARD,
    FlexibleExchange,
    chain,
    made,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from presence import there
from scipy.optimize import linprog

from doe_allocation.allocation.linear.flow_rows import FlowRows
from exchange.flexibility.flex_order import FlexOrder
from exchange.flexibility.live.flows import check_flows
from exchange.vocabulary.commands import (
    SetBuyBack,
    SubmitOrder,
    UpdateInterfaceLimits,
)
from exchange.vocabulary.events import Event, HoldingCurtailed, InterfaceLimitsUpdated, Traded
from exchange.vocabulary.flexibility import Matching
from exchange.vocabulary.flexibility_events import FlexibilityMatched
from exchange.vocabulary.orders import OrderTerms
from exchange.vocabulary.rules import DSO_BUY_BACK, BuyBack
from orderbook.order import Side
from security_check.model.envelope import Direction

INJECTION, WITHDRAWAL = Direction.INJECTION, Direction.WITHDRAWAL
BY = {INJECTION: DOWNWARD, WITHDRAWAL: UPWARD}


def interface(injection_w: int, withdrawal_w: int = 10**6):
    return replace(BAND, injection_limit_w=injection_w, withdrawal_limit_w=withdrawal_w)


def sell(market: FlexibleExchange, point: int, watts: int, price: int, direction=INJECTION) -> None:
    number = f"s{len(market.commands)}"
    terms = OrderTerms(f"load:{point}", direction, START, Side.SELL, watts, price)
    market.send(SubmitOrder(f"p{point}", number, terms))


def flexible(market: FlexibleExchange, bus: int, watts: int, price: int, way=DOWNWARD) -> None:
    number = market.exchange.state.next_order_id
    market.submit(FlexOrder(number, Side.SELL, price, watts, bus=bus, direction=way, interval=""))


def ask(market: FlexibleExchange, watts: int, price: int, direction=INJECTION) -> None:
    name = f"b{len(market.commands)}"
    market.send(SetBuyBack(name, START, direction, BuyBack(watts, price)))


def lower(market: FlexibleExchange, injection_w: int, withdrawal_w: int = 10**6) -> list[Event]:
    name, limits = f"u{len(market.commands)}", interface(injection_w, withdrawal_w)
    return market.send(UpdateInterfaceLimits(name, START, limits))


def of(events: list[Event], kind: type) -> list:
    return [each for each in events if type(each) is kind]


@pytest.fixture
def market() -> FlexibleExchange:
    """Two points hold 5 kW of injection each, under an interface of 10 kW."""
    market = chain(10**6, capacity_w=10_000, flexible_w=2_000, limits=interface(10_000))
    held = market.exchange.envelopes(START)
    assert [each.injection_limit_w for each in held] == [5_000, 5_000]
    return market


def test_the_cheaper_of_limits_and_flexibility_is_bought_first(market: FlexibleExchange) -> None:
    sell(market, 0, 1_000, 7)
    sell(market, 1, 2_000, 5)
    flexible(market, 1, 800, 4)
    flexible(market, 0, 500, 6)
    ask(market, 5_000, 20)
    events = lower(market, 8_400)
    (bought,), (trade,) = of(events, FlexibilityMatched), of(events, Traded)
    assert [(f.participant, f.quantity_w, f.amount) for f in bought.fills] == [("p1", 800, -3_200)]
    assert [(f.participant, f.quantity_w, f.amount) for f in trade.fills] == [("p1", 800, -4_000)]
    assert bought.buy_back
    assert trade.buy_back
    assert not of(events, HoldingCurtailed)
    kinds = [type(each) for each in events]
    assert kinds.index(FlexibilityMatched) < kinds.index(InterfaceLimitsUpdated)
    state = market.exchange.state
    assert state.ledger.balance(DSO_BUY_BACK) == -7_200
    assert state.sessions[START].buy_backs[INJECTION].quantity_w == 5_000 - 1_600
    assert market.flexibility().bought_w == {UPWARD: 0, DOWNWARD: 800}
    market.exchange.check_invariants()
    assert market.restored().digest() == market.exchange.digest()
    # What was bought is part of the flows from then on: 700 W more are lacking now.
    events = lower(market, 7_700)
    assert [f.quantity_w for f in of(events, Traded)[0].fills] == [700]
    market.exchange.check_invariants()


def test_upward_flexibility_relieves_withdrawal() -> None:
    limits = interface(10**6, 10_000)
    market = chain(10**6, capacity_w=10_000, flexible_w=2_000, limits=limits)
    sell(market, 0, 1_000, 7, WITHDRAWAL)
    flexible(market, 1, 2_000, 4, UPWARD)
    flexible(market, 1, 2_000, 1, DOWNWARD)  # the wrong way, and another buy-back
    ask(market, 5_000, 20, WITHDRAWAL)
    ask(market, 5_000, 20, INJECTION)
    events = lower(market, 10**6, 9_000)
    (bought,) = of(events, FlexibilityMatched)
    assert [(f.direction, f.quantity_w) for f in bought.fills] == [(UPWARD, 1_000)]
    assert not of(events, Traded)


def test_what_is_too_dear_is_left_to_curtailment(market: FlexibleExchange) -> None:
    flexible(market, 0, 2_000, 21)
    ask(market, 5_000, 20)
    events = lower(market, 9_000)
    assert not of(events, FlexibilityMatched)
    assert sum(each.from_w - each.to_w for each in of(events, HoldingCurtailed)) == 1_000


def test_no_more_is_bought_than_is_wanted(market: FlexibleExchange) -> None:
    flexible(market, 0, 2_000, 4)
    sell(market, 1, 2_000, 5)
    ask(market, 300, 20)
    (bought,) = of(lower(market, 9_000), FlexibilityMatched)
    assert [f.quantity_w for f in bought.fills] == [300]


def test_flexibility_that_would_load_a_full_branch_is_not_bought() -> None:
    """The branch carries all that its far end may withdraw; less injection there loads it."""
    market = chain(5_000, capacity_w=10_000, flexible_w=2_000, limits=interface(10_000))
    assert market.exchange.envelopes(START)[1].withdrawal_limit_w == 5_000
    flexible(market, 1, 2_000, 1)
    sell(market, 0, 2_000, 9)
    ask(market, 5_000, 20)
    events = lower(market, 9_000)
    assert not of(events, FlexibilityMatched)
    assert [f.quantity_w for f in of(events, Traded)[0].fills] == [1_000]


@given(seed=st.integers(0, 10**6))
@settings(max_examples=60, deadline=None)
def test_purchases_cost_no_more_than_the_best_by_another_solver(seed: int) -> None:
    rng = np.random.default_rng(seed)
    market = made(seed % 1_000, Matching.WELFARE, orders=1, capacity_w=4_000)
    market.limits = interface(10**6, 10**6)
    points = len(market.points)
    for point in range(points):
        if rng.random() < 0.7:
            sell(market, point, int(rng.integers(1, 3_000)), int(rng.integers(1, 30)))
        if rng.random() < 0.7:
            flexible(market, point, int(rng.integers(1, 3_000)), int(rng.integers(1, 30)))
    ask(market, 10**6, 1_000)
    network, _, _ = market.setup()
    held = market.exchange.envelopes(START)
    most_w = int(sum(each.injection_limit_w for each in held) + network.operation.setpoint_w.sum())
    limits = interface(max(most_w - int(rng.integers(0, 3_000)), 0))
    state = market.exchange.state
    sells = [each for each in state.orders.values() if each.side is Side.SELL]
    offers = list(market.flexibility().orders.values())

    rows = FlowRows.of(network.operation, limits)
    u = np.array([e.injection_limit_w for e in held] + [e.withdrawal_limit_w for e in held])
    buses = network.operation.network.buses
    moves = np.zeros((len(rows.b), len(offers)))
    for k, each in enumerate(offers):  # by a watt less injection at its bus
        point = int(np.flatnonzero(network.operation.bus_of_point == buses.index(each.bus))[0])
        moves[:, k] = -rows.sign * rows.per_watt[:, point]
    columns = [market.points.index(each.connection_point) for each in sells]
    best = linprog(
        [*(o.limit_price_ticks for o in (*sells, *offers)), *[1_001] * (2 * points)],
        A_ub=np.hstack([-rows.A[:, columns], moves, -rows.A]),
        b_ub=rows.b - rows.A @ u,
        bounds=[*((0, o.remaining_w) for o in (*sells, *offers)), *[(0, None)] * (2 * points)],
    )
    chosen = there(best.x)[: len(sells) + len(offers)]
    prices = np.array([o.limit_price_ticks for o in (*sells, *offers)])
    events = market.send(UpdateInterfaceLimits("u", START, limits))
    paid = -sum(
        fill.amount for each in events for fill in getattr(each, "fills", ())
    )  # purchases only: all other fills are in auctions, of which there are none
    assert prices @ chosen - 1e-3 <= paid <= prices @ chosen + prices.sum()
    market.exchange.check_invariants()
    check_flows(state, network)
    assert market.restored().digest() == market.exchange.digest()
    accounts = [DSO_BUY_BACK, *(f"p{k}" for k in range(points)), "dso"]
    assert sum(state.ledger.balance(each) for each in accounts) == 0
