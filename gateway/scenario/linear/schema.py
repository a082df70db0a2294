"""The file of a linear network, key by key (``docs/formats/scenario.md``)."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from gateway.formats.linear.entries import LinearBranch, Power, Rating, SetPoints
from gateway.formats.records import Name, Record


class TimedBranch(LinearBranch):
    """A branch with the limits of its flow, each one number or one by start of interval."""

    rating_mw: Rating | dict[Name, Rating] | None = None
    flow_min_mw: Power | dict[Name, Power] | None = None
    flow_max_mw: Power | dict[Name, Power] | None = None


class PointEntry(Record):
    """A connection point at a bus."""

    id: Name
    bus: Name


class LinearNetworkFile(Record):
    """A linear network with connection points."""

    description: str = ""
    buses: Annotated[list[Name], Field(min_length=2)]
    slack_bus: Name
    branches: Annotated[list[TimedBranch], Field(min_length=1)]
    connection_points: Annotated[list[PointEntry], Field(min_length=1)]
    setpoint_mw: SetPoints = Field(default_factory=dict)
