"""Refusals of orders for flexibility, and everything that cancels them."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from flexible_market import GATE, START, FlexibleExchange, chain, offer, request

from exchange.clearing.problem import ClearingError
from exchange.engine import Exchange
from exchange.flexibility import welfare_market
from exchange.flexibility.live import checks
from exchange.flexibility.robust_flows import RobustFlows
from exchange.vocabulary.commands import (
    AdvanceTime,
    AmendOrder,
    CancelOrder,
    CloseGate,
    HaltTrading,
    LoseSession,
    MassCancel,
    SetKillSwitch,
    SetPriceCollar,
    SetRiskLimits,
    SetSafeguard,
    SubmitFlexibility,
    SubmitOrder,
)
from exchange.vocabulary.events import (
    AlarmRaised,
    AnswerRepeated,
    Event,
    KillSwitchSet,
    MassCancelled,
    OrderCancelled,
    Refused,
)
from exchange.vocabulary.flexibility import FlexibilityRules, Matching
from exchange.vocabulary.flexibility_events import FlexibilityAccepted, FlexibilityMatched
from exchange.vocabulary.orders import OrderTerms
from exchange.vocabulary.reasons import AlarmKind, CancelReason, OnDisconnect, RefusalReason
from exchange.vocabulary.rules import MarketRules, MeteringRules, PriceCollar, RiskLimits
from exchange.vocabulary.safeguard_events import SessionLost
from orderbook.order import Side
from security_check.model.envelope import Direction


@pytest.fixture
def live() -> FlexibleExchange:
    return chain(1000.0, flexible_w=500)


def refused(events: list[Event]) -> tuple[RefusalReason, str]:
    (event,) = events
    assert isinstance(event, Refused), event
    return event.reason, event.detail


def cancelled(events: list[Event]) -> list[tuple[str, CancelReason]]:
    return [(e.client_order_id, e.reason) for e in events if isinstance(e, OrderCancelled)]


def altered(command: SubmitFlexibility, **terms: Any) -> SubmitFlexibility:
    return replace(command, terms=replace(command.terms, **terms))


REFUSALS = [
    ({"interval": START + timedelta(hours=9)}, "unknown_interval", "no session is open for"),
    ({"place": "load:9"}, "unknown_connection_point", "there is no connection point load:9"),
    ({"place": "load:0"}, "not_owner", "load:0 does not belong to p1"),
    ({"conditional": True}, "conditions_invalid", "only a request may be conditional"),
    ({"quantity_w": 0}, "quantity_invalid", "0 W is not positive"),
    ({"limit_price_ticks": -1}, "price_invalid", "-0.0001 EUR per kW is negative"),
    ({"quantity_w": 501}, "exceeds_capacity", "upward offer of 501 W exceeds the 500 W by which"),
]


@pytest.mark.parametrize(("terms", "reason", "sentence"), REFUSALS)
def test_an_offer_is_refused_with_reason_and_numbers(
    live: FlexibleExchange, terms: dict[str, object], reason: str, sentence: str
) -> None:
    found, detail = refused(live.send(altered(live.command(offer(1, 100, 5)), **terms)))
    assert found.value == reason
    assert sentence in detail
    live.exchange.check_invariants()


def test_a_request_is_refused_of_who_may_not_and_where_there_is_no_bus(
    live: FlexibleExchange,
) -> None:
    command = live.command(request(1, 100, 5))
    assert refused(live.send(replace(command, participant="p1"))) == (
        RefusalReason.MAY_NOT_REQUEST,
        "p1 may not request flexibility in this area",
    )
    elsewhere = replace(altered(command, place="n7"), client_order_id="o2")
    assert refused(live.send(elsewhere)) == (RefusalReason.UNKNOWN_BUS, "there is no bus n7")


def test_what_is_offered_and_matched_is_not_offered_again(live: FlexibleExchange) -> None:
    live.submit(request(1, 120, 9))
    live.submit(offer(2, 200, 5))
    assert refused(live.submit(offer(3, 301, 5))) == (
        RefusalReason.EXCEEDS_CAPACITY,
        "upward offer of 301 W exceeds the 500 W by which the resource at load:1 may change its "
        "power, of which 120 W are matched and 80 W are offered by order 2",
    )
    assert isinstance(live.submit(offer(4, 300, 5))[0], FlexibilityAccepted)


def test_own_orders_do_not_meet(live: FlexibleExchange) -> None:
    live.submit(request(1, 100, 9), sender="p0")
    reason, detail = refused(live.submit(offer(2, 100, 9, bus=0)))
    assert reason is RefusalReason.WOULD_CROSS
    assert "would meet order 1 of the same participant at 0.0009 EUR per kW" in detail
    assert isinstance(live.submit(offer(3, 100, 10, bus=0))[0], FlexibilityAccepted)


def test_a_halted_interval_and_a_closed_one_take_nothing(live: FlexibleExchange) -> None:
    live.submit(offer(1, 100, 5))
    live.send(HaltTrading("h1", START))
    assert refused(live.submit(offer(2, 100, 5)))[0] is RefusalReason.TRADING_HALTED
    assert cancelled(live.cancel(offer(1, 100, 5))) == [("o1", CancelReason.REQUESTED)]
    live.send(CloseGate(START))
    assert refused(live.submit(offer(3, 100, 5)))[0] is RefusalReason.GATE_CLOSED


def test_risk_limits_bind_offers_and_requests(live: FlexibleExchange) -> None:
    live.send(SetRiskLimits("r1", "dso", RiskLimits(max_quantity_w=400, credit=2_000)))
    live.send(SetRiskLimits("r2", "p1", RiskLimits(position_w=150, orders_per_minute=2)))
    assert refused(live.submit(request(1, 401, 1)))[0] is RefusalReason.ORDER_TOO_LARGE
    live.submit(request(2, 100, 10))
    reason, detail = refused(live.submit(request(3, 101, 10)))
    assert reason is RefusalReason.INSUFFICIENT_CREDIT
    assert "0.0001 EUR are in open buy orders" in detail
    live.submit(offer(4, 100, 5))  # matches 100 W for 1,000 tick-watts
    assert refused(live.submit(request(5, 101, 10)))[0] is RefusalReason.INSUFFICIENT_CREDIT
    reason, detail = refused(live.submit(offer(6, 51, 5)))
    assert reason is RefusalReason.EXCEEDS_POSITION
    assert "100 W are matched and 0 W are open" in detail
    live.submit(offer(7, 10, 50))
    assert refused(live.submit(offer(8, 10, 50)))[0] is RefusalReason.TOO_FREQUENT


def test_the_number_of_orders_that_rest_is_bounded() -> None:
    live = chain(1000.0)
    for number in range(1, 51):
        live.submit(offer(number, 1, 5))
    assert refused(live.submit(offer(51, 1, 5))) == (
        RefusalReason.TOO_MANY_ORDERS,
        "50 orders for flexibility rest, and at most 50 of one participant in an interval may",
    )
    for number in range(61, 71):
        live.submit(request(number, 1, 4, conditional=True))
    assert refused(live.submit(request(71, 1, 4, conditional=True)))[0] is (
        RefusalReason.TOO_MANY_CONDITIONS
    )
    assert isinstance(live.submit(request(72, 1, 4))[0], FlexibilityAccepted)


def test_conditional_requests_are_fewer_on_larger_networks(
    live: FlexibleExchange, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checks, "_MOST_CONDITIONAL_ROWS", 2)  # for its one branch
    for number in (1, 2):
        live.submit(request(number, 1, 4, conditional=True))
    assert refused(live.submit(request(3, 1, 4, conditional=True))) == (
        RefusalReason.TOO_MANY_CONDITIONS,
        "2 conditional requests rest, and at most 2 in an interval may",
    )


def _failing(*_: object) -> None:
    raise ClearingError("it does not converge")


def _too_much(self: RobustFlows, change: object, request: int | None) -> tuple[float, int]:
    return 1e9, 0  # as if every branch had room


@pytest.mark.parametrize(
    ("matching", "target", "name", "fault", "kind", "words"),
    [
        (
            Matching.WELFARE,
            welfare_market,
            "best_matching",
            _failing,
            AlarmKind.CLEARING_FAILED,
            "the matching of flexibility failed: it does not converge",
        ),
        (
            Matching.PAIRWISE,
            RobustFlows,
            "most_w",
            _too_much,
            AlarmKind.INSECURE,
            "it would take the flow of b0 50 W beyond its limit",
        ),
    ],
)
def test_a_matching_that_fails_or_breaks_a_limit_is_not_made(
    monkeypatch: pytest.MonkeyPatch,
    matching: Matching,
    target: Any,
    name: str,
    fault: Any,
    kind: AlarmKind,
    words: str,
) -> None:
    """The order rests; with the fault gone the next one lets it match."""
    live = chain(100.0, matching=matching)
    live.submit(request(1, 150, 9))
    with monkeypatch.context() as broken:
        broken.setattr(target, name, fault)
        accepted, alarm = live.submit(offer(2, 150, 5))
    assert isinstance(accepted, FlexibilityAccepted)
    assert isinstance(alarm, AlarmRaised)
    assert (alarm.kind, alarm.halts_trading) == (kind, False)
    assert words in alarm.detail
    live.exchange.check_invariants()
    matched = live.submit(offer(3, 1, 5))[1]
    assert isinstance(matched, FlexibilityMatched)
    assert live.exchange.digest() == live.restored().digest()


def test_a_mass_cancel_takes_orders_of_both_kinds(live: FlexibleExchange) -> None:
    live = chain(1000.0, capacity_w=100)
    sells = OrderTerms("load:1", Direction.INJECTION, START, Side.SELL, 10, 5)
    live.send(SubmitOrder("p1", "limit", sells))
    live.submit(offer(1, 100, 5))
    live.submit(offer(2, 100, 5, bus=0))
    events = live.send(MassCancel("p1", "m1"))
    assert cancelled(events) == [
        ("limit", CancelReason.MASS_CANCEL),
        ("o1", CancelReason.MASS_CANCEL),
    ]
    assert isinstance(events[-1], MassCancelled)
    assert events[-1].orders == 2
    assert [o.client_order_id for o in live.exchange.state.flexible_orders.values()] == ["o2"]


@pytest.mark.parametrize(
    ("asked", "gone"),
    [
        ({"side": Side.SELL}, True),
        ({"side": Side.BUY}, False),
        ({"connection_point": "load:1"}, True),
        ({"connection_point": "load:0"}, False),
        ({"interval": START}, True),
        ({"interval": START + timedelta(hours=1)}, False),
        ({"direction": Direction.INJECTION}, False),
    ],
)
def test_a_mass_cancel_takes_those_that_match(
    live: FlexibleExchange, asked: dict[str, object], gone: bool
) -> None:
    live.submit(offer(1, 100, 5))
    live.send(MassCancel("p1", "m1", **asked))  # type: ignore[arg-type]
    assert bool(live.exchange.state.flexible_orders) is not gone
    live.exchange.check_invariants()


def test_kill_switch_collar_and_gate_cancel_what_rests(live: FlexibleExchange) -> None:
    live.submit(offer(1, 100, 5))
    live.submit(request(2, 100, 4))
    events = live.send(SetPriceCollar("k0", PriceCollar(5, None)))
    assert cancelled(events) == [("o2", CancelReason.PRICE_COLLAR)]
    assert refused(live.submit(request(3, 100, 4)))[0] is RefusalReason.OUTSIDE_COLLAR
    events = live.send(SetKillSwitch("k1", "p1", engaged=True))
    assert isinstance(events[0], KillSwitchSet)
    assert cancelled(events) == [("o1", CancelReason.KILL_SWITCH)]
    assert refused(live.submit(offer(4, 100, 5)))[0] is RefusalReason.KILL_SWITCH
    live.submit(request(5, 100, 6))
    events = live.exchange.handle(AdvanceTime(), GATE)
    assert cancelled(events) == [("o5", CancelReason.GATE_CLOSED)]
    live.exchange.check_invariants()


def test_a_requester_without_a_connection_point_has_a_kill_switch_and_a_safeguard(
    live: FlexibleExchange,
) -> None:
    live.submit(request(1, 100, 4))
    live.send(SetSafeguard("dso", "s1", "session-1", None, OnDisconnect.CANCEL, None))
    events = live.send(LoseSession("dso", "session-1", CancelReason.DISCONNECTED))
    assert cancelled(events) == [("o1", CancelReason.DISCONNECTED)]
    assert isinstance(events[-1], SessionLost)
    assert events[-1].orders == 1
    assert isinstance(live.send(SetKillSwitch("k1", "dso", engaged=True))[0], KillSwitchSet)


def test_a_request_that_comes_again_gets_the_same_answer_and_acts_once(
    live: FlexibleExchange,
) -> None:
    live.submit(request(1, 100, 9))
    first = live.submit(offer(2, 60, 5))
    assert isinstance(first[1], FlexibilityMatched)
    (again,) = live.submit(offer(2, 60, 5))
    assert isinstance(again, AnswerRepeated)
    assert again.answer_sequence == first[0].sequence
    assert refused(live.submit(offer(2, 61, 5)))[0] is RefusalReason.CLIENT_ORDER_ID_REUSED
    live.exchange = live.restored()
    assert isinstance(live.submit(offer(2, 60, 5))[0], AnswerRepeated)
    assert live.flexibility().orders[1].remaining_w == 40


def test_an_order_that_is_gone_or_another_kind_is_not_changed(live: FlexibleExchange) -> None:
    live.submit(request(1, 60, 9))
    live.submit(offer(2, 60, 5))
    assert refused(live.cancel(offer(2, 60, 5))) == (
        RefusalReason.ORDER_NOT_OPEN,
        "order o2 has traded in full",
    )
    live.submit(offer(3, 60, 5))
    amended = live.send(AmendOrder("p1", "a1", "o3", quantity_w=50))
    assert refused(amended)[0] is RefusalReason.CONDITIONS_INVALID
    assert refused(live.send(CancelOrder("p0", "c1", "o3")))[0] is RefusalReason.UNKNOWN_ORDER


def test_an_area_without_the_market_says_so(live: FlexibleExchange) -> None:
    grid, rules, terms = live.setup()
    plain = Exchange(grid, replace(rules, flexibility=None), terms)
    events = plain.handle(replace(live.command(offer(1, 1, 1)), participant="p1"), live.now)
    assert refused(events)[0] is RefusalReason.NO_FLEXIBILITY


def test_rules_that_exclude_each_other_are_refused() -> None:
    with pytest.raises(ValueError, match="does not tell an activation from a breach"):
        MarketRules(metering=MeteringRules(1), flexibility=FlexibilityRules(()))
    with pytest.raises(ValueError, match="'tso' cannot be a participant's name"):
        MarketRules(flexibility=FlexibilityRules(("tso",)))
