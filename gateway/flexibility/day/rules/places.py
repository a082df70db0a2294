"""Where resources are on the map: the zone around a position, or how far away zones are."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from math import cos, hypot, radians

from gateway.flexibility.day.schema import DayArea, FlexibilityDayFile
from security_check.errors import Fault

_KM_PER_DEGREE = 111.2  # of a great circle


def located(content: FlexibilityDayFile) -> tuple[FlexibilityDayFile, Mapping[str, str]]:
    """Return a file in which resources with a position have their zone; and sentences.

    A resource that is in no zone has the zone ``""``, and a sentence on where it is.
    """
    resources, places = [], {}
    for each in content.resources:
        found = each
        if each.zone is None:
            zones = zones_at(content.areas, each.position)
            found = each.model_copy(update={"zone": zones[0] if zones else ""})
            if not zones and each.position is not None:
                places[each.name] = _outside(content.areas, each.position)
        resources.append(found)
    return content.model_copy(update={"resources": resources}), places


def zones_at(areas: Sequence[DayArea], position: tuple[float, float] | None) -> list[str]:
    """Return the zones around a position."""
    if position is None:
        return []
    return [each.zone for each in areas if inside(each.polygon, position)]


def inside(polygon: Sequence[tuple[float, float]], position: tuple[float, float]) -> bool:
    """Return whether a position is in a polygon; its lowest and leftmost edges belong to it."""
    x, y = position
    within = False
    for (x1, y1), (x2, y2) in _edges(polygon):
        if (y1 > y) != (y2 > y) and x < x1 + (y - y1) * (x2 - x1) / (y2 - y1):
            within = not within
    return within


def distance_km(polygon: Sequence[tuple[float, float]], position: tuple[float, float]) -> float:
    """Return how far a position is from the edge of a polygon; the earth is flat around it."""
    scale = cos(radians(position[1])) * _KM_PER_DEGREE
    points = [((x - position[0]) * scale, (y - position[1]) * _KM_PER_DEGREE) for x, y in polygon]
    return min(_from_origin(*edge) for edge in _edges(points))


def _from_origin(a: tuple[float, float], b: tuple[float, float]) -> float:
    dx, dy = b[0] - a[0], b[1] - a[1]
    length = dx * dx + dy * dy
    along = 0.0 if length == 0.0 else min(max(-(a[0] * dx + a[1] * dy) / length, 0.0), 1.0)
    return hypot(a[0] + along * dx, a[1] + along * dy)


def _edges(
    polygon: Sequence[tuple[float, float]],
) -> Iterator[tuple[tuple[float, float], tuple[float, float]]]:
    yield from zip(polygon, [*polygon[1:], polygon[0]], strict=True)


def _outside(areas: Sequence[DayArea], position: tuple[float, float]) -> str:
    if not areas:
        return "in no zone"
    away, zone = min((distance_km(each.polygon, position), each.zone) for each in areas)
    return f"in no zone ({away:.1f} km from {zone})"


def place_faults(content: FlexibilityDayFile) -> Iterator[Fault]:
    """Yield the faults of areas and positions; ``content`` as it was before it was located."""
    for zone, count in Counter(each.zone for each in content.areas).items():
        if count > 1:
            yield Fault(f"areas.{zone}", f"there are {count} of this zone")
        if zone not in content.zones:
            yield Fault(f"areas.{zone}", f"there is no zone {zone}")
    for each in content.resources:
        place = f"resources.{each.name}"
        zones = zones_at(content.areas, each.position)
        if each.zone is None and each.position is None:
            yield Fault(place, "it has neither a zone nor a position")
        elif each.zone is None and not content.areas:
            yield Fault(place, "it has a position, and no zone has a polygon in areas")
        elif each.zone is None and len(zones) > 1:
            yield Fault(place, f"it lies in {' and '.join(zones)}; zone should say which counts")
        elif each.position is not None and each.zone is not None and each.zone not in zones:
            drawn = any(area.zone == each.zone for area in content.areas)
            if drawn:
                yield Fault(place, f"its position is not in its zone, {each.zone}")
