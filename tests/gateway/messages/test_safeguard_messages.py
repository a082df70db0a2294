"""Messages of a device about its connection: what they ask for, and what is none of them."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from decimal import Decimal
from typing import Any
from unittest.mock import Mock

import pytest
from gateway_market import START, market, order
from hypothesis import given
from hypothesis import strategies as st
from listening import until
from memory_ports import MemoryJournal, MemoryTransport

from exchange.vocabulary.commands import LoseSession, RejectMessage, SetSafeguard
from exchange.vocabulary.reasons import CancelReason, OnDisconnect
from gateway.formats.faults import InvalidMessageError
from gateway.formats.order_terms import read_order
from gateway.messages.requests import Reader
from gateway.messages.safeguard_requests import SignOfLife, last_will_of
from gateway.service.service import Service
from gateway.service.settings import ServiceSettings

MADE = market("area")
GUARD: dict[str, Any] = {
    "type": "safeguard",
    "request_id": "g1",
    "session": "e1",
    "on_disconnect": "cancel",
    "silent_s": 30,
}
WILL: dict[str, Any] = {"type": "disconnected", "session": "e1"}
ALIVE: dict[str, Any] = {"type": "alive", "session": "e1"}


def read(message: Any, sender: str = "p1") -> Any:
    payload = message if isinstance(message, bytes) else json.dumps(message).encode()
    return Reader(Decimal("0.0001"), ["p0", "p1"], lambda: [START]).read(sender, payload)


def test_a_safeguard_names_its_session_and_perhaps_its_device() -> None:
    cancel, keep = OnDisconnect.CANCEL, OnDisconnect.KEEP
    assert read(GUARD) == SetSafeguard("p1", "g1", "e1", None, cancel, 30)
    other = {"device": "roof", "on_disconnect": "keep", "silent_s": None}
    assert read(GUARD | other) == SetSafeguard("p1", "g1", "e1", "roof", keep, None)


def test_a_last_will_and_a_sign_of_life_have_a_session_alone() -> None:
    lost = LoseSession("p1", "e1", CancelReason.DISCONNECTED)
    assert read(WILL) == read(last_will_of("e1")) == lost
    assert read(ALIVE) == SignOfLife("p1", "e1")


@pytest.mark.parametrize(
    ("message", "detail"),
    [
        (GUARD | {"silent_s": 4}, "silent_s: it should be greater than or equal to 5, found 4"),
        (GUARD | {"silent_s": 3601}, "silent_s: it should be less than or equal to 3600"),
        (GUARD | {"silent_s": 5.5}, "silent_s: it should be a valid integer"),
        (GUARD | {"on_disconnect": "halt"}, "on_disconnect: it should be 'cancel' or 'keep'"),
        (GUARD | {"session": "a b"}, "session: "),
        (GUARD | {"request_id": None}, "request_id: "),
        ({k: v for k, v in GUARD.items() if k != "silent_s"}, "silent_s: it is missing"),
        (WILL | {"request_id": "r1"}, "request_id: there is no such entry"),
        (ALIVE | {"session": None}, "session: "),
        (WILL | {"participant": "p0"}, "this is the topic of p1"),
    ],
)
def test_a_faulty_one_is_refused_by_name(message: dict[str, Any], detail: str) -> None:
    rejected = read(message)
    assert isinstance(rejected, RejectMessage)
    assert rejected.detail.startswith(detail)
    assert not rejected.uses_id


@pytest.mark.parametrize("message", [GUARD, WILL, ALIVE])
def test_strangers_have_none(message: dict[str, Any]) -> None:
    rejected = read(message, "mallory")
    assert isinstance(rejected, RejectMessage)
    assert rejected.reason == "unauthorised"
    for role in ("tso", "operator"):
        assert read(message, role).reason == "malformed"


@pytest.mark.parametrize("message", [GUARD, WILL, ALIVE])
def test_files_of_orders_have_none(message: dict[str, Any]) -> None:
    with pytest.raises(
        InvalidMessageError, match=r"type: it is '.*'; it should be one of 'submit'"
    ):
        read_order(json.dumps(message).encode())


ENTRY = st.none() | st.integers() | st.text(max_size=9) | st.sampled_from(["e1", 30, "cancel"])


@given(
    st.sampled_from([GUARD, WILL, ALIVE]),
    st.dictionaries(st.sampled_from([*GUARD, "device", "time", "participant"]), ENTRY, max_size=3),
)
def test_any_of_them_is_a_command_or_refused(message: dict[str, Any], odd: dict[str, Any]) -> None:
    found = read(message | odd)
    assert isinstance(found, SetSafeguard | LoseSession | SignOfLife | RejectMessage)


@contextlib.asynccontextmanager
async def running(journal: MemoryJournal, transport: MemoryTransport) -> AsyncIterator[Service]:
    quiet = ServiceSettings(tick_s=0.01, depth_s=1e6, heartbeat_s=1e6, probe_s=1e6)
    service = Service(MADE, transport, journal, settings=quiet)
    task = asyncio.create_task(service.run())
    await service.ready.wait()
    try:
        yield service
    finally:
        service.stop()
        await task


def said(transport: MemoryTransport) -> list[str]:
    return [json.loads(each)["type"] for each in transport.payloads(MADE.topics.report("p1"))]


async def test_a_sign_of_life_is_neither_journaled_nor_answered() -> None:
    journal, transport = MemoryJournal(), MemoryTransport()
    topic = MADE.topics.order("p1")
    will_of_another = WILL | {"session": "e2"}
    messages = [json.dumps(each).encode() for each in (ALIVE, will_of_another, GUARD, ALIVE, WILL)]
    async with running(journal, transport):
        transport.deliver(*((topic, each) for each in messages))
        transport.deliver((topic, json.dumps(order("a", 1, "sell", 10, "0.05")).encode()))
        await until(lambda: len(transport.acknowledged) == len(messages) + 1)
        assert said(transport) == ["safeguard", "session_lost", "refused"]
        assert journal.last_sequence == 3


async def test_a_bug_in_a_lost_session_ends_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    journal, transport = MemoryJournal(), MemoryTransport()
    broken = Mock(side_effect=ZeroDivisionError("a bug"))
    topic = MADE.topics.order("p1")
    async with running(journal, transport) as service:
        transport.deliver((topic, json.dumps(GUARD).encode()))
        await until(lambda: said(transport) == ["safeguard"])
        monkeypatch.setattr("exchange.engine.lose_session", broken)
        silent = [LoseSession("p1", "e1", CancelReason.SILENT)]
        monkeypatch.setattr(service._silence, "lost", lambda *_: [silent.pop()] if silent else [])
        await until(lambda: said(transport) == ["safeguard", "refused"])
        transport.deliver((topic, json.dumps(GUARD | {"request_id": "g2"}).encode()))
        await until(lambda: said(transport) == ["safeguard", "refused", "safeguard"])
        service.core.exchange.check_invariants()
