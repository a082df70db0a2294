"""Commands in, events out: the life of an order on one page.

A participant submits an order.  The exchange refuses it, or accepts it into the book under the next
number.  Then all orders of its market are cleared together: the linear rows of the network bound
the set of trades that raises welfare the most, and the AC power flow confirms the envelopes after
it.  A confirmed set is one trade, and one event for all its orders.  Where the power flow refuses a
set, the rows are corrected and another set is found.  This is repeated until no profitable
whole-lot trade is left.  What is left of the order rests (GTC, GTD) or is cancelled (IOC, FOK).  In
the end an order has traded, or it is cancelled: by its participant, by a safeguard of it, at its
expiry, at the gate, by a curtailment, by a control of the market operator, or by self-trade
prevention.

Where the steps are:

- requests of participants: :mod:`exchange.handlers.order_requests`, with the checks in
  :mod:`exchange.handlers.admission`; their safeguards, :mod:`exchange.handlers.safeguards`;
- matching: :mod:`exchange.handlers.matching` and :mod:`exchange.handlers.trade_execution`; which
  intervals clear together, :mod:`exchange.market.interval_markets`; the program,
  :mod:`exchange.market.market_program` and :mod:`exchange.clearing.welfare_clearing`; the payments,
  :mod:`exchange.clearing.payments`;
- flexibility: :mod:`exchange.flexibility.live.requests`;
- phases and gates: :mod:`exchange.handlers.session_phases`; new limits at the interface,
  :mod:`exchange.handlers.interface_limits`; the market operator's controls,
  :mod:`exchange.handlers.operator_controls`;
- after the gate: readings and statements, :mod:`exchange.handlers.settlement`;
- what events change: :mod:`exchange.state.effects`.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from exchange.flexibility.live.flows import check_flows
from exchange.flexibility.live.requests import FlexibilityRequests
from exchange.handlers.admission import check_interval
from exchange.handlers.interface_limits import update_interface_limits
from exchange.handlers.matching import Matching
from exchange.handlers.operator_controls import apply_control
from exchange.handlers.order_requests import OrderRequests, reject_message
from exchange.handlers.safeguards import lose_session, set_safeguard
from exchange.handlers.session_phases import change_phase, close_gate, next_phase, open_session
from exchange.handlers.settlement import close_readings, take_reading
from exchange.handlers.trade_execution import TradeExecution
from exchange.market.interval_markets import IntervalMarkets
from exchange.market.local_prices import PointPrice
from exchange.state.effects import apply
from exchange.state.invariants import check_state
from exchange.state.recording import EventRecorder, accept_loss, answer_if_repeated
from exchange.state.snapshots import digest_of, restore_state, snapshot_of
from exchange.state.state import State
from exchange.vocabulary.commands import (
    AcceptLoss,
    AdvanceTime,
    AmendOrder,
    CancelOrder,
    CloseGate,
    Command,
    ControlCommand,
    LoseSession,
    MassCancel,
    OpenSession,
    RejectMessage,
    SetSafeguard,
    SubmitFlexibility,
    SubmitJoint,
    SubmitOrder,
    SubmitReading,
    UpdateInterfaceLimits,
)
from exchange.vocabulary.events import Event
from exchange.vocabulary.network_port import Networks
from exchange.vocabulary.orders import Order
from exchange.vocabulary.reasons import CancelReason, Phase
from exchange.vocabulary.rules import ConnectionTerms, MarketRules
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
        When terms and connection points do not match; names all that differ.
    """

    def __init__(
        self, grid: Networks, rules: MarketRules, terms: Iterable[ConnectionTerms]
    ) -> None:
        by_point = {point.connection_point: point for point in terms}
        unmatched = sorted(by_point.keys() ^ set(grid.connection_points))
        if unmatched:
            raise ValueError(
                f"connection points with terms or in the grid, but not both: {', '.join(unmatched)}"
            )
        self._grid = grid
        self._adopt(State(rules, by_point))

    def _adopt(self, state: State) -> None:
        self.state = state
        self._markets = IntervalMarkets(state, self._grid)
        self._matching = Matching(TradeExecution(state, self._markets))
        self._requests = OrderRequests(state, self._matching)
        self._flexibility = FlexibilityRequests(state, self._grid)

    # -- commands -------------------------------------------------------------------------------

    def handle(self, command: Command, now: datetime) -> list[Event]:
        """Carry out a command, and before it what the clock demands.

        Parameters
        ----------
        command
            What is asked.
        now
            The time, with time zone.  Where it lies before the last event, the time of that
            event is used.

        Returns
        -------
        What happened, in order; already part of :attr:`state`.  A request that cannot be met
        is answered by a :class:`exchange.vocabulary.events.Refused`, never by an exception.
        """
        record = EventRecorder(self.state, now, self._markets.follow)
        self._markets.begin_event()
        if isinstance(command, AcceptLoss):
            accept_loss(command, record)  # first: what the clock demands gets numbers, too
        self._let_time_pass(record)
        self._carry_out(command, record)
        return record.events

    def _carry_out(self, command: Command, record: EventRecorder) -> None:
        match command:
            case SubmitOrder():
                self._requests.submit(command, record)
            case SubmitJoint():
                self._requests.submit_joint(command, record)
            case SubmitFlexibility():
                self._flexibility.submit(command, record)
            case CancelOrder():
                self._requests.cancel(command, record)
            case AmendOrder():
                self._requests.amend(command, record)
            case MassCancel():
                self._requests.mass_cancel(command, record)
            case SetSafeguard():
                set_safeguard(command, record)
            case LoseSession():
                lose_session(command, record)
            case AdvanceTime() | AcceptLoss():
                pass  # The clock has acted before every command, and the loss before the clock.
            case OpenSession():
                security = open_session(command, record, self._grid)
                if security is not None:
                    self._markets.enter(command.start, security)
            case UpdateInterfaceLimits():
                self._update_interface_limits(command, record)
            case CloseGate():
                self._close_gate(command, record)
            case SubmitReading():
                take_reading(command, record)
            case RejectMessage():
                reject_message(command, record)
            case _:  # The controls of the market operator.
                self._apply_control(command, record)

    def _update_interface_limits(
        self, command: UpdateInterfaceLimits, record: EventRecorder
    ) -> None:
        if answer_if_repeated(command, record):
            return
        refusal = check_interval(command.interval, self.state)
        if refusal is not None:
            record.refuse(command, refusal)
            return
        session = self.state.sessions[command.interval]
        security = update_interface_limits(command, session, record, self._grid)
        if security is not None:
            self._markets.enter(session.start, security)
            self._matching.uncross(session, record)

    def _close_gate(self, command: CloseGate, record: EventRecorder) -> None:
        refusal = check_interval(command.interval, self.state)
        if refusal is not None:
            record.refuse(command, refusal)
            return
        close_gate(self.state.sessions[command.interval], record)

    def _apply_control(self, command: ControlCommand, record: EventRecorder) -> None:
        if answer_if_repeated(command, record):
            return
        for session in apply_control(command, record):
            self._matching.uncross(session, record)

    # -- the clock ------------------------------------------------------------------------------

    def next_deadline(self) -> datetime | None:
        """Return when the clock must act next: a phase or gate, an expiry, or readings.

        ``None`` where nothing is due.  O(1).
        """
        state = self.state
        queues = (state.phase_deadlines, state.expiries, state.metering.due)
        return min((queue[0][0] for queue in queues if queue), default=None)

    def _let_time_pass(self, record: EventRecorder) -> None:
        """Do what is due before the command, in order of time."""
        state = self.state
        while True:
            expiry = state.expiries[0][0] if state.expiries else None
            deadline = state.phase_deadlines[0][0] if state.phase_deadlines else None
            until = record.now if deadline is None else min(record.now, deadline)
            if expiry is not None and expiry <= until:
                record.cancel(state.orders[state.expiries[0][1]], CancelReason.EXPIRED)
            elif deadline is not None and deadline <= record.now:
                self._end_phases(deadline, record)
            else:
                break
        while state.metering.due and state.metering.due[0][0] <= record.now:
            close_readings(state.metering.due[0][1], record)

    def _end_phases(self, deadline: datetime, record: EventRecorder) -> None:
        """Hold the auctions in which calls end; then begin the next phases, or close the gates.

        Auctions with the same deadline are held together, because joint orders may connect them.
        Where the clock has missed several auctions of an interval, one is held.
        """
        state = self.state
        ending = [
            state.sessions[start] for time, start in state.phase_deadlines if time == deadline
        ]
        called = [session for session in ending if session.phase is Phase.CALL]
        for session in called:
            change_phase(session, Phase.AUCTION, deadline, record)
        for session in called:
            self._matching.uncross(session, record)
        for session in ending:
            gate = session.gate_closes_at
            if deadline >= gate:
                close_gate(session, record)
                continue
            now = min(record.now, gate)
            change_phase(session, *next_phase(state.rules, now, gate), record)

    # -- journal and snapshots ------------------------------------------------------------------

    def replay(self, events: Iterable[Event]) -> None:
        """Apply events that happened before, in order, without asking the network.

        Raises
        ------
        ValueError
            When an event is not the next in sequence.
        """
        self._markets.leave_all()  # They do not see the events that change their envelopes.
        for event in events:
            apply(self.state, event)

    def snapshot(self) -> dict[str, Any]:
        """Return the state as JSON-able data."""
        return snapshot_of(self.state)

    @classmethod
    def restore(
        cls,
        snapshot: dict[str, Any],
        grid: Networks,
        rules: MarketRules,
        terms: Iterable[ConnectionTerms],
    ) -> Exchange:
        """Return an exchange in the state a snapshot was taken of.

        Raises
        ------
        ValueError
            As the constructor, and when the snapshot has no version, or that of a newer release.
        """
        exchange = cls(grid, rules, terms)
        exchange._adopt(restore_state(snapshot, rules, exchange.state.terms))
        return exchange

    def digest(self) -> str:
        """Return the SHA-256 of the state; equal states have equal digests."""
        return digest_of(self.state)

    # -- what is in force -----------------------------------------------------------------------

    def open_intervals(self) -> list[datetime]:
        """Return the starts of the open intervals, the one with the next deadline first."""
        return [start for _, start in self.state.phase_deadlines]

    def envelopes(self, interval: datetime) -> tuple[Envelope, ...]:
        """Return the envelopes in force in an interval.

        Raises
        ------
        KeyError
            When no such session is known.
        """
        return self.state.sessions[interval].holdings.envelopes()

    def book(self, interval: datetime, direction: Direction) -> OrderBook[Order]:
        """Return the book of firm orders, to be read only: its depth, its orders by priority.

        Raises
        ------
        KeyError
            When no such session is known.
        """
        return self.state.sessions[interval].books[direction]

    def local_prices(self, interval: datetime) -> tuple[PointPrice, ...] | None:
        """Return the local prices of an interval, split by the elements that bind.

        They are not part of the state: they follow from the last clearing program and the open
        orders (:mod:`exchange.market.local_prices`).  ``None`` where no program has been solved
        since the interval opened, its limits changed, or the state was restored; while trading is
        halted or in a call; after a clearing has failed; and where no such session is known.
        Nothing is built or changed.
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
        check_flows(self.state, self._grid)
        self._markets.check_invariants()
