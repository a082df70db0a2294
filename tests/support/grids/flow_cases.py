"""Networks with random powers that tests of the power flow share."""

from __future__ import annotations

import numpy as np
from networks import feeder, menagerie, simbench_network

from security_check.importers.pandapower_balanced import network_from_pandapower
from security_check.power_flow.implicit_zbus import PowerFlow

CASES = {
    "semiurb4": (lambda: simbench_network("1-LV-semiurb4--0-sw"), 6e3),
    "everything, passive": (
        lambda: network_from_pandapower(menagerie(), passive="as-given", connection_points="sgen"),
        2e5,
    ),
    "everything, lagging": (lambda: network_from_pandapower(menagerie(), power_factor=0.9), 2e5),
    "mesh": (lambda: network_from_pandapower(feeder(8, 2, meshed=True)), 8e3),
}


def random_points(name: str) -> tuple[PowerFlow, np.ndarray, np.ndarray]:
    """Return a power flow, powers (c, B) in watts, and interface voltages (B,)."""
    build, largest_w = CASES[name]
    flow = PowerFlow(build())
    rng = np.random.default_rng(7)
    power = rng.uniform(-largest_w, largest_w, (len(flow.network.connection_points), 5))
    return flow, power, rng.uniform(0.95, 1.05, 5)
