"""Read the file of a flexibility market case: network, set points and orders, or all faults."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

from doe_allocation.procurement.choices import FlexDirection
from exchange.flexibility.flex_order import FlexOrder
from gateway.flexibility.market_schema import (
    ArrivingEntry,
    FlexMarketCaseFile,
    OfferEntry,
    RequestEntry,
)
from gateway.formats.faults import InputFaults
from gateway.formats.input_files import parsed_json, read_bytes, shown_name
from gateway.formats.linear.entries import MW, SetPoint, set_points_of
from gateway.formats.linear.networks import (
    rated_network,
    set_point_faults,
    set_point_w,
)
from orderbook.order import Side
from security_check.arrays import FloatArray
from security_check.errors import Fault, NetworkFaults
from security_check.model.linear_network import LinearNetwork

_WAYS = {"up": FlexDirection.UPWARD, "down": FlexDirection.DOWNWARD}
_WHOLE = 1e-3  # watts by which a quantity in MW may miss whole watts


@dataclass(frozen=True, slots=True)
class FlexMarketCase:
    """A case as it was read.

    Parameters
    ----------
    source
        Name of the file.
    network
        The network.
    set_points_w
        Shape (buses,) by interval; a case without intervals has one without a name.
    orders
        In their order of arrival, numbered from 1.
    names
        What an order is called, by its number.
    tick
        Of prices, per MW.
    """

    source: str
    network: LinearNetwork
    set_points_w: Mapping[str, FloatArray]
    orders: tuple[FlexOrder, ...]
    names: Mapping[int, str]
    tick: Decimal


def load_market_case(path: Path) -> FlexMarketCase:
    """Return the case of a file.

    Raises
    ------
    InputFaults
        With every fault of the file.
    """
    return read_market_case(read_bytes(path), shown_name(path))


def read_market_case(text: bytes, source: str) -> FlexMarketCase:
    """Return the case of a JSON text; ``source`` names it in messages.

    Raises
    ------
    InputFaults
        With every fault of the text.
    """
    content = parsed_json(FlexMarketCaseFile, text, source)
    faults: list[Fault] = []
    network: LinearNetwork | None = None
    try:
        network = rated_network(content.buses, content.slack_bus, content.branches)
    except NetworkFaults as found:
        faults += found.faults
    intervals = set_points_of(content.setpoint_mw)
    for interval, given in intervals.items():
        faults += set_point_faults(_place(interval), given, content.buses)
    faults += _order_faults(content, intervals)
    if faults or network is None:
        raise InputFaults(source, faults)
    index = {bus: k for k, bus in enumerate(content.buses)}
    entries = list(_arriving(content))
    return FlexMarketCase(
        source,
        network,
        {interval: set_point_w(given, content.buses) for interval, given in intervals.items()},
        tuple(
            _order(number, entry, index, content.tick)
            for number, (_, entry) in enumerate(entries, start=1)
        ),
        {number: entry.id or name for number, (name, entry) in enumerate(entries, start=1)},
        content.tick,
    )


def _place(interval: str) -> str:
    return f"setpoint_mw.{interval}" if interval else "setpoint_mw"


def _arriving(content: FlexMarketCaseFile) -> Iterator[tuple[str, ArrivingEntry]]:
    """Yield the orders in their order of arrival, each with its place in the file."""

    def entry(given: OfferEntry, side: str) -> ArrivingEntry:
        own = given.model_dump() | {"side": side}
        return ArrivingEntry.model_validate(own)

    for k, request in enumerate(content.requests):
        yield f"requests.{k}", entry(request, "request")
    for k, offer in enumerate(content.offers):
        yield f"offers.{k}", entry(offer, "offer")
    for k, each in enumerate(content.orders):
        yield f"orders.{k}", each


def _order_faults(
    content: FlexMarketCaseFile, intervals: Mapping[str, SetPoint]
) -> Iterator[Fault]:
    if content.orders and (content.requests or content.offers):
        detail = "give orders in their order of arrival, or requests and offers, not both"
        yield Fault("orders", detail)
    seen: set[str] = set()
    for place, each in _arriving(content):
        if each.bus not in content.buses:
            yield Fault(place, f"there is no bus {each.bus}")
        if (each.interval or "") not in intervals:
            known = ", ".join(intervals) or "none"
            named = "it names no interval" if each.interval is None else f"not {each.interval}"
            yield Fault(place, f"{named}; the intervals of setpoint_mw are {known}")
        if abs(each.quantity_mw * MW - round(each.quantity_mw * MW)) > _WHOLE:
            yield Fault(place, f"quantity_mw {each.quantity_mw:.12g} is not in whole watts")
        ticks = Decimal(str(each.price)) / content.tick
        if ticks != ticks.to_integral_value():
            yield Fault(place, f"price {each.price:g} is not a multiple of the tick {content.tick}")
        if isinstance(each, RequestEntry) and each.side == "offer" and each.type == "conditional":
            yield Fault(place, "only a request may be conditional")
        if each.id is not None and each.id in seen:
            yield Fault(place, f"there are two orders {each.id}")
        seen.add(each.id or place)


def _order(number: int, entry: ArrivingEntry, index: Mapping[str, int], tick: Decimal) -> FlexOrder:
    return FlexOrder(
        number,
        Side.BUY if entry.side == "request" else Side.SELL,
        int(Decimal(str(entry.price)) / tick),
        round(entry.quantity_mw * MW),
        bus=index[entry.bus],
        direction=_WAYS[entry.direction],
        interval=entry.interval or "",
        conditional=entry.type == "conditional",
    )
