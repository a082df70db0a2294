"""Clearings become trades here: when, at what prices, and what is said of what cannot trade."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from functools import partial

from exchange.clearing.payments import at_local_prices, at_maker_prices
from exchange.clearing.problem import ClearingError
from exchange.handlers.fills import fills_of
from exchange.handlers.self_trade_prevention import first_own, own_crossed, resolve, resolve_resting
from exchange.market.interval_market import CheckFailedError, ConfirmedClearing
from exchange.market.interval_markets import IntervalMarkets
from exchange.market.market_program import Legs
from exchange.state.recording import EventRecorder, alarm_kind
from exchange.state.session import Session
from exchange.state.state import State
from exchange.vocabulary.events import MatchBlocked, Traded
from exchange.vocabulary.orders import Order
from exchange.vocabulary.reasons import AlarmKind, CancelReason, Phase
from orderbook.order import SelfTradePrevention, Side, TimeInForce
from security_check.model.element import POWER_FLOW

_HALTED = "trading in the interval is halted until new interface limits are in force"
_SUSPENDED = "trading is halted until the operator resumes it"

_MOST_TAKEN_OUT = 4
"""Orders that one event may take out because the clearing fails for them."""

_WITHOUT_WAITING = {
    TimeInForce.IMMEDIATE_OR_CANCEL: CancelReason.IMMEDIATE_OR_CANCEL,
    TimeInForce.FILL_OR_KILL: CancelReason.FILL_OR_KILL,
}
"""Orders that never rest, and why what is left of them is cancelled."""


class Matching:
    """Makes trades of what markets find.

    Parameters
    ----------
    state
        The exchange's state; read here, changed by the events alone.
    markets
        What clears together.
    """

    __slots__ = ("_alarmed", "_markets", "_state")

    def __init__(self, state: State, markets: IntervalMarkets) -> None:
        self._state = state
        self._markets = markets
        self._alarmed: dict[datetime, str] = {}

    def trade(self, legs: Legs, record: EventRecorder) -> None:
        """Let an incoming order, in the books already, trade what the network carries."""
        order, state = legs[0], self._state
        sessions = [state.sessions[leg.interval] for leg in legs]
        may_trade = all(state.may_trade(session) for session in sessions)
        if may_trade:
            # Where its market is not there yet, it is built with the order as one that comes in.
            market = self._markets.market(order.interval, record, order.order_id)
            may_trade = market is not None
        stopped = False
        if may_trade:
            stopped = not self._meet_own(legs, record)
            if not stopped:
                self._clear(order.interval, order.order_id, record)
        if order.order_id in state.orders:
            self._rest(order, sessions[0], may_trade, record)
        if stopped:
            # What it traded before it met its own may be what another's condition lacked.
            self._clear(order.interval, order.order_id, record)

    def _rest(self, order: Order, session: Session, may_trade: bool, record: EventRecorder) -> None:
        """Let what is left of an incoming order wait, or cancel it if it may not."""
        self._markets.rest(order)
        if order.joint_id is None and session.phase is not Phase.CALL:
            self._note_block(order, session, may_trade, record)
        why_not_wait = _WITHOUT_WAITING.get(order.time_in_force)
        if why_not_wait is not None:
            record.cancel(order, why_not_wait)

    def would_trade(
        self, order: Order, record: EventRecorder, *, instead_of: Order | None = None
    ) -> bool:
        """Return whether an order that is not in its book would trade at once if it were.

        ``instead_of`` is the order whose place it takes.  Where the clearing fails, it might.
        """
        session = self._state.sessions[order.interval]
        if not self._state.may_trade(session):
            return False
        try:
            return self._markets.would_trade(order, instead_of, record)
        except ClearingError:
            return True

    def uncross(self, session: Session, record: EventRecorder) -> None:
        """Let what rests trade at local prices, now that more of it can, or again."""
        if self._state.may_trade(session):
            for start in self._markets.group(session.start):
                resolve_resting(self._state.sessions[start], record)
            self._clear(session.start, None, record)

    def _clear(self, interval: datetime, taker: int | None, record: EventRecorder) -> None:
        """Trade until nothing is left that would raise welfare.

        Where a program cannot be solved, it is tried once more with programs built from nothing;
        then without the order for which it fails, so that the others go on trading.
        """
        if taker is None:
            self._markets.let_join()
        search = partial(self._markets.next_trade, interval, record)
        for attempt in range(1 + _MOST_TAKEN_OUT):
            try:
                self._trade_while(search, taker, record)
            except CheckFailedError as failed:
                self._check_failed(failed, record)
                return
            except ClearingError as error:
                if not attempt:
                    self._markets.build_anew(interval, record, taker)
                elif not self._cancel_failing_order(interval, error, record):
                    return
            else:
                self._alarmed.pop(interval, None)
                return

    def _trade_while(
        self,
        search: Callable[[], ConfirmedClearing | None],
        taker: int | None,
        record: EventRecorder,
    ) -> None:
        """Trade while a search finds something; raises as the search."""
        while (found := search()) is not None:
            self._execute(found, taker, record)

    def _try_to_trade(
        self, search: Callable[[], ConfirmedClearing | None], order: Order, record: EventRecorder
    ) -> None:
        """Let an order trade while a search finds something; a clearing of all follows it."""
        try:
            self._trade_while(search, order.order_id, record)
        except CheckFailedError as failed:
            self._check_failed(failed, record)
        except ClearingError as error:
            self._alarm(AlarmKind.CLEARING_FAILED, order.interval, _failure(error), record)

    def _cancel_failing_order(
        self, interval: datetime, error: ClearingError, record: EventRecorder
    ) -> bool:
        """Cancel the order for which a clearing fails, and say so; return whether it is for one."""
        failing_order = self._markets.failing_order(interval, record)
        if failing_order is None:
            self._alarm(AlarmKind.CLEARING_FAILED, interval, _failure(error), record)
            return False
        name = f"order {failing_order.order_id} of {failing_order.participant}"
        order = (
            f"{failing_order.side} of {failing_order.remaining_w:,} W "
            f"at {failing_order.limit_price_ticks:,} ticks"
        )
        detail = f"{_failure(error)}; {name} ({order}) is cancelled, without it the others go on"
        self._alarm(AlarmKind.CLEARING_FAILED, failing_order.interval, detail, record)
        record.cancel(failing_order, CancelReason.CLEARING_FAILED)
        return True

    def _check_failed(self, failed: CheckFailedError, record: EventRecorder) -> None:
        detail = f"the check of a clearing failed: {failed}"
        self._alarm(alarm_kind(failed.error), failed.interval, detail, record)

    def _alarm(
        self, kind: AlarmKind, interval: datetime, detail: str, record: EventRecorder
    ) -> None:
        """Raise an alarm, unless it is the last one of the interval and nothing traded since."""
        if self._alarmed.get(interval) != detail:
            self._alarmed[interval] = detail
            record.alarm(kind, interval, detail)

    def _meet_own(self, legs: Legs, record: EventRecorder) -> bool:
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
                    if in_vain:
                        self._trade_among(partial(_is_not_own, order), order, record)
                        return False
                    self._trade_ahead_of(own, order, record)
                    if order.order_id not in self._state.orders:
                        return False
                resolve(order, own, record)
                if order.order_id not in self._state.orders:
                    return False
        return True

    def _trade_ahead_of(self, own: Order, order: Order, record: EventRecorder) -> None:
        """Let an order trade with those that have priority over one of its own participant.

        The others that it crosses stand aside meanwhile.  Where nobody trades under a condition,
        it is enough for that not to go beyond its own one's price: O(orders at that price).
        """
        state, session = self._state, self._state.sessions[order.interval]
        if next(session.makers(order), None) is own:
            return
        market = self._markets.market(order.interval, record)
        if market is None:
            return
        reach = (
            order if state.conditional else replace(order, limit_price_ticks=own.limit_price_ticks)
        )
        behind = [maker for maker in session.makers(reach) if maker.priority >= own.priority]
        # A joint order may be met without being crossed: it alone stands aside then.
        aside = [self._legs_of(maker) for maker in behind or [own]]
        aside = self._markets.suspend(aside)
        market.limit(order, reach.limit_price_ticks)
        search = partial(self._markets.next_trade, order.interval, record)
        self._try_to_trade(search, order, record)
        if order.order_id in state.orders:
            market.limit(order, order.limit_price_ticks)
        self._markets.restore(aside)

    def _legs_of(self, order: Order) -> Legs:
        return [order] if order.joint_id is None else self._state.joints[order.joint_id]

    def _trade_among(
        self, may_meet: Callable[[Order], bool], order: Order, record: EventRecorder
    ) -> None:
        """Let an order trade with some of the others only."""
        search = partial(self._markets.trade_among, order.interval, may_meet, record)
        self._try_to_trade(search, order, record)

    def _execute(self, found: ConfirmedClearing, taker: int | None, record: EventRecorder) -> None:
        """Make an event of a clearing, and let icebergs show their next part."""
        state, rules = self._state, self._state.rules
        numbers = [each.order.order_id for each in found.executions]
        if taker is None:
            paid = at_local_prices(found.executions, found.prices.local, rules.reserve_price_ticks)
        else:
            taker = taker if taker in numbers else numbers[-1]
            paid = at_maker_prices(found.executions, taker, rules.reserve_price_ticks)
        fills = fills_of(found.executions, paid, state)
        for fill in fills:
            self._alarmed.pop(fill.interval, None)
        record.trade(
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

    def _note_block(
        self, order: Order, session: Session, may_trade: bool, record: EventRecorder
    ) -> None:
        """Say what the network, or a halt, refuses of an incoming order that crosses others."""
        if not session.books[order.direction].crossing_w(order.side, order.limit_price_ticks, 1):
            return
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
            element, detail = self._why_blocked(order, session, record)
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

    def _why_blocked(
        self, order: Order, session: Session, record: EventRecorder
    ) -> tuple[str, str]:
        """Return the element that keeps an order from its best maker, and a sentence."""
        maker = next(
            session.books[order.direction].orders(order.side.opposite, order.limit_price_ticks)
        )
        buy, sell = (order, maker) if order.side is Side.BUY else (maker, order)
        wanted_w = min(order.remaining_w, maker.remaining_w)
        least_w = max(self._state.rules.lot_w, min(order.required_w, wanted_w))
        network = self._markets.network(session.start, record)
        if network is None:
            return POWER_FLOW, "the network could not be asked"
        found_w, element = network.largest_secure_w(
            order.direction, sell.connection_point, buy.connection_point, wanted_w
        )
        moved = (
            f"{order.direction} limit to move from {sell.connection_point} "
            f"to {buy.connection_point}"
        )
        if found_w >= least_w:
            return POWER_FLOW, (
                f"no clearing in whole lots that the AC power flow confirms gains from "
                f"{least_w:,} W of {moved}"
            )
        least = "lot" if least_w == self._state.rules.lot_w else "part"
        worst_case = network.explain(element)
        return element, (
            f"{element} leaves no {least} of {least_w:,} W of {moved}"
            f"{worst_case and ': ' + worst_case}"
        )


def _failure(error: ClearingError) -> str:
    return f"the clearing failed: {error}"


def _is_not_own(order: Order, other: Order) -> bool:
    """Return whether an order may meet another one without trading with its own participant."""
    return (
        other.participant != order.participant
        or other.side is order.side
        or other.direction is not order.direction
        or other.interval != order.interval
    )
