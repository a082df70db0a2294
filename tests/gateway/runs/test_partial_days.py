"""An interval that cannot be secured is marked and named; the others have their envelopes.

Which intervals those are, and which elements are over their limits in them, is found here by
pandapower at every vertex of the fallback envelopes and both ends of the contracted band.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandapower as pp
import pytest
from command_line import run
from profile_tables import time_of
from sampling import some
from scenario_files import small_net

import doe_exchange as dx
from doe_allocation.allocation.network_grid import NetworkGrid
from gateway.formats.envelope_file import EnvelopeFile, IntervalStatus
from gateway.formats.envelope_rows import read_envelopes, read_table
from gateway.formats.faults import InputFaults
from gateway.runs.folder.jobs import Job, JobOutcome, allocate_job
from gateway.runs.operator_outputs import OutputFile
from gateway.runs.result_file import ResultFile
from gateway.scenario.loading import load_scenario
from security_check.errors import GridError, InsecureError, PowerFlowError, ProofError, Violation

COUNT = 5
SUFFIXES = ("json", "csv", "parquet")
TEXT = """
[network]
source = "net.json"

[interface]
voltage_min_pu = 0.98
voltage_max_pu = 1.04

[capacity]
injection_w = 30000
withdrawal_w = 20000
fallback_injection_w = {injection_w}
fallback_withdrawal_w = {withdrawal_w}

[intervals]
start = 2016-05-02T00:00:00Z
count = 5
limits_file = "limits.csv"
"""
HEADING = "start,voltage_min_pu,voltage_max_pu,injection_limit_w\n"


def a_day(folder: Path, seed: int) -> Path:
    """Write a day with random bands, interface limits and fallbacks; return the scenario.

    Few of its intervals can be secured: bands reach beyond the limits at the customers, and limits
    at the interface below the sum of the fallbacks.
    """
    rng = np.random.default_rng(seed)
    pp.to_json(small_net(), str(folder / "net.json"))
    fallback_w = rng.choice([0, 3_000, 12_000], 2)
    with (folder / "limits.csv").open("w") as stream:
        stream.write(HEADING)
        for k in range(COUNT):
            low, high = (round(float(v), 4) for v in np.sort(rng.uniform(0.88, 1.12, 2)))
            if rng.random() < 0.4:
                low, high = 0.98, 1.02
            limit_w = rng.choice([8_000, 30_000, 60_000])
            stream.write(f"{time_of(k)},{low},{high},{limit_w}\n")
    path = folder / "day.toml"
    path.write_text(TEXT.format(injection_w=fallback_w[0], withdrawal_w=fallback_w[1]))
    return path


def over_their_limits(path: Path) -> list[set[str]]:
    """Return the elements that pandapower finds over their limits, at the fallbacks' vertices."""
    scenario = load_scenario(path)
    net = small_net()
    inject_w, withdraw_w = scenario.capacity.lower_w().reshape(2, -1)
    found = []
    for interval in scenario.intervals:
        over: set[str] = set()
        limits = interval.interface_limits
        for side in itertools.product((0, 1), repeat=len(inject_w)):
            power_w = np.where(side, inject_w, -withdraw_w)
            for voltage in (limits.voltage_min_pu, limits.voltage_max_pu):
                net.load["p_mw"] = -power_w / 1e6
                net.ext_grid["vm_pu"] = voltage
                pp.runpp(net, calculate_voltage_angles=True, tolerance_mva=1e-9, numba=False)
                outside = (net.res_bus.vm_pu > 1.1 + 1e-7) | (net.res_bus.vm_pu < 0.9 - 1e-7)
                over |= {f"bus:{bus}" for bus in net.bus.index[outside] if bus != 0}
                over |= {f"line:{k}" for k in net.line.index[net.res_line.loading_percent > 100]}
                over |= {f"trafo:{k}" for k in net.trafo.index[net.res_trafo.loading_percent > 100]}
                sent_w = -1e6 * float(net.res_ext_grid.p_mw.sum())
                assert limits.injection_limit_w is not None
                over |= {"interface"} if sent_w > limits.injection_limit_w * (1 + 1e-6) else set()
        found.append(over)
    return found


@pytest.mark.parametrize(
    "seed", [0, *(pytest.param(k, marks=pytest.mark.slow) for k in some(range(1, 12)))]
)
def test_intervals_that_cannot_be_secured_are_those_with_insecure_fallbacks(
    tmp_path: Path, seed: int
) -> None:
    path = a_day(tmp_path, seed)
    expected = over_their_limits(path)
    assert any(expected) or seed, "every interval can be secured: this seed shows nothing"
    result = run("allocate", path, "-o", tmp_path / "r.json")
    assert result.exit_code == (1 if any(expected) else 0)
    content = EnvelopeFile.model_validate_json((tmp_path / "r.json").read_bytes())
    assert len(content.intervals) == COUNT
    for k, (record, over) in enumerate(zip(content.intervals, expected, strict=True)):
        assert (record.status is IntervalStatus.NONE) == bool(over), (k, over)
        assert {each.element for each in record.violations} == over
        assert len(record.envelopes) == (0 if over else 3)
        assert (f"interval {time_of(k)}: nothing is published" in result.stderr) == bool(over)
        for each in record.violations:
            sign = 1 if each.limit != 0.9 else -1
            assert sign * (each.value - each.limit) > 0, each
    bad = [record for record in content.intervals if record.violations]
    assert all(
        each.element in record.reason for record in bad for each in record.violations
    )  # fewer than are named in a sentence


@pytest.fixture(scope="module")
def day(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a day whose second interval cannot be secured, its results and orders."""
    folder = tmp_path_factory.mktemp("day")
    path = a_day(folder, 0)
    path.write_text(TEXT.format(injection_w=1000, withdrawal_w=1000))
    rows = [f"{time_of(k)},{0.98},{1.13 if k == 1 else 1.02},60000\n" for k in range(COUNT)]
    (folder / "limits.csv").write_text(HEADING + "".join(rows))
    for suffix in SUFFIXES:
        assert run("allocate", path, "-o", folder / f"r.{suffix}").exit_code == 1
    return path


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_every_format_has_the_marks_and_every_reader_heeds_them(day: Path, suffix: str) -> None:
    folder, file = day.parent, day.parent / f"r.{suffix}"
    content = read_envelopes(file)
    assert [each.status for each in content.intervals] == ["secure", "none", *["secure"] * 3]
    bad = content.intervals[1]
    assert bad.envelopes == []
    assert "bus:3: with every limit at its lower bound it already reaches 1.13" in bad.reason
    assert "3 of 3 connection points injecting, 0 withdrawing and 1.13 p.u. at" in bad.reason

    result = run("verify", day, file, "--json")
    assert result.exit_code == 1
    verdict = json.loads(result.stdout)
    assert [each["secure"] for each in verdict["intervals"]] == [True, False, True, True, True]
    assert verdict["intervals"][1]["status"] == "none"
    assert "not secure: nothing is published: bus:3" in verdict["detail"]

    result = run("outputs", day, file, "--json")
    assert result.exit_code == 0
    outputs = OutputFile.model_validate_json(result.stdout)
    lights = [light for light in outputs.traffic_light if light.status is IntervalStatus.NONE]
    assert {(each.start, each.light, each.limit_w) for each in lights} == {(bad.start, "red", 0)}
    assert len(lights) == 2
    for row in outputs.topological_matrix:
        assert (row.limit_up_w, row.constraint_up, row.start_up) == (0, "not secured", bad.start)

    for options in (["-o", folder / f"pictures-{suffix}", "--scenario", day],):
        assert run("plot", file, *options).exit_code == 0
    at = ["--kind", "network", "--scenario", day, "--at", time_of(1)]
    result = run("plot", file, "-o", folder / "n.png", *at)
    assert result.exit_code == 2
    assert f"the interval at {time_of(1)} has no envelopes" in result.stderr


def test_pictures_leave_a_gap(day: Path) -> None:
    from gateway.plots.envelopes_over_time import draw_binding, draw_distribution, draw_envelopes

    table = read_table(day.parent / "r.csv")
    assert table.published.tolist() == [True, False, True, True, True]
    median = draw_envelopes(table, [], "r").axes[0].get_lines()[0].get_ydata()
    assert np.isnan(median[1])
    assert not np.isnan(np.delete(median, 1)).any()
    counts = [0.0, 0.0]
    for axes, d in zip(draw_binding(table, "r").axes, (0, 1), strict=True):
        for patch in axes.collections:
            counts[d] = max(counts[d], patch.get_paths()[0].vertices[:, 1].max())
    assert counts == [3.0, 3.0]
    for axes in draw_distribution(table, "r").axes:
        assert sum(bar.get_height() for bar in axes.patches) == pytest.approx(100.0)
        assert "from 0.000" not in "".join(text.get_text() for text in axes.get_legend().texts)


def without_any(path: Path) -> Path:
    (path.parent / "limits.csv").write_text(
        HEADING + "".join(f"{time_of(k)},0.98,1.13,60000\n" for k in range(COUNT))
    )
    return path


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_day_without_any_envelopes_is_a_file_of_marks(tmp_path: Path, suffix: str) -> None:
    path, file = without_any(a_day(tmp_path, 0)), tmp_path / f"r.{suffix}"
    result = run("allocate", path, "-o", file)
    assert result.exit_code == 1
    assert "5 intervals could not be secured" in result.stderr
    statuses = [each.status for each in read_envelopes(file).intervals]
    assert statuses == [IntervalStatus.NONE] * COUNT
    assert run("verify", path, file).exit_code == 1
    for command in (["outputs", path, file], ["plot", file, "-o", tmp_path / "p.png"]):
        result = run(*command)
        assert result.exit_code == 2
        assert "intervals: none of them has envelopes" in result.stderr


WRONG: list[tuple[str, Callable[[list[list[str]]], None], str]] = [
    ("a limit", lambda rows: rows[7].__setitem__(4, "5"), "status: it is none, but the row has"),
    ("unknown", lambda rows: rows[7].__setitem__(8, "nothing"), "not one of secure, fallback, no"),
    ("twice", lambda rows: rows.append(rows[7]), "it is there already"),
    ("both", lambda rows: rows[8].__setitem__(0, time_of(1)), "it ends at"),
    ("mixed", lambda rows: rows[8].__setitem__(8, "fallback"), "but in an earlier line"),
    ("fairer", lambda rows: rows[8].__setitem__(10, "equal"), "its fairness is 'max_min', but in"),
    (
        "fair",
        lambda rows: rows[8].__setitem__(10, "max-min"),
        "fairness: it is 'max-min': it shoul",
    ),
]


@pytest.mark.parametrize(("case", "change", "words"), WRONG, ids=[each[0] for each in WRONG])
def test_marks_that_contradict_each_other_are_refused(
    day: Path, case: str, change: Callable[[list[list[str]]], None], words: str
) -> None:
    import csv

    rows = list(csv.reader((day.parent / "r.csv").read_text().splitlines()))
    assert rows[7][8] == "none"
    change(rows)
    wrong = day.parent / f"wrong-{case}.csv"
    with wrong.open("w", newline="") as stream:
        csv.writer(stream).writerows(rows)
    result = run("verify", day, wrong)
    assert result.exit_code == 2
    assert words in result.stderr
    assert wrong.name in result.stderr


def test_an_interval_marked_none_with_envelopes_is_refused(day: Path) -> None:
    content = json.loads((day.parent / "r.json").read_text())
    content["intervals"][0]["status"] = "none"
    wrong = day.parent / "wrong.json"
    wrong.write_text(json.dumps(content))
    for command in (["verify", day, wrong], ["outputs", day, wrong]):
        result = run(*command)
        assert result.exit_code == 2
        assert 'intervals.0: its status is "none", so it should have no envelopes' in result.stderr


ERRORS: list[GridError] = [
    InsecureError("line:1", "too full", 0.1, [Violation("line:1", 150.0, 142.0, "A")]),
    PowerFlowError("no solution"),
    ProofError("a bound is exceeded"),
]


@pytest.fixture
def failing(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[GridError]]:
    """Let the next allocation end with the errors put into this list, one each."""
    errors: list[GridError] = []
    allocate = NetworkGrid.allocate

    def allocate_or_fail(self: NetworkGrid, limits: Any) -> Any:
        if errors:
            raise errors.pop()
        return allocate(self, limits)

    monkeypatch.setattr(NetworkGrid, "allocate", allocate_or_fail)
    yield errors
    assert not errors


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_secure_fallbacks_are_published_where_nothing_else_could_be_secured(
    tmp_path: Path, failing: list[GridError], error: GridError
) -> None:
    path = a_day(tmp_path, 0)
    path.write_text(TEXT.format(injection_w=1000, withdrawal_w=700))
    (tmp_path / "limits.csv").write_text(f"{HEADING}{time_of(0)},0.98,1.02,60000\n")
    for suffix in SUFFIXES:
        failing.append(error)
        file = tmp_path / f"r.{suffix}"
        result = run("allocate", path, "-o", file)
        assert result.exit_code == 1
        assert "the fallback envelopes, which are secure, are published" in result.stderr
        assert str(error) in result.stderr
        first, second, *_ = read_envelopes(file).intervals
        assert (first.status, second.status) == ("fallback", "secure")
        assert first.reason == str(error)
        assert {e.injection_limit_w for e in first.envelopes} == {1000}
        assert {e.withdrawal_limit_w for e in first.envelopes} == {700}
        assert all(e.injection_limit_w > 1000 for e in second.envelopes)
        result = run("verify", path, file, "--json")
        assert result.exit_code == 0
        statuses = [each["status"] for each in json.loads(result.stdout)["intervals"]]
        assert statuses == ["fallback", *["secure"] * 4]
        assert run("outputs", path, file).exit_code == 0
        assert run("plot", file, "-o", tmp_path / "p.png").exit_code == 0


def test_fallbacks_that_are_not_secure_are_not_published(
    tmp_path: Path, failing: list[GridError]
) -> None:
    path = a_day(tmp_path, 0)
    path.write_text(TEXT.format(injection_w=25_000, withdrawal_w=700))
    (tmp_path / "limits.csv").write_text(f"{HEADING}{time_of(0)},0.98,1.02,60000\n")
    failing.append(PowerFlowError("no solution"))
    assert run("allocate", path, "-o", tmp_path / "r.json").exit_code == 1
    first, *_ = read_envelopes(tmp_path / "r.json").intervals
    assert first.status is IntervalStatus.NONE
    assert first.reason == "no solution"
    assert [each.element for each in first.violations] == ["interface"]
    sent_w = []
    for voltage in (0.98, 1.02):
        net = small_net()
        net.load["p_mw"], net.ext_grid["vm_pu"] = -0.025, voltage
        pp.runpp(net, calculate_voltage_angles=True, tolerance_mva=1e-9, numba=False)
        sent_w.append(-1e6 * float(net.res_ext_grid.p_mw.sum()))
    assert first.violations[0].value == pytest.approx(max(sent_w), rel=1e-6)


def order(number: int, interval: int, side: str, point: str) -> str:
    return json.dumps(
        {
            "time": "2016-05-01T12:00:00Z",
            "type": "submit",
            "participant": point,
            "client_order_id": f"o{number}",
            "connection_point": point,
            "direction": "injection",
            "interval": time_of(interval),
            "side": side,
            "quantity_w": 500,
            "price": "0.0100",
        }
    )


def test_a_simulation_goes_on_without_the_interval(day: Path) -> None:
    orders = day.parent / "orders.jsonl"
    lines = [order(0, 1, "sell", "load:0"), order(1, 1, "buy", "load:1")]
    lines += [order(2, 2, "sell", "load:0"), order(3, 2, "buy", "load:1")]
    orders.write_text("\n".join(lines) + "\n")
    file = day.parent / "result.json"
    result = run("simulate", day, orders, "-o", file)
    assert result.exit_code == 1
    assert "alarm insecure: bus:3: " in result.stderr
    assert "1 interval could not be secured" in result.stderr
    content = ResultFile.model_validate_json(file.read_bytes())
    assert [each.status for each in content.envelopes.intervals] == [
        *("secure", "none"),
        *["secure"] * 3,
    ]
    bad = content.envelopes.intervals[1]
    assert {each.element for each in bad.violations} == {f"bus:{k}" for k in range(1, 5)}
    assert [each.client_order_id for each in content.refusals] == ["o0", "o1"]
    assert {each.reason for each in content.refusals} == {"unknown_interval"}
    assert content.trades
    assert run("report", day, orders).exit_code == 1


def test_a_folder_lists_the_intervals_and_does_not_repeat_the_network(
    day: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run_here(jobs: list[Job], processes: int) -> Iterator[JobOutcome]:
        yield from map(allocate_job, jobs)

    monkeypatch.setattr("gateway.runs.folder.allocation.run_in_processes", run_here)
    folder, out = tmp_path / "in", tmp_path / "out"
    folder.mkdir()
    for name in ("net.json", "limits.csv", "day.toml"):
        (folder / name).write_bytes((day.parent / name).read_bytes())
    for attempt in range(2):
        result = run("allocate", folder, "-o", out, "-p", 1, "--json")
        assert result.exit_code == 1
        summary = json.loads(result.stdout)
        assert summary["failed"] == []
        assert summary["allocated"] == 1 - attempt
        assert summary["envelopes"] == 3 * (COUNT - 1)
        (outcome,) = summary["not_secured"]
        (sentence,) = outcome["not_secured"]
        assert sentence.startswith(f"interval {time_of(1)}: nothing is published: bus:3")
    assert (out / "day.json").read_bytes() == (day.parent / "r.json").read_bytes()


def test_the_python_api_has_the_same_intervals(day: Path) -> None:
    area = dx.Area.from_scenario(day)
    envelopes = area.allocate()
    assert envelopes.to_frame()["start"].nunique() == COUNT - 1
    told = envelopes.not_secured.to_frame()
    assert told["status"].tolist() == ["none"]
    assert "1 NOT SECURED" in envelopes.title
    assert not envelopes.verify()
    kept = day.parent / "api.csv"
    envelopes.write(kept)
    assert kept.read_bytes() == (day.parent / "r.csv").read_bytes()
    envelopes.plot(kind="envelopes")
    with pytest.raises(InputFaults, match="has no envelopes"):
        envelopes.plot(kind="network", at=time_of(1))


def test_the_python_api_raises_where_no_interval_has_envelopes(tmp_path: Path) -> None:
    area = dx.Area.from_scenario(without_any(a_day(tmp_path, 0)))
    with pytest.raises(InputFaults, match="bus:1"):
        area.allocate()


def test_a_message_names_ten_elements_and_counts_the_rest() -> None:
    def insecure(count: int) -> str:
        return str(
            InsecureError(
                "bus:0",
                "reaches 1.2",
                0.1,
                [Violation(f"bus:{k}", 1.2, 1.1, "p.u.") for k in range(count)],
            )
        )

    assert insecure(1) == "bus:0: reaches 1.2"
    assert insecure(10).endswith("; bus:9 reaches 1.2 of 1.1 p.u.")
    assert insecure(11).endswith("; bus:9 reaches 1.2 of 1.1 p.u.; and 1 more")
    assert insecure(1000).endswith("; and 990 more")
