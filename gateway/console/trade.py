"""Trading line by line: at a keyboard, or by a script on stdin."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import datetime

from rich.console import Console

from gateway.client.feeds import Feed
from gateway.client.mirrors.own_orders import OwnOrder
from gateway.client.trading import TradingClient
from gateway.console.line_commands import (
    HELP,
    Amend,
    Cancel,
    Flexibility,
    LineCommand,
    LineError,
    LineReader,
    Place,
    Quit,
    Show,
    Wait,
)
from gateway.errors import RequestRefusedError
from gateway.messages.flexibility import FlexibilityAcceptedReport, FlexibilityMatchedReport
from gateway.messages.participant_reports import Report, SessionLostReport, TradedReport
from gateway.terminal.console import counted, escape
from gateway.terminal.trading import (
    book_table,
    fill_line,
    flexibility_line,
    flexibility_table,
    limits_table,
    match_line,
    order_line,
    orders_table,
    positions_table,
    session_line,
    statement_table,
)
from orderbook.order import Side


class TradingLines:
    """Carries out lines, and says what becomes of orders meanwhile.

    Parameters
    ----------
    trader
        The client, connected.
    out, err
        Where results and errors go.
    """

    def __init__(self, trader: TradingClient, out: Console, err: Console) -> None:
        self._trader = trader
        self._out, self._err = out, err
        self.failures = 0
        """Number of lines that were no command or were refused."""

    async def run(self, lines: AsyncIterator[str], prompt: str) -> None:
        """Carry out lines until they end or one says so.

        Parameters
        ----------
        lines
            The lines.
        prompt
            Printed before each line is read.
        """
        telling = asyncio.create_task(self._tell(self._trader.reports()))
        if self._trader.session is not None:
            self._say(session_line(self._trader.session))
        try:
            self._out.print(prompt, end="")
            async for line in lines:
                if not await self._carry_out(line):
                    break
                self._out.print(prompt, end="")
        finally:
            telling.cancel()

    async def _carry_out(self, line: str) -> bool:
        """Carry out a line; return whether there may be another one."""
        reader = LineReader(self._trader.open_intervals)
        try:
            command = reader.read(line)
            if isinstance(command, Quit):
                return False
            if command is not None:
                await self._do(command)
        except (LineError, LookupError) as error:
            self._fail(str(error.args[0]))
        except RequestRefusedError as refusal:
            self._fail(f"refused, {refusal}")
        return True

    async def _do(self, command: LineCommand) -> None:
        match command:
            case Show():
                await self._show(command)
            case Place():
                self._say(order_line(await self._place(command)))
            case Amend():
                order = self._find(command.order)
                changed = await self._trader.amend(
                    order, quantity_w=command.quantity_w, price=command.price
                )
                self._say(order_line(changed))
            case Cancel(order=None):
                self._say(f"{counted(await self._trader.cancel_all(), 'order')} cancelled")
            case Cancel(order=str() as name):
                await self._cancel(name)
            case Flexibility():
                self._say(flexibility_line(await self._flexibility(command)))
            case Wait():
                await asyncio.sleep(command.seconds)

    async def _place(self, command: Place) -> OwnOrder:
        place = self._trader.buy if command.side is Side.BUY else self._trader.sell
        return await place(
            command.connection_point,
            command.direction,
            command.quantity_w,
            command.price,
            interval=self._interval(command.interval),
        )

    async def _flexibility(self, command: Flexibility) -> FlexibilityAcceptedReport:
        what = (command.place, command.direction, command.quantity_w, command.price)
        interval = self._interval(command.interval)
        if command.side is Side.SELL:
            return await self._trader.offer_flexibility(*what, interval=interval)
        return await self._trader.request_flexibility(
            *what, interval=interval, conditional=command.conditional
        )

    async def _cancel(self, name: str) -> None:
        """Cancel an order of either kind that is named by id or number."""
        key = self._find(name)
        if key not in self._trader.orders:
            for each in await self._trader.flexibility_orders():
                if name in (each.client_order_id, str(each.order_id)):
                    report = await self._trader.cancel_flexibility(each.client_order_id)
                    left = f"{report.remaining_w:,} W left"
                    self._say(f"order {report.order_id}: cancelled, {report.reason}, {left}")
                    return
        self._say(order_line(await self._trader.cancel(key)))

    async def _show(self, command: Show) -> None:
        trader = self._trader
        match command.what:
            case "help":
                self._say(HELP)
            case "book":
                interval = self._interval(command.interval)
                self._out.print(book_table(await trader.book(command.direction, interval)))
            case "orders":
                self._out.print(orders_table(trader.orders.values()))
            case "flexibility":
                self._out.print(flexibility_table(await trader.flexibility_orders()))
            case "positions":
                self._out.print(positions_table(trader.positions.values()))
            case "limits":
                limits = {point: trader.limits_now(point) for point in trader.envelopes}
                self._out.print(limits_table(limits))
            case "statement":
                self._out.print(statement_table(await trader.statement()))

    def _interval(self, named: datetime | None) -> datetime:
        if named is not None:
            return named
        if not self._trader.open_intervals:
            raise LineError("no interval trades now")
        return self._trader.open_intervals[0]

    def _find(self, name: str) -> str:
        """Return the id of an open order that is named by id or number."""
        for key, order in self._trader.orders.items():
            if name in (key, *(str(leg.order_id) for leg in order.legs)):
                return key
        return name  # the exchange knows why it is not open

    async def _tell(self, reports: Feed[Report]) -> None:
        """Say what comes by itself: fills, cancels not asked for here, lost sessions."""
        async for report in reports:
            match report:
                case TradedReport():
                    self._say(fill_line(report))
                case FlexibilityMatchedReport():
                    self._say(match_line(report))
                case SessionLostReport():
                    self._say(f"session lost, {report.reason}: {counted(report.orders, 'order')}")
                case _ if getattr(report, "type", "") == "cancelled":
                    if getattr(report, "request", None) is None:
                        order = self._trader.order(getattr(report, "client_order_id", ""))
                        self._say("" if order is None else order_line(order))

    def _say(self, text: str) -> None:
        self._out.print(text, markup=False, soft_wrap=True)

    def _fail(self, sentence: str) -> None:
        self.failures += 1
        self._err.print(f"[bold red]error:[/] {escape(sentence)}", soft_wrap=True)
