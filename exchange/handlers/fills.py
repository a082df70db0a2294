"""The fills of a clearing: one for each order and each leg, with exact payments."""

from __future__ import annotations

from collections.abc import Sequence

from exchange.clearing.payments import Execution, Payments
from exchange.state.state import State
from exchange.vocabulary.events import Fill
from exchange.vocabulary.orders import Order
from orderbook.order import Side


def fills_of(executions: Sequence[Execution], payments: Payments, state: State) -> tuple[Fill, ...]:
    """Return the fills of a clearing, oldest order first, the legs of a joint order in turn."""
    found: list[Fill] = []
    for execution in executions:
        number = execution.order.order_id
        legs = state.joints.get(number) or [state.orders[number]]
        changes_w = [
            execution.order.change_w(leg, execution.quantity_w) for leg in execution.order.legs
        ]
        amounts = _shared(payments.paid[number], legs, changes_w)
        found += [
            fill_of(leg, abs(change_w), amount)
            for leg, change_w, amount in zip(legs, changes_w, amounts, strict=True)
        ]
    return tuple(found)


def _shared(paid: int, legs: Sequence[Order], changes_w: Sequence[int]) -> list[int]:
    """Return the payment of each leg: its limit price, less its share by watts of the saving."""
    at_limit = [
        leg.limit_price_ticks * change_w for leg, change_w in zip(legs, changes_w, strict=True)
    ]
    saved, total_w = sum(at_limit) - paid, sum(abs(change_w) for change_w in changes_w)
    amounts, before_w, given = [], 0, 0
    for worth, change_w in zip(at_limit, changes_w, strict=True):
        before_w += abs(change_w)
        upto = saved * before_w // total_w
        amounts.append(worth - (upto - given))
        given = upto
    return amounts


def fill_of(order: Order, quantity_w: int, amount: int) -> Fill:
    """Return the fill of an order that trades ``quantity_w`` and pays ``amount``."""
    return Fill(
        order_id=order.order_id,
        participant=order.participant,
        client_order_id=order.client_order_id,
        connection_point=order.connection_point,
        direction=order.direction,
        interval=order.interval,
        side=order.side,
        quantity_w=quantity_w,
        limit_price_ticks=order.limit_price_ticks,
        amount=amount,
    )


def pairs_of(fills: Sequence[Fill]) -> list[tuple[Fill, Fill, int]]:
    """Return pairs ``(buy, sell, quantity_w)`` of a clearing, as a tape prints them.

    Buyers and sellers of each book are paired by price, then by number.  Watts that the DSO issues
    or retires are in no pair.
    """
    found: list[tuple[Fill, Fill, int]] = []
    for book in {(fill.interval, fill.direction): None for fill in fills}:
        mine = [fill for fill in fills if (fill.interval, fill.direction) == book]
        buys = sorted(
            (fill for fill in mine if fill.side is Side.BUY),
            key=lambda fill: (-fill.limit_price_ticks, fill.order_id),
        )
        sells = sorted(
            (fill for fill in mine if fill.side is Side.SELL),
            key=lambda fill: (fill.limit_price_ticks, fill.order_id),
        )
        left_w = [fill.quantity_w for fill in sells]
        at = 0
        for buy in buys:
            wanted_w = buy.quantity_w
            while wanted_w and at < len(sells):
                taken_w = min(wanted_w, left_w[at])
                if taken_w:
                    found.append((buy, sells[at], taken_w))
                wanted_w -= taken_w
                left_w[at] -= taken_w
                at += not left_w[at]
    return found
