"""Baselines against pandas and plain recomputation, and by hand."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from fractions import Fraction

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from exchange.flexibility.settlement.baselines import (
    AdjustmentKind,
    AsNominated,
    BaselineError,
    DayChoice,
    MeanOfComparableDays,
    SameDayAdjustment,
)
from exchange.flexibility.settlement.records import (
    DayKind,
    DeliveryDay,
    Nomination,
    ResourceRecords,
    day_kind,
)

THURSDAY = date(2026, 6, 18)
START = datetime(2026, 6, 18, tzinfo=UTC)
COUNT = 8
DAY = DeliveryDay(THURSDAY, START, 3 * 3600, COUNT)
NOTICE = START + timedelta(hours=12)  # four intervals have ended
WINDOW = range(5, 7)


def days_before(count: int) -> list[date]:
    return [THURSDAY - timedelta(days=back) for back in range(1, count + 1)]


PROFILE = st.lists(st.integers(-9_000, 9_000), min_size=COUNT, max_size=COUNT)
RECORDS = st.builds(
    lambda profiles, kept, activated, today: ResourceRecords(
        "load:1",
        {
            **{d: p for d, p, k in zip(days_before(40), profiles, kept, strict=True) if k},
            THURSDAY: today,
        },
        frozenset(d for d, a in zip(days_before(40), activated, strict=True) if a),
    ),
    st.lists(PROFILE, min_size=40, max_size=40),
    st.lists(st.sampled_from([True, True, True, False]), min_size=40, max_size=40),
    st.lists(st.sampled_from([True, False, False, False]), min_size=40, max_size=40),
    PROFILE,
)
HOLIDAYS = frozenset({date(2026, 6, 11), date(2026, 6, 2)})


def oracle_days(records: ResourceRecords) -> pd.DataFrame:
    """Comparable days of the Thursday, latest first, by pandas."""
    table = pd.DataFrame(
        {d: list(p) for d, p in records.metered_w.items() if d != THURSDAY}, dtype=object
    ).T
    stamps = pd.DatetimeIndex(table.index)
    keep = (stamps.dayofweek < 5) & (stamps >= pd.Timestamp(THURSDAY) - pd.Timedelta(days=60))
    excluded = stamps.isin(pd.DatetimeIndex([*records.activated, *HOLIDAYS]))
    return table[keep & ~excluded].sort_index(ascending=False)


@given(
    RECORDS,
    st.sampled_from([(3, 3, DayChoice.LAST), (3, 5, DayChoice.MIDDLE), (2, 5, DayChoice.HIGHEST)]),
)
def test_the_mean_is_that_of_pandas(records: ResourceRecords, rule: tuple) -> None:
    days, among, choice = rule
    method = MeanOfComparableDays(days, among, choice, holidays=HOLIDAYS)
    table = oracle_days(records)
    if len(table) < among:
        with pytest.raises(BaselineError, match=f"{len(table)} comparable days .* {among} needed"):
            method.of(records, DAY, WINDOW, NOTICE)
        return
    table = table.head(among)
    energy = table[list(WINDOW)].sum(axis=1).astype(float)
    if choice is DayChoice.HIGHEST:
        table = table.loc[energy.abs().sort_values(ascending=False, kind="stable").index[:days]]
    elif choice is DayChoice.MIDDLE:
        oldest_first = energy.sort_index()
        order = oldest_first.sort_values(kind="stable").index
        table = table.loc[order[(among - days) // 2 :][:days]]
    found = method.of(records, DAY, WINDOW, NOTICE)
    assert found.days == tuple(sorted(table.index, reverse=True))
    mean = table[list(WINDOW)].astype(float).mean().to_numpy()
    assert np.abs(np.array(found.watts) - mean).max() <= 0.5 + 1e-9
    for k, watts in zip(WINDOW, found.watts, strict=True):
        exact = Fraction(sum(int(each) for each in table[k]), days)
        assert -Fraction(1, 2) < watts - exact <= Fraction(1, 2)


@given(
    RECORDS,
    st.sampled_from(AdjustmentKind),
    st.integers(1, 3),
    st.integers(0, 1),
    st.fractions(0, 3, max_denominator=10),
)
def test_the_adjustment_follows_the_day_up_to_its_cap(
    records: ResourceRecords, kind: AdjustmentKind, count: int, gap: int, cap: Fraction
) -> None:
    if kind is AdjustmentKind.ADDITIVE:
        cap = cap * 1_000
    plain = MeanOfComparableDays(2, 2)
    method = replace(plain, adjustment=SameDayAdjustment(kind, count, cap, gap))
    if len(plain.comparable(records, DAY)) < 2:
        return
    # The day after the notice is not known when the baseline is needed.
    known = replace(
        records, metered_w={**records.metered_w, THURSDAY: records.metered_w[THURSDAY][:4]}
    )
    before = range(4 - gap - count, 4 - gap)
    chosen = plain.of(records, DAY, range(COUNT), NOTICE).days
    usual = [Fraction(sum(records.metered_w[d][k] for d in chosen), 2) for k in range(COUNT)]
    own_sum = sum(records.metered_w[THURSDAY][k] for k in before)
    usual_sum = sum(usual[k] for k in before)
    if kind is AdjustmentKind.RATIO and usual_sum == 0:
        with pytest.raises(BaselineError, match="no ratio"):
            method.of(known, DAY, WINDOW, NOTICE)
        return
    found = method.of(known, DAY, WINDOW, NOTICE)
    if kind is AdjustmentKind.ADDITIVE:
        moved = Fraction(own_sum - usual_sum, count)
        moved = -cap if moved < -cap else cap if moved > cap else moved
        wanted = [usual[k] + moved for k in WINDOW]
        assert abs(found.added_w) <= cap
        assert found.factor == 1
    else:
        factor = Fraction(own_sum) / usual_sum
        factor = min(max(factor, 1 - cap, Fraction(0)), 1 + cap)
        wanted = [usual[k] * factor for k in WINDOW]
        assert abs(found.factor - 1) <= cap
        assert found.added_w == 0
    for watts, exact in zip(found.watts, wanted, strict=True):
        assert -Fraction(1, 2) < watts - exact <= Fraction(1, 2)


def flat(watts: int) -> list[int]:
    return [watts] * COUNT


def test_a_baseline_by_hand() -> None:
    """Working days before a Thursday: Wed 17, Tue 16 (activated), Mon 15, Fri 12, Thu 11."""
    metered = {
        date(2026, 6, 17): flat(-4_000),
        date(2026, 6, 16): flat(-1),
        date(2026, 6, 15): flat(-6_000),
        date(2026, 6, 14): flat(-2),  # Sunday
        date(2026, 6, 12): flat(-5_001),
        THURSDAY: [-5_500, -5_500, -5_500, -5_500],
    }
    records = ResourceRecords("load:1", metered, frozenset({date(2026, 6, 16)}))
    method = MeanOfComparableDays(3, 3)
    found = method.of(records, DAY, WINDOW, NOTICE)
    assert found.watts == (-5_000, -5_000)  # -15001 / 3
    assert found.days == (date(2026, 6, 17), date(2026, 6, 15), date(2026, 6, 12))
    additive = SameDayAdjustment(AdjustmentKind.ADDITIVE, 2, Fraction(300))
    capped = replace(method, adjustment=additive).of(records, DAY, WINDOW, NOTICE)
    assert capped.watts == (-5_300, -5_300)
    assert capped.added_w == -300
    ratio = SameDayAdjustment(AdjustmentKind.RATIO, 2, Fraction(1, 5))
    scaled = replace(method, adjustment=ratio).of(records, DAY, WINDOW, NOTICE)
    assert scaled.watts == (-5_500, -5_500)
    middle = MeanOfComparableDays(1, 3, DayChoice.MIDDLE).of(records, DAY, WINDOW, NOTICE)
    assert middle.days == (date(2026, 6, 12),)
    highest = MeanOfComparableDays(1, 3, DayChoice.HIGHEST).of(records, DAY, WINDOW, NOTICE)
    assert highest.days == (date(2026, 6, 15),)


def test_what_is_missing_is_named() -> None:
    metered = {date(2026, 6, 17): flat(-4_000), date(2026, 6, 15): flat(-6_000)}
    records = ResourceRecords("load:1", metered)
    with pytest.raises(BaselineError, match=r"load:1, 2026-06-18 \(working day\): 2 .*, 3 needed"):
        MeanOfComparableDays(3, 3).of(records, DAY, WINDOW, NOTICE)
    adjusted = MeanOfComparableDays(
        2, 2, adjustment=SameDayAdjustment(AdjustmentKind.ADDITIVE, 2, Fraction(300), gap=1)
    )
    with pytest.raises(BaselineError, match="needs intervals 1 to 2, metered are 0"):
        adjusted.of(records, DAY, WINDOW, NOTICE)
    with pytest.raises(BaselineError, match="needs 3 intervals before the notice, the day has 2"):
        adjusted.of(records, DAY, WINDOW, START + timedelta(hours=8))
    with pytest.raises(BaselineError, match="the day has 0"):
        adjusted.of(records, DAY, WINDOW, START - timedelta(hours=8))
    with pytest.raises(BaselineError, match="no window"):
        MeanOfComparableDays(2, 2).of(records, DAY, range(5, 9), NOTICE)


@pytest.mark.parametrize(
    ("days", "among", "choice"),
    [
        (0, 0, DayChoice.LAST),
        (2, 3, DayChoice.LAST),
        (2, 5, DayChoice.MIDDLE),
        (6, 5, DayChoice.HIGHEST),
        (61, 61, DayChoice.LAST),
    ],
)
def test_methods_that_do_not_exist(days: int, among: int, choice: DayChoice) -> None:
    with pytest.raises(ValueError, match="does not exist"):
        MeanOfComparableDays(days, among, choice)


def test_days_of_another_length_are_not_comparable() -> None:
    metered = {date(2026, 6, 17): flat(-4_000)[:-1], date(2026, 6, 16): flat(-6_000)}
    found = MeanOfComparableDays(1, 1).of(ResourceRecords("a", metered), DAY, WINDOW, NOTICE)
    assert found.days == (date(2026, 6, 16),)


def test_kinds_of_days() -> None:
    assert day_kind(THURSDAY, frozenset()) is DayKind.WORKING
    assert day_kind(THURSDAY, frozenset({THURSDAY})) is DayKind.SUNDAY
    assert day_kind(date(2026, 6, 20), frozenset()) is DayKind.SATURDAY
    assert day_kind(date(2026, 6, 21), frozenset()) is DayKind.SUNDAY


def test_a_nomination_counts_up_to_its_gate() -> None:
    gate = START - timedelta(hours=12)
    method = AsNominated(timedelta(hours=12))
    on_time = Nomination(range(COUNT), gate)
    records = ResourceRecords("load:1", {}, nominations={THURSDAY: on_time})
    assert method.of(records, DAY, WINDOW, NOTICE).watts == (5, 6)
    late = replace(on_time, received=gate + timedelta(microseconds=1))
    short = replace(on_time, watts=range(COUNT - 1))
    broken = replace(on_time, watts=[0.5] * COUNT)  # type: ignore[list-item]
    for nominations, words in (
        ({}, "there is no nomination"),
        ({THURSDAY: late}, "after the gate at 2026-06-17T12:00:00"),
        ({THURSDAY: short}, "7 intervals, the day 8"),
    ):
        with pytest.raises(BaselineError, match=words):
            method.of(replace(records, nominations=nominations), DAY, WINDOW, NOTICE)
    with pytest.raises(ValueError, match=r"value 0 is 0\.5, not whole watts"):
        method.of(replace(records, nominations={THURSDAY: broken}), DAY, WINDOW, NOTICE)


def test_intervals_of_a_day() -> None:
    def at(hours: float) -> datetime:
        return START + timedelta(hours=hours)

    assert DAY.intervals_of(at(3), at(6)) == range(1, 2)
    assert DAY.intervals_of(at(2.9), at(6.1)) == range(3)
    assert [DAY.intervals_before(at(h)) for h in (-5, 2.9, 3, 30)] == [0, 0, 1, COUNT]
    with pytest.raises(ValueError, match="not within"):
        DAY.intervals_of(at(3), at(25))
    with pytest.raises(ValueError, match="no time zone"):
        DeliveryDay(THURSDAY, datetime(2026, 6, 18), 900, 96)
