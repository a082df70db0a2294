"""Files and folders that only their own account can read, whatever the umask says."""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

FOLDER_MODE = 0o700
FILE_MODE = 0o600


def with_private_files(command: Sequence[str]) -> list[str]:
    """Return a command that runs another one in its place, so that all its files are private.

    Event loops differ in whether they can start a process under another umask.
    """
    return ["/bin/sh", "-c", 'umask 077 && exec "$0" "$@"', *command]


def make_private_folder(folder: Path) -> None:
    """Create a folder, with those above it that are missing; all new ones and it are private.

    An older folder becomes private, and so do the files in it.

    Raises
    ------
    OSError
        When the folder cannot be created, is another account's, or is a file.
    """
    for each in reversed(folder.parents):
        if not each.exists():
            each.mkdir(mode=FOLDER_MODE, exist_ok=True)
    if not folder.is_dir():
        folder.mkdir(mode=FOLDER_MODE)
    folder.chmod(FOLDER_MODE)
    for path in folder.rglob("*"):
        with suppress(FileNotFoundError):  # renamed meanwhile
            if path.is_file() and not path.is_symlink():
                path.chmod(FILE_MODE)


def open_private(path: Path, flags: int) -> int:
    """Open a file, which becomes private, and return its descriptor; a new one is private at once.

    Raises
    ------
    OSError
        When it cannot be opened, is a link, or is another account's.
    """
    descriptor = os.open(path, flags | os.O_NOFOLLOW | os.O_CLOEXEC, FILE_MODE)
    try:
        os.fchmod(descriptor, FILE_MODE)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def sync_folder(folder: Path) -> None:
    """Make the names of a folder's files durable."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def readable_by_others(path: Path) -> bool:
    """Return whether other accounts of the machine may read a file, by its own mode."""
    return bool(stat.S_IMODE(path.stat().st_mode) & (stat.S_IRGRP | stat.S_IROTH))
