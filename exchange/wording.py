"""How times and money are written in sentences and files (``docs/conventions.md``, §8 and §9)."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal


def format_time(moment: datetime) -> str:
    """Return ISO 8601 in UTC with a ``Z``, for example ``2016-05-02T12:15:00Z``."""
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")


def format_eur(amount: Decimal) -> str:
    """Return EUR, or EUR per kW, as an exact decimal string: no exponent, no trailing zeros."""
    text = f"{amount:f}"
    text = text.rstrip("0").rstrip(".") if "." in text else text
    return "0" if text in ("", "-0") else text
