"""One pandapower net of all operators: each child's interface bus is joined to the parent's bus.

The allocation does not need it: each operator uses its own network and its contracts.  It serves to
check the result (:mod:`doe_allocation.hierarchy.joint_model.check`).
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandapower as pp
import pandas as pd

from doe_allocation.hierarchy.joint_model.members import Boundary, Hierarchy, Member
from security_check.importers import Net
from security_check.importers.pandapower_tables import POWER_ELEMENTS
from security_check.model.element_ids import element_id, element_ids, table_row

_BRANCHES = {
    "line": ("from_bus", "to_bus"),
    "impedance": ("from_bus", "to_bus"),
    "trafo": ("hv_bus", "lv_bus"),
    "trafo3w": ("hv_bus", "mv_bus", "lv_bus"),
}
_TABLES = {
    "bus": (),
    **_BRANCHES,
    **dict.fromkeys(("shunt", "switch", "ext_grid", "gen", *POWER_ELEMENTS), ("bus",)),
}


@dataclass(frozen=True, slots=True)
class JointNet:
    """The nets of all operators as one.

    Parameters
    ----------
    net
        The pandapower net; customers are rows of their tables, with no power.
    hierarchy
        The operators and their boundaries.
    stride
        Element i of the k-th operator has the index ``k * stride + i``, in every table.
    """

    net: Net
    hierarchy: Hierarchy
    stride: int

    @property
    def members(self) -> tuple[Member, ...]:
        """The operators, the one at the top first."""
        return self.hierarchy.members

    @property
    def boundaries(self) -> tuple[Boundary, ...]:
        """All boundaries, parents before their children."""
        return self.hierarchy.boundaries

    def member(self, name: str) -> Member:
        """Return the operator of that name."""
        return self.hierarchy.member(name)

    def below(self, name: str) -> set[str]:
        """Return the names of an operator and of all operators below it."""
        found = {name}
        for boundary in self.boundaries:
            if boundary.parent in found:
                found.add(boundary.child)
        return found

    def index(self, operator: str, element: int) -> int:
        """Return the joined index of an operator's element, bus or other."""
        names = [member.name for member in self.members]
        return names.index(operator) * self.stride + element

    def owner(self, index: int) -> Member:
        """Return the operator of an element."""
        return self.members[int(index) // self.stride]

    def name(self, table: str, index: int) -> str:
        """Return the name of an element in its operator's net, ``"rural line:7"``."""
        return f"{self.owner(index).name} {self.own_id(table, index)}"

    def own_id(self, table: str, index: int) -> str:
        """Return the id of an element in its operator's net, ``"line:7"``."""
        return element_id(table, int(index) % self.stride)

    def customers(self) -> Iterator[tuple[Member, int, int]]:
        """Yield every customer: operator, index among its connection points, row of its table."""
        for member in self.members:
            for place, point in enumerate(member.network.connection_points):
                if point not in member.children:
                    yield member, place, self.index(member.name, table_row(point)[1])


def joint_net(hierarchy: Hierarchy) -> JointNet:
    """Return the net of all operators."""
    members = hierarchy.members
    stride = 1 + max(int(i) for m in members for table in _TABLES for i in m.net[table].index)
    net = pp.create_empty_network(f_hz=members[0].net.f_hz, sn_mva=members[0].net.sn_mva)
    parts = [_shifted(member, k * stride, top=not k) for k, member in enumerate(members)]
    for table in _TABLES:
        rows = [part[table] for part in parts if len(part[table])]
        if rows:
            net[table] = pd.concat(rows)
    joined = JointNet(net, hierarchy, stride)
    for boundary in hierarchy.boundaries:
        parent = hierarchy.member(boundary.parent)
        at = parent.bus_of(boundary.connection_point)
        below = hierarchy.member(boundary.child).interface_bus
        pp.create_switch(
            net, joined.index(boundary.parent, at), joined.index(boundary.child, below), et="b"
        )
    return joined


def _shifted(member: Member, shift: int, *, top: bool) -> dict[str, pd.DataFrame]:
    """Return the tables of one operator's net, with shifted indices.

    Without the elements that its network leaves out, without its children's connection points, and
    without its external grid unless it is at the ``top``.
    """
    given = copy.deepcopy(member.net)
    for kind in (*POWER_ELEMENTS, "gen"):
        stays = given[kind].in_service.astype(bool)
        if kind == member.customer_table:
            ids = element_ids(kind, given[kind].index)
            stays &= np.array([name not in member.children for name in ids], dtype=bool)
        elif not member.models_passive and not (kind == "gen" and member.models_generators):
            stays &= False
        given[kind] = given[kind][stays]
    points = given[member.customer_table]
    points[["p_mw", "q_mvar"]] = 0.0
    if "scaling" in points:
        points["scaling"] = 1.0
    if not top:
        given["ext_grid"] = given.ext_grid.iloc[:0]
    tables = {}
    for table, columns in _TABLES.items():
        rows = given[table]
        rows.index = rows.index + shift
        for column in columns:
            rows[column] = rows[column] + shift
        tables[table] = rows
    tables["switch"]["element"] = tables["switch"]["element"] + shift
    return tables
