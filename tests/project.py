"""Where the project is, and its packages, from below to above."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).parents[1]
PACKAGES = (
    "security_check",
    "doe_allocation",
    "orderbook",
    "exchange",
    "gateway",
    "doe_exchange",
)
