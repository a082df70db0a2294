"""Files that appear whole or not at all, even if the writing process is killed.

No file of a command takes the place of one of its inputs (:func:`inputs_kept`).
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path

from pydantic import BaseModel

from gateway.formats.faults import InputFaults, unreadable, why
from gateway.formats.input_files import bundled
from security_check.errors import Fault

_USUAL, _PRIVATE = 0o666, 0o600  # modes of files; the umask takes from the first
_TEMPORARY = re.compile(r"\..+\.(?P<process>[0-9]+)\.tmp")


class KeptInputs:
    """The inputs of a command, by what they are on the disk: links and spellings do not matter.

    Files that a command says it will write are remembered, too, so that a conflict is found before
    anything is computed, whichever of both is known first.
    """

    def __init__(self) -> None:
        self._inputs: dict[_Identity, str] = {}
        self._outputs: dict[_Identity, Path] = {}

    def keep(self, path: Path, what: str) -> None:
        """Add an input; ``what`` says in messages what it is.

        Raises
        ------
        InputFaults
            When the command has said that it will write this file.
        """
        identity = _identity(path)
        self._inputs.setdefault(identity, what)
        if identity in self._outputs:
            self.refuse(self._outputs[identity])

    def claim(self, path: Path) -> None:
        """Add a file that the command will write.

        Raises
        ------
        InputFaults
            When it is an input, or the command writes another result to it.
        """
        self.refuse(path)
        if path.is_dir() or _is_device(path):
            return
        if self._outputs.setdefault(_identity(path), path) is not path:
            detail = "it cannot be written: two results of this command have this name"
            raise InputFaults(str(path), [Fault("file", detail)])

    def at(self, path: Path) -> str | None:
        """Return what the input at a path is, ``None`` where it is no input."""
        return self._inputs.get(_identity(path))

    def refuse(self, path: Path) -> None:
        """Raise :class:`InputFaults` when a file to be written is an input or a bundled file."""
        what = self.at(path)
        if what is None and path.exists() and path.resolve().is_relative_to(bundled("").resolve()):
            what = "a file that ships with the program"
        if what is not None:
            detail = f"it cannot be written: it is {what}"
            raise InputFaults(str(path), [Fault("file", detail)])


_Identity = tuple[int, int] | str

_kept: ContextVar[KeptInputs | None] = ContextVar("kept", default=None)


def _identity(path: Path) -> _Identity:
    """Return device and number of a file; of one that does not exist, its place."""
    try:
        found = path.stat()
    except (OSError, ValueError):  # the command reports what cannot be read or written
        return os.path.realpath(path)
    return found.st_dev, found.st_ino


@contextmanager
def inputs_kept() -> Iterator[None]:
    """Refuse in the block to write files in the place of the inputs that it adds.

    Elsewhere :func:`keep_input` and :func:`claim_output` do nothing: a notebook may write the file
    again that it has read.
    """
    token = _kept.set(KeptInputs())
    try:
        yield
    finally:
        _kept.reset(token)


def keep_input(path: Path, what: str) -> None:
    """Add an input of this command, see :meth:`KeptInputs.keep`."""
    if (kept := _kept.get()) is not None:
        kept.keep(path, what)


def claim_output(path: Path) -> None:
    """Add a file that this command will write, see :meth:`KeptInputs.claim`."""
    if (kept := _kept.get()) is not None:
        kept.claim(path)


@contextmanager
def replacing(path: Path, endings: Sequence[str] = (), *, private: bool = False) -> Iterator[Path]:
    """Yield a temporary file beside ``path``; it replaces ``path`` when writing succeeds.

    A private file can be read by its own account only.

    Raises
    ------
    InputFaults
        When the file cannot be written, is an input of the command, or has none of the endings,
        where some are given.
    """
    if endings:
        check_ending(path, endings)
    if (kept := _kept.get()) is not None:
        kept.refuse(path)
    try:
        _refuse_folder(path)
        if _is_device(path):
            yield path
        else:
            yield from _replaced(path, _PRIVATE if private else _USUAL)
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


def _replaced(path: Path, mode: int) -> Iterator[Path]:
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        # A killed process of the same number may have left one, for example in a container.
        temporary.unlink(missing_ok=True)
        temporary.touch(mode, exist_ok=False)
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


def _is_device(path: Path) -> bool:
    """Return whether a path is /dev/stdout or the like, on which no file can be renamed.

    It may lead to a file, where stdout is redirected.
    """
    devices = Path(os.devnull).parent
    return path.exists() and (not path.is_file() or path.absolute().is_relative_to(devices))


def check_ending(path: Path, endings: Sequence[str]) -> None:
    """Refuse a file for a result whose ending names no format that the result has.

    Devices such as ``/dev/stdout`` need no ending.

    Raises
    ------
    InputFaults
        Names the endings that are known; or the path is a folder.
    """
    _refuse_folder(path)
    if path.suffix.lower() not in endings and not _is_device(path):
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


def write_text(path: Path, text: str, *, private: bool = False) -> None:
    """Write a file whole or not at all, as :func:`write_json` does.

    A private file can be read by its own account only.
    """
    with replacing(path, private=private) as temporary:
        temporary.write_text(text, encoding="utf-8")
