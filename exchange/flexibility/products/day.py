"""A day of a flexibility market: its phases, one after the other, on what earlier ones left."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from doe_allocation.coordination.messages import Message
from exchange.flexibility.flex_offers.shift_market import ShiftableOffer, ShiftRules
from exchange.flexibility.flex_offers.shift_messages import shift_messages
from exchange.flexibility.flex_offers.shift_phase import Shifted, shift
from exchange.flexibility.products import messages
from exchange.flexibility.products.forward import Contracted, ForwardRules, contract
from exchange.flexibility.products.network_needs import (
    Exceeded,
    ForecastRules,
    exceeded,
    needs_of,
)
from exchange.flexibility.products.obligation import Obliged, Withheld, oblige
from exchange.flexibility.products.payments import Payment, booked, payments_of
from exchange.flexibility.products.qualification import Competition, competition, qualify
from exchange.flexibility.products.session_market import Supply
from exchange.flexibility.products.sessions import Grid, Sold, SpotRules, of_session
from exchange.flexibility.products.spot import Cleared, clear
from exchange.flexibility.products.vocabulary import (
    FlexContract,
    FlexProduct,
    ForwardOffer,
    Need,
    Party,
    Refusal,
    Resource,
    Role,
    SpotOffer,
)


@dataclass(frozen=True, slots=True)
class QualificationRules:
    """A phase in which resources are tried against products."""

    name: str


@dataclass(frozen=True, slots=True)
class SettlementRules:
    """A phase in which everything that was sold is paid."""

    name: str


Phase = QualificationRules | ForecastRules | ForwardRules | SpotRules | ShiftRules | SettlementRules


@dataclass(frozen=True, slots=True)
class FlexDay:
    """A day as it is configured.

    Parameters
    ----------
    start, interval, count
        Its intervals.
    parties, products, resources, contracts
        By name; contracts are those that exist before the day.
    needs, forward_offers, offers
        What is wanted and offered.
    able_w
        What a resource can do in an interval, where that is less than usual.
    grid
        The network; ``None`` without one.
    phases
        In their order.
    shiftable
        Time-shiftable offers; the network's injections have their plans in them.
    """

    start: datetime
    interval: timedelta
    count: int
    parties: Mapping[str, Party]
    products: Mapping[str, FlexProduct]
    resources: Mapping[str, Resource]
    contracts: Mapping[str, FlexContract]
    needs: tuple[Need, ...]
    forward_offers: tuple[ForwardOffer, ...]
    offers: tuple[SpotOffer, ...]
    able_w: Mapping[tuple[str, int], int]
    grid: Grid | None
    phases: tuple[Phase, ...]
    shiftable: tuple[ShiftableOffer, ...] = ()

    @property
    def market(self) -> str:
        """Name of the market operator."""
        return next(each.name for each in self.parties.values() if each.role is Role.MARKET)

    def start_of(self, interval: int) -> datetime:
        """Return the start of an interval."""
        return self.start + interval * self.interval


@dataclass(frozen=True, slots=True)
class Qualified:
    """Reasons why resources do not qualify, by resource and product; and the competition."""

    reasons: Mapping[tuple[str, str], tuple[Refusal, ...]]
    competition: tuple[Competition, ...]


@dataclass(frozen=True, slots=True)
class Forecast:
    """What is beyond its limit in the forecast, and the needs that follow."""

    exceeded: tuple[Exceeded, ...]
    needs: tuple[Need, ...]


@dataclass(frozen=True, slots=True)
class Settled:
    """Payments, balances in tick-watts, and what each resource was activated by.

    ``activated_w`` has for each resource its change of power in each interval of the day, upward
    positive.  Baselines, meters and deficiencies start from it.
    """

    payments: tuple[Payment, ...]
    balances: Mapping[str, int]
    activated_w: Mapping[str, tuple[int, ...]]


@dataclass(frozen=True, slots=True)
class SpotResult:
    """A spot session: what obligations put in, offers that were refused, and the clearing."""

    obliged: Obliged
    refused: tuple[Refusal, ...]
    cleared: Cleared


Result = Qualified | Forecast | Contracted | SpotResult | Shifted | Settled


@dataclass(frozen=True, slots=True)
class PhaseReport:
    """What a phase did, and what was told in it."""

    phase: Phase
    result: Result
    messages: tuple[Message, ...]


@dataclass(slots=True)
class DayState:
    """What phases leave to later ones."""

    needs: list[Need]
    contracts: dict[str, FlexContract]
    sold: Sold = field(default_factory=Sold)
    withheld: dict[tuple[str, int], Withheld] = field(default_factory=dict)
    shifts: list[Payment] = field(default_factory=list)


def run_day(day: FlexDay) -> tuple[PhaseReport, ...]:
    """Run the phases of a day.

    Raises
    ------
    ClearingError
        When the solver finds no best choice in a session.
    """
    state = DayState(list(day.needs), dict(day.contracts))
    reports = []
    for phase in day.phases:
        result, told = _RUNNERS[type(phase)](day, state, phase)
        reports.append(PhaseReport(phase, result, tuple(told)))
    return tuple(reports)


_Outcome = tuple[Result, list[Message]]


def _qualification(day: FlexDay, state: DayState, rules: QualificationRules) -> _Outcome:
    reasons = {
        (resource.name, product.name): qualify(resource, product)
        for product in day.products.values()
        for resource in day.resources.values()
    }
    found = [
        each
        for product in day.products.values()
        for each in competition(list(day.resources.values()), product, state.needs)
    ]
    told = messages.qualification(day.market, day.resources.values(), reasons)
    return Qualified(reasons, tuple(found)), told


def _forecast(day: FlexDay, state: DayState, rules: ForecastRules) -> _Outcome:
    if day.grid is None:
        return Forecast((), ()), []
    found = exceeded(day.grid, range(day.count))
    needs = needs_of(rules, day.grid.operator, found)
    state.needs += needs
    return Forecast(found, needs), messages.requests(day.market, needs)


def _unqualified(day: FlexDay, resource: str, product: str, offer: str) -> list[Refusal]:
    """Return a refusal of an offer for each reason why its resource does not qualify."""
    found = qualify(day.resources[resource], day.products[product])
    return [Refusal(offer, each.reason, f"{resource}: {each.detail}") for each in found]


def _forward(day: FlexDay, state: DayState, rules: ForwardRules) -> _Outcome:
    needs = [
        each
        for each in state.needs
        if rules.name in each.sessions and of_session(rules.buyers, each.buyer)
    ]
    refused: list[Refusal] = []
    offers = []
    for offer in day.forward_offers:
        reasons = _unqualified(day, offer.resource, offer.product, offer.name)
        refused += reasons
        if not reasons:
            offers.append(offer)
    made = contract(
        rules, needs, offers, day.resources, day.products, list(state.contracts.values())
    )
    state.contracts |= {each.name: each for each in made.contracts}
    result = Contracted(made.contracts, made.missing_w, (*refused, *made.refused))
    told = messages.requests(day.market, needs)
    told += messages.forward_offers(day.market, offers, day.resources)
    return result, told + messages.contracts(day.market, made.contracts)


def _spot(day: FlexDay, state: DayState, rules: SpotRules) -> _Outcome:
    intervals = list(range(day.count)) if rules.intervals is None else list(rules.intervals)
    needs = [
        each
        for each in state.needs
        if of_session(each.sessions, rules.name) and of_session(rules.buyers, each.buyer)
    ]
    refused: list[Refusal] = []
    offers: list[SpotOffer] = []
    for offer in day.offers:
        if of_session(offer.sessions, rules.name):
            reasons = _unqualified(day, offer.resource, offer.product, offer.name)
            refused += reasons
            if not reasons:
                offers.append(offer)
    obliged = Obliged((), ())
    if rules.obligations:
        due = list(state.contracts.values())
        able_w = {
            (each.resource, t): 0
            for each in due
            for t in each.intervals
            if qualify(day.resources[each.resource], day.products[each.product])
        }
        obliged = oblige(due, offers, day.resources, {**day.able_w, **able_w}, intervals)
        new = [e for e in obliged.withheld if (e.contract, e.interval) not in state.withheld]
        state.withheld |= {(each.contract, each.interval): each for each in new}
        obliged = Obliged(obliged.inserted, tuple(new))
    made, offers = offers, [*obliged.inserted, *offers]
    supply = Supply(
        int(day.interval.total_seconds()),
        day.resources,
        day.products,
        state.contracts,
        needs,
        offers,
        day.able_w,
        state.sold,
        day.grid,
    )
    lacking = [each for each in needs if any(supply.needed_w(each, t) for t in intervals)]
    told = messages.requests(day.market, lacking)
    told += messages.offers(day.market, made, day.resources)
    if rules.within_network and day.grid is not None:
        told += messages.network_room(day.market, day.grid, supply, intervals)
    cleared = clear(rules, supply, intervals)
    told += messages.orders(day.market, cleared.awards)
    return SpotResult(obliged, tuple(refused), cleared), told


def _shift(day: FlexDay, state: DayState, rules: ShiftRules) -> _Outcome:
    needs = [
        each
        for each in state.needs
        if each.relief is not None
        and (each.product, each.buyer) == (rules.product, rules.buyer)
        and of_session(each.sessions, rules.name)
    ]
    refused: list[Refusal] = []
    offers = []
    for offer in day.shiftable:
        if offer.product == rules.product:
            reasons = _unqualified(day, offer.resource, offer.product, offer.name)
            refused += reasons
            if not reasons:
                offers.append(offer)
    seconds = int(day.interval.total_seconds())
    supply = Supply(
        seconds, day.resources, day.products, {}, needs, (), day.able_w, state.sold, day.grid
    )
    found = shift(rules, supply, offers, day.count)
    for move in found.moves:
        state.sold.move(move)
    for need, t, served_w in found.served_w:
        state.sold.of_need[need.name, t] += served_w
    state.shifts += found.payments
    result = replace(found, refused=(*refused, *found.refused))
    return result, [
        *messages.requests(day.market, needs),
        *shift_messages(day.market, result, day.resources),
    ]


def _settlement(day: FlexDay, state: DayState, rules: SettlementRules) -> _Outcome:
    """Pay contracts, activations as they were sold, and penalties for what was withheld."""
    found = payments_of(state.contracts.values(), state.sold.awards, state.withheld.values())
    found += state.shifts
    ledger = booked(found, day.start_of)
    names = dict.fromkeys(name for each in found for name in (each.payer, each.payee))
    balances = {name: ledger.balance(name) for name in names}
    activated = {
        name: tuple(
            sum(
                int(direction.sign) * watts
                for (own, direction, at), watts in state.sold.of_resource.items()
                if own == name and at == t
            )
            for t in range(day.count)
        )
        for name in dict.fromkeys(name for name, _, _ in state.sold.of_resource)
    }
    told = messages.settlements(day.market, found)
    return Settled(tuple(found), balances, activated), told


_RUNNERS: Mapping[type[Phase], Callable[..., _Outcome]] = {
    QualificationRules: _qualification,
    ForecastRules: _forecast,
    ForwardRules: _forward,
    SpotRules: _spot,
    ShiftRules: _shift,
    SettlementRules: _settlement,
}
"""What runs each kind of phase; a new kind has its rules, its function and its line here."""
