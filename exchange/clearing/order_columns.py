"""The columns of the program as arrays: what a unit of each is worth, pays and changes.

Columns and units are defined in :mod:`exchange.clearing.problem`.  A plain column has one limit; a
conditional order (a block, a minimum quantity) is a column of its own, of which a unit trades
several lots.  :mod:`exchange.clearing.program_orders` says which orders are in which column.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from exchange.clearing.problem import TIE, Priority, ProgramOrder
from security_check.arrays import FloatArray, IntArray

_FIRST_SIZE = 256  # columns that the arrays have room for at first; they double when full

PerLot = Callable[[IntArray], FloatArray]
"""Returns the change of some rows per lot more of each of some limits, shape (rows, limits)."""


def per_lot_of(coefficients: FloatArray) -> PerLot:
    """Return the columns of a matrix of shape (rows, n) as a function of limits."""
    return lambda limits: coefficients[:, limits]


@dataclass(frozen=True, slots=True)
class Condition:
    """A conditional order as a column.

    Parameters
    ----------
    order_id, priority
        Of the order.
    limits
        Shape (legs,), the limits it trades.
    lots
        Shape (legs,), lots by which a unit changes each of them; negative where it sells.
    prices
        Shape (legs,), limit prices in ticks.
    minimum
        The least it trades, in units.
    """

    order_id: int
    priority: Priority
    limits: IntArray
    lots: IntArray
    prices: IntArray
    minimum: int

    @classmethod
    def of(cls, order: ProgramOrder, lot_w: int) -> tuple[Condition, int]:
        """Return the condition of an order, and how many units are left of it."""
        lots = np.array([leg.quantity_w // lot_w for leg in order.legs], dtype=np.int64)
        units = math.gcd(*lots.tolist())
        per_unit_w = order.quantity_w // units
        condition = cls(
            order_id=order.order_id,
            priority=order.priority,
            limits=np.array([leg.column for leg in order.legs], dtype=np.int64),
            lots=lots // units * np.array([order.sign_of(leg) for leg in order.legs]),
            prices=np.array([order.price_of(leg) for leg in order.legs], dtype=np.int64),
            minimum=min(max(-(-order.minimum_w // per_unit_w), 1), units),
        )
        return condition, units


@dataclass(frozen=True, slots=True)
class _Stacked:
    """The legs of all conditional orders in flat arrays, for sums over all of them at once.

    ``columns`` and ``worth``, shape (orders,): the column of each, and what a unit of it is worth
    at its limit prices.  ``limits`` and ``lots``, shape (legs,): those of all legs; the legs of an
    order begin at ``starts``, shape (orders,).
    """

    columns: IntArray
    worth: FloatArray
    limits: IntArray
    lots: IntArray
    starts: IntArray

    @classmethod
    def of(cls, conditions: dict[int, Condition]) -> _Stacked:
        """Return the legs of at least one conditional order."""
        legs = np.array([len(each.limits) for each in conditions.values()])
        return cls(
            columns=np.array(list(conditions), dtype=np.int64),
            worth=np.array([float(each.prices @ each.lots) for each in conditions.values()]),
            limits=np.concatenate([each.limits for each in conditions.values()]),
            lots=np.concatenate([each.lots for each in conditions.values()]),
            starts=np.cumsum(legs) - legs,
        )

    def costs(self, local: FloatArray) -> FloatArray:
        """Return what a unit of each pays at local prices, shape (orders,), in tick-lots."""
        costs: FloatArray = np.add.reduceat(local[self.limits] * self.lots, self.starts)
        return costs


class OrderColumns:
    """The columns of a program.

    Parameters
    ----------
    groups
        Shape (n,), the group of each limit: 0 and 1 for the directions of the first interval, and
        so on.
    lot_w
        Watts of a lot.

    Attributes
    ----------
    limit, sign, price, units
        Shape (columns,) or longer: limit (-1 for conditional orders), sign, limit price in ticks,
        and units left (0 for a column that is free).
    """

    __slots__ = ("_conditions", "_free", "_size", "_stacked", "groups", "limit", "lot_w", "price",
                 "sign", "units")  # fmt: skip

    def __init__(self, groups: IntArray, lot_w: int) -> None:
        self.groups = groups
        self.lot_w = lot_w
        self.limit: IntArray = np.zeros(_FIRST_SIZE, dtype=np.int64)
        self.sign: FloatArray = np.zeros(_FIRST_SIZE)
        self.price: FloatArray = np.zeros(_FIRST_SIZE)
        self.units: IntArray = np.zeros(_FIRST_SIZE, dtype=np.int64)
        self._size = 0
        self._free: list[int] = []
        self._conditions: dict[int, Condition] = {}
        self._stacked: _Stacked | None = None

    @property
    def size(self) -> int:
        """Number of columns, free ones included."""
        return self._size

    @property
    def conditions(self) -> dict[int, Condition]:
        """Conditional orders by column; read only."""
        return self._conditions

    # -- which columns there are ----------------------------------------------------------------

    def _open_column(self, order: ProgramOrder, condition: Condition | None) -> int:
        """Return a column without units for an order, a free one if there is one."""
        if self._free:
            column = self._free.pop()
        else:
            column = self._size
            self._size += 1
            if column == len(self.units):
                self._double()
        self.limit[column] = order.legs[0].column if condition is None else -1
        self.sign[column] = order.sign
        self.price[column] = order.limit_price_ticks
        self.units[column] = 0
        if condition is not None:
            self._conditions[column] = condition
            self._stacked = None
        return column

    def _free_column(self, column: int) -> None:
        self._free.append(column)
        if self._conditions.pop(column, None) is not None:
            self._stacked = None

    def _double(self) -> None:
        self.limit = np.concatenate([self.limit, np.zeros_like(self.limit)])
        self.sign = np.concatenate([self.sign, np.zeros_like(self.sign)])
        self.price = np.concatenate([self.price, np.zeros_like(self.price)])
        self.units = np.concatenate([self.units, np.zeros_like(self.units)])

    # -- what a unit of a column means ------------------------------------------------------------

    def lots_of_unit(self, column: int) -> int:
        """Return how many lots a unit of a column trades, over all legs."""
        condition = self._conditions.get(column)
        return 1 if condition is None else int(np.abs(condition.lots).sum())

    def least_units(self, column: int) -> int:
        """Return the least units a conditional order trades: its minimum, or all units left."""
        return min(self._conditions[column].minimum, int(self.units[column]))

    def value(self, columns: IntArray) -> FloatArray:
        """Return ``s p`` of a unit of each column, in tick-lots."""
        values: FloatArray = self.sign[columns] * self.price[columns]
        if self._conditions:
            for k in np.flatnonzero(self.limit[columns] < 0).tolist():
                condition = self._conditions[int(columns[k])]
                values[k] = condition.prices @ condition.lots
        return values

    def surplus(self, local: FloatArray) -> FloatArray:
        """Return what a unit of each column gains at local prices, in tick-lots.

        ``s (p - local)`` for each lot; positive where limit prices are better than local prices.
        O(columns).
        """
        size = self._size
        # The limit of a conditional order is -1: the last price, which the stacked legs replace.
        gained: FloatArray = self.sign[:size] * (self.price[:size] - local[self.limit[:size]])
        if self._conditions:
            stacked = self._legs()
            gained[stacked.columns] = stacked.worth - stacked.costs(local)
        return gained

    def surplus_of(self, column: int, local: FloatArray) -> float:
        """Return what a unit of one column gains at local prices, in tick-lots.  O(legs)."""
        condition = self._conditions.get(column)
        if condition is None:
            return float(self.sign[column] * (self.price[column] - local[self.limit[column]]))
        return float((condition.prices - local[condition.limits]) @ condition.lots)

    def conditions_matter(self, local: FloatArray) -> bool:
        """Return whether a conditional order is as good as its local prices."""
        return any(
            self.surplus_of(column, local) > -TIE * self.lots_of_unit(column)
            for column in self._conditions
        )

    def costs(self, local: FloatArray) -> FloatArray:
        """Return what a unit of each column pays at local prices, shape (columns,), tick-lots."""
        size = self._size
        paid: FloatArray = self.sign[:size] * local[self.limit[:size]]
        if self._conditions:
            stacked = self._legs()
            paid[stacked.columns] = stacked.costs(local)
        return paid

    def cost_of(self, column: int, local: FloatArray) -> float:
        """Return what a unit of one column pays at local prices; negative where it receives."""
        condition = self._conditions.get(column)
        if condition is None:
            return float(self.sign[column] * local[self.limit[column]])
        return float(local[condition.limits] @ condition.lots)

    def _legs(self) -> _Stacked:
        if self._stacked is None:
            self._stacked = _Stacked.of(self._conditions)
        return self._stacked

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
        """Return the change of some rows per unit of each column, shape (rows, len(columns)).

        ``per_lot`` returns the change of these rows per lot more of some limits.
        """
        limits = self.limit[columns]
        # The limit of a conditional order is -1: the last limit, which its own legs replace.
        block: FloatArray = per_lot(limits) * self.sign[columns]
        if self._conditions:
            for k in np.flatnonzero(limits < 0).tolist():
                condition = self._conditions[int(columns[k])]
                block[:, k] = per_lot(condition.limits) @ condition.lots
        return block
