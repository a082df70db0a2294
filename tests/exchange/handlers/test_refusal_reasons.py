"""One refusal for every reason of the closed list, and what its sentence must name.

The other tests of a refusal stand with what they are about; this table has each reason, so that
none can be added without a case that brings it about.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import pytest
from flexible_market import chain, offer, request
from market import GATE, OPENING, QUARTER, START, Market, interface, only

from exchange.vocabulary.commands import (
    AdvanceTime,
    HaltTrading,
    LoseSession,
    OpenSession,
    RejectMessage,
    SetKillSwitch,
    SetPriceCollar,
    SetRiskLimits,
    SetSafeguard,
    SubmitFlexibility,
    SubmitReading,
)
from exchange.vocabulary.events import Event, Refused
from exchange.vocabulary.reasons import CancelReason, OnDisconnect, RefusalReason
from exchange.vocabulary.rules import MarketRules, MeteringRules, PriceCollar, RiskLimits
from gateway.messages.requests import Reader
from security_check.errors import InsecureError, PowerFlowError

LATER = START + QUARTER
METERED = MarketRules(
    lot_w=10,
    max_conditional_orders_each=1,
    metering=MeteringRules(penalty_price_ticks=7, window=timedelta(minutes=5)),
)
Refuse = Callable[[Market], list[Event]]
CASES: dict[RefusalReason, tuple[Refuse, tuple[str, ...]]] = {}


def case(reason: RefusalReason, *named: str) -> Callable[[Refuse], Refuse]:
    """Let a function bring about a refusal whose sentence names what matters."""

    def put(refuse: Refuse) -> Refuse:
        assert reason not in CASES
        CASES[reason] = refuse, named
        return refuse

    return put


def simple(reason: RefusalReason, refuse: Refuse, *named: str) -> None:
    case(reason, *named)(refuse)


@pytest.fixture
def market() -> Market:
    """Four connection points of 10 kW that hold 5 kW each way; lots of 10 W, readings taken."""
    return Market(points=4, capacity_w=10_000, rules=METERED)


@pytest.mark.parametrize("reason", RefusalReason, ids=str)
def test_each_reason_has_a_refusal_whose_sentence_names_what_matters(reason, market):
    refuse, named = CASES[reason]
    refused = only(refuse(market), Refused)
    assert refused.reason is reason
    for each in named:
        assert each in refused.detail


def test_every_case_names_something():
    assert [reason for reason, (_, named) in CASES.items() if not named] == []


# -- the operator's controls ----------------------------------------------------------------------


@case(RefusalReason.KILL_SWITCH, "kill switch of p0")
def _(market):
    market.do(SetKillSwitch("k", "p0", engaged=True))
    return market.sell(0, "10@5")


@case(RefusalReason.OUTSIDE_COLLAR, "0.0901 EUR", "from 0.01 EUR", "to 0.09 EUR")
def _(market):
    market.do(SetPriceCollar("c", PriceCollar(100, 900)))
    return market.sell(0, "10@901")


def limited(market: Market, **limits: int) -> None:
    market.do(SetRiskLimits("r", "p0", RiskLimits(**limits)))


@case(RefusalReason.ORDER_TOO_LARGE, "110 W", "100 W", "p0")
def _(market):
    limited(market, max_quantity_w=100)
    return market.sell(0, "110@5")


@case(RefusalReason.EXCEEDS_POSITION, "buy of 50 W", "limit of 100 W of p0", "0 W net", "60 W are")
def _(market):
    limited(market, position_w=100)
    market.buy(0, "60@5")
    return market.buy(0, "50@5")


@case(RefusalReason.INSUFFICIENT_CREDIT, "0.003 EUR", "0.0025 EUR of p0", "0 EUR are owed")
def _(market):
    limited(market, credit=25_000)
    return market.buy(0, "10@3000")


@case(RefusalReason.CONTROL_INVALID, "from 9 to 8 ticks")
def _(market):
    return market.do(SetPriceCollar("c", PriceCollar(9, 8)))


@case(RefusalReason.UNKNOWN_PARTICIPANT, "p9")
def _(market):
    return market.do(SetKillSwitch("k", "p9", engaged=True))


def guarded(market: Market, number: int, session: str) -> list[Event]:
    guard = (session, f"d{number}", OnDisconnect.CANCEL, None)
    return market.do(SetSafeguard("p0", market.new_id(), *guard))


@case(RefusalReason.SESSION_LOST, "session s1")
def _(market):
    guarded(market, 1, "s1")
    market.do(LoseSession("p0", "s1", CancelReason.DISCONNECTED))
    return guarded(market, 2, "s1")


@case(RefusalReason.TOO_MANY_SAFEGUARDS, "8 other devices of p0", "at most 8")
def _(market):
    return [guarded(market, number, f"s{number}") for number in range(9)][-1]


# -- what the gateway finds -----------------------------------------------------------------------


def sent(market: Market, payload: bytes, sender: str = "p0") -> list[Event]:
    """Return what comes of a message; the gateway turns it into a rejection to put on record."""
    reader = Reader(Decimal("0.0001"), ["p0", "p1"], lambda: [START])
    command = reader.read(sender, payload)
    assert isinstance(command, RejectMessage)
    return market.do(command)


simple(RefusalReason.MALFORMED, lambda market: sent(market, b"{"), "not JSON")
simple(
    RefusalReason.TOO_LARGE,
    lambda market: sent(market, b" " * 9_000),
    "9,000 bytes",
    "8,192",
)


@case(RefusalReason.TOO_FREQUENT, "p0 has placed or amended 2 orders", "at most 2")
def _(market):
    limited(market, orders_per_minute=2)
    market.sell(0, "10@5")
    market.sell(0, "10@5")
    return market.sell(0, "10@5")


@case(RefusalReason.UNAUTHORISED, "topic of p0", "another participant")
def _(market):
    cancel = {"type": "cancel", "client_order_id": "a", "participant": "p1"}
    return sent(market, json.dumps(cancel).encode())


# -- who, where and what --------------------------------------------------------------------------

simple(
    RefusalReason.UNKNOWN_CONNECTION_POINT,
    lambda market: market.sell(0, "10@1", point=9),
    "load:9",
)
simple(RefusalReason.NOT_OWNER, lambda market: market.sell(0, "10@1", point=1), "load:1", "p0")
simple(
    RefusalReason.UNKNOWN_INTERVAL,
    lambda market: market.sell(0, "10@1", interval=LATER),
    "2030-06-01T12:15:00Z",
)
simple(
    RefusalReason.INTERVAL_INVALID,
    lambda market: market.do(OpenSession(LATER, LATER, GATE, interface())),
    "[2030-06-01T12:15:00Z, 2030-06-01T12:15:00Z)",
)
simple(
    RefusalReason.SESSION_EXISTS,
    lambda market: market.do(OpenSession(START - QUARTER, LATER, GATE, interface())),
    "[2030-06-01T11:45:00Z, 2030-06-01T12:15:00Z)",
    "[2030-06-01T12:00:00Z, 2030-06-01T12:15:00Z)",
)


@case(RefusalReason.GATE_CLOSED, "gate of 2030-06-01T12:00:00Z", "closed at 2030-06-01T08:00:02Z")
def _(market):
    market.close()
    return market.sell(0, "10@1")


simple(RefusalReason.QUANTITY_INVALID, lambda market: market.sell(0, "-10@1"), "-10 W")
simple(RefusalReason.OFF_LOT, lambda market: market.sell(0, "1015@1"), "1,015 W", "lot of 10 W")
simple(RefusalReason.PRICE_INVALID, lambda market: market.sell(0, "10@-1"), "-0.0001 EUR")
simple(
    RefusalReason.EXPIRY_INVALID,
    lambda market: market.sell(0, "10@1", "GTD", expires_at=OPENING),
    "2030-06-01T08:00:00Z is not after 2030-06-01T08:00:02Z",
    "gate closure at 2030-06-01T11:00:00Z",
)
simple(
    RefusalReason.CONDITIONS_INVALID,
    lambda market: market.sell(0, "10@1", "FOK", post_only=True),
    "post-only",
    "FOK",
)


@case(RefusalReason.TOO_MANY_CONDITIONS, "1 orders of p0", "2030-06-01T12:00:00Z", "at most 1")
def _(market):
    market.sell(0, "10@9", all_or_none=True)
    return market.sell(0, "10@9", all_or_none=True)


@case(RefusalReason.WOULD_CROSS, "buy at 0.0009 EUR", "best offer at 0.0008 EUR")
def _(market):
    market.sell(0, "10@8")
    return market.buy(1, "10@9", post_only=True)


@case(RefusalReason.EXCEEDS_CAPACITY, "3,010 W", "10,000 W", "5,000 W are", "2,000 W", "order 1")
def _(market):
    market.buy(0, "2000@1")
    return market.buy(0, "3010@1")


@case(RefusalReason.EXCEEDS_HOLDING, "4,010 W", "5,000 W held", "1,000 W are reserved by order 1")
def _(market):
    market.sell(0, "1000@9")
    return market.sell(0, "4010@1")


# -- which order ----------------------------------------------------------------------------------


@case(RefusalReason.CLIENT_ORDER_ID_REUSED, "id a", "event 2")
def _(market):
    market.sell(0, "10@5", client_order_id="a")
    return market.sell(0, "20@5", client_order_id="a")


simple(RefusalReason.UNKNOWN_ORDER, lambda market: market.cancel(0, "x"), "no order x")


@case(RefusalReason.ORDER_NOT_OPEN, "order a has traded in full")
def _(market):
    market.sell(0, "10@5", client_order_id="a")
    market.buy(1, "10@5")
    return market.cancel(0, "a")


@case(RefusalReason.NOTHING_TO_AMEND, "order 1", "10 W", "0.0005 EUR")
def _(market):
    market.sell(0, "10@5", client_order_id="a")
    return market.amend(0, "a", 10, 5)


# -- flexibility ----------------------------------------------------------------------------------

simple(
    RefusalReason.NO_FLEXIBILITY,
    lambda market: market.do(chain(100.0).command(offer(1, 10, 5))),
    "no flexibility market",
)
simple(
    RefusalReason.MAY_NOT_REQUEST,
    lambda _: chain(100.0).submit(request(1, 10, 5), sender="p1"),
    "p1 may not request",
)
simple(
    RefusalReason.UNKNOWN_BUS,
    lambda _: (live := chain(100.0)).send(
        SubmitFlexibility("dso", "a", replace(live.command(request(1, 10, 5)).terms, place="n9"))
    ),
    "no bus n9",
)


@case(RefusalReason.TRADING_HALTED, "2031-05-01T12:00:00Z is halted")
def _(_):
    live = chain(100.0)
    live.send(HaltTrading("h"))
    return live.submit(offer(1, 10, 5))


@case(RefusalReason.TOO_MANY_ORDERS, "50 orders for flexibility rest", "at most 50 of one")
def _(_):
    live = chain(100.0)
    return [live.submit(offer(number, 1, 5)) for number in range(1, 52)][-1]


# -- what was metered -----------------------------------------------------------------------------


def read(market: Market, injection_w: int = 1) -> list[Event]:
    return market.do(SubmitReading("r", START, "load:0", injection_w, 0))


def delivered(market: Market, after: timedelta = timedelta(0)) -> None:
    """Let the gate close, delivery end and more time pass."""
    for moment in (GATE, LATER, LATER + after):
        if moment > market.now:
            market.do(AdvanceTime(), after=moment - market.now)


@case(RefusalReason.NOT_METERED, "2030-06-01T12:00:00Z", "no rules for it")
def _(_):
    market = Market(points=2, capacity_w=10_000)
    delivered(market)
    return read(market)


simple(
    RefusalReason.DELIVERY_NOT_OVER,
    read,
    "2030-06-01T12:00:00Z ends at 2030-06-01T12:15:00Z",
    "it is 2030-06-01T08:00:02Z",
)


@case(RefusalReason.METERING_CLOSED, "until 2030-06-01T12:20:00Z", "it is 2030-06-01T12:20:01Z")
def _(market):
    delivered(market, after=timedelta(minutes=5))
    return read(market)


@case(RefusalReason.READING_INVALID, "-1 W", "load:0", "2030-06-01T12:00:00Z")
def _(market):
    delivered(market)
    return read(market, -1)


# -- the network ----------------------------------------------------------------------------------


def opened(market: Market, error: PowerFlowError | InsecureError) -> list[Event]:
    market.grid.errors.append(error)
    return market.do(OpenSession(LATER, LATER + QUARTER, GATE, interface()))


simple(
    RefusalReason.INSECURE,
    lambda market: opened(market, InsecureError("line:3", "120 A of 100 A")),
    "line:3",
    "120 A of 100 A",
)
simple(
    RefusalReason.POWER_FLOW_FAILED,
    lambda market: opened(market, PowerFlowError("no solution at bus:4")),
    "bus:4",
)


def test_the_table_has_every_reason_and_no_other():
    assert set(CASES) == set(RefusalReason)
