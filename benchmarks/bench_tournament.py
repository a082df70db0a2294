"""What does a strategy earn over telling the truth?  Every strategy on the same random days.

On each day of each feeder the first customer (or the first two) tells the truth, and then plays,
while the others do the same as before; its gain is the difference of its payoffs
(:mod:`tournament.market_day`).  The table has the mean gain in EUR a day, with twice its standard
error, and the share of days on which it gains; values of a watt are 0.1 to 1.2 EUR/kW.

Run: ``python benchmarks/bench_tournament.py [--days 200] [--rules continuous] [--feeders 3]``
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

from bench_allocation import grid_of
from rich.console import Console
from rich.table import Table
from tournament.market_day import LOT_W, Feeder, Player, payoff_of
from tournament.strategies import STRATEGIES

from exchange.vocabulary.rules import MarketRules, MeteringRules
from security_check.model.limits import InterfaceLimits, VoltageLimits

RULES = {
    "continuous": MarketRules(
        lot_w=LOT_W,
        max_price_ticks=12_000,
        compensation_price_ticks=3_000,
        metering=MeteringRules(penalty_price_ticks=5_000),
    ),
}
EUR = 1e-7  # of a tick-watt


def feeders(count: int) -> list[Feeder]:
    """Return the first feeders: loadings bind in two of them, voltages in the last."""
    wide, narrow = VoltageLimits(), VoltageLimits(0.94, 1.06)
    kinds = [("bundled:lv-rural1", wide, 12), ("bundled:semiurb4", wide, 16)]
    kinds.append(("bundled:lv-rural2", narrow, 16))
    found = []
    for name, voltages, active in kinds[:count]:
        network = grid_of(name, 0).network
        limits = InterfaceLimits(0.98, 1.03)
        found.append(Feeder(name, network, voltages, limits, 30_000, active, 0.7))
    return found


def payoff_eur(kind: type[Player], rules: str, feeder: Feeder, seed: int) -> float:
    """Return what the player of a kind has from one day, in EUR."""
    return payoff_of(feeder, RULES[rules], seed, kind) * EUR


def figures(gains: Sequence[float]) -> tuple[str, str]:
    """Return the mean with twice its standard error, and the share of days with a gain."""
    error = 2 * statistics.stdev(gains) / len(gains) ** 0.5
    share = sum(gain > 1e-9 for gain in gains) / len(gains)
    return f"{statistics.fmean(gains):+.3f} ± {error:.3f}", f"{share:.0%}"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--days", type=int, default=200)
    parser.add_argument("--rules", choices=RULES, default="continuous")
    parser.add_argument("--feeders", type=int, default=3)
    parser.add_argument("--only", nargs="*", choices=STRATEGIES, default=list(STRATEGIES))
    parser.add_argument("--workers", type=int, default=2)
    given = parser.parse_args()
    began = time.monotonic()
    table = Table(title=f"Gain over the truth, EUR a day: {given.rules}, {given.days} days")
    table.add_column("strategy")
    networks = feeders(given.feeders)
    for feeder in networks:
        table.add_column(feeder.name.removeprefix("bundled:"), justify="right")
        table.add_column("days", justify="right")
    with ProcessPoolExecutor(given.workers) as pool:
        payoffs = {
            (kind, feeder.name): list(
                pool.map(
                    partial(payoff_eur, kind, given.rules, feeder), range(given.days), chunksize=5
                )
            )
            for feeder in networks
            for kind in {kind: None for name in given.only for kind in STRATEGIES[name]}
        }
    for name in given.only:
        row: list[str] = []
        for feeder in networks:
            played, honest = (payoffs[kind, feeder.name] for kind in STRATEGIES[name])
            row.extend(figures([a - b for a, b in zip(played, honest, strict=True)]))
        table.add_row(name, *row)
    Console().print(table)
    print(f"{time.monotonic() - began:,.0f} s")


if __name__ == "__main__":
    main()
