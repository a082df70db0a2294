"""The checks of the invariants find what they are there to find."""

from __future__ import annotations

import pytest
from market import START, Market

from exchange.state.safeguards import Safeguard
from exchange.vocabulary.reasons import OnDisconnect
from orderbook.order import LimitOrder, Side
from security_check.model.envelope import Direction

INJECTION = Direction.INJECTION


@pytest.fixture
def market() -> Market:
    market = Market(points=3, capacity_w=10_000)
    market.sell(0, "1000@7")
    market.buy(1, "400@8")
    return market


def _position(market):
    return market.exchange.state.sessions[START].holdings.position(INJECTION, "load:0")


def _hold_more(market):
    _position(market).held_w += 1


def _reserve_less(market):
    _position(market).reserved_w -= 1


def _lose_an_order(market):
    market.exchange.state.orders.clear()


def _make_money(market):
    market.exchange.state.ledger._accounts[START]["p0"].received += 1


def _settle_too_much(market):
    market.exchange.state.ledger._settled["p0"] = 1


def _forget_an_answer(market):
    market.exchange.state.answers._answers["p0"].clear()


def _forget_a_gate(market):
    market.exchange.state.phase_deadlines.clear()


def _tell_the_network_otherwise(market):
    market.grid.latest._u[0] += 1


def _cross_the_book(market):
    order = next(iter(market.exchange.state.orders.values()))
    del market.exchange.state.sessions[START].books[INJECTION]._levels[Side.SELL][7]
    order.limit_price_ticks = 8


def _smuggle_an_order_in(market):
    market.exchange.book(START, INJECTION).add(LimitOrder(99, Side.BUY, 1, 1))


def _guard_a_session_that_broke(market):
    safeguards = market.exchange.state.safeguards
    for name in ("first", "second"):
        safeguards.set("p0", Safeguard(name, name, OnDisconnect.CANCEL, None))
    safeguards._broken["p0"] = {"second": None}


@pytest.mark.parametrize(
    "tamper",
    [
        _hold_more,
        _reserve_less,
        _lose_an_order,
        _make_money,
        _settle_too_much,
        _forget_an_answer,
        _forget_a_gate,
        _tell_the_network_otherwise,
        _cross_the_book,
        _smuggle_an_order_in,
        _guard_a_session_that_broke,
    ],
)
def test_tampering_is_found(market, tamper):
    market.exchange.check_invariants()
    tamper(market)
    with pytest.raises(AssertionError):
        market.exchange.check_invariants()
