"""The flexibility market of one interval: open orders, and what matches have changed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from doe_allocation.procurement.choices import FlexDirection
from exchange.vocabulary.flexibility import (
    FlexibilityFill,
    FlexibilityMatch,
    FlexibilityOrder,
)
from exchange.vocabulary.serialization import from_plain, to_plain
from orderbook.order import Side


class MatchedAt(NamedTuple):
    """Whose matched watts, where, and which way."""

    participant: str
    side: Side
    place: str
    direction: FlexDirection


class Flexibility:
    """Orders for flexibility of one interval.

    Everything is in whole watts, so flows made of it are the same after a restart.

    Attributes
    ----------
    orders
        The open orders by number, oldest first.
    firm_w
        The change of injection by bus that unconditional matches and the DSO's purchases have made
        for good.
    bought_w
        What the DSO bought of each direction: it leaves, or comes in, at the interface.
    conditional_w
        By number of a conditional request, the change of injection by bus when it is activated.
    matched_w
        What has been matched, by owner, side, place and direction.
    """

    __slots__ = ("bought_w", "conditional_w", "firm_w", "matched_w", "orders")

    def __init__(self) -> None:
        self.orders: dict[int, FlexibilityOrder] = {}
        self.firm_w: dict[str, int] = {}
        self.bought_w: dict[FlexDirection, int] = dict.fromkeys(FlexDirection, 0)
        self.conditional_w: dict[int, dict[str, int]] = {}
        self.matched_w: dict[MatchedAt, int] = {}

    @property
    def is_matched(self) -> bool:
        """Whether matches have changed injections, or may."""
        return bool(self.firm_w or self.conditional_w)

    def match(self, each: FlexibilityMatch) -> None:
        """Move the injection of a pair whose orders are still open."""
        offer, request = self.orders[each.offer_id], self.orders[each.request_id]
        moved = self.firm_w
        if request.terms.conditional:
            moved = self.conditional_w.setdefault(request.order_id, {})
        for order in (offer, request):
            _add(moved, order.bus, order.terms.moves * each.quantity_w)

    def buy(self, fill: FlexibilityFill) -> None:
        """Change the injection of an offer, still open, that the DSO buys."""
        order = self.orders[fill.order_id]
        _add(self.firm_w, order.bus, order.terms.moves * fill.quantity_w)
        self.bought_w[fill.direction] += fill.quantity_w

    def fill(self, fill: FlexibilityFill) -> FlexibilityOrder:
        """Reduce an order by what it has matched, and return it; at zero it is open no more."""
        order = self.orders[fill.order_id]
        order.remaining_w -= fill.quantity_w
        if not order.remaining_w:
            del self.orders[order.order_id]
        key = MatchedAt(fill.participant, fill.side, fill.place, fill.direction)
        self.matched_w[key] = self.matched_w.get(key, 0) + fill.quantity_w
        return order

    def total_matched_w(self, participant: str, side: Side, direction: FlexDirection) -> int:
        """Return what a participant has offered or requested and was matched."""
        asked = (participant, side, direction)
        return sum(
            watts
            for at, watts in self.matched_w.items()
            if (at.participant, at.side, at.direction) == asked
        )

    def open_orders(
        self,
        participant: str,
        side: Side | None = None,
        direction: FlexDirection | None = None,
        place: str | None = None,
    ) -> list[FlexibilityOrder]:
        """Return a participant's open orders that match every given value, oldest first."""
        return [
            order
            for order in self.orders.values()
            if order.participant == participant
            and side in (None, order.terms.side)
            and direction in (None, order.terms.direction)
            and place in (None, order.terms.place)
        ]

    def snapshot(self) -> dict[str, Any]:
        """Return everything as JSON-able data, orders by number."""
        return {
            "orders": [to_plain(order) for order in self.orders.values()],
            "firm_w": dict(sorted(self.firm_w.items())),
            "bought_w": {each.value: watts for each, watts in self.bought_w.items()},
            "conditional_w": [
                [number, dict(sorted(moved.items()))]
                for number, moved in sorted(self.conditional_w.items())
            ],
            "matched_w": [
                [at.participant, at.side.value, at.place, at.direction.value, watts]
                for at, watts in sorted(self.matched_w.items())
            ],
        }

    @classmethod
    def restore(cls, data: Mapping[str, Any]) -> Flexibility:
        """Return what a snapshot was taken of."""
        found = cls()
        for plain in data["orders"]:
            order = from_plain(FlexibilityOrder, plain)
            found.orders[order.order_id] = order
        found.firm_w = dict(data["firm_w"])
        found.bought_w = {FlexDirection(name): watts for name, watts in data["bought_w"].items()}
        found.conditional_w = {number: dict(moved) for number, moved in data["conditional_w"]}
        for participant, side, place, direction, watts in data["matched_w"]:
            at = MatchedAt(participant, Side(side), place, FlexDirection(direction))
            found.matched_w[at] = watts
        return found

    def check_invariants(self) -> None:
        """Check that orders have something left, and that matches move injection only.

        Raises
        ------
        AssertionError
            With what breaks a rule.
        """
        assert list(self.orders) == sorted(self.orders), f"orders {list(self.orders)} out of order"
        for number, order in self.orders.items():
            assert order.order_id == number, f"order {number} is {order}"
            assert 0 < order.remaining_w <= order.terms.quantity_w, f"{order} has nothing left"
        bought_w = self.bought_w[FlexDirection.UPWARD] - self.bought_w[FlexDirection.DOWNWARD]
        for name, moved in (("firm", self.firm_w), *self.conditional_w.items()):
            left_w = sum(moved.values()) - (bought_w if moved is self.firm_w else 0)
            assert left_w == 0, f"{name}: {left_w} W of injection come from nowhere"
            assert all(moved.values()), f"{name}: {moved} has a bus without a change"
        for direction in FlexDirection:
            offered, requested = (
                sum(w for at, w in self.matched_w.items() if (at.side, at.direction) == key)
                for key in ((Side.SELL, direction), (Side.BUY, direction))
            )
            bought = self.bought_w[direction]
            assert offered == requested + bought, (
                f"{direction}: {offered:,} W are matched of offers, {requested:,} W of requests, "
                f"and {bought:,} W were bought"
            )


def _add(moved: dict[str, int], bus: str, watts: int) -> None:
    total = moved.pop(bus, 0) + watts
    if total:
        moved[bus] = total
