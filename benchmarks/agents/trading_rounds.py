"""Let strategies act on a market in memory: round by round, in random order, until none trades.

A *venue* is any market that strategies can quote on; :class:`ExchangeVenue` is the exchange.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from agents.strategies import Quote, Strategy, View
from exchange.engine import Exchange
from exchange.state.holdings import Position
from exchange.vocabulary.commands import CancelOrder, Command, SubmitOrder
from exchange.vocabulary.events import AlarmRaised, Event, Traded
from exchange.vocabulary.orders import OrderTerms
from security_check.model.envelope import Direction

MAX_ROUNDS = 1_000
"""Largest number of rounds; agents that trade without end would never stop."""


@dataclass(frozen=True, slots=True)
class Place:
    """One limit of one connection point, for which a strategy quotes."""

    direction: Direction
    connection_point: str


@dataclass(frozen=True, slots=True)
class Trader:
    """A strategy and its place."""

    place: Place
    strategy: Strategy


class Venue(Protocol):
    """A market of one delivery interval that strategies can quote on."""

    def withdraw(self, place: Place) -> None:
        """Cancel the open orders at a place."""

    def view(self, place: Place) -> View:
        """Return the state that the owner of a place sees."""

    def quote(self, place: Place, quote: Quote) -> bool:
        """Place an order; return whether there was a trade."""


@dataclass(frozen=True, slots=True)
class Quiescence:
    """The end of a run.

    Parameters
    ----------
    rounds
        Number of rounds.
    quotes
        Number of orders placed.
    quiet
        Whether the last round was without a trade; else the maximum number of rounds was reached.
    """

    rounds: int
    quotes: int
    quiet: bool


def act_until_quiet(
    venue: Venue, traders: Sequence[Trader], seed: int, max_rounds: int = MAX_ROUNDS
) -> Quiescence:
    """Let all traders act in random order, until a full round is without a trade.

    A trader cancels its orders, reads the state, and quotes again.  After a round without a trade
    strategies refine their quotes; the run ends when none can refine.

    Parameters
    ----------
    venue
        The market.
    traders
        The traders, at most one at each place.
    seed
        Seed of the order in which traders act.
    max_rounds
        Largest number of rounds.
    """
    draw = random.Random(seed)
    order = list(traders)
    quotes = 0
    for round_number in range(1, max_rounds + 1):
        draw.shuffle(order)
        traded = False
        for trader in order:
            venue.withdraw(trader.place)
            for quote in trader.strategy.quotes(venue.view(trader.place)):
                quotes += 1
                traded |= venue.quote(trader.place, quote)
        if traded:
            continue
        refined = [trader.strategy.refine() for trader in traders]
        if not any(refined):
            return Quiescence(round_number, quotes, quiet=True)
    return Quiescence(max_rounds, quotes, quiet=False)


class ExchangeVenue:
    """The exchange as a venue: one interval of it, each place traded by its owner.

    Parameters
    ----------
    exchange
        The exchange, with the interval open.
    interval
        Start of the interval.
    now
        The time of all commands.
    handle
        Function that handles a command; default: :meth:`exchange.engine.Exchange.handle`.
        A benchmark passes its own to time commands.

    Attributes
    ----------
    trades
        All clearings so far.
    alarms
        All alarms so far; after an alarm, a profitable trade may be missing.
    """

    def __init__(
        self,
        exchange: Exchange,
        interval: datetime,
        now: datetime,
        handle: Callable[[Command, datetime], list[Event]] | None = None,
    ) -> None:
        self.trades: list[Traded] = []
        self.alarms: list[AlarmRaised] = []
        self._exchange = exchange
        self._interval = interval
        self._now = now
        self._handle = handle or exchange.handle
        self._last_ticks: dict[Direction, float] = {}
        self._number = 0

    def _position(self, place: Place) -> Position:
        holdings = self._exchange.state.sessions[self._interval].holdings
        return holdings.position(place.direction, place.connection_point)

    def withdraw(self, place: Place) -> None:
        """Cancel the open orders at a place."""
        for order in list(self._position(place).orders.values()):
            self._handle(
                CancelOrder(order.participant, f"x{order.order_id}", order.client_order_id),
                self._now,
            )

    def view(self, place: Place) -> View:
        """Return holding and room, and the last price paid in the direction."""
        position = self._position(place)
        return View(
            held_w=position.held_w,
            sellable_w=position.sellable_w,
            buyable_w=position.buyable_w,
            lot_w=self._exchange.state.rules.lot_w,
            price_ticks=self._last_ticks.get(place.direction),
        )

    def quote(self, place: Place, quote: Quote) -> bool:
        """Place an order; return whether there was a trade."""
        self._number += 1
        terms = self._exchange.state.terms[place.connection_point]
        events = self._handle(
            SubmitOrder(
                terms.participant,
                f"{self._interval:%Y%m%dT%H%M}-{self._number}",
                OrderTerms(
                    place.connection_point,
                    place.direction,
                    self._interval,
                    quote.side,
                    quote.quantity_w,
                    quote.price_ticks,
                ),
            ),
            self._now,
        )
        traded = False
        for event in events:
            if isinstance(event, AlarmRaised):
                self.alarms.append(event)
            if isinstance(event, Traded):
                traded = True
                self._follow(event)
        return traded

    def _follow(self, trade: Traded) -> None:
        self.trades.append(trade)
        for fill in trade.fills:
            self._last_ticks[fill.direction] = fill.amount / fill.change_w
