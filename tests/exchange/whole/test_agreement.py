"""The exchange and the naive market agree event by event, over all order types."""

from __future__ import annotations

import random
from typing import Any

import pytest
from both_markets import Both
from hypothesis import assume, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule
from market import all_of
from sampling import examples, much

from exchange.vocabulary.events import JointOrderAccepted, Traded

CONDITIONS: list[tuple[str, dict[str, Any]]] = [
    ("GTC", {}),
    ("GTC", {}),
    ("GTC", {}),
    ("GTC", {"post_only": True}),
    ("GTC", {"displayed_w": 2}),
    ("GTC", {"displayed_w": 3, "post_only": True}),
    ("GTC", {"all_or_none": True}),
    ("GTC", {"minimum_w": 3}),
    ("GTD", {"expires_in": 3}),
    ("GTD", {"expires_in": 9, "all_or_none": True}),
    ("GTD", {"expires_in": 9, "displayed_w": 1}),
    ("IOC", {}),
    ("IOC", {"minimum_w": 2}),
    ("FOK", {}),
]
MODES = ["cancel_newest", "cancel_newest", "cancel_oldest", "cancel_both"]
BOOKS = [(0, "injection"), (0, "injection"), (0, "withdrawal"), (1, "injection")]
LEGS = st.lists(
    st.tuples(
        st.sampled_from(sorted(set(BOOKS))),
        st.sampled_from(["buy", "sell"]),
        st.integers(1, 9),
        st.integers(1, 5),
    ),
    min_size=2,
    max_size=3,
    unique_by=lambda leg: leg[0],
)
OWNERS = range(7)
SESSIONS = [f"s{number}" for number in range(4)]


class MarketsAgree(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.both = Both()

    @rule(
        owner=st.sampled_from(OWNERS),
        side=st.sampled_from(["buy", "sell"]),
        quantity=st.integers(1, 9),
        price=st.integers(1, 5),
        conditions=st.sampled_from(CONDITIONS),
        mode=st.sampled_from(MODES),
        book=st.sampled_from(BOOKS),
    )
    def submit(self, owner, side, quantity, price, conditions, mode, book):
        time_in_force, more = conditions
        assume(not (self.both.is_crowded and _has_conditions(more)))
        self.both.submit(
            owner,
            side,
            quantity,
            price,
            time_in_force,
            book=book,
            self_trade_prevention=mode,
            **more,
        )

    @rule(
        owner=st.sampled_from(OWNERS),
        side=st.sampled_from(["buy", "sell"]),
        quantity=st.integers(1, 9),
        time_in_force=st.sampled_from(["IOC", "FOK"]),
    )
    def submit_at_market(self, owner, side, quantity, time_in_force):
        self.both.submit(owner, side, quantity, None, time_in_force)

    @rule(
        owner=st.sampled_from(OWNERS),
        legs=LEGS,
        all_or_none=st.booleans(),
        mode=st.sampled_from(MODES),
        expires_in=st.none() | st.integers(2, 9),
    )
    def submit_joint(self, owner, legs, all_or_none, mode, expires_in):
        assume(not self.both.is_crowded)
        self.both.submit_joint(
            owner,
            legs,
            all_or_none=all_or_none,
            self_trade_prevention=mode,
            expires_in=expires_in,
        )

    @rule(data=st.data(), total=st.none() | st.integers(1, 9), price=st.none() | st.integers(1, 5))
    def amend(self, data, total, price):
        if names := self.both.open_names:
            self.both.amend(data.draw(st.sampled_from(names)), total, price)

    @rule(data=st.data())
    def cancel(self, data):
        if names := self.both.open_names:
            self.both.cancel(data.draw(st.sampled_from(names)))

    @rule(
        owner=st.sampled_from(OWNERS),
        device=st.sampled_from(["d0", "d1"]),
        session=st.sampled_from(SESSIONS),
        broken=st.booleans(),
        silent=st.booleans(),
    )
    def guard(self, owner, device, session, broken, silent):
        self.both.guard(owner, device, session, broken=broken, silent=silent)

    @rule(
        owner=st.sampled_from(OWNERS),
        session=st.sampled_from(SESSIONS),
        reason=st.sampled_from(["disconnected", "silent"]),
    )
    def lose(self, owner, session, reason):
        self.both.lose(owner, session, reason)


MarketsAgree.TestCase.settings = settings(
    max_examples=examples(30), stateful_step_count=40, deadline=None
)
TestMarketsAgree = MarketsAgree.TestCase


def _has_conditions(more) -> bool:
    return "all_or_none" in more or "minimum_w" in more


def one_request(both: Both, rng: random.Random) -> None:
    """Make a random request; the fuller the books, the more of them are cancels."""
    names = both.open_names
    kind = rng.random()
    if both.is_crowded:
        both.cancel(rng.choice(both.conditional_names))
        return
    if kind < len(names) / 60:
        both.cancel(rng.choice(names))
    elif rng.random() < 0.05:
        owner, session = rng.choice(OWNERS), rng.choice(SESSIONS)
        if rng.random() < 0.8:
            device = rng.choice(["d0", "d1"])
            both.guard(owner, device, session, broken=rng.random() < 0.8, silent=True)
        else:
            both.lose(owner, session, rng.choice(["disconnected", "silent"]))
    elif names and kind > 0.9:
        total = rng.choice([None, rng.randint(1, 12)])
        both.amend(rng.choice(names), total, rng.choice([None, rng.randint(1, 8)]))
    elif kind > 0.75:
        books = rng.sample(sorted(set(BOOKS)), rng.choice([2, 2, 3]))
        one_side = rng.choice(["buy", "sell"]) if rng.random() < 0.7 else None
        both.submit_joint(
            rng.choice(OWNERS),
            [
                (
                    book,
                    one_side or rng.choice(["buy", "sell"]),
                    rng.randint(1, 6),
                    rng.randint(1, 8),
                )
                for book in books
            ],
            all_or_none=rng.random() < 0.5,
            self_trade_prevention=rng.choice(MODES),
            expires_in=rng.choice([None, 5, 20]),
        )
    else:
        at_market = rng.random() < 0.1
        time_in_force, more = rng.choice(CONDITIONS)
        both.submit(
            rng.choice(OWNERS),
            rng.choice(["buy", "sell"]),
            rng.randint(1, 12),
            None if at_market else rng.randint(1, 8),
            rng.choice(["IOC", "FOK"]) if at_market else time_in_force,
            book=rng.choice(BOOKS),
            self_trade_prevention=rng.choice(MODES),
            **({} if at_market else more),
        )


@pytest.mark.parametrize(
    ("seed", "count"),
    [
        (1, 700),
        pytest.param(2, much(10_000), marks=pytest.mark.slow),
        pytest.param(3, much(10_000), marks=pytest.mark.slow),
    ],
)
def test_they_agree_on_many_events(seed, count):
    rng = random.Random(seed)
    both = Both()
    while both.events < count:
        one_request(both, rng)
    events = both.fast.market.events
    kinds = {type(event).__name__ for event in events}
    assert kinds >= {"Traded", "OrderRefilled", "OrderAmended", "OrderCancelled", "Refused"}
    assert kinds >= {"SafeguardSet", "SessionLost"}
    joint = {o.client_order_id for o in all_of(events, JointOrderAccepted)}
    in_joint_orders = [
        event
        for event in all_of(events, Traded)
        if joint & {fill.client_order_id for fill in event.fills}
    ]
    # Neither way of telling the naive market what trades is idle.
    assert len(in_joint_orders) > count / 100
    assert both.naive.by_price_and_time > count / 40
    assert both.naive.by_best_gain > count / 40
