"""How much of the attainable gain does the market reach on real feeders, and how fast?

Run with ``python benchmarks/bench_market.py [PART ...]``; the parts are ``gain`` and ``modes``.
Agents quote their marginal values until no order trades; the attainable gain comes from a concave
program of its own (``tests/support/oracles/attainable_gain.py``).  The benchmark asserts nothing;
seeds are fixed.  Seconds are processor times of one thread.
"""

from __future__ import annotations

import argparse
import random
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests/support/oracles"))

from agents.strategies import LimitValue, MarginalValueQuoting
from agents.trading_rounds import ExchangeVenue, Place, Trader, Venue, act_until_quiet
from attainable_gain import attainable_gain, remaining_bound
from bench_allocation import grid_of, machine
from market_setup import CAPACITY_W, DIRECTIONS, NOW, QUARTER, START, Placed, an_exchange
from pairwise import PairwiseMarket

from doe_allocation.allocation.network_grid import NetworkGrid
from exchange.vocabulary.commands import OpenSession
from exchange.vocabulary.network_port import NetworkPort
from exchange.vocabulary.rules import ExchangeRate, MarketRules
from security_check.model.limits import InterfaceLimits, VoltageLimits

STEPS_W = (2_000, 500, 100, 20, 5, 1)
SEEDS = (1, 2, 3)


def drawn_values(points: Sequence[str], seed: int) -> dict[Place, LimitValue]:
    """Return marginal values: 30 to 100 EUR/kW at first, falling by 5 to 40 ticks a watt."""
    draw = random.Random(seed)
    return {
        Place(direction, point): LimitValue(draw.randrange(300_000, 1_000_000), draw.uniform(5, 40))
        for direction in DIRECTIONS
        for point in points
    }


def quote_out(venue: Venue, values: dict[Place, LimitValue], seed: int) -> int:
    """Let marginal-value agents act until none trades; return the number of orders."""
    traders = [
        Trader(place, MarginalValueQuoting(value, STEPS_W)) for place, value in values.items()
    ]
    ended = act_until_quiet(venue, traders, seed)
    if not ended.quiet:
        print(f"  not quiet after {ended.rounds} rounds")
    return ended.quotes


def worth(values: dict[Place, LimitValue], venue: Venue) -> float:
    """Return the value of all limits to their holders, in tick-watts."""
    return sum(value.total(venue.view(place).held_w) for place, value in values.items())


@dataclass(frozen=True)
class Run:
    """A market after the agents' last trade: value before, gain, and bound on a further gain."""

    start: float
    gain: float
    left: float
    trades: int
    timed: Placed


def welfare_run(grid: NetworkGrid, band: InterfaceLimits, rate: ExchangeRate, seed: int) -> Run:
    exchange = an_exchange(grid, MarketRules(exchange_rate=rate))
    exchange.handle(OpenSession(START, START + QUARTER, START, band), NOW)
    timed = Placed(exchange)
    venue = ExchangeVenue(exchange, START, NOW, timed.handle)
    values = drawn_values(grid.connection_points, seed)
    start = worth(values, venue)
    quote_out(venue, values, seed)
    held = exchange.state.sessions[START].holdings.envelope_set()
    left = remaining_bound(
        grid.resume(band, held),
        list(values.values()),
        CAPACITY_W,
        balanced=rate is ExchangeRate.ONE_TO_ONE,
    )
    return Run(start, worth(values, venue) - start, left, len(venue.trades), timed)


def pairwise_run(grid: NetworkPort, band: InterfaceLimits, seed: int) -> tuple[float, int]:
    """Return the gain of matching pairs, and the number of pairs that traded."""
    venue = PairwiseMarket(grid.allocate(band), CAPACITY_W, 1)
    values = drawn_values(grid.connection_points, seed)
    start = worth(values, venue)
    quote_out(venue, values, seed)
    return worth(values, venue) - start, venue.trades


def show_gain() -> None:
    source, band = "bundled:semiurb4", InterfaceLimits(0.98, 1.04)
    print(f"\n{source}: share of the attainable gain, one-to-one")
    grid = grid_of(source, CAPACITY_W)
    for seed in SEEDS:
        values = list(drawn_values(grid.connection_points, seed).values())
        most = attainable_gain(grid.allocate(band), grid.connection_points, values, CAPACITY_W)
        run = welfare_run(grid, band, ExchangeRate.ONE_TO_ONE, seed)
        paired, pairs = pairwise_run(grid, band, seed)
        print(
            f"seed {seed}: attainable {most.gain:.7g} tick-W (the duals leave "
            f"{most.bound / most.gain:.4%} at most)\n"
            f"  welfare  {run.gain / most.gain:10.4%} in {run.trades:,} clearings "
            f"(its own duals leave {run.left / most.gain:.4%})\n"
            f"  pairwise {paired / most.gain:10.4%} in {pairs:,} trades\n"
            f"  {run.timed.report()}"
        )


def show_modes() -> None:
    source, band = "simbench:1-LV-rural3--0-sw", InterfaceLimits(0.99, 1.02)
    grid = grid_of(source, CAPACITY_W, VoltageLimits(0.95, 1.05))
    fair = grid.allocate(band).limits_w.reshape(2, -1)
    shown = " and ".join(
        f"{low / 1e3:.4f} to {high / 1e3:.4f} kW {direction}"
        for direction, low, high in zip(DIRECTIONS, fair.min(axis=1), fair.max(axis=1), strict=True)
    )
    print(f"\n{source}, bus limits 0.95 to 1.05, band 0.99 to 1.02: fair start {shown}")
    for seed in SEEDS:
        values = list(drawn_values(grid.connection_points, seed).values())
        for rate in ExchangeRate:
            balanced = rate is ExchangeRate.ONE_TO_ONE
            most = attainable_gain(
                grid.allocate(band), grid.connection_points, values, CAPACITY_W, balanced=balanced
            )
            run = welfare_run(grid, band, rate, seed)
            print(
                f"seed {seed}, {rate}: attainable {most.gain / run.start:+.3%} over the fair start "
                f"(the duals leave {most.bound / most.gain:.4%} of it)\n"
                f"  reached {run.gain / run.start:+.3%}, {run.gain / most.gain:.4%} of it, in "
                f"{run.trades:,} clearings (its own duals leave {run.left / most.gain:.4%})\n"
                f"  {run.timed.report()}"
            )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parts = {"gain": show_gain, "modes": show_modes}
    parser.add_argument("parts", nargs="*", help=f"{', '.join(parts)}; all if none")
    asked = parser.parse_args()
    print(machine())
    for name, show in parts.items():
        if not asked.parts or name in asked.parts:
            show()


if __name__ == "__main__":
    main()
