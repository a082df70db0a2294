"""Answers to queries: one page each, bounded in bytes, of what the state is now.

A page holds entries from the query's place on, in the order of a key that an entry keeps while it
is there.  So where events come between two pages, nothing that was there all the while is left out.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pydantic_core import to_json

from exchange.state.state import State
from exchange.vocabulary.reasons import RefusalReason
from gateway.formats.faults import InvalidMessageError
from gateway.messages.answers import RefusedAnswer
from gateway.messages.queries import Query, query_id_of, read_query
from gateway.messages.requests import shown_detail
from gateway.messages.topics import Topics
from gateway.ports import Outgoing
from gateway.publishing.answer_entries import AnswerEntries, Entry
from gateway.publishing.publisher import Publisher

ANSWER_BYTES = 65_536
"""Size of the largest page, unless a single entry is larger: then that entry is a page."""

ANSWER_EXPIRY_S = 60
"""Time for which a broker keeps an answer for a sender without a connection (MQTT 5)."""

_NEXT_BYTES = 1_024  # room for ``next``: a time and a name of at most 128 characters

_LOG = logging.getLogger(__name__)
_NUMBER, _TIME = r"[0-9]{1,16}", r"[0-9T:.+-]{16,40}Z"
_PLACES = {
    "orders": _NUMBER,
    "positions": f"{_TIME}/.+",
    "reports": _NUMBER,
    "requests": _NUMBER,
    "statement": f"[^/]+/{_TIME}",
    "book": f"(buy|sell)/{_NUMBER}",
    "session": _TIME,
    "limits": _TIME,
    "controls": "(buy_back|halt|kill_switch|price_collar|risk_limits)/.*",
}
"""The form of a page's beginning, by what a query is about."""


@dataclass(frozen=True, slots=True)
class Answered:
    """What a query was about (``"refused"`` where it was refused), and its answer."""

    about: str
    message: Outgoing


class Answers:
    """Answers queries from a state and its publisher, and changes neither.

    Parameters
    ----------
    topics
        The area's topics.
    state, publisher
        What is asked about; of the same events.
    """

    def __init__(self, topics: Topics, state: State, publisher: Publisher) -> None:
        self._topics = topics
        self._state = state
        self._publisher = publisher
        self._entries = AnswerEntries(state, publisher)

    def answer(self, sender: str, payload: bytes, now: datetime) -> Answered:
        """Return the answer to a query, or its refusal; never raises.

        Parameters
        ----------
        sender
            The account of the query's topic.
        payload
            Any bytes at all.
        now
            The time of the market.
        """
        about = "refused"
        try:
            query = read_query(sender, payload, self._state.participants)
            content = self._page(sender, query, now)
            about = query.about
        except InvalidMessageError as refusal:
            content = _refused(payload, refusal.reason, str(refusal))
        except Exception:
            _LOG.critical("a query of %s failed with an internal error", sender, exc_info=True)
            detail = "the exchange failed with an internal error; the error is in its log"
            content = _refused(payload, RefusalReason.MALFORMED, detail)
        topic = self._topics.answer(sender)
        return Answered(about, Outgoing(topic, content, expires_after_s=ANSWER_EXPIRY_S))

    def _page(self, sender: str, query: Query, now: datetime) -> bytes:
        place = query.from_
        if place is not None and not re.fullmatch(_PLACES[query.about], place):
            raise InvalidMessageError(
                f"from: {place!r} is not what an answer about {query.about} had in next"
            )
        more, entries = self._entries.of(sender, query)
        head = {
            "query_id": query.query_id,
            "about": query.about,
            "event": self._state.sequence,
            "time": now if self._state.time is None else max(now, self._state.time),
            "report_sequence": self._publisher.report_sequence(sender),
            **more,
        }
        return _joined(head, entries)


def _joined(head: dict[str, Any], entries: Iterable[tuple[str, Entry]]) -> bytes:
    """Return a page as JSON: as many entries as it has room for, and where the next one begins."""
    room = ANSWER_BYTES - _NEXT_BYTES - len(to_json(head))
    taken: list[bytes] = []
    for place, entry in entries:
        text = entry if isinstance(entry, bytes) else to_json(entry)
        room -= len(text) + 1
        if taken and room < 0:
            head["next"] = place
            break
        taken.append(text)
    return to_json(head)[:-1] + b',"entries":[' + b",".join(taken) + b"]}"


def _refused(payload: bytes, reason: RefusalReason, detail: str) -> bytes:
    return RefusedAnswer.encode(
        query_id=query_id_of(payload), refused=reason, detail=shown_detail(detail)
    )
