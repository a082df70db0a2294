"""What is paid for what was ordered and delivered, by the rules of ``settlement``.

An order may be for several offers, needs and buyers.  Each has the part of the delivery that it has
of the order, interval by interval: a watt that was delivered is counted once, and a missing one
is missing for all of them alike.

A contract's availability is paid once, and lost when one of its resource's activations within it
was delivered by too small a part, also one that was sold outside the contract.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from fractions import Fraction

from exchange.accounts.ledger import LedgerEntry
from exchange.flexibility.measurement.measuring import MeasuredOrder
from exchange.flexibility.measurement.metering import Metering
from exchange.flexibility.products.payments import Cause, Payment
from exchange.flexibility.products.vocabulary import Award, FlexContract
from exchange.flexibility.settlement.agreement import (
    AvailabilityWindow,
    Call,
    FlexAgreement,
    PenaltyTerms,
)
from exchange.flexibility.settlement.delivery import Delivery
from exchange.flexibility.settlement.settlement import FlexItem, settle

_CAUSES = {
    FlexItem.AVAILABILITY: Cause.AVAILABILITY,
    FlexItem.UTILISATION: Cause.UTILISATION,
    FlexItem.NOT_DELIVERED: Cause.NOT_DELIVERED,
    FlexItem.SHORT_DELIVERY: Cause.SHORT_DELIVERY,
    FlexItem.LOST_AVAILABILITY: Cause.LOST_AVAILABILITY,
}


@dataclass(frozen=True, slots=True)
class MeasuredPayment:
    """A payment that follows from a measurement, and its entry of the ledger."""

    payment: Payment
    entry: LedgerEntry


def part_of(delivery: Delivery, parts: Sequence[Fraction]) -> Delivery:
    """Return the part of a delivery that has a part of each of its intervals, from 0 to 1."""

    def scaled(values: tuple[Fraction, ...]) -> tuple[Fraction, ...]:
        return tuple(value * part for value, part in zip(values, parts, strict=True))

    return replace(
        delivery,
        ordered_ws=scaled(delivery.ordered_ws),
        change_ws=scaled(delivery.change_ws),
        delivered_ws=scaled(delivery.delivered_ws),
        over_ws=scaled(delivery.over_ws),
        deficient_ws=scaled(delivery.deficient_ws),
        excused_ws=scaled(delivery.excused_ws),
    )


def activations_paid(
    metering: Metering, measured: Iterable[MeasuredOrder]
) -> Iterator[MeasuredPayment]:
    """Yield what is paid for each offer and buyer of each order."""
    for each in measured:
        given, penalties = each.given, metering.terms[each.given.product].penalties
        penalties = replace(penalties, least_delivered_share=Fraction(0))
        groups: dict[tuple[str, str, int], list[Award]] = defaultdict(list)
        for award in given.awards:
            groups[award.offer, award.buyer, award.price_ticks].append(award)
        for (offer, buyer, price), awards in groups.items():
            watts: dict[int, int] = defaultdict(int)
            for award in awards:
                watts[award.interval] += award.quantity_w
            parts = [Fraction(watts.get(t, 0), given.order.power_w) for t in given.intervals]
            call = Call(part_of(each.delivery, parts))
            agreement = FlexAgreement(
                offer,
                awards[0].provider,
                {buyer: 1},
                each.delivery.first,
                metering.per_kwh(price),
                penalties,
            )
            first = given.intervals.start
            yield from _payments(agreement, [call], first, max(watts.values()), price)


def availability_paid(
    metering: Metering, contracts: Iterable[FlexContract], measured: Sequence[MeasuredOrder]
) -> Iterator[MeasuredPayment]:
    """Yield what is paid for being available under contracts of products with terms."""
    for contract in contracts:
        terms = metering.terms[contract.product].penalties
        calls = [
            Call(each.delivery)
            for each in measured
            if each.given.order.resource == contract.resource
            and each.given.order.direction is contract.direction
            and set(each.given.intervals) & set(contract.intervals)
        ]
        first, day = contract.intervals[0], metering.day
        agreement = FlexAgreement(
            contract.name,
            contract.provider,
            {contract.buyer: 1},
            day.start + timedelta(seconds=day.interval_s * first),
            0,
            PenaltyTerms(least_delivered_share=terms.least_delivered_share),
            AvailabilityWindow(contract.quantity_w, contract.availability_ticks),
        )
        price = contract.availability_ticks
        yield from _payments(agreement, calls, first, contract.quantity_w, price)


def _payments(
    agreement: FlexAgreement, calls: Sequence[Call], first: int, watts: int, price: int
) -> Iterator[MeasuredPayment]:
    for each in settle(agreement, calls).entries:
        payer, payee, amount = each.entry.payer, each.entry.payee, each.entry.amount
        payment = Payment(
            _CAUSES[each.item],
            agreement.agreement_id,
            payer,
            payee,
            first,
            watts,
            price,
            amount,
            each.sentence,
        )
        yield MeasuredPayment(payment, each.entry)


def changes_w(measured: Iterable[MeasuredOrder]) -> Mapping[tuple[str, int], Fraction]:
    """Return by resource and interval the metered change of power of orders, upward positive."""
    found = {}
    for each in measured:
        given, delivery = each.given, each.delivery
        for t, change in zip(given.intervals, delivery.change_ws, strict=True):
            sign = int(given.order.direction.sign)
            found[given.order.resource, t] = sign * change / delivery.interval_s
    return found
