"""What a broker delivers again has no second effect: over a link that loses acknowledgements."""

from __future__ import annotations

import asyncio
import json
from datetime import timedelta
from typing import Any

import numpy as np
import pytest
from gateway_market import GATE, OPENING, START, client, market, order, serving
from gateway_servers import Mosquitto, RedisServer
from listening import Ear, until
from memory_ports import MemoryJournal, MemoryTransport
from sampling import examples
from withheld_link import WithheldLink

from exchange.vocabulary.commands import CloseGate, Command, OpenSession
from exchange.vocabulary.rules import MarketRules
from gateway.installation.area_runner import covered
from gateway.service.service import Service
from gateway.service.settings import ServiceSettings
from security_check.model.limits import InterfaceLimits

NOON = START.isoformat()


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


async def test_a_broker_has_no_more_messages_to_deliver_again_than_it_was_told(
    mosquitto: Mosquitto, redis_server: RedisServer, area: str
) -> None:
    """That many answers at least are remembered, so none of the messages acts twice."""
    most, rules = 6, MarketRules(answers_kept=6)
    silent = ServiceSettings(probe_s=1e6)  # its own messages would count, too
    ear = Ear()
    async with (
        WithheldLink(mosquitto.settings(f"{area}-exchange", 5)) as link,
        serving(
            area,
            covered(link.settings, rules),
            redis_server.url,
            rules=rules,
            settings=silent,
        ) as service,
        client(mosquitto.settings(f"{area}-p0"), area, "p0", on_message=ear) as seller,
    ):
        # The exchange's first message to itself is acknowledged by then, and so is this.
        await seller.ask({"type": "cancel", "request_id": "c0", "client_order_id": "none"})
        await asyncio.sleep(0.2)
        link.withhold()
        for number in range(12):
            # Each takes the order of its predecessor, and that of its successor if it comes again.
            await seller.send({"type": "mass_cancel", "request_id": f"m{number}"})
            await seller.send(order(f"a{number}", 0, "sell", 10, "0.05"))
        await until(lambda: "a2" in _resting(service))
        await asyncio.sleep(0.3)
        assert set(_resting(service)) == {"a2"}, f"the broker has sent more than {most} messages"
        await link.cut()
        await until(lambda: "a11" in _resting(service))
        assert set(_resting(service)) == {"a11"}
        await until(lambda: ear.on("report/p0")[-1].get("request_id") == "a11")
        reports = ear.on("report/p0")
        done = [each["request_id"] for each in reports if each["type"] == "mass_cancelled"]
        assert list(dict.fromkeys(done)) == [f"m{number}" for number in range(1, 12)]
        cancelled = [each["client_order_id"] for each in reports if each["type"] == "cancelled"]
        assert cancelled == [f"a{number}" for number in range(11)]


# -- any messages, in the order that a broker keeps ------------------------------------------------

QUIET = ServiceSettings(
    tick_s=0.001,
    depth_changes_s=1e6,
    depth_s=1e6,
    heartbeat_s=1e6,
    probe_s=1e6,
    stop_within_s=0.05,
    messages_per_second=1e9,
    burst=10**9,
)
MADE = market("area")
LATER = OpenSession(
    START + timedelta(minutes=15), START + timedelta(minutes=30), GATE, InterfaceLimits(0.98, 1.04)
)
AT_STEP: dict[int, Command] = {12: LATER, 24: CloseGate(START), 36: CloseGate(LATER.start)}
"""What the service itself does: one interval is open, then two, then the other, then none."""


class Desk:
    """A service on ports in memory, and what it told its participants."""

    def __init__(self) -> None:
        self.transport = MemoryTransport()
        self.now = GATE - timedelta(hours=2)
        self.service = Service(
            MADE, self.transport, MemoryJournal(), clock=lambda: self.now, settings=QUIET
        )

    async def take(self, topic: str, payload: bytes) -> list[Any]:
        """Let the service handle a message; return the reports of it, the answer first."""
        done, said = len(self.transport.acknowledged) + 1, len(self.reports())
        self.transport.deliver((topic, payload))
        await until(lambda: len(self.transport.acknowledged) == done, every_s=0.001)
        reports = self.reports()[said:]
        return sorted(reports, key=lambda each: each.get("request") is None)

    @property
    def state(self) -> dict[str, Any]:
        snapshot = self.service.core.exchange.snapshot()
        parts = ("sessions", "controls", "ledger", "metering", "next_order_id", "next_trade_id")
        return {part: snapshot[part] for part in parts}

    def reports(self) -> list[Any]:
        every = (each for each in self.transport.published if "/report/" in each.topic)
        return [json.loads(each.payload) for each in every]


def _message(rng: np.random.Generator, number: int) -> tuple[str, bytes]:
    """Return a message and its topic; many name no interval, some cannot be read."""
    point, key = int(rng.integers(3)), f"k{number - int(rng.random() < 0.1)}"
    old = f"k{rng.integers(number + 1)}"
    price, watts = f"0.0{rng.integers(1, 10)}", int(rng.integers(1, 50))
    named = {} if rng.random() < 0.6 else {"interval": [NOON, "noon"][int(rng.random() < 0.1)]}
    side = ["buy", "sell"][rng.integers(2)]
    topics = MADE.topics
    mine, amend = topics.order(f"p{point}"), {"type": "amend", "request_id": key}
    pair = [order(key, point, side, watts, price) | named for _ in range(2)]
    for leg, direction in zip(pair, ("injection", "withdrawal"), strict=True):
        del leg["type"], leg["client_order_id"]
        leg["direction"] = direction
    kinds: list[tuple[str, dict[str, Any], float]] = [
        (mine, order(key, point, side, watts, price) | named, 6),
        (mine, {"type": "linked", "client_order_id": key, "legs": pair}, 1),
        (mine, amend | {"client_order_id": old, "price": price}, 2),
        (mine, amend | {"client_order_id": old, "quantity_w": watts}, 1),
        (mine, {"type": "cancel", "request_id": key, "client_order_id": old}, 1),
        (mine, {"type": "mass_cancel", "request_id": key} | named, 0.5),
        (mine, {"type": "cancel", "client_order_id": old}, 0.5),  # it has no id
        (
            topics.interface_limits,
            {"update_id": key, "voltage_min_pu": 0.98, "voltage_max_pu": 1.04} | named,
            1,
        ),
        (topics.control, {"type": "halt", "control_id": key} | named, 0.5),
        (topics.control, {"type": "resume", "control_id": key}, 1),
        (topics.control, {"type": "price_collar", "control_id": key, "min_price": price}, 0.3),
        (topics.control, {"type": "price_collar", "control_id": key}, 0.5),
    ]
    odds = np.array([each[2] for each in kinds])
    topic, content, _ = kinds[rng.choice(len(kinds), p=odds / odds.sum())]
    return topic, json.dumps(content).encode()


@pytest.mark.parametrize("seed", range(examples(20)))
async def test_messages_that_are_delivered_again_are_answered_and_change_nothing(seed: int) -> None:
    rng = np.random.default_rng(seed)
    once, often = Desk(), Desk()
    running = [asyncio.create_task(each.service.run()) for each in (once, often)]
    sent: list[tuple[str, bytes]] = []
    answers: list[Any] = []
    used: set[tuple[str, str]] = set()
    owners: set[tuple[int, str]] = set()  # messages whose id no earlier one had
    try:
        for each in (once, often):
            await each.service.ready.wait()
            await each.service.request(OPENING)
        for step in range(48):
            message = _message(rng, step)
            sent.append(message)
            for desk in (once, often):
                desk.now += timedelta(seconds=5)
                if step in AT_STEP:
                    await desk.service.request(AT_STEP[step])
                answer = (await desk.take(*message))[0]
            answers.append(answer)
            key = (message[0], answer["request_id"])
            if key not in used:
                used.add(key)
                owners.add((step, answer["request_id"]))
            for _ in range(rng.poisson(1.5)):
                number = int(rng.integers(len(sent)))
                (again,) = await often.take(*sent[number])
                first = answers[number]
                assert (again["type"], again["request_id"]) == (first["type"], first["request_id"])
                assert again["repeated"] or again["type"] == "refused", again
                if again["request_id"] is None or (number, again["request_id"]) in owners:
                    assert (again["request"], again.get("reason")) == (
                        first["request"],
                        first.get("reason"),
                    )
            assert often.state == once.state
    finally:
        for each in (once, often):
            each.service.stop()
        await asyncio.wait(running)
    first_time = [each for each in often.reports() if not each.get("repeated")]
    accepted = [each["client_order_id"] for each in first_time if each["type"] == "accepted"]
    assert accepted == [
        each["client_order_id"] for each in once.reports() if each["type"] == "accepted"
    ]
    for task in running:
        task.result()
