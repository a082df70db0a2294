"""Curtailment of what was bought last, over several updates, against a plain pile of purchases."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from market import START, Market, all_of, interface

from exchange.vocabulary.events import Traded
from exchange.vocabulary.rules import CurtailmentPolicy, MarketRules

POINTS, EACH_W = 4, 100
STEPS = st.lists(
    st.one_of(
        st.tuples(st.integers(0, POINTS - 1), st.integers(1, POINTS - 1), st.integers(1, 40)),
        st.tuples(st.just(None), st.just(None), st.integers(1, 25)),
    ),
    min_size=4,
    max_size=16,
)


class Pile:
    """Watts by purchase, newest on top; what is sold or cut comes off the top."""

    def __init__(self) -> None:
        self.held_w = [EACH_W] * POINTS
        self.bought: list[list[int]] = []  # [owner, watts], the oldest first

    def trade(self, seller: int, buyer: int, quantity_w: int) -> None:
        self._take(seller, quantity_w)
        self.held_w[seller] -= quantity_w
        self.held_w[buyer] += quantity_w
        self.bought.append([buyer, quantity_w])

    def _take(self, owner: int, quantity_w: int) -> None:
        for lot in reversed([each for each in self.bought if each[0] == owner]):
            taken_w = min(lot[1], quantity_w)
            lot[1] -= taken_w
            quantity_w -= taken_w

    @property
    def bought_w(self) -> int:
        return sum(lot[1] for lot in self.bought)

    def cut(self, quantity_w: int) -> None:
        for lot in reversed(self.bought):
            taken_w = min(lot[1], quantity_w)
            lot[1] -= taken_w
            self.held_w[lot[0]] -= taken_w
            quantity_w -= taken_w
        assert quantity_w == 0, "the test cuts bought watts only"


@given(steps=STEPS)
def test_over_any_trades_and_updates_what_came_last_goes_first(
    steps: list[tuple[int | None, int | None, int]],
) -> None:
    rules = MarketRules(curtailment=CurtailmentPolicy.LAST_IN_FIRST_OUT)
    total_w = POINTS * EACH_W
    market = Market(POINTS, 10_000, limits=interface(total_w, total_w), rules=rules)
    pile, updates = Pile(), 0
    for seller, further, quantity_w in steps:
        if seller is not None and further is not None:
            buyer = (seller + further) % POINTS
            if quantity_w > market.held_w(seller):
                continue
            market.sell(seller, f"{quantity_w}@5")
            traded = all_of(market.buy(buyer, f"{quantity_w}@5"), Traded)
            assert len(traded) == 1
            pile.trade(seller, buyer, quantity_w)
        elif quantity_w <= pile.bought_w:
            updates += 1
            total_w -= quantity_w
            market.update(f"u{updates}", interface(total_w, POINTS * EACH_W))
            pile.cut(quantity_w)
        assert [market.held_w(k) for k in range(POINTS)] == pile.held_w
    assert market.exchange.state.sessions[START].holdings.acquired_w()[1:].sum() == pile.bought_w
