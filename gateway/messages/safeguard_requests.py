"""Messages of a device about its connection: safeguard, last will, sign of life.

A ``session`` is one connection of a device to the broker, under a name that the device chooses anew
for each.  The last will is published by the broker, the other two by the device itself.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from exchange.vocabulary.commands import LoseSession, SetSafeguard
from exchange.vocabulary.reasons import CancelReason, OnDisconnect
from gateway.formats.identifiers import ClientId
from gateway.formats.records import Time

Seconds = Annotated[int, Field(ge=5, le=3600)]

SESSION_MESSAGES = ("disconnected", "alive")
"""Kinds of messages that are no requests: their session is all the id that they have."""


class _DeviceMessage(BaseModel):
    """Entries of all: the topic decides the participant, and ``time`` is the sender's clock."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)

    participant: str | None = None
    time: Time | None = None
    session: ClientId


class SafeguardRequest(_DeviceMessage):
    """Have all own orders cancelled when this session is lost, or end that.

    The session is lost when the broker publishes its last will (``on_disconnect``), or after
    ``silent_s`` seconds without a message; without either there is no safeguard.
    """

    type: Literal["safeguard"]
    request_id: ClientId
    device: ClientId | None = None
    on_disconnect: OnDisconnect
    silent_s: Seconds | None


class DisconnectedMessage(_DeviceMessage):
    """The last will of a session's connection: it broke."""

    type: Literal["disconnected"]


class AliveMessage(_DeviceMessage):
    """A sign of life of a session; it is neither journaled nor answered."""

    type: Literal["alive"]


DeviceMessage = SafeguardRequest | DisconnectedMessage | AliveMessage


@dataclass(frozen=True, slots=True)
class SignOfLife:
    """A device of a participant says that this session lives; nothing is to be done."""

    participant: str
    session: str


def device_command(
    message: DeviceMessage, participant: str
) -> SetSafeguard | LoseSession | SignOfLife:
    """Return the command of a message, or the sign of life that it is."""
    match message:
        case SafeguardRequest():
            return SetSafeguard(
                participant,
                message.request_id,
                message.session,
                message.device,
                message.on_disconnect,
                message.silent_s,
            )
        case DisconnectedMessage():
            return LoseSession(participant, message.session, CancelReason.DISCONNECTED)
        case AliveMessage():
            return SignOfLife(participant, message.session)


def last_will_of(session: str) -> bytes:
    """Return the payload of the last will with which a device connects."""
    return (
        DisconnectedMessage(type="disconnected", session=session)
        .model_dump_json(exclude_none=True)
        .encode()
    )
