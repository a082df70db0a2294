"""The demo report: one model for the terminal and for ``--json``."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel

from gateway.demo.customers import CustomerKind
from gateway.formats.records import Time
from security_check.model.envelope import Direction

Party = CustomerKind | Literal["operator"]
"""Payer or receiver: customers of a kind, or the system operator."""


class Group(BaseModel):
    """The number of customers of a kind."""

    kind: CustomerKind
    customers: int


class Spread(BaseModel):
    """Limits of one direction over all customers and intervals, in watts."""

    direction: Direction
    opened_min_w: int
    opened_mean_w: int
    opened_max_w: int
    closed_min_w: int
    closed_mean_w: int
    closed_max_w: int


class UnmetEnergy(BaseModel):
    """Energy that customers of a kind wanted to exchange, and the part beyond their envelopes."""

    kind: CustomerKind
    direction: Direction
    needed_kwh: float
    beyond_before_kwh: float
    beyond_after_kwh: float


class Change(BaseModel):
    """A limit of one customer before and after trading."""

    participant: str
    connection_point: str
    direction: Direction
    needed_w: int
    opened_w: int
    closed_w: int
    bottleneck: str


class BusiestInterval(BaseModel):
    """The quarter-hour with the most trades, and the limits that changed most in it."""

    start: Time
    trades: int
    changes: list[Change]


class BindingElement(BaseModel):
    """One element that binds.

    ``envelopes_limited`` counts the limits that it bounded when intervals opened,
    ``matches_blocked`` the matches it could not carry, ``nearest_after_trades`` the trades after
    which it was the element nearest to its limit.
    """

    element: str
    envelopes_limited: int
    matches_blocked: int
    nearest_after_trades: int
    highest_loading: float


class BindingChange(BaseModel):
    """A clearing after which another element than before was the nearest to its limit.

    With sellers, buyers, the watts traded and their average price.
    """

    trade_id: int
    interval: Time
    direction: Direction
    sellers: list[str]
    buyers: list[str]
    quantity_w: int
    price: str
    nearest_before: str
    nearest_after: str
    loading_after: float


class Blocked(BaseModel):
    """A match that the network could not carry, wholly or in part."""

    participant: str
    blocked_w: int
    element: str
    detail: str


class Update(BaseModel):
    """A change of the TSO's limits during trading, and its effect on holdings."""

    interval: Time
    injection_limit_w: tuple[int | None, int | None]
    withdrawal_limit_w: tuple[int | None, int | None]
    curtailed: int
    curtailed_w: int
    raised: int
    raised_w: int
    element: str


class MoneyFlow(BaseModel):
    """Payments from customers of one kind to those of another, in EUR."""

    payer: Party
    receiver: Party
    amount: str


class CustomerAccount(BaseModel):
    """Payments by and to one customer over the day, in EUR."""

    participant: str
    paid: str
    received: str
    balance: str


class RefusalCount(BaseModel):
    """Requests refused for one reason, and the detail of one of them."""

    reason: str
    count: int
    example: str


class AdversaryCount(BaseModel):
    """Attacks of the adversary on the envelopes after every trade."""

    trades_checked: int
    vertices_tried: int
    violations: int
    examples: list[str]


class DemoReport(BaseModel):
    """A whole market day in figures."""

    network: str
    seed: int
    seconds: float
    customers: int
    intervals: int
    groups: list[Group]
    messages: int
    orders: int
    amendments: int
    trades: int
    traded_w: int
    spreads: list[Spread]
    unmet: list[UnmetEnergy]
    busiest: BusiestInterval | None
    elements: list[BindingElement]
    binding_changes: list[BindingChange]
    binding_changes_in_all: int
    updates: list[Update]
    blocked: int
    largest_blocked: list[Blocked]
    flows: list[MoneyFlow]
    accounts: list[CustomerAccount]
    refusals: list[RefusalCount]
    alarms: list[str]
    welfare: str
    paid: str
    received: str
    difference: str
    adversary: AdversaryCount
    journal_entries: int
    digest: str
    replayed_digest: str
