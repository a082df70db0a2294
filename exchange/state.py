"""The state of the exchange: what follows from its events, applied in order by one function.

Deciding (:mod:`exchange.engine`) and replaying both go through :meth:`State.apply`, so a replay
asks neither the network nor a solver.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime

from sortedcontainers import SortedSet

from exchange.answers import Answer, Answers, FirstAnswer
from exchange.bookings import entries_of
from exchange.controls import Controls
from exchange.events import (
    AlarmRaised,
    AnswerRepeated,
    BuyBackSet,
    ControlEvent,
    Event,
    GateClosed,
    HoldingCurtailed,
    HoldingRaised,
    InterfaceLimitsUpdated,
    JointOrderAccepted,
    KillSwitchSet,
    MatchBlocked,
    OrderAccepted,
    OrderAmended,
    OrderCancelled,
    OrderReduced,
    OrderRefilled,
    PhaseChanged,
    PriceCollarSet,
    Refused,
    RiskLimitsSet,
    SessionOpened,
    Traded,
    TradingHalted,
    TradingResumed,
)
from exchange.holdings import Holdings, Position
from exchange.ledger import Ledger
from exchange.metering import Metering
from exchange.orders import Order
from exchange.reasons import Phase
from exchange.rules import METERING, NO_COLLAR, OPERATOR, TSO, ConnectionTerms, MarketRules
from exchange.session import Session
from exchange.settlement_events import MeteringClosed, MeterRead, StatementIssued
from orderbook.order import Conditions, Side, TimeInForce
from security_check.envelope import Direction


class State:
    """Everything the exchange knows.

    Parameters
    ----------
    rules
        The market's rules.
    terms
        Connection terms by connection point.

    Attributes
    ----------
    participants
        The connection points of each participant.
    sequence, time
        Of the last event; 0 and ``None`` before the first.
    next_order_id, next_trade_id
        The numbers given out next.
    sessions
        By start of the interval, closed ones for ``rules.answers_kept_for`` longer.
    orders
        All open orders by number.
    conditional
        Numbers of the open orders that trade under a condition only; they follow from orders.
    joints
        The open legs of joint orders, by the number of the first leg; they follow from orders.
    answers
        First answers by participant and client id.
    controls
        What the operator has set.
    ledger
        Who paid whom.
    metering
        The intervals that await readings.
    turns, expiries
        What the clock must do next: ``(time, start)`` of the ends of phases, the last of which is
        the gate, and ``(time, order id)`` of good-till-date orders, both sorted; they follow from
        sessions and orders.
    """

    __slots__ = (
        "answers",
        "conditional",
        "controls",
        "expiries",
        "joints",
        "ledger",
        "metering",
        "next_order_id",
        "next_trade_id",
        "orders",
        "participants",
        "rules",
        "sequence",
        "sessions",
        "terms",
        "time",
        "turns",
    )

    def __init__(self, rules: MarketRules, terms: Mapping[str, ConnectionTerms]) -> None:
        self.rules = rules
        self.terms = terms
        self.participants: dict[str, list[str]] = {}
        for point in terms.values():
            self.participants.setdefault(point.participant, []).append(point.connection_point)
        self.sequence = 0
        self.time: datetime | None = None
        self.next_order_id = 1
        self.next_trade_id = 1
        self.sessions: dict[datetime, Session] = {}
        self.orders: dict[int, Order] = {}
        self.conditional: set[int] = set()
        self.joints: dict[int, list[Order]] = {}
        self.answers = Answers(rules.answers_kept)
        self.controls = Controls()
        self.ledger = Ledger()
        self.metering = Metering()
        self.turns: SortedSet = SortedSet()
        self.expiries: SortedSet = SortedSet()

    def answer(self, participant: str, client_order_id: str) -> FirstAnswer | None:
        """Return the first answer to a request; ``"tso"`` asks for interface limits.  O(1)."""
        answer = self.answers.find(participant, client_order_id)
        return None if answer is None else answer.event

    def repeated_answer(
        self, repeat: AnswerRepeated
    ) -> FirstAnswer | OrderCancelled | MeterRead | None:
        """Return the event an :class:`AnswerRepeated` points to, unless forgotten since.  O(1)."""
        if repeat.participant == METERING:
            return self.metering.reading(repeat.client_order_id)
        answer = self.answers.find(repeat.participant, repeat.client_order_id)
        if answer is None:
            return None
        for event in (answer.event, answer.cancelled):
            if event is not None and event.sequence == repeat.answer_sequence:
                return event
        return None

    def orders_of(
        self,
        participant: str,
        interval: datetime | None = None,
        connection_point: str | None = None,
        direction: Direction | None = None,
        side: Side | None = None,
    ) -> list[Order]:
        """Return a participant's open orders that match all that is given, oldest first."""
        sessions: Iterable[Session] = self.sessions.values()
        if interval is not None:
            sessions = [self.sessions[interval]] if interval in self.sessions else []
        found = [
            order
            for session in sessions
            for point in self.participants.get(participant, ())
            if connection_point in (None, point)
            for each in Direction
            if direction in (None, each)
            for order in session.holdings.position(each, point).orders.values()
            if side in (None, order.side)
        ]
        return sorted(found, key=lambda order: order.order_id)

    def positions_of(
        self, participant: str, interval: datetime, direction: Direction
    ) -> list[Position]:
        """Return a participant's positions of one direction, one per connection point."""
        holdings = self.sessions[interval].holdings
        return [
            holdings.position(direction, point) for point in self.participants.get(participant, ())
        ]

    def is_halted(self, session: Session) -> bool:
        """Return whether trading in a session is halted.  O(1)."""
        return session.halted or session.suspended or self.controls.halted

    def may_trade(self, session: Session) -> bool:
        """Return whether orders of a session trade: no halt, no call.  O(1)."""
        return session.phase is not Phase.CALL and not self.is_halted(session)

    def apply(self, event: Event) -> None:
        """Let an event take effect.  The only function that changes state.

        Raises
        ------
        ValueError
            When the event is not the next in sequence.
        """
        if event.sequence != self.sequence + 1:
            raise ValueError(f"event {event.sequence} cannot follow event {self.sequence}")
        self.sequence = event.sequence
        self.time = event.time
        for entry in entries_of(event):
            self.ledger.book(entry)
        match event:
            case OrderAccepted():
                self._accept(event)
            case JointOrderAccepted():
                self._accept_joint(event)
            case Traded():
                self._trade(event)
            case OrderCancelled():
                self._cancel(event)
            case OrderAmended():
                self._amend(event)
            case OrderRefilled():
                order = self.orders[event.previous_order_id]
                self._remove(order)
                self._add_as(order, event.order_id)
            case OrderReduced():
                order = self.orders[event.order_id]
                order.quantity_w -= event.reduced_by_w
                self._reduce(order, event.reduced_by_w)
            case Refused():
                self._refuse(event)
            case SessionOpened():
                self._open(event)
            case HoldingCurtailed() | HoldingRaised():
                self.sessions[event.interval].holdings.set_limit(
                    event.direction, event.connection_point, event.to_w, event.element
                )
            case InterfaceLimitsUpdated():
                session = self.sessions[event.interval]
                session.interface_limits = event.interface_limits
                session.halted = False
                self.answers.remember(TSO, event.update_id, Answer(event))
            case PhaseChanged():
                session = self.sessions[event.interval]
                self.turns.remove((session.phase_until, session.start))
                session.phase, session.phase_until = event.phase, event.until
                self.turns.add((session.phase_until, session.start))
            case AlarmRaised():
                if event.halts_trading:
                    self.sessions[event.interval].halted = True
            case GateClosed():
                self._close(event)
            case MeterRead():
                self.metering.take(event)
            case MeteringClosed():
                self.metering.close(event.interval)
            case StatementIssued():
                self.ledger.settle(event.interval, event.participant)
            case (
                PriceCollarSet()
                | RiskLimitsSet()
                | KillSwitchSet()
                | TradingHalted()
                | TradingResumed()
                | BuyBackSet()
            ):
                self._control(event)
            case MatchBlocked() | AnswerRepeated():
                pass  # They tell, and change nothing.
            case _:
                raise TypeError(f"{type(event).__name__} is no event of this exchange")

    def _accept(self, event: OrderAccepted) -> None:
        self.controls.count_order(event.participant, event.time)
        order = order_of(event)
        self._add(order)
        self.answers.remember(
            order.participant, order.client_order_id, Answer(event, order.order_id)
        )

    def _accept_joint(self, event: JointOrderAccepted) -> None:
        self.controls.count_order(event.participant, event.time, len(event.legs))
        dated = event.expires_at is not None
        for number, leg in enumerate(event.legs, start=event.order_id):
            self._add(
                Order(
                    order_id=number,
                    side=leg.side,
                    limit_price_ticks=leg.limit_price_ticks,
                    remaining_w=leg.quantity_w,
                    participant=event.participant,
                    client_order_id=event.client_order_id,
                    connection_point=leg.connection_point,
                    direction=leg.direction,
                    interval=leg.interval,
                    quantity_w=leg.quantity_w,
                    time_in_force=TimeInForce.GOOD_TILL_DATE
                    if dated
                    else TimeInForce.GOOD_TILL_CANCEL,
                    expires_at=event.expires_at,
                    conditions=Conditions(
                        all_or_none=event.all_or_none,
                        self_trade_prevention=event.self_trade_prevention,
                    ),
                    joint_id=event.order_id,
                    conditional=True,
                )
            )
        answer = Answer(event, event.order_id)
        self.answers.remember(event.participant, event.client_order_id, answer)

    def _add(self, order: Order) -> None:
        self.sessions[order.interval].add(order)
        self.index(order)
        self.next_order_id = order.order_id + 1

    def index(self, order: Order) -> None:
        """Take an order that rests in its session into the indexes over all sessions."""
        self.orders[order.order_id] = order
        if order.conditional:
            self.conditional.add(order.order_id)
            if order.joint_id is not None:
                self.joints.setdefault(order.joint_id, []).append(order)
        if order.expires_at is not None:
            self.expiries.add((order.expires_at, order.order_id))

    def _remove(self, order: Order) -> None:
        self.sessions[order.interval].remove(order)
        self._drop(order)

    def _drop(self, order: Order) -> None:
        del self.orders[order.order_id]
        if order.conditional:
            self.conditional.remove(order.order_id)
            if order.joint_id is not None:
                self.joints[order.joint_id].remove(order)
                if not self.joints[order.joint_id]:
                    del self.joints[order.joint_id]
        if order.expires_at is not None:
            self.expiries.remove((order.expires_at, order.order_id))

    def _reduce(self, order: Order, by_w: int) -> None:
        self.sessions[order.interval].reduce(order, by_w)
        self._close_if_empty(order)

    def _close_if_empty(self, order: Order) -> None:
        if not order.remaining_w:
            self._drop(order)
            if order.joint_id not in self.joints:
                self.answers.finish(order.participant, order.client_order_id)

    def _trade(self, event: Traded) -> None:
        for fill in event.fills:
            session, order = self.sessions[fill.interval], self.orders[fill.order_id]
            if fill.order_id == event.taker_order_id:
                session.reduce(order, fill.quantity_w)
            else:
                session.fill(order, fill.quantity_w)
            self._close_if_empty(order)
            session.holdings.trade(
                event.trade_id, fill.direction, fill.connection_point, fill.change_w
            )
            if event.buy_back:
                session.note_bought_back(fill.direction, fill.quantity_w)
        self.next_trade_id = event.trade_id + 1

    def _cancel(self, event: OrderCancelled) -> None:
        order = self.orders[event.order_id]
        for leg in list(self.joints.get(event.order_id, [order])):
            self._remove(leg)
        self.answers.finish(order.participant, order.client_order_id, event)

    def _amend(self, event: OrderAmended) -> None:
        self.controls.count_order(event.participant, event.time)
        order = self.orders[event.previous_order_id]
        if event.order_id == event.previous_order_id:
            order.quantity_w = event.quantity_w
            self._reduce(order, order.remaining_w - event.remaining_w)
            return
        self._remove(order)
        order.quantity_w = event.quantity_w
        order.remaining_w = event.remaining_w
        order.limit_price_ticks = event.limit_price_ticks
        self._add_as(order, event.order_id)

    def _add_as(self, order: Order, order_id: int) -> None:
        """Put an order behind all others at its price, under a new number."""
        order.order_id = order_id
        order.show_next()
        self._add(order)
        answer = self.answers.find(order.participant, order.client_order_id)
        assert answer is not None, "an open order's answer is never forgotten"
        answer.order_id = order.order_id

    def _control(self, event: ControlEvent) -> None:
        match event:
            case PriceCollarSet():
                self.controls.collar = NO_COLLAR if event.collar == NO_COLLAR else event.collar
            case RiskLimitsSet():
                self.controls.set_limits(event.participant, event.limits)
            case KillSwitchSet():
                self.controls.kill(event.participant, engaged=event.engaged)
            case BuyBackSet():
                self.sessions[event.interval].buy_backs[event.direction] = event.wanted
            case TradingHalted() | TradingResumed():
                halted = isinstance(event, TradingHalted)
                if event.interval is None:
                    self.controls.halted = halted
                else:
                    self.sessions[event.interval].suspended = halted
        self.answers.remember(OPERATOR, event.control_id, Answer(event))

    def _refuse(self, event: Refused) -> None:
        # Only a request whose content is on record can be recognised when it comes again, and
        # a reused id must not displace the answer that the id already has.
        if event.content and event.client_order_id is not None:
            self.answers.remember(event.participant, event.client_order_id, Answer(event))

    def _open(self, event: SessionOpened) -> None:
        self.sessions[event.start] = Session(
            start=event.start,
            end=event.end,
            gate_closes_at=event.gate_closes_at,
            interface_limits=event.interface_limits,
            holdings=Holdings(self.terms, event.envelopes),
            phase=event.phase,
            phase_until=event.phase_until or event.gate_closes_at,
        )
        self.turns.add((self.sessions[event.start].phase_until, event.start))

    def _close(self, event: GateClosed) -> None:
        session = self.sessions[event.interval]
        session.closed_at = event.time
        self.metering.expect(event, session.end)
        self.turns.remove((session.phase_until, session.start))
        # A gate closed early stays known until its hour, or the interval could open again.
        before = event.time - self.rules.answers_kept_for
        for start, old in list(self.sessions.items()):
            if old.closed_at is not None and max(old.closed_at, old.gate_closes_at) <= before:
                del self.sessions[start]
        self.answers.prune(before, self.sessions)


def order_of(event: OrderAccepted) -> Order:
    """Return the order that an event accepts."""
    return Order(
        order_id=event.order_id,
        side=event.side,
        limit_price_ticks=event.limit_price_ticks,
        remaining_w=event.quantity_w,
        participant=event.participant,
        client_order_id=event.client_order_id,
        connection_point=event.connection_point,
        direction=event.direction,
        interval=event.interval,
        quantity_w=event.quantity_w,
        time_in_force=event.time_in_force,
        expires_at=event.expires_at,
        conditions=event.conditions,
        peak_w=event.conditions.displayed_w,
        conditional=event.conditions.apply_at_once(event.time_in_force),
    )
