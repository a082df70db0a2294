"""What is published of the flexibility market, against the state and the events."""

from __future__ import annotations

import json
from collections import Counter
from decimal import Decimal
from typing import Any

import numpy as np
from flexible_market import START, FlexibleExchange, made
from hypothesis import given, settings
from hypothesis import strategies as st
from report_forms import FORMS
from sampling import examples

from exchange.vocabulary.commands import CloseGate, Command, MassCancel
from exchange.vocabulary.flexibility import Matching
from exchange.vocabulary.flexibility_events import FlexibilityBlocked, FlexibilityMatched
from gateway.messages.flexibility import FlexibilityBookMessage, FlexibilityTradeMessage
from gateway.messages.topics import Topics
from gateway.ports import Outgoing
from gateway.service.core import ExchangeSetup, JournaledExchange
from orderbook.order import Side

TOPICS = Topics("frozen")


class Day:
    """The commands of a random market, carried out with what is published of them."""

    def __init__(self, live: FlexibleExchange) -> None:
        self.setup = ExchangeSetup(TOPICS, *live.setup())
        self.core = JournaledExchange(self.setup)
        self.now = live.now
        self.messages: list[Outgoing] = []
        self.events: list[Any] = []
        for command, now in live.commands:
            self.send(command, now)

    def send(self, command: Command, now: Any = None) -> None:
        self.now = now or self.now
        entry, messages = self.core.handle(command, self.now)
        self.events += () if entry is None else entry.events
        self.messages += [*messages, *self.core.market_data()]

    def restart(self) -> None:
        self.core = JournaledExchange(self.setup, self.core.snapshot())

    def book(self) -> FlexibilityBookMessage:
        """Return the book as a broker retains it."""
        last = [e for e in self.messages if e.topic == TOPICS.flexibility_book(START)][-1]
        assert last.retain
        return FlexibilityBookMessage.model_validate_json(last.payload)

    def reports(self, name: str) -> list[dict[str, Any]]:
        found = [e.payload for e in self.messages if e.topic == TOPICS.report(name)]
        for payload in found:
            FORMS["report"].validate_json(payload, strict=True)
        return [json.loads(payload) for payload in found]


def rests(day: Day) -> Counter[tuple[str, str, str, Decimal, bool]]:
    """Return what rests by side, direction, bus, price and condition, from the state."""
    found: Counter[tuple[str, str, str, Decimal, bool]] = Counter()
    for each in day.core.exchange.state.flexible_orders.values():
        price = day.setup.rules.price_in_eur_per_kw(each.limit_price_ticks)
        terms = each.terms
        key = (terms.side.value, terms.direction.value, each.bus, price, terms.conditional)
        found[key] += each.remaining_w
    return found


@settings(max_examples=examples(40))
@given(st.integers(0, 2**32 - 1), st.sampled_from(list(Matching)))
def test_book_tape_and_reports_say_what_happened(seed: int, matching: Matching) -> None:
    rng = np.random.default_rng(seed)
    live = made(seed, matching)
    day = Day(live)
    for order in live.market.orders:
        day.send(live.command(order))
        if rng.random() < 0.2:
            day.send(MassCancel(f"p{rng.integers(4)}", f"m{order.order_id}"))
        if rng.random() < 0.2:
            day.restart()
        levels = day.book().levels
        assert len(levels) == len(rests(day))
        assert rests(day) == Counter(
            {
                (
                    e.side.value,
                    e.direction.value,
                    e.bus,
                    Decimal(e.price),
                    e.conditional,
                ): e.quantity_w
                for e in levels
            }
        )
    _check_tape(day)
    _check_reports(day)
    day.send(CloseGate(START))
    last = [e for e in day.messages if e.topic == TOPICS.flexibility_book(START)][-1]
    assert (last.payload, last.retain) == (b"", True)
    names = b" ".join(e.payload for e in day.messages if "flexibility/" in e.topic)
    assert not any(each in names for each in (b'"dso"', b'"p1"', b"load:"))


def _check_tape(day: Day) -> None:
    """The tape has the watts and the money of each matching, by direction."""
    tape = [e.payload for e in day.messages if e.topic == TOPICS.flexibility_trade]
    prints = [FlexibilityTradeMessage.model_validate_json(each) for each in tape]
    for event in (each for each in day.events if isinstance(each, FlexibilityMatched)):
        own = [each for each in prints if each.trade_id == event.trade_id]
        bought = [fill for fill in event.fills if fill.side is Side.BUY]
        watts: Counter[str] = Counter()
        for fill in bought:
            watts[fill.direction.value] += fill.quantity_w
        assert watts == Counter({each.direction.value: each.quantity_w for each in own})
        paid = sum(Decimal(each.price) * each.quantity_w for each in own)
        in_ticks = sum(fill.amount for fill in bought)
        exact = day.setup.rules.tick * in_ticks
        assert abs(paid - exact) <= Decimal("1e-9") * sum(watts.values())


def _check_reports(day: Day) -> None:
    """Each fill and each blocked order is reported to its owner, and to nobody else."""
    filled: Counter[tuple[str, str, int]] = Counter()
    blocked: Counter[tuple[str, str]] = Counter()
    for event in day.events:
        if isinstance(event, FlexibilityMatched):
            for fill in event.fills:
                filled[fill.participant, fill.client_order_id, fill.quantity_w] += 1
        if isinstance(event, FlexibilityBlocked):
            blocked.update((each.participant, each.client_order_id) for each in event.owners)
    heard: Counter[tuple[str, str, int]] = Counter()
    told: Counter[tuple[str, str]] = Counter()
    for name in day.core.exchange.state.participants:
        for report in day.reports(name):
            if report["type"] == "flexibility_matched":
                heard[name, report["client_order_id"], report["quantity_w"]] += 1
            if report["type"] == "flexibility_blocked":
                told[name, report["client_order_id"]] += 1
                assert all(each.startswith("branch:") for each in report["elements"])
    assert (heard, told) == (filled, blocked)
