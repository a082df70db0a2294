"""The settlement of a day: what was measured by the rules of delivery, the rest as it was sold."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from exchange.flexibility.measurement.measuring import MeasuredOrder
from exchange.flexibility.measurement.metering import Metering
from exchange.flexibility.measurement.orders import GivenOrder
from exchange.flexibility.measurement.paying import activations_paid, availability_paid
from exchange.flexibility.products.obligation import Withheld
from exchange.flexibility.products.payments import Payment, booked, payments_of
from exchange.flexibility.products.vocabulary import Award, FlexContract
from exchange.flexibility.settlement.activation import ActivationRefusal


@dataclass(frozen=True, slots=True)
class SettledDay:
    """Payments, balances in tick-watts, and what is not paid or not measured, as sentences."""

    payments: tuple[Payment, ...]
    balances: Mapping[str, int]
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Account:
    """What a settlement reads: contracts, awards, what was withheld, orders, what was measured.

    ``measured`` is ``None`` where no measurement came before.
    """

    contracts: Collection[FlexContract]
    awards: Sequence[Award]
    withheld: Collection[Withheld]
    orders: Sequence[GivenOrder]
    measured: Sequence[MeasuredOrder] | None


def without(awards: Iterable[Award], taken: Iterable[Award]) -> list[Award]:
    """Return the awards that are not among others, each as often as it is left."""
    rest, found = Counter(taken), []
    for each in awards:
        if rest[each]:
            rest[each] -= 1
        else:
            found.append(each)
    return found


def refused_orders(orders: Iterable[GivenOrder]) -> list[tuple[GivenOrder, ActivationRefusal]]:
    """Return the orders that were refused, and why."""
    return [(each, each.answer) for each in orders if isinstance(each.answer, ActivationRefusal)]


def counted_as_sold(account: Account) -> list[Award]:
    """Return the awards that were neither refused as orders nor measured."""
    taken = [award for each, _ in refused_orders(account.orders) for award in each.awards]
    taken += [award for each in account.measured or () for award in each.given.awards]
    return without(account.awards, taken)


def settle_day(
    account: Account,
    metering: Metering | None,
    start_of: Callable[[int], datetime],
    parts: Sequence[Payment] = (),
) -> SettledDay:
    """Return what a day's parties pay each other.

    Parameters
    ----------
    account
        What there is to settle.
    metering
        Meters and terms of delivery; ``None`` without any.
    start_of
        Gives the start of an interval.
    parts
        What parties pay of needs that they share, beside all else.
    """
    as_sold = counted_as_sold(account)
    by_terms: list[FlexContract] = []
    if metering is not None and account.measured is not None:
        by_terms = [each for each in account.contracts if each.product in metering.terms]
    plain = [each for each in account.contracts if each not in by_terms]
    payments = [*payments_of(plain, as_sold, account.withheld), *parts]
    ledger = booked(payments, start_of)
    if metering is not None and account.measured is not None:
        found = [
            *availability_paid(metering, by_terms, account.measured),
            *activations_paid(metering, account.measured),
        ]
        for each in found:
            ledger.book(each.entry)
        payments = [*(each.payment for each in found), *payments]
    names = dict.fromkeys(name for each in payments for name in (each.payer, each.payee))
    balances = {name: ledger.balance(name) for name in names}
    return SettledDay(tuple(payments), balances, _notes(account, as_sold))


def _notes(account: Account, as_sold: Sequence[Award]) -> tuple[str, ...]:
    notes = [
        f"not ordered and not paid: {refusal.sentence}"
        for _, refusal in refused_orders(account.orders)
    ]
    if as_sold:
        unmeasured = "no measured order is for them"
        why = "no measurement came before" if account.measured is None else unmeasured
        notes.append(f"{len(as_sold)} of {len(account.awards)} awards are paid as sold: {why}")
    return tuple(notes)
