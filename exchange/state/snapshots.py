"""The whole state as JSON-able data and back, and the digest by which states are compared."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from exchange.accounts.ledger import Ledger
from exchange.accounts.metering import Metering
from exchange.state.controls import Controls
from exchange.state.request_answers import RequestLog
from exchange.state.safeguards import Safeguards
from exchange.state.session import Session
from exchange.state.state import State
from exchange.vocabulary.flexibility import FlexibilityOrder
from exchange.vocabulary.orders import Order
from exchange.vocabulary.rules import ConnectionTerms, MarketRules
from exchange.vocabulary.versions import VERSION, Upgrade, in_present_form

UPGRADES: dict[int, Upgrade] = {}
"""What leads a snapshot of a state from each version to the next, where it changed."""


def snapshot_of(state: State) -> dict[str, Any]:
    """Return everything as JSON-able data, in one canonical form.  O(everything)."""
    return {
        "version": VERSION,
        "sequence": state.sequence,
        "time": None if state.time is None else state.time.isoformat(),
        "next_order_id": state.next_order_id,
        "next_trade_id": state.next_trade_id,
        "sessions": [state.sessions[start].snapshot() for start in sorted(state.sessions)],
        "answers": state.answers.snapshot(),
        "controls": state.controls.snapshot(),
        "safeguards": state.safeguards.snapshot(),
        "ledger": state.ledger.snapshot(),
        "metering": state.metering.snapshot(),
    }


def digest_of(state: State) -> str:
    """Return the SHA-256 of the snapshot in hexadecimal; equal states have equal digests."""
    canonical = json.dumps(snapshot_of(state), sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()


def restore_state(
    data: dict[str, Any], rules: MarketRules, terms: Mapping[str, ConnectionTerms]
) -> State:
    """Return the state a snapshot was taken of.

    Raises
    ------
    ValueError
        When the snapshot has no version, or that of a newer release.
    """
    data = in_present_form("the snapshot", data, UPGRADES)
    state = State(rules, terms)
    orders: list[Order] = []
    flexible: dict[int, FlexibilityOrder] = {}
    for plain in data["sessions"]:
        session = Session.restore(plain, terms)
        state.sessions[session.start] = session
        if session.is_open:
            state.phase_deadlines.add((session.phase_until, session.start))
        orders += session.orders()
        flexible |= session.flexibility.orders
    # By number, because that is the order of the legs of a joint order.
    for order in sorted(orders, key=lambda each: each.order_id):
        state.index(order)
    state.flexible_orders = dict(sorted(flexible.items()))
    state.sequence = data["sequence"]
    state.time = None if data["time"] is None else datetime.fromisoformat(data["time"])
    state.next_order_id = data["next_order_id"]
    state.next_trade_id = data["next_trade_id"]
    state.answers = RequestLog.restore(data["answers"], rules.answers_kept)
    state.controls = Controls.restore(data["controls"])
    state.safeguards = Safeguards.restore(data["safeguards"], rules.answers_kept)
    state.ledger = Ledger.restore(data["ledger"])
    state.metering = Metering.restore(data["metering"])
    return state
