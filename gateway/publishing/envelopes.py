"""Publish the envelopes in force, shrinking ones first.

Every set of envelopes inside a secure set is secure.  One command may lower some limits and raise
others, and customers receive their envelopes one after the other.  So customers whose limits fall
first receive the smaller of old and new limits (a set inside the old one); then customers whose
limits rise receive the new ones (a set inside the new one).  The set in force stays secure.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import astuple, dataclass, replace
from datetime import datetime, timedelta
from itertools import islice
from typing import Any

from exchange.vocabulary.events import (
    Event,
    GateClosed,
    HoldingCurtailed,
    HoldingRaised,
    SessionOpened,
    Traded,
)
from exchange.vocabulary.rules import ConnectionTerms
from gateway.messages.area_state import EnvelopeInterval, EnvelopeMessage
from gateway.messages.topics import Topics
from gateway.ports import Outgoing
from security_check.model.envelope import Direction, Envelope

HOLDS = timedelta(minutes=5)
"""Time after which a device no longer relies on envelopes that were not confirmed again."""

Held = dict[datetime, Envelope]
"""The envelopes of one connection point, by start of the interval."""


@dataclass(slots=True)
class _PublishedInterval:
    end: datetime
    final: bool = False


class EnvelopePublisher:
    """The envelopes of all intervals that have not ended, kept up to date by events.

    Parameters
    ----------
    topics
        The area's topics.
    terms
        Connection terms by connection point, with the fallback limits.
    """

    def __init__(self, topics: Topics, terms: Mapping[str, ConnectionTerms]) -> None:
        self._topics = topics
        self._terms = terms
        self._intervals: dict[datetime, _PublishedInterval] = {}
        self._held: dict[str, Held] = {point: {} for point in terms}
        self._versions = dict.fromkeys(terms, 0)
        self._issued: dict[str, datetime] = {}
        # Of the connection points with envelopes, those to be confirmed next come first.
        self._turn: dict[str, None] = {}

    def skip(self, numbers: int) -> None:
        """Leave out versions of all connection points."""
        for point in self._versions:
            self._versions[point] += numbers

    def envelope(self, connection_point: str, start: datetime) -> Envelope:
        """Return the envelope in force of a connection point in an interval."""
        return self._held[connection_point][start]

    def apply(
        self, events: Iterable[Event], now: datetime
    ) -> tuple[list[Outgoing], list[tuple[str, datetime]]]:
        """Apply one entry's events.

        Returns
        -------
        The messages, in the order that keeps the set in force secure, and each (connection point,
        interval) whose limits changed.
        """
        before: dict[str, Held] = {}
        for event in events:
            self._apply(event, before)
        if not before:
            return [], []
        for start in [start for start, each in self._intervals.items() if each.end <= now]:
            del self._intervals[start]
            for held in self._held.values():
                held.pop(start, None)
        changed = [
            (point, start)
            for point, old in before.items()
            for start, envelope in self._held[point].items()
            if start not in old or _limits(old[start]) != _limits(envelope)
        ]
        return self._messages(before, now), changed

    def messages(self, now: datetime) -> list[Outgoing]:
        """Return the envelopes in force of all connection points, confirmed at ``now``."""
        return [self._message(point, self._held[point], now) for point in self._issued]

    @property
    def published_points(self) -> int:
        """Number of connection points with envelopes."""
        return len(self._turn)

    def confirmations(self, count: int, now: datetime) -> list[Outgoing]:
        """Return those of some connection points, of all in turn, confirmed at ``now``."""
        points = list(islice(self._turn, count))
        for point in points:
            del self._turn[point]
            self._turn[point] = None
        return [self._message(point, self._held[point], now) for point in points]

    def _apply(self, event: Event, before: dict[str, Held]) -> None:
        match event:
            case SessionOpened():
                self._intervals[event.start] = _PublishedInterval(event.end)
                self._put(event.start, event.envelopes, before)
            case GateClosed():
                if event.interval in self._intervals:
                    self._intervals[event.interval].final = True
                    self._put(event.interval, event.envelopes, before)
            case Traded():
                for fill in event.fills:
                    point, start, direction = fill.connection_point, fill.interval, fill.direction
                    limit_w = _limit(self._held[point][start], direction) + fill.change_w
                    self._set(point, start, direction, limit_w, None, before)
            case HoldingCurtailed() | HoldingRaised():
                self._set(
                    event.connection_point,
                    event.interval,
                    event.direction,
                    event.to_w,
                    event.element,
                    before,
                )

    def _put(self, start: datetime, envelopes: Iterable[Envelope], before: dict[str, Held]) -> None:
        for envelope in envelopes:
            held = self._held[envelope.connection_point]
            before.setdefault(envelope.connection_point, dict(held))
            held[start] = envelope

    def _set(
        self,
        point: str,
        start: datetime,
        direction: Direction,
        limit_w: int,
        bottleneck: str | None,
        before: dict[str, Held],
    ) -> None:
        held = self._held[point]
        before.setdefault(point, dict(held))
        envelope = held[start]
        if direction is Direction.INJECTION:
            element = envelope.injection_bottleneck if bottleneck is None else bottleneck
            held[start] = replace(envelope, injection_limit_w=limit_w, injection_bottleneck=element)
        else:
            element = envelope.withdrawal_bottleneck if bottleneck is None else bottleneck
            held[start] = replace(
                envelope, withdrawal_limit_w=limit_w, withdrawal_bottleneck=element
            )

    def _messages(self, before: Mapping[str, Held], now: datetime) -> list[Outgoing]:
        shrunk, grown = [], []
        for point, old in before.items():
            new = self._held[point]
            both = {start: _smaller(old[start], new[start]) for start in new if start in old}
            falls = any(_limits(each) != _limits(old[start]) for start, each in both.items())
            rises = any(
                start not in both or _limits(both[start]) != _limits(new[start]) for start in new
            )
            self._issued[point] = now
            self._turn[point] = None
            if falls:
                self._versions[point] += 1
                shrunk.append(self._message(point, both if rises else new, now))
            if rises or not falls:
                grown.append(point)
        for point in grown:
            self._versions[point] += 1
        return shrunk + [self._message(point, self._held[point], now) for point in grown]

    def _message(self, point: str, held: Held, now: datetime) -> Outgoing:
        terms = self._terms[point]
        now = max(now, self._issued[point])
        payload = EnvelopeMessage.encode(
            connection_point=point,
            version=self._versions[point],
            issued_at=self._issued[point],
            confirmed_at=now,
            holds_until=now + HOLDS,
            fallback={
                "injection_limit_w": terms.fallback_injection_w,
                "withdrawal_limit_w": terms.fallback_withdrawal_w,
            },
            intervals=tuple(
                EnvelopeInterval.entries_of(
                    held[start],
                    start=start,
                    end=self._intervals[start].end,
                    final=self._intervals[start].final,
                )
                for start in sorted(held)
                if self._intervals[start].end > now
            ),
        )
        return Outgoing(self._topics.envelope(point), payload, retain=True)

    def state(self) -> dict[str, Any]:
        """Return everything as JSON-able data."""
        return {
            "intervals": [
                [start.isoformat(), each.end.isoformat(), each.final]
                for start, each in self._intervals.items()
            ],
            "held": [
                [start.isoformat(), *astuple(each)]
                for held in self._held.values()
                for start, each in held.items()
            ],
            "issued": [
                [point, self._versions[point], time.isoformat()]
                for point, time in self._issued.items()
            ],
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Take over what :meth:`state` returned."""
        for start, end, final in state["intervals"]:
            interval = _PublishedInterval(datetime.fromisoformat(end), final)
            self._intervals[datetime.fromisoformat(start)] = interval
        for start, point, *limits in state["held"]:
            self._held[point][datetime.fromisoformat(start)] = Envelope(point, *limits)
        for point, version, time in state["issued"]:
            self._versions[point] = version
            self._issued[point] = datetime.fromisoformat(time)
            self._turn[point] = None


def _limits(envelope: Envelope) -> tuple[int, int]:
    return envelope.injection_limit_w, envelope.withdrawal_limit_w


def _limit(envelope: Envelope, direction: Direction) -> int:
    injection_w, withdrawal_w = _limits(envelope)
    return injection_w if direction is Direction.INJECTION else withdrawal_w


def _smaller(old: Envelope, new: Envelope) -> Envelope:
    return replace(
        new,
        injection_limit_w=min(old.injection_limit_w, new.injection_limit_w),
        withdrawal_limit_w=min(old.withdrawal_limit_w, new.withdrawal_limit_w),
    )
