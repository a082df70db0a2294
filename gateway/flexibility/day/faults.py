"""Everything that is wrong with a day's file beyond the types of its keys, each a sentence."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator

from exchange.flexibility.products.vocabulary import Goal, Pricing, Role
from gateway.flexibility.day.offer_faults import offer_faults
from gateway.flexibility.day.rules.aggregates import with_aggregates
from gateway.flexibility.day.schema import (
    DayNeed,
    FlexibilityDayFile,
    ForecastPhase,
    ForwardPhase,
    ShiftPhase,
    SpotPhase,
)
from gateway.flexibility.day.shift_faults import shift_faults
from gateway.flexibility.day.units import Units
from security_check.errors import Fault


def day_faults(content: FlexibilityDayFile, units: Units) -> Iterator[Fault]:
    """Yield every fault of a file that :class:`Units` does not find."""
    if not float(content.tick):
        yield Fault("tick", "it is 0, it should be above 0")
    yield from _names(content)
    yield from _parties(content)
    yield from _products(content)
    yield from _resources(content)
    yield from _network(content)
    for need in content.needs:
        yield from _need(content, units, need)
    yield from offer_faults(with_aggregates(content), units)
    yield from shift_faults(content, units)
    yield from _phases(content)


def _names(content: FlexibilityDayFile) -> Iterator[Fault]:
    lists: dict[str, Iterable[str]] = {
        "parties": (each.name for each in content.parties),
        "products": (each.name for each in content.products),
        "resources": (each.name for each in content.resources),
        "contracts": (each.name for each in content.contracts),
        "needs": (each.name for each in content.needs),
        "forward_offers": (each.name for each in content.forward_offers),
        "offers": (each.name for each in content.offers),
        "shiftable_offers": (each.name for each in content.shiftable_offers),
        "phases": (each.name for each in content.phases),
        "zones": content.zones,
    }
    for place, names in lists.items():
        for name, count in Counter(names).items():
            if count > 1:
                yield Fault(f"{place}.{name}", f"there are {count} of this name")


def _unknown(place: str, kind: str, name: str, known: Collection[str]) -> Iterator[Fault]:
    if name not in known:
        yield Fault(place, f"there is no {kind} {name}; there is {', '.join(known) or 'none'}")


def _parties(content: FlexibilityDayFile) -> Iterator[Fault]:
    markets = [each.name for each in content.parties if each.role is Role.MARKET]
    if len(markets) != 1:
        found = ", ".join(markets) or "none"
        yield Fault("parties", f"one of them should have the role market, found {found}")


def _products(content: FlexibilityDayFile) -> Iterator[Fault]:
    for each in content.products:
        place = f"products.{each.name}"
        for zone in each.zones:
            yield from _unknown(place, "zone", zone, content.zones)
        if each.max_duration_s is not None and each.max_duration_s < each.min_duration_s:
            detail = f"a call lasts {each.min_duration_s:,} s at least"
            yield Fault(place, f"{detail} and {each.max_duration_s:,} s at most")
        wrong = {Role.MARKET, Role.PROVIDER} & set(each.buyers)
        for role in sorted(wrong):
            yield Fault(place, f"its buyers have {role.value}, they should be dso, tso or brp")


def _resources(content: FlexibilityDayFile) -> Iterator[Fault]:
    providers = [each.name for each in content.parties if each.role is Role.PROVIDER]
    for each in content.resources:
        place = f"resources.{each.name}"
        yield from _unknown(place, "provider", each.provider, providers)
        if each.zone:
            yield from _unknown(place, "zone", each.zone, content.zones)
        expected = each.expected_w
        if not isinstance(expected, int) and len(expected) != content.intervals:
            detail = f"expected_w has {len(expected)} values, the day {content.intervals} intervals"
            yield Fault(place, detail)
        if not each.up_w and not each.down_w:
            yield Fault(place, "it can go neither up nor down")
        if each.max_duration_s is not None and each.max_duration_s < each.min_duration_s:
            detail = f"it runs for {each.min_duration_s:,} s at least"
            yield Fault(place, f"{detail} and {each.max_duration_s:,} s at most")
        longest = each.max_duration_s
        if longest is not None and longest < content.interval_min * 60:
            detail = f"it runs for {longest:,} s at most, an interval has"
            yield Fault(place, f"{detail} {content.interval_min * 60:,} s")
        if content.network is not None:
            if each.bus is None:
                yield Fault(place, "it has no bus, and the day has a network")
            else:
                yield from _unknown(place, "bus", each.bus, content.network.buses)
    for outage in content.outages:
        names = [each.name for each in content.resources]
        yield from _unknown(f"outages.{outage.resource}", "resource", outage.resource, names)


def _network(content: FlexibilityDayFile) -> Iterator[Fault]:
    given = content.network
    if given is None:
        return
    operators = [each.name for each in content.parties if each.role in (Role.DSO, Role.TSO)]
    yield from _unknown("network.operator", "operator", given.operator, operators)
    for bus, injection in given.injection_w.items():
        yield from _unknown("network.injection_w", "bus", bus, given.buses)
        if not isinstance(injection, int) and len(injection) != content.intervals:
            detail = f"{bus} has {len(injection)} values, the day {content.intervals} intervals"
            yield Fault("network.injection_w", detail)


def _need(content: FlexibilityDayFile, units: Units, need: DayNeed) -> Iterator[Fault]:
    place = f"needs.{need.name}"
    roles = {each.name: each.role for each in content.parties}
    products = {each.name: each for each in content.products}
    yield from _unknown(place, "party", need.buyer, roles)
    yield from _unknown(place, "product", need.product, products)
    yield from _sessions(content, place, need.sessions)
    product = products.get(need.product)
    if product is not None:
        role = roles.get(need.buyer)
        if role is not None and role not in product.buyers:
            buyers = ", ".join(each.value for each in product.buyers)
            detail = f"its buyer {need.buyer} is a {role.value}, {product.name} is for {buyers}"
            yield Fault(place, detail)
        if need.direction is not None and need.direction not in product.directions:
            yield Fault(place, f"{product.name} is not traded {need.direction.value}")
    if need.zone is not None:
        yield from _unknown(place, "zone", need.zone, content.zones)
    if need.branch is not None:
        branches = [] if content.network is None else [e.name for e in content.network.branches]
        yield from _unknown(place, "branch", need.branch, branches)
        if need.direction is not None or need.zone is not None:
            yield Fault(place, "it has a branch; the network says which places and ways relieve it")
        forward = {each.name for each in content.phases if isinstance(each, ForwardPhase)}
        if forward & set(need.sessions):
            yield Fault(place, "forward sessions cover quantities, not branches")
    elif need.direction is None:
        yield Fault(place, "it has neither a direction nor a branch")
    if isinstance(need.quantity_w, list):
        window = units.window(place, need, [])
        if len(need.quantity_w) != len(window):
            detail = f"quantity_w has {len(need.quantity_w)} values for {len(window)} intervals"
            yield Fault(place, detail)


def _sessions(content: FlexibilityDayFile, place: str, names: Iterable[str]) -> Iterator[Fault]:
    sessions = ForwardPhase | SpotPhase | ShiftPhase
    known = [each.name for each in content.phases if isinstance(each, sessions)]
    for name in names:
        yield from _unknown(place, "session", name, known)


def _phases(content: FlexibilityDayFile) -> Iterator[Fault]:
    parties = [each.name for each in content.parties]
    for each in content.phases:
        place = f"phases.{each.name}"
        if isinstance(each, ForwardPhase | SpotPhase):
            for name in each.buyers:
                yield from _unknown(place, "party", name, parties)
        if isinstance(each, ForecastPhase):
            yield from _unknown(place, "product", each.product, [e.name for e in content.products])
        wants_network = isinstance(each, ForecastPhase) or (
            isinstance(each, SpotPhase) and each.within_network
        )
        if wants_network and content.network is None:
            yield Fault(place, "it needs a network, and the day has none")
        if isinstance(each, SpotPhase):
            yield from _spot(content, each, place)


def _spot(content: FlexibilityDayFile, each: SpotPhase, place: str) -> Iterator[Fault]:
    simple = each.goal is Goal.WELFARE and each.pricing is Pricing.PAY_AS_BID
    if each.balanced and not simple:
        yield Fault(place, "a balanced session has the goal welfare, and is paid as bid")
    if not each.balanced:
        for offer in content.offers:
            mine = not offer.sessions or each.name in offer.sessions
            if mine and offer.price_eur_per_kwh.startswith("-"):
                price = f"its price {offer.price_eur_per_kwh} EUR/kWh is below 0"
                detail = f"{price}, which only a balanced session takes; {each.name} is none"
                yield Fault(f"offers.{offer.name}", detail)
