"""The client of a participant: orders, and what came of them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Unpack

from doe_allocation.procurement.choices import FlexDirection
from gateway.client.mirrors.books import Book
from gateway.client.mirrors.own_orders import OwnOrder, accepted_order
from gateway.client.mirrors.reading import read_as, read_report
from gateway.client.requests import (
    Conditions,
    JointConditions,
    LegTerms,
    Moment,
    Price,
    request_of,
)
from gateway.client.trading_connection import TradingConnection
from gateway.errors import RequestRefusedError
from gateway.messages.flexibility import FlexibilityAcceptedReport, OpenFlexibility
from gateway.messages.participant_reports import (
    AcceptedReport,
    CancelledReport,
    JointAcceptedReport,
)
from gateway.transport.json_listener import Content
from orderbook.order import Side
from security_check.model.envelope import Direction


class TradingClient(TradingConnection):
    """Trades for a participant: an asynchronous context manager.

    Every request is sent again, under the same id, until the exchange itself has answered it; what
    the broker confirms is no answer.  So a request may wait for as long as the exchange is away:
    ``asyncio.timeout`` bounds it, and the same request may be sent again later under its id.

    Parameters
    ----------
    broker
        ``mqtt[s]://user:password@host:port``, or settings.
    area
        The area.
    participant
        Who trades; without it the user of the URL, without its device.
    market_data
        Whether to hear all books, prices and trades, too.
    cancel_on_disconnect
        Whether all orders of the participant are cancelled when the connection ends, by the client
        or by a fault.  Orders name no device, so those of other devices are cancelled, too.
    silent_s
        Seconds, 5 to 3600, without a sign of life after which they are cancelled.
    again_after_s
        Seconds after which what has no answer is sent again.

    Examples
    --------
    >>> async def first_order():
    ...     async with TradingClient(broker, "north", "bakery") as trader:
    ...         interval = trader.open_intervals[-1]
    ...         order = await trader.sell("load:1", "injection", 1000, "0.05", interval=interval)
    ...         order = await trader.amend(order, price="0.04")
    ...         print(order.legs[0].price, order.remaining_w, len(trader.orders))
    ...         order = await trader.cancel(order)
    ...         print(order.state.value, order.reason.value, len(trader.orders))
    >>> asyncio.run(first_order())
    0.0400 1000 1
    cancelled requested 0
    """

    async def buy(
        self,
        connection_point: str,
        direction: Direction | str,
        quantity_w: int,
        price: Price | None = None,
        *,
        interval: Moment | None = None,
        client_order_id: str | None = None,
        **conditions: Unpack[Conditions],
    ) -> OwnOrder:
        """Buy limit: a limit order, or without a price a market order.

        Parameters
        ----------
        connection_point, direction
            Which limit: ``"injection"`` or ``"withdrawal"``.
        quantity_w
            Watts.
        price
            Highest price, EUR per kW for the interval.
        interval
            Start of the interval; may be left out where one is open.
        client_order_id
            The order's id; without it a new one.
        conditions
            See :class:`gateway.client.requests.Conditions`.

        Returns
        -------
        The order as it is when the exchange has accepted it.  What it trades comes by
        :meth:`fills`, and :meth:`order` has it.

        Raises
        ------
        RequestRefusedError
            With the exchange's reason and a sentence.
        """
        return await self._submit(
            Side.BUY,
            connection_point=connection_point,
            direction=direction,
            quantity_w=quantity_w,
            price=price,
            interval=interval,
            client_order_id=client_order_id,
            **conditions,
        )

    async def sell(
        self,
        connection_point: str,
        direction: Direction | str,
        quantity_w: int,
        price: Price | None = None,
        *,
        interval: Moment | None = None,
        client_order_id: str | None = None,
        **conditions: Unpack[Conditions],
    ) -> OwnOrder:
        """Sell limit; everything as in :meth:`buy`, with the lowest price."""
        return await self._submit(
            Side.SELL,
            connection_point=connection_point,
            direction=direction,
            quantity_w=quantity_w,
            price=price,
            interval=interval,
            client_order_id=client_order_id,
            **conditions,
        )

    async def _submit(self, side: Side, **entries: Any) -> OwnOrder:
        order_type = "market" if entries["price"] is None else "limit"
        return await self._place(request_of("submit", side=side, order_type=order_type, **entries))

    async def block(
        self,
        side: Side | str,
        connection_point: str,
        direction: Direction | str,
        intervals: Sequence[Moment],
        quantity_w: int,
        price: Price,
        *,
        all_or_none: bool = False,
        client_order_id: str | None = None,
        **conditions: Unpack[JointConditions],
    ) -> OwnOrder:
        """Place one order over several intervals: the same quantity in each.

        ``price`` is the limit price of each interval, EUR per kW; the rest is as in :meth:`buy`.
        """
        return await self._place(
            request_of(
                "block",
                side=side,
                connection_point=connection_point,
                direction=direction,
                intervals=list(intervals),
                quantity_w=quantity_w,
                price=price,
                all_or_none=all_or_none,
                client_order_id=client_order_id,
                **conditions,
            )
        )

    async def linked(
        self,
        first: LegTerms,
        second: LegTerms,
        *,
        client_order_id: str | None = None,
        **conditions: Unpack[JointConditions],
    ) -> OwnOrder:
        """Place two orders of which one trades only with the other, both in full."""
        return await self._place(
            request_of(
                "linked", legs=[first, second], client_order_id=client_order_id, **conditions
            )
        )

    async def _place(self, message: dict[str, Any]) -> OwnOrder:
        answer = await self.request(message)
        key = answer["client_order_id"]
        found = self.order(key)
        if found is not None:
            return found
        # It was placed before, and ended before this client knew of it.
        report = read_report(answer)
        assert isinstance(report, AcceptedReport | JointAcceptedReport)
        order = accepted_order(report)
        return order.ended((await self._outcomes([key]))[key])

    async def amend(
        self,
        order: OwnOrder | str,
        *,
        quantity_w: int | None = None,
        price: Price | None = None,
    ) -> OwnOrder:
        """Change total quantity (the executed part included), price, or both, of an open order."""
        key = _key(order)
        await self.request(
            request_of("amend", client_order_id=key, quantity_w=quantity_w, price=price)
        )
        return self._known(key)

    async def cancel(self, order: OwnOrder | str) -> OwnOrder:
        """Take the rest of an own order out of the book; it may have traded before."""
        key = _key(order)
        await self.request(request_of("cancel", client_order_id=key))
        return self._known(key)

    async def cancel_all(
        self,
        *,
        interval: Moment | None = None,
        connection_point: str | None = None,
        direction: Direction | str | None = None,
        side: Side | str | None = None,
    ) -> int:
        """Cancel all own orders that match; return how many there were."""
        try:
            answer = await self.request(
                request_of(
                    "mass_cancel",
                    interval=interval,
                    connection_point=connection_point,
                    direction=direction,
                    side=side,
                )
            )
        except RequestRefusedError as refusal:
            if refusal.reason == "order_not_open":
                return 0
            raise
        return int(answer["orders"])

    async def offer_flexibility(
        self,
        connection_point: str,
        direction: FlexDirection | str,
        quantity_w: int,
        price: Price,
        *,
        interval: Moment | None = None,
        client_order_id: str | None = None,
    ) -> FlexibilityAcceptedReport:
        """Offer that the resource behind an own connection point changes its power.

        Parameters
        ----------
        connection_point
            Where the resource is.
        direction
            ``"upward"`` (more injection, or less withdrawal) or ``"downward"``.
        quantity_w
            Watts.
        price
            Lowest price, EUR per kW for the interval.
        interval, client_order_id
            As in :meth:`buy`.

        Returns
        -------
        The report of its acceptance.  What it is matched comes by :meth:`flexibility_fills`.

        Raises
        ------
        RequestRefusedError
            With the exchange's reason and a sentence.
        """
        return await self._flexibility(
            "offer_flexibility",
            connection_point=connection_point,
            direction=direction,
            quantity_w=quantity_w,
            price=price,
            interval=interval,
            client_order_id=client_order_id,
        )

    async def request_flexibility(
        self,
        bus: str,
        direction: FlexDirection | str,
        quantity_w: int,
        price: Price,
        *,
        conditional: bool = False,
        interval: Moment | None = None,
        client_order_id: str | None = None,
    ) -> FlexibilityAcceptedReport:
        """Request flexibility for a bus; as :meth:`offer_flexibility`, with the highest price.

        A ``conditional`` request may be activated or not, always with all offers matched to it.
        """
        return await self._flexibility(
            "request_flexibility",
            bus=bus,
            direction=direction,
            quantity_w=quantity_w,
            price=price,
            conditional=conditional,
            interval=interval,
            client_order_id=client_order_id,
        )

    async def _flexibility(self, kind: str, **entries: Any) -> FlexibilityAcceptedReport:
        answer = await self.request(request_of(kind, **entries))
        return read_as(FlexibilityAcceptedReport, answer)

    async def cancel_flexibility(self, client_order_id: str) -> CancelledReport:
        """Take the rest of an own order for flexibility out of the market."""
        answer = await self.request(request_of("cancel", client_order_id=client_order_id))
        return read_as(CancelledReport, answer)

    async def flexibility_orders(self) -> list[OpenFlexibility]:
        """Return the own open orders for flexibility now, asked of the exchange."""
        entries = await self._entries("orders")
        own = [each for each in entries if each["type"] == "flexibility_accepted"]
        return [read_as(OpenFlexibility, each) for each in own]

    async def statement(self) -> Content:
        """Return the own account so far: balances, and bookings without a statement yet."""
        pages = await self._pages("statement")
        entries = [entry for page in pages for entry in page["entries"]]
        return {"accounts": pages[0]["accounts"], "entries": entries}

    async def book(self, direction: Direction | str, interval: Moment) -> Book:
        """Return the depth of one book now, asked of the exchange."""
        asked = request_of(None, direction=direction, interval=interval)
        pages = await self._pages("book", **asked)
        levels = [entry for page in pages for entry in page["entries"]]
        book = Book(Direction(direction), datetime.fromisoformat(asked["interval"]))
        # Of the first page: later ones may be newer, and deltas from then on are applied to all.
        kind = {"type": "snapshot", "sequence": pages[0]["sequence"], "previous": None}
        book.take(kind | asked | {"levels": levels})
        return book

    def _known(self, key: str) -> OwnOrder:
        found = self.order(key)
        if found is None:
            raise LookupError(f"order {key} ended so long ago that it is no longer known here")
        return found


def _key(order: OwnOrder | str) -> str:
    return order if isinstance(order, str) else order.client_order_id
