"""A forward session: contracts at the least cost of availability and expected utilisation."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from doe_allocation.procurement.choices import FlexDirection
from exchange.clearing.highs import INFINITY
from exchange.flexibility.products.acceptance import Bid, Choice, Limit, Market, Pair, Want, accept
from exchange.flexibility.products.vocabulary import (
    FlexContract,
    FlexProduct,
    ForwardOffer,
    Goal,
    Need,
    Refusal,
    Resource,
)


@dataclass(frozen=True, slots=True)
class ForwardRules:
    """The rules of a forward session.

    Parameters
    ----------
    name
        Its name.
    buyers
        Names of parties whose needs it takes; empty for all.
    obliged
        Whether its contracts oblige to offer in spot sessions.
    penalty_ticks
        What a watt withheld costs, for one interval.
    """

    name: str
    buyers: tuple[str, ...] = ()
    obliged: bool = True
    penalty_ticks: int = 0


@dataclass(frozen=True, slots=True)
class Contracted:
    """What a forward session did: contracts, and watts that each need lacks, with a sentence."""

    contracts: tuple[FlexContract, ...]
    missing_w: Mapping[str, int]
    refused: tuple[Refusal, ...]


def contract(
    rules: ForwardRules,
    needs: Sequence[Need],
    offers: Sequence[ForwardOffer],
    resources: Mapping[str, Resource],
    products: Mapping[str, FlexProduct],
    before: Sequence[FlexContract],
) -> Contracted:
    """Return the contracts that cover the needs at least cost, paid as bid.

    A watt costs its availability price and, for each interval in which an activation is expected,
    its utilisation price.  An offer covers a need only over all of the need's intervals.

    Parameters
    ----------
    rules
        The rules.
    needs, offers
        Those of the session; a need wants the largest of its quantities.
    resources, products
        By name.
    before
        Contracts that resources have already.

    Raises
    ------
    ClearingError
        When the solver finds no best choice.
    """
    bids = [Bid(each.quantity_w, products[each.product].lot_w, each.order) for each in offers]
    wants = [Want(max(need.quantity_w), 0) for need in needs]
    pairs = [
        Pair(b, n, cost_ticks(offer, need))
        for b, offer in enumerate(offers)
        for n, need in enumerate(needs)
        if why_not(offer, need, resources) is None
    ]
    choices = [Choice((b,), each.minimum_w) for b, each in enumerate(offers) if each.minimum_w]
    limits = _resource_limits(offers, resources, before)
    market = Market(bids, wants, pairs, limits, choices=choices)
    watts = accept(market, Goal.LEAST_COST)
    made = []
    covered = [0] * len(needs)
    for pair, quantity_w in zip(pairs, watts, strict=True):
        if quantity_w:
            made.append(_contract(rules, offers[pair.bid], needs[pair.want], resources, quantity_w))
            covered[pair.want] += quantity_w
    taken = {pair.bid for pair, quantity_w in zip(pairs, watts, strict=True) if quantity_w}
    missing_w = {
        need.name: wants[n].quantity_w - covered[n]
        for n, need in enumerate(needs)
        if covered[n] < wants[n].quantity_w
    }
    refused = [
        _refused(offer, needs, resources, missing_w)
        for b, offer in enumerate(offers)
        if b not in taken
    ]
    return Contracted(tuple(made), missing_w, tuple(refused))


def cost_ticks(offer: ForwardOffer, need: Need) -> int:
    """Return what a watt of an offer is expected to cost a need."""
    return offer.availability_ticks + need.expected * offer.utilisation_ticks


def why_not(
    offer: ForwardOffer, need: Need, resources: Mapping[str, Resource]
) -> tuple[str, str] | None:
    """Return a reason and a sentence why an offer cannot cover a need; ``None`` if it can."""
    elsewhere = need.zone not in (None, resources[offer.resource].zone)
    if offer.product != need.product or offer.direction is not need.direction or elsewhere:
        return "no_need", "no need of the session asks for it there"
    if not set(need.intervals) <= set(offer.intervals):
        return "intervals", f"it does not cover all intervals of {need.name}"
    cap = need.availability_cap_ticks
    if cap is not None and offer.availability_ticks > cap:
        return "above_cap", f"its availability price is above the highest of {need.name}"
    if offer.utilisation_ticks > need.cap_ticks:
        return "above_cap", f"its utilisation price is above the highest of {need.name}"
    return None


def _resource_limits(
    offers: Sequence[ForwardOffer],
    resources: Mapping[str, Resource],
    before: Sequence[FlexContract],
) -> list[Limit]:
    """Return a limit for each resource, direction and set of offers that share an interval."""
    groups: dict[tuple[str, FlexDirection, tuple[int, ...]], int] = {}
    for name, direction in dict.fromkeys((each.resource, each.direction) for each in offers):
        own = [
            (b, e) for b, e in enumerate(offers) if (e.resource, e.direction) == (name, direction)
        ]
        promised: dict[int, int] = defaultdict(int)
        for each in before:
            if (each.resource, each.direction) == (name, direction):
                for t in each.intervals:
                    promised[t] += each.quantity_w
        for t in sorted({t for _, each in own for t in each.intervals}):
            key = name, direction, tuple(b for b, each in own if t in each.intervals)
            left_w = max(resources[name].able_w(direction) - promised[t], 0)
            groups[key] = min(groups.get(key, left_w), left_w)
    return [
        Limit(dict.fromkeys(bids, 1.0), -INFINITY, float(left_w))
        for (_, _, bids), left_w in groups.items()
    ]


def _contract(
    rules: ForwardRules,
    offer: ForwardOffer,
    need: Need,
    resources: Mapping[str, Resource],
    quantity_w: int,
) -> FlexContract:
    return FlexContract(
        f"{offer.name} for {need.name}",
        offer.resource,
        resources[offer.resource].provider,
        need.buyer,
        offer.product,
        offer.direction,
        need.intervals,
        quantity_w,
        offer.availability_ticks,
        offer.utilisation_ticks,
        rules.obliged,
        rules.penalty_ticks,
    )


def _refused(
    offer: ForwardOffer,
    needs: Sequence[Need],
    resources: Mapping[str, Resource],
    missing_w: Mapping[str, int],
) -> Refusal:
    """Return why nothing was taken of an offer."""
    reasons = [why_not(offer, need, resources) for need in needs]
    able = [need for need, reason in zip(needs, reasons, strict=True) if reason is None]
    if able:
        lacking = [need.name for need in able if need.name in missing_w]
        if lacking:
            detail = f"{lacking[0]} lacks {missing_w[lacking[0]]:,} W, fewer than it gives at least"
            if not offer.minimum_w or offer.minimum_w <= missing_w[lacking[0]]:
                detail = "its resource has no more for this session"
            return Refusal(offer.name, "indivisible", detail)
        names = ", ".join(need.name for need in able)
        return Refusal(offer.name, "costlier", f"others cover {names} at less, or were earlier")
    told = [each for each in reasons if each is not None]
    own = next((each for each in told if each[0] != "no_need"), None)
    reason, detail = own or ("no_need", "no need of the session asks for it")
    return Refusal(offer.name, reason, detail)
