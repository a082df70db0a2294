"""Linear programmes and rows in turn, until the rows are right about what the programmes activate.

Each interval has a keeper of rows that stand for its limits.  The programme finds the best
activation under them, the keepers add rows where it is beyond a limit, and so on (Kelley's cutting
planes).  Intervals whose offers are coupled share the programme; each keeps its own rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from doe_allocation.procurement.coupling import Coupling
from doe_allocation.procurement.problem import NotExactError, ProcurementProblem, UnrelievableError
from doe_allocation.procurement.program import Activation, Goal, best_activations
from doe_allocation.procurement.quantities import LinearRows, Quantity

_ROUNDS = 200  # programmes at most; one to ten are usual


class RowKeeper(Protocol):
    """Keeps the rows that stand for the limits of one interval."""

    @property
    def problem(self) -> ProcurementProblem:
        """The interval."""
        ...

    @property
    def quantities(self) -> Sequence[Quantity]:
        """What is limited in it."""
        ...

    def begin(self, goal: Goal) -> None:
        """Take the rows to begin with."""
        ...

    def rows(self) -> LinearRows:
        """Return the rows of the next programme."""
        ...

    def improve(self, found: Activation) -> bool:
        """Return whether the rows were wrong about an activation; then they are better now."""
        ...

    def afresh(self) -> bool:
        """Take other rows where no activation meets these; return whether there are any."""
        ...


def best_of(keeper: RowKeeper, goal: Goal) -> Activation:
    """Return the best activation of one interval; see :func:`best_together`."""
    return best_together([keeper], [goal])[0]


def best_together(
    keepers: Sequence[RowKeeper], goals: Sequence[Goal], coupling: Coupling | None = None
) -> list[Activation]:
    """Return the best activations of intervals, each within its limits.

    Raises
    ------
    UnrelievableError
        When no activations keep all limits.
    PowerFlowError
        When an activation has no power flow at some deviation.
    NotExactError
        When the rounds do not end.
    """
    for keeper, goal in zip(keepers, goals, strict=True):
        keeper.begin(goal)
    changes = [keeper.problem.change for keeper in keepers]
    count = len(keepers[0].quantities)
    for _ in range(_ROUNDS):
        rows = [keeper.rows() for keeper in keepers]
        try:
            found = best_activations(goals, rows, changes, count, coupling)
        except UnrelievableError:
            others = [keeper.afresh() for keeper in keepers]
            if not any(others):
                raise
            continue
        wrong = [keeper.improve(own) for keeper, own in zip(keepers, found, strict=True)]
        if not any(wrong):
            return found
    raise NotExactError(f"rows of limits do not become exact in {_ROUNDS} programmes")
