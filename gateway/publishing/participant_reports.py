"""Reports of events to the participants and roles that they concern.

:mod:`gateway.publishing.publisher` adds numbers, times and topics.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
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
    MassCancelled,
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
from exchange.vocabulary.flexibility_events import FlexibilityAccepted
from exchange.vocabulary.orders import Leg
from exchange.vocabulary.rules import (
    DSO_ACCOUNTS,
    EVERY_PARTICIPANT,
    METERING,
    OPERATOR,
    TSO,
    MarketRules,
)
from exchange.vocabulary.safeguard_events import SafeguardSet, SessionLost
from exchange.vocabulary.settlement_events import MeteringClosed, MeterRead, StatementIssued
from gateway.messages import participant_reports as reports
from gateway.messages.flexibility import FlexibilityAcceptedReport, flexibility_entries
from gateway.publishing.trade_prints import average_ticks, price_text

_CONTROLS: dict[type[Event], str] = {
    PriceCollarSet: "price_collar",
    RiskLimitsSet: "risk_limits",
    KillSwitchSet: "kill_switch",
    BuyBackSet: "buy_back",
    TradingHalted: "halt",
    TradingResumed: "resume",
}
"""The ``control`` of a control report by the event that puts it into force."""


@dataclass(frozen=True, slots=True)
class ParticipantReport:
    """A report before it has its number: receiver, form and entries.

    Parameters
    ----------
    receiver
        A participant, ``"tso"``, ``"operator"`` or ``"metering"``.
    form
        The message.
    entries
        What it says, beside what ``source`` says under names of the form.
    source
        An event or a part of one.
    """

    receiver: str
    form: type[reports.Report]
    entries: dict[str, Any]
    source: object | None = None

    @classmethod
    def of(
        cls, receiver: str, form: type[reports.Report], source: object, **entries: Any
    ) -> ParticipantReport:
        """Return a report of what ``source`` says under the names of the form, and ``entries``."""
        return cls(receiver, form, entries, source)

    def content(self) -> dict[str, Any]:
        """Return all that it says."""
        if self.source is None:
            return self.entries
        return self.form.entries_of(self.source, **self.entries)


class ParticipantReports:
    """Makes reports of events.

    Parameters
    ----------
    rules
        For the tick: prices and amounts are published in EUR.
    """

    def __init__(self, rules: MarketRules) -> None:
        self._rules = rules

    def of_event(self, event: Event, *, repeated: bool) -> ParticipantReport | None:
        """Return the report of an event as a whole; ``None`` where an event has none.

        Parameters
        ----------
        event
            The event.
        repeated
            Whether the same request came again, and this repeats the answer to the first.
        """
        return (
            self._of_order(event, repeated)
            or self._of_safeguard(event, repeated)
            or self._of_interval(event, repeated)
            or self._of_operator(event, repeated)
        )

    def of_fill(self, event: Traded, fill: Fill) -> ParticipantReport:
        """Return the report of a clearing to the owner of one order in it."""
        return ParticipantReport.of(
            fill.participant,
            reports.TradedReport,
            fill,
            trade_id=event.trade_id,
            binding_element=event.binding_element,
            price=price_text(average_ticks(fill), self._rules),
            amount=self._eur(fill.amount),
        )

    def of_reading(self, event: MeterRead) -> ParticipantReport:
        """Return the report of a reading to the owner of the connection point."""
        return ParticipantReport.of(
            event.participant,
            reports.MeteredReport,
            event,
            penalty=self._eur(event.penalty),
            reversed_penalty=self._eur(event.reversed_penalty),
            corrects=event.replaces is not None,
        )

    def of_missing_readings(self, event: MeteringClosed) -> Iterator[ParticipantReport]:
        """Yield a report to each owner of connection points without a reading."""
        points: dict[str, list[str]] = {}
        for each in event.missing:
            points.setdefault(each.participant, []).append(each.connection_point)
        for participant, own in points.items():
            entries = {"interval": event.interval, "connection_points": tuple(own)}
            yield ParticipantReport(participant, reports.ReadingMissingReport, entries)

    def _of_order(self, event: Event, repeated: bool) -> ParticipantReport | None:
        """Return the report of an order to its owner."""
        form: type[reports.Report]
        entries: dict[str, Any] = {}
        match event:
            case OrderAccepted():
                return self._accepted(event, repeated)
            case FlexibilityAccepted():
                return self._flexibility(event, repeated)
            case JointOrderAccepted():
                legs = tuple(
                    self._leg(number, leg)
                    for number, leg in enumerate(event.legs, start=event.order_id)
                )
                form = reports.JointAcceptedReport
                entries = {"request_id": event.client_order_id, "legs": legs, "repeated": repeated}
            case Refused():
                form, entries = reports.RefusedReport, {"repeated": repeated}
            case OrderAmended():
                form = reports.AmendedReport
                entries = {
                    "request_id": event.answers.request_id,
                    "price": self._price(event.limit_price_ticks),
                    "repeated": repeated,
                }
            case OrderRefilled():
                form = reports.RefilledReport
                entries = {"displayed_quantity_w": event.displayed_w}
            case OrderCancelled():
                form = reports.CancelledReport
                answers = event.answers
                entries = {
                    "request": None if answers is None else answers.request,
                    "request_id": None if answers is None else answers.request_id,
                    "repeated": repeated,
                }
            case MassCancelled():
                form = reports.MassCancelledReport
                entries = {"request_id": event.answers.request_id, "repeated": repeated}
            case OrderReduced():
                form = reports.ReducedReport
            case MatchBlocked():
                # The event's sentence names the other side's connection point; no report has it.
                form = reports.BlockedReport
            case _:
                return None
        return ParticipantReport.of(event.participant, form, event, **entries)

    def _accepted(self, event: OrderAccepted, repeated: bool) -> ParticipantReport:
        form, terms = reports.AcceptedReport, event.terms
        conditions = terms.conditions
        return ParticipantReport.of(
            event.participant,
            form,
            event,
            **form.entries_of(terms) | form.entries_of(conditions),
            request_id=event.client_order_id,
            order_type="market" if terms.limit_price_ticks is None else "limit",
            price=self._price(event.limit_price_ticks),
            minimum_quantity_w=conditions.minimum_w,
            displayed_quantity_w=conditions.displayed_w,
            repeated=repeated,
        )

    def _flexibility(self, event: FlexibilityAccepted, repeated: bool) -> ParticipantReport:
        return ParticipantReport.of(
            event.participant,
            FlexibilityAcceptedReport,
            event,
            **flexibility_entries(event.terms, event.bus, self._price),
            request_id=event.client_order_id,
            repeated=repeated,
        )

    def _of_safeguard(self, event: Event, repeated: bool) -> ParticipantReport | None:
        """Return the report of a safeguard to the participant that it guards."""
        form: type[reports.Report]
        entries: dict[str, Any] = {}
        match event:
            case SafeguardSet():
                form = reports.SafeguardReport
                entries = {"request_id": event.answers.request_id, "repeated": repeated}
            case SessionLost():
                form = reports.SessionLostReport
            case _:
                return None
        return ParticipantReport.of(event.participant, form, event, **entries)

    def _of_interval(self, event: Event, repeated: bool) -> ParticipantReport | None:
        """Return the report of a limit, a statement or a reading."""
        match event:
            case HoldingCurtailed():
                return self._limit_changed(event, "curtailed", event.compensation)
            case HoldingRaised():
                return self._limit_changed(event, "raised", 0)
            case StatementIssued():
                account = event.participant
                return ParticipantReport.of(
                    OPERATOR if account in DSO_ACCOUNTS else account,
                    reports.StatementReport,
                    event,
                    account=account,
                    paid=self._eur(event.paid),
                    received=self._eur(event.received),
                    compensation=self._eur(event.compensation),
                    penalties=self._eur(event.penalties),
                    flexibility=self._eur(event.flexibility),
                    balance=self._eur(event.balance),
                )
            case MeterRead():
                form = reports.ReadingReport
                key = event.reading_id
                return ParticipantReport.of(
                    METERING, form, event, request_id=key, repeated=repeated
                )
            case MeteringClosed():
                missing = tuple(each.connection_point for each in event.missing)
                entries = {"interval": event.interval, "missing": missing}
                return ParticipantReport(METERING, reports.ReadingsClosedReport, entries)
        return None

    def _limit_changed(
        self, event: HoldingCurtailed | HoldingRaised, kind: str, compensation: int
    ) -> ParticipantReport:
        return ParticipantReport.of(
            event.participant,
            reports.LimitChangedReport,
            event,
            type=kind,
            compensation=self._eur(compensation),
        )

    def _of_operator(self, event: Event, repeated: bool) -> ParticipantReport | None:
        """Return the report of new limits to the TSO, or of a control to the market operator."""
        match event:
            case InterfaceLimitsUpdated():
                return ParticipantReport.of(
                    TSO,
                    reports.LimitsReport,
                    event.interface_limits,
                    request_id=event.update_id,
                    update_id=event.update_id,
                    interval=event.interval,
                    repeated=repeated,
                )
            case (
                PriceCollarSet()
                | RiskLimitsSet()
                | KillSwitchSet()
                | TradingHalted()
                | TradingResumed()
                | BuyBackSet()
            ):
                whom = EVERY_PARTICIPANT if hasattr(event, "participant") else None
                entries = {
                    "request_id": event.control_id,
                    "control_id": event.control_id,
                    "control": _CONTROLS[type(event)],
                    "participant": getattr(event, "participant", None) or whom,
                    "interval": getattr(event, "interval", None),
                    "repeated": repeated,
                }
                return ParticipantReport(OPERATOR, reports.ControlReport, entries)
        return None

    def _leg(self, number: int, leg: Leg) -> reports.JointLeg:
        form, price = reports.JointLeg, self._price(leg.limit_price_ticks)
        return form.model_construct(**form.entries_of(leg, order_id=number, price=price))

    def _price(self, ticks: int) -> str:
        return f"{self._rules.price_in_eur_per_kw(ticks):f}"

    def _eur(self, tick_watts: int) -> str:
        return f"{self._rules.amount_in_eur(tick_watts):f}"
