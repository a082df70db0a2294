"""Strange inputs end with a message and an exit code: never a traceback, never in silence.

A generator takes good files of every kind, leaves out or empties parts of them, or puts a strange
value in place of one of their numbers, and runs the commands on them in this process.
"""

from __future__ import annotations

import copy
import csv
import json
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandapower as pp
import pytest
from command_line import run
from hierarchy_cases import FILE, write
from sampling import much, some
from toml_text import toml_text
from typer.testing import Result

from gateway.formats.input_files import read_toml

START = datetime(2026, 7, 1, tzinfo=UTC)
GOOD: dict[str, Any] = {
    "area": "village",
    "network": {
        "source": "net.json",
        "connection_points": "load",
        "passive": "as-given",
        "model": "feeder",
        "distributed_slack": False,
        "outages": [],
    },
    "limits": {"voltage_min_pu": 0.92, "voltage_max_pu": 1.08},
    "interface": {
        "voltage_min_pu": 0.98,
        "voltage_max_pu": 1.03,
        "injection_limit_w": 60_000,
        "withdrawal_limit_w": 60_000,
        "reactive_min_var": -50_000,
        "reactive_max_var": 50_000,
    },
    "capacity": {
        "injection_w": {"default": 20_000, "load:0": 10_000},
        "withdrawal_w": 20_000,
        "power_factor": 1.0,
        "cone_power_factor": 1.0,
        "reactive_min_var": 0,
        "reactive_max_var": 0,
        "fallback_injection_w": 100,
        "fallback_withdrawal_w": {"default": 0},
    },
    "uncertainty": {
        "set": "budget",
        "gamma": 1.0,
        "relative": {"default": 0.1},
        "absolute_w": 0,
        "groups": [],
        "impedance": 0.0,
    },
    "fairness": {"rule": "alpha", "alpha": 2.0, "over": "limits", "weights": {"default": 1.0}},
    "actions": {
        "switchable": ["line:0", "line:2", "line:3"],
        "taps": {"trafo:0": [-1, 1]},
        "most_operations": 3,
        "exact_limit": 1000,
        "evaluations": 20,
    },
    "market": {
        "tick": "0.0001",
        "lot_w": 100,
        "reserve_price": "0",
        "gate_closure_minutes": 0,
        "opening_minutes": 60,
        "batch_seconds": 60,
    },
    "metering": {"penalty_price": "0.1", "tolerance_w": 0, "window_hours": 24},
    "intervals": {"start": START, "minutes": 15, "count": 2, "limits_file": "limits.csv"},
    "participants": {"anna": ["load:1"]},
    "perimeters": {"west": ["load:2"]},
    "profiles": {},
    "inverters": {},
}
COMMANDS = ("allocate", "verify", "fairness", "topology", "outputs", "plot", "simulate", "report")
NUMBERS: list[Any] = [float("nan"), float("inf"), 1e30, 10**30, -(10**30), -1, 0, 1e-30, "text"]
NEVER = {str(each) for each in NUMBERS if each not in (-1, 0, 1e-30)}
"""Values that no number of an input may have."""
INFINITE = ("alpha",)
"""Keys of numbers that may be as large as one likes: alpha of infinity is max-min."""
ORDER: dict[str, Any] = {
    "time": "2026-06-30T12:00:00Z",
    "type": "submit",
    "participant": "load:3",
    "client_order_id": "o1",
    "connection_point": "load:3",
    "direction": "injection",
    "interval": "2026-07-01T00:00:00Z",
    "side": "buy",
    "quantity_w": 500,
    "price": "0.0100",
}

Path_ = tuple[Any, ...]


def few_and_many(few: int, many: int) -> list[object]:
    """Return seeds and numbers of examples: few of them fast, many in the slow tests."""
    return [(0, few), pytest.param(1, much(many, 10), marks=pytest.mark.slow)]


def small_ring() -> Any:
    """Return three loads and a generator on a ring of three lines, one of them open."""
    net = pp.create_empty_network(sn_mva=0.1)
    upper, head = pp.create_bus(net, 20.0), pp.create_bus(net, 0.4)
    pp.create_ext_grid(net, upper)
    pp.create_transformer_from_parameters(
        net, upper, head, sn_mva=0.15, vn_hv_kv=20.0, vn_lv_kv=0.4, vkr_percent=1.5,
        vk_percent=4.0, pfe_kw=0.3, i0_percent=0.3, tap_side="hv", tap_neutral=0, tap_pos=0,
        tap_min=-2, tap_max=2, tap_step_percent=2.5, tap_changer_type="Ratio",
    )  # fmt: skip
    buses = [head, *(pp.create_bus(net, 0.4) for _ in range(3))]
    for bus in (*buses[1:], buses[3]):
        pp.create_load(net, bus, p_mw=0.004)
    pp.create_sgen(net, buses[1], p_mw=0.001)
    for k, (a, b) in enumerate([(0, 1), (1, 2), (2, 3), (3, 0)]):
        line = pp.create_line(net, buses[a], buses[b], 0.1, "NAYY 4x50 SE")
        net.line.loc[line, "in_service"] = k < 3
    return net


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with good files of every kind, all envelopes allocated from them."""
    at = tmp_path_factory.mktemp("good")
    pp.to_json(small_ring(), str(at / "net.json"))
    (at / "limits.csv").write_text("start,injection_limit_w\n2026-07-01T00:00:00Z,50000\n")
    (at / "orders.jsonl").write_text(json.dumps(ORDER) + "\n")
    path = at / "good.toml"
    path.write_text(toml_text(GOOD))
    for suffix in ("json", "csv"):
        result = run("allocate", path, "-o", at / f"r.{suffix}")
        assert result.exit_code == 0, result.stderr
    return at


def arguments(command: str, at: Path, scenario: Path) -> list[Any]:
    """Return the arguments of a command on a scenario, with the good files beside it."""
    envelopes, orders = at / "r.json", at / "orders.jsonl"
    picture = [envelopes, "-o", at / "p.png", "--kind", "network", "--scenario", scenario]
    return {
        "allocate": ["allocate", scenario, "-o", at / "x.json"],
        "verify": ["verify", scenario, envelopes],
        "fairness": ["fairness", scenario],
        "topology": ["topology", scenario],
        "outputs": ["outputs", scenario, envelopes],
        "plot": ["plot", *picture],
        "simulate": ["simulate", scenario, orders],
        "report": ["report", scenario, orders],
    }[command]


def check_ends_well(result: Result, case: Any) -> None:
    """Check that a command ended with an exit code of its own, and with a message if it failed."""
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise AssertionError(case) from result.exception
    assert result.exit_code in (0, 1, 2), case
    assert "Traceback" not in result.stderr, case
    assert result.exit_code == 0 or (result.stderr + result.stdout).strip(), case
    assert result.exit_code != 2 or "error: " in result.stderr or "Usage: " in result.stderr, case


def leaves(content: Any, path: Path_ = ()) -> Iterator[tuple[Path_, Any]]:
    """Yield the values of a tree with their paths; of lists the first two."""
    if isinstance(content, Mapping):
        for key, value in content.items():
            yield from leaves(value, (*path, key))
    elif isinstance(content, list):
        for k, value in enumerate(content[:2]):
            yield from leaves(value, (*path, k))
    else:
        yield path, content


def numbers(content: Any) -> list[Path_]:
    """Return the paths of the numbers in a tree."""
    return [
        path
        for path, value in leaves(content)
        if isinstance(value, int | float) and not isinstance(value, bool)
    ]


def with_value(content: Any, path: Path_, value: Any) -> Any:
    """Return the tree with another value at a path."""
    changed = copy.deepcopy(content)
    at = changed
    for key in path[:-1]:
        at = at[key]
    at[path[-1]] = value
    return changed


def reduced(content: dict[str, Any], rng: np.random.Generator) -> tuple[str, dict[str, Any]]:
    """Return the content with one to four parts left out or emptied, and what was done."""
    changed, done = copy.deepcopy(content), []
    for _ in range(int(rng.integers(1, 5))):
        section = str(rng.choice(list(changed)))
        table, how = changed[section], int(rng.integers(4))
        if how == 0 or not table:
            del changed[section]
            done.append(f"no {section}")
        elif how == 1:
            changed[section] = [[], {}, ""][int(rng.integers(3))]
            done.append(f"{section} empty")
        elif isinstance(table, dict):
            key = str(rng.choice(list(table)))
            if how == 2:
                del table[key]
                done.append(f"no {section}.{key}")
            else:
                table[key] = [[], {}, ""][int(rng.integers(3))]
                done.append(f"{section}.{key} = {table[key]!r}")
        if not changed:
            break
    return ", ".join(done), changed


OPTIONAL = [section for section in GOOD if section not in ("network", "interface", "capacity")]


@pytest.mark.parametrize(
    "seed", [0, 1, *(pytest.param(k, marks=pytest.mark.slow) for k in some(range(2, 60), 12))]
)
def test_parts_left_out_or_empty_end_well_in_every_command(folder: Path, seed: int) -> None:
    rng = np.random.default_rng(seed)
    case, content = reduced(GOOD, rng)
    scenario = folder / f"reduced-{seed}.toml"
    scenario.write_text(toml_text(content))
    for command in COMMANDS:
        check_ends_well(run(*arguments(command, folder, scenario)), (case, command))


@pytest.mark.slow
@pytest.mark.parametrize("section", some(OPTIONAL, 4))
def test_every_optional_section_may_be_absent_or_empty(folder: Path, section: str) -> None:
    for content in (
        {name: table for name, table in GOOD.items() if name != section},
        {name: table for name, table in GOOD.items() if name not in OPTIONAL or name == section},
        {**GOOD, section: {}},
    ):
        scenario = folder / f"without-{section}.toml"
        scenario.write_text(toml_text(content))
        for command in COMMANDS:
            check_ends_well(run(*arguments(command, folder, scenario)), (section, command))


@pytest.mark.parametrize(("taps", "switchable"), [({"trafo:0": [-1, 1]}, None), (["trafo:0"], [])])
def test_taps_alone_are_chosen(folder: Path, taps: Any, switchable: Any) -> None:
    scenario = folder / "taps.toml"
    actions = {"taps": taps} | ({} if switchable is None else {"switchable": switchable})
    content = {name: GOOD[name] for name in ("network", "interface", "capacity")}
    scenario.write_text(toml_text({**content, "actions": actions}))
    result = run("topology", scenario, "--json")
    assert result.exit_code == 0, result.stderr
    outcome = json.loads(result.stdout)
    assert outcome["configurations"] == (3 if isinstance(taps, dict) else 5)
    assert outcome["exact"]
    # The oracle: each position, allocated on its own.
    smallest = {}
    for position in (-1, 0, 1) if isinstance(taps, dict) else (-2, -1, 0, 1, 2):
        net = small_ring()
        net.trafo["tap_pos"] = position
        pp.to_json(net, str(folder / "tapped.json"))
        tapped = {**content, "network": {**content["network"], "source": "tapped.json"}}
        scenario.write_text(toml_text(tapped))
        allocated = json.loads(run("allocate", scenario, "--json").stdout)
        smallest[position] = sorted(
            limit_w
            for each in allocated["intervals"][0]["envelopes"]
            for limit_w in (each["injection_limit_w"], each["withdrawal_limit_w"])
        )
    best = outcome["best"]["taps"]["trafo:0"]
    assert smallest[best] == max(smallest.values())


def strange_of(paths: list[Path_], seed: int, count: int) -> list[tuple[Path_, Any]]:
    """Return some of all pairs of a number's path and a strange value."""
    every = [(path, value) for path in paths for value in NUMBERS]
    rng = np.random.default_rng(seed)
    return [every[k] for k in rng.choice(len(every), min(count, len(every)), replace=False)]


def check_named(result: Result, path: Path_, value: Any, file: str) -> None:
    """Check that a strange number was refused by its key, if no number of an input may be it."""
    case = (path, value)
    check_ends_well(result, case)
    large = path[-1] in INFINITE and not isinstance(value, str) and value > 0
    if str(value) in NEVER and not large:
        assert result.exit_code == 2, case
        words = [str(each) for each in path if not isinstance(each, int)]
        assert any(word in result.stderr for word in words[-1:] + words[1:2]), (case, result.stderr)
        assert file in result.stderr, (case, result.stderr)
        told = str(value) if isinstance(value, int) else json.dumps(value).strip('"')
        assert told in result.stderr, (case, result.stderr)  # the number


@pytest.mark.parametrize(("seed", "count"), few_and_many(15, 400))
def test_strange_numbers_of_a_scenario_are_named(folder: Path, seed: int, count: int) -> None:
    scenario = folder / "strange.toml"
    for path, value in strange_of(numbers(GOOD), seed, count):
        scenario.write_text(toml_text(with_value(GOOD, path, value)))
        result = run("outputs", scenario, folder / "r.json")
        check_named(result, path, value, scenario.name)


@pytest.mark.parametrize(("seed", "count"), few_and_many(6, 300))
def test_strange_numbers_of_envelopes_are_named(folder: Path, seed: int, count: int) -> None:
    content = json.loads((folder / "r.json").read_text())
    paths = [path for path in numbers(content) if "envelopes" in path]
    strange = folder / "strange.json"
    for path, value in strange_of(paths, seed, count):
        text = json.dumps(with_value(content, path, "@")).replace('"@"', json.dumps(value))
        strange.write_text(text)
        for command in ("verify", "outputs"):
            result = run(command, folder / "good.toml", strange)
            check_named(result, path, value, strange.name)


@pytest.mark.parametrize("value", [str(each) for each in NUMBERS])
def test_strange_limits_of_a_table_are_named(folder: Path, value: str) -> None:
    rows = list(csv.reader((folder / "r.csv").read_text().splitlines()))
    rows[2][4] = value
    strange = folder / "strange.csv"
    with strange.open("w", newline="") as stream:
        csv.writer(stream).writerows(rows)
    result = run("outputs", folder / "good.toml", strange)
    check_named(result, ("limit_w",), value, strange.name)
    assert (result.exit_code == 0) == (value == "0")


def test_a_limit_beyond_all_powers_is_named_with_its_number(folder: Path) -> None:
    content = json.loads((folder / "r.json").read_text())
    content["intervals"][0]["envelopes"][0]["injection_limit_w"] = 10**30
    strange = folder / "huge.json"
    strange.write_text(json.dumps(content))
    result = run("verify", folder / "good.toml", strange)
    assert result.exit_code == 2
    assert "intervals.0.envelopes.0.injection_limit_w" in result.stderr
    assert "1000000000000" in result.stderr
    assert f"found {10**30}" in result.stderr


@pytest.mark.parametrize(
    "path", [("actions", "taps", "trafo:0", 1), ("actions", "most_operations")], ids=str
)
def test_huge_actions_are_named(folder: Path, path: Path_) -> None:
    scenario = folder / "huge.toml"
    scenario.write_text(toml_text(with_value(GOOD, path, 10**30)))
    check_named(run("topology", scenario), path, 10**30, scenario.name)


TABLES = {
    "limits.csv": ("intervals", "injection_limit_w,voltage_max_pu", "50000,1.02"),
    "powers.csv": ("profiles", "sgen:0,sgen:0.lower,sgen:0.upper", "1000,900,1200"),
    "capacities.csv": ("profiles", "load:1.injection_w", "1000"),
}


@pytest.mark.parametrize("table", TABLES)
def test_strange_numbers_of_tables_are_named(folder: Path, table: str) -> None:
    section, heading, cells = TABLES[table]
    content = copy.deepcopy(GOOD)
    del content["uncertainty"], content["interface"]["reactive_min_var"]
    content["fairness"] = {}
    key = {"limits.csv": "limits_file", "powers.csv": "powers", "capacities.csv": "capacities"}
    content[section][key[table]] = f"strange-{table}"
    if table == "powers.csv":
        content["profiles"]["unit"] = "w"
    scenario = folder / f"{table}.toml"
    scenario.write_text(toml_text(content))
    for column, name in enumerate(heading.split(",")):
        for value in (*NUMBERS[:4], -1, "text", ""):
            row = cells.split(",")
            row[column] = str(value)
            lines = [f"{time},{','.join(row)}" for time in ("2026-07-01T00:00:00Z",)]
            lines.append(f"2026-07-01T00:15:00Z,{cells}")
            text = "\n".join([f"start,{heading}", *lines])
            (folder / f"strange-{table}").write_text(f"{text}\n")
            result = run("outputs", scenario, folder / "r.json")
            case = (table, name, value)
            check_ends_well(result, case)
            if str(value) in NEVER:
                assert result.exit_code == 2, case
                assert name.partition(".")[0] in result.stderr, (case, result.stderr)
                assert f"strange-{table}" in result.stderr, (case, result.stderr)


@pytest.mark.parametrize("key", ["quantity_w", "price"])
def test_strange_numbers_of_orders_are_refusals(folder: Path, key: str) -> None:
    lines = [json.dumps({**ORDER, key: value}) for value in NUMBERS]
    lines += [json.dumps({**ORDER, key: str(value)}) for value in NUMBERS]
    orders = folder / "strange.jsonl"
    orders.write_text("\n".join(lines) + "\n")
    file = folder / "strange-result.json"
    result = run("simulate", folder / "good.toml", orders, "-o", file)
    check_ends_well(result, key)
    content = json.loads(file.read_text())
    refused = {each["line"] for each in content["refusals"]}
    accepted = [lines[k - 1] for k in range(1, len(lines) + 1) if k not in refused]
    kept = [str(json.loads(line)[key]) for line in accepted]
    assert not set(kept) & NEVER


@pytest.mark.parametrize(("seed", "count"), few_and_many(3, 150))
def test_strange_numbers_of_a_hierarchy_are_named(tmp_path: Path, seed: int, count: int) -> None:
    good = read_toml(write(tmp_path, FILE))
    strange = tmp_path / "strange.toml"
    for path, value in strange_of(numbers(good), seed, count):
        strange.write_text(toml_text(with_value(good, path, value)))
        check_named(run("hierarchy", strange), path, value, strange.name)


@pytest.mark.parametrize(
    "seed", [0, 1, *(pytest.param(k, marks=pytest.mark.slow) for k in some(range(2, 40), 12))]
)
def test_parts_of_a_hierarchy_left_out_or_empty_end_well(tmp_path: Path, seed: int) -> None:
    case, content = reduced(read_toml(write(tmp_path, FILE)), np.random.default_rng(seed))
    changed = tmp_path / "reduced.toml"
    changed.write_text(toml_text(content))
    check_ends_well(run("hierarchy", changed), case)
    check_ends_well(run("contract", changed, "left", "--steps", "1"), case)
