"""The customers of a scenario: who owns each connection point, and what it can carry."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from doe_allocation.capacity import Capacity
from exchange.vocabulary.rules import RESERVED_PARTICIPANTS
from gateway.formats.identifiers import is_identifier
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
    found = _forgotten(tables, points)
    if found:
        faults += found
        return None

    def each(key: str) -> IntArray:
        table = tables[key]
        return np.array([table.get(point, table.get("default", 0)) for point in points], np.int64)

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

    ``capacity`` is the section, or anything else where that has faults of its own; what does not
    fit together is added to the faults.
    """
    if not isinstance(capacity, CapacitySection):
        return network

    def each(table: Mapping[str, float], otherwise: float) -> list[float]:
        return [
            table.get(point, table.get("default", otherwise)) for point in network.connection_points
        ]

    cones = each(capacity.cone_power_factor, 1.0)
    ranges = zip(
        each(capacity.reactive_min_var, 0), each(capacity.reactive_max_var, 0), strict=True
    )
    points = network.connection_points
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


def find_strangers(capacity: Any, points: tuple[str, ...], faults: list[Fault]) -> None:
    """Add a fault for everybody that a table of ``[capacity]`` names and the network lacks.

    ``capacity`` is the section as it is written: a wrong value in it must not hide a wrong name.
    """
    if not isinstance(capacity, Mapping):
        return
    for key, table in capacity.items():
        if isinstance(table, Mapping):
            faults += [
                Fault(
                    point, f"capacity.{key} names it, but it is no connection point of the network"
                )
                for point in table
                if point not in (*points, "default")
            ]


def _forgotten(tables: Mapping[str, Mapping[str, float]], points: tuple[str, ...]) -> list[Fault]:
    """Return who has neither a capacity of its own nor a default."""
    return [
        Fault(point, f"capacity.{key} has neither a value for it nor a default")
        for key in ("injection_w", "withdrawal_w")
        if "default" not in tables[key]
        for point in points
        if point not in tables[key]
    ]


def build_owners(given: Any, points: tuple[str, ...], faults: list[Fault]) -> dict[str, str]:
    """Return the participant of each connection point; the point itself where none is named."""
    owners: dict[str, str] = {}
    if not isinstance(given, Mapping):
        faults.append(Fault("participants", "it must be a table of participants"))
        return owners
    for participant, owned in given.items():
        where = f"participants.{participant}"
        if not is_identifier(participant) or participant in RESERVED_PARTICIPANTS:
            faults.append(
                Fault(
                    where,
                    "this cannot be a participant's name: "
                    "it is reserved, or has blanks, slashes, + or #",
                )
            )
        if not isinstance(owned, list) or not all(isinstance(point, str) for point in owned):
            faults.append(Fault(where, "it must be a list of connection points"))
            continue
        for point in owned:
            if point not in points:
                faults.append(Fault(where, f"{point} is no connection point of the network"))
            elif owners.setdefault(point, participant) != participant:
                faults.append(Fault(where, f"{point} is already that of {owners[point]}"))
    return owners | {point: point for point in points if point not in owners}
