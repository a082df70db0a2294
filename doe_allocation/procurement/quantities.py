"""The limited voltages and currents, and their linear rows over injected powers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from doe_allocation.procurement.linear_model import LinearModel
from doe_allocation.procurement.polygon import Polygon
from doe_allocation.procurement.problem import ProcurementProblem
from security_check.arrays import FloatArray, IndexArray
from security_check.monitoring.row_kinds import RowKind

_DIGITS = 9  # of amperes or per unit: what conversion to per unit and back leaves right


class QuantityKind(StrEnum):
    """What is limited of a phasor."""

    CURRENT = "current"
    VOLTAGE_MAX = "highest voltage"
    VOLTAGE_MIN = "lowest voltage"


@dataclass(frozen=True, slots=True)
class Quantity:
    """A voltage or current with a limit.

    Parameters
    ----------
    kind
        What is limited.
    element, side
        The bus or branch, and which end of the branch.
    phasor
        Index of its phasor.
    rows
        The rows of the security check that limit it: two of a current, one for each way.
    limit_pu
        The limit, per unit of the phasor.
    unit_size
        Volts per unit or amperes for one per unit of the phasor.
    unit
        ``"p.u."`` or ``"A"``.
    """

    kind: QuantityKind
    element: str
    side: str
    phasor: int
    rows: tuple[int, ...]
    limit_pu: float
    unit_size: float
    unit: str

    @property
    def limit(self) -> float:
        """The limit in its unit."""
        return round(self.limit_pu * self.unit_size, _DIGITS)


_KINDS = {
    RowKind.VOLTAGE_MAX: QuantityKind.VOLTAGE_MAX,
    RowKind.VOLTAGE_MIN: QuantityKind.VOLTAGE_MIN,
    RowKind.CURRENT_EXPORT: QuantityKind.CURRENT,
    RowKind.CURRENT_IMPORT: QuantityKind.CURRENT,
}


def limited_quantities(problem: ProcurementProblem) -> list[Quantity]:
    """Return every voltage and current that has a limit, in the order of the monitored rows."""
    monitors, limits = problem.monitors, problem.limits
    buses = len(problem.network.voltages.elements)
    found: dict[tuple[QuantityKind, int], list[int]] = {}
    for row in np.flatnonzero(np.isfinite(limits.limit)).tolist():
        kind = _KINDS.get(RowKind(monitors.kind[row]))
        if kind is not None:
            found.setdefault((kind, int(monitors.phasor[row])), []).append(row)
    base_a = problem.network.terminals.base_current_a
    return [
        Quantity(
            kind=kind,
            element=monitors.elements[rows[0]],
            side=monitors.sides[rows[0]],
            phasor=phasor,
            rows=tuple(rows),
            limit_pu=float(abs(limits.limit[rows[0]])),
            unit_size=float(base_a[phasor - buses]) if kind is QuantityKind.CURRENT else 1.0,
            unit="A" if kind is QuantityKind.CURRENT else "p.u.",
        )
        for (kind, phasor), rows in found.items()
    ]


@dataclass(frozen=True, slots=True)
class LinearRows:
    """Rows ``A p <= b`` over the powers injected by activations; r rows, c connection points.

    Parameters
    ----------
    A, b
        Shapes (r, c) and (r,), per unit.
    quantity
        Shape (r,), the quantity that each row limits, an index.
    by_limit
        Shape (r,), how much ``b`` rises with the limit of the quantity.
    """

    A: FloatArray
    b: FloatArray
    quantity: IndexArray
    by_limit: FloatArray

    @classmethod
    def joined(cls, parts: Sequence[LinearRows], points: int) -> LinearRows:
        """Return the rows of all parts, in order."""
        return cls(
            np.concatenate([np.zeros((0, points)), *(part.A for part in parts)]),
            np.concatenate([np.zeros(0), *(part.b for part in parts)]),
            np.concatenate([np.zeros(0, dtype=np.int64), *(part.quantity for part in parts)]),
            np.concatenate([np.zeros(0), *(part.by_limit for part in parts)]),
        )

    def take(self, chosen: IndexArray) -> LinearRows:
        """Return the rows named."""
        return LinearRows(
            self.A[chosen], self.b[chosen], self.quantity[chosen], self.by_limit[chosen]
        )


def linear_rows(
    problem: ProcurementProblem,
    model: LinearModel,
    quantities: Sequence[Quantity],
    polygons: Sequence[Polygon],
) -> LinearRows:
    """Return the robust rows of all quantities, each exact for its set of deviations.

    A current, and a voltage that must not be too high, has a row for each side of its polygon.  A
    voltage that must not be too low has one row, along the direction of the operating point.

    Parameters
    ----------
    polygons
        One for each quantity; that of a lowest voltage is not used.
    """
    parts = []
    for number, quantity in enumerate(quantities):
        if quantity.kind is QuantityKind.VOLTAGE_MIN:
            along = -model.operating[quantity.phasor] / np.abs(model.operating[quantity.phasor])
            directions, distances = np.array([along]), np.array([-1.0])
        else:
            directions = polygons[number].directions
            distances = polygons[number].distances
        conjugate = directions.conj()
        expected = (conjugate * model.base[quantity.phasor]).real
        room = quantity.limit_pu * distances - expected
        parts.append(
            LinearRows(
                (conjugate[:, None] * model.by_power[quantity.phasor][None, :]).real,
                room - model.margins(quantity.phasor, directions),
                np.full(len(directions), number),
                distances,
            )
        )
    return LinearRows.joined(parts, len(problem.network.connection_points))
