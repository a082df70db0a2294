"""What is wrong with the file of a year beyond the types of its keys."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from datetime import timedelta
from itertools import pairwise
from math import isclose

from exchange.flexibility.products.flex_day import SettlementRules
from gateway.flexibility.day.case import DayCase
from gateway.flexibility.year.schema import FlexibilityYearFile
from security_check.errors import Fault

_LAST_YEAR = 9999


def year_faults(content: FlexibilityYearFile, market: DayCase) -> Iterator[Fault]:
    """Yield the faults of a file, and of its day as one that is run again and again."""
    day = market.day
    length = day.count * day.interval
    if length != timedelta(days=1):
        yield Fault("day", f"{market.source} lasts {length}, a day of a year has 24 hours")
    if day.grid is None:
        yield Fault("day", f"{market.source} has no network, so loads and plants have no place")
    if not day.phases or not isinstance(day.phases[-1], SettlementRules):
        yield Fault("day", f"the last phase of {market.source} is no settlement")
    if content.start.year + content.days // 365 >= _LAST_YEAR:
        yield Fault(
            "start", f"{content.days:,} days from {content.start:%Y} end after the calendar"
        )
    given = content.profiles
    if (given.file is None) == (given.seed is None):
        yield Fault("profiles", "it has a file and a seed, or neither; give one of them")
    for before, after in pairwise(content.shares):
        if after <= before:
            yield Fault("shares", f"{after:g} comes after {before:g}; shares should grow")
    yield from _places(content, market)


def _places(content: FlexibilityYearFile, market: DayCase) -> Iterator[Fault]:
    day = market.day
    buses = () if day.grid is None else day.grid.network.buses
    for load in content.loads:
        if load.bus not in buses:
            yield Fault(f"loads.{load.bus}", f"there is no bus {load.bus} in {market.source}")
    for name, count in Counter(each.resource for each in content.plants).items():
        if count > 1:
            yield Fault(f"plants.{name}", f"there are {count} of this resource")
    for plant in content.plants:
        if plant.resource not in day.resources:
            detail = f"there is no resource {plant.resource} in {market.source}"
            yield Fault(f"plants.{plant.resource}", detail)
    parts = sum(each.part for each in content.plants)
    if not isclose(parts, 1.0, abs_tol=1e-9):
        yield Fault("plants", f"their parts add up to {parts:g}, they should be 1")
