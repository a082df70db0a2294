"""The networks and markets of open intervals, built when they are first needed.

They are not part of the state: they follow from the orders and the envelopes in force, so they can
be dropped at any time and are rebuilt from these.
"""

from __future__ import annotations

from datetime import datetime

from exchange.clearing.work_budget import EventBudget
from exchange.market.interval_market import IntervalMarket
from exchange.market.matched_flexibility import network_of
from exchange.state.recording import EventRecorder, alarm_kind
from exchange.state.state import State
from exchange.vocabulary.network_port import Networks, SecurityState
from exchange.vocabulary.orders import Order
from security_check.errors import GridError


class OpenMarkets:
    """The networks and markets built so far.

    Parameters
    ----------
    state
        The exchange's state; only read.
    grid
        The network of the area.
    budget
        The work allowed for the programs of one event.

    Attributes
    ----------
    networks, markets
        By start of the interval; read only.
    """

    __slots__ = ("_budget", "_grid", "_state", "markets", "networks")

    def __init__(self, state: State, grid: Networks, budget: EventBudget) -> None:
        self._state = state
        self._grid = grid
        self._budget = budget
        self.networks: dict[datetime, SecurityState] = {}
        self.markets: dict[datetime, IntervalMarket] = {}

    def enter(self, interval: datetime, network: SecurityState) -> None:
        """Store the network of an interval, which has the envelopes in force."""
        self.networks[interval] = network

    def drop_market(self, interval: datetime) -> None:
        """Drop the market of an interval, if it is built."""
        self.markets.pop(interval, None)

    def drop(self, interval: datetime) -> None:
        """Drop network and market of an interval."""
        self.networks.pop(interval, None)
        self.drop_market(interval)

    def open_orders(self, interval: datetime) -> list[Order]:
        """Return the open orders of an interval without joint ones, oldest first."""
        orders = self._state.sessions[interval].orders()
        return [order for order in orders if order.joint_id is None]

    def market(
        self, interval: datetime, record: EventRecorder, incoming: int | None = None
    ) -> IntervalMarket | None:
        """Return the market of an interval, built if need be; ``None`` if its network fails.

        ``incoming`` is the number of an order that has just come and is in its book already: if the
        market is built now, all of that order is displayed.
        """
        if interval not in self.markets:
            network = self.network(interval, record)
            if network is None:
                return None
            self.markets[interval] = IntervalMarket(
                interval,
                network,
                self._grid.connection_points,
                self._state.rules,
                lambda: self.open_orders(interval),
                incoming,
                self._budget,
            )
        return self.markets[interval]

    def network(self, interval: datetime, record: EventRecorder) -> SecurityState | None:
        """Return an interval's network, rebuilt if need be; ``None``, and an alarm, if it fails."""
        if interval not in self.networks:
            session = self._state.sessions[interval]
            held = session.holdings.envelope_set()
            try:
                own = network_of(session, self._grid)
                network = own.resume(session.interface_limits, held)
            except GridError as error:
                record.alarm(
                    alarm_kind(error),
                    interval,
                    f"the envelopes in force could not be taken up again: {error}",
                    halts_trading=True,
                )
                return None
            self.networks[interval] = network
        return self.networks[interval]

    def check_networks(self) -> None:
        """Check that each network has the envelopes in force.

        Raises
        ------
        AssertionError
            With the interval that differs.
        """
        for start, network in self.networks.items():
            in_force = self._state.sessions[start].holdings.envelope_set()
            assert network.envelopes() == in_force, f"{start}: the network differs"
