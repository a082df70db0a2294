"""The inverters of a scenario: rating and voltage response at each connection point."""

from __future__ import annotations

from collections.abc import Iterator

from gateway.scenario.element_tables import DEFAULT, missing_values, unknown_elements
from gateway.scenario.schema import CurvesSection, InvertersSection
from security_check.errors import Fault, NetworkFaults
from security_check.model.network import Network
from security_check.modifications.inverters import (
    AS4777_AUSTRALIA_A,
    IEEE1547_CATEGORY_A,
    IEEE1547_CATEGORY_B,
    Curve,
    Inverter,
    Response,
    with_inverters,
)

NO_RESPONSE = "none"

STANDARDS = {
    "as4777-australia-a": AS4777_AUSTRALIA_A,
    "ieee1547-a": IEEE1547_CATEGORY_A,
    "ieee1547-b": IEEE1547_CATEGORY_B,
}
"""Responses that a scenario can name; with ``-volt-var`` added, the volt-var curve alone."""

_STAND_IN_VA = 1.0  # replaces a rating of 0, which is a fault already, so that all others are found


def with_stated_inverters(
    network: Network, section: InvertersSection, faults: list[Fault]
) -> Network:
    """Return the network with the inverters that a section states, after adding every fault.

    A faulty curve or rating is one fault, however many connection points use it.
    """
    found = [*_curve_faults(section), *_rating_faults(section, network)]
    responses = _responses(section)
    inverters = {}
    for point, name in _stated(section, network).items():
        rating_va = section.rating_va.get(point, section.rating_va.get(DEFAULT))
        if name not in responses:
            known = ", ".join(sorted(responses))
            found.append(Fault(point, f'there is no response "{name}"; there is {known}'))
        elif rating_va is None:
            found += missing_values("inverters.rating_va", section.rating_va, [point])
        else:
            sound = responses[name] if not responses[name].faults() else AS4777_AUSTRALIA_A
            inverters[point] = Inverter(sound, float(rating_va) or _STAND_IN_VA)
    try:
        fitted = with_inverters(network, inverters)
    except NetworkFaults as wrong:
        found += wrong.faults
    faults += found
    return network if found else fitted


def _stated(section: InvertersSection, network: Network) -> dict[str, str]:
    """Return the name of the response of each connection point that has an inverter."""
    stated = section.response
    points = set(stated) - {DEFAULT}
    if DEFAULT in stated:
        points.update(network.connection_points)
    named = {point: stated.get(point, stated.get(DEFAULT, "")) for point in sorted(points)}
    return {point: name for point, name in named.items() if name != NO_RESPONSE}


def _responses(section: InvertersSection) -> dict[str, Response]:
    """Return all responses by name: those of the section and those of the standards."""
    responses = {name: _response(curves) for name, curves in section.curves.items()}
    for name, response in STANDARDS.items():
        responses[name] = response
        responses[f"{name}-volt-var"] = Response(response.volt_var)
    return responses


def _curve_faults(section: InvertersSection) -> Iterator[Fault]:
    """Yield the faults of the section's own responses, unused ones included."""
    used = set(section.response.values())
    for name, curves in section.curves.items():
        where = f"inverters.curves.{name}"
        if name in (*STANDARDS, NO_RESPONSE) or name.endswith("-volt-var"):
            yield Fault(where, 'this name is reserved: it is that of a standard response or "none"')
        elif name not in used:
            yield Fault(where, "no connection point uses it (inverters.response)")
        if curves.volt_var is None and curves.volt_watt is None:
            yield Fault(where, "it has neither volt_var nor volt_watt")
        yield from (Fault(where, sentence) for sentence in _response(curves).faults())


def _rating_faults(section: InvertersSection, network: Network) -> Iterator[Fault]:
    """Yield the ratings of 0, and those of connection points without a response."""
    has = _stated(section, network)
    for point, rating_va in section.rating_va.items():
        where = "inverters.rating_va" if point == DEFAULT else point
        gives = "it" if point == DEFAULT else "inverters.rating_va gives it a rating that"
        if rating_va == 0:
            yield Fault(where, f"{gives} is 0 VA; a rating above 0 is needed")
        if point == DEFAULT and not has:
            yield Fault(
                where, "it is given, but no connection point has a response (inverters.response)"
            )
        elif point not in (*network.connection_points, DEFAULT):
            if point not in has:  # otherwise its response is a fault already
                yield from unknown_elements("inverters.rating_va", [point], ())
        elif point != DEFAULT and point not in has:
            detail = f"inverters.rating_va gives it {rating_va} VA, but it has no response"
            yield Fault(point, f"{detail} (inverters.response)")


def _response(curves: CurvesSection) -> Response:
    def curve(corners: list[list[float]] | None) -> Curve | None:
        if corners is None:
            return None
        return Curve(tuple(x for x, _ in corners), tuple(y for _, y in corners))

    return Response(curve(curves.volt_var), curve(curves.volt_watt))
