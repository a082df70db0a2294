"""Why something of an offer was not taken in a session."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

from doe_allocation.procurement.choices import FlexDirection
from exchange.flexibility.products.session_market import Supply, may_buy
from exchange.flexibility.products.sessions import SpotRules, effect
from exchange.flexibility.products.vocabulary import Need, SpotOffer

_FULL_W = 1.0  # a branch with less room than that is full


class Unused(StrEnum):
    """Why something of an offer was not taken."""

    NO_NEED = "no_need"
    ABOVE_CAP = "above_cap"
    USED_UP = "used_up"
    RUN_TIME = "run_time"
    NETWORK = "network"
    CEILING = "ceiling"
    COSTLIER = "costlier"
    LATE = "late"
    INDIVISIBLE = "indivisible"


@dataclass(frozen=True, slots=True)
class LeftOver:
    """What was not taken of an offer in some intervals, why, and a sentence of the first one."""

    offer: str
    reason: Unused
    detail: str
    intervals: tuple[int, ...]
    left_w: tuple[int, ...]


def may_serve(
    rules: SpotRules, supply: Supply, offer: SpotOffer, need: Need, interval: int
) -> bool:
    """Return whether an offer could serve a need in an interval, whatever its price."""
    return (
        interval in offer.intervals
        and need.wanted_w(interval) > 0
        and may_buy(rules, supply, offer, need)
        and any(
            effect(need, supply.resources[each.resource], each.direction, supply.grid) > 0.0
            for each in supply.parts(offer)
        )
    )


def left_over(rules: SpotRules, supply: Supply, intervals: Sequence[int]) -> Iterator[LeftOver]:
    """Yield what is left of each offer after a session, by reason."""
    for offer in supply.offers:
        found: dict[Unused, list[tuple[int, int, str]]] = defaultdict(list)
        for t in offer.intervals:
            left_w = supply.sold.left_w(offer, t)
            if t in intervals and left_w > 0:
                reason, detail = why_left(rules, supply, offer, t)
                found[reason].append((t, left_w, detail))
        for reason, cases in found.items():
            times, watts, details = zip(*cases, strict=True)
            yield LeftOver(offer.name, reason, details[0], times, watts)


def why_left(
    rules: SpotRules, supply: Supply, offer: SpotOffer, interval: int
) -> tuple[Unused, str]:
    """Return why something of an offer is left in an interval, and a sentence."""
    needs = [each for each in supply.needs if may_serve(rules, supply, offer, each, interval)]
    if not needs:
        return Unused.NO_NEED, "no need of the session asks for it there and then"
    if not rules.balanced and all(each.cap_ticks < offer.price_ticks for each in needs):
        return Unused.ABOVE_CAP, "its price is above the highest price of each need"
    names = ", ".join(each.name for each in needs)
    lacking_w = max(supply.needed_w(each, interval) for each in needs)
    rivals = {
        each.name
        for each in supply.offers
        if not rules.balanced or each.direction is offer.direction
    }
    highest = _highest_taken(supply, {each.name for each in needs}, rivals, interval)
    if not lacking_w and highest is not None and offer.price_ticks >= highest:
        return Unused.COSTLIER, f"{names} had enough of offers cheaper, or older at its price"
    held = _held_back(rules, supply, offer, interval)
    if held is not None:
        return held
    if rules.one_by_one and not lacking_w:
        return Unused.LATE, f"{names} had enough of offers that came before"
    if lacking_w and offer.minimum_w > lacking_w:
        detail = f"it gives {offer.minimum_w:,} W at least, {lacking_w:,} W were missing"
        return Unused.INDIVISIBLE, detail
    return Unused.INDIVISIBLE, f"offers that are taken whole or over time suit {names} better"


def _highest_taken(supply: Supply, needs: set[str], rivals: set[str], interval: int) -> int | None:
    """Return the highest price of a rival that some needs took in an interval."""
    prices = {each.name: each.price_ticks for each in supply.offers if each.name in rivals}
    taken = [
        prices[each.offer]
        for each in supply.sold.at[interval]
        if each.need in needs and each.offer in prices
    ]
    return max(taken, default=None)


def _held_back(
    rules: SpotRules, supply: Supply, offer: SpotOffer, interval: int
) -> tuple[Unused, str] | None:
    """Return what of the resource or the network keeps an offer from being taken, if anything."""
    resource, sold = supply.resources[offer.resource], supply.sold
    if resource.members:
        found = [_held_back(rules, supply, each, interval) for each in supply.parts(offer)]
        told = [each for each in found if each is not None]
        if len(told) < len(found):
            return None
        return next((each for each in told if each[0] is not Unused.USED_UP), told[0])
    able_w = resource.able_w(offer.direction)
    able_w = min(able_w, supply.able_w.get((resource.name, interval), able_w))
    taken_w = sold.of_resource.get((resource.name, offer.direction, interval), 0)
    if taken_w >= able_w:
        detail = f"{resource.name} is activated by {taken_w:,} of {able_w:,} W"
        return Unused.USED_UP, detail
    other = next(each for each in FlexDirection if each is not offer.direction)
    if against_w := sold.of_resource.get((resource.name, other, interval), 0):
        detail = f"{resource.name} goes {other.value} by {against_w:,} W"
        return Unused.USED_UP, detail
    longest = resource.max_duration_s
    if longest is not None and not taken_w:
        running = {
            t for (name, _, t), watts in sold.of_resource.items() if name == resource.name and watts
        }
        first = last = interval
        while first - 1 in running:
            first -= 1
        while last + 1 in running:
            last += 1
        length = (last - first + 1) * supply.interval_s
        if length > longest:
            detail = f"{resource.name} would run for {length:,} s, it can {longest:,} s"
            return Unused.RUN_TIME, detail
    lot_w = supply.products[offer.product].lot_w
    for each in supply.ceilings:
        if each.left_w(offer.resource, offer.direction, interval, sold) < lot_w:
            return Unused.CEILING, each.detail
    if rules.within_network and supply.grid is not None:
        network = supply.grid.network
        flows = supply.flows_w(interval)
        change = supply.grid.change(resource, offer.direction)
        room = (network.upper_w - flows) * (change > 0) + (flows - network.lower_w) * (change < 0)
        full = [k for k, each in enumerate(change) if each and room[k] < _FULL_W]
        if full:
            name = network.branches[full[0]]
            return Unused.NETWORK, f"{name} is full, and it would load it more"
    return None
