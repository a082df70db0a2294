"""Envelopes and verdicts, printed for people."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import datetime

from rich.console import Console
from rich.table import Table

from exchange.vocabulary.formatting import format_time
from gateway.formats.envelope_file import (
    NOT_REACHED,
    BindingRecord,
    EnvelopeRecord,
    IntervalRecord,
    IntervalStatus,
    ProofRecord,
    fairness_gap,
)
from gateway.runs.verdict_file import IntervalVerdict, VerdictFile
from gateway.terminal.console import escape, new_table, print_rest
from security_check.model.envelope import Direction

SHOWN = 100  # rows of a table; a file has them all


def kilowatts(power_w: float) -> str:
    """Return a power in kW with three decimals (watts), for example ``6.907``."""
    return f"{power_w / 1e3:,.3f}"


def show_envelopes(
    first: Sequence[IntervalRecord], starts: Sequence[datetime], console: Console
) -> None:
    """Print the envelopes of one interval, or one line for each of several.

    Parameters
    ----------
    first
        The envelopes of the first ``SHOWN`` intervals.
    starts
        Starts of all intervals.
    """
    if len(starts) == 1:
        _show_interval(first[0], console)
    else:
        _show_intervals(first, starts, console)


def _show_interval(interval: IntervalRecord, console: Console) -> None:
    if interval.status is IntervalStatus.NONE:
        return  # the command prints why
    table = new_table("Envelopes", ("connection point",))
    for direction in Direction:
        table.add_column(f"{direction} limit\nkW", justify="right")
        table.add_column("limited by\n")
    for envelope in interval.envelopes[:SHOWN]:
        table.add_row(
            envelope.connection_point,
            kilowatts(envelope.injection_limit_w),
            envelope.injection_bottleneck,
            kilowatts(envelope.withdrawal_limit_w),
            envelope.withdrawal_bottleneck,
        )
    console.print(table)
    print_rest(len(interval.envelopes), SHOWN, console)
    _show_reasons(interval.envelopes, interval.binding, interval.proof, console)
    if interval.fairness:
        console.print(escape(fairness_line(interval.fairness)), soft_wrap=True)


def fairness_line(reached: str) -> str:
    """Return one line: the rule of fairness that the limits follow, or how far they are from it."""
    if reached == NOT_REACHED:
        return "fairness: not reached; the limits are secure, but some could be fairer"
    if fairness_gap(reached):
        return f"fairness: {reached}: no limit could rise by more without lowering a smaller one"
    return f"fairness: {reached.replace('_', ' ')}"


def _show_reasons(
    envelopes: Sequence[EnvelopeRecord],
    binding: Sequence[BindingRecord],
    proof: ProofRecord | None,
    console: Console,
) -> None:
    """Print the elements that limit envelopes, each element at its limit, and the proof."""
    if envelopes:
        for direction in Direction:
            console.print(escape(summary(envelopes, direction)), soft_wrap=True)
    for found in binding:
        console.print(f"  {escape(found.detail)}; {escape(found.proof)}", soft_wrap=True)
    if proof is not None:
        console.print(proof_line(proof), soft_wrap=True)


def summary(envelopes: Sequence[EnvelopeRecord], direction: Direction) -> str:
    """Return one line: smallest, mean and largest limit, and the element that limits most."""
    limits = limits_w(envelopes, direction)
    binding = [each for each in bottlenecks(envelopes, direction).most_common() if each[0]]
    element = ""
    if binding:
        name, count = binding[0]
        element = f"; limited by {name}: {count} of {len(limits)} customers"
    return (
        f"{direction:>10}: {kilowatts(min(limits))} to {kilowatts(max(limits))} kW, "
        f"mean {kilowatts(sum(limits) / len(limits))} kW{element}"
    )


def proof_line(proof: ProofRecord) -> str:
    """Return one line: the number of monitored quantities that are proved, by kind of proof."""
    rows = proof.proved + proof.proved_below_limit + proof.proved_within_gap + proof.only_checked
    word = "all" if proof.secure else f"{proof.proved + proof.proved_below_limit} of"
    reason = f" ({proof.reason})" if proof.reason else ""
    attacked = ""
    if proof.points_tried:
        attacked = f"; an adversary refuted none of them in {proof.points_tried:,} power flows"
    return (
        f"{word} {rows:,} monitored quantities are proved secure over the whole box: "
        f"{proof.proved:,} at their worst vertex, {proof.proved_below_limit:,} below their limits; "
        f"{proof.proved_within_gap:,} proved within a gap, {proof.only_checked:,} only checked"
        f"{reason}{attacked}"
    )


def limits_w(envelopes: Sequence[EnvelopeRecord], direction: Direction) -> list[int]:
    """Return the limits of one direction, in watts."""
    if direction is Direction.INJECTION:
        return [envelope.injection_limit_w for envelope in envelopes]
    return [envelope.withdrawal_limit_w for envelope in envelopes]


def bottlenecks(envelopes: Sequence[EnvelopeRecord], direction: Direction) -> Counter[str]:
    """Return the number of limits of one direction that each element limits."""
    injects = direction is Direction.INJECTION
    return Counter(
        envelope.injection_bottleneck if injects else envelope.withdrawal_bottleneck
        for envelope in envelopes
    )


def _show_intervals(
    records: Sequence[IntervalRecord], starts: Sequence[datetime], console: Console
) -> None:
    """Print one line for each interval; the table fits into 80 columns."""
    first, last = (f"{starts[i]:%Y-%m-%d}" for i in (0, -1))
    named = first if first == last else f"{first} to {last}"
    title = f"Envelopes of {len(starts)} intervals, {named} (UTC), in kW"
    # No frame: it would take the width of four digits in each column.
    table = Table(title=title, title_justify="left", box=None, pad_edge=False)
    table.add_column("\nstart", no_wrap=True)
    for direction in Direction:
        for column in (f"{direction}\nmin", "\nmean", "\nmax"):
            table.add_column(column, justify="right", no_wrap=True)
        table.add_column("limited\nby", overflow="fold")
    published = [each for each in records if each.envelopes]
    largest_w = max(
        (max(limits_w(i.envelopes, each)) for i in published for each in Direction), default=0
    )
    digits = 3 if largest_w < 100_000 else 1
    day = first
    for interval in records:
        if f"{interval.start:%Y-%m-%d}" != day:
            day = f"{interval.start:%Y-%m-%d}"
            table.add_row(f"{interval.start:%m-%d}")
        cells = [f"{interval.start:%H:%M}"]
        if not interval.envelopes:
            table.add_row(*cells, "none")
            continue
        for direction in Direction:
            limits = limits_w(interval.envelopes, direction)
            figures = (min(limits), sum(limits) / len(limits), max(limits))
            cells += [f"{figure / 1e3:,.{digits}f}" for figure in figures]
            element = bottlenecks(interval.envelopes, direction).most_common(1)[0][0]
            fallback = interval.status is IntervalStatus.FALLBACK
            cells.append("fallback" if fallback else escape(element))
        table.add_row(*cells)
    console.print(table)
    print_rest(len(starts), SHOWN, console)


def show_verdict(verdict: VerdictFile, console: Console) -> None:
    """Print a verdict: the worst point, each element at its limit, and the envelopes it limits."""
    colour = "green" if verdict.secure else "red"
    console.print(f"[bold {colour}]{escape(verdict.detail)}[/]", soft_wrap=True)
    if verdict.points_tried:
        console.print(
            f"the worst point that the adversary found in {verdict.points_tried:,} power flows"
        )
    if len(verdict.intervals) == 1:
        (only,) = verdict.intervals
        _show_reasons(only.envelopes, only.binding, only.proof, console)
    else:
        _show_verdicts(verdict.intervals, console)
    if not verdict.secure and verdict.vertex:
        _show_point(verdict, console)


def _show_verdicts(intervals: Sequence[IntervalVerdict], console: Console) -> None:
    """Print one line for each interval that is not secure, or for every one if all are."""
    broken = [interval for interval in intervals if not interval.secure]
    console.print(f"{len(intervals) - len(broken)} of {len(intervals)} secure")
    for interval in (broken or intervals)[:SHOWN]:
        console.print(f"  {format_time(interval.start)}: {escape(interval.detail)}", soft_wrap=True)
    print_rest(len(broken or intervals), SHOWN, console)


def _show_point(verdict: VerdictFile, console: Console) -> None:
    columns = ["power, kW\n(injection positive)"]
    reactive = any(point.reactive_var for point in verdict.vertex)
    if reactive:
        columns.append("reactive\npower, kvar")
    table = new_table("The point that violates the limit", ("connection point",), columns)
    for point in verdict.vertex[:SHOWN]:
        cells = [kilowatts(point.power_w)]
        if reactive:
            cells.append(kilowatts(point.reactive_var))
        table.add_row(escape(point.connection_point), *cells)
    console.print(table)
    print_rest(len(verdict.vertex), SHOWN, console)
    if verdict.deviations:
        table = new_table("", ("uncertain element",), ("deviation\n(1 is its whole band)",))
        for each in verdict.deviations[:SHOWN]:
            table.add_row(escape(each.element), f"{each.deviation:+.3g}")
        console.print(table)
