"""A trading client with a safeguard leaves no order behind, whatever ends its connection."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest
from gateway_market import serving
from gateway_servers import MakeSettings, Mosquitto, RedisServer, cut
from listening import until
from withheld_link import WithheldLink

from gateway.client.mirrors.own_orders import OrderState
from gateway.client.trading import TradingClient
from gateway.errors import GatewayError, RequestRefusedError
from gateway.service.service import Service


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


async def test_no_order_is_placed_before_its_safeguard(
    mosquitto: Mosquitto, redis_server: RedisServer, area: str
) -> None:
    """The safeguard is withheld with the connection: an order waits for the next one's."""
    settings = replace(mosquitto.settings(f"{area}-p0"), session_expiry_s=0)
    async with (
        asyncio.timeout(20),
        serving(area, mosquitto.settings(f"{area}-exchange"), redis_server.url) as service,
        WithheldLink(settings) as link,
        TradingClient(
            link.settings, area, "p0", cancel_on_disconnect=True, again_after_s=0.3
        ) as trader,
    ):
        former = trader._client.session
        await link.away()
        waiting = asyncio.create_task(sell(trader, "a"))
        await until(lambda: guarded(service) == [])
        link.back()
        await waiting
        assert trader._client.session != former
        assert guarded(service) == [("cancel", None)]
        events = service.core.exchange.state
        assert resting(service) == ["a"]
        assert events.safeguards.find("p0", trader._client.session) is not None


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
