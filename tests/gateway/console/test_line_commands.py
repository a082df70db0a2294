from __future__ import annotations

import asyncio
import contextlib
import io
from datetime import UTC, datetime
from decimal import Decimal

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from doe_allocation.procurement.choices import FlexDirection
from gateway.console.line_commands import (
    HELP,
    Amend,
    Cancel,
    Flexibility,
    LineError,
    LineReader,
    Place,
    Quit,
    Show,
    Wait,
)
from gateway.console.lines import lines_of
from orderbook.order import Side
from security_check.model.envelope import Direction

NOON = datetime(2026, 7, 1, 12, tzinfo=UTC)
LATER = datetime(2026, 7, 1, 12, 15, tzinfo=UTC)
READER = LineReader((NOON, LATER))
IN, OUT = Direction.INJECTION, Direction.WITHDRAWAL
UP, DOWN = FlexDirection.UPWARD, FlexDirection.DOWNWARD


@pytest.mark.parametrize(
    ("line", "asked"),
    [
        ("", None),
        ("  # a comment", None),
        ("book", Show("book")),
        ("BOOK with 12:15", Show("book", OUT, LATER)),
        ("orders", Show("orders")),
        ("help", Show("help")),
        (
            "buy load:3 injection 1500 0.05",
            Place(Side.BUY, "load:3", IN, 1500, Decimal("0.05"), None),
        ),
        (
            "sell 'shop 3' w 10 0.05 2026-07-01T12:00Z",
            Place(Side.SELL, "shop 3", OUT, 10, Decimal("0.05"), NOON),
        ),
        ("sell load:3 inj 10", Place(Side.SELL, "load:3", IN, 10, None, None)),
        ("amend 7 watts=30 price=0.07", Amend("7", 30, Decimal("0.07"))),
        ("amend a price=-0.07", Amend("a", None, Decimal("-0.07"))),
        (
            "offer load:3 up 500 0.035",
            Flexibility(Side.SELL, "load:3", UP, 500, Decimal("0.035"), None),
        ),
        (
            "request n2 down 800 0.04 12:15",
            Flexibility(Side.BUY, "n2", DOWN, 800, Decimal("0.04"), LATER),
        ),
        (
            "request if n2 down 800 0.04",
            Flexibility(Side.BUY, "n2", DOWN, 800, Decimal("0.04"), None, conditional=True),
        ),
        ("flexibility", Show("flexibility")),
        ("cancel 7", Cancel("7")),
        ("cancel all", Cancel(None)),
        ("wait 0.5", Wait(0.5)),
        ("quit", Quit()),
    ],
)
def test_lines_say_what_is_asked(line: str, asked: object) -> None:
    assert READER.read(line) == asked


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("dance", "there is no command 'dance'"),
        ("buy load:3 injection", "buy POINT DIRECTION WATTS"),
        ("buy load:3 sideways 10", "'sideways' is neither injection nor withdrawal"),
        ("buy load:3 injection 1.5", "'1.5' is no whole number of watts"),
        ("buy load:3 injection 10 nan", "'nan' is no price"),
        ("buy load:3 injection 10 0.1 12:30", "no interval that trades begins at 12:30"),
        ("book injection noon", "'noon' is no time"),
        ("book injection 2026-07-01T12:00", "has no offset"),
        ("amend 7", "amend ORDER"),
        ("amend 7 colour=red", "amend ORDER"),
        ("cancel", "cancel needs one thing more"),
        ("wait -1", "the time is '-1'"),
        ("wait nan", "the time is 'nan'"),
        ("orders now", "orders needs nothing more"),
        ("sell 'open", "No closing quotation"),
    ],
)
def test_what_is_no_command_is_a_sentence(line: str, words: str) -> None:
    with pytest.raises(LineError, match=words):
        READER.read(line)


WORD = st.sampled_from(
    [each.split()[0] for each in HELP.splitlines()[:11]]
    + ["injection", "load:0", "12", "12:00", "price=", "watts=x", "=", "all", "'", "#"]
) | st.text(max_size=8)


@given(st.lists(WORD, max_size=7).map(" ".join))
@example("wait 1e999")
@example("buy a i 9 1e99999999")
@example("book i 00:00+99:00")
def test_any_line_is_a_command_or_a_sentence(line: str) -> None:
    with contextlib.suppress(LineError):  # and nothing else is raised
        READER.read(line)


async def test_lines_come_as_they_are_asked_for() -> None:
    read = [line async for line in lines_of(io.StringIO("one\ntwo\r\n\nlast"))]
    assert read == ["one", "two", "", "last"]
    closed = io.StringIO("x")
    closed.close()
    assert [line async for line in lines_of(closed)] == []


async def test_a_keyboard_that_says_nothing_keeps_nobody_waiting() -> None:
    import os

    reading, writing = os.pipe()
    with os.fdopen(reading) as source, os.fdopen(writing, "w") as keyboard:
        lines = lines_of(source)
        first = asyncio.ensure_future(anext(lines))
        await asyncio.sleep(0.01)
        assert not first.done()
        keyboard.write("hello\n")
        keyboard.flush()
        assert await first == "hello"
