"""Which tests run a line, and how long each takes: one run of the fast tests under coverage.

The map is kept in ``build/tests_of_lines`` and made again when code or tests change.  Code that
only runs in processes that tests start is not seen; the caller falls back to a room's tests.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import coverage

ROOT = Path(__file__).parents[1]
PLACE = ROOT / "build" / "tests_of_lines"
_GROUP = re.compile(r"@[\w.]+\.py$")  # pytest-xdist adds the group to a test's name
FAST = ["-m", "not slow", "-p", "no:cacheprovider"]


@dataclass(frozen=True)
class TestsOfLines:
    """Tests by file and line; times in seconds by test."""

    data: coverage.CoverageData
    seconds: dict[str, float]

    def of(self, path: str, lines: Iterable[int]) -> list[str]:
        """Return the tests that run any of the lines, the quickest first.

        What runs while a test is set up may be shared by the tests of its file, so all of these
        count.  Lines that run at import, such as constants, count as run by each test that runs
        any line of their file.
        """
        by_line = self.data.contexts_by_lineno(str(ROOT / path))
        chosen = {context for line in lines for context in by_line.get(line, [])} - {""}
        if not chosen:
            chosen = {context for contexts in by_line.values() for context in contexts} - {""}
        found, files = set(), set()
        for context in chosen:
            test, _, phase = context.rpartition("|")
            test = _GROUP.sub("", test)
            found.add(test)
            if phase != "run":
                files.add(test.partition("::")[0])
        found |= {test for test in self.seconds if test.partition("::")[0] in files}
        return sorted(found & set(self.seconds), key=lambda test: self.seconds[test])


def read_or_make(workers: int) -> TestsOfLines:
    """Return the map of today's code and tests; making it takes a run of all fast tests."""
    state = PLACE / "state"
    if not state.exists() or state.read_text() != _state():
        PLACE.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, "-m", "pytest", *FAST, "-p", "tools.tests_of_lines"]
        command += ["--numprocesses", str(workers), "--dist", "loadgroup", "--no-loadscope-reorder"]
        command += ["--cov", "--cov-context=test", "--cov-report=term:skip-covered"]
        kept = {"COVERAGE_FILE": str(PLACE / "data"), "DOE_TEST_TIMES": str(PLACE / "seconds.json")}
        subprocess.run(command, cwd=ROOT, env=environment(ROOT) | kept, check=True)
        state.write_text(_state())
    data = coverage.CoverageData(str(PLACE / "data"))
    data.read()
    return TestsOfLines(data, json.loads((PLACE / "seconds.json").read_text()))


def environment(place: Path) -> dict[str, str]:
    """Return the environment of tests of a copy of the project, which must not skip any."""
    return os.environ | {"PYTHONPATH": str(place), "CI": "1", "OPENBLAS_NUM_THREADS": "1"}


def _state() -> str:
    """Return a text that changes with code and tests."""
    command = ["git", "ls-files", "-s", "*.py"]
    files = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    changed = ["git", "diff", "--", "*.py"]
    return (
        files + subprocess.run(changed, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    )


# -- as a plug-in of pytest: notes how long each test takes --------------------------------------

_seconds: dict[str, float] = defaultdict(float)


def pytest_runtest_logreport(report: Any) -> None:
    """Add up the time of a test's set-up, run and end."""
    _seconds[_GROUP.sub("", report.nodeid)] += report.duration


def pytest_sessionfinish(session: Any) -> None:
    """Write the times, in the process that sees all tests."""
    place = os.environ.get("DOE_TEST_TIMES")
    if place and not hasattr(session.config, "workerinput"):
        Path(place).write_text(json.dumps(_seconds), encoding="utf-8")
