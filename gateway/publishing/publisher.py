"""A fold over the event stream: events in, outgoing messages out.

The messages follow from the events alone, sequence numbers included, so a restart makes exactly
the same ones again.  Of one journal entry come, in this order: envelopes (shrinking first),
reports to participants, positions, depth, the tape, the end of prices, the session.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, Literal

from exchange.vocabulary.events import (
    AlarmRaised,
    AnswerRepeated,
    Event,
    GateClosed,
    InterfaceLimitsUpdated,
    PriceCollarSet,
    SessionOpened,
    Traded,
    TradingHalted,
    TradingResumed,
)
from exchange.vocabulary.rules import NO_COLLAR, ConnectionTerms, MarketRules, PriceCollar
from exchange.vocabulary.settlement_events import MeteringClosed, MeterRead
from gateway.formats.identifiers import is_identifier
from gateway.messages import reports as out
from gateway.messages.market_data import TradeMessage
from gateway.messages.topics import Topics
from gateway.ports import Outgoing
from gateway.publishing.depth import Books
from gateway.publishing.envelopes import Envelopes
from gateway.publishing.market_data import AskPrices, MarketData
from gateway.publishing.report_contents import Addressed, Contents, fields
from gateway.publishing.trade_prints import mean_ticks, price_text, prints_of, takers

REPORT_EXPIRY_S = 86_400
"""How long a broker keeps a report for a participant who is away (MQTT 5)."""

FindAnswer = Callable[[AnswerRepeated], Event | None]
"""Returns the event that an answer given again repeats, unless it is forgotten."""


def last_will(topics: Topics) -> Outgoing:
    """Return what the broker says when the exchange falls silent."""
    payload = out.SessionMessage.encode(status="offline", event=0, time=None)
    return Outgoing(topics.session, payload, retain=True)


class Reports:
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
        self._contents = Contents(rules)
        self._terms = terms
        self._sequences: dict[str, int] = {}
        self._sessions: dict[datetime, out.SessionInterval] = {}
        self._last_alarm: out.Alarm | None = None
        self._collar = NO_COLLAR
        # Who has halted an interval; under None, all of them.
        self._halts: dict[datetime | None, set[Literal["operator", "alarm"]]] = {}
        self._event = 0
        self._time: datetime | None = None
        self.envelopes = Envelopes(topics, terms)
        self.books = Books(topics, self._price)
        self._market_data = MarketData(topics, rules)

    def entry(self, events: Sequence[Event], find_answer: FindAnswer) -> list[Outgoing]:
        """Return the messages of one journal entry, in the order they must go out."""
        if not events:
            return []
        now = events[-1].time
        self._event, self._time = events[-1].sequence, now
        messages, changed = self.envelopes.apply(events, now)
        tape: list[Outgoing] = []
        depth: list[Outgoing] = []
        session_changed = False
        for event in events:
            messages += self._reports(event, find_answer)
            if isinstance(event, Traded):
                tape += self._tape(event)
            session_changed |= self._follow_session(event)
            if isinstance(event, SessionOpened):
                depth += self.books.open(event.start)
        last = events[-1]
        for point, start in changed:
            messages.append(self._position(point, start, last))
        depth += self.books.apply(events)
        for event in events:
            if isinstance(event, GateClosed):
                depth += self.books.close(event.interval)
        messages += depth + tape + self._market_data.apply(events)
        if session_changed:
            messages.append(self.session())
        return messages

    def retained(self) -> list[Outgoing]:
        """Return everything a broker keeps, for one that may have forgotten it."""
        statistics = self._market_data.statistics()
        return [*self.envelopes.messages(), *self.books.snapshots(), *statistics, self.session()]

    def market_data(self, local_prices: AskPrices) -> list[Outgoing]:
        """Return depth, statistics and local prices that changed since this was last asked.

        Of local prices a few intervals at a time (:meth:`MarketData.changed_prices`).
        """
        self._market_data.look_at_prices(sorted(self.books.stale_intervals))
        return [
            *self.books.stale_snapshots(),
            *self._market_data.changed_statistics(),
            *self._market_data.changed_prices(local_prices, self._event, self._time),
        ]

    def session(self, now: datetime | None = None) -> Outgoing:
        """Return the state of the market; with the time ``now`` it is a heartbeat."""
        payload = out.SessionMessage.encode(
            status="online",
            event=self._event,
            time=now or self._time,
            intervals=tuple(self._session(start) for start in sorted(self._sessions)),
            last_alarm=self._last_alarm,
            min_price=self._bound(self._collar.min_price_ticks),
            max_price=self._bound(self._collar.max_price_ticks),
        )
        return Outgoing(self._topics.session, payload, retain=True)

    def _reports(self, event: Event, find_answer: FindAnswer) -> list[Outgoing]:
        if isinstance(event, Traded):
            fills = [self._contents.of_fill(event, fill) for fill in event.fills]
            return [message for each in fills for message in self._to(event, each)]
        if isinstance(event, MeterRead):
            told = self._to(event, self._contents.of_reading(event))
        elif isinstance(event, MeteringClosed):
            told = self._missing(event)
        else:
            told = []
        if isinstance(event, AnswerRepeated):
            first = find_answer(event)
            report = None if first is None else self._contents.of_event(first, repeated=True)
        else:
            report = self._contents.of_event(event, repeated=False)
        return told if report is None else told + self._to(event, report)

    def _to(self, event: Event, report: Addressed) -> list[Outgoing]:
        """Address a report: give it the participant's next number."""
        participant, kind, content = report
        if not is_identifier(participant):
            return []  # for the operator, or for nobody who could read it
        sequence = self._sequences.get(participant, 0) + 1
        self._sequences[participant] = sequence
        payload = kind.encode(sequence=sequence, event=event.sequence, time=event.time, **content)
        return [
            Outgoing(
                self._topics.report(participant),
                payload,
                expires_after_s=REPORT_EXPIRY_S,
            )
        ]

    def _missing(self, event: MeteringClosed) -> list[Outgoing]:
        """Tell each owner which of its own connection points have no reading."""
        points: dict[str, list[str]] = {}
        for each in event.missing:
            points.setdefault(each.participant, []).append(each.connection_point)
        return [
            message
            for participant, own in points.items()
            for message in self._to(
                event,
                (
                    participant,
                    out.ReadingMissingReport,
                    {"interval": event.interval, "connection_points": tuple(own)},
                ),
            )
        ]

    def _position(self, point: str, start: datetime, event: Event) -> Outgoing:
        envelope = self.envelopes.envelope(point, start)
        content = {"connection_point": point, "interval": start}
        content |= fields(envelope, "injection_limit_w withdrawal_limit_w")
        owner = self._terms[point].participant
        return self._to(event, (owner, out.PositionReport, content))[0]

    def _tape(self, event: Traded) -> list[Outgoing]:
        """Return what the public hears of a clearing: one message for each book."""
        taker_side = {(fill.interval, fill.direction): fill.side for fill in takers(event)}
        messages = []
        for book, prints in prints_of(event).items():
            prices = [each.price_ticks for each in prints]
            payload = TradeMessage.encode(
                **fields(event, "trade_id time"),
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

    def _follow_session(self, event: Event) -> bool:
        """Keep the market phases; tells whether the session message changes."""
        match event:
            case SessionOpened():
                for start in [s for s, each in self._sessions.items() if each.end <= event.time]:
                    del self._sessions[start]
                    self._halts.pop(start, None)
                self._sessions[event.start] = out.SessionInterval.model_construct(
                    **fields(event, "start end gate_closes_at"), phase="open"
                )
            case GateClosed():
                if event.interval in self._sessions:
                    changed = {"phase": "closed"}
                    closed = self._sessions[event.interval].model_copy(update=changed)
                    self._sessions[event.interval] = closed
            case InterfaceLimitsUpdated():
                self._halts.get(event.interval, set()).discard("alarm")
            case TradingHalted():
                self._halts.setdefault(event.interval, set()).add("operator")
            case TradingResumed():
                self._halts.get(event.interval, set()).discard("operator")
            case PriceCollarSet():
                self._collar = event.collar
            case AlarmRaised():
                self._last_alarm = out.Alarm.model_construct(
                    event=event.sequence, **fields(event, "time kind interval halts_trading")
                )
                if event.halts_trading:
                    self._halts.setdefault(event.interval, set()).add("alarm")
            case _:
                return False
        return True

    def _session(self, start: datetime) -> out.SessionInterval:
        """Return the phase of an interval: what is open may be halted, what is closed is closed."""
        session = self._sessions[start]
        if session.phase == "open" and (self._halts.get(start) or self._halts.get(None)):
            return session.model_copy(update={"phase": "halted"})
        return session

    def _bound(self, ticks: int | None) -> str | None:
        return None if ticks is None else self._price(ticks)

    def _price(self, ticks: int) -> str:
        return f"{self._rules.price_in_eur_per_kw(ticks):f}"

    def state(self) -> dict[str, Any]:
        """Return everything as JSON-able data."""
        return {
            "sequences": dict(self._sequences),
            "sessions": [each.model_dump(mode="json") for each in self._sessions.values()],
            "last_alarm": self._last_alarm and self._last_alarm.model_dump(mode="json"),
            "halts": [
                [start and start.isoformat(), sorted(by)] for start, by in self._halts.items() if by
            ],
            "collar": [self._collar.min_price_ticks, self._collar.max_price_ticks],
            "event": self._event,
            "time": self._time and self._time.isoformat(),
            "envelopes": self.envelopes.state(),
            "books": self.books.state(),
            "market_data": self._market_data.state(),
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Take over what :meth:`state` returned; into a fold that has seen no event."""
        self._sequences = dict(state["sequences"])
        for content in state["sessions"]:
            each = out.SessionInterval.model_validate(content)
            self._sessions[each.start] = each
        if state["last_alarm"]:
            self._last_alarm = out.Alarm.model_validate(state["last_alarm"])
        self._collar = PriceCollar(*state["collar"])
        for start, by in state["halts"]:
            self._halts[start and datetime.fromisoformat(start)] = set(by)
        self._event = state["event"]
        self._time = state["time"] and datetime.fromisoformat(state["time"])
        self.envelopes.restore(state["envelopes"])
        self.books.restore(state["books"])
        self._market_data.restore(state["market_data"])
