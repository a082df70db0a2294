"""Networks from tables of branches, against pandapower's own power flow of the same tables."""

from __future__ import annotations

import numpy as np
import pandapower as pp
import pytest

from security_check.errors import NetworkFaults
from security_check.importers.branch_table import (
    Branch,
    BranchTable,
    Resource,
    network_of_table,
)
from security_check.monitoring.monitors import Monitors
from security_check.power_flow.implicit_zbus import PowerFlow


def random_table(seed: int) -> BranchTable:
    rng = np.random.default_rng(seed)
    volts, buses = float(rng.choice([400.0, 20_000.0])), int(rng.integers(2, 9))
    branches = [
        Branch(
            f"b{k}",
            str(int(rng.integers(0, k))),
            str(k),
            float(rng.uniform(0.0, 0.2)),
            float(rng.uniform(0.01, 0.2)),
            float(rng.uniform(0.0, 1e-4)),
            float(rng.uniform(10, 100)) if rng.random() < 0.5 else None,
        )
        for k in range(1, buses)
    ]
    if rng.random() < 0.5:  # some branches are named from their far end
        branches = [
            Branch(b.name, b.end, b.start, b.r_ohm, b.x_ohm, b.b_s, b.rating_a) for b in branches
        ]
    resources = [
        Resource(
            str(k),
            str(int(rng.integers(0, buses))),
            float(rng.normal()) * 0.02 * volts**2,
            float(rng.normal()) * 0.01 * volts**2,
            0.3,
        )
        for k in range(int(rng.integers(1, 7)))
    ]
    return BranchTable("random", volts, "0", branches, resources)


@pytest.mark.parametrize("seed", range(12))
def test_voltages_and_currents_are_pandapowers(seed):
    table = random_table(seed)
    network = network_of_table(table)
    monitors = Monitors(PowerFlow(network))
    held = np.array([[1.02]])
    solved = monitors.power_flow.solve(network.ports.passive_power_pu[:, None], held)
    ours = np.abs(monitors.response @ solved.current + monitors.fixed @ held)[:, 0]
    net = pp.create_empty_network(sn_mva=1.0)
    for bus in table.buses:
        pp.create_bus(net, table.nominal_v / 1e3, index=int(bus))
    pp.create_ext_grid(net, 0, vm_pu=1.02)
    for each in table.branches:
        farad = each.b_s / (2 * np.pi * 50.0)
        ends = int(each.start), int(each.end)
        pp.create_line_from_parameters(
            net, *ends, 1.0, each.r_ohm, each.x_ohm, farad * 1e9, each.rating_a or 1.0
        )
    for load in table.resources:
        pp.create_load(net, int(load.bus), load.p_w / 1e6, load.q_var / 1e6)
    pp.runpp(net, tolerance_mva=1e-10, numba=False)
    voltages = [net.res_bus.vm_pu[int(bus)] for bus in table.buses[1:]]
    assert ours[: len(voltages)] == pytest.approx(voltages, abs=1e-8)
    amperes = ours[len(voltages) : len(voltages) + 2 * len(table.branches)]
    amperes = amperes * network.terminals.base_current_a
    expected = [*net.res_line.i_from_ka * 1e3, *net.res_line.i_to_ka * 1e3]
    assert amperes == pytest.approx(expected, abs=1e-4 * max(1.0, *expected))
    rated = network.terminals.rating_pu * network.terminals.base_current_a
    for k, each in enumerate(table.branches):
        assert each.rating_a is None or rated[k] == pytest.approx(each.rating_a)


def test_all_faults_of_a_table_are_reported_at_once():
    table = BranchTable(
        "wrong",
        400.0,
        "0",
        [
            Branch("a", "0", "1", 0.1, 0.1),
            Branch("a", "1", "0", 0.1, 0.1),
            Branch("c", "5", "6", 0.0, 0.0),
        ],
        [Resource("x", "9", 1.0, 0.0, 0.0)],
    )
    with pytest.raises(NetworkFaults) as caught:
        network_of_table(table)
    elements = [fault.element for fault in caught.value.faults]
    assert elements == ["branch:a", "branch:c", "branch:a", "bus:5", "bus:6", "pod:x"]
