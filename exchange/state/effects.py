"""What events change: the state follows from them, applied in order by one function.

Deciding (:mod:`exchange.engine`) and replaying both go through :func:`apply`, so a replay asks
neither the network nor a solver.
"""

from __future__ import annotations

from exchange.accounts.bookings import entries_of
from exchange.state.order_effects import accept, accept_joint, amend, cancel, reduce, refill, trade
from exchange.state.session_effects import (
    change_phase,
    close_gate,
    open_session,
    remember_refusal,
    set_control,
    set_interface_limits,
)
from exchange.state.state import State
from exchange.vocabulary.events import (
    AlarmRaised,
    AnswerRepeated,
    BuyBackSet,
    Event,
    GateClosed,
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
    PhaseChanged,
    PriceCollarSet,
    Refused,
    RiskLimitsSet,
    SessionOpened,
    Traded,
    TradingHalted,
    TradingResumed,
)
from exchange.vocabulary.settlement_events import MeteringClosed, MeterRead, StatementIssued


def apply(state: State, event: Event) -> None:
    """Let an event take effect.  The only function by which the state changes.

    Raises
    ------
    ValueError
        When the event is not the next in sequence.
    """
    if event.sequence != state.sequence + 1:
        raise ValueError(f"event {event.sequence} cannot follow event {state.sequence}")
    state.sequence = event.sequence
    state.time = event.time
    for entry in entries_of(event):
        state.ledger.book(entry)
    match event:
        case OrderAccepted():
            accept(state, event)
        case JointOrderAccepted():
            accept_joint(state, event)
        case Traded():
            trade(state, event)
        case OrderCancelled():
            cancel(state, event)
        case OrderAmended():
            amend(state, event)
        case OrderRefilled():
            refill(state, event)
        case OrderReduced():
            reduce(state, event)
        case Refused():
            remember_refusal(state, event)
        case SessionOpened():
            open_session(state, event)
        case HoldingCurtailed() | HoldingRaised():
            state.sessions[event.interval].holdings.set_limit(
                event.direction, event.connection_point, event.to_w, event.element
            )
        case InterfaceLimitsUpdated():
            set_interface_limits(state, event)
        case PhaseChanged():
            change_phase(state, event)
        case AlarmRaised():
            if event.halts_trading:
                state.sessions[event.interval].halted = True
        case GateClosed():
            close_gate(state, event)
        case MeterRead():
            state.metering.take(event)
        case MeteringClosed():
            state.metering.close(event.interval)
        case StatementIssued():
            state.ledger.settle(event.interval, event.participant)
        case (
            PriceCollarSet()
            | RiskLimitsSet()
            | KillSwitchSet()
            | TradingHalted()
            | TradingResumed()
            | BuyBackSet()
        ):
            set_control(state, event)
        case MatchBlocked() | AnswerRepeated():
            pass  # They tell, and change nothing.
        case _:
            raise TypeError(f"{type(event).__name__} is no event of this exchange")
