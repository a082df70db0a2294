"""The program of clearings against every choice of whole lots, tried one by one."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from exchange.flexibility.products.acceptance import (
    Bid,
    Choice,
    Limit,
    Market,
    Pair,
    Want,
    accept,
)
from exchange.flexibility.products.vocabulary import Goal

LOT = 1000


@st.composite
def markets(draw: st.DrawFn) -> Market:
    """Up to four bids of up to three lots, two wants, and conditions of every kind."""
    small = st.integers(0, 3)
    bids = [Bid(LOT * draw(st.integers(1, 3)), LOT, k) for k in range(draw(st.integers(1, 4)))]
    balanced = draw(st.booleans()) and draw(st.booleans())
    wants = [
        Want(LOT * draw(st.integers(0, 5)), draw(st.integers(0, 9)), balanced)
        for _ in range(draw(st.integers(1, 2)))
    ]
    every = [(b, n) for b in range(len(bids)) for n in range(len(wants))]
    chosen = draw(st.lists(st.sampled_from(every), unique=True, min_size=1, max_size=5))
    effects = st.sampled_from((1.0, 1.0, 0.5))
    ways = [draw(st.sampled_from((1, -1))) if balanced else 1 for _ in bids]
    pairs = [Pair(b, n, draw(small), draw(effects), ways[b]) for b, n in chosen]
    limits = []
    if draw(st.booleans()):
        rows = {b: draw(st.sampled_from((1.0, -1.0, 0.5))) for b in range(len(bids))}
        room = LOT * draw(small)
        limits.append(Limit(rows, -np.inf, room, {0: 1.0} if draw(st.booleans()) else {}))
    blocks = [(0, 1)] if len(bids) > 1 and draw(st.booleans()) else []
    choices = [
        Choice((b,), LOT * draw(st.integers(1, bid.most_w // LOT)))
        for b, bid in enumerate(bids)
        if draw(st.booleans())
    ]
    at_most_one = bool(choices) and draw(st.booleans())
    groups = [(tuple(range(len(choices))), 1)] if at_most_one else []
    return Market(bids, wants, pairs, limits, blocks, choices, groups)


def value(market: Market, goal: Goal, lots: tuple[int, ...]) -> tuple[float, ...] | None:
    """Return what each goal reaches with some lots, or nothing where they are not allowed."""
    watts = [LOT * each for each in lots]
    taken = [0] * len(market.bids)
    reached, balance = [0.0] * len(market.wants), [0] * len(market.wants)
    for pair, each in zip(market.pairs, watts, strict=True):
        taken[pair.bid] += each
        reached[pair.want] += pair.effect * each
        balance[pair.want] += pair.way * each
    if any(each > bid.most_w for each, bid in zip(taken, market.bids, strict=True)):
        return None
    if any(each and want.balanced for each, want in zip(balance, market.wants, strict=True)):
        return None
    served = [min(each, want.quantity_w) for each, want in zip(reached, market.wants, strict=True)]
    for limit in market.limits:
        row = sum(each * taken[bid] for bid, each in limit.bids.items())
        if row > limit.upper_w:
            return None
        for want in limit.wants:
            served[want] = min(served[want], limit.upper_w - row)
    if any(taken[group[0]] != taken[bid] for group in market.blocks for bid in group):
        return None
    on = [sum(taken[bid] for bid in choice.bids) > 0 for choice in market.choices]
    for choice, active in zip(market.choices, on, strict=True):
        if active and sum(taken[bid] for bid in choice.bids) < choice.least_w:
            return None
    if any(sum(on[k] for k in group) > most for group, most in market.chosen):
        return None
    cost = sum(pair.price_ticks * each for pair, each in zip(market.pairs, watts, strict=True))
    worth = sum(want.cap_ticks * each for want, each in zip(market.wants, served, strict=True))
    order = sum(
        market.bids[pair.bid].order * each for pair, each in zip(market.pairs, watts, strict=True)
    )
    if goal is Goal.WELFARE:
        return worth - cost, sum(served), -order
    return sum(served), -cost, -order


@given(markets(), st.sampled_from(list(Goal)))
def test_no_choice_of_lots_is_better(market: Market, goal: Goal) -> None:
    ranges = [range(market.bids[pair.bid].most_w // LOT + 1) for pair in market.pairs]
    values = [value(market, goal, lots) for lots in product(*ranges)]
    best = max(each for each in values if each is not None)
    found = accept(market, goal)
    reached = value(market, goal, tuple(each // LOT for each in found))
    assert reached is not None, "it is not allowed"
    # Order counts places among the bids of a part; compare what decides before it exactly.
    assert reached[:2] == pytest.approx(best[:2], abs=1e-6)


def test_of_equal_bids_the_older_one_is_taken() -> None:
    bids = [Bid(2000, 1000, 7), Bid(2000, 1000, 3)]
    market = Market(bids, [Want(3000, 9)], [Pair(0, 0, 5), Pair(1, 0, 5)])
    for goal in Goal:
        assert accept(market, goal) == [1000, 2000]


def test_parts_that_nothing_joins_are_cleared_by_themselves() -> None:
    bids = [Bid(2000, 1000, k) for k in range(40)]
    wants = [Want(1000, 9) for _ in range(40)]
    market = Market(bids, wants, [Pair(k, k, 1) for k in range(40)])
    assert accept(market, Goal.WELFARE) == [1000] * 40


@given(markets(), st.integers(0, 5))
def test_a_larger_want_never_lowers_the_cost_with_what_is_not_served(
    market: Market, more: int
) -> None:
    """Cost, and what is not served at its cap: the value that the goal of welfare is about."""

    def total(each: Market) -> float:
        found = value(each, Goal.WELFARE, tuple(w // LOT for w in accept(each, Goal.WELFARE)))
        assert found is not None
        return sum(want.cap_ticks * want.quantity_w for want in each.wants) - found[0]

    first = market.wants[0]
    larger = Want(first.quantity_w + more * LOT, first.cap_ticks, first.balanced)
    raised = Market(
        market.bids,
        [larger, *market.wants[1:]],
        market.pairs,
        market.limits,
        market.blocks,
        market.choices,
        market.chosen,
    )
    assert total(raised) >= total(market) - 1e-6
