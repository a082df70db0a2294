"""Qualification; and forward sessions against every choice of whole lots."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from itertools import product

import pytest
from flex_days import DOWN, LOT, PRODUCT, UP
from hypothesis import given, settings
from hypothesis import strategies as st

from exchange.flexibility.products.forward import ForwardRules, contract, cost_ticks, why_not
from exchange.flexibility.products.qualification import competition, qualify
from exchange.flexibility.products.vocabulary import (
    FlexContract,
    FlexProduct,
    ForwardOffer,
    Need,
    Resource,
    Role,
)

STRICT = FlexProduct(
    "reserve", (UP,), (Role.DSO,), 5000, 1000, 300, 3600, 7200, ("north",), availability=True
)
FIT = Resource("r", "a", "north", 6000, 0, 60, 0, None)


@pytest.mark.parametrize(
    ("resource", "said"),
    [
        (FIT, None),
        (Resource("r", "a", "north", 6000, 0, registered=False), "it is not registered"),
        (Resource("r", "a", "south", 6000, 0), "it is in zone south, reserve is traded in north"),
        (Resource("r", "a", "north", 0, 6000), "it cannot go upward, reserve is upward"),
        (Resource("r", "a", "north", 4999, 0), "upward by 4,999 W, the minimum is 5,000 W"),
        (
            Resource("r", "a", "north", 6000, 0, 301),
            "needs 301 s to its full power, reserve allows",
        ),
        (Resource("r", "a", "north", 6000, 0, 0, 0, 3599), "for 3,599 s at most, a call lasts 3,6"),
        (Resource("r", "a", "north", 6000, 0, 0, 7201), "for 7,201 s at least, a call lasts 7,200"),
    ],
)
def test_a_resource_qualifies_or_hears_why_not(resource: Resource, said: str | None) -> None:
    reasons = qualify(resource, STRICT)
    assert len(reasons) == (said is not None)
    if said is not None:
        assert said in reasons[0].detail


def test_all_reasons_are_named_together() -> None:
    worst = Resource("r", "a", "south", 0, 0, 999, 9999, 9999, registered=False)
    assert [each.reason for each in qualify(worst, STRICT)] == [
        "not_registered",
        "location",
        "direction",
        "activation_time",
        "run_time",
    ]


def test_competition_counts_who_qualifies_against_the_largest_need() -> None:
    resources = [FIT, Resource("s", "a", "north", 9000, 0), Resource("t", "b", "north", 100, 0)]
    needs = [
        Need("n", "dso", "reserve", range(2), (3000, 7000), 9, UP, "north"),
        Need("m", "dso", "reserve", range(1), (5000,), 9, UP, "north"),
    ]
    (found,) = competition(resources, STRICT, needs)
    assert (found.resources, found.providers) == (2, 1)
    assert (found.able_w, found.needed_w) == (15_000, 7000)


@st.composite
def forward_sessions(
    draw: st.DrawFn,
) -> tuple[list[Need], list[ForwardOffer], dict[str, Resource], list[FlexContract]]:
    """Up to three offers of two resources, two needs, over three intervals."""
    resources = {
        name: Resource(name, "a", draw(st.sampled_from(("north", "south"))), LOT * up, LOT * up)
        for name, up in (("r0", draw(st.integers(1, 4))), ("r1", draw(st.integers(1, 4))))
    }

    def window() -> range:
        first = draw(st.integers(0, 2))
        return range(first, draw(st.integers(first + 1, 3)))

    needs = [
        Need(
            f"n{k}", "dso", "p", window(), (), draw(st.integers(2, 9)),
            draw(st.sampled_from((UP, UP, DOWN))), draw(st.sampled_from((None, None, "north"))),
            None, draw(st.integers(1, 4)), draw(st.integers(0, 2)),
        )
        for k in range(draw(st.integers(1, 2)))
    ]  # fmt: skip
    sized = [
        replace(n, quantity_w=tuple(LOT * draw(st.integers(1, 4)) for _ in n.intervals))
        for n in needs
    ]
    offers = []
    for k in range(draw(st.integers(1, 3))):
        resource = resources[draw(st.sampled_from(("r0", "r1")))]
        quantity_w = LOT * draw(st.integers(1, resource.up_w // LOT))
        least_w = LOT * draw(st.integers(0, quantity_w // LOT))
        span = draw(st.sampled_from((range(3), range(3), range(2), range(1, 3))))
        prices = draw(st.integers(0, 4)), draw(st.integers(0, 9))
        way = draw(st.sampled_from((UP, UP, UP, DOWN)))
        offers.append(
            ForwardOffer(f"o{k}", resource.name, "p", way, span, quantity_w, least_w, *prices, k)
        )
    before = []
    if draw(st.booleans()):
        before = [FlexContract("c", "r0", "a", "dso", "p", UP, window(), LOT, 1, 1)]
    return sized, offers, resources, before


@settings(max_examples=150)
@given(forward_sessions())
def test_contracts_cost_least_of_all_choices(
    session: tuple[list[Need], list[ForwardOffer], dict[str, Resource], list[FlexContract]],
) -> None:
    needs, offers, resources, before = session
    places = [
        (offer, need)
        for offer, need in product(offers, needs)
        if why_not(offer, need, resources) is None
    ]

    def value(lots: tuple[int, ...]) -> tuple[int, int] | None:
        taken: dict[str, int] = defaultdict(int)
        covered: dict[str, int] = defaultdict(int)
        cost = 0
        for (offer, need), each in zip(places, lots, strict=True):
            taken[offer.name] += LOT * each
            covered[need.name] += LOT * each
            cost += cost_ticks(offer, need) * LOT * each
        for offer in offers:
            watts = taken[offer.name]
            if watts > offer.quantity_w or 0 < watts < offer.minimum_w:
                return None
        for name, direction, t in product(resources, (UP, DOWN), range(3)):
            total = sum(
                taken[each.name]
                for each in offers
                if each.resource == name and each.direction is direction and t in each.intervals
            )
            held = sum(
                each.quantity_w
                for each in before
                if each.resource == name and each.direction is direction and t in each.intervals
            )
            if total > max(resources[name].able_w(direction) - held, 0):
                return None
        return sum(min(covered[each.name], max(each.quantity_w)) for each in needs), -cost

    ranges = [range(offer.quantity_w // LOT + 1) for offer, _ in places]
    best = max(each for each in map(value, product(*ranges)) if each is not None)
    made = contract(ForwardRules("f"), needs, offers, resources, {"p": PRODUCT}, before)
    found = {(each.name): each.quantity_w // LOT for each in made.contracts}
    lots = tuple(found.pop(f"{offer.name} for {need.name}", 0) for offer, need in places)
    assert not found, "a contract of an offer that cannot cover its need"
    assert value(lots) == best
    wanted = sum(max(each.quantity_w) for each in needs)
    assert sum(max(each, 0) for each in made.missing_w.values()) == wanted - best[0]
    untaken = {offer.name for offer in offers} - {c.name.split(" for ")[0] for c in made.contracts}
    assert {each.name for each in made.refused} == untaken


@given(forward_sessions(), st.integers(1, 3))
def test_a_larger_need_never_costs_less_to_cover(
    session: tuple[list[Need], list[ForwardOffer], dict[str, Resource], list[FlexContract]],
    more: int,
) -> None:
    (need, *_), offers, resources, before = session

    def cost(each: Need) -> int:
        made = contract(ForwardRules("f"), [each], offers, resources, {"p": PRODUCT}, before)
        prices = {f"{offer.name} for {each.name}": cost_ticks(offer, each) for offer in offers}
        return sum(prices[one.name] * one.quantity_w for one in made.contracts)

    larger = replace(need, quantity_w=tuple(w + more * LOT for w in need.quantity_w))
    assert cost(larger) >= cost(need)


def test_of_equal_forward_offers_the_older_one_is_taken() -> None:
    resources = {name: Resource(name, "a", "north", 2000, 0) for name in ("r0", "r1")}
    need = Need("n", "dso", "p", range(1), (3000,), 9, UP, "north")
    offers = [
        ForwardOffer("late", "r0", "p", UP, range(1), 2000, 0, 3, 1, 2),
        ForwardOffer("early", "r1", "p", UP, range(1), 2000, 0, 3, 1, 1),
    ]
    made = contract(ForwardRules("f"), [need], offers, resources, {"p": PRODUCT}, [])
    assert {each.resource: each.quantity_w for each in made.contracts} == {"r0": 1000, "r1": 2000}


def test_a_cheap_indivisible_offer_is_passed_over_where_two_others_cost_less() -> None:
    """4 kW wanted: 6 kW whole at 1 a watt cost 6,000; 2 + 2 kW at 1.4 on average 5,600."""
    sizes = {"whole": 6000, "x": 2000, "y": 2000}
    resources = {name: Resource(name, "a", "north", watts, 0) for name, watts in sizes.items()}
    need = Need("n", "dso", "p", range(1), (4000,), 99, UP, "north")
    prices = {"whole": 100, "x": 120, "y": 160}
    offers = [
        ForwardOffer(
            name, name, "p", UP, range(1), watts, watts if name == "whole" else 0, prices[name],
            1, k,
        )
        for k, (name, watts) in enumerate(sizes.items())
    ]  # fmt: skip
    made = contract(ForwardRules("f"), [need], offers, resources, {"p": PRODUCT}, [])
    assert [each.resource for each in made.contracts] == ["x", "y"]
    (refused,) = made.refused
    assert (refused.name, refused.reason) == ("whole", "costlier")
