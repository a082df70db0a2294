"""A mirror of the limits that a participant holds at its connection points."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Any

from gateway.messages.participant_reports import PositionReport, Report

_KEPT = timedelta(days=2)  # positions of intervals that began earlier are over


@dataclass(frozen=True, slots=True)
class HeldLimits:
    """The limits held at one connection point in one interval; magnitudes in watts."""

    connection_point: str
    interval: datetime
    injection_limit_w: int
    withdrawal_limit_w: int


class OwnPositions:
    """Held limits by connection point and start of the interval."""

    def __init__(self) -> None:
        self._held: dict[tuple[str, datetime], HeldLimits] = {}
        self._known_to: dict[tuple[str, datetime], int] = {}

    @property
    def held(self) -> Mapping[tuple[str, datetime], HeldLimits]:
        """What is held, by connection point and interval."""
        return MappingProxyType(self._held)

    @property
    def connection_points(self) -> frozenset[str]:
        """The connection points with positions."""
        return frozenset(point for point, _ in self._held)

    def rebuild(self, entries: Iterable[tuple[dict[str, Any], int]]) -> None:
        """Take over all positions in open intervals from answers of the exchange.

        Parameters
        ----------
        entries
            Each with the number of the newest report that it includes.
        """
        self._held.clear()
        self._known_to.clear()
        for entry, known_to in entries:
            limits = HeldLimits(
                entry["connection_point"],
                datetime.fromisoformat(entry["interval"]),
                entry["injection_limit_w"],
                entry["withdrawal_limit_w"],
            )
            key = limits.connection_point, limits.interval
            self._held[key], self._known_to[key] = limits, known_to

    def apply(self, report: Report) -> None:
        """Take a report, in the order of their numbers."""
        if not isinstance(report, PositionReport):
            return
        key = report.connection_point, report.interval
        if report.sequence <= self._known_to.get(key, 0):
            return
        if key not in self._held:
            self._forget_before(report.time - _KEPT)
        self._held[key] = HeldLimits(*key, report.injection_limit_w, report.withdrawal_limit_w)

    def _forget_before(self, moment: datetime) -> None:
        for key in [key for key in self._held if key[1] < moment]:
            del self._held[key]
            self._known_to.pop(key, None)
