"""The markets of all intervals, and which clear together; kept in step with events.

Markets and networks are no part of the state.  They follow from the orders and the envelopes in
force, and are built from these when they are first needed; until then ``follow`` takes
up what events change.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime

from exchange.clearing.work_budget import EventBudget
from exchange.market.confirmation import ConfirmationLoop, JointOrderSelector, nobody
from exchange.market.failure_isolation import failing_order
from exchange.market.interval_market import ConfirmedClearing, IntervalMarket
from exchange.market.invariants import check_nothing_left
from exchange.market.joint_orders import JointOrders
from exchange.market.local_prices import PointPrice
from exchange.market.market_program import Legs
from exchange.state.recording import EventRecorder, alarm_kind
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
from exchange.vocabulary.network_port import Grid, SecurityState
from exchange.vocabulary.orders import Order
from security_check.errors import GridError


class IntervalMarkets:
    """The markets of all open intervals.

    Parameters
    ----------
    state
        The exchange's state; read here, changed by the events alone.
    grid
        The network of the area.
    """

    __slots__ = ("_effort", "_grid", "_joint_orders", "_markets", "_networks", "_state", "_touched")

    def __init__(self, state: State, grid: Grid) -> None:
        self._state = state
        self._grid = grid
        self._networks: dict[datetime, SecurityState] = {}
        self._markets: dict[datetime, IntervalMarket] = {}
        self._joint_orders = JointOrders(state, grid.connection_points)
        self._touched: set[datetime] = set()
        self._effort = EventBudget()

    def begin_event(self) -> None:
        """Grant programs the effort of another event."""
        self._effort.renew()

    def let_join(self) -> None:
        """Let the next search bring in joint orders, whatever others have taken before."""
        self._effort.let_join()

    # -- keeping in step ------------------------------------------------------------------------

    def enter(self, interval: datetime, network: SecurityState) -> None:
        """Take up an interval whose envelopes in force ``network`` knows."""
        self._leave_market(interval)
        self._networks[interval] = network

    def leave_all(self) -> None:
        """Forget every network and market; they are rebuilt when they are needed again."""
        self._networks.clear()
        self._leave_markets()

    def follow(self, event: Event) -> None:
        """Take up what an event changes about orders; the state has applied it already."""
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
                # Envelopes that were bought back are new to the network.
                for interval in {fill.interval for fill in event.fills}:
                    self._leave_interval(interval)
            case Traded():
                for fill in event.fills:
                    self._follow_fill(fill)
            case HoldingCurtailed() | HoldingRaised() | InterfaceLimitsUpdated():
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
        assert answer is not None, "what has just been cancelled is the last to be forgotten"
        # A joint order is in no market's program.
        market = None if answer.interval is None else self._markets.get(answer.interval)
        if market is not None:
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
        """Take up that an order has less left."""
        if order.joint_id is not None:
            self._recheck(leg.interval for leg in self._state.joints[order.joint_id])
        elif order.interval in self._markets:
            self._markets[order.interval].lower(order)

    def rest(self, order: Order) -> None:
        """Take up that an order is incoming no more, if it still is: an iceberg hides its rest."""
        market = self._markets.get(order.interval)
        if market is not None and order.joint_id is None:
            market.rest(order)

    def _recheck(self, intervals: Iterable[datetime]) -> None:
        """Let joint orders be looked at again in some intervals."""
        for interval in intervals:
            market = self._markets.get(interval)
            if market is not None:
                market.joint_orders_unchecked = True

    def _leave_interval(self, interval: datetime) -> None:
        self._networks.pop(interval, None)
        self._leave_market(interval)

    def _leave_market(self, interval: datetime) -> None:
        self._markets.pop(interval, None)
        self._touched.discard(interval)

    def _leave_markets(self) -> None:
        self._markets.clear()
        self._touched.clear()

    def build_anew(self, interval: datetime, record: EventRecorder, incoming: int | None) -> None:
        """Build the markets that clear with an interval from nothing, solver and all."""
        for start in self._together(interval):
            self._leave_market(start)
        self.market(interval, record, incoming)

    def failing_order(self, interval: datetime, record: EventRecorder) -> Order | None:
        """Return the order for which the clearing of an interval fails, if it is for one."""
        together = self._together(interval)
        markets = [self.market(start, record) for start in together]
        known = [market for market in markets if market is not None]
        return failing_order(known, self._joint_orders.trading_in(together))

    def _together(self, interval: datetime) -> list[datetime]:
        return sorted({*self.group(interval), *self._touched})

    # -- what trades next -----------------------------------------------------------------------

    def next_trade(self, interval: datetime, record: EventRecorder) -> ConfirmedClearing | None:
        """Return what trades next, put into force in the networks; ``None`` once nothing does.

        In an interval, and in those that joint orders bring in; then in those alone that such
        trades have changed.  Whoever asks makes it an event, and asks again.

        Raises
        ------
        ClearingError
            When the program could not be solved.
        CheckFailedError
            When the power flow of an interval came to no result.
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
        search = ConfirmationLoop(market, self._joining(record))
        found = search.next_trade()
        if found is None and search.is_joined:
            # What the network refuses to all together, or whole lots leave over, it may not alone.
            found = ConfirmationLoop(market, nobody).next_trade()
        elif found is not None and search.is_joined:
            self._touched |= search.markets.keys()
        market.needs_clearing = found is not None
        market.joint_orders_unchecked = found is not None or search.is_cut
        for each in search.markets.values():
            each.budget_exhausted = self._effort.used_up or search.is_cut
        return found

    def trade_among(
        self, interval: datetime, may_meet: Callable[[Order], bool], record: EventRecorder
    ) -> ConfirmedClearing | None:
        """Return what trades next among some orders of an interval, and joint ones of only such.

        Raises as :meth:`next_trade`.
        """
        market = self.market(interval, record)
        if market is None:
            return None
        orders = [order for order in self._open_orders(interval) if may_meet(order)]
        joining = self._joining(record, lambda legs: all(map(may_meet, legs)))
        return ConfirmationLoop(market, joining, market.program_of(orders)).next_trade()

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
            optimum = ConfirmationLoop(market, self._joining(record), program).optimum()
        finally:
            program.withdraw(order.order_id)
        return order.order_id in optimum.quantities_w

    # -- orders that stand aside ------------------------------------------------------------------

    def suspend(self, orders: Iterable[Legs]) -> list[Legs]:
        """Let orders take no part until :meth:`restore`; return those that did."""
        aside = []
        for legs in orders:
            first = legs[0]
            if first.joint_id is not None:
                self._joint_orders.aside.add(first.joint_id)
                aside.append(legs)
            elif first.interval in self._markets:
                program = self._markets[first.interval].program
                if first.order_id in program:
                    program.withdraw(first.order_id)
                    aside.append(legs)
        return aside

    def restore(self, orders: Iterable[Legs]) -> None:
        """Let orders take part again, in their old places."""
        for legs in orders:
            first = legs[0]
            if first.joint_id is not None:
                self._joint_orders.aside.discard(first.joint_id)
                self._recheck(leg.interval for leg in legs)
            elif first.interval in self._markets:
                self._markets[first.interval].add(first)

    # -- joint orders -----------------------------------------------------------------------------

    def _joining(
        self, record: EventRecorder, may_join: Callable[[Legs], bool] = lambda _: True
    ) -> JointOrderSelector:
        return self._joint_orders.joining(lambda start: self.market(start, record), may_join)

    def group(self, interval: datetime) -> tuple[datetime, ...]:
        """Return the intervals that joint orders connect with one, itself among them."""
        return self._joint_orders.group(interval)

    # -- markets and networks -------------------------------------------------------------------

    def market(
        self, interval: datetime, record: EventRecorder, incoming: int | None = None
    ) -> IntervalMarket | None:
        """Return the market of an interval, built if need be; ``None`` if that fails.

        ``incoming`` is the number of an order that has just come and is in its book already: where
        the market is built only now, it has it in whole.
        """
        if interval not in self._markets:
            network = self.network(interval, record)
            if network is None:
                return None
            self._markets[interval] = IntervalMarket(
                interval,
                network,
                self._grid.connection_points,
                self._state.rules,
                lambda: self._open_orders(interval),
                incoming,
                self._effort,
            )
        return self._markets[interval]

    def _open_orders(self, interval: datetime) -> list[Order]:
        """Return the open orders of an interval that trade in it alone, oldest first."""
        orders = self._state.sessions[interval].orders()
        return [order for order in orders if order.joint_id is None]

    def local_prices(self, interval: datetime) -> tuple[PointPrice, ...] | None:
        """Return the local prices of an interval, ``None`` where no program is there to tell.

        Builds nothing, and so changes nothing.
        """
        market = self._markets.get(interval)
        return None if market is None else market.local_prices()

    def network(self, interval: datetime, record: EventRecorder) -> SecurityState | None:
        """Return an open interval's network, rebuilt if need be; ``None`` if that fails."""
        if interval not in self._networks:
            session = self._state.sessions[interval]
            held = session.holdings.envelope_set()
            try:
                network = self._grid.resume(session.interface_limits, held)
            except GridError as error:
                record.alarm(
                    alarm_kind(error),
                    interval,
                    f"the envelopes in force could not be taken up again: {error}",
                    halts_trading=True,
                )
                return None
            self._networks[interval] = network
        return self._networks[interval]

    def check_invariants(self) -> None:
        """Check that networks, markets and state agree, and that nothing is left to trade.

        Raises
        ------
        AssertionError
            With what breaks a rule.
        """
        for start, network in self._networks.items():
            in_force = self._state.sessions[start].holdings.envelope_set()
            assert network.envelopes() == in_force, f"{start}: the network differs"
        for market in self._markets.values():
            market.check_invariants()
        for group in {self.group(start) for start in self._markets}:
            markets = [self._markets[start] for start in group if start in self._markets]
            known = not any(market.needs_clearing or market.budget_exhausted for market in markets)
            if len(markets) == len(group) and known:
                asked = self._joint_orders.trading_in(group)
                check_nothing_left(markets, asked)
