"""What ``report`` does: run a file of orders, and say how good the market was."""

from __future__ import annotations

from pathlib import Path

from gateway.plots.price_map import draw_price_map
from gateway.runs.market_report import MarketReport, market_report
from gateway.runs.simulation import Simulation
from gateway.scenario.scenario import Scenario


def make_report(scenario: Scenario, simulation: Simulation, plot: Path | None) -> MarketReport:
    """Return the report on a simulation, and draw its price map where one is wanted.

    Raises as :func:`gateway.runs.market_report.market_report` and
    ``draw_price_map``, and ``OSError`` when the picture cannot be written.
    """
    report = market_report(scenario, simulation)
    if plot is not None:
        draw_price_map(scenario.network, report, plot)
    return report
