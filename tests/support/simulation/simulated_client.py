"""Clients and devices of a simulated day; they believe nothing that is not consistent."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

from simulated_broker import SimulatedBroker, SimulatedLink
from virtual_time import VirtualClock, true_time

from exchange.vocabulary.formatting import format_time
from exchange.vocabulary.rules import TSO
from gateway.client.mirrors.point_envelopes import PointEnvelopes
from gateway.messages.requests import id_key
from gateway.messages.topics import Topics
from gateway.ports import Outgoing

AGAIN_AFTER_S = 2.0


class InconsistentError(Exception):
    """A client was told two things that cannot both be true."""


class Client:
    """A participant, or the TSO: it asks, and asks again under the same id until it is answered."""

    def __init__(
        self,
        broker: SimulatedBroker,
        topics: Topics,
        name: str,
        rng: random.Random,
        unit_w: int = 1,
    ) -> None:
        self.name, self._unit_w = name, unit_w
        self.link = SimulatedLink(broker, name, (topics.report(name),))
        self._topic = topics.interface_limits if name == TSO else topics.order(name)
        self._rng = random.Random(rng.random())
        self._waiting: dict[str, asyncio.Future[dict[str, Any]]] = {}
        self._answers: dict[str, dict[str, Any]] = {}
        self._reports: dict[int, dict[str, Any]] = {}
        self.placed: list[str] = []
        """Orders that the exchange has said to have accepted."""

    async def listen(self) -> None:
        async with self.link:
            while True:
                for message in await self.link.receive(64):
                    self._hear(json.loads(message.payload))
                    self.link.acknowledge([message])

    def _hear(self, report: dict[str, Any]) -> None:
        number = report["sequence"]
        if number in self._reports:
            if self._reports[number] != report:
                raise InconsistentError(f"{self.name}: report {number} in two forms")
            return
        self._reports[number] = report
        key = report.get("request_id")
        if key is None or key not in self._waiting:
            return
        known = self._answers.setdefault(key, report)
        if known is not report and not report.get("repeated"):
            raise InconsistentError(f"{self.name}: {key} is answered twice: {known}, {report}")
        if known["type"] != report["type"]:
            raise InconsistentError(f"{self.name}: {key} was {known}, and is {report}")
        if not self._waiting[key].done():
            self._waiting[key].set_result(report)

    async def trade(self, until_s: float, starts: Sequence[datetime]) -> None:
        """Send requests one after the other until the end of trading."""
        loop, number = asyncio.get_running_loop(), 0
        while loop.time() < until_s:
            await asyncio.sleep(self._rng.expovariate(0.2 if self.name == TSO else 1.0))
            number += 1
            await self._ask(self._request(number, starts))

    async def _ask(self, request: dict[str, Any]) -> None:
        key = request[id_key(self.name, request.get("type"))]
        answer = self._waiting[key] = asyncio.get_running_loop().create_future()
        while not answer.done():
            self.link.publish([Outgoing(self._topic, json.dumps(request).encode())])
            await asyncio.wait({answer}, timeout=AGAIN_AFTER_S)
        if answer.result()["type"] == "accepted":
            self.placed.append(key)

    def _request(self, number: int, starts: Sequence[datetime]) -> dict[str, Any]:
        draw, start = self._rng, format_time(self._rng.choice(starts))
        if self.name == TSO:
            limits = {
                f"{way}_limit_w": draw.randint(150, 600) * self._unit_w
                for way in ("injection", "withdrawal")
            }
            band = {"voltage_min_pu": 0.98, "voltage_max_pu": 1.04}
            return {"update_id": f"u{number}", "interval": start, **limits, **band}
        earlier = draw.choice(self.placed) if self.placed else "o0"
        match draw.choices(["submit", "amend", "cancel", "mass_cancel"], [10, 3, 2, 0.3])[0]:
            case "amend":
                terms = {"quantity_w": self._quantity_w(), "price": self._price()}
                named = {"request_id": f"r{number}", "client_order_id": earlier}
                return {"type": "amend", **named, **terms}
            case "cancel":
                named = {"request_id": f"r{number}", "client_order_id": earlier}
                return {"type": "cancel", **named}
            case "mass_cancel":
                return {"type": "mass_cancel", "request_id": f"r{number}"}
        return {
            "type": "submit",
            "client_order_id": f"o{number}",
            "connection_point": f"load:{self.name[1:]}",
            "direction": draw.choice(["injection", "withdrawal"]),
            "interval": start,
            "side": draw.choice(["buy", "sell"]),
            "quantity_w": self._quantity_w(),
            "price": self._price(),
        }

    def _quantity_w(self) -> int:
        return self._rng.randint(1, 20) * 5 * self._unit_w

    def _price(self) -> str:
        return f"{self._rng.randint(300, 600) / 1e4:.4f}"

    def check(self, *, complete: bool) -> None:
        """Raise where a report is missing that no broker has lost."""
        if complete and sorted(self._reports) != list(range(1, len(self._reports) + 1)):
            raise InconsistentError(f"{self.name}: reports are missing of {max(self._reports)}")


class Device:
    """It keeps to the envelopes of its connection point, by the mirror that clients have.

    Parameters
    ----------
    fallback_w
        The limits of either direction with which it was set up.
    clock
        Of the day: the device's time of day is true.
    changed
        Called after each message.
    """

    def __init__(
        self,
        broker: SimulatedBroker,
        topics: Topics,
        point: str,
        fallback_w: int,
        clock: VirtualClock,
        changed: Callable[[], None],
    ) -> None:
        self.point = point
        self.link = SimulatedLink(broker, f"device-{point}", (topics.envelopes(point),))
        self._fallback_w, self._clock, self._changed = fallback_w, clock, changed
        self._versions: dict[tuple[str, int], Any] = {}
        self.forget()

    def forget(self) -> None:
        """Know nothing any more, as after a start."""
        self.mirror = PointEnvelopes(self.point, self._clock)
        self.confirmed_until_s = 0.0

    async def listen(self) -> None:
        async with self.link:
            while True:
                for message in await self.link.receive(64):
                    self.hear(message.topic, message.payload)
                    self.link.acknowledge([message])
                    self._changed()

    def hear(self, topic: str, payload: bytes) -> None:
        """Take a message of the exchange about this connection point."""
        if not payload:
            self.mirror.remove(interval_of(topic))
            return
        content, now = json.loads(payload), true_time(self._clock)
        known = self._versions.setdefault((topic, content["version"]), without_clock(content))
        if known != without_clock(content):
            raise InconsistentError(f"{topic}: one version is {known} and {content}")
        self.mirror.take(content)
        hold = datetime.fromisoformat(content["holds_until"])
        holds_s = (hold - datetime.fromisoformat(content["confirmed_at"])).total_seconds()
        holds_s = min(holds_s, (hold - now).total_seconds())
        self.confirmed_until_s = max(self.confirmed_until_s, self._clock() + holds_s)

    def limits_w(self, now: datetime) -> tuple[int, int]:
        """Return the limits that it keeps to: injection, withdrawal."""
        try:
            limits = self.mirror.limits(now)
        except LookupError:
            return self._fallback_w, self._fallback_w
        return limits.injection_limit_w, limits.withdrawal_limit_w

    def check(self, now: datetime, *, complete: bool) -> None:
        """Raise where it relies on what was not confirmed, or where nothing has come at all."""
        fallback = self._fallback_w, self._fallback_w
        if self._clock() >= self.confirmed_until_s and self.limits_w(now) != fallback:
            raise InconsistentError(
                f"{self.point}: the device keeps to {self.limits_w(now)} W, and nothing has "
                f"confirmed that since {self.confirmed_until_s}"
            )
        if complete and not self._versions:
            raise InconsistentError(f"{self.point}: nothing has come")


def interval_of(topic: str) -> datetime:
    """Return the interval that an envelope's topic is about."""
    return datetime.fromisoformat(topic.rpartition("/")[2])


def without_clock(content: dict[str, Any]) -> dict[str, Any]:
    """Return an envelope without what it says about the moment of its publication."""
    passing = ("confirmed_at", "holds_until")
    return {name: each for name, each in content.items() if name not in passing}
