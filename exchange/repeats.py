"""Requests that come again under an id that was used before."""

from __future__ import annotations

from exchange.answers import Remembered, content_of
from exchange.commands import SubmitJoint, SubmitOrder, UpdateInterfaceLimits
from exchange.reasons import RefusalReason
from exchange.record import Record


def answer_again(participant: str, client_id: str, command: Remembered, record: Record) -> bool:
    """Answer a request whose id was used before: the same again, or a refusal.

    Returns
    -------
    Whether it was; what is new is still to be answered.
    """
    answer = record.state.answers.find(participant, client_id)
    if answer is None:
        return False
    if content_of(answer.event) == content_of(command):
        record.repeat_answer(participant, client_id, answer.event)
    else:
        record.refuse(
            participant,
            client_id,
            _request(command),
            RefusalReason.CLIENT_ORDER_ID_REUSED,
            f"id {client_id} was used for another request, answered by event "
            f"{answer.event.sequence}",
        )
    return True


def _request(command: Remembered) -> str:
    """Return what kind of request it is, as refusals name it."""
    if isinstance(command, SubmitOrder | SubmitJoint):
        return "submit"
    return "limits" if isinstance(command, UpdateInterfaceLimits) else "control"
