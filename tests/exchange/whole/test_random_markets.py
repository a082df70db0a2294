"""Random markets: all invariants after every step, the same digest after a replay.

The machine drives a network that binds, with updates that curtail, raise, and fail.
"""

from __future__ import annotations

import json
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from linear_grid import LinearGrid
from market import GATE, START, Market, all_of, interface
from sampling import examples
from trade_checks import check_payments

from exchange.engine import Exchange
from exchange.vocabulary.commands import (
    AdvanceTime,
    AmendOrder,
    CancelOrder,
    HaltTrading,
    LoseSession,
    MassCancel,
    ResumeTrading,
    SetKillSwitch,
    SetPriceCollar,
    SetSafeguard,
    SubmitJoint,
)
from exchange.vocabulary.events import (
    AlarmRaised,
    GateClosed,
    JointOrderAccepted,
    OrderAccepted,
    Traded,
)
from exchange.vocabulary.orders import Leg
from exchange.vocabulary.reasons import CancelReason, OnDisconnect
from exchange.vocabulary.rules import MarketRules, PriceCollar
from exchange.vocabulary.settlement_events import StatementIssued
from orderbook.order import Side, TimeInForce
from security_check.errors import InsecureError, PowerFlowError
from security_check.model.envelope import Direction

POINTS = 4
OWNERS = [0, 1, 2, 0]
POINT = st.integers(0, POINTS - 1)
SIDE = st.sampled_from(["buy", "sell"])
PRICE = st.integers(1, 6)
QUANTITY = st.integers(1, 6).map(lambda lots: 5 * lots)
TIME_IN_FORCE = st.sampled_from(["GTC", "GTC", "GTC", "GTD", "IOC", "FOK"])
CONDITIONS = st.sampled_from(
    [
        {},
        {},
        {},
        {"all_or_none": True},
        {"minimum_w": 10},
        {"displayed_w": 5},
        {"post_only": True},
        {"self_trade_prevention": "cancel_oldest"},
        {"self_trade_prevention": "cancel_both"},
    ]
)
DIRECTION = st.sampled_from(Direction)
ORDER = st.tuples(
    POINT, SIDE, PRICE, QUANTITY, TIME_IN_FORCE, DIRECTION, st.integers(1, 30), CONDITIONS
)


class NetworkMarket(RuleBasedStateMachine):
    """Orders of every kind on a network that binds."""

    @initialize(
        rows=st.lists(
            st.tuples(
                st.lists(st.integers(0, 3), min_size=2 * POINTS, max_size=2 * POINTS),
                st.integers(600, 2400),
                st.integers(0, 25),
            ),
            max_size=3,
        )
    )
    def open(self, rows):
        self.market = Market(
            points=POINTS,
            capacity_w=200,
            rows=[(row, bound, bound - tighter) for row, bound, tighter in rows],
            limits=interface(400, 400),
            rules=MarketRules(lot_w=5, answers_kept=20),
            owners=OWNERS,
        )
        self.last: dict[str, Any] = {}
        self.terms: Any = None
        self.updates = 0

    @rule(orders=st.lists(ORDER, min_size=1, max_size=6))
    def submit(self, orders):
        for point, side, price, quantity, time_in_force, direction, minutes, conditions in orders:
            dated = time_in_force == "GTD"
            self.last = {
                "point": point,
                "direction": direction,
                "expires_at": self.market.now.replace(minute=minutes) if dated else None,
                **conditions,
            }
            self.terms = OWNERS[point], side, quantity, price, time_in_force
            resting = self._asked_for()
            self._check_conditions(resting, self.market.submit(*self.terms, **self.last))

    def _asked_for(self):
        """Return how much each open order that has a condition trades at least at once."""
        orders = self.market.exchange.state.orders.values()
        return {(o.participant, o.client_order_id): o.required_w for o in orders if o.conditional}

    def _check_conditions(self, resting, events):
        """No order that rested with a condition trades less than that."""
        traded: dict[tuple[str, str], int] = {}
        for event in all_of(events, Traded):
            for fill in event.fills:
                key = fill.participant, fill.client_order_id
                traded[key] = traded.get(key, 0) + fill.quantity_w
        for key in resting.keys() & traded.keys():
            assert traded[key] >= resting[key]
        for order in all_of(events, OrderAccepted):
            traded_w = traded.get((order.participant, order.client_order_id), 0)
            if order.terms.time_in_force is TimeInForce.FILL_OR_KILL:
                assert traded_w in (0, order.terms.quantity_w)
            if traded_w and order.terms.conditions.minimum_w is not None:
                assert traded_w >= order.terms.conditions.minimum_w

    @rule(
        points=st.tuples(POINT, POINT).filter(lambda pair: OWNERS[pair[0]] == OWNERS[pair[1]]),
        sides=st.tuples(SIDE, SIDE),
        prices=st.tuples(PRICE, PRICE),
        quantity=QUANTITY,
        whole=st.booleans(),
    )
    def submit_joint(self, points, sides, prices, quantity, whole):
        self.updates += 1
        legs = tuple(
            Leg(f"load:{point}", direction, START, Side(side), quantity, price)
            for point, direction, side, price in zip(points, Direction, sides, prices, strict=True)
        )
        resting = self._asked_for()
        command = SubmitJoint(f"p{OWNERS[points[0]]}", f"j{self.updates}", legs, whole)
        self._check_conditions(resting, self.market.do(command))

    @rule(whose=st.none() | st.sampled_from(["p0", "p1"]), orders=st.lists(ORDER, max_size=4))
    def kill(self, whose, orders):
        self.updates += 1
        self.market.do(SetKillSwitch(f"k{self.updates}", whose, engaged=True))
        open_orders = self.market.exchange.state.orders.values()
        assert not [o for o in open_orders if whose in (None, o.participant)]
        self.submit(orders)
        self.market.do(SetKillSwitch(f"l{self.updates}", whose, engaged=False))

    @rule(interval=st.sampled_from([None, START]), orders=st.lists(ORDER, min_size=2, max_size=6))
    def halt(self, interval, orders):
        self.updates += 1
        self.market.do(HaltTrading(f"h{self.updates}", interval))
        trades = len(all_of(self.market.events, Traded))
        self.submit(orders)
        assert len(all_of(self.market.events, Traded)) == trades
        self.market.do(ResumeTrading(f"r{self.updates}", interval))

    @rule(lowest=st.none() | PRICE, highest=st.none() | PRICE, orders=st.lists(ORDER, max_size=4))
    def narrow_the_collar(self, lowest, highest, orders):
        self.updates += 1
        collar = PriceCollar(lowest, highest)
        self.market.do(SetPriceCollar(f"c{self.updates}", collar))
        self.submit(orders)
        open_orders = self.market.exchange.state.orders.values()
        if collar.fault() is None:
            assert all(collar.contains(order.limit_price_ticks) for order in open_orders)
        self.market.do(SetPriceCollar(f"d{self.updates}", PriceCollar()))

    @rule()
    def submit_again(self):
        if self.last:
            number = f"a{self.market.ids}"
            events = self.market.submit(*self.terms, **self.last, client_order_id=number)
            assert not all_of(events, OrderAccepted)

    @rule(data=st.data())
    def cancel(self, data):
        order = self._an_open_order(data)
        if order is not None:
            self.market.do(
                CancelOrder(order.participant, self.market.new_id(), order.client_order_id)
            )
            assert order.order_id not in self.market.exchange.state.orders

    @rule(data=st.data(), price=st.none() | PRICE, quantity=st.none() | QUANTITY)
    def amend(self, data, price, quantity):
        order = self._an_open_order(data)
        if order is not None:
            self.market.do(
                AmendOrder(
                    order.participant, self.market.new_id(), order.client_order_id, quantity, price
                )
            )

    def _an_open_order(self, data):
        orders = self.market.exchange.state.orders
        return orders[data.draw(st.sampled_from(sorted(orders)))] if orders else None

    @rule(owner=st.sampled_from(OWNERS))
    def mass_cancel(self, owner):
        self.market.do(MassCancel(f"p{owner}", self.market.new_id()))

    @rule(owner=st.sampled_from(OWNERS), halted=st.booleans())
    def lose_a_session(self, owner, halted):
        """Also while trading is halted."""
        who, session = f"p{owner}", self.market.new_id()
        guard = (session, None, OnDisconnect.CANCEL, None)
        self.market.do(SetSafeguard(who, self.market.new_id(), *guard))
        if halted:
            self.market.do(HaltTrading(self.market.new_id()))
        others = {n for n, o in self.market.exchange.state.orders.items() if o.participant != who}
        self.market.do(LoseSession(who, session, CancelReason.DISCONNECTED))
        assert self.market.exchange.state.orders.keys() == others
        if halted:
            self.market.do(ResumeTrading(self.market.new_id()))

    @rule(injection_w=st.integers(200, 700), withdrawal_w=st.none() | st.integers(0, 700))
    def update(self, injection_w, withdrawal_w):
        self.updates += 1
        self.market.update(f"u{self.updates}", interface(injection_w, withdrawal_w))

    @rule(
        error=st.sampled_from([InsecureError("line:0", "no"), PowerFlowError("no solution")]),
        orders=st.lists(ORDER, max_size=6),
    )
    def fail_an_update(self, error, orders):
        self.market.grid.errors.append(error)
        self.update(400, 400)
        assert all_of(self.market.events[-2:], AlarmRaised)
        trades = len(all_of(self.market.events, Traded))
        self.submit(orders)
        assert len(all_of(self.market.events, Traded)) == trades
        self.update(400, 400)

    @rule()
    def fail_the_next_check(self):
        self.market.grid.latest.errors.append(PowerFlowError("no solution"))

    @rule()
    def restart(self):
        snapshot = json.loads(json.dumps(self.market.exchange.snapshot()))
        restored = Exchange.restore(
            snapshot, self.market.grid, self.market.rules, self.market.terms
        )
        assert restored.digest() == self.market.exchange.digest()
        self.market.exchange = restored

    @invariant()
    def invariants_hold(self):
        # After every command the market has checked already; this is for the other steps.
        if hasattr(self, "market"):
            self.market.grid.latest.errors.clear()
            self.market.exchange.check_invariants()
            self._no_order_rests_across_its_own()

    def _no_order_rests_across_its_own(self):
        session = self.market.exchange.state.sessions[START]
        if not self.market.exchange.state.may_trade(session):
            return
        orders = list(self.market.exchange.state.orders.values())
        for buy in orders:
            for sell in orders:
                if (buy.side, sell.side) == (Side.BUY, Side.SELL) and (
                    (buy.participant, buy.direction) == (sell.participant, sell.direction)
                ):
                    assert buy.limit_price_ticks < sell.limit_price_ticks

    def _check_joint_orders(self):
        """In no clearing did one leg trade without the others."""
        for trade in all_of(self.market.events, Traded):
            traded = {fill.order_id: fill.quantity_w for fill in trade.fills}
            assert len(traded) == len(trade.fills)
            for joint in all_of(self.market.events, JointOrderAccepted):
                numbers = range(joint.order_id, joint.order_id + len(joint.legs))
                by_leg = {traded.get(number, 0) for number in numbers}
                assert len(by_leg) == 1
                assert not joint.all_or_none or by_leg <= {0, joint.legs[0].quantity_w}

    def teardown(self):
        if not hasattr(self, "market"):
            return
        market = self.market
        market.do(AdvanceTime(), after=GATE - market.now)
        assert all_of(market.events, GateClosed)
        statements = all_of(market.events, StatementIssued)
        assert sum(statement.balance for statement in statements) == 0
        assert [event.sequence for event in market.events] == [*range(1, len(market.events) + 1)]
        for trade in all_of(market.events, Traded):
            check_payments(trade, market.rules)
        self._check_joint_orders()
        replayed = Exchange(LinearGrid(market.grid.capacity_w), market.rules, market.terms)
        replayed.replay(market.events)
        assert replayed.digest() == market.exchange.digest()


NetworkMarket.TestCase.settings = settings(
    max_examples=examples(60), stateful_step_count=40, deadline=None
)
TestNetworkMarket = NetworkMarket.TestCase
