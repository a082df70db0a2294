"""Requests of participants about orders: submit, amend, cancel; and messages that are none.

Each request is answered by an event: the change, a refusal with a reason, or a reference to the
answer that the same request got before.
"""

from __future__ import annotations

from dataclasses import replace

from exchange.handlers.admission import (
    amended_terms,
    check_amendment,
    check_joint,
    check_submission,
    effective_limit_price_ticks,
)
from exchange.handlers.matching import Matching
from exchange.state.order_effects import order_of
from exchange.state.recording import EventRecorder, answer_if_repeated, answered
from exchange.state.request_answers import content_of
from exchange.state.state import State
from exchange.vocabulary.commands import (
    AmendOrder,
    CancelOrder,
    MassCancel,
    RejectMessage,
    SubmitJoint,
    SubmitOrder,
)
from exchange.vocabulary.events import (
    JointOrderAccepted,
    MassCancelled,
    OrderAccepted,
    OrderAmended,
)
from exchange.vocabulary.flexibility import FlexibilityOrder
from exchange.vocabulary.flexibility_events import FlexibilityAccepted
from exchange.vocabulary.formatting import format_time, price_text
from exchange.vocabulary.orders import Order
from exchange.vocabulary.reasons import CancelReason, Refusal, RefusalReason

_ACCEPTED = (OrderAccepted, JointOrderAccepted, FlexibilityAccepted)


class OrderRequests:
    """Carries out, or refuses, the requests of participants about orders.

    Parameters
    ----------
    state
        The exchange's state; read here, changed by the events alone.
    matching
        Lets orders trade.
    """

    __slots__ = ("_matching", "_state")

    def __init__(self, state: State, matching: Matching) -> None:
        self._state = state
        self._matching = matching

    def submit(self, command: SubmitOrder, record: EventRecorder) -> None:
        """Accept an order and let it trade."""
        if answer_if_repeated(command, record):
            return
        refusal = check_submission(command, self._state, record.now)
        if refusal is not None:
            record.refuse(command, refusal)
            return
        if command.terms.conditions.post_only:
            order = order_of(self._accepted(command, record))
            if self._matching.would_trade(order, record):
                self._refuse_to_cross(command, order, record)
                return
        # Its number is taken only now, because asking the network may raise an alarm first.
        accepted = self._accepted(command, record)
        record.add(accepted)
        self._matching.trade([self._state.orders[accepted.order_id]], record)

    def _accepted(self, command: SubmitOrder, record: EventRecorder) -> OrderAccepted:
        return OrderAccepted(
            sequence=record.next_sequence,
            time=record.now,
            order_id=self._state.next_order_id,
            participant=command.participant,
            client_order_id=command.client_order_id,
            terms=command.terms,
            limit_price_ticks=effective_limit_price_ticks(command.terms, self._state),
        )

    def submit_joint(self, command: SubmitJoint, record: EventRecorder) -> None:
        """Accept the legs of a joint order and let them trade."""
        if answer_if_repeated(command, record):
            return
        refusal = check_joint(command, self._state, record.now)
        if refusal is not None:
            record.refuse(command, refusal)
            return
        order_id = self._state.next_order_id
        record.add(
            JointOrderAccepted(
                sequence=record.next_sequence,
                time=record.now,
                order_id=order_id,
                participant=command.participant,
                client_order_id=command.client_order_id,
                legs=command.legs,
                all_or_none=command.all_or_none,
                expires_at=command.expires_at,
                self_trade_prevention=command.self_trade_prevention,
            )
        )
        self._matching.trade(list(self._state.joints[order_id]), record)

    def cancel(self, command: CancelOrder, record: EventRecorder) -> None:
        """Take the rest of an order out of the book."""
        if answer_if_repeated(command, record):
            return
        order = self._open_order(command, record)
        if order is not None:
            record.cancel(order, CancelReason.REQUESTED, command)

    def _open_order(
        self, command: CancelOrder | AmendOrder, record: EventRecorder
    ) -> Order | FlexibilityOrder | None:
        """Return the open order with a participant's client order id, or refuse the request."""
        client_id = command.client_order_id
        answer = self._state.answers.find(command.participant, client_id)
        if answer is None or not isinstance(answer.event, _ACCEPTED):
            reason, detail = RefusalReason.UNKNOWN_ORDER, f"there is no order {client_id}"
        elif answer.order_id is None:
            ending = "has traded in full"
            if answer.ended is not None:
                ending = f"was cancelled ({answer.ended})"
            reason, detail = RefusalReason.ORDER_NOT_OPEN, f"order {client_id} {ending}"
        else:
            orders, number = self._state.orders, answer.order_id
            return orders[number] if number in orders else self._state.flexible_orders[number]
        record.refuse(command, Refusal(reason, detail))
        return None

    def amend(self, command: AmendOrder, record: EventRecorder) -> None:
        """Change an order.

        Where the new total is at or below what has traded already, the rest is cancelled, as on
        other exchanges.
        """
        if answer_if_repeated(command, record):
            return
        order = self._open_order(command, record)
        if order is None:
            return
        if isinstance(order, FlexibilityOrder):
            detail = (
                f"order {order.order_id} for flexibility cannot be amended: cancel it and place "
                "another"
            )
            record.refuse(command, Refusal(RefusalReason.CONDITIONS_INVALID, detail))
            return
        refusal = check_amendment(command, order, self._state, record.now)
        if refusal is not None:
            record.refuse(command, refusal)
            return
        quantity_w, limit_price_ticks = amended_terms(command, order)
        if quantity_w <= order.executed_w:
            record.cancel(order, CancelReason.REQUESTED, command)
            return
        if order.conditions.post_only:
            amended = replace(
                order,
                order_id=self._state.next_order_id,
                remaining_w=quantity_w - order.executed_w,
                limit_price_ticks=limit_price_ticks,
            )
            amended.show_next()
            if self._matching.would_trade(amended, record, instead_of=order):
                self._refuse_to_cross(command, amended, record)
                return
        keeps_priority = (
            limit_price_ticks == order.limit_price_ticks and quantity_w < order.quantity_w
        )
        record.add(
            OrderAmended(
                sequence=record.next_sequence,
                time=record.now,
                answers=answered(command),
                participant=order.participant,
                client_order_id=order.client_order_id,
                previous_order_id=order.order_id,
                order_id=order.order_id if keeps_priority else self._state.next_order_id,
                quantity_w=quantity_w,
                remaining_w=quantity_w - order.executed_w,
                limit_price_ticks=limit_price_ticks,
            )
        )
        if not keeps_priority or order.conditional:
            self._matching.trade([order], record)

    def _refuse_to_cross(
        self, command: SubmitOrder | AmendOrder, order: Order, record: EventRecorder
    ) -> None:
        """Refuse a post-only order that crosses no order by price, and yet would trade at once."""
        price = price_text(order.limit_price_ticks, self._state.rules)
        detail = (
            f"post-only {order.side} of {order.remaining_w:,} W at {price} would trade at once, "
            "together with orders that cannot trade without it"
        )
        record.refuse(command, Refusal(RefusalReason.WOULD_CROSS, detail))

    def mass_cancel(self, command: MassCancel, record: EventRecorder) -> None:
        """Cancel all orders that match, and say how many; refuse where there are none."""
        if answer_if_repeated(command, record):
            return
        asked = (command.participant, command.interval, command.connection_point)
        asked_for = (command.direction, command.side)
        orders: list[Order | FlexibilityOrder] = [
            *self._state.orders_of(*asked, *asked_for),
            *self._state.flexible_orders_of(*asked, *asked_for),
        ]
        if not orders:
            given = [command.connection_point, *asked_for]
            named = ", ".join(str(each) for each in given if each is not None)
            where = "" if command.interval is None else f" for {format_time(command.interval)}"
            where += f" of {named}" if named else ""
            detail = f"{command.participant} has no open order{where}"
            record.refuse(command, Refusal(RefusalReason.ORDER_NOT_OPEN, detail))
            return
        cancelled = record.cancel_all(orders, CancelReason.MASS_CANCEL)
        record.add(
            MassCancelled(
                sequence=record.next_sequence,
                time=record.now,
                answers=answered(command),
                participant=command.participant,
                orders=cancelled,
            )
        )


def reject_message(command: RejectMessage, record: EventRecorder) -> None:
    """Refuse a message that could not become another command.

    A message that came too often was not read; where its id is known, it has been read before, and
    that answer stands.
    """
    refusal = Refusal(RefusalReason(command.reason), command.detail)
    key = command.request_id
    answer = None if key is None else record.state.answers.find(command.participant, key)
    unread = refusal.reason is RefusalReason.TOO_FREQUENT
    if answer is not None and (unread or content_of(answer.event) == content_of(command)):
        record.repeat_answer(command, answer.event)
        return
    record.refuse(command, refusal, id_is_free=answer is None and command.uses_id)
