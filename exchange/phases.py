"""The phases of an interval's trading: call, auction, continuous.

In a *call* orders come and go, and nothing trades.  It ends in an *auction*, which trades all that
raises welfare at the local prices of one clearing, and lasts no time.  In *continuous* trading
every order is cleared when it comes.  The rules say which phases there are:

- an opening auction: the first stretch after the opening is a call;
- a closing auction: the last stretch before the gate is one;
- frequent batches: all of the time is, with an auction every so often, in all intervals at once.
"""

from __future__ import annotations

from datetime import UTC, datetime

from exchange.events import PhaseChanged
from exchange.reasons import Phase
from exchange.record import Record
from exchange.rules import MarketRules
from exchange.session import Session

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def first_phase(
    rules: MarketRules, opened_at: datetime, gate_closes_at: datetime
) -> tuple[Phase, datetime]:
    """Return the phase that an interval opens with, and until when."""
    if rules.opening_auction:
        return Phase.CALL, min(opened_at + rules.opening_auction, gate_closes_at)
    return next_phase(rules, opened_at, gate_closes_at)


def next_phase(
    rules: MarketRules, now: datetime, gate_closes_at: datetime
) -> tuple[Phase, datetime]:
    """Return the phase after an auction, or after the opening, and until when."""
    if rules.batch_every:
        past = (now - _EPOCH) // rules.batch_every
        return Phase.CALL, min(_EPOCH + (past + 1) * rules.batch_every, gate_closes_at)
    closing = gate_closes_at - rules.closing_auction
    if now < closing:
        return Phase.CONTINUOUS, closing
    return Phase.CALL, gate_closes_at


def change_phase(session: Session, phase: Phase, until: datetime, record: Record) -> None:
    """Let an interval enter a phase."""
    record.add(
        PhaseChanged(
            sequence=record.next_sequence,
            time=record.now,
            interval=session.start,
            phase=phase,
            until=until,
        )
    )
