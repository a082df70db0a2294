"""The two ends of an interval's trading."""

from __future__ import annotations

from datetime import timedelta

import pytest
from market import BAND, GATE, OPENING, QUARTER, START, Market, all_of, only

from exchange.vocabulary.commands import AdvanceTime, OpenSession
from exchange.vocabulary.events import GateClosed, OrderCancelled, SessionOpened
from exchange.vocabulary.reasons import CancelReason
from exchange.vocabulary.settlement_events import StatementIssued


@pytest.fixture
def market() -> Market:
    return Market(points=4, capacity_w=10_000)


def test_an_interval_opens_with_envelopes_and_what_binds_them(market):
    opened = only(market.events, SessionOpened)
    assert (opened.sequence, opened.start, opened.end) == (1, START, START + QUARTER)
    assert [envelope.connection_point for envelope in opened.envelopes] == [
        f"load:{i}" for i in range(4)
    ]
    assert {
        (e.injection_limit_w, e.withdrawal_limit_w, e.injection_bottleneck)
        for e in opened.envelopes
    } == {(5_000, 5_000, "interface")}
    assert market.exchange.envelopes(START) == opened.envelopes


def test_at_the_gate_orders_go_envelopes_are_final_and_statements_add_up(market):
    market.sell(0, "1000@7")
    market.buy(1, "400@8")
    market.buy(2, "100@9")
    market.sell(1, "50@6")
    market.buy(0, "50@6")
    events = market.do(AdvanceTime(), after=GATE - OPENING)
    cancelled = only(events, OrderCancelled)
    assert (cancelled.order_id, cancelled.remaining_w) == (1, 500)
    assert cancelled.reason is CancelReason.GATE_CLOSED
    final = only(events, GateClosed)
    assert [e.injection_limit_w for e in final.envelopes] == [4_550, 5_350, 5_100, 5_000]
    statements = all_of(events, StatementIssued)
    assert [
        (s.participant, s.bought_w, s.sold_w, s.paid, s.received, s.balance) for s in statements
    ] == [
        ("p0", 50, 500, 300, 3_500, 3_200),
        ("p1", 400, 50, 2_800, 300, -2_500),
        ("p2", 100, 0, 700, 0, -700),
    ]
    assert sum(statement.balance for statement in statements) == 0
    ledger = market.exchange.state.ledger
    assert ledger.accounts(START) == {}
    assert [ledger.settled_balance(f"p{i}") for i in range(4)] == [3_200, -2_500, -700, 0]


def test_an_interval_without_trades_has_no_statements(market):
    assert [type(event) for event in market.close()] == [GateClosed]


def test_gates_close_in_their_order(market):
    for number in (2, 1):
        start = START + number * QUARTER
        gate = GATE + number * QUARTER
        market.do(OpenSession(start, start + QUARTER, gate, BAND))
    events = market.do(AdvanceTime(), after=timedelta(hours=5))
    assert [event.interval for event in events] == [START + n * QUARTER for n in range(3)]


def test_intervals_trade_apart(market):
    start = START + QUARTER
    market.do(OpenSession(start, start + QUARTER, GATE + QUARTER, BAND))
    market.sell(0, "1000@7")
    market.do(AdvanceTime(), after=GATE - OPENING)
    assert list(market.exchange.state.phase_deadlines) == [(GATE + QUARTER, start)]
    assert market.exchange.envelopes(start)[0].injection_limit_w == 10_000
