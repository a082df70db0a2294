"""Messages of participants, TSO, market operator and meter operator as commands.

A message never stops the exchange and never goes unanswered: one that is not as
``docs/formats`` says becomes a ``RejectMessage`` with a reason and a sentence, which is
journaled and reported like every other command.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from pydantic import BaseModel, ConfigDict, TypeAdapter

from exchange.vocabulary.commands import (
    AcceptLoss,
    AdvanceTime,
    AmendOrder,
    CancelOrder,
    CloseGate,
    Command,
    MassCancel,
    OpenSession,
    RejectMessage,
    SubmitJoint,
    SubmitOrder,
    SubmitReading,
    UpdateInterfaceLimits,
)
from exchange.vocabulary.reasons import RefusalReason
from exchange.vocabulary.rules import METERING, OPERATOR, TSO
from gateway.formats.faults import InvalidMessageError
from gateway.formats.identifiers import ClientId
from gateway.formats.order_terms import order_command, read_order, traded_interval
from gateway.formats.records import SignedWatts, Time
from gateway.formats.strict_json import check_size, client_id_of, entries_of, read_request
from gateway.messages.operator_requests import CONTROL, METER, control_command, meter_command
from security_check.model.limits import InterfaceLimits

_LONGEST_DETAIL = 300  # characters of a sentence that goes into the journal and back to its sender


class LimitsMessage(BaseModel):
    """The TSO's new contract for one interval; power in watts, voltage per unit."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)

    update_id: ClientId
    interval: Time | None = None
    voltage_min_pu: float
    voltage_max_pu: float
    injection_limit_w: SignedWatts | None = None
    withdrawal_limit_w: SignedWatts | None = None
    unbalance_pu: float | None = None
    reactive_min_var: SignedWatts | None = None
    reactive_max_var: SignedWatts | None = None
    time: Time | None = None


_LIMITS: TypeAdapter[LimitsMessage] = TypeAdapter(LimitsMessage)


@dataclass(frozen=True, slots=True)
class Reader:
    """Turns messages into commands.

    Parameters
    ----------
    tick
        The price step, in EUR per kW.
    participants
        Senders of orders.
    open_intervals
        Returns the starts of the intervals that are open for trading: where there is one, a
        message need not name it.
    """

    tick: Decimal
    participants: Collection[str]
    open_intervals: Callable[[], Collection[datetime]]

    def read(self, sender: str, payload: bytes, connection_point: str | None = None) -> Command:
        """Return the command a message asks for, or the rejection to journal.

        Parameters
        ----------
        sender
            The participant of the message's topic, ``"tso"``, ``"operator"`` or ``"metering"``.
        payload
            Any bytes at all.
        connection_point
            The connection point of a meter reading's topic.
        """
        try:
            check_size(payload)
            if sender == TSO:
                return self._limits(read_request(_LIMITS, payload))
            if sender == OPERATOR:
                return control_command(read_request(CONTROL, payload), self.tick)
            if connection_point is not None:
                return meter_command(read_request(METER, payload), connection_point)
            return self._order(sender, payload)
        except InvalidMessageError as refusal:
            return rejection(sender, payload, refusal.reason, str(refusal))

    def _order(self, sender: str, payload: bytes) -> Command:
        if sender not in self.participants:
            raise InvalidMessageError(
                f"{sender} has no connection point in this area", RefusalReason.UNAUTHORISED
            )
        request = read_order(payload)
        if request.participant not in (None, sender):
            raise InvalidMessageError(
                f"this is the topic of {sender}, and the message names another participant",
                RefusalReason.UNAUTHORISED,
            )
        return order_command(request, sender, self.tick, self.open_intervals())

    def _limits(self, message: LimitsMessage) -> Command:
        try:
            limits = InterfaceLimits(
                message.voltage_min_pu,
                message.voltage_max_pu,
                message.injection_limit_w,
                message.withdrawal_limit_w,
                message.unbalance_pu,
                message.reactive_min_var,
                message.reactive_max_var,
            )
        except ValueError as error:
            raise InvalidMessageError(str(error)) from None
        interval = traded_interval(message.interval, self.open_intervals())
        return UpdateInterfaceLimits(message.update_id, interval, limits)


def sender_of(command: Command) -> tuple[str, str | None]:
    """Return who sent the message of a command, and the sender's own key for it."""
    match command:
        case SubmitOrder() | SubmitJoint() | CancelOrder() | AmendOrder() | RejectMessage():
            return command.participant, command.client_order_id
        case MassCancel():
            return command.participant, None
        case UpdateInterfaceLimits():
            return TSO, command.update_id
        case SubmitReading():
            return METERING, command.reading_id
        case OpenSession() | AdvanceTime() | CloseGate() | AcceptLoss():  # of the service itself
            return OPERATOR, None
        case _:
            return OPERATOR, command.control_id


def rejection(sender: str, payload: bytes, reason: RefusalReason, detail: str) -> RejectMessage:
    """Return the command that journals the refusal of a message.

    The sentence is cut short, and characters of the sender that do not print are replaced.
    """
    shown = "".join(each if each.isprintable() else "?" for each in detail[:_LONGEST_DETAIL])
    return RejectMessage(sender, client_id_of(entries_of(payload)), reason.value, shown)
