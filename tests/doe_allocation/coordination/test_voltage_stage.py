"""The third stage: the TSO's voltage against a programme of scipy's, and in AC by pandapower."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import numpy as np
import pytest
from coordination_cases import random_problem
from coordination_networks import BASE_W, OFFERS, model, solved_by_pandapower
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from presence import there
from scipy.optimize import linprog

from doe_allocation.coordination.area import all_offers, respond
from doe_allocation.coordination.coordination import Scheme, coordinate
from doe_allocation.coordination.problem import Linearised, SourceVoltage
from doe_allocation.coordination.voltage_stage import choose_voltage, voltage_curve

SEEDS = st.integers(0, 10**6)
BAND = (1.0, 1.03)
# Loads at `middle`: at 1.0 p.u. at the top the TSO's line is above what it may carry.
LOADED = tuple({**BASE_W, "middle": -5e6, "left": -50e3, "right": -45e3}.items())


def with_source(problem: Linearised, seed: int) -> tuple[Linearised, SourceVoltage]:
    """Return a problem in which the voltage at the top moves rows, powers and interfaces."""
    rng = np.random.default_rng(seed)
    count = len(problem.market.areas)
    source = SourceVoltage(
        rng.normal(size=len(problem.rows.area)) * 20.0,
        rng.normal(size=count),
        rng.normal(size=count),
        rng.uniform(0.8, 1.2, count),
        np.full(count, 1.0),
        -0.03,
        0.02,
    )
    return replace(problem, source=source), source


def joint_optimum(
    problem: Linearised, source: SourceVoltage, agreed: list[tuple[float, float]], *, moves: bool
) -> float:
    """Return the least cost over all offers and the voltage, with the powers that were agreed."""
    market, rows = problem.market, problem.rows
    r = len(rows.area)
    move = source.by_rows[:, None] * 0.1
    out = np.concatenate([problem.by_active, problem.by_reactive])
    by_source = np.concatenate([source.by_active, source.by_reactive])[:, None] * 0.1
    none = np.zeros((r, 1))
    above = np.hstack([rows.A, move, none, -np.eye(r), np.zeros((r, r))])
    below = np.hstack([-rows.A, -move, none, np.zeros((r, r)), -np.eye(r)])
    own = market.change.real * (market.area < 0)
    sums = np.array(agreed)[:, 0].sum()
    sign = market.need.direction.sign
    need = -np.concatenate([sign * own, [0.0, 1.0], np.zeros(2 * r)])
    A = np.vstack([above, below, need])
    least = market.need.power_w / 1e6 - sign * sums
    b = np.concatenate([rows.high - rows.value, rows.value - rows.low, [-least]])
    kept = np.isfinite(b)
    width = source.low / 0.1, source.high / 0.1
    bounds = [(0.0, size) for size in market.sizes] + [width if moves else (0.0, 0.0)]
    bounds += [(0.0, None)] * (1 + 2 * r)
    equal = np.hstack([out, by_source, np.zeros((len(out), 1 + 2 * r))])
    wide = np.vstack([equal, -equal])
    powers = np.array(agreed).T.ravel()
    room = np.concatenate([powers + 1e-6, -powers + 1e-6])
    found = linprog(
        np.concatenate([market.prices, [0.0, market.need.price_cap], np.full(2 * r, 1e6)]),
        A_ub=np.vstack([A[kept], wide]),
        b_ub=np.concatenate([b[kept], room]),
        bounds=bounds,
    )
    return float(there(found.fun))


@settings(max_examples=25, deadline=None)
@given(SEEDS)
def test_the_voltage_is_at_least_as_good_as_the_present_and_near_the_joint_optimum(
    seed: int,
) -> None:
    problem, source = with_source(random_problem(seed), seed)
    areas = range(len(problem.market.areas))
    terms = all_offers(problem)
    points = [respond(problem, area, terms) for area in areas]
    agreed = [(each.active, each.reactive) for each in points]
    curves = [
        voltage_curve(problem, source, area, each) for area, each in zip(areas, agreed, strict=True)
    ]
    assume(all(c[0].change_pu <= 0.0 <= c[-1].change_pu for c in curves))
    choice = choose_voltage(problem, source, agreed, curves)
    assert source.low - 1e-9 <= choice.source_change_pu <= source.high + 1e-9
    x, moved = choice.activated, choice.source_change_pu
    sizes = problem.market.sizes
    assert ((x >= -1e-7) & (x <= sizes + 1e-7)).all()
    out = np.concatenate([problem.by_active, problem.by_reactive]) @ x
    out += np.concatenate([source.by_active, source.by_reactive]) * moved
    np.testing.assert_allclose(out, np.array(agreed).T.ravel(), atol=1e-5)
    value = problem.rows.value + problem.rows.A @ x + source.by_rows * moved
    over = np.maximum(value - problem.rows.high, problem.rows.low - value)
    own = problem.market.change.real * (problem.market.area < 0)
    served = problem.market.need.direction.sign * (
        float(own @ x) + float(np.array(agreed)[:, 0].sum())
    )
    lacks = max(problem.market.need.power_w / 1e6 - served, 0.0)
    cost = float(problem.market.prices @ x) + problem.market.need.price_cap * lacks
    cost += 1e6 * float(np.maximum(over, 0.0).sum())
    least = joint_optimum(problem, source, agreed, moves=True)
    present = joint_optimum(problem, source, agreed, moves=False)
    room = 1e-4 * max(abs(present), 1e3) + 5.0  # powers have room of 1e-6, an excess costs 1e6
    assert least - room <= cost <= present + room


def test_a_voltage_that_is_chosen_relieves_a_line_and_is_kept_in_ac() -> None:
    fixed = coordinate(model(OFFERS, 1.0, None, LOADED), Scheme.TWO_STAGE)
    ac = model(OFFERS, 1.0, BAND, LOADED)
    result = coordinate(ac, Scheme.TWO_STAGE)
    assert fixed.overloads
    assert not result.overloads
    assert result.cost < fixed.cost * Decimal("0.5")
    assert BAND[0] < result.point.source_pu < BAND[1]
    active, reactive, voltage = ac.interface(result.point, 0)
    np.testing.assert_allclose([active, reactive], there(result.plan.targets), atol=1e-4)
    np.testing.assert_allclose(voltage, there(result.plan.voltages)[0], atol=1e-6)
    ends = {each.high: each for each in result.ends if each.quantity == "voltage"}
    assert not any(each.overloads for each in ends.values())
    assert ends[False].found - 1e-4 <= voltage <= ends[True].found + 1e-4
    net = solved_by_pandapower(result.point)
    trafo = ac.flow.joined.index("middle", 0)
    assert -net.res_trafo.p_hv_mw.at[trafo] == pytest.approx(active, abs=1e-6)
    bus = int(net.trafo.hv_bus.at[trafo])
    assert net.res_bus.vm_pu.at[bus] == pytest.approx(voltage, abs=1e-8)


def test_without_a_choice_no_redispatch_of_the_same_powers_moves_the_voltage() -> None:
    """Given P and Q, a DSO cannot move the voltage at its interface: V is not its to state."""
    ac = model()
    first = ac.point(0.5 * ac.market.sizes)
    agreed = np.array(ac.interface(first, 0)[:2])
    moved = 0.5 * ac.market.sizes
    moved[4] = 0.0  # another resource gives the power of `left up`, behind another line
    near = first
    for _ in range(8):
        problem = ac.linearised(near)
        lack = agreed - np.array(ac.interface(near, 0)[:2])
        pair = np.array([problem.by_active[0, [1, 3]], problem.by_reactive[0, [1, 3]]])
        moved = near.activated.copy()
        moved[4] = 0.0
        if near is not first:
            moved[[1, 3]] += np.linalg.solve(pair, lack)
        near = ac.point(moved, near)
    active, reactive, voltage = ac.interface(near, 0)
    np.testing.assert_allclose([active, reactive], agreed, atol=1e-9)
    assert abs(moved - first.activated).max() > 0.01
    assert voltage == pytest.approx(ac.interface(first, 0)[2], abs=1e-10)


def test_other_schemes_leave_the_voltage_as_it_is() -> None:
    ac = model(OFFERS, 1.0, BAND, LOADED)
    for scheme in (Scheme.LOCAL, Scheme.COMMON):
        result = coordinate(ac, scheme)
        assert result.point.source_pu == pytest.approx(1.0, abs=0.0)
        assert result.plan.voltages is None
