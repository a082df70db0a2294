"""Impedance tolerances against networks built anew for every corner of branch impedances."""

from __future__ import annotations

import copy
import functools
import itertools
from dataclasses import replace

import numpy as np
import pandapower as pp
import pytest
from brute_force import Limits, extremes, measured, of_rows, vertices, violation
from hypothesis import given, settings
from hypothesis import strategies as st
from networks import BAND, Net, feeder, menagerie
from presence import there
from sampling import examples
from trade_moves import random_trades, trade

from doe_allocation.allocation.network_grid import NetworkGrid
from doe_allocation.capacity import Capacity
from security_check.errors import NetworkFaults
from security_check.importers.pandapower_balanced import network_from_pandapower
from security_check.model.limits import VoltageLimits
from security_check.modifications.impedance_tolerance import with_tolerance
from security_check.monitoring.row_kinds import RowKind
from security_check.power_flow.implicit_zbus import PowerFlow
from security_check.uncertainty.deviation_sets import BudgetSet
from security_check.uncertainty.forecast import Uncertainty
from security_check.verification.adversary import attack
from security_check.worst_case.packing_rows import PackingRows
from security_check.worst_case.robust_rows import RobustRows
from security_check.worst_case.search import WorstPointSearch

LIMITS = Limits(VoltageLimits(0.92, 1.08), BAND)
NETS = {
    "feeder": lambda: plain(feeder(3, 1)),
    "thin lines": lambda: plain(feeder(3, 4, max_i_ka=0.05)),
    "a mesh": lambda: plain(feeder(3, 1, meshed=True)),
    "magnetised": lambda: magnetised(feeder(3, 7, trafo_mva=0.05)),
}
"""The last has magnetising current, where scaling a transformer's data is not quite the same."""


def plain(net: Net) -> Net:
    net.trafo["i0_percent"] = net.trafo["pfe_kw"] = 0.0
    return net


def magnetised(net: Net) -> Net:
    net.trafo["i0_percent"], net.trafo["pfe_kw"] = 0.2, 0.05
    return net


def scaled(net: Net, change: dict[str, float]) -> Net:
    """Return the net with other impedances, in its own tables."""
    other = copy.deepcopy(net)
    for element, part in change.items():
        table, index = element.split(":")
        names = (
            ["r_ohm_per_km", "x_ohm_per_km"] if table == "line" else ["vk_percent", "vkr_percent"]
        )
        other[table].loc[int(index), names] *= 1.0 + part
    return other


def uneven(name: str, tolerance: float) -> dict[str, float]:
    """Return the tolerance for every other element, and half of it for the rest."""
    return {e: tolerance * (1.0 - 0.5 * (k % 2)) for k, e in enumerate(elements(NETS[name]()))}


@functools.cache
def corners_of(name: str, tolerance: float) -> list[PowerFlow]:
    return corner_flows(NETS[name](), uneven(name, tolerance))


def corner_flows(net: Net, tolerance: dict[str, float]) -> list[PowerFlow]:
    """Return a power flow for each corner, every one of a network built anew."""
    signs = itertools.product((-1.0, 1.0), repeat=len(tolerance))
    return [
        PowerFlow(
            network_from_pandapower(
                scaled(net, {e: s * t for (e, t), s in zip(tolerance.items(), corner, strict=True)})
            )
        )
        for corner in signs
    ]


def worst_of(flows: list[PowerFlow], limits_w: np.ndarray):
    power = vertices(limits_w, flows[0].network.base_power_w)
    parts = [
        measured(flow, power, np.full(power.shape[1], end)) for flow in flows for end in LIMITS.band
    ]
    return extremes({name: np.concatenate([p[name] for p in parts], axis=-1) for name in parts[0]})


def grid_of(net: Net, tolerance: float | dict[str, float]) -> NetworkGrid:
    network = with_tolerance(network_from_pandapower(net), tolerance)
    capacity = Capacity.same(network.connection_points, 90_000, 90_000, 100, 100)
    return NetworkGrid(network, LIMITS.voltage, capacity)


def elements(net: Net) -> list[str]:
    return [f"line:{i}" for i in net.line.index] + [f"trafo:{i}" for i in net.trafo.index]


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("name", NETS)
def test_a_changed_impedance_is_a_network_built_anew(name, seed):
    """Voltages and currents, the changed branches' own included."""
    net = NETS[name]()
    rng = np.random.default_rng(seed)
    change = {element: float(rng.uniform(-0.3, 0.3)) for element in elements(net)}
    grid = grid_of(net, 0.3)
    flow, network = grid.monitors.power_flow, grid.network
    points = rng.uniform(-6e3, 6e3, (3, 5)) / network.base_power_w
    first = there(network.ports.compensation).first
    kappa = np.array([change[e] / (1.0 + change[e]) for e in network.ports.names[first:]])
    powers = network.port_shares @ points + 0j
    powers[first:] = kappa[:, None]
    solved = flow.solve(powers, np.full((1, 5), 1.01))
    fresh = PowerFlow(network_from_pandapower(scaled(net, change)))
    seen = measured(fresh, points, np.full(5, 1.01))
    values = grid.monitors.all_values(solved)
    ours = {
        "highest": seen["voltage"],
        "lowest": seen["voltage"],
        "current": seen["current"],
        "injected": -seen["drawn"],
        "withdrawn": seen["drawn"],
    }
    exact = 2e-6 if name == "magnetised" else 2e-8
    for rows, value in of_rows(grid.monitors, ours):
        np.testing.assert_allclose(values[rows].max(axis=0), value, rtol=0, atol=exact)


@pytest.mark.parametrize("name", NETS)
def test_gradients_by_impedance_are_those_of_differences(name):
    grid = grid_of(NETS[name](), 0.2)
    robust = grid.robust_rows(BAND)
    rng = np.random.default_rng(0)
    u = np.full(6, 8e3) / grid.network.base_power_w
    rows = robust.limited
    points = robust.start_points(rows)
    points.free[:, 1:] = rng.uniform(-0.9, 0.9, points.free[:, 1:].shape)
    # Away from where currents are so small that their own direction is taken for them.
    slopes = robust.problem.at(rows, points, u).slopes.by_free
    values = robust.problem.evaluate(rows, points, u)[0]
    loaded = (robust.monitors.kind[rows] < 2) | (values > 0.06 * robust.limits.limit[rows])
    assert loaded.sum() > 10
    for k in range(slopes.shape[1]):
        ends = []
        for step in (1e-4, -1e-4):
            moved = replace(points, free=points.free.copy())
            moved.free[:, k] += step
            ends.append(robust.problem.evaluate(rows, moved, u)[0])
        slope = (ends[0] - ends[1]) / 2e-4
        np.testing.assert_allclose(slope[loaded], slopes[loaded, k], rtol=1e-4, atol=2e-6)


@pytest.mark.slow
@settings(deadline=None, max_examples=examples(40))
@given(
    name=st.sampled_from(["feeder", "thin lines", "a mesh"]),
    tolerance=st.sampled_from([0.05, 0.3]),
    seed=st.integers(0, 10**6),
)
def test_the_robust_bound_is_the_worst_of_all_corners(name, tolerance, seed):
    rng = np.random.default_rng(seed)
    limits_w = rng.uniform(0.0, 12_000, 6).astype(np.int64)
    worst = worst_of(corners_of(name, tolerance), limits_w)
    grid = grid_of(NETS[name](), uneven(name, tolerance))
    robust = grid.robust_rows(BAND)
    limit = robust.limits.limit.copy()
    pairs = of_rows(robust.monitors, worst)
    for rows, value in pairs:
        limit[rows] = value
    near = replace(robust.limits, limit=limit, scale=np.maximum(np.abs(limit), 1e-3))
    robust = RobustRows(replace(robust.problem, limits=near))
    u = limits_w / grid.network.base_power_w
    known, _ = robust.worst(robust.limited, robust.start_points(robust.limited), u)
    found = PackingRows.joined(
        [known, WorstPointSearch(robust).find_new_worst_points(known, u, near=np.inf)]
    )
    values = robust.values(found, u)
    for rows, brute in pairs:
        bound = values[np.isin(found.rows, rows)].max()
        assert brute - bound < 1e-6, robust.element(int(rows[0]))
        assert bound - brute < 2e-5, robust.element(int(rows[0]))
    bounds = grid.monitors.bounds(robust.conditions, u, robust.limits)
    for rows, brute in pairs:
        assert (bounds[rows] >= brute - 1e-9).all()


@pytest.mark.slow
@pytest.mark.parametrize("name", NETS)
def test_allocated_envelopes_withstand_every_corner(name):
    """And those for the impedances of the data do not; the least shrinks as tolerances grow."""
    net = NETS[name]()
    flows = corners_of(name, 0.3)
    check = grid_of(net, uneven(name, 0.3)).allocate(BAND)
    worst = max(violation(flow, LIMITS, check.limits_w) for flow in flows)
    slack = 2e-5 if name == "magnetised" else 3e-9
    assert -1e-3 < worst <= slack
    found = attack(check.robust_rows, check.limits_w, np.random.default_rng(0), samples=64)
    assert found.violation <= 1e-9
    exact = grid_of(net, 0.0).allocate(BAND).limits_w
    assert max(violation(flow, LIMITS, exact) for flow in flows) > 1e-3
    least = [grid_of(net, t).allocate(BAND).limits_w.min() for t in (0.0, 0.1, 0.3)]
    assert all(after <= before + 3 for before, after in itertools.pairwise(least))
    assert least[-1] < least[0]


@pytest.mark.parametrize("name", ["feeder", "thin lines", "a mesh"])
def test_envelopes_stay_secure_trade_by_trade(name):
    """Whatever impedances the branches have within their tolerance."""
    check = grid_of(NETS[name](), uneven(name, 0.3)).allocate(BAND)
    traded, rng = 0, np.random.default_rng(3)
    for direction, seller, buyer, wanted_w in random_trades(check, 8, seed=6):
        if trade(check, direction, seller, buyer, wanted_w):
            traded += 1
            worst = max(violation(flow, LIMITS, check.limits_w) for flow in corners_of(name, 0.3))
            assert worst <= 3e-9
            found = attack(check.robust_rows, check.limits_w, rng, samples=32, climbs=4)
            assert found.violation <= 2e-9
    assert traded > 2


def test_no_tolerance_changes_nothing():
    network = network_from_pandapower(NETS["feeder"]())
    assert with_tolerance(network, 0.0) is network
    assert with_tolerance(network, {}) is network
    one = with_tolerance(network, {"line:1": 0.1})
    assert one.ports.names[len(network.ports.names) :] == ("line:1",)


def test_impedances_and_powers_deviate_together():
    net = feeder(4, 1)
    net.load.loc[3, "in_service"] = False
    pp.create_sgen(net, int(net.load.bus[3]), p_mw=0.01)
    network = with_tolerance(network_from_pandapower(net, passive="as-given"), 0.1)
    model = Uncertainty(
        np.array([0]), np.array([0.5]), np.zeros(1), np.array([0.0]), BudgetSet(1, 1.0)
    )
    capacity = Capacity.same(network.connection_points, 25_000, 25_000)
    grid = NetworkGrid(network, LIMITS.voltage, capacity, forecast=model.forecast(network))
    check = grid.allocate(BAND)
    found = attack(check.robust_rows, check.limits_w, np.random.default_rng(0), samples=64)
    assert found.violation <= 1e-9
    assert len(found.operating_point.deviation) == 1 + len(elements(net))
    alone = NetworkGrid(network, LIMITS.voltage, capacity).allocate(BAND)
    assert check.limits_w.min() < alone.limits_w.min()


def test_three_winding_transformers_and_taps_have_tolerances_too():
    """Against admittances that are built from scaled data; all windings of one move together."""
    net = menagerie()
    network = network_from_pandapower(net)
    with_all = with_tolerance(network, 0.1)
    compensation = there(with_all.ports.compensation)
    series = there(network.series)
    assert sum(name == "trafo3w:0" for name in with_all.ports.names[compensation.first :]) == 3
    assert compensation.half.shape[1] == len(set(series.elements))
    change = 0.1 / 1.1
    own = [k for k, e in enumerate(series.elements) if e in ("line:0", "trafo:1")]
    across = series.across[:, own].toarray()
    ours = network.admittance.toarray() - change * across @ series.admittance[own][:, own] @ (
        across.conj().T
    )
    net.line.loc[0, ["r_ohm_per_km", "x_ohm_per_km"]] *= 1.1
    net.trafo.loc[1, ["vk_percent", "vkr_percent"]] *= 1.1
    fresh = network_from_pandapower(net).admittance.toarray()
    assert np.abs(ours - fresh).max() < 1e-4 * np.abs(fresh - network.admittance.toarray()).max()


def behind(vk_percent: float, i0_percent: float) -> Net:
    """Return a line behind a transformer, with a customer at either end of it."""
    net = pp.create_empty_network(sn_mva=0.1)
    a, b, c = (pp.create_bus(net, kv) for kv in (20.0, 0.4, 0.4))
    pp.create_ext_grid(net, a)
    pp.create_transformer_from_parameters(
        net, a, b, sn_mva=0.1, vn_hv_kv=20.0, vn_lv_kv=0.4, vkr_percent=1.5,
        vk_percent=vk_percent, pfe_kw=0.05, i0_percent=i0_percent,
    )  # fmt: skip
    pp.create_line_from_parameters(
        net, b, c, length_km=0.2, r_ohm_per_km=0.3, x_ohm_per_km=0.1, c_nf_per_km=0.0, max_i_ka=0.6
    )
    for bus in (b, c):
        pp.create_load(net, bus, 0.001)
    return net


@pytest.mark.parametrize("part", [0.05, 0.1, 0.2, 0.4])
@pytest.mark.parametrize(
    ("vk", "i0"), [(4.0, 0.3), (6.0, 0.34), (6.0, 1.0), (8.0, 2.0), (12.0, 0.1), (12.0, 5.0)]
)
def test_a_magnetised_transformer_is_exact_enough_or_refused(vk, i0, part):
    """At the transformer's rating, at either end of the tolerance, voltages are off by 1e-6."""
    network = network_from_pandapower(behind(vk, i0))
    refused = 2.0 * 0.25 * (vk / 100) ** 2 * i0 / 100 * part * (1.0 + part) > 1e-6
    try:
        tolerant = with_tolerance(network, {"trafo:0": part})
    except NetworkFaults as found:
        assert refused
        (fault,) = found.faults
        assert fault.element == "trafo:0"
        assert f"tolerance of {part:g}" in fault.detail
        return
    assert not refused
    capacity = Capacity.same(tolerant.connection_points, 9, 9)
    monitors = NetworkGrid(tolerant, LIMITS.voltage, capacity).monitors
    voltages = np.flatnonzero(monitors.kind == RowKind.VOLTAGE_MAX)
    for change, each_w in itertools.product((-part, part), (-42_000.0, 42_000.0)):
        points = np.full((2, 1), each_w / tolerant.base_power_w)
        powers = tolerant.port_shares @ points + 0j
        powers[there(tolerant.ports.compensation).first :] = change / (1.0 + change)
        ours = monitors.all_values(monitors.power_flow.solve(powers, np.array([[0.99]])))
        anew = PowerFlow(network_from_pandapower(scaled(behind(vk, i0), {"trafo:0": change})))
        voltage = measured(anew, points, np.array([0.99]))["voltage"]
        np.testing.assert_allclose(ours[voltages], voltage, rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    ("tolerance", "why"),
    [
        (0.5, r"trafo:0: its impedance tolerance is 0.5; it must be from 0 to 0.4"),
        ({"line:0": -0.1}, r"line:0: its impedance tolerance is -0.1"),
        ({"line:99": 0.1}, r"line:99: .* no such branch is in service"),
        (float("nan"), r"line:0: its impedance tolerance is nan"),
    ],
)
def test_wrong_tolerances_name_the_element(tolerance, why):
    network = network_from_pandapower(NETS["feeder"]())
    with pytest.raises(NetworkFaults, match=why):
        with_tolerance(network, tolerance)
    with pytest.raises(NetworkFaults, match="are not known one by one"):
        with_tolerance(replace(network, series=None), 0.1)
    with pytest.raises(NetworkFaults, match="already have tolerances"):
        with_tolerance(with_tolerance(network, 0.1), 0.1)
