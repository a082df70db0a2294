"""Work in a copy of this process: it sees everything as it is now, while this process goes on.

The copy is a fork.  Memory is shared until one of both writes to it, so making the copy takes the
time of copying page tables, milliseconds for hundreds of MB, whatever the work takes.  The copy
has none of the connections of this process, does its work, answers through a pipe, and ends
without running anything else.
"""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import warnings
from collections.abc import Callable
from contextlib import suppress
from typing import NoReturn

from gateway.errors import JournalError

_DONE, _FAILED = b"=", b"!"
_NICENESS = 10  # the copy yields to what serves customers
_LARGEST_DESCRIPTOR = 2**20


def in_copy(work: Callable[[], bytes], within_s: float) -> asyncio.Future[bytes]:
    """Begin work in a copy of this process; return the future of its answer.

    Cancelling the future ends the copy.  Collecting garbage among all objects would write to each
    of them, and so copy all memory after all: ``collected_in_parts`` of the service does not.

    Parameters
    ----------
    work
        Called in the copy.  It must use no connection, loop or lock of this process.
    within_s
        Seconds after which the copy is ended.

    Raises
    ------
    OSError
        When the machine makes no copy: it lacks memory, or the account may have no more processes.
    gateway.errors.JournalError
        From the future: when the work raises, the copy is killed, or its time is up.
    """
    reading, writing = os.pipe()
    with warnings.catch_warnings():
        # Threads that this process may have do not exist in the copy, and their locks do not
        # matter to it: it waits for nothing of this process, and not without end.
        warnings.simplefilter("ignore", DeprecationWarning)
        try:
            process = os.fork()
        except OSError:
            os.close(reading)
            os.close(writing)
            raise
    if process == 0:
        _be_the_copy(work, writing)
    os.close(writing)
    return _answer_of(process, reading, within_s)


def _answer_of(process: int, reading: int, within_s: float) -> asyncio.Future[bytes]:
    """Return the future of what a copy writes into its pipe until it ends."""
    loop = asyncio.get_running_loop()
    answer: asyncio.Future[bytes] = loop.create_future()
    received = bytearray()
    late = loop.call_later(within_s, lambda: os.kill(process, signal.SIGKILL))

    def ended() -> None:
        """Forget the copy, which has ended or is about to."""
        loop.remove_reader(reading)
        os.close(reading)
        late.cancel()
        with suppress(ChildProcessError):  # someone else has waited for it
            os.waitpid(process, 0)

    def read() -> None:
        part = os.read(reading, 2**16)
        received.extend(part)
        if part or answer.done():
            return
        ended()
        kind, content = bytes(received[:1]), bytes(received[1:])
        if kind == _DONE:
            answer.set_result(content)
        else:
            reason = content.decode(errors="replace") or "it was killed, or its time was up"
            answer.set_exception(JournalError(f"the copy of this process failed: {reason}"))

    def end(future: asyncio.Future[bytes]) -> None:
        if future.cancelled():
            with suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
            ended()

    loop.add_reader(reading, read)
    answer.add_done_callback(end)
    return answer


def _be_the_copy(work: Callable[[], bytes], writing: int) -> NoReturn:
    """Do the work, answer, and end at once: nothing of the process that was copied goes on here."""
    status = 1
    try:
        gc.disable()
        with suppress(ValueError):
            signal.set_wakeup_fd(-1)
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_DFL)
        # Were they kept, a broker would not notice the end of the process that was copied.
        os.closerange(3, writing)
        os.closerange(writing + 1, _LARGEST_DESCRIPTOR)
        os.nice(_NICENESS)
        _write(writing, _DONE + work())
        status = 0
    except BaseException as error:
        with suppress(OSError):
            _write(writing, _FAILED + f"{type(error).__name__}: {error}".encode())
    finally:
        os._exit(status)


def _write(descriptor: int, content: bytes) -> None:
    while content:
        content = content[os.write(descriptor, content) :]
