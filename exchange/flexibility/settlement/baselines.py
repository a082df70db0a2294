"""Baselines: what a resource would have done without activation.

Each method is a class with one function, ``of``.  A method that cannot give a baseline says why:
there is no usual value in its place.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from enum import StrEnum
from fractions import Fraction
from typing import Protocol

from exchange.flexibility.settlement.amounts import nearest
from exchange.flexibility.settlement.records import (
    DeliveryDay,
    ResourceRecords,
    day_kind,
    whole_watts,
)


class BaselineError(ValueError):
    """A resource has no baseline by a method; the message names both, and what is missing."""


@dataclass(frozen=True, slots=True)
class BaselineProfile:
    """A baseline, and how it came about.

    Parameters
    ----------
    watts
        Mean power of each interval of the window, whole watts, injection positive.
    days
        The days it was computed from, latest first; none where it was nominated.
    added_w
        What a same-day adjustment added to each interval; 0 without one.
    factor
        What a same-day adjustment multiplied each interval by; 1 without one.
    """

    watts: tuple[int, ...]
    days: tuple[date, ...] = ()
    added_w: Fraction = Fraction(0)
    factor: Fraction = Fraction(1)


class Baseline(Protocol):
    """A method."""

    def of(
        self, records: ResourceRecords, day: DeliveryDay, window: range, notice: datetime
    ) -> BaselineProfile:
        """Return the baseline of a window.

        Parameters
        ----------
        records
            What is known of the resource.
        day
            The day of the activation.
        window
            The intervals of the day for which it is needed, in steps of 1.
        notice
            When the activation was announced; what is metered afterwards is not used.

        Raises
        ------
        BaselineError
            When the method cannot give one.
        """


class DayChoice(StrEnum):
    """Which of the comparable days count."""

    LAST = "last"
    """The latest."""
    MIDDLE = "middle"
    """Those in the middle by energy in the window; as many are left out above as below."""
    HIGHEST = "highest"
    """Those with the most energy in the window, injected or withdrawn."""


class AdjustmentKind(StrEnum):
    """How a baseline follows the day itself."""

    ADDITIVE = "additive"
    """The mean difference in the hours before is added."""
    RATIO = "ratio"
    """The ratio of energies in the hours before multiplies."""


@dataclass(frozen=True, slots=True)
class SameDayAdjustment:
    """How metered power before the notice moves the baseline.

    Parameters
    ----------
    kind
        Additive, or by ratio.
    count, gap
        The ``count`` intervals are used that end ``gap`` whole intervals before the notice.
    cap
        Either way: additive, whole watts; by ratio, the part by which the factor may differ from 1.
        A factor is never below 0.

    Raises
    ------
    ValueError
        When a number is out of its range.
    """

    kind: AdjustmentKind
    count: int
    cap: Fraction
    gap: int = 0

    def __post_init__(self) -> None:
        if self.count < 1 or self.gap < 0 or self.cap < 0:
            raise ValueError(
                f"a same-day adjustment from {self.count} intervals with a gap of {self.gap} and a "
                f"cap of {self.cap}: at least 1 interval is needed, and no number below 0"
            )


@dataclass(frozen=True, slots=True)
class MeanOfComparableDays:
    """The mean, interval by interval, of days that are like the day of the activation.

    A day is comparable when it is before that day by ``look_back`` days at most, is of the same
    kind (working day, Saturday, Sunday or holiday), has as many intervals, all of them metered, and
    no activation.  Of the last ``among`` comparable days, ``days`` are chosen.  The mean is exact;
    after the adjustment it is rounded to the nearest watt, halves up.

    Raises
    ------
    ValueError
        When the numbers do not fit together: ``days`` of ``among``, equal for ``LAST``, with an
        even difference for ``MIDDLE``.
    """

    days: int
    among: int
    choice: DayChoice = DayChoice.LAST
    adjustment: SameDayAdjustment | None = None
    holidays: frozenset[date] = frozenset()
    look_back: int = 60

    def __post_init__(self) -> None:
        fits = 1 <= self.days <= self.among <= self.look_back
        if self.choice is DayChoice.LAST:
            fits = fits and self.days == self.among
        if self.choice is DayChoice.MIDDLE:
            fits = fits and (self.among - self.days) % 2 == 0
        if not fits:
            raise ValueError(
                f"a baseline of the {self.choice} {self.days} of {self.among} days, at most "
                f"{self.look_back} days back, does not exist"
            )

    def of(
        self, records: ResourceRecords, day: DeliveryDay, window: range, notice: datetime
    ) -> BaselineProfile:
        """See :class:`Baseline`."""
        _check_window(records, day, window)
        chosen = self._chosen(records, day, window)
        profiles = [whole_watts(f"{records.resource}, {d}", records.metered_w[d]) for d in chosen]
        mean = [Fraction(sum(column), len(chosen)) for column in zip(*profiles, strict=True)]
        added, factor = self._adjustment(records, day, mean, notice)
        watts = tuple(nearest(mean[k] * factor + added) for k in window)
        return BaselineProfile(watts, tuple(chosen), added, factor)

    def comparable(self, records: ResourceRecords, day: DeliveryDay) -> list[date]:
        """Return all comparable days, latest first."""
        kind = day_kind(day.day, self.holidays)
        earlier = (day.day - timedelta(days=back) for back in range(1, self.look_back + 1))
        return [
            each
            for each in earlier
            if day_kind(each, self.holidays) is kind
            and each not in records.activated
            and len(records.metered_w.get(each, ())) == day.count
        ]

    def _chosen(self, records: ResourceRecords, day: DeliveryDay, window: range) -> list[date]:
        found = self.comparable(records, day)
        if len(found) < self.among:
            kind = day_kind(day.day, self.holidays)
            raise BaselineError(
                f"{records.resource}, {day.day} ({kind}): {len(found)} comparable days found in "
                f"the {self.look_back} days before, {self.among} needed"
            )
        last = found[: self.among]
        if self.choice is DayChoice.LAST:
            return last

        def energy(each: date) -> int:
            return sum(int(records.metered_w[each][k]) for k in window)

        if self.choice is DayChoice.HIGHEST:
            ranked = sorted(last, key=lambda each: (-abs(energy(each)), -each.toordinal()))
            kept = ranked[: self.days]
        else:
            left_out = (self.among - self.days) // 2
            ranked = sorted(last, key=lambda each: (energy(each), each.toordinal()))
            kept = ranked[left_out : left_out + self.days]
        return sorted(kept, reverse=True)

    def _adjustment(
        self, records: ResourceRecords, day: DeliveryDay, mean: Sequence[Fraction], notice: datetime
    ) -> tuple[Fraction, Fraction]:
        """Return what is added to the mean, and what it is multiplied by."""
        rule = self.adjustment
        if rule is None:
            return Fraction(0), Fraction(1)
        who = f"{records.resource}, {day.day}"
        until = day.intervals_before(notice) - rule.gap
        since = until - rule.count
        metered = whole_watts(who, records.metered_w.get(day.day, ()))
        if since < 0:
            raise BaselineError(
                f"{who}: the same-day adjustment needs {rule.count + rule.gap} intervals before "
                f"the notice, the day has {until + rule.gap}"
            )
        if len(metered) < until:
            raise BaselineError(
                f"{who}: the same-day adjustment needs intervals {since} to {until - 1}, metered "
                f"are {len(metered)}"
            )
        own, usual = sum(metered[since:until]), sum(mean[since:until], Fraction(0))
        if rule.kind is AdjustmentKind.ADDITIVE:
            difference = (own - usual) / rule.count
            return min(max(difference, -rule.cap), rule.cap), Fraction(1)
        if usual == 0:
            raise BaselineError(
                f"{who}: the comparable days have no energy in intervals {since} to {until - 1}, "
                "so there is no ratio to adjust by"
            )
        lowest, highest = max(Fraction(0), 1 - rule.cap), 1 + rule.cap
        return Fraction(0), min(max(own / usual, lowest), highest)


@dataclass(frozen=True, slots=True)
class AsNominated:
    """What was announced, if it was announced before the gate.

    ``gate`` is how long before the start of the day it must have been received.
    """

    gate: timedelta

    def of(
        self, records: ResourceRecords, day: DeliveryDay, window: range, notice: datetime
    ) -> BaselineProfile:
        """See :class:`Baseline`."""
        _check_window(records, day, window)
        who = f"{records.resource}, {day.day}"
        nomination = records.nominations.get(day.day)
        if nomination is None:
            raise BaselineError(f"{who}: there is no nomination")
        gate = day.start - self.gate
        if nomination.received > gate:
            raise BaselineError(
                f"{who}: its nomination was received at {nomination.received.isoformat()}, after "
                f"the gate at {gate.isoformat()}"
            )
        if len(nomination.watts) != day.count:
            raise BaselineError(
                f"{who}: its nomination has {len(nomination.watts)} intervals, the day {day.count}"
            )
        watts = whole_watts(f"nomination of {who}", nomination.watts)
        return BaselineProfile(tuple(watts[k] for k in window))


def _check_window(records: ResourceRecords, day: DeliveryDay, window: range) -> None:
    if not window or window.step != 1 or window.start < 0 or window.stop > day.count:
        raise BaselineError(
            f"{records.resource}, {day.day}: {window} is no window of {day.count} intervals"
        )
