"""The exchange on a network that never binds, driven like the naive market."""

from __future__ import annotations

from typing import Any

from market import GATE, QUARTER, SECOND, START, Market, interface
from naive_market import Book

from exchange.vocabulary.commands import LoseSession, OpenSession, SetSafeguard, SubmitJoint
from exchange.vocabulary.events import Event
from exchange.vocabulary.orders import Leg
from exchange.vocabulary.reasons import CancelReason, OnDisconnect
from exchange.vocabulary.rules import MarketRules
from orderbook.order import SelfTradePrevention, Side
from security_check.model.envelope import Direction


class FastMarket:
    """An exchange with the methods of :class:`NaiveMarket`; they return its events.

    A name begins with its owner's number: ``"3/17"`` is an order of owner 3.
    """

    def __init__(self) -> None:
        # As many conditional orders as the naive market takes.
        self.market = Market(
            rules=MarketRules(max_conditional_orders=10**6, max_conditional_orders_each=10**6)
        )
        later, half = START + QUARTER, interface(6 * 10**9, 6 * 10**9)
        self.market.do(OpenSession(later, later + QUARTER, GATE, half))

    def submit(
        self,
        owner: int,
        side: str,
        quantity: int,
        price: int | None,
        time_in_force: str = "GTC",
        *,
        name: str,
        book: Book = (0, "injection"),
        expires_in: int | None = None,
        **conditions: Any,
    ) -> list[Event]:
        interval, direction = book
        expires_at = None
        if expires_in is not None:
            expires_at = self.market.now + SECOND * (1 + expires_in)
        return self.market.submit(
            owner,
            side,
            quantity,
            price,
            time_in_force,
            client_order_id=name,
            direction=Direction(direction),
            interval=START + interval * QUARTER,
            expires_at=expires_at,
            **conditions,
        )

    def submit_joint(
        self,
        owner: int,
        legs: list[tuple[Book, str, int, int]],
        *,
        name: str,
        all_or_none: bool,
        self_trade_prevention: str = "cancel_newest",
        expires_in: int | None = None,
    ) -> list[Event]:
        expires_at = None
        if expires_in is not None:
            expires_at = self.market.now + SECOND * (1 + expires_in)
        command = SubmitJoint(
            f"p{owner}",
            name,
            tuple(
                Leg(
                    f"load:{owner}",
                    Direction(direction),
                    START + interval * QUARTER,
                    Side(side),
                    quantity,
                    price,
                )
                for (interval, direction), side, quantity, price in legs
            ),
            all_or_none,
            expires_at,
            SelfTradePrevention(self_trade_prevention),
        )
        return self.market.do(command)

    def amend(self, name: str, total: int | None, price: int | None) -> list[Event]:
        return self.market.amend(_owner(name), name, total, price)

    def cancel(self, name: str) -> list[Event]:
        return self.market.cancel(_owner(name), name)

    def guard(
        self, owner: int, device: str, session: str, broken: bool, silent: bool
    ) -> list[Event]:
        on_disconnect = OnDisconnect.CANCEL if broken else OnDisconnect.KEEP
        silent_s = 30 if silent else None
        request_id = self.market.new_id()
        return self.market.do(
            SetSafeguard(f"p{owner}", request_id, session, device, on_disconnect, silent_s)
        )

    def lose(self, owner: int, session: str, reason: str) -> list[Event]:
        return self.market.do(LoseSession(f"p{owner}", session, CancelReason(reason)))

    def resting(self) -> list[tuple[int, int, int, int]]:
        orders = self.market.exchange.state.orders.values()
        return sorted(
            (o.order_id, o.limit_price_ticks, o.remaining_w, o.displayed_w) for o in orders
        )


def _owner(name: str) -> int:
    return int(name.split("/")[0])
