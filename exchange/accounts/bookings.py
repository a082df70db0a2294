"""The ledger entries of events; no other module makes entries.

The live state and the statements made from a journal both book these, so they cannot differ.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

from exchange.accounts.ledger import LedgerEntry, Purpose
from exchange.vocabulary.events import Event, HoldingCurtailed, Traded
from exchange.vocabulary.flexibility_events import FlexibilityMatched
from exchange.vocabulary.rules import (
    DSO_BUY_BACK,
    DSO_COMPENSATION,
    DSO_CONGESTION_RENT,
    DSO_PENALTIES,
)
from exchange.vocabulary.settlement_events import MeterRead


def entries_of(event: Event) -> tuple[LedgerEntry, ...]:
    """Return the entries of an event; most events have none.  O(1)."""
    match event:
        case Traded():
            return _of_clearing(event)
        case FlexibilityMatched():
            return _of_matching(event)
        case HoldingCurtailed(compensation=compensation) if compensation:
            return (
                LedgerEntry(
                    event.interval,
                    Purpose.COMPENSATION,
                    payer=DSO_COMPENSATION,
                    payee=event.participant,
                    amount=compensation,
                ),
            )
        case MeterRead():
            return _of_reading(event)
    return ()


def _of_clearing(event: Traded) -> tuple[LedgerEntry, ...]:
    """Return the transfers of money and watts between accounts, in each interval.

    The DSO takes the difference between buyers' payments and sellers' receipts, and between watts
    bought and sold, in each interval: a joint order may balance only over its intervals.
    """
    entries: list[LedgerEntry] = []
    dso = DSO_BUY_BACK if event.buy_back else DSO_CONGESTION_RENT
    for interval in {fill.interval: None for fill in event.fills}:
        fills = [fill for fill in event.fills if fill.interval == interval]
        money = _transfers([(fill.participant, fill.amount) for fill in fills], dso)
        watts = _transfers([(fill.participant, fill.change_w) for fill in fills], dso)
        entries += [
            LedgerEntry(
                interval,
                Purpose.TRADE,
                payer=payer,
                payee=payee,
                amount=money.get((payer, payee), 0),
                quantity_w=watts.get((payer, payee), 0),
            )
            for payer, payee in money | watts
        ]
    return tuple(entries)


def _of_matching(event: FlexibilityMatched) -> tuple[LedgerEntry, ...]:
    """Return the payments of requests, or of the DSO that bought, to offers."""
    sides = [(fill.participant, fill.amount) for fill in event.fills]
    return tuple(
        LedgerEntry(event.interval, Purpose.FLEXIBILITY, payer=payer, payee=payee, amount=amount)
        for (payer, payee), amount in _transfers(sides, DSO_BUY_BACK).items()
    )


def _transfers(sides: Sequence[tuple[str, int]], rest: str) -> dict[tuple[str, str], int]:
    """Return the transfers ``(giver, receiver) -> amount`` that settle all balances.

    ``sides`` are ``(account, balance)``, positive where the account gives; the account ``rest``
    gives or receives the difference.
    """
    over = sum(value for _, value in sides)
    sides = [*sides, (rest, -over)] if over else sides
    gets = deque((name, -value) for name, value in sides if value < 0)
    found: dict[tuple[str, str], int] = {}
    for giver, gives in sides:
        left = gives
        while left > 0:
            getter, wants = gets.popleft()
            moved = min(left, wants)
            found[giver, getter] = found.get((giver, getter), 0) + moved
            left -= moved
            if wants > moved:
                gets.appendleft((getter, wants - moved))
    return found


def _of_reading(event: MeterRead) -> tuple[LedgerEntry, ...]:
    """Return the reversal of the replaced reading's penalty, then the penalty of the reading."""
    owner, interval = event.participant, event.interval
    entries = []
    if event.reversed_penalty:
        entries.append(
            LedgerEntry(
                interval,
                Purpose.PENALTY,
                payer=DSO_PENALTIES,
                payee=owner,
                amount=event.reversed_penalty,
            )
        )
    if event.penalty:
        entries.append(
            LedgerEntry(
                interval, Purpose.PENALTY, payer=owner, payee=DSO_PENALTIES, amount=event.penalty
            )
        )
    return tuple(entries)
