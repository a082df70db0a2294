"""Random linear networks with connection points, and their flows by the equations of a circuit."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from hypothesis import strategies as st

from doe_allocation.allocation.linear.grid import LinearGrid
from doe_allocation.allocation.linear.operation import LinearOperation
from doe_allocation.capacity import Capacity
from security_check.model.linear_network import LinearNetwork, ReactiveBranch

Floats = npt.NDArray[np.float64]
BUSES = tuple("ABCDE")
SLACK = 0


@dataclass(frozen=True)
class LinearArea:
    """A network by its reactances: the flows follow from angles, without distribution factors."""

    ends: list[tuple[int, int]]
    reactance: list[float]
    lower_w: Floats
    upper_w: Floats
    bus_of_point: list[int]
    setpoint_w: Floats

    @property
    def points(self) -> tuple[str, ...]:
        return tuple(f"load:{k}" for k in range(len(self.bus_of_point)))

    def operation(self) -> LinearOperation:
        branches = [
            ReactiveBranch(f"{k}", BUSES[i], BUSES[j], x)
            for k, ((i, j), x) in enumerate(zip(self.ends, self.reactance, strict=True))
        ]
        network = LinearNetwork.of_reactances(
            BUSES, BUSES[SLACK], branches, self.lower_w, self.upper_w
        )
        return LinearOperation(network, self.points, np.array(self.bus_of_point), self.setpoint_w)

    def grid(self, capacity_w: int = 1000, fallback_w: int = 0) -> LinearGrid:
        capacity = Capacity.same(self.points, capacity_w, capacity_w, fallback_w, fallback_w)
        return LinearGrid(self.operation(), capacity)

    def flows_w(self, power_w: Floats) -> Floats:
        """Solve for the angles of all buses, the slack's being zero; return the flows."""
        laplacian = np.zeros((len(BUSES), len(BUSES)))
        for (i, j), x in zip(self.ends, self.reactance, strict=True):
            for a, b in ((i, j), (j, i)):
                laplacian[a, a] += 1.0 / x
                laplacian[a, b] -= 1.0 / x
        injected = self.setpoint_w.copy()
        for bus, power in zip(self.bus_of_point, power_w, strict=True):
            injected[bus] += power
        angle = np.zeros(len(BUSES))
        angle[1:] = np.linalg.solve(laplacian[1:, 1:], injected[1:])
        return np.array(
            [(angle[i] - angle[j]) / x for (i, j), x in zip(self.ends, self.reactance, strict=True)]
        )

    def extremes_w(self, injection_w: npt.ArrayLike, withdrawal_w: npt.ArrayLike) -> Floats:
        """Return the least and largest flow of each branch over all vertices, shape (2, l)."""
        sides = zip(np.asarray(injection_w), -np.asarray(withdrawal_w), strict=True)
        flows = [self.flows_w(np.array(each, dtype=float)) for each in itertools.product(*sides)]
        return np.array([np.min(flows, axis=0), np.max(flows, axis=0)])

    def exchange_w(self, injection_w: npt.ArrayLike, withdrawal_w: npt.ArrayLike) -> Floats:
        """Return the least and largest power out of the network."""
        total = self.setpoint_w.sum()
        return np.array([total - np.sum(withdrawal_w), total + np.sum(injection_w)])


def linear_areas(points: int = 4, margin_w: float = 50.0) -> st.SearchStrategy[LinearArea]:
    """Meshed networks of five buses; each flow at rest is inside its limits by the margin."""
    chords = st.lists(
        st.tuples(st.integers(0, 4), st.integers(0, 4)).filter(lambda pair: pair[0] != pair[1]),
        max_size=2,
    )
    reactances = st.lists(st.sampled_from([0.5, 1.0, 1.5, 3.0]), min_size=6, max_size=6)
    room = st.lists(st.integers(0, 900), min_size=12, max_size=12)

    def made(
        drawn: tuple[list[tuple[int, int]], list[float], list[int], list[int], list[int]],
    ) -> LinearArea:
        more, x, left, buses, rest = drawn
        ends = [(0, 1), (1, 2), (0, 3), (3, 4), *more]
        nothing = np.zeros(len(ends))
        area = LinearArea(
            ends, x[: len(ends)], nothing, nothing, buses, np.array(rest, dtype=float)
        )
        flows = area.flows_w(np.zeros(len(buses)))
        lower = flows - margin_w - np.array(left[: len(ends)])
        upper = flows + margin_w + np.array(left[6 : 6 + len(ends)])
        return LinearArea(ends, area.reactance, lower, upper, buses, area.setpoint_w)

    buses = st.lists(st.integers(0, 4), min_size=points, max_size=points)
    setpoint = st.lists(st.integers(-300, 300), min_size=5, max_size=5)
    return st.tuples(chords, reactances, room, buses, setpoint).map(made)
