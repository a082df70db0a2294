from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from io import StringIO
from typing import Any

import numpy as np
import pytest
from rich.console import Console
from typer.testing import CliRunner

from exchange.vocabulary.events import (
    AlarmRaised,
    Event,
    Fill,
    GateClosed,
    HoldingCurtailed,
    InterfaceLimitsUpdated,
    SessionOpened,
    Traded,
)
from exchange.vocabulary.reasons import AlarmKind, Phase
from exchange.vocabulary.rules import MarketRules
from exchange.vocabulary.settlement_events import StatementIssued
from gateway.cli.main import app
from gateway.demo.adversary_process import AdversaryProcess, Attacked, AttackedEnvelopes
from gateway.demo.customers import QUARTERS, Customer, CustomerKind, draw_customers, read_profiles
from gateway.demo.observer import DayObserver
from gateway.demo.report import DemoReport
from gateway.demo.report_tables import show_demo_report
from gateway.demo.summary import Summary, adversary_count
from gateway.demo.trading_agent import Agent
from gateway.formats.input_files import bundled
from gateway.scenario.loading import load_scenario
from orderbook.order import Side
from security_check.model.envelope import Direction, Envelope
from security_check.model.limits import InterfaceLimits

POINTS = tuple(f"load:{i}" for i in range(41))
START = datetime(2016, 5, 2, 12, tzinfo=UTC)
LIMITS = InterfaceLimits(0.98, 1.04, 250_000, 300_000)


def test_the_same_seed_draws_the_same_customers() -> None:
    profiles = read_profiles(bundled("day.csv"))
    first, again, other = (draw_customers(POINTS, profiles, seed) for seed in (1, 1, 2))
    assert [c.participant for c in first] == [c.participant for c in again]
    assert all(
        (a.injection_need_w == b.injection_need_w).all() for a, b in zip(first, again, strict=True)
    )
    assert [c.kind for c in first] != [c.kind for c in other]
    assert len(first) >= 40
    assert {customer.kind for customer in first} == set(CustomerKind)
    assert len({customer.participant for customer in first}) == len(POINTS)


def test_needs_follow_the_day() -> None:
    customers = draw_customers(POINTS, read_profiles(bundled("day.csv")), 1)
    for customer in customers:
        assert customer.injection_need_w.shape == (QUARTERS,)
        together = np.minimum(customer.injection_need_w, customer.withdrawal_need_w)
        assert not together.any(), "no customer injects and withdraws at once"
    solar = [c for c in customers if c.kind is CustomerKind.SOLAR]
    assert all(40 <= int(c.injection_need_w.argmax()) <= 60 for c in solar)
    assert all(not c.injection_need_w[:16].any() for c in customers)


def an_agent(**changes: Any) -> Agent:
    customer = Customer(
        participant="solar-01",
        connection_point="load:0",
        kind=CustomerKind.SOLAR,
        injection_need_w=np.full(QUARTERS, 10_000),
        withdrawal_need_w=np.zeros(QUARTERS, dtype=np.int64),
        value_eur_per_kwh=0.10,
        reserve_eur_per_kwh=0.02,
    )
    return Agent(
        replace(customer, **changes),
        tick=Decimal("0.0001"),
        lot_w=100,
        fallback_w={Direction.INJECTION: 1000, Direction.WITHDRAWAL: 2000},
        capacity_w=dict.fromkeys(Direction, 12_000),
        seed=1,
    )


def test_an_agent_buys_what_it_lacks_below_its_true_value() -> None:
    agent = an_agent()
    wish = agent.look(Direction.INJECTION, 48, held_w=6000)
    assert wish is not None
    assert (wish.side, wish.quantity_w) == (Side.BUY, 5000)  # a tenth more than it needs
    assert wish.price < agent.second_look(Side.BUY) == Decimal("0.0250")


def test_an_agent_never_asks_beyond_its_connection() -> None:
    wish = an_agent(injection_need_w=np.full(QUARTERS, 30_000)).look(Direction.INJECTION, 48, 6050)
    assert wish is not None
    assert wish.quantity_w == 5900


def test_an_agent_sells_what_it_has_over_but_never_its_fallback() -> None:
    agent = an_agent()
    for _ in range(50):
        wish = agent.look(Direction.WITHDRAWAL, 48, held_w=6600)
        assert wish is not None
        assert wish.side is Side.SELL
        assert wish.quantity_w % 100 == 0
        assert wish.quantity_w <= 4600
        assert wish.price > agent.second_look(Side.SELL) == Decimal("0.0050")
    assert agent.look(Direction.WITHDRAWAL, 48, held_w=2100) is None


def opened(*limits_w: tuple[int, int]) -> SessionOpened:
    return SessionOpened(
        sequence=1,
        time=START,
        start=START,
        end=START + timedelta(minutes=15),
        gate_closes_at=START,
        interface_limits=LIMITS,
        envelopes=tuple(
            Envelope(f"load:{i}", injection_w, withdrawal_w, "line:24", "interface")
            for i, (injection_w, withdrawal_w) in enumerate(limits_w)
        ),
        phase=Phase.CONTINUOUS,
        phase_until=START,
        tick=Decimal("0.0001"),
    )


def a_fill(
    order_id: int,
    side: Side,
    participant: str,
    quantity_w: int,
    limit_price_ticks: int,
    amount: int,
) -> Fill:
    return Fill(
        order_id=order_id,
        participant=participant,
        client_order_id=f"o{order_id}",
        connection_point="load:0" if side is Side.BUY else "load:1",
        direction=Direction.INJECTION,
        interval=START,
        side=side,
        quantity_w=quantity_w,
        limit_price_ticks=limit_price_ticks,
        amount=amount,
    )


def traded(quantity_w: int, element: str = "line:24", trade_id: int = 1) -> Traded:
    return Traded(
        sequence=2,
        time=START,
        trade_id=trade_id,
        fills=(
            a_fill(1, Side.SELL, "home-01", quantity_w, 90, -100 * quantity_w),
            a_fill(2, Side.BUY, "solar-01", quantity_w, 150, 100 * quantity_w),
        ),
        taker_order_id=None,
        rent=0,
        tier="linear",
        binding_element=element,
        loading=0.99,
    )


def curtailed(to_w: int) -> list[Event]:
    limits = replace(LIMITS, injection_limit_w=200_000)
    common: dict[str, Any] = {"sequence": 3, "time": START, "interval": START}
    return [
        InterfaceLimitsUpdated(update_id="u", interface_limits=limits, **common),
        HoldingCurtailed(
            participant="solar-01",
            connection_point="load:0",
            direction=Direction.INJECTION,
            from_w=7000,
            to_w=to_w,
            element="interface",
            **common,
        ),
    ]


def test_the_watch_mirrors_the_envelopes_and_has_every_trade_attacked() -> None:
    boxes: list[AttackedEnvelopes] = []
    watch = DayObserver(boxes.append)
    watch.take([opened((6000, 5000), (6000, 5000)), traded(1000), *curtailed(6500), traded(500)])
    assert [box.limits_w.tolist() for box in boxes] == [
        [7000, 5000, 5000, 5000],
        [7000, 4500, 5000, 5000],
    ]
    assert boxes[0].interface_limits == LIMITS
    assert boxes[1].interface_limits.injection_limit_w == 200_000
    assert watch.welfare == 60 * 1500
    final = tuple(Envelope(f"load:{i}", *row) for i, row in enumerate(((7000, 5000), (4500, 5000))))
    watch.take([GateClosed(sequence=4, time=START, interval=START, envelopes=final)])
    with pytest.raises(AssertionError, match="mirror"):
        watch.take([GateClosed(sequence=4, time=START, interval=START, envelopes=final[::-1])])


def a_summary() -> Summary:
    watch = DayObserver(lambda box: None)
    watch.take([opened((6000, 5000), (6000, 5000)), traded(1000), traded(500, "interface", 2)])
    watch.take(curtailed(7000))
    for participant, balance in (("solar-01", -150_000), ("home-01", 150_000)):
        watch.take(
            [
                StatementIssued(
                    sequence=5,
                    time=START,
                    interval=START,
                    participant=participant,
                    bought_w=1500,
                    sold_w=0,
                    paid=max(-balance, 0),
                    received=max(balance, 0),
                    balance=balance,
                )
            ]
        )
    watch.take(
        [
            AlarmRaised(
                sequence=6, time=START, kind=AlarmKind.INSECURE, interval=START, detail="line:24"
            )
        ]
    )
    customers = draw_customers(("load:0", "load:1"), read_profiles(bundled("day.csv")), 1)
    customers = (
        replace(
            customers[0],
            participant="solar-01",
            kind=CustomerKind.SOLAR,
            injection_need_w=np.full(QUARTERS, 9000),
        ),
        replace(customers[1], participant="home-01", kind=CustomerKind.HOME),
    )
    return Summary(watch, customers, MarketRules())


def test_the_summary_says_who_paid_whom_and_what_binds() -> None:
    summary = a_summary()
    assert [(f.payer, f.receiver, f.amount) for f in summary.flows()] == [
        (CustomerKind.SOLAR, CustomerKind.HOME, "0.015")
    ]
    assert [a.participant for a in summary.accounts()] == ["home-01", "solar-01"]
    limited = {element.element: element.envelopes_limited for element in summary.elements()}
    assert limited == {"line:24": 2, "interface": 2}
    (change,) = summary.binding_changes()
    assert (change.nearest_before, change.nearest_after, change.trade_id) == (
        "line:24",
        "interface",
        2,
    )
    (update,) = summary.updates()
    assert (update.curtailed, update.injection_limit_w) == (1, (250_000, 200_000))
    unmet = {(row.kind, row.direction): row for row in summary.unmet()}
    row = unmet[CustomerKind.SOLAR, Direction.INJECTION]
    assert row.beyond_before_kwh == pytest.approx(0.75)
    assert row.beyond_after_kwh == pytest.approx(0.50)


@pytest.mark.slow
def test_the_adversary_attacks_in_a_process_of_its_own() -> None:
    scenario = bundled("reference.toml")
    grid = load_scenario(scenario).grid()
    limits = load_scenario(scenario).interface_limits
    secure_w = grid.allocate(limits).limits_w
    with AdversaryProcess(scenario, 1) as adversary:
        adversary.submit(AttackedEnvelopes(1, limits, secure_w))
        adversary.submit(AttackedEnvelopes(2, limits, secure_w + 100))
        results = adversary.results()
        assert (adversary.submitted, adversary.done) == (2, 2)
    count = adversary_count(results)
    assert (count.trades_checked, count.violations) == (2, 1)
    assert count.vertices_tried > 500
    assert "after trade 2: line:24" in count.examples[0]


def test_no_attack_finds_nothing() -> None:
    assert adversary_count([Attacked(1, 10, "")]).violations == 0


@pytest.mark.slow
def test_a_short_day_over_mqtt() -> None:
    result = CliRunner().invoke(app, ["demo", "--intervals", "8", "--json"])
    assert result.exit_code == 0, result.stderr
    report = DemoReport.model_validate_json(result.stdout)
    assert report.intervals == 8
    assert report.trades >= 4  # a clearing of many is one
    assert Decimal(report.paid) == Decimal(report.received) > 0
    assert report.adversary.trades_checked == report.trades
    assert report.adversary.violations == 0
    assert report.digest == report.replayed_digest
    assert "trades" in result.stderr
    shown = StringIO()
    show_demo_report(report, Console(file=shown, width=100))
    assert "AC violations found by the adversary after every trade: 0" in shown.getvalue()
    again = CliRunner().invoke(app, ["demo", "--intervals", "8", "--json"])
    other = json.loads(again.stdout)
    same = ("orders", "trades", "welfare", "paid", "refusals", "spreads")
    assert {key: other[key] for key in same} == {
        key: json.loads(result.stdout)[key] for key in same
    }
