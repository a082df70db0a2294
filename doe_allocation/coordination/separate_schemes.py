"""Schemes in which each operator clears by itself, on its own network and what it was told."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from doe_allocation.coordination.area import (
    Point,
    Terms,
    accepted,
    all_offers,
    cost_curve,
    ends,
    holding_active,
    own_need,
    respond,
    safe_boundaries,
)
from doe_allocation.coordination.clearing import Cleared, Scope, clear, interface_prices
from doe_allocation.coordination.interface_market import Choice, choose
from doe_allocation.coordination.messages import Message, rounded
from doe_allocation.coordination.plan import (
    Plan,
    Priority,
    RangeEnd,
    activation_orders,
    curve_message,
    no_portfolios,
    nothing,
    schedule,
    unpriced,
)
from doe_allocation.coordination.problem import OWN, TOTAL, TSO, Linearised, SourceVoltage
from doe_allocation.coordination.program import NotClearedError
from doe_allocation.coordination.voltage_stage import (
    VoltageChoice,
    choose_voltage,
    voltage_curve,
)
from security_check.arrays import FloatArray


def _own_needs(problem: Linearised, *, exchange_kept: bool = False) -> list[Point]:
    areas = range(len(problem.market.areas))
    return [own_need(problem, area, exchange_kept=exchange_kept) for area in areas]


def _by_operator(problem: Linearised, points: list[Point]) -> dict[str, FloatArray]:
    """Return what DSOs buy for their own needs."""
    bought = nothing(problem.market)
    for name, point in zip(problem.market.areas, points, strict=True):
        bought[name] = point.activated
    return bought


def _sum(bought: dict[str, FloatArray]) -> FloatArray:
    return np.asarray(np.sum(list(bought.values()), axis=0))


def _targets(problem: Linearised, choice: Choice, points: Sequence[list[Point]]) -> list[Message]:
    """Return the TSO's messages to DSOs: the power that it wants at each interface."""
    market, count = problem.market, len(problem.market.areas)
    found = []
    for area, name in enumerate(market.areas):
        active, reactive = choice.power(points, area)
        content = {
            "active_mw": rounded(active),
            "reactive_mvar": rounded(reactive),
            "price_eur_per_mwh": rounded(choice.prices[area]),
            "price_eur_per_mvarh": rounded(choice.prices[count + area]),
        }
        found.append(Message(market.tso, name, "power wanted", content))
    return found


def local_only(problem: Linearised, _: Priority) -> Plan:
    """Clear DSOs' own needs; the TSO buys nothing."""
    bought = _by_operator(problem, _own_needs(problem))
    steps = {OWN: _sum(bought)}
    return Plan(bought, (), unpriced(problem.market), no_portfolios(problem.market), steps=steps)


def shared_balancing(problem: Linearised, _: Priority) -> Plan:
    """Clear each operator's own offers; DSOs keep the exchange that is scheduled."""
    market = problem.market
    points = _own_needs(problem, exchange_kept=True)
    bought = _by_operator(problem, points)
    floor = _sum(bought)
    lower, upper = problem.bounds(TOTAL, floor)
    mine = market.area == TSO
    scope = Scope(
        problem.rows.area == TSO, np.where(mine, lower, floor), np.where(mine, upper, floor)
    )
    cleared = clear(problem, scope)
    bought[market.tso] = cleared.activated - floor
    messages = tuple(schedule(problem, k, each.active) for k, each in enumerate(points))
    prices = interface_prices(problem, cleared)
    return Plan(bought, messages, prices, no_portfolios(market), steps={OWN: floor})


def local(problem: Linearised, _: Priority) -> Plan:
    """Clear DSOs' needs; what is left they bid to the TSO as cost curves, and disaggregate."""
    market, own = problem.market, _own_needs(problem)
    bought = _by_operator(problem, own)
    floor = _sum(bought)
    terms = Terms(*problem.bounds(TOTAL, floor))
    curves = [cost_curve(problem, area, terms) for area in range(len(own))]
    messages = [curve_message(problem, k, curve, "cost curve") for k, curve in enumerate(curves)]
    choice = choose(problem, curves)
    messages += _targets(problem, choice, curves)
    bought[market.tso] = np.maximum(choice.activations(curves) - floor, 0.0)
    steps = {OWN: floor}
    return Plan(bought, tuple(messages), choice.prices, no_portfolios(market), steps=steps)


def dso_managed(problem: Linearised, _: Priority) -> Plan:
    """Clear DSOs' needs; then they lower boundaries, so that any choice of the TSO is secure."""
    bought, floor, safe, messages = _with_boundaries(problem)
    for area, name in enumerate(problem.market.areas):
        messages.append(_boundaries(problem, area, name, safe))
    cleared = _merit_order(problem, floor, safe)
    return _activated_by_tso(problem, bought, floor, cleared, messages)


def hybrid(problem: Linearised, _: Priority) -> Plan:
    """Let the TSO pick a merit-order list, and DSOs lower boundaries, until all accept."""
    market = problem.market
    bought, floor, safe, messages = _with_boundaries(problem)
    most = market.sizes - floor
    while True:
        cleared = _merit_order(problem, floor, most)
        picked = cleared.activated - floor
        messages += activation_orders(problem, picked)
        taken = sum(
            accepted(problem, area, floor, picked, safe) for area in range(len(market.areas))
        )
        lowered = (market.area != TSO) & (taken < picked - _SAME_MW)
        if not lowered.any():
            return _activated_by_tso(problem, bought, floor, cleared, messages)
        most = np.where(lowered, taken, most)
        for area, name in enumerate(market.areas):
            if (lowered & (market.area == area)).any():
                messages.append(_boundaries(problem, area, name, np.where(lowered, taken, np.nan)))


_SAME_MW = 1e-6  # a boundary so little below what was picked is none


def _with_boundaries(
    problem: Linearised,
) -> tuple[dict[str, FloatArray], FloatArray, FloatArray, list[Message]]:
    """Return what DSOs buy for themselves, in sum, and the boundaries safe in any combination."""
    market, own = problem.market, _own_needs(problem)
    bought = _by_operator(problem, own)
    floor = _sum(bought)
    safe = np.where(market.area == TSO, market.sizes, 0.0)
    for area in range(len(market.areas)):
        safe = safe + safe_boundaries(problem, area, floor)
    return bought, floor, safe, [schedule(problem, k, each.active) for k, each in enumerate(own)]


def _merit_order(problem: Linearised, floor: FloatArray, most: FloatArray) -> Cleared:
    """Return the TSO's choice beyond a floor; it does not see the networks below."""
    seen = problem.blind()
    lower, upper = problem.bounds(TOTAL, floor)
    ceiling = np.minimum(upper, floor + most)
    return clear(seen, Scope(seen.rows.area == TSO, np.minimum(lower, ceiling), ceiling))


def _boundaries(problem: Linearised, area: int, name: str, most: FloatArray) -> Message:
    market = problem.market
    mine = np.flatnonzero((market.area == area) & np.isfinite(most)).tolist()
    content = {"boundary_mw": {market.offers[k].name: rounded(most[k]) for k in mine}}
    return Message(name, market.tso, "boundaries", content)


def _activated_by_tso(
    problem: Linearised,
    bought: dict[str, FloatArray],
    floor: FloatArray,
    cleared: Cleared,
    messages: list[Message],
) -> Plan:
    market = problem.market
    power = np.maximum(cleared.activated - floor, 0.0)
    messages += activation_orders(problem, power)
    prices = interface_prices(problem.blind(), cleared)
    bought = bought | {market.tso: power}
    steps = {OWN: floor}
    return Plan(bought, tuple(messages), prices, no_portfolios(market), steps=steps)


def two_stage(problem: Linearised, _: Priority) -> Plan:
    """Agree on P by a cost curve, then on Q at that P, then on V; the DSO's redispatch keeps all.

    Without a voltage to choose there is no V.
    """
    market, own = problem.market, _own_needs(problem)
    bought = _by_operator(problem, own)
    own_power = _sum(bought)
    areas, terms = range(len(own)), all_offers(problem)
    first = [cost_curve(problem, area, terms) for area in areas]
    messages = [curve_message(problem, k, each, "range of P") for k, each in enumerate(first)]
    choice = choose(problem, first)
    wanted = [choice.power(first, area)[0] for area in areas]
    kept = [holding_active(terms, each) for each in wanted]
    messages += _targets(problem, choice, first)
    second = [cost_curve(problem, k, each, reactive=True) for k, each in enumerate(kept)]
    messages += [curve_message(problem, k, each, "range of Q") for k, each in enumerate(second)]
    choice = choose(problem, second)
    messages += _targets(problem, choice, second)
    total = np.where(market.area == TSO, choice.activated, 0.0)
    targets = [choice.power(second, area) for area in areas]
    for area in areas:
        near = (targets[area][1] - _SAME_MW, targets[area][1] + _SAME_MW)
        total = total + respond(problem, area, replace(kept[area], reactive=near)).activated
    stated = _stated_powers(problem, wanted, kept)
    out = np.concatenate([problem.active, problem.reactive]) - problem.own_out
    kept_power = out + np.array(targets).T.ravel()
    moved, voltages = 0.0, None
    if problem.source is not None:
        picked = _pick_voltage(problem, problem.source, targets, kept_power)
        if picked is not None:
            total, moved = picked[0].activated, picked[0].source_change_pu
            messages += picked[1]
            stated = (*stated, *picked[2])
        voltages = problem.source.voltage + problem.source.by_voltage * moved
    bought = {name: np.minimum(power, total) for name, power in bought.items()}
    bought[market.tso] = total - np.sum(list(bought.values()), axis=0)
    return Plan(
        bought,
        tuple(messages),
        choice.prices,
        no_portfolios(market),
        ends=stated,
        steps={OWN: own_power},
        targets=kept_power,
        source_change_pu=moved,
        voltages=voltages,
    )


def _stated_powers(
    problem: Linearised, wanted: list[float], kept: list[Terms]
) -> tuple[RangeEnd, ...]:
    """Return the ends of the ranges of P, then of Q, not only of what this round reaches."""
    whole = Terms(0.0 * problem.market.sizes, problem.market.sizes)
    areas = range(len(wanted))
    far = [[whole for _ in areas], [replace(whole, active=each.active) for each in kept]]
    nothing_out = problem.active - problem.own_out[: len(wanted)]
    return tuple(
        RangeEnd(k, reactive, bool(n), nothing_out[k] + wanted[k] if reactive else None, end)
        for reactive in (False, True)
        for k in areas
        for n, end in enumerate(ends(problem, k, far[reactive][k], reactive=reactive))
    )


def _pick_voltage(
    problem: Linearised,
    source: SourceVoltage,
    targets: list[tuple[float, float]],
    kept_power: FloatArray,
) -> tuple[VoltageChoice, list[Message], tuple[RangeEnd, ...]] | None:
    """Return the third stage; ``None`` where no voltage but the present is in all ranges."""
    market, count = problem.market, len(problem.market.areas)
    try:
        curves = [voltage_curve(problem, source, k, each) for k, each in enumerate(targets)]
        choice = choose_voltage(problem, source, targets, curves)
    except NotClearedError:
        return None
    messages = []
    for k, (name, curve) in enumerate(zip(market.areas, curves, strict=True)):
        voltage = [rounded(source.voltage[k] + each.change_pu) for each in curve]
        content = {"voltage_pu": voltage, "cost_eur_per_h": [rounded(e.cost) for e in curve]}
        messages.append(Message(name, market.tso, "range of V", content))
    for k, name in enumerate(market.areas):
        at = source.voltage[k] + source.by_voltage[k] * choice.source_change_pu
        messages.append(Message(market.tso, name, "voltage", {"voltage_pu": rounded(at)}))
    stated = tuple(
        RangeEnd(k, False, bool(n), float(kept_power[k]), end, float(kept_power[count + k]))
        for k, curve in enumerate(curves)
        for n, end in enumerate((curve[0], curve[-1]))
    )
    return choice, messages, stated
