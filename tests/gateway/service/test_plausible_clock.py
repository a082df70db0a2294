"""The guarded clock, against a record of what the wall clock said and what has elapsed."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.service.plausible_clock import PlausibleClock

NOON = datetime(2026, 7, 1, 12, tzinfo=UTC)
SETTLE_S = 60.0


class Clocks:
    """A wall clock with an error, and the time that has elapsed."""

    def __init__(self) -> None:
        self.elapsed_s = 1_000.0
        self.error_s = 0.0

    def guard(self) -> PlausibleClock:
        start = NOON.timestamp() - self.elapsed_s
        return PlausibleClock(
            SETTLE_S, lambda: start + self.elapsed_s + self.error_s, lambda: self.elapsed_s
        )

    @property
    def true_time(self) -> datetime:
        return NOON + timedelta(seconds=self.elapsed_s - 1_000.0)


def test_a_clock_that_jumps_two_hours_for_four_seconds_closes_no_gate() -> None:
    clocks = Clocks()
    clock = clocks.guard()
    clocks.error_s = 7_200.0
    for _ in range(80):
        clocks.elapsed_s += 0.05
        assert abs(clock() - clocks.true_time) < timedelta(seconds=1)
    clocks.error_s = 0.0
    clocks.elapsed_s += 0.05
    assert abs(clock() - clocks.true_time) < timedelta(milliseconds=1)


@pytest.mark.parametrize("jump_s", [7_200.0, -7_200.0, 1.5])
def test_a_jump_that_lasts_takes_effect(jump_s: float) -> None:
    """The clock may have been wrong at the start."""
    clocks = Clocks()
    clock = clocks.guard()
    clocks.error_s = jump_s
    assert abs(clock() - clocks.true_time) < timedelta(seconds=1)
    clocks.elapsed_s += SETTLE_S - 0.1
    assert abs(clock() - clocks.true_time) < timedelta(seconds=1)
    clocks.elapsed_s += 0.2
    assert abs(clock() - clocks.true_time - timedelta(seconds=jump_s)) < timedelta(milliseconds=1)


@given(
    st.lists(
        st.tuples(
            st.sampled_from([0.05, 1.0, 20.0, 59.0]),
            st.sampled_from([0.0, 0.0, 0.3, -0.3, 5.0, 3_600.0, -86_400.0]),
        ),
        max_size=60,
    )
)
def test_only_an_error_that_has_lasted_is_believed(steps: list[tuple[float, float]]) -> None:
    """The time is wrong by an error only if the wall clock had it for the whole settling time."""
    clocks = Clocks()
    clock = clocks.guard()
    history: list[tuple[float, float]] = [(clocks.elapsed_s, 0.0)]
    for pause_s, error_s in steps:
        clocks.elapsed_s += pause_s
        clocks.error_s = error_s
        history.append((clocks.elapsed_s, error_s))
        error = (clock() - clocks.true_time).total_seconds()
        # What it may believe: errors that stood, within a jump, for as long as it takes to settle.
        lasting = {0.0}
        for first in range(len(history)):
            for last in range(first, len(history)):
                spread = [each for _, each in history[first : last + 1]]
                if history[last][0] - history[first][0] >= SETTLE_S and all(
                    abs(each - spread[0]) <= 1.0 for each in spread
                ):
                    lasting |= set(spread)
        assert any(abs(error - each) <= 1.0 + 1e-6 for each in lasting)


def test_a_slow_drift_is_followed() -> None:
    clocks = Clocks()
    clock = clocks.guard()
    for _ in range(10_000):
        clocks.elapsed_s += 1.0
        clocks.error_s += 5e-4  # as fast as clocks are slewed
        now = clock()
    assert abs(now - clocks.true_time - timedelta(seconds=5)) < timedelta(milliseconds=1)
