"""The bounds of the checker and of the package over one box, against the power flow.

Symmetric boxes are among those tried: at their centre the gradient of a current, and the current
itself, are exactly zero.
"""

from __future__ import annotations

import functools
import importlib.util
import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pandapower as pp
import pytest
from presence import there
from proof_areas import Area, of_network
from sampling import some

from security_check.errors import PowerFlowError
from security_check.importers.pandapower_balanced import network_from_pandapower
from security_check.operating_range.conditions import OperatingConditions
from security_check.uncertainty.deviations import Deviations
from security_check.verification.gradient_signs import RowKinds
from security_check.verification.monotonicity import row_kinds
from security_check.verification.proof_document import described_network
from security_check.verification.row_curvature import Quantities, curvature_over, values_over
from security_check.verification.solution_boxes import ProofModel, enclose_boxes

CHECKER = Path(__file__).resolve().parents[3] / "tools" / "check_certificate.py"
POWERS = (
    "interface_injection",
    "interface_withdrawal",
    "interface_reactive_max",
    "interface_reactive_min",
)


@functools.cache
def checker() -> Any:
    spec = there(importlib.util.spec_from_file_location("check_certificate", CHECKER))
    module = importlib.util.module_from_spec(spec)
    there(spec.loader).exec_module(module)
    return module


def plain_area(rng: np.random.Generator) -> Area:
    """Return customers without passive powers or shunts, so that no current flows without them."""
    net = pp.create_empty_network(sn_mva=1.0)
    buses = pp.create_buses(net, int(rng.integers(2, 5)), 10.0)
    pp.create_ext_grid(net, buses[0])
    for k, bus in enumerate(buses[1:], start=1):
        r, x = rng.choice([0.0625, 0.390625, 2.5, 7.0], 2) * rng.choice(
            np.array([[1e-6, 1], [1, 1e-6], [1, 1]])
        )
        parent = buses[int(rng.integers(0, k))]
        pp.create_line_from_parameters(net, parent, bus, 1.0, r, x, c_nf_per_km=0.0, max_i_ka=0.1)
        for _ in range(int(rng.integers(1, 3))):
            pp.create_load(net, bus, p_mw=0.0)
    factor = float(rng.choice([1.0, 1.0, 0.9, 0.6]))
    return of_network(network_from_pandapower(net, power_factor=factor))


def degenerate_box(where: Area, rng: np.random.Generator) -> tuple[np.ndarray, OperatingConditions]:
    """Return limits, most of them the same both ways and some zero, and a band, often a point."""
    count = len(where.network.connection_points)
    size = 10.0 ** rng.uniform(4.0, 6.8)
    up = size * rng.choice([0.0, 1.0, 1.0, rng.random()], count)
    down = up if rng.random() < 0.7 else size * rng.random(count)
    middle, width = rng.choice([1.0, 1.02]), rng.choice([0.0, 0.0, 1e-4, 0.03])
    corners = np.repeat(np.array([middle - width, middle + width])[:, None], where.network.held, 1)
    passive = where.network.ports.passive_power_pu
    none = Deviations.none(len(passive))
    return where.box(up, down), OperatingConditions(where.network, corners, passive, none)


def points_of(model: ProofModel, rng: np.random.Generator) -> np.ndarray:
    """Return all vertices, points along the middle of each side, and others; (B, n)."""
    ends = np.array(list(itertools.product([0.0, 0.5, 1.0], repeat=len(model.low))))
    share = np.vstack([ends, rng.random((50, len(model.low)))])
    return model.low + share * (model.high - model.low)


def bounds_of_checker(where: Area, model: ProofModel, band: tuple[float, float]) -> np.ndarray:
    """Return the checker's bounds of F over the whole box; infinite where it has none."""
    check, network = checker(), where.network
    buses, ends = network.voltages.elements, network.terminals.elements
    wanted = [
        *(("voltage_max", bus, 9.0) for bus in buses),
        *(("voltage_min", bus, -1e-6) for bus in buses),
        *(("current", end, 1e6) for end in ends),
        *((kind, "interface", 1e6) for kind in POWERS),
    ]
    rows = [
        {"element": element, "kind": kind, "limit": limit, "standing": "proved"}
        | {"worst": None, "value": 0.0, "bound": limit}
        for kind, element, limit in wanted
    ]
    document, digest = described_network(network, model)
    points = list(network.connection_points)
    part = check.Part("", points, document, digest, list(band), rows, [], [])
    watts = np.round(np.abs([model.high, model.low]) * network.base_power_w)[:, : len(points)]
    given = {
        p: check.Envelope(int(up), int(down)) for p, up, down in zip(points, *watts, strict=True)
    }
    flow, _, _, goals = check.read(part, given)
    box = check.Box(flow, model.low, model.high, lambda x: flow.W @ x)
    assert box.closed
    return np.array([box.bound(goal).largest for goal in goals.values()])


def quantities(kinds: RowKinds) -> Quantities:
    return Quantities(kinds.phasor, kinds.sense, kinds.power, kinds.carried)


def assert_never_below(seed: int) -> int:
    """Assert that no point exceeds a bound; return how many currents are exactly zero."""
    rng = np.random.default_rng(seed)
    where = plain_area(rng)
    u, conditions = degenerate_box(where, rng)
    model = ProofModel.of(where.model, conditions, u)
    boxes = enclose_boxes(
        model,
        model.low[None],
        model.high[None],
        (model.profile @ (0.5 * (model.low + model.high)))[None],
    )
    if not boxes.closed[0]:
        return 0
    count = len(where.network.voltages.elements)
    ends = len(where.network.terminals.elements)
    rows = np.r_[np.arange(2 * count + ends), 2 * (count + ends) + np.arange(len(POWERS))]
    x = points_of(model, rng)
    try:
        found = where.values(x[:, :-1].T, x[:, -1])[rows].max(axis=1)
    except PowerFlowError:
        return 0
    asked = quantities(row_kinds(where.model).take(rows))
    largest = asked.level(found)
    slack = 1e-9 * (1.0 + np.abs(largest))
    own = bounds_of_checker(where, model, conditions.band)
    assert (own >= largest - slack).all(), (seed, rows[own < largest - slack])
    at = values_over(model, boxes, asked)
    both = curvature_over(model, boxes, asked, at)
    for bound in (at.bound[0], both.bound[0]):
        assert (bound >= largest - slack).all(), (seed, rows[bound < largest - slack])
    return int((at.phasor[0] == 0.0).sum())


@pytest.mark.parametrize("start", range(0, 200, 50))
def test_no_point_exceeds_a_bound_over_a_box(start):
    zero = sum(assert_never_below(seed) for seed in range(start, start + 50))
    assert zero > 20, "few boxes have a current that is exactly zero at their centre"


@pytest.mark.slow
@pytest.mark.parametrize("start", some(range(1_000, 5_000, 100), 20))
def test_no_point_exceeds_a_bound_over_a_box_at_length(start):
    for seed in range(start, start + 100):
        assert_never_below(seed)
