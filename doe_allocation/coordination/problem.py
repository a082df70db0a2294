"""What is coordinated: offers, needs, and each operator's limits around an operating point.

Active power is in MW and reactive power in Mvar, injections are positive; prices are in EUR/MWh,
so a cost is in EUR for an hour of activation.  Rows are in parts of their scales: a current in
parts of its rating, a voltage in parts of 0.1 per unit.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np

from doe_allocation.procurement.choices import FlexDirection
from security_check.arrays import BoolArray, ComplexArray, FloatArray, IndexArray

TSO = -1
"""The area of what belongs to the operator at the top; the areas below count from 0."""
WATTS = 1e6
"""Watts of a MW."""
OWN, TOTAL = "own needs", "total"
"""Steps of a scheme: what DSOs activate for their own needs; what is activated in the end."""
_RANK = 1e-9  # singular values below this part of the largest are rounding


@dataclass(frozen=True, slots=True)
class Offer:
    """Flexibility of one resource, which may be activated in any part.

    Parameters
    ----------
    name, provider
        Its name, and who is paid for it.
    operator, connection_point
        Where it is.
    direction
        Which way the injected power changes.
    power_w
        The most that can be activated: W, or var if ``reactive``.
    price
        EUR/MWh, or EUR/Mvarh if ``reactive``.
    reactive
        Whether it changes reactive power alone.
    """

    name: str
    provider: str
    operator: str
    connection_point: str
    direction: FlexDirection
    power_w: int
    price: float
    reactive: bool = False


@dataclass(frozen=True, slots=True)
class SystemNeed:
    """The TSO's need: at least so much more power, upward or downward, at its connection points.

    Parameters
    ----------
    direction, power_w
        Which way, and how much; 0 is no need, but what DSOs activate must still be balanced.
    price_cap
        EUR/MWh: what the TSO pays at most; what costs more stays unserved.
    """

    direction: FlexDirection
    power_w: int
    price_cap: float


@dataclass(frozen=True, slots=True)
class Portfolio:
    """The need of a balance responsible party, in the direction of the TSO's.

    Parameters
    ----------
    name
        The party.
    power_w, value
        What it buys at most, and what a MWh is worth to it, EUR.
    """

    name: str
    power_w: int
    value: float


@dataclass(frozen=True)
class Market:
    """Offers and needs; o offers, m areas, b portfolios.

    Parameters
    ----------
    tso, areas
        The operator at the top; the operators below it, each with all that are below it.
    offers, area
        The offers, and shape (o,): the area of each, or :data:`TSO`.
    change
        Shape (o,), change of active power (real) and reactive power (imaginary) by one unit
        activated.
    need, portfolios
        Of the TSO, and of the balance responsible parties.
    validated_loading
        Loading of a branch up to which a DSO validates what others activate, where it lowers
        boundaries of single offers.
    """

    tso: str
    areas: tuple[str, ...]
    offers: tuple[Offer, ...]
    area: IndexArray
    change: ComplexArray
    need: SystemNeed
    portfolios: tuple[Portfolio, ...]
    validated_loading: float

    @cached_property
    def sizes(self) -> FloatArray:
        """The most of each offer, shape (o,), MW."""
        return np.array([offer.power_w / WATTS for offer in self.offers])

    @cached_property
    def prices(self) -> FloatArray:
        """The price of each offer, shape (o,), EUR/MWh."""
        return np.array([offer.price for offer in self.offers])

    def owner(self, area: int) -> str:
        """Return the operator of an area."""
        return self.tso if area == TSO else self.areas[area]

    def operators(self) -> tuple[str, ...]:
        """Return all operators, the TSO first."""
        return (self.tso, *self.areas)


@dataclass(frozen=True, slots=True)
class LimitRows:
    """Limited quantities, linear in what is activated; r rows.

    Parameters
    ----------
    names, area
        What is limited, and shape (r,): whose limit it is.
    A
        Shape (r, o), derivatives by what is activated.
    value
        Shape (r,), at the operating point.
    low, high
        Shape (r,), infinite where there is no limit.
    current
        Shape (r,), whether it is a current.
    """

    names: tuple[str, ...]
    area: IndexArray
    A: FloatArray
    value: FloatArray
    low: FloatArray
    high: FloatArray
    current: BoolArray


@dataclass(frozen=True, slots=True)
class SourceVoltage:
    """What a change of the voltage at the top does, where the TSO may choose it; r rows, m areas.

    Parameters
    ----------
    by_rows
        Shape (r,), change of the rows for a per unit more, with all activations as they are.
    by_active, by_reactive, by_voltage
        Shape (m,), of active and reactive power out of areas, MW and Mvar, and of the voltage at
        their interfaces.
    voltage
        Shape (m,), at the interfaces now, per unit.
    low, high
        Between which changes the TSO may choose.
    """

    by_rows: FloatArray
    by_active: FloatArray
    by_reactive: FloatArray
    by_voltage: FloatArray
    voltage: FloatArray
    low: float
    high: float


@dataclass(frozen=True)
class Linearised:
    """The market and all networks around one operating point.

    Parameters
    ----------
    market
        Offers and needs.
    at
        Shape (o,), what is activated at the operating point, MW.
    rows
        All operators' limits.
    by_active, by_reactive
        Shape (m, o), change of the power out of each area by what is activated.
    active, reactive
        Shape (m,), power out of each area at the operating point.
    scheduled
        Shape (m,), active power out of each area with nothing activated.
    last, reach
        What each step of the scheme activated in the last round, shapes (o,), MW; and how far from
        it the same step may go now, in parts of the offers.
    source
        The voltage at the top; ``None`` where it is given.
    """

    market: Market
    at: FloatArray
    rows: LimitRows
    by_active: FloatArray
    by_reactive: FloatArray
    active: FloatArray
    reactive: FloatArray
    scheduled: FloatArray
    last: Mapping[str, FloatArray] = field(default_factory=dict)
    reach: float = 1.0
    source: SourceVoltage | None = None

    def bounds(self, step: str, floor: FloatArray | None = None) -> tuple[FloatArray, FloatArray]:
        """Return between which powers a step may activate, shapes (o,): the floor at least.

        Where losses or magnitudes curve, the best activation may lie between the corners of a
        linear model; rounds meet there only if their reach shrinks.
        """
        sizes = self.market.sizes
        least = 0.0 * sizes if floor is None else floor
        middle = self.last.get(step)
        if middle is None or self.reach >= 1.0:
            return least, sizes
        lower = np.clip(middle - self.reach * sizes, least, sizes)
        return lower, np.clip(middle + self.reach * sizes, lower, sizes)

    @cached_property
    def constant(self) -> FloatArray:
        """The rows with nothing activated, by the linear model, shape (r,)."""
        return self.rows.value - self.rows.A @ self.at

    def without(self, offers: BoolArray) -> FloatArray:
        """Return the rows without these offers, all others as at the operating point, (r,)."""
        return np.asarray(self.rows.value - self.rows.A[:, offers] @ self.at[offers])

    @cached_property
    def inside(self) -> BoolArray:
        """Which offers are in each area, shape (m, o)."""
        return np.asarray(self.market.area == np.arange(len(self.market.areas))[:, None])

    @cached_property
    def own_out(self) -> FloatArray:
        """What each area's own offers bring out of it at the operating point, shape (2 m,)."""
        active = np.where(self.inside, self.by_active, 0.0) @ self.at
        return np.concatenate([active, np.where(self.inside, self.by_reactive, 0.0) @ self.at])

    @cached_property
    def delivered(self) -> FloatArray:
        """What arrives at the TSO's connection points of each activated MW, shape (o,)."""
        own = np.where(self.market.area == TSO, self.market.change.real, 0.0)
        return np.asarray(own + self.by_active.sum(axis=0))

    @cached_property
    def delivered_before(self) -> float:
        """What arrives there with nothing activated, by the linear model, MW: near 0."""
        return float((self.active - self.by_active @ self.at - self.scheduled).sum())

    @cached_property
    def by_interface(self) -> FloatArray:
        """The TSO's rows by the power out of each area, active then reactive, shape (r, 2 m).

        A TSO knows it from its own network.  Here it follows from the joint model: what an area
        does reaches the TSO's network through its interface only.
        """
        mine, below = self.rows.area == TSO, self.market.area != TSO
        out = np.concatenate([self.by_active, self.by_reactive])[:, below]
        found = np.zeros((len(self.rows.area), len(out)))
        if mine.any() and below.any():
            found[mine] = np.linalg.lstsq(out.T, self.rows.A[mine][:, below].T, _RANK)[0].T
        return found

    def blind(self) -> Linearised:
        """Return what the TSO sees without the networks below: offers as if at the interfaces."""
        market, mine = self.market, self.rows.area == TSO
        below = market.area != TSO
        active = np.where(self.inside, market.change.real, 0.0)
        reactive = np.where(self.inside, market.change.imag, 0.0)
        A = self.rows.A.copy()
        A[:, below] = (self.by_interface @ np.concatenate([active, reactive]))[:, below]
        rows = LimitRows(
            tuple(name for name, own in zip(self.rows.names, mine, strict=True) if own),
            self.rows.area[mine],
            A[mine],
            self.rows.value[mine],
            self.rows.low[mine],
            self.rows.high[mine],
            self.rows.current[mine],
        )
        return replace(self, rows=rows, by_active=active, by_reactive=reactive)
