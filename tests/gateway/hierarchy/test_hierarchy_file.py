"""Hierarchy files: what they say, and every fault of them with both ends named."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandapower as pp
import pytest
from hierarchy_cases import FILE, low_net, middle_net, write

from doe_allocation.hierarchy.operators import graph_faults
from gateway.formats.faults import InputFaults
from gateway.hierarchy.loading import hierarchy_path, load_hierarchy

TO_LEFT = 'connection_point = "load:1"\nchild = "left"'


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write(tmp_path)
    return tmp_path


def faults_of(folder: Path, text: str) -> dict[str, str]:
    path = folder / "wrong.toml"
    path.write_text(text)
    with pytest.raises(InputFaults) as caught:
        load_hierarchy(path)
    faults: dict[str, str] = {}
    for fault in caught.value.faults:
        faults[fault.element] = "; ".join(filter(None, (faults.get(fault.element), fault.detail)))
    return faults


def only_fault(folder: Path, text: str) -> tuple[str, str]:
    ((element, detail),) = faults_of(folder, text).items()
    return element, detail


def replaced(old: str, new: str) -> str:
    assert FILE.count(old) == 1, old
    return FILE.replace(old, new)


def boundary(parent: str, point: str, child: str) -> str:
    return (
        f'\n[[boundaries]]\nparent = "{parent}"\nconnection_point = "{point}"\n'
        f'child = "{child}"\nvoltage_min_pu = 0.95\nvoltage_max_pu = 1.05\n'
    )


def test_what_the_file_says_is_what_is_built(folder: Path) -> None:
    hierarchy = load_hierarchy(folder / "three.toml")
    assert [member.name for member in hierarchy.members] == ["top", "middle", "left", "right"]
    assert hierarchy.contract.voltage_max_pu == 1.03
    root = hierarchy.root()
    assert graph_faults(root) == []
    assert [each.state.outage for each in root.states] == ["line:0"]
    middle = root.children["load:1"]
    assert middle.band == (0.98, 1.05)
    assert middle.reactive_var is None
    assert middle.operator.name == "middle"
    np.testing.assert_array_equal(middle.operator.capacity.injection_w, [8e6, 4e5, 4e5])
    assert middle.operator.weights is not None
    np.testing.assert_array_equal(middle.operator.weights, np.full(6, 100.0))
    assert middle.operator.children["load:2"].operator.name == "right"
    assert middle.operator.children["load:2"].operator.weights is None
    assert middle.operator.network.reactive_ratio[0] == pytest.approx(np.tan(np.arccos(0.97)))


def test_a_reactive_range_may_be_stated(folder: Path) -> None:
    stated = f"{TO_LEFT}\nreactive_min_var = -20000\nreactive_max_var = 5000"
    (folder / "stated.toml").write_text(replaced(TO_LEFT, stated))
    root = load_hierarchy(folder / "stated.toml").root()
    assert root.children["load:1"].operator.children["load:1"].reactive_var == (-20_000, 5_000)


def test_boundaries_may_come_in_any_order(folder: Path) -> None:
    head, *boundaries = FILE.split("[[boundaries]]")
    (folder / "turned.toml").write_text("[[boundaries]]".join([head, *boundaries[::-1]]))
    names = [member.name for member in load_hierarchy(folder / "turned.toml").members]
    assert names[:2] == ["top", "middle"]
    assert sorted(names[2:]) == ["left", "right"]


def test_a_childs_interface_that_is_missing_in_the_parent(folder: Path) -> None:
    where, detail = only_fault(
        folder, replaced('connection_point = "load:2"', 'connection_point = "load:9"')
    )
    assert where == "middle / right"
    assert detail == (
        "right's interface, its bus:0 of 20 kV, is to be at load:9 of middle, which has no such "
        "connection point; it has load:0, load:1, load:2"
    )


def gone(net: pp.pandapowerNet, bus: int) -> str:
    net.bus = net.bus.drop(bus)
    return "which does not exist"


def switched_off(net: pp.pandapowerNet, bus: int) -> str:
    net.bus.loc[bus, "in_service"] = False
    return "which is out of service"


@pytest.mark.parametrize("spoil", [gone, switched_off])
def test_a_bus_of_the_boundary_that_is_not_there_on_either_side(folder: Path, spoil) -> None:
    net = low_net()
    why = spoil(net, 0)
    pp.to_json(net, str(folder / "spoilt.json"))
    faults = faults_of(folder, replaced('"low.json" }', '"spoilt.json" }'))
    assert faults["middle / right"] == (f"right's interface to middle is to be at its bus:0, {why}")
    net = middle_net()
    bus = int(net.load.bus.at[2])
    spoil(net, bus)
    pp.to_json(net, str(folder / "middle.json"))
    faults = faults_of(folder, FILE)
    assert faults["middle / right"] == (
        f"right's interface, its bus:0 of 20 kV, is to be at load:2 of middle, at bus:{bus}, {why}"
    )


def test_voltage_bases_that_differ(folder: Path) -> None:
    net = low_net()
    net.bus.loc[0, "vn_kv"] = 10.0
    pp.to_json(net, str(folder / "ten.json"))
    text = replaced('"low.json" }', '"ten.json" }')
    where, detail = only_fault(folder, text)
    assert where == "middle / right"
    assert "right's interface, its bus:0 of 10 kV, is to be at load:2 of middle" in detail
    assert "whose bus:10 has 20 kV" in detail


def test_frequencies_that_differ(folder: Path) -> None:
    net = middle_net()
    net.f_hz = 60.0
    pp.to_json(net, str(folder / "middle.json"))
    faults = faults_of(folder, FILE)
    assert list(faults) == ["top / middle", "middle / left", "middle / right"]
    assert "top has 50 Hz, middle has 60 Hz" in faults["top / middle"]


def test_a_cycle_through_the_top(folder: Path) -> None:
    text = FILE + boundary("right", "load:0", "top")
    faults = faults_of(folder, text)
    assert "it closes a cycle: top -> middle -> right -> top" in faults["right / top"]
    assert "top is at the top (contract.operator)" in faults["right / top"]


def test_a_cycle_that_the_top_does_not_reach(folder: Path) -> None:
    text = replaced('parent = "top"', 'parent = "left"')
    faults = faults_of(folder, text)
    assert faults["middle / left"].startswith("it closes a cycle: left -> middle -> left")


def test_an_operator_that_is_its_own_child(folder: Path) -> None:
    faults = faults_of(folder, FILE + boundary("left", "load:0", "left"))
    assert faults == {"left / left": "left cannot be a child of its own"}


def test_a_child_with_two_parents(folder: Path) -> None:
    faults = faults_of(folder, FILE + boundary("top", "load:0", "right"))
    assert "right is a child of middle already (at load:2)" in faults["top / right"]


def test_an_operator_without_a_boundary_above_it(folder: Path) -> None:
    text = FILE.replace(
        "[[boundaries]]",
        '[operators.lost]\nnetwork = { source = "low.json" }\n'
        "capacity = { injection_w = 1, withdrawal_w = 1 }\n[[boundaries]]",
        1,
    )
    assert only_fault(folder, text) == (
        "top / lost",
        "no boundary leads from top, at the top, to lost",
    )


def test_two_children_at_one_connection_point(folder: Path) -> None:
    where, detail = only_fault(
        folder, replaced('connection_point = "load:2"', 'connection_point = "load:1"\n#')
    )
    assert (where, detail) == ("middle / right", "load:1 of middle is left's already")


def test_operators_that_do_not_exist(folder: Path) -> None:
    faults = faults_of(folder, replaced('child = "right"', 'child = "wright"'))
    assert faults == {
        "middle / wright": "wright is not an operator of this file; "
        "there is top, middle, left, right"
    }
    where, detail = only_fault(folder, replaced('operator = "top"', 'operator = "tip"'))
    assert where == "contract.operator"
    assert detail == "tip is not an operator of this file; there is top, middle, left, right"


def test_a_child_with_two_interfaces(folder: Path) -> None:
    net = low_net()
    other = pp.create_bus(net, 20.0)
    pp.create_ext_grid(net, other)
    pp.create_line(net, other, pp.create_bus(net, 20.0), 1.0, "NA2XS2Y 1x95 RM/25 12/20 kV")
    pp.to_json(net, str(folder / "two.json"))
    where, detail = only_fault(folder, replaced('"low.json" }', '"two.json" }'))
    assert where == "middle / right"
    assert "right has 2 external grids in service; it meets middle at one bus" in detail


def test_a_child_that_balances_itself(folder: Path) -> None:
    text = replaced('"middle.json",', '"middle.json", model = "meshed", distributed_slack = true,')
    faults = faults_of(folder, text)
    assert "generators of middle share its imbalance" in faults["top / middle"]


@pytest.mark.parametrize(
    ("wrong", "detail"),
    [
        ("reactive_min_var = 5\nreactive_max_var = -5", "from 5 to -5 var"),
        ("reactive_min_var = 5", "both or none are needed"),
    ],
)
def test_reactive_ranges_that_are_none(folder: Path, wrong: str, detail: str) -> None:
    where, said = only_fault(folder, replaced(TO_LEFT, f"{TO_LEFT}\n{wrong}"))
    assert where == "middle / left"
    assert detail in said


def test_bands_that_are_empty(folder: Path) -> None:
    text = replaced("voltage_min_pu = 0.98\n", "voltage_min_pu = 1.05\n")
    where, detail = only_fault(folder, text)
    assert where == "top / middle"
    assert "the band that top promises to middle is empty: from 1.05 to 1.05 p.u." in detail


def test_all_faults_at_once_each_with_its_place(folder: Path) -> None:
    text = FILE.replace("injection_w = 60000, ", "")
    text = text.replace('source = "low.json" }', 'source = "gone.json" }')
    text = text.replace("weights = 2000", 'weights = { "load:7" = 3 }')
    text = text.replace('child = "left"', 'child = "left"\nvoltage = 3')
    text = text.replace("voltage_max_pu = 1.03", "voltage_max_pu = 0.9")
    text += "\n[extra]\n"
    faults = faults_of(folder, text)
    assert set(faults) == {
        "extra",
        "contract",
        "operators.left.capacity.injection_w",
        "operators.right.network.source",
        "operators.top.load:7",
        "boundaries[2].voltage",
    }
    assert faults["operators.left.capacity.injection_w"] == "it is missing"
    assert "gone.json" in faults["operators.right.network.source"]
    assert "fairness.weights names it" in faults["operators.top.load:7"]


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ("", "contract"),
        ("[contract]\noperator = 3\n", "contract.operator"),
        ("operators = 3", "operators"),
        ("boundaries = 3", "boundaries"),
        ("[operators]\nx = 3", "operators.x.content"),
        ("[operators.x]\nfairness = 1", "operators.x.fairness"),
        ('[operators."a b"]\n', "operators.a b.name"),
        ("boundaries = [3]", "boundaries[1]"),
        ('fairness = { rule = "alpha" }', "fairness.alpha"),
        ("fairness = { weights = 2 }", "fairness.weights"),
    ],
)
def test_files_that_are_hardly_one(folder: Path, text: str, where: str) -> None:
    assert where in faults_of(folder, text)


def test_networks_that_cannot_be_one(folder: Path) -> None:
    text = replaced('"low.json" }', '"feeder.dss" }')
    assert "OpenDSS" in faults_of(folder, text)["operators.right.network.source"]
    text = replaced('"low.json" }', '"low.json", connection_points = "asymmetric_load" }')
    assert (
        "a node for each phase"
        in faults_of(folder, text)["operators.right.network.connection_points"]
    )


def test_taps_have_one_position_each(folder: Path) -> None:
    text = replaced('outages = ["line:0"]', 'outages = ["line:0"], taps = { "trafo:0" = [-1, 2] }')
    faults = faults_of(folder, text)
    assert (
        "anywhere in [-1, 2], but a hierarchy needs one position" in faults["operators.top.trafo:0"]
    )


def test_phases_are_not_modelled(folder: Path) -> None:
    text = replaced("voltage_max_pu = 1.08 }", "voltage_max_pu = 1.08, unbalance = 0.02 }")
    text = text.replace("voltage_max_pu = 1.03", "voltage_max_pu = 1.03\nunbalance_pu = 0.01")
    faults = faults_of(folder, text)
    assert list(faults) == ["contract.unbalance_pu", "operators.middle.limits.unbalance"]


def test_files_that_cannot_be_read(folder: Path) -> None:
    for name, content in (("none.toml", None), ("bytes.toml", b"\xff"), ("bad.toml", b"[")):
        if content is not None:
            (folder / name).write_bytes(content)
        with pytest.raises(InputFaults):
            load_hierarchy(folder / name)
    with pytest.raises(InputFaults, match="known names: three-level"):
        hierarchy_path("bundled:nothing")
    assert hierarchy_path("bundled:three-level").is_file()
