"""A proof, without a power flow, that limits of ``t`` watts are not secure in a configuration.

Envelopes of at least ``t`` watts contain two points: all customers withdraw t, and all customers
inject t (or their capacity, if that is less).  Suppose that the configuration is secure.  Then
voltages and currents at these points are within their limits, so losses are within bounds.  So
flows are within bounds, because they add up along a tree, and so are voltage drops, which give
tighter bounds of voltages, currents and losses.  If a lower bound exceeds a limit, the supposition
is wrong: no secure envelopes of t watts exist in this configuration.

The proof also holds with uncertain powers and free reactive power: points at which these are as
expected are among the points at which envelopes must be secure.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from doe_allocation.capacity import Capacity
from doe_allocation.reconfiguration.distflow_bounds import (
    ExtremePoint,
    RadialTrees,
    contradictions,
)
from doe_allocation.reconfiguration.pi_branches import Branches, NotTwoEndedError
from doe_allocation.reconfiguration.switched_branches import (
    SwitchedBranches,
    check_radial,
    without_stubs,
)
from security_check.arrays import BoolArray, ComplexArray, FloatArray, IndexArray
from security_check.model.limits import InterfaceLimits, VoltageLimits

_Number = TypeVar("_Number", np.float64, np.complex128)

_AT_ONCE = 2_000_000  # entries of the largest array of a batch: 16 MB of float64
_NONE = -1  # in place of a branch or a switch: there is none


class RadialRefuter:
    """Refutes radial configurations.

    Parameters
    ----------
    switched
        The branches.
    voltage_limits, contracts, capacity
        Conditions of the envelopes; one contract for each interval, equal ones are taken once.

    Raises
    ------
    NotTwoEndedError
        When the equations do not hold for the network; the message is a sentence.
    """

    def __init__(
        self,
        switched: SwitchedBranches,
        voltage_limits: VoltageLimits,
        contracts: Sequence[InterfaceLimits],
        capacity: Capacity,
    ) -> None:
        check_radial(switched)
        self.switched = switched
        self.voltage_limits = voltage_limits
        self.contracts = tuple(dict.fromkeys(contracts))
        self.capacity = capacity
        network = switched.network
        self._base = network.base_power_w
        # All sources are held at the same magnitude: for these equations they are one node.
        others = np.setdiff1d(np.arange(len(network.nodes)), switched.sources)
        self._place = np.zeros(len(network.nodes), dtype=np.int64)
        self._folded, keeps = without_stubs(switched)
        kept = others[np.isin(others, keeps)]
        self._place[kept] = np.arange(1, len(kept) + 1)
        self._nodes = len(kept) + 1
        self._limited = np.zeros(self._nodes, dtype=bool)
        self._limited[self._place[network.voltages.incidence.tocoo().col]] = True
        self._limited[0] = False
        if not self._limited[1:].all():
            raise NotTwoEndedError("not every bus has limits of its voltage")
        incidence = network.ports.incidence
        self._to_nodes = _gathered(self._place, self._nodes)
        self._share = self._to_nodes @ np.abs((incidence @ network.port_shares).toarray())
        passive = -(incidence @ network.ports.passive_power_pu)
        freedom = network.reactive_freedom
        self._passive = self._to_nodes @ passive
        if freedom is not None:
            self._passive = self._passive - 1j * (self._share @ freedom.middle)

    def refuted(self, closed: BoolArray, taps: Sequence[int], least_limit_w: float) -> BoolArray:
        """Return which radial configurations cannot have limits of ``least_limit_w``, shape (T,).

        Parameters
        ----------
        closed
            Shape (T, S), radial configurations.
        taps
            Positions of the tap changers.
        least_limit_w
            Lower bound of each limit, or the connection's capacity where that is less.

        Returns
        -------
        Shape (T,).  A configuration that is not refuted may or may not be secure.
        """
        branches = self._folded.at(taps)
        size = max(1, _AT_ONCE // self._nodes**2)
        batches = [closed[k : k + size] for k in range(0, len(closed), size)]
        parts = [self._batch(batch, branches, least_limit_w) for batch in batches]
        return np.concatenate(parts) if parts else np.zeros(0, dtype=bool)

    def _batch(self, closed: BoolArray, branches: Branches, least_limit_w: float) -> BoolArray:
        refuted = np.zeros(len(closed), dtype=bool)
        trees = self._trees(closed, branches)
        for point in self._points(least_limit_w):
            refuted |= contradictions(trees, point, self.voltage_limits, self._base)
            if refuted.all():
                break
        return refuted

    def points(self, least_limit_w: float) -> list[tuple[FloatArray, float, InterfaceLimits]]:
        """Return (active powers injected, interface voltage, contract) of the points examined."""
        withdrawn = np.minimum(least_limit_w, self.capacity.withdrawal_w.astype(float))
        injected = np.minimum(least_limit_w, self.capacity.injection_w.astype(float))
        return [
            point
            for each in self.contracts
            for point in (
                (-withdrawn, each.voltage_min_pu, each),
                (injected, each.voltage_max_pu, each),
                (injected, each.voltage_min_pu, each),
            )
        ]

    def _points(self, least_limit_w: float) -> list[ExtremePoint]:
        ratio = 1.0 + 1j * self.switched.network.reactive_ratio
        return [
            ExtremePoint(
                self._passive - self._share @ (ratio * power_w / self._base), source, contract
            )
            for power_w, source, contract in self.points(least_limit_w)
        ]

    def _trees(self, closed: BoolArray, branches: Branches) -> RadialTrees:
        """Return the trees, each grown from the source branch by branch."""
        count, n = len(closed), self._nodes
        switch = self._folded.switch
        # A branch without a switch has the index -1: that of the last column, which is closed.
        there = np.column_stack([closed, np.ones(count, dtype=bool)])[:, switch]
        start, end = self._place[branches.start], self._place[branches.end]
        above = np.full((count, n), _NONE)
        upper = np.zeros((count, n), dtype=np.int64)
        seen = np.zeros((count, n), dtype=bool)
        seen[:, 0] = True
        while not seen.all():
            before = seen.copy()
            for near, far in ((start, end), (end, start)):
                grows = there & before[:, near] & ~before[:, far]
                tree, branch = np.nonzero(grows)
                above[tree, far[branch]] = branch
                upper[tree, far[branch]] = near[branch]
                seen[tree, far[branch]] = True
            if (seen == before).all():
                raise ValueError("a configuration to refute is not radial")
        below = np.zeros((count, n, n))
        each, node = np.indices((count, n))
        at = node.copy()
        for _ in range(n):
            below[each, at, node] = 1.0
            if not at.any():
                break
            at = np.take_along_axis(upper, at, axis=1)
        return self._with_branches(below, above, upper, there, branches)

    def _with_branches(
        self,
        below: FloatArray,
        above: IndexArray,
        upper: IndexArray,
        there: BoolArray,
        branches: Branches,
    ) -> RadialTrees:
        """Return the trees with the branch above each node, seen from that node."""
        root = above == _NONE
        downward = self._place[branches.end][above] == np.arange(self._nodes)
        squared = branches.ratio[above] ** 2
        own_rise = np.where(root | downward, 1.0, squared)
        upper_rise = np.where(root | ~downward, 1.0, 1.0 / squared)
        logarithm = np.log(own_rise * upper_rise)

        def of(values: npt.NDArray[_Number], otherwise: float) -> npt.NDArray[_Number]:
            found: npt.NDArray[_Number] = np.where(
                root, values.dtype.type(otherwise), values[above]
            )
            return found

        shunt = np.broadcast_to(
            self._to_nodes @ self._folded.shunts, (len(above), self._nodes)
        ) + self._open_shunts(there, branches)
        return RadialTrees(
            below,
            of(branches.impedance.real, 0.0),
            of(branches.impedance.imag, 0.0),
            np.exp(np.einsum("taj,ta->tj", below, logarithm)),
            own_rise,
            upper_rise,
            upper,
            np.where(downward, of(branches.end_shunt, 0.0), of(branches.start_shunt, 0.0)),
            np.where(downward, of(branches.start_shunt, 0.0), of(branches.end_shunt, 0.0)),
            np.where(downward, of(branches.end_rating, np.inf), of(branches.start_rating, np.inf)),
            np.where(downward, of(branches.start_rating, np.inf), of(branches.end_rating, np.inf)),
            shunt,
        )

    def _open_shunts(self, there: BoolArray, branches: Branches) -> ComplexArray:
        """Return the shunts of open branches at the nodes where they stay connected."""
        added = np.zeros((len(there), self._nodes), dtype=np.complex128)
        for side, node in ((0, branches.start), (1, branches.end)):
            stays = np.flatnonzero(self._folded.energised_end == side)
            own = branches.take(stays)
            open_ = np.where(there[:, stays], 0.0, own.open_shunt(at_start=side == 0))
            for column, at in enumerate(self._place[node[stays]]):
                added[:, at] += open_[:, column]
        return added


def _gathered(place: IndexArray, count: int) -> FloatArray:
    """Return the matrix that adds up nodes which share a place, shape (count, n)."""
    matrix = np.zeros((count, len(place)))
    matrix[place, np.arange(len(place))] = 1.0
    return matrix
