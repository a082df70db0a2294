"""What is wrong with offers and contracts of a day's file."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from decimal import Decimal

from doe_allocation.procurement.choices import FlexDirection
from gateway.flexibility.day.schema import (
    DayContract,
    DayForwardOffer,
    DayOffer,
    DayOfferBase,
    DayProduct,
    DayResource,
    FlexibilityDayFile,
    SpotPhase,
)
from gateway.flexibility.day.units import Units
from security_check.errors import Fault

_Offered = DayForwardOffer | DayOffer | DayContract


def offer_faults(content: FlexibilityDayFile, units: Units) -> Iterator[Fault]:
    """Yield the faults of contracts, forward offers and offers."""
    resources = {each.name: each for each in content.resources}
    products = {each.name: each for each in content.products}
    spot = [each.name for each in content.phases if isinstance(each, SpotPhase)]
    lists: dict[str, Sequence[_Offered]] = {
        "contracts": content.contracts,
        "forward_offers": content.forward_offers,
        "offers": content.offers,
    }
    for kind, entries in lists.items():
        for each in entries:
            place = f"{kind}.{each.name}"
            resource, product = resources.get(each.resource), products.get(each.product)
            if resource is None:
                yield Fault(place, f"there is no resource {each.resource}")
            if product is None:
                yield Fault(place, f"there is no product {each.product}")
            if resource is None or product is None:
                continue
            yield from _size(place, each, resource, product)
            yield from _prices(place, each, product)
            yield from _duration(place, each, resource, product, units)
            if isinstance(each, DayOffer):
                for name in each.sessions:
                    if name not in spot:
                        known = ", ".join(spot) or "none"
                        yield Fault(place, f"there is no spot session {name}; there is {known}")
        yield from _overlaps(kind, entries, resources, units, spot)
    yield from _buyers(content)


def _able_w(resource: DayResource, direction: FlexDirection) -> int:
    return resource.up_w if direction is FlexDirection.UPWARD else resource.down_w


def _size(
    place: str, each: _Offered, resource: DayResource, product: DayProduct
) -> Iterator[Fault]:
    way, able_w = each.direction.value, _able_w(resource, each.direction)
    if each.direction not in product.directions:
        yield Fault(place, f"{product.name} is not traded {way}")
    if each.quantity_w > able_w:
        detail = f"it offers {each.quantity_w:,} W {way}, {resource.name} can do {able_w:,} W"
        yield Fault(place, detail)
    if each.quantity_w < product.minimum_w:
        detail = f"it has {each.quantity_w:,} W, the minimum of {product.name} is "
        yield Fault(place, f"{detail}{product.minimum_w:,} W")
    if each.quantity_w % product.lot_w:
        detail = f"its {each.quantity_w:,} W are not whole lots of {product.lot_w:,} W"
        yield Fault(place, detail)
    if isinstance(each, DayOfferBase) and each.minimum_w > each.quantity_w:
        detail = f"it takes {each.minimum_w:,} W at least, of {each.quantity_w:,} W"
        yield Fault(place, detail)


def _prices(place: str, each: _Offered, product: DayProduct) -> Iterator[Fault]:
    if isinstance(each, DayOffer):
        availability, utilisation = "0", each.price_eur_per_kwh
    else:
        availability, utilisation = each.availability_eur_per_kw, each.utilisation_eur_per_kwh
    for word, unit, price, highest in (
        ("availability", "kW", availability, product.max_availability_eur_per_kw),
        ("utilisation", "kWh", utilisation, product.max_utilisation_eur_per_kwh),
    ):
        if word not in product.priced and Decimal(price):
            yield Fault(place, f"it asks {price} EUR/{unit}, {product.name} has no {word} price")
        if highest is not None and Decimal(price) > Decimal(highest):
            detail = f"its {word} price {price} EUR/{unit} is above the highest"
            yield Fault(place, f"{detail} of {product.name}, {highest}")


def _duration(
    place: str, each: _Offered, resource: DayResource, product: DayProduct, units: Units
) -> Iterator[Fault]:
    """Yield a fault where what may be called of an offer is too short, or a block too long.

    A contract is called interval by interval.
    """
    block = isinstance(each, DayOffer) and each.block
    seconds = int(units.step.total_seconds())
    length = seconds * (len(units.window(place, each, [])) if block else 1)
    what = "its block" if block else "one interval of it"
    for name, least, most in (
        (resource.name, resource.min_duration_s, resource.max_duration_s),
        (f"a call of {product.name}", product.min_duration_s, product.max_duration_s),
    ):
        if length < least:
            hint = "; make it a block" if isinstance(each, DayOffer) and not block else ""
            yield Fault(place, f"{what} lasts {length:,} s, {name} {least:,} s at least{hint}")
        if block and most is not None and length > most:
            yield Fault(place, f"{what} lasts {length:,} s, {name} {most:,} s at most")


def _overlaps(
    kind: str,
    entries: Sequence[_Offered],
    resources: dict[str, DayResource],
    units: Units,
    spot: Sequence[str],
) -> Iterator[Fault]:
    """Yield a fault where offers of a resource overlap and are together more than it can do."""
    groups: dict[tuple[str, str, FlexDirection], list[_Offered]] = defaultdict(list)
    for each in entries:
        groups[each.resource, each.product, each.direction].append(each)
    for (name, _, direction), own in groups.items():
        if name not in resources or len(own) < 2:
            continue
        able_w = _able_w(resources[name], direction)
        named: set[str] = set()
        for session in spot or [""]:
            total: dict[int, int] = defaultdict(int)
            before: dict[int, str] = {}
            for each in own:
                chosen = each.sessions if isinstance(each, DayOffer) else ()
                if chosen and session not in chosen:
                    continue
                for t in units.window("", each, []):
                    total[t] += each.quantity_w
                    if total[t] > able_w and t in before and each.name not in named:
                        named.add(each.name)
                        at = f"{units.start_of(t):%Y-%m-%dT%H:%MZ}"
                        detail = f"it overlaps {before[t]} at {at}: together {total[t]:,} W "
                        what = f"{direction.value}, {name} can do {able_w:,} W"
                        yield Fault(f"{kind}.{each.name}", f"{detail}{what}")
                    before[t] = each.name


def _buyers(content: FlexibilityDayFile) -> Iterator[Fault]:
    roles = {each.name: each.role for each in content.parties}
    buyers = {each.name: each.buyers for each in content.products}
    for each in content.contracts:
        role = roles.get(each.buyer)
        if role is None:
            yield Fault(f"contracts.{each.name}", f"there is no party {each.buyer}")
        elif each.product in buyers and role not in buyers[each.product]:
            detail = f"its buyer {each.buyer} is a {role.value}"
            allowed = ", ".join(role.value for role in buyers[each.product])
            yield Fault(f"contracts.{each.name}", f"{detail}, {each.product} is for {allowed}")
