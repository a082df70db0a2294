"""What ``procure`` computes: each case of a file, with its verification."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from doe_allocation.procurement.assessment import Assessment
from doe_allocation.procurement.choices import CurrentShape, FlexDirection, Objective
from doe_allocation.procurement.linear_model import LinearModel
from doe_allocation.procurement.problem import ProcurementProblem
from doe_allocation.procurement.procurement import (
    Procured,
    ProcurementSettings,
    procure_together,
)
from doe_allocation.procurement.quantities import Quantity, QuantityKind
from doe_allocation.procurement.shortfall import InsufficientFlexibilityError, bus_of
from gateway.flexibility.case_loading import SetChoice
from gateway.flexibility.day_loading import LoadedDay
from gateway.flexibility.needs import before_activation, needs
from gateway.flexibility.procurement_result import (
    ActivatedRecord,
    AttackRecord,
    BranchState,
    BusState,
    ExceededRecord,
    LimitRecord,
    MissingRecord,
    OutcomeRecord,
    PolygonRecord,
    ProcuredCase,
    ProcurementFile,
    ShortfallRecord,
    TsoRecord,
)
from gateway.formats.faults import InputFaults
from security_check.arrays import FloatArray
from security_check.errors import Fault, GridError, InsecureError, PowerFlowError
from security_check.verification.adversary import Finding
from security_check.worst_case.robust_rows import SECURE

_NOTHING_PU = 1e-9  # per unit of power, a milliwatt: less is the solver's rounding


def procure_cases(
    loaded: LoadedDay,
    cases: Sequence[str],
    choice: SetChoice,
    settings: ProcurementSettings,
    seed: int = 0,
) -> ProcurementFile:
    """Return the result of the cases named, of all where none is, in every interval.

    Raises
    ------
    InputFaults
        When there is no such case, the set is none for these resources, or the settings are none
        for the case's terms.
    GridError
        When a power flow or a solver fails.
    """
    cones = settings.shape is CurrentShape.CONES and not settings.ac_exact
    if loaded.coupling is not None and cones:
        detail = "cones solve one interval at a time, and the file's terms couple them"
        raise InputFaults(loaded.source, [Fault("--currents", f"{detail}; refined does both")])
    problems = {name: loaded.problems(name, choice) for name in cases or loaded.cases}
    results = [
        each
        for name, own in problems.items()
        for each in _intervals(loaded, name, own, settings, seed)
    ]
    return ProcurementFile(
        source=loaded.source,
        objective=settings.objective,
        set=choice.kind,
        set_size=choice.size,
        currents=settings.shape,
        planes=settings.planes,
        ac_exact=settings.ac_exact,
        interval_minutes=loaded.minutes if loaded.names[0] else None,
        cases=results,
    )


def settings_of(
    loaded: LoadedDay,
    objective: Objective,
    shape: CurrentShape,
    planes: int | None,
    *,
    ac_exact: bool,
) -> ProcurementSettings:
    """Return the settings, with the number of planes of the file where none is given."""
    own = ProcurementSettings(objective, shape, loaded.planes, ac_exact)
    return own if planes is None else replace(own, planes=planes)


def _intervals(
    loaded: LoadedDay,
    name: str,
    problems: Sequence[ProcurementProblem],
    settings: ProcurementSettings,
    seed: int,
) -> Iterator[ProcuredCase]:
    """Yield each interval of a case: together where terms couple them, else one by one."""
    for interval, problem in zip(loaded.names, problems, strict=True):
        _has_power_flow(f"case {name} {interval}".rstrip(), problem)
    coupled = loaded.coupling is not None
    groups = [range(len(problems))] if coupled else [range(k, k + 1) for k in range(len(problems))]
    for group in groups:
        own = [problems[k] for k in group]
        try:
            found = procure_together(own, loaded.coupling, settings, np.random.default_rng(seed))
        except GridError as error:
            where = f"case {name}" + ("" if coupled else f" {loaded.names[group[0]]}".rstrip())
            raise GridError(f"{where}: {error}") from None
        short = [loaded.names[k] for k in group if isinstance(found[k - group[0]], GridError)]
        for k, problem, each in zip(group, own, found, strict=True):
            yield _case(name, loaded.names[k], problem, settings, each, short)


def _has_power_flow(where: str, problem: ProcurementProblem) -> None:
    """Raise :class:`PowerFlowError`, with the powers, where nothing works without activation."""
    try:
        LinearModel.around(problem, np.zeros(len(problem.offers)))
    except PowerFlowError as error:
        expected = -problem.forecast.power_pu.sum() * problem.network.base_power_w / 1e3
        detail = (
            f"without activation, at {problem.source_pu:g} p.u. and with {expected.real:,.6g} kW "
            f"and {expected.imag:,.6g} kvar withdrawn in sum, there is no AC power flow"
        )
        raise PowerFlowError(f"{where}: {detail}: {error}") from None


def _case(
    name: str,
    interval: str,
    problem: ProcurementProblem,
    settings: ProcurementSettings,
    found: Procured | InsufficientFlexibilityError | None,
    short: Sequence[str],
) -> ProcuredCase:
    """Return an interval; ``short`` are those of its programme that lack flexibility."""
    before = before_activation(problem, found)
    outcome, shortfall = None, None
    if isinstance(found, Procured):
        outcome = _outcome(problem, settings, found)
    elif found is None:
        detail = f"its offers are coupled with those of {', '.join(short)}, which lacks flexibility"
        shortfall = ShortfallRecord(detail=detail, exceeded=[], missing=[])
    else:
        shortfall = _shortfall(found)
    return ProcuredCase(
        case=name,
        interval=interval or None,
        needs=needs(problem, before),
        outcome=outcome,
        shortfall=shortfall,
    )


def _shortfall(error: InsufficientFlexibilityError) -> ShortfallRecord:
    base: InsecureError = error
    return ShortfallRecord(
        detail=str(error),
        exceeded=[
            ExceededRecord.from_fields(each, excess=abs(each.value - each.limit))
            for each in base.violations
        ],
        missing=[
            MissingRecord.from_fields(each, missing_kw=each.power_w / 1e3) for each in error.missing
        ],
    )


def _outcome(
    problem: ProcurementProblem, settings: ProcurementSettings, found: Procured
) -> OutcomeRecord:
    buses = len(problem.network.voltages.elements)
    base_a = problem.network.terminals.base_current_a
    to_kw = problem.network.base_power_w / 1e3
    before_w, local_w, after_w = found.interface_w
    assessments = [found.after, *filter(None, [found.local_only])]
    errors = np.max([each.error for each in assessments], axis=0)
    lowest = np.max([each.lowest_error for each in assessments], axis=0)
    tso = None
    if found.tso is not None:
        tso = TsoRecord(
            direction=FlexDirection(settings.objective.value),
            available_kw=float(found.tso.power.sum()) * to_kw,
            interface_change_kw=(after_w - local_w) / 1e3,
        )
    attack = _worst_attack(found)
    return OutcomeRecord(
        ac_secure=attack is None or attack.percent <= 100.0 * (1.0 + SECURE),
        cost_eur_per_h=float(problem.prices @ found.local.power),
        activated_kw=float(found.local.power.sum()) * to_kw,
        activated=_activated(problem, found),
        binding=_binding(problem, found),
        branches=_branches(problem, found),
        buses=_buses(problem, found),
        adversary_before=_attack(found.before),
        adversary_after=attack,
        linearisation_error_a=max(0.0, float((errors[buses:] * base_a).max(initial=0.0))),
        linearisation_error_pu=max(
            0.0, float(errors[:buses].max(initial=0.0)), float(lowest.max(initial=0.0))
        ),
        polygon=_polygon(problem, settings, found),
        tso=tso,
        interface_before_kw=before_w / 1e3,
        interface_after_kw=after_w / 1e3,
        rounds=found.rounds,
    )


def _activated(problem: ProcurementProblem, found: Procured) -> list[ActivatedRecord]:
    """Return every offer, with the binding limit that its activation relieves the most."""
    size, records = problem.network.base_power_w, []
    for k, offer in enumerate(problem.offers):
        power = float(found.local.power[k])
        because, relief = _because(problem, found, k) if power > _NOTHING_PU else ("", 0.0)
        records.append(
            ActivatedRecord(
                resource=problem.network.connection_points[offer.resource],
                bus=bus_of(problem, offer.resource),
                direction=offer.direction,
                offered_kw=offer.power_pu * size / 1e3,
                price_eur_per_kwh=offer.price * 1e3 / size,
                activated_kw=power * size / 1e3,
                cost_eur_per_h=power * offer.price,
                because=because,
                relief_per_kw=relief,
                tso_kw=0.0 if found.tso is None else float(found.tso.power[k]) * size / 1e3,
            )
        )
    return records


def _because(problem: ProcurementProblem, found: Procured, offer: int) -> tuple[str, float]:
    """Return the limit that an offer relieves for most money, and by how much for a kW."""
    best, most, relief = "", 0.0, 0.0
    change = problem.change[:, offer]
    injected = problem.change @ found.local.power
    for quantity, worth in zip(found.quantities, found.local.worth.tolist(), strict=True):
        if worth == 0.0:
            continue
        phasor = quantity.phasor
        lowest = quantity.kind is QuantityKind.VOLTAGE_MIN
        at = found.model.operating[phasor] if lowest else found.model.farthest(phasor, injected)[0]
        if at == 0.0:
            continue
        moved = float((np.conj(at) * (found.model.by_power[phasor] @ change)).real / abs(at))
        own = moved if lowest else -moved
        if own * abs(worth) > most:
            per_kw = own * quantity.unit_size * 1e3 / problem.network.base_power_w
            best, most, relief = quantity.element, own * abs(worth), per_kw
    return best, relief


def _binding(problem: ProcurementProblem, found: Procured) -> list[LimitRecord]:
    """Return the limits with a shadow price, of the local need or of what the TSO may have."""
    records = []
    for k, quantity in enumerate(found.quantities):
        worth = abs(float(found.local.worth[k])) / quantity.unit_size
        of_tso = 0.0 if found.tso is None else abs(float(found.tso.worth[k])) / quantity.unit_size
        if not worth and not of_tso:
            continue
        robust, ac = _worst(found.after if of_tso else found.local_only or found.after, quantity)
        given = found.given_away
        away = 0.0 if given is None else float(given.by_quantity[k]) * quantity.unit_size
        records.append(
            LimitRecord(
                element=quantity.element,
                quantity=f"{quantity.kind.value} {quantity.side}".strip(),
                limit=quantity.limit,
                unit=quantity.unit,
                shadow_price_eur_per_h=worth,
                tso_shadow_price_kw=of_tso * problem.network.base_power_w / 1e3,
                robust=robust,
                ac_worst=ac,
                ac_percent=100.0 * ac / quantity.limit,
                given_away=away,
            )
        )
    return records


def _worst(assessment: Assessment, quantity: Quantity) -> tuple[float, float]:
    """Return the worst value by the linear model and by the AC power flow, in the unit."""
    if quantity.kind is QuantityKind.VOLTAGE_MIN:
        bound, ac = assessment.lowest_bound, assessment.ac_lowest
    else:
        bound, ac = assessment.bound, assessment.ac_worst
    size = quantity.unit_size
    return float(bound[quantity.phasor]) * size, float(ac[quantity.phasor]) * size


def _branches(problem: ProcurementProblem, found: Procured) -> list[BranchState]:
    """Return the currents of every branch at its from end."""
    terminals, buses = problem.network.terminals, len(problem.network.voltages.elements)
    count = len(terminals.elements) // 2
    limits = {q.phasor: q.limit for q in found.quantities if q.kind is QuantityKind.CURRENT}
    records = []
    for k in range(count):
        phasor, other = buses + k, buses + count + k
        base_a = float(terminals.base_current_a[k])
        expected = complex(found.before.expected[phasor]) * base_a
        real, imaginary = found.model.deviations(phasor)

        def magnitude(values: FloatArray, at: int, size: float = base_a) -> float:
            return float(abs(values[at])) * size

        records.append(
            BranchState(
                element=terminals.elements[k],
                limit_a=limits.get(phasor),
                before_re_a=expected.real,
                before_im_a=expected.imag,
                deviation_re_a=float(np.copysign(real * base_a, expected.real)),
                deviation_im_a=float(np.copysign(imaginary * base_a, expected.imag)),
                before_a=abs(expected),
                robust_before_a=magnitude(found.before.bound, phasor),
                ac_worst_before_a=magnitude(found.before.ac_worst, phasor),
                after_a=magnitude(np.abs(found.after.expected), phasor),
                robust_after_a=magnitude(found.after.bound, phasor),
                ac_worst_after_a=magnitude(found.after.ac_worst, phasor),
                other_end_ac_worst_after_a=magnitude(found.after.ac_worst, other),
            )
        )
    return records


def _buses(problem: ProcurementProblem, found: Procured) -> list[BusState]:
    return [
        BusState(
            element=element,
            before_pu=float(abs(found.before.expected[k])),
            after_pu=float(abs(found.after.expected[k])),
            robust_lowest_before_pu=float(found.before.lowest_bound[k]),
            robust_lowest_after_pu=float(found.after.lowest_bound[k]),
            ac_lowest_before_pu=float(found.before.ac_lowest[k]),
            ac_lowest_after_pu=float(found.after.ac_lowest[k]),
            robust_highest_before_pu=float(found.before.bound[k]),
            robust_highest_after_pu=float(found.after.bound[k]),
            ac_highest_before_pu=float(found.before.ac_worst[k]),
            ac_highest_after_pu=float(found.after.ac_worst[k]),
        )
        for k, element in enumerate(problem.network.voltages.elements)
    ]


def _worst_attack(found: Procured) -> AttackRecord | None:
    """Return the worst finding after activation, with the TSO's part and without it."""
    attacks = [_attack(each) for each in (found.after, found.local_only) if each is not None]
    return max(filter(None, attacks), key=lambda each: each.percent, default=None)


def _attack(assessment: Assessment) -> AttackRecord | None:
    finding = assessment.finding
    return None if finding is None else _attack_record(finding)


def _attack_record(finding: Finding) -> AttackRecord:
    return AttackRecord.from_fields(finding, percent=100.0 * (1.0 + finding.violation))


def _polygon(
    problem: ProcurementProblem, settings: ProcurementSettings, found: Procured
) -> PolygonRecord | None:
    given = found.given_away
    if given is None:
        return None
    away = [
        (unused * quantity.unit_size, 100.0 * unused / quantity.limit_pu)
        for unused, quantity in zip(given.by_quantity.tolist(), found.quantities, strict=True)
    ]
    most_a, most_percent = max(away, key=lambda each: each[1], default=(0.0, 0.0))
    return PolygonRecord(
        planes=settings.planes,
        given_away_a=most_a,
        given_away_percent=most_percent,
        circle_cost_eur_per_h=float(problem.prices @ given.power),
        circle_activated_kw=float(given.power.sum()) * problem.network.base_power_w / 1e3,
    )
