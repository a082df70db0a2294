"""Find the files that a command reads: those it names, and those that ship with the project."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping
from importlib import resources
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from gateway.formats.faults import InputFaults, repeated_entries, sentences, unreadable
from security_check.errors import Fault

RecordT = TypeVar("RecordT", bound=BaseModel)

_SEPARATORS = re.compile(r"[\s=\"'()\[\]{},]+")  # between the words of an OpenDSS file
_QUOTED = re.compile(r"\"([^\"]*)\"|'([^']*)'|\(([^)]*)\)|\[([^\]]*)\]|\{([^}]*)\}")
_SCRIPTS = (".dss", ".txt")  # endings of OpenDSS files that may name further files


def bundled(name: str) -> Path:
    """Return the path of a file that ships with the project."""
    return Path(str(resources.files("gateway") / "data" / name))


def shown_name(path: Path) -> str:
    """Return how messages name an input file: its path, or ``bundled:NAME`` where it ships."""
    return f"bundled:{path.stem}" if path.is_relative_to(bundled("")) else str(path)


def bundled_names(suffix: str) -> list[str]:
    """Return the names, without suffix, of bundled files."""
    return sorted(path.stem for path in bundled("").glob(f"*{suffix}"))


def named_file(name: str, kind: str, folder: str = "", suffix: str = ".toml") -> Path:
    """Return the file of a ``kind`` of input: a path, or ``bundled:NAME`` for one that ships.

    Parameters
    ----------
    name
        The path or ``bundled:NAME`` of the command line.
    kind
        Word for messages: ``"scenario"``, ``"hierarchy"``.
    folder
        Folder of the bundled files of this kind, below their common folder.
    suffix
        Ending of their names.

    Raises
    ------
    InputFaults
        When no bundled file has that name.
    """
    if not name.startswith("bundled:"):
        return Path(name)
    known = sorted(path.stem for path in bundled(folder).glob(f"*{suffix}"))
    if name.removeprefix("bundled:") not in known:
        detail = f"there is no bundled {kind} of that name; known names: {', '.join(known)}"
        raise InputFaults(name, [Fault("file", detail)])
    return bundled(folder) / f"{name.removeprefix('bundled:')}{suffix}"


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


def read_bytes(path: Path) -> bytes:
    """Return the content of a file; raises :class:`InputFaults` when it cannot be read."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise unreadable(shown_name(path), error) from None


def parsed_json(form: type[RecordT], text: bytes, source: str) -> RecordT:
    """Return the record of a JSON text, in which no object gives a name twice.

    Raises
    ------
    InputFaults
        With every fault of the text; ``source`` names it.
    """
    try:
        content = form.model_validate_json(text)
    except ValidationError as error:
        raise InputFaults(source, sentences(error)) from None
    if repeated := repeated_entries(text):
        raise InputFaults(source, repeated)
    return content


def files_named_by(path: Path) -> list[Path]:
    """Return the files that a scenario or hierarchy names, and those that these name in turn.

    Every value of the TOML file that is the path of an existing file counts as the name of that
    file; so does every word of an OpenDSS file.

    Raises
    ------
    OSError
        When a file cannot be read.
    """
    try:
        content = tomllib.loads(path.read_bytes().decode())
    except ValueError:  # the command itself reports this fault
        return []
    found: dict[Path, None] = {}
    left = list(_files_of(content, path.parent))
    while left:
        named = left.pop(0)
        if named in found:
            continue
        found[named] = None
        if named.suffix.lower() in _SCRIPTS:
            text = named.read_bytes().decode(errors="replace").replace("\\", "/")
            quoted = ["".join(groups) for groups in _QUOTED.findall(text)]
            left += _files_of([*_SEPARATORS.split(text), *quoted], named.parent)
    return list(found)


def _files_of(content: Any, folder: Path) -> Iterator[Path]:
    if isinstance(content, str):
        path = folder / content if "\0" not in content and len(content) < 256 else folder
        if content and path.is_file():
            yield path
    elif isinstance(content, Mapping):
        for value in content.values():
            yield from _files_of(value, folder)
    elif isinstance(content, list):
        for value in content:
            yield from _files_of(value, folder)
