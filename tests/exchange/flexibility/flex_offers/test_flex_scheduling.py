"""Schedules against brute force over all starts and powers, and by way of aggregates."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from itertools import product

import pytest
from drawn_flex_offers import all_watts, flex_offers, numbered
from hypothesis import given, settings
from hypothesis import strategies as st
from sampling import examples

from exchange.flexibility.flex_offers.aggregation import GroupingTolerance
from exchange.flexibility.flex_offers.flex_offer import (
    EnergySlice,
    FlexOffer,
    FlexSchedule,
    check_schedule,
    schedule_cost,
    total_power,
)
from exchange.flexibility.flex_offers.scheduling import (
    NoSchedule,
    OfferSchedules,
    PowerLimits,
    PowerTarget,
    schedule,
    schedule_in_groups,
)
from security_check.model.envelope import Direction

QUARTER = 900
HORIZON = 9


@st.composite
def mixed_offers(draw: st.DrawFn) -> list[FlexOffer]:
    """Draw up to three small offers of both directions and several prices."""
    offers = draw(st.lists(flex_offers(largest=2, slices=3), min_size=1, max_size=3))
    return [
        replace(
            each,
            direction=draw(st.sampled_from(Direction)),
            energy_price_ticks=draw(st.integers(-3_000, 3_000)),
            latest=min(each.latest, each.earliest + 2),
        )
        for each in numbered(offers)
    ]


def every_choice(offers: list[FlexOffer]) -> list[tuple[FlexSchedule, ...]]:
    """All combinations of schedules of all offers."""
    own = [
        [
            FlexSchedule(each.offer_id, start, watts)
            for start in range(each.earliest, each.latest + 1)
            for watts in all_watts(each)
        ]
        for each in offers
    ]
    return list(product(*own))


def cost_of(offers: list[FlexOffer], choice: tuple[FlexSchedule, ...]) -> Fraction:
    return sum(
        (schedule_cost(o, s, QUARTER) for o, s in zip(offers, choice, strict=True)), Fraction(0)
    )


def check_found(offers: list[FlexOffer], found: OfferSchedules) -> None:
    for offer, each in zip(offers, found.schedules, strict=True):
        check_schedule(offer, each)
    assert found.watts == total_power(offers, found.schedules, HORIZON)
    assert found.cost == cost_of(offers, found.schedules)
    assert found.bound <= float(found.cost + found.deviation_cost) + 1e-3


LIMITS = st.lists(
    st.tuples(st.integers(-4, 1), st.integers(-1, 4)).filter(lambda pair: pair[0] <= pair[1]),
    min_size=HORIZON,
    max_size=HORIZON,
)


def combinations(offers: list[FlexOffer]) -> int:
    count = 1
    for each in offers:
        count *= len(all_watts(each)) * (each.time_flexibility + 1)
    return count


@settings(max_examples=examples(60))
@given(mixed_offers(), LIMITS)
def test_limits_are_kept_at_least_cost(
    offers: list[FlexOffer], limits: list[tuple[int, int]]
) -> None:
    while combinations(offers) > 3_000:
        offers = offers[:-1]
    least, most = zip(*limits, strict=True)
    found = schedule(offers, PowerLimits(least, most), QUARTER)
    best: Fraction | None = None
    excess: int | None = None
    for choice in every_choice(offers):
        watts = total_power(offers, choice, HORIZON)
        beyond = sum(
            max(low - w, w - high, 0) for low, w, high in zip(least, watts, most, strict=True)
        )
        excess = beyond if excess is None else min(excess, beyond)
        if not beyond:
            cost = cost_of(offers, choice)
            best = cost if best is None else min(best, cost)
    if best is None:
        assert isinstance(found, NoSchedule)
        assert sum(found.excess_w) == excess
        return
    assert isinstance(found, OfferSchedules)
    check_found(offers, found)
    assert found.proved
    assert found.cost == best
    assert found.bound == pytest.approx(float(best), abs=1e-2)
    for low, w, high in zip(least, found.watts, most, strict=True):
        assert low <= w <= high


@settings(max_examples=examples(60))
@given(
    mixed_offers(),
    st.lists(st.integers(-4, 4), min_size=HORIZON, max_size=HORIZON),
    st.integers(1, 9_000),
)
def test_a_target_is_followed_at_least_cost(
    offers: list[FlexOffer], target: list[int], price: int
) -> None:
    while combinations(offers) > 3_000:
        offers = offers[:-1]
    found = schedule(offers, PowerTarget(target, price), QUARTER)
    assert isinstance(found, OfferSchedules)
    check_found(offers, found)

    def deviation(watts: tuple[int, ...]) -> Fraction:
        off = sum(abs(w - wanted) for w, wanted in zip(watts, target, strict=True))
        return Fraction(off * price, 4)

    assert found.deviation_cost == deviation(found.watts)
    best = min(
        cost_of(offers, choice) + deviation(total_power(offers, choice, HORIZON))
        for choice in every_choice(offers)
    )
    assert found.proved
    assert found.cost + found.deviation_cost == best


@settings(max_examples=examples(40))
@given(
    st.lists(flex_offers(largest=9_000), min_size=1, max_size=8).map(numbered),
    st.lists(st.integers(-20_000, 0), min_size=15, max_size=15),
    st.integers(0, 3),
)
def test_aggregates_are_feasible_and_never_better(
    offers: list[FlexOffer], target: list[int], tolerance: int
) -> None:
    wanted = PowerTarget(target, 2_000)
    alone = schedule(offers, wanted, QUARTER)
    grouped = schedule_in_groups(offers, wanted, QUARTER, GroupingTolerance(tolerance, tolerance))
    together = grouped.outcome
    assert isinstance(alone, OfferSchedules)
    assert isinstance(together, OfferSchedules)
    assert grouped.aggregates <= len(offers)
    for offer, each in zip(offers, together.schedules, strict=True):
        check_schedule(offer, each)
    assert together.watts == total_power(offers, together.schedules, len(target))
    both = [each.cost + each.deviation_cost for each in (alone, together)]
    if alone.proved:
        assert both[1] >= both[0] - Fraction(1, 100)


def charger(name: str, earliest: int, latest: int) -> FlexOffer:
    return FlexOffer(
        name, Direction.WITHDRAWAL, earliest, latest, (EnergySlice(0, 7_000),) * 2, 10_000, 10_000,
        0, 1,
    )  # fmt: skip


def test_chargers_by_hand() -> None:
    """Two cars need 10 kW-intervals each in two intervals; 6 kW are allowed in each of four."""
    cars = [charger("a", 0, 2), charger("b", 0, 2)]
    limits = PowerLimits([-6_000] * 4, [0] * 4)
    found = schedule(cars, limits, QUARTER)
    assert isinstance(found, OfferSchedules)
    starts = sorted(each.start for each in found.schedules)
    assert starts == [0, 2]  # in three intervals at most 18 of 20 would fit
    assert found.cost == 2 * 1_000  # one of them is shifted twice, at 1 tick
    assert all(-6_000 <= each <= 0 for each in found.watts)
    # With 4.9 kW, at most 19.6 of the 20 kW-intervals fit.
    tight = schedule(cars, PowerLimits([-4_900] * 4, [0] * 4), QUARTER)
    assert isinstance(tight, NoSchedule)
    assert sum(tight.excess_w) == 400
    assert "2 offers keep the limits: interval" in tight.sentence
    # Together they begin together: 20 in two intervals, 6 of them allowed in each.
    grouped = schedule_in_groups(cars, limits, QUARTER, GroupingTolerance())
    assert isinstance(grouped.outcome, NoSchedule)
    assert grouped.aggregates == 1
    assert sum(grouped.outcome.excess_w) == 8_000


def test_limits_hold_where_no_offer_reaches() -> None:
    car = charger("a", 0, 0)
    found = schedule([car], PowerLimits([-7_000, -7_000, 1], [0, 0, 5]), QUARTER)
    assert isinstance(found, NoSchedule)
    assert found.excess_w == (0, 0, 1)
    nothing = schedule([], PowerLimits([1], [2]), QUARTER)
    assert isinstance(nothing, NoSchedule)
    empty = schedule([], PowerLimits([-1], [2]), QUARTER)
    assert isinstance(empty, OfferSchedules)
    assert empty.schedules == ()
    assert empty.watts == (0,)
    assert empty.cost == 0
    target = schedule([], PowerTarget([4], 1_000), QUARTER)
    assert isinstance(target, OfferSchedules)
    assert target.deviation_cost == 1_000


def test_an_ended_search_says_so() -> None:
    """What was found until then is returned, and is not said to be the best without a proof."""
    offers = [
        replace(charger(f"c{k}", 0, 9), least_total=5_001 + 13 * k, most_total=5_001 + 13 * k)
        for k in range(8)
    ]
    target = PowerTarget([-6_001 - 7 * t for t in range(11)], 5_000)
    found = schedule(offers, target, QUARTER, nodes=1)
    assert isinstance(found, OfferSchedules)
    for offer, each in zip(offers, found.schedules, strict=True):
        check_schedule(offer, each)
    total = float(found.cost + found.deviation_cost)
    assert found.bound <= total + 1e-3
    if found.proved:
        assert found.bound == pytest.approx(total, abs=1e-2)
    near = schedule(offers, target, QUARTER, gap=0.01)
    assert isinstance(near, OfferSchedules)
    assert near.proved
    assert near.bound >= 0.99 * float(near.cost + near.deviation_cost) - 1e-3


def test_arguments_out_of_range() -> None:
    car = charger("a", 0, 2)
    fine = PowerLimits([0] * 4, [0] * 4)
    for words, attempt in (
        ("an interval has 0 s", lambda: schedule([car], fine, 0)),
        ("a search of 0 nodes", lambda: schedule([car], fine, QUARTER, nodes=0)),
        ("a gap of -1", lambda: schedule([car], fine, QUARTER, gap=-1.0)),
        ("a: two offers have this id", lambda: schedule([car, car], fine, QUARTER)),
        (
            "a: it begins in interval 0 at the earliest and has 2 slices; there are 1 intervals",
            lambda: schedule([car], PowerLimits([0], [0]), QUARTER),
        ),
        ("4 lower and 3 upper", lambda: schedule([car], PowerLimits([0] * 4, [0] * 3), QUARTER)),
        (
            "interval 1: its limits are from 2 to 1 W",
            lambda: schedule([car], PowerLimits([0, 2], [0, 1]), QUARTER),
        ),
        (
            "price of deviation is 0",
            lambda: schedule([car], PowerTarget([0] * 4, 0), QUARTER),
        ),
        (
            r"target: value 1 is 0\.5",
            lambda: schedule([car], PowerTarget([0, 0.5], 1), QUARTER),  # type: ignore[list-item]
        ),
    ):
        with pytest.raises(ValueError, match=words):
            attempt()
