"""Everything that can be asked of the exchange.

A command is a request; what comes of it is a list of events (:mod:`exchange.vocabulary.events`).
Quantities are integer watts, prices integer ticks (EUR per kW of limit for the interval,
in units of ``MarketRules.tick``), times UTC-aware datetimes.  An interval is named by its start.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from exchange.vocabulary.orders import Leg, OrderTerms
from exchange.vocabulary.rules import BuyBack, PriceCollar, RiskLimits
from orderbook.order import SelfTradePrevention, Side
from security_check.model.envelope import Direction
from security_check.model.limits import InterfaceLimits


@dataclass(frozen=True, slots=True)
class OpenSession:
    """Allocate the interval ``[start, end)`` and open it for trading until ``gate_closes_at``."""

    start: datetime
    end: datetime
    gate_closes_at: datetime
    interface_limits: InterfaceLimits


@dataclass(frozen=True, slots=True)
class SubmitOrder:
    """Place an order for ``quantity_w`` of one limit of one connection point.

    ``client_order_id`` is the participant's own; sending it twice has the effect of once.
    Without a limit price it is a market order: it takes what rests and never rests itself, so
    its time in force is immediate or cancel, or fill or kill.  ``expires_at`` belongs to
    good-till-date orders only.
    """

    participant: str
    client_order_id: str
    terms: OrderTerms


@dataclass(frozen=True, slots=True)
class SubmitJoint:
    """Place several legs that trade together: a block, or a linked pair.

    With ``all_or_none`` all legs trade in full in one clearing, or nothing does; otherwise the
    same quantity of each trades, so their quantities are equal.  Legs are in different books.
    Their limit prices hold together: over all legs it never pays more than they come to.
    """

    participant: str
    client_order_id: str
    legs: tuple[Leg, ...]
    all_or_none: bool = True
    expires_at: datetime | None = None
    self_trade_prevention: SelfTradePrevention = SelfTradePrevention.CANCEL_NEWEST


@dataclass(frozen=True, slots=True)
class CancelOrder:
    """Take the rest of one's own order out of the book."""

    participant: str
    client_order_id: str


@dataclass(frozen=True, slots=True)
class AmendOrder:
    """Change price, total quantity, or both (``None`` leaves it) of one's own resting order.

    ``quantity_w`` is the order's new *total*, executed part included.  Lowering only the
    quantity keeps time priority; every other change loses it.
    """

    participant: str
    client_order_id: str
    quantity_w: int | None = None
    limit_price_ticks: int | None = None


@dataclass(frozen=True, slots=True)
class MassCancel:
    """Cancel all of one's own orders, or those that match all that is given."""

    participant: str
    interval: datetime | None = None
    connection_point: str | None = None
    direction: Direction | None = None
    side: Side | None = None


@dataclass(frozen=True, slots=True)
class UpdateInterfaceLimits:
    """The TSO's new contract for one open interval.

    ``update_id`` is the TSO's own and works like a client order id: sending it twice has the
    effect of once.
    """

    update_id: str
    interval: datetime
    interface_limits: InterfaceLimits


@dataclass(frozen=True, slots=True)
class SetPriceCollar:
    """Allow only limit prices inside a collar; open orders outside are cancelled.

    Here and in the other controls, ``control_id`` is the operator's own and works like a client
    order id: sending it twice has the effect of once.
    """

    control_id: str
    collar: PriceCollar


@dataclass(frozen=True, slots=True)
class SetRiskLimits:
    """Set what a participant may do at most, or everybody who has no limits of its own.

    They bind orders that come from now on.
    """

    control_id: str
    participant: str | None
    limits: RiskLimits


@dataclass(frozen=True, slots=True)
class SetKillSwitch:
    """Cancel all orders of a participant, or of everybody, and take no more; or release."""

    control_id: str
    participant: str | None
    engaged: bool


@dataclass(frozen=True, slots=True)
class HaltTrading:
    """Let nothing trade in an interval, or in any; orders may come, rest and go meanwhile."""

    control_id: str
    interval: datetime | None = None


@dataclass(frozen=True, slots=True)
class ResumeTrading:
    """End a halt of the same extent; what rests crossed then trades at once.

    Neither the halt of a single interval nor that of insecure limits ends with the market-wide
    one.
    """

    control_id: str
    interval: datetime | None = None


@dataclass(frozen=True, slots=True)
class SetBuyBack:
    """Buy back resting sell orders of an interval and direction before anybody is curtailed.

    It stands until the gate, or until another takes its place; a quantity of 0 takes it away.
    """

    control_id: str
    interval: datetime
    direction: Direction
    wanted: BuyBack


@dataclass(frozen=True, slots=True)
class AdvanceTime:
    """Let the clock act: expire good-till-date orders, close the gates that are due."""


@dataclass(frozen=True, slots=True)
class CloseGate:
    """Close one interval now: freeze it, publish final envelopes, settle."""

    interval: datetime


@dataclass(frozen=True, slots=True)
class SubmitReading:
    """Report the mean power that was metered at a connection point over a delivered interval.

    At most one of the two is above zero: the mean of an interval has one direction.
    ``reading_id`` is the meter operator's own and unique among its readings: sending one twice
    has the effect of once.  Another reading of the same point and interval replaces the one
    before it.
    """

    reading_id: str
    interval: datetime
    connection_point: str
    injection_w: int
    withdrawal_w: int


@dataclass(frozen=True, slots=True)
class RejectMessage:
    """Put on record that a message could not become a command.

    The gateway sends it for messages that are malformed, oversized or unauthorised, so that
    their sender's report has its place in the gap-free sequence like any other.
    """

    participant: str
    client_order_id: str | None
    reason: str
    detail: str


ControlCommand = (
    SetPriceCollar | SetRiskLimits | SetKillSwitch | HaltTrading | ResumeTrading | SetBuyBack
)
"""What the operator may ask."""

Command = (
    OpenSession
    | SubmitOrder
    | SubmitJoint
    | CancelOrder
    | AmendOrder
    | MassCancel
    | UpdateInterfaceLimits
    | SetPriceCollar
    | SetRiskLimits
    | SetKillSwitch
    | HaltTrading
    | ResumeTrading
    | SetBuyBack
    | AdvanceTime
    | CloseGate
    | SubmitReading
    | RejectMessage
)
