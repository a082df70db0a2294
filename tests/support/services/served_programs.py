"""``doe-exchange serve --standby`` as processes that are killed and stopped, and their health."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

from gateway_servers import free_port

PROGRAM = str(Path(sys.executable).with_name("doe-exchange"))
_LONGEST_S = 60.0
ROOT = Path(__file__).resolve().parents[3]


class Program:
    """One such process; :meth:`start` starts it again after it was killed."""

    def __init__(self, scenario: Path, name: str, environment: dict[str, str]) -> None:
        self._scenario, self._name = scenario, name
        self._environment = environment | {"PYTHONPATH": str(ROOT)}
        self.start()

    def start(self) -> None:
        self.port = free_port()
        options = ("--standby", "--data", str(self._scenario.parent / self._name))
        with (self._scenario.parent / f"{self._name}.log").open("ab") as log:
            self.process = subprocess.Popen(
                [
                    *(PROGRAM, "serve", str(self._scenario)),
                    *("--metrics-port", str(self.port), *options),
                ],
                stdout=subprocess.DEVNULL,
                stderr=log,
                cwd=self._scenario.parent,
                env=os.environ | self._environment,
            )

    def health(self) -> dict[str, Any]:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/health", timeout=2) as page:
                found: dict[str, Any] = json.loads(page.read())
        except urllib.error.HTTPError as error:
            found = json.loads(error.read())
        except OSError:
            return {}
        return found

    def wait_until_there(self) -> None:
        """Wait until it serves or stands by."""
        deadline = time.monotonic() + _LONGEST_S
        while not self.is_there():
            assert time.monotonic() < deadline, f"{self._name} neither serves nor stands by"
            assert self.process.poll() is None, f"{self._name} has ended: {self.log()[-2000:]}"
            time.sleep(0.02)

    def is_there(self) -> bool:
        """Whether it serves or stands by."""
        found = self.health()
        return bool(found.get("serves")) or found.get("standby_at_entry") is not None

    def log(self) -> str:
        return (self._scenario.parent / f"{self._name}.log").read_text()

    async def serves(self) -> bool:
        return bool((await asyncio.to_thread(self.health)).get("serves"))

    def stop(self) -> None:
        self.process.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        self.process.send_signal(signal.SIGCONT)

    def end(self) -> None:
        self.go_on()
        self.process.kill()
        self.process.wait()

    def finish(self) -> int:
        """Let it end gracefully; return its exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(30)
