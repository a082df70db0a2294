"""The power through an interface in the joint model.

At a boundary parent and child share a node.  The power out of the child is the injection of its
customers and passive devices at that node, less the flow from there into its branches and shunts.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import numpy as np
import scipy.sparse as sp

from doe_allocation.hierarchy.joint_model.newton import SIGNS, JointPowerFlow


def passive_at(flow: JointPowerFlow, node: int, operators: Collection[str]) -> complex:
    """Return the passive power at a node, of some operators alone, per unit."""
    found = 0.0 + 0.0j
    for kind, sign in SIGNS.items():
        rows, mine = _rows_at(flow, kind, node, operators)
        drawn = (rows.scaling * (rows.p_mw + 1j * rows.q_mvar))[mine].sum()
        found += sign * complex(drawn) * 1e6 / flow.base_w
    return found


def entering(flow: JointPowerFlow, node: int, operators: Collection[str]) -> sp.csr_array:
    """Return the row whose product with the voltages is the current from a node into networks.

    Into those of some operators alone, through all their branches and shunts at that node.
    """
    n = flow.Y.shape[0]
    row = sp.csr_array((1, n), dtype=np.complex128)
    in_service = np.asarray(flow.internal["branch_is"], dtype=bool)
    place = np.cumsum(in_service) - 1
    branch = flow.internal["branch"]
    for table, (first, last) in flow.net._pd2ppc_lookups["branch"].items():
        index = flow.net[table].index
        for k in range(first, last):
            owner = flow.joined.owner(index[(k - first) % len(index)]).name
            if not in_service[k] or owner not in operators:
                continue
            for column, ends in ((0, "Yf"), (1, "Yt")):
                if int(branch[place[k], column].real) == node:
                    row = row + sp.csr_array(flow.internal[ends])[[int(place[k])]]
    return sp.csr_array(row + _shunts(flow, node, operators))


def _shunts(flow: JointPowerFlow, node: int, operators: Collection[str]) -> sp.csr_array:
    rows, mine = _rows_at(flow, "shunt", node, operators)
    size = (flow.net.bus.vn_kv[rows.bus].to_numpy() / rows.vn_kv) ** 2 * rows.step
    drawn = complex((size * (rows.p_mw - 1j * rows.q_mvar))[mine].sum()) * 1e6 / flow.base_w
    return sp.csr_array(([drawn], ([0], [node])), shape=(1, flow.Y.shape[0]))


def _rows_at(
    flow: JointPowerFlow, table: str, node: int, operators: Collection[str]
) -> tuple[Any, list[bool]]:
    """Return the rows of a table in service, and whether each is at a node and of operators."""
    rows = flow.net[table][flow.net[table].in_service.astype(bool)]
    return rows, [
        flow.node_of[bus] == node and flow.joined.owner(bus).name in operators for bus in rows.bus
    ]
