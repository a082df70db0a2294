"""The market of a simulated day: numbers for a network, or a feeder with its AC power flow.

Whether a set of limits is secure is decided here, not by what the exchange says of it.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np
import numpy.typing as npt
from linear_grid import LinearGrid
from market_days import CAPACITY_W, FALLBACK_W, POINTS, random_rows
from networks import feeder

from doe_allocation.allocation.network_grid import NetworkGrid
from doe_allocation.capacity import Capacity
from exchange.vocabulary.network_port import NetworkPort
from exchange.vocabulary.rules import ConnectionTerms, MarketRules
from gateway.messages.topics import Topics
from gateway.service.core import ExchangeSetup
from security_check.errors import PowerFlowError
from security_check.importers.pandapower_balanced import network_from_pandapower
from security_check.model.limits import InterfaceLimits, VoltageLimits

Watts = npt.NDArray[np.int64]
_TOLERANCE = 1e-6  # parts of a limit: the error of the power flow itself
_SAMPLES = 64  # beside every corner of the box: there are few customers


class SimulatedMarket(Protocol):
    """A network with a unit of power, in which clients trade.

    Attributes
    ----------
    unit_w
        What one watt of the rows' market is here.
    exact
        Whether a verdict takes no time and misses nothing.
    """

    unit_w: int
    exact: bool

    @property
    def grid(self) -> NetworkPort:
        """For the exchange."""

    def broken(self, limits_w: Watts, limits: InterfaceLimits | None) -> str:
        """Return what breaks a limit somewhere inside these limits, or nothing.

        ``limits_w`` has shape (2 c,), injection first.  Without the contract's ``limits`` only
        the network counts.
        """


class RowsMarket:
    """Rows over all limits; coefficients are not negative, so the worst point is the box's end."""

    unit_w, exact = 1, True

    def __init__(self, seed: int) -> None:
        self.rows = random_rows(np.random.default_rng(seed))
        self.grid = LinearGrid([CAPACITY_W] * POINTS, self.rows)

    def broken(self, limits_w: Watts, limits: InterfaceLimits | None) -> str:
        for number, (row, bound, found) in enumerate(self.rows):
            use = int(np.dot(row, limits_w))
            if use > min(bound, found):
                return f"row {number} has {use} of {min(bound, found)}"
        if limits is None:
            return ""
        sums = limits_w[:POINTS].sum(), limits_w[POINTS:].sum()
        for use, most in zip(
            sums, (limits.injection_limit_w, limits.withdrawal_limit_w), strict=True
        ):
            if most is not None and use > most:
                return f"the interface has {use} of {most} W"
        return ""


class FeederMarket:
    """A random low-voltage feeder whose voltages and currents bind; the adversary decides."""

    unit_w, exact = 60, False

    def __init__(self, seed: int) -> None:
        network = network_from_pandapower(feeder(POINTS, seed, max_i_ka=0.05))
        self._rng = np.random.default_rng(seed)
        capacity_w, fallback_w = CAPACITY_W * self.unit_w, FALLBACK_W * self.unit_w
        self.grid = NetworkGrid(
            network,
            VoltageLimits(),
            Capacity.same(
                network.connection_points, capacity_w, capacity_w, fallback_w, fallback_w
            ),
        )

    def broken(self, limits_w: Watts, limits: InterfaceLimits | None) -> str:
        try:
            found = self.grid.attack(
                limits or InterfaceLimits(0.98, 1.04), limits_w, self._rng, samples=_SAMPLES
            )
        except PowerFlowError as error:
            return f"{error}"
        if found.violation <= _TOLERANCE:
            return ""
        return f"{found.element} has {found.value:.6g} of {found.limit:.6g} {found.unit}"


def setup_of(market: SimulatedMarket, topics: Topics, lot_w: int) -> ExchangeSetup:
    """Return the market for an exchange: p0 owns load:0, and so on."""
    capacity_w, fallback_w = CAPACITY_W * market.unit_w, FALLBACK_W * market.unit_w
    terms = [
        ConnectionTerms(point, f"p{k}", capacity_w, capacity_w, fallback_w, fallback_w)
        for k, point in enumerate(market.grid.connection_points)
    ]
    return ExchangeSetup(topics, market.grid, MarketRules(lot_w=lot_w * market.unit_w), terms)
