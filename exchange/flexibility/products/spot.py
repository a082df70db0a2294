"""A spot session: offers and needs cleared, priced and explained."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from exchange.flexibility.products.acceptance import accept
from exchange.flexibility.products.left_over import (
    LeftOver,
    Unused,
    left_over,
    may_serve,
    why_left,
)
from exchange.flexibility.products.session_market import (
    SessionMarket,
    Supply,
    session_market,
)
from exchange.flexibility.products.sessions import Grid, SpotRules, overloads_w
from exchange.flexibility.products.vocabulary import Award, Need, Pricing, SpotOffer
from security_check.arrays import FloatArray

_FULL_W = 1.0  # a branch with less room than that is full


@dataclass(frozen=True, slots=True)
class Shortfall:
    """Watts that a need lacks in an interval, and a sentence on the offers for it."""

    need: str
    buyer: str
    interval: int
    wanted_w: int
    missing_w: int
    detail: str


@dataclass(frozen=True, slots=True)
class BranchFlow:
    """The flow of a branch that is beyond its limits before a session or after it, in watts."""

    branch: str
    interval: int
    lower_w: float
    upper_w: float
    before_w: float
    after_w: float

    @property
    def overloaded(self) -> bool:
        """Whether it is beyond its limits after the session."""
        return max(self.after_w - self.upper_w, self.lower_w - self.after_w) > _FULL_W


@dataclass(frozen=True, slots=True)
class Cleared:
    """What a session did."""

    awards: tuple[Award, ...]
    shortfalls: tuple[Shortfall, ...]
    left_over: tuple[LeftOver, ...]
    flows: tuple[BranchFlow, ...]


def clear(rules: SpotRules, supply: Supply, intervals: Sequence[int]) -> Cleared:
    """Clear a session; what it sells is added to what was sold before.

    Raises
    ------
    ClearingError
        When the solver finds no best choice.
    """
    before = _flows_w(supply, intervals)
    ordered = sorted(supply.offers, key=lambda offer: offer.order)
    awards: list[Award] = []
    for count in range(1 if rules.one_by_one else len(ordered), len(ordered) + 1):
        awards += _clear_once(rules, supply, ordered[:count], intervals)
    by_time = sorted(awards, key=lambda each: (each.interval, each.need, each.price_ticks))
    return Cleared(
        tuple(by_time),
        tuple(_shortfalls(rules, supply, intervals)),
        tuple(left_over(rules, supply, intervals)),
        tuple(
            () if supply.grid is None else beyond(supply.grid, before, _flows_w(supply, intervals))
        ),
    )


def _flows_w(supply: Supply, intervals: Sequence[int]) -> dict[int, FloatArray]:
    """Return the flows of branches in each interval as sold so far; empty without a network."""
    if supply.grid is None:
        return {}
    return {t: supply.flows_w(t) for t in intervals}


def beyond(
    grid: Grid, before: Mapping[int, FloatArray], after: Mapping[int, FloatArray]
) -> Iterator[BranchFlow]:
    """Yield the branches that are beyond their limits before or after, by interval.

    Flows of branches in an interval have the shape (l,).
    """
    network = grid.network
    for t, first in before.items():
        over = np.maximum(overloads_w(network, first), overloads_w(network, after[t]))
        for k in np.flatnonzero(over > _FULL_W).tolist():
            values = network.lower_w[k], network.upper_w[k], first[k], after[t][k]
            yield BranchFlow(network.branches[k], t, *map(float, values))


def _clear_once(
    rules: SpotRules, supply: Supply, offers: Sequence[SpotOffer], intervals: Sequence[int]
) -> list[Award]:
    session = session_market(rules, supply, offers, intervals)
    watts = accept(session.market, rules.goal)
    awards, served, aggregates = [], [], supply.of_aggregates()
    for pair, quantity_w in zip(session.market.pairs, watts, strict=True):
        if not quantity_w:
            continue
        offer, interval = session.bids[pair.bid]
        need, _ = session.wants[pair.want]
        resource = supply.resources[offer.resource]
        because = _because(session, pair.want, pair.bid, pair.effect)
        if offer.name in aggregates:
            because = f"{offer.resource}, {because}"
        awards.append(
            Award(
                rules.name,
                need.name,
                need.buyer,
                offer.name,
                offer.resource,
                resource.provider,
                offer.direction,
                interval,
                quantity_w,
                offer.price_ticks,
                because,
            )
        )
        served.append(quantity_w * pair.effect)
    if rules.pricing is Pricing.UNIFORM:
        awards = _uniform(awards, {o.name for o in offers if o.contract is not None})
    for award, served_w in zip(awards, served, strict=True):
        supply.sold.add(award, served_w)
    return awards


def _because(session: SessionMarket, want: int, bid: int, each: float) -> str:
    """Return why an offer was taken: its place by price, and what a watt of it does."""
    rivals = [
        (session.bids[pair.bid][0].price_ticks, session.bids[pair.bid][0].order, pair.bid)
        for pair in session.market.pairs
        if pair.want == want
    ]
    place = sorted(rivals).index(next(each for each in rivals if each[2] == bid)) + 1
    need, _ = session.wants[want]
    sentence = f"number {place} by price of {len(rivals)} for {need.name}"
    if need.relief is not None:
        sentence += f"; each W takes {each:.3g} W off {need.relief.branch}"
    return sentence


def _uniform(awards: Sequence[Award], contracted: set[str]) -> list[Award]:
    """Return awards at the highest accepted price of their need and interval."""
    highest: dict[tuple[str, int], int] = {}
    for each in awards:
        key = each.need, each.interval
        highest[key] = max(highest.get(key, each.price_ticks), each.price_ticks)
    return [
        each
        if each.offer in contracted
        else replace(each, price_ticks=highest[each.need, each.interval])
        for each in awards
    ]


def _shortfalls(rules: SpotRules, supply: Supply, intervals: Sequence[int]) -> Iterator[Shortfall]:
    for need in supply.needs:
        for t in intervals:
            missing_w = supply.needed_w(need, t)
            if not missing_w:
                continue
            wanted_w = need.wanted_w(t)
            detail = (
                f"{missing_w:,} of {wanted_w:,} W are missing; {_offered(rules, supply, need, t)}"
            )
            yield Shortfall(need.name, need.buyer, t, wanted_w, missing_w, detail)


def _offered(rules: SpotRules, supply: Supply, need: Need, interval: int) -> str:
    """Return what was offered for a need, and why what is left of it was not taken."""
    offers = [each for each in supply.offers if may_serve(rules, supply, each, need, interval)]
    offered_w = sum(each.quantity_w for each in offers)
    left: dict[str, int] = {}
    for each in offers:
        if left_w := supply.sold.left_w(each, interval):
            dear = not rules.balanced and each.price_ticks > need.cap_ticks
            reason = Unused.ABOVE_CAP if dear else why_left(rules, supply, each, interval)[0]
            left[reason.value] = left.get(reason.value, 0) + left_w
    where = need.relief.branch if need.relief else need.zone or "anywhere"
    listed = ", ".join(f"{watts:,} W {reason}" for reason, watts in left.items()) or "nothing"
    return f"offered for {where}: {offered_w:,} W, left of it: {listed}"
