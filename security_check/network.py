"""The network: nodes, branches, ports, connection points and the interface, in per unit.

A node is a bus, or one conductor of a bus (phase or neutral): balanced and multi-conductor
networks are the same thing here.  Power enters at *ports*, each between a node and ground or
between two nodes (phase to neutral, phase to phase).  Importers such as
:mod:`security_check.from_pandapower` build a :class:`Network` and nothing else; it is validated
once and then frozen.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from security_check.errors import Fault, NetworkFaults
from security_check.generators import Generators
from security_check.network_faults import network_faults
from security_check.responses import Inverters

ComplexArray = npt.NDArray[np.complex128]
FloatArray = npt.NDArray[np.float64]
IndexArray = npt.NDArray[np.int64]

# pandapower and others write 99999 (kA, MVA) for "nobody entered a rating".
UNRATED = 9_999.0


@dataclass(frozen=True, slots=True)
class Interface:
    """Where the upstream operator holds the voltage.

    Parameters
    ----------
    nodes
        Shape (s,), indices of the nodes held: one, or one per phase.
    phasors
        Shape (s, h), complex: the nodes' voltages are ``phasors @ m``, m being the h held
        magnitudes.  One where all nodes rise and fall together, three where each phase has its
        own; balanced operation is ``m = (v0, ..., v0)``.
    nominal_v
        Volts per unit of the held voltages, line to line; ``None`` where nobody said.
    """

    nodes: IndexArray
    phasors: ComplexArray
    nominal_v: float | None = None


@dataclass(frozen=True, slots=True)
class Voltages:
    """Which voltages are limited.

    Parameters
    ----------
    elements
        Names, for example ``"bus:7"`` or ``"bus:7.a"``; m of them.
    incidence
        Shape (m, n), real: the voltages are ``incidence @ v``, node to ground or node to node.
    triples
        Shape (t, 3), which of them are the phases a, b, c of one bus: where voltage unbalance
        can be limited.
    nominal_v
        Shape (m,), volts per unit of each; for people.
    """

    elements: tuple[str, ...]
    incidence: sp.csr_array
    triples: IndexArray = field(default_factory=lambda: np.zeros((0, 3), dtype=np.int64))
    nominal_v: FloatArray | None = None


@dataclass(frozen=True, slots=True)
class Terminals:
    """Where branch currents are monitored: both ends of every rated line and transformer.

    Parameters
    ----------
    elements
        Element of each terminal, for example ``"line:12"`` or ``"line:12.a"``; m of them,
        repeated per end.
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
class SeriesBranches:
    """The series impedances of lines and transformers; B of them, one per conductor.

    Parameters
    ----------
    elements
        Ids, for example ``"line:12"``; repeated where an element has several.
    across
        Shape (n, B), complex: voltages across are ``across^H @ v``, and currents enter the nodes
        as ``across @ i``; a transformer's ratio is part of it.
    admittance
        Shape (B, B), complex: the currents through are ``admittance @ across^H @ v``.
    at_terminals
        Shape (m, B), complex: the part of ``across`` at each monitored end of the same branch.
    bent_pu
        Shape (B,), of branches whose shunts are not at their ends but in the middle (T):
        ``|z|^2 |y| / 4`` at rated current, per unit of voltage; zero for others.  Scaling z by
        ``1 + tau`` in the pi form misses this times ``tau (1 + tau)``.
    """

    elements: tuple[str, ...]
    across: sp.csr_array
    admittance: sp.csr_array
    at_terminals: sp.csr_array
    bent_pu: FloatArray


@dataclass(frozen=True, slots=True)
class Compensation:
    """Which ports stand for a change of series impedances (:mod:`security_check.tolerance`).

    Parameters
    ----------
    first
        The ports from this one on; C of them, the network's last.
    admittance
        Shape (C, C), complex: their currents are ``kappa * (admittance @ v)``, with the kappa of
        each port given in place of its power.
    at_terminals
        Shape (m, C), complex: what of their currents enters at each monitored end.
    half
        Shape (J, e), how kappa changes with each of e deviations in [-1, 1].
    """

    first: int
    admittance: sp.csr_array
    at_terminals: sp.csr_array
    half: sp.csr_array


@dataclass(frozen=True, slots=True)
class Ports:
    """Where power enters; J ports.

    Parameters
    ----------
    names
        Names, for example ``"bus:7"`` or ``"bus:7.a"``.
    incidence
        Shape (n, J), real where power enters: a port's voltage is ``incidence^H @ v``, and its
        current enters the nodes as ``incidence @ i``.
    passive_power_pu
        Shape (J,), complex power of everything that does not trade, injection positive.
    compensation
        The ports at which no power enters, but which stand for impedances that are not known.
    """

    names: tuple[str, ...]
    incidence: sp.csr_array
    passive_power_pu: ComplexArray
    compensation: Compensation | None = None


@dataclass(frozen=True, slots=True)
class PassiveElements:
    """What does not trade, one by one where its power may deviate from a forecast.

    Parameters
    ----------
    elements
        Ids, for example ``"sgen:4"``; p of them.
    port_shares
        Shape (J, p), real, >= 0: how an element's power is shared among ports.
    power_pu
        Shape (p,), complex power that the description of the network gives, injection positive;
        part of the ports' passive power.
    """

    elements: tuple[str, ...]
    port_shares: sp.csr_array
    power_pu: ComplexArray


@dataclass(frozen=True, slots=True)
class ReactiveFreedom:
    """Reactive power that connection points choose freely, on top of their fixed ratio.

    ``q = ratio p + middle + rho (half + cone |p|)`` for any rho in [-1, 1]: a power-factor cone
    where only ``cone`` is set, a box where only ``middle`` and ``half`` are.

    Parameters
    ----------
    cone
        Shape (c,), >= 0, tangent of the largest power factor angle.
    middle, half
        Shape (c,), per unit of power, ``half >= 0``.
    """

    cone: FloatArray
    middle: FloatArray
    half: FloatArray


@dataclass(frozen=True)
class Network:
    """One area's network, seen from its interface.

    Parameters
    ----------
    name
        For people.
    nodes
        Ids, for example ``"bus:7"`` or ``"bus:7.a"``; n of them.  Buses joined by closed
        switches are one node, named after the lowest bus index.
    admittance
        Shape (n, n), nodal admittance in per unit, loads and generators not included.
    interface
        The nodes whose voltage the upstream operator holds.
    voltages
        The limited voltages (not those of the interface, not of auxiliary nodes).
    terminals
        The monitored branch ends.
    ports
        Where power enters.
    connection_points
        Ids, for example ``"load:0"``; c of them.
    port_shares
        Shape (J, c), real, >= 0: how a connection point's power is shared among ports; columns
        add up to 1.
    reactive_ratio
        Shape (c,), ``q = reactive_ratio * p``: the tangent of the power factor angle.
    base_power_w
        Watts per unit of power of a port.
    reactive_freedom
        What connection points may do besides; nothing where not given.
    inverters
        Which ports respond to their voltages; none where not given.
    generators
        The voltage-controlled generators, if there are any.
    passive
        What does not trade, one by one; none is known where not given.
    series
        The series impedances; needed only where they have tolerances.

    Raises
    ------
    NetworkFaults
        With every fault, when shapes do not fit, a value is not finite, a rating is not a
        positive number, ids repeat, or a node has no path to the interface.
    """

    name: str
    nodes: tuple[str, ...]
    admittance: sp.csr_array
    interface: Interface
    voltages: Voltages
    terminals: Terminals
    ports: Ports
    connection_points: tuple[str, ...]
    port_shares: sp.csr_array
    reactive_ratio: FloatArray
    base_power_w: float
    reactive_freedom: ReactiveFreedom | None = None
    inverters: Inverters | None = None
    generators: Generators | None = None
    passive: PassiveElements | None = None
    series: SeriesBranches | None = None

    @cached_property
    def point_ports(self) -> sp.csr_array:
        """Port powers of active powers at their fixed ratio, shape (J, c), complex."""
        return sp.csr_array(self.port_shares * (1.0 + 1j * self.reactive_ratio)[None, :])

    @cached_property
    def ports_point(self) -> sp.csr_array:
        """The conjugate transpose of :attr:`point_ports`, shape (c, J)."""
        return sp.csr_array(self.point_ports.conj().T)

    @cached_property
    def ports_size(self) -> sp.csr_array:
        """The magnitudes of :attr:`point_ports`, shape (J, c)."""
        return sp.csr_array(abs(self.point_ports))

    @cached_property
    def nominal_v(self) -> dict[str, float]:
        """The volts per unit of the limited voltages, by their names; empty where not known."""
        volts = self.voltages.nominal_v
        return (
            {} if volts is None else dict(zip(self.voltages.elements, volts.tolist(), strict=True))
        )

    @property
    def held(self) -> int:
        """How many voltage magnitudes are held at the interface, h."""
        return int(self.interface.phasors.shape[1])

    def __post_init__(self) -> None:
        faults = network_faults(self)
        if faults:
            raise NetworkFaults(faults)


def selection(chosen: IndexArray, count: int) -> sp.csr_array:
    """Return the matrix that picks ``chosen`` out of ``count``, shape (len(chosen), count)."""
    rows = np.arange(len(chosen))
    return sp.csr_array((np.ones(len(chosen)), (rows, chosen)), shape=(len(chosen), count))


def reactive_ratios(
    ids: tuple[str, ...], power_factor: float | Mapping[str, float]
) -> tuple[FloatArray, list[Fault]]:
    """Return reactive over active power of connection points, shape (c,), and faults.

    Parameters
    ----------
    ids
        The connection points.
    power_factor
        Of all of them, or per id (1.0 where not named): in (0, 1], lagging when withdrawing.
    """
    given = power_factor if isinstance(power_factor, Mapping) else dict.fromkeys(ids, power_factor)
    faults = [
        Fault(i, f"its power factor is {given[i]}; it must be above 0 and at most 1")
        for i in ids
        if not 0.0 < given.get(i, 1.0) <= 1.0
    ]
    faults += [
        Fault(i, "a power factor is given, but there is no such connection point")
        for i in given
        if i not in set(ids)
    ]
    if faults:
        return np.zeros(len(ids)), faults
    return np.array([math.tan(math.acos(given.get(i, 1.0))) for i in ids]), []
