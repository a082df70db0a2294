"""The files in ``tests/data``: what each version of journals and snapshots has written."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from project import ROOT

from exchange.vocabulary.versions import VERSION

DATA = ROOT / "tests" / "data"
VERSIONS = list(range(1, VERSION + 1))
PRESENT = DATA / str(VERSION)


def lines_of(path: Path) -> list[bytes]:
    """Return the lines of a file; none where it is missing, so that a test can say so."""
    return path.read_bytes().splitlines() if path.exists() else []


def digests(version: int) -> dict[str, dict[str, Any]]:
    """Return what is expected of each day of a version, counts and digests; none without files."""
    path = DATA / str(version) / "digests.json"
    return json.loads(path.read_text()) if path.exists() else {}
