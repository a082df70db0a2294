"""Write the content of a scenario as TOML, also where it is nonsense."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from datetime import datetime
from typing import Any


def toml_text(content: Mapping[str, Any]) -> str:
    """Return a TOML file with the content; tables below the first level are inline."""
    lines = [f"{json.dumps(key)} = {_value(value)}" for key, value in _plain(content)]
    for key, table in content.items():
        if isinstance(table, Mapping):
            lines.append(f"[{json.dumps(key)}]")
            lines += [f"{json.dumps(name)} = {_value(value)}" for name, value in table.items()]
    return "\n".join(lines) + "\n"


def _plain(content: Mapping[str, Any]) -> list[tuple[str, Any]]:
    return [(key, value) for key, value in content.items() if not isinstance(value, Mapping)]


def _value(value: Any) -> str:
    if isinstance(value, Mapping):
        pairs = (f"{json.dumps(key)} = {_value(each)}" for key, each in value.items())
        return "{" + ", ".join(pairs) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(_value(each) for each in value) + "]"
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, float) and not math.isfinite(value):
        return "nan" if math.isnan(value) else "inf" if value > 0 else "-inf"
    if isinstance(value, float):
        text = repr(value)
        return text if any(each in text for each in ".e") else f"{text}.0"
    return json.dumps(value, ensure_ascii=False)
