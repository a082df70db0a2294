"""What resources, their manager and the market tell each other when offers are called."""

from __future__ import annotations

from collections.abc import Mapping

from doe_allocation.coordination.messages import Message
from exchange.flexibility.flex_offers.flex_offer import FlexOffer
from exchange.flexibility.flex_offers.shift_phase import Shifted
from exchange.flexibility.products.vocabulary import Resource


def shift_messages(market: str, found: Shifted, resources: Mapping[str, Resource]) -> list[Message]:
    """Return offers to the manager, aggregates to the market, and schedules the same way back."""
    told = []
    for each in found.members:
        offer = each.offer
        sender = resources[offer.resource].name
        told.append(Message(sender, each.provider, "flex-offer", _content(offer.offer)))
    for group in found.groups:
        content = _content(group.aggregate.offer)
        told.append(Message(group.provider, market, "FlexOffer", content))
    for group in found.groups:
        if group.schedule is not None:
            answer = {
                "offer": group.name,
                "first": group.schedule.start,
                "quantity_w": list(group.schedule.watts),
            }
            told.append(Message(market, group.provider, "FlexOrder", answer))
    for each in found.members:
        if each.called:
            own = {
                "offer": each.offer.name,
                "first": each.schedule.start,
                "quantity_w": list(each.schedule.watts),
                "amount": each.amount,
            }
            told.append(Message(each.provider, each.offer.resource, "schedule", own))
    return told


def _content(offer: FlexOffer) -> dict[str, object]:
    return {
        "offer": offer.offer_id,
        "earliest": offer.earliest,
        "latest": offer.latest,
        "slices_w": [[each.least_w, each.most_w] for each in offer.slices],
        "total": [offer.lowest_total, offer.highest_total],
        "energy_price_ticks": offer.energy_price_ticks,
        "shift_price_ticks": offer.shift_price_ticks,
    }
