"""Any cell of a net set to anything: refused by the element's name, or what pandapower computes."""

from __future__ import annotations

import copy
import itertools
from typing import Any

import numpy as np
import pandapower as pp
import pandas as pd
import pytest
from others_warnings import others_warnings_ignored
from pandapower_oracle import currents_a, our_results
from random_nets import random_net
from sampling import examples

from doe_exchange import Area, InputFaults
from security_check.errors import NetworkFaults
from security_check.importers.pandapower_balanced import network_from_pandapower
from security_check.importers.pandapower_meshed import meshed_network_from_pandapower
from security_check.importers.pandapower_quantities import typed
from security_check.importers.pandapower_tables import BUS_COLUMNS
from security_check.model.network import Network
from security_check.power_flow.implicit_zbus import PowerFlow

Net = Any

VALUES = (np.nan, None, "abc", "1.0", "", np.inf, -np.inf, -1.0, 0.0, 1e300, 1e9, True, 7.0, 0.5)
DROPPED = "dropped"
VERTICES = 12
"""Of a published box that are tried, beside those of the same sign."""
HOW = {"calculate_voltage_angles": True, "tolerance_mva": 1e-9, "max_iteration": 50,
       "numba": False, "lightsim2grid": False}  # fmt: skip
TABLES = (
    "bus", "line", "trafo", "trafo3w", "shunt", "load", "sgen", "storage", "motor", "impedance",
    "ext_grid", "switch",
)  # fmt: skip


def rich_net(seed: int) -> Net:
    """Return a random net in which every modelled table has elements in service."""
    k = next(k for k in range(100 * seed, 100 * seed + 99) if len(random_net(k).trafo3w))
    net = random_net(k, limited=True)
    rng = np.random.default_rng(seed)
    kv = net.bus.vn_kv
    end = int(net.load.bus.iloc[-1])
    size = 0.01 * float(kv[end]) ** 1.5
    new = [pp.create_bus(net, float(kv[end])) for _ in range(2)]
    pp.create_impedance(net, end, new[0], 0.01, 0.02, max(1.0, 10 * size))
    pp.create_switch(net, new[0], new[1], "b", closed=True)
    pp.create_switch(net, int(net.line.from_bus.iloc[0]), int(net.line.index[0]), "l", closed=True)
    pp.create_load(net, new[1], size)
    pp.create_sgen(net, end, size, 0.3 * size, scaling=0.5)
    pp.create_storage(net, end, size, 1.0)
    pp.create_motor(net, end, 0.5 * size, 0.9, efficiency_percent=90.0, loading_percent=50.0)
    pp.create_asymmetric_load(net, end, p_a_mw=0.2 * size, p_b_mw=0.1 * size)
    pp.create_shunt(net, end, -0.1 * size, 0.05 * size, vn_kv=float(kv[end]))
    net.trafo["tap_pos"] = net.trafo.tap_neutral + int(rng.choice([-1, 1]))
    return net


def changed(net: Net, table: str, column: str, value: object, row: int) -> Net:
    """Return a copy of a net with one cell changed, or the column dropped."""
    mutant = copy.deepcopy(net)
    if isinstance(value, str) and value == DROPPED:
        mutant[table] = mutant[table].drop(columns=column)
        return mutant
    mutant[table][column] = mutant[table][column].astype(object)
    mutant[table].at[mutant[table].index[row], column] = value
    return mutant


def mutations(net: Net, rng: np.random.Generator, count: int) -> list[tuple[str, str, Any, int]]:
    """Return random changes: table, column, value, row; all tables are equally frequent."""
    found = []
    for _ in range(count):
        table = str(rng.choice(TABLES))
        column = str(rng.choice(list(net[table].columns)))
        value = [DROPPED, *VALUES][int(rng.integers(len(VALUES) + 1))]
        found.append((table, column, value, int(rng.integers(len(net[table])))))
    return found


def as_read(net: Net) -> Net:
    """Return a net for pandapower: columns of numbers, and taps by the rules of pandapower 2."""
    known = typed(net)
    for table in ("trafo", "trafo3w"):
        rows = known[table] = known[table].copy()
        kinds = rows.get("tap_changer_type", pd.Series(None, rows.index)).astype(object)
        said_nothing = kinds.isna() | kinds.isin(["", "None", "nan"])
        steps = pd.to_numeric(rows.get("tap_step_percent", pd.Series(np.nan, rows.index)))
        rows["tap_changer_type"] = kinds.mask(said_nothing & steps.notna() & steps.ne(0), "Ratio")
        if "tap_step_degree" in rows:
            rows["tap_step_degree"] = rows.tap_step_degree.astype(float).fillna(0.0)
    return known


def solved(net: Net, points: tuple[str, ...], power_w: np.ndarray, source_pu: float) -> Net:
    """Let pandapower solve the net with powers of the connection points, injection positive."""
    known = copy.deepcopy(as_read(net))
    rows = [int(point.partition(":")[2]) for point in points]
    columns = ["p_mw", "q_mvar", "scaling"]
    known.load[columns] = known.load[columns].astype(float)
    known.load.loc[rows, "p_mw"] = -power_w / 1e6
    known.load.loc[rows, "q_mvar"] = 0.0
    known.load.loc[rows, "scaling"] = 1.0
    shares = [column for column in known.load if column.startswith("const_")]
    known.load[shares] = 0.0  # a customer's power is that of the market, whatever its row says
    known.ext_grid["vm_pu"] = source_pu
    with others_warnings_ignored():
        # pandapower's start divides by each reactance; what it finds for almost none is near.
        first = copy.deepcopy(known)
        first.line["x_ohm_per_km"] = first.line.x_ohm_per_km.astype(float).replace(0.0, 1e-7)
        pp.runpp(first, **HOW)
        for table in ("res_bus", "res_line", "res_trafo", "res_trafo3w"):
            known[table] = first[table]
        pp.runpp(known, init="results", **HOW)
    return known


def assert_equal(net: Net, network: Network, rng: np.random.Generator) -> None:
    """Assert that voltages and currents are pandapower's, at random powers."""
    size = 0.02 * net.load.bus.map(net.bus.vn_kv).astype(float).to_numpy() ** 1.5
    keep = [f"load:{i}" in network.connection_points for i in net.load.index]
    power_w = 1e6 * size[keep] * rng.uniform(-0.2, 0.2, sum(keep))
    known = solved(net, network.connection_points, power_w, 1.01)
    found, amps = our_results(PowerFlow(network), power_w[:, None], np.array([1.01]))
    across = np.abs(network.voltages.incidence @ found[:, 0])
    for name, value in zip(network.voltages.elements, across, strict=True):
        assert value == pytest.approx(known.res_bus.vm_pu[int(name[4:])], abs=1e-6), name
    np.testing.assert_allclose(amps[:, 0], currents_a(known, network), rtol=1e-5, atol=1e-3)


def assert_named(faults: tuple[Any, ...], table: str, column: str) -> None:
    """Assert that faults name elements: those of the table, or what depends on a whole table."""
    names = [fault.element for fault in faults]
    assert "network" not in names, faults
    others = {"bus", "ext_grid", "load"}  # what they do not supply or hold is named instead
    moved = column in BUS_COLUMNS.get(table, ())  # likewise
    assert moved or table in others or any(name.startswith(f"{table}:") for name in names), faults


def examine(net: Net, change: tuple[str, str, Any, int], rng: np.random.Generator) -> bool:
    """Return whether a changed net is accepted, after comparing it with pandapower."""
    mutant = changed(net, *change)
    try:
        network = network_from_pandapower(mutant, passive="as-given")
    except NetworkFaults as found:
        assert_named(found.faults, *change[:2])
        return False
    assert_equal(mutant, network, rng)
    return True


@pytest.mark.parametrize("seed", range(examples(2)))
def test_a_changed_cell_is_refused_or_read_as_pandapower_does(seed: int) -> None:
    rng = np.random.default_rng(seed)
    net = rich_net(seed)
    changes = mutations(net, rng, 12)
    accepted = 0
    for change in changes:
        try:
            accepted += examine(net, change, rng)
        except Exception as error:
            raise AssertionError(f"seed {seed}: {change}") from error
    assert 0 < accepted < len(changes)


@pytest.mark.slow
@pytest.mark.parametrize("table", TABLES)
def test_values_in_every_table(table: str) -> None:
    rng = np.random.default_rng(len(table))
    net = rich_net(1)
    columns = [str(name) for name in net[table].columns if name not in ("name", "std_type", "geo")]
    for column in rng.permutation(columns)[: examples(3)]:
        for value in (DROPPED, *rng.permutation(np.array(VALUES, dtype=object))[:3]):
            change = (table, str(column), value, int(rng.integers(len(net[table]))))
            try:
                examine(net, change, rng)
            except Exception as error:
                raise AssertionError(f"{change}") from error


@pytest.mark.parametrize("model", [network_from_pandapower, meshed_network_from_pandapower])
@pytest.mark.parametrize("table", TABLES)
def test_tables_and_indices(table: str, model: Any) -> None:
    base = rich_net(0)
    count = len(base[table])

    def faults_of(rows: pd.DataFrame | None) -> dict[str, str]:
        net = copy.copy(base)
        net[table] = rows
        with pytest.raises(NetworkFaults) as caught:
            model(net, passive="as-given")
        return {fault.element: fault.detail for fault in caught.value.faults}

    rows = base[table]
    for index in ([f"s{k}" for k in range(count)], [k + 0.5 for k in range(count)]):
        assert "whole number" in faults_of(rows.set_axis(index))[f"{table}:{index[0]}"]
    assert f"{table}:-1" in faults_of(rows.set_axis(range(-count, 0)))
    twice = faults_of(pd.concat([rows, rows.iloc[:1]]))
    assert "2 elements" in twice[f"{table}:{rows.index[0]}"]
    assert faults_of(None) == {f"net.{table}": "it is missing, or not a table"}


@pytest.mark.parametrize("seed", range(examples(4)))
def test_branches_without_reactance_are_those_of_pandapower(seed: int) -> None:
    rng = np.random.default_rng(seed)
    net = rich_net(seed)
    some = rng.random(len(net.line)) < 0.6
    some[0] = True
    net.line.loc[some, "x_ohm_per_km"] = 0.0
    assert_equal(net, network_from_pandapower(net, passive="as-given"), rng)
    meshed_network_from_pandapower(net, passive="as-given")


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(examples(2)))
def test_published_envelopes_of_changed_nets_hold_at_vertices(seed: int) -> None:
    rng = np.random.default_rng(500 + seed)
    net, published = rich_net(seed), 0
    for change in mutations(net, rng, 8):
        if published == 2:
            break
        mutant = changed(net, *change)
        try:
            area = Area.from_pandapower(
                mutant, capacity_w=50_000, interface=(0.99, 1.01), voltage=(0.85, 1.15),
                network={"passive": "as-given"},
            )  # fmt: skip
            limits = area.allocate().to_frame().set_index("connection_point")
        except InputFaults:  # by name: the tests above
            continue
        published += 1
        points = tuple(limits.index)
        every = list(itertools.product((0, 1), repeat=len(points)))
        drawn = rng.permutation(len(every))[:VERTICES]
        for source_pu, ends in itertools.product(
            (0.99, 1.01), [every[0], every[-1], *(every[k] for k in drawn)]
        ):
            reach = np.where(ends, limits.injection_limit_w, -limits.withdrawal_limit_w)
            known = solved(mutant, points, reach.astype(float), source_pu)
            size = known.res_bus.vm_pu.drop(known.ext_grid.bus).dropna()
            assert size.min() > 0.85 - 1e-6, change
            assert size.max() < 1.15 + 1e-6, change
            for table in ("line", "trafo", "trafo3w"):
                most = known[table].max_loading_percent.astype(float).fillna(100.0)
                assert (known[f"res_{table}"].loading_percent <= most + 1e-3).all(), change
    assert published
