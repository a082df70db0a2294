"""Which intervals clear together, and their networks; kept in step with events.

Markets and networks are no part of the state.  They follow from the orders and the envelopes in
force, and are built from these when they are first needed; until then :meth:`Markets.follow` takes
up what events change.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime

from exchange.clearing import Market
from exchange.events import (
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
from exchange.grid import Grid, SecurityState
from exchange.local_prices import PointPrice
from exchange.market_program import Legs
from exchange.orders import Order
from exchange.record import Record, alarm_kind
from exchange.state import State
from security_check.errors import GridError


class Markets:
    """The markets of all open intervals.

    Parameters
    ----------
    state
        The exchange's state; read here, changed by the events alone.
    grid
        The network of the area.

    Attributes
    ----------
    taker
        Number of the order that has just come and is being cleared, if any: of an iceberg,
        nothing is hidden until then.
    """

    __slots__ = ("_grid", "_markets", "_networks", "_state", "taker")

    def __init__(self, state: State, grid: Grid) -> None:
        self._state = state
        self._grid = grid
        self._networks: dict[datetime, SecurityState] = {}
        self._markets: dict[datetime, Market] = {}
        self.taker: int | None = None

    # -- keeping in step ------------------------------------------------------------------------

    def enter(self, interval: datetime, network: SecurityState) -> None:
        """Take up an interval whose envelopes in force ``network`` knows."""
        self._leave_market(interval)
        self._networks[interval] = network

    def leave_all(self) -> None:
        """Forget every network and market; they are rebuilt when they are needed again."""
        self._networks.clear()
        self._markets.clear()

    def follow(self, event: Event) -> None:
        """Take up what an event changes about orders; the state has applied it already."""
        match event:
            case OrderAccepted():
                market = self._markets.get(event.interval)
                if market is not None:
                    market.add([self._state.orders[event.order_id]], whole=True)
            case OrderAmended() | OrderRefilled():
                self._follow_change(event)
            case OrderCancelled():
                for market in self._all_markets():
                    market.program.withdraw(event.order_id)
                self._split_markets()
            case OrderReduced():
                self.lower(self._state.orders[event.order_id])
            case Traded(buy_back=True):
                # Envelopes that were bought back are new to the network.
                for interval in {fill.interval for fill in event.fills}:
                    self._networks.pop(interval, None)
                    self._leave_market(interval)
            case Traded():
                for fill in event.fills:
                    self._follow_fill(fill)
                self._follow_default_taker(event)
                self._split_markets()
            case JointOrderAccepted():
                for leg in event.legs:
                    self._leave_market(leg.interval)
            case HoldingCurtailed() | HoldingRaised() | InterfaceLimitsUpdated() | GateClosed():
                self._networks.pop(event.interval, None)
                self._leave_market(event.interval)
            case PhaseChanged():
                self._leave_market(event.interval)
            case AlarmRaised(halts_trading=True) | TradingHalted() | TradingResumed():
                self._markets.clear()

    def _follow_change(self, event: OrderAmended | OrderRefilled) -> None:
        order = self._state.orders[event.order_id]
        market = self._markets.get(order.interval)
        if market is None:
            return
        if event.order_id == event.previous_order_id:
            self.lower(order)
            return
        market.program.withdraw(event.previous_order_id)
        market.add([order], whole=isinstance(event, OrderAmended))

    def _follow_fill(self, fill: Fill) -> None:
        order = self._state.orders.get(fill.order_id)
        market = self._markets.get(fill.interval)
        if order is not None:
            self.lower(order)
        elif market is not None:
            market.program.withdraw(fill.order_id)

    def _follow_default_taker(self, event: Traded) -> None:
        """Take up a taker that rested before: what it hides went first, unlike in the program."""
        if event.taker_order_id is None or event.taker_order_id == self.taker:
            return
        order = self._state.orders.get(event.taker_order_id)
        if order is not None and order.peak_w is not None:
            self._leave_market(order.interval)

    def lower(self, order: Order) -> None:
        """Take up that less of an order takes part; of one that has just come nothing is hidden."""
        market = self._markets.get(order.interval)
        if market is None:
            return
        if order.joint_id is None:
            market.lower(order, whole=order.order_id == self.taker)
        else:
            market.program.lower_joint(self._state.joints[order.joint_id])

    def _leave_market(self, interval: datetime) -> None:
        market = self._markets.get(interval)
        for start in () if market is None else market.intervals:
            del self._markets[start]

    def _split_markets(self) -> None:
        """Forget markets whose intervals nothing joins any more."""
        for start, market in list(self._markets.items()):
            if len(market.intervals) > 1 and len(self.group(start)) < len(market.intervals):
                self._leave_market(start)

    def _all_markets(self) -> set[Market]:
        return set(self._markets.values())

    def local_prices(self, interval: datetime) -> tuple[PointPrice, ...] | None:
        """Return the local prices of an interval, ``None`` where no program is there to tell.

        Builds nothing, and so changes nothing.
        """
        market = self._markets.get(interval)
        return None if market is None else market.local_prices(interval)

    # -- what clears together -------------------------------------------------------------------

    def market(self, interval: datetime, record: Record) -> Market | None:
        """Return the market of an interval, built if need be; ``None`` if that fails."""
        if interval not in self._markets:
            group = self.group(interval)
            networks = {start: self.network(start, record) for start in group}
            known = {start: network for start, network in networks.items() if network is not None}
            if len(known) < len(group):
                return None
            market = Market(
                known,
                self._grid.connection_points,
                self._state.rules,
                lambda: self.open_orders(group),
                self.taker,
            )
            for start in group:
                self._markets[start] = market
        return self._markets[interval]

    def group(self, interval: datetime) -> tuple[datetime, ...]:
        """Return the intervals that joint orders connect with one that trades."""
        group = {interval}
        joined = [{leg.interval for leg in legs} for legs in self._trading_joints()]
        grown = True
        while grown:
            grown = False
            for intervals in joined:
                if group & intervals and not intervals <= group:
                    group |= intervals
                    grown = True
        return tuple(sorted(group))

    def _trading_joints(self) -> Iterator[list[Order]]:
        for _, legs in sorted(self._state.joints.items()):
            if all(self._state.may_trade(self._state.sessions[leg.interval]) for leg in legs):
                yield legs

    def open_orders(self, group: Sequence[datetime]) -> list[Legs]:
        """Return the orders of a group, oldest first, joint ones with all their legs."""
        found: list[Legs] = [legs for legs in self._trading_joints() if legs[0].interval in group]
        for start in group:
            orders = self._state.sessions[start].orders()
            found += [[order] for order in orders if order.joint_id is None]
        return sorted(found, key=lambda legs: legs[0].order_id)

    def network(self, interval: datetime, record: Record) -> SecurityState | None:
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
        for market in self._all_markets():
            market.check_invariants()
