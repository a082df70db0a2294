"""The Jacobian of a power flow with voltage-controlled generators, and its adjoint.

The unknowns are the voltages ``v`` of the nodes inside (those not held), the generators' currents
``i_g`` and, where the imbalance is shared, its size D.  They obey

    Y v + Y_0 m - sum_q conj(s_q / v_q) - sum_g i_g = 0       balance of current at every node
    |v_g|                 = set point                         every generator
    Re(v_g conj(i_g))     = schedule + share_g D              every generator
    Re(v_0 conj(i_0))     = share_0 D                         the reference

with the given powers ``s_q`` at the other ports and the part ``Y_0 m`` of the held nodes.  All
are split into real and imaginary parts, since conjugation is not linear over complex numbers.  A
function's gradient by the given powers and by m is one solution with the transposed matrix.
"""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp
import scipy.sparse.linalg as spla

from security_check.arrays import ComplexArray, FloatArray, IndexArray
from security_check.errors import PowerFlowError
from security_check.model.generators import Generators
from security_check.model.network import Network
from security_check.power_flow.operating_points import OperatingPoints


class Jacobian:
    """The pattern of one network's Jacobian, filled in at each operating point.

    Parameters
    ----------
    network
        The network; n nodes, N of them not held, J ports.
    generators
        Its g generators.
    port_node
        Shape (J,), the node of each port.
    """

    def __init__(self, network: Network, generators: Generators, port_node: IndexArray) -> None:
        self.generators = generators
        held = network.interface.nodes
        inside = np.delete(np.arange(len(network.nodes)), held)
        position = np.full(len(network.nodes), -1, dtype=np.int64)
        position[inside] = np.arange(len(inside))
        self._count = len(inside)
        self._inside = inside
        # The position of each port among the nodes inside; -1 at held nodes.
        self._at = position[port_node]
        self._is_generator = np.zeros(len(port_node), dtype=bool)
        self._is_generator[generators.ports] = True
        phasors = network.interface.phasors[:, 0]
        admittance = sp.csr_array(network.admittance)
        self._admittance = sp.csr_array(admittance[inside][:, inside])
        self._by_source: ComplexArray = np.asarray(admittance[inside][:, held] @ phasors)
        # The held nodes act as one: the currents into them are weighted so that the product of
        # their sum with m is the power.
        into_held = sp.csr_array(phasors.conj()[None, :]) @ admittance[held]
        self._into_held: ComplexArray = into_held.toarray()[0]
        self._held_itself = complex(self._into_held[held] @ phasors)
        relative = np.ones(len(network.nodes), dtype=np.complex128)
        relative[held] = phasors
        self._relative = relative[port_node]
        self._shares = generators.shares_imbalance
        self._size = 2 * self._count + 2 * len(generators.ports) + int(self._shares)
        self._lay_out()

    def _lay_out(self) -> None:
        """Fix the pattern, the constant entries, and the positions of the changing entries."""
        n, g = self._count, len(self.generators.ports)
        y = sp.coo_array(self._admittance)
        row, column = y.row.astype(np.int64), y.col.astype(np.int64)
        at = self._at[self.generators.ports]
        each, gen = np.arange(n), np.arange(g)
        real, imaginary = 2 * n + gen, 2 * n + g + gen
        magnitude, power = 2 * n + gen, 2 * n + g + gen
        fixed: list[tuple[IndexArray, IndexArray, FloatArray]] = [
            (row, column, y.data.real),
            (row, n + column, -y.data.imag),
            (n + row, column, y.data.imag),
            (n + row, n + column, y.data.real),
            (at, real, -np.ones(g)),
            (n + at, imaginary, -np.ones(g)),
        ]
        changing: list[tuple[IndexArray, IndexArray]] = [
            (each, each),
            (each, n + each),
            (n + each, each),
            (n + each, n + each),
            (magnitude, at),
            (magnitude, n + at),
            (power, at),
            (power, n + at),
            (power, real),
            (power, imaginary),
        ]
        if self._shares:
            last = self._size - 1
            fixed.append((power, np.full(g, last), -self.generators.participation))
            share = -np.array([self.generators.reference_participation])
            fixed.append((np.array([last]), np.array([last]), share))
            around = self._around
            changing += [(np.full(len(around), last), around)]
            changing += [(np.full(len(around), last), n + around)]
        rows = np.concatenate([at for at, _, _ in fixed] + [at for at, _ in changing])
        columns = np.concatenate([at for _, at, _ in fixed] + [at for _, at in changing])
        values = np.concatenate([value for _, _, value in fixed])
        # One key for each entry, row by row: the matrix is used transposed, column by column.
        keys = rows * self._size + columns
        pattern = np.unique(keys)
        self._fixed = np.zeros(len(pattern))
        np.add.at(self._fixed, np.searchsorted(pattern, keys[: len(values)]), values)
        self._changing = np.searchsorted(pattern, keys[len(values) :])
        self._within = (pattern % self._size).astype(np.int32)
        starts = np.searchsorted(pattern // self._size, np.arange(self._size + 1))
        self._starts = starts.astype(np.int32)

    @property
    def _around(self) -> IndexArray:
        """The nodes inside that are next to the held ones."""
        return np.flatnonzero(self._into_held[self._inside])

    def _transposed(self, state: OperatingPoints, source: float) -> sp.csc_array:
        """Return the transposed matrix at one operating point."""
        voltage, current = state.voltage[:, 0], state.current[:, 0]
        turning = self._turning(state)
        ports = self.generators.ports
        v, i = voltage[ports], current[ports]
        parts = [
            turning.real,
            turning.imag,
            turning.imag,
            -turning.real,
            v.real,
            v.imag,
            i.real,
            i.imag,
            v.real,
            v.imag,
        ]
        if self._shares:
            into = source * self._into_held[self._inside][self._around]
            parts += [into.real, -into.imag]
        data = self._fixed.copy()
        np.add.at(data, self._changing, np.concatenate(parts))
        return sp.csc_array((data, self._within, self._starts), shape=(self._size, self._size))

    def _turning(self, state: OperatingPoints) -> ComplexArray:
        """Return the derivative of given powers' currents at each node by ``-conj(dv)``, (N,)."""
        given = np.flatnonzero(~self._is_generator & (self._at >= 0))
        weight = state.current[given, 0] / state.voltage[given, 0].conj()
        turning = np.zeros(self._count, dtype=np.complex128)
        np.add.at(turning, self._at[given], weight)
        return turning

    def adjoint(
        self, by_current: ComplexArray, state: OperatingPoints, nodes: ComplexArray
    ) -> tuple[ComplexArray, FloatArray]:
        """Return gradients of several functions of the port currents at one operating point.

        Parameters
        ----------
        by_current
            Shape (J, F), ``df = Re(by_current' di_J)``.
        state
            One operating point.
        nodes
            Shape (n,), its node voltages.

        Returns
        -------
        by_port_power
            Shape (J, F), complex: by active and by reactive power of each port.
        by_source
            Shape (F,), per unit of the held magnitude.

        Raises
        ------
        PowerFlowError
            When the matrix is singular.
        """
        n, ports = self._count, self.generators.ports
        g = len(ports)
        source = float(state.source_pu[0, 0])
        voltage, current = state.voltage[:, 0], state.current[:, 0]
        follows = (current / voltage.conj())[:, None]
        inside = np.flatnonzero(~self._is_generator & (self._at >= 0))
        held = np.flatnonzero(~self._is_generator & (self._at < 0))
        right = self._right_side(by_current, inside, follows)
        try:
            factor = spla.splu(self._transposed(state, source))
        except RuntimeError:
            raise PowerFlowError(
                "the Jacobian is singular: the network is at voltage collapse"
            ) from None
        found = factor.solve(right)
        at_nodes = found[:n] - 1j * found[n : 2 * n]
        by_port = by_current.copy()
        by_port[inside] += at_nodes[self._at[inside]]
        by_port /= voltage.conj()[:, None]
        by_port[ports] = found[2 * n + g : 2 * n + 2 * g]
        by_source: FloatArray = -(at_nodes * self._by_source[:, None]).real.sum(axis=0)
        along = by_current[held] * follows[held] * self._relative[held].conj()[:, None]
        by_source -= along.real.sum(axis=0)
        if self._shares:
            by_port[held] += found[-1]
            drawn = complex(self._into_held @ nodes)
            by_source -= found[-1] * (drawn.real + source * self._held_itself.real)
        return by_port, by_source

    def _right_side(
        self, by_current: ComplexArray, inside: IndexArray, follows: ComplexArray
    ) -> FloatArray:
        """Return the functions' derivatives by the unknowns, shape (size, F).

        Parameters
        ----------
        by_current
            As in :meth:`adjoint`.
        inside
            The ports of given power at nodes that are not held.
        follows
            Shape (J, 1), ``conj(s) / conj(v)^2``: their currents change by ``-follows conj(dv)``.
        """
        n, ports = self._count, self.generators.ports
        g = len(ports)
        right = np.zeros((self._size, by_current.shape[1]))
        by_voltage = np.zeros((n, by_current.shape[1]), dtype=np.complex128)
        np.add.at(by_voltage, self._at[inside], -by_current[inside] * follows[inside])
        right[:n], right[n : 2 * n] = by_voltage.real, by_voltage.imag
        right[2 * n : 2 * n + g] = by_current[ports].real
        right[2 * n + g : 2 * n + 2 * g] = -by_current[ports].imag
        return right
