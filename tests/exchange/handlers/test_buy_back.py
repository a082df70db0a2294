"""What the operator buys back before it curtails: the cheapest that relieves, and no more.

Four points of 10 kW hold 5 kW of injection each under a limit of the interface of 20 kW.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from market import START, Market, all_of, interface, only, refusal
from presence import there
from scipy.optimize import linprog

from doe_allocation.allocation.curtailment import CurtailmentPolicy
from exchange.state.snapshots import restore_state
from exchange.vocabulary.commands import HaltTrading, SetBuyBack
from exchange.vocabulary.events import BuyBackSet, HoldingCurtailed, InterfaceLimitsUpdated, Traded
from exchange.vocabulary.rules import DSO_BUY_BACK, BuyBack, MarketRules
from security_check.model.envelope import Direction

LOWER = interface(18_500, 20_000)


def ask(market: Market, quantity_w: int, limit_price_ticks: int, control_id: str = "b1"):
    wanted = BuyBack(quantity_w, limit_price_ticks)
    return market.do(SetBuyBack(control_id, START, Direction.INJECTION, wanted))


@pytest.fixture
def market() -> Market:
    market = Market(points=4, capacity_w=10_000)
    market.sell(0, "1000@7")
    market.sell(1, "2000@5")
    market.sell(2, "1000@50")
    return market


def test_the_cheapest_sellers_are_bought_back_and_no_limit_is_curtailed(market):
    assert only(ask(market, 5_000, 20), BuyBackSet).wanted == BuyBack(5_000, 20)
    events = market.update("u1", LOWER)
    trade = only(events, Traded)
    assert trade.buy_back
    assert [(f.participant, f.quantity_w, f.amount) for f in trade.fills] == [("p1", 1_500, -7_500)]
    assert trade.binding_element == "interface"
    assert not all_of(events, HoldingCurtailed)
    kinds = [type(event) for event in events]
    assert kinds.index(Traded) < kinds.index(InterfaceLimitsUpdated), "secure at every instant"
    assert market.exchange.state.ledger.balance(DSO_BUY_BACK) == -7_500
    assert market.exchange.state.sessions[START].buy_backs[Direction.INJECTION].quantity_w == 3_500


@pytest.mark.parametrize("first", Direction)
def test_a_restored_session_has_its_buy_backs_in_the_same_order(market, first):
    """What is bought among equals may depend on it."""
    second = next(each for each in Direction if each is not first)
    for number, direction in enumerate((first, second, first)):
        wanted = BuyBack(1_000 + number, 20)
        market.do(SetBuyBack(f"b{number}", START, direction, wanted))
    restored = restore_state(market.exchange.snapshot(), market.rules, market.exchange.state.terms)
    for state in (market.exchange.state, restored):
        buy_backs = state.sessions[START].buy_backs
        assert list(buy_backs) == [Direction.INJECTION, Direction.WITHDRAWAL]
        assert buy_backs[first].quantity_w == 1_002


def test_what_is_too_dear_or_too_much_is_left_to_curtailment(market):
    ask(market, 500, 6)
    events = market.update("u1", LOWER)
    assert [f.quantity_w for f in only(events, Traded).fills] == [500]
    cut = all_of(events, HoldingCurtailed)
    # Each limit is rounded down to whole watts.
    assert 1_000 <= sum(each.from_w - each.to_w for each in cut) <= 1_004


def test_without_a_request_or_a_need_nothing_is_bought(market):
    assert not all_of(market.update("u1", interface(19_500, 20_000)), Traded)
    ask(market, 5_000, 20)
    assert not all_of(market.update("u2", interface(20_000, 20_000)), Traded)
    ask(market, 0, 0, "b2")
    assert not all_of(market.update("u3", LOWER), Traded)


def test_a_request_that_makes_no_sense_is_refused(market):
    assert refusal(ask(market, -5, 20)) == ("control_invalid", "a buy-back of -5 W is negative")
    reason, detail = refusal(ask(market, 5, -20, "b2"))
    assert (reason, detail) == ("control_invalid", "a limit price of -20 ticks is negative")


def test_requests_survive_a_restart(market):
    ask(market, 5_000, 20)
    exchange = market.exchange
    restored = type(exchange).restore(exchange.snapshot(), market.grid, market.rules, market.terms)
    assert restored.digest() == exchange.digest()


@pytest.mark.parametrize("seed", range(12))
def test_over_several_rows_the_purchase_costs_no_more_than_the_best_by_another_solver(seed):
    rng = np.random.default_rng(seed)
    points = 6
    rows = []
    for _ in range(3):
        row = [*rng.integers(0, 4, points).tolist(), *[0] * points]
        full = sum(row) * 5_000
        rows.append((row, full, full))
    market = Market(points=points, capacity_w=10_000, rows=rows)
    offers = []
    for point in range(points):
        quantity_w, price = int(rng.integers(100, 3_000)), int(rng.integers(1, 30))
        market.sell(point, f"{quantity_w}@{price}")
        offers.append((quantity_w, price))
    ask(market, 10**6, 1_000)
    # The rows get tighter, all at once.
    tighter = [(row, int(0.95 * full), int(0.95 * full)) for row, full, _ in rows]
    market.grid.rows = tighter
    events = market.update("u1", interface(points * 5_000, points * 5_000))
    paid = sum(-f.amount for trade in all_of(events, Traded) for f in trade.fills)
    A = np.array([row[:points] for row, _, _ in rows], dtype=float)
    excess = np.array([full - int(0.95 * full) for _, full, _ in rows], dtype=float)
    best = linprog(
        [*(price for _, price in offers), *[1_001] * points],
        A_ub=-np.hstack([A, A]),
        b_ub=-excess,
        bounds=[*((0, quantity_w) for quantity_w, _ in offers), *[(0, None)] * points],
    )
    bought = there(best.x)[:points]
    cost = float(bought @ [price for _, price in offers])
    # Rounded up to whole watts, at most one of each order.
    assert cost - 1e-6 <= paid <= cost + sum(price for _, price in offers)


def test_compensated_curtailment_last_in_first_out_spares_what_was_allocated():
    rules = MarketRules(curtailment=CurtailmentPolicy.LAST_IN_FIRST_OUT)
    market = Market(points=4, capacity_w=10_000, rules=rules)
    market.sell(0, "1000@5")
    market.buy(1, "400@5")
    market.buy(2, "600@5")
    events = market.update("u1", replace(LOWER, injection_limit_w=19_300))
    cut = {each.participant: each.from_w - each.to_w for each in all_of(events, HoldingCurtailed)}
    assert cut == {"p2": 600, "p1": 100}


def test_the_operator_buys_back_while_trading_is_halted(market):
    """It is not a trade: what it spares is curtailment, which does not wait for a halt either."""
    ask(market, 5_000, 20)
    market.do(HaltTrading("h", START))
    events = market.update("u1", LOWER)
    assert [f.quantity_w for f in only(events, Traded).fills] == [1_500]
    assert not all_of(events, HoldingCurtailed)
    assert market.exchange.state.sessions[START].suspended


@pytest.mark.parametrize("condition", [{"all_or_none": True}, {"minimum_w": 1_000}])
def test_sales_under_a_condition_are_not_bought_back(condition):
    market = Market(points=4, capacity_w=10_000)
    market.sell(1, "2000@5", **condition)
    market.sell(0, "1000@7")
    ask(market, 5_000, 20)
    events = market.update("u1", LOWER)
    assert [(f.participant, f.quantity_w) for f in only(events, Traded).fills] == [("p0", 1_000)]
    assert all_of(events, HoldingCurtailed)


def test_what_an_iceberg_hides_is_bought_back_too():
    market = Market(points=4, capacity_w=10_000)
    market.sell(1, "2000@5", displayed_w=100)
    ask(market, 5_000, 20)
    (fill,) = only(market.update("u1", LOWER), Traded).fills
    assert (fill.participant, fill.quantity_w) == ("p1", 1_500)
