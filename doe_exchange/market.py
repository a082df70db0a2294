"""The exchange of an area, in memory: no broker, no journal, and no clock but that of the calls."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from decimal import Decimal, InvalidOperation
from functools import cached_property
from typing import Any

import numpy as np

from doe_exchange.envelopes import Envelopes
from doe_exchange.orders import Desk, NewOrder, Order, OwnEvent, Price
from doe_exchange.tables import TIME, Table
from doe_exchange.times import as_time, one_interval
from exchange.engine import Exchange
from exchange.vocabulary.commands import (
    AdvanceTime,
    AmendOrder,
    CancelOrder,
    Command,
    OpenSession,
    UpdateInterfaceLimits,
)
from exchange.vocabulary.events import (
    Event,
    MatchBlocked,
    OrderCancelled,
    OrderReduced,
    Refused,
    Traded,
)
from exchange.vocabulary.formatting import format_eur, format_time
from exchange.vocabulary.orders import Order as OpenOrder
from exchange.vocabulary.settlement_events import StatementIssued
from gateway.formats.envelope_file import EnvelopeRecord, IntervalRecord
from gateway.formats.faults import InputFaults
from gateway.formats.orders_file import (
    command_of,
    named_intervals,
    parse_order_line,
)
from gateway.formats.prices import InvalidMessageError, price_in_ticks
from gateway.formats.statements_file import figures_in_eur
from gateway.publishing.trade_prints import prints_of
from gateway.runs.simulation import welfare
from gateway.scenario.scenario import Scenario
from orderbook.order import Side, TimeInForce
from security_check.errors import Fault
from security_check.model.envelope import Direction

_MONEY = ("paid", "received", "compensation", "penalties", "balance")


class Market:
    """The exchange of an area, with every interval of the area open for trading.

    Prices are in EUR per kW of limit for the interval, quantities in watts.  Each call may say
    when it happens (``at``); else it happens at :attr:`now`, after the calls before it.  A time
    before :attr:`now` counts as :attr:`now`.

    Parameters
    ----------
    scenario
        The area's scenario.
    opened_at
        When the intervals open.

    Attributes
    ----------
    exchange
        The exchange itself.
    events
        Everything that happened, in order.
    now
        The time of the last call.

    Examples
    --------
    >>> import doe_exchange as dx
    >>> market = dx.Area.from_scenario("bundled:reference").open_market()
    >>> market.sell("load:7", "withdrawal", 1000, price="0.04")
    <Order load:7 order-1: sell 1,000 W withdrawal of load:7 at 0.04 EUR per kW; open>
    >>> market.buy("load:3", "withdrawal", 600, price="0.05").status
    <OrderStatus.FILLED: 'filled'>
    >>> market.trades.to_frame()[["seller", "buyer", "quantity_w", "price_eur_per_kw"]]
       seller   buyer  quantity_w  price_eur_per_kw
    0  load:7  load:3         600              0.04
    >>> bool(market.envelopes.verify())
    True
    """

    def __init__(self, scenario: Scenario, opened_at: datetime | str | None = None) -> None:
        self._scenario = scenario
        self.exchange = Exchange(scenario.grid(), scenario.rules, scenario.terms())
        self.events: list[Event] = []
        self._orders: list[Order] = []
        self._own: dict[tuple[str, str], list[OwnEvent]] = {}
        self._ids = 0
        sessions = [
            OpenSession(each.start, each.end, each.start - scenario.gate_closure, limits)
            for each in scenario.intervals
            for limits in [each.interface_limits]
        ]
        first_gate = min(session.gate_closes_at for session in sessions)
        usual = first_gate - scenario.opening
        self.now = usual if opened_at is None else as_time(opened_at, "opened_at")
        for session in sessions:
            where = f"interval {format_time(session.start)}"
            self._do(session, where, scenario.source)

    # -- requests -------------------------------------------------------------------------------

    def buy(
        self,
        connection_point: str,
        direction: Direction | str,
        quantity_w: int,
        *,
        price: Price | None = None,
        interval: datetime | str | None = None,
        participant: str | None = None,
        client_order_id: str | None = None,
        time_in_force: TimeInForce | str | None = None,
        expires_at: datetime | str | None = None,
        at: datetime | str | None = None,
        **conditions: Any,
    ) -> Order:
        """Send an order that raises a limit of a connection point.

        Parameters
        ----------
        connection_point
            Its id.
        direction
            ``"injection"`` or ``"withdrawal"``.
        quantity_w
            By how much, in watts, > 0.
        price
            The limit price; without one it is a market order.
        interval
            Start of the interval; needed where the area has several.
        participant
            The owner of the connection point where not given.
        client_order_id
            A new one where not given.  An id sent twice has the effect of once.
        time_in_force
            ``"GTC"`` (the default), ``"GTD"`` until ``expires_at``, ``"IOC"`` or ``"FOK"``.
        expires_at
            For ``"GTD"``.
        at
            When.
        conditions
            Further entries of an orders file: ``post_only``, ``all_or_none``,
            ``minimum_quantity_w``, ``displayed_quantity_w``, ``self_trade_prevention``.

        Returns
        -------
        The order, which may be refused: see :attr:`Order.status` and :attr:`Order.detail`.

        Raises
        ------
        InvalidMessageError
            When it is no order: a value of the wrong type, a price between two ticks, a missing
            interval.
        """
        return self._submit_one(
            Side.BUY,
            at,
            connection_point=connection_point,
            direction=direction,
            quantity_w=quantity_w,
            price=price,
            interval=interval,
            participant=participant,
            client_order_id=client_order_id,
            time_in_force=time_in_force,
            expires_at=expires_at,
            **conditions,
        )

    def sell(
        self,
        connection_point: str,
        direction: Direction | str,
        quantity_w: int,
        *,
        price: Price | None = None,
        interval: datetime | str | None = None,
        participant: str | None = None,
        client_order_id: str | None = None,
        time_in_force: TimeInForce | str | None = None,
        expires_at: datetime | str | None = None,
        at: datetime | str | None = None,
        **conditions: Any,
    ) -> Order:
        """Send an order that lowers a limit of a connection point; as :meth:`buy`."""
        return self._submit_one(
            Side.SELL,
            at,
            connection_point=connection_point,
            direction=direction,
            quantity_w=quantity_w,
            price=price,
            interval=interval,
            participant=participant,
            client_order_id=client_order_id,
            time_in_force=time_in_force,
            expires_at=expires_at,
            **conditions,
        )

    def _submit_one(self, side: Side, at: datetime | str | None, **terms: Any) -> Order:
        order_type = "market" if terms["price"] is None else "limit"
        return self.submit({"side": side, "order_type": order_type, **terms}, at=at)

    def submit(self, terms: Mapping[str, Any], *, at: datetime | str | None = None) -> Order:
        """Send any new order: a single one, a block over intervals, or a linked pair.

        Parameters
        ----------
        terms
            The entries of a line of an orders file (``docs/formats.md``).  ``type`` is
            ``"submit"`` where not given; time, participant and client order id may be left out.
        at
            When.

        Raises
        ------
        InvalidMessageError
            As :meth:`buy`.

        Examples
        --------
        >>> import doe_exchange as dx
        >>> market = dx.Area.from_scenario("bundled:reference").open_market()
        >>> leg = {"connection_point": "load:3", "quantity_w": 500}
        >>> market.submit({"type": "linked", "legs": [
        ...     leg | {"direction": "injection", "side": "sell", "price": "0.01"},
        ...     leg | {"direction": "withdrawal", "side": "buy", "price": "0.05"}]}).status
        <OrderStatus.OPEN: 'open'>
        """
        line = self._line(terms, at)
        command = command_of(line, self._scenario.rules, self._starts)
        events = self.send(command, at=at)
        key = (line.participant, line.client_order_id)
        refused = [each for each in events if isinstance(each, Refused)]
        first = self.exchange.state.answer(*key)
        refusal = refused[0] if refused else first if isinstance(first, Refused) else None
        order = Order(line, refusal, self._desk)
        self._orders.append(order)
        return order

    def send(self, command: Command, *, at: datetime | str | None = None) -> list[Event]:
        """Send any command of :mod:`exchange.vocabulary.commands`, and return what happened."""
        if at is not None:
            self.now = max(self.now, as_time(at, "at"))
        events = self.exchange.handle(command, self.now)
        self.events += events
        for event in events:
            match event:
                case Traded():
                    for fill in event.fills:
                        self._note(fill)
                case MatchBlocked() | OrderCancelled() | OrderReduced():
                    self._note(event)
        return events

    def update_interface(
        self,
        *,
        interval: datetime | str | None = None,
        at: datetime | str | None = None,
        **limits: Any,
    ) -> list[Event]:
        """Put new limits of the TSO in force in an interval, and return what happened.

        Parameters
        ----------
        interval
            Start of the interval; needed where the area has several.
        at
            When.
        limits
            Those that change: ``injection_limit_w``, ``withdrawal_limit_w`` (watts or ``None``),
            ``voltage_min_pu``, ``voltage_max_pu``, ``reactive_min_var``, ``reactive_max_var``.

        Raises
        ------
        InputFaults
            When a limit is wrong, or the exchange refuses it.
        """
        start = one_interval(interval, self._starts)
        session = self.exchange.state.sessions.get(start)
        if session is None:
            detail = f"the interval {format_time(start)} is over"
            raise InputFaults("the TSO's limits", [Fault("interval", detail)])
        try:
            changed = replace(session.interface_limits, **limits)
        except (TypeError, ValueError) as error:
            raise InputFaults("the TSO's limits", [Fault("interface", str(error))]) from None
        command = UpdateInterfaceLimits(self._new_id("update"), start, changed)
        return self._do(command, f"interval {format_time(start)}", "the TSO's limits", at)

    def advance(self, to: datetime | str) -> list[Event]:
        """Let time pass: dates expire, auctions are held, gates close; return what happened."""
        return self.send(AdvanceTime(), at=to)

    def close(self) -> list[Event]:
        """Let time pass until every gate has closed; return what happened."""
        sessions = self.exchange.state.sessions.values()
        return self.advance(max([self.now, *(each.gate_closes_at for each in sessions)]))

    # -- results --------------------------------------------------------------------------------

    @property
    def orders(self) -> Table:
        """Every order that was sent, and what became of it."""
        return Table("Orders", _ORDERS, (_order_row(order) for order in self._orders))

    @property
    def trades(self) -> Table:
        """Buyer, seller, quantity and price of every trade.

        Of a clearing of several orders, buyers and sellers are paired by price and time.
        """
        trades = (event for event in self.events if isinstance(event, Traded))
        return Table("Trades", _TRADES, (row for trade in trades for row in self._prints(trade)))

    def book(self, direction: Direction | str, interval: datetime | str | None = None) -> Table:
        """Return the price levels of a book: asks from the highest, then bids from the highest.

        Orders with conditions, and the hidden parts of icebergs, are not shown.

        Parameters
        ----------
        direction
            ``"injection"`` or ``"withdrawal"``.
        interval
            Start of the interval; needed where the area has several.
        """
        start, way = one_interval(interval, self._starts), _direction(direction)
        title = f"Book of {way} limits, interval {format_time(start)}"
        if start not in self.exchange.state.sessions:
            return Table(title, _BOOK, [])
        book = self.exchange.book(start, way)
        levels = [(Side.SELL, each) for each in reversed(book.depth(Side.SELL))]
        levels += [(Side.BUY, each) for each in book.depth(Side.BUY)]
        rows = (
            (side.value, self._price(each.limit_price_ticks), each.quantity_w, each.orders)
            for side, each in levels
        )
        return Table(title, _BOOK, rows)

    def prices(self, interval: datetime | str | None = None) -> Table:
        """Return the local prices of an interval: balance price plus what binding elements add.

        A direction in which no order rests has no prices; ``element`` adds the most.
        """
        start = one_interval(interval, self._starts)
        tick = float(self._scenario.rules.tick)
        rows = (
            (
                each.connection_point,
                each.direction.value,
                tick * each.price_ticks,
                tick * each.balance_ticks,
                each.parts[0].element if each.parts else "",
            )
            for each in self.exchange.local_prices(start) or ()
        )
        return Table(f"Local prices, interval {format_time(start)}", _PRICES, rows)

    @property
    def statements(self) -> Table:
        """The statements of account, issued when a gate closes; those of the DSO included.

        The balances of an interval add up to zero.
        """
        rules = self._scenario.rules
        rows = (
            (
                event.interval,
                event.participant,
                event.bought_w,
                event.sold_w,
                *(float(figures[name]) for name in _MONEY),
            )
            for event in self.events
            if isinstance(event, StatementIssued)
            for figures in [figures_in_eur(event, rules)]
        )
        return Table("Statements", _STATEMENTS, rows)

    @property
    def welfare_eur(self) -> Decimal:
        """What the trades gained: the buyers' limit prices less the sellers', exact."""
        trades = [event for event in self.events if isinstance(event, Traded)]
        return self._scenario.rules.amount_in_eur(welfare(trades, self._scenario.rules))

    @property
    def envelopes(self) -> Envelopes:
        """The envelopes in force, under the TSO's limits in force."""
        sessions = self.exchange.state.sessions
        intervals = [
            replace(each, interface_limits=sessions[each.start].interface_limits)
            for each in self._scenario.intervals
            if each.start in sessions
        ]
        records = [
            IntervalRecord(
                start=each.start,
                end=each.end,
                envelopes=[EnvelopeRecord.of(own) for own in self.exchange.envelopes(each.start)],
            )
            for each in intervals
        ]
        return Envelopes(replace(self._scenario, intervals=tuple(intervals)), records)

    def __repr__(self) -> str:
        trades = sum(isinstance(event, Traded) for event in self.events)
        open_orders = len(self.exchange.state.orders)
        return (
            f"<Market of {self._scenario.area} at {format_time(self.now)}: "
            f"{len(self._orders)} orders, {open_orders} open, {trades} clearings, "
            f"welfare {format_eur(self.welfare_eur)} EUR>"
        )

    # -- how requests become commands -----------------------------------------------------------

    @property
    def _starts(self) -> Sequence[datetime]:
        return [each.start for each in self._scenario.intervals]

    def _line(self, terms: Mapping[str, Any], at: datetime | str | None) -> NewOrder:
        """Return a new order as an orders file would state it.

        Raises
        ------
        InvalidMessageError
            When it is none.
        """
        now = self.now if at is None else as_time(at, "at")
        given = {name: value for name, value in terms.items() if value is not None}
        if given.get("price") is not None:
            given["price"] = _price_text(given["price"])
        given.setdefault("type", "submit")
        given.setdefault("time", now)
        given.setdefault("client_order_id", self._new_id("order"))
        given.setdefault("participant", self._owner_of(given))
        found = parse_order_line(1, json.dumps(given, default=_plain).encode())
        if found.order is None:
            raise InvalidMessageError(found.fault, found.reason)
        if not isinstance(found.order, NewOrder):
            raise InvalidMessageError(f"type: {found.order.type!r} is no new order")
        for start in named_intervals(found.order):
            one_interval(start, self._starts)
        return found.order

    def _owner_of(self, given: Mapping[str, Any]) -> str:
        """Return the owner of the connection point that an order names; itself where unknown."""
        legs = given.get("legs") or [given]
        first = legs[0] if isinstance(legs, Sequence) and isinstance(legs[0], Mapping) else {}
        point = str(first.get("connection_point", "participant"))
        return self._scenario.owners.get(point, point)

    def _new_id(self, kind: str) -> str:
        self._ids += 1
        return f"{kind}-{self._ids}"

    def _do(
        self, command: Command, where: str, source: str, at: datetime | str | None = None
    ) -> list[Event]:
        """Send a command that must not be refused."""
        events = self.send(command, at=at)
        refused = [event for event in events if isinstance(event, Refused)]
        if refused:
            raise InputFaults(source, [Fault(where, each.detail) for each in refused])
        return events

    def _note(self, event: OwnEvent) -> None:
        key = (event.participant, event.client_order_id)
        self._own.setdefault(key, []).append(event)

    @cached_property
    def _desk(self) -> Desk:
        return Desk(
            self._scenario.rules, self._open_orders, self._own_events, self._cancel, self._amend
        )

    def _open_orders(self, order: Order) -> list[OpenOrder]:
        mine = self.exchange.state.orders_of(order.participant)
        return [each for each in mine if each.client_order_id == order.client_order_id]

    def _own_events(self, order: Order) -> Sequence[OwnEvent]:
        return self._own.get((order.participant, order.client_order_id), ())

    def _cancel(self, order: Order, at: datetime | str | None) -> None:
        command = CancelOrder(order.participant, order.client_order_id)
        self._do(command, order.client_order_id, "the order", at)

    def _amend(
        self,
        order: Order,
        quantity_w: int | None,
        price: Price | None,
        at: datetime | str | None,
    ) -> None:
        ticks = None
        if price is not None:
            ticks = price_in_ticks(_price_text(price), self._scenario.rules.tick)
        command = AmendOrder(order.participant, order.client_order_id, quantity_w, ticks)
        self._do(command, order.client_order_id, "the order", at)

    def _price(self, ticks: int) -> float:
        return float(self._scenario.rules.price_in_eur_per_kw(ticks))

    def _prints(self, trade: Traded) -> Iterable[tuple[Any, ...]]:
        tick = float(self._scenario.rules.tick)
        for (start, direction), prints in prints_of(trade).items():
            for each in prints:
                yield (
                    trade.time,
                    trade.trade_id,
                    start,
                    direction.value,
                    each.buyer,
                    each.seller,
                    "" if each.buy is None else each.buy.connection_point,
                    "" if each.sell is None else each.sell.connection_point,
                    each.quantity_w,
                    float(each.price_ticks) * tick,
                )


_ORDERS = {
    "time": TIME,
    "participant": "string",
    "client_order_id": "string",
    "order": "string",
    "status": "string",
    "filled_w": "int64",
    "remaining_w": "int64",
    "amount_eur": "float64",
    "detail": "string",
}
_TRADES = {
    "time": TIME,
    "trade_id": "int64",
    "interval": TIME,
    "direction": "string",
    "buyer": "string",
    "seller": "string",
    "buy_connection_point": "string",
    "sell_connection_point": "string",
    "quantity_w": "int64",
    "price_eur_per_kw": "float64",
}
_BOOK = {
    "side": "string",
    "price_eur_per_kw": "float64",
    "quantity_w": "int64",
    "orders": "int64",
}
_PRICES = {
    "connection_point": "string",
    "direction": "string",
    "price_eur_per_kw": "float64",
    "balance_price_eur_per_kw": "float64",
    "element": "string",
}
_STATEMENTS = {
    "interval": TIME,
    "participant": "string",
    "bought_w": "int64",
    "sold_w": "int64",
    **{f"{name}_eur": "float64" for name in _MONEY},
}


def _order_row(order: Order) -> tuple[Any, ...]:
    return (
        order.request.time,
        order.participant,
        order.client_order_id,
        order.what,
        order.status.value,
        order.filled_w,
        order.remaining_w,
        float(order.amount_eur),
        order.detail,
    )


def _direction(given: Direction | str) -> Direction:
    try:
        return Direction(given)
    except ValueError:
        known = " or ".join(Direction)
        fault = Fault("direction", f"it should be {known}, found {given!r}")
        raise InputFaults("book", [fault]) from None


def _price_text(price: Price) -> str:
    """Return a price as an exact decimal string; what is no number is left for the reader."""
    try:
        exact = Decimal(str(price))
    except InvalidOperation:
        return str(price)
    return format_eur(exact) if exact.is_finite() else str(price)


def _plain(value: Any) -> Any:
    """Return what JSON has no word for in one that it has."""
    if isinstance(value, np.generic):
        return value.item()
    return value.isoformat() if isinstance(value, datetime) else str(value)
