"""The limited quantities of the joint model: voltages, currents, interfaces and generators.

Each quantity f has a lowest and a highest value.  A bus has the voltage limits of its operator; a
child's interface has the band of its contract, the envelope that its parent granted, and the
reactive range agreed.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp

from doe_allocation.hierarchy.joint_model.interface_power import entering, passive_at
from doe_allocation.hierarchy.joint_model.members import Boundary
from doe_allocation.hierarchy.joint_model.newton import JointFlowSolution, JointPowerFlow
from security_check.arrays import ComplexArray, FloatArray, IndexArray
from security_check.importers.pandapower_model import bus_names, terminals
from security_check.model.element_ids import table_row
from security_check.model.limits import InterfaceLimits

VOLTAGE, CURRENT, BAND, ACTIVE, REACTIVE, GENERATION = (
    "voltage",
    "current",
    "interface voltage",
    "interface power",
    "interface reactive power",
    "generator",
)
KINDS = (VOLTAGE, CURRENT, BAND, ACTIVE, REACTIVE, GENERATION)
_VOLTS = 0.1  # per unit: the scale of voltages, about the width of their limits
_LEAST_W = 1e3  # W: the smallest scale of powers, which else is the width of their range
_NO_CURRENT = 1e-12  # per unit: a current below has no direction


@dataclass(frozen=True, slots=True)
class Quantity:
    """The name and unit of one quantity.

    Parameters
    ----------
    operator, kind, element
        Its operator, one of :data:`KINDS`, and its element, ``"line:7 from"``.
    unit, per_unit
        The unit of reports, and the value of 1 per unit in it.
    """

    operator: str
    kind: str
    element: str
    unit: str
    per_unit: float


@dataclass(frozen=True, slots=True)
class _QuantityGroup:
    """Quantities of one kind with their limits and scales; k of them."""

    items: tuple[Quantity, ...]
    low: FloatArray
    high: FloatArray
    scale: FloatArray


class Quantities:
    """All quantities of a joint power flow; K quantities, c customers, n nodes.

    Parameters
    ----------
    flow
        The power flow, with everything in service or after an outage.
    contracts
        In force at the interface of each operator, by name.

    Attributes
    ----------
    items
        The K quantities.
    low, high, scale
        Shape (K,), per unit; infinite where there is no limit.
    """

    def __init__(self, flow: JointPowerFlow, contracts: Mapping[str, InterfaceLimits]) -> None:
        self.flow = flow
        self._contracts = contracts
        parts = (
            self._voltages(),
            self._currents(),
            self._powers(),
            self._reactive(),
            self._active(),
        )
        self.items: tuple[Quantity, ...] = tuple(w for part in parts for w in part.items)
        self.low: FloatArray = np.concatenate([part.low for part in parts])
        self.high: FloatArray = np.concatenate([part.high for part in parts])
        self.scale: FloatArray = np.concatenate([part.scale for part in parts])
        self._first = np.cumsum([0, *(len(part.items) for part in parts)])

    # -- the quantities -------------------------------------------------------------------------

    def _voltages(self) -> _QuantityGroup:
        """Return the voltages of all buses but the interface at the top, and of all interfaces."""
        flow, joined = self.flow, self.flow.joined
        n = flow.Y.shape[0]
        real, _ = bus_names(flow.net, flow.node_of, n)
        found: list[tuple[int, Quantity, float, float]] = []
        # The upstream operator keeps the voltage of a node that is an interface.
        kept = {(joined.members[0].name, int(node)) for node in flow.references}
        kept |= {(b.child, self._interface_node(b)) for b in joined.boundaries}
        for bus in flow.net.bus.index[flow.net.bus.in_service.astype(bool)]:
            node, member = int(flow.node_of[bus]), joined.owner(bus)
            if not 0 <= node < n or not real[node] or (member.name, node) in kept:
                continue
            kept.add((member.name, node))
            limits = member.voltage_limits
            what = Quantity(member.name, VOLTAGE, joined.own_id("bus", bus), "p.u.", 1.0)
            found.append((node, what, limits.minimum_pu, limits.maximum_pu))
        for boundary in joined.boundaries:
            contract = self._contracts[boundary.child]
            what = Quantity(boundary.child, BAND, boundary.connection_point, "p.u.", 1.0)
            band = contract.voltage_min_pu, contract.voltage_max_pu
            found.append((self._interface_node(boundary), what, *band))
        self._voltage_node: IndexArray = np.array([each[0] for each in found], dtype=np.int64)
        return _QuantityGroup(
            tuple(each[1] for each in found),
            np.array([each[2] for each in found]),
            np.array([each[3] for each in found]),
            np.full(len(found), _VOLTS),
        )

    def _currents(self) -> _QuantityGroup:
        flow, joined = self.flow, self.flow.joined
        ends = terminals(flow.net, flow.internal)
        self._terminal: sp.csr_array = ends.admittance
        names, nodes = [], []
        for element, side, ampere in zip(
            ends.elements, ends.sides, ends.base_current_a, strict=True
        ):
            table, index = table_row(element)
            bus = flow.net[table][f"{side}_bus"].at[index]
            nodes.append(int(flow.node_of[bus]))
            operator = joined.owner(index).name
            name = f"{joined.own_id(table, index)} {side}"
            names.append(Quantity(operator, CURRENT, name, "A", float(ampere)))
        self._end_node: IndexArray = np.array(nodes, dtype=np.int64)
        self._current_quantities = tuple(names)
        return _QuantityGroup(
            tuple(names), np.full(len(names), -math.inf), ends.rating_pu, ends.rating_pu
        )

    def _powers(self) -> _QuantityGroup:
        """Return active and reactive power out of each child, and of the operator at the top.

        The latter is the sum over all of its external grids: the contract limits them together.
        """
        flow, joined = self.flow, self.flow.joined
        base = flow.base_w
        rows, nodes, names, limits = [], [], [], []
        for boundary in joined.boundaries:
            node = self._interface_node(boundary)
            below = joined.below(boundary.child)
            rows.append(entering(flow, node, below))
            nodes.append(node)
            names.append((boundary.child, boundary.connection_point))
            limits.append(self._contracts[boundary.child])
        top = joined.members[0].name
        names.append((top, "interface"))
        limits.append(self._contracts[top])
        for node in np.unique(flow.references):
            rows.append(sp.csr_array(flow.Y.tocsr()[[int(node)]]))
            nodes.append(int(node))
        self._power_of = np.minimum(np.arange(len(nodes)), len(names) - 1)
        self._power_node: IndexArray = np.array(nodes, dtype=np.int64)
        self._entering = sp.csr_array(sp.vstack(rows))
        self._at_interface()
        what, low, high = [], [], []
        for (operator, element), each in zip(names, limits, strict=True):
            what.append(Quantity(operator, ACTIVE, element, "W", base))
            low.append(_value_or(each.withdrawal_limit_w, math.inf) / -base)
            high.append(_value_or(each.injection_limit_w, math.inf) / base)
        for (operator, element), each in zip(names, limits, strict=True):
            what.append(Quantity(operator, REACTIVE, element, "var", base))
            low.append(_value_or(each.reactive_min_var, -math.inf) / base)
            high.append(_value_or(each.reactive_max_var, math.inf) / base)
        return _ranges(what, low, high, base)

    def _at_interface(self) -> None:
        """Find the customers and the passive power at the node of each interface."""
        flow, joined = self.flow, self.flow.joined
        owners = [member.name for member, _, _ in joined.customers()]
        count = len(self._power_node)
        here = np.zeros((count, len(owners)))
        passive = np.zeros(count, dtype=np.complex128)
        for k, node in enumerate(self._power_node):
            inside = (
                joined.below(joined.boundaries[k].child)
                if k < len(joined.boundaries)
                else {member.name for member in joined.members}
            )
            mine = np.array([owner in inside for owner in owners], dtype=bool)
            here[k] = mine & (flow.customer_node == node)
            passive[k] = passive_at(flow, int(node), inside)
        self._here, self._passive = here, passive

    def _reactive(self) -> _QuantityGroup:
        """Return the reactive power of generators."""
        base, machines = self.flow.base_w, self.flow.machines
        self._machine_node: IndexArray = np.array([m.node for m in machines], dtype=np.int64)
        what = [
            Quantity(m.operator, GENERATION, f"{m.name} reactive", "var", base) for m in machines
        ]
        low, high = [m.reactive_pu[0] for m in machines], [m.reactive_pu[1] for m in machines]
        return _ranges(what, low, high, base)

    def _active(self) -> _QuantityGroup:
        """Return the active power of generators, limited for those that share the imbalance."""
        base, machines = self.flow.base_w, self.flow.machines
        what = [Quantity(m.operator, GENERATION, m.name, "W", base) for m in machines]
        moves = [m.share > 0.0 for m in machines]
        low = [m.power_pu[0] if k else -math.inf for m, k in zip(machines, moves, strict=True)]
        high = [m.power_pu[1] if k else math.inf for m, k in zip(machines, moves, strict=True)]
        return _ranges(what, low, high, base)

    def _interface_node(self, boundary: Boundary) -> int:
        joined = self.flow.joined
        bus = joined.index(boundary.child, joined.member(boundary.child).interface_bus)
        return int(self.flow.node_of[bus])

    # -- values and derivatives -----------------------------------------------------------------

    def values(self, state: JointFlowSolution, power_pu: ComplexArray) -> FloatArray:
        """Return every f, shape (K,).

        Parameters
        ----------
        state
            The operating point.
        power_pu
            Shape (c,), the customers' powers there.
        """
        v, machines = state.voltage, self.flow.machines
        entering = v[self._power_node] * (self._entering @ v).conj()
        at_nodes = np.asarray(self._here @ power_pu + self._passive - entering)
        out = np.zeros(int(self._power_of[-1]) + 1, dtype=np.complex128)
        np.add.at(out, self._power_of, at_nodes)
        made = (state.power_pu - self.flow.given(power_pu))[self._machine_node]
        active = np.array([m.schedule_pu + m.share * state.imbalance_pu for m in machines])
        current = np.abs(np.asarray(self._terminal @ v))
        voltage = np.abs(v[self._voltage_node])
        return np.concatenate([voltage, current, out.real, out.imag, made.imag, active])

    def excess(self, values: FloatArray) -> FloatArray:
        """Return by how much values exceed the highest, then fall below the lowest; shape (2 K,).

        In parts of their scales, negative inside; minus infinity where there is no limit.
        """
        both = np.stack([values - self.high, self.low - values]) / self.scale
        return np.asarray(both.ravel())

    def line_currents_ka(self, state: JointFlowSolution) -> dict[str, FloatArray]:
        """Return the currents at either end of the net's lines, in the order of their rows."""
        size = np.abs(np.asarray(self._terminal @ state.voltage))
        return {end: size[at] * base / 1e3 for end, at, base in self._line_ends()}

    def _line_ends(self) -> Iterator[tuple[str, IndexArray, FloatArray]]:
        net = self.flow.net
        joined = self.flow.joined
        place = {
            (w.operator, w.element): (k, w.per_unit) for k, w in enumerate(self._current_quantities)
        }
        for end in ("from", "to"):
            named = [
                place.get((joined.owner(i).name, f"{joined.own_id('line', i)} {end}"), (0, np.nan))
                for i in net.line.index
            ]
            yield (
                end,
                np.array([k for k, _ in named], dtype=np.int64),
                np.array([base for _, base in named]),
            )

    def gradient(
        self, state: JointFlowSolution, wanted: IndexArray, *, flows: bool = False
    ) -> ComplexArray:
        """Return the derivatives of quantities by the customers' powers, shape (c, k).

        Parameters
        ----------
        state
            The operating point.
        wanted
            Shape (k,), which quantities.
        flows
            Whether to take the active power at that end in place of a current: it has a derivative
            even where no current flows.
        """
        n = self.flow.Y.shape[0]
        by_voltage = np.zeros((n, len(wanted)), dtype=np.complex128)
        by_imbalance = np.zeros(len(wanted))
        own = np.zeros((len(self.flow.customer_node), len(wanted)), dtype=np.complex128)
        for column, k in enumerate(wanted.tolist()):
            part = int(np.searchsorted(self._first, k, side="right")) - 1
            i = k - int(self._first[part])
            if part == 0:
                node = int(self._voltage_node[i])
                by_voltage[node, column] = state.voltage[node].conj() / abs(state.voltage[node])
            elif part == 1:
                by_voltage[:, column] = self._of_current(state, i, flows=flows)
            elif part == 2:
                by_voltage[:, column], own[:, column] = self._of_power(state, i)
            elif part == 3:
                by_voltage[:, column], own[:, column] = self._of_generator(state, i)
            else:
                by_imbalance[column] = self.flow.machines[i].share
        return own + self.flow.sensitivities(state, by_voltage, by_imbalance)

    def _of_current(self, state: JointFlowSolution, i: int, *, flows: bool) -> ComplexArray:
        row = self._terminal[[i]].toarray()[0]
        if flows:
            return _entering_by(state, int(self._end_node[i]), row)
        current = complex(row @ state.voltage)
        return np.asarray(np.conj(current) / max(abs(current), _NO_CURRENT) * row)

    def _of_power(self, state: JointFlowSolution, i: int) -> tuple[ComplexArray, ComplexArray]:
        """Return derivatives of power out of a child by voltages, and by its customers there."""
        count = int(self._power_of[-1]) + 1
        at, turn = np.flatnonzero(self._power_of == i % count), 1.0 if i < count else 1j
        into = np.zeros(len(state.voltage), dtype=np.complex128)
        for place in at.tolist():
            row = self._entering[[place]].toarray()[0]
            node = int(self._power_node[place])
            into += _entering_by(state, node, row, reactive=i >= count)
        return -into, turn * self._here[at].sum(axis=0)

    def _of_generator(self, state: JointFlowSolution, i: int) -> tuple[ComplexArray, ComplexArray]:
        """Return derivatives of a generator's reactive power, as :meth:`_of_power`."""
        node = int(self._machine_node[i])
        row = self.flow.Y_rows[[node]].toarray()[0]
        here = (self.flow.customer_node == node).astype(float)
        return _entering_by(state, node, row, reactive=True), -1j * here


def _entering_by(
    state: JointFlowSolution, node: int, row: ComplexArray, *, reactive: bool = False
) -> ComplexArray:
    """Return the derivatives of the power ``v_k conj(row v)`` by all voltages.

    Of the active power, or the reactive: ``df = Re(sum result dv)``.
    """
    v = state.voltage
    found: ComplexArray = v[node].conj() * row * (1j if reactive else 1.0)
    found[node] += np.conj(row @ v) * (-1j if reactive else 1.0)
    return found


def _ranges(
    what: list[Quantity], low: list[float], high: list[float], base: float
) -> _QuantityGroup:
    lowest, highest = np.array(low, dtype=float), np.array(high, dtype=float)
    width = highest - lowest
    size = np.where(np.isfinite(width), width, np.minimum(np.abs(lowest), np.abs(highest)))
    size = np.where(np.isfinite(size), size, 1.0)
    return _QuantityGroup(tuple(what), lowest, highest, np.maximum(size, _LEAST_W / base))


def _value_or(value: float | None, otherwise: float) -> float:
    return otherwise if value is None else float(value)
