"""A device as a process: it sets a safeguard, places an order, and says that it lives."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from pathlib import Path
from typing import Any, Self

from gateway_market import client, order

from gateway.transport.mqtt_client import MqttSettings

ROOT = Path(__file__).parents[3]


class GuardedDevice:
    """The process of a device of ``p0``, which is killed or stopped by the test."""

    def __init__(self, area: str, port: int, **safeguard: Any) -> None:
        self._command = [sys.executable, __file__, area, f"mqtt://127.0.0.1:{port}"]
        self._command.append(json.dumps(safeguard))
        self._process: asyncio.subprocess.Process | None = None
        self.session = ""

    async def __aenter__(self) -> Self:
        path = os.pathsep.join([str(ROOT), str(Path(__file__).parent)])
        self._process = await asyncio.create_subprocess_exec(
            *self._command,
            stdout=asyncio.subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": path},
        )
        assert self._process.stdout is not None
        self.session = (await self._process.stdout.readline()).decode().strip()
        assert self.session, "the device did not start"
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.kill()

    async def kill(self) -> None:
        assert self._process is not None
        if self._process.returncode is None:
            self._process.kill()
            await self._process.wait()

    def stop(self) -> None:
        """Let it stand still; its connection stays."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)


async def _live(area: str, mqtt_url: str, safeguard: str) -> None:
    settings = MqttSettings.from_url(mqtt_url, f"{area}-p0-device")
    async with client(settings, area, "p0", safeguard=json.loads(safeguard)) as device:
        await device.ask(order("a", 0, "sell", 1000, "0.0450"), again_after_s=0.5)
        print(device.session, flush=True)
        while True:
            await asyncio.sleep(0.1)
            device.send({"type": "alive", "session": device.session})


if __name__ == "__main__":
    asyncio.run(_live(*sys.argv[1:]))
