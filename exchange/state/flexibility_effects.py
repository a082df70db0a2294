"""The effects of the events of the flexibility market."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from exchange.state.request_answers import RequestAnswer
from exchange.state.state import State
from exchange.vocabulary.events import Event
from exchange.vocabulary.flexibility import FlexibilityOrder, relieved_by
from exchange.vocabulary.flexibility_events import (
    FlexibilityAccepted,
    FlexibilityBlocked,
    FlexibilityMatched,
)


def accept(state: State, event: FlexibilityAccepted) -> None:
    """Let an offer or a request rest."""
    state.controls.count_order(event.participant, event.time)
    state.add_flexible(
        FlexibilityOrder(
            event.order_id,
            event.participant,
            event.client_order_id,
            event.terms,
            event.bus,
            event.terms.quantity_w,
        )
    )
    answer = RequestAnswer(event, event.order_id)
    state.answers.remember(event.participant, event.client_order_id, answer)


def match(state: State, event: FlexibilityMatched) -> None:
    """Move injections between buses, and reduce the orders that matched."""
    session = state.sessions[event.interval]
    flexibility = session.flexibility
    for each in event.matches:
        flexibility.match(each)
    for fill in event.fills:
        if event.buy_back:
            flexibility.buy(fill)
            session.note_bought_back(relieved_by(fill.direction), fill.quantity_w)
        if not flexibility.fill(fill).remaining_w:
            del state.flexible_orders[fill.order_id]
            state.answers.finish(fill.participant, fill.client_order_id)
    state.next_trade_id = event.trade_id + 1


def _change_nothing(state: State, event: FlexibilityBlocked) -> None:
    """Leave the state as it is, because the event only informs the owners of the pairs."""


FLEXIBILITY_EFFECTS: Mapping[type[Event], Callable[[State, Any], None]] = {
    FlexibilityAccepted: accept,
    FlexibilityMatched: match,
    FlexibilityBlocked: _change_nothing,
}
"""What each event of the flexibility market changes in the state."""
