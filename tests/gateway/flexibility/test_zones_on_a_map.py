"""Zones with polygons: where a position is, how far away a zone is, faults, and the picture."""

from __future__ import annotations

import re
from collections.abc import Callable
from math import cos, hypot, radians
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from day_files import content, ran
from hypothesis import assume, given
from hypothesis import strategies as st
from matplotlib.path import Path as Outline
from pictures import saved_figures
from typer.testing import CliRunner

from gateway.cli.main import app
from gateway.flexibility.day.case import day_path, load_day
from gateway.flexibility.day.result import QualificationResult
from gateway.flexibility.day.rules.places import distance_km, inside
from gateway.flexibility.day.running import run_flexibility_day
from gateway.formats.faults import InputFaults
from gateway.plots.flexibility_map import draw_flexibility_map

positions = st.tuples(st.integers(-20, 20), st.integers(-20, 20)).map(
    lambda pair: (pair[0] / 10.0, 52.0 + pair[1] / 10.0)
)


@given(st.lists(positions, min_size=3, max_size=7, unique=True), positions)
def test_inside_is_what_matplotlib_says(
    polygon: list[tuple[float, float]], position: tuple[float, float]
) -> None:
    """Away from edges; a star around its middle does not cross itself."""
    middle = np.mean(polygon, axis=0)
    star = sorted(
        polygon, key=lambda each: float(np.arctan2(each[1] - middle[1], each[0] - middle[0]))
    )
    assume(distance_km(star, position) > 0.1)
    angles = {round(float(np.arctan2(y - middle[1], x - middle[0])), 9) for x, y in star}
    assume(len(angles) == len(star))
    assert inside(star, position) == Outline(star).contains_point(position)


@given(st.lists(positions, min_size=3, max_size=5, unique=True), positions)
def test_a_distance_is_that_of_the_nearest_of_many_points(
    polygon: list[tuple[float, float]], position: tuple[float, float]
) -> None:
    nearest = np.inf
    scale = cos(radians(position[1]))
    for (x1, y1), (x2, y2) in zip(polygon, [*polygon[1:], polygon[0]], strict=True):
        for part in np.linspace(0.0, 1.0, 201):
            x, y = x1 + part * (x2 - x1), y1 + part * (y2 - y1)
            away = 111.2 * hypot((x - position[0]) * scale, y - position[1])
            nearest = min(nearest, away)
    found = distance_km(polygon, position)
    longest = 111.2 * 4.0 * 2.0**0.5 / 200.0  # between two of the points
    assert found - 1e-9 <= nearest <= found + longest / 2.0


FAULTS: list[tuple[Callable[[dict[str, Any]], object], str]] = [
    (lambda c: c["areas"][0].update(zone="x"), "areas.x: there is no zone x"),
    (lambda c: c["areas"][1].update(zone="riverside"), "areas.riverside: there are 2 of this zone"),
    (
        lambda c: c["areas"][0].update(polygon=[[0.0, 0.0], [1.0, 1.0]]),
        "areas.0.polygon: ",
    ),
    (lambda c: c["areas"][0]["polygon"][0].append(1.0), "areas.0.polygon.0"),
    (lambda c: c["resources"][0].update(position=[0.0, 95.0]), "resources.0.position.1"),
    (
        lambda c: c["resources"][0].pop("position"),
        "resources.brewery: it has neither a zone nor a position",
    ),
    (
        lambda c: c["resources"][0].update(zone="hilltop"),
        "resources.brewery: its position is not in its zone, hilltop",
    ),
    (
        lambda c: c.pop("areas"),
        "resources.brewery: it has a position, and no zone has a polygon in areas",
    ),
    (
        lambda c: c["areas"][1].update(polygon=c["areas"][0]["polygon"]),
        "resources.brewery: it lies in riverside and hilltop; zone should say which counts",
    ),
    (
        lambda c: c["phases"][0].update(sessions=["x"]),
        "phases.published needs: there is no session x; there is competitions, dispatch",
    ),
    (
        lambda c: c["phases"].insert(0, c["phases"].pop(2)),
        "phases.published needs: it announces the needs of competitions, which is before it",
    ),
]


@pytest.mark.parametrize(("change", "said"), FAULTS)
def test_a_fault_is_a_sentence(
    change: Callable[[dict[str, Any]], object], said: str, tmp_path: Path
) -> None:
    case = content("piclo")
    change(case)
    with pytest.raises(InputFaults, match=re.escape(said)):
        ran(case, tmp_path)


def test_a_zone_that_is_said_decides_where_polygons_overlap(tmp_path: Path) -> None:
    case = content("piclo")
    case["areas"][1]["polygon"] = case["areas"][0]["polygon"]
    for each in case["resources"]:
        each["zone"] = "hilltop"
        each["position"] = [-1.25, 52.02]
    tried = ran(case, tmp_path).phases[1]
    assert isinstance(tried, QualificationResult)
    fit = {e.resource for e in tried.resources if e.qualified}
    assert fit == {"brewery", "bus depot", "biogas", "wind store"}


def test_the_map_shows_zones_needs_and_who_qualifies(tmp_path: Path) -> None:
    case = load_day(day_path("piclo"))
    result = run_flexibility_day(case)
    with saved_figures() as figures:
        draw_flexibility_map(case, result, tmp_path / "map.png")
    (figure,) = figures
    zones, beside = figure.axes
    words = [each.get_text() for each in zones.texts]
    assert "riverside\n200 kW up, 17:00 to 19:00\n2 qualify: 270 kW up" in words
    assert "hilltop\n250 kW up, 17:00 to 19:00\n2 qualify: 500 kW up" in words
    able, unable = (each.get_offsets().tolist() for each in zones.collections)
    assert able == [[-1.27, 52.02], [-1.23, 52.03], [-1.12, 52.085], [-1.16, 52.06]]
    assert unable == [[-1.245, 52.005], [-1.28, 52.045], [-1.19, 52.02]]
    listed = " ".join(beside.texts[0].get_text().split())
    assert "4 small battery: it runs for 3,600 s at most, riverside evening asks" in listed
    assert "5 school: it is in no zone (1.2 km from riverside)" in listed


def test_without_an_announcement_the_map_has_all_needs(tmp_path: Path) -> None:
    raw = content("piclo")
    del raw["phases"][0]
    result = ran(raw, tmp_path)
    case = load_day(tmp_path / "day.json")
    with saved_figures() as figures:
        draw_flexibility_map(case, result, tmp_path / "map.svg")
    words = [each.get_text() for each in figures[0].axes[0].texts]
    both = "200 kW up, 17:00 to 19:00\n150 kW up, 18:00 to 19:00"
    assert f"riverside\n{both}\n2 qualify: 270 kW up" in words


def test_the_command_draws_a_map_or_says_why_not(tmp_path: Path) -> None:
    target = tmp_path / "map.svg"
    done = CliRunner().invoke(app, ["flexibility-day", "piclo", "--plot", str(target)])
    assert done.exit_code == 0
    assert target.stat().st_size > 10_000
    none = CliRunner().invoke(app, ["flexibility-day", "nodes", "--plot", str(target)])
    assert none.exit_code == 2
    assert "areas: no zone has a polygon, so there is no map" in none.stderr
