"""What met while nothing could trade, against asking for each order which of its own it meets."""

from __future__ import annotations

import json

import numpy as np
import pytest
from market import START, Market

from exchange.engine import Exchange
from exchange.handlers.self_trade_prevention import (
    first_own_crossed,
    resolve_resting_orders,
    resolve_self_trade,
)
from exchange.state.recording import EventRecorder
from exchange.state.state import State
from exchange.vocabulary.commands import HaltTrading, SubmitJoint
from exchange.vocabulary.orders import Leg
from orderbook.order import SelfTradePrevention, Side
from security_check.model.envelope import Direction

MODES = [mode.value for mode in SelfTradePrevention]


def one_by_one(session, record: EventRecorder) -> None:
    for order in session.orders():
        while order.order_id in record.state.orders:
            own = first_own_crossed(order, session, record.state)
            if own is None:
                break
            resolve_self_trade(order, own, record)


def halted(seed: int) -> Market:
    """Return a halted market in which two participants with two points each rest crossed."""
    rng = np.random.default_rng(seed)
    market = Market(points=4, owners=[0, 1, 0, 1])
    market.do(HaltTrading("h"))
    for number in range(40):
        point, mode = int(rng.integers(4)), MODES[rng.integers(3)]
        direction = list(Direction)[rng.integers(2)]
        if rng.random() < 0.15:
            legs = tuple(
                Leg(f"load:{point}", d, START, list(Side)[rng.integers(2)], 10,
                    int(rng.integers(1, 9)))
                for d in Direction
            )  # fmt: skip
            prevention = SelfTradePrevention(mode)
            joint = SubmitJoint(
                f"p{point % 2}", f"j{number}", legs, False, self_trade_prevention=prevention
            )
            market.exchange.handle(joint, market.now)
            continue
        order = market.order(
            point % 2,
            ("buy", "sell")[rng.integers(2)],
            10 * int(rng.integers(1, 5)),
            int(rng.integers(1, 9)),
            point=point,
            direction=direction,
            self_trade_prevention=mode,
            minimum_w=10 if rng.random() < 0.2 else None,
        )
        market.exchange.handle(order, market.now)
    return market


def events_of(resolved, market: Market) -> tuple[list[object], State]:
    snapshot = json.loads(json.dumps(market.exchange.snapshot()))
    state = Exchange.restore(snapshot, market.grid, market.rules, market.terms).state
    record = EventRecorder(state, market.now, lambda _: None)
    resolved(state.sessions[START], record)
    return list(record.events), state


@pytest.mark.parametrize("seed", range(12))
def test_the_sweep_cancels_what_asking_one_by_one_does(seed):
    market = halted(seed)
    expected, _ = events_of(one_by_one, market)
    found, state = events_of(resolve_resting_orders, market)
    assert found == expected
    assert len(found) >= 3
    session = state.sessions[START]
    assert all(first_own_crossed(order, session, state) is None for order in session.orders())
