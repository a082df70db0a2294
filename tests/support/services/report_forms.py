"""Commands that lead to every kind of message, and the form of each message."""

from __future__ import annotations

from datetime import timedelta
from itertools import zip_longest
from typing import Any

from gateway_market import OPENING, START
from hypothesis import strategies as st
from pydantic import TypeAdapter

from exchange.vocabulary.commands import (
    AmendOrder,
    CancelOrder,
    CloseGate,
    Command,
    HaltTrading,
    LoseSession,
    MassCancel,
    OpenSession,
    RejectMessage,
    ResumeTrading,
    SetKillSwitch,
    SetPriceCollar,
    SetRiskLimits,
    SetSafeguard,
    SubmitJoint,
    SubmitOrder,
    UpdateInterfaceLimits,
)
from exchange.vocabulary.orders import Leg, OrderTerms
from exchange.vocabulary.reasons import CancelReason, OnDisconnect
from exchange.vocabulary.rules import PriceCollar, RiskLimits
from gateway.messages import flexibility, market_data, participant_reports
from gateway.messages.area_state import EnvelopeMessage, SessionMessage
from orderbook.order import UNCONDITIONAL, OrderConditions, Side, TimeInForce
from security_check.model.envelope import Direction
from security_check.model.limits import InterfaceLimits

POINTS = 4
LATER = START + timedelta(minutes=15)

BAND = InterfaceLimits(0.98, 1.04)

FORMS: dict[str, TypeAdapter[Any]] = {
    "envelope": TypeAdapter(EnvelopeMessage),
    "book": TypeAdapter(market_data.BookMessage),
    "trade": TypeAdapter(market_data.TradeMessage),
    "statistics": TypeAdapter(market_data.StatisticsMessage),
    "price": TypeAdapter(market_data.PriceMessage),
    "session": TypeAdapter(SessionMessage),
    "report": TypeAdapter(
        participant_reports.AcceptedReport
        | participant_reports.JointAcceptedReport
        | participant_reports.RefusedReport
        | participant_reports.AmendedReport
        | participant_reports.RefilledReport
        | participant_reports.CancelledReport
        | participant_reports.MassCancelledReport
        | participant_reports.SafeguardReport
        | participant_reports.SessionLostReport
        | participant_reports.ReducedReport
        | participant_reports.TradedReport
        | participant_reports.BlockedReport
        | participant_reports.LimitChangedReport
        | participant_reports.PositionReport
        | participant_reports.StatementReport
        | participant_reports.MeteredReport
        | participant_reports.ReadingMissingReport
        | participant_reports.ReadingReport
        | participant_reports.ReadingsClosedReport
        | participant_reports.LimitsReport
        | participant_reports.ControlReport
        | flexibility.FlexibilityAcceptedReport
        | flexibility.FlexibilityMatchedReport
        | flexibility.FlexibilityBlockedReport
    ),
}

POINT = st.integers(0, POINTS - 1)

CLIENT_ID = st.integers(0, 99).map(lambda number: f"c{number}")

REQUEST_ID = st.integers(0, 99).map(lambda number: f"r{number}") | CLIENT_ID

SESSION = st.sampled_from(["s0", "s1"])

INTERVAL = st.sampled_from([START, START, LATER])

ORDER = st.builds(
    lambda point, client_order_id, **more: SubmitOrder(
        f"p{point}", client_order_id, OrderTerms(connection_point=f"load:{point}", **more)
    ),
    point=POINT,
    client_order_id=CLIENT_ID,
    direction=st.sampled_from(Direction),
    interval=INTERVAL,
    side=st.sampled_from(Side),
    quantity_w=st.integers(1, 50),
    limit_price_ticks=st.integers(1, 4),
    time_in_force=st.sampled_from([TimeInForce.GOOD_TILL_CANCEL, TimeInForce.IMMEDIATE_OR_CANCEL]),
    conditions=st.sampled_from(
        [
            UNCONDITIONAL,
            UNCONDITIONAL,
            OrderConditions(displayed_w=1),
            OrderConditions(all_or_none=True),
            OrderConditions(minimum_w=1),
        ]
    ),
)

JOINT = st.builds(
    lambda point, start, side, quantity_w, price, **more: SubmitJoint(
        f"p{point}",
        legs=tuple(
            Leg(f"load:{point}", direction, interval, side, quantity_w, price)
            for interval, direction in zip((start, LATER), Direction, strict=True)
        ),
        **more,
    ),
    point=POINT,
    start=INTERVAL,
    side=st.sampled_from(Side),
    quantity_w=st.integers(1, 20),
    price=st.integers(1, 4),
    client_order_id=CLIENT_ID,
    all_or_none=st.booleans(),
)

WHO = POINT.map(lambda point: f"p{point}")

OTHER = st.one_of(
    st.builds(CancelOrder, WHO, REQUEST_ID, CLIENT_ID),
    st.builds(AmendOrder, WHO, REQUEST_ID, CLIENT_ID, st.integers(1, 60), st.integers(1, 4)),
    st.builds(MassCancel, WHO, REQUEST_ID, st.none() | INTERVAL),
    st.builds(
        SetSafeguard,
        WHO,
        REQUEST_ID,
        SESSION,
        st.none() | st.just("d1"),
        st.sampled_from(OnDisconnect),
        st.none() | st.just(5),
    ),
    st.builds(
        LoseSession,
        WHO,
        SESSION,
        st.sampled_from([CancelReason.DISCONNECTED, CancelReason.SILENT]),
    ),
    st.builds(
        UpdateInterfaceLimits,
        CLIENT_ID,
        INTERVAL,
        st.sampled_from([BAND, InterfaceLimits(0.98, 1.04, 10)]),
    ),
    st.builds(HaltTrading, CLIENT_ID, st.none() | INTERVAL),
    st.builds(ResumeTrading, CLIENT_ID, st.none() | INTERVAL),
    st.builds(SetKillSwitch, CLIENT_ID, WHO, st.booleans()),
    st.builds(SetPriceCollar, CLIENT_ID, st.just(PriceCollar(2, None))),
    st.builds(SetRiskLimits, CLIENT_ID, WHO, st.just(RiskLimits(max_quantity_w=40))),
    st.builds(RejectMessage, WHO, CLIENT_ID, st.just("malformed"), st.just("a sentence")),
)


# Mostly orders, and gates late, so that there is a market to tell of.
COMMANDS = st.builds(
    lambda orders, others, closed: [
        *(each for pair in zip_longest(orders, others) for each in pair if each is not None),
        *(CloseGate(start) for start in closed),
    ],
    st.lists(ORDER | ORDER | ORDER | JOINT, min_size=10, max_size=40),
    st.lists(OTHER, max_size=12),
    st.lists(INTERVAL, max_size=2),
)

OPENINGS: list[Command] = [
    OPENING,
    OpenSession(LATER, LATER + timedelta(minutes=15), LATER - timedelta(hours=1), BAND),
]
