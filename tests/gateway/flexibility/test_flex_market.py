"""Cases of flexibility markets: the published one, files with faults, and the command."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from linear_markets import random_market
from typer.testing import CliRunner

from exchange.vocabulary.flexibility import Matching
from gateway.cli.main import app
from gateway.flexibility.case_loading import case_path
from gateway.flexibility.flex_market import run_flex_market
from gateway.flexibility.market_case import load_market_case, read_market_case
from gateway.flexibility.market_result import FlexMarketFile
from gateway.formats.faults import InputFaults

CASE = case_path("bundled:lfm-15bus")


def content() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(CASE.read_text(encoding="utf-8"))
    return found


def ran(case: dict[str, Any], matching: Matching) -> FlexMarketFile:
    return run_flex_market(read_market_case(json.dumps(case).encode(), "case"), matching)


@pytest.mark.parametrize("matching", list(Matching))
def test_the_published_market_is_reproduced(matching: Matching) -> None:
    """Pairwise to the last digit; matching of most welfare in the same order reaches as much."""
    published = content()["published"]["pairwise"]
    result = run_flex_market(load_market_case(CASE), matching)
    assert float(result.welfare) == pytest.approx(published["social_welfare"], abs=1e-9)
    assert float(result.optimum) == pytest.approx(1.2, abs=1e-9)
    assert not any(each.overloaded for each in result.flows)
    found = [[each.offer, each.request, each.quantity_mw] for each in result.matches]
    assert found == [[f"offers.{o}", f"requests.{r}", mw] for o, r, mw in published["trades"]]
    if matching is Matching.PAIRWISE:
        refused = {(each.offer, each.request) for each in result.refused}
        expected = published["refused_for_congestion"]
        assert refused == {(f"offers.{o}", f"requests.{r}") for o, r in expected}
        assert {each.branch for each in result.refused} == {"n3-n11"}


def test_money_of_the_published_market_sums_to_zero_at_the_older_price() -> None:
    result = run_flex_market(load_market_case(CASE), Matching.PAIRWISE)
    requests = content()["requests"]
    paid: dict[str, float] = {}
    for each in result.fills:
        paid[each.order] = paid.get(each.order, 0.0) + float(each.amount)
    assert sum(v for k, v in paid.items() if k.startswith("requests")) == pytest.approx(
        sum(v for k, v in paid.items() if k.startswith("offers"))
    )
    for k, request in enumerate(requests):  # requests are older than all offers
        bought = sum(e.quantity_mw for e in result.matches if e.request == f"requests.{k}")
        assert paid.get(f"requests.{k}", 0.0) == pytest.approx(bought * request["price"])


@given(st.integers(0, 2**32 - 1), st.sampled_from(list(Matching)))
def test_a_case_with_factors_and_arrivals_is_the_same_market(seed: int, matching: Matching) -> None:
    """Written with PTDF rows, limits of flows and orders in turn, a market ends as it does here."""
    made = random_market(seed)
    network = made.network
    buses = list(network.buses)
    case: dict[str, Any] = {
        "buses": buses,
        "slack_bus": buses[0],
        "branches": [
            {
                "id": name,
                "from": buses[0],
                "to": buses[-1],
                "ptdf": dict(zip(buses, row, strict=True)),
                "flow_min_mw": lower / 1e6,
                "flow_max_mw": upper / 1e6,
            }
            for name, row, lower, upper in zip(
                network.branches,
                network.ptdf.tolist(),
                network.lower_w.tolist(),
                network.upper_w.tolist(),
                strict=True,
            )
        ],
        "setpoint_mw": {"noon": dict(zip(buses, (made.set_point_w / 1e6).tolist(), strict=True))},
        "orders": [
            {
                "side": "request" if each.is_request else "offer",
                "type": "conditional" if each.conditional else "unconditional",
                "bus": buses[each.bus],
                "direction": each.direction.value.removesuffix("ward"),
                "quantity_mw": each.remaining_w / 1e6,
                "price": each.limit_price_ticks / 100,
                "interval": "noon",
            }
            for each in made.orders
        ],
    }
    result = ran(case, matching)
    flows = network.ptdf @ made.set_point_w
    assert [e.before_mw for e in result.flows] == pytest.approx(list(flows / 1e6), abs=1e-12)
    assert float(result.welfare) <= float(result.optimum) + 1e-12
    first = np.maximum(network.upper_w, flows)
    for each, largest in zip(result.flows, first, strict=True):
        assert each.largest_mw <= largest / 1e6 + 1e-11
    matched = sum(each.quantity_mw for each in result.matches)
    left = sum(each.left_mw for each in result.resting)
    asked = sum(entry["quantity_mw"] for entry in case["orders"])
    assert left + 2 * matched == pytest.approx(asked)


def changed(change: Callable[[dict[str, Any]], object]) -> dict[str, Any]:
    case = content()
    change(case)
    return case


FAULTS: list[tuple[Callable[[dict[str, Any]], object], str]] = [
    (lambda c: c["offers"][0].update(bus="n99"), "offers.0: there is no bus n99"),
    (lambda c: c["offers"][0].update(quantity_mw=1e-7), "offers.0: quantity_mw 1e-07 is not in"),
    (lambda c: c["offers"][0].update(price=1.005), "offers.0: price 1.005 is not a multiple"),
    (lambda c: c["offers"][0].update(quantity_mw=-1.0), "offers.0.quantity_mw"),
    (lambda c: c["offers"][0].update(interval="t1"), "offers.0: not t1; the intervals of"),
    (lambda c: c["branches"][0].update(x_pu=0.0), "n1-n2: its reactance is 0"),
    (lambda c: c["branches"][0].pop("rating_mw"), "n1-n2: it has no limit; give rating_mw"),
    (lambda c: c["branches"][0].update(flow_min_mw=0.0), "n1-n2: it has a rating and limits"),
    (lambda c: c["branches"][0].update(ptdf={"n99": 1.0}), "n1-n2: there is no bus n99"),
    (lambda c: c["branches"][0].pop("x_pu"), "n1-n2: it has no x_pu"),
    (lambda c: c["branches"].pop(0), "n2: no branch leads from it to the slack bus"),
    (lambda c: c["setpoint_mw"].update(n99=1.0), "setpoint_mw: there is no bus n99"),
    (lambda c: c.update(slack_bus="n99"), "slack_bus: there is no bus n99"),
    (lambda c: c["requests"][0].update(type="maybe"), "requests.0.type"),
    (
        lambda c: c.update(orders=[c["offers"][0] | {"side": "offer"}]),
        "orders: give orders in their order of arrival, or requests and offers, not both",
    ),
]


@pytest.mark.parametrize(("change", "said"), FAULTS)
def test_a_fault_of_a_file_is_named(change: Callable[[dict[str, Any]], object], said: str) -> None:
    with pytest.raises(InputFaults, match=re.escape(said)):
        read_market_case(json.dumps(changed(change)).encode(), "case")


def test_the_command_writes_what_it_shows(tmp_path) -> None:
    target = tmp_path / "result.json"
    runner = CliRunner()
    done = runner.invoke(
        app, ["flex-market", "bundled:lfm-15bus", "--matching", "pairwise", "-o", str(target)]
    )
    assert done.exit_code == 0
    written = FlexMarketFile.model_validate_json(target.read_text(encoding="utf-8"))
    assert written.welfare == "0.77"
    shown = runner.invoke(app, ["flex-market", "bundled:lfm-15bus", "--matching", "pairwise"])
    assert "offers.1 for requests.4, n3-n11 is full" in shown.stdout
    assert "welfare 0.77 by pairwise matching; 1.2 over all orders at once" in shown.stdout


def test_an_overloaded_set_point_is_named_and_is_exit_code_one(tmp_path) -> None:
    case = changed(lambda c: c["branches"][3].update(rating_mw=0.01))
    path = tmp_path / "case.json"
    path.write_text(json.dumps(case), encoding="utf-8")
    done = CliRunner().invoke(app, ["flex-market", str(path)])
    assert done.exit_code == 1
    assert "overloaded: n4-n5" in done.stdout
