"""State follows from events alone: replayed, or restored, it is the same state."""

from __future__ import annotations

import json

import pytest
from linear_grid import LinearGrid
from market import Market, trades

from exchange.engine import Exchange
from security_check.errors import PowerFlowError


@pytest.fixture
def market() -> Market:
    market = Market()
    market.sell(0, "100@5", client_order_id="a")
    market.buy(1, "40@6", client_order_id="b")
    market.buy(2, "90@4", "GTD", expires_at=market.now.replace(hour=10), client_order_id="c")
    market.sell(3, "10@9", client_order_id="d")
    market.sell(3, "10@-9", client_order_id="e")
    market.cancel(3, "d")
    market.amend(0, "a", limit_price_ticks=6)
    return market


def _fresh(market: Market) -> Exchange:
    grid = LinearGrid(market.grid.capacity_w, market.grid.rows)
    return Exchange(grid, market.rules, market.terms)


def _grid_of(exchange: Exchange) -> LinearGrid:
    assert isinstance(exchange._grid, LinearGrid)
    return exchange._grid


def test_a_replay_gives_the_same_state_and_asks_the_network_nothing(market):
    replayed = _fresh(market)
    replayed.replay(market.events)
    assert replayed.digest() == market.exchange.digest()
    assert _grid_of(replayed).calls == []
    replayed.check_invariants()


def test_after_a_replay_the_network_is_taken_up_again_when_it_is_needed(market):
    replayed = _fresh(market)
    replayed.replay(market.events)
    market.exchange = replayed
    assert trades(market.buy(4, "10@6")) == ["10@6 #5"]
    assert _grid_of(replayed).calls == ["resume"]


def test_a_network_that_cannot_be_taken_up_again_halts_the_interval(market):
    replayed = _fresh(market)
    replayed.replay(market.events)
    _grid_of(replayed).errors.append(PowerFlowError("no solution at bus:4"))
    market.exchange = replayed
    events = market.buy(4, "10@6")
    assert trades(events) == []
    assert [type(event).__name__ for event in events] == [
        "OrderAccepted",
        "AlarmRaised",
        "MatchBlocked",
    ]
    assert replayed.state.sessions[next(iter(replayed.state.sessions))].halted


def test_a_restored_snapshot_is_the_same_state_and_goes_on(market):
    snapshot = json.loads(json.dumps(market.exchange.snapshot()))
    restored = Exchange.restore(
        snapshot, LinearGrid(market.grid.capacity_w), market.rules, market.terms
    )
    assert restored.digest() == market.exchange.digest()
    restored.check_invariants()
    market.exchange = restored
    assert trades(market.buy(4, "10@6")) == ["10@6 #5"]
    assert market.resting()[-1] == "#5 sell 50@6"


def test_a_gap_in_the_events_is_found(market):
    with pytest.raises(ValueError, match="event 3 cannot follow event 1"):
        _fresh(market).replay([market.events[0], market.events[2]])
