"""The matching of most welfare among orders for flexibility, as a linear program.

Variables, in watts: what each offer gives to unconditional requests together (they all change the
set point for good, so it does not matter which), what it gives to each conditional request, and
what each unconditional request gets.  Each conditional request k adds ``max(0, c_k)`` to the
largest flow of a branch and takes ``max(0, -c_k)`` from the least: two variables for each branch.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from doe_allocation.procurement.choices import FlexDirection
from exchange.clearing.highs import INFINITY, MixedProgram
from exchange.clearing.problem import ClearingError
from exchange.clearing.work_budget import LOTS, RemainingWork
from exchange.flexibility.flex_order import FlexOrder
from exchange.flexibility.robust_flows import RobustFlows
from security_check.arrays import BoolArray, FloatArray, IntArray

_UNIT_W = 1e3  # a unit of the linear program: the solver's tolerances are absolute
_WHOLE = 1e-7  # watts by which a linear solution may miss whole watts, for rounding alone


@dataclass(frozen=True, slots=True)
class Matching:
    """Whole watts by order.

    ``firm_w`` has shape (offers,), what goes to unconditional requests; ``firm_requests_w`` shape
    (unconditional requests,); ``conditional_w`` shape (offers, conditional requests).
    Among orders that differ in their time only, the older one comes first.
    """

    offers: tuple[FlexOrder, ...]
    firm_requests: tuple[FlexOrder, ...]
    conditional_requests: tuple[FlexOrder, ...]
    firm_w: IntArray
    firm_requests_w: IntArray
    conditional_w: IntArray


def best_matching(flows: RobustFlows, orders: Sequence[FlexOrder]) -> Matching:
    """Return the matching of most welfare of orders that rest in one interval.

    Every subset of conditional requests stays within the limits of the flows.

    Raises
    ------
    ClearingError
        When the solver finds no solution; matching nothing is one.
    """
    program = _Program.of(flows, orders)
    solution = program.solve(_UNIT_W, np.zeros(program.columns, dtype=bool))
    watts = _UNIT_W * solution[: program.amounts]
    if np.abs(watts - np.round(watts)).max(initial=0.0) > _WHOLE:
        in_whole = np.arange(program.columns) < program.amounts
        watts = program.solve(1.0, in_whole)[: program.amounts]
    return program.matching(np.round(watts).astype(np.int64))


@dataclass(frozen=True, slots=True)
class _Program:
    offers: tuple[FlexOrder, ...]
    firm: tuple[FlexOrder, ...]
    conditional: tuple[FlexOrder, ...]
    pairs: tuple[tuple[int, int], ...]
    """Offer and conditional request of each variable of a pair."""
    value: FloatArray
    rows: FloatArray
    row_lower: FloatArray
    row_upper: FloatArray
    upper: FloatArray

    @property
    def amounts(self) -> int:
        """Number of variables that are watts of orders."""
        return len(self.offers) + len(self.firm) + len(self.pairs)

    @property
    def columns(self) -> int:
        return len(self.value)

    @classmethod
    def of(cls, flows: RobustFlows, orders: Sequence[FlexOrder]) -> _Program:
        offers = tuple(each for each in orders if not each.is_request)
        firm = tuple(each for each in orders if each.is_request and not each.conditional)
        conditional = tuple(each for each in orders if each.is_request and each.conditional)
        pairs = tuple(
            (j, k)
            for k, request in enumerate(conditional)
            for j, offer in enumerate(offers)
            if offer.direction is request.direction
        )
        amounts = len(offers) + len(firm) + len(pairs)
        branches = len(flows.base_w)
        parts = 2 * len(conditional) * branches  # above, then below, of each request in turn
        value = np.zeros(amounts + parts)
        value[:amounts] = [
            *(-each.limit_price_ticks for each in offers),
            *(each.limit_price_ticks for each in firm),
            *(conditional[k].limit_price_ticks - offers[j].limit_price_ticks for j, k in pairs),
        ]
        left_w = np.array([*(o.remaining_w for o in offers), *(r.remaining_w for r in firm)])
        limited = [min(offers[j].remaining_w, conditional[k].remaining_w) for j, k in pairs]
        upper = np.concatenate([left_w, limited, np.full(parts, INFINITY)])
        blocks = [
            _amount_rows(offers, firm, conditional, pairs, parts),
            _flow_rows(flows, offers, firm, conditional, pairs),
        ]
        rows, lower, above = (
            np.concatenate([np.asarray(block[part], dtype=float) for block in blocks])
            for part in range(3)
        )
        return cls(offers, firm, conditional, pairs, value, rows, lower, above, upper)

    def solve(self, unit_w: float, whole: BoolArray) -> FloatArray:
        """Return a solution in a unit of power."""
        solution = MixedProgram(
            self.value,
            self.rows,
            self.row_lower / unit_w,
            self.row_upper / unit_w,
            np.zeros(self.columns),
            self.upper / unit_w,
            whole,
        ).solve(0.0, RemainingWork(LOTS))
        if solution is None:
            raise ClearingError("the matching of most welfare was not found")
        return solution

    def matching(self, watts: IntArray) -> Matching:
        given, got, paired = np.split(watts, [len(self.offers), len(self.offers) + len(self.firm)])
        conditional_w = np.zeros((len(self.offers), len(self.conditional)), dtype=np.int64)
        for (j, k), each in zip(self.pairs, paired, strict=True):
            conditional_w[j, k] = each
        asked = _older_first(self.offers, np.column_stack([given, conditional_w]))
        got = _older_first(self.firm, got[:, np.newaxis])[:, 0]
        return Matching(self.offers, self.firm, self.conditional, asked[:, 0], got, asked[:, 1:])


def _older_first(orders: Sequence[FlexOrder], watts: IntArray) -> IntArray:
    """Return watts, shape (orders, uses), given to the older of orders that are equal otherwise."""
    equal: dict[tuple[int, FlexDirection, int], list[int]] = defaultdict(list)
    for k, each in enumerate(orders):
        equal[each.bus, each.direction, each.limit_price_ticks].append(k)
    for same in equal.values():
        left = watts[same].sum(axis=0)
        for k in sorted(same, key=lambda k: orders[k].order_id):
            before = np.cumsum(left) - left  # uses are served in their order
            watts[k] = np.clip(orders[k].remaining_w - before, 0, left)
            left = left - watts[k]
    return watts


_Rows = tuple[FloatArray, FloatArray, FloatArray]


def _amount_rows(
    offers: Sequence[FlexOrder],
    firm: Sequence[FlexOrder],
    conditional: Sequence[FlexOrder],
    pairs: Sequence[tuple[int, int]],
    parts: int,
) -> _Rows:
    """Return rows of quantities: none above an order's rest, and unconditional ones balanced."""
    first_pair = len(offers) + len(firm)
    columns = first_pair + len(pairs) + parts
    rows, lower, upper = [], [], []
    for direction in FlexDirection:
        row = np.zeros(columns)
        row[: len(offers)] = [each.direction is direction for each in offers]
        row[len(offers) : first_pair] = [-(each.direction is direction) for each in firm]
        rows.append(row)
        lower.append(0.0)
        upper.append(0.0)
    of_offer, of_request = (
        np.array([pair[side] for pair in pairs], dtype=np.int64) for side in (0, 1)
    )
    for j, offer in enumerate(offers):
        row = np.zeros(columns)
        row[j] = 1.0
        row[first_pair : first_pair + len(pairs)] = of_offer == j
        rows.append(row)
        lower.append(-INFINITY)
        upper.append(offer.remaining_w)
    for k, request in enumerate(conditional):
        row = np.zeros(columns)
        row[first_pair : first_pair + len(pairs)] = of_request == k
        rows.append(row)
        lower.append(-INFINITY)
        upper.append(request.remaining_w)
    return np.array(rows), np.array(lower), np.array(upper)


def _flow_rows(
    flows: RobustFlows,
    offers: Sequence[FlexOrder],
    firm: Sequence[FlexOrder],
    conditional: Sequence[FlexOrder],
    pairs: Sequence[tuple[int, int]],
) -> _Rows:
    """Return rows of flows: what each conditional request may add, and the limits."""
    ptdf = flows.network.ptdf
    count, wide = len(flows.base_w), len(conditional)
    own = [each.moves * ptdf[:, each.bus] for each in (*offers, *firm)]
    paired = [
        offers[j].moves * ptdf[:, offers[j].bus]
        + conditional[k].moves * ptdf[:, conditional[k].bus]
        for j, k in pairs
    ]
    firm_part = np.array(own).reshape(-1, count).T
    pair_part = np.array(paired).reshape(-1, count).T
    added = np.array([flows.added(each.order_id) for each in conditional]).reshape(-1, count)
    one = np.eye(count)
    rows, lower, upper = [], [], []
    # above_k >= c_k + S x_k and below_k >= -(c_k + S x_k), both >= 0
    for k in range(wide):
        mine = pair_part * (np.array([pair[1] for pair in pairs]) == k)
        for sign, place in ((1.0, k), (-1.0, wide + k)):
            taken = np.zeros((count, 2 * wide * count))
            taken[:, place * count : (place + 1) * count] = one
            rows.append(np.hstack([np.zeros_like(firm_part), -sign * mine, taken]))
            lower.append(sign * added[k])
            upper.append(np.full(count, INFINITY))
    others_above = flows.largest_w - flows.base_w - np.maximum(0.0, added).sum(axis=0)
    others_below = flows.base_w - flows.least_w - np.maximum(0.0, -added).sum(axis=0)
    none = np.zeros((count, wide * count))
    summed = np.tile(one, wide)
    empty = np.zeros_like(pair_part)
    rows.append(np.hstack([firm_part, empty, summed, none]))
    lower.append(np.full(count, -INFINITY))
    upper.append(flows.upper_w - flows.base_w - others_above)
    rows.append(np.hstack([-firm_part, empty, none, summed]))
    lower.append(np.full(count, -INFINITY))
    upper.append(flows.base_w - flows.lower_w - others_below)
    return np.concatenate(rows), np.concatenate(lower), np.concatenate(upper)
