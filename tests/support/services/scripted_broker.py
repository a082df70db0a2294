"""A broker that does what a test says, packet by packet, and parses nothing by our own code."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

from gateway.transport.mqtt_client import MqttSettings

CONNECT, PUBLISH, PUBACK, PUBREC, PUBREL, PUBCOMP = 1, 3, 4, 5, 6, 7
SUBSCRIBE, PINGREQ, DISCONNECT = 8, 12, 14
PINGRESP = b"\xd0\x00"
Script = Callable[["Wire"], Awaitable[None]]


def packet(first: int, body: bytes) -> bytes:
    size, length = len(body), b""
    while size >= 0x80:
        length += bytes((size & 0x7F | 0x80,))
        size >>= 7
    return bytes((first,)) + length + bytes((size,)) + body


class Wire:
    """The broker's side of one connection.

    Parameters
    ----------
    version
        5 or 4, once the CONNECT has been read.
    """

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self.version = 0

    def send(self, data: bytes) -> None:
        self._writer.write(data)

    async def packet(self, within_s: float = 10.0) -> tuple[int, int, bytes]:
        """Return type, flags and body of the next packet; type 0 is the end of the connection."""
        try:
            async with asyncio.timeout(within_s):
                (first,) = await self._reader.readexactly(1)
                size = shift = 0
                while True:
                    (digit,) = await self._reader.readexactly(1)
                    size |= (digit & 0x7F) << shift
                    shift += 7
                    if digit < 0x80:
                        break
                return first >> 4, first & 15, await self._reader.readexactly(size)
        except (asyncio.IncompleteReadError, ConnectionError):
            return 0, 0, b""

    async def silent(self, for_s: float) -> bool:
        try:
            await self.packet(for_s)
        except TimeoutError:
            return True
        return False

    async def connect(self) -> bytes:
        """Read the CONNECT and return it whole."""
        kind, _, body = await self.packet()
        assert kind == CONNECT, kind
        self.version = body[6]
        return body

    def accept(
        self, *, present: bool = False, properties: bytes = b"", more: bytes = b"", code: int = 0
    ) -> None:
        """Send a CONNACK, and more in the same write."""
        body = bytes((present, code))
        if self.version == 5:
            body += bytes((len(properties),)) + properties
        self.send(packet(0x20, body) + more)

    async def accepted(self, **answer: Any) -> None:
        """Read the CONNECT, accept it, and grant the subscription that follows."""
        await self.connect()
        self.accept(**answer)
        await self.granted()

    async def granted(self) -> None:
        kind, _, body = await self.packet()
        assert kind == SUBSCRIBE, kind
        self.grant(body)

    def grant(self, subscribe: bytes) -> None:
        self.send(packet(0x90, subscribe[:2] + (b"\0\1" if self.version == 5 else b"\1")))

    def message(
        self, topic: str, payload: bytes, qos: int = 1, number: int = 1, flags: int = 0
    ) -> bytes:
        body = len(topic.encode()).to_bytes(2, "big") + topic.encode()
        if qos:
            body += number.to_bytes(2, "big")
        body += b"\0" if self.version == 5 else b""
        return packet(0x30 | qos << 1 | flags, body + payload)

    async def published(self) -> tuple[str, bytes, int, int]:
        """Return topic, payload, packet id and flags of the next packet, a PUBLISH."""
        kind, flags, body = await self.packet()
        assert kind == PUBLISH, kind
        return self.opened(flags, body)

    def opened(self, flags: int, body: bytes) -> tuple[str, bytes, int, int]:
        at = 2 + int.from_bytes(body[:2], "big")
        topic, number = body[2:at].decode(), 0
        if flags >> 1 & 3:
            number = int.from_bytes(body[at : at + 2], "big")
            at += 2
        if self.version == 5:
            at += 1 + body[at]  # fewer than 128 bytes of properties
        return topic, body[at:], number, flags

    def confirm(self, number: int, reason: int | None = None) -> None:
        code = b"" if reason is None else bytes((reason,))
        self.send(packet(0x40, number.to_bytes(2, "big") + code))

    async def serve(self) -> None:
        """Confirm everything until the connection ends."""
        while True:
            kind, flags, body = await self.packet(60.0)
            if kind == 0:
                return
            if kind == PUBLISH:
                self.confirm(self.opened(flags, body)[2])
            elif kind == PINGREQ:
                self.send(PINGRESP)

    def close(self) -> None:
        self._writer.close()

    def cut(self) -> None:
        """End the connection as a crash does."""
        transport = self._writer.transport
        transport.abort()


class ScriptedBroker:
    """Runs a script for each connection, the last one for all that follow."""

    def __init__(self, *scripts: Script) -> None:
        self._scripts = scripts
        self.connections = 0
        self.failures: list[BaseException] = []
        self._tasks: set[asyncio.Task[None]] = set()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        script = self._scripts[min(self.connections, len(self._scripts) - 1)]
        self.connections += 1
        wire = Wire(reader, writer)
        try:
            await script(wire)
        except asyncio.CancelledError:
            pass  # the test is over
        except (ConnectionError, AssertionError, TimeoutError) as failure:
            self.failures.append(failure)
        finally:
            self._tasks.discard(task)
            wire.close()

    @contextlib.asynccontextmanager
    async def running(self, **settings: Any) -> AsyncIterator[MqttSettings]:
        """Listen, and yield how to connect; no script may have failed in the end."""
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        given = {"client_id": "x", "version": 5, "longest_backoff_s": 0.2, **settings}
        try:
            yield MqttSettings("127.0.0.1", port, **given)
        finally:
            server.close()
            for task in tuple(self._tasks):
                task.cancel()
            if self._tasks:
                await asyncio.wait(self._tasks)
            await asyncio.sleep(0)
        assert not self.failures
