"""Offers that are not enough: what is named cannot be relieved, and what is missing is enough."""

from __future__ import annotations

import copy
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from procurement_cases import problem_of, published_case
from random_feeders import Feeder, random_case
from sampling import examples

from doe_allocation.procurement.choices import CurrentShape
from doe_allocation.procurement.procurement import ProcurementSettings, procure
from doe_allocation.procurement.shortfall import InsufficientFlexibilityError
from security_check.errors import PowerFlowError

WAYS = [
    ProcurementSettings(),
    ProcurementSettings(shape=CurrentShape.REFINED),
    ProcurementSettings(shape=CurrentShape.CONES),
    ProcurementSettings(ac_exact=True),
]


def error_of(case, settings, name="a"):
    with pytest.raises(InsufficientFlexibilityError) as caught:
        procure(problem_of(case, name=name), settings, np.random.default_rng(0))
    return caught.value


@pytest.mark.parametrize("settings", WAYS)
def test_the_branch_that_cannot_be_relieved_is_named_with_its_excess(settings):
    case = published_case() | {"current_limit_a": {"2-3": 60.0}}
    error = error_of(case, settings, "2")
    (worst,) = error.violations
    assert (worst.element, worst.limit, worst.unit) == ("branch:2-3", 60.0, "A")
    everything = np.array([each["p_kw"] * 1e3 * each["flexible"] for each in case["pods"]])
    best = Feeder(case).worst_current_a(1, everything, "2")
    assert worst.value == pytest.approx(best, rel=0.01)
    assert str(error).startswith("branch:2-3: it cannot be relieved")
    assert error.missing


@pytest.mark.parametrize("settings", WAYS[:3])
@pytest.mark.parametrize("limit", [60.0, 67.0])
def test_what_is_missing_is_enough_and_a_little_less_is_not(settings, limit):
    case = published_case() | {"current_limit_a": {"2-3": limit}}
    error = error_of(case, settings, "2")
    for part, enough in ((1.02, True), (0.97, False)):
        more = copy.deepcopy(case)
        for each in more["pods"]:
            extra = sum(
                m.power_w / 1e3 for m in error.missing if m.resource == f"pod:{each['pod']}"
            )
            each["extra"] = part * extra
        more["offers"] = [
            {"pod": each["pod"], "direction": "upward", "to_kw": each["p_kw"] + each["extra"],
             "price_eur_per_kwh": 1.0}
            for each in more["pods"]
            if each["flexible"]
        ]  # fmt: skip
        scaled = _with_room(more)
        if enough:
            procure(scaled, settings, np.random.default_rng(0))
        else:
            with pytest.raises(InsufficientFlexibilityError):
                procure(scaled, settings, np.random.default_rng(0))


def _with_room(case):
    """Return the problem with offers beyond loads, which a file may not have."""
    offers = case.pop("offers")
    for each in case["pods"]:
        del each["extra"]
    problem = problem_of(case, name="2")
    sizes = {each["pod"]: each["to_kw"] * 1e3 / problem.network.base_power_w for each in offers}
    flexible = [each["pod"] for each in case["pods"] if each["flexible"]]
    return replace(
        problem,
        offers=tuple(
            replace(offer, power_pu=sizes[pod])
            for offer, pod in zip(problem.offers, flexible, strict=True)
        ),
    )


def test_a_limit_below_what_no_power_changes_says_so():
    case = published_case() | {"current_limit_a": {"2-3": 0.1}}
    error = error_of(case, ProcurementSettings(), "2")
    assert not error.missing
    assert "up to 100 times all they have" in str(error)


def test_a_bus_that_cannot_be_relieved_is_named():
    case = published_case() | {"voltage_min_pu": 0.9985, "current_limit_a": {}}
    error = error_of(case, ProcurementSettings(), "2")
    assert error.element.startswith("bus:")
    assert {each.element for each in error.violations} <= {f"bus:{k}" for k in range(2, 13)}
    assert all(each.unit == "p.u." and each.value < each.limit for each in error.violations)


@settings(max_examples=examples(20))
@given(st.integers(0, 10_000), st.booleans())
def test_whatever_the_limit_there_is_an_activation_or_an_element_that_stays_above(seed, ac_exact):
    case = random_case(seed)
    case["current_limit_a"]["1-2"] *= float(np.random.default_rng(seed).uniform(0.2, 1.0))
    settings = ProcurementSettings(ac_exact=ac_exact)
    problem = problem_of(case)
    short = None
    try:
        found = procure(problem, settings, np.random.default_rng(0))
    except InsufficientFlexibilityError as error:
        short = error
    except PowerFlowError:
        assume(False)
    if short is not None:
        assert short.violations[0].element == "branch:1-2"
        assert short.violations[0].value > case["current_limit_a"]["1-2"]
    else:
        assert found.after.finding is not None
        assert found.after.finding.violation <= (0.0 if ac_exact else 0.02)
