"""The search for the worst corner of all customers' envelopes, on all levels at once.

It begins where sensitivities point (one corner for each quantity and direction) and at mixed
corners drawn at random, and climbs from the worst of them along the sensitivities at that very
corner, where at last single customers are turned: a corner at which sensitivities agree with it is
a worst one to the first order.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandapower as pp

from doe_allocation.hierarchy.allocation import HierarchyAllocation
from doe_allocation.hierarchy.joint_model.newton import JoinedFlow, JointFlowSolution, settings
from doe_allocation.hierarchy.joint_model.pandapower_net import JoinedNet
from doe_allocation.hierarchy.joint_model.quantities import CURRENT, Quantities
from security_check.arrays import ComplexArray, FloatArray
from security_check.importers.pandapower_model import modelling
from security_check.model.limits import InterfaceLimits

_STARTS = 120  # corners that sensitivities point to, for each voltage at the top
_MIXED = 24  # corners at random, for each voltage at the top
_CLIMBED = 2  # of each operator's quantities of one kind, how many are climbed, and each way
_STEPS = 4
_FLIPPED = 6  # customers turned one by one at the end of each climb
_COMPARED = 6  # of the worst points, how many pandapower looks at


@dataclass(frozen=True, slots=True)
class Freedom:
    """What customers may do: power between two limits, and reactive power with it; c of them.

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
    def of(cls, joined: JoinedNet, allocation: HierarchyAllocation, base_w: float) -> Freedom:
        """Return what the envelopes of an allocation leave to the customers."""
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
        """Nobody injects or withdraws, shape (c,)."""
        return np.asarray(1j * self.middle, dtype=np.complex128)

    def corners(self, gradient: ComplexArray) -> ComplexArray:
        """Return the corners at which quantities are largest to the first order.

        Parameters
        ----------
        gradient
            Shape (c, k), by active power its real part, by reactive power its imaginary part.
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
    """The search in one case, everything in service or an outage; c customers, K quantities.

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
        Shape (2 K,), the most by which quantities were beyond their highest, then their lowest,
        value, in parts of their scales; and what they were then.
    flows
        How many power flows there were.
    """

    def __init__(
        self,
        flow: JoinedFlow,
        contracts: Mapping[str, InterfaceLimits],
        allocation: HierarchyAllocation,
    ) -> None:
        self.flow = flow
        self.quantities = Quantities(flow, contracts)
        top = contracts[flow.joined.members[0].name]
        self._sources = sorted({top.voltage_min_pu, top.voltage_max_pu})
        self._freedom = Freedom.of(flow.joined, allocation, flow.base_w)
        count = 2 * len(self.quantities.what)
        self.excess: FloatArray = np.full(count, -np.inf)
        self.value: FloatArray = np.zeros(count)
        self._place = np.full(count, -1)
        self._points: list[tuple[JointFlowSolution, ComplexArray]] = []
        self.flows = 0

    def point(self, goal: int) -> tuple[JointFlowSolution, ComplexArray]:
        """Return where a quantity was worst: operating point, and the customers' powers (c,)."""
        return self._points[int(self._place[goal])]

    def run(self, rng: np.random.Generator) -> None:
        """Search from everywhere, then climb from the worst.

        Raises
        ------
        PowerFlowError
            When some point has no solution.
        """
        for source in self._sources:
            idle = self._look(self._freedom.idle, source)
            for power in (*self._pointed_at(idle), *self._mixed(rng)):
                self._look(power, source, idle)
        for goal in self._nearest():
            for source in (*self._sources, float(np.mean(self._sources))):
                self._ascend(goal, source)
            self._flip(goal)

    def _look(
        self, power: ComplexArray, source: float, near: JointFlowSolution | None = None
    ) -> JointFlowSolution:
        """Solve the power flow at a point, and keep what is worse than anything before."""
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
        """Return the corners that sensitivities point to, those nearest to a limit first.

        Of currents the power that flows is followed, either way: their size says nothing yet.
        """
        quantities = self.quantities
        every = np.arange(len(quantities.what))
        gradient = quantities.gradient(idle, every, flows=True)
        values = quantities.values(idle, self._freedom.idle)
        current = np.array([each.kind == CURRENT for each in quantities.what])
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
        """Return corners at random: each customer for itself, or each operator's as one."""
        names = [member.name for member, _, _ in self.flow.joined.customers()]
        _, group = np.unique(names, return_inverse=True)
        found = []
        for k in range(_MIXED):
            own = np.arange(len(names)) if k % 2 else group
            drawn = rng.normal(size=(len(names), 2))[own]
            found.append(self._freedom.corners((drawn[:, 0] + 1j * drawn[:, 1])[:, None])[:, 0])
        return found

    def _nearest(self) -> list[int]:
        """Return the goals worth climbing: nearest to its limit, of each operator and kind."""
        taken: dict[tuple[str, str, bool], int] = {}
        found = []
        for goal in np.argsort(-self.excess).tolist():
            what = self.quantities.what[goal % len(self.quantities.what)]
            key = what.operator, what.kind, goal < len(self.quantities.what)
            taken[key] = taken.get(key, 0) + 1
            if taken[key] <= _CLIMBED and np.isfinite(self.excess[goal]):
                found.append(goal)
        return found

    def _ascend(self, goal: int, source: float) -> None:
        """Go to the corner that sensitivities at the worst one point to, while that is worse."""
        count = len(self.quantities.what)
        way = 1.0 if goal < count else -1.0
        for _ in range(_STEPS):
            before = self._place[goal]
            state, power = self.point(goal)
            gradient = self.quantities.gradient(state, np.array([goal % count]))
            corner = self._freedom.corners(way * gradient)[:, 0]
            if np.array_equal(corner, power) and state.source_pu == source:
                return
            self._look(corner, source, state)
            if self._place[goal] == before:
                return

    def _flip(self, goal: int) -> None:
        """Turn one customer after the other at the worst corner, and keep what is worse.

        Of those who matter least there: sensitivities are surest about the others.
        """
        count = len(self.quantities.what)
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
            self._look(turned, state.source_pu, state)

    def disagreement(self) -> float:
        """Return how far pandapower's own power flow is off at the worst points.

        The largest difference of a voltage, per unit, or a line's current, parts of its rating.
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
        net.ext_grid.loc[grids, "vm_pu"] *= state.source_pu / net.ext_grid.vm_pu.at[grids[0]]
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


def _most(difference: Any) -> float:
    return float(np.nanmax(np.abs(np.asarray(difference, dtype=float)), initial=0.0))
