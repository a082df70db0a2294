"""What buyers and a provider agreed on: who pays what, and what short delivery costs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from fractions import Fraction

from exchange.flexibility.settlement.delivery import Delivery


@dataclass(frozen=True, slots=True)
class PenaltyTerms:
    """What short delivery costs.

    Parameters
    ----------
    energy_price_ticks
        Ticks per kWh that was ordered, not delivered, not excused and beyond the tolerance.
    tolerance
        The part of each interval's order that may be missing without penalty, 0 to 1.
    least_delivered_share
        The step rule: when less than this part of an activation was delivered or excused, the
        availability of the window is lost.  0 to 1; with 0 it is never lost.
    availability_price_ticks
        Ticks per kW that was reserved, not available and not forbidden.

    Raises
    ------
    ValueError
        When a price is below 0, or a part outside 0 to 1.
    """

    energy_price_ticks: int = 0
    tolerance: Fraction = Fraction(0)
    least_delivered_share: Fraction = Fraction(0)
    availability_price_ticks: int = 0

    def __post_init__(self) -> None:
        for name in ("energy_price_ticks", "availability_price_ticks"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} is {getattr(self, name)}; a penalty is not below 0")
        for name in ("tolerance", "least_delivered_share"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} is {getattr(self, name)}; it must be from 0 to 1")


@dataclass(frozen=True, slots=True)
class AvailabilityWindow:
    """Power that is held ready over a window.

    Parameters
    ----------
    reserved_w
        What was bought, whole watts.
    price_ticks
        For the window, ticks per kW, >= 0.
    unavailable_w
        What was not available, by declaration or test.
    forbidden_w
        The part of that which the network's envelope forbade: it is paid, without penalty.

    Raises
    ------
    ValueError
        When ``0 <= forbidden <= unavailable <= reserved`` does not hold, or the price is below 0.
    """

    reserved_w: int
    price_ticks: int
    unavailable_w: int = 0
    forbidden_w: int = 0

    def __post_init__(self) -> None:
        if not 0 <= self.forbidden_w <= self.unavailable_w <= self.reserved_w:
            raise ValueError(
                f"of {self.reserved_w} W reserved, {self.unavailable_w} W were not available and "
                f"{self.forbidden_w} W of these forbidden; 0 <= forbidden <= unavailable <= "
                "reserved is needed"
            )
        if self.price_ticks < 0:
            raise ValueError(f"the availability price is {self.price_ticks}; it is not below 0")

    @property
    def missing_w(self) -> int:
        """What was neither available nor forbidden."""
        return self.unavailable_w - self.forbidden_w


@dataclass(frozen=True, slots=True)
class FlexAgreement:
    """One window of a contract, or one trade of a spot session.

    Parameters
    ----------
    agreement_id
        Its id.
    provider
        The account that sells.
    buyers
        The accounts that buy, with whole weights above 0; they pay in this proportion.
    window
        The delivery interval on which all amounts are booked: the first of the window.
    utilisation_price_ticks
        Ticks per kWh; below 0 the provider pays.
    penalties
        What short delivery costs.
    availability
        ``None`` where nothing is held ready.

    Raises
    ------
    ValueError
        When there is no buyer, a weight is not above 0, or the provider is among the buyers.
    """

    agreement_id: str
    provider: str
    buyers: Mapping[str, int]
    window: datetime
    utilisation_price_ticks: int
    penalties: PenaltyTerms
    availability: AvailabilityWindow | None = None

    def __post_init__(self) -> None:
        check_buyers(self.agreement_id, self.provider, self.buyers)


@dataclass(frozen=True, slots=True)
class Call:
    """An activation under an agreement; ``buyers`` where others than the agreement's called it."""

    delivery: Delivery
    buyers: Mapping[str, int] | None = None


def check_buyers(name: str, provider: str, buyers: Mapping[str, int]) -> None:
    """Check that there is a buyer with a weight above 0, and none is the provider.

    Raises
    ------
    ValueError
        With the name that is given.
    """
    if not buyers:
        raise ValueError(f"{name}: it has no buyer")
    if provider in buyers:
        raise ValueError(f"{name}: {provider} would buy from itself")
    for buyer, weight in buyers.items():
        if weight <= 0:
            raise ValueError(f"{name}: the weight of {buyer} is {weight}; it must be above 0")
