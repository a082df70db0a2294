"""What offers cannot do: limits that cannot be relieved, need unserved, and what is missing where.

Two linear programmes around the operating point that a scheme led to, over all offers, limits and
the TSO's need together.  The first exceeds limits as little as offers allow, then leaves as little
need unserved; prices do not count.  What it leaves, no scheme can do better.  In the second every
customer may change its power, too, at its power factor; the least that keeps all limits and serves
the need is what is missing.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

import numpy as np

from doe_allocation.coordination.problem import TSO, WATTS, Linearised
from doe_allocation.coordination.program import NotClearedError, Rows, cheapest
from doe_allocation.procurement.choices import FlexDirection
from security_check.arrays import FloatArray, IndexArray

BEYOND = 100.0
"""Times what all customers have: more power than this is no answer to what is missing."""
_HELD = 1e-5  # parts of a scale: an excess below this is rounding
SERVED_MW = 1e-4
"""A need that lacks less, losses of the last round, is served."""
_NOTHING = 1e-7  # parts of the largest power: less is the solver's rounding
_NAMED = 5  # limits that the sentence names
_ROUNDS = 20  # times that rows which were left out are added


@dataclass(frozen=True)
class Customers:
    """Powers of all customers, as if each were an offer; c customers, r rows, m areas.

    Parameters
    ----------
    places
        Operator and connection point of each.
    area
        Shape (c,), the area of each, or :data:`TSO`.
    A
        Shape (r, c), derivatives of the rows by a MW more of injection at its power factor.
    by_active
        Shape (m, c), change of the active power out of each area.
    power
        Sum of what they exchange at the operating point, MW.
    scale, units
        Scale of each row, in its unit, and the unit.
    """

    places: Sequence[tuple[str, str]]
    area: IndexArray
    A: FloatArray
    by_active: FloatArray
    power: float
    scale: FloatArray
    units: Sequence[str]


@dataclass(frozen=True, slots=True)
class Unrelievable:
    """A limit that no use of the offers keeps: the best value, the limit, and their unit."""

    operator: str
    element: str
    value: float
    limit: float
    unit: str

    def __str__(self) -> str:
        """Return the element with its numbers."""
        over = abs(self.value - self.limit)
        return (
            f"{self.element} cannot be relieved: with the best use of all offers it is at "
            f"{self.value:.6g} of {self.limit:.6g} {self.unit}, {over:.4g} {self.unit} beyond"
        )


@dataclass(frozen=True, slots=True)
class MissingPower:
    """Power beyond the offers, MW, > 0, at a customer."""

    operator: str
    connection_point: str
    direction: FlexDirection
    power_mw: float

    def __str__(self) -> str:
        """Return the power, direction and place."""
        return (
            f"{self.power_mw:,.4g} MW more {self.direction.value} "
            f"at {self.connection_point} of {self.operator}"
        )


@dataclass(frozen=True, slots=True)
class Shortfall:
    """Why limits stay exceeded or need unserved.

    Parameters
    ----------
    tso
        Whose need it is.
    exceeded
        Limits that no use of the offers keeps, the worst first.
    unserved_mw
        What the TSO's need lacks at least.
    missing
        The least power beyond the offers; empty where nothing is missing, or nothing is enough.
    """

    tso: str
    exceeded: tuple[Unrelievable, ...]
    unserved_mw: float
    missing: tuple[MissingPower, ...]

    @property
    def enough(self) -> bool:
        """Whether the offers could do everything, in one clearing of all needs at any price."""
        return not self.exceeded and self.unserved_mw <= SERVED_MW

    def __str__(self) -> str:
        """Return the sentence."""
        if self.enough:
            return (
                "the offers are enough for all limits and the need, in one clearing of all of "
                "them at any price: what is left is left by the scheme, or by the price cap"
            )
        parts = list(map(str, self.exceeded[:_NAMED]))
        if len(self.exceeded) > _NAMED:
            parts.append(f"{len(self.exceeded) - _NAMED} more limits stay exceeded")
        if self.unserved_mw > SERVED_MW:
            parts.append(f"{self.unserved_mw:.4g} MW of the need of {self.tso} have no offer")
        lacking = ", ".join(map(str, self.missing)) or (
            f"no power of customers, up to {BEYOND:g} times all they have, is enough"
        )
        return f"{'; '.join(parts)}; flexibility missing: {lacking}"


def shortfall(problem: Linearised, customers: Customers) -> Shortfall:
    """Return what offers cannot do around an operating point; see the module.

    Parameters
    ----------
    problem
        With the rows of all limits, not only of those that offers reach.
    """
    market, rows = problem.market, problem.rows
    o, count = len(market.offers), len(rows.area)
    sign, wanted = market.need.direction.sign, market.need.power_w / WATTS
    least = wanted - sign * problem.delivered_before
    whole = Rows(rows.A, rows.low - problem.constant, rows.high - problem.constant)
    delivered = sign * problem.delivered
    served = Rows(np.append(delivered, 1.0)[None, :], np.array([least]), np.array([np.inf]))
    limits = Rows(np.hstack([whole.A, np.zeros((count, 1))]), whole.low, whole.high)
    best = cheapest(
        np.append(np.zeros(o), 1.0),
        np.zeros(o + 1),
        np.append(market.sizes, np.inf),
        limits,
        served,
    )
    value = rows.A @ best.values[:o]
    above, below = value - whole.high, whole.low - value
    over = np.maximum(above, below)
    worst = [k for k in np.argsort(-over).tolist() if over[k] > _HELD]
    exceeded = tuple(
        _unrelievable(problem, customers, k, float(over[k]), is_high=bool(above[k] > below[k]))
        for k in worst
    )
    unserved = float(best.values[o])
    found = Shortfall(market.tso, exceeded, max(unserved, 0.0), ())
    if found.enough:
        return found
    own = np.where(customers.area == TSO, 1.0, 0.0)
    by_customer = sign * (own + customers.by_active.sum(axis=0))
    row = np.concatenate([delivered, by_customer, -by_customer])
    need = Rows(row[None, :], np.array([least]), np.array([np.inf]))
    wide = Rows(np.hstack([whole.A, customers.A, -customers.A]), whole.low, whole.high)
    power = np.zeros(2 * len(own))
    with suppress(NotClearedError):
        power = _least_power(problem, customers, wide, need)
    return Shortfall(market.tso, exceeded, found.unserved_mw, tuple(_missing(customers, power)))


def _unrelievable(
    problem: Linearised, customers: Customers, k: int, over: float, *, is_high: bool
) -> Unrelievable:
    rows = problem.rows
    limit, sign = (rows.high[k], 1.0) if is_high else (rows.low[k], -1.0)
    size = float(customers.scale[k])
    return Unrelievable(
        problem.market.owner(int(rows.area[k])),
        rows.names[k],
        float(limit + sign * over) * size,
        float(limit) * size,
        customers.units[k],
    )


def _least_power(problem: Linearised, customers: Customers, limits: Rows, need: Rows) -> FloatArray:
    """Return the least power of customers beyond offers, upward and then downward, (2 c,), MW.

    Rows are added when a programme exceeds them; most are far from their limits.
    """
    o, c = len(problem.market.offers), len(customers.places)
    sizes = problem.market.sizes
    most = BEYOND * (customers.power + float(sizes.sum()) + float(np.abs(need.low).max()))
    cost = np.concatenate([np.zeros(o), np.ones(2 * c)])
    upper = np.concatenate([sizes, np.full(2 * c, most)])
    chosen = np.zeros(len(limits.low), dtype=bool)
    values = np.zeros(o)
    for _ in range(_ROUNDS):
        value = limits.A[:, : len(values)] @ values
        over = np.maximum(value - limits.high, limits.low - value)
        added = (over > 0.1 * _HELD) & ~chosen
        if not added.any() and len(values) > o:
            break
        chosen |= added
        kept = Rows(limits.A[chosen], limits.low[chosen], limits.high[chosen]).and_also(need)
        none = Rows.none(len(cost))
        values = cheapest(cost, np.zeros(len(cost)), upper, none, kept).values
    return values[o:]


def _missing(customers: Customers, power: FloatArray) -> list[MissingPower]:
    count, found = len(customers.places), []
    least = _NOTHING * max(float(power.max(initial=0.0)), 1.0)
    for k in np.flatnonzero(power > least).tolist():
        operator, point = customers.places[k % count]
        way = FlexDirection.UPWARD if k < count else FlexDirection.DOWNWARD
        found.append(MissingPower(operator, point, way, float(power[k])))
    return sorted(found, key=lambda each: -each.power_mw)
