"""Networks after outages are pandapower's; outages that cut buses off are named."""

from __future__ import annotations

import copy

import numpy as np
import pandapower as pp
import pytest
from brute_force import solve
from meshed_cases import by_pandapower, shared_bus
from meshed_networks import ring
from networks import feeder

from security_check.errors import NetworkFaults
from security_check.importers.pandapower_outages import islanding_outages, outages_from_pandapower
from security_check.model.element import State
from security_check.power_flow.newton import ControlledFlow

EVERY = ["line:0", "line:3", "line:8", "gen:0", "gen:1", "gen:2"]


@pytest.fixture(scope="module")
def read():
    net = shared_bus()
    return net, *outages_from_pandapower(net, EVERY, passive="as-given", distributed_slack=True)


@pytest.mark.parametrize("k", range(len(EVERY)), ids=EVERY)
def test_voltages_are_pandapowers_without_the_element(read, k):
    net, network, outages = read
    outage = outages[k]
    assert outage.state == State(outage=EVERY[k])
    flow = ControlledFlow(outage.network)
    rng = np.random.default_rng(k)
    power = rng.uniform(-0.3, 0.2, (len(network.connection_points), 1))
    points = solve(flow, power, np.array([1.02]))
    other = copy.deepcopy(net)
    table, index = outage.state.outage.split(":")
    other[table].loc[int(index), "in_service"] = False
    other = by_pandapower(other, flow, power[:, 0], shared=True)
    named = [int(node.split(":")[1]) for node in outage.network.nodes]
    rows = other.res_bus.loc[named]
    expected = rows.vm_pu * np.exp(1j * np.deg2rad(rows.va_degree))
    np.testing.assert_allclose(flow.node_voltages(points)[:, 0], expected, rtol=0, atol=1e-8)


def test_ports_and_customers_stay_what_they_are(read):
    _, network, outages = read
    for outage in outages:
        assert outage.network.ports.names == network.ports.names
        assert outage.network.connection_points == network.connection_points
        assert outage.state.outage not in outage.network.terminals.elements
    lost = outages[EVERY.index("gen:1")].network
    assert len(lost.generators.names) == len(network.generators.names) - 1
    shares = lost.generators.participation.sum() + lost.generators.reference_participation
    assert shares == pytest.approx(1.0)


def faults(net, names, **how) -> list[str]:
    with pytest.raises(NetworkFaults) as caught:
        outages_from_pandapower(net, names, **how)
    return [str(fault) for fault in caught.value.faults]


class TestIslanding:
    def test_is_reported_by_name_with_who_is_cut_off(self):
        net = ring(4)
        end = pp.create_bus(net, 110.0, index=50)
        pp.create_line_from_parameters(
            net, 4, end, 10.0, r_ohm_per_km=0.06, x_ohm_per_km=0.4, c_nf_per_km=9.0, max_i_ka=0.4
        )
        stub = f"line:{net.line.index[-1]}"
        assert islanding_outages(net, [stub, "line:0", "gen:0", "line:99"]) == {stub: ("bus:50",)}
        assert faults(net, ["line:0", stub]) == [f"{stub}: its outage cuts off bus:50"]
        assert net.line.in_service.all()

    def test_every_line_of_a_radial_feeder_does(self):
        net = feeder(8, 1)
        names = [f"line:{i}" for i in net.line.index] + ["trafo:0"]
        assert list(islanding_outages(net, names)) == names
        reported = faults(net, names)
        assert len(reported) == len(names)
        assert reported[-1].startswith(
            "trafo:0: its outage cuts off bus:1, bus:2, bus:3, bus:4, bus:5"
        )
        assert reported[-1].endswith("and 4 more")

    def test_a_mesh_has_some_that_do_not(self):
        net = feeder(6, 1, meshed=True)
        names = [f"line:{i}" for i in net.line.index]
        cut = set(islanding_outages(net, names))
        kept = [name for name in names if name not in cut]
        assert kept
        _, outages = outages_from_pandapower(net, kept)
        assert [outage.state.outage for outage in outages] == kept

    def test_the_only_external_grid_cuts_off_everything(self):
        (fault,) = faults(ring(4), ["ext_grid:0"])
        assert fault.startswith("ext_grid:0: its outage cuts off bus:1, bus:4")


def test_all_faults_are_reported_together():
    net = ring(4)
    net.line.loc[2, "in_service"] = False
    found = faults(net, ["line:77", "load:0", "line:2", "line:x", "gen:0"])
    assert [fault.split(": ")[0] for fault in found] == ["line:77", "load:0", "line:2", "line:x"]
    assert "there is no such element that could fail" in found[0]
    assert found[2] == "line:2: it is out of service already, so it cannot fail"


def test_participation_that_fails_with_the_generator_is_a_fault_of_the_outage():
    net = ring(4)
    net.ext_grid["slack_weight"] = 0.0
    net.gen["slack_weight"] = [1.0, 0.0]
    (fault,) = faults(net, ["gen:1", "gen:0"], distributed_slack=True)
    assert fault.startswith("gen:0: without it, slack_weight: the slack weights of all")
