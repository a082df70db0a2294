"""Controls of the market operator: collar, risk limits, kill switches, halts, buy-backs."""

from __future__ import annotations

from dataclasses import fields

from exchange.handlers.admission import check_interval
from exchange.state.recording import EventRecorder
from exchange.state.session import Session
from exchange.state.state import State
from exchange.vocabulary.commands import (
    ControlCommand,
    HaltTrading,
    ResumeTrading,
    SetBuyBack,
    SetKillSwitch,
    SetPriceCollar,
    SetRiskLimits,
)
from exchange.vocabulary.events import (
    BuyBackSet,
    ControlEvent,
    KillSwitchSet,
    PriceCollarSet,
    RiskLimitsSet,
    TradingHalted,
    TradingResumed,
)
from exchange.vocabulary.flexibility import FlexibilityOrder
from exchange.vocabulary.orders import Order
from exchange.vocabulary.reasons import CancelReason, Refusal, RefusalReason


def apply_control(command: ControlCommand, record: EventRecorder) -> list[Session]:
    """Put a control into force, or refuse it.

    Open orders that are no longer allowed are cancelled.

    Returns
    -------
    The sessions that may trade again.
    """
    state = record.state
    refusal = _check(command, state)
    if refusal is not None:
        record.refuse(command, refusal)
        return []
    record.add(_event(command, record))
    match command:
        case SetPriceCollar():
            outside = (o for o in _open_orders(state) if not _in_collar(o, state))
            record.cancel_all(outside, CancelReason.PRICE_COLLAR)
        case SetKillSwitch(engaged=True):
            killed = (o for o in _open_orders(state) if state.controls.is_killed(o.participant))
            record.cancel_all(killed, CancelReason.KILL_SWITCH)
        case ResumeTrading():
            sessions = [each for each in state.sessions.values() if each.is_open]
            return [each for each in sessions if state.may_trade(each)]
    return []


def _check(command: ControlCommand, state: State) -> Refusal | None:
    match command:
        case SetPriceCollar():
            fault = command.collar.fault()
        case SetRiskLimits():
            fault = command.limits.fault()
        case SetBuyBack():
            fault = command.wanted.fault()
        case _:
            fault = None
    if fault is not None:
        return Refusal(RefusalReason.CONTROL_INVALID, fault)
    if isinstance(command, HaltTrading | ResumeTrading | SetBuyBack):
        return None if command.interval is None else check_interval(command.interval, state)
    if isinstance(command, SetPriceCollar) or command.participant is None:
        return None
    if command.participant not in state.participants:
        return Refusal(
            RefusalReason.UNKNOWN_PARTICIPANT,
            f"there is no participant {command.participant} in this area",
        )
    return None


_EVENTS: dict[type[ControlCommand], type[ControlEvent]] = {
    SetPriceCollar: PriceCollarSet,
    SetRiskLimits: RiskLimitsSet,
    SetKillSwitch: KillSwitchSet,
    SetBuyBack: BuyBackSet,
    HaltTrading: TradingHalted,
    ResumeTrading: TradingResumed,
}
"""The event of each control; its fields have the names of the command's fields."""


def _event(command: ControlCommand, record: EventRecorder) -> ControlEvent:
    asked = {field.name: getattr(command, field.name) for field in fields(command)}
    return _EVENTS[type(command)](sequence=record.next_sequence, time=record.now, **asked)


def _open_orders(state: State) -> list[Order | FlexibilityOrder]:
    return [*state.orders.values(), *state.flexible_orders.values()]


def _in_collar(order: Order | FlexibilityOrder, state: State) -> bool:
    return state.controls.collar.contains(order.limit_price_ticks)
