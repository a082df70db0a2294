"""Statements of account for any period, made of events alone.

A statement has an opening balance, one line for each interval with bookings in the period, and a
closing balance.  A later booking for an earlier interval, such as the correction of a reading,
belongs to the period in which it was booked, so a statement never changes.  Entries come from
:mod:`exchange.accounts.bookings`, as those of the live ledger do, and every
:class:`exchange.vocabulary.settlement_events.StatementIssued` is compared with them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from exchange.accounts.bookings import entries_of
from exchange.accounts.ledger import Account, Ledger, LedgerEntry
from exchange.vocabulary.events import Event, Traded
from exchange.vocabulary.flexibility_events import FlexibilityMatched
from exchange.vocabulary.settlement_events import MeteringClosed, MeterRead, StatementIssued


@dataclass(frozen=True, slots=True)
class Metered:
    """The metering of one connection point in one interval.

    Parameters
    ----------
    connection_point
        Its id.
    reading
        The reading in force, with limits, breach and penalty; ``None`` without a reading.
    corrections
        The number of readings that it replaced.
    """

    connection_point: str
    reading: MeterRead | None
    corrections: int = 0


@dataclass(slots=True)
class Line:
    """The bookings of one interval on an account within a period.

    ``trades`` counts the entries of trades; ``metered`` is by connection point, at the end of the
    period.
    """

    interval: datetime
    account: Account = field(default_factory=Account)
    trades: int = 0
    metered: dict[str, Metered] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class AccountStatement:
    """An account over a period, in tick-watts.

    ``opening + sum(line.account.balance) == closing``; balances are in favour of the account.
    """

    name: str
    opening: int
    lines: tuple[Line, ...]
    closing: int


class Statements:
    """Statements of all accounts over ``[since, until)``: a fold over the events of a journal.

    Parameters
    ----------
    since, until
        The period, by the time of booking; ``None`` is without bound.
    """

    __slots__ = ("_ledger", "_lines", "_opening", "_since", "_until")

    def __init__(self, since: datetime | None = None, until: datetime | None = None) -> None:
        self._since = since
        self._until = until
        self._ledger = Ledger()
        self._opening: dict[str, int] = {}
        self._lines: dict[str, dict[datetime, Line]] = {}

    def apply(self, event: Event) -> None:
        """Take the next event.

        Raises
        ------
        ValueError
            When a statement on record is not the sum of the bookings.
        """
        if self._until is not None and event.time >= self._until:
            return
        within = self._since is None or event.time >= self._since
        for entry in entries_of(event):
            self._ledger.book(entry)
            if within:
                self._add(entry, trades=isinstance(event, Traded | FlexibilityMatched))
            else:
                self._opening[entry.payer] = self._ledger.balance(entry.payer)
                self._opening[entry.payee] = self._ledger.balance(entry.payee)
        match event:
            case StatementIssued():
                self._check(event)
                self._ledger.settle(event.interval, event.participant)
            case MeterRead() if within:
                line = self._line(event.participant, event.interval)
                before = line.metered.get(event.connection_point)
                line.metered[event.connection_point] = Metered(
                    event.connection_point,
                    event,
                    0 if event.replaces is None else 1 + (before.corrections if before else 0),
                )
            case MeteringClosed() if within:
                for each in event.missing:
                    line = self._line(each.participant, event.interval)
                    line.metered[each.connection_point] = Metered(each.connection_point, None)

    def names(self) -> list[str]:
        """Return the names of all accounts with bookings or readings, sorted."""
        return sorted(self._opening.keys() | self._lines.keys())

    def statement(self, name: str) -> AccountStatement:
        """Return the statement of one account; it is empty without bookings."""
        lines = self._lines.get(name, {})
        return AccountStatement(
            name,
            self._opening.get(name, 0),
            tuple(line for _, line in sorted(lines.items())),
            self._ledger.balance(name),
        )

    def check_invariants(self) -> None:
        """Check that balances add up to zero, and that each statement adds up.

        Raises
        ------
        AssertionError
            With the account and the difference.
        """
        self._ledger.check_invariants()
        assert sum(self._opening.values()) == 0, "opening balances do not add up to zero"
        for statement in map(self.statement, self.names()):
            moved = sum(line.account.balance for line in statement.lines)
            left = statement.opening + moved - statement.closing
            assert left == 0, f"{statement.name}: {left} tick-watts are in no line"

    def _line(self, name: str, interval: datetime) -> Line:
        return self._lines.setdefault(name, {}).setdefault(interval, Line(interval))

    def _add(self, entry: LedgerEntry, *, trades: bool) -> None:
        for name in (entry.payer, entry.payee):
            self._line(name, entry.interval).trades += trades
        self._line(entry.payer, entry.interval).account.pay(entry)
        self._line(entry.payee, entry.interval).account.receive(entry)

    def _check(self, event: StatementIssued) -> None:
        stated = Account(
            event.bought_w,
            event.sold_w,
            event.paid,
            event.received,
            event.compensation,
            event.penalties,
            event.flexibility,
        )
        booked = self._ledger.account(event.interval, event.participant)
        if stated != booked or event.balance != stated.balance:
            raise ValueError(
                f"event {event.sequence}: the statement of {event.participant} for "
                f"{event.interval} says {stated} with a balance of {event.balance}, booked are "
                f"{booked}"
            )
