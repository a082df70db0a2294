"""What is paid for contracts, activations and what was withheld, as entries of the ledger."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from exchange.accounts.ledger import Ledger, LedgerEntry, Purpose
from exchange.flexibility.products.obligation import Withheld
from exchange.flexibility.products.vocabulary import Award, FlexContract


class Cause(StrEnum):
    """Why something is paid."""

    AVAILABILITY = "availability"
    UTILISATION = "utilisation"
    PENALTY = "penalty"
    NOT_DELIVERED = "not_delivered"
    SHORT_DELIVERY = "short_delivery"
    LOST_AVAILABILITY = "lost_availability"
    SHARE = "share"
    """A party's part of a need that several parties pay."""
    SHIFT = "shift"


@dataclass(frozen=True, slots=True)
class Payment:
    """One party pays another; ``amount`` in tick-watts, at least 0.

    ``sentence`` says how it follows from quantity and price.
    """

    cause: Cause
    subject: str
    payer: str
    payee: str
    interval: int
    quantity_w: int
    price_ticks: int
    amount: int
    sentence: str = ""


def payments_of(
    contracts: Iterable[FlexContract], awards: Iterable[Award], withheld: Iterable[Withheld]
) -> list[Payment]:
    """Return all payments: availability at a contract's first interval, the others at their own.

    Where a price is below 0, the provider pays.
    """
    found = [
        Payment(
            Cause.AVAILABILITY,
            each.name,
            each.buyer,
            each.provider,
            each.intervals[0],
            each.quantity_w,
            each.availability_ticks,
            each.availability_ticks * each.quantity_w,
            f"{each.quantity_w} W are reserved at {each.availability_ticks} ticks/kW.",
        )
        for each in contracts
    ]
    for award in awards:
        buyer_pays = award.amount >= 0
        payer, payee = (
            (award.buyer, award.provider) if buyer_pays else (award.provider, award.buyer)
        )
        found.append(
            Payment(
                Cause.UTILISATION,
                award.offer,
                payer,
                payee,
                award.interval,
                award.quantity_w,
                award.price_ticks,
                abs(award.amount),
                f"{award.quantity_w} W were sold for an interval at {award.price_ticks} ticks/kW.",
            )
        )
    found += [
        Payment(
            Cause.PENALTY,
            each.contract,
            each.provider,
            each.buyer,
            each.interval,
            each.quantity_w,
            each.penalty_ticks,
            each.amount,
            f"{each.detail}; the penalty is {each.penalty_ticks} ticks/kW for an interval.",
        )
        for each in withheld
    ]
    return found


def booked(payments: Iterable[Payment], start_of: Callable[[int], datetime]) -> Ledger:
    """Return a ledger with the payments; ``start_of`` gives the start of an interval."""
    ledger = Ledger()
    for each in payments:
        purpose = Purpose.PENALTY if each.cause is Cause.PENALTY else Purpose.TRADE
        # Watts go from provider to buyer, also where the price is below 0 and the provider pays.
        moved_w = each.quantity_w if each.price_ticks >= 0 else -each.quantity_w
        moved_w = moved_w if each.cause is Cause.UTILISATION else 0
        start = start_of(each.interval)
        ledger.book(LedgerEntry(start, purpose, each.payer, each.payee, each.amount, moved_w))
    return ledger
