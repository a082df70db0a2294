"""The service end to end: real clients, a real broker, a real journal."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from gateway_market import (
    GATE,
    START,
    break_poisonous_orders,
    client,
    market,
    order,
    retained,
    serving,
)
from gateway_servers import MakeSettings, Mosquitto, RedisServer, steal
from listening import LONG_S, Ear, until
from presence import there

from exchange.vocabulary.commands import RejectMessage
from gateway.errors import GatewayError, JournalError
from gateway.journal.redis_journal import RedisJournal
from gateway.messages.topics import Rights
from gateway.ports import Outgoing
from gateway.service.core import JournaledExchange, recover
from gateway.service.settings import ServiceSettings
from gateway.transport.embedded_broker import BrokerAccount, EmbeddedBroker
from gateway.transport.mqtt import MqttTransport


async def test_order_is_accepted_traded_and_each_participant_gets_its_report(
    broker: MakeSettings, redis_url: str, area: str
) -> None:
    ear, public = Ear(), Ear()
    topics = market(area).topics
    async with (
        serving(area, broker("exchange"), redis_url),
        client(broker("p0"), area, "p0", on_message=ear) as seller,
        client(
            broker("p1"),
            area,
            "p1",
            subscriptions=(topics.trade, topics.session, topics.envelopes("load:0")),
            on_message=public,
        ) as buyer,
    ):
        accepted = await seller.ask(order("a1", 0, "sell", 1000, "0.0450"))
        assert accepted["type"] == "accepted"
        assert (accepted["order_id"], accepted["price"]) == (1, "0.0450")
        await buyer.ask(order("b1", 1, "buy", 400, "0.05", interval=START.isoformat()))
        assert (await public.until("/trade", 1))[0] == {
            "trade_id": 1,
            "time": public.on("/trade")[0]["time"],
            "interval": "2096-06-01T12:00:00Z",
            "direction": "injection",
            "quantity_w": 400,
            "price": "0.0450",
            "low_price": "0.0450",
            "high_price": "0.0450",
            "taker_side": "buy",
        }
        reports = await ear.until("report/p0", 3)
        by_type = {report["type"]: report for report in reports}
        assert by_type["traded"]["amount"] == "-0.0180000"
        assert by_type["traded"]["client_order_id"] == "a1"
        assert by_type["position"]["injection_limit_w"] == 500_000_000 - 400
        assert "p1" not in json.dumps(reports)
        assert "load:1" not in json.dumps(reports)
        envelopes = await public.until("envelope/load:0/20960601T120000Z", 1)
        assert envelopes[-1]["injection_limit_w"] == 500_000_000 - 400
        assert public.on("/session")[-1]["intervals"][0]["phase"] == "open"


async def test_same_id_twice_is_one_order_and_the_same_answer(
    broker: MakeSettings, redis_url: str, area: str
) -> None:
    async with (
        serving(area, broker("exchange"), redis_url) as service,
        client(broker("p0"), area, "p0") as seller,
    ):
        message = order("a1", 0, "sell", 1000, "0.0450")
        first = await seller.ask(message)
        second = await seller.ask(message)
        assert second.pop("repeated")
        for report in (first, second):
            for name in ("sequence", "event", "time", "repeated"):
                report.pop(name, None)
        assert first == second
        assert len(service.core.exchange.state.orders) == 1
        other = await seller.ask(order("a1", 0, "sell", 999, "0.0450"))
        assert other["reason"] == "client_order_id_reused"


async def test_cancel_amend_and_mass_cancel(
    broker: MakeSettings, redis_url: str, area: str
) -> None:
    ear = Ear()
    async with (
        serving(area, broker("exchange"), redis_url) as service,
        client(broker("p0"), area, "p0", on_message=ear) as seller,
    ):
        for number in range(4):
            await seller.ask(order(f"a{number}", 0, "sell", 1000, "0.0450"))
        amend = {"type": "amend", "client_order_id": "a0", "price": "0.0460"}
        assert (await seller.ask(amend))["price"] == "0.0460"
        cancelled = await seller.ask({"type": "cancel", "client_order_id": "a1"})
        assert cancelled["reason"] == "requested"
        done = await seller.ask({"type": "mass_cancel"})
        assert (done["type"], done["orders"]) == ("mass_cancelled", 3)
        assert not service.core.exchange.state.orders
        sequences = [report["sequence"] for report in await ear.until("report/p0", 10)]
        assert sequences == list(range(sequences[0], sequences[0] + len(sequences)))
        assert seller.missed == sequences[0] - 1  # what was said before it listened


async def test_tso_update_curtails_and_is_acknowledged(
    broker: MakeSettings, redis_url: str, area: str
) -> None:
    ear = Ear()
    async with (
        serving(area, broker("exchange"), redis_url),
        client(broker("p0"), area, "p0", on_message=ear),
        client(broker("tso"), area, "tso") as tso,
    ):
        limits = {"voltage_min_pu": 0.98, "voltage_max_pu": 1.04, "injection_limit_w": 10}
        answer = await tso.ask({"update_id": "u1", **limits})
        assert answer["type"] == "limits_updated"
        reports = await ear.until("report/p0", 2)
        curtailed = next(report for report in reports if report["type"] == "curtailed")
        assert (curtailed["from_w"], curtailed["to_w"]) == (500_000_000, 250_000_000)
        bad = await tso.ask({"update_id": "u2", **limits, "voltage_max_pu": 0.5})
        assert (bad["reason"], bad["request"]) == ("malformed", "message")
        bad = await tso.ask({"update_id": "u3", **limits, "unbalance_pu": 1.5})
        assert "the contracted unbalance is 1.5" in bad["detail"]
        answer = await tso.ask({"update_id": "u4", **limits, "unbalance_pu": 0.01})
        assert answer["unbalance_pu"] == 0.01


async def test_gate_closes_by_the_clock_and_statements_go_out(
    embedded_broker: Any, redis_url: str, area: str
) -> None:
    ear = Ear()
    now = [GATE.replace(hour=8)]
    settings = embedded_broker.settings
    async with (
        serving(area, settings("exchange"), redis_url, clock=lambda: now[0]),
        client(settings("p0"), area, "p0", on_message=ear) as seller,
        client(settings("p1"), area, "p1") as buyer,
    ):
        await seller.ask(order("a1", 0, "sell", 1000, "0.0450"))
        await buyer.ask(order("b1", 1, "buy", 400, "0.05"))
        now[0] = GATE
        await until(lambda: any(r["type"] == "statement" for r in ear.on("report/p0")))
        statement = next(r for r in ear.on("report/p0") if r["type"] == "statement")
        assert (statement["sold_w"], statement["balance"]) == (400, "0.0180000")
        late = await seller.ask(order("a2", 0, "sell", 1000, "0.0450", interval=str(START)))
        assert late["reason"] == "gate_closed"


async def test_restart_rebuilds_the_same_state(
    broker: MakeSettings, redis_url: str, area: str
) -> None:
    async with (
        client(broker("p0"), area, "p0") as seller,
        client(broker("p1"), area, "p1") as buyer,
    ):
        async with serving(area, broker("exchange"), redis_url) as service:
            for number in range(10):
                await seller.ask(order(f"a{number}", 0, "sell", 100, "0.0450"))
                await buyer.ask(order(f"b{number}", 1, "buy", 60, "0.0450"))
            digest = service.core.exchange.digest()
            kept = retained(service.core, GATE)
        async with RedisJournal(redis_url, area, read_only=True) as journal:
            from_nothing = JournaledExchange(market(area))
            async for entry in journal.read():
                from_nothing.apply(entry)
            from_snapshot, unpublished = await recover(market(area), journal)
            assert await journal.read_snapshot() is not None
        for core in (from_nothing, from_snapshot):
            assert core.exchange.digest() == digest
            assert retained(core, GATE) == kept
            assert core.publisher.state() == from_nothing.publisher.state()
        assert unpublished == []
        async with serving(area, broker("exchange"), redis_url) as service:
            assert service.core.exchange.digest() == digest
            service.core.exchange.check_invariants()
            again = await seller.ask(order("a3", 0, "sell", 100, "0.0450"))
            assert again["repeated"]


async def test_replay_makes_the_same_messages(
    embedded_broker: Any, redis_url: str, area: str
) -> None:
    ear = Ear()
    settings = embedded_broker.settings
    async with (
        serving(area, settings("exchange"), redis_url),
        client(settings("p0"), area, "p0", on_message=ear) as seller,
    ):
        for number in range(5):
            await seller.ask(order(f"a{number}", 0, "sell", 100, "0.0450"))
            await seller.ask(order(f"a{number}", 0, "sell", 100, "0.0450"))
    core = JournaledExchange(market(area))
    messages: list[Outgoing] = []
    async with RedisJournal(redis_url, area, read_only=True) as journal:
        async for entry in journal.read():
            messages += core.apply(entry)
    replayed = [json.loads(m.payload) for m in messages if m.topic.endswith("report/p0")]
    assert replayed[-len(ear.heard) :] == ear.on("report/p0")


async def test_sender_without_connection_point_is_unauthorised(
    broker: MakeSettings, redis_url: str, area: str
) -> None:
    async with (
        serving(area, broker("exchange"), redis_url),
        client(broker("mallory"), area, "mallory") as mallory,
        client(broker("p1"), area, "p1") as p1,
    ):
        assert (await mallory.ask(order("x", 0, "sell", 1, "1")))["reason"] == "unauthorised"
        assert (await p1.ask(order("x", 0, "sell", 1, "1")))["reason"] == "not_owner"
        forged = await p1.ask(order("y", 1, "sell", 1, "1", participant="p0"))
        assert forged["reason"] == "unauthorised"


async def test_too_frequent_is_answered(embedded_broker: Any, redis_url: str, area: str) -> None:
    ear = Ear()
    slow = ServiceSettings(messages_per_second=0.001, burst=2)
    async with (
        serving(area, embedded_broker.settings("exchange"), redis_url, settings=slow),
        client(embedded_broker.settings("p0"), area, "p0", on_message=ear) as p0,
    ):
        for n in range(5):
            p0.send(order(f"a{n}", 0, "sell", 10, "0.01"))

        def unread() -> int:
            refused = [each for each in ear.on("report/p0") if each["type"] == "refused"]
            assert all(each["reason"] == "too_frequent" for each in refused)
            return sum(int(each["detail"].partition(" message")[0]) for each in refused)

        def accepted() -> list[str]:
            reports = ear.on("report/p0")
            return [each["client_order_id"] for each in reports if each["type"] == "accepted"]

        await until(lambda: unread() == 3 and len(accepted()) >= 2)
        assert accepted() == ["a0", "a1"]


async def test_bug_in_the_exchange_costs_one_message(
    embedded_broker: Any, redis_url: str, area: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = embedded_broker.settings
    async with (
        serving(area, settings("exchange"), redis_url) as service,
        client(settings("p0"), area, "p0") as p0,
    ):
        await p0.ask(order("a1", 0, "sell", 10, "0.01"))
        break_poisonous_orders(monkeypatch)
        answer = await p0.ask(order("poison", 0, "sell", 10, "0.01"))
        assert (answer["type"], answer["request"]) == ("refused", "message")
        assert (await p0.ask(order("a2", 0, "sell", 10, "0.01")))["type"] == "accepted"
        assert len(service.core.exchange.state.orders) == 2
        service.core.exchange.check_invariants()


async def test_journal_that_is_gone_stops_all_answers(
    mosquitto: Mosquitto, area: str, tmp_path: Path
) -> None:
    ear = Ear()

    async def lose_the_journal(redis: RedisServer) -> None:
        async with (
            serving(area, mosquitto.settings(f"{area}-x"), redis.url) as service,
            client(mosquitto.settings(f"{area}-p0"), area, "p0", on_message=ear) as p0,
        ):
            await p0.ask(order("a1", 0, "sell", 10, "0.01"))
            redis.kill()
            ear.heard.clear()
            p0.send(order("a2", 0, "sell", 10, "0.01"))
            with pytest.raises(GatewayError):
                await service.request(RejectMessage("p0", None, "malformed", "x"))

    with RedisServer(tmp_path) as redis:
        with pytest.raises(JournalError):
            await lose_the_journal(redis)
        assert ear.heard == []
        redis.start()
        async with (
            serving(area, mosquitto.settings(f"{area}-x"), redis.url) as service,
            client(mosquitto.settings(f"{area}-p0"), area, "p0"),
        ):
            # The order was not acknowledged, so the broker brings it again by itself.
            await until(lambda: len(service.core.exchange.state.orders) >= 2)


async def test_unpublished_reports_are_published_after_a_restart(
    mosquitto: Mosquitto, redis_url: str, area: str
) -> None:
    made = market(area)
    async with serving(area, mosquitto.settings(f"{area}-x"), redis_url):
        pass
    ear = Ear()
    async with client(mosquitto.settings(f"{area}-p0"), area, "p0", on_message=ear):
        async with RedisJournal(redis_url, area, owner="test") as journal:
            core, _ = await recover(made, journal)
            command = RejectMessage("p0", "a1", "malformed", "journaled, and then killed")
            entry, _ = core.handle(command, START)
            assert entry is not None
            await journal.append([entry], journal.published_sequence)
        async with serving(area, mosquitto.settings(f"{area}-x"), redis_url):
            assert "then killed" in (await ear.until("report/p0", 1))[0]["detail"]


@pytest.mark.parametrize("clean", [False, True])
async def test_exchange_answers_after_its_session_was_taken_over(
    broker: MakeSettings, redis_url: str, area: str, clean: bool
) -> None:
    """Where nothing binds client ids to users, it comes back at least."""
    settings = broker("exchange")
    async with (
        serving(area, settings, redis_url),
        client(broker("p0"), area, "p0") as p0,
    ):
        await p0.ask(order("a1", 0, "sell", 10, "0.01"))
        await steal(settings, clean=clean, unsubscribe=market(area).topics.order("+"))
        async with asyncio.timeout(LONG_S):
            answer = await p0.ask(order("a2", 0, "sell", 10, "0.01"), again_after_s=0.2)
        assert answer["type"] == "accepted"


async def test_deaf_exchange_says_so_and_connects_anew(
    embedded_broker: Any, redis_url: str, area: str, caplog: pytest.LogCaptureFixture
) -> None:
    topics = market(area).topics
    quick = ServiceSettings(probe_s=0.05, silent_after_s=0.3, heartbeat_s=0.1)
    ear = Ear()

    def statuses() -> list[str]:
        return [content["status"] for content in ear.on("/session")]

    async with (
        serving(area, embedded_broker.settings("exchange"), redis_url, settings=quick),
        client(
            embedded_broker.settings("p0"),
            area,
            "p0",
            subscriptions=(topics.session,),
            on_message=ear,
        ) as p0,
    ):
        await p0.ask(order("a1", 0, "sell", 10, "0.01"))
        await asyncio.sleep(1)
        assert "connecting anew" not in caplog.text
        assert "offline" not in statuses()
        for topic in topics.incoming:  # the broker forgets, and says nothing
            del embedded_broker._broker._subscriptions[topic]
        async with asyncio.timeout(LONG_S):
            answer = await p0.ask(order("a2", 0, "sell", 10, "0.01"), again_after_s=0.2)
        assert answer["type"] == "accepted"
        assert f"not even its own on {topics.probe}" in caplog.text
        assert "offline" in statuses()
        ear.heard.clear()
        await ear.until("/session", 2)
        assert set(statuses()) == {"online"}


async def test_exchange_that_may_not_hear_itself_goes_on_trying(
    redis_url: str, area: str, caplog: pytest.LogCaptureFixture
) -> None:
    """It waits longer and longer, and says that it is offline."""
    topics = market(area).topics
    rights = topics.exchange_rights()
    accounts = {"exchange": BrokerAccount("x", rights), "p0": BrokerAccount("y")}
    quick = ServiceSettings(probe_s=0.05, silent_after_s=0.2, heartbeat_s=0.1)
    ear = Ear()
    async with (
        EmbeddedBroker(accounts) as broker,
        serving(area, broker.settings("exchange", "exchange"), redis_url, settings=quick),
        client(
            broker.settings("p0", "p0"), area, "p0", subscriptions=(topics.session,), on_message=ear
        ),
    ):
        accounts["exchange"] = BrokerAccount("x", Rights(rights.publish, topics.incoming[1:]))
        del there(broker._broker)._subscriptions[topics.order("+")]
        await asyncio.sleep(2)
        assert caplog.text.count("connecting anew") == 1
        assert "refused the subscription" in caplog.text
        assert ear.on("/session")[-1]["status"] == "offline"
        accounts["exchange"] = BrokerAccount("x", rights)
        await until(lambda: ear.on("/session")[-1]["status"] != "offline")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("client_order_id", "\x00\u202e"),
        ("client_order_id", "a\u202eb"),
        ("client_order_id", "a\n"),
        ("connection_point", "load:0\u202e"),
        ("connection_point", "load:\u200b0"),
        ("type", "sub\u202emit"),
        ("sub\u202emit", "x"),
        ("participant", "p0\u202e"),
    ],
)
async def test_characters_that_do_not_print_are_malformed_and_not_repeated(
    embedded_broker: Any, redis_url: str, area: str, field: str, value: str
) -> None:
    ear = Ear()
    async with (
        serving(area, embedded_broker.settings("exchange"), redis_url),
        client(embedded_broker.settings("p0"), area, "p0", on_message=ear) as p0,
    ):
        await p0.send(order("a1", 0, "sell", 10, "0.01") | {field: value})
        # Its position may come before.
        await until(lambda: "refused" in [each["type"] for each in ear.on("report/p0")])
    report = ear.on("report/p0")[-1]
    expected = "unauthorised" if field == "participant" else "malformed"
    assert (report["type"], report["reason"]) == ("refused", expected)
    assert report["request_id"] == (None if field == "client_order_id" else "a1")
    assert report["detail"].isprintable()


async def test_late_subscriber_sees_the_book(
    broker: MakeSettings, redis_url: str, area: str
) -> None:
    quick = ServiceSettings(depth_s=0.05)
    book = f"doe/v1/{area}/book/injection/20960601T120000Z"
    async with (
        serving(area, broker("exchange"), redis_url, settings=quick),
        client(broker("p0"), area, "p0") as p0,
    ):
        await p0.ask(order("a1", 0, "sell", 10, "0.02"))
        await p0.ask(order("a2", 0, "sell", 5, "0.01"))
        await p0.ask(order("a3", 0, "sell", 7, "0.02"))
        await asyncio.sleep(0.3)
        late = replace(broker("late"), version=4)
        async with MqttTransport(late, [book]) as reader:
            (message,) = await reader.receive(1)
    content = json.loads(message.payload)
    assert content["type"] == "snapshot"
    assert content["sequence"] == 4, "the interval opened, and three orders came"
    assert [(level["price"], level["quantity_w"]) for level in content["levels"]] == [
        ("0.0100", 5),
        ("0.0200", 17),
    ]
