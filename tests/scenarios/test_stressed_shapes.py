"""Envelopes of networks of odd shapes at their limits, against brute force."""

from __future__ import annotations

import numpy as np
import pytest
from linear_oracle import Limits, LinearOracle, Worst, corners, of_pandapower, products
from sampling import some
from stressed_checks import published, trades
from stressed_topologies import ShapedCase, shaped_case, without_loads


class ShapeAttack:
    """Brute force on one case; a point has c places of active power, and that of the voltage."""

    def __init__(self, case: ShapedCase) -> None:
        net = without_loads(case.net)
        self.case, self.base_w = case, float(net.sn_mva) * 1e6
        self.count = len(net.load)
        self.states = of_pandapower(net, net.load.bus.to_numpy())

    def worst(self, limits_w: np.ndarray) -> Worst:
        contract, voltage = self.case.interface, self.case.voltage
        up, down = np.split(np.asarray(limits_w) / self.base_w, 2)
        low, high = contract.voltage_min_pu, contract.voltage_max_pu
        largest = [
            None if limit is None else limit / self.base_w
            for limit in (contract.injection_limit_w, contract.withdrawal_limit_w)
        ]

        def place(at: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            power = (at[:, : self.count] * (up + down) - down).T
            held = low + (high - low) * at[:, self.count :].T
            return power * (1.0 + 1j * self.case.ratio[:, None]), held

        limits = Limits(voltage.minimum_pu, voltage.maximum_pu, *largest)
        band = [[0.0], [0.5], [1.0]] if high > low else [[0.0]]
        oracle = LinearOracle(self.states, limits, place)
        return oracle.worst(products(corners(self.count), np.array(band)))


def check_case(seed: int, *customers: int) -> int:
    """Check what is published in a case, and what trades make of it; return their number."""
    case = shaped_case(seed, *customers)
    attack, grid = ShapeAttack(case), case.grid()
    check = published(lambda: grid.allocate(case.interface), attack, attack.count, case.capacity_w)
    return 0 if check is None else trades(check, attack, seed)


@pytest.mark.parametrize("first", [0])
def test_odd_shapes_are_secure_and_fair_or_say_so(first):
    assert sum(check_case(seed) for seed in range(first, first + 5)) > 3


@pytest.mark.slow
@pytest.mark.parametrize("first", some(range(1_000, 1_300, 15), 10))
def test_many_odd_shapes_are_secure_and_fair_or_say_so(first):
    assert sum(check_case(seed) for seed in range(first, first + 15)) > 15


@pytest.mark.slow
@pytest.mark.parametrize("first", some(range(0, 9), 5))
def test_odd_shapes_of_more_customers_than_corners_that_are_all_tried(first):
    assert sum(check_case(seed, 9, 11) for seed in range(first, first + 1)) > 0
