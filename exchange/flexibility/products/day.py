"""A day of a flexibility market: its phases, one after the other, on what earlier ones left."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

from doe_allocation.coordination.messages import Message
from exchange.clearing.problem import ClearingError
from exchange.flexibility.flex_offers.shift_market import ShiftRules
from exchange.flexibility.flex_offers.shift_messages import shift_messages
from exchange.flexibility.flex_offers.shift_phase import shift
from exchange.flexibility.measurement import telling
from exchange.flexibility.measurement.measuring import (
    Measured,
    MeasurementRules,
    measure,
)
from exchange.flexibility.measurement.monitoring import MonitoringRules, monitor
from exchange.flexibility.measurement.orders import (
    Activated,
    ActivationRules,
    give_orders,
)
from exchange.flexibility.measurement.settling import settle_day
from exchange.flexibility.products import messages
from exchange.flexibility.products.flex_day import (
    DayState,
    FlexDay,
    Forecast,
    Phase,
    PhaseReport,
    QualificationRules,
    Qualified,
    Result,
    Settled,
    SettlementRules,
    SpotResult,
)
from exchange.flexibility.products.forward import Contracted, ForwardRules, contract
from exchange.flexibility.products.network_needs import (
    ForecastRules,
    exceeded,
    needs_of,
)
from exchange.flexibility.products.obligation import Obliged, oblige
from exchange.flexibility.products.qualification import competition, qualify
from exchange.flexibility.products.rules.announcement import (
    AnnouncementRules,
    announce,
)
from exchange.flexibility.products.rules.ceilings import network_refusals
from exchange.flexibility.products.rules.order_times import has_arrived, out_of_time
from exchange.flexibility.products.rules.sharing import linked_orders, through_market
from exchange.flexibility.products.session_market import Supply
from exchange.flexibility.products.sessions import SpotRules, of_session
from exchange.flexibility.products.spot import clear
from exchange.flexibility.products.vocabulary import (
    FlexProduct,
    Refusal,
    Resource,
    Role,
    SpotOffer,
)


def run_day(day: FlexDay) -> tuple[PhaseReport, ...]:
    """Run the phases of a day.

    Raises
    ------
    ClearingError
        When the solver finds no best choice in a session, which the sentence names.
    BaselineError
        When a resource has no baseline.
    """
    state = DayState(list(day.needs), dict(day.contracts))
    reports = []
    for phase in day.phases:
        try:
            result, told = _RUNNERS[type(phase)](day, state, phase)
        except ClearingError as error:
            raise ClearingError(f"{phase.name}: {error}") from None
        reports.append(PhaseReport(phase, result, tuple(told)))
    return tuple(reports)


_Outcome = tuple[Result, list[Message]]


def _qualification(day: FlexDay, state: DayState, rules: QualificationRules) -> _Outcome:
    reasons = {
        (resource.name, product.name): tuple(_refusals(day, resource, product))
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


def _announcement(day: FlexDay, state: DayState, rules: AnnouncementRules) -> _Outcome:
    sessions = [each.name for each in day.phases if isinstance(each, ForwardRules | SpotRules)]
    wanted = rules.sessions or sessions
    needs = [
        each for each in state.needs if any(of_session(each.sessions, name) for name in wanted)
    ]
    resources = list(day.resources.values())
    found = announce(
        needs,
        resources,
        day.products.__getitem__,
        lambda resource, product: _refusals(day, resource, product),
        day.grid,
    )
    providers = [each.name for each in day.parties.values() if each.role is Role.PROVIDER]
    return found, messages.announcements(day.market, providers, needs)


def _forecast(day: FlexDay, state: DayState, rules: ForecastRules) -> _Outcome:
    if day.grid is None:
        return Forecast((), ()), []
    found = exceeded(day.grid, range(day.count))
    needs = needs_of(rules, day.grid.operator, found)
    state.needs += needs
    return Forecast(found, needs), messages.requests(day.market, needs)


def _refusals(day: FlexDay, resource: Resource, product: FlexProduct) -> list[Refusal]:
    """Return every reason why a resource does not qualify for a product."""
    members = [day.resources[each] for each in resource.members] or [resource]
    network = network_refusals(resource, members, product, day.ceilings, day.count)
    return [*qualify(resource, product), *network]


def _unqualified(day: FlexDay, resource: str, product: str, offer: str) -> list[Refusal]:
    """Return a refusal of an offer for each reason why its resource does not qualify."""
    found = _refusals(day, day.resources[resource], day.products[product])
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
        if of_session(offer.sessions, rules.name) and has_arrived(rules, offer):
            reasons = _unqualified(day, offer.resource, offer.product, offer.name)
            late = out_of_time(rules, offer)
            reasons += [] if late is None else [late]
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
        day.ceilings,
    )
    lacking = [each for each in needs if any(supply.needed_w(each, t) for t in intervals)]
    told = messages.requests(day.market, lacking)
    told += messages.offers(day.market, made, day.resources)
    if rules.within_network and day.grid is not None:
        told += messages.network_room(day.market, day.grid, supply, intervals)
    told += messages.ceilings(day.market, day.ceilings, intervals)
    cleared = clear(rules, supply, intervals)
    told += messages.orders(day.market, cleared.awards)
    several = {each.name for each in needs if rules.balanced or each.shares}
    linked = linked_orders([each for each in cleared.awards if each.need in several], needs)
    return SpotResult(obliged, tuple(refused), cleared, tuple(linked)), told


def _activation(day: FlexDay, state: DayState, rules: ActivationRules) -> _Outcome:
    if day.metering is None:
        return Activated(()), []
    product_of = {each.name: each.product for each in state.needs}
    given = give_orders(rules, day.metering, state.sold.awards, product_of, state.orders)
    state.orders += given
    return Activated(given), telling.orders(day.market, rules, given)


def _measurement(day: FlexDay, state: DayState, rules: MeasurementRules) -> _Outcome:
    if day.metering is None:
        return Measured(()), []
    state.measured = measure(day.metering, state.orders)
    return Measured(state.measured), telling.deliveries(day.market, state.measured)


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
    """Pay contracts, activations by delivery or as sold, and penalties for what was withheld."""
    awards, parts = through_market(state.sold.awards, state.needs, day.market)
    account = replace(state.account, awards=awards)
    found = settle_day(account, day.metering, day.start_of, [*parts, *state.shifts])
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
    told = messages.settlements(day.market, found.payments)
    return Settled(found.payments, found.balances, activated, found.notes), told


def _monitoring(day: FlexDay, state: DayState, rules: MonitoringRules) -> _Outcome:
    interval_s = int(day.interval.total_seconds())
    found = monitor(state.account, day.resources, interval_s, day.grid)
    return found, telling.reports(day.market, day.parties.values(), found)


_RUNNERS: Mapping[type[Phase], Callable[..., _Outcome]] = {
    QualificationRules: _qualification,
    AnnouncementRules: _announcement,
    ForecastRules: _forecast,
    ForwardRules: _forward,
    SpotRules: _spot,
    ActivationRules: _activation,
    MeasurementRules: _measurement,
    ShiftRules: _shift,
    SettlementRules: _settlement,
    MonitoringRules: _monitoring,
}
"""What runs each kind of phase; a new kind has its rules, its function and its line here."""
