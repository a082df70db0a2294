"""The power flows of several states of one network, each solved when it is asked for.

A row needs the power flow of its own state only, so a batch of operating points is not solved for
all states at once: :class:`CasePoints` stand for the batch, of which solved parts are kept.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from security_check.arrays import ComplexArray, FloatArray, IndexArray
from security_check.errors import Fault, NetworkFaults, PowerFlowError
from security_check.model.element import State
from security_check.monitoring.protocol import Monitored
from security_check.power_flow.implicit_zbus import TOLERANCE_PU, PowerFlow
from security_check.power_flow.operating_points import OperatingPoints


@dataclass(frozen=True, slots=True)
class Case:
    """One state of a network.

    Parameters
    ----------
    state
        What differs from the usual state, which is that of the first case.
    power_flow
        Its power flow.
    monitors
        Its monitored quantities.
    """

    state: State
    power_flow: PowerFlow
    monitors: tuple[Monitored, ...]


class CasePoints(OperatingPoints):
    """A batch of operating points in all cases; each case is solved when it is asked for.

    Parameters
    ----------
    store
        The batch, and the power flows solved so far.
    columns
        Shape (B,), these points among the batch's columns.
    """

    __slots__ = ("_columns", "_store")

    def __init__(self, store: _SolvedCases, columns: IndexArray) -> None:
        # This class stands in for OperatingPoints, whose fields are solved on demand and so are not
        # filled.  The base class is frozen: its constructor sets fields in this way, too.
        object.__setattr__(self, "_store", store)
        object.__setattr__(self, "_columns", columns)

    _store: _SolvedCases
    _columns: IndexArray

    @property
    def every(self) -> IndexArray:
        """All points, shape (B,)."""
        return np.arange(len(self._columns))

    def of_case(self, case: int, columns: IndexArray) -> OperatingPoints:
        """Return the operating points of a case at some of the points."""
        return self._store.solved(case, self._columns[columns])

    def take(self, columns: IndexArray) -> CasePoints:
        """Return the points named by ``columns``, in that order; a column may repeat."""
        return CasePoints(self._store, self._columns[columns])

    @property
    def voltage(self) -> ComplexArray:
        """Voltages across the ports in one of the cases solved: where power flows may start."""
        return self._store.voltages(self._columns)


class _SolvedCases:
    """The power flows solved so far of one batch; K cases, B points."""

    def __init__(
        self,
        cases: Sequence[Case],
        power_pu: ComplexArray,
        source_pu: FloatArray,
        start: ComplexArray | None,
        tolerance_pu: float,
    ) -> None:
        self._cases = cases
        self._power = power_pu
        self._source = source_pu
        self._tolerance = tolerance_pu
        self._start = start
        self._known = np.zeros((len(cases), power_pu.shape[1]), dtype=bool)
        self._points: dict[int, OperatingPoints] = {}

    def solved(self, case: int, columns: IndexArray) -> OperatingPoints:
        """Return a case's operating points at some columns; those not known yet are solved."""
        if case not in self._points:
            blank = np.zeros_like(self._power)
            self._points[case] = OperatingPoints(blank, self._source, blank.copy(), blank.copy())
        missing = np.unique(columns[~self._known[case, columns]])
        if len(missing):
            self._solve(case, missing)
        return self._points[case].take(columns)

    def _solve(self, case: int, columns: IndexArray) -> None:
        power, source = self._power[:, columns], self._source[:, columns]
        start = None if self._start is None else self._start[:, columns]
        flow = self._cases[case].power_flow
        try:
            found = flow.solve(power, source, start, self._tolerance)
        except PowerFlowError as error:
            state = str(self._cases[case].state)
            raise PowerFlowError(f"{state}: {error}" if state else str(error)) from None
        points = self._points[case]
        points.power_pu[:, columns] = found.power_pu
        points.voltage[:, columns] = found.voltage
        points.current[:, columns] = found.current
        self._known[case, columns] = True

    def voltages(self, columns: IndexArray) -> ComplexArray:
        """Return voltages from which any case's power flow may start, shape (J, b).

        Those of a case solved at the same point, or else those that were given.
        """
        if self._start is None:
            first = self._cases[0].power_flow
            voltage = first.no_load_voltage(self._source[:, columns])
        else:
            voltage = self._start[:, columns]
        for case, points in self._points.items():
            known = self._known[case, columns]
            voltage[:, known] = points.voltage[:, columns[known]]
        return voltage


class CaseFlow:
    """The power flows of all cases.

    Parameters
    ----------
    cases
        The cases; the first is the network in its usual state.

    Raises
    ------
    NetworkFaults
        When a case has other customers, ports or held voltages than the first; names it.
    """

    def __init__(self, cases: Sequence[Case]) -> None:
        self.cases = tuple(cases)
        self.network = self.cases[0].power_flow.network
        faults = [
            Fault(
                str(case.state),
                "its customers, ports, held voltages or base power are not the same",
            )
            for case in self.cases[1:]
            if not self._fits(case)
        ]
        if faults:
            raise NetworkFaults(faults)

    def _fits(self, case: Case) -> bool:
        ours, theirs = self.network, case.power_flow.network
        return (
            ours.connection_points == theirs.connection_points
            and ours.ports.names == theirs.ports.names
            and ours.held == theirs.held
            and ours.base_power_w == theirs.base_power_w
        )

    def no_load_voltage(self, source_pu: FloatArray) -> ComplexArray:
        """Return voltages from which any case's power flow may start, shape (J, B)."""
        return self.cases[0].power_flow.no_load_voltage(source_pu)

    def solve(
        self,
        power_pu: ComplexArray,
        source_pu: FloatArray,
        start: ComplexArray | None = None,
        tolerance_pu: float = TOLERANCE_PU,
    ) -> OperatingPoints:
        """Return operating points that are solved case by case, when asked for.

        Parameters are those of the cases' own power flows.
        """
        store = _SolvedCases(self.cases, power_pu, source_pu, start, tolerance_pu)
        return CasePoints(store, np.arange(power_pu.shape[1]))
