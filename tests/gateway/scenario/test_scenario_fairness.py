"""The section [fairness] of a scenario: faults with their key, and envelopes that heed it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandapower as pp
import pytest
from presence import there
from scenario_files import GOOD, faults_of, load, small_net
from typer.testing import CliRunner

from doe_allocation.allocation.network_grid import NetworkGrid
from doe_allocation.fairness.principles import ComparedShare, Fairness, Rule
from gateway.cli.main import app
from gateway.runs.allocation import allocate_intervals

TIGHT = GOOD.replace(
    "voltage_max_pu = 1.04",
    "voltage_max_pu = 1.04\ninjection_limit_w = 40000\nwithdrawal_limit_w = 30000",
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    pp.to_json(small_net(), str(tmp_path / "net.json"))
    return tmp_path


def with_section(text: str) -> str:
    return f"{TIGHT}\n[fairness]\n{text}\n"


def test_without_the_section_it_is_max_min_of_equals(folder):
    terms = load(folder, GOOD).fairness
    assert terms.principle == Fairness()
    assert terms.coupling is None
    assert set(terms.weights.tolist()) == {1.0}


def test_everything_it_may_say(folder):
    terms = load(
        folder, with_section('rule = "alpha"\nalpha = 2\nforgetting = 0.9\ngain = 2')
    ).fairness
    assert terms.principle == Fairness(Rule.ALPHA, alpha=2.0)
    coupling = there(terms.coupling)
    assert (coupling.forgetting, coupling.gain) == (0.9, 2.0)
    terms = load(folder, with_section('over = "width"')).fairness
    assert terms.principle == Fairness(over=ComparedShare.WIDTH)
    scenario = load(folder, with_section('weights = {default = 1.0, "load:1" = 2.5}'))
    place = scenario.network.connection_points.index("load:1")
    weights = scenario.fairness.weights.reshape(2, -1)
    assert weights[:, place].tolist() == [2.5, 2.5]
    assert np.delete(weights, place, axis=1).max() == 1.0


@pytest.mark.parametrize(
    ("text", "element", "detail"),
    [
        ('rule = "best"', "fairness.rule", "max_min"),
        ('rule = "alpha"', "fairness.alpha", "needs it"),
        ("alpha = 2", "fairness.alpha", 'the rule is "max_min"'),
        ('rule = "alpha"\nalpha = -1', "fairness.alpha", "0"),
        ('rule = "alpha"\nalpha = nan', "fairness.alpha", "0"),
        ('rule = "equal"\nover = "width"', "fairness.over", 'the rule is "equal"'),
        ('common = "all"', "fairness.common", 'the rule is "max_min"'),
        ("gain = 2", "fairness.gain", "fairness.forgetting is not"),
        ("forgetting = 1", "fairness.forgetting", "1"),
        ('rule = "equal"\nweights = 2', "fairness.weights", "takes no weights"),
        ('rule = "maximum_sum"\nforgetting = 0.5', "fairness.forgetting", "takes no weights"),
        ('weights = {default = 1, "load:99" = 2}', "load:99", "not a connection point"),
        ('weights = {"load:1" = 2}', "load:0", "neither a value for it nor a default"),
        ("weights = 0", "fairness.weights", "0.001"),
        ("fair = true", "fairness.fair", ""),
    ],
)
def test_faults_name_their_key(folder, text, element, detail):
    found = faults_of(folder, with_section(text))
    assert any(detail in sentence for sentence in found[element]), found


def test_the_grid_divides_as_the_section_says(folder):
    plain = load(folder, TIGHT)
    least = load(folder, with_section('rule = "maximum_sum"'))
    limits = plain.interface_limits
    sums = [scenario.grid().allocate(limits).limits_w.sum() for scenario in (plain, least)]
    assert sums[1] >= sums[0]
    equal = load(folder, with_section('rule = "equal"\ncommon = "all"'))
    assert isinstance(equal.grid(), NetworkGrid)
    assert len(set(equal.grid().allocate(limits).limits_w.tolist())) == 1


def test_intervals_of_a_day_are_coupled(folder):
    day = "\n[intervals]\nstart = 2030-06-01T10:00:00Z\ncount = 3\n"
    text = with_section('weights = {default = 1, "load:1" = 3}')
    apart = list(allocate_intervals(load(folder, text + day), lambda done: None))
    coupled = list(
        allocate_intervals(
            load(folder, text + "forgetting = 0.5\ngain = 4\n" + day), lambda done: None
        )
    )

    def of(content, k):
        return {e.connection_point: e.injection_limit_w for e in content[k][0].envelopes}

    assert of(apart, 0) == of(apart, 2) == of(coupled, 0)
    changed = {point for point in of(apart, 2) if of(apart, 2)[point] != of(coupled, 2)[point]}
    assert changed, "what was granted before does not matter"
    assert of(coupled, 2)["load:1"] < of(coupled, 0)["load:1"]


def test_the_command_compares_all_rules(folder):
    path = folder / "village.toml"
    path.write_text(with_section('rule = "alpha"\nalpha = 3'))
    result = CliRunner().invoke(
        app, ["fairness", str(path), "--json", "-o", str(folder / "f.json")]
    )
    assert result.exit_code == 0, result.output
    rules = json.loads((folder / "f.json").read_text())["rules"]
    assert all(rule["secure"] for rule in rules)
    assert [rule["alpha"] for rule in rules if rule["in_force"]] == [3.0]
    by_name = {(rule["rule"], rule["alpha"], rule["over"], rule["common"]): rule for rule in rules}
    fair = by_name["max_min", None, "limits", "direction"]
    largest = by_name["maximum_sum", None, "limits", "direction"]
    assert largest["price_of_fairness"] == pytest.approx(0.0, abs=1e-4)
    assert fair["minimum_w"] >= max(rule["minimum_w"] for rule in rules) - 1
    for rule in rules:
        lost = 1.0 - rule["sum_w"] / max(each["sum_w"] for each in rules)
        assert rule["price_of_fairness"] == pytest.approx(lost)
    table = CliRunner().invoke(app, ["fairness", str(path)])
    assert "maximum sum" in table.output
    assert CliRunner().invoke(app, ["fairness", str(path), "--interval", "2"]).exit_code == 2
