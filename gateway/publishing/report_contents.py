"""What a report says of an event, and to whom: the private part of what goes out.

Numbers and addresses are added by :mod:`gateway.publishing.publisher`.
"""

from __future__ import annotations

from typing import Any

from exchange.vocabulary.events import (
    BuyBackSet,
    Event,
    Fill,
    HoldingCurtailed,
    HoldingRaised,
    InterfaceLimitsUpdated,
    JointOrderAccepted,
    KillSwitchSet,
    MatchBlocked,
    OrderAccepted,
    OrderAmended,
    OrderCancelled,
    OrderReduced,
    OrderRefilled,
    PriceCollarSet,
    Refused,
    RiskLimitsSet,
    Traded,
    TradingHalted,
    TradingResumed,
)
from exchange.vocabulary.orders import Leg
from exchange.vocabulary.rules import DSO_ACCOUNTS, MarketRules
from exchange.vocabulary.settlement_events import MeteringClosed, MeterRead, StatementIssued
from gateway.messages import reports as out
from gateway.messages.topics import METERING, OPERATOR, TSO
from gateway.publishing.trade_prints import average_ticks, price_text

_CONTROLS: dict[type[Event], str] = {
    PriceCollarSet: "price_collar",
    RiskLimitsSet: "risk_limits",
    KillSwitchSet: "kill_switch",
    BuyBackSet: "buy_back",
    TradingHalted: "halt",
    TradingResumed: "resume",
}

Addressed = tuple[str, type[out._Report], dict[str, Any]]
"""To whom a report goes, its form, and what it says beside the numbers all reports have."""


def fields(source: object, names: str) -> dict[str, Any]:
    """Return what something says under some names, which are parted by blanks."""
    return {name: getattr(source, name) for name in names.split()}


class Contents:
    """Says what events mean to those whom they concern.

    Parameters
    ----------
    rules
        For the tick: prices and amounts are published in EUR.
    """

    def __init__(self, rules: MarketRules) -> None:
        self._rules = rules

    def of_event(self, event: Event, *, repeated: bool) -> Addressed | None:
        """Return what is reported of an event as a whole; ``None`` where nobody is told.

        Parameters
        ----------
        event
            What has happened.
        repeated
            Whether it has been told before, and somebody has asked again.
        """
        return (
            self._of_order(event, repeated)
            or self._of_interval(event, repeated)
            or self._of_operator(event, repeated)
        )

    def of_fill(self, event: Traded, fill: Fill) -> Addressed:
        """Return what the owner of an order is told of its part in a clearing."""
        names = "client_order_id order_id side connection_point direction interval quantity_w"
        content = fields(event, "trade_id binding_element") | fields(fill, names)
        content["price"] = price_text(average_ticks(fill), self._rules)
        content["amount"] = self._amount(fill.amount)
        return fill.participant, out.TradedReport, content

    def of_reading(self, event: MeterRead) -> Addressed:
        """Return what the owner of a connection point is told of a reading."""
        names = "connection_point interval injection_w withdrawal_w injection_limit_w"
        content = fields(event, f"{names} withdrawal_limit_w tolerance_w breach_w")
        for name in ("penalty", "reversed_penalty"):
            content[name] = self._amount(getattr(event, name))
        content["corrects"] = event.replaces is not None
        return event.participant, out.MeteredReport, content

    def _of_order(self, event: Event, repeated: bool) -> Addressed | None:
        """Return what the owner of an order is told of it."""
        match event:
            case OrderAccepted():
                terms = event.terms
                names = "connection_point direction interval side"
                more = "quantity_w time_in_force expires_at"
                content = fields(event, "client_order_id order_id")
                content |= fields(terms, f"{names} {more}")
                content["price"] = self._price(event.limit_price_ticks)
                content["order_type"] = "limit" if terms.limit_price_ticks is not None else "market"
                conditions = terms.conditions
                content |= fields(conditions, "post_only all_or_none self_trade_prevention")
                content["minimum_quantity_w"] = conditions.minimum_w
                content["displayed_quantity_w"] = conditions.displayed_w
                content["repeated"] = repeated
                return event.participant, out.AcceptedReport, content
            case JointOrderAccepted():
                names = "client_order_id order_id all_or_none expires_at self_trade_prevention"
                content = fields(event, names)
                content["legs"] = tuple(
                    self._leg(number, leg)
                    for number, leg in enumerate(event.legs, start=event.order_id)
                )
                content["repeated"] = repeated
                return event.participant, out.JointAcceptedReport, content
            case Refused():
                content = fields(event, "client_order_id request reason detail")
                content["repeated"] = repeated
                return event.participant, out.RefusedReport, content
            case OrderAmended():
                content = fields(event, "client_order_id order_id quantity_w remaining_w")
                content["price"] = self._price(event.limit_price_ticks)
                return event.participant, out.AmendedReport, content
            case OrderRefilled():
                content = fields(event, "client_order_id order_id remaining_w")
                content["displayed_quantity_w"] = event.displayed_w
                return event.participant, out.RefilledReport, content
            case OrderCancelled():
                content = fields(event, "client_order_id order_id remaining_w reason")
                content["repeated"] = repeated
                return event.participant, out.CancelledReport, content
            case OrderReduced():
                content = fields(event, "client_order_id order_id reduced_by_w remaining_w")
                return event.participant, out.ReducedReport, content
            case MatchBlocked():
                # Its sentence names the other side's connection point, so it stays inside.
                content = fields(event, "client_order_id order_id blocked_w element")
                return event.participant, out.BlockedReport, content
        return None

    def _of_interval(self, event: Event, repeated: bool) -> Addressed | None:
        """Return what is told of limits, statements and readings."""
        match event:
            case HoldingCurtailed() | HoldingRaised():
                content = fields(event, "connection_point direction interval from_w to_w element")
                curtailed = isinstance(event, HoldingCurtailed)
                content["type"] = "curtailed" if curtailed else "raised"
                content["compensation"] = self._amount(getattr(event, "compensation", 0))
                return event.participant, out.LimitChangedReport, content
            case StatementIssued():
                content = fields(event, "interval bought_w sold_w")
                for name in ("paid", "received", "compensation", "penalties", "balance"):
                    content[name] = self._amount(getattr(event, name))
                content["account"] = event.participant
                owner = OPERATOR if event.participant in DSO_ACCOUNTS else event.participant
                return owner, out.StatementReport, content
            case MeterRead():
                content = fields(event, "reading_id connection_point interval breach_w replaces")
                content["repeated"] = repeated
                return METERING, out.ReadingReport, content
            case MeteringClosed():
                missing = tuple(each.connection_point for each in event.missing)
                content = {"interval": event.interval, "missing": missing}
                return METERING, out.ReadingsClosedReport, content
        return None

    def _of_operator(self, event: Event, repeated: bool) -> Addressed | None:
        """Return what the TSO and the operator are told of what they have set."""
        match event:
            case InterfaceLimitsUpdated():
                limits = event.interface_limits
                names = "voltage_min_pu voltage_max_pu unbalance_pu"
                names += " injection_limit_w withdrawal_limit_w"
                names += " reactive_min_var reactive_max_var"
                content = fields(event, "update_id interval") | fields(limits, names)
                content["repeated"] = repeated
                return TSO, out.LimitsReport, content
            case (
                PriceCollarSet()
                | RiskLimitsSet()
                | KillSwitchSet()
                | TradingHalted()
                | TradingResumed()
                | BuyBackSet()
            ):
                content = {"control_id": event.control_id, "control": _CONTROLS[type(event)]}
                for name in ("participant", "interval"):
                    content[name] = getattr(event, name, None)
                content["repeated"] = repeated
                return OPERATOR, out.ControlReport, content
        return None

    def _leg(self, number: int, leg: Leg) -> out.JointLeg:
        names = "connection_point direction interval side quantity_w"
        price = self._price(leg.limit_price_ticks)
        return out.JointLeg.model_construct(order_id=number, **fields(leg, names), price=price)

    def _price(self, ticks: int) -> str:
        return f"{self._rules.price_in_eur_per_kw(ticks):f}"

    def _amount(self, tick_watts: int) -> str:
        return f"{self._rules.amount_in_eur(tick_watts):f}"
