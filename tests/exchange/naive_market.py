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

from collections.abc import Collection, Iterable
from copy import deepcopy
from dataclasses import dataclass, field, replace
from typing import Any

from exchange import events as happened
from exchange.fills import pairs_of

Book = tuple[int, str]
"""An interval, counted from 0, and a direction."""

Story = list[tuple[Any, ...]]
"""What happened, in order."""


def told(events: Iterable[happened.Event]) -> Story:
    """Return the exchange's events in the words of the naive market."""
    found: Story = []
    for event in events:
        match event:
            case happened.OrderAccepted() | happened.JointOrderAccepted():
                found.append(("accepted", event.order_id))
            case happened.Refused():
                found.append(("refused", event.reason.value))
            case happened.Traded():
                (taker,) = {
                    f.client_order_id for f in event.fills if f.order_id == event.taker_order_id
                } or {None}
                for buy, sell, quantity_w in pairs_of(event.fills):
                    maker = sell if buy.client_order_id == taker else buy
                    price = abs(maker.amount) / maker.quantity_w
                    found.append(("traded", quantity_w, price, buy.order_id, sell.order_id))
            case happened.OrderAmended():
                orders = event.previous_order_id, event.order_id
                found.append(("amended", *orders, event.remaining_w))
            case happened.OrderRefilled():
                orders = event.previous_order_id, event.order_id
                found.append(("refilled", *orders, event.displayed_w))
            case happened.OrderCancelled():
                found.append(("cancelled", event.order_id, event.remaining_w, event.reason.value))
    return found


@dataclass
class NaiveOrder:
    """An open order; ``number`` is its priority, ``shown`` what an iceberg shows now."""

    number: int
    name: str
    owner: int
    book: Book
    side: str
    total: int
    left: int
    price: int
    time_in_force: str
    post_only: bool
    self_trade_prevention: str
    all_or_none: bool
    minimum_w: int | None
    displayed_w: int | None
    expires: int | None
    joint: int | None = None
    shown: int = 0

    def show(self) -> None:
        """Show the first or the next part."""
        self.shown = self.left if self.displayed_w is None else min(self.displayed_w, self.left)

    @property
    def needs(self) -> int:
        """What must trade at once, if anything."""
        if self.all_or_none or self.time_in_force == "FOK":
            return self.left
        return min(self.minimum_w or 0, self.left)

    def crosses(self, other: NaiveOrder) -> bool:
        """Whether the two could trade if nobody had conditions."""
        if self.book != other.book or self.side == other.side:
            return False
        buy, sell = (self, other) if self.side == "buy" else (other, self)
        return buy.price >= sell.price


@dataclass
class NaiveMarket:
    """All books of an area whose network never binds, and where everybody holds enough."""

    orders: list[NaiveOrder] = field(default_factory=list)
    log: Story = field(default_factory=list)
    last_number: int = 0
    now: int = 0

    def submit(
        self,
        owner: int,
        side: str,
        quantity: int,
        price: int | None,
        time_in_force: str = "GTC",
        *,
        name: str,
        book: Book = (0, "injection"),
        post_only: bool = False,
        self_trade_prevention: str = "cancel_newest",
        all_or_none: bool = False,
        minimum_w: int | None = None,
        displayed_w: int | None = None,
        expires_in: int | None = None,
    ) -> Story:
        """Place an order whose conditions do not contradict each other."""
        self._begin()
        if price is None:
            prices = [o.price for o in self.orders if o.book == book and o.side != side]
            price = (max if side == "buy" else min)(prices, default=0)
        order = NaiveOrder(
            self.last_number + 1,
            name,
            owner,
            book,
            side,
            quantity,
            quantity,
            price,
            time_in_force,
            post_only,
            self_trade_prevention,
            all_or_none,
            minimum_w,
            displayed_w,
            None if expires_in is None else self.now + expires_in,
        )
        if post_only and self._would_cross(order):
            self.log.append(("refused", "would_cross"))
            self._settle_all()
            return self.log
        self.last_number += 1
        order.show()
        self.log.append(("accepted", order.number))
        self.orders.append(order)
        self._come_in(order)
        self._settle_all()
        return self.log

    def submit_joint(
        self,
        owner: int,
        legs: list[tuple[Book, str, int, int]],
        *,
        name: str,
        all_or_none: bool,
        self_trade_prevention: str = "cancel_newest",
        expires_in: int | None = None,
    ) -> Story:
        """Place legs (book, side, quantity, price) that trade together."""
        self._begin()
        expires = None if expires_in is None else self.now + expires_in
        joint = self.last_number + 1
        for count, (book, side, quantity, price) in enumerate(legs):
            order = NaiveOrder(
                joint + count,
                f"{name}#{count}",
                owner,
                book,
                side,
                quantity,
                quantity,
                price,
                "GTC",
                False,
                self_trade_prevention,
                all_or_none,
                None,
                None,
                expires,
                joint,
            )
            order.show()
            self.orders.append(order)
        self.last_number += len(legs)
        self.log.append(("accepted", joint))
        self._settle_all()
        return self.log

    def amend(self, name: str, total: int | None, price: int | None) -> Story:
        """Change an open order."""
        self._begin()
        order = self._named(name)
        total = order.total if total is None else total
        price = order.price if price is None else price
        done = order.total - order.left
        if order.joint is not None:
            self.log.append(("refused", "conditions_invalid"))
        elif (total, price) == (order.total, order.price):
            self.log.append(("refused", "nothing_to_amend"))
        elif total < (order.minimum_w or 0):
            self.log.append(("refused", "conditions_invalid"))
        elif order.post_only and self._would_cross(replace(order, price=price)):
            self.log.append(("refused", "would_cross"))
        elif total <= done:
            self._cancel(order, "requested")
        elif price == order.price and total < order.total:
            order.total, order.left = total, total - done
            order.shown = min(order.shown, order.left)
            self.log.append(("amended", order.number, order.number, order.left))
        else:
            before = order.number
            self.last_number += 1
            order.number = self.last_number
            order.total, order.left, order.price = total, total - done, price
            order.show()
            self.log.append(("amended", before, order.number, order.left))
            self._come_in(order)
        self._settle_all()
        return self.log

    def cancel(self, name: str) -> Story:
        """Take out an open order."""
        self._begin()
        self._cancel(self._named(name), "requested")
        self._settle_all()
        return self.log

    def resting(self) -> list[tuple[int, int, int, int]]:
        """Return number, price, watts left and watts shown of every open order, oldest first."""
        return sorted((o.number, o.price, o.left, o.shown) for o in self.orders)

    def _begin(self) -> None:
        """Begin a request: the clock ticks, and what is due expires."""
        self.log = []
        self.now += 1
        due = [o for o in self.orders if o.expires is not None and o.expires <= self.now]
        for order in sorted(due, key=lambda o: (o.expires, o.number)):
            if order in self.orders:
                self._cancel(order, "expired")

    def _named(self, name: str) -> NaiveOrder:
        return next(o for o in self.orders if o.name in (name, f"{name}#0"))

    def _would_cross(self, order: NaiveOrder) -> bool:
        """Whether a post-only order meets anything that trades without conditions."""
        firm = [o for o in self.orders if not o.needs and o.joint is None]
        return any(order.crosses(other) for other in firm)

    def _cancel(self, order: NaiveOrder, reason: str) -> None:
        """Take out an order, a joint one with all its legs."""
        if order.joint is not None:
            order = self._legs(order.joint)[0]
        self.log.append(("cancelled", order.number, order.left, reason))
        joint = order.joint
        self.orders = [
            o for o in self.orders if o is not order and (joint is None or o.joint != joint)
        ]

    def _legs(self, joint: int) -> list[NaiveOrder]:
        """Return the legs of a joint order."""
        return sorted((o for o in self.orders if o.joint == joint), key=lambda o: o.number)

    def _come_in(self, order: NaiveOrder) -> None:
        """Let an order trade; then it rests, or it does not."""
        name = order.name
        self._try(order)
        without_waiting = {"IOC": "immediate_or_cancel", "FOK": "fill_or_kill"}
        if order.time_in_force in without_waiting:
            self._settle_all()
            for left in [o for o in self.orders if o.name == name]:
                self._cancel(left, without_waiting[left.time_in_force])
        self._settle(order.book[0])

    def _settle_all(self) -> None:
        """Let every interval come to rest, then try the joint orders, until nothing moves."""
        moved = True
        while moved:
            for interval in sorted({order.book[0] for order in self.orders}):
                self._settle(interval)
            joints = sorted({o.joint for o in self.orders if o.joint is not None})
            moved = any(self._try_joint(joint) for joint in joints)

    def _settle(self, interval: int) -> None:
        """Try what rests in an interval, oldest first, until nothing moves."""
        while any(
            self._try(order)
            for order in sorted(self.orders, key=lambda o: o.number)
            if order.book[0] == interval and order.needs and order.joint is None
        ):
            pass

    def _try(self, order: NaiveOrder) -> bool:
        """Let an order trade if what it needs is there; return whether anything happened."""
        if not self._enough_is_there(order):
            return False
        trial = deepcopy(self)
        needs = order.needs
        traded, doomed = trial._walk(trial._named(order.name))
        if traded >= needs:
            self.__dict__ = trial.__dict__
        elif order.name not in doomed:
            return False
        self._cancel_own(doomed)
        return bool(traded or doomed)

    def _enough_is_there(self, order: NaiveOrder) -> bool:
        there = sum(other.left for other in self.orders if order.crosses(other))
        return there >= max(1, order.needs)

    def _cancel_own(self, doomed: list[str]) -> None:
        for name in doomed:
            for own in [o for o in self.orders if o.name == name]:
                self._cancel(own, "self_trade")

    def _try_joint(self, joint: int) -> bool:
        """Let all legs trade in full, or the same watts of each; others may come along."""
        legs = self._legs(joint)
        if not all(self._enough_is_there(leg) for leg in legs):
            return False
        whole = legs[0].all_or_none
        company = {o.joint for o in self.orders if o.joint not in (None, joint)}
        target = legs[0].left
        while target:
            trial = deepcopy(self)
            traded, doomed = [], []
            goals = [leg.left if whole else target for leg in legs]
            for leg, goal in zip(legs, goals, strict=True):
                watts, own = trial._walk(trial._named(leg.name), goal, company)
                traded.append(watts)
                doomed += own
            torn = [each for each in sorted(company) if self._is_torn(each, trial)]
            if not torn and traded == goals:
                self.__dict__ = trial.__dict__
                self._cancel_own(doomed)
                return True
            if met_own := [name for name in doomed if name in [leg.name for leg in legs]]:
                self._cancel_own(met_own)
                return True
            if torn:
                company.remove(torn[0])
            elif whole:
                return False
            else:
                target = min(traded)
        return False

    def _is_torn(self, joint: int, trial: NaiveMarket) -> bool:
        """Whether a joint order did not come out of a trial as one."""
        left = {o.name: o.left for o in trial.orders}
        legs = self._legs(joint)
        traded = [leg.left - left.get(leg.name, 0) for leg in legs]
        if not any(traded):
            return False
        if legs[0].all_or_none:
            return any(leg.name in left for leg in legs)
        return len(set(traded)) > 1

    def _walk(
        self, order: NaiveOrder, most: int | None = None, company: Collection[int] = ()
    ) -> tuple[int, list[str]]:
        """Take all orders that it crosses, the best and oldest first.

        Returns
        -------
        What was traded, at most ``most``, and the orders of its own owner that are to be
        cancelled, itself perhaps among them.  Of joint orders only those in ``company`` take part.
        """
        most = order.left if most is None else most
        ages = {o.name: o.number for o in self.orders}
        sign = 1 if order.side == "buy" else -1
        traded = 0
        doomed: list[NaiveOrder] = []
        queue = [other for other in self.orders if order.crosses(other)]
        queue = [other for other in queue if other.joint is None or other.joint in company]
        while queue and traded < most and order not in doomed:
            queue.sort(key=lambda o: (sign * o.price, o.number))
            other = queue.pop(0)
            older, newer = sorted((order, other), key=lambda o: ages[o.name])
            amount = min(most - traded, other.shown if other is older else other.left)
            if amount < other.needs:
                continue
            if other.owner == order.owner:
                if newer.self_trade_prevention != "cancel_newest":
                    doomed.append(older)
                if newer.self_trade_prevention != "cancel_oldest":
                    doomed.append(newer)
                continue
            self._trade(amount, older, newer)
            traded += amount
            if other.left:
                queue.append(other)
        self.orders = [o for o in self.orders if o.left]
        return traded, [own.name for own in doomed]

    def _trade(self, amount: int, maker: NaiveOrder, taker: NaiveOrder) -> None:
        """Trade at the maker's price; an iceberg that shows nothing any more is refilled."""
        buy, sell = (maker, taker) if maker.side == "buy" else (taker, maker)
        self.log.append(("traded", amount, maker.price, buy.number, sell.number))
        maker.left -= amount
        taker.left -= amount
        maker.shown = max(0, maker.shown - amount)
        taker.shown = min(taker.shown, taker.left)
        if maker.left and not maker.shown:
            before = maker.number
            self.last_number += 1
            maker.number = self.last_number
            maker.show()
            self.log.append(("refilled", before, maker.number, maker.shown))
