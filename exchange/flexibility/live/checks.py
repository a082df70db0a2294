"""Whether an order for flexibility is accepted, or the reason and the sentence of its refusal."""

from __future__ import annotations

from datetime import datetime

from doe_allocation.procurement.choices import FlexDirection
from exchange.handlers.admission import check_interval, check_place, check_price, check_quantity
from exchange.handlers.risk_checks import (
    check_collar,
    check_credit,
    check_kill_switch,
    check_rate,
    check_size,
)
from exchange.state.flexibility import Flexibility, MatchedAt
from exchange.state.state import State
from exchange.vocabulary.commands import SubmitFlexibility
from exchange.vocabulary.flexibility import FlexibilityOrder, FlexibilityRules, FlexibilityTerms
from exchange.vocabulary.formatting import format_time, price_text
from exchange.vocabulary.network_port import FlexibleNetwork
from exchange.vocabulary.reasons import Refusal, RefusalReason
from orderbook.order import Side

# Conditional requests times branches: each has two rows of the matching program, and two columns.
_MOST_CONDITIONAL_ROWS = 1_000
_NAMED_ORDERS = 3  # how many orders a refusal names at most, to keep its sentence short


def check_session(command: SubmitFlexibility, state: State) -> Refusal | None:
    """Return why an interval takes no orders for flexibility, ``None`` where it does."""
    if state.rules.flexibility is None:
        return Refusal(RefusalReason.NO_FLEXIBILITY, "this area has no flexibility market")
    interval = command.terms.interval
    refusal = check_interval(interval, state)
    if refusal is None and state.is_halted(state.sessions[interval]):
        detail = f"trading of {format_time(interval)} is halted, and flexibility does not wait"
        return Refusal(RefusalReason.TRADING_HALTED, detail)
    return refusal


def check_order(
    command: SubmitFlexibility, state: State, network: FlexibleNetwork, now: datetime
) -> Refusal | None:
    """Return why an order may not be placed in a session that takes orders."""
    terms, rules = command.terms, state.rules
    offers = terms.side is Side.SELL
    assert rules.flexibility is not None, "the session is checked first"
    flexibility = state.sessions[terms.interval].flexibility
    return (
        (
            _check_offer(command, state)
            if offers
            else _check_request(command, rules.flexibility, network)
        )
        or check_quantity(terms.quantity_w, rules)
        or check_price(terms.limit_price_ticks, rules)
        or (_check_resource(command, flexibility, state) if offers else None)
        or _check_own(command, flexibility, state)
        or _check_places(command, flexibility, state, len(network.operation.network.branches))
        or _check_controls(command, flexibility, state, now)
    )


def _check_offer(command: SubmitFlexibility, state: State) -> Refusal | None:
    terms = command.terms
    if terms.conditional:
        return Refusal(RefusalReason.CONDITIONS_INVALID, "only a request may be conditional")
    return check_place(command.participant, terms.place, terms.interval, state)


def _check_request(
    command: SubmitFlexibility, rules: FlexibilityRules, network: FlexibleNetwork
) -> Refusal | None:
    if command.participant not in rules.requesters:
        return Refusal(
            RefusalReason.MAY_NOT_REQUEST,
            f"{command.participant} may not request flexibility in this area",
        )
    if command.terms.place not in network.operation.network.buses:
        return Refusal(RefusalReason.UNKNOWN_BUS, f"there is no bus {command.terms.place}")
    return None


def _check_resource(
    command: SubmitFlexibility, flexibility: Flexibility, state: State
) -> Refusal | None:
    """Refuse an offer beyond what its resource can change, less what is matched and offered."""
    terms = command.terms
    most_w = state.terms[terms.place].flexible_w(terms.direction)
    at = MatchedAt(command.participant, terms.side, terms.place, terms.direction)
    matched_w = flexibility.matched_w.get(at, 0)
    offers = flexibility.open_orders(command.participant, terms.side, terms.direction, terms.place)
    offered_w = sum(each.remaining_w for each in offers)
    if matched_w + offered_w + terms.quantity_w <= most_w:
        return None
    bounds = [f"{matched_w:,} W are matched"] if matched_w else []
    bounds += [f"{offered_w:,} W are offered by {_names(offers)}"] if offers else []
    of_which = f", of which {' and '.join(bounds)}" if bounds else ""
    return Refusal(
        RefusalReason.EXCEEDS_CAPACITY,
        f"{terms.direction} offer of {terms.quantity_w:,} W exceeds the {most_w:,} W by which the "
        f"resource at {terms.place} may change its power{of_which}",
    )


def _check_own(
    command: SubmitFlexibility, flexibility: Flexibility, state: State
) -> Refusal | None:
    """Refuse an order that crosses one of the same participant."""
    terms = command.terms
    others = flexibility.open_orders(command.participant, terms.side.opposite, terms.direction)
    for other in others:
        bid, ask = terms.limit_price_ticks, other.limit_price_ticks
        bid, ask = (bid, ask) if terms.side is Side.BUY else (ask, bid)
        if bid >= ask:
            return Refusal(
                RefusalReason.WOULD_CROSS,
                f"{_word(terms)} at {price_text(terms.limit_price_ticks, state.rules)} would meet "
                f"order {other.order_id} of the same participant at "
                f"{price_text(other.limit_price_ticks, state.rules)}",
            )
    return None


def _check_places(
    command: SubmitFlexibility, flexibility: Flexibility, state: State, branches: int
) -> Refusal | None:
    """Refuse what would make matching too slow: too many orders, or conditional requests."""
    rules, orders = state.rules, flexibility.orders.values()
    assert rules.flexibility is not None
    own = [each for each in orders if each.participant == command.participant]
    flexible = rules.flexibility
    refusal = _check_count(
        RefusalReason.TOO_MANY_ORDERS,
        "orders for flexibility",
        (len(orders), flexible.max_orders),
        (len(own), flexible.max_orders_each),
    )
    if refusal is not None or not command.terms.conditional:
        return refusal
    counts = (sum(each.terms.conditional for each in found) for found in (orders, own))
    fitting = max(1, _MOST_CONDITIONAL_ROWS // branches)
    bounds = (min(rules.max_conditional_orders, fitting), rules.max_conditional_orders_each)
    return _check_count(
        RefusalReason.TOO_MANY_CONDITIONS,
        "conditional requests",
        *zip(counts, bounds, strict=True),
    )


def _check_count(
    reason: RefusalReason, kind: str, all_and_most: tuple[int, int], own_and_most: tuple[int, int]
) -> Refusal | None:
    for (count, most), whose in (
        (all_and_most, "in an interval"),
        (own_and_most, "of one participant in an interval"),
    ):
        if count >= most:
            return Refusal(reason, f"{count} {kind} rest, and at most {most} {whose} may")
    return None


def _check_controls(
    command: SubmitFlexibility, flexibility: Flexibility, state: State, now: datetime
) -> Refusal | None:
    """Refuse what a control of the market operator forbids."""
    if not state.controls.concern_orders:
        return None
    terms, who = command.terms, command.participant
    limits = state.controls.limits_of(who)
    requests = terms.side is Side.BUY
    cost = terms.quantity_w * terms.limit_price_ticks
    return (
        check_kill_switch(who, state)
        or check_collar(terms.limit_price_ticks, state)
        or check_size(who, terms.quantity_w, limits)
        or _check_position(command, limits.position_w, flexibility)
        or check_rate(who, 1, limits, state, now)
        or (check_credit(who, cost, limits, state) if requests else None)
    )


def _check_position(
    command: SubmitFlexibility, most_w: int | None, flexibility: Flexibility
) -> Refusal | None:
    if most_w is None:
        return None
    terms, who = command.terms, command.participant
    matched_w = flexibility.total_matched_w(who, terms.side, terms.direction)
    orders = flexibility.open_orders(who, terms.side, terms.direction)
    open_w = sum(each.remaining_w for each in orders)
    if matched_w + open_w + terms.quantity_w <= most_w:
        return None
    return Refusal(
        RefusalReason.EXCEEDS_POSITION,
        f"{_word(terms)} of {terms.quantity_w:,} W exceeds the position limit of {most_w:,} W of "
        f"{who}: {matched_w:,} W are matched and {open_w:,} W are open",
    )


def _word(terms: FlexibilityTerms) -> str:
    direction: FlexDirection = terms.direction
    return f"{direction} {'request' if terms.side is Side.BUY else 'offer'}"


def _names(orders: list[FlexibilityOrder]) -> str:
    numbers = [str(each.order_id) for each in orders[: _NAMED_ORDERS + 1]]
    if len(numbers) == 1:
        return f"order {numbers[0]}"
    if len(numbers) > _NAMED_ORDERS:
        numbers[_NAMED_ORDERS] = "others"
    return f"orders {', '.join(numbers[:-1])} and {numbers[-1]}"
