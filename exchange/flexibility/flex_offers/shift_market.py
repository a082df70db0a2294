"""What bounds the choice of a phase that calls time-shiftable offers: flows, needs, a target."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from exchange.clearing.problem import ClearingError
from exchange.flexibility.flex_offers.aggregation import GroupingTolerance
from exchange.flexibility.flex_offers.flex_offer import FlexOffer, FlexSchedule
from exchange.flexibility.flex_offers.program import FlowBand, Located, PowerBand
from exchange.flexibility.flex_offers.relief import CalledOffers, call_offers, planned, powers
from exchange.flexibility.products.session_market import Supply
from exchange.flexibility.products.vocabulary import Need
from security_check.arrays import FloatArray, IntArray

_NODES = 2_000
_ROUNDING_W = 1e-3


@dataclass(frozen=True, slots=True)
class ShiftableOffer:
    """A time-shiftable offer of a resource; its prices are for one interval."""

    offer: FlexOffer
    resource: str
    product: str

    @property
    def name(self) -> str:
        """Name of the offer."""
        return self.offer.offer_id


@dataclass(frozen=True, slots=True)
class ShiftRules:
    """The rules of a phase in which offers are called.

    Parameters
    ----------
    name, product, buyer
        Its name, what it trades, and who buys.
    tolerance
        How much the members of an aggregate may differ.
    target_w
        Total power of all offers that is wanted in each interval, injection positive; ``None``
        without a target.
    deviation_ticks
        What a kW off the target is worth to the buyer, for one interval.
    compare_alone
        Whether it is also computed what each member alone would allow.
    """

    name: str
    product: str
    buyer: str
    tolerance: GroupingTolerance
    target_w: tuple[int, ...] | None = None
    deviation_ticks: int = 0
    compare_alone: bool = True


@dataclass(frozen=True, slots=True)
class ShiftOutcome:
    """What a choice costs and leaves: tick-watts, and watt-intervals that needs still lack.

    ``deviation`` is in watt-intervals off the target.
    """

    cost: int
    missing: int
    deviation: int
    proved: bool


@dataclass(frozen=True, slots=True)
class Lot:
    """What is called as one: an offer, the plan if it is not called, and where it is."""

    offer: FlexOffer
    plan_w: IntArray
    bus: int


class ShiftMarket:
    """What bounds the choice of offers: flows as sold so far, needs, the target."""

    def __init__(
        self, rules: ShiftRules, supply: Supply, count: int, offers: Sequence[ShiftableOffer]
    ) -> None:
        self.rules, self.supply, self.count = rules, supply, count
        self.resource = {each.name: supply.resources[each.resource] for each in offers}
        self.plan_w = {each.name: powers(each.offer, planned(each.offer), count) for each in offers}
        self.needed_w = [
            (need, t, watts)
            for need in supply.needs
            for t in need.intervals
            if (watts := supply.needed_w(need, t))
        ]
        grid = supply.grid
        self.network = None if grid is None else grid.network
        # Shape (l, T).
        self.before_w = np.array([supply.flows_w(t) for t in range(count)]).T

    def lot(self, members: Sequence[FlexOffer], offer: FlexOffer) -> Lot:
        """Return an offer that stands for members at one bus."""
        plan_w = np.sum([self.plan_w[each.offer_id] for each in members], axis=0)
        return Lot(offer, plan_w, self.bus(members[0].offer_id))

    def bus(self, offer: str) -> int:
        """Return the index of an offer's bus, 0 without a network."""
        bus = self.resource[offer].bus
        return 0 if self.network is None or bus is None else self.network.buses.index(bus)

    def call(self, lots: Sequence[Lot]) -> CalledOffers:
        """Return the cheapest choice; all as planned where nothing is wanted."""
        target = self.rules.target_w
        if not self.needed_w and target is None:
            return CalledOffers((None,) * len(lots), Fraction(0), True)
        band = PowerBand(np.full(self.count, -np.inf), np.full(self.count, np.inf), None)
        if target is not None:
            wanted = np.array(target, dtype=np.float64)
            band = PowerBand(wanted, wanted, float(self.rules.deviation_ticks))
        located = Located(
            [each.bus for each in lots], [each.plan_w.tolist() for each in lots], self._bands(lots)
        )
        try:
            return call_offers([each.offer for each in lots], located, band, _NODES)
        except ArithmeticError as error:
            raise ClearingError(f"{self.rules.name}: {error}") from error

    def outcome(self, found: CalledOffers, lots: Sequence[Lot]) -> ShiftOutcome:
        """Return what a choice costs and leaves."""
        added_w = self._added_w(found.schedules, lots)
        after = self.before_w + sum(
            (
                np.outer(self._factors(each.bus), own)
                for each, own in zip(lots, added_w, strict=True)
            ),
            np.zeros_like(self.before_w),
        )
        deviation = 0
        if self.rules.target_w is not None:
            total = sum((each.plan_w + own for each, own in zip(lots, added_w, strict=True)),
                        np.zeros(self.count, dtype=np.int64))  # fmt: skip
            deviation = int(np.abs(total - np.array(self.rules.target_w)).sum())
        missing = sum(watts for _, _, watts in self.missing_w(after))
        return ShiftOutcome(int(found.cost), missing, deviation, found.proved)

    def flows_after(self, changes: Iterable[tuple[str, IntArray]]) -> FloatArray:
        """Return the flows of branches with changes of power of offers, shape (l, T)."""
        after = self.before_w.copy()
        for offer, change in changes:
            after += np.outer(self._factors(self.bus(offer)), change)
        return after

    def served(self, after: FloatArray) -> Iterator[tuple[Need, int, float]]:
        """Yield each need with an interval in which flows fell, and by how much it is served."""
        for need, t, watts in self.needed_w:
            k, way = self._branch(need)
            fallen = way * float(self.before_w[k, t] - after[k, t])
            if fallen > 0.0:
                yield need, t, min(fallen, float(watts))

    def missing_w(self, after: FloatArray) -> Iterator[tuple[Need, int, int]]:
        """Yield each need with an interval in which it lacks something, and how much."""
        served = {(need.name, t): watts for need, t, watts in self.served(after)}
        for need, t, watts in self.needed_w:
            left = int(np.ceil(watts - served.get((need.name, t), 0.0) - _ROUNDING_W))
            if left > 0:
                yield need, t, left

    def _added_w(
        self, schedules: Sequence[FlexSchedule | None], lots: Sequence[Lot]
    ) -> list[IntArray]:
        """Return what each lot changes against its plan, shape (T,)."""
        nothing = np.zeros(self.count, dtype=np.int64)
        return [
            nothing if own is None else powers(lot.offer, own, self.count) - lot.plan_w
            for own, lot in zip(schedules, lots, strict=True)
        ]

    def _factors(self, bus: int) -> FloatArray:
        """Return what a watt injected at a bus adds to each flow, shape (l,)."""
        if self.network is None:
            return np.zeros(0)
        factors: FloatArray = self.network.ptdf[:, bus]
        return factors

    def _branch(self, need: Need) -> tuple[int, int]:
        assert need.relief is not None
        assert self.network is not None
        return self.network.branches.index(need.relief.branch), need.relief.way

    def _bands(self, lots: Sequence[Lot]) -> list[FlowBand]:
        """Return what lots may add to each flow.

        What a need asks for is missed at its price.  Nothing loads a branch beyond its limit, or
        further where it is beyond.
        """
        if self.network is None:
            return []
        most = np.maximum(self.before_w, self.network.upper_w[:, np.newaxis])
        least = np.minimum(self.before_w, self.network.lower_w[:, np.newaxis])
        beyond_w = {way: np.zeros_like(most) for way in (1, -1)}
        price = np.zeros_like(most)
        for need, t, watts in self.needed_w:
            k, way = self._branch(need)
            beyond_w[way][k, t] += watts
            price[k, t] = max(price[k, t], float(need.cap_ticks))
        most = np.where(beyond_w[1] > 0.0, self.before_w - beyond_w[1], most)
        least = np.where(beyond_w[-1] > 0.0, self.before_w + beyond_w[-1], least)
        plans = sum(
            (np.outer(self._factors(each.bus), each.plan_w) for each in lots),
            np.zeros_like(self.before_w),
        )
        base = self.before_w - plans
        return [
            FlowBand(factors, low, high, below, above, ticks)
            for factors, low, high, below, above, ticks in zip(
                self.network.ptdf, least - base, most - base, beyond_w[-1], beyond_w[1], price,
                strict=True,
            )
        ]  # fmt: skip
