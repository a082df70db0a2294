"""Envelopes of networks of odd shapes at their limits, against brute force."""

from __future__ import annotations

import pytest
from box_attacks import ShapeAttack
from sampling import some
from stressed_checks import of_each, published_and_traded
from stressed_topologies import shaped_case


def check_case(seed: int, *customers: int) -> int:
    case = shaped_case(seed, *customers)
    return published_and_traded(case, case.grid(), ShapeAttack(case), seed)


def test_odd_shapes_are_secure_and_fair_or_say_so():
    assert sum(of_each(range(5), check_case)) > 3


@pytest.mark.slow
@pytest.mark.parametrize("first", some(range(1_000, 1_300, 15), 10))
def test_many_odd_shapes_are_secure_and_fair_or_say_so(first):
    assert sum(of_each(range(first, first + 15), check_case)) > 15


@pytest.mark.slow
@pytest.mark.parametrize("first", some(range(0, 9, 3), 3))
def test_odd_shapes_of_more_customers_than_corners_that_are_all_tried(first):
    traded = of_each(range(first, first + 3), lambda seed: check_case(seed, 9, 11))
    assert sum(traded) > 0
