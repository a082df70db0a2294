"""The contracts of a hierarchy and the verdict of the joint model, as tables."""

from __future__ import annotations

from collections.abc import Iterable

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from doe_allocation.hierarchy.joint_model.quantities import (
    ACTIVE,
    BAND,
    CURRENT,
    GENERATION,
    REACTIVE,
    VOLTAGE,
)
from gateway.hierarchy.result_file import (
    HierarchyResult,
    JointModelRecord,
    OperatorRecord,
    WorstRecord,
)
from gateway.terminal.console import escape
from security_check.checking.verdict import quantity
from security_check.model.element import Element, State

_NAMED = 3  # elements named for each operator; further ones are counted
_KINDS = {
    VOLTAGE: "bus voltages",
    CURRENT: "branch currents",
    BAND: "interface voltages",
    ACTIVE: "interface powers",
    REACTIVE: "interface reactive powers",
    GENERATION: "limits of generators",
}


def show_hierarchy(content: HierarchyResult, console: Console) -> None:
    """Print each operator's contract, the elements at their limits, and unmet contracts."""
    console.print(_contracts(content.operators))
    console.print(_limits(content.operators))
    for unmet in content.unmet:
        console.print(f"[bold red]unmet:[/] {escape(unmet.detail)}", soft_wrap=True)
    if not content.unmet:
        console.print(f"all {len(content.operators)} contracts can be kept")
    if content.joined is not None:
        _show_joined(content.joined, len(content.operators), console)


def _contracts(operators: Iterable[OperatorRecord]) -> Table:
    """Return the contract at each interface, operators from the top down."""
    table = Table(
        title="Contracts: band in p.u., envelope in kW, reactive power in kvar",
        title_justify="left",
        box=None,
        pad_edge=False,
    )
    # Contracts are never cut off: rows wrap in a narrow terminal.
    table.add_column("operator", overflow="fold")
    table.add_column("below", overflow="fold")
    for column in ("from", "to", "injection", "withdrawal", "from", "to"):
        table.add_column(column, justify="right", overflow="fold")
    for each in operators:
        agreed = each.contract
        table.add_row(
            escape(each.operator),
            escape("" if each.parent is None else f"{each.parent} {each.connection_point}"),
            f"{agreed.voltage_min_pu:g}",
            f"{agreed.voltage_max_pu:g}",
            _kilo(agreed.injection_limit_w),
            _kilo(agreed.withdrawal_limit_w),
            _kilo(agreed.reactive_min_var),
            _kilo(agreed.reactive_max_var),
        )
    return table


def _limits(operators: Iterable[OperatorRecord]) -> Table:
    """Return the smallest limits of each operator's customers, and the elements that bind."""
    table = Table(
        title="\nSmallest limits of customers", title_justify="left", box=None, pad_edge=False
    )
    table.add_column("\noperator", no_wrap=True)
    table.add_column("\ncustomers", justify="right")
    for column in ("injection\nkW", "withdrawal\nkW"):
        table.add_column(column, justify="right", no_wrap=True)
    table.add_column("\nat their limits", overflow="fold")
    for each in operators:
        injection = [customer.injection_limit_w for customer in each.customers]
        withdrawal = [customer.withdrawal_limit_w for customer in each.customers]
        table.add_row(
            escape(each.operator),
            str(len(each.customers)),
            f"{min(injection) / 1e3:,.3f}" if injection else "",
            f"{min(withdrawal) / 1e3:,.3f}" if withdrawal else "",
            escape(_binding(each)),
        )
    return table


def _binding(operator: OperatorRecord) -> str:
    if not operator.met:
        published = "at the fallback" if operator.customers else "no envelopes"
        return f"the contract is unmet: {published}"
    names = list(dict.fromkeys(found.element for found in operator.binding))
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more


def _kilo(power: int | None) -> str:
    return "no limit" if power is None else f"{power / 1e3:,.1f}"


def _show_joined(joined: JointModelRecord, operators: int, console: Console) -> None:
    """Print the worst quantities of the joint model, and the verdict."""
    console.print("\nAll networks joined into one AC model, attacked")
    if joined.failure:
        console.print(f"[bold red]not secure:[/] {escape(joined.failure)}", soft_wrap=True)
        return
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    table.add_column("of")
    table.add_column("", justify="right")
    table.add_column("nearest to its limit", overflow="fold")
    table.add_column("customers that\ninject : withdraw", justify="right", no_wrap=True)
    for kind, words in _KINDS.items():
        found = [worst for worst in joined.worst if worst.kind == kind]
        if found:
            worst = max(found, key=lambda each: each.beyond)
            table.add_row(
                words,
                f"{sum(each.count for each in found):,}",
                escape(_reached(worst)),
                f"{worst.injecting} : {worst.withdrawing}",
            )
    console.print(table)
    for worst in joined.worst:
        if not worst.holds:
            console.print(f"[bold red]not secure:[/] {escape(_reached(worst))}", soft_wrap=True)
    console.print(_verdict(joined, operators), soft_wrap=True)


def _reached(worst: WorstRecord) -> str:
    element = Element(worst.element, State(outage=worst.outage))
    return (
        f"{worst.operator} {element} reaches {quantity(worst.value, worst.unit)} "
        f"of {quantity(worst.limit, worst.unit)}"
    )


def _verdict(joined: JointModelRecord, operators: int) -> str:
    """Return the verdict on all networks together, as a sentence."""
    counts = {kind: sum(w.count for w in joined.worst if w.kind == kind) for kind in _KINDS}
    outages = joined.outages
    after = (
        "the outage of " + outages[0] if len(outages) == 1 else f"each of {len(outages)} outages"
    )
    cases = f", with everything in service and after {after}" if outages else ""
    flows = (
        f"in {joined.power_flows:,} AC power flows over {joined.customers:,} customers{cases}; "
        f"pandapower agrees to {joined.disagreement_pu:.0e} p.u."
    )
    if not joined.holds:
        return f"[bold red]not secure[/]: found {flows}"
    return (
        f"[bold green]secure[/]: every one of {counts[VOLTAGE]:,} voltages and "
        f"{counts[CURRENT]:,} currents of {operators} operators is within its limits, every one of "
        f"{counts[BAND]:,} interface voltages within its contract, every interface power within "
        f"its envelope, {flows}"
    )
