"""A real day: 118 customers beside simbench's generators, whose forecasts widen by the hour."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from gateway.formats.envelope_file import envelope_set
from gateway.runs.allocation import allocate_intervals
from gateway.scenario.loading import load_scenario

DAY = """
[network]
source = "simbench:1-LV-rural3--0-sw"
passive = "as-given"
[limits]
voltage_min_pu = 0.95
voltage_max_pu = 1.05
[interface]
voltage_min_pu = 0.99
voltage_max_pu = 1.03
[capacity]
injection_w = 15000
withdrawal_w = 15000
[uncertainty]
relative = 0.1
relative_per_hour = 0.01
relative_at_most = 0.4
[profiles]
powers = "simbench"
[intervals]
start = 2016-06-06T00:00:00Z
count = 96
"""


@pytest.mark.slow
def test_a_day_is_secure_and_no_interval_depends_on_the_one_before(tmp_path: Path) -> None:
    path = tmp_path / "day.toml"
    path.write_text(DAY)
    scenario = load_scenario(path)
    points = scenario.network.connection_points
    day = [record for record, _ in allocate_intervals(scenario, lambda _: None)]
    assert [record.start for record in day] == [each.start for each in scenario.intervals]
    rng = np.random.default_rng(7)
    smallest_w = [min(each.injection_limit_w for each in record.envelopes) for record in day]
    for k in range(0, 96, 16):
        envelopes, faults = envelope_set(day[k], points)
        assert envelopes is not None, faults
        limits = scenario.intervals[k].interface_limits
        limits_w = np.concatenate([envelopes.injection_w, envelopes.withdrawal_w])
        alone = scenario.grid_in(k)
        np.testing.assert_allclose(alone.allocate(limits).limits_w, limits_w, atol=1)
        assert alone.attack(limits, limits_w, rng, samples=512).violation <= 1e-6
    # What others inject at noon, customers cannot.
    assert min(smallest_w[40:52]) < 0.9 * smallest_w[0]
