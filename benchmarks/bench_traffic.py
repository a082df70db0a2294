"""What one area of 99 customers sends, receives and keeps: messages and bytes, by topic.

No servers and no clock: the exchange with its publisher handles requests as they come over MQTT,
and everything that it would publish and journal is counted.  Each customer sends one order for each
interval; the market is that of ``bundled:lv-rural2``, with intervals of which four are open at a
time.  Payloads only: MQTT adds the topic (some 40 bytes) and a few bytes, TCP and TLS some more.

Run: ``python benchmarks/bench_traffic.py [--intervals 8] [--orders 1]``
"""

from __future__ import annotations

import argparse
import gc
import json
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT)]

from exchange.vocabulary.commands import AdvanceTime, Command, OpenSession
from exchange.vocabulary.events import OrderAccepted, Traded
from gateway.journal.codec import encode_entry
from gateway.messages.requests import Reader
from gateway.messages.safeguard_requests import SignOfLife
from gateway.messages.topics import Topics
from gateway.ports import Outgoing
from gateway.scenario.loading import load_scenario
from gateway.service.core import ExchangeSetup, JournaledExchange
from security_check.model.limits import InterfaceLimits

SCENARIO = """
area = "village"
[network]
source = "bundled:lv-rural2"
[interface]
voltage_min_pu = 0.98
voltage_max_pu = 1.04
[capacity]
injection_w = 30000
withdrawal_w = 30000
"""
OPEN = 4  # intervals at a time
FOLLOWED = 10  # copies of the state, to see what one takes
DEPTH_AFTER = 5  # orders between two looks at the books, which go by the clock
QUARTER = timedelta(minutes=15)
BEGIN = datetime(2096, 6, 1, 12, tzinfo=UTC)


@dataclass
class Traffic:
    """Messages and bytes of an area, by the level of the topic that names their kind."""

    market: ExchangeSetup
    messages: Counter[str] = field(default_factory=Counter)
    octets: Counter[str] = field(default_factory=Counter)
    entries: Counter[str] = field(default_factory=Counter)
    entry_octets: Counter[str] = field(default_factory=Counter)
    accepted: int = 0
    traded: int = 0

    def __post_init__(self) -> None:
        self.core = JournaledExchange(self.market)
        participants = frozenset(each.participant for each in self.market.terms)
        self.reader = Reader(
            self.market.rules.tick, participants, self.core.exchange.open_intervals
        )

    def out(self, messages: Sequence[Outgoing]) -> None:
        for each in messages:
            kind = each.topic.split("/")[3]
            self.messages[kind] += 1
            self.octets[kind] += len(each.payload)

    def do(self, command: Command, now: datetime) -> None:
        entry, messages = self.core.handle(command, now)
        if entry is None:
            return
        self.out(messages)
        kind = type(command).__name__
        self.entries[kind] += 1
        self.entry_octets[kind] += len(encode_entry(entry))
        self.accepted += sum(isinstance(each, OrderAccepted) for each in entry.events)
        self.traded += sum(isinstance(each, Traded) for each in entry.events)

    def order(self, number: int, interval: datetime, draw: random.Random, now: datetime) -> None:
        term = draw.choice(self.market.terms)
        side = draw.choice(["buy", "sell"])
        content = {
            "type": "submit",
            "client_order_id": f"order-{number}",
            "connection_point": term.connection_point,
            "direction": draw.choice(["injection", "withdrawal"]),
            "interval": f"{interval:%Y-%m-%dT%H:%M:%SZ}",
            "side": side,
            "quantity_w": 100 * draw.randint(1, 10),
            "price": f"{draw.randint(300, 500) / 10_000 + (0.005 if side == 'sell' else 0):.4f}",
        }
        payload = json.dumps(content).encode()
        self.messages["(requests)"] += 1
        self.octets["(requests)"] += len(payload)
        command = self.reader.read(term.participant, payload)
        assert not isinstance(command, SignOfLife), "it is an order"
        self.do(command, now)


def run(traffic: Traffic, limits: InterfaceLimits, intervals: int, orders: int) -> None:
    """Let intervals open and close, and customers trade in those that are open."""
    draw, number = random.Random(1), 0
    for step in range(intervals):
        now = BEGIN + (step - OPEN) * QUARTER
        traffic.do(AdvanceTime(), now)
        for place in range(OPEN) if step == 0 else (OPEN - 1,):
            start = BEGIN + (step + place) * QUARTER
            gate = start - QUARTER / 3
            traffic.do(OpenSession(start, start + QUARTER, gate, limits), now)
        for _ in range(orders * len(traffic.market.terms)):
            number += 1
            traffic.order(number, draw.choice(traffic.core.exchange.open_intervals()), draw, now)
            if number % DEPTH_AFTER == 0:
                traffic.out(traffic.core.market_data())
    now = BEGIN + (intervals - OPEN) * QUARTER
    traffic.out(traffic.core.publisher.envelopes.confirmations(len(traffic.market.terms), now))


def own_octets() -> int:
    """Memory that this process has for itself."""
    gc.collect()
    for line in Path("/proc/self/smaps_rollup").read_text().splitlines():
        if line.startswith("Anonymous:"):
            return int(line.split()[1]) * 1024
    raise LookupError("Anonymous")


def show(name: str, count: int, octets: int) -> None:
    print(f"{name:32} {count:>9,} {octets:>12,} {octets / max(count, 1):>9,.0f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--intervals", type=int, default=8)
    parser.add_argument("--orders", type=int, default=1, help="of each customer and interval")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "village.toml"
        path.write_text(SCENARIO)
        scenario = load_scenario(path)
    market = ExchangeSetup(Topics(scenario.area), scenario.grid(), scenario.rules, scenario.terms())
    traffic = Traffic(market)
    begun = time.process_time()
    run(traffic, scenario.interface_limits, chosen.intervals, chosen.orders)
    used = time.process_time() - begun
    core = traffic.core
    print(
        f"{len(market.terms)} customers, {chosen.intervals} intervals, {traffic.accepted:,} orders "
        f"accepted, {traffic.traded:,} clearings; {used:.1f} s of processor time"
    )
    print(f"{'topic':32} {'messages':>9} {'bytes':>12} {'each':>9}")
    for kind in sorted(traffic.messages):
        show(kind, traffic.messages[kind], traffic.octets[kind])
    print(f"{'journal: command':32} {'entries':>9} {'bytes':>12} {'each':>9}")
    for kind in sorted(traffic.entries):
        show(kind, traffic.entries[kind], traffic.entry_octets[kind])
    session = core.publisher.session(BEGIN)
    show("a heartbeat", 1, len(session.payload))
    snapshot = core.snapshot()
    show("the state, as a snapshot", 1, len(snapshot.state))
    before = own_octets()
    followed = [JournaledExchange(market, snapshot) for _ in range(FOLLOWED)]
    show("the state, in memory", len(followed), own_octets() - before)


if __name__ == "__main__":
    main()
