"""What does uncertainty cost?  Allocation without, with 20 deviations, with tolerances.

Run with ``python benchmarks/bench_uncertainty.py``.  It asserts nothing; seeds are fixed.
"""

from __future__ import annotations

import time
import warnings
from pathlib import Path

import numpy as np
import pandapower as pp
from bench_allocation import BAND

from doe_allocation.allocation.network_grid import NetworkGrid
from doe_allocation.capacity import Capacity
from gateway.scenario.network_source import open_net
from security_check.importers.pandapower_balanced import network_from_pandapower
from security_check.model.limits import VoltageLimits
from security_check.model.network import Network
from security_check.modifications.impedance_tolerance import with_tolerance
from security_check.uncertainty.deviation_sets import BoxSet, BudgetSet, EllipsoidSet
from security_check.uncertainty.forecast import Forecast, Uncertainty
from security_check.verification.adversary import attack

NETWORKS = {"bundled:semiurb4": 30_000, "simbench:1-LV-rural3--0-sw": 30_000}
DEVIATIONS = 20
REPEATED = 5


def network_of(source: str) -> Network:
    """Return a network with 20 small generators at the buses of the first customers."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the readers of network files
        net = open_net(source, Path(), [])
        if net is None:
            raise SystemExit(f"{source} cannot be read; is simbench installed?")
        net.sgen.in_service = False
        for bus in net.load.bus.to_numpy()[:DEVIATIONS]:
            pp.create_sgen(net, int(bus), p_mw=0.002)
        return network_from_pandapower(net, passive="as-given")


def forecasts(network: Network) -> dict[str, Forecast]:
    correlated = 0.5 * np.eye(DEVIATIONS) + 0.5
    every, none = np.arange(DEVIATIONS), np.zeros(DEVIATIONS)
    sets = {
        "box": BoxSet(DEVIATIONS),
        "budget 5.5": BudgetSet(DEVIATIONS, 5.5),
        "ellipsoid": EllipsoidSet(correlated, 1.0),
    }
    return {"none": Forecast.as_given(network)} | {
        name: Uncertainty(every, none + 0.8, none, none, one).forecast(network)
        for name, one in sets.items()
    }


def line(name: str, network: Network, capacity_w: int, forecast: Forecast) -> None:
    """Allocate repeatedly from the start; print the median CPU seconds and the limits."""
    capacity = Capacity.same(network.connection_points, capacity_w, capacity_w)
    spent = []
    for _ in range(REPEATED):
        fresh = NetworkGrid(network, VoltageLimits(0.90, 1.10), capacity, forecast=forecast)
        began = time.process_time()
        check = fresh.allocate(BAND)
        spent.append(time.process_time() - began)
    injection, withdrawal = np.split(check.limits_w, 2)
    found = attack(check.robust_rows, check.limits_w, np.random.default_rng(0), samples=256)
    print(
        f"  {name:<22} {1e3 * np.median(spent):8.1f} ms   least {injection.min():6d} W up, "
        f"{withdrawal.min():6d} W down   adversary {found.violation:+.1e}"
    )


def main() -> None:
    for source, capacity_w in NETWORKS.items():
        network = network_of(source)
        print(f"{source}: {len(network.connection_points)} customers, {DEVIATIONS} deviations")
        for name, forecast in forecasts(network).items():
            line(name, network, capacity_w, forecast)
        tolerant = with_tolerance(network, 0.05)
        certain = Forecast.as_given(tolerant)
        impedances = f"{certain.deviations.impedances} impedances 5 %"
        line(impedances, tolerant, capacity_w, certain)
        line("both, budget 5.5", tolerant, capacity_w, forecasts(tolerant)["budget 5.5"])


if __name__ == "__main__":
    main()
