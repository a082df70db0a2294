"""Power flows close to voltage collapse, against the closed form of one line."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from stressed_networks import stressed_case
from vertex_oracle import VertexOracle

from security_check.errors import PowerFlowError
from security_check.power_flow.implicit_zbus import PowerFlow
from security_check.power_flow.near_collapse import solution_at

TOLERANCE = 1e-10


def upper_voltage(impedance: complex, power: complex) -> float | None:
    """Return the higher voltage magnitude at the end of a line fed at 1 per unit, by Kirchhoff.

    ``|v|^2`` solves ``y^2 - (1 + 2 Re(z' s)) y + |z s|^2 = 0`` for injected power s.
    """
    half = 0.5 + (impedance.conjugate() * power).real
    inner = half**2 - abs(impedance * power) ** 2
    return None if inner < 0.0 else float(np.sqrt(half + np.sqrt(inner)))


@given(
    st.floats(0.0, 2.0 * np.pi),
    st.floats(0.05, 1.0),
    st.floats(0.0, np.pi / 2),
)
def test_the_solution_of_one_line_is_the_upper_one_up_to_its_end(way, part, angle):
    impedance = 0.5 * np.exp(1j * angle)
    direction = np.exp(1j * way)
    # |z s|^2 = (1/2 + Re(z' s))^2 at the end
    most = 0.5 / max(abs(impedance) - (np.conj(impedance) * direction).real, 1e-9)
    power = min(most, 50.0) * part * 0.9999 * direction
    expected = upper_voltage(impedance, power)
    assert expected is not None
    found = solution_at(
        np.array([[impedance]]), np.ones(1, complex), np.array([power.conjugate()]), TOLERANCE
    )
    assert found is not None
    assert abs(found[0]) == pytest.approx(expected, abs=1e-6)
    if most < 50.0:
        beyond = np.array([(1.001 * most * direction).conjugate()])
        one = np.ones(1, complex)
        assert solution_at(np.array([[impedance]]), one, beyond, TOLERANCE) is None


@pytest.mark.parametrize("seed", [208, 3042, 3063, 3147])
def test_networks_are_solved_where_the_iteration_does_not_contract(seed):
    """The oracle's Newton method and this one agree up to where neither finds a solution."""
    case = stressed_case(seed)
    network = case.grid().network
    flow, oracle = PowerFlow(network), VertexOracle(case.net, case.power_factor)
    count = len(network.connection_points)
    source = case.interface.voltage_min_pu
    sides = np.array([np.zeros(count), np.ones(count)]).T
    solved = 0
    for size in np.geomspace(0.02, 1.0, 40) * case.capacity_w / network.base_power_w:
        power = size * (2.0 * sides - 1.0)
        for column in (power[:, :1], power[:, 1:]):
            voltage, good = oracle.solve(column, np.array([source]))
            complex_power = (1 + 1j * network.reactive_ratio)[:, None] * column
            ports = network.port_shares @ complex_power + network.ports.passive_power_pu[:, None]
            try:
                points = flow.solve(ports, np.full((network.held, 1), source))
            except PowerFlowError:
                continue
            assert good.all(), "a solution that Newton's method of the oracle does not find"
            mine = np.sort(np.abs(flow.node_voltages(points))[:, 0])
            np.testing.assert_allclose(mine, np.sort(np.abs(voltage[:, 0])), atol=1e-7)
            solved += 1
    assert solved > 10


def test_gradients_are_exact_where_the_iteration_does_not_contract():
    case = stressed_case(3042)
    network = case.grid().network
    flow = PowerFlow(network)
    source = np.full((network.held, 1), case.interface.voltage_min_pu)
    ratio = 1 + 1j * network.reactive_ratio

    def at(power: np.ndarray):
        ports = network.port_shares @ (ratio * power) + network.ports.passive_power_pu
        return flow.solve(ports[:, None], source)

    edge = 1e-3
    while True:  # up to the end of the solutions
        try:
            at(np.full(len(ratio), -1.05 * edge))
        except PowerFlowError:
            break
        edge *= 1.05
    here = np.full(len(ratio), -0.99 * edge)
    points = at(here)
    weight = np.conj(np.exp(1j * np.angle(points.voltage)))
    by_current = (weight.T @ flow._zjj).T  # of the sum of magnitudes, to first order
    by_power, _ = flow.gradients(by_current, points)
    step = 1e-6 * edge
    moved = here.copy()
    moved[0] += step
    voltage = np.abs(at(moved).voltage).sum() - np.abs(points.voltage).sum()
    expected = voltage / step
    change = network.port_shares[:, [0]].toarray()[:, 0] * ratio[0]
    found = (by_power[:, 0] * change.conj()).real.sum()
    assert found == pytest.approx(expected, rel=1e-3)
