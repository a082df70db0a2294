"""Days of flexibility markets: the bundled one by hand, files with faults, and the command."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from exchange.clearing.problem import ClearingError
from gateway.cli.main import app
from gateway.flexibility.day.case import day_path, load_day
from gateway.flexibility.day.delivery.result import (
    ActivationResult,
    MeasurementResult,
    MonitoringResult,
)
from gateway.flexibility.day.result import (
    FlexibilityDayResult,
    ForecastResult,
    ForwardResult,
    QualificationResult,
    SettlementResult,
    SpotSessionResult,
)
from gateway.flexibility.day.running import run_flexibility_day
from gateway.formats.faults import InputFaults

RomeFlex = tuple[
    QualificationResult,
    ForwardResult,
    ForecastResult,
    SpotSessionResult,
    SpotSessionResult,
    ActivationResult,
    MeasurementResult,
    SettlementResult,
    MonitoringResult,
]


def content() -> dict[str, Any]:
    return tomllib.loads(day_path("romeflex").read_text(encoding="utf-8"))


def ran(case: dict[str, Any], folder: Path) -> FlexibilityDayResult:
    path = folder / "day.json"
    path.write_text(json.dumps(case, default=lambda t: t.isoformat()), encoding="utf-8")
    return run_flexibility_day(load_day(path))


@pytest.fixture(scope="module")
def romeflex() -> RomeFlex:
    return tuple(run_flexibility_day(load_day(day_path("romeflex"))).phases)  # type: ignore[return-value]


def test_six_resources_qualify_and_three_hear_why_not(romeflex: RomeFlex) -> None:
    found = romeflex[0]
    reasons = {e.resource: [r.reason for r in e.reasons] for e in found.resources}
    assert {name: each for name, each in reasons.items() if each} == {
        "coldstore": ["activation_time"],
        "school": ["size"],
        "gym": ["not_registered"],
    }
    # north: bakery 60, pumps 80, depot 100, laundry 50; south: hotel 50, battery 40
    assert [(e.zone, e.resources, e.able_w, e.needed_w) for e in found.competition] == [
        ("north", 4, 290_000, 150_000),
        ("south", 2, 90_000, 60_000),
    ]


def test_contracts_are_the_cheapest_by_hand(romeflex: RomeFlex) -> None:
    """A kW costs availability and twice (north) or once (south) utilisation.

    North, 150 kW: pumps 0.50 + 2 x 0.45 = 1.40, only as 80 kW; bakery 1.00 + 2 x 0.30 = 1.60, up to
    60; depot 2.00 + 2 x 0.20 = 2.40, 30 to 100.  80 pumps and 60 bakery leave 10, which the depot
    does not sell; so it sells 30 and the bakery 40: 112 + 64 + 72 = 248 EUR.  Without the pumps it
    were 60 x 1.60 + 90 x 2.40 = 312.
    South, 60 kW: battery 0.80 + 0.50 = 1.30 sells all its 40; hotel 1.50 + 0.40 = 1.90 the rest.
    """
    made = {e.resource: (e.quantity_w, e.availability_eur) for e in romeflex[1].contracts}
    assert made == {
        "pumps": (80_000, "40"),
        "bakery": (40_000, "40"),
        "depot": (30_000, "60"),
        "battery": (40_000, "32"),
        "hotel": (20_000, "30"),
    }
    assert not romeflex[1].uncovered


def test_the_forecast_finds_three_overloads(romeflex: RomeFlex) -> None:
    """Withdrawals of 1,100 and 1,200 kW behind 1,000 kW, and of 520 behind 500."""
    assert [(e.branch, e.interval.hour, e.excess_w) for e in romeflex[2].exceeded] == [
        ("substation-north", 18, 100_000),
        ("substation-north", 19, 200_000),
        ("substation-south", 19, 20_000),
    ]
    assert romeflex[2].exceeded[0].places[0].quantity_w == 100_000


def test_the_day_ahead_session_by_hand(romeflex: RomeFlex) -> None:
    """By price: depot 30 at 0.20 (contract) and 70 at 0.25, bakery 40 at 0.30 (contract), ..."""
    session = romeflex[3]
    assert [(e.interval.hour, e.resource, e.quantity_w, e.amount_eur) for e in session.awards] == [
        (18, "depot", 30_000, "6"),
        (18, "depot", 70_000, "17.5"),
        (19, "depot", 30_000, "6"),
        (19, "depot", 70_000, "17.5"),
        (19, "bakery", 40_000, "12"),
        (19, "laundry", 50_000, "17.5"),
        (19, "pumps", 10_000, "4"),
        (19, "hotel", 20_000, "8"),
    ]
    assert session.cost_eur == "88.5"
    assert [(e.branch, e.before_w, e.after_w, e.overloaded) for e in session.flows] == [
        ("substation-north", 1_100_000, 1_000_000, False),
        ("substation-north", 1_200_000, 1_000_000, False),
        ("substation-south", 520_000, 500_000, False),
    ]
    assert [each.name for each in session.refused] == ["coldstore day"]


def test_what_providers_owe_is_put_in_or_named(romeflex: RomeFlex) -> None:
    """The pumps' provider offers by itself, below the contract's price; the others do not."""
    session = romeflex[3]
    inserted = {(each.resource, each.quantity_w) for each in session.inserted}
    assert inserted == {
        ("bakery", 40_000),
        ("depot", 30_000),
        ("hotel", 20_000),
        ("battery", 40_000),
    }
    assert len(session.inserted) == 4 * 4
    (held,) = session.withheld
    assert (held.resource, held.interval.hour, held.quantity_w) == ("pumps", 19, 30_000)
    assert held.penalty_eur == "15"  # 30 kWh at 0.50
    assert not romeflex[4].withheld, "it is named once"


def test_the_intraday_session_by_hand(romeflex: RomeFlex) -> None:
    """The depot has run for its two hours: the bakery's 40 kW at 0.30, the laundry's 20 at 0.35."""
    session = romeflex[4]
    assert [(e.resource, e.quantity_w, e.price_eur_per_kwh) for e in session.awards] == [
        ("bakery", 40_000, "0.3"),
        ("laundry", 20_000, "0.35"),
    ]
    reasons = {each.offer: each.reason for each in session.left_over}
    assert reasons["depot day"] == reasons["depot year for winter north/3"] == "run_time"
    assert reasons["pumps day"] == "costlier"


def test_balances_by_hand_and_their_sum(romeflex: RomeFlex) -> None:
    """Availability 202 EUR, day-ahead 88.50, intraday 19, withheld 15, and what was not delivered.

    The depot lacks 20 of 200 kWh: 6 at 0.20 and 14 at 0.25 are paid back, 15 beyond 5 % of an
    hour cost 0.60 each.  The laundry lacks 2 kWh at 0.35, within 5 % of 50.  The pumps deliver
    nothing: 10 kWh at 0.40 are paid back, 9.5 cost 0.60, and the availability of 40 EUR is lost.
    """
    settled = romeflex[7]
    assert settled.balances_eur == {
        "dso": "-230.4",  # 294.50 less 9.40 paid back, 14.70 penalties and 40 of availability
        "aggregator-a": "43.3",  # 40 + 40 + 12 + 4 + 12 - 15 - 4 - 5.70 - 40
        "aggregator-b": "155.1",  # 60 + 30 + 47 + 17.5 + 8 + 7 - 4.70 - 9 - 0.70
        "aggregator-c": "32",
    }
    assert sum(map(Decimal, settled.balances_eur.values())) == 0
    assert settled.activated_w["depot"] == [0, 100_000, 100_000, 0]
    assert settled.notes == []
    of_pumps = {e.cause: e.amount_eur for e in settled.payments if e.subject.startswith("pumps")}
    assert of_pumps == {
        "availability": "40",
        "lost_availability": "40",
        "utilisation": "4",
        "not_delivered": "4",
        "short_delivery": "5.7",
        "penalty": "15",
    }


def test_orders_are_runs_of_equal_power(romeflex: RomeFlex) -> None:
    ordered = [(e.order, e.start.hour, e.end.hour, e.power_w) for e in romeflex[5].orders]
    assert ordered == [
        ("bakery/2", 19, 21, 40_000),
        ("depot/1", 18, 20, 100_000),
        ("hotel/2", 19, 20, 20_000),
        ("laundry/2", 19, 20, 50_000),
        ("laundry/3", 20, 21, 20_000),
        ("pumps/2", 19, 20, 10_000),
    ]
    assert not any(each.reason for each in romeflex[5].orders)


def test_deliveries_by_hand(romeflex: RomeFlex) -> None:
    """The bakery had 90, 95 and 85 kW; the Thursday with an activation does not count."""
    found = {e.order: e for e in romeflex[6].deliveries}
    bakery, depot = found["bakery/2"], found["depot/1"]
    assert [each.day for each in bakery.baseline_days] == [15, 13, 12]
    assert bakery.baseline_w == [-90_000, -90_000]
    assert (bakery.delivered_wh, bakery.over_wh, bakery.accuracy) == (80_000, 5_000, 0.9375)
    assert (depot.delivered_wh, depot.deficient_wh, depot.delivered_share) == (180_000, 20_000, 0.9)
    assert found["pumps/2"].delivered_share == 0


def test_the_report_says_what_the_feeders_carried(romeflex: RomeFlex) -> None:
    """At 19:00 depot, bakery and laundry move 80, 45 and 48 kW, the pumps nothing: 1,200 - 173."""
    report = romeflex[8]
    north = report.zones[0]
    assert (north.sold_wh, north.delivered_wh, north.over_wh) == (360_000, 328_000, 5_000)
    assert [
        (e.branch[11:], e.interval.hour, e.measured_w, e.overloaded) for e in report.branches
    ] == [
        ("north", 18, 1_000_000, False),
        ("north", 19, 1_027_000, True),
        ("south", 19, 500_000, False),
    ]


def test_it_is_logged_who_told_whom_what(romeflex: RomeFlex) -> None:
    session = romeflex[3]
    told = {(e.sender, e.receiver, e.subject): e.messages for e in session.told}
    assert told["dso", "market", "FlexRequest"] == 2
    assert told["dso", "market", "network room"] == 4
    assert told["market", "dso", "FlexOrder"] == 8
    assert all(each.bytes > 0 and each.fields for each in session.told)


def test_a_need_that_cannot_be_met_names_what_is_missing(tmp_path: Path) -> None:
    case = content()
    case["needs"][2]["quantity_w"] = 250_000
    result = ran(case, tmp_path)
    session = result.phases[4]
    assert isinstance(session, SpotSessionResult)
    (short,) = session.shortfalls
    # bakery 40 of the contract, pumps 80, laundry 50; the depot may not run longer
    assert (short.need, short.interval.hour, short.missing_w) == ("late north", 20, 80_000)
    assert short.detail == (
        "80,000 of 250,000 W are missing; offered for north: 270,000 W, left of it: "
        "100,000 W run_time"
    )


def changed(change: Callable[[dict[str, Any]], object]) -> dict[str, Any]:
    case = content()
    change(case)
    return case


FAULTS: list[tuple[Callable[[dict[str, Any]], object], str]] = [
    (lambda c: c["offers"][0].update(product="x"), "offers.pumps day: there is no product x"),
    (lambda c: c["offers"][0].update(resource="x"), "offers.pumps day: there is no resource x"),
    (
        lambda c: c["offers"][0].update(quantity_w=81_000),
        "offers.pumps day: it offers 81,000 W upward, pumps can do 80,000 W",
    ),
    (
        lambda c: c["offers"].append(c["offers"][0] | {"name": "again"}),
        "offers.again: it overlaps pumps day at 2027-01-18T17:00Z: together 160,000 W upward, "
        "pumps can do 80,000 W",
    ),
    (lambda c: c["offers"][0].update(quantity_w=9000), "9,000 W, the minimum of evening is 10,000"),
    (lambda c: c["offers"][0].update(quantity_w=10_500), "10,500 W are not whole lots of 1,000 W"),
    (lambda c: c["offers"][0].update(direction="downward"), "evening is not traded downward"),
    (
        lambda c: c["offers"][0].update(price_eur_per_kwh="1.01"),
        "its utilisation price 1.01 EUR/kWh is above the highest of evening, 1.00",
    ),
    (
        lambda c: c["offers"][0].update(price_eur_per_kwh="0.00001"),
        "price 0.00001 EUR/kWh is not in whole ticks of 0.0001 EUR/kW, 60 min an interval",
    ),
    (
        lambda c: c["offers"][0].update(price_eur_per_kwh="-0.1"),
        "offers.pumps day: its price -0.1 EUR/kWh is below 0, which only a balanced session takes",
    ),
    (
        lambda c: c["offers"][1].update({"from": "2027-01-18T18:30:00Z"}),
        "offers.depot day: from 2027-01-18T18:30:00Z is not a start of an interval from "
        "2027-01-18T17:00Z to 2027-01-18T21:00Z",
    ),
    (lambda c: c["offers"][0].update(sessions=["x"]), "there is no spot session x; there is day-"),
    (
        lambda c: c["offers"][1].update(block=True),
        "its block lasts 10,800 s, depot 7,200 s at most",
    ),
    (
        lambda c: c["resources"][1].update(min_duration_s=7200),
        "offers.pumps day: one interval of it lasts 3,600 s, pumps 7,200 s at least; make it a",
    ),
    (
        lambda c: c["resources"][0].update(zone="x"),
        "resources.bakery: there is no zone x; there is",
    ),
    (lambda c: c["resources"][0].update(bus="x"), "resources.bakery: there is no bus x"),
    (
        lambda c: c["resources"][0].update(provider="dso"),
        "resources.bakery: there is no provider d",
    ),
    (lambda c: c["resources"][0].update(up_w=0), "resources.bakery: it can go neither up nor down"),
    (lambda c: c["products"][0].update(zones=["x"]), "products.evening: there is no zone x"),
    (lambda c: c["products"][0].update(buyers=["market"]), "its buyers have market, they should"),
    (
        lambda c: c["products"][0].update(priced=["utilisation"]),
        "forward_offers.bakery year: it asks 1.00 EUR/kW, evening has no availability price",
    ),
    (lambda c: c["parties"].pop(1), "parties: one of them should have the role market, found none"),
    (lambda c: c["needs"][0].update(zone="x"), "needs.winter north: there is no zone x"),
    (lambda c: c["needs"][0].update(buyer="x"), "needs.winter north: there is no party x"),
    (
        lambda c: c["needs"][0].update(buyer="market"),
        "its buyer market is a market, evening is for dso",
    ),
    (lambda c: c["needs"][0].pop("direction"), "it has neither a direction nor a branch"),
    (lambda c: c["needs"][0].update(branch="x"), "needs.winter north: there is no branch x"),
    (lambda c: c["needs"][0].update(quantity_w=[1]), "quantity_w has 1 values for 4 intervals"),
    (lambda c: c["needs"][0].update(sessions=["x"]), "needs.winter north: there is no session x"),
    (lambda c: c["network"]["branches"][0].update(x_pu=0.0), "network.substation-north: its react"),
    (lambda c: c["network"].update(operator="x"), "network.operator: there is no operator x"),
    (
        lambda c: c["network"]["injection_w"].update(north=[1]),
        "north has 1 values, the day 4 inter",
    ),
    (lambda c: c.pop("network"), "phases.forecast: it needs a network, and the day has none"),
    (lambda c: c["phases"][2].update(product="x"), "phases.forecast: there is no product x"),
    (lambda c: c["phases"][3].update(buyers=["x"]), "phases.day-ahead: there is no party x"),
    (lambda c: c["phases"][3].update(balanced=True), "a balanced session has the goal welfare"),
    (lambda c: c["phases"][3].update(type="x"), "phases.3.type: it is 'x'; it should be one of"),
    (
        lambda c: c["phases"].append(c["phases"][0]),
        "phases.qualification: there are 2 of this name",
    ),
    (lambda c: c["outages"][0].update(resource="x"), "outages.x: there is no resource x"),
    (lambda c: c.update(tick="0"), "tick: it is 0, it should be above 0"),
]


@pytest.mark.parametrize(("change", "said"), FAULTS)
def test_a_fault_of_a_file_is_named(
    change: Callable[[dict[str, Any]], object], said: str, tmp_path: Path
) -> None:
    with pytest.raises(InputFaults, match=re.escape(said)):
        ran(changed(change), tmp_path)


def test_all_faults_are_named_together(tmp_path: Path) -> None:
    case = content()
    for change, _ in FAULTS[:8]:
        change(case)
    case["resources"][0]["zone"] = "x"
    with pytest.raises(InputFaults) as found:
        ran(case, tmp_path)
    assert len(found.value.faults) >= 4


def test_the_command_writes_what_it_shows(tmp_path: Path) -> None:
    target, runner = tmp_path / "result.json", CliRunner()
    done = runner.invoke(app, ["flexibility-day", "romeflex", "-o", str(target)])
    assert done.exit_code == 0
    written = FlexibilityDayResult.model_validate_json(target.read_text(encoding="utf-8"))
    assert written.phases[3].name == "day-ahead"
    shown = runner.invoke(app, ["flexibility-day", "bundled:romeflex"], terminal_width=200).stdout
    assert "cost 88.5 EUR" in shown
    assert "balances, EUR: dso -230.4, aggregator-a 43.3, aggregator-b 155.1" in shown
    assert "depot would run for 10,800 s, it can 7,200 s" in shown


def test_an_unmet_need_is_exit_code_one_and_an_unknown_day_names_those_there_are(
    tmp_path: Path,
) -> None:
    case = content()
    case["needs"][2]["quantity_w"] = 250_000
    path = tmp_path / "day.json"
    path.write_text(json.dumps(case, default=lambda t: t.isoformat()), encoding="utf-8")
    done = CliRunner().invoke(app, ["flexibility-day", str(path)])
    assert done.exit_code == 1
    assert "not met: late north" in done.stdout
    unknown = CliRunner().invoke(app, ["flexibility-day", "nowhere"])
    assert unknown.exit_code == 2
    assert "known names: " in unknown.stderr
    assert "romeflex" in unknown.stderr


def test_a_session_without_a_best_choice_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise ClearingError("no best choice was found among 9 bids and 2 wants")

    monkeypatch.setattr("exchange.flexibility.products.spot.accept", fail)
    done = CliRunner().invoke(app, ["flexibility-day", "romeflex"])
    assert done.exit_code == 2
    assert "phases: day-ahead: no best choice was found among 9 bids" in done.stderr
