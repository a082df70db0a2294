"""The market of a spot session: its offers and needs as bids, wants and limits of a program."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from doe_allocation.procurement.choices import FlexDirection
from exchange.clearing.highs import INFINITY
from exchange.flexibility.products.acceptance import Bid, Choice, Limit, Market, Pair, Want
from exchange.flexibility.products.rules.ceilings import Ceiling, ceiling_limits
from exchange.flexibility.products.sessions import Grid, Sold, SpotRules, effect
from exchange.flexibility.products.vocabulary import (
    FlexContract,
    FlexProduct,
    Need,
    Resource,
    SpotOffer,
)
from security_check.arrays import FloatArray

_ROUNDING_W = 1e-3
_MEMBERS = 1_000_000  # above the members of an aggregate
_NO_EFFECT = 1e-6  # of a watt on a branch: it serves no need


@dataclass(frozen=True, slots=True)
class Supply:
    """Everything that a clearing reads beside its rules.

    Parameters
    ----------
    interval_s
        Length of an interval.
    resources, products, contracts
        By name.
    needs, offers
        Those of the session.
    able_w
        What a resource can still do in an interval, where that is less than usual.
    sold
        What was sold before.
    grid
        The network; ``None`` without one.
    ceilings
        What groups of resources may change together.
    """

    interval_s: int
    resources: Mapping[str, Resource]
    products: Mapping[str, FlexProduct]
    contracts: Mapping[str, FlexContract]
    needs: Sequence[Need]
    offers: Sequence[SpotOffer]
    able_w: Mapping[tuple[str, int], int]
    sold: Sold
    grid: Grid | None
    ceilings: Sequence[Ceiling] = ()

    def free_w(self, resource: str, direction: FlexDirection, interval: int) -> int:
        """Return what a resource can still do; nothing where it goes the other way.

        Of an aggregate it is what its members can still do together.
        """
        if members := self.resources[resource].members:
            return sum(self.free_w(each, direction, interval) for each in members)
        able_w = self.resources[resource].able_w(direction)
        able_w = min(able_w, self.able_w.get((resource, interval), able_w))
        if self.sold.of_resource.get((resource, _other(direction), interval), 0):
            return 0
        return max(able_w - self.sold.of_resource.get((resource, direction, interval), 0), 0)

    def flows_w(self, interval: int) -> FloatArray:
        """Return the flow of each branch as sold so far, shape (l,); empty without a network."""
        if self.grid is None:
            return np.zeros(0)
        kept = self.sold.flows
        if interval not in kept:
            awards = self.sold.at[interval]
            kept[interval] = self.grid.flows_w(interval, awards, self.resources)
        return kept[interval]

    def needed_w(self, need: Need, interval: int) -> int:
        """Return what a need still lacks in an interval, rounded up to whole watts.

        A relief lacks what it has not bought, and also what others have loaded on the branch again.
        """
        left = self.sold.unserved_w(need, interval)
        wanted_w = need.wanted_w(interval)
        if need.relief is not None and wanted_w and self.grid is not None:
            network, injection = self.grid.network, self.grid.injection_w[interval]
            k, way = network.branches.index(need.relief.branch), need.relief.way
            limit = network.upper_w[k] if way > 0 else network.lower_w[k]
            first = way * (float(network.ptdf[k] @ injection) - limit)
            now = way * (float(self.flows_w(interval)[k]) - limit)
            left = max(left, min(now - max(first - wanted_w, 0.0), wanted_w))
        return max(int(np.ceil(left - _ROUNDING_W)), 0)

    def parts(self, offer: SpotOffer) -> list[SpotOffer]:
        """Return an aggregate's offer as one of each member; another as it is."""
        members = self.resources[offer.resource].members
        return [replace(offer, resource=each) for each in members] if members else [offer]

    def of_aggregates(self) -> set[str]:
        """Return the names of aggregates' offers."""
        return {each.name for each in self.offers if self.resources[each.resource].members}

    def most_w(self, offer: SpotOffer, interval: int) -> int:
        """Return what may be taken of an offer in an interval."""
        free_w = self.free_w(offer.resource, offer.direction, interval)
        return min(self.sold.left_w(offer, interval), free_w)


def _other(direction: FlexDirection) -> FlexDirection:
    upward = direction is FlexDirection.UPWARD
    return FlexDirection.DOWNWARD if upward else FlexDirection.UPWARD


@dataclass(frozen=True, slots=True)
class SessionMarket:
    """A market, and what its bids, wants and pairs stand for."""

    market: Market
    bids: tuple[tuple[SpotOffer, int], ...]
    wants: tuple[tuple[Need, int], ...]


def may_buy(rules: SpotRules, supply: Supply, offer: SpotOffer, need: Need) -> bool:
    """Return whether a need may take an offer, whatever its price and place."""
    if offer.product != need.product:
        return False
    contract = supply.contracts.get(offer.contract or "")
    return contract is None or rules.release or contract.buyer == need.buyer


def session_market(
    rules: SpotRules, supply: Supply, offers: Sequence[SpotOffer], intervals: Sequence[int]
) -> SessionMarket:
    """Return the market of some intervals of a session."""
    allowed = set(intervals)
    bids = [
        (part, t)
        for offer in offers
        if not offer.block or all(t in allowed and supply.most_w(offer, t) for t in offer.intervals)
        for t in offer.intervals
        for part in supply.parts(offer)
        if t in allowed and supply.most_w(part, t) > 0
    ]
    wants = [(need, t) for need in supply.needs for t in intervals if supply.needed_w(need, t) > 0]
    at: dict[int, list[int]] = defaultdict(list)
    for n, (_, t) in enumerate(wants):
        at[t].append(n)
    pairs = [
        pair
        for b, (offer, t) in enumerate(bids)
        for n in at[t]
        if (pair := _pair(rules, supply, b, offer, n, wants[n][0])) is not None
    ]
    choices, chosen = _choices(supply, bids)
    limits = [*_resource_limits(supply, bids), *_aggregate_limits(supply, bids)]
    keys = [(offer.resource, offer.direction, t) for offer, t in bids]
    limits += ceiling_limits(supply.ceilings, keys, supply.sold)
    if rules.within_network and supply.grid is not None:
        limits += _branch_limits(supply, supply.grid, bids, wants)
    market = Market(
        _bids(supply, bids),
        [Want(supply.needed_w(need, t), need.cap_ticks, rules.balanced) for need, t in wants],
        pairs,
        limits,
        list(_blocks(supply, bids)),
        choices,
        chosen,
    )
    return SessionMarket(market, tuple(bids), tuple(wants))


def _bids(supply: Supply, bids: Sequence[tuple[SpotOffer, int]]) -> list[Bid]:
    """Return the bids; of equal members of an aggregate the first one comes first."""
    found, members = [], defaultdict[tuple[str, int], int](int)
    for offer, t in bids:
        order = offer.order * _MEMBERS + members[offer.name, t]
        members[offer.name, t] += 1
        found.append(Bid(supply.most_w(offer, t), supply.products[offer.product].lot_w, order))
    return found


def _pair(
    rules: SpotRules, supply: Supply, b: int, offer: SpotOffer, n: int, need: Need
) -> Pair | None:
    if not may_buy(rules, supply, offer, need):
        return None
    each = effect(need, supply.resources[offer.resource], offer.direction, supply.grid)
    if rules.balanced:
        fits = each >= 0.0 or need.relief is not None
    else:
        fits = each > _NO_EFFECT and offer.price_ticks <= need.cap_ticks
    return Pair(b, n, offer.price_ticks, each, int(offer.direction.sign)) if fits else None


def _blocks(supply: Supply, bids: Sequence[tuple[SpotOffer, int]]) -> Iterator[tuple[int, ...]]:
    groups: dict[str, list[int]] = defaultdict(list)
    aggregates = supply.of_aggregates()
    for b, (offer, _) in enumerate(bids):
        if offer.block and offer.name not in aggregates:
            groups[offer.name].append(b)
    yield from (tuple(group) for group in groups.values() if len(group) > 1)


def _aggregate_limits(supply: Supply, bids: Sequence[tuple[SpotOffer, int]]) -> Iterator[Limit]:
    """Yield what joins the bids of an aggregate's members: its quantity, and its block."""
    groups: dict[str, dict[int, list[int]]] = defaultdict(lambda: defaultdict(list))
    quantity_w: dict[tuple[str, int], int] = {}
    blocks, aggregates = set(), supply.of_aggregates()
    for b, (offer, t) in enumerate(bids):
        if offer.name in aggregates:
            groups[offer.name][t].append(b)
            quantity_w[offer.name, t] = supply.sold.left_w(offer, t)
            blocks |= {offer.name} if offer.block else set()
    for name, by_time in groups.items():
        for t, group in by_time.items():
            yield Limit(dict.fromkeys(group, 1.0), -INFINITY, float(quantity_w[name, t]))
        if name in blocks:
            first, *others = by_time.values()
            for group in others:
                yield Limit(dict.fromkeys(first, -1.0) | dict.fromkeys(group, 1.0), 0.0, 0.0)


def _resource_limits(supply: Supply, bids: Sequence[tuple[SpotOffer, int]]) -> Iterator[Limit]:
    """Yield a limit for each resource, direction and interval of several bids.

    No watt is sold twice.
    """
    groups: dict[tuple[str, FlexDirection, int], list[int]] = defaultdict(list)
    for b, (offer, t) in enumerate(bids):
        groups[offer.resource, offer.direction, t].append(b)
    for key, group in groups.items():
        if len(group) > 1:
            yield Limit(dict.fromkeys(group, 1.0), -INFINITY, float(supply.free_w(*key)))


def _choices(
    supply: Supply, bids: Sequence[tuple[SpotOffer, int]]
) -> tuple[list[Choice], list[tuple[tuple[int, ...], int]]]:
    """Return choices: least quantities, one direction at a time, and how long resources run."""
    choices: list[Choice] = []
    chosen: list[tuple[tuple[int, ...], int]] = []
    active: dict[tuple[str, FlexDirection, int], list[int]] = defaultdict(list)
    least: dict[tuple[str, int], list[int]] = defaultdict(list)
    least_w: dict[str, int] = {}
    for b, (offer, t) in enumerate(bids):
        active[offer.resource, offer.direction, t].append(b)
        if offer.minimum_w and not supply.sold.of_offer.get((offer.name, t), 0):
            least[offer.name, t].append(b)
            least_w[offer.name] = offer.minimum_w
    choices += [Choice(tuple(group), least_w[name]) for (name, _), group in least.items()]
    both = {
        (name, t)
        for name, _, t in active
        if len([d for d in FlexDirection if (name, d, t) in active]) == 2
    }
    bounded = {name for name, _, _ in active if supply.resources[name].max_duration_s is not None}
    running: dict[str, dict[int, list[int]]] = defaultdict(lambda: defaultdict(list))
    either: dict[tuple[str, int], list[int]] = defaultdict(list)
    for (name, _, t), group in active.items():
        if (name, t) in both or name in bounded:
            either[name, t].append(len(choices))
            running[name][t].append(len(choices))
            choices.append(Choice(tuple(group)))
    chosen += [(tuple(group), 1) for group in either.values() if len(group) > 1]
    for name in bounded:
        chosen += _runs(supply, name, running[name])
    return choices, chosen


def _runs(
    supply: Supply, name: str, running: Mapping[int, Sequence[int]]
) -> Iterator[tuple[tuple[int, ...], int]]:
    """Yield groups of choices of which at most a number is taken, so that a run is not too long."""
    longest = (supply.resources[name].max_duration_s or 0) // supply.interval_s
    sold_at = {t for (own, _, t), watts in supply.sold.of_resource.items() if own == name and watts}
    times = {*running, *sold_at}
    for first in sorted(times):
        window = range(first, first + longest + 1)
        if all(t in times for t in window):
            group = tuple(k for t in window if t not in sold_at for k in running[t])
            if group:
                yield group, longest - len(sold_at & set(window))


def _branch_limits(
    supply: Supply,
    grid: Grid,
    bids: Sequence[tuple[SpotOffer, int]],
    wants: Sequence[tuple[Need, int]],
) -> Iterator[Limit]:
    """Yield the limits of branches that the session's offers might exceed.

    A branch beyond its limit may stay so, but what relieves it for a need stays relieved.
    """
    network = grid.network
    by_time: dict[int, list[tuple[int, SpotOffer]]] = defaultdict(list)
    for b, (offer, t) in enumerate(bids):
        by_time[t].append((b, offer))
    reliefs: dict[tuple[str, int, int], list[int]] = defaultdict(list)
    for n, (need, t) in enumerate(wants):
        if need.relief is not None:
            reliefs[need.relief.branch, need.relief.way, t].append(n)
    for t, own in sorted(by_time.items()):
        flows = supply.flows_w(t)
        change = np.array(
            [grid.change(supply.resources[offer.resource], offer.direction) for _, offer in own]
        ).T
        most = np.array([supply.most_w(offer, t) for _, offer in own])
        up = np.maximum(network.upper_w, flows) - flows
        down = np.minimum(network.lower_w, flows) - flows
        for k, name in enumerate(network.branches):
            above, below = reliefs[name, 1, t], reliefs[name, -1, t]
            most_up = (change[k].clip(0.0) * most).sum()
            most_down = (change[k].clip(max=0.0) * most).sum()
            if most_up <= up[k] and most_down >= down[k] and not above and not below:
                continue
            parts = {b: float(each) for (b, _), each in zip(own, change[k], strict=True) if each}
            yield Limit(parts, -INFINITY, float(up[k]), dict.fromkeys(above, 1.0))
            yield Limit(parts, float(down[k]), INFINITY, dict.fromkeys(below, -1.0))
