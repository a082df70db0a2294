"""AC power flow with voltage-controlled generators and a distributed slack, and its gradients.

Generators inject currents at ports as customers do, so node voltages stay linear in the port
currents ``i_J`` and the held magnitudes m: ``v = no_load m + Z i_J``.  Two things differ from
``PowerFlow``.  Newton's method of lightsim2grid solves the operating points, with one symbolic
factorisation for a whole batch (docs/adr/0006-newton-library.md).  And gradients come from the
Jacobian at the solution
(:class:`~security_check.power_flow.newton_jacobian.Jacobian`), once for each different point.

Needs the optional package ``lightsim2grid``.
"""

from __future__ import annotations

import importlib
from functools import cached_property
from typing import Any

import numpy as np
import scipy.sparse as sp

from security_check.arrays import ComplexArray, FloatArray, IndexArray, first_of_equal
from security_check.errors import Fault, NetworkFaults, PowerFlowError
from security_check.model.generators import Generators
from security_check.model.network import Network
from security_check.power_flow.implicit_zbus import TOLERANCE_PU, PowerFlow
from security_check.power_flow.newton_jacobian import Jacobian
from security_check.power_flow.operating_points import OperatingPoints

MAX_ITERATIONS = 30
"""Newton iterations at most; it converges quadratically, or not at all."""

_ROUNDING = 2e-15  # of a sum of a node's currents, in parts of the largest admittance


def controlled(network: Network) -> tuple[Generators, IndexArray]:
    """Return the generators of a network, and the node of every port.

    Raises
    ------
    NetworkFaults
        When it has no generators, several voltages are held independently at its interface, or a
        port is not between one node and ground.
    """
    incidence = sp.csc_array(network.ports.incidence)
    single = (np.diff(incidence.indptr) == 1) & np.isclose(
        np.asarray(incidence.sum(axis=0)).ravel(), 1.0
    )
    faults = [
        Fault(network.ports.names[j], "power must enter between one node and ground here")
        for j in np.flatnonzero(~single)
    ]
    if network.generators is None or not network.generators.names:
        faults.append(Fault("network", "it has no voltage-controlled generators"))
    if network.held != 1:
        faults.append(Fault("interface", f"{network.held} voltages are held, only 1 may be here"))
    if network.generators is None or faults:
        raise NetworkFaults(faults)
    return network.generators, np.asarray(incidence.indices, dtype=np.int64)


class ControlledFlow(PowerFlow):
    """The power flow of one network with voltage-controlled generators.

    Parameters
    ----------
    network
        The network; n nodes, one held magnitude, J ports of which g are generators'.

    Raises
    ------
    ModuleNotFoundError
        When ``lightsim2grid`` is not installed.
    NetworkFaults
        As :func:`controlled`.
    """

    def __init__(self, network: Network) -> None:
        self._newton = _newton()
        self.generators, self._port_node = controlled(network)
        super().__init__(network)
        n = len(network.nodes)
        held = network.interface.nodes
        # All held nodes are one node in Newton's method, the first.
        self._reduced = np.zeros(n, dtype=np.int64)
        inside = np.delete(np.arange(n), held)
        self._reduced[inside] = 1 + np.arange(len(inside))
        weight = np.ones(n, dtype=np.complex128)
        weight[held] = network.interface.phasors[:, 0]
        self._spread = sp.csr_array((weight, (np.arange(n), self._reduced)))
        self._admittance = sp.csc_matrix(self._spread.conj().T @ network.admittance @ self._spread)
        self._jacobian = Jacobian(network, self.generators, self._port_node)

    @cached_property
    def _buses(self) -> tuple[Any, ...]:
        """Slack buses, their shares, PV and PQ buses, in the form of the library."""
        count = self._admittance.shape[0]
        at = self._reduced[self._port_node[self.generators.ports]]
        shares = np.zeros(count)
        shares[0] = self.generators.reference_participation
        shares[at] = self.generators.participation
        takes = self.generators.participation > 0.0
        slack = np.concatenate([[0], at[takes]])
        controlled = np.concatenate([[0], at])
        free = np.setdiff1d(np.arange(count), controlled)
        return (
            slack.astype(np.int32),
            shares,
            at[~takes].astype(np.int32),
            free.astype(np.int32),
        )

    def solve(
        self,
        power_pu: ComplexArray,
        source_pu: FloatArray,
        start: ComplexArray | None = None,
        tolerance_pu: float = TOLERANCE_PU,
    ) -> OperatingPoints:
        """Solve a batch of power flows.

        Parameters
        ----------
        power_pu
            Shape (J, B), complex power of each port, injection positive; at a generator's port
            the active power on top of its schedule, with the reactive part ignored.
        source_pu
            Shape (1, B), magnitude of the held voltage.
        start
            Shape (J, B), voltages across the ports to start from; flat where not given.
        tolerance_pu
            Largest error of a voltage at a port due to the power mismatch there.

        Returns
        -------
        OperatingPoints
            ``power_pu`` is what enters at the ports: of generators with their reactive power and
            their share of the imbalance.

        Raises
        ------
        PowerFlowError
            When a column does not converge; names how many and the worst node.
        """
        given = np.array(power_pu, dtype=np.complex128)
        at = self.generators.ports
        given[at] = given[at].real + self.generators.power_pu[:, None]
        injected = np.asfortranarray(self._into_buses @ given)
        flat = self._at_set_points(np.repeat(self._shifts, source_pu.shape[1], axis=1), source_pu)
        voltage = flat if start is None else self._recovered(start, source_pu)
        mismatch = max(tolerance_pu / self._weakest, self._least_mismatch)
        failed = self._iterate(voltage, injected, mismatch)
        if len(failed) and start is not None:
            again = flat[:, failed]
            left = self._iterate(again, injected[:, failed], mismatch)
            voltage[:, failed] = again
            failed = failed[left]
        if len(failed):
            raise self._not_solved(voltage[:, failed], injected[:, failed], voltage.shape[1])
        return self._points(given, source_pu, np.asarray(self._spread @ voltage))

    @cached_property
    def _weakest(self) -> float:
        """The largest impedance of any port: the voltage change per unit of power mismatch."""
        return max(float(np.abs(self._zjj.diagonal()).max()), 1e-9)

    @cached_property
    def _least_mismatch(self) -> float:
        """The power mismatch that rounding leaves."""
        return _ROUNDING * float(np.abs(self._admittance.data).max())

    def _iterate(
        self, voltage: ComplexArray, injected: ComplexArray, mismatch_pu: float
    ) -> IndexArray:
        """Solve each column, in place, and return which of them did not converge."""
        kinds = self._buses
        solver = self._newton()
        failed = []
        for k in range(voltage.shape[1]):
            # The library changes the vector that it starts from.
            column = voltage[:, k].copy()
            power = np.ascontiguousarray(injected[:, k])
            if not solver.solve(
                self._admittance, column, power, *kinds, MAX_ITERATIONS, mismatch_pu
            ):
                failed.append(k)
                solver.reset()
                continue
            voltage[:, k] = solver.get_V()
        return np.array(failed, dtype=np.int64)

    @cached_property
    def _shifts(self) -> ComplexArray:
        """The phase shifts of transformers up to each node, (n, 1), complex of length 1."""
        shifts: ComplexArray = self.no_load / np.abs(self.no_load)
        return shifts

    def no_load_voltage(self, source_pu: FloatArray) -> ComplexArray:
        """Return the (J, B) voltages across the ports from which the power flow starts.

        They are near nominal, since generators hold them there.
        """
        return np.repeat(self._shifts[self._port_node], source_pu.shape[1], axis=1)

    def _recovered(self, start: ComplexArray, source_pu: FloatArray) -> ComplexArray:
        """Return the voltages of all buses from the voltages across the ports."""
        own, recover = self._recovery
        nodes = self.no_load @ source_pu
        nodes += recover @ (start - self._wj @ source_pu)[own]
        return self._at_set_points(nodes, source_pu)

    def _at_set_points(self, nodes: ComplexArray, source_pu: FloatArray) -> ComplexArray:
        """Return bus voltages from node voltages, with held voltages at their magnitudes."""
        at = self._port_node[self.generators.ports]
        nodes[at] *= self.generators.voltage_pu[:, None] / np.abs(nodes[at])
        buses = np.empty((self._admittance.shape[0], nodes.shape[1]), dtype=np.complex128)
        buses[self._reduced] = nodes
        buses[0] = source_pu[0]
        return buses

    @cached_property
    def _recovery(self) -> tuple[IndexArray, ComplexArray]:
        """One port for each node with ports, and the matrix (n, p) from these to node voltages."""
        node, own = np.unique(self._port_node, return_index=True)
        own = own[self._reduced[node] > 0]
        recover = np.linalg.solve(self._zjj[np.ix_(own, own)].T, self.impedance[:, own].T).T
        return own.astype(np.int64), np.asarray(recover, dtype=np.complex128)

    @cached_property
    def _into_buses(self) -> sp.csr_array:
        """The incidence of ports at the buses of Newton's method."""
        ports = len(self._port_node)
        at = (self._reduced[self._port_node], np.arange(ports))
        return sp.csr_array((np.ones(ports), at), shape=(self._admittance.shape[0], ports))

    @cached_property
    def idle(self) -> OperatingPoints:
        """The operating point without customers, held at the generators' median voltage."""
        source = np.full((1, 1), float(np.median(self.generators.voltage_pu)))
        return self.solve(self.network.ports.passive_power_pu[:, None], source)

    def _points(
        self, power_pu: ComplexArray, source_pu: FloatArray, nodes: ComplexArray
    ) -> OperatingPoints:
        """Return the operating points of solved node voltages, shape (n, B)."""
        at = self.generators.ports
        voltage = nodes[self._port_node]
        current = power_pu.conj() / voltage.conj()
        current[at] = 0.0
        node = self._port_node[at]
        drawn = self.network.admittance[node] @ nodes
        current[at] = np.asarray(drawn - self.network.ports.incidence[node] @ current)
        power_pu[at] = voltage[at] * current[at].conj()
        return OperatingPoints(power_pu, source_pu, voltage, current)

    def _not_solved(
        self, voltage: ComplexArray, injected: ComplexArray, count: int
    ) -> PowerFlowError:
        """Return the error that names the node with the largest mismatch at the start."""
        mismatch = np.abs(voltage * (self._admittance @ voltage).conj() - injected)
        mismatch[self._buses[0]] = 0.0
        bus = int(mismatch.max(axis=1).argmax())
        node = int(np.flatnonzero(self._reduced == bus)[0])
        return PowerFlowError(
            f"{voltage.shape[1]} of {count} power flows with voltage-controlled generators did not "
            f"converge in {MAX_ITERATIONS} iterations; worst at {self.network.nodes[node]}"
        )

    def gradients(
        self, by_current: ComplexArray, points: OperatingPoints
    ) -> tuple[ComplexArray, FloatArray]:
        """Return gradients of functions of the currents by the ports' powers and the source.

        As :meth:`security_check.power_flow.implicit_zbus.PowerFlow.gradients`, with 0 at the ports
        of generators; equal points are factorised once.

        Raises
        ------
        PowerFlowError
            When the Jacobian is singular: the network is at voltage collapse.
        """
        by_port = np.zeros_like(by_current)
        by_source = np.zeros((1, by_current.shape[1]))
        parts = [points.current.real, points.current.imag, points.source_pu]
        first, group = first_of_equal(np.concatenate(parts).T)
        for k, point in enumerate(first):
            columns = np.flatnonzero(group == k)
            state = points.take(np.array([point]))
            nodes = self.node_voltages(state)[:, 0]
            found = self._jacobian.adjoint(by_current[:, columns], state, nodes)
            by_port[:, columns], by_source[:, columns] = found
        return by_port, by_source


def _newton() -> Any:
    """Return the solver class of lightsim2grid.

    Raises
    ------
    ModuleNotFoundError
        When it is not installed; names the extra to install.
    """
    try:
        return importlib.import_module("lightsim2grid.algorithm").NR_KLU
    except ModuleNotFoundError:
        raise ModuleNotFoundError(
            "networks with voltage-controlled generators need lightsim2grid: "
            "install doe-exchange[meshed]"
        ) from None
