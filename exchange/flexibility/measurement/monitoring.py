"""A report for operators: what was sold and delivered in each zone, and what it did to branches."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from doe_allocation.procurement.choices import FlexDirection
from exchange.flexibility.measurement.measuring import MeasuredOrder
from exchange.flexibility.measurement.paying import changes_w
from exchange.flexibility.measurement.settling import Account, counted_as_sold
from exchange.flexibility.products.sessions import Grid, overloads_w
from exchange.flexibility.products.vocabulary import Award, Resource

_OVER_W = 1.0  # watts by which a flow may miss its limit, as in sessions


@dataclass(frozen=True, slots=True)
class MonitoringRules:
    """A phase that reports what the market did."""

    name: str


@dataclass(frozen=True, slots=True)
class ZoneReport:
    """What a zone sold in a direction, and what was delivered; energies in exact watt-seconds.

    ``ordered_ws`` and the following are those of measured orders.  ``cost`` is in tick-watts, as
    sold.
    """

    zone: str
    direction: FlexDirection
    trades: int
    sold_ws: int
    cost: int
    ordered_ws: Fraction
    delivered_ws: Fraction
    over_ws: Fraction
    excused_ws: Fraction


@dataclass(frozen=True, slots=True)
class BranchReport:
    """A branch in an interval: its flow in the forecast, as sold, and as measured.

    Where an activation was not measured, it counts as sold; a refused order counts as nothing.
    """

    branch: str
    interval: int
    lower_w: float
    upper_w: float
    forecast_w: float
    sold_w: float
    measured_w: float
    overloaded: bool


@dataclass(frozen=True, slots=True)
class Monitored:
    """What zones sold and delivered, and what it did to branches."""

    zones: tuple[ZoneReport, ...]
    branches: tuple[BranchReport, ...]


def monitor(
    account: Account, resources: Mapping[str, Resource], interval_s: int, grid: Grid | None
) -> Monitored:
    """Return the report of a day; without a network it has no branches."""
    awards, measured = account.awards, account.measured or ()
    zones = zone_reports(awards, measured, resources, interval_s)
    if grid is None:
        return Monitored(zones, ())
    rest = counted_as_sold(account)
    return Monitored(zones, branch_reports(grid, awards, rest, measured, resources))


def zone_reports(
    awards: Sequence[Award],
    measured: Sequence[MeasuredOrder],
    resources: Mapping[str, Resource],
    interval_s: int,
) -> tuple[ZoneReport, ...]:
    """Return a report for each zone and direction that sold something."""
    keys = dict.fromkeys((resources[each.resource].zone, each.direction) for each in awards)
    found = []
    for zone, direction in sorted(keys):
        sold = [
            each
            for each in awards
            if resources[each.resource].zone == zone and each.direction is direction
        ]
        own = [
            each.delivery
            for each in measured
            if resources[each.given.order.resource].zone == zone
            and each.given.order.direction is direction
        ]
        found.append(
            ZoneReport(
                zone,
                direction,
                len(sold),
                sum(each.quantity_w for each in sold) * interval_s,
                sum(each.amount for each in sold),
                sum((each.ordered for each in own), Fraction(0)),
                sum((each.delivered for each in own), Fraction(0)),
                sum((sum(each.over_ws, Fraction(0)) for each in own), Fraction(0)),
                sum((each.excused for each in own), Fraction(0)),
            )
        )
    return tuple(found)


def branch_reports(
    grid: Grid,
    awards: Sequence[Award],
    unordered: Iterable[Award],
    measured: Sequence[MeasuredOrder],
    resources: Mapping[str, Resource],
) -> tuple[BranchReport, ...]:
    """Return each branch that was beyond a limit in the forecast, as sold or as measured.

    ``unordered`` are the awards that count as sold, because they were not measured.
    """
    network, rest, changes = grid.network, list(unordered), changes_w(measured)
    found = []
    for t in range(len(grid.injection_w)):
        forecast = network.ptdf @ grid.injection_w[t]
        sold = grid.flows_w(t, (each for each in awards if each.interval == t), resources)
        now = grid.flows_w(t, (each for each in rest if each.interval == t), resources)
        for (name, at), change_w in changes.items():
            if at == t:
                now = now + float(change_w) * grid.change(resources[name], FlexDirection.UPWARD)
        over = np.max([overloads_w(network, flows) for flows in (forecast, sold, now)], axis=0)
        last = overloads_w(network, now)
        found += [
            BranchReport(
                network.branches[k],
                t,
                float(network.lower_w[k]),
                float(network.upper_w[k]),
                float(forecast[k]),
                float(sold[k]),
                float(now[k]),
                bool(last[k] > _OVER_W),
            )
            for k in np.flatnonzero(over > _OVER_W).tolist()
        ]
    return tuple(found)
