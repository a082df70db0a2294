"""Why something is not done: a reason from the closed list, and a sentence with the numbers."""

from __future__ import annotations

from dataclasses import dataclass

from exchange.reasons import RefusalReason
from exchange.rules import MarketRules
from exchange.wording import format_eur


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why not."""

    reason: RefusalReason
    detail: str


def price_text(price_ticks: int, rules: MarketRules) -> str:
    """Return a price as sentences have it, for example ``"0.045 EUR per kW"``."""
    return f"{format_eur(rules.price_in_eur_per_kw(price_ticks))} EUR per kW"


def amount_text(amount: int, rules: MarketRules) -> str:
    """Return tick-watts as sentences have them, for example ``"1.2 EUR"``."""
    return f"{format_eur(rules.amount_in_eur(amount))} EUR"
