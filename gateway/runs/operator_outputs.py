"""Outputs of envelopes for operators: traffic light and topological matrix.

Definitions, units and where they come from: ``docs/formats``.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from exchange.vocabulary.formatting import format_time
from gateway.formats.envelope_file import IntervalStatus
from gateway.formats.envelope_rows import EnvelopeTable
from gateway.formats.faults import InputFaults
from gateway.formats.records import Record, Time
from gateway.scenario.scenario import Scenario
from security_check.arrays import IntArray
from security_check.errors import Fault
from security_check.model.element_ids import joined_id, members_of, phase_of
from security_check.model.envelope import Direction

# Names of voltage levels by EN 50160, with the largest nominal voltage of each, volts.
_LEVELS = ((1e3, "low"), (36e3, "medium"), (150e3, "high"))

NOT_SECURED = "not secured"
"""In place of the element that limits, in an interval that has no envelopes."""


class Light(StrEnum):
    """The limits of a perimeter in one direction, compared with its capacities."""

    GREEN = "green"
    YELLOW = "yellow"
    RED = "red"


class LightRecord(Record):
    """The light of a perimeter in an interval and direction; powers in watts."""

    start: Time
    end: Time
    status: IntervalStatus
    perimeter: str
    interface: str
    direction: Direction
    light: Light
    limit_w: int
    capacity_w: int
    connection_points: int
    limited: int
    smallest_limit_w: int
    bottleneck: str


class ResourceRecord(Record):
    """A resource in the topological matrix; powers in watts, up is towards injection."""

    resource: str
    node: str
    voltage_level: str
    nominal_voltage_v: float | None
    perimeter: str
    interface: str
    capacity_up_w: int
    limit_up_w: int
    constraint_up: str
    start_up: Time
    capacity_down_w: int
    limit_down_w: int
    constraint_down: str
    start_down: Time


class OutputFile(Record):
    """Both outputs together, as ``--json`` writes them."""

    traffic_light: list[LightRecord]
    topological_matrix: list[ResourceRecord]


class LightFile(Record):
    """The traffic light as a file of its own."""

    traffic_light: list[LightRecord]


class MatrixFile(Record):
    """The topological matrix as a file of its own."""

    topological_matrix: list[ResourceRecord]


@dataclass(frozen=True, slots=True)
class Matched:
    """Envelopes in the order of the scenario's connection points, with the capacities.

    Parameters
    ----------
    table
        The envelopes; T intervals, c connection points.
    capacity_w
        Shape (T, 2, c), injection first.
    """

    table: EnvelopeTable
    capacity_w: IntArray


def match_table(scenario: Scenario, table: EnvelopeTable, source: str) -> Matched:
    """Return a table of envelopes with the scenario's capacities.

    Raises
    ------
    InputFaults
        With every connection point, interval and limit that does not fit the scenario.
    """
    if not table.published.any():
        raise InputFaults(source, [Fault("intervals", "none of them has envelopes")])
    points = scenario.network.connection_points
    numbers = {interval.start: k for k, interval in enumerate(scenario.intervals)}
    faults = [
        Fault(point, f"it is {what}")
        for what, some, others in (
            ("no connection point of the network", table.connection_points, points),
            (
                "a connection point of the network, but has no envelope",
                points,
                table.connection_points,
            ),
        )
        for point in sorted(set(some) - set(others))
    ]
    if scenario.anonymous and len(table.starts) == 1:
        numbers[table.starts[0]] = 0
    faults += [
        Fault(
            f"interval {format_time(start)}",
            "the scenario has no interval that starts at this time",
        )
        for start in table.starts
        if start not in numbers
    ]
    if faults:
        raise InputFaults(source, faults)
    place = {point: i for i, point in enumerate(table.connection_points)}
    order = [place[point] for point in points]
    ordered = EnvelopeTable(
        table.starts,
        table.ends,
        points,
        table.limits_w[:, :, order],
        table.bottleneck[:, :, order],
        table.elements,
        table.marks,
    )
    capacity_w = np.array(
        [scenario.capacity_in(numbers[start]).upper_w().reshape(2, -1) for start in table.starts]
    )
    beyond = np.argwhere(ordered.limits_w > capacity_w)
    if len(beyond):
        raise InputFaults(source, [_beyond(ordered, capacity_w, *each) for each in beyond[:20]])
    return Matched(ordered, capacity_w)


def _beyond(table: EnvelopeTable, capacity_w: IntArray, t: int, d: int, i: int) -> Fault:
    limit_w, most_w = int(table.limits_w[t, d, i]), int(capacity_w[t, d, i])
    where = f"in {format_time(table.starts[t])} its {tuple(Direction)[d]} limit"
    return Fault(
        table.connection_points[i], f"{where} is {limit_w:,} W, above its capacity of {most_w:,} W"
    )


def traffic_light(scenario: Scenario, matched: Matched) -> Iterator[LightRecord]:
    """Yield the light of each interval, perimeter and direction, in this order.

    It is red in an interval without envelopes.
    """
    table, perimeters = matched.table, scenario.perimeters
    members = [perimeters.points(k) for k in range(len(perimeters.names))]
    interfaces = [joined_id(dict.fromkeys(perimeters.interface[i] for i in m)) for m in members]
    for t in range(len(table.starts)):
        for name, points, interface in zip(perimeters.names, members, interfaces, strict=True):
            for d, direction in enumerate(Direction):
                limit_w = table.limits_w[t, d, points]
                capacity_w = matched.capacity_w[t, d, points]
                below = limit_w < capacity_w
                yield LightRecord(
                    start=table.starts[t],
                    end=table.ends[t],
                    status=table.marks[t].status,
                    perimeter=name,
                    interface=interface,
                    direction=direction,
                    light=_light(limit_w, capacity_w) if table.published[t] else Light.RED,
                    limit_w=int(limit_w.sum()),
                    capacity_w=int(capacity_w.sum()),
                    connection_points=len(points),
                    limited=int(below.sum()),
                    smallest_limit_w=int(limit_w.min()),
                    bottleneck=_most(table, table.bottleneck[t, d, points[below]]),
                )


def _light(limit_w: IntArray, capacity_w: IntArray) -> Light:
    if (limit_w == capacity_w).all():
        return Light.GREEN
    return Light.YELLOW if limit_w.any() else Light.RED


def _most(table: EnvelopeTable, bottleneck: IntArray) -> str:
    """Return the element that limits most points, the first by name of several; else ''."""
    names, counts = np.unique([table.elements[k] for k in bottleneck], return_counts=True)
    return str(names[counts.argmax()]) if len(names) else ""


def topological_matrix(scenario: Scenario, matched: Matched) -> list[ResourceRecord]:
    """Return a record for each connection point: its place, and its smallest limits.

    Capacity and constraint are those of the (first) interval with the smallest limit.  In an
    interval without envelopes the limit is 0.
    """
    table, perimeters = matched.table, scenario.perimeters
    volts = _volts(scenario.network.nominal_v, perimeters.node)
    least = table.limits_w.argmin(axis=0)
    records = []
    for i, point in enumerate(table.connection_points):
        entries: dict[str, object] = {}
        for d, way in enumerate(("up", "down")):
            t = int(least[d, i])
            limit_w, most_w = int(table.limits_w[t, d, i]), int(matched.capacity_w[t, d, i])
            stop = table.elements[table.bottleneck[t, d, i]]
            entries |= {
                f"capacity_{way}_w": most_w,
                f"limit_{way}_w": limit_w,
                f"constraint_{way}": _constraint(table, t, stop, at_capacity=limit_w == most_w),
                f"start_{way}": table.starts[t],
            }
        records.append(
            ResourceRecord.model_validate(
                {
                    "resource": point,
                    "node": perimeters.node[i],
                    "voltage_level": _level(volts[i]),
                    "nominal_voltage_v": volts[i],
                    "perimeter": perimeters.names[perimeters.of_point[i]],
                    "interface": perimeters.interface[i],
                    **entries,
                }
            )
        )
    return records


def _constraint(table: EnvelopeTable, t: int, stop: str, *, at_capacity: bool) -> str:
    if not table.published[t]:
        return NOT_SECURED
    return "capacity" if at_capacity else stop


def _volts(nominal_v: Mapping[str, float], nodes: Sequence[str]) -> list[float | None]:
    """Return the nominal voltages between phases at nodes, volts; ``None`` if unknown."""
    found: list[float | None] = []
    for node in nodes:
        name = members_of(node)[0]
        volts = nominal_v.get(name)
        phase = bool(phase_of(name))  # then its voltage is phase to neutral
        found.append(None if not volts else round(volts * (np.sqrt(3.0) if phase else 1.0), 3))
    return found


def _level(volts: float | None) -> str:
    if volts is None:
        return ""
    return next((name for most, name in _LEVELS if volts <= most), "extra high")


def csv_text(records: Sequence[Record]) -> str:
    """Return records of one kind as CSV, with the names of the entries in the first line."""
    text = io.StringIO()
    kind = type(records[0])
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(kind.model_fields)
    for record in records:
        content = record.model_dump(mode="json")
        rows.writerow(["" if each is None else each for each in content.values()])
    return text.getvalue()
