"""The flexibility market over MQTT: the published orders, kills, redelivery, and its money."""

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from decimal import Decimal
from pathlib import Path
from typing import Any

import flexible_area
import pytest
from flexible_area import CASE, PUBLISHED, orders, outcome, setup, write_scenario
from gateway_market import START, client, serving
from gateway_servers import Mosquitto, RedisServer
from killed_exchange import Victim, journaled
from listening import Ear, until
from rich.console import Console
from withheld_link import WithheldLink

from exchange.vocabulary.commands import CloseGate
from exchange.vocabulary.events import Event
from exchange.vocabulary.flexibility_events import FlexibilityAccepted
from gateway.client.market import MarketClient
from gateway.client.trading import TradingClient
from gateway.console.trade import TradingLines
from gateway.errors import RequestRefusedError
from gateway.scenario.loading import load_scenario
from gateway.service.service import Service

MATCHINGS = pytest.mark.parametrize("matching", ["pairwise", "welfare"])
TRADES = [list(each) for each in PUBLISHED["trades"]]
REFUSED = {(f"offers.{o}", f"requests.{r}") for o, r in PUBLISHED["refused_for_congestion"]}
SENDERS = sorted({sender for sender, _ in orders()})


def check_published(events: list[Event], matching: str) -> None:
    """Compare with the published trades, refused pairs and welfare; each order is there once."""
    accepted = [e.client_order_id for e in events if isinstance(e, FlexibilityAccepted)]
    assert accepted == [message["client_order_id"] for _, message in orders()]
    trades, refused, welfare = outcome(events)
    assert trades == TRADES
    assert welfare == pytest.approx(PUBLISHED["social_welfare"], abs=1e-9)
    if matching == "pairwise":
        assert len(trades) == 7
        assert refused == REFUSED


async def _connected(stack: AsyncExitStack, mosquitto: Mosquitto, area: str) -> dict[str, Any]:
    return {
        name: await stack.enter_async_context(
            TradingClient(mosquitto.settings(f"{area}-{name}"), area, name, again_after_s=0.3)
        )
        for name in SENDERS
    }


@MATCHINGS
async def test_the_published_orders_have_the_published_outcome(
    mosquitto: Mosquitto, redis_server: RedisServer, area: str, tmp_path: Path, matching: str
) -> None:
    """What clients hear, what is public, what is journaled and what is stated say the same."""
    made = setup(load_scenario(write_scenario(tmp_path, matching)), area)
    async with AsyncExitStack() as stack:
        settings = mosquitto.settings(f"{area}-exchange")
        enter = stack.enter_async_context
        service = await enter(serving(area, settings, redis_server.url, setup=made))
        public = await enter(MarketClient(mosquitto.settings(f"{area}-observer"), area))
        traders = await _connected(stack, mosquitto, area)
        for sender, message in orders():
            await traders[sender].request(message)
        entries = await journaled(redis_server.url, area)
        check_published([event for entry in entries for event in entry.events], matching)
        await _check_books(service, public)
        rests = {each.client_order_id for each in await traders["dso"].flexibility_orders()}
        assert rests == _resting(service, "dso")
        await service.request(CloseGate(START))
        service.core.exchange.check_invariants()
        await _check_statements(service, traders)
        await until(lambda: START not in public.flexibility_books)


def _resting(service: Service, participant: str) -> set[str]:
    state = service.core.exchange.state
    return {each.client_order_id for each in state.flexible_orders_of(participant)}


async def _check_books(service: Service, public: MarketClient) -> None:
    """The public book is what rests, without names; the tape has all that was matched."""
    state = service.core.exchange.state
    rests_w = sum(each.remaining_w for each in state.flexible_orders.values())

    def public_w() -> int:
        book = public.flexibility_books.get(START)
        return 0 if book is None else sum(level.quantity_w for level in book.levels)

    await until(lambda: public_w() == rests_w)
    traded_w = sum(round(mw * 1e6) for _, _, mw in TRADES)
    await until(lambda: sum(e.quantity_w for e in public.flexibility_tape) == traded_w)


async def _check_statements(service: Service, traders: dict[str, Any]) -> None:
    """What requests pay is what offers get; no account has anything else."""
    ledger = service.core.exchange.state.ledger
    balances = {name: ledger.balance(name) for name in SENDERS}
    assert sum(balances.values()) == 0
    assert balances["dso"] < 0
    for name in ("dso", "c-n10"):
        stated = await traders[name].statement()
        (account,) = stated["accounts"]
        assert Decimal(account["balance"]) == service.core.exchange.state.rules.amount_in_eur(
            balances[name]
        )


@pytest.mark.slow
async def test_a_kill_in_the_middle_loses_and_doubles_nothing(
    mosquitto: Mosquitto, redis_server: RedisServer, area: str, tmp_path: Path
) -> None:
    """The process is killed while an order is under way; the sender sends until it is answered."""
    scenario = write_scenario(tmp_path, "pairwise")
    victim = Victim(
        area,
        f"mqtt://127.0.0.1:{mosquitto.port}",
        redis_server.url,
        str(scenario),
        program=flexible_area.__file__,
    )
    await victim.start()
    async with AsyncExitStack() as stack:
        traders = await _connected(stack, mosquitto, area)
        for number, (sender, message) in enumerate(orders()):
            asked = asyncio.create_task(traders[sender].request(message))
            if number == 40:
                await victim.kill()
                await victim.start()
            await asked
        entries = await journaled(redis_server.url, area)
    await victim.kill()
    check_published([event for entry in entries for event in entry.events], "pairwise")


async def test_an_order_that_is_delivered_again_acts_once(
    mosquitto: Mosquitto, redis_server: RedisServer, area: str, tmp_path: Path
) -> None:
    made = setup(load_scenario(write_scenario(tmp_path, "pairwise")), area)
    ear = Ear()
    async with (
        WithheldLink(mosquitto.settings(f"{area}-exchange")) as link,
        serving(area, link.settings, redis_server.url, setup=made) as service,
        client(mosquitto.settings(f"{area}-dso"), area, "dso", on_message=ear) as dso,
    ):
        asked = [message for sender, message in orders() if sender == "dso"]
        await dso.ask(asked[0])
        link.withhold()
        for message in asked[1:]:
            await dso.send(message)
        await until(lambda: len(_resting(service, "dso")) == len(asked))
        await asyncio.sleep(0.2)  # journaled, and acknowledged into the link
        await link.cut()

        def repeated() -> set[str]:
            reports = [each for each in ear.on("report/dso") if each.get("repeated")]
            return {each["request_id"] for each in reports}

        await until(lambda: repeated() == {each["client_order_id"] for each in asked[1:]})
        assert len(_resting(service, "dso")) == len(asked)
        service.core.exchange.check_invariants()


async def test_the_client_offers_requests_cancels_and_hears_of_it(
    mosquitto: Mosquitto, redis_server: RedisServer, area: str, tmp_path: Path
) -> None:
    made = setup(load_scenario(write_scenario(tmp_path, "welfare")), area)
    mine = mosquitto.settings
    async with (
        serving(area, mine(f"{area}-exchange"), redis_server.url, setup=made) as service,
        TradingClient(mine(f"{area}-dso"), area, "dso") as dso,
        TradingClient(mine(f"{area}-c-n4"), area, "c-n4", cancel_on_disconnect=True) as seller,
    ):
        matches = dso.flexibility_fills()
        asked = await dso.request_flexibility("n5", "upward", 9000, "0.04", conditional=True)
        assert (asked.bus, asked.connection_point, asked.conditional) == ("n5", None, True)
        offered = await seller.offer_flexibility("c-n4", "upward", 4000, Decimal("0.035"))
        assert (offered.bus, offered.connection_point) == ("n4", "c-n4")
        heard = await anext(matches)
        assert (heard.quantity_w, heard.price, heard.amount) == (4000, "0.04000", "0.16000000")
        (rest,) = await dso.flexibility_orders()
        assert (rest.client_order_id, rest.remaining_w) == (asked.client_order_id, 5000)
        cancelled = await dso.cancel_flexibility(asked.client_order_id)
        assert (cancelled.remaining_w, cancelled.reason) == (5000, "requested")
        with pytest.raises(RequestRefusedError, match="may not request flexibility"):
            await seller.request_flexibility("n5", "upward", 1, "0.04")
        await seller.offer_flexibility("c-n4", "downward", 4000, "0.035")
        assert await seller.cancel_all(side="sell") == 1
        await seller.offer_flexibility("c-n4", "downward", 4000, "0.035")
        await seller.__aexit__()  # its safeguard cancels the offer
        await until(lambda: not service.core.exchange.state.flexible_orders)


async def test_lines_of_the_console_offer_request_show_and_cancel(
    mosquitto: Mosquitto, redis_server: RedisServer, area: str, tmp_path: Path
) -> None:
    made = setup(load_scenario(write_scenario(tmp_path, "welfare")), area)
    mine, said = mosquitto.settings, io.StringIO()
    console = Console(file=said, width=120)

    async def lines(*given: str) -> AsyncIterator[str]:
        for each in given:
            yield each

    async with (
        serving(area, mine(f"{area}-exchange"), redis_server.url, setup=made),
        TradingClient(mine(f"{area}-dso"), area, "dso") as dso,
        TradingClient(mine(f"{area}-c-n4"), area, "c-n4") as seller,
    ):
        buying = TradingLines(dso, console, console)
        await buying.run(lines("request if n5 up 9000 0.04", "request n5 sideways 1 1"), "")
        asked = ("offer c-n4 up 4000 0.035", "offer c-n4 down 10 0.05", "flexibility", "cancel 3")
        selling = TradingLines(seller, console, console)
        await selling.run(lines(*asked, "flexibility", "wait 0.2"), "")
    text = said.getvalue()
    assert "order 1: conditional request of 9,000 W upward at n5 for 0.04000" in text
    assert "error: 'sideways' is neither upward nor downward" in text
    assert "order 2: offer of 4,000 W upward at c-n4 for 0.03500" in text
    assert "order 2 matched 4,000 W upward at 0.04000 EUR/kW, -0.16000000 EUR" in text
    assert "order 3: cancelled, requested, 10 W left" in text
    assert "no open offer or request" in text
    assert (buying.failures, selling.failures) == (1, 0)


def test_the_case_has_what_the_tests_are_about() -> None:
    assert len(CASE["requests"]) + len(CASE["offers"]) == len(orders()) == 65
    assert (len(TRADES), len(REFUSED)) == (7, 3)
