"""Which conditional orders trade: against scipy, and with as little effort as one likes."""

from __future__ import annotations

import random

import numpy as np
import pytest
from failing_solver import give_up_where
from hypothesis import given, settings
from hypothesis import strategies as st
from market import Market, all_of
from random_programs import LOT_W, Case, buy, clearing_of, free_network, network, sell

from exchange.clearing import work_budget
from exchange.clearing.conditional import branch_and_bound
from exchange.clearing.conditional.bounds import WarmChoices
from exchange.clearing.conditional.mixed_integer import ChoiceProgram
from exchange.clearing.highs import INFINITY
from exchange.clearing.problem import ClearingError, NetworkRows, ProgramOrder
from exchange.clearing.work_budget import ProgramCost, RemainingWork, WorkBudget
from exchange.vocabulary.events import AlarmRaised, Traded


def many(seed: int, count: int, lots: int, *, whole: bool) -> Case:
    """Return a program of conditional orders only, all-or-none ones or with minimum quantities."""
    draw = np.random.default_rng(seed)
    orders = list[ProgramOrder]()
    for number in range(1, count + 1):
        quantity_w = int(draw.integers(2, lots)) * LOT_W
        share = 1.0 if whole or draw.random() < 0.5 else draw.random()
        minimum_w = max(int(share * quantity_w) // LOT_W, 1) * LOT_W
        side = sell if draw.random() < 0.6 else buy
        price = int(draw.integers(10, 15)) + (1 if side is buy else 0)
        column = int(draw.integers(4))
        orders.append(side(number, column, quantity_w, price, minimum_w=minimum_w))
    rows = network(draw.integers(0, 3, (3, 4)).tolist(), draw.integers(0, 3 * lots, 3).tolist())
    return Case(rows, tuple(orders))


@pytest.mark.parametrize("seed", range(30))
def test_nothing_gains_more_however_the_best_choice_is_looked_for(seed, monkeypatch):
    case = many(seed, count=14, lots=30, whole=bool(seed % 2))
    best = case.oracle().whole_lots()
    found = []
    # All by branching; a little of it and the rest by the solver; all by the solver.
    for most in (10**6, 8, 0):
        monkeypatch.setattr(branch_and_bound, "MOST", most)
        optimum = case.filled().optimum()
        case.check(optimum)
        assert optimum.gain == pytest.approx(best, abs=1e-6)
        found.append(optimum.quantities_w)
    assert found[0] == found[1] == found[2], "the older order goes first in all of them"


@pytest.mark.parametrize("seed", range(20))
def test_among_plain_orders_both_ways_agree(seed, monkeypatch):
    case = many(seed, count=8, lots=12, whole=True)
    draw = random.Random(seed)
    plain = [
        (buy if draw.random() < 0.5 else sell)(
            number, draw.randrange(4), draw.randint(1, 9) * LOT_W, draw.randint(8, 17)
        )
        for number in range(20, 40)
    ]
    case = Case(case.rows, (*case.orders, *plain))
    gains = []
    for most in (10**6, 0):
        monkeypatch.setattr(branch_and_bound, "MOST", most)
        optimum = case.filled().optimum()
        case.check(optimum)
        gains.append(optimum.gain)
    assert gains[0] == gains[1]


@pytest.mark.parametrize("unsure", range(6))
def test_where_a_linear_program_is_not_sure_the_solver_decides(unsure, monkeypatch):
    """Whichever of the programs it is: what is not known to be looked at is not left out."""
    solve, asked = WarmChoices.solve, []

    def sometimes(programs, low, high):
        asked.append(programs)
        bound, units = solve(programs, low, high)
        return (INFINITY if len(asked) == 1 + unsure else bound), units

    for seed in range(8):
        case = many(seed, count=12, lots=30, whole=True)
        asked.clear()
        monkeypatch.setattr(WarmChoices, "solve", sometimes)
        found = case.filled().optimum()
        monkeypatch.setattr(WarmChoices, "solve", solve)
        assert found.gain == pytest.approx(case.oracle().whole_lots(), abs=1e-6)
        assert found.quantities_w == case.filled().optimum().quantities_w


@pytest.mark.parametrize("seed", range(12))
def test_where_the_solver_gives_up_unscaled_the_scaled_program_has_the_best_choice(
    seed, monkeypatch
):
    case = many(seed, count=14, lots=30, whole=bool(seed % 2))
    monkeypatch.setattr(branch_and_bound, "MOST", 0)
    best = case.filled().optimum()
    given_up = give_up_where(monkeypatch, lambda attempt: attempt.large)
    found = case.filled().optimum()
    assert any(attempt.mixed for attempt in given_up) or not best.quantities_w
    assert found.quantities_w == best.quantities_w
    assert found.gain == pytest.approx(case.oracle().whole_lots(), abs=1e-6)


def test_where_preferring_older_orders_fails_the_best_choice_stands(monkeypatch):
    best, failed = ChoiceProgram.best, []

    def fails(program: ChoiceProgram, least_gain: float, gap: float, aim: object = None):
        if aim is None:
            return best(program, least_gain, gap)
        failed.append(aim)
        raise ClearingError("the solver ends with Unknown")

    monkeypatch.setattr(ChoiceProgram, "best", fails)
    for seed in range(8):
        case = many(seed, count=14, lots=30, whole=bool(seed % 2))
        optimum = case.filled().optimum()
        case.check(optimum)
        assert optimum.gain == pytest.approx(case.oracle().whole_lots(), abs=1e-6)
    assert len(failed) > 3


@given(st.integers(0, 10**6), st.integers(0, 400))
@settings(max_examples=40, deadline=None)
def test_with_little_effort_conditions_are_kept_and_what_is_known_stands(seed, choices):
    """At least the best trades among orders without conditions are found, with none at all."""
    case = many(seed, count=10, lots=30, whole=False)
    draw = random.Random(seed)
    plain = tuple(
        (buy if draw.random() < 0.5 else sell)(
            number, draw.randrange(4), draw.randint(1, 9) * LOT_W, draw.randint(8, 17)
        )
        for number in range(20, 30)
    )
    # Without a network the linear program trades whole lots.
    case = Case(free_network(2), (*case.orders, *plain))
    spent = WorkBudget(RemainingWork(choices), RemainingWork(10**6))
    clearing = clearing_of(case.rows, *case.orders, budget=spent)
    optimum = clearing.optimum()
    case.check(optimum)
    without = Case(case.rows, plain).oracle().whole_lots()
    assert without - 1e-6 <= optimum.gain <= case.oracle().whole_lots() + 1e-6
    assert clearing.optimum() is optimum or not optimum.quantities_w


def a_flood(seed: int) -> tuple[Market, int]:
    """Return a market full of large all-or-none orders near one price, and its alarms."""
    draw = random.Random(seed)
    market, alarms = Market(points=50, capacity_w=10**7), 0
    for owner in range(50):
        events = market.submit(
            owner,
            "sell" if owner < 36 else "buy",
            2 * draw.randint(20_000, 90_000),
            100 + draw.randint(0, 4),
            all_or_none=True,
        )
        alarms += len(all_of(events, AlarmRaised))
    return market, alarms


def test_all_programs_of_an_event_share_its_effort(monkeypatch):
    """And no order is cancelled, nor alarm raised, because it is used up."""
    spent = [0, 0]
    spend, renew, closed = RemainingWork.spend, WorkBudget.renew, []

    def counted(budget: RemainingWork, units: int) -> None:
        spent[0] += min(units, budget.left)
        spend(budget, units)

    def begun(own: WorkBudget) -> None:
        spent[1], spent[0] = max(spent), 0
        renew(own)

    close = RemainingWork.close

    def noted(budget: RemainingWork) -> None:
        closed.append(budget.left)
        close(budget)

    monkeypatch.setattr(work_budget, "CHOICES", 1_000)
    monkeypatch.setattr(RemainingWork, "spend", counted)
    monkeypatch.setattr(RemainingWork, "close", noted)
    monkeypatch.setattr(WorkBudget, "renew", begun)
    market, alarms = a_flood(seed=1)
    assert not alarms
    assert closed, "the flood is more than the effort allows"
    # Nothing joins intervals here, and nothing needs whole lots: all of it is for choices.
    assert 0 < max(spent) <= 1_000
    assert market.exchange.state.orders
    market.exchange.check_invariants()


@pytest.mark.slow
def test_the_same_flood_leads_to_the_same_trades(monkeypatch):
    monkeypatch.setattr(work_budget, "CHOICES", 700)
    first, second = (a_flood(seed=2)[0].events for _ in range(2))
    assert [event for event in first if isinstance(event, Traded)] == [
        event for event in second if isinstance(event, Traded)
    ]


@given(st.integers(0, 5_000), st.integers(0, 900), st.integers(0, 900))
def test_no_program_is_begun_that_a_budget_cannot_pay_for(left, rows, columns):
    budget, work = RemainingWork(left), ProgramCost(rows, columns)
    nodes = budget.nodes(work)
    assert (nodes > 0) == (left >= work.root + work.node)
    if nodes:
        assert work.root + nodes * work.node <= left < work.root + (nodes + 1) * work.node


def test_rows_that_cannot_bind_make_no_difference():
    """They are left out; the program without them is the same, to the order."""
    draw = np.random.default_rng(3)
    for seed in range(8):
        case = many(seed, count=12, lots=20, whole=True)
        slack = network(draw.integers(0, 3, (30, 4)).tolist(), [10**4] * 30)
        more = NetworkRows.of_one(
            np.vstack([case.rows.A, slack.A]),
            np.append(case.rows.headroom, slack.headroom),
            case.rows.base_power_w,
        )
        with_them = Case(more, case.orders).filled().optimum()
        assert with_them.quantities_w == case.filled().optimum().quantities_w
