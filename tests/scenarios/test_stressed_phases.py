"""Envelopes of random unbalanced circuits at their limits, against OpenDSS."""

from __future__ import annotations

from pathlib import Path

import pytest
from opendss_vertices import PhaseAttack
from sampling import much, some
from stressed_checks import of_each, published, trades
from stressed_phases import phase_case

from doe_allocation.allocation.network_grid import NetworkGrid
from doe_allocation.capacity import Capacity
from security_check.importers.opendss import network_from_opendss

EXACT = 1e-6  # per unit of voltage


def check_case(seed: int, folder: Path, *customers: int) -> int:
    """Check what is published for a circuit, and what trades make of it; return their number."""
    case = phase_case(seed, *customers)
    attack = PhaseAttack(case, folder)
    network = network_from_opendss(attack.master, power_factor=case.power_factor)
    assert list(network.connection_points) == attack.points
    capacity = Capacity.same(network.connection_points, case.capacity_w, case.capacity_w)
    grid = NetworkGrid(network, case.voltage, capacity)
    check = published(case, grid, attack)
    if check is None:
        return 0
    limits_w = check.limits_w
    assert attack.differs_from_opendss(attack.worst(limits_w), limits_w) < EXACT
    return trades(check, attack, seed)


def test_random_circuits_are_secure_and_fair_or_say_so(tmp_path):
    assert sum(of_each(range(5), lambda seed: check_case(seed, tmp_path))) > 3


@pytest.mark.slow
@pytest.mark.parametrize("first", some(range(1_000, 1_400, 20), 10))
def test_many_random_circuits_are_secure_and_fair_or_say_so(first, tmp_path):
    seeds = range(first, first + 20)
    assert sum(of_each(seeds, lambda seed: check_case(seed, tmp_path))) > 20


@pytest.mark.slow
def test_circuits_of_more_customers_than_corners_that_are_all_tried(tmp_path):
    assert sum(of_each(range(much(6, 3)), lambda seed: check_case(seed, tmp_path, 10, 12))) > 1
