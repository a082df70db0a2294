"""Time commands, and record what settled each: the price screen, a match, or a program."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import numpy as np

from exchange.clearing.problem import ClearingOptimum, Tier
from exchange.clearing.welfare_clearing import WelfareClearing
from exchange.engine import Exchange
from exchange.vocabulary.commands import Command
from exchange.vocabulary.events import Event

_ANSWERED: list[Tier] = []


def _count_answers() -> None:
    """Make every answer of a clearing program record its tier in :data:`_ANSWERED`."""
    optimum = WelfareClearing.optimum

    def counted(clearing: WelfareClearing) -> ClearingOptimum:
        found = optimum(clearing)
        _ANSWERED.append(found.tier)
        return found

    measured: Any = WelfareClearing
    measured.optimum = counted


_count_answers()


@dataclass
class Timed:
    """Passes commands to an exchange, and records the time and the tier of each."""

    exchange: Exchange
    seconds: list[float] = field(default_factory=list)
    tiers: Counter[str] = field(default_factory=Counter)

    def handle(self, command: Command, now: datetime) -> list[Event]:
        _ANSWERED.clear()
        began = time.process_time()
        events = self.exchange.handle(command, now)
        self.seconds.append(time.process_time() - began)
        # Without an answer of a program, the price screen had already excluded a trade.
        self.tiers[max(_ANSWERED, key=list(Tier).index, default=Tier.PRICE_SCREEN)] += 1
        return events

    def speed(self) -> str:
        """Return commands per second of processor time, and percentiles."""
        ms = 1e3 * np.array(self.seconds)
        return (
            f"{len(ms):,} commands, {1e3 * len(ms) / ms.sum():,.0f}/s, "
            f"p50 {np.median(ms):.3f} ms, p99 {np.percentile(ms, 99):.2f} ms, "
            f"slowest {ms.max():.1f} ms"
        )


def shares(counts: Counter[str]) -> str:
    """Return counts as shares, the largest first."""
    total = sum(counts.values())
    return ", ".join(f"{name} {n / total:.1%}" for name, n in counts.most_common())
