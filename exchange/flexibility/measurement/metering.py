"""What is known of meters, and how the delivery of a product is measured and paid."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from exchange.flexibility.settlement.activation import ActivationTerms
from exchange.flexibility.settlement.agreement import PenaltyTerms
from exchange.flexibility.settlement.baselines import Baseline
from exchange.flexibility.settlement.delivery import EnvelopeLimits
from exchange.flexibility.settlement.records import DeliveryDay, ResourceRecords

SECONDS_PER_HOUR = 3600


@dataclass(frozen=True, slots=True)
class DeliveryTerms:
    """The terms of a product: how it is activated, its baseline, what short delivery costs."""

    activation: ActivationTerms
    baseline: Baseline
    penalties: PenaltyTerms


@dataclass(frozen=True, slots=True)
class Meter:
    """What is known of a resource.

    ``records`` has the metered power of the day itself, too, one value for each interval;
    ``envelope`` the limits that bound the resource, if any did.
    """

    records: ResourceRecords
    envelope: EnvelopeLimits | None = None


@dataclass(frozen=True, slots=True)
class Metering:
    """All of it, for a day whose intervals divide an hour.

    Parameters
    ----------
    day
        The intervals of the day.
    terms
        By product; what is sold of another product is paid as sold.
    meters
        By resource; each resource that sells a product with terms has one, and sells no other.

    Raises
    ------
    ValueError
        When an hour is no multiple of the interval: prices per kWh would not be whole ticks.
    """

    day: DeliveryDay
    terms: Mapping[str, DeliveryTerms]
    meters: Mapping[str, Meter]

    def __post_init__(self) -> None:
        if SECONDS_PER_HOUR % self.day.interval_s:
            raise ValueError(f"an interval of {self.day.interval_s} s does not divide an hour")

    def per_kwh(self, price_ticks: int) -> int:
        """Return a price per kW for one interval as a price per kWh, in ticks."""
        return price_ticks * (SECONDS_PER_HOUR // self.day.interval_s)
