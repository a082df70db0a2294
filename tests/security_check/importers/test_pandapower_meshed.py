"""Reading meshed nets: who holds what, who shares what, and what is wrong with it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandapower as pp
import pytest
from meshed_cases import shared_bus, two_grids
from meshed_networks import ring
from presence import there

from security_check.errors import NetworkFaults
from security_check.importers.pandapower_meshed import meshed_network_from_pandapower
from security_check.model.islands import islands_of

read = meshed_network_from_pandapower


def faults(net, **how) -> list[str]:
    with pytest.raises(NetworkFaults) as caught:
        read(net, passive="as-given", **how)
    return [str(fault) for fault in caught.value.faults]


class TestGenerators:
    def test_hold_what_the_net_says_at_ports_of_their_own(self):
        net = ring(4)
        network = read(net, distributed_slack=True)
        held = there(network.generators)
        assert held.names == ("gen:0", "gen:1")
        np.testing.assert_allclose(held.power_pu, [0.2, 0.3])
        np.testing.assert_allclose(held.voltage_pu, [1.01, 1.02])
        np.testing.assert_allclose(held.participation, [0.5, 0.25])
        assert held.reference_participation == pytest.approx(0.25)
        np.testing.assert_allclose(held.reactive_limits_pu, [[-0.6, 0.6]] * 2)
        np.testing.assert_allclose(held.power_limits_pu, [[-1.0, 1.4]] * 2)
        assert [network.ports.names[port] for port in held.ports] == ["gen:0", "gen:1"]
        incidence = network.ports.incidence.toarray()[:, held.ports]
        assert [network.nodes[k] for k in incidence.argmax(axis=0)] == [
            f"bus:{bus}" for bus in net.gen.bus
        ]

    def test_without_a_distributed_slack_the_reference_takes_all(self):
        held = there(read(ring(4)).generators)
        np.testing.assert_array_equal(held.participation, [0.0, 0.0])
        assert held.reference_participation == 1.0

    def test_without_limits_have_none(self):
        net = ring(4)
        net.gen = net.gen.drop(columns=["min_p_mw", "max_q_mvar"])
        net.gen.loc[0, "max_p_mw"] = np.nan
        held = there(read(net).generators)
        np.testing.assert_array_equal(held.power_limits_pu, [[-np.inf, np.inf], [-np.inf, 1.4]])
        np.testing.assert_array_equal(held.reactive_limits_pu, [[-0.6, np.inf]] * 2)

    def test_scaling_counts(self):
        net = ring(4)
        net.gen.loc[1, "scaling"] = 0.5
        np.testing.assert_allclose(there(read(net).generators).power_pu, [0.2, 0.15])

    def test_of_one_bus_are_one_with_the_limits_of_the_first_to_reach_its_own(self):
        """Weights 2, 0.5 and 1; gen:2 and gen:3 have no limits of active power."""
        net = shared_bus()
        net.gen.loc[2, ["min_p_mw", "max_p_mw"]] = [-5.0, 8.0]  # 3 MW up for weight 0.5
        held = there(read(net, distributed_slack=True).generators)
        joint = held.names.index("gen:0+gen:2+gen:3")
        assert held.power_pu[joint] == pytest.approx((20.0 + 5.0 - 4.0) / 100)
        np.testing.assert_allclose(held.reactive_limits_pu[joint], [-0.8, 1.0])
        up, down = 3.0 / 0.5, max((-100.0 - 20.0) / 2.0, (-5.0 - 5.0) / 0.5)
        at_limits = np.array([21.0 + 3.5 * down, 21.0 + 3.5 * up]) / 100
        np.testing.assert_allclose(held.power_limits_pu[joint], at_limits)
        assert held.participation[joint] == pytest.approx(3.5 / 5.5)

    def test_none_at_all_is_an_ordinary_network(self):
        net = ring(4)
        net.gen["in_service"] = False
        assert read(net).generators is None


class TestExternalGrids:
    def test_several_are_one_interface_in_the_nets_proportions(self):
        network = read(two_grids())
        phasors = dict(
            zip(
                [network.nodes[k] for k in network.interface.nodes],
                network.interface.phasors[:, 0],
                strict=True,
            )
        )
        assert phasors["bus:1"] == pytest.approx(1.0)
        assert phasors["bus:7"] == pytest.approx(1.0 / 1.02 * np.exp(-2j * np.pi / 180))

    def test_with_a_distributed_slack_all_but_the_first_are_generators(self):
        network = read(two_grids(), distributed_slack=True)
        assert there(network.generators).names == ("ext_grid:1", "gen:0", "gen:1")
        assert [network.nodes[k] for k in network.interface.nodes] == ["bus:1"]

    def test_of_separate_parts_leave_no_generator_behind(self):
        net = ring(4)
        far, end = (pp.create_bus(net, 110.0) for _ in range(2))
        pp.create_ext_grid(net, far)
        pp.create_line_from_parameters(
            net, far, end, 9.0, r_ohm_per_km=0.06, x_ohm_per_km=0.4, c_nf_per_km=9.0, max_i_ka=0.4
        )
        pp.create_load(net, end, p_mw=1.0)
        network = read(net)
        (part,) = islands_of(network)
        assert part.network.generators is network.generators


class TestFaults:
    """Each a sentence that begins with the element."""

    def test_two_that_hold_one_bus_differently(self):
        net = ring(4)
        bus = int(net.gen.bus.at[1])
        pp.create_gen(net, bus, p_mw=1.0, vm_pu=1.03)
        assert faults(net) == [f"gen:2: it holds bus {bus} at 1.03 p.u., but gen:1 at 1.02 p.u."]

    def test_two_that_hold_joined_buses_differently(self):
        net = ring(4)
        joined = pp.create_bus(net, 110.0)
        pp.create_switch(net, int(net.gen.bus.at[1]), joined, et="b")
        pp.create_gen(net, joined, p_mw=1.0, vm_pu=1.03)
        (fault,) = faults(net)
        assert fault.startswith(
            "gen:2: it holds the node of gen:1 at 1.03 p.u., but gen:1 at 1.02 p.u."
        )

    def test_a_generator_at_the_external_grids_bus(self):
        net = ring(4)
        pp.create_gen(net, 1, p_mw=1.0, vm_pu=1.02)
        assert faults(net) == ["gen:2: ext_grid:0 holds the voltage of its bus already"]

    def test_a_generator_at_an_isolated_bus(self):
        net = ring(4)
        pp.create_gen(net, pp.create_bus(net, 110.0, index=99), p_mw=1.0, vm_pu=1.0)
        (fault,) = faults(net)
        assert fault == "gen:2: bus 99 is out of service or has no path to the external grid"

    def test_participation_that_adds_up_to_nothing(self):
        net = ring(4)
        net.gen["slack_weight"] = 0.0
        net.ext_grid["slack_weight"] = 0.0
        (fault,) = faults(net, distributed_slack=True)
        assert fault.startswith("slack_weight: the slack weights of all external grids and gen")
        assert there(read(net).generators).reference_participation == 1.0

    @pytest.mark.parametrize(
        ("table", "column", "value", "fault"),
        [
            ("gen", "slack_weight", -1.0, "gen:1: its slack_weight is -1.0"),
            ("gen", "slack_weight", np.nan, "gen:1: its slack_weight is nan"),
            ("gen", "vm_pu", 0.0, "gen:1: its vm_pu is 0.0"),
            ("gen", "p_mw", np.nan, "gen:1: its p_mw is nan"),
            ("gen", "min_q_mvar", 70.0, "gen:1: its min_q_mvar 70 Mvar is above its max_q_mvar 60"),
            ("gen", "min_p_mw", 150.0, "gen:1: its min_p_mw 150 MW is above its max_p_mw 140 MW"),
            ("gen", "bus", 55, "gen:1: its bus 55 does not exist"),
            ("gen", "reactive_capability_curve", True, "gen:1: its reactive limits are a curve"),
            ("gen", "slack", True, "gen:1: it is marked as slack: make it an external grid"),
            ("ext_grid", "vm_pu", np.nan, "ext_grid:0: its vm_pu is nan"),
            ("ext_grid", "in_service", False, "interface: an external grid must be in service"),
        ],
    )
    def test_in_a_table(self, table, column, value, fault):
        net = ring(4)
        net[table].loc[net[table].index[-1], column] = value
        assert any(found.startswith(fault) for found in faults(net, distributed_slack=True))

    def test_all_of_them_together(self):
        net = ring(4)
        net.gen["vm_pu"] = -1.0
        net.line.loc[2, "max_i_ka"] = 0.0
        found = faults(net)
        assert [fault.split(":")[0] + fault.split(":")[1] for fault in found] == [
            "gen0",
            "gen1",
            "line2",
        ]

    def test_of_a_network_that_did_not_come_from_a_net(self):
        network = read(ring(4))
        held = there(network.generators)
        wrong = replace(
            held,
            voltage_pu=np.array([1.0, 2.5]),
            participation=np.array([0.5, 0.6]),
            reference_participation=0.0,
            reactive_limits_pu=np.array([[0.1, -0.1], [-1.0, 1.0]]),
            ports=held.ports[[0, 0]],
        )
        with pytest.raises(NetworkFaults) as caught:
            replace(network, generators=wrong)
        reported = [str(fault) for fault in caught.value.faults]
        assert reported[0] == "gen:1: its voltage set point is 2.5 p.u."
        assert reported[1].startswith("gen:0: its reactive limits are 0.1 to -0.1 p.u.")
        assert reported[2] == "interface: the participation of all generators adds up to 1.1, not 1"
        assert reported[3].startswith("gen:1: the voltage of bus:")
        assert reported[3].endswith("is held by gen:0 already")
