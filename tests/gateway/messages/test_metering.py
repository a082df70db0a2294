"""Meter readings through the gateway: messages, reports, the whole way, and statements of it."""

from __future__ import annotations

import asyncio
import csv
import io
import json
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from gateway_market import GATE, OPENING, START, client, market, order, serving
from gateway_servers import MakeSettings
from hypothesis import given, settings
from hypothesis import strategies as st
from listening import until
from pydantic import TypeAdapter
from report_forms import FORMS
from typer.testing import CliRunner, Result

from exchange.vocabulary.commands import AdvanceTime, Command, SubmitOrder, SubmitReading
from exchange.vocabulary.events import SessionOpened
from exchange.vocabulary.orders import OrderTerms
from exchange.vocabulary.rules import MarketRules, MeteringRules
from gateway.cli.main import app
from gateway.formats.envelope_file import EnvelopeFile
from gateway.formats.statements_file import StatementRecord, StatementsFile
from gateway.journal.codec import encode_entry
from gateway.journal.redis_journal import RedisJournal
from gateway.messages.requests import Reader
from gateway.ports import JournalEntry, Outgoing
from gateway.runs.result_file import ResultFile
from gateway.service.core import JournaledExchange
from orderbook.order import Side
from security_check.model.envelope import Direction

END = START + timedelta(minutes=15)
NOON = "2096-06-01T12:00:00Z"
HELD_W = 500_000_000  # what the wide grid gives each point, each way
RULES = MarketRules(metering=MeteringRules(penalty_price_ticks=5_000, tolerance_w=100))
READING = {"reading_id": "r1", "interval": NOON, "injection_w": 1500}


def read(message: Any, point: str = "load:0") -> Any:
    made = market("a")
    participants = {each.participant for each in made.terms}
    reader = Reader(made.rules.tick, participants, lambda: [START])
    payload = message if isinstance(message, bytes) else json.dumps(message).encode()
    return reader.read("metering", payload, point)


@pytest.mark.parametrize(
    ("more", "power_w"),
    [
        ({}, (1500, 0)),
        ({"connection_point": "load:0", "withdrawal_w": 0, "time": NOON}, (1500, 0)),
        ({"injection_w": 0}, (0, 0)),
        ({"injection_w": None, "withdrawal_w": 7}, (0, 7)),
        # What a message may say and the exchange then refuses with its own sentence.
        ({"withdrawal_w": 7}, (1500, 7)),
        ({"injection_w": -1}, (-1, 0)),
    ],
)
def test_a_reading_becomes_a_command(more: dict[str, Any], power_w: tuple[int, int]) -> None:
    assert read(READING | more) == SubmitReading("r1", START, "load:0", *power_w)


@pytest.mark.parametrize(
    ("message", "reason", "words"),
    [
        (READING | {"injection_w": None}, "malformed", "needs injection_w or withdrawal_w"),
        (READING | {"injection_w": 1.5}, "malformed", "injection_w"),
        (READING | {"injection_w": "1500"}, "malformed", "injection_w"),
        (READING | {"injection_w": 10**13}, "malformed", "injection_w"),
        (json.dumps(READING).replace("1500", "NaN").encode(), "malformed", "NaN is not a number"),
        (json.dumps(READING).replace("1500", "1e999").encode(), "malformed", "injection_w"),
        (READING | {"interval": "noon"}, "malformed", "interval"),
        ({"reading_id": "r1", "injection_w": 5}, "malformed", "interval"),
        (READING | {"wh": 3}, "malformed", "wh"),
        (READING | {"connection_point": "load:1"}, "unauthorised", "this is the topic of load:0"),
        (b"\xff", "malformed", "not UTF-8"),
        (b"[" * 10_000, "too_large", "10,000 bytes"),
    ],
)
def test_what_is_no_reading_is_refused_with_a_sentence(
    message: Any, reason: str, words: str
) -> None:
    rejected = read(message)
    assert (rejected.participant, rejected.reason) == ("metering", reason)
    assert words in rejected.detail
    if isinstance(message, dict):
        assert rejected.request_id == "r1"


class Clock:
    """A clock that is set."""

    def __init__(self) -> None:
        self.now = START - timedelta(hours=2)

    def __call__(self) -> datetime:
        return self.now


class Reports:
    """The reports of one client, by type."""

    def __init__(self) -> None:
        self.heard: list[dict[str, Any]] = []

    def __call__(self, topic: str, content: Any) -> None:
        if "/report/" in topic:
            self.heard.append(content)

    def of(self, kind: str) -> list[dict[str, Any]]:
        return [report for report in self.heard if report["type"] == kind]


async def test_from_a_trade_to_a_statement_over_broker_and_journal(
    broker: MakeSettings, redis_url: str, area: str, tmp_path: Path
) -> None:
    clock, reported = Clock(), Reports()
    async with (
        serving(area, broker("exchange"), redis_url, rules=RULES, clock=clock) as service,
        client(broker("p0"), area, "p0", on_message=reported) as seller,
        client(broker("p1"), area, "p1") as buyer,
        client(broker("metering"), area, "metering") as meter,
    ):
        await seller.ask(order("a1", 0, "sell", 1000, "0.0450"))
        await buyer.ask(order("b1", 1, "buy", 1000, "0.0450"))

        def reading(number: int, injection_w: int) -> dict[str, Any]:
            return READING | {
                "reading_id": f"r{number}",
                "connection_point": "load:0",
                "injection_w": injection_w,
            }

        early = await meter.ask(reading(0, HELD_W + 500))
        assert (early["type"], early["reason"]) == ("refused", "delivery_not_over")
        clock.now = END
        breach = await meter.ask(reading(1, HELD_W))
        assert (breach["type"], breach["breach_w"], breach["replaces"]) == ("reading", 900, None)
        again = await meter.ask(reading(1, HELD_W))
        assert (again["repeated"], again["breach_w"]) == (True, 900)
        corrected = await meter.ask(reading(2, HELD_W - 500))
        assert (corrected["breach_w"], corrected["replaces"]) == (400, "r1")
        other = await meter.ask(reading(1, 5))
        assert other["reason"] == "client_order_id_reused"
        # What came too early stays refused, or it would replace what was metered since.
        late = await meter.ask(reading(0, HELD_W + 500))
        assert (late["reason"], late["repeated"]) == ("delivery_not_over", True)
        clock.now = END + timedelta(hours=25)  # No message asks for it: the clock closes readings.
        await until(lambda: len(reported.of("statement")) >= 2)
        digest = service.core.exchange.digest()
    metered = reported.of("metered")
    assert [(each["breach_w"], Decimal(each["penalty"])) for each in metered] == [
        (900, Decimal("0.45")),
        (400, Decimal("0.20")),
    ]
    assert [Decimal(each["reversed_penalty"]) for each in metered] == [0, Decimal("0.45")]
    assert [each["corrects"] for each in metered] == [False, True]
    assert [Decimal(each["balance"]) for each in reported.of("statement")] == [
        Decimal("0.045"),
        Decimal("-0.2"),
    ]
    journal = tmp_path / "journal.jsonl"
    async with RedisJournal(redis_url, area, read_only=True) as kept:
        journal.write_bytes(b"\n".join([encode_entry(each) async for each in kept.read()]))
    # The commands have a loop of their own, so they get a thread of their own.
    replayed = await asyncio.to_thread(run, "replay", journal, "--json")
    assert json.loads(replayed.stdout)["digest"] == digest
    made = await asyncio.to_thread(statements, journal)
    closing = {each.account: Decimal(each.closing) for each in made.accounts}
    assert closing["p0"] == Decimal("-0.155")
    assert closing["dso penalties"] == Decimal("0.2")
    assert sum(closing.values()) == 0


async def test_participants_cannot_report_readings(
    broker: MakeSettings, redis_url: str, area: str
) -> None:
    """The sender of an order is the topic's participant, whatever the message says."""
    async with (
        serving(area, broker("exchange"), redis_url, rules=RULES),
        client(broker("p0"), area, "p0") as seller,
    ):
        answer = await seller.ask(READING | {"type": "submit", "client_order_id": "a1"})
        assert (answer["type"], answer["reason"]) == ("refused", "malformed")


# The fold from events to reports.

POINTS = 4
STEPS = st.lists(
    st.tuples(
        st.sampled_from(["read", "read", "read", "wait"]),
        st.integers(0, 5),
        st.integers(0, POINTS),
        st.integers(-1, 3).map(lambda thousands: HELD_W + 1000 * thousands),
    ),
    min_size=5,
    max_size=20,
)


def commands(steps: Any) -> list[tuple[Command, datetime]]:
    """Return a trade, the gate, and the readings that steps tell of, each with its time."""
    now = GATE - timedelta(hours=1)
    found: list[tuple[Command, datetime]] = [(OPENING, now)]
    for number, side in enumerate((Side.SELL, Side.BUY)):
        point = f"load:{number}"
        found.append(
            (
                SubmitOrder(
                    f"p{number}",
                    "a",
                    OrderTerms(point, Direction.INJECTION, START, side, 1000, 450),
                ),
                now,
            )
        )
    found.append((AdvanceTime(), GATE))
    now = END
    for kind, number, point, injection_w in steps:
        if kind == "wait":
            now += timedelta(hours=7)
            found.append((AdvanceTime(), now))
            continue
        command = SubmitReading(f"r{number}", START, f"load:{point}", injection_w, 0)
        found.append((command, now))
    return found


@settings(max_examples=50, deadline=None)
@given(STEPS, st.integers(0, 20))
def test_reports_have_their_forms_name_no_other_participant_and_repeat(
    steps: Any, cut: int
) -> None:
    made = market("a", POINTS, RULES)
    core, outcome, snapshot = JournaledExchange(made), [], None
    for number, (command, now) in enumerate(commands(steps)):
        if number == cut:
            snapshot = core.snapshot()
        entry, messages = core.handle(command, now)
        core.exchange.check_invariants()
        if entry is not None:
            outcome.append((entry, messages))
    for _, messages in outcome:
        for message in messages:
            _check_report(message)
    again = JournaledExchange(made, snapshot)
    for entry, messages in outcome[again.sequence :]:
        assert again.apply(entry) == messages
    assert again.exchange.digest() == core.exchange.digest()


def _check_report(message: Outgoing) -> None:
    kind, _, name = message.topic.removeprefix("doe/v1/a/").partition("/")
    if kind != "report":
        return
    form: TypeAdapter[Any] = FORMS["report"]
    form.validate_json(message.payload, strict=True)
    if name != "metering":
        text = message.payload.decode()
        assert not [i for i in range(POINTS) if name != f"p{i}" and f"load:{i}" in text]


# The command.


def run(*arguments: Any) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def statements(*arguments: Any) -> StatementsFile:
    result = run("statements", *arguments, "--json")
    assert result.exit_code == 0, result.stderr
    return StatementsFile.model_validate_json(result.stdout, strict=True)


def write(path: Path, entries: list[JournalEntry]) -> Path:
    path.write_bytes(b"".join(encode_entry(entry) + b"\n" for entry in entries))
    return path


@pytest.fixture
def entries() -> list[JournalEntry]:
    """load:0 has sold 1 kW for 0.045 EUR, breached by 900 W, and 400 W after the correction."""
    steps = [
        ("read", 1, 0, HELD_W),
        ("read", 2, 1, HELD_W),
        ("wait", 0, 0, 0),
        ("read", 3, 0, HELD_W - 500),
        *[("wait", 0, 0, 0)] * 3,
    ]
    core = JournaledExchange(market("a", POINTS, RULES))
    made = [core.handle(command, now)[0] for command, now in commands(steps)]
    return [entry for entry in made if entry is not None]


@pytest.fixture
def journal(entries: list[JournalEntry], tmp_path: Path) -> Path:
    return write(tmp_path / "journal.jsonl", entries)


def test_statements_of_a_journal(journal: Path) -> None:
    accounts = {each.account: each for each in statements(journal).accounts}
    assert sorted(accounts) == ["dso penalties", "p0", "p1", "p2", "p3"]
    (line,) = accounts["p0"].lines
    assert (line.trades, line.sold_w, line.received, line.penalties, line.balance) == (
        *(1, 1000, "0.045", "0.2", "-0.155"),
    )
    (metered,) = line.metered
    assert (metered.standing, metered.breach_w, metered.corrections) == ("breach", 400, 1)
    assert (metered.injection_limit_w, metered.tolerance_w) == (HELD_W - 1000, 100)
    assert [each.standing for each in accounts["p1"].lines[0].metered] == ["kept"]
    assert [each.standing for each in accounts["p2"].lines[0].metered] == ["missing"]


def test_a_correction_is_in_the_period_in_which_it_was_booked(journal: Path) -> None:
    border = (END + timedelta(hours=1)).isoformat()
    before = statements(journal, "--until", border, "--participant", "p0").accounts[0]
    after = statements(journal, "--since", border, "--participant", "p0").accounts[0]
    assert (before.opening, before.closing) == ("0", "-0.405")
    assert (after.opening, after.closing) == ("-0.405", "-0.155")
    assert [line.penalties for line in after.lines] == ["-0.25"]


def test_statements_as_rows_and_tables(journal: Path, tmp_path: Path) -> None:
    file = tmp_path / "statements.csv"
    assert run("statements", journal, "--csv", "-o", file).exit_code == 0
    shown = run("statements", journal, "--csv").stdout
    assert shown == file.read_text()
    rows = list(csv.DictReader(io.StringIO(shown)))
    assert sum(Decimal(row["closing"]) for row in rows) == 0
    for row in rows:
        assert Decimal(row["opening"]) + Decimal(row["balance"]) == Decimal(row["closing"])
    (p0,) = [row for row in rows if row["account"] == "p0"]
    assert (p0["breaches"], p0["breach_w"], p0["penalties"]) == ("1", "400", "0.2")
    assert "5 accounts; the closing balances add up to 0 EUR" in run("statements", journal).stdout
    one = run("statements", journal, "--participant", "p0").stdout
    assert "400 W of breach cost 0.2 EUR" in one.replace("\n", " ")
    assert "the reading is missing" in run("statements", journal, "--participant", "p2").stdout


def test_statements_of_a_result(tmp_path: Path) -> None:
    shared: dict[str, Any] = {
        "interval": START,
        "bought_w": 0,
        "sold_w": 0,
        "paid": "0",
        "received": "0",
    }
    later = shared | {"interval": END, "compensation": "0.5"}
    result = ResultFile(
        trades=[],
        fills=[],
        resting=[],
        refusals=[],
        envelopes=EnvelopeFile(intervals=[]),
        welfare="0",
        statements=[
            StatementRecord(participant="p0", balance="1.25", **shared),
            StatementRecord(participant="p0", balance="0.5", **later),
            StatementRecord(participant="p1", balance="-1.75", **shared),
        ],
    )
    path = tmp_path / "result.json"
    path.write_text(result.model_dump_json(indent=2))
    first, second = statements(path).accounts
    assert (first.account, first.opening, first.closing) == ("p0", "0", "1.75")
    assert [line.compensation for line in first.lines] == ["0", "0.5"]
    assert second.closing == "-1.75"
    refused = run("statements", path, "--since", NOON)
    assert refused.exit_code == 2
    assert "are for journals" in refused.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--participant", "p9"], "nothing was booked for p9; there are dso penalties, p0"),
        (["--since", "noon"], "--since: 'noon' is not a time"),
        (["--until", "2096-06-01T12:00:00"], "--until: 2096-06-01T12:00:00 has no time zone"),
        (["--since", NOON, "--until", NOON], "is empty"),
        (["--csv", "--json"], "exclude each other"),
    ],
)
def test_options_that_are_not_right(journal: Path, arguments: list[str], words: str) -> None:
    result = run("statements", journal, *arguments)
    assert result.exit_code == 2
    assert words in result.stderr
    assert result.stdout == ""


def test_a_journal_whose_price_steps_differ_is_refused(
    entries: list[JournalEntry], tmp_path: Path
) -> None:
    opened = next(e for entry in entries for e in entry.events if isinstance(e, SessionOpened))
    last = entries[-1]
    number = last.events[-1].sequence + 1
    coarse = replace(opened, tick=Decimal("0.01"), sequence=number)
    further = replace(last, sequence=last.sequence + 1, events=(coarse,))
    mixed = write(tmp_path / "mixed.jsonl", [*entries, further])
    result = run("statements", mixed)
    assert result.exit_code == 2
    assert "its price steps differ, 0.0001 and 0.01 EUR per kW" in result.stderr


def test_a_journal_whose_money_does_not_add_up_is_refused(
    entries: list[JournalEntry], tmp_path: Path
) -> None:
    content = b"".join(encode_entry(entry) + b"\n" for entry in entries)
    forged = tmp_path / "forged.jsonl"
    forged.write_bytes(content.replace(b'"amount":450000', b'"amount":450001'))
    result = run("statements", forged)
    assert result.exit_code == 2
    assert "does not follow" in result.stderr
    assert "booked are Account(" in result.stderr
