"""The third stage of two-stage: the TSO picks the voltage at interfaces, the powers agreed stay.

A DSO states the range of the voltage at its interface in which it keeps the agreed P and Q within
its limits, with the cost of its redispatch.  The TSO moves the voltage at the top, which moves the
voltages at all interfaces, to where all costs together are least within its limits and the bands
that it promised.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from doe_allocation.coordination.problem import TOTAL, TSO, WATTS, Linearised, SourceVoltage
from doe_allocation.coordination.program import Rows, cheapest
from security_check.arrays import FloatArray

_SEARCH_PRICE = 1.0  # EUR for 0.1 p.u. with which the ends of a range are found
_UNIT_PU = 0.1  # of a voltage in programmes: the scale of voltages in rows
_ROOM_MW = 1e-6  # for the powers that were agreed
_BETWEEN = 4  # points of a curve between the present voltage and each end


@dataclass(frozen=True, slots=True)
class VoltagePoint:
    """What an area can do at a voltage: the change of it, p.u., the cost, and what is activated."""

    change_pu: float
    cost: float
    activated: FloatArray


@dataclass(frozen=True, slots=True)
class VoltageChoice:
    """What is picked: the change at the top, p.u., and what is activated then, shape (o,), MW."""

    source_change_pu: float
    activated: FloatArray


def voltage_ends(
    problem: Linearised, source: SourceVoltage, area: int, agreed: tuple[float, float]
) -> list[VoltagePoint]:
    """Return what an area does at the lowest and at the highest voltage at its interface.

    Parameters
    ----------
    agreed
        Change of active and reactive power out of the area that its offers keep, MW and Mvar.
    """
    low, high = sorted(source.by_voltage[area] * np.array([source.low, source.high]))
    found = []
    for sign in (1.0, -1.0):
        far = _redispatch(problem, source, area, agreed, (float(low), float(high)), sign)
        at = (far.change_pu, far.change_pu)
        found.append(_redispatch(problem, source, area, agreed, at))
    return found


def voltage_curve(
    problem: Linearised, source: SourceVoltage, area: int, agreed: tuple[float, float]
) -> list[VoltagePoint]:
    """Return the least cost of an area over the voltage at its interface, from low to high.

    Between two points, mixtures of both keep all limits, and cost the same mixture at most.
    """
    ends = voltage_ends(problem, source, area, agreed)
    low, high = ends[0].change_pu, ends[1].change_pu
    now = min(max(0.0, low), high)
    below = np.linspace(low, now, _BETWEEN + 2)[1:]
    above = np.linspace(now, high, _BETWEEN + 2)[1:-1]
    inner = [
        _redispatch(problem, source, area, agreed, (at, at))
        for at in (*below.tolist(), *above.tolist())
    ]
    return [ends[0], *inner, ends[1]]


def _redispatch(
    problem: Linearised,
    source: SourceVoltage,
    area: int,
    agreed: tuple[float, float],
    voltage: tuple[float, float],
    search: float = 0.0,
) -> VoltagePoint:
    """Return the cheapest redispatch within a range of voltage; or, searching, the lowest one.

    With a search of 1 costs do not count and the voltage is lowest, with -1 it is highest.
    """
    mine, own = problem.market.area == area, problem.rows.area == area
    per_unit = _UNIT_PU / source.by_voltage[area]
    price = problem.market.prices[mine] if not search else np.zeros(int(mine.sum()))
    base = problem.without(mine)[own]
    A = np.column_stack([problem.rows.A[own][:, mine], source.by_rows[own] * per_unit])
    limits = Rows(A, problem.rows.low[own] - base, problem.rows.high[own] - base)
    out = (problem.by_active[area, mine], problem.by_reactive[area, mine])
    by_source = (source.by_active[area], source.by_reactive[area])
    kept = np.array(
        [np.append(row, each * per_unit) for row, each in zip(out, by_source, strict=True)]
    )
    powers = np.array(agreed)
    exact = Rows(kept, powers - _ROOM_MW, powers + _ROOM_MW)
    lower, upper = problem.bounds(TOTAL)
    best = cheapest(
        np.append(price, search * _SEARCH_PRICE),
        np.append(lower[mine], voltage[0] / _UNIT_PU),
        np.append(upper[mine], voltage[1] / _UNIT_PU),
        limits,
        exact,
    )
    activated = np.zeros(len(mine))
    activated[mine] = best.values[:-1]
    return VoltagePoint(float(best.values[-1]) * _UNIT_PU, best.cost, activated)


def choose_voltage(
    problem: Linearised,
    source: SourceVoltage,
    agreed: Sequence[tuple[float, float]],
    curves: Sequence[Sequence[VoltagePoint]],
) -> VoltageChoice:
    """Return the voltage of least cost of all, with the TSO's own offers.

    Raises
    ------
    NotClearedError
        When no voltage is in the ranges of all areas.
    """
    market, rows = problem.market, problem.rows
    mine, own, count = market.area == TSO, rows.area == TSO, len(market.areas)
    sign, o = market.need.direction.sign, int(mine.sum())
    area = np.repeat(np.arange(count), [len(each) for each in curves])
    every = [point for each in curves for point in each]
    width = o + 2 + len(every)
    powers = np.array(agreed).T.ravel()
    moved = source.by_rows - problem.by_interface @ np.concatenate(
        [source.by_active, source.by_reactive]
    )
    A = np.zeros((int(own.sum()), width))
    A[:, :o], A[:, o + 1] = rows.A[own][:, mine], moved[own] * _UNIT_PU
    base = problem.without(mine)[own] + problem.by_interface[own] @ (powers - problem.own_out)
    limits = Rows(A, rows.low[own] - base, rows.high[own] - base)
    exact = np.zeros((1 + 2 * count, width))
    exact[0, :o], exact[0, o] = sign * market.change.real[mine], 1.0
    inside = area == np.arange(count)[:, None]
    exact[1 : 1 + count, o + 2 :] = inside
    voltage = np.array([point.change_pu for point in every]) / _UNIT_PU
    exact[1 + count :, o + 2 :] = inside * voltage
    exact[1 + count :, o + 1] = -source.by_voltage
    out = problem.active - problem.scheduled + powers[:count] - problem.own_out[:count]
    least = market.need.power_w / WATTS - sign * float(out.sum())
    bound = np.concatenate([[least], np.ones(count), np.zeros(count)])
    most = np.concatenate([[np.inf], bound[1:]])
    lower, upper = problem.bounds(TOTAL)
    best = cheapest(
        np.concatenate(
            [market.prices[mine], [market.need.price_cap, 0.0], [each.cost for each in every]]
        ),
        np.concatenate([lower[mine], [0.0, source.low / _UNIT_PU], np.zeros(len(every))]),
        np.concatenate([upper[mine], [np.inf, source.high / _UNIT_PU], np.ones(len(every))]),
        limits,
        Rows(exact, bound, most),
    )
    weights = best.values[o + 2 :]
    activated = weights @ np.array([each.activated for each in every])
    activated[mine] = best.values[:o]
    return VoltageChoice(float(best.values[o + 1]) * _UNIT_PU, activated)
