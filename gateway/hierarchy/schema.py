"""What a hierarchy file may say; the meaning is in :mod:`gateway.hierarchy.loading`.

An operator's sections are those of a scenario; new are the operators, the boundaries between them
and the contract at the top.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from gateway.scenario.schema import AreaName, InterfaceSection, PerPoint, PerUnit, Section, Vars

Weight = Annotated[float, Field(gt=0.0, le=1e9, allow_inf_nan=False)]


class ContractSection(InterfaceSection):
    """What the operator at the top has agreed with whoever is above it."""

    operator: AreaName


class WeightsSection(Section):
    """How fast the limits of an operator's customers rise against each other."""

    weights: PerPoint[Weight]


class BoundarySection(Section):
    """Where a child's network begins in its parent's, and the voltages promised there."""

    parent: AreaName
    connection_point: Annotated[str, Field(min_length=1)]
    child: AreaName
    voltage_min_pu: PerUnit
    voltage_max_pu: PerUnit
    reactive_min_var: Vars | None = None
    reactive_max_var: Vars | None = None
