"""The rules of an area's market: units, bounds, roles, and the terms of each connection point."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from enum import StrEnum

from doe_allocation.allocation.curtailment import CurtailmentPolicy
from doe_allocation.procurement.choices import FlexDirection
from exchange.vocabulary.flexibility import FlexibilityRules
from security_check.model.envelope import Direction

MAX_PRICE_TICKS = 2**40
"""Largest magnitude of a limit price; above it, float64 no longer separates ticks safely."""


class ExchangeRate(StrEnum):
    """How many watts can be bought for one watt sold at another connection point.

    With ``ONE_TO_ONE`` watts bought and sold balance in each direction.  With
    ``NETWORK_WEIGHTED`` the linear rows alone decide, and the DSO issues or retires the
    difference at its reserve price.
    """

    ONE_TO_ONE = "one_to_one"
    NETWORK_WEIGHTED = "network_weighted"


TSO = "tso"
"""The TSO as the sender of interface limits, in answers and refusals."""

OPERATOR = "operator"
"""The market operator, which opens sessions, closes gates and sets controls."""

METERING = "metering"
"""The meter operator, which sends readings."""

EXCHANGE = "exchange"
"""The exchange itself: its account at the broker."""

DSO_CONGESTION_RENT = "dso congestion rent"
"""The DSO's account for the difference between what buyers pay and sellers receive."""

DSO_COMPENSATION = "dso compensation"
"""The DSO's account for compensation of curtailed limits."""

DSO_PENALTIES = "dso penalties"
"""The DSO's account for penalties for breaches of envelopes."""

DSO_BUY_BACK = "dso buy-back"
"""The DSO's account for limits that it buys back before it curtails."""

DSO_ACCOUNTS = (DSO_CONGESTION_RENT, DSO_COMPENSATION, DSO_PENALTIES, DSO_BUY_BACK)
"""Accounts of the ledger that belong to the DSO; their blanks keep them out of topics."""

EVERY_PARTICIPANT = "*"
"""All participants, in a message that names whom a control is for."""

RESERVED_PARTICIPANTS = frozenset(
    {TSO, OPERATOR, METERING, EXCHANGE, EVERY_PARTICIPANT, *DSO_ACCOUNTS}
)
"""Names of roles and accounts, which no customer may have."""


@dataclass(frozen=True, slots=True)
class MeteringRules:
    """How metered power is compared with the final envelopes.

    A breach is the mean power of the interval beyond limit and tolerance.  The tolerance is that
    of the meter, so power within it costs nothing.

    Parameters
    ----------
    penalty_price_ticks
        The penalty for one watt of breach, in ticks.
    tolerance_w
        The power beyond its limit that is not a breach, in watts.
    window
        The time after delivery in which readings are taken and corrected.

    Raises
    ------
    ValueError
        When price or tolerance is negative, or the window not positive.
    """

    penalty_price_ticks: int
    tolerance_w: int = 0
    window: timedelta = timedelta(hours=24)

    def __post_init__(self) -> None:
        for name in ("penalty_price_ticks", "tolerance_w"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} is {getattr(self, name):,}, it must not be negative")
        if self.window <= timedelta(0):
            raise ValueError(f"the window for readings is {self.window}, it must be positive")


@dataclass(frozen=True, slots=True)
class MarketRules:
    """The rules of one area's market.

    Parameters
    ----------
    tick
        The price step, in EUR per kW of limit for the interval.
    lot_w
        The quantity step, in watts: every order and every trade is a multiple of it.
    max_quantity_w
        Largest quantity of one order, in watts; ``None`` for no bound of its own.
    max_price_ticks
        Highest limit price.  Clearing sums over all prices in float64, so one absurd price would
        cost the others their exactness.
    max_conditional_orders, max_conditional_orders_each
        The most orders with conditions (all or none, a minimum, legs of joint ones) that may rest
        in an interval, and the most of one participant: each makes clearing slower.  Beyond its
        first order with conditions, a participant may have at most a quarter of the free places.
    answers_kept
        The number of requests of each sender whose answers are remembered, the newest ones; older
        requests with an open order are remembered, too.  A request sent again within them has no
        second effect, so the number is never less than that of the messages that a broker may
        deliver again: ``inflight_in`` of the exchange's connection to it.
    intervals_kept_for
        The time for which a closed interval is kept.
    exchange_rate
        How many watts can be bought for one watt sold at another connection point.
    reserve_price_ticks
        The price at which the DSO issues and retires watts where they need not balance; without
        effect otherwise.
    curtailment
        The policy by which holdings are cut when they are no longer secure.
    compensation_price_ticks
        The DSO's compensation for one watt of curtailed limit, in ticks.
    opening_auction, closing_auction
        The time for which orders are collected after the opening and before the gate, to trade
        in one auction; zero for none.
    batch_every
        The time between auctions in a market of frequent batches; ``None`` where trading is
        continuous.
    metering
        The rules for metered deliveries; ``None`` where they are not metered.
    flexibility
        The rules of the flexibility market; ``None`` where there is none.

    Raises
    ------
    ValueError
        When a value is not positive, the compensation negative, a requester's name reserved, or
        flexibility traded where deliveries are metered.
    """

    tick: Decimal = Decimal("0.0001")
    lot_w: int = 1
    max_quantity_w: int | None = None
    max_price_ticks: int = 1_000_000
    max_conditional_orders: int = 50
    max_conditional_orders_each: int = 10
    answers_kept: int = 2_500
    intervals_kept_for: timedelta = timedelta(hours=1)
    exchange_rate: ExchangeRate = ExchangeRate.ONE_TO_ONE
    reserve_price_ticks: int = 0
    curtailment: CurtailmentPolicy = CurtailmentPolicy.PRO_RATA
    compensation_price_ticks: int = 0
    opening_auction: timedelta = timedelta(0)
    closing_auction: timedelta = timedelta(0)
    batch_every: timedelta | None = None
    metering: MeteringRules | None = None
    flexibility: FlexibilityRules | None = None

    def __post_init__(self) -> None:
        if self.metering is not None and self.flexibility is not None:
            raise ValueError(
                "flexibility cannot be traded where deliveries are metered: a reading does not "
                "tell an activation from a breach"
            )
        for name in () if self.flexibility is None else self.flexibility.requesters:
            if not name or name in RESERVED_PARTICIPANTS:
                raise ValueError(f"{name!r} cannot be a participant's name")
        for name in ("tick", "lot_w", "answers_kept"):
            if getattr(self, name) <= 0:
                raise ValueError(f"{name} must be positive, it is {getattr(self, name)}")
        if not 0 < self.max_price_ticks <= MAX_PRICE_TICKS:
            raise ValueError(
                f"max_price_ticks is {self.max_price_ticks:,}, it must be positive and at most "
                f"{MAX_PRICE_TICKS:,}"
            )
        if self.max_quantity_w is not None and self.max_quantity_w < self.lot_w:
            raise ValueError(
                f"max_quantity_w is {self.max_quantity_w} W, less than a lot of {self.lot_w} W"
            )
        for name in ("intervals_kept_for", "opening_auction", "closing_auction"):
            if getattr(self, name) < timedelta(0):
                raise ValueError(f"{name} is {getattr(self, name)}, it must be >= 0")
        if self.batch_every is not None and self.batch_every <= timedelta(0):
            raise ValueError(f"batch_every is {self.batch_every}, it must be positive")
        for name in ("reserve_price_ticks", "compensation_price_ticks"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} is {getattr(self, name):,}, it must be >= 0")

    def price_in_eur_per_kw(self, price_ticks: int) -> Decimal:
        """Return a price in EUR per kW of limit for the interval, exact."""
        return self.tick * price_ticks

    def amount_in_eur(self, amount: int) -> Decimal:
        """Return an amount of money in EUR, exact.

        ``amount`` is in tick-watts, ``price_ticks * quantity_w``, and a tick is EUR per kW:
        hence the thousand.
        """
        return (self.tick * amount).scaleb(-3)


@dataclass(frozen=True, slots=True)
class PriceCollar:
    """The limit prices that are allowed, in ticks, bounds included; ``None`` is no bound."""

    min_price_ticks: int | None = None
    max_price_ticks: int | None = None

    def contains(self, price_ticks: int) -> bool:
        """Return whether a price is allowed."""
        if self.min_price_ticks is not None and price_ticks < self.min_price_ticks:
            return False
        return self.max_price_ticks is None or price_ticks <= self.max_price_ticks

    def fault(self) -> str | None:
        """Return the fault of these values as a sentence, ``None`` without a fault."""
        if self.min_price_ticks is None or self.max_price_ticks is None:
            return None
        if self.min_price_ticks <= self.max_price_ticks:
            return None
        return (
            f"the collar from {self.min_price_ticks:,} to {self.max_price_ticks:,} ticks is empty"
        )


@dataclass(frozen=True, slots=True)
class BuyBack:
    """What the DSO buys back of a direction before it curtails, and its highest price in ticks."""

    quantity_w: int
    limit_price_ticks: int

    def fault(self) -> str | None:
        """Return the fault of these values as a sentence, ``None`` without a fault."""
        if self.quantity_w < 0:
            return f"a buy-back of {self.quantity_w:,} W is negative"
        if self.limit_price_ticks < 0:
            return f"a limit price of {self.limit_price_ticks:,} ticks is negative"
        return None


NO_COLLAR = PriceCollar()
"""Every price is allowed."""


@dataclass(frozen=True, slots=True)
class RiskLimits:
    """The risk limits of one participant; ``None`` is no limit.

    Parameters
    ----------
    max_quantity_w
        Largest quantity of one order, in watts.
    orders_per_minute
        Most orders placed or amended in a minute; each leg of a joint order counts.
    position_w
        In each direction of each interval, net purchases plus open buy orders may not exceed
        this, in watts, nor net sales plus open sell orders.
    credit
        The participant's debt, penalties included, plus the cost of its open buy orders at their
        limit prices may not exceed this, in tick-watts.
    """

    max_quantity_w: int | None = None
    orders_per_minute: int | None = None
    position_w: int | None = None
    credit: int | None = None

    def fault(self) -> str | None:
        """Return the fault of these values as a sentence, ``None`` without a fault."""
        for name in ("max_quantity_w", "orders_per_minute", "position_w", "credit"):
            value = getattr(self, name)
            if value is not None and value < 0:
                return f"{name} is {value:,}, it must not be negative"
        return None


UNLIMITED = RiskLimits()
"""No limits of risk."""


@dataclass(frozen=True, slots=True)
class ConnectionTerms:
    """The owner, the capacities and the fallback limits of a connection point.

    Parameters
    ----------
    connection_point
        Its id in the network.
    participant
        Its owner, the only participant that may trade its limits.
    injection_capacity_w, withdrawal_capacity_w
        No limit ever exceeds these, in watts.
    fallback_injection_w, fallback_withdrawal_w
        The limits that a device returns to when it loses contact, in watts.  They lie inside
        every envelope in force, so no sale goes below them.
    flexible_up_w, flexible_down_w
        By how much the resource behind it may change its power upward and downward, in watts:
        power that is part of the set point, not of the envelope.

    Raises
    ------
    ValueError
        When a fallback is negative or above its capacity, a flexibility is negative, or the owner's
        name is reserved.
    """

    connection_point: str
    participant: str
    injection_capacity_w: int
    withdrawal_capacity_w: int
    fallback_injection_w: int = 0
    fallback_withdrawal_w: int = 0
    flexible_up_w: int = 0
    flexible_down_w: int = 0

    def __post_init__(self) -> None:
        if min(self.flexible_up_w, self.flexible_down_w) < 0:
            raise ValueError(
                f"{self.connection_point}: its flexibility of {self.flexible_up_w} W upward and "
                f"{self.flexible_down_w} W downward must not be negative"
            )
        for direction in Direction:
            fallback_w, capacity_w = self.fallback_w(direction), self.capacity_w(direction)
            if not 0 <= fallback_w <= capacity_w:
                raise ValueError(
                    f"{self.connection_point}: {direction} fallback is {fallback_w} W, "
                    f"it must lie in 0 to the capacity of {capacity_w} W"
                )
        if not self.participant or self.participant in RESERVED_PARTICIPANTS:
            raise ValueError(
                f"{self.connection_point}: {self.participant!r} cannot be a participant's name"
            )

    def capacity_w(self, direction: Direction) -> int:
        """Return the capacity of the connection in one direction, in watts."""
        if direction is Direction.INJECTION:
            return self.injection_capacity_w
        return self.withdrawal_capacity_w

    def fallback_w(self, direction: Direction) -> int:
        """Return the fallback limit in one direction, in watts."""
        if direction is Direction.INJECTION:
            return self.fallback_injection_w
        return self.fallback_withdrawal_w

    def flexible_w(self, direction: FlexDirection) -> int:
        """Return by how much its resource may change its power one way, in watts."""
        if direction is FlexDirection.UPWARD:
            return self.flexible_up_w
        return self.flexible_down_w


def participants_of(rules: MarketRules, terms: Iterable[ConnectionTerms]) -> frozenset[str]:
    """Return who may send requests: owners of connection points, and who requests flexibility."""
    requesters = () if rules.flexibility is None else rules.flexibility.requesters
    return frozenset([*(each.participant for each in terms), *requesters])
