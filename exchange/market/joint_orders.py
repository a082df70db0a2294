"""The open joint orders: which of them a confirmation loop brings into its program."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Sequence
from datetime import datetime

from exchange.market.confirmation import ConfirmationLoop, JointOrderSelector
from exchange.market.interval_market import IntervalMarket
from exchange.market.joint_order_screen import JointScreen
from exchange.market.market_program import Legs
from exchange.state.state import State

MarketOf = Callable[[datetime], IntervalMarket | None]
"""Returns the market of an interval, built if need be; ``None`` if its network fails."""


class JointOrders:
    """The joint orders that are open.

    Parameters
    ----------
    state
        The exchange's state; only read.
    connection_points
        In the network's order.

    Attributes
    ----------
    suspended
        Numbers of those that take no part for the time being.
    """

    __slots__ = ("_points", "_screen", "_spans", "_state", "suspended")

    def __init__(self, state: State, connection_points: Sequence[str]) -> None:
        self._state = state
        self._points = connection_points
        self.suspended: set[int] = set()
        self._spans: dict[int, frozenset[datetime]] = {}
        self.forget_prices()

    def forget_prices(self) -> None:
        """Forget the prices of all intervals; they are shown again when they are needed."""
        self._screen = JointScreen(self._points, self._state.rules.lot_w)

    def forget(self, order_id: int) -> None:
        """Forget an order that is gone."""
        self._screen.forget(order_id)
        self._spans.pop(order_id, None)

    def trading_in(self, intervals: Iterable[datetime]) -> list[Legs]:
        """Return the joint orders that have a leg in some intervals and may trade, oldest first."""
        return [legs for legs in self._touching(intervals) if self._may_trade(legs)]

    def group(self, interval: datetime) -> tuple[datetime, ...]:
        """Return the intervals that tradable joint orders connect with one, itself among them."""
        groups = Groups()
        for legs in self._state.joints.values():
            if self._may_trade(legs):
                groups.join(leg.interval for leg in legs)
        return groups.of(interval)

    def selector(self, market_of: MarketOf, may_join: Callable[[Legs], bool]) -> JointOrderSelector:
        """Return the selector of joint orders for a confirmation loop, among those that may join.

        Parameters
        ----------
        market_of
            Returns the market of an interval.
        may_join
            Returns whether a joint order may be brought in.
        """

        def select(search: ConfirmationLoop) -> tuple[list[Legs], list[IntervalMarket]]:
            asked = self._connected(search, market_of, may_join)
            if not asked:
                return [], []
            others: dict[datetime, IntervalMarket] = {}
            for start in self._spanned(asked) - search.markets.keys():
                market = market_of(start)
                assert market is not None, "an interval without a market connects no orders"
                self._screen.show(start, market.participation_bound())
                others[start] = market
            bound = search.program.clearing.participation_bound()
            found = self._screen.may_take_part(asked, search.markets.keys(), bound)
            joined = self._spanned(found) & others.keys()
            return found, [others[start] for start in joined]

        return select

    def _touching(self, intervals: Iterable[datetime]) -> list[Legs]:
        """Return those with a leg in some intervals that are not suspended, oldest first."""
        asked = set(intervals)
        return [
            legs
            for number, legs in sorted(self._state.joints.items())
            if number not in self.suspended and not self._span(number).isdisjoint(asked)
        ]

    def _span(self, number: int) -> frozenset[datetime]:
        """Return the intervals that an order has legs in."""
        span = self._spans.get(number)
        if span is None:
            legs = self._state.joints[number]
            span = self._spans[number] = frozenset(leg.interval for leg in legs)
        return span

    def _spanned(self, orders: Iterable[Legs]) -> set[datetime]:
        return set().union(*(self._span(legs[0].order_id) for legs in orders))

    def _may_trade(self, legs: Legs) -> bool:
        state = self._state
        span = self._span(legs[0].order_id)
        return all(state.may_trade(state.sessions[interval]) for interval in span)

    def _connected(
        self, search: ConfirmationLoop, market_of: MarketOf, may_join: Callable[[Legs], bool]
    ) -> list[Legs]:
        """Return those that are connected with a program but not in it, oldest first."""
        found: dict[int, Legs] = {}
        seen: set[datetime] = set()
        beyond = set(search.markets)
        while beyond:
            new = [
                legs
                for legs in self._touching(beyond)
                if legs[0].order_id not in found
                and legs[0].order_id not in search.program
                and may_join(legs)
                and self._is_available(legs, search.markets, market_of)
            ]
            found |= {legs[0].order_id: legs for legs in new}
            seen |= beyond
            beyond = self._spanned(new) - seen
        return [legs for _, legs in sorted(found.items())]

    def _is_available(self, legs: Legs, searched: Container[datetime], market_of: MarketOf) -> bool:
        """Return whether an order may trade now, and all its intervals have a market.

        An interval whose network fails has none, and is halted.
        """
        return self._may_trade(legs) and all(
            interval in searched or market_of(interval) is not None
            for interval in sorted(self._span(legs[0].order_id))
        )


class Groups:
    """Disjoint groups of intervals; an interval that was never joined is a group by itself."""

    __slots__ = ("_parent",)

    def __init__(self) -> None:
        self._parent: dict[datetime, datetime] = {}

    def join(self, intervals: Iterable[datetime]) -> None:
        """Join the groups of some intervals into one."""
        roots = [self._root(interval) for interval in intervals]
        for root in roots:
            self._parent[root] = roots[0]

    def of(self, interval: datetime) -> tuple[datetime, ...]:
        """Return the group of an interval, sorted, itself among them."""
        root = self._root(interval)
        others = (each for each in list(self._parent) if self._root(each) == root)
        return tuple(sorted({interval, *others}))

    def _root(self, interval: datetime) -> datetime:
        parent = self._parent.setdefault(interval, interval)
        while parent != self._parent[parent]:
            parent = self._parent[interval] = self._parent[parent]
        return parent
