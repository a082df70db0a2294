"""What met while nothing could trade, against asking for each order which of its own it meets."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from market import START, Market, interface
from trade_checks import held_w, left_to_gain, lot_value

from exchange.clearing.problem import NetworkRows
from exchange.engine import Exchange
from exchange.handlers.self_trade_prevention import (
    first_own_crossed,
    resolve_resting_orders,
    resolve_self_trade,
)
from exchange.state.recording import EventRecorder
from exchange.state.state import State
from exchange.vocabulary.commands import HaltTrading, SubmitJoint
from exchange.vocabulary.events import OrderCancelled, Traded
from exchange.vocabulary.orders import Leg
from exchange.vocabulary.reasons import CancelReason
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


STOPPED, AHEAD, WAITING, BEHIND = range(4)
# Rows of what stops, trades ahead, waits and stands behind; for the one that buys, or sells.
FULL_ROWS = {"buy": [[1, 3, 2, 1], [0, 0, 1, 1]], "sell": [[3, 1, 1, 2], [2, 2, 1, 1]]}


@given(
    side=st.sampled_from(Side),
    direction=st.sampled_from(Direction),
    points=st.permutations(range(4)),
    mode=st.sampled_from([SelfTradePrevention.CANCEL_NEWEST, SelfTradePrevention.CANCEL_BOTH]),
    quantities_w=st.tuples(*[st.integers(20, 60)] * 4),
)
@example(Side.BUY, Direction.INJECTION, [*range(4)], SelfTradePrevention.CANCEL_NEWEST, [40] * 4)
@settings(max_examples=30, deadline=None)
def test_what_an_order_traded_before_it_stopped_at_its_own_lets_others_trade(
    side, direction, points, mode, quantities_w
):
    """Its trade relieves a full row, over which another bid and ask could not meet.

    The ask is behind its own and out of the search, because an order with a condition rests.
    """
    tick = 1 if side is Side.BUY else -1
    other = side.opposite
    full = []
    for row in FULL_ROWS[side.value]:
        placed = np.zeros((2, 4), dtype=int)
        placed[list(Direction).index(direction), points] = row
        full.append((placed.ravel().tolist(), sum(row) * 5_000, sum(row) * 5_000))
    limits = interface(20_000, 20_000)
    market = Market(points=4, capacity_w=10_000, rows=full, limits=limits)

    def submit(role: int, at: Side, quantity_w: int, ticks: int, **more: object) -> list:
        point, price = points[role], 100 + tick * ticks
        return market.submit(point, at.value, quantity_w, price, direction=direction, **more)

    submit(AHEAD, other, quantities_w[0], 4)
    submit(AHEAD, other, 10, 90, all_or_none=True)
    submit(STOPPED, other, quantities_w[1], 5)
    submit(BEHIND, other, quantities_w[2], 6)
    submit(WAITING, side, quantities_w[2], 8)
    events = submit(STOPPED, side, 200, 9, self_trade_prevention=mode)
    stop = [e for e in events if isinstance(e, OrderCancelled)][-1]
    assert (stop.participant, stop.reason) == (f"p{points[STOPPED]}", CancelReason.SELF_TRADE)
    sets = [{f.participant for f in e.fills} for e in events if isinstance(e, Traded)]
    assert {f"p{points[role]}" for role in (STOPPED, AHEAD)} in sets
    assert {f"p{points[role]}" for role in (WAITING, BEHIND)} in sets

    ones, none = [1] * 4, [0] * 4
    A = np.array([*(row for row, _, _ in full), ones + none, none + ones], dtype=float)
    room = np.array([*(b for _, _, b in full), 20_000.0, 20_000.0])
    room -= A @ held_w(market.exchange.envelopes(START))
    assert (room >= 0).all()
    orders = list(market.exchange.state.orders.values())
    rows, names = NetworkRows.of_one(A, room, 1.0), market.grid.connection_points
    assert left_to_gain(orders, rows, names, market.rules) <= lot_value(orders, market.rules)
