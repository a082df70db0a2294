"""Scenario files of a small network, and what is wrong with them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandapower as pp
import pytest

from gateway.formats.faults import InputFaults
from gateway.scenario.loading import load_scenario
from gateway.scenario.scenario import Scenario

GOOD = """
[network]
source = "net.json"

[interface]
voltage_min_pu = 0.98
voltage_max_pu = 1.04

[capacity]
injection_w = 30000
withdrawal_w = 20000
"""


def small_net() -> Any:
    """Three customers behind one transformer; the first ones on one feeder."""
    net = pp.create_empty_network()
    high = pp.create_bus(net, 20.0)
    low = [pp.create_bus(net, 0.4) for _ in range(4)]
    pp.create_ext_grid(net, high)
    pp.create_transformer(net, high, low[0], "0.25 MVA 20/0.4 kV")
    for start, end in ((0, 1), (1, 2), (0, 3)):
        pp.create_line(net, low[start], low[end], 0.15, "NAYY 4x50 SE")
    for bus in low[1:]:
        pp.create_load(net, bus, 0.002)
    return net


def load(folder: Path, text: str) -> Scenario:
    path = folder / "village.toml"
    path.write_text(text)
    return load_scenario(path)


def faults_of(folder: Path, text: str) -> dict[str, list[str]]:
    with pytest.raises(InputFaults) as caught:
        load(folder, text)
    found: dict[str, list[str]] = {}
    for fault in caught.value.faults:
        found.setdefault(fault.element, []).append(fault.detail)
    return found
