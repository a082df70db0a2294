"""The open orders of a program: which column each is in, and which is older.

Plain orders at one limit, side and price share a column.  They differ in time only, so the program
sees their sum, and time priority decides within it.  An order with a condition has a column of its
own, and so have the hidden parts of iceberg orders at one limit, side and price.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from sortedcontainers import SortedDict

from exchange.clearing.order_columns import Condition, OrderColumns
from exchange.clearing.problem import OrderPart, ProgramLeg, ProgramOrder
from exchange.vocabulary.rules import MAX_PRICE_TICKS
from orderbook.order import Side
from security_check.arrays import IntArray

_LevelKey = tuple[int, int, int, bool]
"""Limit, sign, limit price in ticks, and whether hidden: what orders of a column have in common."""


def _level_of(order: ProgramOrder) -> _LevelKey:
    return order.legs[0].column, order.sign, order.limit_price_ticks, order.hidden


@dataclass(slots=True)
class ColumnEntry:
    """An open order in its column, with the units left of it."""

    order: ProgramOrder
    column: int
    units: int


class ProgramOrders(OrderColumns):
    """The open orders of a program, in columns.

    Parameters
    ----------
    groups, lot_w
        As of :class:`exchange.clearing.order_columns.OrderColumns`.

    Attributes
    ----------
    prices
        For each group and side, the columns of plain orders at each price.
    """

    __slots__ = ("_entries", "_levels", "_queues", "prices")

    def __init__(self, groups: IntArray, lot_w: int) -> None:
        super().__init__(groups, lot_w)
        self.prices: list[dict[Side, SortedDict]] = [
            {side: SortedDict() for side in Side} for _ in range(int(groups.max(initial=-1)) + 1)
        ]
        self._levels: dict[_LevelKey, int] = {}
        self._queues: dict[int, dict[int, ColumnEntry]] = {}
        self._entries: dict[OrderPart, ColumnEntry] = {}

    def __len__(self) -> int:
        return len(self._entries)

    def __contains__(self, order_id: int) -> bool:
        return (order_id, False) in self._entries

    def __iter__(self) -> Iterator[ColumnEntry]:
        return iter(self._entries.values())

    def entry(self, order_id: int) -> ColumnEntry:
        """Return an open order, without its hidden part.  O(1)."""
        return self._entries[order_id, False]

    def find(self, part: OrderPart) -> ColumnEntry | None:
        """Return a part of an order; ``None`` where it is not open.  O(1)."""
        return self._entries.get(part)

    def queue(self, column: int) -> Iterator[ColumnEntry]:
        """Iterate over the orders of a column, oldest first."""
        return iter(self._queues.get(column, {}).values())

    def oldest_first(self, columns: IntArray) -> list[ColumnEntry]:
        """Return the orders of columns by priority."""
        entries = [entry for column in columns.tolist() for entry in self.queue(column)]
        return sorted(entries, key=lambda entry: entry.order.priority)

    def add(self, order: ProgramOrder) -> ColumnEntry:
        """Add an order behind all of lower rank.  O(1), and O(log prices) for a new price.

        Raises
        ------
        ValueError
            When it is known already, not in whole lots or out of range; says which.
        """
        self._validate(order)
        if order.is_plain(self.lot_w):
            column, units = self._level(order), order.legs[0].quantity_w // self.lot_w
        else:
            condition, units = Condition.of(order, self.lot_w)
            column = self._open_column(order, condition)
        queue = self._queues.setdefault(column, {})
        is_late = bool(queue) and next(reversed(queue.values())).order.rank > order.rank
        entry = ColumnEntry(order, column, units)
        queue[order.order_id] = self._entries[order.part] = entry
        if is_late:  # It was suspended, and returns with the rank it had.
            by_rank = sorted(queue.items(), key=lambda item: item[1].order.rank)
            self._queues[column] = dict(by_rank)
        self.units[column] += units
        return entry

    def _level(self, order: ProgramOrder) -> int:
        """Return the column that a plain order shares, a new one where it is the first."""
        key = _level_of(order)
        column = self._levels.get(key)
        if column is None:
            column = self._levels[key] = self._open_column(order, None)
            levels = self.prices[self.groups[order.legs[0].column]][order.side]
            levels.setdefault(order.limit_price_ticks, {})[column] = None
        return column

    def _validate(self, order: ProgramOrder) -> None:
        name = f"order {order.order_id}"
        if order.part in self._entries:
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

    def reduce(self, entry: ColumnEntry, units: int) -> None:
        """Take units off an order, which leaves when none is left.  O(1)."""
        order = entry.order
        if not 0 < units <= entry.units:
            raise ValueError(f"order {order.order_id} has {entry.units} units, not {units}")
        entry.units -= units
        self.units[entry.column] -= units
        if not entry.units:
            del self._entries[order.part]
            queue = self._queues[entry.column]
            del queue[order.order_id]
            if not queue:
                self._close(entry)

    def _close(self, entry: ColumnEntry) -> None:
        """Free the column of the last order that was in it."""
        column, order = entry.column, entry.order
        del self._queues[column]
        if column not in self._conditions:
            del self._levels[_level_of(order)]
            levels = self.prices[self.groups[order.legs[0].column]][order.side]
            del levels[order.limit_price_ticks][column]
            if not levels[order.limit_price_ticks]:
                del levels[order.limit_price_ticks]
        self._free_column(column)

    def watts(self, entry: ColumnEntry, units: int) -> int:
        """Return the watts of some units of an order, over all legs."""
        return units * self.lot_w * self.lots_of_unit(entry.column)

    def remaining(self, entry: ColumnEntry) -> tuple[ProgramLeg, ...]:
        """Return the legs of an order with the quantities left."""
        condition = self._conditions.get(entry.column)
        if condition is None:
            return (ProgramLeg(int(self.limit[entry.column]), entry.units * self.lot_w),)
        return tuple(
            replace(leg, quantity_w=entry.units * abs(int(lots)) * self.lot_w)
            for leg, lots in zip(entry.order.legs, condition.lots, strict=True)
        )

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
