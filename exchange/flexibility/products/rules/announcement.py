"""Needs that are told to all providers, and which resources qualify for each."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from exchange.flexibility.products.sessions import Grid, effect
from exchange.flexibility.products.vocabulary import FlexProduct, Need, Refusal, Resource

_LEAST_EFFECT = 0.05  # of a watt: a resource with less does not count


@dataclass(frozen=True, slots=True)
class AnnouncementRules:
    """A phase in which needs are told: those of some sessions (empty for all), and when."""

    name: str
    sessions: tuple[str, ...] = ()
    at: datetime | None = None


@dataclass(frozen=True, slots=True)
class AnnouncedNeed:
    """A need that was told, and the resources that qualify for it and are in the right place."""

    need: Need
    qualified: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Announced:
    """What was told."""

    needs: tuple[AnnouncedNeed, ...]


def announce(
    needs: Iterable[Need],
    resources: Sequence[Resource],
    product_of: Callable[[str], FlexProduct],
    refusals: Callable[[Resource, FlexProduct], Sequence[Refusal]],
    grid: Grid | None,
) -> Announced:
    """Return needs with the resources that could serve them.

    Parameters
    ----------
    needs, resources
        What is told, and who might serve it.
    product_of
        Product of a name.
    refusals
        Reasons why a resource does not qualify.
    grid
        The network; ``None`` without one.
    """
    by_name = {each.name: each for each in resources}
    found = []
    for need in needs:
        product = product_of(need.product)
        able = tuple(
            each.name
            for each in resources
            if not refusals(each, product) and _serves(need, each, product, by_name, grid)
        )
        found.append(AnnouncedNeed(need, able))
    return Announced(tuple(found))


def _serves(
    need: Need,
    resource: Resource,
    product: FlexProduct,
    by_name: dict[str, Resource],
    grid: Grid | None,
) -> bool:
    """Return whether a watt of a resource, in a direction that it is able to go, serves a need."""
    members = [by_name[each] for each in resource.members] or [resource]
    return any(
        member.able_w(direction) > 0 and effect(need, member, direction, grid) >= _LEAST_EFFECT
        for direction in product.directions
        for member in members
    )
