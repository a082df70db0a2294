"""Clearings become trades here: which intervals clear together, when, and at what prices.

Markets and networks are no part of the state.  They follow from the orders and the envelopes in
force, and are rebuilt from these when they are first needed; :meth:`Matching.follow` keeps them in
step with events until then.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from functools import partial

from exchange.clearing import CheckFailedError, Confirmed, Market
from exchange.events import (
    AlarmKind,
    AlarmRaised,
    CancelReason,
    Event,
    Fill,
    GateClosed,
    HoldingCurtailed,
    HoldingRaised,
    InterfaceLimitsUpdated,
    JointOrderAccepted,
    MatchBlocked,
    OrderAccepted,
    OrderAmended,
    OrderCancelled,
    OrderReduced,
    OrderRefilled,
    Traded,
    TradingHalted,
    TradingResumed,
)
from exchange.fills import fills_of
from exchange.grid import Grid, SecurityState
from exchange.market_program import Legs
from exchange.orders import Order
from exchange.payments import at_local_prices, at_maker_prices
from exchange.program import ClearingError
from exchange.record import Record, alarm_kind
from exchange.self_trades import comes_before, first_own, own_crossed, resolve, resolve_resting
from exchange.session import Session
from exchange.state import State
from orderbook.order import SelfTradePrevention, Side, TimeInForce
from security_check.errors import GridError

_HALTED = "trading in the interval is halted until new interface limits are in force"
_SUSPENDED = "trading is halted until the operator resumes it"

_NO_RESULT = "power_flow"
"""The element that blocks where only the AC power flow says no."""

_WITHOUT_WAITING = {
    TimeInForce.IMMEDIATE_OR_CANCEL: CancelReason.IMMEDIATE_OR_CANCEL,
    TimeInForce.FILL_OR_KILL: CancelReason.FILL_OR_KILL,
}
"""Orders that never rest, and why what is left of them is cancelled."""


class Matching:
    """The markets of all open intervals, and the trades they allow.

    Parameters
    ----------
    state
        The exchange's state; read here, changed by the events alone.
    grid
        The network of the area.
    """

    __slots__ = ("_grid", "_markets", "_networks", "_state", "_taker")

    def __init__(self, state: State, grid: Grid) -> None:
        self._state = state
        self._grid = grid
        self._networks: dict[datetime, SecurityState] = {}
        self._markets: dict[datetime, Market] = {}
        self._taker: int | None = None  # the order that has just come, if any

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
                self._lower(self._state.orders[event.order_id])
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
            case AlarmRaised(halts_trading=True) | TradingHalted() | TradingResumed():
                self._markets.clear()

    def _follow_change(self, event: OrderAmended | OrderRefilled) -> None:
        order = self._state.orders[event.order_id]
        market = self._markets.get(order.interval)
        if market is None:
            return
        if event.order_id == event.previous_order_id:
            self._lower(order)
            return
        market.program.withdraw(event.previous_order_id)
        market.add([order], whole=isinstance(event, OrderAmended))

    def _follow_fill(self, fill: Fill) -> None:
        order = self._state.orders.get(fill.order_id)
        market = self._markets.get(fill.interval)
        if order is not None:
            self._lower(order)
        elif market is not None:
            market.program.withdraw(fill.order_id)

    def _follow_default_taker(self, event: Traded) -> None:
        """Take up a taker that rested before: what it hides went first, unlike in the program."""
        if event.taker_order_id is None or event.taker_order_id == self._taker:
            return
        order = self._state.orders.get(event.taker_order_id)
        if order is not None and order.peak_w is not None:
            self._leave_market(order.interval)

    def _lower(self, order: Order) -> None:
        """Take up that less of an order takes part; of one that has just come nothing is hidden."""
        market = self._markets.get(order.interval)
        if market is None:
            return
        if order.joint_id is not None:
            market.program.lower_joint(self._state.joints[order.joint_id])
        elif order.conditional and order.required_w <= self._state.rules.lot_w:
            # Any lot of it may trade now, so its place is by time among orders that came later.
            self._leave_market(order.interval)
        else:
            market.lower(order, whole=order.order_id == self._taker)

    def _leave_market(self, interval: datetime) -> None:
        market = self._markets.get(interval)
        for start in () if market is None else market.intervals:
            del self._markets[start]

    def _split_markets(self) -> None:
        """Forget markets whose intervals nothing joins any more."""
        for start, market in list(self._markets.items()):
            if len(market.intervals) > 1 and len(self._group(start)) < len(market.intervals):
                self._leave_market(start)

    def _all_markets(self) -> set[Market]:
        return set(self._markets.values())

    # -- what clears together -------------------------------------------------------------------

    def _market(self, interval: datetime, record: Record) -> Market | None:
        """Return the market of an interval, built if need be; ``None`` if that fails."""
        if interval not in self._markets:
            group = self._group(interval)
            networks = {start: self._network(start, record) for start in group}
            known = {start: network for start, network in networks.items() if network is not None}
            if len(known) < len(group):
                return None
            market = Market(
                known,
                self._grid.connection_points,
                self._state.rules,
                lambda: self._open_orders(group),
                self._taker,
            )
            for start in group:
                self._markets[start] = market
        return self._markets[interval]

    def _group(self, interval: datetime) -> tuple[datetime, ...]:
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

    def _open_orders(self, group: Sequence[datetime]) -> list[Legs]:
        """Return the orders of a group, oldest first, joint ones with all their legs."""
        found: list[Legs] = [legs for legs in self._trading_joints() if legs[0].interval in group]
        for start in group:
            orders = self._state.sessions[start].orders()
            found += [[order] for order in orders if order.joint_id is None]
        return sorted(found, key=lambda legs: legs[0].order_id)

    def _network(self, interval: datetime, record: Record) -> SecurityState | None:
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

    # -- trades -----------------------------------------------------------------------------------

    def trade(self, legs: Legs, record: Record) -> None:
        """Let an incoming order, in the books already, trade what the network carries."""
        order, state = legs[0], self._state
        sessions = [state.sessions[leg.interval] for leg in legs]
        may_trade = all(state.may_trade(session) for session in sessions)
        stopped = False
        if may_trade:
            self._taker = order.order_id
            stopped = not self._meet_own(legs, record)
            if not stopped:
                self._clear(order.interval, self._taker, record)
            self._taker = None
        if order.order_id in state.orders:
            self._rest(order, sessions[0], may_trade, record)
        if stopped:
            # What it traded before it met its own may be what another's condition lacked.
            self._clear(order.interval, order.order_id, record)

    def _rest(self, order: Order, session: Session, may_trade: bool, record: Record) -> None:
        """Let what is left of an incoming order wait, or cancel it if it may not."""
        if order.peak_w is not None:
            self._lower(order)
        if order.joint_id is None:
            self._note_block(order, session, may_trade, record)
        why_not_wait = _WITHOUT_WAITING.get(order.time_in_force)
        if why_not_wait is not None:
            record.cancel(order, why_not_wait)

    def uncross(self, session: Session, record: Record) -> None:
        """Let what rests trade at local prices, now that more of it can, or again."""
        if self._state.may_trade(session):
            resolve_resting(session, record)
            self._clear(session.start, None, record)

    def _clear(self, interval: datetime, taker: int | None, record: Record) -> None:
        """Trade until nothing is left that would raise welfare."""
        while (market := self._market(interval, record)) is not None:
            found = self._found(market.next_trade, interval, record)
            if found is None:
                return
            self._execute(found, taker, record)

    def _found(
        self, search: Callable[[], Confirmed | None], interval: datetime, record: Record
    ) -> Confirmed | None:
        """Return what a search finds; where it fails nothing trades, and the alarm is raised."""
        try:
            return search()
        except ClearingError as error:
            kind, detail = AlarmKind.CLEARING_FAILED, f"the clearing failed: {error}"
        except CheckFailedError as failed:
            interval = failed.interval
            kind, detail = alarm_kind(failed.error), f"the check of a clearing failed: {failed}"
        record.alarm(kind, interval, detail)
        return None

    def _meet_own(self, legs: Legs, record: Record) -> bool:
        """Resolve where an incoming order meets its own; return whether it may go on to trade.

        Before it meets them it trades with those that have priority over them.  An order that
        must trade at once or not at all takes none of them out of the book in vain.
        """
        order = legs[0]
        for leg in legs:
            session = self._state.sessions[leg.interval]
            while (own := first_own(leg, session, self._state)) is not None:
                if len(legs) == 1:
                    in_vain = (
                        order.time_in_force in _WITHOUT_WAITING
                        and order.required_w > 0
                        and order.conditions.self_trade_prevention
                        is SelfTradePrevention.CANCEL_OLDEST
                    )
                    self._trade_without(own, order, record, others_too=in_vain)
                    if in_vain or order.order_id not in self._state.orders:
                        return False
                resolve(order, own, record)
                if order.order_id not in self._state.orders:
                    return False
        return True

    def _trade_without(self, own: Order, order: Order, record: Record, *, others_too: bool) -> None:
        """Let an order trade with those that have priority over one of its own participant.

        With ``others_too`` it trades with all but those of its own participant.
        """

        def may_meet(leg: Order) -> bool:
            if leg.side is not own.side or leg.direction is not own.direction:
                return True
            if leg.interval != own.interval:
                return True
            if others_too:
                return leg.participant != order.participant
            return comes_before(leg, own)

        if not others_too and next(self._state.sessions[order.interval].makers(order)) is own:
            return
        while (market := self._market(order.interval, record)) is not None:
            orders = self._open_orders(market.intervals)
            ahead = [legs for legs in orders if all(map(may_meet, legs))]
            search = partial(market.trade_among, ahead)
            found = self._found(search, order.interval, record)
            if found is None:
                return
            self._execute(found, order.order_id, record)

    def _execute(self, found: Confirmed, taker: int | None, record: Record) -> None:
        """Make an event of a clearing, and let icebergs show their next part."""
        state, rules = self._state, self._state.rules
        numbers = [each.order.order_id for each in found.executions]
        if taker is None:
            paid = at_local_prices(found.executions, found.prices.local, rules.reserve_price_ticks)
        else:
            taker = taker if taker in numbers else numbers[-1]
            paid = at_maker_prices(found.executions, taker, rules.reserve_price_ticks)
        fills = fills_of(found.executions, paid, state)
        record.add(
            Traded(
                sequence=record.next_sequence,
                time=record.now,
                trade_id=state.next_trade_id,
                fills=fills,
                taker_order_id=taker,
                rent=paid.rent,
                tier=found.tier.value,
                binding_element=found.verdict.element,
                loading=found.verdict.loading,
            )
        )
        for fill in fills:
            order = state.orders.get(fill.order_id)
            if order is not None and order.shown_w == 0:
                record.refill(order)

    def _note_block(self, order: Order, session: Session, may_trade: bool, record: Record) -> None:
        """Say what the network, or a halt, refuses of an incoming order that crosses others."""
        # Its own it would not trade with, whatever the network says.
        own = own_crossed(order, session, self._state)
        own_w = sum(each.remaining_w for each in own if not each.conditional)
        crossing_w = session.books[order.direction].crossing_w(
            order.side, order.limit_price_ticks, order.remaining_w + own_w
        )
        crossing_w = min(crossing_w - own_w, order.remaining_w)
        if not crossing_w or crossing_w < order.required_w:
            return
        if may_trade:
            element, detail = self._why_blocked(order, session)
        elif session.halted:
            element, detail = "interface", _HALTED
        else:
            element, detail = "operator", _SUSPENDED
        record.add(
            MatchBlocked(
                sequence=record.next_sequence,
                time=record.now,
                order_id=order.order_id,
                participant=order.participant,
                client_order_id=order.client_order_id,
                blocked_w=crossing_w,
                element=element,
                detail=detail,
            )
        )

    def _why_blocked(self, order: Order, session: Session) -> tuple[str, str]:
        """Return the element that keeps an order from its best maker, and a sentence."""
        maker = next(
            session.books[order.direction].orders(order.side.opposite, order.limit_price_ticks)
        )
        buy, sell = (order, maker) if order.side is Side.BUY else (maker, order)
        wanted_w = min(order.remaining_w, maker.remaining_w)
        least_w = max(self._state.rules.lot_w, min(order.required_w, wanted_w))
        network = self._networks.get(session.start)
        if network is None:
            return _NO_RESULT, "the network's answer is missing"
        found_w, element = network.largest_secure_w(
            order.direction, sell.connection_point, buy.connection_point, wanted_w
        )
        moved = (
            f"{order.direction} limit to move from {sell.connection_point} "
            f"to {buy.connection_point}"
        )
        if found_w >= least_w:
            return _NO_RESULT, f"the AC power flow confirms no {least_w:,} W of {moved}"
        least = "lot" if least_w == self._state.rules.lot_w else "part"
        worst_case = network.explain(element)
        return element, (
            f"{element} leaves no {least} of {least_w:,} W of {moved}"
            f"{worst_case and ': ' + worst_case}"
        )

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
