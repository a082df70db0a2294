"""Rows and envelopes under uncertainty against every vertex of customers, set and voltage."""

from __future__ import annotations

import copy
import itertools
from dataclasses import replace

import numpy as np
import pandapower as pp
import pytest
from brute_force import measured, of_rows, only_flow, solve, vertices, violation, worst_values
from hypothesis import given, settings
from hypothesis import strategies as st
from presence import there
from sampling import examples
from uncertain_networks import (
    AREAS,
    SCALING,
    SETS,
    UncertainArea,
    extreme_points,
    off_by,
    on_ellipsoid,
    reactive_grid,
    uncertain_area,
)

from security_check.model.limits import InterfaceLimits
from security_check.monitoring.row_kinds import RowKind
from security_check.uncertainty.deviation_sets import BoxSet, BudgetSet, DeviationSet, EllipsoidSet
from security_check.verification.adversary import attack
from security_check.worst_case.packing_rows import PackingRows
from security_check.worst_case.robust_rows import RobustRows
from security_check.worst_case.search import WorstPointSearch

NAMES = st.sampled_from(sorted(AREAS))
KINDS = st.sampled_from(sorted(SETS))
EXACT_PU = 1e-6


def random_box(area: UncertainArea, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    limits_w = rng.uniform(0.0, 15_000, 2 * len(area.grid.connection_points))
    limits_w[rng.random(len(limits_w)) < 0.1] = 0
    return limits_w.astype(np.int64)


def truly_worst(area: UncertainArea, limits_w: np.ndarray, deviations: DeviationSet):
    """Return the extreme values by trying everything; of ellipsoids by a search from samples."""
    points = extreme_points(deviations)
    worst = worst_values(area.flow, area.limits, limits_w, area.half_band_pu @ points.T)
    if isinstance(deviations, EllipsoidSet):
        worst = refined(area, limits_w, deviations)
    return worst


def refined(area: UncertainArea, limits_w: np.ndarray, ellipsoid: EllipsoidSet):
    """Search around the best of the samples of each quantity, closer and closer."""
    rng = np.random.default_rng(1)
    power = vertices(limits_w, area.flow.network.base_power_w)
    axes = np.eye(ellipsoid.count)
    ball = np.concatenate([rng.normal(size=(60, ellipsoid.count)), axes, -axes])
    ends = np.array(area.limits.band)
    # Every vertex, voltage and sample; then the best of each quantity alone.
    v, e, s = (x.ravel() for x in np.indices((power.shape[1], 2, len(ball))))
    values = _all(area, power[:, v], ends[e], on_ellipsoid(ellipsoid, ball)[s])
    best = values.argmax(axis=1)
    v, e, at, top = v[best], e[best], ball[s[best]], values.max(axis=1)
    each = np.arange(len(top))
    for scale in np.tile(0.75 ** np.arange(1, 40), 2):
        at /= np.linalg.norm(at, axis=1, keepdims=True)
        tries = at[:, None, :] + scale * rng.normal(size=(len(top), 24, ellipsoid.count))
        own = np.repeat(each, 24)
        xi = on_ellipsoid(ellipsoid, tries.reshape(len(own), -1))
        found = _all(area, power[:, v[own]], ends[e[own]], xi)[own, np.arange(len(own))]
        found = found.reshape(len(top), 24)
        chosen = found.argmax(axis=1)
        better = found[each, chosen] > top
        at[better] = tries[each, chosen][better]
        top = np.maximum(top, found.max(axis=1))
        if scale == 0.75:  # which vertex is worst depends on the deviations
            others = np.repeat(each, power.shape[1])
            vertex = np.tile(np.arange(power.shape[1]), len(top))
            xi = on_ellipsoid(ellipsoid, at)[others]
            seen = _all(area, power[:, vertex], ends[e[others]], xi)
            v = seen[others, np.arange(len(others))].reshape(len(top), -1).argmax(axis=1)
            top = seen[others, np.arange(len(others))].reshape(len(top), -1).max(axis=1)
    return _unstacked(area, top)


def _all(area, power, interface, xi):
    seen = measured(area.flow, power, interface, area.half_band_pu @ xi.T)
    parts = [seen["voltage"], -seen["voltage"], seen["current"]]
    return np.vstack([*parts, -seen["drawn"], seen["drawn"]])


def _unstacked(area, top):
    n, m = len(area.flow.network.voltages.elements), len(area.flow.network.terminals.elements)
    highest, lowest, current, up, down = np.split(top, np.cumsum([n, n, m, 1]))
    return {
        "highest": highest,
        "lowest": -lowest,
        "current": current,
        "injected": float(up[0]),
        "withdrawn": float(down[0]),
    }


def all_at_their_limits(
    area: UncertainArea, deviations: DeviationSet, worst
) -> tuple[RobustRows, list]:
    """Return rows whose limits are the true maxima themselves, so that all are near."""
    robust = area.with_set(deviations).robust_rows(area.limits.interface)
    pairs = of_rows(robust.monitors, worst)
    limit = robust.limits.limit.copy()
    for rows, value in pairs:
        limit[rows] = value
    near = replace(robust.limits, limit=limit, scale=np.maximum(np.abs(limit), 1e-3))
    return RobustRows(replace(robust.problem, limits=near)), pairs


def found_by(robust: RobustRows, u: np.ndarray) -> PackingRows:
    known, _ = robust.worst(robust.limited, robust.start_points(robust.limited), u)
    return PackingRows.joined(
        [known, WorstPointSearch(robust).find_new_worst_points(known, u, near=np.inf)]
    )


@pytest.mark.slow
@settings(deadline=None, max_examples=examples(120))
@given(name=NAMES, kind=KINDS, seed=st.integers(0, 10**6))
def test_the_robust_bound_is_the_largest_value_of_all(name, kind, seed):
    area, deviations = uncertain_area(**AREAS[name]), SETS[kind]
    limits_w = random_box(area, seed)
    u = limits_w / area.flow.network.base_power_w
    worst = truly_worst(area, limits_w, deviations)
    robust, pairs = all_at_their_limits(area, deviations, worst)
    found = found_by(robust, u)
    values = robust.values(found, u)
    for rows, brute in pairs:
        bound = values[np.isin(found.rows, rows)].max()
        assert brute - bound < EXACT_PU, robust.element(int(rows[0]))
    # A value above those of the vertices comes with a point of box and set that reaches it.
    power, xi = found.points.power(u), found.points.free[:, 1:]
    again = _all(area, power.T, robust.conditions.ports(found.points, u)[1][0], xi)
    there = of_rows(robust.monitors, extremes_each(area, again))
    by_row = {int(row): value for rows, value in there for row in rows}
    for k, row in enumerate(found.rows):
        assert by_row[int(row)][k] >= values[k] - EXACT_PU


def extremes_each(area, stacked):
    n, m = len(area.flow.network.voltages.elements), len(area.flow.network.terminals.elements)
    highest, lowest, current, up, down = np.split(stacked, np.cumsum([n, n, m, 1]))
    return {
        "highest": highest,
        "lowest": -lowest,
        "current": current,
        "injected": up[0],
        "withdrawn": down[0],
    }


@pytest.mark.parametrize("kind", SETS)
@pytest.mark.parametrize("name", AREAS)
def test_allocated_envelopes_withstand_every_deviation(name, kind):
    """And are tight; a set of envelopes that takes the forecast for certain does not."""
    area, deviations = uncertain_area(**AREAS[name]), SETS[kind]
    check = area.with_set(deviations).allocate(area.limits.interface)
    more = area.half_band_pu @ extreme_points(deviations).T
    worst = violation(area.flow, area.limits, check.limits_w, more)
    assert -1e-3 < worst <= 2e-9
    found = attack(check.robust_rows, check.limits_w, np.random.default_rng(2), samples=64)
    assert found.violation <= 1e-9
    certain = area.grid.allocate(area.limits.interface)
    assert violation(area.flow, area.limits, certain.limits_w, more) > 1e-3


@pytest.mark.parametrize("name", AREAS)
def test_no_budget_is_certainty_and_a_full_one_the_box(name):
    """In the rows, bit by bit, and in the envelopes."""
    area = uncertain_area(**AREAS[name])
    limits_w = random_box(area, 3)
    u = limits_w / area.flow.network.base_power_w
    for budget, same in ((BudgetSet(3, 0), None), (BudgetSet(3, 3), BoxSet(3))):
        grids = area.with_set(budget), area.grid if same is None else area.with_set(same)
        robust, other = (grid.robust_rows(area.limits.interface) for grid in grids)
        rows, others = (
            r.worst(r.limited, r.start_points(r.limited), u)[0] for r in (robust, other)
        )
        np.testing.assert_array_equal(rows.points.share, others.points.share)
        np.testing.assert_allclose(rows.b, others.b, rtol=0, atol=1e-12)
        np.testing.assert_allclose(rows.A, others.A, rtol=0, atol=1e-12)
        once, again = (grid.allocate(area.limits.interface) for grid in grids)
        np.testing.assert_array_equal(once.limits_w, again.limits_w)
        assert once.envelopes().injection_bottlenecks == again.envelopes().injection_bottlenecks


@pytest.mark.parametrize("name", AREAS)
def test_the_least_envelope_never_grows_with_the_set(name):
    area = uncertain_area(**AREAS[name])
    families = (
        [BudgetSet(3, gamma) for gamma in (0.0, 0.5, 1.0, 1.7, 3.0)],
        [EllipsoidSet(np.eye(3), radius) for radius in (0.0, 0.3, 0.6, 1.0)],
    )
    for family in families:
        least = [
            area.with_set(one).allocate(area.limits.interface).limits_w.min() for one in family
        ]
        assert all(after <= before + 3 for before, after in itertools.pairwise(least))
        assert least[-1] < least[0]


def test_the_worst_point_is_one_of_pandapower_too():
    """The whole chain once more with nothing of ours but the point."""
    area = uncertain_area(**AREAS["voltages bind"])
    check = area.with_set(SETS["budget"]).allocate(area.limits.interface)
    found = attack(check.robust_rows, check.limits_w, np.random.default_rng(0), samples=64)
    at = found.operating_point
    net = copy.deepcopy(area.net)
    net.load["p_mw"], net.load["q_mvar"] = -at.power_w / 1e6, -at.reactive_var / 1e6
    net.ext_grid["vm_pu"] = at.interface_voltage_pu
    names = there(area.grid.network.passive).elements
    half_w = 1e5 * area.half_band_pu.sum(axis=0)
    for name, change in zip(names, half_w * at.deviation, strict=True):
        table, index = name.split(":")
        sign = (1 if table == "sgen" else -1) / SCALING[table]
        net[table].loc[int(index), "p_mw"] += sign * change.real / 1e6
        net[table].loc[int(index), "q_mvar"] += sign * change.imag / 1e6
    pp.runpp(net, calculate_voltage_angles=True, trafo_model="t", tolerance_mva=1e-12, numba=False)
    table, index = found.element.split(":")
    if table == "bus":
        assert net.res_bus.vm_pu[int(index)] == pytest.approx(found.value, abs=1e-8)
    else:
        ends = [c for c in net[f"res_{table}"].columns if c.startswith("i_") and c != "i_ka"]
        seen = 1e3 * net[f"res_{table}"].loc[int(index), ends].to_numpy(float)
        assert np.abs(seen - found.value).min() < 1e-4
    assert np.abs(at.deviation).sum() == pytest.approx(2.0)


@pytest.mark.parametrize(
    ("before", "now"), [("box", "budget"), ("box", "flat ellipsoid"), ("budget", "small budget")]
)
def test_points_of_another_set_are_no_starts(before, now):
    """They may lie outside this one: worst cases that cannot happen would bind."""
    area = uncertain_area(**AREAS["thin lines"])
    first, robust = (
        area.with_set(SETS[kind]).robust_rows(area.limits.interface) for kind in (before, now)
    )
    search = WorstPointSearch(robust, WorstPointSearch(first).starts)
    u = random_box(area, 3) / area.flow.network.base_power_w
    own = robust.conditions.deviating
    for points in (
        search.starts.watch.points,
        search.find_new_worst_points(robust.no_rows(), u, near=np.inf).points,
    ):
        xi = points.free[:, own]
        assert np.abs(xi).max() > 0.3
        np.testing.assert_allclose(SETS[now].nearest(xi), xi, rtol=0, atol=1e-9)


TWO: dict[str, DeviationSet] = {
    "box": BoxSet(2),
    "budget": BudgetSet(2, 1.3),
    "ellipsoid": EllipsoidSet(np.array([[1.0, 0.5], [0.5, 1.0]]), 1.0),
}


def sampled(kind: str, count: int, rng: np.random.Generator) -> np.ndarray:
    """Return random points inside and on the border of one of the sets of two deviations."""
    chosen = TWO[kind]
    if isinstance(chosen, EllipsoidSet):
        border = on_ellipsoid(chosen, rng.normal(size=(count, 2)))
        return border * np.where(rng.random((count, 1)) < 0.5, rng.random((count, 1)), 1.0)
    drawn = rng.choice([-1.0, 0.3, 1.0], (count, 2)) * rng.random((count, 2)) ** 0.3
    if kind == "budget":
        drawn *= np.minimum(1.0, 1.3 / np.abs(drawn).sum(axis=1, keepdims=True))
    return drawn


@settings(deadline=None, max_examples=examples(30))
@given(kind=st.sampled_from(sorted(TWO)), half_mw=st.floats(3.0, 12.0), seed=st.integers(0, 10**6))
def test_no_point_inside_is_worse_than_the_bound(kind, half_mw, seed):
    """Where reactances bend voltages down, the worst deviation lies inside its set."""
    grid = off_by(reactive_grid(), half_mw, TWO[kind])
    rng = np.random.default_rng(seed)
    base_w = grid.network.base_power_w
    u = rng.uniform(0.0, 6e6, 4) / base_w
    band = InterfaceLimits(0.99, 1.01)
    robust = grid.robust_rows(band)
    count = 4_000
    share = rng.choice([0.0, 1.0, 0.5], (count, 2), p=[0.4, 0.4, 0.2])
    power = share * (u[:2] + u[2:]) - u[2:]
    half_pu = half_mw / 25.0 * np.eye(len(grid.network.ports.names))[:, -2:]
    more = half_pu @ sampled(kind, count, rng).T
    values = np.concatenate(
        [
            grid.monitors.all_values(solve(only_flow(grid.monitors), power.T, ends, more))
            for ends in (np.full(count, 0.99), np.full(count, 1.01))
        ],
        axis=1,
    )
    best = values.max(axis=1)
    rows = robust.limited
    rated = robust.limits.limit
    limit = rated.copy()
    limit[rows] = best[rows]
    near = replace(robust.limits, limit=limit, scale=np.maximum(np.abs(limit), 1e-3))
    robust = RobustRows(replace(robust.problem, limits=near))
    found = found_by(robust, u)
    bound = np.full(len(limit), -np.inf)
    np.maximum.at(bound, found.rows, robust.values(found, u))
    # A branch that is hardly loaded has charging current only, whose direction says nothing.
    of_current = np.isin(
        robust.monitors.kind[rows], (RowKind.CURRENT_EXPORT, RowKind.CURRENT_IMPORT)
    )
    loaded = rows[~of_current | (best[rows] > 0.05 * rated[rows])]
    assert len(loaded) >= len(rows) // 2
    names = [robust.element(int(row)) for row in loaded[bound[loaded] < best[loaded] - EXACT_PU]]
    assert names == []


@pytest.mark.parametrize("kind", TWO)
def test_envelopes_withstand_deviations_that_are_worst_inside(kind):
    """Certain envelopes, and those secure at the extreme points alone, do not."""
    grid = off_by(reactive_grid(), 10.0, TWO[kind])
    check = grid.allocate(InterfaceLimits(0.99, 1.01))
    found = attack(check.robust_rows, check.limits_w, np.random.default_rng(1), samples=2_000)
    assert -1e-3 < found.violation <= 1e-9
    power = vertices(check.limits_w, grid.network.base_power_w)
    rng = np.random.default_rng(0)
    half_pu = 10.0 / 25.0 * np.eye(len(grid.network.ports.names))[:, -2:]
    more = half_pu @ sampled(kind, 4_000, rng).T
    robust = check.robust_rows
    for end in (0.99, 1.01):
        at = rng.integers(power.shape[1], size=4_000)
        solved = solve(only_flow(grid.monitors), power[:, at], np.full(4_000, end), more)
        values = grid.monitors.all_values(solved)[robust.limited]
        assert robust.violation(robust.limited[:, None], values).max() <= 1e-6
