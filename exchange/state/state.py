"""The state of the exchange, and the questions that handlers ask it.

It follows from the events: :mod:`exchange.state.effects` is the one place where it changes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime

from sortedcontainers import SortedSet

from exchange.accounts.ledger import Ledger
from exchange.accounts.metering import Metering
from exchange.state.controls import Controls
from exchange.state.holdings import Position
from exchange.state.request_answers import Answer, RequestLog
from exchange.state.safeguards import Safeguards
from exchange.state.session import Session
from exchange.vocabulary.events import AnswerRepeated
from exchange.vocabulary.flexibility import FlexibilityOrder
from exchange.vocabulary.orders import Order
from exchange.vocabulary.reasons import Phase
from exchange.vocabulary.rules import METERING, ConnectionTerms, MarketRules
from orderbook.order import Side
from security_check.model.envelope import Direction


class State:
    """Everything that the exchange remembers.

    Parameters
    ----------
    rules
        The market's rules.
    terms
        Connection terms by connection point.

    Attributes
    ----------
    participants
        The connection points of each participant; one that only requests flexibility has none.
    sequence, time
        Of the last event; 0 and ``None`` before the first.
    next_order_id, next_trade_id
        The numbers of the next order and the next trade.
    sessions
        By start of the interval, closed ones for ``rules.intervals_kept_for`` longer.
    orders
        All open orders for limit, by number.
    flexible_orders
        All open orders for flexibility, by number; they follow from sessions.
    own_orders
        The open orders of each participant that has any, by number, oldest first; they follow from
        orders.
    conditional
        Numbers of the open orders that trade only under a condition; they follow from orders.
    joints
        The open legs of joint orders, by the number of the first leg; they follow from orders.
    answers
        First answers by sender and the sender's id of the request.
    controls
        The controls of the market operator.
    safeguards
        The safeguards of the participants.
    ledger
        The accounts of participants and of the DSO.
    metering
        The intervals that await readings.
    phase_deadlines, expiries
        ``(time, start)`` of the ends of phases, the last of which is the gate, and
        ``(time, order id)`` of good-till-date orders, both sorted; they follow from sessions and
        orders.
    """

    __slots__ = (
        "answers",
        "conditional",
        "controls",
        "expiries",
        "flexible_orders",
        "joints",
        "ledger",
        "metering",
        "next_order_id",
        "next_trade_id",
        "orders",
        "own_orders",
        "participants",
        "phase_deadlines",
        "rules",
        "safeguards",
        "sequence",
        "sessions",
        "terms",
        "time",
    )

    def __init__(self, rules: MarketRules, terms: Mapping[str, ConnectionTerms]) -> None:
        self.rules = rules
        self.terms = terms
        self.participants: dict[str, list[str]] = {}
        for point in terms.values():
            self.participants.setdefault(point.participant, []).append(point.connection_point)
        for name in () if rules.flexibility is None else rules.flexibility.requesters:
            self.participants.setdefault(name, [])
        self.sequence = 0
        self.time: datetime | None = None
        self.next_order_id = 1
        self.next_trade_id = 1
        self.sessions: dict[datetime, Session] = {}
        self.orders: dict[int, Order] = {}
        self.flexible_orders: dict[int, FlexibilityOrder] = {}
        self.own_orders: dict[str, dict[int, Order]] = {}
        self.conditional: set[int] = set()
        self.joints: dict[int, list[Order]] = {}
        self.answers = RequestLog(rules.answers_kept)
        self.controls = Controls()
        self.safeguards = Safeguards(rules.answers_kept)
        self.ledger = Ledger()
        self.metering = Metering()
        self.phase_deadlines: SortedSet = SortedSet()
        self.expiries: SortedSet = SortedSet()

    def repeated_answer(self, repeat: AnswerRepeated) -> Answer | None:
        """Return the answer that an :class:`AnswerRepeated` refers to, unless forgotten.  O(1)."""
        answer = self.answers.find(repeat.participant, repeat.request_id)
        if answer is None and repeat.participant == METERING:
            return self.metering.reading(repeat.request_id)
        return None if answer is None else answer.event

    def orders_of(
        self,
        participant: str,
        interval: datetime | None = None,
        connection_point: str | None = None,
        direction: Direction | None = None,
        side: Side | None = None,
    ) -> list[Order]:
        """Return a participant's open orders that match every given value, oldest first."""
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

    def flexible_orders_of(
        self,
        participant: str,
        interval: datetime | None = None,
        connection_point: str | None = None,
        direction: Direction | None = None,
        side: Side | None = None,
    ) -> list[FlexibilityOrder]:
        """Return a participant's open orders for flexibility, as :meth:`orders_of`, oldest first.

        They have no direction of a limit, so none matches one.
        """
        if direction is not None:
            return []
        return [
            order
            for order in self.flexible_orders.values()
            if order.participant == participant
            and interval in (None, order.interval)
            and side in (None, order.terms.side)
            and (connection_point is None or connection_point == _point_of(order))
        ]

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

    # -- orders, in their sessions and in the indexes over all of them --------------------------

    def add_flexible(self, order: FlexibilityOrder) -> None:
        """Let an order for flexibility rest under the next number."""
        self.sessions[order.interval].flexibility.orders[order.order_id] = order
        self.flexible_orders[order.order_id] = order
        self.next_order_id = order.order_id + 1

    def remove_flexible(self, order: FlexibilityOrder) -> None:
        """Take an order for flexibility out of its session."""
        del self.sessions[order.interval].flexibility.orders[order.order_id]
        del self.flexible_orders[order.order_id]

    def add(self, order: Order) -> None:
        """Let an order rest under the next number."""
        self.sessions[order.interval].add(order)
        self.index(order)
        self.next_order_id = order.order_id + 1

    def index(self, order: Order) -> None:
        """Take an order that rests in its session into the indexes over all sessions.

        Orders come with rising numbers.
        """
        self.orders[order.order_id] = order
        self.own_orders.setdefault(order.participant, {})[order.order_id] = order
        if order.conditional:
            self.conditional.add(order.order_id)
            if order.joint_id is not None:
                self.joints.setdefault(order.joint_id, []).append(order)
        if order.expires_at is not None:
            self.expiries.add((order.expires_at, order.order_id))

    def remove(self, order: Order) -> None:
        """Take an order out of its session."""
        self.sessions[order.interval].remove(order)
        self.unindex(order)

    def unindex(self, order: Order) -> None:
        """Take an order that has left its session out of the indexes."""
        del self.orders[order.order_id]
        own = self.own_orders[order.participant]
        del own[order.order_id]
        if not own:
            del self.own_orders[order.participant]
        if order.conditional:
            self.conditional.remove(order.order_id)
            if order.joint_id is not None:
                self.joints[order.joint_id].remove(order)
                if not self.joints[order.joint_id]:
                    del self.joints[order.joint_id]
        if order.expires_at is not None:
            self.expiries.remove((order.expires_at, order.order_id))


def _point_of(order: FlexibilityOrder) -> str | None:
    """Return the connection point of an offer; a request has none."""
    return order.terms.place if order.terms.side is Side.SELL else None
