from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pandapower as pp
import pytest

from exchange.vocabulary.reasons import RefusalReason
from exchange.vocabulary.rules import DSO_CONGESTION_RENT
from gateway.formats.faults import InputFaults
from gateway.formats.orders_file import read_orders
from gateway.runs.result_file import ResultFile
from gateway.runs.simulation import Simulation, simulate
from gateway.scenario.loading import load_scenario
from gateway.scenario.scenario import Scenario

SCENARIO = """
[network]
source = "net.json"
[interface]
voltage_min_pu = 1.0
voltage_max_pu = 1.0
[capacity]
injection_w = 20000
withdrawal_w = 20000
fallback_injection_w = 1000
"""
NOON = "2026-07-01T12:00:00Z"


@pytest.fixture(scope="module")
def net(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two customers on one feeder that carries 24 kW, one at the transformer."""
    net = pp.create_empty_network()
    high = pp.create_bus(net, 20.0)
    busbar, near, far = (pp.create_bus(net, 0.4) for _ in range(3))
    pp.create_ext_grid(net, high)
    pp.create_transformer(net, high, busbar, "0.25 MVA 20/0.4 kV")
    pp.create_line(net, busbar, near, 0.05, "NAYY 4x50 SE")
    pp.create_line(net, near, far, 0.05, "NAYY 4x50 SE")
    net.line.loc[0, "max_i_ka"] = 24e3 / 3**0.5 / 400 / 1e3
    for bus in (near, far, busbar):
        pp.create_load(net, bus, 0.002)
    path = tmp_path_factory.mktemp("net") / "net.json"
    pp.to_json(net, str(path))
    return path


@pytest.fixture
def load(net: Path, tmp_path: Path) -> Callable[[str], Scenario]:
    def load_with(more: str = "") -> Scenario:
        path = tmp_path / "scenario.toml"
        path.write_text(SCENARIO.replace("net.json", str(net)) + more)
        return load_scenario(path)

    return load_with


def order(client_order_id: str, **changes: Any) -> dict[str, Any]:
    whole = {
        "time": "2026-07-01T10:00:00Z",
        "type": "submit",
        "participant": "p0",
        "client_order_id": client_order_id,
        "connection_point": "load:0",
        "direction": "injection",
        "interval": NOON,
        "side": "sell",
        "quantity_w": 1000,
        "price": "0.0100",
    } | changes
    return {key: value for key, value in whole.items() if value is not None}


def buy(client_order_id: str, **changes: Any) -> dict[str, Any]:
    usual = {"participant": "p1", "connection_point": "load:1", "side": "buy", "price": "0.0450"}
    return order(client_order_id, **(usual | changes))


def cancel(client_order_id: str, time: str = "2026-07-01T10:00:00Z") -> dict[str, Any]:
    return {"type": "cancel", "time": time, "participant": "p0", "client_order_id": client_order_id}


def run(scenario: Scenario, tmp_path: Path, *lines: dict[str, Any] | str) -> Simulation:
    path = tmp_path / "orders.jsonl"
    path.write_text("\n".join(x if isinstance(x, str) else json.dumps(x) for x in lines))
    return simulate(scenario, read_orders(path))


def reasons(result: ResultFile) -> list[tuple[int, RefusalReason]]:
    return [(refusal.line, refusal.reason) for refusal in result.refusals]


def test_a_trade_moves_limit_and_money(load: Any, tmp_path: Path) -> None:
    result = run(load(), tmp_path, order("s1", quantity_w=1500), buy("b1")).result
    (trade,) = result.trades
    assert (trade.buyer, trade.seller, trade.quantity_w) == ("p1", "p0", 1000)
    assert (trade.buy_connection_point, trade.sell_connection_point) == ("load:1", "load:0")
    assert trade.price == "0.0100"  # the maker's own
    assert [(f.client_order_id, f.quantity_w, f.amount) for f in result.fills] == [
        ("b1", 1000, "0.01"),
        ("s1", 1000, "-0.01"),
    ]
    assert [(r.client_order_id, r.remaining_w) for r in result.resting] == [("s1", 500)]
    assert result.welfare == "0.035"
    assert {s.participant: s.balance for s in result.statements} == {"p0": "0.01", "p1": "-0.01"}
    after = {
        e.connection_point: e.injection_limit_w for e in result.envelopes.intervals[0].envelopes
    }
    assert after["load:0"] < after["load:1"]
    assert after["load:1"] - after["load:0"] == pytest.approx(2000, abs=2)
    assert reasons(result) == []


def test_every_kind_of_order_goes_through(load: Any, tmp_path: Path) -> None:
    result = run(
        load(),
        tmp_path,
        order("ice", quantity_w=900, displayed_quantity_w=300),
        buy("all", quantity_w=1000, all_or_none=True),
        buy("post", quantity_w=100, price="0.0100", post_only=True),
        buy("some", quantity_w=1000, price="0.0050", minimum_quantity_w=950),
        order("plain", quantity_w=100, price="0.0200", time="2026-07-01T10:01:00Z"),
        order("own", price="0.0900", time="2026-07-01T10:02:00Z"),
        buy("take", order_type="market", price=None, quantity_w=50, time="2026-07-01T10:03:00Z"),
        {
            "type": "mass_cancel",
            "time": "2026-07-01T10:04:00Z",
            "participant": "p0",
            "side": "sell",
        },
    ).result
    assert [(t.quantity_w, t.price) for t in result.trades] == [
        (900, "0.0450"),
        (100, "0.0450"),
        (50, "0.0900"),
    ]
    # "plain" set the clearing off: the others trade at their own limits, it gets the difference.
    assert [(f.client_order_id, f.amount) for f in result.fills] == [
        ("all", "0.045"),
        ("ice", "-0.009"),
        ("plain", "-0.036"),
        ("take", "0.0045"),
        ("own", "-0.0045"),
    ]
    assert reasons(result) == [(3, RefusalReason.WOULD_CROSS)]
    assert [(r.client_order_id, r.remaining_w) for r in result.resting] == [("some", 1000)]


INTERVALS = """
[intervals]
start = 2026-07-01T12:00:00Z
minutes = 15
count = 2
"""


def test_blocks_and_linked_pairs_go_through(load: Any, tmp_path: Path) -> None:
    later = "2026-07-01T12:15:00Z"
    block = {
        "time": "2026-07-01T10:00:00Z",
        "type": "block",
        "participant": "p0",
        "client_order_id": "block",
        "connection_point": "load:0",
        "direction": "injection",
        "intervals": [NOON, later],
        "side": "sell",
        "quantity_w": 1000,
        "price": "0.0100",
    }
    pair = {
        "time": "2026-07-01T10:01:00Z",
        "type": "linked",
        "participant": "p1",
        "client_order_id": "pair",
        "legs": [
            {
                "connection_point": "load:1",
                "direction": "injection",
                "interval": start,
                "side": "buy",
                "quantity_w": 400,
                "price": "0.0450",
            }
            for start in (NOON, later)
        ],
    }
    off_tick = block | {"client_order_id": "odd", "price": "0.00005"}
    result = run(load(INTERVALS), tmp_path, block, pair, off_tick).result
    assert [(t.quantity_w, t.price) for t in result.trades] == [(400, "0.0100")] * 2
    assert [(f.client_order_id, f.quantity_w) for f in result.fills] == [
        ("pair", 800),
        ("block", 800),
    ]
    assert [(r.client_order_id, r.remaining_w) for r in result.resting] == [("block", 600)]
    assert reasons(result) == [(3, RefusalReason.PRICE_INVALID)]


def test_the_result_has_exactly_the_entries_of_the_format(load: Any, tmp_path: Path) -> None:
    result = run(load(), tmp_path, order("s1"), buy("b1"), "nonsense").result
    plain = json.loads(result.model_dump_json())
    assert list(plain) == [
        "trades",
        "fills",
        "resting",
        "refusals",
        "envelopes",
        "welfare",
        "statements",
        "statistics",
        "local_prices",
    ]
    assert list(plain["trades"][0]) == [
        "buyer",
        "seller",
        "buy_connection_point",
        "sell_connection_point",
        "direction",
        "quantity_w",
        "price",
    ]
    assert list(plain["fills"][0]) == ["participant", "client_order_id", "quantity_w", "amount"]
    assert ResultFile.model_validate_json(result.model_dump_json()) == result


def test_the_network_blocks_what_it_cannot_carry(load: Any, tmp_path: Path) -> None:
    simulation = run(
        load(),
        tmp_path,
        order("s1", participant="p2", connection_point="load:2", quantity_w=2000),
        buy("b1", quantity_w=2000),
    )
    assert simulation.result.trades == []
    assert {blocked.element for blocked in simulation.blocked} == {"line:0"}
    assert [r.remaining_w for r in simulation.result.resting] == [2000, 2000]


def test_faulty_lines_become_refusals_with_their_numbers(load: Any, tmp_path: Path) -> None:
    result = run(
        load(),
        tmp_path,
        "nonsense",
        order("s1", price=0.5),
        order("s2", price="0.00005"),
        order("s3", quantity_w=19_999),
        order("s4", connection_point="load:9"),
        "",
        buy("b1", quantity_w=-5),
        buy("b2", quantity_w=19_999),
        cancel("s9"),
        "x" * 20_000,
    ).result
    assert reasons(result) == [
        (1, RefusalReason.MALFORMED),
        (2, RefusalReason.MALFORMED),
        (3, RefusalReason.PRICE_INVALID),
        (4, RefusalReason.EXCEEDS_HOLDING),
        (5, RefusalReason.UNKNOWN_CONNECTION_POINT),
        (7, RefusalReason.QUANTITY_INVALID),
        (8, RefusalReason.EXCEEDS_CAPACITY),
        (9, RefusalReason.UNKNOWN_ORDER),
        (10, RefusalReason.TOO_LARGE),
    ]
    assert result.refusals[1].client_order_id == "s1"
    assert "0.00005 is not a multiple" in result.refusals[2].detail


def test_no_participant_sells_below_the_fallback(load: Any, tmp_path: Path) -> None:
    result = run(load(), tmp_path, order("s1", quantity_w=11_100)).result
    assert reasons(result) == [(1, RefusalReason.EXCEEDS_HOLDING)]
    assert "1,000 W are the fallback" in result.refusals[0].detail


def test_orders_are_taken_by_time_and_then_as_they_stand(load: Any, tmp_path: Path) -> None:
    result = run(
        load(),
        tmp_path,
        buy("b1", time="2026-07-01T11:00:00Z"),
        order("s1", price="0.0300", time="2026-07-01T10:30:00Z"),
        order("s2", price="0.0300", time="2026-07-01T10:30:00+02:00"),
        order("s3", price="0.0300", time="2026-07-01T10:30:00Z"),
    ).result
    assert [fill.client_order_id for fill in result.fills] == ["b1", "s2"]
    assert [rest.client_order_id for rest in result.resting] == ["s1", "s3"]


def test_cancel_amend_and_times_in_force(load: Any, tmp_path: Path) -> None:
    result = run(
        load(),
        tmp_path,
        order("s1"),
        cancel("s1"),
        order("s2"),
        {
            "type": "amend",
            "time": "2026-07-01T10:00:00Z",
            "participant": "p0",
            "client_order_id": "s2",
            "quantity_w": 600,
            "price": "0.0200",
        },
        buy("b1", time_in_force="FOK"),
        buy("b2", time_in_force="IOC"),
        order("s3", time_in_force="GTD", expires_at="2026-07-01T10:30:00Z"),
        buy("b3", time="2026-07-01T10:45:00Z"),
    ).result
    assert [(f.client_order_id, f.quantity_w, f.amount) for f in result.fills] == [
        ("b2", 600, "0.012"),
        ("s2", 600, "-0.012"),
    ]
    assert [rest.client_order_id for rest in result.resting] == ["b3"]


def test_a_line_sent_twice_has_the_effect_of_once(load: Any, tmp_path: Path) -> None:
    result = run(load(), tmp_path, order("s1"), order("s1"), order("s1", quantity_w=7)).result
    assert [rest.remaining_w for rest in result.resting] == [1000]
    assert reasons(result) == [(3, RefusalReason.CLIENT_ORDER_ID_REUSED)]


def amend(client_order_id: str, price: str, **more: Any) -> dict[str, Any]:
    return cancel(client_order_id) | {"type": "amend", "price": price} | more


def test_lines_without_an_id_are_requests_of_their_own(load: Any, tmp_path: Path) -> None:
    """Also where they are equal: files were written so before there were ids."""
    cheap, dear = amend("s1", "0.0300"), amend("s1", "0.0600")
    lines = [order("s1"), cheap, dear, cheap, buy("b1", price="0.0400", quantity_w=200)]
    result = run(load(), tmp_path, *lines, cancel("s1"), cancel("s1")).result
    assert [trade.price for trade in result.trades] == ["0.0300"]
    assert result.resting == []
    assert reasons(result) == [(7, RefusalReason.ORDER_NOT_OPEN)]


def test_a_line_whose_id_comes_again_has_no_second_effect(load: Any, tmp_path: Path) -> None:
    cheap, dear = (amend("s1", f"0.0{n}00", request_id=f"r{n}") for n in (3, 6))
    every = cancel("s1") | {"type": "mass_cancel", "request_id": "r9"}
    del every["client_order_id"]
    lines = [order("s1"), cheap, dear, cheap, buy("b1", price="0.0400", quantity_w=200)]
    more = [every, order("s2", price="0.0900"), every, cancel("s2") | {"request_id": "r9"}]
    result = run(load(), tmp_path, *lines, *more).result
    assert result.trades == []
    assert [rest.client_order_id for rest in result.resting] == ["b1", "s2"]
    assert reasons(result) == [(9, RefusalReason.CLIENT_ORDER_ID_REUSED)]
    assert result.refusals[0].client_order_id == "s2"


def test_the_first_order_binds_a_connection_point(load: Any, tmp_path: Path) -> None:
    result = run(load(), tmp_path, order("s1"), order("s2", participant="p9")).result
    assert reasons(result) == [(2, RefusalReason.NOT_OWNER)]


def test_participants_of_the_scenario_stand(load: Any, tmp_path: Path) -> None:
    scenario = load('[participants]\nbakery = ["load:0"]\n')
    result = run(
        scenario,
        tmp_path,
        order("s1"),
        order("s2", participant="bakery"),
        order("s3", participant="load:1", connection_point="load:1"),
        order("s4", participant="tso"),
    ).result
    assert reasons(result) == [(1, RefusalReason.NOT_OWNER), (4, RefusalReason.NOT_OWNER)]


def test_one_anonymous_interval_takes_its_start_from_the_orders(load: Any, tmp_path: Path) -> None:
    result = run(load(), tmp_path, order("s1"), buy("b1", interval=None)).result
    (interval,) = result.envelopes.intervals
    assert interval.start.isoformat() == "2026-07-01T12:00:00+00:00"
    assert len(result.trades) == 1
    with pytest.raises(InputFaults) as caught:
        run(load(), tmp_path, order("s1"), buy("b1", interval="2026-07-01T12:15:00Z"))
    assert "2026-07-01T12:00:00Z and 2026-07-01T12:15:00Z" in caught.value.faults[0].detail


def test_orders_may_come_after_the_start_of_an_anonymous_interval(
    load: Any, tmp_path: Path
) -> None:
    result = run(load(), tmp_path, order("s1", time="2027-01-01T00:00:00Z", interval=None)).result
    assert len(result.resting) == 1


def test_named_intervals_close_their_gates(load: Any, tmp_path: Path) -> None:
    scenario = load(
        "[market]\ngate_closure_minutes = 30\n"
        "[intervals]\nstart = 2026-07-01T12:00:00Z\ncount = 2\n"
    )
    result = run(
        scenario,
        tmp_path,
        order("s1", time="2026-07-01T11:29:59Z"),
        buy("b1", time="2026-07-01T11:30:00Z"),
        order("s2", interval="2026-07-01T12:15:00Z"),
        order("s3", interval="2026-07-01T12:30:00Z"),
        order("s4", interval=None),
        order("s5", participant="p2", connection_point="load:2", direction="withdrawal"),
    ).result
    assert reasons(result) == [
        (2, RefusalReason.GATE_CLOSED),
        (4, RefusalReason.UNKNOWN_INTERVAL),
        (5, RefusalReason.MALFORMED),
    ]
    assert [i.start.minute for i in result.envelopes.intervals] == [0, 15]
    assert [r.client_order_id for r in result.resting] == ["s2"]


def test_where_the_network_decides_the_operator_makes_up_the_difference(
    load: Any, tmp_path: Path
) -> None:
    market = '[market]\nexchange_rate = "network_weighted"\nreserve_price = "0.0020"\n'
    result = run(
        load(market),
        tmp_path,
        order("s1", quantity_w=1500),
        order("s0", direction="withdrawal", price="0.0010"),
        buy("b1", quantity_w=1000),
        # At the transformer, where the line of the others has no part in it.
        buy("b2", participant="p2", connection_point="load:2", price="0.0030", quantity_w=300),
    ).result
    bought: Counter[str] = Counter()
    for trade in result.trades:
        bought[trade.buyer] += trade.quantity_w
        bought[trade.seller] -= trade.quantity_w
    # Where the operator is one of the two, its statement is that of its account.
    statements = {
        "operator" if each.participant == DSO_CONGESTION_RENT else each.participant: each
        for each in result.statements
    }
    assert set(bought) == set(statements)
    for name, statement in statements.items():
        assert bought[name] == statement.bought_w - statement.sold_w
    assert bought["operator"] != 0
    assert {t.sell_connection_point == "" for t in result.trades if t.seller == "operator"} == {
        True
    }
    assert sum(Decimal(each.balance) for each in result.statements) == 0
    limit_prices = {"s1": "0.0100", "s0": "0.0010", "b1": "0.0450", "b2": "0.0030"}
    gain = sum(
        Decimal(limit_prices[f.client_order_id])
        * f.quantity_w
        * (1 if f.client_order_id[0] == "b" else -1)
        for f in result.fills
    )
    issued_w = -bought["operator"]
    assert Decimal(result.welfare) == (gain - Decimal("0.0020") * issued_w) / 1000 > 0


def test_an_interval_without_secure_envelopes_does_not_open(load: Any, tmp_path: Path) -> None:
    simulation = run(load("fallback_withdrawal_w = 20000\n"), tmp_path, order("s1"))
    (interval,) = simulation.result.envelopes.intervals
    assert (interval.status, interval.envelopes) == ("none", [])
    assert [each.element for each in interval.violations] == ["line:0"]
    (alarm,) = simulation.alarms
    assert alarm.detail.startswith("line:0: with every limit at its lower bound")
    assert "3 withdrawing" in alarm.detail
    assert [each.reason for each in simulation.result.refusals] == [RefusalReason.UNKNOWN_INTERVAL]


def test_no_orders_at_all(load: Any, tmp_path: Path) -> None:
    result = run(load(), tmp_path).result
    assert (result.trades, result.statements, result.welfare) == ([], [], "0")
    assert len(result.envelopes.intervals) == 1


def test_statistics_and_local_prices_say_what_traded_and_what_stopped_it(
    load: Any, tmp_path: Path
) -> None:
    result = run(
        load(),
        tmp_path,
        order("s1", participant="p2", connection_point="load:2", quantity_w=3000),
        buy("b1", quantity_w=2000),
        order("s2", quantity_w=1000, price="0.0200"),
        buy("b2", quantity_w=3000),
    ).result
    (statistics,) = result.statistics
    assert (statistics.direction, statistics.clearings) == ("injection", 1)
    assert statistics.volume_w == sum(trade.quantity_w for trade in result.trades)
    assert statistics.open_price == statistics.close_price == "0.0450"
    assert Decimal(statistics.welfare) == Decimal(result.welfare)
    # Behind the full line a watt is worth what is bid there, at the transformer what is asked.
    (interval,) = result.local_prices
    (direction,) = interval.directions
    assert (direction.direction, direction.balance_price) == ("injection", "0.0100")
    places = {each.connection_point: each for each in direction.connection_points}
    assert places.keys() == {"load:0", "load:1"}
    assert places["load:1"].price == "0.0450"
    for place in places.values():
        (part,) = place.parts
        assert part.element == "line:0"
        assert Decimal(direction.balance_price) + Decimal(part.price) == Decimal(place.price)


def test_a_market_without_orders_has_neither_statistics_nor_prices(
    load: Any, tmp_path: Path
) -> None:
    result = run(load(), tmp_path, order("s1"), cancel("s1", "2026-07-01T10:05:00Z")).result
    assert (result.statistics, result.local_prices) == ([], [])
