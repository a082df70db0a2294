"""Envelopes of random networks at their limits, against brute force on pandapower's matrices."""

from __future__ import annotations

import pytest
from box_attacks import VertexAttack
from sampling import some
from stressed_checks import of_each, published, trades
from stressed_networks import REPORTED, StressedCase, stressed_case

from security_check.checking.check import SecurityCheck
from security_check.errors import GridError

NETWORKS = 3_000
AT_ONCE = 50


def check_allocation(case: StressedCase) -> SecurityCheck | None:
    """Check what is published; ``None`` where nothing is, because not even zero is secure."""
    attack = VertexAttack(case)
    check = published(case, case.grid(), attack)
    if check is not None and attack.count < 4:
        attack.confirm_by_pandapower(check.limits_w)
    return check


@pytest.mark.parametrize("name", REPORTED)
def test_reported_networks_are_secure_and_fair(name):
    check = check_allocation(REPORTED[name]())
    assert check is not None
    assert check.envelopes().fairness_gap == 0.0


def test_a_fair_level_is_not_lost_where_later_limits_change_the_worst_point():
    """15.0 MW for all six limits is secure; 7.87 MW was published."""
    case = REPORTED["three in a row"]()
    assert case.grid().allocate(case.interface).limits_w.min() == pytest.approx(15.0e6, rel=2e-3)


@pytest.mark.parametrize("seed", range(12))
def test_random_networks_are_secure_and_fair_or_say_so(seed):
    check_allocation(stressed_case(seed))


@pytest.mark.slow
@pytest.mark.parametrize("first", some(range(0, NETWORKS, AT_ONCE), 30))
def test_many_random_networks_are_secure_and_fair_or_say_so(first):
    seeds = range(first, first + AT_ONCE)
    checks = of_each(seeds, lambda seed: check_allocation(stressed_case(seed)))
    gaps = [check.envelopes().fairness_gap for check in checks if check is not None]
    assert len(gaps) > 0.7 * AT_ONCE
    assert sum(gap != 0.0 for gap in gaps) < 0.1 * len(gaps), "max-min is rarely given up"


@pytest.mark.slow
@pytest.mark.parametrize("first", some(range(0, 16, 2), 8))
def test_more_customers_than_corners_that_are_all_tried(first):
    of_each(range(first, first + 2), lambda seed: check_allocation(stressed_case(seed, 10, 12)))


def check_trades(seed: int) -> int:
    """Check that nothing that trades lead to is insecure; return how many were confirmed."""
    case = stressed_case(seed)
    try:
        check = case.grid().allocate(case.interface)
    except GridError:
        return 0
    return trades(check, VertexAttack(case), seed)


def test_trades_are_secure_on_stressed_networks():
    assert sum(of_each(range(10), check_trades)) > 10


@pytest.mark.slow
@pytest.mark.parametrize("first", some(range(1_000, 1_300, 30), 10))
def test_many_trades_are_secure_on_stressed_networks(first):
    assert sum(of_each(range(first, first + 30), check_trades)) > 30
