"""Random days of small markets on numbers for a network."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
from hypothesis import strategies as st
from market import START, Market, interface
from trade_checks import held_w, left_to_gain, lot_value

from exchange.clearing.problem import NetworkRows
from exchange.vocabulary.commands import (
    AmendOrder,
    CancelOrder,
    HaltTrading,
    ResumeTrading,
    SubmitJoint,
)
from exchange.vocabulary.orders import Leg
from exchange.vocabulary.rules import ExchangeRate, MarketRules
from orderbook.order import Side
from security_check.model.envelope import Direction

POINTS = 5

CAPACITY_W = 400

FALLBACK_W = 20

LOT_W = 1

ONE_TO_ONE = MarketRules(lot_w=LOT_W)

SEEDS = st.integers(0, 2**32 - 1)

PLAIN: list[tuple[str, dict[str, Any]]] = [
    ("GTC", {}),
    ("GTC", {}),
    ("GTC", {"displayed_w": 10}),
    ("IOC", {}),
]

CONDITIONS = [
    *PLAIN,
    ("GTC", {"all_or_none": True}),
    ("GTC", {"minimum_w": 15}),
    ("IOC", {"minimum_w": 10}),
    ("FOK", {}),
]


def weighted(reserve: int) -> MarketRules:
    return MarketRules(
        lot_w=LOT_W,
        exchange_rate=ExchangeRate.NETWORK_WEIGHTED,
        reserve_price_ticks=reserve,
    )


def random_rows(rng: np.random.Generator) -> list[tuple[list[int], int, int]]:
    """Return rows of a network, each with its bound and the one that the power flow finds."""
    rows = []
    for _ in range(3):
        row = [int(each) for each in rng.integers(0, 4, 2 * POINTS)]
        # Tight where each point holds 100 W, and the power flow may know better by a little.
        bound = sum(row) * 100 + int(rng.integers(0, 200))
        rows.append((row, bound, bound - int(rng.integers(0, 40))))
    return rows


class Day:
    """A random day of one interval, decided by a seed alone."""

    def __init__(self, seed: int, rules: MarketRules, *, conditional: bool, check: bool = True):
        self.rng = np.random.default_rng(seed)
        self.conditional, self.check = conditional, check
        rows = random_rows(self.rng)
        self.rows = [row for row, _, _ in rows]
        self.bounds = [ac for _, _, ac in rows]
        self.limits = interface(POINTS * 100, POINTS * 100)
        self.market = Market(
            points=POINTS,
            capacity_w=CAPACITY_W,
            rows=rows,
            limits=self.limits,
            rules=rules,
            fallback_w=FALLBACK_W,
            owners=[*range(POINTS)],
        )
        self.ids = 0
        self.seen: Counter[str] = Counter()

    @property
    def orders(self):
        return list(self.market.exchange.state.orders.values())

    def go(self, events: int) -> Day:
        for _ in range(events):
            self.step()
            if self.check:
                self.check_everything()
        return self

    def step(self) -> None:
        kind, orders = self.rng.random(), self.orders
        self.ids += 1
        if kind > 0.92 and orders:
            order = self.pick(orders)
            self.market.do(CancelOrder(order.participant, f"r{self.ids}", order.client_order_id))
        elif kind > 0.84 and orders:
            order = self.pick(orders)
            quantity_w, price = self.watts(100), int(self.rng.integers(1, 20))
            change = [(quantity_w, None), (None, price), (quantity_w, price)]
            how = change[self.rng.integers(3)]
            self.market.do(
                AmendOrder(order.participant, f"r{self.ids}", order.client_order_id, *how)
            )
        elif kind > 0.80:
            self.limits = interface(*(int(each) for each in self.rng.integers(300, 800, 2)))
            self.market.update(f"u{self.ids}", self.limits)
        elif kind > 0.77:
            self.market.do(HaltTrading(f"h{self.ids}"))
            for _ in range(4):
                self.submit()
            self.market.do(ResumeTrading(f"r{self.ids}"))
        elif kind > 0.72 and self.conditional:
            self.submit_joint()
        else:
            self.submit()

    def submit(self) -> None:
        """Submit an order at random, and one that its owner can place."""
        owner, side = int(self.rng.integers(POINTS)), self.side()
        direction = list(Direction)[self.rng.integers(2)]
        choice = CONDITIONS if self.conditional else PLAIN
        time_in_force, more = choice[self.rng.integers(len(choice))]
        quantity_w = self.watts(60)
        for part in ("minimum_w", "displayed_w"):
            if part in more:
                more = more | {part: min(more[part], quantity_w)}
        price = int(self.rng.integers(1, 20))
        self.market.submit(
            owner, side, quantity_w, price, time_in_force, direction=direction, **more
        )

    def submit_joint(self) -> None:
        owner, quantity_w = int(self.rng.integers(POINTS)), self.watts(30)
        legs = tuple(
            Leg(
                f"load:{owner}",
                direction,
                START,
                Side(self.side()),
                quantity_w,
                int(self.rng.integers(1, 20)),
            )
            for direction in Direction
        )
        whole = bool(self.rng.random() < 0.5)
        self.market.do(SubmitJoint(f"p{owner}", f"j{self.ids}", legs, whole))

    def side(self) -> str:
        return ["buy", "sell"][self.rng.integers(2)]

    def watts(self, most: int) -> int:
        return int(self.rng.integers(1, most + 1))

    def pick(self, orders):
        return orders[self.rng.integers(len(orders))]

    def check_everything(self) -> None:
        market = self.market
        held = held_w(market.exchange.envelopes(START))
        assert ((held >= FALLBACK_W) & (held <= CAPACITY_W)).all()
        A, b = self._network()
        room = b - A @ held
        assert (room >= 0).all()
        self.seen["full rows"] += int((room < 1).sum())
        state = market.exchange.state
        if not state.may_trade(state.sessions[START]):
            return  # The last update could not be made secure, so nothing may trade.
        rows = NetworkRows.of_one(A, room, 1.0)
        left = left_to_gain(self.orders, rows, market.grid.connection_points, market.rules)
        assert left <= lot_value(self.orders, market.rules) + 1e-6

    def _network(self) -> tuple[np.ndarray, np.ndarray]:
        """Return rows and bounds as the power flow knows them, from the network's numbers."""
        ones, none = [1] * POINTS, [0] * POINTS
        A = np.array([*self.rows, ones + none, none + ones], dtype=float)
        in_force = self.market.exchange.state.sessions[START].interface_limits
        limits = [in_force.injection_limit_w, in_force.withdrawal_limit_w]
        return A, np.array([*self.bounds, *limits], dtype=float)
