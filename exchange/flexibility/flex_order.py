"""Orders for flexibility: a located change of power, offered or requested."""

from __future__ import annotations

from dataclasses import dataclass

from doe_allocation.procurement.choices import FlexDirection
from orderbook.order import LimitOrder, Side


@dataclass(slots=True, kw_only=True)
class FlexOrder(LimitOrder):
    """An order for flexibility; a request buys, an offer sells.

    Parameters
    ----------
    bus
        Index of its bus in the network.
    direction
        A match moves injection from the request's bus to the offer's bus where it is up, and the
        other way where it is down.
    interval
        Key of the interval.
    conditional
        Of a request: it may be activated or not, always together with all offers matched to it.
    """

    bus: int
    direction: FlexDirection
    interval: str
    conditional: bool = False

    @property
    def is_request(self) -> bool:
        """Whether it buys flexibility."""
        return self.side is Side.BUY

    @property
    def moves(self) -> int:
        """The change of injection at its own bus for each watt matched: 1 or -1."""
        rises = self.direction is FlexDirection.UPWARD
        return 1 if rises is not self.is_request else -1


@dataclass(frozen=True, slots=True)
class FlexMatch:
    """Watts of an offer matched to a request, and the gain per watt, bid less ask, in ticks."""

    offer_id: int
    request_id: int
    quantity_w: int
    gain_ticks: int


@dataclass(frozen=True, slots=True)
class FlexRefusal:
    """A pair whose prices cross and which the network does not allow; ``branch`` is full first."""

    offer_id: int
    request_id: int
    branch: str


@dataclass(frozen=True, slots=True)
class FlexFill:
    """What an order traded in one event.

    ``amount`` is paid by a request and received by an offer, in tick-watts.
    """

    order_id: int
    quantity_w: int
    amount: int


@dataclass(frozen=True, slots=True)
class FlexOutcome:
    """What one order led to."""

    fills: tuple[FlexFill, ...] = ()
    matches: tuple[FlexMatch, ...] = ()
    refusals: tuple[FlexRefusal, ...] = ()

    @property
    def welfare(self) -> int:
        """Bids less asks of what was matched, in tick-watts."""
        return sum(each.gain_ticks * each.quantity_w for each in self.matches)
