"""The result of ``flex-market``, as tables and sentences."""

from __future__ import annotations

from rich.console import Console
from rich.text import Text

from gateway.flexibility.market_result import FlexMarketFile
from gateway.terminal.console import escape, new_table

_FULLEST = 5  # branches that are shown, of each result


def show_flex_market(content: FlexMarketFile, console: Console) -> None:
    """Print what was matched, what the network refused, and the fullest branches."""
    _show_matches(content, console)
    for each in content.refused:
        pair = f"{each.offer} for {each.request}"
        console.print(f"  refused: {escape(pair)}, {escape(each.branch)} is full", soft_wrap=True)
    _show_flows(content, console)
    over = [each for each in content.flows if each.overloaded]
    if over:
        names = ", ".join(f"{each.branch} {each.interval or ''}".strip() for each in over)
        console.print(f"  [bold red]overloaded:[/] {escape(names)}", soft_wrap=True)
    else:
        console.print("  no overload in any subset of the conditional requests")
    console.print(
        f"  welfare {content.welfare} by {content.matching} matching; "
        f"{content.optimum} over all orders at once"
    )


def _show_matches(content: FlexMarketFile, console: Console) -> None:
    with_interval = any(each.interval for each in content.matches)
    words = ["offer", "request", "way", "from", "to", "kind"]
    table = new_table("Matched", [*words, *(["interval"] * with_interval)], ["MW", "gain"])
    for each in content.matches:
        way = each.direction.value.removesuffix("ward")
        cells = [each.offer, each.request, way, each.from_bus, each.to_bus]
        cells.append("conditional" if each.conditional else "for good")
        if with_interval:
            cells.append(each.interval or "")
        table.add_row(*(Text(cell) for cell in cells), f"{each.quantity_mw:g}", each.gain)
    if not content.matches:
        table.add_row(Text("nothing", style="dim"))
    console.print(table)


def _show_flows(content: FlexMarketFile, console: Console) -> None:
    numbers = ["least\nMW", "largest\nMW", "limits\nMW", "free\nMW"]
    table = new_table("Fullest branches", ["branch", "interval"], numbers)
    by_room = sorted(
        content.flows,
        key=lambda each: min(each.flow_max_mw - each.largest_mw, each.least_mw - each.flow_min_mw),
    )
    for each in by_room[:_FULLEST]:
        room = min(each.flow_max_mw - each.largest_mw, each.least_mw - each.flow_min_mw)
        table.add_row(
            Text(each.branch),
            Text(each.interval or ""),
            f"{each.least_mw:.6g}",
            f"{each.largest_mw:.6g}",
            f"{each.flow_min_mw:g} to {each.flow_max_mw:g}",
            f"{room + 0.0:.6g}",
        )
    console.print(table)
