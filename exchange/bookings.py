"""Which entries of the ledger an event leads to; the only place where money begins.

The live state and the statements made of a journal both book these, so they cannot differ.
"""

from __future__ import annotations

from exchange.events import Event, HoldingCurtailed, MeterRead, Traded
from exchange.ledger import Entry, Purpose
from exchange.rules import DSO_COMPENSATION, DSO_PENALTIES


def entries_of(event: Event) -> tuple[Entry, ...]:
    """Return what is to be booked for an event, most often nothing.  O(1)."""
    match event:
        case Traded():
            return (
                Entry(
                    event.interval,
                    Purpose.TRADE,
                    payer=event.buyer,
                    payee=event.seller,
                    amount=event.amount,
                    quantity_w=event.quantity_w,
                ),
            )
        case HoldingCurtailed(compensation=compensation) if compensation:
            return (
                Entry(
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


def _of_reading(event: MeterRead) -> tuple[Entry, ...]:
    """Return the reversal of what a reading replaces, then its own penalty."""
    who, interval = event.participant, event.interval
    entries = []
    if event.reversed_penalty:
        entries.append(
            Entry(
                interval,
                Purpose.PENALTY,
                payer=DSO_PENALTIES,
                payee=who,
                amount=event.reversed_penalty,
            )
        )
    if event.penalty:
        entries.append(
            Entry(interval, Purpose.PENALTY, payer=who, payee=DSO_PENALTIES, amount=event.penalty)
        )
    return tuple(entries)
