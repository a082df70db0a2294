"""The time of day, guarded against clocks that jump.

Gates close for good, so a wall clock that is two hours ahead for some seconds would close two hours
of trading.  The guard compares the wall clock with the time that has elapsed.  After a jump it goes
on at the pace of elapsed time; only when the wall clock has kept its new time for a while does the
exchange follow it.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

_LOG = logging.getLogger(__name__)
_JUMP_S = 1.0
"""Difference between wall clock and elapsed time that is a jump: synchronised clocks stay below."""
_DRIFT_OVER_S = 60.0  # a wall clock may drift by less than a jump in each such time
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def _elapsed_s() -> float:
    """Return seconds, with those that the machine slept where the system counts them."""
    boot = getattr(time, "CLOCK_BOOTTIME", None)
    return time.monotonic() if boot is None else time.clock_gettime(boot)


class PlausibleClock:
    """Returns the time of day; a jump of the wall clock takes effect once it has lasted.

    Parameters
    ----------
    settle_s
        Seconds for which the wall clock must keep its new time.
    wall_s
        Returns the wall clock, in seconds since 1970.
    elapsed_s
        Returns seconds that never jump.
    """

    def __init__(
        self,
        settle_s: float = 60.0,
        wall_s: Callable[[], float] = time.time,
        elapsed_s: Callable[[], float] = _elapsed_s,
    ) -> None:
        self._settle_s = settle_s
        self._wall_s = wall_s
        self._elapsed_s = elapsed_s
        elapsed = elapsed_s()
        # The difference of the two clocks: the one in force and when it was taken, and that of a
        # jump with the moment of the jump.
        self._difference, self._taken_at = wall_s() - elapsed, elapsed
        self._jumped: tuple[float, float] | None = None

    def __call__(self) -> datetime:
        """Return the time; it goes back only where the exchange follows a jump."""
        elapsed = self._elapsed_s()
        difference = self._wall_s() - elapsed
        if abs(difference - self._difference) <= _JUMP_S:
            if self._jumped is not None:
                self._jumped = None
                _LOG.warning("the wall clock is back at its old time")
            if elapsed - self._taken_at >= _DRIFT_OVER_S:
                self._difference, self._taken_at = difference, elapsed
            return _time_of(elapsed + difference)
        if self._jumped is None or abs(difference - self._jumped[0]) > _JUMP_S:
            self._jumped = (difference, elapsed)
            _LOG.critical(
                "the wall clock has jumped by %.1f s to %s: the exchange goes on at %s, and follows"
                " when that has lasted for %g s",
                difference - self._difference,
                _time_of(elapsed + difference).isoformat(timespec="seconds"),
                _time_of(elapsed + self._difference).isoformat(timespec="seconds"),
                self._settle_s,
            )
        if elapsed - self._jumped[1] >= self._settle_s:
            _LOG.critical("the exchange follows the wall clock to its new time")
            self._difference, self._taken_at, self._jumped = difference, elapsed, None
        return _time_of(elapsed + self._difference)


def _time_of(seconds: float) -> datetime:
    return _EPOCH + timedelta(seconds=seconds)
