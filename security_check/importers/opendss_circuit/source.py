"""The voltage sources of an OpenDSS circuit as one interface.

One source with all its phases, or one source for each phase at one bus: equal voltages that
follow each other by 120 degrees, as the numbers of their nodes do.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass

import numpy as np

from security_check.arrays import ComplexArray
from security_check.errors import Fault
from security_check.importers.opendss_circuit.elements import (
    Dss,
    enabled_elements,
    id_of,
    properties,
)

_SAME = 1e-6
"""Relative difference of voltages, and degrees between angles, that are equal."""


@dataclass(frozen=True, slots=True)
class Source:
    """An ideal voltage behind an impedance, with one or more phases.

    Parameters
    ----------
    element
        Its name in OpenDSS.
    numbers
        The numbers of its nodes at ``bus``.
    voltage_v
        Its phasors at 1 p.u., shape (phases,), to ground.
    per_unit
        Its voltage in the circuit's files, which the interface's band replaces.
    """

    element: str
    bus: str
    numbers: tuple[int, ...]
    voltage_v: ComplexArray
    per_unit: float


def sources(dss: Dss) -> tuple[list[Source], list[Fault]]:
    """Return the enabled voltage sources by their nodes, and why they are not one interface."""
    found, faults = [], []
    for element in enabled_elements(dss, {"vsource"}):
        given = properties(dss, element)
        if not str(given["sequence"]).lower().startswith("pos"):
            detail = "its phases are not in positive sequence"
            faults.append(Fault(id_of(element), detail))
        phases = int(dss.CktElement.NumPhases())
        nodes = [int(node) for node in dss.CktElement.NodeOrder()]
        if any(nodes[phases:]):
            detail = "it is not between its bus and ground"
            faults.append(Fault(id_of(element), detail))
        volts = float(given["basekv"]) * 1e3
        if phases > 1:
            volts /= 2.0 * math.sin(math.pi / phases)
        turn = np.deg2rad(float(given["angle"])) - 2.0 * np.pi * np.arange(phases) / phases
        bus = str(dss.CktElement.BusNames()[0]).split(".")[0].lower()
        phasors = volts * np.exp(1j * turn)
        found.append(Source(element, bus, tuple(nodes[:phases]), phasors, float(given["pu"])))
    found.sort(key=lambda source: source.numbers)
    return found, faults + _unlike(found)


def _unlike(found: list[Source]) -> list[Fault]:
    """Return why several sources are not one interface."""
    if len(found) == 1:
        return []
    named = ", ".join(id_of(source.element) for source in found) or "none"
    single = all(len(source.numbers) == 1 for source in found)
    if not found or not single or len({source.bus for source in found}) > 1:
        detail = "one voltage source must be enabled, or one for each phase at one bus, found "
        return [Fault("interface", detail + named)]
    first = found[0]
    faults = []
    for one, other in itertools.pairwise(found):
        if one.numbers == other.numbers:
            detail = f"{id_of(one.element)} is at its node {one.bus}.{one.numbers[0]} already"
            faults.append(Fault(id_of(other.element), detail))
    for source in found[1:]:
        lag = 120.0 * (source.numbers[0] - first.numbers[0])
        angle = float(np.angle(first.voltage_v[0], deg=True)) - lag
        volts = [abs(each.voltage_v[0]) * each.per_unit for each in (first, source)]
        apart = np.angle(source.voltage_v[0] * np.exp(-1j * np.deg2rad(angle)), deg=True)
        whose = id_of(first.element)
        if abs(apart) > _SAME:
            detail = (
                f"it is at {np.angle(source.voltage_v[0], deg=True):g} degrees and phase "
                f"{source.numbers[0]}, but with {whose} it forms one interface at "
                f"{math.remainder(angle, 360.0):g} degrees only"
            )
            faults.append(Fault(id_of(source.element), detail))
        if not math.isclose(*volts, rel_tol=_SAME) or not math.isclose(
            first.per_unit, source.per_unit, rel_tol=_SAME
        ):
            detail = f"its voltage is {volts[1]:g} V (pu={source.per_unit:g}), that of {whose} "
            detail += f"{volts[0]:g} V (pu={first.per_unit:g}); one interface has one voltage"
            faults.append(Fault(id_of(source.element), detail))
    return faults
