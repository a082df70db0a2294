"""Metered intervals: those that await readings, and the readings that they have.

An interval awaits readings from the closing of its gate until its readings close.  Its session may
be forgotten before, so it keeps a copy of its final limits.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sortedcontainers import SortedSet

from exchange.vocabulary.events import GateClosed
from exchange.vocabulary.settlement_events import MeterRead, MissingReading


@dataclass(slots=True)
class MeteredInterval:
    """One interval that awaits readings.

    Parameters
    ----------
    start, end
        Its delivery.
    readings_until
        When its readings close.
    penalty_price_ticks, tolerance_w
        The terms it is metered by, fixed when its gate closed.
    limits_w
        The final limits of each connection point: injection, withdrawal.
    readings
        The reading in force of each connection point that has one.
    """

    start: datetime
    end: datetime
    readings_until: datetime
    penalty_price_ticks: int
    tolerance_w: int
    limits_w: dict[str, tuple[int, int]]
    readings: dict[str, MeterRead] = field(default_factory=dict)

    def assess(
        self,
        *,
        sequence: int,
        time: datetime,
        reading_id: str,
        participant: str,
        connection_point: str,
        injection_w: int,
        withdrawal_w: int,
    ) -> MeterRead:
        """Return a new reading with its breach, its penalty and the reading it replaces.  O(1)."""
        breach_w = self.breach_w(connection_point, injection_w, withdrawal_w)
        injection_limit_w, withdrawal_limit_w = self.limits_w[connection_point]
        replaced = self.readings.get(connection_point)
        return MeterRead(
            sequence=sequence,
            time=time,
            reading_id=reading_id,
            interval=self.start,
            participant=participant,
            connection_point=connection_point,
            injection_w=injection_w,
            withdrawal_w=withdrawal_w,
            injection_limit_w=injection_limit_w,
            withdrawal_limit_w=withdrawal_limit_w,
            tolerance_w=self.tolerance_w,
            breach_w=breach_w,
            penalty=breach_w * self.penalty_price_ticks,
            replaces=None if replaced is None else replaced.reading_id,
            reversed_penalty=0 if replaced is None else replaced.penalty,
        )

    def breach_w(self, connection_point: str, injection_w: int, withdrawal_w: int) -> int:
        """Return the mean power beyond limit and tolerance, in watts; 0 without a breach."""
        injection_limit_w, withdrawal_limit_w = self.limits_w[connection_point]
        beyond_w = max(injection_w - injection_limit_w, withdrawal_w - withdrawal_limit_w)
        return max(0, beyond_w - self.tolerance_w)


class Metering:
    """The intervals that await readings, and the readings they have.

    Attributes
    ----------
    intervals
        By start.
    due
        ``(readings_until, start)``, sorted: the times at which readings close.
    """

    __slots__ = ("_readings", "due", "intervals")

    def __init__(self) -> None:
        self.intervals: dict[datetime, MeteredInterval] = {}
        self.due: SortedSet = SortedSet()
        # By id, with replaced readings: one that is sent again must not replace its successor.
        self._readings: dict[str, MeterRead] = {}

    def reading(self, reading_id: str) -> MeterRead | None:
        """Return a reading of an interval that is not closed, in force or replaced.  O(1)."""
        return self._readings.get(reading_id)

    def expect(self, gate: GateClosed, end: datetime) -> None:
        """Begin to await readings of an interval, if it is metered.  O(connection points)."""
        if gate.readings_until is None:
            return
        self._add(
            MeteredInterval(
                start=gate.interval,
                end=end,
                readings_until=gate.readings_until,
                penalty_price_ticks=gate.penalty_price_ticks,
                tolerance_w=gate.tolerance_w,
                limits_w={
                    envelope.connection_point: (
                        envelope.injection_limit_w,
                        envelope.withdrawal_limit_w,
                    )
                    for envelope in gate.envelopes
                },
            )
        )

    def _add(self, interval: MeteredInterval) -> None:
        self.intervals[interval.start] = interval
        self.due.add((interval.readings_until, interval.start))

    def take(self, reading: MeterRead) -> None:
        """Put a reading into force.  O(1)."""
        self.intervals[reading.interval].readings[reading.connection_point] = reading
        self._readings[reading.reading_id] = reading

    def close(self, start: datetime) -> None:
        """Forget an interval and its readings.  O(its readings)."""
        interval = self.intervals.pop(start)
        self.due.remove((interval.readings_until, start))
        for reading in interval.readings.values():
            named: str | None = reading.reading_id
            while named is not None:
                named = self._readings.pop(named).replaces

    def missing(self, start: datetime, owners: dict[str, str]) -> tuple[MissingReading, ...]:
        """Return the connection points of an interval that have no reading."""
        interval = self.intervals[start]
        return tuple(
            MissingReading(owners[point], point)
            for point in interval.limits_w
            if point not in interval.readings
        )

    def snapshot(self) -> dict[str, Any]:
        """Return everything as JSON-able data.

        A reading is kept as it was sent, in the order of arrival; its breach and penalty follow.
        """
        readings: dict[datetime, list[list[Any]]] = {start: [] for start in self.intervals}
        for each in sorted(self._readings.values(), key=lambda reading: reading.sequence):
            readings[each.interval].append(
                [
                    each.sequence,
                    each.time.isoformat(),
                    each.reading_id,
                    each.participant,
                    each.connection_point,
                    each.injection_w,
                    each.withdrawal_w,
                ]
            )
        return {
            "intervals": [
                {
                    "start": start.isoformat(),
                    "end": interval.end.isoformat(),
                    "readings_until": interval.readings_until.isoformat(),
                    "penalty_price_ticks": interval.penalty_price_ticks,
                    "tolerance_w": interval.tolerance_w,
                    "limits_w": [
                        [point, *limits_w] for point, limits_w in interval.limits_w.items()
                    ],
                    "readings": readings[start],
                }
                for start, interval in sorted(self.intervals.items())
            ]
        }

    @classmethod
    def restore(cls, data: dict[str, Any]) -> Metering:
        """Return the metering a snapshot was taken of."""
        metering = cls()
        for plain in data["intervals"]:
            interval = MeteredInterval(
                start=datetime.fromisoformat(plain["start"]),
                end=datetime.fromisoformat(plain["end"]),
                readings_until=datetime.fromisoformat(plain["readings_until"]),
                penalty_price_ticks=plain["penalty_price_ticks"],
                tolerance_w=plain["tolerance_w"],
                limits_w={
                    point: (injection_w, withdrawal_w)
                    for point, injection_w, withdrawal_w in plain["limits_w"]
                },
            )
            metering._add(interval)
            for sequence, time, reading_id, owner, point, injection_w, withdrawal_w in plain[
                "readings"
            ]:
                reading = interval.assess(
                    sequence=sequence,
                    time=datetime.fromisoformat(time),
                    reading_id=reading_id,
                    participant=owner,
                    connection_point=point,
                    injection_w=injection_w,
                    withdrawal_w=withdrawal_w,
                )
                metering.take(reading)
        return metering

    def check_invariants(self) -> None:
        """Check that intervals, readings and deadlines agree, and breaches with limits.

        Raises
        ------
        AssertionError
            With the interval or reading that breaks a rule.
        """
        due = {(each.readings_until, start) for start, each in self.intervals.items()}
        assert due == set(self.due), "intervals that are metered and what is due disagree"
        for number, reading in self._readings.items():
            assert reading.reading_id == number, f"reading {number} is {reading}"
            interval = self.intervals.get(reading.interval)
            assert interval is not None, f"reading {number} is of no interval that is metered"
            point = reading.connection_point
            breach_w = interval.breach_w(point, reading.injection_w, reading.withdrawal_w)
            assert reading.breach_w == breach_w, f"{reading} breaches by {breach_w} W"
            penalty = breach_w * interval.penalty_price_ticks
            assert reading.penalty == penalty, f"{reading} costs {penalty} tick-watts"
            if reading.replaces is not None:
                reversed_penalty = self._readings[reading.replaces].penalty
                assert reading.reversed_penalty == reversed_penalty, f"{reading} reverses less"
        replaced = {each.replaces for each in self._readings.values()}
        in_force = {
            each.reading_id for every in self.intervals.values() for each in every.readings.values()
        }
        assert in_force == self._readings.keys() - replaced, "a reading is in force and replaced"
