"""Requests that something has happened to: bytes, JSON, fields.  Every one is owed an answer."""

from __future__ import annotations

import json
from random import Random
from typing import Any

from request_examples import REQUESTS

# Signs of life have no answer.
BASES = [each for each in REQUESTS["orders"] if each["type"] not in ("disconnected", "alive")]
ODD_VALUES: list[Any] = [
    *(None, True, False, 0, 1, -1, 1.0, 0.1, 2**31, 2**63, -(2**63), 10**30, float("nan")),
    *(float("inf"), "", " ", "a b", "\x00", "\u0660", "\U0010fffd", "x" * 65, "x" * 9_000),
    *("1e-4", "NaN", "Infinity", "-0", "0x10", "0.00005", "1" * 400),
    *([], {}, [[]], {"a": {"a": {}}}, [None] * 300),
    *("2096-06-01T12:00:00Z", "2096-06-01T12:00:00", "9999-12-31T23:59:59Z", "load:1", "buy"),
]


def mutated(draw: Random, interval: str) -> bytes:
    """Return a request of an interval, changed in one to three ways; some are still requests."""
    message = json.loads(json.dumps(draw.choice(BASES)).replace("2026-07-01T12:00:00Z", interval))
    for name in ("client_order_id", "request_id"):
        if name in message:
            message[name] = f"m{draw.randrange(10**6)}"
    for _ in range(draw.randint(0, 2)):
        _change(draw, message)
    payload = json.dumps(message).encode()
    for _ in range(draw.choice([0, 0, 1, 2])):
        payload = _damaged(draw, payload)
    return payload


def _change(draw: Random, message: dict[str, Any]) -> None:
    """Change a field, or one of a nested object."""
    if not message:
        return
    name = draw.choice(sorted(message))
    inner = message[name]
    if isinstance(inner, list) and inner and isinstance(inner[0], dict) and draw.random() < 0.7:
        _change(draw, draw.choice(inner))
        return
    match draw.randrange(5):
        case 0:
            del message[name]
        case 1:
            message[draw.choice([name.upper(), "participant", "colour", ""])] = inner
        case 2:
            message[name] = [inner] * draw.randint(1, 4)
        case _:
            message[name] = draw.choice(ODD_VALUES)


def _damaged(draw: Random, payload: bytes) -> bytes:
    """Change some bytes."""
    at = draw.randint(0, len(payload))
    match draw.randrange(8):
        case 0:
            return payload[:at]
        case 1:
            return payload[:at] + draw.randbytes(draw.randint(1, 8)) + payload[at:]
        case 2:
            return payload[:at] + draw.randbytes(1) + payload[at + 1 :]
        case 3:
            return payload[:at] + payload[draw.randint(0, at) :]
        case 4:
            return payload + payload
        case 5:
            return payload[:-1] + b"," + payload[1:]  # every key twice
        case 6:
            return b"[" * draw.choice([1, 1000]) + payload
        case _:
            return draw.choice(
                [b"", b"null", b"1", payload.decode(errors="replace").encode("utf-16")]
            )
