"""Which limits hold at a connection point now, as its device has heard it.

A device keeps to the envelope of the running interval while the exchange confirms it, and returns
to the fallback when it has heard nothing for too long.  The fallback lies inside every envelope.

Only a final envelope counts.  Before the gate closes, the limits may have been sold since a device
heard them last: together with the limits of those who bought them they would not be secure.  So
whatever devices have missed, each keeps to the final envelope or to its fallback.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from gateway.client.mirrors.reading import read_as
from gateway.messages.area_state import EnvelopeMessage, Fallback


class LimitSource(StrEnum):
    """Why these limits hold."""

    ENVELOPE = "envelope"
    """The envelope of the running interval is confirmed."""
    NOT_CONFIRMED = "not confirmed"
    """The fallback: the last confirmation of the running interval's envelope is too old."""
    NOT_FINAL = "not final"
    """The fallback: the envelope of the running interval is not known to be final."""
    NO_INTERVAL = "no interval"
    """The fallback: there is no envelope for this moment."""


@dataclass(frozen=True, slots=True)
class LimitsNow:
    """The limits that hold at a moment; magnitudes in watts.

    ``source`` says whether they are the envelope or the fallback.  ``until`` is when to look again,
    if nothing is heard before: then the interval ends, or the confirmation is too old.
    """

    injection_limit_w: int
    withdrawal_limit_w: int
    source: LimitSource
    until: datetime | None


@dataclass(frozen=True, slots=True)
class _Heard:
    message: EnvelopeMessage
    expires_at: float


class PointEnvelopes:
    """The envelopes of one connection point, from the messages on its topics.

    Parameters
    ----------
    connection_point
        Whose.
    clock
        Seconds that never run backwards.

    Examples
    --------
    >>> envelopes = PointEnvelopes("load:3")
    >>> envelopes.take({
    ...     "connection_point": "load:3",
    ...     "start": "2026-07-01T12:00:00Z", "end": "2026-07-01T12:15:00Z",
    ...     "injection_limit_w": 7100, "withdrawal_limit_w": 6600, "final": True,
    ...     "injection_bottleneck": "line:24", "withdrawal_bottleneck": "trafo:0",
    ...     "version": 7, "issued_at": "2026-07-01T11:20:00Z",
    ...     "confirmed_at": "2026-07-01T12:01:00Z", "holds_until": "2026-07-01T12:06:00Z",
    ...     "fallback": {"injection_limit_w": 1000, "withdrawal_limit_w": 1500}})
    True
    >>> envelopes.limits(datetime(2026, 7, 1, 12, 2, tzinfo=UTC)).injection_limit_w
    7100
    >>> fallback = envelopes.limits(datetime(2026, 7, 1, 12, 7, tzinfo=UTC))
    >>> fallback.injection_limit_w, fallback.source.value
    (1000, 'not confirmed')
    """

    def __init__(self, connection_point: str, clock: Callable[[], float] = time.monotonic) -> None:
        self.connection_point = connection_point
        self._clock = clock
        self._heard: dict[datetime, _Heard] = {}
        self._fallback: Fallback | None = None

    @property
    def intervals(self) -> tuple[EnvelopeMessage, ...]:
        """The envelopes of the intervals that are not over, earliest first."""
        return tuple(self._heard[start].message for start in sorted(self._heard))

    def envelope(self, start: datetime) -> EnvelopeMessage | None:
        """Return the envelope of an interval by its start, ``None`` where there is none."""
        heard = self._heard.get(start)
        return None if heard is None else heard.message

    def take(self, content: dict[str, Any]) -> bool:
        """Take a message; return whether limits changed, or became final.  An older one is no news.

        Raises
        ------
        ValueError
            When it is not an envelope message of this connection point.
        """
        message = read_as(EnvelopeMessage, content)
        if message.connection_point != self.connection_point:
            raise ValueError(f"it is about {message.connection_point}")
        before = self.envelope(message.start)
        if before is not None and not _follows(message, before):
            return False
        # By two clocks: the device's wall clock may be wrong, or step back meanwhile.
        holds_s = (message.holds_until - message.confirmed_at).total_seconds()
        self._heard[message.start] = _Heard(message, self._clock() + holds_s)
        self._fallback = message.fallback
        # The removal of an interval may have been missed.
        said_at, heard = message.confirmed_at, self._heard
        self._heard = {start: each for start, each in heard.items() if each.message.end > said_at}
        return before is None or _limits_of(before) != _limits_of(message)

    def remove(self, start: datetime) -> bool:
        """Forget an interval whose retained message was removed; return whether it was known."""
        return self._heard.pop(start, None) is not None

    def limits(self, now: datetime | None = None) -> LimitsNow:
        """Return the limits that hold at a moment, without one now.

        Raises
        ------
        LookupError
            When no message has come yet: then the device keeps to the fallback that it was set up
            with.
        """
        fallback = self._fallback
        if fallback is None:
            raise LookupError(f"no envelope of {self.connection_point} has come yet")
        moment = datetime.now(UTC) if now is None else now
        intervals = self.intervals
        running = next((each for each in intervals if each.start <= moment < each.end), None)
        if running is None:
            later = next((each.start for each in intervals if each.start > moment), None)
            source, until = LimitSource.NO_INTERVAL, later
        elif (
            moment >= running.holds_until or self._clock() >= self._heard[running.start].expires_at
        ):
            source, until = LimitSource.NOT_CONFIRMED, None
        elif not running.final:
            source, until = LimitSource.NOT_FINAL, None
        else:
            return LimitsNow(
                running.injection_limit_w,
                running.withdrawal_limit_w,
                LimitSource.ENVELOPE,
                min(running.end, running.holds_until),
            )
        return LimitsNow(fallback.injection_limit_w, fallback.withdrawal_limit_w, source, until)


def _follows(message: EnvelopeMessage, before: EnvelopeMessage) -> bool:
    """Return whether a message is newer.

    Versions rise, and begin anew only with another exchange: a lower one counts once the former
    message holds no more.
    """
    if message.version == before.version:
        return message.confirmed_at > before.confirmed_at
    return message.version > before.version or message.confirmed_at >= before.holds_until


def _limits_of(message: EnvelopeMessage) -> tuple[Any, ...]:
    limits = message.injection_limit_w, message.withdrawal_limit_w
    return message.end, *limits, message.final, message.fallback
