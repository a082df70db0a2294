"""Topic names, and who may use them.

Topics come from the authenticated identity and never from a message's body.  What may stand
in a topic level is checked here and nowhere else.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from exchange.vocabulary.rules import METERING, OPERATOR, TSO
from gateway.formats.identifiers import is_identifier
from security_check.model.envelope import Direction

ROOT = "doe/v1"


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
        """Where the TSO writes."""
        return f"{ROOT}/{self.area}/interface/limits"

    @property
    def control(self) -> str:
        """Where the operator writes."""
        return f"{ROOT}/{self.area}/control"

    @property
    def trade(self) -> str:
        """The public tape."""
        return f"{ROOT}/{self.area}/trade"

    @property
    def session(self) -> str:
        """Market phases, heartbeat, alarms; retained."""
        return f"{ROOT}/{self.area}/session"

    @property
    def incoming(self) -> tuple[str, ...]:
        """The filters the exchange subscribes to."""
        return (self.order("+"), self.interface_limits, self.control, self.meter("+"))

    @property
    def probe(self) -> str:
        """Where the exchange writes to itself, to see that it still hears orders.

        Among the orders, under the one name that no participant can have.
        """
        return f"{ROOT}/{self.area}/order/{TSO}"

    def envelope(self, connection_point: str) -> str:
        """Return where the envelopes of a connection point are published; retained."""
        return f"{ROOT}/{self.area}/envelope/{_checked('connection point', connection_point)}"

    def order(self, participant: str) -> str:
        """Return where a participant writes its orders (``+``: all of them)."""
        level = participant if participant == "+" else _checked("participant", participant)
        return f"{ROOT}/{self.area}/order/{level}"

    def report(self, participant: str) -> str:
        """Return where a participant, ``"tso"`` or ``"operator"`` reads its answers."""
        return f"{ROOT}/{self.area}/report/{_checked('participant', participant)}"

    def book(self, direction: Direction, interval: datetime) -> str:
        """Return where the depth of a book is published; snapshots are retained."""
        return f"{ROOT}/{self.area}/book/{direction.value}/{interval_level(interval)}"

    def statistics(self, direction: Direction, interval: datetime) -> str:
        """Return where it is published what has traded in a book; retained."""
        return f"{ROOT}/{self.area}/statistics/{direction.value}/{interval_level(interval)}"

    def price(self, interval: datetime) -> str:
        """Return where the local prices of an interval are published; retained."""
        return f"{ROOT}/{self.area}/price/{interval_level(interval)}"

    def meter(self, connection_point: str) -> str:
        """Return where the meter operator writes of a connection point (``+``: of all)."""
        point = connection_point
        level = point if point == "+" else _checked("connection point", point)
        return f"{ROOT}/{self.area}/meter/{level}"

    def metered_point(self, topic: str) -> str | None:
        """Return which connection point a topic of the meter operator is about, or ``None``."""
        point = topic.removeprefix(f"{ROOT}/{self.area}/meter/")
        return point if point != topic and is_identifier(point) else None

    def sender(self, topic: str) -> str | None:
        """Return whose topic this is: a participant, a role's name, or ``None``.

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
        prefix = f"{ROOT}/{self.area}/order/"
        participant = topic.removeprefix(prefix)
        if participant in (topic, TSO, OPERATOR, METERING) or not is_identifier(participant):
            return None
        return participant

    def exchange_rights(self) -> Rights:
        """Return what the exchange itself may do: everything in its area."""
        return Rights((f"{ROOT}/{self.area}/#",), (f"{ROOT}/{self.area}/#",))

    def participant_rights(self, participant: str) -> Rights:
        """Return what a participant may do: its own orders and reports, and what is public."""
        return Rights((self.order(participant),), (self.report(participant), *self._public()))

    def tso_rights(self) -> Rights:
        """Return what the TSO may do."""
        return Rights((self.interface_limits,), (self.report(TSO), *self._public()))

    def operator_rights(self) -> Rights:
        """Return what the operator of the market may do."""
        return Rights((self.control,), (self.report(OPERATOR), *self._public()))

    def metering_rights(self) -> Rights:
        """Return what the meter operator may do."""
        return Rights((self.meter("+"),), (self.report(METERING), *self._public()))

    def rights_of(self, name: str) -> Rights:
        """Return what an account may do: TSO, operator, meter operator or participant."""
        if name == TSO:
            return self.tso_rights()
        if name == METERING:
            return self.metering_rights()
        return self.operator_rights() if name == OPERATOR else self.participant_rights(name)

    def _public(self) -> tuple[str, ...]:
        area = f"{ROOT}/{self.area}"
        names = ("envelope/+", "book/#", "trade", "statistics/#", "price/+", "session")
        return tuple(f"{area}/{name}" for name in names)


def covers(allowed: str, asked: str) -> bool:
    """Tell whether every topic that ``asked`` matches is matched by the filter ``allowed``.

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
