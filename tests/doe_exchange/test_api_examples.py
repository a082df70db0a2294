"""The examples in docstrings and in the tutorial do what they show."""

from __future__ import annotations

import doctest
import pkgutil
import re
from importlib import import_module
from pathlib import Path

import pytest

import doe_exchange

_FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
_MODULES = [
    "doe_exchange",
    *(f"doe_exchange.{module.name}" for module in pkgutil.iter_modules(doe_exchange.__path__)),
]
_TUTORIAL = Path(__file__).parents[2] / "docs" / "python-api.md"


@pytest.mark.parametrize("module", _MODULES)
def test_the_examples_of_a_module_run(module: str) -> None:
    assert doctest.testmod(import_module(module), optionflags=_FLAGS).failed == 0


def test_every_class_of_the_api_has_an_example() -> None:
    finder = doctest.DocTestFinder(exclude_empty=True)
    for name in ("Area", "Envelopes", "Verdict", "Market", "Table"):
        found = finder.find(getattr(doe_exchange, name), name)
        assert any(each.examples for each in found if each.name == name), name


def test_the_tutorial_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # it writes files
    text = _TUTORIAL.read_text(encoding="utf-8")
    blocks = re.findall(r"^```python\n(.*?)^```$", text, flags=re.MULTILINE | re.DOTALL)
    parser, runner = doctest.DocTestParser(), doctest.DocTestRunner(optionflags=_FLAGS)
    example = parser.get_doctest("\n".join(blocks), {}, _TUTORIAL.name, str(_TUTORIAL), 0)
    assert len(example.examples) > 10
    assert runner.run(example).failed == 0


def test_the_tutorial_lists_every_public_name() -> None:
    listed = re.findall(r"^\| `(\w+)` \|", _TUTORIAL.read_text(encoding="utf-8"), re.MULTILINE)
    assert sorted(listed) == sorted(doe_exchange.__all__)
