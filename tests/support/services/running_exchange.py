"""``doe-exchange serve`` as a program of its own, with everything embedded."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

SCENARIO = """
area = "north"
[network]
source = "pandapower:simple_four_bus_system"
[interface]
voltage_min_pu = 0.98
voltage_max_pu = 1.04
[capacity]
injection_w = 20000
withdrawal_w = 20000
[participants]
bakery = ["load:1"]
mill = ["load:0"]
"""
PROGRAM = str(Path(sys.executable).with_name("doe-exchange"))


@contextmanager
def running_exchange(folder: Path, *options: str) -> Iterator[dict[str, Any]]:
    """Serve the village above."""
    scenario = folder / "village.toml"
    scenario.write_text(SCENARIO)
    with served(scenario, *options, environment={"COLUMNS": "200"}) as where:
        yield where


@contextmanager
def served(
    scenario: Path, *options: str, environment: dict[str, str] | None = None
) -> Iterator[dict[str, Any]]:
    """Run the program until it says where it is; stop it by its process id in the end."""
    process = subprocess.Popen(
        [PROGRAM, "serve", str(scenario), "--json", *options],
        stdout=subprocess.PIPE,
        text=True,
        cwd=scenario.parent,
        env=os.environ | (environment or {}),
    )
    assert process.stdout is not None
    try:
        lines = ""
        while not lines.endswith("}\n"):
            line = process.stdout.readline()
            assert line, "the program ended before it served"
            lines += line
        yield json.loads(lines)
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=20)
        process.stdout.close()
    assert process.returncode == 0
