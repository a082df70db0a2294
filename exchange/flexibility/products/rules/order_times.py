"""When offers are in the book: how long they must rest, and until when they are good."""

from __future__ import annotations

from exchange.flexibility.products.sessions import SpotRules
from exchange.flexibility.products.vocabulary import Refusal, SpotOffer


def has_arrived(rules: SpotRules, offer: SpotOffer) -> bool:
    """Return whether an offer is in the book when a session clears."""
    return rules.at is None or offer.arrives is None or offer.arrives <= rules.at


def out_of_time(rules: SpotRules, offer: SpotOffer) -> Refusal | None:
    """Return why an offer that has arrived takes no part; ``None`` if it does."""
    if rules.at is None:
        return None
    at = f"{rules.name} clears at {rules.at:%Y-%m-%dT%H:%M:%SZ}"
    if offer.good_until is not None and offer.good_until <= rules.at:
        detail = f"it was good until {offer.good_until:%Y-%m-%dT%H:%M:%SZ}, {at}"
        return Refusal(offer.name, "expired", detail)
    if offer.arrives is not None:
        rested_s = int((rules.at - offer.arrives).total_seconds())
        if rested_s < rules.rest_s:
            detail = f"it has rested for {rested_s:,} s, {rules.name} asks for {rules.rest_s:,} s"
            return Refusal(offer.name, "too_new", detail)
    return None
