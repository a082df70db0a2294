"""What a broker delivers again has no second effect: over a link that loses acknowledgements."""

from __future__ import annotations

import asyncio
from typing import Any

from gateway_market import client, order, serving
from gateway_servers import Mosquitto, RedisServer
from listening import Ear, until
from withheld_link import WithheldLink

from gateway.service.service import Service


def _resting(service: Service) -> dict[str, int]:
    orders = service.core.exchange.state.orders.values()
    return {each.client_order_id: each.limit_price_ticks for each in orders}


def _amend(request_id: str, price: str) -> dict[str, Any]:
    return {"type": "amend", "request_id": request_id, "client_order_id": "x", "price": price}


async def test_amendments_whose_acknowledgements_were_lost_are_not_made_again(
    mosquitto: Mosquitto, redis_server: RedisServer, area: str
) -> None:
    """The fault that was found: the order went back to 0.03 and was sold at 0.04."""
    ear = Ear()
    async with (
        WithheldLink(mosquitto.settings(f"{area}-exchange")) as link,
        serving(area, link.settings, redis_server.url) as service,
        client(mosquitto.settings(f"{area}-p0"), area, "p0", on_message=ear) as seller,
        client(mosquitto.settings(f"{area}-p1"), area, "p1") as buyer,
    ):
        await seller.ask(order("x", 0, "sell", 1000, "0.05"))
        link.withhold()
        for request_id, price in (("r1", "0.03"), ("r2", "0.06")):
            await seller.send(_amend(request_id, price))
        await until(lambda: _resting(service) == {"x": 600})
        await asyncio.sleep(0.2)  # journaled, and acknowledged into the link
        await link.cut()
        await until(lambda: sum(each.get("repeated", False) for each in _amended(ear)) == 2)
        assert _resting(service) == {"x": 600}
        assert {(each["request_id"], each["price"]) for each in _amended(ear)} == {
            ("r1", "0.0300"),
            ("r2", "0.0600"),
        }
        bought = await buyer.ask(order("y", 1, "buy", 1000, "0.04", time_in_force="IOC"))
        assert bought["type"] == "accepted"
        assert _resting(service) == {"x": 600}, "nothing is sold at a price that was withdrawn"
        assert seller.missed <= 1  # its first position, said perhaps before it listened


def _amended(ear: Ear) -> list[Any]:
    return [each for each in ear.on("report/p0") if each["type"] == "amended"]


async def test_a_mass_cancel_that_is_delivered_again_spares_the_order_after_it(
    mosquitto: Mosquitto, redis_server: RedisServer, area: str
) -> None:
    """The fault that was found: it killed that order, which then read ``accepted``, repeated."""
    ear = Ear()
    async with (
        WithheldLink(mosquitto.settings(f"{area}-exchange")) as link,
        serving(area, link.settings, redis_server.url) as service,
        client(mosquitto.settings(f"{area}-p0"), area, "p0", on_message=ear) as seller,
    ):
        await seller.ask(order("a", 0, "sell", 1000, "0.05"))
        link.withhold()
        await seller.send({"type": "mass_cancel", "request_id": "m1"})
        await seller.send(order("b", 0, "sell", 1000, "0.05"))
        await until(lambda: set(_resting(service)) == {"b"})
        await asyncio.sleep(0.2)
        await link.cut()

        def repeated() -> set[tuple[str, str]]:
            reports = [each for each in ear.on("report/p0") if each.get("repeated")]
            return {(each["type"], each["request_id"]) for each in reports}

        await until(lambda: repeated() == {("mass_cancelled", "m1"), ("accepted", "b")})
        assert set(_resting(service)) == {"b"}
        # What is said to be in is in: it can be cancelled.
        cancelled = await seller.ask({"type": "cancel", "client_order_id": "b"})
        assert (cancelled["type"], cancelled["reason"]) == ("cancelled", "requested")
