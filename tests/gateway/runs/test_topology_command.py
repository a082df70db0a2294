"""Switches and taps, from a scenario file to the best configuration."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandapower as pp
import pytest
from command_line import run
from presence import there
from scenario_files import faults_of, load
from switched_networks import CABLE, small_case

from doe_allocation.reconfiguration.choices import Configuration
from gateway.runs.reconfiguration import TopologyFile
from security_check.errors import GridError

SCENARIO = """
[network]
source = "net.json"
[limits]
voltage_min_pu = 0.93
voltage_max_pu = 1.07
[interface]
voltage_min_pu = {low}
voltage_max_pu = 1.03
[capacity]
injection_w = 30000
withdrawal_w = 30000
"""
ACTIONS = """
[actions]
switchable = ["line:0", "line:1", "line:2", "line:3", "line:4", "line:5"]
taps = {"trafo:0" = [-1, 1]}
"""
SWITCHES = ACTIONS.replace("taps", "# taps")


def ring(trafo_mva: float = 0.15) -> Any:
    """Return a feeder with a ring: lines 0 to 3 in a row, 4 back to the start, 5 across."""
    net = pp.create_empty_network(sn_mva=0.1)
    upper, head = pp.create_bus(net, 20.0), pp.create_bus(net, 0.4)
    pp.create_ext_grid(net, upper)
    pp.create_transformer_from_parameters(
        net, upper, head, sn_mva=trafo_mva, vn_hv_kv=20.0, vn_lv_kv=0.4, vkr_percent=1.5,
        vk_percent=4.0, pfe_kw=0.3, i0_percent=0.3, tap_side="hv", tap_neutral=0, tap_pos=0,
        tap_min=-2, tap_max=2, tap_step_percent=2.5, tap_changer_type="Ratio",
    )  # fmt: skip
    buses = [head, *(pp.create_bus(net, 0.4) for _ in range(4))]
    for bus in buses[1:]:
        pp.create_load(net, bus, p_mw=0.004)
    ends = [(0, 1), (1, 2), (2, 3), (3, 4), (4, 0), (1, 3)]
    for k, (a, b) in enumerate(ends):
        pp.create_line_from_parameters(
            net,
            buses[a],
            buses[b],
            length_km=0.1 + 0.03 * k,
            max_i_ka=0.2,
            in_service=k < 4,
            **CABLE,
        )
    return net


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    pp.to_json(ring(), str(tmp_path / "net.json"))
    return tmp_path


def write(folder: Path, text: str, low: float = 0.98) -> Path:
    path = folder / "scenario.toml"
    path.write_text(text.replace("{low}", str(low)))
    return path


def found(folder: Path, text: str) -> TopologyFile:
    result = run("topology", write(folder, text), "--json")
    assert result.exit_code == 0, result.stderr
    return TopologyFile.model_validate_json(result.stdout)


@pytest.mark.slow
def test_the_command_finds_what_brute_force_finds(folder: Path) -> None:
    import numpy as np

    case = small_case(0)  # only for its way of trying everything
    case.net, case.capacity_w, case.power_factor, case.passive = ring(), 30_000, 1.0, "none"
    case.switchable = tuple(f"line:{k}" for k in range(6))
    case.taps = {"trafo:0": (-1, 1)}
    case.interface = type(case.interface)(0.98, 1.03)
    every = list(case.brute_force())
    present = Configuration((True,) * 4 + (False,) * 2, (0,))
    chosen, limits_w = max(
        every, key=lambda e: (np.sort(e[1]).tolist(), -e[0].operations_from(present))
    )
    content = found(folder, SCENARIO + ACTIONS)
    assert content.best is not None
    assert content.exact
    assert content.best.smallest_uncapped_limit_w == int(limits_w.min()) == content.bound_w
    assert content.best.taps == {"trafo:0": chosen.taps[0]}
    closed = [n for n, c in zip(case.switchable, chosen.closed, strict=True) if c]
    assert content.best.closed == closed
    assert len(content.best.operations) == chosen.operations_from(present)
    assert content.configurations == len(case.radial())
    assert content.present.smallest_uncapped_limit_w == int(case.allocated(present).min())
    assert content.adversary_loading == pytest.approx(1.0, abs=2e-3)
    assert there(content.adversary_loading) < 1.0 + 1e-6


def test_a_longer_way_gives_no_customer_more(folder: Path) -> None:
    """Voltages bind: supply through a longer line of the same cable leaves all customers less."""
    net = ring(trafo_mva=1.0)
    pp.create_line_from_parameters(
        net, 5, 4, length_km=0.6, max_i_ka=0.2, in_service=False, **CABLE
    )  # besides line 3, which is shorter
    pp.to_json(net, str(folder / "net.json"))
    text = SCENARIO + '[actions]\nswitchable = ["line:3", "line:6"]\n'
    content = found(folder, text)
    assert content.best is not None
    assert content.best.open == ["line:6"]  # nothing to do
    assert not content.best.operations
    net.line.loc[[3, 6], "in_service"] = False, True
    pp.to_json(net, str(folder / "net.json"))
    longer = found(folder, text)
    assert longer.best is not None
    assert longer.best.smallest_uncapped_limit_w == content.best.smallest_uncapped_limit_w
    assert longer.present.smallest_uncapped_limit_w is not None
    assert content.best.smallest_uncapped_limit_w is not None
    assert longer.present.smallest_uncapped_limit_w < content.best.smallest_uncapped_limit_w
    assert longer.best.operations == ["put line:3 into service", "take line:6 out of service"]


def test_operations_put_into_service_first(folder: Path) -> None:
    content = found(folder, SCENARIO + ACTIONS)
    assert content.best is not None
    verbs = [operation.split()[0] for operation in content.best.operations]
    assert verbs == sorted(verbs, key=["put", "take", "move"].index)


def test_tables_and_files(folder: Path) -> None:
    scenario = write(folder, SCENARIO + ACTIONS)
    result = run("topology", scenario, "-o", folder / "out.json")
    assert result.exit_code == 0, result.stderr
    assert "Exact: no other allowed radial configuration" in result.stdout
    assert "present" in result.stdout
    TopologyFile.model_validate_json((folder / "out.json").read_text())
    heuristic = SCENARIO + ACTIONS + "exact_limit = 1\n"
    result = run("topology", write(folder, heuristic))
    assert "the gap is" in " ".join(result.stdout.split())


def test_all_intervals_count(folder: Path) -> None:
    """A second interval with a tighter contract can only lower what is attainable."""
    intervals = """
[intervals]
start = 2026-07-01T00:00:00Z
count = 2
limits_file = "limits.csv"
"""
    (folder / "limits.csv").write_text("start,withdrawal_limit_w\n2026-07-01T00:15:00Z,20000\n")
    alone, both = (found(folder, SCENARIO + ACTIONS + more).best for more in ("", intervals))
    assert alone is not None
    assert both is not None
    assert alone.smallest_uncapped_limit_w is not None
    assert both.smallest_uncapped_limit_w is not None
    assert both.smallest_uncapped_limit_w < 5_000 < alone.smallest_uncapped_limit_w


def test_without_a_bound_everything_is_tried(folder: Path) -> None:
    inverters = '[inverters]\nresponse = "ieee1547-b"\nrating_va = 30000\n'
    content = found(folder, SCENARIO + SWITCHES + inverters)
    assert "inverters" in content.bound_unavailable_reason
    assert content.proved_worse == 0
    assert content.evaluated == content.configurations


FAULTS = {
    'switchable = ["line:99"]': ("line:99", "there is no such switch or line"),
    'switchable = ["switch:0"]': ("switch:0", "there is no such switch or line"),
    'switchable = ["bus:1"]': ("bus:1", "there is no such switch or line"),
    'switchable = ["line:1", "line:1"]': ("line:1", "twice"),
    'taps = ["trafo:7"]': ("trafo:7", "there is no such transformer"),
    'taps = {"trafo:0" = [-3, 1]}': (
        "trafo:0",
        "positions -3 to 1 are not within its taps, -2 to 2",
    ),
    'taps = {"trafo:0" = [1, 2]}': ("trafo:0", "its present position 0 is not within 1 to 2"),
    'taps = {"trafo:0" = [2, 1]}': ("trafo:0", "positions 2 to 1"),
    "most_operations = 2": ("actions", "it names no switchable branches and no taps"),
    'switchable = ["line:1"]\nmost_operations = -1': ("actions.most_operations", "greater"),
}


@pytest.mark.parametrize("text", FAULTS)
def test_bad_actions_are_reported(folder: Path, text: str) -> None:
    element, sentence = FAULTS[text]
    faults = faults_of(folder, SCENARIO.replace("{low}", "0.98") + f"[actions]\n{text}\n")
    assert any(sentence in detail for detail in faults.get(element, ())), faults


def test_switches_that_change_nothing_are_reported(folder: Path) -> None:
    net = ring()
    net.line["in_service"] = True
    for line, bus, closed in ((4, 5, False), (4, 1, False), (5, 2, True), (5, 4, True)):
        pp.create_switch(net, bus, line, et="l", closed=closed)
    for column in ("tap_pos", "tap_neutral", "tap_step_percent"):
        net.trafo[column] = float("nan")
    net.trafo["tap_side"] = net.trafo["tap_changer_type"] = None
    pp.to_json(net, str(folder / "net.json"))
    text = '[actions]\nswitchable = ["switch:0", "switch:2", "line:5"]\ntaps = ["trafo:0"]\n'
    faults = faults_of(folder, SCENARIO.replace("{low}", "0.98") + text)
    assert "switch:1 keeps line:4 open" in faults["switch:0"][0]
    assert "name one of them" in faults["line:5"][0]
    assert "has no tap changer" in faults["trafo:0"][0]


def test_a_loop_that_no_switch_opens_is_reported(folder: Path) -> None:
    net = ring()
    net.line["in_service"] = True
    pp.to_json(net, str(folder / "net.json"))
    text = '[actions]\nswitchable = ["line:4"]\n'
    faults = faults_of(folder, SCENARIO.replace("{low}", "0.98") + text)
    assert list(faults) == ["line:5"]
    assert "closes a loop of branches none of which may be switched" in faults["line:5"][0]


def test_a_mesh_that_too_few_operations_cannot_open_is_reported(folder: Path) -> None:
    net = ring()
    net.line["in_service"] = True
    pp.to_json(net, str(folder / "net.json"))
    result = run("topology", write(folder, SCENARIO + SWITCHES + "most_operations = 1\n"))
    assert result.exit_code == 2
    assert "no radial configuration is within 1 operations" in " ".join(result.stderr.split())
    content = found(folder, SCENARIO + SWITCHES + "most_operations = 2\n")
    assert content.best is not None
    assert not content.present.radial


def test_without_actions_there_is_nothing_to_choose(folder: Path) -> None:
    result = run("topology", write(folder, SCENARIO))
    assert result.exit_code == 2
    assert "actions: this section is missing" in " ".join(result.stderr.split())


def test_no_configuration_may_be_secure(folder: Path) -> None:
    pp.to_json(ring(trafo_mva=0.06), str(folder / "net.json"))
    text = SCENARIO.replace("30000\nwith", "30000\nfallback_withdrawal_w = 30000\nwith")
    content = found(folder, text + SWITCHES)
    assert content.best is None
    assert sum(content.rejected.values()) == content.evaluated > 0
    assert "not secure" in content.present.infeasible_reason
    result = run("topology", write(folder, text + SWITCHES))
    assert "No configuration has secure envelopes" in result.stdout


def test_the_scenario_itself_is_that_of_the_present_state(folder: Path) -> None:
    scenario = load(folder, SCENARIO.replace("{low}", "0.98") + ACTIONS)
    assert scenario.actions is not None
    before = scenario.grid().allocate(scenario.interface_limits).limits_w
    closed = (False, True, True, True, True, False)
    net = scenario.actions.switched.set(Configuration(closed, (1,)))
    with_tap, _ = scenario.actions.network(net)
    assert with_tap.nodes == scenario.network.nodes
    assert (scenario.grid().allocate(scenario.interface_limits).limits_w == before).all()
    with pytest.raises(GridError, match=r"load:0: bus 2 .* has no path"):
        scenario.actions.network(scenario.actions.switched.set(Configuration((False,) * 6, (0,))))


@pytest.mark.parametrize("none", ["injection", "withdrawal"])
def test_the_smallest_limit_is_of_those_who_have_capacity(folder: Path, none: str) -> None:
    """A direction without any capacity would make it zero in any configuration."""
    text = SCENARIO.replace(f"{none}_w = 30000", f"{none}_w = 0")
    content = found(folder, text + SWITCHES)
    assert content.best is not None
    assert content.best.smallest_w == there(content.best.smallest_uncapped_limit_w) > 0
    assert content.present.smallest_w == there(content.present.smallest_uncapped_limit_w) > 0
    no_capacity = SCENARIO.replace("30000", "0")
    content = found(folder, no_capacity + SWITCHES)
    assert content.best is not None
    assert content.best.smallest_w is None


def test_json_is_json(folder: Path) -> None:
    result = run("topology", write(folder, SCENARIO + ACTIONS), "--json")
    assert json.loads(result.stdout)["exact"] is True
