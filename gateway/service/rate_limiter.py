"""Limit the rate of each participant's messages with a token bucket."""

from __future__ import annotations

from collections.abc import Callable


class RateLimiter:
    """Token buckets by participant.

    Parameters
    ----------
    per_second
        Tokens added to each bucket, per second.
    burst
        Tokens that a bucket holds at most.
    clock
        Seconds that never run backwards.

    Attributes
    ----------
    per_second, burst
        As above.
    """

    def __init__(self, per_second: float, burst: int, clock: Callable[[], float]) -> None:
        self.per_second = per_second
        self.burst = burst
        self._clock = clock
        self._buckets: dict[str, tuple[float, float]] = {}

    def allows(self, participant: str) -> bool:
        """Take a token; return whether there was one.  O(1)."""
        now = self._clock()
        tokens, filled_at = self._buckets.get(participant, (float(self.burst), now))
        tokens = min(float(self.burst), tokens + (now - filled_at) * self.per_second)
        allowed = tokens >= 1.0
        self._buckets[participant] = (tokens - allowed, now)
        return allowed

    def charge(self, participant: str, tokens: int) -> None:
        """Take tokens for work that was done; what is missing must be filled first.  O(1).

        At most as many are missing as a bucket holds.
        """
        now = self._clock()
        left, filled_at = self._buckets.get(participant, (float(self.burst), now))
        left = min(float(self.burst), left + (now - filled_at) * self.per_second) - tokens
        self._buckets[participant] = (max(left, -float(self.burst)), now)
