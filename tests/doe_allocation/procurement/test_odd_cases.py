"""Cases with many limits at once, also where offers do almost nothing: an answer or a name."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from procurement_cases import problem_of
from random_feeders import Feeder, random_case
from sampling import examples

from doe_allocation.procurement.choices import CurrentShape, Objective
from doe_allocation.procurement.procurement import ProcurementSettings, procure
from doe_allocation.procurement.shortfall import InsufficientFlexibilityError

SEEDS = st.integers(0, 10_000)


def odd_case(seed: int) -> dict[str, Any]:
    """Return a feeder with limits of many branches and of voltages, near what there is.

    Some branches carry charging current only; their limits are far below those of others.
    """
    rng = np.random.default_rng(seed)
    case = random_case(seed, pods=int(rng.integers(2, 6)))
    for branch in case["branches"]:
        branch["b_s"] = float(rng.choice([0.0, 1e-6, 1e-4, -1e-5]))
    feeder = Feeder(case)
    nothing = np.zeros(len(feeder.load))
    worst = feeder.currents_a(nothing, feeder.vertices()).max(axis=1)
    case["current_limit_a"] = {
        branch["id"]: max(float(most * rng.uniform(0.8, 1.1)), 1e-3)
        for branch, most in zip(case["branches"], worst, strict=True)
        if rng.random() < 0.5
    }
    volt = np.abs(feeder.voltages(nothing, feeder.vertices()))[1:] / feeder.volts
    if rng.random() < 0.4:
        case["voltage_min_pu"] = float(1.0 - (1.0 - volt.min()) * rng.uniform(0.8, 1.05))
    if rng.random() < 0.4:
        case["voltage_max_pu"] = max(float(volt.max() * rng.uniform(0.99, 1.01)), 1.0)
    assume(0.0 < case["voltage_min_pu"] < case["voltage_max_pu"])
    for each in case["pods"]:
        each["flexible"] = True
    for each in case["pods"][::2]:  # the other way, too
        way = "downward" if each["p_kw"] > 0 else "upward"
        size = abs(each["p_kw"]) * float(rng.choice([1e-3, 1.0, 3.0]))
        price = float(rng.choice([0.0, 1.0, 1e-3, 50.0]))
        case["offers"].append(
            {"pod": each["pod"], "direction": way, "to_kw": size, "price_eur_per_kwh": price}
        )
    return case


def beyond(case: dict[str, Any], injected: np.ndarray) -> float:
    """Return by how much the worst vertex is beyond a limit, in parts of it or of 0.1 p.u."""
    feeder = Feeder(case)
    volt = feeder.voltages(injected, feeder.vertices())
    current = np.abs(feeder.sending @ volt).max(axis=1)
    size = np.abs(volt)[1:] / feeder.volts
    over = [(size.max() - case["voltage_max_pu"]) * 10, (case["voltage_min_pu"] - size.min()) * 10]
    for branch, most in zip(case["branches"], current.tolist(), strict=True):
        limit = case["current_limit_a"].get(branch["id"], np.inf)
        over.append(most / limit - 1.0)
    return float(max(over))


@settings(max_examples=examples(30), deadline=None)
@given(
    SEEDS,
    st.sampled_from(list(CurrentShape)),
    st.sampled_from(list(Objective)),
    st.booleans(),
)
@example(9, CurrentShape.PLANES, Objective.UPWARD, False)
@example(50, CurrentShape.CONES, Objective.COST, False)
@example(30040, CurrentShape.CONES, Objective.UPWARD, False)
@example(30719, CurrentShape.CONES, Objective.COST, True)
def test_there_is_a_secure_activation_or_limits_that_are_named(seed, shape, objective, ac_exact):
    case = odd_case(seed)
    problem = problem_of(case)
    how = ProcurementSettings(objective, shape, 32, ac_exact)
    found = answered(problem, how)
    if isinstance(found, InsufficientFlexibilityError):
        names = {f"branch:{each}" for each in case["current_limit_a"]}
        names |= {f"bus:{k}" for k in range(2, 9)}
        assert {each.element for each in found.violations} <= names
        assert all(each.value != each.limit for each in found.violations)
        if ac_exact:  # no draw of activations does better than what is called impossible
            assert_no_draw_is_secure(case, problem, seed)
        return
    size = problem.network.base_power_w
    states = [(found.total, found.after)]
    if found.local_only is not None:
        states.append((found.local.power, found.local_only))
    for power, state in states:
        secure = state.finding is None or state.finding.violation <= 1e-9
        assert secure or not ac_exact
        over = beyond(case, problem.change @ power * size)
        assert over <= (2e-6 if secure else 0.3)


def answered(problem, how):
    try:
        return procure(problem, how, np.random.default_rng(0))
    except InsufficientFlexibilityError as error:
        return error


def assert_no_draw_is_secure(case, problem, seed):
    rng = np.random.default_rng(seed)
    for _ in range(60):
        power = np.clip(rng.uniform(-0.5, 1.5, len(problem.sizes)), 0.0, 1.0) * problem.sizes
        over = beyond(case, problem.change @ power * problem.network.base_power_w)
        assert over >= -1e-5


def test_a_limit_that_offers_do_not_move_is_named_with_its_numbers():
    case = random_case(4) | {"current_limit_a": {"1-2": 1e-3}}
    for shape in CurrentShape:
        with pytest.raises(InsufficientFlexibilityError, match="branch:1-2: it cannot be reliev"):
            procure(problem_of(case), ProcurementSettings(shape=shape), np.random.default_rng(0))
