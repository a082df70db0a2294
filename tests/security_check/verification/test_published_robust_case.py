"""A published 12-bus robust case: its margins and its activation, with exact AC power flow.

The impedances are not published; those in the file were fitted to the study's tables, which they
meet to 0.1 %.  Two things differ by nature.  The study takes its margin linearly, at the voltages
of the base case, and bounds the current by 32 planes inside the circle of the rating, which makes
117 A in effect ``117 cos(pi / 32) = 116.44`` A; here both are exact.
"""

from __future__ import annotations

import functools
import json

import numpy as np
import pandapower as pp
import pytest
from presence import there

from gateway.formats.input_files import bundled
from security_check.importers.pandapower_balanced import network_from_pandapower
from security_check.model.limits import InterfaceLimits, VoltageLimits
from security_check.model.network import Network
from security_check.monitoring.monitors import Monitors
from security_check.monitoring.row_kinds import RowKind
from security_check.operating_range.conditions import OperatingConditions
from security_check.power_flow.implicit_zbus import PowerFlow
from security_check.uncertainty.deviation_sets import BoxSet, BudgetSet
from security_check.uncertainty.forecast import Uncertainty
from security_check.worst_case.robust_rows import RobustRows
from security_check.worst_case.row_problem import RowProblem

CASE = json.loads(bundled("flexibility/feeder-12bus.json").read_text(encoding="utf-8"))
PUBLISHED = CASE["published"]
FITTED = 1.5e-3  # what the fit of the impedances allows, relative
SQRT3 = np.sqrt(3.0)


@functools.cache
def network() -> Network:
    """Return the feeder with its loads as given, and a connection point at bus 6."""
    kv = CASE["base_voltage_v_line_to_line"] / 1e3
    net = pp.create_empty_network(sn_mva=1.0)
    for bus in range(1, 13):
        pp.create_bus(net, kv, index=bus)
    pp.create_ext_grid(net, CASE["slack_bus"], vm_pu=CASE["slack_voltage_pu"])
    for branch in CASE["branches"]:
        pp.create_line_from_parameters(
            net,
            branch["from"],
            branch["to"],
            length_km=1.0,
            r_ohm_per_km=branch["r_ohm"],
            x_ohm_per_km=branch["x_ohm"],
            c_nf_per_km=branch["b_s"] / (2 * np.pi * 50.0) * 1e9,
            max_i_ka=CASE["current_limit_a"].get(branch["id"], 500.0) / 1e3,
        )
    for pod in CASE["pods"]:
        pp.create_load(net, pod["bus"], p_mw=pod["p_kw"] / 1e3, q_mvar=pod["q_kvar"] / 1e3)
    pp.create_sgen(net, 6, p_mw=0.0)
    six = next(pod for pod in CASE["pods"] if pod["bus"] == 6)
    factor = six["p_kw"] / np.hypot(six["p_kw"], six["q_kvar"])
    return network_from_pandapower(
        net, connection_points="sgen", passive="as-given", power_factor=factor
    )


def robust(case: str, gamma: float | None = None) -> RobustRows:
    """Return the rows under the uncertainty of a case: P and Q of every load at once."""
    parts = CASE["cases"][case]
    band = np.array(
        [
            parts["flexible_percent" if pod["flexible"] else "inflexible_percent"] / 100.0
            for pod in CASE["pods"]
        ]
    )
    count = len(band)
    chosen = np.array(
        [there(network().passive).elements.index(f"load:{k}") for k in range(count)], dtype=np.int64
    )
    within = BoxSet(count) if gamma is None else BudgetSet(count, gamma)
    own_ratio = np.full(count, np.nan)
    model = Uncertainty(chosen, band, np.zeros(count), own_ratio, within)
    forecast = model.forecast(network())
    monitors = Monitors(PowerFlow(network()))
    limits = monitors.row_limits(VoltageLimits(CASE["voltage_min_pu"]), InterfaceLimits(1.0, 1.0))
    conditions = OperatingConditions(
        network(), np.array([[1.0]]), forecast.power_pu, forecast.deviations
    )
    return RobustRows(RowProblem(monitors, limits, conditions))


def worst_current_a(rows: RobustRows, line: int, activated_kw: float = 0.0) -> float:
    """Return the largest current at the sending end of a line; reductions of load inject."""
    monitors = rows.monitors
    of_line = [
        row
        for row in rows.limited
        if monitors.elements[row] == f"line:{line}"
        and monitors.sides[row] == "from"
        and monitors.kind[row] == RowKind.CURRENT_IMPORT
    ]
    u = np.array([activated_kw, 0.0]) * 1e3 / network().base_power_w
    chosen = np.array(of_line, dtype=np.int64)
    start = rows.start_points(chosen)
    start.share[:] = 1.0  # the injection limit is what is activated, no more and no less
    values, _ = rows.problem.evaluate(chosen, start, u)
    at = rows.ascent.climb(chosen, start, np.concatenate([u[:1], -u[:1]]))
    assert at.values[0] >= values[0] - 1e-12
    return float(monitors.describe(of_line[0], float(at.values[0]), rows.limits)[0])


def linear_margin_a(case: str, branch: str) -> complex:
    """Return the study's own margin: the deviations' currents at the voltages of its base case."""
    after = int(branch.split("-")[0])
    parts, total = CASE["cases"][case], 0.0 + 0.0j
    for pod in CASE["pods"]:
        if pod["bus"] > after:
            part = parts["flexible_percent" if pod["flexible"] else "inflexible_percent"] / 100.0
            volt = (
                PUBLISHED["base_voltage_pu"][pod["bus"] - 1] * CASE["base_voltage_v_line_to_line"]
            )
            total += part * (pod["p_kw"] - 1j * pod["q_kvar"]) * 1e3 / (SQRT3 * volt)
    return total


def published(case: str, branch: str) -> complex:
    return complex(*PUBLISHED["robust_current_deviation_a"][case][branch])


@pytest.mark.parametrize("branch", PUBLISHED["robust_current_deviation_a"]["1"])
@pytest.mark.parametrize("case", ["1", "2"])
def test_exact_margins_are_near_the_published_ones(case, branch):
    """Within 0.4 A: the exact ones also know that loads of constant power draw more at less."""
    rows = robust(case)
    line = next(k for k, b in enumerate(CASE["branches"]) if b["id"] == branch)
    base = complex(*PUBLISHED["base_current_a"][branch])
    expected = abs(base + published(case, branch))
    assert worst_current_a(robust(case, 0.0), line) == pytest.approx(abs(base), rel=FITTED)
    assert worst_current_a(rows, line) == pytest.approx(expected, rel=FITTED)
    assert abs(linear_margin_a(case, branch) - published(case, branch)) < FITTED * abs(base)


def test_the_first_case_needs_nothing_and_the_second_does():
    first, second = (worst_current_a(robust(case), 1) for case in ("1", "2"))
    assert first == pytest.approx(PUBLISHED["ac_power_flow_current_2_3_after_a"]["1"], abs=0.05)
    assert first < CASE["current_limit_a"]["2-3"] < second


def test_the_published_activation_is_what_its_planes_need():
    """54.268 kW at bus 6 bring the exact current to the published one, inside the planes."""
    rows = robust("2")
    after = worst_current_a(rows, 1, PUBLISHED["activated_upward_kw"]["2"]["6"])
    assert after == pytest.approx(PUBLISHED["ac_power_flow_current_2_3_after_a"]["2"], abs=0.05)
    planes = CASE["current_limit_a"]["2-3"] * np.cos(np.pi / CASE["planes"])
    needed = {limit: _activation_kw(rows, limit) for limit in (planes, 117.0)}
    assert needed[planes] == pytest.approx(54.268, abs=1.0)
    assert needed[117.0] == pytest.approx(47.5, abs=1.5)  # the circle itself needs less


def _activation_kw(rows: RobustRows, limit_a: float) -> float:
    low, high = 0.0, 150.0
    for _ in range(40):
        middle = 0.5 * (low + high)
        over = worst_current_a(rows, 1, middle) > limit_a
        low, high = (middle, high) if over else (low, middle)
    return high


def test_a_budget_asks_for_less_than_the_box():
    currents = [worst_current_a(robust("2", gamma), 1) for gamma in (0.0, 1.0, 3.0, 7.0)]
    assert sorted(currents) == currents
    assert currents[-1] == pytest.approx(worst_current_a(robust("2"), 1), rel=1e-12)
