"""A request sent twice has the effect of once, and the same answer."""

from __future__ import annotations

from dataclasses import fields
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from market import BAND, GATE, QUARTER, START, Market, all_of, interface, only, trades
from presence import there

from exchange.vocabulary.commands import (
    AdvanceTime,
    AmendOrder,
    CancelOrder,
    CloseGate,
    Command,
    MassCancel,
    OpenSession,
    RejectMessage,
    SetPriceCollar,
    SubmitJoint,
    SubmitOrder,
    identity_of,
)
from exchange.vocabulary.events import (
    AnswerRepeated,
    Event,
    InterfaceLimitsUpdated,
    MassCancelled,
    OrderAccepted,
    OrderAmended,
    OrderCancelled,
    Refused,
)
from exchange.vocabulary.orders import Leg
from exchange.vocabulary.reasons import RefusalReason
from exchange.vocabulary.rules import MarketRules, PriceCollar
from gateway.transport.mqtt_client import MqttSettings
from orderbook.order import Side
from security_check.errors import InsecureError
from security_check.model.envelope import Direction

HOUR = timedelta(hours=1)
DOCS = Path(__file__).parents[3] / "docs"


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


def _content(market: Market) -> dict[str, Any]:
    """Return what a repetition leaves as it is: all but its own number and age."""
    snapshot = market.exchange.snapshot()
    for log in snapshot["answers"].values():
        del log["finished"]
    return {key: each for key, each in snapshot.items() if key not in ("sequence", "time")}


def _repeated(market: Market, command: Command) -> Event:
    """Send a command that was sent before; return the answer that it got then."""
    before = _content(market)
    repeat = only(market.do(command), AnswerRepeated)
    assert _content(market) == before
    answer = market.exchange.state.repeated_answer(repeat)
    assert answer is not None
    return answer


def test_a_cancel_sent_twice_is_answered_twice(market):
    market.sell(0, "10@5", client_order_id="a")
    cancelled = only(market.cancel(0, "a", "r1"), OrderCancelled)
    assert there(cancelled.answers).request_id == "r1"
    assert _repeated(market, market.commands[-1][0]) == cancelled
    # Another cancel is another request, and there is nothing left to cancel.
    again = only(market.cancel(0, "a", "r2"), Refused)
    assert (again.reason, again.detail) == (
        RefusalReason.ORDER_NOT_OPEN,
        "order a was cancelled (requested)",
    )
    assert _repeated(market, market.commands[-2][0]) == cancelled


def test_an_amendment_that_comes_again_does_not_undo_its_successor(market):
    """The fault that was found: back at the first price, the order was sold at it."""
    market.sell(0, "10@9", client_order_id="x")
    first = AmendOrder("p0", "r1", "x", limit_price_ticks=3)
    second = AmendOrder("p0", "r2", "x", limit_price_ticks=6)
    amended = only(market.do(first), OrderAmended)
    market.do(second)
    assert _repeated(market, first) == amended
    assert market.resting() == ["#3 sell 10@6"]
    assert trades(market.buy(1, "10@4")) == []
    _repeated(market, second)
    assert market.resting() == ["#3 sell 10@6", "#4 buy 10@4"][::-1]


def test_a_mass_cancel_that_comes_again_spares_the_orders_placed_since(market):
    market.sell(0, "10@5", client_order_id="a")
    market.sell(0, "20@5", client_order_id="b")
    everything = MassCancel("p0", "m1")
    done = only(market.do(everything), MassCancelled)
    assert done.orders == 2
    market.sell(0, "10@5", client_order_id="c")
    assert _repeated(market, everything) == done
    assert market.resting() == ["#3 sell 10@5"]


def test_a_mass_cancel_that_found_nothing_finds_nothing_again(market):
    nothing = MassCancel("p0", "m1")
    refused = only(market.do(nothing), Refused)
    assert (refused.request, refused.request_id) == ("mass_cancel", "m1")
    market.sell(0, "10@5", client_order_id="a")
    assert _repeated(market, nothing) == refused
    assert market.resting() == ["#1 sell 10@5"]


def test_an_amendment_that_left_nothing_is_one_cancel(market):
    market.sell(0, "10@5", client_order_id="a")
    market.buy(1, "4@5")
    less = AmendOrder("p0", "r1", "a", quantity_w=4)
    cancelled = only(market.do(less), OrderCancelled)
    assert there(cancelled.answers).request == "amend"
    assert _repeated(market, less) == cancelled


def test_an_amendment_that_traded_is_not_carried_out_again(market):
    market.sell(0, "10@9", client_order_id="a")
    market.buy(1, "4@5", client_order_id="b")
    cheaper = AmendOrder("p0", "r1", "a", limit_price_ticks=5)
    events = market.do(cheaper)
    assert trades(events) == ["4@5 #2"]
    assert _repeated(market, cheaper) == only(events, OrderAmended)
    assert market.resting() == ["#3 sell 6@5"]


def test_a_refused_change_is_refused_again_when_it_could_be_made_by_now(market):
    cancel, amend = CancelOrder("p0", "r1", "a"), AmendOrder("p0", "r2", "a", 7)
    refusals = [only(market.do(each), Refused) for each in (cancel, amend)]
    assert {each.reason for each in refusals} == {RefusalReason.UNKNOWN_ORDER}
    assert {each.client_order_id for each in refusals} == {"a"}
    market.sell(0, "10@5", client_order_id="a")
    assert [_repeated(market, each) for each in (cancel, amend)] == refusals
    assert market.resting() == ["#1 sell 10@5"]


def test_a_cancel_that_came_too_late_is_refused_again(market):
    market.sell(0, "10@5", client_order_id="a")
    market.buy(1, "10@5")
    cancel = CancelOrder("p0", "r1", "a")
    refused = only(market.do(cancel), Refused)
    assert refused.detail == "order a has traded in full"
    assert _repeated(market, cancel) == refused


def test_a_cancel_of_a_joint_order_takes_it_once(market):
    legs = tuple(Leg("load:0", each, START, Side.SELL, 10, 5) for each in Direction)
    market.do(SubmitJoint("p0", "j", legs))
    cancel = CancelOrder("p0", "r1", "j")
    cancelled = only(market.do(cancel), OrderCancelled)
    assert market.exchange.state.orders == {}
    assert _repeated(market, cancel) == cancelled


@pytest.mark.parametrize(
    "used", ["order", "cancel", "amend", "mass_cancel", "refused", "unreadable"]
)
@pytest.mark.parametrize("new", ["order", "joint", "cancel", "amend", "mass_cancel"])
def test_a_participant_has_one_namespace_of_ids(market, used, new):
    market.sell(0, "10@5", client_order_id="a")
    legs = tuple(Leg("load:0", each, START, Side.SELL, 10, 5) for each in Direction)
    requests = {
        "order": market.order(0, "sell", 30, 7, client_order_id="x"),
        "joint": SubmitJoint("p0", "x", legs),
        "cancel": CancelOrder("p0", "x", "b"),
        "amend": AmendOrder("p0", "x", "a", 9),
        "mass_cancel": MassCancel("p0", "x", side=Side.SELL),
        "refused": AmendOrder("p0", "x", "unknown", 9),
        "unreadable": RejectMessage("p0", "x", "malformed", "2 are open", uses_id=True),
    }
    first = market.do(requests[used])
    orders = dict(market.exchange.state.orders)
    events = market.do(requests[new])
    assert market.exchange.state.orders == orders
    if used == new:
        assert only(events, AnswerRepeated)
    else:
        refused = only(events, Refused)
        assert refused.reason is RefusalReason.CLIENT_ORDER_ID_REUSED
        assert (refused.request_id, refused.content) == ("x", "")
        assert refused.detail.endswith(f"answered by event {first[-1].sequence}")


def test_a_cancel_may_not_have_the_id_of_its_order(market):
    market.sell(0, "10@5", client_order_id="a")
    refused = only(market.cancel(0, "a", "a"), Refused)
    assert refused.reason is RefusalReason.CLIENT_ORDER_ID_REUSED
    assert market.resting() == ["#1 sell 10@5"]


@pytest.mark.parametrize("uses_id", [False, True])
def test_a_message_that_was_not_read_uses_its_id_where_it_might_be_read_later(market, uses_id):
    message = RejectMessage("p0", "a", "malformed", "0 intervals are open", uses_id)
    refused = only(market.do(message), Refused)
    answers = all_of(market.do(message), AnswerRepeated)
    events = market.sell(0, "10@5", client_order_id="a")
    if uses_id:
        assert market.exchange.state.repeated_answer(answers[0]) == refused
        assert only(events, Refused).reason is RefusalReason.CLIENT_ORDER_ID_REUSED
    else:
        assert answers == []
        assert only(events, OrderAccepted)


def test_a_message_that_came_too_often_has_the_answer_that_it_had_before(market):
    accepted = only(market.sell(0, "10@5", client_order_id="a"), OrderAccepted)
    too_many = RejectMessage("p0", "a", "too_frequent", "more than 200 messages per second")
    assert _repeated(market, too_many) == accepted


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
    market.cancel(0, "open", "r1")
    assert [n for n in range(5) if answer("p0", f"refused {n}")] == [3, 4]
    assert answer("p0", "open") is not None
    for number in range(3):
        assert answer("p0", "open") is not None
        market.amend(0, "none", 1, request_id=f"s{number}")
    assert answer("p0", "open") is None


@given(
    kept=st.integers(1, 6),
    steps=st.lists(st.tuples(st.sampled_from("srcamxyz"), st.integers(0, 9)), max_size=60),
)
def test_the_last_requests_of_a_sender_are_remembered_whatever_came_of_them(kept, steps):
    """Orders that end by the dozen displace no answer; only further requests do.

    A message that comes again, or uses an id again, is one of the last then.
    """
    market = Market(points=2, capacity_w=10**6, rules=MarketRules(answers_kept=kept))
    sent: list[Command] = []
    for kind, number in steps:
        key = f"{kind}{len(sent)}"
        names = [each.client_order_id for each in sent if isinstance(each, SubmitOrder)]
        name = names[number % len(names)] if names else "none"
        if kind == "x":
            # Whatever may have ended: all that rest, at once, by the collar.
            market.do(SetPriceCollar(f"c{len(market.commands)}", PriceCollar(9, None)))
            market.do(SetPriceCollar(f"c{len(market.commands)}", PriceCollar()))
            continue
        if kind in "yz":
            if sent:
                old = sent.pop(-1 - number % min(kept, len(sent)))
                used = identity_of(old).request_id
                other = RejectMessage("p0", used, "malformed", "other content", uses_id=True)
                market.do(old if kind == "y" else other)
                sent.append(old)
            continue
        possible: dict[str, Command] = {
            "s": market.order(0, "sell", 10, 5 + number, client_order_id=key),
            "r": market.order(0, "sell", 10**8, 5, client_order_id=key),
            "c": CancelOrder("p0", key, name),
            "a": AmendOrder("p0", key, name, limit_price_ticks=5 + number),
            "m": MassCancel("p0", key),
        }
        command = possible[kind]
        market.do(command)
        sent.append(command)
        find = market.exchange.state.answers.find
        open_names = {o.client_order_id for o in market.exchange.state.orders.values()}
        known = {identity_of(each).request_id for each in sent} & {
            identity_of(each).request_id
            for each in sent
            if find("p0", identity_of(each).request_id or "")
        }
        assert {identity_of(each).request_id for each in sent[-kept:]} | open_names <= known
    for each in sent[-kept:]:
        _repeated(market, each)


def test_a_broker_may_deliver_no_more_again_than_is_remembered():
    """Of one sender; the exchange tells the broker so, as its receive maximum."""
    most = next(each.default for each in fields(MqttSettings) if each.name == "inflight_in")
    assert isinstance(most, int)
    kept = MarketRules().answers_kept
    assert kept >= most
    page = (DOCS / "formats" / "messages.md").read_text(encoding="utf-8")
    assert f"the answers to the last {kept:,} requests of each sender" in page
    assert f"at most {most:,} messages without acknowledgement" in page


def test_strangers_take_up_no_memory(market):
    before = market.exchange.snapshot()["answers"]
    for number in range(3):
        events = market.sell(99, "10@5", point=0, client_order_id=f"{number}")
        assert only(events, Refused).reason is RefusalReason.NOT_OWNER
    assert market.exchange.snapshot()["answers"] == before


def test_answers_outlast_the_intervals_they_are_about(market):
    """A broker may deliver messages again after a day without a connection."""
    state = market.exchange.state
    market.sell(0, "10@5", client_order_id="a")
    nothing = MassCancel("p1", "m1")
    market.do(nothing)
    market.update("u1", BAND)
    later = START + 8 * HOUR
    market.do(OpenSession(later, later + QUARTER, later - HOUR, interface()))
    market.do(CloseGate(START))
    # Closed early, it stays known until its own gate would have closed, and an hour more.
    market.do(CloseGate(later), after=3 * HOUR)
    assert list(state.sessions) == [START, later]
    much_later = later + 8 * HOUR
    market.do(OpenSession(much_later, much_later + QUARTER, market.now + 30 * HOUR, interface()))
    market.do(AdvanceTime(), after=29 * HOUR)
    market.do(CloseGate(much_later))
    assert START not in state.sessions
    assert only(market.sell(0, "10@5", client_order_id="a"), AnswerRepeated)
    assert only(market.update("u1", BAND), AnswerRepeated)
    assert only(market.do(nothing), AnswerRepeated)
