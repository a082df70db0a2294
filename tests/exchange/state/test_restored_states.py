"""A restored or replayed state is the same in every part, at any moment of a day."""

from __future__ import annotations

import json
from collections import Counter

import pytest
from linear_grid import LinearGrid
from sampling import examples
from structure import LEFT_OUT, UNORDERED, attributes, differences, objects
from wild_days import WildDay

from exchange.accounts.ledger import Account, Ledger
from exchange.engine import Exchange
from exchange.state.holdings import Holdings, Position
from exchange.state.session import Session
from exchange.state.state import State
from exchange.vocabulary.orders import Order
from orderbook.book import OrderBook


def _same(first: State, second: State) -> list[str]:
    return differences(first, second, UNORDERED, LEFT_OUT)


def _empty(day: WildDay) -> Exchange:
    market = day.market
    grid = LinearGrid(market.grid.capacity_w, market.grid.rows)
    return Exchange(grid, market.rules, market.terms)


def _restored(day: WildDay) -> Exchange:
    market = day.market
    snapshot = json.loads(json.dumps(market.exchange.snapshot()))
    grid = LinearGrid(market.grid.capacity_w, market.grid.rows)
    return Exchange.restore(snapshot, grid, market.rules, market.terms)


@pytest.mark.parametrize("seed", range(examples(12)))
def test_restored_and_replayed_states_are_the_same_in_every_part(seed: int) -> None:
    day, replayed, known = WildDay(seed), None, 0
    for step in range(90):
        day.step()
        if step % 9:
            continue
        state = day.market.exchange.state
        assert _same(state, _restored(day).state) == []
        # A replay goes on from the events that it has had, as a standby does.
        replayed = replayed or _empty(day)
        replayed.replay(day.market.events[known:])
        known = len(day.market.events)
        assert _same(state, replayed.state) == []


@pytest.mark.parametrize("seed", range(examples(8)))
def test_a_restored_exchange_goes_on_as_the_one_it_was_restored_from(seed: int) -> None:
    """The same commands have the same events; the network is taken up again from the limits."""
    first, second = WildDay(seed), WildDay(seed)
    for step in range(90):
        first.step()
        second.step()
        if step % 20 == 10:
            second.market.exchange = _restored(second)
    assert first.market.events == second.market.events


def test_days_come_to_what_a_snapshot_must_keep() -> None:
    met: Counter[str] = Counter()
    for seed in range(12):
        day = WildDay(seed)
        for _ in range(90):
            day.step()
            state = day.market.exchange.state
            sessions = list(state.sessions.values())
            met["claims"] += any(
                position.reserved_w or position.sought_w
                for session in sessions
                for _, _, position in session.holdings.positions()
            )
            met["session halted"] += any(s.halted or s.suspended for s in sessions)
            met["market halted"] += state.controls.halted
            met["call"] += any(session.phase.value == "call" for session in sessions)
            met["buy-back"] += any(session.buy_backs for session in sessions)
            met["unsettled"] += any(state.ledger._accounts.values())
            met["metered"] += any(each.readings for each in state.metering.intervals.values())
            met["icebergs"] += any(order.peak_w for order in state.orders.values())
            met["joint"] += bool(state.joints)
            met["expiring"] += bool(state.expiries)
            met["killed"] += bool(state.controls.killed)
            met["closed"] += any(session.closed_at for session in sessions)
        met |= Counter(type(event).__name__ for event in day.market.events)
    absent = [each for each in _EXPECTED if not met[each]]
    assert absent == [], met


_EXPECTED = [
    *("claims", "session halted", "market halted", "call", "buy-back", "unsettled", "metered"),
    *("icebergs", "joint", "expiring", "killed", "closed", "Traded", "HoldingCurtailed"),
    *("OrderAmended", "AnswerRepeated", "StatementIssued", "MeterRead"),
]


def test_the_comparison_sees_every_attribute_of_every_class() -> None:
    day, seen = WildDay(0), set()
    for _ in range(2):  # orders rest in the first part of a day, readings come in the second
        for _ in range(45):
            day.step()
        state, twin = day.market.exchange.state, _restored(day).state
        kinds = {type(each): each for each in objects(state)}
        seen |= set(kinds)
        for each in kinds.values():
            for name in attributes(each):
                if LEFT_OUT.search(name):
                    continue
                kept = getattr(each, name)
                setattr(each, name, "changed")
                assert _same(state, twin) != [], (type(each), name)
                setattr(each, name, kept)
        assert _same(state, twin) == []
    assert {State, Session, Holdings, Position, OrderBook, Order, Ledger, Account} <= seen
