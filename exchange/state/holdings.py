"""The limits that connection points hold in one interval, and the claims of open orders on them."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

import numpy as np

from exchange.vocabulary.orders import Order
from exchange.vocabulary.rules import ConnectionTerms
from orderbook.order import Side
from security_check.arrays import IntArray
from security_check.model.envelope import Direction, Envelope, EnvelopeSet


@dataclass(slots=True)
class Position:
    """One limit of one connection point, in integer watts.

    Parameters
    ----------
    held_w
        The limit in force.
    bottleneck
        The element that limited it when it was last allocated.
    capacity_w, fallback_w
        The most that it can be, and the part that its owner can never sell.
    reserved_w, sought_w
        The quantity of open sell orders, and of open buy orders.
    sought_amount
        The cost of the open buy orders at their limit prices, in tick-watts.
    net_bought_w
        Purchases less sales since the interval opened.
    bought
        ``[trade id, watts]`` of the watts held from trades, the oldest first; the other watts were
        allocated.  Watts that came last are sold or curtailed first.
    orders
        The open orders, by number, oldest first.
    by_priority
        Their priorities, sorted, by side and by whether they are legs of joint orders.
    """

    held_w: int
    bottleneck: str
    capacity_w: int
    fallback_w: int
    reserved_w: int = 0
    sought_w: int = 0
    sought_amount: int = 0
    net_bought_w: int = 0
    bought: list[list[int]] = field(default_factory=list)
    orders: dict[int, Order] = field(default_factory=dict)
    by_priority: dict[tuple[Side, bool], list[tuple[int, int]]] = field(default_factory=dict)

    @property
    def sellable_w(self) -> int:
        """The most that another sell order may ask for."""
        return self.held_w - self.fallback_w - self.reserved_w

    @property
    def buyable_w(self) -> int:
        """The most that another buy order may ask for."""
        return self.capacity_w - self.held_w - self.sought_w

    def reduce(self, by_w: int) -> None:
        """Lower the limit; watts that came last go first."""
        self.held_w -= by_w
        while by_w and self.bought:
            taken_w = min(by_w, self.bought[-1][1])
            self.bought[-1][1] -= taken_w
            by_w -= taken_w
            if not self.bought[-1][1]:
                self.bought.pop()

    def buy(self, trade_id: int, quantity_w: int) -> None:
        """Raise the limit by the watts of a trade."""
        self.held_w += quantity_w
        self.bought.append([trade_id, quantity_w])

    def add(self, order: Order) -> None:
        """Add an open order.  O(log n), and a move of memory."""
        self.orders[order.order_id] = order
        insort(self.by_priority.setdefault(_group(order), []), order.priority)

    def remove(self, order: Order) -> None:
        """Remove an order that is no longer open.  O(log n), and a move of memory."""
        del self.orders[order.order_id]
        group = _group(order)
        priorities = self.by_priority[group]
        if len(priorities) == 1:
            del self.by_priority[group]
        else:
            del priorities[bisect_left(priorities, order.priority)]

    def crossed_by(self, order: Order) -> Iterator[Order]:
        """Iterate over the older orders that an order of their owner crosses.

        O(1) each; younger orders are passed over.
        """
        for is_joint in (False, True):
            yield from self._crossed_by(order, is_joint)

    def first_crossed_by(self, order: Order) -> Iterator[Order]:
        """Iterate over the best of :meth:`crossed_by`, one joint and one other at most.  O(1)."""
        for is_joint in (False, True):
            yield from islice(self._crossed_by(order, is_joint), 1)

    def _crossed_by(self, order: Order, is_joint: bool) -> Iterator[Order]:
        """Iterate over those that are, or are not, legs of joint orders, the best first."""
        for _, order_id in self.by_priority.get((order.side.opposite, is_joint), ()):
            other = self.orders[order_id]
            if not order.may_cross(other):
                break
            if order_id < order.order_id:
                yield other

    def orders_of(self, side: Side) -> list[Order]:
        """Return the open orders of one side, oldest first."""
        return [order for order in self.orders.values() if order.side is side]

    def claim(self, order: Order, change_w: int) -> None:
        """Raise, or lower, the claim of an open order, in watts."""
        if order.side is Side.SELL:
            self.reserved_w += change_w
        else:
            self.sought_w += change_w
            self.sought_amount += change_w * order.limit_price_ticks


def _group(order: Order) -> tuple[Side, bool]:
    return order.side, order.joint_id is not None


class Holdings:
    """The holdings of all connection points in one interval.

    A trade moves watts between holdings and leaves each direction's total as it was; only the
    opening of the interval and a change of the interface limits change a total.

    Parameters
    ----------
    terms
        Of every connection point, by its id.
    envelopes
        The envelopes allocated, one per connection point.
    """

    __slots__ = ("_positions", "_total_w")

    def __init__(self, terms: Mapping[str, ConnectionTerms], envelopes: Iterable[Envelope]) -> None:
        self._positions: dict[Direction, dict[str, Position]] = {d: {} for d in Direction}
        for envelope in envelopes:
            point = envelope.connection_point
            for direction, held_w, bottleneck in (
                (Direction.INJECTION, envelope.injection_limit_w, envelope.injection_bottleneck),
                (Direction.WITHDRAWAL, envelope.withdrawal_limit_w, envelope.withdrawal_bottleneck),
            ):
                self._positions[direction][point] = Position(
                    held_w=held_w,
                    bottleneck=bottleneck,
                    capacity_w=terms[point].capacity_w(direction),
                    fallback_w=terms[point].fallback_w(direction),
                )
        self._total_w = {direction: self._sum_w(direction) for direction in Direction}

    def _sum_w(self, direction: Direction) -> int:
        return sum(position.held_w for position in self._positions[direction].values())

    def position(self, direction: Direction, connection_point: str) -> Position:
        """Return one position; only this module and its session change it.  O(1)."""
        return self._positions[direction][connection_point]

    def positions(self) -> Iterator[tuple[Direction, str, Position]]:
        """Iterate over all positions, injection first, in the network's order."""
        for direction, positions in self._positions.items():
            for connection_point, position in positions.items():
                yield direction, connection_point, position

    def add_order(self, order: Order) -> None:
        """Let an open order claim what remains of it.  O(log n)."""
        position = self._positions[order.direction][order.connection_point]
        position.add(order)
        position.claim(order, order.remaining_w)

    def release(self, order: Order, by_w: int, *, closed: bool) -> None:
        """Lower an open order's claim; forget the order when it is closed.  O(log n)."""
        position = self._positions[order.direction][order.connection_point]
        position.claim(order, -by_w)
        if closed:
            position.remove(order)

    def trade(
        self, trade_id: int, direction: Direction, connection_point: str, change_w: int
    ) -> None:
        """Raise a limit by a purchase, or lower it by a sale, in watts.  O(1)."""
        position = self._positions[direction][connection_point]
        if change_w > 0:
            position.buy(trade_id, change_w)
        else:
            position.reduce(-change_w)
        position.net_bought_w += change_w
        self._total_w[direction] += change_w

    def set_limit(
        self, direction: Direction, connection_point: str, to_w: int, bottleneck: str
    ) -> None:
        """Put a newly allocated limit into force.  O(1)."""
        position = self._positions[direction][connection_point]
        self._total_w[direction] += to_w - position.held_w
        position.reduce(max(position.held_w - to_w, 0))
        position.held_w = to_w
        position.bottleneck = bottleneck

    def acquired_w(self) -> IntArray:
        """Return the watts of each limit by their origin, shape (k, 2 c), injection first.

        The first row is the allocation; then comes a row for each trade of which watts are still
        held, the oldest first.
        """
        positions = [position for _, _, position in self.positions()]
        trades = sorted({trade_id for each in positions for trade_id, _ in each.bought})
        place = {trade_id: k for k, trade_id in enumerate(trades, start=1)}
        acquired = np.zeros((1 + len(trades), len(positions)), dtype=np.int64)
        for column, position in enumerate(positions):
            acquired[0, column] = position.held_w
            for trade_id, quantity_w in position.bought:
                acquired[place[trade_id], column] += quantity_w
                acquired[0, column] -= quantity_w
        return acquired

    def envelopes(self) -> tuple[Envelope, ...]:
        """Return the envelopes in force, in the network's order.  O(n)."""
        withdrawals = self._positions[Direction.WITHDRAWAL]
        return tuple(
            Envelope(
                connection_point=point,
                injection_limit_w=injection.held_w,
                withdrawal_limit_w=withdrawals[point].held_w,
                injection_bottleneck=injection.bottleneck,
                withdrawal_bottleneck=withdrawals[point].bottleneck,
            )
            for point, injection in self._positions[Direction.INJECTION].items()
        )

    def envelope_set(self) -> EnvelopeSet:
        """Return the envelopes in force as arrays, for the network model.  O(n)."""
        envelopes = self.envelopes()
        return EnvelopeSet(
            [envelope.connection_point for envelope in envelopes],
            [envelope.injection_limit_w for envelope in envelopes],
            [envelope.withdrawal_limit_w for envelope in envelopes],
            [envelope.injection_bottleneck for envelope in envelopes],
            [envelope.withdrawal_bottleneck for envelope in envelopes],
        )

    def snapshot(self) -> list[list[Any]]:
        """Return ``[id, injection W, withdrawal W, bottlenecks, net W bought, bought]`` of each.

        Bottlenecks, net purchases and ``bought`` come as two each: of injection, then of
        withdrawal.
        """
        return [
            [
                envelope.connection_point,
                envelope.injection_limit_w,
                envelope.withdrawal_limit_w,
                envelope.injection_bottleneck,
                envelope.withdrawal_bottleneck,
                *(
                    positions[envelope.connection_point].net_bought_w
                    for positions in self._positions.values()
                ),
                *(
                    [list(lot) for lot in positions[envelope.connection_point].bought]
                    for positions in self._positions.values()
                ),
            ]
            for envelope in self.envelopes()
        ]

    @classmethod
    def restore(cls, rows: Iterable[list[Any]], terms: Mapping[str, ConnectionTerms]) -> Holdings:
        """Return the holdings of a snapshot, without any claims of orders."""
        rows = list(rows)
        holdings = cls(terms, (Envelope(*row[:5]) for row in rows))
        for point, _, _, _, _, *rest in rows:
            net_bought_w, bought = rest[:2], rest[2:]
            for k, positions in enumerate(holdings._positions.values()):
                positions[point].net_bought_w = net_bought_w[k]
                positions[point].bought = [list(lot) for lot in bought[k]]
        return holdings

    def check_invariants(self) -> None:
        """Check conservation, bounds and claims.  O(n + orders).

        Raises
        ------
        AssertionError
            With the connection point, direction and watts that break a rule.
        """
        for direction in Direction:
            total_w = self._sum_w(direction)
            assert total_w == self._total_w[direction], (
                f"{direction}: {total_w} W are held of {self._total_w[direction]} W allocated"
            )
        for direction, point, position in self.positions():
            at = f"{point} {direction}: {position}"
            for side, claimed_w in (
                (Side.SELL, position.reserved_w),
                (Side.BUY, position.sought_w),
            ):
                open_w = sum(order.remaining_w for order in position.orders_of(side))
                assert claimed_w == open_w, f"{side} orders of {open_w} W claim otherwise, {at}"
            worth = sum(
                order.remaining_w * order.limit_price_ticks
                for order in position.orders_of(Side.BUY)
            )
            assert position.sought_amount == worth, f"buy orders cost {worth}, {at}"
            assert position.fallback_w <= position.held_w <= position.capacity_w, at
            lots_w = [quantity_w for _, quantity_w in position.bought]
            assert all(each > 0 for each in lots_w), at
            assert sum(lots_w) <= position.held_w, at
            ranked = [priority for each in position.by_priority.values() for priority in each]
            open_ = [order.priority for order in position.orders.values()]
            assert sorted(ranked) == sorted(open_), f"{ranked} are ranked, {at}"
            assert all(each == sorted(each) for each in position.by_priority.values()), at
            assert position.sellable_w >= 0, f"sell orders reserve too much, {at}"
            assert position.buyable_w >= 0, f"buy orders seek too much, {at}"
