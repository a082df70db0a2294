"""The rules of a session, and what is left when it begins: offers, needs, flows of branches."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

import numpy as np

from doe_allocation.procurement.choices import FlexDirection
from exchange.flexibility.products.vocabulary import (
    Award,
    Goal,
    Need,
    Pricing,
    Resource,
    SpotOffer,
)
from security_check.arrays import FloatArray
from security_check.model.linear_network import LinearNetwork


@dataclass(frozen=True, slots=True)
class SpotRules:
    """The rules of a spot session.

    Parameters
    ----------
    name
        Its name.
    goal, pricing
        What is best, and what an accepted offer is paid.
    buyers
        Names of parties whose needs it takes; empty for all.
    intervals
        The intervals that it trades; ``None`` for all of the day.
    within_network
        Whether nothing may load a branch beyond its limit, or further where it is beyond.
    obligations
        Whether contracted offers are put in that obliged providers have not made.
    release
        Whether buyers other than the contract's may take contracted offers.
    balanced
        Whether each need takes as many watts up as down.
    one_by_one
        Whether offers are cleared as they arrive, or all together at the end.
    at
        When it clears; ``None`` where offers have no times.
    rest_s
        For how long an offer must have been in the book.
    """

    name: str
    goal: Goal = Goal.LEAST_COST
    pricing: Pricing = Pricing.PAY_AS_BID
    buyers: tuple[str, ...] = ()
    intervals: range | None = None
    within_network: bool = False
    obligations: bool = False
    release: bool = False
    balanced: bool = False
    one_by_one: bool = False
    at: datetime | None = None
    rest_s: int = 0


@dataclass(frozen=True, slots=True)
class Grid:
    """The day's linear network.

    Parameters
    ----------
    network
        Branches with their limits.
    injection_w
        Shape (intervals, n), what buses inject before any activation.
    operator
        The party that operates it.
    """

    network: LinearNetwork
    injection_w: FloatArray
    operator: str

    def change(self, resource: Resource, direction: FlexDirection) -> FloatArray:
        """Return what a watt of an activation adds to the flow of each branch, shape (l,)."""
        if resource.bus is None:
            return np.zeros(len(self.network.branches))
        column = self.network.ptdf[:, self.network.buses.index(resource.bus)]
        return direction.sign * column

    def flows_w(
        self, interval: int, awards: Iterable[Award], resources: Mapping[str, Resource]
    ) -> FloatArray:
        """Return the flow of each branch in an interval with its awards, shape (l,)."""
        flows: FloatArray = self.network.ptdf @ self.injection_w[interval]
        for each in awards:
            flows = flows + each.quantity_w * self.change(resources[each.resource], each.direction)
        return flows


@dataclass(slots=True)
class Sold:
    """What sessions have sold so far, in watts; ``at`` has the awards of each interval.

    ``flows`` keeps flows of branches that were computed since the last award of their interval.
    """

    awards: list[Award] = field(default_factory=list)
    at: dict[int, list[Award]] = field(default_factory=lambda: defaultdict(list))
    flows: dict[int, FloatArray] = field(default_factory=dict)
    of_offer: dict[tuple[str, int], int] = field(default_factory=lambda: defaultdict(int))
    of_need: dict[tuple[str, int], float] = field(default_factory=lambda: defaultdict(float))
    of_resource: dict[tuple[str, FlexDirection, int], int] = field(
        default_factory=lambda: defaultdict(int)
    )

    def add(self, award: Award, served_w: float) -> None:
        """Book an award, and by how much it serves its need."""
        self.awards.append(award)
        self.of_offer[award.offer, award.interval] += award.quantity_w
        self.of_need[award.need, award.interval] += served_w
        self.move(award)

    def move(self, award: Award) -> None:
        """Book a change of power: it loads branches and uses its resource, but is not paid."""
        self.at[award.interval].append(award)
        self.flows.pop(award.interval, None)
        self.of_resource[award.resource, award.direction, award.interval] += award.quantity_w

    def left_w(self, offer: SpotOffer, interval: int) -> int:
        """Return what is left of an offer in an interval."""
        return offer.quantity_w - self.of_offer.get((offer.name, interval), 0)

    def unserved_w(self, need: Need, interval: int) -> float:
        """Return what a need has not bought of its quantity in an interval."""
        return need.wanted_w(interval) - self.of_need.get((need.name, interval), 0.0)


def effect(need: Need, resource: Resource, direction: FlexDirection, grid: Grid | None) -> float:
    """Return by how much a watt of an activation serves a need."""
    if need.relief is not None:
        if grid is None:
            return 0.0
        branch = grid.network.branches.index(need.relief.branch)
        return float(-need.relief.way * grid.change(resource, direction)[branch])
    inside = need.zone in (None, resource.zone)
    if inside:
        return 1.0 if direction is need.direction else -1.0
    return 0.0


def overloads_w(network: LinearNetwork, flows_w: FloatArray) -> FloatArray:
    """Return by how much each flow is beyond its limit, shape (l,), at least 0."""
    over: FloatArray = np.maximum(flows_w - network.upper_w, network.lower_w - flows_w)
    return over.clip(0.0)


def of_session(names: Sequence[str], session: str) -> bool:
    """Return whether a list of sessions, empty for all, has a session."""
    return not names or session in names
