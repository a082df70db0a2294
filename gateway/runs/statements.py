"""Statements of account from a journal or from a simulation's result: ``statements``.

The events of a journal are applied from the first one on, so statements need no running exchange.
A result contains its statements, one for each interval.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import aclosing
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from pathlib import Path

from pydantic import ValidationError

from exchange.accounts.statements import Statements
from exchange.vocabulary.events import SessionOpened
from exchange.vocabulary.formatting import format_eur, format_time
from exchange.vocabulary.rules import MarketRules
from gateway.errors import CorruptJournalError
from gateway.formats.faults import InputFaults, sentences
from gateway.formats.records import in_utc
from gateway.formats.statements_file import AccountRecord, LineRecord, StatementsFile
from gateway.formats.urls import shown_url
from gateway.journal.replay import journal_entries
from gateway.runs.result_file import ResultFile


@dataclass(frozen=True, slots=True)
class StatementsRequest:
    """The statements asked for; ``None`` is no restriction.

    Parameters
    ----------
    account
        The only account.
    since, until
        Only bookings in ``[since, until)``.
    area
        The journal's area, where the source does not name it.
    archive
        The file of the entries that have left the journal.
    """

    account: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    area: str | None = None
    archive: Path | None = None

    @classmethod
    def of(
        cls,
        account: str | None,
        since: str | None,
        until: str | None,
        area: str | None,
        archive: Path | None = None,
    ) -> StatementsRequest:
        """Return the request of the command's options.

        Raises
        ------
        ValueError
            When an option is not valid; the text names it.
        """
        wanted = cls(account, _time("since", since), _time("until", until), area, archive)
        if wanted.since is not None and wanted.until is not None and wanted.since >= wanted.until:
            raise ValueError(
                f"the period from {format_time(wanted.since)} to {format_time(wanted.until)} is "
                "empty"
            )
        return wanted


def _time(name: str, text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(f"--{name}: {text!r} is not a time, as 2026-07-01T12:00:00Z is") from None
    if moment.tzinfo is None:
        raise ValueError(f"--{name}: {text} has no time zone")
    return in_utc(moment)


async def make_statements(source: str, wanted: StatementsRequest) -> StatementsFile:
    """Return the statements that follow from a journal, or those in a simulation's result.

    Raises
    ------
    OSError, ValueError, gateway.errors.GatewayError, InputFaults
        When the source cannot be read, is neither, or does not know the account.
    """
    result = _result(Path(source))
    if result is None:
        accounts = await _of_journal(source, wanted)
    elif wanted.since or wanted.until:
        raise ValueError(
            "a result of simulate has one statement for each interval: --since and --until are "
            "for journals"
        )
    else:
        accounts = _of_result(result)
    if wanted.account is not None:
        names = [each.account for each in accounts]
        accounts = [each for each in accounts if each.account == wanted.account]
        if not accounts:
            known = f"there are {', '.join(names[:5])}{' ...' if len(names) > 5 else ''}"
            raise ValueError(
                f"nothing was booked for {wanted.account}; "
                f"{known if names else 'there are no accounts'}"
            )
    return StatementsFile(since=wanted.since, until=wanted.until, accounts=accounts)


def _result(path: Path) -> ResultFile | None:
    """Return the result in a file, ``None`` where the file is not a result."""
    if not path.is_file():
        return None
    content = path.read_bytes()
    try:
        plain = json.loads(content)
    except (ValueError, RecursionError):
        return None
    if not isinstance(plain, dict) or "statements" not in plain:
        return None
    try:
        return ResultFile.model_validate_json(content)
    except ValidationError as error:
        raise InputFaults(str(path), sentences(error)) from None


def _of_result(result: ResultFile) -> list[AccountRecord]:
    lines: dict[str, list[LineRecord]] = {}
    for record in result.statements:
        lines.setdefault(record.participant, []).append(LineRecord.of_result(record))
    return [
        AccountRecord(
            account=name,
            opening="0",
            lines=own,
            closing=format_eur(sum((Decimal(each.balance) for each in own), Decimal(0))),
        )
        for name, own in sorted(lines.items())
    ]


async def _of_journal(source: str, wanted: StatementsRequest) -> list[AccountRecord]:
    statements = Statements(wanted.since, wanted.until)
    name = shown_url(source)
    ticks: list[Decimal] = []
    entries = 0
    async with aclosing(journal_entries(source, wanted.area, wanted.archive)) as journal:
        async for entry in journal:
            entries += 1
            for event in entry.events:
                if isinstance(event, SessionOpened) and event.tick not in ticks:
                    ticks.append(event.tick)
                try:
                    statements.apply(event)
                except (LookupError, ValueError) as error:
                    raise CorruptJournalError(
                        f"{name}: entry {entries} does not follow from those before it: {error}"
                    ) from error
    if not entries:
        raise CorruptJournalError(f"{name}: this journal has no entries")
    statements.check_invariants()
    return _accounts(statements, ticks)


def _accounts(statements: Statements, ticks: Sequence[Decimal]) -> list[AccountRecord]:
    names = statements.names()
    if len(ticks) > 1:
        raise ValueError(
            f"its price steps differ, {' and '.join(map(str, ticks))} EUR per kW: amounts before "
            "and after cannot be added up"
        )
    if not names:
        return []
    rules = MarketRules(tick=ticks[0])
    return [AccountRecord.of(statement, rules) for statement in map(statements.statement, names)]
