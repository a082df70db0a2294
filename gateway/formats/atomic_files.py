"""Files that appear whole or not at all, even if the writing process is killed."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from pydantic import BaseModel

from gateway.formats.faults import InputFaults, unreadable, why
from security_check.errors import Fault

_TEMPORARY = re.compile(r"\..+\.(?P<process>[0-9]+)\.tmp")


@contextmanager
def replacing(path: Path, endings: Sequence[str] = ()) -> Iterator[Path]:
    """Yield a temporary file beside ``path``; it replaces ``path`` when writing succeeds.

    Raises
    ------
    InputFaults
        When the file cannot be written, or has none of the endings, where some are given.
    """
    if endings:
        check_ending(path, endings)
    try:
        _refuse_folder(path)
        if path.exists() and not path.is_file():  # /dev/stdout and the like cannot be renamed onto
            yield path
        else:
            yield from _replaced(path)
    except OSError as error:
        sentence = f"it cannot be written: {why(error)}"
        raise InputFaults(str(path), [Fault("file", sentence)]) from None


def remove_left_over(folder: Path) -> None:
    """Remove from a folder the temporary files of processes that were killed.

    Temporary files of living processes stay.

    Raises
    ------
    InputFaults
        When a file cannot be removed.
    """
    try:
        left = [path for path in folder.iterdir() if _is_left_over(path.name)]
    except FileNotFoundError:
        return
    except OSError as error:
        raise unreadable(str(folder), error) from None
    for path in left:
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            detail = f"left by a killed process, and cannot be removed: {why(error)}"
            raise InputFaults(str(path), [Fault("file", detail)]) from None


def _is_left_over(name: str) -> bool:
    found = _TEMPORARY.fullmatch(name)
    if found is None:
        return False
    try:
        os.kill(int(found["process"]), 0)
    except (ProcessLookupError, OverflowError):
        return True
    except PermissionError:  # a living process of another user
        pass
    return False


def _replaced(path: Path) -> Iterator[Path]:
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        # A killed process of the same number may have left one, for example in a container.
        temporary.unlink(missing_ok=True)
        temporary.touch(exist_ok=False)
        yield temporary
        with temporary.open("rb") as stream:
            os.fsync(stream.fileno())
        temporary.replace(path)
    finally:
        with contextlib.suppress(OSError):  # the error that stopped the writing may recur
            temporary.unlink(missing_ok=True)


def _refuse_folder(path: Path) -> None:
    if path.is_dir():
        raise InputFaults(str(path), [Fault("file", "it cannot be written: it is a folder")])


def check_ending(path: Path, endings: Sequence[str]) -> None:
    """Refuse a file for a result whose ending names no format that the result has.

    Devices such as ``/dev/stdout`` need no ending.

    Raises
    ------
    InputFaults
        Names the endings that are known; or the path is a folder.
    """
    _refuse_folder(path)
    device = path.exists() and not path.is_file()
    if path.suffix.lower() not in endings and not device:
        known = " or ".join(filter(None, [", ".join(endings[:-1]), endings[-1]]))
        raise InputFaults(str(path), [Fault("file", f"its name must end in {known}")])


def write_json(path: Path, content: BaseModel) -> None:
    """Write a file whole or not at all: into a temporary file beside it, then renamed.

    Raises
    ------
    InputFaults
        When the file cannot be written.
    """
    write_text(path, content.model_dump_json(indent=2) + "\n")


def write_text(path: Path, text: str) -> None:
    """Write a file whole or not at all, as :func:`write_json` does."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
