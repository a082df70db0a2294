"""The common clearing without a common network: prices go down, points of cost curves come up.

The TSO mixes the points that DSOs have stated so far; the prices of that mixture ask each DSO for
the point that is best at them.  It ends where no answer lowers the cost: then the mixture is the
optimum of the common clearing (Dantzig and Wolfe's decomposition), because a DSO's networks and
the TSO's meet in the interface power only.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from doe_allocation.coordination.area import Point, all_offers, respond
from doe_allocation.coordination.interface_market import Choice, choose
from doe_allocation.coordination.messages import Message, rounded
from doe_allocation.coordination.plan import (
    Plan,
    Priority,
    activation_orders,
    curve_message,
    no_portfolios,
)
from doe_allocation.coordination.problem import TSO, Linearised
from security_check.arrays import FloatArray

_AGREED = 1e-7  # part of the cost by which answers may still lower it
_ROUNDS = 200


def common_decentralised(problem: Linearised, _: Priority) -> Plan:
    """DSOs and the TSO exchange prices and points until no point lowers the cost."""
    market, terms = problem.market, all_offers(problem)
    areas = range(len(market.areas))
    points = [[respond(problem, area, terms)] for area in areas]
    messages = [curve_message(problem, k, each, "point") for k, each in enumerate(points)]
    iterations = 0
    while iterations < _ROUNDS:
        iterations += 1
        choice = choose(problem, points)
        gain = 0.0
        for area in areas:
            prices = (choice.prices[area], choice.prices[len(areas) + area])
            messages.append(_prices(problem, area, prices))
            answer = respond(problem, area, replace(terms, prices=prices))
            value = answer.cost - prices[0] * answer.active - prices[1] * answer.reactive
            gain += max(choice.level[area] - value, 0.0)
            points[area].append(answer)
            messages.append(curve_message(problem, area, [answer], "point"))
        if gain <= _AGREED * max(abs(choice.cost), 1.0):
            break
    points = [each[:-1] for each in points]
    total = choice.activations(points)
    parts = _shares(problem, choice, points)
    messages += activation_orders(problem, total)
    bought = {name: part * total for name, part in parts.items()}
    return Plan(
        bought, tuple(messages), choice.prices, no_portfolios(market), iterations=iterations
    )


def _prices(problem: Linearised, area: int, prices: tuple[float, float]) -> Message:
    content = {
        "price_eur_per_mwh": rounded(prices[0]),
        "price_eur_per_mvarh": rounded(prices[1]),
    }
    return Message(problem.market.tso, problem.market.areas[area], "prices", content)


def _shares(
    problem: Linearised, choice: Choice, points: list[list[Point]]
) -> dict[str, FloatArray]:
    """Return the part of each activation for the TSO and for its DSO, in proportion to worths.

    What it is worth to the TSO are the prices at the interface, to the DSO those of its limits.
    """
    market, rows = problem.market, problem.rows
    parts = {name: np.zeros(len(market.offers)) for name in market.operators()}
    parts[market.tso] = np.where(market.area == TSO, 1.0, 0.0)
    for area, name in enumerate(market.areas):
        prices = (choice.prices[area], choice.prices[len(market.areas) + area])
        answer = respond(problem, area, replace(all_offers(problem), prices=prices))
        own = rows.area == area
        for_dso = np.maximum(-answer.limit_worth[own] @ rows.A[own], 0.0)
        for_tso = np.maximum(
            prices[0] * problem.by_active[area] + prices[1] * problem.by_reactive[area], 0.0
        )
        total, mine = for_dso + for_tso, problem.inside[area]
        part = np.where(total > 0.0, for_tso / np.where(total > 0.0, total, 1.0), 1.0)
        parts[market.tso] = np.where(mine, part, parts[market.tso])
        parts[name] = np.where(mine, 1.0 - part, 0.0)
    return parts
