"""Read what pandapower built: the names, voltages, powers and terminals of its internal buses."""

from __future__ import annotations

import copy
import math
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandapower as pp
import pandas as pd
import scipy.sparse as sp

from security_check.arrays import ComplexArray, FloatArray, IndexArray
from security_check.errors import Fault, NetworkFaults
from security_check.importers import Net
from security_check.importers.pandapower_faults import no_path
from security_check.importers.pandapower_quantities import typed
from security_check.importers.pandapower_ratings import rated_ends
from security_check.importers.pandapower_tables import POWER_ELEMENTS
from security_check.importers.pandapower_taps import Taps, with_taps
from security_check.model.element_ids import element_id
from security_check.model.network import selection
from security_check.model.network_elements import Ports, Terminals, Voltages

PLAIN = {"numba": False, "lightsim2grid": False}
"""Options that switch pandapower's accelerators off, so that every machine builds one model."""


@dataclass(frozen=True)
class ModelledNet:
    """A net as pandapower modelled it, with one internal bus for joined buses; n of them.

    Parameters
    ----------
    net
        The net that was modelled.
    internal
        pandapower's internal model of it.
    """

    net: Net
    internal: dict[str, Any]

    @property
    def lookup(self) -> np.ndarray[Any, Any]:
        """The internal bus of each bus index."""
        lookup: np.ndarray[Any, Any] = self.net._pd2ppc_lookups["bus"]
        return lookup

    @property
    def nodes(self) -> int:
        """Number of internal buses, n."""
        return int(self.internal["Ybus"].shape[0])

    @property
    def base_mva(self) -> float:
        """Base power, MVA."""
        return float(self.internal["baseMVA"])

    @cached_property
    def admittance(self) -> sp.csr_array:
        """The nodal admittance, shape (n, n), per unit."""
        return sp.csr_array(self.internal["Ybus"])

    @cached_property
    def names(self) -> tuple[str, ...]:
        """The name of each internal bus; see :func:`bus_names`."""
        return bus_names(self.net, self.lookup, self.nodes)[1]

    @cached_property
    def volts(self) -> FloatArray:
        """The nominal voltage of each internal bus; see :func:`nominal_volts`."""
        return nominal_volts(self.net, self.lookup, self.nodes)

    def at(self, buses: IndexArray) -> IndexArray:
        """Return the internal bus of each bus; not a node of the model where it is cut off."""
        return np.asarray(self.lookup[buses], dtype=np.int64)

    def cut_off(self, points: Sequence[str], buses: IndexArray) -> list[Fault]:
        """Return the connection points whose bus has no path to the interface."""
        at = self.at(buses)
        lost = np.flatnonzero((at < 0) | (at >= self.nodes))
        return [no_path(points[i], buses[i]) for i in lost.tolist()]

    def voltages(self, held: IndexArray) -> Voltages:
        """Return the limited voltages: those of all buses of the net but the held ones."""
        limited, names = bus_names(self.net, self.lookup, self.nodes)
        limited[held] = False
        return Voltages(
            tuple(names[i] for i in np.flatnonzero(limited)),
            selection(np.flatnonzero(limited), self.nodes),
            nominal_v=self.volts[limited],
        )

    def ports(self, at: IndexArray, passive_power: ComplexArray) -> Ports:
        """Return a port at each internal bus named, with its part of (n,) passive power."""
        return Ports(
            tuple(self.names[i] for i in at),
            sp.csr_array(selection(at, self.nodes).T),
            passive_power[at],
        )


def finite(model: ModelledNet) -> ModelledNet:
    """Return a model whose admittances are all numbers.

    Raises
    ------
    NetworkFaults
        With the buses where they are not.
    """
    entries = model.admittance.tocoo()
    wrong = np.unique(entries.row[~np.isfinite(entries.data)])
    if len(wrong):
        detail = "the impedance of a branch or shunt there is beyond what a number can hold"
        raise NetworkFaults([Fault(model.names[k], detail) for k in wrong.tolist()])
    return model


def without_powers(net: Net, connection_points: str, passive: str, taps: Taps | None = None) -> Net:
    """Return a copy of the net without customers, generators and, maybe, passive elements.

    Their rows go, rather than out of service: pandapower would still count powers that are no
    numbers.

    Parameters
    ----------
    net
        The net.  Not modified.
    connection_points
        The table of the connection points.
    passive
        ``"none"``, or ``"as-given"``: other elements in service stay, at their given power.
    taps
        The tap positions, as in :func:`~security_check.importers.pandapower_taps.with_taps`.
    """
    working = copy.deepcopy(with_taps(typed(net), taps))
    for kind in (*POWER_ELEMENTS, "gen"):
        may_stay = passive == "as-given" and kind not in (connection_points, "gen")
        working[kind] = working[kind][working[kind].in_service.astype(bool) & may_stay]
    return working


def buses_of(net: Net, table: str) -> IndexArray:
    """Return the bus of each connection point: of each element of the table in service."""
    rows = net[table]
    buses: IndexArray = rows.bus[rows.in_service.astype(bool)].to_numpy(dtype=np.int64)
    return buses


def connected(net: Net, table: str) -> tuple[str, ...]:
    """Return the ids of the connection points: the table's elements in service."""
    rows = net.get(table)
    if not isinstance(rows, pd.DataFrame) or "in_service" not in rows:
        return ()  # a fault of its own
    return tuple(element_id(table, i) for i in rows.index[rows.in_service.astype(bool)])


@contextmanager
def modelling() -> Iterator[None]:
    """Run pandapower on a net without customers: no warnings, failures as faults.

    Raises
    ------
    NetworkFaults
        Instead of the errors that pandapower raises.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of other programs; what they return is checked
            yield
    except pp.LoadflowNotConverged:
        raise NetworkFaults(
            [Fault("network", "with no customer active, its power flow does not converge")]
        ) from None
    # Errors of pandapower on tables that contradict each other; it raises warnings, too.
    except (
        ArithmeticError,
        AttributeError,
        LookupError,
        NotImplementedError,
        TypeError,
        ValueError,
        Warning,
    ) as error:
        reason = " ".join(str(error).split())[:200]
        raise NetworkFaults([Fault("network", f"pandapower cannot model it: {reason}")]) from error


def bus_names(
    net: Net, lookup: np.ndarray[Any, Any], buses: int
) -> tuple[np.ndarray[Any, np.dtype[np.bool_]], tuple[str, ...]]:
    """Return which internal buses are buses of the net, and the name of each internal bus.

    Parameters
    ----------
    net
        The net that was modelled.
    lookup
        The internal bus of each bus index.
    buses
        Number of internal buses.
    """
    names = [element_id("auxiliary", i) for i in range(buses)]
    real = np.zeros(buses, dtype=bool)
    for bus in sorted(net.bus.index, reverse=True):
        at = lookup[bus]
        if 0 <= at < buses and net.bus.in_service.at[bus]:
            names[at] = element_id("bus", bus)
            real[at] = True
    return real, tuple(names)


def nominal_volts(net: Net, lookup: np.ndarray[Any, Any], buses: int) -> FloatArray:
    """Return the nominal voltage of pandapower's internal buses, line to line; 0 of others.

    Parameters are those of :func:`bus_names`.
    """
    volts = np.zeros(buses)
    at = np.asarray(lookup[net.bus.index.to_numpy()], dtype=np.int64)
    known = (at >= 0) & (at < buses)
    volts[at[known]] = 1e3 * net.bus.vn_kv.to_numpy(dtype=float)[known]
    return volts


def passive_injection(internal: dict[str, Any], held: IndexArray) -> ComplexArray:
    """Return the power of elements that do not trade, per unit, without external grids, (n,).

    Parameters
    ----------
    internal
        pandapower's internal model of a net without generators.
    held
        The nodes of the external grids.
    """
    power: ComplexArray = np.array(internal["Sbus"], dtype=np.complex128)
    bus = internal["bus"]
    pd_column, qd_column = 2, 3  # columns PD and QD of the case format
    drawn = bus[held, pd_column] + 1j * bus[held, qd_column]
    power[held] = -drawn / float(internal["baseMVA"])
    return power


def terminals(net: Net, internal: dict[str, Any]) -> Terminals:
    """Return the monitored ends of all rated branches in service."""
    in_service = np.asarray(internal["branch_is"], dtype=bool)
    position = np.cumsum(in_service) - 1
    ends = [end for end in rated_ends(net) if in_service[end.row]]
    at = np.array([position[end.row] for end in ends], dtype=np.int64)
    column = np.array([0 if end.begins else 1 for end in ends], dtype=np.int64)
    node = internal["branch"][at, column].real.astype(np.int64)
    base_kv = internal["bus"][node, 9]  # column BASE_KV
    base_ka = float(internal["baseMVA"]) / (math.sqrt(3.0) * base_kv)
    both = sp.vstack([internal["Yf"], internal["Yt"]], format="csr")
    return Terminals(
        elements=tuple(end.element for end in ends),
        sides=tuple(end.side for end in ends),
        admittance=sp.csr_array(both[at + column * int(in_service.sum())]),
        rating_pu=np.array([end.rating_ka for end in ends]) / base_ka,
        base_current_a=1e3 * base_ka,
    )
