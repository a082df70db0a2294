"""Build a multi-conductor :class:`~security_check.network.Network` from a pandapower net.

pandapower builds admittances of the three symmetrical components (its three-phase run).  Here
they become phase admittances, block by block, ``Y_abc = F diag(Y_0, Y_1, Y_2) F'`` with the
unitary Fortescue matrix F.  Phases are coupled through earth and neutral as the zero-sequence
data say (the neutral is not a node of its own: pandapower's model is Kron-reduced).

The source holds the positive sequence; its short-circuit impedance carries the others.  So the
interface bus appears in components, and its positive sequence is the interface.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandapower as pp
import scipy.sparse as sp

from security_check.errors import Fault, NetworkFaults
from security_check.from_pandapower import bus_names, modelling
from security_check.network import (
    ComplexArray,
    FloatArray,
    Interface,
    Network,
    Ports,
    Terminals,
    Voltages,
    reactive_ratios,
    selection,
)
from security_check.pandapower_faults import POWER_ELEMENTS

Net = Any  # pandapower publishes no types

PHASES = ("a", "b", "c")
_TURN = np.exp(2j * np.pi / 3)
_COMPONENTS = np.array([[1, 1, 1], [1, _TURN**2, _TURN], [1, _TURN, _TURN**2]])
# Columns: zero, positive, negative sequence; unitary, so that powers are the same in both.
_FORTESCUE: ComplexArray = _COMPONENTS / np.sqrt(3.0)


def phases_from_pandapower(
    net: Net, *, power_factor: float | Mapping[str, float] = 1.0, name: str = ""
) -> Network:
    """Return the network of ``net`` with a node for each phase of each bus.

    Every ``asymmetric_load`` in service is a connection point ``"asymmetric_load:3"``, connected
    to the phases on which the net gives it power, in that proportion.  Everything else that
    consumes or generates is out of service.

    Parameters
    ----------
    net
        A pandapower net with one external grid and zero-sequence data.  Not modified.
    power_factor
        Of every connection point, or per id (1.0 where not named): in (0, 1], lagging when
        withdrawing.

    Raises
    ------
    NetworkFaults
        With every fault found, each naming its element.
    """
    faults, shares = _shares(net)
    faults += _zero_sequence_faults(net)
    table = net.asymmetric_load[net.asymmetric_load.in_service.astype(bool)]
    ids = tuple(f"asymmetric_load:{i}" for i in table.index)
    ratios, wrong = reactive_ratios(ids, power_factor)
    faults += wrong
    if faults:
        raise NetworkFaults(faults)
    cases = _run(net)
    lookup = cases["lookup"]
    buses = cases["Ybus"][0].shape[0]
    real, names = bus_names(net, lookup, buses)
    source = cases["reference"]
    basis = _basis(buses, source)
    admittance = sp.csr_array(basis.conj().T @ _to_phases(cases["Ybus"]) @ basis)
    nodes = tuple(
        f"{bus}.{conductor}"
        for k, bus in enumerate(names)
        for conductor in (("zero", "positive", "negative") if k == source else PHASES)
    )
    limited = np.flatnonzero(np.repeat(real & (np.arange(buses) != source), 3))
    at = np.asarray(lookup[table.bus.to_numpy(dtype=np.int64)], dtype=np.int64)
    point, phase = np.nonzero(shares)
    used, port = np.unique(3 * at[point] + phase, return_inverse=True)
    port_shares = sp.csr_array((shares[point, phase], (port, point)), shape=(len(used), len(at)))
    return Network(
        name=name or str(net.name or "pandapower net"),
        nodes=nodes,
        admittance=admittance,
        interface=Interface(np.array([3 * source + 1]), np.array([[math.sqrt(3.0) + 0j]])),
        voltages=Voltages(tuple(nodes[i] for i in limited), selection(limited, len(nodes))),
        terminals=_terminals(net, cases, basis),
        ports=Ports(
            tuple(nodes[i] for i in used),
            sp.csr_array(selection(used, len(nodes)).T),
            np.zeros(len(used), dtype=np.complex128),
        ),
        connection_points=ids,
        port_shares=port_shares,
        reactive_ratio=ratios,
        base_power_w=cases["base_mva"] * 1e6,
    )


def _shares(net: Net) -> tuple[list[Fault], FloatArray]:
    """Return how each connection point's power is shared among its phases, shape (c, 3)."""
    table = net.asymmetric_load[net.asymmetric_load.in_service.astype(bool)]
    given = np.abs(table[["p_a_mw", "p_b_mw", "p_c_mw"]].to_numpy(dtype=float))
    whole = given.sum(axis=1)
    faults = [
        Fault(f"asymmetric_load:{table.index[i]}", "it has no power on any phase, so none is its")
        for i in np.flatnonzero(~(whole > 0))
    ]
    faults += [
        Fault(f"asymmetric_load:{i}", "delta connections are not supported")
        for i in table.index[table.type != "wye"]
    ]
    return faults, given / np.maximum(whole, 1e-300)[:, None]


def _zero_sequence_faults(net: Net) -> list[Fault]:
    """Return the branches without the zero-sequence data that a phase model needs."""
    needed = {
        "line": ("r0_ohm_per_km", "x0_ohm_per_km", "c0_nf_per_km"),
        "trafo": ("vk0_percent", "vkr0_percent", "mag0_percent", "mag0_rx", "si0_hv_partial"),
    }
    faults = []
    for kind, columns in needed.items():
        rows = net[kind][net[kind].in_service.astype(bool)]
        for column in columns:
            if column not in rows:
                faults += [Fault(f"{kind}:{i}", f"it has no {column}") for i in rows.index]
                continue
            missing = rows.index[~np.isfinite(rows[column].astype(float))]
            faults += [Fault(f"{kind}:{i}", f"its {column} is not a number") for i in missing]
    return faults


def _run(net: Net) -> dict[str, Any]:
    """Run pandapower once, without customers, and return its sequence matrices."""
    idle = copy.deepcopy(net)
    for kind in (*POWER_ELEMENTS, "gen"):
        idle[kind]["in_service"] = False
    keep = {"Ybus": True, "bus_pq": False, "gen": False, "trafo": False}
    with modelling():
        pp.runpp_3ph(idle, numba=False, recycle=keep)
    internal = [idle[f"_ppc{k}"]["internal"] for k in range(3)]
    cases: dict[str, Any] = {
        key: [sp.csr_array(each[key]) for each in internal] for key in ("Ybus", "Yf", "Yt")
    }
    cases["lookup"] = idle._pd2ppc_lookups["bus"]
    cases["branches"] = idle._pd2ppc_lookups["branch"]
    cases["branch"] = internal[1]["branch"]
    cases["in_service"] = np.asarray(internal[1]["branch_is"], dtype=bool)
    cases["bus"] = internal[1]["bus"]
    cases["reference"] = int(internal[1]["ref"][0])
    cases["base_mva"] = float(idle.sn_mva)
    return cases


def _to_phases(sequences: list[sp.csr_array]) -> sp.csr_array:
    """Return the phase matrix of three sequence matrices of the same shape (m, n): (3 m, 3 n)."""
    parts = []
    for k, matrix in enumerate(sequences):
        direction = _FORTESCUE[:, [k]]
        parts.append(sp.csr_array(sp.kron(matrix, direction @ direction.conj().T)))
    return sp.csr_array(parts[0] + parts[1] + parts[2])


def _basis(buses: int, source: int) -> sp.csr_array:
    """Return the unitary basis: phases everywhere, but components at the source."""
    blocks: list[ComplexArray] = [np.eye(3, dtype=np.complex128)] * buses
    blocks[source] = _FORTESCUE
    return sp.csr_array(sp.block_diag(blocks))


def _terminals(net: Net, cases: dict[str, Any], basis: sp.csr_array) -> Terminals:
    """Return both ends of every line and transformer, one terminal per phase."""
    position = np.cumsum(cases["in_service"]) - 1
    base_kv = cases["bus"][:, 9].real  # column BASE_KV
    elements, sides, rows, ratings, bases = [], [], [], [], []
    matrices = (_to_phases(cases["Yf"]), _to_phases(cases["Yt"]))
    for kind, ends in (("line", ("from", "to")), ("trafo", ("hv", "lv"))):
        if kind not in cases["branches"]:
            continue
        first = cases["branches"][kind][0]
        for k, index in enumerate(net[kind].index):
            if not cases["in_service"][first + k]:
                continue
            at = int(position[first + k])
            for column, end in enumerate(ends):
                kv = base_kv[int(cases["branch"][at, column].real)]
                base_ka = cases["base_mva"] * math.sqrt(3.0) / kv
                rated_ka = _rating_ka(net, kind, index, kv)
                for conductor, phase in enumerate(PHASES):
                    elements.append(f"{kind}:{index}.{phase}")
                    sides.append(end)
                    rows.append((column, 3 * at + conductor))
                    ratings.append(rated_ka / base_ka)
                    bases.append(base_ka * 1e3)
    stacked = sp.vstack(
        [matrices[end][[row for e, row in rows if e == end]] for end in (0, 1)], format="csr"
    )
    order = np.argsort([end for end, _ in rows], kind="stable")
    back = np.empty(len(rows), dtype=np.int64)
    back[order] = np.arange(len(rows))
    admittance: sp.csr_array = sp.csr_array(stacked[back] @ basis)
    return Terminals(tuple(elements), tuple(sides), admittance, np.array(ratings), np.array(bases))


def _rating_ka(net: Net, kind: str, index: int, kv: float) -> float:
    row = net[kind].loc[index]
    if kind == "line":
        return float(row.max_i_ka * row.df * row.parallel)
    return float(row.sn_mva * row.df * row.parallel / (math.sqrt(3.0) * kv))
