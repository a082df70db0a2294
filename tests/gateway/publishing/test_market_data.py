"""Statistics against the tape, and local prices as they are published."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from gateway_market import GATE, OPENING, START, client, market, order, serving
from hypothesis import given, settings
from hypothesis import strategies as st
from listening import Ear
from report_forms import COMMANDS, FORMS, LATER, OPENINGS

from exchange.market.local_prices import PointPrice, PricePart
from exchange.vocabulary.commands import AdvanceTime, CloseGate, Command, OpenSession, SubmitOrder
from exchange.vocabulary.events import Event, GateClosed, OrderAccepted
from exchange.vocabulary.orders import OrderTerms
from exchange.vocabulary.rules import MarketRules
from gateway.messages.topics import Topics
from gateway.ports import Outgoing
from gateway.publishing.market_data import PRICES_AT_ONCE, MarketData
from gateway.service.core import JournaledExchange
from gateway.transport.embedded_broker import EmbeddedBroker
from orderbook.order import Side, TimeInForce
from security_check.model.envelope import Direction
from security_check.model.limits import InterfaceLimits

TOPICS = Topics("a")
INJECTION, WITHDRAWAL = Direction
OPENED = START - timedelta(hours=5)


def read(messages: Sequence[Outgoing], kind: str) -> list[dict[str, Any]]:
    """Return the contents of the messages of a kind, each in its form and retained."""
    found = [each for each in messages if f"/{kind}/" in each.topic and each.payload]
    for message in found:
        FORMS[kind].validate_json(message.payload, strict=True)
        assert message.retain
    return [json.loads(each.payload) for each in found]


def of_tape(prints: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return what the tape alone says of a book."""
    return {
        "clearings": len(prints),
        "open_price": prints[0]["price"],
        "high_price": max((each["high_price"] for each in prints), key=Decimal),
        "low_price": min((each["low_price"] for each in prints), key=Decimal),
        "close_price": prints[-1]["price"],
        "volume_w": sum(each["quantity_w"] for each in prints),
        "time": prints[-1]["time"],
    }


@settings(max_examples=40, deadline=None)
@given(COMMANDS, st.integers(0, 50))
def test_statistics_are_what_the_tape_adds_up_to(commands: list[Command], asked: int) -> None:
    core, tape = JournaledExchange(market("a", 4)), []
    reported: dict[tuple[str, str], dict[str, Any]] = {}
    now = OPENED

    def ask() -> None:
        for content in read(core.market_data(), "statistics"):
            reported[content["interval"], content["direction"]] = content

    for number, command in enumerate([*OPENINGS, *commands]):
        now += timedelta(seconds=1)
        _, messages = core.handle(command, now)
        tape += [json.loads(each.payload) for each in messages if each.topic == TOPICS.trade]
        if number == asked:
            ask()
    ask()
    assert read(core.market_data(), "statistics") == []
    assert reported.keys() == {(each["interval"], each["direction"]) for each in tape}
    for book, content in reported.items():
        prints = [each for each in tape if (each["interval"], each["direction"]) == book]
        assert content | of_tape(prints) == content
        worth = sum(Decimal(each["price"]) * each["quantity_w"] for each in prints)
        average = worth / content["volume_w"]
        assert abs(Decimal(content["average_price"]) - average) < Decimal("1e-9")
        assert content["bought_w"] == content["sold_w"] == content["volume_w"]
        assert Decimal(content["welfare"]) >= Decimal(content["congestion_rent"])
    retained = read(core.publisher.retained(GATE), "statistics")
    assert {(each["interval"], each["direction"]): each for each in retained} == reported


def submitted(client_id: str, point: int, side: Side, quantity_w: int, price: int, **more: Any):
    return SubmitOrder(
        f"p{point}",
        client_id,
        OrderTerms(
            f"load:{point}",
            more.pop("direction", INJECTION),
            START,
            side,
            quantity_w,
            price,
            more.pop("time_in_force", TimeInForce.GOOD_TILL_CANCEL),
            **more,
        ),
    )


def test_a_book_has_open_high_low_close_and_averages() -> None:
    core = JournaledExchange(market("a", 4))
    for command in (
        OPENING,
        submitted("s1", 0, Side.SELL, 100, 400),
        submitted("s2", 1, Side.SELL, 100, 600),
        submitted("b1", 2, Side.BUY, 150, 700),  # 100 W at 400, 50 W at 600
        submitted("b2", 2, Side.BUY, 100, 500),
        submitted("s3", 3, Side.SELL, 50, 100),  # at 500
    ):
        core.handle(command, OPENED)
    (content,) = read(core.market_data(), "statistics")
    assert content == {
        "interval": "2096-06-01T12:00:00Z",
        "direction": "injection",
        "time": "2096-06-01T07:00:00Z",
        "clearings": 2,
        "open_price": "0.0466666667",
        "high_price": "0.0600",
        "low_price": "0.0400",
        "close_price": "0.0500",
        "average_price": "0.0475",
        "volume_w": 200,
        "bought_w": 200,
        "sold_w": 200,
        "welfare": "0.0055",
        "congestion_rent": "0",
    }


def test_statistics_stay_until_a_session_opens_after_the_interval() -> None:
    core = JournaledExchange(market("a", 4))
    core.handle(OPENING, OPENED)
    core.handle(submitted("s1", 0, Side.SELL, 100, 400), OPENED)
    core.handle(submitted("b1", 1, Side.BUY, 100, 400), OPENED)
    core.handle(CloseGate(START), GATE)
    assert len(read(core.publisher.retained(GATE), "statistics")) == 1
    day = timedelta(days=1)
    band = InterfaceLimits(0.98, 1.04)
    following = OpenSession(START + day, LATER + day, GATE + day, band)
    _, messages = core.handle(following, LATER)
    gone = [each for each in messages if "/statistics/" in each.topic]
    assert gone == [Outgoing(TOPICS.statistics(INJECTION, START), b"", retain=True)]
    assert read(core.publisher.retained(GATE), "statistics") == []


class Prices:
    """Stands in for the exchange: answers with what it is given, and counts the questions."""

    def __init__(self) -> None:
        self.answer: tuple[PointPrice, ...] | None = None
        self.asked: list[datetime] = []

    def __call__(self, interval: datetime) -> tuple[PointPrice, ...] | None:
        self.asked.append(interval)
        return self.answer


def accepted(interval: datetime) -> Event:
    return OrderAccepted(
        sequence=1, time=OPENED, order_id=1, participant="p0", client_order_id="a",
        terms=OrderTerms("load:0", INJECTION, interval, Side.BUY, 1, 1), limit_price_ticks=1,
    )  # fmt: skip


TICKS = st.floats(-1e4, 1e4)
PARTS = st.lists(
    st.builds(PricePart, st.sampled_from(["line:1", "bus:2"]), st.floats(1e-6, 1e4)), max_size=2
).map(tuple)


@settings(deadline=None)
@given(TICKS, st.lists(PARTS, min_size=2, max_size=4))
def test_published_prices_add_up_exactly(balance: float, parts: list[tuple[PricePart, ...]]):
    data, prices = MarketData(TOPICS, MarketRules()), Prices()
    prices.answer = tuple(
        PointPrice(f"load:{i}", WITHDRAWAL, balance, each) for i, each in enumerate(parts)
    )
    data.apply([accepted(START)])
    (content,) = read(data.changed_prices(prices, 7, OPENED), "price")
    assert (content["interval"], content["event"]) == ("2096-06-01T12:00:00Z", 7)
    (reported,) = content["directions"]
    assert reported["direction"] == "withdrawal"
    base, tick = Decimal(reported["balance_price"]), MarketRules().tick
    assert abs(base / tick - Decimal(balance)) <= Decimal("0.51e-6")
    points = {each["connection_point"]: each for each in reported["connection_points"]}
    assert points.keys() == {price.connection_point for price in prices.answer if price.parts}
    for price in prices.answer:
        if price.parts:
            point = points[price.connection_point]
            added = [Decimal(part["price"]) for part in point["parts"]]
            assert Decimal(point["price"]) == base + sum(added)
            assert [part["element"] for part in point["parts"]] == [p.element for p in price.parts]
            assert abs(Decimal(point["price"]) / tick - Decimal(price.price_ticks)) < Decimal(
                "3e-6"
            )


def test_prices_are_reported_when_they_change_and_a_few_at_once() -> None:
    data, prices = MarketData(TOPICS, MarketRules()), Prices()
    starts = [START + timedelta(minutes=15 * number) for number in range(PRICES_AT_ONCE + 1)]
    data.apply([accepted(start) for start in starts])

    def tell() -> list[str]:
        return [each.topic for each in data.changed_prices(prices, 1, OPENED)]

    assert tell() == []  # nothing is known of them
    assert prices.asked == starts[:PRICES_AT_ONCE]
    prices.answer = (PointPrice("load:0", INJECTION, 4.0, ()),)
    assert tell() == [TOPICS.price(starts[-1])]
    assert tell() == []
    data.apply([accepted(starts[-1])])
    assert tell() == []  # the same as before
    prices.answer = ()
    data.mark_prices([starts[-1]])
    assert tell() == [TOPICS.price(starts[-1])]
    prices.answer = None
    data.mark_prices([starts[-1]])
    assert tell() == []


def test_prices_end_with_the_gate() -> None:
    data, prices = MarketData(TOPICS, MarketRules()), Prices()
    prices.answer = (PointPrice("load:0", INJECTION, 4.0, ()),)
    closed = GateClosed(sequence=2, time=GATE, interval=START, envelopes=())
    assert data.apply([accepted(START), closed]) == [
        Outgoing(TOPICS.price(START), b"", retain=True)
    ]
    assert data.changed_prices(prices, 2, GATE) == []


def test_the_core_tells_prices_of_what_was_touched() -> None:
    core = JournaledExchange(market("a", 4))
    core.handle(OPENING, OPENED)
    core.market_data()
    core.handle(submitted("b1", 0, Side.BUY, 100, 400), OPENED)
    core.handle(submitted("s1", 1, Side.SELL, 100, 500), OPENED)
    (content,) = read(core.market_data(), "price")
    assert content["directions"] == [
        {"direction": "injection", "balance_price": "0.0450", "connection_points": []}
    ]
    core.handle(AdvanceTime(), OPENED)
    never = {"time_in_force": TimeInForce.IMMEDIATE_OR_CANCEL}
    core.handle(submitted("b2", 0, Side.BUY, 100, 300, **never), OPENED)
    assert read(core.market_data(), "price") == []


@pytest.mark.slow
async def test_all_accounts_receive_them_and_a_restart_publishes_the_same(
    embedded_broker: EmbeddedBroker, redis_url: str, area: str
) -> None:
    topics = market(area).topics
    wanted = (topics.statistics(INJECTION, START), topics.price(START))
    heard = []
    for number in range(2):
        ear = Ear()
        async with (
            serving(area, embedded_broker.settings("exchange"), redis_url),
            client(embedded_broker.settings("p0"), area, "p0") as seller,
            client(
                embedded_broker.settings("p1"), area, "p1", subscriptions=wanted, on_message=ear
            ) as buyer,
        ):
            if number == 0:
                await seller.ask(order("a1", 0, "sell", 1000, "0.0450"))
                await buyer.ask(order("b1", 1, "buy", 400, "0.05", interval=START.isoformat()))
            statistics = (await ear.until(wanted[0], 1))[-1]
            prices = (await ear.until(wanted[1], 1))[-1]
        heard.append((statistics, prices["directions"]))
    assert heard[0] == heard[1]
    assert heard[0][0]["volume_w"] == 400
