"""The days of four platforms, by hand: nodes, gopacs, piclo, uvam."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pytest
from day_files import content, ran
from typer.testing import CliRunner

from gateway.cli.main import app
from gateway.flexibility.day.case import day_path, load_day
from gateway.flexibility.day.result import (
    AnnouncementResult,
    FlexibilityDayResult,
    ForwardResult,
    QualificationResult,
    SettlementResult,
    SpotSessionResult,
    all_is_met,
)
from gateway.flexibility.day.running import run_flexibility_day


@pytest.fixture(scope="module", params=["nodes", "gopacs", "piclo", "uvam"])
def any_day(request: pytest.FixtureRequest) -> FlexibilityDayResult:
    return run_flexibility_day(load_day(day_path(request.param)))


def bundled(name: str) -> FlexibilityDayResult:
    return run_flexibility_day(load_day(day_path(name)))


def session(result: FlexibilityDayResult, name: str) -> SpotSessionResult:
    (found,) = [each for each in result.phases if each.name == name]
    assert isinstance(found, SpotSessionResult)
    return found


def bought(found: SpotSessionResult) -> list[tuple[int, str, int, str]]:
    """Return hour, resource, kilowatts and EUR of each award."""
    return [(e.interval.hour, e.resource, e.quantity_w // 1000, e.amount_eur) for e in found.awards]


def balances(result: FlexibilityDayResult) -> dict[str, str]:
    settled = result.phases[-1]
    assert isinstance(settled, SettlementResult)
    assert sum(map(Decimal, settled.balances_eur.values())) == 0
    return settled.balances_eur


def test_every_day_meets_its_needs_and_sells_no_watt_twice(any_day: FlexibilityDayResult) -> None:
    assert all_is_met(any_day)
    balances(any_day)
    case = content(any_day.source.removeprefix("bundled:"))
    able = {each["name"]: each for each in case["resources"]}
    watts: dict[tuple[str, str, object], int] = {}
    for phase in any_day.phases:
        for each in phase.awards if isinstance(phase, SpotSessionResult) else ():
            key = each.resource, each.direction, each.interval
            watts[key] = watts.get(key, 0) + each.quantity_w
    assert watts
    for (name, direction, _), total in watts.items():
        assert total <= able[name]["up_w" if direction == "upward" else "down_w"]


def test_nodes_contracts_and_what_is_offered_on() -> None:
    """Expected per kW: heat pumps 0.40 + 0.20 = 0.60, sawmill 0.30 + 0.50 = 0.80.

    The DSO takes 120 and 80 kW; the TSO 200 and 290, below 0.40; the supplier 100 and 50 below
    0.52.  Each buys by price what the one before has left.
    """
    result = bundled("nodes")
    contracts = result.phases[1]
    assert isinstance(contracts, ForwardResult)
    assert {e.resource: (e.quantity_w, e.availability_eur) for e in contracts.contracts} == {
        "heat pumps": (100_000, "40"),
        "sawmill": (50_000, "15"),
    }
    assert bought(session(result, "shortflex")) == [
        (17, "heat pumps", 100, "20"),
        (17, "sawmill", 20, "10"),
        (18, "heat pumps", 80, "16"),
    ]
    assert bought(session(result, "shortflex tso")) == [
        (17, "ferry", 120, "30"),
        (17, "battery", 80, "24"),
        (18, "heat pumps", 20, "4"),
        (18, "ferry", 120, "30"),
        (18, "battery", 150, "45"),
    ]
    assert bought(session(result, "shortflex brp")) == [
        (17, "battery", 70, "21"),
        (17, "sawmill", 30, "15"),
        (18, "sawmill", 50, "25"),
    ]
    assert balances(result) == {
        "dso": "-101",  # 55 + 46
        "aggregator-a": "140",  # 40 + 20 + 16 + 30 + 4 + 30
        "aggregator-b": "155",  # 15 + 10 + 24 + 45 + 21 + 15 + 25
        "tso": "-133",
        "supplier": "-61",
    }


def test_nodes_without_release_others_do_not_get_what_is_contracted(tmp_path: Path) -> None:
    """The TSO lacks the 20 kW of the heat pumps, the supplier 30 and 50 of the sawmill."""
    case = content("nodes")
    for phase in case["phases"]:
        phase.pop("release", None)
    result = ran(case, tmp_path)
    lacking = [
        (e.need, e.interval.hour, e.missing_w // 1000)
        for name in ("shortflex tso", "shortflex brp")
        for e in session(result, name).shortfalls
    ]
    assert lacking == [("reserve", 18, 20), ("portfolio", 17, 30), ("portfolio", 18, 50)]


def test_gopacs_linked_orders() -> None:
    """12:00, 3 MW are needed: 2.5 MW of purchases have rested for 15 minutes by 9:30.

    1 MW pays 0.06 and 1.5 MW 0.04; 1.8 MW of the sales fit on the city's line at 0.09, the rest
    costs 0.12: 162 + 84 - 60 - 60 = 126 EUR.  13:00, 2 MW: 162 + 24 - 60 - 40 = 86 EUR.  At 10:30
    the battery's order has ended, the electrolyser's has rested: 60 - 15 = 45 EUR.
    """
    result = bundled("gopacs")
    first, second = session(result, "first"), session(result, "second")
    assert bought(first) == [
        (12, "glasshouses", 1000, "-60"),
        (12, "battery", 1500, "-60"),
        (12, "gas engine", 1800, "162"),
        (12, "power plant", 700, "84"),
        (13, "glasshouses", 1000, "-60"),
        (13, "battery", 1000, "-40"),
        (13, "gas engine", 1800, "162"),
        (13, "power plant", 200, "24"),
    ]
    assert bought(second) == [(12, "electrolyser", 500, "-15"), (12, "power plant", 500, "60")]
    assert [(e.name, e.reason) for e in (*first.refused, *second.refused)] == [
        ("electrolyser buy", "too_new"),
        ("battery buy", "expired"),
    ]
    (short,) = first.shortfalls
    assert (short.interval.hour, short.missing_w) == (12, 500_000)
    assert not second.shortfalls
    left = {e.offer: (e.reason, e.left_w) for e in first.left_over}
    assert left["battery buy"] == ("costlier", [500_000])
    # Three sevenths and twice two; what does not divide goes to the largest remainders.
    assert [(e.upward_w, e.downward_w, e.amount_eur, e.shares_eur) for e in first.linked] == [
        (2_500_000, 2_500_000, "126", {"tso": "54", "dso-a": "36", "dso-b": "36"}),
        (
            2_000_000,
            2_000_000,
            "86",
            {"tso": "36.8571428", "dso-a": "24.5714286", "dso-b": "24.5714286"},
        ),
    ]
    assert [each.shares_eur for each in second.linked] == [
        {"tso": "19.2857143", "dso-a": "12.8571429", "dso-b": "12.8571428"}
    ]
    assert balances(result) == {
        "trader-a": "204",  # 162 + 162 - 60 - 60
        "platform": "0",
        "trader-b": "53",  # 84 + 24 + 60 - 60 - 40 - 15
        "tso": "-110.1428571",
        "dso-a": "-73.4285715",
        "dso-b": "-73.4285714",
    }


def test_gopacs_announcement_and_network() -> None:
    result = bundled("gopacs")
    announced = result.phases[0]
    assert isinstance(announced, AnnouncementResult)
    (need,) = announced.needs
    assert need.qualified == ["glasshouses", "battery", "electrolyser"]
    assert {each.receiver for each in announced.told} == {"trader-a", "trader-b"}
    flows = [
        (e.branch, e.interval.hour, e.before_w, e.after_w)
        for name in ("first", "second")
        for e in session(result, name).flows
    ]
    assert flows == [
        ("rest-polder", 12, -13_000_000, -10_500_000),
        ("rest-polder", 13, -12_000_000, -10_000_000),
        ("rest-polder", 12, -10_500_000, -10_000_000),
    ]


def test_gopacs_an_order_that_is_all_or_nothing_is_not_cleared_in_part(tmp_path: Path) -> None:
    """13:00, 2 MW at a value of 0.10: 1 MW is worth 100 - 90 + 60 = 70 EUR, 1.5 MW 150 - 135 + 60 =
    75, and both together 200 - 126 = 74, because only 2 of 2.5 MW are needed.
    """
    case = content("gopacs")
    case["needs"][0]["cap_eur_per_kwh"] = "0.10"
    case["offers"][2]["divisible"] = False
    case["offers"][0]["divisible"] = False
    first = session(ran(case, tmp_path), "first")
    assert bought(first)[4:] == [
        (13, "battery", 1500, "-60"),
        (13, "gas engine", 1500, "135"),
    ]


def test_piclo_who_qualifies_and_why_not() -> None:
    result = bundled("piclo")
    tried = result.phases[1]
    assert isinstance(tried, QualificationResult)
    riverside = {
        e.resource: [reason.reason for reason in e.reasons]
        for e in tried.resources
        if e.product == "riverside evening"
    }
    assert riverside == {
        "brewery": [],
        "bus depot": [],
        "van charger": ["size"],
        "small battery": ["run_time"],
        "school": ["location"],
        "biogas": ["location"],
        "wind store": ["location"],
    }
    details = {e.resource: e.reasons[0].detail for e in tried.resources[:7] if e.reasons}
    # 0.0165 degrees of longitude at 52 degrees of latitude, square to the eastern edge: 1.2 km
    assert details["school"] == (
        "it is in no zone (1.2 km from riverside), riverside evening is traded in riverside"
    )
    assert details["small battery"] == (
        "it runs for 3,600 s at most, riverside evening asks for 7,200 s"
    )
    assert [(e.zone, e.resources, e.able_w, e.needed_w) for e in tried.competition] == [
        ("riverside", 2, 270_000, 200_000),
        ("hilltop", 2, 500_000, 250_000),
    ]


def test_piclo_competitions_and_dispatch() -> None:
    """Riverside, one activation: brewery 1.40, bus depot 1.70 EUR per kW; 120 and 80 kW.

    Hilltop, two: wind store 1.20 + 2 x 0.10 = 1.40, biogas 0.50 + 2 x 0.50 = 1.50; 200 and 50 kW.
    """
    result = bundled("piclo")
    made = result.phases[2]
    assert isinstance(made, ForwardResult)
    assert {e.resource: (e.quantity_w // 1000, e.availability_eur) for e in made.contracts} == {
        "brewery": (120, "120"),
        "bus depot": (80, "120"),
        "biogas": (50, "25"),
        "wind store": (200, "240"),
    }
    assert [(e.name, e.reason) for e in made.refused] == [
        ("small battery bid", "run_time"),
        ("school bid", "location"),
    ]
    assert bought(session(result, "dispatch")) == [
        (17, "wind store", 200, "20"),
        (17, "biogas", 20, "10"),
        (18, "bus depot", 80, "16"),
        (18, "brewery", 70, "28"),
    ]
    assert balances(result) == {
        "dso": "-579",  # 505 for availability, 74 for activations
        "brewers": "408",  # 120 + 240 + 20 + 28
        "transport": "136",  # 120 + 16
        "rural energy": "35",  # 25 + 10
    }


def test_uvam_what_the_operator_leaves_of_each_aggregate() -> None:
    """Upward 600 kW: all 500 of the north and 100 of the south at 11:00.

    12:00: yellow, 500 kW of injection less the 100 that the north is expected to inject: 400; the
    south gives 200, of which 50 kW of the genset fit on its line.  13:00: red; the genset's limit
    is 200 kW, the coldstore has 250, the plant the rest.  14:00: 500 kW downward.
    """
    result = bundled("uvam")
    cleared = session(result, "balancing")
    assert bought(cleared) == [
        (11, "mill", 300, "60"),
        (11, "battery", 200, "40"),
        (11, "genset", 100, "30"),
        (12, "mill", 300, "60"),
        (12, "battery", 100, "20"),
        (12, "genset", 50, "15"),
        (12, "coldstore", 150, "45"),
        (13, "genset", 200, "60"),
        (13, "coldstore", 250, "75"),
        (13, "plant", 150, "67.5"),
        (14, "battery", 200, "10"),
        (14, "solar", 300, "15"),
    ]
    assert [(e.name, e.reason) for e in cleared.refused] == [("chp up", "network")]
    left = {(e.offer, t.hour): (e.reason, e.detail) for e in cleared.left_over for t in e.intervals}
    assert left["north up", 12] == (
        "ceiling",
        "perimeter north is yellow upward: 400,000 W, because of branch:hv-north",
    )
    assert left["south up", 13] == (
        "ceiling",
        "matrix: genset may go upward by 200,000 W, because of branch:hv-south-a",
    )
    assert balances(result) == {
        "tso": "-497.5",
        "aggregator-n": "205",
        "aggregator-s": "225",
        "plants": "67.5",
    }


def test_uvam_members_are_too_small_alone_and_large_enough_together() -> None:
    tried = bundled("uvam").phases[0]
    assert isinstance(tried, QualificationResult)
    reasons = {e.resource: [reason.reason for reason in e.reasons] for e in tried.resources}
    alone = {"mill", "battery", "solar", "genset", "coldstore"}
    assert {name for name, each in reasons.items() if each == ["size"]} == alone
    assert reasons["chp"] == ["network"]
    assert {name for name, each in reasons.items() if not each} == {
        "uvam north",
        "uvam south",
        "plant",
    }
    # members are in the competition through their aggregates: 500 + 650 + 450 + 1,000 kW
    assert [(e.direction, e.resources, e.able_w) for e in tried.competition] == [
        ("upward", 4, 2_600_000),
        ("downward", 1, 600_000),
    ]


@pytest.mark.parametrize("name", ["nodes", "gopacs", "piclo", "uvam"])
def test_the_command_runs_each_day(name: str, tmp_path: Path) -> None:
    target = tmp_path / "result.json"
    done = CliRunner().invoke(app, ["flexibility-day", name, "-o", str(target)])
    assert done.exit_code == 0
    written = FlexibilityDayResult.model_validate_json(target.read_text(encoding="utf-8"))
    assert written == bundled(name)
    shown = CliRunner().invoke(app, ["flexibility-day", name], terminal_width=200).stdout
    expected = {
        "nodes": "balances, EUR: dso -101, aggregator-a 140",
        "gopacs": "2500 kW up and 2500 kW down for 126 EUR: tso 54, dso-a 36, dso-b 36",
        "piclo": "balances, EUR: dso -579, brewers 408",
        "uvam": "perimeter north is yellow upward: 400,000 W, because of branch:hv-north",
    }
    assert expected[name] in shown
