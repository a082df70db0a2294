"""The payments for the trades of one clearing: exact integers, none worse than the limit price.

There are two rules (docs/market.md).

*Maker prices* apply when an order has set the clearing off: every other order trades at its own
limit price, and the taker pays or receives the amount that makes the sum zero.  Makers may be on
both sides: maker buys pay, maker sells receive.  The surplus of the taker is the whole gain of the
clearing, which is never negative, so the taker is never worse off than its limit price either.

*Local prices* apply otherwise (batches, auctions, new limits): all orders at a connection point and
direction trade at the same price, and the congestion rent goes to the system operator,

    sum_o s_o q_o local_o - reserve * issued = sum_k eta_k (A z)_k ,

where z is the change of the limits.  At an optimum in fractions of lots the right side is
``sum_k eta_k h_k >= 0``.  Amounts, not prices, are rounded: up for buys, down for sells, never
beyond the limit price, so rounding only adds to the rent.

In one case the operator would be left short: whole lots may use a row with a positive dual less
than fractions do (below zero, if the row has less than a lot of headroom), or a conditional order
trades against its local price, then at its limit price.  The shortfall is at most the surplus of
the orders that trade, because surplus and rent make up the gain.  So it is taken from their
surpluses in proportion: the operator's account ends at zero, and no order is worse off than its
limit price.  Only in this case can two orders at one point have different prices.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from exchange.clearing.problem import ProgramOrder
from security_check.arrays import FloatArray

_FINE = 1_000_000
"""Local prices are rounded to millionths of a tick: far below what a payment can show."""


@dataclass(frozen=True, slots=True)
class Execution:
    """An order and the watts it trades in a clearing, over all its legs, in their ratio."""

    order: ProgramOrder
    quantity_w: int

    @property
    def at_limit(self) -> int:
        """The amount it pays at its limit price (negative: receives), in tick-watts."""
        return self.order.worth(self.quantity_w)


@dataclass(frozen=True, slots=True)
class Payments:
    """The payments of a clearing, in tick-watts; ``sum(paid) == issued + rent``.

    Parameters
    ----------
    paid
        The amount each order pays (negative: receives), by number.
    issued
        The amount that the system operator receives for watts it issues, at its reserve price;
        negative when it retires watts.
    rent
        The congestion rent that the operator receives, >= 0.
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
        Number of the order that has set the clearing off.
    reserve_price_ticks
        Price of watts issued or retired; without effect when directions balance.

    Raises
    ------
    ValueError
        When the taker does not trade, or the trades lose.
    """
    issued = _issued(executions, reserve_price_ticks)
    _check_gain(executions, issued)
    paid = {e.order.order_id: e.at_limit for e in executions}
    if taker not in paid:
        raise ValueError(f"order {taker} does not trade, so it cannot be the taker")
    paid[taker] = 0
    paid[taker] = issued - sum(paid.values())
    return Payments(paid, issued, rent=0)


def at_local_prices(
    executions: Sequence[Execution], local: FloatArray, reserve_price_ticks: int = 0
) -> Payments:
    """Return the payments when every order trades at the local prices of its limits.

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
        When the trades lose.
    """
    issued = _issued(executions, reserve_price_ticks)
    gain = _check_gain(executions, issued)
    # Rounding the signed amount up: buys pay more, sells receive less.
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
        raise ValueError(f"the trades lose {-gain} tick-watts, so they cannot be paid for")
    return gain


def _fine_amount(execution: Execution, local: FloatArray) -> int:
    """Return the amount an order pays at local prices, in millionths of tick-watts."""
    return sum(
        execution.order.change_w(leg, execution.quantity_w)
        * round(float(local[leg.column]) * _FINE)
        for leg in execution.order.legs
    )
