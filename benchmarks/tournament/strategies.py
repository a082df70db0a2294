"""The strategies of the tournament, each against customers that tell the truth.

Each is as good as its rule of thumb: a strategy that earns nothing here might earn something when
played better, so a table of gains is a lower bound.  Amounts are tick-watts, prices ticks.
"""

from __future__ import annotations

import statistics

from orderbook.order import Side, TimeInForce
from tournament.market_day import GATE, LOT_W, MINUTE, OPENS, Customer, MarketDay, Player


class TwoPoints(Player):
    """Tells the truth at two points."""

    points = 2


class CompletingTaker(Player):
    """Tells the truth, and sends a lot at the highest price wherever orders cross and wait."""

    def after(self, day: MarketDay) -> None:
        me = self.customers[0]
        bids, asks = day.prices(Side.BUY, self), day.prices(Side.SELL, self)
        if bids and asks and bids[0] >= asks[0]:
            for side, ticks in ((Side.BUY, day.rules.max_price_ticks), (Side.SELL, 1)):
                day.place(me, side, LOT_W, ticks, force=TimeInForce.IMMEDIATE_OR_CANCEL)


class Scalper(Player):
    """Buys below the usual price in the first half, and asks for more than it later."""

    def after(self, day: MarketDay) -> None:
        me, usual = self.customers[0], _usual_price(day)
        if usual is None or day.now > _LATE:
            return
        day.withdraw(me)
        if day.now < OPENS + 30 * MINUTE:
            day.place(me, Side.BUY, day.feeder.capacity_w, int(0.6 * usual))
        held_w = day.position(me).held_w
        wanted_w = int(me.useful_w(day.feeder.capacity_w) * 0.5)
        ask = max(int(1.3 * usual), me.value.lowest_ask(held_w, LOT_W))
        day.place(me, Side.SELL, held_w - wanted_w, ask)

    def visit(self, day: MarketDay, customer: Customer) -> None:
        if day.now > _LATE or _usual_price(day) is None:
            day.quote_truthfully(customer)
        else:
            self.after(day)


class PivotalSeller(Player):
    """Asks for nearly what the highest bid gives, and tells the truth in the last minutes."""

    def visit(self, day: MarketDay, customer: Customer) -> None:
        bids = day.prices(Side.BUY, self)
        if day.now > _LATE or not bids:
            day.quote_truthfully(customer)
            return
        day.withdraw(customer)
        position = day.position(customer)
        true = customer.value.lowest_ask(position.held_w, min(1_500, position.sellable_w))
        day.place(customer, Side.SELL, 1_500, max(true, int(0.97 * bids[0])))


class Spoofer(Player):
    """Shows a purchase at a second point just below the best offer, and sells meanwhile."""

    points = 2

    def after(self, day: MarketDay) -> None:
        if day.now > _LATE:
            return
        other = self.customers[1]
        day.withdraw(other)
        bids, asks = day.prices(Side.BUY, self), day.prices(Side.SELL, self)
        if asks and bids and bids[0] < asks[0] - 1:
            day.place(other, Side.BUY, LOT_W, asks[0] - 1)

    def visit(self, day: MarketDay, customer: Customer) -> None:
        if customer is self.customers[0] or day.now > _LATE:
            day.quote_truthfully(customer)


class SellerInBreach(Player):
    """Sells all that it may, at any price above the penalty it expects, and uses it anyway."""

    def visit(self, day: MarketDay, customer: Customer) -> None:
        day.withdraw(customer)
        penalty = day.penalty_ticks
        bids = day.prices(Side.BUY, self)
        if bids and bids[0] > penalty:
            day.place(customer, Side.SELL, day.feeder.capacity_w, max(penalty, bids[0] // 2))
        else:
            day.quote_truthfully(customer)

    def used_w(self, day: MarketDay, customer: Customer) -> int:
        """Use what each watt is worth, whatever is held."""
        penalty, value = day.penalty_ticks, customer.value
        useful_w = customer.useful_w(day.feeder.capacity_w)
        if value.slope_ticks_per_w and value.first_ticks > penalty:
            paying_w = int((value.first_ticks - penalty) / value.slope_ticks_per_w)
        else:
            paying_w = useful_w if value.first_ticks > penalty else 0
        return max(min(paying_w, useful_w), day.truthful_use_w(customer))


class BuyerBeforeCuts(Player):
    """Knows when the TSO will cut, buys before, and has the compensation."""

    def after(self, day: MarketDay) -> None:
        cut, me = day.cut, self.customers[0]
        if cut is None:
            return
        if cut.at[0] - 10 * MINUTE <= day.now < cut.at[0]:
            price = day.rules.compensation_price_ticks
            day.place(me, Side.BUY, day.feeder.capacity_w, price, force=_NOW)

    def visit(self, day: MarketDay, customer: Customer) -> None:
        cut = day.cut
        if cut is None or not cut.at[0] - 10 * MINUTE <= day.now <= cut.at[-1]:
            day.quote_truthfully(customer)


class WashTrader(Player):
    """Trades with itself at a high price, so that those who follow pay it."""

    points = 2

    def visit(self, day: MarketDay, customer: Customer) -> None:
        me, other = self.customers
        usual = _usual_price(day)
        if customer is me and day.now < _LATE and usual is not None:
            for each in self.customers:
                day.withdraw(each)
            price = int(1.4 * usual)
            day.place(other, Side.SELL, LOT_W, price)
            day.place(me, Side.BUY, LOT_W, price)
        day.quote_truthfully(customer)


_NOW = TimeInForce.IMMEDIATE_OR_CANCEL
_LATE = GATE - 10 * MINUTE


def _usual_price(day: MarketDay) -> float | None:
    """Return the mean price of the fills of the last ten trades."""
    fills = [fill for trade in day.trades[-10:] for fill in trade.fills]
    return statistics.fmean(f.amount / f.change_w for f in fills) if fills else None


class CapacityOverstater(Player):
    """Has contracted all that its connection carries, and sells what it has no use for."""


class ModestPlayer(Player):
    """Has contracted what it has a use for."""

    def capacity_w(self, customer: Customer, most_w: int) -> int:
        return customer.useful_w(most_w)


STRATEGIES: dict[str, tuple[type[Player], type[Player]]] = {
    "completing taker": (CompletingTaker, Player),
    "scalper": (Scalper, Player),
    "pivotal seller": (PivotalSeller, Player),
    "spoofer": (Spoofer, TwoPoints),
    "sell and breach": (SellerInBreach, Player),
    "buys before cuts": (BuyerBeforeCuts, Player),
    "capacity overstater": (CapacityOverstater, ModestPlayer),
    "wash trader": (WashTrader, TwoPoints),
}
"""Each strategy, and what the same participant would do that tells the truth."""
