"""Reports to one participant, to the TSO, to the market operator or to the meter operator.

Prices and amounts are exact decimal strings in EUR (per kW of limit for the interval), power is
whole watts, times end in ``Z``.  The ``sequence`` of reports is gap-free for each receiver: a
missing number is a lost message, a repeated one can be dropped.  ``event`` is the number of the
event that a report is about.  A report that answers a request has its kind in ``request`` and the
sender's id of it in ``request_id``, under whatever key the request had it; with ``repeated`` the
same request had that answer before.
"""

from __future__ import annotations

from typing import Literal

from exchange.vocabulary.reasons import CancelReason, OnDisconnect, RefusalReason
from gateway.formats.records import Time
from gateway.messages.outgoing import OutgoingMessage
from orderbook.order import SelfTradePrevention, Side, TimeInForce
from security_check.model.envelope import Direction


class Report(OutgoingMessage):
    """A report to one receiver, about its own orders, limits and requests only."""

    sequence: int
    event: int
    time: Time


class AcceptedReport(Report):
    """An order was accepted.

    The ``price`` of a market order is that of the last order it could meet in the book.
    """

    type: Literal["accepted"] = "accepted"
    request: Literal["submit"] = "submit"
    request_id: str
    client_order_id: str
    order_id: int
    connection_point: str
    direction: Direction
    interval: Time
    side: Side
    quantity_w: int
    order_type: Literal["limit", "market"]
    price: str
    time_in_force: TimeInForce
    expires_at: Time | None
    post_only: bool
    all_or_none: bool
    minimum_quantity_w: int | None
    displayed_quantity_w: int | None
    self_trade_prevention: SelfTradePrevention
    repeated: bool = False


class JointLeg(OutgoingMessage):
    """One leg of a joint order, with an ``order_id`` of its own."""

    order_id: int
    connection_point: str
    direction: Direction
    interval: Time
    side: Side
    quantity_w: int
    price: str


class JointAcceptedReport(Report):
    """A block or a linked pair was accepted; its ``order_id`` is that of its first leg."""

    type: Literal["joint_accepted"] = "joint_accepted"
    request: Literal["submit"] = "submit"
    request_id: str
    client_order_id: str
    order_id: int
    legs: tuple[JointLeg, ...]
    all_or_none: bool
    expires_at: Time | None
    self_trade_prevention: SelfTradePrevention
    repeated: bool = False


class RefusedReport(Report):
    """A request was refused, and why; ``client_order_id`` is the order that it names, if any."""

    type: Literal["refused"] = "refused"
    request: str
    request_id: str | None
    client_order_id: str | None
    reason: RefusalReason
    detail: str
    repeated: bool = False


class AmendedReport(Report):
    """An order was changed; a new ``order_id`` means that it lost its time priority."""

    type: Literal["amended"] = "amended"
    request: Literal["amend"] = "amend"
    request_id: str
    client_order_id: str
    order_id: int
    quantity_w: int
    remaining_w: int
    price: str
    repeated: bool = False


class RefilledReport(Report):
    """An iceberg shows its next part, under a new ``order_id``: it lost its time priority."""

    type: Literal["refilled"] = "refilled"
    client_order_id: str
    order_id: int
    displayed_quantity_w: int
    remaining_w: int


class CancelledReport(Report):
    """The rest of an order was cancelled.

    ``request`` and ``request_id`` are ``null`` where that answers no cancel and no amendment.
    """

    type: Literal["cancelled"] = "cancelled"
    request: Literal["cancel", "amend"] | None
    request_id: str | None
    client_order_id: str
    order_id: int
    remaining_w: int
    reason: CancelReason
    repeated: bool = False


class MassCancelledReport(Report):
    """A mass cancel is done; each of its ``orders`` has a report of its own before this one."""

    type: Literal["mass_cancelled"] = "mass_cancelled"
    request: Literal["mass_cancel"] = "mass_cancel"
    request_id: str
    orders: int
    repeated: bool = False


class SafeguardReport(Report):
    """The safeguard of a session is in force; with ``keep`` and without ``silent_s`` it has ended.

    It takes the place of any other safeguard of the same device.
    """

    type: Literal["safeguard"] = "safeguard"
    request: Literal["safeguard"] = "safeguard"
    request_id: str
    session: str
    device: str | None
    on_disconnect: OnDisconnect
    silent_s: int | None
    repeated: bool = False


class SessionLostReport(Report):
    """A guarded session is lost, and its safeguard has ended.

    Each of the ``orders`` that this cancelled has a report of its own before this one.
    """

    type: Literal["session_lost"] = "session_lost"
    session: str
    reason: CancelReason
    orders: int


class ReducedReport(Report):
    """An order was reduced because the limit behind it was lowered."""

    type: Literal["reduced"] = "reduced"
    client_order_id: str
    order_id: int
    reduced_by_w: int
    remaining_w: int


class TradedReport(Report):
    """The fill of one order in a clearing; ``amount`` is positive where the participant pays.

    ``price`` is the average, ``amount / quantity_w``.
    """

    type: Literal["traded"] = "traded"
    trade_id: int
    client_order_id: str
    order_id: int
    side: Side
    connection_point: str
    direction: Direction
    interval: Time
    quantity_w: int
    price: str
    amount: str
    binding_element: str


class BlockedReport(Report):
    """An order crosses the book, but the network cannot carry (all of) the match."""

    type: Literal["blocked"] = "blocked"
    client_order_id: str
    order_id: int
    blocked_w: int
    element: str


class LimitChangedReport(Report):
    """A limit was lowered (``curtailed``) or raised without a trade, because of ``element``.

    ``compensation`` is what its holder receives, in EUR.
    """

    type: Literal["curtailed", "raised"]
    connection_point: str
    direction: Direction
    interval: Time
    from_w: int
    to_w: int
    element: str
    compensation: str


class PositionReport(Report):
    """The limits that a participant holds at one connection point in one interval."""

    type: Literal["position"] = "position"
    connection_point: str
    interval: Time
    injection_limit_w: int
    withdrawal_limit_w: int


class StatementReport(Report):
    """What one interval brought since the last statement of it, in EUR.

    ``balance = received - paid + compensation - penalties + flexibility``.  ``account`` is the
    participant's own name, or to the operator that of one of the DSO's accounts.
    """

    type: Literal["statement"] = "statement"
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


class MeteredReport(Report):
    """A reading was compared with the final envelope.

    ``breach_w`` is the power beyond limit and tolerance, 0 where the envelope was kept;
    ``penalty`` is in EUR.  A correction books back ``reversed_penalty``.
    """

    type: Literal["metered"] = "metered"
    connection_point: str
    interval: Time
    injection_w: int
    withdrawal_w: int
    injection_limit_w: int
    withdrawal_limit_w: int
    tolerance_w: int
    breach_w: int
    penalty: str
    corrects: bool
    reversed_penalty: str


class ReadingMissingReport(Report):
    """No reading of these connection points arrived within the window for readings."""

    type: Literal["reading_missing"] = "reading_missing"
    interval: Time
    connection_points: tuple[str, ...]


class ReadingReport(Report):
    """To the meter operator: a reading is in force; ``replaces`` is its predecessor."""

    type: Literal["reading"] = "reading"
    request: Literal["metering"] = "metering"
    request_id: str
    reading_id: str
    connection_point: str
    interval: Time
    breach_w: int
    replaces: str | None
    repeated: bool = False


class ReadingsClosedReport(Report):
    """To the meter operator: the window for readings is over; ``missing`` connection points."""

    type: Literal["readings_closed"] = "readings_closed"
    interval: Time
    missing: tuple[str, ...]


class LimitsReport(Report):
    """To the TSO: its new contract is in force."""

    type: Literal["limits_updated"] = "limits_updated"
    request: Literal["limits"] = "limits"
    request_id: str
    update_id: str
    interval: Time
    voltage_min_pu: float
    voltage_max_pu: float
    injection_limit_w: int | None
    withdrawal_limit_w: int | None
    unbalance_pu: float | None
    reactive_min_var: int | None
    reactive_max_var: int | None
    repeated: bool = False


class ControlReport(Report):
    """To the market operator: a control is in force.

    ``participant`` is ``"*"`` where the control is for all of them, ``null`` where it is about
    none; ``interval`` is ``null`` where the control is for all, or about none.
    """

    type: Literal["control_set"] = "control_set"
    request: Literal["control"] = "control"
    request_id: str
    control_id: str
    control: Literal["price_collar", "risk_limits", "kill_switch", "halt", "resume", "buy_back"]
    participant: str | None
    interval: Time | None
    repeated: bool = False
