"""New limits at the interface while an interval trades: new holdings, smaller orders."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime

from doe_allocation.allocation.curtailment import Curtailment, CurtailmentPolicy
from exchange.handlers.buy_back import buy_back
from exchange.market.matched_flexibility import network_of
from exchange.state.holdings import Position
from exchange.state.recording import EventRecorder, alarm_kind
from exchange.state.session import Session
from exchange.vocabulary.commands import OpenSession, UpdateInterfaceLimits
from exchange.vocabulary.events import (
    HoldingCurtailed,
    HoldingRaised,
    InterfaceLimitsUpdated,
    OrderReduced,
)
from exchange.vocabulary.network_port import Networks, SecurityState
from exchange.vocabulary.reasons import CancelReason, Refusal, RefusalReason
from exchange.vocabulary.rules import ConnectionTerms
from orderbook.order import Side
from security_check.errors import GridError, InsecureError
from security_check.model.envelope import Direction, Envelope, EnvelopeSet


def update_interface_limits(
    command: UpdateInterfaceLimits, session: Session, record: EventRecorder, grid: Networks
) -> SecurityState | None:
    """Put the TSO's new interface limits into force, or refuse them and halt the interval.

    The TSO's limits hold at the interface even where no secure envelopes are found under them: the
    envelopes held may then be too large, so trading halts until an update succeeds.

    Returns
    -------
    The network's state for the envelopes now in force; ``None`` when the update was refused.
    """
    buy_back(session, command.interface_limits, record, grid)
    try:
        security = network_of(session, grid).reallocate(
            command.interface_limits,
            session.holdings.envelope_set(),
            _curtailment(record.state.rules.curtailment, session),
        )
        envelopes = security.envelopes()
        check_terms(envelopes, record.state.terms)
    except GridError as error:
        refuse_unsafe(error, session.start, command, record)
        return None
    record.add(
        InterfaceLimitsUpdated(
            sequence=record.next_sequence,
            time=record.now,
            update_id=command.update_id,
            interval=session.start,
            interface_limits=command.interface_limits,
        )
    )
    # All cuts come before any rise, so that the envelopes after each of these events are secure.
    for rising in (False, True):
        for envelope in envelopes:
            _set_limits(envelope, session, record, rising=rising)
    for _, _, position in session.holdings.positions():
        _cut_orders(position, Side.SELL, -position.sellable_w, record)
        _cut_orders(position, Side.BUY, -position.buyable_w, record)
    return security


def _curtailment(policy: CurtailmentPolicy, session: Session) -> Curtailment:
    in_turn = policy is CurtailmentPolicy.LAST_IN_FIRST_OUT
    return Curtailment(policy, session.holdings.acquired_w() if in_turn else None)


def check_terms(envelopes: EnvelopeSet, terms: Mapping[str, ConnectionTerms]) -> None:
    """Check that every envelope contains the fallback and stays within capacity.

    Raises
    ------
    InsecureError
        With the connection point and the watts.  An envelope that does not contain the fallback
        would let a device that loses contact break the network.
    """
    for envelope in envelopes:
        point = envelope.connection_point
        for direction, limit_w in (
            (Direction.INJECTION, envelope.injection_limit_w),
            (Direction.WITHDRAWAL, envelope.withdrawal_limit_w),
        ):
            fallback_w = terms[point].fallback_w(direction)
            capacity_w = terms[point].capacity_w(direction)
            if not fallback_w <= limit_w <= capacity_w:
                raise InsecureError(
                    point,
                    f"{direction} limit of {limit_w:,} W is not within the fallback limit of "
                    f"{fallback_w:,} W and the capacity of {capacity_w:,} W",
                )


def refuse_unsafe(
    error: GridError,
    interval: datetime,
    command: OpenSession | UpdateInterfaceLimits,
    record: EventRecorder,
) -> None:
    """Refuse a request without a secure answer, raise an alarm, halt an interval that trades."""
    kind = alarm_kind(error)
    record.refuse(command, Refusal(RefusalReason(kind.value), str(error)))
    trades = isinstance(command, UpdateInterfaceLimits)
    record.alarm(kind, interval, str(error), halts_trading=trades)


def _set_limits(
    envelope: Envelope, session: Session, record: EventRecorder, *, rising: bool
) -> None:
    point = envelope.connection_point
    for direction, to_w, element in (
        (Direction.INJECTION, envelope.injection_limit_w, envelope.injection_bottleneck),
        (Direction.WITHDRAWAL, envelope.withdrawal_limit_w, envelope.withdrawal_bottleneck),
    ):
        from_w = session.holdings.position(direction, point).held_w
        if to_w == from_w or (to_w > from_w) is not rising:
            continue
        changed = HoldingCurtailed if to_w < from_w else HoldingRaised
        event = changed(
            sequence=record.next_sequence,
            time=record.now,
            interval=session.start,
            participant=record.state.terms[point].participant,
            connection_point=point,
            direction=direction,
            from_w=from_w,
            to_w=to_w,
            element=element,
        )
        if isinstance(event, HoldingCurtailed):
            price_ticks = record.state.rules.compensation_price_ticks
            event = replace(event, compensation=price_ticks * (from_w - to_w))
        record.add(event)


def _cut_orders(position: Position, side: Side, excess_w: int, record: EventRecorder) -> None:
    """Reduce open orders of a side, newest first, by at least ``excess_w``, in whole lots.

    An order whose conditions could no longer be met is cancelled instead.
    """
    lot_w = record.state.rules.lot_w
    for order in reversed(position.orders_of(side)):
        if excess_w <= 0:
            return
        cut_w = -(-excess_w // lot_w) * lot_w
        excess_w -= order.remaining_w
        if cut_w >= order.remaining_w or not order.may_be_cut_by(cut_w):
            record.cancel(order, CancelReason.CURTAILED)
            continue
        record.add(
            OrderReduced(
                sequence=record.next_sequence,
                time=record.now,
                order_id=order.order_id,
                participant=order.participant,
                client_order_id=order.client_order_id,
                reduced_by_w=cut_w,
                remaining_w=order.remaining_w - cut_w,
            )
        )
