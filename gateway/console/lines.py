"""Lines of a keyboard or a script, one after the other, while the event loop goes on."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from typing import TextIO


async def lines_of(source: TextIO) -> AsyncIterator[str]:
    """Yield lines as they are typed, until the end of the source.

    They are read by a thread of their own, which ends with the program: nothing can wake a thread
    that waits for a keyboard.
    """
    loop = asyncio.get_running_loop()
    queue: asyncio.Queue[str] = asyncio.Queue()
    wanted = threading.Semaphore(0)

    def read() -> None:
        while True:
            wanted.acquire()
            try:
                line = source.readline()
            except (OSError, ValueError):  # it was closed
                line = ""
            try:
                loop.call_soon_threadsafe(queue.put_nowait, line)
            except RuntimeError:
                return  # the loop has ended
            if not line:
                return

    threading.Thread(target=read, name="lines", daemon=True).start()
    while True:
        wanted.release()
        line = await queue.get()
        if not line:
            return
        yield line.rstrip("\r\n")
