"""The greatest welfare of a market without a network, by trying every choice of conditional orders.

What is decided for the conditional orders leaves each book a number of watts that its plain orders
must sell, or buy.  The best way to do that needs no solver: begin with all bids bought and no ask
sold, and give up bids or take asks, the cheapest first, until the number is right.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

GAIN = 10**9
"""A tick-watt of gain outweighs any volume; at equal gains more watts are better."""


class Open(Protocol):
    """What is asked of an open order."""

    number: int
    book: Any
    side: str
    left: int
    price: int
    joint: int | None
    all_or_none: bool

    @property
    def needs(self) -> int: ...


class Worth(NamedTuple):
    """A gain in tick-watts, and the watts bought and sold for it."""

    gain: int
    watts: int


@dataclass(frozen=True)
class Best:
    """The best that plain orders do by themselves, and with any conditional order at all."""

    plain: Worth
    conditional: Worth | None

    @property
    def worth(self) -> Worth:
        return max(self.plain, self.conditional or self.plain)

    @property
    def conditions_matter(self) -> bool:
        """Whether some optimum has a conditional order in it."""
        return self.conditional is not None and self.conditional.gain >= self.plain.gain


class OrderPart(NamedTuple):
    """Watts of a side at a price: any number of them when plain, all of them when forced."""

    book: Any
    side: str
    watts: int
    price: int

    @property
    def value(self) -> int:
        sign = 1 if self.side == "buy" else -1
        return sign * self.price * GAIN + 1


def best(orders: Sequence[Open]) -> Best:
    """Return the best worth of any trades of some orders that keep all conditions."""
    plain = [OrderPart(o.book, o.side, o.left, o.price) for o in orders if not is_conditional(o)]
    units: dict[int, list[Open]] = {}
    for order in orders:
        if is_conditional(order):
            units.setdefault(order.joint or order.number, []).append(order)
    found: int | None = None
    choices = [list(_choices(legs)) for legs in units.values()]
    for choice in itertools.product(*choices):
        forced = [part for chosen, _ in choice for part in chosen]
        if forced:
            rests = [part for _, more in choice for part in more]
            value = _value(plain + rests, forced)
            if value is not None and (found is None or value > found):
                found = value
    alone = _value(plain, [])
    assert alone is not None, "plain orders may always do nothing"
    return Best(_worth(alone), None if found is None else _worth(found))


def is_conditional(order: Open) -> bool:
    """Whether an order cannot simply trade any part of itself."""
    return order.joint is not None or order.needs > 0


def _worth(value: int) -> Worth:
    return Worth(*divmod(value, GAIN))


def _choices(legs: Sequence[Open]) -> Iterable[tuple[list[OrderPart], list[OrderPart]]]:
    """Iterate over what must trade of a conditional order, and what then may trade besides."""
    yield [], []
    first = legs[0]
    if first.joint is None:
        forced = OrderPart(first.book, first.side, first.needs, first.price)
        rest = OrderPart(first.book, first.side, first.left - first.needs, first.price)
        yield [forced], [rest]
    elif first.all_or_none:
        yield [OrderPart(leg.book, leg.side, leg.left, leg.price) for leg in legs], []
    else:
        for watts in range(1, first.left + 1):
            yield [OrderPart(leg.book, leg.side, watts, leg.price) for leg in legs], []


def _value(plain: Sequence[OrderPart], forced: Sequence[OrderPart]) -> int | None:
    """Return the best value with all that is forced; ``None`` if the books cannot balance."""
    total = sum(part.watts * part.value for part in forced)
    for book in {part.book for part in [*plain, *forced]}:
        wanted = sum(
            part.watts if part.side == "buy" else -part.watts
            for part in forced
            if part.book == book
        )
        bids = [part for part in plain if part.book == book and part.side == "buy"]
        asks = [part for part in plain if part.book == book and part.side == "sell"]
        total += sum(bid.watts * bid.value for bid in bids)
        wanted += sum(bid.watts for bid in bids)
        if wanted < 0:
            return None
        costs = [(bid.value, bid.watts) for bid in bids] + [(-ask.value, ask.watts) for ask in asks]
        for cost, watts in sorted(costs):
            taken = min(watts, wanted)
            total -= taken * cost
            wanted -= taken
        if wanted:
            return None
    return total
