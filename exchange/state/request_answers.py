"""The answers given, so that a request sent twice gets the same answer twice, and acts once.

All requests of a sender share one namespace of ids.  Memory is bounded: an answer is forgotten
after ``kept`` further requests of its sender, counted from when its id came last and its order was
no longer open, however old it is and whatever came of it.  What is forgotten depends on the events
alone, so a replay forgets the same.

``kept`` must not be less than the number of messages that a broker may deliver again, or a request
could act a second time (:attr:`exchange.vocabulary.rules.MarketRules.answers_kept`).
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any, cast

from exchange.vocabulary.commands import (
    AmendOrder,
    CancelOrder,
    ControlCommand,
    HaltTrading,
    MassCancel,
    RejectMessage,
    ResumeTrading,
    SetBuyBack,
    SetKillSwitch,
    SetPriceCollar,
    SetRiskLimits,
    SetSafeguard,
    SubmitFlexibility,
    SubmitJoint,
    SubmitOrder,
    SubmitReading,
    UpdateInterfaceLimits,
)
from exchange.vocabulary.events import (
    BuyBackSet,
    ControlEvent,
    InterfaceLimitsUpdated,
    JointOrderAccepted,
    KillSwitchSet,
    MassCancelled,
    OrderAccepted,
    OrderAmended,
    OrderCancelled,
    PriceCollarSet,
    Refused,
    RiskLimitsSet,
    TradingHalted,
    TradingResumed,
)
from exchange.vocabulary.flexibility_events import FlexibilityAccepted
from exchange.vocabulary.reasons import CancelReason
from exchange.vocabulary.safeguard_events import SafeguardSet
from exchange.vocabulary.serialization import event_from_plain, event_to_plain, to_plain
from exchange.vocabulary.settlement_events import MeterRead

Answer = (
    OrderAccepted
    | JointOrderAccepted
    | FlexibilityAccepted
    | OrderAmended
    | OrderCancelled
    | MassCancelled
    | SafeguardSet
    | InterfaceLimitsUpdated
    | ControlEvent
    | MeterRead
    | Refused
)
"""Events that answer a request."""

Remembered = (
    SubmitOrder
    | SubmitJoint
    | SubmitFlexibility
    | CancelOrder
    | AmendOrder
    | MassCancel
    | SetSafeguard
    | UpdateInterfaceLimits
    | ControlCommand
    | SubmitReading
    | RejectMessage
)
"""Requests that get the same answer when they come again."""

_ENCODER = json.JSONEncoder(default=to_plain)


def content_of(request: Remembered | Answer) -> str:
    """Return a digest of a request, the same from the request and from its answer."""
    asked: tuple[object, ...]
    match request:
        case Refused():
            return request.content
        case OrderAmended() | OrderCancelled() | MassCancelled() | SafeguardSet():
            return "" if request.answers is None else request.answers.content
        case SubmitOrder() | OrderAccepted():
            asked = tuple(to_plain(request.terms).values())
        case SubmitFlexibility() | FlexibilityAccepted():
            asked = ("flexibility", *to_plain(request.terms).values())
        case SubmitJoint() | JointOrderAccepted():
            asked = (
                request.legs,
                request.all_or_none,
                request.expires_at,
                request.self_trade_prevention,
            )
        case CancelOrder() | AmendOrder() | MassCancel() | SetSafeguard():
            asked = _change_content(request)
        case UpdateInterfaceLimits() | InterfaceLimitsUpdated():
            asked = (request.interval, request.interface_limits)
        case SubmitReading() | MeterRead():
            power = (request.injection_w, request.withdrawal_w)
            asked = ("reading", request.interval, request.connection_point, *power)
        case RejectMessage():
            asked = ("message", request.reason, request.detail)
        case _:
            asked = _control_content(request)
    return hashlib.sha256(_ENCODER.encode(asked).encode()).hexdigest()[:32]


def _change_content(
    request: CancelOrder | AmendOrder | MassCancel | SetSafeguard,
) -> tuple[object, ...]:
    match request:
        case CancelOrder():
            return "cancel", request.client_order_id
        case AmendOrder():
            changes = (request.quantity_w, request.limit_price_ticks)
            return "amend", request.client_order_id, *changes
        case MassCancel():
            place = (request.interval, request.connection_point)
            return "mass_cancel", *place, request.direction, request.side
        case SetSafeguard():
            session = (request.session, request.device)
            return "safeguard", *session, request.on_disconnect, request.silent_s


def _control_content(request: ControlCommand | ControlEvent) -> tuple[object, ...]:
    match request:
        case SetPriceCollar() | PriceCollarSet():
            return "price_collar", request.collar
        case SetRiskLimits() | RiskLimitsSet():
            return "risk_limits", request.participant, request.limits
        case SetKillSwitch() | KillSwitchSet():
            return "kill_switch", request.participant, request.engaged
        case HaltTrading() | TradingHalted():
            return "halt", request.interval
        case ResumeTrading() | TradingResumed():
            return "resume", request.interval
        case SetBuyBack() | BuyBackSet():
            return "buy_back", request.interval, request.direction, request.wanted


@dataclass(slots=True)
class RequestAnswer:
    """The answer to one request, and the order that came of it.

    ``order_id`` is the present number of the open order, ``None`` without one; ``ended`` says why
    the order was cancelled, unless it traded in full.
    """

    event: Answer
    order_id: int | None = None
    ended: CancelReason | None = None

    @property
    def interval(self) -> datetime | None:
        """The interval that the request was about, where its answer names one alone."""
        match self.event:
            case OrderAccepted() | FlexibilityAccepted():
                return self.event.terms.interval
            case InterfaceLimitsUpdated() | Refused():
                return self.event.interval
            case JointOrderAccepted():
                intervals = {leg.interval for leg in self.event.legs}
                return intervals.pop() if len(intervals) == 1 else None
        return None


class RequestLog:
    """Answers by sender and the sender's own id.

    Parameters
    ----------
    kept
        After how many further requests of its sender an answer without an open order is forgotten.
    """

    __slots__ = ("_answers", "_counts", "_finished", "_kept")

    def __init__(self, kept: int) -> None:
        self._kept = kept
        self._answers: dict[str, dict[str, RequestAnswer]] = {}
        # How many requests of a sender were answered; and what that number was when a request had
        # no open order any more, or came last.  A gate that ends thousands of orders at once
        # therefore displaces no other answer: only further requests do.
        self._counts: dict[str, int] = {}
        self._finished: dict[str, dict[str, int]] = {}

    def find(self, sender: str, request_id: str) -> RequestAnswer | None:
        """Return the answer to a request, if it is remembered.  O(1)."""
        answers = self._answers.get(sender)
        return None if answers is None else answers.get(request_id)

    def remember(self, sender: str, request_id: str, answer: RequestAnswer) -> None:
        """Keep the first answer to a request; forget what is too old.  O(1), amortised."""
        answers = self._answers.setdefault(sender, {})
        answers[request_id] = answer
        count = self._counts[sender] = self._counts.get(sender, 0) + 1
        finished = self._finished.setdefault(sender, {})
        if answer.order_id is None:
            finished[request_id] = count
        while finished:
            oldest, then = next(iter(finished.items()))
            if then > count - self._kept:
                break
            del finished[oldest], answers[oldest]

    def finish(self, sender: str, request_id: str, ended: CancelReason | None = None) -> None:
        """Note that the order of a request is not open any more, and why.  O(1)."""
        answer = self._answers[sender][request_id]
        answer.order_id, answer.ended = None, ended
        self._finished[sender][request_id] = self._counts[sender]

    def renew(self, sender: str, request_id: str) -> None:
        """Note that a known id came again: that message, too, may be delivered twice.  O(1)."""
        finished = self._finished.get(sender, {})
        if finished.pop(request_id, None) is not None:
            finished[request_id] = self._counts[sender]

    def snapshot(self) -> dict[str, Any]:
        """Return everything as JSON-able data; finished ids in the order they finished."""
        return {
            sender: {
                "answers": [
                    {
                        "request_id": request_id,
                        "event": event_to_plain(answer.event),
                        "order_id": answer.order_id,
                        "ended": answer.ended and answer.ended.value,
                    }
                    for request_id, answer in sorted(answers.items())
                ],
                "count": self._counts[sender],
                "finished": list(self._finished[sender].items()),
            }
            for sender, answers in sorted(self._answers.items())
        }

    @classmethod
    def restore(cls, data: dict[str, Any], kept: int) -> RequestLog:
        """Return the answers a snapshot was taken of."""
        restored = cls(kept)
        for sender, content in data.items():
            restored._answers[sender] = {
                item["request_id"]: RequestAnswer(
                    event=cast(Answer, event_from_plain(item["event"])),
                    order_id=item["order_id"],
                    ended=item["ended"] and CancelReason(item["ended"]),
                )
                for item in content["answers"]
            }
            restored._counts[sender] = content["count"]
            restored._finished[sender] = dict(content["finished"])
        return restored

    def check_invariants(self) -> None:
        """Check that each answer is either about an open order, or finished and not too old.

        Raises
        ------
        AssertionError
            With the sender and the id.
        """
        for sender, answers in self._answers.items():
            finished, count = self._finished[sender], self._counts[sender]
            then = list(finished.values())
            assert then == sorted(then), f"{sender}: answers out of order"
            assert all(count - self._kept < each <= count for each in then), f"{sender}: {then}"
            for request_id, answer in answers.items():
                is_open = answer.order_id is not None
                assert is_open != (request_id in finished), f"{sender} {request_id}: {answer}"
            assert finished.keys() <= answers.keys(), f"{sender}: finished but unknown"
