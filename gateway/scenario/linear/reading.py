"""Read the file of a linear network, and its set points over time, or add all faults."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TypeVar

import numpy as np
from pydantic import ValidationError

from exchange.vocabulary.formatting import format_time
from gateway.formats.faults import InputFaults, repeated_entries, sentences, why
from gateway.formats.identifiers import is_identifier
from gateway.formats.input_files import named_file
from gateway.formats.linear.entries import MW, set_points_of
from gateway.formats.linear.networks import (
    branch_faults,
    flow_limits_mw,
    linear_network,
    set_point_faults,
    set_point_w,
)
from gateway.formats.records import LARGEST_W, parsed_time
from gateway.scenario.intervals import Span
from gateway.scenario.linear.area import LinearArea
from gateway.scenario.linear.schema import LinearNetworkFile, TimedBranch
from gateway.scenario.profiles.time_tables import read_time_table
from gateway.scenario.schema import ProfilesSection
from security_check.arrays import FloatArray
from security_check.errors import Fault, NetworkFaults

_Value = TypeVar("_Value")

_SOURCE, _POWERS = "network.source", "profiles.powers"


def read_linear_area(
    source: str,
    profiles: ProfilesSection | None,
    span: Span | None,
    folder: Path,
    faults: list[Fault],
) -> LinearArea | None:
    """Return the linear network of a scenario, or ``None`` after adding every fault.

    Parameters
    ----------
    source
        The path of its file, relative to ``folder``, or ``bundled:NAME``.
    profiles
        The section ``[profiles]``, whose powers replace set points of the file.
    span
        The intervals of the scenario; ``None`` if they have faults of their own, which come first.
    """
    content = _content(source, folder, faults)
    if content is None or span is None:
        return None
    reading = _Reading(content, span.starts, faults)
    before = len(faults)
    lower_w, upper_w = reading.limits_w()
    setpoint_w = reading.setpoint_w()
    faults += _name_faults(content)
    faults += branch_faults(content.buses, content.slack_bus, content.branches)
    if len(faults) > before:
        return None
    limits_mw = np.column_stack([lower_w[0], upper_w[0]]) / MW
    try:
        network = linear_network(content.buses, content.slack_bus, content.branches, limits_mw)
    except NetworkFaults as found:
        faults += found.faults
        return None
    if profiles is not None:
        setpoint_w = _with_profile(setpoint_w, content.buses, profiles, span, folder, faults)
    index = {bus: k for k, bus in enumerate(content.buses)}
    points = content.connection_points
    return LinearArea(
        network,
        content.slack_bus,
        tuple(each.id for each in points),
        np.array([index[each.bus] for each in points]),
        lower_w,
        upper_w,
        setpoint_w,
    )


def _content(source: str, folder: Path, faults: list[Fault]) -> LinearNetworkFile | None:
    try:
        path = named_file(source, "linear network", "linear", ".json")
        path = path if source.startswith("bundled:") else folder / path
        text = path.read_bytes()
        content = LinearNetworkFile.model_validate_json(text)
        faults += repeated_entries(text)
    except InputFaults as found:
        faults += [Fault(_SOURCE, each.detail) for each in found.faults]
    except OSError as error:
        faults.append(Fault(_SOURCE, f"{path} cannot be read: {why(error)}"))
    except ValidationError as error:
        faults += sentences(error, path.name)
    else:
        return content
    return None


def _name_faults(content: LinearNetworkFile) -> Iterator[Fault]:
    """Yield the faults of names: they are parts of topics and of names of elements."""
    points = [each.id for each in content.connection_points]
    names = [*content.buses, *(each.name for each in content.branches), *points]
    for name in dict.fromkeys(names):
        if not is_identifier(name) or "." in name:
            yield Fault(name, "a name must not have blanks, slashes, dots, + or #")
    for name, count in Counter(points).items():
        if count > 1:
            yield Fault(name, f"{count} connection points have this id")
    for each in content.connection_points:
        if each.bus not in content.buses:
            yield Fault(each.id, f"there is no bus {each.bus}")


@dataclass(frozen=True, slots=True)
class _Reading:
    """A file with values by start of interval, and the faults found so far."""

    content: LinearNetworkFile
    starts: Sequence[datetime]
    faults: list[Fault]

    def limits_w(self) -> tuple[FloatArray, FloatArray]:
        """Return the limits of the flows, two of shape (T, l); T is 1 where none is by interval."""
        branches = self.content.branches
        timed = any(isinstance(each, dict) for branch in branches for each in _limits_of(branch))
        count = len(self.starts) if timed else 1
        found = np.zeros((count, len(branches), 2))
        for k, branch in enumerate(branches):
            values = [self._over_time(branch.name, each, count) for each in _limits_of(branch)]
            own: list[Fault] = []
            for t in range(count):
                now = [None if each is None else each[t] for each in values]
                found[t, k] = flow_limits_mw(branch.name, now[0], now[1], now[2], own)
            self.faults.extend(dict.fromkeys(own))
            empty = np.flatnonzero(found[1:, k, 0] >= found[1:, k, 1])
            if not own and len(empty):
                low, high = MW * found[1 + empty[0], k]
                when = format_time(self.starts[1 + int(empty[0])])
                detail = f"its limits {low:g} W and {high:g} W leave no room in {when}"
                self.faults.append(Fault(branch.name, detail))
        return MW * found[:, :, 0], MW * found[:, :, 1]

    def _over_time(
        self, name: str, given: float | Mapping[str, float] | None, count: int
    ) -> Sequence[float] | None:
        if isinstance(given, Mapping):
            found = self._by_interval(name, given)
            return [0.0] * count if found is None else found
        return None if given is None else [given] * count

    def setpoint_w(self) -> FloatArray:
        """Return the set points, shape (T, n); T is 1 where they are not by interval."""
        buses = self.content.buses
        given = set_points_of(self.content.setpoint_mw)
        for start, each in given.items():
            place = f"setpoint_mw.{start}" if start else "setpoint_mw"
            self.faults.extend(set_point_faults(place, each, buses))
        rows = {start: set_point_w(each, buses) for start, each in given.items()}
        if "" in rows:
            return np.array([rows[""]])
        found = self._by_interval("setpoint_mw", rows)
        return np.zeros((1, len(buses))) if found is None else np.array(found)

    def _by_interval(self, name: str, given: Mapping[str, _Value]) -> list[_Value] | None:
        """Return the value of each interval, or ``None`` after adding a fault."""
        at: dict[datetime, _Value] = {}
        before = len(self.faults)
        for text, value in given.items():
            try:
                at[parsed_time(text)] = value
            except ValueError as error:
                self.faults.append(
                    Fault(name, f"{text!r} is not the start of an interval: {error}")
                )
        if len(at) < len(given) and len(self.faults) == before:
            self.faults.append(Fault(name, "two of its times are the same"))
        missing = [start for start in self.starts if start not in at]
        if missing and len(self.faults) == before:
            detail = f"it has no value for {format_time(missing[0])}"
            more = f" and {len(missing) - 1} more intervals" if len(missing) > 1 else ""
            self.faults.append(Fault(name, detail + more))
        return None if len(self.faults) > before else [at[start] for start in self.starts]


def _limits_of(branch: TimedBranch) -> tuple[float | dict[str, float] | None, ...]:
    return branch.rating_mw, branch.flow_min_mw, branch.flow_max_mw


def _with_profile(
    setpoint_w: FloatArray,
    buses: Sequence[str],
    profiles: ProfilesSection,
    span: Span,
    folder: Path,
    faults: list[Fault],
) -> FloatArray:
    """Return the set points with the buses that a table has; as given after adding faults."""
    if profiles.powers is None:
        if profiles.unit is not None:
            faults.append(Fault("profiles.unit", "it is given, but profiles.powers is not"))
        return setpoint_w
    if profiles.unit is None:
        detail = 'it is missing: "w" (watts) or "factor" (of the set point of the bus)'
        faults.append(Fault("profiles.unit", detail))
        return setpoint_w
    table = read_time_table(folder / profiles.powers, _POWERS, span, faults)
    if table is None:
        return setpoint_w
    found = [
        Fault(name, f"{table.name} has such a column, but the network has no such bus")
        for name in table.columns
        if name not in buses
    ]
    changed = np.repeat(setpoint_w, len(span.starts) if len(setpoint_w) == 1 else 1, axis=0)
    for k, name in enumerate(table.columns):
        values = table.values[:, k]
        worst = int(np.abs(values).argmax())
        if abs(values[worst]) > LARGEST_W:
            detail = f"{values[worst]:g} is beyond {LARGEST_W:g}"
            found.append(table.fault(name, worst, detail))
        elif name in buses:
            at = buses.index(name)
            changed[:, at] = values if profiles.unit == "w" else values * changed[:, at]
    faults += found
    return setpoint_w if found else changed
