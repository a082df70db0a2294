"""Random days of the exchange on linear networks: after each command every vertex is secure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from linear_areas import LinearArea, linear_areas
from market import GATE, OPENING, QUARTER, START
from sampling import examples

from doe_allocation.allocation.linear.grid import LinearGrid
from exchange.engine import Exchange
from exchange.vocabulary import commands as c
from exchange.vocabulary.events import Event, Traded
from exchange.vocabulary.orders import OrderTerms
from exchange.vocabulary.rules import ConnectionTerms, ExchangeRate, MarketRules
from orderbook.order import OrderConditions, Side
from security_check.model.envelope import Direction
from security_check.model.limits import InterfaceLimits

CAPACITY_W = 1000
TOLERANCE_W = 1e-2
CONDITIONS = [
    OrderConditions(),
    OrderConditions(),
    OrderConditions(all_or_none=True),
    OrderConditions(minimum_w=20),
]


@dataclass(frozen=True)
class Series:
    """A network of its own in each interval."""

    areas: Mapping[datetime, LinearArea]

    @property
    def connection_points(self) -> tuple[str, ...]:
        return self.areas[START].points

    def network_in(self, interval: datetime) -> LinearGrid:
        return self.areas[interval].grid(CAPACITY_W)


def narrower(area: LinearArea) -> LinearArea:
    """Return the network with half the room around its set point."""
    rest = area.flows_w(np.zeros(len(area.points)))
    return replace(area, lower_w=(area.lower_w + rest) / 2, upper_w=(area.upper_w + rest) / 2)


def exchange_on(areas: Mapping[datetime, LinearArea], rules: MarketRules) -> Exchange:
    terms = [
        ConnectionTerms(point, f"p{k}", CAPACITY_W, CAPACITY_W)
        for k, point in enumerate(areas[START].points)
    ]
    return Exchange(Series(areas), rules, terms)


def check(
    area: LinearArea, exchange: Exchange, interval: datetime, limits: InterfaceLimits
) -> None:
    held = exchange.envelopes(interval)
    injection_w = [each.injection_limit_w for each in held]
    withdrawal_w = [each.withdrawal_limit_w for each in held]
    low, high = area.extremes_w(injection_w, withdrawal_w)
    least, most = area.exchange_w(injection_w, withdrawal_w)
    assert (low >= area.lower_w - TOLERANCE_W).all()
    assert (high <= area.upper_w + TOLERANCE_W).all()
    assert limits.injection_limit_w is None or most <= limits.injection_limit_w + TOLERANCE_W
    assert limits.withdrawal_limit_w is None or -least <= limits.withdrawal_limit_w + TOLERANCE_W


@settings(deadline=None, max_examples=examples(12), suppress_health_check=[HealthCheck.too_slow])
@given(linear_areas(), st.integers(0, 2**32 - 1), st.sampled_from(ExchangeRate))
def test_every_state_of_a_random_day_is_secure_at_every_vertex(
    area: LinearArea, seed: int, rate: ExchangeRate
) -> None:
    rng = np.random.default_rng(seed)
    rules = MarketRules(lot_w=10, exchange_rate=rate)
    areas = {START: area, START + QUARTER: narrower(area)}
    exchange = exchange_on(areas, rules)
    rest_w = abs(int(area.setpoint_w.sum()))
    free = InterfaceLimits(0.98, 1.04)
    limits = dict.fromkeys(areas, free)
    events: list[Event] = []
    now = OPENING
    commands: list[c.Command] = [
        c.OpenSession(start, start + QUARTER, GATE, free) for start in areas
    ]
    for number in range(40):
        point = int(rng.integers(len(area.points)))
        terms = OrderTerms(
            connection_point=area.points[point],
            direction=[*Direction][rng.integers(2)],
            interval=START + QUARTER * int(rng.integers(2)),
            side=[*Side][rng.integers(2)],
            quantity_w=10 * int(rng.integers(2, 30)),
            limit_price_ticks=int(rng.integers(1, 200)),
            conditions=CONDITIONS[rng.integers(len(CONDITIONS))],
        )
        commands.append(c.SubmitOrder(f"p{point}", f"o{number}", terms))
        if number % 13 == 12:
            both = [rest_w + int(rng.integers(200, 2500)) for _ in range(2)]
            changed = InterfaceLimits(0.98, 1.04, *both)
            commands.append(c.UpdateInterfaceLimits(f"u{number}", terms.interval, changed))
    for command in commands:
        now += timedelta(seconds=1)
        events += exchange.handle(command, now)
        if isinstance(command, c.UpdateInterfaceLimits):
            limits[command.interval] = command.interface_limits
        for start in exchange.state.sessions:
            check(areas[start], exchange, start, limits[start])
        exchange.check_invariants()
    replayed = exchange_on(areas, rules)
    replayed.replay(events)
    assert replayed.digest() == exchange.digest()
    # After a restart each interval is taken up on its own network, and trades there.
    for number, start in enumerate(areas):
        for k, side in enumerate(Side):
            place = (area.points[k], Direction.INJECTION, start)
            order = c.SubmitOrder(f"p{k}", f"n{number}{k}", OrderTerms(*place, side, 20, 100))
            replayed.handle(order, now)
        check(areas[start], replayed, start, limits[start])
    replayed.check_invariants()


def test_a_trade_goes_through_where_it_relieves_the_branch_and_not_where_it_loads_it() -> None:
    limit = np.array([600.0, 300.0, 5e3, 5e3])
    area = LinearArea(
        [(0, 1), (1, 2), (0, 3), (3, 4)], [1.0] * 4, -limit, limit, [1, 2], np.zeros(5)
    )
    exchange = exchange_on({START: area}, MarketRules())
    opened = c.OpenSession(START, START + QUARTER, GATE, InterfaceLimits(0.98, 1.04))
    exchange.handle(opened, OPENING)
    traded: list[int] = []
    # 300 W each: the second branch is full with what load:1 has, the first with the sum.
    for k, (seller, buyer) in enumerate([(0, 1), (1, 0)]):
        for side, point in ((Side.SELL, seller), (Side.BUY, buyer)):
            place = (area.points[point], Direction.INJECTION, START)
            terms = OrderTerms(*place, side, 50, 10)
            order = c.SubmitOrder(f"p{point}", f"o{k}{side}", terms)
            events = exchange.handle(order, OPENING + timedelta(seconds=1 + k))
            traded += [k for event in events if isinstance(event, Traded)]
        for point in range(2):
            now = OPENING + timedelta(seconds=2 + k)
            exchange.handle(c.MassCancel(f"p{point}", f"r{k}{point}", START), now)
    assert traded == [1]
    assert [each.injection_limit_w for each in exchange.envelopes(START)] == [350, 250]
