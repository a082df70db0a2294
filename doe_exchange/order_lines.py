"""Orders as Python states them, read by the rules of orders files (``docs/formats/orders.md``)."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal, InvalidOperation
from typing import Any, TypedDict

import numpy as np

from exchange.vocabulary.formatting import format_eur
from gateway.formats.faults import InvalidMessageError
from gateway.formats.orders_file import OrderLine, RefusedLine, read_order_line
from orderbook.order import SelfTradePrevention, TimeInForce

Price = str | Decimal | float
"""EUR per kW of limit for the interval; a float is rounded to twelve significant digits."""


class OrderEntries(TypedDict, total=False):
    """What an order may say beyond its limit, quantity and price.

    Parameters
    ----------
    participant
        Its sender; the owner of the connection point where not given.
    client_order_id
        Its id; a new one where not given.  An id sent twice has the effect of once.
    time_in_force
        ``"GTC"`` (the default), ``"GTD"`` until ``expires_at``, ``"IOC"`` or ``"FOK"``.
    expires_at
        For ``"GTD"``.
    post_only
        Refuse it where it would trade at once.
    all_or_none
        Trade it in full at once, or let it wait.
    minimum_quantity_w
        Trade at least this much at once.
    displayed_quantity_w
        Show this much of it at a time.
    self_trade_prevention
        ``"cancel_newest"`` (the default), ``"cancel_oldest"`` or ``"cancel_both"``.
    """

    participant: str
    client_order_id: str
    time_in_force: TimeInForce | str
    expires_at: datetime | str
    post_only: bool
    all_or_none: bool
    minimum_quantity_w: int
    displayed_quantity_w: int
    self_trade_prevention: SelfTradePrevention | str


def single_limit(
    connection_point: str,
    direction: str,
    quantity_w: int,
    price: Price | None,
    interval: datetime | str | None,
) -> dict[str, Any]:
    """Return the entries of an order for one limit; without a price it is a market order."""
    return {
        "connection_point": connection_point,
        "direction": direction,
        "quantity_w": quantity_w,
        "price": price,
        "interval": interval,
        "order_type": "market" if price is None else "limit",
    }


def order_line(entries: Mapping[str, Any], usual: Mapping[str, Any]) -> OrderLine:
    """Return a line of an orders file.

    Parameters
    ----------
    entries
        What is asked; ``None`` is an entry left out.
    usual
        What holds where the entries say nothing; beside it, ``type`` is ``"submit"``.

    Raises
    ------
    InvalidMessageError
        When it is no such line; says all that is wrong.

    Examples
    --------
    >>> usual = {"time": "2026-07-01T12:00:00Z", "participant": "anna"}
    >>> line = order_line({"type": "cancel", "client_order_id": "7", "participant": None}, usual)
    >>> line.participant, line.client_order_id
    ('anna', '7')
    """
    stated = {name: value for name, value in entries.items() if value is not None}
    given = {"type": "submit", **usual, **stated}
    if "price" in given:
        given["price"] = _price_text(given["price"])
    found = read_order_line(1, json.dumps(given, default=_plain).encode())
    if isinstance(found, RefusedLine):
        raise InvalidMessageError(found.detail, found.reason)
    return found


def owner_of(entries: Mapping[str, Any], owners: Mapping[str, str]) -> str:
    """Return the owner of the connection point that an order names first; itself where unknown."""
    legs = entries.get("legs") or [entries]
    first = legs[0] if isinstance(legs, Sequence) and isinstance(legs[0], Mapping) else {}
    point = str(first.get("connection_point", "participant"))
    return owners.get(point, point)


def _price_text(price: Price) -> str:
    """Return a price as an exact decimal string; what is not a number is left for the reader."""
    try:
        # 3 * 0.1 is meant as 0.3, not as 0.30000000000000004.
        exact = Decimal(f"{price:.12g}" if isinstance(price, float) else str(price))
    except InvalidOperation:
        return str(price)
    return format_eur(exact) if exact.is_finite() else str(price)


def _plain(value: Any) -> Any:
    """Return what JSON has no word for in one that it has."""
    if isinstance(value, np.generic):
        return value.item()
    return value.isoformat() if isinstance(value, datetime) else str(value)
