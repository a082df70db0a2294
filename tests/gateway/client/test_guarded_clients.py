"""A trading client with a safeguard leaves no order behind, whatever ends its connection."""

from __future__ import annotations

import asyncio

import pytest
from gateway_market import serving
from gateway_servers import MakeSettings, Mosquitto, RedisServer, cut
from listening import Ear, until

from gateway.client.mirrors.own_orders import OrderState
from gateway.client.trading import TradingClient
from gateway.errors import GatewayError, RequestRefusedError
from gateway.messages.topics import Topics
from gateway.service.service import Service
from gateway.transport.json_listener import JsonListener


def guarded(service: Service) -> list[tuple[str, int | None]]:
    found = service.core.exchange.state.safeguards.of("p0")
    return [(each.on_disconnect.value, each.silent_s) for each in found]


def resting(service: Service) -> list[str]:
    return [each.client_order_id for each in service.core.exchange.state.orders.values()]


async def sell(trader: TradingClient, key: str) -> None:
    await trader.sell("load:0", "injection", 10, "0.05", client_order_id=key)


async def test_a_lost_link_cancels_and_the_next_connection_is_guarded_again(
    broker: MakeSettings, redis_server: RedisServer, area: str
) -> None:
    async with (
        asyncio.timeout(30),
        serving(area, broker("exchange"), redis_server.url) as service,
        TradingClient(
            broker("p0"), area, "p0", cancel_on_disconnect=True, silent_s=60, again_after_s=0.3
        ) as trader,
        TradingClient(broker("p1"), area, "p1", again_after_s=0.3) as other,
    ):
        await other.sell("load:1", "injection", 10, "0.05", client_order_id="of-another")
        for number in range(3):
            assert guarded(service) == [("cancel", 60)]
            await sell(trader, f"a{number}")
            cut(trader._client._transport)
            await until(lambda: resting(service) == ["of-another"])
            await trader.wait_until(lambda: not trader.orders)
            order = trader.order(f"a{number}")
            assert order is not None
            assert (order.state, order.reason) == (OrderState.CANCELLED, "disconnected")
            await sell(trader, f"b{number}")  # waits for the safeguard of the new connection
            assert guarded(service) == [("cancel", 60)]
            assert await trader.cancel_all() == 1


async def test_a_clean_end_cancels_like_a_lost_link(
    broker: MakeSettings, redis_server: RedisServer, area: str
) -> None:
    async with asyncio.timeout(20), serving(area, broker("exchange"), redis_server.url) as service:
        for cancels, left in ((True, []), (False, ["b"])):
            client = TradingClient(broker("p0"), area, "p0", cancel_on_disconnect=cancels)
            async with client as trader:
                await sell(trader, "a" if cancels else "b")
            await until(lambda left=left: resting(service) == left)  # type: ignore[misc]
            assert guarded(service) == []


async def test_no_order_is_sent_before_its_safeguard_is_in_force(
    mosquitto: Mosquitto, redis_server: RedisServer, area: str
) -> None:
    """The exchange is away when the client connects anew: the safeguard waits, and so the order."""
    exchange = mosquitto.settings(f"{area}-exchange")
    ear = Ear()
    listener = JsonListener(mosquitto.settings(f"{area}-ear"), [Topics(area).order("p0")], ear)

    def said(kind: str) -> list[dict[str, str]]:
        return [each for each in ear.on("order/p0") if each["type"] == kind]

    async with asyncio.timeout(30), listener:
        async with serving(area, exchange, redis_server.url):
            trader = TradingClient(
                mosquitto.settings(f"{area}-p0"),
                area,
                "p0",
                cancel_on_disconnect=True,
                again_after_s=0.3,
            )
            await trader.__aenter__()
        former = trader._client.session
        cut(trader._client._transport)
        await until(lambda: len(said("safeguard")) >= 2)
        waiting = asyncio.create_task(sell(trader, "a"))
        await asyncio.sleep(0.5)
        assert [each["session"] for each in said("disconnected")] == [former]
        assert said("submit") == []
        async with serving(area, exchange, redis_server.url) as service:
            await waiting
            assert guarded(service) == [("cancel", None)]
            present = service.core.exchange.state.safeguards.find("p0", trader._client.session)
            assert present is not None
            assert resting(service) == ["a"]
            await trader.__aexit__()
            await until(lambda: resting(service) == [])


async def test_a_safeguard_that_is_refused_ends_the_client(
    mosquitto: Mosquitto, redis_server: RedisServer, area: str
) -> None:
    async with (
        asyncio.timeout(20),
        serving(area, mosquitto.settings(f"{area}-exchange"), redis_server.url) as service,
    ):
        for refused, why in (
            (TradingClient(mosquitto.settings(f"{area}-a"), area, "p0", silent_s=2), "malformed"),
            (TradingClient(mosquitto.settings(f"{area}-b"), area, "p9", silent_s=9), "unauthor"),
        ):
            with pytest.raises(RequestRefusedError, match=why):
                await refused.__aenter__()
            with pytest.raises(GatewayError):
                await sell(refused, "a")
        assert resting(service) == []
