"""Schemes of one clearing: centralised, common, integrated, and peers that trade."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from doe_allocation.coordination.clearing import (
    Cleared,
    Scope,
    clear,
    interface_prices,
    shares,
)
from doe_allocation.coordination.plan import (
    Plan,
    Priority,
    activation_orders,
    network_messages,
    no_portfolios,
    nothing,
    unpriced,
)
from doe_allocation.coordination.problem import TOTAL, TSO, WATTS, Linearised
from security_check.arrays import FloatArray

_FIRST = "first needs"  # the step of those who have priority


def everything(problem: Linearised) -> Scope:
    """Return the scope of all offers, limits and the TSO's need."""
    return Scope(np.ones(len(problem.rows.area), dtype=bool), *problem.bounds(TOTAL))


def centralised(problem: Linearised, _: Priority) -> Plan:
    """Clear all offers for the TSO, which does not see the networks below."""
    market, seen = problem.market, problem.blind()
    cleared = clear(seen, everything(seen))
    bought = nothing(market) | {market.tso: cleared.activated}
    messages = activation_orders(problem, cleared.activated)
    prices = interface_prices(seen, cleared)
    return Plan(bought, tuple(messages), prices, no_portfolios(market))


def common(problem: Linearised, priority: Priority) -> Plan:
    """Clear all needs at once in all networks; or one after the other."""
    return _in_order(problem, priority, everything(problem))


def integrated(problem: Linearised, priority: Priority) -> Plan:
    """Clear for DSOs, TSO and balance responsible parties in one market of the most welfare."""
    most = np.array([each.power_w / WATTS for each in problem.market.portfolios])
    return _in_order(problem, priority, replace(everything(problem), portfolios=most))


def _in_order(problem: Linearised, priority: Priority, scope: Scope) -> Plan:
    market, first, prices = problem.market, nothing(problem.market), None
    lower, upper = problem.bounds(_FIRST)
    alone = replace(scope, floor=lower, ceiling=upper, portfolios=None)
    if priority is Priority.DSO:
        rows = problem.rows.area != TSO
        cleared = clear(problem, replace(alone, rows=rows, system=False))
        first = _for_each(problem, cleared)
    elif priority is Priority.TSO:
        rows = problem.rows.area == TSO
        cleared = clear(problem, replace(alone, rows=rows))
        first[market.tso] = cleared.activated
        prices = interface_prices(problem, cleared)  # those at which the TSO bought
    before = np.sum(list(first.values()), axis=0)
    lower, upper = problem.bounds(TOTAL, before)
    cleared = clear(problem, replace(scope, floor=lower, ceiling=upper))
    parts = shares(problem, cleared)
    bought = {name: parts[name] * (cleared.activated - before) for name in parts}
    for name, power in first.items():
        bought[name] = bought[name] + power
    messages = network_messages(problem) + activation_orders(problem, cleared.activated)
    prices = interface_prices(problem, cleared) if prices is None else prices
    return Plan(bought, tuple(messages), prices, cleared.bought, steps={_FIRST: before})


def _for_each(problem: Linearised, cleared: Cleared) -> dict[str, FloatArray]:
    """Return the activation of a clearing by the operators whom it is for."""
    parts = shares(problem, cleared)
    names = problem.market.operators()
    return {name: parts[name] * cleared.activated for name in names}


def distributed(problem: Linearised, _: Priority) -> Plan:
    """Let parties buy from resources as they arrive, within all limits; no operator buys.

    A limit that is exceeded already must not get worse.
    """
    market, rows = problem.market, problem.rows
    limits = replace(
        rows,
        low=np.minimum(rows.low, problem.constant),
        high=np.maximum(rows.high, problem.constant),
    )
    kept = replace(problem, rows=limits)
    scope = replace(everything(kept), system=False)
    bought, got = nothing(market), no_portfolios(market)
    before, steps = 0.0 * market.sizes, {}
    for k, party in enumerate(market.portfolios):
        most = no_portfolios(market)
        most[k] = party.power_w / WATTS
        lower, upper = problem.bounds(party.name, before)
        scope = replace(scope, floor=lower, ceiling=upper, portfolios=most)
        cleared = clear(kept, replace(scope, bought=float(got.sum())))
        bought[party.name] = cleared.activated - before
        got[k] = cleared.bought[k]
        before = steps[party.name] = cleared.activated
    messages = network_messages(problem)
    return Plan(bought, tuple(messages), unpriced(market), got, steps=steps)
