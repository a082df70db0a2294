"""A spot session: offers and needs cleared, priced and explained."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from exchange.flexibility.products.acceptance import accept
from exchange.flexibility.products.session_market import (
    SessionMarket,
    Supply,
    may_buy,
    session_market,
)
from exchange.flexibility.products.sessions import SpotRules, effect, overloads_w
from exchange.flexibility.products.vocabulary import Award, Need, Pricing, SpotOffer

_FULL_W = 1.0  # a branch with less room than that is full


class Unused(StrEnum):
    """Why something of an offer was not taken."""

    NO_NEED = "no_need"
    ABOVE_CAP = "above_cap"
    NETWORK = "network"
    INDIVISIBLE = "indivisible"
    NOT_NEEDED = "not_needed"


@dataclass(frozen=True, slots=True)
class LeftOver:
    """What was not taken of an offer in some intervals, why, and a sentence of the first one."""

    offer: str
    reason: Unused
    detail: str
    intervals: tuple[int, ...]
    left_w: tuple[int, ...]


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
    grid, before = supply.grid, list(supply.sold.awards)
    ordered = sorted(supply.offers, key=lambda offer: offer.order)
    awards: list[Award] = []
    for count in range(1 if rules.one_by_one else len(ordered), len(ordered) + 1):
        awards += _clear_once(rules, supply, ordered[:count], intervals)
    flows = []
    if grid is not None:
        network = grid.network
        for t in intervals:
            first = grid.flows_w(t, before, supply.resources)
            last = grid.flows_w(t, supply.sold.awards, supply.resources)
            over = overloads_w(network, first) + overloads_w(network, last)
            flows += [
                BranchFlow(
                    name,
                    t,
                    float(network.lower_w[k]),
                    float(network.upper_w[k]),
                    float(first[k]),
                    float(last[k]),
                )
                for k, name in enumerate(network.branches)
                if over[k] > _FULL_W
            ]
    return Cleared(
        tuple(awards),
        tuple(_shortfalls(rules, supply, intervals)),
        tuple(_left_over(rules, supply, intervals)),
        tuple(flows),
    )


def _clear_once(
    rules: SpotRules, supply: Supply, offers: Sequence[SpotOffer], intervals: Sequence[int]
) -> list[Award]:
    session = session_market(rules, supply, offers, intervals)
    watts = accept(session.market, rules.goal)
    awards, served = [], []
    for pair, quantity_w in zip(session.market.pairs, watts, strict=True):
        if not quantity_w:
            continue
        offer, interval = session.bids[pair.bid]
        need, _ = session.wants[pair.want]
        resource = supply.resources[offer.resource]
        because = _because(session, pair.want, pair.bid, pair.effect)
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


def _may_serve(
    rules: SpotRules, supply: Supply, offer: SpotOffer, need: Need, interval: int
) -> bool:
    """Return whether an offer could serve a need in an interval, whatever its price."""
    return (
        interval in offer.intervals
        and need.wanted_w(interval) > 0
        and may_buy(rules, supply, offer, need)
        and effect(need, supply.resources[offer.resource], offer.direction, supply.grid) > 0.0
    )


def _shortfalls(rules: SpotRules, supply: Supply, intervals: Sequence[int]) -> Iterator[Shortfall]:
    for need in supply.needs:
        for t in intervals:
            missing_w = supply.sold.needed_w(need, t)
            if not missing_w:
                continue
            offers = [each for each in supply.offers if _may_serve(rules, supply, each, need, t)]
            below = [each for each in offers if each.price_ticks <= need.cap_ticks]
            offered_w = sum(each.quantity_w for each in below)
            above_w = sum(each.quantity_w for each in offers) - offered_w
            wanted_w = need.wanted_w(t)
            where = need.relief.branch if need.relief else f"zone {need.zone}" if need.zone else ""
            detail = (
                f"{missing_w:,} of {wanted_w:,} W are missing{' at ' if where else ''}{where}: "
                f"{offered_w:,} W were offered at or below its highest price, {above_w:,} W above"
            )
            yield Shortfall(need.name, need.buyer, t, wanted_w, missing_w, detail)


def _left_over(rules: SpotRules, supply: Supply, intervals: Sequence[int]) -> Iterator[LeftOver]:
    for offer in supply.offers:
        found: dict[Unused, list[tuple[int, int, str]]] = defaultdict(list)
        for t in offer.intervals:
            left_w = supply.sold.left_w(offer, t)
            if t in intervals and left_w > 0:
                reason, detail = _why_left(rules, supply, offer, t)
                found[reason].append((t, left_w, detail))
        for reason, cases in found.items():
            times, watts, details = zip(*cases, strict=True)
            yield LeftOver(offer.name, reason, details[0], times, watts)


def _why_left(
    rules: SpotRules, supply: Supply, offer: SpotOffer, interval: int
) -> tuple[Unused, str]:
    needs = [each for each in supply.needs if _may_serve(rules, supply, offer, each, interval)]
    if not needs:
        return Unused.NO_NEED, "no need of the session asks for it there and then"
    if not rules.balanced and all(each.cap_ticks < offer.price_ticks for each in needs):
        return Unused.ABOVE_CAP, "its price is above the highest price of each need"
    lacking = [each for each in needs if supply.sold.needed_w(each, interval)]
    if not lacking:
        names = ", ".join(each.name for each in needs)
        return Unused.NOT_NEEDED, f"{names} had enough of offers cheaper, or older at its price"
    if rules.within_network and supply.grid is not None:
        network = supply.grid.network
        flows = supply.grid.flows_w(interval, supply.sold.awards, supply.resources)
        change = supply.grid.change(supply.resources[offer.resource], offer.direction)
        room = (network.upper_w - flows) * (change > 0) + (flows - network.lower_w) * (change < 0)
        full = [k for k, each in enumerate(change) if each and room[k] < _FULL_W]
        if full:
            return Unused.NETWORK, f"{network.branches[full[0]]} is full, and it would load it more"
    lacking_w = max(supply.sold.needed_w(each, interval) for each in lacking)
    if offer.minimum_w > lacking_w:
        detail = f"it gives {offer.minimum_w:,} W at least, {lacking_w:,} W were missing"
        return Unused.INDIVISIBLE, detail
    return Unused.NOT_NEEDED, "its resource was used up, or may not run longer"
