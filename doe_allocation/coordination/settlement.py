"""What is activated in whole watts, for whom, and who pays whom: amounts add up exactly."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, Decimal

import numpy as np

from doe_allocation.coordination.problem import WATTS, Offer
from security_check.arrays import FloatArray

_CENT = Decimal("0.01")


@dataclass(frozen=True, slots=True)
class Award:
    """What a buyer has activated of an offer, for an hour.

    Parameters
    ----------
    offer, buyer
        The offer, and who pays for it.
    power_w
        W, or var of a reactive offer.
    amount
        EUR: the price of the offer times the energy, to the cent.
    """

    offer: Offer
    buyer: str
    power_w: int
    amount: Decimal


def awards(offers: Sequence[Offer], bought: Mapping[str, FloatArray]) -> tuple[Award, ...]:
    """Return what is activated, in whole watts: of an offer never more than it offers.

    Parameters
    ----------
    offers
        The offers; o of them.
    bought
        Shape (o,) by buyer, MW.
    """
    found = []
    for k, offer in enumerate(offers):
        exact = {buyer: max(float(power[k]), 0.0) * WATTS for buyer, power in bought.items()}
        total = min(round(sum(exact.values())), offer.power_w)
        left = total
        order = sorted(exact, key=lambda buyer: -exact[buyer])  # whole watts left over: the largest
        watts = {buyer: min(int(exact[buyer]), left) for buyer in order}
        left -= sum(watts.values())
        watts[order[0]] += left
        for buyer, power in watts.items():
            if power > 0:
                price = Decimal(str(offer.price)) * power / int(WATTS)
                amount = price.quantize(_CENT, ROUND_HALF_EVEN)
                found.append(Award(offer, buyer, power, amount))
    return tuple(found)


def activated(offers: Sequence[Offer], given: Sequence[Award]) -> FloatArray:
    """Return what is activated of each offer, shape (o,), MW."""
    place = {offer.name: k for k, offer in enumerate(offers)}
    power = np.zeros(len(offers))
    for each in given:
        power[place[each.offer.name]] += each.power_w / WATTS
    return power


def balances(given: Sequence[Award]) -> dict[str, Decimal]:
    """Return what each party receives, negative what it pays, EUR; all add up to 0."""
    found: dict[str, Decimal] = {}
    for each in given:
        for name, amount in ((each.buyer, -each.amount), (each.offer.provider, each.amount)):
            found[name] = found.get(name, Decimal(0)) + amount
    return found
