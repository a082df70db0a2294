"""Every reason to refuse, each with its sentence."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from market import GATE, OPENING, QUARTER, START, Market, all_of, interface, only, refusal

from exchange.vocabulary.commands import (
    CloseGate,
    MassCancel,
    OpenSession,
    RejectMessage,
    SetRiskLimits,
    SubmitJoint,
    SubmitOrder,
    UpdateInterfaceLimits,
)
from exchange.vocabulary.events import (
    AlarmRaised,
    AnswerRepeated,
    JointOrderAccepted,
    OrderCancelled,
    Refused,
    Traded,
)
from exchange.vocabulary.formatting import format_time
from exchange.vocabulary.orders import Leg, OrderTerms
from exchange.vocabulary.reasons import AlarmKind, RefusalReason
from exchange.vocabulary.rules import MarketRules, RiskLimits
from orderbook.order import Side
from security_check.errors import InsecureError, PowerFlowError
from security_check.model.envelope import Direction


@pytest.fixture
def market() -> Market:
    """Four connection points of 10 kW; each holds 5 kW in each direction."""
    return Market(points=4, capacity_w=10_000)


def test_a_connection_point_that_does_not_exist(market):
    assert refusal(market.sell(0, "1@1", point=9)) == (
        "unknown_connection_point",
        "there is no connection point load:9",
    )


def test_a_connection_point_of_somebody_else(market):
    assert refusal(market.sell(0, "1@1", point=1)) == (
        "not_owner",
        "connection point load:1 does not belong to p0",
    )


def test_an_interval_that_was_never_opened(market):
    command = SubmitOrder(
        "p0", "a", OrderTerms("load:0", Direction.INJECTION, START + QUARTER, Side.SELL, 1, 1)
    )
    assert refusal(market.do(command)) == (
        "unknown_interval",
        "no session is open for 2030-06-01T12:15:00Z",
    )


def test_an_interval_whose_gate_has_closed(market):
    market.close()
    assert refusal(market.sell(0, "1@1")) == (
        "gate_closed",
        "the gate of 2030-06-01T12:00:00Z closed at 2030-06-01T08:00:02Z",
    )


@pytest.mark.parametrize("quantity", [0, -5])
def test_a_quantity_that_is_not_positive(market, quantity):
    assert refusal(market.sell(0, f"{quantity}@1")) == (
        "quantity_invalid",
        f"quantity of {quantity} W is not positive",
    )


def test_a_quantity_above_the_largest_allowed():
    market = Market(points=2, capacity_w=10_000, rules=MarketRules(max_quantity_w=2_000))
    assert refusal(market.sell(0, "2001@1")) == (
        "order_too_large",
        "quantity of 2,001 W exceeds the 2,000 W that one order may have",
    )


def test_a_quantity_that_is_not_whole_lots():
    market = Market(points=2, capacity_w=10_000, rules=MarketRules(lot_w=100))
    assert refusal(market.sell(0, "1050@1")) == (
        "off_lot",
        "quantity of 1,050 W is not a multiple of the lot of 100 W",
    )


def test_a_negative_price(market):
    assert refusal(market.sell(0, "1@-1")) == (
        "price_invalid",
        "limit price of -0.0001 EUR per kW is negative",
    )


def test_a_price_of_zero_gives_limit_away(market):
    assert not all_of(market.sell(0, "1@0"), Refused)


def test_conditions_that_contradict_each_other(market):
    assert refusal(market.sell(0, "1@market")) == (
        "conditions_invalid",
        "a market order never rests, so its time in force is IOC or FOK, not GTC",
    )
    assert refusal(market.sell(0, "1@1", "FOK", post_only=True)) == (
        "conditions_invalid",
        "a post-only order waits, and FOK does not",
    )


@pytest.mark.parametrize(
    ("time_in_force", "conditions", "detail"),
    [
        ("IOC", {"all_or_none": True}, "all at once or nothing is FOK"),
        ("FOK", {"minimum_w": 5}, "fill or kill and a minimum quantity do not go together"),
        (
            "GTC",
            {"all_or_none": True, "minimum_w": 5},
            "all-or-none and a minimum quantity do not go together",
        ),
        (
            "GTC",
            {"displayed_w": 5, "minimum_w": 5},
            "a minimum quantity and a displayed quantity do not go together",
        ),
        ("IOC", {"displayed_w": 5}, "an iceberg waits, and IOC does not"),
        ("GTC", {"minimum_w": 0}, "minimum quantity of 0 W is not a positive multiple"),
        ("GTC", {"displayed_w": 7}, "multiple of the lot of 5 W up to the order's 20 W"),
        ("GTC", {"minimum_w": 25}, "minimum quantity of 25 W is not"),
    ],
)
def test_conditions_that_make_no_sense(time_in_force, conditions, detail):
    market = Market(points=2, capacity_w=10_000, rules=MarketRules(lot_w=5))
    reason, sentence = refusal(market.sell(0, "20@1", time_in_force, **conditions))
    assert reason == "conditions_invalid"
    assert detail in sentence


def test_a_minimum_above_an_amended_quantity(market):
    market.sell(0, "20@1", minimum_w=10, client_order_id="a")
    assert refusal(market.amend(0, "a", 9))[0] == "conditions_invalid"
    assert not all_of(market.amend(0, "a", 10), Refused)


def joint(market, *legs, participant=0, **more):
    """Submit legs given as (direction, side, quantity, price)."""
    market.ids += 1
    found = tuple(
        Leg(f"load:{participant}", direction, START, Side(side), quantity, price)
        for direction, side, quantity, price in legs
    )
    return market.do(SubmitJoint(f"p{participant}", f"j{market.ids}", found, **more))


IN, OUT = Direction.WITHDRAWAL, Direction.INJECTION


def test_legs_that_cannot_trade_together(market):
    assert refusal(joint(market, (IN, "buy", 5, 1))) == (
        "conditions_invalid",
        "a joint order has 2 to 96 legs, not 1",
    )
    assert refusal(joint(market, (IN, "buy", 5, 1), (IN, "sell", 5, 9))) == (
        "conditions_invalid",
        "two legs of a joint order are in the same book",
    )
    legs = (IN, "buy", 5, 1), (OUT, "buy", 6, 1)
    assert refusal(joint(market, *legs, all_or_none=False)) == (
        "conditions_invalid",
        "legs of 5 W and 6 W cannot trade the same quantity: a joint order that may trade in part "
        "has legs of one size",
    )
    assert not all_of(joint(market, *legs), Refused)


def test_each_leg_is_checked_like_an_order(market):
    good = (IN, "buy", 5, 1)
    for bad, reason in (
        ((OUT, "sell", 5_001, 1), "exceeds_holding"),
        ((OUT, "buy", 5_001, 1), "exceeds_capacity"),
        ((OUT, "buy", 0, 1), "quantity_invalid"),
        ((OUT, "buy", 1, -1), "price_invalid"),
    ):
        assert refusal(joint(market, good, bad))[0] == reason
    assert refusal(joint(market, good, (OUT, "buy", 1, 1), expires_at=OPENING))[0] == (
        "expiry_invalid"
    )
    market.do(SetRiskLimits("c", None, RiskLimits(credit=10)))
    assert refusal(joint(market, good, (OUT, "buy", 3, 2)))[0] == "insufficient_credit"
    assert not all_of(joint(market, good, (OUT, "buy", 5, 1)), Refused)
    # What one leg claims, no other order may claim again.
    assert refusal(market.buy(0, "4996@0", direction=IN))[0] == "exceeds_capacity"


def test_a_joint_order_sent_twice_is_one(market):
    legs = (Leg("load:0", IN, START, Side.BUY, 5, 1), Leg("load:0", OUT, START, Side.BUY, 5, 1))
    first = only(market.do(SubmitJoint("p0", "a", legs)), JointOrderAccepted)
    repeat = only(market.do(SubmitJoint("p0", "a", legs)), AnswerRepeated)
    assert repeat.answer_sequence == first.sequence
    assert refusal(market.do(SubmitJoint("p0", "a", legs[::-1])))[0] == "client_order_id_reused"
    assert refusal(market.amend(0, "a", 3)) == (
        "conditions_invalid",
        "joint order 1 cannot be amended: cancel it and place another",
    )
    cancelled = only(market.cancel(0, "a"), OrderCancelled)
    assert (cancelled.order_id, cancelled.remaining_w) == (1, 5)
    assert refusal(market.amend(0, "a", 3))[0] == "order_not_open"


def test_a_post_only_order_that_would_trade(market):
    market.sell(0, "10@9")
    market.buy(0, "10@5")
    assert refusal(market.buy(1, "10@9", post_only=True)) == (
        "would_cross",
        "post-only buy at 0.0009 EUR per kW would cross the best offer at 0.0009 EUR per kW",
    )
    assert refusal(market.sell(1, "10@4", post_only=True)) == (
        "would_cross",
        "post-only sell at 0.0004 EUR per kW would cross the best bid at 0.0005 EUR per kW",
    )


def test_expiries(market):
    assert refusal(market.sell(0, "1@1", "GTD")) == (
        "expiry_invalid",
        "GTD orders need an expiry, up to gate closure at 2030-06-01T11:00:00Z",
    )
    assert refusal(market.sell(0, "1@1", "IOC", expires_at=GATE)) == (
        "expiry_invalid",
        "IOC orders have no expiry, but 2030-06-01T11:00:00Z is given",
    )
    for expires_at in (OPENING, GATE + QUARTER):
        reason, detail = refusal(market.sell(0, "1@1", "GTD", expires_at=expires_at))
        assert reason == "expiry_invalid"
        assert detail.startswith(f"expiry at {format_time(expires_at)} is not after")
        assert detail.endswith("and up to gate closure at 2030-06-01T11:00:00Z")


def test_selling_more_than_is_held(market):
    assert refusal(market.sell(0, "5001@1")) == (
        "exceeds_holding",
        "sell of 5,001 W exceeds the 5,000 W held",
    )


def test_selling_what_other_orders_reserve(market):
    market.sell(0, "1000@9")
    expected = "sell of 4,001 W exceeds the 5,000 W held, of which 1,000 W are reserved by order 1"
    assert refusal(market.sell(0, "4001@1")) == ("exceeds_holding", expected)
    market.sell(0, "1000@9")
    assert refusal(market.sell(0, "4000@1"))[1].endswith(
        "of which 2,000 W are reserved by orders 1 and 2"
    )
    for _ in range(10):
        market.sell(0, "10@9")
    assert refusal(market.sell(0, "4000@1"))[1].endswith(
        "of which 2,100 W are reserved by orders 1, 2, 3 and others"
    )


def test_selling_below_the_fallback():
    market = Market(points=2, capacity_w=10_000, fallback_w=500)
    market.sell(0, "4000@9")
    assert refusal(market.sell(0, "501@1")) == (
        "exceeds_holding",
        "sell of 501 W exceeds the 5,000 W held, of which 4,000 W are reserved by order 1 "
        "and 500 W are the fallback limit and not for sale",
    )
    assert refusal(market.sell(1, "4501@1"))[1] == (
        "sell of 4,501 W exceeds the 5,000 W held, "
        "of which 500 W are the fallback limit and not for sale"
    )
    assert not all_of(market.sell(1, "4500@9"), Refused)


def test_buying_beyond_capacity(market):
    assert refusal(market.buy(0, "5001@1")) == (
        "exceeds_capacity",
        "buy of 5,001 W exceeds the capacity of 10,000 W, of which 5,000 W are held",
    )
    market.buy(0, "2000@1")
    assert refusal(market.buy(0, "3001@1")) == (
        "exceeds_capacity",
        "buy of 3,001 W exceeds the capacity of 10,000 W, of which 5,000 W are held "
        "and 2,000 W are sought by order 1",
    )


def test_the_two_directions_have_separate_holdings(market):
    market.sell(0, "5000@9")
    assert not all_of(market.sell(0, "5000@9", direction=Direction.WITHDRAWAL), Refused)


def test_cancelling_what_was_never_accepted(market):
    assert refusal(market.cancel(0, "x")) == ("unknown_order", "there is no order x")
    market.sell(0, "9999@1", client_order_id="x")
    assert refusal(market.cancel(0, "x")) == ("unknown_order", "there is no order x")
    market.sell(0, "9@1", client_order_id="y")
    assert refusal(market.cancel(1, "y")) == ("unknown_order", "there is no order y")


def test_changing_an_order_that_is_not_open(market):
    market.sell(0, "10@5", client_order_id="a")
    market.buy(1, "10@5")
    assert refusal(market.cancel(0, "a")) == ("order_not_open", "order a has traded in full")
    market.sell(0, "10@5", client_order_id="b")
    market.cancel(0, "b")
    assert refusal(market.amend(0, "b", quantity_w=5)) == (
        "order_not_open",
        "order b was cancelled (requested)",
    )


def test_amending_nothing(market):
    market.sell(0, "10@5", client_order_id="a")
    expected = (
        "nothing_to_amend",
        "order 1 already has 10 W at a limit price of 0.0005 EUR per kW",
    )
    assert refusal(market.amend(0, "a")) == expected
    assert refusal(market.amend(0, "a", 10, 5)) == expected


def test_an_amendment_is_checked_like_an_order_whose_own_claim_does_not_count(market):
    market.sell(0, "1000@9")
    market.sell(0, "2000@9", client_order_id="a")
    assert refusal(market.amend(0, "a", 4_001)) == (
        "exceeds_holding",
        "sell of 4,001 W exceeds the 5,000 W held, of which 1,000 W are reserved by order 1",
    )
    assert refusal(market.amend(0, "a", 0))[0] == "quantity_invalid"
    assert refusal(market.amend(0, "a", limit_price_ticks=-1))[0] == "price_invalid"
    assert not all_of(market.amend(0, "a", 4_000), Refused)


def test_a_mass_cancel_with_nothing_to_cancel(market):
    assert refusal(market.do(MassCancel("p0", "m1"))) == ("order_not_open", "p0 has no open order")
    assert refusal(market.do(MassCancel("p0", "m2", START))) == (
        "order_not_open",
        "p0 has no open order for 2030-06-01T12:00:00Z",
    )
    everything = MassCancel("p0", "m3", START, "load:0", Direction.INJECTION, Side.BUY)
    assert refusal(market.do(everything))[1] == (
        "p0 has no open order for 2030-06-01T12:00:00Z of load:0, injection, buy"
    )


def test_a_client_order_id_with_other_content(market):
    market.sell(0, "10@5", client_order_id="a")
    assert refusal(market.sell(0, "11@5", client_order_id="a")) == (
        "client_order_id_reused",
        "id a was used for another request, answered by event 2",
    )


def test_sessions_that_cannot_be_opened(market):
    def open_session(start, end, gate=GATE):
        refused = only(market.do(OpenSession(start, end, gate, interface())), Refused)
        assert (refused.participant, refused.request) == ("operator", "session")
        return refused.reason.value, refused.detail

    assert open_session(START, START) == (
        "interval_invalid",
        "interval [2030-06-01T12:00:00Z, 2030-06-01T12:00:00Z) is empty",
    )
    half = timedelta(minutes=7)
    assert open_session(START + half, START + half + QUARTER) == (
        "session_exists",
        "interval [2030-06-01T12:07:00Z, 2030-06-01T12:22:00Z) overlaps the session "
        "of [2030-06-01T12:00:00Z, 2030-06-01T12:15:00Z)",
    )
    reason, detail = open_session(START + QUARTER, START + 2 * QUARTER, OPENING)
    assert reason == "gate_closed"
    assert "would close at 2030-06-01T08:00:00Z, which is not after" in detail


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (PowerFlowError("no solution at bus:4"), "power_flow_failed"),
        (InsecureError("line:3", "120 A of 100 A"), "insecure"),
    ],
)
def test_an_allocation_that_fails_opens_nothing_and_raises_the_alarm(market, error, reason):
    market.grid.errors.append(error)
    start = START + QUARTER
    events = market.do(OpenSession(start, start + QUARTER, GATE, interface()))
    assert refusal(events) == (reason, str(error))
    alarm = only(events, AlarmRaised)
    assert (alarm.kind, alarm.interval) == (AlarmKind(reason), start)
    assert not alarm.halts_trading
    assert len(events) == 2
    assert list(market.exchange.state.sessions) == [START]


def test_an_allocation_below_the_fallback_opens_nothing():
    market = Market(points=2, capacity_w=10_000, fallback_w=500)
    start = START + QUARTER
    events = market.do(OpenSession(start, start + QUARTER, GATE, interface(998)))
    assert refusal(events) == (
        "insecure",
        "load:0: injection limit of 499 W is not within the fallback limit of 500 W "
        "and the capacity of 10,000 W",
    )


def test_the_sentence_names_the_gate_also_where_the_next_message_came_later(market):
    market.now = GATE + QUARTER
    assert refusal(market.sell(0, "1@1")) == (
        "gate_closed",
        "the gate of 2030-06-01T12:00:00Z closed at 2030-06-01T11:00:00Z",
    )


def test_limits_of_an_interval_that_is_not_open(market):
    command = UpdateInterfaceLimits("u1", START + QUARTER, interface())
    refused = only(market.do(command), Refused)
    assert (refused.participant, refused.request_id) == ("tso", "u1")
    assert (refused.request, refused.reason) == ("limits", RefusalReason.UNKNOWN_INTERVAL)
    market.close()
    assert refusal(market.update("u2", interface()))[0] == "gate_closed"


def test_a_gate_that_is_closed_already(market):
    assert refusal(market.do(CloseGate(GATE)))[0] == "unknown_interval"
    market.close()
    assert refusal(market.close())[0] == "gate_closed"


@pytest.mark.parametrize("reason", ["malformed", "too_large", "too_frequent", "unauthorised"])
def test_what_the_gateway_found_is_put_on_record(market, reason):
    events = market.do(RejectMessage("p0", "a", reason, "5 bytes are no JSON"))
    refused = only(events, Refused)
    assert (refused.request, refused.request_id) == ("message", "a")
    assert refusal(events) == (reason, "5 bytes are no JSON")
    # The id is still free for the message as it should have been.
    assert not all_of(market.sell(0, "1@1", client_order_id="a"), Refused)


def test_more_conditional_orders_than_clearing_can_bear_are_refused():
    rules = MarketRules(max_conditional_orders=9, max_conditional_orders_each=2)
    market = Market(points=11, capacity_w=10_000, rules=rules)
    for _ in range(2):
        market.sell(0, "10@9", all_or_none=True)
    reason, detail = refusal(market.sell(0, "10@9", minimum_w=5))
    assert reason == "too_many_conditions"
    assert detail == (
        "2 orders of p0 with conditions already rest for 2030-06-01T12:00:00Z, at most 2 may rest"
    )
    for owner in range(1, 8):
        assert not all_of(market.sell(owner, "10@9", all_or_none=True), Refused)
    reason, detail = refusal(market.sell(8, "10@9", all_or_none=True))
    assert detail.startswith("9 orders with conditions already rest for")
    assert only(market.buy(9, "10@9", "FOK"), Traded), "what does not rest blocks no order"


@given(
    owners=st.lists(st.integers(0, 15), max_size=80),
    most=st.integers(1, 60),
    each=st.integers(1, 12),
)
@settings(max_examples=40)
def test_the_last_places_for_conditional_orders_are_for_those_who_have_none(owners, most, each):
    rules = MarketRules(max_conditional_orders=most, max_conditional_orders_each=each)
    market = Market(points=16, capacity_w=10**6, rules=rules)
    held = dict.fromkeys(range(16), 0)
    for owner in owners:
        free = most - sum(held.values())
        has, few = held[owner], not held[owner] or 4 * (held[owner] + 1) <= free
        may = free > 0 and has < each and few
        refused = all_of(market.sell(owner, "1@9", all_or_none=True), Refused)
        assert bool(refused) == (not may)
        if refused:
            assert refused[0].reason == "too_many_conditions"
        else:
            held[owner] += 1


def test_ten_participants_cannot_take_all_places_for_conditional_orders():
    market = Market(points=17, capacity_w=10**6)
    for owner in range(10):
        while not all_of(market.sell(owner, "1@9", all_or_none=True), Refused):
            pass
    taken = [order.participant for order in market.exchange.state.orders.values()]
    assert taken.count("p0") == 10
    assert len(taken) < 50
    assert not all_of(market.sell(16, "1@9", all_or_none=True), Refused)


def test_a_refusal_for_want_of_places_says_how_many_are_free():
    rules = MarketRules(max_conditional_orders=9, max_conditional_orders_each=4)
    market = Market(points=4, capacity_w=10_000, rules=rules)
    for _ in range(2):
        market.sell(0, "10@9", all_or_none=True)
    assert refusal(market.sell(0, "10@9", minimum_w=5)) == (
        "too_many_conditions",
        "2 orders of p0 with conditions already rest for 2030-06-01T12:00:00Z, and of 9 places 7 "
        "are free: beyond its first, a participant may have at most a quarter of these",
    )
    assert not all_of(market.sell(1, "10@9", all_or_none=True), Refused)


def test_an_absurd_price_is_refused_with_the_highest():
    market = Market(points=2)
    reason, detail = refusal(market.buy(0, "1@1000001"))
    assert reason == "price_invalid"
    assert detail == (
        "limit price of 100.0001 EUR per kW is above 100 EUR per kW, the highest of this market"
    )
