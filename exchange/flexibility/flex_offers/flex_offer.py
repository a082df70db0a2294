"""An offer that may be shifted in time, and its schedules.

Times are numbers of intervals of one grid.  Powers are whole watts, the mean of an interval, as
magnitudes; the direction says which way.  Energies are sums of them, in watt-intervals: times the
length of an interval they are watt-seconds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

from security_check.model.envelope import Direction

_SECONDS_PER_HOUR = 3600
_WATTS_PER_KW = 1000


@dataclass(frozen=True, slots=True)
class EnergySlice:
    """The power of one interval of a profile: at least and at most, whole watts, >= 0."""

    least_w: int
    most_w: int


@dataclass(frozen=True, slots=True)
class FlexOffer:
    """A profile that may begin at one of several intervals.

    Parameters
    ----------
    offer_id
        Its id.
    direction
        Injection is production, withdrawal consumption.
    earliest, latest
        The first and the last interval in which it may begin.
    slices
        One for each interval from its start on.
    least_total, most_total
        Bounds of the sum of all slices, watt-intervals; ``None`` is without.
    energy_price_ticks
        What its owner is paid, ticks per kWh; below 0 the owner pays.
    shift_price_ticks
        What its owner is paid for each interval by which it begins after ``earliest``, ticks, >= 0.

    Raises
    ------
    ValueError
        When it has no schedule, or a number is out of its range; all faults in one message.
    """

    offer_id: str
    direction: Direction
    earliest: int
    latest: int
    slices: tuple[EnergySlice, ...]
    least_total: int | None = None
    most_total: int | None = None
    energy_price_ticks: int = 0
    shift_price_ticks: int = 0

    def __post_init__(self) -> None:
        faults = []
        if not 0 <= self.earliest <= self.latest:
            faults.append(
                f"it begins from interval {self.earliest} to {self.latest}; "
                "0 <= earliest <= latest is needed"
            )
        if not self.slices:
            faults.append("it has no slices")
        faults += [
            f"slice {k} is from {each.least_w} to {each.most_w} W; 0 <= least <= most is needed"
            for k, each in enumerate(self.slices)
            if not 0 <= each.least_w <= each.most_w
        ]
        if not faults and self.lowest_total > self.highest_total:
            faults.append(
                f"its total is from {self.least_total} to {self.most_total} watt-intervals, its "
                f"slices allow {self.sum_least} to {self.sum_most}"
            )
        if self.shift_price_ticks < 0:
            faults.append(f"its price of a shift is {self.shift_price_ticks}; it is not below 0")
        if faults:
            raise ValueError(f"{self.offer_id}: {'; '.join(faults)}")

    @property
    def time_flexibility(self) -> int:
        """By how many intervals it may be shifted."""
        return self.latest - self.earliest

    @property
    def widths_w(self) -> tuple[int, ...]:
        """Most less least of each slice."""
        return tuple(each.most_w - each.least_w for each in self.slices)

    @property
    def sum_least(self) -> int:
        """Sum of the least of all slices, watt-intervals."""
        return sum(each.least_w for each in self.slices)

    @property
    def sum_most(self) -> int:
        """Sum of the most of all slices, watt-intervals."""
        return sum(each.most_w for each in self.slices)

    @property
    def lowest_total(self) -> int:
        """The least energy of a schedule, watt-intervals."""
        return max(self.sum_least, self.sum_least if self.least_total is None else self.least_total)

    @property
    def highest_total(self) -> int:
        """The most energy of a schedule, watt-intervals."""
        return min(self.sum_most, self.sum_most if self.most_total is None else self.most_total)

    @property
    def is_bound(self) -> bool:
        """Whether a bound of the total excludes something that the slices allow."""
        return self.lowest_total > self.sum_least or self.highest_total < self.sum_most

    @property
    def sign(self) -> int:
        """1 for injection, -1 for withdrawal."""
        return 1 if self.direction is Direction.INJECTION else -1


@dataclass(frozen=True, slots=True)
class FlexSchedule:
    """When an offer begins, and the power of each of its slices, whole watts as magnitudes."""

    offer_id: str
    start: int
    watts: tuple[int, ...]


def check_schedule(offer: FlexOffer, schedule: FlexSchedule) -> None:
    """Check that an offer allows a schedule.

    Raises
    ------
    ValueError
        With the first bound that it breaks.
    """
    name = offer.offer_id
    if schedule.offer_id != name:
        raise ValueError(f"{name}: the schedule is one of {schedule.offer_id}")
    if not offer.earliest <= schedule.start <= offer.latest:
        raise ValueError(
            f"{name}: it would begin in interval {schedule.start}, allowed are {offer.earliest} to "
            f"{offer.latest}"
        )
    if len(schedule.watts) != len(offer.slices):
        raise ValueError(
            f"{name}: the schedule has {len(schedule.watts)} slices, the offer {len(offer.slices)}"
        )
    for k, (watts, each) in enumerate(zip(schedule.watts, offer.slices, strict=True)):
        if not each.least_w <= watts <= each.most_w:
            raise ValueError(
                f"{name}: slice {k} would have {watts} W, allowed are {each.least_w} to "
                f"{each.most_w} W"
            )
    total = sum(schedule.watts)
    if not offer.lowest_total <= total <= offer.highest_total:
        raise ValueError(
            f"{name}: its total would be {total} watt-intervals, allowed are {offer.lowest_total} "
            f"to {offer.highest_total}"
        )


def schedule_cost(offer: FlexOffer, schedule: FlexSchedule, interval_s: int) -> Fraction:
    """Return what the owner is paid for a schedule, exact tick-watts."""
    energy = Fraction(sum(schedule.watts) * interval_s, _SECONDS_PER_HOUR)
    shifted = schedule.start - offer.earliest
    return energy * offer.energy_price_ticks + _WATTS_PER_KW * shifted * offer.shift_price_ticks


def total_power(
    offers: Sequence[FlexOffer], schedules: Sequence[FlexSchedule], count: int
) -> tuple[int, ...]:
    """Return the power of all schedules in each of ``count`` intervals, injection positive.

    Raises
    ------
    ValueError
        When a schedule goes on after the last interval.
    """
    watts = [0] * count
    for offer, schedule in zip(offers, schedules, strict=True):
        if schedule.start + len(schedule.watts) > count:
            raise ValueError(
                f"{offer.offer_id}: it ends with interval {schedule.start + len(schedule.watts)} "
                f"of {count}"
            )
        for k, each in enumerate(schedule.watts):
            watts[schedule.start + k] += offer.sign * each
    return tuple(watts)
