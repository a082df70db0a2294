"""docs/asyncapi.json: up to date, complete, and true of messages that go in and out."""

from __future__ import annotations

import json
import re
from itertools import chain
from typing import Any

import jsonschema
import pytest
from gateway_market import START, order
from request_examples import REQUESTS

from gateway.messages.catalogue import CHANNELS, Channel
from gateway.messages.topics import Topics
from security_check.model.envelope import Direction
from tools import asyncapi

DOCUMENT: dict[str, Any] = json.loads(asyncapi.TARGET.read_text(encoding="utf-8"))
TOPICS = Topics("{area}")


def _readable(schema: Any) -> Any:
    """Return a schema without patterns of Unicode classes, which Python's ``re`` does not have."""
    if isinstance(schema, dict):
        return {
            key: _readable(value)
            for key, value in schema.items()
            if key != "pattern" or "\\p{" not in str(value)
        }
    return [_readable(each) for each in schema] if isinstance(schema, list) else schema


SCHEMAS = {"components": {"schemas": _readable(DOCUMENT["components"]["schemas"])}}


def accepts(name: str, content: Any) -> bool:
    schema = {"$ref": f"#/components/schemas/{name}", **SCHEMAS}
    return jsonschema.Draft202012Validator(schema).is_valid(content)


def test_the_document_is_made_from_todays_models() -> None:
    """Run ``python tools/asyncapi.py`` where this fails."""
    assert asyncapi.document() == DOCUMENT


@pytest.mark.parametrize("name", DOCUMENT["components"]["messages"])
def test_the_example_of_each_message_has_the_form_of_its_schema(name: str) -> None:
    message = DOCUMENT["components"]["messages"][name]
    (example,) = message["examples"]
    assert accepts(name, example["payload"])
    wrong = {**example["payload"], "no_such_entry": 1}
    assert not accepts(name, wrong)


def test_every_topic_is_a_channel() -> None:
    level = re.compile(r"[^/]+$")
    topics = {
        TOPICS.interface_limits,
        TOPICS.control,
        TOPICS.trade,
        TOPICS.session,
        TOPICS.order("x").replace("/x", "/{participant}"),
        TOPICS.report("x").replace("/x", "/{receiver}"),
        TOPICS.query("x").replace("/x", "/{sender}"),
        TOPICS.answer("x").replace("/x", "/{sender}"),
        level.sub("{interval}", TOPICS.envelope("x", START).replace("/x", "/{connection_point}")),
        TOPICS.meter("x").replace("/x", "/{connection_point}"),
        level.sub("{interval}", TOPICS.price(START)),
        level.sub("{interval}", TOPICS.flexibility_book(START)),
        TOPICS.flexibility_trade,
        *(
            level.sub("{interval}", family(Direction.INJECTION, START)).replace(
                "/injection/", "/{direction}/"
            )
            for family in (TOPICS.book, TOPICS.statistics)
        ),
    }
    assert {each["address"] for each in DOCUMENT["channels"].values()} == topics
    assert len(DOCUMENT["operations"]) == len(topics)


def test_everything_that_the_exchange_publishes_is_in_the_document() -> None:
    count = 0
    for channel, content in asyncapi._published():
        fitting = [model.__name__ for model in channel.models if accepts(model.__name__, content)]
        assert len(fitting) == 1, (channel.name, content)
        count += 1
    assert count > 1_000


@pytest.mark.parametrize(
    "channel", [each for each in CHANNELS if each.incoming], ids=lambda c: c.name
)
def test_the_exchange_reads_what_the_document_says(channel: Channel) -> None:
    adapter = channel.adapter()
    for content in REQUESTS[channel.name]:
        assert any(accepts(model.__name__, content) for model in channel.models)
        adapter.validate_json(json.dumps(content), strict=True)
    kinds = set(chain.from_iterable(each.keys() for each in REQUESTS[channel.name]))
    for name in kinds - {"type", "time"}:
        for content in REQUESTS[channel.name]:
            if name in content:
                odd = {**content, name: {"an": "object"}}
                assert not any(accepts(model.__name__, odd) for model in channel.models), name


def test_an_order_of_the_other_tests_fits_too() -> None:
    assert accepts("SubmitRequest", order("a1", 0, "sell", 1000, "0.0450"))
