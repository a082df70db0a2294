"""A link to a broker on which what is sent may be withheld, and then lost with the connection."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import replace
from typing import Self

from gateway.transport.mqtt_client import MqttSettings


class WithheldLink:
    """Passes bytes between an MQTT client and its broker.

    While it withholds, nothing of the client reaches the broker: neither its messages nor its
    acknowledgements.  ``withhold_answers`` holds back the other way.  ``cut`` loses what was
    withheld and breaks the connection; the client may connect again, and everything passes, unless
    the link is ``away`` until it comes ``back``.
    """

    def __init__(self, broker: MqttSettings) -> None:
        self._broker = broker
        self._server: asyncio.Server | None = None
        self._passes = asyncio.Event()
        self._passes.set()
        self._answers_pass = asyncio.Event()
        self._answers_pass.set()
        self._is_away = False
        self._connections: dict[asyncio.Task[None], asyncio.StreamWriter] = {}

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._connect, "127.0.0.1", 0)
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        assert self._server is not None
        self._server.close()
        await self.cut()

    @property
    def settings(self) -> MqttSettings:
        """How to reach the broker over this link."""
        assert self._server is not None
        return replace(self._broker, port=self._server.sockets[0].getsockname()[1])

    def withhold(self) -> None:
        self._passes.clear()

    def withhold_answers(self) -> None:
        self._answers_pass.clear()

    async def away(self) -> None:
        self._is_away = True
        await self.cut()

    def back(self) -> None:
        self._is_away = False

    async def cut(self) -> None:
        connections = dict(self._connections)
        for connection, writer in connections.items():
            connection.cancel()
            writer.transport.abort()  # it may not have begun yet
        if connections:
            await asyncio.wait(connections)
        self._passes.set()
        self._answers_pass.set()

    async def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._is_away:
            writer.transport.abort()
            return
        passing = asyncio.create_task(self._pass_both(reader, writer))
        self._connections[passing] = writer
        passing.add_done_callback(lambda done: self._connections.pop(done, None))

    async def _pass_both(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        ways: list[asyncio.Task[None]] = []
        writers = [writer]
        try:
            broker = await asyncio.open_connection(self._broker.host, self._broker.port)
            writers.append(broker[1])
            ways = [
                asyncio.create_task(self._pass(reader, broker[1], self._passes)),
                asyncio.create_task(self._pass(broker[0], writer, self._answers_pass)),
            ]
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            for each in writers:
                each.transport.abort()

    async def _pass(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, passes: asyncio.Event
    ) -> None:
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(65_536):
                await passes.wait()
                writer.write(data)
                await writer.drain()
