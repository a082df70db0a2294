"""The file that ``flex-market`` writes."""

from __future__ import annotations

from typing import Literal

from doe_allocation.procurement.choices import FlexDirection
from gateway.formats.records import Finite, Record


class FlexMatchRecord(Record):
    """Injection moved from one bus to another; ``gain`` is bid less ask, for the quantity."""

    offer: str
    request: str
    interval: str | None
    direction: FlexDirection
    conditional: bool
    from_bus: str
    to_bus: str
    quantity_mw: Finite
    gain: str


class FlexRefusalRecord(Record):
    """A pair whose prices cross, and the branch that leaves no room for it."""

    offer: str
    request: str
    branch: str


class FlexFillRecord(Record):
    """What an order traded at once; a request pays ``amount``, an offer receives it."""

    order: str
    quantity_mw: Finite
    amount: str


class FlexRestRecord(Record):
    """What is left of an order at the end."""

    order: str
    left_mw: Finite


class FlexFlowRecord(Record):
    """The flow of a branch, at the set point, and at the end over all subsets of requests."""

    interval: str | None
    branch: str
    flow_min_mw: Finite
    flow_max_mw: Finite
    before_mw: Finite
    without_conditional_mw: Finite
    least_mw: Finite
    largest_mw: Finite
    overloaded: bool


class FlexMarketFile(Record):
    """What was matched, refused and left; amounts in the currency of the case's prices."""

    matching: Literal["welfare", "pairwise"]
    welfare: str
    optimum: str
    matches: list[FlexMatchRecord]
    refused: list[FlexRefusalRecord]
    fills: list[FlexFillRecord]
    resting: list[FlexRestRecord]
    flows: list[FlexFlowRecord]
