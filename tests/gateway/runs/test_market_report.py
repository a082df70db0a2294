"""The report on recorded markets: figures worked out by hand, and from the events again."""

from __future__ import annotations

import json
import random
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from networks import feeder
from pictures import check_figure, saved_figures
from typer.testing import CliRunner

from exchange.vocabulary.events import Traded
from gateway.cli.main import app
from gateway.formats.orders_file import read_order_line
from gateway.plots.price_map import tree_layout
from gateway.runs.market_report import MarketReport, market_report
from gateway.runs.simulation import Simulation, simulate
from gateway.scenario.loading import load_scenario
from gateway.scenario.scenario import Scenario
from security_check.importers.pandapower_balanced import network_from_pandapower
from security_check.model.envelope import Direction

SCENARIO = """
[network]
source = "net.json"
[interface]
voltage_min_pu = 0.98
voltage_max_pu = 1.04
[capacity]
injection_w = 20000
withdrawal_w = 20000
"""
NOON = "2026-07-01T12:00:00Z"


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    import pandapower as pp

    folder = tmp_path_factory.mktemp("net")
    pp.to_json(feeder(6, 2), str(folder / "net.json"))
    (folder / "scenario.toml").write_text(SCENARIO)
    return folder / "scenario.toml"


@pytest.fixture(scope="module")
def scenario(path: Path) -> Scenario:
    return load_scenario(path)


def line(number: int, point: int, side: str, price: str, **more: Any) -> dict[str, Any]:
    return {
        "time": f"2026-07-01T10:{number // 60:02}:{number % 60:02}Z",
        "type": "submit",
        "participant": f"p{point}",
        "client_order_id": f"c{number}",
        "connection_point": f"load:{point}",
        "direction": "injection",
        "interval": NOON,
        "side": side,
        "quantity_w": 100,
        "price": price,
    } | more


def run(scenario: Scenario, lines: list[dict[str, Any]]) -> tuple[Simulation, MarketReport]:
    texts = [read_order_line(n, json.dumps(each).encode()) for n, each in enumerate(lines, 1)]
    simulation = simulate(scenario, texts)
    return simulation, market_report(scenario, simulation)


def test_a_small_market_by_hand(scenario: Scenario) -> None:
    _, report = run(
        scenario,
        [
            line(1, 0, "sell", "0.0100"),
            line(2, 1, "buy", "0.0200"),  # takes what would be worth more to the next
            line(3, 2, "buy", "0.0900"),
            line(4, 2, "sell", "0.0100", quantity_w=10**6),
            line(5, 3, "buy", "a lot"),
        ],
    )
    assert (report.welfare, report.clairvoyant_welfare) == ("0.001", "0.008")
    assert report.share == 1 / 8
    assert (report.congestion_rent, report.clairvoyant_rent) == ("0", "0")
    assert report.refusals == {"exceeds_holding": 1, "malformed": 1}
    assert (report.clearings, report.bought_w, report.sold_w) == (1, 100, 100)
    assert report.tiers == {"merit_order": 1}
    rows = {(row.direction, row.connection_point): row for row in report.prices}
    assert len(rows) == 2 * 6
    assert rows[Direction.INJECTION, "load:0"].sold_w == 100
    assert rows[Direction.INJECTION, "load:0"].average_price == "0.0100"  # the maker's price
    assert rows[Direction.INJECTION, "load:1"].average_price == "0.0100"
    assert rows[Direction.INJECTION, "load:2"].average_price is None
    # One bid is left: it is the local price.
    assert rows[Direction.INJECTION, "load:5"].local_price == "0.0900"
    assert rows[Direction.WITHDRAWAL, "load:5"].local_price is None


def random_lines(seed: int, count: int) -> list[dict[str, Any]]:
    draw = random.Random(seed)
    return [
        line(
            number,
            draw.randrange(6),
            draw.choice(["buy", "sell"]),
            f"{draw.randrange(100, 900) / 1e4:.4f}",
            direction=draw.choice(["injection", "withdrawal"]),
            quantity_w=draw.randrange(100, 3_000),
        )
        for number in range(count)
    ]


@pytest.mark.parametrize("seed", [1, 2])
def test_a_report_adds_up(scenario: Scenario, seed: int) -> None:
    simulation, report = run(scenario, random_lines(seed, 60))
    assert report.welfare == simulation.result.welfare
    assert report.clearings > 5
    # A market that does not know the future does no better, but for what a lot rounds away.
    assert report.share is not None
    assert 0.3 < report.share <= 1.0001
    assert Decimal(report.clairvoyant_rent) >= 0
    trades = [event for event in simulation.events if isinstance(event, Traded)]
    fills = [fill for trade in trades for fill in trade.fills]
    for row in report.prices:
        mine = [
            f
            for f in fills
            if f.connection_point == row.connection_point and f.direction is row.direction
        ]
        assert row.bought_w + row.sold_w == sum(fill.quantity_w for fill in mine)
        assert row.bought_w - row.sold_w == sum(fill.change_w for fill in mine)
        assert (row.average_price is None) == (not mine)
        if row.average_price is not None:
            paid = sum(abs(fill.amount) for fill in mine)  # prices are positive here
            average = Fraction(paid, sum(fill.quantity_w for fill in mine)) / 10_000
            assert float(row.average_price) == pytest.approx(float(average), abs=1e-9)
    assert sum(each.bought_w for each in report.intervals) == report.bought_w


def test_nothing_that_rests_can_trade_at_the_last_local_prices(scenario: Scenario) -> None:
    simulation, report = run(scenario, random_lines(3, 60))
    lines = {f"c{n}": each for n, each in enumerate(random_lines(3, 60))}
    local = {(row.direction, row.connection_point): row.local_price for row in report.prices}
    assert simulation.result.resting
    for resting in simulation.result.resting:
        order = lines[resting.client_order_id]
        price = local[order["direction"], order["connection_point"]]
        assert price is not None
        better = float(order["price"]) - float(price)
        # An order better than its local price is worth a lot at most, or it would have traded.
        gain = better if order["side"] == "buy" else -better
        assert gain * resting.remaining_w <= 0.09


def test_the_layout_is_a_tree_over_all_nodes() -> None:
    network = network_from_pandapower(feeder(6, 2))
    layout = tree_layout(network)
    (root,) = network.interface.nodes.tolist()
    assert layout.x[root] == 0
    assert layout.parent[root] == root
    assert np.isfinite(layout.x).all()
    others = [node for node in range(len(network.nodes)) if node != root]
    assert all(layout.x[layout.parent[node]] < layout.x[node] for node in others)
    admittance = abs(network.admittance).toarray()
    assert all(admittance[node, layout.parent[node]] > 0 for node in others)
    places = [(layout.x[node], layout.y[node]) for node in layout.node_of.tolist()]
    assert len(set(places)) == len(network.connection_points) == 6


def test_the_command_writes_report_and_picture(path: Path, tmp_path: Path) -> None:
    orders = tmp_path / "orders.jsonl"
    orders.write_text("\n".join(json.dumps(each) for each in random_lines(4, 30)))
    output, plot = tmp_path / "report.json", tmp_path / "map.png"
    asked = ["report", str(path), str(orders), "-o", str(output), "--plot", str(plot)]
    with saved_figures() as figures:
        result = CliRunner().invoke(app, asked)
    assert result.exit_code == 0, result.output
    assert "of the clairvoyant" not in result.stdout  # that is the picture's title
    assert "clairvoyant optimum" in result.stdout
    MarketReport.model_validate_json(output.read_bytes())
    assert plot.read_bytes().startswith(b"\x89PNG")
    (figure,) = figures
    texts = check_figure(figure)
    assert any("of the clairvoyant" in text for text in texts)
    assert sum(text.endswith("kW traded") for text in texts) == 2
    dots = [len(part.get_offsets()) for axes in figure.axes[:2] for part in axes.collections]
    assert sum(dots) == 2 * 6, "a dot for each connection point and direction"
    asked[-1] = str(tmp_path / "map.nonsense")
    result = CliRunner().invoke(app, asked)
    assert result.exit_code == 2
    assert "cannot be drawn" in result.stderr


def test_an_empty_file_is_reported_and_fails_as_in_simulate(path: Path, tmp_path: Path) -> None:
    orders = tmp_path / "orders.jsonl"
    orders.write_text("")
    result = CliRunner().invoke(app, ["report", str(path), str(orders), "--json"])
    assert result.exit_code == 1
    report = MarketReport.model_validate_json(result.stdout)
    assert (report.welfare, report.share, report.clearings) == ("0", None, 0)
