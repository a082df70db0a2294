"""The operator's controls: each with its refusal, its event, its repeat, and its replay."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest
from linear_grid import LinearGrid
from market import QUARTER, START, Market, all_of, interface, only, refusal, trades

from exchange.engine import Exchange
from exchange.vocabulary.commands import (
    ControlCommand,
    HaltTrading,
    OpenSession,
    ResumeTrading,
    SetKillSwitch,
    SetPriceCollar,
    SetRiskLimits,
    SubmitJoint,
)
from exchange.vocabulary.events import (
    AnswerRepeated,
    KillSwitchSet,
    MatchBlocked,
    OrderAccepted,
    OrderCancelled,
    PriceCollarSet,
    Refused,
    TradingHalted,
    TradingResumed,
)
from exchange.vocabulary.orders import Leg
from exchange.vocabulary.reasons import CancelReason, RefusalReason
from exchange.vocabulary.rules import PriceCollar, RiskLimits
from orderbook.order import Side
from security_check.errors import InsecureError
from security_check.model.envelope import Direction

AT_ONE_PRICE = ["8@5 #2", "8@5 #1"]
"""After a halt no order is the taker: both trade at the price of the one that is not filled."""


@pytest.fixture
def market() -> Market:
    """Four connection points of 10 kW that hold 5 kW each; p0 owns the first two."""
    return Market(points=4, capacity_w=10_000, owners=[0, 0, 2, 3])


def limit(market: Market, participant: str | None = "p0", **limits: int) -> None:
    market.ids += 1
    market.do(SetRiskLimits(f"limit {market.ids}", participant, RiskLimits(**limits)))


def test_prices_outside_the_collar_are_refused_and_what_rests_there_is_cancelled(market):
    market.sell(0, "10@900")
    market.sell(0, "10@901")
    market.buy(2, "10@99")
    events = market.do(SetPriceCollar("c1", PriceCollar(100, 900)))
    assert [(e.order_id, e.reason) for e in all_of(events, OrderCancelled)] == [
        (2, CancelReason.PRICE_COLLAR),
        (3, CancelReason.PRICE_COLLAR),
    ]
    assert refusal(market.buy(2, "10@99")) == (
        "outside_collar",
        "limit price of 0.0099 EUR per kW is outside the price collar from 0.01 EUR per kW "
        "to 0.09 EUR per kW",
    )
    assert refusal(market.sell(2, "10@901"))[0] == "outside_collar"
    assert trades(market.buy(2, "10@market", "IOC")) == ["10@900 #1"]
    market.do(SetPriceCollar("c2", PriceCollar(None, None)))
    assert not all_of(market.buy(2, "10@99"), Refused)


def test_an_amendment_is_held_against_the_controls_too(market):
    market.sell(0, "10@500", client_order_id="a")
    market.do(SetPriceCollar("c1", PriceCollar(None, 900)))
    assert refusal(market.amend(0, "a", limit_price_ticks=901)) == (
        "outside_collar",
        "limit price of 0.0901 EUR per kW is outside the price collar to 0.09 EUR per kW",
    )
    limit(market, max_quantity_w=20)
    assert refusal(market.amend(0, "a", quantity_w=21))[0] == "order_too_large"
    assert not all_of(market.amend(0, "a", 20), Refused)


def test_an_order_may_have_a_largest_size_of_its_participant_or_of_all(market):
    limit(market, None, max_quantity_w=50)
    limit(market, "p0", max_quantity_w=100)
    assert refusal(market.sell(0, "101@5")) == (
        "order_too_large",
        "quantity of 101 W exceeds the 100 W that one order of p0 may have",
    )
    assert not all_of(market.sell(0, "100@5"), Refused)
    assert refusal(market.sell(2, "51@5"))[0] == "order_too_large"


def test_each_leg_of_a_joint_order_counts_as_an_order(market):
    legs = [Leg("load:0", direction, START, Side.SELL, 10, 5) for direction in Direction]
    limit(market, orders_per_minute=3)
    assert not all_of(market.do(SubmitJoint("p0", "j1", tuple(legs))), Refused)
    assert refusal(market.do(SubmitJoint("p0", "j2", tuple(legs)))) == (
        "too_frequent",
        "p0 has placed or amended 2 orders in the last minute, and this one counts 2, one for "
        "each leg, at most 3 are allowed",
    )
    assert not all_of(market.sell(0, "10@5"), Refused)
    assert refusal(market.sell(0, "10@5"))[0] == "too_frequent"


def test_orders_come_no_faster_than_the_rate(market):
    limit(market, orders_per_minute=2)
    market.sell(0, "10@5", client_order_id="a")
    market.amend(0, "a", 9)
    assert refusal(market.sell(0, "10@5")) == (
        "too_frequent",
        "p0 has placed or amended 2 orders in the last minute, at most 2 are allowed",
    )
    assert refusal(market.amend(0, "a", 8))[0] == "too_frequent"
    assert only(market.cancel(0, "a"), OrderCancelled)
    assert not all_of(market.sell(2, "10@5"), Refused)
    market.now += timedelta(seconds=54)
    assert only(market.sell(0, "10@5"), OrderAccepted)
    market.now -= timedelta(seconds=1)  # The amendment is a minute old in a second only.
    assert refusal(market.sell(0, "10@5"))[0] == "too_frequent"
    assert only(market.sell(0, "10@5"), OrderAccepted)


def test_the_position_of_an_interval_counts_trades_and_open_orders_of_all_points(market):
    limit(market, position_w=100)
    market.sell(2, "60@5")
    market.buy(0, "60@5")
    market.buy(0, "30@5", point=1)
    assert refusal(market.buy(0, "11@5")) == (
        "exceeds_position",
        "buy of 11 W exceeds the position limit of 100 W of p0: 60 W net are bought and 30 W are "
        "in open buy orders",
    )
    assert not all_of(market.buy(0, "10@5"), Refused)
    # What was bought may be sold, and as much again; the other direction has its own.
    assert refusal(market.sell(0, "161@9"))[1] == (
        "sell of 161 W exceeds the position limit of 100 W of p0: -60 W net are sold and 0 W are "
        "in open sell orders"
    )
    assert not all_of(market.sell(0, "160@9"), Refused)
    assert not all_of(market.buy(0, "100@5", direction=Direction.WITHDRAWAL), Refused)


def test_an_amended_order_does_not_count_twice_for_the_position(market):
    limit(market, position_w=100)
    market.buy(0, "80@5", client_order_id="a")
    assert not all_of(market.amend(0, "a", 100), Refused)
    assert refusal(market.amend(0, "a", 101))[0] == "exceeds_position"


def test_credit_counts_what_is_owed_and_what_open_purchases_could_cost(market):
    limit(market, credit=1_000_000)
    market.sell(2, "100@4000")
    market.buy(0, "100@5000")  # 400,000 owed
    market.buy(0, "100@3000", point=1)  # 300,000 may follow
    assert refusal(market.buy(0, "100@3001", direction=Direction.WITHDRAWAL)) == (
        "insufficient_credit",
        "buy for up to 0.0300 EUR exceeds the credit limit of 0.1 EUR of p0, of which 0.04 EUR "
        "are owed and 0.03 EUR are in open buy orders".replace("0.0300", "0.03001"),
    )
    assert not all_of(market.buy(0, "100@3000", direction=Direction.WITHDRAWAL), Refused)
    assert not all_of(market.sell(0, "1000@9"), Refused)


def test_what_was_received_may_be_spent(market):
    limit(market, credit=0)
    assert refusal(market.buy(0, "1@1"))[0] == "insufficient_credit"
    market.buy(2, "100@50")
    market.sell(0, "100@50")
    assert not all_of(market.buy(0, "100@50", client_order_id="a"), Refused)
    assert refusal(market.amend(0, "a", 101))[0] == "insufficient_credit"
    assert not all_of(market.amend(0, "a", 50, 100), Refused)


def test_the_kill_switch_of_a_participant_cancels_and_bars_and_can_be_released(market):
    market.sell(0, "10@5", client_order_id="a")
    market.sell(2, "10@5")
    events = market.do(SetKillSwitch("k1", "p0", engaged=True))
    assert only(events, KillSwitchSet).participant == "p0"
    cancelled = only(events, OrderCancelled)
    assert (cancelled.order_id, cancelled.reason) == (1, CancelReason.KILL_SWITCH)
    assert refusal(market.sell(0, "10@5")) == (
        "kill_switch",
        "the kill switch of p0 is engaged: no orders are taken",
    )
    assert not all_of(market.sell(2, "10@5"), Refused)
    market.do(SetKillSwitch("k2", "p0", engaged=False))
    assert not all_of(market.sell(0, "10@5"), Refused)


def test_the_kill_switch_of_the_market_cancels_and_bars_all_orders(market):
    market.sell(0, "10@5")
    market.sell(2, "10@5")
    events = market.do(SetKillSwitch("k1", None, engaged=True))
    assert [e.order_id for e in all_of(events, OrderCancelled)] == [1, 2]
    assert refusal(market.sell(3, "10@5")) == (
        "kill_switch",
        "the kill switch of the market is engaged: no orders are taken",
    )
    market.do(SetKillSwitch("k2", None, engaged=False))
    assert not all_of(market.sell(3, "10@5"), Refused)


@pytest.mark.parametrize("interval", [START, None], ids=["interval", "market"])
def test_in_a_halt_orders_rest_and_when_it_ends_they_trade(market, interval):
    market.sell(0, "10@5")
    assert only(market.do(HaltTrading("h1", interval)), TradingHalted).interval == interval
    events = market.buy(2, "8@6")
    blocked = only(events, MatchBlocked)
    assert (blocked.element, blocked.detail) == (
        "operator",
        "trading is halted until the market operator resumes it",
    )
    assert trades(events) == []
    assert only(market.buy(3, "8@6", "IOC"), OrderCancelled)
    events = market.do(ResumeTrading("r1", interval))
    assert isinstance(events[0], TradingResumed)
    assert trades(events) == AT_ONE_PRICE


def test_each_halt_ends_by_itself(market):
    market.sell(0, "10@5")
    market.do(HaltTrading("h1"))
    market.do(HaltTrading("h2", START))
    market.buy(2, "8@6")
    assert trades(market.do(ResumeTrading("r1"))) == []
    assert trades(market.do(ResumeTrading("r2", START))) == AT_ONE_PRICE


def test_resuming_does_not_lift_the_halt_of_insecure_limits(market):
    market.sell(0, "10@5")
    market.grid.errors.append(InsecureError("line:3", "reaches 120 A of 100 A"))
    market.update("u1", interface(1))
    market.do(HaltTrading("h1", START))
    market.buy(2, "8@6")
    assert trades(market.do(ResumeTrading("r1", START))) == []
    assert trades(market.update("u2", interface(20_000))) == AT_ONE_PRICE


def test_an_update_of_the_limits_does_not_lift_the_operators_halt(market):
    market.sell(0, "10@5")
    market.do(HaltTrading("h1", START))
    market.buy(2, "8@6")
    assert trades(market.update("u1", interface(30_000))) == []
    assert trades(market.do(ResumeTrading("r1", START))) == AT_ONE_PRICE


def test_a_market_wide_halt_covers_intervals_that_open_in_it(market):
    market.do(HaltTrading("h1"))
    start = START + QUARTER
    market.do(OpenSession(start, start + QUARTER, START, interface(20_000, 20_000)))
    market.sell(0, "10@5", interval=start)
    assert trades(market.buy(2, "10@5", interval=start)) == []
    assert trades(market.do(ResumeTrading("r1"))) == ["10@5 #2", "10@5 #1"]


def test_controls_that_make_no_sense_are_refused(market):
    cases: list[tuple[ControlCommand, str, str]] = [
        (
            SetPriceCollar("c1", PriceCollar(9, 8)),
            "control_invalid",
            "the collar from 9 to 8 ticks is empty",
        ),
        (
            SetRiskLimits("c2", "p0", RiskLimits(credit=-1)),
            "control_invalid",
            "credit is -1, it must not be negative",
        ),
        (
            SetRiskLimits("c3", "p9", RiskLimits()),
            "unknown_participant",
            "there is no participant p9 in this area",
        ),
        (
            SetKillSwitch("c4", "p9", engaged=True),
            "unknown_participant",
            "there is no participant p9 in this area",
        ),
        (
            HaltTrading("c5", START + QUARTER),
            "unknown_interval",
            "no session is open for 2030-06-01T12:15:00Z",
        ),
    ]
    for command, reason, detail in cases:
        events = market.do(command)
        refused = only(events, Refused)
        assert (refused.participant, refused.request) == ("operator", "control")
        assert refused.request_id == command.control_id
        assert refusal(events) == (reason, detail)
    market.close()
    assert refusal(market.do(ResumeTrading("c6", START)))[0] == "gate_closed"


def test_a_control_sent_twice_has_the_effect_of_once(market):
    first = only(market.do(SetPriceCollar("c1", PriceCollar(None, 9))), PriceCollarSet)
    market.do(SetPriceCollar("c2", PriceCollar(None, 99)))
    repeat = only(market.do(SetPriceCollar("c1", PriceCollar(None, 9))), AnswerRepeated)
    assert market.exchange.state.repeated_answer(repeat) == first
    assert market.exchange.state.controls.collar == PriceCollar(None, 99)
    refused = only(market.do(HaltTrading("c1")), Refused)
    assert (refused.request, refused.reason) == ("control", RefusalReason.CLIENT_ORDER_ID_REUSED)
    bad = market.do(SetRiskLimits("c3", "p9", RiskLimits()))
    repeat = only(market.do(SetRiskLimits("c3", "p9", RiskLimits())), AnswerRepeated)
    assert repeat.answer_sequence == bad[0].sequence


def test_controls_survive_a_replay_and_a_restart(market):
    limit(market, orders_per_minute=5, credit=10_000, position_w=100, max_quantity_w=50)
    market.sell(0, "10@5")
    market.buy(2, "4@5")
    market.buy(0, "10@4", displayed_w=3)
    market.sell(3, "20@9", all_or_none=True)
    market.do(SetPriceCollar("c1", PriceCollar(1, 900)))
    market.do(SetKillSwitch("k1", "p3", engaged=True))
    market.do(HaltTrading("h1", START))
    market.do(HaltTrading("h2"))
    digest = market.exchange.digest()
    replayed = Exchange(LinearGrid(market.grid.capacity_w), market.rules, market.terms)
    replayed.replay(market.events)
    assert replayed.digest() == digest
    snapshot = json.loads(json.dumps(market.exchange.snapshot()))
    restored = Exchange.restore(
        snapshot, LinearGrid(market.grid.capacity_w), market.rules, market.terms
    )
    assert restored.digest() == digest
    market.exchange = restored
    assert refusal(market.sell(3, "1@5"))[0] == "kill_switch"
    assert refusal(market.sell(0, "51@5"))[0] == "order_too_large"


def test_snapshots_of_an_unknown_version_are_refused(market):
    market.sell(0, "10@5")
    snapshot = json.loads(json.dumps(market.exchange.snapshot()))
    for version in (0, 2):
        unknown = snapshot | {"version": version}
        with pytest.raises(ValueError, match=f"snapshot has version {version}, .* reads version 1"):
            Exchange.restore(unknown, market.grid, market.rules, market.terms)
