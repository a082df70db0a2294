"""The file of a day of a flexibility market, key by key (``docs/formats/flexibility-day.md``)."""

from __future__ import annotations

from datetime import date
from typing import Annotated, Literal

from pydantic import Field

from doe_allocation.procurement.choices import FlexDirection
from exchange.flexibility.products.vocabulary import Goal, Pricing, Role
from gateway.flexibility.day.delivery.schema import DayDelivery, DayMeter, DayMeterTable
from gateway.formats.linear.entries import RatedBranch
from gateway.formats.prices import Price
from gateway.formats.records import LARGEST_W, Name, Record, SignedWatts, Time, Watts
from security_check.model.envelope import Direction as OfferWay

Direction = Annotated[FlexDirection, Field(strict=False)]
PartyRole = Annotated[Role, Field(strict=False)]
Seconds = Annotated[int, Field(ge=0, le=10**9)]
Power = Annotated[int, Field(gt=0, le=LARGEST_W)]
Positive = Annotated[str, Field(pattern=r"^[0-9]{1,12}(\.[0-9]{1,12})?$")]
"""A price that is not below 0, as a decimal string."""


Longitude = Annotated[float, Field(ge=-180.0, le=180.0)]
Latitude = Annotated[float, Field(ge=-89.0, le=89.0)]
Position = Annotated[tuple[Longitude, Latitude], Field(strict=False)]
"""Longitude and latitude in degrees."""


class DayWindow(Record):
    """Some intervals; from the first to the end of the day where nothing else is said."""

    start: Time | None = Field(default=None, alias="from")
    end: Time | None = Field(default=None, alias="to")


class DayParty(Record):
    """Who takes part."""

    name: Name
    role: PartyRole


class DayProduct(Record):
    """What is traded, and what it asks of a resource."""

    name: Name
    directions: Annotated[list[Direction], Field(min_length=1)]
    buyers: Annotated[list[PartyRole], Field(min_length=1)]
    minimum_w: Power = 1
    lot_w: Power = 1
    activation_s: Seconds = 86_400
    min_duration_s: Seconds = 0
    max_duration_s: Seconds | None = None
    run_time_s: Seconds = 0
    zones: list[Name] = Field(default_factory=list)
    priced: Annotated[list[Literal["availability", "utilisation"]], Field(min_length=1)]
    max_availability_eur_per_kw: Positive | None = None
    max_utilisation_eur_per_kwh: Positive | None = None
    delivery: DayDelivery | None = None


class DayResource(Record):
    """What can change its power."""

    name: Name
    provider: Name
    zone: Name | None = None
    position: Position | None = None
    bus: Name | None = None
    up_w: Watts = 0
    down_w: Watts = 0
    expected_w: SignedWatts | Annotated[list[SignedWatts], Field(min_length=1)] = 0
    activation_s: Seconds = 0
    min_duration_s: Seconds = 0
    max_duration_s: Annotated[int, Field(gt=0, le=10**9)] | None = None
    registered: bool = True


class DayAggregate(Record):
    """Resources that are offered together, of one zone or, where it names none, of several."""

    name: Name
    provider: Name
    zone: Name | None = None
    members: Annotated[list[Name], Field(min_length=1)]


class DayArea(Record):
    """A zone on the map: its corners in their order."""

    zone: Name
    polygon: Annotated[list[Position], Field(min_length=3)]


class DayOperatorOutputs(Record):
    """A file of ``outputs`` whose traffic light and topological matrix bind."""

    operator: Name
    file: Name


class DayOutage(DayWindow):
    """What a resource can do at most in some intervals."""

    resource: Name
    able_w: Watts = 0


class DayNeed(DayWindow):
    """What a buyer wants: a quantity in a zone, or the relief of a branch."""

    name: Name
    buyer: Name
    product: Name
    direction: Direction | None = None
    zone: Name | None = None
    branch: Name | None = None
    beyond: Literal["largest", "least"] = "largest"
    quantity_w: Power | Annotated[list[Watts], Field(min_length=1)]
    cap_eur_per_kwh: Positive
    availability_cap_eur_per_kw: Positive | None = None
    expected_intervals: Annotated[int, Field(ge=0, le=100_000)] = 0
    shares: dict[Name, Annotated[int, Field(ge=1, le=10**6)]] = Field(default_factory=dict)
    sessions: list[Name] = Field(default_factory=list)


class DayOfferBase(DayWindow):
    """What all offers have."""

    name: Name
    resource: Name
    product: Name
    direction: Direction
    quantity_w: Power
    minimum_w: Watts = 0
    divisible: bool = True


class DayForwardOffer(DayOfferBase):
    """An offer to be available, and to be activated at a price."""

    availability_eur_per_kw: Positive = "0"
    utilisation_eur_per_kwh: Positive = "0"


class DayOffer(DayOfferBase):
    """An offer to be activated."""

    price_eur_per_kwh: Price
    block: bool = False
    arrives: Time | None = None
    good_until: Time | None = None
    sessions: list[Name] = Field(default_factory=list)


class DayShiftableOffer(Record):
    """An offer that may begin between two times, with a profile of energy slices."""

    name: Name
    resource: Name
    product: Name
    way: Annotated[OfferWay, Field(strict=False)] = OfferWay.WITHDRAWAL
    earliest: Time
    latest: Time
    slices_w: Annotated[list[Annotated[list[Watts], Field(min_length=2, max_length=2)]],
                        Field(min_length=1)]  # fmt: skip
    least_wh: Watts | None = None
    most_wh: Watts | None = None
    price_eur_per_kwh: Positive = "0"
    shift_eur: Positive = "0"


class DayContract(DayWindow):
    """A contract that exists before the day."""

    name: Name
    resource: Name
    buyer: Name
    product: Name
    direction: Direction
    quantity_w: Power
    availability_eur_per_kw: Positive = "0"
    utilisation_eur_per_kwh: Positive
    obligation: bool = True
    penalty_eur_per_kwh: Positive = "0"


class DayNetwork(Record):
    """A linear network, and what its buses inject before any activation."""

    operator: Name
    buses: Annotated[list[Name], Field(min_length=2)]
    slack_bus: Name
    branches: Annotated[list[RatedBranch], Field(min_length=1)]
    injection_w: dict[Name, SignedWatts | list[SignedWatts]]


class QualificationPhase(Record):
    """Resources are tried against products."""

    type: Literal["qualification"]
    name: Name


class AnnouncementPhase(Record):
    """Needs are told to all providers."""

    type: Literal["announcement"]
    name: Name
    sessions: list[Name] = Field(default_factory=list)
    at: Time | None = None


class ForecastPhase(Record):
    """Branches beyond their limits become needs of the network's operator."""

    type: Literal["forecast"]
    name: Name
    product: Name
    cap_eur_per_kwh: Positive


class ForwardPhase(Record):
    """Contracts for needs that name the session."""

    type: Literal["forward"]
    name: Name
    buyers: list[Name] = Field(default_factory=list)
    obligation: bool = True
    penalty_eur_per_kwh: Positive = "0"


class SpotPhase(DayWindow):
    """Needs and offers are cleared."""

    type: Literal["spot"]
    name: Name
    goal: Annotated[Goal, Field(strict=False)] = Goal.LEAST_COST
    pricing: Annotated[Pricing, Field(strict=False)] = Pricing.PAY_AS_BID
    buyers: list[Name] = Field(default_factory=list)
    within_network: bool = False
    obligations: bool = False
    release: bool = False
    balanced: bool = False
    one_by_one: bool = False
    at: Time | None = None
    rest_s: Seconds = 0


class ShiftPhase(Record):
    """Time-shiftable offers are aggregated, called and divided again."""

    type: Literal["shift"]
    name: Name
    product: Name
    buyer: Name
    start_tolerance: Annotated[int, Field(ge=0, le=100_000)] = 0
    time_tolerance: Annotated[int, Field(ge=0, le=100_000)] = 0
    length_tolerance: Annotated[int, Field(ge=0, le=100_000)] | None = None
    members: Annotated[int, Field(ge=1, le=100_000)] | None = None
    target_w: SignedWatts | list[SignedWatts] | None = None
    deviation_eur_per_kwh: Positive | None = None
    compare_alone: bool = True


class SettlementPhase(Record):
    """What was sold is paid."""

    type: Literal["settlement"]
    name: Name


class ActivationPhase(DayWindow):
    """What was sold is ordered."""

    type: Literal["activation"]
    name: Name
    at: Time
    by: Literal["market", "buyer"] = "market"


class MeasurementPhase(Record):
    """What was ordered is compared with what was metered."""

    type: Literal["measurement"]
    name: Name


class MonitoringPhase(Record):
    """What was sold and delivered is reported."""

    type: Literal["monitoring"]
    name: Name


PhaseEntry = Annotated[
    QualificationPhase
    | AnnouncementPhase
    | ForecastPhase
    | ForwardPhase
    | SpotPhase
    | ShiftPhase
    | ActivationPhase
    | MeasurementPhase
    | SettlementPhase
    | MonitoringPhase,
    Field(discriminator="type"),
]


class FlexibilityDayFile(Record):
    """A day: who takes part, what is traded, what is needed and offered, and the phases."""

    description: str = ""
    start: Time
    interval_min: Annotated[int, Field(ge=1, le=1440)]
    intervals: Annotated[int, Field(ge=1, le=100_000)]
    tick: Positive = "0.0001"
    zones: Annotated[list[Name], Field(min_length=1)]
    parties: Annotated[list[DayParty], Field(min_length=1)]
    products: Annotated[list[DayProduct], Field(min_length=1)]
    resources: Annotated[list[DayResource], Field(min_length=1)]
    aggregates: list[DayAggregate] = Field(default_factory=list)
    areas: list[DayArea] = Field(default_factory=list)
    operator_outputs: list[DayOperatorOutputs] = Field(default_factory=list)
    outages: list[DayOutage] = Field(default_factory=list)
    contracts: list[DayContract] = Field(default_factory=list)
    needs: list[DayNeed] = Field(default_factory=list)
    forward_offers: list[DayForwardOffer] = Field(default_factory=list)
    offers: list[DayOffer] = Field(default_factory=list)
    holidays: list[date] = Field(default_factory=list)
    meter_table: DayMeterTable | None = None
    meters: list[DayMeter] = Field(default_factory=list)
    shiftable_offers: list[DayShiftableOffer] = Field(default_factory=list)
    network: DayNetwork | None = None
    phases: Annotated[list[PhaseEntry], Field(min_length=1)]
