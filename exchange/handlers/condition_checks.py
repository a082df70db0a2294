"""Checks of the conditions of orders: contradictions, legs, and places for resting ones."""

from __future__ import annotations

from exchange.state.session import Session
from exchange.vocabulary.commands import SubmitJoint
from exchange.vocabulary.formatting import format_time, price_text
from exchange.vocabulary.orders import Order, OrderTerms
from exchange.vocabulary.reasons import Refusal, RefusalReason
from exchange.vocabulary.rules import MarketRules
from orderbook.book import OrderBook
from orderbook.order import UNCONDITIONAL, OrderConditions, Side, TimeInForce

MAX_LEGS = 96
"""The most legs of a joint order: a day of quarter-hours."""

# A participant with an order with conditions may have at most one in four of the free places.
_SHARE = 4


def check_conditions(terms: OrderTerms, rules: MarketRules) -> Refusal | None:
    """Refuse conditions that contradict each other or the quantity."""
    conditions = terms.conditions
    if conditions is UNCONDITIONAL and terms.limit_price_ticks is not None:
        return None
    immediate = terms.time_in_force.is_immediate
    if terms.limit_price_ticks is None and not immediate:
        return _contradiction(
            f"a market order never rests, so its time in force is IOC or FOK, "
            f"not {terms.time_in_force}"
        )
    if conditions.post_only and immediate:
        return _contradiction(f"a post-only order waits, and {terms.time_in_force} does not")
    if conditions.all_or_none and immediate:
        return _contradiction(
            f"an all-or-none order waits, and {terms.time_in_force} does not: "
            f"all at once or nothing is FOK"
        )
    asked = [
        name
        for name, given in (
            ("all-or-none", conditions.all_or_none),
            ("fill or kill", terms.time_in_force is TimeInForce.FILL_OR_KILL),
            ("a minimum quantity", conditions.minimum_w is not None),
            ("a displayed quantity", conditions.displayed_w is not None),
        )
        if given
    ]
    if len(asked) > 1:
        return _contradiction(f"{asked[0]} and {asked[1]} do not go together")
    if conditions.displayed_w is not None and immediate:
        return _contradiction(f"an iceberg waits, and {terms.time_in_force} does not")
    return check_part("minimum", conditions.minimum_w, terms.quantity_w, rules) or check_part(
        "displayed", conditions.displayed_w, terms.quantity_w, rules
    )


def check_conditional_places(
    participant: str, session: Session, rules: MarketRules
) -> Refusal | None:
    """Refuse another resting conditional order where no place is free for it.

    Beyond its first conditional order a participant may have at most a quarter of the free
    places, so that the last ones are left to participants without any.  O(conditional orders of
    the interval).
    """
    resting = session.conditional_orders()
    own = sum(order.participant == participant for order in resting)
    start = format_time(session.start)
    for count, most, whose in (
        (own, rules.max_conditional_orders_each, f"of {participant} "),
        (len(resting), rules.max_conditional_orders, ""),
    ):
        if count >= most:
            return Refusal(
                RefusalReason.TOO_MANY_CONDITIONS,
                f"{count} orders {whose}with conditions already rest for {start}, "
                f"at most {most} may rest",
            )
    free = rules.max_conditional_orders - len(resting)
    if own and _SHARE * (own + 1) > free:
        return Refusal(
            RefusalReason.TOO_MANY_CONDITIONS,
            f"{own} orders of {participant} with conditions already rest for {start}, and of "
            f"{rules.max_conditional_orders} places {free} are free: beyond its first, a "
            f"participant may have at most a quarter of these",
        )
    return None


def check_legs(command: SubmitJoint) -> Refusal | None:
    """Refuse legs that cannot trade together."""
    legs = command.legs
    if not 2 <= len(legs) <= MAX_LEGS:
        return _contradiction(f"a joint order has 2 to {MAX_LEGS} legs, not {len(legs)}")
    if len({(leg.interval, leg.direction) for leg in legs}) < len(legs):
        return _contradiction("two legs of a joint order are in the same book")
    quantities = sorted({leg.quantity_w for leg in legs})
    if not command.all_or_none and len(quantities) > 1:
        return _contradiction(
            f"legs of {quantities[0]:,} W and {quantities[-1]:,} W cannot trade the same quantity: "
            "a joint order that may trade in part has legs of one size"
        )
    return None


def check_part(
    name: str, part_w: int | None, quantity_w: int, rules: MarketRules
) -> Refusal | None:
    """Refuse a part of an order that is not positive, not whole lots, or more than the order."""
    if part_w is None or (0 < part_w <= quantity_w and not part_w % rules.lot_w):
        return None
    return _contradiction(
        f"{name} quantity of {part_w:,} W is not a positive multiple of the lot of "
        f"{rules.lot_w:,} W up to the order's {quantity_w:,} W"
    )


def _contradiction(detail: str) -> Refusal:
    return Refusal(RefusalReason.CONDITIONS_INVALID, detail)


def check_post_only(
    conditions: OrderConditions,
    side: Side,
    limit_price_ticks: int,
    book: OrderBook[Order],
    rules: MarketRules,
) -> Refusal | None:
    """Refuse a post-only order that crosses the book, whether or not the network would allow it."""
    if not conditions.post_only:
        return None
    best_ticks = book.best_price_ticks(side.opposite)
    if best_ticks is None or not crosses(side, limit_price_ticks, best_ticks):
        return None
    best = "offer" if side is Side.BUY else "bid"
    return Refusal(
        RefusalReason.WOULD_CROSS,
        f"post-only {side} at {price_text(limit_price_ticks, rules)} would cross the best {best} "
        f"at {price_text(best_ticks, rules)}",
    )


def crosses(side: Side, limit_price_ticks: int, other_price_ticks: int) -> bool:
    """Return whether an order of ``side`` would trade with one at the other price."""
    if side is Side.BUY:
        return limit_price_ticks >= other_price_ticks
    return limit_price_ticks <= other_price_ticks
