"""The comparison of rules marks those by which an interval cannot be secured, as ``allocate`` does.

Whether it can be secured is the finding of ``allocate`` on the same interval by the same rule,
which ``test_partial_days`` compares with pandapower.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandapower as pp
import pytest
from command_line import run
from profile_tables import time_of
from scenario_files import GOOD, small_net

from doe_allocation.allocation.network_grid import NetworkGrid
from security_check.errors import InsecureError, Violation

RULES = 10
FIGURES = (
    "minimum_w",
    "injection_sum_w",
    "withdrawal_sum_w",
    "sum_w",
    "jain",
    "price_of_fairness",
    "worst_loading",
)


def a_day(folder: Path, bands: list[tuple[float, float]], fallback_w: int = 1_000) -> Path:
    """Write a day of an interval for each band at the interface; return the scenario."""
    pp.to_json(small_net(), str(folder / "net.json"))
    rows = [f"{time_of(k)},{low},{high}\n" for k, (low, high) in enumerate(bands)]
    (folder / "limits.csv").write_text("start,voltage_min_pu,voltage_max_pu\n" + "".join(rows))
    fallbacks = f"fallback_injection_w = {fallback_w}\nfallback_withdrawal_w = {fallback_w}\n"
    intervals = (
        "\n[intervals]\nstart = 2016-05-02T00:00:00Z\n"
        f'count = {len(bands)}\nlimits_file = "limits.csv"\n'
    )
    path = folder / "day.toml"
    path.write_text(GOOD + fallbacks + intervals)
    return path


def compared(path: Path, interval: int, code: int) -> tuple[list[dict[str, Any]], str]:
    result = run("fairness", path, "--interval", interval, "--json")
    assert result.exit_code == code, result.stderr
    return json.loads(result.stdout)["rules"], result.stderr


def test_an_interval_that_no_rule_can_secure_is_marked_as_allocate_marks_it(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    bands = [(0.98, 1.02), (0.98, round(float(rng.uniform(1.11, 1.2)), 4))]
    path = a_day(tmp_path, bands)
    assert run("allocate", path, "-o", tmp_path / "r.json").exit_code == 1
    good, bad = json.loads((tmp_path / "r.json").read_text())["intervals"]
    assert (good["status"], bad["status"]) == ("secure", "none")

    rules, told = compared(path, 1, 0)
    assert "alarm" not in told
    assert len(rules) == RULES
    for each in rules:
        assert (each["status"], each["reason"], each["violations"]) == ("secure", "", [])
        assert all(each[name] is not None for name in FIGURES)
    (own,) = [each for each in rules if each["in_force"]]
    limits_w = [
        each[f"{direction}_limit_w"]
        for each in good["envelopes"]
        for direction in ("injection", "withdrawal")
    ]
    assert (own["minimum_w"], own["sum_w"]) == (min(limits_w), sum(limits_w))
    assert own["fairness"] == good["fairness"]

    rules, told = compared(path, 2, 1)
    assert len(rules) == RULES
    for each in rules:
        assert each["status"] == "none"
        assert each["reason"] == bad["reason"]
        assert each["violations"] == bad["violations"]
        assert not each["secure"]
        assert [each[name] for name in FIGURES] == [None] * len(FIGURES)
    assert "alarm:" in told
    assert "1 interval could not be secured" in told
    assert told.count(f"interval {time_of(1)}: nothing is published: bus:3") == 1

    table = run("fairness", path, "--interval", 2)
    assert table.exit_code == 1
    assert table.stdout.count("none") == RULES


@pytest.mark.parametrize("count", [1, 3])
def test_rules_that_fail_are_named_and_the_others_keep_their_figures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, count: int
) -> None:
    path = a_day(tmp_path, [(0.98, 1.02)])
    before, _ = compared(path, 1, 0)
    allocate = NetworkGrid.allocate
    failed: list[Any] = []

    def fail_first(self: NetworkGrid, limits: Any) -> Any:
        if len(failed) < count:
            failed.append(self.fairness)
            raise InsecureError("line:1", "too full", 0.1, [Violation("line:1", 150.0, 142.0, "A")])
        return allocate(self, limits)

    monkeypatch.setattr(NetworkGrid, "allocate", fail_first)
    rules, told = compared(path, 1, 1)
    for each, old in zip(rules[count:], before[count:], strict=True):
        assert each == old
    for each in rules[:count]:
        assert (each["status"], each["reason"]) == ("fallback", "line:1: too full")
        assert [found["element"] for found in each["violations"]] == ["line:1"]
        assert (each["minimum_w"], each["sum_w"]) == (1_000, 6_000)
        assert each["secure"]
    titles = ["max min", "max min (over widths)", "equal"][:count]
    assert f"by {', '.join(titles)}: the fallback envelopes, which are secure" in told
    assert "1 interval could not be secured" in told
