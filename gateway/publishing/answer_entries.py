"""The entries of answers, by what a query is about.

Each list is in the order of a key of its entries, given as text, and begins at the key that a query
names.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from itertools import islice
from typing import Any

from exchange.state.holdings import Position
from exchange.state.session import Session
from exchange.state.state import State
from exchange.vocabulary.events import Refused
from exchange.vocabulary.flexibility import FlexibilityOrder
from exchange.vocabulary.formatting import format_time
from exchange.vocabulary.orders import Order
from exchange.vocabulary.reasons import RefusalReason
from exchange.vocabulary.rules import (
    DSO_ACCOUNTS,
    EVERY_PARTICIPANT,
    METERING,
    NO_COLLAR,
    OPERATOR,
)
from gateway.formats.faults import InvalidMessageError
from gateway.messages import answers
from gateway.messages.flexibility import flexibility_entries
from gateway.messages.queries import (
    BookQuery,
    ControlsQuery,
    LimitsQuery,
    OrdersQuery,
    PositionsQuery,
    Query,
    ReportsQuery,
    RequestsQuery,
    SessionQuery,
    StatementQuery,
)
from gateway.publishing.publisher import Publisher
from orderbook.book import OrderBook
from orderbook.order import Side
from security_check.model.envelope import Direction

Entry = dict[str, Any] | bytes
"""An entry, or its JSON."""

Listed = Iterable[tuple[str, Entry]]
"""Entries with their keys, in the order of keys."""


class AnswerEntries:
    """Makes the entries of answers from a state and its publisher.

    Parameters
    ----------
    state, publisher
        What is asked about; of the same events.
    """

    def __init__(self, state: State, publisher: Publisher) -> None:
        self._state = state
        self._publisher = publisher

    def of(self, sender: str, query: Query) -> tuple[dict[str, Any], Listed]:
        """Return further keys of an answer, and its entries from the query's place on.

        Raises
        ------
        InvalidMessageError
            When the query names a book that is not open.
        """
        place = query.from_ or ""
        match query:
            case OrdersQuery():
                return {}, self._orders(sender, int(place or 0))
            case PositionsQuery():
                return {}, self._positions(sender, place)
            case ReportsQuery():
                return self._reports(sender, int(place or query.from_sequence))
            case RequestsQuery():
                return {}, self._requests(sender, query.request_ids, int(place or 0))
            case StatementQuery():
                return self._statement(sender, place)
            case BookQuery():
                return self._book(query, place)
            case SessionQuery():
                return self._session(place)
            case LimitsQuery():
                return {}, self._limits(place)
            case ControlsQuery():
                return {}, _from(place, sorted(self._controls(), key=_key))

    def _orders(self, sender: str, first: int) -> Listed:
        own: dict[int, Order | FlexibilityOrder] = dict(self._state.own_orders.get(sender, {}))
        flexible = self._state.flexible_orders_of(sender)
        if flexible:
            own = dict(sorted({**own, **{each.order_id: each for each in flexible}}.items()))
        for number in islice(own, bisect_left(list(own), first), None):
            order = own[number]
            if isinstance(order, FlexibilityOrder):
                yield str(number), self._flexibility(order)
            elif order.joint_id is None:
                yield str(number), self._order(order)
            elif order.joint_id == number:
                yield str(number), self._joint_order(order)

    def _order(self, order: Order) -> Entry:
        conditions = order.conditions
        return {
            "type": "accepted",
            "client_order_id": order.client_order_id,
            "order_id": order.order_id,
            "connection_point": order.connection_point,
            "direction": order.direction,
            "interval": order.interval,
            "side": order.side,
            "quantity_w": order.quantity_w,
            "remaining_w": order.remaining_w,
            "shown_w": order.displayed_w,
            "price": self._publisher.price(order.limit_price_ticks),
            "time_in_force": order.time_in_force,
            "expires_at": order.expires_at,
            "post_only": conditions.post_only,
            "all_or_none": conditions.all_or_none,
            "minimum_quantity_w": conditions.minimum_w,
            "displayed_quantity_w": conditions.displayed_w,
            "self_trade_prevention": conditions.self_trade_prevention,
        }

    def _flexibility(self, order: FlexibilityOrder) -> Entry:
        return {
            "type": "flexibility_accepted",
            "client_order_id": order.client_order_id,
            "order_id": order.order_id,
            **flexibility_entries(order.terms, order.bus, self._publisher.price),
            "remaining_w": order.remaining_w,
        }

    def _joint_order(self, first: Order) -> Entry:
        form, leg = answers.OpenJointOrder, answers.OpenLeg
        legs = [
            leg.entries_of(each, price=self._publisher.price(each.limit_price_ticks))
            for each in self._state.joints[first.order_id]
        ]
        return form.entries_of(first) | {
            **form.entries_of(first.conditions),
            "type": "joint_accepted",
            "legs": legs,
        }

    def _positions(self, sender: str, place: str) -> Listed:
        points = sorted(self._state.participants[sender])
        first, _, first_point = place.partition("/")
        for start, session in self._open_sessions():
            if start < first:
                continue
            skipped = bisect_left(points, first_point) if start == first else 0
            for point in islice(points, skipped, None):
                yield f"{start}/{point}", _position(session, point)

    def _reports(self, sender: str, first: int) -> tuple[dict[str, Any], Listed]:
        kept, newest = self._publisher.kept_reports, self._publisher.report_sequence(sender)
        reports = kept.reports(sender, first)
        oldest = kept.oldest(sender)
        listed = ((str(number), report) for number, report in reports)
        return {"oldest": newest + 1 if oldest is None else oldest}, listed

    def _requests(self, sender: str, request_ids: tuple[str, ...], first: int) -> Listed:
        for number, request_id in islice(enumerate(request_ids), first, None):
            yield str(number), self._outcome(sender, request_id)

    def _outcome(self, sender: str, request_id: str) -> Entry:
        found = self._state.answers.find(sender, request_id)
        event = None if found is None else found.event
        if event is None and sender == METERING:
            event = self._state.metering.reading(request_id)
        refusal = event if isinstance(event, Refused) else None
        return {
            "request_id": request_id,
            "outcome": "unknown" if event is None else self._publisher.report_type(event),
            "event": None if event is None else event.sequence,
            "reason": None if refusal is None else refusal.reason,
            "detail": None if refusal is None else refusal.detail,
            "order_id": None if found is None else found.order_id,
            "ended": None if found is None else found.ended,
        }

    def _statement(self, sender: str, place: str) -> tuple[dict[str, Any], Listed]:
        ledger, eur = self._state.ledger, self._publisher.eur
        names = sorted(DSO_ACCOUNTS) if sender == OPERATOR else [sender]
        accounts = [
            {
                "account": name,
                "settled": eur(ledger.settled_balance(name)),
                "balance": eur(ledger.balance(name)),
            }
            for name in names
        ]
        return {"accounts": accounts}, _from(place, self._unsettled(names))

    def _unsettled(self, names: Iterable[str]) -> Listed:
        ledger, eur = self._state.ledger, self._publisher.eur
        for name in names:
            for start, account in ledger.unsettled(name):
                entry = {
                    "account": name,
                    "interval": start,
                    "bought_w": account.bought_w,
                    "sold_w": account.sold_w,
                    "paid": eur(account.paid),
                    "received": eur(account.received),
                    "compensation": eur(account.compensation),
                    "penalties": eur(account.penalties),
                    "flexibility": eur(account.flexibility),
                    "balance": eur(account.balance),
                }
                yield f"{name}/{format_time(start)}", entry

    def _book(self, query: BookQuery, place: str) -> tuple[dict[str, Any], Listed]:
        sequence = self._publisher.books.sequence((query.interval, query.direction))
        if sequence is None:
            raise InvalidMessageError(
                f"interval: {format_time(query.interval)} is not open for trading",
                RefusalReason.UNKNOWN_INTERVAL,
            )
        more = {"direction": query.direction, "interval": query.interval, "sequence": sequence}
        # The firm orders are those that are displayed.
        return more, self._levels(
            self._state.sessions[query.interval].books[query.direction], place
        )

    def _levels(self, book: OrderBook[Order], place: str) -> Listed:
        """Yield the price levels of a book: bids from the best down, offers from the best up."""
        first, _, ticks = place.partition("/")
        for side in Side:
            if side.value < first:
                continue
            since = int(ticks) if side.value == first else None
            for level in book.levels(side, since):
                yield (
                    f"{side.value}/{level.limit_price_ticks}",
                    {
                        "side": side,
                        "price": self._publisher.price(level.limit_price_ticks),
                        "quantity_w": level.quantity_w,
                    },
                )

    def _session(self, place: str) -> tuple[dict[str, Any], Listed]:
        more = {"status": "online", **self._publisher.session_entries()}
        intervals = ((format_time(each.start), each.model_dump()) for each in more.pop("intervals"))
        return more, _from(place, intervals)

    def _limits(self, place: str) -> Listed:
        for start, session in self._open_sessions():
            if start >= place:
                halted = self._state.is_halted(session)
                limits = answers.LimitsInForce.entries_of(session.interface_limits)
                yield start, limits | {"interval": session.start, "halted": halted}

    def _controls(self) -> Iterator[tuple[str, dict[str, Any]]]:
        controls, price = self._state.controls, self._publisher.price
        if controls.collar != NO_COLLAR:
            bounds = (controls.collar.min_price_ticks, controls.collar.max_price_ticks)
            low, high = (None if ticks is None else price(ticks) for ticks in bounds)
            yield _control("price_collar", "", min_price=low, max_price=high)
        for name, limits in controls.limits_set():
            whom = name or EVERY_PARTICIPANT
            credit = None if limits.credit is None else self._publisher.eur(limits.credit)
            yield _control(
                "risk_limits", whom, participant=whom, **asdict(limits) | {"credit": credit}
            )
        killed = [*([EVERY_PARTICIPANT] if controls.market_killed else []), *controls.killed]
        for whom in killed:
            yield _control("kill_switch", whom, participant=whom)
        if controls.halted:
            yield _control("halt", "", interval=None)
        for start, session in self._open_sessions():
            if session.suspended:
                yield _control("halt", start, interval=session.start)
            for direction, wanted in session.buy_backs.items():
                if wanted.quantity_w:
                    yield _control(
                        "buy_back",
                        f"{start}/{direction.value}",
                        interval=session.start,
                        direction=direction,
                        quantity_w=wanted.quantity_w,
                        price=price(wanted.limit_price_ticks),
                    )

    def _open_sessions(self) -> list[tuple[str, Session]]:
        """Return the open intervals with their starts as text, in the order of the texts."""
        sessions = self._state.sessions.values()
        return sorted(
            ((format_time(each.start), each) for each in sessions if each.is_open),
            key=lambda pair: pair[0],
        )


def _position(session: Session, point: str) -> Entry:
    entry: dict[str, Any] = {
        "connection_point": point,
        "interval": session.start,
        "end": session.end,
        "gate_closes_at": session.gate_closes_at,
    }
    for direction in Direction:
        held: Position = session.holdings.position(direction, point)
        entry |= {
            f"{direction.value}_limit_w": held.held_w,
            f"{direction.value}_capacity_w": held.capacity_w,
            f"{direction.value}_fallback_w": held.fallback_w,
            f"{direction.value}_offered_w": held.reserved_w,
            f"{direction.value}_wanted_w": held.sought_w,
        }
    return entry


def _key(pair: tuple[str, Entry]) -> str:
    return pair[0]


def _control(kind: str, key: str, **entries: Any) -> tuple[str, dict[str, Any]]:
    return f"{kind}/{key}", {"type": kind, **entries}


def _from(place: str, listed: Listed) -> Listed:
    """Yield the entries whose keys are not before a place."""
    return ((key, entry) for key, entry in listed if key >= place)
