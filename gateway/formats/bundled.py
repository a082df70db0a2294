"""The files that ship with the project."""

from __future__ import annotations

from importlib import resources
from pathlib import Path


def bundled(name: str) -> Path:
    """Return the path of a file that ships with the project."""
    return Path(str(resources.files("gateway") / "data" / name))


def shown_name(path: Path) -> str:
    """Return how messages name an input file: its path, or ``bundled:NAME`` where it ships."""
    return f"bundled:{path.stem}" if path.is_relative_to(bundled("")) else str(path)


def bundled_names(suffix: str) -> list[str]:
    """Return the names, without suffix, of bundled files."""
    return sorted(path.stem for path in bundled("").glob(f"*{suffix}"))
