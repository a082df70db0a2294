"""What one buyer leaves is offered on to the next: sessions one after the other, by merit order."""

from __future__ import annotations

from collections import defaultdict

from flex_days import LOT, UP, day_of
from hypothesis import given, settings
from hypothesis import strategies as st

from exchange.flexibility.products.day import run_day
from exchange.flexibility.products.flex_day import FlexDay, SpotResult
from exchange.flexibility.products.sessions import SpotRules
from exchange.flexibility.products.vocabulary import FlexContract, Need, Resource, SpotOffer

BUYERS = ("dso", "tso", "supplier")


@st.composite
def days_of_three_buyers(draw: st.DrawFn) -> FlexDay:
    """A DSO with contracts buys first, then a TSO, then a supplier; two intervals."""
    resources = {
        name: Resource(name, draw(st.sampled_from("ab")), draw(st.sampled_from(("north", "south"))),
                       LOT * draw(st.integers(1, 5)), 0)
        for name in ("r0", "r1", "r2")
    }  # fmt: skip
    contracts = {}
    for name in draw(st.lists(st.sampled_from(sorted(resources)), max_size=2, unique=True)):
        quantity_w = LOT * draw(st.integers(1, resources[name].up_w // LOT))
        contracts[f"c-{name}"] = FlexContract(
            f"c-{name}", name, resources[name].provider, "dso", "p", UP, range(2), quantity_w,
            1, draw(st.integers(0, 9)),
        )  # fmt: skip
    offers = [
        SpotOffer(f"o{k}", name, "p", UP, range(2), resources[name].up_w, 0,
                  draw(st.integers(0, 9)), k)
        for k, name in enumerate(draw(st.lists(st.sampled_from(sorted(resources)), max_size=4)))
    ]  # fmt: skip
    needs = [
        Need(buyer, buyer, "p", range(2), tuple(LOT * draw(st.integers(0, 8)) for _ in range(2)),
             draw(st.integers(1, 9)), UP, draw(st.sampled_from((None, None, "north"))))
        for buyer in BUYERS
    ]  # fmt: skip
    release = draw(st.booleans())
    phases = tuple(
        SpotRules(f"{buyer} session", buyers=(buyer,), obligations=True, release=release)
        for buyer in BUYERS
    )
    return day_of(
        phases,
        resources=resources,
        contracts=contracts,
        needs=tuple(needs),
        offers=tuple(offers),
    )


def by_merit(day: FlexDay) -> dict[tuple[str, str, int], int]:
    """Return watts by buyer, offer and interval: the cheapest first, of equal ones the oldest.

    A contract's provider that does not offer its watts at its price or less has them put in.
    """
    found: dict[tuple[str, str, int], int] = defaultdict(int)
    free: dict[tuple[str, int], int] = {
        (name, t): each.up_w for name, each in day.resources.items() for t in range(day.count)
    }
    sold: dict[tuple[str, int], int] = defaultdict(int)
    for rules, need in zip(day.phases, day.needs, strict=True):
        assert isinstance(rules, SpotRules)
        for t in range(day.count):
            book = [
                (each.price_ticks, True, each.order, each.name, each.resource, each.quantity_w)
                for each in day.offers
            ]
            for k, each in enumerate(day.contracts.values()):
                own_w = sum(
                    quantity_w
                    for price, file, _, _, resource, quantity_w in book
                    if file and resource == each.resource and price <= each.utilisation_ticks
                )
                put_in_w = max(each.quantity_w - own_w, 0)
                if put_in_w and (rules.release or need.buyer == each.buyer):
                    name = f"{each.name}/{t}"
                    book.append((each.utilisation_ticks, False, k, name, each.resource, put_in_w))
            missing_w = need.wanted_w(t)
            for price, _, _, name, resource, quantity_w in sorted(book):
                inside = need.zone in (None, day.resources[resource].zone)
                if price <= need.cap_ticks and inside:
                    left_w = quantity_w - sold[name, t]
                    taken_w = min(left_w, free[resource, t], missing_w)
                    found[need.buyer, name, t] += taken_w
                    sold[name, t] += taken_w
                    free[resource, t] -= taken_w
                    missing_w -= taken_w
    return {key: watts for key, watts in found.items() if watts}


@settings(max_examples=150)
@given(days_of_three_buyers())
def test_each_buyer_takes_the_cheapest_of_what_is_left(day: FlexDay) -> None:
    found: dict[tuple[str, str, int], int] = defaultdict(int)
    for report in run_day(day):
        assert isinstance(report.result, SpotResult)
        for each in report.result.cleared.awards:
            found[each.buyer, each.offer, each.interval] += each.quantity_w
    assert dict(found) == by_merit(day)


def test_what_costs_nothing_is_not_bought_beyond_the_need() -> None:
    """2 kW are offered for nothing, 1 kW is needed."""
    day = day_of(
        (SpotRules("spot"),),
        count=1,
        resources={"r": Resource("r", "a", "north", 2 * LOT, 0)},
        needs=(Need("n", "dso", "p", range(1), (LOT,), 1, UP),),
        offers=(SpotOffer("o", "r", "p", UP, range(1), 2 * LOT, 0, 0, 0),),
    )
    result = run_day(day)[0].result
    assert isinstance(result, SpotResult)
    assert [each.quantity_w for each in result.cleared.awards] == [LOT]
