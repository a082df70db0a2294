"""Ordered profiles against the area under a straight line, and orders that are refused."""

from __future__ import annotations

import itertools
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from doe_allocation.procurement.choices import FlexDirection
from exchange.flexibility.settlement.activation import (
    ActivationOrder,
    ActivationRefusal,
    ActivationTerms,
    OrderedProfile,
    RefusedActivation,
    order_activation,
)

START = datetime(2026, 6, 18, 12, tzinfo=UTC)
TERMS = ActivationTerms(300, 600, 300, 900, 3600, 1800)
ORDER = ActivationOrder(
    "a1", "load:1", FlexDirection.UPWARD, 12_000, START - timedelta(seconds=300), START, 900
)


def profile(order: ActivationOrder = ORDER, terms: ActivationTerms = TERMS) -> OrderedProfile:
    found = order_activation(terms, order)
    assert isinstance(found, OrderedProfile)
    return found


def refused(order: ActivationOrder, *earlier: OrderedProfile) -> ActivationRefusal:
    found = order_activation(TERMS, order, earlier)
    assert isinstance(found, ActivationRefusal)
    return found


def exact(*energies_ws: int) -> tuple[Fraction, ...]:
    return tuple(Fraction(each) for each in energies_ws)


def power_at(each: OrderedProfile, moment: Fraction) -> Fraction:
    """Power in seconds after the start, drawn as a line."""
    if not 0 <= moment <= each.length_s:
        return Fraction(0)
    if moment < each.ramp_s:
        return each.power_w * moment / each.ramp_s
    left = each.length_s - moment
    if left < each.ramp_back_s:
        return each.power_w * left / each.ramp_back_s
    return each.power_w


def area(each: OrderedProfile, since: int, until: int, highest: Fraction | None = None) -> Fraction:
    """Trapezoids between all corners: exact for a line of straight pieces."""
    corners = {Fraction(0), each.ramp_s, each.length_s - each.ramp_back_s, each.length_s}
    if highest is not None and each.power_w:
        part = min(max(highest / each.power_w, Fraction(0)), Fraction(1))
        corners |= {part * each.ramp_s, each.length_s - part * each.ramp_back_s}
    inside = {corner for corner in corners if since < corner < until}
    moments = sorted(inside | {Fraction(since), Fraction(until)})

    def height(since: Fraction, until: Fraction) -> Fraction:
        # Straight between corners, so the height in the middle is the mean; no jump is met there.
        found = power_at(each, (since + until) / 2)
        return found if highest is None else max(min(found, highest), Fraction(0))

    return sum(
        ((b - a) * height(a, b) for a, b in itertools.pairwise(moments)),
        Fraction(0),
    )


PROFILES = st.builds(
    lambda power, ramp, hold, back: OrderedProfile(
        "a1",
        "load:1",
        FlexDirection.UPWARD,
        Fraction(power),
        START,
        Fraction(ramp),
        Fraction(hold),
        Fraction(back),
    ),
    st.integers(1, 10**9),
    st.integers(0, 2_000),
    st.integers(1, 4_000),
    st.integers(0, 2_000),
)


@given(PROFILES, st.integers(0, 900), st.integers(1, 1_000))
def test_energies_are_areas_and_add_up(each: OrderedProfile, early: int, interval_s: int) -> None:
    count = -(-(early + int(each.length_s)) // interval_s)
    first = START - timedelta(seconds=early)
    energies = each.energies_ws(first, interval_s, count)
    assert sum(energies) == each.energy_ws
    for k, energy in enumerate(energies):
        since = k * interval_s - early
        assert energy == area(each, since, since + interval_s)


@given(PROFILES, st.integers(-10, 10**9), st.integers(1, 1_000))
def test_a_capped_profile_is_the_lower_of_both(
    each: OrderedProfile, power_w: int, interval_s: int
) -> None:
    capped = each.capped(power_w)
    assert (capped.start, capped.end) == (each.start, each.end)
    count = -(-int(each.length_s) // interval_s)
    for k, energy in enumerate(capped.energies_ws(START, interval_s, count)):
        since = k * interval_s
        assert energy == area(each, since, since + interval_s, Fraction(power_w))


def test_a_profile_by_hand() -> None:
    """12 kW: up in 10 minutes, 15 minutes there, back in 5; in quarter-hours from 12:00."""
    each = profile()
    assert each.end == START + timedelta(minutes=30)
    # 10 min at a mean of 6 kW and 5 min at 12 kW; 10 min at 12 kW and 5 min at 6 kW
    assert each.energies_ws(START, 900, 2) == exact(7_200_000, 9_000_000)
    assert each.energy_ws == 16_200_000
    # After 5 minutes 6 kW: 300 s at a mean of 3 kW.
    assert each.energies_ws(START, 300, 1) == exact(900_000)
    assert TERMS.full_activation_s == 900


def test_refusals_name_numbers() -> None:
    late = replace(ORDER, notice=START - timedelta(seconds=299))
    assert refused(late).reason is RefusedActivation.LATE_NOTICE
    assert "299 s before the ramp begins; the product needs 300 s" in refused(late).sentence
    for hold_s in (899, 3601):
        found = refused(replace(ORDER, hold_s=hold_s))
        assert found.reason is RefusedActivation.DURATION
        assert f"{hold_s} s; the product allows 900 to 3600 s" in found.sentence
    assert refused(replace(ORDER, power_w=0)).reason is RefusedActivation.NO_POWER
    profile(replace(ORDER, hold_s=3600))


@pytest.mark.parametrize(("gap_s", "allowed"), [(1800, True), (1799, False), (-60, False)])
@pytest.mark.parametrize("after", [True, False])
def test_rest_is_needed_before_and_after(gap_s: int, allowed: bool, after: bool) -> None:
    first = profile()
    length = timedelta(seconds=int(first.length_s) + gap_s)
    moved = length if after else -length
    second = replace(
        ORDER, activation_id="a2", start=ORDER.start + moved, notice=ORDER.notice + moved
    )
    found = order_activation(TERMS, second, [first])
    if allowed:
        assert isinstance(found, OrderedProfile)
    else:
        assert isinstance(found, ActivationRefusal)
        assert found.reason is RefusedActivation.NO_REST
        assert "a1 from" in found.sentence
        assert "1800 s of rest" in found.sentence
    elsewhere = order_activation(TERMS, replace(second, resource="load:2"), [first])
    assert isinstance(elsewhere, OrderedProfile)


@pytest.mark.parametrize(
    "times", [(-1, 0, 0, 1, 1), (0, 0, 0, 0, 1), (0, 0, 0, 2, 1), (0, 0, 0, 1, 1, -1)]
)
def test_terms_out_of_range(times: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="shortest <= longest"):
        ActivationTerms(*times)
