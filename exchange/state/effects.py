"""The effects of events: the state follows from events, applied in order by one function.

New events (:mod:`exchange.state.recording`) and replayed ones both go through :func:`apply`, so a
replay needs neither the network nor a solver.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from exchange.accounts.bookings import entries_of
from exchange.state.flexibility_effects import FLEXIBILITY_EFFECTS
from exchange.state.order_effects import ORDER_EFFECTS
from exchange.state.request_answers import RequestAnswer
from exchange.state.safeguards import Safeguard
from exchange.state.session_effects import SESSION_EFFECTS
from exchange.state.state import State
from exchange.vocabulary.events import AnswerRepeated, Event, MatchBlocked
from exchange.vocabulary.reasons import CancelReason
from exchange.vocabulary.recovery_events import LossAccepted
from exchange.vocabulary.rules import METERING
from exchange.vocabulary.safeguard_events import SafeguardSet, SessionLost
from exchange.vocabulary.settlement_events import MeteringClosed, MeterRead, StatementIssued


def apply(state: State, event: Event) -> None:
    """Let an event take effect.  The only function by which the state changes.

    Raises
    ------
    ValueError
        When the event is not the next in sequence.
    TypeError
        When the exchange has no such event.
    """
    skipped = event.skipped if isinstance(event, LossAccepted) else 0
    if event.sequence != state.sequence + 1 + skipped:
        raise ValueError(f"event {event.sequence} cannot follow event {state.sequence}")
    effect = EFFECTS.get(type(event))
    if effect is None:
        raise TypeError(f"{type(event).__name__} is not an event of this exchange")
    state.sequence = event.sequence
    state.time = event.time
    for entry in entries_of(event):
        state.ledger.book(entry)
    effect(state, event)


def _take_reading(state: State, event: MeterRead) -> None:
    state.metering.take(event)
    state.answers.remember(METERING, event.reading_id, RequestAnswer(event))


def _close_readings(state: State, event: MeteringClosed) -> None:
    state.metering.close(event.interval)


def _settle(state: State, event: StatementIssued) -> None:
    state.ledger.settle(event.interval, event.participant)


def _set_safeguard(state: State, event: SafeguardSet) -> None:
    state.safeguards.set(event.participant, Safeguard.of(event))
    state.answers.remember(event.participant, event.answers.request_id, RequestAnswer(event))


def _lose_session(state: State, event: SessionLost) -> None:
    broke = event.reason is CancelReason.DISCONNECTED
    state.safeguards.lose(event.participant, event.session, broke=broke)


def _skip_numbers(state: State, event: LossAccepted) -> None:
    state.next_order_id += event.skipped
    state.next_trade_id += event.skipped


def _renew_answer(state: State, event: AnswerRepeated) -> None:
    state.answers.renew(event.participant, event.request_id)


def _change_nothing(state: State, event: MatchBlocked) -> None:
    """Leave the state as it is, because the event only informs its participant."""


EFFECTS: Mapping[type[Event], Callable[[State, Any], None]] = {
    **ORDER_EFFECTS,
    **SESSION_EFFECTS,
    **FLEXIBILITY_EFFECTS,
    MeterRead: _take_reading,
    MeteringClosed: _close_readings,
    StatementIssued: _settle,
    SafeguardSet: _set_safeguard,
    SessionLost: _lose_session,
    AnswerRepeated: _renew_answer,
    MatchBlocked: _change_nothing,
    LossAccepted: _skip_numbers,
}
"""What each type of event changes in the state."""
