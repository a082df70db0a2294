"""The AC model of all operators, as a coordination scheme sees it: rows around an operating point.

It is the joint model of the hierarchy with everything in service.  A TSO's area is its own network;
that of each operator below it has all operators that are below that one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from doe_allocation.coordination.problem import (
    TSO,
    WATTS,
    LimitRows,
    Linearised,
    Market,
    Offer,
    Portfolio,
    SourceVoltage,
    SystemNeed,
)
from doe_allocation.coordination.shortfall import Customers
from doe_allocation.hierarchy.joint_model.members import Hierarchy
from doe_allocation.hierarchy.joint_model.newton import JointFlowSolution, JointPowerFlow
from doe_allocation.hierarchy.joint_model.pandapower_net import joint_net
from doe_allocation.hierarchy.joint_model.quantities import (
    ACTIVE,
    BAND,
    CURRENT,
    REACTIVE,
    Quantities,
)
from security_check.arrays import ComplexArray, FloatArray, IndexArray
from security_check.model.limits import InterfaceLimits

_NEAR = 0.02  # parts of a scale: a row whose reach ends so near its limit is kept
_STEP_PU = 1e-4  # of the voltage at the top, by which derivatives are found
_HELD = 1e-5  # parts of a scale by which a limit may be exceeded: half watts, and the last round


@dataclass(frozen=True, slots=True)
class Overload:
    """A limit that is exceeded in the AC power flow.

    Parameters
    ----------
    operator, element, kind
        Whose limit, of what, and the kind of quantity.
    value, limit, unit
        Its value and its limit.
    excess
        Beyond the limit, in parts of the scale of the quantity.
    """

    operator: str
    element: str
    kind: str
    value: float
    limit: float
    unit: str
    excess: float


@dataclass(frozen=True, slots=True)
class OperatingPoint:
    """An operating point; K quantities, c customers.

    Parameters
    ----------
    activated
        Shape (o,), MW.
    power
        Shape (c,), of the customers, per unit.
    state, values
        The power flow, and the quantities there, shape (K,).
    source_pu
        The voltage at the top.
    """

    activated: FloatArray
    power: ComplexArray
    state: JointFlowSolution
    values: FloatArray
    source_pu: float


def market_of(
    hierarchy: Hierarchy,
    offers: Sequence[Offer],
    need: SystemNeed,
    portfolios: Sequence[Portfolio],
    validated_loading: float,
) -> Market:
    """Return the market of a hierarchy: an offer's reactive power follows its power factor."""
    top = hierarchy.members[0]
    areas = tuple(boundary.child for boundary in top.children.values())
    of = areas_of(hierarchy)
    change = []
    for offer in offers:
        network = hierarchy.member(offer.operator).network
        place = network.connection_points.index(offer.connection_point)
        ratio = float(network.reactive_ratio[place])
        change.append(offer.direction.sign * (1j if offer.reactive else 1.0 + 1j * ratio))
    return Market(
        top.name,
        areas,
        tuple(offers),
        np.array([of[offer.operator] for offer in offers], dtype=np.int64),
        np.array(change, dtype=np.complex128),
        need,
        tuple(portfolios),
        validated_loading,
    )


def areas_of(hierarchy: Hierarchy) -> dict[str, int]:
    """Return the area of every operator; that of the operator at the top is :data:`TSO`."""
    top = hierarchy.members[0]
    areas = [boundary.child for boundary in top.children.values()]
    found = {top.name: TSO}
    for member in hierarchy.members:  # parents come before their children
        for boundary in member.children.values():
            below = areas.index(boundary.child) if member is top else found[member.name]
            found[boundary.child] = below
    return found


class AcModel:
    """All networks with a market in them; c customers, K quantities, o offers, m areas.

    Parameters
    ----------
    hierarchy
        The operators and their networks.
    market
        Offers and needs; see :func:`market_of`.
    base_w
        Shape (c,), complex: power of each customer with nothing activated, W and var, in the order
        of the joint net's customers.
    source_pu
        The voltage at the top.
    loadings
        Highest loading, in parts of the rating, of branches with a lower limit than their rating,
        by operator and element.
    source_band
        Between which voltages at the top the TSO may choose; ``None`` where it has no choice.

    Raises
    ------
    PowerFlowError
        When the operating point with nothing activated has no solution.
    """

    def __init__(
        self,
        hierarchy: Hierarchy,
        market: Market,
        base_w: ComplexArray,
        source_pu: float,
        loadings: Mapping[tuple[str, str], float],
        source_band: tuple[float, float] | None = None,
    ) -> None:
        self.market = market
        self._hierarchy = hierarchy
        self.flow = JointPowerFlow(joint_net(hierarchy))
        bands = {b.child: InterfaceLimits(*b.band) for b in hierarchy.boundaries}
        contracts = {**bands, market.tso: hierarchy.contract}
        self.quantities = Quantities(self.flow, contracts)
        self._base_pu = base_w / self.flow.base_w
        self._source_pu, self._source_band = float(source_pu), source_band
        items = self.quantities.items
        self._high = self.quantities.high.copy()
        for k, each in enumerate(items):
            if each.kind == CURRENT:
                branch = each.element.rpartition(" ")[0]
                self._high[k] *= loadings.get((each.operator, branch), 1.0)
        self._area = self._areas(hierarchy)
        self._change, self._customer = self._changes()
        places = {(each.operator, each.kind): k for k, each in enumerate(items)}
        self._active = np.array([places[name, ACTIVE] for name in market.areas], dtype=np.int64)
        self._reactive = np.array([places[name, REACTIVE] for name in market.areas], dtype=np.int64)
        self._voltage = np.array([places[name, BAND] for name in market.areas], dtype=np.int64)
        self.base = self.point(np.zeros(len(market.offers)))
        self._limited = np.flatnonzero(np.isfinite(self.quantities.low) | np.isfinite(self._high))
        self._kept = self._within_reach()

    def _areas(self, hierarchy: Hierarchy) -> IndexArray:
        """Return whose each limit is; a band at an interface is the upper operator's."""
        of, found = areas_of(hierarchy), []
        for each in self.quantities.items:
            above = hierarchy.parent_of(each.operator) if each.kind == BAND else None
            found.append(of[each.operator if above is None else above.parent])
        return np.array(found, dtype=np.int64)

    def _changes(self) -> tuple[ComplexArray, IndexArray]:
        """Return each customer's power by what is activated, (c, o) per unit, and its index."""
        place = {
            (member.name, member.network.connection_points[point]): k
            for k, (member, point, _) in enumerate(self.flow.joined.customers())
        }
        offers = self.market.offers
        at = np.array([place[each.operator, each.connection_point] for each in offers], dtype=int)
        change = np.zeros((len(place), len(offers)), dtype=np.complex128)
        change[at, np.arange(len(offers))] = self.market.change * WATTS / self.flow.base_w
        return change, at

    def point(
        self,
        activated: FloatArray,
        near: OperatingPoint | None = None,
        source_pu: float | None = None,
    ) -> OperatingPoint:
        """Return the operating point with offers activated, shape (o,), MW.

        The voltage at the top is that of the case, where no other is given.

        Raises
        ------
        PowerFlowError
            When it has no solution.
        """
        power = self._base_pu + self._change @ activated
        start = None if near is None else near.state
        held = self._source_pu if source_pu is None else source_pu
        state = self.flow.solve(power, held, start)
        return OperatingPoint(activated, power, state, self.quantities.values(state, power), held)

    def _by_offer(self, point: OperatingPoint, wanted: IndexArray) -> FloatArray:
        """Return the derivatives of quantities by what is activated, shape (k, o)."""
        gradient = self.quantities.gradient(point.state, wanted)
        return np.asarray((gradient.conj().T @ self._change).real)

    def _within_reach(self) -> IndexArray:
        """Return the quantities that offers together could bring near a limit."""
        limited = self._limited
        A = self._by_offer(self.base, limited)
        reach = np.abs(A) @ self.market.sizes
        if self._source_band is not None:
            width = self._source_band[1] - self._source_band[0]
            reach = reach + np.abs(self._by_source(self.base)[limited]) * width
        value, near = self.base.values[limited], _NEAR * self.quantities.scale[limited]
        high, low = self._high[limited] - near, self.quantities.low[limited] + near
        return limited[(value + reach > high) | (value - reach < low)]

    def _by_source(self, point: OperatingPoint) -> FloatArray:
        """Return the derivatives of quantities by the voltage at the top, shape (K,)."""
        values = []
        for sign in (1.0, -1.0):
            held = point.source_pu + sign * _STEP_PU
            values.append(self.point(point.activated, point, held).values)
        return np.asarray((values[0] - values[1]) / (2.0 * _STEP_PU))

    def _source(self, point: OperatingPoint, kept: IndexArray) -> SourceVoltage | None:
        if self._source_band is None:
            return None
        by_source, mega = self._by_source(point), self.flow.base_w / WATTS
        low, high = self._source_band
        return SourceVoltage(
            by_source[kept] / self.quantities.scale[kept],
            by_source[self._active] * mega,
            by_source[self._reactive] * mega,
            by_source[self._voltage],
            point.values[self._voltage],
            low - point.source_pu,
            high - point.source_pu,
        )

    def linearised(self, point: OperatingPoint, *, everything: bool = False) -> Linearised:
        """Return the market and all networks around an operating point.

        Rows are those that offers could bring near a limit, or, if said so, of every limit.
        """
        kept, count = self._limited if everything else self._kept, len(self.market.areas)
        A = self._by_offer(point, np.concatenate([kept, self._active, self._reactive]))
        scale, mega = self.quantities.scale[kept], self.flow.base_w / WATTS
        items = [self.quantities.items[k] for k in kept.tolist()]
        rows = LimitRows(
            tuple(f"{each.operator} {each.element}" for each in items),
            self._area[kept],
            A[: len(kept)] / scale[:, None],
            point.values[kept] / scale,
            self.quantities.low[kept] / scale,
            self._high[kept] / scale,
            np.array([each.kind == CURRENT for each in items], dtype=bool),
        )
        power = point.values * mega
        return Linearised(
            self.market,
            point.activated,
            rows,
            A[len(kept) : len(kept) + count] * mega,
            A[len(kept) + count :] * mega,
            power[self._active],
            power[self._reactive],
            self.base.values[self._active] * mega,
            source=self._source(point, kept),
        )

    def customers(self, point: OperatingPoint) -> Customers:
        """Return all customers, as if each offered, beside the rows of every limit."""
        wanted = np.concatenate([self._limited, self._active])
        gradient = self.quantities.gradient(point.state, wanted)
        joined = list(self.flow.joined.customers())
        areas = areas_of(self._hierarchy)
        ratio = np.array([member.network.reactive_ratio[at] for member, at, _ in joined])
        by_power = (gradient.conj().T * (1.0 + 1j * ratio)).real * WATTS / self.flow.base_w
        count, scale = len(self._limited), self.quantities.scale[self._limited]
        items = [self.quantities.items[k] for k in self._limited.tolist()]
        return Customers(
            [(member.name, member.network.connection_points[at]) for member, at, _ in joined],
            np.array([areas[member.name] for member, _, _ in joined], dtype=np.int64),
            by_power[:count] / scale[:, None],
            by_power[count:] * self.flow.base_w / WATTS,
            float(np.abs(point.power).sum()) * self.flow.base_w / WATTS,
            scale * np.array([each.per_unit for each in items]),
            [each.unit for each in items],
        )

    def overloads(self, point: OperatingPoint) -> tuple[Overload, ...]:
        """Return the limits that are exceeded at an operating point, the worst first."""
        found = []
        both = ((self._high, 1.0), (self.quantities.low, -1.0))
        for limits, sign in both:
            excess = sign * (point.values - limits) / self.quantities.scale
            for k in np.flatnonzero(excess > _HELD).tolist():
                what = self.quantities.items[k]
                value, limit = point.values[k] * what.per_unit, limits[k] * what.per_unit
                found.append(
                    Overload(
                        self.market.owner(int(self._area[k])),
                        f"{what.operator} {what.element}",
                        what.kind,
                        float(value),
                        float(limit),
                        what.unit,
                        float(excess[k]),
                    )
                )
        return tuple(sorted(found, key=lambda each: -each.excess))

    def interface(self, point: OperatingPoint, area: int) -> tuple[float, float, float]:
        """Return active and reactive power out of an area, MW and Mvar, and the voltage there."""
        mega = self.flow.base_w / WATTS
        return (
            float(point.values[self._active[area]]) * mega,
            float(point.values[self._reactive[area]]) * mega,
            float(point.values[self._voltage[area]]),
        )

    def delivered(self, point: OperatingPoint) -> float:
        """Return the change of power at the TSO's connection points, MW."""
        mine = self.market.area == TSO
        own = float(self.market.change.real[mine] @ point.activated[mine])
        change = point.values[self._active] - self.base.values[self._active]
        return own + float(change.sum()) * self.flow.base_w / WATTS
