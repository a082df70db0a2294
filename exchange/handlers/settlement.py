"""After the gate: meter readings compared with final envelopes, and statements of account."""

from __future__ import annotations

from datetime import datetime

from exchange.accounts.metering import MeteredInterval
from exchange.state.recording import EventRecorder, answer_if_repeated, refuse_used_id
from exchange.state.request_answers import content_of
from exchange.state.state import State
from exchange.vocabulary.commands import SubmitReading
from exchange.vocabulary.formatting import format_time
from exchange.vocabulary.reasons import Refusal, RefusalReason
from exchange.vocabulary.settlement_events import MeteringClosed, StatementIssued


def issue_statements(interval: datetime, record: EventRecorder) -> None:
    """Issue a statement for every account with bookings of an interval."""
    for name, account in record.state.ledger.accounts(interval).items():
        record.add(
            StatementIssued(
                sequence=record.next_sequence,
                time=record.now,
                interval=interval,
                participant=name,
                bought_w=account.bought_w,
                sold_w=account.sold_w,
                paid=account.paid,
                received=account.received,
                balance=account.balance,
                compensation=account.compensation,
                penalties=account.penalties,
                flexibility=account.flexibility,
            )
        )


def take_reading(command: SubmitReading, record: EventRecorder) -> None:
    """Take a reading, or refuse it.

    A refused reading is refused again under the same id, also when it would be right by now: it
    may have been delivered twice, and its successor been taken meanwhile.
    """
    if answer_if_repeated(command, record):
        return
    state = record.state
    # Readings whose answer is forgotten are known until the interval's readings close.
    known = state.metering.reading(command.reading_id)
    if known is not None:
        if content_of(known) == content_of(command):
            record.repeat_answer(command, known)
        else:
            refuse_used_id(command, known, record)
        return
    refusal = _check(command, state, record.now)
    if refusal is not None:
        record.refuse(command, refusal)
        return
    point = command.connection_point
    record.add(
        state.metering.intervals[command.interval].assess(
            sequence=record.next_sequence,
            time=record.now,
            reading_id=command.reading_id,
            participant=state.terms[point].participant,
            connection_point=point,
            injection_w=command.injection_w,
            withdrawal_w=command.withdrawal_w,
        )
    )


def close_readings(interval: datetime, record: EventRecorder) -> None:
    """End the metering of an interval: name the missing readings, settle the penalties."""
    owners = {point: terms.participant for point, terms in record.state.terms.items()}
    record.add(
        MeteringClosed(
            sequence=record.next_sequence,
            time=record.now,
            interval=interval,
            missing=record.state.metering.missing(interval, owners),
        )
    )
    issue_statements(interval, record)


def _check(command: SubmitReading, state: State, now: datetime) -> Refusal | None:
    interval = state.metering.intervals.get(command.interval)
    if interval is None:
        return _check_unmetered(command.interval, state, now)
    if now < interval.end:
        return _too_early(interval.start, interval.end, now)
    if command.connection_point not in interval.limits_w:
        return Refusal(
            RefusalReason.UNKNOWN_CONNECTION_POINT,
            f"there is no connection point {command.connection_point}",
        )
    return _check_power(command, interval)


def _check_unmetered(start: datetime, state: State, now: datetime) -> Refusal:
    """Return why an interval takes no readings: not yet, no longer, or never."""
    session = state.sessions.get(start)
    if session is None:
        return Refusal(
            RefusalReason.UNKNOWN_INTERVAL,
            f"no interval that starts at {format_time(start)} awaits readings",
        )
    metering = state.rules.metering
    if metering is None:
        return Refusal(
            RefusalReason.NOT_METERED,
            f"the interval of {format_time(start)} is not metered: the market has no rules for it",
        )
    if session.closed_at is None:
        if now < session.end:
            return _too_early(start, session.end, now)
        return Refusal(
            RefusalReason.DELIVERY_NOT_OVER,
            f"the gate of {format_time(start)} closes at {format_time(session.gate_closes_at)} "
            f"and it is {format_time(now)}: its envelopes are not final",
        )
    until = max(session.end, session.closed_at) + metering.window
    return Refusal(
        RefusalReason.METERING_CLOSED,
        f"readings of {format_time(start)} were taken until {format_time(until)}, "
        f"it is {format_time(now)}",
    )


def _too_early(start: datetime, end: datetime, now: datetime) -> Refusal:
    return Refusal(
        RefusalReason.DELIVERY_NOT_OVER,
        f"delivery of {format_time(start)} ends at {format_time(end)}, it is {format_time(now)}",
    )


def _check_power(command: SubmitReading, interval: MeteredInterval) -> Refusal | None:
    """Refuse powers that are not whole watts, negative, or of both directions."""
    where = f"{command.connection_point} in {format_time(interval.start)}"
    for word, power_w in (
        ("injection", command.injection_w),
        ("withdrawal", command.withdrawal_w),
    ):
        # A Python program may pass a float, which no message can: a NaN would spoil every balance.
        if type(power_w) is not int:
            return Refusal(
                RefusalReason.READING_INVALID,
                f"{word} of {power_w!r} W metered at {where} is not a whole number of watts",
            )
        if power_w < 0:
            return Refusal(
                RefusalReason.READING_INVALID,
                f"{word} of {power_w:,} W metered at {where} is negative",
            )
    if command.injection_w and command.withdrawal_w:
        return Refusal(
            RefusalReason.READING_INVALID,
            f"mean power has one direction, but {command.injection_w:,} W of injection and "
            f"{command.withdrawal_w:,} W of withdrawal were metered at {where}",
        )
    return None
