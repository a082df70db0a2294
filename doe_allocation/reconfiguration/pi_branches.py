"""The branches of a network as pi circuits, for calculations over many configurations.

A ``Network`` has one admittance matrix for one configuration.  Here the matrix is separated into a
pi circuit for each branch, behind an ideal transformer at its start, and the shunts at nodes.
Balanced networks of two-ended branches only.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, fields, replace
from typing import Self

import numpy as np
import scipy.sparse as sp

from security_check.arrays import ComplexArray, FloatArray, IndexArray
from security_check.model.network import Network
from security_check.model.network_elements import SeriesBranches, Terminals

# Parts of the largest admittance: an admittance below is rounding of a difference.
_NOTHING = 1e-9


@dataclass(frozen=True, slots=True)
class Branches:
    """Pi circuits; E of them.

    Parameters
    ----------
    elements
        Ids, for example ``"line:12"``.
    start, end
        Shape (E,), nodes.
    impedance
        Shape (E,), complex, per unit: the series impedance at the end's voltage level.
    ratio
        Shape (E,), magnitude of the ideal transformer at the start: the pi circuit sees the
        start's voltage divided by it.
    start_shunt, end_shunt
        Shape (E,), complex admittances of the pi circuit, per unit at the end's voltage level.
    start_rating, end_rating
        Shape (E,), current ratings, per unit of each node's own base; ``inf`` for none.
    """

    elements: tuple[str, ...]
    start: IndexArray
    end: IndexArray
    impedance: ComplexArray
    ratio: FloatArray
    start_shunt: ComplexArray
    end_shunt: ComplexArray
    start_rating: FloatArray
    end_rating: FloatArray

    def take(self, chosen: IndexArray) -> Self:
        """Return the branches with the given indices."""
        arrays = {name: getattr(self, name)[chosen] for name in _ARRAYS}
        return replace(self, elements=tuple(self.elements[k] for k in chosen), **arrays)

    def joined(self, other: Self) -> Self:
        """Return these branches, followed by others."""
        arrays = {n: np.concatenate([getattr(self, n), getattr(other, n)]) for n in _ARRAYS}
        return replace(self, elements=self.elements + other.elements, **arrays)

    def open_shunt(self, at_start: bool) -> ComplexArray:
        """Return the admittance that each branch has at one end while its other end is open.

        Per unit at that end's own voltage level, shape (E,).
        """
        near, far = self.start_shunt, self.end_shunt
        if not at_start:
            near, far = far, near
        # Written without dividing by the far shunt, which may be zero.
        seen = near + far / (1.0 + self.impedance * far)
        return seen / self.ratio**2 if at_start else seen


_ARRAYS = tuple(each.name for each in fields(Branches) if each.name != "elements")


class NotTwoEndedError(Exception):
    """A network is not made of two-ended balanced branches; the message is a sentence."""


def branches_of(
    network: Network, placeholders: Collection[frozenset[int]] = ()
) -> tuple[Branches, ComplexArray]:
    """Return the branches and the shunts of a network.

    Parameters
    ----------
    network
        A balanced network.
    placeholders
        Pairs of nodes whose series admittance stands for a closed switch, and is left out.

    Returns
    -------
    branches
        Lines and transformers.
    shunts
        Shape (n,), complex admittances at the nodes, which belong to no branch.

    Raises
    ------
    NotTwoEndedError
        When an element is neither a line nor a two-winding transformer nor a shunt.
    """
    series, terminals = network.series, network.terminals
    if series is None:
        raise NotTwoEndedError("its branches are not known one by one")
    nodes, rows, ratio = _ends(series, terminals)
    diagonal = series.admittance.diagonal()
    admittance = sp.csr_array(terminals.admittance)
    own_start, own_end = (
        np.array([admittance[row, node] for row, node in zip(*each, strict=True)], complex)
        for each in zip(rows.tolist(), nodes.tolist(), strict=True)
    )
    branches = Branches(
        series.elements,
        nodes[0],
        nodes[1],
        np.asarray(1.0 / diagonal, dtype=np.complex128),
        ratio,
        ratio**2 * own_start - diagonal,
        own_end - diagonal,
        terminals.rating_pu[rows[0]],
        terminals.rating_pu[rows[1]],
    )
    return branches, _shunts(network, nodes, rows, placeholders)


def _ends(
    series: SeriesBranches, terminals: Terminals
) -> tuple[IndexArray, IndexArray, FloatArray]:
    """Return start and end of each branch, as nodes and as terminals, and its ratio.

    Shapes (2, E), (2, E) and (E,).
    """
    ends = sp.coo_array(series.at_terminals)
    by_end: dict[tuple[int, bool], int] = {}
    for row, branch in zip(ends.row.tolist(), ends.col.tolist(), strict=True):
        by_end[branch, terminals.sides[row] in ("from", "hv")] = row
    across = sp.csc_array(series.across)
    count = len(series.elements)
    nodes = np.zeros((2, count), dtype=np.int64)
    rows = np.zeros((2, count), dtype=np.int64)
    ratio = np.ones(count)
    for k in range(count):
        column = slice(across.indptr[k], across.indptr[k + 1])
        at, values = across.indices[column], across.data[column]
        if len(at) != 2 or any((k, begins) not in by_end for begins in (True, False)):
            raise NotTwoEndedError(f"{series.elements[k]} is not monitored at two ends")
        rows[:, k] = by_end[k, True], by_end[k, False]
        # At its end a branch has the coefficient -1; so it has at its start if that is turned by
        # 180 degrees, and then its terminals' own nodes tell which is which.
        first = int(np.argmax(np.abs(values + 1.0)))
        nodes[:, k] = at[first], at[1 - first]
        ratio[k] = 1.0 / abs(values[first])
    return nodes, rows, ratio


def _shunts(
    network: Network,
    nodes: IndexArray,
    rows: IndexArray,
    placeholders: Collection[frozenset[int]],
) -> ComplexArray:
    """Return the part of the admittance matrix that is not of branches: shunts, shape (n,).

    Raises
    ------
    NotTwoEndedError
        Where this joins two nodes.
    """
    n, count = len(network.nodes), nodes.shape[1]
    admittance = sp.csr_array(network.terminals.admittance)
    placed = sp.csr_array(
        (np.ones(2 * count), (nodes.ravel(), np.arange(2 * count))), (n, 2 * count)
    )
    stamps = placed @ sp.csr_array(sp.vstack([admittance[rows[0]], admittance[rows[1]]]))
    left = (network.admittance - stamps).tocoo()
    scale = float(np.abs(network.admittance.data).max(initial=1.0))
    for i, j, value in zip(left.row.tolist(), left.col.tolist(), left.data, strict=True):
        if i != j and abs(value) > _NOTHING * scale and frozenset((i, j)) not in placeholders:
            raise NotTwoEndedError(
                f"{network.nodes[i]} and {network.nodes[j]} are joined by something that is "
                "neither a line nor a two-winding transformer"
            )
    shunts: ComplexArray = np.asarray(left.sum(axis=1)).ravel().astype(np.complex128)
    shunts[np.abs(shunts) < _NOTHING] = 0.0
    return shunts
