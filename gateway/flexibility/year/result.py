"""The totals of a year that ``flexibility-year`` writes."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

from exchange.vocabulary.formatting import format_eur
from gateway.flexibility.year.case import YearCase
from gateway.flexibility.year.days import (
    BOUGHT,
    COST,
    CURTAILED,
    HIGHEST,
    LOAD,
    MISSING,
    RENEWABLE,
    SHARE,
    UTILISATION,
    Row,
    balance_of,
    bought_of,
    key,
)
from gateway.formats.records import Finite, Record


class ShareTotals(Record):
    """All days at one share of renewable energy; energies and amounts are exact."""

    share: Finite
    days: int
    days_bought: int
    load_kwh: str
    renewable_kwh: str
    curtailed_kwh: str
    bought_kwh: str
    missing_kwh: str
    utilisation_eur: str
    cost_eur: str
    mean_eur_per_kwh: Finite | None
    highest_eur_per_kwh: str
    bought_kwh_of: dict[str, str]
    balances_eur: dict[str, str]


class FlexibilityYearResult(Record):
    """What ``flexibility-year`` writes beside the table of days."""

    source: str
    description: str
    shares: list[ShareTotals]


def totals(case: YearCase, rows: Sequence[Row]) -> FlexibilityYearResult:
    """Return the totals of a year's rows by share."""
    found = []
    for share in case.shares:
        text, _ = key(case, share, 0)
        found.append(_totals(case, share, [row for row in rows if row[SHARE] == text]))
    return FlexibilityYearResult(source=case.source, description=case.description, shares=found)


def _totals(case: YearCase, share: float, rows: Sequence[Row]) -> ShareTotals:
    day = case.market.day
    bought, paid = _sum(rows, BOUGHT), _sum(rows, UTILISATION)
    return ShareTotals(
        share=share,
        days=len(rows),
        days_bought=sum(Decimal(row[BOUGHT]) > 0 for row in rows),
        load_kwh=format_eur(_sum(rows, LOAD)),
        renewable_kwh=format_eur(_sum(rows, RENEWABLE)),
        curtailed_kwh=format_eur(_sum(rows, CURTAILED)),
        bought_kwh=format_eur(bought),
        missing_kwh=format_eur(_sum(rows, MISSING)),
        utilisation_eur=format_eur(paid),
        cost_eur=format_eur(_sum(rows, COST)),
        mean_eur_per_kwh=float(paid / bought) if bought else None,
        highest_eur_per_kwh=format_eur(
            max((Decimal(row[HIGHEST]) for row in rows), default=Decimal(0))
        ),
        bought_kwh_of={name: format_eur(_sum(rows, bought_of(name))) for name in day.resources},
        balances_eur={name: format_eur(_sum(rows, balance_of(name))) for name in day.parties},
    )


def _sum(rows: Sequence[Row], column: str) -> Decimal:
    return sum((Decimal(row[column]) for row in rows), Decimal(0))
