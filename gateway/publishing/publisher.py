"""A fold over the event stream: events in, outgoing messages out.

The messages follow from the events alone, sequence numbers included, so a restart makes exactly
the same ones again.  One journal entry leads to, in this order: envelopes (shrinking first),
envelopes that are over, reports to participants, positions, books that open or close, the tape,
the end of prices, the session.  Changes of depth, statistics and local prices go out by the clock.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from exchange.vocabulary.events import (
    AnswerRepeated,
    Event,
    GateClosed,
    SessionOpened,
    Traded,
)
from exchange.vocabulary.recovery_events import LossAccepted
from exchange.vocabulary.rules import ConnectionTerms, MarketRules
from exchange.vocabulary.settlement_events import MeteringClosed, MeterRead
from exchange.vocabulary.versions import VERSION, Upgrade, in_present_form
from gateway.formats.identifiers import is_identifier
from gateway.messages.area_state import SessionMessage
from gateway.messages.market_data import TradeMessage
from gateway.messages.participant_reports import PositionReport
from gateway.messages.topics import Topics
from gateway.ports import Outgoing
from gateway.publishing.depth import Books
from gateway.publishing.envelopes import STAYS_REMOVED, EnvelopePublisher
from gateway.publishing.flexibility import FlexibilityBooks, flexibility_reports
from gateway.publishing.kept_reports import KeptReports
from gateway.publishing.market_data import AskPrices, MarketData
from gateway.publishing.participant_reports import ParticipantReport, ParticipantReports
from gateway.publishing.session_state import SessionState
from gateway.publishing.trade_prints import mean_ticks, price_text, prints_of, takers

REPORT_EXPIRY_S = 86_400
"""Time for which a broker keeps a report for a participant without a connection (MQTT 5)."""

UPGRADES: dict[int, Upgrade] = {}
"""What leads data of :meth:`Publisher.state` from each version to the next, where it changed."""

FindAnswer = Callable[[AnswerRepeated], Event | None]
"""Returns the event of the answer that is repeated; ``None`` where it is no longer kept."""


def last_will(topics: Topics) -> Outgoing:
    """Return the message that the broker publishes when the exchange's connection breaks."""
    payload = SessionMessage.encode(status="offline", event=0, time=None)
    return Outgoing(topics.session, payload, retain=True)


class Publisher:
    """Makes the messages of an area.

    Parameters
    ----------
    topics
        The area's topics.
    rules
        For the tick: prices and amounts are published in EUR.
    terms
        Connection terms by connection point: owners and fallbacks.
    """

    def __init__(
        self, topics: Topics, rules: MarketRules, terms: Mapping[str, ConnectionTerms]
    ) -> None:
        self._topics = topics
        self._rules = rules
        self._terms = terms
        self._reports = ParticipantReports(rules)
        self._sequences: dict[str, int] = {}
        self._skipped = 0  # numbers left out after losses, the first ones of new receivers included
        self._event = 0
        self._time: datetime | None = None
        self._session = SessionState(self.price)
        self.envelopes = EnvelopePublisher(topics, terms)
        self.books = Books(topics, self.price)
        self._flexibility = FlexibilityBooks(topics, rules, REPORT_EXPIRY_S)
        self.kept_reports = KeptReports()
        self._market_data = MarketData(topics, rules)
        # Topics whose retained message was removed, when; those of envelopes are not in it.
        self._cleared: dict[str, datetime] = {}

    def entry(
        self, events: Sequence[Event], find_answer: FindAnswer, *, reports: bool = True
    ) -> list[Outgoing]:
        """Return the messages of one journal entry, in the order they must go out.

        Without ``reports`` those to participants get their numbers, and are neither made nor kept:
        for entries that were published long ago.
        """
        if not events:
            return []
        for event in events:
            if isinstance(event, LossAccepted):
                self._skip(event.skipped)
        now = events[-1].time
        self._event, self._time = events[-1].sequence, now
        messages, changed = self.envelopes.apply(events, now)
        tape: list[Outgoing] = []
        depth: list[Outgoing] = []
        session_changed = False
        for event in events:
            messages += self._addressed(event, self._reports_of(event, find_answer), reports)
            if isinstance(event, Traded):
                tape += self._tape(event)
            session_changed |= self._session.apply(event)
            if isinstance(event, SessionOpened):
                depth += self.books.open(event.start, event.sequence)
        positions = (self._position(point, start) for point, start in changed)
        messages += self._addressed(events[-1], positions, reports)
        self.books.apply(events)
        for event in events:
            if isinstance(event, GateClosed):
                depth += self.books.close(event.interval)
        public = depth + tape + self._flexibility.apply(events) + self._market_data.apply(events)
        self._note_cleared(public, now)
        messages += public
        if session_changed:
            messages.append(self.session())
        return messages

    def _note_cleared(self, messages: Sequence[Outgoing], now: datetime) -> None:
        for message in messages:
            if message.retain and not message.payload:
                self._cleared.pop(message.topic, None)
                self._cleared[message.topic] = now
        while self._cleared:
            topic, cleared_at = next(iter(self._cleared.items()))
            if now - cleared_at <= STAYS_REMOVED:
                break
            del self._cleared[topic]

    def retained(self, now: datetime) -> list[Outgoing]:
        """Return everything that a broker keeps, and what removes what it no longer should.

        For a new connection: the broker may have lost its memory, or have come back with an older
        one.  Envelopes are so many that they are published in parts
        (:meth:`EnvelopePublisher.retained`).
        """
        return [
            *(Outgoing(topic, b"", retain=True) for topic in self._cleared),
            *self.books.snapshots(),
            *self._flexibility.books(),
            *self._market_data.statistics(),
            *self._market_data.prices(),
            self.session(now),
        ]

    def _skip(self, numbers: int) -> None:
        """Leave out numbers that may have been published: of reports and envelopes.

        Everything retained is published under new numbers at the start that follows a loss.
        """
        self._skipped += numbers
        for receiver in self._sequences:
            self._sequences[receiver] += numbers
        self.envelopes.skip(numbers)

    def market_data(self, local_prices: AskPrices) -> list[Outgoing]:
        """Return all books, statistics and local prices that changed since the last call.

        Of local prices a few intervals at a time (:meth:`MarketData.changed_prices`).
        """
        changes = self.books.changes()
        self._market_data.mark_prices(sorted(self.books.stale_intervals))
        return [
            *changes,
            *self.books.stale_snapshots(),
            *self._flexibility.changes(),
            *self._market_data.changed_statistics(),
            *self._market_data.changed_prices(local_prices, self._event, self._time),
        ]

    def session(self, now: datetime | None = None) -> Outgoing:
        """Return the state of the market; with the time ``now`` it is a heartbeat."""
        payload = SessionMessage.encode(
            status="online", event=self._event, time=now or self._time, **self._session.entries()
        )
        return Outgoing(self._topics.session, payload, retain=True)

    def _reports_of(self, event: Event, find_answer: FindAnswer) -> Iterator[ParticipantReport]:
        """Yield the reports of an event to those it concerns."""
        if isinstance(event, Traded):
            yield from (self._reports.of_fill(event, fill) for fill in event.fills)
            return
        yield from flexibility_reports(event, self._rules)
        if isinstance(event, MeterRead):
            yield self._reports.of_reading(event)
        elif isinstance(event, MeteringClosed):
            yield from self._reports.of_missing_readings(event)
        repeated = isinstance(event, AnswerRepeated)
        answer = find_answer(event) if isinstance(event, AnswerRepeated) else event
        report = None if answer is None else self._reports.of_event(answer, repeated=repeated)
        if report is not None:
            yield report

    def _addressed(
        self, event: Event, reports: Iterator[ParticipantReport], made: bool
    ) -> list[Outgoing]:
        """Give each report its receiver's next number and topic, and make its message.

        Reports to accounts of the exchange itself have no topic and are left out.
        """
        messages = []
        for report in reports:
            receiver = report.receiver
            if not is_identifier(receiver):
                continue
            sequence = self._sequences[receiver] = self._sequences.get(receiver, self._skipped) + 1
            if not made:
                continue
            number = {"sequence": sequence, "event": event.sequence, "time": event.time}
            payload = report.form.encode(**(report.content() | number))
            self.kept_reports.add(receiver, sequence, payload)
            topic = self._topics.report(receiver)
            messages.append(Outgoing(topic, payload, expires_after_s=REPORT_EXPIRY_S))
        return messages

    def _position(self, point: str, start: datetime) -> ParticipantReport:
        envelope = self.envelopes.envelope(point, start)
        owner = self._terms[point].participant
        return ParticipantReport.of(owner, PositionReport, envelope, interval=start)

    def _tape(self, event: Traded) -> list[Outgoing]:
        """Return the public messages of a clearing: one for each book."""
        taker_side = {(fill.interval, fill.direction): fill.side for fill in takers(event)}
        messages = []
        for book, prints in prints_of(event).items():
            prices = [each.price_ticks for each in prints]
            payload = TradeMessage.encode(
                trade_id=event.trade_id,
                time=event.time,
                interval=book[0],
                direction=book[1],
                quantity_w=sum(each.quantity_w for each in prints),
                price=price_text(mean_ticks(prints), self._rules),
                low_price=price_text(min(prices), self._rules),
                high_price=price_text(max(prices), self._rules),
                taker_side=taker_side.get(book),
            )
            messages.append(Outgoing(self._topics.trade, payload, expires_after_s=REPORT_EXPIRY_S))
        return messages

    def report_sequence(self, receiver: str) -> int:
        """Return the number of the newest report to a receiver.  O(1)."""
        return self._sequences.get(receiver, self._skipped)

    def report_type(self, answer: Event) -> str:
        """Return the ``type`` of the report that an answer to a request leads to."""
        report = self._reports.of_event(answer, repeated=True)
        assert report is not None, f"{answer} is no answer"
        return str(report.form.model_fields["type"].default)

    def session_entries(self) -> dict[str, Any]:
        """Return phases, alarm and collar, as the session message has them."""
        return self._session.entries()

    def price(self, ticks: int) -> str:
        """Return a price as it is published, in EUR per kW."""
        return f"{self._rules.price_in_eur_per_kw(ticks):f}"

    def eur(self, tick_watts: int) -> str:
        """Return an amount of money as it is published, in EUR."""
        return f"{self._rules.amount_in_eur(tick_watts):f}"

    def state(self) -> dict[str, Any]:
        """Return everything as JSON-able data."""
        return {
            "version": VERSION,
            "sequences": dict(self._sequences),
            "skipped": self._skipped,
            **self._session.state(),
            "event": self._event,
            "time": self._time and self._time.isoformat(),
            "envelopes": self.envelopes.state(),
            "books": self.books.state(),
            "flexibility": self._flexibility.state(),
            "market_data": self._market_data.state(),
            "cleared": [[topic, time.isoformat()] for topic, time in self._cleared.items()],
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Take over what :meth:`state` returned; into a publisher that has applied no event.

        Raises
        ------
        ValueError
            When the state has no version, or that of a newer release.
        """
        state = in_present_form("the snapshot of reports", state, UPGRADES)
        self._skip(state["skipped"])
        self._sequences = dict(state["sequences"])
        self._session.restore(state)
        self._event = state["event"]
        self._time = state["time"] and datetime.fromisoformat(state["time"])
        self.envelopes.restore(state["envelopes"])
        self.books.restore(state["books"])
        self._flexibility.restore(state["flexibility"])
        self._market_data.restore(state["market_data"])
        self._cleared = {topic: datetime.fromisoformat(time) for topic, time in state["cleared"]}
