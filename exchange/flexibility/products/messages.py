"""What parties tell each other in each phase, in the words of UFTP where it has the message.

The market operator is between buyers and providers: requests, offers, orders and settlements go
through it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from doe_allocation.coordination.messages import Message, rounded
from exchange.flexibility.products.payments import Payment
from exchange.flexibility.products.rules.ceilings import Ceiling
from exchange.flexibility.products.session_market import Supply
from exchange.flexibility.products.sessions import Grid
from exchange.flexibility.products.vocabulary import (
    Award,
    FlexContract,
    ForwardOffer,
    Need,
    Refusal,
    Resource,
    SpotOffer,
)


def qualification(
    market: str,
    resources: Iterable[Resource],
    reasons: Mapping[tuple[str, str], Sequence[Refusal]],
) -> list[Message]:
    """Return each registration, and each answer to it."""
    found = []
    for each in resources:
        content = {
            "resource": each.name,
            "zone": each.zone,
            "up_w": each.up_w,
            "down_w": each.down_w,
            "activation_s": each.activation_s,
        }
        found.append(Message(each.provider, market, "registration", content))
        answer = {
            "resource": each.name,
            "products": {
                product: [reason.reason for reason in own]
                for (name, product), own in reasons.items()
                if name == each.name
            },
        }
        found.append(Message(market, each.provider, "qualification", answer))
    return found


def requests(market: str, needs: Iterable[Need]) -> list[Message]:
    """Return each need as its buyer tells it."""
    return [
        Message(
            need.buyer,
            market,
            "FlexRequest",
            {
                "need": need.name,
                "product": need.product,
                "where": need.relief.branch if need.relief else need.zone,
                "first": need.intervals[0],
                "quantity_w": list(need.quantity_w),
                "cap_ticks": need.cap_ticks,
            },
        )
        for need in needs
    ]


def announcements(market: str, providers: Iterable[str], needs: Sequence[Need]) -> list[Message]:
    """Return each need as the market tells it to each provider, without its highest prices."""
    return [
        Message(
            market,
            provider,
            "announcement",
            {
                "need": need.name,
                "product": need.product,
                "where": need.relief.branch if need.relief else need.zone,
                "direction": need.direction.value if need.direction else None,
                "first": need.intervals[0],
                "quantity_w": list(need.quantity_w),
            },
        )
        for need in needs
        for provider in providers
    ]


def ceilings(market: str, stated: Iterable[Ceiling], intervals: Sequence[int]) -> list[Message]:
    """Return each ceiling of some intervals as its operator tells it."""
    return [
        Message(
            each.operator,
            market,
            "ceiling",
            {
                "resources": sorted(each.resources),
                "direction": each.direction.value,
                "first": each.intervals[0],
                "count": len(each.intervals),
                "most_w": each.most_w,
            },
        )
        for each in stated
        if set(each.intervals) & set(intervals)
    ]


def forward_offers(
    market: str, offers: Iterable[ForwardOffer], resources: Mapping[str, Resource]
) -> list[Message]:
    """Return each forward offer as its provider tells it."""
    return [
        Message(
            resources[each.resource].provider,
            market,
            "FlexOffer",
            {
                "offer": each.name,
                "resource": each.resource,
                "quantity_w": each.quantity_w,
                "availability_ticks": each.availability_ticks,
                "utilisation_ticks": each.utilisation_ticks,
            },
        )
        for each in offers
    ]


def contracts(market: str, made: Iterable[FlexContract]) -> list[Message]:
    """Return each contract as the market tells it to both sides."""
    return [
        Message(
            market,
            party,
            "contract",
            {
                "contract": each.name,
                "resource": each.resource,
                "quantity_w": each.quantity_w,
                "availability_ticks": each.availability_ticks,
                "utilisation_ticks": each.utilisation_ticks,
            },
        )
        for each in made
        for party in (each.buyer, each.provider)
    ]


def offers(
    market: str, made: Iterable[SpotOffer], resources: Mapping[str, Resource]
) -> list[Message]:
    """Return each offer as its provider tells it."""
    return [
        Message(
            resources[each.resource].provider,
            market,
            "FlexOffer",
            {
                "offer": each.name,
                "resource": each.resource,
                "first": each.intervals[0],
                "count": len(each.intervals),
                "quantity_w": each.quantity_w,
                "price_ticks": each.price_ticks,
            },
        )
        for each in made
    ]


def network_room(
    market: str, grid: Grid, supply: Supply, intervals: Sequence[int]
) -> list[Message]:
    """Return the room of each branch as the network's operator tells it, in kW both ways."""
    found = []
    for t in intervals:
        flows = supply.flows_w(t)
        network = grid.network
        rooms = {
            name: [rounded((upper - flow) / 1e3), rounded((flow - lower) / 1e3)]
            for name, upper, lower, flow in zip(
                network.branches, network.upper_w, network.lower_w, flows, strict=True
            )
        }
        content = {"interval": t, "room_kw": rooms}
        found.append(Message(grid.operator, market, "network room", content))
    return found


def orders(market: str, awards: Iterable[Award]) -> list[Message]:
    """Return each award as the market tells it to both sides."""
    return [
        Message(
            market,
            party,
            "FlexOrder",
            {
                "offer": each.offer,
                "resource": each.resource,
                "interval": each.interval,
                "quantity_w": each.quantity_w,
                "price_ticks": each.price_ticks,
            },
        )
        for each in awards
        for party in (each.buyer, each.provider)
    ]


def settlements(market: str, payments: Iterable[Payment]) -> list[Message]:
    """Return each payment as the market tells it to both sides."""
    return [
        Message(
            market,
            party,
            "FlexSettlement",
            {
                "cause": each.cause.value,
                "of": each.subject,
                "interval": each.interval,
                "quantity_w": each.quantity_w,
                "amount": each.amount,
            },
        )
        for each in payments
        for party in (each.payer, each.payee)
    ]
