"""The bundled day of time-shiftable offers by hand, faults of such files, and the command."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from gateway.cli.main import app
from gateway.flexibility.day.case import day_path, load_day
from gateway.flexibility.day.result import (
    FlexibilityDayResult,
    ForecastResult,
    SettlementResult,
    SpotSessionResult,
    all_is_met,
)
from gateway.flexibility.day.running import run_flexibility_day
from gateway.flexibility.day.shift_result import ShiftResult
from gateway.formats.faults import InputFaults


def ran(folder: Path, change: Callable[[dict[str, Any]], object]) -> FlexibilityDayResult:
    case = tomllib.loads(day_path("goflex").read_text(encoding="utf-8"))
    change(case)
    path = folder / "day.json"
    path.write_text(json.dumps(case, default=lambda t: t.isoformat()), encoding="utf-8")
    return run_flexibility_day(load_day(path))


def shift_of(result: FlexibilityDayResult) -> ShiftResult:
    phase = result.phases[2]
    assert isinstance(phase, ShiftResult)
    return phase


@pytest.fixture(scope="module")
def goflex() -> FlexibilityDayResult:
    return run_flexibility_day(load_day(day_path("goflex")))


def test_plans_are_in_the_forecast(goflex: FlexibilityDayResult) -> None:
    """18:00: households 25, cars 14, boiler 3: 42 of 40 kW.  19:00: 30 + 14 + 3 = 47."""
    forecast = goflex.phases[1]
    assert isinstance(forecast, ForecastResult)
    found = [(e.interval.hour, e.flow_w, e.excess_w) for e in forecast.exceeded]
    assert found == [(18, 42_000, 2_000), (19, 47_000, 7_000)]


def test_the_aggregate_of_both_cars_goes_to_the_evening(goflex: FlexibilityDayResult) -> None:
    """It has 14 kW for two hours.

    Begun at 19:00 it leaves 47 kW there, at 20:00 it leads to 28 + 14 = 42 kW; at 21:00 to 34.
    Each car is paid 14 kWh at 0.01 and three hours at 0.10: 0.44 EUR.  The boiler's 3 kW alone
    would not relieve 19:00, and would cost more beside the cars.
    """
    shift = shift_of(goflex)
    members = {e.offer: (e.start.hour, e.watts, e.amount_eur) for e in shift.members if e.called}
    assert members == {
        "charge 1": (21, [7_000, 7_000], "0.44"),
        "charge 2": (21, [7_000, 7_000], "0.44"),
    }
    flows = [(e.interval.hour, e.before_w, e.after_w, e.overloaded) for e in shift.flows]
    assert flows == [(18, 42_000, 28_000, False), (19, 47_000, 33_000, False)]
    assert shift.outcome.cost_eur == "0.88"
    assert all_is_met(goflex)


def test_what_aggregation_gives_away(goflex: FlexibilityDayResult) -> None:
    """One car alone would do: begun at 20:00, 14 kWh at 0.01 and two hours at 0.10, 0.34 EUR.

    It leaves 35, 40, 35 and 27 kW from 18:00 on.  Together the cars may be shifted by three hours
    each, one by one by four and three; the boiler by one.
    """
    shift = shift_of(goflex)
    assert shift.alone is not None
    assert (shift.alone.cost_eur, shift.alone.missing_kwh) == ("0.34", "0")
    assert shift.flexibility.time_intervals == 4 + 3 + 1
    assert shift.aggregated_flexibility.time_intervals == 3 + 3 + 1
    # The boiler's total is bound: its slices have ranges of 3 x 3 kWh, its total of none.
    assert (shift.flexibility.width_kwh, shift.flexibility.total_kwh) == ("9", "0")


def test_the_buyer_pays_the_manager_of_the_cars(goflex: FlexibilityDayResult) -> None:
    settled = goflex.phases[3]
    assert isinstance(settled, SettlementResult)
    assert settled.balances_eur == {"dso": "-0.88", "manager-a": "0.88"}
    assert settled.activated_w["car 1"] == [7_000, 7_000, 0, -7_000, -7_000, 0]
    told = {(e.sender, e.receiver, e.subject): e.messages for e in shift_of(goflex).told}
    assert told["car 1", "manager-a", "flex-offer"] == 1
    assert told["manager-a", "market", "FlexOffer"] == 1, "the market sees the aggregate"
    assert told["manager-a", "car 2", "schedule"] == 1


def test_one_by_one_a_single_car_goes(tmp_path: Path) -> None:
    shift = shift_of(ran(tmp_path, lambda c: c["phases"][2].update(members=1)))
    (called,) = [each for each in shift.members if each.called]
    assert (called.start.hour, called.amount_eur) == (20, "0.34")
    assert shift.alone == shift.outcome


def test_what_is_dearer_than_the_need_is_not_called(tmp_path: Path) -> None:
    """9 kWh of relief at 0.09 are worth 0.81 EUR, less than the 0.88 of the cars.

    The boiler, begun at 19:00 with 0, 3 and 3 kW, relieves 2 and 3 kWh for 0.06 + 0.02 EUR: it is
    called down to 0.016 EUR/kWh.
    """
    result = ran(tmp_path, lambda c: c["phases"][1].update(cap_eur_per_kwh="0.09"))
    shift = shift_of(result)
    called = [(e.offer, e.start.hour, e.watts, e.amount_eur) for e in shift.members if e.called]
    assert called == [("hot water", 19, [0, 3_000, 3_000], "0.08")]
    assert [(e.interval.hour, e.missing_w) for e in shift.shortfalls] == [(19, 4_000)]
    assert not all_is_met(result)
    result = ran(tmp_path, lambda c: c["phases"][1].update(cap_eur_per_kwh="0.0159"))
    shift = shift_of(result)
    assert not any(each.called for each in shift.members)
    assert [(e.interval.hour, e.missing_w) for e in shift.shortfalls] == [(18, 2_000), (19, 7_000)]
    assert shift.outcome.missing_kwh == "9"


def test_a_target_is_followed_where_it_is_worth_it(tmp_path: Path) -> None:
    """Nothing is exceeded with 1 MW; wanted is the boiler's 3 kW two hours from 19:00 on.

    Its shift by an hour costs 0.02 and its 6 kWh 0.06; the cars stay, so 3 kWh less at 18:00 and 3
    more at 20:00 are worth 6 x 0.10.
    """

    def change(case: dict[str, Any]) -> None:
        case["network"]["branches"][0]["rating_mw"] = 1.0
        target = [-14_000, -17_000, -3_000, 0, 0, 0]
        case["phases"][2].update(target_w=target, deviation_eur_per_kwh="0.10")

    shift = shift_of(ran(tmp_path, change))
    # Called without a shift, its first slice may also be 0: that is cheaper by 0.02.
    called = [(e.offer, e.start.hour, e.watts, e.amount_eur) for e in shift.members if e.called]
    assert called == [("hot water", 18, [0, 3_000, 3_000], "0.06")]
    assert (shift.outcome.deviation_kwh, shift.outcome.missing_kwh) == ("0", "0")


def test_what_a_spot_session_leaves_a_shift_may_meet(tmp_path: Path) -> None:
    spot = {"type": "spot", "name": "spot"}
    result = ran(tmp_path, lambda c: c["phases"].insert(2, spot))
    left = result.phases[2]
    assert isinstance(left, SpotSessionResult)
    assert [each.missing_w for each in left.shortfalls] == [2_000, 7_000]
    assert all_is_met(result)
    before = ran(tmp_path, lambda c: c["phases"].insert(3, spot)).phases[3]
    assert isinstance(before, SpotSessionResult)
    assert not before.shortfalls


def test_prices_of_energy_are_those_of_half_an_hour_where_intervals_are(tmp_path: Path) -> None:
    """Each car takes 7 kWh in its two half-hours: 0.07 EUR, and 0.10 for each of three shifts."""

    def change(case: dict[str, Any]) -> None:
        case["interval_min"] = 30
        latest = ("20:00", "19:30", "18:30")
        for each, hour in zip(case["shiftable_offers"], latest, strict=True):
            each["latest"] = f"2027-01-18T{hour}:00Z"
        case["shiftable_offers"][2].update(least_wh=3_000, most_wh=3_000)

    shift = shift_of(ran(tmp_path, change))
    assert [e.amount_eur for e in shift.members if e.called] == ["0.37", "0.37"]
    assert (shift.outcome.cost_eur, shift.flexibility.width_kwh) == ("0.74", "4.5")
    assert shift.alone is not None
    assert shift.alone.cost_eur == "0.27"  # one car: 7 kWh, two shifts


FAULTS: list[tuple[Callable[[dict[str, Any]], object], str]] = [
    (
        lambda c: c["shiftable_offers"][0].update(latest="2027-01-18T23:00:00Z"),
        "shiftable_offers.charge 1: it may end with interval 7 of 6",
    ),
    (
        lambda c: c["shiftable_offers"][0].update(latest="2027-01-18T17:00:00Z"),
        "latest 2027-01-18T17:00:00Z is not a start of an interval",
    ),
    (
        lambda c: c["shiftable_offers"][1].update(earliest="2027-01-18T22:00:00Z"),
        "shiftable_offers.charge 2: it begins from interval 4 to 3",
    ),
    (lambda c: c["shiftable_offers"][0].update(slices_w=[[2, 1]]), "slice 0 is from 2 to 1 W"),
    (
        lambda c: c["shiftable_offers"][0].update(slices_w=[[0, 7_001]]),
        "a slice has 7,001 W, car 1 can go up by 7,000 W and down by 7,000 W",
    ),
    (
        lambda c: c["shiftable_offers"][2].update(least_wh=9_001, most_wh=9_001),
        "its total is from 9001 to 9001 watt-intervals, its slices allow 0 to 9000",
    ),
    (
        lambda c: (c.update(interval_min=7), c["shiftable_offers"][2].update(least_wh=1)),
        "1 Wh are not whole watts for intervals of 7 min",
    ),
    (
        lambda c: c["shiftable_offers"][0].update(shift_eur="0.00001"),
        "price 0.00001 EUR is not in whole ticks",
    ),
    (lambda c: c["shiftable_offers"][0].update(resource="x"), "there is no resource x"),
    (lambda c: c["shiftable_offers"][0].update(product="x"), "there is no product x"),
    (
        lambda c: c["shiftable_offers"][0].update(resource="car 2"),
        "shiftable_offers.charge 2: car 2 has one already, charge 1",
    ),
    (lambda c: c["products"][0].update(directions=["upward"]), "shift is not traded both ways"),
    (
        lambda c: c["products"][0].update(priced=["availability"]),
        "it has a price, shift has no utilisation price",
    ),
    (lambda c: c["phases"][2].update(product="x"), "phases.shift: there is no product x"),
    (lambda c: c["phases"][2].update(buyer="x"), "phases.shift: there is no party x"),
    (lambda c: c["phases"][2].update(buyer="market"), "its buyer market is a market, shift is for"),
    (lambda c: c["phases"][2].update(target_w=0), "target_w and deviation_eur_per_kwh go together"),
    (
        lambda c: c["phases"][2].update(target_w=[0], deviation_eur_per_kwh="1"),
        "target_w has 1 values, the day 6 intervals",
    ),
    (lambda c: c.pop("network"), "phases.shift: it needs a network or a target, and has neither"),
]


@pytest.mark.parametrize(("change", "said"), FAULTS)
def test_a_fault_of_a_file_is_named(
    change: Callable[[dict[str, Any]], object], said: str, tmp_path: Path
) -> None:
    with pytest.raises(InputFaults, match=re.escape(said)):
        ran(tmp_path, change)


def test_the_command_shows_schedules_and_what_aggregation_gave_away() -> None:
    shown = CliRunner().invoke(app, ["flexibility-day", "goflex"], terminal_width=200)
    assert shown.exit_code == 0
    assert "in aggregates 0.88 EUR, 0 kWh missing; one by one 0.34 EUR, 0 kWh" in shown.stdout
    assert "shifts 7 of 8 intervals" in shown.stdout
    assert "balances, EUR: dso -0.88, manager-a 0.88" in shown.stdout
