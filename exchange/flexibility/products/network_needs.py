"""Needs found in a forecast: which branch is beyond its limit, and what would relieve it where."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from doe_allocation.procurement.choices import FlexDirection
from exchange.flexibility.products.sessions import Grid, overloads_w
from exchange.flexibility.products.vocabulary import Need, Relief

_LEAST_EFFECT = 0.05  # a watt that relieves less than this is not named as a place
_OVER_W = 1e-3  # watts by which a flow may miss its limit


@dataclass(frozen=True, slots=True)
class Place:
    """A bus at which watts in a direction would relieve a branch; ``effect`` of each of them."""

    bus: str
    direction: FlexDirection
    effect: float
    quantity_w: int


@dataclass(frozen=True, slots=True)
class Exceeded:
    """A branch beyond its limit in an interval, and the places that could relieve it alone."""

    branch: str
    interval: int
    flow_w: float
    limit_w: float
    excess_w: int
    places: tuple[Place, ...]


@dataclass(frozen=True, slots=True)
class ForecastRules:
    """What a forecast makes of what it finds.

    Parameters
    ----------
    name
        Its name; needs are named after it, branch and first interval.
    product
        The product that is to relieve branches.
    cap_ticks
        Highest utilisation price.
    """

    name: str
    product: str
    cap_ticks: int


def exceeded(grid: Grid, intervals: Sequence[int]) -> tuple[Exceeded, ...]:
    """Return what is beyond its limit at the set points, by interval, then branch."""
    network, found = grid.network, []
    for t in intervals:
        flows = network.ptdf @ grid.injection_w[t]
        over = overloads_w(network, flows)
        for k in np.flatnonzero(over > _OVER_W).tolist():
            above = flows[k] > network.upper_w[k]
            limit_w = network.upper_w[k] if above else network.lower_w[k]
            excess_w = int(np.ceil(over[k] - _OVER_W))
            places = _places(grid, k, 1 if above else -1, excess_w)
            name = network.branches[k]
            found.append(Exceeded(name, t, float(flows[k]), float(limit_w), excess_w, places))
    return tuple(found)


def _places(grid: Grid, branch: int, way: int, excess_w: int) -> tuple[Place, ...]:
    """Return each bus with what it would take there, least watts first."""
    found = []
    for bus, factor in zip(grid.network.buses, grid.network.ptdf[branch], strict=True):
        for direction in FlexDirection:
            effect = float(-way * factor * direction.sign)
            if effect >= _LEAST_EFFECT:
                quantity_w = int(np.ceil(excess_w / effect - _OVER_W))
                found.append(Place(bus, direction, effect, quantity_w))
    return tuple(sorted(found, key=lambda each: each.quantity_w))


def needs_of(rules: ForecastRules, buyer: str, found: Sequence[Exceeded]) -> tuple[Need, ...]:
    """Return a need for each branch and run of intervals in which it is beyond its limit."""
    needs: list[Need] = []
    runs: dict[tuple[str, int], list[Exceeded]] = {}
    ended: list[tuple[tuple[str, int], list[Exceeded]]] = []
    for each in sorted(found, key=lambda each: each.interval):
        key = each.branch, 1 if each.flow_w > each.limit_w else -1
        run = runs.get(key)
        if run is not None and run[-1].interval + 1 == each.interval:
            run.append(each)
        else:
            runs[key] = [each]
            ended.append((key, runs[key]))
    for (branch, way), run in ended:
        first = run[0].interval
        needs.append(
            Need(
                f"{rules.name} {branch} {first}",
                buyer,
                rules.product,
                range(first, first + len(run)),
                tuple(each.excess_w for each in run),
                rules.cap_ticks,
                relief=Relief(branch, way),
            )
        )
    return tuple(needs)
