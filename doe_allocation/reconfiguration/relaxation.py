"""An upper bound on the smallest limit in any radial configuration, by a mixed-integer program.

Envelopes of t watts contain the point at which all customers withdraw t at the lowest interface
voltage.  Without losses, the power down each branch of a tree is not larger, and no voltage is
lower, than in the AC power flow, because losses only add to flows and drops.  So a secure point
satisfies

    U_end = U_start / ratio^2 - 2 (r P + x Q),  U >= minimum^2,  P <= rating (U + a^2) / (2 a)

along the branches in use (U squared voltages; the square root of U lies below its tangent at
``a^2``), where P and Q are the power drawn below.  The largest t over all trees and taps is a bound
for every configuration; if the solver stops early, its own bound on t is one, too.  The program
does not contain injection: where injection limits the envelopes, the bound is loose.

After Taylor and Hover, Convex models of distribution system reconfiguration, IEEE Trans. Power
Systems 27 (2012), whose relaxation is this one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
from scipy.optimize import Bounds, LinearConstraint, milp

from doe_allocation.capacity import Capacity
from doe_allocation.reconfiguration.choices import Choices, Configuration
from doe_allocation.reconfiguration.pi_branches import Branches
from doe_allocation.reconfiguration.switched_branches import SwitchedBranches
from security_check.arrays import ComplexArray, FloatArray, IndexArray
from security_check.model.limits import InterfaceLimits, VoltageLimits

_HIGHEST = 4.0  # per unit: largest squared voltage, far above any secure one
_NODES = 1_000  # nodes of the solver's tree, after which its bound is taken as it is
_FEASIBILITY = 1e-5  # parts of the largest capacity: allowance for the solver's tolerances


@dataclass(frozen=True, slots=True)
class RelaxationBound:
    """The result of the program.

    Parameters
    ----------
    bound_w
        No configuration has a larger smallest uncapped limit.
    configuration
        The best one without losses, a good start; ``None`` if the solver found none.
    """

    bound_w: float
    configuration: Configuration | None


@dataclass(frozen=True, slots=True)
class _Arcs:
    """The branches, one for each position of a tap changer; A of them."""

    branches: Branches
    edge: IndexArray
    position: IndexArray


def bound_by_relaxation(
    switched: SwitchedBranches,
    choices: Choices,
    voltage_limits: VoltageLimits,
    contracts: Sequence[InterfaceLimits],
    capacity: Capacity,
) -> RelaxationBound:
    """Return a bound on the smallest limit in every configuration that may be chosen.

    Parameters
    ----------
    switched
        The branches of all configurations.
    choices
        Which of them may be chosen.
    voltage_limits, contracts, capacity
        Conditions of the envelopes.
    """
    highest = float(capacity.upper_w().max(initial=0))
    if not capacity.withdrawal_w.any():
        return RelaxationBound(highest, None)
    lowest = min(contracts, key=lambda each: each.voltage_min_pu)
    least = min(
        contracts,
        key=lambda each: (
            np.inf if each.withdrawal_limit_w is None else each.withdrawal_limit_w,
            each.voltage_min_pu,
        ),
    )
    found = [
        _Program(switched, choices, voltage_limits, contract, capacity).solve()
        for contract in dict.fromkeys((lowest, least))
    ]
    best = min(found, key=lambda each: each.bound_w)
    return RelaxationBound(min(best.bound_w, highest), best.configuration)


class _Program:
    """The program under one contract.

    Its columns are t, the U of all nodes, and P, Q and a choice for each arc.
    """

    def __init__(
        self,
        switched: SwitchedBranches,
        choices: Choices,
        voltage_limits: VoltageLimits,
        contract: InterfaceLimits,
        capacity: Capacity,
    ) -> None:
        self.switched, self.choices, self.contract = switched, choices, contract
        self.limits = voltage_limits
        self.arcs = _arcs(switched)
        self.n, self.a = len(switched.network.nodes), len(self.arcs.edge)
        self.largest_w = float(capacity.withdrawal_w.max())
        network = switched.network
        share = np.abs((network.ports.incidence @ network.port_shares).toarray())
        ratio = 1.0 + 1j * network.reactive_ratio
        self.growing = share @ (ratio * capacity.withdrawal_w / network.base_power_w)
        self.constant = self._always_drawn(share)
        self.rows: list[sp.csr_array] = []
        self.low: list[FloatArray] = []
        self.high: list[FloatArray] = []

    def solve(self) -> RelaxationBound:
        """Solve the program; see :func:`bound_by_relaxation`."""
        self._conserve()
        self._drop()
        self._carry()
        self._choose()
        width = 1 + self.n + 3 * self.a
        low, high = np.full(width, -np.inf), np.full(width, np.inf)
        low[0], high[0] = 0.0, 1.0
        voltages = slice(1, 1 + self.n)
        low[voltages], high[voltages] = 0.0, _HIGHEST
        limited = 1 + self.switched.network.voltages.incidence.tocoo().col
        low[limited] = self.limits.minimum_pu**2
        low[1 + self.switched.sources] = high[1 + self.switched.sources] = (
            self.contract.voltage_min_pu**2
        )
        low[1 + self.n + 2 * self.a :], high[1 + self.n + 2 * self.a :] = 0.0, 1.0
        integral = np.zeros(width, dtype=np.int64)
        integral[1 + self.n + 2 * self.a :] = 1
        cost = np.zeros(width)
        cost[0] = -1.0
        found = milp(
            cost,
            integrality=integral,
            bounds=Bounds(low, high),
            constraints=LinearConstraint(
                sp.vstack(self.rows).tocsc(), np.concatenate(self.low), np.concatenate(self.high)
            ),
            options={"node_limit": _NODES},
        )
        if found.status == 2:  # infeasible even with all customers at zero
            return RelaxationBound(0.0, None)
        dual = found.get("mip_dual_bound")
        part = 1.0 if dual is None or not np.isfinite(dual) else min(1.0, -dual + _FEASIBILITY)
        bound_w = np.inf if part >= 1.0 else part * self.largest_w
        return RelaxationBound(bound_w, None if found.x is None else self._configuration(found.x))

    def _always_drawn(self, share: FloatArray) -> ComplexArray:
        """Return the least power drawn at the nodes besides t, with the charging of all lines."""
        network = self.switched.network
        drawn: ComplexArray = -np.asarray(network.ports.incidence @ network.ports.passive_power_pu)
        if network.reactive_freedom is not None:
            drawn = drawn - 1j * (share @ network.reactive_freedom.middle)
        branches = self.arcs.branches
        shunts = self.switched.shunts.copy()
        drawn = drawn + _least_drawn(shunts, self.limits)
        for node, own in (
            (branches.start, branches.start_shunt / branches.ratio**2),
            (branches.end, branches.end_shunt),
        ):
            # A branch that may be open, or at another tap, draws nothing; its charging counts.
            least = _least_drawn(own, self.limits)
            least = np.minimum(least.real, 0.0) + 1j * np.minimum(least.imag, 0.0)
            np.add.at(drawn, node, least)
        return drawn

    def _add(self, row: sp.csr_array, low: FloatArray, high: FloatArray) -> None:
        self.rows.append(row)
        self.low.append(low)
        self.high.append(high)

    def _row(
        self,
        t: FloatArray | None,
        voltage: sp.csr_array | None,
        p: sp.csr_array | None,
        q: sp.csr_array | None,
        choice: sp.csr_array | None,
        count: int,
    ) -> sp.csr_array:
        parts = [
            sp.csr_array((count, 1)) if t is None else sp.csr_array(t[:, None]),
            sp.csr_array((count, self.n)) if voltage is None else voltage,
        ]
        parts += [sp.csr_array((count, self.a)) if x is None else x for x in (p, q, choice)]
        return sp.csr_array(sp.hstack(parts))

    def _conserve(self) -> None:
        """Add the balance of each node but the sources, and the limit of the interface."""
        branches, every = self.arcs.branches, np.arange(self.a)
        signs = np.concatenate([-np.ones(self.a), np.ones(self.a)])
        at = np.concatenate([branches.start, branches.end])
        incidence = sp.csr_array((signs, (at, np.tile(every, 2))), shape=(self.n, self.a))
        inside = np.setdiff1d(np.arange(self.n), self.switched.sources)
        inside = np.intersect1d(inside, at)
        own = incidence[inside]
        for part, (p, q) in (("real", (own, None)), ("imag", (None, own))):
            constant = getattr(self.constant[inside], part)
            growing = getattr(self.growing[inside], part)
            self._add(self._row(-growing, None, p, q, None, len(inside)), constant, constant)
        limit_w = self.contract.withdrawal_limit_w
        if limit_w is not None:
            limit = np.array([limit_w / self.switched.network.base_power_w])
            row = self._row(np.array([self.growing.real.sum()]), None, None, None, None, 1)
            self._add(row, np.array([-np.inf]), limit - self.constant.real.sum())

    def _drop(self) -> None:
        """Add the voltage drops along the arcs in use."""
        branches, every = self.arcs.branches, np.arange(self.a)
        squared = branches.ratio**2
        voltage = sp.csr_array(
            (
                np.concatenate([-1.0 / squared, np.ones(self.a)]),
                (np.tile(every, 2), np.concatenate([branches.start, branches.end])),
            ),
            shape=(self.a, self.n),
        )
        p = sp.csr_array(sp.diags_array(2.0 * branches.impedance.real))
        q = sp.csr_array(sp.diags_array(2.0 * branches.impedance.imag))
        free = _HIGHEST * np.maximum(1.0, 1.0 / squared)
        choice = sp.csr_array(sp.diags_array(free))
        self._add(self._row(None, voltage, p, q, choice, self.a), np.full(self.a, -np.inf), free)
        self._add(self._row(None, voltage, p, q, -choice, self.a), -free, np.full(self.a, np.inf))

    def _carry(self) -> None:
        """Limit the flow of arcs in use to their ratings, of others to zero."""
        eye = sp.csr_array(sp.eye_array(self.a))
        most = np.abs(self.growing) + np.abs(self.constant)
        free = sp.csr_array(most.sum() * eye)
        none, never = np.zeros(self.a), np.full(self.a, -np.inf)
        for sign in (1.0, -1.0):
            self._add(self._row(None, None, sign * eye, None, -free, self.a), never, none)
            self._add(self._row(None, None, None, sign * eye, -free, self.a), never, none)
        if (self.constant.real < 0.0).any():
            return  # with passive generation, losses may reduce a flow towards the source
        tangent = 0.5 * (self.limits.minimum_pu + self.contract.voltage_min_pu)
        branches = self.arcs.branches
        for node, rating in (
            (branches.start, branches.start_rating),
            (branches.end, branches.end_rating),
        ):
            rated = np.flatnonzero(np.isfinite(rating))
            slope = rating[rated] / (2.0 * tangent)
            places = (np.arange(len(rated)), node[rated])
            voltage = sp.csr_array((-slope, places), shape=(len(rated), self.n))
            for sign in (1.0, -1.0):
                row = self._row(None, voltage, sign * eye[rated], None, None, len(rated))
                self._add(row, np.full(len(rated), -np.inf), slope * tangent**2)

    def _choose(self) -> None:
        """Require a tree, one position for each tap changer, and few enough operations."""
        switched, choices = self.switched, self.choices
        edges = len(switched.branches.elements)
        of_edge = sp.csr_array(
            (np.ones(self.a), (self.arcs.edge, np.arange(self.a))), shape=(edges, self.a)
        )
        fixed = (switched.switch < 0).astype(float)
        self._add(self._row(None, None, None, None, of_edge, edges), fixed, np.ones(edges))
        ends = np.concatenate([self.arcs.branches.start, self.arcs.branches.end])
        nodes = len(np.setdiff1d(ends, switched.sources))
        whole = self._row(None, None, None, None, sp.csr_array(np.ones((1, self.a))), 1)
        self._add(whole, np.array([float(nodes)]), np.array([float(nodes)]))
        if choices.most_operations is None:
            return
        cost = np.zeros(self.a)
        constant = 0.0
        closed = np.array([*choices.present.closed, False])
        for arc, edge in enumerate(self.arcs.edge):
            switch = switched.switch[edge]
            if switch >= 0:
                cost[arc] += -1.0 if closed[switch] else 1.0
        constant += float(closed.sum())
        for changer, tap in zip(switched.changers, choices.present.taps, strict=True):
            other = (self.arcs.edge == changer.branch) & (self.arcs.position != tap)
            cost[other] += 1.0
        row = self._row(None, None, None, None, sp.csr_array(cost[None, :]), 1)
        most = np.array([choices.most_operations - constant])
        self._add(row, np.array([-np.inf]), most)

    def _configuration(self, x: FloatArray) -> Configuration:
        """Return the configuration of a solution, made radial where it is not quite."""
        chosen = x[1 + self.n + 2 * self.a :]
        cost = [1.0] * len(self.choices.graph.switchable)
        taps = list(self.choices.present.taps)
        changer = {each.branch: k for k, each in enumerate(self.switched.changers)}
        for arc, edge in enumerate(self.arcs.edge.tolist()):
            if self.switched.switch[edge] >= 0:
                cost[self.switched.switch[edge]] -= float(chosen[arc])
            if edge in changer and chosen[arc] > 0.5:
                taps[changer[edge]] = int(self.arcs.position[arc])
        return Configuration(self.choices.graph.tree_along(cost), tuple(taps))


def _arcs(switched: SwitchedBranches) -> _Arcs:
    changing = [changer.branch for changer in switched.changers]
    edge = np.setdiff1d(np.arange(len(switched.branches.elements)), changing)
    branches, position = switched.branches.take(edge), np.zeros(len(edge), dtype=np.int64)
    for changer in switched.changers:
        branches = branches.joined(changer.variants)
        edge = np.concatenate([edge, np.full(len(changer.positions), changer.branch)])
        position = np.concatenate([position, np.array(changer.positions)])
    return _Arcs(branches, edge, position)


def _least_drawn(shunts: ComplexArray, limits: VoltageLimits) -> ComplexArray:
    """Return the least power that shunts may draw within the voltage limits."""
    power = shunts.conj()
    low, high = limits.minimum_pu**2, limits.maximum_pu**2
    real = np.where(power.real >= 0.0, low, high) * power.real
    imaginary = np.where(power.imag >= 0.0, low, high) * power.imag
    least: ComplexArray = real + 1j * imaginary
    return least
