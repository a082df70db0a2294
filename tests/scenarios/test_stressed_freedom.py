"""Envelopes with chosen reactive power, deviations, outages and inverters, by brute force."""

from __future__ import annotations

import pytest
from freedom_oracle import FreedomAttack
from sampling import some
from stressed_checks import published, trades
from stressed_freedom import TAPPED, free_case


def check_case(seed: int, *customers: int, **kinds: tuple[str, ...]) -> int:
    """Check what is published in a case, and what trades make of it; return their number."""
    case = free_case(seed, *customers, **kinds)
    attack, grid = FreedomAttack(case), case.grid()
    check = published(
        lambda: grid.allocate(case.interface), attack, attack.count, case.base.capacity_w
    )
    return 0 if check is None else trades(check, attack, seed)


@pytest.mark.parametrize("first", [0, 6])
def test_what_else_may_happen_is_secured(first):
    assert sum(check_case(seed) for seed in range(first, first + 3)) > 1


@pytest.mark.parametrize("seed", [39])
def test_deviations_that_oppose_each_other_at_either_end_of_the_band(seed):
    """Reactive power at the interface was 0.08 % above its limit, at the other end of the band."""
    check_case(seed)


@pytest.mark.parametrize("kind", TAPPED)
def test_with_taps_anywhere_in_a_range(kind):
    assert sum(check_case(seed, 2, 3, kinds=(kind,)) for seed in range(4)) > 0


@pytest.mark.slow
@pytest.mark.parametrize("first", some(range(3_000, 3_060, 5), 6))
def test_much_with_taps_anywhere_in_a_range(first):
    assert sum(check_case(seed, kinds=TAPPED) for seed in range(first, first + 5)) > 5


@pytest.mark.slow
@pytest.mark.parametrize("first", some(range(1_000, 1_160, 5), 32))
def test_much_else_that_may_happen_is_secured(first):
    assert sum(check_case(seed) for seed in range(first, first + 5)) > 5
