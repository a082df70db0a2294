"""What an exchange lets go of is freed at once: nothing of it waits for the garbage collector.

The gateway looks for garbage among new objects only (``gateway/service/garbage.py``), so a cycle
that lasts longer than that would be kept for ever.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from market import START
from network_days import OUTAGES, UNCERTAIN, NetworkDay
from wild_days import WildDay

from exchange.engine import Exchange
from exchange.vocabulary.commands import AdvanceTime
from exchange.vocabulary.rules import ConnectionTerms, MarketRules


@pytest.fixture(autouse=True)
def garbage_is_kept() -> Iterator[None]:
    """Let the collector find what it would free, and nothing from before the test."""
    gc.collect()
    gc.freeze()
    gc.disable()
    yield
    gc.enable()
    gc.unfreeze()


def garbage() -> list[str]:
    """Return the types of this project's objects, and of solvers, that are garbage in cycles."""
    gc.set_debug(gc.DEBUG_SAVEALL)
    try:
        gc.collect()
        names = [f"{type(each).__module__}.{type(each).__name__}" for each in gc.garbage]
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
        gc.collect()
    ours = ("exchange", "orderbook", "security_check", "doe_allocation", "highspy")
    return [name for name in names if name.partition(".")[0] in ours]


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=10)
def test_a_wild_day_leaves_no_cycles(seed: int) -> None:
    day = WildDay(seed)
    garbage()  # of the day before
    for _ in range(100):
        day.step()
    assert garbage() == []


@pytest.mark.parametrize("day", [OUTAGES, UNCERTAIN], ids=["outages", "uncertain"])
def test_a_day_on_a_network_leaves_no_cycles(day: NetworkDay) -> None:
    grid, commands = day.make()
    terms = [
        ConnectionTerms(point, f"p{number}", day.capacity_w, day.capacity_w)
        for number, point in enumerate(grid.connection_points)
    ]
    exchange = Exchange(grid, MarketRules(lot_w=day.step_w // 10), terms)
    garbage()  # of the readers of network files
    for command, now in commands:
        exchange.handle(command, now)
    exchange.handle(AdvanceTime(), START.replace(year=START.year + 1))
    assert START not in exchange.state.sessions, "the interval is over and forgotten"
    assert garbage() == []


def test_the_test_would_notice() -> None:
    left: list[object] = [AdvanceTime(), WildDay(1).market]
    left.append(left)
    del left
    assert any(name.startswith("exchange.") for name in garbage())
