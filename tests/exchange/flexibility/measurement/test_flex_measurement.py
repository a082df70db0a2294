"""Orders, deliveries and money of a day against a recomputation, and what holds of every day."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from fractions import Fraction

import pytest
from flex_days import DOWN, LOT, UP, day_of, spot_days
from hypothesis import given, settings
from hypothesis import strategies as st

from doe_allocation.procurement.choices import FlexDirection
from exchange.flexibility.measurement.measuring import Measured, MeasurementRules
from exchange.flexibility.measurement.metering import DeliveryTerms, Meter, Metering
from exchange.flexibility.measurement.monitoring import Monitored, MonitoringRules
from exchange.flexibility.measurement.orders import Activated, ActivationRules
from exchange.flexibility.measurement.paying import part_of
from exchange.flexibility.products.day import run_day
from exchange.flexibility.products.flex_day import FlexDay, Settled, SettlementRules, SpotResult
from exchange.flexibility.products.payments import Cause
from exchange.flexibility.products.sessions import SpotRules
from exchange.flexibility.products.vocabulary import Award, FlexContract, Need, Resource, SpotOffer
from exchange.flexibility.settlement.activation import (
    ActivationRefusal,
    ActivationTerms,
    OrderedProfile,
    RefusedActivation,
)
from exchange.flexibility.settlement.agreement import PenaltyTerms
from exchange.flexibility.settlement.baselines import MeanOfComparableDays
from exchange.flexibility.settlement.delivery import EnvelopeLimits
from exchange.flexibility.settlement.records import DeliveryDay, ResourceRecords

START = datetime(2027, 1, 1, tzinfo=UTC)  # a Friday, as all of flex_days
BEFORE = date(2026, 12, 31)
HOUR = 3600
TERMS = ActivationTerms(0, 0, 0, 1, 10**6)
PENALTIES = st.builds(
    PenaltyTerms,
    st.integers(0, 9),
    st.fractions(0, 1, max_denominator=4),
    st.fractions(0, 1, max_denominator=4),
)
AFTER = (
    ActivationRules("orders", START),
    MeasurementRules("measurement"),
    SettlementRules("settlement"),
)


def metering_of(
    meters: dict[str, Meter],
    count: int,
    activation: ActivationTerms = TERMS,
    penalties: PenaltyTerms | None = None,
    interval_s: int = HOUR,
) -> Metering:
    terms = DeliveryTerms(activation, MeanOfComparableDays(1, 1), penalties or PenaltyTerms())
    return Metering(DeliveryDay(START.date(), START, interval_s, count), {"p": terms}, meters)


def meter(name: str, baseline: tuple[int, ...], metered: tuple[int, ...]) -> Meter:
    return Meter(ResourceRecords(name, {BEFORE: baseline, START.date(): metered}))


@st.composite
def measured_days(draw: st.DrawFn) -> FlexDay:
    """A day with a session of all buyers, a second one for the TSO, orders and measurement."""
    count = draw(st.integers(1, 3))
    day = draw(spot_days(count, 4))
    (first,) = day.phases
    assert isinstance(first, SpotRules)
    second = replace(first, name="second", buyers=("tso",))
    watts = st.lists(st.integers(-3 * LOT, 3 * LOT), min_size=count, max_size=count).map(tuple)
    limits = st.lists(st.integers(0, 3 * LOT), min_size=count, max_size=count).map(tuple)
    meters = {}
    for name in day.resources:
        own = meter(name, draw(watts), draw(watts))
        meters[name] = replace(
            own, envelope=draw(st.none() | st.builds(EnvelopeLimits, limits, limits))
        )
    metering = metering_of(meters, count, penalties=draw(PENALTIES))
    return replace(day, phases=(first, second, *AFTER), metering=metering)


def results(day: FlexDay) -> tuple[list[Award], Measured, Settled]:
    reports = [each.result for each in run_day(day)]
    awards = [a for each in reports if isinstance(each, SpotResult) for a in each.cleared.awards]
    measured, settled = reports[-2], reports[-1]
    assert isinstance(measured, Measured)
    assert isinstance(settled, Settled)
    return awards, measured, settled


def change_w(day: FlexDay, award: Award) -> int:
    """What the meter moved from the only comparable day, in the award's direction."""
    assert day.metering is not None
    own = day.metering.meters[award.resource].records.metered_w
    sign = 1 if award.direction is UP else -1
    return sign * (own[START.date()][award.interval] - own[BEFORE][award.interval])


def forbidden_w(day: FlexDay, award: Award, ordered_w: int) -> int:
    """By how much the envelope lay below what was ordered on top of the baseline."""
    assert day.metering is not None
    own = day.metering.meters[award.resource]
    if own.envelope is None:
        return 0
    usual = own.records.metered_w[BEFORE][award.interval]
    if award.direction is UP:
        room = own.envelope.injection_w[award.interval] - usual
    else:
        room = own.envelope.withdrawal_w[award.interval] + usual
    return ordered_w - min(max(room, 0), ordered_w)


@settings(max_examples=60)
@given(measured_days())
def test_money_is_what_each_watt_of_each_award_earns(day: FlexDay) -> None:
    """Each award earns its part of what was delivered; amounts are rounded, at most one each."""
    awards, _, settled = results(day)
    assert day.metering is not None
    terms = day.metering.terms["p"].penalties
    powers: dict[tuple[str, FlexDirection, int], int] = defaultdict(int)
    for each in awards:
        powers[each.resource, each.direction, each.interval] += each.quantity_w
    expected: dict[str, Fraction] = defaultdict(Fraction)
    for each in awards:
        ordered = powers[each.resource, each.direction, each.interval]
        part = Fraction(each.quantity_w, ordered)
        delivered = min(max(change_w(day, each), 0), ordered)
        short = ordered - delivered
        excused = min(short, forbidden_w(day, each, ordered))
        fined = max(short - excused - terms.tolerance * ordered, Fraction(0))
        earned = part * (each.price_ticks * delivered - terms.energy_price_ticks * fined)
        expected[each.provider] += earned
        expected[each.buyer] -= earned
    found: dict[str, int] = defaultdict(int)
    entries = 0
    for payment in settled.payments:
        if payment.cause in (Cause.UTILISATION, Cause.NOT_DELIVERED, Cause.SHORT_DELIVERY):
            entries += 1
            found[payment.payee] += payment.amount
            found[payment.payer] -= payment.amount
    for name in {*expected, *found}:
        assert abs(found[name] - expected[name]) <= Fraction(entries, 2)


@settings(max_examples=60)
@given(measured_days())
def test_no_watt_is_sold_or_counted_twice_and_money_adds_up_to_nothing(day: FlexDay) -> None:
    awards, measured, settled = results(day)
    sold: dict[tuple[str, FlexDirection, int], int] = defaultdict(int)
    for each in awards:
        sold[each.resource, each.direction, each.interval] += each.quantity_w
    for (name, direction, t), watts in sold.items():
        usual = day.resources[name].able_w(direction)
        assert watts <= min(usual, day.able_w.get((name, t), usual))
        other = DOWN if direction is UP else UP
        assert not sold.get((name, other, t))
    ordered: dict[tuple[str, FlexDirection, int], Fraction] = defaultdict(Fraction)
    for one in measured.orders:
        for t, energy in zip(one.given.intervals, one.delivery.ordered_ws, strict=True):
            ordered[one.given.order.resource, one.given.order.direction, t] += energy
    assert ordered == {key: watts * HOUR for key, watts in sold.items()}
    assert sum(settled.balances.values()) == 0
    for name, balance in settled.balances.items():
        received = sum(each.amount for each in settled.payments if each.payee == name)
        assert balance == received - sum(e.amount for e in settled.payments if e.payer == name)
    assert all(each.amount >= 0 and each.sentence for each in settled.payments)


@settings(max_examples=60)
@given(measured_days(), st.integers(0, 3 * LOT))
def test_a_provider_never_gains_by_less_and_never_has_more_than_was_ordered(
    day: FlexDay, less_w: int
) -> None:
    awards, _, settled = results(day)
    assert day.metering is not None
    ways = {(each.resource, each.interval): each.direction for each in awards}
    meters = {}
    for name, own in day.metering.meters.items():
        metered = list(own.records.metered_w[START.date()])
        for t in range(day.count):
            if (name, t) in ways:
                metered[t] -= less_w if ways[name, t] is UP else -less_w
        records = replace(
            own.records, metered_w={**own.records.metered_w, START.date(): tuple(metered)}
        )
        meters[name] = replace(own, records=records)
    again = results(replace(day, metering=replace(day.metering, meters=meters)))[2]
    fined = (Cause.SHORT_DELIVERY, Cause.LOST_AVAILABILITY)
    for provider in ("a", "b"):
        assert again.balances.get(provider, 0) <= settled.balances.get(provider, 0)
        most = sum(each.amount for each in awards if each.provider == provider)
        most += sum(
            each.availability_ticks * each.quantity_w
            for each in day.contracts.values()
            if each.provider == provider
        )
        assert settled.balances.get(provider, 0) <= most

        def penalty(of: Settled, who: str = provider) -> int:
            return sum(e.amount for e in of.payments if e.cause in fined and e.payer == who)

        assert penalty(again) >= penalty(settled)


@settings(max_examples=30)
@given(measured_days())
def test_without_a_measurement_what_was_sold_is_paid_and_it_says_so(day: FlexDay) -> None:
    first, second, *_ = day.phases
    phases = (first, second, SettlementRules("settlement"))
    plain = run_day(replace(day, phases=phases))[-1].result
    bare = run_day(replace(day, phases=phases, metering=None))[-1].result
    assert isinstance(plain, Settled)
    assert plain == bare
    sold = results(day)[0]
    said = f"{len(sold)} of {len(sold)} awards are paid as sold: no measurement came before"
    assert plain.notes == ((said,) if sold else ())
    paid = sum(each.amount for each in plain.payments if each.cause is Cause.UTILISATION)
    assert paid == sum(abs(each.amount) for each in sold)


def one_resource(
    quantities: tuple[int, ...],
    metering: Metering,
    at: datetime = START,
    contracts: tuple[FlexContract, ...] = (),
    interval: timedelta = timedelta(hours=1),
) -> FlexDay:
    """A day in which the resource r sells watts upward to the DSO, at 10 ticks."""
    count = len(quantities)
    needs = tuple(
        Need(f"n{t}", "dso", "p", range(t, t + 1), (watts,), 10, UP)
        for t, watts in enumerate(quantities)
        if watts
    )
    offer = SpotOffer("o", "r", "p", UP, range(count), max(quantities), 0, 10, 0)
    return day_of(
        (
            SpotRules("spot"),
            ActivationRules("orders", at),
            *AFTER[1:],
            MonitoringRules("report"),
        ),
        count=count,
        interval=interval,
        resources={"r": Resource("r", "a", "north", max(quantities), 0)},
        needs=needs,
        offers=(offer,),
        contracts={each.name: each for each in contracts},
        metering=metering,
    )


def orders(day: FlexDay) -> Activated:
    (found,) = [r.result for r in run_day(day) if isinstance(r.result, Activated)]
    return found


def test_an_order_lasts_while_the_power_is_the_same() -> None:
    watts = (3 * LOT, 3 * LOT, LOT, 0, LOT)
    own = metering_of({"r": meter("r", (0,) * 5, watts)}, 5)
    given_ = orders(one_resource(watts, own)).orders
    assert [(each.intervals, each.order.power_w) for each in given_] == [
        (range(2), 3 * LOT),
        (range(2, 3), LOT),
        (range(4, 5), LOT),
    ]


def test_ramps_lie_within_what_was_sold() -> None:
    """4 kW over two hours, an hour up and half an hour back: 2 + 2 + 1 = 5 kWh of 8."""
    own = metering_of(
        {"r": meter("r", (0, 0), (2 * LOT, 3 * LOT))},
        2,
        ActivationTerms(0, 3600, 1800, 1, 10**6),
    )
    day = one_resource((4 * LOT, 4 * LOT), own)
    (order,) = orders(day).orders
    assert isinstance(order.answer, OrderedProfile)
    assert order.answer.energy_ws == 5 * LOT * HOUR
    settled = run_day(day)[-2].result
    assert isinstance(settled, Settled)
    assert settled.balances == {"dso": -10 * 5 * LOT, "a": 10 * 5 * LOT}


@pytest.mark.parametrize(
    ("terms", "reason", "said"),
    [
        (
            ActivationTerms(7200, 0, 0, 1, 10**6),
            RefusedActivation.LATE_NOTICE,
            "r/0 of r: notice is given 0 s before the ramp begins; the product needs 7200 s",
        ),
        (
            ActivationTerms(0, 2400, 1800, 1, 10**6),
            RefusedActivation.DURATION,
            "r/0 of r: it holds for -600 s; the product allows 1 to 1000000 s",
        ),
        (
            ActivationTerms(0, 0, 0, 4000, 10**6),
            RefusedActivation.DURATION,
            "r/0 of r: it holds for 3600 s; the product allows 4000 to 1000000 s",
        ),
    ],
)
def test_what_is_refused_is_neither_measured_nor_paid(
    terms: ActivationTerms, reason: RefusedActivation, said: str
) -> None:
    own = metering_of({"r": meter("r", (0,), (LOT,))}, 1, terms)
    reports = run_day(one_resource((LOT,), own))
    (order,) = orders(one_resource((LOT,), own)).orders
    assert isinstance(order.answer, ActivationRefusal)
    assert order.answer.reason is reason
    settled = reports[-2].result
    assert isinstance(settled, Settled)
    assert settled.payments == ()
    assert settled.notes == (f"not ordered and not paid: {said}",)


def test_rest_is_needed_between_activations_but_not_where_power_changes() -> None:
    watts = (LOT, 2 * LOT, 0, LOT)
    own = metering_of(
        {"r": meter("r", (0,) * 4, watts)}, 4, ActivationTerms(0, 0, 0, 1, 10**6, 7200)
    )
    answers = [each.answer for each in orders(one_resource(watts, own)).orders]
    assert [isinstance(each, OrderedProfile) for each in answers] == [True, True, False]
    assert isinstance(answers[2], ActivationRefusal)
    assert answers[2].reason is RefusedActivation.NO_REST


def test_availability_is_lost_by_any_activation_within_the_contract() -> None:
    """9 kW reserved at 2 ticks; half of an order outside the contract's offers is delivered."""
    contract = FlexContract("c", "r", "a", "dso", "p", UP, range(2), 9 * LOT, 2, 10, obliged=False)
    for share, lost in ((Fraction(1, 2), 0), (Fraction(3, 4), 18 * LOT)):
        own = metering_of(
            {"r": meter("r", (0, 0), (0, LOT))},
            2,
            penalties=PenaltyTerms(least_delivered_share=share),
        )
        settled = run_day(one_resource((0, 2 * LOT), own, contracts=(contract,)))[-2].result
        assert isinstance(settled, Settled)
        back = [e.amount for e in settled.payments if e.cause is Cause.LOST_AVAILABILITY]
        assert sum(back) == lost
        # 2 kWh at 10 ticks are ordered, half of it is paid back
        assert settled.balances["a"] == 18 * LOT - lost + 10 * LOT


def test_a_price_for_a_quarter_hour_is_four_times_that_per_kilowatt_hour() -> None:
    own = metering_of({"r": meter("r", (0, 0), (LOT, LOT))}, 2, interval_s=900)
    day = one_resource((LOT, LOT), own, interval=timedelta(minutes=15))
    settled = run_day(day)[-2].result
    assert isinstance(settled, Settled)
    assert settled.balances == {"dso": -20 * LOT, "a": 20 * LOT}
    (payment,) = settled.payments
    assert payment.sentence == "r/0 orders 500 Wh at 40 ticks/kWh."


def test_an_interval_that_does_not_divide_an_hour_has_no_price_per_kilowatt_hour() -> None:
    with pytest.raises(ValueError, match="an interval of 2400 s does not divide an hour"):
        metering_of({}, 1, interval_s=2400)


def test_metered_power_of_another_length_is_named() -> None:
    own = metering_of({"r": meter("r", (0, 0), (LOT,))}, 2)
    with pytest.raises(ValueError, match="r: 1 intervals are metered, the day has 2"):
        run_day(one_resource((LOT, LOT), own))


def test_the_report_adds_up_what_was_sold_and_delivered() -> None:
    own = metering_of({"r": meter("r", (0, 0), (3 * LOT, LOT))}, 2)
    report = run_day(one_resource((2 * LOT, 2 * LOT), own))[-1].result
    assert isinstance(report, Monitored)
    (zone,) = report.zones
    assert (zone.zone, zone.trades, zone.cost) == ("north", 2, 40 * LOT)
    energies = (zone.sold_ws, zone.ordered_ws, zone.delivered_ws, zone.over_ws)
    assert [each / (LOT * HOUR) for each in energies] == [4, 4, 3, 1]


@given(st.lists(st.fractions(0, 1, max_denominator=9), min_size=3, max_size=3))
def test_parts_of_a_delivery_add_up_to_it(parts: list[Fraction]) -> None:
    watts = (LOT, 2 * LOT, 2 * LOT)
    own = metering_of({"r": meter("r", (0,) * 3, (0, 3 * LOT, LOT))}, 3)
    result = run_day(one_resource(watts, own))[2].result
    assert isinstance(result, Measured)
    whole = result.orders[-1].delivery
    one = part_of(whole, parts[: len(whole.ordered_ws)])
    other = part_of(whole, [1 - each for each in parts[: len(whole.ordered_ws)]])
    for key in ("ordered_ws", "change_ws", "delivered_ws", "over_ws", "deficient_ws", "excused_ws"):
        both = zip(getattr(one, key), getattr(other, key), strict=True)
        assert tuple(a + b for a, b in both) == getattr(whole, key)
