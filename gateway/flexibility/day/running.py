"""What ``flexibility-day`` computes: the phases of a day, as the records of its result."""

from __future__ import annotations

from doe_allocation.coordination.messages import told
from exchange.clearing.problem import ClearingError
from exchange.flexibility.flex_offers.shift_phase import Shifted
from exchange.flexibility.measurement.measuring import Measured
from exchange.flexibility.measurement.monitoring import Monitored
from exchange.flexibility.measurement.orders import Activated
from exchange.flexibility.products.day import run_day
from exchange.flexibility.products.flex_day import (
    FlexDay,
    Forecast,
    Phase,
    PhaseReport,
    Qualified,
    Settled,
    SpotResult,
)
from exchange.flexibility.products.forward import Contracted
from exchange.flexibility.products.obligation import Obliged
from exchange.flexibility.products.rules.announcement import Announced, AnnouncementRules
from exchange.flexibility.products.rules.sharing import LinkedOrder
from exchange.flexibility.products.vocabulary import Award, FlexContract, Refusal
from exchange.flexibility.settlement.baselines import BaselineError
from gateway.flexibility.coordination_result import ToldRecord
from gateway.flexibility.day.case import DayCase
from gateway.flexibility.day.delivery.running import delivery_result
from gateway.flexibility.day.records import DayReason, DayShortfall, flow_record
from gateway.flexibility.day.result import (
    AnnouncedRecord,
    AnnouncementResult,
    CompetitionRecord,
    DayAward,
    DayContractRecord,
    ExceededBranch,
    FlexibilityDayResult,
    ForecastResult,
    ForwardResult,
    InsertedRecord,
    LeftOverRecord,
    LinkedRecord,
    PaymentRecord,
    PhaseResult,
    PlaceRecord,
    QualificationRecord,
    QualificationResult,
    SettlementResult,
    SpotSessionResult,
    UncoveredRecord,
    WithheldRecord,
)
from gateway.flexibility.day.shift_result import shift_result
from gateway.flexibility.day.units import Units
from gateway.formats.faults import InputFaults
from security_check.errors import Fault


def run_flexibility_day(case: DayCase) -> FlexibilityDayResult:
    """Run a day.

    Raises
    ------
    InputFaults
        When the solver finds no best choice in a session, or a resource has no baseline.
    """
    try:
        reports = run_day(case.day)
    except (ClearingError, BaselineError) as error:
        raise InputFaults(case.source, [Fault("phases", str(error))]) from None
    phases = [_phase(case.day, case.units, each) for each in reports]
    return FlexibilityDayResult(source=case.source, description=case.description, phases=phases)


def _phase(day: FlexDay, units: Units, report: PhaseReport) -> PhaseResult:
    name, result = report.phase.name, report.result
    said = [
        ToldRecord(
            sender=each.sender,
            receiver=each.receiver,
            subject=each.subject,
            fields=list(each.fields),
            messages=each.messages,
            bytes=each.size,
        )
        for each in told(report.messages)
    ]
    if isinstance(result, Qualified):
        return _qualification(name, result, said)
    if isinstance(result, Announced):
        return _announcement(units, report.phase, result, said)
    if isinstance(result, Forecast):
        return _forecast(name, units, result, said)
    if isinstance(result, Contracted):
        return ForwardResult(
            type="forward",
            name=name,
            contracts=[_contract(units, each) for each in result.contracts],
            uncovered=[
                UncoveredRecord(need=need, missing_w=watts)
                for need, watts in result.missing_w.items()
            ],
            refused=_reasons(result.refused),
            told=said,
        )
    if isinstance(result, SpotResult):
        return _spot(name, units, result, said)
    if isinstance(result, Activated | Measured | Monitored):
        return delivery_result(name, units, result, said)
    if isinstance(result, Shifted):
        return shift_result(name, units, result, said)
    return _settlement(name, units, result, said)


def _reasons(refused: tuple[Refusal, ...]) -> list[DayReason]:
    return [DayReason.from_fields(each) for each in refused]


def _qualification(name: str, result: Qualified, said: list[ToldRecord]) -> QualificationResult:
    return QualificationResult(
        type="qualification",
        name=name,
        resources=[
            QualificationRecord(
                resource=resource, product=product, qualified=not reasons, reasons=_reasons(reasons)
            )
            for (resource, product), reasons in result.reasons.items()
        ],
        competition=[
            CompetitionRecord.from_fields(
                each,
                direction=each.direction.value,
                share=each.able_w / each.needed_w if each.needed_w else 0.0,
            )
            for each in result.competition
        ],
        told=said,
    )


def _announcement(
    units: Units, phase: Phase, result: Announced, said: list[ToldRecord]
) -> AnnouncementResult:
    return AnnouncementResult(
        type="announcement",
        name=phase.name,
        at=phase.at if isinstance(phase, AnnouncementRules) else None,
        needs=[
            AnnouncedRecord.from_fields(
                each.need,
                need=each.need.name,
                branch=None if each.need.relief is None else each.need.relief.branch,
                direction=None if each.need.direction is None else each.need.direction.value,
                start=units.start_of(each.need.intervals[0]),
                end=units.start_of(each.need.intervals[-1] + 1),
                quantity_w=list(each.need.quantity_w),
                qualified=list(each.qualified),
            )
            for each in result.needs
        ],
        told=said,
    )


def _linked(units: Units, each: LinkedOrder) -> LinkedRecord:
    return LinkedRecord.from_fields(
        each,
        interval=units.start_of(each.interval),
        amount_eur=units.eur(each.amount),
        shares_eur={party: units.eur(amount) for party, amount in each.parts},
    )


def _forecast(name: str, units: Units, result: Forecast, said: list[ToldRecord]) -> ForecastResult:
    return ForecastResult(
        type="forecast",
        name=name,
        exceeded=[
            ExceededBranch.from_fields(
                each,
                interval=units.start_of(each.interval),
                places=[
                    PlaceRecord.from_fields(place, direction=place.direction.value)
                    for place in each.places
                ],
            )
            for each in result.exceeded
        ],
        needs=[each.name for each in result.needs],
        told=said,
    )


def _contract(units: Units, each: FlexContract) -> DayContractRecord:
    return DayContractRecord.from_fields(
        each,
        direction=each.direction.value,
        start=units.start_of(each.intervals[0]),
        end=units.start_of(each.intervals[-1] + 1),
        availability_eur_per_kw=units.eur_per_kw(each.availability_ticks),
        utilisation_eur_per_kwh=units.eur_per_kwh(each.utilisation_ticks),
        availability_eur=units.eur(each.availability_ticks * each.quantity_w),
        obligation=each.obliged,
    )


def _award(units: Units, each: Award) -> DayAward:
    return DayAward.from_fields(
        each,
        direction=each.direction.value,
        interval=units.start_of(each.interval),
        price_eur_per_kwh=units.eur_per_kwh(each.price_ticks),
        amount_eur=units.eur(each.amount),
    )


def _inserted(units: Units, obliged: Obliged) -> list[InsertedRecord]:
    return [
        InsertedRecord(
            contract=each.contract or "",
            resource=each.resource,
            interval=units.start_of(each.intervals[0]),
            quantity_w=each.quantity_w,
            price_eur_per_kwh=units.eur_per_kwh(each.price_ticks),
        )
        for each in obliged.inserted
    ]


def _spot(name: str, units: Units, result: SpotResult, said: list[ToldRecord]) -> SpotSessionResult:
    cleared = result.cleared
    return SpotSessionResult(
        type="spot",
        name=name,
        inserted=_inserted(units, result.obliged),
        withheld=[
            WithheldRecord.from_fields(
                each, interval=units.start_of(each.interval), penalty_eur=units.eur(each.amount)
            )
            for each in result.obliged.withheld
        ],
        refused=_reasons(result.refused),
        awards=[_award(units, each) for each in cleared.awards],
        linked=[_linked(units, each) for each in result.linked],
        cost_eur=units.eur(sum(each.amount for each in cleared.awards)),
        shortfalls=[
            DayShortfall.from_fields(each, interval=units.start_of(each.interval))
            for each in cleared.shortfalls
        ],
        left_over=[
            LeftOverRecord(
                offer=each.offer,
                reason=each.reason.value,
                detail=each.detail,
                intervals=[units.start_of(t) for t in each.intervals],
                left_w=list(each.left_w),
            )
            for each in cleared.left_over
        ],
        flows=[flow_record(units, each) for each in cleared.flows],
        told=said,
    )


def _settlement(
    name: str, units: Units, result: Settled, said: list[ToldRecord]
) -> SettlementResult:
    return SettlementResult(
        type="settlement",
        name=name,
        payments=[
            PaymentRecord.from_fields(
                each,
                cause=each.cause.value,
                interval=units.start_of(each.interval),
                amount_eur=units.eur(each.amount),
            )
            for each in result.payments
        ],
        balances_eur={party: units.eur(each) for party, each in result.balances.items()},
        activated_w={resource: list(watts) for resource, watts in result.activated_w.items()},
        notes=list(result.notes),
        told=said,
    )
