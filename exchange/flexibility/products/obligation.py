"""The obligation to offer: what a contracted provider has not offered is put in, or named."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from doe_allocation.procurement.choices import FlexDirection
from exchange.flexibility.products.vocabulary import FlexContract, Resource, SpotOffer


@dataclass(frozen=True, slots=True)
class Withheld:
    """Watts of a contract that its resource could not offer in an interval, and the penalty."""

    contract: str
    provider: str
    buyer: str
    resource: str
    interval: int
    quantity_w: int
    penalty_ticks: int

    @property
    def amount(self) -> int:
        """The penalty, in tick-watts."""
        return self.penalty_ticks * self.quantity_w

    @property
    def detail(self) -> str:
        """A sentence with the numbers."""
        return f"{self.provider} withholds {self.quantity_w:,} W of {self.resource}, contracted"


@dataclass(frozen=True, slots=True)
class Obliged:
    """Offers put in for contracts, and what is withheld of them."""

    inserted: tuple[SpotOffer, ...]
    withheld: tuple[Withheld, ...]


def oblige(
    contracts: Sequence[FlexContract],
    offers: Sequence[SpotOffer],
    resources: Mapping[str, Resource],
    able_w: Mapping[tuple[str, int], int],
    intervals: Sequence[int],
) -> Obliged:
    """Return the offers that obliged providers have not made, one for each interval.

    What a provider offers of the resource at or below the contract's price counts.  The rest is put
    in at that price, as far as the resource is able; what it is not able to is withheld.

    Parameters
    ----------
    contracts, offers
        Those of the session.
    resources
        By name.
    able_w
        What a resource can do in an interval, where that is less than usual; of an aggregate its
        members count.
    intervals
        Those of the session.
    """
    inserted: list[SpotOffer] = []
    withheld: list[Withheld] = []
    promised: dict[tuple[str, object, int], int] = {}  # watts of earlier contracts
    for contract in contracts:
        if not contract.obliged:
            continue
        resource = resources[contract.resource]
        for t in contract.intervals:
            if t not in intervals:
                continue
            key = contract.resource, contract.direction, t
            before_w = promised.get(key, 0)
            promised[key] = before_w + contract.quantity_w
            able = _able_w(resource, resources, able_w, contract.direction, t) - before_w
            due_w = min(contract.quantity_w, max(able, 0))
            if due_w < contract.quantity_w:
                withheld.append(_withheld(contract, t, contract.quantity_w - due_w))
            made_w = sum(each.quantity_w for each in offers if _fulfils(each, contract, t))
            missing_w = due_w - min(max(made_w - before_w, 0), due_w)
            if missing_w:
                inserted.append(_inserted(contract, t, missing_w, len(inserted)))
    return Obliged(tuple(inserted), tuple(withheld))


def _able_w(
    resource: Resource,
    resources: Mapping[str, Resource],
    able_w: Mapping[tuple[str, int], int],
    direction: FlexDirection,
    interval: int,
) -> int:
    """Return what a resource is able to in an interval, an aggregate by its members."""
    usual_w = resource.able_w(direction)
    if resource.members:
        own = [resources[each] for each in resource.members]
        usual_w = sum(_able_w(each, resources, able_w, direction, interval) for each in own)
    return min(usual_w, able_w.get((resource.name, interval), usual_w))


def _fulfils(offer: SpotOffer, contract: FlexContract, interval: int) -> bool:
    return (
        offer.resource == contract.resource
        and offer.product == contract.product
        and offer.direction is contract.direction
        and interval in offer.intervals
        and offer.price_ticks <= contract.utilisation_ticks
    )


def _withheld(contract: FlexContract, interval: int, quantity_w: int) -> Withheld:
    return Withheld(
        contract.name,
        contract.provider,
        contract.buyer,
        contract.resource,
        interval,
        quantity_w,
        contract.penalty_ticks,
    )


def _inserted(contract: FlexContract, interval: int, quantity_w: int, number: int) -> SpotOffer:
    """Return the offer of a contract; it is older than every offer of the session."""
    return SpotOffer(
        f"{contract.name}/{interval}",
        contract.resource,
        contract.product,
        contract.direction,
        range(interval, interval + 1),
        quantity_w,
        0,
        contract.utilisation_ticks,
        number - _OLDER,
        contract=contract.name,
    )


_OLDER = 1_000_000  # offers put in come before those of a file, which are numbered from 1
