"""How times and money are written in sentences and files (``docs/conventions.md``, §8 and §9)."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

from exchange.vocabulary.rules import MarketRules


def format_time(moment: datetime) -> str:
    """Return ISO 8601 in UTC with a ``Z``, for example ``2016-05-02T12:15:00Z``."""
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")


def format_eur(amount: Decimal) -> str:
    """Return EUR, or EUR per kW, as an exact decimal string: no exponent, no trailing zeros."""
    text = f"{amount:f}"
    text = text.rstrip("0").rstrip(".") if "." in text else text
    return "0" if text in ("", "-0") else text


def price_text(price_ticks: int, rules: MarketRules) -> str:
    """Return a price for a sentence, for example ``"0.045 EUR per kW"``."""
    return f"{format_eur(rules.price_in_eur_per_kw(price_ticks))} EUR per kW"


def amount_text(amount: int, rules: MarketRules) -> str:
    """Return tick-watts for a sentence, for example ``"1.2 EUR"``."""
    return f"{format_eur(rules.amount_in_eur(amount))} EUR"
