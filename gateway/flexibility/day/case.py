"""Read the file of a day of a flexibility market: the day, or all faults at once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from pydantic import ValidationError

from exchange.flexibility.flex_offers.shift_market import ShiftableOffer
from exchange.flexibility.measurement.measuring import MeasurementRules
from exchange.flexibility.measurement.metering import Metering
from exchange.flexibility.measurement.monitoring import MonitoringRules
from exchange.flexibility.measurement.orders import ActivationRules
from exchange.flexibility.products.flex_day import (
    FlexDay,
    Phase,
    QualificationRules,
    SettlementRules,
)
from exchange.flexibility.products.forward import ForwardRules
from exchange.flexibility.products.network_needs import ForecastRules
from exchange.flexibility.products.rules.announcement import AnnouncementRules
from exchange.flexibility.products.sessions import Grid, SpotRules
from exchange.flexibility.products.vocabulary import (
    FlexContract,
    FlexProduct,
    ForwardOffer,
    Need,
    Party,
    Relief,
    Resource,
    SpotOffer,
)
from gateway.flexibility.day.delivery.case import metering_of
from gateway.flexibility.day.delivery.faults import delivery_faults
from gateway.flexibility.day.faults import day_faults
from gateway.flexibility.day.rules.aggregates import aggregate_faults, aggregate_of
from gateway.flexibility.day.rules.operator_limits import ceilings_of, read_outputs
from gateway.flexibility.day.rules.order_faults import order_faults
from gateway.flexibility.day.rules.places import located, place_faults
from gateway.flexibility.day.schema import (
    ActivationPhase,
    AnnouncementPhase,
    DayArea,
    DayContract,
    DayForwardOffer,
    DayNeed,
    DayNetwork,
    DayOffer,
    DayOfferBase,
    DayProduct,
    DayResource,
    FlexibilityDayFile,
    ForecastPhase,
    ForwardPhase,
    MeasurementPhase,
    MonitoringPhase,
    PhaseEntry,
    QualificationPhase,
    SettlementPhase,
    ShiftPhase,
)
from gateway.flexibility.day.shifting import plans_w, shift_rules, shiftable_offers
from gateway.flexibility.day.units import Units, quantities
from gateway.formats.faults import InputFaults, sentences
from gateway.formats.input_files import (
    named_file,
    parsed_json,
    read_bytes,
    read_toml,
    shown_name,
)
from gateway.formats.linear.networks import rated_network
from security_check.errors import Fault, NetworkFaults
from security_check.model.linear_network import LinearNetwork

_FOLDER = "flexibility/days"


@dataclass(frozen=True)
class DayCase:
    """A day as it was read.

    Parameters
    ----------
    source
        Name of the file.
    description
        What it says of itself.
    units
        Its intervals and tick.
    day
        The day.
    areas, positions
        Polygons of zones, and positions of resources by name: longitude, latitude.
    """

    source: str
    description: str
    units: Units
    day: FlexDay
    areas: tuple[DayArea, ...] = ()
    positions: Mapping[str, tuple[float, float]] = field(default_factory=dict)


def day_path(name: str) -> Path:
    """Return the file of a day: a path that exists, or the name of one in the project.

    A name may, but need not, begin with ``bundled:``.

    Raises
    ------
    InputFaults
        When the project has no day of that name.
    """
    path = Path(name)
    plain = path.name == name and not path.suffix and ":" not in name and not path.exists()
    return named_file(f"bundled:{name}" if plain else name, "day", _FOLDER)


def load_day(path: Path) -> DayCase:
    """Return the day of a file (TOML, or JSON by its ending).

    Raises
    ------
    InputFaults
        With every fault of the file.
    """
    source = shown_name(path)
    if path.suffix == ".json":
        content = parsed_json(FlexibilityDayFile, read_bytes(path), source)
        return day_of(content, source, path.parent)
    try:
        content = FlexibilityDayFile.model_validate(read_toml(path))
    except ValidationError as error:
        raise InputFaults(source, sentences(error)) from None
    return day_of(content, source, path.parent)


def day_of(content: FlexibilityDayFile, source: str, folder: Path) -> DayCase:
    """Return the day of a file's content; ``source`` names it, files it names are in ``folder``.

    Raises
    ------
    InputFaults
        With every fault of the content.
    """
    faults: list[Fault] = []
    units = Units.of(content)
    network: LinearNetwork | None = None
    if content.network is not None:
        try:
            given = content.network
            network = rated_network(given.buses, given.slack_bus, given.branches)
        except NetworkFaults as found:
            faults += [Fault(f"network.{each.element}", each.detail) for each in found.faults]
    faults += place_faults(content)
    content, places = located(content)
    builder = _Builder(content, units, faults, places)
    day = builder.day(network, metering_of(content, units, folder, faults), folder)
    faults += [*day_faults(content, units), *aggregate_faults(content), *order_faults(content)]
    if not faults:
        faults += delivery_faults(day)
    if faults:
        raise InputFaults(source, dict.fromkeys(faults))
    positions = {e.name: e.position for e in content.resources if e.position is not None}
    return DayCase(source, content.description, units, day, tuple(content.areas), positions)


class _Builder:
    """Builds the parts of a day; prices and times with faults become 0 and the whole day."""

    def __init__(
        self,
        content: FlexibilityDayFile,
        units: Units,
        faults: list[Fault],
        places: Mapping[str, str],
    ) -> None:
        self.content, self.units, self.faults, self.places = content, units, faults, places

    def day(
        self, network: LinearNetwork | None, metering: Metering | None, folder: Path
    ) -> FlexDay:
        content, units = self.content, self.units
        able_w = {
            (each.resource, t): each.able_w
            for each in content.outages
            for t in units.window(f"outages.{each.resource}", each, self.faults)
        }
        contracts = [self._contract(each) for each in content.contracts]
        shiftable = shiftable_offers(content, units, self.faults)
        firm = enumerate(content.forward_offers, start=1)
        spot = enumerate(content.offers, start=1)
        return FlexDay(
            start=units.start,
            interval=units.step,
            count=units.count,
            parties={each.name: Party(each.name, each.role) for each in content.parties},
            products={each.name: self._product(each) for each in content.products},
            resources=self._resources(),
            contracts={each.name: each for each in contracts},
            needs=tuple(self._need(each) for each in content.needs),
            forward_offers=tuple(self._forward_offer(each, k) for k, each in firm),
            offers=tuple(self._offer(each, k) for k, each in spot),
            able_w=able_w,
            grid=None if network is None else self._grid(content.network, network, shiftable),
            phases=tuple(self._phase(each) for each in content.phases),
            metering=metering,
            ceilings=tuple(
                ceiling
                for each in content.operator_outputs
                for ceiling in ceilings_of(
                    content, units, each, read_outputs(each, folder), self.faults
                )
            ),
            shiftable=shiftable,
        )

    def _resources(self) -> dict[str, Resource]:
        content = self.content
        own = {each.name: _resource(each, self.places) for each in content.resources}
        return own | {each.name: aggregate_of(each, content) for each in content.aggregates}

    def _product(self, each: DayProduct) -> FlexProduct:
        place, most, highest = f"products.{each.name}", None, None
        if each.max_availability_eur_per_kw is not None:
            most = self.units.per_kw(place, each.max_availability_eur_per_kw, self.faults)
        if each.max_utilisation_eur_per_kwh is not None:
            highest = self.units.per_kwh(place, each.max_utilisation_eur_per_kwh, self.faults)
        return FlexProduct(
            each.name,
            tuple(each.directions),
            tuple(each.buyers),
            each.minimum_w,
            each.lot_w,
            each.activation_s,
            each.min_duration_s,
            each.max_duration_s,
            tuple(each.zones),
            "availability" in each.priced,
            "utilisation" in each.priced,
            most,
            highest,
            each.run_time_s,
        )

    def _need(self, each: DayNeed) -> Need:
        place = f"needs.{each.name}"
        window = self.units.window(place, each, self.faults)
        cap, faults = each.availability_cap_eur_per_kw, self.faults
        way = 1 if each.beyond == "largest" else -1
        return Need(
            each.name,
            each.buyer,
            each.product,
            window,
            quantities(each.quantity_w, len(window)),
            self.units.per_kwh(place, each.cap_eur_per_kwh, faults),
            each.direction,
            each.zone,
            None if each.branch is None else Relief(each.branch, way),
            None if cap is None else self.units.per_kw(place, cap, faults),
            each.expected_intervals,
            tuple(each.sessions),
            tuple(each.shares.items()),
        )

    def _forward_offer(self, each: DayForwardOffer, order: int) -> ForwardOffer:
        place = f"forward_offers.{each.name}"
        return ForwardOffer(
            each.name,
            each.resource,
            each.product,
            each.direction,
            self.units.window(place, each, self.faults),
            each.quantity_w,
            _least(each),
            self.units.per_kw(place, each.availability_eur_per_kw, self.faults),
            self.units.per_kwh(place, each.utilisation_eur_per_kwh, self.faults),
            order,
        )

    def _offer(self, each: DayOffer, order: int) -> SpotOffer:
        place = f"offers.{each.name}"
        return SpotOffer(
            each.name,
            each.resource,
            each.product,
            each.direction,
            self.units.window(place, each, self.faults),
            each.quantity_w,
            _least(each),
            self.units.per_kwh(place, each.price_eur_per_kwh, self.faults),
            order,
            each.block,
            sessions=tuple(each.sessions),
            arrives=each.arrives,
            good_until=each.good_until,
        )

    def _contract(self, each: DayContract) -> FlexContract:
        place = f"contracts.{each.name}"
        providers = {own.name: own.provider for own in self.content.resources}
        providers |= {own.name: own.provider for own in self.content.aggregates}
        return FlexContract(
            each.name,
            each.resource,
            providers.get(each.resource, ""),
            each.buyer,
            each.product,
            each.direction,
            self.units.window(place, each, self.faults),
            each.quantity_w,
            self.units.per_kw(place, each.availability_eur_per_kw, self.faults),
            self.units.per_kwh(place, each.utilisation_eur_per_kwh, self.faults),
            each.obligation,
            self.units.per_kwh(place, each.penalty_eur_per_kwh, self.faults),
        )

    def _grid(
        self,
        given: DayNetwork | None,
        network: LinearNetwork,
        shiftable: Iterable[ShiftableOffer],
    ) -> Grid:
        injection = {} if given is None else given.injection_w
        table = np.zeros((self.units.count, len(network.buses)))
        for k, bus in enumerate(network.buses):
            own = quantities(injection.get(bus, 0), self.units.count)
            if len(own) == self.units.count:  # anything else is a fault of its own
                table[:, k] = own
        table += plans_w(self.content, self.units, network, shiftable)
        return Grid(network, table, "" if given is None else given.operator)

    def _phase(self, each: PhaseEntry) -> Phase:
        place, faults = f"phases.{each.name}", self.faults
        if isinstance(each, QualificationPhase):
            return QualificationRules(each.name)
        if isinstance(each, AnnouncementPhase):
            return AnnouncementRules(each.name, tuple(each.sessions), each.at)
        if isinstance(each, SettlementPhase):
            return SettlementRules(each.name)
        if isinstance(each, MeasurementPhase):
            return MeasurementRules(each.name)
        if isinstance(each, MonitoringPhase):
            return MonitoringRules(each.name)
        if isinstance(each, ActivationPhase):
            window = self.units.window(place, each, faults)
            return ActivationRules(each.name, each.at, window, each.by == "market")
        if isinstance(each, ForecastPhase):
            cap_ticks = self.units.per_kwh(place, each.cap_eur_per_kwh, faults)
            return ForecastRules(each.name, each.product, cap_ticks)
        if isinstance(each, ForwardPhase):
            penalty = self.units.per_kwh(place, each.penalty_eur_per_kwh, faults)
            return ForwardRules(each.name, tuple(each.buyers), each.obligation, penalty)
        if isinstance(each, ShiftPhase):
            return shift_rules(each, self.units, faults)
        return SpotRules(
            each.name,
            each.goal,
            each.pricing,
            tuple(each.buyers),
            self.units.window(place, each, faults),
            each.within_network,
            each.obligations,
            each.release,
            each.balanced,
            each.one_by_one,
            each.at,
            each.rest_s,
        )


def _resource(each: DayResource, places: Mapping[str, str]) -> Resource:
    return Resource(
        each.name,
        each.provider,
        each.zone or "",
        each.up_w,
        each.down_w,
        each.activation_s,
        each.min_duration_s,
        each.max_duration_s,
        each.bus,
        each.registered,
        place=places.get(each.name, ""),
    )


def _least(each: DayOfferBase) -> int:
    return each.minimum_w if each.divisible else each.quantity_w
