"""A continuous market for flexibility: orders arrive one by one, and matches stay within limits."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from heapq import merge

from doe_allocation.procurement.choices import FlexDirection
from exchange.flexibility.flex_order import (
    FlexFill,
    FlexMatch,
    FlexOrder,
    FlexOutcome,
    FlexRefusal,
)
from exchange.flexibility.robust_flows import ROUNDING_W, RobustFlows
from orderbook.book import OrderBook
from orderbook.order import Side
from security_check.arrays import FloatArray
from security_check.model.linear_network import LinearNetwork


class FlexibilityMarket(ABC):
    """Books and flows of all intervals; a subclass says how orders are matched.

    Parameters
    ----------
    network
        The network of all intervals.
    set_points_w
        Injections by interval, each of shape (buses,).

    Attributes
    ----------
    flows
        The flows by interval, with everything matched so far.
    """

    def __init__(self, network: LinearNetwork, set_points_w: Mapping[str, FloatArray]) -> None:
        self.network = network
        self.flows = {key: RobustFlows(network, given) for key, given in set_points_w.items()}
        self.books: dict[tuple[str, FlexDirection], OrderBook[FlexOrder]] = {
            (interval, direction): OrderBook()
            for interval in set_points_w
            for direction in FlexDirection
        }

    def submit(self, order: FlexOrder) -> FlexOutcome:
        """Take an order with a new, larger number; match it, and let the rest of it rest.

        Raises
        ------
        KeyError
            When its interval is unknown.
        """
        self.book_of(order).add(order)
        return self._match(order)

    def cancel(self, order: FlexOrder) -> None:
        """Take what rests of an order out of the book.

        Raises
        ------
        KeyError
            When nothing of it rests.
        """
        self.book_of(order).cancel(order.order_id)

    def book_of(self, order: FlexOrder) -> OrderBook[FlexOrder]:
        """Return the book of an order."""
        return self.books[order.interval, order.direction]

    def resting(self, interval: str, side: Side) -> Iterator[FlexOrder]:
        """Iterate over the resting orders of an interval, both directions, the best price first."""
        sign = -1 if side is Side.BUY else 1
        own = [self.books[interval, direction].orders(side) for direction in FlexDirection]
        return merge(*own, key=lambda each: (sign * each.limit_price_ticks, each.order_id))

    @abstractmethod
    def _match(self, order: FlexOrder) -> FlexOutcome:
        """Match an order that was added last."""

    def _move(self, offer: FlexOrder, request: FlexOrder, quantity_w: int) -> FlexMatch:
        """Match watts of a pair: change books and flows."""
        gain_ticks = request.limit_price_ticks - offer.limit_price_ticks
        book = self.book_of(offer)
        for each in (offer, request):
            book.fill(each.order_id, quantity_w)
        self.flows[offer.interval].match(*self._change(offer, request), quantity_w)
        return FlexMatch(offer.order_id, request.order_id, quantity_w, gain_ticks)

    def _change(self, offer: FlexOrder, request: FlexOrder) -> tuple[FloatArray, int | None]:
        """Return what a watt of a pair adds to each flow, and its conditional request."""
        buses = (request.bus, offer.bus) if offer.moves > 0 else (offer.bus, request.bus)
        conditional = request.order_id if request.conditional else None
        return self.flows[offer.interval].change(*buses), conditional


class PairwiseMarket(FlexibilityMarket):
    """Price-time matching of pairs, each limited by the network; at the older order's price.

    After a match with an unconditional request has changed the flows, resting offers are tried
    again, the cheapest first, until none matches.
    """

    def _match(self, order: FlexOrder) -> FlexOutcome:
        fills: list[FlexFill] = []
        matches: list[FlexMatch] = []
        refusals: list[FlexRefusal] = []
        moved = self._meet(order, fills, matches, refusals)
        while moved:
            moved = False
            for offer in list(self.resting(order.interval, Side.SELL)):
                moved |= self._meet(offer, fills, matches, refusals)
        return FlexOutcome(tuple(fills), tuple(matches), tuple(dict.fromkeys(refusals)))

    def _meet(
        self,
        order: FlexOrder,
        fills: list[FlexFill],
        matches: list[FlexMatch],
        refusals: list[FlexRefusal],
    ) -> bool:
        """Match an order with all that it crosses; return whether flows changed for good."""
        moved = False
        book, flows = self.book_of(order), self.flows[order.interval]
        for other in list(book.orders(order.side.opposite, order.limit_price_ticks)):
            offer, request = (other, order) if order.is_request else (order, other)
            wanted_w = min(offer.remaining_w, request.remaining_w)
            most_w, branch = flows.most_w(*self._change(offer, request))
            quantity_w = int(min(wanted_w, most_w + ROUNDING_W))
            if not quantity_w:
                name = self.network.branches[branch]
                refusals.append(FlexRefusal(offer.order_id, request.order_id, name))
                continue
            matches.append(self._move(offer, request, quantity_w))
            older = min(offer, request, key=lambda each: each.order_id)
            amount = quantity_w * older.limit_price_ticks
            fills += [FlexFill(each.order_id, quantity_w, amount) for each in (offer, request)]
            moved |= not request.conditional
            if not order.remaining_w:
                break
        return moved
