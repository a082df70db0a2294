"""The uncertainty that a scenario states: deviations of powers and of impedances."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import timedelta

import numpy as np

from exchange.vocabulary.formatting import format_time
from gateway.scenario.element_tables import DEFAULT, unknown_elements, values_for
from gateway.scenario.forecasts import ForecastSeries
from gateway.scenario.intervals import Span
from gateway.scenario.network_states import passive_remedy
from gateway.scenario.profiles.power_profile import PowerProfile
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
) -> ForecastSeries:
    """Return the forecasts of passive elements.

    Adds every fault of the section; the forecasts are then without uncertainty.

    Parameters
    ----------
    network
        The network with its impedance tolerances.
    powers
        Powers of the passive elements over time, and their bands; ``None`` for the powers that
        the network states.
    span
        The scenario's intervals.
    """
    found = _unknown(section, network)
    complete = not found
    bounded = () if powers is None else _bounded(section, network, powers, found)
    elements, uncertainty = _uncertainty(section, network, bounded, found, complete=complete)
    issued = section.issued or span.starts[0]
    if issued > span.starts[0]:
        first = format_time(span.starts[0])
        detail = f"{format_time(issued)} is after the start of the first interval, {first}"
        found.append(Fault("uncertainty.issued", detail))
    faults += found
    certain = bool(found) or not elements
    assert certain or uncertainty is not None
    return ForecastSeries(
        network,
        powers,
        None if certain else uncertainty,
        np.zeros(0) if certain else _each(section.relative_per_hour, elements, bounded),
        math.inf if section.relative_at_most is None else section.relative_at_most,
        np.array([(start - issued) / timedelta(hours=1) for start in span.starts]),
    )


def _bounded(
    section: UncertaintySection, network: Network, powers: PowerProfile, faults: list[Fault]
) -> tuple[str, ...]:
    """Return the elements whose profiles have bands; adds a fault for a second band."""
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
    """Return each element's value; 0 for an element whose profile has a band."""
    values = zip(names, values_for(table, names, 0.0), strict=True)
    return np.array([0.0 if name in bounded else value for name, value in values], dtype=float)


def _elements(network: Network) -> tuple[str, ...]:
    return () if network.passive is None else network.passive.elements


def _unknown(section: UncertaintySection, network: Network) -> list[Fault]:
    """Return a fault for each named element that is not a passive element of the network."""
    tables = ("absolute_w", "power_factor", "relative", "relative_per_hour")
    named = {key: set(getattr(section, key)) - {DEFAULT} for key in tables}
    named["groups"] = {name for group in section.groups for name in group.elements}
    known = set(_elements(network))
    kind = f"passive element of the network (one that does not trade; {passive_remedy(network)})"
    return [
        fault
        for key, names in sorted(named.items())
        for fault in unknown_elements(f"uncertainty.{key}", sorted(names), known, kind)
    ]


def with_stated_tolerances(
    section: UncertaintySection, network: Network, faults: list[Fault]
) -> Network:
    """Return the network with its impedance tolerances, or as it is after adding their faults."""
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
    """Return the elements that deviate, and their uncertainty, ``None`` if there are faults.

    If not ``complete``, the section names unknown elements.  Faults that only follow from those are
    not added.
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
                f"it is given, but the network has no passive element; {passive_remedy(network)}",
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
    """Return the faults of ``relative_at_most``, the cap on bands that grow with the horizon."""
    most = section.relative_at_most
    if most is None:
        return []
    if not any(section.relative_per_hour.values()):
        detail = "it is given, but no band grows: relative_per_hour is 0"
        return [Fault("uncertainty.relative_at_most", detail)]
    return [
        Fault(name, f"its relative band begins at {part:g}, above relative_at_most, {most:g}")
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
    """Return the set of deviations, or ``None`` after adding its faults."""
    before = len(faults)
    for name, of in (("gamma", "budget"), ("radius", "ellipsoid"), ("groups", "ellipsoid")):
        given = getattr(section, name)
        if given and section.set != of:
            faults.append(
                Fault(f"uncertainty.{name}", f'it is given, but the set is "{section.set}"')
            )
        if given is None and section.set == of:
            faults.append(Fault(f"uncertainty.{name}", f'the set "{of}" needs it'))
    if complete and section.gamma is not None and section.gamma > len(elements):
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
    """Return the correlation matrix: that of a group between its members, 0 between all others."""
    matrix = np.eye(len(elements))
    index = {name: k for k, name in enumerate(elements)}
    taken: set[str] = set()
    for number, group in enumerate(section.groups, start=1):
        for name in group.elements:
            if name in taken:
                faults.append(Fault(name, f"group {number} of uncertainty.groups names it again"))
            elif name in known and name not in index:
                faults.append(
                    Fault(
                        name,
                        f"group {number} of uncertainty.groups names it, but its deviation is 0",
                    )
                )
            taken.add(name)
        members = [index[name] for name in group.elements if name in index]
        matrix[np.ix_(members, members)] = group.correlation
    np.fill_diagonal(matrix, 1.0)
    return matrix
