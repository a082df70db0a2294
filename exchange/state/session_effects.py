"""The effects of the events of intervals, controls and refusals."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, get_args

from exchange.state.holdings import Holdings
from exchange.state.request_answers import RequestAnswer
from exchange.state.session import Session
from exchange.state.state import State
from exchange.vocabulary.events import (
    AlarmRaised,
    BuyBackSet,
    ControlEvent,
    Event,
    GateClosed,
    HoldingCurtailed,
    HoldingRaised,
    InterfaceLimitsUpdated,
    KillSwitchSet,
    PhaseChanged,
    PriceCollarSet,
    Refused,
    RiskLimitsSet,
    SessionOpened,
    TradingHalted,
    TradingResumed,
)
from exchange.vocabulary.rules import NO_COLLAR, OPERATOR, TSO


def set_control(state: State, event: ControlEvent) -> None:
    """Put a control of the market operator into force."""
    match event:
        case PriceCollarSet():
            state.controls.collar = NO_COLLAR if event.collar == NO_COLLAR else event.collar
        case RiskLimitsSet():
            state.controls.set_limits(event.participant, event.limits)
        case KillSwitchSet():
            state.controls.kill(event.participant, engaged=event.engaged)
        case BuyBackSet():
            state.sessions[event.interval].set_buy_back(event.direction, event.wanted)
        case TradingHalted() | TradingResumed():
            halted = isinstance(event, TradingHalted)
            if event.interval is None:
                state.controls.halted = halted
            else:
                state.sessions[event.interval].suspended = halted
    state.answers.remember(OPERATOR, event.control_id, RequestAnswer(event))


def remember_refusal(state: State, event: Refused) -> None:
    """Remember a refusal whose request may come again."""
    if event.request_id is None:
        return
    # A repeated request is recognised by its content.  A refusal of a used id has none, so it does
    # not replace the answer that the id already has.
    if event.content:
        state.answers.remember(event.participant, event.request_id, RequestAnswer(event))
    else:
        state.answers.renew(event.participant, event.request_id)


def open_session(state: State, event: SessionOpened) -> None:
    """Open an interval."""
    state.sessions[event.start] = Session(
        start=event.start,
        end=event.end,
        gate_closes_at=event.gate_closes_at,
        interface_limits=event.interface_limits,
        holdings=Holdings(state.terms, event.envelopes),
        phase=event.phase,
        phase_until=event.phase_until,
    )
    state.phase_deadlines.add((state.sessions[event.start].phase_until, event.start))


def close_gate(state: State, event: GateClosed) -> None:
    """Close the gate of an interval, and forget sessions past their time."""
    session = state.sessions[event.interval]
    session.closed_at = event.time
    state.metering.expect(event, session.end)
    state.phase_deadlines.remove((session.phase_until, session.start))
    # A gate closed early is kept until its planned time, or the interval could open again.
    before = event.time - state.rules.intervals_kept_for
    for start, old in list(state.sessions.items()):
        if old.closed_at is not None and max(old.closed_at, old.gate_closes_at) <= before:
            del state.sessions[start]


def change_phase(state: State, event: PhaseChanged) -> None:
    """Let an interval enter a phase."""
    session = state.sessions[event.interval]
    state.phase_deadlines.remove((session.phase_until, session.start))
    session.phase, session.phase_until = event.phase, event.until
    state.phase_deadlines.add((session.phase_until, session.start))


def set_interface_limits(state: State, event: InterfaceLimitsUpdated) -> None:
    """Put new limits at the interface into force; an interval they halted trades again."""
    session = state.sessions[event.interval]
    session.interface_limits = event.interface_limits
    session.halted = False
    state.answers.remember(TSO, event.update_id, RequestAnswer(event))


def set_holding(state: State, event: HoldingCurtailed | HoldingRaised) -> None:
    """Put a curtailed or raised limit of a connection point into force."""
    state.sessions[event.interval].holdings.set_limit(
        event.direction, event.connection_point, event.to_w, event.element
    )


def raise_alarm(state: State, event: AlarmRaised) -> None:
    """Halt trading in an interval, if the alarm says so."""
    if event.halts_trading:
        state.sessions[event.interval].halted = True


SESSION_EFFECTS: Mapping[type[Event], Callable[[State, Any], None]] = {
    SessionOpened: open_session,
    PhaseChanged: change_phase,
    InterfaceLimitsUpdated: set_interface_limits,
    HoldingCurtailed: set_holding,
    HoldingRaised: set_holding,
    AlarmRaised: raise_alarm,
    GateClosed: close_gate,
    Refused: remember_refusal,
    **dict.fromkeys(get_args(ControlEvent), set_control),
}
"""What each event of intervals, controls and refusals changes in the state."""
