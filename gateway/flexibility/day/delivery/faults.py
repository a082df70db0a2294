"""What is wrong between the phases, offers and meters of a day that measures deliveries."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations

from exchange.flexibility.measurement.measuring import MeasurementRules
from exchange.flexibility.measurement.orders import ActivationRules
from exchange.flexibility.products.flex_day import FlexDay
from exchange.flexibility.products.qualification import qualify
from exchange.flexibility.products.sessions import SpotRules
from exchange.flexibility.settlement.baselines import BaselineError
from security_check.errors import Fault


def delivery_faults(day: FlexDay) -> Iterator[Fault]:
    """Yield what is wrong with orders and measurements of a day without other faults."""
    whole = range(day.count)
    given: list[ActivationRules] = []
    for each in day.phases:
        place = f"phases.{each.name}"
        if isinstance(each, ActivationRules | MeasurementRules) and day.metering is None:
            yield Fault(place, "no product has delivery: there is nothing to order or measure")
        if isinstance(each, MeasurementRules) and not given:
            yield Fault(place, "no activation comes before it: nothing is ordered")
        if isinstance(each, SpotRules):
            for phase in given:
                if _common(each.intervals or whole, phase.intervals or whole):
                    detail = f"it sells intervals that {phase.name} has ordered before"
                    yield Fault(place, detail)
        if isinstance(each, ActivationRules):
            given.append(each)
    for one, other in combinations(given, 2):
        if _common(one.intervals or whole, other.intervals or whole):
            yield Fault(f"phases.{other.name}", f"{one.name} orders some of its intervals, too")
    if given and day.metering is not None:
        yield from _shared_needs(day)
        yield from _resources(day, given)


def _shared_needs(day: FlexDay) -> Iterator[Fault]:
    for need in day.needs:
        if need.shares and day.metering is not None and need.product in day.metering.terms:
            detail = (
                f"{len(need.shares)} parties share it, so it is settled as it was sold, but its "
                f"product {need.product} is measured"
            )
            yield Fault(f"needs.{need.name}", detail)


def _common(one: range, other: range) -> bool:
    return max(one.start, other.start) < min(one.stop, other.stop)


def _resources(day: FlexDay, given: list[ActivationRules]) -> Iterator[Fault]:
    """Yield the resources that could sell what is measured, and could not be measured."""
    metering = day.metering
    if metering is None:
        return
    sold: dict[str, dict[str, None]] = {}
    made = [
        *((each.resource, each.product) for each in day.offers),
        *((each.resource, each.product) for each in day.forward_offers),
        *((each.resource, each.product) for each in day.contracts.values()),
    ]
    for resource, product in made:
        if not qualify(day.resources[resource], day.products[product]):
            sold.setdefault(resource, {})[product] = None
    for name, products in sold.items():
        place, own = f"resources.{name}", [each for each in products if each in metering.terms]
        if not own:
            continue
        if len(products) > 1:
            yield Fault(place, f"it is offered as {' and '.join(products)}; one can be measured")
        if name not in metering.meters:
            detail = f"it is offered as {own[0]}, which is measured, and has no entry in meters"
            yield Fault(place, f"{detail}; there are {len(metering.meters)} for other resources")
            continue
        found: dict[str, None] = {}
        for phase in given:
            try:
                baseline = metering.terms[own[0]].baseline
                baseline.of(metering.meters[name].records, metering.day, range(day.count), phase.at)
            except BaselineError as error:
                found[str(error)] = None
        for detail in found:
            yield Fault(f"meters.{name}", detail)
