"""What a pandapower net may not hold is refused by name, and nothing with an effect overlooked."""

from __future__ import annotations

import inspect
from typing import Any

import numpy as np
import pandapower as pp
import pandas as pd
import pytest
from networks import feeder, menagerie
from phase_networks import phase_net

from security_check.errors import NetworkFaults
from security_check.importers.pandapower_balanced import network_from_pandapower
from security_check.importers.pandapower_branches import short_circuit_mva
from security_check.importers.pandapower_meshed import meshed_network_from_pandapower
from security_check.importers.pandapower_phases import phases_from_pandapower
from security_check.importers.pandapower_quantities import POWERS, QUANTITIES
from security_check.importers.pandapower_tables import (
    BUS_COLUMNS,
    MODELLED,
    WITHOUT_EFFECT,
    unmodelled,
)

Net = Any


def faults_of(net: Net, build: Any = network_from_pandapower, **how: Any) -> dict[str, list[str]]:
    with pytest.raises(NetworkFaults) as caught:
        build(net, **how)
    found: dict[str, list[str]] = {}
    for fault in caught.value.faults:
        found.setdefault(fault.element, []).append(fault.detail)
    return found


# -- tables ----------------------------------------------------------------------------------------

# Tables of data to which columns of other tables refer, and of what is drawn or computed.
_OF_DATA = {"controller", "characteristic", "output_writer"}


def test_every_table_of_pandapower_is_known_or_refused() -> None:
    """A table with elements that a version of pandapower adds is refused without being listed."""
    empty = pp.create_empty_network()
    tables = {
        name
        for name, rows in empty.items()
        if isinstance(rows, pd.DataFrame) and not name.startswith(("_", "res_"))
    }
    refused = tables - MODELLED - WITHOUT_EFFECT - _OF_DATA
    assert {"dcline", "ward", "xward", "svc", "tcsc", "ssc", "vsc", "line_dc"} <= refused
    for name in sorted(refused):
        net = feeder(2)
        net[name] = pd.DataFrame([dict.fromkeys(net[name].columns, 0)], index=[5])
        net[name]["in_service"] = True
        assert f"{name}:5" in faults_of(net), name
        net[name]["in_service"] = False
        assert not unmodelled(net), name


def test_a_table_that_no_version_has_yet() -> None:
    net = feeder(2)
    net["superconductor"] = pd.DataFrame({"from_bus": [0], "to_bus": [1]}, index=[3])
    assert list(faults_of(net)) == ["superconductor:3"]
    net["superconductor"] = pd.DataFrame({"price": [1.0]})  # plain data
    network_from_pandapower(net)


@pytest.mark.parametrize("table", sorted(WITHOUT_EFFECT))
def test_tables_without_effect(table: str) -> None:
    net = feeder(2)
    net[table] = pd.DataFrame({"element": [0], "bus": [0], "et": ["load"]})
    network_from_pandapower(net)


def test_options_of_the_net() -> None:
    net = feeder(2)
    pp.set_user_pf_options(net, trafo_model="pi", tdpf=True, max_iteration=20, init="dc")
    said = faults_of(net)["net.user_pf_options"]
    assert len(said) == 2
    assert "trafo_model = 'pi'" in said[0]
    pp.set_user_pf_options(net, overwrite=True, trafo_model="t", tolerance_mva=1e-6)
    network_from_pandapower(net)


@pytest.mark.parametrize(("key", "value"), [("f_hz", np.nan), ("sn_mva", 0.0), ("sn_mva", None)])
def test_settings_of_the_net(key: str, value: Any) -> None:
    net = feeder(2)
    net[key] = value
    assert f"net.{key}" in faults_of(net)


# -- columns ---------------------------------------------------------------------------------------


def _effective_columns() -> list[tuple[str, str]]:
    found = [(table, column) for table, columns, _ in QUANTITIES for column in columns]
    return [each for each in found if not each[1].startswith("leakage")]


@pytest.mark.parametrize(("table", "column"), _effective_columns())
@pytest.mark.parametrize("build", [network_from_pandapower, meshed_network_from_pandapower])
def test_what_is_no_number_is_named(table: str, column: str, build: Any) -> None:
    net = menagerie()
    index = net[table].index[0] if table != "ext_grid" else net.ext_grid.index[-1]
    index = index if "in_service" not in net[table] or net[table].in_service.at[index] else 0
    net[table][column] = net[table][column].astype(float)
    net[table].loc[index, column] = np.nan
    details = faults_of(net, build)[f"{table}:{index}"]
    assert any(column in detail and "nan" in detail for detail in details)


@pytest.mark.parametrize(
    ("table", "column"), [(table, column) for table in POWERS for column in POWERS[table]]
)
def test_powers_that_stay_are_numbers(table: str, column: str) -> None:
    net = feeder(3)
    net[table] = net[table].iloc[:0]
    row = dict.fromkeys(POWERS[table], 0.5) | {"bus": 2, "in_service": True, "type": "wye"}
    net[table] = pd.DataFrame([row | {column: np.nan}], index=[6])
    trading = "load" if table != "load" else "sgen"
    pp.create_load(net, 3, 0.001) if trading == "load" else pp.create_sgen(net, 3, 0.001)
    found = faults_of(net, passive="as-given", connection_points=trading)
    assert found == {f"{table}:6": [f"its {column} is nan"]}


@pytest.mark.parametrize("table", ["load", "sgen", "storage"])
@pytest.mark.parametrize("column", ["p_mw", "q_mvar", "scaling"])
def test_powers_of_customers_are_numbers(table: str, column: str) -> None:
    net = menagerie()
    index = net[table].index[net[table].in_service.astype(bool)][0]
    net[table].loc[index, column] = np.nan
    found = faults_of(net, connection_points=table)
    assert found == {f"{table}:{index}": [f"its {column} is nan"]}


def test_states_that_are_neither_true_nor_false() -> None:
    net = menagerie()
    net.line["in_service"] = net.line.in_service.astype(object)
    net.line.loc[2, "in_service"] = np.nan
    assert "its in_service is nan, not true or false" in faults_of(net)["line:2"]


def test_words_where_numbers_should_be() -> None:
    net = feeder(2)
    net.line["r_ohm_per_km"] = net.line.r_ohm_per_km.astype(object)
    net.line.loc[0, "r_ohm_per_km"] = "much"
    assert faults_of(net)["line:0"] == ["its r_ohm_per_km is much"]


@pytest.mark.parametrize("value", [0.0, -5.0, 120.0, np.inf])
@pytest.mark.parametrize("table", ["line", "trafo"])
def test_loadings_that_cannot_be_kept(table: str, value: float) -> None:
    net = feeder(2)
    net[table]["max_loading_percent"] = [value, *[np.nan] * (len(net[table]) - 1)]
    (detail,) = faults_of(net)[f"{table}:0"]
    assert f"max_loading_percent is {value:g}" in detail


def test_shunts_and_losses_that_follow_something_else() -> None:
    net = menagerie()
    net.shunt["step_dependency_table"] = True
    net.trafo3w["loss_side"] = "star"
    found = faults_of(net)
    assert "table" in found[f"shunt:{net.shunt.index[0]}"][0]
    assert "loss_side" in found["trafo3w:0"][0]


# -- branches --------------------------------------------------------------------------------------


@pytest.mark.parametrize("build", [network_from_pandapower, meshed_network_from_pandapower])
def test_a_line_that_joins_two_levels(build: Any) -> None:
    net = feeder(3)
    low = int(net.line.to_bus.iloc[-1])
    line = pp.create_line_from_parameters(net, 0, low, 0.1, 0.2, 0.1, 0, 0.2)
    (detail,) = faults_of(net, build)[f"line:{line}"]
    assert "bus 0 of 20 kV" in detail
    assert f"bus {low} of 0.4 kV" in detail
    net.line.loc[line, "in_service"] = False
    build(net)


def test_a_switch_that_joins_two_levels() -> None:
    net = feeder(3)
    switch = pp.create_switch(net, 0, 2, et="b")
    (detail,) = faults_of(net)[f"switch:{switch}"]
    assert "20 kV" in detail
    net.switch["closed"] = False
    network_from_pandapower(net)


def test_a_line_of_phases_that_joins_two_levels() -> None:
    net = phase_net(3)
    net.bus.loc[net.line.to_bus.iloc[-1], "vn_kv"] = 0.23
    assert f"line:{net.line.index[-1]}" in faults_of(net, phases_from_pandapower)


@pytest.mark.parametrize(
    ("table", "columns", "value"),
    [
        ("line", ["r_ohm_per_km"], 1e9),
        ("line", ["x_ohm_per_km"], 1e6),
        ("line", ["length_km"], 1e8),
        ("trafo", ["vk_percent"], 1e8),
        ("trafo3w", ["vk_mv_percent"], 1e9),
        ("impedance", ["xft_pu", "xtf_pu"], 1e6),
    ],
)
def test_impedances_through_which_nothing_passes(table: str, columns: list[str], value: float):
    net = menagerie()
    net[table].loc[net[table].index[0], columns] = value
    found = faults_of(net)
    assert list(found) == [f"{table}:{net[table].index[0]}"]
    assert "impossible" in found[f"{table}:{net[table].index[0]}"][0]


def test_no_impedance_of_a_usual_net_is_impossible() -> None:
    for net in (menagerie(), feeder(8)):
        assert min(size for _, size in short_circuit_mva(net)) > 0.01


def test_resistances_above_the_impedance() -> None:
    net = menagerie()
    net.trafo.loc[0, "vkr_percent"] = net.trafo.vk_percent.at[0] + 1
    net.trafo3w.loc[0, "vkr_mv_percent"] = 99.0
    found = faults_of(net)
    assert "exceeds" in found["trafo:0"][0]
    assert "exceeds" in found["trafo3w:0"][0]


# -- switches --------------------------------------------------------------------------------------


def test_switches_with_faults() -> None:
    net = feeder(4)
    line = int(net.line.index[-1])
    far = int(net.line.to_bus.iloc[-1])
    beside = pp.create_bus(net, 0.4)
    numbers = [
        pp.create_switch(net, far, line, et="l"),
        pp.create_switch(net, far, beside, et="b", in_ka=0.1),
        pp.create_switch(net, far, line, et="l", in_ka=-0.1),
        pp.create_switch(net, far, beside, et="b", z_ohm=np.nan),
        pp.create_switch(net, far, line, et="l"),
    ]
    net.switch.loc[numbers[0], "bus"] = 0
    net.switch.loc[numbers[4], "et"] = "x"
    found = faults_of(net)
    said = ["not an end", "not modelled", "in_ka is -0.1", "z_ohm is nan", "et is x"]
    for number, text in zip(numbers, said, strict=True):
        assert text in found[f"switch:{number}"][0]


def test_impedances_of_switches_with_phases() -> None:
    net = phase_net(3)
    beside = pp.create_bus(net, 0.4)
    switch = pp.create_switch(net, int(net.line.to_bus.iloc[-1]), beside, et="b", z_ohm=0.1)
    assert "z_ohm" in faults_of(net, phases_from_pandapower)[f"switch:{switch}"][0]
    net.switch["z_ohm"] = 0.0
    phases_from_pandapower(net)


def test_a_blown_fuse_is_an_open_switch() -> None:
    net = feeder(4)
    line = net.line.index[-1]
    pp.create_switch(net, int(net.line.to_bus.at[line]), int(line), "l", closed=False, type="fuse")
    far = int(net.line.to_bus.at[line])
    (point,) = net.load.index[net.load.bus == far]
    assert f"bus {far} is out of service or has no path" in faults_of(net)[f"load:{point}"][0]


def test_every_reference_to_a_bus_is_looked_up() -> None:
    """Of every table that pandapower creates elements of at buses, in its own words."""
    for table in MODELLED - {"bus"}:
        creator = {"trafo": "transformer", "trafo3w": "transformer3w", "line": "line"}.get(table)
        function = getattr(pp, f"create_{creator or table}", None)
        if function is None:
            continue
        buses = {each for each in inspect.signature(function).parameters if each.endswith("bus")}
        assert buses <= {*BUS_COLUMNS.get(table, ()), "bus"}, table
