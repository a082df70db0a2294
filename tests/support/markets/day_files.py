"""Files of flexibility days: bundled ones as content, and changed ones as results."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Any

from gateway.flexibility.day.case import day_path, load_day
from gateway.flexibility.day.result import FlexibilityDayResult
from gateway.flexibility.day.running import run_flexibility_day


def content(name: str) -> dict[str, Any]:
    """Return the content of a bundled day."""
    return tomllib.loads(day_path(name).read_text(encoding="utf-8"))


def ran(case: dict[str, Any], folder: Path) -> FlexibilityDayResult:
    """Return the result of a content, written to a folder."""
    path = folder / "day.json"
    path.write_text(json.dumps(case, default=lambda t: t.isoformat()), encoding="utf-8")
    return run_flexibility_day(load_day(path))
