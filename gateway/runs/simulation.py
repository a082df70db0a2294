"""Run a file of orders through the exchange, without broker and journal.

The clock is that of the orders: lines are taken in order of their times, and lines of the same time
in the order of the file.  Orders expire and gates close at their times.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from doe_allocation.allocation.grid import Grid
from exchange.engine import Exchange
from exchange.vocabulary.commands import AdvanceTime, OpenSession
from exchange.vocabulary.events import AlarmRaised, Event, GateClosed, MatchBlocked, Refused, Traded
from exchange.vocabulary.formatting import format_eur, format_time
from exchange.vocabulary.reasons import RefusalReason
from exchange.vocabulary.rules import RESERVED_PARTICIPANTS, MarketRules
from exchange.vocabulary.settlement_events import StatementIssued
from gateway.formats.envelope_file import EnvelopeFile, EnvelopeRecord, IntervalRecord
from gateway.formats.faults import InputFaults, InvalidMessageError
from gateway.formats.order_terms import order_command
from gateway.formats.orders_file import OrderLine, RefusedLine, named_intervals, named_points
from gateway.formats.statements_file import StatementRecord, figures_in_eur
from gateway.messages.market_data import DirectionPrices
from gateway.publishing.market_data import directions_of
from gateway.publishing.statistics import figures, statistics_of
from gateway.publishing.trade_prints import price_text, prints_of
from gateway.runs.result_file import (
    FillRecord,
    LocalPricesRecord,
    RefusalRecord,
    RestingRecord,
    ResultFile,
    StatisticsRecord,
    TradeRecord,
)
from gateway.runs.unsecured import unsecured_record
from gateway.scenario.intervals import DeliveryInterval
from gateway.scenario.linear.area import LinearSeries
from gateway.scenario.scenario import Scenario
from security_check.errors import Fault, GridError

_MOMENT = timedelta(seconds=1)  # from the opening to the first order, and from the last to the gate
Step = Callable[[int], None]
"""Called with the number of intervals opened and orders placed so far, together."""


@dataclass(frozen=True, slots=True)
class Simulation:
    """The outcome of a file of orders.

    Parameters
    ----------
    result
        The content of the result file.
    blocked
        Matches that the network could not carry, wholly or in part.
    alarms
        Alarms that a person must look at.
    note
        The assumed interval where the scenario names none; empty otherwise.
    events
        All events, in order.
    """

    result: ResultFile
    blocked: tuple[MatchBlocked, ...]
    alarms: tuple[AlarmRaised, ...]
    note: str = ""
    events: tuple[Event, ...] = ()


def simulate(
    scenario: Scenario,
    lines: Sequence[OrderLine | RefusedLine],
    step: Step | None = None,
    source: str = "the orders",
) -> Simulation:
    """Return the outcome of a file of orders.

    Parameters
    ----------
    scenario
        Network, limits, intervals and market rules.
    lines
        The orders, as :func:`gateway.formats.orders_file.read_orders` returns them.
    step
        Called after each interval opened and each order placed.
    source
        Name of the orders' file, for faults.

    Raises
    ------
    InputFaults
        When the orders do not fit the scenario as a whole, or an interval cannot be opened for
        another reason than that it cannot be secured: then it does not trade, an alarm says why,
        and the other intervals go on.
    """
    run = _Run(scenario, lines, source)
    for done, _ in enumerate(run.steps(), start=1):
        if step is not None:
            step(done)
    return run.outcome()


class _Run:
    """One simulation, from lines to result."""

    def __init__(
        self, scenario: Scenario, lines: Sequence[OrderLine | RefusedLine], source: str
    ) -> None:
        self.scenario = scenario
        self.rules = scenario.rules
        self.orders = sorted(
            (line for line in lines if isinstance(line, OrderLine)),
            key=lambda line: line.time,  # stable: equal times keep their order
        )
        self.sessions = _sessions(scenario, self.orders, source)
        owners = _owners(scenario, self.orders)
        self.grid = scenario.networks()
        self.exchange = Exchange(self.grid, scenario.rules, scenario.terms(owners))
        self.unsecured: list[IntervalRecord] = []
        self.refusals = [
            RefusalRecord.from_fields(line, line=line.number)
            for line in lines
            if isinstance(line, RefusedLine)
        ]
        self.events: list[Event] = []
        self.resting: list[RestingRecord] = []
        self.to_close = sorted(self.sessions, key=lambda each: each.gate_closes_at, reverse=True)
        self.local_prices: dict[datetime, list[dict[str, Any]]] = {}

    def steps(self) -> Iterator[None]:
        """Open every interval, place every order, close every gate; yield after each."""
        first_gate = min(session.gate_closes_at for session in self.sessions)
        opened_at = min([first_gate, *(line.time for line in self.orders[:1])]) - _MOMENT
        for session in self.sessions:
            self._open(session, opened_at)
            yield
        for line in self.orders:
            self._record_prices(line.time)
            self._place(line)
            yield
        self.resting = [
            RestingRecord(
                participant=order.participant,
                client_order_id=order.client_order_id,
                remaining_w=order.remaining_w,
            )
            for _, order in sorted(self.exchange.state.orders.items())
            if order.joint_id in (None, order.order_id)  # the first leg stands for a joint order
        ]
        last_gate = max(session.gate_closes_at for session in self.sessions)
        self._record_prices(last_gate)
        self.events += self.exchange.handle(AdvanceTime(), last_gate)

    def _open(self, session: OpenSession, now: datetime) -> None:
        events = self.exchange.handle(session, now)
        refused = [event for event in events if isinstance(event, Refused)]
        alarms = [event for event in events if isinstance(event, AlarmRaised)]
        if refused and alarms:  # the other intervals go on
            interval = DeliveryInterval(session.start, session.end, session.interface_limits)
            why = GridError(alarms[0].detail)
            self.unsecured.append(
                unsecured_record(self._grid_in(session), interval, self.scenario.capacity, why)
            )
        elif refused:
            raise InputFaults(
                self.scenario.source,
                [Fault(f"interval {format_time(session.start)}", e.detail) for e in refused],
            )
        self.events += events

    def _grid_in(self, session: OpenSession) -> Grid:
        grid = self.grid
        return grid.network_in(session.start) if isinstance(grid, LinearSeries) else grid

    def _record_prices(self, now: datetime) -> None:
        """Record the local prices of intervals whose gate closes by ``now``."""
        while self.to_close and self.to_close[-1].gate_closes_at <= now:
            start = self.to_close.pop().start
            prices = self.exchange.local_prices(start)
            if prices:
                self.local_prices[start] = directions_of(prices, self.rules)

    def _place(self, line: OrderLine) -> None:
        starts = [session.start for session in self.sessions]
        try:
            command = order_command(
                line.request, line.participant, self.rules.tick, starts, line.usual_id
            )
        except InvalidMessageError as refusal:
            self._refuse(line, refusal.reason, str(refusal))
            return
        events = self.exchange.handle(command, line.time)
        self.events += events
        for event in events:
            if isinstance(event, Refused):
                self._refuse(line, event.reason, event.detail)

    def _refuse(self, line: OrderLine, reason: RefusalReason, detail: str) -> None:
        self.refusals.append(
            RefusalRecord.from_fields(line, line=line.number, reason=reason, detail=detail)
        )

    def outcome(self) -> Simulation:
        """Return the outcome."""
        trades = [event for event in self.events if isinstance(event, Traded)]
        result = ResultFile(
            trades=[record for trade in trades for record in _trade_records(trade, self.rules)],
            fills=_fills(trades, self.rules),
            resting=self.resting,
            refusals=sorted(self.refusals, key=lambda refusal: refusal.line),
            envelopes=self._envelopes(),
            welfare=format_eur(self.rules.amount_in_eur(welfare(trades, self.rules))),
            statements=[
                StatementRecord(
                    participant=event.participant,
                    interval=event.interval,
                    **figures_in_eur(event, self.rules),
                )
                for event in self.events
                if isinstance(event, StatementIssued)
            ],
            statistics=[
                StatisticsRecord(interval=start, direction=direction, **figures(each, self.rules))
                for (start, direction), each in sorted(
                    statistics_of(self.events, self.rules).items(), key=lambda item: item[0]
                )
            ],
            local_prices=[
                LocalPricesRecord(
                    interval=start,
                    directions=[DirectionPrices.model_validate(each) for each in directions],
                )
                for start, directions in sorted(self.local_prices.items())
            ],
        )
        return Simulation(
            result,
            tuple(event for event in self.events if isinstance(event, MatchBlocked)),
            tuple(event for event in self.events if isinstance(event, AlarmRaised)),
            _note(self.sessions[0]) if self.scenario.anonymous else "",
            tuple(self.events),
        )

    def _envelopes(self) -> EnvelopeFile:
        ends = {session.start: session.end for session in self.sessions}
        closed = [event for event in self.events if isinstance(event, GateClosed)]
        traded = [
            IntervalRecord(
                start=event.interval,
                end=ends[event.interval],
                envelopes=[EnvelopeRecord.from_fields(envelope) for envelope in event.envelopes],
            )
            for event in closed
        ]
        return EnvelopeFile(
            intervals=sorted([*traded, *self.unsecured], key=lambda each: each.start)
        )


def _note(session: OpenSession) -> str:
    return (
        f"the scenario names no interval: the one that starts at {format_time(session.start)} "
        "is traded until after the last order, its gate closes at "
        f"{format_time(session.gate_closes_at)}"
    )


def _sessions(scenario: Scenario, orders: Sequence[OrderLine], source: str) -> list[OpenSession]:
    """Return the sessions to open.

    Intervals of the scenario close their gates at the scenario's time before the start.  The one
    interval of a scenario without intervals has the start that the orders name; its gate closes
    after the last order and the last expiry.
    """
    if not scenario.anonymous:
        return [
            OpenSession(i.start, i.end, i.start - scenario.gate_closure, i.interface_limits)
            for i in scenario.intervals
        ]
    (usual,) = scenario.intervals
    starts = sorted({start for line in orders for start in named_intervals(line.request)})
    if len(starts) > 1:
        named = " and ".join(format_time(start) for start in starts[:2])
        more = f" and {len(starts) - 2} more" if len(starts) > 2 else ""
        raise InputFaults(
            source,
            [
                Fault(
                    "interval",
                    f"they name {named}{more}, but the scenario has one interval only; "
                    "give the scenario a section [intervals]",
                )
            ],
        )
    start = starts[0] if starts else usual.start
    times = [line.time for line in orders]
    times += [at for line in orders if (at := getattr(line.request, "expires_at", None))]
    gate_closes_at = max([start, *times]) + _MOMENT
    return [
        OpenSession(
            start, start + (usual.end - usual.start), gate_closes_at, usual.interface_limits
        )
    ]


def _owners(scenario: Scenario, orders: Sequence[OrderLine]) -> Mapping[str, str]:
    """Return the owners of the connection points: the scenario's, or those of the first orders."""
    if scenario.has_participants:
        return scenario.owners
    owners = dict(scenario.owners)
    bound: set[str] = set()
    for line in orders:
        reserved = line.participant in RESERVED_PARTICIPANTS
        for point in named_points(line.request):
            if point in owners and point not in bound and not reserved:
                owners[point] = line.participant
                bound.add(point)
    return owners


def welfare(trades: Sequence[Traded], rules: MarketRules) -> int:
    """Return the welfare of trades, in tick-watts.

    Welfare is the buyers' limit prices less the sellers', and less the reserve price of watts that
    the system operator issues.  Its buy-backs to relieve the network are not part of it.
    """
    market = [trade for trade in trades if not trade.buy_back]
    issued_w = sum(fill.change_w for trade in market for fill in trade.fills)
    return sum(trade.gain for trade in market) - rules.reserve_price_ticks * issued_w


def _trade_records(trade: Traded, rules: MarketRules) -> list[TradeRecord]:
    """Return the pairs of buyers and sellers in a clearing."""
    return [
        TradeRecord(
            buyer=each.buyer,
            seller=each.seller,
            buy_connection_point="" if each.buy is None else each.buy.connection_point,
            sell_connection_point="" if each.sell is None else each.sell.connection_point,
            direction=direction,
            quantity_w=each.quantity_w,
            price=price_text(each.price_ticks, rules),
        )
        for (_, direction), prints in prints_of(trade).items()
        for each in prints
    ]


def _fills(trades: Sequence[Traded], rules: MarketRules) -> list[FillRecord]:
    """Return the total fill of each order, in order of first trades, buyers first."""
    quantity_w: Counter[tuple[str, str]] = Counter()
    paid: Counter[tuple[str, str]] = Counter()
    for trade in trades:
        for fill in sorted(trade.fills, key=lambda fill: fill.side):
            quantity_w[fill.participant, fill.client_order_id] += fill.quantity_w
            paid[fill.participant, fill.client_order_id] += fill.amount
    return [
        FillRecord(
            participant=participant,
            client_order_id=client_order_id,
            quantity_w=quantity_w[participant, client_order_id],
            amount=format_eur(rules.amount_in_eur(amount)),
        )
        for (participant, client_order_id), amount in paid.items()
    ]
