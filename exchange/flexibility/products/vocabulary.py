"""The words of a flexibility market: who takes part, what is bought, what is offered.

Power is in whole watts.  A utilisation price is in ticks per kW for one interval, an availability
price in ticks per kW for the whole contract; so price times watts is an amount in tick-watts, as
everywhere in the exchange.  Intervals are numbered from 0 and given as ranges.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from doe_allocation.procurement.choices import FlexDirection


class Role(StrEnum):
    """What a party does in the market."""

    DSO = "dso"
    TSO = "tso"
    BRP = "brp"
    MARKET = "market"
    PROVIDER = "provider"


class Goal(StrEnum):
    """What a session makes best."""

    LEAST_COST = "least_cost"
    """The most of all needs, then at the least cost."""
    WELFARE = "welfare"
    """The most value of what is bought, at the needs' price caps, less its cost."""


class Pricing(StrEnum):
    """What an accepted offer is paid."""

    PAY_AS_BID = "pay_as_bid"
    UNIFORM = "uniform"
    """The highest accepted price of the need and interval; a contracted offer its own price."""


@dataclass(frozen=True, slots=True)
class Party:
    """Who buys, offers or operates the market."""

    name: str
    role: Role


@dataclass(frozen=True, slots=True)
class Resource:
    """What can change its power for money.

    Parameters
    ----------
    name
        Its connection point.
    provider
        The party that offers it.
    zone
        Where it is, in words of the market.
    up_w, down_w
        By how much it can go up (more injection, less withdrawal) and down.
    activation_s
        Time from the call to its full change of power.
    min_duration_s, max_duration_s
        How long it runs at least and at most; ``None`` for no bound.
    bus
        Where it is in the day's network; ``None`` without one.
    registered
        Whether it is enrolled at the market.
    members
        Names of the resources that it consists of; empty of what is no aggregate.
    place
        Where it is, in words, if it is in no zone.
    """

    name: str
    provider: str
    zone: str
    up_w: int
    down_w: int
    activation_s: int = 0
    min_duration_s: int = 0
    max_duration_s: int | None = None
    bus: str | None = None
    registered: bool = True
    members: tuple[str, ...] = ()
    place: str = ""

    def able_w(self, direction: FlexDirection) -> int:
        """Return by how much it can change its power in a direction, in watts."""
        return self.up_w if direction is FlexDirection.UPWARD else self.down_w


@dataclass(frozen=True, slots=True)
class FlexProduct:
    """What is traded, and what a resource must be able to do for it.

    Parameters
    ----------
    name
        Its name.
    directions
        Ways in which it may be called.
    buyers
        Roles that may buy it.
    minimum_w, lot_w
        Least quantity of an offer, and the step of quantities.
    activation_s
        Longest time to the full change of power.
    min_duration_s, max_duration_s
        How long a call lasts at least and at most; ``None`` for no bound.
    zones
        Where it is traded; empty for everywhere.
    availability, utilisation
        Whether being available, and being activated, has a price.
    max_availability_ticks, max_utilisation_ticks
        Highest prices of offers; ``None`` for no bound.
    run_time_s
        For how long a resource must be able to run, whatever the length of a call.
    """

    name: str
    directions: tuple[FlexDirection, ...]
    buyers: tuple[Role, ...]
    minimum_w: int = 1
    lot_w: int = 1
    activation_s: int = 86_400
    min_duration_s: int = 0
    max_duration_s: int | None = None
    zones: tuple[str, ...] = ()
    availability: bool = False
    utilisation: bool = True
    max_availability_ticks: int | None = None
    max_utilisation_ticks: int | None = None
    run_time_s: int = 0


@dataclass(frozen=True, slots=True)
class Relief:
    """The limit of a branch that is exceeded: ``way`` is 1 above its largest flow, else -1."""

    branch: str
    way: int


@dataclass(frozen=True, slots=True)
class Need:
    """What a buyer wants.

    Parameters
    ----------
    name
        Its name.
    buyer
        The party that pays.
    product
        Name of the product.
    intervals
        When.
    quantity_w
        How much in each of the intervals; of a relief, by how much the flow is to fall.
    cap_ticks
        Highest utilisation price.
    direction
        Which way; ``None`` of a relief, for which each way counts that relieves the branch.
    zone
        Where; ``None`` for everywhere.
    relief
        The branch to relieve; ``None`` of a need of a quantity.
    availability_cap_ticks
        Highest availability price in forward sessions.
    expected
        Number of intervals in which a contract is expected to be activated.
    sessions
        Names of the sessions that take it; empty for all spot sessions.
    shares
        Parties that pay for it, each with its weight; empty where the buyer pays.
    """

    name: str
    buyer: str
    product: str
    intervals: range
    quantity_w: tuple[int, ...]
    cap_ticks: int
    direction: FlexDirection | None = None
    zone: str | None = None
    relief: Relief | None = None
    availability_cap_ticks: int | None = None
    expected: int = 0
    sessions: tuple[str, ...] = ()
    shares: tuple[tuple[str, int], ...] = ()

    def wanted_w(self, interval: int) -> int:
        """Return the quantity in an interval, 0 outside its own."""
        return self.quantity_w[self.intervals.index(interval)] if interval in self.intervals else 0


@dataclass(frozen=True, slots=True)
class ForwardOffer:
    """An offer to be available over intervals, and to be activated at a price.

    ``minimum_w`` is the least that may be taken of it, ``quantity_w`` of an indivisible one;
    ``order`` its place in time.
    """

    name: str
    resource: str
    product: str
    direction: FlexDirection
    intervals: range
    quantity_w: int
    minimum_w: int
    availability_ticks: int
    utilisation_ticks: int
    order: int


@dataclass(frozen=True, slots=True)
class SpotOffer:
    """An offer to be activated.

    Parameters
    ----------
    name, resource, product, direction, intervals
        What and when.
    quantity_w, minimum_w
        The most that may be taken of it in an interval, and the least, if anything is.
    price_ticks
        Least price, for one interval.
    order
        Its place in time: of equal offers the older one comes first.
    block
        Whether the same watts are taken in all of its intervals.
    contract
        Name of the contract that it fulfils, if it was put in for one.
    sessions
        Names of the sessions that it is made in; empty for all.
    arrives, good_until
        From when it is in the book, and until when; ``None`` for always.
    """

    name: str
    resource: str
    product: str
    direction: FlexDirection
    intervals: range
    quantity_w: int
    minimum_w: int
    price_ticks: int
    order: int
    block: bool = False
    contract: str | None = None
    sessions: tuple[str, ...] = ()
    arrives: datetime | None = None
    good_until: datetime | None = None


@dataclass(frozen=True, slots=True)
class FlexContract:
    """A forward contract: who must offer what to whom, at which prices.

    Parameters
    ----------
    name, resource, provider, buyer, product, direction, intervals, quantity_w
        Who, what and when.
    availability_ticks
        Price of being available, for the whole contract.
    utilisation_ticks
        Price of an activation, for one interval.
    obliged
        Whether the provider must offer the quantity in spot sessions.
    penalty_ticks
        What a watt that it withholds costs, for one interval.
    """

    name: str
    resource: str
    provider: str
    buyer: str
    product: str
    direction: FlexDirection
    intervals: range
    quantity_w: int
    availability_ticks: int
    utilisation_ticks: int
    obliged: bool = True
    penalty_ticks: int = 0


@dataclass(frozen=True, slots=True)
class Award:
    """Watts of an offer that a need buys in an interval of a session, at a price."""

    session: str
    need: str
    buyer: str
    offer: str
    resource: str
    provider: str
    direction: FlexDirection
    interval: int
    quantity_w: int
    price_ticks: int
    because: str = ""

    @property
    def amount(self) -> int:
        """What the buyer pays, in tick-watts; below 0 where it is paid."""
        return self.price_ticks * self.quantity_w


@dataclass(frozen=True, slots=True)
class Refusal:
    """Something that is not taken: of whom, a reason, and a sentence with the numbers."""

    name: str
    reason: str
    detail: str
