"""Write ``docs/asyncapi.json``: an AsyncAPI 3 document of every topic and message, with examples.

Run: ``python tools/asyncapi.py``.  Schemas are those of the models that read and write messages;
examples of what the exchange publishes are messages of the frozen day that comes to everything.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from datetime import datetime
from importlib.metadata import metadata
from pathlib import Path
from typing import Any

sys.path += [
    str(Path(__file__).resolve().parents[1] / folder)
    for folder in (
        "",
        "tests",
        "tests/support/grids",
        "tests/support/markets",
        "tests/support/oracles",
        "tests/support/services",
    )
]

from frozen_days import FROZEN_DAYS
from pydantic import BaseModel, TypeAdapter, ValidationError
from pydantic.json_schema import models_json_schema
from request_examples import REQUESTS

from exchange.vocabulary.formatting import format_time
from exchange.vocabulary.rules import METERING, OPERATOR, TSO
from gateway.messages.catalogue import CHANNELS, Channel
from gateway.messages.topics import ROOT as TOPIC_ROOT
from gateway.ports import Outgoing
from gateway.service.core import JournaledExchange

ROOT = Path(__file__).resolve().parents[1]
TARGET = ROOT / "docs" / "asyncapi.json"
_ASKED_EVERY = 20  # commands of a frozen day, between two rounds of queries
PARAMETERS = {
    "area": "the area of the exchange",
    "participant": "the participant, which is the authenticated account",
    "receiver": "the participant, or tso, operator or metering",
    "sender": "the participant, or tso, operator or metering",
    "connection_point": "the connection point",
    "direction": "injection or withdrawal",
    "interval": "the start of the interval, for example 20260701T120000Z",
}


def document() -> dict[str, Any]:
    """Return the document."""
    models = tuple(dict.fromkeys(model for channel in CHANNELS for model in channel.models))
    _, schemas = models_json_schema(
        [(model, "validation") for model in models], ref_template="#/components/schemas/{model}"
    )
    examples = _examples()
    info = metadata("doe-exchange")
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "DOE exchange",
            "version": info["Version"],
            "description": (
                "Messages of an exchange for dynamic operating envelopes over MQTT, at quality of "
                "service 1, on MQTT 5 or 3.1.1. Power is in watts, prices are in EUR per kW of "
                "limit for the interval, times are UTC."
            ),
            "license": {"name": info["License-Expression"] or "see LICENSE"},
        },
        "defaultContentType": "application/json",
        "servers": {
            "broker": {
                "host": "{host}",
                "protocol": "mqtt",
                "protocolVersion": "5.0",
                "variables": {"host": {"description": "host and port of the broker"}},
            }
        },
        "channels": {channel.name: _channel(channel) for channel in CHANNELS},
        "operations": {_operation_name(channel): _operation(channel) for channel in CHANNELS},
        "components": {
            "schemas": schemas["$defs"],
            "messages": {model.__name__: _message(model, examples) for model in models},
        },
    }


def _channel(channel: Channel) -> dict[str, Any]:
    names = [level[1:-1] for level in channel.address.split("/") if level.startswith("{")]
    return {
        "address": channel.address,
        "description": channel.text,
        "messages": {
            model.__name__: {"$ref": f"#/components/messages/{model.__name__}"}
            for model in channel.models
        },
        "parameters": {name: {"description": PARAMETERS[name]} for name in names},
    }


def _operation_name(channel: Channel) -> str:
    return f"{'receive' if channel.incoming else 'publish'}_{channel.name}"


def _operation(channel: Channel) -> dict[str, Any]:
    """Return what the exchange does: AsyncAPI describes the application itself."""
    return {
        "action": "receive" if channel.incoming else "send",
        "channel": {"$ref": f"#/channels/{channel.name}"},
        "summary": channel.text,
        "messages": [
            {"$ref": f"#/channels/{channel.name}/messages/{model.__name__}"}
            for model in channel.models
        ],
        "bindings": {"mqtt": {"qos": 1, "retain": channel.retained, "bindingVersion": "0.2.0"}},
    }


def _message(model: type[BaseModel], examples: dict[str, Any]) -> dict[str, Any]:
    words = " ".join((model.__doc__ or "").split())
    return {
        "name": model.__name__,
        "summary": words.partition(". ")[0].rstrip(".") + ".",
        "contentType": "application/json",
        "payload": {"$ref": f"#/components/schemas/{model.__name__}"},
        "examples": [{"payload": examples[model.__name__]}],
    }


def _examples() -> dict[str, Any]:
    """Return an example of each message, by the name of its model."""
    found: dict[str, Any] = {}
    for channel in CHANNELS:
        if channel.incoming:
            for content in REQUESTS[channel.name]:
                found.setdefault(_model_of(channel, content), content)
    for channel, content in _published():
        found.setdefault(_model_of(channel, content), content)
    return found


def _model_of(channel: Channel, content: Any) -> str:
    """Return the name of the one model of a channel that a message has the form of."""
    text = json.dumps(content)
    fitting = []
    for model in channel.models:
        try:
            TypeAdapter(model).validate_json(text, strict=True)
        except ValidationError:
            continue
        fitting.append(model.__name__)
    if len(fitting) != 1:
        raise ValueError(f"{channel.name}: {text} has the form of {fitting or 'no message'}")
    return fitting[0]


def _published() -> Iterator[tuple[Channel, Any]]:
    """Yield what the exchange publishes on the frozen days."""
    for day in FROZEN_DAYS.values():
        grid, wanted = day.make()
        core = JournaledExchange(day.setup(grid))
        for number, (command, now) in enumerate(wanted):
            _, messages = core.handle(command, now)
            answers = [] if number % _ASKED_EVERY else _answers(core, now)
            for message in [*messages, *core.market_data(), *answers]:
                if message.payload:
                    yield _channel_of(message.topic), json.loads(message.payload)


def _channel_of(topic: str) -> Channel:
    """Return the channel of a topic: the one with its words, whatever the parameters."""
    levels = topic.removeprefix(f"{TOPIC_ROOT}/frozen/").split("/")
    for channel in CHANNELS:
        names = channel.levels.split("/")
        pairs = zip(names, levels, strict=False)
        if len(names) == len(levels) and all(n.startswith("{") or n == at for n, at in pairs):
            return channel
    raise ValueError(f"{topic} is the topic of no channel")


def _answers(core: JournaledExchange, now: datetime) -> Iterator[Outgoing]:
    """Yield the answers that say something, to every query of every sender."""
    for sender in (*core.exchange.state.participants, TSO, OPERATOR, METERING):
        for example in REQUESTS["queries"]:
            query = {**example, "from_sequence": 1} if "from_sequence" in example else example
            for start in core.exchange.open_intervals() if "interval" in query else ():
                query = {**example, "interval": format_time(start)}
            message = core.answer(sender, json.dumps(query).encode(), now).message
            if json.loads(message.payload).get("entries") != []:
                yield message


if __name__ == "__main__":
    TARGET.write_text(json.dumps(document(), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    print(f"{TARGET.relative_to(ROOT)}: {TARGET.stat().st_size:,} bytes")
