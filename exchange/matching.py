"""Matches become trades here: the books of each interval, held against its network.

The networks are no part of the state.  They follow from the envelopes in force, and after a
restart they are rebuilt from these when they are first needed.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from exchange.clearing import Clearing, clear_order, clear_resting
from exchange.events import AlarmKind, CancelReason, MatchBlocked, Traded
from exchange.grid import Grid, SecurityState
from exchange.joint_clearing import clear_joint
from exchange.networks import Blocked, IntervalNetwork
from exchange.orders import Order
from exchange.record import Record, alarm_kind
from exchange.session import Session
from exchange.state import State
from orderbook.order import Side, TimeInForce
from security_check.errors import GridError

_HALTED = Blocked(
    "interface", "trading in the interval is halted until new interface limits are in force"
)
_SUSPENDED = Blocked("operator", "trading is halted until the operator resumes it")

_WITHOUT_WAITING = {
    TimeInForce.IMMEDIATE_OR_CANCEL: CancelReason.IMMEDIATE_OR_CANCEL,
    TimeInForce.FILL_OR_KILL: CancelReason.FILL_OR_KILL,
}
"""Orders that never rest, and why what is left of them is cancelled."""


class Matching:
    """The networks of all open intervals, and the trades they allow.

    Parameters
    ----------
    state
        The exchange's state; read here, changed by the events alone.
    grid
        The network of the area.
    """

    __slots__ = ("_grid", "_networks", "_state")

    def __init__(self, state: State, grid: Grid) -> None:
        self._state = state
        self._grid = grid
        self._networks: dict[datetime, IntervalNetwork] = {}

    def enter(self, interval: datetime, security: SecurityState) -> None:
        """Take up an interval whose envelopes in force ``security`` knows."""
        self._networks[interval] = IntervalNetwork(security, self._state.rules.lot_w)

    def leave(self, interval: datetime) -> None:
        """Forget an interval's network; it is rebuilt when it is needed again."""
        self._networks.pop(interval, None)

    def leave_all(self) -> None:
        """Forget every network."""
        self._networks.clear()

    def trade(self, order: Order, record: Record) -> None:
        """Let an incoming order, in the book already, meet the makers it crosses."""
        session = self._state.sessions[order.interval]
        crossing_w = session.crossing_w(order, order.remaining_w)
        # Nobody asks the network about nothing, nor about more at once than there is.
        if crossing_w and not (order.conditional and crossing_w < order.required_w):
            self._meet_makers(order, crossing_w, session, record)
        why_not_wait = _WITHOUT_WAITING.get(order.time_in_force)
        if why_not_wait is not None:
            # What is left may be just what a conditional order lacks.
            self.settle_conditional(record)
            if order.order_id in self._state.orders:
                record.cancel(order, why_not_wait)
        self.settle(session, record)

    def _meet_makers(self, order: Order, crossing_w: int, session: Session, record: Record) -> None:
        """Match an incoming order, and say what of it the network refused."""
        wanted_w = order.remaining_w
        may_trade = self._state.may_trade(session)
        network = self._network(session, record) if may_trade else None
        if network is None:
            clearing = Clearing()
            unsafe = may_trade or session.halted
            clearing.add_block(crossing_w, _HALTED if unsafe else _SUSPENDED)
        else:
            clearing = clear_order(order, session, network)
        self._execute(clearing, [session.start], record)
        if clearing.block is not None:
            record.add(
                MatchBlocked(
                    sequence=record.next_sequence,
                    time=record.now,
                    order_id=order.order_id,
                    participant=order.participant,
                    client_order_id=order.client_order_id,
                    blocked_w=min(clearing.blocked_w, wanted_w),
                    element=clearing.block.element,
                    detail=clearing.block.detail,
                )
            )
        self._cancel_self_trades(clearing, record)

    def settle(self, session: Session, record: Record) -> None:
        """Match what rests crossed until nothing moves.

        Firm orders are looked at if headroom has changed, conditional ones each time.  Each
        round but the last trades at least a lot or cancels an order, so there is a last.
        """
        network = self._networks.get(session.start)
        conditional = bool(self._state.conditional) and session.has_conditional
        may_move = conditional or (network is not None and network.rescan_due)
        if not (may_move and self._state.may_trade(session)):
            return
        if network is None and conditional:
            network = self._network(session, record)
        while network is not None:
            if not (network.rescan_due or conditional):
                return
            clearing = clear_resting(session, network)
            self._execute(clearing, [session.start], record)
            self._cancel_self_trades(clearing, record)
            if not (clearing.changes_anything or network.rescan_due):
                return

    def resume(self, session: Session, record: Record) -> None:
        """Match what came to rest crossed in a halt that is over."""
        network = self._network(session, record)
        if network is not None:
            network.rescan_due = True
            self.settle(session, record)

    def settle_conditional(self, record: Record) -> None:
        """Try all conditional orders again until nothing moves; O(1) if there are none."""
        moved = bool(self._state.conditional)
        while moved:
            for session in self._state.sessions.values():
                if session.has_conditional:
                    self.settle(session, record)
            moved = any(self._try_joint(legs, record) for _, legs in self._joints())

    def _joints(self) -> list[tuple[int, list[Order]]]:
        return sorted(self._state.joints.items())

    def _try_joint(self, legs: list[Order], record: Record) -> bool:
        """Let a joint order trade if all its legs can; return whether anything happened."""
        sessions = [self._state.sessions[leg.interval] for leg in legs]
        if not all(
            self._state.may_trade(session)
            and session.crossing_w(leg, leg.remaining_w) >= max(1, leg.required_w)
            for leg, session in zip(legs, sessions, strict=True)
        ):
            return False
        places = [
            (session, network)
            for session in sessions
            if (network := self._network(session, record)) is not None
        ]
        if len(places) < len(legs):
            return False
        for _, network in places:
            network.refresh()
        clearing = clear_joint(legs, places, self._state.joints)
        self._execute(clearing, [session.start for session in sessions], record)
        self._cancel_self_trades(clearing, record)
        if clearing.matches:
            for session in sessions:
                self.settle(session, record)
        return clearing.changes_anything

    def _cancel_self_trades(self, clearing: Clearing, record: Record) -> None:
        for own in clearing.self_trades:
            if own.order_id in self._state.orders:  # Another leg may have taken it along.
                record.cancel(own, CancelReason.SELF_TRADE)

    def _execute(self, clearing: Clearing, intervals: Sequence[datetime], record: Record) -> None:
        """Make trades of matches, and alarms of checks that failed in the intervals."""
        for match in clearing.matches:
            buy, sell = match.buy, match.sell
            record.add(
                Traded(
                    sequence=record.next_sequence,
                    time=record.now,
                    trade_id=self._state.next_trade_id,
                    interval=buy.interval,
                    direction=buy.direction,
                    quantity_w=match.quantity_w,
                    price_ticks=match.price_ticks,
                    amount=match.price_ticks * match.quantity_w,
                    taker_side=match.taker_side,
                    buy_order_id=buy.order_id,
                    sell_order_id=sell.order_id,
                    buyer=buy.participant,
                    seller=sell.participant,
                    buyer_client_order_id=buy.client_order_id,
                    seller_client_order_id=sell.client_order_id,
                    buy_connection_point=buy.connection_point,
                    sell_connection_point=sell.connection_point,
                    buy_limit_price_ticks=buy.limit_price_ticks,
                    sell_limit_price_ticks=sell.limit_price_ticks,
                    binding_element=match.verdict.element,
                    loading=match.verdict.loading,
                )
            )
            maker = sell if match.taker_side is Side.BUY else buy
            if maker.shown_w == 0 and maker.remaining_w:
                record.refill(maker)
        for start in intervals:
            network = self._networks.get(start)
            if network is None or not network.failures:
                continue
            for detail in network.failures:
                record.alarm(AlarmKind.POWER_FLOW_FAILED, start, detail)
            network.failures.clear()

    def _network(self, session: Session, record: Record) -> IntervalNetwork | None:
        """Return an open interval's network, rebuilt if need be; ``None`` if that fails."""
        if session.start not in self._networks:
            held = session.holdings.envelope_set()
            try:
                security = self._grid.resume(session.interface_limits, held)
            except GridError as error:
                record.alarm(
                    alarm_kind(error),
                    session.start,
                    f"the envelopes in force could not be taken up again: {error}",
                    halts_trading=True,
                )
                return None
            self.enter(session.start, security)
        return self._networks[session.start]

    def check_invariants(self) -> None:
        """Check that networks and state agree.

        In every open interval the envelopes in force are those that the network holds, and
        books are uncrossed or every crossing pair is blocked.

        Raises
        ------
        AssertionError
            With what breaks a rule.
        """
        for start, network in self._networks.items():
            session = self._state.sessions[start]
            in_force = session.holdings.envelope_set()
            assert network.security.envelopes() == in_force, f"{start}: the network differs"
            if not self._at_rest(start):
                continue
            trial = network.copy()
            trial.forget_linear()
            trial.rescan_due = True
            clearing = clear_resting(session, trial)
            assert not clearing.matches, f"{start}: {clearing.matches[0]} could trade"
            assert not clearing.self_trades, f"{start}: {clearing.self_trades[0]} meets its own"
        for number, legs in self._joints():
            if all(self._at_rest(leg.interval) for leg in legs):
                trials = {leg.interval: self._networks[leg.interval].copy() for leg in legs}
                for trial in trials.values():
                    trial.forget_linear()
                places = [(self._state.sessions[e.interval], trials[e.interval]) for e in legs]
                clearing = clear_joint(legs, places, self._state.joints)
                assert not clearing.matches, f"joint order {number} could trade"

    def _at_rest(self, interval: datetime) -> bool:
        """Return whether an interval trades, and whatever could has."""
        network = self._networks.get(interval)
        may_trade = self._state.may_trade(self._state.sessions[interval])
        return network is not None and may_trade and not network.rescan_due
