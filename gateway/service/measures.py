"""What a running exchange counts and times, for its operator.

The measures of all areas of a process are in one registry of prometheus_client, which
``gateway.operations.endpoint`` shows.
Counting costs some microseconds for each batch, and less than one for each event.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any, TypeVar

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from exchange.vocabulary.events import (
    AlarmRaised,
    Event,
    GateClosed,
    OrderAccepted,
    Refused,
    Traded,
)
from exchange.vocabulary.formatting import format_time

_SECONDS = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0)
_MESSAGES = (1, 2, 4, 8, 16, 32, 64, 128)
_Family = TypeVar("_Family", Counter, Gauge, Histogram)


class MeasureFamilies:
    """The measures of all areas of a process, each made once.

    Attributes
    ----------
    registry
        All of them, by name, each with the label ``area``.
    """

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._made: dict[str, Any] = {}

    def family(
        self, kind: type[_Family], name: str, text: str, *labels: str, **more: Any
    ) -> _Family:
        """Return the family of a name, made where it is new."""
        if name not in self._made:
            names = ["area", *labels]
            made = kind(f"doe_{name}", text, names, registry=self.registry, **more)
            self._made[name] = made
        found: _Family = self._made[name]
        return found


class Measures:
    """Counters and times of the exchange of one area.

    Parameters
    ----------
    area
        The area.
    families
        Those of its process; by default it is alone.
    """

    def __init__(self, area: str, families: MeasureFamilies | None = None) -> None:
        self._families = families or MeasureFamilies()
        self._area = area
        self._events = self._counter("events", "Events, by kind", "kind")
        self._orders = self._counter("orders", "Orders that were accepted")
        self._refusals = self._counter("refusals", "Requests refused, by reason", "reason")
        self._alarms = self._counter("alarms", "Operations that failed closed, by kind", "kind")
        self._traded = self._counter("traded_watts", "Watts bought")
        self._queries = self._counter(
            "queries", "Queries answered, by what they are about", "about"
        )
        self.unread = self._counter("unread_messages", "Messages refused unread for their rate")
        self.failures = self._counter("failures", "Commands that failed with an internal error")
        self._batch = self._histogram("batch_messages", "Messages of a batch", _MESSAGES)
        self._handling = self._histogram(
            "handling_seconds", "Time to decide a batch, clearing included", _SECONDS
        )
        self._commit = self._histogram("commit_seconds", "Time to make a batch durable", _SECONDS)
        self._loading = self._families.family(
            Gauge,
            "loading_ratio",
            "Loading of the most loaded element after the last trade, 1 at its limit",
            "interval",
        )
        self.waiting = self._gauge("waiting_messages", "Messages that wait to be handled")
        self.unconfirmed = self._gauge("unconfirmed_batches", "Batches the broker has not all of")
        self.written = self._gauge("journal_entries", "Number of the last entry")
        self.published = self._gauge("journal_published", "Last entry that the broker has all of")
        self.resting = self._gauge("resting_orders", "Open orders")
        self.open_intervals = self._gauge("open_intervals", "Intervals open for trading")
        self.online = self._gauge("online", "1 while the exchange serves, else 0")

    def events(self, events: Iterable[Event]) -> None:
        """Count events that were decided."""
        for event in events:
            self._events.labels(self._area, type(event).__name__).inc()
            match event:
                case OrderAccepted():
                    self._orders.inc()
                case Refused():
                    self._refusals.labels(self._area, event.reason).inc()
                case AlarmRaised():
                    self._alarms.labels(self._area, event.kind).inc()
                case Traded():
                    self._trade(event)
                case GateClosed():
                    self._forget(event.interval)

    def _trade(self, event: Traded) -> None:
        self._traded.inc(sum(fill.quantity_w for fill in event.fills) / 2)
        for interval in {fill.interval for fill in event.fills}:
            self._loading.labels(self._area, format_time(interval)).set(event.loading)

    def _forget(self, interval: datetime) -> None:
        self._loading.remove_by_labels({"area": self._area, "interval": format_time(interval)})

    def queries(self, about: str) -> None:
        """Count a query that was answered, or ``"refused"``."""
        self._queries.labels(self._area, about).inc()

    def batch(self, messages: int, handling_s: float, commit_s: float | None) -> None:
        """Record a batch; ``commit_s`` is ``None`` where nothing was to be journaled."""
        self._batch.observe(messages)
        self._handling.observe(handling_s)
        if commit_s is not None:
            self._commit.observe(commit_s)

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        found = self._families.family(Counter, name, text, *labels)
        return found if labels else found.labels(self._area)

    def _gauge(self, name: str, text: str) -> Gauge:
        return self._families.family(Gauge, name, text).labels(self._area)

    def _histogram(self, name: str, text: str, buckets: tuple[float, ...]) -> Histogram:
        ends = (*buckets, float("inf"))
        return self._families.family(Histogram, name, text, buckets=ends).labels(self._area)
