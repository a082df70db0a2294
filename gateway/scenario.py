"""From a scenario file to what the exchange works on, or all of its faults at once.

A scenario (TOML) is the input of every command; ``docs/formats.md`` describes it.  The sections
are validated one by one (:mod:`gateway.scenario_schema`), then the network is built
(:mod:`gateway.scenario_model`), and what is right is used to check the rest, so that one run
shows every fault.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from doe_allocation.capacity import Capacity
from doe_allocation.joint_grid import JointGrid
from doe_allocation.network_grid import NetworkGrid
from exchange.rules import ConnectionTerms, MarketRules
from gateway.input_faults import InputFaults
from gateway.scenario_customers import (
    build_capacity,
    build_owners,
    find_strangers,
)
from gateway.scenario_fairness import FairnessTerms, build_fairness
from gateway.scenario_intervals import Interval, build_intervals
from gateway.scenario_inverters import with_stated_inverters
from gateway.scenario_market import build_rules
from gateway.scenario_model import NO_MODEL, Model, build_model, phase_faults
from gateway.scenario_network import Held, bundled, bundled_names
from gateway.scenario_schema import (
    CapacitySection,
    FairnessSection,
    InterfaceSection,
    IntervalsSection,
    InvertersSection,
    LimitsSection,
    MarketSection,
    MeteringSection,
    NetworkSection,
    Section,
    UncertaintySection,
    parse_section,
)
from gateway.scenario_uncertainty import build_uncertainty
from gateway.topics import is_identifier
from security_check.errors import Fault
from security_check.forecast import Forecast
from security_check.limits import InterfaceLimits, VoltageLimits
from security_check.network import Network
from security_check.outages import Outage
from security_check.parts import Part

_SECTIONS: dict[str, type[Section]] = {
    "network": NetworkSection,
    "limits": LimitsSection,
    "interface": InterfaceSection,
    "capacity": CapacitySection,
    "inverters": InvertersSection,
    "uncertainty": UncertaintySection,
    "fairness": FairnessSection,
    "market": MarketSection,
    "metering": MeteringSection,
    "intervals": IntervalsSection,
}
_REQUIRED = ("network", "interface", "capacity")
_ABSENT_IS_NONE = ("metering",)  # a market that names none has none


@dataclass(frozen=True, slots=True)
class Scenario:
    """A network, its limits, who is connected, and what is traded when.

    Parameters
    ----------
    source
        The file it was read from.
    area
        Name of the area; topics and the journal are named after it.
    network, outages, voltage_limits, capacity, forecast
        What the envelopes are computed from; they hold after each outage, too.
    fairness
        By what they are divided.
    interface_limits
        The contract with the TSO where an interval has no other.
    intervals
        The delivery intervals in order; at least one.
    anonymous
        Whether the scenario names no interval: then there is exactly one, whose start an
        orders file may give.
    owners
        Participant of each connection point; named by ``[participants]`` or, where that says
        nothing, the connection point itself.
    has_participants
        Whether the file has a section ``[participants]``.
    rules
        Price step, quantity step, compensation, metering.
    gate_closure, opening
        How long before its start an interval's gate closes, and how long before that start it
        opens (``serve`` only: a simulation opens everything before the first order).
    """

    source: str
    area: str
    network: Network
    outages: tuple[Outage, ...]
    voltage_limits: VoltageLimits
    interface_limits: InterfaceLimits
    capacity: Capacity
    forecast: Forecast
    fairness: FairnessTerms
    intervals: tuple[Interval, ...]
    anonymous: bool
    owners: Mapping[str, str]
    has_participants: bool
    rules: MarketRules
    gate_closure: timedelta
    opening: timedelta

    def grid(self) -> NetworkGrid | JointGrid:
        """Return the grid that allocates and checks envelopes for this scenario."""
        # A set of deviations, an outage or a level common to all may reach across parts.
        reaches = self.forecast.deviations.set.count or self.outages
        if reaches or self.fairness.principle.is_common:
            return NetworkGrid(
                self.network,
                self.voltage_limits,
                self.capacity,
                self.fairness.weights,
                outages=self.outages,
                forecast=self.forecast,
                fairness=self.fairness.principle,
            )
        joint = JointGrid(self.network, self._grid_of)
        return joint if len(joint.parts) > 1 else joint.parts[0]

    def _grid_of(self, part: Part) -> NetworkGrid:
        weights = self.fairness.weights.reshape(2, -1)[:, part.points].ravel()
        capacity = self.capacity.take(part.points)
        principle = self.fairness.principle
        return NetworkGrid(part.network, self.voltage_limits, capacity, weights, fairness=principle)

    def terms(self, owners: Mapping[str, str] | None = None) -> tuple[ConnectionTerms, ...]:
        """Return the terms of every connection point; ``owners`` replaces the scenario's own."""
        owner_of = self.owners if owners is None else owners
        return tuple(
            ConnectionTerms(
                connection_point=point,
                participant=owner_of[point],
                injection_capacity_w=int(self.capacity.injection_w[i]),
                withdrawal_capacity_w=int(self.capacity.withdrawal_w[i]),
                fallback_injection_w=int(self.capacity.fallback_injection_w[i]),
                fallback_withdrawal_w=int(self.capacity.fallback_withdrawal_w[i]),
            )
            for i, point in enumerate(self.network.connection_points)
        )

    def interval_at(self, start: datetime) -> Interval | None:
        """Return the interval that starts then, if there is one."""
        return next((interval for interval in self.intervals if interval.start == start), None)


def scenario_path(name: str) -> Path:
    """Return the file of a scenario: a path, or ``bundled:NAME`` for one that ships with us.

    Raises
    ------
    InputFaults
        When no such scenario ships with the project.
    """
    if not name.startswith("bundled:"):
        return Path(name)
    if name.removeprefix("bundled:") not in bundled_names(".toml"):
        known = ", ".join(bundled_names(".toml"))
        raise InputFaults(
            name, [Fault("file", f"no such scenario ships with us; there is {known}")]
        )
    return bundled(f"{name.removeprefix('bundled:')}.toml")


def load_scenario(path: Path) -> Scenario:
    """Return the scenario in a file.

    Raises
    ------
    InputFaults
        With every fault of the file, of the network it names, and of how they fit together.
    """
    faults: list[Fault] = []
    content = _read(path)
    sections = _sections(content, faults)
    area = _area(content.get("area", path.stem), named="area" in content, faults=faults)
    network_section, capacity_section = sections["network"], sections["capacity"]
    voltage_limits = _voltage_limits(sections["limits"], faults)
    interface_limits = _interface_limits(sections["interface"], faults)
    intervals_section = sections["intervals"]
    intervals: tuple[Interval, ...] = ()
    if isinstance(intervals_section, IntervalsSection):
        intervals = build_intervals(intervals_section, interface_limits, path.parent, faults)
    contracts = [interval.interface_limits for interval in intervals]
    model, capacity, owners, fairness = NO_MODEL, None, None, None
    if isinstance(network_section, NetworkSection):
        held: Held = (
            "phases" if any(each.unbalance_pu is not None for each in contracts) else "source"
        )
        model = build_model(network_section, capacity_section, held, area, path.parent, faults)
        model = _with_inverters(model, sections["inverters"], faults)
        if model.network is not None:
            faults += phase_faults(model.network, voltage_limits, contracts)
        if model.points is not None:
            owners = build_owners(content.get("participants", {}), model.points, faults)
            find_strangers(content.get("capacity"), model.points, faults)
            if isinstance(capacity_section, CapacitySection):
                capacity = build_capacity(capacity_section, model.points, faults)
            fairness_section = sections["fairness"]
            if isinstance(fairness_section, FairnessSection):
                fairness = build_fairness(fairness_section, model.points, faults)
    market = sections["market"]
    if isinstance(market, MarketSection):
        metering = sections["metering"]
        assert metering is None or isinstance(metering, MeteringSection)
        rules = build_rules(market, metering, faults)
    network, forecast, uncertainty = model.network, None, sections["uncertainty"]
    if network is not None and isinstance(uncertainty, UncertaintySection):
        network, forecast = build_uncertainty(uncertainty, network, faults)
    if faults:
        raise InputFaults(str(path), faults)
    assert isinstance(market, MarketSection)
    assert isinstance(intervals_section, IntervalsSection)
    # No fault means that each of these was built.
    assert network is not None
    assert capacity is not None
    assert owners is not None
    assert forecast is not None
    assert fairness is not None
    assert voltage_limits is not None
    assert interface_limits is not None
    return Scenario(
        source=str(path),
        area=area,
        network=network,
        outages=model.outages,
        voltage_limits=voltage_limits,
        interface_limits=interface_limits,
        capacity=capacity,
        forecast=forecast,
        fairness=fairness,
        intervals=intervals,
        anonymous=intervals_section.start is None,
        owners=owners,
        has_participants="participants" in content,
        rules=rules,
        gate_closure=timedelta(minutes=market.gate_closure_minutes),
        opening=timedelta(minutes=market.opening_minutes),
    )


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise InputFaults(str(path), [Fault("file", f"it cannot be read: {reason}")]) from None
    except UnicodeDecodeError:
        raise InputFaults(str(path), [Fault("file", "it is not UTF-8 text")]) from None
    except tomllib.TOMLDecodeError as error:
        raise InputFaults(str(path), [Fault("file", f"it is not TOML: {error}")]) from None


def _sections(content: Mapping[str, Any], faults: list[Fault]) -> dict[str, Section | None]:
    """Return every section, ``None`` where it is missing or wrong."""
    known = {*_SECTIONS, "participants", "area"}
    faults += [Fault(name, "there is no such section") for name in content if name not in known]
    found: dict[str, Section | None] = {}
    for name, kind in _SECTIONS.items():
        if name not in content and name in _REQUIRED:
            faults.append(Fault(name, "this section is missing"))
            found[name] = None
        elif name not in content and name in _ABSENT_IS_NONE:
            found[name] = None
        else:
            found[name] = parse_section(kind, name, content.get(name, {}), faults)
    return found


def _area(given: Any, *, named: bool, faults: list[Fault]) -> str:
    if isinstance(given, str) and is_identifier(given):
        return given
    if not named:  # the file's name is no part of its content, so it cannot be at fault
        return "area"
    faults.append(
        Fault("area", f"{given!r} cannot be a level of a topic: no blanks, slashes, + or #")
    )
    return "area"


def _with_inverters(model: Model, section: Section | None, faults: list[Fault]) -> Model:
    if not isinstance(section, InvertersSection):
        return model
    return model.changed(
        lambda network, found: with_stated_inverters(network, section, found), faults
    )


def _voltage_limits(section: Section | None, faults: list[Fault]) -> VoltageLimits | None:
    if not isinstance(section, LimitsSection):
        return None
    try:
        return VoltageLimits(section.voltage_min_pu, section.voltage_max_pu, section.unbalance)
    except ValueError as error:
        faults.append(Fault("limits", str(error)))
        return None


def _interface_limits(section: Section | None, faults: list[Fault]) -> InterfaceLimits | None:
    if not isinstance(section, InterfaceSection):
        return None
    try:
        return InterfaceLimits(**section.model_dump())
    except ValueError as error:
        faults.append(Fault("interface", str(error)))
        return None
