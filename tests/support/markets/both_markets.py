"""Both markets side by side: each request goes to the exchange and to the naive market."""

from __future__ import annotations

from typing import Any

from fast_market import FastMarket
from naive_market import NaiveMarket, story_of
from naive_program import is_conditional

from exchange.vocabulary.events import Event

MOST_CONDITIONAL = 6
"""So many orders with conditions may be open at once: the naive market tries all their choices."""


class Both:
    """Asks both markets the same and compares all they tell, and what rests afterwards."""

    def __init__(self) -> None:
        self.fast = FastMarket()
        self.naive = NaiveMarket()
        self.count = 0
        self.events = 0

    def submit(self, owner, side, quantity, price, time_in_force="GTC", **more) -> list[Event]:
        self.count += 1
        more.setdefault("name", f"{owner}/{self.count}")
        for part in ("minimum_w", "displayed_w"):
            if part in more:
                more[part] = min(more[part], quantity)
        return self._ask("submit", owner, side, quantity, price, time_in_force, **more)

    def submit_joint(self, owner, legs, *, all_or_none, **more) -> list[Event]:
        self.count += 1
        more.setdefault("name", f"{owner}/{self.count}")
        if not all_or_none:
            legs = [(book, side, legs[0][2], price) for book, side, _, price in legs]
        return self._ask("submit_joint", owner, legs, all_or_none=all_or_none, **more)

    def amend(self, name, total, price) -> list[Event]:
        return self._ask("amend", name, total, price)

    def cancel(self, name) -> list[Event]:
        return self._ask("cancel", name)

    def guard(self, owner, device, session, *, broken, silent) -> list[Event]:
        return self._ask("guard", owner, device, session, broken, silent)

    def lose(self, owner, session, reason) -> list[Event]:
        return self._ask("lose", owner, session, reason)

    def resting(self) -> list[tuple[int, int, int, int]]:
        return self.fast.resting()

    @property
    def open_names(self) -> list[str]:
        """Names of the orders that are open still when the next request has its turn."""
        return _names(self._still_open())

    @property
    def conditional_names(self) -> list[str]:
        """Names of those among them that have conditions."""
        return _names(o for o in self._still_open() if is_conditional(o))

    @property
    def is_crowded(self) -> bool:
        """Whether so many orders with conditions are open that no more should come."""
        return len(self.conditional_names) >= MOST_CONDITIONAL

    def _still_open(self):
        now = self.naive.now + 1
        return [o for o in self.naive.orders if o.expires is None or o.expires > now]

    def _ask(self, request: str, *arguments: Any, **more: Any) -> list[Event]:
        events = getattr(self.fast, request)(*arguments, **more)
        seen = story_of(events)
        expected = getattr(self.naive, request)(*arguments, seen=seen, **more)
        assert seen == expected, f"{seen}, not {expected}"
        resting, expected_resting = self.fast.resting(), self.naive.resting()
        assert resting == expected_resting, f"{resting}, not {expected_resting}"
        self.naive.check_nothing_crosses_its_own()
        self.events += len(seen)
        return events


def _names(orders) -> list[str]:
    return sorted({order.name.partition("#")[0] for order in orders})
