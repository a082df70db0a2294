"""The words of an order book: sides, times in force, and the order that rests."""

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
    """How long an order may wait."""

    GOOD_TILL_CANCEL = "GTC"
    GOOD_TILL_DATE = "GTD"
    IMMEDIATE_OR_CANCEL = "IOC"
    FILL_OR_KILL = "FOK"

    @property
    def is_immediate(self) -> bool:
        """Whether what does not trade at once is cancelled."""
        return self in (TimeInForce.IMMEDIATE_OR_CANCEL, TimeInForce.FILL_OR_KILL)


class SelfTradePrevention(StrEnum):
    """Which order goes when a new one meets an old one of the same participant."""

    CANCEL_NEWEST = "cancel_newest"
    CANCEL_OLDEST = "cancel_oldest"
    CANCEL_BOTH = "cancel_both"


@dataclass(frozen=True, slots=True)
class OrderConditions:
    """What an order asks for beyond price, quantity and time.

    Parameters
    ----------
    post_only
        It only ever waits: where it would trade at once it is refused.
    self_trade_prevention
        What happens when it meets an older order of its own participant.
    all_or_none
        It trades in full at once, or waits.
    minimum_w
        It trades at least so much at once, or all that is left of it where that is less.
    displayed_w
        An iceberg: so much of it is shown at a time, and what is shown next loses its place.
    """

    post_only: bool = False
    self_trade_prevention: SelfTradePrevention = SelfTradePrevention.CANCEL_NEWEST
    all_or_none: bool = False
    minimum_w: int | None = None
    displayed_w: int | None = None

    def apply_at_once(self, time_in_force: TimeInForce) -> bool:
        """Return whether so much must trade at once that others may have to pass it over."""
        return (
            self.all_or_none
            or self.minimum_w is not None
            or time_in_force is TimeInForce.FILL_OR_KILL
        )


UNCONDITIONAL = OrderConditions()
"""The conditions of a plain order."""


@dataclass(slots=True)
class LimitOrder:
    """A limit order as far as a book is concerned.

    Parameters
    ----------
    order_id
        Its number; a lower number came earlier and goes first at the same price.
    side
        Whether it buys or sells.
    limit_price_ticks
        The worst price it trades at, in integer ticks.
    remaining_w
        What is left to trade, in integer watts, > 0 while it rests.  Only the book that
        holds the order changes it.
    peak_w
        How much of an iceberg is shown at a time, in watts; ``None`` shows all.
    shown_w
        What is shown of an iceberg now; set by the book that it is added to.
    """

    order_id: int
    side: Side
    limit_price_ticks: int
    remaining_w: int
    peak_w: int | None = field(default=None, kw_only=True)
    shown_w: int | None = field(default=None, kw_only=True)

    @property
    def displayed_w(self) -> int:
        """What others may see and meet first, in watts."""
        return self.remaining_w if self.shown_w is None else self.shown_w

    def show_next(self) -> None:
        """Show the next part of an iceberg; of other orders everything is shown anyway."""
        if self.peak_w is not None:
            self.shown_w = min(self.peak_w, self.remaining_w)
