"""Safeguards of participants: orders are cancelled when a session of one of its devices is lost.

Orders name no session, so a lost one cancels all orders of its participant, as a mass cancel does:
whatever the phase of their intervals, and joint orders with all their legs.
"""

from __future__ import annotations

from exchange.state.recording import EventRecorder, answer_if_repeated, answered
from exchange.state.safeguards import Safeguard
from exchange.state.state import State
from exchange.vocabulary.commands import LoseSession, SetSafeguard
from exchange.vocabulary.flexibility import FlexibilityOrder
from exchange.vocabulary.orders import Order
from exchange.vocabulary.reasons import CancelReason, OnDisconnect, Refusal, RefusalReason
from exchange.vocabulary.safeguard_events import SafeguardSet, SessionLost

MOST_SAFEGUARDS = 8
"""So many devices of a participant may have a safeguard."""


def set_safeguard(command: SetSafeguard, record: EventRecorder) -> None:
    """Put a safeguard into force, or end it, or refuse it."""
    if answer_if_repeated(command, record):
        return
    refusal = _check(command.participant, Safeguard.of(command), record.state)
    if refusal is not None:
        record.refuse(command, refusal)
        return
    record.add(
        SafeguardSet(
            sequence=record.next_sequence,
            time=record.now,
            answers=answered(command),
            participant=command.participant,
            session=command.session,
            device=command.device,
            on_disconnect=command.on_disconnect,
            silent_s=command.silent_s,
        )
    )


def _check(participant: str, wanted: Safeguard, state: State) -> Refusal | None:
    if participant not in state.participants:
        return Refusal(
            RefusalReason.UNKNOWN_PARTICIPANT,
            f"there is no participant {participant} in this area",
        )
    if not wanted.guards:
        return None
    if state.safeguards.broke(participant, wanted.session):
        return Refusal(
            RefusalReason.SESSION_LOST,
            f"the connection of session {wanted.session} broke; a new one needs another name",
        )
    others = len(state.safeguards.others(participant, wanted))
    if others >= MOST_SAFEGUARDS:
        return Refusal(
            RefusalReason.TOO_MANY_SAFEGUARDS,
            f"{others} other devices of {participant} have a safeguard, at most "
            f"{MOST_SAFEGUARDS} may",
        )
    return None


def lose_session(command: LoseSession, record: EventRecorder) -> None:
    """Cancel all orders of a participant, where a safeguard says so; then that has ended."""
    state, participant = record.state, command.participant
    safeguard = state.safeguards.find(participant, command.session)
    if safeguard is None or not _is_set_for(safeguard, command.reason):
        return
    orders: list[Order | FlexibilityOrder] = [
        *state.orders_of(participant),
        *state.flexible_orders_of(participant),
    ]
    cancelled = record.cancel_all(orders, command.reason)
    record.add(
        SessionLost(
            sequence=record.next_sequence,
            time=record.now,
            participant=participant,
            session=command.session,
            reason=command.reason,
            orders=cancelled,
        )
    )


def _is_set_for(safeguard: Safeguard, reason: CancelReason) -> bool:
    if reason is CancelReason.SILENT:
        return safeguard.silent_s is not None
    return safeguard.on_disconnect is OnDisconnect.CANCEL
