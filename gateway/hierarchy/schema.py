"""The sections of a hierarchy file; :mod:`gateway.hierarchy.loading` reads them.

The sections of one operator are those of a scenario.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from gateway.scenario.schema import AreaName, InterfaceSection, PerPoint, PerUnit, Section, Vars

Weight = Annotated[float, Field(gt=0.0, le=1e9, allow_inf_nan=False)]


class ContractSection(InterfaceSection):
    """The contract of the operator at the top with the system above it."""

    operator: AreaName


class WeightsSection(Section):
    """Weights of an operator's customers: a limit of weight 2 rises twice as fast."""

    weights: PerPoint[Weight]


class BoundarySection(Section):
    """The connection point of a child in its parent's network, and the voltages promised there."""

    parent: AreaName
    connection_point: Annotated[str, Field(min_length=1)]
    child: AreaName
    voltage_min_pu: PerUnit
    voltage_max_pu: PerUnit
    reactive_min_var: Vars | None = None
    reactive_max_var: Vars | None = None
