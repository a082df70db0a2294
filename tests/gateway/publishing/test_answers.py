"""Queries: answers are the state, of the asker alone, and mirrors made of them are exact."""

from __future__ import annotations

import json
import random
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from gateway_market import OPENING, START, market
from hypothesis import given, settings
from hypothesis import strategies as st
from linear_grid import LinearGrid
from queried_mirror import ORDER_KEYS, Content, Mirror
from report_forms import COMMANDS, LATER, OPENINGS, POINTS
from sampling import examples
from wild_days import WildDay

from exchange.accounts.ledger import Account
from exchange.accounts.statements import Statements
from exchange.vocabulary.commands import Command, HaltTrading, SubmitOrder
from exchange.vocabulary.events import Event, Refused
from exchange.vocabulary.formatting import format_time
from exchange.vocabulary.orders import OrderTerms
from exchange.vocabulary.rules import (
    DSO_ACCOUNTS,
    METERING,
    OPERATOR,
    TSO,
    MarketRules,
)
from exchange.vocabulary.settlement_events import StatementIssued
from gateway.messages.catalogue import CHANNELS
from gateway.messages.requests import Reader
from gateway.messages.safeguard_requests import SignOfLife
from gateway.messages.topics import Topics
from gateway.ports import JournalEntry, Outgoing
from gateway.publishing import answers, kept_reports
from gateway.service.core import ExchangeSetup, JournaledExchange, restored
from orderbook.order import OrderConditions, Side
from security_check.model.envelope import Direction

FORM = {channel.name: channel.adapter() for channel in CHANNELS}["answers"]
NOW = START - timedelta(hours=5)


@contextmanager
def small_pages(size: int) -> Iterator[None]:
    """Let a page hold some entries only, so that few entries have many pages."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(answers, "ANSWER_BYTES", size + answers._NEXT_BYTES)
        yield


def ask(core: JournaledExchange, sender: str, about: str, **more: Any) -> Content:
    query = {"type": "query", "query_id": "q", "about": about, **more}
    return asked(core, sender, json.dumps(query).encode())


def asked(core: JournaledExchange, sender: str, payload: bytes) -> Content:
    message = core.answer(sender, payload, NOW).message
    assert message.topic.endswith(f"/answer/{sender}")
    assert message.expires_after_s == 60
    assert not message.retain
    FORM.validate_json(message.payload, strict=True)
    content: Content = json.loads(message.payload)
    return content


def pages(core: JournaledExchange, sender: str, about: str, **more: Any) -> list[Content]:
    """Return all pages of an answer."""
    found = [ask(core, sender, about, **more)]
    while "next" in found[-1]:
        found.append(ask(core, sender, about, **more | {"from": found[-1]["next"]}))
    return found


def entries(core: JournaledExchange, sender: str, about: str, **more: Any) -> list[Content]:
    return [entry for page in pages(core, sender, about, **more) for entry in page["entries"]]


# -- the truth, from the state itself -----------------------------------------------------------


def true_orders(core: JournaledExchange, name: str) -> dict[str, dict[int, Content]]:
    found: dict[str, dict[int, Content]] = {}
    for order in core.exchange.state.orders.values():
        if order.participant == name:
            price = core.exchange.state.rules.price_in_eur_per_kw(order.limit_price_ticks)
            named = {key: getattr(order, key, None) for key in ORDER_KEYS}
            named |= {"interval": format_time(order.interval), "price": f"{price:f}"}
            legs = found.setdefault(order.client_order_id, {})
            legs[order.order_id] = named | {"remaining_w": order.remaining_w}
    return found


def true_limits(core: JournaledExchange, name: str) -> dict[tuple[str, str], tuple[int, int]]:
    owned = {
        p.connection_point for p in core.exchange.state.terms.values() if p.participant == name
    }
    return {
        (each.connection_point, format_time(start)): (
            each.injection_limit_w,
            each.withdrawal_limit_w,
        )
        for start in core.exchange.open_intervals()
        for each in core.exchange.envelopes(start)
        if each.connection_point in owned
    }


# -- a client on a link that delays --------------------------------------------------------------


class Client:
    """Asks at moments of its own; hears reports and answers late, each topic in order."""

    def __init__(self, core: JournaledExchange, name: str, chance: random.Random) -> None:
        self.core, self.name, self.chance = core, name, chance
        self.mirror = Mirror()
        self.compared = self.pages = 0
        self._reports: deque[Content] = deque()
        self._answers: deque[Content] = deque()
        self._due: deque[Content] = deque()
        self._truth: dict[int, Any] = {}

    def begin(self) -> None:
        self.mirror.lose()
        self._answers.clear()
        self._due = deque([{"about": "orders"}, {"about": "positions"}])

    def published(self, messages: list[Outgoing]) -> None:
        """Note what was published for it, and what is true after it."""
        topic = f"/report/{self.name}"
        self._reports += [json.loads(m.payload) for m in messages if m.topic.endswith(topic)]
        newest = self.core.publisher.report_sequence(self.name)
        truth = (true_orders(self.core, self.name), true_limits(self.core, self.name))
        before = self._truth.get(newest)
        if before is not None:
            assert before[0] == truth[0], "orders changed without a report"
            assert before[1].items() >= truth[1].items(), "limits changed without a report"
        self._truth[newest] = truth

    def ask(self) -> None:
        """Ask the next query that is due, if any: the first, or for the next page."""
        if not self._due:
            return
        query = self._due.popleft()
        page = ask(self.core, self.name, **query)
        self._answers.append(page)
        self.pages += 1
        if "next" in page:
            self._due.append({**query, "from": page["next"]})

    def deliver(self, *, everything: bool = False) -> None:
        """Let some of what was published arrive."""
        while self._reports or self._answers:
            if not everything and self.chance.random() < 0.3:
                break
            ready = self._answers and self.mirror.can_take(self._answers[0])
            if ready and (not self._reports or self.chance.random() < 0.5):
                self.mirror.take(self._answers.popleft())
            elif self._reports:
                self.mirror.hear(self._reports.popleft())
            else:
                break
        self.compare()

    def compare(self) -> None:
        """Compare the mirror with what was true after the entry of its last report."""
        truth = self._truth.get(self.mirror.sequence)
        if truth is None or not self.mirror.complete:
            return  # in the middle of an entry's reports, or of an answer
        orders, limits = truth
        assert self.mirror.orders == orders
        assert self.mirror.limits.items() >= limits.items()
        self.compared += 1


def follow(core: JournaledExchange, commands: list[tuple[Command, datetime]], seed: int) -> Client:
    """Let a client of p0 mirror its orders through a day, beginning anew at random moments."""
    chance = random.Random(seed)
    client = Client(core, "p0", chance)
    client.published([])
    client.begin()
    for command, now in commands:
        _, messages = core.handle(command, now)
        client.published(messages)
        if chance.random() < 0.05:
            client.begin()
        if chance.random() < 0.6:
            client.ask()
        client.deliver()
    while client._due:
        client.ask()
    client.deliver(everything=True)
    assert client.mirror.complete
    assert client.mirror.orders == true_orders(core, "p0")
    assert client.mirror.limits.items() >= true_limits(core, "p0").items()
    assert client.compared
    return client


def wild_day(seed: int, steps: int) -> tuple[JournaledExchange, list[tuple[Command, datetime]]]:
    """Return an exchange at the beginning of a random day, and the commands of the day."""
    day = WildDay(seed)
    for _ in range(steps):
        day.step()
    made, grid = day.market, LinearGrid(day.market.grid.capacity_w, day.market.grid.rows)
    core = JournaledExchange(ExchangeSetup(Topics("a"), grid, made.rules, made.terms))
    return core, made.commands


@settings(max_examples=examples(30), deadline=None)
@given(COMMANDS, st.integers(0, 2**32), st.sampled_from([300, 900, 60_000]))
def test_a_mirror_by_queries_and_reports_is_exact(
    commands: list[Command], seed: int, size: int
) -> None:
    core = JournaledExchange(market("a", POINTS))
    timed = [(c, NOW + k * timedelta(seconds=1)) for k, c in enumerate([*OPENINGS, *commands])]
    with small_pages(size):
        follow(core, timed, seed)


@settings(max_examples=examples(10), deadline=None)
@given(st.integers(0, 2**32))
def test_a_mirror_is_exact_through_auctions_curtailments_and_controls(seed: int) -> None:
    core, commands = wild_day(seed, 60)
    with small_pages(700):
        follow(core, commands, seed)


def test_pages_with_events_between_them_are_many() -> None:
    """The tests above would say little if each mirror were made of two pages."""
    core = JournaledExchange(market("a", 1))
    orders = [
        SubmitOrder(
            "p0",
            f"a{k}",
            OrderTerms("load:0", Direction.INJECTION, START, Side.SELL, 1, 1 + k),
        )
        for k in range(200)
    ]
    with small_pages(900):
        client = follow(core, [(OPENING, NOW), *((each, NOW) for each in orders)], 7)
    assert client.pages > 40
    assert client.compared > 15


# -- who may know what ---------------------------------------------------------------------------

ABOUT = {
    "p0": ("orders", "positions", "reports", "requests", "statement", "book", "session"),
    TSO: ("limits", "reports", "requests", "book", "session"),
    OPERATOR: ("controls", "reports", "requests", "statement", "book", "session"),
    METERING: ("reports", "requests", "book", "session"),
}
MORE: dict[str, dict[str, Any]] = {
    "requests": {"request_ids": [f"{letter}{k}" for letter in "cra" for k in range(25)]},
    "book": {"direction": "injection", "interval": format_time(START)},
}


@settings(max_examples=5, deadline=None)
@given(COMMANDS, st.sampled_from([400, 60_000]))
def test_answers_name_no_other_participant_and_change_nothing(
    commands: list[Command], size: int
) -> None:
    core, silent = (JournaledExchange(market("a", POINTS)) for _ in range(2))
    with small_pages(size):
        for k, command in enumerate([*OPENINGS, *commands]):
            now = NOW + k * timedelta(seconds=1)
            for name in [f"p{number}" for number in range(POINTS)] if k % 9 == 0 else []:
                for about in ABOUT["p0"]:
                    text = json.dumps(pages(core, name, about, **MORE.get(about, {})))
                    for other in range(POINTS):
                        if name != f"p{other}":
                            assert f'"p{other}"' not in text
                            assert f'"load:{other}"' not in text
            for role in (TSO, OPERATOR, METERING) if k % 9 == 0 else ():
                for about in ABOUT[role]:
                    pages(core, role, about, **MORE.get(about, {}))
            assert core.handle(command, now) == silent.handle(command, now)
    assert core.exchange.digest() == silent.exchange.digest()
    assert core.publisher.state() == silent.publisher.state()
    assert core.sequence == silent.sequence


@pytest.mark.parametrize("sender", ABOUT)
def test_each_sender_may_ask_about_its_own_matters_only(sender: str) -> None:
    core = JournaledExchange(market("a"))
    core.handle(OPENING, NOW)
    for about in {each for every in ABOUT.values() for each in every}:
        answer = ask(core, sender, about, **MORE.get(about, {}))
        if about in ABOUT[sender]:
            assert answer["about"] == about
        else:
            assert (answer["about"], answer["refused"]) == (None, "unauthorised")


# -- what an answer says -------------------------------------------------------------------------


def _books(ticks: int, rules: MarketRules) -> str:
    return f"{rules.amount_in_eur(ticks):f}"


@settings(max_examples=examples(6), deadline=None)
@given(st.integers(0, 2**32))
def test_statements_limits_session_and_books_are_those_of_the_events(seed: int) -> None:
    """The oracles: statements made of the journal alone, and the last messages published."""
    core, commands = wild_day(seed, 80)
    ledger, events = Statements(), list[Event]()
    session: Content = {}
    for k, (command, now) in enumerate(commands):
        entry, messages = core.handle(command, now)
        if entry is not None:
            events += entry.events
            for event in entry.events:
                ledger.apply(event)
        for message in messages:
            if message.topic.endswith("/session"):
                session = json.loads(message.payload)
        if k % 7 == 0:
            with small_pages(500):
                check_statements(core, ledger, events)
                check_public(core, session)


def check_statements(core: JournaledExchange, ledger: Statements, events: list[Event]) -> None:
    rules = core.exchange.state.rules
    for sender in (*core.exchange.state.participants, OPERATOR):
        names = DSO_ACCOUNTS if sender == OPERATOR else (sender,)
        found = pages(core, sender, "statement")
        assert all(page["accounts"] == found[0]["accounts"] for page in found)
        said = {each["account"]: each for each in found[0]["accounts"]}
        assert said.keys() == set(names)
        for name in names:
            statement = ledger.statement(name)
            assert said[name]["balance"] == _books(statement.closing, rules)
            issued = [e for e in events if isinstance(e, StatementIssued) and e.participant == name]
            settled = sum(each.balance for each in issued)
            assert Decimal(said[name]["settled"]) == rules.amount_in_eur(settled)
            left: dict[str, Account] = {}
            for line in statement.lines:
                each = left[format_time(line.interval)] = line.account
                for event in issued:
                    if event.interval == line.interval:
                        each = left[format_time(line.interval)] = Account(
                            each.bought_w - event.bought_w,
                            each.sold_w - event.sold_w,
                            each.paid - event.paid,
                            each.received - event.received,
                            each.compensation - event.compensation,
                            each.penalties - event.penalties,
                        )
            booked = {
                (entry["interval"], entry["bought_w"], entry["sold_w"], entry["balance"])
                for page in found
                for entry in page["entries"]
                if entry["account"] == name
            }
            expected = {
                (start, each.bought_w, each.sold_w, _books(each.balance, rules))
                for start, each in left.items()
            }
            # An account that was settled, or whose bookings add up to nothing, may be there or not.
            assert booked >= {each for each in expected if Decimal(each[3]) or each[1] or each[2]}
            assert booked <= expected


def check_public(core: JournaledExchange, session: Content) -> None:
    state = core.exchange.state
    told = pages(core, TSO, "session")
    if session:
        assert [each for page in told for each in page["entries"]] == session["intervals"]
        for name in ("status", "last_alarm", "min_price", "max_price"):
            assert told[0][name] == session[name]
    limits = entries(core, TSO, "limits")
    assert {each["interval"] for each in limits} == {
        format_time(start) for start in core.exchange.open_intervals()
    }
    for each in limits:
        held = state.sessions[datetime.fromisoformat(each["interval"])]
        assert each["voltage_max_pu"] == held.interface_limits.voltage_max_pu
        assert each["injection_limit_w"] == held.interface_limits.injection_limit_w
        assert each["halted"] == state.is_halted(held)
    for start in core.exchange.open_intervals():
        for direction in Direction:
            place = {"direction": direction.value, "interval": format_time(start)}
            levels = entries(core, "p0", "book", **place)
            shown: dict[tuple[str, str], int] = {}
            for order in state.orders.values():
                if (order.interval, order.direction) == (start, direction):
                    price = f"{state.rules.price_in_eur_per_kw(order.limit_price_ticks):f}"
                    if not order.conditional:
                        key = (order.side.value, price)
                        shown[key] = shown.get(key, 0) + order.displayed_w
            assert {(e["side"], e["price"]): e["quantity_w"] for e in levels} == shown
            bids = [Decimal(each["price"]) for each in levels if each["side"] == "buy"]
            offers = [Decimal(each["price"]) for each in levels if each["side"] == "sell"]
            assert bids == sorted(bids, reverse=True)
            assert offers == sorted(offers)


@settings(max_examples=examples(15), deadline=None)
@given(COMMANDS)
def test_outcomes_of_requests_are_those_of_the_reports(commands: list[Command]) -> None:
    core = JournaledExchange(market("a", POINTS))
    first: dict[str, Content] = {}
    ended: dict[str, str] = {}
    for k, command in enumerate([*OPENINGS, *commands]):
        _, messages = core.handle(command, NOW + k * timedelta(seconds=1))
        for message in messages:
            report = json.loads(message.payload) if message.topic.endswith("/report/p0") else {}
            reused = report.get("reason") == "client_order_id_reused"
            if report.get("request_id") and not reused and report["request"] != "message":
                first.setdefault(report["request_id"], report)
            if report.get("type") == "cancelled" and not report["repeated"]:
                ended[report["client_order_id"]] = report["reason"]
    asked_ids = MORE["requests"]["request_ids"]
    for page in (400, 60_000):
        with small_pages(page):
            outcomes = entries(core, "p0", "requests", request_ids=asked_ids)
        assert [each["request_id"] for each in outcomes] == asked_ids
        for each in outcomes:
            report = first.get(each["request_id"])
            if report is None:
                assert each["outcome"] == "unknown"
                continue
            assert (each["outcome"], each["event"]) == (report["type"], report["event"])
            assert each["reason"] == (report["reason"] if report["type"] == "refused" else None)
            is_order = report["type"] in ("accepted", "joint_accepted")
            mine = true_orders(core, "p0").get(each["request_id"], {}) if is_order else {}
            assert each["order_id"] == (min(mine) if mine else None)
            if is_order:
                assert each["ended"] == ended.get(each["request_id"])


def controls_of(core: JournaledExchange) -> list[Content]:
    return entries(core, OPERATOR, "controls")


def test_controls_are_those_in_force() -> None:
    core = JournaledExchange(market("a"))
    core.handle(OPENING, NOW)
    assert controls_of(core) == []
    start = format_time(START)
    every: list[Content] = [
        {
            "type": "buy_back",
            "interval": start,
            "direction": "injection",
            "quantity_w": 500,
            "price": "0.0400",
        },
        {"type": "halt", "interval": None},
        {"type": "halt", "interval": start},
        {"type": "kill_switch", "participant": "*"},
        {"type": "kill_switch", "participant": "p1"},
        {"type": "price_collar", "min_price": "0.0010", "max_price": None},
        {
            "type": "risk_limits",
            "participant": "p0",
            "max_quantity_w": 7,
            "orders_per_minute": None,
            "position_w": None,
            "credit": "2.5000000",
        },
    ]
    reader = Reader(core.exchange.state.rules.tick, ["p0"], core.exchange.open_intervals)

    def control(number: int, content: Content) -> None:
        message = {**content, "control_id": f"c{number}"}
        command = reader.read(OPERATOR, json.dumps(message).encode())
        assert not isinstance(command, SignOfLife)
        entry, _ = core.handle(command, NOW)
        assert entry is not None
        assert not any(isinstance(event, Refused) for event in entry.events), entry

    for number, each in enumerate(every):
        switch = {"engaged": True} if each["type"] == "kill_switch" else {}
        control(number, {key: value for key, value in each.items() if value is not None} | switch)
    assert controls_of(core) == every
    with small_pages(200):
        assert len(pages(core, OPERATOR, "controls")) > 3
        assert controls_of(core) == every
    control(90, {"type": "price_collar"})
    control(91, {"type": "resume", "interval": start})
    halts = [each for each in controls_of(core) if each["type"] == "halt"]
    assert halts == [{"type": "halt", "interval": None}]
    control(92, {"type": "resume"})
    control(93, {"type": "kill_switch", "participant": "*", "engaged": False})
    control(94, {**every[0], "quantity_w": 0})
    assert controls_of(core) == [every[4], every[6]]


# -- reports that are kept -----------------------------------------------------------------------


@settings(max_examples=examples(15), deadline=None)
@given(COMMANDS, st.integers(1, 60), st.integers(0, 40))
def test_reports_are_the_very_messages_that_were_published(
    commands: list[Command], since: int, restart_after: int
) -> None:
    made = market("a", POINTS)
    core, published, replayed = JournaledExchange(made), dict[int, bytes](), list[JournalEntry]()
    snapshot, first_kept = None, 1
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(kept_reports.KeptReports.__init__, "__defaults__", (3_000,))
        core = JournaledExchange(made)
        for k, command in enumerate([*OPENINGS, *commands]):
            entry, messages = core.handle(command, NOW + k * timedelta(seconds=1))
            for message in messages:
                if message.topic.endswith("/report/p0"):
                    published[json.loads(message.payload)["sequence"]] = message.payload
            if snapshot is not None and entry is not None:
                replayed.append(entry)
            if k == restart_after:
                snapshot, first_kept = core.snapshot(), max(published, default=0) + 1
        check_kept(core, published, 1, since)
        if snapshot is not None:
            again = restored(made, snapshot)
            for each in replayed:
                again.apply(each)
            check_kept(again, published, first_kept, since)


def check_kept(
    core: JournaledExchange, published: dict[int, bytes], first: int, since: int
) -> None:
    with small_pages(1_500):
        found = pages(core, "p0", "reports", from_sequence=since)
    newest = max(published, default=0)
    kept = list(range(newest, first - 1, -1))
    size = 0
    for place, number in enumerate(kept):
        size += len(published[number])
        if size > 3_000:
            kept = kept[:place]
            break
    oldest = kept[-1] if kept else newest + 1
    assert {page["oldest"] for page in found} == {oldest}
    assert {page["report_sequence"] for page in found} == {newest}
    expected = [json.loads(published[k]) for k in range(max(since, oldest), newest + 1)]
    assert [each for page in found for each in page["entries"]] == expected


# -- pages and bad queries -----------------------------------------------------------------------


def test_pages_are_bounded_in_bytes_and_so_is_what_each_costs() -> None:
    core = JournaledExchange(market("a"))
    core.handle(OPENING, NOW)
    for k in range(1_000):
        terms = OrderTerms("load:0", Direction.INJECTION, START, Side.SELL, 1, 1 + k)
        core.handle(SubmitOrder("p0", f"order-{k:050d}", terms), NOW)
    place = {"direction": "injection", "interval": format_time(START)}
    for about, more in {"orders": {}, "reports": {}, "book": place}.items():
        count, here = 0, dict(more)
        while True:
            query = {"type": "query", "query_id": "q" * 64, "about": about, **here}
            payload = core.answer("p0", json.dumps(query).encode(), NOW).message.payload
            assert len(payload) <= 65_536
            page = json.loads(payload)
            count += len(page["entries"])
            if "next" not in page:
                break
            assert len(payload) > 60_000, "a page that is not the last is nearly full"
            here = more | {"from": page["next"]}
        assert count == (
            1_000 if about != "reports" else page["report_sequence"] - page["oldest"] + 1
        )


GOOD = {"type": "query", "query_id": "q1", "about": "orders"}


def of(**more: Any) -> bytes:
    return json.dumps(GOOD | more).encode()


BAD: dict[str, tuple[bytes, str, str]] = {
    "nothing": (b"", "malformed", "not JSON"),
    "no object": (b"[]", "malformed", ""),
    "a key twice": (of()[:-1] + b',"about":"book"}', "malformed", "twice"),
    "not UTF-8": (b'{"type":"query\xff"}', "malformed", "not UTF-8"),
    "deep": (b"[" * 8_000, "malformed", "nested"),
    "too large": (of(more="x" * 9_000), "too_large", "8,192"),
    "no id": (b'{"type":"query","about":"orders"}', "malformed", "query_id: it is missing"),
    "a bad id": (of(query_id="a b"), "malformed", "query_id"),
    "no type": (b'{"query_id":"q1","about":"orders"}', "malformed", "type: it is missing"),
    "an order": (of(type="submit"), "malformed", "type"),
    "about nothing": (b'{"type":"query","query_id":"q1"}', "malformed", "about: it is missing"),
    "about all": (of(about="*"), "malformed", "about"),
    "a list": (of(about=["orders"]), "malformed", "about"),
    "another's": (of(participant="p1"), "malformed", "participant: there is no such entry"),
    "no place": (of(**{"from": "x"}), "malformed", "from: 'x' is not what an answer about orders"),
    "a long place": (of(**{"from": "1" * 300}), "malformed", "from"),
    "a place of others": (of(**{"from": "2096/load:0"}), "malformed", "from"),
    "a number as place": (of(**{"from": 7}), "malformed", "from"),
    "report 0": (of(about="reports", from_sequence=0), "malformed", "from_sequence"),
    "report 1.5": (of(about="reports", from_sequence=1.5), "malformed", "from_sequence"),
    "no ids": (of(about="requests"), "malformed", "request_ids: it is missing"),
    "none": (of(about="requests", request_ids=[]), "malformed", "request_ids"),
    "many": (of(about="requests", request_ids=["a"] * 101), "malformed", "request_ids"),
    "no book": (of(about="book"), "malformed", "interval: it is missing"),
    "a book of no interval": (
        of(about="book", direction="injection", interval="2096-06-01T00:00:00Z"),
        "unknown_interval",
        "2096-06-01T00:00:00Z is not open",
    ),
    "limits": (of(about="limits"), "unauthorised", "p0 may ask about orders, positions"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_query_is_refused_with_a_sentence(name: str) -> None:
    core = JournaledExchange(market("a"))
    core.handle(OPENING, NOW)
    payload, reason, words = BAD[name]
    answer = asked(core, "p0", payload)
    assert (answer["about"], answer["refused"]) == (None, reason)
    assert words in answer["detail"]
    assert answer["query_id"] in ("q1", None)


def test_a_stranger_is_told_nothing() -> None:
    core = JournaledExchange(market("a"))
    core.handle(OPENING, NOW)
    for sender in ("mallory", "exchange", "p9"):
        answer = asked(core, sender, of())
        assert answer["refused"] == "unauthorised"
        assert f"{sender} has no connection point" in answer["detail"]


BYTES = st.one_of(
    st.binary(max_size=200),
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=9), inner),
    ).map(lambda value: json.dumps(value).encode()),
    st.fixed_dictionaries(
        {"type": st.just("query"), "query_id": st.just("q"), "about": st.sampled_from(ABOUT["p0"])},
        optional={
            "from": st.text(max_size=20) | st.integers(0, 99).map(str),
            "from_sequence": st.integers(-1, 2**70),
            "request_ids": st.lists(st.text(max_size=5), max_size=3),
            "direction": st.sampled_from(["injection", "up"]),
            "interval": st.sampled_from([format_time(START), "now", "2096-06-01T12:00:00"]),
        },
    ).map(lambda value: json.dumps(value).encode()),
)


@settings(max_examples=examples(200), deadline=None)
@given(BYTES, st.sampled_from(["p0", TSO, OPERATOR, METERING, "mallory"]))
def test_any_bytes_are_answered(payload: bytes, sender: str) -> None:
    core = SERVED
    before = core.exchange.digest()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(answers._LOG, "critical", pytest.fail)
        asked(core, sender, payload)
    assert core.exchange.digest() == before


def _served() -> JournaledExchange:
    core = JournaledExchange(market("a", POINTS))
    core.handle(OPENING, NOW)
    terms = OrderTerms("load:0", Direction.INJECTION, START, Side.SELL, 10, 4)
    core.handle(SubmitOrder("p0", "a1", terms), NOW)
    return core


SERVED = _served()


def test_a_bug_is_answered_and_logged(caplog: pytest.LogCaptureFixture) -> None:
    core = _served()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(answers, "_joined", lambda *_: 1 / 0)
        answer = asked(core, "p0", of())
    assert (answer["query_id"], answer["refused"]) == ("q1", "malformed")
    assert "internal error" in answer["detail"]
    assert "a query of p0 failed" in caplog.text


def test_pages_of_a_book_are_in_the_order_of_prices() -> None:
    """Also where bids and offers cross, because trading is halted."""
    core = JournaledExchange(market("a"))
    core.handle(OPENING, NOW)
    core.handle(HaltTrading("c1"), NOW)
    wanted = [(Side.BUY, ticks, number % 3) for number, ticks in enumerate(range(12))]
    wanted += [(Side.SELL, ticks, 3 + number % 3) for number, ticks in enumerate(range(12))]
    for number, (side, ticks, point) in enumerate(wanted):
        terms = OrderTerms(f"load:{point}", Direction.INJECTION, START, side, 5, ticks)
        core.handle(SubmitOrder(f"p{point}", f"a{number}", terms), NOW)
    expected = [("buy", ticks) for ticks in range(11, -1, -1)]
    expected += [("sell", ticks) for ticks in range(12)]
    for size in (100, 320, 450, 900, 60_000):
        with small_pages(size):
            levels = entries(core, TSO, "book", **MORE["book"])
        found = [(each["side"], int(Decimal(each["price"]) * 10_000)) for each in levels]
        assert found == expected


def test_positions_of_many_points_and_intervals_are_in_order() -> None:
    """An aggregator's pages begin in the middle of an interval; limits and claims are its own."""
    made = market("a", 7)
    terms = [replace(each, participant="p0") for each in made.terms[:5]] + list(made.terms[5:])
    core = JournaledExchange(replace(made, terms=terms))
    for opening in OPENINGS:
        core.handle(opening, NOW)
    for number, side in enumerate((Side.BUY, Side.SELL, Side.SELL)):
        order = OrderTerms("load:3", Direction.WITHDRAWAL, START, side, 7, 3 + 2 * number)
        core.handle(SubmitOrder("p0", f"a{number}", order), NOW)
    for size in (500, 1_400, 60_000):
        with small_pages(size):
            found = entries(core, "p0", "positions")
        assert [(each["interval"], each["connection_point"]) for each in found] == [
            (format_time(start), f"load:{k}") for start in (START, LATER) for k in range(5)
        ]
        for each in found:
            claims = each["connection_point"] == "load:3" and each["interval"] == format_time(START)
            assert each["withdrawal_wanted_w"] == (7 if claims else 0)
            assert each["withdrawal_offered_w"] == (14 if claims else 0)
            assert each["injection_wanted_w"] == each["injection_offered_w"] == 0
            assert each["injection_capacity_w"] == each["withdrawal_capacity_w"] == 10**9
            assert each["injection_limit_w"] == each["withdrawal_limit_w"] == 5 * 10**8
            assert each["injection_fallback_w"] == 0
            assert each["end"] > each["interval"] > each["gate_closes_at"]


def test_an_iceberg_says_what_it_shows() -> None:
    core = JournaledExchange(market("a"))
    core.handle(OPENING, NOW)
    hidden = OrderConditions(displayed_w=10)
    terms = OrderTerms("load:0", Direction.INJECTION, START, Side.SELL, 35, 4, conditions=hidden)
    core.handle(SubmitOrder("p0", "a", terms), NOW)
    shown = []
    for k in range(4):
        (entry,) = entries(core, "p0", "orders")
        shown.append((entry["remaining_w"], entry["shown_w"], entry["displayed_quantity_w"]))
        bid = OrderTerms("load:1", Direction.INJECTION, START, Side.BUY, 8, 4)
        core.handle(SubmitOrder("p1", f"b{k}", bid), NOW)
    assert shown == [(35, 10, 10), (27, 2, 10), (19, 10, 10), (11, 2, 10)]
