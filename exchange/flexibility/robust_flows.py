"""Flows of a linear network that hold for every subset of conditional requests.

A conditional request k, with all offers matched to it, changes the flows by ``c_k`` or not at all.
The largest flow over all subsets is the base flow plus ``sum of max(0, c_k)``, the least one the
base flow less ``sum of max(0, -c_k)``: exact, without looking at 2^n subsets.
"""

from __future__ import annotations

import numpy as np

from security_check.arrays import FloatArray
from security_check.model.linear_network import LinearNetwork

ROUNDING_W = 1e-6
"""Watts of a flow that are rounding."""


class RobustFlows:
    """The flows of one interval, as what is matched changes them.

    Parameters
    ----------
    network
        l branches, n buses.
    injection_w
        Shape (n,), the set point.
    others_w
        Two of shape (l,): by how much others may raise and lower each flow, whatever is matched
        here; nothing where not given.

    Attributes
    ----------
    base_w
        Shape (l,), the flows without any conditional request.
    conditional_w
        Shape (l,) for each conditional request: what it adds when it is activated.
    """

    def __init__(
        self,
        network: LinearNetwork,
        injection_w: FloatArray,
        others_w: tuple[FloatArray, FloatArray] | None = None,
    ) -> None:
        self.network = network
        self.base_w: FloatArray = network.ptdf @ injection_w
        self.conditional_w: dict[int, FloatArray] = {}
        none = np.zeros(len(self.base_w))
        self._others_w = (none, none) if others_w is None else others_w
        self._above_w, self._below_w = self._others_w

    @property
    def largest_w(self) -> FloatArray:
        """Shape (l,), the largest flow over all subsets."""
        return self.base_w + self._above_w

    @property
    def least_w(self) -> FloatArray:
        """Shape (l,), the least flow over all subsets."""
        return self.base_w - self._below_w

    @property
    def upper_w(self) -> FloatArray:
        """Shape (l,), the largest flow that a match may lead to: an overload may stay, not grow."""
        return np.maximum(self.network.upper_w, self.largest_w)

    @property
    def lower_w(self) -> FloatArray:
        """Shape (l,), the least flow that a match may lead to."""
        return np.minimum(self.network.lower_w, self.least_w)

    def change(self, from_bus: int, to_bus: int) -> FloatArray:
        """Return what a watt of injection moved from one bus to another adds to each flow."""
        moved: FloatArray = self.network.ptdf[:, to_bus] - self.network.ptdf[:, from_bus]
        return moved

    def added(self, request: int) -> FloatArray:
        """Return what a conditional request adds to each flow, zero before its first match."""
        return self.conditional_w.get(request, np.zeros(len(self.base_w)))

    def most_w(self, change: FloatArray, request: int | None) -> tuple[float, int]:
        """Return the most watts that may be matched, and the branch that is full first.

        Parameters
        ----------
        change
            Of each flow for each watt.
        request
            The conditional request that it belongs to, ``None`` for an unconditional one.
        """
        room = np.where(
            change > 0.0, self.upper_w - self.largest_w, self.least_w - self.lower_w
        ).clip(0.0)
        if request is not None:
            # Where the request so far relieves a branch, it gives that up first.
            room += np.maximum(0.0, -np.sign(change) * self.added(request))
        size = np.abs(change)
        most = np.divide(room, size, out=np.full(len(size), np.inf), where=size > 1e-12)
        full = int(most.argmin())
        return float(most[full]), full

    def match(self, change: FloatArray, request: int | None, quantity_w: int) -> None:
        """Change the flows by a match."""
        if request is None:
            self.base_w = self.base_w + quantity_w * change
            return
        self.add(request, quantity_w * change)

    def add(self, request: int, added_w: FloatArray) -> None:
        """Let a conditional request add more to the flows, shape (l,), when it is activated."""
        self.conditional_w[request] = self.added(request) + added_w
        added = np.array(list(self.conditional_w.values()))
        above, below = self._others_w
        self._above_w = above + np.maximum(0.0, added).sum(axis=0)
        self._below_w = below + np.maximum(0.0, -added).sum(axis=0)
