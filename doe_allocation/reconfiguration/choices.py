"""The configurations that the network operator may choose: closed branches and tap positions."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product

import numpy as np

from doe_allocation.reconfiguration.radial_configurations import Closed, SwitchableGraph


@dataclass(frozen=True, slots=True, order=True)
class Configuration:
    """The closed switchable branches, and the positions of the tap changers."""

    closed: Closed
    taps: tuple[int, ...] = ()

    def operations_from(self, other: Configuration) -> int:
        """Return how many switches and tap changers differ; a tap change counts once."""
        return sum(a != b for a, b in zip(self.closed, other.closed, strict=True)) + sum(
            a != b for a, b in zip(self.taps, other.taps, strict=True)
        )


@dataclass(frozen=True, slots=True)
class Choices:
    """The configurations that the network operator may choose.

    Parameters
    ----------
    graph
        The network's graph.
    taps
        Positions that each tap changer may take, in the order of the search.
    present
        The configuration now; it need not be radial.
    most_operations
        Most operations of switches and tap changers; no limit where ``None``.
    """

    graph: SwitchableGraph
    taps: tuple[tuple[int, ...], ...]
    present: Configuration
    most_operations: int | None = None

    def allowed(self, configuration: Configuration) -> bool:
        """Return whether few enough operations lead there."""
        most = self.most_operations
        return most is None or configuration.operations_from(self.present) <= most

    def all(self) -> Iterator[Configuration]:
        """Yield every radial configuration that few enough operations lead to."""
        for taps in product(*self.taps):
            moved = sum(a != b for a, b in zip(taps, self.present.taps, strict=True))
            most = None if self.most_operations is None else self.most_operations - moved
            if most is None or most >= 0:
                for closed in self.graph.configurations(self.present.closed, most):
                    yield Configuration(closed, taps)

    def count(self) -> float:
        """Return the number of configurations without a limit of operations."""
        return self.graph.count() * float(np.prod([len(each) for each in self.taps]))

    def neighbours(self, configuration: Configuration) -> Iterator[Configuration]:
        """Yield the configurations one exchange of branches, or one tap change, away."""
        for closed in self.graph.exchanges(configuration.closed):
            yield Configuration(closed, configuration.taps)
        for k, positions in enumerate(self.taps):
            taps = configuration.taps
            for position in positions:
                if position != taps[k]:
                    yield Configuration(configuration.closed, (*taps[:k], position, *taps[k + 1 :]))
