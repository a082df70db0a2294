"""Rules that power exchanges and call auctions publish, each by its name; the network is wide."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from market import GATE, START, Market, all_of, only, refusal, trades

from exchange.vocabulary.commands import AdvanceTime, HaltTrading, ResumeTrading
from exchange.vocabulary.events import MatchBlocked, OrderCancelled, OrderRefilled, Traded
from exchange.vocabulary.reasons import CancelReason
from exchange.vocabulary.rules import MarketRules


def a_call() -> Market:
    """Return a market that collects orders for its opening auction."""
    return Market(rules=MarketRules(opening_auction=timedelta(minutes=10)))


@pytest.mark.parametrize("time_in_force", ["IOC", "FOK"])
def test_immediate_orders_do_not_wait_for_an_auction(time_in_force):
    market = a_call()
    market.sell(0, "100@5")
    cancelled = only(market.buy(1, "100@9", time_in_force), OrderCancelled)
    assert cancelled.remaining_w == 100
    assert cancelled.reason.value in {"immediate_or_cancel", "fill_or_kill"}


@pytest.mark.parametrize("time_in_force", ["IOC", "FOK"])
def test_an_immediate_order_in_a_trading_halt_is_cancelled(time_in_force):
    market = Market()
    market.sell(0, "100@5")
    market.do(HaltTrading("h"))
    events = market.buy(1, "100@9", time_in_force)
    assert only(events, OrderCancelled).remaining_w == 100
    assert only(events, MatchBlocked).element == "operator"
    assert not trades(market.do(ResumeTrading("r")))


def test_uncrossing_has_one_price_between_the_marginal_orders():
    market = a_call()
    market.sell(0, "100@5")
    market.buy(1, "100@9")
    trade = only(market.do(AdvanceTime(), after=timedelta(minutes=11)), Traded)
    (bought,) = (fill for fill in trade.fills if fill.amount > 0)
    (sold,) = (fill for fill in trade.fills if fill.amount < 0)
    assert bought.amount == -sold.amount
    assert 5 <= bought.amount / bought.quantity_w <= 9


def test_at_the_marginal_price_of_an_auction_the_older_order_goes_first():
    market = a_call()
    market.buy(1, "60@9", client_order_id="older")
    market.buy(2, "60@9", client_order_id="newer")
    market.sell(0, "80@5")
    trade = only(market.do(AdvanceTime(), after=timedelta(minutes=11)), Traded)
    quantities = {fill.client_order_id: fill.quantity_w for fill in trade.fills}
    assert (quantities["older"], quantities["newer"]) == (60, 20)


def test_an_iceberg_takes_part_in_an_auction_with_all_it_has():
    market = a_call()
    market.sell(0, "100@5", displayed_w=10)
    market.buy(1, "100@9")
    events = market.do(AdvanceTime(), after=timedelta(minutes=11))
    assert sum(fill.quantity_w for e in all_of(events, Traded) for fill in e.fills) == 200
    assert not market.resting()


def test_the_peak_of_an_iceberg_is_renewed_behind_the_others_at_its_price():
    market = Market()
    market.sell(0, "30@5", displayed_w=10, client_order_id="iceberg")
    market.sell(1, "10@5", client_order_id="other")
    events = market.buy(2, "10@5")
    assert only(events, OrderRefilled).displayed_w == 10
    events = market.buy(2, "10@5")
    assert {fill.client_order_id for fill in only(events, Traded).fills} >= {"other"}


def test_an_iceberg_shows_what_is_left_where_that_is_less_than_its_peak():
    market = Market()
    market.sell(0, "25@5", displayed_w=10)
    market.buy(1, "20@5")
    (order,) = market.exchange.state.orders.values()
    assert (order.remaining_w, order.displayed_w) == (5, 5)


def test_a_good_till_date_order_may_not_outlive_the_gate():
    market = Market()
    reason, detail = refusal(market.sell(0, "10@5", "GTD", expires_at=GATE + timedelta(seconds=1)))
    assert reason == "expiry_invalid"
    assert "gate" in detail


def test_a_good_till_date_order_that_ends_with_the_gate_expires_before_it_closes():
    market = Market()
    market.sell(0, "10@5", "GTD", expires_at=GATE)
    events = market.do(AdvanceTime(), after=GATE - market.now)
    assert only(events, OrderCancelled).reason is CancelReason.EXPIRED


def test_a_good_till_date_order_that_ends_with_the_gate_has_no_part_in_a_closing_auction():
    market = Market(rules=MarketRules(closing_auction=timedelta(minutes=5)))
    market.do(AdvanceTime(), after=GATE - timedelta(minutes=4) - market.now)
    market.sell(0, "10@5", "GTD", expires_at=GATE)
    market.sell(1, "10@6")
    market.buy(2, "10@9")
    events = market.do(AdvanceTime(), after=GATE - market.now)
    assert only(events, OrderCancelled).reason is CancelReason.EXPIRED
    assert {fill.participant for fill in only(events, Traded).fills} == {"p1", "p2"}


def test_an_order_at_the_very_moment_of_its_gate_comes_too_late():
    market = Market()
    market.do(AdvanceTime(), after=GATE - market.now - timedelta(seconds=1))
    assert refusal(market.sell(0, "10@5"))[0] == "gate_closed"
    assert START in market.exchange.state.sessions


def test_raising_a_quantity_or_changing_a_price_loses_priority_lowering_does_not():
    cases: list[tuple[dict[str, Any], str]] = [({"quantity_w": 5}, "a"), ({"quantity_w": 20}, "b")]
    for change, first in cases:
        market = Market()
        market.sell(0, "10@5", client_order_id="a")
        market.sell(1, "10@5", client_order_id="b")
        market.amend(0, "a", **change)
        fills = only(market.buy(2, "5@5"), Traded).fills
        assert {fill.client_order_id for fill in fills} >= {first}


def test_a_halt_keeps_what_rests_and_uncrosses_it_when_it_ends():
    market = Market()
    market.sell(0, "100@5")
    market.do(HaltTrading("h"))
    assert not trades(market.buy(1, "60@9"))
    assert len(market.resting()) == 2
    trade = only(market.do(ResumeTrading("r")), Traded)
    assert trade.taker_order_id is None
