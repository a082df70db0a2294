"""Tap positions have their effect, however old the net; what is open is a fault by name."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pandapower as pp
import pandas as pd
import pytest
from networks import simbench_net
from others_warnings import others_warnings_ignored
from pandapower.control import ConstControl, DiscreteTapControl
from pandapower.timeseries import DFData
from pandapower_oracle import our_results, run_pandapower, solve_exactly, voltages

from doe_allocation.allocation.network_grid import NetworkGrid
from doe_allocation.capacity import Capacity
from security_check.errors import NetworkFaults
from security_check.importers.pandapower_balanced import network_from_pandapower
from security_check.importers.pandapower_meshed import meshed_network_from_pandapower
from security_check.importers.pandapower_outages import outages_from_pandapower
from security_check.importers.pandapower_taps import with_taps
from security_check.model.limits import InterfaceLimits, VoltageLimits
from security_check.power_flow.implicit_zbus import PowerFlow

Net = Any
CONTRACT = InterfaceLimits(0.98, 1.04)


def station(kind: str | None = None, at: float = 2.0, **changes: Any) -> Net:
    """Return a transformer with a tap, and a customer 200 m behind it."""
    net = pp.create_empty_network()
    upper, head, end = (pp.create_bus(net, kv) for kv in (20.0, 0.4, 0.4))
    pp.create_ext_grid(net, upper)
    pp.create_transformer_from_parameters(
        net, upper, head, sn_mva=0.16, vn_hv_kv=20.0, vn_lv_kv=0.4, vkr_percent=1.5,
        vk_percent=4.0, pfe_kw=0.3, i0_percent=0.3, shift_degree=150, tap_side="hv",
        tap_neutral=0, tap_min=-2, tap_max=2, tap_step_percent=2.5, tap_step_degree=0.0, tap_pos=at,
        tap_changer_type=kind,
    )  # fmt: skip
    pp.create_line_from_parameters(
        net, head, end, length_km=0.2, r_ohm_per_km=0.2, x_ohm_per_km=0.08, c_nf_per_km=800.0,
        max_i_ka=0.27,
    )  # fmt: skip
    pp.create_load(net, end, p_mw=0.01)
    for column, value in changes.items():
        number = isinstance(value, float) and not column.endswith("type")
        net.trafo[column] = pd.Series([value], net.trafo.index, dtype=float if number else object)
    return net


def three_windings(at: float = 2.0, **changes: Any) -> Net:
    """Return a net whose only transformer has three windings and a tap."""
    net = pp.create_empty_network()
    buses = [pp.create_bus(net, kv) for kv in (110.0, 20.0, 10.0)]
    pp.create_ext_grid(net, buses[0])
    how = {
        "tap_side": "hv", "tap_neutral": 0, "tap_min": -9, "tap_max": 9, "tap_step_percent": 1.5,
        "tap_step_degree": 0.0, "tap_pos": at, "tap_at_star_point": False,
    } | changes  # fmt: skip
    pp.create_transformer3w_from_parameters(
        net, *buses, vn_hv_kv=110.0, vn_mv_kv=20.0, vn_lv_kv=10.0, sn_hv_mva=40.0, sn_mv_mva=25.0,
        sn_lv_mva=15.0, vk_hv_percent=10.0, vk_mv_percent=11.0, vk_lv_percent=12.0,
        vkr_hv_percent=0.3, vkr_mv_percent=0.31, vkr_lv_percent=0.32, pfe_kw=20.0, i0_percent=0.1,
        **how,
    )  # fmt: skip
    for bus in buses[1:]:
        pp.create_load(net, bus, p_mw=5.0)
    return net


def faults_of(net: Net, build: Any = network_from_pandapower, **how: Any) -> dict[str, str]:
    with pytest.raises(NetworkFaults) as caught:
        build(net, **how)
    return {fault.element: fault.detail for fault in caught.value.faults}


def solved(net: Net, **how: Any) -> np.ndarray:
    """Return the voltages of all buses of our own power flow, customers drawing 4 kW or 4 MW."""
    network = network_from_pandapower(net, **how)
    size = 4e6 if len(net.trafo3w) else 4e3
    power = np.full((len(network.connection_points), 1), -size)
    found, _ = our_results(PowerFlow(network), power, np.ones(1))
    return np.array([found[network.nodes.index(f"bus:{bus}"), 0] for bus in net.bus.index])


def expected(net: Net) -> np.ndarray:
    """Return the same of pandapower, for a net whose taps have types."""
    network = network_from_pandapower(net)
    size = 4e6 if len(net.trafo3w) else 4e3
    power = np.full(len(network.connection_points), -size)
    found = voltages(run_pandapower(net, network, power, 1.0, "none"), network)
    return np.array([found[network.nodes.index(f"bus:{bus}")] for bus in net.bus.index])


class TestATapWithoutAType:
    @pytest.mark.parametrize("missing", [None, np.nan, "", "None", "nan"])
    @pytest.mark.parametrize("at", [-2, 1, 2.0])
    def test_changes_the_ratio(self, missing, at):
        typed = station("Ratio", at)
        untyped = station("Ratio", at, tap_changer_type=missing)
        np.testing.assert_allclose(solved(untyped), expected(typed), rtol=0, atol=1e-9)
        assert np.abs(solved(untyped) - solved(station("Ratio", 0)))[1] > 0.02

    @pytest.mark.parametrize("side", ["hv", "lv"])
    def test_on_either_side_and_turned(self, side):
        changes = {"tap_side": side, "tap_step_degree": 60.0}
        typed = station("Ratio", **changes)
        np.testing.assert_allclose(
            solved(station(None, **changes)), expected(typed), rtol=0, atol=1e-9
        )

    @pytest.mark.parametrize("side", ["hv", "mv", "lv"])
    @pytest.mark.parametrize("star", [False, True])
    def test_of_three_windings(self, side, star):
        how = {"tap_side": side, "tap_at_star_point": star}
        typed = three_windings(tap_changer_type="Ratio", **how)
        found = solved(three_windings(**how))
        np.testing.assert_allclose(found, expected(typed), rtol=0, atol=1e-9)

    def test_at_the_star_point_without_an_angle(self):
        """pandapower ignores a tap at the star point whose angle is not a number."""
        how: dict[str, Any] = {"tap_at_star_point": True, "tap_changer_type": "Ratio"}
        found = solved(three_windings(**how, tap_step_degree=np.nan))
        np.testing.assert_allclose(found, expected(three_windings(**how)), rtol=0, atol=1e-9)

    def test_without_the_column(self):
        net = station()
        del net.trafo["tap_changer_type"]
        np.testing.assert_allclose(solved(net), expected(station("Ratio")), rtol=0, atol=1e-9)

    def test_that_is_marked_as_a_phase_shifter(self):
        net = station(tap_phase_shifter=True)
        typed = station("Ideal", tap_step_degree=np.nan)
        np.testing.assert_allclose(solved(net), expected(typed), rtol=0, atol=1e-9)
        apart = np.abs(np.angle(solved(net)[1] / solved(station("Ratio", 0))[1]))
        assert np.rad2deg(apart) == pytest.approx(2 * np.rad2deg(np.arcsin(0.025)), rel=1e-6)

    def test_of_a_second_changer(self):
        second = {
            "tap2_side": "lv", "tap2_neutral": 0.0, "tap2_step_percent": 2.0, "tap2_pos": -1.0,
            "tap2_step_degree": 0.0,
        }  # fmt: skip
        typed = station("Ratio", 1, **second, tap2_changer_type="Ratio")
        found = solved(station(None, 1, **second, tap2_changer_type=None))
        np.testing.assert_allclose(found, expected(typed), rtol=0, atol=1e-9)

    def test_of_a_shipped_network(self):
        """With tap -1 of SimBench's transformer, 2,243 W of injection are secure, not 2,622 W."""
        network = network_from_pandapower(simbench_net("1-LV-rural3--2-sw"))
        capacity = Capacity.same(network.connection_points, 30_000, 30_000)
        limits = NetworkGrid(network, VoltageLimits(), capacity).allocate(CONTRACT).limits_w
        assert limits[: len(network.connection_points)].min() == 2_243


class TestWhatIsOpen:
    @pytest.mark.parametrize(
        ("changes", "said"),
        [
            ({"tap_neutral": np.nan}, "tap_neutral is nan"),
            ({"tap_side": None}, "tap_side is None"),
            ({"tap_side": "HV"}, "tap_side is HV"),
            ({"tap_step_percent": np.nan, "tap_step_degree": 2.0}, "has no tap_changer_type"),
            ({"tap_changer_type": "Ratio", "tap_pos": np.nan}, "tap_pos is nan"),
            ({"tap_changer_type": "Ratio", "tap_step_percent": np.nan}, "tap_step_percent is nan"),
            ({"tap_changer_type": "Ratio", "tap_phase_shifter": True}, "marked as a phase shifter"),
            ({"tap_changer_type": "Ideal", "tap_step_degree": 1.0}, "either"),
            ({"tap_changer_type": "Ideal", "tap_step_percent": np.nan}, "either"),
            ({"tap_changer_type": "Tabular"}, "tap_dependency_table"),
            ({"tap_changer_type": "Sideways"}, "Sideways"),
            ({"tap_dependency_table": True}, "no table"),
        ],
    )
    def test_is_a_fault(self, changes, said):
        assert said in faults_of(station(**changes))["trafo:0"]

    def test_nothing_where_there_is_no_changer(self):
        nothing: dict[str, Any] = dict.fromkeys(
            ("tap_step_percent", "tap_step_degree", "tap_neutral"), np.nan
        )
        found = solved(station(**nothing))
        np.testing.assert_allclose(found, solved(station("Ratio", 0)), rtol=0, atol=1e-12)

    def test_nothing_out_of_service(self):
        net = station()
        pp.create_transformer(net, 0, 1, "0.25 MVA 20/0.4 kV", in_service=False)
        net.trafo.loc[1, ["tap_pos", "tap_side"]] = [2, None]
        network_from_pandapower(net)


def with_table(*positions: int) -> Net:
    """Return a net with a transformer for each position, all with one table of ratios."""
    net = station("Tabular", positions[0])
    for at in positions[1:]:
        net.trafo.loc[len(net.trafo)] = net.trafo.loc[0]
        net.trafo.loc[len(net.trafo) - 1, "tap_pos"] = at
    net.trafo = net.trafo.astype({"hv_bus": int, "lv_bus": int, "in_service": bool})
    net.trafo["tap_dependency_table"] = True
    net.trafo["id_characteristic_table"] = pd.array([0] * len(net.trafo), dtype="Int64")
    net["trafo_characteristic_table"] = pd.DataFrame(
        {
            "id_characteristic": [0] * 3,
            "step": [-1, 0, 1],
            "voltage_ratio": [0.97, 1.0, 1.04],
            "angle_deg": [0.0, 0.0, 1.0],
            "vk_percent": [4.4, 4.0, 3.9],
            "vkr_percent": [1.6, 1.5, 1.4],
        }
    )
    return net


class TestATable:
    @pytest.mark.parametrize("at", [-1, 0, 1])
    def test_gives_ratio_angle_and_impedance(self, at):
        net = with_table(at)
        np.testing.assert_allclose(solved(net), expected(net), rtol=0, atol=1e-9)
        stated = solved(with_table(0), taps={"trafo:0": at})
        np.testing.assert_allclose(stated, expected(net), rtol=0, atol=1e-9)

    def test_without_the_position(self):
        assert "has 0 rows for its position 2" in faults_of(with_table(2))["trafo:0"]

    def test_that_is_shared_at_different_positions(self):
        """pandapower would take the ratio of the last of them for all."""
        assert "trafo:1" in faults_of(with_table(0, 1))["trafo:0"]
        network_from_pandapower(with_table(1, 1))
        network_from_pandapower(with_table(0, 1), taps="neutral")


class TestStatedPositions:
    @pytest.mark.parametrize("kind", ["Ratio", None])
    def test_are_what_is_modelled(self, kind):
        for taps, at in (("neutral", 0), ("as-given", 2), ({"trafo:0": -1}, -1), ({}, 2)):
            found = solved(station(kind, 2), taps=taps)
            np.testing.assert_allclose(found, expected(station("Ratio", at)), rtol=0, atol=1e-9)

    def test_of_three_windings(self):
        net = three_windings(tap_changer_type="Ratio")
        found = solved(net, taps={"trafo3w:0": -3})
        typed = three_windings(-3.0, tap_changer_type="Ratio")
        np.testing.assert_allclose(found, expected(typed), rtol=0, atol=1e-9)

    @pytest.mark.parametrize("build", [meshed_network_from_pandapower, network_from_pandapower])
    def test_in_every_model(self, build):
        one = build(station("Ratio", 2), taps={"trafo:0": 1}).admittance.toarray()
        np.testing.assert_array_equal(one, build(station("Ratio", 1)).admittance.toarray())

    def test_after_an_outage(self):
        net = station("Ratio", 2)
        net.trafo = pd.concat([net.trafo, net.trafo], ignore_index=True)
        _, (outage,) = outages_from_pandapower(net, ["trafo:1"], taps="neutral")
        without = station("Ratio", 0)
        alone = meshed_network_from_pandapower(without).admittance.toarray()
        np.testing.assert_allclose(outage.network.admittance.toarray(), alone, rtol=1e-12)

    @pytest.mark.parametrize(
        ("taps", "element", "said"),
        [
            ({"trafo:7": 1}, "trafo:7", "no such transformer"),
            ({"line:0": 1}, "line:0", "no such transformer"),
            ({"trafo:0": 3}, "trafo:0", "not within -2 to 2"),
            ({"trafo:0": np.nan}, "trafo:0", "nan, not a number"),
            ({"trafo:0": "up"}, "trafo:0", "up, not a number"),
            ({"trafo:0": [-2, 2]}, "trafo:0", "[-2, 2], not a number"),
            ("middle", "taps", "'middle'"),
        ],
    )
    def test_that_are_wrong(self, taps, element, said):
        assert said in faults_of(station("Ratio"), taps=taps)[element]

    def test_without_a_changer(self):
        net = station(None, tap_step_percent=np.nan)
        assert "no tap changer" in faults_of(net, taps={"trafo:0": 1})["trafo:0"]

    def test_leave_the_net_alone(self):
        net = station(None, 2)
        before = copy.deepcopy(net)
        assert with_taps(net, "neutral").trafo.tap_pos.at[0] == 0
        pd.testing.assert_frame_equal(net.trafo, before.trafo)


class TestControllers:
    def controlled(self) -> Net:
        net = station("Ratio", 2)
        DiscreteTapControl(net, 0, vm_lower_pu=0.99, vm_upper_pu=1.01)
        return net

    def test_are_refused_without_stated_taps(self):
        said = faults_of(self.controlled())["controller:0"]
        assert "DiscreteTapControl" in said
        assert "trafo:0" in said
        assert "controller:0" in faults_of(self.controlled(), meshed_network_from_pandapower)
        assert "controller:0" in faults_of(self.controlled(), taps={})

    @pytest.mark.parametrize("taps", ["as-given", "neutral", {"trafo:0": 1}])
    def test_stand_still_with_stated_taps(self, taps):
        at = {"as-given": 2, "neutral": 0}.get(str(taps), 1)
        found = solved(self.controlled(), taps=taps)
        np.testing.assert_allclose(found, expected(station("Ratio", at)), rtol=0, atol=1e-9)

    def test_out_of_service_do_not_matter(self):
        net = self.controlled()
        net.controller["in_service"] = False
        network_from_pandapower(net)

    def test_of_something_else_are_refused_always(self):
        net = station("Ratio")
        source = DFData(pd.DataFrame({"p": [0.01, 0.02]}))
        ConstControl(net, "load", "p_mw", 0, profile_name="p", data_source=source)
        assert "ConstControl" in faults_of(net, taps="as-given")["controller:0"]

    def test_would_have_moved_the_tap(self):
        """So a net with one has no voltage of its own, and stating the taps is no formality."""
        net = self.controlled()
        with others_warnings_ignored():
            pp.runpp(net, run_control=True, numba=False)
        assert net.trafo.tap_pos.at[0] != 2
        untouched = self.controlled()
        solve_exactly(untouched)
        assert abs(net.res_bus.vm_pu.at[1] - untouched.res_bus.vm_pu.at[1]) > 0.02
