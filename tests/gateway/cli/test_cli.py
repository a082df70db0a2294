from __future__ import annotations

import json
import subprocess
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command_line import run
from gateway_market import GATE, OPENING, START, WideGrid

from exchange.engine import Exchange
from exchange.vocabulary.commands import CancelOrder, Command, SubmitOrder
from exchange.vocabulary.orders import OrderTerms
from exchange.vocabulary.rules import ConnectionTerms, MarketRules
from gateway.formats.envelope_file import EnvelopeFile
from gateway.formats.input_files import bundled
from gateway.journal.codec import encode_entry
from gateway.ports import JournalEntry
from gateway.runs.result_file import ResultFile
from gateway.runs.verdict_file import VerdictFile
from orderbook.order import Side
from security_check.model.envelope import Direction

ORDER = {
    "time": "2026-07-01T10:00:00Z",
    "type": "submit",
    "participant": "p0",
    "client_order_id": "s1",
    "connection_point": "load:0",
    "direction": "injection",
    "interval": "2026-07-01T12:00:00Z",
    "side": "sell",
    "quantity_w": 500,
    "price": "0.0100",
}

FOUR_BUSES = """
[network]
source = "pandapower:simple_four_bus_system"
[interface]
voltage_min_pu = 0.98
voltage_max_pu = 1.04
[capacity]
injection_w = 9000000
withdrawal_w = 9000000
"""


def four_buses(folder: Path) -> Path:
    path = folder / "scenario.toml"
    path.write_text(FOUR_BUSES)
    return path


@pytest.fixture(scope="module")
def allocated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("allocated") / "envelopes.json"
    assert run("allocate", "bundled:reference", "-o", path).exit_code == 0
    return path


def test_the_reference_allocation(allocated: Path) -> None:
    content = EnvelopeFile.model_validate_json(allocated.read_bytes())
    (interval,) = content.intervals
    injection_w = np.array([envelope.injection_limit_w for envelope in interval.envelopes])
    withdrawal_w = np.array([envelope.withdrawal_limit_w for envelope in interval.envelopes])
    assert injection_w.min() == pytest.approx(6907, rel=1e-3)
    assert injection_w.mean() == pytest.approx(9783, rel=1e-3)
    assert injection_w.max() == pytest.approx(15329, rel=1e-3)
    assert withdrawal_w.min() == pytest.approx(6621, rel=1e-3)
    assert withdrawal_w.max() == pytest.approx(6621, rel=1e-3)
    assert all(envelope.injection_bottleneck for envelope in interval.envelopes)


def test_allocate_shows_a_table_that_names_the_bottlenecks() -> None:
    shown = run("allocate", "bundled:reference").stdout
    assert "6.907" in shown
    assert "limited by line:24: 27 of 41 customers" in shown


def test_what_allocate_writes_is_secure(allocated: Path, tmp_path: Path) -> None:
    result = run("verify", "bundled:reference", allocated, "-o", tmp_path / "verdict.json")
    assert result.exit_code == 0
    assert "secure: line:24" in result.stdout
    verdict = VerdictFile.model_validate_json((tmp_path / "verdict.json").read_bytes())
    assert verdict.secure
    assert verdict.points_tried > 2000
    assert verdict.loading == pytest.approx(1.0, abs=1e-4)


def test_the_certificate_of_the_reference_is_accepted_by_the_checker(tmp_path: Path) -> None:
    certificate = tmp_path / "certificate.json"
    assert run("allocate", "bundled:reference", "--certificate", certificate).exit_code == 0
    checker = Path(__file__).resolve().parents[3] / "tools" / "check_certificate.py"
    command = [sys.executable, "-I", str(checker), str(certificate)]
    checked = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert "172 rows proved, 0 only checked, 0 failures" in checked.stdout
    refused = run("allocate", tmp_path, "--certificate", certificate)
    assert refused.exit_code == 2
    assert "--certificate is for a single scenario" in refused.stderr


def test_verify_finds_the_vertex_that_breaks_a_limit(allocated: Path, tmp_path: Path) -> None:
    # Both all-inject and all-withdraw still hold with these; a mixed vertex does not.
    content = json.loads(allocated.read_text())
    for envelope in content["intervals"][0]["envelopes"]:
        if envelope["injection_limit_w"] < 7000:
            envelope["injection_limit_w"] = 6959
    wrong = tmp_path / "wrong.json"
    wrong.write_text(json.dumps(content))
    result = run("verify", "bundled:reference", wrong, "--json")
    assert result.exit_code == 1
    verdict = VerdictFile.model_validate_json(result.stdout)
    assert not verdict.secure
    assert (verdict.element, verdict.unit) == ("line:24", "A")
    assert verdict.value is not None
    assert verdict.limit is not None
    assert verdict.value > verdict.limit
    power_w = {point.connection_point: point.power_w for point in verdict.vertex}
    assert len(power_w) == 41
    assert {power_w["load:0"], power_w["load:2"]} == {6959, -6621}
    assert verdict.interface_voltage_pu == [0.98]


def test_verify_refuses_envelopes_of_another_network(allocated: Path, tmp_path: Path) -> None:
    content = json.loads(allocated.read_text())
    content["intervals"][0]["envelopes"][3]["connection_point"] = "load:77"
    content["intervals"].append(content["intervals"][0])
    wrong = tmp_path / "wrong.json"
    wrong.write_text(json.dumps(content))
    result = run("verify", "bundled:reference", wrong)
    assert result.exit_code == 2
    for words in ("load:77", "load:3", "the scenario has 1, but the file has 2", "more than once"):
        assert words in result.stderr


def test_simulate_writes_what_came_of_the_orders(tmp_path: Path) -> None:
    orders = tmp_path / "orders.jsonl"
    buy = ORDER | {
        "client_order_id": "b1",
        "participant": "p1",
        "connection_point": "load:1",
        "side": "buy",
        "price": "0.0200",
    }
    orders.write_text(f"{json.dumps(ORDER)}\nnonsense\n{json.dumps(buy)}\n")
    result = run("simulate", "bundled:reference", orders, "-o", tmp_path / "result.json")
    assert result.exit_code == 1
    assert "1 of the 3 lines" in result.stderr
    assert "line 2: it is not JSON" in result.stderr
    assert "1 trade, 1 refusal, " in result.stdout
    content = ResultFile.model_validate_json((tmp_path / "result.json").read_bytes())
    assert [(t.buyer, t.seller, t.quantity_w, t.price) for t in content.trades] == [
        ("p1", "p0", 500, "0.0100")
    ]
    assert content.refusals[0].line == 2
    assert content.welfare == "0.005"
    printed = run("simulate", "bundled:reference", orders, "--json")
    assert ResultFile.model_validate_json(printed.stdout) == content


def test_refused_orders_are_no_fault_of_the_file_but_junk_is(tmp_path: Path) -> None:
    orders = tmp_path / "orders.jsonl"
    for content, code, words in (
        (json.dumps(ORDER | {"quantity_w": 10**9}), 0, "note: the scenario names no interval"),
        ("junk\n\nmore\n", 1, f"no line of {orders} is an order; line 1"),
        ("", 1, f"{orders} holds no orders"),
    ):
        orders.write_text(content)
        output = tmp_path / f"result-{len(content)}.json"
        result = run("simulate", "bundled:reference", orders, "-o", output)
        assert result.exit_code == code
        assert words in result.stderr
        refused = ResultFile.model_validate_json(output.read_bytes()).refusals
        assert len(refused) == (len(content.split()) if code else 1)


def test_an_order_that_must_name_its_interval_and_does_not_is_none(tmp_path: Path) -> None:
    scenario, orders = tmp_path / "day.toml", tmp_path / "orders.jsonl"
    scenario.write_text(f"{FOUR_BUSES}[intervals]\nstart = 2026-07-01T12:00:00Z\ncount = 2\n")
    nowhere = {key: value for key, value in ORDER.items() if key != "interval"}
    orders.write_text(f"{json.dumps(nowhere)}\n{json.dumps(ORDER | {'client_order_id': 's2'})}\n")
    result = run("simulate", scenario, orders)
    assert result.exit_code == 1
    assert "1 of the 2 lines" in result.stderr
    assert "interval: it is missing" in result.stderr
    assert "note:" not in result.stderr


def test_a_note_says_when_the_gate_of_an_interval_without_a_name_closes(tmp_path: Path) -> None:
    orders = tmp_path / "orders.jsonl"
    orders.write_text(json.dumps(ORDER | {"time": "2026-07-01T13:00:00Z"}))
    result = run("simulate", "bundled:reference", orders)
    assert result.exit_code == 0
    assert "starts at 2026-07-01T12:00:00Z" in result.stderr
    assert "its gate closes at 2026-07-01T13:00:01Z" in result.stderr
    assert "note:" not in result.stdout


def test_faults_of_orders_name_their_file(tmp_path: Path) -> None:
    orders = tmp_path / "orders.jsonl"
    other = ORDER | {"client_order_id": "s2", "interval": "2026-07-01T12:15:00Z"}
    orders.write_text(f"{json.dumps(ORDER)}\n{json.dumps(other)}\n")
    result = run("simulate", "bundled:reference", orders)
    assert result.exit_code == 2
    assert f"{orders} has 1 fault" in result.stderr


def test_intervals_without_secure_envelopes_name_the_scenario_file(tmp_path: Path) -> None:
    scenario = tmp_path / "fb2.toml"
    scenario.write_text(f"{FOUR_BUSES}fallback_injection_w = 9000000\n")
    result = run("allocate", scenario)
    assert result.exit_code == 1
    assert f"alarm: {scenario}: 1 interval could not be secured" in result.stderr
    assert "interval 2000-01-01T00:00:00Z: nothing is published: " in result.stderr


def test_the_table_of_several_intervals_fits_into_80_columns(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scenario = tmp_path / "day.toml"
    scenario.write_text(f"{FOUR_BUSES}[intervals]\nstart = 2016-05-02T23:30:00Z\ncount = 4\n")
    monkeypatch.setattr("gateway.terminal.console.out._width", 80)
    result = run("allocate", scenario)
    assert result.exit_code == 0
    lines = [line.split() for line in result.stdout.splitlines()]
    assert max(map(len, result.stdout.splitlines())) <= 80
    assert "\N{HORIZONTAL ELLIPSIS}" not in result.stdout
    starts = [words[0] for words in lines if len(words) == 9 and words[0] != "start"]
    assert starts == ["23:30", "23:45", "00:00", "00:15"]
    assert ["05-03"] in lines


def test_a_result_cannot_be_a_folder(tmp_path: Path) -> None:
    for folder in (tmp_path, "."):
        result = run("allocate", four_buses(tmp_path), "-o", folder)
        assert result.exit_code == 2
        assert "it is a folder" in result.stderr


def test_what_the_system_does_not_allow_is_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*arguments: Any) -> None:
        raise PermissionError(13, "Permission denied", "somewhere")

    monkeypatch.setattr("gateway.scenario.loading.load_scenario", fails)
    result = run("allocate", "scenario.toml")
    assert result.exit_code == 2
    assert "error: somewhere: permission denied" in result.stderr


@pytest.mark.parametrize("arguments", [["--version"], ["allocate", "--json"], ["allocate"]])
def test_a_full_disk_is_a_sentence(tmp_path: Path, arguments: list[str]) -> None:
    program = str(Path(sys.executable).with_name("doe-exchange"))
    if "allocate" in arguments:
        arguments = [*arguments, str(four_buses(tmp_path))]
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [program, *arguments], stdout=full, stderr=subprocess.PIPE, text=True, check=False
        )
    assert done.returncode == 2
    assert done.stderr == "error: the output cannot be written: no space left on device\n"


def test_every_fault_of_a_scenario_is_a_sentence_on_stderr(tmp_path: Path) -> None:
    scenario = tmp_path / "scenario.toml"
    scenario.write_text(
        '[network]\nsource = "bundled:semiurb4"\ncolour = "red"\n'
        "[interface]\nvoltage_min_pu = 1.1\nvoltage_max_pu = 1.0\n"
        '[capacity]\ninjection_w = {default = 1, "load:99" = 1}\nwithdrawal_w = "much"\n'
    )
    for command in (["allocate"], ["verify"], ["simulate"]):
        files = [] if command == ["allocate"] else [tmp_path / "missing.json"]
        result = run(*command, scenario, *files)
        assert result.exit_code == 2
        assert result.stdout == ""
        assert isinstance(result.exception, SystemExit)
    result = run("allocate", scenario)
    assert "has 3 faults" in result.stderr
    for words in ("network.colour", "interface:", "capacity.withdrawal_w"):
        assert words in result.stderr


def test_files_that_are_not_there(tmp_path: Path) -> None:
    missing = tmp_path / "missing"
    for arguments in (
        ["allocate", missing],
        ["allocate", "bundled:missing"],
        ["verify", "bundled:reference", missing],
        ["simulate", "bundled:reference", missing],
        ["replay", missing],
        ["allocate", "bundled:reference", "-o", missing / "out.json"],
    ):
        result = run(*arguments)
        assert result.exit_code == 2, arguments
        assert "missing" in result.stderr
        assert "Traceback" not in result.stderr


@pytest.mark.parametrize(
    ("arguments", "known"),
    [
        (["allocate", "bundled:reference"], ".json, .csv or .parquet"),
        (["verify", "bundled:reference", "e.json"], ".json"),
        (["simulate", "bundled:reference", "o.jsonl"], ".json"),
        (["report", "bundled:reference", "o.jsonl"], ".json"),
        (["fairness", "bundled:reference"], ".json"),
        (["topology", "bundled:reference"], ".json"),
        (["hierarchy", "bundled:three-level"], ".json"),
        (["contract", "bundled:three-level", "town"], ".json"),
        (["demo"], ".json"),
        (["replay", "j.jsonl"], ".json"),
        (["statements", "j.jsonl"], ".json"),
        (["statements", "j.jsonl", "--csv"], ".csv"),
    ],
)
@pytest.mark.parametrize("name", ["e.xlsx", "e", "e.jsonl", "csv"])
def test_a_result_needs_an_ending_of_a_known_format(
    tmp_path: Path, arguments: list[str], known: str, name: str
) -> None:
    result = run(*arguments, "-o", tmp_path / name)
    assert result.exit_code == 2
    assert f"file: its name must end in {known}\n" in result.stderr
    assert name in result.stderr
    assert not list(tmp_path.iterdir())


def test_faults_of_a_bundled_file_name_it_as_the_command_does() -> None:
    result = run("topology", "bundled:reference")
    assert result.exit_code == 2
    assert "error: bundled:reference has 1 fault:" in result.stderr
    assert str(bundled("")) not in result.stderr


def test_a_journal_with_a_gap_is_refused(tmp_path: Path) -> None:
    journal = tmp_path / "journal.jsonl"
    journal.write_text("nonsense\n")
    result = run("replay", journal)
    assert result.exit_code == 2
    assert "line 1" in result.stderr


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    """A journal of three entries: an interval opens, an order comes and goes."""
    exchange = Exchange(WideGrid(1), MarketRules(), [ConnectionTerms("load:0", "p0", 9, 9)])
    now = GATE - timedelta(hours=1)
    submitted = SubmitOrder(
        "p0", "a", OrderTerms("load:0", Direction.INJECTION, START, Side.SELL, 1, 1)
    )
    commands: tuple[Command, ...] = (OPENING, submitted, CancelOrder("p0", "r1", "a"))
    entries = [
        JournalEntry(number, command, tuple(exchange.handle(command, now)))
        for number, command in enumerate(commands, start=1)
    ]
    path = tmp_path / "journal.jsonl"
    path.write_bytes(b"\n".join(encode_entry(entry) for entry in entries) + b"\n")
    return path


def test_a_journal_is_replayed_from_a_file(journal: Path) -> None:
    result = run("replay", journal)
    assert result.exit_code == 0
    assert "3 entries" in result.stdout


def test_a_journal_that_is_none_is_an_error_with_its_name(journal: Path, tmp_path: Path) -> None:
    first, second, third = journal.read_bytes().splitlines(keepends=True)
    other = third.replace(b'"sequence":3', b'"sequence":2', 1)
    wrong = tmp_path / "wrong.jsonl"
    for content, words in (
        (b"", "this journal has no entries"),
        (first + second[: len(second) // 2], "line 2: not a journal entry"),
        (second + third, "line 1: entry 1 is missing"),
        (first + third, "line 2: entry 2 is missing"),
        (first + first, "line 2: entry 2 is missing"),
        (first + other, "entry 2 does not follow from those before it"),
        (b"# A text\n", "line 1: not a journal entry"),
        (bytes(range(256)), "line 1: not a journal entry"),
    ):
        wrong.write_bytes(content)
        result = run("replay", wrong)
        assert result.exit_code == 2, content
        assert f"error: {wrong}" in result.stderr
        assert words in result.stderr
        assert result.stdout == ""


@pytest.mark.slow
def test_the_program_itself() -> None:
    program = [str(Path(sys.executable).with_name("doe-exchange"))]
    version = subprocess.run([*program, "--version"], capture_output=True, text=True, check=True)
    assert version.stdout.startswith("doe-exchange 0.")
    wrong = subprocess.run(
        [*program, "allocate", "no.toml"], capture_output=True, text=True, check=False
    )
    assert wrong.returncode == 2
    assert "no.toml has 1 fault" in wrong.stderr
    allocated = subprocess.run(
        [*program, "allocate", "bundled:reference", "--json"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert allocated.stderr == ""
    assert len(json.loads(allocated.stdout)["intervals"][0]["envelopes"]) == 41
