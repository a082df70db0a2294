"""Change one place of the guard code at a time, and see whether a test notices (`make mutants`).

Guard code is what security and money depend on.  A mutant is a copy of the project with one
operator, constant, condition or statement changed; tests kill it by failing.  Which mutants are
tried follows from ``--seed`` alone.  A survivor shows a line that no test holds, or a change
without an effect: those are listed with their reasons in ``tools/mutants_without_effect.txt``.

The tests that run the changed line are tried, the quickest of them first, up to a bound of time
(:mod:`tools.tests_of_lines`), and then those of the room, for code that runs in other processes.  A
mutant that these do not kill survives, whatever tests were left out.
"""

from __future__ import annotations

import argparse
import ast
import copy
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))  # this file is a program, in no package

from tools.tests_of_lines import FAST, TestsOfLines, environment, read_or_make

ROOT = Path(__file__).parents[1]
KNOWN = ROOT / "tools" / "mutants_without_effect.txt"
# The tests of each room of guard code, those that mostly notice first.
GUARDS = {
    "security_check/checking": [
        "tests/security_check/checking",
        "tests/doe_allocation/allocation/test_network_grid.py",
        "tests/security_check/modifications",
    ],
    "security_check/worst_case": [
        "tests/security_check/worst_case",
        "tests/security_check/modifications",
        "tests/security_check/checking",
        "tests/scenarios/test_stressed_networks.py",
        "tests/security_check/monitoring/test_unbalance.py",
    ],
    "security_check/uncertainty": [
        "tests/security_check/uncertainty",
        "tests/security_check/worst_case/test_deviations.py",
        "tests/security_check/checking/test_trades_under_uncertainty.py",
        "tests/gateway/scenario/test_scenario_uncertainty.py",
    ],
    "exchange/clearing": ["tests/exchange/clearing", "tests/exchange/whole", "tests/exchange"],
    "exchange/accounts": ["tests/exchange/handlers", "tests/exchange/state", "tests/exchange"],
    "exchange/state": ["tests/exchange/state", "tests/exchange/handlers", "tests/exchange"],
    "gateway/service": ["tests/gateway/service"],
    "gateway/journal": ["tests/gateway/journal", "tests/gateway/service"],
}
# Of these rooms, much runs in processes that tests start and kill.
ELSEWHERE = "gateway/"
QUICK_S, SLOW_S = 10.0, 150.0
"""Seconds of tests that are run together, at first and then, by their known times."""
HANGS = 10.0  # a mutant hangs that makes tests take so many times as long
LEAST_S, ROOM_S = 120.0, 900.0
"""Seconds that a run of tests may take, at least; and that of a file or folder of a room."""
_SWAPPED_COMPARISONS: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
}
_SWAPPED_OPERATORS: dict[type[ast.AST], type[ast.AST]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Div,
    ast.Div: ast.Mult,
    ast.BitAnd: ast.BitOr,
    ast.BitOr: ast.BitAnd,
    ast.And: ast.Or,
    ast.Or: ast.And,
}
_OPPOSITES = [("min", "max"), ("minimum", "maximum"), ("argmin", "argmax"), ("any", "all")]
_SWAPPED_NAMES = {a: b for pair in _OPPOSITES for a, b in (pair, pair[::-1])}


@dataclass(frozen=True)
class Mutant:
    """One change of a file: the number of its node in the order of ``ast.walk``, and its kind."""

    path: str
    line: int
    last: int
    change: str
    number: int
    kind: str

    @property
    def name(self) -> str:
        return f"{self.path}: {self.change}"

    def text(self) -> str:
        """Return the file's text with the change."""
        tree = ast.parse((ROOT / self.path).read_text(encoding="utf-8"))
        node = list(ast.walk(tree))[self.number]
        new = dict(changes_of(node))[self.kind]
        return ast.unparse(ast.fix_missing_locations(_Replace(node, new).visit(tree)))


def changes_of(node: ast.AST) -> Iterator[tuple[str, ast.AST]]:
    """Yield changed copies of a node, each with its description."""
    new: Any = copy.deepcopy(node)
    if isinstance(node, ast.Compare) and type(node.ops[0]) in _SWAPPED_COMPARISONS:
        new.ops[0] = _SWAPPED_COMPARISONS[type(node.ops[0])]()
        yield "comparison", new
    elif isinstance(node, (ast.BinOp, ast.BoolOp, ast.AugAssign)):
        if type(node.op) in _SWAPPED_OPERATORS:
            new.op = _SWAPPED_OPERATORS[type(node.op)]()
            yield "operator", new
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, (ast.Not, ast.USub, ast.Invert)):
        yield "sign", node.operand
    elif isinstance(node, ast.Constant) and isinstance(node.value, (bool, int, float)):
        value = not node.value if isinstance(node.value, bool) else node.value * 2 + 1
        yield "constant", ast.Constant(value)
    elif isinstance(node, ast.Attribute) and node.attr in _SWAPPED_NAMES:
        new.attr = _SWAPPED_NAMES[node.attr]
        yield "function", new
    elif isinstance(node, ast.Name) and node.id in _SWAPPED_NAMES:
        new.id = _SWAPPED_NAMES[node.id]
        yield "function", new
    elif _does_something(node):
        yield "statement", ast.Pass()


def _does_something(node: ast.AST) -> bool:
    """Return whether a statement changes what other statements see, or where they go on."""
    if isinstance(node, ast.Expr):
        return isinstance(node.value, (ast.Call, ast.Await))
    if isinstance(node, ast.Assign):
        return isinstance(node.targets[0], (ast.Attribute, ast.Subscript))
    return isinstance(node, (ast.Continue, ast.Break))


class _Replace(ast.NodeTransformer):
    """Puts another node in the place of one, found by identity."""

    def __init__(self, old: ast.AST, new: ast.AST) -> None:
        self.old, self.new = old, new

    def visit(self, node: ast.AST) -> ast.AST:
        if node is self.old:
            return ast.copy_location(self.new, node)
        return self.generic_visit(node)


def mutants_of(path: Path) -> list[Mutant]:
    """Return every mutant of a file; text, annotations and decorators of classes are left alone."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    skipped: set[int] = set()
    for node in ast.walk(tree):
        left_out = [getattr(node, "annotation", None), getattr(node, "returns", None)]
        if isinstance(node, (ast.JoinedStr, ast.Raise, ast.Import, ast.ImportFrom)):
            left_out.append(node)
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "zip":
            left_out += node.keywords  # ``strict`` is a check of the code itself
        if isinstance(node, ast.ClassDef):
            left_out += node.decorator_list  # ``frozen`` and ``slots`` change no result
        skipped |= {id(part) for each in left_out if each is not None for part in ast.walk(each)}
    found = []
    for number, node in enumerate(ast.walk(tree)):
        if id(node) in skipped or not hasattr(node, "lineno"):
            continue
        for kind, new in changes_of(node):
            what = f"{ast.unparse(node).splitlines()[0]} -> {ast.unparse(new).splitlines()[0]}"
            last = getattr(node, "end_lineno", None) or node.lineno
            name = str(path.relative_to(ROOT))
            found.append(Mutant(name, node.lineno, last, what, number, kind))
    return found


def tests_of(path: str) -> list[str]:
    return next(tests for room, tests in GUARDS.items() if path.startswith(room))


def chosen(count: int, seed: int, only: str) -> list[Mutant]:
    """Return mutants at random, as many of each room as its part of all."""
    known = KNOWN.read_text(encoding="utf-8").splitlines() if KNOWN.exists() else []
    without_effect = {line.partition(" # ")[0].strip() for line in known}
    every = [
        mutant
        for room in GUARDS
        for path in sorted((ROOT / room).glob("*.py"))
        if path.name != "__init__.py"
        for mutant in mutants_of(path)
        if mutant.path.startswith(only) and mutant.name not in without_effect
    ]
    return random.Random(seed).sample(every, min(count, len(every)))


def killer_of(mutant: Mutant, place: Path, lines: TestsOfLines) -> str:
    """Return which test fails with a mutant, in a copy of the project; "" if all pass."""
    path = place / mutant.path
    kept = path.read_text(encoding="utf-8")
    path.write_text(mutant.text(), encoding="utf-8")
    try:
        runs = (_failed(tests, place, at_most_s) for tests, at_most_s in _in_turn(mutant, lines))
        return next(filter(None, runs), "")
    finally:
        path.write_text(kept, encoding="utf-8")


def _in_turn(mutant: Mutant, lines: TestsOfLines) -> Iterator[tuple[list[str], float]]:
    """Yield tests to be run together, of line and room, and the seconds that they may take."""
    tests = lines.of(mutant.path, range(mutant.line, mutant.last + 1))
    seen = bool(tests)
    for at_most_s in (QUICK_S, SLOW_S):
        spent, count = 0.0, 0
        while count < len(tests) and spent < at_most_s:
            spent += lines.seconds[tests[count]]
            count += 1
        if count:
            yield tests[:count], max(LEAST_S, HANGS * spent)
        tests = tests[count:]
    if not seen or mutant.path.startswith(ELSEWHERE):
        yield from (([test], ROOM_S) for test in tests_of(mutant.path))


def _failed(tests: list[str], place: Path, at_most_s: float) -> str:
    """Return the first test that fails, or why no test did it; "" if all pass."""
    try:
        done = subprocess.run(
            [sys.executable, "-m", "pytest", "-x", "-q", "-n0", *FAST, *tests],
            cwd=place,
            env=environment(place),
            capture_output=True,
            text=True,
            timeout=at_most_s,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return f"time: {at_most_s:.0f} s"
    if done.returncode == 0:
        return ""
    said = re.search(r"^(?:FAILED|ERROR) (\S+)", done.stdout, re.MULTILINE)
    return said[1] if said else f"pytest's exit {done.returncode}"


def main() -> int:
    """Try mutants, print the survivors and the parts that died; 1 if fewer than 90 % did."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=300, help="mutants to try")
    parser.add_argument("--after", type=int, default=0, help="of these, tried by an earlier run")
    parser.add_argument("--seed", type=int, default=1, help="which ones")
    parser.add_argument("--only", default="", help="a room or file, e.g. gateway/service")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    arguments = parser.parse_args()
    mutants = chosen(arguments.count, arguments.seed, arguments.only)[arguments.after :]
    lines = read_or_make(arguments.workers)
    died, tried = Counter[str](), Counter[str]()
    with tempfile.TemporaryDirectory() as folder:
        places: SimpleQueue[Path] = SimpleQueue()
        for worker in range(arguments.workers):
            place = Path(folder) / str(worker)
            ignored = shutil.ignore_patterns(".*", "__pycache__", "*.egg-info", "out", "build")
            shutil.copytree(ROOT, place, ignore=ignored)
            places.put(place)

        def attempt(mutant: Mutant) -> str:
            place = places.get()
            try:
                return killer_of(mutant, place, lines)
            finally:
                places.put(place)

        with ThreadPoolExecutor(arguments.workers) as pool:
            for mutant, killer in zip(mutants, pool.map(attempt, mutants), strict=True):
                room = mutant.path.rpartition("/")[0]
                tried[room] += 1
                died[room] += bool(killer)
                said = f"died      {killer}:" if killer else "SURVIVED "
                print(f"{said} {mutant.name}  (line {mutant.line})", flush=True)
    for room in sorted(tried):
        print(f"{room}: {died[room]} of {tried[room]} died")
    print(f"in all: {died.total()} of {tried.total()} died")
    return int(died.total() < 0.9 * tried.total())


if __name__ == "__main__":
    raise SystemExit(main())
