"""The tables of docs name the keys of the models: all of them, and no others.

A comment above a table, ``<!-- keys: BindingRecord ... -->``, says which models it describes, by
the names of their classes; its first column has the keys.  ``<!-- values: module.Enum -->`` does
the same for an enum.  A model's keys are those of its own tables and of its base classes' tables.
"""

from __future__ import annotations

import importlib
import pkgutil
import re
from collections.abc import Iterator
from enum import Enum
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings

import gateway

DOCS = Path(__file__).parents[3] / "docs"
PAGES = [*sorted((DOCS / "formats").glob("*.md")), DOCS / "operation.md"]
_MARK = re.compile(r"<!-- (keys|values): (.+) -->")
_KEY = re.compile(r"`([^`]+)`")


class Table(NamedTuple):
    """A table of keys: where it is, what it describes, and its cells by the heading."""

    place: str
    kind: str
    described: tuple[str, ...]
    rows: tuple[dict[str, str], ...]

    @property
    def keys(self) -> list[str]:
        first = next(iter(self.rows[0]))
        return [key for row in self.rows for key in _KEY.findall(row[first])]


def _cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip("|").split(" |")]


def _tables() -> Iterator[Table]:
    for page in PAGES:
        lines = page.read_text(encoding="utf-8").splitlines()
        for number, line in enumerate(lines):
            if mark := _MARK.fullmatch(line):
                heading, rows = _cells(lines[number + 1]), []
                for row in lines[number + 3 :]:
                    if not row.startswith("|"):
                        break
                    rows.append(dict(zip(heading, _cells(row), strict=True)))
                place = f"{page.name}:{number + 1}"
                yield Table(place, mark[1], tuple(mark[2].split()), tuple(rows))


def _named(name: str) -> Any:
    """Return the model of that class name, or what a dotted name leads to."""
    module, dot, attribute = name.rpartition(".")
    if dot:
        return getattr(importlib.import_module(module), attribute)
    models = [model for model in _models() if model.__name__ == name]
    assert len(models) == 1, f"{len(models)} models are named {name}"
    return models[0]


TABLES = list(_tables())
OF_KEYS = [table for table in TABLES if table.kind == "keys"]
OF_VALUES = [table for table in TABLES if table.kind == "values"]


def _place(table: Table) -> str:
    return table.place


@cache
def _models() -> tuple[type[BaseModel], ...]:
    """Return every model that the gateway defines, with fields of its own or inherited.

    Settings of the program have a table and a test of their own.
    """
    for module in pkgutil.walk_packages(gateway.__path__, "gateway."):
        importlib.import_module(module.name)
    found: list[type[BaseModel]] = []
    waiting = [BaseModel]
    while waiting:
        for model in waiting.pop().__subclasses__():
            if model.__module__.startswith("gateway.") and not issubclass(model, BaseSettings):
                found.append(model)
            waiting.append(model)
    return tuple(dict.fromkeys(model for model in found if model.model_fields))


def _keys(model: type[BaseModel]) -> dict[str, FieldInfo]:
    """Return the fields of a model by the keys that they have in a file or message."""
    return {field.alias or name: field for name, field in model.model_fields.items()}


def _documented(model: type[BaseModel]) -> set[str]:
    lineage = {each.__name__ for each in model.__mro__}
    tables = [table for table in OF_KEYS if lineage & set(table.described)]
    return {key for table in tables for key in table.keys}


def _is_covered(model: type[BaseModel]) -> bool:
    """Return whether all keys are documented: in the model's tables, or in all that derive."""
    if _documented(model) == set(_keys(model)):
        return True
    derived = [each for each in model.__subclasses__() if each in _models()]
    return bool(derived) and all(_is_covered(each) for each in derived)


def test_every_key_of_every_model_is_documented() -> None:
    assert len(_models()) > len(OF_KEYS) // 2, "the walk over the models finds hardly any"
    missing = {
        model.__name__: sorted(set(_keys(model)) - _documented(model))
        for model in _models()
        if not _is_covered(model)
    }
    assert not missing


def test_every_table_of_keys_says_what_it_describes() -> None:
    for page in PAGES:
        lines = page.read_text(encoding="utf-8").splitlines()
        for before, line in pairwise(lines):
            assert not line.startswith("| key | type |") or _MARK.fullmatch(before), (
                f"{page.name}: {line}"
            )


@pytest.mark.parametrize("table", OF_KEYS, ids=_place)
def test_documented_keys_exist(table: Table) -> None:
    assert len(table.keys) == len(set(table.keys)), "a key is there twice"
    for name in table.described:
        described = _named(name)
        is_model = isinstance(described, type) and issubclass(described, BaseModel)
        known = set(_keys(described) if is_model else described)
        assert set(table.keys) <= known, f"{name} has no such key"
        assert is_model or set(table.keys) == known, f"{name} has more keys"


@pytest.mark.parametrize("table", OF_KEYS, ids=_place)
def test_documented_keys_are_required_where_the_models_require_them(table: Table) -> None:
    models = [_named(name) for name in table.described]
    if not all(isinstance(model, type) for model in models):
        return
    for row in table.rows:
        key = _KEY.findall(row["key"])
        required = {
            # Messages that the exchange encodes have all their keys, but for the end of a list.
            (hasattr(model, "encode") and each != "next") or _keys(model)[each].is_required()
            for model in models
            for each in key
        }
        expected = {"yes"} if required == {True} else {"no", "in files"}
        assert row["required"].split(" (")[0] in expected, key


@pytest.mark.parametrize("table", OF_VALUES, ids=_place)
def test_documented_values_are_those_of_the_enum(table: Table) -> None:
    for name in table.described:
        values: type[Enum] = _named(name)
        assert table.keys == [each.value for each in values]
