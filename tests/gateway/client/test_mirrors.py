"""Mirrors of random markets say what the exchange's state says, whatever was lost on the way."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from gateway_market import START, market
from hypothesis import given, settings
from hypothesis import strategies as st
from report_forms import COMMANDS, LATER, OPENINGS, POINTS

from exchange.vocabulary.commands import AdvanceTime, CloseGate, Command
from exchange.vocabulary.formatting import format_time
from exchange.vocabulary.orders import Order
from gateway.client.mirrors.own_orders import OrderState, OwnOrders
from gateway.client.mirrors.own_positions import OwnPositions
from gateway.client.mirrors.public_market import PublicMarket
from gateway.client.mirrors.reading import read_report
from gateway.client.mirrors.report_stream import ReportStream
from gateway.messages.topics import Topics
from gateway.service.core import JournaledExchange
from orderbook.order import Side
from security_check.model.envelope import Direction

TOPICS = Topics("a")
WHO = "p0"
Report = dict[str, Any]


def reports_to(core: JournaledExchange, command: Command, now: datetime) -> list[Report]:
    topic = TOPICS.report(WHO)
    return [json.loads(m.payload) for m in core.handle(command, now)[1] if m.topic == topic]


def open_orders(core: JournaledExchange) -> list[Order]:
    return [each for each in core.exchange.state.orders.values() if each.participant == WHO]


def in_state(core: JournaledExchange) -> set[tuple[Any, ...]]:
    """The open legs of the participant, from the state of the exchange."""
    price = core.exchange.state.rules.price_in_eur_per_kw
    return {
        (
            each.client_order_id,
            each.order_id,
            each.connection_point,
            each.direction,
            each.interval,
            each.side,
            each.quantity_w,
            each.remaining_w,
            price(each.limit_price_ticks),
        )
        for each in open_orders(core)
    }


def in_mirror(orders: OwnOrders) -> set[tuple[Any, ...]]:
    return {
        (
            key,
            leg.order_id,
            leg.connection_point,
            leg.direction,
            leg.interval,
            leg.side,
            leg.quantity_w,
            leg.remaining_w,
            leg.price,
        )
        for key, order in orders.open.items()
        for leg in order.legs
        if leg.remaining_w
    }


def answered_orders(core: JournaledExchange) -> list[Report]:
    """What an answer about open orders says, written by hand from the state."""
    found: dict[str, Report] = {}
    for each in sorted(open_orders(core), key=lambda order: order.order_id):
        leg = {
            "order_id": each.order_id,
            "connection_point": each.connection_point,
            "direction": each.direction.value,
            "interval": format_time(each.interval),
            "side": each.side.value,
            "quantity_w": each.quantity_w,
            "remaining_w": each.remaining_w,
            "price": f"{core.exchange.state.rules.price_in_eur_per_kw(each.limit_price_ticks):f}",
        }
        key = {"client_order_id": each.client_order_id}
        if each.joint_id is None:
            found[each.client_order_id] = {"type": "accepted"} | key | leg
        else:
            joint = {"type": "joint_accepted", "legs": []} | key
            found.setdefault(each.client_order_id, joint)["legs"].append(leg)
    return list(found.values())


def held_in_state(core: JournaledExchange) -> dict[tuple[str, datetime], tuple[int, int]]:
    return {
        (e.connection_point, start): (e.injection_limit_w, e.withdrawal_limit_w)
        for start, session in core.exchange.state.sessions.items()
        if session.is_open
        for e in core.exchange.envelopes(start)
        if e.connection_point == "load:0"
    }


def answered_positions(core: JournaledExchange) -> list[Report]:
    return [
        {
            "connection_point": point,
            "interval": format_time(start),
            "injection_limit_w": injection_w,
            "withdrawal_limit_w": withdrawal_w,
        }
        for (point, start), (injection_w, withdrawal_w) in held_in_state(core).items()
    ]


class Mirror:
    """Orders and positions behind a stream of reports."""

    def __init__(self) -> None:
        self.orders, self.positions = OwnOrders(), OwnPositions()
        self.stream = ReportStream(self._apply)
        self.applied: list[int] = []

    def _apply(self, content: Report) -> None:
        self.applied.append(content["sequence"])
        report = read_report(content)
        assert report is not None, content
        self.orders.apply(report)
        self.positions.apply(report)

    def rebuild(self, core: JournaledExchange, at: int) -> None:
        self.orders.rebuild((each, at) for each in answered_orders(core))
        self.positions.rebuild((each, at) for each in answered_positions(core))
        self.stream.begin(at)

    def held(self) -> dict[tuple[str, datetime], tuple[int, int]]:
        return {
            key: (each.injection_limit_w, each.withdrawal_limit_w)
            for key, each in self.positions.held.items()
        }


def follow(commands: list[Command]) -> Iterator[tuple[JournaledExchange, list[Report]]]:
    """Yield the exchange after each command, and the reports so far."""
    core = JournaledExchange(market("a", POINTS))
    now, heard = START - timedelta(hours=5), []
    for command in [*OPENINGS, *commands]:
        now += timedelta(seconds=1)
        heard += reports_to(core, command, now)
        yield core, heard


@settings(max_examples=30)
@given(COMMANDS)
def test_after_each_command_the_mirror_is_the_state(commands: list[Command]) -> None:
    mirror = Mirror()
    mirror.stream.begin(0)
    known = 0
    for core, heard in follow(commands):
        for report in heard[known:]:
            mirror.stream.take(report)
        known = len(heard)
        assert in_mirror(mirror.orders) == in_state(core)
        held = mirror.held()
        assert held_in_state(core).items() <= held.items()
        for key, order in mirror.orders._closed.items():
            assert not order.is_open
            answer = core.exchange.state.answers.find(WHO, key)
            assert answer is not None
            assert answer.order_id is None
            assert (order.state is OrderState.TRADED) == (order.reason is None)


@settings(max_examples=30)
@given(COMMANDS, st.randoms(use_true_random=False), st.integers(0, 60))
def test_lost_doubled_and_exchanged_reports_do_not_show(
    commands: list[Command], chance: random.Random, cut: int
) -> None:
    """A mirror that begins anywhere, on a bad line, is that of the state once it asked again."""
    mirror, delayed, known, kept = Mirror(), [], 0, []
    for number, (core, heard) in enumerate(follow(commands)):
        if number == cut:
            mirror.rebuild(core, len(heard))
        new, known = heard[known:], len(heard)
        kept += new
        delayed += [each for each in new for _ in range(chance.choice([0, 1, 1, 1, 2]))]
        chance.shuffle(delayed)
        while delayed and chance.random() < 0.8:
            mirror.stream.take(delayed.pop())
    if mirror.stream.last is None:
        mirror.rebuild(core, len(heard))
    for report in heard[mirror.stream.last :]:  # the answer to a query
        mirror.stream.take(report)
    assert in_mirror(mirror.orders) == in_state(core)
    assert held_in_state(core).items() <= mirror.held().items()
    assert not mirror.stream.has_gap
    assert mirror.applied == list(range(len(heard) - len(mirror.applied) + 1, len(heard) + 1))


@settings(max_examples=30)
@given(COMMANDS, st.integers(0, 40), st.integers(1, 8), st.booleans())
def test_pages_of_different_states_join_without_a_gap(
    commands: list[Command], first: int, later: int, split: bool
) -> None:
    """A page of older and one of newer orders, asked one after the other while events go on."""
    mirror = Mirror()
    pages: list[tuple[list[Report], int]] = []
    positions: list[tuple[Report, int]] = []
    border = 0
    for number, (core, heard) in enumerate(follow(commands)):
        if number == first:
            border = core.exchange.state.next_order_id // 2 if split else 10**9
            pages = [([e for e in answered_orders(core) if _number(e) < border], len(heard))]
        if number == first + later and pages:
            page = [each for each in answered_orders(core) if _number(each) >= border]
            pages.append((page, len(heard)))
            positions = [(each, len(heard)) for each in answered_positions(core)]
    if len(pages) < 2:
        return
    mirror.orders.rebuild((each, at) for page, at in pages for each in page)
    mirror.positions.rebuild(positions)
    mirror.stream.begin(min(at for _, at in pages))
    for report in heard:
        mirror.stream.take(report)
    assert in_mirror(mirror.orders) == in_state(core)
    assert held_in_state(core).items() <= mirror.held().items()


def _number(entry: Report) -> int:
    number: int = entry["legs"][0]["order_id"] if "legs" in entry else entry["order_id"]
    return number


def depth_of(
    core: JournaledExchange, start: datetime, direction: Direction
) -> dict[tuple[Side, Decimal], int]:
    """Return what the open orders of a book display, by side and price."""
    levels: dict[tuple[Side, Decimal], int] = {}
    for order in core.exchange.state.orders.values():
        if (order.interval, order.direction) == (start, direction) and not order.conditional:
            price = core.exchange.state.rules.price_in_eur_per_kw(order.limit_price_ticks)
            levels[order.side, price] = levels.get((order.side, price), 0) + order.displayed_w
    return levels


@settings(max_examples=30)
@given(COMMANDS, st.randoms(use_true_random=False))
def test_books_and_envelopes_are_those_published(
    commands: list[Command], chance: random.Random
) -> None:
    """Deltas may be lost: then the book is not known until its next snapshot, and never wrong."""
    core, view = JournaledExchange(market("a", POINTS)), PublicMarket("a")
    now = START - timedelta(hours=5)
    for command in [*OPENINGS, *commands, AdvanceTime()]:
        now += timedelta(seconds=1)
        messages = core.handle(command, now)[1]
        if chance.random() < 0.3:
            messages += core.publisher.books.changes()
        if chance.random() < 0.2:
            messages += core.market_data()
        for message in messages:
            content = json.loads(message.payload) if message.payload else None
            lost = content and content.get("type") == "delta" and chance.random() < 0.2
            if not lost and view.topic_of(message.topic):
                view.take(message.topic, content)
        for (start, direction), book in view.books.items():
            if book.sequence == core.publisher.books.sequence((start, direction)):
                shown = {(Side.BUY, each.price): each.quantity_w for each in book.bids}
                shown |= {(Side.SELL, each.price): each.quantity_w for each in book.offers}
                assert shown == depth_of(core, start, direction)
    for point, envelopes in view.envelopes.items():
        for interval in envelopes.intervals:
            held = core.publisher.envelopes.envelope(point, interval.start)
            assert interval.injection_limit_w == held.injection_limit_w
            assert interval.withdrawal_limit_w == held.withdrawal_limit_w
    for message in core.handle(CloseGate(START), LATER)[1]:  # refused, if it has closed
        if view.topic_of(message.topic):
            view.take(message.topic, json.loads(message.payload) if message.payload else None)
    left = {each.start for point in view.envelopes.values() for each in point.intervals}
    assert len(view.envelopes) == POINTS
    assert left <= {LATER}, "the interval that is over is removed"
    assert view.session is not None
    assert set(view.open_intervals) <= {START, LATER}
    assert {direction for _, direction in view.books} <= set(Direction)
