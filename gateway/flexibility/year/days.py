"""What a day of a year costs and leaves, as a row of text."""

from __future__ import annotations

from collections.abc import Sequence

from exchange.flexibility.flex_offers.shift_phase import Shifted
from exchange.flexibility.products.day import run_day
from exchange.flexibility.products.flex_day import PhaseReport, Settled, SpotResult
from exchange.flexibility.products.payments import Cause
from gateway.flexibility.year.case import YearCase

Row = dict[str, str]

SHARE, DAY = "share", "day"
LOAD, RENEWABLE = "load_kwh", "renewable_kwh"
CURTAILED, BOUGHT, MISSING = "curtailed_kwh", "bought_kwh", "missing_kwh"
UTILISATION, COST, HIGHEST = "utilisation_eur", "cost_eur", "highest_eur_per_kwh"
FIXED = (
    SHARE,
    DAY,
    LOAD,
    RENEWABLE,
    CURTAILED,
    BOUGHT,
    MISSING,
    UTILISATION,
    COST,
    HIGHEST,
)
"""Columns of every table; after these come columns of resources and of parties."""


def bought_of(resource: str) -> str:
    """Return the column of what was bought of a resource."""
    return f"bought_kwh.{resource}"


def balance_of(party: str) -> str:
    """Return the column of a party's balance."""
    return f"balance_eur.{party}"


def columns(case: YearCase) -> tuple[str, ...]:
    """Return the columns of a year's rows."""
    day = case.market.day
    resources = (bought_of(name) for name in day.resources)
    return (*FIXED, *resources, *(balance_of(name) for name in day.parties))


def key(case: YearCase, share: float, day: int) -> tuple[str, str]:
    """Return share and date of a row as text."""
    return f"{share:.12g}", f"{case.start_of(day):%Y-%m-%d}"


def row_of(case: YearCase, share: float, number: int) -> Row:
    """Run a day at a share, and return its row.

    Raises
    ------
    ClearingError
        When the solver finds no best choice in a session.
    """
    units, day = case.market.units, case.day(share, number)
    reports = run_day(day)
    settled = reports[-1].result
    assert isinstance(settled, Settled)
    window = case.window(number)
    bought = {
        name: sum(abs(each) for each in settled.activated_w.get(name, ())) for name in day.resources
    }
    curtailed = sum(
        max(-each, 0) for own in case.plants for each in settled.activated_w.get(own.resource, ())
    )
    renewable = sum(int(own.power_w(share)[window].sum()) for own in case.plants)
    paid, highest = _utilisation(settled)
    cost = _availability(settled) + paid
    cells = (
        *key(case, share, number),
        units.kwh(int(case.load_w[window].sum())),
        units.kwh(renewable),
        units.kwh(curtailed),
        units.kwh(sum(bought.values())),
        units.kwh(missing(reports)),
        units.eur(paid),
        units.eur(cost),
        units.eur_per_kwh(highest),
        *(units.kwh(each) for each in bought.values()),
        *(units.eur(settled.balances.get(name, 0)) for name in day.parties),
    )
    return dict(zip(columns(case), cells, strict=True))


def _utilisation(settled: Settled) -> tuple[int, int]:
    """Return what buyers pay for activations, tick-watts, and the highest price of a kW."""
    paid = highest = 0
    for each in settled.payments:
        if each.cause in (Cause.UTILISATION, Cause.SHIFT):
            paid += each.amount if each.price_ticks >= 0 else -each.amount
            highest = max(highest, each.price_ticks)
    return paid, highest


def _availability(settled: Settled) -> int:
    """Return what buyers pay for availability, less penalties that they get, tick-watts."""
    sign = {Cause.AVAILABILITY: 1, Cause.PENALTY: -1}
    return sum(sign.get(each.cause, 0) * each.amount for each in settled.payments)


def missing(reports: Sequence[PhaseReport]) -> int:
    """Return what needs lack after the last session that reports them, watt-intervals."""
    left: dict[tuple[str, int], int] = {}
    for report in reports:
        result = report.result
        if isinstance(result, SpotResult):
            for award in result.cleared.awards:
                left.pop((award.need, award.interval), None)
            shortfalls = result.cleared.shortfalls
        elif isinstance(result, Shifted):
            left = {at: watts for at, watts in left.items() if at[0] not in result.needs}
            shortfalls = result.shortfalls
        else:
            continue
        left |= {(each.need, each.interval): each.missing_w for each in shortfalls}
    return sum(left.values())
