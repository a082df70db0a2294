"""Events survive the way to JSON and back, every kind of them."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest
from flexible_market import chain, offer, request
from market import GATE, START, Market, interface

from exchange.state.effects import EFFECTS
from exchange.vocabulary.commands import (
    AcceptLoss,
    AdvanceTime,
    HaltTrading,
    LoseSession,
    MassCancel,
    ResumeTrading,
    SetBuyBack,
    SetKillSwitch,
    SetPriceCollar,
    SetRiskLimits,
    SetSafeguard,
    SubmitJoint,
    SubmitReading,
)
from exchange.vocabulary.events import Event
from exchange.vocabulary.flexibility import Matching
from exchange.vocabulary.orders import Leg
from exchange.vocabulary.reasons import CancelReason, OnDisconnect
from exchange.vocabulary.rules import BuyBack, MarketRules, MeteringRules, PriceCollar, RiskLimits
from exchange.vocabulary.serialization import EVENT_TYPES, event_from_plain, event_to_plain
from orderbook.order import Side
from security_check.errors import InsecureError
from security_check.model.envelope import Direction


def test_every_kind_of_event_comes_back_as_it_was():
    row = ([1, 2, 2, 1, 0, 0, 0, 0], 30_000, 30_000)
    closing = timedelta(minutes=5)
    rules = MarketRules(
        compensation_price_ticks=2, metering=MeteringRules(3), closing_auction=closing
    )
    market = Market(points=4, capacity_w=10_000, rows=[row], rules=rules)
    market.sell(0, "5000@5", client_order_id="a")
    market.sell(0, "5000@5", client_order_id="a")
    market.sell(0, "5000@5")
    market.buy(1, "100@6")
    market.buy(3, "100@6", "GTD", expires_at=market.now.replace(hour=9))
    market.amend(0, "a", 4_800)
    market.sell(2, "10@1", displayed_w=4, direction=Direction.WITHDRAWAL)
    market.buy(3, "4@1", direction=Direction.WITHDRAWAL)
    market.update("u1", interface(16_000, 24_000))
    market.grid.errors.append(InsecureError("line:3", "reaches 120 A of 100 A"))
    market.update("u2", interface(1, None))
    legs = [Leg("load:3", each, START, Side.BUY, 10, 1) for each in Direction]
    market.do(SubmitJoint("p3", "j", tuple(legs)))
    market.do(SetPriceCollar("c1", PriceCollar(None, 900)))
    market.do(SetRiskLimits("c2", "p0", RiskLimits(credit=10**9)))
    market.do(MassCancel("p3", "m1"))
    market.do(SetSafeguard("p3", "g1", "s1", None, OnDisconnect.KEEP, 30))
    market.do(LoseSession("p3", "s1", CancelReason.SILENT))
    market.do(SetKillSwitch("c3", None, engaged=True))
    wanted = BuyBack(10, 5)
    market.do(SetBuyBack("c6", START, Direction.INJECTION, wanted))
    market.do(HaltTrading("c4", START))
    market.do(ResumeTrading("c5", START))
    market.do(AcceptLoss(20, 30))
    market.do(AdvanceTime(), after=GATE - market.now)
    market.do(SubmitReading("r1", START, "load:1", 9_999, 0), after=timedelta(hours=5))
    market.do(SubmitReading("r2", START, "load:1", 9_998, 0))
    market.do(AdvanceTime(), after=timedelta(hours=24))
    events = [*market.events, *_flexibility()]
    assert {type(event) for event in events} == set(EVENT_TYPES)
    for event in events:
        plain = json.loads(json.dumps(event_to_plain(event)))
        assert plain["event"] == type(event).__name__
        assert event_from_plain(plain) == event


def _flexibility() -> list[Event]:
    """Return the events of a matching, and of one for which a branch is full."""
    live = chain(100.0, matching=Matching.PAIRWISE)
    live.submit(request(1, 200, 9, conditional=True))
    live.submit(offer(2, 100, 5))
    live.submit(offer(3, 100, 5))
    return live.events


def test_an_unknown_kind_of_event_is_not_guessed_at():
    with pytest.raises(KeyError):
        event_from_plain({"event": "Earthquake", "sequence": 1})


def test_every_kind_of_event_has_an_effect():
    assert EFFECTS.keys() == set(EVENT_TYPES)
