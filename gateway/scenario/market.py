"""The market rules of a scenario: price and quantity steps, phases, curtailment, metering."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

from doe_allocation.allocation.curtailment import CurtailmentPolicy
from exchange.vocabulary.flexibility import FlexibilityRules
from exchange.vocabulary.rules import ExchangeRate, MarketRules, MeteringRules
from gateway.formats.faults import InvalidMessageError
from gateway.formats.prices import price_in_ticks
from gateway.scenario.schema import MarketSection, MeteringSection
from security_check.errors import Fault


def build_rules(
    market: MarketSection,
    metering: MeteringSection | None,
    flexibility: FlexibilityRules | None,
    faults: list[Fault],
) -> MarketRules:
    """Return the rules; adds a fault for each price that lies between two ticks.

    Parameters
    ----------
    market, metering
        The sections; without ``[metering]`` nothing is metered.
    flexibility
        The rules of the flexibility market; ``None`` where there is none.
    faults
        The list of faults; after a fault the rules must not be used.
    """
    tick = Decimal(market.tick)

    def ticks(name: str, price: str) -> int:
        try:
            return price_in_ticks(price, tick)
        except InvalidMessageError as unfit:
            faults.append(Fault(name, str(unfit)))
            return 0

    return MarketRules(
        tick=tick,
        lot_w=market.lot_w,
        exchange_rate=ExchangeRate(market.exchange_rate),
        reserve_price_ticks=ticks("market.reserve_price", market.reserve_price),
        curtailment=CurtailmentPolicy(market.curtailment),
        opening_auction=timedelta(minutes=market.opening_auction_minutes),
        closing_auction=timedelta(minutes=market.closing_auction_minutes),
        batch_every=None
        if market.batch_seconds is None
        else timedelta(seconds=market.batch_seconds),
        compensation_price_ticks=ticks("market.compensation_price", market.compensation_price),
        metering=None
        if metering is None
        else MeteringRules(
            penalty_price_ticks=ticks("metering.penalty_price", metering.penalty_price),
            tolerance_w=metering.tolerance_w,
            window=timedelta(hours=metering.window_hours),
        ),
        flexibility=flexibility,
    )
