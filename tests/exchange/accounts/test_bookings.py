"""What a clearing books: each account its own sum, and nothing that moves nothing."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from exchange.accounts.bookings import entries_of
from exchange.vocabulary.events import Fill, Traded
from exchange.vocabulary.rules import DSO_CONGESTION_RENT
from orderbook.order import Side
from security_check.model.envelope import Direction

START = datetime(2030, 1, 1, tzinfo=UTC)


@given(
    st.lists(
        st.tuples(st.sampled_from(Side), st.integers(1, 4), st.integers(-3, 3)),
        min_size=1,
        max_size=8,
    )
)
def test_entries_add_up_to_what_each_participant_paid_and_bought(
    trades: list[tuple[Side, int, int]],
) -> None:
    fills = tuple(
        Fill(
            order_id=k,
            participant=f"p{k}",
            client_order_id=f"o{k}",
            connection_point=f"load:{k}",
            direction=Direction.INJECTION,
            interval=START,
            side=side,
            quantity_w=watts,
            limit_price_ticks=0,
            amount=amount,
        )
        for k, (side, watts, amount) in enumerate(trades)
    )
    event = Traded(
        sequence=1,
        time=START,
        trade_id=1,
        fills=fills,
        taker_order_id=None,
        rent=sum(fill.amount for fill in fills),
        tier="linear",
        binding_element="",
        loading=0.0,
    )
    entries = entries_of(event)
    money, watts = Counter[str](), Counter[str]()
    for each in entries:
        assert each.payer != each.payee
        assert each.amount or each.quantity_w, f"{each} moves nothing"
        money.update({each.payer: each.amount})
        money.subtract({each.payee: each.amount})
        watts.update({each.payer: each.quantity_w})
        watts.subtract({each.payee: each.quantity_w})
    for fill in fills:
        assert money[fill.participant] == fill.amount
        assert watts[fill.participant] == fill.change_w
    assert money[DSO_CONGESTION_RENT] == -event.rent
    assert len({(each.payer, each.payee) for each in entries}) == len(entries)
