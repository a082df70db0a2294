"""The sessions that README and docs show are what the commands print today."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pandapower as pp
import pytest
from command_line import run

from gateway.formats.input_files import bundled

ROOT = Path(__file__).parents[1]
_SESSION = re.compile(r"^```console\n(.*?)^```$", re.DOTALL | re.MULTILINE)
_PROMPT = "$ doe-exchange "
_OMITTED = "..."


def _sessions() -> Iterator[tuple[str, str]]:
    """Yield a page and a session; a session that needs another's files is in the same block."""
    for page in (ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))):
        for text in _SESSION.findall(page.read_text(encoding="utf-8")):
            yield page.relative_to(ROOT).as_posix(), text


def _steps(session: str) -> list[tuple[list[str], list[str]]]:
    """Return the arguments of each command of a session, and the lines shown after it."""
    steps: list[tuple[list[str], list[str]]] = []
    for line in session.splitlines():
        if line.startswith(_PROMPT):
            steps.append((shlex.split(line.removeprefix(_PROMPT)), []))
        else:
            assert steps, f"this session begins without a command: {line!r}"
            assert not line.startswith("$"), f"this test cannot run {line!r}"
            steps[-1][1].append(line)
    return steps


def _is_shown(shown: list[str], printed: list[str]) -> bool:
    """Return whether the lines are those printed; ``...`` stands for any number of lines."""
    pieces = ["(?:.*\n)*" if line == _OMITTED else re.escape(line) + "\n" for line in shown]
    text = "".join(f"{line.rstrip()}\n" for line in printed if line.strip())
    return re.fullmatch("".join(pieces), text) is not None


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the scenario that README names, with the three faults that it names."""
    net = pp.from_json(str(bundled("semiurb4.json")))
    net.line.loc[12, "max_i_ka"] = 99999
    pp.to_json(net, str(tmp_path / "village.json"))
    (tmp_path / "village.toml").write_text(
        """
        network = {source = "village.json"}
        interface = {voltage_min_pu = 0.98, voltage_max_pu = 1.04}
        [capacity]
        withdrawal_w = {"load:3" = 2.5}
        injection_w = {"load:99" = 3000}
        """
    )
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(("page", "session"), list(_sessions()))
def test_a_session_prints_what_is_shown(page: str, session: str, folder: Path) -> None:
    for arguments, shown in _steps(session):
        printed = run(*arguments).output.splitlines()
        assert _is_shown(shown, printed), "\n".join([f"{page}: {arguments}", *printed])


def test_readme_has_sessions() -> None:
    assert [page for page, _ in _sessions()].count("README.md") >= 2


@pytest.mark.parametrize(
    ("shown", "same"),
    [
        (["a", "b", "c"], True),
        (["a", "...", "c"], True),
        (["...", "c"], True),
        (["a", "b", "c", "..."], True),
        (["a", "c"], False),
        (["a", "b"], False),
        (["b", "..."], False),
        (["...", "b"], False),
        (["a", "b", "."], False),
    ],
)
def test_only_what_is_left_out_may_differ(shown: list[str], same: bool) -> None:
    assert _is_shown(shown, ["a", "", "b  ", "c"]) == same
