"""The file of a flexibility market case, key by key (``docs/formats/flexibility.md``)."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Any, Literal

from pydantic import Field

from gateway.formats.linear.entries import LARGEST_MW, RatedBranch, SetPoints
from gateway.formats.records import Name, Record


class OfferEntry(Record):
    """An offer: a change of injection at its bus, at a least price."""

    id: Name | None = None
    bus: Name
    direction: Literal["up", "down"]
    quantity_mw: Annotated[float, Field(gt=0.0, le=LARGEST_MW, allow_inf_nan=False)]
    price: Annotated[float, Field(ge=-1e6, le=1e6, allow_inf_nan=False)]
    interval: Name | None = None


class RequestEntry(OfferEntry):
    """A request, at a highest price; a conditional one may or may not be activated."""

    type: Literal["unconditional", "conditional"] = "unconditional"


class ArrivingEntry(RequestEntry):
    """An offer or a request at its place in the order of arrival."""

    side: Literal["offer", "request"]


class FlexMarketCaseFile(Record):
    """A linear network, its set points, and orders.

    Either ``requests`` rest first and ``offers`` arrive one by one, or ``orders`` has all in their
    order of arrival.
    """

    description: str = ""
    rules: str = ""
    published: Any = None
    published_pairwise_result: Any = None
    optimum_over_all_orders: Any = None
    buses: Annotated[list[Name], Field(min_length=2)]
    slack_bus: Name
    branches: Annotated[list[RatedBranch], Field(min_length=1)]
    setpoint_mw: SetPoints
    tick: Annotated[Decimal, Field(gt=0, le=1, strict=False)] = Decimal("0.01")
    requests: list[RequestEntry] = Field(default_factory=list)
    offers: list[OfferEntry] = Field(default_factory=list)
    orders: list[ArrivingEntry] = Field(default_factory=list)
