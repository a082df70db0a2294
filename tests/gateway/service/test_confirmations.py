"""What a device may need soon is confirmed in time, on a virtual clock."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime, timedelta

from gateway_market import OPENING, START, market
from hypothesis import example, given, settings
from hypothesis import strategies as st

from exchange.vocabulary.commands import AdvanceTime, Command, OpenSession
from gateway.client.mirrors.point_envelopes import LimitSource, PointEnvelopes
from gateway.ports import Outgoing
from gateway.publishing.envelopes import HOLDS
from gateway.service.core import JournaledExchange
from gateway.service.periodic import PeriodicMessages
from gateway.service.settings import ServiceSettings

SHIPPED = ServiceSettings()
GATE_S = 18.0  # the loop comes round in between: a device keeps to final envelopes only
LASTS_S = 1_100  # several times HOLDS, and the last minute of a confirmation


@dataclass(frozen=True)
class Day:
    """Intervals without a gap from ``first_s`` on, each opened ``ahead_s`` before its start.

    The loop comes round after each of ``steps_s``, again and again.
    """

    points: int
    length_s: int
    first_s: int
    ahead_s: int
    steps_s: tuple[float, ...]

    def openings(self) -> list[tuple[float, OpenSession]]:
        """Return when each interval is opened, the earliest first."""
        found = []
        for k in range(-(-LASTS_S // self.length_s)):
            start_s = self.first_s + k * self.length_s
            start, end = at(start_s), at(start_s + self.length_s)
            gate = start - timedelta(seconds=GATE_S)
            session = OpenSession(start, end, gate, OPENING.interface_limits)
            found.append((max(0.0, start_s - self.ahead_s), session))
        return found


DAYS = st.builds(
    Day,
    points=st.sampled_from([1, 2, 7, 41]),
    length_s=st.sampled_from([60, 300, 900, 3600]),
    first_s=st.integers(20, 700),
    ahead_s=st.integers(40, 4_000),
    steps_s=st.lists(st.sampled_from([0.05, 0.4, 1.0, 3.0, 17.0]), min_size=3, max_size=6).map(
        tuple
    ),
)


def at(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


class Area:
    """An exchange on a virtual clock, and the devices of the first and the last customer."""

    def __init__(self, day: Day) -> None:
        setup = market("a", day.points)
        self.now_s = 0.0
        self.topics = setup.topics
        self.core = JournaledExchange(setup)
        self.periodic = PeriodicMessages(setup.topics, SHIPPED, lambda moment: b"")
        self.devices = {
            point: PointEnvelopes(point, lambda: self.now_s)
            for point in ("load:0", f"load:{day.points - 1}")
        }
        self.confirmed = 0

    def handle(self, command: Command) -> None:
        self._hear(self.core.handle(command, at(self.now_s))[1])

    def come_round(self) -> None:
        due = self.core.next_due
        if due is not None and due <= at(self.now_s):
            self.handle(AdvanceTime())
        moment, now = self.now_s, at(self.now_s)
        messages = self.periodic.due(self.core, moment, now, connected=True)
        self.confirmed += sum("/envelope/" in each.topic for each in messages)
        self._hear(messages)

    def _hear(self, messages: list[Outgoing]) -> None:
        for message in messages:
            _, kind, point, level = ("///" + message.topic).rsplit("/", 3)
            if kind != "envelope" or point not in self.devices:
                continue
            device = self.devices[point]
            if message.payload:
                device.take(json.loads(message.payload))
            else:
                device.remove(datetime.fromisoformat(level))

    def sources(self) -> set[LimitSource]:
        return {device.limits(at(self.now_s)).source for device in self.devices.values()}


@given(DAYS)
@settings(max_examples=25, deadline=None)
@example(Day(41, 60, 301, 4_000, (1.0,)))
@example(Day(1, 900, 360, 4_000, (17.0,)))
def test_a_connected_device_always_has_an_envelope_that_is_confirmed(day: Day) -> None:
    """At every moment of every interval, also just before the loop comes round."""
    area, openings, turns = Area(day), day.openings(), 0
    begin_s = None
    while area.now_s < LASTS_S:
        if begin_s is not None and area.now_s >= begin_s:
            assert area.sources() == {LimitSource.ENVELOPE}, area.now_s
        while openings and openings[0][0] <= area.now_s:
            opened = openings.pop(0)[1]
            area.handle(opened)
            begin_s = max(day.first_s, area.now_s) if begin_s is None else begin_s
        area.come_round()
        area.now_s += day.steps_s[turns % len(day.steps_s)]
        turns += 1
    # One for the interval that runs, and one for each that starts before it need be said again.
    rounds = LASTS_S / SHIPPED.confirm_s + 1
    assert area.confirmed <= rounds * day.points * (2 + HOLDS.total_seconds() / day.length_s)
