"""What an aggregate gets above its least, divided among its members in whole watts.

Without weights each slice is divided in proportion to the members' widths, by largest remainder.
With weights the exact parts ``w_i Y_k`` have whole sums over members, and totals between whole
bounds.  Each part is rounded down or up: which are rounded up is a flow of units from slices that
lack them to members whose total allows one more.  It exists because the exact parts are such a flow
and all its bounds are whole.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from math import ceil, floor

import numpy as np
from scipy.sparse import coo_array, csr_array
from scipy.sparse.csgraph import maximum_flow

from exchange.flexibility.largest_remainder import shared


def divided(
    above: Sequence[int], widths: Sequence[Sequence[int]], weights: Sequence[Fraction]
) -> list[list[int]]:
    """Return what each member gets in each slice, whole watts above its least.

    Parameters
    ----------
    above
        What the aggregate has above its least in each slice.
    widths
        Of each member, most less least in each slice of the aggregate.
    weights
        Of each member; empty where no total is bound.
    """
    if weights:
        return _rounded([[weight * each for each in above] for weight in weights], above)
    parts = [[0] * len(above) for _ in widths]
    for k, amount in enumerate(above):
        shares = {str(i): own[k] for i, own in enumerate(widths) if own[k]}
        for i, part in shared(amount, shares).items() if amount else ():
            parts[int(i)][k] = part
    return parts


def _rounded(exact: Sequence[Sequence[Fraction]], sums: Sequence[int]) -> list[list[int]]:
    """Return exact parts rounded so that slices add up and totals are rounded down or up."""
    whole = [[floor(each) for each in row] for row in exact]
    missing = [
        each - sum(column) for each, column in zip(sums, zip(*whole, strict=True), strict=True)
    ]
    if not any(missing):
        return whole
    totals = [sum(row, Fraction(0)) for row in exact]
    sure = [floor(total) - sum(row) for total, row in zip(totals, whole, strict=True)]
    maybe = [ceil(total) - floor(total) for total in totals]
    open_places = [
        (k, i) for i, row in enumerate(exact) for k, each in enumerate(row) if each.denominator > 1
    ]
    for k, i in _units(missing, sure, maybe, open_places):
        whole[i][k] += 1
    return whole


def _units(
    missing: Sequence[int],
    sure: Sequence[int],
    maybe: Sequence[int],
    open_places: Sequence[tuple[int, int]],
) -> list[tuple[int, int]]:
    """Return the places, slice and member, that get one unit more.

    Nodes are a source, the slices, the members, a node for the units that members may have or not,
    and a sink.  All arcs into the sink together carry just what is missing, so a full flow gives
    every member what is sure.
    """
    slices, members = len(missing), len(sure)
    first_member, spare, sink = 1 + slices, 1 + slices + members, 2 + slices + members
    arcs = [(0, 1 + k, each) for k, each in enumerate(missing)]
    arcs += [(1 + k, first_member + i, 1) for k, i in open_places]
    arcs += [(first_member + i, sink, each) for i, each in enumerate(sure)]
    arcs += [(first_member + i, spare, each) for i, each in enumerate(maybe)]
    arcs.append((spare, sink, sum(missing) - sum(sure)))
    tails, heads, units = (np.array(each, dtype=np.int32) for each in zip(*arcs, strict=True))
    graph = csr_array(coo_array((units, (tails, heads)), shape=(sink + 1, sink + 1)))
    found = maximum_flow(graph, 0, sink)
    if found.flow_value != sum(missing):
        raise ArithmeticError(
            f"{found.flow_value} of {sum(missing)} units found a place in whole watts"
        )
    flow = coo_array(found.flow)
    used = flow.data > 0
    taken = set(zip(flow.row[used].tolist(), flow.col[used].tolist(), strict=True))
    return [(k, i) for k, i in open_places if (1 + k, first_member + i) in taken]
