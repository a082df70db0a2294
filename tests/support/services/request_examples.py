"""A request of every kind as its sender writes it, by channel: examples of the documents."""

from __future__ import annotations

from typing import Any

_ORDER = {
    "connection_point": "load:0",
    "direction": "injection",
    "side": "sell",
    "quantity_w": 1000,
    "price": "0.0450",
}
_NOON, _LATER = "2026-07-01T12:00:00Z", "2026-07-01T12:15:00Z"

REQUESTS: dict[str, list[dict[str, Any]]] = {
    "orders": [
        {"type": "submit", "client_order_id": "a1", "interval": _NOON, **_ORDER},
        {"type": "block", "client_order_id": "a2", "intervals": [_NOON, _LATER], **_ORDER},
        {
            "type": "linked",
            "client_order_id": "a3",
            "legs": [
                {"interval": _NOON, **_ORDER},
                {"interval": _NOON, **_ORDER, "direction": "withdrawal", "side": "buy"},
            ],
        },
        {"type": "amend", "request_id": "r1", "client_order_id": "a1", "price": "0.0460"},
        {"type": "cancel", "request_id": "r2", "client_order_id": "a1"},
        {"type": "mass_cancel", "request_id": "r3", "interval": _NOON},
        {
            "type": "safeguard",
            "request_id": "r4",
            "session": "e7",
            "device": "battery-1",
            "on_disconnect": "cancel",
            "silent_s": 30,
        },
        {
            "type": "offer_flexibility",
            "client_order_id": "f1",
            "connection_point": "load:0",
            "direction": "upward",
            "interval": _NOON,
            "quantity_w": 500,
            "price": "0.0350",
        },
        {
            "type": "request_flexibility",
            "client_order_id": "f2",
            "bus": "n2",
            "direction": "upward",
            "interval": _NOON,
            "quantity_w": 800,
            "price": "0.0400",
            "conditional": True,
        },
        {"type": "disconnected", "session": "e7"},
        {"type": "alive", "session": "e7"},
    ],
    "limits": [
        {
            "update_id": "u1",
            "interval": _NOON,
            "voltage_min_pu": 0.98,
            "voltage_max_pu": 1.04,
            "injection_limit_w": 400_000,
        }
    ],
    "controls": [
        {"type": "price_collar", "control_id": "c1", "min_price": "0", "max_price": "0.5"},
        {"type": "risk_limits", "control_id": "c2", "participant": "p1", "credit": "100"},
        {"type": "kill_switch", "control_id": "c3", "participant": "p1", "engaged": True},
        {"type": "halt", "control_id": "c4", "interval": _NOON},
        {"type": "resume", "control_id": "c5", "interval": _NOON},
        {
            "type": "buy_back",
            "control_id": "c6",
            "interval": _NOON,
            "direction": "injection",
            "quantity_w": 5_000,
            "price": "0.0500",
        },
    ],
    "readings": [{"reading_id": "r1", "interval": _NOON, "injection_w": 3_120}],
    "queries": [
        {"type": "query", "query_id": "q1", "about": "orders", "from": "17"},
        {"type": "query", "query_id": "q2", "about": "positions"},
        {"type": "query", "query_id": "q3", "about": "reports", "from_sequence": 40},
        {"type": "query", "query_id": "q4", "about": "requests", "request_ids": ["x1", "a2"]},
        {"type": "query", "query_id": "q5", "about": "statement"},
        {
            "type": "query",
            "query_id": "q6",
            "about": "book",
            "direction": "injection",
            "interval": _NOON,
        },
        {"type": "query", "query_id": "q7", "about": "session"},
        {"type": "query", "query_id": "q8", "about": "limits"},
        {"type": "query", "query_id": "q9", "about": "controls"},
    ],
}
