"""Radial configurations of a network with switches: spanning trees, one after the other.

A configuration says of each switchable branch whether it is closed.  It is radial when every node
has exactly one path to a source: no loop, no node cut off, no two sources joined.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

Closed = tuple[bool, ...]
"""Whether each switchable branch is closed."""

LOOP = "a loop"
CUT_OFF = "buses cut off"


@dataclass(frozen=True)
class SwitchableGraph:
    """Nodes, the branches that are always there, and those that may be opened and closed.

    Parameters
    ----------
    nodes
        Number of nodes; they are ``0 .. nodes - 1``.
    sources
        Nodes that feed the network; each feeds a tree of its own.
    fixed, switchable
        Both ends of each branch.  If fixed branches join the ends of a switchable one, no radial
        configuration has it closed.
    """

    nodes: int
    sources: tuple[int, ...]
    fixed: tuple[tuple[int, int], ...]
    switchable: tuple[tuple[int, int], ...]

    def fixed_loop(self) -> int | None:
        """Return a fixed branch that closes a loop of fixed ones; ``None`` where there is none."""
        joined = _Joined(self.nodes, self.sources)
        return next((k for k, ends in enumerate(self.fixed) if not joined.join(*ends)), None)

    def cut_off(self, closed: Closed | None = None) -> list[int]:
        """Return the nodes without a path to a source; with everything closed where not given."""
        joined = _Joined(self.nodes, self.sources)
        for ends in self.fixed:
            joined.join(*ends)
        for k, ends in enumerate(self.switchable):
            if closed is None or closed[k]:
                joined.join(*ends)
        supplied = joined.root(self.sources[0])
        return [node for node in range(self.nodes) if joined.root(node) != supplied]

    def why_not_radial(self, closed: Closed) -> str:
        """Return why a configuration is not radial; empty if it is."""
        if self.cut_off(closed):
            return CUT_OFF
        branches = len(self.fixed) + sum(closed)
        # A connected graph is a tree when it has one branch less than nodes; sources are one node.
        return LOOP if branches != self.nodes - len(self.sources) else ""

    @cached_property
    def _ends(self) -> tuple[tuple[int, int], ...]:
        """Ends of the switchable branches, with nodes that fixed branches join taken as one."""
        joined = _Joined(self.nodes, self.sources)
        for ends in self.fixed:
            joined.join(*ends)
        return tuple((joined.root(a), joined.root(b)) for a, b in self.switchable)

    def count(self) -> float:
        """Return how many radial configurations there are, by Kirchhoff's matrix-tree theorem.

        Exact up to the rounding of a determinant; ``inf`` beyond the range of a float.
        """
        if self.fixed_loop() is not None or self.cut_off():
            return 0.0
        place = {node: k for k, node in enumerate(sorted({n for e in self._ends for n in e}))}
        laplacian = np.zeros((len(place), len(place)))
        for a, b in self._ends:
            i, j = place[a], place[b]
            if i != j:
                laplacian[[i, j], [i, j]] += 1.0
                laplacian[[i, j], [j, i]] -= 1.0
        sign, logarithm = np.linalg.slogdet(laplacian[1:, 1:])
        if logarithm > 700.0:
            return float("inf")
        return float(np.round(sign * np.exp(logarithm)))

    def configurations(
        self, present: Closed | None = None, most_switched: int | None = None
    ) -> Iterator[Closed]:
        """Yield every radial configuration once.

        Parameters
        ----------
        present, most_switched
            Where given, only configurations with at most ``most_switched`` branches changed.

        Notes
        -----
        A branch of every loop must be open.  For each free branch of a loop, take the
        configurations in which it is open and the free branches before it are closed.  These sets
        are disjoint, and opening a branch of a loop cuts no node off.
        """
        if self.fixed_loop() is not None or self.cut_off():
            return
        limit = len(self.switchable) if most_switched is None else most_switched
        was = present or (False,) * len(self.switchable)
        limit = len(self.switchable) if present is None else limit
        yield from self._opened(frozenset(), frozenset(), was, limit)

    def _opened(
        self, opened: frozenset[int], kept: frozenset[int], present: Closed, left: int
    ) -> Iterator[Closed]:
        """Yield the configurations with ``opened`` open and ``kept`` closed.

        Among the branches that are not decided, at most ``left`` may differ from the present.
        """
        if left < 0:
            return
        loop = self._free_loop(opened, kept)
        if loop is None:
            return
        if not loop:
            rest = (k for k in range(len(present)) if k not in opened and k not in kept)
            if sum(not present[k] for k in rest) <= left:
                yield tuple(k not in opened for k in range(len(present)))
            return
        closing = 0
        before: set[int] = set()
        for k in loop:
            switched = closing + present[k]
            yield from self._opened(opened | {k}, kept | before, present, left - switched)
            before.add(k)
            closing += not present[k]

    def _free_loop(self, opened: frozenset[int], kept: frozenset[int]) -> list[int] | None:
        """Return the free branches of a loop; an empty list if there is no loop.

        ``None`` if a loop has no free branch.
        """
        joined = _Joined(self.nodes, ())
        tree: dict[int, list[tuple[int, int]]] = {}
        free = [k for k in range(len(self._ends)) if k not in opened and k not in kept]
        for k in (*sorted(kept), *free):
            a, b = self._ends[k]
            if joined.join(a, b):
                tree.setdefault(a, []).append((b, k))
                tree.setdefault(b, []).append((a, k))
            elif k in kept:
                return None
            else:
                return [*(j for j in _path(tree, a, b) if j not in kept), k]
        return []

    def exchanges(self, closed: Closed) -> Iterator[Closed]:
        """Yield the radial configurations in which one other branch is closed and one opened."""
        tree: dict[int, list[tuple[int, int]]] = {}
        for k, (a, b) in enumerate(self._ends):
            if closed[k]:
                tree.setdefault(a, []).append((b, k))
                tree.setdefault(b, []).append((a, k))
        for k, (a, b) in enumerate(self._ends):
            if not closed[k] and a != b:
                for j in _path(tree, a, b):
                    yield tuple(
                        True if i == k else False if i == j else was for i, was in enumerate(closed)
                    )

    def tree_along(self, cost: Sequence[float]) -> Closed:
        """Return the radial configuration of least total cost of closed branches (Kruskal)."""
        joined = _Joined(self.nodes, ())
        closed = [False] * len(self.switchable)
        for k in sorted(range(len(cost)), key=lambda k: (cost[k], k)):
            closed[k] = joined.join(*self._ends[k])
        return tuple(closed)


class _Joined:
    """Sets of nodes that are joined (disjoint sets with path halving)."""

    def __init__(self, nodes: int, together: Sequence[int]) -> None:
        self._above = list(range(nodes))
        for node in together[1:]:
            self._above[node] = together[0]

    def root(self, node: int) -> int:
        above = self._above
        while above[node] != node:
            above[node] = above[above[node]]
            node = above[node]
        return node

    def join(self, a: int, b: int) -> bool:
        """Join the sets of two nodes; return whether they were two."""
        a, b = self.root(a), self.root(b)
        self._above[a] = b
        return a != b


def _path(tree: dict[int, list[tuple[int, int]]], start: int, end: int) -> list[int]:
    """Return the branches of a forest between two nodes that it joins."""
    came: dict[int, tuple[int, int]] = {start: (start, -1)}
    waiting = [start]
    while end not in came:
        node = waiting.pop()
        for other, branch in tree.get(node, ()):
            if other not in came:
                came[other] = (node, branch)
                waiting.append(other)
    path = []
    while end != start:
        end, branch = came[end]
        path.append(branch)
    return path
