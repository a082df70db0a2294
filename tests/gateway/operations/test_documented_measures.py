"""docs/operation.md names every measure and every setting, and no other."""

from __future__ import annotations

import re
from pathlib import Path

from gateway.operations.serve_settings import ServeSettings
from gateway.service.measures import MeasureFamilies, Measures

PAGE = (Path(__file__).parents[3] / "docs" / "operation.md").read_text(encoding="utf-8")


def test_measures() -> None:
    made = MeasureFamilies()
    Measures("north", made)
    families = list(made.registry.collect())
    names = {f"{each.name}_total" if each.type == "counter" else each.name for each in families}
    assert set(re.findall(r"`(doe_[a-z_]+)", PAGE)) == names


def test_settings() -> None:
    table = PAGE.partition("## Settings")[2].partition("## ")[0]
    first = " ".join(re.findall(r"^\| ([^|]+) \|", table, re.MULTILINE))
    named = set(re.findall(r"`\[?([a-z_]+)\]?`", first))
    assert named == set(ServeSettings.model_fields)
