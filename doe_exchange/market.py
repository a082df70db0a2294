"""The exchange of an area, in memory: no broker, no journal, and no clock but that of the calls."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from typing import Any, Unpack

from doe_exchange.arguments import as_time, changed_limits, one_direction, one_interval
from doe_exchange.envelopes import Envelopes
from doe_exchange.market_tables import (
    book_table,
    orders_table,
    prices_table,
    statements_table,
    trades_table,
)
from doe_exchange.order_lines import OrderEntries, Price, order_line, owner_of, single_limit
from doe_exchange.orders import NewOrder, Order, OrderLog
from doe_exchange.tables import Table
from exchange.engine import Exchange
from exchange.state.session import Session
from exchange.vocabulary.commands import AdvanceTime, Command, OpenSession, UpdateInterfaceLimits
from exchange.vocabulary.events import (
    Event,
    GateClosed,
    InterfaceLimitsUpdated,
    Refused,
    SessionOpened,
    Traded,
)
from exchange.vocabulary.formatting import format_eur, format_time
from gateway.formats.envelope_file import EnvelopeRecord, IntervalRecord
from gateway.formats.faults import InputFaults, InvalidMessageError
from gateway.formats.order_terms import order_command
from gateway.formats.orders_file import OrderLine, named_intervals
from gateway.runs.simulation import welfare
from gateway.scenario.scenario import Scenario
from orderbook.order import Side
from security_check.errors import Fault
from security_check.model.envelope import Direction


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
        self.exchange = Exchange(scenario.networks(), scenario.rules, scenario.terms())
        self.events: list[Event] = []
        self._orders: list[Order] = []
        self._log = OrderLog(self.exchange, self._change)
        self._updates = 0
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
        at: datetime | str | None = None,
        **entries: Unpack[OrderEntries],
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
        at
            The time of the call.
        entries
            Participant, time in force, conditions: see :class:`OrderEntries`.

        Returns
        -------
        The order, which may be refused: see :attr:`Order.status` and :attr:`Order.detail`.

        Raises
        ------
        InvalidMessageError
            When it is not an order: a value of the wrong type, a price between two ticks, a missing
            interval.
        """
        limit = single_limit(connection_point, direction, quantity_w, price, interval)
        return self.submit({**limit, **entries, "side": Side.BUY}, at=at)

    def sell(
        self,
        connection_point: str,
        direction: Direction | str,
        quantity_w: int,
        *,
        price: Price | None = None,
        interval: datetime | str | None = None,
        at: datetime | str | None = None,
        **entries: Unpack[OrderEntries],
    ) -> Order:
        """Send an order that lowers a limit of a connection point; as :meth:`buy`."""
        limit = single_limit(connection_point, direction, quantity_w, price, interval)
        return self.submit({**limit, **entries, "side": Side.SELL}, at=at)

    def submit(self, terms: Mapping[str, Any], *, at: datetime | str | None = None) -> Order:
        """Send any new order: a single one, a block over intervals, or a linked pair.

        Parameters
        ----------
        terms
            The entries of a line of an orders file (``docs/formats/orders.md``).  ``type`` is
            ``"submit"`` where not given; time, participant and client order id may be left out.
        at
            The time of the call.

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
        if not isinstance(line.request, NewOrder):
            raise InvalidMessageError(f"type: {line.request.type!r} is not a new order")
        events = self.send(self._command(line), at=at)
        order = self._log.order(line.participant, line.request, events)
        self._orders.append(order)
        return order

    def send(self, command: Command, *, at: datetime | str | None = None) -> list[Event]:
        """Send any command of :mod:`exchange.vocabulary.commands`, and return what happened."""
        if at is not None:
            self.now = max(self.now, as_time(at, "at"))
        events = self.exchange.handle(command, self.now)
        self.events += events
        self._log.follow(events)
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
            The time of the call.
        limits
            Those that change: ``injection_limit_w``, ``withdrawal_limit_w`` (watts or ``None``),
            ``voltage_min_pu``, ``voltage_max_pu``, ``reactive_min_var``, ``reactive_max_var``.

        Raises
        ------
        InputFaults
            When a limit is wrong, or the exchange refuses it.
        """
        session = self._session(interval)
        changed = changed_limits(session.interface_limits, limits)
        self._updates += 1
        command = UpdateInterfaceLimits(f"update-{self._updates}", session.start, changed)
        where = f"interval {format_time(session.start)}"
        return self._do(command, where, "the TSO's limits", at)

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
        return orders_table(self._orders)

    @property
    def trades(self) -> Table:
        """Buyer, seller, quantity and price of every trade.

        Of a clearing of several orders, buyers and sellers are paired by price and time.
        """
        return trades_table(self._clearings, self._scenario.rules)

    def book(self, direction: Direction | str, interval: datetime | str | None = None) -> Table:
        """Return the price levels of a book: asks, then bids, each from the highest price.

        Orders with conditions, and the hidden parts of icebergs, are not shown.

        Parameters
        ----------
        direction
            ``"injection"`` or ``"withdrawal"``.
        interval
            Start of the interval; needed where the area has several.

        Raises
        ------
        InputFaults
            When there is no such interval or direction, or the interval is long over.
        """
        session, way = self._session(interval), one_direction(direction)
        title = f"Book of {way} limits, interval {format_time(session.start)}"
        return book_table(title, session.books[way], self._scenario.rules)

    def prices(self, interval: datetime | str | None = None) -> Table:
        """Return the local prices of an interval: balance price plus what binding elements add.

        A direction in which no order rests has no prices; ``element`` adds the most.
        """
        start = one_interval(interval, self._starts)
        found = self.exchange.local_prices(start) or ()
        title = f"Local prices, interval {format_time(start)}"
        return prices_table(title, found, self._scenario.rules)

    @property
    def statements(self) -> Table:
        """The statements of account, issued when a gate closes; those of the DSO included.

        The balances of an interval add up to zero.
        """
        return statements_table(self.events, self._scenario.rules)

    @property
    def welfare_eur(self) -> Decimal:
        """What the trades gained: the buyers' limit prices less the sellers', exact."""
        rules = self._scenario.rules
        return rules.amount_in_eur(welfare(self._clearings, rules))

    @property
    def envelopes(self) -> Envelopes:
        """The envelopes in force, or after the gate the final ones, with the TSO's limits."""
        limits, final = {}, {}
        for event in self.events:
            match event:
                case SessionOpened():
                    limits[event.start] = event.interface_limits
                case InterfaceLimitsUpdated():
                    limits[event.interval] = event.interface_limits
                case GateClosed():
                    final[event.interval] = event.envelopes
        intervals = tuple(
            replace(each, interface_limits=limits[each.start]) for each in self._scenario.intervals
        )
        records = [
            IntervalRecord(
                start=each.start,
                end=each.end,
                envelopes=[
                    EnvelopeRecord.from_fields(own)
                    for own in final.get(each.start) or self.exchange.envelopes(each.start)
                ],
            )
            for each in intervals
        ]
        return Envelopes(replace(self._scenario, intervals=intervals), records)

    def __repr__(self) -> str:
        open_orders = len(self.exchange.state.orders)
        return (
            f"<Market of {self._scenario.area} at {format_time(self.now)}: "
            f"{len(self._orders)} orders, {open_orders} open, {len(self._clearings)} clearings, "
            f"welfare {format_eur(self.welfare_eur)} EUR>"
        )

    # -- how requests become commands -----------------------------------------------------------

    @property
    def _clearings(self) -> list[Traded]:
        return [event for event in self.events if isinstance(event, Traded)]

    @property
    def _starts(self) -> Sequence[datetime]:
        return [each.start for each in self._scenario.intervals]

    def _session(self, interval: datetime | str | None) -> Session:
        """Return the session of an interval.

        Raises
        ------
        InputFaults
            When there is no such interval, or the exchange has forgotten it since its gate.
        """
        start = one_interval(interval, self._starts)
        session = self.exchange.state.sessions.get(start)
        if session is None:
            detail = f"the interval {format_time(start)} is over"
            raise InputFaults("interval", [Fault("interval", detail)])
        return session

    def _line(self, terms: Mapping[str, Any], at: datetime | str | None) -> OrderLine:
        if not isinstance(terms, Mapping):
            raise InvalidMessageError(f"an order is a mapping of its entries, found {terms!r}")
        usual = {
            "time": self.now if at is None else as_time(at, "at"),
            "client_order_id": f"order-{len(self._orders) + 1}",
            "participant": owner_of(terms, self._scenario.owners),
        }
        line = order_line(terms, usual)
        for start in named_intervals(line.request):
            one_interval(start, self._starts)
        return line

    def _command(self, line: OrderLine) -> Command:
        tick, number = self._scenario.rules.tick, self.exchange.state.sequence + 1
        return order_command(line.request, line.participant, tick, self._starts, f"event {number}")

    def _do(
        self, command: Command, where: str, source: str, at: datetime | str | None = None
    ) -> list[Event]:
        """Send a command that must not be refused."""
        events = self.send(command, at=at)
        refused = [event for event in events if isinstance(event, Refused)]
        if refused:
            raise InputFaults(source, [Fault(where, each.detail) for each in refused])
        return events

    def _change(self, order: Order, change: Mapping[str, Any], at: datetime | str | None) -> None:
        who = {"participant": order.participant, "client_order_id": order.client_order_id}
        command = self._command(self._line({**change, **who}, at))
        self._do(command, order.client_order_id, "the order", at)
