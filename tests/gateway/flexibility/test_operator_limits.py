"""Traffic light and topological matrix of ``outputs`` bind what resources of a day may change."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandapower as pp
import pytest
from day_files import content, ran
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scenario_files import GOOD, load, small_net

from exchange.flexibility.products.day import run_day
from exchange.flexibility.products.flex_day import SpotResult
from gateway.flexibility.day.case import day_of, day_path
from gateway.flexibility.day.result import SpotSessionResult
from gateway.flexibility.day.schema import FlexibilityDayFile
from gateway.formats.envelope_file import IntervalStatus
from gateway.formats.envelope_rows import EnvelopeTable, Mark
from gateway.formats.faults import InputFaults
from gateway.runs.operator_outputs import (
    Light,
    LightFile,
    Matched,
    MatrixFile,
    OutputFile,
    topological_matrix,
    traffic_light,
)
from security_check.model.envelope import Direction

POINTS = ("load:0", "load:1", "load:2")
MEMBERS = {"west": [1], "village": [0, 2]}
START = datetime(2026, 1, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)
limits = hnp.arrays(np.int64, (2, 2, 3), elements=st.integers(0, 3))


@pytest.fixture(scope="module")
def area(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("area")
    pp.to_json(small_net(), str(folder / "net.json"))
    network = load(folder, GOOD + '\n[perimeters]\nwest = ["load:1"]\n')
    return SimpleNamespace(network=network.network, perimeters=network.perimeters)


def outputs_of(
    area: Any, limits_w: Any, spare_w: Any, statuses: list[IntervalStatus]
) -> OutputFile:
    """Return the outputs of envelopes with some limits, as the command computes them."""
    starts = tuple(START + k * HOUR for k in range(2))
    table = EnvelopeTable(
        starts,
        tuple(each + HOUR for each in starts),
        POINTS,
        limits_w,
        np.zeros((2, 2, 3), dtype=np.int64),
        ("line:0",),
        tuple(Mark(status) for status in statuses),
    )
    matched = Matched(table, limits_w + spare_w)
    return OutputFile(
        traffic_light=list(traffic_light(area, matched)),
        topological_matrix=topological_matrix(area, matched),
    )


def day_file(able_w: Any, expected_w: Any, way: str) -> dict[str, Any]:
    """Return a day of two hours in which a TSO wants all that the three points can do."""
    zone_of = {i: zone for zone, own in MEMBERS.items() for i in own}
    return {
        "start": START.isoformat(),
        "interval_min": 60,
        "intervals": 2,
        "zones": list(MEMBERS),
        "parties": [
            {"name": "tso", "role": "tso"},
            {"name": "dso", "role": "dso"},
            {"name": "market", "role": "market"},
            {"name": "a", "role": "provider"},
        ],
        "products": [
            {"name": "p", "directions": [way], "buyers": ["tso"], "priced": ["utilisation"]}
        ],
        "resources": [
            {
                "name": name,
                "provider": "a",
                "zone": zone_of[i],
                "up_w": int(able_w[i]),
                "down_w": int(able_w[i]),
                "expected_w": expected_w[:, i].tolist(),
            }
            for i, name in enumerate(POINTS)
        ],
        "aggregates": [
            {"name": zone, "provider": "a", "zone": zone, "members": [POINTS[i] for i in own]}
            for zone, own in MEMBERS.items()
        ],
        "operator_outputs": [{"operator": "dso", "file": "outputs.json"}],
        "needs": [
            {
                "name": "n",
                "buyer": "tso",
                "product": "p",
                "direction": way,
                "quantity_w": 10**6,
                "cap_eur_per_kwh": "1",
            }
        ],
        "offers": [
            {
                "name": zone,
                "resource": zone,
                "product": "p",
                "direction": way,
                "quantity_w": int(sum(able_w[i] for i in own)),
                "price_eur_per_kwh": "0.5",
            }
            for zone, own in MEMBERS.items()
        ],
        "phases": [{"type": "spot", "name": "spot"}],
    }


@settings(max_examples=80, suppress_health_check=list(HealthCheck))
@given(
    limits,
    limits,
    st.lists(st.sampled_from(IntervalStatus), min_size=2, max_size=2),
    hnp.arrays(np.int64, 3, elements=st.integers(1, 4)),
    hnp.arrays(np.int64, (2, 3), elements=st.integers(-2, 2)),
    st.sampled_from(("upward", "downward")),
    st.sampled_from(("both", "light", "matrix")),
)
def test_as_much_is_taken_as_light_and_matrix_leave_and_not_a_watt_more(
    area: Any,
    tmp_path_factory: pytest.TempPathFactory,
    limits_w: Any,
    spare_w: Any,
    statuses: list[IntervalStatus],
    able_w: Any,
    expected_w: Any,
    way: str,
    kind: str,
) -> None:
    """The most of a perimeter: the sum over its points of what each may change, and its light."""
    unpublished = np.array([status is IntervalStatus.NONE for status in statuses])
    limits_w = np.where(unpublished[:, None, None], 0, limits_w)
    found = outputs_of(area, limits_w, spare_w, statuses)
    files = {
        "both": found,
        "light": LightFile(traffic_light=found.traffic_light),
        "matrix": MatrixFile(topological_matrix=found.topological_matrix),
    }
    folder = tmp_path_factory.mktemp("day")
    (folder / "outputs.json").write_text(files[kind].model_dump_json(), encoding="utf-8")
    given = FlexibilityDayFile.model_validate_json(json.dumps(day_file(able_w, expected_w, way)))
    day = day_of(given, "day", folder).day
    (report,) = run_day(day)
    assert isinstance(report.result, SpotResult)
    taken = np.zeros((2, 3), dtype=int)
    for award in report.result.cleared.awards:
        taken[award.interval, POINTS.index(award.resource)] += award.quantity_w
    d, sign = (0, 1) if way == "upward" else (1, -1)
    for t in range(2):
        for zone, own in MEMBERS.items():
            each = [able_w[i] for i in own]
            if kind != "light":
                room = [max(limits_w[:, d, i].min() - sign * expected_w[t, i], 0) for i in own]
                each = [min(pair) for pair in zip(each, room, strict=True)]
                for i, most in zip(own, each, strict=True):
                    assert taken[t, i] <= most
            most = sum(each)
            if kind != "matrix":
                light = next(
                    e.light
                    for e in found.traffic_light
                    if e.perimeter == zone
                    and e.start == START + t * HOUR
                    and e.direction is tuple(Direction)[d]
                )
                there = sum(limits_w[t, d, i] - sign * expected_w[t, i] for i in own)
                left = {Light.GREEN: most, Light.YELLOW: max(there, 0), Light.RED: 0}
                most = min(most, left[light])
            assert taken[t, own].sum() == most, (zone, t)


def uvam(
    folder: Path, change: Callable[[dict[str, Any], dict[str, Any]], object]
) -> dict[str, Any]:
    """Return the day ``uvam`` with its files beside it, changed: the day, and its lights."""
    case, path = content("uvam"), day_path("uvam").parent
    lights = json.loads((path / "uvam-dynamic.json").read_text(encoding="utf-8"))
    lights |= json.loads((path / "uvam-static.json").read_text(encoding="utf-8"))
    case["operator_outputs"] = [{"operator": "dso", "file": "outputs.json"}]
    change(case, lights)
    (folder / "outputs.json").write_text(json.dumps(lights), encoding="utf-8")
    return case


def test_one_file_with_both_outputs_says_the_same(tmp_path: Path) -> None:
    case = uvam(tmp_path, lambda c, o: None)
    session = ran(case, tmp_path).phases[1]
    assert isinstance(session, SpotSessionResult)
    assert session.cost_eur == "497.5"


def test_an_aggregate_over_several_perimeters_is_bound_by_the_light_of_each(tmp_path: Path) -> None:
    """800 kW of mill, battery, genset and coldstore at 0.20, in this order; 600 kW are needed.

    11:00: green, 300 + 200 and 100 of the genset.  12:00: yellow, 300 + 100 in the north; 50 of the
    genset fit on its line, 150 of the coldstore.  13:00: red; 200 + 250, and the plant.
    """

    def change(case: dict[str, Any], outputs: dict[str, Any]) -> None:
        for each in case["resources"][:5]:
            each["provider"] = "aggregator-n"
        members = ["mill", "battery", "genset", "coldstore"]
        case["aggregates"] = [{"name": "all", "provider": "aggregator-n", "members": members}]
        case["offers"] = [
            case["offers"][0] | {"resource": "all", "quantity_w": 800_000},
            case["offers"][4],
        ]
        case["needs"].pop()

    session = ran(uvam(tmp_path, change), tmp_path).phases[1]
    assert isinstance(session, SpotSessionResult)
    assert [(e.interval.hour, e.resource, e.quantity_w // 1000) for e in session.awards] == [
        (11, "mill", 300),
        (11, "battery", 200),
        (11, "genset", 100),
        (12, "mill", 300),
        (12, "battery", 100),
        (12, "genset", 50),
        (12, "coldstore", 150),
        (13, "genset", 200),
        (13, "coldstore", 250),
        (13, "plant", 150),
    ]


def test_a_contract_of_an_aggregate_is_put_in_as_far_as_its_members_are_able(
    tmp_path: Path,
) -> None:
    """410 kW of genset and coldstore at 0.10; at 12:00 the coldstore has 5 of its 250 kW.

    So 405 kW are put in and 5 withheld, for 5 EUR a kWh: 25 EUR.  The matrix leaves the genset 200
    of its 400 kW, which is no fault of the provider; 50 of them fit on its line.
    """

    def change(case: dict[str, Any], outputs: dict[str, Any]) -> None:
        penalty = {"penalty_eur_per_kwh": "5"}
        case["contracts"] = [CONTRACT | penalty | {"name": "c", "resource": "uvam south"}]
        hour = {"from": "2027-05-03T12:00:00Z", "to": "2027-05-03T13:00:00Z"}
        case["outages"] = [hour | {"resource": "coldstore", "able_w": 5_000}]
        case["phases"][1]["obligations"] = True

    session = ran(uvam(tmp_path, change), tmp_path).phases[1]
    assert isinstance(session, SpotSessionResult)
    put_in = {each.interval.hour: each.quantity_w for each in session.inserted}
    assert put_in == {11: 410_000, 12: 405_000, 13: 410_000, 14: 410_000}
    (held,) = session.withheld
    assert (held.interval.hour, held.quantity_w, held.penalty_eur) == (12, 5_000, "25")
    at_noon = {e.resource: e.quantity_w // 1000 for e in session.awards if e.interval.hour == 12}
    assert at_noon == {"genset": 50, "coldstore": 5, "mill": 300, "battery": 100, "plant": 145}


CONTRACT = {
    "buyer": "tso",
    "product": "balancing",
    "direction": "upward",
    "quantity_w": 410_000,
    "utilisation_eur_per_kwh": "0.1",
}
FAULTS: list[tuple[Callable[[dict[str, Any], dict[str, Any]], object], str]] = [
    (
        lambda c, o: c["operator_outputs"][0].update(operator="x"),
        "operator_outputs.outputs.json: there is no operator x",
    ),
    (lambda c, o: c["operator_outputs"][0].update(file="x.json"), "x.json"),
    (lambda c, o: o.clear(), "it has neither a traffic light nor a topological matrix"),
    (lambda c, o: o["traffic_light"][0].update(light="blue"), "traffic_light.0.light"),
    (
        lambda c, o: o["traffic_light"].pop(0),
        "perimeter north has no light upward at 2027-05-03T11:00Z",
    ),
    (
        lambda c, o: o["traffic_light"].pop(-2),
        "perimeter east has no light upward at 2027-05-03T14:00Z",
    ),
    (
        lambda c, o: [e.update(connection_points=4) for e in o["traffic_light"]],
        "perimeter north has 4 connection points, the day 3 resources there",
    ),
    (
        lambda c, o: o["traffic_light"][0].update(perimeter="nowhere"),
        "perimeter nowhere is no zone of the day",
    ),
    (
        lambda c, o: o["topological_matrix"].pop(1),
        "battery is in north, and the matrix does not have it",
    ),
    (
        lambda c, o: o["topological_matrix"][0].update(perimeter="south"),
        "mill is in perimeter south, its zone is north",
    ),
    (
        lambda c, o: (
            o.pop("topological_matrix"),
            [
                e.update({key: e[key].replace("2027", "2026") for key in ("start", "end")})
                for e in o["traffic_light"]
            ],
        ),
        "no light is of this day",
    ),
    (
        lambda c, o: c["resources"][0].update(expected_w=[1]),
        "resources.mill: expected_w has 1 values, the day 4 intervals",
    ),
    (lambda c, o: c["aggregates"][0]["members"].append("x"), "there is no resource x, a member"),
    (
        lambda c, o: c["aggregates"][0]["members"].append("genset"),
        "aggregates.uvam north: its member genset is in zone south, it is in north",
    ),
    (
        lambda c, o: c["aggregates"][0]["members"].append("genset"),
        "aggregates.uvam north: its member genset is in 2 aggregates",
    ),
    (
        lambda c, o: c["aggregates"][0]["members"].append("mill"),
        "aggregates.uvam north: its member mill is named 2 times",
    ),
    (
        lambda c, o: c["resources"][0].update(provider="plants"),
        "its member mill has the provider plants, it has aggregator-n",
    ),
    (lambda c, o: c["aggregates"][0].update(name="mill"), "there are 2 of this name"),
    (lambda c, o: c["aggregates"][0].update(provider="tso"), "there is no provider tso"),
    (lambda c, o: c["aggregates"][0].update(zone="x"), "aggregates.uvam north: there is no zone x"),
    (
        lambda c, o: c["offers"][0].update(quantity_w=501_000),
        "offers.north up: it offers 501,000 W upward, uvam north can do 500,000 W",
    ),
    (
        lambda c, o: c.update(
            contracts=[
                CONTRACT | {"name": "c", "resource": "uvam south"},
                CONTRACT | {"name": "d", "resource": "genset"},
            ]
        ),
        "contracts.d: genset is a member of uvam south, which has contracts itself",
    ),
    (
        lambda c, o: c.update(outages=[{"resource": "uvam north"}]),
        "outages.uvam north: uvam north is an aggregate; its members have outages",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("change", "said"), FAULTS)
def test_a_fault_is_a_sentence(
    change: Callable[[dict[str, Any], dict[str, Any]], object], said: str, tmp_path: Path
) -> None:
    with pytest.raises(InputFaults, match=re.escape(said)):
        ran(uvam(tmp_path, change), tmp_path)
