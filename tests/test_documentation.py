"""README and docs name files that exist, their links lead somewhere, and code cites real pages."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").rglob("*.md"))]
PACKAGES = (
    "security_check",
    "doe_allocation",
    "orderbook",
    "exchange",
    "gateway",
    "doe_exchange",
)
_LINK = re.compile(r"\]\(([^)\s]+)\)")
_PAGE = re.compile(r"\bdocs/[\w/-]+\.md\b")
_FILE = re.compile(r"`([\w/.-]+\.py)`")
_BLOCK = re.compile(r"^```.*?^```", re.DOTALL | re.MULTILINE)


@cache
def _anchors(page: Path) -> set[str]:
    """Return the anchors of a page's headings, as they are made on the usual platforms."""
    text = _BLOCK.sub("", page.read_text(encoding="utf-8"))
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", each.lower()).replace(" ", "-") for each in headings}


@cache
def _sources() -> set[str]:
    folders = (*PACKAGES, "tests", "benchmarks", "tools")
    found = [path for folder in folders for path in (ROOT / folder).rglob("*.py")]
    return {path.name for path in found} | {path.relative_to(ROOT).as_posix() for path in found}


def _name(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("page", PAGES, ids=_name)
def test_links_lead_somewhere(page: Path) -> None:
    broken = []
    for link in _LINK.findall(_BLOCK.sub("", page.read_text(encoding="utf-8"))):
        if link.startswith("https://"):
            continue
        file, _, anchor = link.partition("#")
        target = (page.parent / file).resolve() if file else page
        if not target.exists() or (anchor and anchor not in _anchors(target)):
            broken.append(link)
    assert not broken


@pytest.mark.parametrize("page", [page for page in PAGES if page.name != "CHANGELOG.md"], ids=_name)
def test_named_source_files_exist(page: Path) -> None:
    named = set(_FILE.findall(page.read_text(encoding="utf-8")))
    assert not sorted(named - _sources())


@pytest.mark.parametrize("folder", [*PACKAGES, "tests", "benchmarks", "tools"])
def test_pages_cited_in_code_exist(folder: str) -> None:
    cited = {
        (path.relative_to(ROOT).as_posix(), page)
        for path in (ROOT / folder).rglob("*.py")
        for page in _PAGE.findall(path.read_text(encoding="utf-8"))
    }
    assert not sorted(each for each in cited if not (ROOT / each[1]).exists())
