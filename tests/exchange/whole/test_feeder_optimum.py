"""Random markets on real feeders: nothing is left to gain, and the adversary breaks nothing.

After every event scipy solves the program from nothing over the network's own linear rows; after
every trade the adversary attacks the envelopes in force with the full power flow.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest
from networks import simbench_network
from trade_checks import check_payments, held_w, left_to_gain, lot_value

from doe_allocation.allocation.network_grid import NetworkGrid
from doe_allocation.capacity import Capacity
from exchange.clearing.problem import NetworkRows
from exchange.engine import Exchange
from exchange.vocabulary.commands import (
    CancelOrder,
    OpenSession,
    SubmitOrder,
    UpdateInterfaceLimits,
)
from exchange.vocabulary.events import Traded
from exchange.vocabulary.orders import OrderTerms
from exchange.vocabulary.rules import ConnectionTerms, ExchangeRate, MarketRules
from orderbook.order import OrderConditions, Side, TimeInForce
from security_check.model.envelope import Direction
from security_check.model.limits import InterfaceLimits, VoltageLimits
from security_check.verification.adversary import attack

START = datetime(2030, 6, 1, 12, tzinfo=UTC)
QUARTER = timedelta(minutes=15)
CAPACITY_W, FALLBACK_W, LOT_W = 30_000, 500, 100
SECURE = 1e-8  # parts of a limit; the check itself takes 1e-9 for rounding
BAND = InterfaceLimits(0.99, 1.02)
CONDITIONS: list[tuple[str, dict[str, Any]]] = [
    ("GTC", {}),
    ("GTC", {}),
    ("GTC", {"displayed_w": LOT_W}),
    ("IOC", {}),
    ("FOK", {}),
    ("GTC", {"all_or_none": True}),
]


class Feeder:
    """A random market of one interval on a feeder, decided by a seed."""

    def __init__(self, code: str, rules: MarketRules, seed: int) -> None:
        network = simbench_network(code)
        count = len(network.connection_points)
        most, least = (np.full(count, each, dtype=np.int64) for each in (CAPACITY_W, FALLBACK_W))
        capacity = Capacity(network.connection_points, most, most, least, least)
        self.grid = NetworkGrid(network, VoltageLimits(0.95, 1.05), capacity)
        self.rules, self.rng = rules, np.random.default_rng(seed)
        self.points = self.grid.connection_points
        terms = [
            ConnectionTerms(p, f"o {p}", CAPACITY_W, CAPACITY_W, FALLBACK_W, FALLBACK_W)
            for p in self.points
        ]
        self.exchange = Exchange(self.grid, rules, terms)
        self.now = START - timedelta(hours=4)
        self.ids = 0
        self.trades: list[Traded] = []
        self.binding = 0
        self.limits = BAND
        self.do(OpenSession(START, START + QUARTER, START - timedelta(hours=1), BAND))

    def do(self, command) -> None:
        self.now += timedelta(seconds=1)
        events = self.exchange.handle(command, self.now)
        found = [event for event in events if isinstance(event, Traded)]
        for traded in found:
            check_payments(traded, self.rules)
        self.trades += found
        self.check(traded=bool(found))

    def step(self) -> None:
        self.ids += 1
        orders = list(self.exchange.state.orders.values())
        kind = self.rng.random()
        if orders and kind < 0.08:
            order = orders[self.rng.integers(len(orders))]
            self.do(CancelOrder(order.participant, f"r{self.ids}", order.client_order_id))
        elif kind < 0.10:
            self.limits = InterfaceLimits(0.99, float(self.rng.choice([1.015, 1.02, 1.025])))
            self.do(UpdateInterfaceLimits(f"u{self.ids}", START, self.limits))
        else:
            self.do(self.random_order())

    def random_order(self) -> SubmitOrder:
        """Return an order that its owner can place, at a price that often crosses."""
        rng = self.rng
        at = int(rng.integers(len(self.points)))
        direction, side = list(Direction)[rng.integers(2)], list(Side)[rng.integers(2)]
        held = int(self.held_w()[at + (direction is Direction.WITHDRAWAL) * len(self.points)])
        free_w = held - FALLBACK_W if side is Side.SELL else CAPACITY_W - held
        lots = max(int(free_w * rng.choice([0.02, 0.1, 0.3])) // LOT_W, 1)
        time_in_force, conditions = CONDITIONS[rng.integers(len(CONDITIONS))]
        return SubmitOrder(
            participant=f"o {self.points[at]}",
            client_order_id=f"c{self.ids}",
            terms=OrderTerms(
                connection_point=self.points[at],
                direction=direction,
                interval=START,
                side=side,
                quantity_w=lots * LOT_W,
                limit_price_ticks=100
                + int(rng.integers(-20, 60)) * (1 if side is Side.BUY else -1),
                time_in_force=TimeInForce(time_in_force),
                expires_at=None,
                conditions=OrderConditions(**conditions),
            ),
        )

    def held_w(self) -> np.ndarray:
        return held_w(self.exchange.envelopes(START))

    def check(self, *, traded: bool) -> None:
        held = self.held_w()
        assert ((held >= FALLBACK_W) & (held <= CAPACITY_W)).all()
        # The state of the network is private: there is no public way to it.
        network = self.exchange._markets._open.networks.get(START)
        orders = list(self.exchange.state.orders.values())
        state = self.exchange.state
        if network is not None and state.may_trade(state.sessions[START]):
            rows = network.linear_rows()
            known = NetworkRows.of_one(rows.A, rows.headroom, rows.base_power_w)
            left = left_to_gain(orders, known, self.points, self.rules)
            assert left <= lot_value(orders, self.rules) + 1e-6
            weight = rows.A.max(axis=1) * LOT_W / rows.base_power_w
            self.binding += int((rows.headroom < weight).sum())
        if traded:
            in_force = state.sessions[START].interface_limits
            robust = self.grid.robust_rows(in_force)
            found = attack(robust, held.astype(np.int64), self.rng, samples=16, climbs=2)
            assert found.violation <= SECURE, found


WEIGHTED = ExchangeRate.NETWORK_WEIGHTED


@pytest.mark.parametrize(
    ("code", "rate", "events"),
    [
        ("1-LV-rural3--0-sw", ExchangeRate.ONE_TO_ONE, 25),
        pytest.param("1-LV-rural3--0-sw", WEIGHTED, 150, marks=pytest.mark.slow),
        pytest.param("1-LV-rural3--0-sw", ExchangeRate.ONE_TO_ONE, 150, marks=pytest.mark.slow),
        pytest.param("1-LV-semiurb4--0-sw", WEIGHTED, 150, marks=pytest.mark.slow),
        pytest.param("1-LV-semiurb4--0-sw", ExchangeRate.ONE_TO_ONE, 150, marks=pytest.mark.slow),
        pytest.param("1-LV-rural1--0-sw", WEIGHTED, 150, marks=pytest.mark.slow),
        pytest.param("1-LV-rural1--0-sw", ExchangeRate.ONE_TO_ONE, 150, marks=pytest.mark.slow),
    ],
)
def test_on_a_real_feeder_nothing_is_left_to_gain_and_all_is_secure(code, rate, events):
    feeder = Feeder(code, MarketRules(lot_w=LOT_W, exchange_rate=rate), seed=events)
    for _ in range(events):
        feeder.step()
    assert len(feeder.trades) > events / 10
    assert feeder.binding, "no row was ever full, so nothing was put to the test"
