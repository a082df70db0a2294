"""Rules of fairness on AC networks: secure, as good as a non-linear solver finds, replaceable."""

from __future__ import annotations

import doctest
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
from brute_force import violation, worst_values
from networks import BAND, SMALL_AREAS, Area, feeder, simbench_network, small_area
from scipy.optimize import minimize

from doe_allocation.allocation.ac_climbing import ValuedRule
from doe_allocation.allocation.islands_grid import IslandsGrid
from doe_allocation.allocation.network_grid import NetworkGrid
from doe_allocation.capacity import Capacity
from doe_allocation.fairness import rule as rule_module
from doe_allocation.fairness.principles import (
    TAKE_NO_WEIGHTS,
    ComparedShare,
    Fairness,
    LevelScope,
    Rule,
)
from doe_allocation.fairness.rule import Filled
from security_check.importers.pandapower_balanced import network_from_pandapower
from security_check.model.limits import VoltageLimits

_minimize: Any = minimize  # its stubs know neither these bounds nor these constraints

PRINCIPLES = [
    Fairness(over=ComparedShare.WIDTH),
    Fairness(Rule.EQUAL),
    Fairness(Rule.EQUAL, common=LevelScope.ALL),
    Fairness(Rule.PROPORTIONAL_TO_CAPACITY),
    Fairness(Rule.PROPORTIONAL),
    Fairness(Rule.ALPHA, alpha=0.2),
    Fairness(Rule.ALPHA, alpha=8.0),
    Fairness(Rule.MAXIMUM_SUM),
]


def titles(principle: Fairness) -> str:
    return principle.title


@pytest.mark.parametrize("principle", PRINCIPLES, ids=titles)
@pytest.mark.parametrize("name", SMALL_AREAS)
def test_no_vertex_breaks_anything_and_bounds_hold(name, principle):
    area = small_area(**SMALL_AREAS[name])
    grid = area.grid.with_fairness(principle)
    check = grid.allocate(area.limits.interface)
    limits_w = check.limits_w
    assert violation(area.flow, area.limits, limits_w) <= 1e-7
    assert grid.attack(area.limits.interface, limits_w, np.random.default_rng(1)).violation <= 1e-7
    assert (limits_w >= grid.capacity.lower_w()).all()
    assert (limits_w <= grid.capacity.upper_w()).all()
    envelopes = check.envelopes()
    names = envelopes.injection_bottlenecks + envelopes.withdrawal_bottlenecks
    for stop, limit_w, most_w in zip(names, limits_w, grid.capacity.upper_w(), strict=True):
        assert limit_w == most_w if stop == "capacity" else limit_w < most_w
        assert stop.startswith(("bus:", "line:", "trafo:", "interface", "capacity"))
    # Something is full, but for whole watts: none of these rules leaves room that all could use.
    assert check.verdict.loading == pytest.approx(1.0, abs=1e-3)


def by_solver(area: Area, rule: ValuedRule, start_w: np.ndarray) -> np.ndarray:
    """Return the limits that SLSQP finds, constrained by every vertex of the AC power flow."""
    base, limits = area.grid.network.base_power_w, area.limits
    low, high = limits.voltage.minimum_pu, limits.voltage.maximum_pu

    def room(u: np.ndarray) -> np.ndarray:
        worst = worst_values(area.flow, limits, u * base)
        rating = area.flow.network.terminals.rating_pu
        parts = [
            (high - worst["highest"]) / (high - 1),
            (worst["lowest"] - low) / (1 - low),
            (1.0 - worst["current"] / rating)[np.isfinite(rating)],
        ]
        for name, limit_w in (
            ("injected", limits.interface.injection_limit_w),
            ("withdrawn", limits.interface.withdrawal_limit_w),
        ):
            if limit_w is not None:
                parts.append(np.atleast_1d(1.0 - worst[name] * base / limit_w))
        return np.concatenate(parts)

    scale = max(abs(rule.value(start_w / base)), 1e-9)
    found = _minimize(
        lambda u: -rule.value(u) / scale,
        start_w / base,
        method="SLSQP",
        bounds=list(zip(rule.lower, rule.upper, strict=True)),
        constraints=[{"type": "ineq", "fun": room}],
        options={"maxiter": 100, "ftol": 1e-10},
    )
    u = np.clip(found.x, rule.lower, rule.upper)
    # What the solver exceeds by its tolerance must not count as better.
    while violation(area.flow, limits, u * base) > 1e-7:
        u = rule.lower + (1.0 - 1e-6) * (u - rule.lower)
    return u


@pytest.mark.slow
@pytest.mark.parametrize(
    "principle",
    [
        Fairness(Rule.MAXIMUM_SUM),
        Fairness(Rule.PROPORTIONAL),
        Fairness(Rule.ALPHA, alpha=0.2),
        Fairness(Rule.ALPHA, alpha=3.0),
    ],
    ids=titles,
)
@pytest.mark.parametrize("name", ["voltages bind", "thin lines", "interface"])
def test_a_nonlinear_solver_finds_nothing_better_nearby(name, principle):
    """From the envelopes and from max-min; better by 0.2 % of the value would be a fault."""
    area = small_area(**SMALL_AREAS[name])
    base = area.grid.network.base_power_w
    capacity = area.grid.capacity
    rule = principle(
        capacity.lower_w() / base, capacity.upper_w() / base, np.ones(2 * len(capacity.injection_w))
    )
    assert isinstance(rule, ValuedRule)
    contract = area.limits.interface
    ours_w = area.grid.with_fairness(principle).allocate(contract).limits_w
    value = rule.value(ours_w / base)
    for start_w in (ours_w, area.grid.allocate(contract).limits_w):
        other = by_solver(area, rule, start_w.astype(float))
        assert rule.value(other) <= value + 2e-3 * abs(value)


@dataclass(frozen=True)
class NearestFirst:
    """A rule of one's own: serve the limits one after the other, in the network's order."""

    lower: np.ndarray
    upper: np.ndarray
    weight: np.ndarray

    def filled(self, A, b):
        u, stop = self.lower.copy(), np.full(len(self.lower), -1)
        for i in range(len(u)):
            room = np.maximum(b - A @ u, 0.0)
            uses = A[:, i] > 1e-10 * A.max(axis=1)
            most = np.where(uses, room / np.where(uses, A[:, i], 1.0), np.inf)
            row = int(most.argmin())
            u[i] = min(u[i] + most[row], self.upper[i])
            stop[i] = row if u[i] < self.upper[i] else -1
        return Filled(u, stop)

    def above(self, lower):
        return replace(self, lower=lower)


def test_a_rule_of_twenty_lines_replaces_the_others():
    area = small_area(**SMALL_AREAS["thin lines"])
    grid = area.grid.with_fairness(NearestFirst)
    check = grid.allocate(area.limits.interface)
    envelopes = check.envelopes()
    assert violation(area.flow, area.limits, check.limits_w) <= 1e-7
    assert envelopes.injection_w[0] == 25_000
    assert envelopes.injection_bottlenecks[0] == "capacity"
    others = area.grid.allocate(area.limits.interface).envelopes()
    assert envelopes.injection_w.tolist() != others.injection_w.tolist()
    assert "line:1" in {*envelopes.injection_bottlenecks, *envelopes.withdrawal_bottlenecks}
    kept = grid.reallocate(area.limits.interface, envelopes)  # the same rule shares new headroom
    assert (kept.limits_w >= check.limits_w).all()


def test_the_rule_in_the_docstring_allocates_on_a_network():
    """The class defined in the docstring of ``rule.py``, exactly as it stands there."""
    (example,) = (
        found
        for found in doctest.DocTestFinder().find(rule_module)
        if found.name == rule_module.__name__
    )
    assert not doctest.DocTestRunner().run(example, clear_globs=False).failed
    definition = next(each.source for each in example.examples if "class SamePart" in each.source)
    assert len(definition.splitlines()) <= 20
    area = small_area(**SMALL_AREAS["thin lines"])
    grid = area.grid.with_fairness(example.globs["SamePart"])
    check = grid.allocate(area.limits.interface)
    assert violation(area.flow, area.limits, check.limits_w) <= 1e-7
    lower_w, upper_w = grid.capacity.lower_w(), grid.capacity.upper_w()
    part = (check.limits_w - lower_w) / (upper_w - lower_w)
    assert part.min() > 0.0
    assert part.max() < 1.0
    assert part.max() - part.min() < 1e-4, "but for whole watts"
    assert len(set(check.envelopes().injection_bottlenecks)) == 1


@pytest.mark.parametrize("principle", PRINCIPLES, ids=titles)
def test_what_becomes_free_is_shared_by_the_same_principle(principle):
    area = small_area(**SMALL_AREAS["interface"])
    grid = area.grid.with_fairness(principle)
    tight, loose = replace(area.limits.interface, injection_limit_w=30_000), area.limits.interface
    held = grid.allocate(tight).envelopes()
    check = grid.reallocate(loose, held)
    have = np.concatenate([held.injection_w, held.withdrawal_w])
    assert (check.limits_w >= have).all()
    assert check.limits_w.sum() > have.sum() + 10_000
    assert violation(area.flow, area.limits, check.limits_w) <= 1e-7


def test_weights_reach_every_rule_that_takes_them():
    area = small_area(**SMALL_AREAS["interface"])
    weights, contract = np.ones(8), area.limits.interface
    weights[0] = 3.0
    for principle in PRINCIPLES:
        if principle.rule in TAKE_NO_WEIGHTS:
            continue
        plain = area.grid.with_fairness(principle).allocate(contract).limits_w
        heavy = area.grid.with_fairness(principle, weights).allocate(contract).limits_w
        first = [0, 4] if principle.over is ComparedShare.WIDTH else [0]
        assert heavy[first].sum() > plain[first].sum()
    with pytest.raises(ValueError, match="8 numbers above 0"):
        area.grid.with_fairness(Fairness(), np.zeros(8))


def test_separate_parts_are_divided_as_the_whole():
    net = feeder(4, 1)
    network = network_from_pandapower(net)
    capacity = Capacity.same(network.connection_points, 20_000, 20_000, 100, 100)
    limits = VoltageLimits(0.92, 1.08)

    def make(part):
        return NetworkGrid(part.network, limits, capacity.take(part.points))

    weights = np.array([1.0, 2.0, 1.0, 1.0] * 2)
    principle = Fairness(Rule.PROPORTIONAL)
    joint = IslandsGrid(network, make).with_fairness(principle, weights)
    whole = NetworkGrid(network, limits, capacity, weights, fairness=principle)
    np.testing.assert_array_equal(joint.allocate(BAND).limits_w, whole.allocate(BAND).limits_w)


@pytest.mark.slow
@pytest.mark.parametrize("principle", PRINCIPLES, ids=titles)
@pytest.mark.parametrize("code", ["1-LV-semiurb4--0-sw", "1-LV-rural1--0-sw"])
def test_secure_on_simbench_networks(code, principle):
    network = simbench_network(code)
    capacity = Capacity.same(network.connection_points, 30_000, 30_000)
    grid = NetworkGrid(network, VoltageLimits(0.90, 1.10), capacity, fairness=principle)
    limits_w = grid.allocate(BAND).limits_w
    found = grid.attack(BAND, limits_w, np.random.default_rng(2), samples=2000)
    assert found.violation <= 1e-7
