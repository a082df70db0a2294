"""The worst of a box of envelopes over every combination of tap positions, by brute force."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from itertools import product
from typing import Any

import numpy as np
from stressed_networks import StressedCase
from vertex_oracle import VertexOracle, Worst

Net = Any
Ranges = Mapping[str, tuple[int, int]]


def with_positions(net: Net, positions: Mapping[str, int]) -> Net:
    """Return the net with taps, all of a known type, at these positions."""
    moved = copy.deepcopy(net)
    for name, at in positions.items():
        table, index = name.split(":")
        moved[table].loc[int(index), "tap_pos"] = at
    return moved


def every_position(ranges: Ranges) -> list[dict[str, int]]:
    spans = (range(low, high + 1) for low, high in ranges.values())
    return [dict(zip(ranges, each, strict=True)) for each in product(*spans)]


class PositionAttack:
    """Brute force on one case at every combination of tap positions, each a net of its own."""

    def __init__(self, case: StressedCase, ranges: Ranges) -> None:
        self.case, self.count = case, len(case.net.load)
        self.positions = every_position(ranges)
        self.oracles = [
            VertexOracle(with_positions(case.net, each), case.power_factor)
            for each in self.positions
        ]
        band = case.interface.voltage_min_pu, case.interface.voltage_max_pu
        self.sources = np.unique(np.linspace(*band, 3))

    def worst_of(self, limits_w: np.ndarray) -> tuple[Worst, dict[str, int]]:
        """Return the worst point of a box, and the positions at which it was found."""
        voltage, interface = self.case.voltage, self.case.interface
        limits = interface.injection_limit_w, interface.withdrawal_limit_w
        found = [
            oracle.worst(limits_w, voltage.minimum_pu, voltage.maximum_pu, self.sources, limits)
            for oracle in self.oracles
        ]
        k = int(np.argmax([each.violation for each in found]))
        return found[k], self.positions[k]

    def worst(self, limits_w: np.ndarray) -> Worst:
        return self.worst_of(limits_w)[0]
