"""What comes in: JSON messages of participants, TSO and operators, turned into commands.

Nothing a sender writes may stop the exchange or pass unanswered: whatever is not a message as
``docs/formats.md`` has it becomes a ``RejectMessage`` with a reason and
a sentence, to be journaled and reported like everything else.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from exchange.vocabulary.commands import (
    AmendOrder,
    CancelOrder,
    Command,
    MassCancel,
    RejectMessage,
    SubmitOrder,
    UpdateInterfaceLimits,
)
from exchange.vocabulary.reasons import RefusalReason
from gateway.formats.order_terms import BlockTerms, LinkedTerms, OrderTerms, PointId, Price, Watts
from gateway.formats.prices import ClientId, InvalidMessageError, price_in_ticks
from gateway.formats.records import Time
from gateway.messages.operator_requests import CONTROL, METER, control_command, meter_command
from gateway.messages.topics import OPERATOR, TSO
from orderbook.order import Side
from security_check.model.envelope import Direction
from security_check.model.limits import InterfaceLimits

_T = TypeVar("_T")

MAX_MESSAGE_BYTES = 8_192
"""Longest message that is looked at."""


class _Message(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)


class _OrderMessage(_Message):
    """What all messages of a participant may carry.

    ``participant`` is decided by the topic; a message may repeat it, but not differ.  ``time``
    is the sender's clock, for its own records.
    """

    participant: str | None = None
    time: Time | None = None


class SubmitMessage(_OrderMessage, OrderTerms):
    """Place an order."""

    type: Literal["submit"]
    client_order_id: ClientId
    connection_point: PointId
    direction: Direction
    interval: Time | None = None
    side: Side
    quantity_w: Watts


class BlockMessage(_OrderMessage, BlockTerms):
    """Place one order over several intervals."""

    type: Literal["block"]
    client_order_id: ClientId


class LinkedMessage(_OrderMessage, LinkedTerms):
    """Place two orders of which one trades only with the other."""

    type: Literal["linked"]
    client_order_id: ClientId


class CancelMessage(_OrderMessage):
    """Take the rest of one's own order out of the book."""

    type: Literal["cancel"]
    client_order_id: ClientId


class AmendMessage(_OrderMessage):
    """Change price, total quantity, or both, of one's own resting order."""

    type: Literal["amend"]
    client_order_id: ClientId
    quantity_w: Watts | None = None
    price: Price | None = None


class MassCancelMessage(_OrderMessage):
    """Cancel all of one's own orders, or those that match all that is given."""

    type: Literal["mass_cancel"]
    interval: Time | None = None
    connection_point: PointId | None = None
    direction: Direction | None = None
    side: Side | None = None


class LimitsMessage(_Message):
    """The TSO's new contract for one interval; power in watts, voltage per unit."""

    update_id: ClientId
    interval: Time | None = None
    voltage_min_pu: float
    voltage_max_pu: float
    injection_limit_w: Watts | None = None
    withdrawal_limit_w: Watts | None = None
    unbalance_pu: float | None = None
    reactive_min_var: Watts | None = None
    reactive_max_var: Watts | None = None
    time: Time | None = None


OrderMessage = (
    SubmitMessage | BlockMessage | LinkedMessage | CancelMessage | AmendMessage | MassCancelMessage
)
_ORDER: TypeAdapter[OrderMessage] = TypeAdapter(
    Annotated[OrderMessage, Field(discriminator="type")]
)
_LIMITS: TypeAdapter[LimitsMessage] = TypeAdapter(LimitsMessage)


@dataclass(frozen=True, slots=True)
class Reader:
    """Turns messages into commands.

    Parameters
    ----------
    tick
        The price step, in EUR per kW.
    participants
        Who may send orders.
    open_intervals
        Tells the starts of the intervals open for trading at the moment: a message may leave
        out its interval where there is one.
    """

    tick: Decimal
    participants: Collection[str]
    open_intervals: Callable[[], Collection[datetime]]

    def read(self, sender: str, payload: bytes, connection_point: str | None = None) -> Command:
        """Return the command a message asks for, or the rejection to put on record.

        Parameters
        ----------
        sender
            The participant whose topic it came on, ``"tso"``, ``"operator"`` or ``"metering"``.
        payload
            Any bytes at all.
        connection_point
            Which one the topic of a meter reading is about.
        """
        try:
            if len(payload) > MAX_MESSAGE_BYTES:
                raise InvalidMessageError(
                    f"the message has {len(payload):,} bytes, at most {MAX_MESSAGE_BYTES:,} "
                    "are allowed",
                    RefusalReason.TOO_LARGE,
                )
            if sender == TSO:
                return self._limits(_validated(_LIMITS, payload))
            if sender == OPERATOR:
                return control_command(_validated(CONTROL, payload), self.tick)
            if connection_point is not None:
                return meter_command(_validated(METER, payload), connection_point)
            if sender not in self.participants:
                raise InvalidMessageError(
                    f"{sender} has no connection point in this area", RefusalReason.UNAUTHORISED
                )
            return self._order(sender, _validated(_ORDER, payload))
        except InvalidMessageError as unfit:
            return rejection(sender, payload, unfit.reason, str(unfit))

    def _order(self, sender: str, message: OrderMessage) -> Command:
        if message.participant not in (None, sender):
            raise InvalidMessageError(
                f"this is the topic of {sender}, and the message names another participant",
                RefusalReason.UNAUTHORISED,
            )
        match message:
            case SubmitMessage():
                return SubmitOrder(
                    participant=sender,
                    client_order_id=message.client_order_id,
                    connection_point=message.connection_point,
                    direction=message.direction,
                    interval=self._interval(message.interval),
                    side=message.side,
                    quantity_w=message.quantity_w,
                    limit_price_ticks=self._ticks(message.price),
                    time_in_force=message.effective_time_in_force(),
                    expires_at=message.expires_at,
                    conditions=message.conditions(),
                )
            case BlockMessage():
                ticks = price_in_ticks(message.price, self.tick)
                return message.joint(sender, message.client_order_id, ticks)
            case LinkedMessage():
                legs = tuple(
                    leg.leg(self._interval(leg.interval), price_in_ticks(leg.price, self.tick))
                    for leg in message.legs
                )
                return message.joint(sender, message.client_order_id, legs)
            case CancelMessage():
                return CancelOrder(sender, message.client_order_id)
            case AmendMessage():
                return AmendOrder(
                    sender,
                    message.client_order_id,
                    message.quantity_w,
                    self._ticks(message.price),
                )
            case MassCancelMessage():
                return MassCancel(
                    sender,
                    message.interval,
                    message.connection_point,
                    message.direction,
                    message.side,
                )

    def _ticks(self, price: str | None) -> int | None:
        return None if price is None else price_in_ticks(price, self.tick)

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
        return UpdateInterfaceLimits(message.update_id, self._interval(message.interval), limits)

    def _interval(self, interval: datetime | None) -> datetime:
        if interval is not None:
            return interval
        open_now = self.open_intervals()
        if len(open_now) != 1:
            raise InvalidMessageError(
                f"{len(open_now)} intervals are open for trading, so the message must name one"
            )
        return next(iter(open_now))


def rejection(sender: str, payload: bytes, reason: RefusalReason, detail: str) -> RejectMessage:
    """Return what puts on record that a message could not become a command."""
    return RejectMessage(sender, _client_id(payload), reason.value, detail)


def _client_id(payload: bytes) -> str | None:
    """Return the client's key of a message that is otherwise unfit, where it has a decent one."""
    if len(payload) > MAX_MESSAGE_BYTES:
        return None
    try:
        content = json.loads(payload)
    except (ValueError, RecursionError):
        return None
    if not isinstance(content, dict):
        return None
    for key in ("client_order_id", "update_id", "control_id", "reading_id"):
        with contextlib.suppress(ValidationError):
            return _CLIENT_ID.validate_python(content.get(key))
    return None


_CLIENT_ID: TypeAdapter[str] = TypeAdapter(ClientId, config=ConfigDict(strict=True))


def _validated(adapter: TypeAdapter[_T], payload: bytes) -> _T:
    _check_json(payload)
    try:
        return adapter.validate_json(payload)
    except ValidationError as error:
        fault = error.errors(include_input=False, include_url=False, include_context=False)[0]
        place = ".".join(str(step) for step in fault["loc"] if step != fault.get("type"))
        detail = fault["msg"].removeprefix("Value error, ")
        sentence = f"{place}: {detail}" if place else detail
        raise InvalidMessageError(_printable(sentence)) from None


def _check_json(payload: bytes) -> None:
    """Refuse what pydantic would let pass: a key given twice, and numbers that are not JSON."""
    try:
        json.loads(payload, object_pairs_hook=_unique, parse_constant=_no_constant)
    except UnicodeDecodeError:
        raise InvalidMessageError("the message is not UTF-8") from None
    except RecursionError:
        raise InvalidMessageError("the message is nested too deeply") from None
    except ValueError as error:
        raise InvalidMessageError(_printable(f"the message is not JSON: {error}")) from None


def _printable(sentence: str) -> str:
    """Keep a sentence short, and free of what a sender may have smuggled into it."""
    return "".join(each if each.isprintable() else "?" for each in sentence[:300])


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    content = dict(pairs)
    if len(content) != len(pairs):
        raise InvalidMessageError("the message gives a key twice")
    return content


def _no_constant(name: str) -> float:
    raise InvalidMessageError(f"{name} is not a number in JSON")
