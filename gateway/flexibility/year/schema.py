"""The file of a year of a flexibility market (``docs/formats/flexibility-year.md``)."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from gateway.formats.records import LARGEST_W, Finite, Name, Record, Time

Part = Annotated[Finite, Field(gt=0.0, le=1.0)]


class YearProfiles(Record):
    """Where profiles come from: a table, or the project's formula with a seed."""

    file: str | None = None
    seed: Annotated[int, Field(ge=0, le=2**32)] | None = None


class YearLoad(Record):
    """A load at a bus: a profile times a power."""

    bus: Name
    profile: Name
    scale_w: Annotated[int, Field(gt=0, le=LARGEST_W)]


class YearPlant(Record):
    """A renewable plant: its part of all renewable energy, with a profile."""

    resource: Name
    profile: Name
    part: Part


class FlexibilityYearFile(Record):
    """A year: the market of each day, loads, plants, and the shares of renewable energy."""

    description: str = ""
    day: str
    start: Time
    days: Annotated[int, Field(ge=1, le=3660)]
    shares: Annotated[
        list[Annotated[Finite, Field(ge=0.0, le=100.0)]], Field(min_length=1, max_length=100)
    ]
    profiles: YearProfiles
    loads: Annotated[list[YearLoad], Field(min_length=1)]
    plants: Annotated[list[YearPlant], Field(min_length=1)]
