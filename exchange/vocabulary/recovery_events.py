"""The event after which an exchange goes on although the end of its journal is lost."""

from __future__ import annotations

from dataclasses import dataclass

from exchange.vocabulary.events import Event


@dataclass(frozen=True, slots=True, kw_only=True)
class LossAccepted(Event):
    """The journal's entries after ``ends_at`` are lost; they went up to ``written`` or further.

    So that no number is given out twice, ``skipped`` numbers are left out, those before this event:
    of events, orders, trades, reports, envelopes and books.
    """

    ends_at: int
    written: int
    skipped: int
