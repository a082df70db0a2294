"""An area from Python is the area of a scenario file, with the same faults."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandapower as pp
import pandas as pd
import pytest
from phase_networks import four_wires
from typer.testing import CliRunner

import doe_exchange as dx
from gateway.cli.main import app

WIDE: dict[str, Any] = {"interface": (0.98, 1.02)}
SCENARIO = """
area = "village"
[network]
source = "net.json"
[limits]
voltage_min_pu = 0.95
voltage_max_pu = 1.05
[interface]
voltage_min_pu = 0.98
voltage_max_pu = 1.02
injection_limit_w = 80000
[capacity]
injection_w = { default = 15000, "load:3" = 9000 }
withdrawal_w = 10000
fallback_injection_w = 1500
[fairness]
rule = "proportional"
"""


def test_importing_the_package_loads_nothing_heavy_and_sets_one_thread() -> None:
    program = (
        "import sys, os, doe_exchange; "
        "heavy = {'numpy', 'pandas', 'pandapower', 'scipy', 'pydantic'} & set(sys.modules); "
        "print(sorted(heavy), os.environ['OPENBLAS_NUM_THREADS'])"
    )
    shown = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert shown.stdout.split() == ["[]", "1"]


def test_every_public_name_is_there() -> None:
    assert dir(dx) == sorted(dx.__all__)
    for name in dx.__all__:
        assert getattr(dx, name).__name__ == name
    with pytest.raises(AttributeError, match="no attribute 'Aera'"):
        _ = dx.Aera


def test_envelopes_are_those_of_the_command(allocated: dx.Envelopes) -> None:
    result = CliRunner().invoke(app, ["allocate", "bundled:reference", "--json"])
    assert result.exit_code == 0
    (expected,) = json.loads(result.stdout)["intervals"]
    (record,) = allocated.records
    assert json.loads(record.model_dump_json()) == expected


def test_an_area_from_python_is_that_of_a_file(tmp_path: Path, net: Any) -> None:
    pp.to_json(net, str(tmp_path / "net.json"))
    (tmp_path / "village.toml").write_text(SCENARIO)
    of_file = dx.Area.from_scenario(tmp_path / "village.toml")
    arguments: dict[str, Any] = {
        "voltage": (0.95, 1.05),
        "interface": {
            "voltage_min_pu": 0.98,
            "voltage_max_pu": 1.02,
            "injection_limit_w": 80_000,
        },
        "capacity_w": ({"default": 15_000, "load:3": 9e3}, 10_000),
        "fallback_w": (1500, 0),
        "fairness": "proportional",
        "area": "village",
    }
    sources = (net, tmp_path / "net.json", str(tmp_path / "net.json"))
    areas = [dx.Area.from_pandapower(source, **arguments) for source in sources]
    for area in areas:
        assert area.title == of_file.title
        assert area.to_frame().equals(of_file.to_frame())
    assert areas[0].allocate().records == of_file.allocate().records


def test_what_it_says_of_itself(village: dx.Area) -> None:
    first, *rows = repr(village).splitlines()
    assert first.startswith("Area village: 13 connection points, 15 nodes, 2 intervals, ")
    assert rows[0].split()[:3] == ["connection_point", "participant", "node"]
    assert rows[4].split() == ["load:3", "anna", "bus:5", "15000", "10000", "1500", "1000"]
    frame = village.to_frame()
    assert len(frame) == len(village) == 13
    assert frame.dtypes.astype(str).tolist() == ["string"] * 3 + ["int64"] * 4
    assert [start.isoformat() for start in village.intervals] == [
        "2026-07-01T12:00:00+00:00",
        "2026-07-01T12:15:00+00:00",
    ]


def test_numbers_of_numpy_and_pandas_are_as_good_as_any(net: Any) -> None:
    capacity = pd.Series({f"load:{k}": 1000.0 * (k + 1) for k in range(13)})
    both: Any = (capacity, np.int64(5000))
    area = dx.Area.from_pandapower(
        net,
        capacity_w=both,
        interface=(np.float64(0.98), 1.02),
        intervals={"start": pd.Timestamp("2026-07-01T14:00+02:00")},
    )
    frame = area.to_frame()
    assert frame.injection_capacity_w.tolist() == [1000 * (k + 1) for k in range(13)]
    assert set(frame.withdrawal_capacity_w) == {5000}
    assert area.intervals[0].isoformat() == "2026-07-01T12:00:00+00:00"
    assert type(area.intervals[0]).__name__ == "datetime"


def test_the_net_stays_as_it_is_and_actions_need_no_file(net: Any) -> None:
    before = pp.to_json(net)
    actions = {"switchable": ["line:3"]}
    area = dx.Area.from_pandapower(net, capacity_w=10_000, **WIDE, actions=actions)
    assert area.allocate().verify()
    assert area.scenario.actions is not None
    assert area.scenario.actions.switched.switchable == ("line:3",)
    assert pp.to_json(net) == before


def test_a_circuit_of_opendss(tmp_path: Path) -> None:
    master = four_wires(tmp_path)
    area = dx.Area.from_opendss(master, capacity_w=3000, interface=(0.99, 1.01), area="four")
    assert area.connection_points == (
        "load:house",
        "load:spur",
        "load:shop",
        "load:weld",
        "load:barn",
    )
    assert area.allocate().verify()


def test_another_rule_of_fairness(net: Any) -> None:
    area = dx.Area.from_pandapower(net, capacity_w=30_000, **WIDE, voltage=(0.95, 1.05))
    other = area.with_fairness("maximum_sum")
    assert "maximum sum" in other.title
    assert "max min" in area.title
    most, fair = (each.allocate().to_frame().injection_limit_w for each in (other, area))
    assert most.sum() > fair.sum()
    assert most.min() < fair.min()
    with pytest.raises(dx.InputFaults, match='the rule "alpha" needs it'):
        area.with_fairness("alpha")
    with pytest.raises(dx.InputFaults, match=r"fairness\.rule: .*found \"eqal\""):
        area.with_fairness("eqal")


def test_every_fault_of_the_arguments_at_once(net: Any) -> None:
    with pytest.raises(dx.InputFaults) as found:
        dx.Area.from_pandapower(
            net,
            capacity_w={"load:0": -5, "load:99": 3, "default": 1},
            interface=(1.02, 0.98),
            market={"tick": 0.1},
            markt={"tick": "0.1"},
        )
    named = {fault.element for fault in found.value.faults}
    assert named == {
        "capacity.injection_w.load:0",
        "capacity.withdrawal_w.load:0",
        "load:99",
        "interface",
        "market.tick",
        "markt",
    }


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"interface": 1.0}, "interface: it should be a pair .* found 1.0"),
        ({"voltage": (0.9, 1.0, 1.1)}, "voltage: it should be a pair"),
        ({"net": None}, "net: it should be a pandapower net or a path, found NoneType"),
        ({"net": {}}, "net: it should be a pandapower net or a path, found dict"),
        ({"net": "nowhere.json"}, "network.source: there is no file nowhere.json"),
        ({"connection_points": "lod"}, 'network.connection_points: .*found "lod"'),
        ({"intervals": {"start": "noon"}}, "intervals.start: it is not a time"),
        ({"fallback_w": 20_000}, "its injection fallback of 20000 W exceeds its capacity"),
        ({"area": "two words"}, "cannot be a part of a topic"),
    ],
)
def test_a_wrong_argument_is_named(net: Any, arguments: dict[str, Any], sentence: str) -> None:
    usual = {"net": net, "capacity_w": 10_000, **WIDE}
    with pytest.raises(dx.InputFaults, match=sentence):
        dx.Area.from_pandapower(**{**usual, **arguments})


def test_a_scenario_that_is_not_there() -> None:
    with pytest.raises(dx.InputFaults, match="known names: demo, reference"):
        dx.Area.from_scenario("bundled:nothing")
    assert "bundled:demo" in dx.Area.bundled()
