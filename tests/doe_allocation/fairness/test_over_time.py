"""Deficits and weights: known values, bounds, and that cuts are made good over a day."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from networks import SMALL_AREAS, small_area

from doe_allocation.fairness.figures import FairnessFigures, jain_index, price_of_fairness
from doe_allocation.fairness.over_time import TimeCoupling

shares = st.lists(st.floats(0.0, 1.0), min_size=4, max_size=4)


def test_by_hand():
    coupling = TimeCoupling(forgetting=0.5, gain=2.0)
    asked = np.array([10.0, 10.0, 4.0, 0.0])
    # Injection: cut by 0.2 and 0.6, 0.4 on average; withdrawal: one asks, and gets half.
    deficit = coupling.after(np.zeros(4), np.array([8.0, 4.0, 2.0, 0.0]), asked)
    np.testing.assert_allclose(deficit, [-0.1, 0.1, 0.0, 0.0])
    weights = coupling.weights(np.array([1.0, 1.0, 3.0, 1.0]), deficit)
    np.testing.assert_allclose(weights, [np.exp(-0.2), np.exp(0.2), 3.0, 1.0])
    again = coupling.after(deficit, asked, asked)
    np.testing.assert_allclose(again, deficit / 2)


@given(history=st.lists(shares, max_size=12), forgetting=st.floats(0.0, 0.99))
def test_deficits_stay_bounded_and_balance(history, forgetting):
    coupling = TimeCoupling(forgetting, 3.0)
    asked, deficit = np.full(4, 7.0), np.zeros(4)
    for granted in history:
        deficit = coupling.after(deficit, np.array(granted) * asked, asked)
        assert np.abs(deficit).max() <= 1.0
        np.testing.assert_allclose(deficit.reshape(2, 2).sum(axis=1), 0.0, atol=1e-12)
    pairs = [(np.array(granted) * asked, asked) for granted in history]
    once = coupling.over(np.ones(4), pairs)
    np.testing.assert_allclose(once, coupling.weights(np.ones(4), deficit))


@given(low=st.floats(0.0, 0.8), more=st.floats(0.05, 0.2), forgetting=st.floats(0.0, 0.9))
def test_who_was_cut_more_weighs_more(low, more, forgetting):
    granted = np.array([low, low + more, 1.0, 1.0])
    weights = TimeCoupling(forgetting, 3.0).over(np.ones(4), [(granted, np.ones(4))])
    assert weights[0] > 1.0 > weights[1]
    np.testing.assert_allclose(weights[2:], 1.0)


def test_out_of_range_is_said():
    with pytest.raises(ValueError, match="below 1, not 1"):
        TimeCoupling(forgetting=1.0)
    with pytest.raises(ValueError, match="gain must be above 0"):
        TimeCoupling(gain=0.0)


def test_over_a_day_the_shares_come_closer_together():
    area = small_area(**SMALL_AREAS["interface"])
    asked = area.grid.capacity.upper_w().astype(float)
    start = np.array([1.0, 1, 1, 4] * 2)  # what made it unfair: one weighs four times as much

    def day(coupling: TimeCoupling | None) -> np.ndarray:
        deficit, total = np.zeros(8), np.zeros(8)
        for _ in range(10):
            weights = start if coupling is None else coupling.weights(start, deficit)
            grid = area.grid.with_fairness(area.grid.fairness, weights)
            granted = grid.allocate(area.limits.interface).limits_w.astype(float)
            deficit = TimeCoupling(0.8, 3.0).after(deficit, granted, asked)
            total += granted
        return total

    apart, coupled = day(None), day(TimeCoupling(0.8, 3.0))
    assert jain_index(coupled[:4]) > jain_index(apart[:4]) + 1e-3
    assert coupled[:3].min() > apart[:3].min()


def test_known_figures():
    assert jain_index(np.array([5.0, 5.0, 5.0])) == pytest.approx(1.0)
    assert jain_index(np.array([0.0, 0.0, 7.0, 0.0])) == pytest.approx(0.25)
    assert jain_index(np.array([1.0, 3.0])) == pytest.approx(16 / 20)
    assert jain_index(np.zeros(3)) == 1.0
    assert price_of_fairness(75.0, 100.0) == pytest.approx(0.25)
    assert price_of_fairness(0.0, 0.0) == 0.0
    figures = FairnessFigures.of(np.array([1.0, 3.0]), 5.0)
    assert (figures.minimum, figures.total) == (1.0, 4.0)
    assert figures.price == pytest.approx(0.2)


@given(values=st.lists(st.floats(0.01, 100.0), min_size=1, max_size=8), factor=st.floats(0.1, 10))
def test_jains_index_is_between_its_bounds_and_has_no_unit(values, factor):
    x = np.array(values)
    index = jain_index(x)
    assert 1.0 / len(x) - 1e-12 <= index <= 1.0 + 1e-12
    assert jain_index(factor * x) == pytest.approx(index)
    # One minus the squared coefficient of variation's part.
    assert index == pytest.approx(1.0 / (1.0 + x.var() / x.mean() ** 2))
