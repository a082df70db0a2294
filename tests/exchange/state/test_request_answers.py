"""A request sent twice has the effect of once, and the same answer."""

from __future__ import annotations

from datetime import timedelta

import pytest
from market import BAND, GATE, QUARTER, START, Market, interface, only

from exchange.vocabulary.commands import CloseGate, OpenSession
from exchange.vocabulary.events import (
    AnswerRepeated,
    InterfaceLimitsUpdated,
    OrderAccepted,
    OrderCancelled,
    Refused,
)
from exchange.vocabulary.reasons import RefusalReason
from exchange.vocabulary.rules import MarketRules
from security_check.errors import InsecureError

HOUR = timedelta(hours=1)


@pytest.fixture
def market() -> Market:
    return Market(points=4, capacity_w=10_000)


def test_an_order_sent_twice_is_one_order(market):
    first = only(market.sell(0, "10@5", client_order_id="a"), OrderAccepted)
    repeat = only(market.sell(0, "10@5", client_order_id="a"), AnswerRepeated)
    assert repeat.answer_sequence == first.sequence
    assert market.exchange.state.repeated_answer(repeat) == first
    assert market.exchange.state.answers.find("p0", "a").event == first
    assert market.resting() == ["#1 sell 10@5"]


def test_an_order_that_has_traded_is_not_sent_again(market):
    market.sell(0, "10@5", client_order_id="a")
    market.buy(1, "10@5")
    assert only(market.sell(0, "10@5", client_order_id="a"), AnswerRepeated)
    assert market.resting() == []


def test_a_refused_order_sent_again_is_refused_in_the_same_words(market):
    first = only(market.sell(0, "9999@5", client_order_id="a"), Refused)
    repeat = only(market.sell(0, "9999@5", client_order_id="a"), AnswerRepeated)
    assert market.exchange.state.repeated_answer(repeat) == first
    reused = only(market.sell(0, "10@5", client_order_id="a"), Refused)
    assert reused.reason is RefusalReason.CLIENT_ORDER_ID_REUSED
    # The refusal of the reuse is not the answer to the id.
    assert market.exchange.state.answers.find("p0", "a").event == first


def test_two_participants_may_use_one_id(market):
    market.sell(0, "10@5", client_order_id="a")
    assert only(market.sell(1, "10@5", client_order_id="a"), OrderAccepted)


@pytest.mark.parametrize(
    "change",
    [
        {"point": 1},
        {"side": "buy"},
        {"quantity_w": 11},
        {"limit_price_ticks": 6},
        {"time_in_force": "IOC"},
        {"time_in_force": "GTD", "expires_at": GATE},
    ],
    ids=str,
)
def test_whatever_differs_makes_it_another_request(market, change):
    order = {"side": "sell", "quantity_w": 10, "limit_price_ticks": 5, "client_order_id": "a"}
    market.submit(0, **order)
    refused = only(market.submit(0, **(order | change)), Refused)
    assert refused.reason is RefusalReason.CLIENT_ORDER_ID_REUSED


def test_a_cancel_sent_twice_is_answered_twice(market):
    market.sell(0, "10@5", client_order_id="a")
    cancelled = only(market.cancel(0, "a"), OrderCancelled)
    repeat = only(market.cancel(0, "a"), AnswerRepeated)
    assert market.exchange.state.repeated_answer(repeat) == cancelled


def test_limits_sent_twice_are_one_update(market):
    first = only(market.update("u1", interface(30_000)), InterfaceLimitsUpdated)
    repeat = only(market.update("u1", interface(30_000)), AnswerRepeated)
    assert repeat.participant == "tso"
    assert market.exchange.state.repeated_answer(repeat) == first
    assert market.exchange.state.answers.find("tso", "u1").event == first
    refused = only(market.update("u1", interface(20_000)), Refused)
    assert refused.reason is RefusalReason.CLIENT_ORDER_ID_REUSED
    assert market.grid.calls.count("reallocate") == 1


def test_limits_that_were_refused_are_refused_again(market):
    market.grid.errors.append(InsecureError("line:3", "120 A of 100 A"))
    first = only(market.update("u1", interface(30_000)), Refused)
    repeat = only(market.update("u1", interface(30_000)), AnswerRepeated)
    assert market.exchange.state.repeated_answer(repeat) == first


def test_memory_for_answers_is_bounded_and_open_orders_keep_theirs():
    market = Market(points=2, capacity_w=10_000, rules=MarketRules(answers_kept=3))
    market.sell(0, "10@5", client_order_id="open")
    for number in range(5):
        market.sell(0, "9999@5", client_order_id=f"refused {number}")
    answer = market.exchange.state.answers.find
    assert [n for n in range(5) if answer("p0", f"refused {n}")] == [2, 3, 4]
    assert answer("p0", "open") is not None
    market.cancel(0, "open")
    assert [n for n in range(5) if answer("p0", f"refused {n}")] == [3, 4]
    assert answer("p0", "open") is not None


def test_strangers_take_up_no_memory(market):
    before = market.exchange.snapshot()["answers"]
    for number in range(3):
        events = market.sell(99, "10@5", point=0, client_order_id=f"{number}")
        assert only(events, Refused).reason is RefusalReason.NOT_OWNER
    assert market.exchange.snapshot()["answers"] == before


def test_answers_of_settled_intervals_are_forgotten_after_a_while(market):
    state = market.exchange.state
    market.sell(0, "10@5", client_order_id="a")
    market.update("u1", BAND)
    later = START + 8 * HOUR
    market.do(OpenSession(later, later + QUARTER, later - HOUR, interface()))
    market.do(CloseGate(START))
    # Closed early, it stays known until its own gate would have closed, and an hour more.
    assert only(market.sell(0, "10@5", client_order_id="a"), AnswerRepeated)
    market.do(CloseGate(later), after=3 * HOUR)
    assert list(state.sessions) == [START, later]
    much_later = later + 8 * HOUR
    market.do(OpenSession(much_later, much_later + QUARTER, market.now + HOUR, interface()))
    market.do(CloseGate(much_later), after=HOUR)
    assert list(state.sessions) == [later, much_later]
    assert state.answers.find("p0", "a") is None
    assert state.answers.find("tso", "u1") is None
