"""A market without a network, on plain lists: slow, and meant to be right at sight.

It says the rules of every order type once more, in other words than the exchange.  Where only
plain orders and icebergs can trade, it says who trades by price and time.  Where orders with
conditions come into play there may be many best choices: then it works out the best gain by
trying them all (:mod:`naive_program`), checks that what the exchange traded keeps all conditions
and reaches that gain, and takes it over.  So it knows in every case when something is left to
trade, and the stories of an event must agree:

    ("accepted", order), ("refused", reason), ("traded", taker, ((order, watts, pays), ...)),
    ("amended", order before, order, watts left), ("refilled", order before, order, watts shown),
    ("cancelled", order, watts left, reason),
    ("guarded", owner, session), ("lost", owner, session, orders)
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from naive_program import best, is_conditional

from exchange.vocabulary import events as happened
from exchange.vocabulary import safeguard_events as guarding

Book = tuple[int, str]
"""An interval, counted from 0, and a direction."""

Story = list[tuple[Any, ...]]
"""What happened, in order."""

_WITHOUT_WAITING = {"IOC": "immediate_or_cancel", "FOK": "fill_or_kill"}


def story_of(events: Iterable[happened.Event]) -> Story:
    """Return the exchange's events in the words of the naive market."""
    found: Story = []
    for event in events:
        match event:
            case happened.OrderAccepted() | happened.JointOrderAccepted():
                found.append(("accepted", event.order_id))
            case happened.Refused():
                found.append(("refused", event.reason.value))
            case happened.Traded():
                fills = tuple((f.order_id, f.quantity_w, f.amount) for f in event.fills)
                found.append(("traded", event.taker_order_id, fills))
            case happened.OrderAmended():
                orders = event.previous_order_id, event.order_id
                found.append(("amended", *orders, event.remaining_w))
            case happened.OrderRefilled():
                orders = event.previous_order_id, event.order_id
                found.append(("refilled", *orders, event.displayed_w))
            case happened.OrderCancelled():
                found.append(("cancelled", event.order_id, event.remaining_w, event.reason.value))
            case guarding.SafeguardSet():
                found.append(("guarded", int(event.participant[1:]), event.session))
            case guarding.SessionLost():
                owner = int(event.participant[1:])
                found.append(("lost", owner, event.session, event.orders))
            case _:
                found.append((type(event).__name__,))
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

    @property
    def unit(self) -> int:
        """What its legs have in common, if it is one of a joint order."""
        return self.joint or self.number

    @property
    def signed_price(self) -> int:
        """Its price, the better the lower."""
        return -self.price if self.side == "buy" else self.price

    def may_cross(self, other: NaiveOrder) -> bool:
        """Whether the two could trade if another leg of a joint order made up for it."""
        if self.book != other.book or self.side == other.side:
            return False
        return self.joint is not None or other.joint is not None or self.crosses(other)

    def crosses(self, other: NaiveOrder) -> bool:
        """Whether the two could trade if no order had conditions."""
        if self.book != other.book or self.side == other.side:
            return False
        buy, sell = (self, other) if self.side == "buy" else (other, self)
        return buy.price >= sell.price

    def comes_before(self, other: NaiveOrder) -> bool:
        """Whether it has priority over another of its side."""
        return (self.signed_price, self.number) < (other.signed_price, other.number)


@dataclass
class NaiveMarket:
    """All books of an area whose network never binds, and where each participant holds enough.

    Each request comes with ``seen``, what the exchange reported of it; only trades among
    orders with conditions are taken from there.
    """

    orders: list[NaiveOrder] = field(default_factory=list)
    log: Story = field(default_factory=list)
    seen: Story = field(default_factory=list)
    last_number: int = 0
    now: int = 0
    by_price_and_time: int = 0
    by_best_gain: int = 0
    guards: list[tuple[int, str, str, bool, bool]] = field(default_factory=list)
    """Owner, device, session, and whether a broken connection and silence lose it."""
    broken: set[tuple[int, str]] = field(default_factory=set)

    def submit(
        self,
        owner: int,
        side: str,
        quantity: int,
        price: int | None,
        time_in_force: str = "GTC",
        *,
        name: str,
        seen: Story,
        book: Book = (0, "injection"),
        post_only: bool = False,
        self_trade_prevention: str = "cancel_newest",
        all_or_none: bool = False,
        minimum_w: int | None = None,
        displayed_w: int | None = None,
        expires_in: int | None = None,
    ) -> Story:
        """Place an order whose conditions do not contradict each other."""
        self._begin(seen)
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
        if post_only and (self._would_cross(order) or self._would_trade(order)):
            self.log.append(("refused", "would_cross"))
            return self.log
        self.last_number += 1
        order.show()
        self.log.append(("accepted", order.number))
        self.orders.append(order)
        self._come_in([order])
        return self.log

    def submit_joint(
        self,
        owner: int,
        legs: list[tuple[Book, str, int, int]],
        *,
        name: str,
        seen: Story,
        all_or_none: bool,
        self_trade_prevention: str = "cancel_newest",
        expires_in: int | None = None,
    ) -> Story:
        """Place legs (book, side, quantity, price) that trade together."""
        self._begin(seen)
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
        self._come_in(self.orders[-len(legs) :])
        return self.log

    def amend(self, name: str, total: int | None, price: int | None, *, seen: Story) -> Story:
        """Change an open order."""
        self._begin(seen)
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
        elif order.post_only and self._would_wait_no_more(order, total - done, price):
            self.log.append(("refused", "would_cross"))
        elif total <= done:
            self._cancel(order, "requested")
        elif price == order.price and total < order.total:
            order.total, order.left = total, total - done
            order.shown = min(order.shown, order.left)
            self.log.append(("amended", order.number, order.number, order.left))
            self._come_in([order])
        else:
            before = order.number
            self.last_number += 1
            order.number = self.last_number
            order.total, order.left, order.price = total, total - done, price
            order.show()
            self.log.append(("amended", before, order.number, order.left))
            self._come_in([order])
        return self.log

    def cancel(self, name: str, *, seen: Story) -> Story:
        """Take out an open order."""
        self._begin(seen)
        self._cancel(self._named(name), "requested")
        self._clear(None, self.orders)
        return self.log

    def guard(
        self, owner: int, device: str, session: str, broken: bool, silent: bool, *, seen: Story
    ) -> Story:
        """Guard a session of a device: it is lost when it is broken, or silent."""
        self._begin(seen)
        wanted = broken or silent
        if wanted and (owner, session) in self.broken:
            self.log.append(("refused", "session_lost"))
            return self.log
        mine = [g for g in self.guards if g[0] == owner]
        gone = [g for g in mine if g[2] == session or (wanted and g[1] == device)]
        if wanted and len(mine) - len(gone) >= 8:
            self.log.append(("refused", "too_many_safeguards"))
            return self.log
        self.guards = [g for g in self.guards if g not in gone]
        if wanted:
            self.guards.append((owner, device, session, broken, silent))
        self.log.append(("guarded", owner, session))
        return self.log

    def lose(self, owner: int, session: str, reason: str, *, seen: Story) -> Story:
        """Let a session break or be silent: where that is guarded, all its owner's orders go."""
        self._begin(seen)
        for guard in self.guards:
            if guard[0] == owner and guard[2] == session:
                if not guard[3 if reason == "disconnected" else 4]:
                    return self.log
                units = sorted({o.unit for o in self.orders if o.owner == owner}, key=self._oldest)
                for unit in units:
                    self._cancel(next(o for o in self.orders if o.unit == unit), reason)
                self.guards.remove(guard)
                if reason == "disconnected":
                    self.broken.add((owner, session))
                self.log.append(("lost", owner, session, len(units)))
                self._clear(None, self.orders)
                return self.log
        return self.log

    def _oldest(self, unit: int) -> int:
        return min(o.number for o in self.orders if o.unit == unit)

    def resting(self) -> list[tuple[int, int, int, int]]:
        """Return number, price, watts left and watts shown of every open order, oldest first."""
        return sorted((o.number, o.price, o.left, o.shown) for o in self.orders)

    def check_nothing_crosses_its_own(self) -> None:
        """Check that no two orders of one owner rest crossed."""
        for order in self.orders:
            own = [o for o in self.orders if o.owner == order.owner and o.crosses(order)]
            assert not own, f"{order} rests across {own}"

    # -- before and after a request -------------------------------------------------------------

    def _begin(self, seen: Story) -> None:
        """Begin a request: the clock ticks, and what is due expires."""
        self.log = []
        self.seen = [entry for entry in seen if entry[0] == "traded"]
        self.now += 1
        due = [o for o in self.orders if o.expires is not None and o.expires <= self.now]
        for order in sorted(due, key=lambda o: (o.expires, o.number)):
            if order in self.orders:
                self._cancel(order, "expired")

    def _named(self, name: str) -> NaiveOrder:
        return next(o for o in self.orders if o.name in (name, f"{name}#0"))

    def _would_cross(self, order: NaiveOrder) -> bool:
        """Whether a post-only order meets anything that trades without conditions."""
        return any(order.crosses(other) for other in self.orders if not is_conditional(other))

    def _cancel(self, order: NaiveOrder, reason: str) -> None:
        """Take out an order, a joint one with all its legs."""
        first = min((o for o in self.orders if o.unit == order.unit), key=lambda o: o.number)
        self.log.append(("cancelled", first.number, first.left, reason))
        self.orders = [o for o in self.orders if o.unit != order.unit]

    # -- what an order meets ----------------------------------------------------------------------

    def _come_in(self, legs: Sequence[NaiveOrder]) -> None:
        """Let an order meet its own and trade; then it rests, or it does not."""
        order = legs[0]
        taker = order.unit
        if self._meet_own(legs):
            self._clear(taker, self.orders)
        if order in self.orders and order.time_in_force in _WITHOUT_WAITING:
            self._cancel(order, _WITHOUT_WAITING[order.time_in_force])
        self._clear(taker, self.orders)

    def _meet_own(self, legs: Sequence[NaiveOrder]) -> bool:
        """Resolve where an order meets its own; return whether it may go on to trade."""
        order = legs[0]
        for leg in legs:
            while own := self._first_own(leg):
                if order.joint is None and self._trades_without_its_own(order):
                    others = [o for o in self.orders if o.owner != leg.owner]
                    behind = [o for o in self.orders if _same_queue(o, own) and o not in others]
                    self._clear(order.number, self._without(behind))
                    return False
                if order.joint is None:
                    behind = [o for o in self.orders if _same_queue(o, own)]
                    behind = [o for o in behind if o.crosses(order) and not o.comes_before(own)]
                    behind = behind or [own]  # a leg that is met without being crossed
                    self._clear(order.number, self._without(behind))
                    if order not in self.orders:
                        return False
                if order.self_trade_prevention != "cancel_newest":
                    self._cancel(own, "self_trade")
                if order.self_trade_prevention != "cancel_oldest":
                    self._cancel(order, "self_trade")
                    return False
        return True

    def _would_trade(self, order: NaiveOrder, instead_of: NaiveOrder | None = None) -> bool:
        """Whether an order would trade at once, be it with conditional orders."""
        others = [other for other in self.orders if other is not instead_of]
        return bool(best([*others, order]).worth.watts)

    def _would_wait_no_more(self, order: NaiveOrder, left: int, price: int) -> bool:
        """Whether an order that only waits would trade at once with other terms."""
        amended = replace(order, price=price, number=self.last_number + 1)
        if self._would_cross(amended):
            return True
        amended.left = amended.shown = left
        return left > 0 and self._would_trade(amended, order)

    def _first_own(self, leg: NaiveOrder) -> NaiveOrder | None:
        """Return the best of its owner's older orders that an order crosses, if any."""
        own = [
            o
            for o in self.orders
            if o.owner == leg.owner and o.number < leg.number and o.may_cross(leg)
        ]
        return min(own, key=lambda o: (o.signed_price, o.number), default=None)

    @staticmethod
    def _trades_without_its_own(order: NaiveOrder) -> bool:
        """Whether it trades at once or not at all, and would otherwise cancel some in vain."""
        at_once = order.time_in_force in _WITHOUT_WAITING and order.needs > 0
        return at_once and order.self_trade_prevention == "cancel_oldest"

    def _without(self, some: Sequence[NaiveOrder]) -> list[NaiveOrder]:
        units = {order.unit for order in some}
        return [o for o in self.orders if o.unit not in units]

    # -- trades -----------------------------------------------------------------------------------

    def _clear(self, taker: int | None, among: Sequence[NaiveOrder]) -> None:
        """Trade until nothing is left that would raise welfare, or trade at no loss."""
        while True:
            still = [o for o in among if o in self.orders]
            found = best(still)
            if not found.worth.watts:
                return
            if found.conditions_matter:
                self._adopt(still, found.worth.gain, taker)
            else:
                self._execute(self._matched(still, taker), taker)
                self.by_price_and_time += 1

    def _matched(self, among: Sequence[NaiveOrder], taker: int | None) -> dict[int, int]:
        """Return what plain orders trade by price and time, all that icebergs hide after that."""
        queues: dict[str, list[list[int]]] = {}
        (book,) = {o.book for o in among if o.number == taker}
        for side in ("buy", "sell"):
            parts = []
            for o in among:
                if o.book == book and o.side == side and not is_conditional(o):
                    shown = o.left if o.number == taker else o.shown
                    parts.append((o.signed_price, 0, o.number, shown))
                    parts.append((o.signed_price, 1, o.number, o.left - shown))
            queues[side] = [[part[0], part[2], part[3]] for part in sorted(parts) if part[3]]
        watts: dict[int, int] = {}
        while queues["buy"] and queues["sell"]:
            bid, ask = queues["buy"][0], queues["sell"][0]
            if -bid[0] < ask[0]:
                break
            amount = min(bid[2], ask[2])
            for part, queue in ((bid, queues["buy"]), (ask, queues["sell"])):
                watts[part[1]] = watts.get(part[1], 0) + amount
                part[2] -= amount
                if not part[2]:
                    queue.pop(0)
        return watts

    def _adopt(self, among: Sequence[NaiveOrder], gain: int, taker: int | None) -> None:
        """Take over what the exchange traded, if that is as good as can be and keeps conditions."""
        assert self.seen, f"{gain} tick-watts are left to gain"
        watts = {number: quantity for number, quantity, _ in self.seen[0][2]}
        named = {o.number: o for o in among}
        assert watts.keys() <= named.keys()
        balance: dict[Book, int] = {}
        reached = 0
        for number, quantity in watts.items():
            order = named[number]
            sign = 1 if order.side == "buy" else -1
            assert order.needs <= quantity <= order.left
            balance[order.book] = balance.get(order.book, 0) + sign * quantity
            reached += sign * quantity * order.price
            if order.joint is not None:
                legs = [o for o in among if o.joint == order.joint]
                traded = [watts.get(leg.number, 0) for leg in legs]
                assert order.all_or_none or len(set(traded)) == 1
                assert not order.all_or_none or traded == [leg.left for leg in legs]
        assert not any(balance.values())
        assert reached == gain
        self._execute(watts, taker)
        self.by_best_gain += 1

    def _execute(self, watts: dict[int, int], taker: int | None) -> None:
        """Let orders trade: makers at their own limits, and the taker gets the difference."""
        traded = {o.number: o for o in self.orders if o.number in watts}
        units = {o.unit for o in traded.values()}
        taker = taker if taker in units else max(units)
        pays = {
            number: (order.price if order.side == "buy" else -order.price) * watts[number]
            for number, order in traded.items()
        }
        makers = sum(pays[number] for number, o in traded.items() if o.unit != taker)
        own = [number for number, o in traded.items() if o.unit == taker]
        if len(own) == 1:
            pays[own[0]] = -makers
        else:
            pays |= self._shares(own, pays, -makers)
        fills = tuple((number, watts[number], pays[number]) for number in sorted(pays))
        self.log.append(("traded", taker, fills))
        self.seen = self.seen[1:]
        for number in sorted(watts):
            order = traded[number]
            order.left -= watts[number]
            if number == taker:
                order.shown = min(order.shown, order.left)
            else:
                order.shown = max(0, order.shown - watts[number])
        self.orders = [o for o in self.orders if o.left]
        for number in sorted(watts):
            order = traded[number]
            if order.left and not order.shown:
                self.last_number += 1
                order.number = self.last_number
                order.show()
                self.log.append(("refilled", number, order.number, order.shown))

    def _shares(self, own: Sequence[int], limits: dict[int, int], paid: int) -> dict[int, int]:
        """Return what each leg of the taker pays: as the exchange shares it, within their sum."""
        assert self.seen, "a joint order trades by best gain only"
        shares = {number: pays for number, _, pays in self.seen[0][2] if number in own}
        assert sum(shares.values()) == paid <= sum(limits[number] for number in own)
        assert all(shares[number] <= limits[number] for number in own)
        return shares


def _same_queue(one: NaiveOrder, other: NaiveOrder) -> bool:
    return one.book == other.book and one.side == other.side
