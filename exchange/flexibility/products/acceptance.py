"""The program of all clearings of flexibility: which watts of which bid serve which want.

Variables: ``x_p`` whole lots of a bid for a want, for each pair p that may meet; ``s_n`` what want
n is served, ``s_n <= quantity_n`` and ``s_n <= sum effect_p lot x_p``; ``c_k`` whether choice k is
taken.  Goals follow each other: the next one decides among what is best so far.  Everything in the
program is in ticks and kW, or lots where these are larger; a goal's optimum is kept to less than a
tick-watt, or a ten-thousandth of a tick a lot.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain

import numpy as np

from exchange.clearing.highs import INFINITY, MixedProgram
from exchange.clearing.problem import ClearingError
from exchange.clearing.work_budget import RemainingWork
from exchange.flexibility.products.vocabulary import Goal
from security_check.arrays import FloatArray

_KW = 1e3
_WHOLE = 1e-5  # lots by which a solution may miss whole lots
_KEPT = 1e-4  # tick-units or units by which an earlier goal may be missed
_OFF = 1e-5  # units by which a row may be off after rounding, a hundredth of a watt of a kilowatt
_WORK = 300_000  # units, half a minute or so; a market of a day takes a few hundred


@dataclass(frozen=True, slots=True)
class Bid:
    """Watts that may be taken, in whole lots; ``order`` is its place in time."""

    most_w: int
    lot_w: int
    order: int


@dataclass(frozen=True, slots=True)
class Want:
    """Watts that are wanted, of a value of ``cap_ticks`` each; ``balanced``: up equals down."""

    quantity_w: int
    cap_ticks: int
    balanced: bool = False


@dataclass(frozen=True, slots=True)
class Pair:
    """A bid that may serve a want; ``effect`` of each watt, ``way`` 1 upward, -1 downward."""

    bid: int
    want: int
    price_ticks: int
    effect: float = 1.0
    way: int = 1


@dataclass(frozen=True, slots=True)
class Limit:
    """``lower_w <= sum bids_b x_b + sum wants_n s_n <= upper_w``, x_b all watts of a bid."""

    bids: Mapping[int, float]
    lower_w: float
    upper_w: float
    wants: Mapping[int, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Choice:
    """Bids of which nothing is taken unless the choice is; ``least_w`` of them if it is."""

    bids: tuple[int, ...]
    least_w: int = 0


@dataclass(frozen=True, slots=True)
class Market:
    """Everything that a clearing knows.

    Parameters
    ----------
    bids, wants, pairs, limits
        See their classes.
    blocks
        Groups of bids of which the same watts are taken.
    choices, chosen
        Choices, and groups of them of which at most a number is taken.
    """

    bids: Sequence[Bid]
    wants: Sequence[Want]
    pairs: Sequence[Pair]
    limits: Sequence[Limit] = ()
    blocks: Sequence[tuple[int, ...]] = ()
    choices: Sequence[Choice] = ()
    chosen: Sequence[tuple[tuple[int, ...], int]] = ()


def accept(market: Market, goal: Goal) -> list[int]:
    """Return the watts of each pair.

    Parts of a market that have nothing to do with each other are cleared one by one.

    Raises
    ------
    ClearingError
        When the solver finds no optimum within its work.
    """
    watts = [0] * len(market.pairs)
    for part in _parts(market):
        program = _Program(market, part)
        for pair, lots in zip(part.pairs, program.solve(goal), strict=True):
            watts[pair] = lots * market.bids[market.pairs[pair].bid].lot_w
    return watts


@dataclass(slots=True)
class _Part:
    """Indices of pairs, limits, blocks, choices and groups of choices that belong together."""

    pairs: list[int] = field(default_factory=list)
    limits: list[int] = field(default_factory=list)
    blocks: list[int] = field(default_factory=list)
    choices: list[int] = field(default_factory=list)
    chosen: list[int] = field(default_factory=list)


def _parts(market: Market) -> list[_Part]:
    """Return the parts of a market that nothing joins to each other, those with pairs."""
    count = len(market.bids)
    parent = list(range(count + len(market.wants)))

    def find(k: int) -> int:
        while parent[k] != k:
            parent[k] = parent[parent[k]]
            k = parent[k]
        return k

    groups = {
        "limits": [[*each.bids, *(count + k for k in each.wants)] for each in market.limits],
        "blocks": [list(group) for group in market.blocks],
        "choices": [list(choice.bids) for choice in market.choices],
        "chosen": [
            [bid for k in group for bid in market.choices[k].bids] for group, _ in market.chosen
        ],
        "pairs": [[pair.bid, count + pair.want] for pair in market.pairs],
    }
    for nodes in chain.from_iterable(groups.values()):
        for k in nodes[1:]:
            parent[find(k)] = find(nodes[0])
    found: dict[int, _Part] = defaultdict(_Part)
    for name, lists in groups.items():
        for index, nodes in enumerate(lists):
            if nodes:
                getattr(found[find(nodes[0])], name).append(index)
    return [part for part in found.values() if part.pairs]


class _Program:
    """The program of a part; its columns are pairs, then wants, then choices."""

    def __init__(self, market: Market, part: _Part) -> None:
        self.market, self.part = market, part
        self.pairs = [market.pairs[k] for k in part.pairs]
        self.bids = list(dict.fromkeys(pair.bid for pair in self.pairs))
        self.wants = list(dict.fromkeys(pair.want for pair in self.pairs))
        self.choices = part.choices
        self.of_bid: dict[int, list[int]] = {bid: [] for bid in self.bids}
        for column, pair in enumerate(self.pairs):
            self.of_bid[pair.bid].append(column)
        self.want_at = {want: len(self.pairs) + k for k, want in enumerate(self.wants)}
        first = len(self.pairs) + len(self.wants)
        self.choice_at = {choice: first + k for k, choice in enumerate(self.choices)}
        self.columns = first + len(self.choices)
        # The solver's tolerances are absolute: a unit is a kilowatt, or a lot if lots are larger.
        self.unit_w = max(_KW, float(min(market.bids[bid].lot_w for bid in self.bids)))
        self.lot = np.array([market.bids[pair.bid].lot_w / self.unit_w for pair in self.pairs])
        self.upper = np.ones(self.columns)
        self.upper[: len(self.pairs)] = [
            market.bids[pair.bid].most_w // market.bids[pair.bid].lot_w for pair in self.pairs
        ]
        for want, column in self.want_at.items():
            self.upper[column] = market.wants[want].quantity_w / self.unit_w
        self.integer = np.ones(self.columns, dtype=bool)
        self.integer[len(self.pairs) : first] = False
        self._rows: list[FloatArray] = []
        self._bounds: list[tuple[float, float]] = []
        self._add_bids()
        self._add_wants()
        self._add_limits()
        self._add_choices()

    def solve(self, goal: Goal) -> list[int]:
        """Return the lots of each pair."""
        rows, bounds = list(self._rows), list(self._bounds)
        solution = np.zeros(self.columns)
        for value in self._goals(goal):
            solution = self._optimum(value, rows, bounds)
            rows.append(value)
            bounds.append((float(value @ solution) - _KEPT, INFINITY))
        lots = np.rint(solution[: len(self.pairs)])
        whole = solution.copy()
        whole[: len(lots)] = lots
        if np.abs(solution[: len(lots)] - lots).max(initial=0.0) > _WHOLE or not self._holds(whole):
            raise ClearingError("the solver's whole lots are outside the limits of the market")
        return [int(each) for each in lots]

    def _optimum(
        self, value: FloatArray, rows: list[FloatArray], bounds: list[tuple[float, float]]
    ) -> FloatArray:
        lower, upper = (np.array([each[side] for each in bounds]) for side in (0, 1))
        matrix = np.array(rows).reshape(len(rows), self.columns)
        budget = RemainingWork(_WORK)
        found = MixedProgram(
            value, matrix, lower, upper, np.zeros(self.columns), self.upper, self.integer
        ).solve(_KEPT / 10.0, budget)
        if found is None or not budget.left:
            size = f"{len(self.bids)} bids and {len(self.wants)} wants"
            raise ClearingError(f"no best choice was found among {size}")
        return found

    def _goals(self, goal: Goal) -> list[FloatArray]:
        """Return what each goal maximises, one after the other."""
        bids, count = self.market.bids, len(self.pairs)
        cost, older, served, worth = (np.zeros(self.columns) for _ in range(4))
        cost[:count] = self.lot * [pair.price_ticks for pair in self.pairs]
        # From 1: a watt that serves nothing is not taken, though it cost nothing.
        orders = sorted({bids[each].order for each in self.bids})
        place = {order: k for k, order in enumerate(orders, start=1)}
        older[:count] = self.lot * [place[bids[pair.bid].order] for pair in self.pairs]
        for want, column in self.want_at.items():
            served[column], worth[column] = 1.0, self.market.wants[want].cap_ticks
        if goal is Goal.WELFARE:
            return [worth - cost, served, -older]
        return [served, -cost, -older]

    def _holds(self, solution: FloatArray) -> bool:
        """Return whether rows hold for whole lots; what is served may be less than it was."""
        values = np.array(self._rows).reshape(-1, self.columns) @ solution
        lower, upper = (np.array([each[side] for each in self._bounds]) for side in (0, 1))
        return bool((values >= lower - _OFF).all() and (values <= upper + _OFF).all())

    def _add(self, row: FloatArray, lower: float, upper: float) -> None:
        self._rows.append(row)
        self._bounds.append((lower, upper))

    def _total(self, bid: int, scale: float = 1.0) -> FloatArray:
        """Return the row of all that is taken of a bid."""
        row = np.zeros(self.columns)
        for column in self.of_bid.get(bid, ()):
            row[column] = scale * self.lot[column]
        return row

    def _add_bids(self) -> None:
        for bid in self.bids:
            if len(self.of_bid[bid]) > 1:
                self._add(self._total(bid), 0.0, self.market.bids[bid].most_w / self.unit_w)
        for k in self.part.blocks:
            first, *others = self.market.blocks[k]
            for bid in others:
                self._add(self._total(bid) - self._total(first), 0.0, 0.0)

    def _add_wants(self) -> None:
        for want, column in self.want_at.items():
            row, balance = np.zeros(self.columns), np.zeros(self.columns)
            for k, pair in enumerate(self.pairs):
                if pair.want == want:
                    row[k] = pair.effect * self.lot[k]
                    balance[k] = pair.way * self.lot[k]
            row[column] = -1.0
            self._add(row, 0.0, INFINITY)
            if self.market.wants[want].balanced:
                self._add(balance, 0.0, 0.0)

    def _add_limits(self) -> None:
        for limit in (self.market.limits[k] for k in self.part.limits):
            bids = {bid: each for bid, each in limit.bids.items() if bid in self.of_bid}
            wants = {want: each for want, each in limit.wants.items() if want in self.want_at}
            if not bids:
                continue
            row = np.zeros(self.columns)
            for bid, coefficient in bids.items():
                row += self._total(bid, coefficient)
            for want, coefficient in wants.items():
                row[self.want_at[want]] = coefficient
            self._add(row, limit.lower_w / self.unit_w, limit.upper_w / self.unit_w)

    def _add_choices(self) -> None:
        for choice, column in self.choice_at.items():
            total = np.zeros(self.columns)
            for bid in self.market.choices[choice].bids:
                row = self._total(bid)
                total += row
                row[column] = -self.market.bids[bid].most_w / self.unit_w
                self._add(row, -INFINITY, 0.0)
            if self.market.choices[choice].least_w:
                total[column] = -self.market.choices[choice].least_w / self.unit_w
                self._add(total, 0.0, INFINITY)
        for group, most in (self.market.chosen[k] for k in self.part.chosen):
            row = np.zeros(self.columns)
            row[[self.choice_at[choice] for choice in group]] = 1.0
            self._add(row, -INFINITY, float(most))
