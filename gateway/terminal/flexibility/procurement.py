"""The result of ``procure``, as tables and sentences."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from doe_allocation.procurement.choices import FlexDirection
from gateway.flexibility.procurement_result import OutcomeRecord, ProcuredCase, ProcurementFile
from gateway.terminal.console import escape, new_table

_ROUNDED = 1.0 + 1e-7  # times a limit: more than this is above it
_SHOWN_KW = 5e-4  # less is not shown
_WAYS = {FlexDirection.UPWARD: "up", FlexDirection.DOWNWARD: "down"}
_SIGNS = {FlexDirection.UPWARD: "+", FlexDirection.DOWNWARD: "-"}


def show_procurement(content: ProcurementFile, console: Console) -> None:
    """Print each case: what is activated and why, voltages and currents, the verification.

    Of a case with intervals a table over time.
    """
    if content.interval_minutes is not None:
        for name in dict.fromkeys(each.case for each in content.cases):
            own = [each for each in content.cases if each.case == name]
            console.print(f"[bold]Case {escape(name)}[/]")
            _show_day(own, content.interval_minutes, console)
        return
    for each in content.cases:
        console.print(f"[bold]Case {escape(each.case)}[/]")
        if each.outcome is None:
            _show_shortfall(each, console)
        else:
            _show_outcome(each.outcome, console)


def _show_shortfall(case: ProcuredCase, console: Console) -> None:
    detail = "" if case.shortfall is None else case.shortfall.detail
    console.print(
        f"  [bold red]no activation keeps all limits:[/] {escape(detail)}", soft_wrap=True
    )


def _show_outcome(outcome: OutcomeRecord, console: Console) -> None:
    _show_activated(outcome, console)
    _show_binding(outcome, console)
    _show_branches(outcome, console)
    _show_buses(outcome, console)
    for sentence in _sentences(outcome):
        console.print(f"  {escape(sentence)}", soft_wrap=True)
    if not outcome.ac_secure:
        console.print("  [bold red]not secure in AC power flow[/]: --ac-exact activates what is")


def _show_activated(outcome: OutcomeRecord, console: Console) -> None:
    shown = [each for each in outcome.activated if max(each.activated_kw, each.tso_kw) > _SHOWN_KW]
    if not shown:
        return
    with_tso = outcome.tso is not None
    numbers = [
        "offered\nkW",
        "active\nkW",
        "cost\nEUR/h",
        "TSO\nkW" if with_tso else "relief\nper kW",
    ]
    table = _table("Activated", ["resource", "bus", "way", "because of"], numbers)
    for each in shown:
        cells = [
            f"{each.offered_kw:,.1f}",
            f"{each.activated_kw:,.3f}",
            f"{each.cost_eur_per_h:,.2f}",
        ]
        if with_tso:
            cells.append(f"{each.tso_kw:,.3f}")
        else:
            cells.append(f"{each.relief_per_kw:.4f}" if each.because else "-")
        words = (each.resource, each.bus, _WAYS[each.direction], each.because or "-")
        table.add_row(*map(escape, words), *cells)
    console.print(table)


def _show_binding(outcome: OutcomeRecord, console: Console) -> None:
    if not outcome.binding:
        return
    numbers = ["limit", "robust", "AC worst", "AC %", "worth of 1\nEUR/h"]
    table = _table("Binding", ["element", "quantity"], numbers)
    for each in outcome.binding:
        table.add_row(
            escape(each.element),
            each.quantity,
            f"{each.limit:g} {each.unit}",
            f"{each.robust:.6g}",
            f"{each.ac_worst:.6g}",
            f"{each.ac_percent:.2f}",
            f"{each.shadow_price_eur_per_h:.4g}",
        )
    console.print(table)


def _show_branches(outcome: OutcomeRecord, console: Console) -> None:
    names = ["limit", "before", "robust", "AC", "after", "robust", "AC"]
    table = _table("Currents, A, and the worst ones: robust and AC", ["branch"], names)
    for each in outcome.branches:
        numbers = (
            each.before_a,
            each.robust_before_a,
            each.ac_worst_before_a,
            each.after_a,
            each.robust_after_a,
            each.ac_worst_after_a,
        )
        limit = "-" if each.limit_a is None else f"{each.limit_a:g}"
        table.add_row(escape(each.element), limit, *(f"{number:,.2f}" for number in numbers))
    console.print(table)


def _show_buses(outcome: OutcomeRecord, console: Console) -> None:
    names = ["before", "lowest", "highest", "after", "lowest", "highest"]
    table = _table("Voltages, p.u., and the worst ones in AC", ["bus"], names)
    for each in outcome.buses:
        numbers = (
            each.before_pu,
            each.ac_lowest_before_pu,
            each.ac_highest_before_pu,
            each.after_pu,
            each.ac_lowest_after_pu,
            each.ac_highest_after_pu,
        )
        table.add_row(escape(each.element), *(f"{number:.4f}" for number in numbers))
    console.print(table)


def _table(title: str, words: Sequence[str], numbers: Sequence[str]) -> Table:
    """Return a table whose names are not cut."""
    table = new_table(title, words, numbers)
    for column in table.columns:
        column.no_wrap, column.overflow = True, "fold"
    return table


def _sentences(outcome: OutcomeRecord) -> list[str]:
    found = [
        f"Activated: {outcome.activated_kw:,.3f} kW for {outcome.cost_eur_per_h:,.3f} EUR/h."
        if outcome.activated_kw > _SHOWN_KW
        else "Nothing has to be activated."
    ]
    if outcome.tso is not None:
        found.append(
            f"For the TSO: {outcome.tso.available_kw:,.3f} kW {outcome.tso.direction.value}, which "
            f"change the interface's power by {outcome.tso.interface_change_kw:+,.3f} kW."
        )
    if outcome.polygon is not None and outcome.polygon.given_away_a > 0.0:
        polygon = outcome.polygon
        found.append(
            f"The polygon of {polygon.planes} planes gives away {polygon.given_away_a:.3f} A "
            f"({polygon.given_away_percent:.2f} %): the circle needs "
            f"{polygon.circle_activated_kw:,.3f} kW."
        )
    if outcome.rounds:
        found.append(f"Iterated to AC exactness in {outcome.rounds} linear programmes.")
    attack = outcome.adversary_after
    if attack is not None:
        found.append(
            f"The adversary finds {attack.element} at {attack.value:.6g} of {attack.limit:g} "
            f"{attack.unit}, {attack.percent:.2f} %, in {attack.points_tried:,} AC power flows."
        )
    found += [
        f"{each.element} is limited at its from end; at the other it reaches "
        f"{each.other_end_ac_worst_after_a:.3f} of {each.limit_a:g} A."
        for each in outcome.branches
        if each.limit_a is not None and each.other_end_ac_worst_after_a > each.limit_a * _ROUNDED
    ]
    found.append(
        "The AC worst case exceeds the linear bound by at most "
        f"{outcome.linearisation_error_a:.4f} A and {outcome.linearisation_error_pu:.6f} p.u."
    )
    return found


def _show_day(intervals: Sequence[ProcuredCase], minutes: int, console: Console) -> None:
    """Print the intervals with a need or an activation, and the sums of the day."""
    numbers = ["worst", "limit", "active\nkW", "EUR/h", "AC\n%"]
    table = new_table("Needs and activations", ["from", "needs", "activated, kW"], numbers)
    for column in table.columns[:2]:
        column.no_wrap = True
    for each in intervals:
        if each.needs or each.outcome is None or each.outcome.activated_kw > _SHOWN_KW:
            table.add_row(*map(Text, _day_row(each)))
    if table.row_count:
        console.print(table)
    for each in intervals:
        if each.shortfall is not None:
            detail = f"[bold red]no activation at {each.interval}:[/] "
            console.print(f"  {detail}{escape(each.shortfall.detail)}", soft_wrap=True)
    for sentence in _day_sentences(intervals, minutes):
        console.print(f"  {escape(sentence)}", soft_wrap=True)


def _day_row(each: ProcuredCase) -> tuple[str, ...]:
    first = each.needs[0] if each.needs else None
    more = f" +{len(each.needs) - 1}" if len(each.needs) > 1 else ""
    need = ("-", "-", "-") if first is None else (
        first.element + more, f"{first.value:.6g}", f"{first.limit:g} {first.unit}"
    )  # fmt: skip
    outcome = each.outcome
    if outcome is None:
        return each.interval or "", need[0], "none", *need[1:], "-", "-", "-"
    return (
        each.interval or "",
        need[0],
        ", ".join(_by_resource(outcome)) or "-",
        *need[1:],
        f"{outcome.activated_kw:,.3f}",
        f"{outcome.cost_eur_per_h:,.2f}",
        "-" if outcome.adversary_after is None else f"{outcome.adversary_after.percent:.2f}",
    )


def _by_resource(outcome: OutcomeRecord) -> list[str]:
    """Return what each resource activates, its steps together."""
    by_resource: dict[str, float] = {}
    for each in outcome.activated:
        name = f"{each.resource} {_SIGNS[each.direction]}"
        by_resource[name] = by_resource.get(name, 0.0) + each.activated_kw
    return [f"{name}{kw:.1f}" for name, kw in by_resource.items() if kw > _SHOWN_KW]


def _day_sentences(intervals: Sequence[ProcuredCase], minutes: int) -> list[str]:
    outcomes = [each.outcome for each in intervals if each.outcome is not None]
    hours, count = minutes / 60.0, len(intervals)
    energy = sum(each.activated_kw for each in outcomes) * hours
    cost = sum(each.cost_eur_per_h for each in outcomes) * hours
    needing = sum(bool(each.needs) for each in intervals)
    found = [
        f"{needing} of {count} intervals have a need; activated: {energy:,.3f} kWh for "
        f"{cost:,.2f} EUR."
    ]
    tso = [each.tso.available_kw for each in outcomes if each.tso is not None]
    if tso:
        found.append(f"For the TSO: {min(tso):,.3f} to {max(tso):,.3f} kW.")
    open_ = [each for each in intervals if each.outcome is not None and not each.outcome.ac_secure]
    if open_:
        names = ", ".join(each.interval or "" for each in open_)
        found.append(f"Not secure in AC power flow at {names}: --ac-exact activates what is.")
    return found
