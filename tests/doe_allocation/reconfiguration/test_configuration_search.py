"""The search for the best configuration, against brute force over all of them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandapower.networks as pn
import pytest
from switched_networks import Case, level_w, small_case

from doe_allocation.reconfiguration.choices import Choices, Configuration
from doe_allocation.reconfiguration.radial_configurations import SwitchableGraph
from doe_allocation.reconfiguration.refutation import RadialRefuter
from doe_allocation.reconfiguration.relaxation import bound_by_relaxation
from doe_allocation.reconfiguration.search import SearchOutcome, best_configuration
from security_check.errors import InsecureError, PowerFlowError
from security_check.model.limits import InterfaceLimits, VoltageLimits

CASES: dict[str, dict[str, Any]] = {
    "two loops": {"seed": 2, "customers": 4, "ties": 2},
    "taps": {"seed": 8, "customers": 3, "ties": 1, "tap_changer": True},
    "bus switches": {"seed": 9, "customers": 4, "ties": 1, "bus_switches": True},
    "line switches and generation": {
        "seed": 11, "customers": 3, "ties": 1, "line_switches": True, "passive": True,
    },
    "two sources": {"seed": 8, "customers": 3, "ties": 0, "second_source": True},
}  # fmt: skip


def _refuter(case: Case) -> RadialRefuter:
    branches = case.switched().branches(case.build)
    return RadialRefuter(branches, case.voltage, [case.interface], case.capacity())


def _search(
    case: Case, most: int | None = None, *, use_refuter: bool = True, **more: Any
) -> SearchOutcome:
    choices = case.switched().choices(most)
    refuter = _refuter(case) if use_refuter else None

    def relax() -> tuple[float, Configuration | None]:
        assert refuter is not None
        found = bound_by_relaxation(
            refuter.switched, choices, case.voltage, [case.interface], case.capacity()
        )
        return found.bound_w, found.configuration

    return best_configuration(
        choices,
        case.allocated,
        case.capacity().upper_w(),
        refuter=refuter,
        relax=relax if use_refuter else None,
        **more,
    )


def _rank(limits_w: Any, configuration: Configuration, present: Configuration) -> Any:
    return np.sort(limits_w).tolist(), -configuration.operations_from(present)


@pytest.mark.parametrize("name", CASES)
def test_the_best_is_that_of_brute_force(name: str) -> None:
    case = small_case(**CASES[name])
    present = case.switched().choices(None).present
    every = list(case.brute_force())
    first, limits_w = max(every, key=lambda each: _rank(each[1], each[0], present))
    found = _search(case)
    assert found.exact
    assert found.best is not None
    assert _rank(found.best.limits_w, found.best.configuration, present) == _rank(
        limits_w, first, present
    )
    assert found.best.limits_w.tolist() == case.allocated(found.best.configuration).tolist()
    assert (
        found.best.smallest_uncapped_w
        == found.bound_w
        == max(level_w(case, each) for _, each in every)
    )
    assert found.gap_w == 0
    radial = case.radial()
    assert found.configurations == len(radial)
    assert found.evaluated + found.refuted == len(radial)
    # The result is the same where nothing is refuted.
    plain = _search(case, use_refuter=False)
    assert plain.best is not None
    assert plain.best.configuration == found.best.configuration
    if not (plain.best.limits_w >= case.capacity_w).all():
        assert sum(plain.rejected.values()) == len(radial) - len(every)
    # Few operations: the best of those that so few lead to.
    near = [each for each in every if each[0].operations_from(present) <= 2]
    limited = _search(case, 2)
    assert limited.best is not None
    assert np.sort(limited.best.limits_w).tolist() == max(np.sort(w).tolist() for _, w in near)
    assert limited.best.operations <= 2


@pytest.mark.parametrize("name", ["two loops", "taps"])
def test_the_heuristic_states_a_bound(name: str) -> None:
    case = small_case(**CASES[name])
    exact, found = _search(case), _search(case, exact_limit=1)
    assert exact.best is not None
    assert found.best is not None
    assert not found.exact
    assert found.best.smallest_uncapped_w <= exact.best.smallest_uncapped_w <= found.bound_w
    assert found.gap_w == found.bound_w - found.best.smallest_uncapped_w
    assert found.present is not None
    assert found.best.smallest_uncapped_w >= found.present.smallest_uncapped_w


@pytest.mark.parametrize("name", ["two loops", "two sources"])
def test_the_adversary_finds_the_choice_secure(name: str) -> None:
    case = small_case(**CASES[name])
    best = _search(case).best
    assert best is not None
    grid = case.grid(best.configuration)
    finding = grid.attack(case.interface, best.limits_w, np.random.default_rng(1), samples=2_000)
    assert finding.violation <= 1e-6
    if best.smallest_uncapped_w < case.capacity_w:
        assert finding.violation > -2e-3  # and something does keep the limits down
        more = best.limits_w + 300
        finding = grid.attack(case.interface, more, np.random.default_rng(1), samples=2_000)
        assert finding.violation > 0.0


def test_more_to_choose_from_is_no_worse() -> None:
    """Closing a tie to choose from, freeing a tap, allowing operations: levels only rise."""
    case = small_case(**CASES["two loops"])
    levels = []
    for most in (0, 2, 4, None):
        best = _search(case, most).best
        assert best is not None
        levels.append((best.smallest_uncapped_w, np.sort(best.limits_w).tolist()))
    assert levels == sorted(levels)
    with_taps = small_case(**CASES["two loops"], tap_changer=True)
    best = _search(with_taps).best
    assert best is not None
    assert np.sort(best.limits_w).tolist() >= levels[-1][1]


def _toy(
    limits: dict[tuple[bool, ...], Any], most: int | None = None, **more: Any
) -> SearchOutcome:
    """Choose between three ways to supply two nodes; what each gives is said here."""
    graph = SwitchableGraph(3, (0,), (), ((0, 1), (0, 2), (1, 2)))
    choices = Choices(graph, (), Configuration((True, True, False)), most)

    def evaluate(configuration: Configuration) -> Any:
        given = limits[configuration.closed]
        if isinstance(given, Exception):
            raise given
        return np.array(given)

    return best_configuration(choices, evaluate, np.array([9, 9, 5]), **more)


A, B, C = (True, True, False), (True, False, True), (False, True, True)


def test_ties_go_to_the_next_smallest_then_to_fewer_operations() -> None:
    found = _toy({A: [3, 4, 4], B: [5, 3, 4], C: [3, 4, 4]}).best
    assert found is not None
    assert found.configuration.closed == B
    found = _toy({A: [3, 4, 5], B: [5, 3, 4], C: [4, 3, 5]}).best
    assert found is not None
    assert found.configuration.closed == A  # nothing to switch
    found = _toy({A: [3, 4, 3], B: [5, 3, 4], C: [5, 4, 3]}).best
    assert found is not None
    assert found.configuration.closed == min(B, C)


def test_what_is_at_its_capacity_does_not_count_as_kept_down() -> None:
    found = _toy({A: [6, 7, 5], B: [7, 7, 5], C: [9, 9, 4]})
    assert found.best is not None
    assert found.best.configuration.closed == B
    assert found.best.smallest_uncapped_w == 7 == found.bound_w
    found = _toy({A: [6, 7, 5], B: [9, 9, 5], C: [9, 9, 5]})
    assert found.best is not None
    assert found.best.smallest_uncapped_w == 9


def test_what_is_not_secure_is_counted_with_its_reason() -> None:
    insecure, unsolved = InsecureError("line:1", "too much"), PowerFlowError("none")
    found = _toy({A: insecure, B: unsolved, C: [1, 1, 1]})
    assert found.best is not None
    assert found.best.configuration.closed == C
    assert sorted(found.rejected.values()) == [1, 1]
    assert found.present is None
    assert "line:1: too much" in found.present_fault
    found = _toy({A: insecure, B: insecure, C: insecure})
    assert found.best is None
    assert found.exact
    assert list(found.rejected.values()) == [3]


def test_too_few_evaluations_are_not_called_exact() -> None:
    found = _toy({A: [3, 3, 3], B: [2, 2, 2], C: [4, 4, 4]}, evaluations=1)
    assert not found.exact
    assert found.bound_w == 9
    found = _toy({A: [3, 3, 3], B: [2, 2, 2], C: [4, 4, 4]}, most=0)
    assert found.exact
    assert found.best is not None
    assert found.best.configuration.closed == A


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_medium_voltage_networks_with_switches() -> None:
    """The CIGRE network's three switches, all ways tried; and the 33-bus network's heuristic."""
    net = pn.create_cigre_network_mv()
    case = Case(
        net,
        ("switch:1", "switch:2", "switch:4", "line:1", "line:6"),
        {},
        InterfaceLimits(0.98, 1.03),
        VoltageLimits(0.93, 1.07),
        3_000_000,
    )
    every = list(case.brute_force())
    found = _search(case)
    assert found.exact
    assert found.configurations == len(case.radial())
    assert found.best is not None
    assert np.sort(found.best.limits_w).tolist() == max(np.sort(w).tolist() for _, w in every)
    net = pn.case33bw()
    net.line["max_i_ka"] = 0.4
    names = tuple(f"line:{i}" for i in net.line.index)
    case = Case(net, names, {}, InterfaceLimits(0.98, 1.02), VoltageLimits(0.9, 1.1), 2_000_000)
    exact, near = _search(case), _search(case, exact_limit=10)
    assert exact.exact
    assert exact.configurations == 50_751
    assert exact.best is not None
    assert near.best is not None
    assert (
        0.98 * exact.best.smallest_uncapped_w
        <= near.best.smallest_uncapped_w
        <= exact.best.smallest_uncapped_w
    )
    assert exact.best.smallest_uncapped_w <= near.bound_w <= 1.15 * exact.best.smallest_uncapped_w
