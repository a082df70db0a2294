"""Read the file of a procurement case: the feeder and its offers, or all faults at once."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import scipy.sparse as sp

from doe_allocation.procurement.choices import FlexDirection
from doe_allocation.procurement.problem import FlexOffer, ProcurementProblem
from gateway.flexibility.case_schema import FlexOfferEntry, ProcurementCaseFile, ResourceEntry
from gateway.formats.faults import InputFaults
from gateway.formats.input_files import named_file, parsed_json
from security_check.arrays import FloatArray
from security_check.errors import Fault, NetworkFaults
from security_check.importers.branch_table import (
    Branch,
    BranchTable,
    Resource,
    network_of_table,
)
from security_check.model.element_ids import element_id
from security_check.model.limits import VoltageLimits
from security_check.model.network import Network
from security_check.uncertainty.deviation_sets import (
    BoxSet,
    BudgetSet,
    DeviationSet,
    EllipsoidSet,
)
from security_check.uncertainty.deviations import Deviations
from security_check.uncertainty.forecast import Forecast

_FOLDER = "flexibility"
_SAME_KW = 1e-6  # steps of an offer join within this, a milliwatt
_SAME_RATIO = 1e-3  # a power factor agrees with P and Q within this
_USUAL_PRICE = 1.0  # EUR/kWh, of every offer where a case gives none


@dataclass(frozen=True, slots=True)
class SetChoice:
    """The set of deviations that limits must withstand.

    Parameters
    ----------
    kind
        ``"box"``, ``"budget"`` or ``"ellipsoid"``.
    size
        Gamma of a budget, the radius of an ellipsoid in half-bands; not used of a box.
    """

    kind: Literal["box", "budget", "ellipsoid"] = "box"
    size: float = 1.0

    @classmethod
    def parse(cls, text: str) -> SetChoice:
        """Return the set that ``box``, ``gamma=3``, ``ellipsoid`` or ``ellipsoid=2`` names.

        Raises
        ------
        ValueError
            When it names none.
        """
        if text == "box":
            return cls("box")
        name, given, number = text.partition("=")
        try:
            size = float(number) if given else 1.0
        except ValueError:
            size = math.nan
        if 0.0 <= size < math.inf:
            if name == "gamma" and given:
                return cls("budget", size)
            if name == "ellipsoid":
                return cls("ellipsoid", size)
        detail = "box, gamma=NUMBER, ellipsoid or ellipsoid=RADIUS, with a number of at least 0"
        raise ValueError(f"it is {text!r}; it should be {detail}")


@dataclass(frozen=True)
class LoadedCases:
    """The feeder of a file, with the half-bands of each of its cases.

    Parameters
    ----------
    source
        Name of the file, for messages.
    content
        The file.
    network
        The feeder.
    offers
        What is offered.
    bands
        Shape (c,) for each case, half-bands in parts of the resources' powers.
    """

    source: str
    content: ProcurementCaseFile
    network: Network
    offers: tuple[FlexOffer, ...]
    bands: Mapping[str, FloatArray]

    def problem(self, case: str, choice: SetChoice) -> ProcurementProblem:
        """Return what is to be procured in a case, under a set of deviations.

        Raises
        ------
        InputFaults
            When the set is none for this number of resources, or there is no such case.
        """
        if case not in self.bands:
            detail = f"there is no such case; the file has {', '.join(self.bands)}"
            raise InputFaults(self.source, [Fault(f"cases.{case}", detail)])
        network, band = self.network, self.bands[case]
        passive = network.passive
        assert passive is not None  # every network of a table has its resources
        try:
            within = _set(choice, len(band), self.content.correlation)
        except ValueError as error:
            raise InputFaults(self.source, [Fault("--set", str(error))]) from None
        # Deviations inject when positive, whether a resource usually withdraws or injects.
        own = np.where(passive.power_pu.real > 0.0, 1.0, -1.0) * passive.power_pu
        power = sp.csr_array(passive.port_shares * (band * own)[None, :])
        deviations = Deviations(within, power, elements=passive.elements)
        content = self.content
        return ProcurementProblem(
            network=network,
            offers=self.offers,
            forecast=Forecast(network.ports.passive_power_pu, deviations),
            voltage_limits=VoltageLimits(content.voltage_min_pu, content.voltage_max_pu),
            source_pu=content.slack_voltage_pu,
            unlimited=_unlimited(content),
        )


def case_path(name: str) -> Path:
    """Return the file of a case: a path, or ``bundled:NAME`` for one in the project.

    Raises
    ------
    InputFaults
        When the project has no case of that name.
    """
    return named_file(name, "case", _FOLDER, ".json")


def read_cases(text: bytes, source: str, largest_w: float | None = None) -> LoadedCases:
    """Return the cases of a JSON text for one interval; ``source`` names it in messages.

    Parameters
    ----------
    largest_w
        Power of all resources together that the unit of power is for, where several intervals have
        one unit.

    Raises
    ------
    InputFaults
        With every fault of the text.
    """
    content = parsed_json(ProcurementCaseFile, text, source)
    faults = [*_limit_faults(content), *_resource_faults(content)]
    offers = _offers(content)
    faults += _offer_faults(content, offers)
    table = _table(content, source, largest_w)
    try:
        network = network_of_table(table)
    except NetworkFaults as found:
        raise InputFaults(source, [*found.faults, *faults]) from None
    if faults:
        raise InputFaults(source, faults)
    place = {str(each.pod): k for k, each in enumerate(content.pods)}
    return LoadedCases(
        source,
        content,
        network,
        tuple(
            FlexOffer(
                place[str(each.pod)],
                each.direction,
                (each.to_kw - each.from_kw) * 1e3 / network.base_power_w,
                each.price_eur_per_kwh * network.base_power_w / 1e3,
            )
            for each in offers
        ),
        {name: _bands(content, name) for name in content.cases},
    )


def _set(choice: SetChoice, count: int, correlation: float) -> DeviationSet:
    if choice.kind == "box":
        return BoxSet(count)
    if choice.kind == "budget":
        return BudgetSet(count, choice.size)
    covariance = np.full((count, count), correlation)
    np.fill_diagonal(covariance, 1.0)
    return EllipsoidSet(covariance, choice.size)


def _bands(content: ProcurementCaseFile, case: str) -> FloatArray:
    """Return the half-bands of a case, in parts of the resources' powers."""
    bands = content.cases[case]
    return np.array(
        [
            (bands.flexible_percent if each.flexible else bands.inflexible_percent) / 100.0
            if each.half_band_percent is None
            else each.half_band_percent / 100.0
            for each in content.pods
        ]
    )


def _unlimited(content: ProcurementCaseFile) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """Return the terminals without a limit: first all branches' from ends, then their to ends."""
    count, both = len(content.branches), content.current_limit_ends == "both"
    limited = [each.id in content.current_limit_a for each in content.branches]
    return np.array(
        [k for k in range(2 * count) if not limited[k % count] or (k >= count and not both)],
        dtype=np.int64,
    )


def _table(content: ProcurementCaseFile, name: str, largest_w: float | None) -> BranchTable:
    return BranchTable(
        name,
        content.base_voltage_v_line_to_line,
        str(content.slack_bus),
        [
            Branch(
                each.id,
                str(each.start),
                str(each.end),
                each.r_ohm,
                each.x_ohm,
                each.b_s,
                content.current_limit_a.get(each.id),
            )
            for each in content.branches
        ],
        [
            Resource(
                str(each.pod),
                str(each.bus),
                1e3 * each.p_kw,
                1e3 * _reactive_kvar(each),
                _ratio(each),
            )
            for each in content.pods
        ],
        largest_w,
    )


def _reactive_kvar(entry: ResourceEntry) -> float:
    if entry.q_kvar is not None:
        return entry.q_kvar
    return entry.p_kw * _tangent(entry)


def _tangent(entry: ResourceEntry) -> float:
    return 0.0 if entry.power_factor is None else math.tan(math.acos(entry.power_factor))


def _ratio(entry: ResourceEntry) -> float:
    """Return reactive over active power, 0 where it is not known."""
    if entry.p_kw != 0.0 and entry.q_kvar is not None:
        return entry.q_kvar / entry.p_kw
    return _tangent(entry)


def _limit_faults(content: ProcurementCaseFile) -> Iterator[Fault]:
    if content.voltage_min_pu >= content.voltage_max_pu:
        detail = (
            f"{content.voltage_min_pu:g} is not below voltage_max_pu {content.voltage_max_pu:g}"
        )
        yield Fault("voltage_min_pu", detail)
    known = {each.id for each in content.branches}
    for name in content.current_limit_a:
        if name not in known:
            yield Fault(f"current_limit_a.{name}", "there is no branch of this id")


def _resource_faults(content: ProcurementCaseFile) -> Iterator[Fault]:
    for each in content.pods:
        own = element_id("pod", each.pod)
        if each.q_kvar is None and each.power_factor is None:
            yield Fault(own, "it has neither q_kvar nor power_factor: its power factor is unknown")
        elif each.p_kw == 0.0 and each.flexible and each.power_factor is None:
            detail = "its p_kw is 0, so that P and Q give no power factor, and power_factor is "
            yield Fault(own, detail + "missing: what it activates would have none")
        elif each.p_kw != 0.0 and each.q_kvar is not None and each.power_factor is not None:
            ratio = each.q_kvar / each.p_kw
            if abs(abs(ratio) - _tangent(each)) > _SAME_RATIO:
                found = math.cos(math.atan(ratio))
                detail = f"its power_factor is {each.power_factor:g}, but P and Q have {found:.4f}"
                yield Fault(own, detail)


def _offers(content: ProcurementCaseFile) -> list[FlexOfferEntry]:
    """Return the offers: those of the file, or the whole power of each flexible resource.

    Without offers in the file, flexible loads offer to withdraw less, down to nothing, and flexible
    generators to inject less, all at one price.
    """
    if content.offers is not None:
        return content.offers
    return [
        FlexOfferEntry(
            pod=each.pod,
            direction=FlexDirection.UPWARD if each.p_kw > 0.0 else FlexDirection.DOWNWARD,
            to_kw=abs(each.p_kw),
            price_eur_per_kwh=_USUAL_PRICE,
        )
        for each in content.pods
        if each.flexible and each.p_kw != 0.0
    ]


def _offer_faults(content: ProcurementCaseFile, offers: list[FlexOfferEntry]) -> Iterator[Fault]:
    resources = {str(each.pod): each for each in content.pods}
    steps: dict[tuple[str, FlexDirection], list[FlexOfferEntry]] = {}
    for each in offers:
        own, resource = element_id("pod", each.pod), resources.get(str(each.pod))
        if resource is None:
            yield Fault(own, "it offers flexibility, but there is no such resource")
            continue
        if not resource.flexible:
            yield Fault(own, "it offers flexibility, but it is not flexible")
        if each.from_kw >= each.to_kw > 0.0 or each.from_kw > each.to_kw:
            yield Fault(own, f"its offer goes from {each.from_kw:g} to {each.to_kw:g} kW")
            continue
        yield from _beyond(own, each, resource)
        steps.setdefault((str(each.pod), each.direction), []).append(each)
    for (name, direction), own_steps in steps.items():
        yield from _step_faults(f"{element_id('pod', name)} {direction.value}", own_steps)


def _beyond(own: str, offer: FlexOfferEntry, resource: ResourceEntry) -> Iterator[Fault]:
    """Yield a fault where an offer is more than the load, or generation, that it reduces."""
    power = resource.p_kw * offer.direction.sign
    if power > 0.0 and offer.to_kw > power + _SAME_KW:
        what = "load" if resource.p_kw > 0.0 else "generation"
        detail = f"it offers {offer.to_kw:g} kW {offer.direction.value}, beyond its {what} of "
        yield Fault(own, f"{detail}{power:g} kW")


def _step_faults(own: str, steps: list[FlexOfferEntry]) -> Iterator[Fault]:
    """Yield a fault where steps of a resource in a direction overlap, leave gaps or get cheaper."""
    ordered = sorted(steps, key=lambda each: (each.from_kw, each.to_kw))
    reached, price = 0.0, -math.inf
    for each in ordered:
        here = f"{each.from_kw:g} to {each.to_kw:g} kW"
        if each.from_kw < reached - _SAME_KW:
            yield Fault(own, f"its offers overlap: {here} begins before {reached:g} kW")
        elif each.from_kw > reached + _SAME_KW:
            yield Fault(own, f"nothing is offered between {reached:g} kW and {here}")
        if each.price_eur_per_kwh < price:
            detail = f"{each.price_eur_per_kwh:g} EUR/kWh, less than {price:g} for the step before"
            yield Fault(own, f"{here} costs {detail}; steps must not get cheaper")
        reached, price = max(reached, each.to_kw), each.price_eur_per_kwh
