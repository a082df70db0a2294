"""What part of published envelopes is proved secure, and how long does the proof take?

Run with ``python benchmarks/bench_proof.py``.  The benchmark asserts nothing.
"""

from __future__ import annotations

import statistics
import time
import warnings
from collections.abc import Callable

import numpy as np
import pandapower.networks

from doe_allocation.allocation.network_grid import NetworkGrid
from doe_allocation.capacity import Capacity
from security_check.importers.pandapower_balanced import network_from_pandapower
from security_check.importers.pandapower_phases import phases_from_pandapower
from security_check.model.limits import InterfaceLimits, VoltageLimits
from security_check.model.network import Network
from security_check.verification.enclosure import PortModel
from security_check.verification.monotonicity import ProofStatus, prove_monotone
from security_check.verification.radial_condition import radial_tree

BAND = InterfaceLimits(0.98, 1.04)
REPEATED = 5


def simbench(code: str) -> Callable[[], Network]:
    def build() -> Network:
        import simbench as library

        return network_from_pandapower(library.get_simbench_net(code), name=code)

    return build


def european() -> Network:
    return phases_from_pandapower(pandapower.networks.ieee_european_lv_asymmetric("on_peak_566"))


CASES: list[tuple[str, Callable[[], Network], int]] = [
    ("1-LV-rural1--0-sw", simbench("1-LV-rural1--0-sw"), 30_000),
    ("1-LV-semiurb4--0-sw", simbench("1-LV-semiurb4--0-sw"), 30_000),
    ("1-LV-rural3--0-sw", simbench("1-LV-rural3--0-sw"), 30_000),
    ("European LV, single-phase", european, 30_000),
    ("1-MV-rural--0-sw, 50 kW", simbench("1-MV-rural--0-sw"), 50_000),
    ("1-MV-rural--0-sw, 300 kW", simbench("1-MV-rural--0-sw"), 300_000),
    ("1-MV-rural--0-sw, 3 MW", simbench("1-MV-rural--0-sw"), 3_000_000),
]


def measure(name: str, build: Callable[[], Network], capacity_w: int) -> str:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the readers of network files
        network = build()
    capacity = Capacity.same(network.connection_points, capacity_w, capacity_w)
    check = NetworkGrid(network, VoltageLimits(), capacity).allocate(BAND)
    robust, u = check.robust_rows, check.limits_w / network.base_power_w
    limits, model = robust.limits, PortModel(network)
    tree = radial_tree(model)
    seconds = []
    for _ in range(REPEATED):
        began = time.process_time()
        proof = prove_monotone(model, robust.conditions, u, limits.limit, tree)
        seconds.append(time.process_time() - began)
    count = proof.count()
    near = np.unique(check.rows.rows)
    open_ = near[~proof.secure[near]]
    known = np.full(len(limits.limit), -np.inf)
    np.maximum.at(known, check.rows.rows, robust.values(check.rows, u))
    gap = ((proof.bound - known) / limits.scale)[open_].max(initial=0.0)
    shown = " | ".join(str(count[standing]) for standing in ProofStatus)
    return (
        f"| `{name}` | {len(network.connection_points)} | {shown} | {proof.secure.mean():.1%} "
        f"| {gap:.1%} | {1e3 * statistics.median(seconds):.0f} ms |"
    )


def main() -> None:
    print(
        "| network | customers | proved | below limit | within gap | only checked | rows proved "
        "secure | largest gap, parts of the way to the limit | time |"
    )
    print("| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |")
    for case in CASES:
        print(measure(*case), flush=True)


if __name__ == "__main__":
    main()
