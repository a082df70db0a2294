"""Messages that wait to be handled: one bounded queue for each sender, served in turn.

A message that comes too fast is refused before it is read: it is counted, acknowledged and dropped,
and its sender gets one report for all of them each second.  So a flood costs the exchange little,
and a sender waits for its own messages only.  A few last wills are taken beyond the rate: a
device that floods and dies is guarded, too (:mod:`exchange.handlers.safeguards`).
"""

from __future__ import annotations

import logging
import math
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Collection, Sequence

from exchange.vocabulary.commands import RejectMessage
from exchange.vocabulary.reasons import RefusalReason
from exchange.vocabulary.rules import METERING, OPERATOR, TSO
from gateway.messages.topics import Topics
from gateway.ports import Incoming
from gateway.service.rate_limiter import RateLimiter
from gateway.service.settings import ServiceSettings

_LOG = logging.getLogger(__name__)
_STRANGERS = ""  # the one queue of all senders without a right to send: there may be many of them
_LAST_WILL = b'"disconnected"'  # its type; it stands in a short message
_LAST_WILL_BYTES = 256
_LAST_WILLS_PER_SECOND, _LAST_WILLS_AT_ONCE = 1.0, 8  # of each sender, beyond its rate


class Inbox:
    """Waiting messages by sender.

    Parameters
    ----------
    topics
        The area's topics.
    participants
        Senders with a queue of their own, beside TSO, market operator and meter operator.
    settings
        Rates, and the largest number of messages that wait.
    clock
        Seconds that never run backwards.
    """

    def __init__(
        self,
        topics: Topics,
        participants: Collection[str],
        settings: ServiceSettings,
        clock: Callable[[], float] | None = None,
    ) -> None:
        self._topics = topics
        self._participants = frozenset(participants)
        self._known = self._participants | {TSO, OPERATOR, METERING}
        self._settings = settings
        clock = self._clock = clock or time.monotonic
        usual = RateLimiter(settings.messages_per_second, settings.burst, clock)
        meter = RateLimiter(settings.readings_per_second, settings.reading_burst, clock)
        self._limiters = {METERING: meter}
        self._usual = usual
        self._wills = RateLimiter(_LAST_WILLS_PER_SECOND, _LAST_WILLS_AT_ONCE, clock)
        self._queues: OrderedDict[str, deque[tuple[str, Incoming]]] = OrderedDict()
        self._waiting = 0
        self._refused: dict[str, int] = {}
        self._unread = 0
        self._reported_at: dict[str, float] = {}

    def __len__(self) -> int:
        return self._waiting

    def put(self, messages: Sequence[Incoming]) -> list[Incoming]:
        """Let messages wait; return those that are done with, because they will not be read."""
        done = []
        for message in messages:
            sender = self._topics.sender(message.topic)
            if sender is None:
                if message.topic != self._topics.probe:
                    _LOG.warning("ignored message on unknown topic %r", message.topic[:200])
                done.append(message)
                continue
            queue = sender if sender in self._known else _STRANGERS
            if self._has_room(queue) or self._is_last_will(queue, message.payload):
                self._queues.setdefault(queue, deque()).append((sender, message))
                self._waiting += 1
            else:
                self._refused[queue] = self._refused.get(queue, 0) + 1
                self._unread += 1
                done.append(message)
        return done

    def _has_room(self, queue: str) -> bool:
        """Return whether a sender is within its rate, and its queue and all queues are not full."""
        limiter = self._limiters.get(queue, self._usual)
        waiting = len(self._queues.get(queue, ()))
        is_full = waiting >= limiter.burst or self._waiting >= self._settings.waiting_messages
        return not is_full and limiter.allows(queue)

    def _is_last_will(self, queue: str, payload: bytes) -> bool:
        """Return whether a message is taken all the same, because it looks like a last will."""
        looks = len(payload) <= _LAST_WILL_BYTES and _LAST_WILL in payload
        return looks and queue in self._participants and self._wills.allows(queue)

    def waits(self, sender: str) -> bool:
        """Return whether messages of a participant wait.  O(1)."""
        return sender in self._queues

    def take(self) -> tuple[str, Incoming] | None:
        """Return a message and its sender, of each sender in turn, or ``None``.  O(1)."""
        if not self._queues:
            return None
        name, queue = self._queues.popitem(last=False)
        found = queue.popleft()
        if queue:
            self._queues[name] = queue  # Behind all other senders.
        self._waiting -= 1
        return found

    def charge(self, sender: str, messages: int) -> None:
        """Count a message of a sender as so many more, for what its answer cost."""
        queue = sender if sender in self._known else _STRANGERS
        self._limiters.get(queue, self._usual).charge(queue, messages)

    def take_unread(self) -> int:
        """Return how many messages were refused unread since the last call."""
        unread, self._unread = self._unread, 0
        return unread

    def refusals(self) -> list[RejectMessage]:
        """Return one command for each sender of refused messages, at most one a second each."""
        if not self._refused:
            return []
        now, commands = self._clock(), []
        for name, count in list(self._refused.items()):
            if now - self._reported_at.get(name, -math.inf) < self._settings.refusals_s:
                continue
            self._reported_at[name] = now
            del self._refused[name]
            came = "message came" if count == 1 else "messages came"
            detail = f"{count} {came} too fast and {'was' if count == 1 else 'were'} not read"
            if name == _STRANGERS:
                _LOG.warning("of senders without a right to send, %s", detail)
                continue
            rate = self._limiters.get(name, self._usual).per_second
            detail = f"{detail}; at most {rate:g} messages a second are"
            reason = RefusalReason.TOO_FREQUENT.value
            commands.append(RejectMessage(name, None, reason, detail))
        return commands
