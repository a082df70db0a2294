"""The open orders of a program, in columns: one for each limit, side and price, in lots.

Orders of one column differ in time only, so the program sees their sum, and time decides within
it.  An order with a condition (a block, a minimum) is a column of its own, in units: a
unit of a block trades so many lots in each leg that the ratio is kept.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np
from sortedcontainers import SortedDict

from exchange.clearing.problem import HIDDEN, ProgramLeg, ProgramOrder
from exchange.vocabulary.rules import MAX_PRICE_TICKS
from orderbook.order import Side
from security_check.arrays import FloatArray, IntArray

_FIRST_ROOM = 256

LevelKey = tuple[int, int, int, bool]

PerLot = Callable[[IntArray], FloatArray]
"""Returns what a lot more of each of some limits changes rows by, shape (rows, limits)."""


def per_lot_of(coefficients: FloatArray) -> PerLot:
    """Return the columns of a matrix of shape (rows, n) as a function of limits."""
    return lambda limits: coefficients[:, limits]


def _level_of(order: ProgramOrder) -> LevelKey:
    """Return which plain orders an order shares a column with."""
    hidden = order.rank >= HIDDEN
    return order.legs[0].column, order.sign, order.limit_price_ticks, hidden


@dataclass(slots=True)
class ColumnEntry:
    """An open order in its column: what is left of it, in units of the column."""

    order: ProgramOrder
    column: int
    units: int


@dataclass(frozen=True, slots=True)
class Condition:
    """What makes an order more than plain.

    ``limits`` and ``lots`` (negative where it sells) say what a unit of it changes, ``prices`` at
    which limit prices, ``minimum`` how many units trade at least.
    """

    order_id: int
    rank: int
    limits: IntArray
    lots: IntArray
    prices: IntArray
    minimum: int


@dataclass(frozen=True, slots=True)
class _Stacked:
    """All conditional orders side by side.

    ``columns`` (orders,) and ``worth`` (orders,), what a unit of each is worth at its limit prices;
    ``limits`` and ``lots`` (legs,) of all legs, those of each order from ``starts`` (orders,) on.
    """

    columns: IntArray
    worth: FloatArray
    limits: IntArray
    lots: IntArray
    starts: IntArray

    @classmethod
    def of(cls, conditions: dict[int, Condition]) -> _Stacked:
        """Return conditional orders, at least one, side by side."""
        legs = np.array([len(each.limits) for each in conditions.values()])
        return cls(
            columns=np.array(list(conditions), dtype=np.int64),
            worth=np.array([float(each.prices @ each.lots) for each in conditions.values()]),
            limits=np.concatenate([each.limits for each in conditions.values()]),
            lots=np.concatenate([each.lots for each in conditions.values()]),
            starts=np.cumsum(legs) - legs,
        )

    def costs(self, local: FloatArray) -> FloatArray:
        """Return what a unit of each pays at local prices, shape (orders,)."""
        costs: FloatArray = np.add.reduceat(local[self.limits] * self.lots, self.starts)
        return costs


class ProgramOrders:
    """The open orders of a program.

    Parameters
    ----------
    groups
        Shape (n,), the balance that each limit belongs to: 0 and 1 for the directions of the
        first interval, and so on.
    lot_w
        Watts of a lot.

    Attributes
    ----------
    limit, sign, price, units
        Shape (columns,): limit (-1 for conditional orders), side, limit price in ticks, and
        units left (0 for a column that is free).
    prices
        For each group and side, the columns of plain orders at each price.
    """

    __slots__ = ("_conditions", "_entries", "_free", "_levels", "_queues", "_size", "_stacked",
                 "groups", "limit", "lot_w", "price", "prices", "sign", "units")  # fmt: skip

    def __init__(self, groups: IntArray, lot_w: int) -> None:
        self.groups = groups
        self.lot_w = lot_w
        self.limit: IntArray = np.zeros(_FIRST_ROOM, dtype=np.int64)
        self.sign: FloatArray = np.zeros(_FIRST_ROOM)
        self.price: FloatArray = np.zeros(_FIRST_ROOM)
        self.units: IntArray = np.zeros(_FIRST_ROOM, dtype=np.int64)
        self.prices: list[dict[Side, SortedDict]] = [
            {side: SortedDict() for side in Side} for _ in range(int(groups.max(initial=-1)) + 1)
        ]
        self._size = 0
        self._free: list[int] = []
        self._levels: dict[LevelKey, int] = {}
        self._queues: dict[int, dict[int, ColumnEntry]] = {}
        self._entries: dict[int, ColumnEntry] = {}
        self._conditions: dict[int, Condition] = {}
        self._stacked: _Stacked | None = None

    def __len__(self) -> int:
        return len(self._entries)

    def __contains__(self, order_id: int) -> bool:
        return order_id in self._entries

    def __iter__(self) -> Iterator[ColumnEntry]:
        return iter(self._entries.values())

    @property
    def size(self) -> int:
        """Number of columns, free ones included."""
        return self._size

    @property
    def conditions(self) -> dict[int, Condition]:
        """Conditional orders by column."""
        return self._conditions

    def entry(self, order_id: int) -> ColumnEntry:
        """Return an open order.  O(1)."""
        return self._entries[order_id]

    def queue(self, column: int) -> Iterator[ColumnEntry]:
        """Iterate over the orders of a column, oldest first."""
        return iter(self._queues[column].values())

    def add(self, order: ProgramOrder) -> ColumnEntry:
        """Take up an order behind all of lower rank.  O(1), plus a new price O(log prices).

        Raises
        ------
        ValueError
            When it is known already, not in whole lots or out of range; says which.
        """
        self._validate(order)
        if order.is_plain(self.lot_w):
            leg = order.legs[0]
            key = _level_of(order)
            column = self._levels.get(key)
            if column is None:
                column = self._new_column(leg.column, order)
                self._levels[key] = column
                levels = self.prices[self.groups[leg.column]][order.side]
                levels.setdefault(order.limit_price_ticks, {})[column] = None
            units = leg.quantity_w // self.lot_w
        else:
            column = self._new_column(-1, order)
            units = self._add_condition(column, order)
        queue = self._queues.setdefault(column, {})
        late = bool(queue) and next(reversed(queue.values())).order.rank > order.rank
        entry = ColumnEntry(order, column, units)
        queue[order.order_id] = self._entries[order.order_id] = entry
        if late:  # It was here before, and comes back with the rank it had.
            by_rank = sorted(queue.items(), key=lambda item: item[1].order.rank)
            self._queues[column] = dict(by_rank)
        self.units[column] += units
        return entry

    def _validate(self, order: ProgramOrder) -> None:
        name = f"order {order.order_id}"
        if order.order_id in self._entries:
            raise ValueError(f"{name} is in the program already")
        if not order.legs or len({leg.column for leg in order.legs}) < len(order.legs):
            raise ValueError(f"{name} must have legs, each at a limit of its own")
        for leg in order.legs:
            if abs(order.price_of(leg)) > MAX_PRICE_TICKS:
                raise ValueError(f"{name} has a limit price of {order.price_of(leg)} ticks")
            if leg.quantity_w <= 0 or leg.quantity_w % self.lot_w:
                raise ValueError(
                    f"{name} of {leg.quantity_w} W is not in whole lots of {self.lot_w} W"
                )
            if not 0 <= leg.column < len(self.groups):
                raise ValueError(f"{name} is at limit {leg.column} of {len(self.groups)}")

    def _new_column(self, limit: int, order: ProgramOrder) -> int:
        if self._free:
            column = self._free.pop()
        else:
            column = self._size
            self._size += 1
            if column == len(self.units):
                for name in ("limit", "sign", "price", "units"):
                    array = getattr(self, name)
                    setattr(self, name, np.concatenate([array, np.zeros_like(array)]))
        self.limit[column] = limit
        self.sign[column] = order.sign
        self.price[column] = order.limit_price_ticks
        self.units[column] = 0
        return column

    def _add_condition(self, column: int, order: ProgramOrder) -> int:
        """Make a condition of an order; return its units."""
        lots = np.array([leg.quantity_w // self.lot_w for leg in order.legs], dtype=np.int64)
        units = math.gcd(*lots.tolist())
        per_unit_w = order.quantity_w // units
        self._stacked = None
        self._conditions[column] = Condition(
            order_id=order.order_id,
            rank=order.rank,
            limits=np.array([leg.column for leg in order.legs], dtype=np.int64),
            lots=lots // units * np.array([order.sign_of(leg) for leg in order.legs]),
            prices=np.array([order.price_of(leg) for leg in order.legs], dtype=np.int64),
            minimum=min(max(-(-order.minimum_w // per_unit_w), 1), units),
        )
        return units

    def reduce(self, order_id: int, units: int) -> ColumnEntry:
        """Take units off an order, which leaves when none is left.  O(1)."""
        entry = self._entries[order_id]
        if not 0 < units <= entry.units:
            raise ValueError(f"order {order_id} has {entry.units} units, not {units}")
        entry.units -= units
        self.units[entry.column] -= units
        if not entry.units:
            del self._entries[order_id]
            queue = self._queues[entry.column]
            del queue[order_id]
            if not queue:
                self._close(entry)
        return entry

    def _close(self, entry: ColumnEntry) -> None:
        column, order = entry.column, entry.order
        del self._queues[column]
        if self._conditions.pop(column, None) is not None:
            self._stacked = None
        else:
            leg = order.legs[0]
            del self._levels[_level_of(order)]
            levels = self.prices[self.groups[leg.column]][order.side]
            del levels[order.limit_price_ticks][column]
            if not levels[order.limit_price_ticks]:
                del levels[order.limit_price_ticks]
        self._free.append(column)

    def watts(self, entry: ColumnEntry, units: int) -> int:
        """Return how many watts so many units of an order are, over all legs."""
        condition = self._conditions.get(entry.column)
        return units * self.lot_w * (1 if condition is None else int(np.abs(condition.lots).sum()))

    def remaining(self, entry: ColumnEntry) -> tuple[ProgramLeg, ...]:
        """Return what is left of an order."""
        condition = self._conditions.get(entry.column)
        if condition is None:
            return (ProgramLeg(int(self.limit[entry.column]), entry.units * self.lot_w),)
        return tuple(
            replace(leg, quantity_w=entry.units * abs(int(lots)) * self.lot_w)
            for leg, lots in zip(entry.order.legs, condition.lots, strict=True)
        )

    def value(self, columns: IntArray) -> FloatArray:
        """Return ``s p`` of a unit of each column, in tick-lots."""
        values: FloatArray = self.sign[columns] * self.price[columns]
        if self._conditions:
            for place in np.flatnonzero(self.limit[columns] < 0).tolist():
                condition = self._conditions[int(columns[place])]
                values[place] = condition.prices @ condition.lots
        return values

    def surplus(self, local: FloatArray) -> FloatArray:
        """Return what a unit of each column gains at local prices, in tick-lots.

        ``s (p - local)`` for each lot; positive: better than its local price.  O(columns).
        """
        size = self._size
        # A conditional order's limit is -1: it reads the last price here and its own below.
        gained: FloatArray = self.sign[:size] * (self.price[:size] - local[self.limit[:size]])
        if self._conditions:
            stacked = self._side_by_side()
            gained[stacked.columns] = stacked.worth - stacked.costs(local)
        return gained

    def _side_by_side(self) -> _Stacked:
        if self._stacked is None:
            self._stacked = _Stacked.of(self._conditions)
        return self._stacked

    def surplus_of(self, column: int, local: FloatArray) -> float:
        """Return what a unit of one column gains at local prices, in tick-lots.  O(legs)."""
        condition = self._conditions.get(column)
        if condition is None:
            return float(self.sign[column] * (self.price[column] - local[self.limit[column]]))
        return float((condition.prices - local[condition.limits]) @ condition.lots)

    def costs(self, local: FloatArray) -> FloatArray:
        """Return what a unit of each column pays at local prices, shape (columns,)."""
        size = self._size
        paid: FloatArray = self.sign[:size] * local[self.limit[:size]]
        if self._conditions:
            stacked = self._side_by_side()
            paid[stacked.columns] = stacked.costs(local)
        return paid

    def cost_of(self, column: int, local: FloatArray) -> float:
        """Return what a unit of one column pays at local prices: less than 0 where it receives."""
        condition = self._conditions.get(column)
        if condition is None:
            return float(self.sign[column] * local[self.limit[column]])
        return float(local[condition.limits] @ condition.lots)

    def least_units(self, column: int) -> int:
        """Return the least units a conditional order trades: its minimum, or all that is left."""
        return min(self._conditions[column].minimum, int(self.units[column]))

    def lots_of_unit(self, column: int) -> int:
        """Return how many lots a unit of a column trades."""
        condition = self._conditions.get(column)
        return 1 if condition is None else int(np.abs(condition.lots).sum())

    def change(self, columns: IntArray, units: FloatArray | IntArray) -> FloatArray:
        """Return the change of each limit, in lots, shape (n,), when units of columns trade."""
        change = np.zeros(len(self.groups))
        limits = self.limit[columns]
        if not self._conditions:
            np.add.at(change, limits, self.sign[columns] * units)
            return change
        plain = limits >= 0
        np.add.at(change, limits[plain], self.sign[columns[plain]] * units[plain])
        for column, count in zip(columns[~plain].tolist(), units[~plain], strict=True):
            condition = self._conditions[column]
            change[condition.limits] += count * condition.lots
        return change

    def coefficients(self, columns: IntArray, per_lot: PerLot) -> FloatArray:
        """Return what a unit of each column changes rows by, shape (rows, len(columns)).

        ``per_lot`` says what a lot more of each of some limits changes them by.
        """
        limits = self.limit[columns]
        # A conditional order's limit is -1: it reads the last limit here and its own below.
        block: FloatArray = per_lot(limits) * self.sign[columns]
        if self._conditions:
            for place in np.flatnonzero(limits < 0).tolist():
                condition = self._conditions[int(columns[place])]
                block[:, place] = per_lot(condition.limits) @ condition.lots
        return block

    def oldest_first(self, columns: IntArray) -> list[ColumnEntry]:
        """Return the orders of columns, oldest first."""
        entries = [entry for column in columns.tolist() for entry in self.queue(column)]
        return sorted(entries, key=lambda entry: entry.order.rank)

    def check_invariants(self) -> None:
        """Check that columns, queues and price levels agree.

        Raises
        ------
        AssertionError
            With the column or order that breaks a rule.
        """
        for column, queue in self._queues.items():
            ranks = [entry.order.rank for entry in queue.values()]
            assert ranks == sorted(ranks), f"column {column}: {ranks}"
            left = sum(entry.units for entry in queue.values())
            assert left == self.units[column] > 0, f"column {column}: {left} units"
        assert sum(len(queue) for queue in self._queues.values()) == len(self._entries)
        plain = sum(
            len(columns)
            for sides in self.prices
            for levels in sides.values()
            for columns in levels.values()
        )
        assert plain == len(self._levels) == len(self._queues) - len(self._conditions)
        assert not self.units[np.array(self._free, dtype=np.int64)].any(), "a free column has units"
