"""What is paid is received, no order is worse than its limit, and the operator never pays."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from random_programs import LOT_W, POINTS, Case, buy, cases, free_network, network, sell

from exchange.clearing.payments import Execution, Payments, at_local_prices, at_maker_prices
from exchange.clearing.problem import ClearingOptimum


def executions(case: Case, optimum: ClearingOptimum) -> list[Execution]:
    by_number = {order.order_id: order for order in case.orders}
    return [Execution(by_number[n], quantity_w) for n, quantity_w in optimum.quantities_w.items()]


def check_payments(traded: list[Execution], payments: Payments, reserve: int) -> None:
    assert sum(payments.paid.values()) == payments.issued + payments.rent
    assert payments.rent >= 0
    assert payments.issued == reserve * sum(e.order.sign * e.quantity_w for e in traded)
    assert set(payments.paid) == {e.order.order_id for e in traded}
    for execution in traded:
        assert payments.paid[execution.order.order_id] <= execution.at_limit


@given(cases(conditional=True))
@settings(max_examples=120, deadline=None)
def test_local_prices_pay_exactly_and_never_against_a_limit(case: Case) -> None:
    optimum = case.filled().optimum()
    traded = executions(case, optimum)
    reserve = case.reserve or 0
    check_payments(traded, at_local_prices(traded, optimum.prices.local, reserve), reserve)


@given(cases(), st.data())
@settings(max_examples=120, deadline=None)
def test_maker_prices_pay_exactly_and_the_taker_gets_the_difference(
    case: Case, data: st.DataObject
) -> None:
    optimum = case.filled().optimum()
    traded = executions(case, optimum)
    if not traded:
        return
    taker = data.draw(st.sampled_from(traded))
    reserve = case.reserve or 0
    payments = at_maker_prices(traded, taker.order.order_id, reserve)
    check_payments(traded, payments, reserve)
    assert payments.rent == 0
    for execution in traded:
        if execution is not taker:
            assert payments.paid[execution.order.order_id] == execution.at_limit
    assert taker.at_limit - payments.paid[taker.order.order_id] == optimum.gain


@given(
    cases(conditional=True),
    st.lists(st.floats(-5, 30), min_size=2 * POINTS, max_size=2 * POINTS),
)
@settings(max_examples=150, deadline=None)
def test_even_prices_that_prove_nothing_are_paid_exactly(case: Case, local: list[float]) -> None:
    """Rounding may leave the operator short by any amount up to what participants gain."""
    optimum = case.filled().optimum()
    traded = executions(case, optimum)
    reserve = case.reserve or 0
    check_payments(traded, at_local_prices(traded, np.array(local), reserve), reserve)


def test_the_congestion_rent_is_what_the_rows_are_worth() -> None:
    rows = network([[0.0, 1.0, 0.0, 0.0]], [5.0])
    orders = (sell(1, 0, 100, 10), buy(2, 1, 100, 20))
    case = Case(rows, orders)
    optimum = case.filled().optimum()
    payments = at_local_prices(executions(case, optimum), optimum.prices.local)
    assert payments.paid == {1: -500, 2: 1000}
    assert payments.rent == round(float(optimum.prices.rows @ rows.headroom)) == 500


def test_one_price_for_all_at_a_point() -> None:
    """Without congestion all orders trade at the middle of what proves the match."""
    orders = (sell(1, 0, 60, 10), sell(2, 0, 60, 12), buy(3, 1, 100, 20), buy(4, 1, 10, 17))
    case = Case(free_network(2), orders)
    optimum = case.filled().optimum()
    payments = at_local_prices(executions(case, optimum), optimum.prices.local)
    price = optimum.prices.local[0]
    # The ask at 12 has ten watts left.
    assert price == pytest.approx(12.0)
    assert payments.paid == {1: -720, 2: -600, 3: 1200, 4: 120}
    assert payments.rent == 0


def test_fractions_of_a_price_go_to_the_operator() -> None:
    traded = [Execution(sell(1, 0, LOT_W, 10), LOT_W), Execution(buy(2, 1, LOT_W, 20), LOT_W)]
    payments = at_local_prices(traded, np.array([12.34, 12.34]))
    assert payments.paid == {1: -123, 2: 124}
    assert payments.rent == 1


def test_a_shortfall_of_rounding_is_shared_by_those_who_gain() -> None:
    """The seller relieves a full row by more than the buyer loads it: 50 of rent are missing."""
    traded = [Execution(sell(1, 0, 10, 10), 10), Execution(buy(2, 1, 10, 30), 10)]
    payments = at_local_prices(traded, np.array([25.0, 20.0]))
    assert payments.rent == 0
    # Surpluses at local prices are 150 and 100; each gives up a fifth.
    assert payments.paid == {1: -220, 2: 220}


def test_taker_and_makers_on_both_sides() -> None:
    """The taker pays what its makers do not pay each other."""
    traded = [
        Execution(sell(1, 0, 100, 10), 100),
        Execution(buy(2, 1, 60, 18), 60),
        Execution(buy(3, 2, 40, 30), 40),
    ]
    payments = at_maker_prices(traded, taker=3)
    assert payments.paid == {1: -1000, 2: 1080, 3: -80}


def test_a_taker_that_does_not_trade_and_trades_at_a_loss_are_refused() -> None:
    traded = [Execution(sell(1, 0, 10, 10), 10), Execution(buy(2, 1, 10, 30), 10)]
    with pytest.raises(ValueError, match="order 3 does not trade"):
        at_maker_prices(traded, taker=3)
    losing = [Execution(sell(1, 0, 10, 30), 10), Execution(buy(2, 1, 10, 10), 10)]
    with pytest.raises(ValueError, match="lose 200"):
        at_local_prices(losing, np.zeros(2))
