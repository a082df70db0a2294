"""The broker does not start where its library would not call what it replaces in it."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from typing import Any

import pytest
from amqtt.broker import Broker

from gateway.errors import UnfitLibraryError
from gateway.transport import embedded_broker
from gateway.transport.embedded_broker import BrokerAccount, EmbeddedBroker
from gateway.transport.library_hooks import check_attributes, check_hooks


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


def test_every_replaced_method_is_looked_at() -> None:
    replaced = {
        name
        for name, each in vars(embedded_broker._Broker).items()
        if inspect.isfunction(each) and hasattr(Broker, name) and name != "__init__"
    }
    assert replaced == set(embedded_broker._HOOKS)


def test_every_private_name_of_the_library_is_looked_at() -> None:
    """Names that our class uses as ``self._x`` and does not define itself."""
    ours_only = embedded_broker._Broker
    source = inspect.getsource(ours_only)
    used = set(re.findall(r"\bself\.(_[a-z]\w*)", source))
    begun = set(
        re.findall(r"^ +self\.(_[a-z]\w*).* = ", inspect.getsource(ours_only.__init__), re.M)
    )
    assert used - begun - set(vars(ours_only)) <= set(embedded_broker._USED)


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
