"""What is wrong with time-shiftable offers of a day's file, and with phases that call them."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal

from gateway.flexibility.day.schema import DayShiftableOffer, FlexibilityDayFile, ShiftPhase
from gateway.flexibility.day.units import Units
from security_check.errors import Fault


def shift_faults(content: FlexibilityDayFile, units: Units) -> Iterator[Fault]:
    """Yield the faults of time-shiftable offers and of the phases that call them."""
    used: dict[str, str] = {}
    for each in content.shiftable_offers:
        place = f"shiftable_offers.{each.name}"
        yield from _offer(content, each, place)
        if each.resource in used:
            detail = f"{each.resource} has one already, {used[each.resource]}"
            yield Fault(place, f"{detail}; a resource has one time-shiftable offer")
        used.setdefault(each.resource, each.name)
    for phase in content.phases:
        if isinstance(phase, ShiftPhase):
            yield from _phase(content, units, phase)


def _offer(content: FlexibilityDayFile, each: DayShiftableOffer, place: str) -> Iterator[Fault]:
    resource = next((r for r in content.resources if r.name == each.resource), None)
    product = next((p for p in content.products if p.name == each.product), None)
    if resource is None:
        yield Fault(place, f"there is no resource {each.resource}")
    if product is None:
        yield Fault(place, f"there is no product {each.product}")
    elif len(product.directions) < 2:
        yield Fault(place, f"a shift goes both ways, {product.name} is not traded both ways")
    highest = max(most for _, most in each.slices_w)
    if resource is not None and highest > min(resource.up_w, resource.down_w):
        detail = f"a slice has {highest:,} W, {resource.name} can go up by {resource.up_w:,} W"
        yield Fault(place, f"{detail} and down by {resource.down_w:,} W")
    free = not Decimal(each.price_eur_per_kwh) and not Decimal(each.shift_eur)
    if product is not None and "utilisation" not in product.priced and not free:
        yield Fault(place, f"it has a price, {product.name} has no utilisation price")


def _phase(content: FlexibilityDayFile, units: Units, each: ShiftPhase) -> Iterator[Fault]:
    place = f"phases.{each.name}"
    roles = {party.name: party.role for party in content.parties}
    products = {product.name: product for product in content.products}
    product = products.get(each.product)
    if product is None:
        yield Fault(place, f"there is no product {each.product}")
    if each.buyer not in roles:
        yield Fault(place, f"there is no party {each.buyer}; there is {', '.join(roles)}")
    elif product is not None and roles[each.buyer] not in product.buyers:
        buyers = ", ".join(role.value for role in product.buyers)
        detail = f"its buyer {each.buyer} is a {roles[each.buyer].value}"
        yield Fault(place, f"{detail}, {product.name} is for {buyers}")
    if (each.target_w is None) != (each.deviation_eur_per_kwh is None):
        yield Fault(place, "target_w and deviation_eur_per_kwh go together; it has one of them")
    if isinstance(each.target_w, list) and len(each.target_w) != units.count:
        detail = f"target_w has {len(each.target_w)} values, the day {units.count} intervals"
        yield Fault(place, detail)
    if content.network is None and each.target_w is None:
        yield Fault(place, "it needs a network or a target, and has neither")
