"""Safeguards: what a lost session cancels, what it leaves, and that it does so once."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from linear_grid import LinearGrid
from market import GATE, QUARTER, SECOND, START, Market, all_of, interface, only, refusal
from sampling import examples

from exchange.engine import Exchange
from exchange.handlers.safeguards import MOST_SAFEGUARDS
from exchange.vocabulary.commands import (
    CloseGate,
    Command,
    HaltTrading,
    LoseSession,
    OpenSession,
    SetSafeguard,
    SubmitJoint,
)
from exchange.vocabulary.events import AnswerRepeated, Event, GateClosed, OrderCancelled
from exchange.vocabulary.orders import Leg
from exchange.vocabulary.reasons import CancelReason, OnDisconnect
from exchange.vocabulary.rules import MarketRules
from exchange.vocabulary.safeguard_events import SafeguardSet, SessionLost
from orderbook.order import Side
from security_check.model.envelope import Direction

CANCEL, KEEP = OnDisconnect.CANCEL, OnDisconnect.KEEP
DISCONNECTED, SILENT = CancelReason.DISCONNECTED, CancelReason.SILENT
LATER = START + QUARTER


@pytest.fixture
def market() -> Market:
    market = Market(points=4, capacity_w=10_000)
    market.do(OpenSession(LATER, LATER + QUARTER, GATE + QUARTER, interface(20_000, 20_000)))
    return market


def guard(
    market: Market,
    session: str,
    on_disconnect: OnDisconnect = CANCEL,
    silent_s: int | None = None,
    device: str | None = None,
) -> list[Event]:
    asked = (market.new_id(), session, device, on_disconnect, silent_s)
    return market.do(SetSafeguard("p0", *asked))


def lose(market: Market, session: str, reason: CancelReason = DISCONNECTED) -> list[Event]:
    return market.do(LoseSession("p0", session, reason))


def cancelled(events: list[Event]) -> list[tuple[str, str, str]]:
    found = all_of(events, OrderCancelled)
    return [(each.participant, each.client_order_id, each.reason.value) for each in found]


def test_a_lost_session_cancels_all_orders_of_its_participant_and_no_other(market: Market) -> None:
    legs = tuple(Leg("load:0", each, LATER, Side.SELL, 10, 9) for each in Direction)
    market.sell(0, "10@5", client_order_id="a")
    market.do(SubmitJoint("p0", "j", legs))
    market.sell(0, "10@3", client_order_id="b", interval=LATER)
    market.sell(1, "10@6", client_order_id="c")
    guard(market, "s1")
    events = lose(market, "s1")
    assert cancelled(events) == [("p0", each, "disconnected") for each in "ajb"]
    assert events[-1] == only(events, SessionLost)
    lost = only(events, SessionLost)
    assert (lost.session, lost.reason, lost.orders) == ("s1", DISCONNECTED, 3)
    assert [each.client_order_id for each in market.exchange.state.orders.values()] == ["c"]


def test_a_last_will_that_comes_twice_cancels_once(market: Market) -> None:
    guard(market, "s1")
    market.sell(0, "10@5")
    assert only(lose(market, "s1"), SessionLost).orders == 1
    market.sell(0, "10@5")
    assert lose(market, "s1") == []
    guard(market, "s2")
    assert lose(market, "s1") == [], "nor when another session of the device is guarded"
    # A client that used a name again would lose its orders to a will that comes once more.
    reason, detail = refusal(guard(market, "s1"))
    assert reason == "session_lost"
    assert detail == "the connection of session s1 broke; a new one needs another name"
    assert lose(market, "s1") == []
    assert market.resting() == ["#2 sell 10@5"]


def test_an_old_will_after_a_reconnection_has_no_effect(market: Market) -> None:
    guard(market, "s1")
    market.sell(0, "10@5")
    guard(market, "s2")
    assert lose(market, "s1") == []
    assert market.resting() == ["#1 sell 10@5"]
    assert only(lose(market, "s2"), SessionLost).orders == 1


def test_a_safeguard_that_comes_late_takes_no_other_devices_place(market: Market) -> None:
    guard(market, "s1", device="roof")
    guard(market, "s2", device="cellar")
    market.sell(0, "10@5")
    assert only(lose(market, "s1"), SessionLost).orders == 1
    market.sell(0, "10@5")
    assert only(lose(market, "s2"), SessionLost).orders == 1


def test_only_what_a_safeguard_is_set_for_loses_a_session(market: Market) -> None:
    market.sell(0, "10@5")
    guard(market, "s1", KEEP, 30)
    assert lose(market, "s1", DISCONNECTED) == []
    guard(market, "s2", CANCEL, None)
    assert lose(market, "s2", SILENT) == []
    guard(market, "s3", KEEP, 30)
    assert cancelled(lose(market, "s3", SILENT)) == [("p0", "a1", "silent")]


def test_a_session_that_was_silent_may_be_guarded_again(market: Market) -> None:
    """It goes on, with the last will that it has."""
    guard(market, "s1", CANCEL, 30)
    assert only(lose(market, "s1", SILENT), SessionLost)
    assert only(guard(market, "s1", CANCEL, 30), SafeguardSet)
    market.sell(0, "10@5")
    assert only(lose(market, "s1"), SessionLost).orders == 1


def test_a_safeguard_ends_where_its_own_session_says_so(market: Market) -> None:
    guard(market, "s2")
    market.sell(0, "10@5")
    assert only(guard(market, "s1", KEEP), SafeguardSet)
    assert only(lose(market, "s2"), SessionLost).orders == 1
    guard(market, "s3")
    market.sell(0, "10@5")
    guard(market, "s3", KEEP)
    assert lose(market, "s3") == []
    assert market.resting() == ["#2 sell 10@5"]


def test_a_safeguard_sent_twice_is_one(market: Market) -> None:
    command = SetSafeguard("p0", "g1", "s1", None, CANCEL, None)
    first = only(market.do(command), SafeguardSet)
    lose(market, "s1")
    repeat = only(market.do(command), AnswerRepeated)
    assert repeat.answer_sequence == first.sequence
    assert market.exchange.state.safeguards.of("p0") == [], "it is not in force again"
    other = SetSafeguard("p0", "g1", "s2", None, CANCEL, None)
    assert refusal(market.do(other))[0] == "client_order_id_reused"


def test_a_halt_and_a_gate_are_no_obstacle(market: Market) -> None:
    market.sell(0, "10@5", interval=LATER)
    market.sell(0, "10@5")
    guard(market, "s1")
    market.do(HaltTrading("h1"))
    market.do(CloseGate(START))
    assert only(lose(market, "s1"), SessionLost).orders == 1
    # Where the gate is due, its cancellation comes first.
    market.sell(0, "10@5", interval=LATER)
    guard(market, "s2")
    market.now = GATE + QUARTER
    events = lose(market, "s2")
    assert [each.reason for each in all_of(events, OrderCancelled)] == [CancelReason.GATE_CLOSED]
    assert only(events, GateClosed)
    assert only(events, SessionLost).orders == 0


def test_strangers_have_no_safeguard(market: Market) -> None:
    command = SetSafeguard("nobody", "g1", "s1", None, CANCEL, None)
    assert refusal(market.do(command))[0] == "unknown_participant"
    assert market.do(LoseSession("nobody", "s1", DISCONNECTED)) == []


def test_a_participant_has_so_many_safeguards(market: Market) -> None:
    for number in range(MOST_SAFEGUARDS):
        guard(market, f"s{number}", device=f"d{number}")
    reason, detail = refusal(guard(market, "s8", device="d8"))
    assert reason == "too_many_safeguards"
    assert detail == "8 other devices of p0 have a safeguard, at most 8 may"
    assert only(guard(market, "s8", device="d0"), SafeguardSet), "a new session of a known device"
    assert only(guard(market, "s1", KEEP), SafeguardSet)
    assert only(guard(market, "s9", device="d9"), SafeguardSet)


# -- random sequences against a model on sets ------------------------------------------------------


@dataclass
class Model:
    """What is guarded, by the rules of docs/formats/messages.md on plain sets."""

    kept: int
    guarded: set[tuple[str, str | None, bool, bool]] = field(default_factory=set)
    broken: list[str] = field(default_factory=list)
    orders: int = 0

    def guard(self, session: str, device: str | None, broken: bool, silent: bool) -> str:
        if not broken and not silent:
            self.guarded = {each for each in self.guarded if each[0] != session}
            return "set"
        if session in self.broken[-self.kept :]:
            return "session_lost"
        left = {each for each in self.guarded if each[0] != session and each[1] != device}
        if len(left) == 8:
            return "too_many_safeguards"
        self.guarded = left | {(session, device, broken, silent)}
        return "set"

    def lose(self, session: str, reason: CancelReason) -> int | None:
        for each in self.guarded:
            if each[0] == session and each[2 if reason is DISCONNECTED else 3]:
                self.guarded.remove(each)
                if reason is DISCONNECTED:
                    self.broken.append(session)
                self.orders, gone = 0, self.orders
                return gone
        return None


SESSION = st.integers(0, 12).map(lambda number: f"s{number}")
DEVICE = st.none() | st.integers(0, 9).map(lambda number: f"d{number}")
STEP = (
    st.tuples(st.just("guard"), SESSION, DEVICE, st.booleans(), st.booleans())
    | st.tuples(st.just("lose"), SESSION, st.sampled_from([DISCONNECTED, SILENT]))
    | st.tuples(st.sampled_from(["order", "restart"]))
)


@settings(max_examples=examples(100), deadline=None)
@given(kept=st.integers(1, 4), steps=st.lists(STEP, max_size=60))
def test_random_sequences_do_what_a_model_on_sets_says(kept, steps) -> None:
    market = Market(points=2, capacity_w=10_000, rules=MarketRules(answers_kept=kept))
    market.sell(1, "10@9")
    model = Model(kept)
    for step in steps:
        match step:
            case ("guard", session, device, broken, silent):
                events = guard(
                    market, session, CANCEL if broken else KEEP, 5 if silent else None, device
                )
                said = "set" if all_of(events, SafeguardSet) else refusal(events)[0]
                assert said == model.guard(session, device, broken, silent)
            case ("lose", session, reason):
                events = lose(market, session, reason)
                gone = model.lose(session, reason)
                if gone is None:
                    assert events == []
                else:
                    assert only(events, SessionLost).orders == gone
                    assert len(cancelled(events)) == gone
            case ("order",):
                market.sell(0, "10@5")
                model.orders += 1
            case _:
                snapshot = json.loads(json.dumps(market.exchange.snapshot()))
                grid = LinearGrid(market.grid.capacity_w)
                market.exchange = Exchange.restore(snapshot, grid, market.rules, market.terms)
        own = [o for o in market.exchange.state.orders.values() if o.participant == "p0"]
        assert len(own) == model.orders
        found = market.exchange.state.safeguards.of("p0")
        assert model.guarded == {
            (each.session, each.device, each.on_disconnect is CANCEL, each.silent_s is not None)
            for each in found
        }
    replayed = Exchange(LinearGrid(market.grid.capacity_w), market.rules, market.terms)
    replayed.replay(market.events)
    assert replayed.digest() == market.exchange.digest()


def test_a_command_without_effect_leaves_the_clock_alone(market: Market) -> None:
    """It is not journaled, so it must not change the state in any other way either."""
    before = market.exchange.digest()
    for session in ("s1", "s2"):
        for reason in (DISCONNECTED, SILENT):
            command: Command = LoseSession("p0", session, reason)
            assert market.do(command, after=timedelta(0) + SECOND) == []
    assert market.exchange.digest() == before
