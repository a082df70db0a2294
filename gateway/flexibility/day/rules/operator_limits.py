"""What the traffic light and the topological matrix of an operator leave to resources.

They are files of ``outputs``.  Limits are of the power of connection points, so what a resource
may change is the limit less what it is expected to inject (upward), or more (downward).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path

from pydantic import Field

from doe_allocation.procurement.choices import FlexDirection
from exchange.flexibility.products.rules.ceilings import Ceiling
from exchange.flexibility.products.vocabulary import Role
from gateway.flexibility.day.schema import (
    DayOperatorOutputs,
    DayResource,
    FlexibilityDayFile,
)
from gateway.flexibility.day.units import Units, quantities
from gateway.formats.input_files import parsed_json, read_bytes
from gateway.formats.records import Record
from gateway.runs.operator_outputs import Light, LightRecord, ResourceRecord
from security_check.errors import Fault
from security_check.model.envelope import Direction

_WAYS = {
    FlexDirection.UPWARD: Direction.INJECTION,
    FlexDirection.DOWNWARD: Direction.WITHDRAWAL,
}


class OperatorOutputs(Record):
    """A file of ``outputs``: both outputs, or one of them."""

    traffic_light: list[LightRecord] = Field(default_factory=list)
    topological_matrix: list[ResourceRecord] = Field(default_factory=list)


def read_outputs(given: DayOperatorOutputs, folder: Path) -> OperatorOutputs:
    """Return the content of a file; a relative path starts at ``folder``.

    Raises
    ------
    InputFaults
        With every fault of the file.
    """
    path = folder / given.file
    return parsed_json(OperatorOutputs, read_bytes(path), str(given.file))


def ceilings_of(
    content: FlexibilityDayFile,
    units: Units,
    given: DayOperatorOutputs,
    outputs: OperatorOutputs,
    faults: list[Fault],
) -> Iterator[Ceiling]:
    """Yield what an operator's outputs leave, and add their faults.

    Each entry of the matrix bounds its resource in all intervals; each light bounds the resources
    of the zone with its perimeter's name, in the intervals that it is in.
    """
    place = f"operator_outputs.{given.file}"
    faults += _party_faults(content, given, place)
    if not outputs.traffic_light and not outputs.topological_matrix:
        faults.append(Fault(place, "it has neither a traffic light nor a topological matrix"))
    expected = {each.name: quantities(each.expected_w, units.count) for each in content.resources}
    if any(len(each) != units.count for each in expected.values()):
        return  # a fault of its own
    resources = {each.name: each for each in content.resources}
    for entry in outputs.topological_matrix:
        if entry.resource in resources:
            found = resources[entry.resource].zone
            if found != entry.perimeter:
                detail = f"{entry.resource} is in perimeter {entry.perimeter}, its zone is {found}"
                faults.append(Fault(place, detail))
            yield from _of_matrix(given.operator, entry, expected[entry.resource])
    if outputs.topological_matrix:
        named = {each.resource for each in outputs.topological_matrix}
        perimeters = {each.perimeter for each in outputs.topological_matrix}
        for each in content.resources:
            if each.zone in perimeters and each.name not in named:
                detail = f"{each.name} is in {each.zone}, and the matrix does not have it"
                faults.append(Fault(place, detail))
    yield from _of_lights(content, units, given, outputs, expected, faults)


def _party_faults(
    content: FlexibilityDayFile, given: DayOperatorOutputs, place: str
) -> Iterator[Fault]:
    roles = {each.name: each.role for each in content.parties}
    if roles.get(given.operator) not in (Role.DSO, Role.TSO):
        yield Fault(place, f"there is no operator {given.operator}")


def _of_matrix(
    operator: str, entry: ResourceRecord, expected_w: Sequence[int]
) -> Iterator[Ceiling]:
    """Yield the ceilings of a resource: the loosest of the day, and where it is tighter."""
    for direction, limit_w, stop in (
        (FlexDirection.UPWARD, entry.limit_up_w, entry.constraint_up),
        (FlexDirection.DOWNWARD, entry.limit_down_w, entry.constraint_down),
    ):
        room_w = [max(limit_w - int(direction.sign) * each, 0) for each in expected_w]
        runs = [(range(len(room_w)), max(room_w))]
        edges = [t for t in range(1, len(room_w)) if room_w[t] != room_w[t - 1]]
        if edges:
            parts = pairwise([0, *edges, len(room_w)])
            runs += [(range(a, b), room_w[a]) for a, b in parts]
        for intervals, most_w in runs:
            detail = f"matrix: {entry.resource} may go {direction.value} by {most_w:,} W"
            detail += f", because of {stop}"
            yield Ceiling(
                operator, frozenset([entry.resource]), direction, intervals, most_w, detail
            )


def _of_lights(
    content: FlexibilityDayFile,
    units: Units,
    given: DayOperatorOutputs,
    outputs: OperatorOutputs,
    expected: dict[str, tuple[int, ...]],
    faults: list[Fault],
) -> Iterator[Ceiling]:
    """Yield the ceilings of perimeters, and add a fault where one has no light."""
    place = f"operator_outputs.{given.file}"
    lights, matrix = outputs.traffic_light, outputs.topological_matrix
    end = units.start_of(units.count)
    today = [each for each in lights if each.start < end and each.end > units.start]
    if lights and not today and not matrix:
        faults.append(Fault(place, "no light is of this day"))
    for perimeter in dict.fromkeys(each.perimeter for each in today):
        own = [each for each in content.resources if each.zone == perimeter]
        if perimeter not in content.zones:
            faults.append(Fault(place, f"perimeter {perimeter} is no zone of the day"))
            continue
        of_this = [each for each in today if each.perimeter == perimeter]
        points = of_this[0].connection_points
        if points != len(own):
            detail = f"perimeter {perimeter} has {points:,} connection points, the day "
            faults.append(Fault(place, f"{detail}{len(own):,} resources there"))
            continue
        for direction, way in _WAYS.items():
            mine = [each for each in of_this if each.direction is way]
            faults += _gaps(units, mine, perimeter, direction, place)
            for light in mine:
                yield from _of_light(given.operator, units, light, direction, own, expected)


def _gaps(
    units: Units,
    lights: Sequence[LightRecord],
    perimeter: str,
    direction: FlexDirection,
    place: str,
) -> Iterator[Fault]:
    """Yield a fault at the first moment of the day of which there is no light."""
    covered = units.start
    for light in sorted(lights, key=lambda each: each.start):
        if light.start > covered:
            break
        covered = max(covered, light.end)
    if covered < units.start_of(units.count):
        detail = f"perimeter {perimeter} has no light {direction.value} at "
        yield Fault(place, f"{detail}{covered:%Y-%m-%dT%H:%MZ}")


def _of_light(
    operator: str,
    units: Units,
    light: LightRecord,
    direction: FlexDirection,
    own: Sequence[DayResource],
    expected: dict[str, tuple[int, ...]],
) -> Iterator[Ceiling]:
    """Yield the ceiling of a light in each interval that it is in; a green one has none."""
    if light.light is Light.GREEN:
        return
    for t in range(units.count):
        if light.start < units.start_of(t + 1) and light.end > units.start_of(t):
            most_w = 0
            if light.light is Light.YELLOW:
                there_w = sum(expected[each.name][t] for each in own)
                most_w = max(light.limit_w - int(direction.sign) * there_w, 0)
            detail = f"perimeter {light.perimeter} is {light.light.value} {direction.value}"
            detail += f": {most_w:,} W, because of {light.bottleneck or 'no envelopes'}"
            names = frozenset(each.name for each in own)
            yield Ceiling(operator, names, direction, range(t, t + 1), most_w, detail)
