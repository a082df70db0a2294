"""The network: nodes, branches, connection points and the interface, in per unit.

A node is a bus (later: a bus and phase).  Importers such as
:mod:`security_check.from_pandapower` build a :class:`Network` and nothing else; it is validated
once and then frozen.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from security_check.errors import Fault, NetworkFaults

ComplexArray = npt.NDArray[np.complex128]
FloatArray = npt.NDArray[np.float64]
IndexArray = npt.NDArray[np.int64]

# pandapower and others write 99999 (kA, MVA) for "nobody entered a rating".
UNRATED = 9_999.0


@dataclass(frozen=True, slots=True)
class Terminals:
    """Where branch currents are monitored: both ends of every rated line and transformer.

    Parameters
    ----------
    elements
        Element of each terminal, for example ``"line:12"``; m of them, repeated per end.
    sides
        Which end: ``"from"``, ``"to"``, ``"hv"``, ``"mv"`` or ``"lv"``.
    admittance
        Shape (m, n): the current into the branch at that end is ``admittance @ v``, per unit.
    rating_pu
        Shape (m,), the current rating in per unit of ``base_current_a``.
    base_current_a
        Shape (m,), amperes per unit of current at the terminal's own voltage level.
    """

    elements: tuple[str, ...]
    sides: tuple[str, ...]
    admittance: sp.csr_array
    rating_pu: FloatArray
    base_current_a: FloatArray


@dataclass(frozen=True, slots=True)
class Network:
    """One area's network, seen from its interface.

    Parameters
    ----------
    name
        For people.
    nodes
        Ids, for example ``"bus:7"``; n of them.  Buses joined by closed switches are one node,
        named after the lowest bus index.
    admittance
        Shape (n, n), nodal admittance in per unit, loads and generators not included.
    interface_node
        Index of the node whose voltage the upstream operator holds.
    voltage_monitored
        Shape (n,), which nodes have voltage limits (not the interface, not auxiliary nodes).
    terminals
        The monitored branch ends.
    passive_injection_pu
        Shape (n,), complex power of everything that does not trade, injection positive.
    connection_points
        Ids, for example ``"load:0"``; c of them.
    connection_nodes
        Shape (c,), node of each connection point.
    reactive_ratio
        Shape (c,), ``q = reactive_ratio * p``: the tangent of the power factor angle.
    base_power_w
        Watts per unit of power (three-phase).

    Raises
    ------
    NetworkFaults
        With every fault, when shapes do not fit, a value is not finite, a rating is not a
        positive number, ids repeat, or a node has no path to the interface.
    """

    name: str
    nodes: tuple[str, ...]
    admittance: sp.csr_array
    interface_node: int
    voltage_monitored: npt.NDArray[np.bool_]
    terminals: Terminals
    passive_injection_pu: ComplexArray
    connection_points: tuple[str, ...]
    connection_nodes: IndexArray
    reactive_ratio: FloatArray
    base_power_w: float

    def __post_init__(self) -> None:
        faults = self._faults()
        if faults:
            raise NetworkFaults(faults)

    def _faults(self) -> list[Fault]:
        faults: list[Fault] = []
        for ids, what in ((self.nodes, "node"), (self.connection_points, "connection point")):
            if len(set(ids)) != len(ids):
                repeated = next(i for i in ids if ids.count(i) > 1)
                faults.append(Fault(repeated, f"this {what} id is used more than once"))
        if not self.connection_points:
            faults.append(Fault("network", "it has no connection points, so nobody can trade"))
        if not np.isfinite(self.admittance.data).all():
            faults.append(Fault("network", "its admittance matrix has entries that are not finite"))
            return faults
        return faults + self._rating_faults() + self._connection_faults() + self._island_faults()

    def _rating_faults(self) -> list[Fault]:
        rated = self.terminals.rating_pu * self.terminals.base_current_a
        wrong = ~(np.isfinite(rated) & (rated > 0))
        named = {
            self.terminals.elements[k]: f"its rating is {rated[k]:g} A; it must be a number above 0"
            for k in np.flatnonzero(wrong)
        }
        return [Fault(element, detail) for element, detail in named.items()]

    def _connection_faults(self) -> list[Fault]:
        faults = [
            Fault(self.connection_points[i], "its power factor is not a number above 0 up to 1")
            for i in np.flatnonzero(~np.isfinite(self.reactive_ratio))
        ]
        passive = np.flatnonzero(~np.isfinite(self.passive_injection_pu))
        faults += [Fault(self.nodes[i], "its passive power is not finite") for i in passive]
        return faults

    def _island_faults(self) -> list[Fault]:
        count, island = sp.csgraph.connected_components(abs(self.admittance), directed=False)
        if count == 1:
            return []
        cut_off = np.flatnonzero(island != island[self.interface_node])
        return [
            Fault(self.nodes[i], "no branch in service connects it to the interface")
            for i in cut_off
        ]
