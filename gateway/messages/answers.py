"""Answers to queries, in pages: a list of entries, and what the whole of it is about.

An answer is from the state after ``event``, the newest event that it includes; reports to its
receiver up to ``report_sequence`` are included, too.  Where there is another page, ``next`` says
where it begins.
"""

from __future__ import annotations

from typing import Any, Literal

from exchange.vocabulary.reasons import CancelReason, RefusalReason
from gateway.formats.records import Time
from gateway.messages.area_state import Alarm, SessionInterval
from gateway.messages.flexibility import OpenFlexibility
from gateway.messages.market_data import BookLevel
from gateway.messages.outgoing import OutgoingMessage
from gateway.messages.participant_reports import JointLeg
from orderbook.order import SelfTradePrevention, Side, TimeInForce
from security_check.model.envelope import Direction


class Answer(OutgoingMessage):
    """One page of an answer."""

    query_id: str
    event: int
    time: Time
    report_sequence: int
    next: str | None = None


class OpenOrder(OutgoingMessage):
    """An open order; the keys are those of the report of its acceptance.

    ``shown_w`` is what is displayed of it now.
    """

    type: Literal["accepted"] = "accepted"
    client_order_id: str
    order_id: int
    connection_point: str
    direction: Direction
    interval: Time
    side: Side
    quantity_w: int
    remaining_w: int
    shown_w: int
    price: str
    time_in_force: TimeInForce
    expires_at: Time | None
    post_only: bool
    all_or_none: bool
    minimum_quantity_w: int | None
    displayed_quantity_w: int | None
    self_trade_prevention: SelfTradePrevention


class OpenLeg(JointLeg):
    """One leg of an open joint order."""

    remaining_w: int


class OpenJointOrder(OutgoingMessage):
    """An open block or linked pair; its ``order_id`` is that of its first leg."""

    type: Literal["joint_accepted"] = "joint_accepted"
    client_order_id: str
    order_id: int
    legs: tuple[OpenLeg, ...]
    all_or_none: bool
    expires_at: Time | None
    self_trade_prevention: SelfTradePrevention


class OrdersAnswer(Answer):
    """Open orders of the receiver, oldest first."""

    about: Literal["orders"] = "orders"
    entries: tuple[OpenOrder | OpenJointOrder | OpenFlexibility, ...]


class HeldPosition(OutgoingMessage):
    """The limits of one connection point in one open interval, in watts.

    For each direction: the limit in force, capacity and fallback, and what open orders offer and
    want of it.
    """

    connection_point: str
    interval: Time
    end: Time
    gate_closes_at: Time
    injection_limit_w: int
    injection_capacity_w: int
    injection_fallback_w: int
    injection_offered_w: int
    injection_wanted_w: int
    withdrawal_limit_w: int
    withdrawal_capacity_w: int
    withdrawal_fallback_w: int
    withdrawal_offered_w: int
    withdrawal_wanted_w: int


class PositionsAnswer(Answer):
    """Positions of the receiver, by interval and connection point."""

    about: Literal["positions"] = "positions"
    entries: tuple[HeldPosition, ...]


class ReportsAnswer(Answer):
    """Reports to the receiver as they were published; ``oldest`` is the oldest that is kept."""

    about: Literal["reports"] = "reports"
    oldest: int
    entries: tuple[dict[str, Any], ...]


class RequestOutcome(OutgoingMessage):
    """The outcome of one request.

    ``outcome`` is the ``type`` of the report that answered it, or ``"unknown"``; ``event`` is its
    event, ``reason`` and ``detail`` why it was refused.  ``order_id`` is the number of its order
    while that is open, ``ended`` why its order was cancelled.
    """

    request_id: str
    outcome: str
    event: int | None
    reason: RefusalReason | None
    detail: str | None
    order_id: int | None
    ended: CancelReason | None


class RequestsAnswer(Answer):
    """Outcomes of requests, in the order in which the query names them."""

    about: Literal["requests"] = "requests"
    entries: tuple[RequestOutcome, ...]


class AccountBalance(OutgoingMessage):
    """The balance of an account in EUR: over its statements, and with what has none yet."""

    account: str
    settled: str
    balance: str


class UnsettledBookings(OutgoingMessage):
    """Bookings of an interval for which there is no statement yet, in EUR.

    ``balance = received - paid + compensation - penalties + flexibility``.
    """

    account: str
    interval: Time
    bought_w: int
    sold_w: int
    paid: str
    received: str
    compensation: str
    penalties: str
    flexibility: str
    balance: str


class StatementAnswer(Answer):
    """The account of the receiver so far; the operator's are those of the DSO."""

    about: Literal["statement"] = "statement"
    accounts: tuple[AccountBalance, ...]
    entries: tuple[UnsettledBookings, ...]


class BookAnswer(Answer):
    """The depth of a book, as its topic has it; deltas up to ``sequence`` are included."""

    about: Literal["book"] = "book"
    direction: Direction
    interval: Time
    sequence: int
    entries: tuple[BookLevel, ...]


class SessionAnswer(Answer):
    """The state of the market, as its topic has it."""

    about: Literal["session"] = "session"
    status: Literal["online"]
    last_alarm: Alarm | None
    min_price: str | None
    max_price: str | None
    entries: tuple[SessionInterval, ...]


class LimitsInForce(OutgoingMessage):
    """The contract of the TSO for one open interval; ``halted`` where it does not trade."""

    interval: Time
    voltage_min_pu: float
    voltage_max_pu: float
    injection_limit_w: int | None
    withdrawal_limit_w: int | None
    unbalance_pu: float | None
    reactive_min_var: int | None
    reactive_max_var: int | None
    halted: bool


class LimitsAnswer(Answer):
    """The limits of the TSO in force."""

    about: Literal["limits"] = "limits"
    entries: tuple[LimitsInForce, ...]


class CollarInForce(OutgoingMessage):
    """The price collar."""

    type: Literal["price_collar"] = "price_collar"
    min_price: str | None
    max_price: str | None


class RiskLimitsInForce(OutgoingMessage):
    """Risk limits of a participant, or (``"*"``) of all without limits of their own."""

    type: Literal["risk_limits"] = "risk_limits"
    participant: str
    max_quantity_w: int | None
    orders_per_minute: int | None
    position_w: int | None
    credit: str | None


class KillSwitchEngaged(OutgoingMessage):
    """A kill switch of a participant, or (``"*"``) of all."""

    type: Literal["kill_switch"] = "kill_switch"
    participant: str


class HaltInForce(OutgoingMessage):
    """A halt of the operator, in one interval or in all (``null``)."""

    type: Literal["halt"] = "halt"
    interval: Time | None


class BuyBackInForce(OutgoingMessage):
    """What is still bought back in an interval, and the highest price."""

    type: Literal["buy_back"] = "buy_back"
    interval: Time
    direction: Direction
    quantity_w: int
    price: str


class ControlsAnswer(Answer):
    """The controls in force."""

    about: Literal["controls"] = "controls"
    entries: tuple[
        CollarInForce | RiskLimitsInForce | KillSwitchEngaged | HaltInForce | BuyBackInForce, ...
    ]


class RefusedAnswer(OutgoingMessage):
    """A query was refused; ``query_id`` is ``null`` where it had no readable one."""

    query_id: str | None
    about: None = None
    refused: RefusalReason
    detail: str
