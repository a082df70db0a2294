"""The fold from events to messages, over random markets: what must hold of every message."""

from __future__ import annotations

import json
from collections import Counter
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from gateway_market import START, market, retained
from hypothesis import given, settings
from hypothesis import strategies as st
from report_forms import COMMANDS, FORMS, LATER, OPENINGS, POINTS

from exchange.vocabulary.commands import (
    AdvanceTime,
    Command,
)
from exchange.vocabulary.rules import DSO_CONGESTION_RENT
from gateway.messages.topics import Topics, interval_level
from gateway.ports import JournalEntry, Outgoing, Snapshot
from gateway.publishing.publisher import last_will
from gateway.service.core import JournaledExchange
from security_check.model.envelope import Direction

TOPICS = Topics("a")

Limits = dict[tuple[str, str, str], int]


class World:
    """What the outside knows: everything published, and nothing else."""

    def __init__(self) -> None:
        self.sequences: dict[str, int] = {}
        self.versions: dict[str, int] = {}
        self.limits: Limits = {}
        self.books: dict[str, tuple[int, dict[tuple[str, str], int]]] = {}
        self.book_messages: dict[str, int] = {}
        # By trade and book: what reports say was bought and paid, and what the tape says.
        self.bought: Counter[tuple[int, str, str]] = Counter()
        self.printed: Counter[tuple[int, str, str]] = Counter()
        # By participant and interval: what it bought, sold and paid in all, and its statement.
        self.traded: dict[tuple[str, str], list[Decimal]] = {}
        self.statements: dict[tuple[str, str], list[Decimal]] = {}

    def hear(self, message: Outgoing) -> dict[str, Any] | None:
        kind, _, name = message.topic.removeprefix("doe/v1/a/").partition("/")
        if not message.payload:
            assert message.retain
            if kind == "book":
                del self.books[name]
            return None
        FORMS[kind].validate_json(message.payload, strict=True)
        content: dict[str, Any] = json.loads(message.payload)
        if kind == "report":
            assert content["sequence"] == self.sequences.get(name, 0) + 1
            self.sequences[name] = content["sequence"]
            if name not in ("operator", "metering"):
                self._names_no_other_participant(name, message.payload.decode())
            if content["type"] == "traded":
                self._follow_trade(name, content)
            if content["type"] == "statement":
                owed = Decimal(content["paid"]) - Decimal(content["received"])
                account = [Decimal(content["bought_w"]), Decimal(content["sold_w"]), owed]
                self.statements[content["account"], content["interval"]] = account
        if kind == "trade":
            assert "load:" not in message.payload.decode()
            assert not any(f'"p{number}"' in message.payload.decode() for number in range(POINTS))
            low, price, high = (Decimal(content[f"{n}price"]) for n in ("low_", "", "high_"))
            assert low <= price <= high
            self.printed[_book(content)] += content["quantity_w"]
        if kind == "envelope":
            point, _, level = name.partition("/")
            assert (
                content["connection_point"],
                interval_level(datetime.fromisoformat(content["start"])),
            ) == (point, level)
            assert content["version"] > self.versions.get(name, 0)
            self.versions[name] = content["version"]
            for limit in ("injection_limit_w", "withdrawal_limit_w"):
                self.limits[point, content["start"], limit] = content[limit]
        if kind == "book":
            self._follow_book(name, content)
        return content

    def _follow_trade(self, name: str, report: dict[str, Any]) -> None:
        quantity_w, paid = Decimal(report["quantity_w"]), Decimal(report["amount"])
        buys = report["side"] == "buy"
        average = 1000 * (paid if buys else -paid) / quantity_w
        assert abs(Decimal(report["price"]) - average) <= Decimal("1e-10")
        if buys:
            self.bought[_book(report)] += report["quantity_w"]
        for who, sign in ((name, 1), (DSO_CONGESTION_RENT, -1)):
            account = self.traded.setdefault((who, report["interval"]), [Decimal(0)] * 3)
            account[2] += sign * paid
            if who == name:
                account[not buys] += quantity_w

    def _names_no_other_participant(self, name: str, text: str) -> None:
        for other in range(POINTS):
            if name != f"p{other}":
                assert f'"p{other}"' not in text
                assert f"load:{other}" not in text

    def _follow_book(self, name: str, content: dict[str, Any]) -> None:
        levels = {
            (level["side"], level["price"]): level["quantity_w"] for level in content["levels"]
        }
        if content["type"] == "delta":
            sequence, known = self.books[name]
            assert self.book_messages[name] == content["previous"] <= sequence
            levels = known | levels
        self.book_messages[name] = content["sequence"]
        self.books[name] = (
            content["sequence"],
            {level: quantity_w for level, quantity_w in levels.items() if quantity_w},
        )

    def has_books_of(self, core: JournaledExchange) -> None:
        """Check that the depth that was published is that of the open orders."""
        assert core.publisher.books.changes() == []
        for name, found in _books_of(core).items():
            if name in self.books:
                assert self.books[name][1] == found[1]

    def asks_for_books_of(self, core: JournaledExchange) -> None:
        """Take the books as they are, between two messages: the next one may be applied to them."""
        self.books |= {name: each for name, each in _books_of(core).items() if name in self.books}


def _books_of(core: JournaledExchange) -> dict[str, tuple[int, dict[tuple[str, str], int]]]:
    """Return sequence and depth of all open books by the end of their topics."""
    found = {}
    for start in (START, LATER):
        for direction in Direction:
            sequence = core.publisher.books.sequence((start, direction))
            if sequence is not None:
                name = TOPICS.book(direction, start).removeprefix("doe/v1/a/book/")
                found[name] = sequence, depth(core, direction, start)
    return found


def _book(content: dict[str, Any]) -> tuple[int, str, str]:
    return content["trade_id"], content["interval"], content["direction"]


def inside(limits: Limits, outer: Limits) -> bool:
    return all(key not in outer or value <= outer[key] for key, value in limits.items())


def in_force(core: JournaledExchange) -> Limits:
    def text(time: datetime) -> str:
        return time.isoformat().replace("+00:00", "Z")

    return {
        (envelope.connection_point, text(start), f"{direction}_limit_w"): limit_w
        for start in core.exchange.state.sessions
        for envelope in core.exchange.envelopes(start)
        for direction, limit_w in (
            ("injection", envelope.injection_limit_w),
            ("withdrawal", envelope.withdrawal_limit_w),
        )
    }


def depth(
    core: JournaledExchange, direction: Direction, start: datetime
) -> dict[tuple[str, str], int]:
    levels: dict[tuple[str, str], int] = {}
    for order in core.exchange.state.orders.values():
        if (order.interval, order.direction) == (start, direction) and not order.conditional:
            price = core.exchange.state.rules.price_in_eur_per_kw(order.limit_price_ticks)
            key = (order.side.value, f"{price:f}")
            levels[key] = levels.get(key, 0) + order.displayed_w
    return levels


def test_random_markets_trade() -> None:
    trades = 0

    @settings(max_examples=20, deadline=None, database=None, derandomize=True)
    @given(COMMANDS)
    def count(commands: list[Command]) -> None:
        nonlocal trades
        core = JournaledExchange(market("a", POINTS))
        for command in [*OPENINGS, *commands]:
            _, messages = core.handle(command, START - timedelta(hours=5))
            trades += sum(message.topic == TOPICS.trade for message in messages)

    count()
    assert trades > 20


@settings(max_examples=60, deadline=None)
@given(COMMANDS, st.integers(1, 5))
def test_what_is_published_is_right_secure_and_discreet(
    commands: list[Command], entries_between_changes: int
) -> None:
    core, world = JournaledExchange(market("a", POINTS)), World()
    now = START - timedelta(hours=5)
    for number, command in enumerate([*OPENINGS, *commands]):
        now += timedelta(seconds=1)
        old = in_force(core)
        _, messages = core.handle(command, now)
        new = in_force(core)
        for message in messages:
            world.hear(message)
            assert inside(world.limits, old) or inside(world.limits, new)
        assert world.limits == new
        if number % 3 == 0:
            world.asks_for_books_of(core)
        if number % entries_between_changes == 0:
            for message in core.publisher.books.changes():
                world.hear(message)
            world.has_books_of(core)
    for message in core.market_data():
        world.hear(message)
    world.has_books_of(core)
    assert world.printed == world.bought
    for message in core.handle(AdvanceTime(), LATER)[1]:
        world.hear(message)
    reported = {key: account for key, account in world.traded.items() if any(account)}
    assert world.statements == reported
    for message in core.market_data():
        world.hear(message)
    for message in retained(core, START):
        if not message.payload:
            continue  # it removes what a broker may have kept
        kind = message.topic.removeprefix("doe/v1/a/").partition("/")[0]
        FORMS[kind].validate_json(message.payload, strict=True)


@settings(max_examples=40, deadline=None)
@given(COMMANDS, st.integers(0, 40))
def test_recovery_makes_the_same_messages(commands: list[Command], cut: int) -> None:
    core = JournaledExchange(market("a", POINTS))
    outcome: list[tuple[JournalEntry, list[Outgoing]]] = []
    snapshot: Snapshot | None = None
    now = START - timedelta(hours=5)
    for number, command in enumerate([*OPENINGS, *commands]):
        if number == cut:
            snapshot = core.snapshot()
        now += timedelta(seconds=1)
        entry, messages = core.handle(command, now)
        if entry is not None:
            outcome.append((entry, messages))
    again = JournaledExchange(market("a", POINTS), snapshot)
    for entry, messages in outcome[again.sequence :]:
        assert again.apply(entry) == messages
    assert retained(again, START) == retained(core, START)
    assert again.exchange.digest() == core.exchange.digest()


def test_will_is_a_session_message() -> None:
    content = FORMS["session"].validate_json(last_will(TOPICS).payload)
    assert content.status == "offline"
