"""Spot sessions against every choice of whole lots, and what holds of every session."""

from __future__ import annotations

from collections import defaultdict
from itertools import product

import numpy as np
import pytest
from flex_days import LOT, PRODUCT, UP, day_of, grid_of, spot_days
from hypothesis import given, settings
from hypothesis import strategies as st

from exchange.flexibility.products.day import run_day
from exchange.flexibility.products.flex_day import FlexDay, Settled, SettlementRules, SpotResult
from exchange.flexibility.products.left_over import Unused
from exchange.flexibility.products.network_needs import ForecastRules, exceeded, needs_of
from exchange.flexibility.products.payments import booked
from exchange.flexibility.products.qualification import qualify
from exchange.flexibility.products.sessions import SpotRules
from exchange.flexibility.products.vocabulary import (
    Award,
    FlexContract,
    Goal,
    Need,
    Pricing,
    Relief,
    Resource,
    SpotOffer,
)


def spot(day: FlexDay, phase: int = 0) -> SpotResult:
    result = run_day(day)[phase].result
    assert isinstance(result, SpotResult)
    return result


def rules_of(day: FlexDay) -> SpotRules:
    (rules,) = day.phases
    assert isinstance(rules, SpotRules)
    return rules


Taken = dict[tuple[str, str, int], int]
"""Watts by offer, need and interval."""


def worth(day: FlexDay, offers: list[SpotOffer], taken: Taken) -> tuple[float, ...] | None:
    """Return what the session's goals reach; nothing where a rule of the market is broken."""
    rules, grid = rules_of(day), day.grid
    assert grid is not None
    by_name = {each.name: each for each in offers}
    of_resource: dict[tuple[str, object, int], int] = defaultdict(int)
    of_offer: dict[tuple[str, int], int] = defaultdict(int)
    change = np.zeros((day.count, 3))
    reached: dict[tuple[str, int], float] = defaultdict(float)
    cost, needs = 0, {each.name: each for each in day.needs}
    for (name, need_name, t), watts in taken.items():
        offer, need = by_name[name], needs[need_name]
        resource = day.resources[offer.resource]
        of_resource[resource.name, offer.direction, t] += watts
        of_offer[name, t] += watts
        sign = 1 if offer.direction is UP else -1
        bus = grid.network.buses.index(resource.bus or "")
        change[t, bus] += sign * watts
        cost += offer.price_ticks * watts
        if need.relief is not None:
            mine = need.relief.branch == f"to-{resource.zone}"
            reached[need_name, t] += watts * (sign if mine else 0)
        else:
            reached[need_name, t] += watts
    for (name, direction, t), watts in of_resource.items():
        able = day.resources[name].able_w(direction)  # type: ignore[arg-type]
        if watts > min(able, day.able_w.get((name, t), able)):
            return None
        if watts and sum(of_resource.get((name, d, t), 0) > 0 for d in PRODUCT.directions) > 1:
            return None
    for offer in offers:
        watts_by_time = [of_offer.get((offer.name, t), 0) for t in offer.intervals]
        if any((w and w < offer.minimum_w) or w > offer.quantity_w for w in watts_by_time):
            return None
        if offer.block and len(set(watts_by_time)) > 1:
            return None
    for name, resource in day.resources.items():
        on = [
            any(of_resource.get((name, d, t), 0) for d in PRODUCT.directions)
            for t in range(day.count)
        ]
        longest = max(map(len, "".join("1" if each else " " for each in on).split()), default=0)
        if resource.max_duration_s is not None and longest * 3600 > resource.max_duration_s:
            return None
    served = {
        (need.name, t): min(reached[need.name, t], need.wanted_w(t))
        for need in day.needs
        for t in range(day.count)
    }
    if rules.within_network:
        for t in range(day.count):
            base = grid.network.ptdf @ grid.injection_w[t]
            flows = base + grid.network.ptdf @ change[t]
            for k, branch in enumerate(grid.network.branches):
                reliefs = [
                    each.name for each in day.needs if each.relief and each.relief.branch == branch
                ]
                room = max(base[k], grid.network.upper_w[k]) - flows[k]
                if room < -1e-6 or flows[k] < min(base[k], grid.network.lower_w[k]) - 1e-6:
                    return None
                # What relieves the branch for a need stays relieved.
                total = sum(served[name, t] for name in reliefs)
                if total > room:
                    keep = max(room, 0.0)
                    for name in sorted(reliefs, key=lambda each: -needs[each].cap_ticks):
                        served[name, t] = min(served[name, t], keep)
                        keep -= served[name, t]
    value = sum(needs[name].cap_ticks * each for (name, _), each in served.items())
    if rules.goal is Goal.WELFARE:
        return value - cost, sum(served.values())
    return sum(served.values()), -cost


def possible(day: FlexDay, offers: list[SpotOffer]) -> list[tuple[str, str, int, int]]:
    """Return offer, need, interval and most lots of everything that may meet."""
    found = []
    for offer in offers:
        resource = day.resources[offer.resource]
        for need, t in product(day.needs, offer.intervals):
            own = offer.contract is None or rules_of(day).release or need.buyer == "dso"
            if need.relief is not None:
                fits = need.relief.branch == f"to-{resource.zone}" and offer.direction is UP
            else:
                fits = need.zone in (None, resource.zone) and need.direction is offer.direction
            if own and fits and offer.price_ticks <= need.cap_ticks and need.wanted_w(t):
                found.append((offer.name, need.name, t, offer.quantity_w // LOT))
    return found


@settings(max_examples=100)
@given(st.one_of(spot_days(1, 3), spot_days(2, 2)))
def test_no_choice_of_lots_is_better(day: FlexDay) -> None:
    result = spot(day)
    fit = [e for e in day.offers if not qualify(day.resources[e.resource], PRODUCT)]
    offers = [*result.obliged.inserted, *fit]
    places = possible(day, offers)
    if np.prod([most + 1 for *_, most in places] or [1]) > 5_000:
        return
    best: tuple[float, ...] = (-np.inf, -np.inf)
    for lots in product(*(range(most + 1) for *_, most in places)):
        taken = {
            (offer, need, t): LOT * each
            for (offer, need, t, _), each in zip(places, lots, strict=True)
            if each
        }
        best = max(best, worth(day, offers, taken) or best)
    found: Taken = defaultdict(int)
    for award in result.cleared.awards:
        found[award.offer, award.need, award.interval] += award.quantity_w
    assert worth(day, offers, found) == pytest.approx(best, abs=1e-6)


@given(spot_days(4, 6, most_lots=4))
def test_no_watt_is_sold_twice_and_nothing_that_does_not_qualify(day: FlexDay) -> None:
    day_with = day_of(
        (*day.phases, SpotRules("later", within_network=True, release=True), SettlementRules("s")),
        **{
            name: getattr(day, name)
            for name in ("count", "resources", "contracts", "needs", "offers", "able_w", "grid")
        },
    )
    reports = run_day(day_with)
    awards: list[Award] = []
    for report in reports[:2]:
        assert isinstance(report.result, SpotResult)
        awards += report.result.cleared.awards
    watts: dict[tuple[str, object, int], int] = defaultdict(int)
    for each in awards:
        watts[each.resource, each.direction, each.interval] += each.quantity_w
        assert not qualify(day.resources[each.resource], PRODUCT)
        assert each.quantity_w > 0
    for (name, direction, t), total in watts.items():
        able = day.resources[name].able_w(direction)  # type: ignore[arg-type]
        assert total <= min(able, day.able_w.get((name, t), able))
    settled = reports[-1].result
    assert isinstance(settled, Settled)
    assert sum(settled.balances.values()) == 0
    booked(settled.payments, day_with.start_of).check_invariants()
    for name, changes in settled.activated_w.items():
        for t, change in enumerate(changes):
            up, down = (watts.get((name, way, t), 0) for way in PRODUCT.directions)
            assert change == up - down
            assert not (up and down)


@given(spot_days(2, 3))
def test_every_offer_is_taken_or_has_a_reason_and_every_need_is_met_or_named(day: FlexDay) -> None:
    result = spot(day)
    left = {
        (e.offer, t): w
        for e in result.cleared.left_over
        for t, w in zip(e.intervals, e.left_w, strict=True)
    }
    sold: dict[tuple[str, int], int] = defaultdict(int)
    for each in result.cleared.awards:
        sold[each.offer, each.interval] += each.quantity_w
    refused = {each.name for each in result.refused}
    for offer in (*result.obliged.inserted, *day.offers):
        if offer.name in refused:
            assert not any(name == offer.name for name, _ in sold)
            continue
        for t in offer.intervals:
            assert sold[offer.name, t] + left.get((offer.name, t), 0) == offer.quantity_w
    for short in result.cleared.shortfalls:
        assert 0 < short.missing_w <= short.wanted_w
        assert f"{short.missing_w:,} of {short.wanted_w:,} W are missing" in short.detail


@given(spot_days(2, 4))
def test_a_relief_that_lacks_nothing_has_relieved_its_branch(day: FlexDay) -> None:
    result, grid = spot(day), day.grid
    assert grid is not None
    lacking = {(each.need, each.interval) for each in result.cleared.shortfalls}
    change = np.zeros((day.count, 3))
    for award in result.cleared.awards:
        bus = grid.network.buses.index(day.resources[award.resource].bus or "")
        change[award.interval, bus] += award.direction.sign * award.quantity_w
    for wanted in day.needs:
        for t in range(day.count):
            if wanted.relief is not None and (wanted.name, t) not in lacking:
                k = grid.network.branches.index(wanted.relief.branch)
                base = float(grid.network.ptdf[k] @ grid.injection_w[t])
                flow = float(grid.network.ptdf[k] @ (grid.injection_w[t] + change[t]))
                assert flow <= max(base - wanted.wanted_w(t), grid.network.upper_w[k]) + 1e-3


@given(spot_days(2, 3))
def test_obliged_providers_offer_their_contracts_or_are_named(day: FlexDay) -> None:
    result = spot(day)
    contract = day.contracts.get("c")
    if contract is None or not rules_of(day).obligations:
        assert not result.obliged.inserted
        assert not result.obliged.withheld
        return
    usual = day.resources[contract.resource].up_w
    for t in contract.intervals:
        able = min(usual, day.able_w.get((contract.resource, t), usual))
        if qualify(day.resources[contract.resource], PRODUCT):
            able = 0
        withheld = sum(e.quantity_w for e in result.obliged.withheld if e.interval == t)
        assert withheld == max(contract.quantity_w - able, 0)
        inserted = sum(e.quantity_w for e in result.obliged.inserted if t in e.intervals)
        own = sum(
            e.quantity_w
            for e in day.offers
            if e.resource == contract.resource
            and e.direction is UP
            and t in e.intervals
            and e.price_ticks <= contract.utilisation_ticks
            and not qualify(day.resources[e.resource], PRODUCT)
        )
        assert inserted == max(contract.quantity_w - withheld - own, 0)


NORTH = {
    name: Resource(name, "a", "north", up_w, up_w, bus="north")
    for name, up_w in (("r1", 2000), ("r2", 3000), ("r3", 4000))
}


def offer(
    name: str, resource: str, quantity_w: int, price: int, order: int, **more: object
) -> SpotOffer:
    return SpotOffer(name, resource, "p", UP, range(1), quantity_w, 0, price, order, **more)  # type: ignore[arg-type]


def need(name: str, buyer: str, quantity_w: int, cap: int, **more: object) -> Need:
    return Need(name, buyer, "p", range(1), (quantity_w,), cap, UP, "north", **more)  # type: ignore[arg-type]


def test_a_uniform_price_is_that_of_the_dearest_offer_taken() -> None:
    offers = (
        offer("x", "r1", 2000, 3, 0),
        offer("y", "r2", 3000, 5, 1),
        offer("z", "r3", 4000, 8, 2),
    )
    rules = SpotRules("spot", pricing=Pricing.UNIFORM)
    day = day_of(
        (rules,), count=1, resources=NORTH, needs=(need("n", "dso", 4000, 9),), offers=offers
    )
    result = spot(day)
    assert [(e.offer, e.quantity_w, e.price_ticks) for e in result.cleared.awards] == [
        ("x", 2000, 5),
        ("y", 2000, 5),
    ]
    reasons = {each.offer: each.reason for each in result.cleared.left_over}
    assert reasons == {"y": Unused.COSTLIER, "z": Unused.COSTLIER}


def test_what_the_first_buyer_leaves_is_offered_on_and_contracts_only_if_released() -> None:
    """The DSO takes 3 of 5 kW; the TSO gets the rest, and the contracted kW only if released."""
    contract = FlexContract("c", "r1", "a", "dso", "p", UP, range(1), 2000, 4, 1)
    offers = (offer("y", "r2", 3000, 5, 1),)
    needs = (need("local", "dso", 1000, 9), need("system", "tso", 9000, 9))
    for release, expected in ((False, {"y": 3000}), (True, {"c/0": 1000, "y": 3000})):
        phases = (
            SpotRules("local", buyers=("dso",), obligations=True),
            SpotRules("system", buyers=("tso",), obligations=True, release=release),
        )
        day = day_of(
            phases, count=1, resources=NORTH, contracts={"c": contract}, needs=needs, offers=offers
        )
        first = spot(day)
        assert [(e.offer, e.quantity_w) for e in first.cleared.awards] == [("c/0", 1000)]
        second = spot(day, 1)
        assert {e.offer: e.quantity_w for e in second.cleared.awards} == expected
        (short,) = second.cleared.shortfalls
        assert short.missing_w == 9000 - sum(expected.values())


def test_offers_cleared_as_they_arrive_may_cost_more() -> None:
    offers = (offer("dear", "r3", 4000, 8, 0), offer("cheap", "r2", 3000, 2, 1))
    day_parts = {
        "count": 1,
        "resources": NORTH,
        "needs": (need("n", "dso", 4000, 9),),
        "offers": offers,
    }
    together = spot(day_of((SpotRules("spot"),), **day_parts)).cleared.awards
    assert sum(each.amount for each in together) == 3000 * 2 + 1000 * 8
    in_turn = spot(day_of((SpotRules("spot", one_by_one=True),), **day_parts)).cleared.awards
    assert sum(each.amount for each in in_turn) == 4000 * 8


def test_a_balanced_need_buys_inside_and_sells_outside_for_the_spread() -> None:
    """2 kW up in the north at 6, 2 kW down in the south that pays 4: the DSO pays 2 a watt."""
    resources = {**NORTH, "s": Resource("s", "b", "south", 0, 2000, bus="south")}
    sell = SpotOffer("down", "s", "p", PRODUCT.directions[1], range(1), 2000, 0, -4, 1)
    rules = SpotRules("spot", Goal.WELFARE, balanced=True)
    day = day_of(
        (rules, SettlementRules("s")),
        count=1,
        resources=resources,
        needs=(need("n", "dso", 3000, 5),),
        offers=(offer("up", "r3", 4000, 6, 0), sell),
    )
    result = spot(day)
    assert {e.offer: (e.quantity_w, e.amount) for e in result.cleared.awards} == {
        "up": (2000, 12_000),
        "down": (2000, -8_000),
    }
    settled = run_day(day)[1].result
    assert isinstance(settled, Settled)
    assert settled.balances == {"dso": -4000, "a": 12_000, "b": -8000}
    ledger = booked(settled.payments, day.start_of)
    ledger.check_invariants()
    account = ledger.account(day.start, "dso")
    assert account is not None
    assert account.bought_w - account.sold_w == 4000


def test_a_full_branch_is_the_reason_of_what_is_left() -> None:
    """The TSO wants 9 kW down in the north, whose feeder has room for 2 kW more."""
    injection = np.array([[0.0, -3000.0, 0.0]])
    way = PRODUCT.directions[1]
    down = SpotOffer("down", "r3", "p", way, range(1), 4000, 0, 1, 0)
    wanted = Need("n", "tso", "p", range(1), (9000,), 5, way)
    day = day_of(
        (SpotRules("spot", within_network=True),),
        count=1,
        resources=NORTH,
        needs=(wanted,),
        offers=(down,),
        grid=grid_of(injection),
    )
    result = spot(day)
    assert [each.quantity_w for each in result.cleared.awards] == [2000]
    (left,) = result.cleared.left_over
    assert (left.reason, left.detail) == (
        Unused.NETWORK,
        "to-north is full, and it would load it more",
    )
    (short,) = result.cleared.shortfalls
    assert short.missing_w == 7000


@pytest.mark.parametrize("within_network", [True, False])
def test_what_others_load_again_is_lacking_again(within_network: bool) -> None:
    """1 kW too much: the DSO buys it away, and the TSO another 2 kW onto the same branch.

    Blind to the network both get all they want, and the DSO's branch is 2 kW beyond its limit: the
    relief lacks its 1 kW.  Within the network one kilowatt of the two needs has to give way.
    """
    down = SpotOffer("down", "r2", "p", PRODUCT.directions[1], range(1), 2000, 0, 1, 1)
    relief = Need("relief", "dso", "p", range(1), (1000,), 5, relief=Relief("to-north", 1))
    system = Need("system", "tso", "p", range(1), (2000,), 5, PRODUCT.directions[1])
    day = day_of(
        (SpotRules("spot", within_network=within_network),),
        count=1,
        resources=NORTH,
        needs=(relief, system),
        offers=(offer("up", "r1", 1000, 1, 0), down),
        grid=grid_of(np.array([[0.0, -6000.0, 0.0]])),
    )
    cleared = spot(day).cleared
    bought = {each.offer: each.quantity_w for each in cleared.awards}
    lacking = {each.need: each.missing_w for each in cleared.shortfalls}
    if within_network:
        assert sum(lacking.values()) == 2000
        assert cleared.flows[0].after_w <= 6000
    else:
        assert bought == {"up": 1000, "down": 2000}
        assert lacking == {"relief": 1000}
        assert cleared.flows[0].overloaded


def test_needs_of_a_forecast_name_branch_excess_and_places() -> None:
    injection = np.array([[0.0, -5000.0, 0.0], [0.0, -5400.0, 6000.0], [0.0, -6001.5, 0.0]])
    found = exceeded(grid_of(injection), range(3))
    assert [(e.branch, e.interval, e.excess_w) for e in found] == [
        ("to-north", 1, 400),
        ("to-south", 1, 1000),
        ("to-north", 2, 1002),
    ]
    assert [(p.bus, p.direction.value, p.quantity_w) for p in found[1].places] == [
        ("south", "downward", 1000)
    ]
    needs = needs_of(ForecastRules("f", "p", 5), "dso", found)
    assert [(e.name, e.intervals, e.quantity_w) for e in needs] == [
        ("f to-north 1", range(1, 3), (400, 1002)),
        ("f to-south 1", range(1, 2), (1000,)),
    ]
