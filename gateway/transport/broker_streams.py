"""Streams between the embedded broker and a client's connection."""

from __future__ import annotations

import asyncio
from typing import Any

from amqtt.adapters import ReaderAdapter, StreamReaderAdapter
from amqtt.errors import MQTTError

_NAME = b"\0\4MQTT"  # behind it a CONNECT has the level of its protocol
_LEVEL_311 = 4


class NewerProtocolError(MQTTError):  # type: ignore[misc]  # amqtt has no types
    """A CONNECT is of MQTT 5, of which amqtt would wait for more than there is."""


class FirstPacket(ReaderAdapter):  # type: ignore[misc]  # amqtt has no types
    """Keeps what is read, so that amqtt can read a CONNECT again that was checked before."""

    def __init__(self, reader: ReaderAdapter) -> None:
        self._reader = reader
        self._read = bytearray()

    async def read(self, n: int = -1) -> bytes:
        """Read, and keep what was read.

        Raises
        ------
        NewerProtocolError
            As soon as the level of the protocol shows it.
        """
        data: bytes = await self._reader.read(n)
        self._read += data
        at = self._read.find(_NAME, 2, 2 + 4 + len(_NAME)) + len(_NAME)
        if at > len(_NAME) and self._read[at : at + 1] > bytes([_LEVEL_311]):
            raise NewerProtocolError(f"it speaks level {self._read[at]} of MQTT")
        return data

    def feed_eof(self) -> None:
        """Say that nothing more comes."""
        self._reader.feed_eof()

    def again(self) -> ReaderAdapter:
        """Return a reader of the same bytes."""
        stream = asyncio.StreamReader()
        stream.feed_data(bytes(self._read))
        stream.feed_eof()
        return StreamReaderAdapter(stream)


class OpenWriter:
    """A writer that says, like asyncio's own loop and unlike uvloop, when its wire is closed."""

    def __init__(self, writer: asyncio.StreamWriter) -> None:
        self._writer = writer

    def __getattr__(self, name: str) -> Any:
        return getattr(self._writer, name)

    def write(self, data: bytes) -> None:
        """Write, or raise ``ConnectionResetError`` where the connection is closed."""
        if self._writer.transport.is_closing():
            raise ConnectionResetError("the connection is closed")
        self._writer.write(data)
