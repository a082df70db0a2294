"""Random networks in which limits bind: radial and meshed, all voltages, any ratio of x to r."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandapower as pp

from doe_allocation.allocation.network_grid import NetworkGrid
from doe_allocation.capacity import Capacity
from security_check.importers.pandapower_balanced import network_from_pandapower
from security_check.model.limits import InterfaceLimits, VoltageLimits

LEVELS_KV = (0.4, 10.0, 20.0, 110.0)
FACTORS = (1.0, 1.0, 0.95, 0.9, 0.8, 0.5)


@dataclass(frozen=True)
class Stressed:
    """A network, its grid and its contract."""

    grid: NetworkGrid
    limits: InterfaceLimits


def stressed_network(seed: int) -> Stressed:
    """Return a random network of 2 to 7 customers whose limits bind before its capacities."""
    rng = np.random.default_rng(seed)
    level = float(rng.choice(LEVELS_KV))
    power_mva = level**2 / rng.uniform(20.0, 200.0)  # of the order of what the area can carry
    net = pp.create_empty_network(sn_mva=power_mva)
    customers = int(rng.integers(2, 8))
    buses = pp.create_buses(net, customers + 1, level)
    pp.create_ext_grid(net, buses[0])
    impedance = level**2 / power_mva
    ratio = 10.0 ** rng.uniform(-1.0, np.log10(40.0))  # x to r
    lines = [(buses[int(rng.integers(max(0, k - 3), k))], buses[k]) for k in range(1, len(buses))]
    if rng.random() < 0.4 and customers > 2:
        ties = int(rng.integers(1, 3))
        lines += [tuple(rng.choice(buses, 2, replace=False)) for _ in range(ties)]
    rated_ka = power_mva / level / np.sqrt(3.0)
    for start, end in lines:
        size, own = impedance * rng.uniform(0.02, 0.15), ratio * rng.uniform(0.7, 1.4)
        r = size / np.hypot(1.0, own)
        pp.create_line_from_parameters(
            net,
            start,
            end,
            1.0,
            r,
            own * r,
            max_i_ka=rated_ka * rng.uniform(0.3, 2.0),
            c_nf_per_km=rng.choice([0.0, 0.02]) / impedance / 314.0 * 1e9,
        )
    for bus in rng.permutation(np.concatenate([buses[1:], buses[1:]]))[:customers]:
        pp.create_load(net, bus, p_mw=0.0)
    factors = {f"load:{i}": float(rng.choice(FACTORS)) for i in net.load.index}
    if rng.random() < 0.4:
        factors = dict.fromkeys(factors, 1.0)
    network = network_from_pandapower(net, power_factor=factors)
    deviation = rng.uniform(0.05, 0.5)
    middle = 1.0 + deviation * rng.uniform(-0.5, 0.5)
    width = deviation * rng.choice([0.0, 0.1, 0.3])
    watts = 1e6 * power_mva * 10.0
    capacity = Capacity.same(network.connection_points, int(watts), int(watts))
    grid = NetworkGrid(network, VoltageLimits(1.0 - deviation, 1.0 + deviation), capacity)
    return Stressed(grid, InterfaceLimits(middle - width, middle + width))
