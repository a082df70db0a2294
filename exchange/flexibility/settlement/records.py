"""What is known of a resource by day: metered power, days of activation, nominations.

Powers are integer watts, the mean of an interval, injection positive (§10).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from enum import StrEnum
from operator import index

_SATURDAY, _SUNDAY = 5, 6


class DayKind(StrEnum):
    """Which days are comparable."""

    WORKING = "working day"
    SATURDAY = "Saturday"
    SUNDAY = "Sunday or holiday"


@dataclass(frozen=True, slots=True)
class DeliveryDay:
    """A local day, cut into equal intervals.

    Parameters
    ----------
    day
        Its date.
    start
        When its first interval begins.
    interval_s
        Length of an interval, whole seconds.
    count
        Number of intervals: 96 quarter-hours, 92 or 100 where the clock changes.

    Raises
    ------
    ValueError
        When the start has no time zone, or a number is below 1.
    """

    day: date
    start: datetime
    interval_s: int
    count: int

    def __post_init__(self) -> None:
        if self.start.tzinfo is None:
            raise ValueError(f"{self.day}: its start {self.start} has no time zone")
        if self.interval_s < 1 or self.count < 1:
            raise ValueError(
                f"{self.day}: {self.count} intervals of {self.interval_s} s; both must be 1 or more"
            )

    def intervals_of(self, since: datetime, until: datetime) -> range:
        """Return the intervals that a time touches.

        Raises
        ------
        ValueError
            When the time is empty or not within the day.
        """
        whole = timedelta(seconds=self.interval_s)
        end = self.start + self.count * whole
        if not self.start <= since < until <= end:
            raise ValueError(f"{self.day}: {since} to {until} is not within {self.start} to {end}")
        return range((since - self.start) // whole, -((self.start - until) // whole))

    def intervals_before(self, moment: datetime) -> int:
        """Return how many intervals of the day have ended at a moment."""
        ended = (moment - self.start) // timedelta(seconds=self.interval_s)
        return min(max(ended, 0), self.count)


@dataclass(frozen=True, slots=True)
class Nomination:
    """A power that was announced for each interval of a day, and when it was received."""

    watts: Sequence[int]
    received: datetime


@dataclass(frozen=True, slots=True)
class ResourceRecords:
    """What is known of a resource.

    Parameters
    ----------
    resource
        Its id.
    metered_w
        By date, the mean power of each interval; of the day of activation as far as it is known.
    activated
        Dates on which it was activated, by any order.
    nominations
        By date, the last one that was received.
    """

    resource: str
    metered_w: Mapping[date, Sequence[int]]
    activated: frozenset[date] = frozenset()
    nominations: Mapping[date, Nomination] = field(default_factory=dict)


def day_kind(day: date, holidays: frozenset[date]) -> DayKind:
    """Return the kind of a day; a holiday counts as a Sunday."""
    if day in holidays or day.weekday() == _SUNDAY:
        return DayKind.SUNDAY
    return DayKind.SATURDAY if day.weekday() == _SATURDAY else DayKind.WORKING


def whole_watts(name: str, values: Sequence[int]) -> tuple[int, ...]:
    """Return watts as integers of Python, which do not overflow.

    Raises
    ------
    ValueError
        When one is not a whole number; the name and the place are in the message.
    """
    found = []
    for place, each in enumerate(values):
        try:
            found.append(index(each))
        except TypeError:
            raise ValueError(f"{name}: value {place} is {each!r}, not whole watts") from None
    return tuple(found)
