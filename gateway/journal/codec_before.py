"""Journals of the time when a trade was one buyer and one seller.

Their trades are read as clearings of two orders.  They lead to the same state as they did.
"""

from __future__ import annotations

import json
from typing import Any

_MARK = "buy_order_id"
"""An entry of trades that only trades of that time have."""


def upgraded(line: bytes | str) -> bytes | str:
    """Return a line of a journal in today's form; what is not a trade of before stays as it is."""
    if (_MARK.encode() if isinstance(line, bytes) else _MARK) not in line:  # type: ignore[operator]
        return line
    try:
        entry = json.loads(line)
        for event in entry["events"]:
            if event["type"] == "Traded" and _MARK in event["data"]:
                event["data"] = _clearing(event["data"])
    except (ValueError, KeyError, TypeError):
        return line  # whoever reads it says what is wrong with it
    return json.dumps(entry)


def _clearing(trade: dict[str, Any]) -> dict[str, Any]:
    fills = [
        {
            "order_id": trade[f"{side}_order_id"],
            "participant": trade[name],
            "client_order_id": trade[f"{name}_client_order_id"],
            "connection_point": trade[f"{side}_connection_point"],
            "direction": trade["direction"],
            "interval": trade["interval"],
            "side": side,
            "quantity_w": trade["quantity_w"],
            "limit_price_ticks": trade[f"{side}_limit_price_ticks"],
            "amount": trade["amount"] if side == "buy" else -trade["amount"],
        }
        for side, name in (("buy", "buyer"), ("sell", "seller"))
    ]
    kept = ("sequence", "time", "trade_id", "binding_element", "loading")
    return {name: trade[name] for name in kept} | {
        "fills": sorted(fills, key=lambda fill: fill["order_id"]),
        "taker_order_id": trade[f"{trade['taker_side']}_order_id"],
        "rent": 0,
        "tier": "pairwise",
    }
