"""A day of a flexibility market: how it is configured, and what its phases lead to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from doe_allocation.coordination.messages import Message
from exchange.flexibility.flex_offers.shift_market import ShiftableOffer, ShiftRules
from exchange.flexibility.flex_offers.shift_phase import Shifted
from exchange.flexibility.measurement.measuring import (
    Measured,
    MeasuredOrder,
    MeasurementRules,
)
from exchange.flexibility.measurement.metering import Metering
from exchange.flexibility.measurement.monitoring import Monitored, MonitoringRules
from exchange.flexibility.measurement.orders import (
    Activated,
    ActivationRules,
    GivenOrder,
)
from exchange.flexibility.measurement.settling import Account
from exchange.flexibility.products.forward import Contracted, ForwardRules
from exchange.flexibility.products.network_needs import (
    Exceeded,
    ForecastRules,
)
from exchange.flexibility.products.obligation import Obliged, Withheld
from exchange.flexibility.products.payments import Payment
from exchange.flexibility.products.qualification import Competition
from exchange.flexibility.products.rules.announcement import (
    Announced,
    AnnouncementRules,
)
from exchange.flexibility.products.rules.ceilings import Ceiling
from exchange.flexibility.products.rules.sharing import LinkedOrder
from exchange.flexibility.products.sessions import Grid, Sold, SpotRules
from exchange.flexibility.products.spot import Cleared
from exchange.flexibility.products.vocabulary import (
    FlexContract,
    FlexProduct,
    ForwardOffer,
    Need,
    Party,
    Refusal,
    Resource,
    Role,
    SpotOffer,
)


@dataclass(frozen=True, slots=True)
class QualificationRules:
    """A phase in which resources are tried against products."""

    name: str


@dataclass(frozen=True, slots=True)
class SettlementRules:
    """A phase in which everything that was sold is paid."""

    name: str


Phase = (
    QualificationRules
    | AnnouncementRules
    | ForecastRules
    | ForwardRules
    | SpotRules
    | ShiftRules
    | ActivationRules
    | MeasurementRules
    | SettlementRules
    | MonitoringRules
)


@dataclass(frozen=True, slots=True)
class FlexDay:
    """A day as it is configured.

    Parameters
    ----------
    start, interval, count
        Its intervals.
    parties, products, resources, contracts
        By name; contracts are those that exist before the day.
    needs, forward_offers, offers
        What is wanted and offered.
    able_w
        What a resource can do in an interval, where that is less than usual.
    grid
        The network; ``None`` without one.
    phases
        In their order.
    metering
        Meters and terms of delivery; ``None`` where nothing is measured.
    ceilings
        What groups of resources may change together.
    shiftable
        Time-shiftable offers; the network's injections have their plans in them.
    """

    start: datetime
    interval: timedelta
    count: int
    parties: Mapping[str, Party]
    products: Mapping[str, FlexProduct]
    resources: Mapping[str, Resource]
    contracts: Mapping[str, FlexContract]
    needs: tuple[Need, ...]
    forward_offers: tuple[ForwardOffer, ...]
    offers: tuple[SpotOffer, ...]
    able_w: Mapping[tuple[str, int], int]
    grid: Grid | None
    phases: tuple[Phase, ...]
    metering: Metering | None = None
    ceilings: tuple[Ceiling, ...] = ()
    shiftable: tuple[ShiftableOffer, ...] = ()

    @property
    def market(self) -> str:
        """Name of the market operator."""
        return next(each.name for each in self.parties.values() if each.role is Role.MARKET)

    def start_of(self, interval: int) -> datetime:
        """Return the start of an interval."""
        return self.start + interval * self.interval


@dataclass(frozen=True, slots=True)
class Qualified:
    """Reasons why resources do not qualify, by resource and product; and the competition."""

    reasons: Mapping[tuple[str, str], tuple[Refusal, ...]]
    competition: tuple[Competition, ...]


@dataclass(frozen=True, slots=True)
class Forecast:
    """What is beyond its limit in the forecast, and the needs that follow."""

    exceeded: tuple[Exceeded, ...]
    needs: tuple[Need, ...]


@dataclass(frozen=True, slots=True)
class Settled:
    """Payments, balances in tick-watts, and what each resource was activated by.

    ``activated_w`` has for each resource the change of power that it sold in each interval of the
    day, upward positive; ``notes`` what is not paid, or not by its delivery, as sentences.
    """

    payments: tuple[Payment, ...]
    balances: Mapping[str, int]
    activated_w: Mapping[str, tuple[int, ...]]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class SpotResult:
    """A spot session: what obligations put in, offers that were refused, and the clearing.

    ``linked`` has the orders of a balanced session, and of needs that several parties pay.
    """

    obliged: Obliged
    refused: tuple[Refusal, ...]
    cleared: Cleared
    linked: tuple[LinkedOrder, ...] = ()


Result = (
    Qualified
    | Announced
    | Forecast
    | Contracted
    | SpotResult
    | Shifted
    | Activated
    | Measured
    | Settled
    | Monitored
)


@dataclass(frozen=True, slots=True)
class PhaseReport:
    """What a phase did, and what was told in it."""

    phase: Phase
    result: Result
    messages: tuple[Message, ...]


@dataclass(slots=True)
class DayState:
    """What phases leave to later ones."""

    needs: list[Need]
    contracts: dict[str, FlexContract]
    sold: Sold = field(default_factory=Sold)
    withheld: dict[tuple[str, int], Withheld] = field(default_factory=dict)
    orders: list[GivenOrder] = field(default_factory=list)
    measured: tuple[MeasuredOrder, ...] | None = None
    shifts: list[Payment] = field(default_factory=list)

    @property
    def account(self) -> Account:
        """What a settlement reads."""
        return Account(
            self.contracts.values(),
            self.sold.awards,
            self.withheld.values(),
            self.orders,
            self.measured,
        )
