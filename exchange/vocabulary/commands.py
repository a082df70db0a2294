"""The commands of the exchange: every request it takes.

The answer to a command is a list of events (:mod:`exchange.vocabulary.events`).  A request of a
participant, the TSO, the market operator or the meter operator has an id that its sender has
chosen, unique among all requests of that sender (:func:`identity_of`): sent twice, it has the
effect of once, and the same answer.

Quantities are integer watts, prices integer ticks (EUR per kW of limit for the interval, in units
of ``MarketRules.tick``), times UTC-aware datetimes.  An interval is named by its start.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from exchange.vocabulary.flexibility import FlexibilityTerms
from exchange.vocabulary.orders import Leg, OrderTerms
from exchange.vocabulary.reasons import CancelReason, OnDisconnect
from exchange.vocabulary.rules import METERING, OPERATOR, TSO, BuyBack, PriceCollar, RiskLimits
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
    """Place an order; ``client_order_id`` is the id of the request, and later names the order."""

    participant: str
    client_order_id: str
    terms: OrderTerms


@dataclass(frozen=True, slots=True)
class SubmitJoint:
    """Place several legs that trade together: a block, or a linked pair.

    With ``all_or_none`` all legs trade in full in one clearing, or none does; otherwise the same
    quantity of each leg trades, so their quantities are equal.  Legs are in different books.
    Their limit prices hold in sum: over all legs the order never pays more than the legs' limit
    prices times their quantities.
    """

    participant: str
    client_order_id: str
    legs: tuple[Leg, ...]
    all_or_none: bool = True
    expires_at: datetime | None = None
    self_trade_prevention: SelfTradePrevention = SelfTradePrevention.CANCEL_NEWEST


@dataclass(frozen=True, slots=True)
class SubmitFlexibility:
    """Offer or request flexibility; ``client_order_id`` is as of :class:`SubmitOrder`."""

    participant: str
    client_order_id: str
    terms: FlexibilityTerms


@dataclass(frozen=True, slots=True)
class CancelOrder:
    """Take the rest of an order of the participant out of the book."""

    participant: str
    request_id: str
    client_order_id: str


@dataclass(frozen=True, slots=True)
class AmendOrder:
    """Change the price or the total quantity of a resting order; ``None`` leaves a value as it is.

    ``quantity_w`` is the order's new *total*, with the part that has traded.  Lowering only the
    quantity keeps time priority; every other change loses it.
    """

    participant: str
    request_id: str
    client_order_id: str
    quantity_w: int | None = None
    limit_price_ticks: int | None = None


@dataclass(frozen=True, slots=True)
class MassCancel:
    """Cancel all orders of the participant, or those that match every given value."""

    participant: str
    request_id: str
    interval: datetime | None = None
    connection_point: str | None = None
    direction: Direction | None = None
    side: Side | None = None


@dataclass(frozen=True, slots=True)
class SetSafeguard:
    """Have all orders of the participant cancelled when the session of one of its devices is lost.

    A session is one connection of a device to the broker, under a name that the device has chosen
    for it.  It is lost when the connection breaks (``on_disconnect``), or when the device is silent
    for ``silent_s`` seconds.  A device has one safeguard: another one of the same ``device``, or of
    the same session, takes its place.  With ``KEEP`` and without ``silent_s`` it ends.
    """

    participant: str
    request_id: str
    session: str
    device: str | None
    on_disconnect: OnDisconnect
    silent_s: int | None


@dataclass(frozen=True, slots=True)
class LoseSession:
    """Cancel all orders of the participant, because a session of it is lost.

    ``reason`` is ``DISCONNECTED`` or ``SILENT``.  Nothing happens unless a safeguard of this very
    session is in force that is set for this reason: the broker may say late, or twice, that a
    connection broke.
    """

    participant: str
    session: str
    reason: CancelReason


@dataclass(frozen=True, slots=True)
class UpdateInterfaceLimits:
    """Put the TSO's new interface limits for one open interval into force."""

    update_id: str
    interval: datetime
    interface_limits: InterfaceLimits


@dataclass(frozen=True, slots=True)
class SetPriceCollar:
    """Allow only limit prices inside a collar; open orders outside are cancelled."""

    control_id: str
    collar: PriceCollar


@dataclass(frozen=True, slots=True)
class SetRiskLimits:
    """Set the risk limits of a participant, or (``None``) of all that have no limits of their own.

    They bind orders that come from now on.
    """

    control_id: str
    participant: str | None
    limits: RiskLimits


@dataclass(frozen=True, slots=True)
class SetKillSwitch:
    """Cancel all orders of one or (``None``) all participants and refuse new ones; or release."""

    control_id: str
    participant: str | None
    engaged: bool


@dataclass(frozen=True, slots=True)
class HaltTrading:
    """Halt trading in one or (``None``) all intervals; orders may come, rest and go meanwhile."""

    control_id: str
    interval: datetime | None = None


@dataclass(frozen=True, slots=True)
class ResumeTrading:
    """End a halt of the same extent; orders that rest crossed then trade at once.

    The end of a market-wide halt ends neither the halt of a single interval nor that of insecure
    limits.
    """

    control_id: str
    interval: datetime | None = None


@dataclass(frozen=True, slots=True)
class SetBuyBack:
    """Buy back resting sell orders of an interval and direction before any limit is curtailed.

    It is in force until the gate or until another replaces it; a quantity of 0 ends it.
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
    """Submit the mean power that was metered at a connection point over a delivered interval.

    At most one of the two is above zero: the mean of an interval has one direction.  Another
    reading of the same connection point and interval replaces the earlier one.
    """

    reading_id: str
    interval: datetime
    connection_point: str
    injection_w: int
    withdrawal_w: int


@dataclass(frozen=True, slots=True)
class RejectMessage:
    """Put on record that a message could not become a command.

    The gateway sends it for messages that are malformed, oversized or unauthorised, so that the
    sender's answer is an event in the gap-free sequence like any other.  The id is still free for
    the message as it should have been, but where ``uses_id``: the same message might be read at
    another time, and must not have an effect when it is delivered again.
    """

    participant: str
    request_id: str | None
    reason: str
    detail: str
    uses_id: bool = False


@dataclass(frozen=True, slots=True)
class AcceptLoss:
    """Go on although the end of the journal is lost.

    ``ends_at`` is the journal's last entry that is left, ``written`` the last that is known to have
    been written; where it is not larger, the journal went another way before.
    """

    ends_at: int
    written: int


ControlCommand = (
    SetPriceCollar | SetRiskLimits | SetKillSwitch | HaltTrading | ResumeTrading | SetBuyBack
)
"""The commands of the market operator."""

Command = (
    OpenSession
    | SubmitOrder
    | SubmitJoint
    | SubmitFlexibility
    | CancelOrder
    | AmendOrder
    | MassCancel
    | SetSafeguard
    | LoseSession
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
    | AcceptLoss
)


@dataclass(frozen=True, slots=True)
class RequestIdentity:
    """Who asks, under which id, and for what.

    Parameters
    ----------
    sender
        The participant, ``"tso"``, ``"metering"``, or ``"operator"``, which stands for the service
        itself, too.
    request_id
        The sender's own id of the request; ``None`` for commands of the service, and for messages
        without a readable id.
    kind
        The kind of the request, as answers name it.
    client_order_id
        The order that the request places or names, if it is about one.
    interval
        The interval that the order or the limits are for, if it is one.
    """

    sender: str
    request_id: str | None
    kind: str
    client_order_id: str | None = None
    interval: datetime | None = None


def identity_of(command: Command) -> RequestIdentity:
    """Return who sent a command, under which id, and what kind of request it is."""
    match command:
        case SubmitOrder() | SubmitJoint() | SubmitFlexibility():
            key = command.client_order_id
            return RequestIdentity(command.participant, key, "submit", key, _interval_of(command))
        case CancelOrder() | AmendOrder():
            kind = "cancel" if isinstance(command, CancelOrder) else "amend"
            sender, order = command.participant, command.client_order_id
            return RequestIdentity(sender, command.request_id, kind, order)
        case MassCancel():
            return RequestIdentity(command.participant, command.request_id, "mass_cancel")
        case SetSafeguard():
            return RequestIdentity(command.participant, command.request_id, "safeguard")
        case LoseSession():
            return RequestIdentity(command.participant, None, "session")
        case RejectMessage():
            return RequestIdentity(command.participant, command.request_id, "message")
        case UpdateInterfaceLimits():
            return RequestIdentity(TSO, command.update_id, "limits", None, command.interval)
        case SubmitReading():
            return RequestIdentity(METERING, command.reading_id, "metering")
        case OpenSession() | AdvanceTime():
            return RequestIdentity(OPERATOR, None, "session")
        case CloseGate():
            return RequestIdentity(OPERATOR, None, "gate")
        case AcceptLoss():
            return RequestIdentity(OPERATOR, None, "loss")
        case _:
            return RequestIdentity(OPERATOR, command.control_id, "control")


def _interval_of(command: SubmitOrder | SubmitJoint | SubmitFlexibility) -> datetime | None:
    if not isinstance(command, SubmitJoint):
        return command.terms.interval
    intervals = {leg.interval for leg in command.legs}
    return intervals.pop() if len(intervals) == 1 else None
