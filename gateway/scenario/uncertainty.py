"""What nobody knows exactly, as a scenario says it: deviations of powers and of impedances."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta

import numpy as np

from exchange.vocabulary.formatting import format_time
from gateway.scenario.forecasts import ForecastSeries
from gateway.scenario.intervals import Span
from gateway.scenario.power_profile import PowerProfile
from gateway.scenario.profile_files import remedy
from gateway.scenario.schema import UncertaintySection
from security_check.arrays import FloatArray
from security_check.errors import Fault, NetworkFaults
from security_check.model.network import Network
from security_check.modifications.impedance_tolerance import with_tolerance
from security_check.uncertainty.deviation_sets import BoxSet, BudgetSet, DeviationSet, EllipsoidSet
from security_check.uncertainty.forecast import Uncertainty


def build_uncertainty(
    section: UncertaintySection,
    network: Network,
    powers: PowerProfile | None,
    span: Span,
    faults: list[Fault],
) -> tuple[Network, ForecastSeries]:
    """Return the network with its impedance tolerances, and the forecasts of what does not trade.

    The network and the forecasts are those of certainty where the section has faults, which are
    added.

    Parameters
    ----------
    powers
        What passive elements do over time, and within which bands; as the network says where
        not given.
    span
        The scenario's intervals.
    """
    found = list(_strangers(section, network))
    complete = not found
    tolerant = _tolerant(section, network, found)
    bounded = () if powers is None else _bounded(section, network, powers, found)
    elements, uncertainty = _uncertainty(section, network, bounded, found, complete=complete)
    issued = section.issued or span.starts[0]
    if issued > span.starts[0]:
        first = format_time(span.starts[0])
        detail = f"{format_time(issued)} is after the first interval's start, {first}"
        found.append(Fault("uncertainty.issued", detail))
    faults += found
    certain = bool(found) or not elements
    assert certain or uncertainty is not None
    return tolerant, ForecastSeries(
        tolerant,
        powers,
        None if certain else uncertainty,
        np.zeros(0) if certain else _each(section.relative_per_hour, elements, bounded),
        math.inf if section.relative_at_most is None else section.relative_at_most,
        np.array([(start - issued) / timedelta(hours=1) for start in span.starts]),
    )


def _bounded(
    section: UncertaintySection, network: Network, powers: PowerProfile, faults: list[Fault]
) -> tuple[str, ...]:
    """Return the elements whose profiles have bands, after adding who is given another one."""
    names = [name for name, has in zip(_elements(network), powers.bounded, strict=True) if has]
    for key in ("relative", "absolute_w", "relative_per_hour"):
        faults += [
            Fault(name, f"uncertainty.{key} names it, but its profile has a band of its own")
            for name in names
            if getattr(section, key).get(name)
        ]
    return tuple(names)


def _each(
    table: Mapping[str, float], names: Sequence[str], bounded: Sequence[str] = ()
) -> FloatArray:
    """Return what a table says of each element; 0 of those who are bounded otherwise."""
    usual = table.get("default", 0.0)
    return np.array(
        [0.0 if name in bounded else table.get(name, usual) for name in names], dtype=float
    )


def _elements(network: Network) -> tuple[str, ...]:
    return () if network.passive is None else network.passive.elements


def _strangers(section: UncertaintySection, network: Network) -> Iterator[Fault]:
    """Yield a fault for everything that is named and the network lacks."""
    known = _elements(network)
    tables: dict[str, Mapping[str, float]] = {
        "relative": section.relative,
        "absolute_w": section.absolute_w,
        "relative_per_hour": section.relative_per_hour,
        "power_factor": section.power_factor,
    }
    named = {(key, name) for key, table in tables.items() for name in table if name != "default"}
    named |= {("groups", name) for group in section.groups for name in group.elements}
    for key, name in sorted(named):
        if name not in known:
            yield Fault(
                name,
                f"uncertainty.{key} names it, but it is no passive element of the network "
                f"(one that does not trade; {remedy(network)})",
            )


def _tolerant(section: UncertaintySection, network: Network, faults: list[Fault]) -> Network:
    usual = section.impedance.get("default", 0.0)
    named = {name: part for name, part in section.impedance.items() if name != "default"}
    if not usual and not named:
        return network
    known = () if network.series is None else network.series.elements
    try:
        return with_tolerance(network, dict.fromkeys(known, usual) | named)
    except NetworkFaults as found:
        faults += found.faults
        return network


def _uncertainty(
    section: UncertaintySection,
    network: Network,
    bounded: Sequence[str],
    faults: list[Fault],
    *,
    complete: bool,
) -> tuple[list[str], Uncertainty | None]:
    """Return the elements that deviate, and how; the latter not where there are faults.

    Where not ``complete``, elements that were meant to deviate have faults of their own, and what
    follows from that is no second one.
    """
    known = _elements(network)
    tables = (section.relative, section.absolute_w, section.relative_per_hour)
    deviates = np.isin(known, bounded) if bounded else np.zeros(len(known), dtype=bool)
    for table in tables:
        deviates |= _each(table, known) > 0.0
    elements = [name for name, does in zip(known, deviates, strict=True) if does]
    if any(each.get("default") for each in tables) and not known:
        faults.append(
            Fault(
                "uncertainty",
                "powers deviate, but the network has no element that does not trade; "
                f"{remedy(network)}",
            )
        )
    relative = _each(section.relative, elements, bounded)
    faults += _beyond_most(section, elements, relative)
    deviations = _set(section, known, elements, faults, complete=complete)
    if deviations is None:
        return elements, None
    factors = section.power_factor
    default = factors.get("default")
    ratios = [
        np.nan if factor is None else math.tan(math.acos(factor))
        for factor in (factors.get(name, default) for name in elements)
    ]
    return elements, Uncertainty(
        np.flatnonzero(deviates),
        relative,
        _each(section.absolute_w, elements, bounded) / network.base_power_w,
        np.array(ratios),
        deviations,
    )


def _beyond_most(
    section: UncertaintySection, elements: Sequence[str], relative: FloatArray
) -> list[Fault]:
    """Return what of the growth with the horizon does not fit together."""
    most = section.relative_at_most
    if most is None:
        return []
    if not any(section.relative_per_hour.values()):
        detail = "it is given, but nothing grows: relative_per_hour is 0"
        return [Fault("uncertainty.relative_at_most", detail)]
    return [
        Fault(name, f"its relative band begins with {part:g}, relative_at_most is {most:g}")
        for name, part in zip(elements, relative, strict=True)
        if part > most
    ]


def _set(
    section: UncertaintySection,
    known: tuple[str, ...],
    elements: list[str],
    faults: list[Fault],
    *,
    complete: bool,
) -> DeviationSet | None:
    """Return the set of deviations, or ``None`` after adding why there is none."""
    before = len(faults)
    for name, of in (("gamma", "budget"), ("radius", "ellipsoid"), ("groups", "ellipsoid")):
        given = getattr(section, name)
        if given and section.set != of:
            faults.append(
                Fault(f"uncertainty.{name}", f'it is given, but the set is "{section.set}"')
            )
        if given is None and section.set == of:
            faults.append(Fault(f"uncertainty.{name}", f'the set "{of}" needs it'))
    if complete and known and section.gamma is not None and section.gamma > len(elements):
        faults.append(
            Fault(
                "uncertainty.gamma",
                f"it is {section.gamma:g}, but only {len(elements)} elements deviate",
            )
        )
    correlation = _correlation(section, known, elements, faults)
    if len(faults) > before or not complete:
        return None
    if section.gamma is not None:
        return BudgetSet(len(elements), section.gamma)
    if section.radius is not None:
        return EllipsoidSet(correlation, section.radius)
    return BoxSet(len(elements))


def _correlation(
    section: UncertaintySection,
    known: tuple[str, ...],
    elements: list[str],
    faults: list[Fault],
) -> FloatArray:
    """Return the correlation of the deviations: that of their group, or none."""
    matrix = np.eye(len(elements))
    place = {name: k for k, name in enumerate(elements)}
    taken: set[str] = set()
    for number, group in enumerate(section.groups, start=1):
        for name in group.elements:
            if name in taken:
                faults.append(
                    Fault(name, f"group {number} of uncertainty.groups names it once more")
                )
            elif name in known and name not in place:
                faults.append(
                    Fault(name, f"group {number} of uncertainty.groups names it, but it is certain")
                )
            taken.add(name)
        members = [place[name] for name in group.elements if name in place]
        matrix[np.ix_(members, members)] = group.correlation
    np.fill_diagonal(matrix, 1.0)
    return matrix
