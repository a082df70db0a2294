"""Voltages and currents are pandapower's own, on anything it can describe; faults are named."""

from __future__ import annotations

import copy

import numpy as np
import pandapower as pp
import pandapower.networks
import pandapower.toolbox
import pytest
from brute_force import interface_node, passive_at_nodes, point_nodes, solve
from networks import feeder, menagerie, simbench_net
from others_warnings import others_warnings_ignored
from pandapower_oracle import (
    currents_a,
    loading_percent,
    our_loading_percent,
    our_results,
    ratings_a,
    run_pandapower,
    voltages,
)

from security_check.errors import NetworkFaults
from security_check.importers.pandapower_balanced import network_from_pandapower
from security_check.importers.pandapower_taps import with_taps
from security_check.monitoring.monitors import Monitors
from security_check.monitoring.row_kinds import RowKind
from security_check.power_flow.implicit_zbus import PowerFlow

BAND = (0.98, 1.04)


def allowed_percent(net, names):
    """Return the ``max_loading_percent`` of elements, of which our loading is a part."""
    found = []
    for name in names:
        table, _, index = name.partition(":")
        column = net[table].get("max_loading_percent")
        found.append(100.0 if column is None else column.fillna(100.0)[int(index)])
    return np.array(found)


def assert_agrees(net, largest_w, passive="none", points=3, seed=1, **how):
    """Compare all voltages and currents at random powers within the largest given."""
    network = network_from_pandapower(net, passive=passive, **how)
    flow = PowerFlow(network)
    rng = np.random.default_rng(seed)
    power = rng.uniform(-1, 1, (len(network.connection_points), points)) * largest_w
    interface = np.linspace(*BAND, points)
    found, current = our_results(flow, power, interface)
    named = [i for i, node in enumerate(network.nodes) if node.startswith("bus:")]
    for k in range(points):
        solved = run_pandapower(net, network, power[:, k], interface[k], passive)
        expected = voltages(solved, network)
        np.testing.assert_allclose(found[named, k], expected[named], rtol=0, atol=1e-8)
        base = network.terminals.base_current_a
        of_base = (current[:, k] - currents_a(solved, network)) / base
        np.testing.assert_allclose(of_base, 0, atol=1e-8)
        percent = our_loading_percent(network, found[:, k])
        expected = loading_percent(solved, list(percent)) * 100.0 / allowed_percent(net, percent)
        np.testing.assert_allclose(list(percent.values()), expected, rtol=0, atol=1e-6)
    rated = network.terminals.rating_pu * network.terminals.base_current_a
    whole = ratings_a(net, network) * allowed_percent(net, network.terminals.elements) / 100.0
    np.testing.assert_allclose(rated, whole, rtol=1e-12)
    spread = np.abs(found).max() - np.abs(found).min()
    assert spread > 0.01, "the powers are too small to compare anything"
    return network


class TestAgreesWithPandapower:
    @pytest.mark.parametrize(
        ("code", "largest_w", "passive", "connection_points"),
        [
            ("1-LV-semiurb4--0-sw", 8e3, "none", "load"),
            ("1-LV-semiurb4--0-sw", 8e3, "as-given", "load"),
            ("1-LV-semiurb4--0-sw", 5e4, "as-given", "sgen"),
            ("1-MV-rural--0-sw", 3e5, "none", "load"),
            ("1-MV-rural--0-sw", 3e5, "as-given", "load"),
            ("1-MV-rural--0-sw", 3e5, "as-given", "sgen"),
            pytest.param("1-LV-rural3--0-sw", 3e3, "as-given", "load", marks=pytest.mark.slow),
            pytest.param("1-MV-comm--0-sw", 3e5, "as-given", "sgen", marks=pytest.mark.slow),
            pytest.param("1-MV-urban--0-sw", 3e5, "none", "load", marks=pytest.mark.slow),
        ],
    )
    def test_on_simbench(self, code, largest_w, passive, connection_points):
        # SimBench gives tap positions without a type, which pandapower 3 ignores: here they count.
        net = with_taps(simbench_net(code))
        assert_agrees(net, largest_w, passive, connection_points=connection_points, points=2)

    @pytest.mark.parametrize("table", ["load", "sgen", "storage"])
    @pytest.mark.parametrize("passive", ["none", "as-given"])
    def test_on_one_of_everything(self, table, passive):
        network = assert_agrees(menagerie(), 2e5, passive, connection_points=table)
        assert {element.split(":")[0] for element in network.terminals.elements} == {
            "line",
            "trafo",
            "trafo3w",
        }
        # Not in service, or open at both ends.
        assert not {"line:5", "line:6", "line:7"} & set(network.terminals.elements)
        assert network.nodes[interface_node(network)] == "bus:40"
        monitored = set(network.voltages.elements)
        # The lowest number speaks for buses that a closed switch joins: 22 and 8, 25 and 24.
        assert monitored == {f"bus:{i}" for i in (7, 3, 8, 23, 24, 12, 11, 13, 14, 5)}

    def test_with_power_factors(self):
        factors = {"load:0": 0.9, "load:2": 0.8}
        network = assert_agrees(menagerie(), 2e5, power_factor=factors)
        assert network.reactive_ratio[:3] == pytest.approx([np.tan(np.arccos(0.9)), 0, 0.75])
        assert_agrees(feeder(6, 3), 5e3, power_factor=0.95)

    def test_a_withdrawing_customer_lags(self):
        net = feeder(1)
        unity, lagging = (PowerFlow(network_from_pandapower(net, power_factor=f)) for f in (1, 0.9))
        low, lower = (
            our_results(f, np.full((1, 1), -9e3), np.ones(1))[0] for f in (unity, lagging)
        )
        assert np.abs(lower[-1, 0]) < np.abs(low[-1, 0])

    @pytest.mark.parametrize("base_mva", [0.01, 1.0, 100.0])
    def test_on_any_power_base(self, base_mva):
        net = menagerie()
        net.sn_mva = base_mva
        network = assert_agrees(net, 2e5, "as-given")
        assert network.base_power_w == base_mva * 1e6

    def test_on_a_mesh_with_unequal_phase_shifts(self):
        net = feeder(6, 5, meshed=True)
        twin = net.trafo.iloc[0]
        pp.create_transformer_from_parameters(
            net, twin.hv_bus, int(net.load.bus.iloc[-1]), sn_mva=0.1, vn_hv_kv=20.0, vn_lv_kv=0.4,
            vkr_percent=1.7, vk_percent=4.0, pfe_kw=0.3, i0_percent=0.3, shift_degree=151,
        )  # fmt: skip
        assert_agrees(net, 5e3)

    def test_every_branch_may_be_open_at_one_end(self):
        for end in ("from_bus", "to_bus"):
            net = menagerie()
            pp.create_switch(net, net.line[end].at[2], 2, et="l", closed=False)
            network = assert_agrees(net, 2e5)
            assert "line:2" in network.terminals.elements

    @pytest.mark.parametrize("bus", [25, 13])
    def test_a_transformer_may_be_open_at_one_end(self, bus):
        net = menagerie()
        net.load.loc[net.load.bus == 14, "in_service"] = False
        pp.create_switch(net, bus, 1, et="t", closed=False)
        assert_agrees(net, 2e5)


class TestSeveralExternalGrids:
    def test_feed_separate_parts(self):
        net = two_parts()
        network = assert_agrees(net, 5e3)
        assert len(network.connection_points) == 7
        assert {network.nodes[i] for i in network.interface.nodes} == {
            f"bus:{bus}" for bus in net.ext_grid.bus
        }
        assert not {f"bus:{bus}" for bus in net.ext_grid.bus} & set(network.voltages.elements)

    def test_the_interface_gives_the_power_of_all_of_them(self):
        network = network_from_pandapower(net := two_parts())
        flow = PowerFlow(network)
        power = np.random.default_rng(3).uniform(-5e3, 5e3, (7, 1))
        monitors = Monitors(flow)
        points = solve(flow, power / network.base_power_w, np.array([1.01]))
        drawn = monitors.all_values(points)[monitors.kind == RowKind.INTERFACE_WITHDRAWAL, 0]
        solved = run_pandapower(net, network, power[:, 0], 1.01, "none")
        assert len(solved.res_ext_grid) == 2
        expected_w = 1e6 * solved.res_ext_grid.p_mw.sum()
        assert drawn * network.base_power_w == pytest.approx([expected_w], abs=1e-3)

    def test_may_not_meet(self):
        net = two_parts()
        first, second = net.ext_grid.bus
        tie = pp.create_switch(net, first, second, et="b", closed=True)
        (detail,) = faults_of(net)["interface"]
        assert "ext_grid:0, ext_grid:1" in detail
        net.switch.loc[tie, "closed"] = False
        network_from_pandapower(net)

    def test_may_not_share_a_bus(self):
        net = two_parts()
        pp.create_ext_grid(net, net.ext_grid.bus.at[1])
        (detail,) = faults_of(net)["interface"]
        assert "ext_grid:1, ext_grid:2" in detail

    def test_every_one_out_of_order_is_named(self):
        net = two_parts()
        net.bus.loc[net.ext_grid.bus, "in_service"] = False
        assert {"ext_grid:0", "ext_grid:1"} <= set(faults_of(net))

    def test_buses_that_do_not_exist_join_nothing(self):
        net = two_parts()
        for bus in net.ext_grid.bus:
            line = net.line.index[0] if bus == net.ext_grid.bus.iloc[0] else net.line.index[-1]
            net.line.loc[line, "to_bus"] = 777
        assert set(faults_of(net)) == {f"line:{net.line.index[k]}" for k in (0, -1)}

    @pytest.mark.slow
    def test_schutterwald(self):
        with others_warnings_ignored():
            net = pandapower.networks.lv_schutterwald()
        network = assert_agrees(net, 2e3, points=1)
        assert len(network.interface.nodes) == 14
        assert len(network.connection_points) == 1506


def two_parts():
    """Return two feeders, each with an external grid of its own, in one net."""
    with others_warnings_ignored():
        return pandapower.toolbox.merge_nets(
            feeder(3, 1), feeder(4, 2), validate=False, merge_results=False
        )


class TestTheNetGiven:
    def test_is_not_modified(self):
        net = menagerie()
        before = copy.deepcopy(net)
        for passive in ("none", "as-given"):
            network_from_pandapower(net, passive=passive, power_factor=0.9)
        assert not net.converged
        for table in ("load", "sgen", "storage", "ext_grid", "line", "trafo", "bus", "switch"):
            assert net[table].equals(before[table]), table

    def test_numbers_and_name_are_kept(self):
        net = menagerie()
        network = network_from_pandapower(net, name="mine")
        assert network.name == "mine"
        assert network.connection_points == (
            "load:0", "load:1", "load:2", "load:3", "load:17", "load:19",
        )  # fmt: skip
        at = [network.nodes[i] for i in point_nodes(network)]
        assert at == ["bus:5", "bus:23", "bus:11", "bus:14", "bus:8", "bus:40"]
        assert not np.any(passive_at_nodes(network))


def faults_of(net, **how):
    with pytest.raises(NetworkFaults) as caught:
        network_from_pandapower(net, **how)
    assert all(fault.detail for fault in caught.value.faults)
    named: dict[str, list[str]] = {}
    for fault in caught.value.faults:
        assert str(fault) in str(caught.value)
        named.setdefault(fault.element, []).append(fault.detail)
    return named


class TestFaults:
    @pytest.mark.parametrize(
        ("table", "column"),
        [
            ("line", "max_i_ka"),
            ("trafo", "sn_mva"),
            ("trafo3w", "sn_hv_mva"),
            ("trafo3w", "sn_mv_mva"),
            ("trafo3w", "sn_lv_mva"),
        ],
    )
    @pytest.mark.parametrize("value", [0.0, np.nan, 99_999.0, -1.0, np.inf])
    def test_ratings(self, table, column, value):
        net = menagerie()
        net[table].loc[0, column] = value
        (detail,) = faults_of(net)[f"{table}:0"]
        assert column in detail
        assert f"{value:g}" in detail

    def test_ratings_of_what_is_out_of_service_do_not_matter(self):
        net = menagerie()
        net.line.loc[6, "max_i_ka"] = 0.0
        network_from_pandapower(net)

    @pytest.mark.parametrize(
        ("table", "column"), [("line", "df"), ("line", "parallel"), ("trafo", "parallel")]
    )
    @pytest.mark.parametrize("value", [0, -1, np.nan])
    def test_what_multiplies_ratings(self, table, column, value):
        net = menagerie()
        net[table][column] = net[table][column].astype(float)
        net[table].loc[1, column] = value
        assert f"{table}:1" in faults_of(net)

    @pytest.mark.parametrize(
        ("column", "value"),
        [
            ("length_km", 0.0),
            ("length_km", np.nan),
            ("r_ohm_per_km", -0.1),
            ("x_ohm_per_km", np.nan),
            ("c_nf_per_km", np.inf),
        ],
    )
    def test_impedances(self, column, value):
        net = menagerie()
        net.line.loc[2, column] = value
        (detail,) = faults_of(net)["line:2"]
        assert column in detail

    def test_no_impedance_at_all(self):
        net = menagerie()
        net.line.loc[2, ["r_ohm_per_km", "x_ohm_per_km"]] = 0.0
        assert faults_of(net) == {"line:2": ["its impedance is zero"]}

    @pytest.mark.parametrize(
        ("table", "column"),
        [
            ("load", "bus"),
            ("sgen", "bus"),
            ("storage", "bus"),
            ("ext_grid", "bus"),
            ("line", "from_bus"),
            ("line", "to_bus"),
            ("trafo", "hv_bus"),
            ("trafo", "lv_bus"),
            ("trafo3w", "hv_bus"),
            ("trafo3w", "mv_bus"),
            ("trafo3w", "lv_bus"),
        ],
    )
    def test_missing_buses(self, table, column):
        net = menagerie()
        net[table].loc[0, column] = 777
        (detail,) = faults_of(net)[f"{table}:0"]
        assert "777" in detail

    def test_no_external_grid(self):
        net = menagerie()
        net.ext_grid["in_service"] = False
        (detail,) = faults_of(net)["interface"]
        assert "none" in detail

    def test_two_external_grids(self):
        net = menagerie()
        net.ext_grid["in_service"] = True
        (detail,) = faults_of(net)["interface"]
        assert "ext_grid:0, ext_grid:1" in detail

    def test_the_external_grid_at_a_bus_out_of_service(self):
        net = menagerie()
        net.bus.loc[40, "in_service"] = False
        assert "ext_grid:0" in faults_of(net)

    @pytest.mark.parametrize("bus", [90, 91])
    def test_connection_points_without_a_path(self, bus):
        net = menagerie()
        pp.create_load(net, bus, p_mw=0.1, index=30)
        (detail,) = faults_of(net)["load:30"]
        assert f"bus {bus}" in detail

    def test_no_connection_points(self):
        net = menagerie()
        net.load["in_service"] = False
        assert "load" in faults_of(net)

    def test_a_table_that_cannot_be_traded(self):
        assert "bus" in faults_of(menagerie(), connection_points="bus")["connection_points"][0]

    @pytest.mark.parametrize("factor", [0.0, -0.9, 1.1, np.nan])
    def test_power_factors(self, factor):
        (detail,) = faults_of(menagerie(), power_factor={"load:17": factor})["load:17"]
        assert f"{factor}" in detail
        assert len(faults_of(menagerie(), power_factor=factor)) == 6

    def test_a_power_factor_of_an_unknown_point(self):
        assert list(faults_of(menagerie(), power_factor={"load:99": 0.9})) == ["load:99"]

    def test_unsupported_elements(self):
        net = menagerie()
        pp.create_ward(net, 5, 0.1, 0.1, 0.1, 0.1, index=4)
        pp.create_xward(net, 5, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 1.0, index=2)
        pp.create_dcline(net, 5, 24, 0.1, 1.0, 0.1, 1.0, 1.0, index=6)
        pp.create_ward(net, 5, 0.1, 0.1, 0.1, 0.1, index=5, in_service=False)
        assert set(faults_of(net)) == {"ward:4", "xward:2", "dcline:6"}

    def test_generators_that_stay(self):
        net = menagerie()
        pp.create_gen(net, 5, p_mw=0.1, vm_pu=1.0, index=8)
        assert list(faults_of(net, passive="as-given")) == ["gen:8"]
        network_from_pandapower(net)  # not otherwise

    def test_loads_that_stay_and_depend_on_voltage(self):
        net = menagerie()
        pp.create_load(net, 5, p_mw=0.1, const_z_p_percent=20.0, index=33)
        assert list(faults_of(net, passive="as-given", connection_points="sgen")) == ["load:33"]
        network_from_pandapower(net, passive="as-given")  # it trades, so its own power is not used

    def test_a_network_that_collapses_without_customers(self):
        net = menagerie()
        net.sgen.loc[0, "p_mw"] = 500.0
        assert "converge" in faults_of(net, passive="as-given")["network"][0]

    @pytest.mark.parametrize(
        ("table", "column", "value"),
        [
            ("trafo", "vk_percent", 0.0),
            ("trafo", "vn_lv_kv", np.nan),
            ("trafo3w", "vk_mv_percent", np.nan),
            ("impedance", "xft_pu", np.nan),
            ("shunt", "q_mvar", np.inf),
            ("bus", "vn_kv", 0.0),
        ],
    )
    def test_what_no_branch_is_made_of(self, table, column, value):
        net = menagerie()
        first = net[table].index[0]
        net[table].loc[first, column] = value
        (detail,) = faults_of(net)[f"{table}:{first}"]
        assert column in detail

    @pytest.mark.parametrize(("kind", "table"), [("l", "line"), ("t", "trafo"), ("b", "bus")])
    def test_switches_of_nothing(self, kind, table):
        net = menagerie()
        net.switch.loc[0, ["et", "element"]] = [kind, 777]
        (detail,) = faults_of(net)["switch:0"]
        assert f"{table} 777" in detail

    @pytest.mark.parametrize("column", ["p_mw", "q_mvar", "scaling"])
    def test_powers_that_are_no_numbers(self, column):
        net = menagerie()
        net.sgen.loc[1, column] = np.nan
        assert list(faults_of(net, passive="as-given")) == ["sgen:1"]
        assert list(faults_of(net, connection_points="sgen")) == ["sgen:1"]
        network_from_pandapower(net)  # not otherwise

    def test_columns_that_are_missing(self):
        net = menagerie()
        del net.line["g_us_per_km"]
        del net.line["c_nf_per_km"]
        missing = ["it has no c_nf_per_km", "it has no g_us_per_km"]
        assert faults_of(net) == {f"line:{i}": missing for i in net.line.index}

    def test_all_at_once(self):
        net = menagerie()
        net.line.loc[0, "max_i_ka"] = 0.0
        net.line.loc[2, "to_bus"] = 777
        net.trafo.loc[1, "sn_mva"] = 99_999.0
        net.load.loc[1, "bus"] = 888
        net.ext_grid["in_service"] = True
        pp.create_load(net, 91, p_mw=0.1, index=30)
        pp.create_ward(net, 5, 0.1, 0.1, 0.1, 0.1)
        found = faults_of(net, power_factor={"load:2": 3.0})
        assert {"line:0", "line:2", "trafo:1", "load:1", "interface", "ward:0", "load:2"} <= set(
            found
        )

    def test_all_ways_of_having_no_path_at_once(self):
        net = menagerie()
        net.line.loc[0, "max_i_ka"] = 0.0
        net.trafo.loc[1, "sn_mva"] = 99_999.0
        for index, bus in ((30, 90), (31, 91)):
            pp.create_load(net, bus, p_mw=0.1, index=index)
        found = faults_of(net, power_factor={"load:2": 3.0})
        assert set(found) == {"line:0", "trafo:1", "load:30", "load:31", "load:2"}
