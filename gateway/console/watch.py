"""The market in a terminal: a screen that is kept up to date, or lines where stdout is none."""

from __future__ import annotations

import asyncio
from datetime import datetime

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.text import Text

from gateway.client.area_view import MarketMessage
from gateway.client.market import MarketClient
from gateway.client.mirrors.books import Book
from gateway.client.mirrors.public_market import MarketTopic
from gateway.messages.area_state import EnvelopeMessage, SessionMessage
from gateway.terminal.console import counted, new_table
from gateway.terminal.trading import book_table, clock, prices_table, session_line
from orderbook.order import Side
from security_check.model.envelope import Direction

_EVERY_S = 0.25  # a terminal shows no more
_TRADES = 8


async def watch(market: MarketClient, interval: datetime | None, out: Console) -> None:
    """Show the market until this is cancelled.

    Parameters
    ----------
    market
        The client, connected.
    interval
        Whose books and prices are shown on a screen; without it the next one that trades.
    out
        Where to.
    """
    if not out.is_terminal:
        await MarketLines(market, out).run()
        return
    with Live(Text("..."), console=out, auto_refresh=False) as live:
        while True:
            live.update(screen(market, interval), refresh=True)
            await asyncio.sleep(_EVERY_S)


def screen(market: MarketClient, interval: datetime | None) -> RenderableType:
    """Return the market as it is now."""
    session = market.session
    parts: list[RenderableType] = []
    if not market.connected:
        parts.append(Text("no connection to the broker", style="bold red"))
    if session is None:
        return Group(*parts, Text(f"nothing is heard of an exchange of the area {market.area}"))
    parts.append(Text(session_line(session), style="" if session.status == "online" else "red"))
    shown = interval or next(iter(market.open_intervals), None)
    if shown is not None:
        books = (market.books.get((shown, direction)) for direction in Direction)
        parts += [book_table(book) for book in books if book is not None]
    if shown is not None and shown in market.prices:
        parts.append(prices_table(market.prices[shown]))
    if shown is not None:
        parts.append(_envelopes(market, shown))
    parts.append(_tape(market))
    return Group(*parts)


def _envelopes(market: MarketClient, start: datetime) -> Text:
    """Return the range of envelopes in an interval, and their number."""
    known = (each.envelope(start) for each in market.envelopes.values())
    envelopes = [each for each in known if each is not None]
    if not envelopes:
        return Text(f"no envelopes for {clock(start)}")
    ranges = ", ".join(
        f"{direction.value} {min(limits) / 1e3:,.1f} to {max(limits) / 1e3:,.1f} kW"
        for direction in Direction
        if (limits := [_limit(each, direction) for each in envelopes])
    )
    return Text(f"envelopes of {counted(len(envelopes), 'connection point')}: {ranges}")


def _limit(envelope: EnvelopeMessage, direction: Direction) -> int:
    limit: int = getattr(envelope, f"{direction.value}_limit_w")
    return limit


def _tape(market: MarketClient) -> RenderableType:
    table = new_table("latest trades", ("time", "for", "limit"), ("W", "EUR/kW"))
    for trade in list(market.tape)[-_TRADES:]:
        table.add_row(
            f"{trade.time:%H:%M:%S}",
            clock(trade.interval),
            trade.direction.value,
            f"{trade.quantity_w:,}",
            trade.price,
        )
    return table


class MarketLines:
    """Says what changes in the market, a line each.

    Parameters
    ----------
    market
        The client, connected.
    out
        Where to.
    """

    def __init__(self, market: MarketClient, out: Console) -> None:
        self._market = market
        self._out = out
        self._said: dict[str, str] = {}

    async def run(self) -> None:
        """Say it until this is cancelled."""
        messages = self._market.market_messages()
        if self._market.session is not None:
            self._say("session", session_line(self._market.session))
        for book in self._market.books.values():
            self._say_best(book)
        async for message in messages:
            self._hear(message)

    def _hear(self, message: MarketMessage) -> None:
        market, content = self._market, message.content
        if content is None:
            return
        match message.about:
            case MarketTopic.SESSION if market.session is not None:
                self._say("session", session_line(market.session))
                self._say_alarm(market.session)
            case MarketTopic.TRADE if market.tape:
                trade = market.tape[-1]
                self._print(
                    f"{trade.time:%H:%M:%S} traded {trade.quantity_w:,} W of "
                    f"{trade.direction.value} at {trade.price} for {clock(trade.interval)}"
                )
            case MarketTopic.BOOK:
                key = datetime.fromisoformat(content["interval"]), Direction(content["direction"])
                if key in market.books:
                    self._say_best(market.books[key])
            case MarketTopic.PRICE:
                interval = clock(datetime.fromisoformat(content["interval"]))
                for side in content["directions"]:
                    where = f"{side['direction']} {interval}"
                    places = counted(len(side["connection_points"]), "connection point")
                    text = f"price of {where}: {side['balance_price']}, others at {places}"
                    self._say(f"price {where}", text)
            case MarketTopic.ENVELOPE:
                start = datetime.fromisoformat(content["start"])
                self._say_envelope(market.envelopes[content["connection_point"]].envelope(start))

    def _say_alarm(self, session: SessionMessage) -> None:
        alarm = session.last_alarm
        if alarm is not None:
            halts = ", trading is halted" if alarm.halts_trading else ""
            text = f"alarm: {alarm.kind.value} in {clock(alarm.interval)}{halts}"
            self._say(f"alarm {alarm.event}", text)

    def _say_best(self, book: Book) -> None:
        if book.sequence is None:
            return
        sides = {Side.BUY: book.bids, Side.SELL: book.offers}
        best = ", ".join(
            f"{'bid' if side is Side.BUY else 'offered'} {levels[0].quantity_w:,} W at "
            f"{levels[0].price:f}"
            for side, levels in sides.items()
            if levels
        )
        where = f"{book.direction.value} {clock(book.interval)}"
        self._say(f"book {where}", f"{where}: {best or 'empty'}")

    def _say_envelope(self, envelope: EnvelopeMessage | None) -> None:
        if envelope is not None:  # otherwise it was removed meanwhile
            where = f"envelope of {envelope.connection_point} {clock(envelope.start)}"
            limits = f"injection {envelope.injection_limit_w:,} W, withdrawal "
            self._say(where, f"{where}: {limits}{envelope.withdrawal_limit_w:,} W")

    def _say(self, about: str, text: str) -> None:
        """Say what was not said before of the same thing."""
        if self._said.get(about) != text:
            self._said[about] = text
            self._print(text)

    def _print(self, text: str) -> None:
        self._out.print(text, markup=False, soft_wrap=True)
