"""``doe-exchange serve --standby`` as processes that are killed and stopped, and their health."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from gateway_servers import free_port
from running_exchange import PROGRAM

_LONGEST_S = 60.0
ROOT = Path(__file__).resolve().parents[3]


class Program:
    """One such process; :meth:`start` starts it again after it was killed.

    Its log is the file ``DATA.log`` beside its folder of data.
    """

    def __init__(
        self, scenarios: Sequence[Path], data: Path, environment: dict[str, str], *options: str
    ) -> None:
        self._scenarios, self._data, self._options = scenarios, data, options
        self._environment = environment | {"PYTHONPATH": str(ROOT)}
        self.start()

    def start(self) -> None:
        self.port = free_port()
        options = ("--standby", "--data", str(self._data), "--metrics-port", str(self.port))
        with self._data.with_suffix(".log").open("ab") as log:
            self.process = subprocess.Popen(
                [PROGRAM, "serve", *map(str, self._scenarios), *options, *self._options],
                stdout=subprocess.DEVNULL,
                stderr=log,
                cwd=self._data.parent,
                env=os.environ | self._environment,
            )

    def health(self) -> dict[str, Any]:
        """Return what its health page says; nothing where it does not answer."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/health", timeout=2) as page:
                found: dict[str, Any] = json.loads(page.read())
        except urllib.error.HTTPError as error:
            found = json.loads(error.read())
        except OSError:
            return {}
        return found

    def areas(self, name: str = "serves") -> set[str]:
        """Return the areas of which its health says something, by default that it serves them."""
        return {area for area, each in self.health().get("areas", {}).items() if each.get(name)}

    def wait_until_there(self) -> None:
        """Wait until it serves or follows an area."""
        deadline = time.monotonic() + _LONGEST_S
        while not self.is_there():
            assert time.monotonic() < deadline, f"it neither serves nor follows: {self.log()}"
            assert self.process.poll() is None, f"it has ended: {self.log()[-2000:]}"
            time.sleep(0.02)

    def is_there(self) -> bool:
        """Whether it serves or follows an area."""
        found = self.health().get("areas", {}).values()
        return any(each["serves"] or each.get("standby_at_entry") is not None for each in found)

    def log(self) -> str:
        return self._data.with_suffix(".log").read_text()

    async def serves(self) -> bool:
        """Whether it serves an area."""
        return bool(await asyncio.to_thread(self.areas))

    def pause(self) -> None:
        """Let it stand still."""
        self.process.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        self.process.send_signal(signal.SIGCONT)

    def end(self) -> None:
        """End it at once, where it has not ended."""
        self.go_on()
        self.process.kill()
        self.process.wait()

    def finish(self) -> int:
        """Let it end gracefully; return its exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(30)
