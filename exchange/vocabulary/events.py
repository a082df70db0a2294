"""The events of the exchange: everything that can happen, refusals included.

The state follows from the events, applied in order (:mod:`exchange.state.effects`); the journal
stores them; reports and statements are made from them.  Each has its number in the exchange's
gap-free sequence and its time.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from exchange.vocabulary.orders import AnsweredRequest, Leg, OrderTerms
from exchange.vocabulary.reasons import AlarmKind, CancelReason, Phase, RefusalReason
from exchange.vocabulary.rules import BuyBack, PriceCollar, RiskLimits
from orderbook.order import SelfTradePrevention, Side
from security_check.model.envelope import Direction, Envelope
from security_check.model.limits import InterfaceLimits


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Something that happened: numbered from 1, with gaps before :class:`LossAccepted` only."""

    sequence: int
    time: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionOpened(Event):
    """An interval opened for trading with these fair and robust envelopes, in a first phase.

    ``tick`` is the price step, in EUR per kW, so that amounts in a journal have a unit.
    """

    start: datetime
    end: datetime
    gate_closes_at: datetime
    interface_limits: InterfaceLimits
    envelopes: tuple[Envelope, ...]
    phase: Phase
    phase_until: datetime
    tick: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderAccepted(Event):
    """An order was accepted under a number, which is its time priority.

    ``limit_price_ticks`` is the limit price of its terms; for a market order it is the worst price
    at which an order rested on the other side when it came.
    """

    order_id: int
    participant: str
    client_order_id: str
    terms: OrderTerms
    limit_price_ticks: int


@dataclass(frozen=True, slots=True, kw_only=True)
class JointOrderAccepted(Event):
    """A joint order was accepted.

    Its first leg has the number ``order_id``, and the other legs have the numbers that follow.
    All legs are cancelled together, under the number of the first.
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
    """A request was refused; ``detail`` is a sentence with the numbers.

    ``participant`` is its sender, ``request_id`` the sender's id of it, if any, ``request`` its
    kind (:func:`exchange.vocabulary.commands.identity_of`), and ``client_order_id`` and
    ``interval`` what it is about.  ``content`` is a digest of the request where the same id, sent
    again, must get the same answer, else empty.
    """

    participant: str
    request_id: str | None
    request: str
    reason: RefusalReason
    detail: str
    client_order_id: str | None = None
    interval: datetime | None = None
    content: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderAmended(Event):
    """A resting order was changed; ``order_id`` is new where time priority was lost."""

    answers: AnsweredRequest
    participant: str
    client_order_id: str
    previous_order_id: int
    order_id: int
    quantity_w: int
    remaining_w: int
    limit_price_ticks: int


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderRefilled(Event):
    """An iceberg shows its next part, behind all others, because its shown part has traded."""

    participant: str
    client_order_id: str
    previous_order_id: int
    order_id: int
    displayed_w: int
    remaining_w: int


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderCancelled(Event):
    """The rest of an order left the book.

    Of a joint order all legs left; number and watts are those of the first.  ``answers`` is the
    cancel that asked for it, or the amendment that left nothing; ``None`` for all other reasons.
    """

    order_id: int
    participant: str
    client_order_id: str
    remaining_w: int
    reason: CancelReason
    answers: AnsweredRequest | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class MassCancelled(Event):
    """A mass cancel is done: the ``orders`` orders cancelled just before, a joint one once."""

    answers: AnsweredRequest
    participant: str
    orders: int


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
    """The trade of one order in a clearing.

    ``amount`` is paid by the order, in tick-watts; where it is negative, the order receives money.
    It is never worse than ``limit_price_ticks * quantity_w``; of a joint order this holds for the
    sum over its legs.
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
        """The change of the limit that it trades, in watts: a purchase raises it."""
        return self.quantity_w if self.side is Side.BUY else -self.quantity_w

    @property
    def gain(self) -> int:
        """The welfare of the trade at the order's limit price, in tick-watts."""
        return self.limit_price_ticks * self.change_w


@dataclass(frozen=True, slots=True, kw_only=True)
class Traded(Event):
    """Orders traded together in a clearing, and the AC power flow has confirmed the new limits.

    It is one event, because the envelopes between two of its fills might not be secure.

    Parameters
    ----------
    trade_id
        Its number.
    fills
        The trade of each order, oldest order first.
    taker_order_id
        The incoming order, which gets the surplus over the other orders' limit prices; ``None``
        in an auction, where all orders at a connection point have the same price.
    rent
        The congestion rent, in tick-watts, >= 0.  The rest of the payments is for watts that the
        DSO issues at its reserve price, or negative for watts that it retires.
    tier
        The step that proved the clearing optimal (:class:`exchange.clearing.problem.Tier`).
    binding_element, loading
        The element nearest its limit afterwards, and its loading (1.0 is full).
    buy_back
        Whether the DSO bought these watts back, at the sellers' limit prices, because the network
        no longer carries the limits held.
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
        """The welfare of the clearing: buyers' less sellers' limit prices, in tick-watts."""
        return sum(fill.gain for fill in self.fills)


@dataclass(frozen=True, slots=True, kw_only=True)
class MatchBlocked(Event):
    """An incoming order crosses the book, but the network cannot carry (all of) the match.

    ``blocked_w`` is the crossing quantity that the network refused, at most what is left of the
    order.
    """

    order_id: int
    participant: str
    client_order_id: str
    blocked_w: int
    element: str
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class InterfaceLimitsUpdated(Event):
    """The TSO's new interface limits are in force for an interval."""

    update_id: str
    interval: datetime
    interface_limits: InterfaceLimits


@dataclass(frozen=True, slots=True, kw_only=True)
class PriceCollarSet(Event):
    """From now on only limit prices inside the collar are accepted."""

    control_id: str
    collar: PriceCollar


@dataclass(frozen=True, slots=True, kw_only=True)
class RiskLimitsSet(Event):
    """Risk limits are in force for one participant, or (``None``) all without their own limits."""

    control_id: str
    participant: str | None
    limits: RiskLimits


@dataclass(frozen=True, slots=True, kw_only=True)
class KillSwitchSet(Event):
    """A kill switch was engaged or released, of one participant or (``None``) of the market."""

    control_id: str
    participant: str | None
    engaged: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class TradingHalted(Event):
    """Trading is halted in one interval or in all (``None``), until it is resumed."""

    control_id: str
    interval: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class TradingResumed(Event):
    """A halt of the same extent has ended."""

    control_id: str
    interval: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class BuyBackSet(Event):
    """A buy-back is in force for an interval and direction; a quantity of 0 ends it."""

    control_id: str
    interval: datetime
    direction: Direction
    wanted: BuyBack


ControlEvent = (
    PriceCollarSet | RiskLimitsSet | KillSwitchSet | TradingHalted | TradingResumed | BuyBackSet
)
"""The market operator has set a control; ``control_id`` is its id for the request."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PhaseChanged(Event):
    """An interval has entered a phase, which lasts until ``until`` or until the gate closes."""

    interval: datetime
    phase: Phase
    until: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class HoldingCurtailed(Event):
    """A limit was lowered because the interface limits fell.

    ``compensation`` is paid by the DSO to the participant, in tick-watts.
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

    Until ``readings_until`` readings are compared with them, by the terms given here; ``None``
    where the interval is not metered.
    """

    interval: datetime
    envelopes: tuple[Envelope, ...]
    readings_until: datetime | None = None
    penalty_price_ticks: int = 0
    tolerance_w: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerRepeated(Event):
    """A request came again under the same id; ``answer_sequence`` is its first answer."""

    participant: str
    request_id: str
    answer_sequence: int


@dataclass(frozen=True, slots=True, kw_only=True)
class AlarmRaised(Event):
    """A failure was met on the safe side: no envelope was published, or no trade confirmed.

    With ``halts_trading`` trading in the interval is halted until new interface limits are in
    force.
    """

    kind: AlarmKind
    interval: datetime
    detail: str
    halts_trading: bool = False
