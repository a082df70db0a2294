"""Random circuits: every voltage and every monitored current is that of OpenDSS."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from opendss_oracle import circuit_current, circuit_voltages, element_of, solve_circuit
from random_circuits import random_circuit
from sampling import examples

from security_check.importers.opendss import network_from_opendss
from security_check.model.network import Network
from security_check.power_flow.implicit_zbus import PowerFlow


def node_voltages(network: Network, power_w: np.ndarray, source_pu: float) -> np.ndarray:
    """Return the voltages of all nodes for powers of the connection points, shape (n,)."""
    flow = PowerFlow(network)
    held = np.full((network.held, 1), source_pu)
    points = flow.solve(network.point_ports @ (power_w / network.base_power_w)[:, None], held)
    return flow.node_voltages(points)[:, 0]


@pytest.mark.parametrize("seed", range(examples(40)))
def test_voltages_and_loadings_are_those_of_opendss(tmp_path: Path, seed: int) -> None:
    text, circuit = random_circuit(seed)
    master = tmp_path / "random.dss"
    master.write_text(text)
    network = network_from_opendss(master, power_factor=0.95, taps=circuit.taps)
    assert len(network.connection_points) == circuit.customers
    power_w = circuit.rng.uniform(-15e3, 15e3, circuit.customers)
    source_pu = float(circuit.rng.uniform(0.95, 1.05))
    ours = node_voltages(network, power_w, source_pu)
    solve_circuit(master, network, power_w, *circuit.commands, source_pu=source_pu)
    theirs = circuit_voltages()
    index = {name: k for k, name in enumerate(network.nodes)}
    assert set(theirs) == {name for name in network.nodes if name.startswith("bus:")}
    for name, value in theirs.items():
        assert abs(ours[index[name]] - value) < 1e-6, name
    terminals = network.terminals
    current_a = np.abs(terminals.admittance @ ours) * terminals.base_current_a
    seen = set()
    for k, (terminal, side) in enumerate(zip(terminals.elements, terminals.sides, strict=True)):
        element, node = element_of(terminal)
        rating_a = circuit.ratings_a[terminal.rsplit(".", 1)[0], side]
        seen.add((terminal.rsplit(".", 1)[0], side))
        assert terminals.rating_pu[k] * terminals.base_current_a[k] == pytest.approx(rating_a)
        percent = 100 * circuit_current(element, side, node) / rating_a
        assert 100 * current_a[k] / rating_a == pytest.approx(percent, abs=1e-4), terminal
    assert seen == set(circuit.ratings_a)
