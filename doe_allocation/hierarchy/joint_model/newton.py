"""The AC power flow of all networks together, and its sensitivities to the customers' powers.

Newton's method on pandapower's admittances: angles and magnitudes as unknowns, generators hold
their voltages, and the imbalance is one more unknown where generators share it.  Sensitivities come
from the same Jacobian, transposed.

The power flow of ``security_check`` is not used here: the joint model checks results that were
computed with it, so an error in it must not appear on both sides.  pandapower's ``runpp`` takes
60 ms where this takes 1.3 ms (three-level hierarchy, 638 buses), because it models the net anew at
every call; the adversary needs thousands of flows, so ``runpp`` confirms the worst points only.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandapower as pp
import scipy.sparse as sp
from scipy.sparse.csgraph import connected_components
from scipy.sparse.linalg import splu

from doe_allocation.hierarchy.joint_model.pandapower_net import JointNet
from security_check.arrays import ComplexArray, FloatArray, IndexArray
from security_check.errors import PowerFlowError
from security_check.importers.pandapower_model import PLAIN, modelling
from security_check.model.element import Element, State
from security_check.model.element_ids import members_of, table_row

SIGNS = {"load": -1.0, "sgen": 1.0, "storage": -1.0}
"""Sign of the injection that a positive power means, in each of pandapower's tables."""

# Part of the mismatch left after a step; above it, the Jacobian is factorised anew.
_SLOW = 0.3
# Steps of Newton's method; a point that needs more counts as one without solution.
_MOST_STEPS = 40
# Per unit of the joint net's base: with 1 MVA, less than a milliwatt.
_TOLERANCE_PU = 1e-10


@dataclass(frozen=True, slots=True)
class GeneratorNode:
    """A generator in the joint model, or several of one node.

    Parameters
    ----------
    operator, name, node
        Its operator, its element (``"gen:3"``), and its node.
    schedule_pu, share
        Scheduled power, per unit, and its part of the imbalance on top of it.
    power_pu, reactive_pu
        Lowest and highest, per unit; infinite where there is no limit.
    """

    operator: str
    name: str
    node: int
    schedule_pu: float
    share: float
    power_pu: tuple[float, float]
    reactive_pu: tuple[float, float]


Source = tuple[float, ...]
"""The voltage held in each electrically separate part of the operator at the top, per unit."""


@dataclass(frozen=True, slots=True)
class JointFlowSolution:
    """A solution of the power flow.

    Parameters
    ----------
    voltage
        Shape (n,), complex, per unit of each bus.
    imbalance_pu
        The imbalance that generators share, per unit; 0 if the reference takes it alone.
    power_pu
        Shape (n,), complex power that enters at each node, customers and generators included.
    source_pu
        The magnitude held in each electrically separate part of the operator at the top.
    factors
        A factorised Jacobian from a point nearby, with which the next solution can start.
    """

    voltage: ComplexArray
    imbalance_pu: float
    power_pu: ComplexArray
    source_pu: Source
    factors: Any


class JointPowerFlow:
    """The power flow of a joint net, with everything in service or after an outage.

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
        Shape (c,), the node of each customer, in the order of :meth:`JointNet.customers`.
    parts
        Number of electrically separate parts that the operator at the top supplies.
    """

    def __init__(self, joined: JointNet, outage: str = "") -> None:
        self.joined, self.outage = joined, outage
        self.net, internal = _modelled(joined, outage)
        self.base_w = float(internal["baseMVA"]) * 1e6
        self.internal = internal
        self.Y = sp.csc_array(internal["Ybus"])
        self.Y_rows = sp.csr_array(self.Y)
        self.node_of: np.ndarray[Any, Any] = self.net._pd2ppc_lookups["bus"]
        buses = [int(self.net[_table(m)].bus.at[row]) for m, _, row in joined.customers()]
        self.customer_node: IndexArray = np.asarray(self.node_of[buses], dtype=np.int64)
        self._start = _start(internal)
        self._passive = self._passive_power()
        self._hold()
        n = self.Y.shape[0]
        self._by_angle = np.flatnonzero(~np.isin(np.arange(n), self.references))
        self._by_size = np.flatnonzero(~self._held)
        self._balanced = np.arange(n) if self._shared else self._by_angle

    # -- powers and voltages held ---------------------------------------------------------------

    def _passive_power(self) -> ComplexArray:
        """Return the passive power at each node, per unit: of devices without trade or control."""
        power = np.zeros(self.Y.shape[0], dtype=np.complex128)
        for kind, sign in SIGNS.items():
            rows = self.net[kind][self.net[kind].in_service.astype(bool)]
            drawn = rows.scaling * (rows.p_mw + 1j * rows.q_mvar) * 1e6 / self.base_w
            np.add.at(power, self.node_of[rows.bus.to_numpy(dtype=int)], sign * drawn.to_numpy())
        return power

    def _hold(self) -> None:
        """Gather external grids and generators: voltages, schedules, shares of the imbalance."""
        net, n = self.net, self.Y.shape[0]
        grids = net.ext_grid[net.ext_grid.in_service.astype(bool)]
        gens = net.gen[net.gen.in_service.astype(bool)]
        self._shared = self.joined.members[0].distributed_slack
        count = 1 if self._shared else len(grids)
        self.references = self._nodes(grids.bus.iloc[:count])
        self._angle = np.deg2rad(grids.va_degree.iloc[:count].to_numpy(dtype=float))
        label = connected_components(abs(self.Y), directed=False)[1][self.references]
        names = list(dict.fromkeys(label.tolist()))
        self.parts = len(names)
        self._part = np.array([names.index(own) for own in label.tolist()])
        set_point = grids.vm_pu.iloc[:count].to_numpy(dtype=float)
        first = [int(np.flatnonzero(self._part == own)[0]) for own in self._part]
        self._size = set_point / set_point[first]
        self._share = np.zeros(n)
        self._held = np.zeros(n, dtype=bool)
        self._held[self.references] = True
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

    @cached_property
    def machines(self) -> tuple[GeneratorNode, ...]:
        """The generators in service, with the limits that their operators' models have."""
        found = []
        for member in self.joined.members:
            generators = member.network.generators
            if generators is None:
                continue
            scale = member.network.base_power_w / self.base_w
            for g, name in enumerate(generators.names):
                table, index = table_row(members_of(name)[0])
                row = self.net[table].loc[self.joined.index(member.name, index)]
                if not row.in_service:
                    continue
                node = int(self.node_of[int(row.bus)])
                power = scale * generators.power_limits_pu[g]
                reactive = scale * generators.reactive_limits_pu[g]
                found.append(
                    GeneratorNode(
                        member.name,
                        name,
                        node,
                        float(self._schedule[node]),
                        float(self._share[node]),
                        (float(power[0]), float(power[1])),
                        (float(reactive[0]), float(reactive[1])),
                    )
                )
        return tuple(found)

    def given(self, power_pu: ComplexArray) -> ComplexArray:
        """Return the power at each node without that of generators, shape (n,)."""
        power = self._passive.copy()
        np.add.at(power, self.customer_node, power_pu)
        return power

    def magnitudes(self, source_pu: Source) -> FloatArray:
        """Return the voltage of each reference, in the order of ``references``."""
        held: FloatArray = np.array(source_pu)[self._part] * self._size
        return held

    # -- solutions ------------------------------------------------------------------------------

    def solve(
        self,
        power_pu: ComplexArray,
        source_pu: float | Source,
        near: JointFlowSolution | None = None,
    ) -> JointFlowSolution:
        """Return the operating point for given powers of the customers.

        Parameters
        ----------
        power_pu
            Shape (c,), complex power of each customer, injection positive.
        source_pu
            The voltage held at the interface of the operator at the top; where electrically
            separate parts have one each, that of each part.
        near
            A solution to start from.

        Raises
        ------
        PowerFlowError
            When Newton's method finds no solution.
        """
        given = self.given(power_pu) + self._schedule
        v = (self._start if near is None else near.voltage).copy()
        v[self._held] *= self._magnitude[self._held] / np.abs(v[self._held])
        source = (source_pu,) * self.parts if isinstance(source_pu, float) else source_pu
        v[self.references] = self.magnitudes(source) * np.exp(1j * self._angle)
        imbalance = 0.0 if near is None else near.imbalance_pu
        factors = None if near is None else near.factors
        before = np.inf
        for _ in range(_MOST_STEPS):
            flows = v * np.asarray(self.Y @ v).conj()
            wrong = flows - given - self._share * imbalance
            miss = np.concatenate([wrong[self._balanced].real, wrong[self._by_size].imag])
            size = float(np.abs(miss).max(initial=0.0))
            if size < _TOLERANCE_PU:
                return JointFlowSolution(v, imbalance, flows, source, factors)
            if factors is None or not size < _SLOW * before:
                factors = splu(self.jacobian(v))
            before = size
            v, imbalance = self._moved(v, imbalance, factors.solve(-miss))
            if not np.isfinite(v).all():
                break
        flow = Element("the joint power flow", State(outage=self.outage))
        raise PowerFlowError(f"{flow} has no solution at one of the points")

    def _moved(
        self, v: ComplexArray, imbalance: float, step: FloatArray
    ) -> tuple[ComplexArray, float]:
        """Return voltages and imbalance after one step of Newton's method."""
        angle, size = np.angle(v), np.abs(v)
        angle[self._by_angle] += step[: len(self._by_angle)]
        size[self._by_size] += step[len(self._by_angle) :][: len(self._by_size)]
        moved: ComplexArray = size * np.exp(1j * angle)
        return moved, imbalance + (float(step[-1]) if self._shared else 0.0)

    def jacobian(self, v: ComplexArray) -> sp.csc_array:
        """Return the derivative of the mismatch by angles, magnitudes and the imbalance."""
        by_angle, by_size = self.derivatives(v)
        blocks = [
            [
                part(D)[rows][:, columns]
                for D, columns in ((by_angle, self._by_angle), (by_size, self._by_size))
            ]
            for part, rows in ((_real, self._balanced), (_imag, self._by_size))
        ]
        if self._shared:
            blocks[0].append(sp.csr_array(-self._share[self._balanced][:, None]))
            blocks[1].append(sp.csr_array((len(self._by_size), 1)))
        return sp.csc_array(sp.block_array(blocks))

    def derivatives(self, v: ComplexArray) -> tuple[sp.csr_array, sp.csr_array]:
        """Return the derivatives of the power into each node by angles and by magnitudes."""
        current = np.asarray(self.Y @ v)
        V, way = sp.diags_array(v), sp.diags_array(v / np.abs(v))
        turned = sp.diags_array(current) - self.Y @ V
        by_size = V @ (self.Y @ way).conj() + sp.diags_array(current.conj()) @ way
        return sp.csr_array(1j * V @ turned.conj()), sp.csr_array(by_size)

    def sensitivities(
        self, state: JointFlowSolution, by_voltage: ComplexArray, by_imbalance: FloatArray
    ) -> ComplexArray:
        """Return the derivatives of quantities by every customer's power.

        Parameters
        ----------
        state
            The operating point.
        by_voltage
            Shape (n, k): ``df = Re(sum by_voltage dv)`` for each of k quantities.
        by_imbalance
            Shape (k,), derivatives by the imbalance.

        Returns
        -------
        gradient
            Shape (c, k): derivatives by active (real part) and by reactive power (imaginary part).
        """
        v = state.voltage
        size = np.abs(v)
        angle_part = (by_voltage * (1j * v)[:, None]).real[self._by_angle]
        size_part = (by_voltage * (v / size)[:, None]).real[self._by_size]
        parts = [angle_part, size_part]
        if self._shared:
            parts.append(by_imbalance[None, :])
        adjoint = splu(sp.csc_array(self.jacobian(v).T)).solve(np.concatenate(parts))
        by_active, by_reactive = np.zeros((2, *by_voltage.shape))
        by_active[self._balanced] = adjoint[: len(self._balanced)]
        by_reactive[self._by_size] = adjoint[len(self._balanced) :]
        gradient: ComplexArray = (by_active + 1j * by_reactive)[self.customer_node]
        return gradient


def _real(matrix: sp.csr_array) -> sp.csr_array:
    return sp.csr_array(matrix.real)


def _imag(matrix: sp.csr_array) -> sp.csr_array:
    return sp.csr_array(matrix.imag)


def _table(member: Any) -> str:
    return str(member.customer_table)


def _modelled(joined: JointNet, outage: str) -> tuple[Any, dict[str, Any]]:
    """Return the net after a run of pandapower, and its internal matrices."""
    net = copy.deepcopy(joined.net)
    if outage:
        table, index = table_row(outage)
        net[table].loc[joined.index(joined.members[0].name, index), "in_service"] = False
    with modelling():
        pp.runpp(net, **settings(joined))
    return net, net._ppc["internal"]


def settings(joined: JointNet) -> dict[str, Any]:
    """Return the options for pandapower's power flow of the joint net."""
    return {
        "calculate_voltage_angles": True,
        "trafo_model": "t",
        "init": "dc",
        "tolerance_mva": 1e-8,
        "max_iteration": 50,
        "distributed_slack": joined.members[0].distributed_slack,
        **PLAIN,
    }


def _start(internal: dict[str, Any]) -> ComplexArray:
    return np.array(internal["V"], dtype=np.complex128)
