"""Agents who quote their marginal values until nothing trades end at the attainable gain.

The attainable gain comes from a concave program that knows no order, no book and no clearing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from random import Random

import pytest
from agents.strategies import LimitValue, MarginalValueQuoting, MarketMaker, ZeroIntelligence
from agents.trading_rounds import ExchangeVenue, Place, Trader, act_until_quiet
from attainable_gain import attainable_gain, remaining_bound
from networks import feeder, simbench_network

from doe_allocation.allocation.network_grid import NetworkGrid
from doe_allocation.capacity import Capacity
from exchange.engine import Exchange
from exchange.vocabulary.commands import OpenSession
from exchange.vocabulary.events import Traded
from exchange.vocabulary.rules import ConnectionTerms, ExchangeRate, MarketRules
from security_check.importers.pandapower_balanced import network_from_pandapower
from security_check.model.envelope import Direction
from security_check.model.limits import InterfaceLimits, VoltageLimits
from security_check.model.network import Network

NOW = datetime(2030, 6, 1, 8, tzinfo=UTC)
START = NOW + timedelta(hours=4)
BAND = InterfaceLimits(0.98, 1.04)
CAPACITY_W = 30_000
STEPS_W = (2_000, 500, 100, 20, 5, 1)
DIRECTIONS = (Direction.INJECTION, Direction.WITHDRAWAL)


def grid_of(network: Network) -> NetworkGrid:
    points = network.connection_points
    capacity = Capacity.same(points, CAPACITY_W, CAPACITY_W)
    return NetworkGrid(network, VoltageLimits(0.90, 1.10), capacity)


def drawn_values(points: Sequence[str], seed: int) -> dict[Place, LimitValue]:
    rng = Random(seed)
    return {
        Place(direction, point): LimitValue(rng.randrange(300_000, 1_000_000), rng.uniform(5, 40))
        for direction in DIRECTIONS
        for point in points
    }


@dataclass
class Run:
    """A market with one interval, and what each participant has gained by its trades."""

    grid: NetworkGrid
    values: dict[Place, LimitValue]
    rate: ExchangeRate = ExchangeRate.ONE_TO_ONE
    exchange: Exchange = field(init=False)
    venue: ExchangeVenue = field(init=False)
    start_w: dict[Place, int] = field(init=False)

    def __post_init__(self) -> None:
        points = self.grid.connection_points
        terms = [ConnectionTerms(p, f"owner-{p}", CAPACITY_W, CAPACITY_W) for p in points]
        self.exchange = Exchange(self.grid, MarketRules(exchange_rate=self.rate), terms)
        self.exchange.handle(OpenSession(START, START + timedelta(minutes=15), START, BAND), NOW)
        self.venue = ExchangeVenue(self.exchange, START, NOW)
        self.start_w = self.held_w()

    def held_w(self) -> dict[Place, int]:
        return {place: self.venue.view(place).held_w for place in self.values}

    def gain(self) -> float:
        held_w = self.held_w()
        return sum(
            value.total(held_w[place]) - value.total(self.start_w[place])
            for place, value in self.values.items()
        )

    def quote_out(self, seed: int) -> None:
        traders = [
            Trader(place, MarginalValueQuoting(value, STEPS_W))
            for place, value in self.values.items()
        ]
        assert act_until_quiet(self.venue, traders, seed).quiet
        assert not self.venue.alarms

    def assert_no_participant_loses(self) -> None:
        """Follow every trade: what a limit is worth less what was paid only ever rises."""
        held_w = dict(self.start_w)
        for trade in self.venue.trades:
            for fill in trade.fills:
                place = Place(fill.direction, fill.connection_point)
                value, before_w = self.values[place], held_w[place]
                held_w[place] += fill.change_w
                gained = value.total(held_w[place]) - value.total(before_w) - fill.amount
                assert gained >= -1e-9 * value.total(CAPACITY_W), f"{fill} loses {-gained}"
        assert held_w == self.held_w()

    def assert_reached(self, share: float) -> None:
        """The gain is at least that share of what the concave program finds, and of its bound."""
        balanced = self.rate is ExchangeRate.ONE_TO_ONE
        values, points = list(self.values.values()), self.grid.connection_points
        most = attainable_gain(
            self.grid.allocate(BAND), points, values, CAPACITY_W, balanced=balanced
        )
        held = self.exchange.state.sessions[START].holdings.envelope_set()
        network = self.grid.resume(BAND, held)
        left = remaining_bound(network, values, CAPACITY_W, balanced=balanced)
        gain = self.gain()
        assert most.gain > 0
        assert gain >= share * most.gain
        assert gain >= share * (gain + left)
        self.exchange.check_invariants()


def small_network(customers: int = 6) -> Network:
    """Customers on a feeder whose first line and transformer bind."""
    return network_from_pandapower(feeder(customers), name="small")


@pytest.mark.slow
@pytest.mark.parametrize("customers", [5, 6])  # of the five, two have more than they can use
@pytest.mark.parametrize("rate", list(ExchangeRate))
def test_quoting_ends_at_the_attainable_gain(rate: ExchangeRate, customers: int) -> None:
    grid = grid_of(small_network(customers))
    run = Run(grid, drawn_values(grid.connection_points, 1), rate)
    run.quote_out(1)
    run.assert_reached(0.9999)
    run.assert_no_participant_loses()


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_quoting_on_a_real_feeder_ends_at_the_attainable_gain(seed: int) -> None:
    grid = grid_of(simbench_network("1-LV-semiurb4--0-sw"))
    run = Run(grid, drawn_values(grid.connection_points, seed))
    run.quote_out(seed)
    run.assert_reached(0.9999)
    run.assert_no_participant_loses()


def all_kinds(values: dict[Place, LimitValue], seed: int) -> list[Trader]:
    """Marginal-value agents, zero intelligence and market makers side by side."""
    return [
        Trader(
            place,
            (
                MarginalValueQuoting(value, (500, 50)),
                ZeroIntelligence(value, 1_000, 1_000_000, f"{seed}/{number}"),
                MarketMaker(200, 20_000, 10.0, 500_000),
            )[number % 3],
        )
        for number, (place, value) in enumerate(values.items())
    ]


def test_the_same_seeds_give_the_same_trades() -> None:
    grid = grid_of(small_network())
    values = drawn_values(grid.connection_points, 3)

    def trades(seed: int) -> list[Traded]:
        run = Run(grid, values)
        act_until_quiet(run.venue, all_kinds(values, seed), seed, max_rounds=8)
        run.exchange.check_invariants()
        return run.venue.trades

    first = trades(7)
    assert first
    assert first == trades(7)
    assert first != trades(8)


def test_rounds_that_are_used_up_are_not_quiet() -> None:
    grid = grid_of(small_network())
    values = drawn_values(grid.connection_points, 3)
    run = Run(grid, values)
    traders = [Trader(place, MarginalValueQuoting(v, STEPS_W)) for place, v in values.items()]
    ended = act_until_quiet(run.venue, traders, 1, max_rounds=2)
    assert (ended.quiet, ended.rounds) == (False, 2)
