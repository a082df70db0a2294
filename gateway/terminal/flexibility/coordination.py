"""The result of ``coordinate``: one scheme in full, or all beside each other."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from gateway.flexibility.coordination_result import BuyerRecord, CoordinationFile, SchemeRecord
from gateway.terminal.console import escape, new_table, print_rest

_QUANTITIES = {
    "active": ("active power", "MW"),
    "reactive": ("reactive power", "Mvar"),
    "voltage": ("voltage", "p.u."),
}
_SHOWN = 12  # activations and overloads that are shown


def show_comparison(content: CoordinationFile, console: Console) -> None:
    """Print a row for each scheme: who pays, what is activated for whom, and what remains."""
    names = list(dict.fromkeys(b.buyer for s in content.schemes for b in s.buyers))
    paid = _by_scheme("Paid, EUR/h", ["all", *names])
    active = _by_scheme("Activated, MW up / down", names)
    rest = ["unserved\nMW", "limits\nexceeded", "price\nEUR/MWh", "told\nkB", "exchanges", "s"]
    other = _by_scheme("In the AC power flow, at interfaces, between operators", rest)
    for each in content.schemes:
        buyers = {buyer.buyer: buyer for buyer in each.buyers}
        pays = (buyers[name].pays_eur if name in buyers else "-" for name in names)
        paid.add_row(Text(_name(each)), each.cost_eur, *pays)
        power = (_up_down(buyers[name]) if name in buyers else "-" for name in names)
        active.add_row(Text(_name(each)), *power)
        other.add_row(
            Text(_name(each)),
            f"{each.unserved_mw:.3f}",
            str(len(each.overloads)),
            _prices(each),
            f"{each.told_bytes / 1e3:.1f}",
            str(each.iterations),
            f"{each.seconds:.1f}",
        )
    for table in (paid, active, other):
        console.print(table)
    for each in content.schemes:
        if each.overloads:
            worst = each.overloads[0]
            sentence = f"{_name(each)}: {worst.element} at {worst.value:.4f} of {worst.limit:.4f}"
            console.print(f"  {escape(sentence)} {worst.unit}", soft_wrap=True)
        if each.shortfall is not None and not each.shortfall.enough:
            _show_shortfall(f"{_name(each)}: ", each, console)


def _by_scheme(title: str, numbers: Sequence[str]) -> Table:
    """Return a table whose first column, the scheme, is not cut."""
    table = new_table(title, ["scheme"], numbers)
    table.columns[0].no_wrap = True
    return table


def _up_down(buyer: BuyerRecord) -> str:
    return f"{buyer.upward_mw:.2f} / {buyer.downward_mw:.2f}"


def show_scheme(content: CoordinationFile, console: Console) -> None:
    """Print one scheme: activations, interfaces, what was told, limits that stay exceeded."""
    (only,) = content.schemes
    _show_awards(only, console)
    _show_interfaces(only, console)
    _show_told(only, console)
    for end in only.ends:
        what, unit = _QUANTITIES[end.quantity]
        state = "no limit exceeded" if not end.overloads else f"{len(end.overloads)} exceeded"
        sentence = f"{end.operator}: {end.end} {what} {end.found:.4g} {unit} in AC"
        console.print(f"  {escape(sentence)} (linear {end.stated:.4g}), {state}", soft_wrap=True)
    for over in only.overloads[:_SHOWN]:
        sentence = f"{over.element} {over.value:.4f} {over.unit}, limit {over.limit:.4f}"
        console.print(f"  [bold red]exceeded:[/] {escape(sentence)}", soft_wrap=True)
    print_rest(len(only.overloads), _SHOWN, console)
    _show_shortfall("", only, console)
    before = len(content.overloads_before)
    settled = "" if only.settled else ", not settled: the best round"
    console.print(
        f"  cost {only.cost_eur} EUR/h; delivered {only.delivered_mw:+.3f} MW of "
        f"{only.wanted_mw:g} MW wanted, unserved {only.unserved_mw:.3f} MW; limits exceeded "
        f"{before} before, {len(only.overloads)} after; {only.rounds} linear models{settled}",
        soft_wrap=True,
    )


def _show_shortfall(prefix: str, scheme: SchemeRecord, console: Console) -> None:
    if scheme.shortfall is not None:
        console.print(f"  {escape(prefix + scheme.shortfall.detail)}", soft_wrap=True)


def _show_awards(scheme: SchemeRecord, console: Console) -> None:
    words = ["offer", "operator", "at", "way", "buyer"]
    table = new_table(f"Activated, {_name(scheme)}", words, ["MW", "price", "EUR/h"])
    most = sorted(scheme.awards, key=lambda award: -award.power_w)
    for each in most[:_SHOWN]:
        way = f"{each.direction}{' reactive' if each.reactive else ''}"
        cells = (each.offer, each.operator, each.connection_point, way, each.buyer)
        table.add_row(
            *(Text(cell) for cell in cells),
            f"{each.power_w / 1e6:.4f}",
            f"{each.price_eur_per_mwh:g}",
            each.amount_eur,
        )
    console.print(table)
    print_rest(len(most), _SHOWN, console)


def _show_interfaces(scheme: SchemeRecord, console: Console) -> None:
    numbers = ["MW before", "MW", "Mvar", "p.u.", "EUR/MWh", "EUR/Mvarh"]
    table = new_table("Interfaces", ["operator"], numbers)
    for each in scheme.interfaces:
        table.add_row(
            Text(each.operator),
            f"{each.active_before_mw:.3f}",
            f"{each.active_mw:.3f}",
            f"{each.reactive_mvar:.3f}",
            f"{each.voltage_pu:.4f}",
            _number(each.active_price_eur_per_mwh),
            _number(each.reactive_price_eur_per_mvarh),
        )
    console.print(table)


def _show_told(scheme: SchemeRecord, console: Console) -> None:
    table = new_table("Told", ["from", "to", "about", "fields"], ["messages", "bytes"])
    for each in scheme.told:
        fields = ", ".join(each.fields)
        cells = (each.sender, each.receiver, each.subject, fields)
        table.add_row(*(Text(cell) for cell in cells), str(each.messages), f"{each.bytes:,}")
    console.print(table)


def _name(scheme: SchemeRecord) -> str:
    return scheme.scheme if scheme.priority == "common" else f"{scheme.scheme}, {scheme.priority}"


def _prices(scheme: SchemeRecord) -> str:
    found = [each.active_price_eur_per_mwh for each in scheme.interfaces]
    return " / ".join(_number(each) for each in found)


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value + 0.0:.2f}"
