"""Years of a flexibility market: by brute force, with growing shares, killed and taken up again."""

from __future__ import annotations

import csv
import json
import re
import signal
import subprocess
import sys
import tomllib
from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sampling import examples
from typer.testing import CliRunner

from gateway.cli.main import app
from gateway.flexibility.day.case import day_path
from gateway.flexibility.year.case import Plant, YearCase, load_year, year_path
from gateway.flexibility.year.days import Row, row_of
from gateway.flexibility.year.profiles import FORMULAS, generated
from gateway.flexibility.year.result import FlexibilityYearResult
from gateway.flexibility.year.running import RESULT, run_flexibility_year
from gateway.flexibility.year.table import DIGEST, TABLE
from gateway.formats.faults import InputFaults

RATING_W = 4_000
STORE_W, PUMPS_W = 2_000, 1_000
PRICES = {"store": 2, "pumps": 7, "sun": 5}  # in cents
INTERVALS = 3


def tiny_day() -> dict[str, Any]:
    """Three intervals of eight hours; a store, pumps and a plant behind one branch of 4 kW."""
    parties = [("dso", "dso"), ("market", "market"), ("a", "provider"), ("b", "provider")]
    able = {"store": STORE_W, "pumps": PUMPS_W, "sun": 10**9}
    ways = ["upward", "downward"]
    return {
        "start": "2027-01-01T00:00:00Z",
        "interval_min": 480,
        "intervals": INTERVALS,
        "zones": ["z"],
        "parties": [{"name": name, "role": role} for name, role in parties],
        "products": [
            {"name": "p", "directions": ways, "buyers": ["dso"], "priced": ["utilisation"]}
        ],
        "network": {
            "operator": "dso",
            "buses": ["hv", "lv"],
            "slack_bus": "hv",
            "branches": [{"from": "hv", "to": "lv", "x_pu": 0.1, "rating_mw": RATING_W / 1e6}],
            "injection_w": {},
        },
        "resources": [
            {
                "name": name,
                "provider": "b" if name == "sun" else "a",
                "zone": "z",
                "bus": "lv",
                "down_w": watts,
            }
            | ({"up_w": watts} if name == "store" else {})
            for name, watts in able.items()
        ],
        "offers": [
            {
                "name": f"{name} {way}",
                "resource": name,
                "product": "p",
                "direction": way,
                "quantity_w": able[name],
                "price_eur_per_kwh": f"0.0{price}",
            }
            for name, price in PRICES.items()
            for way in (ways if name == "store" else ways[1:])
        ],
        "phases": [
            {"type": "forecast", "name": "f", "product": "p", "cap_eur_per_kwh": "0.50"},
            {"type": "spot", "name": "s", "within_network": True},
            {"type": "settlement", "name": "m"},
        ],
    }


def tiny_year() -> dict[str, Any]:
    return {
        "day": "day.json",
        "start": "2027-03-01T00:00:00Z",
        "days": 4,
        "shares": [0.5, 1.0, 2.0, 4.0],
        "profiles": {"file": "year.csv"},
        "loads": [{"bus": "lv", "profile": "load", "scale_w": 1_000}],
        "plants": [{"resource": "sun", "profile": "sun", "part": 1.0}],
    }


def written(
    folder: Path, change: Callable[[dict[str, Any], dict[str, Any]], object] = lambda y, d: None
) -> Path:
    """Write a year with its day and its table; ``change`` may alter the year and the day."""
    year, day = tiny_year(), tiny_day()
    change(year, day)
    rows = ["start,load,sun"]
    for k in range(4 * INTERVALS):
        start = f"2027-03-{1 + k // 3:02}T{8 * (k % 3):02}:00:00Z"
        rows.append(f"{start},{1.5 + k % 3},{(0, 3, 1)[k % 3] + k // 3}")
    (folder / "year.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    (folder / "day.json").write_text(json.dumps(day), encoding="utf-8")
    path = folder / "study.json"
    path.write_text(json.dumps(year), encoding="utf-8")
    return path


def run(case: YearCase, folder: Path) -> tuple[FlexibilityYearResult, list[Row]]:
    return run_flexibility_year(case, folder, lambda done: None)


def files(folder: Path) -> dict[str, bytes]:
    return {name: (folder / name).read_bytes() for name in (TABLE, DIGEST, RESULT)}


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> YearCase:
    return load_year(written(tmp_path_factory.mktemp("tiny")))


def cheapest(load_w: int, sun_w: int) -> tuple[int, int]:
    """The least cost, in cents for a kW and hour, and what is curtailed, by trying all whole kW.

    Only what exceeds the export of 4 kW is bought; all numbers are whole kW.
    """
    excess = max(sun_w - load_w - RATING_W, 0) // 1_000
    found = []
    for store, pumps, sun in product(
        range(STORE_W // 1_000 + 1), range(PUMPS_W // 1_000 + 1), range(sun_w // 1_000 + 1)
    ):
        if store + pumps + sun == excess:
            cost = store * PRICES["store"] + pumps * PRICES["pumps"] + sun * PRICES["sun"]
            found.append((cost, sun))
    return min(found)


def whole_kw(case: YearCase, load: list[int], sun: list[int]) -> YearCase:
    """A year of one day with loads and a plant in whole kW."""
    load_w = np.zeros((INTERVALS, 2), dtype=np.int64)
    load_w[:, 1] = 1_000 * np.array(load)
    plant = Plant("sun", 1, 1_000.0 * np.array(sun))
    return replace(case, load_w=load_w, plants=(plant,), days=(0,))


KW = st.lists(st.integers(0, 4), min_size=INTERVALS, max_size=INTERVALS)


@settings(max_examples=examples(60), deadline=None)
@given(KW, KW, st.integers(1, 4))
def test_a_day_costs_the_least_of_all_whole_kilowatts(
    tiny: YearCase, load: list[int], sun: list[int], share: int
) -> None:
    row = row_of(whole_kw(tiny, load, sun), float(share), 0)
    found = [
        cheapest(1_000 * own, 1_000 * share * most) for own, most in zip(load, sun, strict=True)
    ]
    assert Decimal(row["cost_eur"]) == 8 * Decimal(sum(cost for cost, _ in found)) / 100
    assert Decimal(row["curtailed_kwh"]) == 8 * sum(kw for _, kw in found)
    assert row["missing_kwh"] == "0"
    assert Decimal(row["renewable_kwh"]) == 8 * share * sum(sun)
    assert Decimal(row["balance_eur.dso"]) == -Decimal(row["cost_eur"])


WATTS = st.lists(st.integers(0, 4_000), min_size=INTERVALS, max_size=INTERVALS)
FACTORS = st.lists(st.floats(0.0, 5_000.0), min_size=INTERVALS, max_size=INTERVALS)


@settings(max_examples=examples(40), deadline=None)
@given(WATTS, FACTORS, st.lists(st.floats(0.0, 5.0), min_size=2, max_size=4))
def test_with_export_limits_alone_nothing_falls_with_the_share(
    tiny: YearCase, load: list[int], sun: list[float], shares: list[float]
) -> None:
    """Behind one branch, what is beyond its limit grows more than what is cheap to curtail.

    The loads stay below the branch's rating, so it is never short of energy from outside.
    """
    load_w = np.zeros((INTERVALS, 2), dtype=np.int64)
    load_w[:, 1] = load
    case = replace(tiny, load_w=load_w, plants=(Plant("sun", 1, np.array(sun)),), days=(0,))
    rows = [row_of(case, share, 0) for share in sorted(shares)]
    for name in ("renewable_kwh", "curtailed_kwh", "bought_kwh", "cost_eur"):
        values = [Decimal(row[name]) for row in rows]
        assert values == sorted(values), name


def test_where_imports_are_limited_cost_falls_with_the_share(tiny: YearCase) -> None:
    """A load of 5 kW, 4 of them from outside: the store gives 1 kW, 8 kWh at 0.02 an interval.

    At a share of 1 the plant gives it in one of three intervals.
    """
    case = whole_kw(tiny, [5, 5, 5], [0, 1, 0])
    assert [row_of(case, share, 0)["cost_eur"] for share in (0.0, 1.0)] == ["0.48", "0.32"]


def test_shares_are_of_the_energy_of_loads(tmp_path: Path) -> None:
    case = load_year(written(tmp_path))
    energy = case.load_w.sum()
    for share in case.shares:
        renewable = sum(each.power_w(share).sum() for each in case.plants)
        assert 0 <= share * energy - renewable < len(case.load_w)


KILLED = """
import os, signal, sys
from pathlib import Path
from gateway.flexibility.year.case import load_year
from gateway.flexibility.year.running import run_flexibility_year

def step(done):
    if done == int(sys.argv[3]):
        os.kill(os.getpid(), signal.SIGKILL)

run_flexibility_year(load_year(Path(sys.argv[1])), Path(sys.argv[2]), step)
"""


def test_a_killed_run_is_taken_up_and_ends_as_one_that_was_not(tmp_path: Path) -> None:
    path = written(tmp_path)
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    run(load_year(path), whole)
    arguments = [sys.executable, "-c", KILLED, str(path), str(killed), "7"]
    assert subprocess.run(arguments, check=False).returncode == -signal.SIGKILL
    lines = (killed / TABLE).read_text(encoding="utf-8").splitlines()
    assert len(lines) == 1 + 7, "what was computed is written"
    assert not (killed / RESULT).exists()
    done: list[int] = []
    run_flexibility_year(load_year(path), killed, done.append)
    assert done == list(range(7, 17)), "and is not computed again"
    assert files(killed) == files(whole)
    before = files(killed)
    run_flexibility_year(load_year(path), killed, done.append)
    assert done[-1:] == [16]
    assert files(killed) == before


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[YearCase, Path]:
    folder = tmp_path_factory.mktemp("finished")
    case = load_year(written(folder))
    run(case, folder / "out")
    return case, folder / "out"


@settings(
    max_examples=examples(20),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(st.data())
def test_a_table_cut_anywhere_is_completed(
    finished: tuple[YearCase, Path], tmp_path: Path, data: st.DataObject
) -> None:
    case, folder = finished
    content = (folder / TABLE).read_bytes()
    cut = data.draw(st.integers(0, len(content)))
    again = tmp_path / f"cut-{cut}"
    again.mkdir(exist_ok=True)
    (again / TABLE).write_bytes(content[:cut])
    (again / DIGEST).write_bytes((folder / DIGEST).read_bytes())
    run(case, again)
    assert files(again) == files(folder)


def test_money_adds_up_to_nothing_over_the_year(finished: tuple[YearCase, Path]) -> None:
    _, folder = finished
    result = FlexibilityYearResult.model_validate_json((folder / RESULT).read_bytes())
    with (folder / TABLE).open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert len(rows) == 16
    for each in result.shares:
        own = [row for row in rows if float(row["share"]) == each.share]
        assert sum(map(Decimal, each.balances_eur.values())) == 0
        for name, balance in each.balances_eur.items():
            assert Decimal(balance) == sum(Decimal(row[f"balance_eur.{name}"]) for row in own)
        assert Decimal(each.cost_eur) == -Decimal(each.balances_eur["dso"])
        bought = sum(map(Decimal, each.bought_kwh_of.values()))
        assert Decimal(each.bought_kwh) == bought
        assert Decimal(each.curtailed_kwh) == Decimal(each.bought_kwh_of["sun"])
    assert Decimal(result.shares[-1].cost_eur) > 0


def test_results_of_other_inputs_are_refused(
    finished: tuple[YearCase, Path], tmp_path: Path
) -> None:
    case, folder = finished
    for name, content in files(folder).items():
        (tmp_path / name).write_bytes(content)
    with pytest.raises(InputFaults, match="results of another file, program version or choice"):
        run(replace(case, digest="0"), tmp_path)
    table = (tmp_path / TABLE).read_text(encoding="utf-8").splitlines(keepends=True)
    cases = {
        "its columns are not those of this year": ["x\n", *table[1:]],
        "line 3 has 1 cells of": [*table[:2], "x\n"],
        "it has share 0.5 on 2027-03-02, here comes 0.5 on 2027-03-01": [table[0], *table[2:]],
        "it has 17 days, the year 16": [*table, table[-1]],
    }
    for said, lines in cases.items():
        (tmp_path / TABLE).write_text("".join(lines), encoding="utf-8")
        with pytest.raises(InputFaults, match=re.escape(said)):
            run(case, tmp_path)
    (tmp_path / DIGEST).unlink()
    with pytest.raises(InputFaults, match=re.escape("it has days.csv but no inputs.sha256")):
        run(case, tmp_path)


def test_two_runs_do_not_write_one_folder(tmp_path: Path) -> None:
    case = load_year(written(tmp_path))

    def step(done: int) -> None:
        if done == 1:
            with pytest.raises(InputFaults, match="another process is writing its results there"):
                run(case, tmp_path / "out")

    result, _ = run_flexibility_year(case, tmp_path / "out", step)
    assert [each.days for each in result.shares] == [4] * 4


FAULTS: list[tuple[Callable[[dict[str, Any], dict[str, Any]], object], str]] = [
    (lambda y, d: d.update(intervals=2), "day: "),
    (lambda y, d: d["phases"].pop(), "is no settlement"),
    (lambda y, d: y.update(profiles={}), "profiles: it has a file and a seed, or neither"),
    (lambda y, d: y.update(shares=[1.0, 0.5]), "shares: 0.5 comes after 1; shares should grow"),
    (lambda y, d: y.update(day="nowhere"), "there is no bundled day of that name"),
    (lambda y, d: y["loads"][0].update(bus="x"), "loads.x: there is no bus x"),
    (lambda y, d: y["loads"][0].update(profile="x"), "loads.lv: there is no profile x; there is"),
    (lambda y, d: y["plants"][0].update(resource="x"), "plants.x: there is no resource x"),
    (lambda y, d: y["plants"][0].update(part=0.5), "their parts add up to 0.5, they should be 1"),
    (
        lambda y, d: y["plants"].append({"resource": "sun", "profile": "sun", "part": 0.5}),
        "plants.sun: there are 2 of this resource",
    ),
    (lambda y, d: y.update(days=5), "3 of 15 intervals have no line"),
    (
        lambda y, d: (d["resources"][2].update(down_w=9), d["offers"][-1].update(quantity_w=9)),
        "W, in the day it can go down by 9 W",
    ),
    (lambda y, d: y.update(start="9998-03-01T00:00:00Z", days=700), "end after the calendar"),
]


@pytest.mark.parametrize(("change", "said"), FAULTS)
def test_a_fault_of_a_file_is_named(
    change: Callable[[dict[str, Any], dict[str, Any]], object], said: str, tmp_path: Path
) -> None:
    with pytest.raises(InputFaults, match=re.escape(said)):
        load_year(written(tmp_path, change))


def test_a_negative_profile_is_a_fault(tmp_path: Path) -> None:
    path = written(tmp_path)
    table = (tmp_path / "year.csv").read_text(encoding="utf-8").replace(",0\n", ",-1\n", 1)
    (tmp_path / "year.csv").write_text(table, encoding="utf-8")
    with pytest.raises(
        InputFaults, match=re.escape("year.csv line 2, 2027-03-01T00:00:00Z: -1 is")
    ):
        load_year(path)


def test_generated_profiles_follow_from_seed_and_time() -> None:
    case = load_year(year_path("dres2market"))
    step = case.market.day.interval
    starts = [case.start + k * step for k in range(365 * 24)]
    found, again = generated(1, starts, step), generated(1, starts[24:48], step)
    other = generated(2, starts[:48], step)
    assert set(found) == set(FORMULAS)
    for name, values in found.items():
        assert (values[24:48] == again[name]).all()
        assert (values[:48] != other[name]).any()
        assert values.min() >= 0.0
        assert values.max() <= 1.0
    by_hour = {name: values.reshape(365, 24) for name, values in found.items()}
    assert not by_hour["solar"][:, :3].any(), "the sun does not shine at night"
    summer, winter = (by_hour["solar"][days].sum() for days in (slice(150, 210), slice(0, 60)))
    assert summer > 3 * winter
    assert by_hour["wind"][:60].sum() > by_hour["wind"][150:210].sum()
    assert by_hour["households"].mean(axis=0).argmax() == 18


def test_the_bundled_year_on_some_days(tmp_path: Path) -> None:
    """Only exports are limited there, so nothing falls; the cheapest resource is used first."""
    case = load_year(year_path("dres2market"), every=73)
    result, rows = run(case, tmp_path)
    assert [row["day"] for row in rows[:3]] == ["2027-01-01", "2027-03-15", "2027-05-27"]
    for name in ("renewable_kwh", "curtailed_kwh", "bought_kwh", "cost_eur"):
        values = [Decimal(getattr(each, name)) for each in result.shares]
        assert values == sorted(values)
    assert Decimal(result.shares[-1].curtailed_kwh) > 0
    for each in result.shares:
        assert sum(map(Decimal, each.balances_eur.values())) == 0
        assert each.missing_kwh == "0"


def test_the_command_writes_the_table_the_totals_and_the_picture(tmp_path: Path) -> None:
    path, out, picture = written(tmp_path), tmp_path / "out", tmp_path / "year.svg"
    arguments = ["flexibility-year", str(path), "-o", str(out), "--plot", str(picture)]
    done = CliRunner().invoke(app, arguments, terminal_width=200)
    assert done.exit_code == 0, done.output
    assert "% curtailed; balances, EUR: dso -" in done.stdout
    assert picture.read_bytes().startswith(b"<?xml")
    assert set(files(out)) == {TABLE, DIGEST, RESULT}
    again = CliRunner().invoke(app, [*arguments, "--every", "2"])
    assert again.exit_code == 2
    assert "choose another folder" in again.stderr
    unknown = CliRunner().invoke(app, ["flexibility-year", "nowhere", "-o", str(out)])
    assert unknown.exit_code == 2
    assert "dres2market" in unknown.stderr


@pytest.mark.parametrize("name", [TABLE, RESULT])
def test_profiles_are_not_overwritten(tmp_path: Path, name: str) -> None:
    path = written(tmp_path, lambda y, d: y["profiles"].update(file=f"{Path(name).stem}.csv"))
    profiles = (tmp_path / "year.csv").rename(tmp_path / f"{Path(name).stem}.csv")
    if name == RESULT:
        (tmp_path / RESULT).hardlink_to(profiles)
    before = profiles.read_bytes()
    done = CliRunner().invoke(app, ["flexibility-year", str(path), "-o", str(tmp_path)])
    assert done.exit_code == 2
    assert "it cannot be written: it is the profiles of" in " ".join(done.stderr.split())
    assert profiles.read_bytes() == before


def test_the_bundled_year_names_a_day_of_the_project() -> None:
    content = tomllib.loads(year_path("dres2market").read_text(encoding="utf-8"))
    assert day_path(content["day"]).is_file()
