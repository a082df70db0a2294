"""Markets of a TSO and DSOs on linear networks: one by hand, and random ones."""

from __future__ import annotations

import numpy as np

from doe_allocation.coordination.problem import (
    TSO,
    LimitRows,
    Linearised,
    Market,
    Offer,
    Portfolio,
    SystemNeed,
)
from doe_allocation.procurement.choices import FlexDirection

UP, DOWN = FlexDirection.UPWARD, FlexDirection.DOWNWARD


def market(
    offers: list[Offer],
    change: np.ndarray,
    need_w: int,
    *,
    areas: tuple[str, ...] = ("dso",),
    cap: float = 500.0,
    portfolios: tuple[Portfolio, ...] = (),
    direction: FlexDirection = UP,
) -> Market:
    area = np.array([TSO if o.operator == "tso" else areas.index(o.operator) for o in offers])
    need = SystemNeed(direction, need_w, cap)
    return Market("tso", areas, tuple(offers), area, change, need, portfolios, 0.95)


def by_hand(need_mw: int = 8, *portfolios: Portfolio) -> Linearised:
    """Return a DSO whose line is at 12 MW of 10 MW, with offers behind it and beside it.

    At bus a, behind the line, 10 MW upward at 20, 10 MW downward at 5, and 4 Mvar at 4 of which
    each relieves the line by 0.5 MW; at bus b 5 MW upward at 30; at the TSO 20 MW upward at 50.
    """
    offers = [
        Offer("plant", "p", "tso", "t", UP, 20_000_000, 50.0),
        Offer("up a", "q", "dso", "a", UP, 10_000_000, 20.0),
        Offer("down a", "q", "dso", "a", DOWN, 10_000_000, 5.0),
        Offer("q a", "r", "dso", "a", UP, 4_000_000, 4.0, reactive=True),
        Offer("up b", "r", "dso", "b", UP, 5_000_000, 30.0),
    ]
    change = np.array([1.0, 1.0, -1.0, 1j, 1.0])
    rows = LimitRows(
        ("dso line", "tso line"),
        np.array([0, TSO]),
        np.array([[0.0, 1.0, -1.0, -0.5, 0.0], [0.5, 0.1, -0.1, 0.0, 0.1]]),
        np.array([12.0, 0.0]),
        np.array([-np.inf, -100.0]),
        np.array([10.0, 100.0]),
        np.array([True, True]),
    )
    zeros = np.zeros(1)
    return Linearised(
        market(offers, change, need_mw * 1_000_000, portfolios=portfolios),
        np.zeros(5),
        rows,
        np.array([[0.0, 1.0, -1.0, 0.0, 1.0]]),
        np.array([[0.0, 0.0, 0.0, 1.0, 0.0]]),
        zeros,
        zeros,
        zeros,
    )


def random_problem(seed: int, *, need_mw: float = 6.0, tso_rows: int = 2) -> Linearised:
    """Return a TSO and one or two DSOs, each with limits of its own; a DSO may have no offers.

    What a DSO does reaches the TSO's limits through the power at its interface only.
    """
    rng = np.random.default_rng(seed)
    areas = ("east", "west")[: int(rng.integers(1, 3))]
    offers, change = [], []
    for operator in ("tso", *areas):
        for k in range(int(rng.integers(1 if operator == "tso" else 0, 6))):
            reactive = bool(operator != "tso" and rng.random() < 0.3)
            way = UP if rng.random() < 0.6 else DOWN
            size = int(rng.integers(1, 5_000_000))
            price = round(float(rng.uniform(1.0, 90.0)), 2)
            name = f"{operator} {k}"
            offers.append(Offer(name, f"p{k}", operator, f"l{k}", way, size, price, reactive))
            change.append(way.sign * (1j if reactive else 1.0 + 0.2j * rng.uniform(-1, 1)))
    made = market(offers, np.array(change), int(need_mw * 1e6), areas=areas)
    m, o = len(areas), len(offers)
    inside = made.area == np.arange(m)[:, None]
    passed = rng.uniform(0.9, 1.1, (m, o))
    active = np.where(inside, passed * made.change.real, 0.0)
    reactive_out = np.where(inside, rng.uniform(0.8, 1.2, (m, o)) * made.change.imag, 0.0)
    A, owner = [], []
    for area in range(m):
        for _ in range(3):
            A.append(np.where(inside[area], rng.normal(size=o), 0.0))
            owner.append(area)
    out = np.concatenate([active, reactive_out])
    for _ in range(tso_rows):
        own = np.where(made.area == TSO, rng.normal(size=o), 0.0)
        A.append(own + rng.normal(size=2 * m) @ out)
        owner.append(TSO)
    r = len(A)
    value = rng.normal(size=r)
    high = value + rng.uniform(-0.5, 3.0, r)
    low = np.where(rng.random(r) < 0.5, -np.inf, high - rng.uniform(2.0, 9.0, r))
    rows = LimitRows(
        tuple(f"row {k}" for k in range(r)),
        np.array(owner),
        np.array(A),
        value,
        low,
        high,
        rng.random(r) < 0.5,
    )
    scheduled = rng.normal(size=m)
    return Linearised(
        made, np.zeros(o), rows, active, reactive_out, scheduled, rng.normal(size=m), scheduled
    )
