"""Aggregates and ceilings of a spot session, against every division among members."""

from __future__ import annotations

from collections import defaultdict
from itertools import product

import numpy as np
import pytest
from flex_days import DOWN, LOT, UP, day_of, grid_of
from hypothesis import given, settings
from hypothesis import strategies as st

from doe_allocation.procurement.choices import FlexDirection
from exchange.flexibility.products.day import run_day
from exchange.flexibility.products.flex_day import (
    FlexDay,
    QualificationRules,
    Qualified,
    Settled,
    SettlementRules,
    SpotResult,
)
from exchange.flexibility.products.left_over import Unused
from exchange.flexibility.products.rules.ceilings import Ceiling
from exchange.flexibility.products.sessions import SpotRules
from exchange.flexibility.products.vocabulary import (
    FlexProduct,
    Goal,
    Need,
    Resource,
    Role,
    SpotOffer,
)

Taken = dict[tuple[str, str, int], int]
"""Watts by offer, resource and interval."""


def spot(day: FlexDay, phase: int = 0) -> SpotResult:
    result = run_day(day)[phase].result
    assert isinstance(result, SpotResult)
    return result


@st.composite
def aggregate_days(draw: st.DrawFn, count: int) -> FlexDay:
    """A day with an aggregate of two or three members in two zones, and one offer beside it."""
    names = ["m0", "m1", "m2"][: draw(st.integers(2, 3 if count == 1 else 2))]
    resources = {}
    for name in names:
        zone = draw(st.sampled_from(("north", "south")))
        up_w, down_w = (LOT * draw(st.integers(0, 2)) for _ in range(2))
        longest = draw(st.sampled_from((None, None, 3600)))
        resources[name] = Resource(
            name,
            "a",
            zone,
            max(up_w, 0 if down_w else LOT),
            down_w,
            max_duration_s=longest,
            bus=zone,
        )
    whole_w = sum(each.up_w for each in resources.values())
    lower_w = sum(each.down_w for each in resources.values())
    resources["agg"] = Resource("agg", "a", "north", whole_w, lower_w, members=tuple(names))
    direction = draw(st.sampled_from((UP, UP, DOWN)))
    offers = []
    for k, owner in enumerate(("agg", draw(st.sampled_from(["agg", *names])))):
        able_w = resources[owner].able_w(direction)
        if able_w:
            quantity_w = LOT * draw(st.integers(1, able_w // LOT))
            least_w = draw(st.sampled_from((0, 0, quantity_w, LOT)))
            block, price = draw(st.booleans()), draw(st.integers(0, 5))
            offers.append(
                SpotOffer(
                    f"o{k}", owner, "p", direction, range(count), quantity_w, least_w, price, k,
                    block,
                )
            )  # fmt: skip
    ceilings = [
        Ceiling(
            "dso",
            frozenset(draw(st.lists(st.sampled_from(names), min_size=1, unique=True))),
            draw(st.sampled_from((direction, UP))),
            draw(st.sampled_from((range(count), range(1)))),
            LOT * draw(st.integers(0, 3)),
            "a ceiling",
        )
        for _ in range(draw(st.integers(0, 2)))
    ]
    flows = draw(st.lists(st.integers(-5, 5), min_size=2 * count, max_size=2 * count))
    injection = np.zeros((count, 3))
    injection[:, 1:] = LOT * np.array(flows, dtype=float).reshape(count, 2)
    quantity = tuple(LOT * draw(st.integers(1, 4)) for _ in range(count))
    need = Need(
        "n",
        "dso",
        "p",
        range(count),
        quantity,
        draw(st.integers(2, 6)),
        direction,
        draw(st.sampled_from((None, None, "north"))),
    )
    rules = SpotRules("spot", draw(st.sampled_from(list(Goal))), within_network=draw(st.booleans()))
    return day_of(
        (rules, SettlementRules("s")),
        count=count,
        resources=resources,
        needs=(need,),
        offers=tuple(offers),
        grid=grid_of(injection),
        ceilings=tuple(ceilings),
    )


def worth(day: FlexDay, taken: Taken) -> tuple[float, ...] | None:
    """Return what the goals reach; nothing where a member, ceiling, block or branch forbids it."""
    (need,), rules, grid = day.needs, day.phases[0], day.grid
    assert isinstance(rules, SpotRules)
    assert grid is not None
    by_name = {each.name: each for each in day.offers}
    of_member: dict[tuple[str, int], int] = defaultdict(int)
    of_offer: dict[tuple[str, int], int] = defaultdict(int)
    served, cost = [0] * day.count, 0
    change = np.zeros((day.count, 3))
    for (name, member, t), watts in taken.items():
        resource, offer = day.resources[member], by_name[name]
        of_member[member, t] += watts
        of_offer[name, t] += watts
        cost += watts * offer.price_ticks
        served[t] += watts if need.zone in (None, resource.zone) else 0
        if watts and need.zone not in (None, resource.zone):
            return None  # it serves no need
        sign = 1 if offer.direction is UP else -1
        change[t, grid.network.buses.index(resource.bus or "")] += sign * watts
    direction = by_name[next(iter(by_name))].direction if by_name else UP
    for (member, _), watts in of_member.items():
        if watts > day.resources[member].able_w(direction):
            return None
    for name, resource in day.resources.items():
        on = [of_member[name, t] > 0 for t in range(day.count)]
        if resource.max_duration_s is not None and sum(on) > 1:
            return None
    for offer in by_name.values():
        watts_by_time = [of_offer[offer.name, t] for t in offer.intervals]
        if any((w and w < offer.minimum_w) or w > offer.quantity_w for w in watts_by_time):
            return None
        if offer.block and len(set(watts_by_time)) > 1:
            return None
    for each in day.ceilings:
        if each.direction is direction:
            for t in each.intervals:
                if sum(of_member[name, t] for name in each.resources) > each.most_w:
                    return None
    if rules.within_network:
        for t in range(day.count):
            base = grid.network.ptdf @ grid.injection_w[t]
            flows = base + grid.network.ptdf @ change[t]
            if (flows > np.maximum(base, grid.network.upper_w) + 1e-6).any():
                return None
            if (flows < np.minimum(base, grid.network.lower_w) - 1e-6).any():
                return None
    useful = sum(min(each, need.wanted_w(t)) for t, each in enumerate(served))
    if rules.goal is Goal.WELFARE:
        return need.cap_ticks * useful - cost, useful
    return useful, -cost


def best_of(day: FlexDay) -> tuple[float, ...] | None:
    places = []
    for offer in day.offers:
        if offer.price_ticks > day.needs[0].cap_ticks:
            continue
        members = day.resources[offer.resource].members or (offer.resource,)
        for member, t in product(members, offer.intervals):
            most = min(day.resources[member].able_w(offer.direction), offer.quantity_w) // LOT
            places.append((offer.name, member, t, most))
    if np.prod([most + 1 for *_, most in places] or [1]) > 4_000:
        return None
    best: tuple[float, ...] = (-np.inf, -np.inf)
    for lots in product(*(range(most + 1) for *_, most in places)):
        taken = {
            (offer, member, t): LOT * each
            for (offer, member, t, _), each in zip(places, lots, strict=True)
        }
        best = max(best, worth(day, taken) or best)
    return best


@settings(max_examples=120)
@given(st.one_of(aggregate_days(1), aggregate_days(2)))
def test_no_division_among_members_is_better(day: FlexDay) -> None:
    best = best_of(day)
    if best is None:
        return
    found: Taken = defaultdict(int)
    for award in spot(day).cleared.awards:
        assert not day.resources[award.resource].members, "an award is a member's"
        found[award.offer, award.resource, award.interval] += award.quantity_w
    assert worth(day, found) == pytest.approx(best, abs=1e-6)


@given(aggregate_days(2))
def test_what_is_taken_of_an_aggregate_is_divided_and_the_rest_has_a_reason(day: FlexDay) -> None:
    result = spot(day)
    sold: dict[tuple[str, int], int] = defaultdict(int)
    for award in result.cleared.awards:
        sold[award.offer, award.interval] += award.quantity_w
    left = {
        (e.offer, t): w
        for e in result.cleared.left_over
        for t, w in zip(e.intervals, e.left_w, strict=True)
    }
    refused = {each.name for each in result.refused}  # the network leaves less than the minimum
    for offer in day.offers:
        for t in offer.intervals if offer.name not in refused else ():
            assert sold[offer.name, t] + left.get((offer.name, t), 0) == offer.quantity_w
    settled = run_day(day)[1].result
    assert isinstance(settled, Settled)
    assert "agg" not in settled.activated_w
    total = sum(abs(w) for changes in settled.activated_w.values() for w in changes)
    assert total == sum(sold.values())


MEMBERS = {
    "load": Resource("load", "a", "north", 3000, 0, bus="north"),
    "store": Resource("store", "a", "north", 2000, 2000, bus="north"),
    "both": Resource("both", "a", "north", 5000, 2000, members=("load", "store")),
}


def offered(direction: FlexDirection, quantity_w: int, **more: object) -> SpotOffer:
    return SpotOffer("o", "both", "p", direction, range(1), quantity_w, 0, 2, 1, **more)  # type: ignore[arg-type]


def test_the_member_that_is_named_first_gives_first() -> None:
    day = day_of(
        (SpotRules("spot"),),
        count=1,
        resources=MEMBERS,
        needs=(Need("n", "dso", "p", range(1), (4000,), 9, UP),),
        offers=(offered(UP, 5000),),
    )
    awards = spot(day).cleared.awards
    assert [(e.resource, e.quantity_w) for e in awards] == [("load", 3000), ("store", 1000)]
    assert awards[0].because == "load, number 1 by price of 2 for n"


def test_a_member_does_not_sell_twice() -> None:
    """The storage sells 2 kW by itself to the DSO; the aggregate then has 3 of its 5 kW."""
    alone = SpotOffer("alone", "store", "p", UP, range(1), 2000, 0, 1, 0)
    needs = (
        Need("first", "dso", "p", range(1), (2000,), 9, UP),
        Need("second", "tso", "p", range(1), (5000,), 9, UP),
    )
    day = day_of(
        (SpotRules("one", buyers=("dso",)), SpotRules("two", buyers=("tso",))),
        count=1,
        resources=MEMBERS,
        needs=needs,
        offers=(alone, offered(UP, 5000)),
    )
    assert [(e.offer, e.quantity_w) for e in spot(day).cleared.awards] == [("alone", 2000)]
    second = spot(day, 1).cleared
    assert [(e.resource, e.quantity_w) for e in second.awards] == [("load", 3000)]
    assert second.shortfalls[0].missing_w == 2000


def test_a_ceiling_holds_over_sessions_and_is_the_reason_of_what_is_left() -> None:
    """Both members together may go up by 3 kW: 2 kW in the first session leave 1 kW."""
    ceiling = Ceiling("dso", frozenset({"load", "store"}), UP, range(1), 3000, "it is yellow")
    needs = (
        Need("first", "dso", "p", range(1), (2000,), 9, UP),
        Need("second", "tso", "p", range(1), (2000,), 9, UP),
    )
    day = day_of(
        (SpotRules("one", buyers=("dso",)), SpotRules("two", buyers=("tso",))),
        count=1,
        resources=MEMBERS,
        needs=needs,
        offers=(offered(UP, 5000),),
        ceilings=(ceiling,),
    )
    assert sum(each.quantity_w for each in spot(day).cleared.awards) == 2000
    second = spot(day, 1).cleared
    assert sum(each.quantity_w for each in second.awards) == 1000
    (left,) = second.left_over
    assert (left.reason, left.detail, left.left_w) == (Unused.CEILING, "it is yellow", (2000,))
    told = [each for each in run_day(day)[0].messages if each.subject == "ceiling"]
    assert [(each.sender, each.receiver) for each in told] == [("dso", "market")]


def test_what_the_network_leaves_in_all_intervals_decides_who_qualifies() -> None:
    """The minimum is 4 kW: the two reach 5, and 3 where the load may give 1 kW only."""
    ceilings = (Ceiling("dso", frozenset({"load"}), UP, range(2), 1000, "matrix says 1,000 W"),)
    least = FlexProduct("p", (UP,), (Role.DSO,), 4000, LOT)
    for bound, refused in (((), []), (ceilings, ["network"])):
        day = day_of(
            (QualificationRules("q"),), resources=MEMBERS, products={"p": least}, ceilings=bound
        )
        result = run_day(day)[0].result
        assert isinstance(result, Qualified)
        reasons = result.reasons["both", "p"]
        assert [each.reason for each in reasons] == refused
        assert [each.reason for each in result.reasons["load", "p"]] == ["size"]
    (reason,) = reasons
    assert reason.detail == (
        "the network leaves it 3,000 of 5,000 W, the minimum is 4,000 W (matrix says 1,000 W)"
    )
