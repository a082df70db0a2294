"""The sections of a scenario file, with their entries, types and ranges.

:mod:`gateway.scenario.loading` builds the scenario from them.  Each section is validated on its
own, so that a fault in one does not hide the faults of another.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from math import isfinite
from typing import Annotated, Any, Literal, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
)

from gateway.formats.faults import sentences
from gateway.formats.records import SignedWatts, Time, Watts
from security_check.errors import Fault
from security_check.model.network_elements import UNRATED

Number = TypeVar("Number")

PerUnit = Annotated[float, Field(gt=0.0, lt=2.0, allow_inf_nan=False)]
Vars = SignedWatts
Unbalance = Annotated[float, Field(ge=0.0, lt=1.0, allow_inf_nan=False)]
PowerFactor = Annotated[float, Field(gt=0.0, le=1.0, allow_inf_nan=False)]
# One number for all connection points, or a table with a number for each point and a default.
PerPoint = Annotated[
    dict[str, Number],
    BeforeValidator(lambda given: given if isinstance(given, dict) else {"default": given}),
]
StatedTap = Annotated[float, Field(allow_inf_nan=False)]
# A part of topics, so without separators and wildcards.
AreaName = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,64}$")]
NotNegativePrice = Annotated[str, Field(pattern=r"^[0-9]{1,6}(\.[0-9]{1,9})?$")]


def _tick(text: str) -> str:
    # The pattern has been checked already, so the text is a number.
    if Decimal(text) <= 0:
        raise ValueError("a tick must be above 0")
    return text


def _tap_positions(given: Any) -> Any:
    if given in ("as-given", "neutral", None):
        return given
    if isinstance(given, dict):
        listed = [each if isinstance(each, list) else [each] for each in given.values()]
        numbers = [type(at) in (int, float) and isfinite(at) for ends in listed for at in ends]
        if all(numbers):
            return given
    raise ValueError('it should be "as-given", "neutral" or a table of numbers or pairs of them')


def _capacitor_steps(given: Any) -> Any:
    if given in ("as-given", None):
        return given
    if isinstance(given, dict):
        listed = [each if isinstance(each, list) else [each] for each in given.values()]
        if all(type(step) is int for steps in listed for step in steps):
            return given
    detail = "a table of whole numbers or lists of them"
    raise ValueError(f'it should be "as-given" or {detail}')


class Section(BaseModel):
    """A table of the file: strict types, and no other entries than those of the class."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)


class NetworkSection(Section):
    """The source of the network, and the roles of its elements."""

    source: Annotated[str, Field(min_length=1)]
    kind: Literal["ac", "linear"] = "ac"
    connection_points: Literal["load", "sgen", "storage", "asymmetric_load"] = "load"
    passive: Literal["none", "as-given"] = "none"
    taps: Annotated[
        Literal["as-given", "neutral"] | dict[str, StatedTap | list[StatedTap]] | None,
        BeforeValidator(_tap_positions),
    ] = None
    model: Literal["feeder", "meshed"] = "feeder"
    distributed_slack: bool = False
    outages: list[Annotated[str, Field(min_length=1)]] = []
    capacitors: Annotated[
        Literal["as-given"] | dict[str, int | list[int]] | None, BeforeValidator(_capacitor_steps)
    ] = None
    default_rating_a: Annotated[float, Field(gt=0.0, lt=UNRATED)] | None = None


class LimitsSection(Section):
    """Voltage limits at every bus but the interface."""

    voltage_min_pu: PerUnit = 0.90
    voltage_max_pu: PerUnit = 1.10
    unbalance: Annotated[Unbalance, Field(gt=0.0)] | None = None


class InterfaceSection(Section):
    """The contract with the upstream operator, for intervals without limits of their own."""

    voltage_min_pu: PerUnit
    voltage_max_pu: PerUnit
    injection_limit_w: Watts | None = None
    withdrawal_limit_w: Watts | None = None
    unbalance_pu: Unbalance | None = None
    reactive_min_var: Vars | None = None
    reactive_max_var: Vars | None = None


class CapacitySection(Section):
    """Capacity of each connection point, and its limits when contact is lost."""

    injection_w: PerPoint[Watts]
    withdrawal_w: PerPoint[Watts]
    power_factor: PerPoint[PowerFactor] = {"default": 1.0}
    cone_power_factor: PerPoint[PowerFactor] = {"default": 1.0}
    reactive_min_var: PerPoint[Vars] = {"default": 0}
    reactive_max_var: PerPoint[Vars] = {"default": 0}
    fallback_injection_w: PerPoint[Watts] = {"default": 0}
    fallback_withdrawal_w: PerPoint[Watts] = {"default": 0}


CornerPart = Annotated[float, Field(ge=-10.0, le=10.0)]
Corner = Annotated[list[CornerPart], Field(min_length=2, max_length=2)]


class CurvesSection(Section):
    """A voltage response of the scenario: corners of its curves, voltage and power in p.u."""

    volt_var: list[Corner] | None = None
    volt_watt: list[Corner] | None = None


class InvertersSection(Section):
    """Voltage response and rating of the inverter at each connection point."""

    response: PerPoint[str] = {}
    rating_va: PerPoint[Watts] = {}
    curves: dict[str, CurvesSection] = {}


class CorrelatedGroup(Section):
    """Elements whose deviations are correlated."""

    elements: Annotated[list[str], Field(min_length=2)]
    correlation: Annotated[float, Field(ge=0.0, le=1.0, allow_inf_nan=False)]


class UncertaintySection(Section):
    """Largest deviations of passive elements and of impedances, and the set they lie in."""

    set: Literal["box", "budget", "ellipsoid"] = "box"
    gamma: Annotated[float, Field(ge=0.0, allow_inf_nan=False)] | None = None
    radius: Annotated[float, Field(ge=0.0, le=100.0, allow_inf_nan=False)] | None = None
    relative: PerPoint[Annotated[float, Field(ge=0.0, le=100.0, allow_inf_nan=False)]] = {
        "default": 0.0
    }
    absolute_w: PerPoint[Watts] = {"default": 0}
    relative_per_hour: PerPoint[Annotated[float, Field(ge=0.0, le=100.0, allow_inf_nan=False)]] = {
        "default": 0.0
    }
    relative_at_most: Annotated[float, Field(ge=0.0, le=100.0, allow_inf_nan=False)] | None = None
    issued: Time | None = None
    power_factor: PerPoint[PowerFactor] = {}
    groups: list[CorrelatedGroup] = []
    impedance: PerPoint[Annotated[float, Field(ge=0.0, allow_inf_nan=False)]] = {"default": 0.0}


TapPosition = Annotated[int, Field(ge=-1000, le=1000)]
TapRange = Annotated[list[TapPosition], Field(min_length=2, max_length=2)]


class ActionsSection(Section):
    """Switching and tap actions of the operator, and the limits of the search among them."""

    switchable: list[Annotated[str, Field(min_length=1)]] = []
    taps: dict[str, TapRange] | list[str] = []
    most_operations: Annotated[int, Field(ge=0, le=10**6)] | None = None
    exact_limit: Annotated[int, Field(ge=0, le=10**7)] = 100_000
    evaluations: Annotated[int, Field(ge=1, le=10**6)] = 5_000


class FairnessSection(Section):
    """The principle by which the capacity of the network is shared."""

    rule: Literal[
        "max_min",
        "equal",
        "proportional_to_capacity",
        "proportional",
        "alpha",
        "maximum_sum",
    ] = "max_min"
    alpha: Annotated[float, Field(ge=0.0)] | None = None
    over: Literal["limits", "width"] = "limits"
    common: Literal["direction", "all"] = "direction"
    weights: PerPoint[Annotated[float, Field(ge=1e-3, le=1e3)]] = {"default": 1.0}
    forgetting: Annotated[float, Field(ge=0.0, lt=1.0)] | None = None
    gain: Annotated[float, Field(gt=0.0, le=20.0)] | None = None


class MarketSection(Section):
    """Price step in EUR per kW for an interval, quantity step, and when intervals trade."""

    tick: Annotated[str, Field(pattern=r"^[0-9]{1,6}(\.[0-9]{1,9})?$"), AfterValidator(_tick)] = (
        "0.0001"
    )
    lot_w: Annotated[int, Field(ge=1, le=10**9)] = 1
    exchange_rate: Literal["one_to_one", "network_weighted"] = "one_to_one"
    reserve_price: NotNegativePrice = "0"
    gate_closure_minutes: Annotated[int, Field(ge=0, le=7 * 24 * 60)] = 0
    opening_minutes: Annotated[int, Field(ge=1, le=7 * 24 * 60)] = 60
    compensation_price: NotNegativePrice = "0"
    curtailment: Literal["pro_rata", "max_min", "last_in_first_out"] = "pro_rata"
    opening_auction_minutes: Annotated[int, Field(ge=0, le=7 * 24 * 60)] = 0
    closing_auction_minutes: Annotated[int, Field(ge=0, le=7 * 24 * 60)] = 0
    batch_seconds: Annotated[int, Field(ge=1, le=24 * 60 * 60)] | None = None


class MeteringSection(Section):
    """Penalty for a breach in EUR per kW for an interval, and the window for readings."""

    penalty_price: NotNegativePrice
    tolerance_w: Watts = 0
    window_hours: Annotated[int, Field(ge=1, le=366 * 24)] = 24


class FlexibilitySection(Section):
    """Who may request flexibility, how it is matched, and what each resource can change."""

    requesters: Annotated[list[str], Field(min_length=1)]
    matching: Literal["welfare", "pairwise"] = "welfare"
    up_w: PerPoint[Watts] = {"default": 0}
    down_w: PerPoint[Watts] = {"default": 0}


class IntervalsSection(Section):
    """Consecutive delivery intervals from ``start`` on."""

    start: Time | None = None
    minutes: Annotated[int, Field(ge=1, le=24 * 60)] = 15
    count: Annotated[int, Field(ge=1, le=527_040)] = 1  # a leap year of minutes
    limits_file: Annotated[str, Field(min_length=1)] | None = None


class ProfilesSection(Section):
    """Values that change from interval to interval: powers of passive elements, capacities."""

    powers: Annotated[str, Field(min_length=1)] | None = None
    unit: Literal["w", "factor"] | None = None
    capacities: Annotated[str, Field(min_length=1)] | None = None


class LimitsRow(Section):
    """One row of a limits file; an empty cell has the value of ``[interface]``."""

    model_config = ConfigDict(strict=False)  # CSV has only text

    start: Time
    injection_limit_w: Watts | None = None
    withdrawal_limit_w: Watts | None = None
    voltage_min_pu: PerUnit | None = None
    voltage_max_pu: PerUnit | None = None
    unbalance_pu: Unbalance | None = None
    reactive_min_var: Vars | None = None
    reactive_max_var: Vars | None = None


ParsedSection = TypeVar("ParsedSection", bound=Section)


def parse_section(
    kind: type[ParsedSection], name: str, content: Any, faults: list[Fault]
) -> ParsedSection | None:
    """Return a section, or ``None`` after adding all its faults to ``faults``."""
    if not isinstance(content, Mapping):
        faults.append(Fault(name, f"it must be a table, [{name}]"))
        return None
    try:
        return kind.model_validate(content)
    except ValidationError as error:
        faults.extend(_as_written(sentences(error, name), content))
        return None


def _as_written(found: Iterator[Fault], content: Mapping[str, Any]) -> Iterator[Fault]:
    """Name a plain number by its own key, without the ``default`` that the model added."""
    for fault in found:
        parts = fault.element.split(".")
        plain = len(parts) == 3 and not isinstance(content.get(parts[1]), Mapping)
        yield Fault(".".join(parts[:2]), fault.detail) if plain else fault


def default_start() -> datetime:
    """Return the start of the one interval of a scenario that names none."""
    return datetime(2000, 1, 1, tzinfo=UTC)
