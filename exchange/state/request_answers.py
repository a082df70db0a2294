"""The answers given, so that a request sent twice gets the same answer twice.

Memory is bounded: there is one answer for each open order, and of all other answers the last
``kept`` of each participant are remembered.  What is forgotten depends on the events alone, so a
replay forgets the same.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Any, cast

from exchange.vocabulary.commands import (
    ControlCommand,
    HaltTrading,
    ResumeTrading,
    SetBuyBack,
    SetKillSwitch,
    SetPriceCollar,
    SetRiskLimits,
    SubmitJoint,
    SubmitOrder,
    UpdateInterfaceLimits,
)
from exchange.vocabulary.events import (
    BuyBackSet,
    ControlEvent,
    InterfaceLimitsUpdated,
    JointOrderAccepted,
    KillSwitchSet,
    OrderAccepted,
    OrderCancelled,
    PriceCollarSet,
    Refused,
    RiskLimitsSet,
    TradingHalted,
    TradingResumed,
)
from exchange.vocabulary.serialization import event_from_plain, event_to_plain, to_plain

FirstAnswer = OrderAccepted | JointOrderAccepted | InterfaceLimitsUpdated | ControlEvent | Refused
Remembered = SubmitOrder | SubmitJoint | UpdateInterfaceLimits | ControlCommand
"""Requests that get the same answer when they come again."""


def content_of(request: Remembered | FirstAnswer) -> str:
    """Return a digest of a request, the same from the request and from its answer."""
    asked: tuple[object, ...]
    if isinstance(request, Refused):
        return request.content
    if isinstance(request, SubmitOrder | OrderAccepted):
        asked = tuple(to_plain(request.terms).values())
    elif isinstance(request, SubmitJoint | JointOrderAccepted):
        asked = (
            request.legs,
            request.all_or_none,
            request.expires_at,
            request.self_trade_prevention,
        )
    elif isinstance(request, UpdateInterfaceLimits | InterfaceLimitsUpdated):
        asked = (request.interval, request.interface_limits)
    else:
        asked = _control_content(request)
    return hashlib.sha256(json.dumps(to_plain(asked)).encode()).hexdigest()[:32]


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

    ``order_id`` is the present number of the open order, ``None`` without one; ``cancelled`` is
    the event that ended the order, unless it traded in full.
    """

    event: FirstAnswer
    order_id: int | None = None
    cancelled: OrderCancelled | None = None

    @property
    def interval(self) -> datetime | None:
        """The interval of the request; ``None`` without one, and for refusals."""
        if isinstance(self.event, OrderAccepted):
            return self.event.terms.interval
        if isinstance(self.event, InterfaceLimitsUpdated):
            return self.event.interval
        if isinstance(self.event, JointOrderAccepted):
            return max(leg.interval for leg in self.event.legs)
        return None


class RequestLog:
    """Answers by participant and the participant's own id.

    Parameters
    ----------
    kept
        How many answers without an open order are kept for each participant.
    """

    __slots__ = ("_answers", "_finished", "_kept")

    def __init__(self, kept: int) -> None:
        self._kept = kept
        self._answers: dict[str, dict[str, RequestAnswer]] = {}
        self._finished: dict[str, dict[str, None]] = {}

    def find(self, participant: str, client_id: str) -> RequestAnswer | None:
        """Return the answer to a request, if it is remembered.  O(1)."""
        answers = self._answers.get(participant)
        return None if answers is None else answers.get(client_id)

    def remember(self, participant: str, client_id: str, answer: RequestAnswer) -> None:
        """Keep the first answer to a request.  O(1)."""
        self._answers.setdefault(participant, {})[client_id] = answer
        if answer.order_id is None:
            self.finish(participant, client_id)

    def finish(
        self, participant: str, client_id: str, cancelled: OrderCancelled | None = None
    ) -> None:
        """Note that a request has no open order; forget the oldest such above the bound.  O(1)."""
        answers, finished = self._answers[participant], self._finished.setdefault(participant, {})
        answer = answers[client_id]
        answer.order_id, answer.cancelled = None, cancelled
        finished[client_id] = None
        if len(finished) > self._kept:
            oldest = next(iter(finished))
            del finished[oldest], answers[oldest]

    def prune(self, before: datetime, intervals: Collection[datetime]) -> None:
        """Forget finished requests older than ``before`` and of none of the intervals."""
        for participant, finished in self._finished.items():
            answers = self._answers[participant]
            for client_id in list(finished):
                answer = answers[client_id]
                if answer.event.time <= before and answer.interval not in intervals:
                    del finished[client_id], answers[client_id]

    def snapshot(self) -> dict[str, Any]:
        """Return everything as JSON-able data; finished ids in the order they finished."""
        return {
            participant: {
                "answers": [
                    {
                        "client_id": client_id,
                        "event": event_to_plain(answer.event),
                        "order_id": answer.order_id,
                        "cancelled": answer.cancelled and event_to_plain(answer.cancelled),
                    }
                    for client_id, answer in sorted(answers.items())
                ],
                "finished": list(self._finished.get(participant, {})),
            }
            for participant, answers in sorted(self._answers.items())
            if answers
        }

    @classmethod
    def restore(cls, data: dict[str, Any], kept: int) -> RequestLog:
        """Return the answers a snapshot was taken of."""
        restored = cls(kept)
        for participant, content in data.items():
            restored._answers[participant] = {
                item["client_id"]: RequestAnswer(
                    event=cast(FirstAnswer, event_from_plain(item["event"])),
                    order_id=item["order_id"],
                    cancelled=item["cancelled"]
                    and cast(OrderCancelled, event_from_plain(item["cancelled"])),
                )
                for item in content["answers"]
            }
            restored._finished[participant] = dict.fromkeys(content["finished"])
        return restored

    def check_invariants(self) -> None:
        """Check that each answer is either finished or about an open order, and the bound.

        Raises
        ------
        AssertionError
            With the participant and the id.
        """
        for participant, answers in self._answers.items():
            finished = self._finished.get(participant, {})
            assert len(finished) <= self._kept, f"{participant}: {len(finished)} answers kept"
            for client_id, answer in answers.items():
                is_open = answer.order_id is not None
                assert is_open != (client_id in finished), f"{participant} {client_id}: {answer}"
            assert finished.keys() <= answers.keys(), f"{participant}: finished but unknown"
