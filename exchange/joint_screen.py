"""Which joint orders may trade: local prices prove of most that they do not.

Without joint orders the program of several intervals falls apart into one for each.  So the duals
of these, side by side, are duals of the program over all of them and all joint orders, and by weak
duality no trades with at least m units of a joint order gain more than

    sum over its intervals (what is found there + slack) + m * (what a unit gains at local prices)

with the slack of :class:`exchange.program.Reach`.  Where that is less than what is found without
it, the order has no part in any optimum, with whatever others.  Joint orders pay for each other's
legs all the same: one that is as good as its local prices is brought in, which moves them, and
the rest are looked at again at the prices of the program that has it.

For a chain of joint orders that are left out the bounds add up: each of them loses more than its
own intervals' slack, so all together lose more than that of all intervals that they connect.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from exchange.market_program import Legs
from exchange.program import TIE
from orderbook.order import Side

_EQUAL = 1e-6  # of the slack, relative: the difference of two gains, each as exact as the solver


def may_take_part(legs: Legs, local_ticks: Sequence[float], slack: float, lot_w: int) -> bool:
    """Return whether a joint order may have a part in an optimum.  O(legs).

    Parameters
    ----------
    legs
        The order, with what is left of it.
    local_ticks
        The local price of each leg's limit.
    slack
        The sum of the slacks of its intervals' programs, in tick-lots.
    lot_w
        Watts of a lot.
    """
    lots = [leg.remaining_w // lot_w for leg in legs]
    gained = sum(
        (1 if leg.side is Side.BUY else -1) * (leg.limit_price_ticks - local) * count
        for leg, local, count in zip(legs, local_ticks, lots, strict=True)
    )
    # It trades all, or as little as a unit: as many lots of each leg as keep the ratio.
    least = 1.0 if any(leg.required_w for leg in legs) else 1.0 / math.gcd(*lots)
    return gained * least + slack * (1.0 + _EQUAL) > -TIE * sum(lots) * least
