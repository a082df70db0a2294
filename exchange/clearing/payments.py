"""Who pays what for the trades of one clearing: exact integers, nobody worse than its limit price.

Two rules (market.md section 4).

*Maker prices*, when an order set the clearing off: every other order trades at its own limit price
and the taker gets the difference.  A clearing may have makers on both sides: maker buys pay, maker
sells receive, and the taker pays or receives what makes the sum zero.  Its surplus is the whole
gain of the clearing, which is never negative, so it is never worse than its limit either.

*Local prices*, when no order did (batches, auctions, new limits): everybody at a connection point
and direction trades at the same price, and the congestion rent goes to the system operator,

    sum_o s_o q_o local_o - reserve * issued = sum_k eta_k (A z)_k ,

where z is what the limits change by.  At an optimum in fractions of lots the right side is
``sum_k eta_k h_k >= 0``.  Amounts, not prices, are rounded: up for buys, down for sells, never
beyond the limit price, so rounding only adds to the rent.

One case remains in which local prices alone leave the operator short: whole lots use a row with a
positive dual less than fractions did, by less than zero if the row had less than a lot of headroom
(or a conditional order trades against its local price, at its limit price then).  The shortfall is
at most the surplus of those who trade, because that and the rent make up the gain.  So it is taken
from their surpluses in proportion: the account of the operator ends at zero, nobody is worse than
its limit price, and only in this case two orders at one point can differ in price.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from exchange.clearing.problem import ProgramOrder
from security_check.arrays import FloatArray

_FINE = 1_000_000
"""Local prices count in millionths of a tick."""


@dataclass(frozen=True, slots=True)
class Execution:
    """What an order trades in a clearing: watts over all its legs, in their ratio."""

    order: ProgramOrder
    quantity_w: int

    @property
    def at_limit(self) -> int:
        """What it pays at its limit price (negative: receives), in tick-watts."""
        return self.order.worth(self.quantity_w)


@dataclass(frozen=True, slots=True)
class Payments:
    """The payments of a clearing, in tick-watts; ``sum(paid) == issued + rent``.

    Parameters
    ----------
    paid
        What each order pays (negative: receives), by number.
    issued
        What the system operator receives for watts it issues, at its reserve price; negative
        when it retires watts.
    rent
        The congestion rent it receives, >= 0.
    """

    paid: dict[int, int]
    issued: int
    rent: int


def at_maker_prices(
    executions: Sequence[Execution], taker: int, reserve_price_ticks: int = 0
) -> Payments:
    """Return the payments when every maker trades at its limit price.

    Parameters
    ----------
    executions
        All trades of the clearing, the taker's among them.
    taker
        Number of the order that set the clearing off.
    reserve_price_ticks
        Price of watts issued or retired; without effect when directions balance.

    Raises
    ------
    ValueError
        When the taker does not trade, or the trades gain less than nothing.
    """
    issued = _issued(executions, reserve_price_ticks)
    _check_gain(executions, issued)
    paid = {e.order.order_id: e.at_limit for e in executions}
    if taker not in paid:
        raise ValueError(f"order {taker} does not trade, so it is no taker")
    paid[taker] = 0
    paid[taker] = issued - sum(paid.values())
    return Payments(paid, issued, rent=0)


def at_local_prices(
    executions: Sequence[Execution], local: FloatArray, reserve_price_ticks: int = 0
) -> Payments:
    """Return the payments when everybody trades at the price of its connection point.

    Parameters
    ----------
    executions
        All trades of the clearing.
    local
        Shape (n,), the local prices of the clearing, in ticks.
    reserve_price_ticks
        As for :func:`at_maker_prices`.

    Raises
    ------
    ValueError
        When the trades gain less than nothing.
    """
    issued = _issued(executions, reserve_price_ticks)
    gain = _check_gain(executions, issued)
    # Rounding the signed amount up charges buys more and gives sells less.
    paid = [min(-(-_fine_amount(e, local) // _FINE), e.at_limit) for e in executions]
    short = issued - sum(paid)
    if short > 0:
        surplus = [e.at_limit - amount for e, amount in zip(executions, paid, strict=True)]
        total = gain + short
        before = taken = 0
        for i, own in enumerate(surplus):
            before += own
            upto = short * before // total
            paid[i] += upto - taken
            taken = upto
    rent = sum(paid) - issued
    by_order = {e.order.order_id: amount for e, amount in zip(executions, paid, strict=True)}
    return Payments(by_order, issued, rent)


def _issued(executions: Sequence[Execution], reserve_price_ticks: int) -> int:
    return reserve_price_ticks * sum(
        e.order.change_w(leg, e.quantity_w) for e in executions for leg in e.order.legs
    )


def _check_gain(executions: Sequence[Execution], issued: int) -> int:
    gain = sum(e.at_limit for e in executions) - issued
    if gain < 0:
        raise ValueError(f"trades that lose {-gain} tick-watts cannot be paid for")
    return gain


def _fine_amount(execution: Execution, local: FloatArray) -> int:
    """Return what an order pays at local prices, in millionths of tick-watts."""
    return sum(
        execution.order.change_w(leg, execution.quantity_w)
        * round(float(local[leg.column]) * _FINE)
        for leg in execution.order.legs
    )
