"""Days that measure deliveries: platforms by hand, meters in tables, and files with faults."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Callable
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, TypeVar

import pytest
from typer.testing import CliRunner

from gateway.cli.main import app
from gateway.flexibility.day.case import day_path, load_day
from gateway.flexibility.day.delivery.result import (
    ActivationResult,
    MeasurementResult,
    MonitoringResult,
)
from gateway.flexibility.day.result import (
    FlexibilityDayResult,
    SettlementResult,
    SpotSessionResult,
    all_is_met,
)
from gateway.flexibility.day.running import run_flexibility_day
from gateway.formats.faults import InputFaults

Part = TypeVar("Part")
PLATFORMS = ("romeflex", "enera", "cornwall", "interflex")


def content(name: str) -> dict[str, Any]:
    return tomllib.loads(day_path(name).read_text(encoding="utf-8"))


def written(case: dict[str, Any], folder: Path) -> Path:
    path = folder / "day.json"
    path.write_text(json.dumps(case, default=lambda t: t.isoformat()), encoding="utf-8")
    return path


def ran(case: dict[str, Any], folder: Path) -> FlexibilityDayResult:
    return run_flexibility_day(load_day(written(case, folder)))


def bundled(name: str) -> FlexibilityDayResult:
    return run_flexibility_day(load_day(day_path(name)))


def part(result: FlexibilityDayResult, kind: type[Part]) -> Part:
    (found,) = [each for each in result.phases if isinstance(each, kind)]
    return found


def paid(result: FlexibilityDayResult) -> dict[tuple[str, str, str, str], Decimal]:
    """Amounts by cause, subject, payer and payee; each settled part of a subject added up."""
    found: dict[tuple[str, str, str, str], Decimal] = {}
    for each in part(result, SettlementResult).payments:
        key = each.cause, each.subject, each.payer, each.payee
        found[key] = found.get(key, Decimal()) + Decimal(each.amount_eur)
    return found


def energies(result: FlexibilityDayResult) -> dict[str, list[float]]:
    """Ordered, delivered, over and excused, in kWh by order."""
    found = {}
    for each in part(result, MeasurementResult).deliveries:
        own = (each.ordered_wh, each.delivered_wh, each.over_wh, each.excused_wh)
        found[each.order] = [energy / 1e3 for energy in own]
    return found


def flows(result: FlexibilityDayResult) -> list[tuple[str, str, list[float], bool]]:
    """Branch, time, and kW in the forecast, as sold and as measured."""
    found = []
    for each in part(result, MonitoringResult).branches:
        kw = [watts / 1e3 for watts in (each.forecast_w, each.sold_w, each.measured_w)]
        found.append((each.branch, f"{each.interval:%H:%M}", kw, each.overloaded))
    return found


def test_enera_by_hand() -> None:
    """Offers are taken as they arrive: the first for area 11 fills three quarters, at 0.09.

    Area 11: 1,500 kW at 0.09 and 500 at 0.05 for four quarter-hours, 33.75 + 6.25 = 40 EUR each;
    area 12: 400 at 0.06 and 200 at 0.07 for two, 6 + 3.50.  The wind farm delivers 1,200 of
    1,500 kW in one of them: 75 kWh at 0.09 are paid back, 37.5 beyond 10 % of 375 cost 0.05.  The
    storage delivers 100 of 200 kW in one: 25 kWh at 0.07, and 20 beyond 10 % of 50.
    """
    result = bundled("enera")
    taken = {
        (e.interval.minute, e.offer): (e.quantity_w // 1000, e.buyer)
        for e in part(result, SpotSessionResult).awards
    }
    assert {key: own for key, own in taken.items() if key[0] == 45} == {
        (45, "wind early"): (1500, "dso"),
        (45, "electrolyser"): (500, "dso"),
        (45, "heat"): (400, "tso"),
        (45, "storage"): (200, "tso"),
    }
    assert part(result, SpotSessionResult).cost_eur == "179"
    left = {e.offer: e.reason for e in part(result, SpotSessionResult).left_over}
    assert left.pop("heat") == "no_need"  # before 12:30
    assert left == {"electrolyser": "late", "storage": "costlier", "wind late": "late"}
    assert energies(result) == {
        "electrolyser/0": [500, 500, 25, 0],
        "heat rods/2": [200, 200, 0, 0],
        "storage/2": [100, 75, 0, 0],
        "wind farm/0": [1500, 1425, 0, 0],
    }
    assert paid(result) == {
        ("utilisation", "electrolyser", "dso", "hydrogen"): Decimal(25),
        ("utilisation", "heat", "tso", "utility"): Decimal(12),
        ("utilisation", "storage", "tso", "storage-owner"): Decimal(7),
        ("not_delivered", "storage", "storage-owner", "tso"): Decimal("1.75"),
        ("short_delivery", "storage", "storage-owner", "tso"): Decimal(1),
        ("utilisation", "wind early", "dso", "direct-seller"): Decimal(135),
        ("not_delivered", "wind early", "direct-seller", "dso"): Decimal("6.75"),
        ("short_delivery", "wind early", "direct-seller", "dso"): Decimal("1.875"),
    }


def test_enera_reports_each_area_and_branch_by_hand() -> None:
    """At 12:15 the electrolyser takes 100 kW too much, at 12:30 the wind farm 300 too little."""
    result = bundled("enera")
    zones = [
        (e.zone, e.trades, e.sold_wh, e.delivered_wh, e.cost_eur)
        for e in part(result, MonitoringResult).zones
    ]
    assert zones == [
        ("area-11", 8, 2_000_000, 1_925_000, "160"),
        ("area-12", 4, 300_000, 275_000, "19"),
    ]
    assert flows(result) == [
        ("area-11-grid", "12:00", [9000, 7000, 7000], False),
        ("area-11-grid", "12:15", [9000, 7000, 6900], False),
        ("area-11-grid", "12:30", [9000, 7000, 7300], True),
        ("area-12-grid", "12:30", [5600, 5000, 5000], False),
        ("area-11-grid", "12:45", [9000, 7000, 7000], False),
        ("area-12-grid", "12:45", [5600, 5000, 5100], True),
    ]


def test_cornwall_by_hand() -> None:
    """The TSO's highest price lets it have engine and kitchens, the DSO needs the peninsula.

    1,100 kW of 1,200: the kitchens' 400 and 300 of the engine for the TSO, 200 of the engine and
    200 of the battery for the DSO.  The engine delivers 400 of 500 kW in a half-hour: 50 kWh are
    missing, 30 for the TSO and 20 for the DSO, half of them beyond 10 % of 250.
    """
    result = bundled("cornwall")
    session = part(result, SpotSessionResult)
    taken = {
        (f"{e.interval:%H:%M}", e.buyer, e.resource): e.quantity_w // 1000 for e in session.awards
    }
    busy = {("tso", "kitchens"): 400, ("tso", "engine"): 300}
    busy |= {("dso", "engine"): 200, ("dso", "battery"): 200}
    both = {(time, *key): kw for time in ("16:00", "16:30") for key, kw in busy.items()}
    later = {(time, "dso", "engine"): 400 for time in ("17:00", "17:30")}
    assert taken == both | later
    assert session.cost_eur == "204"
    assert [each.name for each in session.refused] == ["homes"]
    assert energies(result) == {
        "battery/0": [200, 200, 0, 0],
        "engine/0": [500, 450, 0, 0],
        "engine/2": [400, 400, 0, 0],
        "kitchens/0": [400, 400, 25, 0],
    }
    assert paid(result) == {
        ("utilisation", "battery", "dso", "storage-pool"): Decimal(36),
        ("utilisation", "engine", "dso", "factory"): Decimal(72),  # 24 + 48
        ("not_delivered", "engine", "factory", "dso"): Decimal("2.4"),
        ("short_delivery", "engine", "factory", "dso"): Decimal(1),
        ("utilisation", "engine", "tso", "factory"): Decimal(36),
        ("not_delivered", "engine", "factory", "tso"): Decimal("3.6"),
        ("short_delivery", "engine", "factory", "tso"): Decimal("1.5"),
        ("utilisation", "kitchens", "tso", "hotels"): Decimal(60),
    }


def test_interflex_by_hand() -> None:
    """120 kW too much in two quarter-hours; ramps of five minutes leave 12.5 of 15 kWh in each.

    Cars: the mean of two days is 200 kW, and 210 in the half-hour before the order, so the
    baseline is 10 kW lower.  45 kW in the second quarter-hour are 11.25 kWh: 1.25 are missing, and
    0.625 beyond 5 %.  Storage: the envelope leaves it 30 of 60 kW then, with ramps cut to half
    6.875 kWh, so 5.625 are forbidden.  24 kW are 6 kWh: of the missing 6.5, 5.625 are excused, and
    0.625 within 5 %; 0.25 are left.
    """
    result = bundled("interflex")
    assert energies(result) == {
        "battery/3": [25, 18.5, 0, 5.625],
        "charge points/3": [25, 23.75, 0, 0],
    }
    cars = part(result, MeasurementResult).deliveries[1]
    assert cars.baseline_w == [-210_000, -210_000]
    assert paid(result) == {
        ("utilisation", "cars", "dso", "aggregator-cars"): Decimal(5),
        ("not_delivered", "cars", "aggregator-cars", "dso"): Decimal("0.25"),
        ("short_delivery", "cars", "aggregator-cars", "dso"): Decimal("0.25"),
        ("utilisation", "storage", "dso", "aggregator-storage"): Decimal("7.5"),
        ("not_delivered", "storage", "aggregator-storage", "dso"): Decimal("1.95"),
        ("short_delivery", "storage", "aggregator-storage", "dso"): Decimal("0.1"),
    }
    assert part(result, SettlementResult).balances_eur["dso"] == "-9.95"
    assert flows(result) == [
        ("grid-district", "16:45", [520, 400, 420], True),
        ("grid-district", "17:00", [520, 400, 451], True),
    ]


def test_the_market_or_the_buyer_activates(tmp_path: Path) -> None:
    for by, sender in (("market", "market"), ("buyer", "dso")):
        case = content("interflex")
        case["phases"][2]["by"] = by
        told = part(ran(case, tmp_path), ActivationResult).told
        assert {each.sender for each in told if each.subject == "activation order"} == {sender}


def test_a_late_order_is_refused_and_not_paid(tmp_path: Path) -> None:
    case = content("interflex")
    case["phases"][2]["at"] = "2027-04-13T16:31:00Z"
    result = ran(case, tmp_path)
    orders = part(result, ActivationResult).orders
    assert [each.reason for each in orders] == ["late_notice", "late_notice"]
    assert paid(result) == {}
    assert part(result, SettlementResult).notes[1] == (
        "not ordered and not paid: charge points/3 of charge points: notice is given 840 s before "
        "the ramp begins; the product needs 900 s"
    )
    assert not part(result, MeasurementResult).deliveries
    report = part(result, MonitoringResult).branches[0]
    assert (report.sold_w, report.measured_w) == (400_000, 520_000)


@pytest.mark.parametrize("name", PLATFORMS)
def test_money_adds_up_to_nothing_and_each_amount_has_a_sentence(name: str) -> None:
    result = bundled(name)
    settled = part(result, SettlementResult)
    assert sum(map(Decimal, settled.balances_eur.values())) == 0
    assert all(each.sentence.endswith(".") for each in settled.payments)
    assert all_is_met(result)


@pytest.mark.parametrize("name", PLATFORMS)
def test_without_measurement_what_was_sold_is_paid_and_it_says_so(
    name: str, tmp_path: Path
) -> None:
    case = content(name)
    kept = ("qualification", "forecast", "forward", "spot", "settlement")
    case["phases"] = [each for each in case["phases"] if each["type"] in kept]
    result = ran(case, tmp_path)
    awards = [a for e in result.phases if isinstance(e, SpotSessionResult) for a in e.awards]
    said = f"{len(awards)} of {len(awards)} awards are paid as sold: no measurement came before"
    assert part(result, SettlementResult).notes == [said]
    sold = sum(Decimal(each.amount_eur) for each in awards)
    assert sum(own for key, own in paid(result).items() if key[0] == "utilisation") == sold


@pytest.mark.parametrize("name", PLATFORMS)
def test_the_command_shows_orders_deliveries_and_the_report(name: str) -> None:
    done = CliRunner().invoke(app, ["flexibility-day", name], terminal_width=200)
    assert done.exit_code == 0
    for said in ("(activation)", "(measurement)", "(monitoring)", "accuracy", "is paid back."):
        assert said in done.stdout


def meter_of(case: dict[str, Any], name: str) -> dict[str, Any]:
    (found,) = [each for each in case["meters"] if each["resource"] == name]
    return found


def with_table(case: dict[str, Any], folder: Path) -> list[str]:
    """Put the engine's meter of ``cornwall`` into a table; return its lines."""
    meter = meter_of(case, "engine")
    case["meters"].remove(meter)
    case["meter_table"] = {"file": "meters.csv", "history_days": 7}
    powers = {each["day"]: [each["power_w"]] * 4 for each in meter["history"]}
    start: datetime = case["start"]
    powers[start.date()] = meter["power_w"]
    lines = ["start,engine"]
    for k in range(7 * 48 + 4):
        moment = start - timedelta(days=7) + k * timedelta(minutes=30)
        place = (moment.hour - 16) * 2 + moment.minute // 30
        own = powers.get(moment.date(), [0] * 4)
        lines.append(f"{moment.isoformat()},{own[place] if 0 <= place < 4 else 7}")
    (folder / "meters.csv").write_text("\n".join(lines), encoding="utf-8")
    return lines


def test_a_table_of_meters_says_the_same_as_the_file(tmp_path: Path) -> None:
    case = content("cornwall")
    with_table(case, tmp_path)
    assert paid(ran(case, tmp_path)) == paid(bundled("cornwall"))


def test_faults_of_a_table_are_named(tmp_path: Path) -> None:
    case = content("cornwall")
    lines = with_table(case, tmp_path)
    table = tmp_path / "meters.csv"
    table.write_text("\n".join(lines[:-1]), encoding="utf-8")
    with pytest.raises(InputFaults, match=r"1 of 340 intervals have no line; the first of them"):
        ran(case, tmp_path)
    table.write_text("\n".join([*lines[:-1], lines[-1] + ".5"]), encoding="utf-8")
    with pytest.raises(InputFaults, match=r"engine: meters.csv line 341, .*: 500000 are not whole"):
        ran(case, tmp_path)
    table.write_text("\n".join([lines[0].replace("engine", "x"), *lines[1:]]), encoding="utf-8")
    said = r"meters.csv has a column of this name, and there is no such resource"
    with pytest.raises(InputFaults, match=rf"meter_table.x: {said}"):
        ran(case, tmp_path)


Change = Callable[[dict[str, Any]], object]

FAULTS: list[tuple[str, Change, str]] = [
    (
        "cornwall",
        lambda c: c["meters"].remove(meter_of(c, "engine")),
        "resources.engine: it is offered as half-hour reserve, which is measured, and has no entry "
        "in meters; there are 2 for other resources",
    ),
    (
        "cornwall",
        lambda c: meter_of(c, "engine")["history"].pop(),
        "meters.engine: engine, 2027-02-03 (working day): 4 comparable days found in the 60 days "
        "before, 5 needed",
    ),
    (
        "cornwall",
        lambda c: meter_of(c, "engine")["history"][0].update(activated=True),
        "meters.engine: engine, 2027-02-03 (working day): 4 comparable days found",
    ),
    (
        "cornwall",
        lambda c: meter_of(c, "engine")["power_w"].pop(),
        "meters.engine: power_w has 3 values, the day 4 intervals",
    ),
    (
        "cornwall",
        lambda c: meter_of(c, "engine")["history"][0].update(power_w=[1] * 5),
        "meters.engine: history of 2027-02-02 has 5 values, the day 4 intervals",
    ),
    (
        "cornwall",
        lambda c: meter_of(c, "engine")["history"][0].update(day="2027-02-03"),
        "meters.engine: its history has 2027-02-03, which is not before 2027-02-03",
    ),
    (
        "cornwall",
        lambda c: meter_of(c, "engine")["history"].append(meter_of(c, "engine")["history"][0]),
        "meters.engine: its history has 2027-02-02 2 times",
    ),
    (
        "cornwall",
        lambda c: meter_of(c, "engine").pop("power_w"),
        "meters.engine: it has no power_w, and no table has a column of its name",
    ),
    (
        "cornwall",
        lambda c: meter_of(c, "engine").update(resource="x"),
        "meters.x: there is no resource x; there is engine, battery",
    ),
    (
        "cornwall",
        lambda c: c["meters"].append(meter_of(c, "engine")),
        "meters.engine: there are 2 of this resource",
    ),
    (
        "enera",
        lambda c: meter_of(c, "storage").pop("nomination"),
        "meters.storage: storage, 2027-03-02: there is no nomination",
    ),
    (
        "enera",
        lambda c: meter_of(c, "storage")["nomination"].update(received="2027-03-02T11:01:00Z"),
        "its nomination was received at 2027-03-02T11:01:00+00:00, after the gate at "
        "2027-03-02T11:00:00+00:00",
    ),
    (
        "enera",
        lambda c: meter_of(c, "storage")["nomination"].update(power_w=[0]),
        "meters.storage: nomination has 1 values, the day 4 intervals",
    ),
    (
        "interflex",
        lambda c: meter_of(c, "battery").update(injection_limit_w=[0]),
        "meters.battery: injection_limit_w has 1 values, the day 6 intervals",
    ),
    (
        "interflex",
        lambda c: c["phases"][2].update(at="2027-04-13T16:15:00Z"),
        "charge points, 2027-04-13: the same-day adjustment needs 2 intervals before the notice, "
        "the day has 1",
    ),
    (
        "interflex",
        lambda c: c["products"][0]["delivery"].update(tolerance="1.5"),
        "products.local relief.delivery: tolerance is 3/2; it must be from 0 to 1",
    ),
    (
        "interflex",
        lambda c: c["products"][0]["delivery"].update(shortest_s=8000),
        "and at full power 1 <= shortest <= longest is needed",
    ),
    (
        "interflex",
        lambda c: c["products"][0]["delivery"]["baseline"].update(days=3),
        "products.local relief.delivery: a baseline of the last 3 of 2 days",
    ),
    (
        "interflex",
        lambda c: c["products"][0].pop("delivery"),
        "meters: no product has delivery: nothing is measured",
    ),
    (
        "interflex",
        lambda c: (c["products"][0].pop("delivery"), c.pop("meters")),
        "phases.orders: no product has delivery: there is nothing to order or measure",
    ),
    (
        "interflex",
        lambda c: c["phases"].pop(2),
        "phases.measurement: no activation comes before it: nothing is ordered",
    ),
    (
        "interflex",
        lambda c: c["phases"].append(c["phases"][1] | {"name": "again"}),
        "phases.again: it sells intervals that orders has ordered before",
    ),
    (
        "interflex",
        lambda c: c["phases"].append(c["phases"][2] | {"name": "again"}),
        "phases.again: orders orders some of its intervals, too",
    ),
    (
        "romeflex",
        lambda c: (
            c["products"].append(c["products"][0] | {"name": "other"}),
            c["offers"][0].update(product="other"),
        ),
        "resources.pumps: it is offered as other and evening; one can be measured",
    ),
    (
        "romeflex",
        lambda c: c.update(interval_min=40),
        "interval_min: an interval of 40 min does not divide an hour",
    ),
    (
        "enera",
        lambda c: c.update(intervals=100),
        "intervals: they are 25 hours; a baseline is for one day",
    ),
]


@pytest.mark.parametrize(("name", "change", "said"), FAULTS)
def test_a_fault_is_a_sentence(name: str, change: Change, said: str, tmp_path: Path) -> None:
    case = content(name)
    change(case)
    with pytest.raises(InputFaults, match=re.escape(said)):
        ran(case, tmp_path)


def test_a_baseline_that_only_an_order_lacks_is_named(tmp_path: Path) -> None:
    """Over the whole day the Friday has the most energy, in the hours of the order the Monday.

    The Monday has none before the order, so there is no ratio to adjust by.
    """
    case = content("interflex")
    case["products"][0]["delivery"]["baseline"] = {
        "method": "comparable_days",
        "days": 1,
        "among": 2,
        "choice": "highest",
        "adjustment": {"kind": "ratio", "intervals": 2, "cap": "0.2"},
    }
    for resource in ("charge points", "battery"):
        meter = meter_of(case, resource)
        meter["history"] = [
            {"day": "2027-04-12", "power_w": [0, 0, 0, -210_000, -210_000, 0]},
            {"day": "2027-04-09", "power_w": [-200_000] * 6},
        ]
    said = "the comparable days have no energy in intervals 0 to 1, so there is no ratio"
    with pytest.raises(InputFaults, match=rf"phases: battery, 2027-04-13: {said}"):
        ran(case, tmp_path)


def test_what_is_outside_the_orders_is_paid_as_sold_and_it_says_so(tmp_path: Path) -> None:
    case = content("enera")
    orders = next(each for each in case["phases"] if each["type"] == "activation")
    orders["from"] = "2027-03-02T12:15:00Z"
    result = ran(case, tmp_path)
    assert part(result, SettlementResult).notes == [
        "2 of 12 awards are paid as sold: no measured order is for them"
    ]
    assert sum(own for key, own in paid(result).items() if key[0] == "utilisation") == 179
    ordered = {e.order: e.start.minute for e in part(result, ActivationResult).orders}
    assert ordered["wind farm/1"] == 15
