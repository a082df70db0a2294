"""A flexibility market that matches, at each order, what brings the most welfare."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence

from doe_allocation.procurement.choices import FlexDirection
from exchange.flexibility.flex_order import (
    FlexFill,
    FlexMatch,
    FlexOrder,
    FlexOutcome,
)
from exchange.flexibility.flexibility_market import FlexibilityMarket
from exchange.flexibility.matching_program import Matching, best_matching
from orderbook.order import Side
from security_check.arrays import IntArray

_Pair = tuple[FlexOrder, FlexOrder, int]


class WelfareMarket(FlexibilityMarket):
    """Matches all orders of an interval together; what was matched before stays.

    Before an order arrives nothing that rests can gain any more, so the gain of a matching is the
    new order's: the others trade at their own limits, and it pays or receives the rest.  Where
    limits of flows have been changed by others meanwhile, resting orders may gain without it: the
    rest is then the youngest one's.
    """

    def _match(self, order: FlexOrder) -> FlexOutcome:
        if not any(self._crosses(order.interval, direction) for direction in FlexDirection):
            return FlexOutcome()  # without a pair that gains, no matching does
        resting = [
            *self.resting(order.interval, Side.BUY),
            *self.resting(order.interval, Side.SELL),
        ]
        pairs = list(_pairs_of(best_matching(self.flows[order.interval], resting)))
        if sum(_gain(*pair) for pair in pairs) <= 0:
            return FlexOutcome()
        matches = [self._move(*pair) for pair in pairs]
        return FlexOutcome(tuple(_fills(pairs)), tuple(matches))

    def match_at_once(self, orders: Sequence[FlexOrder]) -> list[FlexMatch]:
        """Let orders rest without matching, then match all of them: the optimum over all orders."""
        for each in orders:
            self.book_of(each).add(each)
        pairs = [
            pair
            for interval, flows in self.flows.items()
            for pair in _pairs_of(
                best_matching(flows, [each for each in orders if each.interval == interval])
            )
        ]
        return [self._move(*pair) for pair in pairs]

    def _crosses(self, interval: str, direction: FlexDirection) -> bool:
        book = self.books[interval, direction]
        bid, ask = book.best_price_ticks(Side.BUY), book.best_price_ticks(Side.SELL)
        return bid is not None and ask is not None and bid >= ask


def _gain(offer: FlexOrder, request: FlexOrder, quantity_w: int) -> int:
    return (request.limit_price_ticks - offer.limit_price_ticks) * quantity_w


def _pairs_of(matching: Matching) -> Iterator[_Pair]:
    """Yield the pairs of a matching; unconditional ones by price and time, older orders first."""
    for k, request in enumerate(matching.conditional_requests):
        for j, offer in enumerate(matching.offers):
            if matching.conditional_w[j, k]:
                yield offer, request, int(matching.conditional_w[j, k])
    for direction in FlexDirection:
        asked = list(_with_watts(matching.offers, matching.firm_w, direction))
        left_w, turn = [watts for _, watts in asked], 0
        for request, wanted_w in _with_watts(
            matching.firm_requests, matching.firm_requests_w, direction
        ):
            needed_w = wanted_w
            while needed_w:
                quantity_w = min(needed_w, left_w[turn])
                yield asked[turn][0], request, quantity_w
                needed_w -= quantity_w
                left_w[turn] -= quantity_w
                turn += not left_w[turn]


def _with_watts(
    orders: Sequence[FlexOrder], watts: IntArray, direction: FlexDirection
) -> Iterator[tuple[FlexOrder, int]]:
    """Yield the orders of a direction that trade, with their watts."""
    for each, own in zip(orders, watts.tolist(), strict=True):
        if own and each.direction is direction:
            yield each, own


def _fills(pairs: Sequence[_Pair]) -> Iterator[FlexFill]:
    """Yield what each order traded: at its own limit, the youngest for the rest of the money."""
    watts: dict[int, int] = defaultdict(int)
    orders: dict[int, FlexOrder] = {}
    for offer, request, quantity_w in pairs:
        for each in (offer, request):
            orders[each.order_id] = each
            watts[each.order_id] += quantity_w
    paid = 0
    *others, youngest = sorted(orders)
    for number in others:
        each = orders[number]
        amount = each.limit_price_ticks * watts[number]
        paid += amount if each.is_request else -amount
        yield FlexFill(number, watts[number], amount)
    rest = -paid if orders[youngest].is_request else paid
    yield FlexFill(youngest, watts[youngest], rest)
