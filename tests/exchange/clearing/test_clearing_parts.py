"""Rows of separate parts: kept apart, they mean what the matrix over all limits means."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from random_programs import BASE_W, LOT_W, POINTS, buy, sell

from exchange.clearing.lot_rows import LotRows
from exchange.clearing.problem import NetworkRows
from exchange.clearing.welfare_clearing import WelfareClearing
from security_check.checking.linear_rows import PartRows

LIMITS = 2 * POINTS


def drawn(rng: np.random.Generator, parts: int) -> NetworkRows:
    """Return random rows whose limits lie scattered over some parts, some without any row."""
    home = rng.integers(parts, size=LIMITS)
    found = []
    for k in range(parts):
        own = np.flatnonzero(home == k)
        A = rng.uniform(0, 3, (int(rng.integers(3)), len(own))) * (rng.random(len(own)) < 0.8)
        found.append(PartRows(own, A, rng.uniform(0, 15, len(A)) * LOT_W / BASE_W))
    return NetworkRows(tuple(found), LIMITS, BASE_W)


def whole(rows: NetworkRows) -> NetworkRows:
    """Return the same rows as one part."""
    return NetworkRows.of_one(rows.A, rows.headroom, rows.base_power_w)


@given(st.integers(0, 10**6), st.integers(1, 3))
@settings(max_examples=60, deadline=None)
def test_parts_have_the_loads_and_prices_of_the_whole_matrix(seed: int, parts: int) -> None:
    rng = np.random.default_rng(seed)
    rows = drawn(rng, parts)
    lots = LotRows.scaled(rows, LOT_W)
    scale = rows.A.max(axis=1, initial=0.0)
    live = scale > 0
    a, h = rows.A[live] / scale[live, None], rows.headroom[live] / scale[live] * BASE_W / LOT_W
    change = rng.integers(-3, 4, LIMITS) * (rng.random(LIMITS) < 0.5).astype(float)
    eta = rng.uniform(0, 5, len(h)) * (rng.random(len(h)) < 0.5)
    some = rng.permutation(LIMITS)[:3]
    np.testing.assert_allclose(lots.h, h)
    np.testing.assert_allclose(lots.loads(change), a @ change, atol=1e-12)
    np.testing.assert_allclose(lots.prices(eta), eta @ a, atol=1e-12)
    np.testing.assert_allclose(lots.of_limits(some), a[:, some])
    np.testing.assert_allclose(lots.of_rows(np.arange(len(h))), a)
    of_network = lots.network_prices(eta) @ rows.A / BASE_W
    np.testing.assert_allclose(of_network, eta @ a, atol=1e-9)


@given(st.integers(0, 10**6))
@settings(max_examples=40, deadline=None)
def test_a_market_in_parts_trades_what_it_does_as_one(seed: int) -> None:
    """Event by event, while trades leave most parts' rows as they are and the others drift."""
    rng = np.random.default_rng(seed)
    rows = drawn(rng, 3)
    apart, together = WelfareClearing(rows, LOT_W), WelfareClearing(whole(rows), LOT_W)
    for number in range(1, 30):
        make = (buy, sell)[int(rng.integers(2))]
        column, lots, price = (int(rng.integers(n)) for n in (LIMITS, 8, 9))
        for clearing in (apart, together):
            clearing.add(make(number, column, (lots + 1) * LOT_W, price))
        while True:
            found, same = apart.optimum(), together.optimum()
            assert found.quantities_w == same.quantities_w
            if not found.quantities_w:
                break
            apart.execute(found)
            together.execute(same)
            touched = int(rng.integers(3))
            parts = list(rows.parts)
            old = parts[touched]
            drift = rng.uniform(0.95, 1.05, old.A.shape)
            room = rng.uniform(0, 10, len(old.headroom)) * LOT_W / BASE_W
            parts[touched] = replace(old, A=old.A * drift, headroom=room)
            rows = replace(rows, parts=tuple(parts))
            apart.replace_rows(rows)
            together.replace_rows(whole(rows))
            scaled_anew = LotRows.scaled(rows, LOT_W)
            np.testing.assert_array_equal(apart.rows.h, scaled_anew.h)
            np.testing.assert_array_equal(
                apart.rows.of_limits(np.arange(LIMITS)), scaled_anew.of_limits(np.arange(LIMITS))
            )
