"""Broker and client do not start where their library would not call what they replace in it."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from typing import Any

import pytest
from amqtt.broker import Broker

from gateway.errors import TransportError, UnfitLibraryError
from gateway.transport import embedded_broker, mqtt_client
from gateway.transport.embedded_broker import BrokerAccount, EmbeddedBroker
from gateway.transport.library_hooks import check_attributes, check_hooks
from gateway.transport.mqtt import MqttTransport
from gateway.transport.mqtt_client import Handlers, ManualAckClient, MqttSettings

SETTINGS = MqttSettings("127.0.0.1", 1, "x", connect_within_s=0.2, answer_within_s=0.2)


class Library:
    """Stands for another version of a library."""

    async def serve(self, who: str) -> bool:
        return await self._allowed(who, topic="a")

    async def _allowed(self, who: str, topic: str) -> bool:
        return True

    def _forgotten(self) -> bool:
        return True


def ours(**methods: Callable[..., Any]) -> type:
    return type("Ours", (Library,), methods)


async def _same(self: object, who: str, topic: str) -> bool:
    return False


async def _less(self: object, who: str) -> bool:
    return False


async def _renamed(self: object, who: str, place: str) -> bool:
    return False


def _at_once(self: object, who: str, topic: str) -> bool:
    return False


def test_a_method_that_the_library_calls_passes() -> None:
    check_hooks(ours(_allowed=_same), ("_allowed",), "amqtt")


@pytest.mark.parametrize(
    ("methods", "why"),
    [
        ({"_permitted": _same}, "its Library has no method _permitted"),
        ({"_forgotten": lambda self: False}, "its Library never calls _forgotten"),
        ({"_allowed": _less}, "its Library calls _allowed with .self, who: 'str', topic"),
        ({"_allowed": _renamed}, "its Library calls _allowed with "),
        ({"_allowed": _at_once}, "its Library calls _allowed with "),
    ],
)
def test_what_the_library_does_not_call_so_is_an_error(
    methods: dict[str, Callable[..., Any]], why: str
) -> None:
    with pytest.raises(UnfitLibraryError, match=rf"^amqtt [\d.]+ does not fit: {why}"):
        check_hooks(ours(**methods), methods, "amqtt")


def test_a_missing_attribute_is_an_error() -> None:
    with pytest.raises(UnfitLibraryError, match=r"its Library has no _sessions.*install amqtt[<>]"):
        check_attributes(ours()(), ("_allowed", "_sessions"), "amqtt")


@pytest.mark.parametrize(
    ("cls", "module"),
    [(embedded_broker._Broker, embedded_broker), (ManualAckClient, mqtt_client)],
)
def test_every_replaced_method_is_looked_at(cls: type, module: Any) -> None:
    library = cls.__bases__[0]
    replaced = {
        name
        for name, each in vars(cls).items()
        if inspect.isfunction(each) and hasattr(library, name) and name != "__init__"
    }
    assert replaced == set(module._HOOKS)


@pytest.mark.parametrize(
    ("module", "cls"), [(embedded_broker, "_Broker"), (mqtt_client, "ManualAckClient")]
)
def test_every_private_name_of_the_library_is_looked_at(module: Any, cls: str) -> None:
    """Names that our class uses as ``self._x`` and does not define itself."""
    ours_only = getattr(module, cls)
    source = inspect.getsource(ours_only)
    used = set(re.findall(r"\bself\.(_[a-z]\w*)", source))
    begun = set(
        re.findall(r"^ +self\.(_[a-z]\w*).* = ", inspect.getsource(ours_only.__init__), re.M)
    )
    assert used - begun - set(vars(ours_only)) <= set(module._USED)


@pytest.mark.parametrize("name", embedded_broker._HOOKS)
async def test_the_broker_does_not_listen_without_its_hooks(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As if amqtt had renamed the method and called the new one."""
    monkeypatch.setattr(Broker, f"{name}_now", getattr(Broker, name), raising=False)
    monkeypatch.delattr(Broker, name)
    broker = EmbeddedBroker({"p0": BrokerAccount("x")})
    with pytest.raises(UnfitLibraryError, match=f"amqtt .* has no method {name}"):
        await broker.__aenter__()
    assert broker.port == 0


async def test_the_client_does_not_connect_without_its_hooks(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    library = ManualAckClient.__bases__[0]
    monkeypatch.delattr(library, "_on_message")
    nothing = Handlers(lambda _: None, lambda _: None, lambda *_: None)
    with pytest.raises(UnfitLibraryError, match=r"aiomqtt .* has no method _on_message"):
        ManualAckClient(SETTINGS, 5, None, nothing)
    with pytest.raises(TransportError, match=r"aiomqtt .* has no method _on_message"):
        async with MqttTransport(SETTINGS, ()):
            pass
