"""Intervals with forecasts and capacities of their own: each is what one would write by hand."""

from __future__ import annotations

from datetime import datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pandapower as pp
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import simbench
from command_line import run
from hypothesis import HealthCheck, Phase, example, given, settings
from hypothesis import strategies as st
from others_warnings import others_warnings_ignored
from presence import there
from profile_tables import (
    DAY,
    POWERS_W,
    START,
    WITH_GENERATORS,
    net_with_generators,
    scenario_text,
    time_of,
    write_table,
)
from scenario_files import GOOD, faults_of, load

from doe_allocation.allocation.grid import Grid
from gateway.formats import optional_packages
from gateway.scenario.intervals import Span
from gateway.scenario.network_states import Model
from gateway.scenario.profiles.powers import build_power_profile
from gateway.scenario.schema import ProfilesSection
from security_check.errors import Fault, InsecureError
from security_check.model.limits import InterfaceLimits
from security_check.model.network import Network


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    pp.to_json(net_with_generators(), str(tmp_path / "net.json"))
    return tmp_path


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Network:
    folder = tmp_path_factory.mktemp("network")
    pp.to_json(net_with_generators(), str(folder / "net.json"))
    return load(folder, WITH_GENERATORS).ac_network


watts = st.integers(-9_000, 9_000)
halves = st.integers(0, 3_000)


def outcome(grid: Grid, limits: InterfaceLimits) -> list[int] | str:
    """Return the envelopes, or why there are none: bands keep the ratio of var to W."""
    try:
        return grid.allocate(limits).limits_w.tolist()
    except InsecureError as error:
        return str(error)


@pytest.mark.slow
@settings(
    max_examples=5,
    deadline=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)
@given(
    rows=st.lists(st.tuples(watts, watts, watts, halves), min_size=2, max_size=3),
    banded=st.booleans(),
)
@example(rows=[(-9_000, -49, 3_797, 2_999), (2_448, 8_999, 9_000, 672)], banded=True)
def test_an_interval_is_what_one_would_write_by_hand(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[int, ...]], banded: bool
) -> None:
    folder = tmp_path_factory.mktemp("day")
    pp.to_json(net_with_generators(), str(folder / "net.json"))
    columns: dict[str, list[Any]] = {
        "sgen:1": [row[0] for row in rows],
        "sgen:2": [row[1] for row in rows],
        "sgen:2.reactive": [row[2] for row in rows],
        "storage:0": [row[3] for row in rows],
    }
    if banded:
        columns["sgen:2.lower"] = [row[1] - row[3] for row in rows]
        columns["sgen:2.upper"] = [row[1] + row[3] for row in rows]
    write_table(folder / "powers.csv", columns)
    day = load(folder, scenario_text(len(rows), POWERS_W))
    grid = None
    for k, row in enumerate(rows):
        net = net_with_generators()
        net.sgen.loc[1, ["p_mw", "q_mvar"]] = row[0] / 1e6, row[0] / 4e6  # as before, 1 to 4
        net.sgen.loc[2, ["p_mw", "q_mvar"]] = row[1] / 1e6, row[2] / 1e6
        net.storage.loc[0, "p_mw"] = -row[3] / 1e6  # a storage counts what it draws
        pp.to_json(net, str(folder / "net.json"))
        band = f'\n[uncertainty]\nabsolute_w = {{"sgen:2" = {row[3]}}}\n' if banded else ""
        alone = load(folder, WITH_GENERATORS + band)
        forecast, expected = there(day.forecast_series).forecast(k), alone.forecast
        np.testing.assert_allclose(forecast.power_pu, expected.power_pu, atol=1e-12)
        moved = np.abs(forecast.deviations.power_pu.toarray()).sum()
        assert moved == pytest.approx(np.abs(expected.deviations.power_pu.toarray()).sum())
        grid = day.grid_in(k, grid)
        found = outcome(grid, day.interface_limits)
        by_hand = outcome(alone.grid(), alone.interface_limits)
        if isinstance(by_hand, str):
            assert found == by_hand
        else:
            assert not isinstance(found, str)
            np.testing.assert_allclose(found, by_hand, atol=1)


def test_factors_are_of_what_the_network_says(folder: Path) -> None:
    factors = [0.0, 0.3, 1.0, -0.5]
    write_table(folder / "powers.csv", {"sgen:1": factors, "storage:0": factors})
    day = load(folder, scenario_text(4, POWERS_W.replace('"w"', '"factor"')))
    passive, powers = there(day.ac_network.passive), there(there(day.forecast_series).powers)
    for k, factor in enumerate(factors):
        power = powers.power_pu(k)
        part = np.array([factor if e in ("sgen:1", "storage:0") else 1 for e in passive.elements])
        np.testing.assert_allclose(power, part * passive.power_pu, atol=1e-15)


def test_parquet_says_what_csv_says(folder: Path) -> None:
    columns: dict[str, list[Any]] = {"sgen:1": [5000, -2500.5], "sgen:1.reactive": [0, 100]}
    write_table(folder / "powers.csv", columns)
    starts = pa.array([START, START + timedelta(minutes=15)], pa.timestamp("ms", tz="Asia/Tokyo"))
    pq.write_table(pa.table({**columns, "start": starts}), folder / "powers.parquet")
    by_csv, by_parquet = (
        there(there(load(folder, scenario_text(2, text)).forecast_series).powers)
        for text in (POWERS_W, POWERS_W.replace("csv", "parquet"))
    )
    for k in range(2):
        np.testing.assert_array_equal(by_csv.power_pu(k), by_parquet.power_pu(k))


def test_bands_grow_with_the_horizon_up_to_a_most(folder: Path) -> None:
    write_table(folder / "powers.csv", {"sgen:1": [20_000] * 9})
    more = """
[uncertainty]
relative = {"sgen:1" = 0.1, "sgen:0" = 0.2}
relative_per_hour = {"sgen:1" = 0.2}
relative_at_most = 0.5
issued = 2016-05-01T23:00:00Z
"""
    day = load(folder, scenario_text(9, POWERS_W + more))
    base_w, limits = day.ac_network.base_power_w, []
    grid = None
    for k in range(9):
        deviations = there(day.forecast_series).forecast(k).deviations
        band_w = np.abs(deviations.power_pu.toarray().real).sum(axis=0) * base_w
        assert deviations.elements == ("sgen:0", "sgen:1")
        assert band_w[0] == pytest.approx(0.2 * 10_000)
        assert band_w[1] == pytest.approx(min(0.1 + 0.2 * (1 + k / 4), 0.5) * 20_000)
        grid = day.grid_in(k, grid)
        limits.append(grid.allocate(day.interface_limits).limits_w.sum())
    assert all(later <= earlier for earlier, later in pairwise(limits))
    assert limits[-1] < limits[0]


def test_capacities_may_change_from_interval_to_interval(folder: Path) -> None:
    capacities = {"load:1.injection_w": [0, 700, 30_000], "load:0.withdrawal_w": [5, 6, 7]}
    write_table(folder / "capacities.csv", capacities)
    text = GOOD + DAY.format(count=3) + '\n[profiles]\ncapacities = "capacities.csv"\n'
    day, grid = load(folder, text), None
    for k in range(3):
        by_hand = GOOD.replace(
            "injection_w = 30000",
            f'injection_w = {{default = 30000, "load:1" = {capacities["load:1.injection_w"][k]}}}',
            1,
        ).replace("withdrawal_w = 20000", f'withdrawal_w = {{default = 20000, "load:0" = {5 + k}}}')
        alone = load(folder, by_hand)
        np.testing.assert_array_equal(day.capacity_in(k).upper_w(), alone.capacity.upper_w())
        grid = day.grid_in(k, grid)
        found = grid.allocate(day.interface_limits).limits_w
        np.testing.assert_allclose(
            found, alone.grid().allocate(alone.interface_limits).limits_w, atol=1
        )


SIMBENCH = """
[network]
source = "simbench:1-LV-rural1--0-sw"
connection_points = "sgen"
passive = "as-given"
[interface]
voltage_min_pu = 0.98
voltage_max_pu = 1.04
[capacity]
injection_w = 5000
withdrawal_w = 5000
[profiles]
powers = "simbench"
[intervals]
start = {start}
count = {count}
"""


@pytest.mark.parametrize(
    "start",
    ["2016-01-30T22:30:00Z", pytest.param("2016-07-01T10:00:00Z", marks=pytest.mark.slow)],
)
def test_simbench_profiles_are_simbenchs_absolute_values(tmp_path: Path, start: str) -> None:
    day = load(tmp_path, SIMBENCH.format(start=start, count=5))
    with others_warnings_ignored():
        net = simbench.get_simbench_net("1-LV-rural1--0-sw")
        values = simbench.get_absolute_values(net, True)
    local = datetime.fromisoformat(start).astimezone(ZoneInfo("Europe/Berlin"))
    (first,) = np.flatnonzero(net.profiles["load"]["time"] == f"{local:%d.%m.%Y %H:%M}")
    elements = there(day.ac_network.passive).elements
    powers = there(there(day.forecast_series).powers)
    assert elements == tuple(f"load:{i}" for i in net.load.index)
    for k in range(5):
        own = values["load", "p_mw"].loc[first + k] + 1j * values["load", "q_mvar"].loc[first + k]
        power_mw = -powers.power_pu(k) * day.ac_network.base_power_w / 1e6
        np.testing.assert_allclose(power_mw, own.to_numpy(), rtol=1e-12, atol=1e-15)


@pytest.mark.slow
def test_simbenchs_year_has_every_interval_and_no_other(tmp_path: Path) -> None:
    year = SIMBENCH.format(start="2015-12-31T23:00:00Z", count=366 * 96)
    assert len(load(tmp_path, year).intervals) == 35_136
    found = faults_of(tmp_path, SIMBENCH.format(start="2016-12-31T22:30:00Z", count=4))
    (detail,) = found["simbench profiles of load"]
    assert "no row for 2016-12-31T23:00:00Z" in detail
    assert "from 2015-12-31T23:00:00Z to 2016-12-31T22:45:00Z" in detail
    assert "1 more" in detail


def test_only_simbench_networks_have_profiles_of_their_own(folder: Path) -> None:
    found = faults_of(folder, scenario_text(1, '\n[profiles]\npowers = "simbench"\n'))
    assert "this network has no profiles" in found["profiles.powers"][0]


ROWS = [[time_of(k), "5000", "100"] for k in range(3)]
HEADER = "start,sgen:1,sgen:2"


def changed(row: int, column: int, text: str) -> str:
    rows = [list(each) for each in ROWS]
    rows[row][column] = text
    return "\n".join([HEADER, *(",".join(each) for each in rows)]) + "\n"


PLAIN = changed(0, 1, "5000")


@pytest.mark.parametrize(
    ("table", "element", "words"),
    [
        (changed(1, 1, "nan"), "sgen:1", "powers.csv line 3, 2016-05-02T00:15:00Z: 'nan' is no"),
        (changed(2, 2, ""), "sgen:2", "line 4, 2016-05-02T00:30:00Z: '' is not a finite number"),
        (changed(2, 2, "1_000"), "sgen:2", "'1_000' is not a finite number"),
        (changed(0, 1, "9e9"), "sgen:1", "9,000,000,000 W is more than 100 times its 20,000 W"),
        (changed(0, 0, "2016-05-02T00:00:00"), "powers.csv line 2", "no offset"),
        (changed(0, 0, "soon"), "powers.csv line 2", "start is 'soon': it is not a time"),
        (changed(1, 0, time_of(0)), "powers.csv line 3", "has a line already, 2"),
        (changed(1, 0, time_of(7)), "powers.csv", "1 of 3 intervals have no line"),
        (changed(1, 0, time_of(7)), "powers.csv", "first of them starts at 2016-05-02T00:15:00Z"),
        (changed(1, 0, "2016-05-02T00:20:00Z"), "powers.csv line 3", "inside an interval of 15"),
        (PLAIN.replace("sgen:2", "sgen:9"), "sgen:9", "not a passive element"),
        (PLAIN.replace("sgen:2", "load:1"), "load:1", "not a passive element"),
        (PLAIN.replace("sgen:2", "sgen:1"), "sgen:1", "has it 2 times"),
        (PLAIN.replace("sgen:2", "sgen:1.upper"), "sgen:1.upper", "no column sgen:1.lower"),
        (PLAIN.replace("sgen:2", "sgen:2.lower"), "sgen:2.lower", "no column sgen:2"),
        (PLAIN.replace("start,", "begin,"), "profiles.powers", 'no column "start"'),
        (PLAIN.replace(",100\n", "\n", 1), "powers.csv line 2", "2 cells, the first line has 3"),
        (
            "start,sgen:1,sgen:1.lower,sgen:1.upper\n"
            + "\n".join(f"{time_of(k)},{10 * k},0,15" for k in range(3)),
            "sgen:1",
            "line 4, 2016-05-02T00:30:00Z: 20 is outside its band, 0 to 15",
        ),
    ],
)
def test_faults_name_column_row_time_and_number(
    network: Network, tmp_path: Path, table: str, element: str, words: str
) -> None:
    (tmp_path / "powers.csv").write_text(table)
    span = Span([START + k * timedelta(minutes=15) for k in range(3)], timedelta(minutes=15))
    section, model = ProfilesSection(powers="powers.csv", unit="w"), Model(network, (), None)
    faults: list[Fault] = []
    assert build_power_profile(section, model, network, span, tmp_path, faults) is None
    found = [fault.detail for fault in faults if fault.element == element]
    assert any(words in detail for detail in found), faults


@pytest.mark.parametrize(
    ("more", "element", "words"),
    [
        ('[profiles]\npowers = "powers.csv"', "profiles.unit", 'it is missing: "w" (watts)'),
        ('[profiles]\nunit = "w"', "profiles.unit", "profiles.powers is not"),
        ('[profiles]\npowers = "powers.csv"\nunit = "kw"', "profiles.unit", "'w' or 'factor'"),
        ('[profiles]\npowers = "powers.csv"\nunit = "factor"', "sgen:1", 'is profiles.unit "w"?'),
        ('[profiles]\npowers = "none.csv"\nunit = "w"', "profiles.powers", "cannot be read"),
        ('[profiles]\npowers = "powers.xls"\nunit = "w"', "profiles.powers", ".parquet"),
        (
            '[profiles]\ncapacities = "powers.csv"',
            "sgen:1",
            "not a connection point of the network with .injection_w or",
        ),
        ('[profiles]\ncapacities = "capacities.csv"', "load:0.injection_w", "2.5 is not a whole"),
        (
            "[uncertainty]\nrelative_per_hour = 0.1\nrelative = 0.4\nrelative_at_most = 0.3",
            "sgen:0",
            "begins at 0.4, above relative_at_most, 0.3",
        ),
        ("[uncertainty]\nrelative_at_most = 0.3", "uncertainty.relative_at_most", "no band grows"),
        (
            "[uncertainty]\nissued = 2016-05-02T01:00:00Z",
            "uncertainty.issued",
            "after the start of the first interval",
        ),
        ('[uncertainty]\nrelative_per_hour = {"load:0" = 0.1}', "load:0", "not a passive element"),
    ],
)
def test_faults_of_the_sections(folder: Path, more: str, element: str, words: str) -> None:
    (folder / "powers.csv").write_text(PLAIN)
    write_table(folder / "capacities.csv", {"load:0.injection_w": [1, 2.5, 3]})
    found = faults_of(folder, scenario_text(3, more + "\n"))
    assert any(words in detail for detail in found[element]), found


def test_who_has_a_band_of_its_own_is_given_no_other(folder: Path) -> None:
    columns = {"sgen:1": [5, 5], "sgen:1.lower": [0, 0], "sgen:1.upper": [9, 9]}
    write_table(folder / "powers.csv", columns)
    named = '\n[uncertainty]\nrelative = {"sgen:1" = 0.1}\n'
    found = faults_of(folder, scenario_text(2, POWERS_W + named))
    assert "has a band of its own" in found["sgen:1"][0]
    usual = load(folder, scenario_text(2, POWERS_W + "\n[uncertainty]\nrelative = 0.5\n"))
    deviations = there(usual.forecast_series).forecast(0).deviations
    band_w = np.abs(deviations.power_pu.toarray().real).sum(axis=0) * usual.ac_network.base_power_w
    np.testing.assert_allclose(band_w, [5000, 4.5, 2500, 2000])


def test_without_pyarrow_a_sentence_says_what_to_install(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(optional_packages, "find_spec", lambda _: None)
    (folder / "powers.parquet").touch()
    found = faults_of(folder, scenario_text(1, POWERS_W.replace("csv", "parquet")))
    assert "doe-exchange[parquet]" in found["profiles.powers"][0]


def test_the_market_has_one_forecast(folder: Path) -> None:
    write_table(folder / "powers.csv", {"sgen:1": [5000, 6000]})
    (folder / "day.toml").write_text(scenario_text(2, POWERS_W))
    (folder / "orders.jsonl").write_text("")
    result = run("simulate", folder / "day.toml", folder / "orders.jsonl")
    assert result.exit_code == 2
    assert "change from interval to interval" in result.stderr
