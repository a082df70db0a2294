"""All levels as one AC model: the adversary against every corner, and pandapower's own tools."""

from __future__ import annotations

import itertools
from dataclasses import replace
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pandapower as pp
import pytest
from hierarchy_cases import FILE, low_net, middle_net, top_net, write
from rich.console import Console

from doe_allocation.hierarchy.allocation import HierarchyAllocation
from doe_allocation.hierarchy.joint_model.attack import CustomerFreedom
from doe_allocation.hierarchy.joint_model.check import check_joint_model
from doe_allocation.hierarchy.joint_model.members import Hierarchy
from doe_allocation.hierarchy.joint_model.newton import JointPowerFlow, settings
from doe_allocation.hierarchy.joint_model.pandapower_net import JointNet, joint_net
from doe_allocation.hierarchy.joint_model.quantities import (
    ACTIVE,
    BAND,
    CURRENT,
    GENERATION,
    KINDS,
    REACTIVE,
    VOLTAGE,
    Quantities,
)
from gateway.hierarchy.loading import hierarchy_path, load_hierarchy
from gateway.hierarchy.result_file import hierarchy_result
from gateway.terminal.hierarchy import show_hierarchy
from security_check.model.envelope import EnvelopeSet

VARIANTS = {
    "as it is": FILE,
    "cones": FILE.replace(
        'power_factor = { default = 1.0, "load:0" = 0.97 }',
        'cone_power_factor = { default = 1.0, "load:0" = 0.99 }',
    ),
    "thin": FILE.replace("voltage_max_pu = 1.05", "voltage_max_pu = 1.032"),
}


@cache
def small(variant: str = "as it is") -> tuple[Hierarchy, HierarchyAllocation]:
    with TemporaryDirectory() as folder:
        hierarchy = load_hierarchy(write(Path(folder), VARIANTS[variant]))
    allocation = hierarchy.allocate()
    assert not allocation.unmet
    return hierarchy, allocation


def quantities_of(
    joined: JointNet, allocation: HierarchyAllocation, outage: str = ""
) -> tuple[JointPowerFlow, Quantities]:
    flow = JointPowerFlow(joined, outage)
    contracts = {name: result.contract for name, result in allocation.results.items()}
    return flow, Quantities(flow, contracts)


@pytest.mark.parametrize("outage", ["", "line:0"])
def test_the_power_flow_is_pandapowers(outage: str) -> None:
    hierarchy, allocation = small()
    joined = joint_net(hierarchy)
    flow, quantities = quantities_of(joined, allocation, outage)
    free = CustomerFreedom.of(joined, allocation, flow.base_w)
    rng = np.random.default_rng(5)
    net = flow.net
    for source in (1.0, 1.03):
        power = np.where(rng.random(len(free.upper)) < 0.5, free.upper, free.lower) * (1 + 0.3j)
        state = flow.solve(power, source)
        values = quantities.values(state, power)
        rows = [row for _, _, row in joined.customers()]
        net.load.loc[rows, "p_mw"] = -power.real * flow.base_w / 1e6
        net.load.loc[rows, "q_mvar"] = -power.imag * flow.base_w / 1e6
        net.ext_grid["vm_pu"] = source
        pp.runpp(net, **settings(joined))
        reported = dict(
            zip([(w.operator, w.element) for w in quantities.items], values, strict=True)
        )
        scale = flow.base_w / 1e6
        at = joined.index
        assert reported["middle", "bus:10"] == pytest.approx(net.res_bus.vm_pu[at("middle", 10)])
        assert reported["left", "load:1"] * scale == pytest.approx(
            -net.res_trafo.q_hv_mvar[at("left", 0)], abs=1e-7
        )
        assert reported["top", "gen:0"] * scale == pytest.approx(net.res_gen.p_mw[0], abs=1e-6)
        assert reported["top", "gen:0 reactive"] * scale == pytest.approx(
            net.res_gen.q_mvar[0], abs=1e-6
        )
        # Of the powers at interfaces the last with a name is reactive; the active ones come before.
        active = {
            w.operator: v for w, v in zip(quantities.items, values, strict=True) if w.kind == ACTIVE
        }
        for child in ("left", "right", "middle"):
            flows = -net.res_trafo.p_hv_mw[at(child, 0)]
            assert active[child] * scale == pytest.approx(flows, abs=1e-7)
        line = values[
            [w.element == "line:0 from" and w.operator == "left" for w in quantities.items]
        ]
        assert line[0] * _amperes(quantities, "left", "line:0 from") == pytest.approx(
            1e3 * net.res_line.i_from_ka[at("left", 0)]
        )


def test_each_network_alone_says_the_same_at_the_voltage_of_its_interface() -> None:
    hierarchy, allocation = small()
    joined = joint_net(hierarchy)
    flow, quantities = quantities_of(joined, allocation)
    free = CustomerFreedom.of(joined, allocation, flow.base_w)
    power = np.where(np.arange(len(free.upper)) % 2, free.upper, free.lower) * (1 + 0.2j)
    state = flow.solve(power, 1.01)
    values = quantities.values(state, power)
    reported = {
        (w.operator, w.kind): v * flow.base_w / 1e6
        for w, v in zip(quantities.items, values, strict=True)
        if w.kind in (ACTIVE, REACTIVE)
    }
    drawn = {
        (member.name, member.network.connection_points[place]): -own * flow.base_w / 1e6
        for (member, place, _), own in zip(joined.customers(), power.tolist(), strict=True)
    }
    for name, net, children in (
        ("left", low_net(), {}),
        ("right", low_net(), {}),
        ("middle", middle_net(), {"load:1": "left", "load:2": "right"}),
        ("top", top_net(), {"load:1": "middle"}),
    ):
        if name == "right":  # its file leaves out what does not trade
            net.sgen = net.sgen.iloc[:0]
        for k in net.load.index:
            own = drawn.get((name, f"load:{k}"))
            if own is None:
                child = children[f"load:{k}"]
                own = -(reported[child, ACTIVE] + 1j * reported[child, REACTIVE])
            net.load.loc[k, ["p_mw", "q_mvar"]] = own.real, own.imag
        interface = int(net.ext_grid.bus.iloc[0])
        at = flow.node_of[[joined.index(name, bus) for bus in net.bus.index]]
        size = np.abs(state.voltage[at])
        net.ext_grid["vm_pu"] = size[list(net.bus.index).index(interface)]
        pp.runpp(net, **{**settings(joined), "distributed_slack": name == "top"})
        np.testing.assert_allclose(net.res_bus.vm_pu, size, atol=1e-9)
        if name != "top":
            assert -net.res_ext_grid.p_mw[0] == pytest.approx(reported[name, ACTIVE], abs=1e-7)
            assert -net.res_ext_grid.q_mvar[0] == pytest.approx(reported[name, REACTIVE], abs=1e-7)


def _amperes(quantities: Quantities, operator: str, element: str) -> float:
    return next(
        w.per_unit for w in quantities.items if (w.operator, w.element) == (operator, element)
    )


def test_gradients_are_those_of_finite_differences() -> None:
    hierarchy, allocation = small()
    joined = joint_net(hierarchy)
    flow, quantities = quantities_of(joined, allocation)
    free = CustomerFreedom.of(joined, allocation, flow.base_w)
    power = 0.7 * free.upper + 0.1j * free.lower
    state = flow.solve(power, 1.02)
    every = np.arange(len(quantities.items))
    gradient = quantities.gradient(state, every)
    rng = np.random.default_rng(1)
    for _ in range(3):
        step = 1e-4 * (free.upper * rng.normal(size=len(power)) * (1 + 0.5j))
        before, after = (
            quantities.values(flow.solve(power + sign * step, 1.02), power + sign * step)
            for sign in (-1.0, 1.0)
        )
        expected = gradient.real.T @ step.real + gradient.imag.T @ step.imag
        np.testing.assert_allclose(expected, (after - before) / 2, rtol=1e-4, atol=1e-8)


@pytest.mark.slow
@pytest.mark.parametrize("variant", list(VARIANTS))
def test_no_corner_is_worse_than_what_the_adversary_finds(variant: str) -> None:
    hierarchy, allocation = small(variant)
    verdict = check_joint_model(hierarchy, allocation, np.random.default_rng(0))
    assert verdict.holds, [worst for worst in verdict.worst if not worst.holds]
    found = {(worst.operator, worst.kind): worst.excess for worst in verdict.worst}
    assert max(found.values()) > -2e-3, "nothing is near its limit"
    joined = joint_net(hierarchy)
    worst = dict.fromkeys(found, -np.inf)
    for outage in ("", "line:0"):
        flow, quantities = quantities_of(joined, allocation, outage)
        free = CustomerFreedom.of(joined, allocation, flow.base_w)
        place = [
            list(worst).index((w.operator, w.kind)) if (w.operator, w.kind) in worst else -1
            for w in quantities.items
        ]
        for signs in itertools.product((-1.0, 1.0), repeat=len(free.upper)):
            for way in (-1.0, 0.0, 1.0) if free.cone.any() else (0.0,):
                active = np.where(np.array(signs) > 0, free.upper, free.lower)
                power = active + 1j * (free.ratio * active + way * free.cone * np.abs(active))
                for source in (1.0, 1.03):
                    values = quantities.values(flow.solve(power, source), power)
                    excess = quantities.excess(values).reshape(2, -1).max(axis=0)
                    for key, k in zip(worst, range(len(worst)), strict=True):
                        mine = excess[np.array(place) == k]
                        worst[key] = max(worst[key], float(mine.max(initial=-np.inf)))
    for key, excess in worst.items():
        assert found[key] >= excess - 1e-9, key


@pytest.mark.slow
@pytest.mark.parametrize(
    ("operator", "point", "kinds"),
    [("left", "load:1", {VOLTAGE, ACTIVE, CURRENT}), ("middle", "load:0", {BAND, ACTIVE, VOLTAGE})],
)
def test_a_larger_envelope_is_found_out(operator: str, point: str, kinds: set[str]) -> None:
    hierarchy, allocation = small()
    result = allocation.results[operator]
    own = result.envelopes
    k = own.connection_points.index(point)
    larger = own.injection_w.copy()
    larger[k] = 1.02 * larger[k] + 500
    changed = replace(
        result, envelopes=EnvelopeSet(own.connection_points, larger, own.withdrawal_w)
    )
    verdict = check_joint_model(
        hierarchy,
        replace(allocation, results={**allocation.results, operator: changed}),
        np.random.default_rng(0),
    )
    assert not verdict.holds
    assert {worst.kind for worst in verdict.worst if not worst.holds} & kinds


@pytest.mark.slow
def test_a_band_that_is_not_kept_is_found_out() -> None:
    hierarchy, allocation = small()
    result = allocation.results["right"]
    verdict = check_joint_model(hierarchy, allocation, np.random.default_rng(0))
    (reached,) = (worst for worst in verdict.of(BAND) if worst.operator == "right")
    narrower = replace(result.contract, voltage_max_pu=reached.value - 1e-4)
    if reached.limit == result.contract.voltage_min_pu:
        narrower = replace(result.contract, voltage_min_pu=reached.value + 1e-4)
    changed = {**allocation.results, "right": replace(result, contract=narrower)}
    broken = check_joint_model(
        hierarchy, replace(allocation, results=changed), np.random.default_rng(0)
    )
    assert [worst.operator for worst in broken.worst if not worst.holds] == ["right"]
    assert not broken.of(BAND)[-1].holds


@pytest.mark.slow
def test_the_three_level_example_holds_when_all_its_networks_are_one(
    capsys: pytest.CaptureFixture[str],
) -> None:
    hierarchy = load_hierarchy(hierarchy_path("bundled:three-level"))
    allocation = hierarchy.allocate()
    assert not allocation.unmet
    assert len(hierarchy.members) == 9
    assert len(allocation.customers) == 432
    assert min(min(limits) for limits in allocation.customers.values()) > 1_000
    binding = {
        name: {found.verdict.element.split(":")[0] for found in result.check.explanations()}
        for name, result in allocation.results.items()
        if result.check is not None
    }
    assert binding["tso"] >= {"line", "bus", "gen"}
    assert binding["commercial"] >= {"line", "bus"}
    assert binding["hamlet"] >= {"line"}
    verdict = check_joint_model(hierarchy, allocation, np.random.default_rng(0))
    with capsys.disabled():
        show_hierarchy(hierarchy_result(allocation, verdict), Console(width=120))
    assert verdict.disagreement_pu < 1e-7
    assert {worst.kind for worst in verdict.worst} == set(KINDS)
    assert sum(worst.count for worst in verdict.of(BAND)) == 8
    for kind in (VOLTAGE, CURRENT, GENERATION, BAND, ACTIVE, REACTIVE):
        for worst in verdict.of(kind):
            assert worst.holds, worst
    assert verdict.holds


TWO_PARTS = """
[contract]
operator = "top"
voltage_min_pu = 0.95
voltage_max_pu = 1.08
injection_limit_w = 150000
withdrawal_limit_w = 170000

[operators.top]
network = { source = "top.json", passive = "as-given" }
limits = { voltage_min_pu = 0.85, voltage_max_pu = 1.2 }
capacity = { injection_w = 100000, withdrawal_w = 100000 }

[operators.below]
network = { source = "low.json" }
limits = { voltage_min_pu = 0.85, voltage_max_pu = 1.2 }
capacity = { injection_w = 60000, withdrawal_w = 60000 }

[[boundaries]]
parent = "top"
connection_point = "load:0"
child = "below"
voltage_min_pu = 0.9
voltage_max_pu = 1.15
"""


def two_parts() -> pp.pandapowerNet:
    """Return two 20 kV lines with grids of their own: one thin, one behind large iron losses."""
    net = pp.create_empty_network()
    for volts, km, iron_kw in ((1.01, 25.0, 0.0), (0.99, 1.0, 60.0)):
        upper, lower, end = (pp.create_bus(net, kv) for kv in (110.0, 20.0, 20.0))
        pp.create_ext_grid(net, upper, vm_pu=volts)
        trafo = pp.create_transformer(net, upper, lower, "25 MVA 110/20 kV")
        net.trafo.loc[trafo, ["pfe_kw", "i0_percent"]] = [iron_kw, 0.3]
        pp.create_line(net, lower, end, km, "NA2XS2Y 1x95 RM/25 12/20 kV")
        net.line["c_nf_per_km"] = 0.0
        pp.create_load(net, end, p_mw=0.1)
    return net


def test_separate_parts_at_the_top_are_attacked_at_voltages_of_their_own(tmp_path: Path) -> None:
    write(tmp_path, TWO_PARTS)
    pp.to_json(two_parts(), str(tmp_path / "top.json"))
    hierarchy = load_hierarchy(tmp_path / "three.toml")
    allocation = hierarchy.allocate()
    assert not allocation.unmet
    joined = joint_net(hierarchy)
    flow, quantities = quantities_of(joined, allocation)
    assert flow.parts == 2
    free = CustomerFreedom.of(joined, allocation, flow.base_w)
    verdict = check_joint_model(hierarchy, allocation, np.random.default_rng(0))
    assert verdict.holds, verdict.worst
    assert verdict.disagreement_pu < 1e-7
    at_top = [
        k
        for k, what in enumerate(quantities.items)
        if (what.operator, what.element, what.kind) == ("top", "interface", ACTIVE)
    ]
    excess = {}
    for source in itertools.product((0.95, 1.08), repeat=2):
        excess[source] = -np.inf
        for signs in itertools.product((-1.0, 1.0), repeat=len(free.upper)):
            power = np.where(np.array(signs) > 0, free.upper, free.lower) + 0j
            state = flow.solve(power, source)
            worst = quantities.excess(quantities.values(state, power)).reshape(2, -1)[:, at_top]
            excess[source] = max(excess[source], float(worst.max()))
    mixed = max(excess[0.95, 1.08], excess[1.08, 0.95])
    assert mixed > max(excess[0.95, 0.95], excess[1.08, 1.08]) + 1e-4
    assert -2e-3 < mixed < 1e-9
    assert len(at_top) == 1  # of all grids together
    (found,) = (w for w in verdict.of(ACTIVE) if w.operator == "top")
    assert found.excess >= mixed - 1e-9
