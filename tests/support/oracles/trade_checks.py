"""What must hold of every market after every event, worked out from events and envelopes alone."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence

import numpy as np
from clearing_oracle import Oracle

from exchange.clearing.problem import NetworkRows, ProgramLeg, ProgramOrder
from exchange.vocabulary.events import Traded
from exchange.vocabulary.orders import Order
from exchange.vocabulary.rules import ExchangeRate, MarketRules
from orderbook.order import Side
from security_check.model.envelope import Direction


def check_payments(traded: Traded, rules: MarketRules) -> None:
    """Check that a clearing balances and is paid to the last unit, and no participant loses by it.

    Only the operator gains what others pay, makers trade at their own limits, and over the
    legs of an order no participant is worse off than its limit prices.
    """
    fills = traded.fills
    assert all(fill.quantity_w > 0 and fill.quantity_w % rules.lot_w == 0 for fill in fills)
    bought_w = sum(fill.change_w for fill in fills)
    if rules.exchange_rate is ExchangeRate.ONE_TO_ONE:
        balance: dict[object, int] = defaultdict(int)
        for fill in fills:
            balance[fill.interval, fill.direction] += fill.change_w
        assert not any(balance.values())
    paid = sum(fill.amount for fill in fills)
    assert traded.rent >= 0
    assert paid == traded.rent + rules.reserve_price_ticks * bought_w
    orders: dict[tuple[str, str], list[tuple[int, int]]] = defaultdict(list)
    for fill in fills:
        own = fill.participant, fill.client_order_id
        orders[own].append((fill.amount, fill.limit_price_ticks * fill.change_w))
    taker = {
        (fill.participant, fill.client_order_id)
        for fill in fills
        if fill.order_id == traded.taker_order_id
    }
    assert bool(taker) is (traded.taker_order_id is not None)
    for own, amounts in orders.items():
        worst = sum(limit for _, limit in amounts)
        assert sum(amount for amount, _ in amounts) <= worst
        if taker and own not in taker:
            assert all(amount == limit for amount, limit in amounts)
    if taker:
        assert traded.rent == 0


def program_of(
    orders: Iterable[Order], points: Sequence[str], intervals: Sequence[object] = (None,)
) -> list[ProgramOrder]:
    """Return open orders for the oracle, icebergs as one order, joint ones with all their legs."""
    units: dict[int, list[Order]] = defaultdict(list)
    for order in orders:
        units[order.joint_id or order.order_id].append(order)
    found = []
    for number, legs in sorted(units.items()):
        found.append(
            ProgramOrder(
                order_id=number,
                side=legs[0].side,
                limit_price_ticks=legs[0].limit_price_ticks,
                rank=number,
                legs=tuple(
                    ProgramLeg(
                        _column(leg, points, intervals),
                        leg.remaining_w,
                        leg.side,
                        leg.limit_price_ticks,
                    )
                    for leg in legs
                ),
                minimum_w=sum(leg.required_w for leg in legs),
            )
        )
    return found


def _column(order: Order, points: Sequence[str], intervals: Sequence[object]) -> int:
    at = 0 if len(intervals) == 1 else intervals.index(order.interval)
    place = 2 * at + (order.direction is Direction.WITHDRAWAL)
    return place * len(points) + points.index(order.connection_point)


def lot_value(orders: Sequence[Order], rules: MarketRules) -> float:
    """Return the most that a lot bought and a lot sold can gain, in tick-watts."""
    bids = [o.limit_price_ticks for o in orders if o.side is Side.BUY]
    asks = [o.limit_price_ticks for o in orders if o.side is Side.SELL]
    if rules.exchange_rate is ExchangeRate.NETWORK_WEIGHTED:
        bids, asks = [*bids, rules.reserve_price_ticks], [*asks, rules.reserve_price_ticks]
    return rules.lot_w * max(max(bids, default=0) - min(asks, default=0), 0)


def left_to_gain(
    orders: Sequence[Order], rows: NetworkRows, points: Sequence[str], rules: MarketRules
) -> float:
    """Return what scipy, from nothing, could still gain in one interval, in tick-watts.

    In fractions of lots if that is less than a lot's worth, and else in whole lots, with all
    conditions.
    """
    if not orders:
        return 0.0
    balanced = rules.exchange_rate is ExchangeRate.ONE_TO_ONE
    reserve = None if balanced else rules.reserve_price_ticks
    oracle = Oracle(program_of(orders, points), rows, rules.lot_w, reserve)
    gain = oracle.linear()[1]
    return gain if gain < lot_value(orders, rules) else oracle.whole_lots()


def held_w(envelopes: Iterable) -> np.ndarray:
    """Return the limits in force, injection first, in watts."""
    envelopes = list(envelopes)
    return np.array(
        [e.injection_limit_w for e in envelopes] + [e.withdrawal_limit_w for e in envelopes]
    )
