"""The result of ``flexibility-year``: a row for each share of renewable energy."""

from __future__ import annotations

from rich.console import Console

from gateway.flexibility.year.result import FlexibilityYearResult, ShareTotals
from gateway.terminal.console import escape, new_table

_MWH = 1e3  # kWh


def show_flexibility_year(content: FlexibilityYearResult, console: Console) -> None:
    """Print prices, volumes, curtailment and payments by share, and what each party gets."""
    console.print(escape(content.description), soft_wrap=True)
    count = f"days with purchases of {content.shares[0].days}"
    console.print(f"  {count}; energies in MWh, prices in EUR/kWh, cost in EUR")
    headings = ["days", "bought", "mean", "highest", "curtailed", "not met", "cost"]
    table = new_table("", ["share"], headings)
    for each in content.shares:
        mean = "-" if each.mean_eur_per_kwh is None else f"{each.mean_eur_per_kwh:.4f}"
        table.add_row(
            f"{each.share:g}",
            str(each.days_bought),
            _mwh(each.bought_kwh),
            mean,
            each.highest_eur_per_kwh,
            _mwh(each.curtailed_kwh),
            _mwh(each.missing_kwh),
            f"{float(each.cost_eur):,.2f}",
        )
    console.print(table)
    for each in content.shares:
        paid = ", ".join(f"{name} {amount}" for name, amount in each.balances_eur.items())
        sentence = f"share {each.share:g}: {_part(each):.2f} % curtailed; balances, EUR: {paid}"
        console.print(f"  {escape(sentence)}", soft_wrap=True)


def _mwh(kwh: str) -> str:
    return f"{float(kwh) / _MWH:,.3f}"


def _part(each: ShareTotals) -> float:
    """Return curtailed energy in per cent of what plants could generate."""
    return 100.0 * float(each.curtailed_kwh) / (float(each.renewable_kwh) or 1.0)
