"""An exchange in a process of its own, to be killed, and what its journal has."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

import gateway_market

from gateway.journal.redis_journal import RedisJournal
from gateway.ports import JournalEntry

ROOT = Path(__file__).parents[3]


class Victim:
    """The server process, killed and started again until it is asked to stop.

    ``program`` is another than that of the small market, with its further arguments.
    """

    def __init__(
        self,
        area: str,
        mqtt_url: str,
        redis_url: str,
        *more: str,
        program: str = gateway_market.__file__,
    ) -> None:
        self._command = [sys.executable, program, area, mqtt_url, redis_url, *more]
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        self._process = await asyncio.create_subprocess_exec(
            *self._command,
            stdout=asyncio.subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )
        assert self._process.stdout is not None
        assert await self._process.stdout.readline() == b"ready\n"

    async def kill(self) -> None:
        assert self._process is not None
        self._process.kill()
        await self._process.wait()


async def journaled(url: str, area: str) -> list[JournalEntry]:
    async with RedisJournal(url, area, read_only=True) as journal:
        return [entry async for entry in journal.read()]
