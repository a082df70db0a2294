"""Two states compared part by part: every attribute of every object, and which objects are one.

A digest is made from a snapshot, so a state that forgets what the snapshot leaves out has the same
digest.  This walks the objects themselves.
"""

from __future__ import annotations

import dataclasses
import re
from collections import deque
from collections.abc import Iterator, Mapping
from enum import Enum
from typing import Any

import numpy as np

ORDER = " order"
"""Ends the path of a mapping's keys, in their order."""

UNORDERED = re.compile(
    r"(_answers|_answers\[[^]]*\]|_finished|_counts|_accounts|_accounts\[[^]]*\]|_balances|_settled|_limits"
    r"|_recent|_in_force|_broken|_readings|intervals|by_priority|sessions|participants|own_orders"
    r"|firm_w|conditional_w|conditional_w\[[^]]*\]|matched_w)$"
)
"""Mappings of a state by name or by time, which are read key by key.

Not among them: orders at one price, and finished requests, the oldest of which is forgotten first.
"""

LEFT_OUT = re.compile(r"_last_order_id$")
"""A book only checks that numbers rise; the numbers of a state rise already (next_order_id)."""

_PLAIN = (type(None), bool, int, float, str, bytes)


_Path = re.Pattern[str]


def structure(value: Any, unordered: _Path, left_out: _Path) -> dict[str, Any]:
    """Return every plain value inside an object by its path.

    A mutable object that is met twice has, the second time, the path of the first instead.  Empty
    containers leave no trace.  ``unordered`` matches the paths of mappings whose order has no
    effect, ``left_out`` the paths of values that are not compared.
    """
    found = dict(_walk(value, "", {}))
    return {
        path: each
        for path, each in found.items()
        if not left_out.search(path)
        and not (path.endswith(ORDER) and unordered.search(path.removesuffix(ORDER)))
    }


def differences(first: Any, second: Any, unordered: _Path, left_out: _Path) -> list[str]:
    """Return the paths at which two objects differ, with both values; empty where they agree."""
    mine, others = (structure(each, unordered, left_out) for each in (first, second))
    return [
        f"{path}: {mine.get(path, 'missing')} != {others.get(path, 'missing')}"
        for path in sorted(mine.keys() | others.keys())
        if mine.get(path, "missing") != others.get(path, "missing")
    ]


def objects(value: Any) -> list[Any]:
    """Return every object with attributes inside a value, the value included, once each."""
    found: dict[int, Any] = {}
    _collect(value, found)
    return [each for each in found.values() if attributes(each) and not _is_container(each)]


def _collect(value: Any, found: dict[int, Any]) -> None:
    if isinstance(value, (*_PLAIN, np.ndarray)) or not _is_mutable(value) or id(value) in found:
        return
    found[id(value)] = value
    for _, part in _parts(value):
        _collect(part, found)


def _walk(value: Any, path: str, seen: dict[int, str]) -> Iterator[tuple[str, Any]]:
    if isinstance(value, _PLAIN) and not isinstance(value, Enum):
        yield path, value
    elif isinstance(value, np.ndarray):
        yield path, (value.dtype.str, value.tolist())
    elif not _is_mutable(value):
        yield path, repr(value)
    elif id(value) in seen:
        yield path, f"the object at {seen[id(value)]}"
    else:
        seen[id(value)] = path
        parts = [(name, list(_walk(part, f"{path}{name}", seen))) for name, part in _parts(value)]
        inside = [found for _, part in parts for found in part]
        if inside:
            yield f"{path}!", type(value).__name__
            yield from inside
        if isinstance(value, Mapping) and inside:
            traced = {name for name, part in parts if part}
            yield f"{path}{ORDER}", [name for name in map(_key, value) if name in traced]


def _is_container(value: Any) -> bool:
    """Return whether a value is a container, those of sortedcontainers included."""
    return isinstance(value, (dict, list, set, deque)) or hasattr(value, "irange")


def _is_mutable(value: Any) -> bool:
    if _is_container(value):
        return True
    if isinstance(value, (tuple, frozenset)) or callable(value):
        return False
    if dataclasses.is_dataclass(value):
        own: Any = value  # the parameters are no part of its type
        return not own.__dataclass_params__.frozen
    return bool(list(attributes(value)))


def _parts(value: Any) -> Iterator[tuple[str, Any]]:
    """Yield the parts of an object under names that do not depend on where it is in memory."""
    if isinstance(value, Mapping):
        yield from ((_key(key), value[key]) for key in sorted(value, key=repr))
    elif isinstance(value, set):
        if value:
            yield " members", repr(sorted(value, key=repr))
    elif isinstance(value, (list, deque)) or hasattr(value, "irange"):
        yield from ((f"[{index}]", part) for index, part in enumerate(value))
    else:
        yield from ((f".{name}", getattr(value, name)) for name in attributes(value))


def _key(key: Any) -> str:
    return f"[{key!r}]"


def attributes(value: Any) -> list[str]:
    """Return the names of an object's attributes, slots included."""
    names = {name for kind in type(value).__mro__ for name in getattr(kind, "__slots__", ())}
    names |= set(getattr(value, "__dict__", ()))
    return sorted(name for name in names if hasattr(value, name) and not name.startswith("__"))
