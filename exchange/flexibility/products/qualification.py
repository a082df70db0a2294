"""Which resources qualify for a product, why others do not, and how much competition there is."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

from doe_allocation.procurement.choices import FlexDirection
from exchange.flexibility.products.vocabulary import FlexProduct, Need, Refusal, Resource


class Disqualification(StrEnum):
    """Why a resource does not qualify."""

    NOT_REGISTERED = "not_registered"
    LOCATION = "location"
    DIRECTION = "direction"
    SIZE = "size"
    ACTIVATION_TIME = "activation_time"
    RUN_TIME = "run_time"
    NETWORK = "network"


def qualify(resource: Resource, product: FlexProduct) -> tuple[Refusal, ...]:
    """Return every reason why a resource does not qualify for a product; empty if it does."""
    return tuple(
        Refusal(resource.name, reason.value, detail)
        for reason, detail in _reasons(resource, product)
    )


def _reasons(resource: Resource, product: FlexProduct) -> Iterator[tuple[Disqualification, str]]:
    if not resource.registered:
        yield Disqualification.NOT_REGISTERED, "it is not registered at the market"
    if product.zones and resource.zone not in product.zones:
        zones = ", ".join(product.zones)
        where = resource.place or f"in zone {resource.zone}"
        detail = f"it is {where}, {product.name} is traded in {zones}"
        yield Disqualification.LOCATION, detail
    largest_w = max(resource.able_w(direction) for direction in product.directions)
    ways = " or ".join(direction.value for direction in product.directions)
    if not largest_w:
        yield Disqualification.DIRECTION, f"it cannot go {ways}, {product.name} is {ways}"
    elif largest_w < product.minimum_w:
        detail = f"it can go {ways} by {largest_w:,} W, the minimum is {product.minimum_w:,} W"
        yield Disqualification.SIZE, detail
    if resource.activation_s > product.activation_s:
        detail = f"it needs {resource.activation_s:,} s to its full power, {product.name} allows "
        yield Disqualification.ACTIVATION_TIME, f"{detail}{product.activation_s:,} s"
    if resource.max_duration_s is not None and resource.max_duration_s < product.min_duration_s:
        detail = f"it runs for {resource.max_duration_s:,} s at most, a call lasts "
        yield Disqualification.RUN_TIME, f"{detail}{product.min_duration_s:,} s at least"
    if resource.max_duration_s is not None and resource.max_duration_s < product.run_time_s:
        detail = f"it runs for {resource.max_duration_s:,} s at most, {product.name} asks for "
        yield Disqualification.RUN_TIME, f"{detail}{product.run_time_s:,} s"
    if product.max_duration_s is not None and resource.min_duration_s > product.max_duration_s:
        detail = f"it runs for {resource.min_duration_s:,} s at least, a call lasts "
        yield Disqualification.RUN_TIME, f"{detail}{product.max_duration_s:,} s at most"


@dataclass(frozen=True, slots=True)
class Competition:
    """How many resources and providers qualify in a zone, and how much against the largest need.

    ``zone`` is ``None`` where a need names none.
    """

    product: str
    zone: str | None
    direction: FlexDirection
    resources: int
    providers: int
    able_w: int
    needed_w: int


def competition(
    resources: Sequence[Resource], product: FlexProduct, needs: Sequence[Need]
) -> tuple[Competition, ...]:
    """Return the competition for each zone and direction in which the product is needed.

    Needs of one zone, direction and interval add up within a session; here the largest single
    need counts, because a forward need and a spot need may stand for the same watts.  Members of an
    aggregate take part through it.
    """
    largest: dict[tuple[str | None, FlexDirection], int] = {}
    for need in needs:
        if need.product == product.name and need.direction is not None:
            key = need.zone, need.direction
            largest[key] = max(largest.get(key, 0), *need.quantity_w)
    within = {name for each in resources for name in each.members}
    alone = [each for each in resources if each.name not in within]
    qualified = [each for each in alone if not qualify(each, product)]
    found = []
    for (zone, direction), needed_w in largest.items():
        own = [
            each
            for each in qualified
            if zone in (None, each.zone) and each.able_w(direction) >= product.minimum_w
        ]
        providers = len({each.provider for each in own})
        able_w = sum(each.able_w(direction) for each in own)
        found.append(
            Competition(product.name, zone, direction, len(own), providers, able_w, needed_w)
        )
    return tuple(found)
