"""Whatever bytes come in, through the real loop: an answer to each, and the loop goes on."""

from __future__ import annotations

import json
import os
import random
from typing import Any

import pytest
from gateway_market import START, client, market, order, serving
from hypothesis import given
from hypothesis import strategies as st
from listening import until
from mutated_messages import mutated
from sampling import SEED

from exchange.vocabulary.commands import RejectMessage, SubmitOrder
from exchange.vocabulary.formatting import format_time
from exchange.vocabulary.reasons import RefusalReason
from gateway.formats.strict_json import MAX_REQUEST_BYTES
from gateway.messages.requests import Reader
from gateway.service.settings import ServiceSettings
from gateway.transport.embedded_broker import EmbeddedBroker

GOOD = order("a1", 0, "sell", 1000, "0.0450")
UNLIMITED = ServiceSettings(messages_per_second=1e9, burst=10**9)


def with_(**changes: Any) -> bytes:
    return json.dumps(GOOD | changes).encode()


def without(name: str) -> bytes:
    return json.dumps({key: value for key, value in GOOD.items() if key != name}).encode()


def reader(open_intervals: int = 1) -> Reader:
    made = market("a")
    starts = [START.replace(hour=hour) for hour in range(open_intervals)]
    participants = {each.participant for each in made.terms}
    return Reader(made.rules.tick, participants, lambda: starts)


BAD: dict[str, tuple[bytes, str, str]] = {
    "nothing": (b"", "malformed", "not JSON"),
    "no object": (b"[]", "malformed", ""),
    "null": (b"null", "malformed", ""),
    "a number": (b"1", "malformed", ""),
    "cut off": (with_()[:-5], "malformed", "not JSON"),
    "not UTF-8": (b'{"type":"submit\xff"}', "malformed", "not UTF-8"),
    "UTF-16": (with_().decode().encode("utf-16"), "malformed", ""),
    "too large": (with_(connection_point="x" * 9000), "too_large", "8,192"),
    "deep": (b"[" * 8000, "malformed", "nested"),
    "deep object": (b'{"a":' * 1200 + b"1" + b"}" * 1200, "malformed", "nested"),
    "twice": (with_()[:-1] + b',"quantity_w":1}', "malformed", "twice"),
    "NaN": (with_(quantity_w=float("nan")), "malformed", "NaN"),
    "infinite": (with_(quantity_w=float("inf")), "malformed", "Infinity"),
    "overflow": (with_().replace(b"1000", b"1e999"), "malformed", "quantity_w"),
    "huge integer": (with_().replace(b"1000", b"1" * 5000), "malformed", ""),
    "float quantity": (with_(quantity_w=1.0), "malformed", "quantity_w"),
    "text quantity": (with_(quantity_w="1"), "malformed", "quantity_w"),
    "true quantity": (with_(quantity_w=True), "malformed", "quantity_w"),
    "number as price": (with_(price=0.045), "malformed", "price"),
    "NaN price": (with_(price="NaN"), "malformed", "price"),
    "infinite price": (with_(price="Infinity"), "malformed", "price"),
    "exponent": (with_(price="1e-4"), "malformed", "price"),
    "other digits": (with_(price="\u0660.\u0660\u0664"), "malformed", "price"),
    "off tick": (with_(price="0.00005"), "price_invalid", "tick of 0.0001"),
    "no price": (without("price"), "malformed", "a limit order needs a price"),
    "priced market order": (with_(order_type="market"), "malformed", "has no price"),
    "infinite minimum": (with_(minimum_quantity_w=float("inf")), "malformed", "Infinity"),
    "float minimum": (with_(minimum_quantity_w=5.0), "malformed", "minimum_quantity_w"),
    "text flag": (with_(post_only="yes"), "malformed", "post_only"),
    "unknown mode": (with_(self_trade_prevention="none"), "malformed", "self_trade_prevention"),
    "unknown key": (with_(colour="red"), "malformed", "colour"),
    "unknown type": (with_(type="steal"), "malformed", "type"),
    "no type": (without("type"), "malformed", "type"),
    "no side": (without("side"), "malformed", "side"),
    "wrong side": (with_(side="both"), "malformed", "side"),
    "blank id": (with_(client_order_id="a b"), "malformed", "client_order_id"),
    "empty id": (with_(client_order_id=""), "malformed", "client_order_id"),
    "long id": (with_(client_order_id="a" * 65), "malformed", "client_order_id"),
    "control in point": (with_(connection_point="a\x00b"), "malformed", "connection_point"),
    "no zone": (with_(interval="2096-06-01T12:00:00"), "malformed", "interval"),
    "other participant": (with_(participant="p1"), "unauthorised", "another participant"),
}


@pytest.mark.parametrize(("payload", "reason", "words"), BAD.values(), ids=BAD)
def test_bad_message_is_rejected_with_reason_and_sentence(
    payload: bytes, reason: str, words: str
) -> None:
    command = reader().read("p0", payload)
    assert isinstance(command, RejectMessage)
    assert (command.participant, command.reason) == ("p0", reason)
    assert words in command.detail
    assert len(command.detail) < 400


def test_good_message_is_a_command() -> None:
    command = reader().read("p0", with_(price="0.0450", interval="2096-06-01T14:00:00+02:00"))
    assert isinstance(command, SubmitOrder)
    terms = command.terms
    assert (terms.limit_price_ticks, terms.interval, command.participant) == (450, START, "p0")


@pytest.mark.parametrize("open_intervals", [0, 2])
def test_interval_may_be_left_out_only_where_there_is_one(open_intervals: int) -> None:
    command = reader(open_intervals).read("p0", with_())
    assert isinstance(command, RejectMessage)
    assert f"{open_intervals} intervals are open" in command.detail
    assert command.request_id == "a1"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)


@given(
    st.one_of(
        st.binary(max_size=200),
        JSON.map(lambda value: json.dumps(value).encode()),
        st.builds(lambda name, value: with_(**{name: value}), st.sampled_from(sorted(GOOD)), JSON),
        st.binary(min_size=MAX_REQUEST_BYTES + 1, max_size=MAX_REQUEST_BYTES + 2),
    ),
    st.sampled_from(["p0", "tso", "stranger"]),
)
def test_any_bytes_become_a_command_and_never_an_exception(payload: bytes, sender: str) -> None:
    command = reader().read(sender, payload)
    if isinstance(command, RejectMessage):
        assert RefusalReason(command.reason)
        assert command.detail


async def test_flood_of_nonsense_through_the_real_loop(redis_url: str, area: str) -> None:
    payloads: list[bytes] = [payload for payload, _, _ in BAD.values()]

    draw = random.Random(int(os.environ.get(SEED, "0")))
    payloads += (mutated(draw, format_time(START)) for _ in range(300))
    answers: list[Any] = []

    def keep(topic: str, content: Any) -> None:
        if content.get("request") is not None:
            answers.append(content)

    async with (
        EmbeddedBroker() as broker,
        serving(area, broker.settings("exchange"), redis_url, settings=UNLIMITED) as service,
        client(broker.settings("p0"), area, "p0", on_message=keep) as p0,
    ):
        for payload in payloads:
            p0.send_bytes(payload)
        answer = await p0.ask(GOOD | {"client_order_id": "good"})
        assert answer["type"] == "accepted"
        await until(lambda: len(answers) > len(payloads))
        assert len(answers) == len(payloads) + 1
        assert p0.missed <= 1  # its first position, said perhaps before it listened
        service.core.exchange.check_invariants()
