"""The session of an area as the public sees it: market phases, price collar, last alarm."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any, Literal

from exchange.vocabulary.events import (
    AlarmRaised,
    Event,
    GateClosed,
    InterfaceLimitsUpdated,
    PriceCollarSet,
    SessionOpened,
    TradingHalted,
    TradingResumed,
)
from exchange.vocabulary.rules import NO_COLLAR, PriceCollar
from gateway.messages.area_state import Alarm, SessionInterval


class SessionState:
    """Phases of all intervals that have not ended, kept up to date by events.

    Parameters
    ----------
    price
        Turns ticks into the decimal string that is published.
    """

    def __init__(self, price: Callable[[int], str]) -> None:
        self._price = price
        self._intervals: dict[datetime, SessionInterval] = {}
        self._last_alarm: Alarm | None = None
        self._collar = NO_COLLAR
        # What has halted an interval; under None, all intervals.
        self._halts: dict[datetime | None, set[Literal["operator", "alarm"]]] = {}

    def apply(self, event: Event) -> bool:
        """Apply an event; return whether the session message changes."""
        match event:
            case SessionOpened():
                for start in [s for s, each in self._intervals.items() if each.end <= event.time]:
                    del self._intervals[start]
                    self._halts.pop(start, None)
                entries = SessionInterval.entries_of(event, phase="open")
                self._intervals[event.start] = SessionInterval.model_construct(**entries)
            case GateClosed():
                if event.interval in self._intervals:
                    closed = self._intervals[event.interval].model_copy(update={"phase": "closed"})
                    self._intervals[event.interval] = closed
            case InterfaceLimitsUpdated():
                self._halts.get(event.interval, set()).discard("alarm")
            case TradingHalted():
                self._halts.setdefault(event.interval, set()).add("operator")
            case TradingResumed():
                self._halts.get(event.interval, set()).discard("operator")
            case PriceCollarSet():
                self._collar = event.collar
            case AlarmRaised():
                entries = Alarm.entries_of(event, event=event.sequence)
                self._last_alarm = Alarm.model_construct(**entries)
                if event.halts_trading:
                    self._halts.setdefault(event.interval, set()).add("alarm")
            case _:
                return False
        return True

    def entries(self) -> dict[str, Any]:
        """Return phases, alarm and collar as entries of the session message."""
        return {
            "intervals": tuple(self._phase_of(start) for start in sorted(self._intervals)),
            "last_alarm": self._last_alarm,
            "min_price": self._bound(self._collar.min_price_ticks),
            "max_price": self._bound(self._collar.max_price_ticks),
        }

    def _phase_of(self, start: datetime) -> SessionInterval:
        """Return an interval with its phase: only open intervals can be halted."""
        interval = self._intervals[start]
        if interval.phase == "open" and (self._halts.get(start) or self._halts.get(None)):
            return interval.model_copy(update={"phase": "halted"})
        return interval

    def _bound(self, ticks: int | None) -> str | None:
        return None if ticks is None else self._price(ticks)

    def state(self) -> dict[str, Any]:
        """Return everything as JSON-able data."""
        return {
            "sessions": [each.model_dump(mode="json") for each in self._intervals.values()],
            "last_alarm": self._last_alarm and self._last_alarm.model_dump(mode="json"),
            "halts": [
                [start and start.isoformat(), sorted(by)] for start, by in self._halts.items() if by
            ],
            "collar": [self._collar.min_price_ticks, self._collar.max_price_ticks],
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Take over what :meth:`state` returned."""
        for content in state["sessions"]:
            interval = SessionInterval.model_validate(content)
            self._intervals[interval.start] = interval
        if state["last_alarm"]:
            self._last_alarm = Alarm.model_validate(state["last_alarm"])
        self._collar = PriceCollar(*state["collar"])
        for start, by in state["halts"]:
            self._halts[start and datetime.fromisoformat(start)] = set(by)
