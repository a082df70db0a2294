"""The commands ``hierarchy`` and ``contract``, from a file to tables, JSON and pictures."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from command_line import run
from hierarchy_cases import FILE, write
from pictures import check_figure, saved_figures

from gateway.hierarchy.contract_curve import CurveRecord
from gateway.hierarchy.result_file import HierarchyResult


@pytest.fixture(scope="module")
def hierarchy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("hierarchy"))


def test_contracts_and_envelopes_of_all_levels(hierarchy: Path, tmp_path: Path) -> None:
    file = tmp_path / "all.json"
    result = run("hierarchy", hierarchy, "--verify", "-o", file)
    assert result.exit_code == 0, result.stderr
    content = HierarchyResult.model_validate_json(file.read_bytes())
    operators = {each.operator: each for each in content.operators}
    assert list(operators) == ["top", "middle", "left", "right"]
    assert operators["top"].parent is None
    assert operators["left"].connection_point == "load:1"
    for each in content.operators:
        for child in each.children:
            agreed = operators[child.operator].contract
            assert agreed.injection_limit_w == child.injection_limit_w
            assert agreed.withdrawal_limit_w == child.withdrawal_limit_w
            assert child.connection_point not in {c.connection_point for c in each.customers}
    assert operators["middle"].contract.voltage_min_pu == 0.98
    assert content.joined is not None
    assert content.joined.holds
    assert content.joined.outages == ["line:0"]
    assert "all 4 contracts can be kept" in result.stdout
    assert "secure: every one of" in result.stdout
    assert all(f"\n{name} " in result.stdout for name in operators)


def test_json_is_all_there_is_on_stdout(hierarchy: Path) -> None:
    result = run("hierarchy", hierarchy, "--json")
    assert result.exit_code == 0
    assert json.loads(result.stdout)["joined"] is None


def test_a_contract_that_cannot_be_kept_is_listed(hierarchy: Path) -> None:
    path = hierarchy.with_name("unmet.toml")
    # In the middle the voltage is about 1 p.u.: no contract can promise so much below.
    path.write_text(FILE.replace("voltage_min_pu = 0.95", "voltage_min_pu = 1.06"))
    file = hierarchy.with_name("unmet.json")
    result = run("hierarchy", path, "-o", file)
    assert result.exit_code == 1
    content = HierarchyResult.model_validate_json(file.read_bytes())
    statuses = {each.operator: each.status for each in content.operators}
    assert statuses == {"top": "secure", "middle": "secure", "left": "none", "right": "none"}
    for each in content.operators:
        assert bool(each.customers) == (each.status == "secure"), each.operator
    result = run("hierarchy", path)
    assert result.exit_code == 1
    assert "unmet: middle load:1 / left: middle cannot keep its promise to left" in result.stdout
    assert "the contract is unmet" in result.stdout or "middle load:2 / right" in result.stdout


def test_all_faults_are_reported_and_name_both_ends(hierarchy: Path) -> None:
    path = hierarchy.with_name("wrong.toml")
    path.write_text(
        FILE.replace('"load:2"', '"load:7"').replace('child = "left"', 'child = "lift"')
    )
    result = run("hierarchy", path)
    assert result.exit_code == 2
    assert "has 2 faults" in result.stderr
    assert "middle / lift: lift is not an operator" in result.stderr
    assert "middle / right: right's interface" in result.stderr
    assert run("hierarchy", "bundled:nothing").exit_code == 2


def test_the_contracts_that_two_could_agree_on(hierarchy: Path, tmp_path: Path) -> None:
    picture, file = tmp_path / "curve.svg", tmp_path / "curve.json"
    with saved_figures() as figures:
        result = run(
            "contract", hierarchy, "left", "--within", 0.95, 1.07, "--steps", 3,
            "--plot", picture, "-o", file,
        )  # fmt: skip
    assert result.exit_code == 0, result.stderr
    curve = CurveRecord.model_validate_json(file.read_bytes())
    assert (curve.parent, curve.connection_point, curve.child) == ("middle", "load:1", "left")
    kept = [offer for offer in curve.offers if offer.refused_by is None]
    assert sum(offer.chosen for offer in kept) == 1
    assert all(offer.best for offer in kept if offer.chosen)
    assert {offer.refused_by for offer in curve.offers} <= {None, "middle", "left"}
    assert "the default choice, max-min over both sides" in result.stdout
    assert picture.read_text().startswith("<?xml")
    (figure,) = figures
    check_figure(figure)
    dots = [len(part.get_offsets()) for part in figure.axes[0].collections]
    assert max(dots) == len(kept), "a dot for each contract that can be kept"


def test_no_contract_at_all(hierarchy: Path) -> None:
    result = run("contract", hierarchy, "left", "--within", 0.90, 0.95, "--steps", 1)
    assert result.exit_code == 1
    assert "no band can be kept by both operators" in result.stdout
    assert "middle: " in result.stdout


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("top",), "top: it is not a child of another operator; there is middle, left, right"),
        (("unknown",), "unknown: it is not a child of another operator"),
        (("left", "--within", "1.1", "1.0"), "--within needs 0 < low < high < 2 p.u."),
        (("left", "--steps", "1", "--plot", "x.nothing"), "cannot be drawn"),
    ],
)
def test_what_cannot_be_asked(hierarchy: Path, arguments: tuple[str, ...], said: str) -> None:
    result = run("contract", hierarchy, *arguments)
    assert result.exit_code == 2
    assert said in result.stderr
