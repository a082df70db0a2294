"""The customers of a scenario: owner, capacity and reactive power of each connection point."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from doe_allocation.capacity import Capacity
from exchange.vocabulary.rules import RESERVED_PARTICIPANTS
from gateway.scenario.element_tables import (
    DEFAULT,
    listed_points,
    missing_values,
    unknown_elements,
    values_for,
)
from gateway.scenario.schema import CapacitySection
from security_check.arrays import IntArray
from security_check.errors import Fault, NetworkFaults
from security_check.model.network import Network
from security_check.modifications.reactive_freedom import with_reactive_freedom


def build_capacity(
    section: CapacitySection, points: tuple[str, ...], faults: list[Fault]
) -> Capacity | None:
    """Return capacities and fallbacks of ``points``, or ``None`` after adding every fault."""
    tables: dict[str, Mapping[str, float]] = {
        "injection_w": section.injection_w,
        "withdrawal_w": section.withdrawal_w,
        "fallback_injection_w": section.fallback_injection_w,
        "fallback_withdrawal_w": section.fallback_withdrawal_w,
    }
    found = [
        fault
        for key in ("injection_w", "withdrawal_w")
        for fault in missing_values(f"capacity.{key}", tables[key], points)
    ]
    if found:
        faults += found
        return None

    def each(key: str) -> IntArray:
        return np.array(values_for(tables[key], points, 0), np.int64)

    for direction in ("injection", "withdrawal"):
        fallback_w, capacity_w = each(f"fallback_{direction}_w"), each(f"{direction}_w")
        found += [
            Fault(
                points[i],
                f"its {direction} fallback of {fallback_w[i]} W exceeds its capacity "
                f"of {capacity_w[i]} W",
            )
            for i in np.flatnonzero(fallback_w > capacity_w)
        ]
    if found:
        faults += found
        return None
    return Capacity(
        connection_points=points,
        injection_w=each("injection_w"),
        withdrawal_w=each("withdrawal_w"),
        fallback_injection_w=each("fallback_injection_w"),
        fallback_withdrawal_w=each("fallback_withdrawal_w"),
    )


def with_reactive_choice(network: Network, capacity: Any, faults: list[Fault]) -> Network:
    """Return the network with the reactive power that its connection points choose freely.

    Adds a fault where power factors and ranges of reactive power exclude each other.

    Parameters
    ----------
    capacity
        The section ``[capacity]``; with anything else (the section has faults) the network is
        returned as given.
    """
    if not isinstance(capacity, CapacitySection):
        return network
    points = network.connection_points
    cones = values_for(capacity.cone_power_factor, points, 1.0)
    ranges = zip(
        values_for(capacity.reactive_min_var, points, 0),
        values_for(capacity.reactive_max_var, points, 0),
        strict=True,
    )
    stated = {point: span for point, span in zip(points, ranges, strict=True) if any(span)}
    if not stated and min(cones) == 1.0:
        return network
    try:
        return with_reactive_freedom(
            network,
            cone_power_factor=dict(zip(points, cones, strict=True)),
            range_var=stated,
        )
    except NetworkFaults as found:
        faults.extend(found.faults)
        return network


def find_unknown_points(capacity: Any, points: tuple[str, ...], faults: list[Fault]) -> None:
    """Add a fault for each point that a table of ``[capacity]`` names and the network lacks.

    ``capacity`` is the section as written, so that a wrong value in it does not hide a wrong name.
    """
    if not isinstance(capacity, Mapping):
        return
    for key, table in capacity.items():
        if isinstance(table, Mapping):
            faults += unknown_elements(f"capacity.{key}", table, {*points, DEFAULT})


def build_owners(given: Any, points: tuple[str, ...], faults: list[Fault]) -> dict[str, str]:
    """Return the participant of each connection point; the point itself where none is named."""
    owners: dict[str, str] = {}
    named = listed_points("participants", given, points, RESERVED_PARTICIPANTS, faults)
    for participant, owned in named:
        for point in owned:
            if owners.setdefault(point, participant) != participant:
                detail = f"{point} already belongs to {owners[point]}"
                faults.append(Fault(f"participants.{participant}", detail))
    return owners | {point: point for point in points if point not in owners}
