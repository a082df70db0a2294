"""Which entries of the ledger an event leads to; the only place where money begins.

The live state and the statements made of a journal both book these, so they cannot differ.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

from exchange.accounts.ledger import LedgerEntry, Purpose
from exchange.vocabulary.events import Event, HoldingCurtailed, Traded
from exchange.vocabulary.rules import (
    DSO_BUY_BACK,
    DSO_COMPENSATION,
    DSO_CONGESTION_RENT,
    DSO_PENALTIES,
)
from exchange.vocabulary.settlement_events import MeterRead


def entries_of(event: Event) -> tuple[LedgerEntry, ...]:
    """Return what is to be booked for an event, most often nothing.  O(1)."""
    match event:
        case Traded():
            return _of_clearing(event)
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
    """Return who pays whom, and whose watts go to whom, in each interval.

    What buyers pay beyond what sellers receive is the DSO's, and so are watts bought beyond those
    sold, in each interval: legs of a joint order may make up for each other across intervals.
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


def _transfers(sides: Sequence[tuple[str, int]], rest: str) -> dict[tuple[str, str], int]:
    """Return who gives how much to whom, so that everyone gives and gets what it must.

    ``sides`` are positive for those who give; ``rest`` gives or gets what is left over.
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
    """Return the reversal of what a reading replaces, then its own penalty."""
    who, interval = event.participant, event.interval
    entries = []
    if event.reversed_penalty:
        entries.append(
            LedgerEntry(
                interval,
                Purpose.PENALTY,
                payer=DSO_PENALTIES,
                payee=who,
                amount=event.reversed_penalty,
            )
        )
    if event.penalty:
        entries.append(
            LedgerEntry(
                interval, Purpose.PENALTY, payer=who, payee=DSO_PENALTIES, amount=event.penalty
            )
        )
    return tuple(entries)
