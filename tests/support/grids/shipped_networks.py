"""The networks that pandapower and simbench ship, and how far our loading is from pandapower's."""

from __future__ import annotations

import copy
import functools
import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

import numpy as np
import pandapower as pp
import pandapower.networks
import pandas as pd
import scipy.sparse as sp
import scipy.sparse.linalg
import simbench
from others_warnings import others_warnings_ignored
from pandapower.convert_format import convert_trafo_pst_logic
from pandapower_oracle import loading_percent, our_loading_percent

from security_check.errors import NetworkFaults
from security_check.importers.pandapower_balanced import network_from_pandapower
from security_check.importers.pandapower_meshed import meshed_network_from_pandapower
from security_check.importers.pandapower_phases import phases_from_pandapower
from security_check.model.network import Network

Net = Any
_COLUMNS = (("vm", "pu"), ("va", "degree"))


def builders() -> list[str]:
    """Return the builders of pandapower.networks that need no argument and give one network."""
    found = []
    for name, function in inspect.getmembers(pandapower.networks, inspect.isfunction):
        needed = [
            each
            for each in inspect.signature(function).parameters.values()
            if each.default is each.empty and each.kind is each.POSITIONAL_OR_KEYWORD
        ]
        if function.__module__.startswith("pandapower.networks.") and not needed:
            found.append(f"pandapower:{name}")
    return found


def simbench_codes() -> list[str]:
    """Return all SimBench networks; those of one scenario after the other, to read it once."""
    codes = simbench.collect_all_simbench_codes()
    return [f"simbench:{code}" for code in sorted(codes, key=lambda code: code.split("-")[4])]


def opened(source: str) -> Net:
    """Return the net of a source."""
    kind, name = source.split(":")
    with others_warnings_ignored():
        if kind == "pandapower":
            return getattr(pandapower.networks, name)()
        with _tables_kept():
            return simbench.get_simbench_net(name)


@contextmanager
def _tables_kept() -> Iterator[None]:
    """Let pandas keep the tables that simbench reads, and only the beginning of profiles."""
    read = pd.read_csv

    def kept(path: Any, *args: Any, **how: Any) -> pd.DataFrame:
        key = f"{path} {args} {how}"
        if key not in _TABLES:
            rows = {"nrows": 96} if "Profile" in str(path) else {}
            _TABLES[key] = read(path, *args, **(how | rows))
        return _TABLES[key].copy()

    with mock.patch.object(pd, "read_csv", kept):
        yield


_TABLES: dict[str, pd.DataFrame] = {}


def models(net: Net) -> dict[str, Callable[..., Network]]:
    """Return the importers for a net."""
    if len(net.asymmetric_load):
        return {"phases": functools.partial(phases_from_pandapower, held="phases")}
    return {"feeder": network_from_pandapower, "meshed": meshed_network_from_pandapower}


def refusals(net: Net, build: Callable[..., Network]) -> Network | tuple[str, ...]:
    """Return the network, or one sentence for each kind of reason for which it is refused."""
    try:
        return build(net)
    except NetworkFaults as error:
        kinds: dict[Any, Any] = {}
        for fault in error.faults:
            table = fault.element.partition(":")[0]
            what = "".join(c for c in fault.detail if not c.isdigit())[:48]
            kinds.setdefault((table, what), fault)
        return tuple(str(fault) for fault in kinds.values())


def apart(net: Net, network: Network) -> float:
    """Return how far loading is from pandapower's at most, in per cent, in the state of the net.

    The net is solved by pandapower; pandapower's own conversion of old nets completes its taps.
    """
    solved = copy.deepcopy(net)
    with others_warnings_ignored():
        convert_trafo_pst_logic(solved)
        if len(net.asymmetric_load):
            pp.runpp_3ph(solved, numba=False)
        else:
            pp.runpp(solved, calculate_voltage_angles=True, numba=False, lightsim2grid=False)
    percent = our_loading_percent(network, _voltages(solved, network))
    elements = list(percent)
    limit = np.array([_part(solved, element) for element in elements])
    expected = loading_percent(solved, elements)
    assert np.isfinite(expected).all()
    difference: float = np.abs(limit * list(percent.values()) - expected).max()
    return difference


def _part(net: Net, element: str) -> float:
    """Return the part of its rating that an element may carry, ``max_loading_percent / 100``."""
    kind, _, number = element.partition(".")[0].partition(":")
    stated = net[kind].get("max_loading_percent")
    part = np.nan if stated is None else float(stated.at[int(number)])
    return 1.0 if np.isnan(part) else part / 100.0


def _voltages(net: Net, network: Network) -> np.ndarray:
    """Return pandapower's voltages of a network's nodes; into others, no power enters."""
    table, phases = (net.res_bus_3ph, "abc") if len(net.asymmetric_load) else (net.res_bus, "")
    voltage = np.full(len(network.nodes), np.nan, dtype=complex)
    for i, node in enumerate(network.nodes):
        kind, _, number = node.partition(":")
        index, _, phase = number.partition(".")
        if kind == "bus" and phase in phases:
            of_phase = f"_{phase}" if phase else ""
            size, angle = (table.at[int(index), f"{c}{of_phase}_{u}"] for c, u in _COLUMNS)
            voltage[i] = size * np.exp(1j * np.deg2rad(angle))
    known = np.isfinite(voltage)
    if not known.all():
        matrix = sp.csc_array(network.admittance)
        inner = sp.csc_array(matrix[~known][:, ~known])
        drawn = -(matrix[~known][:, known] @ voltage[known])
        voltage[~known] = np.atleast_1d(scipy.sparse.linalg.spsolve(inner, drawn))
    return voltage
