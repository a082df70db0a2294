"""What a lot can gain at most, by which a rounded choice is judged."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from exchange.clearing.rounding import Rounding

BID, LOW_BID, ASK = range(3)


def lot_value(support: list[int], *, balanced: bool, reserve: int) -> float:
    orders: Any = SimpleNamespace(
        conditions={}, sign=np.array([1.0, 1.0, -1.0]), price=np.array([30.0, 20.0, 12.0])
    )
    nothing: Any = None
    program = Rounding(orders, nothing, nothing, balanced, reserve, nothing, nothing, nothing)
    return program.lot_value(np.array(support))


@pytest.mark.parametrize(
    ("support", "value"), [([BID, LOW_BID, ASK], 18), ([LOW_BID, ASK], 8), ([BID], 0), ([ASK], 0)]
)
def test_where_directions_balance_a_lot_is_bought_and_sold(support: list[int], value: int) -> None:
    assert lot_value(support, balanced=True, reserve=0) == value


@pytest.mark.parametrize(
    ("support", "value"), [([BID, LOW_BID, ASK], 18), ([LOW_BID], 5), ([BID], 15), ([ASK], 3)]
)
def test_else_one_side_may_be_the_dso_at_its_reserve_price(support: list[int], value: int) -> None:
    assert lot_value(support, balanced=False, reserve=15) == value
