"""Inverters that respond to their voltage: against pandapower, OpenDSS and the nodal equations."""

from __future__ import annotations

import copy
from pathlib import Path

import numpy as np
import opendssdirect as dss
import pandapower as pp
import pytest
import scipy.optimize
from brute_force import interface_node, measured, of_rows, solve, violation, worst_values
from hypothesis import example, given, settings
from hypothesis import strategies as st
from networks import (
    INVERTER_AREAS,
    feeder,
    simbench_net,
    simbench_network,
    small_area,
)
from others_warnings import others_warnings_ignored
from pandapower_oracle import voltages
from presence import there
from random_boxes import check_worst_of_all_vertices, random_box
from sampling import examples
from trade_moves import random_trades, trade

from doe_allocation.allocation.network_grid import NetworkGrid
from doe_allocation.capacity import Capacity
from security_check.errors import NetworkFaults, PowerFlowError
from security_check.importers.opendss import network_from_opendss
from security_check.importers.pandapower_balanced import network_from_pandapower
from security_check.model.limits import InterfaceLimits, VoltageLimits
from security_check.model.network import Network
from security_check.modifications.inverters import (
    AS4777_AUSTRALIA_A,
    IEEE1547_CATEGORY_A,
    IEEE1547_CATEGORY_B,
    Curve,
    Inverter,
    Response,
    with_inverters,
)
from security_check.modifications.reactive_freedom import with_reactive_freedom
from security_check.monitoring.monitors import Monitors
from security_check.monitoring.row_kinds import RowKind
from security_check.power_flow.implicit_zbus import PowerFlow
from security_check.verification.adversary import attack

AREAS = pytest.mark.parametrize("name", INVERTER_AREAS)
STANDARDS = {"AS 4777": AS4777_AUSTRALIA_A, "A": IEEE1547_CATEGORY_A, "B": IEEE1547_CATEGORY_B}
RESPONSES = pytest.mark.parametrize("response", STANDARDS.values(), ids=STANDARDS)


def fitted(network: Network, response: Response, rating_va: float) -> Network:
    """Return the network with the same inverter everywhere."""
    return with_inverters(
        network, dict.fromkeys(network.connection_points, Inverter(response, rating_va))
    )


def law(response: Response, rating: float, asked: complex, voltage: float) -> complex:
    """Return what one inverter injects: the response, written down once more."""
    var, most = 0.0, rating
    if response.volt_var is not None:
        var = rating * np.interp(voltage, *_points(there(response.volt_var)))
        most = np.sqrt(rating**2 - var**2)
    if response.volt_watt is not None:
        most = min(most, rating * np.interp(voltage, *_points(there(response.volt_watt))))
    return min(asked.real, most) + 1j * (asked.imag + var)


def _points(curve: Curve) -> tuple[tuple[float, ...], tuple[float, ...]]:
    return curve.voltage_pu, curve.value


class TestStandards:
    """The corners that the standards print, in volts or per unit."""

    @pytest.mark.parametrize(
        ("volts", "var", "watt"),
        [
            (200, 0.44, 1.0),
            (207, 0.44, 1.0),
            (213.5, 0.22, 1.0),
            (230, 0.0, 1.0),
            (249, -0.30, 1.0),
            (253, -0.60 * 13 / 18, 1.0),
            (258, -0.60, 1.0 - 0.8 * 5 / 7),
            (265, -0.60, 0.20),
        ],
    )
    def test_as_4777(self, volts, var, watt):
        response = AS4777_AUSTRALIA_A
        assert np.interp(volts / 230, *_points(there(response.volt_var))) == pytest.approx(var)
        assert np.interp(volts / 230, *_points(there(response.volt_watt))) == pytest.approx(watt)

    def test_ieee_1547(self):
        for response, pairs in (
            (IEEE1547_CATEGORY_A, {0.9: 0.25, 1.0: 0.0, 1.05: -0.125, 1.1: -0.25}),
            (IEEE1547_CATEGORY_B, {0.92: 0.44, 0.98: 0.0, 1.02: 0.0, 1.05: -0.22, 1.08: -0.44}),
        ):
            for voltage, var in pairs.items():
                assert np.interp(voltage, *_points(there(response.volt_var))) == pytest.approx(var)
            assert np.interp(1.08, *_points(there(response.volt_watt))) == pytest.approx(0.6)


class TestFaults:
    def test_are_not_lost_by_giving_more(self):
        network = network_from_pandapower(feeder(4, 1))
        inverter = Inverter(AS4777_AUSTRALIA_A, 10_000.0)
        first, second = network.connection_points[:2]
        once = with_inverters(network, {first: inverter})
        with pytest.raises(NetworkFaults, match=r"has inverters already.*given at once"):
            with_inverters(once, {second: inverter})
        assert with_inverters(once, {}) is once

    def test_name_the_connection_point_and_the_numbers(self):
        network = network_from_pandapower(feeder(4))
        with pytest.raises(NetworkFaults) as caught:
            with_inverters(
                network,
                {
                    "load:0": Inverter(AS4777_AUSTRALIA_A, 0.0),
                    "load:1": Inverter(Response(Curve((1.0, 0.9), (0.0, 0.1))), 1e4),
                    "load:2": Inverter(Response(None, Curve((1.0, 1.1), (1.0, -0.1))), 1e4),
                    "load:3": Inverter(Response(Curve((1.0,), (0.0, 0.1))), 1e4),
                    "load:9": Inverter(AS4777_AUSTRALIA_A, 1e4),
                },
            )
        reported = {fault.element: fault.detail for fault in caught.value.faults}
        assert reported["load:0"] == "its inverter's rating is 0 VA, not above 0"
        assert reported["load:1"] == "the voltages [1.0, 0.9] of a curve do not ascend"
        assert reported["load:2"] == "its volt-watt curve goes beyond 0 to 1 of the rating"
        assert "1 voltages and 2 values" in reported["load:3"]
        assert "no such connection point" in reported["load:9"]

    def test_no_point_both_chooses_and_responds(self):
        network = fitted(network_from_pandapower(feeder(3)), AS4777_AUSTRALIA_A, 1e4)
        with pytest.raises(NetworkFaults, match="load:1: it chooses its reactive power freely and"):
            with_reactive_freedom(network, cone_power_factor={"load:1": 0.9})

    def test_a_response_without_any_solution_is_an_error(self):
        """Its slope is that of a switch, at a voltage that it cannot hold."""
        switch = Response(Curve((1.0, 1.0 + 1e-7), (1.0, -1.0)))
        flow = PowerFlow(fitted(network_from_pandapower(feeder(6, 1)), switch, 1e5))
        with pytest.raises(PowerFlowError, match="did not converge"):
            solve(flow, np.zeros((6, 2)), np.array([1.0, 1.0]))


class TestPowerFlow:
    @RESPONSES
    @pytest.mark.parametrize("rating_va", [5e3, 3e4])
    def test_solves_the_nodal_equations(self, response, rating_va):
        """Newton's method of scipy on all node voltages, with the law written down anew."""
        network = network_from_pandapower(feeder(6, 1, meshed=True), power_factor=0.95)
        flow = PowerFlow(fitted(network, response, rating_va))
        rng = np.random.default_rng(4)
        power = rng.uniform(-1e4, 2.5e4, (6, 4)) / network.base_power_w
        held = np.array([0.92, 1.0, 1.06, 1.12])
        found = flow.node_voltages(solve(flow, power, held))
        at = interface_node(network)
        inside = np.arange(len(network.nodes)) != at
        entering = (network.ports.incidence @ network.port_shares).toarray()
        rating = rating_va / network.base_power_w
        seen_q = 0.0
        for k in range(4):

            def mismatch(parts, k=k):
                voltage = np.full(len(network.nodes), held[k], dtype=complex)
                voltage[inside] = parts[: inside.sum()] + 1j * parts[inside.sum() :]
                asked = power[:, k] * (1 + 1j * network.reactive_ratio)
                own = np.abs(entering.T @ voltage)
                injected = [law(response, rating, s, v) for s, v in zip(asked, own, strict=True)]
                wrong = voltage * (network.admittance @ voltage).conj() - entering @ injected
                return np.concatenate([wrong[inside].real, wrong[inside].imag])

            begin = flow.no_load[inside, 0] * held[k]
            solved = scipy.optimize.root(
                mismatch, np.concatenate([begin.real, begin.imag]), tol=1e-13
            )
            assert np.abs(solved.fun).max() < 1e-9
            exact = solved.x[: inside.sum()] + 1j * solved.x[inside.sum() :]
            np.testing.assert_allclose(found[inside, k], exact, rtol=0, atol=1e-8)
            plain = PowerFlow(network)
            without = plain.node_voltages(solve(plain, power[:, k : k + 1], held[k : k + 1]))
            seen_q = max(seen_q, np.abs(np.abs(exact) - np.abs(without[inside, 0])).max())
        assert seen_q > 1e-3, "the response makes a difference"

    def test_is_where_a_controller_on_pandapower_comes_to_rest(self):
        net = copy.deepcopy(simbench_net("1-LV-semiurb4--0-sw"))
        network = network_from_pandapower(net)
        response, rating_w = AS4777_AUSTRALIA_A, 12_000.0
        flow = PowerFlow(fitted(network, response, rating_w))
        rng = np.random.default_rng(1)
        asked_w = rng.uniform(0.0, 13_000.0, len(network.connection_points))
        found = flow.node_voltages(
            solve(flow, asked_w[:, None] / network.base_power_w, np.array([1.06]))
        )
        net.ext_grid["vm_pu"] = 1.06
        for table in ("sgen", "storage", "gen"):
            net[table]["in_service"] = False
        net.load["scaling"] = 1.0
        rows = [int(point.split(":")[1]) for point in network.connection_points]
        injected = asked_w.astype(complex)
        for _ in range(60):
            net.load.loc[rows, "p_mw"] = -injected.real / 1e6
            net.load.loc[rows, "q_mvar"] = -injected.imag / 1e6
            with others_warnings_ignored():
                pp.runpp(net, calculate_voltage_angles=True, tolerance_mva=1e-10, numba=False)
            own = net.res_bus.vm_pu.loc[net.load.bus.loc[rows]].to_numpy()
            target = np.array(
                [law(response, rating_w, s, v) for s, v in zip(asked_w, own, strict=True)]
            )
            injected = injected + 0.4 * (target - injected)
        assert np.abs(target - injected).max() < 1e-4
        assert (target.real < asked_w - 100).any(), "some are curtailed"
        reference = voltages(net, network)
        known = np.isfinite(reference)
        np.testing.assert_allclose(found[known, 0], reference[known], rtol=0, atol=1e-8)

    @pytest.mark.slow
    @RESPONSES
    def test_gradients_are_those_of_differences(self, response):
        network = fitted(simbench_network("1-LV-rural3--0-sw"), response, 8_000.0)
        flow = PowerFlow(network)
        monitors = Monitors(flow)
        rng = np.random.default_rng(2)
        rows = np.flatnonzero(monitors.kind <= RowKind.VOLTAGE_MIN)[::17]
        rows = np.concatenate([rows, np.flatnonzero(monitors.kind == RowKind.INTERFACE_WITHDRAWAL)])
        count = len(network.connection_points)
        power = rng.uniform(-2e3, 7e3, (count, len(rows))) / network.base_power_w
        held = rng.uniform(0.95, 1.08, len(rows))
        asked = network.port_shares @ (power + 0j)
        points = flow.solve(asked, held[None, :], tolerance_pu=1e-13)
        inverters = there(network.inverters)
        answer = inverters.answer(asked[inverters.ports], np.abs(points.voltage[inverters.ports]))
        assert 0.0 < answer.passes.mean() <= 1.0
        by_port, by_source = monitors.gradients(rows, points)
        step = 1e-6

        def difference(change, source_change):
            ahead, behind = (
                monitors.values(
                    rows,
                    flow.solve(asked + s * change, held[None] + s * source_change, None, 1e-13),
                )
                for s in (step, -step)
            )
            return (ahead - behind) / (2 * step)

        # Within a step of a corner of a curve both sides count; hardly any column is there.
        nothing = np.zeros_like(asked)
        errors = [np.abs(difference(nothing, 1.0) - by_source[0])]
        for port in range(0, len(asked), len(asked) // 9):
            for unit, part in ((1.0, by_port.real), (1j, by_port.imag)):
                change = nothing.copy()
                change[port] = unit
                errors.append(np.abs(difference(change, 0.0) - part[port]))
        largest = np.max(errors, axis=0)
        assert np.sort(largest)[: int(0.9 * len(largest))].max() < 1e-6

    def test_without_inverters_nothing_changes(self):
        network = simbench_network("1-LV-semiurb4--0-sw")
        assert with_inverters(network, {}) is network
        level = Response(Curve((1.0,), (0.0,)), Curve((1.0,), (1.0,)))
        rng = np.random.default_rng(0)
        power = rng.uniform(-5e3, 5e3, (41, 5)) / network.base_power_w
        held = np.linspace(0.95, 1.05, 5)
        plain, flat = PowerFlow(network), PowerFlow(fitted(network, level, 1e6))
        np.testing.assert_allclose(
            plain.node_voltages(solve(plain, power, held)),
            flat.node_voltages(solve(flat, power, held)),
            rtol=0,
            atol=1e-9,
        )


FEEDER = """clear
new circuit.village basekv=20 pu={source} phases=3 bus1=up mvasc3=1000 mvasc1=1000
new transformer.t phases=3 windings=2 buses=(up low.1.2.3.0) conns=(delta wye) kvs=(20 0.4)
~ kvas=(100 100) xhl=4 %rs=(0.5 0.5)
new line.l bus1=low bus2=mid phases=3 r1=0.6 x1=0.08 r0=2.4 x0=0.3 c1=0 c0=0 length=0.2 units=km
~ normamps=142
new line.m bus1=mid bus2=end phases=3 r1=0.6 x1=0.08 r0=2.4 x0=0.3 c1=0 c0=0 length=0.15 units=km
~ normamps=142
{customers}
set voltagebases=[20 0.4]
calcvoltagebases
"""
SINGLE_PHASE = {"a": ("end.1", 8.0), "b": ("end.2", 6.0), "c": ("mid.3", 9.0)}
LOAD = "new load.{} phases=1 bus1={} kv=0.2309401 kw=1 pf=1 model=1 vminpu=0.5 vmaxpu=1.8"
PANEL = (
    "new pvsystem.{} phases=1 bus1={} kv=0.2309401 kva=10 pmpp={} irradiance=1 pf=1 %cutin=0 "
    "%cutout=0 kvarmax=10 kvarmaxabs=10 vminpu=0.5 vmaxpu=1.8"
)
CONTROL = (
    "voltage_curvex_ref=rated vvc_curve1=var RefReactivePower=VARMAX voltwatt_curve=watt "
    "VoltwattYAxis=KVARATINGPU deltaP_factor=0.2 deltaQ_factor=0.3 VarChangeTolerance=1e-9 "
    "ActivePChangeTolerance=1e-9 VoltageChangeTolerance=1e-9"
)


def xy_curve(name: str, curve: Curve) -> str:
    """Return the curve in OpenDSS, which goes on beyond the ends of what it is given."""
    xs = [0.5, *curve.voltage_pu, 1.5]
    ys = [curve.value[0], *curve.value, curve.value[-1]]
    x, y = (" ".join(map(repr, numbers)) for numbers in (xs, ys))
    return f"new xycurve.{name} npts={len(xs)} xarray=({x}) yarray=({y})"


@pytest.mark.parametrize(
    ("mode", "source", "curtailed"),
    [("mode=VOLTVAR", 1.06, False), ("combimode=VV_VW", 1.09, True)],
)
@RESPONSES
def test_single_phase_inverters_do_as_in_opendss(tmp_path: Path, response, mode, source, curtailed):
    loads = [LOAD.format(k, bus) for k, (bus, _) in SINGLE_PHASE.items()]
    (tmp_path / "loads.dss").write_text(FEEDER.format(source=source, customers="\n".join(loads)))
    network = network_from_opendss(tmp_path / "loads.dss")
    applied = response if curtailed else Response(response.volt_var)
    flow = PowerFlow(fitted(network, applied, 10_000.0))
    kw = [SINGLE_PHASE[point.split(":")[1]][1] for point in network.connection_points]
    power = np.array(kw)[:, None] * 1e3 / network.base_power_w
    points = solve(flow, power, np.array([source]))
    ours = np.abs(flow.node_voltages(points)[:, 0])
    panels = [PANEL.format(k, bus, kw) for k, (bus, kw) in SINGLE_PHASE.items()]
    control = [xy_curve("var", response.volt_var), xy_curve("watt", response.volt_watt)]
    control.append(f"new invcontrol.i {mode} {CONTROL}")
    text = FEEDER.format(source=source, customers="\n".join([*panels, *control]))
    text += "set tolerance=1e-10\nset maxcontroliter=2000\nset maxiterations=200\nsolve\n"
    (tmp_path / "panels.dss").write_text(text)
    dss.Text.Command(f"redirect {tmp_path / 'panels.dss'}")
    assert dss.Solution.Converged()
    theirs = dict(zip(dss.Circuit.AllNodeNames(), dss.Circuit.AllBusMagPu(), strict=True))
    compared = 0
    for node, voltage in zip(network.nodes, ours, strict=True):
        name = node.removeprefix("bus:")
        if name in theirs:
            assert voltage == pytest.approx(theirs[name], abs=1e-6), node
            compared += 1
    assert compared == 12
    inverters = there(flow.network.inverters)
    answer = inverters.answer(
        points.power_pu[inverters.ports], np.abs(points.voltage[inverters.ports])
    )
    assert (answer.power.imag < -1e-3 * inverters.rating_pu[:, None]).any()
    if curtailed:
        assert (answer.passes == 0.0).any()


class TestWorstPoints:
    # Some are curtailed altogether, and the worst is inside one's range and inside the band.
    @pytest.mark.slow
    @example(name="one with a cone", seed=4053)
    @example(name="one with a cone", seed=4055)
    @example(name="one with a cone", seed=4203)
    @settings(deadline=None, max_examples=examples(25))
    @given(name=st.sampled_from(sorted(INVERTER_AREAS)), seed=st.integers(0, 10**6))
    def test_are_those_of_all_vertices(self, name, seed):
        area = small_area(**INVERTER_AREAS[name])
        limits_w = random_box(area, seed)
        check_worst_of_all_vertices(area, limits_w)

    @settings(deadline=None, max_examples=examples(40))
    @given(name=st.sampled_from(sorted(INVERTER_AREAS)), seed=st.integers(0, 10**6))
    def test_no_bound_is_below_the_truth(self, name, seed):
        area = small_area(**INVERTER_AREAS[name])
        limits_w = random_box(area, seed)
        worst = worst_values(area.flow, area.limits, limits_w)
        robust = area.grid.robust_rows(area.limits.interface)
        u = limits_w / area.flow.network.base_power_w
        bounds = area.grid.monitors.bounds(robust.conditions, u, robust.limits)
        if worst["lowest"].min() >= robust.limits.voltage_min_pu:
            for rows, brute in of_rows(area.grid.monitors, worst):
                assert (bounds[rows] >= brute - 1e-12).all()


class TestEnvelopes:
    @AREAS
    def test_withstand_every_vertex_and_the_adversary(self, name):
        area = small_area(**INVERTER_AREAS[name])
        check = area.allocate()
        assert -0.01 < violation(area.flow, area.limits, check.limits_w) <= 1e-9
        found = attack(check.robust_rows, check.limits_w, np.random.default_rng(1))
        assert -0.01 < found.violation <= 1e-9

    @AREAS
    def test_stay_secure_trade_by_trade(self, name):
        area = small_area(**INVERTER_AREAS[name])
        check, traded, rng = area.allocate(), 0, np.random.default_rng(3)
        for direction, seller, buyer, wanted_w in random_trades(check, 10, seed=6):
            if trade(check, direction, seller, buyer, wanted_w):
                traded += 1
                check.check_invariants()
                assert violation(area.flow, area.limits, check.limits_w) <= 2e-9
                found = attack(check.robust_rows, check.limits_w, rng, samples=32, climbs=4)
                assert found.violation <= 2e-9
        assert traded > 2

    @AREAS
    def test_withstand_points_inside(self, name):
        """A response bends quantities, so that vertices alone might not be all."""
        area = small_area(**INVERTER_AREAS[name])
        check = area.allocate()
        injection, withdrawal = np.split(check.limits_w / area.flow.network.base_power_w, 2)
        rng = np.random.default_rng(5)
        power = rng.uniform(-withdrawal, injection, (4_000, len(injection))).T
        held = rng.choice(area.limits.band, 4_000)
        seen = measured(area.flow, power, held)
        limits = area.limits.voltage
        assert seen["voltage"].max() <= limits.maximum_pu
        assert seen["voltage"].min() >= limits.minimum_pu
        rating = area.flow.network.terminals.rating_pu[:, None]
        assert (seen["current"] <= rating).all()

    @pytest.mark.parametrize("seed", range(4))
    def test_grow_with_volt_var_where_voltages_bind(self, seed):
        wide = {"max_i_ka": 0.8, "trafo_mva": 0.4, "capacity_w": 90_000}
        plain = small_area(5, seed, **wide)
        area = small_area(5, seed, **wide, response=Response(AS4777_AUSTRALIA_A.volt_var))
        without, with_response = plain.allocate().limits_w, area.allocate().limits_w
        assert with_response.min() > without.min()


@pytest.mark.slow
@pytest.mark.parametrize("code", ["1-LV-semiurb4--0-sw", "1-LV-rural2--0-sw"])
@pytest.mark.parametrize("standard", STANDARDS)
def test_volt_var_buys_envelopes_where_voltages_bind_on_a_real_feeder(standard, code):
    """At +-6 %; at +-10 % the transformer binds, and nothing is to be had."""
    network = simbench_network(code)
    response = Response(STANDARDS[standard].volt_var)
    lowest = []
    for area in (network, fitted(network, response, 5_000.0)):
        capacity = Capacity.same(area.connection_points, 30_000, 30_000)
        grid = NetworkGrid(area, VoltageLimits(0.94, 1.06), capacity)
        check = grid.allocate(InterfaceLimits(0.98, 1.04))
        found = attack(check.robust_rows, check.limits_w, np.random.default_rng(0), samples=256)
        assert found.violation <= 1e-4 or abs(found.value - found.limit) <= 1e-5
        lowest.append(int(check.limits_w.min()))
    assert lowest[1] > 1.25 * lowest[0]
