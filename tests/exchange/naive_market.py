"""A market without a network, on plain lists: slow, and meant to be right at sight.

It says the rules of every order type once more, in other words than the exchange: an order is
tried on a deep copy of everything, and what may not stand is thrown away with the copy.  What
happens is a list of tuples, as :func:`told` makes them of the exchange's events, so the two can
be compared event by event.

    ("accepted", order), ("refused", reason), ("traded", watts, price, buy order, sell order),
    ("amended", order before, order, watts left), ("refilled", order before, order, watts shown),
    ("cancelled", order, watts left, reason)
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any

from exchange import events as happened


def told(events: Iterable[happened.Event]) -> list[tuple[Any, ...]]:
    """Return the exchange's events in the words of the naive market."""
    found: list[tuple[Any, ...]] = []
    for event in events:
        match event:
            case happened.OrderAccepted():
                found.append(("accepted", event.order_id))
            case happened.Refused():
                found.append(("refused", event.reason.value))
            case happened.Traded():
                orders = event.buy_order_id, event.sell_order_id
                found.append(("traded", event.quantity_w, event.price_ticks, *orders))
            case happened.OrderAmended():
                orders = event.previous_order_id, event.order_id
                found.append(("amended", *orders, event.remaining_w))
            case happened.OrderCancelled():
                found.append(("cancelled", event.order_id, event.remaining_w, event.reason.value))
    return found


@dataclass
class NaiveOrder:
    """An open order; ``number`` is its priority."""

    number: int
    name: str
    owner: int
    book: tuple[Any, ...]
    side: str
    total: int
    left: int
    price: int
    time_in_force: str
    post_only: bool = False
    prevention: str = "cancel_newest"


@dataclass
class NaiveMarket:
    """All books of an area whose network never binds, and where everybody holds enough."""

    orders: list[NaiveOrder] = field(default_factory=list)
    log: list[tuple[Any, ...]] = field(default_factory=list)
    last_number: int = 0

    def submit(
        self,
        owner: int,
        side: str,
        quantity: int,
        price: int | None,
        time_in_force: str = "GTC",
        *,
        name: str,
        book: tuple[Any, ...] = (),
        post_only: bool = False,
        self_trade_prevention: str = "cancel_newest",
    ) -> list[tuple[Any, ...]]:
        """Place an order whose conditions do not contradict each other."""
        self.log = []
        others = [o.price for o in self.orders if o.book == book and o.side != side]
        sign = 1 if side == "buy" else -1
        if post_only and any(sign * (price - other) >= 0 for other in others):
            self.log.append(("refused", "would_cross"))
            return self.log
        if price is None:
            worst = max((sign * other for other in others), default=0)
            price = sign * worst
        self.last_number += 1
        order = NaiveOrder(
            number=self.last_number,
            name=name,
            owner=owner,
            book=book,
            side=side,
            total=quantity,
            left=quantity,
            price=price,
            time_in_force=time_in_force,
            post_only=post_only,
            prevention=self_trade_prevention,
        )
        self.log.append(("accepted", order.number))
        self.orders.append(order)
        self._come_in(order.name)
        return self.log

    def amend(self, name: str, total: int | None, price: int | None) -> list[tuple[Any, ...]]:
        """Change an open order."""
        self.log = []
        order = self._named(name)
        total = order.total if total is None else total
        price = order.price if price is None else price
        done = order.total - order.left
        sign = 1 if order.side == "buy" else -1
        others = [o.price for o in self.orders if o.book == order.book and o.side != order.side]
        if (total, price) == (order.total, order.price):
            self.log.append(("refused", "nothing_to_amend"))
        elif order.post_only and any(sign * (price - other) >= 0 for other in others):
            self.log.append(("refused", "would_cross"))
        elif total <= done:
            self._cancel(order, "requested")
        elif price == order.price and total < order.total:
            order.total, order.left = total, total - done
            self.log.append(("amended", order.number, order.number, order.left))
        else:
            before = order.number
            self.last_number += 1
            order.number = self.last_number
            order.total, order.left, order.price = total, total - done, price
            self.log.append(("amended", before, order.number, order.left))
            self._come_in(name)
        return self.log

    def cancel(self, name: str) -> list[tuple[Any, ...]]:
        """Take out an open order."""
        self.log = []
        self._cancel(self._named(name), "requested")
        return self.log

    def resting(self) -> list[tuple[int, int, int]]:
        """Return number, price and watts left of every open order, oldest first."""
        return sorted((o.number, o.price, o.left) for o in self.orders)

    def _named(self, name: str) -> NaiveOrder:
        (order,) = (o for o in self.orders if o.name == name)
        return order

    def _cancel(self, order: NaiveOrder, reason: str) -> None:
        self.orders.remove(order)
        self.log.append(("cancelled", order.number, order.left, reason))

    def _come_in(self, name: str) -> None:
        """Let an order trade; then it rests, or it does not."""
        order = self._named(name)
        if order.time_in_force == "FOK":
            trial = deepcopy(self)
            trial._walk(trial._named(name))
            if any(o.name == name for o in trial.orders) or any(
                entry[0] == "cancelled" and entry[1] == order.number for entry in trial.log
            ):
                self._fail_to_fill(order, trial.log)
            else:
                self.__dict__ = trial.__dict__
            return
        self._walk(order)
        if order in self.orders and order.time_in_force == "IOC":
            self._cancel(order, "immediate_or_cancel")

    def _fail_to_fill(self, order: NaiveOrder, tried: Sequence[tuple[Any, ...]]) -> None:
        """Undo everything; the order goes, because it met its own or was not filled."""
        doomed = [entry[1] for entry in tried if entry[0] == "cancelled"]
        if order.number not in doomed:
            self._cancel(order, "fill_or_kill")
            return
        for number in doomed:
            self._cancel(next(o for o in self.orders if o.number == number), "self_trade")

    def _walk(self, order: NaiveOrder) -> None:
        """Take all orders that it crosses, the best and oldest first."""
        sign = 1 if order.side == "buy" else -1
        doomed: list[NaiveOrder] = []
        crossed = [
            o
            for o in self.orders
            if o.book == order.book and o.side != order.side and sign * (order.price - o.price) >= 0
        ]
        for other in sorted(crossed, key=lambda o: (sign * o.price, o.number)):
            if not order.left or order in doomed:
                break
            older, newer = sorted((order, other), key=lambda o: o.number)
            if other.owner == order.owner:
                if newer.prevention != "cancel_newest":
                    doomed.append(older)
                if newer.prevention != "cancel_oldest":
                    doomed.append(newer)
                continue
            amount = min(order.left, other.left)
            buy, sell = (order, other) if order.side == "buy" else (other, order)
            self.log.append(("traded", amount, older.price, buy.number, sell.number))
            for each in (buy, sell):
                each.left -= amount
        self.orders = [o for o in self.orders if o.left]
        for each in doomed:
            self._cancel(each, "self_trade")
