"""What changes from interval to interval: powers of those who do not trade, and capacities.

``[profiles]`` names tables (:mod:`gateway.scenario.time_tables`) or the profiles that a simbench
network
brings along.  Either becomes numbers over time and how they add up to the power of each element.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from doe_allocation.capacity import Capacity
from gateway.scenario.intervals import Span
from gateway.scenario.network_states import Model
from gateway.scenario.power_profile import PowerProfile, ProfileBuilder
from gateway.scenario.schema import ProfilesSection, Section
from gateway.scenario.simbench_profiles import simbench_profile
from gateway.scenario.time_tables import TimeTable, read_time_table
from security_check.errors import Fault
from security_check.model.network import Network
from security_check.model.network_elements import PassiveElements

SIMBENCH = "simbench"
_LARGEST = 100.0  # times the nominal power: beyond, a number is in another unit
_LARGEST_W = 1e12
_ROLES = ("", ".reactive", ".lower", ".upper")


@dataclass(frozen=True, slots=True)
class CapacityProfile:
    """Capacities that change from interval to interval.

    Parameters
    ----------
    usual
        What they are where nothing else is said.
    places
        Which of the stacked capacities, injection first, each column is.
    values
        The columns in each interval, watts.
    """

    usual: Capacity
    places: tuple[int, ...]
    table: TimeTable

    def at(self, interval: int) -> Capacity:
        """Return the capacities of an interval."""
        both_w = self.usual.upper_w()
        both_w[list(self.places)] = self.table.values[interval].astype(np.int64)
        injection_w, withdrawal_w = np.split(both_w, 2)
        return replace(self.usual, injection_w=injection_w, withdrawal_w=withdrawal_w)


def build_power_profile(
    section: Section | None,
    model: Model,
    network: Network,
    span: Span,
    folder: Path,
    faults: list[Fault],
) -> PowerProfile | None:
    """Return what those who do not trade do over time, or ``None`` after adding every fault.

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
        faults.append(
            Fault(key, f"the network has no element that does not trade; {remedy(network)}")
        )
        return None
    if section.powers == SIMBENCH:
        if section.unit is not None:
            faults.append(Fault("profiles.unit", 'it is given, but profiles.powers is "simbench"'))
        return simbench_profile(model.net, network.passive, span, key, faults)
    if section.unit is None:
        faults.append(
            Fault("profiles.unit", 'a file needs it: "w" (watts) or "factor" (of nominal power)')
        )
    table = read_time_table(folder / section.powers, key, span, faults)
    if table is None or section.unit is None:
        return None
    return _from_table(table, section.unit, network, faults)


def remedy(network: Network) -> str:
    """Return how a network comes to have elements that may deviate, where it can."""
    if network.passive is None:
        return "this network's are not known one by one, as docs/formats.md says"
    return 'network.passive must be "as-given"'


def _from_table(
    table: TimeTable, unit: str, network: Network, faults: list[Fault]
) -> PowerProfile | None:
    passive = network.passive
    assert passive is not None
    base_w = network.base_power_w
    column = {name: k for k, name in enumerate(table.columns)}
    found = [*_strangers(table, passive, network), *_incomplete(table, passive)]
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
    """Return the element of a column, and what of it the column is."""
    name, dot, role = column.rpartition(".")
    return (name, dot + role) if dot + role in _ROLES[1:] else (column, "")


def _strangers(table: TimeTable, passive: PassiveElements, network: Network) -> Iterator[Fault]:
    known = set(passive.elements)
    for name in table.columns:
        if _parsed(name)[0] not in known:
            yield Fault(
                name,
                f"{table.name} has such a column, but it is no passive element of the network "
                f"(one that does not trade; {remedy(network)}), nor one with .reactive, .lower "
                "or .upper",
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
    """Yield a fault for each column whose numbers can only be in another unit."""
    place = {name: j for j, name in enumerate(passive.elements)}
    for k, name in enumerate(table.columns):
        element, role = _parsed(name)
        power = passive.power_pu[place[element]]
        # Little reactive power beside much active power is no sign of a wrong unit.
        nominal_w = abs(power if role == ".reactive" else power.real) * base_w
        values = table.values[:, k]
        worst = int(np.abs(values).argmax())
        value = float(values[worst])
        if unit == "factor" and not nominal_w:
            what = "reactive" if role == ".reactive" else "active"
            detail = f"the network gives it no {what} power, so a factor of it says nothing"
            yield Fault(name, f'{detail}; profiles.unit must be "w"')
        elif unit == "factor" and abs(value) > _LARGEST:
            detail = f'{value:g} is no factor of its {nominal_w:,.0f} W; is profiles.unit "w"?'
            yield table.fault(name, worst, detail)
        elif unit == "w" and nominal_w and abs(value) > _LARGEST * nominal_w:
            detail = f"{value:,.0f} W is more than {_LARGEST:g} times its {nominal_w:,.0f} W"
            yield table.fault(name, worst, f"{detail}; are these numbers watts?")
        elif unit == "w" and abs(value) > _LARGEST_W:
            yield table.fault(name, worst, f"{value:g} W is more than any area has")


def _crossed(table: TimeTable, passive: PassiveElements) -> Iterator[Fault]:
    """Yield a fault for each forecast that does not lie between its bounds."""
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
            detail = f"{own[k]:g} does not lie in its band, {lower[k]:g} to {upper[k]:g}{more}"
            yield table.fault(element, k, detail)


def build_capacity_profile(
    section: Section | None,
    capacity: Capacity,
    span: Span,
    folder: Path,
    faults: list[Fault],
) -> CapacityProfile | None:
    """Return the capacities over time, or ``None`` after adding every fault.

    ``None`` without a fault where the section names none, or has faults of its own.
    """
    if not isinstance(section, ProfilesSection) or section.capacities is None:
        return None
    table = read_time_table(folder / section.capacities, "profiles.capacities", span, faults)
    if table is None:
        return None
    places = _capacity_places(capacity.connection_points)
    found = [
        Fault(
            name,
            f"{table.name} has such a column, but it is neither .injection_w nor .withdrawal_w "
            "of a connection point of the network",
        )
        for name in table.columns
        if name not in places
    ]
    own = tuple(places[name] for name in table.columns if name in places)
    if not found:
        found = list(_unfit_capacities(table, own, capacity))
    faults += found
    return None if found else CapacityProfile(capacity, own, table)


def _capacity_places(points: Sequence[str]) -> Mapping[str, int]:
    names = [f"{p}.{way}_w" for way in ("injection", "withdrawal") for p in points]
    return {name: k for k, name in enumerate(names)}


def _unfit_capacities(
    table: TimeTable, places: Sequence[int], capacity: Capacity
) -> Iterator[Fault]:
    fallback_w = capacity.lower_w()
    for k, (name, place) in enumerate(zip(table.columns, places, strict=True)):
        values = table.values[:, k]
        whole = (values >= 0) & (values == np.floor(values)) & (values <= _LARGEST_W)
        if not whole.all():
            worst = int(np.flatnonzero(~whole)[0])
            detail = f"{values[worst]:g} is not a whole number of watts from 0 to {_LARGEST_W:g}"
            yield table.fault(name, worst, detail)
        elif (values < fallback_w[place]).any():
            worst = int(values.argmin())
            detail = f"{values[worst]:,.0f} W is less than the fallback of {fallback_w[place]:,} W"
            yield table.fault(name, worst, detail)
