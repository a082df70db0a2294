"""Transfers of limits between customers, as the exchange asks for them."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from security_check.checking.check import SecurityCheck
from security_check.checking.verdict import LimitChange
from security_check.model.envelope import Direction

INJECTION, WITHDRAWAL = Direction.INJECTION, Direction.WITHDRAWAL


def moved(direction: Direction, seller: str, buyer: str, quantity_w: int) -> list[LimitChange]:
    return [
        LimitChange(seller, direction, -quantity_w),
        LimitChange(buyer, direction, quantity_w),
    ]


def column(check: SecurityCheck, direction: Direction, point: str) -> int:
    points = check.connection_points
    return points.index(point) + (0 if direction is INJECTION else len(points))


def trade(
    check: SecurityCheck, direction: Direction, seller: str, buyer: str, wanted_w: int
) -> int:
    """Transfer as much as the check lets through, as the exchange does; return how much."""
    for _ in range(20):
        quantity_w, element = check.largest_secure_w(direction, seller, buyer, wanted_w)
        assert 0 <= quantity_w <= wanted_w
        assert (element == "") == (quantity_w == wanted_w)
        if not quantity_w:
            return 0
        changes = moved(direction, seller, buyer, quantity_w)
        if check.confirm(changes).secure:
            check.commit(changes)
            return quantity_w
        wanted_w = quantity_w
    raise AssertionError(f"no quantity from {seller} to {buyer} was confirmed in 20 rounds")


def random_trades(
    check: SecurityCheck, count: int, seed: int
) -> Iterator[tuple[Direction, str, str, int]]:
    """Yield transfers of parts of what sellers hold at that moment."""
    rng = np.random.default_rng(seed)
    points = check.connection_points
    for _ in range(count):
        direction = (INJECTION, WITHDRAWAL)[rng.integers(2)]
        seller, buyer = (points[i] for i in rng.choice(len(points), 2, replace=False))
        held_w = int(check.limits_w[column(check, direction, seller)])
        wanted_w = int(held_w * rng.choice([0.02, 0.3, 1.0]))
        if wanted_w:
            yield direction, seller, buyer, wanted_w
