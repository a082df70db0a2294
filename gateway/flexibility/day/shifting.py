"""From time-shiftable offers of a day's file, and the phase that calls them, to what runs."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from exchange.flexibility.flex_offers.aggregation import GroupingTolerance
from exchange.flexibility.flex_offers.flex_offer import EnergySlice, FlexOffer
from exchange.flexibility.flex_offers.relief import planned, powers
from exchange.flexibility.flex_offers.shift_market import ShiftableOffer, ShiftRules
from gateway.flexibility.day.schema import DayShiftableOffer, FlexibilityDayFile, ShiftPhase
from gateway.flexibility.day.units import Units, quantities
from security_check.arrays import FloatArray
from security_check.errors import Fault
from security_check.model.linear_network import LinearNetwork


def shiftable_offers(
    content: FlexibilityDayFile, units: Units, faults: list[Fault]
) -> tuple[ShiftableOffer, ...]:
    """Return the time-shiftable offers of a file; those with faults are left out."""
    found = (_offer(each, units, faults) for each in content.shiftable_offers)
    return tuple(each for each in found if each is not None)


def _offer(each: DayShiftableOffer, units: Units, faults: list[Fault]) -> ShiftableOffer | None:
    place = f"shiftable_offers.{each.name}"
    own: list[Fault] = []
    earliest = units.index(place, "earliest", each.earliest, own)
    latest = units.index(place, "latest", each.latest, own)
    totals = [
        None if energy is None else units.watt_intervals(place, energy, own)
        for energy in (each.least_wh, each.most_wh)
    ]
    price = units.per_kwh(place, each.price_eur_per_kwh, own)
    shifted = units.per_interval(place, each.shift_eur, own)
    if latest is not None and latest + len(each.slices_w) > units.count:
        detail = f"it may end with interval {latest + len(each.slices_w):,} of {units.count:,}"
        own.append(Fault(place, f"{detail}: latest is the last start, not the end"))
    faults += own
    if own or earliest is None or latest is None:
        return None
    try:
        slices = tuple(EnergySlice(low, high) for low, high in each.slices_w)
        offer = FlexOffer(
            each.name, each.way, earliest, latest, slices, totals[0], totals[1], price, shifted
        )
    except ValueError as error:
        faults.append(Fault(place, str(error).removeprefix(f"{each.name}: ")))
        return None
    return ShiftableOffer(offer, each.resource, each.product)


def plans_w(
    content: FlexibilityDayFile,
    units: Units,
    network: LinearNetwork,
    offers: Iterable[ShiftableOffer],
) -> FloatArray:
    """Return what offers inject at each bus if none is called, shape (intervals, n)."""
    buses = {each.name: each.bus for each in content.resources}
    table = np.zeros((units.count, len(network.buses)))
    for each in offers:
        bus = buses.get(each.resource)
        if bus in network.buses:  # anything else is a fault of its own
            table[:, network.buses.index(bus)] += powers(
                each.offer, planned(each.offer), units.count
            )
    return table


def shift_rules(each: ShiftPhase, units: Units, faults: list[Fault]) -> ShiftRules:
    """Return the rules of a phase."""
    place = f"phases.{each.name}"
    tolerance = GroupingTolerance(
        each.start_tolerance, each.time_tolerance, each.length_tolerance, each.members
    )
    target = None if each.target_w is None else quantities(each.target_w, units.count)
    deviation = 0
    if each.deviation_eur_per_kwh is not None:
        deviation = units.per_kwh(place, each.deviation_eur_per_kwh, faults)
    return ShiftRules(
        each.name, each.product, each.buyer, tolerance, target, deviation, each.compare_alone
    )
