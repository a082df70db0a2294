"""The controls in force: price collar, risk limits, kill switches, the market-wide halt."""

from __future__ import annotations

from collections import deque
from datetime import datetime
from typing import Any

from exchange.vocabulary.rules import NO_COLLAR, UNLIMITED, PriceCollar, RiskLimits
from exchange.vocabulary.serialization import from_plain, to_plain


class Controls:
    """The controls of the market operator in force, changed only by :mod:`exchange.state.effects`.

    Attributes
    ----------
    collar
        The limit prices that orders may have.
    killed
        Participants whose kill switch is engaged.
    market_killed
        Whether the kill switch of the whole market is engaged.
    halted
        Whether trading is halted in all intervals.
    """

    __slots__ = ("_limits", "_recent", "collar", "halted", "killed", "market_killed")

    def __init__(self) -> None:
        self.collar = NO_COLLAR
        self.killed: set[str] = set()
        self.market_killed = False
        self.halted = False
        # The empty name stands for all participants without limits of their own.
        self._limits: dict[str, RiskLimits] = {}
        self._recent: dict[str, deque[datetime]] = {}

    @property
    def concern_orders(self) -> bool:
        """Whether a control is set that can refuse an order.  O(1)."""
        return bool(
            self._limits or self.killed or self.market_killed or self.collar is not NO_COLLAR
        )

    def limits_of(self, participant: str) -> RiskLimits:
        """Return the risk limits of a participant.  O(1)."""
        found = self._limits.get(participant)
        return self._limits.get("", UNLIMITED) if found is None else found

    def limits_set(self) -> list[tuple[str | None, RiskLimits]]:
        """Return the risk limits that were set, ``None`` for all without limits of their own."""
        return [(name or None, each) for name, each in sorted(self._limits.items())]

    def set_limits(self, participant: str | None, limits: RiskLimits) -> None:
        """Set the limits of one participant, or of all that have none of their own."""
        self._limits[participant or ""] = limits

    def kill(self, participant: str | None, *, engaged: bool) -> None:
        """Engage or release the kill switch of a participant, or of the market."""
        if participant is None:
            self.market_killed = engaged
        elif engaged:
            self.killed.add(participant)
        else:
            self.killed.discard(participant)

    def is_killed(self, participant: str) -> bool:
        """Return whether a participant may place no orders.  O(1)."""
        return self.market_killed or participant in self.killed

    def count_order(self, participant: str, time: datetime, legs: int = 1) -> None:
        """Note that a participant placed or amended an order, if its rate is limited.  O(legs)."""
        if not self._limits:
            return
        most = self.limits_of(participant).orders_per_minute
        if most is None:
            self._recent.pop(participant, None)
            return
        recent = self._recent.setdefault(participant, deque())
        recent.extend([time] * legs)
        while len(recent) > most:
            recent.popleft()

    def recent_orders(self, participant: str, since: datetime) -> int:
        """Return how many orders, or legs, a participant placed or amended after ``since``."""
        return sum(time > since for time in self._recent.get(participant, ()))

    def snapshot(self) -> dict[str, Any]:
        """Return everything as JSON-able data."""
        return {
            "collar": to_plain(self.collar),
            "killed": sorted(self.killed),
            "market_killed": self.market_killed,
            "halted": self.halted,
            "limits": {name: to_plain(each) for name, each in sorted(self._limits.items())},
            "recent": {
                name: [time.isoformat() for time in times]
                for name, times in sorted(self._recent.items())
            },
        }

    @classmethod
    def restore(cls, data: dict[str, Any]) -> Controls:
        """Return the controls a snapshot was taken of."""
        controls = cls()
        collar = from_plain(PriceCollar, data["collar"])
        controls.collar = NO_COLLAR if collar == NO_COLLAR else collar
        controls.killed = set(data["killed"])
        controls.market_killed = data["market_killed"]
        controls.halted = data["halted"]
        controls._limits = {
            name: from_plain(RiskLimits, each) for name, each in data["limits"].items()
        }
        controls._recent = {
            name: deque(datetime.fromisoformat(time) for time in times)
            for name, times in data["recent"].items()
        }
        return controls
