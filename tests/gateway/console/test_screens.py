"""What a terminal shows of a market, and a line for each change elsewhere."""

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import pytest
from gateway_market import serving
from gateway_servers import Mosquitto, RedisServer
from listening import until
from rich.console import Console

from gateway.client.market import MarketClient
from gateway.client.trading import TradingClient
from gateway.console.trade import TradingLines
from gateway.console.watch import watch


def screen_of(*, terminal: bool) -> tuple[Console, io.StringIO]:
    file = io.StringIO()
    return Console(file=file, force_terminal=terminal, width=120, highlight=False), file


@asynccontextmanager
async def two_traders(
    mosquitto: Mosquitto, redis_url: str, area: str
) -> AsyncIterator[tuple[TradingClient, TradingClient]]:
    async with (
        serving(area, mosquitto.settings(f"{area}-exchange"), redis_url),
        TradingClient(mosquitto.settings(f"{area}-p0"), area, "p0") as seller,
        TradingClient(mosquitto.settings(f"{area}-p1"), area, "p1") as buyer,
    ):
        yield seller, buyer


@pytest.mark.parametrize("terminal", [True, False])
async def test_a_watcher_sees_books_envelopes_and_trades(
    mosquitto: Mosquitto, redis_server: RedisServer, area: str, terminal: bool
) -> None:
    console, shown = screen_of(terminal=terminal)
    async with (
        two_traders(mosquitto, redis_server.url, area) as (seller, buyer),
        MarketClient(mosquitto.settings(f"{area}-watcher"), area) as market,
    ):
        watching = asyncio.create_task(watch(market, None, console))
        await market.wait_until(lambda: bool(market.books))
        await seller.sell("load:0", "injection", 1000, "0.05")
        await buyer.buy("load:1", "injection", 400, "0.06")
        expected = [
            "injection 01 Jun 12:00: offered 600 W at 0.0500",
            " traded 400 W of injection at 0.0500 for 01 Jun 12:00",
            "envelope of load:1 01 Jun 12:00: injection 500,000,400 W, ",
        ]
        if terminal:
            expected = ["latest trades", "exchange online: ", "envelopes of 6 connection points: "]
            expected += ["400  ", "600  ", "0.0500"]
        await until(lambda: all(words in shown.getvalue() for words in expected))
        watching.cancel()
        with suppress(asyncio.CancelledError):
            await watching


async def test_lines_are_carried_out_and_reports_told(
    mosquitto: Mosquitto, redis_server: RedisServer, area: str
) -> None:
    console, shown = screen_of(terminal=False)
    errors, told = screen_of(terminal=False)

    async def script() -> AsyncIterator[str]:
        yield "sell load:0 injection 1000 0.05"
        yield "sell load:0 w 10 0.5"
        await buyer.buy("load:1", "injection", 400, "0.06")
        await until(lambda: "order 1 sold 400 W at 0.0500 EUR/kW" in shown.getvalue())
        for line in ("orders", "book", "positions", "limits", "statement", "help", ""):
            yield line
        yield "amend 1 watts=900 price=0.07"
        yield "amend 99 price=0.07"
        yield "buy load:0 injection 5 1 11:11"
        yield "cancel 4"  # it lost its priority, so it has a new number
        yield "cancel all"
        yield "quit"
        raise AssertionError("it went on after quit")

    async with two_traders(mosquitto, redis_server.url, area) as (seller, buyer):
        await seller.wait_until(lambda: "load:0" in seller.envelopes)
        lines = TradingLines(seller, console, errors)
        await lines.run(script(), "> ")
        assert seller.orders == {}
        assert lines.failures == 2, told.getvalue()
    for words in (
        "order 1: sell 1,000 W of load:0 injection at 0.0500, 01 Jun 12:00: open, 1,000 W left",
        "499,999,600",
        "fallback: no interval",
        "buy POINT DIRECTION WATTS [PRICE] [INTERVAL]",
        "sell 900 W of load:0 injection at 0.0700, 01 Jun 12:00: open, 500 W left",
        "cancelled, requested, 500 W left",
        "1 order cancelled",
        "0.0200000",
    ):
        assert words in shown.getvalue(), words
    assert "refused, unknown_order: " in told.getvalue()
    assert "no interval that trades begins at 11:11 UTC" in told.getvalue()
