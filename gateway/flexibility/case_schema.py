"""The file of a procurement case (JSON), key by key, as in ``docs/formats/flexibility.md``."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from doe_allocation.procurement.choices import FlexDirection
from doe_allocation.procurement.polygon import FEWEST
from gateway.formats.records import Record

_LARGEST = 1e9  # kW, ohm, A or EUR: above all of any case, and far from overflow
_SMALLEST_A = 1e-3  # of a current's limit: below what solvers tell from none
_LONGEST_NAME = 100
_DAY_MINUTES = 1440


def _name(value: object) -> object:
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise ValueError("it should be a name or a whole number")
    if isinstance(value, int) and value < 0:
        raise ValueError("it should be at least 0")
    if isinstance(value, str) and not 1 <= len(value) <= _LONGEST_NAME:
        raise ValueError(f"it should have 1 to {_LONGEST_NAME} characters")
    return value


ElementName = Annotated[int | str, BeforeValidator(_name)]
Positive = Annotated[float, Field(gt=0.0, le=_LARGEST, allow_inf_nan=False)]
NotNegative = Annotated[float, Field(ge=0.0, le=_LARGEST, allow_inf_nan=False)]
Signed = Annotated[float, Field(ge=-_LARGEST, le=_LARGEST, allow_inf_nan=False)]
Percent = Annotated[float, Field(ge=0.0, le=100.0, allow_inf_nan=False)]
VoltagePu = Annotated[float, Field(gt=0.0, lt=2.0, allow_inf_nan=False)]
CurrentLimit = Annotated[float, Field(ge=_SMALLEST_A, le=_LARGEST, allow_inf_nan=False)]
Minutes = Annotated[int, Field(ge=1, le=_DAY_MINUTES)]


class BranchEntry(Record):
    """A line or transformer as a pi circuit."""

    id: Annotated[str, Field(min_length=1, max_length=100)]
    start: ElementName = Field(alias="from")
    end: ElementName = Field(alias="to")
    r_ohm: NotNegative
    x_ohm: Signed
    b_s: Signed = 0.0


class ResourceEntry(Record):
    """A resource with its expected power, withdrawal positive."""

    pod: ElementName
    bus: ElementName
    p_kw: Signed
    q_kvar: Signed | None = None
    power_factor: Annotated[float, Field(gt=0.0, le=1.0, allow_inf_nan=False)] | None = None
    flexible: bool = False
    half_band_percent: Percent | None = None


class FlexOfferEntry(Record):
    """A step of what a resource offers in one direction."""

    pod: ElementName
    direction: Annotated[FlexDirection, Field(strict=False)]
    from_kw: NotNegative = 0.0
    to_kw: NotNegative
    price_eur_per_kwh: NotNegative


class BandsEntry(Record):
    """The half-bands of one case, in percent of active and reactive power."""

    flexible_percent: Percent
    inflexible_percent: Percent


class IntervalsEntry(Record):
    """The intervals of a day."""

    start: Annotated[str, Field(pattern=r"^([01][0-9]|2[0-3]):[0-5][0-9]$")] = "00:00"
    minutes: Minutes
    count: Annotated[int, Field(ge=1, le=_DAY_MINUTES)]


class TermsEntry(Record):
    """Terms over time of what a resource offers in one direction, all steps together."""

    pod: ElementName
    direction: Annotated[FlexDirection, Field(strict=False)]
    energy_kwh: Positive | None = None
    ramp_kw: Positive | None = None
    least_kw: Positive | None = None
    shortest_minutes: Minutes | None = None
    longest_minutes: Minutes | None = None
    rest_minutes: Minutes | None = None


class ProcurementCaseFile(Record):
    """A feeder with its resources, limits, offers, and the uncertainties of several cases."""

    description: str = ""
    note: str = ""
    convention: str = ""
    published: dict[str, Any] = Field(default_factory=dict)
    base_voltage_v_line_to_line: Positive
    slack_bus: ElementName
    slack_voltage_pu: VoltagePu = 1.0
    branches: Annotated[list[BranchEntry], Field(min_length=1)]
    pods: Annotated[list[ResourceEntry], Field(min_length=1)]
    offers: list[FlexOfferEntry] | None = None
    intervals: IntervalsEntry | None = None
    terms: list[TermsEntry] = Field(default_factory=list)
    voltage_min_pu: VoltagePu
    voltage_max_pu: VoltagePu = 1.1
    current_limit_a: dict[str, CurrentLimit] = Field(default_factory=dict)
    current_limit_ends: Literal["from", "both"] = "from"
    planes: Annotated[int, Field(ge=FEWEST, le=4096)] = 32
    correlation: Annotated[float, Field(ge=-1.0, le=1.0, allow_inf_nan=False)] = 0.0
    cases: Annotated[dict[str, BandsEntry], Field(min_length=1)]
