"""How fast are the order book and the exchange in memory, on a linear network?

Run with ``python benchmarks/bench_exchange.py [orders]``.  The benchmark asserts nothing; counts
are bounded, seeds fixed.
"""

from __future__ import annotations

import gc
import itertools
import platform
import random
import sys
import time
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "support" / "markets"))

from linear_grid import LinearGrid
from tiers import Timed, shares

from exchange.engine import Exchange
from exchange.vocabulary.commands import AmendOrder, CancelOrder, Command, OpenSession, SubmitOrder
from exchange.vocabulary.events import Event, MatchBlocked, Refused, Traded
from exchange.vocabulary.orders import OrderTerms
from exchange.vocabulary.rules import ConnectionTerms, MarketRules
from orderbook.book import OrderBook
from orderbook.order import LimitOrder, Side, TimeInForce
from security_check.model.envelope import Direction
from security_check.model.limits import InterfaceLimits

NOW = datetime(2030, 6, 1, 8, tzinfo=UTC)
START = NOW + timedelta(hours=4)
POINTS = 40
CAPACITY_W = 30_000
ORDERS = 20_000
RESTING = 100_000


def timed(work: Callable[[], int]) -> float:
    """Return operations per second of processor time; ``work`` returns their number."""
    gc.collect()
    began = time.process_time()
    operations = work()
    return operations / (time.process_time() - began)


def book_add_and_cancel(count: int) -> Callable[[], int]:
    rng = random.Random(1)
    orders = [
        LimitOrder(i, rng.choice(list(Side)), rng.randrange(1, 1000), 100)
        for i in range(1, count + 1)
    ]
    leaving = [order.order_id for order in orders]
    rng.shuffle(leaving)

    def work() -> int:
        book: OrderBook[LimitOrder] = OrderBook()
        for order in orders:
            book.add(order)
        for number in leaving:
            book.cancel(number)
        return 2 * count

    return work


def book_match(count: int) -> Callable[[], int]:
    rng = random.Random(2)
    book: OrderBook[LimitOrder] = OrderBook()
    for i in range(1, count + 1):
        book.add(LimitOrder(i, Side.SELL, rng.randrange(1, 1000), 100))

    def work() -> int:
        while (best := book.best(Side.SELL)) is not None:
            book.reduce(best.order_id, best.remaining_w)
        return count

    return work


def a_market(rows: int) -> Exchange:
    """Return an exchange with one open interval; rows bind at half of all capacities."""
    rng = random.Random(3)
    matrix = [[rng.randrange(4) for _ in range(2 * POINTS)] for _ in range(rows)]
    half_w = CAPACITY_W // 2
    matrix.append([1] * 2 * POINTS)  # Binding, too, but no trade changes it.
    grid = LinearGrid(
        [CAPACITY_W] * POINTS, [(row, sum(row) * half_w, sum(row) * half_w) for row in matrix]
    )
    terms = [ConnectionTerms(f"load:{i}", f"p{i}", CAPACITY_W, CAPACITY_W) for i in range(POINTS)]
    exchange = Exchange(grid, MarketRules(), terms)
    exchange.handle(
        OpenSession(
            START,
            START + timedelta(minutes=15),
            START - timedelta(hours=1),
            InterfaceLimits(0.98, 1.04),
        ),
        NOW,
    )
    return exchange


def some_commands(count: int) -> list[Command]:
    """Return commands: seven in ten place an order around one price, the others cancel or amend."""
    rng = random.Random(4)
    commands: list[Command] = []
    placed: list[tuple[str, str]] = []
    for i in range(count):
        kind = rng.random()
        if placed and kind < 0.30:
            participant, client_order_id = placed.pop(rng.randrange(len(placed)))
            if kind < 0.25:
                commands.append(CancelOrder(participant, f"r{i}", client_order_id))
            else:
                change = (None, rng.randrange(500))
                commands.append(AmendOrder(participant, f"r{i}", client_order_id, *change))
            continue
        point = rng.randrange(POINTS)
        side = rng.choice(list(Side))
        price = 500 + rng.randrange(-60, 20) * (1 if side is Side.BUY else -1)
        commands.append(
            SubmitOrder(
                f"p{point}",
                f"c{i}",
                OrderTerms(
                    f"load:{point}",
                    rng.choice(list(Direction)),
                    START,
                    side,
                    rng.randrange(1, 100),
                    price,
                    rng.choice([TimeInForce.GOOD_TILL_CANCEL, TimeInForce.IMMEDIATE_OR_CANCEL]),
                ),
            )
        )
        placed.append((f"p{point}", f"c{i}"))
    return commands


def hold_resting(timed: Timed, target: int, count: int, *, quantity_w: int, spread: int) -> None:
    """Place and cancel orders while ``target`` of them rest.

    Orders are placed until ``target`` rest, which is not timed.  After that an order is cancelled
    if more than ``target`` rest, and placed otherwise.  Limit prices lie up to 60 ticks on the
    safe side of 500, or up to ``spread`` beyond.
    """
    rng = random.Random(5)
    placed: list[tuple[str, str]] = []
    state, numbers = timed.exchange.state, itertools.count()

    def an_order() -> SubmitOrder:
        point = rng.randrange(POINTS)
        side = rng.choice(list(Side))
        placed.append((f"p{point}", f"s{next(numbers)}"))
        price = 500 + rng.randrange(-60, spread) * (1 if side is Side.BUY else -1)
        return SubmitOrder(
            *placed[-1],
            OrderTerms(
                f"load:{point}",
                rng.choice(list(Direction)),
                START,
                side,
                rng.randrange(1, quantity_w + 1),
                price,
            ),
        )

    def a_cancel() -> CancelOrder:
        while True:
            k = rng.randrange(len(placed))
            placed[k], placed[-1] = placed[-1], placed[k]
            participant, client_order_id = placed.pop()
            answer = state.answers.find(participant, client_order_id)
            if answer is not None and answer.order_id is not None:
                return CancelOrder(participant, f"x{client_order_id}", client_order_id)

    while len(state.orders) < target:
        timed.exchange.handle(an_order(), NOW)
    gc.collect()
    for _ in range(count):
        timed.handle(a_cancel() if len(state.orders) > target else an_order(), NOW)


def show_resting(what: str, rows: int, target: int, count: int, **more: int) -> None:
    timed = Timed(a_market(rows))
    hold_resting(timed, target, count, **more)
    print(f"{what}, {len(timed.exchange.state.orders):,} rest: {timed.speed()}")
    print(f"   commands end in {shares(timed.tiers)}")


def described(events: list[Event]) -> str:
    """Return counts: clearings by their proof of optimality, and orders without a trade."""
    trades = [event for event in events if isinstance(event, Traded)]
    counts = Counter(f"cleared by {trade.tier}" for trade in trades)
    counts["fills"] = sum(len(trade.fills) for trade in trades)
    counts |= Counter(type(e).__name__ for e in events if isinstance(e, MatchBlocked | Refused))
    return ", ".join(f"{number:,} {what}" for what, number in counts.items())


def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else ORDERS
    print(f"{platform.machine()}, CPython {platform.python_version()}, {count:,} operations each\n")
    print(f"{'what':<44}{'per second':>12}{'microseconds':>14}")

    def show(what: str, per_second: float) -> None:
        print(f"{what:<44}{per_second:>12,.0f}{1e6 / per_second:>14.1f}")

    show("book: add, then cancel in random order", timed(book_add_and_cancel(count)))
    show("book: match best first", timed(book_match(count)))
    commands = some_commands(count)
    for rows in (0, 3, 8):
        exchange = a_market(rows)
        events: list[Event] = []

        def work(exchange: Exchange = exchange, events: list[Event] = events) -> int:
            for command in commands:
                events.extend(exchange.handle(command, NOW))
            return len(commands)

        show(f"exchange: commands, {rows} rows bind", timed(work))
        exchange.check_invariants()
        print("   " + described(events))
    print()
    for rows in (0, 8):
        show_resting(
            f"{rows} rows bind, half cancels", rows, 1_000, count // 2, quantity_w=100, spread=20
        )
    for target in (1_000, RESTING):
        show_resting("nothing crosses, half cancels", 0, target, count // 2, quantity_w=1, spread=0)


if __name__ == "__main__":
    main()
