"""After an accepted loss no number is given out again, and the market goes on as it would have."""

from __future__ import annotations

import asyncio
import json
from collections import defaultdict
from dataclasses import fields, is_dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from command_line import run
from gateway_market import GATE, START, market, retained
from gateway_servers import RedisServer
from hypothesis import given, settings
from hypothesis import strategies as st
from journal_entries import stored
from report_forms import BAND, COMMANDS, OPENINGS, POINTS
from wild_days import WildDay

from exchange.engine import Exchange
from exchange.state.recording import NUMBERS_SKIPPED
from exchange.vocabulary.commands import AcceptLoss, Command, OpenSession
from exchange.vocabulary.events import Event
from exchange.vocabulary.recovery_events import LossAccepted
from gateway.journal.redis_journal import RedisJournal
from gateway.journal.witness import Witness
from gateway.ports import JournalEntry, Outgoing, Snapshot
from gateway.service.core import JournaledExchange

SCENARIO = """
area = "north"
[network]
source = "pandapower:simple_four_bus_system"
[interface]
voltage_min_pu = 0.98
voltage_max_pu = 1.04
[capacity]
injection_w = 20000
withdrawal_w = 20000
"""
Numbers = dict[tuple[str, str], set[int]]


def _numbers(messages: list[Outgoing], found: Numbers) -> Numbers:
    """Collect every number that a message gives to something new, by what it numbers."""
    for message in messages:
        if not message.payload:
            continue
        content = json.loads(message.payload)
        for key in ("sequence", "version", "trade_id"):
            if key in content:
                place = "" if key == "trade_id" else message.topic
                found[key, place].add(content[key])
        # An answer that is repeated tells the number of an order that is left.
        kinds = ("accepted", "joint_accepted", "refilled")
        if content.get("type") in kinds and not content.get("repeated"):
            found["order", ""] |= {content["order_id"]} if "order_id" in content else set()
            found["order", ""] |= {leg["order_id"] for leg in content.get("legs", ())}
    return found


@given(commands=COMMANDS, kept=st.integers(0, 60), restored=st.booleans())
@settings(deadline=None, max_examples=40)
def test_numbers_that_may_have_been_given_out_do_not_come_again(
    commands: list[Command], kept: int, restored: bool
) -> None:
    """Participants send again what was lost, and get new numbers."""
    now = START - timedelta(hours=3)
    before, entries = JournaledExchange(market("a", POINTS)), list[JournalEntry]()
    given_out: Numbers = defaultdict(set)
    for number, command in enumerate([*OPENINGS, *commands]):
        entry, messages = before.handle(command, now + number * timedelta(seconds=1))
        if number < kept and entry is not None:
            entries.append(entry)
        _numbers(messages, given_out)
    highest = before.exchange.state
    _numbers(retained(before, GATE), given_out)

    after = JournaledExchange(market("a", POINTS))
    for entry in entries:
        after.apply(entry)
    accepted, messages = after.handle(AcceptLoss(len(entries), before.sequence), now)
    assert accepted is not None
    again: Numbers = _numbers(messages, defaultdict(set))
    if restored:
        state = after.snapshot()
        after = JournaledExchange(market("a", POINTS), Snapshot(state.sequence, state.state))
        assert after.snapshot() == state
    _numbers(retained(after, GATE), again)
    for number, command in enumerate([*OPENINGS, *commands]):
        _, messages = after.handle(command, now + timedelta(minutes=10, seconds=number))
        _numbers(messages, again)
    after.exchange.check_invariants()
    state_after = after.exchange.state
    assert state_after.next_order_id > highest.next_order_id
    assert state_after.next_trade_id > highest.next_trade_id
    assert accepted.events[0].sequence > highest.sequence
    for what, numbers in again.items():
        if what in given_out:
            assert min(numbers) > max(given_out[what]), what


def _shifted(value: Any) -> Any:
    """Return a value with the numbers that came after a loss as they would have been without."""
    if is_dataclass(value) and not isinstance(value, type):
        return (
            type(value).__name__,
            [_shifted(getattr(value, field.name)) for field in fields(value)],
        )
    if isinstance(value, tuple | list):
        return [_shifted(each) for each in value]
    if isinstance(value, dict):
        return {key: _shifted(each) for key, each in value.items()}
    if type(value) is int and value >= NUMBERS_SKIPPED:
        return value - NUMBERS_SKIPPED
    return value


@pytest.mark.parametrize("seed", range(12))
def test_the_market_goes_on_as_without_a_loss(seed: int) -> None:
    """The same trades and prices: numbers decide the priority of orders only by their order."""
    day = WildDay(seed)
    for _ in range(60):
        day.step()
    made = day.market
    plain, skipping = (
        Exchange(made.grid, made.exchange.state.rules, made.exchange.state.terms.values())
        for _ in range(2)
    )
    at = 10 + 3 * seed
    for number, (command, now) in enumerate(made.commands):
        if number == at:
            skipping.handle(AcceptLoss(number, number + 9), made.commands[number - 1][1])
        expected: list[Event] = plain.handle(command, now)
        found = skipping.handle(command, now)
        offset = 1 if number >= at else 0  # the event of the loss itself
        assert len(found) == len(expected)
        for one, other in zip(found, expected, strict=True):
            kind, values = _shifted(one)
            same, others = _shifted(other)
            assert kind == same
            numbered = [f.name for f in fields(one)]
            for name, value, wanted in zip(numbered, values, others, strict=True):
                if name in ("sequence", "answer_sequence", "detail"):
                    continue
                assert value == wanted, (number, kind, name)
            assert values[0] - offset == others[0]
    skipping.check_invariants()


def test_the_loss_acts_before_the_clock() -> None:
    """Gates that are due at the start get numbers too."""
    core = JournaledExchange(market("a", POINTS))
    for opening in OPENINGS:
        core.handle(opening, START - timedelta(hours=3))
    entry, _ = core.handle(AcceptLoss(2, 7), START + timedelta(days=1))
    assert entry is not None
    assert isinstance(entry.events[0], LossAccepted)
    assert len(entry.events) > 1
    assert all(event.sequence > NUMBERS_SKIPPED for event in entry.events)


# -- the command ---------------------------------------------------------------------------------


async def _lose_two_of_four(url: str, path: Path) -> None:
    core = JournaledExchange(market("north", 2))
    interval = timedelta(minutes=15)
    starts = [START + k * interval for k in range(4)]
    journal = RedisJournal(url, "north", witness=Witness(path, "north"))
    async with journal:
        for start in starts:
            command = OpenSession(start, start + interval, start, BAND)
            entry, _ = core.handle(command, START - timedelta(hours=3))
            assert entry is not None
            await journal.append([entry], entry.sequence)
        await journal._redis.xdel(journal._stream, "3-0", "4-0")
        chain = await journal._entries.chain_at(2)
        mark: dict[Any, Any] = {"last": 2, "published": 4, "chain": chain}
        await journal._redis.hset(journal._writer, mapping=mark)


async def _stored(url: str) -> list[JournalEntry]:
    async with RedisJournal(url, "north", read_only=True) as journal:
        return await stored(journal)


def test_the_command_accepts_the_loss_that_it_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scenario, path = tmp_path / "scenario.toml", tmp_path / "witness"
    scenario.write_text(SCENARIO)
    with RedisServer(tmp_path) as server:
        monkeypatch.setenv("DOE_REDIS_URL", server.url.replace("//", "//default:hidden@"))
        monkeypatch.setenv("DOE_WITNESS", str(path))
        asyncio.run(_lose_two_of_four(server.url, path))
        refused = run("serve", scenario, "--data", tmp_path)
        assert refused.exit_code == 2
        said = refused.stderr.replace("\n", "")
        assert "ends at entry 2, but the witness knows entry 4" in said
        assert "doe-exchange accept-loss SCENARIO --ends-at 2" in said
        for wrong in (1, 3, 4):
            again = run("accept-loss", scenario, "--data", tmp_path, "--ends-at", wrong)
            assert again.exit_code == 2
            assert "ends at entry 2" in again.stderr.replace("\n", "")
        assert run("accept-loss", scenario, "--data", tmp_path).exit_code == 2
        accepted = run("accept-loss", scenario, "--ends-at", 2, "--json")
        assert accepted.exit_code == 0, accepted.stderr
        told = json.loads(accepted.stdout)
        assert (told["area"], told["ends_at"], told["written"]) == ("north", 2, 4)
        assert told["next_order_id"] == NUMBERS_SKIPPED + 1
        entries = asyncio.run(_stored(server.url))
        assert [entry.sequence for entry in entries] == [1, 2, 3]
        assert entries[2].command == AcceptLoss(2, 4)
        twice = run("accept-loss", scenario, "--ends-at", 3)
        assert twice.exit_code == 2
        assert "nothing is known to be lost" in twice.stderr.replace("\n", "")
        assert "hidden" not in said + accepted.stdout + twice.stderr
        replayed = run("replay", f"{server.url}#north", "--json")
        assert json.loads(replayed.stdout)["digest"] == told["digest"]
        assert json.loads(replayed.stdout)["events"] == 3
