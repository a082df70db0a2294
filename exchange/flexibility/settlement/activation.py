"""The ordered profile: from the notice over the ramp and the hold back to the baseline.

Power rises in a straight line from 0, stays, and falls in a straight line.  The energy of each
interval is an exact fraction of watt-seconds: a ramp that an interval cuts has a square in it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from fractions import Fraction

from doe_allocation.procurement.choices import FlexDirection


@dataclass(frozen=True, slots=True)
class ActivationTerms:
    """How a product is activated, in whole seconds.

    Parameters
    ----------
    notice_s
        Least time from the notice to the start of the ramp.
    ramp_s, ramp_back_s
        From the start of the ramp to full power, and from full power back to the baseline.
    shortest_s, longest_s
        Range of the time at full power, above 0.
    rest_s
        Least time from the end of one activation to the start of the next ramp.

    Raises
    ------
    ValueError
        When a time is below 0, or the range is empty.
    """

    notice_s: int
    ramp_s: int
    ramp_back_s: int
    shortest_s: int
    longest_s: int
    rest_s: int = 0

    def __post_init__(self) -> None:
        times = (self.notice_s, self.ramp_s, self.ramp_back_s, self.rest_s)
        if min(times) < 0 or not 1 <= self.shortest_s <= self.longest_s:
            raise ValueError(
                f"{self}: no time may be below 0, and at full power 1 <= shortest <= longest is "
                "needed"
            )

    @property
    def full_activation_s(self) -> int:
        """The time from the notice to full power, at its shortest."""
        return self.notice_s + self.ramp_s


@dataclass(frozen=True, slots=True)
class ActivationOrder:
    """An order to a resource.

    Parameters
    ----------
    activation_id, resource
        Ids.
    direction
        Up: more injection or less withdrawal; down: the opposite.
    power_w
        Full power, above 0.
    notice
        When it is given.
    start
        When the ramp begins.
    hold_s
        Time at full power, whole seconds.
    """

    activation_id: str
    resource: str
    direction: FlexDirection
    power_w: int
    notice: datetime
    start: datetime
    hold_s: int


class RefusedActivation(StrEnum):
    """Why an order is not carried out."""

    NO_POWER = "no_power"
    LATE_NOTICE = "late_notice"
    DURATION = "duration"
    NO_REST = "no_rest"


@dataclass(frozen=True, slots=True)
class ActivationRefusal:
    """An order that is not carried out: why, and a sentence with the numbers."""

    reason: RefusedActivation
    sentence: str


@dataclass(frozen=True, slots=True)
class OrderedProfile:
    """What a resource is to do, as a change from its baseline in a direction.

    Parameters
    ----------
    activation_id, resource, direction
        As ordered.
    power_w
        Full power; a fraction where :meth:`capped` cut it.
    start
        When the ramp begins.
    ramp_s, hold_s, ramp_back_s
        Lengths of its three parts, seconds.
    """

    activation_id: str
    resource: str
    direction: FlexDirection
    power_w: Fraction
    start: datetime
    ramp_s: Fraction
    hold_s: Fraction
    ramp_back_s: Fraction

    @property
    def length_s(self) -> Fraction:
        """From the start of the ramp to the end of the ramp back."""
        return self.ramp_s + self.hold_s + self.ramp_back_s

    @property
    def end(self) -> datetime:
        """When the resource is back at its baseline."""
        return self.start + timedelta(seconds=int(self.length_s))

    @property
    def energy_ws(self) -> Fraction:
        """All its energy, watt-seconds: full power over the hold and half of both ramps."""
        return self.power_w * (self.hold_s + (self.ramp_s + self.ramp_back_s) / 2)

    def energies_ws(self, first: datetime, interval_s: int, count: int) -> tuple[Fraction, ...]:
        """Return the energy in each of ``count`` intervals from ``first`` on, watt-seconds."""
        begin = _seconds(first - self.start)
        until = [self._until_ws(begin + k * interval_s) for k in range(count + 1)]
        return tuple(until[k + 1] - until[k] for k in range(count))

    def capped(self, power_w: int) -> OrderedProfile:
        """Return the lower of the profile and a constant power, which is a profile again."""
        if power_w >= self.power_w:
            return self
        part = Fraction(max(power_w, 0)) / self.power_w
        ramp_s, ramp_back_s = part * self.ramp_s, part * self.ramp_back_s
        return replace(
            self,
            power_w=part * self.power_w,
            ramp_s=ramp_s,
            hold_s=self.length_s - ramp_s - ramp_back_s,
            ramp_back_s=ramp_back_s,
        )

    def _until_ws(self, moment: Fraction) -> Fraction:
        """Return the energy from the start to a moment in seconds after it."""
        moment = min(max(moment, Fraction(0)), self.length_s)
        rising = min(moment, self.ramp_s)
        held = min(max(moment - self.ramp_s, Fraction(0)), self.hold_s)
        left = min(self.length_s - moment, self.ramp_back_s)
        energy = self.power_w * held
        if self.ramp_s:
            energy += self.power_w * rising**2 / (2 * self.ramp_s)
        if self.ramp_back_s:
            energy += self.power_w * (self.ramp_back_s - left**2 / self.ramp_back_s) / 2
        return energy


def order_activation(
    terms: ActivationTerms, order: ActivationOrder, earlier: Iterable[OrderedProfile] = ()
) -> OrderedProfile | ActivationRefusal:
    """Return what an order asks of a resource, or why it is refused.

    ``earlier`` are the other activations of the resource; they may also be later in time.
    """
    who = f"{order.activation_id} of {order.resource}"
    if order.power_w <= 0:
        return ActivationRefusal(
            RefusedActivation.NO_POWER, f"{who}: {order.power_w} W are ordered; more is needed"
        )
    given_s = _seconds(order.start - order.notice)
    if given_s < terms.notice_s:
        return ActivationRefusal(
            RefusedActivation.LATE_NOTICE,
            f"{who}: notice is given {float(given_s):g} s before the ramp begins; the product "
            f"needs {terms.notice_s} s",
        )
    if not terms.shortest_s <= order.hold_s <= terms.longest_s:
        return ActivationRefusal(
            RefusedActivation.DURATION,
            f"{who}: it holds for {order.hold_s} s; the product allows {terms.shortest_s} to "
            f"{terms.longest_s} s",
        )
    profile = OrderedProfile(
        order.activation_id,
        order.resource,
        order.direction,
        Fraction(order.power_w),
        order.start,
        Fraction(terms.ramp_s),
        Fraction(order.hold_s),
        Fraction(terms.ramp_back_s),
    )
    rest = timedelta(seconds=terms.rest_s)
    for other in earlier:
        if other.resource != order.resource:
            continue
        if profile.start < other.end + rest and other.start < profile.end + rest:
            return ActivationRefusal(
                RefusedActivation.NO_REST,
                f"{who}: it runs from {profile.start.isoformat()} to {profile.end.isoformat()}, "
                f"and {other.activation_id} from {other.start.isoformat()} to "
                f"{other.end.isoformat()}; {terms.rest_s} s of rest are needed in between",
            )
    return profile


def _seconds(time: timedelta) -> Fraction:
    return Fraction(time // timedelta(microseconds=1), 1_000_000)
