"""README and docs name files that exist, their links lead somewhere, and code cites real pages."""

from __future__ import annotations

import ast
import re
import tomllib
from collections.abc import Iterator
from datetime import UTC, date, datetime
from functools import cache
from importlib import import_module
from pathlib import Path

import pytest
from project import PACKAGES, ROOT

PAGES = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md"))]
DECISIONS = sorted((ROOT / "docs" / "adr").glob("[0-9]*.md"))
_LINK = re.compile(r"\]\(([^)\s]+)\)")
_CITED = re.compile(r"(?<![\w./])docs/\w(?:[\w./-]*\w)?(?:#[\w-]+)?")
_ROLE = re.compile(r":(?:mod|class|func|meth|data|attr|exc):`~?([\w.]+)`")
_NO_TEXT = (".pyc", ".png", ".json", ".parquet")
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


def _cited_in(folder: str) -> Iterator[tuple[str, str]]:
    """Yield a file and what it cites of ``docs``, in code, docstrings, comments and data."""
    root = ROOT / folder
    for path in sorted(root.rglob("*")) if root.is_dir() else [root]:
        if path.is_file() and path.suffix not in _NO_TEXT:
            for page in _CITED.findall(path.read_text(encoding="utf-8")):
                yield _name(path), page


@pytest.mark.parametrize(
    "folder", [*PACKAGES, "tests", "benchmarks", "tools", ".ci", "Makefile", "pyproject.toml"]
)
def test_pages_cited_in_code_exist(folder: str) -> None:
    missing = []
    for path, cited in _cited_in(folder):
        page, _, anchor = cited.partition("#")
        target = ROOT / page
        if not target.exists() or (anchor and anchor not in _anchors(target)):
            missing.append((path, cited))
    assert not missing


def test_citations_are_found() -> None:
    cited = {page for folder in PACKAGES for _, page in _cited_in(folder)}
    assert {"docs/formats/orders.md", "docs/benchmarks.md"} <= cited
    text = "docs/market.md, docs/architecture.md#number-of-modules; docs/formats/ (docs/proof.md)."
    assert _CITED.findall(text) == [
        "docs/market.md",
        "docs/architecture.md#number-of-modules",
        "docs/formats",
        "docs/proof.md",
    ]


@cache
def _defined() -> frozenset[str]:
    """Return every name that the packages define: modules, classes, functions, attributes."""
    names = set()
    for path in (path for package in PACKAGES for path in (ROOT / package).rglob("*.py")):
        names |= {path.stem, path.parent.name}
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
                names.add(node.name)
            elif isinstance(node, ast.Name | ast.Attribute) and isinstance(node.ctx, ast.Store):
                names.add(node.id if isinstance(node, ast.Name) else node.attr)
    return frozenset(names)


def _leads_somewhere(target: str) -> bool:
    """Return whether a name that a docstring refers to is one of the packages'."""
    parts = target.split(".")
    if parts[0] not in PACKAGES:
        return parts[-1] in _defined()
    for k in range(len(parts), 0, -1):
        try:
            found: object = import_module(".".join(parts[:k]))
        except ModuleNotFoundError:
            continue
        for part in parts[k:]:
            known = hasattr(found, part) or part in getattr(found, "__annotations__", {})
            if not known:
                return False
            found = getattr(found, part, None)
        return True
    return False


@pytest.mark.parametrize("package", PACKAGES)
def test_names_in_docstrings_exist(package: str) -> None:
    broken = [
        (_name(path), target)
        for path in (ROOT / package).rglob("*.py")
        for target in _ROLE.findall(path.read_text(encoding="utf-8"))
        if not _leads_somewhere(target)
    ]
    assert not broken


@pytest.mark.parametrize(
    ("target", "exists"),
    [
        ("exchange.engine.Exchange.handle", True),
        ("gateway.journal.replay", True),
        ("_Broker", True),
        ("exchange.engine.Exchange.handles", False),
        ("gateway.journal.replays", False),
        ("NoSuchName", False),
    ],
)
def test_names_that_do_not_exist_are_found(target: str, exists: bool) -> None:
    assert _leads_somewhere(target) == exists


@pytest.mark.parametrize("page", DECISIONS, ids=_name)
def test_a_decision_has_number_date_status_and_a_place_in_the_list(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    form = r"# (\d+)\. (.+)\n\n- Date: (\d{4}-\d\d-\d\d)\n- Status: (.+)\n\n"
    found = re.match(form, text)
    assert found, "number and title, date and status are the first lines"
    number, title, day, status = found.groups()
    assert int(number) == int(page.name[:4])
    assert date(2026, 11, 20) <= date.fromisoformat(day) <= datetime.now(UTC).date()
    superseded = re.fullmatch(r"superseded by \[(\d+)\]\((.+)\)", status)
    assert superseded or status in ("proposed", "accepted")
    index = (page.parent / "README.md").read_text(encoding="utf-8")
    assert f"{number}. [{title}]({page.name})" in index


def test_the_changelog_has_this_version_in_sections() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    versions = dict(re.findall(r"^## \[(.+?)\](?: - (.+))?$", text, re.MULTILINE))
    assert project["version"] in versions
    assert all(re.fullmatch(r"\d{4}-\d\d-\d\d|unreleased|", each) for each in versions.values())
    known = ["Added", "Changed", "Removed", "Fixed", "Security"]
    for version in text.split("\n## ")[1:]:
        sections = re.findall(r"^### (.+)$", version, re.MULTILINE)
        assert sections == [each for each in known if each in sections]
