"""What ``coordinate`` computes: schemes of one case, each with the same report."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from decimal import Decimal

import numpy as np

from doe_allocation.coordination.ac_model import AcModel, Overload
from doe_allocation.coordination.coordination import Outcome, Scheme, coordinate
from doe_allocation.coordination.plan import Priority
from doe_allocation.coordination.problem import WATTS
from doe_allocation.coordination.settlement import Award
from doe_allocation.coordination.shortfall import Shortfall
from doe_allocation.procurement.choices import FlexDirection
from gateway.flexibility.coordination_case import CoordinationCase
from gateway.flexibility.coordination_result import (
    AwardRecord,
    BuyerRecord,
    CoordinationFile,
    InterfaceRecord,
    MissingPowerRecord,
    OverloadRecord,
    PartyRecord,
    RangeEndRecord,
    SchemeRecord,
    SchemeShortfallRecord,
    ToldRecord,
    UnrelievableRecord,
)
from security_check.errors import PowerFlowError

Step = Callable[[int], None]


def run_schemes(
    case: CoordinationCase,
    chosen: Sequence[tuple[Scheme, Priority]],
    step: Step | None = None,
) -> CoordinationFile:
    """Run schemes on a case.

    Parameters
    ----------
    case
        The case.
    chosen
        Schemes, each with whose need comes first.
    step
        Called with the number of schemes done.

    Raises
    ------
    ValueError
        When a scheme has its order in itself, and a priority is given.
    PowerFlowError
        When what a scheme activates has no power flow solution.
    """
    model, records = case.model, []
    for done, (scheme, priority) in enumerate(chosen, start=1):
        start = time.perf_counter()
        try:
            outcome = coordinate(model, scheme, priority)
        except PowerFlowError as error:
            raise PowerFlowError(
                f"what {scheme.value} activates has no AC power flow: {error}"
            ) from None
        records.append(_record(model, outcome, time.perf_counter() - start))
        if step is not None:
            step(done)
    return CoordinationFile(
        source=case.source,
        overloads_before=[_overload(each) for each in model.overloads(model.base)],
        schemes=records,
    )


def _record(model: AcModel, outcome: Outcome, seconds: float) -> SchemeRecord:
    market = model.market
    return SchemeRecord(
        scheme=outcome.scheme.value,
        priority=outcome.priority.value,
        cost_eur=f"{outcome.cost:.2f}",
        wanted_mw=market.need.power_w / WATTS,
        delivered_mw=outcome.delivered_mw,
        unserved_mw=outcome.unserved_mw,
        unserved_eur=outcome.unserved_mw * market.need.price_cap,
        buyers=_buyers(outcome.awards),
        awards=[_award(each) for each in outcome.awards],
        balances_eur={name: f"{amount:.2f}" for name, amount in outcome.balances.items()},
        overloads=[_overload(each) for each in outcome.overloads],
        interfaces=[_interface(model, outcome, area) for area in range(len(market.areas))],
        parties=[
            PartyRecord(name=each.name, wanted_mw=each.power_w / WATTS, power_mw=float(power))
            for each, power in zip(market.portfolios, outcome.plan.portfolios, strict=True)
        ],
        told=[
            ToldRecord(
                sender=each.sender,
                receiver=each.receiver,
                subject=each.subject,
                fields=list(each.fields),
                messages=each.messages,
                bytes=each.size,
            )
            for each in outcome.told
        ],
        told_bytes=sum(each.size for each in outcome.told),
        iterations=outcome.plan.iterations,
        rounds=outcome.rounds,
        settled=outcome.settled,
        source_pu=outcome.point.source_pu,
        ends=[
            RangeEndRecord(
                operator=each.operator,
                quantity=each.quantity,
                end="highest" if each.high else "lowest",
                stated=each.stated,
                found=each.found,
                overloads=[_overload(over) for over in each.overloads],
            )
            for each in outcome.ends
        ],
        shortfall=_shortfall(outcome.shortfall),
        seconds=seconds,
    )


def _shortfall(found: Shortfall | None) -> SchemeShortfallRecord | None:
    if found is None:
        return None
    return SchemeShortfallRecord(
        detail=str(found),
        enough=found.enough,
        exceeded=[UnrelievableRecord.from_fields(each) for each in found.exceeded],
        unserved_mw=found.unserved_mw,
        missing=[MissingPowerRecord.from_fields(each) for each in found.missing],
    )


def _buyers(awards: Sequence[Award]) -> list[BuyerRecord]:
    found = []
    for buyer in dict.fromkeys(each.buyer for each in awards):
        own = [each for each in awards if each.buyer == buyer]
        active = [each for each in own if not each.offer.reactive]
        up = [each for each in active if each.offer.direction is FlexDirection.UPWARD]
        down = [each for each in active if each.offer.direction is FlexDirection.DOWNWARD]
        found.append(
            BuyerRecord(
                buyer=buyer,
                upward_mw=sum(each.power_w for each in up) / WATTS,
                downward_mw=sum(each.power_w for each in down) / WATTS,
                reactive_mvar=sum(each.power_w for each in own if each.offer.reactive) / WATTS,
                pays_eur=f"{sum((each.amount for each in own), Decimal(0)):.2f}",
            )
        )
    return found


def _award(award: Award) -> AwardRecord:
    offer = award.offer
    return AwardRecord(
        offer=offer.name,
        provider=offer.provider,
        operator=offer.operator,
        connection_point=offer.connection_point,
        direction=offer.direction.value,
        reactive=offer.reactive,
        buyer=award.buyer,
        power_w=award.power_w,
        price_eur_per_mwh=offer.price,
        amount_eur=f"{award.amount:.2f}",
    )


def _overload(over: Overload) -> OverloadRecord:
    return OverloadRecord.from_fields(over)


def _interface(model: AcModel, outcome: Outcome, area: int) -> InterfaceRecord:
    active, reactive, voltage = model.interface(outcome.point, area)
    before, _, _ = model.interface(model.base, area)
    count, plan = len(model.market.areas), outcome.plan
    targets = np.full(2 * count, np.nan) if plan.targets is None else plan.targets
    return InterfaceRecord(
        operator=model.market.areas[area],
        active_before_mw=before,
        active_mw=active,
        reactive_mvar=reactive,
        voltage_pu=voltage,
        active_price_eur_per_mwh=_or_none(plan.prices[area]),
        reactive_price_eur_per_mvarh=_or_none(plan.prices[count + area]),
        active_target_mw=_or_none(targets[area]),
        reactive_target_mvar=_or_none(targets[count + area]),
        voltage_target_pu=None if plan.voltages is None else float(plan.voltages[area]),
    )


def _or_none(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
