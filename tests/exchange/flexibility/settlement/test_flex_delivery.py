"""Delivery against a recomputation by interval, and money that adds up and explains itself."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from fractions import Fraction

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from doe_allocation.procurement.choices import FlexDirection
from exchange.accounts.ledger import Ledger, Purpose
from exchange.flexibility.largest_remainder import shared
from exchange.flexibility.settlement.activation import OrderedProfile
from exchange.flexibility.settlement.agreement import (
    AvailabilityWindow,
    Call,
    FlexAgreement,
    PenaltyTerms,
)
from exchange.flexibility.settlement.amounts import energy_amount, nearest
from exchange.flexibility.settlement.delivery import Delivery, EnvelopeLimits, measured
from exchange.flexibility.settlement.settlement import FlexItem, FlexSettlement, settle, settled

START = datetime(2026, 6, 18, 12, tzinfo=UTC)
QUARTER = 900
COUNT = 4
UP, DOWN = FlexDirection.UPWARD, FlexDirection.DOWNWARD


def profile(
    direction: FlexDirection, power_w: int, ramp: int, hold: int, back: int, name: str = "a1"
) -> OrderedProfile:
    parts = (Fraction(each) for each in (power_w, ramp, hold, back))
    power, *times = parts
    return OrderedProfile(name, "load:1", direction, power, START, *times)


def exact(*energies_ws: int) -> tuple[Fraction, ...]:
    return tuple(Fraction(each) for each in energies_ws)


WATTS = st.lists(st.integers(-20_000, 20_000), min_size=COUNT, max_size=COUNT)
LIMITS = st.lists(st.integers(0, 20_000), min_size=COUNT, max_size=COUNT)
PROFILES = st.builds(
    profile,
    st.sampled_from(FlexDirection),
    st.integers(1, 20_000),
    st.integers(0, 1_000),
    st.integers(1, 1_600),
    st.integers(0, 1_000),
)
ENVELOPES = st.none() | st.builds(EnvelopeLimits, LIMITS, LIMITS)
DELIVERIES = st.builds(
    measured, PROFILES, st.just(START), st.just(QUARTER), WATTS, WATTS, ENVELOPES
)
PARTS = st.fractions(0, 1, max_denominator=20)
TERMS = st.builds(PenaltyTerms, st.integers(0, 500), PARTS, PARTS, st.integers(0, 500))
WINDOWS = st.builds(
    lambda missing, forbidden, kept, price: AvailabilityWindow(
        missing + forbidden + kept, price, missing + forbidden, forbidden
    ),
    *[st.integers(0, 10_000)] * 3,
    st.integers(0, 300),
)
WEIGHTS = st.dictionaries(st.sampled_from(["dso", "tso", "brp"]), st.integers(1, 9), min_size=1)
AGREEMENTS = st.builds(
    FlexAgreement,
    st.just("c1"),
    st.just("agg"),
    WEIGHTS,
    st.just(START),
    st.integers(-500, 5_000),
    TERMS,
    st.none() | WINDOWS,
)


@given(PROFILES, WATTS, WATTS, ENVELOPES)
def test_every_interval_is_split_into_what_it_was(
    order: OrderedProfile, baseline: list[int], metered: list[int], envelope: EnvelopeLimits | None
) -> None:
    found = measured(order, START, QUARTER, baseline, metered, envelope)
    assert found.ordered == order.energy_ws
    for k in range(COUNT):
        change = QUARTER * (metered[k] - baseline[k]) * (1 if order.direction is UP else -1)
        ordered = found.ordered_ws[k]
        assert found.change_ws[k] == change
        assert found.delivered_ws[k] + found.deficient_ws[k] == ordered
        assert 0 <= found.delivered_ws[k] <= ordered
        assert 0 <= found.excused_ws[k] <= found.deficient_ws[k]
        if change >= 0:
            assert found.delivered_ws[k] + found.over_ws[k] == change
        else:
            assert not found.delivered_ws[k]
            assert not found.over_ws[k]
        if envelope is None:
            assert not found.excused_ws[k]
            continue
        room = (
            envelope.injection_w[k] - baseline[k]
            if order.direction is UP
            else envelope.withdrawal_w[k] + baseline[k]
        )
        if room <= 0:
            assert found.excused_ws[k] == found.deficient_ws[k]
        if room >= order.power_w:
            assert not found.excused_ws[k]
    assert 0 <= found.delivered_share <= 1
    assert 0 <= found.accuracy <= 1
    assert found.delivered + found.excused == found.delivered_share * found.ordered


@given(DELIVERIES, PARTS)
def test_the_penalised_energy_falls_with_the_tolerance(each: Delivery, part: Fraction) -> None:
    assert each.penalised_ws(Fraction(0)) == each.deficient - each.excused
    assert 0 <= each.penalised_ws(part) <= each.penalised_ws(part / 2)
    assert each.penalised_ws(Fraction(1)) == 0


def test_delivery_by_hand() -> None:
    """12 kW less withdrawal: ramp 10 min, hold 15 min, ramp back 5 min."""
    order = profile(UP, 12_000, 600, 900, 300)
    baseline, metered = [-20_000] * 3, [-13_000, -8_000, -21_000]
    found = measured(order, START, QUARTER, baseline, metered)
    assert found.ordered_ws == exact(7_200_000, 9_000_000, 0)
    assert found.change_ws == exact(6_300_000, 10_800_000, -900_000)
    assert found.delivered_ws == exact(6_300_000, 9_000_000, 0)
    assert found.over_ws == exact(0, 1_800_000, 0)
    assert found.deficient_ws == exact(900_000, 0, 0)
    assert found.delivered_share == Fraction(153, 162)
    assert found.accuracy == 1 - Fraction(900_000 + 1_800_000 + 900_000, 16_200_000)
    assert found.penalised_ws(Fraction(1, 20)) == 540_000  # 900,000 less 5 % of 7,200,000
    # The envelope lets it withdraw no less than 11 kW in the first interval: 9 kW of room.  Limits
    # of injection are >= 0, so this is a resource with a negative baseline that may inject nothing.
    order = profile(UP, 12_000, 0, 900, 0)
    bound = measured(order, START, QUARTER, [-9_000], [-3_000], EnvelopeLimits([0], [20_000]))
    assert bound.deficient_ws == exact(5_400_000)  # 12 kW ordered, 6 kW delivered
    assert bound.excused_ws == exact(2_700_000)  # 12 kW ordered, 9 kW possible


def test_an_envelope_cuts_a_ramp_where_power_is_above_it() -> None:
    """12 kW in 15 minutes: the mean is 6 kW, and still 6 kW of room forbid the second half."""
    order = profile(UP, 12_000, 900, 900, 0)
    envelope = EnvelopeLimits([10_000, 16_000], [0, 0])
    found = measured(order, START, QUARTER, [4_000] * 2, [4_000] * 2, envelope)
    assert found.deficient_ws == exact(5_400_000, 10_800_000)
    # 450 s at a mean of 3 kW and 450 s at 6 kW are possible.
    assert found.excused_ws == exact(5_400_000 - 1_350_000 - 2_700_000, 0)


def test_what_does_not_fit_is_refused() -> None:
    order = profile(UP, 12_000, 600, 900, 300)
    with pytest.raises(ValueError, match="3 intervals are metered, the baseline has 2"):
        measured(order, START, QUARTER, [0] * 2, [0] * 3)
    with pytest.raises(ValueError, match="its 1 intervals of 900 s from"):
        measured(order, START, QUARTER, [0], [0])
    with pytest.raises(ValueError, match="its 4 intervals"):
        measured(order, START + timedelta(seconds=900), QUARTER, [0] * 4, [0] * 4)
    with pytest.raises(ValueError, match="envelope has 1 intervals"):
        measured(order, START, QUARTER, [0] * 2, [0] * 2, EnvelopeLimits([0], [0]))
    with pytest.raises(ValueError, match="limit of -1 W"):
        measured(order, START, QUARTER, [0] * 2, [0] * 2, EnvelopeLimits([0, -1], [0, 0]))
    with pytest.raises(ValueError, match=r"metered: value 1 is 0\.5"):
        measured(order, START, QUARTER, [0] * 2, [0, 0.5])  # type: ignore[list-item]


def check_booked(found: FlexSettlement) -> Ledger:
    """Every amount is above 0, money adds up, and statements are the balances of the ledger."""
    ledger = Ledger()
    found.book(ledger)
    ledger.check_invariants()
    assert all(each.entry.amount > 0 for each in found.entries)
    assert all(each.entry.purpose is each.item.purpose for each in found.entries)
    for name in found.names():
        statement = found.statement(name)
        assert statement.balance == ledger.balance(name)
        assert len(statement.sentences()) == len(statement.entries)
    assert sum(found.statement(name).balance for name in found.names()) == 0
    assert Ledger.restore(ledger.snapshot()).snapshot() == ledger.snapshot()
    return ledger


def calls_of(deliveries: list[Delivery]) -> list[Call]:
    return [Call(replace(d, activation_id=f"a{k}")) for k, d in enumerate(deliveries)]


@given(AGREEMENTS, st.lists(DELIVERIES, max_size=3))
def test_amounts_follow_their_formulas_and_add_up(
    agreement: FlexAgreement, deliveries: list[Delivery]
) -> None:
    calls = calls_of(deliveries)
    found = settle(agreement, calls)
    check_booked(found)
    price, terms = agreement.utilisation_price_ticks, agreement.penalties
    kilo = Fraction(1, 3_600)  # tick-watts of a watt-second at one tick per kWh

    def near(value: Fraction) -> int:
        return int((value + Fraction(1, 2)) // 1)

    assert found.total(FlexItem.UTILISATION) == sum(
        near(d.ordered * price * kilo) for d in deliveries
    )
    assert found.total(FlexItem.NOT_DELIVERED) == sum(
        near(d.deficient * price * kilo) for d in deliveries
    )
    assert found.total(FlexItem.SHORT_DELIVERY) == sum(
        near(d.penalised_ws(terms.tolerance) * terms.energy_price_ticks * kilo) for d in deliveries
    )
    window = agreement.availability
    if window is None:
        assert not any(each.activation_id == "" for each in found.entries)
        return
    missing = window.unavailable_w - window.forbidden_w
    kept = (window.reserved_w - missing) * window.price_ticks
    assert found.total(FlexItem.AVAILABILITY) == window.reserved_w * window.price_ticks
    assert found.total(FlexItem.NOT_AVAILABLE) == missing * window.price_ticks
    assert found.total(FlexItem.SHORT_AVAILABILITY) == missing * terms.availability_price_ticks
    lost = any(d.delivered_share < terms.least_delivered_share for d in deliveries)
    assert found.total(FlexItem.LOST_AVAILABILITY) == (kept if lost else 0)


@given(AGREEMENTS, st.lists(DELIVERIES, max_size=3))
def test_a_provider_never_receives_more_than_for_what_was_ordered(
    agreement: FlexAgreement, deliveries: list[Delivery]
) -> None:
    price = agreement.utilisation_price_ticks
    assume(price >= 0)
    found = settle(agreement, calls_of(deliveries))
    most = sum(energy_amount(d.ordered, price) for d in deliveries)
    if agreement.availability is not None:
        most += agreement.availability.reserved_w * agreement.availability.price_ticks
    assert found.statement("agg").balance <= most
    for each in deliveries:
        paid = energy_amount(each.ordered, price) - energy_amount(each.deficient, price)
        assert paid >= 0
        assert abs(paid - each.delivered * price / 3_600) <= 1


@given(
    AGREEMENTS, PROFILES, WATTS, WATTS, ENVELOPES, st.integers(0, COUNT - 1), st.integers(1, 9_999)
)
def test_penalties_never_fall_when_less_is_delivered(
    agreement: FlexAgreement,
    order: OrderedProfile,
    baseline: list[int],
    metered: list[int],
    envelope: EnvelopeLimits | None,
    place: int,
    less_w: int,
) -> None:
    assume(agreement.utilisation_price_ticks >= 0)
    worse = list(metered)
    worse[place] += -less_w if order.direction is UP else less_w
    before, after = (
        settle(agreement, [Call(measured(order, START, QUARTER, baseline, each, envelope))])
        for each in (metered, worse)
    )
    for item in (FlexItem.NOT_DELIVERED, FlexItem.SHORT_DELIVERY, FlexItem.LOST_AVAILABILITY):
        assert after.total(item) >= before.total(item)
    assert after.statement("agg").balance <= before.statement("agg").balance


@given(PROFILES, WATTS, AGREEMENTS)
def test_what_the_envelope_forbids_costs_no_penalty(
    order: OrderedProfile, baseline: list[int], agreement: FlexAgreement
) -> None:
    """The envelope leaves nothing beyond the baseline, and the resource stays there."""
    baseline = [abs(w) if order.direction is UP else -abs(w) for w in baseline]
    inside = EnvelopeLimits([max(w, 0) for w in baseline], [max(-w, 0) for w in baseline])
    delivery = measured(order, START, QUARTER, baseline, baseline, inside)
    found = settle(replace(agreement, availability=None), [Call(delivery)])
    assert delivery.delivered_share == 1
    assert delivery.delivered == 0
    assert not any(each.entry.purpose is Purpose.PENALTY for each in found.entries)
    assert found.statement("agg").balance == 0


@given(
    st.integers(-(10**12), 10**12), st.dictionaries(st.text(), st.integers(1, 10**6), min_size=1)
)
def test_shares_are_exact_to_one_unit(amount: int, weights: dict[str, int]) -> None:
    parts = shared(amount, weights)
    total = sum(weights.values())
    assert sum(parts.values()) == amount
    assert parts.keys() == weights.keys()
    fractions = {name: Fraction(amount * w, total) for name, w in weights.items()}
    assert all(abs(parts[name] - fractions[name]) < 1 for name in weights)
    # Nobody who was rounded away from 0 has a smaller remainder than one who was not.
    up = [abs(fractions[n]) % 1 for n in weights if abs(parts[n]) > abs(fractions[n])]
    down = [abs(fractions[n]) % 1 for n in weights if abs(parts[n]) < abs(fractions[n])]
    assert not up or not down or min(up) >= max(down)


def test_shares_by_hand() -> None:
    assert shared(100, {"dso": 1, "tso": 1, "brp": 1}) == {"brp": 34, "dso": 33, "tso": 33}
    assert shared(-7, {"a": 2, "b": 1}) == {"a": -5, "b": -2}
    assert [nearest(Fraction(n, 2)) for n in (-3, -1, 1, 3)] == [-1, 0, 1, 2]
    for weights, words in (({}, "nobody"), ({"a": 0}, "a: its share is 0")):
        with pytest.raises(ValueError, match=words):
            shared(1, weights)


AGREEMENT = FlexAgreement(
    "c1",
    "agg",
    {"dso": 2, "tso": 1},
    START,
    3_000,  # 0.30 EUR/kWh
    PenaltyTerms(6_000, Fraction(1, 20), Fraction(9, 10), 1_000),
    AvailabilityWindow(12_000, 500, unavailable_w=3_000, forbidden_w=1_000),
)


def test_a_settlement_by_hand() -> None:
    """The delivery by hand above: 4.5 kWh ordered, 0.25 kWh missing, 0.15 kWh penalised."""
    order = profile(UP, 12_000, 600, 900, 300)
    good = measured(order, START, QUARTER, [-20_000] * 2, [-13_000, -8_000])
    found = settle(AGREEMENT, [Call(good)])
    wanted = {
        FlexItem.AVAILABILITY: 6_000_000,  # 12 kW at 0.05 EUR/kW: 0.60 EUR
        FlexItem.NOT_AVAILABLE: 1_000_000,  # 2 kW: 0.10 EUR
        FlexItem.SHORT_AVAILABILITY: 2_000_000,  # 2 kW at 0.10 EUR/kW: 0.20 EUR
        FlexItem.UTILISATION: 13_500_000,  # 4.5 kWh at 0.30 EUR/kWh: 1.35 EUR
        FlexItem.NOT_DELIVERED: 750_000,  # 0.25 kWh: 0.075 EUR
        FlexItem.SHORT_DELIVERY: 900_000,  # 0.15 kWh at 0.60 EUR/kWh: 0.09 EUR
        FlexItem.LOST_AVAILABILITY: 0,  # 94.4 % is above 90 %
    }
    assert {item: found.total(item) for item in FlexItem} == wanted
    balance = 6_000_000 - 1_000_000 - 2_000_000 + 13_500_000 - 750_000 - 900_000
    assert found.statement("agg").balance == balance
    assert found.statement("dso").balance + found.statement("tso").balance == -balance
    first = found.statement("dso").sentences()[0]
    assert first == (
        "dso pays 4000000 tick-watts to agg (2/3 of it). 12000 W are reserved at 500 ticks/kW."
    )
    assert any(
        "250 Wh were not delivered and 0 Wh of these forbidden by the envelope; 150 Wh are beyond "
        "the tolerance of 5 % in each interval, at 6000 ticks/kWh." in sentence
        for sentence in found.statement("agg").sentences()
    )
    # A second activation of which little comes: the availability is lost, once.
    bad = replace(measured(order, START, QUARTER, [-20_000] * 2, [-20_000] * 2), activation_id="a2")
    worse = replace(bad, activation_id="a3")
    both = settle(AGREEMENT, [Call(good), Call(bad), Call(worse)])
    assert both.total(FlexItem.LOST_AVAILABILITY) == 5_000_000
    check_booked(both)


def test_another_buyer_may_call() -> None:
    order = profile(DOWN, 8_000, 0, 900, 0)
    delivery = measured(order, START, QUARTER, [0], [-8_000])
    found = settle(AGREEMENT, [Call(delivery, {"brp": 1})])
    used = [each for each in found.entries if each.item is FlexItem.UTILISATION]
    assert [(each.entry.payer, each.entry.amount) for each in used] == [("brp", 6_000_000)]
    other = settle(replace(AGREEMENT, agreement_id="c2"), [Call(delivery)])
    together = settled([found, other])
    assert together.total(FlexItem.UTILISATION) == 12_000_000
    check_booked(together)
    # At a price below 0 the provider pays.
    negative = settle(replace(AGREEMENT, utilisation_price_ticks=-100), [Call(delivery)])
    entries = [each.entry for each in negative.entries if each.item is FlexItem.UTILISATION]
    assert [(e.payer, e.amount) for e in entries] == [("agg", 133_333), ("agg", 66_667)]


def test_agreements_that_make_no_sense() -> None:
    order = profile(UP, 12_000, 0, 900, 0)
    call = Call(measured(order, START, QUARTER, [0], [0]))
    for words, attempt in (
        ("it has no buyer", lambda: replace(AGREEMENT, buyers={})),
        ("agg would buy from itself", lambda: replace(AGREEMENT, buyers={"agg": 1})),
        ("the weight of dso is 0", lambda: replace(AGREEMENT, buyers={"dso": 0})),
        ("a1 is settled twice", lambda: settle(AGREEMENT, [call, call])),
        ("a1: it has no buyer", lambda: settle(AGREEMENT, [Call(call.delivery, {})])),
        ("forbidden <= unavailable", lambda: AvailabilityWindow(5, 1, 3, 4)),
        ("availability price is -1", lambda: AvailabilityWindow(5, -1)),
        ("energy_price_ticks is -1", lambda: PenaltyTerms(-1)),
        ("tolerance is 2", lambda: PenaltyTerms(tolerance=Fraction(2))),
    ):
        with pytest.raises(ValueError, match=words):
            attempt()
