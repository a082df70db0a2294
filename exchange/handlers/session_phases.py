"""The life of a session: its opening, its phases, its gate.

In a *call* orders come and go without trades.  It ends in an *auction*, which clears all orders at
the local prices of one clearing, at one moment.  In *continuous* trading every order is cleared
when it comes.  The rules give the phases:

- an opening auction: the time after the opening is a call;
- a closing auction: the time before the gate is a call;
- frequent batches: one call follows another, with auctions at the same times in all intervals.
"""

from __future__ import annotations

from datetime import UTC, datetime

from exchange.handlers.interface_limits import check_terms, refuse_unsafe
from exchange.handlers.settlement import issue_statements
from exchange.state.recording import EventRecorder
from exchange.state.session import Session
from exchange.vocabulary.commands import OpenSession
from exchange.vocabulary.events import GateClosed, PhaseChanged, SessionOpened
from exchange.vocabulary.flexibility import FlexibilityOrder
from exchange.vocabulary.formatting import format_time
from exchange.vocabulary.network_port import Networks, SecurityState, network_in
from exchange.vocabulary.orders import Order
from exchange.vocabulary.reasons import CancelReason, Phase, Refusal, RefusalReason
from exchange.vocabulary.rules import MarketRules
from security_check.errors import GridError

# Batch auctions are at multiples of their period since this time, so all intervals share them.
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def first_phase(
    rules: MarketRules, opened_at: datetime, gate_closes_at: datetime
) -> tuple[Phase, datetime]:
    """Return the phase in which an interval opens, and the end of that phase."""
    if rules.opening_auction:
        return Phase.CALL, min(opened_at + rules.opening_auction, gate_closes_at)
    return next_phase(rules, opened_at, gate_closes_at)


def next_phase(
    rules: MarketRules, now: datetime, gate_closes_at: datetime
) -> tuple[Phase, datetime]:
    """Return the phase after an auction or after the opening, and the end of that phase."""
    if rules.batch_every:
        past = (now - _EPOCH) // rules.batch_every
        return Phase.CALL, min(_EPOCH + (past + 1) * rules.batch_every, gate_closes_at)
    closing = gate_closes_at - rules.closing_auction
    if now < closing:
        return Phase.CONTINUOUS, closing
    return Phase.CALL, gate_closes_at


def change_phase(session: Session, phase: Phase, until: datetime, record: EventRecorder) -> None:
    """Let an interval enter a phase."""
    record.add(
        PhaseChanged(
            sequence=record.next_sequence,
            time=record.now,
            interval=session.start,
            phase=phase,
            until=until,
        )
    )


def open_session(
    command: OpenSession, record: EventRecorder, grid: Networks
) -> SecurityState | None:
    """Allocate an interval and open it, or refuse.

    Returns
    -------
    The network's state for the envelopes now in force; ``None`` when nothing was opened.
    """
    refusal = _check(command, record)
    if refusal is not None:
        record.refuse(command, refusal)
        return None
    try:
        security = network_in(grid, command.start).allocate(command.interface_limits)
        envelopes = security.envelopes()
        check_terms(envelopes, record.state.terms)
    except GridError as error:
        refuse_unsafe(error, command.start, command, record)
        return None
    phase, until = first_phase(record.state.rules, record.now, command.gate_closes_at)
    record.add(
        SessionOpened(
            sequence=record.next_sequence,
            time=record.now,
            start=command.start,
            end=command.end,
            gate_closes_at=command.gate_closes_at,
            interface_limits=command.interface_limits,
            envelopes=tuple(envelopes),
            phase=phase,
            phase_until=until,
            tick=record.state.rules.tick,
        )
    )
    return security


def _check(command: OpenSession, record: EventRecorder) -> Refusal | None:
    interval = f"[{format_time(command.start)}, {format_time(command.end)})"
    if command.start >= command.end:
        return Refusal(RefusalReason.INTERVAL_INVALID, f"interval {interval} is empty")
    for session in record.state.sessions.values():
        if command.start < session.end and session.start < command.end:
            return Refusal(
                RefusalReason.SESSION_EXISTS,
                f"interval {interval} overlaps the session of "
                f"[{format_time(session.start)}, {format_time(session.end)})",
            )
    if command.start in record.state.metering.intervals:
        return Refusal(
            RefusalReason.SESSION_EXISTS,
            f"interval {interval} has been delivered and awaits its readings",
        )
    if command.gate_closes_at <= record.now:
        return Refusal(
            RefusalReason.GATE_CLOSED,
            f"the gate of {interval} would close at {format_time(command.gate_closes_at)}, "
            f"which is not after {format_time(record.now)}",
        )
    return None


def close_gate(session: Session, record: EventRecorder) -> None:
    """Close the gate: cancel resting orders, make the envelopes final, issue statements."""
    orders: list[Order | FlexibilityOrder] = [
        *session.orders(),
        *session.flexibility.orders.values(),
    ]
    record.cancel_all(orders, CancelReason.GATE_CLOSED)
    metering = record.state.rules.metering
    until = None if metering is None else max(session.end, record.now) + metering.window
    record.add(
        GateClosed(
            sequence=record.next_sequence,
            time=record.now,
            interval=session.start,
            envelopes=session.holdings.envelopes(),
            readings_until=until,
            penalty_price_ticks=0 if metering is None else metering.penalty_price_ticks,
            tolerance_w=0 if metering is None else metering.tolerance_w,
        )
    )
    issue_statements(session.start, record)
