"""Topic names, and the rights of accounts to them.

Topics follow from the authenticated identity, never from a message's body.  The ids in topics are
checked in this module only.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache

from exchange.vocabulary.rules import METERING, OPERATOR, TSO
from gateway.formats.identifiers import is_identifier
from security_check.model.envelope import Direction

ROOT = "doe/v1"


@lru_cache(maxsize=1024)
def interval_level(start: datetime) -> str:
    """Return an interval's start as a topic level, for example ``20260701T120000Z``."""
    return start.astimezone(UTC).strftime("%Y%m%dT%H%M%SZ")


@dataclass(frozen=True, slots=True)
class Rights:
    """The topic filters an account may publish to and subscribe to."""

    publish: tuple[str, ...]
    subscribe: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Topics:
    """The topics of one area.

    Raises
    ------
    ValueError
        When the area, or an id given to one of the methods, may not stand in a topic.
    """

    area: str

    def __post_init__(self) -> None:
        _checked("area", self.area)

    @property
    def interface_limits(self) -> str:
        """Topic of the TSO's limits."""
        return f"{ROOT}/{self.area}/interface/limits"

    @property
    def control(self) -> str:
        """Topic of the market operator's controls."""
        return f"{ROOT}/{self.area}/control"

    @property
    def trade(self) -> str:
        """The public tape."""
        return f"{ROOT}/{self.area}/trade"

    @property
    def flexibility_trade(self) -> str:
        """The public tape of the flexibility market."""
        return f"{ROOT}/{self.area}/flexibility/trade"

    @property
    def session(self) -> str:
        """Market phases, heartbeat, alarms; retained."""
        return f"{ROOT}/{self.area}/session"

    @property
    def incoming(self) -> tuple[str, ...]:
        """The filters the exchange subscribes to."""
        own = (self.order("+"), self.interface_limits, self.control, self.meter("+"))
        return (*own, self.query("+"))

    @property
    def probe(self) -> str:
        """Topic of the exchange's messages to itself, which show that it still receives orders.

        It is a topic of orders, under a name that no participant can have.
        """
        return f"{ROOT}/{self.area}/order/{TSO}"

    def envelope(self, connection_point: str, interval: datetime) -> str:
        """Return the topic of a connection point's envelope in an interval; retained."""
        point = _checked("connection point", connection_point)
        return f"{ROOT}/{self.area}/envelope/{point}/{interval_level(interval)}"

    def envelopes(self, connection_point: str) -> str:
        """Return the filter for the envelopes of a connection point in all intervals."""
        return f"{ROOT}/{self.area}/envelope/{_checked('connection point', connection_point)}/+"

    def order(self, participant: str) -> str:
        """Return the topic of a participant's orders (``+``: of all participants)."""
        level = participant if participant == "+" else _checked("participant", participant)
        return f"{ROOT}/{self.area}/order/{level}"

    def query(self, sender: str) -> str:
        """Return the topic of a sender's queries (``+``: of all senders)."""
        level = sender if sender == "+" else _checked("sender", sender)
        return f"{ROOT}/{self.area}/query/{level}"

    def answer(self, sender: str) -> str:
        """Return the topic of the answers to a sender's queries."""
        return f"{ROOT}/{self.area}/answer/{_checked('sender', sender)}"

    def report(self, participant: str) -> str:
        """Return the topic of reports to a participant or a role, for example ``"tso"``."""
        return f"{ROOT}/{self.area}/report/{_checked('participant', participant)}"

    def book(self, direction: Direction, interval: datetime) -> str:
        """Return the topic of a book's depth; snapshots are retained."""
        return f"{ROOT}/{self.area}/book/{direction.value}/{interval_level(interval)}"

    def statistics(self, direction: Direction, interval: datetime) -> str:
        """Return the topic of a book's statistics; retained."""
        return f"{ROOT}/{self.area}/statistics/{direction.value}/{interval_level(interval)}"

    def flexibility_book(self, interval: datetime) -> str:
        """Return the topic of what rests in an interval's flexibility market; retained."""
        return f"{ROOT}/{self.area}/flexibility/book/{interval_level(interval)}"

    def price(self, interval: datetime) -> str:
        """Return the topic of an interval's local prices; retained."""
        return f"{ROOT}/{self.area}/price/{interval_level(interval)}"

    def meter(self, connection_point: str) -> str:
        """Return the topic of a connection point's readings (``+``: of all connection points)."""
        point = connection_point
        level = point if point == "+" else _checked("connection point", point)
        return f"{ROOT}/{self.area}/meter/{level}"

    def metered_point(self, topic: str) -> str | None:
        """Return the connection point of a topic of readings, ``None`` for other topics."""
        point = topic.removeprefix(f"{ROOT}/{self.area}/meter/")
        return point if point != topic and is_identifier(point) else None

    def asks(self, topic: str) -> bool:
        """Return whether messages on a topic are queries."""
        name = topic.removeprefix(f"{ROOT}/{self.area}/query/")
        return name != topic and is_identifier(name)

    def sender(self, topic: str) -> str | None:
        """Return the sender that owns a topic: a participant, a role's name, or ``None``.

        Examples
        --------
        >>> topics = Topics("north")
        >>> topics.sender("doe/v1/north/order/p1"), topics.sender("doe/v1/north/order/p 1")
        ('p1', None)
        """
        if topic == self.interface_limits:
            return TSO
        if topic == self.control:
            return OPERATOR
        if self.metered_point(topic) is not None:
            return METERING
        if self.asks(topic):
            return topic.rpartition("/")[2]
        prefix = f"{ROOT}/{self.area}/order/"
        participant = topic.removeprefix(prefix)
        if participant in (topic, TSO, OPERATOR, METERING) or not is_identifier(participant):
            return None
        return participant

    def exchange_rights(self) -> Rights:
        """Return the rights of the exchange itself: all topics of its area."""
        return Rights((f"{ROOT}/{self.area}/#",), (f"{ROOT}/{self.area}/#",))

    def participant_rights(self, participant: str) -> Rights:
        """Return the rights of a participant: its own topics, and to read what is public."""
        return self._rights(participant, self.order(participant))

    def tso_rights(self) -> Rights:
        """Return the rights of the TSO."""
        return self._rights(TSO, self.interface_limits)

    def operator_rights(self) -> Rights:
        """Return the rights of the market operator."""
        return self._rights(OPERATOR, self.control)

    def metering_rights(self) -> Rights:
        """Return the rights of the meter operator."""
        return self._rights(METERING, self.meter("+"))

    def observer_rights(self) -> Rights:
        """Return the rights of an observer: to read what is public."""
        return Rights((), self._public())

    def rights_of(self, name: str) -> Rights:
        """Return the rights of an account: TSO, market operator, meter operator or participant."""
        if name == TSO:
            return self.tso_rights()
        if name == METERING:
            return self.metering_rights()
        return self.operator_rights() if name == OPERATOR else self.participant_rights(name)

    def _rights(self, name: str, requests: str) -> Rights:
        """Return the rights of a sender of requests: it gets reports, and may ask queries."""
        own = (self.report(name), self.answer(name))
        return Rights((requests, self.query(name)), (*own, *self._public()))

    def _public(self) -> tuple[str, ...]:
        area = f"{ROOT}/{self.area}"
        books = ("book/#", "trade", "statistics/#", "price/+", "flexibility/#")
        return tuple(f"{area}/{name}" for name in ("envelope/+/+", *books, "session"))


def covers(allowed: str, asked: str) -> bool:
    """Return whether every topic that ``asked`` matches is matched by the filter ``allowed``.

    Examples
    --------
    >>> covers("a/+", "a/b"), covers("a/#", "a/+/c"), covers("a/+", "a/#"), covers("a/b", "a/+")
    (True, True, False, False)
    """
    rights, wishes = allowed.split("/"), asked.split("/")
    for position, right in enumerate(rights):
        if right == "#":
            return True
        if position >= len(wishes) or wishes[position] == "#":
            return False
        if right not in ("+", wishes[position]):
            return False
    return len(rights) == len(wishes)


def _checked(what: str, identifier: str) -> str:
    if not is_identifier(identifier):
        raise ValueError(f"{what} {identifier!r} may not stand in a topic")
    return identifier
