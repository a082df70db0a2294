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
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from exchange.state.request_answers import RequestAnswer
from exchange.vocabulary.commands import (
    Command,
    RejectMessage,
    UpdateInterfaceLimits,
    identity_of,
)
from exchange.vocabulary.events import Refused
from exchange.vocabulary.reasons import RefusalReason
from exchange.vocabulary.rules import METERING, OPERATOR, TSO
from gateway.formats.faults import InvalidMessageError
from gateway.formats.identifiers import ClientId
from gateway.formats.order_terms import (
    OrderRequest,
    names_intervals,
    order_command,
    traded_interval,
)
from gateway.formats.records import SignedWatts, Time
from gateway.formats.strict_json import check_size, entries_of, id_of, read_request
from gateway.messages.flexibility import FlexibilityRequest, flexibility_command
from gateway.messages.operator_requests import CONTROL, METER, control_command, meter_command
from gateway.messages.safeguard_requests import (
    SESSION_MESSAGES,
    DeviceMessage,
    SignOfLife,
    device_command,
)
from security_check.model.limits import InterfaceLimits

_ID_OF_ROLE = {TSO: "update_id", OPERATOR: "control_id", METERING: "reading_id"}
# They name an order or a session, and have an id beside it.
_WITH_REQUEST_ID = ("amend", "cancel", "mass_cancel", "safeguard")
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
_PARTICIPANT: TypeAdapter[OrderRequest | FlexibilityRequest | DeviceMessage] = TypeAdapter(
    Annotated[OrderRequest | FlexibilityRequest | DeviceMessage, Field(discriminator="type")]
)


def _never_known(sender: str, request_id: str) -> None:
    """Return that a request is new."""


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
    known_answer
        Returns the answer that a sender's request with an id got, ``None`` where it is new: a
        message that names no interval and comes again is about the same one as before, whatever
        is open by then.
    """

    tick: Decimal
    participants: Collection[str]
    open_intervals: Callable[[], Collection[datetime]]
    known_answer: Callable[[str, str], RequestAnswer | None] = _never_known

    def read(
        self, sender: str, payload: bytes, connection_point: str | None = None
    ) -> Command | SignOfLife:
        """Return the command a message asks for, the rejection to journal, or a sign of life.

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
            return self._participant(sender, payload)
        except InvalidMessageError as refusal:
            return rejection(sender, payload, refusal.reason, str(refusal), uses_id=refusal.for_now)

    def _participant(self, sender: str, payload: bytes) -> Command | SignOfLife:
        if sender not in self.participants:
            raise InvalidMessageError(
                f"{sender} is no participant of this area", RefusalReason.UNAUTHORISED
            )
        request = read_request(_PARTICIPANT, payload)
        if request.participant not in (None, sender):
            raise InvalidMessageError(
                f"this is the topic of {sender}, and the message names another participant",
                RefusalReason.UNAUTHORISED,
            )
        if isinstance(request, DeviceMessage):
            return device_command(request, sender)
        if isinstance(request, FlexibilityRequest):
            named = request.interval is not None
            intervals = self._intervals(sender, request.client_order_id, named=named)
            return flexibility_command(request, sender, self.tick, intervals)
        return order_command(
            request,
            sender,
            self.tick,
            self._intervals(sender, request.client_order_id, named=names_intervals(request)),
        )

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
        named = message.interval is not None
        intervals = self._intervals(TSO, message.update_id, named=named)
        interval = traded_interval(message.interval, intervals)
        return UpdateInterfaceLimits(message.update_id, interval, limits)

    def _intervals(
        self, sender: str, request_id: str | None, *, named: bool
    ) -> Collection[datetime]:
        """Return the intervals that a request may be about where it names none."""
        if named or request_id is None:
            return self.open_intervals()
        answer = self.known_answer(sender, request_id)
        if answer is None:
            return self.open_intervals()
        before = answer.event
        if isinstance(before, Refused) and before.request == "message":
            raise InvalidMessageError(before.detail, before.reason, for_now=True)
        return self.open_intervals() if answer.interval is None else (answer.interval,)


def id_key(sender: str, kind: object) -> str:
    """Return the key under which a message has the id of its request.

    Parameters
    ----------
    sender
        A participant, ``"tso"``, ``"operator"`` or ``"metering"``.
    kind
        The message's ``type``, if it has one.
    """
    if kind in SESSION_MESSAGES:
        usual = "session"
    else:
        usual = "request_id" if kind in _WITH_REQUEST_ID else "client_order_id"
    return _ID_OF_ROLE.get(sender, usual)


def rejection(
    sender: str, payload: bytes, reason: RefusalReason, detail: str, *, uses_id: bool = False
) -> RejectMessage:
    """Return the command that journals the refusal of a message.

    The sentence is cut short, and characters of the sender that do not print are replaced.
    """
    entries = entries_of(payload)
    key = id_of(entries, id_key(sender, entries.get("type")))
    return RejectMessage(sender, key, reason.value, shown_detail(detail), uses_id)


def internal_error(command: Command) -> RejectMessage:
    """Return the answer to a message whose command failed with an internal error."""
    asked = identity_of(command)
    return RejectMessage(
        asked.sender,
        asked.request_id,
        RefusalReason.MALFORMED.value,
        "the exchange failed with an internal error and did not apply this message; "
        "the error is in its log",
        uses_id=True,
    )


def shown_detail(detail: str) -> str:
    """Return a sentence for a sender: cut short, without characters that do not print."""
    return "".join(each if each.isprintable() else "?" for each in detail[:_LONGEST_DETAIL])
