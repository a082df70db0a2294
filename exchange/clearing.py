"""Which orders trade how much, at what price: pairs, by price and time, as the network allows.

This module decides, and the engine makes events of what it decides; another way of clearing
replaces the two functions below and nothing else.  Both read books and holdings without
changing them.  What they return is already in force in the network they were given.

A *conditional* order trades only under its condition (fill or kill, all-or-none, a minimum).  It
is tried: matched as if it had none, and taken back where the condition is not met.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Container, Iterator
from dataclasses import dataclass, field

from exchange.networks import Blocked, IntervalNetwork, Secure
from exchange.orders import Order
from exchange.session import Session
from orderbook.order import SelfTradePrevention, Side
from security_check.envelope import Direction
from security_check.verdict import Verdict


@dataclass(frozen=True, slots=True)
class Match:
    """A trade that is secure: the older order's price, and the verdict that confirmed it."""

    buy: Order
    sell: Order
    quantity_w: int
    price_ticks: int
    taker_side: Side
    verdict: Verdict


@dataclass(slots=True)
class Clearing:
    """What a clearing decided.

    Attributes
    ----------
    matches
        Trades, in the order they happen.
    self_trades
        Orders that met one of their own participant's and are to be cancelled.
    blocked_w, block
        How many watts of crossing orders the network refused, and its first refusal.
    refilled
        Whether an iceberg showed its next part, and so lost its place.
    """

    matches: list[Match] = field(default_factory=list)
    self_trades: list[Order] = field(default_factory=list)
    blocked_w: int = 0
    block: Blocked | None = None
    refilled: bool = False
    _gone_w: dict[int, int] = field(default_factory=dict)
    _shown_w: dict[int, int] = field(default_factory=dict)

    @property
    def changes_anything(self) -> bool:
        """Whether something traded or is to be cancelled."""
        return bool(self.matches or self.self_trades)

    def remaining_w(self, order: Order) -> int:
        """Return what is left of an order after what was decided so far."""
        return order.remaining_w - self._gone_w.get(order.order_id, 0)

    def available_w(self, maker: Order) -> int:
        """Return what an incoming order may take of a maker before others have their turn."""
        if maker.shown_w is None:
            return self.remaining_w(maker)
        shown_w = self._shown_w.get(maker.order_id, maker.shown_w)
        return min(shown_w, self.remaining_w(maker))

    def needed_w(self, order: Order) -> int:
        """Return the least that a conditional order takes now, in watts."""
        return max(0, order.required_w - self._gone_w.get(order.order_id, 0))

    def traded_w(self, order: Order) -> int:
        """Return how much of an order was matched."""
        return sum(m.quantity_w for m in self.matches if m.buy is order or m.sell is order)

    def add_match(self, match: Match) -> None:
        """Add a trade."""
        self.matches.append(match)
        maker = match.sell if match.taker_side is Side.BUY else match.buy
        if maker.shown_w is not None:
            self._show(maker, match.quantity_w)
        for order in (match.buy, match.sell):
            self._gone_w[order.order_id] = self._gone_w.get(order.order_id, 0) + match.quantity_w

    def _show(self, iceberg: Order, taken_w: int) -> None:
        """Lower what an iceberg shows; once that is used up, it shows its next part."""
        assert iceberg.peak_w is not None, "only icebergs have a displayed part"
        shown_w = self.available_w(iceberg) - taken_w
        if shown_w <= 0:
            self.refilled = True
            shown_w = iceberg.peak_w
        self._shown_w[iceberg.order_id] = shown_w

    def add_block(self, refused_w: int, block: Blocked) -> None:
        """Note that the network refused a transfer, or a part of it."""
        self.blocked_w += refused_w
        self.block = self.block or block

    def add_self_trade(self, order: Order) -> None:
        """Note that the rest of an order is to be cancelled."""
        self.self_trades.append(order)
        self._gone_w[order.order_id] = order.remaining_w

    def hold_back(self, order: Order, quantity_w: int) -> None:
        """Keep a part of an order out of this clearing."""
        self._gone_w[order.order_id] = self._gone_w.get(order.order_id, 0) + quantity_w

    def take_back(self, order: Order) -> None:
        """Decide that nothing is traded, because the condition of an order is not met.

        What the order met of its own stays only where that is why the order itself goes.
        """
        self.matches.clear()
        if not any(own is order for own in self.self_trades):
            self.self_trades.clear()


def clear_order(order: Order, session: Session, network: IntervalNetwork) -> Clearing:
    """Match an order, which is in its book already, as the incoming one.

    It takes makers by price, then time.  A maker that the network blocks is passed over, and so
    is one whose own condition is not met; since every trade may free headroom, the makers that
    were blocked are tried again until none trades.  Costs O(makers crossed) for each round in
    which something traded, and a copy of the network where the order is conditional.
    """
    clearing = Clearing()
    if not (order.conditional and order.required_w):
        exhaust(order, session, network, clearing)
        return clearing
    saved = network.copy()
    exhaust(order, session, network, clearing)
    if clearing.traded_w(order) < order.required_w:
        network.take_back(saved)
        clearing.take_back(order)
    return clearing


def clear_resting(session: Session, network: IntervalNetwork) -> Clearing:
    """Match what rests crossed; repeat it while ``changes_anything``.

    First the firm orders: bids are taken by price and time, and each walks the asks it crosses
    by price and time.  Once these are at rest, the conditional orders are tried, oldest first,
    until one trades.  Orders that cross nothing are not looked at: O(1) where nothing is
    crossed, otherwise O(crossed bids + connection points with crossed bids * crossed asks), and
    a copy of the network for each conditional order that crosses as much as it needs.
    """
    network.refresh()
    clearing = Clearing()
    if network.rescan_due:
        network.rescan_due = False
        clearing = _clear_firm(session, network)
    if clearing.changes_anything or not session.has_conditional:
        return clearing
    for order in session.conditional_orders():
        if order.joint_id is not None:
            continue  # It is for others to see that all its legs trade together.
        if session.crossing_w(order, order.remaining_w) >= max(1, order.required_w):
            clearing = clear_order(order, session, network)
            if clearing.changes_anything:
                return clearing
    return clearing


def _clear_firm(session: Session, network: IntervalNetwork) -> Clearing:
    """Match firm orders that rest crossed, once through or until one changes its place."""
    clearing = Clearing()
    for direction in Direction:
        book = session.books[direction]
        best_ask = book.best_price_ticks(Side.SELL)
        if best_ask is None or not book.is_crossed():
            continue
        # A bid that found no more to trade speaks for all later ones of its connection point:
        # they cross no other asks, and the network asks only who buys, not at what price.
        in_vain: set[str] = set()
        for bid in book.orders(Side.BUY, best_ask):
            if bid.connection_point in in_vain or not clearing.remaining_w(bid):
                continue
            asks = book.orders(Side.SELL, bid.limit_price_ticks)
            _match(bid, asks, network, clearing)
            if clearing.refilled or clearing.self_trades:
                # Whoever comes next must find the books as they are after this.
                network.rescan_due = True
                return clearing
            if clearing.remaining_w(bid):
                in_vain.add(bid.connection_point)
    return clearing


def exhaust(
    order: Order,
    session: Session,
    network: IntervalNetwork,
    clearing: Clearing,
    allowed: Container[int | None] = (),
) -> None:
    """Walk an order along its makers until no more of it trades.

    ``allowed`` are the joint orders whose legs may be among them; whoever asks sees to it that
    these come out together.
    """
    traded = True
    while traded and clearing.remaining_w(order):
        network.refresh()
        clearing.blocked_w, clearing.block = 0, None
        makers = session.makers(order)
        found = _match(order, makers, network, clearing, allowed)
        traded = found and clearing.block is not None


def _match(
    order: Order,
    makers: Iterator[Order],
    network: IntervalNetwork,
    clearing: Clearing,
    allowed: Container[int | None] = (),
) -> bool:
    """Walk an order once along the makers it crosses; return whether it traded."""
    traded = False
    refilled: deque[Order] = deque()
    for other in _in_turn(makers, refilled):
        older, newer = (order, other) if order.order_id < other.order_id else (other, order)
        if other.shown_w is None or newer is other:
            available_w = clearing.remaining_w(other)
        else:
            available_w = clearing.available_w(other)
        if not available_w:
            continue
        wanted_w = min(clearing.remaining_w(order), available_w)
        needed_w = 0
        if other.conditional:
            needed_w = clearing.needed_w(other)
            if wanted_w < needed_w or not (other.joint_id is None or other.joint_id in allowed):
                continue
        if other.participant == order.participant:
            _prevent_self_trade(older, newer, clearing)
        else:
            buy, sell = (order, other) if order.side is Side.BUY else (other, order)
            outcome = network.transfer(
                order.direction, sell.connection_point, buy.connection_point, wanted_w, needed_w
            )
            if isinstance(outcome, Blocked):
                clearing.add_block(wanted_w, outcome)
                continue
            traded = True
            clearing.add_match(
                Match(
                    buy=buy,
                    sell=sell,
                    quantity_w=outcome.quantity_w,
                    price_ticks=older.limit_price_ticks,
                    taker_side=newer.side,
                    verdict=outcome.verdict,
                )
            )
            if outcome.quantity_w < wanted_w:
                _note_the_rest(buy, sell, outcome, wanted_w, clearing)
            elif other.shown_w is not None and clearing.remaining_w(other):
                refilled.append(other)
        if not clearing.remaining_w(order):
            break
    return traded


def _in_turn(makers: Iterator[Order], refilled: deque[Order]) -> Iterator[Order]:
    """Iterate over makers; those put into ``refilled`` come again, behind others at their price."""
    for maker in makers:
        while refilled and refilled[0].limit_price_ticks != maker.limit_price_ticks:
            yield refilled.popleft()
        yield maker
    while refilled:
        yield refilled.popleft()


def _note_the_rest(
    buy: Order, sell: Order, outcome: Secure, wanted_w: int, clearing: Clearing
) -> None:
    """Note which part of a match the network refused."""
    element = outcome.verdict.element
    detail = (
        f"{element} lets {outcome.quantity_w:,} W of {wanted_w:,} W of "
        f"{buy.direction} limit move from {sell.connection_point} "
        f"to {buy.connection_point}"
    )
    clearing.add_block(wanted_w - outcome.quantity_w, Blocked(element, detail))


def _prevent_self_trade(older: Order, newer: Order, clearing: Clearing) -> None:
    """Take out one of two orders of the same participant, or both, as the newer one asks."""
    mode = newer.conditions.self_trade_prevention
    if mode is not SelfTradePrevention.CANCEL_NEWEST:
        clearing.add_self_trade(older)
    if mode is not SelfTradePrevention.CANCEL_OLDEST:
        clearing.add_self_trade(newer)
