"""The keys of a day's file about meters, and how the delivery of a product is measured and paid."""

from __future__ import annotations

from datetime import date
from typing import Annotated, Literal

from pydantic import Field

from exchange.flexibility.settlement.baselines import AdjustmentKind, DayChoice
from gateway.formats.records import Name, Record, SignedWatts, Time, Watts

Seconds = Annotated[int, Field(ge=0, le=10**9)]
Positive = Annotated[str, Field(pattern=r"^[0-9]{1,12}(\.[0-9]{1,12})?$")]
Power = SignedWatts | Annotated[list[SignedWatts], Field(min_length=1)]
Limit = Watts | Annotated[list[Watts], Field(min_length=1)]
Days = Annotated[int, Field(ge=1, le=10_000)]


class BaselineAdjustment(Record):
    """How metered power before the order moves a baseline."""

    kind: Annotated[AdjustmentKind, Field(strict=False)]
    intervals: Annotated[int, Field(ge=1, le=100_000)]
    gap: Annotated[int, Field(ge=0, le=100_000)] = 0
    cap: Positive


class ComparableDays(Record):
    """The mean of comparable days."""

    method: Literal["comparable_days"]
    days: Days
    among: Days
    choice: Annotated[DayChoice, Field(strict=False)] = DayChoice.LAST
    look_back: Days = 60
    adjustment: BaselineAdjustment | None = None


class Nominated(Record):
    """What was announced before a gate."""

    method: Literal["nominated"]
    gate_min: Annotated[int, Field(ge=0, le=10**6)] = 0


class DayDelivery(Record):
    """How a product is activated, measured and paid."""

    baseline: Annotated[ComparableDays | Nominated, Field(discriminator="method")]
    notice_s: Seconds = 0
    ramp_s: Seconds = 0
    ramp_back_s: Seconds = 0
    shortest_s: Annotated[int, Field(ge=1, le=10**9)] = 1
    longest_s: Annotated[int, Field(ge=1, le=10**9)] = 10**9
    rest_s: Seconds = 0
    tolerance: Positive = "0"
    penalty_eur_per_kwh: Positive = "0"
    least_delivered_share: Positive = "0"


class MeterDay(Record):
    """What a resource was metered on an earlier day, in the same intervals."""

    day: date
    power_w: Power
    activated: bool = False


class DayNomination(Record):
    """What was announced for the day."""

    power_w: Power
    received: Time


class DayMeterTable(Record):
    """A table of metered power over time, with a column for each resource."""

    file: Name
    history_days: Annotated[int, Field(ge=1, le=1000)]


class DayMeter(Record):
    """What is known of a resource's power."""

    resource: Name
    power_w: Power | None = None
    activated: list[date] = Field(default_factory=list)
    history: list[MeterDay] = Field(default_factory=list)
    nomination: DayNomination | None = None
    injection_limit_w: Limit | None = None
    withdrawal_limit_w: Limit | None = None
