"""One market day of an interval: truthful customers, one player, a TSO, delivery and readings.

A day is drawn from its seed alone, so the day on which a player tells the truth and the day on
which it plays differ in its commands only.  All trade limits of withdrawal.  Customers come at
random times, several times each; each time they withdraw their orders and place a purchase and a
sale at the marginal values of their holdings (:mod:`agents.strategies`).  Some of them place orders
all-or-none, and some follow what the public depth says of the price.  The player is asked after
every customer, and comes three times in the last ten minutes.  It sees the exchange's state, more
than any participant does.  On some days the TSO lowers the interface limit and takes it back.
After the gate every point's power is read.

The payoff is what the power used is worth to the player, and its balance at the exchange.  Amounts
are tick-watts.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

import numpy as np
from agents.strategies import LimitValue, MarginalValueQuoting, View

from doe_allocation.allocation.network_grid import NetworkGrid
from doe_allocation.capacity import Capacity
from exchange.engine import Exchange
from exchange.state.holdings import Position
from exchange.vocabulary.commands import (
    AdvanceTime,
    CancelOrder,
    Command,
    OpenSession,
    SubmitOrder,
    SubmitReading,
    UpdateInterfaceLimits,
)
from exchange.vocabulary.events import Event, Traded
from exchange.vocabulary.orders import OrderTerms
from exchange.vocabulary.rules import ConnectionTerms, MarketRules
from orderbook.order import OrderConditions, Side, TimeInForce
from security_check.model.envelope import Direction
from security_check.model.limits import InterfaceLimits, VoltageLimits
from security_check.model.network import Network

OPENS = datetime(2030, 6, 1, 8, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
GATE = OPENS + 60 * MINUTE
START = GATE + 30 * MINUTE
END = START + 15 * MINUTE
TRADED = Direction.WITHDRAWAL
STEPS_W = (1_500, 600, 200)
VISITS = 4
LAST_VISITS = (9 * MINUTE, 6 * MINUTE, 3 * MINUTE)
LOT_W = 10


@dataclass(frozen=True)
class Customer:
    """A customer that trades, as it is on one day."""

    point: str
    participant: str
    value: LimitValue
    all_or_none: bool
    follows: bool

    def useful_w(self, capacity_w: int) -> int:
        """Return the power beyond which a watt has no value to it."""
        value = self.value
        if not value.slope_ticks_per_w:
            return capacity_w
        return min(int(value.first_ticks / value.slope_ticks_per_w), capacity_w)


@dataclass(frozen=True)
class Cut:
    """The TSO's limit in the day: lower for a time, so many times."""

    limit_w: int
    at: tuple[datetime, ...]
    restored_at: tuple[datetime, ...]


@dataclass(frozen=True)
class Feeder:
    """A network, the customers' contracts and the interface limits."""

    name: str
    network: Network
    voltages: VoltageLimits
    limits: InterfaceLimits
    capacity_w: int
    active: int
    cut_share: float

    def grid(self, capacity_w: Mapping[str, int]) -> NetworkGrid:
        """Return the network with the capacities of connection points, half of it for others."""
        points = self.network.connection_points
        of_each = np.array([capacity_w.get(point, self.capacity_w // 2) for point in points])
        none = np.zeros(len(points), dtype=np.int64)
        return NetworkGrid(
            self.network, self.voltages, Capacity(tuple(points), none, of_each, none, none)
        )

    def customers(self, seed: int) -> list[Customer]:
        """Return the day's customers that trade; the others keep what they hold."""
        draw = random.Random(f"{self.name} {seed}")
        points = list(self.network.connection_points)
        draw.shuffle(points)
        found = []
        for k, point in enumerate(points[: self.active]):
            first = draw.choice([1_500, 3_000, 6_000, 9_000]) * draw.uniform(0.7, 1.3)
            most_w = draw.uniform(0.3, 1.2) * self.capacity_w
            value = LimitValue(first, first / most_w)
            kinds = draw.random() < 0.2, draw.random() < 0.3
            found.append(Customer(point, f"p{k}", value, *kinds))
        return found

    def cut(self, seed: int, held_w: int) -> Cut | None:
        """Return the day's cut, on a third of the days; held is the sum of the limits at first."""
        draw = random.Random(f"cut {self.name} {seed}")
        if draw.random() > 1 / 3:
            return None
        times = draw.choice([1, 3])
        begins = OPENS + draw.uniform(25, 35) * MINUTE
        at = tuple(begins + 6 * k * MINUTE for k in range(times))
        restored = draw.random() < 0.7
        back = tuple(each + 3 * MINUTE for each in at)
        return Cut(int(self.cut_share * held_w), at, back if restored else back[:-1])


class Player:
    """Some of the day's customers, who act as one; by itself it tells the truth.

    Parameters
    ----------
    customers
        The customers that it is; the first of them is the one that trades for it.
    """

    points = 1
    """How many of the day's customers it is."""

    def __init__(self, customers: Sequence[Customer]) -> None:
        self.customers = list(customers)

    def capacity_w(self, customer: Customer, most_w: int) -> int:
        """Return the capacity that it has contracted at a point, at most that of the connection."""
        return most_w

    def after(self, day: MarketDay) -> None:
        """Act after others have acted."""

    def visit(self, day: MarketDay, customer: Customer) -> None:
        """Act when one of its customers would have come to the market."""
        day.quote_truthfully(customer)

    def used_w(self, day: MarketDay, customer: Customer) -> int:
        """Return the power that it uses at a point of its own."""
        return day.truthful_use_w(customer)


@dataclass
class MarketDay:
    """A day of one feeder, under rules, with a player in the place of some customers."""

    feeder: Feeder
    rules: MarketRules
    seed: int
    player: Player
    customers: list[Customer]
    trades: list[Traded] = field(default_factory=list)
    now: datetime = OPENS
    exchange: Exchange = field(init=False)
    cut: Cut | None = None
    _numbers: int = 0
    _visits: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        own = {customer.point: customer.participant for customer in self.customers}
        most_w = self.feeder.capacity_w
        capacity_w = {each.point: each.useful_w(most_w) for each in self.customers}
        for each in self.player.customers:
            capacity_w[each.point] = self.player.capacity_w(each, most_w)
        grid = self.feeder.grid(capacity_w)
        terms = [
            ConnectionTerms(point, own.get(point, f"q{k}"), 0, int(grid.capacity.withdrawal_w[k]))
            for k, point in enumerate(grid.connection_points)
        ]
        self.exchange = Exchange(grid, self.rules, terms)

    # -- what players and customers do and see ----------------------------------------------------

    def position(self, customer: Customer) -> Position:
        """Return the holding of a customer."""
        return self.exchange.state.sessions[START].holdings.position(TRADED, customer.point)

    def prices(self, side: Side, without: Player | None = None) -> list[int]:
        """Return the ticks of the orders of one side, best first, without those of a player."""
        own = {customer.participant for customer in without.customers} if without else set()
        book = self.exchange.book(START, TRADED)
        return [o.limit_price_ticks for o in book.orders(side) if o.participant not in own]

    @property
    def penalty_ticks(self) -> int:
        """The penalty of a watt beyond the limit; 0 where nothing is metered."""
        metering = self.rules.metering
        return metering.penalty_price_ticks if metering else 0

    def truthful_use_w(self, customer: Customer) -> int:
        """Return the power that a customer uses that keeps its limit."""
        return min(self.position(customer).held_w, customer.useful_w(self.feeder.capacity_w))

    def public_price(self) -> float | None:
        """Return what the public may take for the price: the last one, or the middle of the depth.

        Where the middle of the best bid and the best offer is higher, it is that.
        """
        fills = self.trades[-1].fills if self.trades else ()
        found = [max(fill.amount / fill.change_w for fill in fills)] if fills else []
        bids, asks = self.prices(Side.BUY), self.prices(Side.SELL)
        if bids and asks:
            found.append((bids[0] + asks[0]) / 2)
        return max(found, default=None)

    def place(
        self,
        customer: Customer,
        side: Side,
        watts: int,
        ticks: int,
        conditions: OrderConditions | None = None,
        force: TimeInForce = TimeInForce.GOOD_TILL_CANCEL,
    ) -> list[Event]:
        """Place an order of a customer, of what its position allows; returns the events."""
        position = self.position(customer)
        most_w = position.buyable_w if side is Side.BUY else position.sellable_w
        watts = min(watts, most_w) // LOT_W * LOT_W
        ticks = max(1, min(ticks, self.rules.max_price_ticks))
        if watts <= 0 or self.now >= GATE:
            return []
        terms = OrderTerms(customer.point, TRADED, START, side, watts, ticks, force)
        if conditions is not None:
            terms = replace(terms, conditions=conditions)
        self._numbers += 1
        return self._handle(SubmitOrder(customer.participant, f"o{self._numbers}", terms))

    def withdraw(self, customer: Customer) -> None:
        """Cancel all orders at a customer's point."""
        for order in list(self.position(customer).orders.values()):
            self._numbers += 1
            self._handle(CancelOrder(order.participant, f"x{self._numbers}", order.client_order_id))

    def quote_truthfully(self, customer: Customer) -> None:
        """Replace the orders of a customer by ones at the marginal values of what it holds."""
        self.withdraw(customer)
        position = self.position(customer)
        visit = self._visits.get(customer.point, 0)
        self._visits[customer.point] = visit + 1
        quoting = MarginalValueQuoting(customer.value, STEPS_W[min(visit, len(STEPS_W) - 1) :][:1])
        view = View(position.held_w, position.sellable_w, position.buyable_w, LOT_W)
        price = self.public_price() if customer.follows else None
        conditions = OrderConditions(all_or_none=True) if customer.all_or_none else None
        for quote in quoting.quotes(view):
            ticks = quote.price_ticks
            if price is not None:
                buys = quote.side is Side.BUY
                ticks = min(ticks, int(1.05 * price)) if buys else max(ticks, int(0.95 * price))
            if ticks > 0:
                self.place(customer, quote.side, quote.quantity_w, ticks, conditions)

    def payoff(self) -> float:
        """Return what the player has from the day: value of its use, and its balance."""
        worth = sum(
            customer.value.total(self.player.used_w(self, customer))
            for customer in self.player.customers
        )
        names = {customer.participant for customer in self.player.customers}
        return worth + sum(self.exchange.state.ledger.balance(name) for name in names)

    # -- the day ----------------------------------------------------------------------------------

    def run(self) -> None:
        """Trade, close the gate, deliver, and read the meters."""
        self._handle(OpenSession(START, END, GATE, self.feeder.limits))
        held_w = sum(each.withdrawal_limit_w for each in self.exchange.envelopes(START))
        self.cut = self.feeder.cut(self.seed, held_w)
        for at, _, act in self._agenda():
            self._clock_until(at)
            self.now = at
            act()
            self._let_player_act()
        self._clock_until(END)
        self.now = END + MINUTE
        for customer in self.customers:
            used_w = self._used_w(customer)
            reading = SubmitReading(f"r{customer.point}", START, customer.point, 0, used_w)
            self._handle(reading)
        self.now = END + self.rules.metering.window + MINUTE if self.rules.metering else self.now
        self._handle(AdvanceTime())
        self.exchange.check_invariants()

    def _agenda(self) -> list[tuple[datetime, int, Callable[[], None]]]:
        draw = random.Random(f"agenda {self.feeder.name} {self.seed}")
        found: list[tuple[datetime, int, Callable[[], None]]] = []
        own = {customer.point for customer in self.player.customers}
        for customer in self.customers:
            for k in range(VISITS):
                at = OPENS + (60 * (k + draw.random()) / VISITS) * MINUTE
                visit = self._visit_of(customer, own=customer.point in own)
                found.append((at, len(found), visit))
            for before in LAST_VISITS if customer.point in own else ():
                found.append((GATE - before, len(found), self._visit_of(customer, own=True)))
        cut = self.cut
        if cut is not None:
            lower = replace(self.feeder.limits, withdrawal_limit_w=cut.limit_w)
            for times, limits in ((cut.at, lower), (cut.restored_at, self.feeder.limits)):
                for at in times:
                    found.append((at, len(found), self._limits_of(limits)))
        return sorted(found)

    def _visit_of(self, customer: Customer, *, own: bool) -> Callable[[], None]:
        if own:
            return lambda: self.player.visit(self, customer)
        return lambda: self.quote_truthfully(customer)

    def _limits_of(self, limits: InterfaceLimits) -> Callable[[], None]:
        def act() -> None:
            self._numbers += 1
            self._handle(UpdateInterfaceLimits(f"t{self._numbers}", START, limits))

        return act

    def _used_w(self, customer: Customer) -> int:
        if any(customer.point == own.point for own in self.player.customers):
            return self.player.used_w(self, customer)
        return self.truthful_use_w(customer)

    def _clock_until(self, at: datetime) -> None:
        """Let the clock act when it is due, up to a time."""
        while (due := self.exchange.next_deadline()) is not None and due <= at:
            self.now = max(due, self.now)
            self._handle(AdvanceTime())
            self._let_player_act()

    def _let_player_act(self) -> None:
        if self.now < GATE:
            self.player.after(self)

    def _handle(self, command: Command) -> list[Event]:
        events = self.exchange.handle(command, self.now)
        self.trades += [event for event in events if isinstance(event, Traded)]
        return events


def payoff_of(feeder: Feeder, rules: MarketRules, seed: int, kind: type[Player]) -> float:
    """Run a day in which the first customers are one player of a kind; return its payoff."""
    customers = feeder.customers(seed)
    own = customers[: kind.points]
    player = kind([replace(each, all_or_none=False, follows=False) for each in own])
    day = MarketDay(feeder, rules, seed, player, [*player.customers, *customers[kind.points :]])
    day.run()
    return day.payoff()
