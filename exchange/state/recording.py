"""The events of one command, each in force the moment it is decided."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime

from exchange.state.effects import apply
from exchange.state.request_answers import Answer, Remembered, content_of
from exchange.state.state import State
from exchange.vocabulary.commands import (
    AcceptLoss,
    AmendOrder,
    CancelOrder,
    Command,
    MassCancel,
    SetSafeguard,
    identity_of,
)
from exchange.vocabulary.events import (
    AlarmRaised,
    AnswerRepeated,
    Event,
    OrderCancelled,
    OrderRefilled,
    Refused,
    Traded,
)
from exchange.vocabulary.flexibility import FlexibilityOrder
from exchange.vocabulary.orders import AnsweredRequest, Order
from exchange.vocabulary.reasons import AlarmKind, CancelReason, Refusal, RefusalReason
from exchange.vocabulary.recovery_events import LossAccepted
from exchange.vocabulary.rules import METERING, OPERATOR, TSO
from security_check.errors import GridError, PowerFlowError

NUMBERS_SKIPPED = 10**12
"""Numbers left out after a loss: at a million events a second, those of eleven days.

Numbers stay below 2**53, which JSON's readers keep exact, for 9,000 losses.
"""
_ROLES = (TSO, OPERATOR, METERING)


class EventRecorder:
    """Collects the events of one command and applies each to the state.

    Parameters
    ----------
    state
        The state to apply events to.
    now
        The time of the command.  Where it lies before the last event, the time of that event is
        used, so that the times of events never fall.
    follow
        Called with each event after it is part of the state.
    """

    __slots__ = ("_follow", "events", "now", "state")

    def __init__(self, state: State, now: datetime, follow: Callable[[Event], None]) -> None:
        if now.tzinfo is None:
            raise ValueError(f"time {now} has no time zone")
        self.state = state
        self.now = now if state.time is None else max(now, state.time)
        self.events: list[Event] = []
        self._follow = follow

    @property
    def next_sequence(self) -> int:
        """The number of the next event."""
        return self.state.sequence + 1

    def add(self, event: Event) -> None:
        """Apply an event and keep it."""
        apply(self.state, event)
        self.events.append(event)
        self._follow(event)

    def refuse(self, command: Command, refusal: Refusal, *, id_is_free: bool = True) -> None:
        """Refuse a request, and remember that, because its repetition must get the same answer.

        Only requests of the roles and of participants with a connection point are remembered, so
        that unknown senders cannot fill the memory; and none whose id stands for another request,
        where ``id_is_free`` is false.
        """
        asked = identity_of(command)
        known = asked.sender in self.state.participants or asked.sender in _ROLES
        remembers = known and id_is_free and asked.request_id is not None
        self.add(
            Refused(
                sequence=self.next_sequence,
                time=self.now,
                participant=asked.sender,
                request_id=asked.request_id,
                request=asked.kind,
                reason=refusal.reason,
                detail=refusal.detail,
                client_order_id=asked.client_order_id,
                interval=asked.interval,
                content=content_of(command)
                if remembers and isinstance(command, Remembered)
                else "",
            )
        )

    def repeat_answer(self, command: Command, answer: Answer) -> None:
        """Refer to the answer that a request got before."""
        asked = identity_of(command)
        assert asked.request_id is not None, "only a request with an id is known again"
        self.add(
            AnswerRepeated(
                sequence=self.next_sequence,
                time=self.now,
                participant=asked.sender,
                request_id=asked.request_id,
                answer_sequence=answer.sequence,
            )
        )

    def cancel(
        self,
        order: Order | FlexibilityOrder,
        reason: CancelReason,
        asked: CancelOrder | AmendOrder | None = None,
    ) -> None:
        """Take the rest of an open order out of the book, with all its legs if it is joint.

        ``asked`` is the request of its owner that this answers.
        """
        if isinstance(order, Order) and order.joint_id is not None:
            order = self.state.joints[order.joint_id][0]
        self.add(
            OrderCancelled(
                sequence=self.next_sequence,
                time=self.now,
                order_id=order.order_id,
                participant=order.participant,
                client_order_id=order.client_order_id,
                remaining_w=order.remaining_w,
                reason=reason,
                answers=None if asked is None else answered(asked),
            )
        )

    def cancel_all(self, orders: Iterable[Order | FlexibilityOrder], reason: CancelReason) -> int:
        """Cancel orders, oldest first; the legs of a joint order go with the first of them.

        Returns
        -------
        How many orders were cancelled, each joint one counted once.
        """
        cancelled, state = 0, self.state
        for order in sorted(orders, key=lambda each: each.order_id):
            if order.order_id in state.orders or order.order_id in state.flexible_orders:
                self.cancel(order, reason)
                cancelled += 1
        return cancelled

    def trade(self, event: Traded) -> None:
        """Record a clearing; icebergs whose shown part has traded show their next part."""
        self.add(event)
        for fill in event.fills:
            order = self.state.orders.get(fill.order_id)
            if order is not None and order.shown_w == 0:
                self.refill(order)

    def refill(self, order: Order) -> None:
        """Let an iceberg show its next part, behind all others at its price."""
        assert order.peak_w is not None, "only icebergs are refilled"
        self.add(
            OrderRefilled(
                sequence=self.next_sequence,
                time=self.now,
                participant=order.participant,
                client_order_id=order.client_order_id,
                previous_order_id=order.order_id,
                order_id=self.state.next_order_id,
                displayed_w=min(order.peak_w, order.remaining_w),
                remaining_w=order.remaining_w,
            )
        )

    def alarm(
        self, kind: AlarmKind, interval: datetime, detail: str, *, halts_trading: bool = False
    ) -> None:
        """Raise an alarm."""
        self.add(
            AlarmRaised(
                sequence=self.next_sequence,
                time=self.now,
                kind=kind,
                interval=interval,
                detail=detail,
                halts_trading=halts_trading,
            )
        )


def accept_loss(command: AcceptLoss, record: EventRecorder) -> None:
    """Leave out all numbers that may have been given out in the entries that are lost."""
    record.add(
        LossAccepted(
            sequence=record.next_sequence + NUMBERS_SKIPPED,
            time=record.now,
            ends_at=command.ends_at,
            written=command.written,
            skipped=NUMBERS_SKIPPED,
        )
    )


def alarm_kind(error: GridError) -> AlarmKind:
    """Return the kind of alarm for an error of the network model."""
    if isinstance(error, PowerFlowError):
        return AlarmKind.POWER_FLOW_FAILED
    return AlarmKind.INSECURE


def answered(command: CancelOrder | AmendOrder | MassCancel | SetSafeguard) -> AnsweredRequest:
    """Return a request as the event that answers it names it."""
    return AnsweredRequest(identity_of(command).kind, command.request_id, content_of(command))


def answer_if_repeated(command: Remembered, record: EventRecorder) -> bool:
    """Answer a request whose id was used before, by its first answer or by a refusal.

    Returns
    -------
    Whether the id was used before; a new request is still to be answered.
    """
    asked = identity_of(command)
    if asked.request_id is None:
        return False
    answer = record.state.answers.find(asked.sender, asked.request_id)
    if answer is None:
        return False
    if content_of(answer.event) == content_of(command):
        record.repeat_answer(command, answer.event)
    else:
        refuse_used_id(command, answer.event, record)
    return True


def refuse_used_id(command: Remembered, answer: Answer, record: EventRecorder) -> None:
    """Refuse a request because its id stands for another one."""
    request_id = identity_of(command).request_id
    detail = f"id {request_id} was used for another request, answered by event {answer.sequence}"
    reused = Refusal(RefusalReason.CLIENT_ORDER_ID_REUSED, detail)
    record.refuse(command, reused, id_is_free=False)
