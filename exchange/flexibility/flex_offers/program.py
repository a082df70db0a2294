"""The program that chooses starts and powers of time-shiftable offers.

For offer i and start s, ``z_is`` is 1 where it begins so; ``y_it >= 0`` is its power in interval t
above the least of its slice there:

    ``min  sum price_i h (sum_s L_i z_is + sum_t y_it) + sum shift_is z_is``
    ``     + price h sum |deviation|``
    ``sum_s z_is = 1``
    ``y_it <= sum_s d_i(t-s) z_is``, and ``a_i <= sum_t y_it <= b_i`` where the total is bound
    ``least_t <= sum_i sign_i (sum_s l_i(t-s) z_is + y_it) <= most_t``, or all but a deviation

with least ``l``, their sum L, width d and interval length h.  With flows there is a row for each
branch and interval, of powers times factors of their buses.  Where offers have plans, one of the
``z`` of an offer is its plan, which costs nothing.  Starts are chosen in kW, as the
solver's tolerances are absolute; then, with starts fixed, powers in whole watts.  These are a flow,
each ``y_it`` in one row of its offer and one of its interval, so whole watts cost no more than
others.  They are checked against the offers in integers, not believed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import Bounds, LinearConstraint, OptimizeResult, milp
from scipy.sparse import coo_array, csr_array

from exchange.flexibility.flex_offers.flex_offer import FlexOffer, FlexSchedule
from security_check.arrays import FloatArray, IntArray

_KILO = 1e3  # the solver's tolerances are absolute, so the choice of starts is in kW
_HOUR_S = 3600.0
_INFEASIBLE = 2  # as milp has it
_NODES = 2_000

_Entry = tuple[int, float]  # a column, and its value in a row

PLANNED = -1
"""In place of a start: the offer is not called, its owner does what was planned."""


@dataclass(frozen=True, slots=True)
class PowerBand:
    """What the total power of an interval may be, whole watts, injection positive.

    ``price_ticks`` is for a kWh outside; without one nothing outside is allowed.
    """

    least_w: FloatArray
    most_w: FloatArray
    price_ticks: float | None


@dataclass(frozen=True, slots=True)
class FlowBand:
    """What offers may add to the flow of a branch.

    Parameters
    ----------
    factors
        Shape (n,), what a watt injected at each bus adds.
    least_w, most_w
        Shape (T,), bounds of the sum.
    below_w, above_w
        Shape (T,), by how much it may be beyond them, at a price.
    price_ticks
        Shape (T,), for a kWh of that.
    """

    factors: FloatArray
    least_w: FloatArray
    most_w: FloatArray
    below_w: FloatArray
    above_w: FloatArray
    price_ticks: FloatArray


@dataclass(frozen=True, slots=True)
class Located:
    """Where offers are, what they do if they are not called, and what bounds flows.

    Parameters
    ----------
    buses
        Of each offer, the index of its bus.
    plans_w
        Of each offer, its planned power in each interval, whole watts, injection positive.
    bands
        Of branches.
    """

    buses: Sequence[int]
    plans_w: Sequence[Sequence[int]]
    bands: Sequence[FlowBand]


@dataclass(frozen=True, slots=True)
class StartChoice:
    """The best starts that were found.

    Parameters
    ----------
    starts
        Of each offer, :data:`PLANNED` among them.
    bound
        No choice costs less, ticks.
    proved
        Whether the solver came to its end within the gap.
    """

    starts: tuple[int, ...]
    bound: float
    proved: bool


class OfferProgram:
    """The program of some offers on a grid.

    Parameters
    ----------
    offers
        All of them are scheduled.
    starts
        For each offer, where it may begin; with :data:`PLANNED` it may also stay uncalled.
    band
        The band of each interval, which also says how many there are; infinite bounds are none.
    interval_s
        Length of an interval.
    with_cost
        Whether what owners are paid counts; without, only what is outside the band.
    located
        What offers do to a network, if anything.
    """

    def __init__(
        self,
        offers: Sequence[FlexOffer],
        starts: Sequence[Sequence[int]],
        band: PowerBand,
        interval_s: int,
        *,
        with_cost: bool = True,
        located: Located | None = None,
    ) -> None:
        self.offers, self.starts, self.band, self.located = offers, starts, band, located
        self.hours = interval_s / _HOUR_S
        self.with_cost = with_cost
        self._cost: list[float] = []
        self._upper: list[float] = []
        self._is_start: list[bool] = []
        self._entries: list[tuple[int, int, float]] = []
        self._low: list[float] = []
        self._high: list[float] = []
        self._begin: dict[tuple[int, int], int] = {}
        self._above: dict[tuple[int, int], int] = {}
        self._build()

    def choose(self, nodes: int, gap: float) -> StartChoice | None:
        """Return the best starts within a number of nodes; ``None`` when there are none.

        The search ends at a gap, as a part of the cost.

        Raises
        ------
        ArithmeticError
            When the solver finds neither starts nor that there are none.
        """
        result = self._solve(_KILO, self._is_start, nodes, gap)
        if result is None:
            return None
        starts = tuple(
            own[int(np.argmax([result.x[self._begin[i, s]] for s in own]))]
            for i, own in enumerate(self.starts)
        )
        return StartChoice(starts, float(result.mip_dual_bound), result.status == 0)

    def fill(self) -> tuple[FlexSchedule, ...] | None:
        """Return the best schedules in whole watts; ``None`` without any.

        It is meant for offers that may begin at one time each.  A schedule that begins at
        :data:`PLANNED` has no powers.

        Raises
        ------
        ArithmeticError
            When the solver does not come to its end.
        """
        result = self._solve(1.0, [True] * len(self._cost))
        if result is None:
            return None
        if result.status:
            raise ArithmeticError(f"the powers of {len(self.offers)} offers: {result.message}")
        whole: IntArray = np.round(result.x).astype(np.int64)
        found = []
        for i, (offer, own) in enumerate(zip(self.offers, self.starts, strict=True)):
            start = next(s for s in own if whole[self._begin[i, s]])
            if start == PLANNED:
                found.append(FlexSchedule(offer.offer_id, PLANNED, ()))
                continue
            above = [self._above.get((i, start + k)) for k in range(len(offer.slices))]
            watts = tuple(
                each.least_w + (0 if place is None else int(whole[place]))
                for each, place in zip(offer.slices, above, strict=True)
            )
            found.append(FlexSchedule(offer.offer_id, start, watts))
        return tuple(found)

    def _solve(
        self, unit_w: float, whole: Sequence[bool], nodes: int = _NODES, gap: float = 0.0
    ) -> OptimizeResult | None:
        """Return a solution with powers and rows in a unit; ``None`` when there is none."""
        scale = np.where(self._is_start, 1.0, unit_w)
        rows, columns, values = (np.array(each) for each in zip(*self._entries, strict=True))
        matrix = csr_array(
            coo_array(
                (values * scale[columns] / unit_w, (rows, columns)),
                shape=(len(self._low), len(self._cost)),
            )
        )
        for presolve in (True, False):  # with presolve, feasible programs were called infeasible
            result = milp(
                np.array(self._cost) / unit_w * scale,
                integrality=np.array(whole, dtype=np.int64),
                bounds=Bounds(np.zeros(len(scale)), np.array(self._upper) / scale),
                constraints=LinearConstraint(
                    matrix, np.array(self._low) / unit_w, np.array(self._high) / unit_w
                ),
                options={"mip_rel_gap": gap, "node_limit": nodes, "presolve": presolve},
            )
            if result.x is not None:
                return result
            if result.status != _INFEASIBLE:
                break
        else:
            return None
        raise ArithmeticError(f"{len(self.offers)} offers are not scheduled: {result.message}")

    def _column(self, cost: float, upper: float, *, start: bool = False) -> int:
        self._cost.append(cost)
        self._upper.append(upper)
        self._is_start.append(start)
        return len(self._cost) - 1

    def _row(self, entries: Sequence[_Entry], low: float, high: float) -> None:
        """Add a row in watts."""
        self._entries += [(len(self._low), column, value) for column, value in entries]
        self._low.append(low)
        self._high.append(high)

    def _build(self) -> None:
        count = len(self.band.least_w)
        power: list[list[_Entry]] = [[] for _ in range(count)]
        bands = () if self.located is None else self.located.bands
        flows: list[list[list[_Entry]]] = [[[] for _ in range(count)] for _ in bands]
        for i, (offer, starts) in enumerate(zip(self.offers, self.starts, strict=True)):
            own: list[list[_Entry]] = [[] for _ in range(count)]
            self._of_offer(i, offer, starts, own)
            for t, entries in enumerate(own):
                power[t] += entries
            if self.located is not None:
                for band, rows in zip(bands, flows, strict=True):
                    factor = float(band.factors[self.located.buses[i]])
                    for t, entries in enumerate(own if factor else ()):
                        rows[t] += [(column, factor * value) for column, value in entries]
        outside = self.band.price_ticks
        for t, entries in enumerate(power):
            low, high = float(self.band.least_w[t]), float(self.band.most_w[t])
            if np.isinf(low) and np.isinf(high):
                continue
            if outside is not None:
                entries.append((self._column(outside * self.hours, np.inf), 1.0))
                entries.append((self._column(outside * self.hours, np.inf), -1.0))
            self._row(entries, low, high)
        for band, rows in zip(bands, flows, strict=True):
            self._of_branch(band, rows)

    def _of_branch(self, band: FlowBand, rows: Sequence[list[_Entry]]) -> None:
        for t, entries in enumerate(rows):
            if entries:
                price = float(band.price_ticks[t]) * self.hours
                for beyond_w, sign in ((band.below_w[t], 1.0), (band.above_w[t], -1.0)):
                    if beyond_w > 0.0:
                        entries.append((self._column(price, float(beyond_w)), sign))
                self._row(entries, float(band.least_w[t]), float(band.most_w[t]))

    def _of_offer(
        self,
        i: int,
        offer: FlexOffer,
        starts: Sequence[int],
        power: Sequence[list[_Entry]],
    ) -> None:
        """Add the columns and rows of an offer, and its power in each interval to ``power``."""
        price = offer.energy_price_ticks * self.hours if self.with_cost else 0.0
        shift = _KILO * offer.shift_price_ticks if self.with_cost else 0.0
        widths = offer.widths_w
        room: dict[int, list[_Entry]] = {}
        for s in starts:
            if s == PLANNED and self.located is not None:
                z = self._begin[i, s] = self._column(0.0, 1.0, start=True)
                for t, watts in enumerate(self.located.plans_w[i]):
                    if watts:
                        power[t].append((z, float(watts)))
                continue
            cost = price * offer.sum_least + shift * (s - offer.earliest)
            z = self._begin[i, s] = self._column(cost, 1.0, start=True)
            for k, each in enumerate(offer.slices):
                if each.least_w:
                    power[s + k].append((z, float(offer.sign * each.least_w)))
                if widths[k]:
                    room.setdefault(s + k, []).append((z, -float(widths[k])))
        # Times a kilowatt, because rows are in watts and the tolerance of this one is absolute too.
        self._row([(self._begin[i, s], _KILO) for s in starts], _KILO, _KILO)
        for t, below in sorted(room.items()):
            y = self._above[i, t] = self._column(price, float(max(widths)))
            power[t].append((y, float(offer.sign)))
            self._row([(y, 1.0), *below], -np.inf, 0.0)
        if offer.is_bound:
            above: list[_Entry] = [(self._above[i, t], 1.0) for t in sorted(room)]
            low = float(offer.lowest_total - offer.sum_least)
            high = float(offer.highest_total - offer.sum_least)
            planned = self._begin.get((i, PLANNED))
            if planned is None:
                self._row(above, low, high)
            else:  # a plan has nothing above the least of its slices
                self._row([*above, (planned, low)], low, np.inf)
                self._row([*above, (planned, high)], -np.inf, high)
