"""The parts of a network: interface, voltages, terminals, branches and ports, in per unit."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import scipy.sparse as sp

from security_check.arrays import ComplexArray, FloatArray, IndexArray

UNRATED = 9_999.0
"""A rating (A, kA or MVA) from here on means that none was entered; pandapower writes 99999."""


@dataclass(frozen=True, slots=True)
class Interface:
    """The nodes at which the upstream operator holds the voltage.

    Parameters
    ----------
    nodes
        Shape (s,), indices of the nodes held: one, or one per phase.
    phasors
        Shape (s, h), complex: the nodes' voltages are ``phasors @ m``, m being the h held
        magnitudes; h is 1 where all nodes rise and fall together, 3 where each phase has its own
        magnitude, and a multiple of that where separate parts are held on their own.  Balanced
        operation is ``m = (v0, ..., v0)``.
    nominal_v
        Volts per unit of the held voltages, line to line; ``None`` where not known.
    """

    nodes: IndexArray
    phasors: ComplexArray
    nominal_v: float | None = None


@dataclass(frozen=True, slots=True)
class Voltages:
    """The limited voltages.

    Parameters
    ----------
    elements
        Names, for example ``"bus:7"`` or ``"bus:7.a"``; m of them.
    incidence
        Shape (m, n), real: the voltages are ``incidence @ v``, node to ground or node to node.
    triples
        Shape (t, 3), indices of the phases a, b, c of each bus with three phases: there voltage
        unbalance can be limited.
    nominal_v
        Shape (m,), volts per unit of each; for messages only.
    """

    elements: tuple[str, ...]
    incidence: sp.csr_array
    triples: IndexArray = field(default_factory=lambda: np.zeros((0, 3), dtype=np.int64))
    nominal_v: FloatArray | None = None


@dataclass(frozen=True, slots=True)
class Terminals:
    """The monitored branch currents: both ends of every rated line and transformer.

    Parameters
    ----------
    elements
        Element of each terminal, for example ``"line:12"`` or ``"line:12.a"``; m of them,
        repeated per end.
    sides
        The end: ``"from"``, ``"to"``, ``"hv"``, ``"mv"`` or ``"lv"``.
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
        Shape (B,), for branches with shunts in the middle (T) rather than at their ends:
        ``|z|^2 |y| / 4`` at rated current, per unit of voltage; zero for others.  Scaling z by
        ``1 + tau`` in the pi form has an error of this times ``tau (1 + tau)``.
    """

    elements: tuple[str, ...]
    across: sp.csr_array
    admittance: sp.csr_array
    at_terminals: sp.csr_array
    bent_pu: FloatArray


@dataclass(frozen=True, slots=True)
class Compensation:
    """The ports that stand for a change of series impedances (see ``impedance_tolerance``).

    Parameters
    ----------
    first
        The first of these ports; they are the network's last, C of them.
    admittance
        Shape (C, C), complex: their currents are ``kappa * (admittance @ v)``, with the kappa of
        each port given instead of its power.
    at_terminals
        Shape (m, C), complex: the part of their currents that enters at each monitored end.
    half
        Shape (J, e), how kappa changes with each of e deviations in [-1, 1].
    """

    first: int
    admittance: sp.csr_array
    at_terminals: sp.csr_array
    half: sp.csr_array


@dataclass(frozen=True, slots=True)
class Ports:
    """The ports at which power enters; J of them.

    Parameters
    ----------
    names
        Names, for example ``"bus:7"`` or ``"bus:7.a"``.
    incidence
        Shape (n, J), real where power enters: a port's voltage is ``incidence^H @ v``, and its
        current enters the nodes as ``incidence @ i``.
    passive_power_pu
        Shape (J,), complex power of elements that do not trade, injection positive.
    compensation
        The ports that stand for uncertain impedances; no power enters there.
    """

    names: tuple[str, ...]
    incidence: sp.csr_array
    passive_power_pu: ComplexArray
    compensation: Compensation | None = None


@dataclass(frozen=True, slots=True)
class PassiveElements:
    """The elements that do not trade, one by one.

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

    ``q = ratio p + middle + reactive_share (half + cone |p|)`` for any ``reactive_share`` in
    [-1, 1]: a power-factor cone where only ``cone`` is set, a box where only ``middle`` and
    ``half`` are.

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
