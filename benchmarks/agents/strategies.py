"""How a participant quotes one limit: by its marginal value, at random, or on both sides.

For tests, benchmarks and research; the customers of the demo are in :mod:`gateway.demo.customers`.
A strategy sees one limit of one connection point and returns the orders that it places there;
:mod:`agents.trading_rounds` lets many strategies act.  Prices are ticks per watt, seeds arguments.
"""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from orderbook.order import Side


@dataclass(frozen=True, slots=True)
class LimitValue:
    """The value of a limit to its owner: concave, each watt has a lower value than the last.

    The watt at ``q`` is worth ``max(0, first_ticks - slope_ticks_per_w * q)``.

    Parameters
    ----------
    first_ticks
        Value of the first watt, in ticks, >= 0.
    slope_ticks_per_w
        Decrease of the value with each further watt, >= 0.

    Raises
    ------
    ValueError
        When one of them is negative or not finite.
    """

    first_ticks: float
    slope_ticks_per_w: float

    def __post_init__(self) -> None:
        for name in ("first_ticks", "slope_ticks_per_w"):
            value = getattr(self, name)
            if not 0 <= value < math.inf:
                raise ValueError(f"{name} is {value}, it must be finite and >= 0")

    def marginal(self, limit_w: float) -> float:
        """Return the value of the watt at ``limit_w``, in ticks."""
        return max(0.0, self.first_ticks - self.slope_ticks_per_w * limit_w)

    def total(self, limit_w: float) -> float:
        """Return the value of a limit, in tick-watts: the integral of :meth:`marginal`."""
        used_w = limit_w
        if self.slope_ticks_per_w:
            used_w = min(limit_w, self.first_ticks / self.slope_ticks_per_w)
        return used_w * (self.first_ticks - self.slope_ticks_per_w * used_w / 2)

    def highest_bid(self, held_w: int, quantity_w: int) -> int:
        """Return the highest price at which no part of a purchase loses."""
        return math.floor(self.marginal(held_w + quantity_w))

    def lowest_ask(self, held_w: int, quantity_w: int) -> int:
        """Return the lowest price at which no part of a sale loses."""
        return math.ceil(self.marginal(held_w - quantity_w))


@dataclass(frozen=True, slots=True)
class View:
    """The state of one limit that a participant sees before it quotes, without its own orders.

    Parameters
    ----------
    held_w
        The limit in force.
    sellable_w, buyable_w
        Most it may sell (down to its fallback) and buy (up to its capacity).
    lot_w
        Quantities are multiples of it.
    price_ticks
        The local price or the last price paid; ``None`` if there is none.
    """

    held_w: int
    sellable_w: int
    buyable_w: int
    lot_w: int
    price_ticks: float | None = None

    def allowed_w(self, side: Side, wanted_w: int) -> int:
        """Return a quantity in whole lots, at most the quantity allowed."""
        most_w = self.buyable_w if side is Side.BUY else self.sellable_w
        return max(0, min(wanted_w, most_w)) // self.lot_w * self.lot_w


@dataclass(frozen=True, slots=True)
class Quote:
    """An order that a strategy places; watts > 0, ticks >= 0."""

    side: Side
    quantity_w: int
    price_ticks: int


class Strategy(Protocol):
    """Decides the quotes of one participant for one limit."""

    def quotes(self, view: View) -> list[Quote]:
        """Return the orders that replace the earlier ones."""

    def refine(self) -> bool:
        """Refine the quotes after a round without a trade; return whether they change."""


class MarginalValueQuoting:
    """Quotes a step above and a step below the limit held, at the marginal value there.

    The value of every watt bought is at least that of the last one, which is the price, and the
    value of every watt sold at most that of the last one, so no trade is at a loss, in whole or in
    part.  The steps shrink after each round without a trade, so that quoting ends near the optimum.

    Parameters
    ----------
    value
        Value of the limit to the participant.
    steps_w
        Quantities of the quotes, in watts, in the order of refinement.

    Raises
    ------
    ValueError
        When there is no step, or one is not positive.
    """

    def __init__(self, value: LimitValue, steps_w: Sequence[int]) -> None:
        if not steps_w or min(steps_w) <= 0:
            raise ValueError(f"steps_w are {list(steps_w)}; there must be one, and each positive")
        self.value = value
        self._steps_w = tuple(steps_w)
        self._at = 0

    @property
    def step_w(self) -> int:
        """The quantity of the present quotes, in watts."""
        return self._steps_w[self._at]

    def quotes(self, view: View) -> list[Quote]:
        """Return a purchase and a sale of a step each, where they are allowed."""
        found = []
        bought_w = view.allowed_w(Side.BUY, max(self.step_w, view.lot_w))
        bid = self.value.highest_bid(view.held_w, bought_w)
        if bought_w:  # also for nothing: a watt worth nothing here may relieve what binds others
            found.append(Quote(Side.BUY, bought_w, bid))
        sold_w = view.allowed_w(Side.SELL, max(self.step_w, view.lot_w))
        if sold_w:
            # With a constant value both prices could be equal, and the quotes would meet.
            ask = max(self.value.lowest_ask(view.held_w, sold_w), bid + 1)
            found.append(Quote(Side.SELL, sold_w, ask))
        return found

    def refine(self) -> bool:
        """Go to the next step; ``False`` after the last."""
        if self._at + 1 == len(self._steps_w):
            return False
        self._at += 1
        return True


class ZeroIntelligence:
    """Quotes at random, but never at a loss: "zero intelligence with a budget constraint".

    Side and quantity are random, too.  A bid is uniform from zero up to the value of the last
    watt bought, an ask uniform from the value of the last watt sold upwards
    (D. K. Gode and S. Sunder, "Allocative efficiency of markets with zero-intelligence traders",
    Journal of Political Economy 101, 1993).

    Parameters
    ----------
    value
        Value of the limit to the participant.
    max_quantity_w
        Largest quantity of a quote.
    max_price_ticks
        Highest ask; a watt worth more is not offered.
    seed
        Seed of the random quotes, text or number; each participant needs its own.
    """

    def __init__(
        self, value: LimitValue, max_quantity_w: int, max_price_ticks: int, seed: int | str
    ) -> None:
        self.value = value
        self._max_quantity_w = max_quantity_w
        self._max_price_ticks = max_price_ticks
        self._draw = random.Random(seed)

    def quotes(self, view: View) -> list[Quote]:
        """Return one quote, or none if the side drawn allows none."""
        side = self._draw.choice((Side.BUY, Side.SELL))
        lots = max(1, self._max_quantity_w // view.lot_w)
        wanted_w = self._draw.randint(1, lots) * view.lot_w
        luck = self._draw.random()
        quantity_w = view.allowed_w(side, wanted_w)
        if not quantity_w:
            return []
        if side is Side.BUY:
            price = math.floor(luck * self.value.highest_bid(view.held_w, quantity_w))
        else:
            least = self.value.lowest_ask(view.held_w, quantity_w)
            if least > self._max_price_ticks:
                return []
            price = least + math.floor(luck * (self._max_price_ticks - least + 1))
        return [Quote(side, quantity_w, price)] if price > 0 else []

    def refine(self) -> bool:
        """Return ``False``: random quotes have no refinement."""
        return False


class MarketMaker:
    """Quotes on both sides of the local price, skewed against the quantity it has accumulated.

    With ``e = held - target`` its quotes lie ``half_spread`` around ``price - skew * e``, so a
    maker that holds too much bids and asks less.  It earns the spread, and loses when prices move
    away.

    Parameters
    ----------
    quantity_w
        Quantity of each quote.
    half_spread_ticks
        Distance of bid and ask from their middle, > 0.
    skew_ticks_per_w
        Decrease of the middle for each watt above the target, >= 0.
    target_w
        Limit that it aims to hold; ``None`` for the limit at its first quote.
    start_ticks
        Middle of the quotes while no price is known.

    Raises
    ------
    ValueError
        When the spread is not positive or the skew negative.
    """

    def __init__(
        self,
        quantity_w: int,
        half_spread_ticks: int,
        skew_ticks_per_w: float,
        start_ticks: int,
        target_w: int | None = None,
    ) -> None:
        if half_spread_ticks <= 0 or skew_ticks_per_w < 0:
            raise ValueError(
                f"a half-spread of {half_spread_ticks} ticks and a skew of {skew_ticks_per_w} "
                "ticks per watt; the first must be positive, the second not negative"
            )
        self._quantity_w = quantity_w
        self._half_spread_ticks = half_spread_ticks
        self._skew_ticks_per_w = skew_ticks_per_w
        self._start_ticks = start_ticks
        self._target_w = target_w

    def quotes(self, view: View) -> list[Quote]:
        """Return a bid and an ask around the skewed middle, where they are allowed."""
        if self._target_w is None:
            self._target_w = view.held_w
        around = self._start_ticks if view.price_ticks is None else view.price_ticks
        middle = around - self._skew_ticks_per_w * (view.held_w - self._target_w)
        prices = {
            Side.BUY: math.floor(middle - self._half_spread_ticks),
            Side.SELL: math.ceil(middle + self._half_spread_ticks),
        }
        found = [
            Quote(side, view.allowed_w(side, self._quantity_w), max(price, 0))
            for side, price in prices.items()
        ]
        return [q for q in found if q.quantity_w and (q.side is Side.SELL or q.price_ticks > 0)]

    def refine(self) -> bool:
        """Return ``False``: a market maker has no refinement."""
        return False
