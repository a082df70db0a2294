"""Checks of an order against its connection point: holding, fallback limit and capacity."""

from __future__ import annotations

from itertools import islice

from exchange.state.holdings import Position
from exchange.vocabulary.orders import Order
from exchange.vocabulary.reasons import Refusal, RefusalReason
from orderbook.order import Side

# How many orders a refusal names at most, to keep its sentence short.
_NAMED_ORDERS = 3


def check_holding(
    side: Side, quantity_w: int, position: Position, amended: Order | None = None
) -> Refusal | None:
    """Refuse a sale beyond the holding above the fallback, and a purchase beyond capacity.

    Parameters
    ----------
    side, quantity_w
        Side and quantity of the order, in watts.
    position
        The position of the connection point in the direction of the order.
    amended
        The open order that the new quantity would replace; its own claim does not count.
    """
    own_w = 0 if amended is None else amended.remaining_w
    if side is Side.SELL:
        if quantity_w <= position.sellable_w + own_w:
            return None
        bounds = _claims(side, "reserved", position.reserved_w - own_w, position, amended)
        if position.fallback_w:
            bounds.append(f"{position.fallback_w:,} W are the fallback limit and not for sale")
        return _exceeds(
            RefusalReason.EXCEEDS_HOLDING,
            f"sell of {quantity_w:,} W exceeds the {position.held_w:,} W held",
            bounds,
        )
    if quantity_w <= position.buyable_w + own_w:
        return None
    bounds = _claims(side, "sought", position.sought_w - own_w, position, amended)
    return _exceeds(
        RefusalReason.EXCEEDS_CAPACITY,
        f"buy of {quantity_w:,} W exceeds the capacity of {position.capacity_w:,} W",
        [f"{position.held_w:,} W are held", *bounds],
    )


def _exceeds(reason: RefusalReason, sentence: str, bounds: list[str]) -> Refusal:
    return Refusal(reason, sentence + (f", of which {' and '.join(bounds)}" if bounds else ""))


def _claims(
    side: Side, word: str, claimed_w: int, position: Position, amended: Order | None
) -> list[str]:
    """Return the claim of the other open orders of a side, if any, as words for a sentence."""
    if not claimed_w:
        return []
    return [f"{claimed_w:,} W are {word} by {_names(position, side, amended)}"]


def _names(position: Position, side: Side, without: Order | None) -> str:
    """Return for example "order 17", "orders 17 and 18" or "orders 17, 18, 19 and others"."""
    others = (order for order in position.orders.values() if order.side is side)
    found = islice((order for order in others if order is not without), _NAMED_ORDERS + 1)
    numbers = [str(order.order_id) for order in found]
    if len(numbers) == 1:
        return f"order {numbers[0]}"
    if len(numbers) > _NAMED_ORDERS:
        numbers[_NAMED_ORDERS] = "others"
    return f"orders {', '.join(numbers[:-1])} and {numbers[-1]}"
