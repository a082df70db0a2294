"""The contracts that two operators could agree on, as a table."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table

from gateway.hierarchy.contract_curve import CurveRecord, OfferRecord
from gateway.terminal.console import escape


def show_curve(curve: CurveRecord, console: Console) -> None:
    """Print the contracts as a table, and the default choice."""
    title = f"Contracts that {curve.parent} and {curve.child} could agree on"
    table = Table(title=title, title_justify="left", box=None, pad_edge=False)
    table.add_column("band\np.u.", no_wrap=True)
    for column in (
        "injection\nkW",
        "withdrawal\nkW",
        f"smallest limit below\n{curve.child}, kW",
        f"of others at\n{curve.parent}, kW",
    ):
        table.add_column(column, justify="right")
    for offer in curve.offers:
        if offer.refused_by is None:
            style = "bold green" if offer.chosen else None
            table.add_row(*_cells(offer), style=style)
    console.print(table)
    refused: dict[str, int] = {}
    for offer in curve.offers:
        if offer.refused_by is not None:
            refused[offer.refused_by] = refused.get(offer.refused_by, 0) + 1
    for operator, count in refused.items():
        console.print(f"{escape(operator)} refuses {count} more of {len(curve.offers)} bands")
    chosen = next((offer for offer in curve.offers if offer.chosen), None)
    if chosen is None:
        console.print("[bold red]no band can be kept by both operators[/]")
        for offer in curve.offers[-1:]:
            console.print(escape(f"{_band(offer)}: {offer.refused_by}: {offer.detail}"))
        return
    console.print(
        f"the default choice, max-min over both sides: {_band(chosen)} p.u.", soft_wrap=True
    )


def _cells(offer: OfferRecord) -> list[str]:
    contract, others = offer.contract, offer.others_smallest_w
    assert contract.injection_limit_w is not None  # a child's contract has both limits
    assert contract.withdrawal_limit_w is not None
    return [
        f"{_band(offer)}{' *' if offer.best else ''}",
        f"{contract.injection_limit_w / 1e3:,.1f}",
        f"{contract.withdrawal_limit_w / 1e3:,.1f}",
        f"{offer.child_smallest_w / 1e3:,.3f}",
        "no others" if others is None else f"{others / 1e3:,.3f}",
    ]


def _band(offer: OfferRecord) -> str:
    return f"{offer.contract.voltage_min_pu:.4f} to {offer.contract.voltage_max_pu:.4f}"
