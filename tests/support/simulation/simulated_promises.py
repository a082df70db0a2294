"""What must hold on a simulated day, whatever its faults are.

Nothing is lost, doubled or told too early; money and watts stay the same; only the writer in force
writes; gates close on time; and the limits that devices keep to are secure at every moment.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from datetime import datetime, timedelta
from itertools import count
from typing import TYPE_CHECKING

import numpy as np
from market_days import FALLBACK_W
from simulated_client import Client, Device
from simulated_process import ExchangeProcess
from virtual_time import true_time

from exchange.vocabulary.events import (
    Event,
    GateClosed,
    InterfaceLimitsUpdated,
    OrderAccepted,
    SessionOpened,
    Traded,
)
from gateway.client.mirrors.point_envelopes import PointEnvelopes
from gateway.journal.codec import decode_entry
from gateway.ports import JournalEntry, Outgoing
from gateway.service.core import JournaledExchange
from security_check.model.limits import InterfaceLimits

if TYPE_CHECKING:
    from simulated_day import SimulatedDay

_WHOLE_EVERY = 6  # seconds: it takes as long as all else
_EARLY = timedelta(seconds=1.1)  # a jump that a plausible clock takes for drift


class BrokenPromiseError(Exception):
    """Something that must always hold does not."""


class Promises:
    """Looks at everything that happens on a day, and remembers the first promise broken."""

    def __init__(
        self,
        day: SimulatedDay,
        clients: Sequence[Client],
        devices: Sequence[Device],
        processes: Sequence[ExchangeProcess],
    ) -> None:
        self._day, self._clients = day, clients
        self._devices, self._processes = devices, processes
        self._said = ""
        self._speaks = 0  # the newest writer of which the broker has a message
        self._limits: dict[datetime, InterfaceLimits] = {}
        self._gates: dict[datetime, datetime] = {}
        self._kept: tuple[object, ...] = ()
        # What one hears who is at the broker itself, and loses nothing.
        self._heard = {
            point: PointEnvelopes(point, day.clock) for point in day.market.grid.connection_points
        }
        day.broker.heard.append(self._message_taken)
        day.server.written.append(self._entries_written)

    def _break(self, words: str) -> None:
        self._said = self._said or f"{self._day.clock.now:.3f} s: {words}"

    # -- the journal ----------------------------------------------------------------------------

    def _entries_written(self, entries: Sequence[JournalEntry]) -> None:
        writers = self._day.server.writers
        if writers[-1] < self._day.server.epoch:
            self._break(f"writer {writers[-1]} writes, and {self._day.server.epoch} is in force")
        for event in (event for entry in entries for event in entry.events):
            self._look_at(event)

    def _look_at(self, event: Event) -> None:
        match event:
            case SessionOpened():
                self._limits[event.start] = event.interface_limits
                self._gates[event.start] = event.gate_closes_at
            case InterfaceLimitsUpdated():
                self._limits[event.interval] = event.interface_limits
            case Traded():
                if sum(fill.change_w for fill in event.fills):
                    self._break(f"trade {event.trade_id} makes or loses watts")
            case GateClosed():
                now = true_time(self._day.clock)
                early = self._gates[event.interval] - now
                if early > _EARLY and not any(each.clock_wrong for each in self._processes):
                    self._break(f"the gate of {event.interval} closes {early} early")

    # -- the broker -----------------------------------------------------------------------------

    def _message_taken(self, message: Outgoing, epoch: int) -> None:
        if epoch and epoch < self._speaks:
            self._break(f"writer {epoch} publishes {message.topic} after writer {self._speaks}")
        self._speaks = max(self._speaks, epoch)
        if not message.payload or "/order/" in message.topic or "/interface/" in message.topic:
            return
        content = json.loads(message.payload)
        event = content.get("event") or 0
        if event > self._day.server.last_event:
            self._break(f"{message.topic} tells event {event}, which is not durable")
        heard = self._heard.get(content.get("connection_point"))
        if "/envelope/" in message.topic and heard is not None and heard.take(content):
            self._check_published()

    def _check_published(self) -> None:
        """Check that what is published is secure with each message: it shrinks before it grows.

        Intervals are open: the contract's limit may have been lowered by the same command.
        """
        market = self._day.market
        if not market.exact:
            return
        fallback_w = FALLBACK_W * market.unit_w
        for start in self._limits:
            limits_w = []
            for heard in self._heard.values():
                entry = heard.envelope(start)
                # Who has no envelope yet keeps to the fallback.
                limits_w.append(
                    (fallback_w, fallback_w)
                    if entry is None
                    else (entry.injection_limit_w, entry.withdrawal_limit_w)
                )
            said = market.broken(np.array(limits_w).T.reshape(-1), None)
            if said:
                self._break(f"{start}: with what is published, {said}")

    # -- the devices ----------------------------------------------------------------------------

    def device_changed(self) -> None:
        """Check the limits that devices keep to at this moment, in the running interval."""
        now = true_time(self._day.clock)
        running = [
            start
            for start, end in self._intervals()
            if start <= now < end and start in self._limits
        ]
        if not running:
            return
        (start,) = running
        limits_w = np.array([each.limits_w(now) for each in self._devices]).T.reshape(-1)
        kept = (start, limits_w.tobytes())
        if kept == self._kept:
            return
        self._kept = kept
        said = self._day.market.broken(limits_w, self._limits[start])
        if said:
            self._break(f"{start}: at the devices {said}")

    def _intervals(self) -> list[tuple[datetime, datetime]]:
        return [(each.start, each.end) for each in self._day._openings()]

    # -- every second ---------------------------------------------------------------------------

    async def watch(self) -> None:
        """Look at the exchange, and at the devices, every second."""
        for second in count():
            await asyncio.sleep(1)
            self.device_changed()
            for device in self._devices:
                device.check(true_time(self._day.clock), complete=False)
            if self._said:
                raise BrokenPromiseError(self._said)
            for process in self._processes:
                if process.serving and not process.stopped and process.service is not None:
                    core = process.service.core
                    self._check_exchange(core, whole=second % _WHOLE_EVERY == 0)

    def _check_exchange(self, core: JournaledExchange, *, whole: bool) -> None:
        exchange = core.exchange
        if whole:
            exchange.check_invariants()
        if not self._day.market.exact:
            return
        for start in exchange.state.sessions:
            held = exchange.envelopes(start)
            limits_w = [each.injection_limit_w for each in held]
            limits_w += [each.withdrawal_limit_w for each in held]
            said = self._day.market.broken(np.array(limits_w), None)
            if said:
                raise BrokenPromiseError(f"{start}: {said}")

    # -- at the end -----------------------------------------------------------------------------

    def check_end(self, *, complete: bool) -> None:
        """Check the whole day.

        Parameters
        ----------
        complete
            Whether no message can have been lost.
        """
        for client in self._clients:
            client.check(complete=complete)
        for device in self._devices:
            device.check(true_time(self._day.clock), complete=complete)
        entries = [decode_entry(line) for line in self._day.server.lines]
        self._check_orders(entries)
        serving = [each for each in self._processes if each.serving]
        if len(serving) != 1:
            raise BrokenPromiseError(f"{len(serving)} exchanges serve, and all faults are over")
        (process,) = serving
        assert process.service is not None
        again = JournaledExchange(self._day.setup)
        for entry in entries:
            again.apply(entry)
        if again.exchange.digest() != process.service.core.exchange.digest():
            raise BrokenPromiseError("the journal leads to another state")
        ledger = again.exchange.state.ledger
        if sum(ledger.balance(each) for each in ledger._balances):
            raise BrokenPromiseError("money is made or lost")
        self._check_devices(process)

    def _check_orders(self, entries: Sequence[JournalEntry]) -> None:
        accepted: set[tuple[str, str]] = set()
        for event in (event for entry in entries for event in entry.events):
            if isinstance(event, OrderAccepted) and event.client_order_id is not None:
                key = event.participant, event.client_order_id
                if key in accepted:
                    raise BrokenPromiseError(f"order {key} was accepted twice")
                accepted.add(key)
        said = {(each.name, key) for each in self._clients for key in each.placed}
        if not said <= accepted:
            raise BrokenPromiseError(f"orders are lost: {said - accepted}")

    def _check_devices(self, process: ExchangeProcess) -> None:
        """Check that devices and broker have the envelopes in force."""
        assert process.service is not None
        core = process.service.core
        now = max(process.service.now(), true_time(self._day.clock))
        everything = [
            *core.publisher.envelopes.retained(lambda: now),
            *core.publisher.retained(now),
        ]
        wanted = {m.topic: lasting(m.payload) for m in everything if m.payload}
        retained = {
            topic: lasting(payload)
            for topic, payload in self._day.broker.retained.items()
            if not ("/envelope/" in topic and is_over(payload, now))
        }
        for start in core.exchange.open_intervals():
            # A local price follows from the last program: an exchange that has started anew
            # leaves what is there until it has solved one.
            price = self._day.topics.price(start)
            if price not in wanted:
                retained.pop(price, None)
        if retained != wanted:
            others = [
                topic
                for topic in sorted(retained.keys() | wanted.keys())
                if retained.get(topic) != wanted.get(topic)
            ]
            raise BrokenPromiseError(f"something else is retained on {', '.join(others)}")
        for device in self._devices:
            topics = {self._day.topics.envelope(device.point, start) for start in self._limits}
            follows = {
                self._day.topics.envelope(device.point, each.start): lasting(
                    each.model_dump_json().encode()
                )
                for each in device.mirror.intervals
                if each.end > now
            }
            if follows != {topic: wanted[topic] for topic in topics if topic in wanted}:
                raise BrokenPromiseError(f"{device.point}: the device follows other envelopes")


def is_over(payload: bytes, now: datetime) -> bool:
    """Return whether an envelope's interval has ended: then it may be removed at any time."""
    return datetime.fromisoformat(json.loads(payload)["end"]) <= now


def lasting(payload: bytes) -> dict[str, object]:
    """Return what does not change with the moment of publication."""
    passing = ("confirmed_at", "holds_until", "time", "event")
    content: dict[str, object] = json.loads(payload)
    return {name: value for name, value in content.items() if name not in passing}
