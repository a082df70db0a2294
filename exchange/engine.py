"""Commands in, events out: the life of an order on one page.

An order is *submitted*; it is refused, or accepted into the book under the next number.  Then all
orders of its market are looked at together: the set of trades that raises welfare the most, under
the rows of the network, is proposed, the AC power flow confirms the envelopes after it, and it is a
trade, one event for all who take part; where the power flow refuses, the rows are corrected and
another set is proposed.  This goes on until nothing is left that would raise welfare.  What is left
of the order rests (GTC, GTD) or is cancelled (IOC, FOK).  In the end an order has traded, or is
cancelled: by its owner, its date, the gate, a curtailment, a control of the operator, or because it
met an order of its own participant.

The steps are elsewhere:

- who may: :mod:`exchange.handlers.order_requests`, :mod:`exchange.handlers.admission`;
- who trades with whom: :mod:`exchange.handlers.matching`, which asks
:mod:`exchange.market.interval_market`, the program
  (:mod:`exchange.market.market_program`, :mod:`exchange.clearing.welfare_clearing`) and the
  networks; which intervals clear
  together is for :mod:`exchange.market.interval_markets` to know, who pays what for
  :mod:`exchange.clearing.payments`;
- when: :mod:`exchange.handlers.session_phases`, opening and gate
:mod:`exchange.handlers.session_phases`, new limits at the interface
  :mod:`exchange.handlers.interface_limits`, the operator's controls
  :mod:`exchange.handlers.operator_controls`;
- after the gate: meter readings and statements, :mod:`exchange.handlers.settlement`;
- what it all does to the state: :mod:`exchange.state.effects`.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from exchange.handlers.admission import check_interval
from exchange.handlers.interface_limits import update_limits
from exchange.handlers.matching import Matching
from exchange.handlers.operator_controls import control
from exchange.handlers.order_requests import OrderRequests
from exchange.handlers.session_phases import change_phase, close_gate, next_phase, open_session
from exchange.handlers.settlement import close_readings, report_metering
from exchange.market.interval_markets import IntervalMarkets
from exchange.market.local_prices import PointPrice
from exchange.state.effects import apply
from exchange.state.invariants import check_state
from exchange.state.recording import EventRecorder, answer_if_repeated
from exchange.state.snapshots import digest_of, restore_state, snapshot_of
from exchange.state.state import State
from exchange.vocabulary.commands import (
    AdvanceTime,
    AmendOrder,
    CancelOrder,
    CloseGate,
    Command,
    Control,
    HaltTrading,
    MassCancel,
    OpenSession,
    RejectMessage,
    ReportMetering,
    ResumeTrading,
    SetBuyBack,
    SetKillSwitch,
    SetPriceCollar,
    SetRiskLimits,
    SubmitJoint,
    SubmitOrder,
    UpdateInterfaceLimits,
)
from exchange.vocabulary.events import Event
from exchange.vocabulary.network_port import Grid
from exchange.vocabulary.orders import Order
from exchange.vocabulary.reasons import CancelReason, Phase, RefusalReason
from exchange.vocabulary.rules import OPERATOR, TSO, ConnectionTerms, MarketRules
from orderbook.book import OrderBook
from security_check.model.envelope import Direction, Envelope


class Exchange:
    """The exchange of one area.

    Parameters
    ----------
    grid
        The network of the area.
    rules
        The market's rules.
    terms
        The connection terms, one for each connection point of the grid.

    Raises
    ------
    ValueError
        When terms and connection points do not match; names all that are left over.
    """

    def __init__(self, grid: Grid, rules: MarketRules, terms: Iterable[ConnectionTerms]) -> None:
        by_point = {point.connection_point: point for point in terms}
        unmatched = sorted(by_point.keys() ^ set(grid.connection_points))
        if unmatched:
            raise ValueError(
                f"connection points with terms or in the grid, but not both: {', '.join(unmatched)}"
            )
        self._grid = grid
        self._take_up(State(rules, by_point))

    def _take_up(self, state: State) -> None:
        self.state = state
        self._markets = IntervalMarkets(state, self._grid)
        self._matching = Matching(state, self._markets)
        self._requests = OrderRequests(state, self._matching)

    # What can be asked.

    def handle(self, command: Command, now: datetime) -> list[Event]:
        """Do what a command asks, and what the clock demands before it.

        Parameters
        ----------
        command
            What is asked.
        now
            The time, with time zone.  Where it lies before the last event, that event's time
            stands.

        Returns
        -------
        What happened, in order; already part of :attr:`state`.  A request that cannot be met
        is answered by a :class:`exchange.vocabulary.events.Refused`, never by an exception.
        """
        record = EventRecorder(self.state, now, self._markets.follow)
        self._markets.begin_event()
        self._let_time_pass(record)
        match command:
            case SubmitOrder():
                self._requests.submit(command, record)
            case SubmitJoint():
                self._requests.submit_joint(command, record)
            case CancelOrder():
                self._requests.cancel(command, record)
            case AmendOrder():
                self._requests.amend(command, record)
            case MassCancel():
                self._requests.mass_cancel(command, record)
            case (
                SetPriceCollar()
                | SetRiskLimits()
                | SetKillSwitch()
                | HaltTrading()
                | ResumeTrading()
                | SetBuyBack()
            ):
                self._control(command, record)
            case AdvanceTime():
                pass  # Time has passed already.
            case OpenSession():
                security = open_session(command, record, self._grid)
                if security is not None:
                    self._markets.enter(command.start, security)
            case UpdateInterfaceLimits():
                self._update_limits(command, record)
            case CloseGate():
                refusal = check_interval(command.interval, self.state)
                if refusal is None:
                    close_gate(self.state.sessions[command.interval], record)
                else:
                    record.refuse(OPERATOR, None, "gate", refusal.reason, refusal.detail)
            case ReportMetering():
                report_metering(command, record)
            case RejectMessage():
                record.refuse(
                    command.participant,
                    command.client_order_id,
                    "message",
                    RefusalReason(command.reason),
                    command.detail,
                )
        return record.events

    def _control(self, command: Control, record: EventRecorder) -> None:
        if answer_if_repeated(OPERATOR, command.control_id, command, record):
            return
        for session in control(command, record):
            self._matching.uncross(session, record)

    # What follows from it.

    def _let_time_pass(self, record: EventRecorder) -> None:
        """Do what the clock demands before anything else may happen, in order of time."""
        state = self.state
        while True:
            expiry = state.expiries[0][0] if state.expiries else None
            turn = state.phase_deadlines[0][0] if state.phase_deadlines else None
            if expiry is not None and expiry <= record.now and (turn is None or expiry <= turn):
                record.cancel(state.orders[state.expiries[0][1]], CancelReason.EXPIRED)
            elif turn is not None and turn <= record.now:
                self._end_phases(turn, record)
            else:
                break
        while state.metering.due and state.metering.due[0][0] <= record.now:
            close_readings(state.metering.due[0][1], record)

    def _end_phases(self, until: datetime, record: EventRecorder) -> None:
        """Hold the auctions that calls end in; then the next phases, or the gates.

        Those of one moment are held together, because joint orders may connect them.  Auctions
        that the clock has missed meanwhile are one.
        """
        state = self.state
        ending = [state.sessions[start] for time, start in state.phase_deadlines if time == until]
        called = [session for session in ending if session.phase is Phase.CALL]
        for session in called:
            change_phase(session, Phase.AUCTION, until, record)
        for session in called:
            self._matching.uncross(session, record)
        for session in ending:
            gate = session.gate_closes_at
            if until >= gate:
                close_gate(session, record)
                continue
            now = min(record.now, gate)
            change_phase(session, *next_phase(state.rules, now, gate), record)

    def _update_limits(self, command: UpdateInterfaceLimits, record: EventRecorder) -> None:
        if answer_if_repeated(TSO, command.update_id, command, record):
            return
        refusal = check_interval(command.interval, self.state)
        if refusal is not None:
            record.refuse(
                TSO,
                command.update_id,
                "limits",
                refusal.reason,
                refusal.detail,
                remember=command,
            )
            return
        session = self.state.sessions[command.interval]
        security = update_limits(command, session, record, self._grid)
        if security is not None:
            self._markets.enter(session.start, security)
            self._matching.uncross(session, record)

    # What was, and what is.

    def replay(self, events: Iterable[Event]) -> None:
        """Apply events that happened before, in order; asks the network nothing.

        Raises
        ------
        ValueError
            When an event is not the next in sequence.
        """
        self._markets.leave_all()  # The envelopes in force change behind its back.
        for event in events:
            apply(self.state, event)

    def snapshot(self) -> dict[str, Any]:
        """Return the state as JSON-able data."""
        return snapshot_of(self.state)

    @classmethod
    def restore(
        cls,
        snapshot: dict[str, Any],
        grid: Grid,
        rules: MarketRules,
        terms: Iterable[ConnectionTerms],
    ) -> Exchange:
        """Return an exchange in the state a snapshot was taken of.

        Raises
        ------
        ValueError
            As the constructor, and when the snapshot has an unknown version.
        """
        exchange = cls(grid, rules, terms)
        exchange._take_up(restore_state(snapshot, rules, exchange.state.terms))
        return exchange

    def digest(self) -> str:
        """Return SHA-256 over everything that matters: equal states have equal digests."""
        return digest_of(self.state)

    def envelopes(self, interval: datetime) -> tuple[Envelope, ...]:
        """Return the envelopes in force in an interval that is known.

        Raises
        ------
        KeyError
            When no such session is known.
        """
        return self.state.sessions[interval].holdings.envelopes()

    def book(self, interval: datetime, direction: Direction) -> OrderBook[Order]:
        """Return a book to read: its depth, its orders by priority.

        Raises
        ------
        KeyError
            When no such session is known.
        """
        return self.state.sessions[interval].books[direction]

    def local_prices(self, interval: datetime) -> tuple[PointPrice, ...] | None:
        """Return the local prices of an interval, in parts by the elements that bind.

        They are no part of the state: they follow from the last clearing program and the open
        orders (:mod:`exchange.market.local_prices`).  ``None`` where no program has been solved
        since
        the interval opened, its limits changed, or the state was restored; while it is halted,
        its orders are collected for an auction, or a clearing has failed; and where it is not
        known.  Asking builds and changes nothing.
        """
        return self._markets.local_prices(interval)

    def check_invariants(self) -> None:
        """Check the state, and that the network agrees with it.

        Raises
        ------
        AssertionError
            With what breaks a rule.
        """
        check_state(self.state)
        self._markets.check_invariants()
