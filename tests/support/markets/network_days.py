"""Market days of two intervals on real networks: with outages, and with uncertain forecasts."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandapower as pp
from market import QUARTER, START
from meshed_networks import ring
from scenario_files import load, small_net

from exchange.vocabulary import commands as c
from exchange.vocabulary.network_port import NetworkPort
from exchange.vocabulary.orders import Leg, OrderTerms
from exchange.vocabulary.rules import BuyBack, PriceCollar, RiskLimits
from orderbook.order import OrderConditions, Side
from security_check.model.envelope import Direction
from security_check.model.limits import InterfaceLimits

Commands = list[tuple[c.Command, datetime]]

MESHED_RING = """
[network]
source = "net.json"
passive = "as-given"
model = "meshed"
distributed_slack = true
outages = ["line:1", "line:4", "gen:0"]

[limits]
voltage_min_pu = 0.92
voltage_max_pu = 1.08

[interface]
voltage_min_pu = 1.0
voltage_max_pu = 1.04

[capacity]
injection_w = 120000000
withdrawal_w = 120000000
"""
"""A scenario of a meshed network with three outages, whose net is ``net.json``."""
_UNCERTAIN = """
[network]
source = "net.json"
passive = "as-given"

[interface]
voltage_min_pu = 0.98
voltage_max_pu = 1.04

[capacity]
injection_w = 120000
withdrawal_w = 120000

[uncertainty]
set = "budget"
gamma = 1.5
relative = 0.4
impedance = 0.05
"""


@dataclass(frozen=True)
class NetworkDay:
    """A network in a scenario, and the watts at which its limits bind.

    ``band_pu`` is the contracted voltage band, and ``tight_w`` the power of injection and of
    withdrawal to which the contract is lowered during the day.
    """

    net: Callable[[], Any]
    scenario: str
    customers: int
    capacity_w: int
    step_w: int
    band_pu: tuple[float, float]
    tight_w: tuple[int, int]
    seed: int

    def make(self) -> tuple[NetworkPort, Commands]:
        """Return the network, and the commands of the day with their times."""
        with tempfile.TemporaryDirectory() as folder:
            pp.to_json(self.net(), str(Path(folder) / "net.json"))
            grid = load(Path(folder), self.scenario).grid()
        begin = START - timedelta(hours=2)
        trading = self._until_the_gate(np.random.default_rng(self.seed))
        wanted = [
            (command, begin + k * timedelta(seconds=20))
            for k, command in enumerate(trading, start=1)
        ]
        return grid, [*wanted, *self._after_the_gate()]

    def _until_the_gate(self, rng: np.random.Generator) -> Iterator[c.Command]:
        reach_var = 3 * self.capacity_w
        band = InterfaceLimits(
            *self.band_pu, reactive_min_var=-reach_var, reactive_max_var=reach_var
        )
        for start in (START, START + QUARTER):
            yield c.OpenSession(start, start + QUARTER, start - timedelta(hours=1), band)
        limits = RiskLimits(60 * self.step_w, 40, 200 * self.step_w, 10**15)
        yield c.SetRiskLimits("c1", None, limits)
        yield c.SetPriceCollar("c2", PriceCollar(-50, 400))
        for number in range(36):
            yield self._order(rng, number)
            yield from self._after_order(rng, number)
        yield c.AmendOrder(self._owner(33), "r1", "o33", self.step_w, 90)
        yield c.MassCancel("p0", "r2", START, side=Side.SELL)
        yield c.RejectMessage("p2", None, "malformed", "content: it is not JSON")

    def _after_order(self, rng: np.random.Generator, number: int) -> Iterator[c.Command]:
        if number % 8 == 5:
            yield self._joint(rng, number)
        if number % 11 == 10:
            yield c.CancelOrder(self._owner(number - 4), f"x{number}", f"o{number - 4}")
        if number == 20:
            yield c.HaltTrading("c3", START)
        if number == 24:
            yield c.ResumeTrading("c4", START)
        if number == 22:
            yield c.SetRiskLimits("c6", "p1", RiskLimits(max_quantity_w=20 * self.step_w))
            yield c.SetKillSwitch("c7", "p2", engaged=True)
        if number == 25:
            # Voltages that no network bears: the interval is halted.
            yield c.UpdateInterfaceLimits("u2", START + QUARTER, InterfaceLimits(0.5, 0.6))
        if number == 27:
            wanted = BuyBack(9 * self.step_w, 300)
            yield c.SetBuyBack("c5", START, Direction.INJECTION, wanted)
            yield c.UpdateInterfaceLimits(
                "u1", START, InterfaceLimits(*self.band_pu, *self.tight_w)
            )

    def _owner(self, number: int) -> str:
        return f"p{number % self.customers}"

    def _order(self, rng: np.random.Generator, number: int) -> c.SubmitOrder:
        choice: list[dict[str, Any]] = [
            {},
            {},
            {"displayed_w": self.step_w},
            {"minimum_w": 2 * self.step_w},
            {"all_or_none": True},
        ]
        conditions = choice[number % 5]
        terms = OrderTerms(
            connection_point=f"load:{number % self.customers}",
            direction=[*Direction][rng.integers(2)],
            interval=START + QUARTER * int(rng.integers(2)),
            side=[*Side][rng.integers(2)],
            quantity_w=self.step_w * int(rng.integers(2, 25)),
            limit_price_ticks=int(rng.integers(1, 250)),
            conditions=OrderConditions(**conditions),
        )
        return c.SubmitOrder(self._owner(number), f"o{number}", terms)

    def _joint(self, rng: np.random.Generator, number: int) -> c.SubmitJoint:
        """Return a block over both intervals, or a linked pair of both directions."""
        block, side = number % 16 == 5, [*Side][rng.integers(2)]
        places = (
            [(Direction.INJECTION, START), (Direction.INJECTION, START + QUARTER)]
            if block
            else [(direction, START) for direction in Direction]
        )
        point = f"load:{number % self.customers}"
        legs = tuple(Leg(point, *place, side, 3 * self.step_w, 120) for place in places)
        return c.SubmitJoint(self._owner(number), f"j{number}", legs, block)

    def _after_the_gate(self) -> Commands:
        half_w, minute = self.capacity_w // 2, timedelta(minutes=1)
        return [
            (c.AdvanceTime(), START - 60 * minute),
            (c.SubmitReading("m1", START, "load:1", self.capacity_w, 0), START + 30 * minute),
            (c.SubmitReading("m2", START, "load:1", half_w, 0), START + 31 * minute),
            (c.SubmitReading("m3", START, "load:0", 0, 1), START + 32 * minute),
            (c.CloseGate(START + QUARTER), START + 33 * minute),
            (c.AdvanceTime(), START + timedelta(hours=30)),
        ]


def _village() -> Any:
    net = small_net()
    for bus, p_mw in ((2, 0.006), (3, 0.009)):
        pp.create_sgen(net, bus, p_mw)
    return net


OUTAGES = NetworkDay(
    net=lambda: ring(4, 0),
    scenario=MESHED_RING,
    customers=4,
    capacity_w=120_000_000,
    step_w=1_000_000,
    band_pu=(1.0, 1.04),
    tight_w=(30_000_000, 30_000_000),
    seed=9,
)
"""A ring of 110 kV that must bear the outage of two lines and a generator."""

UNCERTAIN = NetworkDay(
    net=_village,
    scenario=_UNCERTAIN,
    customers=3,
    capacity_w=120_000,
    step_w=1_000,
    band_pu=(0.98, 1.04),
    tight_w=(40_000, 40_000),
    seed=14,
)
"""Three customers and two generators that may deviate; impedances are not known exactly."""
