"""Random days on a network whose rows bind: no gain is left, and every unit of money is in place.

After every event scipy solves the program over all that rests, from nothing: rows from the
network's numbers, headrooms from the envelopes.
"""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from market import all_of
from market_days import ONE_TO_ONE, SEEDS, Day, weighted
from sampling import examples, much
from trade_checks import check_payments

from exchange.clearing.price_screen import PriceScreen
from exchange.market.interval_market import IntervalMarket
from exchange.vocabulary.events import MatchBlocked, Traded
from exchange.vocabulary.rules import MarketRules


def run(seed: int, rules: MarketRules, events: int = 60, *, conditional: bool = False) -> Day:
    day = Day(seed, rules, conditional=conditional).go(events)
    for traded in all_of(day.market.events, Traded):
        check_payments(traded, rules)
    day.market.close()
    accounts = [event for event in day.market.events if hasattr(event, "balance")]
    assert sum(account.balance for account in accounts) == 0
    return day


@settings(max_examples=examples(8), deadline=None)
@given(seed=SEEDS, conditional=st.booleans())
def test_nothing_is_left_to_gain_after_any_event(seed, conditional):
    run(seed, ONE_TO_ONE, conditional=conditional)


@settings(max_examples=examples(8), deadline=None)
@given(seed=SEEDS, reserve=st.sampled_from([0, 0, 8]), conditional=st.booleans())
def test_nor_where_watts_are_weighed_by_the_network(seed, reserve, conditional):
    run(seed, weighted(reserve), conditional=conditional)


@pytest.mark.parametrize(("seed", "rules"), [(29497, ONE_TO_ONE), (30088, weighted(0))], ids=str)
def test_days_that_once_left_something_to_gain(seed, rules):
    """A minimum order given up for its whole lots; little left in watts at an extreme price."""
    run(seed, rules, conditional=True)


@pytest.mark.slow
@pytest.mark.parametrize("rules", [ONE_TO_ONE, weighted(0), weighted(8)], ids=str)
@pytest.mark.parametrize("conditional", [False, True])
def test_nothing_is_left_to_gain_in_long_runs(rules, conditional):
    for seed in range(much(4, 2)):
        run(seed, rules, 400, conditional=conditional)


def test_these_days_trade_and_their_rows_bind():
    days = [run(seed, ONE_TO_ONE, 80, conditional=True) for seed in range(3)]
    traded = [event for day in days for event in all_of(day.market.events, Traded)]
    assert len(traded) > 20
    assert any(len(event.fills) > 3 for event in traded)
    assert {event.tier for event in traded} == {"merit_order", "linear", "mixed_integer"}
    assert {event.taker_order_id is None for event in traded} == {True, False}
    assert any(event.rent > 0 for event in traded)
    assert sum(day.seen["full rows"] for day in days) > 20
    assert any(all_of(day.market.events, MatchBlocked) for day in days)


@settings(max_examples=examples(10), deadline=None)
@given(seed=SEEDS, rules=st.sampled_from([ONE_TO_ONE, weighted(0)]), conditional=st.booleans())
def test_the_price_screen_never_changes_a_result(seed, rules, conditional):
    screened = Day(seed, rules, conditional=conditional, check=False).go(60)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(PriceScreen, "nothing_to_solve", property(lambda _: False))
        always = property(lambda _: True, lambda _, value: None)
        patch.setattr(IntervalMarket, "needs_clearing", always, raising=False)
        solved = Day(seed, rules, conditional=conditional, check=False).go(60)
    assert _without_tiers(screened) == _without_tiers(solved)


def _without_tiers(day: Day) -> list:
    """Return the events; how a clearing was found may differ, and what was found may not."""
    return [
        (e.fills, e.taker_order_id, e.time) if isinstance(e, Traded) else e
        for e in day.market.events
    ]
