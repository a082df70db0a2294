"""The command ``procure``: its file, its tables, its picture and its exit codes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from command_line import run
from presence import there

from gateway.flexibility.procurement_result import OutcomeRecord, ProcurementFile
from gateway.formats.input_files import bundled

BUNDLED = "bundled:feeder-12bus"


def written(path: Path, *arguments: Any, exit_code: int = 0) -> ProcurementFile:
    result = run("procure", *arguments, "-o", path)
    assert result.exit_code == exit_code, result.output
    return ProcurementFile.model_validate_json(path.read_bytes())


def outcome(content: ProcurementFile, case: str) -> OutcomeRecord:
    return there(next(each for each in content.cases if each.case == case).outcome)


@pytest.fixture(scope="module")
def usual(tmp_path_factory):
    return written(tmp_path_factory.mktemp("procure") / "result.json", BUNDLED)


def test_the_file_has_every_case_with_its_activations_and_why(usual):
    assert [each.case for each in usual.cases] == ["1", "2", "3"]
    assert outcome(usual, "1").activated_kw == 0.0
    second = outcome(usual, "2")
    (active,) = (each for each in second.activated if each.activated_kw)
    assert (active.resource, active.bus, active.because) == ("pod:4", "bus:6", "branch:2-3")
    assert active.activated_kw == pytest.approx(54.268, rel=1e-3)
    assert active.cost_eur_per_h == pytest.approx(active.activated_kw)
    (binding,) = second.binding
    assert binding.element == "branch:2-3"
    assert (binding.limit, binding.unit) == (117.0, "A")
    # one more ampere saves what the offer that would be less costs, for its effect
    assert binding.shadow_price_eur_per_h == pytest.approx(1 / active.relief_per_kw, rel=0.01)
    assert binding.given_away == pytest.approx(0.55, abs=0.01)
    assert binding.ac_percent == pytest.approx(99.55, abs=0.01)


def test_currents_and_voltages_are_before_and_after_with_their_worst(usual):
    second = outcome(usual, "2")
    for each in second.branches:
        assert each.after_a <= each.robust_after_a + 1e-9
        assert each.ac_worst_after_a - each.robust_after_a <= second.linearisation_error_a + 1e-9
        if each.before_a > 1.0:  # others carry charging current, which rises with voltage
            assert each.robust_after_a <= each.robust_before_a + 1e-9
    branch = next(each for each in second.branches if each.element == "branch:2-3")
    assert branch.limit_a == 117.0
    assert branch.deviation_re_a == pytest.approx(9.8756, rel=1e-3)
    assert branch.deviation_im_a == pytest.approx(-5.569, rel=1e-3)
    assert branch.robust_after_a == pytest.approx(116.45, rel=1e-3)
    assert branch.ac_worst_after_a == pytest.approx(116.47, rel=1e-3)
    for bus in second.buses:
        assert bus.ac_lowest_before_pu < bus.before_pu < bus.ac_highest_before_pu
        assert bus.after_pu >= bus.before_pu
    attack = there(second.adversary_after)
    assert attack.value == pytest.approx(branch.ac_worst_after_a, abs=1e-6)
    assert there(second.adversary_before).percent > 103.0


def test_iterated_the_adversary_finds_the_limit_and_nothing_above(tmp_path):
    content = written(tmp_path / "r.json", BUNDLED, "--ac-exact", "--case", "2", "--case", "3")
    for each in ("2", "3"):
        found = outcome(content, each)
        assert f"{there(found.adversary_after).percent:.4f}" == "100.0000"
        assert there(found.adversary_after).percent <= 100.0
        assert found.polygon is None
        assert found.ac_secure
        assert found.rounds > 0


def test_options_are_in_the_file(tmp_path):
    arguments = ["--set", "gamma=3", "--currents", "cones", "--planes", "8", "--case", "2"]
    content = written(tmp_path / "r.json", BUNDLED, *arguments, exit_code=1)
    assert (content.set, content.set_size, content.currents.value) == ("budget", 3.0, "cones")
    assert (content.planes, len(content.cases)) == (8, 1)


def test_what_the_linear_model_leaves_above_a_limit_is_said_and_is_exit_code_1(tmp_path):
    """The circle is exact in the linear model, and 0.02 % beyond the limit in AC."""
    arguments = [BUNDLED, "--currents", "refined", "--case", "2"]
    content = written(tmp_path / "r.json", *arguments, exit_code=1)
    found = outcome(content, "2")
    assert not found.ac_secure
    assert there(found.adversary_after).percent == pytest.approx(100.021, abs=1e-3)
    assert "not secure in AC power flow" in run("procure", *arguments).output


def test_the_most_for_the_tso_is_what_is_left(tmp_path):
    content = written(tmp_path / "r.json", BUNDLED, "--objective", "upward", "--case", "2")
    found = outcome(content, "2")
    tso = there(found.tso)
    assert tso.available_kw + found.activated_kw == pytest.approx(650.0)
    assert tso.interface_change_kw == pytest.approx(tso.available_kw, rel=0.01)
    assert sum(each.tso_kw for each in found.activated) == pytest.approx(tso.available_kw)


def test_tables_and_json_go_to_stdout_and_pictures_to_a_file(tmp_path):
    result = run("procure", BUNDLED, "--case", "2", "--plot", tmp_path / "p.svg")
    assert result.exit_code == 0
    assert (tmp_path / "p.svg").stat().st_size > 10_000
    assert "pod:4      bus:6   up    branch:2-3" in result.output
    assert "The polygon of 32 planes gives away 0.549 A" in result.output
    shown = run("procure", BUNDLED, "--case", "1", "--json")
    assert json.loads(shown.stdout)["cases"][0]["case"] == "1"


def changed(tmp_path: Path, **changes: Any) -> Path:
    """Return the file of the bundled case with other limits."""
    content = json.loads(bundled("flexibility/feeder-12bus.json").read_text(encoding="utf-8"))
    path = tmp_path / "changed.json"
    path.write_text(json.dumps(content | changes), encoding="utf-8")
    return path


def infeasible(tmp_path: Path) -> Path:
    return changed(tmp_path, current_limit_a={"2-3": 66.0})


@pytest.mark.parametrize("more", [[], ["--ac-exact"]])
def test_a_voltage_that_is_too_low_is_why_flexibility_is_bought(tmp_path, more):
    case = changed(tmp_path, current_limit_a={}, voltage_min_pu=0.9966)
    content = written(tmp_path / "r.json", case, "--case", "2", *more)
    found = outcome(content, "2")
    binding = found.binding[0]
    assert (binding.element, binding.quantity, binding.unit) == ("bus:9", "lowest voltage", "p.u.")
    assert binding.ac_worst == pytest.approx(0.9966, abs=1e-8 if more else 2e-6)
    assert binding.ac_worst >= 0.9966
    active = [each for each in found.activated if each.activated_kw]
    assert {each.because for each in active} == {"bus:9"}
    assert all(0.0 < each.relief_per_kw < 1e-5 for each in active)
    last = min(active, key=lambda each: each.relief_per_kw)  # in part, at equal prices
    assert binding.shadow_price_eur_per_h == pytest.approx(1.0 / last.relief_per_kw, rel=0.01)
    nine = next(each for each in found.buses if each.element == "bus:9")
    assert nine.ac_lowest_after_pu == pytest.approx(binding.ac_worst, abs=1e-9)
    assert nine.ac_lowest_before_pu < 0.9966


def test_a_limit_at_both_ends_needs_a_little_more_and_a_limit_at_one_says_what_the_other_has(
    tmp_path,
):
    both = changed(tmp_path, current_limit_ends="both")
    found = outcome(written(tmp_path / "r.json", both, "--ac-exact", "--case", "2"), "2")
    branch = next(each for each in found.branches if each.element == "branch:2-3")
    assert branch.other_end_ac_worst_after_a == pytest.approx(117.0, rel=1e-7)
    assert branch.ac_worst_after_a < 117.0
    one = run("procure", BUNDLED, "--ac-exact", "--case", "2").output
    assert "is limited at its from end; at the other it reaches 117.030 of 117 A" in one


def test_a_case_without_activation_names_the_branch_and_what_is_missing(tmp_path):
    """The others have theirs: case 1 is feasible at 66 A, cases 2 and 3 are not."""
    path, picture = tmp_path / "result.json", tmp_path / "p.png"
    result = run("procure", infeasible(tmp_path), "-o", path, "--plot", picture)
    assert result.exit_code == 1
    assert "no activation keeps all limits: branch:2-3: it cannot be relieved" in result.output
    content = ProcurementFile.model_validate_json(path.read_bytes())
    assert [each.outcome is None for each in content.cases] == [False, True, True]
    short = there(content.cases[1].shortfall)
    (over,) = short.exceeded
    assert over.element == "branch:2-3"
    assert over.value == pytest.approx(over.limit + over.excess)
    assert over.excess == pytest.approx(3.9, abs=0.2)
    assert [each.direction.value for each in short.missing] == ["upward"]
    assert 20.0 < short.missing[0].missing_kw < 80.0
    assert picture.stat().st_size > 10_000


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ([BUNDLED, "--set", "ball"], "--set: it is 'ball'; it should be box, gamma=NUMBER"),
        ([BUNDLED, "--set", "gamma=9"], "gamma is 9.0; it must be from 0 to 7"),
        ([BUNDLED, "--case", "9"], "cases.9: there is no such case; the file has 1, 2, 3"),
        (["bundled:nothing"], "there is no bundled case of that name"),
        (["nowhere.json"], "it cannot be read"),
        ([BUNDLED, "--objective", "most"], "upward"),
        ([BUNDLED, "--planes", "2"], "greater than or equal to 3"),
    ],
)
def test_bad_input_gets_a_sentence_and_exit_code_2(arguments, sentence):
    result = run("procure", *arguments)
    assert result.exit_code == 2
    assert sentence in result.output


def test_a_case_without_a_power_flow_says_which_and_with_what_powers(tmp_path):
    content = json.loads(bundled("flexibility/feeder-12bus.json").read_text(encoding="utf-8"))
    content["pods"][2]["p_kw"] = 1e6
    path = tmp_path / "heavy.json"
    path.write_text(json.dumps(content), encoding="utf-8")
    result = run("procure", path, "--case", "2")
    assert result.exit_code == 2
    assert "case 2: without activation, at 1 p.u. and with 1.00109e+06 kW" in result.output
    assert "bus:" in result.output


def test_the_result_does_not_take_the_place_of_the_case(tmp_path):
    path = infeasible(tmp_path)
    before = path.read_bytes()
    assert run("procure", path, "-o", path).exit_code == 2
    assert path.read_bytes() == before
