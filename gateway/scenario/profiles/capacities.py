"""Capacities that change from interval to interval: ``[profiles] capacities`` of a scenario."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from doe_allocation.capacity import Capacity
from gateway.formats.records import LARGEST_W
from gateway.scenario.intervals import Span
from gateway.scenario.profiles.time_tables import TimeTable, read_time_table
from gateway.scenario.schema import ProfilesSection, Section
from security_check.errors import Fault


@dataclass(frozen=True, slots=True)
class CapacityProfile:
    """Capacities that change from interval to interval.

    Parameters
    ----------
    usual
        Capacities of the connection points without a column.
    places
        Index of each column among the stacked capacities, injection first.
    table
        The columns in each interval, in watts.
    """

    usual: Capacity
    places: tuple[int, ...]
    table: TimeTable

    def at(self, interval: int) -> Capacity:
        """Return the capacities of an interval."""
        both_w = self.usual.upper_w()
        both_w[list(self.places)] = self.table.values[interval].astype(np.int64)
        injection_w, withdrawal_w = np.split(both_w, 2)
        return replace(self.usual, injection_w=injection_w, withdrawal_w=withdrawal_w)


def build_capacity_profile(
    section: Section | None,
    capacity: Capacity,
    span: Span,
    folder: Path,
    faults: list[Fault],
) -> CapacityProfile | None:
    """Return the capacities over time, or ``None`` after adding every fault.

    ``None`` without a fault where the section names none, or has faults of its own.
    """
    if not isinstance(section, ProfilesSection) or section.capacities is None:
        return None
    table = read_time_table(folder / section.capacities, "profiles.capacities", span, faults)
    if table is None:
        return None
    places = _capacity_places(capacity.connection_points)
    found = [
        Fault(
            name,
            f"{table.name} has such a column, but it is not a connection point of the network with "
            ".injection_w or .withdrawal_w",
        )
        for name in table.columns
        if name not in places
    ]
    own = tuple(places[name] for name in table.columns if name in places)
    if not found:
        found = list(_unfit_capacities(table, own, capacity))
    faults += found
    return None if found else CapacityProfile(capacity, own, table)


def _capacity_places(points: Sequence[str]) -> Mapping[str, int]:
    names = [f"{p}.{way}_w" for way in ("injection", "withdrawal") for p in points]
    return {name: k for k, name in enumerate(names)}


def _unfit_capacities(
    table: TimeTable, places: Sequence[int], capacity: Capacity
) -> Iterator[Fault]:
    fallback_w = capacity.lower_w()
    for k, (name, place) in enumerate(zip(table.columns, places, strict=True)):
        values = table.values[:, k]
        whole = (values >= 0) & (values == np.floor(values)) & (values <= LARGEST_W)
        if not whole.all():
            worst = int(np.flatnonzero(~whole)[0])
            detail = f"{values[worst]:g} is not a whole number of watts from 0 to {LARGEST_W:g}"
            yield table.fault(name, worst, detail)
        elif (values < fallback_w[place]).any():
            worst = int(values.argmin())
            detail = f"{values[worst]:,.0f} W is below the fallback of {fallback_w[place]:,} W"
            yield table.fault(name, worst, detail)
