"""What ``flex-market`` computes: a case's orders arrive one by one, and what they lead to."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import numpy as np

from doe_allocation.procurement.choices import FlexDirection
from exchange.flexibility.flex_order import FlexMatch, FlexOrder
from exchange.flexibility.flexibility_market import FlexibilityMarket, PairwiseMarket
from exchange.flexibility.robust_flows import ROUNDING_W, RobustFlows
from exchange.flexibility.welfare_market import WelfareMarket
from exchange.vocabulary.flexibility import Matching
from gateway.flexibility.market_case import FlexMarketCase
from gateway.flexibility.market_result import (
    FlexFillRecord,
    FlexFlowRecord,
    FlexMarketFile,
    FlexMatchRecord,
    FlexRefusalRecord,
    FlexRestRecord,
)
from gateway.formats.linear.entries import MW

_MARKETS: dict[Matching, type[FlexibilityMarket]] = {
    Matching.WELFARE: WelfareMarket,
    Matching.PAIRWISE: PairwiseMarket,
}


def run_flex_market(case: FlexMarketCase, matching: Matching) -> FlexMarketFile:
    """Let the orders of a case arrive, and return what was matched, refused and left.

    The optimum over all orders at once is computed beside it.

    Raises
    ------
    ClearingError
        When the solver finds no matching.
    """
    market = _MARKETS[matching](case.network, case.set_points_w)
    before = {interval: flows.base_w for interval, flows in market.flows.items()}
    orders = _copies(case)
    outcomes = [market.submit(order) for order in orders]
    matches = [match for outcome in outcomes for match in outcome.matches]
    return FlexMarketFile(
        matching=matching.value,
        welfare=_money(sum(outcome.welfare for outcome in outcomes), case.tick),
        optimum=_money(_optimum(case), case.tick),
        matches=[_match(each, orders, case) for each in matches],
        refused=[
            FlexRefusalRecord(
                offer=case.names[each.offer_id],
                request=case.names[each.request_id],
                branch=each.branch,
            )
            for outcome in outcomes
            for each in outcome.refusals
        ],
        fills=[
            FlexFillRecord(
                order=case.names[each.order_id],
                quantity_mw=each.quantity_w / MW,
                amount=_money(each.amount, case.tick),
            )
            for outcome in outcomes
            for each in outcome.fills
        ],
        resting=[
            FlexRestRecord(order=case.names[each.order_id], left_mw=each.remaining_w / MW)
            for each in orders
            if each.remaining_w
        ],
        flows=[
            record
            for interval, flows in market.flows.items()
            for record in _flows(interval, flows, before[interval])
        ],
    )


def _copies(case: FlexMarketCase) -> list[FlexOrder]:
    """Return fresh orders: a market changes what is left of them."""
    return [replace(each) for each in case.orders]


def _optimum(case: FlexMarketCase) -> int:
    """Return the most welfare over all orders at once, in tick-watts."""
    market = WelfareMarket(case.network, case.set_points_w)
    return sum(each.gain_ticks * each.quantity_w for each in market.match_at_once(_copies(case)))


def _money(tick_watts: int, tick: Decimal) -> str:
    """Return an amount in the currency of the prices, which are per MW."""
    return f"{(Decimal(tick_watts) * tick / MW).normalize():f}"


def _match(match: FlexMatch, orders: list[FlexOrder], case: FlexMarketCase) -> FlexMatchRecord:
    offer, request = orders[match.offer_id - 1], orders[match.request_id - 1]
    buses = case.network.buses
    from_bus, to_bus = buses[request.bus], buses[offer.bus]
    if offer.direction is FlexDirection.DOWNWARD:
        from_bus, to_bus = to_bus, from_bus
    return FlexMatchRecord(
        offer=case.names[match.offer_id],
        request=case.names[match.request_id],
        interval=offer.interval or None,
        direction=offer.direction,
        conditional=request.conditional,
        from_bus=from_bus,
        to_bus=to_bus,
        quantity_mw=match.quantity_w / MW,
        gain=_money(match.gain_ticks * match.quantity_w, case.tick),
    )


def _flows(interval: str, flows: RobustFlows, before_w: np.ndarray) -> list[FlexFlowRecord]:
    network = flows.network
    columns = (network.lower_w, network.upper_w, before_w, flows.base_w)
    worst = (flows.least_w, flows.largest_w)
    return [
        FlexFlowRecord(
            interval=interval or None,
            branch=name,
            flow_min_mw=lower / MW,
            flow_max_mw=upper / MW,
            before_mw=first / MW,
            without_conditional_mw=base / MW,
            least_mw=least / MW,
            largest_mw=largest / MW,
            overloaded=bool(largest > upper + ROUNDING_W or least < lower - ROUNDING_W),
        )
        for name, lower, upper, first, base, least, largest in zip(
            network.branches, *(column.tolist() for column in (*columns, *worst)), strict=True
        )
    ]
