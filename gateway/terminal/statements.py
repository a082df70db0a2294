"""Statements of account, printed for people and as CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable
from decimal import Decimal

from rich.console import Console

from exchange.vocabulary.formatting import format_eur, format_time
from gateway.formats.statements_file import AccountRecord, LineRecord, StatementsFile
from gateway.terminal.console import counted, escape, new_table
from gateway.terminal.envelopes import kilowatts

_MONEY = ("paid", "received", "compensation", "penalties", "flexibility")
_COLUMNS = (
    "account",
    "interval",
    "opening",
    "trades",
    "bought_w",
    "sold_w",
    *_MONEY,
    "balance",
    "closing",
    "metered",
    "breaches",
    "breach_w",
    "missing",
)


def statements_csv(made: StatementsFile) -> str:
    """Return CSV with a row for each account and interval, and the balance before and after."""
    text = io.StringIO()
    rows = csv.DictWriter(text, _COLUMNS, lineterminator="\n")
    rows.writeheader()
    for account in made.accounts:
        balance = Decimal(account.opening)
        for line in account.lines:
            opening, balance = balance, balance + Decimal(line.balance)
            content = line.model_dump(exclude={"metered", "interval"})
            rows.writerow(
                content
                | {
                    "account": account.account,
                    "interval": format_time(line.interval),
                    "opening": format_eur(opening),
                    "closing": format_eur(balance),
                    "metered": len(line.metered) - _count(line, "missing"),
                    "breaches": _count(line, "breach"),
                    "breach_w": sum(each.breach_w for each in line.metered),
                    "missing": _count(line, "missing"),
                }
            )
    return text.getvalue()


def show_statements(made: StatementsFile, console: Console) -> None:
    """Print an overview of all accounts, or all intervals of a single account."""
    if len(made.accounts) == 1:
        _show_account(made.accounts[0], console)
        return
    columns = ("opening", *_MONEY, "closing", "breaches", "missing")
    table = new_table("Statements, in EUR", ("account",), columns)
    for account in made.accounts:
        table.add_row(
            escape(account.account),
            account.opening,
            *(_sum(getattr(line, name) for line in account.lines) for name in _MONEY),
            account.closing,
            str(sum(_count(line, "breach") for line in account.lines)),
            str(sum(_count(line, "missing") for line in account.lines)),
        )
    console.print(table)
    total = _sum(account.closing for account in made.accounts)
    console.print(
        f"{counted(len(made.accounts), 'account')}; the closing balances add up to {total} EUR"
    )


def _show_account(account: AccountRecord, console: Console) -> None:
    columns = ("bought\nkW", "sold\nkW", *_MONEY, "balance")
    table = new_table(f"Statement of {escape(account.account)}, in EUR", ("interval",), columns)
    table.add_row("opening", *[""] * 7, account.opening)
    for line in account.lines:
        table.add_row(
            f"{line.interval:%Y-%m-%d %H:%M}",
            kilowatts(line.bought_w),
            kilowatts(line.sold_w),
            *(getattr(line, name) for name in _MONEY),
            line.balance,
        )
    table.add_row("closing", *[""] * 7, account.closing)
    console.print(table)
    _show_breaches(account, console)


def _show_breaches(account: AccountRecord, console: Console) -> None:
    """Print one line for each breach and each missing reading."""
    for line in account.lines:
        when = format_time(line.interval)
        for each in line.metered:
            point = escape(each.connection_point)
            if each.standing == "missing":
                console.print(f"{when} {point}: the reading is missing", soft_wrap=True)
            elif each.standing == "breach":
                injects = bool(each.injection_w)
                power_w = each.injection_w if injects else each.withdrawal_w
                limit_w = each.injection_limit_w if injects else each.withdrawal_limit_w
                console.print(
                    f"{when} {point}: {power_w:,} W of {'injection' if injects else 'withdrawal'} "
                    f"metered, {limit_w:,} W allowed, {each.tolerance_w:,} W tolerated: "
                    f"{each.breach_w:,} W of breach cost {each.penalty} EUR",
                    soft_wrap=True,
                )


def _count(line: LineRecord, standing: str) -> int:
    return sum(each.standing == standing for each in line.metered)


def _sum(amounts: Iterable[str]) -> str:
    return format_eur(sum(map(Decimal, amounts), Decimal(0)))
