"""Phases that call time-shiftable offers, against brute force over all plans and schedules."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import numpy as np
from drawn_flex_offers import all_watts, flex_offers, numbered
from flex_days import PRODUCT, UP, day_of, grid_of
from hypothesis import given, settings
from hypothesis import strategies as st
from sampling import examples

from exchange.flexibility.flex_offers.aggregation import GroupingTolerance
from exchange.flexibility.flex_offers.flex_offer import (
    EnergySlice,
    FlexOffer,
    FlexSchedule,
    check_schedule,
)
from exchange.flexibility.flex_offers.relief import planned, powers
from exchange.flexibility.flex_offers.shift_market import ShiftableOffer, ShiftRules
from exchange.flexibility.flex_offers.shift_phase import Shifted
from exchange.flexibility.products.day import run_day
from exchange.flexibility.products.flex_day import (
    FlexDay,
    Forecast,
    Phase,
    Settled,
    SettlementRules,
    SpotResult,
)
from exchange.flexibility.products.network_needs import ForecastRules
from exchange.flexibility.products.sessions import SpotRules
from exchange.flexibility.products.vocabulary import Resource, SpotOffer
from security_check.model.envelope import Direction
from security_check.model.linear_network import LinearNetwork, ReactiveBranch

COUNT = 9
RATING_W = 3
CAP = 1_500  # a shift by an interval is worth it from one W on
KILO = 1_000  # a tick is as much as a thousand tick-watts
ZONES = ("north", "south")
ONE_BY_ONE = GroupingTolerance(members=1)
WIDE = GroupingTolerance(9, 9)


@st.composite
def shift_days(draw: st.DrawFn, tolerance: GroupingTolerance, most: int = 3) -> FlexDay:
    """Two feeders; offers of both directions; at times a target beside the needs."""
    drawn = draw(st.lists(flex_offers(largest=2, slices=2), min_size=1, max_size=most))
    offers, resources = [], {}
    base = np.zeros((COUNT, 3))
    flows = draw(st.lists(st.integers(-4, 4), min_size=2 * COUNT, max_size=2 * COUNT))
    base[:, 1:] = np.array(flows, dtype=float).reshape(COUNT, 2)
    for each in numbered(drawn):
        zone = draw(st.sampled_from(ZONES))
        offer = replace(
            each,
            direction=draw(st.sampled_from(Direction)),
            energy_price_ticks=draw(st.sampled_from((0, 7, 400))),
            shift_price_ticks=draw(st.sampled_from((0, 1))),
            latest=min(each.latest, each.earliest + 2),
        )
        resources[offer.offer_id] = Resource(
            offer.offer_id, draw(st.sampled_from("ab")), zone, 2, 2, bus=zone
        )
        base[:, 1 + ZONES.index(zone)] += powers(offer, planned(offer), COUNT)
        offers.append(ShiftableOffer(offer, offer.offer_id, "p"))
    target, worth = None, 0
    if draw(st.booleans()):
        target = tuple(draw(st.lists(st.integers(-3, 3), min_size=COUNT, max_size=COUNT)))
        worth = draw(st.integers(1, 1_200))
    return day_of(
        (
            ForecastRules("forecast", "p", CAP),
            ShiftRules("shift", "p", "dso", tolerance, target, worth),
            SettlementRules("settlement"),
        ),
        count=COUNT,
        products={"p": replace(PRODUCT, minimum_w=1, lot_w=1)},
        resources=resources,
        grid=grid_of(base, RATING_W),
        shiftable=tuple(offers),
    )


def shifted(day: FlexDay) -> Shifted:
    result = run_day(day)[1].result
    assert isinstance(result, Shifted)
    return result


def rules_of(day: FlexDay) -> ShiftRules:
    rules = day.phases[1]
    assert isinstance(rules, ShiftRules)
    return rules


def choices(offer: FlexOffer) -> list[tuple[int, np.ndarray]]:
    """Every price and profile: the plan at no price, and every schedule at its own."""
    found = [(0, powers(offer, planned(offer), COUNT))]
    for start in range(offer.earliest, offer.latest + 1):
        for watts in all_watts(offer):
            own = FlexSchedule(offer.offer_id, start, watts)
            cost = sum(watts) * offer.energy_price_ticks
            cost += KILO * (start - offer.earliest) * offer.shift_price_ticks
            found.append((cost, powers(offer, own, COUNT)))
    return found


def beyond(withdrawal: np.ndarray) -> np.ndarray:
    """By how much each feeder is beyond its rating, either way."""
    return np.maximum(np.abs(withdrawal) - RATING_W, 0)


def best(day: FlexDay) -> int:
    """The least cost of owners, of what stays beyond a rating, and of what is off the target.

    A feeder carries the withdrawal of its zone.  It may not be loaded further than before, nor
    beyond its rating where it was within.
    """
    assert day.grid is not None
    rules, least = rules_of(day), None
    before = -day.grid.injection_w[:, 1:]
    plans = [powers(each.offer, planned(each.offer), COUNT) for each in day.shiftable]
    zones = [ZONES.index(day.resources[each.resource].zone) for each in day.shiftable]
    upper, lower = np.maximum(before, RATING_W), np.minimum(before, -RATING_W)
    for chosen in product(*(choices(each.offer) for each in day.shiftable)):
        after, total = before.copy(), np.zeros(COUNT)
        for zone, plan, (_, watts) in zip(zones, plans, chosen, strict=True):
            after[:, zone] -= watts - plan
            total += watts
        if (after > upper).any() or (after < lower).any():
            continue
        cost = sum(price for price, _ in chosen) + CAP * int(
            beyond(after)[beyond(before) > 0].sum()
        )
        if rules.target_w is not None:
            cost += rules.deviation_ticks * int(np.abs(total - np.array(rules.target_w)).sum())
        least = cost if least is None else min(least, cost)
    assert least is not None
    return least


def small(day: FlexDay) -> FlexDay:
    """The day with as many offers as brute force can try; plans of the others stay."""
    count, kept = 1, []
    for each in day.shiftable:
        count *= len(choices(each.offer))
        if count <= 3_000:
            kept.append(each)
    return replace(day, shiftable=tuple(kept))


@settings(max_examples=examples(60), deadline=None)
@given(shift_days(ONE_BY_ONE))
def test_what_is_called_is_the_cheapest_of_all_choices(day: FlexDay) -> None:
    day = small(day)
    found = shifted(day)
    rules = rules_of(day)
    triggered = run_day(day)[0].result
    assert isinstance(triggered, Forecast)
    if not triggered.needs and rules.target_w is None:
        assert not any(each.called for each in found.members)
        return
    cost = found.outcome.cost + CAP * found.outcome.missing
    cost += rules.deviation_ticks * found.outcome.deviation
    assert found.outcome.proved
    assert cost == best(day)
    assert found.alone == found.outcome, "one by one is what was done"


@settings(max_examples=examples(60), deadline=None)
@given(shift_days(WIDE, most=6))
def test_aggregates_are_divided_exactly_and_load_no_branch_more(day: FlexDay) -> None:
    reports = run_day(day)
    found, settled = shifted(day), reports[2].result
    assert isinstance(settled, Settled)
    assert day.grid is not None
    after = -day.grid.injection_w[:, 1:].copy()
    before = after.copy()
    total = np.zeros(COUNT, dtype=int)
    for each in found.members:
        offer = each.offer.offer
        check_schedule(offer, each.schedule)
        change = powers(offer, each.schedule, COUNT) - powers(offer, planned(offer), COUNT)
        total += powers(offer, each.schedule, COUNT)
        after[:, ZONES.index(day.resources[each.offer.resource].zone)] -= change
        assert tuple(change) == settled.activated_w.get(each.offer.resource, (0,) * COUNT)
        if not each.called:
            assert not change.any()
            assert each.amount == 0
    for group in found.groups:
        own = [each for each in found.members if each.aggregate == group.name]
        assert [each.offer.offer for each in own] == list(group.aggregate.members)
        if group.schedule is not None:
            offer = group.aggregate.offer
            together = [powers(each.offer.offer, each.schedule, COUNT) for each in own]
            assert np.array_equal(np.sum(together, axis=0), powers(offer, group.schedule, COUNT))
    assert (after <= np.maximum(before, RATING_W)).all()
    assert (after >= np.minimum(before, -RATING_W)).all()
    # Money: the buyer pays what members get, and nobody else pays or gets anything.
    paid = sum(each.amount for each in found.members)
    assert found.outcome.cost == paid
    assert settled.balances.get("dso", 0) == -paid
    assert sum(settled.balances.values()) == 0
    # What aggregates can do, members can.
    rules, alone = rules_of(day), found.alone
    assert alone is not None
    costs = [
        each.cost + CAP * each.missing + rules.deviation_ticks * each.deviation
        for each in (alone, found.outcome)
    ]
    assert costs[0] <= costs[1] or not alone.proved


@settings(max_examples=examples(60), deadline=None)
@given(shift_days(WIDE, most=5), st.lists(st.integers(1, 9), min_size=3, max_size=3))
def test_in_a_ring_no_branch_is_loaded_further(day: FlexDay, reactances: list[int]) -> None:
    """Factors are fractions there, so whole watts may fit where no start of whole watts does."""
    ends = (("hv", "north"), ("north", "south"), ("south", "hv"))
    branches = [
        ReactiveBranch("-".join(each), *each, x) for each, x in zip(ends, reactances, strict=True)
    ]
    limits = np.full(3, float(RATING_W))
    assert day.grid is not None
    network = LinearNetwork.of_reactances(("hv", *ZONES), "hv", branches, -limits, limits)
    day = replace(day, grid=replace(day.grid, network=network))
    found = shifted(day)
    assert day.grid is not None
    injection = day.grid.injection_w.copy()
    before = injection @ network.ptdf.T
    for each in found.members:
        offer = each.offer.offer
        check_schedule(offer, each.schedule)
        change = powers(offer, each.schedule, COUNT) - powers(offer, planned(offer), COUNT)
        injection[:, 1 + ZONES.index(day.resources[each.offer.resource].zone)] += change
    after = injection @ network.ptdf.T
    assert (after <= np.maximum(before, RATING_W) + 0.01).all()
    assert (after >= np.minimum(before, -RATING_W) - 0.01).all()


def one_car(*phases: Phase, **parts: object) -> FlexDay:
    """A car of 2 W for an hour, by itself at once, and a withdrawal of 3 W in the first hour."""
    base = np.zeros((3, 3))
    base[0, 1] = -3 - 2
    offer = FlexOffer(
        "charge", Direction.WITHDRAWAL, 0, 2, (EnergySlice(2, 2),), shift_price_ticks=1
    )
    usual: dict[str, object] = {
        "count": 3,
        "products": {"p": replace(PRODUCT, minimum_w=1, lot_w=1)},
        "resources": {"car": Resource("car", "a", "north", 2, 2, bus="north")},
        "grid": grid_of(base, RATING_W),
        "shiftable": (ShiftableOffer(offer, "car", "p"),),
    }
    return day_of(
        (ForecastRules("forecast", "p", 10**4), *phases),
        **(usual | parts),
    )


SHIFT = ShiftRules("shift", "p", "dso", ONE_BY_ONE)


def test_a_shift_costs_what_its_owner_asks_for_each_interval() -> None:
    """1,000 tick-watts (1 tick) for one interval, two would be 2,000; relief is worth 20,000."""
    found = shifted(one_car(SHIFT))
    assert [each.schedule.start for each in found.members] == [1]
    assert found.outcome.cost == 1_000
    assert [(e.interval, e.before_w, e.after_w) for e in found.flows] == [(0, 5.0, 3.0)]


def test_a_watt_is_sold_once() -> None:
    """What a spot session sells is not called, and what is called is not sold again."""
    sale = SpotOffer("stop", "car", "p", UP, range(3), 2, 0, 5, 1)
    spot = SpotRules("spot")
    first = run_day(one_car(spot, SHIFT, offers=(sale,)))
    assert isinstance(first[1].result, SpotResult)
    assert isinstance(first[2].result, Shifted)
    assert [each.quantity_w for each in first[1].result.cleared.awards] == [2]
    assert [each.reason for each in first[2].result.refused] == ["used_up"]
    second = run_day(one_car(SHIFT, spot, offers=(sale,)))
    assert isinstance(second[1].result, Shifted)
    assert isinstance(second[2].result, SpotResult)
    assert second[1].result.outcome.missing == 0
    assert not second[2].result.cleared.awards, "the need is served"
    assert not second[2].result.cleared.shortfalls


def test_a_resource_that_cannot_run_is_not_called() -> None:
    found = shifted(one_car(SHIFT, able_w={("car", 2): 1}))
    (reason,) = found.refused
    assert (reason.reason, reason.detail) == ("outage", "car can do 1 W at most in interval 2")
    assert [each.missing_w for each in found.shortfalls] == [2]
