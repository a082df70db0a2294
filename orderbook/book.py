"""A limit order book: price levels in order of price, in each the orders by time.

Costs are given for n price levels on a side and m orders in a level.  Sorted containers keep
levels in lists of a thousand, so ``O(log n)`` is a bisection, not a tree walk.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Generic, NamedTuple, TypeVar

from sortedcontainers import SortedDict

from orderbook.order import LimitOrder, Side

OrderT = TypeVar("OrderT", bound=LimitOrder)


class DepthLevel(NamedTuple):
    """The displayed quantity at one price, in integer watts, and the number of its orders."""

    limit_price_ticks: int
    quantity_w: int
    orders: int


@dataclass(slots=True)
class _PriceLevel(Generic[OrderT]):
    """Orders at one price, oldest first, and the sums of their displayed and hidden parts."""

    orders: dict[int, OrderT] = field(default_factory=dict)
    displayed_w: int = 0
    hidden_w: int = 0


class OrderBook(Generic[OrderT]):
    """The resting orders of one market.

    Priority is price, then order number.  Orders must therefore be added with rising numbers,
    and a change that costs an order its priority is a cancel and an add under a new number.
    Orders in the book may cross: whether they trade is decided outside the book.
    An iceberg whose displayed part has traded is cancelled and added anew, too.

    >>> book = OrderBook[LimitOrder]()
    >>> book.add(LimitOrder(order_id=1, side=Side.SELL, limit_price_ticks=500, remaining_w=30))
    >>> book.add(LimitOrder(order_id=2, side=Side.SELL, limit_price_ticks=400, remaining_w=10))
    >>> [order.order_id for order in book.orders(Side.SELL)]
    [2, 1]
    >>> book.reduce(2, 10).remaining_w
    0
    >>> book.best(Side.SELL).order_id
    1
    """

    __slots__ = ("_last_order_id", "_levels", "_orders")

    def __init__(self) -> None:
        # Keys of bids are negated prices, so that index 0 is the best level on both sides.
        self._levels: dict[Side, SortedDict] = {Side.BUY: SortedDict(), Side.SELL: SortedDict()}
        self._orders: dict[int, OrderT] = {}
        self._last_order_id = 0

    def __len__(self) -> int:
        return len(self._orders)

    def __contains__(self, order_id: int) -> bool:
        return order_id in self._orders

    def __getitem__(self, order_id: int) -> OrderT:
        return self._orders[order_id]

    def add(self, order: OrderT) -> None:
        """Let an order rest, behind all others at its price.  O(log n).

        An iceberg without a displayed part shows its next part.

        Raises
        ------
        ValueError
            When its number is not above every earlier one, or its quantity is used up.
        """
        if order.order_id <= self._last_order_id:
            raise ValueError(
                f"order {order.order_id} cannot be added after order {self._last_order_id}: "
                f"its number is its time priority"
            )
        if order.remaining_w <= 0:
            raise ValueError(f"order {order.order_id} has {order.remaining_w} W left to rest")
        levels = self._levels[order.side]
        key = _key(order)
        level = levels.get(key)
        if level is None:
            level = levels[key] = _PriceLevel()
        if order.peak_w is not None and not order.shown_w:
            order.show_next()
        level.orders[order.order_id] = order
        if order.shown_w is None:
            level.displayed_w += order.remaining_w
        else:
            level.displayed_w += order.shown_w
            level.hidden_w += order.remaining_w - order.shown_w
        self._orders[order.order_id] = order
        self._last_order_id = order.order_id

    def cancel(self, order_id: int) -> OrderT:
        """Take an order out and return it, its remainder untouched.

        O(1), or O(log n) for the last order of its level.

        Raises
        ------
        KeyError
            When no such order rests.
        """
        order = self._orders.pop(order_id)
        levels = self._levels[order.side]
        key = _key(order)
        level = levels[key]
        del level.orders[order_id]
        if order.shown_w is None:
            level.displayed_w -= order.remaining_w
        else:
            level.displayed_w -= order.shown_w
            level.hidden_w -= order.remaining_w - order.shown_w
        if not level.orders:
            del levels[key]
        return order

    def reduce(self, order_id: int, by_w: int) -> OrderT:
        """Lower what remains of an order and return it; at zero it leaves the book.

        Time priority is kept, and the hidden part goes first.  O(1), or O(log n) for the last
        order of its level.

        Raises
        ------
        KeyError
            When no such order rests.
        ValueError
            When ``by_w`` is not in 1 .. ``remaining_w``.
        """
        return self._lower(order_id, by_w, hidden_first=True)

    def fill(self, order_id: int, by_w: int) -> OrderT:
        """Lower what remains of a maker by a trade, and return it.

        As :meth:`reduce`, but the displayed part goes first.  An iceberg that has only its hidden
        part left must then be cancelled and added under a new number.
        """
        return self._lower(order_id, by_w, hidden_first=False)

    def _lower(self, order_id: int, by_w: int, *, hidden_first: bool) -> OrderT:
        order = self._orders[order_id]
        if not 0 < by_w <= order.remaining_w:
            raise ValueError(
                f"order {order_id} cannot fall by {by_w} W, {order.remaining_w} W remain"
            )
        if by_w == order.remaining_w:
            self.cancel(order_id)
            order.remaining_w = 0
            return order
        level = self._levels[order.side][_key(order)]
        displayed_by_w = by_w
        if order.shown_w is not None:
            hidden_w = order.remaining_w - order.shown_w
            displayed_by_w = max(0, by_w - hidden_w) if hidden_first else min(order.shown_w, by_w)
            order.shown_w -= displayed_by_w
        level.displayed_w -= displayed_by_w
        level.hidden_w -= by_w - displayed_by_w
        order.remaining_w -= by_w
        return order

    def best(self, side: Side) -> OrderT | None:
        """Return the order that trades first on a side, if any.  O(1)."""
        return next(self.orders(side), None)

    def best_price_ticks(self, side: Side) -> int | None:
        """Return the best limit price on a side, if any.  O(1)."""
        levels = self._levels[side]
        if not levels:
            return None
        key: int = levels.peekitem(0)[0]
        return _signed(side, key)

    def worst_price_ticks(self, side: Side) -> int | None:
        """Return the worst limit price on a side, if any.  O(1)."""
        levels = self._levels[side]
        if not levels:
            return None
        key: int = levels.peekitem(-1)[0]
        return _signed(side, key)

    def crossing_w(self, side: Side, limit_price_ticks: int, up_to_w: int) -> int:
        """Return the watts that an order of ``side`` would cross, counted up to ``up_to_w``.

        Hidden parts count, too.  O(price levels counted).
        """
        other = side.opposite
        last_key = _signed(other, limit_price_ticks)
        crossing_w = 0
        for key, level in self._levels[other].items():
            if key > last_key or crossing_w >= up_to_w:
                break
            crossing_w += level.displayed_w + level.hidden_w
        return min(crossing_w, up_to_w)

    def orders(self, side: Side, limit_price_ticks: int | None = None) -> Iterator[OrderT]:
        """Iterate over a side by priority; the book must not change meanwhile.

        Parameters
        ----------
        side
            The side to walk.
        limit_price_ticks
            Stop at the first price worse than this for the other side: for asks above it, for
            bids below it.  ``None`` walks all.  O(1) per order, so a walk costs what it yields.
        """
        last_key = None if limit_price_ticks is None else _signed(side, limit_price_ticks)
        for key, level in self._levels[side].items():
            if last_key is not None and key > last_key:
                return
            yield from level.orders.values()

    def depth(self, side: Side, levels: int | None = None) -> list[DepthLevel]:
        """Return the best price levels of a side, best first.  O(levels)."""
        return [
            DepthLevel(_signed(side, key), level.displayed_w, len(level.orders))
            for key, level in self._levels[side].items()[:levels]
        ]

    def levels(self, side: Side, from_ticks: int | None = None) -> Iterator[DepthLevel]:
        """Iterate over price levels, best first; the book must not change meanwhile.

        Parameters
        ----------
        side
            The side to walk.
        from_ticks
            The best price that is wanted; ``None`` for all.  O(log n), and O(1) per level.
        """
        levels = self._levels[side]
        first = None if from_ticks is None else _signed(side, from_ticks)
        for key in levels.irange(first):
            level = levels[key]
            yield DepthLevel(_signed(side, key), level.displayed_w, len(level.orders))

    def check_invariants(self) -> None:
        """Check all invariants of the book.  O(orders).

        Raises
        ------
        AssertionError
            With the level or order that breaks a rule.
        """
        seen = 0
        level: _PriceLevel[OrderT]
        for side, levels in self._levels.items():
            for key, level in levels.items():
                assert level.orders, f"{side} level {key} is empty"
                numbers = list(level.orders)
                assert numbers == sorted(numbers), f"{side} level {key} is out of time order"
                total_w = sum(order.remaining_w for order in level.orders.values())
                displayed_w = sum(order.displayed_w for order in level.orders.values())
                found = (level.displayed_w, level.displayed_w + level.hidden_w)
                assert found == (displayed_w, total_w), f"{side} level {key} adds up to {found} W"
                for number, order in level.orders.items():
                    assert number in self._orders, f"order {number} is not indexed"
                    assert self._orders[number] is order, f"order {number} rests twice"
                    assert order.order_id == number, f"order {number} is filed wrongly"
                    assert order.side is side, f"order {number} is on the wrong side"
                    assert _key(order) == key, f"order {number} is at the wrong price"
                    assert order.remaining_w > 0, f"order {number} is empty"
                    assert (order.peak_w is None) == (order.shown_w is None), f"order {number}"
                    most_w = min(order.remaining_w, order.peak_w or order.remaining_w)
                    assert 0 <= order.displayed_w <= most_w, f"order {number} shows too much"
                seen += len(level.orders)
        assert seen == len(self._orders), f"{len(self._orders)} orders indexed, {seen} in levels"
        assert max(self._orders, default=0) <= self._last_order_id, "a number is from the future"


def _signed(side: Side, limit_price_ticks: int) -> int:
    """Turn a price into its key, and a key into its price: the smallest key is the best."""
    return -limit_price_ticks if side is Side.BUY else limit_price_ticks


def _key(order: LimitOrder) -> int:
    return _signed(order.side, order.limit_price_ticks)
