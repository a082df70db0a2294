"""The file of a procurement case over a day: what is read, every fault, the command's result."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command_line import run
from day_cases import feeders, interval, random_day
from hypothesis import given, settings
from hypothesis import strategies as st
from pictures import saved_figures, words
from presence import there
from sampling import examples

from gateway.flexibility.case_loading import SetChoice
from gateway.flexibility.day_loading import load_day, read_day
from gateway.flexibility.procurement_result import ProcurementFile
from gateway.formats.faults import InputFaults
from gateway.formats.input_files import bundled

DAY = "bundled:feeder-12bus-day"
MINUTES = 0.5


def read(content: dict[str, Any]):
    return read_day(json.dumps(content).encode(), "case")


def faults(content: dict[str, Any]) -> list[str]:
    with pytest.raises(InputFaults) as caught:
        read(content)
    return [str(each) for each in caught.value.faults]


def written(folder: Path, case: dict[str, Any]) -> Path:
    path = folder / "case.json"
    path.write_text(json.dumps(case), encoding="utf-8")
    return path


@settings(max_examples=examples(10))
@given(st.integers(0, 10_000), st.integers(1, 5))
def test_an_interval_is_read_as_the_case_of_that_interval_alone(seed, count):
    case = random_day(seed, count, terms=False)
    day = read(case)
    assert day.minutes == 30
    assert day.names == ("17:00", "17:30", "18:00", "18:30", "19:00")[:count]
    for t, part in enumerate(day.parts):
        alone = read(interval(case, t)).parts[0]
        own, other = part.network, alone.network
        assert own.reactive_ratio == pytest.approx(other.reactive_ratio)
        power = there(own.passive).power_pu * own.base_power_w
        assert power == pytest.approx(there(other.passive).power_pu * other.base_power_w)
        sizes = [each.power_pu * own.base_power_w for each in part.offers]
        assert sizes == pytest.approx([o.power_pu * other.base_power_w for o in alone.offers])
        prices = [each.price / own.base_power_w for each in part.offers]
        assert prices == pytest.approx([o.price / other.base_power_w for o in alone.offers])
    assert len({part.network.base_power_w for part in day.parts}) == 1
    assert day.coupling is None


def test_terms_are_whole_intervals_rounded_to_the_safe_side():
    case = random_day(0, 5, terms=False)
    offer = case["offers"][0]
    case["terms"] = [
        {"pod": offer["pod"], "direction": offer["direction"], "energy_kwh": 10.0, "ramp_kw": 4.0,
         "least_kw": 1.0, "shortest_minutes": 40, "longest_minutes": 80, "rest_minutes": 31}
    ]  # fmt: skip
    day = read(case)
    (terms,) = there(day.coupling).terms
    unit = day.parts[0].network.base_power_w / 1e3
    assert (terms.shortest, terms.longest, terms.rest) == (2, 2, 2)
    assert terms.energy * unit * MINUTES == pytest.approx(10.0)
    assert (terms.ramp * unit, terms.least * unit) == pytest.approx((4.0, 1.0))


def day(**changes: Any) -> dict[str, Any]:
    return random_day(1, 3, terms=False) | changes


def term(**changes: Any) -> dict[str, Any]:
    offer = day()["offers"][0]
    return day(terms=[{"pod": offer["pod"], "direction": offer["direction"]} | changes])


def pod(**changes: Any) -> dict[str, Any]:
    content = day()
    content["pods"][0] |= changes
    return content


def without_intervals(**changes: Any) -> dict[str, Any]:
    content = day() | changes
    del content["intervals"]
    return content


LOAD = day()["pods"][0]["p_kw"]


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (pod(p_kw=[1.0, 2.0]), "pods.0.p_kw: it has 2 numbers for 3 intervals"),
        (pod(p_kw=[]), "pods.0.p_kw: it has 0 numbers for 3 intervals"),
        (pod(p_kw=[*LOAD[:2], "x"]), "pods.0.p_kw: at 18:00: it should be a valid number"),
        (pod(p_kw=[*LOAD[:2], None]), "pods.0.p_kw: at 18:00: it should be a valid number"),
        (pod(p_kw=[*LOAD[:2], float("nan")]), "pods.0.p_kw: at 18:00: it should be a"),
        (pod(half_band_percent=[1, 2, 101]), "pods.0.half_band_percent: at 18:00: it should be"),
        (pod(p_kw=[LOAD[0], 0.0, LOAD[2]]), "pod:1: at 17:30: its p_kw is 0, so that P and Q"),
        (pod(p_kw=[0.01, *LOAD[1:]]), "pod:1: at 17:00: it offers"),
        (day(intervals={"minutes": 0, "count": 3}), "intervals.minutes: it should be greater"),
        (day(intervals={"minutes": 30}), "intervals.count: it is missing"),
        (day(intervals={"minutes": 30, "count": 3, "start": "24:00"}), "intervals.start: "),
        (day(intervals=[]), "intervals: "),
        (
            day(intervals={"minutes": 30, "count": 3, "start": "23:00"}),
            "intervals: 3 intervals of 30 minutes from 23:00 end 30 minutes after the day",
        ),
        (without_intervals(), "pods.0.p_kw: it should be a valid number, found ["),
        (term(pod=77), "pod:77 upward: it has terms over time, but offers nothing"),
        (term(energy_kwh=0), "terms.0.energy_kwh: it should be greater than 0"),
        (term(energy=1), "terms.0.energy: there is no such entry"),
        (term(longest_minutes=20), "pod:1 upward: its longest activation, 20 minutes, is shorter"),
        (term(shortest_minutes=30), "pod:1 upward: it has shortest_minutes without least_kw"),
        (
            term(shortest_minutes=60, least_kw=1, longest_minutes=50),
            "pod:1 upward: its longest activation, 50 minutes, is shorter than its shortest, 60",
        ),
        (
            term(shortest_minutes=120, least_kw=1),
            "pod:1 upward: its shortest activation, 120 minutes, is longer than all intervals",
        ),
        (
            day(terms=[*term()["terms"], *term()["terms"]]),
            "pod:1 upward: it has terms twice",
        ),
    ],
)
def test_a_fault_is_a_sentence_that_names_element_and_interval(content, sentence):
    found = faults(content)
    assert any(each.startswith(sentence) for each in found), found


def test_offers_that_follow_from_loads_and_generation_cannot_be_coupled():
    content = day()
    del content["offers"]
    entry = content["pods"][0]
    entry["p_kw"] = [10.0, -10.0, 10.0]
    entry["q_kvar"] = [1.0, -1.0, 1.0]
    assert [len(part.offers) for part in read(content).parts] == [2, 2, 2]
    content["terms"] = [{"pod": 1, "direction": "upward", "energy_kwh": 1.0}]
    assert any(each.startswith("offers: ") for each in faults(content))


def test_a_resource_may_offer_nothing_in_an_interval():
    content = day()
    content["offers"][0]["to_kw"][1] = 0.0
    assert [part.offers[0].power_pu > 0.0 for part in read(content).parts] == [True, False, True]


@settings(max_examples=examples(5))
@given(st.integers(0, 10_000))
def test_needs_are_the_limits_exceeded_at_the_worst_vertex_of_an_interval(tmp_path_factory, seed):
    case = random_day(seed, 3, terms=False)
    path = tmp_path_factory.mktemp("days")
    run("procure", written(path, case), "-o", path / "r.json")
    content = ProcurementFile.model_validate_json((path / "r.json").read_bytes())
    assert content.interval_minutes == 30
    limit = case["current_limit_a"]["1-2"]
    for feeder, each in zip(feeders(case), content.cases, strict=True):
        nothing = np.zeros(len(feeder.load))
        worst = feeder.worst_current_a(0, nothing)
        found = {need.element: need for need in each.needs}
        assert ("branch:1-2" in found) == (worst > limit * (1.0 + 1e-9))
        if "branch:1-2" in found:
            need = found["branch:1-2"]
            assert need.value == pytest.approx(worst, rel=1e-8)
            assert need.excess == pytest.approx(worst - limit, rel=1e-6, abs=1e-8 * limit)
            expected = np.array([entry.expected_kw for entry in need.worst]) * 1e3
            assert expected == pytest.approx(feeder.load.real)
            loads = np.array([entry.worst_kw for entry in need.worst]) * 1e3 / expected - 1.0
            there_a = feeder.currents_a(nothing, loads)[0, 0]
            assert there_a == pytest.approx(worst, rel=1e-8)


@pytest.mark.slow
def test_the_bundled_day_shifts_activations_to_whom_terms_allow_it(tmp_path):
    with saved_figures() as figures:
        done = run(
            "procure", DAY, "--ac-exact", "-o", tmp_path / "r.json", "--plot", tmp_path / "p.png"
        )
    assert done.exit_code == 0, done.output
    assert "activated, kW" in words(figures[0])
    content = ProcurementFile.model_validate_json((tmp_path / "r.json").read_bytes())
    assert [each.interval for each in content.cases if each.needs] == [
        "17:00",
        "18:00",
        "19:00",
        "20:00",
    ]
    power: dict[str, list[float]] = {}
    for each in content.cases:
        for active in there(each.outcome).activated:
            power.setdefault(active.resource, []).append(active.activated_kw)
    assert sum(power["pod:4"]) == pytest.approx(220.0, abs=1e-4)
    assert sum(kw > 1e-6 for kw in power["pod:4"]) == 3
    assert np.abs(np.diff([0.0, *power["pod:2"]])).max() <= 40.0 + 1e-6
    assert power["pod:7"][20] > 1.0
    cost = sum(there(each.outcome).cost_eur_per_h for each in content.cases)
    assert cost == pytest.approx(369.55, abs=0.01)
    for each in content.cases:
        assert there(there(each.outcome).adversary_after).percent <= 100.0
    alone = json.loads(bundled("flexibility/feeder-12bus-day.json").read_text())
    del alone["terms"]
    run("procure", written(tmp_path, alone), "--ac-exact", "-o", tmp_path / "s.json")
    content = ProcurementFile.model_validate_json((tmp_path / "s.json").read_bytes())
    cost = sum(there(each.outcome).cost_eur_per_h for each in content.cases)
    assert cost == pytest.approx(350.34, abs=0.01)


def test_the_table_of_a_day_has_the_intervals_with_needs_and_the_sums():
    shown = run("procure", DAY).stdout
    assert "17:00" in shown
    assert "12:00" not in shown
    assert "4 of 24 intervals have a need; activated: " in shown


def test_a_day_that_lacks_energy_names_the_interval(tmp_path):
    content = json.loads(bundled("flexibility/feeder-12bus-day.json").read_text())
    content["terms"] = [
        {"pod": each["pod"], "direction": "upward", "energy_kwh": 30} for each in content["offers"]
    ]
    done = run("procure", written(tmp_path, content), "-o", tmp_path / "r.json")
    assert done.exit_code == 1
    assert "no activation at 18:00: branch:2-3: it cannot be relieved" in done.output
    assert "its offers are coupled with those of" in done.output
    result = ProcurementFile.model_validate_json((tmp_path / "r.json").read_bytes())
    assert any(there(each.shortfall).missing for each in result.cases)


def test_cones_do_not_couple():
    done = run("procure", DAY, "--currents", "cones")
    assert done.exit_code == 2
    assert "cones solve one interval at a time" in done.output
    assert run("procure", DAY, "--currents", "refined").exit_code in (0, 1)


def test_the_bundled_day_has_a_set_of_its_own_in_every_interval():
    loaded = load_day(bundled("flexibility/feeder-12bus-day.json"))
    problems = loaded.problems("2", SetChoice.parse("gamma=3"))
    assert len(problems) == 24
    assert loaded.cases == ("2",)
