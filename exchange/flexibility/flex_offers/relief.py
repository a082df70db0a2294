"""Time-shiftable offers called so that branches are relieved, at least cost.

An offer that is not called does what was planned.  So there is always a choice, and it loads no
branch more than the plans do.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from exchange.flexibility.flex_offers.flex_offer import (
    FlexOffer,
    FlexSchedule,
    check_schedule,
    schedule_cost,
)
from exchange.flexibility.flex_offers.program import (
    PLANNED,
    Located,
    OfferProgram,
    PowerBand,
)
from security_check.arrays import IntArray

_HOUR_S = 3600
_MISSED_W = 1e-2  # by which a flow may miss its bounds in floating point


@dataclass(frozen=True, slots=True)
class CalledOffers:
    """Which offers are called, and what their schedules cost.

    Parameters
    ----------
    schedules
        Of each offer; ``None`` where it is not called.
    cost
        What owners are paid, tick-watts.
    proved
        Whether no cheaper choice exists; otherwise the search was ended at its last node.
    """

    schedules: tuple[FlexSchedule | None, ...]
    cost: Fraction
    proved: bool


def planned(offer: FlexOffer) -> FlexSchedule:
    """Return what an owner does by itself: begin at once, with the most power, for all energy."""
    left = offer.highest_total - offer.sum_least
    watts = []
    for each, width in zip(offer.slices, offer.widths_w, strict=True):
        more = min(width, left)
        left -= more
        watts.append(each.least_w + more)
    return FlexSchedule(offer.offer_id, offer.earliest, tuple(watts))


def powers(offer: FlexOffer, schedule: FlexSchedule, count: int) -> IntArray:
    """Return the power of a schedule in each of some intervals, watts, injection positive."""
    watts = np.zeros(count, dtype=np.int64)
    end = schedule.start + len(schedule.watts)
    watts[schedule.start : end] = offer.sign * np.array(schedule.watts, dtype=np.int64)
    return watts


def call_offers(
    offers: Sequence[FlexOffer], located: Located, band: PowerBand, nodes: int
) -> CalledOffers:
    """Return the cheapest choice: owners, what is beyond bounds of flows, and what is off a band.

    Prices of offers and bands are in ticks per kW for one interval.

    Parameters
    ----------
    offers
        With different ids; each ends within the intervals whenever it begins.
    located
        Their buses and plans, and what bounds flows.  All plans together are within the bounds.
    band
        Of the total power of all offers.
    nodes
        Bound on the search, in nodes.

    Raises
    ------
    ArithmeticError
        When the solver finds no choice, or one that breaks a bound.
    """
    if not offers:
        return CalledOffers((), Fraction(0), True)
    starts = [[PLANNED, *range(each.earliest, each.latest + 1)] for each in offers]
    # Prices are for one interval, so the program is told that it lasts an hour.
    choice = OfferProgram(offers, starts, band, _HOUR_S, located=located).choose(nodes, 0.0)
    found = None
    if choice is not None:
        fixed = [[each] for each in choice.starts]
        found = OfferProgram(offers, fixed, band, _HOUR_S, located=located).fill()
    if choice is None or found is None:  # starts that leave room for parts of a watt only
        found = OfferProgram(offers, starts, band, _HOUR_S, located=located).fill()
    if found is None:
        raise ArithmeticError(f"the plans of {len(offers)} offers break a bound themselves")
    called = tuple(None if each.start == PLANNED else each for each in found)
    for offer, each in zip(offers, called, strict=True):
        if each is not None:
            check_schedule(offer, each)
    _check_flows(offers, called, located)
    cost = sum(
        (
            schedule_cost(offer, each, _HOUR_S)
            for offer, each in zip(offers, called, strict=True)
            if each is not None
        ),
        Fraction(0),
    )
    return CalledOffers(called, cost, choice is not None and choice.proved)


def _check_flows(
    offers: Sequence[FlexOffer], called: Sequence[FlexSchedule | None], located: Located
) -> None:
    """Compute what was chosen does to each branch, which is checked and not believed."""
    watts = np.array(
        [
            plan if each is None else powers(offer, each, len(plan))
            for offer, each, plan in zip(offers, called, located.plans_w, strict=True)
        ]
    )
    for band in located.bands:
        added = band.factors[list(located.buses)] @ watts
        over = np.maximum(added - band.most_w - band.above_w, band.least_w - band.below_w - added)
        if (over > _MISSED_W).any():
            t = int(over.argmax())
            raise ArithmeticError(f"interval {t}: a bound of a flow is broken by {over[t]:.3f} W")
