"""The file of statements; amounts are exact decimal strings in EUR."""

from __future__ import annotations

from typing import Any, Literal

from exchange.accounts.ledger import Account
from exchange.accounts.statements import AccountStatement, Line, Metered
from exchange.vocabulary.formatting import format_eur
from exchange.vocabulary.rules import MarketRules
from exchange.vocabulary.settlement_events import StatementIssued
from gateway.formats.records import Record, Time


class MeteredRecord(Record):
    """Metered power of one connection point against its envelope; ``penalty`` in EUR."""

    connection_point: str
    standing: Literal["kept", "breach", "missing"]
    injection_w: int | None = None
    withdrawal_w: int | None = None
    injection_limit_w: int | None = None
    withdrawal_limit_w: int | None = None
    tolerance_w: int | None = None
    breach_w: int = 0
    penalty: str = "0"
    corrections: int = 0

    @classmethod
    def of(cls, metered: Metered, rules: MarketRules) -> MeteredRecord:
        """Return the reading of a connection point, or that none came, as a record."""
        reading = metered.reading
        if reading is None:
            return cls(connection_point=metered.connection_point, standing="missing")
        return cls.from_fields(
            reading,
            connection_point=metered.connection_point,
            standing="breach" if reading.breach_w else "kept",
            penalty=format_eur(rules.amount_in_eur(reading.penalty)),
            corrections=metered.corrections,
        )


def figures_in_eur(account: Account | StatementIssued, rules: MarketRules) -> dict[str, Any]:
    """Return watts and money of a statement by entry; money in EUR."""
    money = ("paid", "received", "compensation", "penalties", "flexibility", "balance")
    return {
        "bought_w": account.bought_w,
        "sold_w": account.sold_w,
        **{name: format_eur(rules.amount_in_eur(getattr(account, name))) for name in money},
    }


class LineRecord(Record):
    """Bookings of one interval in an account, in EUR.

    ``balance = received - paid + compensation - penalties + flexibility``; ``trades`` is ``null``
    where the source does not count them.
    """

    interval: Time
    trades: int | None
    bought_w: int
    sold_w: int
    paid: str
    received: str
    compensation: str
    penalties: str
    flexibility: str
    balance: str
    metered: list[MeteredRecord]

    @classmethod
    def of(cls, line: Line, rules: MarketRules) -> LineRecord:
        """Return a line of a statement as a record."""
        return cls(
            interval=line.interval,
            trades=line.trades,
            metered=[MeteredRecord.of(each, rules) for _, each in sorted(line.metered.items())],
            **figures_in_eur(line.account, rules),
        )

    @classmethod
    def of_result(cls, record: StatementRecord) -> LineRecord:
        """Return a statement of a simulation's result as a line."""
        return cls.from_fields(record, trades=None, metered=[])


class AccountRecord(Record):
    """One account: ``opening`` and the balances of its lines add up to ``closing``, in EUR."""

    account: str
    opening: str
    lines: list[LineRecord]
    closing: str

    @classmethod
    def of(cls, statement: AccountStatement, rules: MarketRules) -> AccountRecord:
        """Return the statement of an account as a record."""
        return cls(
            account=statement.name,
            opening=format_eur(rules.amount_in_eur(statement.opening)),
            lines=[LineRecord.of(line, rules) for line in statement.lines],
            closing=format_eur(rules.amount_in_eur(statement.closing)),
        )


class StatementsFile(Record):
    """The file that ``statements`` writes; without a period it covers all bookings."""

    since: Time | None
    until: Time | None
    accounts: list[AccountRecord]


class StatementRecord(Record):
    """One account for one interval, in EUR; with the DSO's accounts, balances add up to zero."""

    participant: str
    interval: Time
    bought_w: int
    sold_w: int
    paid: str
    received: str
    compensation: str = "0"
    penalties: str = "0"
    flexibility: str = "0"
    balance: str
