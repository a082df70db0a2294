"""The client gets an answer to every kind of request, whatever is lost or wrong."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pytest
from gateway_market import START, client, order, serving
from gateway_servers import MakeSettings, RedisServer, cut, free_port
from listening import Ear, until
from project import ROOT
from request_examples import REQUESTS

from exchange.vocabulary.commands import OpenSession
from exchange.vocabulary.rules import MarketRules, MeteringRules
from gateway.messages.participant_reports import Report
from gateway.messages.topics import Topics
from gateway.ports import Outgoing
from gateway.service.rate_limiter import RateLimiter
from gateway.transport.mqtt import MqttTransport
from gateway.transport.mqtt_settings import MqttSettings
from gateway.transport.participant_client import ParticipantClient, ReportContent
from security_check.model.limits import InterfaceLimits

QUARTER = timedelta(minutes=15)
NOON, LATER = (START + k * QUARTER for k in range(2))
NAMED = {"interval": NOON.isoformat()}
SECOND_INTERVAL = OpenSession(
    LATER, LATER + QUARTER, NOON - timedelta(hours=1), InterfaceLimits(0.98, 1.04)
)
RULES = MarketRules(metering=MeteringRules(penalty_price_ticks=5))
PRICED = {"connection_point": "load:0", "direction": "injection", "side": "sell"}
LEG = PRICED | NAMED | {"quantity_w": 200, "price": "0.06"}
BAND = {"voltage_min_pu": 0.98, "voltage_max_pu": 1.04}

ORDERS: list[tuple[str, dict[str, Any], str]] = [
    ("submit", order("a", 0, "sell", 1000, "0.05", **NAMED), "accepted"),
    (
        "submit",
        {
            "type": "block",
            **PRICED,
            "quantity_w": 100,
            "price": "0.05",
            "intervals": [NOON.isoformat(), LATER.isoformat()],
        },
        "joint_accepted",
    ),
    (
        "submit",
        {"type": "linked", "legs": [LEG, LEG | {"direction": "withdrawal"}]},
        "joint_accepted",
    ),
    ("amend", {"type": "amend", "client_order_id": "a", "price": "0.07"}, "amended"),
    ("amend", {"type": "amend", "client_order_id": "none", "price": "0.07"}, "refused"),
    ("cancel", {"type": "cancel", "client_order_id": "a"}, "cancelled"),
    ("cancel", {"type": "cancel", "client_order_id": "a"}, "refused"),
    ("mass_cancel", {"type": "mass_cancel"}, "mass_cancelled"),
    ("mass_cancel", {"type": "mass_cancel"}, "refused"),
    (
        "safeguard",
        {"type": "safeguard", "session": "e1", "on_disconnect": "cancel", "silent_s": None},
        "safeguard",
    ),
]
"""Requests of a participant in this order: kind, message without an id, and type of the answer."""

OTHERS: dict[str, list[tuple[str, dict[str, Any], str]]] = {
    "tso": [("limits", BAND | NAMED, "limits_updated")],
    "operator": [
        ("control", {"type": "price_collar", "max_price": "1"}, "control_set"),
        ("control", {"type": "risk_limits", "participant": "*", "credit": "9"}, "control_set"),
        ("control", {"type": "kill_switch", "participant": "p1", "engaged": True}, "control_set"),
        ("control", {"type": "kill_switch", "participant": "p9", "engaged": True}, "refused"),
        ("control", {"type": "halt"}, "control_set"),
        ("control", {"type": "resume"}, "control_set"),
        (
            "control",
            {"type": "buy_back", **NAMED, "direction": "injection", "quantity_w": 5, "price": "1"},
            "control_set",
        ),
    ],
    "metering": [("metering", NAMED | {"connection_point": "load:0", "injection_w": 5}, "refused")],
}

IDS = {"tso": "update_id", "operator": "control_id", "metering": "reading_id"}
EVERY = {"p0": ORDERS, **OTHERS}


class ForgetfulClient(ParticipantClient):
    """Loses the first answer to every request, as a broker with a full queue does."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.lost: set[str] = set()

    def _answer(self, report: ReportContent) -> None:
        key = report.get("request_id")
        if key is not None and key not in self.lost:
            self.lost.add(key)
            return
        super()._answer(report)


@pytest.mark.parametrize("kind", [ParticipantClient, ForgetfulClient])
async def test_every_kind_of_request_is_answered_once_carried_out(
    broker: MakeSettings, redis_server: RedisServer, area: str, kind: type[ParticipantClient]
) -> None:
    async with serving(area, broker("exchange"), redis_server.url, rules=RULES) as service:
        await service.request(SECOND_INTERVAL)
        for name, requests in EVERY.items():
            async with kind(broker(name), Topics(area), name) as asker:
                for request, message, answer_type in requests:
                    async with asyncio.timeout(10):
                        answer = await asker.ask(message, again_after_s=0.3)
                    assert (answer["request"], answer["type"]) == (request, answer_type), answer
                    if kind is ForgetfulClient:
                        assert isinstance(asker, ForgetfulClient)
                        assert answer["repeated"]
                        assert answer["request_id"] in asker.lost
        assert service.core.exchange.state.orders == {}
        assert service.core.exchange.state.controls.killed == {"p1"}
        service.core.exchange.check_invariants()


async def test_what_cannot_be_read_is_answered_under_its_id(
    embedded_broker: Any, redis_server: RedisServer, area: str
) -> None:
    async with serving(area, embedded_broker.settings("exchange"), redis_server.url, rules=RULES):
        for name, requests in EVERY.items():
            async with client(embedded_broker.settings(name), area, name) as asker:
                for _, message, _ in requests:
                    async with asyncio.timeout(5):
                        answer = await asker.ask(message | {"why": "so"})
                    assert (answer["type"], answer["request"]) == ("refused", "message")
                    assert (answer["reason"], answer["detail"]) == (
                        "malformed",
                        "why: there is no such entry",
                    )


async def test_what_came_too_often_is_asked_again_until_it_is_read(
    embedded_broker: Any, redis_server: RedisServer, area: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is refused unread, in a report without its id, so the client sends it once more."""
    refusals = 0

    def allows(*_: Any) -> bool:
        nonlocal refusals
        refusals = (refusals + 1) % 3
        return not refusals

    monkeypatch.setattr(RateLimiter, "allows", allows)
    ear = Ear()
    async with (
        serving(
            area, embedded_broker.settings("exchange"), redis_server.url, rules=RULES
        ) as service,
        client(embedded_broker.settings("p0"), area, "p0", on_message=ear) as asker,
    ):
        await service.request(SECOND_INTERVAL)
        for request, message, answer_type in ORDERS:
            async with asyncio.timeout(10):
                answer = await asker.ask(message, again_after_s=0.1)
            assert (answer["request"], answer["type"]) == (request, answer_type), answer
            assert answer["repeated"] is False
        await until(lambda: any(r.get("reason") == "too_frequent" for r in ear.on("report/p0")))
    unread = [each for each in ear.on("report/p0") if each.get("reason") == "too_frequent"]
    assert {(each["type"], each["request_id"]) for each in unread} == {("refused", None)}


@pytest.mark.parametrize(
    ("name", "message", "words"),
    [
        ("p0", {"type": "submit", "client_order_id": "a b"}, "client_order_id is 'a b'"),
        ("p0", {"type": "cancel", "request_id": "x" * 65}, "request_id is 'xx"),
        ("p0", {"type": "amend", "request_id": 7}, "request_id is 7, which is not an id"),
        ("tso", {"update_id": ""}, "update_id is ''"),
        ("operator", {"type": "halt", "control_id": "\n"}, "control_id is"),
        ("metering", {"reading_id": "r", "why": "x" * 9_000}, "request r has 9,"),
    ],
)
async def test_a_request_that_could_not_be_answered_is_not_sent(
    embedded_broker: Any, area: str, name: str, message: dict[str, Any], words: str
) -> None:
    async with client(embedded_broker.settings(name), area, name) as asker:
        with pytest.raises(ValueError, match=words):
            await asker.ask(message)


async def test_ids_of_two_runs_differ_and_a_given_id_stays(embedded_broker: Any, area: str) -> None:
    clients = [client(embedded_broker.settings("p0"), area, "p0") for _ in range(2)]
    for name, requests in EVERY.items():
        for _, message, _ in requests:
            asker = client(embedded_broker.settings(name), area, name)
            beside = ("amend", "cancel", "mass_cancel", "safeguard")
            key = IDS.get(name) or ("request_id" if message["type"] in beside else None)
            given = asker.with_id(message)
            assert given == message | {key or "client_order_id": given[key or "client_order_id"]}
            assert asker.with_id(given) is given
    new = [each.with_id({"type": "cancel"})["request_id"] for each in clients for _ in range(3)]
    assert len(set(new)) == len(new)


async def test_two_who_wait_for_the_same_request_get_the_same_answer(
    embedded_broker: Any, redis_server: RedisServer, area: str
) -> None:
    async with (
        serving(area, embedded_broker.settings("exchange"), redis_server.url) as service,
        client(embedded_broker.settings("p0"), area, "p0") as asker,
    ):
        message = order("a", 0, "sell", 10, "0.01")
        async with asyncio.timeout(5):
            first, second = await asyncio.gather(asker.ask(message), asker.ask(message))
        assert first == second
        assert len(service.core.exchange.state.orders) == 1


async def test_a_safeguard_is_set_on_each_connection(
    broker: MakeSettings, redis_server: RedisServer, area: str
) -> None:
    ear = Ear()
    guard = {"on_disconnect": "cancel", "silent_s": 30, "device": "battery"}
    async with (
        serving(area, broker("exchange"), redis_server.url),
        client(broker("p0"), area, "p0", on_message=ear, safeguard=guard) as p0,
    ):
        await p0.ask(order("a", 0, "sell", 1000, "0.05"))
        former = p0.session
        cut(p0._transport)
        await until(lambda: [each["session"] for each in _of_safeguards(ear)][-1] != former)
        said = _of_safeguards(ear)
        assert [each["type"] for each in said] == ["safeguard", "session_lost", "safeguard"]
        assert [each["session"] for each in said] == [former, former, p0.session]
        assert {name: said[0][name] for name in guard} == guard
        assert said[1]["orders"] == 1


def _of_safeguards(ear: Ear) -> list[Any]:
    kinds = ("safeguard", "session_lost")
    return [each for each in ear.on("report/p0") if each["type"] in kinds]


DOCUMENT = json.loads((ROOT / "docs" / "asyncapi.json").read_text(encoding="utf-8"))
REPORTS = [
    example["payload"]
    for name in DOCUMENT["channels"]["reports"]["messages"]
    for example in DOCUMENT["components"]["messages"][name]["examples"]
]
SENDERS = {"orders": "p0", "limits": "tso", "controls": "operator", "readings": "metering"}


async def test_each_kind_of_report_answers_each_kind_of_request_whose_id_it_has(area: str) -> None:
    """Whatever its type is; and one that only names the order answers nothing."""
    assert len({report["type"] for report in REPORTS}) == len(Report.__subclasses__())
    requests = [
        (SENDERS[channel], message)
        for channel, name in SENDERS.items()
        for message in REQUESTS[channel]
        if message.get("type") not in ("disconnected", "alive")
    ]
    assert len(requests) >= 15
    for name, message in requests:
        settings = MqttSettings("127.0.0.1", 1, name)
        asker = ParticipantClient(settings, Topics(area), name)
        key = asker._checked_id(message)
        for report in REPORTS:
            ids = {"client_order_id": key} if "client_order_id" in report else {}
            for request_id in (key, None, "another") if "request_id" in report else (None,):
                waiting = asker._waiting[key] = asyncio.get_running_loop().create_future()
                asker.last_sequence = 0
                asker._take(Topics(area).report(name), report | ids | {"request_id": request_id})
                assert waiting.done() == (request_id == key), (message, report)


RUBBISH = [b"", b"\xff", b"{", b"[]", b"null", b"7", b'"' * 9, b"[" * 100_000, b"{}", b'{"a": NaN}']
NO_NUMBERS: list[Any] = [None, "1", 1.5, -1, True, []]
RUBBISH += [json.dumps({"sequence": each}).encode() for each in NO_NUMBERS]


@pytest.mark.parametrize("way", ["report", "answer", "session"])
async def test_a_client_hears_on_after_anything_at_all(
    mosquitto: Any, redis_server: RedisServer, area: str, way: str
) -> None:
    topics = Topics(area)
    topic = {"report": topics.report("p0"), "answer": topics.answer("p0")}.get(way, topics.session)
    heard: list[Any] = []

    def on_message(where: str, content: Any) -> None:
        heard.append(content)
        raise ZeroDivisionError("a bug of the application")

    async with (
        serving(area, mosquitto.settings(f"{area}-exchange"), redis_server.url),
        ParticipantClient(
            mosquitto.settings(f"{area}-p0"),
            topics,
            "p0",
            (topics.session,),
            on_message,
            queries=True,
        ) as asker,
        MqttTransport(mosquitto.settings(f"{area}-vandal")) as vandal,
        asyncio.timeout(20),
    ):
        await vandal.publish([Outgoing(topic, payload) for payload in RUBBISH])
        answer = await asker.ask(order("a", 0, "sell", 10, "0.05"))
        assert answer["type"] == "accepted"
        assert (await asker.query("orders"))[0]["entries"][0]["client_order_id"] == "a"
        assert len(heard) > 0


async def test_what_waits_for_the_broker_is_not_sent_again(
    area: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A copy every so often of each waiting request would all go out when the broker is back."""
    asker = ParticipantClient(MqttSettings("127.0.0.1", free_port(), "p0"), Topics(area), "p0")
    sent: list[Any] = []
    publish = asker._transport.publish

    def counted(messages: Sequence[Outgoing]) -> asyncio.Future[None]:
        sent.append(messages)
        return publish(messages)

    monkeypatch.setattr(asker._transport, "publish", counted)
    asker._listener = asyncio.create_task(asyncio.sleep(60))
    waiting = asyncio.create_task(asker.ask(order("a", 0, "sell", 10, "0.05"), again_after_s=0.01))
    await asyncio.sleep(0.2)
    assert len(sent) == 1
    asker._take(Topics(area).report("p0"), {"sequence": 1, "request_id": "a"})
    assert (await waiting)["sequence"] == 1
    asker._listener.cancel()
