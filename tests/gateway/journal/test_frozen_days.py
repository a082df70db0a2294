"""Journals and snapshots of whole days, as each version has written them, lead to what they led to.

A snapshot that is only compared with itself may forget or confuse anything.  Here it is a file: it
is restored, compared part by part with a replay of the journal, and led on to the end of the day.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter, defaultdict
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import cache
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
from command_line import run
from frozen_days import FROZEN_DAYS
from frozen_files import DATA, PRESENT, VERSIONS, digests, lines_of
from gateway_market import retained
from memory_ports import MemoryJournal
from structure import LEFT_OUT, UNORDERED, differences

from exchange.state.request_answers import Remembered, content_of
from exchange.vocabulary import versions
from exchange.vocabulary.commands import AdvanceTime
from exchange.vocabulary.events import Refused
from exchange.vocabulary.serialization import EVENT_TYPES
from exchange.vocabulary.versions import VERSION
from gateway.errors import CorruptJournalError
from gateway.journal.codec import COMMAND_TYPES, decode_entry, encode_entry
from gateway.ports import JournalEntry, Outgoing, Snapshot
from gateway.service.core import JournaledExchange, recover
from tools import freeze

NOON = datetime(2026, 7, 1, 12, tzinfo=UTC)
DAYS = [
    pytest.param(version, name, id=f"{version}-{name}")
    for version in VERSIONS
    for name in digests(version)
]
# Also of a publisher: mappings by connection point, by interval or by book.
_UNORDERED = re.compile(
    rf"{UNORDERED.pattern}|(_sequences|_halts|held|issued|_versions|_levels"
    r"|_levels\[.*\]|_statistics|_traded_at|_ends)$"
)
# After a restart everything retained is published again, so what is stale is not kept, and whose
# envelopes are confirmed next does not follow from events.  Reports are kept since a snapshot only.
# Of books the last messages are forgotten, since depth goes out by the clock.
_LEFT_OUT = re.compile(
    rf"{LEFT_OUT.pattern}|\._price$|\._stale|\._turn$|^\.kept_reports\b"
    r"|\.books\._(event|published|touched)"
)


def _journal(version: int, name: str) -> list[JournalEntry]:
    return [decode_entry(line) for line in lines_of(DATA / str(version) / f"{name}.jsonl")]


def _snapshots(version: int, name: str) -> dict[int, Snapshot]:
    """Return the snapshots of a day by entry, the last of which is that of its end."""
    paths = (DATA / str(version)).glob(f"{name}-*.json")
    numbers = sorted(int(path.stem.rpartition("-")[2]) for path in paths)
    return {
        number: Snapshot(number, (DATA / str(version) / f"{name}-{number}.json").read_bytes())
        for number in numbers
    }


def _core(name: str, snapshot: Snapshot | None = None) -> JournaledExchange:
    return JournaledExchange(FROZEN_DAYS[name].setup(), snapshot)


def _different(one: JournaledExchange, other: JournaledExchange) -> list[str]:
    pairs = ((one.exchange.state, other.exchange.state), (one.publisher, other.publisher))
    return [each for a, b in pairs for each in differences(a, b, _UNORDERED, _LEFT_OUT)]


@pytest.mark.parametrize(("version", "name"), DAYS)
def test_a_replay_leads_to_the_digests_and_states_of_the_files(version: int, name: str) -> None:
    expected, snapshots = digests(version)[name], _snapshots(version, name)
    assert {str(number) for number in snapshots} == set(expected["snapshots"])
    core, events = _core(name), 0
    for entry in _journal(version, name):
        core.apply(entry)
        events += len(entry.events)
        if entry.sequence in snapshots:
            frozen = snapshots[entry.sequence]
            assert _different(_core(name, frozen), core) == []
            if version == VERSION:
                assert core.snapshot() == frozen
                assert core.exchange.digest() == expected["snapshots"][str(entry.sequence)]
    assert (core.sequence, events) == (
        expected["entries"],
        expected["events"],
    )
    core.exchange.check_invariants()


@pytest.mark.parametrize(("version", "name"), DAYS)
def test_a_digest_is_the_sha_256_of_the_state_in_the_file(version: int, name: str) -> None:
    for number, snapshot in _snapshots(version, name).items():
        state = json.loads(snapshot.state)["exchange"]
        canonical = json.dumps(state, sort_keys=True, separators=(",", ":"))
        found = hashlib.sha256(canonical.encode()).hexdigest()
        assert found == digests(version)[name]["snapshots"][str(number)]


@pytest.mark.parametrize(("version", "name"), DAYS)
async def test_a_restored_snapshot_goes_on_to_the_same_end(version: int, name: str) -> None:
    """As after a restart, with the same messages on the way."""
    entries, snapshots = _journal(version, name), _snapshots(version, name)
    core, messages = _core(name), dict[int, list[Outgoing]]()
    for entry in entries:
        messages[entry.sequence] = core.apply(entry)
    journal = MemoryJournal()
    journal.lines = lines_of(DATA / str(version) / f"{name}.jsonl")
    for number, snapshot in snapshots.items():
        journal.snapshot, journal.published_sequence = snapshot, number
        again, unpublished = await recover(FROZEN_DAYS[name].setup(), journal)
        assert again.snapshot_sequence == number
        assert again.exchange.digest() == core.exchange.digest()
        assert again.snapshot() == core.snapshot()
        assert _different(again, core) == []
        assert unpublished == [each for k in messages if k > number for each in messages[k]]
        assert retained(again, NOON) == retained(core, NOON)


@pytest.mark.parametrize(("version", "name"), DAYS)
async def test_reports_of_long_published_entries_are_counted_and_not_kept(
    version: int, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A recovery without a snapshot ends in the same state; the newest reports are there."""
    core, journal = _core(name), MemoryJournal()
    journal.lines = lines_of(DATA / str(version) / f"{name}.jsonl")
    messages = [core.apply(entry) for entry in _journal(version, name)]
    journal.published_sequence, kept = len(messages) - 5, 20
    monkeypatch.setattr("gateway.service.core.REPORTS_OF_ENTRIES", kept)
    again, unpublished = await recover(FROZEN_DAYS[name].setup(), journal)
    assert unpublished == [each for every in messages[-5:] for each in every]
    assert again.snapshot() == core.snapshot()
    assert _different(again, core) == []
    newest = Counter(
        each.topic for every in messages[-5 - kept :] for each in every if "/report/" in each.topic
    )
    assert newest
    for receiver in core.publisher._sequences:
        own = list(again.publisher.kept_reports.reports(receiver, 0))
        assert len(own) == newest[core.publisher._topics.report(receiver)]
        every = list(core.publisher.kept_reports.reports(receiver, 0))
        assert own == every[len(every) - len(own) :]


@pytest.mark.parametrize(("version", "name"), DAYS)
def test_a_restored_exchange_takes_commands(version: int, name: str) -> None:
    """The clock runs to the end of everything that is due, from each snapshot."""
    for snapshot in _snapshots(version, name).values():
        core = _core(name, snapshot)
        while (due := core.next_due) is not None:
            entry, _ = core.handle(AdvanceTime(), due)
            assert entry is not None
            core.exchange.check_invariants()
        state = core.exchange.state
        assert not state.orders
        assert not state.metering.intervals
        time = state.time
        assert time is not None
        core.handle(AdvanceTime(), time + timedelta(days=2))
        assert sum(state.ledger.balance(each) for each in state.ledger._balances) == 0


@pytest.mark.parametrize(("version", "name"), DAYS)
def test_the_command_replay_reads_the_file(version: int, name: str, tmp_path: Path) -> None:
    result = run(
        "replay", DATA / str(version) / f"{name}.jsonl", "--json", "-o", tmp_path / "r.json"
    )
    assert result.exit_code == 0, result.output
    replayed = json.loads((tmp_path / "r.json").read_text())
    expected = digests(version)[name]
    assert replayed["entries"] == expected["entries"]
    assert replayed["events"] == expected["events"]
    if version == VERSION:
        assert replayed["digest"] == expected["replay"]


@pytest.mark.parametrize(("version", "name"), DAYS)
def test_the_command_statements_reads_the_file(version: int, name: str) -> None:
    """It compares every statement on record with what was booked."""
    result = run("statements", DATA / str(version) / f"{name}.jsonl", "--json")
    assert result.exit_code == 0, result.output
    closing = {
        each["account"]: Decimal(each["closing"]) for each in json.loads(result.stdout)["accounts"]
    }
    end = _core(name, _snapshots(version, name).popitem()[1]).exchange.state
    expected = {each: end.rules.amount_in_eur(end.ledger.balance(each)) for each in closing}
    assert closing == expected
    assert closing.keys() >= end.ledger._balances.keys()
    assert any(closing.values())


@pytest.mark.parametrize("name", FROZEN_DAYS)
def test_entries_of_a_day_are_written_as_in_the_file(name: str) -> None:
    lines = lines_of(PRESENT / f"{name}.jsonl")
    assert [encode_entry(decode_entry(line)) for line in lines] == lines


@pytest.mark.parametrize(("version", "name"), DAYS)
def test_refused_requests_are_known_again_by_the_digests_in_the_file(
    version: int, name: str
) -> None:
    known = 0
    for entry in _journal(version, name):
        for event in entry.events:
            if isinstance(event, Refused) and event.content:
                assert isinstance(entry.command, Remembered)
                assert content_of(entry.command) == event.content
                known += 1
    assert known > 0


# -- whether the days leave anything out ---------------------------------------------------------


def test_the_days_have_every_command_and_event() -> None:
    entries = [entry for name in FROZEN_DAYS for entry in _journal(VERSION, name)]
    assert {type(entry.command) for entry in entries} == set(COMMAND_TYPES)
    assert {type(event) for entry in entries for event in entry.events} == set(EVENT_TYPES)


# Mappings by the names of participants.
_BY_NAME = re.compile(
    r"(\.exchange\.answers|\.limits|\.recent|\.in_force|\.broken|\.settled|\.sequences)$"
)


def _columns(value: Any, path: str, found: dict[str, list[Any]]) -> None:
    """Collect the plain values of a snapshot by their place: those of like places together.

    Rows and objects of a list are like each other; what is under a name is like what is under
    another name.
    """
    if isinstance(value, dict):
        named = bool(_BY_NAME.search(path))
        for key, each in value.items():
            _columns(each, f"{path}.*" if named else f"{path}.{key}", found)
    elif isinstance(value, list):
        is_row = not all(isinstance(each, (dict, list)) for each in value) and ".recent" not in path
        for number, each in enumerate(value):
            _columns(each, f"{path}.{number}" if is_row else path, found)
    else:
        found[path].append(value)


@cache
def _found() -> dict[str, list[Any]]:
    found: dict[str, list[Any]] = defaultdict(list)
    for name in FROZEN_DAYS:
        for snapshot in _snapshots(VERSION, name).values():
            _columns(json.loads(snapshot.state), "", found)
    return found


def test_no_part_of_a_snapshot_is_empty_in_all_files() -> None:
    inner = {path.rpartition(".")[0] for path in _found()}
    assert len(_found()) > 150
    assert [p for p, values in _found().items() if not any(values) and p not in inner] == []


def test_no_two_parts_of_a_snapshot_could_be_swapped_unseen() -> None:
    parts = defaultdict(list)
    for path, values in _found().items():
        parts[path.rpartition(".")[0]].append((path, values))
    same = [
        (path, other)
        for group in parts.values()
        for (path, values), (other, others) in combinations(group, 2)
        if values == others
    ]
    assert same == []


# -- versions, and the tool that freezes them ----------------------------------------------------


@pytest.mark.parametrize(
    ("part", "name"), [("exchange", "the snapshot"), ("reports", "the snapshot of reports")]
)
async def test_a_snapshot_of_a_newer_release_is_refused(part: str, name: str) -> None:
    journal = MemoryJournal()
    number, snapshot = _snapshots(VERSION, "auctions").popitem()
    state = json.loads(snapshot.state)
    state[part]["version"] = VERSION + 1
    journal.snapshot = Snapshot(number, json.dumps(state).encode())
    words = f"journal of frozen: {name} has version {VERSION + 1}, and this program reads version"
    with pytest.raises(CorruptJournalError, match=words):
        await recover(FROZEN_DAYS["auctions"].setup(), journal)
    del state[part]["version"]
    journal.snapshot = Snapshot(number, json.dumps(state).encode())
    with pytest.raises(CorruptJournalError, match="has no version, and this program reads"):
        await recover(FROZEN_DAYS["auctions"].setup(), journal)


def test_older_snapshots_are_upgraded(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if the next version renamed a key of each part."""

    def rename(old: str, new: str) -> Any:
        return lambda data: {new if key == old else key: each for key, each in data.items()}

    number, snapshot = _snapshots(VERSION, "auctions").popitem()
    expected = _core("auctions", snapshot)
    state = json.loads(snapshot.state)
    state["exchange"] = rename("ledger", "accounts")(state["exchange"])
    state["reports"] = rename("books", "depth")(state["reports"])
    older = Snapshot(number, json.dumps(state).encode())
    monkeypatch.setattr(versions, "VERSION", VERSION + 1)
    for part, upgrade in (
        ("exchange.state.snapshots", rename("accounts", "ledger")),
        ("gateway.publishing.publisher", rename("depth", "books")),
    ):
        monkeypatch.setattr(f"{part}.UPGRADES", {VERSION: upgrade})
    assert _different(_core("auctions", older), expected) == []


def test_a_newer_journal_is_an_error_of_the_command_line(tmp_path: Path) -> None:
    lines = lines_of(PRESENT / "auctions.jsonl")
    here, next_ = (f'{{"version":{each},'.encode() for each in (VERSION, VERSION + 1))
    lines[4] = lines[4].replace(here, next_)
    path = tmp_path / "newer.jsonl"
    path.write_bytes(b"\n".join(lines))
    result = run("replay", path)
    assert result.exit_code == 2
    words = (
        f"newer.jsonl, line 5: entry 5 has version {VERSION + 1}, and this program reads version"
    )
    assert words in result.stderr.replace("\n", "")


def test_a_frozen_version_is_never_written_again(tmp_path: Path) -> None:
    days = {"auctions": FROZEN_DAYS["auctions"]}
    paths = freeze.freeze(tmp_path / "data" / "1", days)
    before = {path: path.read_bytes() for path in paths}
    names = [path.name for path in paths]
    assert {"auctions.jsonl", "digests.json", "lines.jsonl"} <= set(names)
    assert len(names) == 3 + len(days["auctions"].snapshots)
    with pytest.raises(FileExistsError, match="data/1 is frozen already"):
        freeze.freeze(tmp_path / "data" / "1", days)
    assert {path: path.read_bytes() for path in paths} == before
    assert [each.name for each in (tmp_path / "data").iterdir()] == ["1"]
    assert before[tmp_path / "data" / "1" / "lines.jsonl"] == (PRESENT / "lines.jsonl").read_bytes()


def test_the_tool_refuses_the_present_version(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SystemExit, match=f"data/{VERSION} is frozen already: .* raise VERSION"):
        freeze.main()
