"""What nobody knows exactly, as a scenario says it: deviations of powers and of impedances."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping

import numpy as np

from gateway.scenario_schema import UncertaintySection
from security_check.errors import Fault, NetworkFaults
from security_check.forecast import Forecast, Uncertainty
from security_check.network import FloatArray, Network
from security_check.tolerance import with_tolerance
from security_check.uncertainty import Box, Budget, DeviationSet, Ellipsoid


def build_uncertainty(
    section: UncertaintySection, network: Network, faults: list[Fault]
) -> tuple[Network, Forecast]:
    """Return the network with its impedance tolerances, and the forecast of what does not trade.

    The network and the forecast are those of certainty where the section has faults, which are
    added.
    """
    found = list(_strangers(section, network))
    complete = not found
    tolerant = _tolerant(section, network, found)
    elements, uncertainty = _uncertainty(section, network, found, complete=complete)
    faults += found
    if found or not elements:
        return tolerant, Forecast.as_given(tolerant)
    assert uncertainty is not None
    return tolerant, uncertainty.forecast(tolerant)


def _elements(network: Network) -> tuple[str, ...]:
    return () if network.passive is None else network.passive.elements


def _remedy(network: Network) -> str:
    """Return how a network comes to have elements that may deviate, where it can."""
    if network.passive is None:
        return "this network's are not known one by one, as docs/formats.md says"
    return 'network.passive must be "as-given"'


def _strangers(section: UncertaintySection, network: Network) -> Iterator[Fault]:
    """Yield a fault for everything that is named and the network lacks."""
    known = _elements(network)
    tables: dict[str, Mapping[str, float]] = {
        "relative": section.relative,
        "absolute_w": section.absolute_w,
        "power_factor": section.power_factor,
    }
    named = {(key, name) for key, table in tables.items() for name in table if name != "default"}
    named |= {("groups", name) for group in section.groups for name in group.elements}
    for key, name in sorted(named):
        if name not in known:
            yield Fault(
                name,
                f"uncertainty.{key} names it, but it is no passive element of the network "
                f"(one that does not trade; {_remedy(network)})",
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
    section: UncertaintySection, network: Network, faults: list[Fault], *, complete: bool
) -> tuple[list[str], Uncertainty | None]:
    """Return the elements that deviate, and how; the latter not where there are faults.

    Where not ``complete``, elements that were meant to deviate have faults of their own, and what
    follows from that is no second one.
    """
    known = _elements(network)

    def each(table: Mapping[str, float], names: tuple[str, ...] | list[str]) -> FloatArray:
        return np.array([table.get(name, table.get("default", 0.0)) for name in names], dtype=float)

    deviates = (each(section.relative, known) > 0.0) | (each(section.absolute_w, known) > 0.0)
    elements = [name for name, does in zip(known, deviates, strict=True) if does]
    meant_for_all = any(each.get("default") for each in (section.relative, section.absolute_w))
    if meant_for_all and not known:
        faults.append(
            Fault(
                "uncertainty",
                "powers deviate, but the network has no element that does not trade; "
                f"{_remedy(network)}",
            )
        )
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
        each(section.relative, elements),
        each(section.absolute_w, elements) / network.base_power_w,
        np.array(ratios),
        deviations,
    )


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
        return Budget(len(elements), section.gamma)
    if section.radius is not None:
        return Ellipsoid(correlation, section.radius)
    return Box(len(elements))


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
