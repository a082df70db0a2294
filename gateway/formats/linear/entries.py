"""The entries of a linear network in files of cases and scenarios."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from gateway.formats.records import Name, Record

MW = 1_000_000
"""Watts."""

LARGEST_MW = 1e6
"""Largest power of a file."""

Power = Annotated[float, Field(ge=-LARGEST_MW, le=LARGEST_MW, allow_inf_nan=False)]
Rating = Annotated[float, Field(gt=0.0, le=LARGEST_MW, allow_inf_nan=False)]
Number = Annotated[float, Field(allow_inf_nan=False)]
SetPoint = dict[Name, Power]
"""What does not trade injects, by bus, in MW; 0 at a bus that it does not name."""

SetPoints = SetPoint | dict[Name, SetPoint]
"""One set point, or one by interval."""


class LinearBranch(Record):
    """A branch by its reactance or by its distribution factors."""

    id: Name | None = None
    start: Name = Field(alias="from")
    end: Name = Field(alias="to")
    x_pu: Number | None = None
    ptdf: dict[Name, Number] | None = None

    @property
    def name(self) -> str:
        """Its id, or its ends."""
        return self.id or f"{self.start}-{self.end}"


class RatedBranch(LinearBranch):
    """A branch with the limits of its flow."""

    rating_mw: Rating | None = None
    flow_min_mw: Power | None = None
    flow_max_mw: Power | None = None


def set_points_of(given: SetPoints) -> dict[str, SetPoint]:
    """Return the set points by interval; one that holds in every interval has no name."""
    named = {key: value for key, value in given.items() if isinstance(value, dict)}
    return named or {"": {key: value for key, value in given.items() if isinstance(value, float)}}
