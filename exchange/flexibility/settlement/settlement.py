"""The entries of an agreement: availability, utilisation, deficiency and penalties.

Amounts in tick-watts; ``[x]`` is the nearest whole number, taken once for each amount:

- availability ``price per kW x reserved watts``, from the buyers
- utilisation ``[price per kWh x ordered energy]``, from the buyers
- deficiency: what was not delivered is paid back at the utilisation price, and what was neither
  available nor forbidden by the envelope at the availability price
- penalties ``[penalty price x penalised energy]`` and ``penalty price x missing watts``
- lost availability: after an activation below the least delivered share, the provider pays back
  what it still has of the availability, once for the window

Each amount is divided among the buyers by their weights, by largest remainder.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from fractions import Fraction

from exchange.accounts.ledger import Ledger, LedgerEntry, Purpose
from exchange.flexibility.largest_remainder import shared
from exchange.flexibility.settlement.agreement import Call, FlexAgreement, check_buyers
from exchange.flexibility.settlement.amounts import SECONDS_PER_HOUR, energy_amount


class FlexItem(StrEnum):
    """What an amount is for, more finely than the ledger has it."""

    AVAILABILITY = "availability"
    UTILISATION = "utilisation"
    NOT_DELIVERED = "not delivered"
    NOT_AVAILABLE = "not available"
    SHORT_DELIVERY = "penalty for short delivery"
    SHORT_AVAILABILITY = "penalty for short availability"
    LOST_AVAILABILITY = "lost availability"

    @property
    def purpose(self) -> Purpose:
        """The purpose in the ledger."""
        return _PURPOSES[self]

    @property
    def by_provider(self) -> bool:
        """Whether the provider pays."""
        return self not in (FlexItem.AVAILABILITY, FlexItem.UTILISATION)


_PURPOSES = {
    FlexItem.AVAILABILITY: Purpose.AVAILABILITY,
    FlexItem.UTILISATION: Purpose.UTILISATION,
    FlexItem.NOT_DELIVERED: Purpose.DEFICIENCY,
    FlexItem.NOT_AVAILABLE: Purpose.DEFICIENCY,
    FlexItem.SHORT_DELIVERY: Purpose.PENALTY,
    FlexItem.SHORT_AVAILABILITY: Purpose.PENALTY,
    FlexItem.LOST_AVAILABILITY: Purpose.PENALTY,
}


@dataclass(frozen=True, slots=True)
class ExplainedEntry:
    """An entry of the ledger with the numbers it follows from.

    Parameters
    ----------
    entry
        The entry: one buyer and the provider.
    item
        What it is for.
    agreement_id, activation_id
        Ids; the second is ``""`` for availability.
    total
        The amount of all buyers together, tick-watts.
    weight, weights
        The buyer's weight, and those of all buyers together.
    sentence
        How the total follows from quantity and price.
    """

    entry: LedgerEntry
    item: FlexItem
    agreement_id: str
    activation_id: str
    total: int
    weight: int
    weights: int
    sentence: str


@dataclass(frozen=True, slots=True)
class FlexStatement:
    """What one account pays and receives under some agreements, tick-watts.

    ``balance`` is in its favour: what it receives less what it pays.
    """

    name: str
    entries: tuple[ExplainedEntry, ...]
    balance: int

    def sentences(self) -> list[str]:
        """Return one sentence for each amount."""
        found = []
        for each in self.entries:
            pays = each.entry.payer == self.name
            verb = "pays" if pays else "receives"
            other = f"to {each.entry.payee}" if pays else f"from {each.entry.payer}"
            part = "" if each.weight == each.weights else f" ({each.weight}/{each.weights} of it)"
            found.append(
                f"{self.name} {verb} {each.entry.amount} tick-watts {other}{part}. {each.sentence}"
            )
        return found


@dataclass(frozen=True, slots=True)
class FlexSettlement:
    """All entries of some agreements."""

    entries: tuple[ExplainedEntry, ...]

    def book(self, ledger: Ledger) -> None:
        """Book all entries."""
        for each in self.entries:
            ledger.book(each.entry)

    def names(self) -> list[str]:
        """Return the names of all accounts, sorted."""
        return sorted({n for each in self.entries for n in (each.entry.payer, each.entry.payee)})

    def statement(self, name: str) -> FlexStatement:
        """Return the statement of one account; it is empty without entries."""
        mine = tuple(each for each in self.entries if name in (each.entry.payer, each.entry.payee))
        moved = (e.entry.amount if e.entry.payee == name else -e.entry.amount for e in mine)
        return FlexStatement(name, mine, sum(moved))

    def total(self, item: FlexItem) -> int:
        """Return the amount of one item, in the direction in which it is usually paid."""
        totals = {
            (each.agreement_id, each.activation_id): each.total
            for each in self.entries
            if each.item is item
        }
        return sum(totals.values())


def settled(settlements: Iterable[FlexSettlement]) -> FlexSettlement:
    """Return several settlements as one."""
    return FlexSettlement(tuple(each for one in settlements for each in one.entries))


def settle(agreement: FlexAgreement, calls: Sequence[Call] = ()) -> FlexSettlement:
    """Return the entries of an agreement and of all activations under it in its window.

    Raises
    ------
    ValueError
        When an activation is named twice, or the buyers of one are wrong.
    """
    entries: list[ExplainedEntry] = []
    held = _availability(agreement, entries)
    seen: set[str] = set()
    short: list[Call] = []
    for call in calls:
        name = call.delivery.activation_id
        if name in seen:
            raise ValueError(f"{agreement.agreement_id}: {name} is settled twice")
        seen.add(name)
        _utilisation(agreement, call, entries)
        if call.delivery.delivered_share < agreement.penalties.least_delivered_share:
            short.append(call)
    if short and held:
        worst = min((call.delivery for call in short), key=lambda each: each.delivered_share)
        least = agreement.penalties.least_delivered_share
        _add(
            entries,
            agreement,
            FlexItem.LOST_AVAILABILITY,
            held,
            f"Of {worst.activation_id}, {_percent(worst.delivered_share)} was delivered or "
            f"excused; below {_percent(least)} the availability of the window is lost.",
        )
    return FlexSettlement(tuple(entries))


def _availability(agreement: FlexAgreement, entries: list[ExplainedEntry]) -> int:
    """Add what is paid for availability; return what the provider keeps of it."""
    window = agreement.availability
    if window is None:
        return 0
    paid = window.reserved_w * window.price_ticks
    back = window.missing_w * window.price_ticks
    _add(
        entries,
        agreement,
        FlexItem.AVAILABILITY,
        paid,
        f"{window.reserved_w} W are reserved at {window.price_ticks} ticks/kW.",
    )
    missing = (
        f"{window.missing_w} of {window.reserved_w} W were not available, "
        f"{window.forbidden_w} W were forbidden by the envelope and are excused"
    )
    _add(
        entries,
        agreement,
        FlexItem.NOT_AVAILABLE,
        back,
        f"{missing}; at {window.price_ticks} ticks/kW this is paid back.",
    )
    price = agreement.penalties.availability_price_ticks
    _add(
        entries,
        agreement,
        FlexItem.SHORT_AVAILABILITY,
        window.missing_w * price,
        f"{missing}; the penalty is {price} ticks/kW.",
    )
    return paid - back


def _utilisation(agreement: FlexAgreement, call: Call, entries: list[ExplainedEntry]) -> None:
    delivery, price = call.delivery, agreement.utilisation_price_ticks
    name, buyers = delivery.activation_id, call.buyers
    if buyers is not None:
        check_buyers(name, agreement.provider, buyers)
    ordered, deficient = delivery.ordered, delivery.deficient
    _add(
        entries,
        agreement,
        FlexItem.UTILISATION,
        energy_amount(ordered, price),
        f"{name} orders {_wh(ordered)} at {price} ticks/kWh.",
        name,
        buyers,
    )
    _add(
        entries,
        agreement,
        FlexItem.NOT_DELIVERED,
        energy_amount(deficient, price),
        f"Of {name}, {_wh(deficient)} of {_wh(ordered)} were not delivered; at {price} ticks/kWh "
        "this is paid back.",
        name,
        buyers,
    )
    terms = agreement.penalties
    penalised = delivery.penalised_ws(terms.tolerance)
    _add(
        entries,
        agreement,
        FlexItem.SHORT_DELIVERY,
        energy_amount(penalised, terms.energy_price_ticks),
        f"Of {name}, {_wh(deficient)} were not delivered and {_wh(delivery.excused)} of these "
        f"forbidden by the envelope; {_wh(penalised)} are beyond the tolerance of "
        f"{_percent(terms.tolerance)} in each interval, at {terms.energy_price_ticks} ticks/kWh.",
        name,
        buyers,
    )


def _add(
    entries: list[ExplainedEntry],
    agreement: FlexAgreement,
    item: FlexItem,
    total: int,
    sentence: str,
    activation_id: str = "",
    buyers: Mapping[str, int] | None = None,
) -> None:
    """Add the entries of an amount, one for each buyer; none where it is 0."""
    weights = agreement.buyers if buyers is None else buyers
    for buyer, part in shared(total, weights).items():
        if not part:
            continue
        # A negative amount goes the other way: no entry is below 0.
        provider_pays = item.by_provider is (part > 0)
        payer, payee = (agreement.provider, buyer) if provider_pays else (buyer, agreement.provider)
        entry = LedgerEntry(agreement.window, item.purpose, payer, payee, abs(part))
        entries.append(
            ExplainedEntry(
                entry,
                item,
                agreement.agreement_id,
                activation_id,
                total,
                weights[buyer],
                sum(weights.values()),
                sentence,
            )
        )


def _wh(energy_ws: Fraction) -> str:
    """Return an energy in words, exactly."""
    hours = energy_ws / SECONDS_PER_HOUR
    return f"{hours} Wh" if hours.denominator == 1 else f"{hours.numerator}/{hours.denominator} Wh"


def _percent(part: Fraction) -> str:
    return f"{float(100 * part):.6g} %"
