"""The markets of all intervals: they follow events, and clear together where joint orders ask.

A market that is built (:mod:`exchange.market.open_markets`) follows each event; a market that is
not built yet needs nothing, because it starts from the orders and envelopes in force.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime

from exchange.clearing.work_budget import EventBudget
from exchange.market.confirmation import ConfirmationLoop, JointOrderSelector, no_joint_orders
from exchange.market.failure_isolation import failing_order
from exchange.market.interval_market import ConfirmedClearing, IntervalMarket
from exchange.market.invariants import check_nothing_left
from exchange.market.joint_orders import JointOrders
from exchange.market.local_prices import PointPrice
from exchange.market.market_program import Legs
from exchange.market.open_markets import OpenMarkets
from exchange.state.recording import EventRecorder
from exchange.state.state import State
from exchange.vocabulary.events import (
    AlarmRaised,
    Event,
    Fill,
    GateClosed,
    HoldingCurtailed,
    HoldingRaised,
    InterfaceLimitsUpdated,
    JointOrderAccepted,
    OrderAccepted,
    OrderAmended,
    OrderCancelled,
    OrderReduced,
    OrderRefilled,
    PhaseChanged,
    Traded,
    TradingHalted,
    TradingResumed,
)
from exchange.vocabulary.flexibility_events import FlexibilityMatched
from exchange.vocabulary.network_port import Networks, SecurityState
from exchange.vocabulary.orders import Order


class IntervalMarkets:
    """The markets of all open intervals.

    Parameters
    ----------
    state
        The exchange's state; only read.
    grid
        The network of the area.
    """

    __slots__ = ("_budget", "_joint_orders", "_markets", "_open", "_state", "_touched")

    def __init__(self, state: State, grid: Networks) -> None:
        self._state = state
        self._budget = EventBudget()
        self._open = OpenMarkets(state, grid, self._budget)
        self._markets = self._open.markets
        self._joint_orders = JointOrders(state, grid.connection_points)
        # Intervals that a clearing with joint orders has changed, and that are not searched since.
        self._touched: set[datetime] = set()

    def begin_event(self) -> None:
        """Renew the work budget, for another event."""
        self._budget.renew()

    def let_join(self) -> None:
        """Let the next search bring in joint orders, even if their budget is used up."""
        self._budget.let_join()

    # -- following events -----------------------------------------------------------------------

    def enter(self, interval: datetime, network: SecurityState) -> None:
        """Store the network of an interval, which has the envelopes in force."""
        self._leave_market(interval)
        self._open.enter(interval, network)

    def leave_all(self) -> None:
        """Drop every network and market; they are rebuilt when they are needed again."""
        self._open.networks.clear()
        self._leave_markets()

    def follow(self, event: Event) -> None:
        """Apply an event to the markets that are built; the state has applied it already."""
        match event:
            case OrderAccepted():
                market = self._markets.get(event.terms.interval)
                if market is not None:
                    market.add(self._state.orders[event.order_id], incoming=True)
            case JointOrderAccepted():
                self._recheck(leg.interval for leg in event.legs)
            case OrderAmended() | OrderRefilled():
                self._follow_change(event)
            case OrderCancelled():
                self._joint_orders.forget(event.order_id)
                self._follow_cancel(event)
            case OrderReduced():
                self._lower(self._state.orders[event.order_id])
            case Traded(buy_back=True):
                # The network does not have envelopes that were bought back.
                for interval in {fill.interval for fill in event.fills}:
                    self._leave_interval(interval)
            case Traded():
                for fill in event.fills:
                    self._follow_fill(fill)
            case (
                HoldingCurtailed()
                | HoldingRaised()
                | InterfaceLimitsUpdated()
                | FlexibilityMatched()
            ):
                self._leave_interval(event.interval)
            case GateClosed():
                self._leave_interval(event.interval)
                self._joint_orders.forget_prices()  # of intervals that are gone, too
            case PhaseChanged():
                self._leave_market(event.interval)
            case AlarmRaised(halts_trading=True):
                self._leave_market(event.interval)
            case TradingHalted() | TradingResumed():
                self._leave_markets()

    def _follow_cancel(self, event: OrderCancelled) -> None:
        answer = self._state.answers.find(event.participant, event.client_order_id)
        assert answer is not None, "the answer to an order that was just cancelled is kept"
        # A joint order is in no market's program.
        market = None if answer.interval is None else self._markets.get(answer.interval)
        if market is not None and event.order_id in market.program:
            market.program.withdraw(event.order_id)

    def _follow_change(self, event: OrderAmended | OrderRefilled) -> None:
        order = self._state.orders[event.order_id]
        market = self._markets.get(order.interval)
        if market is None:
            return
        if event.order_id == event.previous_order_id:
            market.lower(order)
            return
        market.program.withdraw(event.previous_order_id)
        market.add(order, incoming=isinstance(event, OrderAmended))

    def _follow_fill(self, fill: Fill) -> None:
        order = self._state.orders.get(fill.order_id)
        if order is None:
            self._joint_orders.forget(fill.order_id)
        market = self._markets.get(fill.interval)
        if market is None:
            return
        if order is None:
            market.program.withdraw(fill.order_id)
        elif order.joint_id is not None:
            market.joint_orders_unchecked = True
        else:
            market.lower(order)

    def _lower(self, order: Order) -> None:
        """Lower an order to the quantity left of it."""
        if order.joint_id is not None:
            self._recheck(leg.interval for leg in self._state.joints[order.joint_id])
        elif order.interval in self._markets:
            self._markets[order.interval].lower(order)

    def rest(self, order: Order) -> None:
        """End the incoming state of an order: an iceberg hides part of it from now on."""
        market = self._markets.get(order.interval)
        if market is not None and order.joint_id is None:
            market.rest(order)

    def _recheck(self, intervals: Iterable[datetime]) -> None:
        """Mark the joint orders of some intervals as unchecked."""
        for interval in intervals:
            market = self._markets.get(interval)
            if market is not None:
                market.joint_orders_unchecked = True

    def _leave_interval(self, interval: datetime) -> None:
        self._open.drop(interval)
        self._touched.discard(interval)

    def _leave_market(self, interval: datetime) -> None:
        self._open.drop_market(interval)
        self._touched.discard(interval)

    def _leave_markets(self) -> None:
        self._markets.clear()
        self._touched.clear()

    def build_anew(self, interval: datetime, record: EventRecorder, incoming: int | None) -> None:
        """Rebuild the markets that clear with an interval from nothing, with new solvers."""
        for start in self._together(interval):
            self._leave_market(start)
        self.market(interval, record, incoming)

    def failing_order(self, interval: datetime, record: EventRecorder) -> Order | None:
        """Return the order with which the clearing of an interval fails; ``None`` if for none."""
        together = self._together(interval)
        markets = [self.market(start, record) for start in together]
        known = [market for market in markets if market is not None]
        return failing_order(known, self._joint_orders.trading_in(together))

    def _together(self, interval: datetime) -> list[datetime]:
        return sorted({*self.group(interval), *self._touched})

    # -- what trades next -----------------------------------------------------------------------

    def next_trade(self, interval: datetime, record: EventRecorder) -> ConfirmedClearing | None:
        """Return the next clearing, committed in the networks; ``None`` once nothing trades.

        First in the interval, with those that joint orders bring in; then in each interval that
        such a clearing has changed.  The caller turns the clearing into an event and calls again.

        Raises
        ------
        ClearingError
            When the program could not be solved.
        CheckFailedError
            When the power flow of an interval has no result.
        """
        for start in [interval, *sorted(self._touched - {interval})]:
            market = self.market(start, record)
            if market is not None and (market.needs_clearing or market.joint_orders_unchecked):
                found = self._search(market, record)
                if found is not None:
                    return found
            self._touched.discard(start)
        return None

    def _search(self, market: IntervalMarket, record: EventRecorder) -> ConfirmedClearing | None:
        market.needs_clearing = True  # until the search has come to an end
        search = ConfirmationLoop(market, self._selector(record))
        found = search.next_trade()
        if found is None and search.is_joined:
            # Without joint orders the network may confirm trades that it refuses together, and
            # whole lots may be left.
            found = ConfirmationLoop(market, no_joint_orders).next_trade()
        elif found is not None and search.is_joined:
            self._touched |= search.markets.keys()
        market.needs_clearing = found is not None
        market.joint_orders_unchecked = found is not None or search.is_cut
        for each in search.markets.values():
            each.budget_exhausted = self._budget.used_up or search.is_cut
        return found

    def trade_among(
        self, interval: datetime, may_meet: Callable[[Order], bool], record: EventRecorder
    ) -> ConfirmedClearing | None:
        """Return the next clearing among some orders of an interval, as :meth:`next_trade`.

        Joint orders take part if ``may_meet`` holds for all their legs.
        """
        market = self.market(interval, record)
        if market is None:
            return None
        orders = [order for order in self._open.open_orders(interval) if may_meet(order)]
        selector = self._selector(record, lambda legs: all(map(may_meet, legs)))
        return ConfirmationLoop(market, selector, market.program_of(orders)).next_trade()

    def would_trade(self, order: Order, instead_of: Order | None, record: EventRecorder) -> bool:
        """Return whether an order would trade if it came now, in the place of another.

        Raises
        ------
        ClearingError
            When the program could not be solved.
        """
        market = self.market(order.interval, record)
        if market is None:
            return False
        program = market.program if instead_of is None else market.program_without(instead_of)
        program.add([order], incoming=True)
        try:
            optimum = ConfirmationLoop(market, self._selector(record), program).optimum()
        finally:
            program.withdraw(order.order_id)
        return order.order_id in optimum.quantities_w

    # -- suspended orders -------------------------------------------------------------------------

    def suspend(self, orders: Iterable[Legs]) -> list[Legs]:
        """Suspend orders until :meth:`restore`; return those that took part."""
        suspended = []
        for legs in orders:
            first = legs[0]
            if first.joint_id is not None:
                self._joint_orders.suspended.add(first.joint_id)
                suspended.append(legs)
            elif first.interval in self._markets:
                program = self._markets[first.interval].program
                if first.order_id in program:
                    program.withdraw(first.order_id)
                    suspended.append(legs)
        return suspended

    def restore(self, orders: Iterable[Legs]) -> None:
        """Let suspended orders take part again, with their old priority."""
        for legs in orders:
            first = legs[0]
            if first.joint_id is not None:
                self._joint_orders.suspended.discard(first.joint_id)
                self._recheck(leg.interval for leg in legs)
            elif first.interval in self._markets:
                self._markets[first.interval].add(first)

    # -- joint orders -----------------------------------------------------------------------------

    def _selector(
        self, record: EventRecorder, may_join: Callable[[Legs], bool] = lambda _: True
    ) -> JointOrderSelector:
        return self._joint_orders.selector(lambda start: self.market(start, record), may_join)

    def group(self, interval: datetime) -> tuple[datetime, ...]:
        """Return the intervals that joint orders connect with one, itself among them."""
        return self._joint_orders.group(interval)

    # -- markets and networks -------------------------------------------------------------------

    def market(
        self, interval: datetime, record: EventRecorder, incoming: int | None = None
    ) -> IntervalMarket | None:
        """Return the market of an interval, as :meth:`OpenMarkets.market`."""
        return self._open.market(interval, record, incoming)

    def network(self, interval: datetime, record: EventRecorder) -> SecurityState | None:
        """Return the network of an interval, as :meth:`OpenMarkets.network`."""
        return self._open.network(interval, record)

    def local_prices(self, interval: datetime) -> tuple[PointPrice, ...] | None:
        """Return the local prices of an interval, ``None`` where it has no market yet.

        Builds and changes nothing.
        """
        market = self._markets.get(interval)
        return None if market is None else market.local_prices()

    def check_invariants(self) -> None:
        """Check that networks, markets and state agree, and that nothing is left to trade.

        Raises
        ------
        AssertionError
            With what breaks a rule.
        """
        self._open.check_networks()
        for market in self._markets.values():
            market.check_invariants()
        for group in {self.group(start) for start in self._markets}:
            markets = [self._markets[start] for start in group if start in self._markets]
            known = not any(market.needs_clearing or market.budget_exhausted for market in markets)
            if len(markets) == len(group) and known:
                asked = self._joint_orders.trading_in(group)
                check_nothing_left(markets, asked)
