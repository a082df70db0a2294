"""Results in three formats, traffic light and matrix, by their definitions; pictures."""

from __future__ import annotations

import csv
import io
import itertools
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandapower as pp
import pyarrow.parquet as pq
import pytest
from command_line import run
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from pictures import check_figure, saved_figures
from profile_tables import POWERS_W, net_with_generators, scenario_text, write_table
from scenario_files import GOOD, faults_of, load, small_net

from doe_allocation.capacity import Capacity
from gateway.formats import optional_packages
from gateway.formats.envelope_file import EnvelopeFile, IntervalStatus
from gateway.formats.envelope_rows import EnvelopeTable, Mark, read_envelopes, read_table
from gateway.formats.envelope_writers import json_writer
from gateway.plots.envelopes_over_time import draw_binding, draw_envelopes
from gateway.plots.network_loading import network_layout, worst_loadings
from gateway.runs.operator_outputs import (
    Light,
    Matched,
    _volts,
    csv_text,
    match_table,
    topological_matrix,
    traffic_light,
)
from security_check.model.envelope import Direction

PERIMETERS = '\n[perimeters]\nwest = ["load:1"]\n'
COUNT = 3


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a day, and its result in each format."""
    folder = tmp_path_factory.mktemp("results")
    pp.to_json(net_with_generators(), str(folder / "net.json"))
    write_table(
        folder / "powers.csv",
        {
            "sgen:1": [5_000, 30_000, -9_000],
            "sgen:1.lower": [0, 25_000, -12_000],
            "sgen:1.upper": [9_000, 40_000, -3_000],
        },
    )
    write_table(folder / "capacities.csv", {"load:1.injection_w": [0, 700, 300_000]})
    more = f'{POWERS_W}capacities = "capacities.csv"\n{PERIMETERS}'
    text = scenario_text(COUNT, more).replace("injection_w = 30000", "injection_w = 300000")
    (folder / "day.toml").write_text(text)
    for suffix in ("json", "csv", "parquet"):
        assert run("allocate", folder / "day.toml", "-o", folder / f"r.{suffix}").exit_code == 0
    return folder


def test_all_formats_say_the_same(results: Path) -> None:
    by_json = EnvelopeFile.model_validate_json((results / "r.json").read_bytes())
    bare = EnvelopeFile(
        intervals=[
            each.model_copy(update={"binding": [], "proof": None}) for each in by_json.intervals
        ]
    )
    assert len(bare.intervals) == COUNT
    for suffix in ("csv", "parquet"):
        assert read_envelopes(results / f"r.{suffix}") == bare
    rows = pq.read_table(results / "r.parquet")
    assert rows.schema.field("limit_w").metadata == {b"unit": b"W"}
    proofs = [each.proof for each in by_json.intervals]
    reported = rows.column("proved").to_pylist()[:: len(reported_points(rows))]
    assert reported == [proof is not None and proof.secure for proof in proofs]
    day = load(results, (results / "day.toml").read_text())
    capacity_w = np.array(rows.column("capacity_w").to_pylist()).reshape(COUNT, -1)
    for k in range(COUNT):
        np.testing.assert_array_equal(capacity_w[k], day.capacity_in(k).upper_w())


def reported_points(rows: Any) -> list[tuple[str, str]]:
    names = (rows.column(name).to_pylist() for name in ("connection_point", "direction"))
    return list(dict.fromkeys(zip(*names, strict=True)))


def test_json_is_written_piece_by_piece_as_it_would_be_whole(results: Path) -> None:
    text = (results / "r.json").read_text()
    content = EnvelopeFile.model_validate_json(text)
    assert text == content.model_dump_json(indent=2) + "\n"
    nothing = io.StringIO()
    with json_writer(nothing):
        pass
    assert EnvelopeFile.model_validate_json(nothing.getvalue()).intervals == []
    capacity = Capacity.same(("load:0",), 1, 1)
    again = io.StringIO()
    with json_writer(again) as write:
        for record in content.intervals:
            write(record, capacity)
    assert again.getvalue() == text


@pytest.mark.parametrize("suffix", ["json", "csv", "parquet"])
def test_the_adversary_finds_every_format_secure(results: Path, suffix: str) -> None:
    result = run("verify", results / "day.toml", results / f"r.{suffix}", "--json")
    assert result.exit_code == 0
    assert len(json.loads(result.stdout)["intervals"]) == COUNT


def test_the_adversary_has_the_forecast_of_each_interval(results: Path) -> None:
    # The limits of an interval with little generation, in one with much, are not secure.
    content = json.loads((results / "r.json").read_text())
    quiet, sunny = content["intervals"][2], content["intervals"][1]
    sunny["envelopes"] = quiet["envelopes"]
    (results / "swapped.json").write_text(json.dumps(content))
    result = run("verify", results / "day.toml", results / "swapped.json", "--json")
    assert result.exit_code == 1
    assert [each["secure"] for each in json.loads(result.stdout)["intervals"]] == [
        True,
        False,
        True,
    ]


def test_a_later_interval_without_envelopes_is_marked(results: Path) -> None:
    write_table(results / "far.csv", {"sgen:1": [0, 0, 1_900_000]})
    text = (results / "day.toml").read_text().replace("powers.csv", "far.csv")
    (results / "far.toml").write_text(text)
    for suffix in ("json", "csv", "parquet"):
        file = results / f"marked.{suffix}"
        result = run("allocate", results / "far.toml", "-o", file, "--json")
        assert result.exit_code == 1, result.stderr
        assert "interval 2016-05-02T00:30:00Z: nothing is published" in result.stderr
        told = EnvelopeFile.model_validate_json(result.stdout)
        for content in (told, read_envelopes(file)):
            assert [each.status for each in content.intervals] == ["secure", "secure", "none"]
            assert [len(each.envelopes) for each in content.intervals] == [3, 3, 0]
        (worst, *others) = told.intervals[2].violations
        assert worst.element == "bus:3"
        assert {each.element for each in others} >= {"line:0", "line:1", "trafo:0", "bus:1"}


def table_lines(results: Path) -> list[list[str]]:
    return list(csv.reader((results / "r.csv").read_text().splitlines()))


@pytest.mark.parametrize(
    ("row", "column", "text", "words"),
    [
        (1, 4, "12.5", "limit_w: load:0 in 2016-05-02T00:00:00Z: '12.5' is not a whole number"),
        (1, 4, "-1", "'-1' is not a whole number"),
        (2, 3, "up", "direction: it is 'up', not injection or withdrawal"),
        (3, 0, "2016-05-02", "no offset"),
        (2, 2, "load:0", "is there already"),
        (2, 2, "load:7", "load:7: it has no withdrawal limit in 2016-05-02T00:00:00Z"),
        (0, 4, "limit_kw", "limit_w: there is no such column"),
    ],
)
def test_wrong_rows_of_a_table_are_named(
    results: Path, row: int, column: int, text: str, words: str
) -> None:
    lines = table_lines(results)
    lines[row][column] = text
    path = results / "wrong.csv"
    with path.open("w", newline="") as stream:
        csv.writer(stream).writerows(lines)
    result = run("verify", results / "day.toml", path)
    assert result.exit_code == 2
    assert words in result.stderr


def test_files_without_pyarrow(results: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(optional_packages, "find_spec", lambda _: None)
    result = run("allocate", results / "day.toml", "-o", results / "other.parquet")
    assert result.exit_code == 2
    assert "doe-exchange[parquet]" in result.stderr


# -- traffic light and matrix ----------------------------------------------------------------------

POINTS = ("load:0", "load:1", "load:2")
limits = hnp.arrays(np.int64, (2, 2, 3), elements=st.integers(0, 3))


@pytest.fixture(scope="module")
def area(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("area")
    pp.to_json(small_net(), str(folder / "net.json"))
    return load(folder, GOOD + PERIMETERS)


@settings(max_examples=60, suppress_health_check=list(HealthCheck))
@given(
    limits,
    limits,
    hnp.arrays(np.int64, (2, 2, 3), elements=st.integers(0, 2)),
    st.lists(st.sampled_from(IntervalStatus), min_size=2, max_size=2),
)
def test_lights_and_matrix_are_what_their_definitions_say(
    area: Any, limits_w: Any, spare_w: Any, stops: Any, statuses: list[IntervalStatus]
) -> None:
    unpublished = np.array([status is IntervalStatus.NONE for status in statuses])
    limits_w = np.where(unpublished[:, None, None], 0, limits_w)
    marks = tuple(Mark(status) for status in statuses)
    starts = tuple(datetime(2026, 1, 1, k, tzinfo=UTC) for k in range(2))
    ends = tuple(start + timedelta(hours=1) for start in starts)
    elements = ("bus:1", "line:0", "trafo:0")
    table = EnvelopeTable(starts, ends, POINTS, limits_w, stops, elements, marks)
    matched = Matched(table, limits_w + spare_w)
    scenario: Any = SimpleNamespace(network=area.network, perimeters=area.perimeters)
    rows = list(traffic_light(scenario, matched))
    members = {"west": [1], "village": [0, 2]}
    assert [(r.start, r.perimeter, r.direction) for r in rows] == list(
        itertools.product(starts, members, Direction)
    )
    for row in rows:
        t, d = starts.index(row.start), list(Direction).index(row.direction)
        own = [(int(limits_w[t, d, i]), int(spare_w[t, d, i])) for i in members[row.perimeter]]
        untouched = all(not spare for _, spare in own)
        none = all(limit == 0 for limit, _ in own)
        expected = Light.GREEN if untouched else Light.RED if none else Light.YELLOW
        expected = Light.RED if unpublished[t] else expected
        assert row.status is statuses[t]
        assert row.light is expected
        assert row.limit_w == sum(limit for limit, _ in own)
        assert row.capacity_w == sum(sum(pair) for pair in own)
        kept = [i for i in members[row.perimeter] if spare_w[t, d, i]]
        names = [table.elements[stops[t, d, i]] for i in kept]
        assert row.limited == len(names)
        most = sorted(set(names), key=lambda name: (-names.count(name), name))
        assert row.bottleneck == (most[0] if most else "")
    matrix = topological_matrix(scenario, matched)
    assert [row.resource for row in matrix] == list(POINTS)  # each exactly once
    for i, resource in enumerate(matrix):
        for d, way in enumerate(("up", "down")):
            least = min(range(2), key=lambda t: limits_w[t, d, i])
            stop = table.elements[stops[least, d, i]] if spare_w[least, d, i] else "capacity"
            stop = "not secured" if unpublished[least] else stop
            assert getattr(resource, f"limit_{way}_w") == limits_w[least, d, i]
            assert getattr(resource, f"capacity_{way}_w") == (limits_w + spare_w)[least, d, i]
            assert getattr(resource, f"constraint_{way}") == stop
            assert getattr(resource, f"start_{way}") == starts[least]
    assert [row.perimeter for row in matrix] == ["village", "west", "village"]
    assert {row.voltage_level for row in matrix} == {"low"}
    assert {row.nominal_voltage_v for row in matrix} == {400.0}
    assert [row.node for row in matrix] == ["bus:2", "bus:3", "bus:4"]
    assert {row.interface for row in matrix} == {"bus:0"}
    assert len(csv_text(matrix).splitlines()) == 1 + len(POINTS)


def test_separate_parts_are_perimeters_of_their_own(tmp_path: Path) -> None:
    net = small_net()
    high = pp.create_bus(net, 20.0)
    pp.create_ext_grid(net, high)
    far = pp.create_bus(net, 20.0)
    pp.create_line(net, high, far, 1.0, "NA2XS2Y 1x95 RM/25 12/20 kV")
    pp.create_load(net, far, 0.01)
    pp.to_json(net, str(tmp_path / "net.json"))
    scenario = load(tmp_path, GOOD)
    perimeters = scenario.perimeters
    assert perimeters.names == ("village:bus:0", f"village:bus:{high}")
    assert perimeters.of_point.tolist() == [0, 0, 0, 1]
    assert perimeters.interface == ("bus:0",) * 3 + (f"bus:{high}",)


@pytest.mark.parametrize(
    ("text", "element", "words"),
    [
        ('a = ["load:0"]\nb = ["load:0"]', "perimeters.b", "load:0 is in a already"),
        ('a = ["load:0", "load:0"]', "perimeters.a", "load:0 is named twice"),
        ('a = ["load:9"]', "perimeters.a", "load:9 is not a connection point"),
        ("a = []", "perimeters.a", "it has no connection point"),
        ("a = 3", "perimeters.a", "must be a list"),
        ('village = ["load:0"]', "perimeters.village", "cannot be a perimeter's name"),
    ],
)
def test_faults_of_perimeters(tmp_path: Path, text: str, element: str, words: str) -> None:
    pp.to_json(small_net(), str(tmp_path / "net.json"))
    found = faults_of(tmp_path, f"{GOOD}\n[perimeters]\n{text}\n")
    assert words in found[element][0]


def test_outputs_are_written_as_csv_and_json(results: Path) -> None:
    result = run("outputs", results / "day.toml", results / "r.parquet", "-o", results / "out")
    assert result.exit_code == 0
    assert "west (1 resources), injection:" in result.stdout
    for name, count in (("traffic_light", COUNT * 2 * 2), ("topological_matrix", 3)):
        rows = json.loads((results / "out" / f"{name}.json").read_text())[name]
        reported = list(csv.DictReader((results / "out" / f"{name}.csv").read_text().splitlines()))
        assert len(rows) == len(reported) == count
        assert [{key: str(value) for key, value in row.items()} for row in rows] == reported
    lights = json.loads((results / "out" / "traffic_light.json").read_text())["traffic_light"]
    west = [row for row in lights if (row["perimeter"], row["direction"]) == ("west", "injection")]
    # Its capacity is 0, 700 and 300,000 W: only the last is more than the network carries.
    assert [row["light"] for row in west] == ["green", "green", "yellow"]
    assert west[2]["limit_w"] < west[2]["capacity_w"] == 300_000


def test_outputs_refuse_envelopes_beyond_capacities(results: Path) -> None:
    content = json.loads((results / "r.json").read_text())
    content["intervals"][1]["envelopes"][1]["injection_limit_w"] = 701
    content["intervals"][0]["envelopes"][0]["connection_point"] = "load:8"
    (results / "beyond.json").write_text(json.dumps(content))
    result = run("outputs", results / "day.toml", results / "beyond.json")
    assert result.exit_code == 2
    assert "load:8" in result.stderr
    content["intervals"][0]["envelopes"][0]["connection_point"] = "load:0"
    (results / "beyond.json").write_text(json.dumps(content))
    result = run("outputs", results / "day.toml", results / "beyond.json")
    assert "injection limit is 701 W, above its capacity of 700 W" in result.stderr


# -- pictures --------------------------------------------------------------------------------------


def test_every_picture_is_drawn(results: Path) -> None:
    folder = results / "pictures"
    day = results / "day.toml"
    with saved_figures() as figures:
        result = run(
            "plot", results / "r.csv", "-o", folder, "--scenario", day, "--point", "load:1"
        )
    assert result.exit_code == 0, result.stderr
    names = {"envelopes.png", "binding.png", "distribution.png", "network.png"}
    assert {path.name for path in folder.iterdir()} == names
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in folder.iterdir())
    texts = [check_figure(figure) for figure in figures]
    assert len(texts) == 4
    for said in (
        {"load:1", "limit, kW"},
        {"connection points"},
        {"interface", "transformer", "loading, % of the limit"},
    ):
        assert any(all(any(word in text for text in each) for word in said) for each in texts), said
    assert run("plot", results / "r.csv", "-o", results / "one.svg").exit_code == 0
    assert "<svg" in (results / "one.svg").read_text()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["-o", "x.png", "--kind", "network"], "--scenario"),
        (["-o", "x.pdf"], "neither a folder nor a .png or .svg file"),
        (["-o", "x.png", "--point", "load:9"], "load:9"),
    ],
)
def test_pictures_that_cannot_be_drawn(results: Path, arguments: list[str], words: str) -> None:
    arguments = [str(results / a) if a.startswith("x.") else a for a in arguments]
    result = run("plot", results / "r.json", *arguments)
    assert result.exit_code == 2
    assert words in result.stderr


def test_pictures_show_the_numbers_of_the_table(results: Path) -> None:
    table = read_table(results / "r.parquet")
    axes = draw_envelopes(table, ["load:1"], "r").axes[0]
    lines = {line.get_label(): line.get_ydata() for line in axes.lines}
    point = table.connection_points.index("load:1")
    np.testing.assert_allclose(lines["load:1"][:-1], table.limits_w[:, 0, point] / 1e3)
    np.testing.assert_allclose(lines["median"][:-1], np.median(table.limits_w[:, 0], axis=1) / 1e3)
    for axes in draw_binding(table, "r").axes:
        tops = [layer.get_paths()[0].vertices[:, 1].max() for layer in axes.collections]
        assert max(tops) == len(table.connection_points)


def test_without_matplotlib_a_sentence_says_what_to_install(
    results: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "matplotlib", None)
    result = run("plot", results / "r.json", "-o", results / "none.png")
    assert result.exit_code == 2
    assert "doe-exchange[plot]" in result.stderr


def test_worst_loadings_are_those_of_pandapower_at_every_vertex(results: Path) -> None:
    day = load(results, (results / "day.toml").read_text())
    table = match_table(day, read_table(results / "r.parquet"), "r").table
    found = worst_loadings(day, table, 1)
    net = net_with_generators()
    limits_w = table.limits_w[1]
    worst = dict.fromkeys((f"line:{i}" for i in net.line.index), 0.0)
    worst["trafo:0"] = 0.0
    for sides in itertools.product((0, 1), repeat=3):
        power_mw = [(limits_w[0, i], -limits_w[1, i])[side] / 1e6 for i, side in enumerate(sides)]
        for volts, generation_mw in itertools.product((0.98, 1.04), (0.025, 0.040)):
            net.load["p_mw"], net.load["q_mvar"] = [-p for p in power_mw], 0.0
            net.ext_grid["vm_pu"] = volts
            net.sgen.loc[1, ["p_mw", "q_mvar"]] = generation_mw, generation_mw / 4
            pp.runpp(net, numba=False)
            for i in net.line.index:
                part = net.res_line.loading_percent[i] / 100
                worst[f"line:{i}"] = max(worst[f"line:{i}"], part)
            worst["trafo:0"] = max(worst["trafo:0"], net.res_trafo.loading_percent[0] / 100)
    for element, loading in worst.items():
        assert found[element] == pytest.approx(loading, rel=1e-4)


def test_a_network_is_drawn_at_its_coordinates_or_as_a_tree(area: Any) -> None:
    tree = network_layout(area.network, {})
    assert not tree.geographic
    assert set(tree.places) == set(area.network.nodes)
    assert tree.ends["trafo:0"] == [("bus:0", "bus:1")]
    assert tree.ends["line:1"] == [("bus:2", "bus:3")]
    places = {node: (float(k), 0.0) for k, node in enumerate(area.network.nodes)}
    assert network_layout(area.network, places).places == places
    places.pop("bus:2")
    assert not network_layout(area.network, places).geographic


def test_a_bus_whose_name_has_a_hyphen_has_its_nominal_voltage() -> None:
    nominal_v = {"bus:feeder-1.1": 230.94, "bus:4": 20e3}
    nodes = ("bus:feeder-1.1+bus:feeder-1.2", "bus:4", "bus:feeder")
    assert _volts(nominal_v, nodes) == [400.0, 20e3, None]
