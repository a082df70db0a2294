"""Find the files that a command reads: those it names, and those that ship with the project."""

from __future__ import annotations

import tomllib
from importlib import resources
from pathlib import Path
from typing import Any

from gateway.formats.faults import InputFaults, unreadable
from security_check.errors import Fault


def bundled(name: str) -> Path:
    """Return the path of a file that ships with the project."""
    return Path(str(resources.files("gateway") / "data" / name))


def shown_name(path: Path) -> str:
    """Return how messages name an input file: its path, or ``bundled:NAME`` where it ships."""
    return f"bundled:{path.stem}" if path.is_relative_to(bundled("")) else str(path)


def bundled_names(suffix: str) -> list[str]:
    """Return the names, without suffix, of bundled files."""
    return sorted(path.stem for path in bundled("").glob(f"*{suffix}"))


def named_file(name: str, kind: str, folder: str = "") -> Path:
    """Return the file of a ``kind`` of input: a path, or ``bundled:NAME`` for one that ships.

    Parameters
    ----------
    name
        The path or ``bundled:NAME`` of the command line.
    kind
        Word for messages: ``"scenario"``, ``"hierarchy"``.
    folder
        Folder of the bundled files of this kind, below their common folder.

    Raises
    ------
    InputFaults
        When no bundled file has that name.
    """
    if not name.startswith("bundled:"):
        return Path(name)
    known = sorted(path.stem for path in bundled(folder).glob("*.toml"))
    if name.removeprefix("bundled:") not in known:
        detail = f"there is no bundled {kind} of that name; known names: {', '.join(known)}"
        raise InputFaults(name, [Fault("file", detail)])
    return bundled(folder) / f"{name.removeprefix('bundled:')}.toml"


def read_toml(path: Path) -> dict[str, Any]:
    """Return the content of a TOML file; raises :class:`InputFaults` when it cannot be read."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise unreadable(shown_name(path), error) from None
    except UnicodeDecodeError:
        raise InputFaults(shown_name(path), [Fault("file", "it is not UTF-8 text")]) from None
    except tomllib.TOMLDecodeError as error:
        raise InputFaults(shown_name(path), [Fault("file", f"it is not TOML: {error}")]) from None
