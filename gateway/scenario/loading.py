"""Read a scenario file, and build the scenario or raise all of its faults at once.

A scenario (TOML) is the input of every command; ``docs/formats`` describes it.  The sections
are validated one by one (:mod:`gateway.scenario.schema`), then the network is built
(:mod:`gateway.scenario.network_states`).  Sections without faults serve to check the others, so
that one run shows every fault.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar

from doe_allocation.capacity import Capacity
from exchange.vocabulary.flexibility import FlexibilityRules
from exchange.vocabulary.rules import MarketRules
from gateway.formats.faults import InputFaults
from gateway.formats.input_files import named_file, read_toml, shown_name
from gateway.scenario.actions import Actions, build_actions
from gateway.scenario.customers import build_capacity, build_owners, find_unknown_points
from gateway.scenario.fairness import FairnessTerms, build_fairness
from gateway.scenario.forecasts import ForecastSeries
from gateway.scenario.intervals import DeliveryInterval, Span, build_intervals, build_span
from gateway.scenario.inverters import with_stated_inverters
from gateway.scenario.linear.area import LinearArea
from gateway.scenario.linear.flexibility import Resources, build_flexibility
from gateway.scenario.linear.reading import read_linear_area
from gateway.scenario.linear.sections import faults_of_sections
from gateway.scenario.market import build_rules
from gateway.scenario.network_source import Held, places_of
from gateway.scenario.network_states import NO_MODEL, Model, build_model, model_of, phase_faults
from gateway.scenario.perimeters import build_perimeters
from gateway.scenario.profiles.capacities import CapacityProfile, build_capacity_profile
from gateway.scenario.profiles.powers import build_power_profile
from gateway.scenario.scenario import Scenario
from gateway.scenario.schema import (
    ActionsSection,
    CapacitySection,
    FairnessSection,
    FlexibilitySection,
    InterfaceSection,
    IntervalsSection,
    InvertersSection,
    LimitsSection,
    MarketSection,
    MeteringSection,
    NetworkSection,
    ProfilesSection,
    UncertaintySection,
)
from gateway.scenario.stated import Stated, read_stated
from gateway.scenario.uncertainty import build_uncertainty, with_stated_tolerances
from security_check.errors import Fault
from security_check.importers import Net
from security_check.model.limits import InterfaceLimits, VoltageLimits
from security_check.model.network import Network

Built = TypeVar("Built")


def scenario_path(name: str) -> Path:
    """Return the file of a scenario: a path, or ``bundled:NAME`` for one of the project.

    Raises
    ------
    InputFaults
        When no such scenario ships with the project.
    """
    return named_file(name, "scenario")


def load_scenario(path: Path) -> Scenario:
    """Return the scenario in a file.

    Raises
    ------
    InputFaults
        With every fault of the file, of the network it names, and of how they fit together.
    """
    return build_scenario(read_toml(path), path)


def build_scenario(content: Mapping[str, Any], path: Path, net: Net | None = None) -> Scenario:
    """Return the scenario that the sections of a file describe.

    Parameters
    ----------
    content
        The sections by name, as :func:`gateway.formats.input_files.read_toml` returns them.
    path
        The file, for faults; files that sections name are relative to its folder.
    net
        The pandapower net that ``network.source`` stands for, where it is open already; not
        modified.

    Raises
    ------
    InputFaults
        As :func:`load_scenario`.
    """
    stated = read_stated(content, path, net)
    faults = stated.faults
    voltage_limits = _voltage_limits(stated)
    times = _times(stated)
    linear = _linear_area(stated, times)
    model = NO_MODEL if _is_linear(stated) else _model(stated, times, voltage_limits)
    customers = _customers(stated, model.points if linear is None else linear.connection_points)
    rules, resources = _rules(stated, linear)
    model, forecast_series = _forecast(stated, model, times.span)
    network: Network | LinearArea | None = linear if model.network is None else model.network
    capacities = _capacities(stated, customers.capacity, times.span)
    perimeters = None
    if network is not None:
        given = stated.content.get("perimeters", {})
        perimeters = build_perimeters(given, network, stated.area, faults)
    actions = _actions(stated, times)
    if faults or network is None:
        raise InputFaults(shown_name(path), faults)
    market = _built(stated.section(MarketSection))
    return Scenario(
        source=shown_name(path),
        area=stated.area,
        network=network,
        states=model.states,
        voltage_limits=_built(voltage_limits),
        interface_limits=_built(times.interface_limits),
        capacity=_built(customers.capacity),
        fairness=_built(customers.fairness),
        forecast_series=forecast_series,
        capacities=capacities,
        intervals=times.intervals,
        anonymous=_built(stated.section(IntervalsSection)).start is None,
        owners=_built(customers.owners),
        has_participants="participants" in stated.content,
        rules=_built(rules),
        gate_closure=timedelta(minutes=market.gate_closure_minutes),
        opening=timedelta(minutes=market.opening_minutes),
        actions=actions,
        perimeters=_built(perimeters),
        resources=resources,
        places=places_of(model.net),
    )


def _built(value: Built | None) -> Built:
    """Return a part of the scenario; without faults every part has been built."""
    assert value is not None
    return value


# -- limits and times -----------------------------------------------------------------------------


def _voltage_limits(stated: Stated) -> VoltageLimits | None:
    section = stated.section(LimitsSection)
    if section is None:
        return None
    try:
        return VoltageLimits(section.voltage_min_pu, section.voltage_max_pu, section.unbalance)
    except ValueError as error:
        stated.faults.append(Fault("limits", str(error)))
        return None


def _interface_limits(stated: Stated) -> InterfaceLimits | None:
    section = stated.section(InterfaceSection)
    if section is None:
        return None
    try:
        return InterfaceLimits(**section.model_dump())
    except ValueError as error:
        stated.faults.append(Fault("interface", str(error)))
        return None


@dataclass(frozen=True, slots=True)
class _Times:
    """The intervals, and the contract with the TSO: in each of them, and the usual one."""

    interface_limits: InterfaceLimits | None
    span: Span | None
    intervals: tuple[DeliveryInterval, ...]

    @property
    def contracts(self) -> list[InterfaceLimits]:
        return [interval.interface_limits for interval in self.intervals]

    @property
    def held(self) -> Held:
        """The voltages that the contract limits: of each phase if unbalance has a limit."""
        unbalanced = any(each.unbalance_pu is not None for each in self.contracts)
        return "phases" if unbalanced else "source"


def _times(stated: Stated) -> _Times:
    usual = _interface_limits(stated)
    section = stated.section(IntervalsSection)
    span = None if section is None else build_span(section, stated.faults)
    intervals: tuple[DeliveryInterval, ...] = ()
    if section is not None and span is not None:
        intervals = build_intervals(section, span, usual, stated.folder, stated.faults)
    return _Times(usual, span, intervals)


# -- the network and its customers ----------------------------------------------------------------


def _is_linear(stated: Stated) -> bool:
    section = stated.section(NetworkSection)
    return section is not None and section.kind == "linear"


def _linear_area(stated: Stated, times: _Times) -> LinearArea | None:
    """Return a linear network, or ``None`` after adding its faults, or if it is of another kind."""
    section = stated.section(NetworkSection)
    if section is None or not _is_linear(stated):
        return None
    faults = stated.faults
    faults += faults_of_sections(stated.content, times.contracts)
    profiles = stated.section(ProfilesSection)
    return read_linear_area(section.source, profiles, times.span, stated.folder, faults)


def _model(stated: Stated, times: _Times, voltage_limits: VoltageLimits | None) -> Model:
    section = stated.section(NetworkSection)
    if section is None:
        return NO_MODEL
    capacity = stated.section(CapacitySection)
    faults = stated.faults
    model = build_model(
        section, capacity, times.held, stated.area, stated.folder, faults, stated.net
    )
    model = _with_inverters(stated, model, faults)
    if model.network is not None:
        faults += phase_faults(model.network, voltage_limits, times.contracts)
    return model


def _with_inverters(stated: Stated, model: Model, faults: list[Fault]) -> Model:
    section = stated.section(InvertersSection)
    if section is None:
        return model
    return model.changed(
        lambda network, found: with_stated_inverters(network, section, found), faults
    )


@dataclass(frozen=True, slots=True)
class _Customers:
    """Owners, capacities and fairness terms of the connection points."""

    owners: Mapping[str, str] | None = None
    capacity: Capacity | None = None
    fairness: FairnessTerms | None = None


def _customers(stated: Stated, points: tuple[str, ...] | None) -> _Customers:
    if points is None:
        return _Customers()
    faults = stated.faults
    owners = build_owners(stated.content.get("participants", {}), points, faults)
    find_unknown_points(stated.content.get("capacity"), points, faults)
    capacity, fairness = stated.section(CapacitySection), stated.section(FairnessSection)
    return _Customers(
        owners,
        None if capacity is None else build_capacity(capacity, points, faults),
        None if fairness is None else build_fairness(fairness, points, faults),
    )


# -- market, forecasts and actions ----------------------------------------------------------------


def _flexibility(
    stated: Stated, linear: LinearArea | None
) -> tuple[FlexibilityRules | None, Resources]:
    section = stated.section(FlexibilitySection)
    if section is None:
        return None, {}
    if not _is_linear(stated):
        detail = 'flexibility is matched on a network of network.kind "linear"'
        stated.faults.append(Fault("flexibility", detail))
    if linear is None:
        return None, {}
    points = linear.connection_points
    return build_flexibility(section, points, stated.content, stated.faults)


def _rules(stated: Stated, linear: LinearArea | None) -> tuple[MarketRules | None, Resources]:
    """Return the market's rules, and what the resources of its connection points can change."""
    market, metering = stated.section(MarketSection), stated.section(MeteringSection)
    flexibility, resources = _flexibility(stated, linear)
    if market is None:
        return None, resources
    if stated.faults:
        flexibility = None  # it may have faults of its own
    return build_rules(market, metering, flexibility, stated.faults), resources


def _forecast(
    stated: Stated, model: Model, span: Span | None
) -> tuple[Model, ForecastSeries | None]:
    """Return the network with its impedance tolerances in all states, and the forecasts."""
    network, section, faults = model.network, stated.section(UncertaintySection), stated.faults
    if network is None or span is None or section is None:
        return model, None
    profiles = stated.section(ProfilesSection)
    powers = build_power_profile(profiles, model, network, span, stated.folder, faults)
    model = _with_tolerances(section, model, faults)
    assert model.network is not None
    return model, build_uncertainty(section, model.network, powers, span, faults)


def _with_tolerances(section: UncertaintySection, model: Model, faults: list[Fault]) -> Model:
    return model.changed(
        lambda network, found: with_stated_tolerances(section, network, found), faults
    )


def _capacities(
    stated: Stated, capacity: Capacity | None, span: Span | None
) -> CapacityProfile | None:
    if capacity is None or span is None:
        return None
    profiles = stated.section(ProfilesSection)
    return build_capacity_profile(profiles, capacity, span, stated.folder, stated.faults)


def _actions(stated: Stated, times: _Times) -> Actions | None:
    section, network_section = stated.section(ActionsSection), stated.section(NetworkSection)
    if section is None or network_section is None or _is_linear(stated):
        return None

    def model_net(net: Any, faults: list[Fault]) -> tuple[Network | None, ForecastSeries | None]:
        """Return network and forecasts of the net in another configuration; without profiles."""
        capacity = stated.section(CapacitySection)
        model = model_of(net, network_section, capacity, times.held, stated.area, faults)
        model = _with_inverters(stated, model, faults)
        uncertainty = stated.section(UncertaintySection)
        if model.network is None or times.span is None or uncertainty is None:
            return None, None
        network = _with_tolerances(uncertainty, model, faults).network
        assert network is not None
        return network, build_uncertainty(uncertainty, network, None, times.span, faults)

    return build_actions(
        section, network_section, model_net, stated.folder, stated.faults, stated.net
    )
