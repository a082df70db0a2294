"""The closed lists of words in events: refusals, cancellations, alarms, phases."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class RefusalReason(StrEnum):
    """Why a request was refused; the list is closed."""

    # The market operator's controls.
    KILL_SWITCH = "kill_switch"
    OUTSIDE_COLLAR = "outside_collar"
    ORDER_TOO_LARGE = "order_too_large"
    EXCEEDS_POSITION = "exceeds_position"
    INSUFFICIENT_CREDIT = "insufficient_credit"
    CONTROL_INVALID = "control_invalid"
    UNKNOWN_PARTICIPANT = "unknown_participant"
    # Faults of a message, found by the gateway.
    MALFORMED = "malformed"
    TOO_LARGE = "too_large"
    TOO_FREQUENT = "too_frequent"
    UNAUTHORISED = "unauthorised"
    # Participant, connection point, interval.
    UNKNOWN_CONNECTION_POINT = "unknown_connection_point"
    NOT_OWNER = "not_owner"
    UNKNOWN_INTERVAL = "unknown_interval"
    INTERVAL_INVALID = "interval_invalid"
    GATE_CLOSED = "gate_closed"
    # The terms of an order.
    QUANTITY_INVALID = "quantity_invalid"
    OFF_LOT = "off_lot"
    PRICE_INVALID = "price_invalid"
    EXPIRY_INVALID = "expiry_invalid"
    CONDITIONS_INVALID = "conditions_invalid"
    TOO_MANY_CONDITIONS = "too_many_conditions"
    WOULD_CROSS = "would_cross"
    EXCEEDS_CAPACITY = "exceeds_capacity"
    EXCEEDS_HOLDING = "exceeds_holding"
    # Flexibility.
    NO_FLEXIBILITY = "no_flexibility"
    MAY_NOT_REQUEST = "may_not_request"
    UNKNOWN_BUS = "unknown_bus"
    TRADING_HALTED = "trading_halted"
    TOO_MANY_ORDERS = "too_many_orders"
    # Readings.
    NOT_METERED = "not_metered"
    DELIVERY_NOT_OVER = "delivery_not_over"
    METERING_CLOSED = "metering_closed"
    READING_INVALID = "reading_invalid"
    # The order that a request names.
    CLIENT_ORDER_ID_REUSED = "client_order_id_reused"
    UNKNOWN_ORDER = "unknown_order"
    ORDER_NOT_OPEN = "order_not_open"
    NOTHING_TO_AMEND = "nothing_to_amend"
    # Safeguards.
    SESSION_LOST = "session_lost"
    TOO_MANY_SAFEGUARDS = "too_many_safeguards"
    # Sessions and the network.
    SESSION_EXISTS = "session_exists"
    INSECURE = "insecure"
    POWER_FLOW_FAILED = "power_flow_failed"


class CancelReason(StrEnum):
    """Why the rest of an order left the book without a trade."""

    REQUESTED = "requested"
    MASS_CANCEL = "mass_cancel"
    IMMEDIATE_OR_CANCEL = "immediate_or_cancel"
    FILL_OR_KILL = "fill_or_kill"
    SELF_TRADE = "self_trade"
    EXPIRED = "expired"
    GATE_CLOSED = "gate_closed"
    CURTAILED = "curtailed"
    PRICE_COLLAR = "price_collar"
    KILL_SWITCH = "kill_switch"
    CLEARING_FAILED = "clearing_failed"
    DISCONNECTED = "disconnected"
    SILENT = "silent"


class OnDisconnect(StrEnum):
    """What becomes of a participant's orders when the connection of a device breaks."""

    CANCEL = "cancel"
    KEEP = "keep"


class AlarmKind(StrEnum):
    """What an alarm is about."""

    POWER_FLOW_FAILED = "power_flow_failed"
    INSECURE = "insecure"
    CLEARING_FAILED = "clearing_failed"


class Phase(StrEnum):
    """How an open interval treats orders (:mod:`exchange.handlers.session_phases`)."""

    CALL = "call"
    AUCTION = "auction"
    CONTINUOUS = "continuous"


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a request is refused: a reason of the closed list, and a sentence with the numbers."""

    reason: RefusalReason
    detail: str
