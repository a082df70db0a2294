"""The size of modules, functions and rooms, and imports without circles (docs/architecture.md).

Layers between rooms are import-linter's; circles between the modules of a room are found here.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from graphlib import CycleError, TopologicalSorter
from itertools import pairwise
from pathlib import Path

import pytest
from project import PACKAGES, ROOT

LARGEST_MODULE = 400  # lines
LARGEST_FUNCTION = 60  # lines, without decorators
LARGEST_ROOM = 16  # modules, without its __init__


@cache
def _modules() -> dict[str, Path]:
    found = {}
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            parts = path.relative_to(ROOT).with_suffix("").parts
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


@cache
def _tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def _imported(path: Path) -> Iterator[str]:
    """Yield the modules that a module imports anywhere, within functions included."""
    for node in ast.walk(_tree(path)):
        if isinstance(node, ast.Import):
            yield from (each.name for each in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} has a relative import"
            for each in node.names:
                inner = f"{node.module}.{each.name}"
                yield inner if inner in _modules() else str(node.module)


@pytest.mark.parametrize("package", PACKAGES)
def test_modules_and_functions_are_small(package: str) -> None:
    too_large = []
    for path in sorted((ROOT / package).rglob("*.py")):
        name = path.relative_to(ROOT).as_posix()
        lines = len(path.read_text(encoding="utf-8").splitlines())
        if lines > LARGEST_MODULE:
            too_large.append(f"{name}: {lines}")
        for node in ast.walk(_tree(path)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                lines = (node.end_lineno or node.lineno) - node.lineno + 1
                if lines > LARGEST_FUNCTION:
                    too_large.append(f"{name}: {node.name}: {lines}")
    assert not too_large


@pytest.mark.parametrize("package", PACKAGES)
def test_rooms_are_small(package: str) -> None:
    rooms = {path.parent for path in (ROOT / package).rglob("*.py")}
    sizes = {room.relative_to(ROOT).as_posix(): len(list(room.glob("*.py"))) - 1 for room in rooms}
    assert not {room: size for room, size in sizes.items() if size > LARGEST_ROOM}


def test_modules_import_in_no_circle() -> None:
    modules = _modules()
    graph = {
        name: {each for each in _imported(path) if each in modules and each != name}
        for name, path in modules.items()
        if name != "doe_exchange"  # it names its parts for a type checker; see its __getattr__
    }
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(" -> ".join(error.args[1]))


@pytest.mark.parametrize("package", PACKAGES)
def test_the_docstring_of_a_room_names_its_modules(package: str) -> None:
    missing = []
    for path in sorted((ROOT / package).rglob("__init__.py")):
        text = ast.get_docstring(_tree(path)) or ""
        missing += [
            each.relative_to(ROOT).as_posix()
            for each in path.parent.glob("*.py")
            if each.stem not in text and each.stem != "__init__"
        ]
    assert not missing


CORE = PACKAGES[:4]  # their imports are a contract of import-linter
IMPURE = re.compile(
    r"(.*\.)?(now|utcnow|today)|(open|print|input|breakpoint|exec|eval|__import__)"
    r"|(.*\.)?(random\..*|default_rng|seed|RandomState|read_text|write_text|read_bytes|tofile)"
)


def _impure_calls(tree: ast.Module) -> Iterator[str]:
    """Yield calls that read the clock, draw without a given generator, or touch files."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            name = ast.unparse(node.func)
            if IMPURE.fullmatch(name):
                yield f"{node.lineno}: {name}"


@pytest.mark.parametrize("package", CORE)
def test_the_core_reads_no_clock_and_draws_no_numbers_of_its_own(package: str) -> None:
    found = {
        name: calls
        for name, path in _modules().items()
        if name.split(".")[0] == package and (calls := list(_impure_calls(_tree(path))))
    }
    assert not found


@pytest.mark.parametrize(
    ("text", "impure"),
    [
        ("datetime.now(UTC)", True),
        ("date.today()", True),
        ("np.random.default_rng()", True),
        ("np.random.default_rng(0)", True),
        ("random.random()", True),
        ("default_rng()", True),
        ("open('a')", True),
        ("rng.normal()", False),
        ("_open(program)", False),
        ("now(x)", True),
    ],
)
def test_impure_calls_are_recognised(text: str, impure: bool) -> None:
    assert bool(list(_impure_calls(ast.parse(text)))) == impure


KINDS = "line|trafo|trafo3w|bus|load|asymmetric_load|switch|gen|ext_grid|auxiliary"
READ_BY_HAND = ("startswith", "removeprefix", "partition", "rpartition", "split", "rsplit")
JOINED_BY_HAND = re.compile(rf"(^|\W)({KINDS}):$|^ without $")


def _ids_by_hand(tree: ast.Module) -> Iterator[int]:
    """Yield the lines that join ``"line:"`` and a value, or compare the start of an id."""
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            for part, value in pairwise(node.values):
                before = part.value if isinstance(part, ast.Constant) else ""
                joins = isinstance(value, ast.FormattedValue)
                if joins and JOINED_BY_HAND.search(str(before)):
                    yield node.lineno
        elif isinstance(node, ast.Call) and getattr(node.func, "attr", "") in READ_BY_HAND:
            texts = [str(each.value) for each in node.args if isinstance(each, ast.Constant)]
            if any(re.fullmatch(rf"({KINDS}):?| without |\+", text) for text in texts):
                yield node.lineno


@pytest.mark.parametrize("package", PACKAGES)
def test_ids_of_elements_are_built_and_read_in_one_place(package: str) -> None:
    homes = {"security_check.model.element", "security_check.model.element_ids"}
    homes.add("gateway.data.make_ieee_feeders")  # writes a circuit, whose elements OpenDSS names
    found = [
        f"{name}:{line}"
        for name, path in _modules().items()
        if name.split(".")[0] == package and name not in homes
        for line in _ids_by_hand(_tree(path))
    ]
    assert not found


def test_ids_joined_by_hand_are_recognised() -> None:
    by_hand = ('f"line:{i}"', 'f"its bus:{b} of"', 'x.startswith("trafo")', 'x.split("+")')
    assert all(list(_ids_by_hand(ast.parse(text))) for text in by_hand)
    assert not list(_ids_by_hand(ast.parse('f"the line {i}: {b}"; x.split(".")')))
