"""Everything that can happen, refusals and their reasons included.

Events are the only truth: state is what follows from applying them in order
(:mod:`exchange.state.effects`), the journal stores them, reports and statements are made of them.
Each carries its number in the exchange's gap-free sequence and the time it happened.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from exchange.vocabulary.orders import Leg, OrderTerms
from exchange.vocabulary.reasons import AlarmKind, CancelReason, Phase, RefusalReason
from exchange.vocabulary.rules import BuyBack, PriceCollar, RiskLimits
from orderbook.order import SelfTradePrevention, Side
from security_check.model.envelope import Direction, Envelope
from security_check.model.limits import InterfaceLimits


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Something that happened: ``sequence`` counts from 1 without gaps, ``time`` is UTC."""

    sequence: int
    time: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionOpened(Event):
    """An interval opened for trading with these fair and robust envelopes, in a first phase.

    ``tick`` is the price step, in EUR per kW, so that amounts in a journal have a unit; ``None``
    in journals from before it was written.
    """

    start: datetime
    end: datetime
    gate_closes_at: datetime
    interface_limits: InterfaceLimits
    envelopes: tuple[Envelope, ...]
    phase: Phase = Phase.CONTINUOUS
    phase_until: datetime | None = None
    tick: Decimal | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderAccepted(Event):
    """An order is in: it has a number, and its priority is its number.

    The limit price of a market order (``at_market``) is the worst at which anything rested on
    the other side when it came.
    """

    order_id: int
    participant: str
    client_order_id: str
    terms: OrderTerms
    limit_price_ticks: int


@dataclass(frozen=True, slots=True, kw_only=True)
class JointOrderAccepted(Event):
    """A joint order is in.

    Its first leg has the number ``order_id``, the next the one after it, and so on.  Cancelled
    they all are at once, under the number of the first.
    """

    order_id: int
    participant: str
    client_order_id: str
    legs: tuple[Leg, ...]
    all_or_none: bool
    expires_at: datetime | None
    self_trade_prevention: SelfTradePrevention


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused(Event):
    """What was asked was not done; ``detail`` is a sentence with the numbers.

    ``request`` says what kind of command it was: ``"submit"``, ``"cancel"``, ``"amend"``,
    ``"mass_cancel"``, ``"limits"``, ``"control"``, ``"session"``, ``"gate"``, ``"metering"`` or
    ``"message"``; ``participant`` is ``"tso"`` for ``limits``, ``"metering"`` for ``metering`` and
    ``"operator"`` for ``control``, ``session`` and ``gate``.  ``client_order_id`` is the client's
    key for the request (``update_id`` for limits, ``control_id`` for controls, ``reading_id`` for
    metering), if any.  ``content`` is a digest of what was asked where the same
    key, sent again, must get the same answer (``"submit"``, ``"limits"``, ``"control"``), else
    empty.
    """

    participant: str
    client_order_id: str | None
    request: str
    reason: RefusalReason
    detail: str
    content: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderAmended(Event):
    """A resting order was changed; ``order_id`` is new where time priority was lost."""

    participant: str
    client_order_id: str
    previous_order_id: int
    order_id: int
    quantity_w: int
    remaining_w: int
    limit_price_ticks: int


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderRefilled(Event):
    """What an iceberg displayed has traded; it shows its next part, behind all others."""

    participant: str
    client_order_id: str
    previous_order_id: int
    order_id: int
    displayed_w: int
    remaining_w: int


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderCancelled(Event):
    """The rest of an order left the book.

    Of a joint order all legs did; number and watts are those of the first.
    """

    order_id: int
    participant: str
    client_order_id: str
    remaining_w: int
    reason: CancelReason


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderReduced(Event):
    """A resting order shrank because the limit behind it was changed.

    A sell order shrinks when its holding was curtailed, a buy order when its holding was raised
    and the purchase would now go beyond the connection's capacity.
    """

    order_id: int
    participant: str
    client_order_id: str
    reduced_by_w: int
    remaining_w: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Fill:
    """What one order trades in a clearing.

    ``amount`` is what it pays, in tick-watts; negative: it receives.  It is never worse than
    ``limit_price_ticks * quantity_w``, except that the legs of a joint order hold together: over
    all of them it never pays more than their limit prices come to.
    """

    order_id: int
    participant: str
    client_order_id: str
    connection_point: str
    direction: Direction
    interval: datetime
    side: Side
    quantity_w: int
    limit_price_ticks: int
    amount: int

    @property
    def change_w(self) -> int:
        """By how much it changes the limit it trades: a purchase raises it."""
        return self.quantity_w if self.side is Side.BUY else -self.quantity_w

    @property
    def gain(self) -> int:
        """What the trade is worth to the system at the order's limit price, in tick-watts."""
        return self.limit_price_ticks * self.change_w


@dataclass(frozen=True, slots=True, kw_only=True)
class Traded(Event):
    """A clearing: orders trade together, and the AC power flow has confirmed the limits after it.

    One event, because the envelopes between two of its fills might not be secure.

    Parameters
    ----------
    trade_id
        Its number.
    fills
        What each order trades, oldest order first.
    taker_order_id
        The order that set it off and gets what the others' limit prices leave over; ``None``
        in an auction, where everybody at a connection point has the same price.
    rent
        The congestion rent, in tick-watts, >= 0; what is left of the payments is for watts that
        the system operator issues at its reserve price, or negative for those it retires.
    tier
        What proved it optimal (:class:`exchange.clearing.problem.Tier`).
    binding_element, loading
        Which element is nearest its limit afterwards, and how full it is (1.0 is full).
    buy_back
        Whether the operator bought these watts back to relieve the network, which does not carry
        what is held any more: sellers have their limit prices.
    """

    trade_id: int
    fills: tuple[Fill, ...]
    taker_order_id: int | None
    rent: int
    tier: str
    binding_element: str
    loading: float
    buy_back: bool = False

    @property
    def gain(self) -> int:
        """What the buyers' limit prices exceed the sellers' by, in tick-watts."""
        return sum(fill.gain for fill in self.fills)


@dataclass(frozen=True, slots=True, kw_only=True)
class MatchBlocked(Event):
    """An incoming order crosses the book, but the network cannot carry (all of) the match.

    ``blocked_w`` is how much the network refused of what the order crossed, at most the order's
    own quantity; it may have traded with others since.
    """

    order_id: int
    participant: str
    client_order_id: str
    blocked_w: int
    element: str
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class InterfaceLimitsUpdated(Event):
    """The TSO's new contract is in force for an interval."""

    update_id: str
    interval: datetime
    interface_limits: InterfaceLimits


@dataclass(frozen=True, slots=True, kw_only=True)
class PriceCollarSet(Event):
    """Only limit prices inside the collar are taken."""

    control_id: str
    collar: PriceCollar


@dataclass(frozen=True, slots=True, kw_only=True)
class RiskLimitsSet(Event):
    """Orders of a participant, or of all who have no limits of their own, are limited so."""

    control_id: str
    participant: str | None
    limits: RiskLimits


@dataclass(frozen=True, slots=True, kw_only=True)
class KillSwitchSet(Event):
    """No orders of a participant, or of anybody, are taken any more; or again."""

    control_id: str
    participant: str | None
    engaged: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class TradingHalted(Event):
    """Nothing trades in an interval, or in any (``None``), until it is resumed."""

    control_id: str
    interval: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class TradingResumed(Event):
    """A halt of the same extent has ended."""

    control_id: str
    interval: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class BuyBackSet(Event):
    """So much of a limit the operator buys back in an interval before it curtails; 0: nothing."""

    control_id: str
    interval: datetime
    direction: Direction
    wanted: BuyBack


ControlEvent = (
    PriceCollarSet | RiskLimitsSet | KillSwitchSet | TradingHalted | TradingResumed | BuyBackSet
)
"""The operator has set a control; ``control_id`` is the operator's own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PhaseChanged(Event):
    """An interval has entered a phase, which lasts until then or until the gate closes."""

    interval: datetime
    phase: Phase
    until: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class HoldingCurtailed(Event):
    """A limit was lowered because the network's or the TSO's limits fell.

    ``compensation`` is what the DSO pays its holder for it, in tick-watts.
    """

    interval: datetime
    participant: str
    connection_point: str
    direction: Direction
    from_w: int
    to_w: int
    element: str
    compensation: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class HoldingRaised(Event):
    """A limit was raised: new headroom was shared by the fair filling."""

    interval: datetime
    participant: str
    connection_point: str
    direction: Direction
    from_w: int
    to_w: int
    element: str


@dataclass(frozen=True, slots=True, kw_only=True)
class GateClosed(Event):
    """Trading of an interval ended; these envelopes are final.

    Metered power is held against them, by the terms given here, until ``readings_until``; ``None``
    where the interval is not metered.
    """

    interval: datetime
    envelopes: tuple[Envelope, ...]
    readings_until: datetime | None = None
    penalty_price_ticks: int = 0
    tolerance_w: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerRepeated(Event):
    """A request came again under the same client id; this is the answer it got before."""

    participant: str
    client_order_id: str
    answer_sequence: int


@dataclass(frozen=True, slots=True, kw_only=True)
class AlarmRaised(Event):
    """Something failed closed: no envelope was published, or no trade confirmed.

    With ``halts_trading`` nothing trades in the interval until new interface limits are in force.
    """

    kind: AlarmKind
    interval: datetime
    detail: str
    halts_trading: bool = False
