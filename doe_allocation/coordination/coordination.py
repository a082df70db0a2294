"""Run a scheme on the AC model of all networks: plan, power flow, and again until they agree."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from enum import StrEnum
from typing import TypeVar

import numpy as np

from doe_allocation.coordination.ac_model import AcModel, OperatingPoint, Overload
from doe_allocation.coordination.area import all_offers, ends
from doe_allocation.coordination.decentralised import common_decentralised
from doe_allocation.coordination.joint_schemes import centralised, common, distributed, integrated
from doe_allocation.coordination.messages import Message, Told, rounded, told
from doe_allocation.coordination.plan import Plan, Priority, RangeEnd
from doe_allocation.coordination.problem import TOTAL, WATTS, Linearised
from doe_allocation.coordination.program import NotClearedError
from doe_allocation.coordination.separate_schemes import (
    dso_managed,
    hybrid,
    local,
    local_only,
    shared_balancing,
    two_stage,
)
from doe_allocation.coordination.settlement import Award, activated, awards, balances
from doe_allocation.coordination.shortfall import SERVED_MW, Shortfall, shortfall
from doe_allocation.coordination.voltage_stage import VoltagePoint, voltage_ends
from security_check.arrays import FloatArray

T = TypeVar("T")
VOLTAGE = "voltage"
"""The quantity of a range of voltage; others are ``"active"`` and ``"reactive"``."""
_ROUNDS = 14  # linear models of a scheme, each around the last one's activation
_FREE, _SHRINK = 4, 0.4  # rounds with full reach; then it shrinks by this factor
_EXACT, _EXACT_MW = 1e-6, 1e-5  # parts of a scale, MW: the linear model was right
_SAME_PU = 1e-7  # a voltage at the top so near the present one is the same
_SAME_MW = 1e-6  # a plan so near the operating point is the same


class Scheme(StrEnum):
    """Who clears what, seeing what (docs/coordination.md)."""

    CENTRALISED = "centralised"
    LOCAL = "local"
    DSO_MANAGED = "dso-managed"
    SHARED_BALANCING = "shared-balancing"
    COMMON = "common"
    COMMON_DECENTRALISED = "common-decentralised"
    INTEGRATED = "integrated"
    LOCAL_ONLY = "local-only"
    DISTRIBUTED = "distributed"
    HYBRID = "hybrid"
    TWO_STAGE = "two-stage"


SCHEMES: Mapping[Scheme, Callable[[Linearised, Priority], Plan]] = {
    Scheme.CENTRALISED: centralised,
    Scheme.LOCAL: local,
    Scheme.DSO_MANAGED: dso_managed,
    Scheme.SHARED_BALANCING: shared_balancing,
    Scheme.COMMON: common,
    Scheme.COMMON_DECENTRALISED: common_decentralised,
    Scheme.INTEGRATED: integrated,
    Scheme.LOCAL_ONLY: local_only,
    Scheme.DISTRIBUTED: distributed,
    Scheme.HYBRID: hybrid,
    Scheme.TWO_STAGE: two_stage,
}
WITH_PRIORITY = (Scheme.COMMON, Scheme.INTEGRATED)
"""Schemes that clear all needs together; the others have their order in themselves."""


@dataclass(frozen=True, slots=True)
class CheckedEnd:
    """An end of a range that a DSO stated as secure, in the AC power flow.

    Parameters
    ----------
    operator, quantity, high
        Whose range, of what (``"active"``, ``"reactive"`` or ``"voltage"``), and which end.
    stated, found
        The power out of its area, or the voltage at its interface: by the linear model, and in the
        AC power flow after iterating there; MW, Mvar or per unit.
    overloads
        Limits of the area that are exceeded there.
    """

    operator: str
    quantity: str
    high: bool
    stated: float
    found: float
    overloads: tuple[Overload, ...]


@dataclass(frozen=True)
class Outcome:
    """The result of a scheme.

    Parameters
    ----------
    scheme, priority
        What was run.
    awards
        What is activated for whom.
    delivered_mw, unserved_mw
        What arrives at the TSO's connection points, in the AC power flow, and what its need lacks.
    overloads
        Limits that are exceeded in the AC power flow.
    plan
        The decision at the last operating point.
    point
        The operating point.
    told
        What operators told each other, in all rounds.
    rounds, settled
        Linear models, and whether the last one was right about what it led to; if not, the round
        that keeps limits best counts.
    ends
        Of ranges that were stated.
    shortfall
        What the offers cannot do, where a limit stays exceeded or need unserved.
    """

    scheme: Scheme
    priority: Priority
    awards: tuple[Award, ...]
    delivered_mw: float
    unserved_mw: float
    overloads: tuple[Overload, ...]
    plan: Plan
    point: OperatingPoint
    told: tuple[Told, ...]
    rounds: int
    settled: bool
    ends: tuple[CheckedEnd, ...]
    shortfall: Shortfall | None

    @property
    def cost(self) -> Decimal:
        """What all buyers pay, EUR for an hour."""
        return sum((each.amount for each in self.awards), Decimal(0))

    @property
    def balances(self) -> dict[str, Decimal]:
        """What each party receives or, negative, pays, EUR for an hour."""
        return balances(self.awards)


def coordinate(model: AcModel, scheme: Scheme, priority: Priority = Priority.COMMON) -> Outcome:
    """Return the outcome of a scheme, exact in the AC power flow.

    The networks are linearised anew around what a scheme activates, until it activates the same.

    Raises
    ------
    ValueError
        When the scheme has its order in itself, and a priority is given.
    PowerFlowError
        When what it activates has no power flow solution.
    """
    if priority is not Priority.COMMON and scheme not in WITH_PRIORITY:
        known = " and ".join(each.value for each in WITH_PRIORITY)
        raise ValueError(f"{scheme.value} has its own order of needs; {known} have a priority")
    market, at = model.market, model.base
    messages: list[Message] = []
    last: dict[str, FloatArray] = {}
    best, settled, rounds = None, False, 0
    while rounds < _ROUNDS and not settled:
        if rounds:
            messages += _measured(model, at)
        rounds += 1
        reach = _SHRINK ** max(rounds - _FREE, 0)
        problem = _within(replace(model.linearised(at), last=last, reach=reach))
        plan = SCHEMES[scheme](problem, priority)
        last = {TOTAL: plan.activated, **plan.steps}
        messages += plan.messages
        given = awards(market.offers, plan.bought)
        source_pu = at.source_pu + plan.source_change_pu
        before, at = at, model.point(activated(market.offers, given), at, source_pu)
        moved = np.abs(at.activated - before.activated).max(initial=0.0)
        settled = bool(moved <= _SAME_MW) and abs(plan.source_change_pu) <= _SAME_PU
        settled |= rounds > _FREE and _foreseen(model, problem, before, at)
        found = _Round(plan, given, at, model.overloads(at), lacking(model, at, plan))
        best = found if settled or best is None or found.amiss < best.amiss else best
    assert best is not None
    checked = tuple(_checked(model, best.point, end) for end in best.plan.ends)
    short = None
    if best.overloads or best.unserved_mw > SERVED_MW:
        everywhere = model.linearised(best.point, everything=True)
        short = shortfall(everywhere, model.customers(best.point))
    return Outcome(
        scheme,
        priority,
        best.awards,
        model.delivered(best.point),
        best.unserved_mw,
        best.overloads,
        best.plan,
        best.point,
        told(messages),
        rounds,
        settled,
        checked,
        short,
    )


@dataclass(frozen=True, slots=True)
class _Round:
    """One round: the plan, and what comes of it."""

    plan: Plan
    awards: tuple[Award, ...]
    point: OperatingPoint
    overloads: tuple[Overload, ...]
    unserved_mw: float

    @property
    def amiss(self) -> tuple[float, float]:
        """What the limits are exceeded by together, then what the need lacks."""
        return sum(each.excess for each in self.overloads), self.unserved_mw


def _within(problem: Linearised) -> Linearised:
    """Return a problem whose voltage at the top moves as far as the round reaches."""
    source = problem.source
    if source is None or problem.reach >= 1.0:
        return problem
    most = problem.reach * (source.high - source.low)
    low, high = max(source.low, -most), min(source.high, most)
    return replace(problem, source=replace(source, low=min(low, 0.0), high=max(high, 0.0)))


def _foreseen(
    model: AcModel, problem: Linearised, before: OperatingPoint, at: OperatingPoint
) -> bool:
    """Return whether the linear model was right about all limits and powers at a new point."""
    after, moved = model.linearised(at), at.activated - problem.at
    values = problem.rows.value + problem.rows.A @ moved
    power = problem.active + problem.by_active @ moved
    if problem.source is not None:
        change = at.source_pu - before.source_pu
        values = values + problem.source.by_rows * change
        power = power + problem.source.by_active * change
    wrong = np.abs(after.rows.value - values).max(initial=0.0)
    return bool(wrong <= _EXACT and np.abs(after.active - power).max(initial=0.0) <= _EXACT_MW)


def lacking(model: AcModel, point: OperatingPoint, plan: Plan) -> float:
    """Return what the TSO's need lacks, MW: what parties bought is theirs."""
    need = model.market.need
    got = need.direction.sign * model.delivered(point) - float(plan.portfolios.sum())
    return max(need.power_w / WATTS - got, 0.0)


def _measured(model: AcModel, point: OperatingPoint) -> list[Message]:
    """Return what operators tell of the operating point before they plan anew."""
    market, found = model.market, []
    for area, name in enumerate(market.areas):
        active, reactive, voltage = model.interface(point, area)
        power = {"active_mw": rounded(active), "reactive_mvar": rounded(reactive)}
        found.append(Message(name, market.tso, "operating point", power))
        content = {"voltage_pu": rounded(voltage)}
        found.append(Message(market.tso, name, "operating point", content))
    return found


def _checked(model: AcModel, point: OperatingPoint, end: RangeEnd) -> CheckedEnd:
    """Return an end in AC: the area goes there, all others stay, and its rows are made anew."""
    inside = model.market.area == end.area
    operator, count = model.market.areas[end.area], len(model.market.areas)
    first = model.linearised(point)
    at, source_pu = _with(point.activated, end.point.activated, inside), point.source_pu
    if isinstance(end.point, VoltagePoint):
        quantity = VOLTAGE
        source = _known(first.source)
        value = float(source.voltage[end.area]) + end.point.change_pu
        source_pu += end.point.change_pu / float(source.by_voltage[end.area])
    else:
        quantity = "reactive" if end.reactive else "active"
        base = (first.reactive if end.reactive else first.active)[end.area]
        out = first.own_out[end.area + (count if end.reactive else 0)]
        value = float(base - out + (end.point.reactive if end.reactive else end.point.active))
    found = model.point(at, point, source_pu)
    for rounds in range(_ROUNDS):
        reach = _SHRINK ** max(rounds - _FREE, 0)
        problem = _within(replace(model.linearised(found), last={TOTAL: at}, reach=reach))
        farthest, change = _farthest(problem, end)
        before, at = at, _with(at, farthest, inside)
        start, found = found, model.point(at, found, found.source_pu + change)
        moved = np.abs(at - before).max(initial=0.0)
        same = moved <= _SAME_MW and abs(change) <= _SAME_PU
        if same or (rounds > _FREE and _foreseen(model, problem, start, found)):
            break
    active, reactive, voltage = model.interface(found, end.area)
    reached = {"active": active, "reactive": reactive, VOLTAGE: voltage}[quantity]
    over = tuple(each for each in model.overloads(found) if each.operator == operator)
    return CheckedEnd(operator, quantity, end.high, value, reached, over)


def _farthest(problem: Linearised, end: RangeEnd) -> tuple[FloatArray, float]:
    """Return what is activated at an end of a range, and by how much the top's voltage moves."""
    count, area, place = len(problem.market.areas), end.area, int(end.high)
    out = np.concatenate([problem.active, problem.reactive]) - problem.own_out
    if isinstance(end.point, VoltagePoint):
        source = _known(problem.source)
        agreed = (
            _known(end.active_kept) - out[area],
            _known(end.reactive_kept) - out[count + area],
        )
        try:
            far = voltage_ends(problem, source, area, (float(agreed[0]), float(agreed[1])))[place]
        except NotClearedError:  # the powers are kept as far as this round reaches
            return problem.at, 0.0
        return far.activated, far.change_pu / float(source.by_voltage[area])
    terms = all_offers(problem)
    if end.active_kept is not None:
        terms = replace(terms, near=float(end.active_kept - out[area]))
    return ends(problem, area, terms, reactive=end.reactive)[place].activated, 0.0


def _with(power: FloatArray, own: FloatArray, inside: FloatArray) -> FloatArray:
    return np.where(inside, own, power)


def _known(value: T | None) -> T:
    assert value is not None  # an end of voltage has both powers, and a voltage to choose
    return value
