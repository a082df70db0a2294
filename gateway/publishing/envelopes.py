"""Publish the envelopes in force, shrinking ones first.

Each connection point has a retained message of its own for each interval.  Every set of envelopes
inside a secure set is secure.  One command may lower some limits of an interval and raise others,
and customers receive their envelopes one after the other.  So customers whose limits fall first
receive the smaller of old and new limits (a set inside the old one); then customers whose limits
rise receive the new ones (a set inside the new one).  The set in force stays secure.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import astuple, dataclass, field, replace
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
from gateway.messages.area_state import EnvelopeMessage
from gateway.messages.topics import Topics
from gateway.ports import Outgoing
from security_check.model.envelope import Direction, Envelope

HOLDS = timedelta(minutes=5)
"""Time after which a device no longer relies on an envelope that was not confirmed again."""

STAYS_REMOVED = timedelta(days=1)
"""Time for which removals are published again: no broker comes back with an older state."""

_Before = dict[tuple[datetime, str], Envelope | None]
"""The envelopes before an entry, by interval and connection point; ``None`` where there is none."""


@dataclass(slots=True)
class _PublishedInterval:
    """The envelopes of an interval by connection point.

    ``issued`` has the version of each one's newest message, and the time of its limits.
    """

    end: datetime
    final: bool = False
    held: dict[str, Envelope] = field(default_factory=dict)
    issued: dict[str, tuple[int, datetime]] = field(default_factory=dict)


class EnvelopePublisher:
    """The envelopes of all intervals that have not ended, kept up to date by events.

    The messages of a connection point are numbered over all intervals, so that the version of a
    topic rises even where an interval is opened anew after its topic was removed.

    Parameters
    ----------
    topics
        The area's topics.
    terms
        Connection terms by connection point, with the fallback limits.

    Attributes
    ----------
    points
        Number of connection points.
    """

    def __init__(self, topics: Topics, terms: Mapping[str, ConnectionTerms]) -> None:
        self._topics = topics
        self._terms = terms
        self.points = len(terms)
        self._intervals: dict[datetime, _PublishedInterval] = {}
        self._versions = dict.fromkeys(terms, 0)
        self._removed: dict[datetime, datetime] = {}  # Intervals that have ended, when.
        self._turn = dict.fromkeys(terms)  # Those to be confirmed next come first.

    def skip(self, numbers: int) -> None:
        """Leave out versions of all connection points; what is in force gets higher ones, too."""
        for point in self._versions:
            self._versions[point] += numbers
        for interval in self._intervals.values():
            for point, (version, time) in interval.issued.items():
                interval.issued[point] = (version + numbers, time)

    def envelope(self, connection_point: str, start: datetime) -> Envelope:
        """Return the envelope in force of a connection point in an interval."""
        return self._intervals[start].held[connection_point]

    def apply(
        self, events: Iterable[Event], now: datetime
    ) -> tuple[list[Outgoing], list[tuple[str, datetime]]]:
        """Apply one entry's events.

        Returns
        -------
        The messages, in the order that keeps the set in force secure, then those that remove what
        is over, and each (connection point, interval) whose limits changed.
        """
        before: _Before = {}
        for event in events:
            self._apply(event, before)
        messages = self._messages(before, now) + self._remove_ended(now)
        changed = [
            (point, start)
            for (start, point), old in before.items()
            if start in self._intervals
            and (old is None or _limits(old) != _limits(self._intervals[start].held[point]))
        ]
        return messages, changed

    def retained(self, clock: Callable[[], datetime]) -> Iterator[Outgoing]:
        """Yield the envelopes in force, confirmed when each is taken, the soonest intervals first.

        What removes those of ended intervals comes last.  Events may be applied between two of
        them: each is in force when it is taken.
        """
        for start in sorted(self._intervals):
            for point in self._versions:
                interval = self._intervals.get(start)
                if interval is None or point not in interval.held:
                    continue
                if interval.end > (now := clock()):
                    yield self._message(start, point, interval.held[point], now)
                else:
                    yield self._removal(start, point)
        for start in tuple(self._removed):
            for point in self._versions:
                if start in self._removed:
                    yield self._removal(start, point)

    def confirmations(self, count: int, now: datetime) -> list[Outgoing]:
        """Return what some connection points, of all in turn, may need soon, confirmed at ``now``.

        These are their envelopes of the intervals that run, or start before ``now + HOLDS``.
        """
        points = list(islice(self._turn, count))
        for point in points:
            del self._turn[point]
            self._turn[point] = None
        near = [
            (start, interval)
            for start, interval in self._intervals.items()
            if start <= now + HOLDS and interval.end > now
        ]
        return [
            self._message(start, point, interval.held[point], now)
            for point in points
            for start, interval in near
            if point in interval.held
        ]

    def _apply(self, event: Event, before: _Before) -> None:
        match event:
            case SessionOpened():
                interval = self._intervals.setdefault(event.start, _PublishedInterval(event.end))
                interval.end, interval.final = event.end, False
                self._removed.pop(event.start, None)
                self._put(event.start, event.envelopes, before)
            case GateClosed():
                if event.interval in self._intervals:
                    self._intervals[event.interval].final = True
                    self._put(event.interval, event.envelopes, before)
            case Traded():
                for fill in event.fills:
                    point, start, direction = fill.connection_point, fill.interval, fill.direction
                    limit_w = _limit(self.envelope(point, start), direction) + fill.change_w
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

    def _put(self, start: datetime, envelopes: Iterable[Envelope], before: _Before) -> None:
        held = self._intervals[start].held
        for envelope in envelopes:
            point = envelope.connection_point
            before.setdefault((start, point), held.get(point))
            held[point] = envelope

    def _set(
        self,
        point: str,
        start: datetime,
        direction: Direction,
        limit_w: int,
        bottleneck: str | None,
        before: _Before,
    ) -> None:
        envelope = self.envelope(point, start)
        if direction is Direction.INJECTION:
            element = envelope.injection_bottleneck if bottleneck is None else bottleneck
            changed = replace(envelope, injection_limit_w=limit_w, injection_bottleneck=element)
        else:
            element = envelope.withdrawal_bottleneck if bottleneck is None else bottleneck
            changed = replace(envelope, withdrawal_limit_w=limit_w, withdrawal_bottleneck=element)
        self._put(start, (changed,), before)

    def _messages(self, before: _Before, now: datetime) -> list[Outgoing]:
        shrunk, grown = [], []
        for (start, point), old in before.items():
            interval = self._intervals[start]
            if interval.end <= now:
                continue
            new = interval.held[point]
            both = new if old is None else _smaller(old, new)
            falls = old is not None and _limits(both) != _limits(old)
            if falls:
                shrunk.append(self._issue(start, point, both, now))
            if old is None or not falls or _limits(both) != _limits(new):
                grown.append((start, point, new))
        return shrunk + [self._issue(*each, now) for each in grown]

    def _issue(self, start: datetime, point: str, envelope: Envelope, now: datetime) -> Outgoing:
        """Return a message with the next version."""
        self._versions[point] += 1
        self._intervals[start].issued[point] = (self._versions[point], now)
        return self._message(start, point, envelope, now)

    def _message(self, start: datetime, point: str, envelope: Envelope, now: datetime) -> Outgoing:
        terms, interval = self._terms[point], self._intervals[start]
        version, issued_at = interval.issued[point]
        now = max(now, issued_at)
        payload = EnvelopeMessage.encode(
            connection_point=point,
            start=start,
            end=interval.end,
            injection_limit_w=envelope.injection_limit_w,
            withdrawal_limit_w=envelope.withdrawal_limit_w,
            injection_bottleneck=envelope.injection_bottleneck,
            withdrawal_bottleneck=envelope.withdrawal_bottleneck,
            final=interval.final,
            version=version,
            issued_at=issued_at,
            confirmed_at=now,
            holds_until=now + HOLDS,
            fallback={
                "injection_limit_w": terms.fallback_injection_w,
                "withdrawal_limit_w": terms.fallback_withdrawal_w,
            },
        )
        return Outgoing(self._topics.envelope(point, start), payload, retain=True)

    def _remove_ended(self, now: datetime) -> list[Outgoing]:
        """Forget the intervals that are over; return what removes their retained messages.

        One whose gate closes after its end can still trade, so it stays until then.
        """
        while self._removed:
            start, removed_at = next(iter(self._removed.items()))
            if now - removed_at <= STAYS_REMOVED:
                break
            del self._removed[start]
        ended = [s for s, each in self._intervals.items() if each.final and each.end <= now]
        messages = []
        for start in ended:
            messages += [self._removal(start, point) for point in self._intervals.pop(start).held]
            self._removed[start] = now
        return messages

    def _removal(self, start: datetime, point: str) -> Outgoing:
        return Outgoing(self._topics.envelope(point, start), b"", retain=True)

    def state(self) -> dict[str, Any]:
        """Return everything as JSON-able data."""
        return {
            "versions": dict(self._versions),
            "intervals": [
                [start.isoformat(), each.end.isoformat(), each.final]
                for start, each in self._intervals.items()
            ],
            "held": [
                [start.isoformat(), *astuple(each), version, issued_at.isoformat()]
                for start, interval in self._intervals.items()
                for point, each in interval.held.items()
                for version, issued_at in [interval.issued[point]]
            ],
            "removed": [
                [start.isoformat(), time.isoformat()] for start, time in self._removed.items()
            ],
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Take over what :meth:`state` returned."""
        self._versions |= state["versions"]
        for start, end, final in state["intervals"]:
            interval = _PublishedInterval(datetime.fromisoformat(end), final)
            self._intervals[datetime.fromisoformat(start)] = interval
        for start, point, *limits, version, issued_at in state["held"]:
            interval = self._intervals[datetime.fromisoformat(start)]
            interval.held[point] = Envelope(point, *limits)
            interval.issued[point] = (version, datetime.fromisoformat(issued_at))
        for start, time in state["removed"]:
            self._removed[datetime.fromisoformat(start)] = datetime.fromisoformat(time)


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
