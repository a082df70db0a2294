"""Aggregates: every schedule of theirs is a sum of members' schedules, in whole watts."""

from __future__ import annotations

from dataclasses import replace

import pytest
from drawn_flex_offers import all_watts, flex_offers, numbered
from hypothesis import given
from hypothesis import strategies as st

from exchange.flexibility.flex_offers.aggregation import (
    FlexAggregate,
    GroupingTolerance,
    aggregate,
    aggregated,
    aggregation_loss,
    flexibility_of,
    grouped,
)
from exchange.flexibility.flex_offers.flex_offer import (
    EnergySlice,
    FlexOffer,
    FlexSchedule,
    check_schedule,
    schedule_cost,
    total_power,
)
from exchange.flexibility.flex_offers.joint_profile import AggregationError
from security_check.model.envelope import Direction

OFFERS = st.lists(flex_offers(), min_size=1, max_size=6).map(numbered)
SMALL = st.lists(flex_offers(largest=3, slices=3), min_size=1, max_size=3).map(numbered)


def drawn_schedule(data: st.DataObject, offer: FlexOffer) -> FlexSchedule:
    """Draw any schedule of an offer: random powers, then moved up or down to a drawn total."""
    watts = [data.draw(st.integers(e.least_w, e.most_w)) for e in offer.slices]
    total = data.draw(st.integers(offer.lowest_total, offer.highest_total))
    for k in data.draw(st.permutations(range(len(watts)))):
        off, each = total - sum(watts), offer.slices[k]
        watts[k] = min(max(watts[k] + off, each.least_w), each.most_w)
    start = data.draw(st.integers(offer.earliest, offer.latest))
    return FlexSchedule(offer.offer_id, start, tuple(watts))


def check_divided(group: FlexAggregate, whole: FlexSchedule) -> None:
    """The members' schedules are allowed, add up in every interval, and cost the same."""
    parts = group.disaggregate(whole)
    for member, part in zip(group.members, parts, strict=True):
        check_schedule(member, part)
        assert part.start - member.earliest == whole.start - group.offer.earliest
    horizon = 20
    assert total_power(group.members, parts, horizon) == total_power(
        [group.offer], [whole], horizon
    )
    costs = [schedule_cost(m, p, 900) for m, p in zip(group.members, parts, strict=True)]
    assert sum(costs) == schedule_cost(group.offer, whole, 900)


@given(OFFERS, st.data())
def test_any_schedule_of_any_aggregate_is_divided_exactly(
    offers: list[FlexOffer], data: st.DataObject
) -> None:
    tolerance = GroupingTolerance(*data.draw(st.tuples(st.integers(0, 4), st.integers(0, 3))))
    groups = aggregated("g", offers, tolerance)
    members = [member.offer_id for group in groups for member in group.members]
    assert sorted(members) == sorted(each.offer_id for each in offers)
    for group in groups:
        check_divided(group, drawn_schedule(data, group.offer))


@given(SMALL)
def test_all_schedules_of_small_aggregates_are_sums_of_members(offers: list[FlexOffer]) -> None:
    """Brute force: what the aggregate allows is among the sums, and all of them without totals."""
    try:
        group = aggregate("g", offers)
    except AggregationError:
        assert any(each.is_bound for each in offers)
        return
    length = len(group.offer.slices)
    sums = {(0,) * length}
    for member in group.members:
        offset = member.earliest - group.offer.earliest
        placed = [
            (0,) * offset + watts + (0,) * (length - offset - len(watts))
            for watts in all_watts(member)
        ]
        sums = {tuple(map(sum, zip(a, b, strict=True))) for a in sums for b in placed}
    allowed = all_watts(group.offer)
    assert allowed
    assert allowed <= sums
    if not any(each.is_bound for each in offers):
        assert allowed == sums
    for watts in sorted(allowed)[:20]:
        check_divided(group, FlexSchedule("g", group.offer.latest, watts))


@given(flex_offers())
def test_one_offer_stands_for_itself(offer: FlexOffer) -> None:
    group = aggregate("g", [offer])
    assert all_bounds(group.offer) == all_bounds(offer)


def all_bounds(offer: FlexOffer) -> tuple[object, ...]:
    """What an offer allows, as far as it can be reached."""
    reach = offer.highest_total - offer.sum_least
    tight = tuple((e.least_w, min(e.most_w, e.least_w + reach)) for e in offer.slices)
    return (offer.earliest, offer.latest, tight, offer.lowest_total, offer.highest_total)


@given(
    OFFERS,
    st.integers(0, 4),
    st.integers(0, 3),
    st.none() | st.integers(0, 3),
    st.none() | st.integers(1, 3),
)
def test_groups_stay_within_their_tolerance(
    offers: list[FlexOffer], start: int, time: int, length: int | None, members: int | None
) -> None:
    groups = grouped(offers, GroupingTolerance(start, time, length, members))
    ids = sorted(each.offer_id for group in groups for each in group)
    assert ids == sorted(each.offer_id for each in offers)
    for group in groups:
        assert len({(e.direction, e.energy_price_ticks, e.is_bound) for e in group}) == 1
        assert members is None or len(group) <= members
        for values, reach in (
            ([each.earliest for each in group], start),
            ([each.time_flexibility for each in group], time),
            ([len(each.slices) for each in group], 9 if length is None else length),
        ):
            assert max(values) - min(values) <= reach


@given(OFFERS)
def test_no_flexibility_is_won(offers: list[FlexOffer]) -> None:
    groups = aggregated("g", offers, GroupingTolerance(4, 3))
    loss = aggregation_loss(groups)
    assert loss.before == flexibility_of(offers)
    assert loss.after.time <= loss.before.time
    assert loss.after.width <= loss.before.width
    assert loss.after.total <= loss.before.total
    exact = aggregation_loss(aggregated("g", offers, GroupingTolerance(members=1)))
    assert exact.after.time == exact.before.time
    assert exact.after.total == exact.before.total


def charger(name: str, power_w: int, energy: int, earliest: int, latest: int) -> FlexOffer:
    """A car that needs an energy in eight intervals."""
    return FlexOffer(
        name,
        Direction.WITHDRAWAL,
        earliest,
        latest,
        (EnergySlice(0, power_w),) * 8,
        energy,
        energy,
        1_000,
        3,
    )


def test_chargers_by_hand() -> None:
    """7 kW for 14 and 11 kW for 33 kW-intervals: the first could give at most half of its need."""
    group = aggregate("g", [charger("a", 7_000, 14_000, 4, 8), charger("b", 11_000, 33_000, 4, 6)])
    offer = group.offer
    assert (offer.earliest, offer.latest) == (4, 6)
    assert (offer.lowest_total, offer.highest_total) == (47_000, 47_000)
    assert offer.shift_price_ticks == 6
    # 7 kW / (14/47) = 23.5 kW, 11 kW / (33/47) = 15.67 kW: the smaller of both.
    assert {each.most_w for each in offer.slices} == {15_666}
    whole = FlexSchedule("g", 5, (15_666, 15_666, 15_666, 2, 0, 0, 0, 0))
    parts = group.disaggregate(whole)
    assert [sum(part.watts) for part in parts] == [14_000, 33_000]
    check_divided(group, whole)
    loss = aggregation_loss([group])
    assert (loss.before.time, loss.after.time) == (4 + 2, 2 + 2)
    assert (loss.before.width, loss.after.width) == (8 * 18_000, 8 * 15_666)


def test_boxes_by_hand() -> None:
    first = FlexOffer("a", Direction.INJECTION, 2, 5, (EnergySlice(1, 3), EnergySlice(0, 4)))
    second = FlexOffer("b", Direction.INJECTION, 3, 4, (EnergySlice(2, 2), EnergySlice(5, 9)))
    group = aggregate("g", [first, second])
    assert group.offer == FlexOffer(
        "g",
        Direction.INJECTION,
        2,
        3,
        (EnergySlice(1, 3), EnergySlice(2, 6), EnergySlice(5, 9)),
    )
    parts = group.disaggregate(FlexSchedule("g", 3, (2, 5, 7)))
    assert parts == (FlexSchedule("a", 3, (2, 3)), FlexSchedule("b", 4, (2, 7)))
    assert total_power(group.members, parts, 6) == (0, 0, 0, 2, 5, 7)
    with pytest.raises(ValueError, match="g: slice 1 would have 7 W, allowed are 2 to 6 W"):
        group.disaggregate(FlexSchedule("g", 3, (2, 7, 7)))


def test_profiles_without_a_common_part_are_not_joined() -> None:
    """Each needs 5 of its own slice, and they have none in common."""
    early = FlexOffer("a", Direction.WITHDRAWAL, 0, 2, (EnergySlice(0, 9),), 5, 5)
    late = replace(early, offer_id="b", earliest=1, latest=3)
    words = "g: there is no slice in which all its members have a choice"
    with pytest.raises(AggregationError, match=words):
        aggregate("g", [early, late])
    groups = aggregated("g", [early, late], GroupingTolerance(1))
    assert [(g.offer.offer_id, [m.offer_id for m in g.members]) for g in groups] == [
        ("g1", ["a"]),
        ("g2", ["b"]),
    ]


def test_slices_that_not_all_have_are_fixed() -> None:
    """Cars of 4 and 8 slices: the second charges evenly where it is alone."""
    short = replace(charger("a", 7_000, 14_000, 0, 1), slices=(EnergySlice(0, 7_000),) * 4)
    group = aggregate("g", [short, charger("b", 7_000, 28_000, 0, 1)])
    # b needs half of its width: 3.5 kW in each of its last four slices, 14 left for the first four.
    assert [(e.least_w, e.most_w) for e in group.offer.slices[:5]] == [
        *[(0, 14_000)] * 4,
        (3_500, 3_500),
    ]
    assert (group.offer.lowest_total, group.offer.highest_total) == (42_000, 42_000)
    check_divided(group, FlexSchedule("g", 1, (14_000, 0, 1, 13_999, *[3_500] * 4)))


def test_profiles_whose_needs_do_not_meet_are_not_joined() -> None:
    """One needs most of its energy in the slice where the other has hardly any width."""
    slices = (EnergySlice(0, 9), EnergySlice(0, 1))
    one = FlexOffer("a", Direction.WITHDRAWAL, 0, 0, slices, 9, 9)
    other = replace(one, offer_id="b", slices=slices[::-1])
    with pytest.raises(AggregationError, match=r"need 18 watt-intervals .* have 4 in common"):
        aggregate("g", [one, other])


def test_members_that_do_not_go_together() -> None:
    one = FlexOffer("a", Direction.WITHDRAWAL, 0, 2, (EnergySlice(0, 9),))
    for others, words in (
        ([], "it has no members"),
        ([one, one], "a is among its members twice"),
        ([one, replace(one, offer_id="b", direction=Direction.INJECTION)], "b is injection"),
        ([one, replace(one, offer_id="b", energy_price_ticks=7)], "asks 0 ticks/kWh, b 7"),
    ):
        with pytest.raises(AggregationError, match=words):
            aggregate("g", others)
    for arguments in ((-1,), (0, -1), (0, 0, -1), (0, 0, 0, 0)):
        with pytest.raises(ValueError, match="1 member or more"):
            GroupingTolerance(*arguments)


def test_offers_out_of_range_name_all_faults() -> None:
    with pytest.raises(ValueError, match="earliest <= latest is needed; it has no slices"):
        FlexOffer("a", Direction.INJECTION, 3, 2, ())
    with pytest.raises(ValueError, match="a: slice 1 is from 5 to 4 W"):
        FlexOffer("a", Direction.INJECTION, 0, 0, (EnergySlice(0, 1), EnergySlice(5, 4)))
    with pytest.raises(ValueError, match="slice 0 is from -1 to 4 W"):
        FlexOffer("a", Direction.INJECTION, 0, 0, (EnergySlice(-1, 4),))
    for bounds in ((5, None), (None, 0), (4, 3)):
        with pytest.raises(ValueError, match="its slices allow 1 to 4"):
            FlexOffer("a", Direction.INJECTION, 0, 0, (EnergySlice(1, 4),), *bounds)
    with pytest.raises(ValueError, match="price of a shift is -1"):
        FlexOffer("a", Direction.INJECTION, 0, 0, (EnergySlice(1, 4),), shift_price_ticks=-1)


def test_schedules_that_an_offer_does_not_allow() -> None:
    offer = FlexOffer("a", Direction.WITHDRAWAL, 1, 2, (EnergySlice(0, 4),) * 2, 3, 6, 1_000, 7)
    allowed = FlexSchedule("a", 2, (2, 4))
    check_schedule(offer, allowed)
    # 6 W over a quarter-hour are 1.5 Wh at 1000 ticks/kWh, and one shift costs 7 ticks.
    assert schedule_cost(offer, allowed, 900) == 1_500 + 7_000
    for changes, words in (
        ({"offer_id": "b"}, "the schedule is one of b"),
        ({"start": 3}, "begin in interval 3, allowed are 1 to 2"),
        ({"watts": (3,)}, "has 1 slices, the offer 2"),
        ({"watts": (1, 5)}, "slice 1 would have 5 W"),
        ({"watts": (1, 1)}, "total would be 2 watt-intervals, allowed are 3 to 6"),
    ):
        with pytest.raises(ValueError, match=words):
            check_schedule(offer, replace(allowed, **changes))
    with pytest.raises(ValueError, match="a: it ends with interval 4 of 3"):
        total_power([offer], [allowed], 3)
