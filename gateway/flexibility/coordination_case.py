"""Read the file of a coordination case: networks of all operators, offers, needs, or all faults."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pydantic import ValidationError

from doe_allocation.coordination.ac_model import AcModel, market_of
from doe_allocation.coordination.problem import Offer, Portfolio, SystemNeed
from doe_allocation.hierarchy.joint_model.members import Hierarchy
from doe_allocation.procurement.choices import FlexDirection
from gateway.flexibility.coordination_schema import CoordinationCaseSections, OfferSection
from gateway.formats.faults import InputFaults, sentences
from gateway.formats.input_files import named_file, read_toml, shown_name
from gateway.hierarchy.loading import hierarchy_path, load_hierarchy
from security_check.arrays import ComplexArray
from security_check.errors import Fault, PowerFlowError
from security_check.model.element import POWER_FLOW

_FOLDER = "flexibility"
_BUNDLED = "bundled:"


@dataclass(frozen=True)
class CoordinationCase:
    """A case as it was read.

    Parameters
    ----------
    source
        Name of the file.
    model
        All networks, with offers and needs.
    """

    source: str
    model: AcModel


def coordination_path(name: str) -> Path:
    """Return the file of a case: a path, or ``bundled:NAME`` for one in the project.

    Raises
    ------
    InputFaults
        When the project has no case of that name.
    """
    return named_file(name, "case", _FOLDER)


def load_coordination_case(path: Path) -> CoordinationCase:
    """Return the case of a file.

    Raises
    ------
    InputFaults
        With every fault of the file, or of the hierarchy that it names.
    """
    source = shown_name(path)
    try:
        content = CoordinationCaseSections.model_validate(read_toml(path))
    except ValidationError as error:
        raise InputFaults(source, sentences(error)) from None
    named = content.hierarchy
    file = hierarchy_path(named) if named.startswith(_BUNDLED) else path.parent / named
    hierarchy = load_hierarchy(file)
    if not hierarchy.boundaries:
        detail = f"{hierarchy.members[0].name} has no operator below it: there is none to buy with"
        raise InputFaults(source, [Fault("hierarchy", detail)])
    faults = [
        *_place_faults(content, hierarchy),
        *_name_faults(content, hierarchy),
        *_loading_faults(content, hierarchy),
    ]
    faults = faults or list(_power_faults(content, hierarchy))
    if faults:
        raise InputFaults(source, faults)
    need = content.need
    market = market_of(
        hierarchy,
        [_offer(each) for each in content.offers],
        SystemNeed(need.direction, need.power_w, need.price_cap_eur_per_mwh),
        [Portfolio(each.name, each.power_w, each.value_eur_per_mwh) for each in content.portfolios],
        content.validated_loading,
    )
    loadings = {(each.operator, each.element): each.loading_max for each in content.loadings}
    try:
        base = _base(content, hierarchy)
        return CoordinationCase(
            source, AcModel(hierarchy, market, base, content.source_pu, loadings, _band(content))
        )
    except PowerFlowError as error:
        raise InputFaults(source, [Fault(POWER_FLOW, f"with nothing activated: {error}")]) from None


def _band(content: CoordinationCaseSections) -> tuple[float, float] | None:
    """Return the voltages at the top that the TSO may choose; ``None`` where it has no choice."""
    low, high = content.source_min_pu, content.source_max_pu
    if low is None and high is None:
        return None
    return (
        content.source_pu if low is None else low,
        content.source_pu if high is None else high,
    )


def _offer(entry: OfferSection) -> Offer:
    return Offer(
        entry.name,
        entry.provider,
        entry.operator,
        entry.connection_point,
        entry.direction,
        entry.power_w,
        entry.price_eur_per_mwh,
        entry.reactive,
    )


def _customers(hierarchy: Hierarchy) -> Iterator[tuple[str, int, str]]:
    """Yield operator, index and name of each customer, in the order of the joint net."""
    for member in hierarchy.members:
        for place, point in enumerate(member.network.connection_points):
            if point not in member.children:
                yield member.name, place, point


def _power(content: CoordinationCaseSections, operator: str, point: str) -> int:
    table = content.base[operator].power_w if operator in content.base else {}
    return table.get(point, table.get("default", 0))


def _base(content: CoordinationCaseSections, hierarchy: Hierarchy) -> ComplexArray:
    found = []
    for operator, place, point in _customers(hierarchy):
        ratio = float(hierarchy.member(operator).network.reactive_ratio[place])
        found.append(_power(content, operator, point) * (1.0 + 1j * ratio))
    return np.array(found, dtype=np.complex128)


def _place_faults(content: CoordinationCaseSections, hierarchy: Hierarchy) -> Iterator[Fault]:
    names = [member.name for member in hierarchy.members]
    low, high = hierarchy.contract.voltage_min_pu, hierarchy.contract.voltage_max_pu
    if not low <= content.source_pu <= high:
        detail = f"{content.source_pu:g} p.u. is outside the contract, {low:g} to {high:g} p.u."
        yield Fault("source_pu", detail)
    for key, given, sign in (
        ("source_min_pu", content.source_min_pu, -1.0),
        ("source_max_pu", content.source_max_pu, 1.0),
    ):
        if given is not None and not low <= given <= high:
            detail = f"{given:g} p.u. is outside the contract, {low:g} to {high:g} p.u."
            yield Fault(key, detail)
        if given is not None and sign * (given - content.source_pu) < 0.0:
            side = "above" if sign < 0.0 else "below"
            yield Fault(key, f"{given:g} p.u. is {side} source_pu, {content.source_pu:g} p.u.")
    for operator in content.base:
        if operator not in names:
            yield Fault(f"base.{operator}", f"there is no such operator; there is {_all(names)}")
            continue
        for point in content.base[operator].power_w:
            if point != "default":
                yield from _unknown_point(f"base.{operator}", hierarchy, operator, point)
    for offer in content.offers:
        where = f"offers.{offer.name}"
        if offer.operator not in names:
            yield Fault(where, f"there is no operator {offer.operator}; there is {_all(names)}")
        else:
            yield from _unknown_point(where, hierarchy, offer.operator, offer.connection_point)


def _unknown_point(where: str, hierarchy: Hierarchy, operator: str, point: str) -> Iterator[Fault]:
    member = hierarchy.member(operator)
    if point in member.children:
        below = member.children[point].child
        yield Fault(where, f"{point} of {operator} is the interface of {below}, not a customer")
    elif point not in member.network.connection_points:
        yield Fault(where, f"{operator} has no connection point {point}")


def _name_faults(content: CoordinationCaseSections, hierarchy: Hierarchy) -> Iterator[Fault]:
    buyers = {member.name for member in hierarchy.members}
    for party in content.portfolios:
        if party.name in buyers:
            detail = "an operator or another party has that name"
            yield Fault(f"portfolios.{party.name}", detail)
        buyers.add(party.name)
    offers: set[str] = set()
    for offer in content.offers:
        if offer.name in offers:
            yield Fault(f"offers.{offer.name}", "there are two offers of that name")
        offers.add(offer.name)
        if offer.provider in buyers:
            detail = f"its provider {offer.provider} has the name of a buyer"
            yield Fault(f"offers.{offer.name}", detail)


def _loading_faults(content: CoordinationCaseSections, hierarchy: Hierarchy) -> Iterator[Fault]:
    names = [member.name for member in hierarchy.members]
    for each in content.loadings:
        where = f"loadings.{each.operator} {each.element}"
        if each.operator not in names:
            yield Fault(where, f"there is no operator {each.operator}; there is {_all(names)}")
            continue
        table, _, index = each.element.partition(":")
        net = hierarchy.member(each.operator).net
        known = table in ("line", "trafo", "trafo3w") and index in map(str, net[table].index)
        if not known:
            yield Fault(where, f"{each.operator} has no line or transformer {each.element}")


def _power_faults(content: CoordinationCaseSections, hierarchy: Hierarchy) -> Iterator[Fault]:
    """Yield customers whose power, with offers activated, is beyond their capacity."""
    offered: dict[tuple[str, str, FlexDirection], int] = {}
    for offer in content.offers:
        if not offer.reactive:
            key = offer.operator, offer.connection_point, offer.direction
            offered[key] = offered.get(key, 0) + offer.power_w
    for operator, place, point in _customers(hierarchy):
        capacity = hierarchy.member(operator).capacity
        high, low = int(capacity.injection_w[place]), -int(capacity.withdrawal_w[place])
        base = _power(content, operator, point)
        if not low <= base <= high:
            detail = f"{point} has {base:,} W, outside its capacity from {low:,} to {high:,} W"
            yield Fault(f"base.{operator}", detail)
            continue
        for direction in FlexDirection:
            power = offered.get((operator, point, direction), 0)
            end = base + int(direction.sign) * power
            if not low <= end <= high:
                yield Fault(
                    f"offers at {operator} {point}",
                    f"{direction.value} they are {power:,} W together, from {base:,} W to "
                    f"{end:,} W, outside its capacity from {low:,} to {high:,} W",
                )


def _all(names: list[str]) -> str:
    return ", ".join(names)
