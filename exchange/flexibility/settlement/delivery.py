"""What was delivered: metered power against the baseline, in the ordered direction.

Of each interval, with ``s = 1`` up and ``-1`` down, in exact watt-seconds:

- change ``c = s (metered - baseline) x length``
- delivered ``d = min(max(c, 0), o)`` of what was ordered, ``o``: never more than ordered
- over-delivered ``max(c - o, 0)``, reported and not paid
- deficient ``o - d``
- forbidden: the part of ``o`` above what the envelope left. Upward the limit of injection less the
  baseline, downward the limit of withdrawal plus the baseline; the profile is cut at that power.
- excused ``min(deficient, forbidden)``: it is not paid, and costs no penalty
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from fractions import Fraction

from doe_allocation.procurement.choices import FlexDirection
from exchange.flexibility.settlement.activation import OrderedProfile
from exchange.flexibility.settlement.records import whole_watts


@dataclass(frozen=True, slots=True)
class EnvelopeLimits:
    """The limits of a resource's envelope in each interval, watts, magnitudes >= 0."""

    injection_w: Sequence[int]
    withdrawal_w: Sequence[int]


@dataclass(frozen=True, slots=True)
class Delivery:
    """What came of an activation, by interval; exact watt-seconds in the ordered direction.

    Parameters
    ----------
    activation_id, resource
        Ids.
    first, interval_s
        Start of the first interval, and length of each in seconds.
    ordered_ws, change_ws, delivered_ws, over_ws, deficient_ws, excused_ws
        See the module; ``change_ws`` is negative where the resource went the other way.
    """

    activation_id: str
    resource: str
    first: datetime
    interval_s: int
    ordered_ws: tuple[Fraction, ...]
    change_ws: tuple[Fraction, ...]
    delivered_ws: tuple[Fraction, ...]
    over_ws: tuple[Fraction, ...]
    deficient_ws: tuple[Fraction, ...]
    excused_ws: tuple[Fraction, ...]

    @property
    def ordered(self) -> Fraction:
        """All energy ordered, watt-seconds, above 0."""
        return sum(self.ordered_ws, Fraction(0))

    @property
    def delivered(self) -> Fraction:
        """All energy delivered, watt-seconds, at most what was ordered."""
        return sum(self.delivered_ws, Fraction(0))

    @property
    def deficient(self) -> Fraction:
        """All energy ordered and not delivered, watt-seconds."""
        return sum(self.deficient_ws, Fraction(0))

    @property
    def excused(self) -> Fraction:
        """The part of the deficiency that the envelope forbade, watt-seconds."""
        return sum(self.excused_ws, Fraction(0))

    @property
    def delivered_share(self) -> Fraction:
        """What was delivered or excused, of what was ordered; 1 is all of it."""
        return (self.delivered + self.excused) / self.ordered

    @property
    def accuracy(self) -> Fraction:
        """One less the sum of all ``|change - ordered|`` over what was ordered; at least 0."""
        missed = sum(
            (abs(c - o) for c, o in zip(self.change_ws, self.ordered_ws, strict=True)), Fraction(0)
        )
        return max(Fraction(0), 1 - missed / self.ordered)

    def penalised_ws(self, tolerance: Fraction) -> Fraction:
        """Return the deficiency that is neither excused nor within a tolerance.

        The tolerance is a part of what was ordered in each interval.
        """
        parts = zip(self.deficient_ws, self.excused_ws, self.ordered_ws, strict=True)
        return sum(
            (max(Fraction(0), short - forgiven - tolerance * o) for short, forgiven, o in parts),
            Fraction(0),
        )


def measured(
    profile: OrderedProfile,
    first: datetime,
    interval_s: int,
    baseline_w: Sequence[int],
    metered_w: Sequence[int],
    envelope: EnvelopeLimits | None = None,
) -> Delivery:
    """Return what was delivered of an ordered profile.

    Parameters
    ----------
    profile
        What was ordered.
    first, interval_s
        Start of the first interval, and length of each in whole seconds.
    baseline_w, metered_w
        Mean power of each interval, whole watts, injection positive.
    envelope
        The limits in force; ``None`` where no envelope bound the resource.

    Raises
    ------
    ValueError
        When the intervals do not cover the profile, or lists have different lengths.
    """
    who = f"{profile.activation_id} of {profile.resource}"
    baseline = whole_watts(f"{who}, baseline", baseline_w)
    metered = whole_watts(f"{who}, metered", metered_w)
    count, last = len(baseline), first + timedelta(seconds=interval_s * len(baseline))
    if len(metered) != count:
        raise ValueError(f"{who}: {len(metered)} intervals are metered, the baseline has {count}")
    if interval_s < 1 or not first <= profile.start < profile.end <= last:
        raise ValueError(
            f"{who}: it runs from {profile.start.isoformat()} to {profile.end.isoformat()}, its "
            f"{count} intervals of {interval_s} s from {first.isoformat()} to {last.isoformat()}"
        )
    sign = 1 if profile.direction is FlexDirection.UPWARD else -1
    ordered = profile.energies_ws(first, interval_s, count)
    change = tuple(
        Fraction(sign * (m - b) * interval_s) for m, b in zip(metered, baseline, strict=True)
    )
    delivered = tuple(min(max(c, Fraction(0)), o) for c, o in zip(change, ordered, strict=True))
    deficient = tuple(o - d for o, d in zip(ordered, delivered, strict=True))
    forbidden = _forbidden(profile, first, interval_s, baseline, ordered, envelope)
    return Delivery(
        profile.activation_id,
        profile.resource,
        first,
        interval_s,
        ordered,
        change,
        delivered,
        tuple(max(c - o, Fraction(0)) for c, o in zip(change, ordered, strict=True)),
        deficient,
        tuple(min(pair) for pair in zip(deficient, forbidden, strict=True)),
    )


def _forbidden(
    profile: OrderedProfile,
    first: datetime,
    interval_s: int,
    baseline: tuple[int, ...],
    ordered: tuple[Fraction, ...],
    envelope: EnvelopeLimits | None,
) -> list[Fraction]:
    """Return the ordered energy of each interval above what the envelope left, watt-seconds."""
    if envelope is None:
        return [Fraction(0)] * len(baseline)
    who = f"{profile.activation_id} of {profile.resource}"
    upward = profile.direction is FlexDirection.UPWARD
    limits = envelope.injection_w if upward else envelope.withdrawal_w
    limit_w = whole_watts(f"{who}, envelope", limits)
    if len(limit_w) != len(baseline):
        raise ValueError(
            f"{who}: its envelope has {len(limit_w)} intervals, the baseline {len(baseline)}"
        )
    if min(limit_w) < 0:
        raise ValueError(f"{who}: its envelope has a limit of {min(limit_w)} W; limits are >= 0")
    found = []
    for k, (limit, usual) in enumerate(zip(limit_w, baseline, strict=True)):
        room_w = limit - usual if upward else limit + usual
        begin = first + timedelta(seconds=k * interval_s)
        (possible,) = profile.capped(room_w).energies_ws(begin, interval_s, 1)
        found.append(ordered[k] - possible)
    return found
