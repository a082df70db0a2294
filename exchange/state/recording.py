"""The events of one command, each in force the moment it is decided."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime

from exchange.state.effects import apply
from exchange.state.request_answers import FirstAnswer, Remembered, content_of
from exchange.state.state import State
from exchange.vocabulary.commands import (
    AcceptLoss,
    SubmitJoint,
    SubmitOrder,
    UpdateInterfaceLimits,
)
from exchange.vocabulary.events import (
    AlarmRaised,
    AnswerRepeated,
    Event,
    LossAccepted,
    OrderCancelled,
    OrderRefilled,
    Refused,
    Traded,
)
from exchange.vocabulary.orders import Order
from exchange.vocabulary.reasons import AlarmKind, CancelReason, RefusalReason
from exchange.vocabulary.settlement_events import MeterRead
from security_check.errors import GridError, PowerFlowError

NUMBERS_SKIPPED = 10**12
"""Numbers left out after a loss: at a million events a second, those of eleven days.

Numbers stay below 2**53, which JSON's readers keep exact, for 9,000 losses.
"""


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

    def refuse(
        self,
        participant: str,
        client_order_id: str | None,
        request: str,
        reason: RefusalReason,
        detail: str,
        *,
        remember: Remembered | None = None,
    ) -> None:
        """Refuse a request; ``remember`` it where its repetition must get the same answer.

        Only requests of participants with a connection point, the TSO and the market operator are
        remembered, so that unknown senders cannot fill the memory.
        """
        known = remember is not None and (
            not isinstance(remember, SubmitOrder | SubmitJoint)
            or participant in self.state.participants
        )
        self.add(
            Refused(
                sequence=self.next_sequence,
                time=self.now,
                participant=participant,
                client_order_id=client_order_id,
                request=request,
                reason=reason,
                detail=detail,
                content=content_of(remember) if remember is not None and known else "",
            )
        )

    def repeat_answer(
        self,
        participant: str,
        client_order_id: str,
        answer: FirstAnswer | OrderCancelled | MeterRead,
    ) -> None:
        """Refer to the answer that a request got before."""
        self.add(
            AnswerRepeated(
                sequence=self.next_sequence,
                time=self.now,
                participant=participant,
                client_order_id=client_order_id,
                answer_sequence=answer.sequence,
            )
        )

    def cancel(self, order: Order, reason: CancelReason) -> None:
        """Take the rest of an open order out of the book, with all its legs if it is joint."""
        if order.joint_id is not None:
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
            )
        )

    def cancel_all(self, orders: Iterable[Order], reason: CancelReason) -> None:
        """Cancel orders, oldest first; the legs of a joint order go with the first of them."""
        for order in sorted(orders, key=lambda each: each.order_id):
            if order.order_id in self.state.orders:
                self.cancel(order, reason)

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


def answer_if_repeated(
    participant: str, client_id: str, command: Remembered, record: EventRecorder
) -> bool:
    """Answer a request whose id was used before, by its first answer or by a refusal.

    Returns
    -------
    Whether the id was used before; a new request is still to be answered.
    """
    answer = record.state.answers.find(participant, client_id)
    if answer is None:
        return False
    if content_of(answer.event) == content_of(command):
        record.repeat_answer(participant, client_id, answer.event)
    else:
        record.refuse(
            participant,
            client_id,
            _request(command),
            RefusalReason.CLIENT_ORDER_ID_REUSED,
            f"id {client_id} was used for another request, answered by event "
            f"{answer.event.sequence}",
        )
    return True


def _request(command: Remembered) -> str:
    """Return the kind of a request, as refusals name it."""
    if isinstance(command, SubmitOrder | SubmitJoint):
        return "submit"
    return "limits" if isinstance(command, UpdateInterfaceLimits) else "control"
