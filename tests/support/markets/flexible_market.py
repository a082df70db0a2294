"""An exchange with a flexibility market on a linear network, and its flows by enumeration."""

from __future__ import annotations

import itertools
import json
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
from linear_markets import LinearMarket, random_market

from doe_allocation.allocation.linear.grid import LinearGrid
from doe_allocation.allocation.linear.operation import LinearOperation
from doe_allocation.capacity import Capacity
from doe_allocation.procurement.choices import FlexDirection
from exchange.engine import Exchange
from exchange.flexibility.flex_order import FlexOrder
from exchange.vocabulary.commands import CancelOrder, Command, OpenSession, SubmitFlexibility
from exchange.vocabulary.events import Event
from exchange.vocabulary.flexibility import FlexibilityRules, FlexibilityTerms, Matching
from exchange.vocabulary.flexibility_events import FlexibilityAccepted, FlexibilityMatched
from exchange.vocabulary.rules import ConnectionTerms, MarketRules
from orderbook.order import Side
from security_check.model.limits import InterfaceLimits
from security_check.model.linear_network import LinearNetwork, ReactiveBranch

START = datetime(2031, 5, 1, 12, tzinfo=UTC)
GATE = START - timedelta(minutes=5)
OPENED = START - timedelta(hours=1)
BAND = InterfaceLimits(0.98, 1.04)
WIDE_W = 10**6
UPWARD, DOWNWARD = FlexDirection.UPWARD, FlexDirection.DOWNWARD


def inside(given: LinearMarket) -> LinearMarket:
    """Return the market with limits wide enough for its set point, as an exchange needs them."""
    network = given.network
    flow = network.ptdf @ given.set_point_w
    upper = np.maximum(network.upper_w, np.ceil(flow))
    lower = np.minimum(network.lower_w, np.floor(flow))
    return replace(given, network=replace(network, lower_w=lower, upper_w=upper))


@dataclass
class FlexibleExchange:
    """An exchange on a network; bus k has the connection point ``load:k`` of participant ``pk``."""

    market: LinearMarket
    matching: Matching
    capacity_w: int = 0
    flexible_w: int = WIDE_W
    limits: InterfaceLimits = BAND
    opening_auction: timedelta = timedelta(0)
    exchange: Exchange = field(init=False)
    events: list[Event] = field(init=False, default_factory=list)
    commands: list[tuple[Command, datetime]] = field(init=False, default_factory=list)
    now: datetime = OPENED

    def __post_init__(self) -> None:
        self.exchange = self.empty()
        self.send(OpenSession(START, START + timedelta(minutes=15), GATE, self.limits))

    @property
    def points(self) -> tuple[str, ...]:
        return tuple(f"load:{k}" for k in range(len(self.market.network.buses)))

    def setup(self) -> tuple[LinearGrid, MarketRules, list[ConnectionTerms]]:
        count = len(self.points)
        operation = LinearOperation(
            self.market.network, self.points, np.arange(count), self.market.set_point_w
        )
        capacity = Capacity.same(self.points, self.capacity_w, self.capacity_w, 0, 0)
        rules = MarketRules(
            flexibility=FlexibilityRules(("dso", "brp", "p0"), self.matching),
            opening_auction=self.opening_auction,
        )
        terms = [
            ConnectionTerms(
                point,
                f"p{k}",
                self.capacity_w,
                self.capacity_w,
                flexible_up_w=self.flexible_w,
                flexible_down_w=self.flexible_w,
            )
            for k, point in enumerate(self.points)
        ]
        return LinearGrid(operation, capacity), rules, terms

    def empty(self) -> Exchange:
        return Exchange(*self.setup())

    def restored(self) -> Exchange:
        snapshot = json.loads(json.dumps(self.exchange.snapshot()))
        return Exchange.restore(snapshot, *self.setup())

    def send(self, command: Command) -> list[Event]:
        self.now += timedelta(seconds=1)
        self.commands.append((command, self.now))
        found = self.exchange.handle(command, self.now)
        self.events += found
        return found

    def submit(self, order: FlexOrder, sender: str = "dso") -> list[Event]:
        """Send the order of a file as a command, under its number."""
        return self.send(self.command(order, sender))

    def command(self, order: FlexOrder, sender: str = "dso") -> SubmitFlexibility:
        bus = self.market.network.buses[order.bus]
        terms = FlexibilityTerms(
            order.side,
            bus if order.is_request else f"load:{order.bus}",
            order.direction,
            START,
            order.remaining_w,
            order.limit_price_ticks,
            order.conditional,
        )
        who = sender if order.is_request else f"p{order.bus}"
        return SubmitFlexibility(who, f"o{order.order_id}", terms)

    def cancel(self, order: FlexOrder, sender: str = "dso") -> list[Event]:
        who = sender if order.is_request else f"p{order.bus}"
        return self.send(CancelOrder(who, f"c{order.order_id}", f"o{order.order_id}"))

    def flexibility(self) -> Any:
        return self.exchange.state.sessions[START].flexibility

    def excess_w(self) -> float:
        """Return by how much a flow is beyond its limits, at worst.

        Over every subset of conditional requests and every vertex of the envelopes, from the events
        alone.
        """
        network = self.market.network
        terms = {e.order_id: e for e in self.events if isinstance(e, FlexibilityAccepted)}
        matches = [m for e in self.events if isinstance(e, FlexibilityMatched) for m in e.matches]
        conditional = sorted(
            {m.request_id for m in matches if terms[m.request_id].terms.conditional}
        )
        sides = [
            (float(each.injection_limit_w), -float(each.withdrawal_limit_w))
            for each in self.exchange.envelopes(START)
        ]
        worst = -np.inf
        for active in itertools.product([False, True], repeat=len(conditional)):
            off = {n for n, is_on in zip(conditional, active, strict=True) if not is_on}
            injection = self.market.set_point_w.copy()
            for each in matches:
                if each.request_id in off:
                    continue
                offer, request = terms[each.offer_id], terms[each.request_id]
                up = 1 if offer.terms.direction is UPWARD else -1
                injection[network.buses.index(offer.bus)] += up * each.quantity_w
                injection[network.buses.index(request.bus)] -= up * each.quantity_w
            for vertex in itertools.product(*(dict.fromkeys(each) for each in sides)):
                flow = network.ptdf @ (injection + np.array(vertex))
                beyond = np.maximum(flow - network.upper_w, network.lower_w - flow)
                worst = max(worst, float(beyond.max()))
        return worst


def made(seed: int, matching: Matching, orders: int = 12, capacity_w: int = 0) -> FlexibleExchange:
    """Return an exchange and the orders of a random market; nothing is sent."""
    return FlexibleExchange(inside(random_market(seed, orders)), matching, capacity_w)


def chain(limit_w: float, **more: Any) -> FlexibleExchange:
    """Return an exchange of two buses, n0 and n1, with one branch b0 and nothing that flows."""
    branch = [ReactiveBranch("b0", "n0", "n1", 1.0)]
    most = np.array([limit_w])
    network = LinearNetwork.of_reactances(("n0", "n1"), "n0", branch, -most, most)
    market = LinearMarket(network, np.zeros(2), [])
    return FlexibleExchange(market, more.pop("matching", Matching.WELFARE), **more)


def request(number: int, watts: int, price: int, bus: int = 0, **more: Any) -> FlexOrder:
    """Return an upward request."""
    return _upward(number, Side.BUY, price, watts, bus, **more)


def offer(number: int, watts: int, price: int, bus: int = 1, **more: Any) -> FlexOrder:
    """Return an upward offer."""
    return _upward(number, Side.SELL, price, watts, bus, **more)


def _upward(number: int, side: Side, price: int, watts: int, bus: int, **more: Any) -> FlexOrder:
    return FlexOrder(number, side, price, watts, bus=bus, direction=UPWARD, interval="", **more)
