"""Groups of things that are connected, one after the other: union-find."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime


class Groups:
    """Disjoint groups of intervals; those that are not joined with any other are alone."""

    __slots__ = ("_parent",)

    def __init__(self) -> None:
        self._parent: dict[datetime, datetime] = {}

    def join(self, intervals: Iterable[datetime]) -> None:
        """Let intervals be of one group, with all that were of a group with one of them."""
        roots = [self._root(interval) for interval in intervals]
        for root in roots:
            self._parent[root] = roots[0]

    def of(self, interval: datetime) -> tuple[datetime, ...]:
        """Return the group of an interval, sorted, itself among them."""
        root = self._root(interval)
        others = (each for each in list(self._parent) if self._root(each) == root)
        return tuple(sorted({interval, *others}))

    def _root(self, interval: datetime) -> datetime:
        parent = self._parent.setdefault(interval, interval)
        while parent != self._parent[parent]:
            parent = self._parent[interval] = self._parent[parent]
        return parent
