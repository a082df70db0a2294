"""A solver that gives up where a test says so, in the place of the clearing's own.

So what follows a failure is shown with any program, not with those that today's solver fails at.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import highspy
import numpy as np
import pytest

from exchange.clearing import highs


@dataclass(frozen=True)
class Attempt:
    """A program that a solver is to solve."""

    mixed: bool
    """Whether some of its variables must be whole."""
    worth: np.ndarray
    """What columns that may trade are worth, scaled as the solver sees it."""

    @property
    def large(self) -> bool:
        """Whether its objective is not scaled down to numbers of at most 1."""
        return bool(np.abs(self.worth).max(initial=0.0) > 1.0)

    def has(self, price_ticks: int) -> bool:
        """Return whether an order of this price takes part, at any scale by a power of two."""
        return bool((np.frexp(np.abs(self.worth))[0] == np.frexp(price_ticks)[0]).any())


def give_up_where(patch: pytest.MonkeyPatch, fails: Callable[[Attempt], bool]) -> list[Attempt]:
    """Let the solver end without a result in some attempts; return the list of these."""
    given_up: list[Attempt] = []

    def run(solver: Any) -> highspy.HighsStatus:
        program = solver.getLp()
        live = np.array(program.col_upper_) > 0.0
        scale = 2.0 ** solver.getOptionValue("user_objective_scale")[1]
        worth = -scale * np.array(program.col_cost_)[live]
        attempt = Attempt(bool(program.integrality_), worth)
        solver.gave_up = fails(attempt)
        if not solver.gave_up:
            return run_to_its_end(solver)
        given_up.append(attempt)
        return highspy.HighsStatus.kError

    def status(solver: Any) -> highspy.HighsModelStatus:
        return highspy.HighsModelStatus.kUnknown if solver.gave_up else last_status(solver)

    run_to_its_end, last_status = highspy.Highs.run, highspy.Highs.getModelStatus
    own = {"gave_up": False, "run": run, "getModelStatus": status}
    patch.setattr(highs.highspy, "Highs", type("Highs", (highspy.Highs,), own))
    return given_up
