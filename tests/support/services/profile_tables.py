"""Scenarios with tables of powers over time."""

from __future__ import annotations

import csv
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pandapower as pp
from scenario_files import GOOD, small_net

START = datetime(2016, 5, 2, tzinfo=UTC)

WITH_GENERATORS = GOOD.replace('source = "net.json"', 'source = "net.json"\npassive = "as-given"')

DAY = """
[intervals]
start = 2016-05-02T00:00:00Z
count = {count}
"""

POWERS_W = '\n[profiles]\npowers = "powers.csv"\nunit = "w"\n'


def net_with_generators() -> Any:
    net = small_net()
    for bus, p_mw, q_mvar in ((2, 0.010, 0.0), (3, 0.020, 0.005), (4, 0.005, 0.0)):
        pp.create_sgen(net, bus, p_mw, q_mvar)
    pp.create_storage(net, 3, p_mw=0.004, max_e_mwh=1.0)
    return net


def time_of(interval: int) -> str:
    return f"{START + timedelta(minutes=15 * interval):%Y-%m-%dT%H:%M:%SZ}"


def write_table(path: Path, columns: dict[str, list[Any]]) -> None:
    count = len(next(iter(columns.values())))
    with path.open("w", newline="") as stream:
        rows = csv.writer(stream)
        rows.writerow(["start", *columns])
        rows.writerows(
            [time_of(k), *(column[k] for column in columns.values())] for k in range(count)
        )


def scenario_text(count: int, more: str) -> str:
    return WITH_GENERATORS + DAY.format(count=count) + more
