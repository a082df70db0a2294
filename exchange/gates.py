"""The two ends of an interval's trading: opening with envelopes, gate closure with statements."""

from __future__ import annotations

from exchange.commands import OpenSession
from exchange.events import GateClosed, SessionOpened
from exchange.grid import Grid, SecurityState
from exchange.interface import check_terms, refuse_unsafe
from exchange.phases import first_phase
from exchange.reasons import CancelReason, RefusalReason
from exchange.record import Record
from exchange.rules import OPERATOR
from exchange.session import Session
from exchange.settlement import issue_statements
from exchange.wording import format_time
from security_check.errors import GridError


def open_session(command: OpenSession, record: Record, grid: Grid) -> SecurityState | None:
    """Allocate an interval and open it, or refuse.

    Returns
    -------
    The network's state for the envelopes now in force; ``None`` when nothing was opened.
    """
    refusal = _check(command, record)
    if refusal is not None:
        record.refuse(OPERATOR, None, "session", *refusal)
        return None
    try:
        security = grid.allocate(command.interface_limits)
        envelopes = security.envelopes()
        check_terms(envelopes, record.state.terms)
    except GridError as error:
        refuse_unsafe(error, command.start, record, OPERATOR, None, "session")
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


def _check(command: OpenSession, record: Record) -> tuple[RefusalReason, str] | None:
    interval = f"[{format_time(command.start)}, {format_time(command.end)})"
    if command.start >= command.end:
        return RefusalReason.INTERVAL_INVALID, f"interval {interval} is empty"
    for session in record.state.sessions.values():
        if command.start < session.end and session.start < command.end:
            return (
                RefusalReason.SESSION_EXISTS,
                f"interval {interval} overlaps the session of "
                f"[{format_time(session.start)}, {format_time(session.end)})",
            )
    if command.start in record.state.metering.intervals:
        return (
            RefusalReason.SESSION_EXISTS,
            f"interval {interval} has been delivered and awaits its readings",
        )
    if command.gate_closes_at <= record.now:
        return (
            RefusalReason.GATE_CLOSED,
            f"the gate of {interval} would close at {format_time(command.gate_closes_at)}, "
            f"which is not after {format_time(record.now)}",
        )
    return None


def close_gate(session: Session, record: Record) -> None:
    """Freeze an interval: cancel what rests, publish final envelopes, settle."""
    record.cancel_all(session.orders(), CancelReason.GATE_CLOSED)
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
