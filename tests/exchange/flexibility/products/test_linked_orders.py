"""Linked orders: balanced sessions against every choice, times of orders, shares of the spread."""

from __future__ import annotations

from collections import defaultdict
from datetime import timedelta
from fractions import Fraction
from itertools import product

import numpy as np
import pytest
from flex_days import DOWN, LOT, PARTIES, UP, day_of
from hypothesis import given, settings
from hypothesis import strategies as st

from doe_allocation.coordination.messages import told
from exchange.flexibility.products.day import run_day
from exchange.flexibility.products.flex_day import (
    FlexDay,
    Phase,
    Settled,
    SettlementRules,
    SpotResult,
)
from exchange.flexibility.products.payments import Cause, booked
from exchange.flexibility.products.rules.announcement import Announced, AnnouncementRules
from exchange.flexibility.products.sessions import SpotRules
from exchange.flexibility.products.vocabulary import (
    Goal,
    Need,
    Party,
    Resource,
    Role,
    SpotOffer,
)

OPERATORS = {
    **PARTIES,
    "dso-2": Party("dso-2", Role.DSO),
}
START = day_of(()).start
MINUTE = timedelta(minutes=1)


@st.composite
def linked_days(draw: st.DrawFn) -> FlexDay:
    """An hour with two balanced sessions, orders inside and outside, a need of three parties."""
    resources, offers = {}, []
    arrived = 0
    for k in range(draw(st.integers(2, 4))):
        zone = draw(st.sampled_from(("north", "south")))
        name, provider = f"r{k}", draw(st.sampled_from(("a", "b")))
        quantity_w = LOT * draw(st.integers(1, 3))
        direction = DOWN if zone == "north" else UP
        resources[name] = Resource(name, provider, zone, quantity_w, quantity_w)
        arrived += draw(st.integers(0, 10))
        good = draw(st.sampled_from((None, None, arrived + 5, arrived + 15)))
        price = draw(st.integers(-4, 2) if zone == "north" else st.integers(0, 7))
        least_w = draw(st.sampled_from((0, 0, quantity_w)))
        offers.append(
            SpotOffer(
                f"o{k}",
                name,
                "p",
                direction,
                range(1),
                quantity_w,
                least_w,
                price,
                k,
                arrives=START + arrived * MINUTE,
                good_until=None if good is None else START + good * MINUTE,
            )
        )
    weights = draw(st.lists(st.integers(1, 5), min_size=3, max_size=3))
    shares = tuple(zip(("dso", "dso-2", "tso"), weights, strict=True))
    wanted = (LOT * draw(st.integers(1, 4)),)
    cap = draw(st.integers(0, 5))
    need = Need("n", "dso", "p", range(1), wanted, cap, DOWN, "north", shares=shares)
    rest_s = 60 * draw(st.integers(0, 10))
    times = [draw(st.integers(5, 20)), draw(st.integers(20, 40))]
    phases: tuple[Phase, ...] = (
        AnnouncementRules("told"),
        *(
            SpotRules(f"s{t}", Goal.WELFARE, balanced=True, at=START + t * MINUTE, rest_s=rest_s)
            for t in dict.fromkeys(times)
        ),
        SettlementRules("paid"),
    )
    return day_of(
        phases,
        count=1,
        parties=OPERATORS,
        resources=resources,
        needs=(need,),
        offers=tuple(offers),
    )


def sessions(day: FlexDay) -> list[tuple[SpotRules, SpotResult]]:
    return [
        (each.phase, each.result)
        for each in run_day(day)
        if isinstance(each.phase, SpotRules) and isinstance(each.result, SpotResult)
    ]


def in_the_book(rules: SpotRules, offer: SpotOffer) -> bool:
    """Whether an offer counts, by the seconds that it is there before and after the session."""
    assert rules.at is not None
    assert offer.arrives is not None
    before = (rules.at - offer.arrives).total_seconds()
    after = None if offer.good_until is None else (offer.good_until - rules.at).total_seconds()
    return before >= rules.rest_s and before >= 0 and (after is None or after > 0)


@settings(max_examples=120)
@given(linked_days())
def test_no_linked_order_of_what_is_in_the_book_is_better(day: FlexDay) -> None:
    """Watts inside equal watts outside; their value less the spread is the largest there is."""
    (need,) = day.needs
    wanted, sold = need.quantity_w[0], defaultdict[str, int](int)
    for rules, result in sessions(day):
        # A need that lacks nothing takes no part, even where a spread would be a gain.
        book = [each for each in day.offers if wanted and in_the_book(rules, each)]
        best = (0.0, 0.0)
        for lots in product(
            *(range((each.quantity_w - sold[each.name]) // LOT + 1) for each in book)
        ):
            watts = [LOT * each for each in lots]
            least = [
                w and w < offer.minimum_w and not sold[offer.name]
                for w, offer in zip(watts, book, strict=True)
            ]
            inside = sum(w for w, e in zip(watts, book, strict=True) if e.direction is DOWN)
            if any(least) or 2 * inside != sum(watts):
                continue
            spread = sum(w * e.price_ticks for w, e in zip(watts, book, strict=True))
            served = min(inside, wanted)
            best = max(best, (need.cap_ticks * served - spread, served))
        inside = spread = 0
        for award in result.cleared.awards:
            assert award.offer in {each.name for each in book}
            inside += award.quantity_w if award.direction is DOWN else 0
            spread += award.amount
            sold[award.offer] += award.quantity_w
        served = min(inside, wanted)
        assert (need.cap_ticks * served - spread, served) == pytest.approx(best, abs=1e-6)
        for linked in result.linked:
            assert linked.upward_w == linked.downward_w == inside
            assert linked.amount == spread
        wanted -= served
        late = {each.name for each in result.refused}
        for each in day.offers:
            assert rules.at is not None
            assert each.arrives is not None
            there = each.arrives <= rules.at
            assert (each.name in late) == (there and not in_the_book(rules, each))


@given(linked_days())
def test_operators_share_every_spread_exactly_and_the_platform_keeps_nothing(day: FlexDay) -> None:
    settled = run_day(day)[-1].result
    assert isinstance(settled, Settled)
    assert sum(settled.balances.values()) == 0
    assert settled.balances.get("market", 0) == 0
    weights = dict(day.needs[0].shares)
    total = sum(weights.values())
    for _, result in sessions(day):
        for linked in result.linked:
            parts = dict(linked.parts)
            assert sum(parts.values()) == linked.amount
            for party, amount in parts.items():
                exact = Fraction(linked.amount * weights[party], total)
                assert abs(amount - exact) < 1
    paid = dict.fromkeys(weights, 0)
    for each in settled.payments:
        if each.cause is Cause.SHARE:
            paid[each.payer if each.payer in paid else each.payee] += (
                each.amount if each.payer in paid else -each.amount
            )
        else:
            assert "market" in (each.payer, each.payee)
    providers = sum(settled.balances.get(name, 0) for name in ("a", "b"))
    assert sum(paid.values()) == providers
    booked(settled.payments, day.start_of).check_invariants()


def test_a_shared_need_without_balance_is_paid_through_the_market() -> None:
    """1,000 W at 7 ticks by weights 1, 2 and 4: 1,000, 2,000 and 4,000 of 7,000 tick-watts."""
    shares = (("dso", 1), ("dso-2", 2), ("tso", 4))
    day = day_of(
        (SpotRules("spot"), SettlementRules("paid")),
        count=1,
        parties=OPERATORS,
        resources={"r": Resource("r", "a", "north", LOT, 0)},
        needs=(Need("n", "dso", "p", range(1), (LOT,), 9, UP, shares=shares),),
        offers=(SpotOffer("o", "r", "p", UP, range(1), LOT, 0, 7, 1),),
    )
    settled = run_day(day)[1].result
    assert isinstance(settled, Settled)
    assert settled.balances == {"market": 0, "a": 7000, "dso": -1000, "dso-2": -2000, "tso": -4000}


def test_an_announcement_tells_all_providers_and_no_prices() -> None:
    resources = {
        "in": Resource("in", "a", "north", LOT, LOT),
        "out": Resource("out", "b", "south", LOT, LOT),
        "one way": Resource("one way", "b", "north", 0, LOT),
        "unknown": Resource("unknown", "b", "north", LOT, LOT, registered=False),
    }
    needs = (
        Need("n", "dso", "p", range(1), (LOT,), 9, UP, "north", sessions=("spot",)),
        Need("later", "dso", "p", range(1), (LOT,), 9, UP, "north", sessions=("other",)),
    )
    day = day_of(
        (AnnouncementRules("told", ("spot",)), SpotRules("spot"), SpotRules("other")),
        count=1,
        resources=resources,
        needs=needs,
    )
    report = run_day(day)[0]
    assert isinstance(report.result, Announced)
    # what can only go down makes room for nothing that is needed upward
    assert [(e.need.name, e.qualified) for e in report.result.needs] == [("n", ("in",))]
    assert [each.receiver for each in report.messages] == ["a", "b"]
    assert not any("cap" in name for each in told(report.messages) for name in each.fields)


def test_a_resting_time_is_kept_to_the_second() -> None:
    at = START + 30 * MINUTE
    offers = tuple(
        SpotOffer(
            f"o{seconds}", "r", "p", UP, range(1), LOT, 0, 1, k,
            arrives=at - timedelta(seconds=seconds),
        )
        for k, seconds in enumerate((901, 900, 899))
    )  # fmt: skip
    day = day_of(
        (SpotRules("spot", at=at, rest_s=900),),
        count=1,
        resources={"r": Resource("r", "a", "north", 3 * LOT, 0)},
        needs=(Need("n", "dso", "p", range(1), (3 * LOT,), 9, UP),),
        offers=offers,
    )
    ((_, result),) = sessions(day)
    assert [each.offer for each in result.cleared.awards] == ["o901", "o900"]
    (late,) = result.refused
    assert (late.name, late.reason) == ("o899", "too_new")
    assert late.detail == "it has rested for 899 s, spot asks for 900 s"
    assert not np.any([each.quantity_w % LOT for each in result.cleared.awards])
