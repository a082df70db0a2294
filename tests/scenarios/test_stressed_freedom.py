"""Envelopes with chosen reactive power, deviations, outages and inverters, by brute force."""

from __future__ import annotations

import pytest
from freedom_oracle import FreedomAttack
from sampling import some
from stressed_checks import of_each, published_and_traded
from stressed_freedom import KINDS, TAPPED, free_case


def check_case(seed: int, fewest: int = 2, most: int = 4, kinds: tuple[str, ...] = KINDS) -> int:
    case = free_case(seed, fewest, most, kinds)
    return published_and_traded(case, case.grid(), FreedomAttack(case), seed)


@pytest.mark.parametrize("first", [0, 6])
def test_what_else_may_happen_is_secured(first):
    assert sum(of_each(range(first, first + 3), check_case)) > 1


def test_deviations_that_oppose_each_other_at_either_end_of_the_band():
    """Reactive power at the interface was 0.08 % above its limit, at the other end of the band."""
    check_case(39)


@pytest.mark.parametrize("kind", TAPPED)
def test_with_taps_anywhere_in_a_range(kind):
    traded = of_each(range(4), lambda seed: check_case(seed, 2, 3, kinds=(kind,)))
    assert sum(traded) > 0


@pytest.mark.slow
@pytest.mark.parametrize("first", some(range(3_000, 3_060, 5), 6))
def test_much_with_taps_anywhere_in_a_range(first):
    traded = of_each(range(first, first + 5), lambda seed: check_case(seed, kinds=TAPPED))
    assert sum(traded) > 5


@pytest.mark.slow
@pytest.mark.parametrize("first", some(range(1_000, 1_160, 5), 32))
def test_much_else_that_may_happen_is_secured(first):
    assert sum(of_each(range(first, first + 5), check_case)) > 5
