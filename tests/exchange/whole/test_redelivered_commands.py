"""Days on which every command may be delivered again, at any later moment and any number of times.

The other of two exchanges hears each command once.  Both must have the same events, but for the
answers that were repeated, and the same state in every part.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from linear_grid import LinearGrid
from sampling import examples
from structure import LEFT_OUT, UNORDERED, structure
from wild_days import WildDay, wild_rules

from exchange.engine import Exchange
from exchange.state.state import State
from exchange.vocabulary.commands import (
    AmendOrder,
    CancelOrder,
    Command,
    LoseSession,
    MassCancel,
    RejectMessage,
    SetSafeguard,
    SubmitJoint,
    SubmitOrder,
    SubmitReading,
    UpdateInterfaceLimits,
    identity_of,
)
from exchange.vocabulary.events import AnswerRepeated, Event, Refused, Traded
from exchange.vocabulary.reasons import CancelReason, RefusalReason
from exchange.vocabulary.safeguard_events import SessionLost

STEPS = 90
KEPT = 1_000  # nothing is forgotten on a day

# The repeated answers are events, too, and a request that came again is remembered for longer.
_LEFT_OUT = re.compile(rf"{LEFT_OUT.pattern}|^\.sequence$|^\.time$|answers\._finished")
# How a trade was proved the best one depends on what the program still knew before a restart.
_TIER = re.compile(r"tier='[a-z_]+', ")
_NUMBER = re.compile(r"(sequence=|by event )(\d+)")


class Redelivery:
    """A day whose commands reach a second exchange more than once."""

    def __init__(self, seed: int) -> None:
        rules = replace(wild_rules(np.random.default_rng(seed)), answers_kept=KEPT)
        self.day = WildDay(seed, rules)
        self._rng = np.random.default_rng([seed, 1])
        self._grid = LinearGrid(self.day.market.grid.capacity_w, self.day.market.grid.rows)
        self._exchange = Exchange(self._grid, rules, self.day.market.terms)
        self._heard = self._known = 0
        self._sent: list[Command] = []
        self._first: dict[int, int] = {}  # the number of an event by that in the second exchange
        self.met: Counter[str] = Counter()

    def step(self) -> None:
        """Let the day go on by one command, and deliver earlier ones again."""
        self.day.step()
        market = self.day.market
        for command, now in market.commands[self._heard :]:
            events = self._exchange.handle(command, now)
            self._compare(events)
            if identity_of(command).request_id is not None or _is_last_will(command, events):
                self._sent.append(command)
            for _ in range(self._rng.poisson(1.5) if self._sent else 0):
                again = self._sent[self._rng.integers(len(self._sent))]
                self._check_repeated(again, self._exchange.handle(again, now))
            if self._rng.random() < 0.05:
                self._restart()
        self._heard = len(market.commands)

    def _compare(self, events: list[Event]) -> None:
        expected = self.day.market.events[self._known : self._known + len(events)]
        self._known += len(expected)
        self._first |= {
            event.sequence: first.sequence for event, first in zip(events, expected, strict=True)
        }
        found = [_TIER.sub("", self._as_first(repr(each))) for each in events]
        assert found == [_TIER.sub("", repr(each)) for each in expected]
        self.met["trades"] += sum(isinstance(each, Traded) for each in events)

    def _as_first(self, text: str) -> str:
        """Return a text with the numbers that events have in the first exchange."""
        return _NUMBER.sub(lambda found: f"{found[1]}{self._first[int(found[2])]}", text)

    def _check_repeated(self, command: Command, events: list[Event]) -> None:
        """Check that a command that came again was answered, and that that was all."""
        kind = type(command).__name__
        if isinstance(command, LoseSession):
            assert events == [], "a last will has no answer, and no effect twice"
            self.met[f"{kind} repeated"] += 1
            return
        (answer,) = events
        if isinstance(answer, AnswerRepeated):
            found = self._exchange.state.repeated_answer(answer)
            assert found is not None
            assert found.sequence == answer.answer_sequence
            self.met[f"{kind} repeated"] += 1
            self.met[f"{type(found).__name__} found"] += 1
            return
        # An id that stands for another request, or a message that could not be read and has not
        # used its id: refused as before.
        assert isinstance(answer, Refused)
        assert answer.content == ""
        if isinstance(command, RejectMessage):
            assert answer.reason == command.reason
        else:
            assert answer.reason is RefusalReason.CLIENT_ORDER_ID_REUSED
        self.met[f"{kind} refused"] += 1

    def _restart(self) -> None:
        market = self.day.market
        snapshot = json.loads(json.dumps(self._exchange.snapshot()))
        self._exchange = Exchange.restore(snapshot, self._grid, market.rules, market.terms)
        self.met["restarts"] += 1

    def check(self) -> None:
        """Check that both exchanges are in the same state, in every part."""
        self._exchange.check_invariants()
        first, second = (_parts(each.state) for each in (self.day.market.exchange, self._exchange))
        second = {
            path: self._as_first(value) if isinstance(value, str) else value
            for path, value in second.items()
        }
        assert {
            path: (first.get(path, "missing"), second.get(path, "missing"))
            for path in first.keys() | second.keys()
            if first.get(path, "missing") != second.get(path, "missing")
        } == {}


def _is_last_will(command: Command, events: list[Event]) -> bool:
    """Return whether it is a last will that had an effect; silence is found by the exchange."""
    broke = isinstance(command, LoseSession) and command.reason is CancelReason.DISCONNECTED
    return broke and any(isinstance(each, SessionLost) for each in events)


def _parts(state: State) -> dict[str, Any]:
    return structure(state, UNORDERED, _LEFT_OUT)


@pytest.mark.parametrize("seed", range(examples(25)))
def test_a_command_that_is_delivered_again_has_no_second_effect(seed: int) -> None:
    redelivery = Redelivery(seed)
    for step in range(STEPS):
        redelivery.step()
        if step % 10 == 9:
            redelivery.check()


def test_the_days_repeat_every_kind_of_request_and_answer() -> None:
    met: Counter[str] = Counter()
    for seed in range(25):
        redelivery = Redelivery(seed)
        for _ in range(STEPS):
            redelivery.step()
        met += redelivery.met
    kinds = (SubmitOrder, SubmitJoint, CancelOrder, AmendOrder, MassCancel, SetSafeguard)
    others = (UpdateInterfaceLimits, SubmitReading, LoseSession)
    wanted = [f"{each.__name__} repeated" for each in (*kinds, *others)]
    wanted += [f"{name} repeated" for name in ("SetKillSwitch", "SetPriceCollar", "HaltTrading")]
    wanted += ["RejectMessage refused", "SubmitOrder refused", "restarts", "trades"]
    wanted += [
        f"{name} found"
        for name in (
            *("OrderAccepted", "JointOrderAccepted", "OrderAmended", "OrderCancelled"),
            *("MassCancelled", "SafeguardSet", "MeterRead", "Refused", "InterfaceLimitsUpdated"),
        )
    ]
    assert [each for each in wanted if not met[each]] == [], met
