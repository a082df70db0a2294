"""What the lines and transformers of a pandapower net may carry, at each of their ends.

A rating belongs to the equipment: that of a transformer is a current at the winding's own rated
voltage, not at its bus's, as in pandapower's ``loading_percent``.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from security_check.arrays import FloatArray
from security_check.importers import Net
from security_check.importers.pandapower_quantities import numbers
from security_check.model.element_ids import element_id


@dataclass(frozen=True, slots=True)
class RatedEnd:
    """One end of a line, or one winding of a transformer.

    Parameters
    ----------
    element, side
        For example ``"line:12"`` and ``"from"``.
    row
        The branch in pandapower's internal model.
    begins
        Whether it is the end at which that branch begins.
    rating_ka
        The largest current there, kA.
    """

    element: str
    side: str
    row: int
    begins: bool
    rating_ka: float


_ENDS = {"line": ("from", "to"), "trafo": ("hv", "lv"), "trafo3w": ("hv", "mv", "lv")}
_SWITCHED = {"line": "l", "trafo": "t", "trafo3w": "t3"}


def rated_ends(net: Net, kinds: tuple[str, ...] = ("line", "trafo", "trafo3w")) -> list[RatedEnd]:
    """Return the ends of all lines and transformers that are in pandapower's internal model.

    A three-winding transformer is a star of three branches in pandapower: high voltage to star,
    star to medium and star to low voltage; each winding is monitored at its own bus.

    Parameters
    ----------
    net
        A net that pandapower has modelled.
    kinds
        The tables whose elements are wanted.
    """
    lookup = net._pd2ppc_lookups["branch"]
    ends = []
    for kind in kinds:
        if kind not in lookup:
            continue
        first, last = lookup[kind]
        count = (last - first) // 3 if kind == "trafo3w" else 0
        rated = {side: _rating_ka(net, kind, side) for side in _ENDS[kind]}
        # All ends of one line or two-winding transformer, then the next; but winding by winding.
        order = [(k, s) for k in range(len(net[kind])) for s in range(len(_ENDS[kind]))]
        for k, s in sorted(order, key=lambda each: each[1]) if count else order:
            side = _ENDS[kind][s]
            element = element_id(kind, net[kind].index[k])
            ends.append(RatedEnd(element, side, first + s * count + k, s == 0, rated[side][k]))
    return ends


def _rating_ka(net: Net, kind: str, side: str) -> FloatArray:
    """Return the largest current at one end of all elements of a table, kA.

    The rating times ``max_loading_percent``, where that is stated and below 100; not more than
    the ``in_ka`` of a closed switch there.
    """
    rows = net[kind]
    if kind == "line":
        rated = numbers(rows.max_i_ka) * numbers(rows.df) * numbers(rows.parallel)
    elif kind == "trafo":
        power = numbers(rows.sn_mva) * numbers(rows.df) * numbers(rows.parallel)
        rated = power / (math.sqrt(3.0) * numbers(rows[f"vn_{side}_kv"]))
    else:
        power = numbers(rows[f"sn_{side}_mva"])
        rated = power / (math.sqrt(3.0) * numbers(rows[f"vn_{side}_kv"]))
    if "max_loading_percent" in rows:
        part = numbers(rows.max_loading_percent) / 100.0
        rated = rated * np.where(np.isnan(part), 1.0, part)
    return np.fmin(rated, _switch_ka(net, kind, side))


def _switch_ka(net: Net, kind: str, side: str) -> FloatArray:
    """Return the smallest ``in_ka`` of the closed switches at one end; ``nan`` without any.

    As in pandapower, a switch at a line carries the larger of the currents at the line's ends.
    """
    rows = net[kind]
    limit: FloatArray = np.full(len(rows), np.nan)
    if "in_ka" not in net.switch:
        return limit
    at = net.switch[
        (net.switch.et == _SWITCHED[kind]) & net.switch.closed.eq(True) & net.switch.in_ka.notna()
    ]
    for element, bus, size in zip(at.element, at.bus, numbers(at.in_ka).tolist(), strict=True):
        if kind == "line" or rows[f"{side}_bus"].at[element] == bus:
            place = rows.index.get_loc(element)
            limit[place] = np.fmin(limit[place], size)
    return limit
