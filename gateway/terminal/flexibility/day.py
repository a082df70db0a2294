"""The result of ``flexibility-day``: what each phase did, as tables and sentences."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime

from rich.console import Console
from rich.text import Text

from gateway.flexibility.coordination_result import ToldRecord
from gateway.flexibility.day.delivery.result import (
    ActivationResult,
    MeasurementResult,
    MonitoringResult,
)
from gateway.flexibility.day.result import (
    AnnouncementResult,
    FlexibilityDayResult,
    ForecastResult,
    ForwardResult,
    InsertedRecord,
    PhaseResult,
    QualificationResult,
    SettlementResult,
    SpotSessionResult,
)
from gateway.flexibility.day.shift_result import ShiftResult
from gateway.terminal.console import counted, escape, new_table, print_rest
from gateway.terminal.flexibility.delivery import show_delivery
from gateway.terminal.flexibility.shifting import show_shift

_SHOWN = 20  # rows of a table
_FALLING_SHORT = ("not_delivered", "short_delivery", "lost_availability", "penalty")


def show_flexibility_day(content: FlexibilityDayResult, console: Console) -> None:
    """Print each phase of a day."""
    for phase in content.phases:
        console.print(f"[bold]{escape(phase.name)}[/] ({phase.type})")
        _show_phase(phase, console)
        console.print(f"  told: {escape(_told(phase.told))}", soft_wrap=True)
        console.print()


def _show_phase(phase: PhaseResult, console: Console) -> None:
    if isinstance(phase, QualificationResult):
        _show_qualification(phase, console)
    elif isinstance(phase, AnnouncementResult):
        _show_announcement(phase, console)
    elif isinstance(phase, ForecastResult):
        _show_forecast(phase, console)
    elif isinstance(phase, ForwardResult):
        _show_forward(phase, console)
    elif isinstance(phase, SpotSessionResult):
        _show_spot(phase, console)
    elif isinstance(phase, ActivationResult | MeasurementResult | MonitoringResult):
        show_delivery(phase, console)
    elif isinstance(phase, ShiftResult):
        show_shift(phase, console)
    else:
        _show_settlement(phase, console)


def _told(said: Sequence[ToldRecord]) -> str:
    if not said:
        return "nothing"
    messages, size = sum(each.messages for each in said), sum(each.bytes for each in said)
    subjects: dict[str, int] = {}
    for each in said:
        subjects[each.subject] = subjects.get(each.subject, 0) + each.messages
    listed = ", ".join(f"{count} {subject}" for subject, count in subjects.items())
    return f"{counted(messages, 'message')}, {size:,} bytes ({listed})"


def _show_qualification(phase: QualificationResult, console: Console) -> None:
    table = new_table("", ["resource", "product", "qualifies", "why not"])
    for each in phase.resources[:_SHOWN]:
        reasons = "; ".join(reason.detail for reason in each.reasons)
        answer = "yes" if each.qualified else "no"
        table.add_row(*(Text(cell) for cell in (each.resource, each.product, answer, reasons)))
    console.print(table)
    print_rest(len(phase.resources), _SHOWN, console)
    numbers = ["resources", "providers", "able kW", "need kW", "able/need"]
    table = new_table("Competition", ["product", "zone", "way"], numbers)
    for one in phase.competition:
        table.add_row(
            *(Text(cell) for cell in (one.product, one.zone or "any", one.direction)),
            str(one.resources),
            str(one.providers),
            _kw(one.able_w),
            _kw(one.needed_w),
            f"{one.share:.2f}",
        )
    if phase.competition:
        console.print(table)


def _show_announcement(phase: AnnouncementResult, console: Console) -> None:
    table = new_table("", ["need", "where", "way", "hours", "could serve it"], ["most kW"])
    for each in phase.needs[:_SHOWN]:
        where = each.branch or each.zone or "anywhere"
        hours = f"{_at(each.start)} to {_at(each.end)}"
        way = (each.direction or "either").removesuffix("ward")
        names = ", ".join(each.qualified) or "none"
        cells = (each.need, where, way, hours, names)
        table.add_row(*(Text(cell) for cell in cells), _kw(max(each.quantity_w)))
    if not phase.needs:
        table.add_row(Text("none", style="dim"))
    console.print(table)
    print_rest(len(phase.needs), _SHOWN, console)


def _show_linked(phase: SpotSessionResult, console: Console) -> None:
    for each in phase.linked[:_SHOWN]:
        shares = ", ".join(f"{party} {amount}" for party, amount in each.shares_eur.items())
        sentence = f"{each.need} at {_at(each.interval)}, {_kw(each.upward_w)} kW up and "
        sentence += f"{_kw(each.downward_w)} kW down for {each.amount_eur} EUR: {shares}"
        console.print(f"  linked: {escape(sentence)}", soft_wrap=True)
    print_rest(len(phase.linked), _SHOWN, console)


def _show_forecast(phase: ForecastResult, console: Console) -> None:
    table = new_table("", ["branch", "at", "relieved by"], ["flow kW", "limit kW", "excess kW"])
    for each in phase.exceeded[:_SHOWN]:
        places = [f"{_kw(p.quantity_w)} kW {p.direction} at {p.bus}" for p in each.places[:3]]
        table.add_row(
            *(Text(cell) for cell in (each.branch, _at(each.interval), " or ".join(places))),
            _kw(each.flow_w),
            _kw(each.limit_w),
            _kw(each.excess_w),
        )
    if not phase.exceeded:
        table.add_row(Text("no branch is beyond its limit", style="dim"))
    console.print(table)
    print_rest(len(phase.exceeded), _SHOWN, console)


def _show_forward(phase: ForwardResult, console: Console) -> None:
    words = ["contract", "provider", "buyer", "hours"]
    table = new_table("", words, ["kW", "EUR/kW", "EUR/kWh", "EUR"])
    for each in phase.contracts[:_SHOWN]:
        hours = f"{_at(each.start)} to {_at(each.end)}"
        table.add_row(
            *(Text(cell) for cell in (each.name, each.provider, each.buyer, hours)),
            _kw(each.quantity_w),
            each.availability_eur_per_kw,
            each.utilisation_eur_per_kwh,
            each.availability_eur,
        )
    if not phase.contracts:
        table.add_row(Text("none", style="dim"))
    console.print(table)
    print_rest(len(phase.contracts), _SHOWN, console)
    for one in phase.uncovered:
        missing = f"{one.need} lacks {_kw(one.missing_w)} kW"
        console.print(f"  [bold red]not covered:[/] {escape(missing)}", soft_wrap=True)
    for reason in phase.refused:
        console.print(f"  not taken: {escape(f'{reason.name}, {reason.detail}')}", soft_wrap=True)


def _show_spot(phase: SpotSessionResult, console: Console) -> None:
    for sentence in _inserted(phase.inserted):
        console.print(f"  put in for {escape(sentence)}", soft_wrap=True)
    for held in phase.withheld:
        sentence = f"{_at(held.interval)}, {held.detail}; penalty {held.penalty_eur} EUR"
        console.print(f"  [bold red]withheld:[/] {escape(sentence)}", soft_wrap=True)
    for reason in phase.refused:
        console.print(f"  refused: {escape(f'{reason.name}, {reason.detail}')}", soft_wrap=True)
    words = ["at", "need", "offer", "way", "why"]
    table = new_table("", words, ["kW", "EUR/kWh", "EUR"])
    for each in phase.awards[:_SHOWN]:
        way = each.direction.removesuffix("ward")
        because = each.because.replace(f" for {each.need}", "")
        cells = (_at(each.interval), each.need, each.offer, way, because)
        table.add_row(
            *(Text(cell) for cell in cells),
            _kw(each.quantity_w),
            each.price_eur_per_kwh,
            each.amount_eur,
        )
    if not phase.awards:
        table.add_row(Text("nothing", style="dim"))
    console.print(table)
    print_rest(len(phase.awards), _SHOWN, console)
    _show_linked(phase, console)
    for lack in phase.shortfalls[:_SHOWN]:
        sentence = f"{lack.need} at {_at(lack.interval)}: {lack.detail}"
        console.print(f"  [bold red]not met:[/] {escape(sentence)}", soft_wrap=True)
    print_rest(len(phase.shortfalls), _SHOWN, console)
    kept = [each for each in phase.left_over if each.reason != "no_need"]
    for left in kept[:_SHOWN]:
        sentence = f"{left.offer} at {_all(left.intervals)}: {left.detail}"
        console.print(f"  left: {escape(sentence)}", soft_wrap=True)
    print_rest(len(kept), _SHOWN, console)
    for flow in phase.flows[:_SHOWN]:
        limit_w = flow.flow_max_w if flow.before_w + flow.after_w > 0.0 else flow.flow_min_w
        state = "[bold red]overloaded:[/]" if flow.overloaded else "relieved:"
        sentence = f"{flow.branch} at {_at(flow.interval)}, {_kw(flow.before_w)} to "
        sentence += f"{_kw(flow.after_w)} kW, limit {_kw(limit_w)} kW"
        console.print(f"  {state} {escape(sentence)}", soft_wrap=True)
    print_rest(len(phase.flows), _SHOWN, console)
    console.print(f"  cost {phase.cost_eur} EUR")


def _inserted(offers: Sequence[InsertedRecord]) -> Iterable[str]:
    """Yield a sentence for each contract and quantity that was put in."""
    groups: dict[tuple[str, int, str], list[datetime]] = {}
    for each in offers:
        key = each.contract, each.quantity_w, each.price_eur_per_kwh
        groups.setdefault(key, []).append(each.interval)
    for (contract, quantity_w, price), times in groups.items():
        yield f"{contract}: {_kw(quantity_w)} kW at {price} EUR/kWh, {_all(times)}"


def _show_settlement(phase: SettlementResult, console: Console) -> None:
    table = new_table("", ["for", "of", "from", "to", "at"], ["kW", "EUR"])
    for each in phase.payments[:_SHOWN]:
        cells = (each.cause, each.subject, each.payer, each.payee, _at(each.interval))
        table.add_row(*(Text(cell) for cell in cells), _kw(each.quantity_w), each.amount_eur)
    console.print(table)
    print_rest(len(phase.payments), _SHOWN, console)
    for each in phase.payments:
        if each.cause in _FALLING_SHORT:
            sentence = f"{each.payer} pays {each.amount_eur} EUR to {each.payee}. {each.sentence}"
            console.print(f"  {escape(sentence)}", soft_wrap=True)
    for note in phase.notes:
        console.print(f"  {escape(note)}", soft_wrap=True)
    balances = ", ".join(f"{name} {amount}" for name, amount in phase.balances_eur.items())
    console.print(f"  balances, EUR: {escape(balances or 'none')}", soft_wrap=True)


def _kw(watts: float) -> str:
    return f"{watts / 1e3 + 0.0:.6g}"


def _at(moment: datetime) -> str:
    return f"{moment:%m-%d %H:%M}"


def _all(moments: Sequence[datetime]) -> str:
    """Return the first of some times, and how many there are."""
    rest = f" and {len(moments) - 1} more" if len(moments) > 1 else ""
    return f"{_at(moments[0])}{rest}"
