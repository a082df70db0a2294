"""The order book as one sorted list: slow, and plain enough to be right at sight.

It has the methods of :class:`orderbook.book.OrderBook` and passes the same tests; everything
here costs O(n log n) or so.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import groupby
from typing import Generic

from orderbook.book import DepthLevel, OrderT
from orderbook.order import Side


class NaiveBook(Generic[OrderT]):
    """The resting orders of one market, in a list that is sorted whenever it is read."""

    def __init__(self) -> None:
        self._orders: list[OrderT] = []
        self._last_order_id = 0

    def __len__(self) -> int:
        return len(self._orders)

    def __contains__(self, order_id: int) -> bool:
        return any(order.order_id == order_id for order in self._orders)

    def __getitem__(self, order_id: int) -> OrderT:
        for order in self._orders:
            if order.order_id == order_id:
                return order
        raise KeyError(order_id)

    def add(self, order: OrderT) -> None:
        """Let an order rest; ``ValueError`` as in the fast book."""
        if order.order_id <= self._last_order_id or order.remaining_w <= 0:
            raise ValueError(f"{order} cannot be added after order {self._last_order_id}")
        self._last_order_id = order.order_id
        if order.peak_w is not None and not order.shown_w:
            order.show_next()
        self._orders.append(order)

    def cancel(self, order_id: int) -> OrderT:
        """Take an order out and return it; ``KeyError`` when it does not rest."""
        order = self[order_id]
        self._orders.remove(order)
        return order

    def reduce(self, order_id: int, by_w: int) -> OrderT:
        """Lower what remains of an order, the hidden part first; drop it at zero, return it."""
        return self._lower(order_id, by_w, min)

    def fill(self, order_id: int, by_w: int) -> OrderT:
        """Lower what remains of an order, the displayed part first; drop it at zero, return it."""
        return self._lower(order_id, by_w, lambda shown_w, left_w: max(0, shown_w - by_w))

    def _lower(self, order_id: int, by_w: int, still_shown_w: Callable[[int, int], int]) -> OrderT:
        order = self[order_id]
        if not 0 < by_w <= order.remaining_w:
            raise ValueError(f"{order} cannot fall by {by_w} W")
        order.remaining_w -= by_w
        if order.shown_w is not None and order.remaining_w:
            order.shown_w = still_shown_w(order.shown_w, order.remaining_w)
        if not order.remaining_w:
            self._orders.remove(order)
        return order

    def best(self, side: Side) -> OrderT | None:
        """Return the order that trades first on a side, if any."""
        return next(self.orders(side), None)

    def best_price_ticks(self, side: Side) -> int | None:
        """Return the best limit price on a side, if any."""
        best = self.best(side)
        return None if best is None else best.limit_price_ticks

    def worst_price_ticks(self, side: Side) -> int | None:
        """Return the worst limit price on a side, if any."""
        prices = [order.limit_price_ticks for order in self.orders(side)]
        return prices[-1] if prices else None

    def crossing_w(self, side: Side, limit_price_ticks: int, up_to_w: int) -> int:
        """Return how much an order of ``side`` would cross, counted up to ``up_to_w``."""
        crossed = self.orders(side.opposite, limit_price_ticks)
        return min(sum(order.remaining_w for order in crossed), up_to_w)

    def orders(self, side: Side, limit_price_ticks: int | None = None) -> Iterator[OrderT]:
        """Iterate over a side by priority, up to a limit price of the other side."""
        sign = -1 if side is Side.BUY else 1
        of_side = [order for order in self._orders if order.side is side]
        for order in sorted(of_side, key=lambda o: (sign * o.limit_price_ticks, o.order_id)):
            if (
                limit_price_ticks is None
                or sign * order.limit_price_ticks <= sign * limit_price_ticks
            ):
                yield order

    def depth(self, side: Side, levels: int | None = None) -> list[DepthLevel]:
        """Return the best price levels of a side, best first."""
        found = []
        for price, group in groupby(self.orders(side), key=lambda o: o.limit_price_ticks):
            displayed = [order.displayed_w for order in group]
            found.append(DepthLevel(price, sum(displayed), len(displayed)))
        return found[:levels]

    def levels(self, side: Side, from_ticks: int | None = None) -> Iterator[DepthLevel]:
        """Iterate over price levels, best first, from the best price that is wanted."""
        sign = -1 if side is Side.BUY else 1
        for level in self.depth(side):
            if from_ticks is None or sign * level.limit_price_ticks >= sign * from_ticks:
                yield level

    def check_invariants(self) -> None:
        """Check that numbers are unique and nothing empty rests."""
        numbers = [order.order_id for order in self._orders]
        assert len(numbers) == len(set(numbers)), f"a number rests twice: {numbers}"
        assert all(order.remaining_w > 0 for order in self._orders), "an empty order rests"
