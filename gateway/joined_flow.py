"""The AC power flow of all levels together, and how everything in it follows the customers.

A plain Newton's method on pandapower's admittances, apart from the one that the allocation uses:
angles and magnitudes as unknowns, generators hold their voltages, and the imbalance is one more
unknown where generators share it.  Sensitivities come from the same Jacobian, transposed.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandapower as pp
import scipy.sparse as sp
from scipy.sparse.linalg import splu

from gateway.joined_net import JoinedNet, element_of
from security_check.errors import PowerFlowError
from security_check.from_pandapower import PLAIN, modelling
from security_check.network import ComplexArray, FloatArray, IndexArray

MOST_STEPS = 20
TOLERANCE_PU = 1e-10  # of the joined net's base: with 1 MVA, less than a milliwatt


@dataclass(frozen=True, slots=True)
class State:
    """A solution of the power flow.

    Parameters
    ----------
    voltage
        Shape (n,), complex, per unit of each bus.
    imbalance_pu
        What the participants take together; 0 where the reference alone does.
    power_pu
        Shape (n,), complex power that enters at each node, customers and generators included.
    source_pu
        The magnitude held at the interface of the operator at the top.
    """

    voltage: ComplexArray
    imbalance_pu: float
    power_pu: ComplexArray
    source_pu: float


class JoinedFlow:
    """The power flow of a joined net, with everything in service or after an outage.

    Parameters
    ----------
    joined
        The net.
    outage
        An element of the operator at the top that is out of service; empty for none.

    Attributes
    ----------
    Y, Yf, Yt
        Admittance of the n nodes, and of the branches' ends.
    node_of
        The node of each bus index.
    customer_node
        Shape (c,), the node of each customer, in the order of :meth:`JoinedNet.customers`.
    """

    def __init__(self, joined: JoinedNet, outage: str = "") -> None:
        self.joined, self.outage = joined, outage
        self.net, internal = _modelled(joined, outage)
        self.base_w = float(internal["baseMVA"]) * 1e6
        self.internal = internal
        self.Y = sp.csc_array(internal["Ybus"])
        self.node_of: np.ndarray[Any, Any] = self.net._pd2ppc_lookups["bus"]
        buses = [int(self.net[_table(m)].bus.at[row]) for m, _, row in joined.customers()]
        self.customer_node: IndexArray = np.asarray(self.node_of[buses], dtype=np.int64)
        self._start = _start(internal)
        self._passive = self._passive_power()
        self._hold()
        n = self.Y.shape[0]
        self._by_angle = np.flatnonzero(~np.isin(np.arange(n), self._references))
        self._by_size = np.flatnonzero(~self._held)
        self._balanced = np.arange(n) if self._shared else self._by_angle

    # -- what is held ---------------------------------------------------------------------------

    def _passive_power(self) -> ComplexArray:
        """Return the power of what neither trades nor holds a voltage, per unit."""
        power = np.zeros(self.Y.shape[0], dtype=np.complex128)
        for kind, sign in (("load", -1.0), ("sgen", 1.0), ("storage", -1.0)):
            rows = self.net[kind][self.net[kind].in_service.astype(bool)]
            drawn = rows.scaling * (rows.p_mw + 1j * rows.q_mvar) * 1e6 / self.base_w
            np.add.at(power, self.node_of[rows.bus.to_numpy(dtype=int)], sign * drawn.to_numpy())
        return power

    def _hold(self) -> None:
        """Gather external grids and generators: voltages, schedules, shares of the imbalance."""
        net, n = self.net, self.Y.shape[0]
        grids = net.ext_grid[net.ext_grid.in_service.astype(bool)]
        gens = net.gen[net.gen.in_service.astype(bool)]
        self._shared = self.joined.members[0].section.distributed_slack
        count = 1 if self._shared else len(grids)
        self._references = self._nodes(grids.bus.iloc[:count])
        self._angle = np.deg2rad(grids.va_degree.iloc[:count].to_numpy(dtype=float))
        self._size = (grids.vm_pu / grids.vm_pu.iloc[0]).iloc[:count].to_numpy(dtype=float)
        self._share = np.zeros(n)
        self._held = np.zeros(n, dtype=bool)
        self._held[self._references] = True
        self._magnitude = np.ones(n)
        self._schedule = np.zeros(n)
        for rows in (grids.iloc[count:], gens):
            at = self._nodes(rows.bus)
            self._held[at] = True
            self._magnitude[at] = rows.vm_pu.to_numpy(dtype=float)
            if "p_mw" in rows:
                scheduled = rows.p_mw * rows.scaling * 1e6 / self.base_w
                np.add.at(self._schedule, at, scheduled.to_numpy(dtype=float))
        if self._shared:
            for rows in (grids, gens):
                np.add.at(self._share, self._nodes(rows.bus), rows.slack_weight.to_numpy(float))
            self._share /= self._share.sum()

    def _nodes(self, buses: Any) -> IndexArray:
        return np.asarray(self.node_of[buses.to_numpy(dtype=int)], dtype=np.int64)

    @property
    def generators(self) -> tuple[FloatArray, FloatArray]:
        """Scheduled power and share of the imbalance of what is at each node, shape (n,)."""
        return self._schedule, self._share

    # -- solutions ------------------------------------------------------------------------------

    def solve(
        self, power_pu: ComplexArray, source_pu: float, near: State | None = None
    ) -> State:
        """Return the operating point at which customers have some power.

        Parameters
        ----------
        power_pu
            Shape (c,), complex power of each customer, injection positive.
        source_pu
            The voltage held at the interface of the operator at the top.
        near
            Where to begin.

        Raises
        ------
        PowerFlowError
            When Newton's method finds no solution.
        """
        given = self._passive + self._schedule
        np.add.at(given, self.customer_node, power_pu)
        v = (self._start if near is None else near.voltage).copy()
        v[self._held] *= self._magnitude[self._held] / np.abs(v[self._held])
        v[self._references] = source_pu * self._size * np.exp(1j * self._angle)
        imbalance = 0.0 if near is None else near.imbalance_pu
        for _ in range(MOST_STEPS):
            flows = v * (self.Y @ v).conj()
            wrong = flows - given - self._share * imbalance
            miss = np.concatenate([wrong[self._balanced].real, wrong[self._by_size].imag])
            if np.abs(miss).max(initial=0.0) < TOLERANCE_PU:
                return State(v, imbalance, flows, source_pu)
            step = splu(self.jacobian(v)).solve(-miss)
            angle, size = np.angle(v), np.abs(v)
            angle[self._by_angle] += step[: len(self._by_angle)]
            size[self._by_size] += step[len(self._by_angle) :][: len(self._by_size)]
            imbalance += float(step[-1]) if self._shared else 0.0
            v = size * np.exp(1j * angle)
            if not np.isfinite(v).all():
                break
        where = f" without {self.outage}" if self.outage else ""
        raise PowerFlowError(f"the power flow of all levels{where} has no solution at some point")

    def jacobian(self, v: ComplexArray) -> sp.csc_array:
        """Return the derivative of the mismatch by angles, magnitudes and the imbalance."""
        by_angle, by_size = self.derivatives(v)
        blocks = [
            [part(D)[rows][:, columns] for D, columns in ((by_angle, self._by_angle),
                                                          (by_size, self._by_size))]
            for part, rows in ((_real, self._balanced), (_imag, self._by_size))
        ]
        if self._shared:
            blocks[0].append(sp.csr_array(-self._share[self._balanced][:, None]))
            blocks[1].append(sp.csr_array((len(self._by_size), 1)))
        return sp.csc_array(sp.block_array(blocks))

    def derivatives(self, v: ComplexArray) -> tuple[sp.csr_array, sp.csr_array]:
        """Return how the power that enters each node changes with angles and magnitudes."""
        current = self.Y @ v
        V, way = sp.diags_array(v), sp.diags_array(v / np.abs(v))
        turned = sp.diags_array(current) - self.Y @ V
        by_size = V @ (self.Y @ way).conj() + sp.diags_array(current.conj()) @ way
        return sp.csr_array(1j * V @ turned.conj()), sp.csr_array(by_size)

    def sensitivities(self, state: State, by_voltage: ComplexArray, by_imbalance: FloatArray
    ) -> ComplexArray:
        """Return how quantities change with every customer's power.

        Parameters
        ----------
        state
            The operating point.
        by_voltage
            Shape (n, k): ``df = Re(sum by_voltage dv)`` for each of k quantities.
        by_imbalance
            Shape (k,), how they change with the imbalance itself.

        Returns
        -------
        gradient
            Shape (c, k): the real part by active, the imaginary part by reactive power.
        """
        v = state.voltage
        size = np.abs(v)
        angle_part = (by_voltage * (1j * v)[:, None]).real[self._by_angle]
        size_part = (by_voltage * (v / size)[:, None]).real[self._by_size]
        parts = [angle_part, size_part]
        if self._shared:
            parts.append(by_imbalance[None, :])
        adjoint = splu(self.jacobian(v)).solve(np.concatenate(parts), trans="T")
        n = len(v)
        by_active, by_reactive = np.zeros((n, adjoint.shape[1])), np.zeros((n, adjoint.shape[1]))
        by_active[self._balanced] = adjoint[: len(self._balanced)]
        by_reactive[self._by_size] = adjoint[len(self._balanced) :]
        gradient: ComplexArray = (by_active + 1j * by_reactive)[self.customer_node]
        return gradient


def _real(matrix: sp.csr_array) -> sp.csr_array:
    return sp.csr_array(matrix.real)


def _imag(matrix: sp.csr_array) -> sp.csr_array:
    return sp.csr_array(matrix.imag)


def _table(member: Any) -> str:
    return str(member.section.connection_points)


def _modelled(joined: JoinedNet, outage: str) -> tuple[Any, dict[str, Any]]:
    """Return the net as pandapower modelled it, and its internal matrices."""
    net = copy.deepcopy(joined.net)
    if outage:
        table = outage.partition(":")[0]
        net[table].loc[joined.index(joined.members[0].name, element_of(outage)), "in_service"] = (
            False
        )
    with modelling():
        pp.runpp(net, **settings(joined))
    return net, net._ppc["internal"]


def settings(joined: JoinedNet) -> dict[str, Any]:
    """Return how pandapower shall run the joined net."""
    return {
        "calculate_voltage_angles": True,
        "trafo_model": "t",
        "init": "dc",
        "tolerance_mva": 1e-8,
        "max_iteration": 50,
        "distributed_slack": joined.members[0].section.distributed_slack,
        **PLAIN,
    }


def _start(internal: dict[str, Any]) -> ComplexArray:
    return np.array(internal["V"], dtype=np.complex128)
