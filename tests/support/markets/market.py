"""A small market to test with: one interval, p0 owns load:0, p1 owns load:1, and so on."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

from linear_grid import LinearGrid

from exchange.engine import Exchange
from exchange.vocabulary.commands import (
    AmendOrder,
    CancelOrder,
    CloseGate,
    Command,
    OpenSession,
    SubmitOrder,
    UpdateInterfaceLimits,
)
from exchange.vocabulary.events import Event, Refused, Traded
from exchange.vocabulary.orders import OrderTerms
from exchange.vocabulary.rules import ConnectionTerms, MarketRules
from orderbook.order import OrderConditions, SelfTradePrevention, Side, TimeInForce
from security_check.model.envelope import Direction
from security_check.model.limits import InterfaceLimits

START = datetime(2030, 6, 1, 12, tzinfo=UTC)
QUARTER = timedelta(minutes=15)
SECOND = timedelta(seconds=1)
OPENING = START - timedelta(hours=4)
GATE = START - timedelta(hours=1)
BAND = InterfaceLimits(0.98, 1.04)

E = TypeVar("E", bound=Event)


def interface(
    injection_limit_w: int | None = None, withdrawal_limit_w: int | None = None
) -> InterfaceLimits:
    return InterfaceLimits(0.98, 1.04, injection_limit_w, withdrawal_limit_w)


class Market:
    """An exchange with one open interval, a clock that ticks, and short ways to trade.

    Every command is followed by a check of all invariants.
    """

    def __init__(
        self,
        points: int = 12,
        capacity_w: int = 10**9,
        rows: Sequence[tuple[Sequence[int], int, int]] = (),
        limits: InterfaceLimits | None = None,
        rules: MarketRules | None = None,
        fallback_w: int = 0,
        owners: Sequence[int] | None = None,
    ) -> None:
        self.grid = LinearGrid([capacity_w] * points, rows)
        self.rules = rules or MarketRules()
        owner = list(owners or range(points))
        self.terms = [
            ConnectionTerms(
                f"load:{i}", f"p{owner[i]}", capacity_w, capacity_w, fallback_w, fallback_w
            )
            for i in range(points)
        ]
        self.exchange = Exchange(self.grid, self.rules, self.terms)
        self.now = OPENING
        self.events: list[Event] = []
        self.commands: list[tuple[Command, datetime]] = []
        self.ids = 0
        # Half of each capacity is allocated, so that all can both buy and sell.
        half = interface(points * capacity_w // 2, points * capacity_w // 2)
        self.do(OpenSession(START, START + QUARTER, GATE, limits or half))

    def do(self, command: Command, after: timedelta = SECOND) -> list[Event]:
        self.now += after
        self.commands.append((command, self.now))
        events = self.exchange.handle(command, self.now)
        self.events += events
        self.exchange.check_invariants()
        return events

    def order(
        self,
        participant: int,
        side: str,
        quantity_w: int,
        limit_price_ticks: int | None,
        time_in_force: str = "GTC",
        *,
        point: int | None = None,
        client_order_id: str | None = None,
        direction: Direction = Direction.INJECTION,
        interval: datetime = START,
        expires_at: datetime | None = None,
        **conditions: Any,
    ) -> SubmitOrder:
        if client_order_id is None:
            self.ids += 1
            client_order_id = f"a{self.ids}"
        if prevention := conditions.get("self_trade_prevention"):
            conditions["self_trade_prevention"] = SelfTradePrevention(prevention)
        return SubmitOrder(
            participant=f"p{participant}",
            client_order_id=client_order_id,
            terms=OrderTerms(
                connection_point=f"load:{participant if point is None else point}",
                direction=direction,
                interval=interval,
                side=Side(side),
                quantity_w=quantity_w,
                limit_price_ticks=limit_price_ticks,
                time_in_force=TimeInForce(time_in_force),
                expires_at=expires_at,
                conditions=OrderConditions(**conditions),
            ),
        )

    def submit(self, *order, **more) -> list[Event]:
        return self.do(self.order(*order, **more))

    def buy(self, participant: int, at: str, time_in_force: str = "GTC", **more) -> list[Event]:
        """Buy ``"quantity@price"``, or ``"quantity@market"``; conditions by their names."""
        return self.submit(participant, "buy", *_split(at), time_in_force, **more)

    def sell(self, participant: int, at: str, time_in_force: str = "GTC", **more) -> list[Event]:
        return self.submit(participant, "sell", *_split(at), time_in_force, **more)

    def cancel(
        self, participant: int, client_order_id: str, request_id: str | None = None
    ) -> list[Event]:
        key = request_id or self.new_id()
        return self.do(CancelOrder(f"p{participant}", key, client_order_id))

    def amend(
        self,
        participant: int,
        client_order_id: str,
        quantity_w: int | None = None,
        limit_price_ticks: int | None = None,
        request_id: str | None = None,
    ) -> list[Event]:
        key = request_id or self.new_id()
        return self.do(
            AmendOrder(f"p{participant}", key, client_order_id, quantity_w, limit_price_ticks)
        )

    def new_id(self) -> str:
        """Return an id that no request has had: there is one for each command."""
        return f"r{len(self.commands)}"

    def update(self, update_id: str, limits: InterfaceLimits) -> list[Event]:
        return self.do(UpdateInterfaceLimits(update_id, START, limits))

    def close(self) -> list[Event]:
        return self.do(CloseGate(START))

    def resting(self, direction: Direction = Direction.INJECTION) -> list[str]:
        """Return what rests as ``"#number side quantity@price"``, best first, bids first."""
        book = self.exchange.state.sessions[START].books[direction]
        return [
            f"#{order.order_id} {side} {order.remaining_w}@{order.limit_price_ticks}"
            for side in Side
            for order in book.orders(side)
        ]

    def held_w(self, participant: int, direction: Direction = Direction.INJECTION) -> int:
        envelope = self.exchange.envelopes(START)[participant]
        if direction is Direction.INJECTION:
            return envelope.injection_limit_w
        return envelope.withdrawal_limit_w


def _split(at: str) -> tuple[int, int | None]:
    quantity, price = at.split("@")
    return int(quantity), None if price == "market" else int(price)


def trades(events: Sequence[Event]) -> list[str]:
    """Return what makers traded as ``"quantity@price #maker"``, best price for the taker first.

    Where a clearing has no taker, buyers come first and sellers after them.
    """
    found = []
    for event in events:
        if isinstance(event, Traded):
            taker = {
                (fill.participant, fill.client_order_id)
                for fill in event.fills
                if fill.order_id == event.taker_order_id
            }
            fills = [f for f in event.fills if (f.participant, f.client_order_id) not in taker]
            fills.sort(key=lambda fill: (-fill.gain / fill.quantity_w, fill.order_id))
            found += [
                f"{fill.quantity_w}@{abs(fill.amount) // fill.quantity_w} #{fill.order_id}"
                for fill in fills
            ]
    return found


def only(events: Sequence[Event], kind: type[E]) -> E:
    """Return the one event of a type."""
    (found,) = (event for event in events if isinstance(event, kind))
    return found


def all_of(events: Sequence[Event], kind: type[E]) -> list[E]:
    return [event for event in events if isinstance(event, kind)]


def refusal(events: Sequence[Event]) -> tuple[str, str]:
    """Return the reason and the sentence of the one refusal."""
    refused = only(events, Refused)
    return refused.reason.value, refused.detail
