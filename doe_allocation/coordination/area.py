"""A DSO's side: the best answer to prices, the cost curve at its interface, boundaries of offers.

It uses its own offers and its own limits only.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from doe_allocation.coordination.problem import OWN, TOTAL, Linearised
from doe_allocation.coordination.program import NotClearedError, Rows, cheapest
from security_check.arrays import FloatArray

_SEARCH_PRICE = 1.0  # EUR/MWh with which the ends of a range are found; limits are far dearer
_KEPT_MW = 1e-9  # room for a power that was found before
_BELOW = 1e-7  # EUR/h: a point so little below a chord of the cost curve is on it
_POINTS = 60  # of a cost curve; more are not looked for


@dataclass(frozen=True, slots=True)
class Point:
    """What an area can do at its interface.

    Parameters
    ----------
    active, reactive
        Change of the power out of the area from that with nothing activated, MW and Mvar.
    cost
        EUR/h.
    activated
        Shape (o,), MW; 0 for offers outside the area.
    limit_worth
        Shape (r,), by how much the cost falls with a unit more of a limit; 0 where limits hold at
        any cost.
    """

    active: float
    reactive: float
    cost: float
    activated: FloatArray
    limit_worth: FloatArray


@dataclass(frozen=True, slots=True)
class Terms:
    """What an area's answer must keep.

    Parameters
    ----------
    floor, ceiling
        Shape (o,), bounds of what is activated, MW.
    active, reactive
        Change of the power out of the area; ``None`` where it is free.
    near
        Change of the active power that is kept as nearly as offers can; ``None`` for none.
    prices
        What a MW and a Mvar out of the area are worth, EUR/MWh and EUR/Mvarh.
    limits
        Shape (r,), (r,): lowest and highest values in place of those of the problem.
    costs
        Whether offers cost something; not where the ends of a range are sought.
    rigid
        Whether limits hold at any cost; else they give way at the price of an excess.
    """

    floor: FloatArray
    ceiling: FloatArray
    active: tuple[float, float] | None = None
    reactive: tuple[float, float] | None = None
    near: float | None = None
    prices: tuple[float, float] = (0.0, 0.0)
    limits: tuple[FloatArray, FloatArray] | None = None
    costs: bool = True
    rigid: bool = False


def all_offers(problem: Linearised) -> Terms:
    """Return terms in which every offer may be activated, as far as this round reaches."""
    return Terms(*problem.bounds(TOTAL))


def respond(problem: Linearised, area: int, terms: Terms) -> Point:
    """Return the cheapest activation of an area's offers that keeps its limits and the terms."""
    mine, rows = problem.market.area == area, problem.rows
    own = rows.area == area
    active, reactive = problem.by_active[area, mine], problem.by_reactive[area, mine]
    price = problem.market.prices[mine] if terms.costs else np.zeros(int(mine.sum()))
    worth = terms.prices[0] * active + terms.prices[1] * reactive
    low, high = terms.limits or (rows.low, rows.high)
    base = problem.without(mine)[own]
    limits = Rows(rows.A[own][:, mine], low[own] - base, high[own] - base)
    if terms.near is not None:
        exchange = np.array([terms.near])
        limits = limits.and_also(Rows(active[None, :], exchange, exchange))
    kept = [
        (row, bounds)
        for row, bounds in ((active, terms.active), (reactive, terms.reactive))
        if bounds is not None
    ]
    exact = Rows.none(len(price))
    if kept:
        edges = np.array([bounds for _, bounds in kept])
        exact = Rows(np.array([row for row, _ in kept]), edges[:, 0], edges[:, 1])
    if terms.rigid:
        limits, exact = Rows.none(len(price)), limits.and_also(exact)
    try:
        best = cheapest(price - worth, terms.floor[mine], terms.ceiling[mine], limits, exact)
    except NotClearedError as error:
        raise NotClearedError(f"{_asked(problem, area, terms)}: {error}") from None
    activated = np.zeros(len(mine))
    activated[mine] = best.values
    found = np.zeros(len(own))
    if not terms.rigid:
        found[own] = best.limit_worth[: int(own.sum())]
    return Point(
        float(active @ best.values),
        float(reactive @ best.values),
        best.cost + float(worth @ best.values),
        activated,
        found,
    )


def _asked(problem: Linearised, area: int, terms: Terms) -> str:
    """Return who was asked for what, as words for an error."""
    kept = ", ".join(
        f"{bounds[0]:.6g} to {bounds[1]:.6g} {unit}"
        for bounds, unit in ((terms.active, "MW"), (terms.reactive, "Mvar"))
        if bounds is not None
    )
    count = int((problem.market.area == area).sum())
    name = problem.market.owner(area)
    return f"{name} cannot change the power out of its area by {kept} with its {count} offers"


def ends(problem: Linearised, area: int, terms: Terms, *, reactive: bool = False) -> list[Point]:
    """Return the cheapest points at the lowest and the highest power out of an area.

    Limits are kept at any cost there: at the end of a range a little more room may cost more than
    the price of an excess.
    """
    found = []
    for sign in (-1.0, 1.0):
        price = sign * _SEARCH_PRICE
        prices = (0.0, price) if reactive else (price, 0.0)
        far = respond(problem, area, replace(terms, prices=prices, costs=False))
        value = far.reactive if reactive else far.active
        reached = _values(problem, area, far.activated)
        rigid = replace(
            terms,
            limits=(
                np.minimum(problem.rows.low, reached) - _KEPT_MW,
                np.maximum(problem.rows.high, reached) + _KEPT_MW,
            ),
            rigid=True,
        )
        if rigid.near is not None:
            rigid = replace(rigid, near=far.active)
        edge = (value - _KEPT_MW, np.inf) if sign > 0.0 else (-np.inf, value + _KEPT_MW)
        try:
            found.append(respond(problem, area, _holding(rigid, edge, reactive=reactive)))
        except NotClearedError:  # by roundings of what was found first
            cost = float(problem.market.prices @ far.activated)
            found.append(replace(far, cost=cost, limit_worth=0.0 * far.limit_worth))
    return found


def cost_curve(
    problem: Linearised, area: int, terms: Terms, *, reactive: bool = False
) -> list[Point]:
    """Return the corners of the least cost of an area over the power out of it, from low to high.

    Between two corners, mixtures of both are cheapest, and keep all limits.  A corner is found by
    the price of a chord: what is cheapest at that price lies farthest below it.
    """

    def place(point: Point) -> float:
        return point.reactive if reactive else point.active

    left, right = ends(problem, area, terms, reactive=reactive)
    curve, open_ = [left], [right]
    while open_:
        first, second = curve[-1], open_[-1]
        width = place(second) - place(first)
        if width <= 2.0 * _KEPT_MW or len(curve) + len(open_) >= _POINTS:
            curve.append(open_.pop())
            continue
        slope = (second.cost - first.cost) / width
        prices = (0.0, slope) if reactive else (slope, 0.0)
        between = respond(problem, area, replace(terms, prices=prices))
        chord = first.cost + slope * (place(between) - place(first))
        inside = place(first) < place(between) < place(second)
        if inside and between.cost < chord - _BELOW:
            open_.append(between)
        else:
            curve.append(open_.pop())
    return curve


def holding_active(terms: Terms, active: float) -> Terms:
    """Return terms with a change of the active power out of the area that is kept."""
    return replace(terms, active=(active - _KEPT_MW, active + _KEPT_MW))


def _holding(terms: Terms, bounds: tuple[float, float], *, reactive: bool) -> Terms:
    if reactive:
        return replace(terms, reactive=bounds)
    return replace(terms, active=bounds)


def mixed(points: list[Point], weights: FloatArray) -> FloatArray:
    """Return the activation of a mixture of points, shape (o,); weights add up to 1."""
    return np.asarray(weights @ np.array([each.activated for each in points]))


def validated_limits(
    problem: Linearised, area: int, activated: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Return the limits up to which a DSO validates others' activations, shapes (r,).

    Branches up to the validated loading; what is beyond a limit already must not get worse.
    """
    rows, value = problem.rows, _values(problem, area, activated)
    high = np.where(rows.current, problem.market.validated_loading * rows.high, rows.high)
    return np.minimum(rows.low, value), np.maximum(high, value)


def _values(problem: Linearised, area: int, activated: FloatArray) -> FloatArray:
    mine = problem.market.area == area
    return np.asarray(problem.without(mine) + problem.rows.A[:, mine] @ activated[mine])


def safe_boundaries(problem: Linearised, area: int, floor: FloatArray) -> FloatArray:
    """Return a boundary for each offer of an area, shape (o,), MW beyond what is activated.

    Whatever is activated within all boundaries, the validated limits hold: each row counts the
    offers that push it towards its limit, and no others.  The sum of boundaries is largest.
    """
    market, rows = problem.market, problem.rows
    mine, own = market.area == area, rows.area == area
    low, high = validated_limits(problem, area, floor)
    value = _values(problem, area, floor)[own]
    A = rows.A[own][:, mine]
    pushing = np.concatenate([np.maximum(A, 0.0), np.maximum(-A, 0.0)])
    room = np.concatenate([high[own] - value, value - low[own]])
    left = (market.sizes - floor)[mine]
    limits = Rows(pushing, np.full(len(room), -np.inf), room)
    best = cheapest(-np.ones(len(left)), 0.0 * left, left, limits, Rows.none(len(left)))
    found = np.zeros(len(mine))
    found[mine] = best.values
    return found


def accepted(
    problem: Linearised,
    area: int,
    floor: FloatArray,
    picked: FloatArray,
    safe: FloatArray,
) -> FloatArray:
    """Return how much a DSO accepts of what the TSO picked in its area, shape (o,), MW.

    As much as the validated limits allow, and of each offer at least its safe boundary.

    Parameters
    ----------
    floor
        Shape (o,), what is activated already.
    picked, safe
        Shape (o,), beyond that: what the TSO picked, and the safe boundaries.
    """
    mine, sign = problem.market.area == area, problem.market.need.direction.sign
    limits = validated_limits(problem, area, floor)
    terms = Terms(
        floor + np.minimum(picked, safe),
        floor + picked,
        prices=(sign * _SEARCH_PRICE, 0.0),
        limits=limits,
        costs=False,
    )
    return np.where(mine, respond(problem, area, terms).activated - floor, 0.0)


def own_need(problem: Linearised, area: int, *, exchange_kept: bool = False) -> Point:
    """Return the cheapest activation that keeps an area's limits, and its exchange if so said."""
    terms = Terms(*problem.bounds(OWN))
    if exchange_kept:
        kept = float(problem.scheduled[area] - problem.active[area] + problem.own_out[area])
        terms = replace(terms, near=kept)
    return respond(problem, area, terms)
