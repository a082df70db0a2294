"""The trading client against the real service: every request ends, and the mirror is the state."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from gateway_market import START, serving
from gateway_servers import MakeSettings, Mosquitto, RedisServer, SecuredMosquitto
from listening import until
from withheld_link import WithheldLink

from exchange.vocabulary.commands import OpenSession
from exchange.vocabulary.rules import MarketRules, MeteringRules
from gateway.client.market import MarketClient
from gateway.client.mirrors.own_orders import OrderState
from gateway.client.mirrors.point_envelopes import LimitSource
from gateway.client.requests import LegTerms
from gateway.client.roles import DsoClient, MeterClient, TsoClient
from gateway.client.trading import TradingClient
from gateway.errors import PublishRefusedError, RequestRefusedError, TransportError
from gateway.messages.topics import Topics
from gateway.publishing import kept_reports
from gateway.service.service import Service
from gateway.transport.mqtt_settings import MqttSettings
from gateway.transport.participant_client import ParticipantClient
from orderbook.order import Side
from security_check.model.limits import InterfaceLimits

QUARTER = timedelta(minutes=15)
LATER = START + QUARTER
SECOND = OpenSession(
    LATER, LATER + QUARTER, START - timedelta(hours=1), InterfaceLimits(0.98, 1.04)
)
RULES = MarketRules(metering=MeteringRules(penalty_price_ticks=5))
QUICK = 0.3


def open_in_state(service: Service, participant: str) -> dict[str, tuple[int, int, int]]:
    found: dict[str, tuple[int, int, int]] = {}
    for each in service.core.exchange.state.orders_of(participant):  # a leg is one, too
        number, quantity_w, remaining_w = found.get(each.client_order_id, (each.order_id, 0, 0))
        quantity_w, remaining_w = quantity_w + each.quantity_w, remaining_w + each.remaining_w
        found[each.client_order_id] = number, quantity_w, remaining_w
    return found


def open_in_mirror(trader: TradingClient) -> dict[str, tuple[int, int, int]]:
    return {
        key: (each.order_id, each.quantity_w, each.remaining_w)
        for key, each in trader.orders.items()
    }


def held_in_state(service: Service, point: str) -> tuple[int, int]:
    envelopes = service.core.exchange.envelopes(START)
    (found,) = [each for each in envelopes if each.connection_point == point]
    return found.injection_limit_w, found.withdrawal_limit_w


async def until_equal(trader: TradingClient, service: Service, point: str) -> None:
    """Wait until the mirror has everything that was published; it is then the state."""
    name = trader.participant

    def is_equal() -> bool:
        held = trader.positions[point, START]
        limits = held.injection_limit_w, held.withdrawal_limit_w
        same = open_in_mirror(trader) == open_in_state(service, name)
        return same and limits == held_in_state(service, point)

    await until(is_equal)
    service.core.exchange.check_invariants()


async def test_a_first_trade_takes_ten_lines(
    broker: MakeSettings, redis_server: RedisServer, area: str
) -> None:
    async with serving(area, broker("exchange"), redis_server.url) as service:
        async with (
            TradingClient(broker("p0"), area, "p0", market_data=True) as seller,
            TradingClient(broker("p1"), area, "p1") as buyer,
        ):
            fills = buyer.fills()
            await seller.sell("load:0", "injection", 1000, "0.05")
            order = await buyer.buy("load:1", "injection", 600, "0.06")
            async with asyncio.timeout(10):
                fill = await anext(fills)
            assert (fill.quantity_w, fill.price, fill.client_order_id) == (
                600,
                "0.0500",
                order.client_order_id,
            )
            await until_equal(buyer, service, "load:1")
            await until_equal(seller, service, "load:0")
            ended = buyer.order(order.client_order_id)
            assert ended is not None
            assert (ended.state, ended.executed_w) == (OrderState.TRADED, 600)
            limits_w = held_in_state(service, "load:1")
            await buyer.wait_until(
                lambda: (
                    "load:1" in buyer.envelopes
                    and buyer.envelopes["load:1"].intervals[0].injection_limit_w == limits_w[0]
                )
            )
            now = buyer.limits_now("load:1", START + timedelta(minutes=1))
            assert now.source is LimitSource.NOT_CONFIRMED, "that is years ahead"
            await seller.wait_until(lambda: len(seller.tape) == 1)
            await seller.wait_until(lambda: bool(seller.books))
            book = await seller.book("injection", START)
            assert [(str(each.price), each.quantity_w) for each in book.offers] == [("0.0500", 400)]
            statement = await buyer.statement()
            assert statement["accounts"][0]["balance"] == "-0.0300000"
        with pytest.raises(StopAsyncIteration):
            await anext(fills)


def leg(direction: str) -> LegTerms:
    return LegTerms("load:0", direction, "sell", 200, "0.06", START)


TRADING: list[tuple[str, Callable[[TradingClient], Any], Any]] = [
    ("sell", lambda c: c.sell("load:0", "injection", 10, "1", interval=START, client_order_id="a"),
     lambda found: found.state is OrderState.OPEN),
    ("buy", lambda c: c.buy("load:0", "withdrawal", 10, "0.01", interval=LATER),
     lambda found: found.legs[0].side is Side.BUY),
    ("a market order", lambda c: c.buy("load:0", "injection", 10, interval=START),
     lambda found: found.quantity_w == 10),
    ("an iceberg", lambda c: c.sell("load:0", "injection", 50, "1", interval=START,
                                    displayed_quantity_w=10, client_order_id="ice"),
     lambda found: found.quantity_w == 50),
    ("a block", lambda c: c.block("sell", "load:0", "injection", [START, LATER], 5, "0.9"),
     lambda found: len(found.legs) == 2 and found.quantity_w == 10),
    ("a linked pair", lambda c: c.linked(leg("injection"), leg("withdrawal")),
     lambda found: len(found.legs) == 2),
    ("amend", lambda c: c.amend("a", price="2", quantity_w=20),
     lambda found: (found.quantity_w, str(found.legs[0].price)) == (20, "2.0000")),
    ("amend of none", lambda c: c.amend("none", price="2"), "unknown_order"),
    ("cancel", lambda c: c.cancel("a"), lambda found: found.state is OrderState.CANCELLED),
    ("cancel again", lambda c: c.cancel("a"), "order_not_open"),
    ("cancel all of a side", lambda c: c.cancel_all(side="buy"), lambda found: found == 1),
    ("cancel all", lambda c: c.cancel_all(), lambda found: found == 3),
    ("cancel nothing", lambda c: c.cancel_all(), lambda found: found == 0),
    ("no such point", lambda c: c.buy("load:99", "injection", 1, "1", interval=START),
     "unknown_connection_point"),
    ("another's point", lambda c: c.buy("load:1", "injection", 1, "1", interval=START),
     "not_owner"),
    ("no interval", lambda c: c.buy("load:0", "injection", 1, "1"), "malformed"),
    ("no price", lambda c: c.buy("load:0", "injection", 1, "cheap"), "malformed"),
    ("an id that was used", lambda c: c.buy("load:0", "injection", 7, "1", interval=START,
                                             client_order_id="a"),
     "client_order_id_reused"),
]  # fmt: skip


async def outcome(asked: Awaitable[Any]) -> Any:
    try:
        return await asked
    except RequestRefusedError as refusal:
        return refusal


async def test_every_request_of_a_participant_is_answered_or_refused(
    broker: MakeSettings, redis_server: RedisServer, area: str
) -> None:
    async with serving(area, broker("exchange"), redis_server.url, rules=RULES) as service:
        await service.request(SECOND)
        async with TradingClient(broker("p0"), area, "p0", again_after_s=QUICK) as trader:
            for what, ask, expected in TRADING:
                async with asyncio.timeout(10):
                    found = await outcome(ask(trader))
                if isinstance(expected, str):
                    assert isinstance(found, RequestRefusedError), (what, found)
                    assert found.reason in expected.split(), (what, found)
                    assert found.detail
                else:
                    assert not isinstance(found, RequestRefusedError), (what, found)
                    assert expected(found), (what, found)
                await until_equal(trader, service, "load:0")
            assert service.core.exchange.state.orders == {}


async def test_every_request_of_a_role_is_answered_or_refused(
    broker: MakeSettings, redis_server: RedisServer, area: str
) -> None:
    async with (
        serving(area, broker("exchange"), redis_server.url, rules=RULES) as service,
        asyncio.timeout(20),
        DsoClient(broker("operator"), area, again_after_s=QUICK) as dso,
        TsoClient(broker("tso"), area, again_after_s=QUICK) as tso,
        MeterClient(broker("metering"), area, again_after_s=QUICK) as meter,
        MarketClient(broker("observer"), area) as market,
    ):
        reports = dso.reports()
        assert (await dso.price_collar(max_price="3")).control == "price_collar"
        assert (await dso.risk_limits(credit="9")).participant == "*"
        assert (await dso.kill_switch("p1", engaged=True)).participant == "p1"
        assert (await dso.halt(START)).interval == START
        assert (await dso.buy_back(START, "injection", 5, "1")).control == "buy_back"
        kinds = [each["type"] for each in await dso.controls()]
        assert sorted(kinds) == ["buy_back", "halt", "kill_switch", "price_collar", "risk_limits"]
        await market.wait_until(lambda: market.open_intervals == ())
        assert (await dso.resume(START)).control == "resume"
        with pytest.raises(RequestRefusedError, match="unknown_participant"):
            await dso.kill_switch("p99", engaged=True)
        assert (await tso.set_limits(START, 0.99, 1.03)).voltage_max_pu == 1.03
        assert [each["voltage_min_pu"] for each in await tso.limits()] == [0.99]
        with pytest.raises(RequestRefusedError, match="malformed"):
            await tso.set_limits(START, 1.03, 0.99)
        with pytest.raises(RequestRefusedError, match="delivery_not_over"):
            await meter.submit("load:0", START, injection_w=3)
        numbers = [(await anext(reports)).sequence for _ in range(7)]
        assert numbers == list(range(1, 8))
        await market.wait_until(lambda: market.open_intervals == (START,))
        assert service.core.exchange.state.controls.killed == {"p1"}
        assert set(market.envelopes) == {f"load:{index}" for index in range(6)}


@asynccontextmanager
async def over_a_link(
    settings: MqttSettings, area: str, *, keeps: bool = False
) -> AsyncIterator[tuple[TradingClient, WithheldLink]]:
    """A trader whose link can be cut; ``keeps``: the broker keeps its messages meanwhile."""
    settings = replace(settings, session_expiry_s=60 if keeps else 0)
    async with (
        WithheldLink(settings) as link,
        TradingClient(link.settings, area, "p0", again_after_s=QUICK) as trader,
    ):
        yield trader, link


async def test_a_link_cut_before_the_answer_places_an_order_once(
    broker: MakeSettings, redis_server: RedisServer, area: str
) -> None:
    async with (
        serving(area, broker("exchange"), redis_server.url) as service,
        over_a_link(broker("p0"), area) as (trader, link),
        asyncio.timeout(20),
    ):
        orders = service.core.exchange.state.orders
        for number, withhold in enumerate((link.withhold_answers, link.withhold)):
            withhold()
            waiting = asyncio.create_task(trader.sell("load:0", "injection", 10, "0.05"))
            if withhold == link.withhold_answers:
                await until(lambda: len(orders) == 1)
            await asyncio.sleep(0.1)
            assert (len(orders), waiting.done()) == (1, False)
            await link.cut()
            order = await waiting
            assert order.is_open
            await until_equal(trader, service, "load:0")
            assert len(orders) == number + 1


@pytest.mark.parametrize("seed", range(3))
async def test_a_link_cut_in_a_burst_loses_and_doubles_nothing(
    mosquitto: Mosquitto, redis_server: RedisServer, area: str, seed: int
) -> None:
    """Orders trade meanwhile with another's: all fills are told, each once."""
    chance = random.Random(seed)

    def settings(name: str) -> Any:
        return mosquitto.settings(f"{area}-{name}", 5 - seed % 2)

    async with (
        serving(area, settings("exchange"), redis_server.url) as service,
        over_a_link(settings("p0"), area, keeps=seed == 2) as (trader, link),
        TradingClient(settings("p1"), area, "p1", again_after_s=QUICK) as other,
        asyncio.timeout(40),
    ):
        fills = trader.fills()

        async def cuts() -> None:
            for _ in range(4):
                await asyncio.sleep(chance.uniform(0.02, 0.1))
                chance.choice([link.withhold, link.withhold_answers, lambda: None])()
                await asyncio.sleep(chance.uniform(0.0, 0.1))
                await link.cut()

        cutting = asyncio.create_task(cuts())
        placed = [
            each
            for number in range(120)
            for each in (
                trader.sell("load:0", "injection", 10, "0.05", client_order_id=f"s{number}"),
                other.buy("load:1", "injection", 7, "0.05", client_order_id=f"b{number}"),
            )
        ]
        orders = await asyncio.gather(*placed)
        await cutting
        assert len(orders) == 240
        await until_equal(trader, service, "load:0")
        await until_equal(other, service, "load:1")
        traded_w = 120 * 7
        assert sum(each.remaining_w for each in trader.orders.values()) == 1200 - traded_w
        assert trader.reports_given_up == 0
        heard_w = 0
        numbers = []
        while heard_w < traded_w:
            fill = await anext(fills)
            heard_w += fill.quantity_w
            numbers.append(fill.sequence)
        assert heard_w == traded_w
        assert numbers == sorted(set(numbers))
        assert trader.reports_given_up == 0


async def test_reports_lost_while_the_link_is_away_are_recovered(
    broker: MakeSettings, redis_server: RedisServer, area: str
) -> None:
    """Nothing keeps them for the client but the exchange."""
    async with (
        serving(area, broker("exchange"), redis_server.url) as service,
        over_a_link(broker("p0"), area) as (trader, link),
        TradingClient(broker("p1"), area, "p1", again_after_s=QUICK) as other,
        asyncio.timeout(20),
    ):
        reports = trader.reports()
        for number in range(5):
            await trader.sell("load:0", "injection", 10, "0.05", client_order_id=f"s{number}")
        await link.away()
        await until(lambda: not trader.connected)
        await other.buy("load:1", "injection", 23, "0.05")
        await until_equal(other, service, "load:1")
        assert len(trader.orders) == 5
        link.back()
        await until_equal(trader, service, "load:0")
        kinds: list[tuple[int, str]] = []
        while sum(kind == "traded" for _, kind in kinds) < 3:
            report = await anext(reports)
            kinds.append((report.sequence, report.type))  # type: ignore[attr-defined]
        assert [number for number, _ in kinds] == list(range(kinds[0][0], kinds[-1][0] + 1))
        assert trader.reports_given_up == 0


async def test_one_report_that_is_lost_is_asked_for(
    mosquitto: Mosquitto, redis_server: RedisServer, area: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    lost: list[int] = []
    take = ParticipantClient._take

    def forgetful(client: Any, topic: str, content: Any) -> None:
        number = int((content or {}).get("sequence", 0))
        if topic.endswith("report/p0") and number % 3 == 0 and number not in lost:
            lost.append(number)
            return
        take(client, topic, content)

    monkeypatch.setattr(ParticipantClient, "_take", forgetful)
    settings = mosquitto.settings(f"{area}-p0")
    async with (
        serving(area, mosquitto.settings(f"{area}-exchange"), redis_server.url) as service,
        TradingClient(settings, area, "p0", again_after_s=5.0) as trader,
        asyncio.timeout(20),
    ):
        orders = [trader.sell("load:0", "injection", 10, "0.05") for _ in range(20)]
        assert len(await asyncio.gather(*orders)) == 20
        await until_equal(trader, service, "load:0")
    assert len(lost) >= 5


async def test_where_reports_are_kept_no_more_the_mirror_is_made_anew(
    mosquitto: Mosquitto, redis_server: RedisServer, area: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kept_reports.KeptReports.__init__, "__defaults__", (600,))

    def settings(name: str) -> Any:
        return mosquitto.settings(f"{area}-{name}")

    async with (
        serving(area, settings("exchange"), redis_server.url) as service,
        over_a_link(settings("p0"), area) as (trader, link),
        TradingClient(settings("p1"), area, "p1", again_after_s=QUICK) as other,
        asyncio.timeout(20),
    ):
        for number in range(9):
            await trader.sell("load:0", "injection", 10, "0.05", client_order_id=f"s{number}")
        waiting = await trader.sell("load:0", "injection", 10, "0.09", client_order_id="dear")
        await link.away()
        unanswered = asyncio.create_task(trader.cancel(waiting))
        await other.buy("load:1", "injection", 75, "0.05")
        await until_equal(other, service, "load:1")
        link.back()
        assert (await unanswered).state is OrderState.CANCELLED
        await until_equal(trader, service, "load:0")
        await until(lambda: trader.reports_given_up > 0)
        for number in range(9):
            order = trader.order(f"s{number}")
            assert order is not None
            assert order.is_open == (number >= 7)
            assert order.state is (OrderState.OPEN if number >= 7 else OrderState.TRADED)


async def test_a_restart_of_the_exchange_shows_in_nothing_but_time(
    broker: MakeSettings, redis_server: RedisServer, area: str
) -> None:
    async with asyncio.timeout(40):
        async with serving(area, broker("exchange"), redis_server.url):
            trader = TradingClient(broker("p0"), area, "p0", again_after_s=QUICK)
            await trader.__aenter__()
            await trader.sell("load:0", "injection", 10, "0.05", client_order_id="before")
        meanwhile = asyncio.create_task(
            trader.sell("load:0", "injection", 20, "0.05", client_order_id="meanwhile")
        )
        await asyncio.sleep(0.5)
        assert not meanwhile.done()
        async with serving(area, broker("exchange"), redis_server.url) as service:
            assert (await meanwhile).quantity_w == 20
            await trader.sell("load:0", "injection", 30, "0.05", client_order_id="after")
            await until_equal(trader, service, "load:0")
            assert list(trader.orders) == ["before", "meanwhile", "after"]
            async with TradingClient(broker("p0-again"), area, "p0", again_after_s=QUICK) as again:
                assert open_in_mirror(again) == open_in_mirror(trader)
                repeated = await again.sell(
                    "load:0", "injection", 10, "0.05", client_order_id="before"
                )
                assert repeated == trader.order("before")
                await again.cancel("before")
            async with TradingClient(broker("p0-third"), area, "p0", again_after_s=QUICK) as third:
                ended = await third.sell(
                    "load:0", "injection", 10, "0.05", client_order_id="before"
                )
                assert (ended.state, ended.reason) == (OrderState.CANCELLED, "requested")
            await trader.__aexit__()


async def test_a_restart_of_the_broker_loses_nothing(
    tmp_path: Path, redis_server: RedisServer, area: str
) -> None:
    """It forgets all sessions and messages; an order is placed meanwhile, and one is traded."""
    with Mosquitto(tmp_path) as server:
        async with (
            asyncio.timeout(40),
            serving(area, server.settings("exchange"), redis_server.url) as service,
            TradingClient(server.settings("p0"), area, "p0", again_after_s=QUICK) as trader,
            TradingClient(server.settings("p1"), area, "p1", again_after_s=QUICK) as other,
        ):
            fills = trader.fills()
            await trader.sell("load:0", "injection", 30, "0.05", client_order_id="before")
            server.kill()
            meanwhile = [
                asyncio.create_task(trader.sell("load:0", "injection", 10, "0.05")),
                asyncio.create_task(other.buy("load:1", "injection", 35, "0.05")),
            ]
            await asyncio.sleep(0.3)
            assert not any(each.done() for each in meanwhile)
            server.start()
            await asyncio.gather(*meanwhile)
            await until_equal(trader, service, "load:0")
            await until_equal(other, service, "load:1")
            sold_w = [(await anext(fills)).quantity_w]
            while sum(sold_w) < 35:
                sold_w.append((await anext(fills)).quantity_w)
            assert sum(sold_w) == 35
            assert sum(each.remaining_w for each in trader.orders.values()) == 5
            await trader.wait_until(lambda: "load:0" in trader.envelopes)


async def test_an_exchange_that_begins_anew_is_followed(
    mosquitto: Mosquitto, redis_server: RedisServer, area: str
) -> None:
    """Its journal was lost and the loss accepted by hand: numbers of reports begin anew."""
    settings = mosquitto.settings(f"{area}-exchange")
    async with asyncio.timeout(30):
        async with serving(area, settings, redis_server.url):
            trader = TradingClient(
                mosquitto.settings(f"{area}-p0"), area, "p0", again_after_s=QUICK
            )
            await trader.__aenter__()
            for number in range(9):
                await trader.sell("load:0", "injection", 10, "0.05", client_order_id=f"s{number}")
        async with serving(area, settings, f"{redis_server.url}/1") as service:
            await trader.sell("load:0", "injection", 20, "0.05", client_order_id="new")
            await until_equal(trader, service, "load:0")
            assert list(trader.orders) == ["new"]
            lost = trader.order("s1")
            assert lost is not None
            assert (lost.state, lost.is_open) == (OrderState.ENDED, False)
            await trader.__aexit__()


async def test_without_an_exchange_a_client_says_so(
    mosquitto: Mosquitto, area: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = replace(mosquitto.settings(area), connect_within_s=0.3)
    with pytest.raises(TransportError, match=f"no exchange of the area {area} answered"):
        async with TradingClient(settings, area, "p0"):
            pass


async def test_a_closed_client_ends_the_waiting(mosquitto: Mosquitto, area: str) -> None:
    asker = ParticipantClient(mosquitto.settings(area), Topics(area), "p0")
    await asker.__aenter__()
    waiting = [
        asyncio.create_task(asker.ask({"type": "cancel", "client_order_id": "a"})),
        asyncio.create_task(asker.query("orders")),
    ]
    await asyncio.sleep(0.2)
    await asker.__aexit__()
    for each in waiting:
        with pytest.raises(TransportError, match="the client is closed"):
            await each
    with pytest.raises(TransportError, match="the client is closed"):
        await asker.ask({"type": "cancel", "client_order_id": "a"})


async def test_a_message_that_the_broker_refuses_is_an_error(tmp_path: Path, area: str) -> None:
    topics = Topics(area)
    rights = {"p1": topics.participant_rights("p1")}
    with SecuredMosquitto(tmp_path, rights) as server:
        settings = server.settings("p1", 5)
        asker = ParticipantClient(replace(settings, username="p1"), topics, "p0")
        async with asyncio.timeout(10), asker:
            with pytest.raises(PublishRefusedError, match="not authori"):
                await asker.ask({"type": "cancel", "client_order_id": "a"})
