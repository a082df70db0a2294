"""The words of the welfare program: orders, rows, modes, local prices and optima.

The program of one delivery interval, both directions together because they share robust rows,
with sign s_o (+1 buys, -1 sells), limit price p_o and quantity x_o of order o at column c(o) of the
stacked limits (injection first):

    max  sum_o s_o p_o x_o
    s.t. sum_{o in direction d} s_o x_o = 0                  per direction   (dual lambda_d)
         sum_o s_o A_k,c(o) x_o <= h_k                       per robust row  (dual eta_k >= 0)
         0 <= x_o <= r_o

(market.md section 3).  Read :mod:`exchange.clearing.welfare_clearing` first: the life of an order.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

import numpy as np

from orderbook.order import Side
from security_check.arrays import FloatArray, IntArray
from security_check.checking.linear_rows import PartRows, dense, every_limit

TIE = 1e-6
"""Surplus, in ticks, up to which an order is as good as its local price."""

ROW_TOLERANCE = 1e-9
"""By how much a row may look overfull after rounding, in lots of its most sensitive limit.

It covers the rounding of the sums only; a security check tolerates more.
"""


HIDDEN = 2**48
"""Ranks from here on are of what icebergs hide: it comes after all that is shown at its price."""


class ClearingError(Exception):
    """The program could not be solved to the end: nothing may be traded."""


class Tier(StrEnum):
    """What settled a clearing: the cheapest of four proofs that was enough."""

    PRICE_SCREEN = "price_screen"
    NETWORK_FREE = "merit_order"
    LINEAR = "linear"
    MIXED_INTEGER = "mixed_integer"


@dataclass(frozen=True, slots=True)
class ProgramLeg:
    """What an order trades at one limit: a column of the stacked limits, and watts > 0.

    Side and limit price are its own where they are given, and else those of its order.
    """

    column: int
    quantity_w: int
    side: Side | None = None
    limit_price_ticks: int | None = None


@dataclass(frozen=True, slots=True)
class ProgramOrder:
    """An open order as the program sees it.

    Parameters
    ----------
    order_id
        Its number.
    side
        Buys raise the limit at its columns, sells lower it.
    limit_price_ticks
        The worst price it trades at, per watt; of several legs, the worst average, each leg's own
        price weighing as much as its watts.
    rank
        When it came: among equally good orders the lowest rank goes first.
    legs
        What is left of it.  A plain order has one leg; a block has several and is filled in the
        same ratio in each.
    minimum_w
        The least it trades at once, over all legs; its whole quantity for all-or-none.
    """

    order_id: int
    side: Side
    limit_price_ticks: int
    rank: int
    legs: tuple[ProgramLeg, ...]
    minimum_w: int = 0

    @property
    def sign(self) -> int:
        """The change of a limit per watt traded: 1 for buys, -1 for sells."""
        return 1 if self.side is Side.BUY else -1

    def sign_of(self, leg: ProgramLeg) -> int:
        """Return the change of a leg's limit per watt traded."""
        return 1 if (leg.side or self.side) is Side.BUY else -1

    def price_of(self, leg: ProgramLeg) -> int:
        """Return the limit price of a leg, in ticks."""
        return self.limit_price_ticks if leg.limit_price_ticks is None else leg.limit_price_ticks

    def change_w(self, leg: ProgramLeg, quantity_w: int) -> int:
        """Return what a leg's limit changes by when so many watts, over all legs, trade."""
        return self.sign_of(leg) * (leg.quantity_w * quantity_w // self.quantity_w)

    def worth(self, quantity_w: int, reserve_price_ticks: int = 0) -> int:
        """Return ``sum s (p - reserve) x`` over the legs when so many watts trade, tick-watts."""
        return sum(
            self.change_w(leg, quantity_w) * (self.price_of(leg) - reserve_price_ticks)
            for leg in self.legs
        )

    @property
    def quantity_w(self) -> int:
        """Watts left to trade, over all legs."""
        return sum(leg.quantity_w for leg in self.legs)

    def is_plain(self, lot_w: int) -> bool:
        """Return whether any number of lots up to its quantity may trade by itself."""
        return len(self.legs) == 1 and self.minimum_w <= lot_w


@dataclass(frozen=True, slots=True)
class NetworkRows:
    """Robust rows ``A x / base_power_w <= headroom`` for changes x of the stacked limits, in watts.

    Parameters
    ----------
    parts
        The rows of each separate part of the network, one after the other.  A headroom below zero
        counts as zero: no trade may make a row worse that is overfull.
    limits
        How many limits there are: n = 2 c, or a multiple of it when several intervals share a
        program.
    base_power_w
        Watts of one per unit of power.
    rise_w, fall_w
        Shape (n,), how far each limit may still rise (to its capacity) and fall (to its
        fallback), in watts, < 0 without bound; where open orders are not kept within them
        otherwise.
    """

    parts: tuple[PartRows, ...]
    limits: int
    base_power_w: float
    rise_w: IntArray | None = None
    fall_w: IntArray | None = None

    @classmethod
    def of_one(cls, A: FloatArray, headroom: FloatArray, base_power_w: float) -> NetworkRows:
        """Return the rows of a network that is one part, ``A`` of shape (r, n)."""
        part = PartRows(every_limit(A.shape[1]), A, headroom)
        return cls((part,), A.shape[1], base_power_w)

    @property
    def A(self) -> FloatArray:  # noqa: N802
        """Coefficients over all limits, shape (r, n), made anew."""
        return dense(self.parts, self.limits)

    @property
    def headroom(self) -> FloatArray:
        """Headrooms of all rows, shape (r,), made anew."""
        return np.concatenate([part.headroom for part in self.parts])

    @classmethod
    def joined(cls, intervals: Sequence[NetworkRows]) -> NetworkRows:
        """Return the rows of several intervals side by side, for orders that span them.

        Limits of the first interval come first; no row spans two intervals.

        Raises
        ------
        ValueError
            When they count power in different units.
        """
        base, first, parts = intervals[0].base_power_w, 0, []
        for rows in intervals:
            if rows.base_power_w != base:
                raise ValueError(f"rows per {rows.base_power_w} W and per {base} W do not join")
            parts += [replace(part, limits=first + part.limits) for part in rows.parts]
            first += rows.limits
        return cls(tuple(parts), first, base)


@dataclass(frozen=True, slots=True)
class LocalPrices:
    """The duals of an optimum.

    Parameters
    ----------
    balance
        Shape (directions,), lambda, in ticks; the reserve price in network-weighted mode.
    rows
        Shape (r,), eta >= 0, in tick-watts per per unit of the row's quantity.
    local
        Shape (n,), the price of each limit in ticks: lambda of its direction plus
        ``sum_k eta_k A_k / base_power_w``, and the price of its bound where one binds.
    """

    balance: FloatArray
    rows: FloatArray
    local: FloatArray


@dataclass(frozen=True, slots=True)
class ParticipationBound:
    """What an order that is not in a program would have to be worth to take part in its optimum.

    By weak duality no trades with it gain more than those found, ``gain_tolerance``, and what it
    gains at
    the local prices (less than nothing, where it is worse than these) together.

    Parameters
    ----------
    local
        Shape (n,), local prices of the linear program in which conditions are relaxed, in ticks.
    gain_tolerance
        What that program gains beyond what was found, in tick-lots; zero where no condition bears
        on the optimum.  Then an order strictly worse than its local prices is empty at every
        optimum, whatever rounding to whole lots leaves over.
    """

    local: FloatArray
    gain_tolerance: float


@dataclass(frozen=True, slots=True)
class ClearingOptimum:
    """What to trade, not yet traded.

    Parameters
    ----------
    quantities_w
        Watts of each order that trades, whole lots, by its number, oldest first.
    gain
        ``sum_o s_o p_o x_o`` in tick-watts, exact.
    prices
        The local prices at which the first program was solved; for a screened event the last
        ones known.
    tier
        What settled it.
    bound
        No further set of trades gains more than this, in tick-watts (weak duality:
        ``sum_k eta_k h_k + sum_o r_o max(0, s_o (p_o - local_o))`` for what is left).
    """

    quantities_w: dict[int, int]
    gain: int
    prices: LocalPrices
    tier: Tier
    bound: float
