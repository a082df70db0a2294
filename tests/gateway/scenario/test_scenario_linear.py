"""Scenarios of linear networks: read, allocated, verified, simulated and reported; faults named."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command_line import run
from scenario_files import GOOD, faults_of, load

from doe_allocation.allocation.linear.grid import LinearGrid
from gateway.formats.envelope_file import EnvelopeFile, IntervalStatus
from gateway.runs.market_report import MarketReport
from gateway.runs.result_file import ResultFile
from gateway.runs.verdict_file import VerdictFile
from gateway.scenario.linear.area import LinearArea, LinearSeries
from gateway.scenario.loading import load_scenario, scenario_path
from gateway.scenario.network_states import NO_MODEL, build_model
from gateway.scenario.schema import NetworkSection
from security_check.errors import Fault, GridError
from security_check.model.envelope import EnvelopeSet

NETWORK: dict[str, Any] = {
    "buses": ["grid", "mid", "end"],
    "slack_bus": "grid",
    "branches": [
        {"from": "grid", "to": "mid", "x_pu": 0.1, "rating_mw": 1.0},
        {"id": "spur", "from": "mid", "to": "end", "x_pu": 0.1, "rating_mw": 0.6},
    ],
    "connection_points": [{"id": "a", "bus": "mid"}, {"id": "b", "bus": "end"}],
    "setpoint_mw": {"end": -0.2},
}
LINEAR = """
[network]
kind = "linear"
source = "net.json"

[interface]
voltage_min_pu = 0.98
voltage_max_pu = 1.04

[capacity]
injection_w = 2000000
withdrawal_w = 2000000
"""
TIMED = (
    LINEAR
    + """
[intervals]
start = 2030-01-01T08:00:00Z
minutes = 30
count = 2
"""
)
TIMES = ("2030-01-01T08:00:00Z", "2030-01-01T08:30:00Z")


def network(change: Callable[[dict[str, Any]], object] = lambda _: None) -> dict[str, Any]:
    content = copy.deepcopy(NETWORK)
    change(content)
    return content


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write(tmp_path)
    return tmp_path


def write(folder: Path, change: Callable[[dict[str, Any]], object] = lambda _: None) -> None:
    (folder / "net.json").write_text(json.dumps(network(change)))


def limits(folder: Path, text: str) -> list[list[int]]:
    """Return withdrawal and injection limits of each interval: [wa, wb, ia, ib]."""
    scenario = load(folder, text)
    found = []
    for k, interval in enumerate(scenario.intervals):
        envelopes = scenario.grid_in(k).allocate(interval.interface_limits).envelopes()
        found.append([*envelopes.withdrawal_w.tolist(), *envelopes.injection_w.tolist()])
    return found


def test_reactances_and_factors_give_the_same_envelopes(folder: Path) -> None:
    by_reactance = limits(folder, LINEAR)
    assert by_reactance == [[400_000, 400_000, 600_000, 600_000]]

    def factors(content: dict[str, Any]) -> None:
        for branch, buses in zip(content["branches"], (["mid", "end"], ["end"]), strict=True):
            del branch["x_pu"]
            branch["ptdf"] = dict.fromkeys(buses, -1.0)

    write(folder, factors)
    assert limits(folder, LINEAR) == by_reactance


def timed(content: dict[str, Any]) -> None:
    main, spur = content["branches"]
    main["rating_mw"] = dict(zip(TIMES, (1.0, 0.8), strict=True))
    del spur["rating_mw"]
    spur |= {"flow_min_mw": dict(zip(TIMES, (-0.6, -0.3), strict=True)), "flow_max_mw": 0.5}
    content["setpoint_mw"] = {TIMES[0]: {"end": -0.2}, TIMES[1]: {"end": 0.1}}


def test_limits_and_set_points_follow_the_intervals(folder: Path) -> None:
    write(folder, timed)
    # 08:00: into the spur 0.5 - 0.2 MW for b, the rest of 0.8 for a.
    # 08:30: out of the spur 0.3 - 0.1 MW for b, the rest of 0.8 - 0.1 for a; in 0.6 and 0.3.
    assert limits(folder, TIMED) == [
        [500_000, 300_000, 600_000, 600_000],
        [450_000, 450_000, 500_000, 200_000],
    ]


def test_a_market_trades_each_interval_under_its_own_limits(folder: Path) -> None:
    write(folder, timed)
    path = folder / "village.toml"
    path.write_text(TIMED)
    envelopes, orders = folder / "envelopes.json", folder / "orders.jsonl"
    assert run("allocate", path, "-o", envelopes).exit_code == 0
    assert run("verify", path, envelopes).exit_code == 0
    lines = []
    for start in TIMES:
        for point, side in (("a", "sell"), ("b", "buy")):
            order = {
                "time": "2030-01-01T06:00:00Z",
                "type": "submit",
                "participant": point,
                "client_order_id": f"{side}-{start[11:13]}{start[14:16]}",
                "connection_point": point,
                "direction": "withdrawal",
                "interval": start,
                "side": side,
                "quantity_w": 50_000,
                "price": "0.0100",
            }
            lines.append(json.dumps(order))
    orders.write_text("\n".join(lines))
    done = run("simulate", path, orders, "-o", folder / "result.json")
    assert done.exit_code == 0, done.output
    result = ResultFile.model_validate_json((folder / "result.json").read_bytes())
    # At 08:00 the spur is full at 0.5 MW into it; at 08:30 it takes 0.6 MW, and b has 0.45.
    found = {
        each.start.isoformat()[11:16]: [own.withdrawal_limit_w for own in each.envelopes]
        for each in result.envelopes.intervals
    }
    assert found == {"08:00": [500_000, 300_000], "08:30": [400_000, 500_000]}
    assert run("report", path, orders, "-o", folder / "report.json").exit_code == 0
    report = MarketReport.model_validate_json((folder / "report.json").read_bytes())
    assert report.blocked == {"branch:spur": 1}
    assert [each.bought_w for each in report.intervals] == [0, 50_000]


def test_capacities_that_change_are_refused_by_a_market(folder: Path) -> None:
    rows = [f"{start},1000" for start in TIMES]
    (folder / "capacities.csv").write_text("\n".join(["start,a.injection_w", *rows, ""]))
    text = TIMED + '\n[profiles]\ncapacities = "capacities.csv"\n'
    (folder / "village.toml").write_text(text)
    refused = run("serve", folder / "village.toml")
    assert refused.exit_code == 2
    assert "capacities change from interval to interval" in " ".join(refused.output.split())


def test_an_interval_that_the_scenario_does_not_have_has_no_network(folder: Path) -> None:
    write(folder, timed)
    networks = load(folder, TIMED).networks()
    assert isinstance(networks, LinearSeries)
    later = datetime(2030, 1, 1, 9, tzinfo=UTC)
    with pytest.raises(GridError, match="no interval that starts at 2030-01-01T09:00:00Z"):
        networks.network_in(later)


@pytest.mark.parametrize(("unit", "values"), [("w", (-200_000, 100_000)), ("factor", (1.0, -0.5))])
def test_a_profile_replaces_set_points(
    folder: Path, unit: str, values: tuple[float, float]
) -> None:
    rows = [f"{start},{value}" for start, value in zip(TIMES, values, strict=True)]
    (folder / "powers.csv").write_text("\n".join(["start,end", *rows, ""]))
    text = TIMED + f'\n[profiles]\npowers = "powers.csv"\nunit = "{unit}"\n'
    area = load(folder, text).network
    assert isinstance(area, LinearArea)
    assert area.setpoint_w.tolist() == [[0, 0, -200_000], [0, 0, 100_000]]
    assert limits(folder, text)[0] == limits(folder, LINEAR)[0]


FAULTS: list[tuple[Callable[[dict[str, Any]], object], str, str]] = [
    (lambda c: c["connection_points"][0].update(bus="x"), "a", "there is no bus x"),
    (lambda c: c["connection_points"][1].update(id="a"), "a", "2 connection points have this id"),
    (lambda c: c["connection_points"][1].update(id="b c"), "b c", "must not have blanks"),
    (lambda c: c["buses"].__setitem__(2, "e.nd"), "e.nd", "must not have blanks, slashes, dots"),
    (lambda c: c["branches"][0].pop("rating_mw"), "grid-mid", "it has no limit"),
    (lambda c: c["branches"][1].update(flow_max_mw=1.0), "spur", "a rating and limits of its flow"),
    (lambda c: c["branches"][1].update(x_pu=0.0), "spur", "its reactance is 0"),
    (lambda c: c["branches"].pop(), "end", "no branch leads from it to the slack bus"),
    (lambda c: c.update(slack_bus="x"), "slack_bus", "there is no bus x"),
    (lambda c: c["setpoint_mw"].update(x=1.0), "setpoint_mw", "there is no bus x"),
    (lambda c: c.update(taps={}), "net.json.taps", "there is no such entry"),
    (lambda c: c["branches"][1].update(ptdf={"end": -1.0}), "grid-mid", "it has no ptdf"),
    (
        lambda c: [each.update(ptdf={"grid": 0.5}) for each in c["branches"]],
        "spur",
        "its factor of the slack bus is 0.5, it must be 0",
    ),
    (
        lambda c: c["branches"][1].update(rating_mw={TIMES[0]: 1.0}),
        "spur",
        "it has no value for 2030-01-01T08:30:00Z",
    ),
    (
        lambda c: c["branches"][1].update(rating_mw={"noon": 1.0}),
        "spur",
        "'noon' is not the start of an interval",
    ),
    (
        lambda c: c["branches"].__setitem__(
            1,
            {
                "from": "mid",
                "to": "end",
                "x_pu": 0.1,
                "flow_min_mw": -0.5,
                "flow_max_mw": dict(zip(TIMES, (0.5, -0.5), strict=True)),
            },
        ),
        "mid-end",
        "its limits -500000 W and -500000 W leave no room in 2030-01-01T08:30:00Z",
    ),
]


@pytest.mark.parametrize(("change", "element", "said"), FAULTS)
def test_a_fault_of_the_file_is_named(
    folder: Path, change: Callable[[dict[str, Any]], object], element: str, said: str
) -> None:
    write(folder, change)
    found = faults_of(folder, TIMED)
    assert any(said in each for each in found[element]), found


WITHOUT_MEANING = """
[limits]
voltage_max_pu = 1.05

[inverters]
response = "none"

[uncertainty]
relative = 0.1

[actions]
switchable = ["switch:0"]
"""


def test_everything_without_a_meaning_is_a_fault_at_once(folder: Path) -> None:
    text = LINEAR.replace('source = "net.json"', 'source = "net.json"\ntaps = "neutral"')
    text = text.replace("[capacity]", "reactive_max_var = 5\nunbalance_pu = 0.1\n\n[capacity]")
    text = text.replace("withdrawal_w", "power_factor = 0.9\nwithdrawal_w")
    found = faults_of(folder, text + WITHOUT_MEANING)
    assert set(found) == {
        "limits",
        "inverters",
        "uncertainty",
        "actions",
        "network.taps",
        "capacity.power_factor",
        "interface.reactive_max_var",
        "interface.unbalance_pu",
    }
    assert all('network.kind is "linear"' in each for own in found.values() for each in own)


def test_an_operator_of_a_hierarchy_has_no_linear_network(folder: Path) -> None:
    faults: list[Fault] = []
    section = NetworkSection(kind="linear", source="net.json")
    assert build_model(section, None, "source", "south", folder, faults) is NO_MODEL
    assert [each.element for each in faults] == ["network.kind"]


def test_a_source_that_is_not_there_is_named(folder: Path) -> None:
    assert (
        "cannot be read"
        in faults_of(folder, LINEAR.replace("net.json", "no.json"))["network.source"][0]
    )
    unknown = faults_of(folder, LINEAR.replace("net.json", "bundled:no"))["network.source"]
    assert "known names: ring" in unknown[0]
    assert "kind" not in GOOD


def test_an_interval_that_cannot_be_secured_names_branch_flow_and_limit(folder: Path) -> None:
    write(folder, lambda c: c["setpoint_mw"].update(end=-0.7))
    (folder / "village.toml").write_text(LINEAR)
    done = run("allocate", folder / "village.toml", "-o", folder / "out.json")
    assert done.exit_code == 1
    (record,) = EnvelopeFile.model_validate_json((folder / "out.json").read_bytes()).intervals
    assert record.status is IntervalStatus.NONE
    assert "branch:spur reaches 700,000 W of 600,000 W" in record.reason
    assert [each.element for each in record.violations] == ["branch:spur"]


@pytest.mark.parametrize(
    ("command", "options"),
    [("allocate", ("--certificate", "c.json")), ("topology", ())],
)
def test_commands_that_need_voltages_say_so(
    folder: Path, command: str, options: tuple[str, ...]
) -> None:
    (folder / "village.toml").write_text(LINEAR)
    named = [folder / each if each.endswith(".json") else each for each in options]
    done = run(command, folder / "village.toml", *named)
    assert done.exit_code == 2
    said = " ".join(done.output.split())
    assert re.search(r"network with AC power flow|actions: this section is missing", said)


def orders_of_the_page() -> str:
    """Return the orders that docs/networks.md shows."""
    page = (Path(__file__).parents[3] / "docs" / "networks.md").read_text(encoding="utf-8")
    return page.split("<!-- orders of the ring -->\n```json\n")[1].split("```")[0]


def test_the_bundled_ring_allocates_verifies_simulates_and_reports(tmp_path: Path) -> None:
    envelopes, orders = tmp_path / "envelopes.json", tmp_path / "orders.jsonl"
    assert run("allocate", "bundled:ring", "-o", envelopes).exit_code == 0
    (interval,) = EnvelopeFile.model_validate_json(envelopes.read_bytes()).intervals
    by_name = {each.connection_point: each for each in interval.envelopes}
    assert by_name["wind-1"].injection_limit_w == by_name["wind-2"].injection_limit_w == 14_067_073
    assert by_name["wind-1"].injection_bottleneck == "branch:north-east"
    assert interval.proof is not None
    assert interval.proof.secure
    assert run("verify", "bundled:ring", envelopes, "-o", tmp_path / "verdict.json").exit_code == 0
    verdict = VerdictFile.model_validate_json((tmp_path / "verdict.json").read_bytes())
    assert verdict.loading == pytest.approx(1.0, abs=1e-6)
    orders.write_text(orders_of_the_page())
    done = run("simulate", "bundled:ring", orders, "-o", tmp_path / "result.json")
    assert done.exit_code == 0
    result = ResultFile.model_validate_json((tmp_path / "result.json").read_bytes())
    assert [(each.seller, each.quantity_w) for each in result.trades] == [("ridge-wind", 2_000_000)]
    assert not result.refusals
    assert run("report", "bundled:ring", orders, "-o", tmp_path / "report.json").exit_code == 0
    report = MarketReport.model_validate_json((tmp_path / "report.json").read_bytes())
    assert report.share == 1.0
    assert list(report.blocked) == ["branch:north-east"]
    shown = run("report", "bundled:ring", orders, "--plot", tmp_path / "map.svg")
    assert shown.exit_code == 2
    assert "network with AC power flow" in " ".join(shown.output.split())
    compared = run("fairness", "bundled:ring")
    assert compared.exit_code == 0
    assert "maximum sum" in compared.output
    lights = run("outputs", "bundled:ring", envelopes)
    assert lights.exit_code == 0


def test_no_vertex_drawn_of_the_ring_is_beyond_a_limit() -> None:
    scenario = load_scenario(scenario_path("bundled:ring"))
    area, grid = scenario.network, scenario.grid()
    assert isinstance(area, LinearArea)
    assert isinstance(grid, LinearGrid)
    held: EnvelopeSet = grid.allocate(scenario.interface_limits).envelopes()
    rng = np.random.default_rng(3)
    share = rng.integers(0, 2, (500, 5))
    power = share * held.injection_w - (1 - share) * held.withdrawal_w
    flows = grid.operation.flows_w(power.astype(float))
    assert (flows <= area.upper_w + 1e-3).all()
    assert (flows >= area.lower_w - 1e-3).all()
