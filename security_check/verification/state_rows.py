"""The rows of a network state by state: each state is an ordinary network, and proved as one."""

from __future__ import annotations

from dataclasses import dataclass, replace

from security_check.model.element import USUAL, State
from security_check.model.network import Network
from security_check.monitoring.case_monitors import CaseMonitors
from security_check.monitoring.monitors import Monitors
from security_check.monitoring.row_limits import RowLimits
from security_check.worst_case.robust_rows import RobustRows
from security_check.worst_case.row_problem import RowProblem

NOT_COVERED = "networks with generators are not covered by the proof"


@dataclass(frozen=True, slots=True)
class StateRows:
    """The rows of one state.

    Parameters
    ----------
    state
        The state.
    robust
        Its rows, with names of elements alone.
    first
        The first of them among the rows of all states.
    """

    state: State
    robust: RobustRows
    first: int = 0

    @property
    def network(self) -> Network:
        """The network in this state."""
        return self.robust.conditions.network

    def holds(self, row: int) -> bool:
        """Return whether one of the rows of all states is this state's."""
        return self.first <= row < self.first + len(self.robust.monitors.kind)


def rows_by_state(robust: RobustRows) -> tuple[StateRows, ...]:
    """Return the rows of each state; empty where a state has voltage-controlled generators."""
    monitors = robust.monitors
    if isinstance(monitors, Monitors):
        return (StateRows(USUAL, robust),)
    assert isinstance(monitors, CaseMonitors)
    found, first = [], 0
    for case in monitors.power_flow.cases:
        (own, *others), network = case.monitors, case.power_flow.network
        if others or network.generators is not None:
            return ()
        rows = slice(first, first + len(own.kind))
        limits = RowLimits(
            robust.limits.limit[rows], robust.limits.scale[rows], robust.limits.voltage_min_pu
        )
        conditions = replace(robust.conditions, network=network)
        alone = RobustRows(RowProblem(own, limits, conditions))
        found.append(StateRows(case.state, alone, first))
        first = rows.stop
    return tuple(found)
