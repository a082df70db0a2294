"""The terms of the welfare program: orders, rows, tiers, local prices and optima.

The program of one delivery interval has both directions, because they share robust rows.  Order o
has the sign s_o (+1 buys, -1 sells), the limit price p_o, the quantity x_o of at most r_o, and the
column c(o) among the stacked limits (injection first):

    max  sum_o s_o p_o x_o
    s.t. sum_{o in direction d} s_o x_o = 0                  per direction   (dual lambda_d)
         sum_o s_o A_k,c(o) x_o <= h_k                       per robust row  (dual eta_k >= 0)
         0 <= x_o <= r_o

(docs/market.md).  The modules of this room use these words:

limit
    The injection or withdrawal limit of one connection point in one interval; n of them.
lot
    The smallest quantity that trades, ``lot_w`` watts.  Inside the program, quantities are lots
    and gains are tick-lots; watts appear only in :class:`ProgramOrder`, :class:`NetworkRows` and
    :class:`ClearingOptimum`.
column
    A variable of the program: all plain orders at one limit, side and price, or one order with a
    condition (:mod:`exchange.clearing.order_columns`).
unit
    What a column counts in: a lot, or for an order of several legs the fewest lots of each leg
    that keep their ratio.
group
    A direction of an interval, in which quantities bought and sold balance.
row
    *Network rows* are the robust constraints in per unit (:class:`NetworkRows`); *lot rows* are
    the same in lots (:class:`exchange.clearing.lot_rows.LotRows`), m of them; *program rows* are
    those that are loaded in the solver (:mod:`exchange.clearing.linear.restricted_program`).

On its way from the solver to the market a result has four forms: ``LpSolution`` in
:mod:`exchange.clearing.linear.linear_program` (fractions of units), ``LotSolution`` in
:mod:`exchange.clearing.lot_program` (whole units), ``Proposal`` in
:mod:`exchange.clearing.proposal` (whole units, with the duals of the orders left) and
:class:`ClearingOptimum` (watts of each order).
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
"""Ticks by which two prices may differ and count as equal.

Limit prices are whole ticks or, as averages of legs, far apart; the solver's duals err by 1e-9.
"""

ROW_TOLERANCE = 1e-9
"""Lots of its most sensitive limit by which a row may look overfull.

It covers the rounding of sums and is the solver's own tolerance; a security check tolerates more.
"""


class ClearingError(Exception):
    """The solver is not sure of an optimum: nothing may be traded."""


class Tier(StrEnum):
    """Which method settled a clearing, the cheapest first; the first that is enough is used.

    The documentation counts them: tier 1 is the price screen, tier 2 the merit order, tier 3 the
    linear program, with the mixed-integer program where conditional orders need one.
    """

    PRICE_SCREEN = "price_screen"
    MERIT_ORDER = "merit_order"
    LINEAR = "linear"
    MIXED_INTEGER = "mixed_integer"


@dataclass(frozen=True, slots=True)
class ProgramLeg:
    """What an order trades at one limit.

    Parameters
    ----------
    column
        The place of the limit among the stacked limits.
    quantity_w
        Watts > 0.
    side, limit_price_ticks
        Where they differ from those of the order.
    """

    column: int
    quantity_w: int
    side: Side | None = None
    limit_price_ticks: int | None = None


OrderPart = tuple[int, bool]
"""The number of an order, and whether the hidden part of it is meant."""

Priority = tuple[bool, int]
"""Whether a part of an order is hidden, and the rank of the order; the smallest goes first."""


@dataclass(frozen=True, slots=True)
class ProgramOrder:
    """An open order in the program, or one of the two parts of an iceberg order.

    Parameters
    ----------
    order_id
        The number of the order.
    side
        Buys raise the limits of the legs, sells lower them.
    limit_price_ticks
        The worst price it trades at, per watt; of several legs, the worst average, weighted by
        their watts.
    rank
        Its place in time: among equally good orders the lowest rank goes first.
    legs
        The quantities left.  A plain order has one leg; a block has several and is filled in the
        same ratio in each.
    minimum_w
        The least it trades at once, over all legs; its whole quantity for all-or-none.
    hidden
        Whether this is the part that an iceberg order does not display.  It trades after all
        displayed quantities at its price, whatever its rank.
    """

    order_id: int
    side: Side
    limit_price_ticks: int
    rank: int
    legs: tuple[ProgramLeg, ...]
    minimum_w: int = 0
    hidden: bool = False

    @property
    def part(self) -> OrderPart:
        """What identifies it in the program."""
        return self.order_id, self.hidden

    @property
    def priority(self) -> Priority:
        """Its place among equally good orders: displayed parts first, then by rank."""
        return self.hidden, self.rank

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
        """Return the change of a leg's limit, in watts, when a quantity over all legs trades."""
        return self.sign_of(leg) * (leg.quantity_w * quantity_w // self.quantity_w)

    def worth(self, quantity_w: int, reserve_price_ticks: int = 0) -> int:
        """Return ``sum s (p - reserve) x`` over the legs when a quantity trades, in tick-watts."""
        return sum(
            self.change_w(leg, quantity_w) * (self.price_of(leg) - reserve_price_ticks)
            for leg in self.legs
        )

    @property
    def quantity_w(self) -> int:
        """Watts left to trade, over all legs."""
        return sum(leg.quantity_w for leg in self.legs)

    def is_plain(self, lot_w: int) -> bool:
        """Return whether it has one leg, of which any number of lots may trade."""
        return len(self.legs) == 1 and self.minimum_w <= lot_w


@dataclass(frozen=True, slots=True)
class NetworkRows:
    """Robust rows ``A x / base_power_w <= headroom`` for changes x of the stacked limits, in watts.

    Parameters
    ----------
    parts
        The rows of each separate part of the network, one after the other.  A headroom below zero
        counts as zero: no trade may load an overfull row further.
    limits
        The number of limits: n = 2 c for c connection points, or a multiple of it when several
        intervals share a program.
    base_power_w
        Watts of one per unit of power.
    rise_w, fall_w
        Shape (n,), how far each limit may still rise (to its capacity) and fall (to its
        fallback), in watts, < 0 without bound; ``None`` where admission already keeps open orders
        within them.
    """

    parts: tuple[PartRows, ...]
    limits: int
    base_power_w: float
    rise_w: IntArray | None = None
    fall_w: IntArray | None = None

    @classmethod
    def of_one(cls, A: FloatArray, headroom: FloatArray, base_power_w: float) -> NetworkRows:
        """Return the rows of a network of one part, ``A`` of shape (r, n)."""
        part = PartRows(every_limit(A.shape[1]), A, headroom)
        return cls((part,), A.shape[1], base_power_w)

    @property
    def A(self) -> FloatArray:  # noqa: N802  # the letter of its equation
        """Coefficients over all limits, shape (r, n), computed at each call."""
        return dense(self.parts, self.limits)

    @property
    def headroom(self) -> FloatArray:
        """Headrooms of all rows, shape (r,), computed at each call."""
        return np.concatenate([part.headroom for part in self.parts])

    @classmethod
    def joined(cls, intervals: Sequence[NetworkRows]) -> NetworkRows:
        """Return the rows of several intervals side by side, for orders that span them.

        Limits of the first interval come first; no row spans two intervals.

        Raises
        ------
        ValueError
            When their base powers differ.
        """
        base, first, parts = intervals[0].base_power_w, 0, []
        for rows in intervals:
            if rows.base_power_w != base:
                raise ValueError(
                    f"rows per {rows.base_power_w} W and per {base} W cannot be joined"
                )
            parts += [replace(part, limits=first + part.limits) for part in rows.parts]
            first += rows.limits
        return cls(tuple(parts), first, base)


@dataclass(frozen=True, slots=True)
class LocalPrices:
    """The duals of an optimum.

    Parameters
    ----------
    balance
        Shape (groups,), lambda, in ticks; the reserve price in network-weighted mode.
    rows
        Shape (r,), eta >= 0 of the network rows, in tick-watts per per unit of the row's quantity.
    local
        Shape (n,), the price of each limit in ticks: lambda of its group plus
        ``sum_k eta_k A_k / base_power_w``, and the price of its bound where one binds.
    """

    balance: FloatArray
    rows: FloatArray
    local: FloatArray


@dataclass(frozen=True, slots=True)
class ParticipationBound:
    """What an order outside a program would have to be worth to take part in its optimum.

    By weak duality, trades with such an order gain no more than the optimum found, plus
    ``relaxation_gap``, plus what the order gains at the local prices (negative where its limit
    prices are worse).

    Parameters
    ----------
    local
        Shape (n,), local prices of the linear program in which conditions are relaxed, in ticks.
    relaxation_gap
        What that program gains beyond the optimum found, in tick-lots; zero where no condition
        bears on the optimum.  Then an order strictly worse than its local prices trades nothing
        at any optimum, whatever rounding to whole lots leaves over.
    """

    local: FloatArray
    relaxation_gap: float


@dataclass(frozen=True, slots=True)
class ClearingOptimum:
    """Which quantities should trade; the program has not changed yet.

    Parameters
    ----------
    quantities_w
        Watts of each order that trades, whole lots, by its number; displayed and hidden parts of
        an iceberg order are added up.
    gain
        ``sum_o s_o p_o x_o`` in tick-watts, exact.
    prices
        The local prices at which the first program was solved; from the price screen, the last
        ones known.
    tier
        The method that settled it.
    bound
        No further trades gain more than this, in tick-watts (weak duality:
        ``sum_k eta_k h_k + sum_o r_o max(0, s_o (p_o - local_o))`` for the orders left).
    """

    quantities_w: dict[int, int]
    gain: int
    prices: LocalPrices
    tier: Tier
    bound: float
