"""The market days whose journals and snapshots are kept in ``tests/data``.

A day is its rules, its connection points and its commands.  Rules and connection points belong to
the files: they are not in a journal, and a state is restored with them, so those of a frozen day
do not change.  ``tools/freeze.py`` carries the commands out and writes what came of it; tests only
read it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import partial

from flexible_market import START as START_OF_FLEXIBLE
from flexible_market import WIDE_W, FlexibleExchange, chain, offer, request
from linear_grid import LinearGrid
from market import GATE, QUARTER, START, Market, interface
from market_days import CAPACITY_W, FALLBACK_W, POINTS
from network_days import OUTAGES, UNCERTAIN, Commands, NetworkDay
from wild_days import WildDay

from doe_allocation.procurement.choices import FlexDirection
from exchange.vocabulary.commands import (
    AcceptLoss,
    CloseGate,
    HaltTrading,
    LoseSession,
    MassCancel,
    OpenSession,
    ResumeTrading,
    SetBuyBack,
    SetKillSwitch,
    SetPriceCollar,
    SetRiskLimits,
    SetSafeguard,
    SubmitJoint,
    SubmitOrder,
    UpdateInterfaceLimits,
)
from exchange.vocabulary.flexibility import Matching
from exchange.vocabulary.network_port import NetworkPort
from exchange.vocabulary.orders import Leg, OrderTerms
from exchange.vocabulary.reasons import CancelReason, OnDisconnect
from exchange.vocabulary.rules import (
    BuyBack,
    ConnectionTerms,
    CurtailmentPolicy,
    ExchangeRate,
    MarketRules,
    MeteringRules,
    PriceCollar,
    RiskLimits,
)
from gateway.messages.topics import Topics
from gateway.ports import JournalEntry, Snapshot
from gateway.service.core import ExchangeSetup, JournaledExchange
from orderbook.order import SelfTradePrevention, Side
from security_check.model.envelope import Direction
from security_check.model.limits import InterfaceLimits

MINUTE = timedelta(minutes=1)


@dataclass(frozen=True)
class FrozenDay:
    """A day: its rules and connection points, and how its network and commands are made.

    ``snapshots`` are the parts of the day, in percent of its entries, after which there is one.
    """

    rules: MarketRules
    terms: tuple[ConnectionTerms, ...]
    make: Callable[[], tuple[NetworkPort, Commands]]
    snapshots: tuple[int, ...] = (65, 100)

    def setup(self, grid: NetworkPort | None = None) -> ExchangeSetup:
        """Return what an exchange is made of; without a network, one that has no limits."""
        stand_in = LinearGrid([each.injection_capacity_w for each in self.terms])
        return ExchangeSetup(Topics("frozen"), grid or stand_in, self.rules, self.terms)


def record(day: FrozenDay) -> tuple[list[JournalEntry], list[tuple[Snapshot, str]]]:
    """Carry a day out; return its entries, and its snapshots with the digests of the states."""
    grid, wanted = day.make()
    core = JournaledExchange(day.setup(grid))
    entries, states = [], {}
    for command, now in wanted:
        entry, _ = core.handle(command, now)
        if entry is not None:
            entries.append(entry)
            states[entry.sequence] = core.snapshot(), core.exchange.digest()
    core.exchange.check_invariants()
    return entries, [states[max(1, len(entries) * part // 100)] for part in day.snapshots]


def _wild(seed: int, steps: int, rules: MarketRules) -> FrozenDay:
    def make() -> tuple[NetworkPort, Commands]:
        day = WildDay(seed, rules)
        for _ in range(steps):
            day.step()
        grid = day.market.grid
        return LinearGrid(grid.capacity_w, grid.rows), day.market.commands

    owners = [*range(POINTS - 1), 0]
    capacities = (CAPACITY_W, CAPACITY_W, FALLBACK_W, FALLBACK_W)
    terms = (
        ConnectionTerms(f"load:{k}", f"p{owner}", *capacities) for k, owner in enumerate(owners)
    )
    return FrozenDay(rules, tuple(terms), make, (65, 75, 100))


def _every_part(rules: MarketRules) -> FrozenDay:
    """Return a day that comes to what random days seldom do, each thing once."""
    rows = [([1, 2, 2, 1, 0, 0, 0, 0], 30_100, 30_000)]
    limits = InterfaceLimits(0.98, 1.04, 21_000, 20_000, 0.01, -9_000, 8_000)

    def make() -> tuple[NetworkPort, Commands]:
        market = Market(4, 10_000, rows, limits, rules)
        _trade_every_way(market)
        _curtail_and_control(market)
        return LinearGrid(market.grid.capacity_w, market.grid.rows), market.commands

    terms = (ConnectionTerms(f"load:{k}", f"p{k}", 10_000, 10_000) for k in range(4))
    return FrozenDay(rules, tuple(terms), make, (95, 100))


def _trade_every_way(market: Market) -> None:
    """Trade at several prices in both directions, one at a time and in an auction."""
    withdrawal = {"direction": Direction.WITHDRAWAL}
    market.do(OpenSession(START + QUARTER, START + 2 * QUARTER, GATE + QUARTER, interface()))
    market.do(SetPriceCollar("c1", PriceCollar(-400, 900)))
    market.sell(0, "20@890", client_order_id="x1")
    market.amend(0, "x1", 30, 880)
    market.cancel(0, "x1")
    for owner, device, silent_s in ((0, None, None), (1, "van", 25), (2, "battery", 30)):
        guard = (f"p{owner}", f"g{owner}", f"s{owner}", device, OnDisconnect.CANCEL, silent_s)
        market.do(SetSafeguard(*guard))
    market.sell(0, "20@880")
    market.do(LoseSession("p0", "s0", CancelReason.DISCONNECTED))
    market.do(LoseSession("p1", "s1", CancelReason.SILENT))
    market.sell(0, "20@890")
    market.sell(0, "10@870")
    market.do(MassCancel("p0", market.new_id(), side=Side.SELL))
    for price, quantity_w in ((50, 300), (70, 200), (40, 250), (60, 150)):
        market.sell(2, f"{quantity_w}@{price}")
        market.buy(1, f"{quantity_w - 10}@{price + 9}")
        market.sell(0, f"{quantity_w}@{price + 100}", **withdrawal)
        market.buy(3, f"{quantity_w - 30}@{price + 107}", **withdrawal)
    # From a place where a watt loads the line more to one where it loads it less.
    market.sell(2, "600@5")
    market.buy(0, "600@6")
    market.buy(3, "110@25")
    market.sell(2, "200@1")  # the DSO retires these, and the line has room
    market.do(HaltTrading("c2", START))
    for price in (20, 30, 41):
        market.sell(3, f"1500@{price}")
        market.buy(1, f"1400@{price + 60}")
    market.do(ResumeTrading("c3", START))
    market.sell(1, "200@850", post_only=True)
    market.buy(3, "90@3", displayed_w=40, **withdrawal)
    market.buy(0, "80@12", "GTD", expires_at=market.now + 40 * MINUTE, minimum_w=30)
    market.do(AcceptLoss(40, 57))  # as if a part of the morning's entries were gone
    market.buy(0, "30@13")
    legs = tuple(Leg("load:2", each, START, Side.SELL, 60, 700) for each in Direction)
    expiry = market.now + 50 * MINUTE
    market.do(SubmitJoint("p2", "j1", legs, False, expiry, SelfTradePrevention.CANCEL_OLDEST))


def _curtail_and_control(market: Market) -> None:
    """Curtail with compensation; set every control, and at last stop the whole market."""
    market.update("u1", InterfaceLimits(0.97, 1.05, 14_000, 12_000, 0.02, -7_000, 6_000))
    market.sell(2, "400@700", displayed_w=100)
    market.buy(1, "130@701")
    market.buy(1, "30@702")
    market.do(SetBuyBack("c4", START, Direction.WITHDRAWAL, BuyBack(77, 8)))
    market.do(SetBuyBack("c5", START, Direction.INJECTION, BuyBack(66, 7)))
    market.do(SetRiskLimits("c6", "p1", RiskLimits(5_000, 9, 8_000, 10**9)))
    market.do(SetRiskLimits("c7", None, RiskLimits(6_000, 8, 9_000, 10**10)))
    market.buy(1, "100@11")
    market.buy(2, "120@10")
    market.do(SetKillSwitch("c8", "p3", engaged=True))
    market.do(HaltTrading("c9", START + QUARTER))
    market.do(HaltTrading("c10"))
    market.buy(0, "40@9")
    market.buy(2, "50@8")
    market.do(SetKillSwitch("c11", None, engaged=True))
    market.do(ResumeTrading("c12"))


def _flexible() -> FrozenDay:
    """Return a day of a flexibility market on a branch that gets full."""

    def made() -> FlexibleExchange:
        limits = InterfaceLimits(0.98, 1.04, 90, 80)
        return chain(150.0, matching=Matching.PAIRWISE, capacity_w=20, limits=limits)

    def make() -> tuple[NetworkPort, Commands]:
        live = made()
        downward = partial(replace, direction=FlexDirection.DOWNWARD)
        live.submit(request(1, 100, 9))
        live.submit(offer(2, 60, 5))
        live.submit(request(3, 80, 8, conditional=True), sender="brp")
        live.submit(offer(4, 55, 6))
        live.submit(downward(request(5, 13, 12)))
        live.submit(downward(offer(6, 7, 11)))
        live.submit(offer(7, 90, 7))
        live.submit(offer(8, 30, 7))  # the branch is full
        live.submit(offer(9, WIDE_W, 7))  # more than its resource has left
        live.submit(offer(2, 60, 5))  # comes again
        live.submit(downward(offer(10, 40, 15)))
        live.submit(request(11, 25, 3, conditional=True), sender="brp")
        sells = OrderTerms("load:1", Direction.INJECTION, START_OF_FLEXIBLE, Side.SELL, 4, 6)
        live.send(SubmitOrder("p1", "limit", sells))
        for direction, wanted in (
            (Direction.INJECTION, BuyBack(11, 16)),
            (Direction.WITHDRAWAL, BuyBack(4, 7)),
        ):
            live.send(SetBuyBack(f"back-{direction}", START_OF_FLEXIBLE, direction, wanted))
        for name, limits_w in (("out", (30, 80)), ("in", (90, 35))):
            limits = InterfaceLimits(0.98, 1.04, *limits_w)
            live.send(UpdateInterfaceLimits(name, START_OF_FLEXIBLE, limits))
        live.cancel(offer(8, 30, 7))
        live.send(CloseGate(START_OF_FLEXIBLE))
        return live.setup()[0], live.commands

    _, rules, terms = made().setup()
    return FrozenDay(rules, tuple(terms), make, (85, 100))


def _on_network(day: NetworkDay, rules: MarketRules) -> FrozenDay:
    terms = (
        ConnectionTerms(f"load:{k}", f"p{k}", day.capacity_w, day.capacity_w)
        for k in range(day.customers)
    )
    return FrozenDay(rules, tuple(terms), day.make)


FROZEN_DAYS: dict[str, FrozenDay] = {
    "flexibility": _flexible(),
    "every-part": _every_part(
        MarketRules(
            lot_w=10,
            exchange_rate=ExchangeRate.NETWORK_WEIGHTED,
            reserve_price_ticks=3,
            compensation_price_ticks=6,
            metering=MeteringRules(5, 30, 45 * MINUTE),
        )
    ),
    "continuous": _wild(
        113,
        90,
        MarketRules(
            lot_w=1,
            answers_kept=6,
            intervals_kept_for=60 * MINUTE,
            curtailment=CurtailmentPolicy.LAST_IN_FIRST_OUT,
            compensation_price_ticks=5,
            metering=MeteringRules(3, 2, 60 * MINUTE),
        ),
    ),
    "auctions": _wild(
        104,
        90,
        MarketRules(
            lot_w=5,
            answers_kept=3,
            intervals_kept_for=timedelta(0),
            exchange_rate=ExchangeRate.NETWORK_WEIGHTED,
            reserve_price_ticks=3,
            compensation_price_ticks=2,
            opening_auction=20 * MINUTE,
            closing_auction=20 * MINUTE,
            batch_every=15 * MINUTE,
            metering=MeteringRules(3, 2, 60 * MINUTE),
        ),
    ),
    "outages": _on_network(
        OUTAGES,
        MarketRules(
            lot_w=1_000,
            answers_kept=4,
            compensation_price_ticks=4,
            metering=MeteringRules(7, 20_000, timedelta(hours=24)),
        ),
    ),
    "uncertain": _on_network(
        UNCERTAIN,
        MarketRules(
            answers_kept=4,
            compensation_price_ticks=4,
            metering=MeteringRules(7, 20, timedelta(hours=24)),
        ),
    ),
}
