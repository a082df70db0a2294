"""The file that ``flexibility-day`` writes: what each phase did."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from gateway.flexibility.coordination_result import ToldRecord
from gateway.flexibility.day.delivery.result import (
    ActivationResult,
    MeasurementResult,
    MonitoringResult,
)
from gateway.flexibility.day.records import DayFlow, DayReason, DayShortfall
from gateway.flexibility.day.shift_result import ShiftResult
from gateway.formats.records import Finite, Record, Time


class QualificationRecord(Record):
    """A resource tried against a product; without reasons it qualifies."""

    resource: str
    product: str
    qualified: bool
    reasons: list[DayReason]


class CompetitionRecord(Record):
    """How much competition there is; ``share`` is what qualifies in parts of the largest need."""

    product: str
    zone: str | None
    direction: str
    resources: int
    providers: int
    able_w: int
    needed_w: int
    share: Finite


class PlaceRecord(Record):
    """What would relieve a branch at one bus alone."""

    bus: str
    direction: str
    effect: Finite
    quantity_w: int


class ExceededBranch(Record):
    """A branch beyond its limit in the forecast."""

    branch: str
    interval: Time
    flow_w: Finite
    limit_w: Finite
    excess_w: int
    places: list[PlaceRecord]


class DayContractRecord(Record):
    """A contract that a forward session made."""

    name: str
    resource: str
    provider: str
    buyer: str
    product: str
    direction: str
    start: Time
    end: Time
    quantity_w: int
    availability_eur_per_kw: str
    utilisation_eur_per_kwh: str
    availability_eur: str
    obligation: bool


class UncoveredRecord(Record):
    """Watts of a need that no contract covers."""

    need: str
    missing_w: int


class InsertedRecord(Record):
    """An offer that was put in for a contract."""

    contract: str
    resource: str
    interval: Time
    quantity_w: int
    price_eur_per_kwh: str


class WithheldRecord(Record):
    """Contracted watts that were not there to offer, and the penalty."""

    contract: str
    provider: str
    buyer: str
    resource: str
    interval: Time
    quantity_w: int
    penalty_eur: str
    detail: str


class DayAward(Record):
    """Watts of an offer that a need bought in an interval."""

    need: str
    buyer: str
    offer: str
    resource: str
    provider: str
    direction: str
    interval: Time
    quantity_w: int
    price_eur_per_kwh: str
    amount_eur: str
    because: str


class LeftOverRecord(Record):
    """What was not taken of an offer, and why; ``left_w`` in each of the intervals."""

    offer: str
    reason: str
    detail: str
    intervals: list[Time]
    left_w: list[int]


class AnnouncedRecord(Record):
    """A need that was told to all providers, and the resources that could serve it."""

    need: str
    buyer: str
    product: str
    zone: str | None
    branch: str | None
    direction: str | None
    start: Time
    end: Time
    quantity_w: list[int]
    qualified: list[str]


class LinkedRecord(Record):
    """All that was bought and sold for a need in an interval, and who pays what of it."""

    need: str
    interval: Time
    upward_w: int
    downward_w: int
    amount_eur: str
    shares_eur: dict[str, str]


class PaymentRecord(Record):
    """One party pays another."""

    cause: str
    subject: str
    payer: str
    payee: str
    interval: Time
    quantity_w: int
    amount_eur: str
    sentence: str


class QualificationResult(Record):
    """What a qualification found."""

    type: Literal["qualification"]
    name: str
    resources: list[QualificationRecord]
    competition: list[CompetitionRecord]
    told: list[ToldRecord]


class AnnouncementResult(Record):
    """Needs that were told to all providers."""

    type: Literal["announcement"]
    name: str
    at: Time | None
    needs: list[AnnouncedRecord]
    told: list[ToldRecord]


class ForecastResult(Record):
    """What a forecast found."""

    type: Literal["forecast"]
    name: str
    exceeded: list[ExceededBranch]
    needs: list[str]
    told: list[ToldRecord]


class ForwardResult(Record):
    """What a forward session did."""

    type: Literal["forward"]
    name: str
    contracts: list[DayContractRecord]
    uncovered: list[UncoveredRecord]
    refused: list[DayReason]
    told: list[ToldRecord]


class SpotSessionResult(Record):
    """What a spot session did."""

    type: Literal["spot"]
    name: str
    inserted: list[InsertedRecord]
    withheld: list[WithheldRecord]
    refused: list[DayReason]
    awards: list[DayAward]
    linked: list[LinkedRecord]
    cost_eur: str
    shortfalls: list[DayShortfall]
    left_over: list[LeftOverRecord]
    flows: list[DayFlow]
    told: list[ToldRecord]


class SettlementResult(Record):
    """What was paid; balances in favour of each party."""

    type: Literal["settlement"]
    name: str
    payments: list[PaymentRecord]
    balances_eur: dict[str, str]
    activated_w: dict[str, list[int]]
    notes: list[str]
    told: list[ToldRecord]


PhaseResult = Annotated[
    QualificationResult
    | AnnouncementResult
    | ForecastResult
    | ForwardResult
    | SpotSessionResult
    | ShiftResult
    | ActivationResult
    | MeasurementResult
    | SettlementResult
    | MonitoringResult,
    Field(discriminator="type"),
]


class FlexibilityDayResult(Record):
    """What ``flexibility-day`` writes."""

    source: str
    description: str
    phases: list[PhaseResult]


def all_is_met(result: FlexibilityDayResult) -> bool:
    """Return whether all needs are met and no branch stays overloaded.

    What one session leaves of a need or an overload may be met by a later one: the last session
    that reports it counts.
    """
    open_needs: dict[tuple[str, object], bool] = {}
    branches: dict[tuple[str, object], bool] = {}
    for phase in result.phases:
        if isinstance(phase, ForwardResult) and phase.uncovered:
            return False
        if isinstance(phase, SpotSessionResult):
            for award in phase.awards:
                open_needs.pop((award.need, award.interval), None)
        if isinstance(phase, ShiftResult):
            open_needs = {at: True for at in open_needs if at[0] not in phase.needs}
        if isinstance(phase, SpotSessionResult | ShiftResult):
            for each in phase.shortfalls:
                open_needs[each.need, each.interval] = True
            for flow in phase.flows:
                branches[flow.branch, flow.interval] = flow.overloaded
    return not open_needs and not any(branches.values())
