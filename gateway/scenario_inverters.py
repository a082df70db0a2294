"""The inverters of a scenario: who has one, of which rating, and how it responds to its voltage."""

from __future__ import annotations

from gateway.scenario_schema import CurvesSection, InvertersSection
from security_check.errors import Fault, NetworkFaults
from security_check.inverters import (
    AS4777_AUSTRALIA_A,
    IEEE1547_CATEGORY_A,
    IEEE1547_CATEGORY_B,
    Curve,
    Inverter,
    Response,
    with_inverters,
)
from security_check.network import Network

NO_RESPONSE = "none"

STANDARDS = {
    "as4777-australia-a": AS4777_AUSTRALIA_A,
    "ieee1547-a": IEEE1547_CATEGORY_A,
    "ieee1547-b": IEEE1547_CATEGORY_B,
}
"""Responses that a scenario names; a standard's volt-var alone has ``-volt-var`` added."""


def with_stated_inverters(
    network: Network, section: InvertersSection, faults: list[Fault]
) -> Network:
    """Return the network with the inverters that a section states, after adding every fault."""
    responses = {name: _response(curves) for name, curves in section.curves.items()}
    for name, response in STANDARDS.items():
        responses[name] = response
        responses[f"{name}-volt-var"] = Response(response.volt_var)
    faults += [
        Fault(f"inverters.curves.{name}", "this name is that of a standard, or of none at all")
        for name in section.curves
        if name in (*STANDARDS, NO_RESPONSE) or name.endswith("-volt-var")
    ]
    stated = section.response
    points = {point for point in stated if point != "default"}
    if "default" in stated:
        points.update(network.connection_points)
    inverters = {}
    for point in sorted(points):
        name = stated.get(point, stated.get("default", NO_RESPONSE))
        rating_va = section.rating_va.get(point, section.rating_va.get("default"))
        if name == NO_RESPONSE:
            continue
        if name not in responses:
            known = ", ".join(sorted(responses))
            faults.append(Fault(point, f'there is no response "{name}"; there is {known}'))
        elif rating_va is None:
            faults.append(
                Fault(point, "inverters.rating_va has neither a value for it nor a default")
            )
        else:
            inverters[point] = Inverter(responses[name], float(rating_va))
    try:
        return with_inverters(network, inverters)
    except NetworkFaults as found:
        faults.extend(found.faults)
        return network


def _response(curves: CurvesSection) -> Response:
    def curve(corners: list[list[float]] | None) -> Curve | None:
        if corners is None:
            return None
        return Curve(tuple(x for x, _ in corners), tuple(y for _, y in corners))

    return Response(curve(curves.volt_var), curve(curves.volt_watt))
