"""Powers of passive elements that change from interval to interval: ``[profiles] powers``.

The entry names a table (:mod:`gateway.scenario.profiles.time_tables`), or asks for the profiles of
a simbench network (:mod:`gateway.scenario.profiles.simbench`).
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from gateway.formats.records import LARGEST_W
from gateway.scenario.intervals import Span
from gateway.scenario.network_states import Model, passive_remedy
from gateway.scenario.profiles.power_profile import PowerProfile, ProfileBuilder
from gateway.scenario.profiles.simbench import simbench_profile
from gateway.scenario.profiles.time_tables import TimeTable, read_time_table
from gateway.scenario.schema import ProfilesSection, Section
from security_check.errors import Fault
from security_check.model.network import Network
from security_check.model.network_elements import PassiveElements

SIMBENCH = "simbench"
_LARGEST_FACTOR = 100.0  # of the nominal power; a larger number can only be in another unit
_ROLES = ("", ".reactive", ".lower", ".upper")  # suffixes of an element's columns


def build_power_profile(
    section: Section | None,
    model: Model,
    network: Network,
    span: Span,
    folder: Path,
    faults: list[Fault],
) -> PowerProfile | None:
    """Return the powers of passive elements over time, or ``None`` after adding every fault.

    ``None`` without a fault where the section names no powers, or has faults of its own.
    """
    if not isinstance(section, ProfilesSection):
        return None
    if section.powers is None:
        if section.unit is not None:
            faults.append(Fault("profiles.unit", "it is given, but profiles.powers is not"))
        return None
    key = "profiles.powers"
    if network.passive is None or not network.passive.elements:
        faults.append(Fault(key, f"the network has no passive element; {passive_remedy(network)}"))
        return None
    if section.powers == SIMBENCH:
        if section.unit is not None:
            faults.append(Fault("profiles.unit", 'it is given, but profiles.powers is "simbench"'))
        return simbench_profile(model.net, network.passive, span, key, faults)
    if section.unit is None:
        faults.append(
            Fault("profiles.unit", 'it is missing: "w" (watts) or "factor" (of nominal power)')
        )
    table = read_time_table(folder / section.powers, key, span, faults)
    if table is None or section.unit is None:
        return None
    return _from_table(table, section.unit, network, faults)


def _from_table(
    table: TimeTable, unit: str, network: Network, faults: list[Fault]
) -> PowerProfile | None:
    passive = network.passive
    assert passive is not None
    base_w = network.base_power_w
    column = {name: k for k, name in enumerate(table.columns)}
    found = [*_unknown(table, passive, network), *_incomplete(table, passive)]
    if not found:
        found = [*_oversized(table, unit, passive, base_w), *_crossed(table, passive)]
    faults += found
    if found:
        return None
    builder = ProfileBuilder(table.values, passive)
    for j, element in enumerate(passive.elements):
        if element not in column:
            continue
        nominal = complex(passive.power_pu[j])
        by_active = nominal.real if unit == "factor" else 1.0 / base_w
        bounds = [column[f"{element}{role}"] for role in _ROLES[2:] if f"{element}{role}" in column]
        middle = bounds or [column[element]]
        builder.active(j, middle, by_active)
        if bounds:
            builder.band(j, bounds[0], bounds[1], abs(by_active))
        reactive = column.get(f"{element}.reactive")
        if reactive is not None:
            builder.reactive(j, [reactive], nominal.imag if unit == "factor" else 1.0 / base_w)
        elif nominal.real:
            builder.reactive(j, middle, by_active * nominal.imag / nominal.real)
    return builder.profile()


def _parsed(column: str) -> tuple[str, str]:
    """Return the element of a column and the column's role, one of ``_ROLES``."""
    name, dot, role = column.rpartition(".")
    return (name, dot + role) if dot + role in _ROLES[1:] else (column, "")


def _unknown(table: TimeTable, passive: PassiveElements, network: Network) -> Iterator[Fault]:
    known = set(passive.elements)
    for name in table.columns:
        if _parsed(name)[0] not in known:
            yield Fault(
                name,
                f"{table.name} has such a column, but it is not a passive element of the network "
                f"(one that does not trade; {passive_remedy(network)}), with or without "
                ".reactive, .lower or .upper",
            )


def _incomplete(table: TimeTable, passive: PassiveElements) -> Iterator[Fault]:
    columns = set(table.columns)
    known = set(passive.elements)
    for name in table.columns:
        element, role = _parsed(name)
        if role and element in known and element not in columns:
            yield Fault(name, f"{table.name} has it, but no column {element}")
        other = {".lower": ".upper", ".upper": ".lower"}.get(role)
        if other and f"{element}{other}" not in columns:
            yield Fault(name, f"{table.name} has it, but no column {element}{other}")


def _oversized(
    table: TimeTable, unit: str, passive: PassiveElements, base_w: float
) -> Iterator[Fault]:
    """Yield a fault for each column with numbers that can only be in another unit."""
    index = {name: j for j, name in enumerate(passive.elements)}
    for k, name in enumerate(table.columns):
        element, role = _parsed(name)
        power = passive.power_pu[index[element]]
        # Reactive power is compared with the apparent power: beside a large active power, a small
        # nominal reactive power does not show a wrong unit.
        nominal_w = abs(power if role == ".reactive" else power.real) * base_w
        values = table.values[:, k]
        worst = int(np.abs(values).argmax())
        value = float(values[worst])
        if unit == "factor" and not nominal_w:
            what = "reactive" if role == ".reactive" else "active"
            detail = f"its nominal {what} power is 0 W, so a factor has no effect"
            yield Fault(name, f'{detail}; profiles.unit must be "w"')
        elif unit == "factor" and abs(value) > _LARGEST_FACTOR:
            detail = f"{value:g} is too large for a factor of its {nominal_w:,.0f} W"
            yield table.fault(name, worst, f'{detail}; is profiles.unit "w"?')
        elif unit == "w" and nominal_w and abs(value) > _LARGEST_FACTOR * nominal_w:
            detail = f"{value:,.0f} W is more than {_LARGEST_FACTOR:g} times its {nominal_w:,.0f} W"
            yield table.fault(name, worst, f"{detail}; are these numbers watts?")
        elif unit == "w" and abs(value) > LARGEST_W:
            detail = f"{value:g} W is above the largest power allowed, {LARGEST_W:g} W"
            yield table.fault(name, worst, detail)


def _crossed(table: TimeTable, passive: PassiveElements) -> Iterator[Fault]:
    """Yield a fault for each forecast outside its band."""
    column = {name: k for k, name in enumerate(table.columns)}
    for element in passive.elements:
        if f"{element}.lower" not in column:
            continue
        lower, own, upper = (
            table.values[:, column[f"{element}{role}"]] for role in (".lower", "", ".upper")
        )
        crossed = np.flatnonzero((lower > own) | (own > upper))
        if len(crossed):
            k = int(crossed[0])
            more = f" (and in {len(crossed) - 1} more intervals)" if len(crossed) > 1 else ""
            detail = f"{own[k]:g} is outside its band, {lower[k]:g} to {upper[k]:g}{more}"
            yield table.fault(element, k, detail)
