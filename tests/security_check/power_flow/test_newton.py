"""Generators hold voltages and share the imbalance as in pandapower; gradients are differences'."""

from __future__ import annotations

import importlib
from dataclasses import replace

import numpy as np
import pytest
from meshed_cases import NETS, at_ports, by_pandapower, customers_pu, flow_of, solved
from meshed_networks import ring
from networks import feeder

from security_check.errors import NetworkFaults, PowerFlowError
from security_check.importers.pandapower_balanced import network_from_pandapower
from security_check.importers.pandapower_meshed import meshed_network_from_pandapower
from security_check.power_flow.newton import ControlledFlow

FINE = 1e-11  # tolerance where differences of power flows are taken


@pytest.fixture(params=NETS)
def case(request):
    return (*flow_of(request.param), NETS[request.param][1])


def test_voltages_and_generators_are_pandapowers(case):
    net, flow, shared = case
    network, power = flow.network, customers_pu(net, flow)
    points = solved(net, flow, power)
    nodes = flow.node_voltages(points)
    turned = np.exp(1j * np.deg2rad(net.ext_grid.va_degree.iloc[0]))
    named = {i: int(n.split(":")[1]) for i, n in enumerate(network.nodes) if n.startswith("bus:")}
    base_mva = network.base_power_w / 1e6
    for k in range(power.shape[1]):
        other = by_pandapower(net, flow, power[:, k], shared)
        rows = other.res_bus.loc[list(named.values())]
        expected = rows.vm_pu * np.exp(1j * np.deg2rad(rows.va_degree))
        np.testing.assert_allclose(nodes[list(named), k] * turned, expected, rtol=0, atol=1e-8)
        for name, port in zip(flow.generators.names, flow.generators.ports, strict=True):
            produced = sum(
                complex(*other[f"res_{table}"].loc[int(index), ["p_mw", "q_mvar"]])
                for table, index in (member.split(":") for member in name.split("+"))
            )
            assert points.power_pu[port, k] * base_mva == pytest.approx(produced, abs=1e-6)
    assert np.ptp(np.abs(nodes)) > 0.01, "the powers are too small to compare anything"


def test_port_currents_give_the_node_voltages(case):
    """What monitors rely on: everything is linear in the port currents and the held voltage."""
    net, flow, _ = case
    points = solved(net, flow, customers_pu(net, flow))
    across = flow.network.ports.incidence.T @ flow.node_voltages(points)
    np.testing.assert_allclose(across, points.voltage, rtol=0, atol=1e-9)
    np.testing.assert_allclose(points.voltage * points.current.conj(), points.power_pu, atol=1e-12)


def test_gradients_are_those_of_differences(case):
    """A random function of all currents, in random directions and by the held voltage."""
    net, flow, _ = case
    rng = np.random.default_rng(5)
    power = customers_pu(net, flow, seed=2, columns=2)
    points = solved(net, flow, power, tolerance_pu=FINE)
    shape = points.current.shape
    by_current = rng.normal(size=shape) + 1j * rng.normal(size=shape)
    by_port, by_source = flow.gradients(by_current, points)
    ports = at_ports(flow, power)
    step = 2e-5

    def change(moved, held):
        """Central differences of fourth order."""
        total = np.zeros(shape[1])
        for far, weight in ((1, 8 / 12), (2, -1 / 12)):
            for sign in (far, -far):
                found = flow.solve(
                    ports + sign * step * moved,
                    points.source_pu + sign * step * held,
                    tolerance_pu=FINE,
                )
                total += np.sign(sign) * weight * (by_current * found.current).real.sum(axis=0)
        return total / step

    still = np.zeros_like(ports)
    directions = [(still, 1.0, by_source[0])]
    for _ in range(3):
        moved = rng.normal(size=shape) + 1j * rng.normal(size=shape)
        moved[flow.generators.ports] = moved[flow.generators.ports].real
        expected = (by_port.real * moved.real + by_port.imag * moved.imag).sum(axis=0)
        directions.append((moved, 0.0, expected))
    for moved, held, expected in directions:
        size = np.abs(by_port).max() + np.abs(by_source).max()
        np.testing.assert_allclose(change(moved, held), expected, rtol=1e-6, atol=1e-6 * size)


def test_gradients_at_one_point_are_found_together(case):
    net, flow, _ = case
    points = solved(net, flow, customers_pu(net, flow, columns=2))
    twice = points.take(np.array([1, 0, 1, 1]))
    rng = np.random.default_rng(1)
    by_current = rng.normal(size=twice.current.shape) + 0j
    together = flow.gradients(by_current, twice)
    for k in range(4):
        alone = flow.gradients(by_current[:, [k]], twice.take(np.array([k])))
        np.testing.assert_allclose(together[0][:, [k]], alone[0], rtol=1e-9, atol=1e-12)
        np.testing.assert_allclose(together[1][:, [k]], alone[1], rtol=1e-9, atol=1e-12)


def test_a_batch_is_its_columns_wherever_it_starts(case):
    net, flow, _ = case
    power = customers_pu(net, flow)
    points = solved(net, flow, power)
    for k in range(power.shape[1]):
        start = points.voltage[:, [(k + 1) % power.shape[1]]]
        for how in ({}, {"start": start}):
            alone = solved(net, flow, power[:, [k]], **how)
            np.testing.assert_allclose(alone.voltage[:, 0], points.voltage[:, k], atol=1e-9)


def test_the_imbalance_is_shared_by_participation():
    net, flow = flow_of("case30, shared")
    generators = flow.generators
    points = solved(net, flow, customers_pu(net, flow))
    more = points.power_pu[generators.ports].real - generators.power_pu[:, None]
    takes = generators.participation > 0
    per_share = more[takes] / generators.participation[takes][:, None]
    np.testing.assert_allclose(per_share, np.broadcast_to(per_share[:1], per_share.shape))
    np.testing.assert_allclose(more[~takes], 0.0, atol=1e-9)
    assert takes.any()
    assert not takes.all()


def test_without_a_reference_share_the_generators_take_all_of_it():
    net, flow = flow_of("case9, shared")
    shares = np.array([0.25, 0.75])
    generators = replace(flow.generators, participation=shares, reference_participation=0.0)
    other = ControlledFlow(replace(flow.network, generators=generators))
    points = solved(net, other, customers_pu(net, other))
    nodes = other.node_voltages(points)
    held = other.network.interface.nodes
    produced = (nodes * np.asarray(other.network.admittance @ nodes).conj())[held].real
    np.testing.assert_allclose(produced, 0.0, atol=1e-8)
    more = points.power_pu[generators.ports].real - generators.power_pu[:, None]
    np.testing.assert_allclose(more[0] / 0.25, more[1] / 0.75, rtol=1e-8)


class TestOverload:
    def test_names_a_node(self):
        net, flow = flow_of("case9")
        power = np.tile(customers_pu(net, flow, columns=1), 3)
        power[:, 1] *= 50.0
        with pytest.raises(PowerFlowError, match=r"^1 of 3 power flows .* worst at bus:\d"):
            solved(net, flow, power)

    def test_whatever_it_starts_from(self):
        net, flow = flow_of("case9")
        power = customers_pu(net, flow, columns=1)
        start = np.full((len(flow.network.ports.names), 1), 1e-3 + 0j)
        good = solved(net, flow, power)
        again = solved(net, flow, power, start=start)
        np.testing.assert_allclose(again.voltage, good.voltage, atol=1e-9)

    @pytest.mark.parametrize("value", [np.nan, np.inf])
    def test_numbers_that_are_none(self, value):
        net, flow = flow_of("case9")
        power = customers_pu(net, flow, columns=1)
        power[0] = value
        with np.errstate(all="ignore"), pytest.raises(PowerFlowError):
            solved(net, flow, power)


class TestWhatItNeeds:
    def test_the_library_by_the_name_of_its_extra(self, monkeypatch):
        network = flow_of("case9")[1].network

        def missing(name):
            raise ModuleNotFoundError(name)

        monkeypatch.setattr(importlib, "import_module", missing)
        with pytest.raises(ModuleNotFoundError, match=r"lightsim2grid.*doe-exchange\[meshed\]"):
            ControlledFlow(network)

    def test_generators(self):
        with pytest.raises(NetworkFaults, match="no voltage-controlled generators"):
            ControlledFlow(network_from_pandapower(feeder(3)))

    def test_ports_between_one_node_and_ground(self):
        network = meshed_network_from_pandapower(ring(3))
        incidence = network.ports.incidence.toarray()
        incidence[(incidence[:, 0] == 0).argmax(), 0] = -1.0
        ports = replace(network.ports, incidence=type(network.ports.incidence)(incidence))
        with pytest.raises(NetworkFaults, match=r"bus:\d+: power must enter between one node"):
            ControlledFlow(replace(network, ports=ports))
