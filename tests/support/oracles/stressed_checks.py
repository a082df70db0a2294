"""What must hold for envelopes of a stressed network, whatever found its worst points."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Protocol, TypeVar

import numpy as np

from doe_allocation.allocation.network_grid import NetworkGrid
from security_check.checking.check import SecurityCheck
from security_check.checking.verdict import LimitChange
from security_check.errors import GridError, PowerFlowError
from security_check.model.envelope import Direction
from security_check.model.limits import InterfaceLimits

SECURE = 1e-6  # per unit of voltage, or part of a rating
FAIRER = 1e-2  # a limit that can rise by this part is not max-min
ROUNDED = 3e-6  # part of a limit that tolerances may cost, besides a whole watt
FULL = 3e-6  # within this of its limit a row is full (docs/fairness.md)


T = TypeVar("T")


class Found(Protocol):
    """The worst point that brute force found."""

    @property
    def violation(self) -> float: ...


class Attack(Protocol):
    """Brute force on one case, with this many customers."""

    @property
    def count(self) -> int: ...

    def worst(self, limits_w: np.ndarray) -> Found: ...


def gap(attack: Attack, limits_w: np.ndarray, capacity_w: int) -> float:
    """Return the largest part tried by which a limit can rise beside no larger ones."""
    largest = 0.0
    for k in np.flatnonzero(limits_w < capacity_w):
        box = np.minimum(limits_w, limits_w[k]) * (1.0 + ROUNDED) + 1
        for part in (FAIRER, 0.1, 1.0):
            box[k] = min(limits_w[k] * (1.0 + part) + 2, capacity_w)
            if attack.worst(box.astype(np.int64)).violation > -FULL:
                break
            largest = max(largest, part)
    return largest


class Case(Protocol):
    """The limits under which envelopes are asked for."""

    @property
    def interface(self) -> InterfaceLimits: ...

    @property
    def capacity_w(self) -> int: ...


def published(case: Case, grid: NetworkGrid, attack: Attack) -> SecurityCheck | None:
    """Check what is published; ``None`` where nothing is, because not even zero is secure."""
    try:
        check = grid.allocate(case.interface)
    except GridError:
        nothing = attack.worst(np.zeros(2 * attack.count, dtype=np.int64))
        assert nothing.violation > -SECURE, "secure limits exist"
        return None
    found = attack.worst(check.limits_w)
    assert found.violation <= SECURE, (found, check.limits_w)
    stated = check.envelopes().fairness_gap
    if stated is not None and stated < FAIRER:
        assert gap(attack, check.limits_w, case.capacity_w) == 0.0, check.limits_w
    return check


def trade_at_random(check: SecurityCheck, seed: int) -> int:
    """Trade up to everything between random customers; return how many trades were confirmed."""
    rng, points, traded = np.random.default_rng(seed), check.connection_points, 0
    for _ in range(8):
        direction = list(Direction)[rng.integers(2)]
        seller, buyer = rng.choice(len(points), 2, replace=False)
        held_w = check.envelopes().limits_w(direction)[seller]
        quantity_w = int(held_w * rng.choice([0.1, 0.5, 1.0]))
        for _ in range(4):
            quantity_w, _ = check.largest_secure_w(
                direction, points[seller], points[buyer], quantity_w
            )
            if not quantity_w:
                break
            changes = [
                LimitChange(points[seller], direction, -quantity_w),
                LimitChange(points[buyer], direction, quantity_w),
            ]
            try:
                verdict = check.confirm(changes)
            except PowerFlowError:
                break
            if verdict.secure:
                check.commit(changes)
                traded += 1
                break
    return traded


def trades(check: SecurityCheck, attack: Attack, seed: int) -> int:
    """Check that nothing that trades lead to is insecure; return how many were confirmed."""
    traded = trade_at_random(check, seed)
    found = attack.worst(check.limits_w)
    assert found.violation <= SECURE, (seed, found, check.limits_w)
    return traded


def published_and_traded(case: Case, grid: NetworkGrid, attack: Attack, seed: int) -> int:
    """Check what is published in a case, and what trades make of it; return their number."""
    check = published(case, grid, attack)
    return 0 if check is None else trades(check, attack, seed)


def of_each(seeds: Iterable[int], check: Callable[[int], T]) -> list[T]:
    """Return what a check finds for each seed; what it raises names the seed."""
    found = []
    for seed in seeds:
        try:
            found.append(check(seed))
        except Exception as error:
            error.add_note(f"the case of seed {seed}")
            raise
    return found
