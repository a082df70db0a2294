"""A small market for the gateway's tests: p0 owns load:0, p1 owns load:1, and so on.

Run as a program it serves that market until it is stopped or killed.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest

from doe_allocation.allocation.curtailment import Curtailment
from exchange.handlers.order_requests import OrderRequests
from exchange.vocabulary.commands import OpenSession
from exchange.vocabulary.rules import ConnectionTerms, MarketRules
from gateway.formats.strict_json import KEPT_REQUEST_BYTES
from gateway.journal.redis_journal import RedisJournal
from gateway.messages.topics import Topics
from gateway.ports import Outgoing
from gateway.publishing.publisher import last_will
from gateway.service.core import ExchangeSetup, JournaledExchange
from gateway.service.service import Service
from gateway.service.settings import ServiceSettings
from gateway.transport.mqtt import MqttTransport
from gateway.transport.mqtt_client import MqttSettings
from gateway.transport.participant_client import ParticipantClient
from security_check.checking.linear_rows import LinearRows
from security_check.checking.verdict import Verdict
from security_check.model.envelope import Direction, EnvelopeSet
from security_check.model.limits import InterfaceLimits

START = datetime(2096, 6, 1, 12, tzinfo=UTC)
GATE = START - timedelta(hours=1)
OPENING = OpenSession(START, START + timedelta(minutes=15), GATE, InterfaceLimits(0.98, 1.04))
CAPACITY_W = 10**9
SECURE = Verdict(secure=True, element="line:1", value=1.0, limit=2.0, unit="A", loading=0.5)


class WideGrid:
    """A network with room for everything: half of each capacity, and any exchange of it."""

    def __init__(self, points: int) -> None:
        self.connection_points = tuple(f"load:{index}" for index in range(points))

    def allocate(self, limits: InterfaceLimits) -> WideState:
        half = np.full(len(self.connection_points), CAPACITY_W // 2)
        return WideState(EnvelopeSet(self.connection_points, half, half))

    def reallocate(
        self, limits: InterfaceLimits, held: EnvelopeSet, curtailment: Curtailment
    ) -> WideState:
        """Halve what is held when the contract names a limit, and leave it otherwise."""
        if limits.injection_limit_w is None:
            return WideState(held)
        return WideState(
            EnvelopeSet(self.connection_points, held.injection_w // 2, held.withdrawal_w)
        )

    def rows_under(self, limits: InterfaceLimits, held: EnvelopeSet) -> LinearRows:
        return WideState(held).linear_rows()

    def resume(self, limits: InterfaceLimits, held: EnvelopeSet) -> WideState:
        return WideState(held)


class WideState:
    def __init__(self, held: EnvelopeSet) -> None:
        self._held = held

    def linear_rows(self) -> LinearRows:
        nothing = np.zeros((0, 2 * len(self._held.connection_points)))
        return LinearRows.of_one(nothing, np.zeros(0), 1.0, lambda row: "line:1")

    def largest_secure_w(
        self, direction: Direction, seller: str, buyer: str, wanted_w: int
    ) -> tuple[int, str]:
        return wanted_w, "line:1"

    def confirm(self, changes: Any) -> Verdict:
        return SECURE

    def commit(self, changes: Any) -> None:
        limits = {each: self._held.limits_w(each).copy() for each in Direction}
        for change in changes:
            point = self._held.connection_points.index(change.connection_point)
            limits[change.direction][point] += change.change_w
        self._held = EnvelopeSet(
            self._held.connection_points,
            limits[Direction.INJECTION],
            limits[Direction.WITHDRAWAL],
        )

    def explain(self, element: str) -> str:
        return ""

    def envelopes(self) -> EnvelopeSet:
        return self._held

    def copy(self) -> WideState:
        return WideState(self._held)


def market(area: str, points: int = 6, rules: MarketRules | None = None) -> ExchangeSetup:
    grid = WideGrid(points)
    terms = [
        ConnectionTerms(point, f"p{index}", CAPACITY_W, CAPACITY_W)
        for index, point in enumerate(grid.connection_points)
    ]
    return ExchangeSetup(Topics(area), grid, rules or MarketRules(), terms)


def retained(core: JournaledExchange, now: datetime) -> list[Outgoing]:
    """Return everything that goes out again with a new connection."""
    publisher = core.publisher
    return [*publisher.envelopes.retained(lambda: now), *publisher.retained(now)]


def order(client_id: str, point: int, side: str, quantity_w: int, price: str, **more: Any) -> Any:
    return {
        "type": "submit",
        "client_order_id": client_id,
        "connection_point": f"load:{point}",
        "direction": "injection",
        "side": side,
        "quantity_w": quantity_w,
        "price": price,
        **more,
    }


def break_poisonous_orders(patch: pytest.MonkeyPatch) -> None:
    """Let every order with the id ``poison`` meet a bug, half way through."""
    healthy = OrderRequests.submit

    def broken(requests: Any, command: Any, record: Any) -> None:
        healthy(requests, command, record)
        if command.client_order_id == "poison":
            raise ZeroDivisionError("a bug, half way through")

    patch.setattr(OrderRequests, "submit", broken)


@contextlib.asynccontextmanager
async def serving(
    area: str,
    mqtt: MqttSettings,
    redis_url: str,
    *,
    points: int = 6,
    settings: ServiceSettings | None = None,
    rules: MarketRules | None = None,
    setup: ExchangeSetup | None = None,
    journal: dict[str, Any] | None = None,
    **more: Any,
) -> AsyncIterator[Service]:
    """Serve a market in this process; opens its session if it is new.

    ``setup`` is another market than the wide one of ``points`` and ``rules``; ``journal`` has
    further arguments of the journal, and ``more`` those of the service.
    """
    made = setup or market(area, points, rules)
    async with (
        RedisJournal(redis_url, area, owner="test", retry_for_s=5.0, **journal or {}) as opened,
        MqttTransport(
            mqtt,
            made.topics.incoming,
            last_will(made.topics),
            ignore_retained=True,
            payload_at_most=KEPT_REQUEST_BYTES,
        ) as transport,
    ):
        service = Service(made, transport, opened, settings=settings, **more)
        running = asyncio.create_task(service.run())
        ready = asyncio.create_task(service.ready.wait())
        await asyncio.wait({running, ready}, return_when=asyncio.FIRST_COMPLETED)
        ready.cancel()
        if running.done():
            running.result()
        try:
            if not service.core.exchange.state.sessions:
                await service.request(OPENING)
            yield service
        finally:
            service.stop()
            await running


def client(mqtt: MqttSettings, area: str, name: str, **more: Any) -> ParticipantClient:
    return ParticipantClient(mqtt, Topics(area), name, **more)


async def _serve_until_killed(area: str, mqtt_url: str, redis_url: str) -> None:
    settings = MqttSettings.from_url(mqtt_url, f"{area}-exchange")
    async with serving(area, settings, redis_url, settings=ServiceSettings(snapshot_entries=200)):
        print("ready", flush=True)
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(_serve_until_killed(*sys.argv[1:]))
