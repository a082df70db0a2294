"""The market report: welfare, missed welfare, refusals, rent, and local prices.

It is made from a simulation; only the clairvoyant optimum uses the network again.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from fractions import Fraction

from exchange.clearing.problem import ClearingError
from exchange.state.effects import apply
from exchange.state.state import State
from exchange.vocabulary.events import Event, MatchBlocked, SessionOpened, Traded
from exchange.vocabulary.formatting import format_eur
from exchange.vocabulary.network_port import Networks
from exchange.vocabulary.orders import Order
from gateway.errors import GatewayError
from gateway.formats.records import Record, Time
from gateway.publishing.trade_prints import price_text
from gateway.runs.clairvoyant import Auction, Clairvoyant
from gateway.runs.result_file import ResultFile
from gateway.runs.simulation import Simulation
from gateway.runs.submitted_orders import SubmittedOrders
from gateway.scenario.scenario import Scenario
from orderbook.order import Side
from security_check.model.envelope import Direction

LimitKey = tuple[Direction, str]


class MarketReportInterval(Record):
    """One interval; money in EUR, ``share`` of the clairvoyant optimum where there is one."""

    start: Time
    welfare: str
    clairvoyant_welfare: str
    share: float | None
    clearings: int
    bought_w: int
    sold_w: int


class MarketReportLimit(Record):
    """One limit of one connection point over all intervals; prices in EUR per kW.

    ``average_price`` is weighted by volume; ``local_price`` is the last one before a gate: at
    better prices no further trade was possible there.
    """

    connection_point: str
    direction: Direction
    bought_w: int
    sold_w: int
    average_price: str | None
    local_price: str | None


class MarketReport(Record):
    """A market in figures; money in EUR.

    ``congestion_rent`` is what the system operator received, ``clairvoyant_rent`` the rent of one
    auction of all orders at its local prices.
    """

    welfare: str
    clairvoyant_welfare: str
    share: float | None
    congestion_rent: str
    clairvoyant_rent: str
    clearings: int
    bought_w: int
    sold_w: int
    tiers: dict[str, int]
    refusals: dict[str, int]
    blocked: dict[str, int]
    intervals: list[MarketReportInterval]
    prices: list[MarketReportLimit]


def market_report(scenario: Scenario, simulation: Simulation) -> MarketReport:
    """Return the market report of a simulated order file.

    Parameters
    ----------
    scenario
        The scenario of the simulation.
    simulation
        The outcome of the orders.

    Raises
    ------
    GatewayError
        When the clairvoyant optimum could not be computed.
    GridError
        When the power flow found no solution.
    """
    grid = scenario.networks()
    history = _MarketHistory(scenario, grid)
    try:
        for event in simulation.events:
            history.follow(event)
        auctions = history.auctions()
    except ClearingError as error:
        raise GatewayError(f"the clairvoyant optimum: {error}") from error
    return _ReportWriter(scenario, history, auctions).report(simulation)


@dataclass(slots=True)
class _Volume:
    """Trades of one limit."""

    bought_w: int = 0
    sold_w: int = 0
    worth: int = 0  # tick-watts, of both sides

    def average_ticks(self) -> Fraction | None:
        total_w = self.bought_w + self.sold_w
        return Fraction(self.worth, total_w) if total_w else None


@dataclass(slots=True)
class _IntervalTotals:
    """Trades of one interval."""

    opened: SessionOpened
    gain: int = 0
    clearings: int = 0
    bought_w: int = 0
    sold_w: int = 0


@dataclass(slots=True)
class _MarketHistory:
    """Follows the events of a market."""

    scenario: Scenario
    grid: Networks
    submitted: SubmittedOrders = field(default_factory=SubmittedOrders)
    intervals: dict[datetime, _IntervalTotals] = field(default_factory=dict)
    volumes: dict[LimitKey, _Volume] = field(default_factory=dict)
    state: State = field(init=False)

    def __post_init__(self) -> None:
        terms = {each.connection_point: each for each in self.scenario.terms()}
        self.state = State(self.scenario.rules, terms)

    def follow(self, event: Event) -> None:
        apply(self.state, event)
        self.submitted.follow(event, self.state)
        if isinstance(event, SessionOpened):
            self.intervals[event.start] = _IntervalTotals(event)
        if isinstance(event, Traded):
            self._trade(event)

    def _trade(self, trade: Traded) -> None:
        reserve = self.scenario.rules.reserve_price_ticks
        for start in {fill.interval for fill in trade.fills}:
            self.intervals[start].clearings += 1
        for fill in trade.fills:
            interval = self.intervals[fill.interval]
            volume = self.volumes.setdefault((fill.direction, fill.connection_point), _Volume())
            interval.gain += fill.gain - reserve * fill.change_w
            bought_w = fill.quantity_w if fill.side is Side.BUY else 0
            for each in (interval, volume):
                each.bought_w += bought_w
                each.sold_w += fill.quantity_w - bought_w
            volume.worth += fill.amount if bought_w else -fill.amount

    def auctions(self) -> list[Auction]:
        """Return the clairvoyant auctions, one for the intervals that joint orders connect."""
        clairvoyant = Clairvoyant(self.grid, self.state.rules, self.state.terms)
        asked = self.submitted.legs()
        return [
            clairvoyant.auction(
                [self.intervals[start].opened for start in group],
                [legs for legs in asked if legs[0].interval in group],
            )
            for group in _groups(sorted(self.intervals), asked)
        ]


def _groups(
    starts: Sequence[datetime], asked: Sequence[Sequence[Order]]
) -> Iterator[list[datetime]]:
    """Yield groups of intervals that joint orders connect."""
    group_of = {start: {start} for start in starts}
    for legs in asked:
        joined = set().union(*(group_of[leg.interval] for leg in legs))
        for start in joined:
            group_of[start] = joined
    for start in starts:
        if start == min(group_of[start]):
            yield sorted(group_of[start])


@dataclass(frozen=True, slots=True)
class _ReportWriter:
    """Writes a market's history as the market report."""

    scenario: Scenario
    history: _MarketHistory
    auctions: Sequence[Auction]

    def report(self, simulation: Simulation) -> MarketReport:
        trades = [event for event in simulation.events if isinstance(event, Traded)]
        best = {start: gain for auction in self.auctions for start, gain in auction.gain.items()}
        intervals = self.history.intervals
        local = _local_prices(simulation.result, self.scenario.network.connection_points)
        total, most = sum(each.gain for each in intervals.values()), sum(best.values())
        blocked = (e.element for e in simulation.events if isinstance(e, MatchBlocked))
        return MarketReport(
            welfare=self._eur(total),
            clairvoyant_welfare=self._eur(most),
            share=_share(total, most),
            congestion_rent=self._eur(sum(trade.rent for trade in trades)),
            clairvoyant_rent=self._eur(sum(auction.rent for auction in self.auctions)),
            clearings=len(trades),
            bought_w=sum(each.bought_w for each in intervals.values()),
            sold_w=sum(each.sold_w for each in intervals.values()),
            tiers=_counted(trade.tier for trade in trades),
            refusals=_counted(refusal.reason for refusal in simulation.result.refusals),
            blocked=_counted(blocked),
            intervals=[
                MarketReportInterval(
                    start=start,
                    welfare=self._eur(each.gain),
                    clairvoyant_welfare=self._eur(best[start]),
                    share=_share(each.gain, best[start]),
                    clearings=each.clearings,
                    bought_w=each.bought_w,
                    sold_w=each.sold_w,
                )
                for start, each in sorted(intervals.items())
            ],
            prices=[self._limit(key, local.get(key)) for key in self._limits()],
        )

    def _limits(self) -> Iterator[LimitKey]:
        for direction in Direction:
            for point in self.scenario.network.connection_points:
                yield direction, point

    def _limit(self, key: LimitKey, local_price: str | None) -> MarketReportLimit:
        volume = self.history.volumes.get(key, _Volume())
        return MarketReportLimit(
            connection_point=key[1],
            direction=key[0],
            bought_w=volume.bought_w,
            sold_w=volume.sold_w,
            average_price=self._price(volume.average_ticks()),
            local_price=local_price,
        )

    def _price(self, ticks: Fraction | None) -> str | None:
        return None if ticks is None else price_text(ticks, self.scenario.rules)

    def _eur(self, amount: int) -> str:
        return format_eur(self.scenario.rules.amount_in_eur(amount))


def _local_prices(result: ResultFile, points: Sequence[str]) -> dict[LimitKey, str]:
    """Return the local price of each limit in the last interval that had one."""
    found: dict[LimitKey, str] = {}
    for interval in result.local_prices:
        for each in interval.directions:
            found |= {(each.direction, point): each.balance_price for point in points}
            found |= {
                (each.direction, own.connection_point): own.price for own in each.connection_points
            }
    return found


def _share(gain: int, most: int) -> float | None:
    return gain / most if most else None


def _counted(names: Iterator[str]) -> dict[str, int]:
    """Return how often each name occurs, the most frequent first."""
    return dict(Counter(str(name) for name in names).most_common())
