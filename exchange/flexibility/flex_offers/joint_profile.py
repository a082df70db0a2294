"""The profile that stands for the profiles of several offers.

Member i has in slice k of the aggregate the least power ``l_ik`` and the width ``d_ik`` (0 where it
has no slice).  Above the sum of its least its total is from ``a_i`` to ``b_i``.

Where no total is bound, the slices of the aggregate are the sums of the members' slices, and
nothing of their energy is lost.

Otherwise let K be the slices in which every member that has a choice has a width.  Outside K a
member stays at ``c_ik``, its even part of the most that it may have: ``ceil(b_i / d_i x its width
outside K)``, divided in proportion to widths, where ``d_i`` is its whole width.  What is left of
``a_i`` and ``b_i``, ``a'_i`` and ``b'_i``, is within K.  With weights ``w_i = b'_i / sum(b')`` the
aggregate has above the sum of all ``l + c`` the powers Y with

    ``0 <= Y_k <= D_k = floor(min_i d_ik / w_i)`` in K,
    ``ceil(max_i a'_i / w_i) <= sum(Y) <= sum(b')``.

Then ``l_i + c_i + w_i Y`` keeps every bound of member i, and these add up to the schedule of the
aggregate.  The matrix of what members get in each slice has whole sums, bounds and totals, so there
is a division in whole watts as well (:mod:`exchange.flexibility.flex_offers.division`).  Among
profiles of constant width there is such a Y, but for the rounding of ``D_k``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import ceil

from exchange.flexibility.flex_offers.flex_offer import FlexOffer
from exchange.flexibility.largest_remainder import shared


class AggregationError(ValueError):
    """Offers that no aggregate stands for; the message says why."""


@dataclass(frozen=True, slots=True)
class JointProfile:
    """A profile for some members, in slices of the aggregate.

    Parameters
    ----------
    fixed
        Of each member and slice, the power that it has in every schedule, whole watts.
    widths
        Of each member and slice, what it may have above that.
    room
        Of each slice, what the aggregate may have above the sum of all fixed powers.
    weights
        The part of each member in that; empty where no total is bound.
    totals
        Bounds of the aggregate's total, watt-intervals; ``None`` where no total is bound.
    """

    fixed: tuple[tuple[int, ...], ...]
    widths: tuple[tuple[int, ...], ...]
    room: tuple[int, ...]
    weights: tuple[Fraction, ...] = ()
    totals: tuple[int, int] | None = None

    @property
    def least(self) -> tuple[int, ...]:
        """The least power of the aggregate in each slice, whole watts."""
        return tuple(sum(column) for column in zip(*self.fixed, strict=True))


def joint_profile(name: str, members: Sequence[FlexOffer]) -> JointProfile:
    """Return the profile of members that begin as many intervals after their earliest start.

    Raises
    ------
    AggregationError
        When totals are bound, and profiles so different that the aggregate would have no schedule
        or no choice.
    """
    first = min(each.earliest for each in members)
    length = max(each.earliest - first + len(each.slices) for each in members)
    least = [_placed([s.least_w for s in m.slices], m.earliest - first, length) for m in members]
    widths = [_placed(m.widths_w, m.earliest - first, length) for m in members]
    if not any(each.is_bound for each in members):
        room = tuple(sum(column) for column in zip(*widths, strict=True))
        return JointProfile(tuple(map(tuple, least)), tuple(map(tuple, widths)), room)
    return _bound(name, members, least, widths)


def _bound(
    name: str,
    members: Sequence[FlexOffer],
    least: Sequence[Sequence[int]],
    widths: Sequence[Sequence[int]],
) -> JointProfile:
    most = [each.highest_total - each.sum_least for each in members]
    needs = [each.lowest_total - each.sum_least for each in members]
    common = [
        all(own[k] for own, b in zip(widths, most, strict=True) if b) for k in range(len(widths[0]))
    ]
    if any(most) and not any(common):
        raise AggregationError(f"{name}: there is no slice in which all its members have a choice")
    outside = [_even_part(own, b, common) for own, b in zip(widths, most, strict=True)]
    fixed = tuple(
        tuple(low + c for low, c in zip(lows, cs, strict=True))
        for lows, cs in zip(least, outside, strict=True)
    )
    most = [b - sum(c) for b, c in zip(most, outside, strict=True)]
    needs = [max(a - sum(c), 0) for a, c in zip(needs, outside, strict=True)]
    whole = sum(most)
    weights = tuple(Fraction(b, whole) if whole else Fraction(0) for b in most)
    free = [w for w in weights if w]
    room = tuple(
        int(min((own[k] / w for own, w in zip(widths, weights, strict=True) if w), default=0))
        if common[k] and free
        else 0
        for k in range(len(common))
    )
    lowest = ceil(max((a / w for a, w in zip(needs, weights, strict=True) if w), default=0))
    if lowest > sum(room):
        raise AggregationError(
            f"{name}: its members need {lowest} watt-intervals above their least, and their "
            f"profiles have {sum(room)} in common"
        )
    base = sum(map(sum, fixed))
    return JointProfile(
        fixed,
        tuple(tuple(map(int, own)) for own in widths),
        room,
        weights,
        (base + lowest, base + whole),
    )


def _even_part(widths: Sequence[int], most: int, common: Sequence[bool]) -> list[int]:
    """Return what a member has above its least in slices that are not common to all."""
    part = [0] * len(widths)
    apart = {str(k): w for k, w in enumerate(widths) if w and not common[k]}
    if apart and most:
        amount = ceil(Fraction(most * sum(apart.values()), sum(widths)))
        for k, share in shared(amount, apart).items():
            part[int(k)] = share
    return part


def _placed(values: Sequence[int], offset: int, length: int) -> list[int]:
    """Return values from an offset on, and 0 elsewhere."""
    return [0] * offset + list(values) + [0] * (length - offset - len(values))
