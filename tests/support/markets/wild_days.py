"""Random days with every command, several intervals and a clock that runs."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import numpy as np
from market import GATE, QUARTER, START, Market, interface
from market_days import CAPACITY_W, FALLBACK_W, POINTS, random_rows

from exchange.vocabulary.commands import (
    AdvanceTime,
    AmendOrder,
    CancelOrder,
    CloseGate,
    Command,
    HaltTrading,
    LoseSession,
    MassCancel,
    OpenSession,
    RejectMessage,
    ResumeTrading,
    SetBuyBack,
    SetKillSwitch,
    SetPriceCollar,
    SetRiskLimits,
    SetSafeguard,
    SubmitJoint,
    SubmitOrder,
    SubmitReading,
    UpdateInterfaceLimits,
)
from exchange.vocabulary.orders import Leg
from exchange.vocabulary.reasons import CancelReason, OnDisconnect
from exchange.vocabulary.rules import (
    BuyBack,
    CurtailmentPolicy,
    ExchangeRate,
    MarketRules,
    MeteringRules,
    PriceCollar,
    RiskLimits,
)
from orderbook.order import SelfTradePrevention, Side
from security_check.model.envelope import Direction

_STARTS = [START + k * QUARTER for k in range(3)]
# The steps at which the clock passes the ends of intervals.
_DELIVERED = {60: START + 1.5 * QUARTER, 75: START + 3.5 * QUARTER}


def wild_rules(rng: np.random.Generator) -> MarketRules:
    """Return rules drawn at random; some of them collect orders for auctions."""
    minutes = timedelta(minutes=1)
    return MarketRules(
        lot_w=int(rng.choice([1, 5])),
        answers_kept=int(rng.choice([2, 50])),
        intervals_kept_for=int(rng.choice([0, 60])) * minutes,
        exchange_rate=ExchangeRate(rng.choice(list(ExchangeRate))),
        reserve_price_ticks=int(rng.integers(8)),
        curtailment=CurtailmentPolicy(rng.choice(list(CurtailmentPolicy))),
        compensation_price_ticks=int(rng.integers(9)),
        opening_auction=int(rng.choice([0, 0, 20])) * minutes,
        closing_auction=int(rng.choice([0, 0, 20])) * minutes,
        batch_every=None if rng.random() < 0.7 else 15 * minutes,
        metering=MeteringRules(3, 2, 60 * minutes) if rng.random() < 0.7 else None,
    )


class WildDay:
    """A random day of three intervals, decided by a seed and the rules alone.

    Without ``rules``, the seed decides them, too.
    """

    def __init__(self, seed: int, rules: MarketRules | None = None) -> None:
        self.rng = np.random.default_rng(seed)
        rows = random_rows(self.rng)
        half = interface(POINTS * 100, POINTS * 100)
        self.market = Market(
            POINTS,
            CAPACITY_W,
            rows,
            half,
            rules or wild_rules(self.rng),
            FALLBACK_W,
            [*range(POINTS - 1), 0],
        )
        self.ids = 0
        self._last: SubmitOrder | None = None
        self._controls = int(self.rng.integers(8))
        for start in _STARTS[1:]:
            gate = GATE + (start - START)
            self.market.do(OpenSession(start, start + QUARTER, gate, half))
        steps: list[tuple[Any, float]] = [
            (self.submit, 14.0),
            (self.submit_joint, 1.0),
            (self.cancel, 2.0),
            (self.amend, 2.0),
            (self.mass_cancel, 0.3),
            (self.update_limits, 1.0),
            (self.control, 1.6),
            (self.wait, 1.5),
            (self.close, 0.2),
            (self.read_meter, 1.0),
            (self.reject, 0.3),
            (self.repeat, 0.5),
            (self.guard, 1.0),
            (self.lose, 0.5),
        ]
        self._steps = [step for step, _ in steps]
        self._odds = np.array([odd for _, odd in steps]) / sum(odd for _, odd in steps)

    def step(self) -> None:
        """Send one command at random; after most of a day, the intervals are delivered."""
        self.ids += 1
        if self.ids in _DELIVERED:
            until = max(_DELIVERED[self.ids] - self.market.now, timedelta(0))
            self.market.do(AdvanceTime(), until)
            self._odds = np.where(np.array(self._steps) == self.read_meter, 3.0, self._odds)
            self._odds /= self._odds.sum()
        self._steps[self.rng.choice(len(self._steps), p=self._odds)]()

    def submit(self) -> None:
        point, quantity_w = int(self.rng.integers(POINTS)), self._lots(60)
        more: dict[str, Any] = {}
        kind = self.rng.random()
        if kind < 0.15:
            more["displayed_w"] = min(10, quantity_w)
        elif kind < 0.25:
            more["minimum_w"] = min(15, quantity_w)
        elif kind < 0.35:
            more["all_or_none"] = True
        elif kind < 0.45:
            more["post_only"] = True
        time_in_force = str(self.rng.choice(["GTC", "GTC", "GTC", "GTD", "IOC", "FOK"]))
        if time_in_force == "GTD":
            more["expires_at"] = self.market.now + timedelta(minutes=self._watts(90))
        if self.rng.random() < 0.3:
            more["self_trade_prevention"] = str(self.rng.choice([*SelfTradePrevention]))
        price = None if self.rng.random() < 0.05 else self._watts(20)
        self._last = self.market.order(
            point % (POINTS - 1),
            self._side().value,
            quantity_w,
            price,
            time_in_force,
            point=point,
            direction=self._direction(),
            interval=self._start(),
            client_order_id=f"o{self.rng.integers(self.ids, self.ids + 3)}",
            **more,
        )
        self.market.do(self._last)

    def submit_joint(self) -> None:
        owner, quantity_w = int(self.rng.integers(POINTS - 1)), self._lots(30)
        start, side = self._start(), self._side()
        legs = tuple(
            Leg(f"load:{owner}", direction, start, side, quantity_w, self._watts(20))
            for direction in Direction
        )
        whole = bool(self.rng.random() < 0.5)
        self.market.do(SubmitJoint(f"p{owner}", f"j{self.ids}", legs, whole))

    def cancel(self) -> None:
        if (order := self._order()) is not None:
            self.market.do(CancelOrder(order.participant, f"r{self.ids}", order.client_order_id))

    def amend(self) -> None:
        if (order := self._order()) is not None:
            how = [(self._lots(80), None), (None, self._watts(20)), (self._lots(80), 5)]
            change = how[self.rng.integers(3)]
            self.market.do(
                AmendOrder(order.participant, f"r{self.ids}", order.client_order_id, *change)
            )

    def mass_cancel(self) -> None:
        start = self._start() if self.rng.random() < 0.5 else None
        self.market.do(
            MassCancel(
                f"p{self.rng.integers(POINTS - 1)}", f"r{self.ids}", start, side=self._side()
            )
        )

    def update_limits(self) -> None:
        limits = interface(*(int(each) for each in self.rng.integers(300, 800, 2)))
        self.market.do(UpdateInterfaceLimits(f"u{self.ids}", self._start(), limits))

    def control(self) -> None:
        key, rng = f"c{self.ids}", self.rng
        someone = f"p{rng.integers(POINTS - 1)}" if rng.random() < 0.8 else None
        start = self._start() if rng.random() < 0.5 else None
        commands: list[Command] = [
            SetPriceCollar(key, PriceCollar(self._watts(3), 15 + self._watts(10))),
            SetRiskLimits(key, someone, RiskLimits(300, 20, 300, 50_000)),
            SetKillSwitch(key, someone, engaged=bool(someone and rng.random() < 0.6)),
            HaltTrading(key, start),
            ResumeTrading(key, start),
            ResumeTrading(key, None),
            ResumeTrading(key, self._start()),
            SetBuyBack(key, self._start(), self._direction(), BuyBack(self._watts(50), 9)),
        ]
        self._controls += 1
        self.market.do(commands[self._controls % len(commands)])

    def wait(self) -> None:
        self.market.do(AdvanceTime(), timedelta(minutes=self._watts(25)))

    def close(self) -> None:
        self.market.do(CloseGate(self._start()))

    def read_meter(self) -> None:
        power = (self._watts(200), 0) if self.rng.random() < 0.5 else (0, self._watts(200))
        point = f"load:{self.rng.integers(POINTS)}"
        self.market.do(SubmitReading(f"m{self.ids}", self._start(), point, *power))

    def repeat(self) -> None:
        """Send the last order again, as a participant without an answer does."""
        if self._last is not None:
            self.market.do(self._last)

    def reject(self) -> None:
        self.market.do(RejectMessage("p0", f"x{self.ids}", "malformed", "no JSON"))

    def guard(self) -> None:
        """Guard a session of one of two devices, mostly a new one."""
        owner, device = self.rng.integers(POINTS - 1), [None, "d1"][self.rng.integers(2)]
        on_disconnect = OnDisconnect.KEEP if self.rng.random() < 0.3 else OnDisconnect.CANCEL
        silent_s = None if self.rng.random() < 0.5 else 4 + self._watts(20)
        session = f"s{self.ids - self.rng.integers(9)}"
        self.market.do(
            SetSafeguard(f"p{owner}", f"g{self.ids}", session, device, on_disconnect, silent_s)
        )

    def lose(self) -> None:
        """Lose a session that is guarded, if there is one, in a way that may count."""
        guarded = [
            (f"p{owner}", each.session)
            for owner in range(POINTS - 1)
            for each in self.market.exchange.state.safeguards.of(f"p{owner}")
        ]
        if guarded:
            lost = guarded[self.rng.integers(len(guarded))]
            reason = CancelReason.SILENT if self.rng.random() < 0.3 else CancelReason.DISCONNECTED
            self.market.do(LoseSession(*lost, reason))

    def _order(self) -> Any:
        orders = list(self.market.exchange.state.orders.values())
        return orders[self.rng.integers(len(orders))] if orders else None

    def _side(self) -> Side:
        return [*Side][self.rng.integers(2)]

    def _direction(self) -> Direction:
        return [*Direction][self.rng.integers(2)]

    def _start(self) -> Any:
        return _STARTS[self.rng.integers(len(_STARTS))]

    def _lots(self, most_w: int) -> int:
        lot_w = self.market.rules.lot_w
        return max(self._watts(most_w) // lot_w, 1) * lot_w

    def _watts(self, most: int) -> int:
        return int(self.rng.integers(1, most + 1))
