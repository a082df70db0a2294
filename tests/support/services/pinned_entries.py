"""One entry for each command and each event, and for every word that they can have.

``tests/data/VERSION/lines.jsonl`` has their lines.  The entries are written out here, so that a
line is compared with what it should say, and not with what the program makes of it.  Values that
could be confused differ, numbers are larger than a float is exact, and text is not only ASCII.

Entries are only added, at the end, because older versions have their lines in this order: a new
word or field is pinned in an entry of its own.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from doe_allocation.procurement.choices import FlexDirection
from exchange.vocabulary import commands as c
from exchange.vocabulary import events as e
from exchange.vocabulary import settlement_events as s
from exchange.vocabulary.flexibility import (
    BlockedPair,
    FlexibilityFill,
    FlexibilityMatch,
    FlexibilityTerms,
    OrderOwner,
)
from exchange.vocabulary.flexibility_events import (
    FlexibilityAccepted,
    FlexibilityBlocked,
    FlexibilityMatched,
)
from exchange.vocabulary.orders import AnsweredRequest, Leg, OrderTerms
from exchange.vocabulary.reasons import (
    AlarmKind,
    CancelReason,
    OnDisconnect,
    Phase,
    RefusalReason,
)
from exchange.vocabulary.recovery_events import LossAccepted
from exchange.vocabulary.rules import BuyBack, PriceCollar, RiskLimits
from exchange.vocabulary.safeguard_events import SafeguardSet, SessionLost
from gateway.ports import JournalEntry
from orderbook.order import OrderConditions, SelfTradePrevention, Side, TimeInForce
from security_check.model.envelope import Direction, Envelope
from security_check.model.limits import InterfaceLimits

START = datetime(2031, 2, 3, 4, 15, tzinfo=UTC)
END = datetime(2031, 2, 3, 4, 30, tzinfo=UTC)
GATE = datetime(2031, 2, 3, 3, 15, tzinfo=UTC)
NOW = datetime(2031, 2, 2, 21, 7, 8, 123456, tzinfo=UTC)  # to the microsecond
LATER = datetime(2031, 2, 2, 23, 59, 59, 999999, tzinfo=UTC)
LARGE = 2**53 + 1  # no float has this value

INJECTION, WITHDRAWAL = Direction.INJECTION, Direction.WITHDRAWAL
BUY, SELL = Side.BUY, Side.SELL

LIMITS = InterfaceLimits(0.97, 1.0400000000000003, 5_000_001, 6_000_002, 0.01, -71, 83)
BAND = InterfaceLimits(0.98, 1.04)
ENVELOPES = (
    Envelope("load:0", 5_001, 6_002, "line:7", "bus:8"),
    Envelope("last:\u00fc 1", LARGE, 0, "interface", ""),
)
TERMS = OrderTerms(
    connection_point="load:0",
    direction=INJECTION,
    interval=START,
    side=SELL,
    quantity_w=LARGE,
    limit_price_ticks=-450,
    time_in_force=TimeInForce.GOOD_TILL_DATE,
    expires_at=LATER,
    conditions=OrderConditions(
        post_only=True,
        self_trade_prevention=SelfTradePrevention.CANCEL_OLDEST,
        all_or_none=False,
        minimum_w=15,
        displayed_w=25,
    ),
)
PLAIN = OrderTerms("load:1", WITHDRAWAL, START, BUY, 1_000, 450)
MARKET = OrderTerms(
    "load:1",
    WITHDRAWAL,
    START,
    BUY,
    700,
    None,
    TimeInForce.IMMEDIATE_OR_CANCEL,
    conditions=OrderConditions(False, SelfTradePrevention.CANCEL_BOTH, True),
)
LEGS = (
    Leg("load:0", INJECTION, START, SELL, 300, -7),
    Leg("load:1", WITHDRAWAL, END, BUY, 400, 9),
)
COLLAR = PriceCollar(-1_000, 1_001)
RISK = RiskLimits(1_000, 60, 2_000, LARGE)

CONTENTS = {
    "submit": "7870700faebcb3ad0461ab0d2b746073",
    "joint": "d8ce4d9a2fbc3414e507c83b84b7753d",
    "cancel": "a0eb6acba811d555a5662a2bef4d9965",
    "amend": "3cd4cfd70e20705d398ae18700047734",
    "mass": "257991e4d95031fea90a505aeb4d34d3",
    "limits": "d7d53dee5d5c0aac2297e30f0b51df10",
    "collar": "2ba883dbf9cee94a232a4218e82a2554",
    "risk": "33ed018bf2104a1954c5a5c2fff7dfe1",
    "kill": "51f43c0eec33ff487cb8b4941e023c26",
    "halt": "52db03d663b2898b318fab74ef36c93a",
    "resume": "3a700599fa05b5471365faf15f0f9fba",
    "buy-back": "35f3003be7561ddc35da030708a716af",
    "reading": "3008edc7994dbc1ef92699c4445a90bb",
    "message": "a0ad851f63ec025e70cb2b2c8067b1ee",
    "safeguard": "7f67270f7a9dcea9ba4df99e414686cf",
    "flexibility": "8216671ec9f5705ea054ccae6404be53",
}
"""Digests of the requests below, by which a request that is sent again is known."""


def _refused(
    participant: str,
    request_id: str,
    request: str,
    content: str,
    client_order_id: str | None = None,
) -> e.Refused:
    return e.Refused(
        sequence=LARGE + 2,
        time=NOW,
        participant=participant,
        request_id=request_id,
        request=request,
        reason=RefusalReason.EXCEEDS_HOLDING,
        detail="sells 4 W; it holds \u2264 3 W\n",
        client_order_id=client_order_id,
        interval=START if request in ("submit", "limits") else None,
        content=CONTENTS[content],
    )


_COMMANDS: tuple[tuple[c.Command, tuple[e.Event, ...]], ...] = (
    (c.OpenSession(START, END, GATE, LIMITS), ()),
    (
        c.SubmitOrder("p\u00e9", 'a"1\\', TERMS),
        (_refused("p\u00e9", 'a"1\\', "submit", "submit", 'a"1\\'),),
    ),
    (
        c.SubmitJoint("p1", "j", LEGS, False, LATER, SelfTradePrevention.CANCEL_BOTH),
        (_refused("p1", "j", "submit", "joint", "j"),),
    ),
    (c.CancelOrder("p1", "x1", "a"), (_refused("p1", "x1", "cancel", "cancel", "a"),)),
    (c.AmendOrder("p1", "x2", "a", 900, -8), (_refused("p1", "x2", "amend", "amend", "a"),)),
    (
        c.MassCancel("p1", "x3", START, "load:1", WITHDRAWAL, BUY),
        (_refused("p1", "x3", "mass_cancel", "mass"),),
    ),
    (c.UpdateInterfaceLimits("u1", START, LIMITS), (_refused("tso", "u1", "limits", "limits"),)),
    (c.SetPriceCollar("c1", COLLAR), (_refused("operator", "c1", "control", "collar"),)),
    (c.SetRiskLimits("c2", "p1", RISK), (_refused("operator", "c2", "control", "risk"),)),
    (c.SetKillSwitch("c3", "p1", engaged=True), (_refused("operator", "c3", "control", "kill"),)),
    (c.HaltTrading("c4", START), (_refused("operator", "c4", "control", "halt"),)),
    (c.ResumeTrading("c5", START), (_refused("operator", "c5", "control", "resume"),)),
    (
        c.SetBuyBack("c6", START, WITHDRAWAL, BuyBack(500, 11)),
        (_refused("operator", "c6", "control", "buy-back"),),
    ),
    (c.AdvanceTime(), ()),
    (c.CloseGate(START), ()),
    (
        c.SubmitReading("r1", START, "load:1", 0, LARGE),
        (_refused("metering", "r1", "metering", "reading"),),
    ),
    (
        c.RejectMessage("p1", "x4", "malformed", "no JSON: \u201c{\u201d", uses_id=True),
        (_refused("p1", "x4", "message", "message"),),
    ),
    # What may be left out is left out.
    (c.SubmitOrder("p1", "b", PLAIN), ()),
    (c.SubmitOrder("p1", "c", MARKET), ()),
    (c.SubmitJoint("p1", "k", LEGS[:1]), ()),
    (c.AmendOrder("p1", "x5", "a"), ()),
    (c.MassCancel("p1", "x6"), ()),
    (c.UpdateInterfaceLimits("u2", START, BAND), ()),
    (c.SetPriceCollar("c7", PriceCollar()), ()),
    (c.SetRiskLimits("c8", None, RiskLimits()), ()),
    (c.SetKillSwitch("c9", None, engaged=False), ()),
    (c.HaltTrading("c10"), ()),
    (c.ResumeTrading("c11"), ()),
    (c.SubmitReading("r2", START, "load:1", 12, 0), ()),
    (c.RejectMessage("p1", None, "too_large", "10 MB"), ()),
)

_AT: dict[str, Any] = {"sequence": LARGE + 4, "time": NOW}
_OF: dict[str, Any] = {**_AT, "participant": "p1", "client_order_id": "a"}
_HELD: dict[str, Any] = {
    **_AT,
    "interval": START,
    "participant": "p1",
    "connection_point": "load:1",
}
_FILLS = (
    e.Fill(
        order_id=7,
        participant="p1",
        client_order_id="a",
        connection_point="load:1",
        direction=INJECTION,
        interval=START,
        side=BUY,
        quantity_w=300,
        limit_price_ticks=45,
        amount=LARGE,
    ),
    e.Fill(
        order_id=9,
        participant="p2",
        client_order_id="b",
        connection_point="load:2",
        direction=WITHDRAWAL,
        interval=END,
        side=SELL,
        quantity_w=200,
        limit_price_ticks=-46,
        amount=-9_000,
    ),
)
_TRADED = e.Traded(
    **_AT,
    trade_id=3,
    fills=_FILLS,
    taker_order_id=9,
    rent=17,
    tier="merit order",
    binding_element="line:12 without line:4",
    loading=0.30000000000000004,
    buy_back=True,
)
_REFUSED = e.Refused(
    **_AT,
    participant="p1",
    request_id=None,
    request="message",
    reason=RefusalReason.MALFORMED,
    detail="no JSON",
)
_CANCELLED = e.OrderCancelled(**_OF, order_id=7, remaining_w=8, reason=CancelReason.REQUESTED)
_ASKED = AnsweredRequest("amend", "x2", CONTENTS["amend"])
_ALARM = e.AlarmRaised(**_AT, kind=AlarmKind.INSECURE, interval=START, detail="line:3")
_PHASE = e.PhaseChanged(**_AT, interval=START, phase=Phase.CALL, until=GATE)

_EVENTS: tuple[e.Event, ...] = (
    e.SessionOpened(
        **_AT,
        start=START,
        end=END,
        gate_closes_at=GATE,
        interface_limits=LIMITS,
        envelopes=ENVELOPES,
        phase=Phase.CONTINUOUS,
        phase_until=LATER,
        tick=Decimal("0.00010"),
    ),
    e.OrderAccepted(**_OF, order_id=7, terms=TERMS, limit_price_ticks=-451),
    e.JointOrderAccepted(
        **_OF,
        order_id=8,
        legs=LEGS,
        all_or_none=False,
        expires_at=LATER,
        self_trade_prevention=SelfTradePrevention.CANCEL_NEWEST,
    ),
    _REFUSED,
    e.OrderAmended(
        **_OF,
        answers=_ASKED,
        previous_order_id=7,
        order_id=9,
        quantity_w=1_000,
        remaining_w=800,
        limit_price_ticks=46,
    ),
    e.OrderRefilled(**_OF, previous_order_id=9, order_id=11, displayed_w=25, remaining_w=775),
    _CANCELLED,
    e.OrderReduced(**_OF, order_id=7, reduced_by_w=100, remaining_w=675),
    _TRADED,
    e.MatchBlocked(**_OF, order_id=7, blocked_w=90, element="line:12", detail="120 A of 100 A"),
    e.InterfaceLimitsUpdated(**_AT, update_id="u1", interval=START, interface_limits=LIMITS),
    e.PriceCollarSet(**_AT, control_id="c1", collar=COLLAR),
    e.RiskLimitsSet(**_AT, control_id="c2", participant="p1", limits=RISK),
    e.KillSwitchSet(**_AT, control_id="c3", participant="p1", engaged=True),
    e.TradingHalted(**_AT, control_id="c4", interval=START),
    e.TradingResumed(**_AT, control_id="c5", interval=START),
    e.BuyBackSet(
        **_AT, control_id="c6", interval=START, direction=INJECTION, wanted=BuyBack(500, 11)
    ),
    _PHASE,
    e.HoldingCurtailed(
        **_HELD, direction=INJECTION, from_w=900, to_w=700, element="line:3", compensation=LARGE
    ),
    e.HoldingRaised(**_HELD, direction=WITHDRAWAL, from_w=700, to_w=900, element="capacity"),
    e.GateClosed(
        **_AT,
        interval=START,
        envelopes=ENVELOPES,
        readings_until=LATER,
        penalty_price_ticks=12,
        tolerance_w=50,
    ),
    e.AnswerRepeated(**_AT, participant="p1", request_id="a", answer_sequence=41),
    _ALARM,
    s.MeterRead(
        **_HELD,
        reading_id="r2",
        injection_w=5_100,
        withdrawal_w=0,
        injection_limit_w=5_000,
        withdrawal_limit_w=6_000,
        tolerance_w=50,
        breach_w=51,
        penalty=612,
        replaces="r1",
        reversed_penalty=LARGE,
    ),
    s.MeteringClosed(
        **_AT,
        interval=START,
        missing=(s.MissingReading("p1", "load:1"), s.MissingReading("p0", "load:0")),
    ),
    s.StatementIssued(
        **_AT,
        interval=START,
        participant="dso congestion rent",
        bought_w=1,
        sold_w=2,
        paid=31,
        received=44,
        balance=LARGE,
        compensation=5,
        penalties=-6,
        flexibility=-77,
    ),
    # What may be left out is left out.
    e.OrderAccepted(**_OF, order_id=7, terms=MARKET, limit_price_ticks=0),
    e.JointOrderAccepted(
        **_OF,
        order_id=8,
        legs=LEGS[1:],
        all_or_none=True,
        expires_at=None,
        self_trade_prevention=SelfTradePrevention.CANCEL_OLDEST,
    ),
    replace(_TRADED, fills=_FILLS[:1], taker_order_id=None, loading=1e-17, buy_back=False),
    replace(_TRADED, loading=float("inf")),
    e.RiskLimitsSet(**_AT, control_id="c7", participant=None, limits=RiskLimits()),
    e.KillSwitchSet(**_AT, control_id="c8", participant=None, engaged=False),
    e.TradingHalted(**_AT, control_id="c9", interval=None),
    e.TradingResumed(**_AT, control_id="c10", interval=None),
    e.GateClosed(**_AT, interval=START, envelopes=()),
    replace(_ALARM, halts_trading=True),
    replace(_CANCELLED, answers=_ASKED),
    e.MassCancelled(
        **_AT,
        answers=AnsweredRequest("mass_cancel", "x3", CONTENTS["mass"]),
        participant="p1",
        orders=LARGE,
    ),
    s.MeterRead(
        **_HELD,
        reading_id="r1",
        injection_w=0,
        withdrawal_w=7,
        injection_limit_w=8,
        withdrawal_limit_w=9,
        tolerance_w=10,
        breach_w=0,
        penalty=0,
    ),
)

_REFUSALS = """
    kill_switch outside_collar order_too_large exceeds_position insufficient_credit control_invalid
    unknown_participant malformed too_large too_frequent unauthorised unknown_connection_point
    not_owner unknown_interval interval_invalid gate_closed quantity_invalid off_lot price_invalid
    expiry_invalid conditions_invalid too_many_conditions would_cross exceeds_capacity
    exceeds_holding not_metered delivery_not_over metering_closed reading_invalid
    client_order_id_reused unknown_order order_not_open nothing_to_amend session_exists insecure
    power_flow_failed
"""
_CANCELLATIONS = """
    requested mass_cancel immediate_or_cancel fill_or_kill self_trade expired gate_closed curtailed
    price_collar kill_switch clearing_failed
"""

_WORDS: tuple[tuple[c.Command, tuple[e.Event, ...]], ...] = (
    (
        c.AdvanceTime(),
        tuple(replace(_REFUSED, reason=RefusalReason(word)) for word in _REFUSALS.split()),
    ),
    (
        c.AdvanceTime(),
        tuple(replace(_CANCELLED, reason=CancelReason(word)) for word in _CANCELLATIONS.split()),
    ),
    (
        c.AdvanceTime(),
        tuple(
            replace(_ALARM, kind=AlarmKind(word))
            for word in ("power_flow_failed", "insecure", "clearing_failed")
        ),
    ),
    (
        c.AdvanceTime(),
        tuple(replace(_PHASE, phase=Phase(word)) for word in ("call", "auction", "continuous")),
    ),
    (c.SubmitOrder("p1", "d", replace(PLAIN, time_in_force=TimeInForce.FILL_OR_KILL)), ()),
    (
        c.AcceptLoss(1_200, LARGE),
        (LossAccepted(**_AT, ends_at=1_200, written=LARGE, skipped=10**12),),
    ),
)

_GUARD = SafeguardSet(
    **_AT,
    answers=AnsweredRequest("safeguard", "x7", CONTENTS["safeguard"]),
    participant="p1",
    session="s:1",
    device="battery",
    on_disconnect=OnDisconnect.CANCEL,
    silent_s=30,
)
_LOST = SessionLost(
    **_AT, participant="p1", session="s:1", reason=CancelReason.DISCONNECTED, orders=LARGE
)

_SAFEGUARDS: tuple[tuple[c.Command, tuple[e.Event, ...]], ...] = (
    (
        c.SetSafeguard("p1", "x7", "s:1", "battery", OnDisconnect.CANCEL, 30),
        (_refused("p1", "x7", "safeguard", "safeguard"),),
    ),
    (
        c.SetSafeguard("p1", "x8", "s:2", None, OnDisconnect.KEEP, None),
        (_GUARD, replace(_GUARD, device=None, on_disconnect=OnDisconnect.KEEP, silent_s=None)),
    ),
    (
        c.LoseSession("p1", "s:1", CancelReason.DISCONNECTED),
        (replace(_CANCELLED, reason=CancelReason.DISCONNECTED), _LOST),
    ),
    (
        c.LoseSession("p1", "s:1", CancelReason.SILENT),
        (
            replace(_CANCELLED, reason=CancelReason.SILENT),
            replace(_LOST, reason=CancelReason.SILENT),
        ),
    ),
    (
        c.AdvanceTime(),
        (
            replace(_REFUSED, reason=RefusalReason.SESSION_LOST),
            replace(_REFUSED, reason=RefusalReason.TOO_MANY_SAFEGUARDS),
        ),
    ),
)


_OFFER = FlexibilityTerms(SELL, "load:1", FlexDirection.UPWARD, START, LARGE + 6, 55)
_REQUEST = FlexibilityTerms(BUY, "n:\u00fc", FlexDirection.DOWNWARD, END, 700, 66, True)
_OFFERED = FlexibilityAccepted(**_OF, order_id=8, terms=_OFFER, bus="n1")
_MATCHED = FlexibilityMatched(
    **_AT,
    trade_id=LARGE + 5,
    interval=START,
    taker_order_id=9,
    fills=(
        FlexibilityFill(8, "p1", "a", SELL, "load:1", FlexDirection.UPWARD, 70, -3_850),
        FlexibilityFill(9, "dso", "b", BUY, "n2", FlexDirection.DOWNWARD, 71, 3_850),
    ),
    matches=(FlexibilityMatch(8, 9, 70), FlexibilityMatch(8, 10, LARGE)),
)
_FLEXIBILITY: tuple[tuple[c.Command, tuple[e.Event, ...]], ...] = (
    (
        c.SubmitFlexibility("p1", "f", _OFFER),
        (_refused("p1", "f", "submit", "flexibility", "f"),),
    ),
    (
        c.SubmitFlexibility("dso", "g", _REQUEST),
        (
            _OFFERED,
            replace(_OFFERED, terms=_REQUEST, bus="n:\u00fc"),
            _MATCHED,
            replace(_MATCHED, taker_order_id=None, matches=(), buy_back=True),
            FlexibilityBlocked(
                **_AT,
                interval=START,
                order_id=9,
                pairs=(BlockedPair(8, 9, "branch:b0"), BlockedPair(11, 12, "branch:b\u00fc")),
                owners=(OrderOwner(8, "p1", "a"), OrderOwner(9, "dso", "b")),
            ),
        ),
    ),
    (
        c.AdvanceTime(),
        tuple(
            replace(_REFUSED, reason=reason)
            for reason in (
                RefusalReason.NO_FLEXIBILITY,
                RefusalReason.MAY_NOT_REQUEST,
                RefusalReason.UNKNOWN_BUS,
                RefusalReason.TRADING_HALTED,
                RefusalReason.TOO_MANY_ORDERS,
            )
        ),
    ),
)


def pinned_entries() -> list[JournalEntry]:
    """Return the entries, numbered as their lines are; the first ones are of the oldest version."""
    of_events = [(c.AdvanceTime(), (event,)) for event in _EVENTS]
    return list(_numbered([*_COMMANDS, *of_events, *_WORDS, *_SAFEGUARDS, *_FLEXIBILITY]))


def _numbered(
    outcomes: Iterable[tuple[c.Command, tuple[e.Event, ...]]],
) -> Iterable[JournalEntry]:
    for number, (command, events) in enumerate(outcomes, start=1):
        yield JournalEntry(number, command, events)
