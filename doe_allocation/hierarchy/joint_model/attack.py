"""The search for the worst vertex of all customers' envelopes, in all networks at once.

It starts at the vertices along the sensitivities (one for each quantity and direction) and at
vertices drawn at random.  From the worst of them it climbs along the sensitivities there, and at
the end changes single customers.  A vertex that lies along its own sensitivities is a worst one to
the first order.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandapower as pp

from doe_allocation.hierarchy.allocation import HierarchyAllocation
from doe_allocation.hierarchy.joint_model.newton import (
    JointFlowSolution,
    JointPowerFlow,
    Source,
    settings,
)
from doe_allocation.hierarchy.joint_model.pandapower_net import JointNet
from doe_allocation.hierarchy.joint_model.quantities import CURRENT, Quantities
from security_check.arrays import ComplexArray, FloatArray
from security_check.importers.pandapower_model import modelling
from security_check.model.limits import InterfaceLimits

# These bound the work of an attack: some hundred power flows for each voltage at the top.
_STARTS = 120  # vertices along sensitivities, for each voltage at the top
_MIXED = 24  # vertices at random, for each voltage at the top
_CLIMBED = 2  # quantities of one kind that are climbed, for each operator and direction
_STEPS = 4  # of a climb, which ends earlier where the vertex stays the same
_FLIPPED = 6  # customers changed one by one at the end of each climb
_COMBINED = 16  # voltages of separate parts at the top that are combined
_COMPARED = 6  # worst points that pandapower's power flow confirms


@dataclass(frozen=True, slots=True)
class CustomerFreedom:
    """The powers that customers may have: active between two limits, and reactive; c customers.

    Parameters
    ----------
    upper, lower
        Shape (c,), largest injection and minus the largest withdrawal, per unit.
    ratio, cone, middle, half
        Shape (c,), as in :class:`security_check.model.network_elements.ReactiveFreedom`, per unit.
    """

    upper: FloatArray
    lower: FloatArray
    ratio: FloatArray
    cone: FloatArray
    middle: FloatArray
    half: FloatArray

    @classmethod
    def of(
        cls, joined: JointNet, allocation: HierarchyAllocation, base_w: float
    ) -> CustomerFreedom:
        """Return the freedom that the envelopes of an allocation give to the customers."""
        limits, columns = allocation.customers, []
        for member, place, _ in joined.customers():
            network = member.network
            injection_w, withdrawal_w = limits[member.name, network.connection_points[place]]
            free, scale = network.reactive_freedom, network.base_power_w / base_w
            columns.append(
                (
                    injection_w / base_w,
                    -withdrawal_w / base_w,
                    float(network.reactive_ratio[place]),
                    0.0 if free is None else float(free.cone[place]),
                    0.0 if free is None else scale * float(free.middle[place]),
                    0.0 if free is None else scale * float(free.half[place]),
                )
            )
        return cls(*np.array(columns).T)

    @property
    def idle(self) -> ComplexArray:
        """The powers of customers that neither inject nor withdraw active power, shape (c,)."""
        return np.asarray(1j * self.middle, dtype=np.complex128)

    def corners(self, gradient: ComplexArray) -> ComplexArray:
        """Return the vertices at which quantities are largest to the first order, shape (c, k).

        Parameters
        ----------
        gradient
            Shape (c, k): derivatives by active power (real part) and by reactive power (imaginary).
        """
        by_power = gradient.real + gradient.imag * self.ratio[:, None]
        by_cone = np.abs(gradient.imag) * self.cone[:, None]
        up, down = self.upper[:, None], self.lower[:, None]
        injects = (by_power + by_cone) * up >= (by_power - by_cone) * down
        active = np.where(injects, up, down)
        reach = self.half[:, None] + self.cone[:, None] * np.abs(active)
        reactive = self.ratio[:, None] * active + self.middle[:, None]
        corners = active + 1j * (reactive + np.sign(gradient.imag) * reach)
        return np.asarray(corners, dtype=np.complex128)


class JointModelAttack:
    """The attack in one case, all in service or one outage; c customers, K quantities.

    Parameters
    ----------
    flow
        The power flow of the case.
    contracts
        In force at the interface of each operator, by name.
    allocation
        The envelopes.

    Attributes
    ----------
    excess, value
        Shape (2 K,): the most by which quantities exceeded their highest, then fell below their
        lowest value, in parts of their scales; and their values then.
    flows
        Number of power flows.
    """

    def __init__(
        self,
        flow: JointPowerFlow,
        contracts: Mapping[str, InterfaceLimits],
        allocation: HierarchyAllocation,
    ) -> None:
        self.flow = flow
        self.quantities = Quantities(flow, contracts)
        top = contracts[flow.joined.members[0].name]
        self._sources = _sources(top, flow.parts)
        self._freedom = CustomerFreedom.of(flow.joined, allocation, flow.base_w)
        count = 2 * len(self.quantities.items)
        self.excess: FloatArray = np.full(count, -np.inf)
        self.value: FloatArray = np.zeros(count)
        self._place = np.full(count, -1)
        self._points: list[tuple[JointFlowSolution, ComplexArray]] = []
        self.flows = 0

    def point(self, goal: int) -> tuple[JointFlowSolution, ComplexArray]:
        """Return the worst point of a quantity: operating point, and customers' powers (c,)."""
        return self._points[int(self._place[goal])]

    def run(self, rng: np.random.Generator) -> None:
        """Evaluate all starts, then climb from the worst.

        Raises
        ------
        PowerFlowError
            When a point has no power flow solution.
        """
        for source in self._sources:
            idle = self._solve_at(self._freedom.idle, source)
            for power in (*self._pointed_at(idle), *self._mixed(rng)):
                self._solve_at(power, source, idle)
        for goal in self._nearest():
            middle = tuple(np.mean(self._sources, axis=0).tolist())
            for source in (*self._sources, middle):
                self._ascend(goal, source)
            self._flip(goal)

    def _solve_at(
        self, power: ComplexArray, source: Source, near: JointFlowSolution | None = None
    ) -> JointFlowSolution:
        """Solve the power flow at a point, and record the quantities that are worst there."""
        state = self.flow.solve(power, source, near)
        self.flows += 1
        values = self.quantities.values(state, power)
        excess = self.quantities.excess(values)
        worse = np.flatnonzero(excess > self.excess)
        if len(worse):
            self.excess[worse] = excess[worse]
            self.value[worse] = values[worse % len(values)]
            self._place[worse] = len(self._points)
            self._points.append((state, power))
        return state

    def _pointed_at(self, idle: JointFlowSolution) -> list[ComplexArray]:
        """Return the vertices along the sensitivities, those nearest to a limit first.

        For currents, the sensitivities are those of the power that flows, in both directions: the
        magnitude of a current has none where it is zero.
        """
        quantities = self.quantities
        every = np.arange(len(quantities.items))
        gradient = quantities.gradient(idle, every, flows=True)
        values = quantities.values(idle, self._freedom.idle)
        current = np.array([each.kind == CURRENT for each in quantities.items])
        found: dict[bytes, tuple[float, ComplexArray]] = {}
        for way in (1.0, -1.0):
            corners = self._freedom.corners(way * gradient)
            change = (gradient.conj() * (corners - self._freedom.idle[:, None])).real.sum(axis=0)
            reached = np.where(current, np.abs(change), values + change)
            near = quantities.excess(reached).reshape(2, -1).max(axis=0)
            for k in every.tolist():
                key = corners[:, k].tobytes()
                if key not in found or found[key][0] < near[k]:
                    found[key] = float(near[k]), corners[:, k]
        ordered = sorted(found.values(), key=lambda each: -each[0])
        return [power for _, power in ordered[:_STARTS]]

    def _mixed(self, rng: np.random.Generator) -> list[ComplexArray]:
        """Return random vertices: customers independent, or each operator's customers alike."""
        names = [member.name for member, _, _ in self.flow.joined.customers()]
        _, group = np.unique(names, return_inverse=True)
        found = []
        for k in range(_MIXED):
            own = np.arange(len(names)) if k % 2 else group
            drawn = rng.normal(size=(len(names), 2))[own]
            found.append(self._freedom.corners((drawn[:, 0] + 1j * drawn[:, 1])[:, None])[:, 0])
        return found

    def _nearest(self) -> list[int]:
        """Return the goals to climb: nearest to their limits, for each operator and kind."""
        taken: dict[tuple[str, str, bool], int] = {}
        found = []
        for goal in np.argsort(-self.excess).tolist():
            what = self.quantities.items[goal % len(self.quantities.items)]
            key = what.operator, what.kind, goal < len(self.quantities.items)
            taken[key] = taken.get(key, 0) + 1
            if taken[key] <= _CLIMBED and np.isfinite(self.excess[goal]):
                found.append(goal)
        return found

    def _ascend(self, goal: int, source: Source) -> None:
        """Go from the worst vertex to the one along its sensitivities, while that is worse."""
        count = len(self.quantities.items)
        way = 1.0 if goal < count else -1.0
        for _ in range(_STEPS):
            before = self._place[goal]
            state, power = self.point(goal)
            gradient = self.quantities.gradient(state, np.array([goal % count]))
            corner = self._freedom.corners(way * gradient)[:, 0]
            if np.array_equal(corner, power) and state.source_pu == source:
                return
            self._solve_at(corner, source, state)
            if self._place[goal] == before:
                return

    def _flip(self, goal: int) -> None:
        """Change one customer after the other at the worst vertex, and keep worse vertices.

        Only the customers with the least effect there: the sensitivities of others are certain.
        """
        count = len(self.quantities.items)
        way = 1.0 if goal < count else -1.0
        state, power = self.point(goal)
        gradient = way * self.quantities.gradient(state, np.array([goal % count]))
        matters = np.abs(gradient[:, 0]) * (self._freedom.upper - self._freedom.lower)
        for customer in np.argsort(matters)[:_FLIPPED].tolist():
            state, power = self.point(goal)
            other = np.array(gradient)
            other[customer] = -other[customer]
            turned = power.copy()
            turned[customer] = self._freedom.corners(other)[customer, 0]
            self._solve_at(turned, state.source_pu, state)

    def disagreement(self) -> float:
        """Return the largest difference to pandapower's power flow at the worst points.

        Of a voltage, per unit, or of a line's current, in parts of its rating.
        """
        worst = [self._place[goal] for goal in np.argsort(-self.excess).tolist()]
        points = [self._points[p] for p in dict.fromkeys(worst) if p >= 0][:_COMPARED]
        return max(self._difference(state, power) for state, power in points)

    def _difference(self, state: JointFlowSolution, power: ComplexArray) -> float:
        flow, joined = self.flow, self.flow.joined
        net = flow.net
        for (member, _, row), own in zip(joined.customers(), power.tolist(), strict=True):
            table = member.customer_table
            size = flow.base_w / 1e6 * (1.0 if table == "sgen" else -1.0)
            net[table].loc[row, ["p_mw", "q_mvar"]] = size * own.real, size * own.imag
        grids = net.ext_grid.index[net.ext_grid.in_service.astype(bool)]
        held = flow.magnitudes(state.source_pu)
        net.ext_grid.loc[grids, "vm_pu"] *= held[0] / net.ext_grid.vm_pu.at[grids[0]]
        net.ext_grid.loc[grids[: len(held)], "vm_pu"] = held
        with modelling():
            pp.runpp(net, **settings(joined))
        buses = net.bus.index[net.bus.in_service.astype(bool)]
        nodes = flow.node_of[buses.to_numpy(dtype=int)]
        voltages = _most(net.res_bus.vm_pu[buses] - np.abs(state.voltage)[nodes])
        rated = net.line.max_i_ka * net.line.df * net.line.parallel
        currents = (
            _most((net.res_line[f"i_{end}_ka"] - size) / rated)
            for end, size in self.quantities.line_currents_ka(state).items()
        )
        return max(voltages, *currents)


def _sources(contract: InterfaceLimits, parts: int) -> list[Source]:
    """Return the voltages at the top that are tried: ends of the band, combined for few parts.

    With many parts, all at one end, or one of them at the other.
    """
    ends = sorted({contract.voltage_min_pu, contract.voltage_max_pu})
    if len(ends) ** parts <= _COMBINED:
        return list(itertools.product(ends, repeat=parts))
    alike = [(end,) * parts for end in ends]
    odd = [
        (*each[:part], ends[1 - k], *each[part + 1 :])
        for k, each in enumerate(alike)
        for part in range(parts)
    ]
    return [*alike, *odd]


def _most(difference: Any) -> float:
    return float(np.nanmax(np.abs(np.asarray(difference, dtype=float)), initial=0.0))
