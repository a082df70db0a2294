"""Queries: what participants and roles ask about the state of the exchange.

A query changes nothing and is not journaled.  One that is not as ``docs/formats`` says is refused
in its answer, with a reason and a sentence.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Annotated, Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from exchange.vocabulary.reasons import RefusalReason
from exchange.vocabulary.rules import METERING, OPERATOR, TSO
from gateway.formats.faults import InvalidMessageError
from gateway.formats.identifiers import ClientId
from gateway.formats.records import Time
from gateway.formats.strict_json import entries_of, id_of, read_request
from security_check.model.envelope import Direction

Cursor = Annotated[str, Field(min_length=1, max_length=256)]
"""Where a page begins; senders give back what an answer had in ``next``."""


About = Literal[
    "orders",
    "positions",
    "reports",
    "requests",
    "statement",
    "book",
    "session",
    "limits",
    "controls",
]


class QueryMessage(BaseModel):
    """Entries of every query; read first, for what it is about.

    ``query_id`` is the sender's own key, under which it is answered.  ``from`` is the ``next`` of
    the page before; without it the first page is asked for.
    """

    model_config = ConfigDict(strict=True, extra="ignore", frozen=True)

    type: Literal["query"]
    query_id: ClientId
    about: About
    from_: Cursor | None = Field(None, alias="from")
    time: Time | None = None


class _Query(QueryMessage):
    """A query with no other entries than its own."""

    model_config = ConfigDict(extra="forbid")


class OrdersQuery(_Query):
    """Ask for one's own open orders."""

    about: Literal["orders"]


class PositionsQuery(_Query):
    """Ask for the limits of one's own connection points in all open intervals."""

    about: Literal["positions"]


class ReportsQuery(_Query):
    """Ask for one's own reports from a number on."""

    about: Literal["reports"]
    from_sequence: Annotated[int, Field(ge=1, le=10**15)] = 1


class RequestsQuery(_Query):
    """Ask what became of one's own requests."""

    about: Literal["requests"]
    request_ids: Annotated[tuple[ClientId, ...], Field(min_length=1, max_length=100)]


class StatementQuery(_Query):
    """Ask for one's own account."""

    about: Literal["statement"]


class BookQuery(_Query):
    """Ask for the depth of a book."""

    about: Literal["book"]
    direction: Direction
    interval: Time


class SessionQuery(_Query):
    """Ask for the state of the market."""

    about: Literal["session"]


class LimitsQuery(_Query):
    """The TSO asks for its limits in force in all open intervals."""

    about: Literal["limits"]


class ControlsQuery(_Query):
    """The market operator asks for the controls in force."""

    about: Literal["controls"]


Query = (
    OrdersQuery
    | PositionsQuery
    | ReportsQuery
    | RequestsQuery
    | StatementQuery
    | BookQuery
    | SessionQuery
    | LimitsQuery
    | ControlsQuery
)
_ANY: TypeAdapter[QueryMessage] = TypeAdapter(QueryMessage)
_FORMS: dict[str, TypeAdapter[Any]] = {
    get_args(form.model_fields["about"].annotation)[0]: TypeAdapter(form)
    for form in get_args(Query)
}

_ROLES = {
    TSO: ("limits", "reports", "requests", "book", "session"),
    OPERATOR: ("controls", "reports", "requests", "statement", "book", "session"),
    METERING: ("reports", "requests", "book", "session"),
}
_PARTICIPANTS = ("orders", "positions", "reports", "requests", "statement", "book", "session")


def read_query(sender: str, payload: bytes, participants: Collection[str]) -> Query:
    """Return a query that its sender may ask.

    Parameters
    ----------
    sender
        The account of the message's topic.
    payload
        Any bytes at all.
    participants
        The participants of the area.

    Raises
    ------
    InvalidMessageError
        When it is too large, is no query, or asks for what its sender may not know.
    """
    if sender not in participants and sender not in _ROLES:
        raise InvalidMessageError(
            f"{sender} has no connection point in this area", RefusalReason.UNAUTHORISED
        )
    about = read_request(_ANY, payload).about
    allowed = _ROLES.get(sender, _PARTICIPANTS)
    if about not in allowed:
        raise InvalidMessageError(
            f"about: {sender} may ask about {', '.join(allowed)}, not about {about}",
            RefusalReason.UNAUTHORISED,
        )
    query: Query = read_request(_FORMS[about], payload)
    return query


def query_id_of(payload: bytes) -> str | None:
    """Return the id of a query that may be faulty, ``None`` where it has no readable one."""
    return id_of(entries_of(payload), "query_id")
