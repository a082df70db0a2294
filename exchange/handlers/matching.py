"""Matching: an incoming order trades what the network carries; resting orders trade when more can.

The clearings are found by :mod:`exchange.market.interval_markets` and made into trades by
:mod:`exchange.handlers.trade_execution`.
"""

from __future__ import annotations

from exchange.clearing.problem import ClearingError
from exchange.handlers.blocked_matches import note_blocked_match
from exchange.handlers.self_trade_prevention import meet_own_orders, resolve_resting_orders
from exchange.handlers.trade_execution import TradeExecution
from exchange.market.market_program import Legs
from exchange.state.recording import EventRecorder
from exchange.state.session import Session
from exchange.vocabulary.orders import Order
from exchange.vocabulary.reasons import CancelReason, Phase
from orderbook.order import TimeInForce

# Why the rest of an order that never waits is cancelled.
_IMMEDIATE_REASONS = {
    TimeInForce.IMMEDIATE_OR_CANCEL: CancelReason.IMMEDIATE_OR_CANCEL,
    TimeInForce.FILL_OR_KILL: CancelReason.FILL_OR_KILL,
}


class Matching:
    """Lets orders trade.

    Parameters
    ----------
    execution
        Makes trades of the clearings of its markets.
    """

    __slots__ = ("_execution", "_markets", "_state")

    def __init__(self, execution: TradeExecution) -> None:
        self._execution = execution
        self._state, self._markets = execution.state, execution.markets

    def trade(self, legs: Legs, record: EventRecorder) -> None:
        """Let an incoming order, in its books already, trade what the network carries."""
        order, state = legs[0], self._state
        sessions = [state.sessions[leg.interval] for leg in legs]
        may_trade = all(state.may_trade(session) for session in sessions)
        if may_trade:
            # A market that does not exist yet is built with the order as an incoming one.
            market = self._markets.market(order.interval, record, order.order_id)
            may_trade = market is not None
        stopped = False
        if may_trade:
            stopped = not meet_own_orders(legs, self._markets, self._execution, record)
            if not stopped:
                self._execution.trade_all(order.interval, order.order_id, record)
        if order.order_id in state.orders:
            self._rest(order, sessions[0], record, may_trade=may_trade)
        if stopped:
            # What the order traded before it met its own may let a conditional order trade.
            self._execution.trade_all(order.interval, order.order_id, record)

    def _rest(
        self, order: Order, session: Session, record: EventRecorder, *, may_trade: bool
    ) -> None:
        """Let what is left of an incoming order wait, or cancel it if it may not wait."""
        self._markets.rest(order)
        if order.joint_id is None and session.phase is not Phase.CALL:
            note_blocked_match(order, session, self._markets, record, may_trade=may_trade)
        if order.time_in_force.is_immediate:
            record.cancel(order, _IMMEDIATE_REASONS[order.time_in_force])

    def would_trade(
        self, order: Order, record: EventRecorder, *, instead_of: Order | None = None
    ) -> bool:
        """Return whether an order that is not in its book would trade at once if it were.

        ``instead_of`` is the order that it would replace.  Where the clearing fails, the answer
        is yes, because the order might trade.
        """
        session = self._state.sessions[order.interval]
        if not self._state.may_trade(session):
            return False
        try:
            return self._markets.would_trade(order, instead_of, record)
        except ClearingError:
            return True

    def uncross(self, session: Session, record: EventRecorder) -> None:
        """Let resting orders trade in an auction, after what kept them from it has ended."""
        if self._state.may_trade(session):
            for start in self._markets.group(session.start):
                resolve_resting_orders(self._state.sessions[start], record)
            self._execution.trade_all(session.start, None, record)
