"""Commands in, events out: the life of an order on one page.

An order is *submitted*; it is refused, or accepted into the book under the next number.  It
meets the makers it crosses by price and time, each as far as the network carries it, and every
match is confirmed by the AC power flow before it is a trade.  What is left rests (GTC, GTD) or
is cancelled (IOC, FOK).  Each trade moves headroom, also that of others, so whatever rests
crossed is looked at again.  An order with a condition (all or none, a minimum, legs that trade
together) is passed over until its condition can be met, and tried again after every command.  In
the end an order has traded, or is cancelled: by its owner, its date, the gate, a curtailment, a
control of the operator, or because it met an order of its own participant.

The steps are elsewhere: who may (:mod:`exchange.admission`), who trades with whom
(:mod:`exchange.clearing`, and for legs that trade together :mod:`exchange.joint_clearing`) and how
that becomes trades (:mod:`exchange.matching`), opening and gate (:mod:`exchange.gates`), new
limits at the interface (:mod:`exchange.interface`), the operator's controls
(:mod:`exchange.supervision`), meter readings and statements (:mod:`exchange.settlement`), and what
it all does to the state (:mod:`exchange.state`).
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from exchange.admission import (
    amended_terms,
    check_amendment,
    check_interval,
    check_joint,
    check_submission,
    effective_limit_price_ticks,
)
from exchange.commands import (
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
    SetKillSwitch,
    SetPriceCollar,
    SetRiskLimits,
    SubmitJoint,
    SubmitOrder,
    UpdateInterfaceLimits,
)
from exchange.events import (
    CancelReason,
    Event,
    JointOrderAccepted,
    OrderAccepted,
    OrderAmended,
    RefusalReason,
)
from exchange.gates import close_gate, open_session
from exchange.grid import Grid
from exchange.interface import update_limits
from exchange.matching import Matching
from exchange.orders import Order
from exchange.record import Record
from exchange.repeats import answer_again
from exchange.rules import OPERATOR, TSO, ConnectionTerms, MarketRules
from exchange.session import Session
from exchange.settlement import close_readings, report_metering
from exchange.snapshots import digest_of, restore_state, snapshot_of
from exchange.state import State
from exchange.state_invariants import check_state
from exchange.supervision import control
from exchange.wording import format_time
from orderbook.book import OrderBook
from security_check.envelope import Direction, Envelope


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
        self.state = State(rules, by_point)
        self._matching = Matching(self.state, grid)

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
        is answered by a :class:`exchange.events.Refused`, never by an exception.
        """
        record = Record(self.state, now)
        self._let_time_pass(record)
        match command:
            case SubmitOrder():
                self._submit(command, record)
            case SubmitJoint():
                self._submit_joint(command, record)
            case CancelOrder():
                self._cancel(command, record)
            case AmendOrder():
                self._amend(command, record)
            case MassCancel():
                self._mass_cancel(command, record)
            case (
                SetPriceCollar()
                | SetRiskLimits()
                | SetKillSwitch()
                | HaltTrading()
                | ResumeTrading()
            ):
                self._control(command, record)
            case AdvanceTime():
                pass  # Time has passed already.
            case OpenSession():
                security = open_session(command, record, self._grid)
                if security is not None:
                    self._matching.enter(command.start, security)
            case UpdateInterfaceLimits():
                self._update_limits(command, record)
            case CloseGate():
                refusal = check_interval(command.interval, self.state)
                if refusal is None:
                    self._close(self.state.sessions[command.interval], record)
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
        if record.events:
            self._matching.settle_conditional(record)
        return record.events

    def _submit(self, command: SubmitOrder, record: Record) -> None:
        if answer_again(command.participant, command.client_order_id, command, record):
            return
        refusal = check_submission(command, self.state, record.now)
        if refusal is not None:
            record.refuse(
                command.participant,
                command.client_order_id,
                "submit",
                refusal.reason,
                refusal.detail,
                remember=command,
            )
            return
        order_id = self.state.next_order_id
        record.add(
            OrderAccepted(
                sequence=record.next_sequence,
                time=record.now,
                order_id=order_id,
                participant=command.participant,
                client_order_id=command.client_order_id,
                connection_point=command.connection_point,
                direction=command.direction,
                interval=command.interval,
                side=command.side,
                quantity_w=command.quantity_w,
                limit_price_ticks=effective_limit_price_ticks(command, self.state),
                time_in_force=command.time_in_force,
                expires_at=command.expires_at,
                conditions=command.conditions,
                at_market=command.limit_price_ticks is None,
            )
        )
        self._matching.trade(self.state.orders[order_id], record)

    def _submit_joint(self, command: SubmitJoint, record: Record) -> None:
        """Take in several legs that trade together; they are tried with all that is conditional."""
        if answer_again(command.participant, command.client_order_id, command, record):
            return
        refusal = check_joint(command, self.state, record.now)
        if refusal is not None:
            record.refuse(
                command.participant,
                command.client_order_id,
                "submit",
                refusal.reason,
                refusal.detail,
                remember=command,
            )
            return
        record.add(
            JointOrderAccepted(
                sequence=record.next_sequence,
                time=record.now,
                order_id=self.state.next_order_id,
                participant=command.participant,
                client_order_id=command.client_order_id,
                legs=command.legs,
                all_or_none=command.all_or_none,
                expires_at=command.expires_at,
                self_trade_prevention=command.self_trade_prevention,
            )
        )

    def _control(self, command: Control, record: Record) -> None:
        if answer_again(OPERATOR, command.control_id, command, record):
            return
        for session in control(command, record):
            self._matching.resume(session, record)

    def _cancel(self, command: CancelOrder, record: Record) -> None:
        answer = self.state.answers.find(command.participant, command.client_order_id)
        if answer is not None and answer.cancelled is not None:
            record.repeat_answer(command.participant, command.client_order_id, answer.cancelled)
            return
        order = self._open_order(command, "cancel", record)
        if order is not None:
            record.cancel(order, CancelReason.REQUESTED)

    def _open_order(
        self, command: CancelOrder | AmendOrder, request: str, record: Record
    ) -> Order | None:
        """Return the open order that a participant names by its own id, or refuse."""
        participant, client_id = command.participant, command.client_order_id
        answer = self.state.answers.find(participant, client_id)
        if answer is None or not isinstance(answer.event, OrderAccepted | JointOrderAccepted):
            reason, detail = RefusalReason.UNKNOWN_ORDER, f"there is no order {client_id}"
        elif answer.order_id is None:
            ending = "has traded in full"
            if answer.cancelled is not None:
                ending = f"was cancelled ({answer.cancelled.reason})"
            reason, detail = RefusalReason.ORDER_NOT_OPEN, f"order {client_id} {ending}"
        else:
            return self.state.orders[answer.order_id]
        record.refuse(participant, client_id, request, reason, detail)
        return None

    def _amend(self, command: AmendOrder, record: Record) -> None:
        """Change an order.

        A total at or below what has traded already asks for no more trades: as on other
        exchanges the remainder is cancelled.
        """
        order = self._open_order(command, "amend", record)
        if order is None:
            return
        refusal = check_amendment(command, order, self.state, record.now)
        if refusal is not None:
            record.refuse(
                command.participant,
                command.client_order_id,
                "amend",
                refusal.reason,
                refusal.detail,
            )
            return
        quantity_w, limit_price_ticks = amended_terms(command, order)
        if quantity_w <= order.executed_w:
            record.cancel(order, CancelReason.REQUESTED)
            return
        keeps_priority = (
            limit_price_ticks == order.limit_price_ticks and quantity_w < order.quantity_w
        )
        record.add(
            OrderAmended(
                sequence=record.next_sequence,
                time=record.now,
                participant=order.participant,
                client_order_id=order.client_order_id,
                previous_order_id=order.order_id,
                order_id=order.order_id if keeps_priority else self.state.next_order_id,
                quantity_w=quantity_w,
                remaining_w=quantity_w - order.executed_w,
                limit_price_ticks=limit_price_ticks,
            )
        )
        if not keeps_priority:
            self._matching.trade(order, record)

    def _mass_cancel(self, command: MassCancel, record: Record) -> None:
        orders = self.state.orders_of(
            command.participant,
            command.interval,
            command.connection_point,
            command.direction,
            command.side,
        )
        record.cancel_all(orders, CancelReason.MASS_CANCEL)
        if not orders:
            asked = [command.connection_point, command.direction, command.side]
            named = ", ".join(str(each) for each in asked if each is not None)
            where = "" if command.interval is None else f" for {format_time(command.interval)}"
            where += f" of {named}" if named else ""
            record.refuse(
                command.participant,
                None,
                "mass_cancel",
                RefusalReason.ORDER_NOT_OPEN,
                f"{command.participant} has no open order{where}",
            )

    # What follows from it.

    def _let_time_pass(self, record: Record) -> None:
        """Do what the clock demands before anything else may happen."""
        state = self.state
        while state.expiries and state.expiries[0][0] <= record.now:
            record.cancel(state.orders[state.expiries[0][1]], CancelReason.EXPIRED)
        while state.gates and state.gates[0][0] <= record.now:
            self._close(state.sessions[state.gates[0][1]], record)
        while state.metering.due and state.metering.due[0][0] <= record.now:
            close_readings(state.metering.due[0][1], record)

    def _close(self, session: Session, record: Record) -> None:
        close_gate(session, record)
        self._matching.leave(session.start)

    def _update_limits(self, command: UpdateInterfaceLimits, record: Record) -> None:
        if answer_again(TSO, command.update_id, command, record):
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
        self._matching.leave(session.start)
        security = update_limits(command, session, record, self._grid)
        if security is not None:
            self._matching.enter(session.start, security)
            self._matching.settle(session, record)

    # What was, and what is.

    def replay(self, events: Iterable[Event]) -> None:
        """Apply events that happened before, in order; asks the network nothing.

        Raises
        ------
        ValueError
            When an event is not the next in sequence.
        """
        self._matching.leave_all()  # The envelopes in force change behind its back.
        for event in events:
            self.state.apply(event)

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
        exchange.state = restore_state(snapshot, rules, exchange.state.terms)
        exchange._matching = Matching(exchange.state, grid)
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

    def check_invariants(self) -> None:
        """Check the state, and that the network agrees with it.

        Raises
        ------
        AssertionError
            With what breaks a rule.
        """
        check_state(self.state)
        self._matching.check_invariants()
