"""What the package declares is what its code imports, and what it carries is what it needs."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from collections.abc import Iterator
from functools import cache
from importlib.metadata import packages_distributions
from typing import Any

import pytest
from project import PACKAGES, ROOT

from gateway.formats import optional_packages

PRIVATE_NAMES_USED = ("amqtt", "pandapower")


@cache
def _project() -> dict[str, Any]:
    project: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    return project


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _declared(requirements: list[str]) -> dict[str, str]:
    """Return what is asked of each distribution, by its name."""
    parts = [re.match(r"([\w.-]+)([^;]*)", each) for each in requirements]
    return {_normal(part[1]): part[2].strip() for part in parts if part}


def _extras() -> dict[str, str]:
    every = _project()["optional-dependencies"]
    lists = [each for name, each in every.items() if name != "dev"]
    return _declared([each for one in lists for each in one])


def _imported() -> Iterator[tuple[str, str]]:
    """Yield the distribution of each import of another's module, and where it is."""
    distributions = packages_distributions()
    for path in (path for package in PACKAGES for path in (ROOT / package).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = []
            if isinstance(node, ast.Import):
                names = [each.name for each in node.names]
            elif isinstance(node, ast.ImportFrom):
                names = [str(node.module)]
            for top in {name.split(".")[0] for name in names}:
                if top not in sys.stdlib_module_names and top not in PACKAGES:
                    (distribution,) = set(distributions.get(top, [f"module {top}"]))
                    yield _normal(distribution), path.relative_to(ROOT).as_posix()


def test_every_import_is_declared() -> None:
    known = {*_declared(_project()["dependencies"]), *_extras()}
    assert not sorted(each for each in set(_imported()) if each[0] not in known)


def test_every_declared_dependency_is_imported() -> None:
    known = {*_declared(_project()["dependencies"]), *_extras()}
    # lightsim2grid is imported by name, where it is needed (security_check.power_flow.newton), and
    # hiredis by redis: it reads entries of a journal ten times as fast.
    assert known - {name for name, _ in _imported()} == {"hiredis", "lightsim2grid"}


@pytest.mark.parametrize("name", PRIVATE_NAMES_USED)
def test_a_library_of_which_private_names_are_used_has_an_upper_bound(name: str) -> None:
    assert "<" in _declared(_project()["dependencies"])[name]


def test_every_dependency_has_a_lower_bound_and_a_pin_within_its_bounds() -> None:
    pins = {}
    for line in (ROOT / "constraints.txt").read_text().splitlines():
        name, _, version = line.partition("==")
        pins[_normal(name)] = version
    asked = {**_declared(_project()["dependencies"]), **_extras()}
    outside = []
    for name, bounds in asked.items():
        form = re.fullmatch(r">=([\d.]+)(?:,<([\d.]+))?", bounds)
        assert form is not None, f"{name} {bounds}"
        lower, upper = form.groups()
        pin = _numbers(pins[name])
        if pin < _numbers(lower) or (upper and pin >= _numbers(upper)):
            outside.append(f"{name} {pins[name]}: {bounds}")
    assert not outside


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version))


def test_dev_has_all_that_is_optional() -> None:
    dev = _declared(_project()["optional-dependencies"]["dev"])
    assert {name: dev.get(name) for name in _extras()} == _extras()


def test_what_a_missing_package_asks_for_is_an_extra() -> None:
    extras = _project()["optional-dependencies"]
    for module, (package, remedy) in optional_packages._PACKAGES.items():
        extra = remedy.removeprefix("doe-exchange[").removesuffix("]")
        assert _normal(package) in _declared(extras[extra]), module
