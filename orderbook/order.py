"""The vocabulary of an order book: sides, times in force, conditions, and the resting order."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum


class Side(StrEnum):
    """Whether an order buys or sells."""

    BUY = "buy"
    SELL = "sell"

    @property
    def opposite(self) -> Side:
        """The side this one trades with."""
        return Side.SELL if self is Side.BUY else Side.BUY


class TimeInForce(StrEnum):
    """How long an order may wait in the book."""

    GOOD_TILL_CANCEL = "GTC"
    GOOD_TILL_DATE = "GTD"
    IMMEDIATE_OR_CANCEL = "IOC"
    FILL_OR_KILL = "FOK"

    @property
    def is_immediate(self) -> bool:
        """Whether what does not trade at once is cancelled."""
        return self in (TimeInForce.IMMEDIATE_OR_CANCEL, TimeInForce.FILL_OR_KILL)


class SelfTradePrevention(StrEnum):
    """Which order is cancelled when a new one meets an old one of the same participant."""

    CANCEL_NEWEST = "cancel_newest"
    CANCEL_OLDEST = "cancel_oldest"
    CANCEL_BOTH = "cancel_both"


@dataclass(frozen=True, slots=True)
class OrderConditions:
    """The conditions of an order beyond price, quantity and time.

    Parameters
    ----------
    post_only
        The order is refused where it would trade at once.
    self_trade_prevention
        Which order is cancelled when the order meets an older one of its own participant.
    all_or_none
        The order trades in full at once, or waits.
    minimum_w
        The least quantity that trades at once, in watts; all of the rest where that is less.
    displayed_w
        The part of an iceberg that is shown at a time, in watts; each new part goes behind the
        other orders at its price.
    """

    post_only: bool = False
    self_trade_prevention: SelfTradePrevention = SelfTradePrevention.CANCEL_NEWEST
    all_or_none: bool = False
    minimum_w: int | None = None
    displayed_w: int | None = None

    def apply_at_once(self, time_in_force: TimeInForce) -> bool:
        """Return whether a least quantity must trade at once, so that clearing may pass it over."""
        return (
            self.all_or_none
            or self.minimum_w is not None
            or time_in_force is TimeInForce.FILL_OR_KILL
        )


UNCONDITIONAL = OrderConditions()
"""The conditions of a plain order."""


@dataclass(slots=True)
class LimitOrder:
    """A limit order in a book.

    Parameters
    ----------
    order_id
        Its number; a lower number came earlier and goes first at the same price.
    side
        Whether it buys or sells.
    limit_price_ticks
        The worst price it trades at, in integer ticks.
    remaining_w
        The quantity left to trade, in integer watts, > 0 while it rests.  Only the book that
        holds the order changes it.
    peak_w
        The part of an iceberg that is shown at a time, in watts; ``None`` shows all.
    shown_w
        The part of an iceberg that is shown now, in watts; set by the book.
    """

    order_id: int
    side: Side
    limit_price_ticks: int
    remaining_w: int
    peak_w: int | None = field(default=None, kw_only=True)
    shown_w: int | None = field(default=None, kw_only=True)

    @property
    def displayed_w(self) -> int:
        """The displayed quantity, which trades first, in watts."""
        return self.remaining_w if self.shown_w is None else self.shown_w

    def show_next(self) -> None:
        """Show the next part of an iceberg; other orders are always shown in full."""
        if self.peak_w is not None:
            self.shown_w = min(self.peak_w, self.remaining_w)
