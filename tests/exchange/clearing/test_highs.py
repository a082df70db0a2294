"""The solver is asked again before it is believed, and a program without a budget ends it."""

from __future__ import annotations

import highspy
import numpy as np
import pytest

from exchange.clearing.highs import INFINITY, MixedProgram, WarmModel
from exchange.clearing.work_budget import ProgramCost, RemainingWork


def warm() -> WarmModel:
    """Return max 3 a + b, a + b <= 4, a and b from 0 to 3."""
    model = WarmModel(np.array([-INFINITY]), np.array([4.0]))
    model.add(np.array([3.0, 1.0]), np.array([[1.0, 1.0]]))
    model.set_bounds(np.zeros(2), np.full(2, 3.0))
    return model


def test_what_a_warm_start_does_not_find_is_asked_from_a_cold_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model, runs = warm(), []
    run = WarmModel._run

    def astray(self: WarmModel) -> highspy.HighsSolution | None:
        runs.append(self)
        return None if len(runs) == 1 else run(self)

    monkeypatch.setattr(WarmModel, "_run", astray)
    assert model.bound() == pytest.approx(10.0)
    assert len(runs) == 2
    assert model.bound() == pytest.approx(10.0)
    assert len(runs) == 3  # what a warm start finds is not asked again


def mixed() -> MixedProgram:
    """Return max a + b, 2 a + 2 b <= 3, a and b whole and at least 0."""
    return MixedProgram(
        value=np.ones(2),
        coefficients=np.full((1, 2), 2.0),
        row_lower=np.array([-INFINITY]),
        row_upper=np.array([3.0]),
        lower=np.zeros(2),
        upper=np.full(2, 9.0),
        integer=np.ones(2, dtype=bool),
    )


def test_a_program_that_may_not_start_uses_up_the_budget() -> None:
    budget = RemainingWork(ProgramCost(1, 2).root + 1)
    assert mixed().solve(0.0, budget) is None
    assert budget.left == 0
    budget = RemainingWork(10_000)
    assert mixed().solve(0.0, budget) is not None
    assert 0 < budget.left < 10_000


def test_infeasible_is_not_believed_where_nothing_is_a_solution(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    run, asked = MixedProgram._run, []

    def astray(self: MixedProgram, solver: highspy.Highs, scale: float) -> highspy.HighsModelStatus:
        _, presolve = solver.getOptionValue("presolve")
        asked.append(presolve)
        if presolve != "off":
            return highspy.HighsModelStatus.kInfeasible
        return run(self, solver, scale)

    monkeypatch.setattr(MixedProgram, "_run", astray)
    found = mixed().solve(0.0, RemainingWork(10_000))
    assert found is not None
    assert found.sum() == pytest.approx(1.0)
    assert asked == ["choose", "off"]
