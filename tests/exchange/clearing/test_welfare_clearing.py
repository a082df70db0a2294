"""The optimum against an independent program, in whole lots, tier by tier."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from clearing_oracle import Oracle
from hypothesis import assume, given, settings
from random_programs import (
    BASE_W,
    LOT_W,
    Case,
    buy,
    cases,
    clearing_of,
    free_network,
    network,
    sell,
)

from exchange.clearing.highs import WarmModel
from exchange.clearing.problem import ClearingError, NetworkRows, ProgramOrder, Tier
from exchange.clearing.welfare_clearing import WelfareClearing
from exchange.vocabulary.rules import ExchangeRate


@given(cases())
@settings(max_examples=80, deadline=None)
def test_whole_lots_balance_and_no_improvement_above_one_lot_is_left(case: Case) -> None:
    clearing = case.filled()
    optimum = clearing.optimum()
    case.check(optimum)
    best = case.oracle().whole_lots()
    assert optimum.gain <= best + 1e-5
    headroom, gain = case.rows.headroom, optimum.gain
    while optimum.quantities_w:
        clearing.execute(optimum)
        change_w = case.changes_w(optimum)
        headroom = headroom - case.rows.A @ change_w / BASE_W
        optimum = clearing.optimum()
        gain += optimum.gain
    assert gain <= best + 1e-5
    clearing.orders.check_invariants()
    left = case.left_after(clearing, NetworkRows.of_one(case.rows.A, headroom, BASE_W))
    assert left.whole_lots() <= case.lot_value() + 1e-5
    # The bound is that of the linear program of what is left, and proved by other duals there.
    assert left.linear()[1] == pytest.approx(optimum.bound, abs=1e-3)


@given(cases(count=5, lots=3, prices=8, points=2))
@settings(max_examples=80, deadline=None)
def test_the_oracle_and_the_optimum_agree_with_trying_everything(case: Case) -> None:
    best = case.oracle().brute_force()
    assert case.oracle().whole_lots() == pytest.approx(best, abs=1e-4)
    optimum = case.filled().optimum()
    assert best - case.lot_value() * len(case.orders) <= optimum.gain <= best + 1e-6


@given(cases(prices=6))
@settings(max_examples=80, deadline=None)
def test_a_merit_order_match_that_holds_is_the_linear_optimum(case: Case) -> None:
    clearing = case.filled()
    optimum = clearing.optimum()
    assume(optimum.tier is Tier.MERIT_ORDER)
    gain = case.oracle().linear()[1]
    assert optimum.gain == pytest.approx(gain, abs=1e-3)
    # The same orders with a row that stops one more watt than they trade: tier 3 answers.
    tight = NetworkRows.of_one(np.ones((1, case.rows.A.shape[1])), np.zeros(1), BASE_W)
    if case.reserve is None:
        other = Case(NetworkRows.joined([tight]), case.orders).filled()
        assert other.optimum().quantities_w == optimum.quantities_w


def test_a_third_order_makes_a_blocked_pair_secure() -> None:
    """Pairwise matching stops here: each pair overloads the row, the three together do not."""
    rows = network([[1.0, 0.5, 0.0, 0.0, 0.0, 0.0]], [0.0])
    clearing = clearing_of(rows)
    assert not clearing.add(sell(1, 2, 100, 10)) or not clearing.optimum().quantities_w
    clearing.add(buy(2, 1, 100, 50))
    assert not clearing.optimum().quantities_w
    clearing.add(sell(3, 0, 50, 40))
    optimum = clearing.optimum()
    assert optimum.tier is Tier.LINEAR
    assert optimum.quantities_w == {1: 50, 2: 100, 3: 50}
    assert optimum.gain == 50 * 100 - 10 * 50 - 40 * 50


def test_both_directions_share_rows() -> None:
    """Injection sold relieves a row that withdrawal bought elsewhere loads."""
    rows = network([[1.0, 0.0, 0.0, 1.0]], [0.0])
    clearing = clearing_of(rows, sell(1, 2, 50, 10), buy(2, 3, 50, 30))
    assert not clearing.optimum().quantities_w
    clearing.add(buy(3, 1, 50, 19))
    clearing.add(sell(4, 0, 50, 20))
    assert clearing.optimum().quantities_w == {1: 50, 2: 50, 3: 50, 4: 50}
    assert clearing.optimum().gain == 50 * (30 - 10) - 50 * (20 - 19)


def test_rows_corrected_by_the_power_flow_void_the_proposal_and_solve_again() -> None:
    rows = network([[0.0, 1.0, 0.0, 0.0]], [8.0])
    clearing = clearing_of(rows, sell(1, 0, 100, 10), buy(2, 1, 100, 20))
    refuted = clearing.optimum()
    assert refuted.quantities_w == {1: 80, 2: 80}
    clearing.replace_rows(network([[0.0, 1.25, 0.0, 0.0]], [8.0]))
    with pytest.raises(ValueError, match="changed"):
        clearing.execute(refuted)
    confirmed = clearing.optimum()
    assert confirmed.quantities_w == {1: 60, 2: 60}
    clearing.execute(confirmed)
    clearing.replace_rows(network([[0.0, 1.25, 0.0, 0.0]], [2.5]))
    assert clearing.optimum().quantities_w == {1: 20, 2: 20}


def test_negative_headroom_allows_what_does_not_load_the_row() -> None:
    clearing = clearing_of(
        network([[1.0, 0.5, 0.0, 0.0]], [-3.0]),
        sell(1, 0, 50, 10),
        buy(2, 1, 50, 20),
        buy(3, 0, 50, 30),
    )
    assert clearing.optimum().quantities_w == {1: 50, 3: 50}


def test_limits_stop_at_their_bounds() -> None:
    rise_w, fall_w = np.array([-1, 35, -1, -1]), np.array([-1, -1, -1, -1])
    rows = replace(free_network(2), rise_w=rise_w, fall_w=fall_w)
    clearing = clearing_of(rows, sell(1, 0, 100, 10), buy(2, 1, 100, 20))
    optimum = clearing.optimum()
    assert optimum.quantities_w == {1: 30, 2: 30}
    assert optimum.prices.local[1] == pytest.approx(20.0)
    clearing.execute(optimum)
    assert not clearing.optimum().quantities_w


def test_network_weighted_watts_count_what_they_free() -> None:
    """One watt sold at the weak end frees ten near the transformer; the operator issues nine."""
    rows = network([[1.0, 0.1, 0.0, 0.0]], [0.0])
    weighted = WelfareClearing(rows, LOT_W, ExchangeRate.NETWORK_WEIGHTED)
    balanced = WelfareClearing(rows, LOT_W)
    for clearing in (weighted, balanced):
        clearing.add(sell(1, 0, 10, 30))
        clearing.add(buy(2, 1, 100, 20))
    assert weighted.optimum().quantities_w == {1: 10, 2: 100}
    assert weighted.optimum().gain == 100 * 20 - 10 * 30
    assert not balanced.optimum().quantities_w
    dear = WelfareClearing(rows, LOT_W, ExchangeRate.NETWORK_WEIGHTED, reserve_price_ticks=19)
    dear.add(sell(1, 0, 10, 30))
    dear.add(buy(2, 1, 100, 20))
    # Each watt costs 11 more than the operator pays for it, and the ten it frees gain 1 each.
    assert not dear.optimum().quantities_w


def test_duals_prove_the_optimum() -> None:
    rows = network([[0.0, 1.0, 0.0, 0.0]], [5.0])
    clearing = clearing_of(rows, sell(1, 0, 100, 10), buy(2, 1, 100, 20))
    optimum = clearing.optimum()
    prices = optimum.prices
    assert prices.local[0] == pytest.approx(10.0)
    assert prices.local[1] == pytest.approx(20.0)
    assert prices.local == pytest.approx(
        np.repeat(prices.balance, 2) + prices.rows @ rows.A / BASE_W
    )
    # Strong duality in the caller's units: eta h and the surpluses make up the gain.
    assert float(prices.rows @ rows.headroom) == pytest.approx(optimum.gain)


def test_a_solver_that_is_not_sure_means_no_trade(monkeypatch: pytest.MonkeyPatch) -> None:
    clearing = clearing_of(
        network([[0.0, 1.0, 0.0, 0.0]], [5.0]), sell(1, 0, 100, 10), buy(2, 1, 100, 20)
    )

    def fail(self: WarmModel) -> None:
        raise ClearingError("the solver ends with Unknown")

    with monkeypatch.context() as patched:
        patched.setattr(WarmModel, "solve", fail)
        with pytest.raises(ClearingError, match="Unknown"):
            clearing.optimum()
        with pytest.raises(ClearingError):
            clearing.optimum()
    assert clearing.optimum().quantities_w == {1: 50, 2: 50}


@pytest.mark.parametrize(
    ("order", "says"),
    [
        (buy(1, 9, 10, 5), "limit 9 of 4"),
        (buy(1, 0, 15, 5), "whole lots of 10 W"),
        (buy(1, 0, 0, 5), "whole lots"),
        (buy(1, 0, 10, 2**50), "limit price"),
    ],
)
def test_orders_out_of_range_are_named(order: ProgramOrder, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        WelfareClearing(free_network(2), LOT_W).add(order)


@pytest.mark.parametrize("bad", [np.nan, -1.0, np.inf])
def test_rows_that_are_no_numbers_are_refused(bad: float) -> None:
    with pytest.raises(ValueError, match="coefficient"):
        WelfareClearing(NetworkRows.of_one(np.array([[bad, 0.0]]), np.zeros(1), BASE_W), LOT_W)


def test_prices_of_a_billion_ticks_and_megawatts_stay_exact() -> None:
    rows = network([[0.3, 1.0, 0.0, 0.0]], [100_000.7])
    orders = (sell(1, 0, 3_000_000, 10**9), buy(2, 1, 2_000_000, 10**9 + 1))
    case = Case(rows, orders)
    optimum = case.filled().optimum()
    case.check(optimum)
    # A lot moved takes 0.7 of a lot's headroom.
    assert optimum.quantities_w == {1: 1_428_580, 2: 1_428_580}
    assert Oracle(orders, rows, LOT_W).whole_lots() == pytest.approx(optimum.gain, rel=1e-6)
