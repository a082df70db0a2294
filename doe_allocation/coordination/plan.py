"""What a scheme decides: who buys which activation, prices, and what operators told each other."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

import numpy as np

from doe_allocation.coordination.area import Point
from doe_allocation.coordination.messages import Message, rounded
from doe_allocation.coordination.problem import Linearised, Market
from doe_allocation.coordination.voltage_stage import VoltagePoint
from security_check.arrays import FloatArray


class Priority(StrEnum):
    """Whose need is served first where one clearing could serve all."""

    COMMON = "common"
    """All needs at once."""
    DSO = "dso"
    """The DSOs' needs, then all."""
    TSO = "tso"
    """The TSO's need, then all."""


@dataclass(frozen=True, slots=True)
class RangeEnd:
    """An end of the range of power that an operator stated as secure.

    Parameters
    ----------
    area
        Whose.
    reactive, high
        Of reactive power, and whether it is the highest.
    active_kept
        The active power out of the area that goes with it, MW; ``None`` in a range of active power.
    point
        What is activated there, by the linear model; in a range of voltage a :class:`VoltagePoint`.
    reactive_kept
        The reactive power that goes with it, in a range of voltage; else ``None``.
    """

    area: int
    reactive: bool
    high: bool
    active_kept: float | None
    point: Point | VoltagePoint
    reactive_kept: float | None = None


@dataclass(frozen=True)
class Plan:
    """The decision of a scheme at one operating point; o offers, m areas, b portfolios.

    Parameters
    ----------
    bought
        Shape (o,) by buyer: what is activated for it, MW.
    messages
        Between operators, in order.
    prices
        Shape (2 m,), what a MW, then a Mvar, out of each area is worth to the TSO; not a number
        where the TSO clears nothing.
    portfolios
        Shape (b,), what parties get, MW.
    iterations
        Exchanges until the operators agreed.
    ends
        Of ranges that are stated as secure.
    steps
        What earlier steps of the scheme activate, by their names, shapes (o,), MW.
    targets
        Shape (2 m,), active, then reactive power that each DSO keeps at its interface, MW and
        Mvar; ``None`` where none is agreed.
    source_change_pu
        By how much the TSO moves the voltage at the top.
    voltages
        Shape (m,), that it picks at interfaces, per unit; ``None`` where it picks none.
    """

    bought: dict[str, FloatArray]
    messages: tuple[Message, ...]
    prices: FloatArray
    portfolios: FloatArray
    iterations: int = 1
    ends: tuple[RangeEnd, ...] = ()
    targets: FloatArray | None = None
    steps: Mapping[str, FloatArray] = field(default_factory=dict)
    source_change_pu: float = 0.0
    voltages: FloatArray | None = None

    @property
    def activated(self) -> FloatArray:
        """What is activated of each offer, shape (o,), MW."""
        return np.asarray(np.sum(list(self.bought.values()), axis=0))


def unpriced(market: Market) -> FloatArray:
    """Return prices of interfaces where the TSO clears nothing, shape (2 m,)."""
    return np.full(2 * len(market.areas), np.nan)


def nothing(market: Market) -> dict[str, FloatArray]:
    """Return no activation for any operator."""
    return {name: np.zeros(len(market.offers)) for name in market.operators()}


def no_portfolios(market: Market) -> FloatArray:
    """Return nothing for any party."""
    return np.zeros(len(market.portfolios))


def activation_orders(problem: Linearised, power: FloatArray) -> list[Message]:
    """Return the TSO's messages to DSOs: what it activates of each one's offers."""
    market = problem.market
    found = []
    for name, mine in zip(market.areas, problem.inside, strict=True):
        orders = {
            market.offers[k].name: rounded(power[k])
            for k in np.flatnonzero(mine & (power > 0.0)).tolist()
        }
        if orders:
            found.append(Message(market.tso, name, "activation", {"activated_mw": orders}))
    return found


def schedule(problem: Linearised, area: int, change: float) -> Message:
    """Return a DSO's message to the TSO: the power out of its area, MW."""
    market = problem.market
    power = problem.active[area] - problem.own_out[area] + change
    content = {"active_mw": rounded(power)}
    return Message(market.areas[area], market.tso, "schedule", content)


def curve_message(problem: Linearised, area: int, points: list[Point], subject: str) -> Message:
    """Return a DSO's message to the TSO: points of its cost curve."""
    market = problem.market
    content = {
        "active_mw": [rounded(each.active) for each in points],
        "reactive_mvar": [rounded(each.reactive) for each in points],
        "cost_eur_per_h": [rounded(each.cost) for each in points],
    }
    return Message(market.areas[area], market.tso, subject, content)


def network_messages(problem: Linearised) -> list[Message]:
    """Return what DSOs tell in a common clearing: every limit, and how each offer moves it."""
    market, rows, found = problem.market, problem.rows, []
    for area, name in enumerate(market.areas):
        own = np.flatnonzero(rows.area == area).tolist()
        content = {
            "element": [rows.names[k] for k in own],
            "value": [rounded(rows.value[k]) for k in own],
            "low": [_or_none(rows.low[k]) for k in own],
            "high": [_or_none(rows.high[k]) for k in own],
            "by_offer": [[rounded(each) for each in rows.A[k]] for k in own],
        }
        found.append(Message(name, market.tso, "network limits", content))
        out = {
            "active": [rounded(each) for each in problem.by_active[area]],
            "reactive": [rounded(each) for each in problem.by_reactive[area]],
        }
        found.append(Message(name, market.tso, "interface by offer", out))
    return found


def _or_none(value: float) -> float | None:
    return rounded(value) if np.isfinite(value) else None
