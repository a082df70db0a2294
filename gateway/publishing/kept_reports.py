"""The newest reports of each receiver, for those who missed some.

They follow from the journal's entries and are in no snapshot: after a start those of the newest
20,000 entries since the snapshot are there.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import deque
from collections.abc import Iterator
from itertools import islice

KEPT_BYTES = 262_144
"""What is kept for each receiver: some 500 reports."""


class KeptReports:
    """The newest reports by receiver, as they were published.

    Parameters
    ----------
    kept_bytes
        The most that is kept for a receiver.
    """

    def __init__(self, kept_bytes: int = KEPT_BYTES) -> None:
        self._kept_bytes = kept_bytes
        self._reports: dict[str, deque[tuple[int, bytes]]] = {}
        self._bytes: dict[str, int] = {}

    def add(self, receiver: str, sequence: int, report: bytes) -> None:
        """Keep the next report of a receiver, and forget its oldest ones.  O(1), amortised."""
        reports = self._reports.setdefault(receiver, deque())
        reports.append((sequence, report))
        size = self._bytes.get(receiver, 0) + len(report)
        while size > self._kept_bytes:
            size -= len(reports.popleft()[1])
        self._bytes[receiver] = size

    def oldest(self, receiver: str) -> int | None:
        """Return the number of the oldest report that is kept, ``None`` without one.  O(1)."""
        reports = self._reports.get(receiver)
        return reports[0][0] if reports else None

    def reports(self, receiver: str, since: int) -> Iterator[tuple[int, bytes]]:
        """Iterate over the reports from a number on, with their numbers.  O(reports kept)."""
        reports = self._reports.get(receiver, deque())
        first = bisect_left([number for number, _ in reports], since)
        return islice(reports, first, None)
